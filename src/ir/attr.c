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
