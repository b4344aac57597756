// SPDX-License-Identifier: Apache-2.0
// What an engine is to a program: one table of functions. run has the symbols, the order of the calls, memory, threads,
// profile and faults; an engine knows how to compute a stage. A folder that fills this table and a row of
// driver/engines.c are an engine.
//
//   load   create() once a program; then, body by body, lay_out(), and prepare() once for every stage that has
//   something
//          to do.
//   run    for every stage and tile one call of what prepare() gave. It cannot fail, allocates nothing, and writes the
//          stage's outputs and the workspace only. Threads run different tiles of one stage at the same time; the
//          stages of a tile run in order, on one thread.
//
// All engines give the same bits from the same file, however high the tiles are: pef_format.h says which.
#ifndef LEAT_RUN_ENGINE_H_
#define LEAT_RUN_ENGINE_H_

#include "arch/arch.h"
#include "base/base.h"
#include "pef/pef_read.h"

// How an axis of a body is cut: in tiles of `tile`, but for the last.
typedef struct leat_run_axis_s {
  int64_t count, tile, tiles;
} leat_run_axis_t;

// What a body iterates over, and the tiles that runs will have.
typedef struct leat_run_space_s {
  int64_t row_count, tile_rows;
  uint32_t axis_count, boxes;  // boxes: tiles along the axes, the product of theirs
  leat_run_axis_t axes[PEF_MAX_AXES];
} leat_run_space_t;

// Rows [r0, r0 + rows) of a body for one call of it, and along its axes the box of this number.
typedef struct leat_run_tile_s {
  int64_t r0, rows;                                // rows >= 1
  uint32_t box;                                    // the last axis is the fastest
  int64_t first[PEF_MAX_AXES], end[PEF_MAX_AXES];  // of that box along axis 1, 2
  uint32_t stream;                                 // of the call: added to those of RANDOM
  char *const *arguments;                          // where the arguments of the call lie
  char *scratch;                                   // this thread's tile buffers, 64-byte aligned
  const uint64_t *buffers;                         // where they lie in it, as lay_out() has said
  char *workspace;  // this thread's, 64-byte aligned, its contents undefined: at least what prepare() asked for
} leat_run_tile_t;

typedef struct leat_run_stage_s {
  const pef_stage_t *file;
  // Set by prepare():
  void (*run)(const void *plan, const leat_run_tile_t *tile);
  const void *plan;  // the engine's own
  size_t workspace_bytes;
  const void *joined;  // with this plan run() does the stage and the next ones of the body, joined_count in all,
                       // whenever this one is to be done, and nobody can tell; NULL: there is none. Who looks at every
                       // stage takes `plan`.
  uint32_t joined_count;
} leat_run_stage_t;

typedef struct leat_run_engine_s {
  const char *name;

  // What the engine keeps for one program. `pef` and `arena`, where its plans may go, live as long; `isa` is that of
  // leat_load_options_t.
  leat_status_t (*create)(const leat_pef_t *pef, leat_arena_t *arena, const char *isa, void **out_state);
  void (*destroy)(void *state);  // what create() has set, also when it failed

  // Where the tile buffers of a body lie in the scratch of a thread, a multiple of the bytes of a cache line each, and
  // how many bytes they take. LEAT_UNSUPPORTED where the file does not say what the engine must know for that.
  leat_status_t (*lay_out)(void *state, const pef_body_t *body, uint64_t *out_buffers, uint64_t *out_bytes);

  // Makes a stage of a body ready for the tiles of its space: of at most tile_rows rows, and any box. LEAT_UNSUPPORTED
  // where the engine lacks what a valid file asks for.
  leat_status_t (*prepare)(void *state, leat_run_stage_t *stage, const pef_body_t *body, const leat_run_space_t *space);

  // After every run: an error where a stage found that the results cannot be trusted. NULL: the engine has no doubts.
  leat_status_t (*verdict)(const void *state);

  // n elements of a dtype, `stride` elements apart, to and from values of a class that lie side by side: for who reads
  // and fills symbols.
  void (*load)(const void *state, uint32_t class_, uint32_t dtype, void *out, const void *in, int64_t stride,
               int64_t n);
  void (*store)(const void *state, uint32_t class_, uint32_t dtype, void *out, int64_t stride, const void *in,
                int64_t n);

  // The level of instructions that it computes at: what it may be expected to take.
  leat_arch_level_t (*level)(const void *state);

  // Facts of its own for leat_program_report: `,"name":value` each.
  void (*report)(const void *state, leat_text_t *out);
} leat_run_engine_t;

// The bounds of a box.
static inline void leat_run_box(const leat_run_space_t *space, uint32_t box, int64_t first[PEF_MAX_AXES],
                                int64_t end[PEF_MAX_AXES]) {
  for (uint32_t i = space->axis_count; i-- > 0;) {
    const leat_run_axis_t *axis = &space->axes[i];
    const int64_t at = box % axis->tiles;
    box = (uint32_t)(box / axis->tiles);
    first[i] = at * axis->tile;
    end[i] = first[i] + axis->tile < axis->count ? first[i] + axis->tile : axis->count;
  }
}

// Elements of dim `dim` in a tile: the extent, and where in the whole dim they begin.
static inline int64_t leat_run_operand_extent(const leat_pef_t *pef, const pef_operand_t *operand, uint32_t dim,
                                              const leat_run_tile_t *tile, int64_t *out_first) {
  *out_first = dim == operand->row_dim ? tile->r0 * (int64_t)operand->row_mult : 0;
  if (dim == operand->row_dim) return tile->rows * (int64_t)operand->row_mult;
  const pef_cut_t *cut = pef->cut_count == 0 ? NULL : leat_pef_cut_of_dim(pef, operand, dim);
  if (cut == NULL) return operand->dims[dim];
  int64_t end = 0;
  leat_pef_cut_range(operand, cut, tile->first[cut->axis - 1], tile->end[cut->axis - 1], out_first, &end);
  return end - *out_first;
}

// Address of an operand's element 0 in a tile: tiles start anew in tile buffers.
static inline char *leat_run_operand_at(const leat_pef_t *pef, const pef_operand_t *operand,
                                        const leat_run_tile_t *tile) {
  if (operand->space == PEF_SPACE_SCRATCH) return tile->scratch + tile->buffers[operand->slot] + operand->offset;
  int64_t elements = 0, first = 0;
  for (uint32_t d = 0; d < operand->rank; ++d) {
    (void)leat_run_operand_extent(pef, operand, d, tile, &first);
    elements += first * operand->strides[d];
  }
  return tile->arguments[operand->slot] + operand->offset + elements * (int64_t)leat_pef_dtype_bytes(operand->dtype);
}

#endif
