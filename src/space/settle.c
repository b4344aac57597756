// SPDX-License-Identifier: Apache-2.0
// Implementation of settle.h: one visit function per class of op, on the rebuild driver.
#include "space/settle.h"

#include "ir/rebuild.h"
#include "space/access.h"
#include "space/stage.h"

typedef struct settle_s {
  const leat_arch_t *arch;
  LEAT_ARRAY(bool) fixed;  // new value -> depends on parameters, unchanging buffers and constants only
  uint8_t *updated;        // value of a symbol -> the section type that updates it, if a later one reads it; else NONE
} settle_t;

enum { NONE = 0xff };

static const leat_op_t *defining_op(const leat_graph_t *g, leat_value_id_t v) {
  return leat_graph_op(g, leat_graph_value(g, v)->op);
}

static bool is_splat(const leat_graph_t *g, leat_value_id_t v) {
  double number;
  return leat_op_splat(g, defining_op(g, v), &number);
}

static bool is_iota(const leat_graph_t *g, leat_value_id_t v) {
  return leat_op_role(defining_op(g, v)->kind) == LEAT_ROLE_SEQUENCE;
}

static bool value_is_fixed(const settle_t *s, leat_value_id_t v) { return v < s->fixed.count && s->fixed.data[v]; }

static leat_status_t mark(settle_t *s, leat_value_id_t first, uint32_t count, bool fixed) {
  while (s->fixed.count < first + count) {
    if (leat_array_push(&s->fixed) == NULL) return leat_out_of_memory();
  }
  for (uint32_t i = 0; i < count; ++i) s->fixed.data[first + i] = fixed;
  return NULL;
}

// A computing copy of `v` in the section type of the op being visited, or PREPARE if `v` is fixed.
static leat_value_id_t copy_of(leat_rebuild_t *r, leat_value_id_t v, bool may_prepare) {
  settle_t *s = r->user;
  uint8_t type = r->b.type;
  bool fixed = may_prepare && value_is_fixed(s, v);
  if (fixed) r->b.type = LEAT_TYPE_PREPARE;
  leat_value_id_t copy = leat_b_map1(&r->b, LEAT_SCALAR_COPY, v);
  r->b.type = type;
  if (copy != LEAT_NONE && r->b.status == NULL) r->b.status = mark(s, copy, 1, fixed);
  return copy;
}

// --- views ----------------------------------------------------------------------------------------------------------

static leat_value_id_t splat_again(leat_rebuild_t *r, leat_value_id_t v, const leat_value_t *as) {
  double number = leat_op_float(r->b.graph, defining_op(r->b.graph, v), LEAT_ATTR_VALUE, 0.0);
  return leat_b_splat(&r->b, as->dtype, as->rank, as->dims, number);
}

// An iota seen through a view is an iota again where the view only moves, adds or repeats whole dims.
static leat_value_id_t iota_again(leat_rebuild_t *r, leat_value_id_t v, const leat_op_t *op, const leat_value_t *as) {
  const leat_graph_t *g = r->b.graph;
  const leat_value_t *from = leat_graph_value(g, v);
  uint32_t dim = (uint32_t)leat_op_int(g, defining_op(g, v), LEAT_ATTR_DIM, 0);
  if (from->dims[dim] == 1) return leat_b_splat(&r->b, as->dtype, as->rank, as->dims, 0.0);
  uint32_t at = leat_view_count(&(leat_view_dim_t){.g = r->from, .op = op, .from = from, .to = as, .dim = dim});
  return at == LEAT_NONE ? LEAT_NONE : leat_b_iota(&r->b, as->dtype, as->rank, as->dims, at);
}

static leat_status_t append_view(leat_rebuild_t *r, leat_op_id_t id, leat_value_id_t input) {
  const leat_op_t *op = leat_graph_op(r->from, id);
  leat_value_id_t old_input = leat_op_input(r->from, op, 0), saved = r->map[old_input];
  r->map[old_input] = input;
  leat_status_t status = leat_rebuild_copy(r, id);
  r->map[old_input] = saved;
  if (status != NULL) return status;
  return mark(r->user, r->map[op->result_first], 1, value_is_fixed(r->user, input));
}

// The first places of sorted lines, values and indices, are copied where they are sorted: the others stay in the tile,
// and engines need not find them.
static bool is_part_of_several(const leat_rebuild_t *r, const leat_op_t *op, leat_value_id_t input) {
  const leat_value_id_t base = leat_access_base(r->b.graph, input);
  const leat_value_t *part = leat_graph_value(r->from, op->result_first), *all = leat_graph_value(r->b.graph, base);
  const leat_op_t *maker = defining_op(r->b.graph, base);
  return maker->result_count > 1 && leat_op_role(maker->kind) == LEAT_ROLE_COMPUTE &&
         2 * leat_value_elements(part) <= leat_value_elements(all);
}

static leat_status_t visit_view(leat_rebuild_t *r, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(r->from, id);
  const leat_value_t *result = leat_graph_value(r->from, op->result_first);
  leat_value_id_t input = leat_rebuild_input(r, op, 0), again = LEAT_NONE;
  if (is_splat(r->b.graph, input)) again = splat_again(r, input, result);
  if (is_iota(r->b.graph, input)) again = iota_again(r, input, op, result);
  if (again != LEAT_NONE) {
    r->map[op->result_first] = again;
    return mark(r->user, again, 1, true);
  }
  if (is_iota(r->b.graph, input)) input = copy_of(r, input, true);
  LEAT_TRY(leat_builder_take_status(&r->b));
  LEAT_TRY(append_view(r, id, input));
  if (is_part_of_several(r, op, input)) {
    r->map[op->result_first] = copy_of(r, r->map[op->result_first], false);
    return leat_builder_take_status(&r->b);
  }
  leat_access_t access;
  if (leat_access_resolve(r->b.graph, r->map[op->result_first], &access)) return NULL;
  input = copy_of(r, input, true);
  LEAT_TRY(leat_builder_take_status(&r->b));
  return append_view(r, id, input);
}

// --- computing ops, leaves and stores -------------------------------------------------------------------------------

// Larger results than this are not kept between runs: recomputing is cheaper than the memory.
static int64_t most_prepared(const leat_rebuild_t *r, int64_t inputs) {
  const leat_arch_t *arch = ((const settle_t *)r->user)->arch;
  return (int64_t)arch->prepare_growth * inputs + (int64_t)arch->prepare_elements;
}

static bool worth_preparing(const leat_rebuild_t *r, const leat_op_t *op) {
  if (op->type != LEAT_TYPE_FWD || op->input_count == 0 || leat_op_draws(r->from, op)) return false;
  int64_t in = 0;
  for (uint32_t i = 0; i < op->input_count; ++i) {
    leat_value_id_t v = leat_rebuild_input(r, op, i);
    if (!value_is_fixed(r->user, v)) return false;
    if (!is_splat(r->b.graph, v))
      in += leat_value_elements(leat_graph_value(r->b.graph, leat_access_base(r->b.graph, v)));
  }
  return leat_value_elements(leat_graph_value(r->from, op->result_first)) <= most_prepared(r, in);
}

static leat_status_t visit_compute(leat_rebuild_t *r, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(r->from, id);
  bool prepare = worth_preparing(r, op);
  leat_value_id_t saved[256];  // a concat has the most: 255
  const bool in_memory = leat_op_role(op->kind) != LEAT_ROLE_ELEMENTWISE;
  for (uint32_t i = 0; i < op->input_count && in_memory; ++i) {
    leat_value_id_t old_input = leat_op_input(r->from, op, i), v = r->map[old_input];
    saved[i] = v;
    const bool needs_memory = is_iota(r->b.graph, v) || (is_splat(r->b.graph, v) && !leat_stage_maps(op->kind, i));
    if (needs_memory) r->map[old_input] = copy_of(r, v, true);
  }
  LEAT_TRY(leat_builder_take_status(&r->b));
  LEAT_TRY(leat_rebuild_copy(r, id));
  for (uint32_t i = op->input_count; i-- > 0 && in_memory;) r->map[leat_op_input(r->from, op, i)] = saved[i];
  leat_value_id_t first = r->map[op->result_first];
  if (prepare) r->b.graph->ops.data[leat_graph_value(r->b.graph, first)->op].type = LEAT_TYPE_PREPARE;
  return mark(r->user, first, op->result_count, prepare);
}

static bool is_narrow(uint32_t dtype) { return dtype == LEAT_BF16 || dtype == LEAT_F16; }

// Its results are narrow, and engines do not compute it so.
static bool wants_full_width(const leat_graph_t *g, const leat_op_t *op) {
  const uint32_t dtype = leat_graph_value(g, op->result_first)->dtype;
  return is_narrow(dtype) && !leat_stage_computes(g, op, dtype);
}

// The op on f32 copies of its operands, its result rounded to the narrow dtype: what PyTorch does, accumulating in f32.
static leat_status_t visit_widened(leat_rebuild_t *r, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(r->from, id);
  leat_value_t result = *leat_graph_value(r->from, op->result_first);
  leat_dtype_t narrow = (leat_dtype_t)result.dtype;
  leat_value_id_t inputs[3];
  assert(op->input_count <= 3 && op->result_count == 1);
  for (uint32_t i = 0; i < op->input_count; ++i) {
    inputs[i] = leat_rebuild_input(r, op, i);
    if (is_narrow(leat_graph_value(r->b.graph, inputs[i])->dtype))
      inputs[i] = leat_b_cast(&r->b, inputs[i], LEAT_F32);
    else if (is_splat(r->b.graph, inputs[i]) || is_iota(r->b.graph, inputs[i]))
      inputs[i] = copy_of(r, inputs[i], true);
  }
  result.dtype = LEAT_F32;
  leat_value_id_t wide = leat_b_op(&r->b, op->kind, inputs, op->input_count, &r->from->attrs.data[op->attr_first],
                                   op->attr_count, &result);
  r->map[op->result_first] = leat_b_cast(&r->b, wide, narrow);
  LEAT_TRY(leat_builder_take_status(&r->b));
  return mark(r->user, r->map[op->result_first], 1, false);
}

// What a section type has updated is not there any more for those that run later: they read a copy of what was.
static leat_status_t keep_old(leat_rebuild_t *r, leat_value_id_t old) {
  const settle_t *s = r->user;
  if (s->updated[old] == NONE) return NULL;
  const uint8_t type = r->b.type;
  r->b.type = s->updated[old];
  r->map[old] = copy_of(r, r->map[old], false);
  r->b.type = type;
  return leat_builder_take_status(&r->b);
}

static leat_status_t visit_leaf(leat_rebuild_t *r, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(r->from, id);
  LEAT_TRY(leat_rebuild_copy(r, id));
  LEAT_TRY(mark(r->user, r->map[op->result_first], 1,
                leat_op_role(op->kind) != LEAT_ROLE_SYMBOL || leat_graph_is_fixed(r->from, op)));
  return keep_old(r, op->result_first);
}

// A store of what is not computed, or lies otherwise, stores a copy. Whoever reads a gradient behind its store reads
// what is stored, which sums over batches and programs replace: that copy, where there is one.
static leat_status_t visit_store(leat_rebuild_t *r, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(r->from, id);
  leat_value_id_t old_input = leat_op_input(r->from, op, 0), v = r->map[old_input];
  leat_access_t access;
  if (leat_value_elements(leat_graph_value(r->b.graph, v)) == 0) return leat_rebuild_copy(r, id);  // writes nothing
  bool whole = leat_access_resolve(r->b.graph, v, &access) && leat_access_is_whole(r->b.graph, &access);
  const leat_op_t *base = defining_op(r->b.graph, leat_access_base(r->b.graph, v));
  if (!whole || !leat_op_computes(base->kind) || base->type == LEAT_TYPE_PREPARE) {
    r->map[old_input] = copy_of(r, v, false);
    LEAT_TRY(leat_builder_take_status(&r->b));
  }
  leat_status_t status = leat_rebuild_copy(r, id);
  if (!leat_op_is_store(r->from, op, LEAT_STORE_GRAD)) r->map[old_input] = v;
  return status;
}

static leat_status_t visit(leat_rebuild_t *r, leat_op_id_t id) {
  uint32_t kind = leat_graph_op(r->from, id)->kind;
  if (leat_op_is_statement(kind)) return visit_store(r, id);
  if (leat_op_is_leaf(kind)) return visit_leaf(r, id);
  if (leat_op_role(kind) == LEAT_ROLE_VIEW) return visit_view(r, id);
  const leat_op_t *op = leat_graph_op(r->from, id);
  return wants_full_width(r->from, op) ? visit_widened(r, id) : visit_compute(r, id);
}

// The first types that update symbols, be it forward in a unit that runs last; then only those of symbols that a later
// type reads.
static void find_updated(const leat_graph_t *g, uint8_t *updated, bool *late) {
  memset(updated, NONE, g->values.count);
  for (leat_op_id_t id = 0; id < g->ops.count; ++id) {
    const leat_op_t *op = leat_graph_op(g, id);
    const bool elsewhere = leat_op_is_symbol(g, op, LEAT_KIND_STATE) &&
                           leat_graph_symbol(g, leat_op_symbol(g, op))->role == LEAT_MADE_UNIT_SYMBOL;
    if (elsewhere) updated[op->result_first] = LEAT_TYPE_FWD;
    if (!leat_op_is_store(g, op, LEAT_STORE_UPDATE)) continue;
    const leat_op_id_t leaf = leat_graph_symbol(g, leat_op_symbol(g, op))->op;
    uint8_t *first = leaf == LEAT_NONE ? NULL : &updated[leat_graph_op(g, leaf)->result_first];
    if (first != NULL && (*first == NONE || op->type < *first)) *first = op->type;
  }
  for (leat_op_id_t id = 0; id < g->ops.count; ++id) {
    const leat_op_t *op = leat_graph_op(g, id);
    for (uint32_t i = 0; i < op->input_count && leat_op_computes(op->kind); ++i) {
      const leat_value_id_t base = leat_access_base(g, leat_op_input(g, op, i));
      late[base] |= updated[base] != NONE && op->type > updated[base];
    }
  }
  for (leat_value_id_t v = 0; v < g->values.count; ++v) updated[v] = late[v] ? updated[v] : NONE;
}

leat_status_t leat_settle(const leat_graph_t *from, const leat_arch_t *arch, leat_graph_t **out_graph) {
  settle_t s = {.arch = arch, .updated = leat_alloc(from->values.count + 1u)};
  bool *late = leat_alloc_zero(from->values.count + 1u, sizeof *late);
  leat_status_t status = NULL;
  if (s.updated == NULL || late == NULL)
    status = leat_out_of_memory();
  else
    find_updated(from, s.updated, late);
  if (status == NULL) status = leat_rebuild(from, visit, &s, out_graph);
  leat_array_free(&s.fixed);
  leat_free(s.updated);
  leat_free(late);
  return leat_status_annotate(status, "settling views");
}

// --- what it gives --------------------------------------------------------------------------------------------------

// Splats and iotas have no storage that strides could run through: maps read them directly, nothing else does.
static bool operand_is_settled(const leat_graph_t *g, const leat_op_t *op, uint32_t input) {
  const leat_value_id_t v = leat_op_input(g, op, input);
  leat_access_t access;
  if (!leat_access_resolve(g, v, &access)) return false;
  if (is_splat(g, access.base)) return leat_stage_maps(op->kind, input) && access.base == v;
  return !is_iota(g, access.base) || (leat_op_role(op->kind) == LEAT_ROLE_ELEMENTWISE && access.base == v);
}

static bool store_is_settled(const leat_graph_t *g, const leat_op_t *op) {
  leat_value_id_t v = leat_op_input(g, op, 0);
  leat_access_t access;
  if (leat_value_elements(leat_graph_value(g, v)) == 0) return true;
  if (!leat_access_resolve(g, v, &access) || !leat_access_is_whole(g, &access)) return false;
  const leat_op_t *base = defining_op(g, access.base);
  return leat_op_computes(base->kind) && base->type != LEAT_TYPE_PREPARE;
}

// Views that nobody reads may be left.
bool leat_is_settled(const leat_graph_t *g, const leat_op_t *op) {
  if (leat_op_is_statement(op->kind)) return store_is_settled(g, op);
  if (!leat_op_computes(op->kind)) return true;
  for (uint32_t i = 0; i < op->input_count; ++i) {
    if (!operand_is_settled(g, op, i)) return false;
  }
  return !wants_full_width(g, op);
}
