// SPDX-License-Identifier: Apache-2.0
// What people read of a mapping: where stages come from, what sections are called.
#ifndef LEAT_MAP_NAME_H_
#define LEAT_MAP_NAME_H_

#include "cut/cut.h"

enum { LEAT_MAP_NAME_MAX = 512 };

// "lenet.conv1 conv2d lenet.py:12"
void leat_map_name_op(const leat_graph_t *g, leat_op_id_t op, char out_name[LEAT_MAP_NAME_MAX]);
// Between which ops a section reaches: what the first and the last are called by, their module or else what they are;
// borrowed. `last` is NULL where both are called the same.
typedef struct leat_map_ends_s {
  const char *first, *last;
} leat_map_ends_t;
leat_map_ends_t leat_map_section_ends(const leat_graph_t *g, const leat_section_t *section);
// "lenet.conv1 .. lenet.pool1"
void leat_map_name_ends(leat_map_ends_t ends, char out_name[LEAT_MAP_NAME_MAX]);
void leat_map_name_section(const leat_graph_t *g, const leat_section_t *section, char out_name[LEAT_MAP_NAME_MAX]);

#endif
