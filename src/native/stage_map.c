// SPDX-License-Identifier: Apache-2.0
// The strip interpreter: runs a MAP plan over a tile. Pure copies go through two-dimensional copy kernels.
#include "base/loops.h"
#include "native/map_code.h"
#include "native/map_run.h"

static int64_t class_bytes(uint8_t class_) { return class_ == PEF_CLASS_F32 ? 4 : 8; }

// One run of a leaf: n elements from `offset` (elements, or index of an iota) at the stride of the innermost dim.
static void load_run(const map_run_t *run, uint32_t leaf_index, void *out, int64_t offset, int64_t n) {
  const map_leaf_t *leaf = &run->plan->leaves[leaf_index];
  int64_t stride = leaf->strides[run->plan->rank - 1];
  if (leaf->is_iota) {
    leaf->iota(out, leaf->iota_first + leaf->iota_row_mult * run->tile->r0 + offset, stride, n);
  } else {
    leaf->load(out, run->leaf_at[leaf_index] + leat_native_map_bytes(offset, leaf->operand->element_bytes), stride, n);
  }
}

static void set_immediate(const map_leaf_t *leaf, void *out) {
  if (leaf->class_ == PEF_CLASS_F32) {
    union {
      uint64_t u;
      double d;
    } wide = {.u = leaf->immediate};
    *(float *)out = (float)wide.d;
  } else {
    *(uint64_t *)out = leaf->immediate;
  }
}

static void fill_periodic(const map_run_t *run, uint32_t leaf_index) {
  const map_leaf_t *leaf = &run->plan->leaves[leaf_index];
  const map_plan_t *plan = run->plan;
  char *out = (char *)run->tile->workspace + plan->value_offset[leaf->value];
  int64_t bytes = class_bytes(leaf->class_), total = leaf->period + plan->strip;
  for (int64_t done = 0; done < total; done += leaf->period) {
    int64_t n = total - done < leaf->period ? total - done : leaf->period;
    // The periodic dims are contiguous: one run of stride 1.
    if (leaf->is_iota) {
      leaf->iota(out + done * bytes, leaf->iota_first, 1, n);
    } else {
      leaf->load(out + done * bytes, run->leaf_at[leaf_index], 1, n);
    }
  }
}

static void run_step(const map_run_t *run, const map_step_t *step, int64_t n) {
  void *const *value = run->value;
  step->fn(value[step->dst], value[step->a], value[step->b], value[step->c], n);
}

static void run_parts(const map_run_t *run, int64_t n) {
  const map_part_t *part = run->plan->parts, *end = part + run->plan->part_count;
  for (; part < end; part++) {
    if (part->code != NULL) {
      part->code(run->value, n, leat_native_map_code_words(), 1);
    } else {
      run_step(run, &run->plan->steps[part->first], n);
    }
  }
}

// Once the leaves of a scope have their element: the elements that are computed of them, and n of each in its strip.
static void run_once(const map_run_t *run, map_scope_t scope, int64_t n) {
  const map_plan_t *plan = run->plan;
  const uint32_t first = scope == MAP_TILE ? 0 : plan->step_end[scope - 1];
  for (uint32_t s = first; s < plan->step_end[scope]; s++) run_step(run, &plan->steps[s], 1);
  for (uint32_t i = scope == MAP_TILE ? 0 : plan->spread_end[scope - 1]; i < plan->spread_end[scope]; i++) {
    void *out = run->value[plan->spreads[i].value];
    if (plan->spreads[i].bytes == 4) {
      run->kern->fill_b4(out, *(uint32_t *)out, n);
    } else {
      run->kern->fill_b8(out, *(uint64_t *)out, n);
    }
  }
}

static void begin(map_run_t *run, const leat_native_stage_t *stage, const leat_run_tile_t *tile) {
  const map_plan_t *plan = stage->plan;
  run->plan = plan;
  run->tile = tile;
  run->kern = stage->kern;
  run->value = (void **)(void *)tile->workspace;
  run->step = (int64_t *)(void *)(run->value + plan->value_count);
  run->leaf_at = (char **)(run->step + plan->value_count + 1);
  run->store_at = run->leaf_at + plan->leaf_count;
  run->leaf_offset = (int64_t *)(run->store_at + plan->store_count);
  run->store_offset = run->leaf_offset + plan->leaf_count;
  memcpy(run->dims, plan->dims, sizeof run->dims);
  if (plan->row_dim < 8) run->dims[plan->row_dim] *= tile->rows;
  for (uint32_t v = 0; v < plan->value_count; v++) {
    if (plan->value_offset[v] >= 0) run->value[v] = tile->workspace + plan->value_offset[v];
  }
  for (uint32_t i = 0; i < plan->store_count; i++) {
    run->store_at[i] = leat_native_operand_at(plan->stores[i].operand, tile);
  }
  for (uint32_t i = 0; i < plan->leaf_count; i++) {
    const map_leaf_t *leaf = &plan->leaves[i];
    if (leaf->operand != NULL) run->leaf_at[i] = leat_native_operand_at(leaf->operand, tile);
    if (leaf->is_immediate) {
      set_immediate(leaf, run->value[leaf->value]);
    } else if (leaf->kind == MAP_LEAF_CONSTANT) {
      load_run(run, i, run->value[leaf->value], 0, 1);
    } else if (leaf->kind == MAP_LEAF_PERIODIC) {
      fill_periodic(run, i);
    }
  }
  run_once(run, MAP_TILE, plan->strip);
}

// --- row mode: an odometer over the outer dims, strips along the innermost ---------------------------------------

static void strip_of_row(map_run_t *run, int64_t i, int64_t n) {
  const map_plan_t *plan = run->plan;
  uint32_t inner = plan->rank - 1;
  for (uint32_t l = 0; l < plan->leaf_count; l++) {
    const map_leaf_t *leaf = &plan->leaves[l];
    if (leaf->kind == MAP_LEAF_ALIAS) {
      run->value[leaf->value] =
          run->leaf_at[l] + leat_native_map_bytes(run->leaf_offset[l] + i, leaf->operand->element_bytes);
    } else if (leaf->kind == MAP_LEAF_LOAD) {
      load_run(run, l, run->value[leaf->value], run->leaf_offset[l] + i * leaf->strides[inner], n);
    }
  }
  for (uint32_t s = 0; s < plan->store_count; s++) {
    const map_store_t *store = &plan->stores[s];
    if (!store->in_place) continue;
    run->value[store->value] = run->store_at[s] + leat_native_map_bytes(run->store_offset[s] + i, store->element_bytes);
  }
  run_parts(run, n);
  for (uint32_t s = 0; s < plan->store_count; s++) {
    const map_store_t *store = &plan->stores[s];
    if (store->in_place) continue;
    int64_t offset = run->store_offset[s] + i * store->strides[inner];
    store->store(run->store_at[s] + leat_native_map_bytes(offset, store->element_bytes), store->strides[inner],
                 run->value[store->value], n);
  }
}

// A row in strips of nearly the same length: a short one costs the calls of a long one. Whole vectors, but for the
// last.
static int64_t even_strip(int64_t extent, int64_t most) {
  const int64_t count = (extent + most - 1) / most, strip = count > 0 ? (extent + count - 1) / count : most;
  return (strip + MAP_STRIP_STEP - 1) / MAP_STRIP_STEP * MAP_STRIP_STEP;
}

static void run_rows(map_run_t *run) {
  const map_plan_t *plan = run->plan;
  uint32_t inner = plan->rank - 1;
  int64_t extent = run->dims[inner], strip = even_strip(extent, plan->strip);
  int64_t first_strip = extent < strip ? extent : strip;
  int64_t index[8] = {0};
  do {
    for (uint32_t l = 0; l < plan->leaf_count; l++) {
      run->leaf_offset[l] = leat_native_map_offset(plan->leaves[l].strides, index, inner);
      if (plan->leaves[l].kind != MAP_LEAF_ROW) continue;
      load_run(run, l, run->value[plan->leaves[l].value], run->leaf_offset[l], 1);
    }
    run_once(run, MAP_ROW, first_strip);
    for (uint32_t s = 0; s < plan->store_count; s++) {
      run->store_offset[s] = leat_native_map_offset(plan->stores[s].strides, index, inner);
    }
    for (int64_t i = 0; i < extent; i += strip) strip_of_row(run, i, extent - i < strip ? extent - i : strip);
  } while (leat_index_next(inner, run->dims, index));
}

// --- linear mode: strips cross rows of the innermost dim; what is not contiguous is gathered run by run ------------

typedef void (*map_visit_t)(const map_run_t *run, uint32_t which, int64_t offset, int64_t done, int64_t n);

static void visit_load(const map_run_t *run, uint32_t which, int64_t offset, int64_t done, int64_t n) {
  const map_leaf_t *leaf = &run->plan->leaves[which];
  load_run(run, which, (char *)run->value[leaf->value] + done * class_bytes(leaf->class_), offset, n);
}
static void visit_store(const map_run_t *run, uint32_t which, int64_t offset, int64_t done, int64_t n) {
  const map_store_t *store = &run->plan->stores[which];
  const char *from = (const char *)run->value[store->value] + done * store->value_bytes;
  store->store(run->store_at[which] + leat_native_map_bytes(offset, store->element_bytes),
               store->strides[run->plan->rank - 1], from, n);
}

// Visits the runs of the innermost dim that elements [0, n) after `index` consist of.
static void visit_runs(const map_run_t *run, const int64_t strides[8], const int64_t start[8], int64_t n,
                       map_visit_t visit, uint32_t which) {
  uint32_t inner = run->plan->rank - 1;
  int64_t index[8];
  memcpy(index, start, sizeof index);
  for (int64_t done = 0; done < n;) {
    int64_t left = run->dims[inner] - index[inner], count = n - done < left ? n - done : left;
    visit(run, which, leat_native_map_offset(strides, index, inner + 1), done, count);
    done += count;
    index[inner] = 0;
    leat_index_next(inner, run->dims, index);
  }
}

static void strip_across_rows(map_run_t *run, const int64_t index[8], int64_t i, int64_t n) {
  const map_plan_t *plan = run->plan;
  for (uint32_t l = 0; l < plan->leaf_count; l++) {
    const map_leaf_t *leaf = &plan->leaves[l];
    if (leaf->kind == MAP_LEAF_ALIAS) {
      run->value[leaf->value] = run->leaf_at[l] + leat_native_map_bytes(i, leaf->operand->element_bytes);
    } else if (leaf->kind == MAP_LEAF_PERIODIC) {
      run->value[leaf->value] =
          run->tile->workspace + plan->value_offset[leaf->value] + i % leaf->period * class_bytes(leaf->class_);
    } else if (leaf->kind == MAP_LEAF_LOAD) {
      visit_runs(run, leaf->strides, index, n, visit_load, l);
    }
  }
  for (uint32_t s = 0; s < plan->store_count; s++) {
    const map_store_t *store = &plan->stores[s];
    if (store->in_place) run->value[store->value] = run->store_at[s] + leat_native_map_bytes(i, store->element_bytes);
  }
  run_parts(run, n);
  for (uint32_t s = 0; s < plan->store_count; s++) {
    const map_store_t *store = &plan->stores[s];
    if (store->in_place) continue;
    if (store->contiguous) {
      store->store(run->store_at[s] + leat_native_map_bytes(i, store->element_bytes), 1, run->value[store->value], n);
    } else {
      visit_runs(run, store->strides, index, n, visit_store, s);
    }
  }
}

static void advance(int64_t index[8], const int64_t dims[8], uint32_t rank, int64_t n) {
  for (uint32_t d = rank; d-- > 0 && n > 0;) {
    int64_t sum = index[d] + n;
    n = sum / dims[d];
    index[d] = sum % dims[d];
  }
}

static void run_linear(map_run_t *run) {
  const map_plan_t *plan = run->plan;
  int64_t total = 1, index[8] = {0};
  for (uint32_t d = 0; d < plan->rank; d++) total *= run->dims[d];
  for (int64_t i = 0; i < total; i += plan->strip) {
    int64_t n = total - i < plan->strip ? total - i : plan->strip;
    strip_across_rows(run, index, i, n);
    advance(index, run->dims, plan->rank, n);
  }
}

// --- copies ------------------------------------------------------------------------------------------------------

// The second dim of the block: where the source goes element by element, else the one next to the innermost.
static uint32_t choose_row_dim(const map_run_t *run, const int64_t in[8]) {
  uint32_t rank = run->plan->rank, best = rank - 2;
  for (uint32_t d = 0; d + 1 < rank; d++) {
    if ((in[d] == 1 || in[d] == -1) && run->dims[d] > 1) best = d;
  }
  return best;
}

static void run_copy(map_run_t *run) {
  const map_plan_t *plan = run->plan;
  const int64_t *in = plan->leaves[0].strides, *out = plan->stores[0].strides;
  uint32_t inner = plan->rank - 1, row = plan->rank > 1 ? choose_row_dim(run, in) : 8;
  uint8_t bytes = plan->stores[0].element_bytes;
  int64_t rows = row < 8 ? run->dims[row] : 1, index[8] = {0}, outer[8];
  memcpy(outer, run->dims, sizeof outer);
  if (row < 8) outer[row] = 1;
  do {
    char *to = run->store_at[0] + leat_native_map_offset(out, index, inner) * bytes;
    const char *from = run->leaf_at[0] + leat_native_map_offset(in, index, inner) * bytes;
    leat_native_copy2(run->kern, bytes, to, row < 8 ? out[row] : 0, from, row < 8 ? in[row] : 0, in[inner], rows,
                      run->dims[inner]);
  } while (leat_index_next(inner, outer, index));
}

// Whether a copy of elements of two bytes makes pairs: [columns, 2], two elements of k side by side.
static bool makes_pairs(const map_run_t *run) {
  const map_plan_t *plan = run->plan;
  const uint32_t inner = plan->rank - 1;
  const int64_t *out = plan->stores[0].strides;
  if (plan->rank < 2 || plan->stores[0].element_bytes != 2 || out[inner] != 1 || out[inner - 1] != 2) return false;
  bool whole = run->dims[inner] == 2 && (uintptr_t)run->store_at[0] % 4 == 0;
  for (uint32_t d = 0; d < inner; d++) whole &= out[d] % 2 == 0;
  return whole;
}

// Of a panel all that lie in equal steps at once.
static void run_pairs(map_run_t *run) {
  const map_plan_t *plan = run->plan;
  const int64_t *in = plan->leaves[0].strides, *out = plan->stores[0].strides;
  const uint32_t inner = plan->rank - 1, columns = inner - 1;
  const bool steps = columns > 0 && in[columns - 1] == 2 * in[inner] && out[columns - 1] % 2 == 0;
  const uint32_t loops = steps ? columns - 1 : columns;
  const int64_t pairs = steps ? run->dims[loops] : 1, out_k = steps ? out[loops] / 2 : 0;
  int64_t index[8] = {0};
  do {
    char *to = run->store_at[0] + leat_native_map_offset(out, index, loops) * 2;
    const char *from = run->leaf_at[0] + leat_native_map_offset(in, index, loops) * 2;
    run->kern->pack_bf16((void *)to, out_k, 1, (const void *)from, in[inner], in[columns], 2 * pairs,
                         run->dims[columns]);
  } while (leat_index_next(loops, run->dims, index));
}

void leat_native_map_run(const leat_native_stage_t *stage, const leat_run_tile_t *tile) {
  map_run_t run;
  begin(&run, stage, tile);
  if (run.plan->is_copy && makes_pairs(&run)) {
    run_pairs(&run);
  } else if (run.plan->is_copy && run.plan->stores[0].strides[run.plan->rank - 1] == 1) {
    run_copy(&run);
  } else if (run.plan->nest) {
    leat_native_map_nest_run(&run);
  } else if (run.plan->row_mode) {
    run_rows(&run);
  } else {
    run_linear(&run);
  }
}
