// SPDX-License-Identifier: Apache-2.0
// The symbol table: every symbol the graph reads or stores, once, in a fixed order (kinds, then graph order).
#include "map/mapper.h"

static const uint8_t symbol_kinds[] = {
    [LEAT_KIND_INPUT] = PEF_SYMBOL_INPUT,   [LEAT_KIND_PARAM] = PEF_SYMBOL_PARAMETER,
    [LEAT_KIND_BUFFER] = PEF_SYMBOL_BUFFER, [LEAT_KIND_HYPER] = PEF_SYMBOL_HYPERPARAMETER,
    [LEAT_KIND_STATE] = PEF_SYMBOL_STATE,   [LEAT_KIND_SEED] = PEF_SYMBOL_SEED,
};
static const uint8_t store_kinds[] = {
    // an update makes the symbol only of state that nobody reads yet
    [LEAT_STORE_OUTPUT] = PEF_SYMBOL_OUTPUT,
    [LEAT_STORE_UPDATE] = PEF_SYMBOL_STATE,
    [LEAT_STORE_GRAD] = PEF_SYMBOL_GRADIENT,
    [LEAT_STORE_INTERNAL] = PEF_SYMBOL_INTERNAL,
};

static uint32_t find(const leat_mapper_t *m, const char *name) {
  uint32_t found = leat_names_find(&m->symbol_index, name, strlen(name));
  return found == LEAT_NAME_ABSENT ? PEF_NONE : found;
}

uint32_t leat_map_find_symbol(const leat_mapper_t *m, const char *name) {
  uint32_t found = find(m, name);
  assert(found != PEF_NONE);
  return found;
}

static leat_status_t add(leat_mapper_t *m, const char *name, uint8_t kind, const leat_value_t *v, double init) {
  uint32_t known = find(m, name);
  if (known != PEF_NONE) {
    if (m->symbols.data[known].kind == kind || kind == PEF_SYMBOL_KIND_COUNT) return NULL;
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "two symbols are called '%s': give the tensors different names", name);
  }
  pef_symbol_t *symbol = leat_array_push(&m->symbols);
  const char **slot = leat_array_push(&m->symbol_names);
  if (symbol == NULL || slot == NULL || !leat_names_add(&m->symbol_index, name, m->symbols.count - 1))
    LEAT_FAIL(LEAT_OUT_OF_MEMORY, "out of memory");
  *slot = name;
  symbol->name = leat_pef_add_string(m->writer, name);
  symbol->kind = kind;
  symbol->dtype = v->dtype;
  symbol->rank = v->rank;
  symbol->of = PEF_NONE;
  symbol->bytes = leat_value_bytes(v);
  memcpy(&symbol->init, &init, sizeof init);
  memcpy(symbol->dims, v->dims, v->rank * sizeof v->dims[0]);
  m->symbol_bytes += (symbol->bytes + PEF_ALIGN - 1) / PEF_ALIGN * PEF_ALIGN;
  return NULL;
}

static leat_status_t add_op(leat_mapper_t *m, const leat_op_t *op) {
  const char *name = leat_op_string(m->g, op, LEAT_ATTR_NAME, "");
  const int kind = leat_op_word(m->g, op, LEAT_ATTR_KIND, 0);
  if (leat_op_role(op->kind) == LEAT_ROLE_SYMBOL) {
    const double init = leat_op_float(m->g, op, LEAT_ATTR_VALUE, 0.0);
    return add(m, name, symbol_kinds[kind], leat_graph_value(m->g, op->result_first), init);
  }
  if (kind == LEAT_STORE_UPDATE && find(m, name) != PEF_NONE) return NULL;
  return add(m, name, store_kinds[kind], leat_graph_value(m->g, leat_op_input(m->g, op, 0)), 0.0);
}

// Gradients, states and seeds are called <symbol>__<suffix>.
static void link_owners(leat_mapper_t *m) {
  for (uint32_t i = 0; i < m->symbols.count; ++i) {
    uint8_t kind = m->symbols.data[i].kind;
    if (kind != PEF_SYMBOL_GRADIENT && kind != PEF_SYMBOL_STATE && kind != PEF_SYMBOL_SEED) continue;
    const char *name = m->symbol_names.data[i];
    for (const char *end = strstr(name, "__"); end != NULL; end = strstr(end + 1, "__")) {
      uint32_t owner = leat_names_find(&m->symbol_index, name, (size_t)(end - name));
      if (owner != LEAT_NAME_ABSENT) m->symbols.data[i].of = owner;  // the longest name wins
    }
  }
}

leat_status_t leat_map_symbols(leat_mapper_t *m) {
  for (leat_op_id_t id = 0; id < m->g->ops.count; ++id) {
    const leat_op_t *op = leat_graph_op(m->g, id);
    if (leat_op_role(op->kind) == LEAT_ROLE_SYMBOL) LEAT_TRY(add_op(m, op));
  }
  for (leat_op_id_t id = 0; id < m->g->ops.count; ++id) {
    const leat_op_t *op = leat_graph_op(m->g, id);
    if (leat_op_is_statement(op->kind)) LEAT_TRY(add_op(m, op));
  }
  link_owners(m);
  for (uint32_t i = 0; i < m->symbols.count; ++i) leat_pef_add_symbol(m->writer, &m->symbols.data[i]);
  return NULL;
}

uint8_t leat_map_output_bit(const leat_mapper_t *m, uint32_t symbol) {
  uint32_t bit = 0;
  for (uint32_t i = 0; i < symbol; ++i) bit += m->symbols.data[i].kind == PEF_SYMBOL_OUTPUT;
  return bit < 64 ? (uint8_t)bit : 0xff;
}
