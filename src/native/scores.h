// SPDX-License-Identifier: Apache-2.0
// What ATTENTION and ATTENTION_GRAD have in common: products of blocks, and a block of the table of scores before its
// weights are made. In the workspace a table lies [keys][width], a query a lane, so that keys are read where they lie
// and everything along them is done lane by lane.
#ifndef LEAT_NATIVE_SCORES_H_
#define LEAT_NATIVE_SCORES_H_

#include "native/jit.h"
#include "native/stage.h"

// A product of one size.
typedef struct leat_native_product_s {
  leat_kern_gemm_t g;
  leat_native_jit_gemm_t code;  // NULL: the kernel body
  void (*body)(const leat_kern_gemm_t *g, const void *a, const void *b, void *c);
} leat_native_product_t;

// Of f32, or of bf16 in `pairs`: words, which `g` counts, too.
leat_native_product_t leat_native_product(const leat_native_prepare_t *context, bool pairs, leat_kern_gemm_t g);
static inline void leat_native_multiply(const leat_native_product_t *p, const float *a, const float *b, float *c) {
  if (p->code != NULL) {
    leat_native_jit_run(p->code, b, a, c);
  } else {
    p->body(&p->g, a, b, c);
  }
}
// Words of so many elements along k.
static inline int64_t leat_native_words(bool pairs, int64_t elements) { return pairs ? (elements + 1) / 2 : elements; }

static inline int64_t leat_native_least(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t leat_native_up(int64_t x, int64_t to) { return (x + to - 1) / to * to; }

// A part of the workspace: where its place goes, in floats, and its extents.
typedef struct leat_native_part_s {
  int64_t *at;
  int64_t rows, columns;
} leat_native_part_t;

// Gives every part its place; false: they do not fit into memory.
bool leat_native_place_parts(const leat_native_part_t *parts, size_t count, size_t *out_bytes);

// Rows of a matrix as a tile has them: element (0, 0), strides in elements.
typedef struct leat_native_matrix_s {
  const char *at;
  int64_t row, column;
} leat_native_matrix_t;

// A stage on a tile.
typedef struct leat_native_scores_s {
  const leat_native_stage_t *stage;
  const leat_run_tile_t *tile;
  const leat_native_operand_t *all;      // a result, of which no dim b is broadcast
  int64_t queries, keys, width, values;  // width: of q and k; queries are those of a tile where tiles cut them
  int64_t heads[PEF_MAX_RANK];           // extents of the dims b
  int64_t head[PEF_MAX_RANK];            // where it is there
  int64_t first_query;                   // of the tile, in the whole: 0 where tiles do not
  uint64_t first_row;                    // of this head in the table of scores of all
  bool pairs;                            // factors are bf16
  float *table, *lines;                  // room: [keys][lanes], and [lanes][keys]
} leat_native_scores_t;

// With all queries; `out`: a result that is there.
leat_native_scores_t leat_native_scores(const leat_native_stage_t *stage, const leat_run_tile_t *tile, uint32_t out);
// To the next head; false behind the last.
bool leat_native_scores_next(leat_native_scores_t *s);

// Of this head: where an operand lies, and its last two dims.
char *leat_native_scores_at(const leat_native_scores_t *s, uint32_t operand);
leat_native_matrix_t leat_native_scores_matrix(const leat_native_scores_t *s, uint32_t operand);

// How rows of an operand are copied to be factors: a row one behind the other; a row a lane; rows of which those of one
// column are what is summed. Of bf16, words of two elements: of a row, or of two rows.
typedef enum leat_native_form_e { NATIVE_ROWS, NATIVE_LANES, NATIVE_TERMS } leat_native_form_t;
// Rows [first, first + count) of a factor. Lanes without a row are 0.
void leat_native_scores_copy(const leat_native_scores_t *s, uint32_t operand, int64_t first, int64_t count,
                             leat_native_form_t form, int64_t lanes, float *to);

// A block of the table: `queries` from query i of the tile on, `keys` from key j on, in rows of `lanes`.
typedef struct leat_native_block_s {
  int64_t i, j, queries, keys, lanes;
} leat_native_block_t;

// No key of the block takes part of any of its queries, whatever the scores.
bool leat_native_scores_hidden(const leat_native_scores_t *s, const leat_native_block_t *block);
// Scales and masks the scores of a block.
void leat_native_scores_mask(const leat_native_scores_t *s, const leat_native_block_t *block, float *scores);
// The factors of its weights, in the room of `table`; NULL: nothing is dropped.
const float *leat_native_scores_kept(const leat_native_scores_t *s, const leat_native_block_t *block);

#endif
