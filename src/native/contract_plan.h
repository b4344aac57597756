// SPDX-License-Identifier: Apache-2.0
// A CONTRACT or CONTRACT_SCALED stage as it runs: loops over blocks of a plain matrix product.
//
// The dims are sorted by role; one m, one n and one k dim make the matrix product, all others are loops around it
// (batch, further m and n dims: outer; further k dims: an odometer whose steps are chunks of k, in order). Operands
// that do not lie as a block kernel wants them are packed into the workspace first, as class values.
#ifndef LEAT_NATIVE_CONTRACT_PLAN_H_
#define LEAT_NATIVE_CONTRACT_PLAN_H_

#include "arch/blocks.h"
#include "native/jit.h"
#include "native/stage.h"

typedef struct contract_dim_s {
  int64_t extent;      // per row if is_rows
  int64_t a, b, c, s;  // strides; s: of the scale
  bool is_rows;
} contract_dim_t;

// Sizes of blocks that generated kernels are made for, among so many first columns; the rest goes to the kernel body.
enum { CONTRACT_SIZES = 4, CONTRACT_WIDTHS_COLUMNS = 1 << 22 };
typedef struct contract_width_s {
  int64_t wide, b_k;  // columns of a block that are computed, and the stride of k in B there
} contract_width_t;

typedef struct contract_plan_s {
  uint8_t class_, value_bytes;
  uint8_t a_bytes, b_bytes, c_bytes;
  bool swapped;                 // A and B of the stage have changed places (contract_plan.c says when)
  bool pack_a, pack_b, pack_c;  // through the workspace
  bool a_columns;               // pack_a: blocks of [k][CONTRACT_M] in place of rows of CONTRACT_K
  bool b_native;                // B has the class's own dtype
  bool scaled;                  // B has a scale
  bool b_narrow;                // B is narrow, and few rows of A read it as it lies
  bool b_lines;                 // B lies in lines along k, and is read so
  bool b_once;                  // one row of A reads a row-major B, line by line
  bool add;
  bool pairs;  // bf16 in pairs of k: the kernel sees words of two elements; all else here counts elements
  uint32_t outer_count, k_count;
  contract_dim_t outer[8];
  contract_dim_t k_outer[8];
  uint32_t joined_count;     // pairs: dims of k that are walked as one, since pairs cross their borders; both operands
  contract_dim_t joined[8];  // are packed then, but for a B that lies packed
  contract_dim_t m, n, k;
  int64_t n_step;                 // columns that are computed are a multiple of this; B and C go through the workspace
  int64_t k_chunk;                // at most so many steps of k in one chunk
  int64_t n_block, n_block_step;  // packed B of the file; 0: plain
  int64_t n_total;                // extent of n in the whole body
  int64_t part_rows,
      part_columns;  // the part of C that goes through all of k at once; pack_c: its size in the workspace
  int64_t scale_group, scale_step;  // terms of k that share a scale, and elements to that of the next
  void (*gemm)(const leat_kern_gemm_t *g, const void *a, const void *b, void *c);
  void (*gemm_narrow)(const leat_kern_gemm_t *g, const leat_kern_scales_t *s, const void *a, const void *b, void *c);
  leat_kern_load_fn_t load_a, load_b, load_c;
  leat_kern_store_fn_t store_c;
  int64_t k_block;                // terms of a block of k, where there is more than one (C then goes through the
                                  // workspace, too); 0: k is one block
  int64_t pair_width, pair_rows;  // of leat_kern_pairs_t; row 0 is the part of C in work
  void (*close)(void *rows, int64_t width, int64_t count, int64_t cols);
  void (*end)(void *out, const void *rows, int64_t width, int64_t count, int64_t cols);
  size_t a_offset, b_offset, c_offset;  // buffers in the workspace
  // Generated kernels by the index of their sizes; NULL: gemm.
  int64_t m_sizes[CONTRACT_SIZES], k_sizes[CONTRACT_SIZES];
  contract_width_t widths[CONTRACT_SIZES];
  leat_native_jit_gemm_t block[CONTRACT_SIZES][CONTRACT_SIZES][CONTRACT_SIZES][2];  // m, width, k, add
} contract_plan_t;

// A block of columns: where B's first element lies, how wide the block is, and how wide it is computed: what is beside
// it in the workspaces of B and C does not matter.
typedef struct contract_columns_s {
  int64_t first, width, wide;
  const char *b;
  int64_t memory_b_k;  // stride of k in B as it lies in memory
  int64_t b_k;         // and as the block kernel sees it
} contract_columns_t;
// The block of columns that starts at `first` and ends at `end` at the latest; `b` is where column 0 lies.
contract_columns_t leat_native_contract_columns(const contract_plan_t *plan, const char *b, int64_t first, int64_t end);

// The product of one block as the kernel sees it.
leat_kern_gemm_t leat_native_contract_gemm(const contract_plan_t *plan, int64_t m, int64_t n, int64_t k, int64_t b_k,
                                           int add);

#endif
