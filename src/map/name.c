// SPDX-License-Identifier: Apache-2.0
#include "map/name.h"

#include <stdio.h>

static const char *or_empty(const char *text) { return text != NULL ? text : ""; }

static const char *what(const leat_graph_t *g, const leat_op_t *op) {
  const char *traced = g->origins.data[op->origin].traced;
  return traced != NULL ? traced : leat_op_info(op->kind)->name;
}

void leat_map_name_op(const leat_graph_t *g, leat_op_id_t id, char out_name[LEAT_MAP_NAME_MAX]) {
  const leat_op_t *op = leat_graph_op(g, id);
  const leat_origin_t *origin = &g->origins.data[op->origin];
  const char *module = or_empty(origin->module), *source = or_empty(origin->source);
  snprintf(out_name, LEAT_MAP_NAME_MAX, "%s%s%s%s%s", module, *module ? " " : "", what(g, op), *source ? " " : "",
           source);
  leat_utf8_trim(out_name);
}

void leat_map_name_section(const leat_graph_t *g, const leat_section_t *section, char out_name[LEAT_MAP_NAME_MAX]) {
  const char *text[2] = {"", ""};
  for (uint32_t i = 0; i < 2 && section->ops.count > 0; ++i) {
    const leat_op_t *op = leat_graph_op(g, section->ops.data[i == 0 ? 0 : section->ops.count - 1]);
    const char *module = or_empty(g->origins.data[op->origin].module);
    text[i] = *module ? module : what(g, op);
  }
  bool same = strcmp(text[0], text[1]) == 0;
  snprintf(out_name, LEAT_MAP_NAME_MAX, "%s%s%s", text[0], same ? "" : " .. ", same ? "" : text[1]);
  leat_utf8_trim(out_name);
}
