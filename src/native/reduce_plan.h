// SPDX-License-Identifier: Apache-2.0
// A REDUCE as stage_reduce.c runs it: what is made of it at load, and what map_sums.c, which sums where a MAP makes the
// terms, needs of it.
#ifndef LEAT_NATIVE_REDUCE_PLAN_H_
#define LEAT_NATIVE_REDUCE_PLAN_H_

#include "arch/blocks.h"
#include "native/stage.h"

typedef enum reduce_mode_e { REDUCE_LANES, REDUCE_COLUMNS, REDUCE_FOLD, REDUCE_ARG } reduce_mode_t;
typedef void (*reduce_fold_fn_t)(void *acc, const void *in, int64_t stride, int64_t n);
typedef void (*reduce_columns_fn_t)(void *acc, const void *in, int64_t row_stride, int64_t rows, int64_t cols);
typedef int64_t (*reduce_arg_fn_t)(const void *in, int64_t stride, int64_t n);

// The kernels that sum in blocks, of a class.
typedef struct reduce_pairs_fns_s {
  void (*fold)(leat_kern_pairs_t *p, const void *in, int64_t stride, int64_t n);
  void (*columns)(leat_kern_pairs_t *p, const void *in, int64_t row_stride, int64_t rows, int64_t cols);
  void (*lanes)(leat_kern_pairs_t *p, const void *in, int64_t run_stride, int64_t runs, int64_t n, int64_t close);
  void (*close)(void *rows, int64_t width, int64_t count, int64_t cols);
  void (*end)(void *out, const void *rows, int64_t width, int64_t count, int64_t cols);
  void (*rows)(void *out, const void *in, int64_t row_stride, int64_t rows, int64_t n, int64_t block);
} reduce_pairs_fns_t;

typedef struct reduce_dim_s {
  int64_t extent;   // per row if it is the row dim
  int64_t in, out;  // strides
  bool is_rows;
} reduce_dim_t;

typedef struct reduce_plan_s {
  reduce_mode_t mode;
  bool in_order;  // dims that are kept, and columns the last of them, are as in the operand
  uint8_t class_, in_bytes, out_bytes, value_bytes;
  bool native;                         // the operand lies in memory as the class computes
  uint32_t kept_count, reduced_count;  // outermost first
  reduce_dim_t kept[8], reduced[8];
  uint64_t start;  // bits of the neutral element
  reduce_fold_fn_t fold;
  reduce_columns_fn_t columns;
  reduce_columns_fn_t lanes_add;
  reduce_columns_fn_t rows;  // results of several runs side by side; NULL: one by one
  void (*lanes_end)(void *out, const void *lanes);
  reduce_pairs_fns_t pairs;
  int64_t block;       // terms of a block (of all lanes together); 0: the sum is one block
  bool close_runs;     // a block ends with each run of lanes
  uint32_t pair_rows;  // of leat_kern_pairs_t
  reduce_arg_fn_t arg;
  leat_kern_load_fn_t load;
  leat_kern_store_fn_t store;
} reduce_plan_t;

// Stores the results of a tile, which lie side by side as the class computes, instead of making them.
void leat_native_reduce_store(const leat_native_stage_t *stage, const leat_run_tile_t *tile, char *results);

#endif
