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

static const char *end_of(const leat_graph_t *g, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(g, id);
  const char *module = or_empty(g->origins.data[op->origin].module);
  return *module ? module : what(g, op);
}

leat_map_ends_t leat_map_section_ends(const leat_graph_t *g, const leat_section_t *section) {
  if (section->ops.count == 0) return (leat_map_ends_t){"", NULL};
  leat_map_ends_t ends = {end_of(g, section->ops.data[0]), end_of(g, section->ops.data[section->ops.count - 1])};
  if (strcmp(ends.first, ends.last) == 0) ends.last = NULL;
  return ends;
}

void leat_map_name_ends(leat_map_ends_t ends, char out_name[LEAT_MAP_NAME_MAX]) {
  snprintf(out_name, LEAT_MAP_NAME_MAX, "%s%s%s", ends.first, ends.last != NULL ? " .. " : "", or_empty(ends.last));
  leat_utf8_trim(out_name);
}

void leat_map_name_section(const leat_graph_t *g, const leat_section_t *section, char out_name[LEAT_MAP_NAME_MAX]) {
  leat_map_name_ends(leat_map_section_ends(g, section), out_name);
}
