// SPDX-License-Identifier: Apache-2.0
// A product of joined parts is products of the parts: a dim that stays is joined again in the result, along a summed
// one the products of the parts are added, in their order.
//
// Worth it where the result is small beside what was joined, and nobody else reads that: a step of decoding joins all
// keys and values that it has with those of one token, and multiplies them with one row. A sum of parts rounds once
// more a part. Works on primitives after dce; the bytes that are moved to join operands shrink, which is the measure by
// which it ends.
#include "ir/rebuild.h"
#include "opt/opt.h"

enum { VIEWS_MAX = 4 };

typedef struct parts_s {
  const leat_arch_t *arch;
  uint32_t *readers;
  bool *gone;  // per op: a join, or a view of one, that products no longer read
} parts_t;

// Operand `input` of a product, which is `views` (the innermost first) of the result of `join`.
typedef struct joined_s {
  uint32_t input, view_count;
  leat_op_id_t join, views[VIEWS_MAX];
  uint32_t dim;  // of the operand: the one that is joined
} joined_t;

static const leat_value_t *result_of(const leat_graph_t *g, const leat_op_t *op) {
  return leat_graph_value(g, op->result_first);
}

// --- finding -------------------------------------------------------------------------------------------------------

// Where dim *dim, of more than one element, goes in a reshape that only adds or drops dims of one.
static bool reshaped_dim(const leat_value_t *from, const leat_value_t *to, uint32_t *dim) {
  uint32_t places[LEAT_RANK_MAX], count = 0, next = 0, found = LEAT_NONE;
  for (uint32_t d = 0; d < to->rank; d++) {
    if (to->dims[d] != 1) places[count++] = d;
  }
  for (uint32_t d = 0; d < from->rank; d++) {
    if (from->dims[d] == 1) continue;
    if (next == count || to->dims[places[next]] != from->dims[d]) return false;
    if (d == *dim) found = places[next];
    next++;
  }
  *dim = found;
  return next == count && found != LEAT_NONE;
}

static bool is_movable(const leat_op_t *op) { return op->kind == LEAT_PRIM_RESHAPE || op->kind == LEAT_PRIM_TRANSPOSE; }

static bool through_view(const leat_graph_t *g, const leat_op_t *op, uint32_t *dim) {
  if (op->kind == LEAT_PRIM_RESHAPE)
    return reshaped_dim(leat_graph_value(g, leat_op_input(g, op, 0)), result_of(g, op), dim);
  uint32_t rank;
  const int64_t *dims = leat_op_list(g, op, LEAT_ATTR_DIMS, &rank);
  for (uint32_t d = 0; d < rank; d++) {
    if (dims[d] == (int64_t)*dim) {
      *dim = d;
      return true;
    }
  }
  return false;
}

// Whether operand `input` of `op` is joined, and read by `op` alone.
static bool find_join(const parts_t *p, const leat_graph_t *g, const leat_op_t *op, uint32_t input, joined_t *out) {
  *out = (joined_t){.input = input};
  leat_op_id_t found[VIEWS_MAX];
  for (leat_value_id_t v = leat_op_input(g, op, input);; v = leat_op_input(g, leat_graph_op(g, out->join), 0)) {
    out->join = leat_graph_value(g, v)->op;
    const leat_op_t *source = leat_graph_op(g, out->join);
    if (p->readers[v] != 1 || source->group != op->group || source->type != op->type) return false;
    if (source->kind == LEAT_PRIM_CONCAT) break;
    if (!is_movable(source) || out->view_count == VIEWS_MAX) return false;
    found[out->view_count++] = out->join;
  }
  const leat_op_t *join = leat_graph_op(g, out->join);
  out->dim = (uint32_t)leat_op_int(g, join, LEAT_ATTR_DIM, 0);
  if (result_of(g, join)->dims[out->dim] < 2) return false;
  for (uint32_t i = 0; i < out->view_count; i++) {
    out->views[i] = found[out->view_count - 1 - i];
    if (!through_view(g, leat_graph_op(g, out->views[i]), &out->dim)) return false;
  }
  return true;
}

static int letter_in_result(const leat_graph_t *g, const leat_op_t *op, const joined_t *j) {
  const leat_spec_t *spec = leat_op_spec(g, op);
  return leat_spec_find(spec, 2, spec->letters[j->input][j->dim]);
}

// A result is small beside what was joined, and that is more than lies in a cache either way.
static bool is_worth(const parts_t *p, const leat_graph_t *g, const leat_op_t *op, const joined_t *j) {
  const leat_op_t *join = leat_graph_op(g, j->join);
  const leat_value_t *whole = result_of(g, join), *result = result_of(g, op);
  if ((result->dtype != LEAT_F32 && result->dtype != LEAT_F64) || whole->dtype != result->dtype) return false;
  for (uint32_t i = 0; i < join->input_count; i++) {
    if (leat_graph_value(g, leat_op_input(g, join, i))->dims[leat_op_int(g, join, LEAT_ATTR_DIM, 0)] == 0) return false;
  }
  const double made = (double)leat_value_elements(result) * (letter_in_result(g, op, j) < 0 ? join->input_count : 1);
  return p->arch->joined_times * made <= (double)leat_value_elements(whole) &&
         (uint64_t)leat_value_bytes(whole) >= p->arch->joined_bytes;
}

static bool find_parts(const parts_t *p, const leat_graph_t *g, const leat_op_t *op, joined_t *out) {
  if (op->kind != LEAT_PRIM_CONTRACT) return false;
  for (uint32_t input = 2; input-- > 0;) {
    if (find_join(p, g, op, input, out) && is_worth(p, g, op, out)) return true;
  }
  return false;
}

static void mark(parts_t *p, const leat_graph_t *g) {
  for (leat_op_id_t id = 0; id < g->ops.count; id++) {
    joined_t j;
    if (!find_parts(p, g, leat_graph_op(g, id), &j)) continue;
    p->gone[j.join] = true;
    for (uint32_t i = 0; i < j.view_count; i++) p->gone[j.views[i]] = true;
  }
}

// --- rewriting -----------------------------------------------------------------------------------------------------

// Part `part`, `extent` long, as the product reads the whole.
static leat_value_id_t view_part(leat_rebuild_t *r, const joined_t *j, leat_value_id_t part, int64_t extent) {
  const leat_graph_t *g = r->from;
  uint32_t dim = (uint32_t)leat_op_int(g, leat_graph_op(g, j->join), LEAT_ATTR_DIM, 0);
  for (uint32_t i = 0; i < j->view_count; i++) {
    const leat_op_t *view = leat_graph_op(g, j->views[i]);
    leat_value_t shape = *result_of(g, view);
    const bool kept = through_view(g, view, &dim);
    assert(kept), (void)kept;
    shape.dims[dim] = extent;
    if (view->kind == LEAT_PRIM_RESHAPE)
      part = leat_b_reshape(&r->b, part, shape.rank, shape.dims);
    else
      part = leat_b_transpose(&r->b, part, leat_op_list(g, view, LEAT_ATTR_DIMS, &(uint32_t){0}));
  }
  return part;
}

// The product of part `i`, which lies from `at` on along the joined dim.
static leat_value_id_t multiply_part(leat_rebuild_t *r, const leat_op_t *op, const joined_t *j, uint32_t i, int64_t at,
                                     int64_t extent) {
  const leat_graph_t *g = r->from;
  const leat_spec_t *spec = leat_op_spec(g, op);
  leat_value_id_t operands[2];
  const uint32_t other = 1 - j->input;
  const int place = leat_spec_find(spec, other, spec->letters[j->input][j->dim]);
  operands[j->input] = view_part(r, j, leat_rebuild_input(r, leat_graph_op(g, j->join), i), extent);
  operands[other] = leat_rebuild_input(r, op, other);
  if (place >= 0) operands[other] = leat_b_slice_dim(&r->b, operands[other], (uint32_t)place, at, at + extent, 1);
  return leat_b_contract(&r->b, spec, operands[0], operands[1]);
}

static leat_status_t visit(leat_rebuild_t *r, leat_op_id_t id) {
  const parts_t *p = r->user;
  const leat_graph_t *g = r->from;
  const leat_op_t *op = leat_graph_op(g, id);
  joined_t j;
  if (p->gone[id]) return NULL;
  if (!find_parts(p, g, op, &j)) return leat_rebuild_copy(r, id);
  const leat_op_t *join = leat_graph_op(g, j.join);
  const uint32_t dim = (uint32_t)leat_op_int(g, join, LEAT_ATTR_DIM, 0);
  const int along = letter_in_result(g, op, &j);
  leat_value_id_t *products = leat_alloc(join->input_count * sizeof *products), sum = LEAT_NONE;
  if (products == NULL) return leat_out_of_memory();
  int64_t at = 0;
  for (uint32_t i = 0; i < join->input_count; i++) {
    const int64_t extent = leat_graph_value(g, leat_op_input(g, join, i))->dims[dim];
    products[i] = multiply_part(r, op, &j, i, at, extent);
    if (along < 0) sum = i == 0 ? products[i] : leat_b_add(&r->b, sum, products[i]);
    at += extent;
  }
  r->map[op->result_first] = along < 0 ? sum : leat_b_concat(&r->b, products, join->input_count, (uint32_t)along);
  leat_free(products);
  return leat_builder_take_status(&r->b);
}

leat_status_t leat_opt_parts(const leat_graph_t *from, const leat_arch_t *arch, leat_graph_t **out_graph) {
  parts_t p = {.arch = arch, .gone = leat_alloc_zero((size_t)from->ops.count + 1u, sizeof *p.gone)};
  *out_graph = NULL;
  leat_status_t status = p.gone == NULL ? leat_out_of_memory() : leat_opt_count_readers(from, &p.readers);
  if (status == NULL) {
    mark(&p, from);
    status = leat_rebuild(from, visit, &p, out_graph);
  }
  leat_free(p.readers);
  leat_free(p.gone);
  return status;
}
