// SPDX-License-Identifier: Apache-2.0
// The graph: making, destroying and appending.
#include "ir/graph.h"

#include <inttypes.h>
#include <stdio.h>

leat_status_t leat_graph_create(leat_graph_t **out_graph) {
  *out_graph = NULL;
  leat_graph_t *g = leat_alloc_zero(1, sizeof *g);
  if (g == NULL) return leat_out_of_memory();
  leat_arena_init(&g->arena);
  leat_origin_t *unknown = leat_array_push(&g->origins);
  if (unknown == NULL) {
    leat_graph_destroy(g);
    return leat_out_of_memory();
  }
  *unknown = (leat_origin_t){"", "", ""};
  *out_graph = g;
  return NULL;
}

static void release_blob(leat_blob_t *blob);

LEAT_EXPORT void leat_graph_destroy(leat_graph_t *g) {
  if (g == NULL || (g->holders != 0 && --g->holders != 0)) return;
  leat_array_free(&g->ops);
  leat_array_free(&g->values);
  leat_array_free(&g->inputs);
  leat_array_free(&g->attrs);
  leat_array_free(&g->origins);
  for (uint32_t i = 0; i < g->blobs.count; i++) release_blob(&g->blobs.data[i]);
  leat_array_free(&g->blobs);
  leat_array_free(&g->groups);
  leat_array_free(&g->symbols);
  leat_names_deinit(&g->symbol_names);
  for (uint32_t i = 0; i < g->bodies.count; i++) leat_graph_destroy(g->bodies.data[i]);
  leat_array_free(&g->bodies);
  leat_arena_deinit(&g->arena);
  leat_free(g);
}

// --- appending ------------------------------------------------------------------------------------------------

// What an append reads may lie in the very array that it grows. `pinned_t` remembers such a place as an offset.
typedef struct pinned_s {
  const void *outside;
  size_t offset;
} pinned_t;

static pinned_t pin(const void *source, const void *data, size_t data_bytes) {
  uintptr_t at = (uintptr_t)source, first = (uintptr_t)data;
  bool inside = data != NULL && at >= first && at < first + data_bytes;
  return inside ? (pinned_t){NULL, at - first} : (pinned_t){source, 0};
}

static const void *unpin(pinned_t pinned, const void *data) {
  return pinned.outside != NULL ? pinned.outside : (const uint8_t *)data + pinned.offset;
}

static bool copy_inputs(leat_graph_t *g, const leat_op_desc_t *desc) {
  pinned_t pinned = pin(desc->inputs, g->inputs.data, g->inputs.count * sizeof *g->inputs.data);
  leat_value_id_t *inputs = leat_array_push_n(&g->inputs, desc->input_count);
  if (inputs == NULL) return false;
  if (desc->input_count != 0) memcpy(inputs, unpin(pinned, g->inputs.data), desc->input_count * sizeof *inputs);
  for (uint32_t i = 0; i < desc->input_count; i++) assert(inputs[i] == LEAT_NONE || inputs[i] < g->values.count);
  return true;
}

static bool copy_attr(leat_graph_t *g, const leat_attr_t *from, leat_attr_t *to) {
  *to = *from;
  char kind = leat_attr_kind((leat_attr_key_t)from->key);
  if (kind == 'S') {
    to->v.s = leat_arena_strdup(&g->arena, from->v.s, strlen(from->v.s));
    return to->v.s != NULL;
  }
  if (kind == 'C') {
    leat_spec_t *spec = leat_arena_alloc(&g->arena, sizeof *spec);
    if (spec == NULL) return false;
    *spec = *from->v.spec;
    to->v.spec = spec;
  }
  if (kind == 'L' || kind == 'K') {
    size_t bytes = from->count * sizeof(int64_t);
    int64_t *list = leat_arena_alloc(&g->arena, bytes == 0 ? 1 : bytes);
    if (list == NULL) return false;
    if (bytes != 0) memcpy(list, from->v.l, bytes);
    to->v.l = list;
  }
  return true;
}

// Insertion sort: a handful of attributes that mostly arrive in order.
static void sort_attrs(leat_attr_t *attrs, uint32_t count) {
  for (uint32_t i = 1; i < count; i++) {
    leat_attr_t moving = attrs[i];
    uint32_t at = i;
    for (; at > 0 && attrs[at - 1].key > moving.key; at--) attrs[at] = attrs[at - 1];
    attrs[at] = moving;
  }
}

static bool copy_attrs(leat_graph_t *g, const leat_op_desc_t *desc) {
  pinned_t pinned = pin(desc->attrs, g->attrs.data, g->attrs.count * sizeof *g->attrs.data);
  leat_attr_t *attrs = leat_array_push_n(&g->attrs, desc->attr_count);
  if (attrs == NULL) return false;
  const leat_attr_t *from = desc->attr_count != 0 ? unpin(pinned, g->attrs.data) : NULL;
  for (uint32_t i = 0; i < desc->attr_count; i++) {
    if (!copy_attr(g, &from[i], &attrs[i])) return false;
  }
  sort_attrs(attrs, desc->attr_count);
  return true;
}

static bool copy_results(leat_graph_t *g, const leat_op_desc_t *desc) {
  pinned_t pinned = pin(desc->results, g->values.data, g->values.count * sizeof *g->values.data);
  leat_value_t *values = leat_array_push_n(&g->values, desc->result_count);
  if (values == NULL) return false;
  const leat_value_t *from = desc->result_count != 0 ? unpin(pinned, g->values.data) : NULL;
  for (uint32_t i = 0; i < desc->result_count; i++) {
    values[i].dtype = from[i].dtype;
    values[i].rank = from[i].rank;
    values[i].result_index = (uint16_t)i;
    values[i].op = g->ops.count;
    memcpy(values[i].dims, from[i].dims, from[i].rank * sizeof *values[i].dims);
  }
  return true;
}

leat_status_t leat_graph_append(leat_graph_t *g, const leat_op_desc_t *desc, leat_op_id_t *out_op) {
  leat_op_t op = {.kind = (uint16_t)desc->kind,
                  .type = desc->type,
                  .detached = desc->detached,
                  .exact = desc->exact,
                  .input_first = g->inputs.count,
                  .input_count = desc->input_count,
                  .result_first = g->values.count,
                  .result_count = desc->result_count,
                  .attr_first = g->attrs.count,
                  .attr_count = desc->attr_count,
                  .group = desc->group,
                  .origin = desc->origin};
  leat_op_t *slot = NULL;
  bool fits = copy_inputs(g, desc) && copy_attrs(g, desc) && copy_results(g, desc);
  if (fits) slot = leat_array_push(&g->ops);
  if (slot == NULL) {  // leave the graph as it was
    g->inputs.count = op.input_first;
    g->attrs.count = op.attr_first;
    g->values.count = op.result_first;
    return leat_out_of_memory();
  }
  *slot = op;
  leat_graph_note_symbol(g, g->ops.count - 1);
  if (out_op != NULL) *out_op = g->ops.count - 1;
  return NULL;
}

static bool same_text(const char *a, const char *b) { return strcmp(a == NULL ? "" : a, b == NULL ? "" : b) == 0; }

static const char *copy_text(leat_graph_t *g, const char *text) {
  return text == NULL || text[0] == '\0' ? "" : leat_arena_strdup(&g->arena, text, strlen(text));
}

leat_status_t leat_graph_add_origin(leat_graph_t *g, const leat_origin_t *origin, uint32_t *out_origin) {
  const leat_origin_t *last = &g->origins.data[g->origins.count - 1];
  *out_origin = g->origins.count - 1;
  if (same_text(last->module, origin->module) && same_text(last->source, origin->source) &&
      same_text(last->traced, origin->traced))
    return NULL;
  leat_origin_t copy = {copy_text(g, origin->module), copy_text(g, origin->source), copy_text(g, origin->traced)};
  if (copy.module == NULL || copy.source == NULL || copy.traced == NULL) return leat_out_of_memory();
  leat_origin_t *slot = leat_array_push(&g->origins);
  if (slot == NULL) return leat_out_of_memory();
  *slot = copy;
  *out_origin = g->origins.count - 1;
  return NULL;
}

// --- symbols and groups ---------------------------------------------------------------------------------------------

bool leat_op_is_symbol(const leat_graph_t *g, const leat_op_t *op, leat_symbol_kind_t kind) {
  return leat_op_is_primitive(op->kind) && leat_op_role(op->kind) == LEAT_ROLE_SYMBOL &&
         leat_op_word(g, op, LEAT_ATTR_KIND, LEAT_KIND_INPUT) == (int)kind;
}

bool leat_op_is_store(const leat_graph_t *g, const leat_op_t *op, leat_store_kind_t kind) {
  return leat_op_is_primitive(op->kind) && leat_op_role(op->kind) == LEAT_ROLE_KEEP &&
         leat_op_word(g, op, LEAT_ATTR_KIND, LEAT_STORE_OUTPUT) == (int)kind;
}

static bool is_written(const leat_graph_t *g, leat_symbol_id_t symbol) {
  const leat_symbol_t *s = leat_graph_symbol(g, symbol);
  for (leat_op_id_t id = s->update_first; id != LEAT_NONE && id <= s->update_last; id++) {
    const leat_op_t *op = leat_graph_op(g, id);
    if (op->type == LEAT_TYPE_OPT || !leat_op_is_store(g, op, LEAT_STORE_UPDATE)) continue;
    if (leat_op_symbol(g, op) == symbol) return true;
  }
  return false;
}

bool leat_graph_is_fixed(const leat_graph_t *g, const leat_op_t *op) {
  if (!leat_op_is_symbol(g, op, LEAT_KIND_PARAM) && !leat_op_is_symbol(g, op, LEAT_KIND_BUFFER)) return false;
  return !is_written(g, leat_op_symbol(g, op));
}

bool leat_graph_is_optimized(const leat_graph_t *g, leat_value_id_t v) {
  for (leat_op_id_t id = 0; id < g->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(g, id);
    for (uint32_t i = 0; leat_op_role(op->kind) == LEAT_ROLE_OPTIMIZER && i < op->input_count; i++)
      if (leat_op_input(g, op, i) == v) return true;
  }
  return false;
}

const leat_group_t *leat_graph_group(const leat_graph_t *g, uint32_t id) {
  uint32_t low = 0, high = g->groups.count;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (g->groups.data[middle].id == id) return &g->groups.data[middle];
    if (g->groups.data[middle].id < id)
      low = middle + 1;
    else
      high = middle;
  }
  return NULL;
}

leat_status_t leat_graph_add_group(leat_graph_t *g, const leat_group_t *group) {
  assert(g->groups.count == 0 || g->groups.data[g->groups.count - 1].id < group->id);
  leat_group_t copy = {group->id, copy_text(g, group->name), copy_text(g, group->heuristic),
                       copy_text(g, group->parameters)};
  leat_group_t *slot = leat_array_push(&g->groups);
  if (slot == NULL || copy.name == NULL || copy.heuristic == NULL || copy.parameters == NULL)
    return leat_out_of_memory();
  *slot = copy;
  return NULL;
}

// --- blobs ------------------------------------------------------------------------------------------------------

enum { BLOB_HEADER = 64 };  // keeps the bytes aligned

static leat_status_t copy_blob(const void *data, size_t data_bytes, leat_blob_t *out_blob) {
  size_t bytes;
  uint8_t *block = leat_size_add(data_bytes, BLOB_HEADER, &bytes) ? leat_alloc(bytes) : NULL;
  if (block == NULL) return leat_out_of_memory();
  if (data_bytes != 0) memcpy(block + BLOB_HEADER, data, data_bytes);
  *(uint32_t *)block = 1;
  *out_blob = (leat_blob_t){block + BLOB_HEADER, data_bytes, (uint32_t *)block};
  return NULL;
}

static void release_blob(leat_blob_t *blob) {
  if (blob->references != NULL && --*blob->references == 0) leat_free(blob->references);
  *blob = (leat_blob_t){0};
}

leat_status_t leat_graph_share_blob(leat_graph_t *g, const leat_blob_t *blob, uint32_t *out_index) {
  leat_blob_t *slot = leat_array_push(&g->blobs);
  if (slot == NULL) return leat_out_of_memory();
  *slot = *blob;
  if (blob->references != NULL) ++*blob->references;
  *out_index = g->blobs.count - 1;
  return NULL;
}

leat_status_t leat_graph_add_blob(leat_graph_t *g, const void *data, size_t data_bytes, uint32_t *out_index) {
  leat_blob_t *slot = leat_array_push(&g->blobs);
  if (slot == NULL) return leat_out_of_memory();
  *out_index = g->blobs.count - 1;
  return copy_blob(data, data_bytes, slot);
}

// The op that declares constant `index`; NULL: none does.
static const leat_op_t *find_constant(const leat_graph_t *g, uint32_t index) {
  for (leat_op_id_t id = 0; id < g->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(g, id);
    if (leat_op_role(op->kind) == LEAT_ROLE_CONSTANT && leat_op_int(g, op, LEAT_ATTR_INDEX, -1) == (int64_t)index)
      return op;
  }
  return NULL;
}

LEAT_EXPORT leat_status_t leat_graph_set_blob(leat_graph_t *g, uint32_t index, const void *data, size_t data_bytes) {
  const leat_op_t *op = find_constant(g, index);
  if (op == NULL || index >= LEAT_BLOB_MAX)
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "the graph has no constant with index %" PRIu32, index);
  const leat_value_t *value = leat_graph_value(g, op->result_first);
  if (data_bytes != leat_value_bytes(value)) {
    char text[160];
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "constant %" PRIu32 " is %s, which takes %zu bytes, but %zu were given", index,
              leat_value_text(value, text, sizeof text), leat_value_bytes(value), data_bytes);
  }
  if (index >= g->blobs.count && leat_array_push_n(&g->blobs, index + 1 - g->blobs.count) == NULL)
    return leat_out_of_memory();
  release_blob(&g->blobs.data[index]);
  return copy_blob(data, data_bytes, &g->blobs.data[index]);
}

leat_status_t leat_graph_add_body(leat_graph_t *g, leat_graph_t *body, uint32_t *out_index) {
  leat_graph_t **slot = leat_array_push(&g->bodies);
  if (slot == NULL) return leat_out_of_memory();
  *slot = body;
  ++body->holders;
  *out_index = g->bodies.count - 1;
  return NULL;
}

int64_t leat_value_elements(const leat_value_t *v) {
  int64_t elements = 1;
  for (uint32_t d = 0; d < v->rank; d++) elements *= v->dims[d];
  return elements;
}

size_t leat_value_bytes(const leat_value_t *v) {
  return (size_t)leat_value_elements(v) * leat_dtype_bytes((leat_dtype_t)v->dtype);
}

bool leat_value_fits(const leat_value_t *v) {
  int64_t elements = 1;
  bool empty = false;
  for (uint32_t d = 0; d < v->rank; d++) {
    if (v->dims[d] < 0) return false;
    if (v->dims[d] == 0)
      empty = true;
    else if (__builtin_mul_overflow(elements, v->dims[d], &elements))
      return false;
  }
  return empty || elements <= LEAT_ELEMENTS_MAX;
}

bool leat_same_shape(const leat_value_t *a, const leat_value_t *b) {
  return a->rank == b->rank && memcmp(a->dims, b->dims, a->rank * sizeof *a->dims) == 0;
}

const char *leat_value_text(const leat_value_t *v, char *buffer, size_t buffer_bytes) {
  size_t length = (size_t)snprintf(buffer, buffer_bytes, "%s[", leat_dtype_name((leat_dtype_t)v->dtype));
  for (uint32_t d = 0; d < v->rank && length < buffer_bytes; d++)
    length += (size_t)snprintf(buffer + length, buffer_bytes - length, "%s%" PRId64, d == 0 ? "" : ",", v->dims[d]);
  if (length < buffer_bytes) (void)snprintf(buffer + length, buffer_bytes - length, "]");
  return buffer;
}

const char *leat_op_text(const leat_graph_t *g, const leat_op_t *op, char *buffer, size_t buffer_bytes) {
  const leat_origin_t *origin = &g->origins.data[op->origin];
  const char *prefix = leat_op_is_primitive(op->kind) ? "prim." : "";
  const char *name = leat_op_info(op->kind)->name;
  if (leat_op_is_primitive(op->kind) && origin->traced[0] != '\0') prefix = "", name = origin->traced;
  bool module = origin->module[0] != '\0', source = origin->source[0] != '\0';
  (void)snprintf(buffer, buffer_bytes, "op '%s%s'%s%s%s%s%s", prefix, name,
                 module   ? " (module "
                 : source ? " ("
                          : "",
                 origin->module, module && source ? ", " : "", origin->source, module || source ? ")" : "");
  return buffer;
}
