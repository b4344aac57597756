// SPDX-License-Identifier: Apache-2.0
// Indices, class labels and divisors are looked at before they can do harm: those that a run is given before it, those
// that forward computes after it. A run that must not go on leaves parameters, buffers and state as they were.
#include "run/bounds.h"

#include "pef/flow.h"

// --- what forward changes ------------------------------------------------------------------------------------------

static bool is_kept(const pef_symbol_t *symbol) {
  return symbol->kind == PEF_SYMBOL_PARAMETER || symbol->kind == PEF_SYMBOL_BUFFER || symbol->kind == PEF_SYMBOL_STATE;
}

static leat_status_t place_copies(leat_program_t *program, const bool *written) {
  const leat_pef_t *pef = program->pef;
  size_t total = 0;
  bool ok = true;
  for (uint32_t s = 0; s < pef->symbol_count && ok; s++) {
    if (written[s]) ok = leat_size_add(total, (size_t)pef->symbols[s].bytes, &total);
  }
  char *next = ok && total != 0 ? leat_arena_alloc(&program->arena, total) : NULL;
  if (!ok || (total != 0 && next == NULL))
    LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for copies of what forward updates");
  for (uint32_t s = 0; s < pef->symbol_count; s++) {
    if (!written[s]) continue;
    program->symbols[s].kept = next;
    next += pef->symbols[s].bytes;
  }
  return NULL;
}

leat_status_t leat_run_bounds_prepare(leat_program_t *program) {
  const leat_pef_t *pef = program->pef;
  for (uint32_t i = 0; i < pef->bound_count; i++)
    program->checks_after |= pef->symbols[pef->bounds[i].symbol].kind == PEF_SYMBOL_INTERNAL;
  if (!program->checks_after) return NULL;
  bool *written = leat_alloc_zero(pef->symbol_count + 1u, sizeof *written);
  if (written == NULL) return leat_out_of_memory();
  for (uint32_t c = 0; c < pef->call_count; c++) {
    if ((program->forward_types >> pef->calls[c].type & 1) != 0) leat_flow_mark_written(pef, &pef->calls[c], written);
  }
  for (uint32_t s = 0; s < pef->symbol_count; s++) written[s] &= is_kept(&pef->symbols[s]);
  leat_status_t status = place_copies(program, written);
  leat_free(written);
  return status;
}

static void copy_kept(const leat_program_t *program, bool back) {
  for (uint32_t s = 0; s < program->pef->symbol_count; s++) {
    const leat_run_symbol_t *symbol = &program->symbols[s];
    if (symbol->kept == NULL) continue;
    memcpy(back ? symbol->data : symbol->kept, back ? symbol->kept : symbol->data, program->pef->symbols[s].bytes);
  }
}

// --- looking -------------------------------------------------------------------------------------------------------

static int64_t load(uint8_t dtype, const char *data, uint64_t index) {
  switch (dtype) {
    case PEF_I8:
      return ((const int8_t *)data)[index];
    case PEF_I16:
      return ((const int16_t *)data)[index];
    case PEF_I32:
      return ((const int32_t *)data)[index];
    case PEF_I64:
      return ((const int64_t *)data)[index];
    default:  // u8 and bool
      return ((const uint8_t *)data)[index];
  }
}

static bool is_divisor(const pef_bound_t *b) { return b->low == 1 && b->high == -1; }

// What is legal, as one interval and one number more: an interval of unsigned numbers, where 1..-1 is all but 0. One
// that holds nothing becomes the number alone.
typedef struct legal_s {
  int64_t low, high, ignored;
} legal_t;

static legal_t legal_of(const pef_bound_t *b) {
  const bool empty = b->low > b->high && !is_divisor(b);
  const int64_t ignored = b->has_ignored != 0 ? b->ignored : b->low;
  return (legal_t){empty ? ignored : b->low, empty ? ignored : b->high, ignored};
}

static bool is_legal(legal_t legal, int64_t x) {
  return (uint64_t)x - (uint64_t)legal.low <= (uint64_t)legal.high - (uint64_t)legal.low || x == legal.ignored;
}

// Whether all of `count` elements are legal. Without branches, so that it costs a pass over memory: mostly they lie in
// the interval, of which sign bits tell where it is no wider than integers with a sign are.
#define DEFINE_RUN(type)                                                                                             \
  static inline uint64_t signs_of_##type(legal_t legal, const type##_t *x, int64_t count, int64_t step) {            \
    const uint64_t low = (uint64_t)legal.low, width = (uint64_t)legal.high - low;                                    \
    uint64_t signs = width;                                                                                          \
    _Pragma("GCC unroll 8") for (int64_t i = 0; i < count; i++) {                                                    \
      const uint64_t above = (uint64_t)(int64_t)x[i * step] - low;                                                   \
      signs |= above | (width - above);                                                                              \
    }                                                                                                                \
    return signs;                                                                                                    \
  }                                                                                                                  \
  static bool run_is_legal_##type(legal_t legal, const void *data, int64_t count, int64_t step) {                    \
    const type##_t *x = data;                                                                                        \
    const uint64_t signs = step == 1 ? signs_of_##type(legal, x, count, 1) : signs_of_##type(legal, x, count, step); \
    if (signs >> 63 == 0) return true;                                                                               \
    bool all = true;                                                                                                 \
    for (int64_t i = 0; i < count; i++) all &= is_legal(legal, x[i * step]);                                         \
    return all;                                                                                                      \
  }
DEFINE_RUN(int8)
DEFINE_RUN(uint8)
DEFINE_RUN(int16)
DEFINE_RUN(int32)
DEFINE_RUN(int64)

static bool run_is_legal(legal_t legal, uint8_t dtype, const void *data, int64_t count, int64_t step) {
  switch (dtype) {
    case PEF_I8:
      return run_is_legal_int8(legal, data, count, step);
    case PEF_I16:
      return run_is_legal_int16(legal, data, count, step);
    case PEF_I32:
      return run_is_legal_int32(legal, data, count, step);
    case PEF_I64:
      return run_is_legal_int64(legal, data, count, step);
    default:
      return run_is_legal_uint8(legal, data, count, step);
  }
}

// The first element that is not legal; false where all are. Dims but the innermost are counted like an odometer.
static bool find_illegal(const leat_program_t *program, const pef_bound_t *b, uint64_t *out_index) {
  const uint8_t dtype = program->pef->symbols[b->symbol].dtype;
  const char *data = program->symbols[b->symbol].data;
  const uint32_t outer = b->rank > 0 ? b->rank - 1u : 0;
  const int64_t count = b->rank > 0 ? b->dims[outer] : 1, step = b->rank > 0 ? b->strides[outer] : 0;
  const legal_t legal = legal_of(b);
  int64_t at[PEF_MAX_RANK] = {0};
  uint64_t first = b->offset;
  if (b->low > b->high && !is_divisor(b) && b->has_ignored == 0) {  // nothing is legal: an empty table
    *out_index = first;
    return true;
  }
  for (;;) {
    if (!run_is_legal(legal, dtype, data + first * leat_pef_dtype_bytes(dtype), count, step)) break;
    uint32_t d = outer;
    while (d-- > 0) {
      first += (uint64_t)b->strides[d];
      if (++at[d] < b->dims[d]) break;
      first -= (uint64_t)b->strides[d] * (uint64_t)b->dims[d];
      at[d] = 0;
    }
    if (d == UINT32_MAX) return false;
  }
  while (is_legal(legal, load(dtype, data, first))) first += (uint64_t)step;
  *out_index = first;
  return true;
}

// " in row 3", " at [3,0]": where element `index` of a symbol is.
static void put_place(leat_text_t *out, const pef_symbol_t *symbol, uint64_t index) {
  uint64_t elements = symbol->bytes / leat_pef_dtype_bytes(symbol->dtype);
  for (uint32_t d = 0; d < symbol->rank; d++) {
    elements /= symbol->dims[d] > 0 ? (uint64_t)symbol->dims[d] : 1;
    leat_text_put(out, "%s%llu", d == 0 ? symbol->rank > 1 ? " at [" : " in row " : ",",
                  (unsigned long long)(index / elements));
    index %= elements;
  }
  if (symbol->rank > 1) leat_text_put(out, "]");
}

// What an op demands and does not get.
static void put_demand(leat_text_t *out, const pef_bound_t *b, const char *origin) {
  if (is_divisor(b)) {
    leat_text_put(out, "and %s divides integers by it", origin);
    return;
  }
  leat_text_put(out, "out of range for %s, which takes ", origin);
  if (b->low <= b->high) leat_text_put(out, "%lld to %lld", (long long)b->low, (long long)b->high);
  if (b->low > b->high) leat_text_put(out, "nothing");
  if (b->has_ignored != 0) leat_text_put(out, ", or %lld to be ignored", (long long)b->ignored);
}

static leat_status_t tell(const leat_program_t *program, const pef_bound_t *b, uint64_t index) {
  const leat_pef_t *pef = program->pef;
  const pef_symbol_t *symbol = &pef->symbols[b->symbol];
  const int64_t value = load(symbol->dtype, program->symbols[b->symbol].data, index);
  leat_text_t text = {0};
  if (symbol->kind == PEF_SYMBOL_INTERNAL)
    leat_text_put(&text, "%s that the program computes", is_divisor(b) ? "a divisor" : "an index");
  else
    leat_text_put(&text, "%s \"%s\"", symbol->kind == PEF_SYMBOL_INPUT ? "input" : "symbol",
                  pef->strings + symbol->name);
  leat_text_put(&text, " is %lld", (long long)value);
  put_place(&text, symbol, index);
  leat_text_put(&text, ", ");
  put_demand(&text, b, pef->strings + b->origin);
  leat_status_t status =
      text.failed ? leat_out_of_memory() : leat_status_make(LEAT_OUT_OF_RANGE, "%s. Nothing was updated", text.data);
  leat_text_deinit(&text);
  return status;
}

static leat_status_t check(const leat_program_t *program, bool computed) {
  const leat_pef_t *pef = program->pef;
  for (uint32_t i = 0; i < pef->bound_count; i++) {
    const pef_bound_t *bound = &pef->bounds[i];
    uint64_t index;
    bool is_empty = false;
    for (uint32_t d = 0; d < bound->rank; d++) is_empty |= bound->dims[d] == 0;
    if ((pef->symbols[bound->symbol].kind == PEF_SYMBOL_INTERNAL) != computed || is_empty) continue;
    if (find_illegal(program, bound, &index)) return tell(program, bound, index);
  }
  return NULL;
}

leat_status_t leat_run_bounds_before(const leat_program_t *program, uint32_t types) {
  if (program->pef->bound_count == 0 || (types & (1u << PEF_FWD | 1u << PEF_BCKWD)) == 0) return NULL;
  return check(program, false);
}

leat_status_t leat_run_bounds_run(leat_program_t *program, uint32_t types) {
  LEAT_TRY(leat_run_bounds_before(program, types));
  const uint32_t forward = types & program->forward_types, rest = types & ~forward & program->section_types;
  if (!program->checks_after || (types & 1u << PEF_FWD) == 0) return leat_run_exec_run(program, types);
  copy_kept(program, false);
  leat_status_t status = leat_run_exec_run(program, forward);
  if (status == NULL) status = check(program, true);
  if (status != NULL) copy_kept(program, true);
  if (status == NULL && rest != 0) status = leat_run_exec_run(program, rest);
  return status;
}

leat_status_t leat_run_bounds_run_calls(leat_program_t *program, uint32_t first, uint32_t count) {
  uint32_t types = 0;
  for (uint32_t c = first; c < first + count; c++) types |= 1u << program->calls[c].type;
  LEAT_TRY(leat_run_bounds_before(program, types));
  LEAT_TRY(leat_run_exec_calls(program, first, count));
  return program->checks_after && (types >> PEF_FWD & 1) != 0 ? check(program, true) : NULL;
}
