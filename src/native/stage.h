// SPDX-License-Identifier: Apache-2.0
// A prepared stage and how to run it on a tile: the contract between the engine's table (engine.c) and the stage kinds
// (stage_*.c), which know what one stage computes.
//
//   load   for every stage: operands are resolved to leat_native_operand_t, then the kind's prepare() picks kernels and
//          states the workspace that a tile needs. It trusts the stage: the reader of the file has held it against the
//          schema (pef/stage.def), and whatever that accepts is computed here. It fails only for lack of memory.
//   run    for every tile: the kind's run() computes; it cannot fail, allocates nothing and writes nothing but its
//          output operands and the workspace. Several threads run different tiles of one stage at the same time.
//
// A MAP may make sums of what it computes, and store them, in the place of REDUCE stages right behind it (`joined`).
//
// A stage kind is a block of pef/stage.def: leat_native_<name>_prepare and leat_native_<name>_run.
#ifndef LEAT_NATIVE_STAGE_H_
#define LEAT_NATIVE_STAGE_H_

#include "base/base.h"
#include "kern/kern.h"
#include "run/engine.h"

typedef struct leat_native_operand_s {
  uint8_t space;  // enum pef_space
  uint8_t dtype;  // enum pef_dtype
  uint8_t element_bytes;
  uint8_t rank;
  uint8_t row_dim;     // PEF_NO_ROW_DIM: the same for every tile
  uint32_t slot;       // SPACE_ARGUMENT: index into tile->arguments
  int64_t offset;      // bytes from the base to element 0 of row 0
  int64_t row_bytes;   // bytes from a row to the next: row_mult * strides[row_dim] * element_bytes in space ARGUMENT,
                       // 0 in SCRATCH (a tile's buffers start anew) and without a row dim
  int64_t row_mult;    // extent of row_dim per row; 0 without a row dim
  int64_t dims[8];     // for the whole body; beyond rank: 1
  int64_t strides[8];  // elements; beyond rank: 0
  int64_t first[8];    // where the box begins along a dim that is cut; else 0
} leat_native_operand_t;

typedef struct leat_native_stage_s leat_native_stage_t;

enum { LEAT_NATIVE_SUMS_MAX = 3 };
// A REDUCE of what a MAP has at hand.
typedef struct leat_native_sum_s {
  const leat_native_stage_t *reduce;  // not prepared yet
  bool wanted;                        // others than these stages, too, use the memory that it reads
} leat_native_sum_t;

// What a prepare() may use. `arena` lives as long as the program (zeroed memory, 16-byte aligned).
typedef struct leat_native_prepare_s {
  leat_arena_t *arena;
  const leat_kern_t *kern;          // the kernels of the chosen ISA level
  struct leat_native_jit_s *jit;    // generated matrix kernels; NULL where they are not available
  struct leat_native_code_s *code;  // for what is written for programs of MAP; NULL: nothing is
  int64_t row_count;                // of the body
  int64_t tile_rows_max;            // no tile has more rows
  const leat_native_sum_t *sums;    // of a MAP: the stages right behind it, as far as they are such
  uint32_t sum_count;
  const leat_pef_t *pef;  // where the stage stands
  const pef_body_t *body;
  const pef_stage_t *file;  // NULL: in no file
} leat_native_prepare_t;

typedef struct leat_native_stage_kind_s {
  const char *name;
  leat_status_t (*prepare)(leat_native_stage_t *stage, const leat_native_prepare_t *context);
  void (*run)(const void *stage, const leat_run_tile_t *tile);  // stage: leat_native_stage_t
} leat_native_stage_kind_t;

struct leat_native_stage_s {
  const leat_native_stage_kind_t *kind;
  const leat_kern_t *kern;
  const leat_native_operand_t *operands;  // in the order that pef_format.h states for the kind
  uint32_t operand_count;
  uint8_t fn;  // enum pef_fn
  const pef_params_t *params;
  const pef_instruction_t *instructions;  // MAP
  uint32_t instruction_count;
  const char *origin;               // for messages: "module op source"
  const leat_native_stage_t *next;  // resolved and not prepared: the stage behind it, where the two may be one
                                    // (behind.h); NULL
  // Set by prepare():
  const void *plan;                   // the kind's own record, from the arena; NULL if it needs none
  size_t workspace_bytes;             // per thread; contents are undefined when run() starts
  const leat_native_stage_t *joined;  // of the same kind, whose run() does this stage and those behind it; NULL
  uint32_t joined_count;              // stages that it does
};

// The table over pef_stage_kind; NULL beyond PEF_STAGE_COUNT.
const leat_native_stage_kind_t *leat_native_stage_kind(uint32_t kind);

// out[i * ld_out + j] = in[i * in_i + j * in_j], of elements of so many bytes.
void leat_native_copy2(const leat_kern_t *kern, uint8_t bytes, char *out, int64_t ld_out, const char *in, int64_t in_i,
                       int64_t in_j, int64_t rows, int64_t cols);

// Address of the operand's element 0 in this tile.
static inline char *leat_native_operand_at(const leat_native_operand_t *operand, const leat_run_tile_t *tile) {
  char *base = operand->space == PEF_SPACE_ARGUMENT ? tile->arguments[operand->slot] : tile->scratch;
  return base + operand->offset + tile->r0 * operand->row_bytes;
}

// Extent of `dim` in this tile.
static inline int64_t leat_native_operand_extent(const leat_native_operand_t *operand, uint32_t dim,
                                                 const leat_run_tile_t *tile) {
  return dim == operand->row_dim ? tile->rows * operand->row_mult : operand->dims[dim];
}

// Index, in the whole operand, of the tile's first element along `dim`.
static inline int64_t leat_native_operand_first(const leat_native_operand_t *operand, uint32_t dim,
                                                const leat_run_tile_t *tile) {
  return dim == operand->row_dim ? tile->r0 * operand->row_mult : operand->first[dim];
}

#define STAGE(suffix, name, number, since, text)                                                               \
  leat_status_t leat_native_##name##_prepare(leat_native_stage_t *stage, const leat_native_prepare_t *context) \
      LEAT_MUST_USE;                                                                                           \
  void leat_native_##name##_run(const leat_native_stage_t *stage, const leat_run_tile_t *tile);
#include "pef/stage.def"

#endif
