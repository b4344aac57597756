// SPDX-License-Identifier: Apache-2.0
// Nodes and their neighbours, built in one pass each over ops and edges.
#include "rule/match_nodes.h"

#include <stdlib.h>

typedef LEAT_ARRAY(leat_node_id_t) node_array_t;

static bool is_node(uint32_t kind) { return leat_op_is_traced(kind) && leat_op_computes(kind); }

static const char *call_of(const leat_graph_t *g, const leat_op_t *op) { return g->origins.data[op->origin].traced; }

static bool is_call(const leat_graph_t *g, const leat_op_t *op, const char *name) {
  return strcmp(call_of(g, op), name) == 0;
}

// Is `op` another piece of the call that made `last`?
static bool continues(const leat_graph_t *g, const leat_op_t *last, const leat_op_t *op) {
  if (last == NULL || last->origin != op->origin) return false;
  if (is_call(g, op, "zipmapreduce")) return true;
  bool pieces = op->kind == LEAT_TRACED_SPLIT || (op->kind == LEAT_TRACED_SELECT && is_call(g, op, "unbind"));
  return pieces && last->kind == op->kind && leat_op_input(g, op, 0) == leat_op_input(g, last, 0);
}

// A cast that the program wrote is called by one of these.
static bool is_written_cast(const char *call) {
  static const char *const calls[] = {"to",   "type",     "type_as", "float", "half", "double", "long", "int",
                                      "bool", "bfloat16", "short",   "char",  "byte", "tensor", "cast"};
  for (size_t i = 0; i < sizeof calls / sizeof *calls; ++i) {
    if (strcmp(calls[i], call) == 0) return true;
  }
  return false;
}

static bool is_transparent(const leat_graph_t *g, const leat_op_t *op) {
  if (leat_op_role(op->kind) != LEAT_ROLE_SAME) return false;
  return !leat_op_takes_attr(op->kind, LEAT_ATTR_DTYPE) || !is_written_cast(call_of(g, op));
}

static leat_status_t number_nodes(leat_nodes_t *n) {
  const leat_graph_t *g = n->g;
  const leat_op_t *last = NULL;
  n->node_of = leat_alloc_zero(g->ops.count + 1U, sizeof *n->node_of);
  n->ops.first = leat_alloc_zero(g->ops.count + 2U, sizeof *n->ops.first);
  n->ops.at = leat_alloc_zero(g->ops.count + 1U, sizeof *n->ops.at);
  if (n->node_of == NULL || n->ops.first == NULL || n->ops.at == NULL) return leat_out_of_memory();
  uint32_t ops = 0;
  for (leat_op_id_t id = 0; id < g->ops.count; ++id) {
    const leat_op_t *op = leat_graph_op(g, id);
    n->node_of[id] = LEAT_NONE;
    if (!is_node(op->kind)) continue;
    if (!continues(g, last, op)) n->ops.first[n->count++] = ops;
    n->node_of[id] = n->count - 1;
    n->ops.at[ops++] = id;
    last = op;
  }
  n->ops.first[n->count] = ops;
  n->transparent = leat_alloc_zero(n->count + 1U, 1);
  if (n->transparent == NULL) return leat_out_of_memory();
  for (leat_node_id_t i = 0; i < n->count; ++i) n->transparent[i] = is_transparent(g, leat_nodes_op(n, i));
  return NULL;
}

static int compare_ids(const void *a, const void *b) {
  leat_node_id_t x = *(const leat_node_id_t *)a, y = *(const leat_node_id_t *)b;
  return (x > y) - (x < y);
}

// Closes the list that begins at `start`: ascending, each node once.
static void close_list(node_array_t *at, uint32_t start) {
  if (at->count - start < 2) return;
  qsort(at->data + start, at->count - start, sizeof *at->data, compare_ids);
  uint32_t end = start + 1;
  for (uint32_t i = start + 1; i < at->count; ++i) {
    if (at->data[i] != at->data[end - 1]) at->data[end++] = at->data[i];
  }
  at->count = end;
}

static leat_status_t push(node_array_t *at, leat_node_id_t node) {
  leat_node_id_t *slot = leat_array_push(at);
  if (slot == NULL) return leat_out_of_memory();
  *slot = node;
  return NULL;
}

// `lists` turned round: who is listed by whom.
static leat_status_t invert(uint32_t count, const leat_node_lists_t *lists, leat_node_lists_t *out) {
  uint32_t total = lists->first[count];
  out->first = leat_alloc_zero(count + 2U, sizeof *out->first);
  out->at = leat_alloc_zero(total + 1U, sizeof *out->at);
  if (out->first == NULL || out->at == NULL) return leat_out_of_memory();
  for (uint32_t i = 0; i < total; ++i) out->first[lists->at[i] + 2]++;
  for (uint32_t i = 0; i < count; ++i) out->first[i + 2] += out->first[i + 1];
  for (leat_node_id_t from = 0; from < count; ++from) {
    for (uint32_t i = lists->first[from]; i < lists->first[from + 1]; ++i)
      out->at[out->first[lists->at[i] + 1]++] = from;
  }
  return NULL;
}

// Who each node reads.
static leat_status_t list_producers(const leat_nodes_t *n, leat_node_lists_t *out) {
  node_array_t at = {0};
  out->first = leat_alloc_zero(n->count + 2U, sizeof *out->first);
  if (out->first == NULL) return leat_out_of_memory();
  leat_status_t status = NULL;
  for (leat_node_id_t node = 0; node < n->count && status == NULL; ++node) {
    out->first[node] = at.count;
    for (uint32_t k = n->ops.first[node]; k < n->ops.first[node + 1]; ++k) {
      const leat_op_t *op = leat_graph_op(n->g, n->ops.at[k]);
      for (uint32_t i = 0; i < op->input_count && status == NULL; ++i) {
        leat_value_id_t v = leat_op_input(n->g, op, i);
        uint32_t producer = v == LEAT_NONE ? LEAT_NONE : n->node_of[leat_graph_value(n->g, v)->op];
        if (producer != LEAT_NONE && producer != node) status = push(&at, producer);
      }
    }
    close_list(&at, out->first[node]);
  }
  out->first[n->count] = at.count;
  out->at = at.data;
  return status;
}

static leat_status_t add_readers(const leat_nodes_t *n, leat_node_id_t node, uint32_t past, node_array_t *at) {
  for (uint32_t i = n->direct.first[node]; i < n->direct.first[node + 1]; ++i) {
    leat_node_id_t reader = n->direct.at[i];
    LEAT_TRY(push(at, reader));
    if (n->transparent[reader] && past < LEAT_NODES_PAST_MAX) LEAT_TRY(add_readers(n, reader, past + 1, at));
  }
  return NULL;
}

static leat_status_t list_readers(leat_nodes_t *n) {
  node_array_t at = {0};
  n->outs.first = leat_alloc_zero(n->count + 2U, sizeof *n->outs.first);
  if (n->outs.first == NULL) return leat_out_of_memory();
  leat_status_t status = NULL;
  for (leat_node_id_t node = 0; node < n->count && status == NULL; ++node) {
    n->outs.first[node] = at.count;
    status = add_readers(n, node, 0, &at);
    close_list(&at, n->outs.first[node]);
  }
  n->outs.first[n->count] = at.count;
  n->outs.at = at.data;
  return status;
}

static void lists_deinit(leat_node_lists_t *lists) {
  leat_free(lists->first);
  leat_free(lists->at);
}

leat_status_t leat_nodes_create(const leat_graph_t *g, leat_nodes_t *out_nodes) {
  leat_node_lists_t producers = {0};
  *out_nodes = (leat_nodes_t){.g = g};
  leat_status_t status = number_nodes(out_nodes);
  if (status == NULL) status = list_producers(out_nodes, &producers);
  if (status == NULL) status = invert(out_nodes->count, &producers, &out_nodes->direct);
  if (status == NULL) status = list_readers(out_nodes);
  if (status == NULL) status = invert(out_nodes->count, &out_nodes->outs, &out_nodes->ins);
  lists_deinit(&producers);
  if (status != NULL) leat_nodes_deinit(out_nodes);
  return status;
}

void leat_nodes_deinit(leat_nodes_t *nodes) {
  leat_free(nodes->node_of);
  leat_free(nodes->transparent);
  lists_deinit(&nodes->ops);
  lists_deinit(&nodes->direct);
  lists_deinit(&nodes->outs);
  lists_deinit(&nodes->ins);
  *nodes = (leat_nodes_t){0};
}

bool leat_nodes_reads(const leat_nodes_t *nodes, leat_node_id_t producer, leat_node_id_t reader) {
  uint32_t low = nodes->outs.first[producer], high = nodes->outs.first[producer + 1];
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (nodes->outs.at[middle] == reader) return true;
    if (nodes->outs.at[middle] < reader)
      low = middle + 1;
    else
      high = middle;
  }
  return false;
}
