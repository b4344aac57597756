// SPDX-License-Identifier: Apache-2.0
// MAP as code that goes through rows by itself. Sums (map_sum_t) are what REDUCE stages behind it would make of what it
// stores: in the same order, block by block, and added up by the same kernels; their results wait in the workspace.
#include "base/loops.h"
#include "native/map_code.h"
#include "native/map_run.h"
#include "native/reduce_plan.h"

// --- pointers -----------------------------------------------------------------------------------------------------

// Of all operands: to the element at `index` of the first `count` dims, and `at` of the innermost.
static void place(map_run_t *run, const int64_t index[8], uint32_t count, int64_t at) {
  const map_plan_t *plan = run->plan;
  const uint32_t inner = plan->rank - 1;
  for (uint32_t l = 0; l < plan->leaf_count; l++) {
    const map_leaf_t *leaf = &plan->leaves[l];
    if (leaf->kind == MAP_LEAF_CONSTANT) continue;
    const int64_t elements = leat_native_map_offset(leaf->strides, index, count) + at * leaf->strides[inner];
    run->value[leaf->value] = run->leaf_at[l] + leat_native_map_bytes(elements, leaf->operand->element_bytes);
  }
  for (uint32_t s = 0; s < plan->store_count; s++) {
    const map_store_t *store = &plan->stores[s];
    const int64_t elements = leat_native_map_offset(store->strides, index, count) + at * store->strides[inner];
    run->value[store->value] = run->store_at[s] + leat_native_map_bytes(elements, store->element_bytes);
  }
}

// From a row to the next: so many elements along a dim.
static void set_steps(map_run_t *run, uint32_t dim, int64_t elements) {
  const map_plan_t *plan = run->plan;
  for (uint32_t l = 0; l < plan->leaf_count; l++) {
    const map_leaf_t *leaf = &plan->leaves[l];
    if (leaf->kind == MAP_LEAF_CONSTANT) continue;
    run->step[leaf->value] = leat_native_map_bytes(elements * leaf->strides[dim], leaf->operand->element_bytes);
  }
  for (uint32_t s = 0; s < plan->store_count; s++) {
    const map_store_t *store = &plan->stores[s];
    run->step[store->value] = leat_native_map_bytes(elements * store->strides[dim], store->element_bytes);
  }
}

static void call(const map_run_t *run, int64_t n, int64_t rows) {
  run->plan->parts[0].code(run->value, n, leat_native_map_code_words(), rows);
}

static void run_rows(map_run_t *run) {
  const uint32_t inner = run->plan->rank - 1, outer = inner > 0 ? inner - 1 : 0;
  int64_t index[8] = {0};
  set_steps(run, outer, 1);
  do {
    place(run, index, outer, 0);
    call(run, run->dims[inner], inner > 0 ? run->dims[outer] : 1);
  } while (leat_index_next(outer, run->dims, index));
}

// --- sums ---------------------------------------------------------------------------------------------------------

typedef struct sums_s {
  map_run_t *run;
  const map_sums_t *of;
  const reduce_plan_t *reduce;  // one of them
  const reduce_pairs_fns_t *kernels;
  leat_kern_pairs_t pairs[MAP_SUMS_MAX];
  char *results[MAP_SUMS_MAX];  // where the next goes
} sums_t;

static char *accumulators(const sums_t *s, uint32_t sum) {
  return s->run->tile->workspace + s->of->accumulators_at + (size_t)sum * MAP_SUM_ROWS * MAP_SUM_LANES * sizeof(float);
}

static void start(sums_t *s) {
  for (uint32_t i = 0; i < s->of->count; i++)
    s->pairs[i] =
        (leat_kern_pairs_t){.rows = s->run->tile->workspace + s->of->pairs_at + (size_t)i * s->of->pairs_bytes,
                            .width = s->of->width,
                            .block = s->of->chain * MAP_SUM_LANES};
}

// `rows` rows with lanes of their own, or the same for all.
static void clear_lanes(sums_t *s, int64_t rows, bool own) {
  for (uint32_t i = 0; i < s->of->count; i++) {
    const uint16_t at = s->of->of[i].at;
    s->run->value[at] = accumulators(s, i);
    s->run->step[at] = own ? MAP_SUM_LANES * (int64_t)sizeof(float) : 0;
    memset(accumulators(s, i), 0, (size_t)(own ? rows : 1) * MAP_SUM_LANES * sizeof(float));
  }
}

static void close_lanes(sums_t *s, int64_t blocks) {
  for (uint32_t i = 0; i < s->of->count; i++)
    s->kernels->lanes(&s->pairs[i], accumulators(s, i), MAP_SUM_LANES, blocks, MAP_SUM_LANES, true);
}

// `m` rows with a run of so many blocks each, from `index` on: block by block, each with its own lanes.
static void add_rows(sums_t *s, const int64_t index[8], int64_t m, int64_t blocks) {
  map_run_t *run = s->run;
  const uint32_t inner = run->plan->rank - 1;
  const int64_t n = run->dims[inner], block = s->of->chain * MAP_SUM_LANES, bytes = MAP_SUM_LANES * sizeof(float);
  for (uint32_t i = 0; i < s->of->count; i++) {
    if (s->of->of[i].lanes) memset(accumulators(s, i), 0, (size_t)(m * blocks * bytes));
  }
  for (int64_t b = 0; b < blocks; b++) {
    place(run, index, inner, b * block);
    for (uint32_t i = 0; i < s->of->count; i++) {
      const bool lanes = s->of->of[i].lanes;
      run->value[s->of->of[i].at] =
          lanes ? accumulators(s, i) + b * bytes : (char *)s->pairs[i].rows + b * block * (int64_t)sizeof(float);
      run->step[s->of->of[i].at] = lanes ? blocks * bytes : 0;
    }
    call(run, n - b * block < block ? n - b * block : block, m);
  }
  for (uint32_t i = 0; i < s->of->count; i++) {
    if (!s->of->of[i].lanes) continue;
    const int64_t lanes = blocks * MAP_SUM_LANES;
    s->kernels->rows(s->results[i], accumulators(s, i), lanes, m, lanes, MAP_SUM_LANES);
    s->results[i] += m * (int64_t)sizeof(float);
  }
}

// Of each result one run, of few blocks: several of them go together.
static void sum_rows(sums_t *s, int64_t blocks) {
  map_run_t *run = s->run;
  const uint32_t inner = run->plan->rank - 1, last = inner > 0 ? inner - 1 : 0;
  const int64_t rows = inner > 0 ? run->dims[last] : 1, together = MAP_SUM_ROWS / blocks;
  int64_t index[8] = {0};
  set_steps(run, last, 1);
  do {
    for (int64_t r = 0, m; r < rows; r += m) {
      m = rows - r < together ? rows - r : together;
      index[last] = inner > 0 ? r : 0;
      add_rows(s, index, m, blocks);
    }
    index[last] = 0;
  } while (leat_index_next(last, run->dims, index));
}

// A run that is longer than a block: blocks of it are rows, with what is left of it the last.
static void sum_long_run(sums_t *s, const int64_t index[8]) {
  map_run_t *run = s->run;
  const uint32_t inner = run->plan->rank - 1;
  const int64_t n = run->dims[inner], block = s->of->chain * MAP_SUM_LANES;
  set_steps(run, inner, block);
  for (int64_t i = 0; i < n;) {
    int64_t rows = (n - i) / block < MAP_SUM_ROWS ? (n - i) / block : MAP_SUM_ROWS;
    const int64_t length = rows == 0 ? n - i : block;
    if (rows == 0) rows = 1;
    place(run, index, inner, i);
    clear_lanes(s, rows, true);
    call(run, length, rows);
    close_lanes(s, rows);
    i += rows * length;
  }
}

// Runs that are no longer than a block, of which a block takes several.
static void sum_short_runs(sums_t *s, int64_t index[8]) {
  map_run_t *run = s->run;
  const uint32_t kept = s->of->kept_count, inner = run->plan->rank - 1;
  const int64_t n = run->dims[inner], steps = (n + MAP_SUM_LANES - 1) / MAP_SUM_LANES, most = s->of->chain / steps;
  const int64_t runs = inner > kept ? run->dims[inner - 1] : 1;
  int64_t open = 0;
  if (inner > kept) set_steps(run, inner - 1, 1);
  do {
    for (int64_t r = 0, m; r < runs; r += m) {
      m = runs - r < most - open ? runs - r : most - open;
      if (inner > kept) index[inner - 1] = r;
      place(run, index, inner, 0);
      if (open == 0) clear_lanes(s, 1, false);
      for (uint32_t i = 0; i < s->of->count; i++) run->value[s->of->of[i].at] = accumulators(s, i);
      call(run, n, m);
      open += m;
      if (open == most) close_lanes(s, 1), open = 0;
    }
    if (inner > kept) index[inner - 1] = 0;
  } while (inner > kept + 1 && leat_index_next(inner - 1 - kept, run->dims + kept, index + kept));
  if (open > 0) close_lanes(s, 1);
}

static void sum_lanes(sums_t *s) {
  map_run_t *run = s->run;
  const uint32_t kept = s->of->kept_count, inner = run->plan->rank - 1;
  const int64_t block = s->of->chain * MAP_SUM_LANES, blocks = (run->dims[inner] - 1) / block + 1;
  const bool is_long = blocks > 1;
  int64_t index[8] = {0};
  if (kept == inner && blocks <= MAP_SUM_ROWS) {
    sum_rows(s, blocks);
    return;
  }
  do {
    start(s);
    if (is_long) {
      do sum_long_run(s, index);
      while (leat_index_next(inner - kept, run->dims + kept, index + kept));
    } else {
      sum_short_runs(s, index);
    }
    for (uint32_t i = 0; i < s->of->count; i++) {
      leat_kern_pairs_t *p = &s->pairs[i];
      s->kernels->end(p->rows, p->rows, p->width, p->count, 16);
      s->reduce->lanes_end(s->results[i], p->rows);
      s->results[i] += sizeof(float);
    }
  } while (leat_index_next(kept, run->dims, index));
}

static void open_columns(sums_t *s, int64_t columns) {
  for (uint32_t i = 0; i < s->of->count; i++) {
    if (!s->of->of[i].lanes) memset(s->pairs[i].rows, 0, (size_t)columns * sizeof(float));
  }
}

static void close_columns(sums_t *s, int64_t columns) {
  for (uint32_t i = 0; i < s->of->count; i++) {
    leat_kern_pairs_t *p = &s->pairs[i];
    if (!s->of->of[i].lanes) s->kernels->close(p->rows, p->width, p->count++, columns);
  }
}

static void end_columns(sums_t *s, int64_t columns) {
  for (uint32_t i = 0; i < s->of->count; i++) {
    leat_kern_pairs_t *p = &s->pairs[i];
    if (s->of->of[i].lanes) continue;
    s->kernels->end(s->results[i], p->rows, p->width, p->count, columns);
    s->results[i] += columns * (int64_t)sizeof(float);
  }
}

// Both kinds: rows are summed in lanes, and to columns, for each index of the dims that are kept by both.
static void sum_both(sums_t *s) {
  map_run_t *run = s->run;
  const uint32_t kept = s->of->kept_count, inner = run->plan->rank - 1, last = inner - 1;
  const int64_t n = run->dims[inner], blocks = (n - 1) / (s->of->chain * MAP_SUM_LANES) + 1;
  const int64_t rows = run->dims[last], together = MAP_SUM_ROWS / blocks;
  int64_t index[8] = {0};
  set_steps(run, last, 1);
  do {
    int64_t open = 0;
    start(s);
    do {
      for (int64_t r = 0, m; r < rows; r += m) {
        m = rows - r < together ? rows - r : together;
        if (m > s->of->chain - open) m = s->of->chain - open;
        index[last] = r;
        if (open == 0) open_columns(s, n);
        add_rows(s, index, m, blocks);
        open += m;
        if (open == s->of->chain) close_columns(s, n), open = 0;
      }
      index[last] = 0;
    } while (leat_index_next(last - kept, run->dims + kept, index + kept));
    if (open > 0) close_columns(s, n);
    end_columns(s, n);
  } while (leat_index_next(kept, run->dims, index));
}

// Columns [at, at + n) of one index of the kept dims around.
static void sum_columns_of(sums_t *s, int64_t index[8], int64_t at, int64_t n) {
  map_run_t *run = s->run;
  const uint32_t kept = s->of->kept_count, last = run->plan->rank - 2;
  const int64_t rows = run->dims[last];
  int64_t open = 0;
  start(s);
  do {
    for (int64_t r = 0, m; r < rows; r += m) {
      m = rows - r < s->of->chain - open ? rows - r : s->of->chain - open;
      index[last] = r;
      place(run, index, last + 1, at);
      for (uint32_t i = 0; i < s->of->count; i++) {
        const uint16_t value = s->of->of[i].at;
        run->value[value] = s->pairs[i].rows;
        run->step[value] = 0;
      }
      if (open == 0) open_columns(s, n);
      call(run, n, m);
      open += m;
      if (open == s->of->chain) close_columns(s, n), open = 0;
    }
    index[last] = 0;
  } while (leat_index_next(last - kept, run->dims + kept, index + kept));
  if (open > 0) close_columns(s, n);
  end_columns(s, n);
}

static void sum_columns(sums_t *s) {
  map_run_t *run = s->run;
  const uint32_t inner = run->plan->rank - 1;
  int64_t index[8] = {0};
  set_steps(run, inner - 1, 1);
  do {
    for (int64_t i = 0; i < run->dims[inner]; i += REDUCE_STRIP)
      sum_columns_of(s, index, i, run->dims[inner] - i < REDUCE_STRIP ? run->dims[inner] - i : REDUCE_STRIP);
  } while (leat_index_next(s->of->kept_count, run->dims, index));
}

void leat_native_map_nest_run(map_run_t *run) {
  const map_sums_t *of = &run->plan->sums;
  if (of->count == 0) {
    run_rows(run);
    return;
  }
  const reduce_plan_t *reduce = of->of[0].stage->plan;
  sums_t s = {.run = run, .of = of, .reduce = reduce, .kernels = &reduce->pairs};
  for (uint32_t i = 0; i < of->count; i++) s.results[i] = run->tile->workspace + of->of[i].results_at;
  if (of->lanes && of->columns) {
    sum_both(&s);
  } else if (of->lanes) {
    sum_lanes(&s);
  } else {
    sum_columns(&s);
  }
  for (uint32_t i = 0; i < of->count; i++)
    leat_native_reduce_store(of->of[i].stage, run->tile, run->tile->workspace + of->of[i].results_at);
}
