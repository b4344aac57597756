// SPDX-License-Identifier: Apache-2.0
// MAP, REDUCE and CONTRACT stages on random shapes, strides, dtypes and tiles, bit for bit against plain loops that
// follow the order of summation of pef_format.h, at the ISA level of the process. LEAT_DRAWS: how many of each (400).
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "draws.h"
#include "level.h"
#include "native/cpu.h"
#include "native/jit.h"
#include "native/stage.h"
#include "pef/pef_read.h"
#include "ref/value.h"

enum { MAX_OPERANDS = 6, BUFFER_BYTES = 4 << 20 };

// --- a stage on hand-made operands -----------------------------------------------------------------------------------

typedef struct bench_s {
  leat_native_operand_t operands[MAX_OPERANDS];
  char *memory[MAX_OPERANDS];  // operand i in argument i
  pef_instruction_t code[32];
  pef_params_t params;
  int64_t rows, tile_rows;  // of the body
  leat_native_stage_t stage;
} bench_t;

static uint64_t state;
static uint32_t chance(uint32_t n) {  // below n
  state ^= state << 13, state ^= state >> 7, state ^= state << 17;
  return (uint32_t)(state >> 33) % n;
}

static bench_t *bench_new(uint32_t kind, uint32_t operand_count) {
  bench_t *b = calloc(1, sizeof *b);
  for (int i = 0; i < MAX_OPERANDS; i++) b->memory[i] = calloc(1, BUFFER_BYTES);
  b->rows = b->tile_rows = 1;
  b->stage = (leat_native_stage_t){.kind = leat_native_stage_kind(kind),
                                   .operands = b->operands,
                                   .operand_count = operand_count,
                                   .params = &b->params,
                                   .instructions = b->code,
                                   .origin = "test"};
  return b;
}
static void bench_free(bench_t *b) {
  for (int i = 0; i < MAX_OPERANDS; i++) free(b->memory[i]);
  free(b);
}

// Row-major strides in a random order of the dims, with a gap now and then; dims in `absent` get stride 0.
static void set_operand(bench_t *b, uint32_t index, uint8_t dtype, uint32_t rank, const int64_t *dims, uint32_t absent,
                        bool shuffle) {
  leat_native_operand_t *o = &b->operands[index];
  *o = (leat_native_operand_t){.space = PEF_SPACE_ARGUMENT,
                               .dtype = dtype,
                               .rank = (uint8_t)rank,
                               .slot = (uint16_t)index,
                               .element_bytes = (uint8_t)leat_pef_dtype_bytes(dtype),
                               .row_dim = PEF_NO_ROW_DIM};
  uint32_t order[8];
  for (uint32_t d = 0; d < rank; d++) order[d] = d;
  for (uint32_t d = rank; shuffle && d > 1; d--) {
    uint32_t with = chance(d), t = order[d - 1];
    order[d - 1] = order[with], order[with] = t;
  }
  for (uint32_t d = 0; d < 8; d++) o->dims[d] = d < rank ? dims[d] : 1;
  int64_t stride = 1;
  for (uint32_t i = rank; i-- > 0;) {
    if (absent >> order[i] & 1) continue;
    o->strides[order[i]] = stride;
    stride *= dims[order[i]] + (shuffle && chance(8) == 0 ? 3 : 0);
  }
  assert_true(stride * o->element_bytes <= BUFFER_BYTES);
}

// Lets dim `dim` run along the rows of the body for the operands of a mask.
static void set_rows(bench_t *b, uint32_t dim, uint32_t operands) {
  for (uint32_t i = 0; i < b->stage.operand_count; i++) {
    leat_native_operand_t *o = &b->operands[i];
    if (!(operands >> i & 1)) continue;
    b->rows = o->dims[dim];
    o->row_dim = (uint8_t)dim;
    o->row_mult = 1;
    o->row_bytes = o->strides[dim] * o->element_bytes;
  }
  b->tile_rows = 1 + chance((uint32_t)b->rows);
}

static void run_bench(bench_t *b, leat_native_jit_t *jit) {
  const leat_kern_t *kern = leat_native_cpu_kernels(level_isa());
  leat_arena_t arena;
  leat_arena_init(&arena);
  b->stage.kern = kern;
  leat_native_prepare_t context = {
      .arena = &arena, .kern = kern, .jit = jit, .row_count = b->rows, .tile_rows_max = b->tile_rows};
  leat_status_t status = b->stage.kind->prepare(&b->stage, &context);
  if (status != NULL) fail_msg("%s", leat_status_message(status));
  char *workspace = leat_alloc(b->stage.workspace_bytes + 64);
  memset(workspace, 0x7f, b->stage.workspace_bytes);
  for (int64_t r = 0; r < b->rows; r += b->tile_rows) {
    leat_run_tile_t tile = {.r0 = r,
                            .rows = b->rows - r < b->tile_rows ? b->rows - r : b->tile_rows,
                            .arguments = b->memory,
                            .workspace = workspace};
    b->stage.kind->run(&b->stage, &tile);
  }
  leat_free(workspace);
  leat_arena_deinit(&arena);
}

// --- values ----------------------------------------------------------------------------------------------------------

static int64_t offset_of(const leat_native_operand_t *o, const int64_t *index) {
  int64_t sum = 0;
  for (uint32_t d = 0; d < o->rank; d++) sum += o->strides[d] * index[d];
  return sum;
}
static bool next(int64_t *index, const int64_t *dims, uint32_t rank) {
  for (uint32_t d = rank; d-- > 0;) {
    if (++index[d] < dims[d]) return true;
    index[d] = 0;
  }
  return false;
}
// Through the portable conversions, which kern_test compares with plain ones.
static double get(const bench_t *b, uint32_t operand, const int64_t *index) {
  const leat_native_operand_t *o = &b->operands[operand];
  double value;
  leat_kern_portable.load[LEAT_KERN_F64][o->dtype](&value, b->memory[operand] + offset_of(o, index) * o->element_bytes,
                                                   1, 1);
  return value;
}
static void fill_noise(bench_t *b, uint32_t operand) {
  const leat_native_operand_t *o = &b->operands[operand];
  int64_t index[8] = {0};
  do {
    double value = o->dtype >= PEF_I8 ? (double)chance(100) - (o->dtype == PEF_U8 ? 0 : 50)
                                      : ((double)chance(1 << 20) - (1 << 19)) / (1 << 17);
    if (o->dtype == PEF_BOOL) value = chance(2);
    leat_kern_portable.store[LEAT_KERN_F64][o->dtype](b->memory[operand] + offset_of(o, index) * o->element_bytes, 1,
                                                      &value, 1);
  } while (next(index, o->dims, o->rank));
}

static void expect(const bench_t *b, uint32_t operand, const int64_t *index, double want, const char *what) {
  double got = get(b, operand, index);
  if (got == want || (got != got && want != want)) return;
  char text[600];
  int n = snprintf(text, sizeof text, "%s, %s, pairs %lld chain %lld add %lld, tile %lld of %lld rows:", what,
                   leat_native_cpu_isa_name(level_isa()), (long long)b->params.contract.pairs,
                   (long long)b->params.contract.chain, (long long)b->params.contract.add, (long long)b->tile_rows,
                   (long long)b->rows);
  for (uint32_t i = 0; i < b->stage.operand_count && n < 500; i++) {
    n += snprintf(text + n, sizeof text - (size_t)n, " op%u dtype %u", i, b->operands[i].dtype);
    for (uint32_t d = 0; d < b->operands[i].rank; d++) {
      n += snprintf(text + n, sizeof text - (size_t)n, "%s%lld:%lld", d ? "," : " ", (long long)b->operands[i].dims[d],
                    (long long)b->operands[i].strides[d]);
    }
  }
  fail_msg("%s: at %lld,%lld,%lld,%lld is %.17g, should be %.17g", text, (long long)index[0], (long long)index[1],
           (long long)index[2], (long long)index[3], got, want);
}

static uint32_t random_dims(int64_t *dims, uint32_t rank_max, int64_t elements_max) {
  static const int64_t sizes[] = {1, 2, 3, 5, 8, 10, 16, 17, 31, 64, 100, 130, 300, 600};
  uint32_t rank = 1 + chance(rank_max);
  int64_t total = 1;
  for (uint32_t d = 0; d < rank; d++) {
    dims[d] = sizes[chance(sizeof sizes / sizeof *sizes)];
    if (total * dims[d] > elements_max) dims[d] = 1;
    total *= dims[d];
  }
  return rank;
}

// --- MAP -------------------------------------------------------------------------------------------------------------

enum { ADD = 32, MUL = 34, MAXIMUM = 40 };

// out0 = max(a * b + 3, iota(d)); out1 = (a * b + c), in place of c when the dtypes agree.
static void one_map(uint32_t seed) {
  state = seed * 2654435761u + 99;
  for (int i = 0; i < 8; i++) chance(2);
  static const uint8_t dtypes[] = {PEF_F32, PEF_F32, PEF_F32, PEF_BF16, PEF_I32, PEF_BOOL, PEF_F64, PEF_I64};
  bench_t *b = bench_new(PEF_STAGE_MAP, 5);
  int64_t dims[8];
  uint32_t rank = random_dims(dims, 4, 20000), iota = chance(rank);
  bool shuffle = chance(2);
  for (uint32_t i = 0; i < 3; i++) {
    uint32_t absent = i < 2 && chance(2) ? chance(1u << rank) : 0;
    set_operand(b, i, i == 2 ? PEF_F32 : dtypes[chance(8)], rank, dims, absent, shuffle);
  }
  set_operand(b, 3, chance(3) ? PEF_F32 : PEF_BF16, rank, dims, 0, shuffle);
  b->operands[4] = b->operands[2];  // in place
  bool by_rows = chance(2);
  if (by_rows) set_rows(b, chance(rank), 31);
  pef_instruction_t code[] = {
      {.op = PEF_OP_LOAD, .a = 0},     {.op = PEF_OP_LOAD, .a = 1},          {.op = MUL, .a = 0, .b = 1},
      {.op = PEF_OP_LOAD, .a = 2},     {.op = ADD, .a = 2, .b = 3},          {.op = PEF_OP_STORE, .a = 4, .b = 4},
      {.op = PEF_OP_IMMEDIATE},        {.op = ADD, .a = 2, .b = 6},          {.op = PEF_OP_IOTA, .a = iota},
      {.op = MAXIMUM, .a = 7, .b = 8}, {.op = PEF_OP_STORE, .a = 3, .b = 9},
  };
  double three = 3;
  memcpy(&code[6].imm, &three, 8);
  memcpy(b->code, code, sizeof code);
  b->stage.instruction_count = sizeof code / sizeof *code;
  for (uint32_t i = 0; i < 3; i++) fill_noise(b, i);
  char *kept = malloc(BUFFER_BYTES);
  memcpy(kept, b->memory[2], BUFFER_BYTES);
  char *own = b->memory[4];
  b->memory[4] = b->memory[2];
  run_bench(b, NULL);
  int64_t index[8] = {0};
  do {
    float x = (float)get(b, 0, index), y = (float)get(b, 1, index), c, p = x * y;
    memcpy(&c, kept + offset_of(&b->operands[2], index) * 4, 4);
    float top = p + 3.0f, i = (float)index[iota], wrapped;
    top = top > i ? top : i;
    leat_kern_portable.wrap[LEAT_KERN_F32][b->operands[3].dtype](&wrapped, &top, NULL, NULL, 1);
    expect(b, 4, index, (double)(p + c), "map out1");
    expect(b, 3, index, (double)wrapped, "map out0");
  } while (next(index, dims, rank));
  b->memory[4] = own;
  free(kept);
  bench_free(b);
}

static void one_copy(uint32_t seed) {
  state = seed * 2654435761u + 7;
  for (int i = 0; i < 8; i++) chance(2);
  static const uint8_t dtypes[] = {PEF_F32, PEF_F64, PEF_BF16, PEF_I8};
  bench_t *b = bench_new(PEF_STAGE_MAP, 2);
  int64_t dims[8];
  uint32_t rank = random_dims(dims, 4, 20000);
  uint8_t dtype = dtypes[chance(4)];
  set_operand(b, 0, dtype, rank, dims, chance(4) == 0 ? chance(1u << rank) : 0, true);
  set_operand(b, 1, dtype, rank, dims, 0, chance(2));
  if (chance(2)) set_rows(b, chance(rank), 3);
  b->code[0] = (pef_instruction_t){.op = PEF_OP_LOAD, .class_ = (uint8_t)leat_pef_dtype_class(dtype)};
  b->code[1] = (pef_instruction_t){.op = PEF_OP_STORE, .a = 1, .class_ = b->code[0].class_};
  b->stage.instruction_count = 2;
  fill_noise(b, 0);
  run_bench(b, NULL);
  int64_t index[8] = {0};
  do {
    expect(b, 1, index, get(b, 0, index), "copy");
  } while (next(index, dims, rank));
  bench_free(b);
}

static void test_map(void **unused) {
  (void)unused;
  for (uint32_t i = 0; i < draws(400); i++) one_map(i), one_copy(i);
}

// --- REDUCE ----------------------------------------------------------------------------------------------------------

static double step(uint8_t fn, uint8_t class_, double a, double b) {
  if (fn == PEF_FN_MAX) return a > b ? a : b;
  if (fn == PEF_FN_MIN) return a < b ? a : b;
  if (class_ == PEF_CLASS_F32) return fn == PEF_FN_SUM ? (double)((float)a + (float)b) : (double)((float)a * (float)b);
  return fn == PEF_FN_SUM ? a + b : a * b;
}

static double tree(uint8_t class_, double *lane) {
  for (int w = 8; w > 0; w /= 2) {
    for (int i = 0; i < w; i++) lane[i] = step(PEF_FN_SUM, class_, lane[i], lane[i + w]);
  }
  return lane[0];
}

// Sums of blocks side by side in `width` lanes, added pairwise into the first: the greatest power of two of them below
// their number, and the rest.
static void add_pairwise(uint8_t class_, double *sums, int64_t count, int64_t width) {
  int64_t half = 1;
  if (count < 2) return;
  while (2 * half < count) half *= 2;
  add_pairwise(class_, sums, half, width);
  add_pairwise(class_, sums + half * width, count - half, width);
  for (int64_t i = 0; i < width; i++) sums[i] = step(PEF_FN_SUM, class_, sums[i], sums[half * width + i]);
}

// Does a block of a sum end before the term at place `at` of run `run` (of lanes) or of the whole?
static bool starts_block(int64_t chain, bool lanes, int64_t run, int64_t n, int64_t at) {
  int64_t steps = (n + 63) / 64;
  if (chain == 0) return run == 0 && at == 0;
  if (!lanes) return (run * n + at) % chain == 0;
  return steps > chain ? at % (64 * chain) == 0 : at == 0 && run % (chain / steps) == 0;
}

static double sum_at(const bench_t *b, const int64_t *kept, const int64_t *dims, uint32_t innermost) {
  const leat_native_operand_t *in = &b->operands[0];
  uint8_t class_ = (uint8_t)leat_pef_dtype_class(in->dtype);
  bool lanes = class_ != PEF_CLASS_I64 && innermost == in->rank - 1u && in->strides[innermost] == 1;
  int64_t index[8], position[8] = {0}, chain = b->params.reduce.chain, blocks = 0, run = 0, terms = 1;
  int64_t width = !lanes ? 1 : chain > 0 ? 64 : 16;
  for (uint32_t d = 0; d < in->rank; d++) terms *= dims[d];
  double *sums = calloc((size_t)(terms * width), sizeof *sums);
  do {
    int64_t at = position[innermost];
    if (starts_block(chain, lanes, run, dims[innermost], at)) blocks++;
    for (uint32_t d = 0; d < in->rank; d++) index[d] = kept[d] + position[d];
    double *to = &sums[(blocks - 1) * width + at % width];
    *to = step(PEF_FN_SUM, class_, *to, get(b, 0, index));
    run += at + 1 == dims[innermost];
  } while (next(position, dims, in->rank));
  for (int64_t k = 0; k < blocks && width == 64; k++) {  // 64 sums of a block become 16
    for (int w = 32; w >= 16; w /= 2) {
      for (int i = 0; i < w; i++) sums[k * 64 + i] = step(PEF_FN_SUM, class_, sums[k * 64 + i], sums[k * 64 + i + w]);
    }
  }
  add_pairwise(class_, sums, blocks, width);
  double sum = lanes ? tree(class_, sums) : sums[0];
  free(sums);
  return sum;
}

static double reduce_at(const bench_t *b, const int64_t *kept, uint32_t mask) {
  const leat_native_operand_t *in = &b->operands[0];
  uint8_t fn = b->stage.fn, class_ = (uint8_t)leat_pef_dtype_class(in->dtype);
  int64_t index[8], dims[8];
  uint32_t innermost = 0;
  for (uint32_t d = 0; d < in->rank; d++) {
    bool reduced = mask >> d & 1;
    dims[d] = reduced ? in->dims[d] : 1;
    if (reduced) innermost = d;
  }
  if (fn == PEF_FN_SUM) return sum_at(b, kept, dims, innermost);
  double acc = fn == PEF_FN_PROD ? 1 : fn == PEF_FN_MAX ? -INFINITY : INFINITY, best = 0;
  int64_t where = 0, position[8] = {0};
  bool first = true;
  do {
    for (uint32_t d = 0; d < in->rank; d++) index[d] = kept[d] + position[d];
    double x = get(b, 0, index);
    if (fn >= PEF_FN_ARGMAX) {
      if (first || (fn == PEF_FN_ARGMAX ? x > best : x < best)) best = x, where = position[innermost];
    } else {
      acc = step(fn, class_, acc, x);
    }
    first = false;
  } while (next(position, dims, in->rank));
  return fn >= PEF_FN_ARGMAX ? (double)where : acc;
}

static void one_reduce(uint32_t seed) {
  state = seed * 2654435761u + 5;
  for (int i = 0; i < 8; i++) chance(2);
  static const uint8_t dtypes[] = {PEF_F32, PEF_F32, PEF_F64, PEF_BF16, PEF_I64, PEF_I32};
  static const uint8_t fns[] = {PEF_FN_SUM, PEF_FN_SUM, PEF_FN_SUM,    PEF_FN_PROD,
                                PEF_FN_MAX, PEF_FN_MIN, PEF_FN_ARGMAX, PEF_FN_ARGMIN};
  bench_t *b = bench_new(PEF_STAGE_REDUCE, 2);
  int64_t dims[8];
  uint32_t rank = random_dims(dims, 4, 20000);
  uint8_t dtype = dtypes[chance(6)], fn = fns[chance(8)];
  uint32_t mask = fn >= PEF_FN_ARGMAX ? 1u << chance(rank) : 1 + chance((1u << rank) - 1);
  b->stage.fn = fn;
  b->params.reduce.dims = mask;
  static const int64_t chains[] = {0, 1, 3, 4, 16};
  if (fn == PEF_FN_SUM && dtype != PEF_I64 && dtype != PEF_I32) b->params.reduce.chain = chains[chance(5)];
  bool small = fn == PEF_FN_PROD && dtype >= PEF_I8;
  set_operand(b, 0, dtype, rank, dims, 0, chance(2));
  uint8_t out = fn >= PEF_FN_ARGMAX || small ? PEF_I64
                : dtype == PEF_BF16          ? PEF_F32
                : dtype == PEF_I32           ? PEF_I64
                                             : dtype;
  set_operand(b, 1, out, rank, dims, mask, chance(2));
  uint32_t row = chance(rank);
  if (!(mask >> row & 1)) set_rows(b, row, 3);
  fill_noise(b, 0);
  if (!small) {
    run_bench(b, NULL);
    int64_t index[8] = {0}, kept[8];
    for (uint32_t d = 0; d < rank; d++) kept[d] = mask >> d & 1 ? 1 : dims[d];
    do {
      expect(b, 1, index, reduce_at(b, index, mask), "reduce");
    } while (next(index, kept, rank));
  }
  bench_free(b);
}

static void test_reduce(void **unused) {
  (void)unused;
  for (uint32_t i = 0; i < draws(400); i++) one_reduce(i);
}

// --- CONTRACT --------------------------------------------------------------------------------------------------------

// Of pairs the odd term comes first; behind the last there is 0 times 0.
static float add_pair(const double *x, const double *y, int64_t count, float sum) {
  const ref_value_t odd_x = {.f32 = count > 1 ? (float)x[1] : 0}, odd_y = {.f32 = count > 1 ? (float)y[1] : 0};
  const ref_value_t odd = leat_ref_pair_term(odd_x, odd_y, (ref_value_t){.f32 = sum});
  return leat_ref_pair_term((ref_value_t){.f32 = (float)x[0]}, (ref_value_t){.f32 = (float)y[0]}, odd).f32;
}

// The last operand is C, the one before it, of four, the scale of B.
static uint32_t place_of_c(const bench_t *b) { return b->stage.operand_count - 1; }

static double factor_at(const bench_t *b, const int64_t *index) {
  const double y = get(b, 1, index);
  return place_of_c(b) == 2 ? y : (double)((float)y * (float)get(b, 2, index));
}

static double contract_at(const bench_t *b, const int64_t *at, const char *old_c) {
  const leat_native_operand_t *c = &b->operands[place_of_c(b)];
  int64_t dims[8], k[8] = {0}, index[8], terms = 1, chain = b->params.contract.chain, term = 0, blocks = 0;
  bool wide = c->dtype == PEF_F64;
  double x[2] = {0}, y[2] = {0};  // of a pair
  for (uint32_t d = 0; d < c->rank; d++)
    dims[d] = b->params.contract.roles[d] == 3 ? b->operands[0].dims[d] : 1, terms *= dims[d];
  double *sums = calloc((size_t)terms + 1, sizeof *sums);
  if (b->params.contract.add)
    leat_kern_portable.load[LEAT_KERN_F64][c->dtype](&sums[0], old_c + offset_of(c, at) * c->element_bytes, 1, 1);
  if (terms != 0) do {
      for (uint32_t d = 0; d < c->rank; d++) index[d] = at[d] + k[d];
      double *acc = &sums[blocks], *last_x = &x[term % 2], *last_y = &y[term % 2];
      *last_x = get(b, 0, index), *last_y = factor_at(b, index);
      term++;
      if (b->params.contract.pairs != 0) {
        if (term % 2 == 0 || term == terms) *acc = (double)add_pair(x, y, term % 2 == 0 ? 2 : 1, (float)*acc);
      } else {
        *acc = wide ? fma(*last_x, *last_y, *acc) : (double)fmaf((float)*last_x, (float)*last_y, (float)*acc);
      }
      if (chain > 0 && term % chain == 0) blocks++;
    } while (next(k, dims, c->rank));
  if (chain == 0 || term % chain != 0) blocks++;
  add_pairwise(wide ? PEF_CLASS_F64 : PEF_CLASS_F32, sums, blocks, 1);
  double acc = sums[0];
  free(sums);
  if (c->dtype == PEF_BF16) {
    float f = (float)acc;
    leat_kern_portable.wrap[LEAT_KERN_F32][PEF_BF16](&f, &f, NULL, NULL, 1);
    acc = (double)f;
  }
  return acc;
}

static uint32_t lacking(const bench_t *b, uint32_t rank, int64_t role) {
  uint32_t mask = 0;
  for (uint32_t d = 0; d < rank; d++) mask |= b->params.contract.roles[d] == role ? 1u << d : 0;
  return mask;
}

static void one_contract(uint32_t seed, leat_native_jit_t *jit) {
  state = seed * 2654435761u + 3;
  for (int i = 0; i < 8; i++) chance(2);
  static const int64_t sizes[] = {1, 2, 3, 7, 16, 20, 33, 64, 70, 130, 270};
  const bool scaled = chance(4) == 0;
  const uint32_t c_at = scaled ? 3 : 2;
  bench_t *b = bench_new(scaled ? PEF_STAGE_CONTRACT_SCALED : PEF_STAGE_CONTRACT, c_at + 1);
  int64_t dims[8], total = 1;
  uint32_t rank = 2 + chance(4), row = 8;
  for (uint32_t d = 0; d < rank; d++) {
    b->params.product.roles[d] = d < 3 ? d + 1 : chance(4);
    dims[d] = sizes[chance(11)];
    if (total * dims[d] > 200000) dims[d] = 1 + chance(2);
    total *= dims[d];
    if (b->params.product.roles[d] <= 1 && chance(2)) row = d;
    if (b->params.product.roles[d] == 3 && chance(30) == 0) dims[d] = 0;
  }
  static const uint8_t kinds[6][3] = {{PEF_F32, PEF_F32, PEF_F32},   {PEF_BF16, PEF_BF16, PEF_F32},
                                      {PEF_BF16, PEF_BF16, PEF_F32}, {PEF_F64, PEF_F64, PEF_F64},
                                      {PEF_F32, PEF_BF16, PEF_F32},  {PEF_F32, PEF_I8, PEF_F32}};
  const uint8_t *kind = kinds[scaled ? 5 : chance(5)];
  uint8_t c = kind[0] == PEF_BF16 && chance(2) ? PEF_BF16 : kind[2];
  bool shuffle = chance(3) > 0;
  static const int64_t chains[] = {0, 0, 1, 7, 32, 100, 2048};
  b->params.product.add = chance(3) == 0;
  b->params.product.chain = chains[chance(7)];
  if (kind[0] == PEF_BF16 && chance(4) > 0) {
    b->params.product.pairs = 1;
    b->params.product.chain = b->params.product.chain / 2 * 4;
  }
  set_operand(b, 0, kind[0], rank, dims, lacking(b, rank, 2), shuffle);
  set_operand(b, 1, kind[1], rank, dims, lacking(b, rank, 1), shuffle);
  if (scaled)
    set_operand(b, 2, PEF_F32, rank, dims, lacking(b, rank, 1) | (chance(3) ? lacking(b, rank, 3) : 0), shuffle);
  set_operand(b, c_at, c, rank, dims, lacking(b, rank, 3), shuffle);
  if (row < 8) set_rows(b, row, b->params.product.roles[row] == 1 ? 1u | 1u << c_at : 15);
  for (uint32_t i = 0; i <= c_at; i++) fill_noise(b, i);
  char *old = malloc(BUFFER_BYTES);
  memcpy(old, b->memory[c_at], BUFFER_BYTES);
  for (int generated = 0; generated <= (jit != NULL); generated++) {
    memcpy(b->memory[c_at], old, BUFFER_BYTES);
    run_bench(b, generated ? jit : NULL);
    int64_t index[8] = {0}, kept[8];
    for (uint32_t d = 0; d < rank; d++) kept[d] = b->params.product.roles[d] == 3 ? 1 : dims[d];
    do {
      // Spot checks: a whole comparison would take longer than the runs.
      if (chance(1 + (uint32_t)(total >> 15)) == 0) expect(b, c_at, index, contract_at(b, index, old), "contract");
    } while (next(index, kept, rank));
  }
  free(old);
  bench_free(b);
}

// --- pairs -----------------------------------------------------------------------------------------------------------

enum { PAIRS_M = 15, PAIRS_N = 150, PAIRS_K = 9 };

// bf16 of all kinds, most of them so that their products are around the least normal number, or meet in sums.
static uint16_t any_bf16(void) {
  static const uint16_t special[] = {0,      0x8000, 1,      0x8001, 0x7f,   0x807f, 0x80,  0x8080,
                                     0x7f7f, 0xff7f, 0x7f80, 0xff80, 0x7fc0, 0x3f80, 0xbf80};
  const uint32_t how = chance(40);
  if (how == 0) return special[chance(15)];
  if (how == 1) return (uint16_t)chance(1 << 16);
  const uint32_t exponent = how < 30 ? 52 + chance(13) : 124 + chance(6), sign = chance(2) << 15;
  return (uint16_t)(sign | exponent << 7 | (chance(3) == 0 ? 0 : chance(128)));
}

typedef void gemm_fn(const leat_kern_gemm_t *g, const void *a, const void *b, void *c);

static void check_pairs(gemm_fn *gemm, const leat_kern_gemm_t *g) {
  static uint16_t a[PAIRS_M * PAIRS_K * 2 + 1], b[PAIRS_K * PAIRS_N * 2 + 1];
  static float c[PAIRS_M * PAIRS_N], old[PAIRS_M * PAIRS_N];
  const uint32_t odd = chance(2);  // words may lie at any even address
  for (size_t i = 0; i < sizeof a / sizeof *a; i++) a[i] = any_bf16();
  for (size_t i = 0; i < sizeof b / sizeof *b; i++) b[i] = any_bf16();
  for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
    const uint32_t bits = (uint32_t)any_bf16() << 16 | (chance(3) == 0 ? chance(1 << 16) : 0);
    memcpy(&old[i], &bits, sizeof bits);
  }
  memcpy(c, old, sizeof c);
  gemm(g, a + odd, b + odd, c);
  for (int64_t i = 0; i < PAIRS_M * PAIRS_N; i++) {
    const int64_t row = i / g->c_m, column = i % g->c_m;
    float expected = row < g->m && column < g->n && !g->add ? 0 : old[i];
    for (int64_t p = 0; p < g->k && row < g->m && column < g->n; p++) {
      for (int half = 1; half >= 0; half--) {
        const uint32_t x = (uint32_t)a[odd + 2 * (row * g->a_m + p * g->a_k) + half] << 16;
        const uint32_t y = (uint32_t)b[odd + 2 * (p * g->b_k + column) + half] << 16;
        ref_value_t fx, fy;
        memcpy(&fx.f32, &x, sizeof x);
        memcpy(&fy.f32, &y, sizeof y);
        expected = leat_ref_pair_term(fx, fy, (ref_value_t){.f32 = expected}).f32;
      }
    }
    if (isnan(expected) && isnan(c[i])) continue;
    if (memcmp(&expected, &c[i], sizeof expected) != 0)
      fail_msg("%ld x %ld x %ld, add %ld: [%ld,%ld] is %.9g, should be %.9g", g->m, g->n, g->k, g->add, row, column,
               (double)c[i], (double)expected);
  }
}

// Those of the level, and what the CPU has beside it; all numbers there are, and shapes around whole registers.
static void test_pairs(void **unused) {
  (void)unused;
  const leat_kern_t *kern = leat_native_cpu_kernels(level_isa());
  gemm_fn *const bodies[] = {kern->gemm_bf16, leat_native_cpu_gemm_bf16(kern)};
  state = 12345;
  for (uint32_t draw = 0; draw < draws(1000); draw++) {
    leat_kern_gemm_t g = {.m = 1 + chance(PAIRS_M), .n = 1 + chance(PAIRS_N), .k = chance(PAIRS_K + 1)};
    g.a_m = PAIRS_K, g.a_k = 1, g.b_k = PAIRS_N, g.c_m = PAIRS_N, g.add = chance(2);
    if (chance(2) == 0) g.a_m = 1, g.a_k = PAIRS_M;
    check_pairs(bodies[draw % 2], &g);
  }
}

static void test_contract(void **unused) {
  (void)unused;
  leat_native_jit_t *jit;
  assert_null(leat_native_jit_create(leat_native_cpu_kernels(level_isa()), level_isa(), &jit));
  for (uint32_t i = 0; i < draws(400); i++) one_contract(i, jit);
  if (jit != NULL) {
    leat_native_jit_counts_t n = leat_native_jit_counts(jit);
    print_message("kernels: %u requested, %u unavailable, %u unequal\n", n.requested, n.unavailable, n.unequal);
  }
  leat_native_jit_destroy(jit);
}

int main(void) {
  if (!level_begin()) return LEVEL_MISSING;
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_map), cmocka_unit_test(test_reduce),
                                     cmocka_unit_test(test_contract), cmocka_unit_test(test_pairs)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
