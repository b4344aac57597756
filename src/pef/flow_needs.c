// SPDX-License-Identifier: Apache-2.0
// Which symbols must hold something before a run, so that the asked ones come out right: walks the calls of a PEF
// backwards, those of a loop until nothing more is found, and marks what flows into what is asked. A label that only a
// loss reads need not be given when the loss is not asked for.
//
// Nothing is ever taken off the marks, although a place may be reused for several values: the answer may name a symbol
// too many, never one too few.
#include "pef/flow.h"
#include "pef/pef_scalar.h"

// Bytes [begin, end) of a symbol or the arena (places), or of a tile buffer.
typedef struct span_s {
  uint32_t kind;    // pef_place_kind
  uint32_t symbol;  // or buffer
  uint64_t begin, end;
} span_t;
typedef LEAT_ARRAY(span_t) span_list_t;

typedef struct walk_s {
  const leat_pef_t *pef;
  span_list_t live;     // places whose contents matter
  span_list_t buffers;  // of the call being visited
  bool *wanted;         // of the instructions of a stage
  bool *live_outputs;   // of its operands: written, and that matters
  bool *sources;        // of its operands: what these are computed from
  uint32_t *begins;     // per call: where the outermost loop begins that ends with it; else the call itself
  bool *in_loop;        // per call
  bool failed;          // out of memory
} walk_t;

static bool overlap(const span_t *a, const span_t *b) {
  return a->kind == b->kind && a->symbol == b->symbol && a->begin < b->end && b->begin < a->end;
}

static bool is_live(const span_list_t *list, const span_t *span) {
  for (uint32_t i = 0; i < list->count; ++i)
    if (overlap(&list->data[i], span)) return true;
  return false;
}

static void mark(walk_t *walk, span_list_t *list, const span_t *span) {
  for (uint32_t i = 0; i < list->count; ++i) {
    const span_t *old = &list->data[i];
    if (overlap(old, span) && old->begin <= span->begin && span->end <= old->end) return;
  }
  span_t *entry = leat_array_push(list);
  if (entry)
    *entry = *span;
  else
    walk->failed = true;
}

static span_t argument_span(const pef_argument_t *argument) {
  return (span_t){argument->kind, argument->symbol, argument->offset, argument->offset + argument->bytes};
}

// What the operand touches of its tile buffer.
static span_t buffer_span(const pef_body_t *body, const pef_operand_t *operand) {
  const int64_t element_bytes = (int64_t)leat_pef_dtype_bytes(operand->dtype);
  int64_t low = (int64_t)operand->offset, high = low + element_bytes;
  for (uint32_t d = 0; d < operand->rank; ++d) {
    const int64_t extent =
        d == operand->row_dim ? (int64_t)(leat_pef_tile_rows(body) * operand->row_mult) : operand->dims[d];
    const int64_t reach = (extent - 1) * operand->strides[d] * element_bytes;
    *(reach < 0 ? &low : &high) += reach;
  }
  return (span_t){0, operand->slot, (uint64_t)low, (uint64_t)high};
}

// Is anything live of what an operand of a call stands for, in any trip?
static bool is_operand_live(const walk_t *walk, const pef_call_t *call, const pef_operand_t *operand) {
  const leat_pef_t *pef = walk->pef;
  if (operand->space != PEF_SPACE_ARGUMENT) {
    const span_t span = buffer_span(&pef->bodies[call->body], operand);
    return is_live(&walk->buffers, &span);
  }
  uint32_t places;
  const pef_argument_t *at = leat_pef_places(pef, call->argument_first + operand->slot, &places);
  for (; places > 0; --places, ++at) {
    const span_t span = argument_span(at);
    if (is_live(&walk->live, &span)) return true;
  }
  return false;
}

static void mark_operand(walk_t *walk, const pef_call_t *call, const pef_operand_t *operand) {
  const leat_pef_t *pef = walk->pef;
  if (operand->space != PEF_SPACE_ARGUMENT) {
    const span_t span = buffer_span(&pef->bodies[call->body], operand);
    mark(walk, &walk->buffers, &span);
    return;
  }
  uint32_t places;
  const pef_argument_t *at = leat_pef_places(pef, call->argument_first + operand->slot, &places);
  for (; places > 0; --places, ++at) {
    const span_t span = argument_span(at);
    mark(walk, &walk->live, &span);
  }
}

// What the live outputs of a MAP stage are computed from: values are followed back from its stores.
static void mark_sources(walk_t *walk, const pef_stage_t *stage) {
  const pef_instruction_t *program = &walk->pef->instructions[stage->instruction_first];
  bool *wanted = walk->wanted;
  memset(wanted, 0, stage->instruction_count * sizeof *wanted);
  for (uint32_t i = stage->instruction_count; i-- > 0;) {
    const pef_instruction_t *in = &program[i];
    if (in->op == PEF_OP_STORE) wanted[i] = walk->live_outputs[in->a];
    if (!wanted[i]) continue;
    if (in->op == PEF_OP_LOAD) walk->sources[in->a] = true;
    uint32_t values[3];
    for (uint32_t n = leat_pef_instruction_reads(in, values); n-- > 0;) wanted[values[n]] = true;
  }
}

static void visit_stage(walk_t *walk, const pef_call_t *call, const pef_stage_t *stage) {
  const leat_pef_t *pef = walk->pef;
  const bool follows = stage->kind == PEF_STAGE_MAP;
  bool any = false;
  memset(walk->live_outputs, false, stage->operand_count);
  memset(walk->sources, !follows, stage->operand_count);
  for (leat_operand_use_t use = {0}; leat_flow_next(pef, stage, &use);) {
    if (!use.written || !is_operand_live(walk, call, use.operand)) continue;
    walk->live_outputs[use.index] = any = true;
  }
  if (!any) return;
  if (follows) mark_sources(walk, stage);
  for (leat_operand_use_t use = {0}; leat_flow_next(pef, stage, &use);) {
    if (!use.written && walk->sources[use.index]) mark_operand(walk, call, use.operand);
  }
}

static void visit_call(walk_t *walk, uint32_t index, uint32_t types) {
  const pef_call_t *call = &walk->pef->calls[index];
  if (call->type != PEF_PREPARE && !(types >> call->type & 1)) return;
  const pef_body_t *body = &walk->pef->bodies[call->body];
  walk->buffers.count = 0;
  for (uint32_t s = body->stage_count; s-- > 0;) visit_stage(walk, call, &walk->pef->stages[body->stage_first + s]);
}

// Those of an outermost loop as often as they find more: what a trip reads the one before it may have written.
static void visit_calls(walk_t *walk, uint32_t types) {
  for (uint32_t end = walk->pef->call_count; end > 0;) {
    const uint32_t first = walk->begins[end - 1];
    for (uint32_t before = UINT32_MAX; before != walk->live.count && !walk->failed;) {
      before = walk->live.count;
      for (uint32_t c = end; c-- > first;) visit_call(walk, c, types);
      if (first + 1 == end && !walk->in_loop[first]) break;
    }
    end = first;
  }
}

// Only symbols live from one run to the next. True if a symbol was found live that was not in `needed`.
static bool keep_symbols(walk_t *walk, bool *needed) {
  bool grew = false;
  for (uint32_t i = 0; i < walk->live.count; ++i) {
    const span_t *span = &walk->live.data[i];
    if (span->kind != PEF_PLACE_SYMBOL || needed[span->symbol]) continue;
    needed[span->symbol] = grew = true;
  }
  return grew;
}

static bool find_loops(walk_t *walk) {
  const leat_pef_t *pef = walk->pef;
  walk->begins = leat_alloc_zero(pef->call_count + 1u, sizeof *walk->begins);
  walk->in_loop = leat_alloc_zero(pef->call_count + 1u, sizeof *walk->in_loop);
  if (walk->begins == NULL || walk->in_loop == NULL) return false;
  for (leat_walk_t at = leat_walk_start(pef, 1); leat_walk_next(&at);) {
    const pef_loop_t *outer = at.depth == 0 ? NULL : &pef->loops[at.levels[0].loop];
    const bool ends = outer != NULL && at.call + 1 == outer->call_first + outer->call_count;
    walk->begins[at.call] = ends ? outer->call_first : at.call;
    walk->in_loop[at.call] = outer != NULL;
  }
  return true;
}

leat_status_t leat_flow_needs(const leat_pef_t *pef, uint32_t types, bool *needed) {
  bool *flags = leat_alloc((PEF_MAX_INSTRUCTIONS + 2 * PEF_MAX_OPERANDS) * sizeof *flags);
  if (flags == NULL) return leat_out_of_memory();
  walk_t walk = {.pef = pef,
                 .wanted = flags,
                 .live_outputs = flags + PEF_MAX_INSTRUCTIONS,
                 .sources = flags + PEF_MAX_INSTRUCTIONS + PEF_MAX_OPERANDS};
  walk.failed = !find_loops(&walk);
  while (!walk.failed) {
    walk.live.count = 0;
    for (uint32_t i = 0; i < pef->symbol_count; ++i)
      if (needed[i]) mark(&walk, &walk.live, &(span_t){PEF_PLACE_SYMBOL, i, 0, pef->symbols[i].bytes});
    visit_calls(&walk, types);
    if (!keep_symbols(&walk, needed)) break;
  }
  leat_free(flags);
  leat_array_free(&walk.live);
  leat_array_free(&walk.buffers);
  leat_free(walk.begins);
  leat_free(walk.in_loop);
  if (walk.failed) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "out of memory for the inputs that the outputs depend on");
  return NULL;
}
