// SPDX-License-Identifier: Apache-2.0
// The verifier: everything that a pass may rely on. It trusts nothing, so that a graph from a hostile text, or from a
// pass with a bug, is stopped here with a message that names the op.
#include <inttypes.h>

#include "ir/graph.h"

// --- one op -------------------------------------------------------------------------------------------------------

static leat_status_t check_operands(const leat_graph_t *g, const leat_op_t *op) {
  const leat_op_info_t *info = leat_op_info(op->kind);
  if (op->input_count < info->min_inputs || op->input_count > info->max_inputs)
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "takes %u to %u operands, got %" PRIu32, info->min_inputs, info->max_inputs,
              op->input_count);
  for (uint32_t i = 0; i < op->input_count; i++) {
    leat_value_id_t input = leat_op_input(g, op, i);
    if (input != LEAT_NONE && input >= op->result_first)
      LEAT_FAIL(LEAT_INVALID_ARGUMENT, "operand %" PRIu32 " (%%%" PRIu32 ") is not defined by an earlier op", i, input);
  }
  return NULL;
}

// Numbers that stand for something: words, symbols, keys, bodies, streams of random numbers.
static leat_status_t check_value(const leat_graph_t *g, const leat_op_t *op, const leat_attr_t *attr) {
  const leat_attr_key_t key = (leat_attr_key_t)attr->key;
  const char kind = leat_attr_kind(key);
  char choices[384];
  if (kind == 'E' && leat_word_text(leat_op_words(op->kind, key), attr->v.i) == NULL)
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%s is none of %s", leat_attr_name(key),
              leat_word_choices(leat_op_words(op->kind, key), choices, sizeof choices));
  if (kind == 'B' && (attr->v.i < 0 || attr->v.i >= g->bodies.count))
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "the graph has no body %" PRId64, attr->v.i);
  if (kind == 'Y' && (attr->v.i < 0 || attr->v.i >= g->symbols.count))
    LEAT_FAIL(LEAT_INTERNAL, "attribute '%s' is no symbol of the graph", leat_attr_name(key));
  if (key == LEAT_ATTR_STREAM && (attr->v.i < 0 || attr->v.i > UINT32_MAX))
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "attribute 'stream' is %" PRId64 ", should be 0 to %" PRIu32, attr->v.i,
              UINT32_MAX);
  for (uint32_t i = 0; kind == 'K' && i < attr->count; i++) {
    if (attr->v.l[i] < 0 || attr->v.l[i] >= LEAT_ATTR_COUNT)
      LEAT_FAIL(LEAT_INTERNAL, "attribute '%s' lists a key that does not exist", leat_attr_name(key));
  }
  return NULL;
}

static leat_status_t check_attrs(const leat_graph_t *g, const leat_op_t *op) {
  const leat_attr_t *attrs = g->attrs.data + op->attr_first;
  for (uint32_t i = 0; i < op->attr_count; i++) {
    if (attrs[i].key >= LEAT_ATTR_COUNT)
      LEAT_FAIL(LEAT_INVALID_ARGUMENT, "attribute key %u does not exist", attrs[i].key);
    leat_attr_key_t key = (leat_attr_key_t)attrs[i].key;
    if (!leat_op_takes_attr(op->kind, key))
      LEAT_FAIL(LEAT_INVALID_ARGUMENT, "attribute '%s' is not in the schema of the op", leat_attr_name(key));
    if (i != 0 && attrs[i - 1].key >= attrs[i].key)
      LEAT_FAIL(LEAT_INVALID_ARGUMENT, "attribute '%s' is given twice or out of order", leat_attr_name(key));
    LEAT_TRY(check_value(g, op, &attrs[i]));
  }
  return NULL;
}

static leat_status_t check_results(const leat_graph_t *g, leat_op_id_t id, const leat_op_t *op) {
  const uint32_t expected = leat_op_result_count(g, op->kind, g->attrs.data + op->attr_first, op->attr_count);
  if (op->result_count != expected)
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "has %" PRIu32 " results, expected %" PRIu32, op->result_count, expected);
  for (uint32_t i = 0; i < op->result_count; i++) {
    const leat_value_t *value = leat_graph_value(g, op->result_first + i);
    bool sound = value->op == id && value->result_index == i && value->dtype < LEAT_DTYPE_COUNT &&
                 value->rank <= LEAT_RANK_MAX && leat_value_fits(value);
    if (!sound) LEAT_FAIL(LEAT_INVALID_ARGUMENT, "result %" PRIu32 " has no legal type or owner", i);
  }
  return NULL;
}

// The declared types are those of the shape rule; `inferred` has room for them.
static leat_status_t check_types(const leat_graph_t *g, const leat_op_t *op, leat_value_t *inferred) {
  for (uint32_t i = 0; i < op->result_count; i++) inferred[i] = *leat_graph_value(g, op->result_first + i);
  LEAT_TRY(leat_shape_infer(g, op->kind, g->inputs.data + op->input_first, op->input_count,
                            g->attrs.data + op->attr_first, op->attr_count, inferred));
  for (uint32_t i = 0; i < op->result_count; i++) {
    const leat_value_t *declared = leat_graph_value(g, op->result_first + i);
    if (declared->dtype == inferred[i].dtype && leat_same_shape(declared, &inferred[i])) continue;
    char have[160], want[160];
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "result %" PRIu32 " is declared %s but the rule gives %s", i,
              leat_value_text(declared, have, sizeof have), leat_value_text(&inferred[i], want, sizeof want));
  }
  return NULL;
}

static leat_status_t check_rule(const leat_graph_t *g, const leat_op_t *op) {
  enum { FEW = 4 };
  leat_value_t few[FEW], *inferred = few;
  if (op->result_count > FEW) inferred = leat_alloc(op->result_count * sizeof *inferred);
  if (inferred == NULL) return leat_out_of_memory();
  leat_status_t status = check_types(g, op, inferred);
  if (inferred != few) leat_free(inferred);
  return status;
}

// A constant names a blob that is there and has the size of its value.
static leat_status_t check_blob(const leat_graph_t *g, const leat_op_t *op) {
  if (leat_op_role(op->kind) != LEAT_ROLE_CONSTANT || !leat_op_takes_attr(op->kind, LEAT_ATTR_INDEX)) return NULL;
  const leat_attr_t *attr = leat_op_attr(g, op, LEAT_ATTR_INDEX);
  if (attr == NULL && !leat_op_takes_attr(op->kind, LEAT_ATTR_VALUE))
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "attribute 'index' is missing");
  if (attr == NULL) return NULL;
  const leat_blob_t *blob = leat_op_blob(g, op);
  if (blob == NULL) LEAT_FAIL(LEAT_INVALID_ARGUMENT, "the bytes of constant %" PRId64 " were not set", attr->v.i);
  size_t expected = leat_value_bytes(leat_graph_value(g, op->result_first));
  if (blob->data_bytes != expected)
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "constant %" PRId64 " has %zu bytes, its type takes %zu", attr->v.i,
              blob->data_bytes, expected);
  return NULL;
}

static leat_status_t check_op(const leat_graph_t *g, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(g, id);
  if (op->type >= LEAT_TYPE_COUNT) LEAT_FAIL(LEAT_INVALID_ARGUMENT, "section type %u does not exist", op->type);
  LEAT_TRY(check_operands(g, op));
  LEAT_TRY(check_attrs(g, op));
  LEAT_TRY(check_results(g, id, op));
  if (leat_op_is_primitive(op->kind)) LEAT_TRY(check_rule(g, op));
  return check_blob(g, op);
}

// --- names --------------------------------------------------------------------------------------------------------

// The ops that read and write each symbol; LEAT_NONE: none does.
typedef struct naming_s {
  leat_op_id_t symbol, store;
} naming_t;

// Does `again` update, behind the optimizers, what forward has updated in `first`? State in the memory of a parameter
// is written twice.
static bool is_later_update(const leat_graph_t *g, leat_op_id_t first, leat_op_id_t again) {
  const leat_op_t *op = leat_graph_op(g, again);
  return leat_op_is_store(g, leat_graph_op(g, first), LEAT_STORE_UPDATE) &&
         leat_op_is_store(g, op, LEAT_STORE_UPDATE) && leat_graph_op(g, first)->type == LEAT_TYPE_FWD &&
         op->type == LEAT_TYPE_OPT;
}

static leat_status_t note_names(const leat_graph_t *g, naming_t *namings) {
  for (leat_op_id_t id = 0; id < g->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(g, id);
    bool store = leat_op_role(op->kind) == LEAT_ROLE_KEEP;
    if (!store && leat_op_role(op->kind) != LEAT_ROLE_SYMBOL) continue;
    const char *name = leat_op_name(g, op);
    if (name[0] == '\0') LEAT_FAIL(LEAT_INVALID_ARGUMENT, "a %s has no name", store ? "store" : "symbol");
    naming_t *naming = &namings[leat_op_symbol(g, op)];
    leat_op_id_t *slot = store ? &naming->store : &naming->symbol;
    if (*slot != LEAT_NONE && !(store && is_later_update(g, *slot, id)))
      LEAT_FAIL(LEAT_INVALID_ARGUMENT, "two %s are named '%s'", store ? "stores" : "symbols", name);
    *slot = id;
  }
  return NULL;
}

// An update, and nothing else, is stored to a symbol, of its type; an output has a name of its own.
static leat_status_t check_store(const leat_graph_t *g, const naming_t *naming) {
  const leat_op_t *store = leat_graph_op(g, naming->store);
  const char *name = leat_op_name(g, store);
  bool symbol = naming->symbol != LEAT_NONE;
  if (leat_op_is_traced(store->kind)) {
    if (symbol) LEAT_FAIL(LEAT_INVALID_ARGUMENT, "an output is named '%s' as a symbol is: give it another name", name);
    return NULL;
  }
  if (leat_op_is_store(g, store, LEAT_STORE_UPDATE) != symbol)
    LEAT_FAIL(LEAT_INVALID_ARGUMENT,
              symbol ? "'%s' is a symbol: only an update may be stored to it"
                     : "an update is stored to '%s', which is no symbol",
              name);
  if (!symbol) return NULL;
  const leat_value_t *value = leat_graph_value(g, leat_op_input(g, store, 0));
  const leat_value_t *type = leat_graph_value(g, leat_graph_op(g, naming->symbol)->result_first);
  if (value->dtype == type->dtype && leat_same_shape(value, type)) return NULL;
  char have[160], want[160];
  LEAT_FAIL(LEAT_INVALID_ARGUMENT, "symbol '%s' is %s but its update is %s", name,
            leat_value_text(type, want, sizeof want), leat_value_text(value, have, sizeof have));
}

static leat_status_t check_names(const leat_graph_t *g) {
  naming_t *namings = leat_alloc((g->symbols.count + 1u) * sizeof *namings);
  if (namings == NULL) return leat_out_of_memory();
  for (uint32_t i = 0; i < g->symbols.count; i++) namings[i] = (naming_t){LEAT_NONE, LEAT_NONE};
  leat_status_t status = note_names(g, namings);
  for (uint32_t i = 0; status == NULL && i < g->symbols.count; i++) {
    if (namings[i].store != LEAT_NONE) status = check_store(g, &namings[i]);
  }
  leat_free(namings);
  return status;
}

// --- the graph ----------------------------------------------------------------------------------------------------

// The parts that messages and accessors need, before any of them is used.
static leat_status_t check_ids(const leat_graph_t *g, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(g, id);
  bool known = leat_op_is_primitive(op->kind) || leat_op_is_traced(op->kind);
  bool inside = (uint64_t)op->input_first + op->input_count <= g->inputs.count &&
                (uint64_t)op->attr_first + op->attr_count <= g->attrs.count &&
                (uint64_t)op->result_first + op->result_count <= g->values.count && op->origin < g->origins.count;
  if (known && inside) return NULL;
  LEAT_FAIL(LEAT_INTERNAL, "op %" PRIu32 " is of no known kind or points outside of the graph", id);
}

static leat_status_t check_bodies(const leat_graph_t *g);

leat_status_t leat_graph_verify(const leat_graph_t *g) {
  LEAT_TRY(check_bodies(g));
  for (leat_op_id_t id = 0; id < g->ops.count; id++) {
    LEAT_TRY(check_ids(g, id));
    leat_status_t status = check_op(g, id);
    char text[256];
    if (status != NULL)
      return leat_status_annotate(status, "%s", leat_op_text(g, leat_graph_op(g, id), text, sizeof text));
  }
  return check_names(g);
}

// --- bodies of loops ------------------------------------------------------------------------------------------------

static bool is_body_end(const leat_graph_t *body, const leat_op_t *op) {
  const leat_symbol_role_t role = (leat_symbol_role_t)leat_graph_symbol(body, leat_op_symbol(body, op))->role;
  if (leat_op_is_store(body, op, LEAT_STORE_OUTPUT))
    return role == LEAT_MADE_LOOP_NEXT || role == LEAT_MADE_LOOP_STACKED;
  return leat_op_is_symbol(body, op, LEAT_KIND_INPUT) &&
         (role == LEAT_MADE_LOOP_CARRIED || role == LEAT_MADE_LOOP_SCANNED || role == LEAT_MADE_LOOP_FIXED);
}

// What loop.h says of bodies.
static leat_status_t check_body_op(const leat_graph_t *body, const leat_op_t *op) {
  if (!leat_op_is_primitive(op->kind)) LEAT_FAIL(LEAT_INVALID_ARGUMENT, "is no primitive");
  if (leat_op_draws(body, op))
    LEAT_FAIL(LEAT_UNSUPPORTED, "a body draws no random numbers: draw them for all trips before the loop");
  const bool named = leat_op_role(op->kind) == LEAT_ROLE_SYMBOL || leat_op_is_statement(op->kind);
  if (named && !is_body_end(body, op))
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "'%s' is no end of a body", leat_op_name(body, op));
  return NULL;
}

static leat_status_t check_body(const leat_graph_t *body) {
  LEAT_TRY(leat_graph_verify(body));
  for (leat_op_id_t id = 0; id < body->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(body, id);
    char text[256];
    LEAT_TRY(leat_status_annotate(check_body_op(body, op), "%s", leat_op_text(body, op, text, sizeof text)));
  }
  return NULL;
}

static leat_status_t check_bodies(const leat_graph_t *g) {
  for (uint32_t i = 0; i < g->bodies.count; i++)
    LEAT_TRY(leat_status_annotate(check_body(g->bodies.data[i]), "body %" PRIu32, i));
  return NULL;
}
