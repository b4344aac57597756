// SPDX-License-Identifier: Apache-2.0
// GATHER, SCATTER and SEARCH. The table is B++P++[D]++S, the index B++I, what is moved B++P++I++S; a search finds the
// index of what lies in its place.
#include "ref/stage.h"
#include "ref/sum.h"

typedef struct lookup_s {
  ref_operand_t table, index, moved;
  uint32_t dim, batch;
} lookup_t;

// The element of the index operand that element `at` of what is moved goes with.
static ref_value_t read_index(const lookup_t *s, uint32_t class_, const int64_t at[PEF_MAX_RANK]) {
  int64_t index[PEF_MAX_RANK] = {0};
  for (uint32_t d = 0; d < s->index.rank; d++) index[d] = at[d < s->batch ? d : d - s->batch + s->dim];
  return leat_ref_read(&s->index, class_, index);
}

// The line of the table that it goes with: its element 0.
static void find_line(const lookup_t *s, const int64_t at[PEF_MAX_RANK], int64_t out_at[PEF_MAX_RANK]) {
  const uint32_t index_dims = s->index.rank - s->batch;
  memset(out_at, 0, PEF_MAX_RANK * sizeof *out_at);
  for (uint32_t d = 0; d < s->dim; d++) out_at[d] = at[d];
  for (uint32_t d = s->dim + 1; d < s->table.rank; d++) out_at[d] = at[d - 1 + index_dims];
}

// The element of the table that it goes with; false where its index is out of range, or names a row of another tile.
static bool find_element(const lookup_t *s, const int64_t at[PEF_MAX_RANK], int64_t out_at[PEF_MAX_RANK]) {
  int64_t row = read_index(s, PEF_CLASS_I64, at).i64;
  if (row < 0) row += s->table.file->dims[s->dim];  // counts from the end
  find_line(s, at, out_at);
  out_at[s->dim] = row - s->table.first[s->dim];
  return out_at[s->dim] >= 0 && out_at[s->dim] < s->table.dims[s->dim];
}

void leat_ref_gather(const ref_stage_t *stage, const leat_run_tile_t *tile) {
  const pef_lookup_t *params = &stage->file->params.lookup;
  const lookup_t s = {.table = leat_ref_operand(stage, PEF_GATHER_x, tile),
                      .index = leat_ref_operand(stage, PEF_GATHER_index, tile),
                      .moved = leat_ref_operand(stage, PEF_GATHER_out, tile),
                      .dim = (uint32_t)params->dim,
                      .batch = (uint32_t)params->batch};
  const size_t bytes = leat_pef_dtype_bytes(s.table.dtype);
  int64_t at[PEF_MAX_RANK] = {0}, from[PEF_MAX_RANK];
  do {
    if (find_element(&s, at, from)) {
      memcpy(leat_ref_at(&s.moved, at), leat_ref_at(&s.table, from), bytes);
    } else {
      memset(leat_ref_at(&s.moved, at), 0, bytes);
    }
  } while (leat_ref_next(at, s.moved.dims));
}

void leat_ref_scatter(const ref_stage_t *stage, const leat_run_tile_t *tile) {
  const pef_lookup_t *params = &stage->file->params.lookup;
  const lookup_t s = {.index = leat_ref_operand(stage, PEF_SCATTER_index, tile),
                      .moved = leat_ref_operand_of_bytes(stage, PEF_SCATTER_updates, tile),
                      .table = leat_ref_operand_of_bytes(stage, PEF_SCATTER_out, tile),
                      .dim = (uint32_t)params->dim,
                      .batch = (uint32_t)params->batch};
  const uint32_t class_ = leat_pef_dtype_class(s.table.dtype);
  const bool either = s.table.file->dtype == PEF_BOOL && stage->file->fn == PEF_FN_SUM;  // the sum of two truths
  const uint32_t fn = either ? PEF_FN_MAX : stage->file->fn;
  int64_t at[PEF_MAX_RANK] = {0}, to[PEF_MAX_RANK];
  do {
    if (!find_element(&s, at, to)) continue;
    if (fn == PEF_FN_SET) {
      memcpy(leat_ref_at(&s.table, to), leat_ref_at(&s.moved, at), leat_pef_dtype_bytes(s.table.dtype));
    } else {
      const ref_value_t old = leat_ref_read(&s.table, class_, to), update = leat_ref_read(&s.moved, class_, at);
      leat_ref_write(&s.table, class_, to, leat_ref_step(fn, class_, old, update));
    }
  } while (leat_ref_next(at, s.moved.dims));
}

// The element is at least x (right: is above x).
static bool is_behind(uint32_t class_, ref_value_t element, ref_value_t x, bool right) {
  if (leat_ref_is_nan(class_, element) || leat_ref_is_nan(class_, x)) return false;
  return right ? leat_ref_less(class_, x, element) : !leat_ref_less(class_, element, x);
}

void leat_ref_search(const ref_stage_t *stage, const leat_run_tile_t *tile) {
  const pef_search_t *params = &stage->file->params.search;
  const lookup_t s = {.table = leat_ref_operand(stage, PEF_SEARCH_table, tile),
                      .index = leat_ref_operand(stage, PEF_SEARCH_x, tile),
                      .moved = leat_ref_operand(stage, PEF_SEARCH_out, tile),
                      .dim = (uint32_t)params->dim,
                      .batch = (uint32_t)params->batch};
  const uint32_t class_ = leat_pef_dtype_class(s.table.dtype);
  int64_t at[PEF_MAX_RANK] = {0}, element[PEF_MAX_RANK];
  do {
    const ref_value_t x = read_index(&s, class_, at);
    int64_t low = 0, high = s.table.dims[s.dim];
    find_line(&s, at, element);
    while (low < high) {
      const int64_t middle = element[s.dim] = low + (high - low) / 2;
      const bool behind = is_behind(class_, leat_ref_read(&s.table, class_, element), x, params->right != 0);
      if (behind) high = middle;
      if (!behind) low = middle + 1;
    }
    leat_ref_write(&s.moved, PEF_CLASS_I64, at, (ref_value_t){.i64 = low});
  } while (leat_ref_next(at, s.moved.dims));
}
