// SPDX-License-Identifier: Apache-2.0
// What the files of this folder share: the state of one mapping.
//
//   symbols.c   the symbol table
//   stages.c    ops of a section -> stages; elementwise chains become one MAP stage
//   homes.c     where each value lives: register, tile scratch, arena, symbol
//   memory.c    offsets in scratch and arena by lifetime; tile rows
//   emit.c      operands, arguments, bodies, calls, barriers
//   emit_map.c, emit_contract.c, emit_op.c   stages of each kind
#ifndef LEAT_MAP_MAPPER_H_
#define LEAT_MAP_MAPPER_H_

#include "map/map.h"
#include "pef/pef_flight.h"
#include "space/access.h"
#include "space/rows.h"
#include "space/uses.h"

typedef enum leat_home_kind_e {
  LEAT_HOME_NONE,      // not computed (views), or nobody reads it
  LEAT_HOME_REGISTER,  // only inside one MAP stage
  LEAT_HOME_SCRATCH,   // only inside one section: offset into the tile scratch
  LEAT_HOME_ARENA,     // offset into the arena
  LEAT_HOME_SYMBOL,    // the symbol's own storage
  LEAT_HOME_CONSTANT,  // offset into the constants
} leat_home_kind_t;

typedef struct leat_home_s {
  uint8_t kind;
  uint32_t symbol;
  uint64_t offset;
} leat_home_t;

typedef struct leat_stage_s {
  uint32_t kind;    // primitive kind of its ops
  uint8_t row_dim;  // of its results
  uint32_t rank;    // MAP: iteration space
  int64_t dims[LEAT_RANK_MAX];
  uint32_t weight;  // MAP: operands and ops so far, against the register file
  LEAT_ARRAY(leat_op_id_t) ops;
  leat_op_id_t copy_store;  // a stage that copies a value into the symbol of this store; else LEAT_NONE
} leat_stage_t;

typedef struct leat_section_map_s {
  LEAT_ARRAY(leat_stage_t) stages;
  int64_t tile_rows_max;
  uint64_t tile_quantum;
  uint64_t scratch_bytes;
} leat_section_map_t;

// A packed copy of a fixed contraction operand, made by a prepare section (emit_contract.c).
typedef struct leat_pack_s {
  leat_access_t access;    // what was packed, as [k, n] with dims 0 and 1
  int64_t block;           // width of the panels; 0: plain [k, n]
  uint64_t offset, bytes;  // in the arena
} leat_pack_t;

typedef struct leat_mapper_s {
  const leat_graph_t *g;
  const leat_plan_t *plan;
  const leat_map_options_t *options;
  leat_pef_writer_t *writer;
  leat_arena_t arena;  // everything below lives here
  leat_uses_t uses;
  uint32_t *stage_of;     // per op: index in its section's stages
  leat_home_t *homes;     // per value
  uint8_t *store_direct;  // per op: this store needs no copy
  leat_section_map_t *sections;
  uint64_t arena_bytes;
  uint32_t symbol_count;
  uint64_t symbol_bytes;
  LEAT_ARRAY(pef_symbol_t) symbols;
  uint32_t *symbol_of;  // per symbol of the graph: its index in symbols; PEF_NONE: no op names it
  LEAT_ARRAY(leat_pack_t) packs;
  leat_flight_t flight;    // calls since the last barrier
  uint64_t scratch_bytes;  // maximum over bodies
} leat_mapper_t;

static inline const leat_op_t *leat_mapper_producer(const leat_mapper_t *m, leat_value_id_t v) {
  return leat_graph_op(m->g, leat_graph_value(m->g, v)->op);
}

leat_status_t leat_map_symbols(leat_mapper_t *m) LEAT_MUST_USE;
// Index in the file of the symbol that an op names.
uint32_t leat_map_symbol_of(const leat_mapper_t *m, const leat_op_t *op);
leat_status_t leat_map_stages(leat_mapper_t *m) LEAT_MUST_USE;
leat_status_t leat_map_homes(leat_mapper_t *m) LEAT_MUST_USE;
leat_status_t leat_map_memory(leat_mapper_t *m) LEAT_MUST_USE;
leat_status_t leat_map_emit(leat_mapper_t *m) LEAT_MUST_USE;
// Adds `bytes` to the arena, never reused.
uint64_t leat_map_reserve(leat_mapper_t *m, uint64_t bytes);
// True if input `input` of `op` reads its base element by element in the op's own iteration order.
bool leat_map_reads_in_step(const leat_mapper_t *m, const leat_op_t *op, uint32_t input);

uint32_t leat_map_class_of(uint32_t dtype);  // pef_class
// Bit of an output symbol in the mask of enabled outputs; 0xff beyond the 64th.
uint8_t leat_map_output_bit(const leat_mapper_t *m, uint32_t symbol);

#endif
