// SPDX-License-Identifier: Apache-2.0
// Spike: a ResFFN (784-512-512-10) training step with SGD momentum on libxsmm tile kernels, one thread, against the
// FMA peak measured by the same program. It answers four questions before the engine is written: how the forward GEMM
// gets its weights [in,out] when they live as [out,in], how dW gets dY transposed, whether operands need packing into
// 64-wide panels, and which tile. What it taught: docs/notes-first-light.md.
//   gcc -O3 -march=native -ffast-math bench/spike/resffn_step.c -lxsmm -lxsmmnoblas -lpthread -ldl -lm
#define _GNU_SOURCE
#include <libxsmm.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { IN = 784, H = 512, OUT = 10, OUT_PAD = 16, MAX_B = 256 };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
#define MEDIAN_OF(reps, out, code)                   \
  do {                                               \
    double t_[64];                                   \
    for (int r_ = 0; r_ < (reps); r_++) {            \
      double s_ = now();                             \
      code;                                          \
      t_[r_] = now() - s_;                           \
    }                                                \
    qsort(t_, (size_t)(reps), sizeof *t_, by_value); \
    (out) = t_[(reps) / 2];                          \
  } while (0)
static int by_value(const void *a, const void *b) { return (*(const double *)a > *(const double *)b) * 2 - 1; }

#define FMA(r) "vfmadd231ps %%zmm31, %%zmm31, %%zmm" #r "\n"
static double fma_peak(void) {  // flops a second of 16 independent register chains: best of 5 runs of about 0.2 ms
  double best = 0;
  for (int rep = 0; rep < 5; rep++) {
    double s = now();
    for (int i = 0; i < 50000; i++) {
      __asm__ volatile("vpxord %%zmm31, %%zmm31, %%zmm31\n" FMA(0) FMA(1) FMA(2) FMA(3) FMA(4) FMA(5) FMA(6) FMA(7)
                           FMA(8) FMA(9) FMA(10) FMA(11) FMA(12) FMA(13) FMA(14) FMA(15)::
                               : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
                                 "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "xmm31");
    }
    double f = 50000.0 * 16 * 32 / (now() - s);
    best = f > best ? f : best;
  }
  return best;
}

// C[m,n] (+)= A[m,k] B[k,n], all row-major; B strided by ldb or packed in panels of nb columns; A^T when ta (A[k,m]).
typedef struct gemm_s {
  int m, n, k, lda, ldb, ldc, mb, nb, kb, ta, packed, beta;
} gemm_t;
static void gemm(const gemm_t *g, const float *a, const float *b, float *c) {
  const float one = 1, zero = 0;
  for (int j = 0; j < g->n; j += g->nb) {
    for (int i = 0; i < g->m; i += g->mb) {
      int m = g->m - i < g->mb ? g->m - i : g->mb, n = g->n - j < g->nb ? g->n - j : g->nb;
      int ldb = g->packed ? n : g->ldb, flags = g->ta ? LIBXSMM_GEMM_FLAG_TRANS_B : 0,
          none = LIBXSMM_GEMM_PREFETCH_NONE;
      for (int p = 0; p < g->k; p += g->kb) {
        int k = g->k - p < g->kb ? g->k - p : g->kb;
        const float *beta = p > 0 || g->beta ? &one : &zero;
        libxsmm_smmfunction f = libxsmm_smmdispatch(n, m, k, &ldb, &g->lda, &g->ldc, &one, beta, &flags, &none);
        const float *pb = g->packed ? b + (size_t)j * g->k + (size_t)p * n : b + (size_t)p * ldb + j;
        f(pb, g->ta ? a + (size_t)p * g->lda + i : a + (size_t)i * g->lda + p, c + (size_t)i * g->ldc + j);
      }
    }
  }
}
static void transpose(const float *src, int rows, int cols, float *dst) {  // dst[cols][rows]
  libxsmm_otrans(dst, src, sizeof(float), (libxsmm_blasint)cols, (libxsmm_blasint)rows, (libxsmm_blasint)cols,
                 (libxsmm_blasint)rows);
}
static void transpose_to_panels(const float *src, int rows, int cols, int nb, float *dst) {  // W[n][k] -> [n/nb][k][nb]
  for (int i = 0; i < rows; i += nb) {
    int n = rows - i < nb ? rows - i : nb;
    transpose(src + (size_t)i * cols, n, cols, dst + (size_t)i * cols);
  }
}

static float *buffer(size_t n) {
  float *p = aligned_alloc(64, (n * 4 + 63) / 64 * 64);
  for (size_t i = 0; i < n; i++) p[i] = (float)(drand48() - 0.5) * 0.1f;
  return p;
}
static inline float exp_fast(float x) {
  float n = __builtin_rintf(x * 1.44269504f), r = x - n * 0.693147181f, p = 1.0f / 720;
  p = p * r + 1.0f / 120, p = p * r + 1.0f / 24, p = p * r + 1.0f / 6, p = p * r + 0.5f, p = p * r + 1, p = p * r + 1;
  union {
    int i;
    float f;
  } u = {((int)n + 127) << 23};
  return p * u.f;
}
static inline float tanh_fast(float x) { return 1 - 2 / (exp_fast(2 * x) + 1); }

typedef struct layer_s {
  int in, out;
  float *w, *m, *dw, *wt, *b, *db;
} layer_t;
static float *g_t;  // scratch for a transposed dY
static double g_flops, g_gemm_s;
static int g_copy_each_step = 1;

static void timed_gemm(const gemm_t *g, const float *a, const float *b, float *c) {
  double s = now();
  gemm(g, a, b, c);
  g_gemm_s += now() - s, g_flops += 2.0 * g->m * g->n * g->k;
}
static void forward(const layer_t *l, int rows, const float *x, float *y) {
  if (g_copy_each_step) transpose_to_panels(l->w, l->out, l->in, 64, l->wt);
  for (int i = 0; i < rows; i++) memcpy(y + (size_t)i * l->out, l->b, (size_t)l->out * 4);
  timed_gemm(&(gemm_t){rows, l->out, l->in, l->in, 0, l->out, 32, 64, 256, 0, 1, 1}, x, l->wt, y);
}
static void backward(layer_t *l, int rows, const float *x, const float *dy, float *dx, int dx_beta) {
  if (dx) timed_gemm(&(gemm_t){rows, l->in, l->out, l->out, l->in, l->in, 32, 64, 256, 0, 0, dx_beta}, dy, l->w, dx);
  transpose(dy, rows, l->out, g_t);
  timed_gemm(&(gemm_t){l->out, l->in, rows, rows, l->in, l->in, 32, 64, 256, 0, 0, 0}, g_t, x, l->dw);
  for (int j = 0; j < l->out; j++) l->db[j] = 0;
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < l->out; j++) l->db[j] += dy[(size_t)i * l->out + j];
}
static void sgd(layer_t *l, float lr) {
  size_t n = (size_t)l->in * l->out;
  for (size_t i = 0; i < n; i++) l->m[i] = 0.9f * l->m[i] + l->dw[i], l->w[i] -= lr * l->m[i];
  for (int j = 0; j < l->out; j++) l->b[j] -= lr * l->db[j];
}
static void norm(const float *x, int rows, float *xhat,
                 float *rstd) {  // gain 1, shift 0: two more streams do not matter here
  for (int i = 0; i < rows; i++) {
    float s = 0, q = 0;
    for (int j = 0; j < H; j++) s += x[i * H + j];
    for (int j = 0; j < H; j++) q += (x[i * H + j] - s / H) * (x[i * H + j] - s / H);
    rstd[i] = 1 / sqrtf(q / H + 1e-5f);
    for (int j = 0; j < H; j++) xhat[i * H + j] = (x[i * H + j] - s / H) * rstd[i];
  }
}
static void norm_grad(const float *xhat, const float *rstd, int rows, float *d) {  // in place
  for (int i = 0; i < rows; i++) {
    float s = 0, q = 0;
    for (int j = 0; j < H; j++) s += d[i * H + j], q += d[i * H + j] * xhat[i * H + j];
    for (int j = 0; j < H; j++) d[i * H + j] = rstd[i] * (d[i * H + j] - s / H - xhat[i * H + j] * q / H);
  }
}

typedef struct net_s {
  layer_t l[3];
  float *x, *y1, *n1, *a1, *y2, *n2, *a2, *z, *d1, *d2, *dz, *r1, *r2;
  int *label;
} net_t;
static float step(net_t *t, int rows) {
  float loss = 0;
  forward(&t->l[0], rows, t->x, t->y1), norm(t->y1, rows, t->n1, t->r1);
  for (int i = 0; i < rows * H; i++) t->a1[i] = tanh_fast(t->n1[i]);
  forward(&t->l[1], rows, t->a1, t->y2), norm(t->y2, rows, t->n2, t->r2);
  for (int i = 0; i < rows * H; i++) t->a2[i] = 1 / (1 + exp_fast(-(t->n2[i] + t->a1[i])));
  forward(&t->l[2], rows, t->a2, t->z);
  for (int i = 0; i < rows; i++) {
    float s = 0, *z = t->z + i * OUT, *dz = t->dz + i * OUT;
    for (int j = 0; j < OUT; j++) s += dz[j] = exp_fast(z[j]);
    for (int j = 0; j < OUT; j++) dz[j] = (dz[j] / s - (j == t->label[i])) / (float)rows;
    loss += logf(s) - z[t->label[i]];
  }
  backward(&t->l[2], rows, t->a2, t->dz, t->d2, 0);
  for (int i = 0; i < rows * H; i++) t->d1[i] = t->d2[i] *= t->a2[i] * (1 - t->a2[i]);
  norm_grad(t->n2, t->r2, rows, t->d2);
  backward(&t->l[1], rows, t->a1, t->d2, t->d1, 1);
  for (int i = 0; i < rows * H; i++) t->d1[i] *= 1 - t->a1[i] * t->a1[i];
  norm_grad(t->n1, t->r1, rows, t->d1);
  backward(&t->l[0], rows, t->x, t->d1, NULL, 0);
  for (int i = 0; i < 3; i++) sgd(&t->l[i], 0.1f);
  return loss / (float)rows;
}

// The peak is measured again beside each figure: the clock of a shared machine moves.
static void question(const char *what, const gemm_t *g, const float *a, const float *b, float *c) {
  double t, peak = fma_peak();
  gemm(g, a, b, c);
  MEDIAN_OF(15, t, gemm(g, a, b, c));
  printf("  %-44s tile %3dx%3dx%3d  %.2f of peak\n", what, g->mb, g->nb, g->kb, 2.0 * g->m * g->n * g->k / t / peak);
}
static void questions(int rows, float *x, float *w, float *dy, float *y, float *dw, float *wt) {
  static const int tiles[][3] = {{32, 64, 64},  {32, 64, 256},  {32, 64, 1024}, {64, 64, 256},
                                 {32, 32, 256}, {32, 128, 256}, {16, 48, 256},  {28, 32, 256}};
  for (size_t i = 0; i < sizeof tiles / sizeof *tiles; i++) {
    int mb = tiles[i][0], nb = tiles[i][1], kb = tiles[i][2];
    transpose(w, H, IN, wt);
    question("forward, W^T[in,out] plain", &(gemm_t){rows, H, IN, IN, H, H, mb, nb, kb, 0, 0, 0}, x, wt, y);
    transpose_to_panels(w, H, IN, nb, wt);
    question("forward, W^T packed in panels", &(gemm_t){rows, H, IN, IN, 0, H, mb, nb, kb, 0, 1, 0}, x, wt, y);
    transpose(x, rows, IN, g_t);
    question("forward, batch as vector axis: Y^T = W X^T", &(gemm_t){H, rows, IN, IN, rows, rows, mb, nb, kb, 0, 0, 0},
             w, g_t, y);
    question("dX = dY W, W[out,in] plain", &(gemm_t){rows, IN, H, H, IN, IN, mb, nb, kb, 0, 0, 0}, dy, w, wt);
    question("dW = dY^T X, transposed by flag", &(gemm_t){H, IN, rows, H, IN, IN, mb, nb, kb, 1, 0, 0}, dy, x, dw);
    transpose(dy, rows, H, g_t);
    question("dW = dY^T X, dY transposed before", &(gemm_t){H, IN, rows, rows, IN, IN, mb, nb, kb, 0, 0, 0}, g_t, x,
             dw);
  }
  double t, peak = fma_peak();
  MEDIAN_OF(15, t, transpose_to_panels(w, H, IN, 64, wt));
  printf("  packing W[512,784] into transposed panels: %.1f us = %.2f of the forward GEMM at peak\n", t * 1e6,
         t * peak / (2.0 * rows * H * IN));
  MEDIAN_OF(15, t, transpose(dy, rows, H, g_t));
  printf("  transposing dY[%d,512]: %.1f us\n", rows, t * 1e6);
}

int main(void) {
  static const int dims[4] = {IN, H, H, OUT};
  net_t t = {0};
  libxsmm_init();
  srand48(1);
  for (int i = 0; i < 3; i++) {
    size_t n = (size_t)dims[i] * dims[i + 1];
    t.l[i] = (layer_t){dims[i], dims[i + 1], buffer(n), buffer(n), buffer(n), buffer(n), buffer(H), buffer(H)};
  }
  float **rows_of_h[] = {&t.y1, &t.n1, &t.a1, &t.y2, &t.n2, &t.a2, &t.z, &t.d1, &t.d2, &t.dz, &t.r1, &t.r2, &g_t};
  for (size_t i = 0; i < sizeof rows_of_h / sizeof *rows_of_h; i++) *rows_of_h[i] = buffer((size_t)MAX_B * IN);
  t.x = buffer((size_t)MAX_B * IN), t.label = calloc(MAX_B, sizeof(int));
  for (int i = 0; i < MAX_B; i++) t.label[i] = i % OUT;
  printf("FMA peak %.1f GFLOP/s\n", fma_peak() * 1e-9);
  for (int rows = 32; rows <= 256; rows *= 8) {
    printf("batch %d\n", rows);
    questions(rows, t.x, t.l[0].w, t.d1, t.y1, t.l[0].dw, t.l[0].wt);
    for (int mode = 1; mode >= 0; mode--) {
      double s;
      float loss = 0;
      g_copy_each_step = mode;
      for (int i = 0; i < 3; i++) transpose_to_panels(t.l[i].w, t.l[i].out, t.l[i].in, 64, t.l[i].wt);
      for (int i = 0; i < 5; i++) loss = step(&t, rows);
      g_flops = g_gemm_s = 0;
      double peak = fma_peak();
      MEDIAN_OF(31, s, loss = step(&t, rows));
      printf("  step, W^T %s: %.0f us, %.2f of peak; GEMMs %.2f of peak, %.0f %% of the time; loss %.4f\n",
             mode ? "packed each step" : "kept (no copy counted)", s * 1e6, g_flops / 31 / s / peak,
             g_flops / g_gemm_s / peak, 100 * g_gemm_s / 31 / s, loss);
    }
  }
  return 0;
}
