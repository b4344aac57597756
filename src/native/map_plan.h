// SPDX-License-Identifier: Apache-2.0
// A MAP stage as the strip interpreter runs it: what map_plan.c makes at load and stage_map.c walks.
//
// What the program needs to compute: every value has an entry in a table of strip pointers, and values that do not live
// at the same time may share a strip. Leaves (operands, immediates, indices) come first, steps compute the rest, stores
// come last, so that an operand may be read in place although an output overwrites it. The iteration space has adjacent
// dims merged where every operand allows it.
#ifndef LEAT_NATIVE_MAP_PLAN_H_
#define LEAT_NATIVE_MAP_PLAN_H_

#include "arch/blocks.h"
#include "native/stage.h"

typedef enum map_leaf_kind_e {
  MAP_LEAF_ALIAS,     // read where it lies: native dtype, stride 1
  MAP_LEAF_LOAD,      // converted or gathered into a strip, strip by strip
  MAP_LEAF_ROW,       // inner stride 0 in row mode: one element a row
  MAP_LEAF_CONSTANT,  // the same for the whole tile
  MAP_LEAF_PERIODIC,  // linear mode, repeats every `period` elements: one buffer, read at an offset
} map_leaf_kind_t;

typedef struct map_leaf_s {
  map_leaf_kind_t kind;
  uint16_t value;
  uint8_t class_;
  bool is_iota, is_immediate;
  const leat_native_operand_t *operand;  // NULL: iota or immediate
  uint32_t iota_dim;                     // of the stage, before merging
  int64_t iota_first;                    // index at the first element of row 0
  int64_t iota_row_mult;                 // the index grows by this per row of the tile's start
  uint64_t immediate;
  int64_t period;
  int64_t strides[8];  // over the merged dims; elements, or index steps of an iota
  leat_kern_load_fn_t load;
  leat_kern_iota_fn_t iota;
} map_leaf_t;

// How often a value is computed: what strips of a row, or of a tile, have in common is computed once, as one element.
typedef enum map_scope_e { MAP_TILE, MAP_ROW, MAP_STRIP, MAP_SCOPE_COUNT } map_scope_t;

typedef struct map_step_s {
  leat_kern_map_fn_t fn;
  uint16_t op;            // PEF_SCALAR_*, its first body in class F32; or another word of map_op
  uint16_t dst, a, b, c;  // values
} map_step_t;
// What is no scalar function in class F32: its number rounded to bf16, and whatever else.
enum map_op { MAP_ROUND_BF16 = 256, MAP_OTHER = UINT16_MAX };

// Steps that run together: as code that was written for them, or, one step a part, by its kernel. Code goes through
// `rows` rows of n elements. `table`: a pointer a value, as many steps in bytes by which pointers go from a row to the
// next, and room for a number; code changes pointers of more rows than one.
typedef void (*map_code_t)(void **table, int64_t n, const uint32_t *words, int64_t rows);
typedef struct map_part_s {
  map_code_t code;  // NULL: the kernel
  uint32_t first, end;
} map_part_t;

// A value of scope TILE or ROW that strips read: its element fills the strip.
typedef struct map_spread_s {
  uint16_t value;
  uint8_t bytes;
} map_spread_t;

// A value while the plan is made.
typedef struct map_value_s {
  uint8_t class_;
  uint8_t scope;      // map_scope_t
  bool in_strips;     // of another scope, and kernels or stores read strips of it
  bool goes_out;      // made by a step of scope STRIP, and a store can have it straight from there
  bool is_narrow;     // a leaf that code reads as bf16, or what a store takes so from code
  uint32_t made;      // by this step; MAP_NO_STEP: a leaf
  uint32_t last_use;  // step; MAP_NO_STEP: needed by a store at the end
} map_value_t;
enum { MAP_NO_STEP = UINT32_MAX };

typedef struct map_store_s {
  const leat_native_operand_t *operand;
  uint16_t value;
  bool in_place;                       // the defining step writes to the output itself: nothing left to do
  bool contiguous;                     // stride 1 along a strip
  bool is_native;                      // of the dtype that its class computes in
  bool is_narrow;                      // bf16, which code makes of it: in a nest
  uint8_t element_bytes, value_bytes;  // stored; in a strip
  int64_t strides[8];
  leat_kern_store_fn_t store;
} map_store_t;

// What code adds up beside the rest: sums that REDUCE stages behind the MAP take instead of adding up what it stores,
// all over the same dims. The merged space has the dims that they keep first, then those that they sum; the last one,
// the innermost, is summed in lanes, or kept, as columns. Accumulators are in memory, where code adds to them row by
// row: in lanes MAP_SUM_LANES, of which lane i takes elements i, i + MAP_SUM_LANES, ... of a row; of columns one an
// element.
enum { MAP_SUMS_MAX = LEAT_NATIVE_SUMS_MAX };
typedef struct map_dim_s {
  uint32_t source;        // dim of the stage that it is of, or a part of
  int64_t extent, times;  // steps of the source that one of it is
  bool is_row;            // the rows of the tile; of extent 1 in one
  uint32_t summed, run;   // bits: sums that add up along it, and whose innermost dim it is of
} map_dim_t;
typedef struct map_sums_s {
  uint32_t count;
  struct {
    uint16_t value, at;                // at: of its own, the place of the accumulators
    bool lanes;                        // else columns
    size_t results_at;                 // in the workspace
    const leat_native_stage_t *stage;  // that stores them
  } of[MAP_SUMS_MAX];
  bool lanes, columns;  // there are such
  map_dim_t dims[8];    // as fine as those of the stage and of all sums, none of extent 1
  uint32_t dim_count, kept_count;
  int64_t width;                                  // of sums in blocks (leat_kern_pairs_t)
  int64_t chain;                                  // rows of columns, and steps of lanes, that make a block
  size_t accumulators_at, pairs_at, pairs_bytes;  // in the workspace; bytes: of one sum
} map_sums_t;

typedef struct map_plan_s {
  uint32_t leaf_count, step_count, store_count, value_count;
  map_leaf_t *leaves;
  map_step_t *steps;  // by scope, in the order of the program
  map_part_t *parts;  // the steps of scope STRIP
  uint32_t part_count;
  bool nest;              // one part, of code, has the steps of scope ROW, too, and goes through rows by itself
  map_sums_t sums;        // where there are any, nest holds
  map_spread_t *spreads;  // by scope
  uint32_t step_end[MAP_SCOPE_COUNT];    // of the steps of a scope, which begin where those of the one before end
  uint32_t spread_end[MAP_SCOPE_COUNT];  // likewise
  map_store_t *stores;
  int64_t *value_offset;  // bytes into the workspace; -1: the pointer is set strip by strip
  int64_t strip;          // elements
  uint32_t rank;          // of the merged space, at least 1
  int64_t dims[8];        // merged; dims[row_dim] is per row
  uint32_t row_dim;       // merged dim that grows with the rows of the tile; 8: none
  bool row_mode;          // strips do not cross rows of the innermost dim
  bool is_copy;           // one leaf goes to one store of the same dtype
} map_plan_t;

#endif
