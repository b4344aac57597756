// SPDX-License-Identifier: Apache-2.0
// GATHER, SCATTER and SEARCH. The table x is B++P++[D]++S, the index (of a search what is looked for) B++I, the small
// operand (result or updates) B++P++I++S.
// Rows may run along any dim but I in a scatter and D in a gather. Where they run along the D of a scatter, a tile
// takes the updates whose index names one of its rows.
#include "base/loops.h"
#include "kern/half.h"
#include "native/stage.h"

typedef struct indexed_s {
  leat_kern_indexed_t shape;
  const leat_native_operand_t *table, *index, *small;
  uint32_t row_dim;  // of the shape's dims; PEF_NO_ROW_DIM: all tiles move alike, or rows are those of the table
  bool table_rows;
} indexed_t;

// Neighbouring dims that all three operands go through in one step become one.
static void merge_dims(leat_kern_indexed_t *k, uint32_t *row_dim) {
  int64_t *const rows[3] = {k->small, k->table, k->index}, strides[3][8];
  uint32_t places[8];
  for (uint32_t o = 0; o < 3; o++) memcpy(strides[o], rows[o], sizeof strides[o]);
  leat_loops_t loops = {(uint32_t)k->rank, k->dims, 3, 8, &strides[0][0]};
  leat_loops_merge(&loops, *row_dim == PEF_NO_ROW_DIM ? 0 : 3u << *row_dim, places);  // rows stay a dim of their own
  for (uint32_t o = 0; o < 3; o++) memcpy(rows[o], strides[o], sizeof strides[o]);
  k->rank = loops.count;
  if (*row_dim != PEF_NO_ROW_DIM) *row_dim = places[*row_dim];
}

// Dims of the small operand: [0, batch) of all three, [batch, dim) of the table, [dim, dim + index dims) of the index,
// the rest of the table after D.
static void read_dims(const leat_native_stage_t *stage, indexed_t *s) {
  const leat_native_operand_t *table = s->table, *index = s->index, *small = s->small;
  const uint32_t dim = (uint32_t)stage->params->lookup.dim, batch = (uint32_t)stage->params->lookup.batch;
  const uint32_t index_dims = index->rank - batch, first_s = dim + index_dims;
  leat_kern_indexed_t *k = &s->shape;
  k->rank = small->rank;
  for (uint32_t d = 0; d < small->rank; d++) {
    const bool of_index = d < batch || (d >= dim && d < first_s), of_table = d < dim || d >= first_s;
    k->dims[d] = small->dims[d];
    k->small[d] = small->strides[d];
    k->index[d] = of_index ? index->strides[d < batch ? d : d - dim + batch] : 0;
    k->table[d] = of_table ? table->strides[d < dim ? d : d - index_dims + 1] : 0;
  }
  k->extent = k->count = table->dims[dim];
  k->step = table->strides[dim];
  s->table_rows = table->row_dim == dim;
  s->row_dim = small->row_dim;
  merge_dims(k, &s->row_dim);
}

static leat_status_t prepare(leat_native_stage_t *stage, const leat_native_prepare_t *context, uint32_t table,
                             uint32_t index, uint32_t small) {
  indexed_t *s = leat_arena_alloc(context->arena, sizeof *s);
  if (!s) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "out of memory while preparing an indexed move");
  s->table = &stage->operands[table];
  s->index = &stage->operands[index];
  s->small = &stage->operands[small];
  s->shape.index_is_64 = s->index->dtype == PEF_I64;
  read_dims(stage, s);
  if (s->shape.rank == 0) {  // one element: a loop over one
    s->shape.rank = 1;
    s->shape.dims[0] = 1;
  }
  stage->plan = s;
  return NULL;
}

leat_status_t leat_native_gather_prepare(leat_native_stage_t *stage, const leat_native_prepare_t *context) {
  return prepare(stage, context, PEF_GATHER_x, PEF_GATHER_index, PEF_GATHER_out);
}

leat_status_t leat_native_scatter_prepare(leat_native_stage_t *stage, const leat_native_prepare_t *context) {
  return prepare(stage, context, PEF_SCATTER_out, PEF_SCATTER_index, PEF_SCATTER_updates);
}

static leat_kern_indexed_t tile_shape(const indexed_t *s, const leat_run_tile_t *tile) {
  leat_kern_indexed_t k = s->shape;
  if (s->row_dim != PEF_NO_ROW_DIM) k.dims[s->row_dim] = tile->rows * s->small->row_mult;
  if (s->table_rows) {
    k.first = tile->r0 * s->table->row_mult;
    k.count = tile->rows * s->table->row_mult;
  }
  return k;
}

void leat_native_gather_run(const leat_native_stage_t *stage, const leat_run_tile_t *tile) {
  const indexed_t *s = stage->plan;
  const leat_kern_t *kern = stage->kern;
  const leat_kern_indexed_t k = tile_shape(s, tile);
  const void *table = leat_native_operand_at(s->table, tile), *index = leat_native_operand_at(s->index, tile);
  void *out = leat_native_operand_at(s->small, tile);
  switch (s->table->element_bytes) {
    case 1:
      kern->gather_b1(&k, table, index, out);
      break;
    case 2:
      kern->gather_b2(&k, table, index, out);
      break;
    case 4:
      kern->gather_b4(&k, table, index, out);
      break;
    default:
      kern->gather_b8(&k, table, index, out);
  }
}

static void scatter_set(const leat_kern_t *kern, uint8_t element_bytes, const leat_kern_indexed_t *k, const void *index,
                        const void *updates, void *table) {
  switch (element_bytes) {
    case 1:
      kern->scatter_set_b1(k, index, updates, table);
      break;
    case 2:
      kern->scatter_set_b2(k, index, updates, table);
      break;
    case 4:
      kern->scatter_set_b4(k, index, updates, table);
      break;
    default:
      kern->scatter_set_b8(k, index, updates, table);
  }
}

static void scatter(const leat_native_stage_t *stage, const leat_kern_indexed_t *shape, const void *index,
                    const void *updates, void *table) {
  const indexed_t *s = stage->plan;
  const leat_kern_t *kern = stage->kern;
  if (stage->fn == PEF_FN_SET) {
    scatter_set(kern, s->table->element_bytes, shape, index, updates, table);
    return;
  }
  switch (s->table->dtype) {
    case PEF_F32:
      kern->scatter_f32(shape, stage->fn, index, updates, table);
      break;
    case PEF_F64:
      kern->scatter_f64(shape, stage->fn, index, updates, table);
      break;
    case PEF_I8:
      kern->scatter_i8(shape, stage->fn, index, updates, table);
      break;
    case PEF_U8:
      kern->scatter_u8(shape, stage->fn, index, updates, table);
      break;
    case PEF_I16:
      kern->scatter_i16(shape, stage->fn, index, updates, table);
      break;
    case PEF_I32:
      kern->scatter_i32(shape, stage->fn, index, updates, table);
      break;
    case PEF_I64:
      kern->scatter_i64(shape, stage->fn, index, updates, table);
      break;
    default:
      kern->scatter_bool(shape, stage->fn, index, updates, table);
  }
}

// Of a list of indices those that name rows of the tile, in their order.
static void scatter_rows(const leat_native_stage_t *stage, leat_kern_indexed_t k, const char *index,
                         const char *updates, void *table) {
  const indexed_t *s = stage->plan;
  const int64_t count = k.dims[0];
  leat_kern_indexed_t one = k;
  one.dims[0] = 1;
  for (int64_t i = stage->kern->index_seek(&k, index, 0); i < count; i = stage->kern->index_seek(&k, index, i + 1)) {
    scatter(stage, &one, index + i * k.index[0] * s->index->element_bytes,
            updates + i * k.small[0] * s->small->element_bytes, table);
  }
}

void leat_native_scatter_run(const leat_native_stage_t *stage, const leat_run_tile_t *tile) {
  const indexed_t *s = stage->plan;
  const leat_kern_indexed_t k = tile_shape(s, tile);
  const void *index = leat_native_operand_at(s->index, tile), *updates = leat_native_operand_at(s->small, tile);
  void *table = leat_native_operand_at(s->table, tile);
  if (s->table_rows && k.rank == 2 && k.index[1] == 0 && k.table[0] == 0)
    scatter_rows(stage, k, index, updates, table);
  else
    scatter(stage, &k, index, updates, table);
}

// --- search -------------------------------------------------------------------------------------------------------

leat_status_t leat_native_search_prepare(leat_native_stage_t *stage, const leat_native_prepare_t *context) {
  return prepare(stage, context, PEF_SEARCH_table, PEF_SEARCH_x, PEF_SEARCH_out);
}

// How many elements of a line come before `x`, as the format has it.
#define SEARCH(suffix, type, value)                                                                            \
  static int64_t search_##suffix(const leat_kern_indexed_t *k, const void *line, const void *of, bool right) { \
    const type *at = line;                                                                                     \
    const __typeof__(value(*at)) x = value(*(const type *)of);                                                 \
    int64_t low = 0, high = k->extent;                                                                         \
    while (low < high) {                                                                                       \
      const int64_t middle = low + (high - low) / 2;                                                           \
      const __typeof__(x) element = value(at[middle * k->step]);                                               \
      if (right ? element > x : element >= x) {                                                                \
        high = middle;                                                                                         \
      } else {                                                                                                 \
        low = middle + 1;                                                                                      \
      }                                                                                                        \
    }                                                                                                          \
    return low;                                                                                                \
  }
#define ITSELF(element) (element)
SEARCH(f32, float, ITSELF)
SEARCH(f64, double, ITSELF)
SEARCH(bf16, uint16_t, bf16_to_f32)
SEARCH(f16, uint16_t, f16_to_f32)
SEARCH(i8, int8_t, ITSELF)
SEARCH(u8, uint8_t, ITSELF)
SEARCH(i16, int16_t, ITSELF)
SEARCH(i32, int32_t, ITSELF)
SEARCH(i64, int64_t, ITSELF)

void leat_native_search_run(const leat_native_stage_t *stage, const leat_run_tile_t *tile) {
  static int64_t (*const searches[PEF_DTYPE_COUNT])(const leat_kern_indexed_t *, const void *, const void *, bool) = {
      [PEF_F32] = search_f32, [PEF_F64] = search_f64, [PEF_BF16] = search_bf16,
      [PEF_F16] = search_f16, [PEF_I8] = search_i8,   [PEF_U8] = search_u8,
      [PEF_I16] = search_i16, [PEF_I32] = search_i32, [PEF_I64] = search_i64};
  const indexed_t *s = stage->plan;
  const leat_kern_indexed_t k = tile_shape(s, tile);
  const bool right = stage->params->search.right != 0;
  const char *table = leat_native_operand_at(s->table, tile), *x = leat_native_operand_at(s->index, tile);
  int64_t *out = (int64_t *)(void *)leat_native_operand_at(s->small, tile), index[8] = {0};
  do {
    int64_t of = 0, line = 0, to = 0;
    for (int64_t d = 0; d < k.rank; d++) {
      line += index[d] * k.table[d];
      of += index[d] * k.index[d];
      to += index[d] * k.small[d];
    }
    const int64_t bytes = s->table->element_bytes;
    out[to] = searches[s->table->dtype](&k, table + line * bytes, x + of * bytes, right);
  } while (leat_index_next((uint32_t)k.rank, k.dims, index));
}
