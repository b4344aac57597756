// SPDX-License-Identifier: Apache-2.0
// Generated kernels: asking libxsmm, comparing with the kernel body, remembering the answers.
//
// libxsmm thinks in columns: its M is our n, its N our m, its A our B. So B and C need stride 1 on n, and A stride 1 on
// k, or on m with the flag TRANS_B.
#include "native/jit.h"

#ifdef LEAT_HAVE_XSMM

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wstrict-prototypes"
#include <libxsmm.h>
#pragma GCC diagnostic pop

#include "native/cpu.h"

typedef struct jit_entry_s {
  leat_kern_gemm_t request;
  leat_native_jit_gemm_t kernel;
} jit_entry_t;

struct leat_native_jit_s {
  const leat_kern_t *kern;
  enum leat_isa isa;
  leat_native_jit_counts_t counts;
  LEAT_ARRAY(jit_entry_t) entries;
};

static enum leat_isa level_of(int archid) {
  if (archid < LIBXSMM_X86_AVX2) return LEAT_ISA_PORTABLE;
  return archid < LIBXSMM_X86_AVX512 ? LEAT_ISA_AVX2 : LEAT_ISA_AVX512;
}

// libxsmm has one target a process and answers a request that it knows from its cache, for whatever target that was
// made: so the target may be lowered before the first kernel, and stays.
static bool take_level(enum leat_isa isa) {
  libxsmm_init();
  enum leat_isa level = level_of(libxsmm_get_target_archid());
  libxsmm_registry_info made;
  if (level > isa && isa == LEAT_ISA_AVX2 && libxsmm_get_registry_info(&made) == EXIT_SUCCESS && made.size == 0) {
    libxsmm_set_target_archid(LIBXSMM_X86_AVX2);
    level = level_of(libxsmm_get_target_archid());
  }
  return level == isa && isa != LEAT_ISA_PORTABLE;
}

leat_status_t leat_native_jit_create(const leat_kern_t *kern, enum leat_isa isa, leat_native_jit_t **out_jit) {
  *out_jit = NULL;
  if (!take_level(isa)) return NULL;
  leat_native_jit_t *jit = leat_alloc_zero(1, sizeof *jit);
  if (jit == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for generated kernels");
  jit->kern = kern;
  jit->isa = isa;
  *out_jit = jit;
  return NULL;
}

void leat_native_jit_destroy(leat_native_jit_t *jit) {
  if (jit == NULL) return;
  leat_array_free(&jit->entries);
  leat_free(jit);
}

leat_native_jit_counts_t leat_native_jit_counts(const leat_native_jit_t *jit) { return jit->counts; }
int64_t leat_native_jit_step(const leat_native_jit_t *jit) { return jit->isa == LEAT_ISA_AVX512 ? 1 : 8; }

static bool fits(int64_t x) { return x >= 1 && x <= INT32_MAX; }

static leat_native_jit_gemm_t generate(const leat_kern_gemm_t *g) {
  bool by_rows = g->a_k == 1, by_columns = g->a_m == 1;
  int64_t a_stride = by_rows ? g->a_m : g->a_k, a_least = by_rows ? g->k : g->m;
  if (!by_rows && !by_columns) return NULL;
  int64_t c_stride = g->c_m;
  if (g->m == 1) c_stride = g->n;  // the strides of a single row are never used
  if (g->m == 1 && by_rows) a_stride = g->k;
  if (!fits(g->m) || !fits(g->n) || !fits(g->k) || !fits(a_stride) || !fits(g->b_k) || !fits(c_stride)) return NULL;
  if (a_stride < a_least || g->b_k < g->n || c_stride < g->n) return NULL;
  libxsmm_blasint lda = (libxsmm_blasint)g->b_k, ldb = (libxsmm_blasint)a_stride, ldc = (libxsmm_blasint)c_stride;
  float alpha = 1, beta = g->add ? 1 : 0;
  int flags = by_rows ? LIBXSMM_GEMM_FLAG_NONE : LIBXSMM_GEMM_FLAG_TRANS_B, prefetch = LIBXSMM_GEMM_PREFETCH_NONE;
  libxsmm_smmfunction kernel = libxsmm_smmdispatch((libxsmm_blasint)g->n, (libxsmm_blasint)g->m, (libxsmm_blasint)g->k,
                                                   &lda, &ldb, &ldc, &alpha, &beta, &flags, &prefetch);
  union {
    libxsmm_smmfunction from;
    leat_native_jit_gemm_t to;
    const void *code;
  } cast = {.from = kernel};
  // Without executable memory libxsmm may put code where it cannot run.
  return cast.to != NULL && leat_native_cpu_may_execute(cast.code) ? cast.to : NULL;
}

// --- comparison --------------------------------------------------------------------------------------------------

typedef struct jit_data_s {
  float *a, *b, *c[2];
  size_t c_count;
} jit_data_t;

static void fill(float *to, int64_t rows, int64_t row_stride, int64_t cols, int64_t col_stride, uint32_t seed) {
  for (int64_t i = 0; i < rows; i++) {
    for (int64_t j = 0; j < cols; j++) {
      seed = seed * 1664525u + 1013904223u;
      to[i * row_stride + j * col_stride] = (float)((int32_t)seed >> 7) / 16777216.0f;
    }
  }
}

static size_t span(int64_t rows, int64_t row_stride, int64_t cols, int64_t col_stride) {
  return (size_t)((rows - 1) * row_stride + (cols - 1) * col_stride + 1);
}

static bool same_bits(const leat_kern_t *kern, const leat_kern_gemm_t *g, leat_native_jit_gemm_t kernel,
                      jit_data_t *data) {
  fill(data->a, g->m, g->a_m, g->k, g->a_k, 1);
  fill(data->b, g->k, g->b_k, g->n, 1, 2);
  fill(data->c[0], g->m, g->c_m, g->n, 1, 3);
  fill(data->c[1], g->m, g->c_m, g->n, 1, 3);
  kernel(data->b, data->a, data->c[0]);
  kern->gemm_f32(g, data->a, data->b, data->c[1]);
  for (int64_t i = 0; i < g->m; i++) {
    if (memcmp(data->c[0] + i * g->c_m, data->c[1] + i * g->c_m, (size_t)g->n * sizeof(float)) != 0) return false;
  }
  return true;
}

static bool is_equal(const leat_kern_t *kern, const leat_kern_gemm_t *g, leat_native_jit_gemm_t kernel) {
  size_t a = span(g->m, g->a_m, g->k, g->a_k), b = span(g->k, g->b_k, g->n, 1), c = span(g->m, g->c_m, g->n, 1);
  float *memory = leat_alloc((a + b + 2 * c) * sizeof(float));
  if (memory == NULL) return false;  // without a comparison there is no kernel
  jit_data_t data = {.a = memory, .b = memory + a, .c = {memory + a + b, memory + a + b + c}};
  bool equal = same_bits(kern, g, kernel, &data);
  leat_free(memory);
  return equal;
}

// With 256 bits libxsmm goes through 32 columns with enough accumulators, and through up to 16 that are left with too
// few to hide how long an instruction takes: the kernel body is faster (1088 x 1024 by 16 columns: 93 GFLOP/s, not 64).
static bool body_is_faster(const leat_native_jit_t *jit, const leat_kern_gemm_t *g) {
  enum { WIDE = 32, FEW = 16 };
  const int64_t rest = g->n % WIDE;
  return jit->isa == LEAT_ISA_AVX2 && rest > 0 && rest <= FEW;
}

leat_native_jit_gemm_t leat_native_jit_gemm(leat_native_jit_t *jit, const leat_kern_gemm_t *request) {
  if (body_is_faster(jit, request)) return NULL;
  for (uint32_t e = 0; e < jit->entries.count; e++) {
    if (memcmp(&jit->entries.data[e].request, request, sizeof *request) == 0) return jit->entries.data[e].kernel;
  }
  leat_native_jit_gemm_t kernel = generate(request);
  jit->counts.requested++;
  jit->counts.unavailable += kernel == NULL;
  if (kernel != NULL && !is_equal(jit->kern, request, kernel)) {
    jit->counts.unequal++;
    kernel = NULL;
  }
  jit_entry_t *entry = leat_array_push(&jit->entries);
  if (entry != NULL) *entry = (jit_entry_t){.request = *request, .kernel = kernel};
  return kernel;
}

#else

leat_status_t leat_native_jit_create(const leat_kern_t *kern, enum leat_isa isa, leat_native_jit_t **out_jit) {
  (void)kern, (void)isa;
  *out_jit = NULL;
  return NULL;
}
void leat_native_jit_destroy(leat_native_jit_t *jit) { (void)jit; }
leat_native_jit_gemm_t leat_native_jit_gemm(leat_native_jit_t *jit, const leat_kern_gemm_t *request) {
  (void)jit, (void)request;
  return NULL;
}
int64_t leat_native_jit_step(const leat_native_jit_t *jit) {
  (void)jit;
  return 1;
}
leat_native_jit_counts_t leat_native_jit_counts(const leat_native_jit_t *jit) {
  (void)jit;
  return (leat_native_jit_counts_t){0};
}

#endif
