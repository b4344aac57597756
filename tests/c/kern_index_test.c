// SPDX-License-Identifier: Apache-2.0
// Gather, scatter, scan, sort and random numbers against what their definitions say, written out element by element; on
// every ISA level, in one tile and in many.
#include <math.h>
#include <stdlib.h>

#include "check.h"
#include "stage_rig.h"

enum { MAX_ELEMENTS = 4096 };

static uint32_t next_random(uint32_t *s) {
  *s ^= *s << 13, *s ^= *s >> 17, *s ^= *s << 5;
  return *s;
}
// Position of flat element i of `dims`, outermost first.
static void unravel(int64_t i, uint32_t rank, const int64_t *dims, int64_t *out_at) {
  for (uint32_t d = rank; d-- > 0; i /= dims[d]) out_at[d] = i % dims[d];
}
static int64_t ravel(uint32_t rank, const int64_t *dims, const int64_t *at) {
  int64_t i = 0;
  for (uint32_t d = 0; d < rank; d++) i = i * dims[d] + at[d];
  return i;
}
static int64_t product(uint32_t rank, const int64_t *dims) {
  int64_t n = 1;
  for (uint32_t d = 0; d < rank; d++) n *= dims[d];
  return n;
}

// --- gather and scatter -------------------------------------------------------------------------------------------

typedef struct case_s {
  uint32_t table_rank, index_rank;
  int64_t dim, batch, table[4], index[3];
  int row_table, row_index, row_small;  // dims that hold the rows; -1: none in that operand
} case_t;
static const case_t cases[] = {
    {2, 1, 0, 0, {10, 33}, {7}, -1, 0, 0},  // embedding; rows along the index
    {2, 1, 0, 0, {10, 33}, {7}, 1, -1, 1},  // rows along the columns
    {2, 2, 0, 0, {10, 5}, {4, 6}, 1, -1, 2},
    {2, 2, 1, 1, {6, 9}, {6, 4}, 0, 0, 0},  // batched: one row of indices a row
    {2, 1, 1, 1, {6, 9}, {6}, 0, 0, 0},     // one index a row
    {3, 1, 1, 0, {4, 8, 5}, {3}, 0, -1, 0},
    {4, 2, 2, 1, {3, 2, 7, 4}, {3, 5}, 0, 0, 0},
    {1, 0, 0, 0, {5}, {0}, -1, -1, -1},  // a scalar
    {1, 3, 0, 0, {5}, {2, 3, 2}, -1, 1, 1},
};
enum { CASES = sizeof cases / sizeof *cases };

// Dims of the small operand: B++P++I++S.
static uint32_t small_dims(const case_t *c, int64_t *out_dims) {
  uint32_t rank = 0;
  for (int64_t d = 0; d < c->dim; d++) out_dims[rank++] = c->table[d];
  for (uint32_t d = (uint32_t)c->batch; d < c->index_rank; d++) out_dims[rank++] = c->index[d];
  for (uint32_t d = (uint32_t)c->dim + 1; d < c->table_rank; d++) out_dims[rank++] = c->table[d];
  return rank;
}
// Flat element of the table that element i of the small operand belongs to, or -1.
static int64_t table_element(const case_t *c, const int64_t *index, int64_t i) {
  int64_t dims[8], at[8], index_at[8], table_at[8];
  const uint32_t rank = small_dims(c, dims), index_dims = c->index_rank - (uint32_t)c->batch;
  unravel(i, rank, dims, at);
  for (uint32_t d = 0; d < c->index_rank; d++) index_at[d] = d < c->batch ? at[d] : at[c->dim + d - c->batch];
  int64_t row = index[ravel(c->index_rank, c->index, index_at)];
  if (row < 0) row += c->table[c->dim];
  if (row < 0 || row >= c->table[c->dim]) return -1;
  for (uint32_t d = 0; d < c->table_rank; d++) {
    table_at[d] = d < c->dim ? at[d] : d == c->dim ? row : at[d - 1 + index_dims];
  }
  return ravel(c->table_rank, c->table, table_at);
}

static void set_rows(rig_t *rig, const case_t *c, uint32_t table, uint32_t index, uint32_t small) {
  if (c->row_table >= 0) rig_rows(rig, table, (uint32_t)c->row_table);
  if (c->row_index >= 0) rig_rows(rig, index, (uint32_t)c->row_index);
  if (c->row_small >= 0) rig_rows(rig, small, (uint32_t)c->row_small);
}

static void fill_index(const case_t *c, int64_t *index, int32_t *narrow, uint32_t seed) {
  for (int64_t i = 0; i < product(c->index_rank, c->index); i++) {
    index[i] = (int64_t)(next_random(&seed) % (2 * (uint32_t)c->table[c->dim] + 4)) - c->table[c->dim] - 2;
    narrow[i] = (int32_t)index[i];
  }
}

static void test_gather(void **state) {
  (void)state;
  static const uint8_t dtypes[] = {PEF_F32, PEF_F64, PEF_BF16, PEF_U8};
  static const int64_t bytes[] = {4, 8, 2, 1};
  uint32_t levels;
  const leat_kern_t *const *kern = rig_levels(&levels);
  for (uint32_t i = 0; i < CASES * 4 * 2 * levels; i++) {
    const case_t *c = &cases[i % CASES];
    const uint32_t type = i / CASES % 4, wide = i / CASES / 4 % 2, level = i / CASES / 8;
    unsigned char table[MAX_ELEMENTS], out[MAX_ELEMENTS], zero[8] = {0};
    int64_t index[64], dims[8];
    int32_t narrow[64];
    const uint32_t rank = small_dims(c, dims);
    fill_index(c, index, narrow, i + 1);
    for (size_t k = 0; k < sizeof table; k++) table[k] = (unsigned char)(k * 7 + 1), out[k] = 0xee;
    rig_t rig;
    rig_init(&rig, PEF_STAGE_GATHER, 0, kern[level]);
    rig.params.gather.dim = c->dim, rig.params.gather.batch = c->batch;
    rig_operand(&rig, dtypes[type], table, c->table_rank, c->table);
    rig_operand(&rig, wide ? PEF_I64 : PEF_I32, wide ? (void *)index : narrow, c->index_rank, c->index);
    rig_operand(&rig, dtypes[type], out, rank, dims);
    if (type % 2 == 0) set_rows(&rig, c, 0, 1, 2);
    assert_ok(rig_run(&rig, 2));
    rig_deinit(&rig);
    for (int64_t e = 0; e < product(rank, dims); e++) {
      int64_t from = table_element(c, index, e);
      assert_memory_equal(out + e * bytes[type], from < 0 ? zero : table + from * bytes[type], bytes[type]);
    }
    assert_int_equal(out[product(rank, dims) * bytes[type]], 0xee);
  }
}

static double fold(uint8_t fn, double a, double b) {
  if (fn == PEF_FN_SET) return b;
  if (fn == PEF_FN_SUM) return a + b;
  if (fn == PEF_FN_PROD) return a * b;
  if (isnan(a) || isnan(b)) return NAN;
  return (fn == PEF_FN_MAX) == (b > a) ? b : a;
}

static void test_scatter(void **state) {
  (void)state;
  static const uint8_t fns[] = {PEF_FN_SET, PEF_FN_SUM, PEF_FN_MAX, PEF_FN_MIN, PEF_FN_PROD};
  uint32_t levels;
  const leat_kern_t *const *kern = rig_levels(&levels);
  for (uint32_t i = 0; i < CASES * 5 * levels; i++) {
    const case_t *c = &cases[i % CASES];
    const uint8_t fn = fns[i / CASES % 5];
    float table[MAX_ELEMENTS], updates[MAX_ELEMENTS];
    int32_t table32[MAX_ELEMENTS], updates32[MAX_ELEMENTS];
    double expected[MAX_ELEMENTS];
    int64_t index[64], dims[8];
    int32_t narrow[64];
    const uint32_t rank = small_dims(c, dims);
    fill_index(c, index, narrow, i + 1);
    rig_fill_f32(table, MAX_ELEMENTS, i, 1);
    rig_fill_f32(updates, MAX_ELEMENTS, i + 99, 1);
    for (int64_t e = 0; e < MAX_ELEMENTS; e++) {
      table32[e] = (int32_t)table[e], updates32[e] = (int32_t)updates[e], expected[e] = (double)table[e];
    }
    for (int64_t e = 0; e < product(rank, dims); e++) {
      int64_t to = table_element(c, index, e);
      if (to >= 0) expected[to] = fold(fn, expected[to], (double)updates[e]);
    }
    for (int f32 = 0; f32 < 2; f32++) {
      rig_t rig;
      const uint8_t dtype = f32 ? PEF_F32 : PEF_I32;
      rig_init(&rig, PEF_STAGE_SCATTER, fn, kern[i / CASES / 5]);
      rig.params.scatter.dim = c->dim, rig.params.scatter.batch = c->batch;
      rig_operand(&rig, PEF_I64, index, c->index_rank, c->index);
      rig_operand(&rig, dtype, f32 ? (void *)updates : updates32, rank, dims);
      rig_operand(&rig, dtype, f32 ? (void *)table : table32, c->table_rank, c->table);
      if (c->row_table >= 0) set_rows(&rig, c, 2, 0, 1);
      assert_ok(rig_run(&rig, 2));
      rig_deinit(&rig);
    }
    for (int64_t e = 0; e < MAX_ELEMENTS; e++) {
      assert_true((double)table[e] == expected[e]);
      assert_true((double)table32[e] == expected[e]);
    }
  }
}

enum { LIST_ROWS = 40, LIST_WIDTH = 9, LIST_INDICES = 130 };

static void scatter_a_list(const leat_kern_t *kern, uint8_t fn, int wide, uint32_t seed) {
  float table[LIST_ROWS * LIST_WIDTH], expected[LIST_ROWS * LIST_WIDTH], updates[LIST_INDICES * LIST_WIDTH];
  int64_t index[LIST_INDICES];
  int32_t narrow[LIST_INDICES];
  rig_fill_f32(table, LIST_ROWS * LIST_WIDTH, seed, 0);
  rig_fill_f32(updates, LIST_INDICES * LIST_WIDTH, seed + 1, 0);
  memcpy(expected, table, sizeof expected);
  for (int64_t i = 0; i < LIST_INDICES; i++) {
    index[i] = (int64_t)(next_random(&seed) % (2 * LIST_ROWS + 4)) - LIST_ROWS - 2;
    if (i < 70) index[i] = LIST_ROWS - 1 - i % 3;  // long runs that name none of the first tiles' rows
    narrow[i] = (int32_t)index[i];
    const int64_t row = index[i] < 0 ? index[i] + LIST_ROWS : index[i];
    for (int64_t j = 0; row >= 0 && row < LIST_ROWS && j < LIST_WIDTH; j++) {
      float *to = &expected[row * LIST_WIDTH + j], update = updates[i * LIST_WIDTH + j];
      *to = fn == PEF_FN_SUM ? *to + update : (float)fold(fn, (double)*to, (double)update);
    }
  }
  rig_t rig;
  rig_init(&rig, PEF_STAGE_SCATTER, fn, kern);
  rig_operand(&rig, wide ? PEF_I64 : PEF_I32, wide ? (void *)index : narrow, 1, (const int64_t[]){LIST_INDICES});
  rig_operand(&rig, PEF_F32, updates, 2, (const int64_t[]){LIST_INDICES, LIST_WIDTH});
  rig_operand(&rig, PEF_F32, table, 2, (const int64_t[]){LIST_ROWS, LIST_WIDTH});
  rig_rows(&rig, 2, 0);
  assert_ok(rig_run(&rig, 7));
  rig_deinit(&rig);
  assert_memory_equal(table, expected, sizeof table);
}

static void tiles_of_table_rows_take_their_updates_in_index_order(void **state) {
  (void)state;
  static const uint8_t fns[] = {PEF_FN_SET, PEF_FN_SUM, PEF_FN_MAX, PEF_FN_MIN};
  uint32_t levels;
  const leat_kern_t *const *kern = rig_levels(&levels);
  for (uint32_t i = 0; i < 4 * 2 * levels; i++) scatter_a_list(kern[i / 8], fns[i % 4], i / 4 % 2, i + 1);
}

// --- scan and sort ------------------------------------------------------------------------------------------------

static const int64_t shapes[][3] = {{5, 7, 18}, {3, 100, 1}, {1, 1, 65}, {33, 2, 3}};

static void test_scan(void **state) {
  (void)state;
  static const uint8_t fns[] = {PEF_FN_SUM, PEF_FN_PROD, PEF_FN_MAX, PEF_FN_MIN};
  uint32_t levels;
  const leat_kern_t *const *kern = rig_levels(&levels);
  for (uint32_t i = 0; i < 4 * 4 * 3 * 2 * levels; i++) {
    const int64_t *dims = shapes[i % 4];
    const uint8_t fn = fns[i / 4 % 4];
    const uint32_t dim = i / 16 % 3, reverse = i / 48 % 2, level = i / 96;
    const int64_t count = product(3, dims);
    double in[MAX_ELEMENTS], out[MAX_ELEMENTS];
    int64_t in64[MAX_ELEMENTS], out64[MAX_ELEMENTS];
    float coarse[MAX_ELEMENTS];
    rig_fill_f32(coarse, MAX_ELEMENTS, i, 1);
    for (int64_t e = 0; e < count; e++) in[e] = (double)coarse[e], in64[e] = (int64_t)coarse[e];
    if (fn >= PEF_FN_MAX) in[count / 2] = NAN;
    for (int f64 = 0; f64 < 2; f64++) {
      rig_t rig;
      const uint8_t dtype = f64 ? PEF_F64 : PEF_I64;
      rig_init(&rig, PEF_STAGE_SCAN, fn, kern[level]);
      rig.params.scan.dim = dim, rig.params.scan.reverse = reverse;
      rig_operand(&rig, dtype, f64 ? (void *)in : in64, 3, dims);
      rig_operand(&rig, dtype, f64 ? (void *)out : out64, 3, dims);
      rig_rows(&rig, 0, dim == 0 ? 1 : 0), rig_rows(&rig, 1, dim == 0 ? 1 : 0);
      assert_ok(rig_run(&rig, 2));
      rig_deinit(&rig);
    }
    for (int64_t e = 0; e < count; e++) {
      int64_t at[3];
      unravel(e, 3, dims, at);
      const int64_t k = at[dim], step = reverse ? -1 : 1;
      double sum = 0;
      int64_t sum64 = 0;
      for (at[dim] = reverse ? dims[dim] - 1 : 0; at[dim] != k + step; at[dim] += step) {
        const int64_t from = ravel(3, dims, at);
        const bool first = at[dim] == (reverse ? dims[dim] - 1 : 0);
        sum = first ? in[from] : fold(fn, sum, in[from]);
        sum64 = first ? in64[from] : (int64_t)fold(fn, (double)sum64, (double)in64[from]);
      }
      assert_true(out[e] == sum || (isnan(out[e]) && isnan(sum)));
      assert_true(out64[e] == sum64 || fn == PEF_FN_PROD);
    }
  }
}

// Carried on in f64, over few and many lines, both ways.
static void test_scan_wide(void **state) {
  (void)state;
  enum { LONG = 260, SHORT = 7, COUNT = LONG * SHORT };
  uint32_t levels;
  const leat_kern_t *const *kern = rig_levels(&levels);
  for (uint32_t i = 0; i < 2 * 2 * 2 * levels; i++) {
    const uint32_t dim = i % 2, reverse = i / 2 % 2, level = i / 8;
    const uint8_t fn = i / 4 % 2 ? PEF_FN_PROD : PEF_FN_SUM;
    const int64_t dims[2] = {SHORT, LONG}, step = dim == 0 ? LONG : 1, lines = dim == 0 ? LONG : SHORT;
    float in[COUNT], out[COUNT];
    rig_t rig;
    rig_fill_f32(in, COUNT, i, 0);
    for (int64_t e = 0; e < COUNT && fn == PEF_FN_PROD; e++) in[e] = 1 + in[e] / 16;
    rig_init(&rig, PEF_STAGE_SCAN, fn, kern[level]);
    rig.params.scan.dim = dim, rig.params.scan.reverse = reverse, rig.params.scan.wide = 1;
    rig_operand(&rig, PEF_F32, in, 2, dims);
    rig_operand(&rig, PEF_F32, out, 2, dims);
    rig_rows(&rig, 0, 1 - dim), rig_rows(&rig, 1, 1 - dim);
    assert_ok(rig_run(&rig, 150));
    rig_deinit(&rig);
    for (int64_t line = 0; line < lines; line++) {
      double so_far = fn == PEF_FN_PROD;
      for (int64_t k = 0; k < dims[dim]; k++) {
        const int64_t at = line * (dim == 0 ? 1 : LONG) + (reverse ? dims[dim] - 1 - k : k) * step;
        so_far = fold(fn, so_far, (double)in[at]);
        assert_true(out[at] == (float)so_far);
      }
    }
  }
}

// a comes before b among values.
static bool before(double a, double b, bool descending) {
  if (isnan(a) || isnan(b)) return descending ? isnan(a) && !isnan(b) : !isnan(a) && isnan(b);
  return descending ? a > b : a < b;
}

static void test_sort(void **state) {
  (void)state;
  uint32_t levels;
  const leat_kern_t *const *kern = rig_levels(&levels);
  for (uint32_t i = 0; i < 4 * 3 * 2 * levels; i++) {
    const int64_t *dims = shapes[i % 4];
    const uint32_t dim = i / 4 % 3, descending = i / 12 % 2;
    const int64_t count = product(3, dims);
    float in[MAX_ELEMENTS], out[MAX_ELEMENTS];
    int64_t indices[MAX_ELEMENTS];
    rig_fill_f32(in, MAX_ELEMENTS, i, i % 2 == 0);
    in[1] = NAN, in[3] = -INFINITY, in[count - 1] = INFINITY, in[count / 2] = -0.0f, in[count / 3] = NAN;
    rig_t rig;
    rig_init(&rig, PEF_STAGE_SORT, 0, kern[i / 24]);
    rig.params.sort.dim = dim, rig.params.sort.descending = descending;
    rig_operand(&rig, PEF_F32, in, 3, dims);
    rig_operand(&rig, PEF_F32, out, 3, dims);
    rig_operand(&rig, PEF_I64, indices, 3, dims);
    for (uint32_t o = 0; o < 3; o++) rig_rows(&rig, o, dim == 2 ? 1 : 2);
    assert_ok(rig_run(&rig, descending ? 0 : 3));
    rig_deinit(&rig);
    for (int64_t e = 0; e < count; e++) {
      int64_t at[3];
      unravel(e, 3, dims, at);
      const int64_t k = at[dim];
      at[dim] = indices[e];
      const float *from = &in[ravel(3, dims, at)];
      assert_memory_equal(from, &out[e], sizeof *from);
      if (k == 0) continue;
      at[dim] = k - 1;
      const int64_t previous = ravel(3, dims, at);
      assert_false(before((double)out[e], (double)out[previous], descending != 0));
      if (!before((double)out[previous], (double)out[e], descending != 0)) assert_true(indices[previous] < indices[e]);
    }
  }
}

static void test_sort_integers_without_values(void **state) {
  (void)state;
  int64_t in[5] = {3, INT64_MIN, INT64_MAX, -1, 3}, indices[5];
  const int64_t expected[5] = {1, 3, 0, 4, 2};
  rig_t rig;
  rig_init(&rig, PEF_STAGE_SORT, 0, &leat_kern_portable);
  rig_operand(&rig, PEF_I64, in, 1, (const int64_t[]){5});
  rig_absent(&rig);
  rig_operand(&rig, PEF_I64, indices, 1, (const int64_t[]){5});
  assert_ok(rig_run(&rig, 0));
  assert_memory_equal(indices, expected, sizeof expected);
  rig_deinit(&rig);
}

// Lines that lie side by side, more of them than are turned together, of elements of every width.
static void test_sort_side_by_side(void **state) {
  (void)state;
  enum { LINE = 9, LINES = 133 };
  static const uint8_t dtypes[] = {PEF_U8, PEF_I16, PEF_I32, PEF_I64};
  uint32_t levels;
  const leat_kern_t *const *kern = rig_levels(&levels);
  for (uint32_t i = 0; i < 4 * levels; i++) {
    const uint32_t bytes = 1u << i % 4;
    uint8_t in[LINE * LINES * 8] = {0}, out[LINE * LINES * 8] = {0};
    int64_t indices[LINE * LINES];
    for (uint32_t e = 0; e < LINE * LINES; e++)
      in[e * bytes] = (uint8_t)(e * 2654435761u >> 25);  // below 128, with ties
    rig_t rig;
    rig_init(&rig, PEF_STAGE_SORT, 0, kern[i / 4]);
    for (uint32_t o = 0; o < 3; o++)
      rig_operand(&rig, o == 2 ? PEF_I64 : dtypes[i % 4],
                  o == 0   ? in
                  : o == 1 ? out
                           : (void *)indices,
                  2, (const int64_t[]){LINE, LINES});
    assert_ok(rig_run(&rig, 0));
    rig_deinit(&rig);
    for (uint32_t e = 0; e < LINE * LINES; e++) {
      const uint32_t from = (uint32_t)indices[e] * LINES + e % LINES, above = e - LINES;
      assert_memory_equal(&out[e * bytes], &in[from * bytes], bytes);
      if (e < LINES) continue;
      assert_true(out[above * bytes] < out[e * bytes] ||
                  (out[above * bytes] == out[e * bytes] && indices[above] < indices[e]));
    }
  }
}

// --- random numbers -----------------------------------------------------------------------------------------------

static void philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]) {
  uint32_t c[4], k[2] = {key[0], key[1]};
  memcpy(c, counter, sizeof c);
  for (int round = 0; round < 10; round++, k[0] += 0x9e3779b9u, k[1] += 0xbb67ae85u) {
    const uint64_t a = (uint64_t)0xd2511f53u * c[0], b = (uint64_t)0xcd9e8d57u * c[2];
    const uint32_t n[4] = {(uint32_t)(b >> 32) ^ c[1] ^ k[0], (uint32_t)b, (uint32_t)(a >> 32) ^ c[3] ^ k[1],
                           (uint32_t)a};
    memcpy(c, n, sizeof c);
  }
  memcpy(out, c, sizeof c);
}

static void test_philox_known_answers(void **state) {
  (void)state;  // of the published implementation
  static const uint32_t counters[2][4] = {{0, 0, 0, 0}, {0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u}};
  static const uint32_t keys[2][2] = {{0, 0}, {0xa4093822u, 0x299f31d0u}};
  static const uint32_t answers[2][4] = {{0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u},
                                         {0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u}};
  for (int i = 0; i < 2; i++) {
    uint32_t words[4];
    philox(counters[i], keys[i], words);
    assert_memory_equal(words, answers[i], sizeof words);
  }
}

// Element i as the op table defines it.
static double element(uint8_t fn, int64_t seed, int64_t step, int64_t stream, int64_t i) {
  const uint64_t block = (uint64_t)i / 4;
  const uint32_t key[2] = {(uint32_t)(uint64_t)seed, (uint32_t)((uint64_t)seed >> 32)};
  const uint32_t counter[4] = {(uint32_t)block, (uint32_t)(block >> 32), (uint32_t)step, (uint32_t)stream};
  uint32_t w[4];
  philox(counter, key, w);
  if (fn == PEF_FN_UNIFORM) return (w[i % 4] >> 8) * 0x1p-24;
  const uint32_t *pair = w + i % 4 / 2 * 2;
  const double u1 = ((pair[0] >> 8) + 1) * 0x1p-24, u2 = (pair[1] >> 8) * 0x1p-24;
  const double r = sqrt(-2.0 * log(u1)), angle = 6.283185307179586 * u2;
  return i % 2 == 0 ? r * cos(angle) : r * sin(angle);
}

static void test_random(void **state) {
  (void)state;
  static const int64_t dims[3] = {6, 11, 13};
  int64_t random_state[2] = {-81985529216486896, 7};
  uint32_t levels;
  const leat_kern_t *const *kern = rig_levels(&levels);
  for (uint32_t i = 0; i < 2 * 2 * 4 * levels; i++) {
    const uint8_t fn = i % 2 == 0 ? PEF_FN_UNIFORM : PEF_FN_NORMAL, dtype = i / 2 % 2 == 0 ? PEF_F32 : PEF_F64;
    const uint32_t how = i / 4 % 4, level = i / 16;
    float out[6 * 11 * 13 * 2], first[6 * 11 * 13 * 2];
    for (int round = 0; round < 2; round++) {
      rig_t rig;
      rig_init(&rig, PEF_STAGE_RANDOM, fn, kern[round == 0 ? level : 0]);
      rig.params.random.stream = 2;
      rig.stream = 3;
      rig_operand(&rig, PEF_I64, random_state, 1, (const int64_t[]){2});
      leat_native_operand_t *o = rig_operand(&rig, dtype, out, 3, dims);
      if (how == 3) o->strides[0] = 13, o->strides[1] = 6 * 13;  // a transposed result
      if (how == 1 || how == 2) rig_rows(&rig, 1, how - 1);
      assert_ok(rig_run(&rig, 4));
      rig_deinit(&rig);
      if (round == 0) memcpy(first, out, sizeof out);
    }
    for (int64_t e = 0; e < product(3, dims); e++) {
      int64_t at[3];
      unravel(e, 3, dims, at);
      const int64_t place = how == 3 ? at[0] * 13 + at[1] * 78 + at[2] : e;
      const double value = dtype == PEF_F32 ? (double)out[place] : ((double *)(void *)out)[place];
      const double expected = element(fn, random_state[0], random_state[1], 5, e);
      assert_true(fabs(value - expected) <= (dtype == PEF_F32 ? 6e-8 : 1e-14) * (1 + fabs(expected)));
    }
    const size_t bytes = (size_t)product(3, dims) * (dtype == PEF_F32 ? 4 : 8);
    assert_memory_equal(first, out, bytes);  // every level gives the bits of the portable one
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_gather),
      cmocka_unit_test(test_scatter),
      cmocka_unit_test(tiles_of_table_rows_take_their_updates_in_index_order),
      cmocka_unit_test(test_scan),
      cmocka_unit_test(test_scan_wide),
      cmocka_unit_test(test_sort),
      cmocka_unit_test(test_sort_integers_without_values),
      cmocka_unit_test(test_sort_side_by_side),
      cmocka_unit_test(test_philox_known_answers),
      cmocka_unit_test(test_random),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
