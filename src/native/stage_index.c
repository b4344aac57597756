// SPDX-License-Identifier: Apache-2.0
// GATHER, SCATTER and SEARCH. The table x is B++P++[D]++S, the index (of a search what is looked for) B++I, the small
// operand (result or updates) B++P++I++S.
// Rows may run along any dim but I in a scatter and D in a gather. Where they run along the D of a scatter, a tile
// takes the updates whose index names one of its rows.
#include "arch/blocks.h"
#include "base/loops.h"
#include "kern/half.h"
#include "native/stage.h"

typedef struct indexed_s {
  leat_kern_indexed_t shape;
  const leat_native_operand_t *table, *index, *small;
  uint32_t row_dim;  // of the shape's dims; PEF_NO_ROW_DIM: all tiles move alike, or rows are those of the table
  bool table_rows;
  int64_t lines;  // that go at a time, along the last dim
} indexed_t;

// A loop of one step is none: what is left of B++I of one index a line is the lines.
static void drop_ones(indexed_t *s) {
  leat_kern_indexed_t *k = &s->shape;
  int64_t rank = 0;
  for (int64_t d = 0; d < k->rank; d++) {
    const bool is_row = d == s->row_dim;
    if (k->dims[d] == 1 && !is_row) continue;
    if (is_row) s->row_dim = (uint32_t)rank;
    k->dims[rank] = k->dims[d], k->small[rank] = k->small[d];
    k->index[rank] = k->index[d], k->table[rank++] = k->table[d];
  }
  k->rank = rank;
}

// The loops go through the small operand as it lies, and neighbours that all three operands go through in one step
// become one. That shows in no bit but where updates of a scatter meet: loops that stay in a row of its table keep
// their order. Where rows of the table are cut into tiles the list of indices stays outermost.
static void order_dims(indexed_t *s) {
  leat_kern_indexed_t *k = &s->shape;
  int64_t *const rows[3] = {k->small, k->table, k->index}, strides[3][8];
  uint32_t sorted[8], merged[8], in_turn = 0;
  for (uint32_t o = 0; o < 3; o++) memcpy(strides[o], rows[o], sizeof strides[o]);
  for (uint32_t d = 0; d < (uint32_t)k->rank; d++) {
    sorted[d] = d;
    if (k->table[d] == 0) in_turn |= 1u << d;
  }
  leat_loops_t loops = {(uint32_t)k->rank, k->dims, 3, 8, &strides[0][0]};
  if (!s->table_rows) leat_loops_sort(&loops, 0, in_turn, sorted);
  const bool has_rows = s->row_dim != PEF_NO_ROW_DIM;
  leat_loops_merge(&loops, has_rows ? 3u << sorted[s->row_dim] : 0, merged);  // rows stay a dim of their own
  for (uint32_t o = 0; o < 3; o++) memcpy(rows[o], strides[o], sizeof strides[o]);
  k->rank = loops.count;
  if (has_rows) s->row_dim = merged[sorted[s->row_dim]];
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
  drop_ones(s);
  order_dims(s);
}

// How many lines of a table that lie side by side go at a time, since others would push them out of the cache before
// the next indices come to them.
static int64_t lines_at_once(const indexed_t *s) {
  const leat_kern_indexed_t *k = &s->shape;
  const int64_t last = k->rank - 1, line = k->count * s->table->element_bytes;
  if (last == 0 || line == 0 || k->index[last] == 0 || k->table[last] == 0 || k->table[last - 1] != 0) return INT64_MAX;
  return line > INDEXED_BYTES / INDEXED_LINES ? INDEXED_LINES : INDEXED_BYTES / line;
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
  s->lines = lines_at_once(s);
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

typedef void (*move_t)(const leat_native_stage_t *stage, const leat_kern_indexed_t *k, char *table, const char *index,
                       char *small);

// The moves of a tile, as many lines of the table at a time as are worth it.
static void move_tile(const leat_native_stage_t *stage, const leat_run_tile_t *tile, leat_kern_indexed_t k,
                      move_t move) {
  const indexed_t *s = stage->plan;
  const int64_t last = k.rank - 1, lines = k.dims[last], most = s->lines;
  char *table = leat_native_operand_at(s->table, tile), *small = leat_native_operand_at(s->small, tile);
  const char *index = leat_native_operand_at(s->index, tile);
  for (int64_t first = 0; first < lines; first += most) {
    k.dims[last] = lines - first < most ? lines - first : most;
    move(stage, &k, table + first * k.table[last] * s->table->element_bytes,
         index + first * k.index[last] * s->index->element_bytes,
         small + first * k.small[last] * s->small->element_bytes);
    if (lines - first <= most) return;
  }
}

static void gather(const leat_native_stage_t *stage, const leat_kern_indexed_t *k, char *from, const char *index,
                   char *to) {
  const leat_kern_t *kern = stage->kern;
  const void *table = from;
  void *out = to;
  switch (((const indexed_t *)stage->plan)->table->element_bytes) {
    case 1:
      kern->gather_b1(k, table, index, out);
      break;
    case 2:
      kern->gather_b2(k, table, index, out);
      break;
    case 4:
      kern->gather_b4(k, table, index, out);
      break;
    default:
      kern->gather_b8(k, table, index, out);
  }
}

void leat_native_gather_run(const leat_native_stage_t *stage, const leat_run_tile_t *tile) {
  move_tile(stage, tile, tile_shape(stage->plan, tile), gather);
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

static void scatter(const leat_native_stage_t *stage, const leat_kern_indexed_t *shape, char *to, const char *index,
                    char *small) {
  const indexed_t *s = stage->plan;
  const leat_kern_t *kern = stage->kern;
  const void *updates = small;
  void *table = to;
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
static void scatter_rows(const leat_native_stage_t *stage, const leat_run_tile_t *tile, leat_kern_indexed_t k) {
  const indexed_t *s = stage->plan;
  const char *index = leat_native_operand_at(s->index, tile);
  char *table = leat_native_operand_at(s->table, tile), *updates = leat_native_operand_at(s->small, tile);
  const int64_t count = k.dims[0];
  leat_kern_indexed_t one = k;
  one.dims[0] = 1;
  for (int64_t i = stage->kern->index_seek(&k, index, 0); i < count; i = stage->kern->index_seek(&k, index, i + 1)) {
    scatter(stage, &one, table, index + i * k.index[0] * s->index->element_bytes,
            updates + i * k.small[0] * s->small->element_bytes);
  }
}

void leat_native_scatter_run(const leat_native_stage_t *stage, const leat_run_tile_t *tile) {
  const indexed_t *s = stage->plan;
  const leat_kern_indexed_t k = tile_shape(s, tile);
  if (s->table_rows && k.rank == 2 && k.index[1] == 0 && k.table[0] == 0)
    scatter_rows(stage, tile, k);
  else
    move_tile(stage, tile, k, scatter);
}

// --- search -------------------------------------------------------------------------------------------------------

leat_status_t leat_native_search_prepare(leat_native_stage_t *stage, const leat_native_prepare_t *context) {
  return prepare(stage, context, PEF_SEARCH_table, PEF_SEARCH_x, PEF_SEARCH_out);
}

// Of a run of elements along the last dim, how many of its line come before each, as the format has it: BEHIND says
// whether an element of the line is behind x. Which way to go is computed, since branches would be guessed wrong every
// other time.
#define SEARCH_RUN(name, type, value, BEHIND)                                                                  \
  static void name(const leat_kern_indexed_t *k, const void *line, const void *of, int64_t *out) {             \
    const int64_t last = k->rank - 1, count = k->dims[last], step = k->step, extent = k->extent;               \
    const int64_t line_step = k->table[last], of_step = k->index[last], out_step = k->small[last];             \
    const type *at = line, *x_at = of;                                                                         \
    for (int64_t i = 0; i < count; i++, at += line_step, x_at += of_step, out += out_step) {                   \
      const __typeof__(value(*at)) x = value(*x_at);                                                           \
      int64_t low = 0, high = extent;                                                                          \
      while (low < high) {                                                                                     \
        const int64_t middle = low + (high - low) / 2, behind = -(int64_t)(value(at[middle * step]) BEHIND x); \
        high -= (high - middle) & behind;                                                                      \
        low += (middle + 1 - low) & ~behind;                                                                   \
      }                                                                                                        \
      *out = low;                                                                                              \
    }                                                                                                          \
  }
#define SEARCH(suffix, type, value)                                                                         \
  SEARCH_RUN(search_left_##suffix, type, value, >=)                                                         \
  SEARCH_RUN(search_right_##suffix, type, value, >)                                                         \
  static void search_##suffix(const leat_kern_indexed_t *k, const void *line, const void *of, int64_t *out, \
                              bool right) {                                                                 \
    (right ? search_right_##suffix : search_left_##suffix)(k, line, of, out);                               \
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
  static void (*const searches[PEF_DTYPE_COUNT])(const leat_kern_indexed_t *, const void *, const void *, int64_t *,
                                                 bool) = {
      [PEF_F32] = search_f32, [PEF_F64] = search_f64, [PEF_BF16] = search_bf16,
      [PEF_F16] = search_f16, [PEF_I8] = search_i8,   [PEF_U8] = search_u8,
      [PEF_I16] = search_i16, [PEF_I32] = search_i32, [PEF_I64] = search_i64};
  const indexed_t *s = stage->plan;
  const leat_kern_indexed_t k = tile_shape(s, tile);
  const bool right = stage->params->search.right != 0;
  const int64_t bytes = s->table->element_bytes;
  const char *table = leat_native_operand_at(s->table, tile), *x = leat_native_operand_at(s->index, tile);
  int64_t *out = (int64_t *)(void *)leat_native_operand_at(s->small, tile), index[8] = {0};
  do {
    int64_t of = 0, line = 0, to = 0;
    for (int64_t d = 0; d + 1 < k.rank; d++) {
      line += index[d] * k.table[d];
      of += index[d] * k.index[d];
      to += index[d] * k.small[d];
    }
    searches[s->table->dtype](&k, table + line * bytes, x + of * bytes, out + to, right);
  } while (leat_index_next((uint32_t)k.rank - 1, k.dims, index));
}
