// SPDX-License-Identifier: Apache-2.0
// The slow reference: runs a primitive graph op by op on contiguous storage. What each op does is in eval_*.c.
#include "ir/eval.h"

#include <inttypes.h>

typedef leat_status_t (*reference_t)(const leat_eval_call_t *call);

// A row of op.def without a reference does not link.
static const reference_t references[LEAT_PRIM_COUNT] = {
#define PRIM(e, ...) [LEAT_PRIM_##e] = leat_eval_##e,
#include "ir/op.def"
#undef PRIM
};

// Symbols live outside of any op: only a run knows them.
leat_status_t leat_eval_SYMBOL(const leat_eval_call_t *call) {
  (void)call;
  LEAT_FAIL(LEAT_UNSUPPORTED, "a symbol has no value outside of a run");
}
leat_status_t leat_eval_STORE(const leat_eval_call_t *call) {
  (void)call;
  LEAT_FAIL(LEAT_UNSUPPORTED, "a store has no effect outside of a run");
}

leat_status_t leat_eval_op(const leat_graph_t *g, const leat_op_t *op, const void *const *inputs,
                           void *const *results) {
  assert(leat_op_is_primitive(op->kind));
  const leat_eval_call_t call = {g, op, inputs, results};
  return references[op->kind](&call);
}

typedef struct symbol_s {
  const leat_value_t *type;  // NULL: no op names it
  void *data;
} symbol_t;

struct leat_eval_s {
  const leat_graph_t *graph;
  leat_arena_t arena;
  void **values;        // storage of every value
  const void **inputs;  // operands of the op at hand
  symbol_t *symbols;    // by id
};

// --- create -------------------------------------------------------------------------------------------------------

static symbol_t *symbol_of(const leat_eval_t *eval, const leat_op_t *op) {
  return &eval->symbols[leat_op_symbol(eval->graph, op)];
}

// Fills the symbol that `op` declares with its default: the attribute `value`, else zeros.
static void set_default(leat_eval_t *eval, const leat_op_t *op, symbol_t *symbol) {
  leat_dtype_t dtype = (leat_dtype_t)symbol->type->dtype;
  const leat_attr_t *value = leat_op_attr(eval->graph, op, LEAT_ATTR_VALUE);  // a store has none
  for (int64_t at = 0; value != NULL && at < leat_value_elements(symbol->type); at++)
    leat_element_store(dtype, symbol->data, at, leat_element_of(dtype, value->v.f));
}

// The storage of the symbol that a symbol or store op names, made on its first mention.
static leat_status_t bind_symbol(leat_eval_t *eval, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(eval->graph, id);
  symbol_t *symbol = symbol_of(eval, op);
  if (symbol->type != NULL) return NULL;
  leat_value_id_t value = leat_op_is_statement(op->kind) ? leat_op_input(eval->graph, op, 0) : op->result_first;
  symbol->type = leat_graph_value(eval->graph, value);
  symbol->data = leat_arena_alloc(&eval->arena, leat_value_bytes(symbol->type) + 1);
  if (symbol->data == NULL) return leat_out_of_memory();
  set_default(eval, op, symbol);
  return NULL;
}

static bool has_symbol(const leat_op_t *op) {
  return leat_op_role(op->kind) == LEAT_ROLE_SYMBOL || leat_op_is_statement(op->kind);
}

static leat_status_t bind_ops(leat_eval_t *eval) {
  for (leat_op_id_t id = 0; id < eval->graph->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(eval->graph, id);
    char text[256];
    if (!leat_op_is_primitive(op->kind))
      LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%s is not lowered", leat_op_text(eval->graph, op, text, sizeof text));
    if (has_symbol(op)) LEAT_TRY(bind_symbol(eval, id));
  }
  return NULL;
}

static leat_status_t allocate_values(leat_eval_t *eval) {
  const leat_graph_t *g = eval->graph;
  uint32_t most_inputs = 0;
  for (leat_op_id_t id = 0; id < g->ops.count; id++) {
    uint32_t count = leat_graph_op(g, id)->input_count;
    most_inputs = count > most_inputs ? count : most_inputs;
  }
  eval->values = leat_arena_alloc(&eval->arena, (g->values.count + 1) * sizeof *eval->values);
  eval->symbols = leat_arena_alloc(&eval->arena, (g->symbols.count + 1) * sizeof *eval->symbols);
  eval->inputs = leat_arena_alloc(&eval->arena, (most_inputs + 1) * sizeof *eval->inputs);
  if (eval->values == NULL || eval->symbols == NULL || eval->inputs == NULL) return leat_out_of_memory();
  for (leat_value_id_t v = 0; v < g->values.count; v++) {
    eval->values[v] = leat_arena_alloc(&eval->arena, leat_value_bytes(leat_graph_value(g, v)) + 1);
    if (eval->values[v] == NULL) return leat_out_of_memory();
  }
  return NULL;
}

leat_status_t leat_eval_create(const leat_graph_t *primitive_graph, leat_eval_t **out_eval) {
  *out_eval = NULL;
  leat_eval_t *eval = leat_alloc_zero(1, sizeof *eval);
  if (eval == NULL) return leat_out_of_memory();
  eval->graph = primitive_graph;
  leat_arena_init(&eval->arena);
  leat_status_t status = allocate_values(eval);
  if (status == NULL) status = bind_ops(eval);
  if (status != NULL)
    leat_eval_destroy(eval);
  else
    *out_eval = eval;
  return status;
}

void leat_eval_destroy(leat_eval_t *eval) {
  if (eval == NULL) return;
  leat_arena_deinit(&eval->arena);
  leat_free(eval);
}

// --- symbols ------------------------------------------------------------------------------------------------------

static leat_status_t symbol_named(const leat_eval_t *eval, const char *name, size_t data_bytes,
                                  const symbol_t **out_symbol) {
  const leat_symbol_id_t id = leat_graph_find_symbol(eval->graph, name);
  if (id == LEAT_NONE || eval->symbols[id].type == NULL)
    LEAT_FAIL(LEAT_NOT_FOUND, "the graph has no symbol '%s'", name);
  *out_symbol = &eval->symbols[id];
  size_t expected = leat_value_bytes((*out_symbol)->type);
  if (data_bytes == expected) return NULL;
  char text[160];
  LEAT_FAIL(LEAT_INVALID_ARGUMENT, "symbol '%s' is %s, which takes %zu bytes, but %zu were given", name,
            leat_value_text((*out_symbol)->type, text, sizeof text), expected, data_bytes);
}

leat_status_t leat_eval_set(leat_eval_t *eval, const char *symbol, const void *data, size_t data_bytes) {
  const symbol_t *found;
  LEAT_TRY(symbol_named(eval, symbol, data_bytes, &found));
  if (data_bytes != 0) memcpy(found->data, data, data_bytes);
  return NULL;
}

leat_status_t leat_eval_get(const leat_eval_t *eval, const char *symbol, void *data, size_t data_bytes) {
  const symbol_t *found;
  LEAT_TRY(symbol_named(eval, symbol, data_bytes, &found));
  if (data_bytes != 0) memcpy(data, found->data, data_bytes);
  return NULL;
}

void *leat_eval_end(const leat_eval_t *eval, leat_symbol_role_t role, uint32_t number, size_t *out_bytes) {
  for (leat_symbol_id_t id = 0; id < eval->graph->symbols.count; id++) {
    const leat_symbol_t *symbol = leat_graph_symbol(eval->graph, id);
    if (symbol->role != role || symbol->number != number || eval->symbols[id].type == NULL) continue;
    *out_bytes = leat_value_bytes(eval->symbols[id].type);
    return eval->symbols[id].data;
  }
  assert(false);  // the shape rule wants every end
  *out_bytes = 0;
  return NULL;
}

// --- run ----------------------------------------------------------------------------------------------------------

static leat_status_t run_op(leat_eval_t *eval, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(eval->graph, id);
  if (leat_op_is_statement(op->kind)) return NULL;  // after everything was read
  if (has_symbol(op)) {
    const symbol_t *symbol = symbol_of(eval, op);
    memcpy(eval->values[op->result_first], symbol->data, leat_value_bytes(symbol->type));
    return NULL;
  }
  for (uint32_t i = 0; i < op->input_count; i++) eval->inputs[i] = eval->values[leat_op_input(eval->graph, op, i)];
  leat_status_t status = leat_eval_op(eval->graph, op, eval->inputs, eval->values + op->result_first);
  char text[256];
  return status == NULL ? NULL : leat_status_annotate(status, "%s", leat_op_text(eval->graph, op, text, sizeof text));
}

static void run_store(leat_eval_t *eval, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(eval->graph, id);
  if (!leat_op_is_statement(op->kind)) return;
  const symbol_t *symbol = symbol_of(eval, op);
  memcpy(symbol->data, eval->values[leat_op_input(eval->graph, op, 0)], leat_value_bytes(symbol->type));
}

leat_status_t leat_eval_run(leat_eval_t *eval) {
  for (leat_op_id_t id = 0; id < eval->graph->ops.count; id++) LEAT_TRY(run_op(eval, id));
  for (leat_op_id_t id = 0; id < eval->graph->ops.count; id++) run_store(eval, id);
  return NULL;
}
