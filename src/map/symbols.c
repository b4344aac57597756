// SPDX-License-Identifier: Apache-2.0
// The symbol table: every symbol the graph reads or stores, once, in a fixed order (kinds, then graph order).
#include "map/mapper.h"

static const uint8_t kinds[] = {
    [LEAT_KIND_INPUT] = PEF_SYMBOL_INPUT,       [LEAT_KIND_PARAM] = PEF_SYMBOL_PARAMETER,
    [LEAT_KIND_BUFFER] = PEF_SYMBOL_BUFFER,     [LEAT_KIND_HYPER] = PEF_SYMBOL_HYPERPARAMETER,
    [LEAT_KIND_STATE] = PEF_SYMBOL_STATE,       [LEAT_KIND_SEED] = PEF_SYMBOL_SEED,
    [LEAT_KIND_OUTPUT] = PEF_SYMBOL_OUTPUT,     [LEAT_KIND_GRAD] = PEF_SYMBOL_GRADIENT,
    [LEAT_KIND_INTERNAL] = PEF_SYMBOL_INTERNAL,
};

uint32_t leat_map_symbol_of(const leat_mapper_t *m, const leat_op_t *op) {
  const uint32_t symbol = m->symbol_of[leat_op_symbol(m->g, op)];
  assert(symbol != PEF_NONE);
  return symbol;
}

static leat_status_t add(leat_mapper_t *m, const leat_op_t *op) {
  const leat_symbol_id_t id = leat_op_symbol(m->g, op);
  const leat_symbol_t *from = leat_graph_symbol(m->g, id);
  const double init = leat_op_float(m->g, op, LEAT_ATTR_VALUE, 0.0);  // a store has none
  if (m->symbol_of[id] != PEF_NONE) {
    if (leat_op_role(op->kind) == LEAT_ROLE_SYMBOL || leat_op_is_store(m->g, op, LEAT_STORE_UPDATE)) return NULL;
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "two symbols are called '%s': give the tensors different names", from->name);
  }
  pef_symbol_t *symbol = leat_array_push(&m->symbols);
  if (symbol == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "out of memory");
  m->symbol_of[id] = m->symbols.count - 1;
  *symbol = (pef_symbol_t){.name = leat_pef_add_string(m->writer, from->name),
                           .kind = kinds[from->kind],
                           .dtype = from->type.dtype,
                           .rank = from->type.rank,
                           .of = PEF_NONE,
                           .bytes = leat_value_bytes(&from->type)};
  memcpy(&symbol->init, &init, sizeof init);
  memcpy(symbol->dims, from->type.dims, from->type.rank * sizeof *from->type.dims);
  m->symbol_bytes += (symbol->bytes + PEF_ALIGN - 1) / PEF_ALIGN * PEF_ALIGN;
  return NULL;
}

static void link_owners(leat_mapper_t *m) {
  for (leat_symbol_id_t id = 0; id < m->g->symbols.count; ++id) {
    const leat_symbol_id_t owner = leat_graph_symbol(m->g, id)->owner;
    if (owner != LEAT_NONE && m->symbol_of[id] != PEF_NONE) m->symbols.data[m->symbol_of[id]].of = m->symbol_of[owner];
  }
}

leat_status_t leat_map_symbols(leat_mapper_t *m) {
  for (leat_symbol_id_t id = 0; id < m->g->symbols.count; ++id) m->symbol_of[id] = PEF_NONE;
  for (leat_op_id_t id = 0; id < m->g->ops.count; ++id) {
    const leat_op_t *op = leat_graph_op(m->g, id);
    if (leat_op_role(op->kind) == LEAT_ROLE_SYMBOL) LEAT_TRY(add(m, op));
  }
  for (leat_op_id_t id = 0; id < m->g->ops.count; ++id) {
    const leat_op_t *op = leat_graph_op(m->g, id);
    if (leat_op_is_statement(op->kind)) LEAT_TRY(add(m, op));
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
