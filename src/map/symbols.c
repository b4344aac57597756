// SPDX-License-Identifier: Apache-2.0
#include "map/symbols.h"

#include "pef/pef_align.h"

static const uint8_t kinds[] = {
    [LEAT_KIND_INPUT] = PEF_SYMBOL_INPUT,       [LEAT_KIND_PARAM] = PEF_SYMBOL_PARAMETER,
    [LEAT_KIND_BUFFER] = PEF_SYMBOL_BUFFER,     [LEAT_KIND_HYPER] = PEF_SYMBOL_HYPERPARAMETER,
    [LEAT_KIND_STATE] = PEF_SYMBOL_STATE,       [LEAT_KIND_SEED] = PEF_SYMBOL_SEED,
    [LEAT_KIND_OUTPUT] = PEF_SYMBOL_OUTPUT,     [LEAT_KIND_GRAD] = PEF_SYMBOL_GRADIENT,
    [LEAT_KIND_INTERNAL] = PEF_SYMBOL_INTERNAL,
};

uint32_t leat_map_symbols_find(const leat_map_symbols_t *symbols, const leat_graph_t *g, const leat_op_t *op) {
  const uint32_t symbol = symbols->of[leat_op_symbol(g, op)];
  assert(symbol != PEF_NONE);
  return symbol;
}

void leat_map_symbols_describe(const leat_symbol_t *from, pef_symbol_t *out_symbol) {
  *out_symbol = (pef_symbol_t){.kind = kinds[from->kind],
                               .dtype = from->type.dtype,
                               .rank = from->type.rank,
                               .of = PEF_NONE,
                               .bytes = leat_value_bytes(&from->type)};
  memcpy(out_symbol->dims, from->type.dims, from->type.rank * sizeof *from->type.dims);
}

static leat_status_t add(leat_map_symbols_t *symbols, const leat_graph_t *g, const leat_op_t *op) {
  const leat_symbol_id_t id = leat_op_symbol(g, op);
  const leat_symbol_t *from = leat_graph_symbol(g, id);
  const double init = leat_op_float(g, op, LEAT_ATTR_VALUE, 0.0);  // a store has none
  if (symbols->of[id] != PEF_NONE) {
    if (leat_op_role(op->kind) == LEAT_ROLE_SYMBOL || leat_op_is_store(g, op, LEAT_STORE_UPDATE)) return NULL;
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "two symbols are called '%s': give the tensors different names", from->name);
  }
  pef_symbol_t *symbol = leat_array_push(&symbols->all);
  leat_symbol_id_t *slot = leat_array_push(&symbols->ids);
  if (symbol == NULL || slot == NULL) return leat_out_of_memory();
  *slot = id;
  symbols->of[id] = symbols->all.count - 1;
  leat_map_symbols_describe(from, symbol);
  memcpy(&symbol->init, &init, sizeof init);
  symbols->bytes += leat_pef_align(symbol->bytes);
  return NULL;
}

static void link_owners(leat_map_symbols_t *symbols, const leat_graph_t *g) {
  for (uint32_t i = 0; i < symbols->all.count; ++i) {
    const leat_symbol_id_t owner = leat_graph_symbol(g, symbols->ids.data[i])->owner;
    if (owner != LEAT_NONE) symbols->all.data[i].of = symbols->of[owner];
  }
}

leat_status_t leat_map_symbols_collect(const leat_graph_t *g, leat_map_symbols_t *out_symbols) {
  *out_symbols = (leat_map_symbols_t){.of = leat_alloc_zero(g->symbols.count + 1u, sizeof *out_symbols->of)};
  if (out_symbols->of == NULL) return leat_out_of_memory();
  for (leat_symbol_id_t id = 0; id < g->symbols.count; ++id) out_symbols->of[id] = PEF_NONE;
  for (leat_op_id_t id = 0; id < g->ops.count; ++id) {
    const leat_op_t *op = leat_graph_op(g, id);
    if (leat_op_role(op->kind) == LEAT_ROLE_SYMBOL) LEAT_TRY(add(out_symbols, g, op));
  }
  for (leat_op_id_t id = 0; id < g->ops.count; ++id) {
    const leat_op_t *op = leat_graph_op(g, id);
    if (leat_op_is_statement(op->kind)) LEAT_TRY(add(out_symbols, g, op));
  }
  link_owners(out_symbols, g);
  return NULL;
}

void leat_map_symbols_deinit(leat_map_symbols_t *symbols) {
  leat_array_free(&symbols->all);
  leat_array_free(&symbols->ids);
  leat_free(symbols->of);
}

uint16_t leat_map_symbols_output(const leat_map_symbols_t *symbols, uint32_t symbol) {
  uint32_t before = 0;
  if (symbols->all.data[symbol].kind != PEF_SYMBOL_OUTPUT) return PEF_NO_OUTPUT;
  for (uint32_t i = 0; i < symbol; ++i) before += symbols->all.data[i].kind == PEF_SYMBOL_OUTPUT;
  return before < PEF_NO_OUTPUT ? (uint16_t)before : PEF_NO_OUTPUT;
}
