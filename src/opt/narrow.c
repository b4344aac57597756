// SPDX-License-Identifier: Apache-2.0
// Products of bf16. What they give is f32, and rounded by the op behind: the bits are the same, and an elementwise op
// that follows reads the sum as it is made. A convolution of bf16 whose window is one element is such a product, and so
// are its gradients: that of its input where its stride is 1, that of its weights where pairs end with an image.
//
// In programs in which rounding says that products are of bf16 (precision.h, mp1; `rounded`), products whose operands
// were rounded multiply these, and not f32 copies of them; the result is f32 as before. Where one operand was rounded,
// the other is, too: in backward this is the gradient that meets a rounded factor. Terms then go in pairs, as the file
// has it (pef_format.h). Works on primitives after reverse mode; every product changes once.
#include "ir/rebuild.h"
#include "opt/opt.h"

typedef struct narrow_s {
  bool rounded;
  leat_value_id_t *of;  // per value of the old graph: what it is an f32 copy of, in the new one; LEAT_NONE
} narrow_t;

static bool has_dtype(const leat_graph_t *g, leat_value_id_t v, leat_dtype_t dtype) {
  return v != LEAT_NONE && leat_graph_value(g, v)->dtype == dtype;
}

static bool is_widening(const leat_graph_t *g, const leat_op_t *op) {
  return leat_op_scalar(g, op) == LEAT_SCALAR_CAST && has_dtype(g, leat_op_input(g, op, 0), LEAT_BF16) &&
         has_dtype(g, op->result_first, LEAT_F32);
}

static bool is_narrow(const leat_graph_t *g, const leat_op_t *op) {
  return leat_op_takes_attr(op->kind, LEAT_ATTR_SPEC) && has_dtype(g, op->result_first, LEAT_BF16);
}

static bool is_of_rounded(const leat_graph_t *g, const leat_op_t *op, const narrow_t *narrow) {
  const bool is_product = leat_op_takes_attr(op->kind, LEAT_ATTR_SPEC) && has_dtype(g, op->result_first, LEAT_F32);
  if (!narrow->rounded || !is_product || op->exact) return false;
  const leat_value_id_t a = leat_op_input(g, op, 0), b = leat_op_input(g, op, 1);
  return has_dtype(g, a, LEAT_F32) && (narrow->of[a] != LEAT_NONE || narrow->of[b] != LEAT_NONE);
}

static leat_value_id_t narrowed(leat_rebuild_t *r, const leat_op_t *op, uint32_t input) {
  const leat_value_id_t v = leat_op_input(r->from, op, input), known = ((const narrow_t *)r->user)->of[v];
  if (has_dtype(r->from, v, LEAT_BF16)) return r->map[v];
  return known != LEAT_NONE ? known : leat_b_cast(&r->b, leat_rebuild_input(r, op, input), LEAT_BF16);
}

static leat_status_t visit_product(leat_rebuild_t *r, const leat_op_t *op) {
  const leat_value_id_t inputs[2] = {narrowed(r, op, 0), narrowed(r, op, 1)};
  const leat_attr_t attrs[2] = {*leat_op_attr(r->from, op, LEAT_ATTR_SPEC), leat_attr_i(LEAT_ATTR_DTYPE, LEAT_F32)};
  const leat_value_id_t sum = leat_b_op(&r->b, LEAT_PRIM_CONTRACT, inputs, 2, attrs, 2, NULL);
  const leat_dtype_t dtype = (leat_dtype_t)leat_graph_value(r->from, op->result_first)->dtype;
  r->map[op->result_first] = leat_b_cast(&r->b, sum, dtype);
  return leat_builder_take_status(&r->b);
}

// --- windows of one element ----------------------------------------------------------------------------------------

// Of those that go by groups of channels, the one that sums over batches.
static bool is_gradient(const leat_op_t *op) { return leat_op_takes_attr(op->kind, LEAT_ATTR_BATCH); }

// Of all channels, without padding. Pairs of positions do not cross from image to image.
static bool is_pointwise(const leat_graph_t *g, const leat_op_t *op) {
  if (!leat_op_takes_attr(op->kind, LEAT_ATTR_GROUPS) || !has_dtype(g, op->result_first, LEAT_BF16)) return false;
  leat_window_t w;
  leat_window_of(g, op, &w);
  bool is = w.groups == 1 && leat_op_int(g, op, LEAT_ATTR_BATCH, 0) == 0;
  for (uint32_t d = 0; d < w.rank; d++)
    is &= w.window[d] == 1 && w.low[d] == 0 && w.high[d] == 0 && w.base_dilation[d] == 1;
  const leat_value_t *dy = leat_graph_value(g, leat_op_input(g, op, 1));
  bool is_even = false;
  for (uint32_t d = 2; d < dy->rank; d++) is_even |= dy->dims[d] % 2 == 0;
  return is && (!is_gradient(op) || dy->dims[0] == 1 || is_even);
}

// The elements of x that positions meet.
static leat_value_id_t elements_met(leat_rebuild_t *r, const leat_op_t *op, leat_value_id_t x) {
  leat_window_t w;
  leat_window_of(r->from, op, &w);
  for (uint32_t d = 0; d < w.rank; d++)
    x = leat_b_slice_dim(&r->b, x, 2 + d, 0, leat_b_value(&r->b, x)->dims[2 + d], w.stride[d]);
  return x;
}

static leat_status_t visit_pointwise(leat_rebuild_t *r, const leat_op_t *op) {
  static const char *const forward[] = {"nca,oc->noa", "ncab,oc->noab", "ncabd,oc->noabd"};
  static const char *const gradient[] = {"noa,nca->oc", "noab,ncab->oc", "noabd,ncabd->oc"};
  const leat_value_t y = *leat_graph_value(r->from, op->result_first);
  const leat_value_id_t x = elements_met(r, op, leat_rebuild_input(r, op, 0)), other = leat_rebuild_input(r, op, 1);
  const bool of_weights = is_gradient(op);
  const leat_value_id_t w = of_weights ? other : leat_b_reshape(&r->b, other, 2, leat_b_value(&r->b, other)->dims);
  const leat_value_id_t inputs[2] = {of_weights ? w : x, of_weights ? x : w};
  leat_spec_t spec;
  LEAT_TRY(leat_spec_parse((of_weights ? gradient : forward)[y.rank - 3], &spec));
  const leat_attr_t attrs[2] = {leat_attr_spec(&spec), leat_attr_i(LEAT_ATTR_DTYPE, LEAT_F32)};
  const leat_value_id_t sum = leat_b_op(&r->b, LEAT_PRIM_CONTRACT, inputs, 2, attrs, 2, NULL);
  r->map[op->result_first] = leat_b_reshape(&r->b, leat_b_cast(&r->b, sum, LEAT_BF16), y.rank, y.dims);
  return leat_builder_take_status(&r->b);
}

static leat_status_t visit(leat_rebuild_t *r, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(r->from, id);
  const narrow_t *narrow = r->user;
  if (is_pointwise(r->from, op)) return visit_pointwise(r, op);
  if (is_narrow(r->from, op) || is_of_rounded(r->from, op, narrow)) return visit_product(r, op);
  LEAT_TRY(leat_rebuild_copy(r, id));
  if (!narrow->rounded) return NULL;
  if (is_widening(r->from, op)) narrow->of[op->result_first] = leat_rebuild_input(r, op, 0);
  const bool is_view = leat_op_role(op->kind) == LEAT_ROLE_VIEW && op->input_count == 1;
  const leat_value_id_t of = is_view ? narrow->of[leat_op_input(r->from, op, 0)] : LEAT_NONE;
  if (of == LEAT_NONE) return NULL;
  narrow->of[op->result_first] =
      leat_b_op(&r->b, op->kind, &of, 1, &r->from->attrs.data[op->attr_first], op->attr_count, NULL);
  return leat_builder_take_status(&r->b);
}

leat_status_t leat_opt_narrow(const leat_graph_t *from, bool rounded, leat_graph_t **out_graph) {
  narrow_t narrow = {rounded, leat_alloc((from->values.count + 1u) * sizeof *narrow.of)};
  if (narrow.of == NULL) return leat_out_of_memory();
  for (uint32_t v = 0; v < from->values.count; v++) narrow.of[v] = LEAT_NONE;
  leat_status_t status = leat_rebuild(from, visit, &narrow, out_graph);
  leat_free(narrow.of);
  return status;
}
