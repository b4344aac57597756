// SPDX-License-Identifier: Apache-2.0
// Where stores happen.
#include "cut/cutter.h"

static const char WHY_STORE[] = "updates a symbol after its last reader";

// A store overwrites the symbol in the section that computes the value, unless someone reads the old value later, or
// in the same section but not element by element in step with it: then it waits in a section of its own.
static bool reader_allows(const leat_cutter_t *c, leat_op_id_t reader, uint32_t input, uint32_t section,
                          leat_op_id_t writer) {
  const leat_op_t *op = leat_graph_op(c->g, reader), *w = leat_graph_op(c->g, writer);
  uint32_t s = c->plan->section_of[reader];
  if (op->type == LEAT_TYPE_PREPARE || s < section) return true;
  if (s > section) return false;
  if (c->plan->sections.data[s].rows == 1) return true;  // stages are in order; the mapper looks at them
  leat_access_t access;
  const leat_value_t *result = leat_graph_value(c->g, w->result_first);
  leat_value_id_t v = leat_op_input(c->g, op, input);
  return leat_op_role(op->kind) == LEAT_ROLE_ELEMENTWISE && leat_access_resolve(c->g, v, &access) &&
         leat_access_is_whole(c->g, &access) && leat_same_shape(leat_graph_value(c->g, v), result) &&
         c->plan->row_dim[reader] == c->plan->row_dim[writer];
}

static bool all_readers_allow(const leat_cutter_t *c, leat_symbol_id_t symbol, uint32_t section, leat_op_id_t writer) {
  leat_op_id_t leaf = leat_graph_symbol(c->g, symbol)->op;
  if (leaf == LEAT_NONE) return true;
  leat_value_id_t v = leat_graph_op(c->g, leaf)->result_first;
  for (uint32_t i = c->uses.first[v]; i < c->uses.first[v + 1]; ++i) {
    leat_use_t use = c->uses.all[i];
    if (!leat_op_computes(leat_graph_op(c->g, use.op)->kind)) continue;
    if (!reader_allows(c, use.op, use.input, section, writer)) return false;
  }
  return true;
}

// `first`: of each symbol, the store that was placed before, behind which another one comes; LEAT_NONE: there is none.
static leat_status_t place_store(leat_cutter_t *c, leat_op_id_t id, leat_op_id_t *first) {
  const leat_op_t *op = leat_graph_op(c->g, id);
  leat_op_id_t writer;
  if (leat_value_elements(leat_graph_value(c->g, leat_op_input(c->g, op, 0))) == 0) return NULL;  // nothing to write
  leat_cutter_base_op(c->g, leat_op_input(c->g, op, 0), &writer);
  uint32_t s = c->plan->section_of[writer];
  bool update = leat_op_is_store(c->g, op, LEAT_STORE_UPDATE);
  const leat_op_id_t before = first[leat_op_symbol(c->g, op)];
  const bool follows = before == LEAT_NONE || c->plan->section_of[before] <= s;
  first[leat_op_symbol(c->g, op)] = id;
  if (update && !(follows && all_readers_allow(c, leat_op_symbol(c->g, op), s, writer))) {
    const leat_value_t *v = leat_graph_value(c->g, leat_op_input(c->g, op, 0));
    int64_t rows = v->rank > 0 && v->dims[0] > 1 ? v->dims[0] : 1;
    s = c->plan->sections.count;
    LEAT_TRY(leat_cut_new_section(c, op->type, rows, WHY_STORE));
  }
  leat_op_id_t *slot = leat_array_push(&c->plan->sections.data[s].stores);
  if (slot == NULL) return leat_out_of_memory();
  *slot = id;
  c->plan->section_of[id] = s;
  return NULL;
}

leat_status_t leat_cut_stores(leat_cutter_t *c) {
  leat_op_id_t *first = leat_alloc((c->g->symbols.count + 1u) * sizeof *first);
  leat_status_t status = first == NULL ? leat_out_of_memory() : NULL;
  for (uint32_t i = 0; first != NULL && i < c->g->symbols.count; ++i) first[i] = LEAT_NONE;
  for (leat_op_id_t id = 0; status == NULL && id < c->g->ops.count; ++id)
    if (leat_op_is_statement(leat_graph_op(c->g, id)->kind)) status = place_store(c, id, first);
  leat_free(first);
  return status;
}
