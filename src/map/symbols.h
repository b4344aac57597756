// SPDX-License-Identifier: Apache-2.0
// The symbols of a mapping: every one the graph reads or stores, once, in a fixed order (those that are read, then
// those that are only stored, as the graph names them).
#ifndef LEAT_MAP_SYMBOLS_H_
#define LEAT_MAP_SYMBOLS_H_

#include "ir/graph.h"
#include "pef/pef_format.h"

typedef struct leat_map_symbols_s {
  LEAT_ARRAY(pef_symbol_t) all;      // as in the file, but for `name`
  LEAT_ARRAY(leat_symbol_id_t) ids;  // of the graph, in the same order
  uint32_t *of;                      // per symbol of the graph: its index in `all`; PEF_NONE: no op names it
  uint64_t bytes;                    // of all, each aligned
} leat_map_symbols_t;

// A symbol of a graph as a file has it, but for its name, its owner and what it starts with.
void leat_map_symbols_describe(const leat_symbol_t *from, pef_symbol_t *out_symbol);
leat_status_t leat_map_symbols_collect(const leat_graph_t *g, leat_map_symbols_t *out_symbols) LEAT_MUST_USE;
void leat_map_symbols_deinit(leat_map_symbols_t *symbols);
// Index of the symbol that an op names.
uint32_t leat_map_symbols_find(const leat_map_symbols_t *symbols, const leat_graph_t *g, const leat_op_t *op);
// Which output a symbol is; PEF_NO_OUTPUT: it is none, or beyond those that have a number.
uint16_t leat_map_symbols_output(const leat_map_symbols_t *symbols, uint32_t symbol);

#endif
