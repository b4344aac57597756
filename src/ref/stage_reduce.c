// SPDX-License-Identifier: Apache-2.0
// REDUCE, in the order that pef_format.h states; SCAN.
#include "ref/stage.h"
#include "ref/sum.h"

enum { LANES = 16, WIDE = 4 * LANES };  // partial sums of a block; of one of a long sum, before it ends

// One element of the result. Its terms are counted in lexicographic order of the reduced dims.
typedef struct reduce_s {
  const ref_operand_t *in;
  uint32_t fn, class_;
  int64_t at[PEF_MAX_RANK];       // of the result: 0 in the reduced dims
  int64_t reduced[PEF_MAX_RANK];  // extents of the reduced dims, 1 of others
  int64_t terms, chain;
  int64_t run, runs;  // sums in lanes: terms of a run of the innermost dim, and how many; else 0
  int64_t lane;       // of LANES, which is summed
} reduce_t;

static ref_value_t term(const reduce_t *r, int64_t number) {
  int64_t index[PEF_MAX_RANK];
  leat_ref_nth(number, r->reduced, index);
  for (uint32_t d = 0; d < PEF_MAX_RANK; d++) index[d] += r->at[d];
  return leat_ref_read(r->in, r->class_, index);
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t ratio_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// --- sequential --------------------------------------------------------------------------------------------------

static ref_value_t block_of_terms(const void *sum, int64_t block) {
  const reduce_t *r = sum;
  const int64_t length = r->chain > 0 ? r->chain : r->terms, first = block * length;
  ref_value_t value = leat_ref_neutral(r->fn, r->class_);
  for (int64_t t = first; t < least(first + length, r->terms); t++) {
    value = leat_ref_fold(r->fn, r->class_, value, term(r, t));
  }
  return value;
}

static ref_value_t in_order(const reduce_t *r) {
  const int64_t blocks = r->chain > 0 ? ratio_up(r->terms, r->chain) : 1;
  return leat_ref_pairwise(r->class_, block_of_terms, r, 0, blocks > 0 ? blocks : 1);
}

// --- lanes -------------------------------------------------------------------------------------------------------

// Terms [first, end) of each of the runs [run_first, run_end).
typedef struct lanes_block_s {
  int64_t run_first, run_end, first, end;
} lanes_block_t;

static bool is_cut_in_runs(const reduce_t *r) { return ratio_up(r->run, WIDE) > r->chain; }
static int64_t runs_of_block(const reduce_t *r) { return r->chain / ratio_up(r->run, WIDE); }

static int64_t count_lanes_blocks(const reduce_t *r) {
  if (r->chain == 0) return 1;
  return is_cut_in_runs(r) ? r->runs * ratio_up(r->run, WIDE * r->chain) : ratio_up(r->runs, runs_of_block(r));
}

static lanes_block_t lanes_block(const reduce_t *r, int64_t block) {
  if (r->chain == 0) return (lanes_block_t){0, r->runs, 0, r->run};
  if (is_cut_in_runs(r)) {
    const int64_t length = WIDE * r->chain, blocks = ratio_up(r->run, length), first = block % blocks * length;
    return (lanes_block_t){block / blocks, block / blocks + 1, first, least(first + length, r->run)};
  }
  const int64_t first = block * runs_of_block(r);
  return (lanes_block_t){first, least(first + runs_of_block(r), r->runs), 0, r->run};
}

// Every `width`-th term of a block from `lane` on.
static ref_value_t lane_of_block(const reduce_t *r, lanes_block_t b, int64_t lane, int64_t width) {
  ref_value_t value = leat_ref_neutral(PEF_FN_SUM, r->class_);
  for (int64_t run = b.run_first; run < b.run_end; run++) {
    for (int64_t i = b.first + lane; i < b.end; i += width) {
      value = leat_ref_add(r->class_, value, term(r, run * r->run + i));
    }
  }
  return value;
}

static ref_value_t block_of_lane(const void *sum, int64_t block) {
  const reduce_t *r = sum;
  const lanes_block_t b = lanes_block(r, block);
  if (r->chain == 0) return lane_of_block(r, b, r->lane, LANES);
  ref_value_t quarter[4];
  for (int q = 0; q < 4; q++) quarter[q] = lane_of_block(r, b, r->lane + q * LANES, WIDE);
  return leat_ref_add(r->class_, leat_ref_add(r->class_, quarter[0], quarter[2]),
                      leat_ref_add(r->class_, quarter[1], quarter[3]));
}

static ref_value_t in_lanes(reduce_t *r) {
  ref_value_t lanes[LANES];
  for (r->lane = 0; r->lane < LANES; r->lane++) {
    lanes[r->lane] = leat_ref_pairwise(r->class_, block_of_lane, r, 0, count_lanes_blocks(r));
  }
  for (int half = LANES / 2; half > 0; half /= 2) {
    for (int l = 0; l < half; l++) lanes[l] = leat_ref_add(r->class_, lanes[l], lanes[l + half]);
  }
  return lanes[0];
}

// --- the stage ---------------------------------------------------------------------------------------------------

static ref_value_t winner(const reduce_t *r) {
  int64_t where = 0;
  ref_value_t best = term(r, 0);
  for (int64_t t = 1; t < r->terms && !leat_ref_is_nan(r->class_, best); t++) {
    const ref_value_t x = term(r, t);
    const bool wins = r->fn == PEF_FN_ARGMAX ? leat_ref_less(r->class_, best, x) : leat_ref_less(r->class_, x, best);
    if (wins || leat_ref_is_nan(r->class_, x)) best = x, where = t;
  }
  return (ref_value_t){.i64 = where};
}

// A float sum whose innermost reduced dim is the innermost one, with stride 1.
static bool goes_by_lanes(const reduce_t *r, uint32_t innermost) {
  return r->fn == PEF_FN_SUM && r->class_ != PEF_CLASS_I64 && r->terms > 0 && innermost + 1 == r->in->rank &&
         r->in->file->strides[innermost] == 1;
}

static ref_value_t reduced(reduce_t *r) {
  if (r->fn == PEF_FN_ARGMAX || r->fn == PEF_FN_ARGMIN) return winner(r);
  return r->runs > 0 ? in_lanes(r) : in_order(r);
}

void leat_ref_reduce(const ref_stage_t *stage, const leat_run_tile_t *tile) {
  const pef_reduce_t *params = &stage->file->params.reduce;
  const ref_operand_t in = leat_ref_operand(stage, PEF_REDUCE_in, tile);
  const ref_operand_t out = leat_ref_operand(stage, PEF_REDUCE_out, tile);
  reduce_t r = {.in = &in, .fn = stage->file->fn, .class_ = leat_pef_dtype_class(in.dtype), .chain = params->chain};
  int64_t kept[PEF_MAX_RANK];
  uint32_t innermost = PEF_MAX_RANK;
  for (uint32_t d = 0; d < PEF_MAX_RANK; d++) {
    const bool is_reduced = (params->dims >> d & 1) != 0;
    r.reduced[d] = is_reduced ? in.dims[d] : 1;
    kept[d] = is_reduced ? 1 : in.dims[d];
    if (is_reduced) innermost = d;
  }
  r.terms = leat_ref_count(r.reduced);
  if (goes_by_lanes(&r, innermost)) {
    r.run = in.dims[innermost];
    r.runs = r.terms / r.run;
  }
  const bool is_arg = r.fn == PEF_FN_ARGMAX || r.fn == PEF_FN_ARGMIN;
  do {
    leat_ref_write(&out, is_arg ? PEF_CLASS_I64 : r.class_, r.at, reduced(&r));
  } while (leat_ref_next(r.at, kept));
}

void leat_ref_scan(const ref_stage_t *stage, const leat_run_tile_t *tile) {
  const pef_scan_t *params = &stage->file->params.scan;
  const ref_operand_t in = leat_ref_operand_of_bytes(stage, PEF_SCAN_in, tile);
  const ref_operand_t out = leat_ref_operand_of_bytes(stage, PEF_SCAN_out, tile);
  const uint32_t fn = stage->file->fn, dim = (uint32_t)params->dim;
  const bool wide = params->wide != 0;
  const uint32_t class_ = wide ? PEF_CLASS_F64 : leat_pef_dtype_class(in.dtype);
  int64_t lines[PEF_MAX_RANK], line[PEF_MAX_RANK] = {0}, count = in.dims[dim];
  memcpy(lines, in.dims, sizeof lines);
  lines[dim] = 1;
  do {
    int64_t index[PEF_MAX_RANK];
    memcpy(index, line, sizeof index);
    ref_value_t so_far = leat_ref_neutral(fn, class_);
    for (int64_t k = 0; k < count; k++) {
      index[dim] = params->reverse != 0 ? count - 1 - k : k;
      const ref_value_t x = leat_ref_read(&in, class_, index);
      so_far = k == 0 && !wide ? x : leat_ref_step(fn, class_, so_far, x);
      leat_ref_write(&out, class_, index, so_far);
      if (!wide) so_far = leat_ref_read(&out, class_, index);
    }
  } while (leat_ref_next(line, lines));
}
