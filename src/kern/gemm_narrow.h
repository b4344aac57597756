// SPDX-License-Identifier: Apache-2.0
// Body of gemm_narrow.c, for each dtype of B. The includer defines FN, NAME(name), ET (an element), LOAD(p, j): the
// register of columns at p, whose scales are s->at[j] and those behind, and VALUE(x, j): one column. k goes in spans
// that stay in L1 while all rows and columns pass, and have one scale a column; `scale`: where in s->at they begin.

// rows x width registers of C, both constants after inlining. Meanwhile a line of B far ahead is asked for: at that
// rate nobody foresees it early enough, and panels lie one behind the other.
VEC_INLINE void NAME(tile)(const leat_kern_gemm_t *g, const leat_kern_scales_t *s, int64_t scale, const int rows,
                           const int width, const float *a, const ET *b, float *c, int64_t k, int64_t add) {
  reg_t sums[ROWS_MAX][WIDE];
  (void)s, (void)scale;
#pragma GCC unroll 6
  for (int i = 0; i < rows; i++) {
#pragma GCC unroll 16
    for (int j = 0; j < width; j++) sums[i][j] = add ? reg_load(c + i * g->c_m + j * REG_LANES) : reg_zero();
  }
  for (int64_t p = 0; p < k; p++) {
    const ET *row = b + p * g->b_k;
    reg_t factors[ROWS_MAX];
    ask_for(row, sizeof(ET));
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++) factors[i] = reg_splat(a[i * g->a_m + p * g->a_k]);
#pragma GCC unroll 16
    for (int j = 0; j < width; j++) {
      const reg_t column = LOAD(row + j * REG_LANES, scale + j * REG_LANES);
#pragma GCC unroll 6
      for (int i = 0; i < rows; i++) sums[i][j] = reg_fma(factors[i], column, sums[i][j]);
    }
  }
#pragma GCC unroll 6
  for (int i = 0; i < rows; i++) {
#pragma GCC unroll 16
    for (int j = 0; j < width; j++) reg_store(c + i * g->c_m + j * REG_LANES, sums[i][j]);
  }
}

// Columns of less than a register.
static void NAME(edge)(const leat_kern_gemm_t *g, const leat_kern_scales_t *s, int64_t scale, int64_t n, const float *a,
                       const ET *b, float *c, int64_t k, int64_t add) {
  (void)s, (void)scale;
  for (int64_t i = 0; i < g->m; i++) {
    for (int64_t j = 0; j < n; j++) {
      float sum = add ? c[i * g->c_m + j] : 0;
      for (int64_t p = 0; p < k; p++)
        sum = f32_fma(a[i * g->a_m + p * g->a_k], VALUE(b[p * g->b_k + j], scale + j), sum);
      c[i * g->c_m + j] = sum;
    }
  }
}

// All rows with `width` registers of columns.
VEC_INLINE void NAME(columns)(const leat_kern_gemm_t *g, const leat_kern_scales_t *s, int64_t scale, const int width,
                              const float *a, const ET *b, float *c, int64_t k, int64_t add) {
#define ROWS_OF(rows) NAME(tile)(g, s, scale, rows, width, a + i * g->a_m, b, c + i * g->c_m, k, add)
  int64_t i = 0;
  for (; i + ROWS_MAX <= g->m; i += ROWS_MAX) ROWS_OF(ROWS_MAX);
#define REST_OF(rows)      \
  case rows:               \
    if (rows < ROWS_MAX) { \
      ROWS_OF(rows);       \
    }                      \
    break;
  switch (g->m - i) { REST_OF(1) REST_OF(2) REST_OF(3) REST_OF(4) REST_OF(5) default : break; }
#undef REST_OF
#undef ROWS_OF
}

static void NAME(span)(const leat_kern_gemm_t *g, const leat_kern_scales_t *s, int64_t scale, const float *a,
                       const ET *b, float *c, int64_t k, int64_t add) {
  int64_t j = 0;
  for (; g->m == 1 && j + WIDE * REG_LANES <= g->n; j += WIDE * REG_LANES)
    NAME(tile)(g, s, scale + j, 1, WIDE, a, b + j, c + j, k, add);
  for (; j + NARROW * REG_LANES <= g->n; j += NARROW * REG_LANES)
    NAME(columns)(g, s, scale + j, NARROW, a, b + j, c + j, k, add);
  for (; j + REG_LANES <= g->n; j += REG_LANES) NAME(columns)(g, s, scale + j, 1, a, b + j, c + j, k, add);
  if (j < g->n) NAME(edge)(g, s, scale + j, g->n - j, a, b + j, c + j, k, add);
}

void FN(const leat_kern_gemm_t *g, const leat_kern_scales_t *s, const void *a, const void *b, void *c) {
  const int64_t fits = SPAN_BYTES / (int64_t)sizeof(ET) / g->n, most = g->m == 1 ? g->k : fits > 0 ? fits : 1;
  int64_t scale = 0, left = s->group - s->gone, add = g->add;
  for (int64_t p = 0; p == 0 || p < g->k; add = 1) {
    int64_t k = g->k - p < left ? g->k - p : left;
    if (k > most) k = most;
    NAME(span)(g, s, scale, (const float *)a + p * g->a_k, (const ET *)b + p * g->b_k, c, k, add);
    p += k > 0 ? k : 1;
    left -= k;
    if (left > 0) continue;
    scale += s->step;
    left = s->group;
  }
}

#undef FN
#undef NAME
#undef ET
#undef LOAD
#undef VALUE
