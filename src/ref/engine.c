// SPDX-License-Identifier: Apache-2.0
// The table of the slow engine. Nothing is planned: a stage is its record in the file, and every tile buffer has memory
// of its own, which is spoiled before the first stage that uses it, so that what a stage reads of it is what stages
// wrote.
#include "ref/engine.h"

#include "kern/scalar.h"
#include "ref/stage.h"

static void (*const kinds[PEF_STAGE_COUNT])(const ref_stage_t *stage, const leat_run_tile_t *tile) = {
#define STAGE(suffix, name, number, since, text) [PEF_STAGE_##suffix] = leat_ref_##name,
#include "pef/stage.def"
};

typedef struct ref_s {
  const leat_pef_t *pef;
  leat_arena_t *arena;
} ref_t;

static leat_status_t create(const leat_pef_t *pef, leat_arena_t *arena, const char *isa, void **out_state) {
  (void)isa;  // a cap: there is one level, the lowest
  ref_t *ref = leat_arena_alloc(arena, sizeof *ref);
  if (ref == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for an engine");
  *ref = (ref_t){.pef = pef, .arena = arena};
  *out_state = ref;
  return NULL;
}

static void destroy(void *state) { (void)state; }

enum { LINE = 64, SPOIL = 0xff };  // every byte: NaN in floats, -1 in integers

static leat_status_t lay_out(void *state, const pef_body_t *body, uint64_t *out_buffers, uint64_t *out_bytes) {
  const leat_pef_t *pef = ((const ref_t *)state)->pef;
  size_t end = 0;
  for (uint32_t i = 0; i < body->buffer_count; i++) {
    const uint64_t bytes =
        leat_pef_buffer_bytes(pef, body, &pef->buffers[body->buffer_first + i], leat_pef_tile_rows(body));
    out_buffers[i] = end;
    if (!leat_size_add(end, bytes + (LINE - bytes % LINE) % LINE, &end))
      LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for %u tile buffers, each in a place of its own", body->buffer_count);
  }
  *out_bytes = end;
  return NULL;
}

static void spoil_buffers(const ref_stage_t *stage, const leat_run_tile_t *tile) {
  const uint32_t index = (uint32_t)(stage->file - stage->pef->stages) - stage->body->stage_first;
  for (uint32_t i = 0; i < stage->body->buffer_count; i++) {
    const pef_buffer_t *buffer = &stage->pef->buffers[stage->body->buffer_first + i];
    if (buffer->first != index) continue;
    memset(tile->scratch + tile->buffers[i], SPOIL,
           leat_pef_buffer_bytes(stage->pef, stage->body, buffer, (uint64_t)tile->rows));
  }
}

static void run(const void *plan, const leat_run_tile_t *tile) {
  const ref_stage_t *stage = plan;
  spoil_buffers(stage, tile);
  kinds[stage->file->kind](stage, tile);
}

static leat_status_t prepare(void *state, leat_run_stage_t *out, const pef_body_t *body,
                             const leat_run_space_t *space) {
  const ref_t *ref = state;
  (void)space;
  ref_stage_t *stage = leat_arena_alloc(ref->arena, sizeof *stage);
  if (stage == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for a stage");
  *stage = (ref_stage_t){.pef = ref->pef, .file = out->file, .body = body};
  out->run = run;
  out->plan = stage;
  if (out->file->instruction_count != 0) out->workspace_bytes = leat_ref_map_workspace(out->file);
  if (out->file->kind == PEF_STAGE_ATTENTION_GRAD) out->workspace_bytes = leat_ref_attention_grad_workspace(out->file);
  return NULL;
}

static size_t class_bytes(uint32_t class_) { return class_ == PEF_CLASS_F32 ? sizeof(float) : sizeof(double); }

static void load(const void *state, uint32_t class_, uint32_t dtype, void *out, const void *in, int64_t stride,
                 int64_t n) {
  (void)state;
  const int64_t step = stride * (int64_t)leat_pef_dtype_bytes(dtype);
  for (int64_t i = 0; i < n; i++) {
    const ref_value_t value = leat_ref_load(class_, dtype, (const char *)in + i * step);
    memcpy((char *)out + (size_t)i * class_bytes(class_), &value, class_bytes(class_));
  }
}

static void store(const void *state, uint32_t class_, uint32_t dtype, void *out, int64_t stride, const void *in,
                  int64_t n) {
  (void)state;
  const int64_t step = stride * (int64_t)leat_pef_dtype_bytes(dtype);
  for (int64_t i = 0; i < n; i++) {
    ref_value_t value;
    memcpy(&value, (const char *)in + (size_t)i * class_bytes(class_), class_bytes(class_));
    leat_ref_store(class_, dtype, (char *)out + i * step, value);
  }
}

static leat_arch_level_t level(const void *state) {
  (void)state;
  return LEAT_ARCH_PORTABLE;
}

static void report(const void *state, leat_text_t *out) { (void)state, (void)out; }

const leat_run_engine_t leat_ref_engine = {.name = "ref",
                                           .create = create,
                                           .destroy = destroy,
                                           .lay_out = lay_out,
                                           .prepare = prepare,
                                           .load = load,
                                           .store = store,
                                           .level = level,
                                           .report = report};
