// SPDX-License-Identifier: Apache-2.0
#include "map/lookup.h"

#include "map/strip.h"
#include "pef/pef_scalar.h"

// --- which ----------------------------------------------------------------------------------------------------------

static bool reads_whole(const leat_graph_t *g, leat_value_id_t v, leat_access_t *out_access) {
  return leat_access_resolve(g, v, out_access) && leat_access_is_whole(g, out_access);
}

// The GATHER that an op is drafted as, or NULL.
static const pef_stage_t *find_gather(const leat_decided_t *d, leat_op_id_t id) {
  const leat_draft_t *draft = &d->drafts[d->plan->section_of[id]];
  for (uint32_t i = 0; i < draft->stages.count; ++i) {
    if (draft->origins.data[i] == id && draft->stages.data[i].kind == PEF_STAGE_GATHER) return &draft->stages.data[i];
  }
  return NULL;
}

bool leat_lookup_fits(const leat_decided_t *d, const leat_pack_t *pack, leat_use_t use) {
  const leat_graph_t *g = d->g;
  const leat_op_t *op = leat_graph_op(g, use.op);
  leat_access_t table, index;
  if (leat_op_is_statement(op->kind) || use.input != 0 || pack->dim != 0) return false;
  const pef_stage_t *gather = find_gather(d, use.op);
  if (gather == NULL || gather->params.gather.dim != 0 || gather->params.gather.batch != 0) return false;
  if (!reads_whole(g, leat_op_input(g, op, 0), &table) || table.rank != 2 || table.dims[0] != pack->access.dims[1])
    return false;
  if (!reads_whole(g, leat_op_input(g, op, 1), &index)) return false;
  const leat_op_id_t maker = leat_graph_value(g, index.base)->op;  // it has to be there before the section
  if (leat_op_computes(leat_graph_op(g, maker)->kind) && d->plan->section_of[maker] == d->plan->section_of[use.op])
    return false;
  const uint64_t places = (uint64_t)leat_value_elements(leat_graph_value(g, op->result_first)) * sizeof(int64_t);
  return places <= pack->bytes / d->options->arch->places_share;
}

// --- places of elements ---------------------------------------------------------------------------------------------

static uint32_t put(leat_draft_t *d, pef_instruction_t instruction) {
  const uint32_t at = d->stages.count == 0 ? 0 : d->stages.data[d->stages.count - 1].instruction_count;
  *leat_draft_instruction(d) = instruction;
  return at;
}
static uint32_t compute(leat_draft_t *d, uint32_t op, uint32_t a, uint32_t b, uint32_t c) {
  return put(d, (pef_instruction_t){.op = (uint16_t)op,
                                    .class_ = PEF_CLASS_I64,
                                    .type = leat_pef_scalar_body(op, PEF_CLASS_I64),
                                    .a = a,
                                    .b = b,
                                    .c = c});
}
static uint32_t number(leat_draft_t *d, int64_t n) {
  return put(d, (pef_instruction_t){.op = PEF_OP_IMMEDIATE, .class_ = PEF_CLASS_I64, .imm = (uint64_t)n});
}

// Element k of row i lies in the block that starts with row s, at s * elements + k * (width of the block) + i - s. Rows
// that are out of range are so behind the last element, too.
static void draft_places(leat_draft_t *d, int64_t rows, int64_t elements, int64_t block) {
  const int64_t whole = rows / block * block;
  const uint32_t zero = number(d, 0), count = number(d, rows), length = number(d, elements), all = number(d, block);
  const uint32_t given = compute(d, PEF_OP_LOAD, 0, 0, 0);
  const uint32_t counted = compute(d, LEAT_SCALAR_ADD, given, count, 0);
  const uint32_t row = compute(d, LEAT_SCALAR_SELECT, compute(d, LEAT_SCALAR_LT, given, zero, 0), counted, given);
  const uint32_t start = compute(d, LEAT_SCALAR_MUL, compute(d, LEAT_SCALAR_DIV, row, all, 0), all, 0);
  const uint32_t is_last = compute(d, LEAT_SCALAR_GE, row, number(d, whole), 0);
  const uint32_t width = compute(d, LEAT_SCALAR_SELECT, is_last, number(d, rows - whole), all);
  const uint32_t k = compute(d, PEF_OP_IOTA, 1, 0, 0);
  const uint32_t inside = compute(d, LEAT_SCALAR_ADD, compute(d, LEAT_SCALAR_MUL, k, width, 0),
                                  compute(d, LEAT_SCALAR_SUB, row, start, 0), 0);
  const uint32_t place = compute(d, LEAT_SCALAR_ADD, compute(d, LEAT_SCALAR_MUL, start, length, 0), inside, 0);
  const uint32_t nowhere = number(d, rows * elements);
  const uint32_t below = compute(d, LEAT_SCALAR_SELECT, compute(d, LEAT_SCALAR_LT, row, zero, 0), nowhere, place);
  const uint32_t found = compute(d, LEAT_SCALAR_SELECT, compute(d, LEAT_SCALAR_GE, row, count, 0), nowhere, below);
  *leat_draft_instruction(d) = (pef_instruction_t){.op = PEF_OP_STORE, .class_ = PEF_CLASS_I64, .a = 1, .b = found};
}

// --- calls ----------------------------------------------------------------------------------------------------------

static uint32_t rank_of(const leat_decided_t *d, uint32_t section) {
  uint32_t rank = 0;
  while (rank < d->order_count && d->order[rank] != section) ++rank;
  return rank;
}

// A call in front of that stage, after those that come before.
static leat_pack_call_t *insert_call(leat_decided_t *d, uint32_t section, uint32_t stage) {
  const uint32_t rank = rank_of(d, section);
  if (leat_array_push(&d->packs.calls) == NULL) return NULL;
  leat_pack_call_t *calls = d->packs.calls.data;
  uint32_t at = d->packs.calls.count - 1;
  for (; at > 0; --at) {
    const uint32_t before = rank_of(d, calls[at - 1].section);
    if (before < rank || (before == rank && calls[at - 1].stage <= stage)) break;
    calls[at] = calls[at - 1];
  }
  calls[at] = (leat_pack_call_t){.section = section, .stage = stage, .why = "the table lies as products read it"};
  return &calls[at];
}

static leat_status_t add_places(leat_decided_t *d, const leat_pack_t *table, leat_op_id_t id, uint32_t stage) {
  const leat_graph_t *g = d->g;
  const leat_op_t *op = leat_graph_op(g, id);
  const uint32_t section = d->plan->section_of[id];
  leat_access_t index;
  (void)leat_access_resolve(g, leat_op_input(g, op, 1), &index);
  const int64_t elements = table->access.dims[0], rows = table->access.dims[1];
  const int64_t count = leat_value_elements(leat_graph_value(g, index.base)), bytes = 8 * count * elements;
  const leat_access_t from = {.base = index.base, .rank = 2, .dims = {count, elements}, .strides = {1, 0}};
  const leat_access_t to = {.rank = 2, .dims = {count, elements}, .strides = {elements, 1}};
  const int64_t block = table->block == 0 ? rows : table->block;
  leat_pack_t *places = leat_array_push(&d->packs.all);
  leat_pack_call_t *call = places == NULL ? NULL : insert_call(d, section, stage);
  if (call == NULL) return leat_out_of_memory();
  *places =
      (leat_pack_t){.bytes = (uint64_t)bytes, .type = op->type, .first = section, .last = section, .symbol = LEAT_NONE};
  call->pack = d->packs.all.count - 1;
  call->bytes = (double)bytes;
  leat_draft_init(&call->draft, g, d->plan, count);
  leat_draft_stage(&call->draft, PEF_STAGE_MAP, id);
  leat_draft_value(&call->draft, &from, 0, false);
  leat_draft_operand(&call->draft, (leat_source_t){LEAT_SOURCE_PACK, true, call->pack}, LEAT_I64, &to, 0);
  draft_places(&call->draft, rows, elements, block);
  return leat_draft_take_status(&call->draft);
}

// --- lookups --------------------------------------------------------------------------------------------------------

// Elements by their places, in place of rows by their numbers.
static void look_up_elements(leat_draft_t *draft, const pef_stage_t *stage, uint32_t table, uint32_t places) {
  pef_operand_t *x = &draft->operands.data[stage->operand_first + PEF_GATHER_x],
                *index = &draft->operands.data[stage->operand_first + PEF_GATHER_index];
  const int64_t elements = x->dims[0] * x->dims[1];
  *index = draft->operands.data[stage->operand_first + PEF_GATHER_out];
  index->dtype = LEAT_I64;
  index->offset = 0;
  leat_contiguous_strides(index->rank, index->dims, index->strides);
  *x = (pef_operand_t){.dtype = x->dtype, .rank = 1, .row_dim = PEF_NO_ROW_DIM, .dims = {elements}, .strides = {1}};
  leat_source_t *sources = &draft->sources.data[stage->operand_first];
  sources[PEF_GATHER_x] = (leat_source_t){LEAT_SOURCE_PACK, false, table};
  sources[PEF_GATHER_index] = (leat_source_t){LEAT_SOURCE_PACK, false, places};
}

static leat_status_t redirect(leat_decided_t *d, uint32_t pack, leat_op_id_t id) {
  leat_draft_t *draft = &d->drafts[d->plan->section_of[id]];
  const pef_stage_t *gather = find_gather(d, id);
  const leat_pack_t table = d->packs.all.data[pack];
  LEAT_TRY(add_places(d, &table, id, (uint32_t)(gather - draft->stages.data)));
  look_up_elements(draft, gather, pack, d->packs.all.count - 1);
  return NULL;
}

leat_status_t leat_lookups_redirect(leat_decided_t *d) {
  for (uint32_t i = 0, count = d->packs.all.count; i < count; ++i) {
    if (!d->packs.all.data[i].only) continue;
    const leat_value_id_t base = d->packs.all.data[i].access.base;
    for (uint32_t u = d->uses.first[base]; u < d->uses.first[base + 1]; ++u) {
      if (leat_lookup_fits(d, &d->packs.all.data[i], d->uses.all[u])) LEAT_TRY(redirect(d, i, d->uses.all[u].op));
    }
  }
  return NULL;
}
