// SPDX-License-Identifier: Apache-2.0
// See precision.h. Works on the traced graph, before gradients: reverse mode then yields the gradients of what is
// really computed, and a converted parameter gets its gradient back in its own dtype.
#include "opt/precision.h"

#include "ir/rebuild.h"

typedef struct precision_s {
  leat_precision_report_t *report;
  uint8_t *narrowed;  // per value of the old graph: its stand-in in the new one is bf16 though it was f32
} precision_t;

static bool is_f32(const leat_graph_t *g, leat_value_id_t v) {
  return v != LEAT_NONE && leat_graph_value(g, v)->dtype == LEAT_F32;
}

static void note(leat_rebuild_t *r, const leat_op_t *op, const char *what, uint32_t index, const char *from,
                 const char *to) {
  const precision_t *p = r->user;
  const leat_origin_t *origin = &r->from->origins.data[op->origin];
  leat_text_t *json = &p->report->json;
  leat_text_put(json, "%s{\"op\": ", json->length > 0 ? ",\n  " : "");
  leat_text_put_json_string(json, leat_op_info(op->kind)->name);
  leat_text_put(json, ", \"module\": ");
  leat_text_put_json_string(json, origin->module != NULL ? origin->module : "");
  leat_text_put(json, ", \"source\": ");
  leat_text_put_json_string(json, origin->source != NULL ? origin->source : "");
  leat_text_put(json, ", \"%s\": %u, \"from\": \"%s\", \"to\": \"%s\"}", what, index, from, to);
}

// `v` of the new graph as `dtype`, by an op `to` with the place of the op that is being visited.
static leat_status_t append_to(leat_rebuild_t *r, leat_value_id_t v, leat_dtype_t dtype, leat_value_id_t *out_value) {
  leat_value_t result = *leat_graph_value(r->b.graph, v);
  result.dtype = (uint8_t)dtype;
  const leat_attr_t attr = leat_attr_i(LEAT_ATTR_DTYPE, dtype);
  const leat_op_desc_t desc = {.kind = LEAT_TRACED_TO,
                               .type = r->b.type,
                               .detached = r->b.detached,
                               .group = r->b.group,
                               .origin = r->b.origin,
                               .inputs = &v,
                               .input_count = 1,
                               .attrs = &attr,
                               .attr_count = 1,
                               .results = &result,
                               .result_count = 1};
  leat_op_id_t id;
  LEAT_TRY(leat_graph_append(r->b.graph, &desc, &id));
  *out_value = leat_graph_op(r->b.graph, id)->result_first;
  return NULL;
}

// Copies the op with the operands that `wants` names replaced by what `convert` makes of them.
typedef bool (*wants_t)(const leat_rebuild_t *r, const leat_op_t *op, uint32_t input);
typedef leat_status_t (*convert_t)(leat_rebuild_t *r, leat_value_id_t v, leat_value_id_t *out_value);
typedef leat_status_t (*copy_t)(leat_rebuild_t *r, leat_op_id_t id);

static leat_status_t copy_converted(leat_rebuild_t *r, leat_op_id_t id, wants_t wants, convert_t convert, copy_t copy) {
  const leat_op_t *op = leat_graph_op(r->from, id);
  leat_value_id_t *saved = leat_alloc((op->input_count + 1u) * sizeof *saved);
  if (saved == NULL) return leat_out_of_memory();
  leat_status_t status = NULL;
  uint32_t i = 0;
  for (; i < op->input_count && status == NULL; i++) {
    const leat_value_id_t v = leat_op_input(r->from, op, i);
    saved[i] = v == LEAT_NONE ? LEAT_NONE : r->map[v];
    if (v != LEAT_NONE && wants(r, op, i)) status = convert(r, saved[i], &r->map[v]);
  }
  if (status == NULL) status = copy(r, id);
  while (i-- > 0) {
    const leat_value_id_t v = leat_op_input(r->from, op, i);
    if (v != LEAT_NONE) r->map[v] = saved[i];
  }
  leat_free(saved);
  return status;
}

// --- mp1 -------------------------------------------------------------------------------------------------------

// The value rounded to bf16, as f32: products of such values are exact in f32.
static leat_status_t round_value(leat_rebuild_t *r, leat_value_id_t v, leat_value_id_t *out_value) {
  LEAT_TRY(append_to(r, v, LEAT_BF16, out_value));
  return append_to(r, *out_value, LEAT_F32, out_value);
}

static bool is_product_operand(const leat_rebuild_t *r, const leat_op_t *op, uint32_t input) {
  return input < 32 && (leat_op_info(op->kind)->products >> input & 1) &&
         is_f32(r->from, leat_op_input(r->from, op, input));
}

// x @ x: rounded by its first occurrence.
static bool wants_rounding(const leat_rebuild_t *r, const leat_op_t *op, uint32_t input) {
  for (uint32_t j = 0; j < input; j++) {
    if (leat_op_input(r->from, op, j) == leat_op_input(r->from, op, input) && is_product_operand(r, op, j))
      return false;
  }
  return is_product_operand(r, op, input);
}

// A row that multiplies what it computes is told to round it.
static leat_status_t copy_rounding(leat_rebuild_t *r, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(r->from, id);
  const leat_attr_t rounded = leat_attr_i(LEAT_ATTR_ROUNDED, 1);
  const bool f32 = op->result_count > 0 && is_f32(r->from, op->result_first);
  return f32 && leat_op_takes_attr(op->kind, LEAT_ATTR_ROUNDED) ? leat_rebuild_copy_with(r, id, &rounded)
                                                                : leat_rebuild_copy(r, id);
}

static leat_status_t visit_products(leat_rebuild_t *r, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(r->from, id);
  precision_t *p = r->user;
  for (uint32_t i = 0; i < op->input_count && !op->exact; i++) {
    if (!is_product_operand(r, op, i)) continue;
    p->report->inputs++;
    note(r, op, "input", i, "f32", "bf16");
  }
  return op->exact ? leat_rebuild_copy(r, id) : copy_converted(r, id, wants_rounding, round_value, copy_rounding);
}

// --- mp4 -------------------------------------------------------------------------------------------------------

static leat_status_t to_bf16(leat_rebuild_t *r, leat_value_id_t v, leat_value_id_t *out_value) {
  return leat_graph_value(r->b.graph, v)->dtype == LEAT_BF16 ? NULL : append_to(r, v, LEAT_BF16, out_value);
}
static leat_status_t to_f32(leat_rebuild_t *r, leat_value_id_t v, leat_value_id_t *out_value) {
  return leat_graph_value(r->b.graph, v)->dtype == LEAT_F32 ? NULL : append_to(r, v, LEAT_F32, out_value);
}

// Symbols keep their dtype; each reader converts what it reads.
static leat_status_t visit_symbol(leat_rebuild_t *r, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(r->from, id);
  precision_t *p = r->user;
  p->narrowed[op->result_first] = is_f32(r->from, op->result_first);
  return leat_rebuild_copy(r, id);
}

static bool is_narrowed(const leat_rebuild_t *r, const leat_op_t *op, uint32_t input) {
  const precision_t *p = r->user;
  const leat_value_id_t v = leat_op_input(r->from, op, input);
  return v != LEAT_NONE && p->narrowed[v];
}
static bool was_f32(const leat_rebuild_t *r, const leat_op_t *op, uint32_t input) {
  return is_f32(r->from, leat_op_input(r->from, op, input));
}

// What leaves the graph has the dtype that the program gave it, and so have ops that are exact.
static leat_status_t visit_statement(leat_rebuild_t *r, leat_op_id_t id) {
  return copy_converted(r, id, is_narrowed, to_f32, leat_rebuild_copy);
}

// Its results stay f32; who reads them converts them, as if they were symbols.
static leat_status_t visit_exact(leat_rebuild_t *r, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(r->from, id);
  precision_t *p = r->user;
  LEAT_TRY(visit_statement(r, id));
  for (uint32_t i = 0; i < op->result_count; i++)
    p->narrowed[op->result_first + i] = is_f32(r->from, op->result_first + i);
  return NULL;
}

// A cotangent reads nothing, but stands for the gradient of a value that is narrowed.
static bool depends_on_narrowed(const leat_rebuild_t *r, const leat_op_t *op) {
  for (uint32_t i = 0; i < op->input_count; i++) {
    if (is_narrowed(r, op, i)) return true;
  }
  return op->kind == LEAT_TRACED_COTANGENT;
}

// Its f32 results become bf16, in the copy that has just been appended.
static void narrow_results(leat_rebuild_t *r, const leat_op_t *op) {
  precision_t *p = r->user;
  for (uint32_t i = 0; i < op->result_count; i++) {
    if (!is_f32(r->from, op->result_first + i)) continue;
    r->b.graph->values.data[r->map[op->result_first + i]].dtype = LEAT_BF16;
    p->narrowed[op->result_first + i] = 1;
    p->report->results++;
    note(r, op, "result", i, "f32", "bf16");
  }
}

// A conversion to float is one to bf16 here.
static leat_status_t visit_conversion(leat_rebuild_t *r, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(r->from, id);
  precision_t *p = r->user;
  if (!is_f32(r->from, op->result_first)) return leat_rebuild_copy(r, id);
  p->narrowed[op->result_first] = 1;
  p->report->results++;
  note(r, op, "result", 0, "f32", "bf16");
  return append_to(r, leat_rebuild_input(r, op, 0), LEAT_BF16, &r->map[op->result_first]);
}

static leat_status_t visit_all(leat_rebuild_t *r, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(r->from, id);
  const leat_op_role_t role = leat_op_role(op->kind);
  if (role == LEAT_ROLE_SYMBOL) return visit_symbol(r, id);
  if (role == LEAT_ROLE_OPTIMIZER) return leat_rebuild_copy(r, id);
  if (leat_op_is_statement(op->kind)) return visit_statement(r, id);
  if (op->exact) return visit_exact(r, id);
  if (op->kind == LEAT_TRACED_TO) return visit_conversion(r, id);
  if (!depends_on_narrowed(r, op)) return leat_rebuild_copy(r, id);
  LEAT_TRY(copy_converted(r, id, was_f32, to_bf16, leat_rebuild_copy));
  narrow_results(r, op);
  return NULL;
}

// ---------------------------------------------------------------------------------------------------------------

static const leat_rebuild_visit_t presets[] = {
    [LEAT_PRECISION_MP0] = leat_rebuild_copy, [LEAT_PRECISION_MP1] = visit_products, [LEAT_PRECISION_MP4] = visit_all};

leat_status_t leat_precision_parse(const char *text, leat_precision_t *out_preset) {
  int64_t word = LEAT_PRECISION_MP0;
  if (text != NULL && !leat_word_find("precision", text, &word))
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "precision preset '%s': mp0, mp1 and mp4 exist", text);
  *out_preset = (leat_precision_t)word;
  return NULL;
}

leat_status_t leat_opt_precision(const leat_graph_t *from, leat_precision_t preset, leat_precision_report_t *report,
                                 leat_graph_t **out_graph) {
  precision_t p = {.report = report, .narrowed = leat_alloc_zero((size_t)from->values.count + 1u, 1)};
  if (p.narrowed == NULL) return leat_out_of_memory();
  leat_status_t status = leat_rebuild(from, presets[preset], &p, out_graph);
  leat_free(p.narrowed);
  if (status == NULL && report->json.failed) {
    leat_graph_destroy(*out_graph);
    status = leat_status_make(LEAT_OUT_OF_MEMORY, "out of memory for the report");
  }
  return leat_status_annotate(status, "precision");
}
