// SPDX-License-Identifier: Apache-2.0
// Where each value lives, and which stores need a copy.
//
// A value that only one MAP stage touches stays in strip registers; one that only its section touches lives in tile
// scratch; a stored value is written straight to its symbol where that is safe; everything else goes to the arena.
#include "map/mapper.h"

static uint32_t section_of_value(const leat_mapper_t *m, leat_value_id_t v) {
  return m->plan->section_of[leat_graph_value(m->g, v)->op];
}

static bool is_store(const leat_mapper_t *m, leat_op_id_t op) {
  return leat_op_is_statement(leat_graph_op(m->g, op)->kind);
}

// An output may be bound to the caller's memory, which is gone when backward runs by itself.
static bool read_by_other_types(const leat_mapper_t *m, leat_value_id_t v) {
  uint8_t type = leat_mapper_producer(m, v)->type;
  for (uint32_t i = m->uses.first[v]; i < m->uses.first[v + 1]; ++i) {
    if (!is_store(m, m->uses.all[i].op) && leat_graph_op(m->g, m->uses.all[i].op)->type != type) return true;
  }
  return false;
}

// In-place update: within the section, every reader of the old value must come before the new one is written.
static bool readers_come_first(const leat_mapper_t *m, leat_value_id_t v, leat_symbol_id_t symbol) {
  leat_op_id_t writer = leat_graph_value(m->g, v)->op;
  uint32_t section = section_of_value(m, v);
  leat_op_id_t leaf = leat_graph_symbol(m->g, symbol)->op;
  if (leaf == LEAT_NONE) return true;
  leat_value_id_t old = leat_graph_op(m->g, leaf)->result_first;
  for (uint32_t i = m->uses.first[old]; i < m->uses.first[old + 1]; ++i) {
    leat_use_t use = m->uses.all[i];
    if (is_store(m, use.op) || m->plan->section_of[use.op] != section) continue;
    if (m->stage_of[use.op] > m->stage_of[writer]) return false;
    if (m->stage_of[use.op] == m->stage_of[writer] &&
        !leat_map_reads_in_step(m, leat_graph_op(m->g, use.op), use.input)) {
      return false;
    }
  }
  return true;
}

static bool store_may_be_direct(const leat_mapper_t *m, leat_value_id_t v, leat_op_id_t store) {
  if (m->plan->section_of[store] != section_of_value(m, v)) return false;
  const leat_op_t *op = leat_graph_op(m->g, store);
  if (leat_op_is_store(m->g, op, LEAT_STORE_OUTPUT)) return !read_by_other_types(m, v);
  if (leat_op_is_store(m->g, op, LEAT_STORE_UPDATE)) return readers_come_first(m, v, leat_op_symbol(m->g, op));
  return true;
}

static leat_op_id_t direct_store(const leat_mapper_t *m, leat_value_id_t v) {
  for (uint32_t i = m->uses.first[v]; i < m->uses.first[v + 1]; ++i) {
    if (is_store(m, m->uses.all[i].op) && store_may_be_direct(m, v, m->uses.all[i].op)) return m->uses.all[i].op;
  }
  return LEAT_NONE;
}

static bool stays_in_registers(const leat_mapper_t *m, leat_value_id_t v) {
  leat_op_id_t producer = leat_graph_value(m->g, v)->op;
  if (leat_op_role(leat_graph_op(m->g, producer)->kind) != LEAT_ROLE_ELEMENTWISE) return false;
  for (uint32_t i = m->uses.first[v]; i < m->uses.first[v + 1]; ++i) {
    leat_use_t use = m->uses.all[i];
    const leat_op_t *op = leat_graph_op(m->g, use.op);
    if (leat_op_role(op->kind) != LEAT_ROLE_ELEMENTWISE) return false;
    if (m->plan->section_of[use.op] != m->plan->section_of[producer]) return false;
    if (m->stage_of[use.op] != m->stage_of[producer] || !leat_map_reads_in_step(m, op, use.input)) return false;
  }
  return true;
}

static bool stays_in_section(const leat_mapper_t *m, leat_value_id_t v) {
  for (uint32_t i = m->uses.first[v]; i < m->uses.first[v + 1]; ++i) {
    if (m->plan->section_of[m->uses.all[i].op] != section_of_value(m, v)) return false;
  }
  return true;
}

// Tile scratch is laid out row-major with the rows outermost, so the cut dim must be the first of extent > 1.
static bool rows_are_outermost(const leat_mapper_t *m, leat_value_id_t v) {
  uint8_t row_dim = m->plan->row_dim[leat_graph_value(m->g, v)->op];
  if (row_dim == LEAT_ROWS_WHOLE) return true;
  for (uint32_t i = 0; i < row_dim; ++i) {
    if (leat_graph_value(m->g, v)->dims[i] != 1) return false;
  }
  return true;
}

static leat_status_t add_copy_stage(leat_mapper_t *m, leat_op_id_t store) {
  leat_section_map_t *section = &m->sections[m->plan->section_of[store]];
  leat_stage_t *stage = leat_array_push(&section->stages);
  if (stage == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "out of memory");
  m->stage_of[store] = section->stages.count - 1;
  stage->kind = LEAT_PRIM_MAP;
  stage->copy_store = store;
  return NULL;
}

static leat_status_t settle_value(leat_mapper_t *m, leat_value_id_t v) {
  leat_home_t *home = &m->homes[v];
  leat_op_id_t direct = direct_store(m, v);
  if (direct != LEAT_NONE) {
    home->kind = LEAT_HOME_SYMBOL;
    home->symbol = leat_map_symbol_of(m, leat_graph_op(m->g, direct));
    m->store_direct[direct] = 1;
  } else if (stays_in_registers(m, v)) {
    home->kind = LEAT_HOME_REGISTER;
  } else {
    home->kind = stays_in_section(m, v) && rows_are_outermost(m, v) ? LEAT_HOME_SCRATCH : LEAT_HOME_ARENA;
  }
  for (uint32_t i = m->uses.first[v]; i < m->uses.first[v + 1]; ++i) {
    if (is_store(m, m->uses.all[i].op) && !m->store_direct[m->uses.all[i].op])
      LEAT_TRY(add_copy_stage(m, m->uses.all[i].op));
  }
  return NULL;
}

static leat_status_t settle_leaf(leat_mapper_t *m, leat_value_id_t v, const leat_op_t *op) {
  leat_home_t *home = &m->homes[v];
  if (leat_op_role(op->kind) == LEAT_ROLE_SYMBOL) {
    home->kind = LEAT_HOME_SYMBOL;
    home->symbol = leat_map_symbol_of(m, op);
  } else if (leat_op_attr(m->g, op, LEAT_ATTR_INDEX) != NULL) {
    if (m->uses.first[v] == m->uses.first[v + 1]) return NULL;
    const leat_blob_t *blob = leat_op_blob(m->g, op);
    if (blob == NULL)
      LEAT_FAIL(LEAT_INTERNAL, "constant #%lld has no bytes", (long long)leat_op_int(m->g, op, LEAT_ATTR_INDEX, 0));
    home->kind = LEAT_HOME_CONSTANT;
    home->offset = leat_pef_add_constant(m->writer, blob->data, blob->data_bytes);
  }
  return NULL;
}

leat_status_t leat_map_homes(leat_mapper_t *m) {
  for (leat_value_id_t v = 0; v < m->g->values.count; ++v) {
    const leat_op_t *op = leat_mapper_producer(m, v);
    if (leat_op_computes(op->kind)) LEAT_TRY(settle_value(m, v));
    if (leat_op_is_leaf(op->kind)) LEAT_TRY(settle_leaf(m, v, op));
  }
  return NULL;
}
