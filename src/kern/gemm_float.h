// SPDX-License-Identifier: Apache-2.0
// Body of gemm_f32.c and gemm_f64.c: a register tile of ROWS x WIDTH vectors, one fma accumulator per element, k
// ascending, so that the bits do not depend on the tile. The includer defines V(name), VT, ET, LANES, FN, ROWS, WIDTH.
// Columns beyond the last full vector go through a zero-padded copy of B and C.

// A single vector of columns has twice the rows, so that as many chains go on side by side.
enum { PANEL_K = 128, TALL = 2 * ROWS };

typedef struct gemm_strides_s {
  int64_t a_m, a_k, b_k, c_m;
} gemm_strides_t;

// m x (width vectors) of C, both constants after inlining.
VEC_INLINE void gemm_tile(int m, int width, const ET *a, const ET *b, ET *c, gemm_strides_t s, int64_t k, int64_t add) {
  VT sum[TALL][WIDTH];
#pragma GCC unroll 16
  for (int i = 0; i < m; i++) {
#pragma GCC unroll 4
    for (int j = 0; j < width; j++) sum[i][j] = add ? V(load)(c + i * s.c_m + j * LANES) : V(splat)(0);
  }
  for (int64_t p = 0; p < k; p++) {
    VT column[WIDTH];
#pragma GCC unroll 4
    for (int j = 0; j < width; j++) column[j] = V(load)(b + p * s.b_k + j * LANES);
#pragma GCC unroll 16
    for (int i = 0; i < m; i++) {
      VT x = V(splat)(a[i * s.a_m + p * s.a_k]);
#pragma GCC unroll 4
      for (int j = 0; j < width; j++) sum[i][j] = V(fma)(x, column[j], sum[i][j]);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < m; i++) {
#pragma GCC unroll 4
    for (int j = 0; j < width; j++) V(store)(c + i * s.c_m + j * LANES, sum[i][j]);
  }
}

// `rows` rows at a time, a constant after inlining, of those from `i` on; returns where it ends.
VEC_INLINE int64_t gemm_rows(int rows, int64_t i, int64_t m, int wide, const ET *a, const ET *b, ET *c,
                             gemm_strides_t s, int64_t k, int64_t add) {
  for (; i + rows <= m; i += rows) {
    if (wide) {
      gemm_tile(rows, WIDTH, a + i * s.a_m, b, c + i * s.c_m, s, k, add);
    } else {
      gemm_tile(rows, 1, a + i * s.a_m, b, c + i * s.c_m, s, k, add);
    }
  }
  return i;
}

static void gemm_columns(int64_t m, int wide, const ET *a, const ET *b, ET *c, gemm_strides_t s, int64_t k,
                         int64_t add) {
  int64_t i = wide ? 0 : gemm_rows(TALL, 0, m, 0, a, b, c, s, k, add);
  i = gemm_rows(ROWS, i, m, wide, a, b, c, s, k, add);
  if (ROWS > 4) i = gemm_rows(4, i, m, wide, a, b, c, s, k, add);
  if (ROWS > 2) i = gemm_rows(2, i, m, wide, a, b, c, s, k, add);
  gemm_rows(1, i, m, wide, a, b, c, s, k, add);
}

// n < LANES columns. The padded copies are made for ROWS rows and PANEL_K steps of k at a time.
static void gemm_edge(int64_t m, int64_t n, const ET *a, const ET *b, ET *c, gemm_strides_t s, int64_t k, int64_t add) {
  ET panel[PANEL_K * LANES], block[ROWS * LANES];
  gemm_strides_t padded = {s.a_m, s.a_k, LANES, LANES};
  for (int64_t p = 0; p == 0 || p < k; p += PANEL_K) {  // without k: zeros, or C as it is
    int64_t steps = k - p < PANEL_K ? k - p : PANEL_K;
    for (int64_t q = 0; q < steps; q++) V(store)(panel + q * LANES, V(load_part)(b + (p + q) * s.b_k, n));
    for (int64_t i = 0; i < m; i += ROWS) {
      int64_t rows = m - i < ROWS ? m - i : ROWS;
      int64_t carry = add || p > 0;
      for (int64_t r = 0; r < rows && carry; r++) V(store)(block + r * LANES, V(load_part)(c + (i + r) * s.c_m, n));
      gemm_columns(rows, 0, a + i * s.a_m + p * s.a_k, panel, block, padded, steps, carry);
      for (int64_t r = 0; r < rows; r++) V(store_part)(c + (i + r) * s.c_m, V(load)(block + r * LANES), n);
    }
  }
}

void FN(const leat_kern_gemm_t *g, const void *a, const void *b, void *c) {
  gemm_strides_t s = {g->a_m, g->a_k, g->b_k, g->c_m};
  int64_t j = 0;
  for (; j + WIDTH * LANES <= g->n; j += WIDTH * LANES) {
    gemm_columns(g->m, 1, a, (const ET *)b + j, (ET *)c + j, s, g->k, g->add);
  }
  for (; j + LANES <= g->n; j += LANES) {
    gemm_columns(g->m, 0, a, (const ET *)b + j, (ET *)c + j, s, g->k, g->add);
  }
  if (j < g->n) gemm_edge(g->m, g->n - j, a, (const ET *)b + j, (ET *)c + j, s, g->k, g->add);
}
