// SPDX-License-Identifier: Apache-2.0
// See batches.h. What adds gradients up is compiled apart, once the program is: three small graphs over the symbols of
// all gradients, of the first batch of an update, of those that follow, and behind the last.
#include "driver/batches.h"

#include <stdio.h>
#include <stdlib.h>

#include "driver/compiled.h"
#include "driver/pipeline.h"
#include "ir/formula.h"

enum { NAME_BYTES = 32 };

typedef struct batches_s {
  const leat_compile_options_t *options;
  const leat_map_options_t *map_options;
  leat_pef_t *pef;  // the program
  leat_pef_writer_t *writer;
  LEAT_ARRAY(pef_symbol_t) symbols;  // of the program, then the sums
  LEAT_ARRAY(uint32_t) gradients;    // those of parameters
  leat_compiled_t compiled[PEF_WHEN_COUNT];
  leat_link_unit_t units[PEF_WHEN_COUNT];
  leat_arena_t arena;
} batches_t;

// --- symbols --------------------------------------------------------------------------------------------------------

static leat_dtype_t sum_dtype(const pef_symbol_t *gradient) { return gradient->dtype == PEF_F64 ? LEAT_F64 : LEAT_F32; }

static leat_status_t add_symbol(batches_t *s, pef_symbol_t symbol, const char *name, const char *end) {
  pef_symbol_t *slot = leat_array_push(&s->symbols);
  leat_text_t text = {0};
  leat_text_put(&text, "%s%s", name, end);
  if (slot == NULL || text.failed) return leat_out_of_memory();
  symbol.name = leat_pef_add_string(s->writer, text.data);
  leat_text_deinit(&text);
  *slot = symbol;
  leat_pef_add_symbol(s->writer, &symbol);
  return NULL;
}

static bool is_added_up(const leat_pef_t *pef, const pef_symbol_t *symbol) {
  return symbol->kind == PEF_SYMBOL_GRADIENT && symbol->of != PEF_NONE &&
         pef->symbols[symbol->of].kind == PEF_SYMBOL_PARAMETER;
}

static leat_status_t add_sum(batches_t *s, uint32_t index) {
  pef_symbol_t sum = s->pef->symbols[index];
  sum.kind = PEF_SYMBOL_STATE;
  sum.bytes = sum.bytes / leat_pef_dtype_bytes(sum.dtype) * leat_dtype_bytes(sum_dtype(&sum));
  sum.dtype = (uint8_t)sum_dtype(&sum);
  return add_symbol(s, sum, s->pef->strings + s->pef->symbols[sum.of].name, "__grad_sum");
}

static leat_status_t add_symbols(batches_t *s) {
  const leat_pef_t *pef = s->pef;
  for (uint32_t i = 0; i < pef->symbol_count; ++i) {
    LEAT_TRY(add_symbol(s, pef->symbols[i], pef->strings + pef->symbols[i].name, ""));
    uint32_t *slot = is_added_up(pef, &pef->symbols[i]) ? leat_array_push(&s->gradients) : NULL;
    if (slot != NULL) *slot = i;
    if (slot == NULL && is_added_up(pef, &pef->symbols[i])) return leat_out_of_memory();
  }
  for (uint32_t i = 0; i < s->gradients.count; ++i) LEAT_TRY(add_sum(s, s->gradients.data[i]));
  return NULL;
}

// --- graphs ---------------------------------------------------------------------------------------------------------

static leat_symbol_id_t named(leat_builder_t *b, char letter, uint32_t index) {
  char name[NAME_BYTES];
  (void)snprintf(name, sizeof name, "%c%u", letter, index);
  return leat_b_named(b, name);
}

// Gradient `index`: its sum begins, goes on, or becomes the mean.
static void add_up(const batches_t *s, leat_builder_t *b, uint32_t index, uint32_t when) {
  const pef_symbol_t *type = &s->pef->symbols[s->gradients.data[index]];
  const leat_dtype_t dtype = (leat_dtype_t)type->dtype, wide = sum_dtype(type);
  const leat_symbol_id_t gradient = named(b, 'g', index), sum = named(b, 's', index);
  leat_value_id_t before = LEAT_NONE, own = LEAT_NONE;
  if (when != PEF_WHEN_FIRST) before = leat_b_symbol(b, sum, LEAT_KIND_STATE, wide, type->rank, type->dims);
  if (when != PEF_WHEN_LAST)
    own = leat_b_cast(b, leat_b_symbol(b, gradient, LEAT_KIND_STATE, dtype, type->rank, type->dims), wide);
  if (when == PEF_WHEN_FIRST) leat_b_store(b, sum, LEAT_STORE_INTERNAL, own);
  if (when == PEF_WHEN_LATER) leat_b_store(b, sum, LEAT_STORE_UPDATE, leat_b_add(b, before, own));
  if (when != PEF_WHEN_LAST) return;
  const leat_value_id_t mean = leat_b_fn2s(b, DIV, before, (double)s->options->update_batches);
  leat_b_store(b, gradient, LEAT_STORE_INTERNAL, leat_b_cast(b, mean, dtype));
}

static leat_status_t make_graph(const batches_t *s, uint32_t when, leat_graph_t **out_graph) {
  leat_builder_t b;
  LEAT_TRY(leat_graph_create(out_graph));
  leat_builder_init(&b, *out_graph);
  b.type = LEAT_TYPE_BCKWD;
  for (uint32_t i = 0; i < s->gradients.count; ++i) add_up(s, &b, i, when);
  return leat_builder_take_status(&b);
}

// --- units ----------------------------------------------------------------------------------------------------------

static leat_status_t add_unit(batches_t *s, uint32_t when, const leat_pef_t *pef, const leat_link_target_t *targets) {
  s->units[when] = (leat_link_unit_t){
      .pef = pef, .like = when, .targets = targets, .late = when != PEF_WHEN_ALWAYS, .when = (uint16_t)when};
  return NULL;
}

static leat_status_t add_program(batches_t *s) {
  leat_link_target_t *targets = leat_arena_alloc(&s->arena, (s->pef->symbol_count + 1u) * sizeof *targets);
  if (targets == NULL) return leat_out_of_memory();
  for (uint32_t i = 0; i < s->pef->symbol_count; ++i) targets[i] = (leat_link_target_t){LEAT_LINK_SYMBOL, i, 0};
  return add_unit(s, PEF_WHEN_ALWAYS, s->pef, targets);
}

static leat_status_t add_sums(batches_t *s, uint32_t when) {
  leat_compiled_t *c = &s->compiled[when];
  leat_graph_t *graph = NULL;
  leat_status_t status = make_graph(s, when, &graph);
  if (status == NULL)
    status = leat_pipeline_run(graph, s->options, s->map_options->arch, LEAT_PIPELINE_PART, &c->settled);
  leat_graph_destroy(graph);
  LEAT_TRY(status);
  LEAT_TRY(leat_compiled_map(c, s->options, s->map_options, "gradients of batches are added up"));
  leat_link_target_t *targets = leat_arena_alloc(&s->arena, (c->pef->symbol_count + 1u) * sizeof *targets);
  if (targets == NULL) return leat_out_of_memory();
  for (uint32_t i = 0; i < c->pef->symbol_count; ++i) {
    const char *name = c->pef->strings + c->pef->symbols[i].name;
    const uint32_t index = (uint32_t)strtoul(name + 1, NULL, 10);
    targets[i] = (leat_link_target_t){LEAT_LINK_SYMBOL, 0, 0};
    targets[i].index = name[0] == 's' ? s->pef->symbol_count + index : s->gradients.data[index];
  }
  return add_unit(s, when, c->pef, targets);
}

static const char *call_name(void *user, uint32_t unit, const char *name, char *buffer, size_t buffer_bytes) {
  static const char *const names[PEF_WHEN_COUNT] = {"", "gradients of the first batch", "sum of gradients",
                                                    "mean of gradients"};
  (void)user, (void)buffer, (void)buffer_bytes;
  return unit == PEF_WHEN_ALWAYS ? name : names[unit];
}

static leat_status_t link_all(batches_t *s) {
  const leat_link_program_t program = {.units = s->units,
                                       .unit_count = PEF_WHEN_COUNT,
                                       .symbols = s->symbols.data,
                                       .symbol_count = s->symbols.count,
                                       .call_name = call_name,
                                       .user = s};
  return leat_compiled_link(&program, s->map_options, s->writer);
}

static leat_status_t add_up_all(batches_t *s) {
  LEAT_TRY(add_symbols(s));
  LEAT_TRY(add_program(s));
  for (uint32_t when = PEF_WHEN_FIRST; when < PEF_WHEN_COUNT; ++when) LEAT_TRY(add_sums(s, when));
  return link_all(s);
}

static void deinit(batches_t *s) {
  for (uint32_t when = PEF_WHEN_FIRST; when < PEF_WHEN_COUNT; ++when) leat_compiled_deinit(&s->compiled[when]);
  leat_pef_close(s->pef);
  leat_array_free(&s->symbols);
  leat_array_free(&s->gradients);
  leat_arena_deinit(&s->arena);
}

// The program with what adds up its gradients, in place of *writer.
static leat_status_t add_gradients_up(const leat_compile_options_t *options, const leat_map_options_t *map_options,
                                      leat_pef_writer_t **writer) {
  batches_t s = {.options = options, .map_options = map_options, .writer = leat_pef_writer_create()};
  leat_arena_init(&s.arena);
  leat_status_t status = s.writer == NULL ? leat_out_of_memory() : leat_compiled_open(*writer, "program", &s.pef);
  if (status == NULL) leat_pef_share_bodies(s.writer, options->separate_bodies == 0);
  if (status == NULL) status = add_up_all(&s);
  deinit(&s);
  leat_pef_writer_destroy(status == NULL ? *writer : s.writer);
  if (status == NULL) *writer = s.writer;
  return status;
}

// --- the loop -------------------------------------------------------------------------------------------------------

// Calls of these types lie side by side, those of prepare in front of them.
static void add_loop(leat_pef_writer_t *writer, uint32_t types, uint32_t batches, const char *name) {
  leat_pef_t pef;
  pef_loop_t loop = {.flags = PEF_LOOP_APART | PEF_LOOP_BATCHES, .trips = batches};
  loop.name = leat_pef_add_string(writer, name);
  leat_pef_view(writer, &pef);
  while (loop.call_first < pef.call_count && pef.calls[loop.call_first].type == PEF_PREPARE) ++loop.call_first;
  for (uint32_t c = loop.call_first; c < pef.call_count && (types >> pef.calls[c].type & 1u) != 0; ++c)
    ++loop.call_count;
  if (loop.call_count != 0) leat_pef_add_loop_around(writer, &loop);
}

static bool has_backward(const leat_pef_writer_t *writer) {
  leat_pef_t pef;
  leat_pef_view(writer, &pef);
  for (uint32_t c = 0; c < pef.call_count; ++c)
    if (pef.calls[c].type == PEF_BCKWD) return true;
  return false;
}

leat_status_t leat_batches_add_loop(const leat_compile_options_t *options, const leat_map_options_t *map_options,
                                    leat_pef_writer_t **writer) {
  if (options->update_batches > 1 && has_backward(*writer)) {
    LEAT_TRY(add_gradients_up(options, map_options, writer));
    add_loop(*writer, 1u << PEF_FWD | 1u << PEF_BCKWD, options->update_batches, "batches of an update");
  } else if (options->run_batches > 1) {
    add_loop(*writer, ~0u, options->run_batches, "batches of a run");
  }
  return NULL;
}
