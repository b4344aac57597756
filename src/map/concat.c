// SPDX-License-Identifier: Apache-2.0
#include "map/concat.h"

#include "arch/blocks.h"

typedef struct joining_s {
  const leat_graph_t *g;
  const leat_plan_t *plan;
  const leat_uses_t *uses;
  const leat_map_symbols_t *symbols;
  const leat_keeps_t *keeps;
  leat_concats_t *concats;
} joining_t;

void leat_concats_deinit(leat_concats_t *concats) {
  leat_free(concats->of);
  leat_free(concats->is_whole);
}

leat_access_t leat_concats_access(const leat_concats_t *concats, const leat_access_t *access) {
  leat_access_t a = *access;
  const leat_part_t *part = &concats->of[a.base];
  if (part->whole == LEAT_NONE) return a;
  a.base = part->whole;
  a.offset += part->at;
  return a;
}

// --- what may be a part ---------------------------------------------------------------------------------------------

static bool all_can_read(const joining_t *j, leat_value_id_t v) {
  for (uint32_t i = j->uses->first[v]; i < j->uses->first[v + 1]; ++i) {
    const leat_use_t *use = &j->uses->all[i];
    leat_access_t access;
    if (!leat_access_resolve(j->g, leat_op_input(j->g, leat_graph_op(j->g, use->op), use->input), &access))
      return false;
  }
  return true;
}

static bool is_read_in(const joining_t *j, leat_value_id_t v, uint32_t section) {
  for (uint32_t i = j->uses->first[v]; i < j->uses->first[v + 1]; ++i) {
    if (j->plan->section_of[j->uses->all[i].op] == section) return true;
  }
  return false;
}

static uint32_t maker_section(const joining_t *j, leat_value_id_t v) {
  return j->plan->section_of[leat_graph_value(j->g, v)->op];
}

// The section that makes `v` has to do, of the whole and what it joins, with nothing but `v`; and that which makes the
// whole with `v` only there.
static bool is_made_apart(const joining_t *j, const leat_op_t *concat, leat_value_id_t v) {
  const uint32_t section = maker_section(j, v), joined_in = maker_section(j, concat->result_first);
  if (section == joined_in || is_read_in(j, concat->result_first, section)) return false;
  for (uint32_t i = 0; i < concat->input_count; ++i) {
    const leat_value_id_t other = leat_access_base(j->g, leat_op_input(j->g, concat, i));
    if (other != v && (is_read_in(j, other, section) || maker_section(j, other) == section)) return false;
  }
  for (uint32_t i = j->uses->first[v]; i < j->uses->first[v + 1]; ++i) {
    const leat_op_t *reader = leat_graph_op(j->g, j->uses->all[i].op);
    if (reader != concat && j->plan->section_of[j->uses->all[i].op] == joined_in) return false;
  }
  return true;
}

static uint32_t times_joined(const leat_graph_t *g, const leat_op_t *concat, leat_value_id_t v) {
  uint32_t times = 0;
  for (uint32_t i = 0; i < concat->input_count; ++i) times += leat_access_base(g, leat_op_input(g, concat, i)) == v;
  return times;
}

static bool is_of_lines(const leat_part_t *part, int64_t elements, leat_dtype_t dtype) {
  const int64_t line = BLOCKS_LINE / (int64_t)leat_dtype_bytes(dtype);
  return elements >= CONCAT_LINES * line && elements % line == 0 && part->at % line == 0;
}

// Weights are packed, and indices looked up, by accesses that are no op's: neither is a part.
static bool may_be_part(const joining_t *j, const leat_op_t *concat, leat_value_id_t v, const leat_part_t *part) {
  const leat_value_t *value = leat_graph_value(j->g, v);
  const leat_op_t *maker = leat_graph_op(j->g, value->op);
  if (!leat_op_computes(maker->kind) || maker->type != concat->type) return false;
  if (maker->type == LEAT_TYPE_PREPARE || !leat_dtype_is_float((leat_dtype_t)value->dtype)) return false;
  if (j->keeps->of[v].kind != LEAT_KEEP_MEMORY || leat_concats_is_part(j->concats, v) || j->concats->is_whole[v])
    return false;
  return is_of_lines(part, leat_value_elements(value), (leat_dtype_t)value->dtype) &&
         times_joined(j->g, concat, v) == 1 && is_made_apart(j, concat, v) && all_can_read(j, v);
}

// --- all of it ------------------------------------------------------------------------------------------------------

// Whether operands of a concatenation lie in one piece each, one behind the other.
static bool is_of_pieces(const leat_graph_t *g, const leat_op_t *concat) {
  const leat_value_t *whole = leat_graph_value(g, concat->result_first);
  int64_t before = 1;
  for (uint32_t d = 0; d < (uint32_t)leat_op_int(g, concat, LEAT_ATTR_DIM, 0); ++d) before *= whole->dims[d];
  return before == 1;
}

// Which value an operand is, whole; LEAT_NONE: it is some of one.
static leat_value_id_t value_of(const joining_t *j, const leat_op_t *concat, uint32_t input) {
  leat_access_t access;
  const bool is_known = leat_access_resolve(j->g, leat_op_input(j->g, concat, input), &access);
  return is_known && leat_access_is_whole(j->g, &access) ? access.base : LEAT_NONE;
}

// In memory, or in that of a gradient, which nobody reads before it is whole.
static bool may_have_parts(const joining_t *j, leat_value_id_t v) {
  const leat_keep_t *keep = &j->keeps->of[v];
  if (keep->kind == LEAT_KEEP_SYMBOL) return j->symbols->all.data[keep->symbol].kind == PEF_SYMBOL_GRADIENT;
  return keep->kind == LEAT_KEEP_MEMORY && !leat_concats_is_part(j->concats, v);
}

static int64_t elements_of(const joining_t *j, const leat_op_t *concat, uint32_t input) {
  return leat_value_elements(leat_graph_value(j->g, leat_op_input(j->g, concat, input)));
}

static void join(const joining_t *j, const leat_op_t *concat) {
  const leat_value_id_t whole = concat->result_first;
  if (!may_have_parts(j, whole) || !is_of_pieces(j->g, concat)) return;
  leat_part_t part = {.whole = whole};
  bool all = true;
  for (uint32_t i = 0; i < concat->input_count; part.at += elements_of(j, concat, i++)) {
    const leat_value_id_t v = value_of(j, concat, i);
    all &= elements_of(j, concat, i) == 0 || (v != LEAT_NONE && may_be_part(j, concat, v, &part));
  }
  // A section that copies the rest would read what it did not write.
  if (!all && is_read_in(j, whole, maker_section(j, whole))) return;
  part.at = 0;
  for (uint32_t i = 0; i < concat->input_count; part.at += elements_of(j, concat, i++)) {
    const leat_value_id_t v = value_of(j, concat, i);
    if (elements_of(j, concat, i) == 0 || v == LEAT_NONE || !may_be_part(j, concat, v, &part)) continue;
    j->concats->of[v] = part;
    j->concats->is_whole[whole] = true;
  }
}

// What joins; other primitives have no row.
static void (*const join_table[LEAT_PRIM_COUNT])(const joining_t *j, const leat_op_t *op) = {[LEAT_PRIM_CONCAT] = join};

leat_status_t leat_concats_choose(const leat_graph_t *g, const leat_plan_t *plan, const leat_uses_t *uses,
                                  const leat_map_symbols_t *symbols, const leat_keeps_t *keeps,
                                  leat_concats_t *out_concats) {
  out_concats->of = leat_alloc_zero(g->values.count + 1u, sizeof *out_concats->of);
  out_concats->is_whole = leat_alloc_zero(g->values.count + 1u, sizeof *out_concats->is_whole);
  if (out_concats->of == NULL || out_concats->is_whole == NULL) return leat_out_of_memory();
  for (leat_value_id_t v = 0; v < g->values.count; ++v) out_concats->of[v].whole = LEAT_NONE;
  const joining_t j = {g, plan, uses, symbols, keeps, out_concats};
  for (leat_op_id_t id = 0; id < g->ops.count; ++id) {
    const leat_op_t *op = leat_graph_op(g, id);
    if (join_table[op->kind] != NULL) join_table[op->kind](&j, op);
  }
  return NULL;
}
