// SPDX-License-Identifier: Apache-2.0
// The driver of lowering: one table over traced.def, one visit per op, and the check that a row yields exactly the
// dtype and shape that the tracer declared.
#include "lower/lower.h"

#include "ir/rebuild.h"
#include "lower/row.h"

typedef leat_value_id_t (*row_t)(leat_lower_t *c);

#define NOTHING(e)
#define DECLARE_OWN(e) leat_value_id_t leat_lower_##e(leat_lower_t *c);
#define DECLARE_BY(fn) NOTHING
#define TRACED(e, n, lo, hi, r, a, own, lowering, ...) DECLARE_##lowering(e)
#include "ir/traced.def"
#undef TRACED

// The row that is a scalar function of its operands.
static leat_value_id_t by_function(leat_lower_t *c) {
  const leat_scalar_t fn = leat_op_info(c->op->kind)->fn;
  return c->in_count == 1 ? leat_b_map1(c->b, fn, c->in[0]) : leat_b_map2(c->b, fn, c->in[0], c->in[1]);
}

static const row_t rows[] = {
#define BY_FUNCTION(e) by_function,
#define ROW_OWN(e) leat_lower_##e,
#define ROW_BY(fn) BY_FUNCTION
#define TRACED(e, n, lo, hi, r, a, own, lowering, ...) ROW_##lowering(e)
#include "ir/traced.def"
#undef TRACED
};

#define VJP_OF_0(e)
#define VJP_OF_1(e) void leat_vjp_##e(leat_vjp_t *v);
#define TRACED(e, n, lo, hi, r, a, g, ...) VJP_OF_##g(e)
#include "ir/traced.def"
#undef TRACED
#undef VJP_OF_0
#undef VJP_OF_1

const leat_vjp_table_t *leat_lower_vjps(void) {
#define VJP_OF_0(e) NULL
#define VJP_OF_1(e) leat_vjp_##e
  static const leat_vjp_table_t table = {{
#define TRACED(e, n, lo, hi, r, a, g, ...) VJP_OF_##g(e),
#include "ir/traced.def"
#undef TRACED
  }};
  return &table;
}

typedef struct pass_s {
  bool keep_own_gradient;
  double dropout_rate;
} pass_t;

static bool stays(const pass_t *pass, const leat_graph_t *g, const leat_op_t *op) {
  if (leat_op_is_primitive(op->kind)) return true;
  if (leat_lower_is_empty(g, op)) return false;
  bool statement = leat_op_info(op->kind)->result_count == 0;
  return pass->keep_own_gradient && (statement || leat_op_info(op->kind)->own_gradient);
}

static leat_status_t check_result(const leat_lower_t *c, uint32_t result) {
  const leat_value_t *declared = leat_lower_declared(c, result);
  const leat_value_t *got = leat_b_value(c->b, c->out[result]);
  if (got->dtype == declared->dtype && leat_same_shape(got, declared)) return NULL;
  char want[160], have[160];
  LEAT_FAIL(LEAT_MISMATCH, "result %u is declared %s but lowers to %s", result,
            leat_value_text(declared, want, sizeof want), leat_value_text(got, have, sizeof have));
}

// Dims that rows may use as indices and bits without looking: within the ranks that op 0 reads and writes.
static leat_status_t check_dims(const leat_graph_t *g, const leat_op_t *op) {
  leat_value_id_t x = leat_op_input(g, op, 0);
  int64_t rank = x == LEAT_NONE ? 1 : leat_graph_value(g, x)->rank;
  if (op->result_count > 0 && leat_graph_value(g, op->result_first)->rank > rank)
    rank = leat_graph_value(g, op->result_first)->rank;
  if (rank == 0) rank = 1;
  int64_t dim = leat_op_int(g, op, LEAT_ATTR_DIM, 0);
  uint32_t count = 0;
  const int64_t *dims = leat_op_list(g, op, LEAT_ATTR_DIMS, &count);
  bool fits = dim >= 0 && dim < rank && count <= LEAT_RANK_MAX;
  for (uint32_t i = 0; i < count && fits; i++) fits = dims[i] >= 0 && dims[i] < rank;
  if (!fits) LEAT_FAIL(LEAT_INVALID_ARGUMENT, "dim and dims must be from 0 to %d", (int)rank - 1);
  return NULL;
}

// Sizes and positions small enough that rows can compute with them without overflow.
static leat_status_t check_lists(const leat_graph_t *g, const leat_op_t *op) {
  const int64_t limit = INT64_C(1) << 31;
  for (uint32_t i = 0; i < op->attr_count; i++) {
    const leat_attr_t *attr = &g->attrs.data[op->attr_first + i];
    if (leat_attr_kind((leat_attr_key_t)attr->key) != 'L') continue;
    for (uint32_t k = 0; k < attr->count; k++)
      if (attr->v.l[k] > limit || attr->v.l[k] < -limit)
        LEAT_FAIL(LEAT_INVALID_ARGUMENT, "sizes and positions must lie within 2^31");
  }
  return NULL;
}

static leat_status_t lower_op(leat_rebuild_t *r, const leat_op_t *op) {
  const pass_t *pass = r->user;
  enum { FEW = 16 };
  leat_value_id_t few[FEW], *in = few;
  if (op->input_count > FEW) {
    in = leat_alloc(op->input_count * sizeof *in);
    if (in == NULL) return leat_out_of_memory();
  }
  for (uint32_t i = 0; i < op->input_count; i++) in[i] = leat_rebuild_input(r, op, i);
  leat_lower_t c = {.b = &r->b,
                    .from = r->from,
                    .op = op,
                    .in = in,
                    .in_count = op->input_count,
                    .dropout_rate = pass->dropout_rate,
                    .out = {LEAT_NONE, LEAT_NONE, LEAT_NONE}};
  const bool empty = leat_lower_is_empty(r->from, op);
  c.out[0] = empty ? leat_lower_empty(&c, pass->keep_own_gradient) : rows[op->kind - LEAT_TRACED_FIRST](&c);
  if (in != few) leat_free(in);
  LEAT_TRY(leat_builder_take_status(&r->b));
  for (uint32_t i = 0; i < op->result_count; i++) {
    LEAT_TRY(check_result(&c, i));
    r->map[op->result_first + i] = c.out[i];
  }
  return NULL;
}

// A symbol that the compiler made for backward (a rate, the random state) may by now have been made for forward too.
static bool merge_symbol(leat_rebuild_t *r, const leat_op_t *op) {
  if (!leat_op_is_symbol(r->from, op, LEAT_KIND_HYPER) && !leat_op_is_symbol(r->from, op, LEAT_KIND_STATE))
    return false;
  leat_value_id_t found = leat_b_symbol_value(&r->b, leat_op_symbol(r->from, op));
  if (found != LEAT_NONE) r->map[op->result_first] = found;
  return found != LEAT_NONE;
}

static leat_status_t visit(leat_rebuild_t *r, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(r->from, id);
  if (merge_symbol(r, op)) return NULL;
  if (!leat_op_is_primitive(op->kind)) {
    LEAT_TRY(check_dims(r->from, op));
    LEAT_TRY(check_lists(r->from, op));
  }
  if (stays(r->user, r->from, op)) return leat_rebuild_copy(r, id);
  return lower_op(r, op);
}

static bool stores_random_state(const leat_graph_t *g) {
  for (leat_op_id_t id = 0; id < g->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(g, id);
    if (!leat_op_is_primitive(op->kind) || !leat_op_is_statement(op->kind)) continue;
    if (leat_graph_symbol(g, leat_op_symbol(g, op))->role == LEAT_MADE_RANDOM) return true;
  }
  return false;
}

void leat_lower_count_draw(leat_builder_t *b) {
  leat_value_id_t one = leat_b_iota(b, LEAT_I64, 1, (const int64_t[]){2}, 0);  // {0, 1}
  leat_value_id_t state = leat_b_random_state(b);
  leat_b_store(b, leat_b_role(b, LEAT_MADE_RANDOM, 0), LEAT_STORE_UPDATE, leat_b_add(b, state, one));
}

static leat_status_t advance_random_state(leat_graph_t *g) {
  bool used = false;
  for (leat_op_id_t id = 0; id < g->ops.count && !used; id++)
    used = leat_op_role(leat_graph_op(g, id)->kind) == LEAT_ROLE_DRAW;
  if (!used || stores_random_state(g)) return NULL;
  leat_builder_t b;
  leat_builder_init(&b, g);
  leat_lower_count_draw(&b);
  return leat_builder_take_status(&b);
}

leat_status_t leat_lower(const leat_graph_t *from, bool keep_own_gradient, leat_graph_t **out_graph) {
  pass_t pass = {.keep_own_gradient = keep_own_gradient, .dropout_rate = leat_row_shared_rate(from)};
  leat_graph_t *graph = NULL;
  LEAT_TRY(leat_rebuild(from, visit, &pass, &graph));
  leat_status_t status = advance_random_state(graph);
  if (status != NULL) {
    leat_graph_destroy(graph);
    return status;
  }
  *out_graph = graph;
  return NULL;
}
