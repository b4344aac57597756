// SPDX-License-Identifier: Apache-2.0
// SORT: an element goes behind all that come before it.
#include "ref/stage.h"

typedef struct sort_s {
  ref_operand_t in;
  uint32_t class_, dim;
  bool descending;
} sort_t;

// NaN is greatest.
static bool is_less(uint32_t class_, ref_value_t a, ref_value_t b) {
  if (leat_ref_is_nan(class_, a)) return false;
  return leat_ref_is_nan(class_, b) || leat_ref_less(class_, a, b);
}

static ref_value_t read(const sort_t *s, const int64_t line[PEF_MAX_RANK], int64_t i) {
  int64_t index[PEF_MAX_RANK];
  memcpy(index, line, sizeof index);
  index[s->dim] = i;
  return leat_ref_read(&s->in, s->class_, index);
}

static int64_t place_of(const sort_t *s, const int64_t line[PEF_MAX_RANK], int64_t i) {
  const ref_value_t x = read(s, line, i);
  int64_t before = 0;
  for (int64_t j = 0; j < s->in.dims[s->dim]; j++) {
    const ref_value_t y = read(s, line, j);
    const bool less = is_less(s->class_, y, x), greater = is_less(s->class_, x, y);
    before += (s->descending ? greater : less) || (!less && !greater && j < i);
  }
  return before;
}

void leat_ref_sort(const ref_stage_t *stage, const leat_run_tile_t *tile) {
  const pef_sort_t *params = &stage->file->params.sort;
  const ref_operand_t values = leat_ref_operand(stage, PEF_SORT_values, tile);
  const ref_operand_t indices = leat_ref_operand(stage, PEF_SORT_indices, tile);
  const ref_operand_t in = leat_ref_operand(stage, PEF_SORT_in, tile);
  const sort_t s = {.in = in,
                    .class_ = leat_pef_dtype_class(in.dtype),
                    .dim = (uint32_t)params->dim,
                    .descending = params->descending != 0};
  int64_t from[PEF_MAX_RANK] = {0};
  do {
    int64_t line[PEF_MAX_RANK], to[PEF_MAX_RANK];
    memcpy(line, from, sizeof line);
    memcpy(to, from, sizeof to);
    to[s.dim] = place_of(&s, line, from[s.dim]);
    if (values.at != NULL) {
      memcpy(leat_ref_at(&values, to), leat_ref_at(&s.in, from), leat_pef_dtype_bytes(s.in.dtype));
    }
    if (indices.at != NULL) leat_ref_write(&indices, PEF_CLASS_I64, to, (ref_value_t){.i64 = from[s.dim]});
  } while (leat_ref_next(from, s.in.dims));
}
