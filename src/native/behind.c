// SPDX-License-Identifier: Apache-2.0
#include "native/behind.h"

#include "pef/walk.h"

// --- a reader --------------------------------------------------------------------------------------------------------

static const pef_operand_t *operand_of(const leat_pef_t *pef, const pef_stage_t *stage, uint32_t index) {
  return &pef->operands[stage->operand_first + index];
}

static bool places_overlap(const pef_argument_t *a, const pef_argument_t *b) {
  if (a->kind != b->kind || a->symbol != b->symbol) return false;
  return a->offset < b->offset + b->bytes && b->offset < a->offset + a->bytes;
}

// Whether two arguments of a body may be the same memory in some call; what moves may be anywhere.
static bool arguments_overlap(const leat_pef_t *pef, const pef_body_t *body, uint32_t a, uint32_t b) {
  for (uint32_t c = 0; c < pef->call_count; c++) {
    const pef_call_t *call = &pef->calls[c];
    uint32_t moves = 0;
    if (&pef->bodies[call->body] != body) continue;
    (void)leat_pef_moves(pef, call->argument_first, call->argument_count, &moves);
    const pef_argument_t *of_call = &pef->arguments[call->argument_first];
    if (moves != 0 || places_overlap(&of_call[a], &of_call[b])) return true;
  }
  return false;
}

static bool buffers_overlap(const leat_pef_t *pef, const pef_body_t *body, uint32_t a, uint32_t b) {
  const uint64_t rows = leat_pef_tile_rows(body);
  const pef_buffer_t *buffers = &pef->buffers[body->buffer_first];
  const pef_layout_t *layout = &pef->layout[body->buffer_first];
  return layout[a].offset < layout[b].offset + leat_pef_buffer_bytes(pef, body, &buffers[b], rows) &&
         layout[b].offset < layout[a].offset + leat_pef_buffer_bytes(pef, body, &buffers[a], rows);
}

static bool overlap(const leat_pef_t *pef, const pef_body_t *body, const pef_operand_t *a, const pef_operand_t *b) {
  if (a->space != b->space) return false;
  if (a->slot == b->slot) return true;
  return a->space == PEF_SPACE_ARGUMENT ? arguments_overlap(pef, body, a->slot, b->slot)
                                        : buffers_overlap(pef, body, a->slot, b->slot);
}

// Whether what `writer` writes may be memory that `reader` reads.
static bool disturbs(const leat_pef_t *pef, const pef_body_t *body, const pef_stage_t *writer,
                     const pef_stage_t *reader) {
  const pef_operand_t *written = operand_of(pef, writer, leat_pef_output(pef, writer));
  for (uint32_t i = 0; i < reader->operand_count; i++) {
    const pef_operand_t *read = operand_of(pef, reader, i);
    if (read->space != PEF_SPACE_NONE && leat_pef_reads(pef, reader, i) && overlap(pef, body, written, read))
      return true;
  }
  return false;
}

static uint32_t count_written(const leat_pef_t *pef, const pef_stage_t *stage) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < stage->operand_count; i++) count += leat_pef_writes(pef, stage, i);
  return count;
}

const pef_stage_t *leat_native_behind_reader(const leat_pef_t *pef, const pef_body_t *body, const pef_stage_t *stage) {
  const uint32_t index = (uint32_t)(stage - pef->stages) - body->stage_first;
  if (index + 1 >= body->stage_count || count_written(pef, stage) != 1) return NULL;
  const pef_stage_t *next = stage + 1;
  const pef_operand_t *made = operand_of(pef, stage, leat_pef_output(pef, stage));
  if (stage->output != PEF_NO_OUTPUT || next->output != PEF_NO_OUTPUT || made->space != PEF_SPACE_SCRATCH) return NULL;
  const pef_buffer_t *buffer = &pef->buffers[body->buffer_first + made->slot];
  if (buffer->dtype == PEF_OPAQUE || buffer->first != index || buffer->last != index + 1) return NULL;
  if (leat_pef_stage_is_idle(pef, next) || count_written(pef, next) != 1) return NULL;
  return disturbs(pef, body, next, stage) || disturbs(pef, body, next, next) ? NULL : next;
}

// --- sums ------------------------------------------------------------------------------------------------------------

// Whether another stage of the body reads or writes the buffer of an operand, but for `count` stages from `first` on.
static bool is_wanted(const leat_pef_t *pef, const pef_body_t *body, const pef_operand_t *operand,
                      const pef_stage_t *first, uint32_t count) {
  bool wanted = operand->space != PEF_SPACE_SCRATCH;
  for (const pef_stage_t *s = pef->stages + body->stage_first, *end = s + body->stage_count; s < end && !wanted; s++) {
    if (s >= first && s < first + count) continue;
    for (uint32_t o = s->operand_first; o < s->operand_first + s->operand_count && !wanted; o++)
      wanted = pef->operands[o].space == PEF_SPACE_SCRATCH && pef->operands[o].slot == operand->slot;
  }
  return wanted;
}

static bool is_at_hand(const leat_pef_t *pef, const pef_stage_t *map, const pef_operand_t *operand) {
  for (uint32_t o = map->operand_first; o < map->operand_first + map->operand_count; o++) {
    const pef_operand_t *own = &pef->operands[o];
    if (own->space == operand->space && own->slot == operand->slot) return true;
  }
  return false;
}

uint32_t leat_native_behind_sums(const leat_pef_t *pef, const pef_body_t *body, const pef_stage_t *map,
                                 leat_native_behind_sum_t out[LEAT_NATIVE_SUMS_MAX]) {
  const pef_stage_t *end = pef->stages + body->stage_first + body->stage_count;
  uint32_t count = 0;
  if (map->kind != PEF_STAGE_MAP || map->output != PEF_NO_OUTPUT) return 0;
  for (const pef_stage_t *s = map + 1; s < end && count < LEAT_NATIVE_SUMS_MAX && s->kind == PEF_STAGE_REDUCE; s++) {
    if (!is_at_hand(pef, map, operand_of(pef, s, PEF_REDUCE_in)) || leat_pef_stage_is_idle(pef, s) ||
        s->output != PEF_NO_OUTPUT)
      break;
    out[count++].reduce = s;
  }
  for (uint32_t i = 0; i < count; i++)
    out[i].wanted = is_wanted(pef, body, operand_of(pef, out[i].reduce, PEF_REDUCE_in), map, count + 1);
  return count;
}
