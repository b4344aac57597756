// SPDX-License-Identifier: Apache-2.0
// See legal_box.h. Whether two sets of strided runs meet is a sum of multiples of their strides that has to come out as
// their distance: a search from the greatest stride down, which what is left bounds. Strides nest nearly always, so
// that at most two multiples of each are possible.
#include "pef/legal_box.h"

enum { SEARCH_MAX = 4096 };

// --- what an operand touches -----------------------------------------------------------------------------------------

static bool is_packed(const leat_site_t *site) { return leat_pef_operand_is_packed(site->stage, site->index); }

static bool is_packed_dim(const leat_site_t *site, uint32_t dim) {
  const int64_t role = site->stage->params.product.roles[dim];
  return role == PEF_ROLE_N || role == PEF_ROLE_K;
}

// Elements from the first of a packed matrix to behind its last.
static int64_t packed_elements(const leat_site_t *site) {
  const pef_operand_t *b = leat_site_operand(site);
  const pef_product_t *params = &site->stage->params.product;
  const int64_t block = params->n_block, step = params->n_block_step;
  int64_t n = 1, k = 1, most = 0;
  for (uint32_t d = 0; d < b->rank; ++d) {
    if (params->roles[d] == PEF_ROLE_N) n = b->dims[d];
    if (params->roles[d] == PEF_ROLE_K) k *= b->dims[d];
  }
  for (int64_t first = n - 1 - (n - 1) % block, i = 0; i < 2 && first >= 0; ++i, first -= block) {
    const int64_t width = n - first < block ? n - first : block, end = first / block * step + k * width;
    if (end > most) most = end;
  }
  return most;
}

// Greatest stride first; a dim that the next continues is one with it.
static void put_dim(leat_box_t *box, int64_t extent, int64_t stride) {
  uint32_t at = box->rank++;
  for (; at > 0 && box->stride[at - 1] < stride; --at) {
    box->stride[at] = box->stride[at - 1];
    box->extent[at] = box->extent[at - 1];
  }
  box->stride[at] = stride;
  box->extent[at] = extent;
}

static void merge_dims(leat_box_t *box) {
  uint32_t kept = 0;
  for (uint32_t d = 0; d < box->rank; ++d) {
    if (kept > 0 && box->stride[kept - 1] == box->stride[d] * box->extent[d]) {
      box->extent[kept - 1] *= box->extent[d];
      box->stride[kept - 1] = box->stride[d];
    } else {
      box->extent[kept] = box->extent[d];
      box->stride[kept++] = box->stride[d];
    }
  }
  box->rank = kept;
  while (box->rank > 0 && box->stride[box->rank - 1] == box->run) box->run *= box->extent[--box->rank];
}

static leat_box_t box_of(const leat_site_t *site, const int64_t extents[PEF_MAX_RANK]) {
  const pef_operand_t *o = leat_site_operand(site);
  const int64_t bytes = (int64_t)leat_pef_dtype_bytes(o->dtype);
  const bool packed = is_packed(site);
  leat_box_t box = {.low = (int64_t)o->offset, .run = packed ? packed_elements(site) * bytes : bytes};
  for (uint32_t d = 0; d < o->rank; ++d) {
    int64_t extent = extents[d], stride = o->strides[d] * bytes;
    if (packed && is_packed_dim(site, d)) continue;
    if (site->written && leat_pef_stage_sums(site->stage, d)) extent = 1;
    if (extent == 0) return (leat_box_t){.low = box.low, .high = box.low};
    if (stride == 0 || extent == 1) continue;
    if (stride < 0) box.low += (extent - 1) * stride;
    put_dim(&box, extent, stride < 0 ? -stride : stride);
  }
  box.high = box.low + box.run;
  for (uint32_t d = 0; d < box.rank; ++d) box.high += (box.extent[d] - 1) * box.stride[d];
  merge_dims(&box);
  return box;
}

static void take_extents(const pef_operand_t *o, uint64_t rows, int64_t extents[PEF_MAX_RANK]) {
  memcpy(extents, o->dims, sizeof o->dims);
  if (o->row_dim != PEF_NO_ROW_DIM) extents[o->row_dim] = (int64_t)(rows * o->row_mult);
}

leat_box_t leat_box_of(const leat_site_t *site, uint64_t rows) {
  const pef_operand_t *o = leat_site_operand(site);
  int64_t extents[PEF_MAX_RANK];
  take_extents(o, rows, extents);
  if (o->space == PEF_SPACE_SCRATCH) leat_pef_cut_extents(site->pef, site->body, o, extents);
  return box_of(site, extents);
}

// Bytes from a row to the next; 0 for an operand that is the same in all rows.
static int64_t row_step(const leat_site_t *site) {
  const pef_operand_t *o = leat_site_operand(site);
  if (o->space != PEF_SPACE_ARGUMENT || o->row_dim == PEF_NO_ROW_DIM) return 0;
  // The columns of a tile of a packed matrix lie in several places: taken as if every tile read them all.
  if (is_packed(site) && is_packed_dim(site, o->row_dim)) return 0;
  return (int64_t)o->row_mult * o->strides[o->row_dim] * (int64_t)leat_pef_dtype_bytes(o->dtype);
}

leat_cells_t leat_cells_of(const leat_site_t *site) {
  const pef_operand_t *o = leat_site_operand(site);
  const pef_cut_t *cuts;
  const uint32_t count = leat_pef_cuts(site->pef, o, &cuts);
  leat_cells_t cells = {.step = {row_step(site)}};
  int64_t extents[PEF_MAX_RANK], shift = 0;
  take_extents(o, 1, extents);
  for (uint32_t i = 0; i < count; ++i) {
    const int64_t stride = o->strides[cuts[i].dim] * (int64_t)leat_pef_dtype_bytes(o->dtype);
    const int64_t extent = (int64_t)cuts[i].mult + cuts[i].before + cuts[i].after;
    extents[cuts[i].dim] = extent > 1 ? extent : 1;
    shift -= cuts[i].before * stride;
    if (o->space == PEF_SPACE_ARGUMENT) cells.step[cuts[i].axis] = (int64_t)cuts[i].mult * stride;
  }
  cells.cell = box_of(site, extents);
  cells.cell.low += shift;
  cells.cell.high += shift;
  return cells;
}

void leat_cells_count(const leat_pef_t *pef, const pef_body_t *body, uint64_t count[LEAT_CELL_AXES]) {
  const pef_axis_t *axes;
  const uint32_t axis_count = leat_pef_axes(pef, body, &axes);
  count[0] = body->row_count;
  for (uint32_t i = 0; i < PEF_MAX_AXES; ++i) count[1 + i] = i < axis_count ? axes[i].count : 1;
}

// --- do two meet -----------------------------------------------------------------------------------------------------

// A multiple of `step` > 0, from `least` to `most`. `row`: 1, 2: the row of the first and of the second, which must not
// be equal; 3: their difference, which must not be 0.
typedef struct term_s {
  int64_t step, least, most;
  uint32_t row;
} term_t;

typedef struct search_s {
  term_t terms[2 * PEF_MAX_RANK + 2 * LEAT_CELL_AXES];
  int64_t below_least[2 * PEF_MAX_RANK + 2 * LEAT_CELL_AXES + 1],
      below_most[2 * PEF_MAX_RANK + 2 * LEAT_CELL_AXES + 1];  // sums of the terms from here on
  uint32_t count, steps;
  int64_t rows[3];
} search_t;

static void put_term(search_t *s, int64_t step, int64_t least, int64_t most, uint32_t row) {
  if (step < 0) {
    step = -step;
    const int64_t swap = -least;
    least = -most;
    most = swap;
  }
  for (uint32_t i = 0; i < s->count && row == 0; ++i) {
    if (s->terms[i].step != step || s->terms[i].row != 0) continue;
    s->terms[i].least += least;
    s->terms[i].most += most;
    return;
  }
  uint32_t at = s->count++;
  for (; at > 0 && s->terms[at - 1].step < step; --at) s->terms[at] = s->terms[at - 1];
  s->terms[at] = (term_t){step, least, most, row};
}

static void bound(search_t *s) {
  s->below_least[s->count] = s->below_most[s->count] = 0;
  for (uint32_t i = s->count; i-- > 0;) {
    s->below_least[i] = s->below_least[i + 1] + s->terms[i].step * s->terms[i].least;
    s->below_most[i] = s->below_most[i + 1] + s->terms[i].step * s->terms[i].most;
  }
}

static int64_t divide_up(int64_t a, int64_t b) { return a >= 0 ? (a + b - 1) / b : -(-a / b); }
static int64_t divide_down(int64_t a, int64_t b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }

static bool rows_differ(const search_t *s, const term_t *t, int64_t k) {
  if (t->row == 3) return k != 0;
  return t->row == 0 || s->rows[3 - t->row] < 0 || s->rows[3 - t->row] != (k < 0 ? -k : k);
}

// Can terms from `i` on sum up to something from `low` to `high`?
static bool reaches(search_t *s, uint32_t i, int64_t low, int64_t high) {
  if (s->below_most[i] < low || s->below_least[i] > high) return false;
  if (i == s->count || ++s->steps > SEARCH_MAX) return true;
  const term_t *t = &s->terms[i];
  int64_t first = divide_up(low - s->below_most[i + 1], t->step),
          last = divide_down(high - s->below_least[i + 1], t->step);
  if (first < t->least) first = t->least;
  if (last > t->most) last = t->most;
  for (int64_t k = first; k <= last; ++k) {
    if (!rows_differ(s, t, k)) continue;
    if (t->row == 1 || t->row == 2) s->rows[t->row] = k < 0 ? -k : k;
    if (reaches(s, i + 1, low - k * t->step, high - k * t->step)) return true;
    if (t->row == 1 || t->row == 2) s->rows[t->row] = -1;
  }
  return false;
}

static void put_boxes(search_t *s, const leat_box_t *a, const leat_box_t *b) {
  s->rows[1] = s->rows[2] = -1;
  for (uint32_t d = 0; d < a->rank; ++d) put_term(s, a->stride[d], 0, a->extent[d] - 1, 0);
  for (uint32_t d = 0; d < b->rank; ++d) put_term(s, -b->stride[d], 0, b->extent[d] - 1, 0);
}

// Runs meet where the terms come within less than a run of the distance of the first bytes.
static bool search(search_t *s, const leat_box_t *a, const leat_box_t *b, int64_t shift) {
  const int64_t distance = b->low + shift - a->low;
  bound(s);
  return reaches(s, 0, distance - a->run + 1, distance + b->run - 1);
}

// The cells lie in windows as high as a step along `axis`, in which they differ.
static bool are_apart(const leat_cells_t *a, const leat_cells_t *b, int64_t shift, uint32_t axis) {
  const int64_t step = a->step[axis] < 0 ? -a->step[axis] : a->step[axis];
  const int64_t low = b->cell.low + shift, high = b->cell.high + shift;
  return (a->cell.high > high ? a->cell.high : high) - (a->cell.low < low ? a->cell.low : low) <= step;
}

// Two cells that differ along `axis`, and along others as they like.
static bool meet_along(const leat_cells_t *a, const leat_cells_t *b, int64_t shift,
                       const uint64_t count[LEAT_CELL_AXES], uint32_t axis) {
  const int64_t last = (int64_t)count[axis] - 1;
  const bool alike = a->step[axis] == b->step[axis] && a->step[axis] != 0;
  if (alike && leat_cells_are_along(count, axis) && are_apart(a, b, shift, axis)) return false;  // nearly always
  search_t s = {0};
  put_boxes(&s, &a->cell, &b->cell);
  if (alike) {
    put_term(&s, a->step[axis], -last, last, 3);
  } else {
    if (a->step[axis] != 0) put_term(&s, a->step[axis], 0, last, b->step[axis] != 0 ? 1 : 0);
    if (b->step[axis] != 0) put_term(&s, -b->step[axis], 0, last, a->step[axis] != 0 ? 2 : 0);
  }
  for (uint32_t other = 0; other < LEAT_CELL_AXES; ++other) {
    if (other == axis || count[other] == 1) continue;
    if (a->step[other] != 0) put_term(&s, a->step[other], 0, (int64_t)count[other] - 1, 0);
    if (b->step[other] != 0) put_term(&s, -b->step[other], 0, (int64_t)count[other] - 1, 0);
  }
  return search(&s, &a->cell, &b->cell, shift);
}

bool leat_cells_meet(const leat_cells_t *a, const leat_cells_t *b, int64_t shift,
                     const uint64_t count[LEAT_CELL_AXES]) {
  if (a->cell.run == 0 || b->cell.run == 0) return false;
  for (uint32_t axis = 0; axis < LEAT_CELL_AXES; ++axis) {
    if (count[axis] > 1 && meet_along(a, b, shift, count, axis)) return true;
  }
  return false;
}

bool leat_boxes_meet(const leat_box_t *a, const leat_box_t *b, int64_t shift) {
  if (a->run == 0 || b->run == 0 || a->high <= b->low + shift || b->high + shift <= a->low) return false;
  search_t s = {0};
  put_boxes(&s, a, b);
  return search(&s, a, b, shift);
}

// --- unions ----------------------------------------------------------------------------------------------------------

static int64_t bytes_of(const leat_box_t *box) {
  int64_t bytes = box->run;
  for (uint32_t d = 0; d < box->rank; ++d) bytes *= box->extent[d];
  return bytes;
}

static void set_high(leat_box_t *box) {
  box->high = box->low + box->run;
  for (uint32_t d = 0; d < box->rank; ++d) box->high += (box->extent[d] - 1) * box->stride[d];
  merge_dims(box);
}

// Runs that continue each other in every place: same dims, and the next one begins where a run ends.
static bool join_runs(leat_box_t *box, const leat_box_t *next) {
  if (box->rank != next->rank || box->low + box->run != next->low) return false;
  for (uint32_t d = 0; d < box->rank; ++d) {
    if (box->extent[d] != next->extent[d] || box->stride[d] != next->stride[d]) return false;
  }
  if (box->rank > 0 && box->stride[box->rank - 1] < box->run + next->run) return false;
  box->run += next->run;
  set_high(box);
  return true;
}

bool leat_box_join(leat_box_t *box, const leat_box_t *next) {
  if (next->run == 0 || leat_box_holds(box, next)) return true;
  if (box->run == 0) {
    *box = *next;
    return true;
  }
  if (join_runs(box, next)) return true;
  leat_box_t other = *next;
  if (join_runs(&other, box)) {
    *box = other;
    return true;
  }
  if (!leat_box_is_dense(box) || !leat_box_is_dense(next) || box->high < next->low || next->high < box->low)
    return false;
  if (next->low < box->low) box->low = next->low;
  if (next->high > box->high) box->high = next->high;
  box->run = box->high - box->low;
  return true;
}

bool leat_box_holds(const leat_box_t *box, const leat_box_t *inner) {
  if (inner->run == 0) return true;
  if (inner->low < box->low || inner->high > box->high) return false;
  if (leat_box_is_dense(box)) return true;
  if (box->low == inner->low && box->high == inner->high && bytes_of(box) == bytes_of(inner) &&
      box->rank == inner->rank && memcmp(box->stride, inner->stride, box->rank * sizeof *box->stride) == 0) {
    return true;
  }
  // Both in the same lattice: the place of `inner` in it, and its extents there.
  int64_t at = inner->low - box->low;
  uint32_t j = 0;
  for (uint32_t d = 0; d < box->rank; ++d) {
    const int64_t k = at / box->stride[d];
    int64_t extent = 1;
    if (j < inner->rank && inner->stride[j] == box->stride[d]) extent = inner->extent[j++];
    if (k + extent > box->extent[d]) return false;
    at -= k * box->stride[d];
  }
  return j == inner->rank && at + inner->run <= box->run;
}
