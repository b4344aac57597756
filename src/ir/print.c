// SPDX-License-Identifier: Apache-2.0
// The printer of the graph text: values renumbered from 0, attributes in the order of attr.def, floats as short as they
// read back equal. Printing what was parsed from a print gives the same text.
#include <inttypes.h>

#include "ir/graph.h"

static void print_list(leat_text_t *text, const int64_t *list, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) leat_text_put(text, "%s%" PRId64, i == 0 ? "[" : ",", list[i]);
  leat_text_put(text, count == 0 ? "[]" : "]");
}

static void print_attr(leat_text_t *text, const leat_graph_t *g, const leat_op_t *op, const leat_attr_t *attr) {
  leat_attr_key_t key = (leat_attr_key_t)attr->key;
  char spec[LEAT_SPEC_TEXT], keys[LEAT_KEYS_TEXT];
  leat_text_put(text, "%s=", leat_attr_name(key));
  switch (leat_attr_kind(key)) {
    case 'I':
    case 'B':
      leat_text_put(text, "%" PRId64, attr->v.i);
      break;
    case 'F':
      leat_text_put_double(text, attr->v.f);
      break;
    case 'S':
      leat_text_put_json_string(text, attr->v.s);
      break;
    case 'E':
      leat_text_put_json_string(text, leat_word_text(leat_op_words(op->kind, key), attr->v.i));
      break;
    case 'Y':
      leat_text_put_json_string(text, leat_graph_symbol(g, (leat_symbol_id_t)attr->v.i)->name);
      break;
    case 'C':
      leat_text_put_json_string(text, leat_spec_text(attr->v.spec, spec));
      break;
    case 'K':
      leat_text_put_json_string(text, leat_attr_keys_text(attr, keys));
      break;
    case 'L':
      print_list(text, attr->v.l, attr->count);
      break;
    default:
      leat_text_put(text, "%s", leat_dtype_name((leat_dtype_t)attr->v.i));
      break;
  }
}

static void print_results(leat_text_t *text, const leat_op_t *op) {
  for (uint32_t i = 0; i < op->result_count; i++)
    leat_text_put(text, "%s%%%" PRIu32, i == 0 ? "" : ", ", op->result_first + i);
  if (op->result_count != 0) leat_text_put(text, " = ");
}

static void print_operands(leat_text_t *text, const leat_graph_t *g, const leat_op_t *op) {
  leat_text_put(text, "(");
  for (uint32_t i = 0; i < op->input_count; i++) {
    leat_value_id_t input = leat_op_input(g, op, i);
    if (i != 0) leat_text_put(text, ", ");
    if (input == LEAT_NONE)
      leat_text_put(text, "none");
    else
      leat_text_put(text, "%%%" PRIu32, input);
  }
  leat_text_put(text, ")");
}

static void print_attrs(leat_text_t *text, const leat_graph_t *g, const leat_op_t *op) {
  for (uint32_t i = 0; i < op->attr_count; i++) {
    leat_text_put(text, i == 0 ? " {" : ", ");
    print_attr(text, g, op, &g->attrs.data[op->attr_first + i]);
  }
  if (op->attr_count != 0) leat_text_put(text, "}");
}

static void print_types(leat_text_t *text, const leat_graph_t *g, const leat_op_t *op) {
  for (uint32_t i = 0; i < op->result_count; i++) {
    const leat_value_t *value = leat_graph_value(g, op->result_first + i);
    leat_text_put(text, "%s%s", i == 0 ? " : " : ", ", leat_dtype_name((leat_dtype_t)value->dtype));
    print_list(text, value->dims, value->rank);
  }
}

static void print_flags(leat_text_t *text, const leat_op_t *op) {
  if (op->detached != 0) leat_text_put(text, " !detached");
  if (op->exact != 0) leat_text_put(text, " !exact");
  if (op->group != 0) leat_text_put(text, " !group=%" PRIu32, op->group);
  if (op->type != LEAT_TYPE_FWD)
    leat_text_put(text, " !type=%s", leat_section_type_name((leat_section_type_t)op->type));
}

static void print_origin(leat_text_t *text, const leat_op_t *op, const leat_origin_t *origin) {
  if (origin->module[0] == '\0' && origin->source[0] == '\0') return;
  leat_text_put(text, " @ ");
  leat_text_put_json_string(text, origin->module);
  leat_text_put(text, " ");
  leat_text_put_json_string(text, origin->source);
  if (leat_op_is_primitive(op->kind) || strcmp(origin->traced, leat_op_info(op->kind)->name) == 0) return;
  leat_text_put(text, " ");
  leat_text_put_json_string(text, origin->traced);
}

static void print_group(leat_text_t *text, const leat_group_t *group) {
  leat_text_put(text, "group %" PRIu32 " ", group->id);
  leat_text_put_json_string(text, group->name);
  bool parameters = group->parameters[0] != '\0';
  if (parameters || group->heuristic[0] != '\0') {
    leat_text_put(text, " ");
    leat_text_put_json_string(text, group->heuristic);
  }
  if (parameters) {
    leat_text_put(text, " ");
    leat_text_put_json_string(text, group->parameters);
  }
  leat_text_put(text, "\n");
}

static void print_op(leat_text_t *text, const leat_graph_t *g, const leat_op_t *op, int indent) {
  leat_text_put(text, "%*s", indent, "");
  print_results(text, op);
  leat_text_put(text, "%s%s", leat_op_is_primitive(op->kind) ? "prim." : "", leat_op_info(op->kind)->name);
  print_operands(text, g, op);
  print_attrs(text, g, op);
  print_types(text, g, op);
  print_flags(text, op);
  print_origin(text, op, &g->origins.data[op->origin]);
  leat_text_put(text, "\n");
}

// The bodies of loops, then the ops.
static void print_ops(leat_text_t *text, const leat_graph_t *g, int indent) {
  for (uint32_t i = 0; i < g->bodies.count; i++) {
    leat_text_put(text, "%*sbody %" PRIu32 "\n", indent, "", i);
    print_ops(text, g->bodies.data[i], indent + 2);
    leat_text_put(text, "%*send\n", indent, "");
  }
  for (leat_op_id_t id = 0; id < g->ops.count; id++) print_op(text, g, leat_graph_op(g, id), indent);
}

LEAT_EXPORT leat_status_t leat_graph_print(const leat_graph_t *g, char **out_text) {
  leat_text_t text = {0};
  *out_text = NULL;
  leat_text_put(&text, "leat.graph 1\n");
  for (uint32_t i = 0; i < g->groups.count; i++) print_group(&text, &g->groups.data[i]);
  print_ops(&text, g, 0);
  if (text.failed) {
    leat_text_deinit(&text);
    return leat_out_of_memory();
  }
  *out_text = text.data;
  return NULL;
}
