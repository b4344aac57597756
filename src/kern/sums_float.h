// SPDX-License-Identifier: Apache-2.0
// Body of sums_f32.c and sums_f64.c: sums in the orders that pef_format.h states, in lanes, and in blocks whose sums
// are added pairwise as they come (leat_kern_pairs_t). The bits depend on the terms and the length of a block alone.
// The includer defines V(name), VT, ET, LANES, and FN(name), which is the name of a kernel.

// --- 16 lanes --------------------------------------------------------------------------------------------------------

enum { SUMS = 16 };
typedef struct sums_s {
  VT part[SUMS / LANES];
} sums_t;

VEC_INLINE sums_t sums_zero(void) {
  sums_t s;
  for (int v = 0; v < SUMS / LANES; v++) s.part[v] = V(splat)(0);
  return s;
}
VEC_INLINE sums_t sums_load(const ET *lane) {
  sums_t s;
  for (int v = 0; v < SUMS / LANES; v++) s.part[v] = V(load)(lane + v * LANES);
  return s;
}
VEC_INLINE void sums_store(ET *lane, sums_t s) {
  for (int v = 0; v < SUMS / LANES; v++) V(store)(lane + v * LANES, s.part[v]);
}
VEC_INLINE sums_t sums_add(sums_t a, sums_t b) {
  for (int v = 0; v < SUMS / LANES; v++) a.part[v] += b.part[v];
  return a;
}
VEC_INLINE sums_t add_run(sums_t s, const ET *p, int64_t n) {
  int64_t i = 0;
  for (; i + SUMS <= n; i += SUMS) {
    for (int v = 0; v < SUMS / LANES; v++) s.part[v] += V(load)(p + i + v * LANES);
  }
  if (i == n) return s;
  ET rest[SUMS];  // lanes beyond n add -0, which changes nothing
  for (int l = 0; l < SUMS; l++) rest[l] = (ET)-0.0;
  for (int64_t l = 0; i + l < n; l++) rest[l] = p[i + l];
  for (int v = 0; v < SUMS / LANES; v++) s.part[v] += V(load)(rest + v * LANES);
  return s;
}
VEC_INLINE ET tree(sums_t s) {
  ET lane[SUMS];
  sums_store(lane, s);
  for (int l = 0; l < 8; l++) lane[l] += lane[l + 8];
  for (int l = 0; l < 4; l++) lane[l] += lane[l + 4];
  for (int l = 0; l < 2; l++) lane[l] += lane[l + 2];
  return lane[0] + lane[1];
}

void FN(lanes_add)(void *lanes, const void *in, int64_t run_stride, int64_t runs, int64_t n) {
  sums_t s = sums_load(lanes);
  for (int64_t r = 0; r < runs; r++) s = add_run(s, (const ET *)in + r * run_stride, n);
  sums_store(lanes, s);
}
void FN(lanes_end)(void *out, const void *lanes) { *(ET *)out = tree(sums_load(lanes)); }
void FN(rows_sum)(void *out, const void *in, int64_t row_stride, int64_t rows, int64_t n) {
  for (int64_t r = 0; r < rows; r++) {
    ((ET *)out)[r] = tree(add_run(sums_zero(), (const ET *)in + r * row_stride, n));
  }
}

// --- pairs of blocks -------------------------------------------------------------------------------------------------

// The level where the next block's sum ends up when `count` blocks are there: all levels below it are full.
VEC_INLINE int level_of(int64_t count) { return __builtin_ctzll(~(uint64_t)count); }

// `sum` of a block, with the full levels below `top` added.
VEC_INLINE VT carry_vector(const ET *levels, int64_t width, int top, VT sum) {
  for (int l = 0; l < top; l++) sum = V(load)(levels + l * width) + sum;
  return sum;
}
VEC_INLINE ET carry_one(const ET *levels, int64_t width, int top, ET sum) {
  for (int l = 0; l < top; l++) sum = levels[l * width] + sum;
  return sum;
}

// `row` of a block that is closed, to its level.
static void close_columns(ET *row, ET *levels, int64_t width, int top, int64_t cols) {
  ET *to = levels + top * width;
  int64_t j = 0;
  for (; j + LANES <= cols; j += LANES) V(store)(to + j, carry_vector(levels + j, width, top, V(load)(row + j)));
  for (; j < cols; j++) to[j] = carry_one(levels + j, width, top, row[j]);
}

void FN(pairs_close)(void *rows, int64_t width, int64_t count, int64_t cols) {
  close_columns(rows, (ET *)rows + width, width, level_of(count), cols);
}

void FN(pairs_end)(void *out, const void *rows, int64_t width, int64_t count, int64_t cols) {
  const ET *levels = (const ET *)rows + width;
  ET *to = out;
  int low = count == 0 ? 0 : __builtin_ctzll((uint64_t)count);
  for (int64_t j = 0; j < cols; j++) to[j] = count == 0 ? 0 : levels[low * width + j];
  for (int l = low + 1; count >> l != 0; l++) {
    for (int64_t j = 0; j < cols && (count >> l & 1) != 0; j++) to[j] = levels[l * width + j] + to[j];
  }
}

// --- blocks of lanes: 64 sums, which become 16 at the end of a block ------------------------------------------------

enum { WIDE = 4 * SUMS };
typedef struct wide_s {
  sums_t part[4];
} wide_t;

VEC_INLINE wide_t wide_zero(void) { return (wide_t){{sums_zero(), sums_zero(), sums_zero(), sums_zero()}}; }
VEC_INLINE wide_t wide_load(const ET *lane) {
  wide_t s;
  for (int q = 0; q < 4; q++) s.part[q] = sums_load(lane + q * SUMS);
  return s;
}
VEC_INLINE void wide_store(ET *lane, wide_t s) {
  for (int q = 0; q < 4; q++) sums_store(lane + q * SUMS, s.part[q]);
}
VEC_INLINE wide_t add_wide(wide_t s, const ET *p, int64_t n) {
  int64_t i = 0;
  for (; i + WIDE <= n; i += WIDE) {
    for (int q = 0; q < 4; q++) s.part[q] = sums_add(s.part[q], sums_load(p + i + q * SUMS));
  }
  for (int q = 0; q < 4 && i < n; q++) {
    int64_t left = n - i - q * SUMS;
    if (left > 0) s.part[q] = add_run(s.part[q], p + i + q * SUMS, left < SUMS ? left : SUMS);
  }
  return s;
}
VEC_INLINE sums_t narrow(wide_t s) { return sums_add(sums_add(s.part[0], s.part[2]), sums_add(s.part[1], s.part[3])); }

// Puts a block's lanes, `count` blocks being there, with the full levels added to their level. Returns an empty block.
VEC_INLINE wide_t close_wide(ET *levels, int64_t count, wide_t block) {
  sums_t s = narrow(block);
  int top = level_of(count);
  for (int l = 0; l < top; l++) s = sums_add(sums_load(levels + l * WIDE), s);
  sums_store(levels + top * WIDE, s);
  return wide_zero();
}

// --- blocks of columns and of single terms ---------------------------------------------------------------------------

static void close_block(leat_kern_pairs_t *p, int64_t cols) {
  FN(pairs_close)(p->rows, p->width, p->count++, cols);
  p->open = 0;
}

// Vectors of columns that are summed together; rows that are farther apart than this go four at a time.
enum { TOGETHER = 4, NEAR = 1024 };

// Four rows added to what is in `sum`, or to 0: into `to`, with `top` full levels added.
VEC_INLINE void add_four(ET *to, const ET *sum, const ET *in, int64_t row_stride, int64_t cols, const ET *levels,
                         int64_t width, int top) {
  const ET *p = in, *q = p + row_stride, *r = q + row_stride, *s = r + row_stride;
  int64_t j = 0;
  for (; j + LANES <= cols; j += LANES) {
    VT v = (sum == NULL ? V(splat)(0) : V(load)(sum + j)) + V(load)(p + j);
    v = v + V(load)(q + j) + V(load)(r + j) + V(load)(s + j);
    V(store)(to + j, carry_vector(levels + j, width, top, v));
  }
  for (; j < cols; j++) {
    ET x = (sum == NULL ? 0 : sum[j]) + p[j] + q[j] + r[j] + s[j];
    to[j] = carry_one(levels + j, width, top, x);
  }
}

// A whole block of rows, four at a time: few streams from memory, as many visits of the open row as columns_sum makes.
static void block_of_far_rows(leat_kern_pairs_t *p, const ET *in, int64_t row_stride, int64_t cols) {
  ET *open = p->rows, *levels = open + p->width;
  const int64_t width = p->width, last = p->block - 4;
  const int top = level_of(p->count++);
  add_four(open, NULL, in, row_stride, cols, levels, width, 0);
  for (int64_t i = 4; i < last; i += 4) add_four(open, open, in + i * row_stride, row_stride, cols, levels, width, 0);
  add_four(levels + top * width, open, in + last * row_stride, row_stride, cols, levels, width, top);
}

// `together` vectors of columns of a whole block of rows.
VEC_INLINE void near_vectors(const int together, ET *levels, int64_t width, int top, const ET *in, int64_t row_stride,
                             int64_t block) {
  VT sum[TOGETHER];
  for (int v = 0; v < together; v++) sum[v] = V(splat)(0);
  for (int64_t i = 0; i < block; i++) {
    for (int v = 0; v < together; v++) sum[v] += V(load)(in + i * row_stride + v * LANES);
  }
  for (int v = 0; v < together; v++) {
    V(store)(levels + top * width + v * LANES, carry_vector(levels + v * LANES, width, top, sum[v]));
  }
}

// A whole block of rows. Vectors of columns side by side stay in registers; the rest goes through the open row.
static void block_of_near_rows(leat_kern_pairs_t *p, const ET *in, int64_t row_stride, int64_t cols) {
  const int64_t width = p->width, block = p->block;
  const int top = level_of(p->count);
  ET *levels = (ET *)p->rows + width;
  int64_t j = 0;
  for (; j + TOGETHER * LANES <= cols; j += TOGETHER * LANES) {
    near_vectors(TOGETHER, levels + j, width, top, in + j, row_stride, block);
  }
  for (; j + LANES <= cols; j += LANES) near_vectors(1, levels + j, width, top, in + j, row_stride, block);
  leat_kern_pairs_t rest = *p;
  rest.rows = (ET *)p->rows + j;
  if (j < cols) block_of_far_rows(&rest, in + j, row_stride, cols - j);
  p->count++;
}

// Terms that go into the open block next, of `left`.
VEC_INLINE int64_t next_terms(const leat_kern_pairs_t *p, int64_t left) {
  return left < p->block - p->open ? left : p->block - p->open;
}

void FN(pairs_columns)(leat_kern_pairs_t *p, const void *in, int64_t row_stride, int64_t rows, int64_t cols) {
  ET *open = p->rows;
  for (const ET *at = in; rows > 0;) {
    int64_t n = next_terms(p, rows);
    if (n == p->block && n % 4 == 0 && n > 4) {
      (row_stride > NEAR || cols < LANES ? block_of_far_rows : block_of_near_rows)(p, at, row_stride, cols);
    } else {
      for (int64_t j = 0; j < cols && p->open == 0; j++) open[j] = 0;
      FN(columns_sum)(open, at, row_stride, n, cols);
      p->open += n;
      if (p->open == p->block) close_block(p, cols);
    }
    at += n * row_stride;
    rows -= n;
  }
}

void FN(pairs_fold)(leat_kern_pairs_t *p, const void *in, int64_t stride, int64_t n) {
  ET *open = p->rows;
  for (const ET *at = in; n > 0;) {
    int64_t terms = next_terms(p, n);
    ET sum = p->open == 0 ? 0 : *open;
    for (int64_t i = 0; i < terms; i++) sum += at[i * stride];
    *open = sum;
    p->open += terms;
    if (p->open == p->block) close_block(p, 1);
    at += terms * stride;
    n -= terms;
  }
}

void FN(pairs_lanes)(leat_kern_pairs_t *p, const void *in, int64_t run_stride, int64_t runs, int64_t n, int64_t close) {
  ET *open_row = p->rows, *levels = open_row + WIDE;
  const int64_t block = p->block;
  int64_t open = p->open, count = p->count;
  wide_t s = open > 0 ? wide_load(open_row) : wide_zero();
  for (int64_t r = 0; r < runs; r++) {
    const ET *at = (const ET *)in + r * run_stride;
    for (int64_t i = 0; i < n;) {
      int64_t terms = n - i < block - open ? n - i : block - open;
      s = add_wide(s, at + i, terms);
      open += terms;
      i += terms;
      if (open == block) s = close_wide(levels, count++, s), open = 0;
    }
    if (close != 0 && open > 0) s = close_wide(levels, count++, s), open = 0;
  }
  if (open > 0) wide_store(open_row, s);
  p->open = open;
  p->count = count;
}

enum { LEVELS_MAX = 48 };  // of a row that is summed at once

void FN(pairs_rows)(void *out, const void *in, int64_t row_stride, int64_t rows, int64_t n, int64_t block) {
  for (int64_t r = 0; r < rows; r++) {
    const ET *at = (const ET *)in + r * row_stride;
    if (n <= block) {
      ((ET *)out)[r] = tree(narrow(add_wide(wide_zero(), at, n)));
      continue;
    }
    ET open[(1 + LEVELS_MAX) * WIDE];
    int64_t count = 0;
    for (int64_t i = 0; i < n; i += block) {
      close_wide(open + WIDE, count++, add_wide(wide_zero(), at + i, n - i < block ? n - i : block));
    }
    FN(pairs_end)(open, open, WIDE, count, SUMS);
    ((ET *)out)[r] = tree(sums_load(open));
  }
}
