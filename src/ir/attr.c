// SPDX-License-Identifier: Apache-2.0
// Reading the attributes of ops.
#include <stdio.h>

#include "ir/graph.h"

const leat_attr_t *leat_op_attr(const leat_graph_t *g, const leat_op_t *op, leat_attr_key_t key) {
  const leat_attr_t *attrs = g->attrs.data + op->attr_first;
  for (uint32_t i = 0; i < op->attr_count; i++) {
    if (attrs[i].key == key) return &attrs[i];
  }
  return NULL;
}

const leat_blob_t *leat_op_blob(const leat_graph_t *g, const leat_op_t *op) {
  if (leat_op_role(op->kind) != LEAT_ROLE_CONSTANT) return NULL;
  int64_t index = leat_op_int(g, op, LEAT_ATTR_INDEX, -1);
  bool set = index >= 0 && index < (int64_t)g->blobs.count && g->blobs.data[index].data != NULL;
  return set ? &g->blobs.data[index] : NULL;
}

bool leat_op_requires_grad(const leat_graph_t *g, const leat_op_t *op) {
  return leat_op_role(op->kind) == LEAT_ROLE_SYMBOL && leat_op_int(g, op, LEAT_ATTR_REQUIRES_GRAD, 0) != 0;
}

leat_scalar_t leat_op_scalar(const leat_graph_t *g, const leat_op_t *op) {
  bool has = leat_op_is_primitive(op->kind) && leat_op_role(op->kind) == LEAT_ROLE_ELEMENTWISE;
  return has ? (leat_scalar_t)leat_op_word(g, op, LEAT_ATTR_FN, LEAT_SCALAR_COUNT) : LEAT_SCALAR_COUNT;
}

bool leat_op_splat(const leat_graph_t *g, const leat_op_t *op, double *out_number) {
  if (leat_op_role(op->kind) != LEAT_ROLE_CONSTANT || leat_op_attr(g, op, LEAT_ATTR_INDEX) != NULL) return false;
  *out_number = leat_op_float(g, op, LEAT_ATTR_VALUE, 0.0);
  return true;
}

int64_t leat_op_int(const leat_graph_t *g, const leat_op_t *op, leat_attr_key_t key, int64_t otherwise) {
  assert(leat_attr_kind(key) == 'I' || leat_attr_kind(key) == 'T');
  const leat_attr_t *attr = leat_op_attr(g, op, key);
  return attr != NULL ? attr->v.i : otherwise;
}

int leat_op_word(const leat_graph_t *g, const leat_op_t *op, leat_attr_key_t key, int otherwise) {
  assert(leat_attr_kind(key) == 'E');
  const leat_attr_t *attr = leat_op_attr(g, op, key);
  return attr != NULL ? (int)attr->v.i : otherwise;
}

double leat_op_float(const leat_graph_t *g, const leat_op_t *op, leat_attr_key_t key, double otherwise) {
  assert(leat_attr_kind(key) == 'F');
  const leat_attr_t *attr = leat_op_attr(g, op, key);
  return attr != NULL ? attr->v.f : otherwise;
}

const char *leat_op_string(const leat_graph_t *g, const leat_op_t *op, leat_attr_key_t key, const char *otherwise) {
  assert(leat_attr_kind(key) == 'S');
  const leat_attr_t *attr = leat_op_attr(g, op, key);
  return attr != NULL ? attr->v.s : otherwise;
}

const leat_spec_t *leat_op_spec(const leat_graph_t *g, const leat_op_t *op) {
  const leat_attr_t *attr = leat_op_attr(g, op, LEAT_ATTR_SPEC);
  assert(attr != NULL);
  return attr->v.spec;
}

const int64_t *leat_op_list(const leat_graph_t *g, const leat_op_t *op, leat_attr_key_t key, uint32_t *out_count) {
  assert(leat_attr_kind(key) == 'L');
  const leat_attr_t *attr = leat_op_attr(g, op, key);
  *out_count = attr != NULL ? attr->count : 0;
  return attr != NULL ? attr->v.l : NULL;
}

bool leat_op_lists(const leat_graph_t *g, const leat_op_t *op, leat_attr_key_t list, leat_attr_key_t key) {
  assert(leat_attr_kind(list) == 'K');
  const leat_attr_t *attr = leat_op_attr(g, op, list);
  for (uint32_t i = 0; attr != NULL && i < attr->count; i++) {
    if (attr->v.l[i] == (int64_t)key) return true;
  }
  return false;
}

const char *leat_attr_keys_text(const leat_attr_t *attr, char buffer[LEAT_KEYS_TEXT]) {
  size_t length = 0;
  buffer[0] = '\0';
  for (uint32_t i = 0; i < attr->count && length < LEAT_KEYS_TEXT; i++)
    length += (size_t)snprintf(buffer + length, LEAT_KEYS_TEXT - length, "%s%s", i == 0 ? "" : ",",
                               leat_attr_name((leat_attr_key_t)attr->v.l[i]));
  return buffer;
}

static bool attr_equal(const leat_graph_t *g, const leat_attr_t *a, const leat_graph_t *h, const leat_attr_t *b) {
  if (a->key != b->key) return false;
  switch (leat_attr_kind((leat_attr_key_t)a->key)) {
    case 'F':
      return memcmp(&a->v.f, &b->v.f, sizeof a->v.f) == 0;  // bits: NaN equals itself, -0.0 is not 0.0
    case 'S':
      return strcmp(a->v.s, b->v.s) == 0;
    case 'Y':  // symbols of two graphs are the same by name
      return (g == h && a->v.i == b->v.i) || strcmp(leat_graph_symbol(g, (leat_symbol_id_t)a->v.i)->name,
                                                    leat_graph_symbol(h, (leat_symbol_id_t)b->v.i)->name) == 0;
    case 'C':
      return memcmp(a->v.spec, b->v.spec, sizeof *a->v.spec) == 0;  // unused letters are NUL
    case 'L':
    case 'K':
      return a->count == b->count && (a->count == 0 || memcmp(a->v.l, b->v.l, a->count * sizeof *a->v.l) == 0);
    case 'B':
      return leat_graphs_equal(g->bodies.data[a->v.i], h->bodies.data[b->v.i]);
    default:
      return a->v.i == b->v.i;
  }
}

bool leat_attrs_equal(const leat_graph_t *a, const leat_op_t *x, const leat_graph_t *b, const leat_op_t *y) {
  if (x->attr_count != y->attr_count) return false;
  for (uint32_t i = 0; i < x->attr_count; i++) {
    if (!attr_equal(a, &a->attrs.data[x->attr_first + i], b, &b->attrs.data[y->attr_first + i])) return false;
  }
  return true;
}
