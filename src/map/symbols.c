// SPDX-License-Identifier: Apache-2.0
// The symbol table: every symbol the graph reads or stores, once, in a fixed order (kinds, then graph order).
#include "map/mapper.h"

typedef struct kind_name_s {
  const char *name;
  uint8_t kind;
} kind_name_t;

// What `kind` says in symbol and store ops.
static const kind_name_t symbol_kinds[] = {
    {"input", PEF_SYMBOL_INPUT},   {"param", PEF_SYMBOL_PARAMETER},      {"buffer", PEF_SYMBOL_BUFFER},
    {"state", PEF_SYMBOL_STATE},   {"hyper", PEF_SYMBOL_HYPERPARAMETER}, {"seed", PEF_SYMBOL_SEED},
    {"output", PEF_SYMBOL_OUTPUT}, {"grad", PEF_SYMBOL_GRADIENT},        {"internal", PEF_SYMBOL_INTERNAL},
};

static bool find_kind(const char *name, uint8_t *out_kind) {
  for (size_t i = 0; i < sizeof symbol_kinds / sizeof symbol_kinds[0]; ++i) {
    if (strcmp(symbol_kinds[i].name, name) == 0) {
      *out_kind = symbol_kinds[i].kind;
      return true;
    }
  }
  return false;
}

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
  const char *kind_name = leat_op_string(m->g, op, LEAT_ATTR_KIND, "");
  uint8_t kind;
  if (leat_op_role(op->kind) == LEAT_ROLE_SYMBOL) {
    if (!find_kind(kind_name, &kind))
      LEAT_FAIL(LEAT_INTERNAL, "symbol '%s' has the unknown kind '%s'", name, kind_name);
    return add(m, name, kind, leat_graph_value(m->g, op->result_first), leat_op_float(m->g, op, LEAT_ATTR_VALUE, 0.0));
  }
  const leat_value_t *v = leat_graph_value(m->g, leat_op_input(m->g, op, 0));
  if (strcmp(kind_name, "update") == 0) {
    if (find(m, name) == PEF_NONE) return add(m, name, PEF_SYMBOL_STATE, v, 0.0);  // state that nobody reads yet
    return NULL;
  }
  if (!find_kind(kind_name, &kind)) LEAT_FAIL(LEAT_INTERNAL, "store '%s' has the unknown kind '%s'", name, kind_name);
  return add(m, name, kind, v, 0.0);
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
