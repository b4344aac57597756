// SPDX-License-Identifier: Apache-2.0
#include "map/product.h"

#include "base/loops.h"
#include "space/rows.h"

static uint8_t role_of(bool in_a, bool in_b, bool in_c) {
  if (in_a && in_b && in_c) return PEF_ROLE_BATCH;
  if (in_c) return in_a ? PEF_ROLE_M : PEF_ROLE_N;
  return PEF_ROLE_K;
}

// C's innermost axis should be n, that is, belong to B.
static bool must_swap(const leat_spec_t *spec, const leat_access_t *c) {
  for (uint32_t i = c->rank; i-- > 0;) {
    if (c->dims[i] == 1) continue;
    char letter = spec->letters[2][i];
    return leat_spec_find(spec, 0, letter) >= 0 && leat_spec_find(spec, 1, letter) < 0;
  }
  return false;
}

static void add_axis(leat_product_t *p, const leat_spec_t *spec, char letter, int row_position) {
  uint32_t first = p->swapped ? 1 : 0;
  int at[3] = {leat_spec_find(spec, first, letter), leat_spec_find(spec, 1 - first, letter),
               leat_spec_find(spec, 2, letter)};
  leat_product_axis_t axis = {.extent = 1, .role = role_of(at[0] >= 0, at[1] >= 0, at[2] >= 0)};
  for (uint32_t i = 0; i < 3; ++i) {
    if (at[i] < 0) continue;
    axis.strides[i] = p->access[i].strides[at[i]];
    axis.extent = p->access[i].dims[at[i]];
  }
  if (p->scaled && at[1] >= 0 && p->access[LEAT_PRODUCT_SCALE].dims[at[1]] != 1)
    axis.strides[LEAT_PRODUCT_SCALE] = p->access[LEAT_PRODUCT_SCALE].strides[at[1]];
  axis.row = row_position >= 0 && at[2] == row_position;
  if (axis.extent != 1) p->axes[p->count++] = axis;
}

// Axes of one role; rows begin an axis.
static void merge_axes(leat_product_t *p) {
  int64_t extents[LEAT_PRODUCT_AXES_MAX], strides[LEAT_PRODUCT_OPERANDS][LEAT_PRODUCT_AXES_MAX];
  uint32_t places[LEAT_PRODUCT_AXES_MAX], apart = 0;
  for (uint32_t i = 0; i < p->count; ++i) {
    extents[i] = p->axes[i].extent;
    for (uint32_t o = 0; o < LEAT_PRODUCT_OPERANDS; ++o) strides[o][i] = p->axes[i].strides[o];
    if (i > 0 && (p->axes[i].role != p->axes[i - 1].role || p->axes[i].row)) apart |= 1u << i;
  }
  leat_loops_t loops = {p->count, extents, LEAT_PRODUCT_OPERANDS, LEAT_PRODUCT_AXES_MAX, &strides[0][0]};
  leat_loops_merge(&loops, apart, places);
  for (uint32_t i = 1; i < p->count; ++i) {
    if (places[i] != places[i - 1]) p->axes[places[i]] = p->axes[i];  // the outermost says role and rows
  }
  for (uint32_t i = 0; i < loops.count; ++i) {
    p->axes[i].extent = extents[i];
    for (uint32_t o = 0; o < LEAT_PRODUCT_OPERANDS; ++o) p->axes[i].strides[o] = strides[o][i];
  }
  p->count = loops.count;
}

static leat_status_t read_access(const leat_graph_t *g, leat_value_id_t v, leat_access_t *out_access) {
  if (!leat_access_resolve(g, v, out_access)) LEAT_FAIL(LEAT_INTERNAL, "view %%%u was not settled", v);
  return NULL;
}

static void add_axes(leat_product_t *p, const leat_spec_t *spec, int row_position) {
  for (uint8_t role = PEF_ROLE_BATCH; role < PEF_ROLE_K; ++role) {
    for (uint32_t i = 0; i < spec->rank[2]; ++i) {
      char letter = spec->letters[2][i];
      bool in_a = leat_spec_find(spec, p->swapped ? 1 : 0, letter) >= 0;
      bool in_b = leat_spec_find(spec, p->swapped ? 0 : 1, letter) >= 0;
      if (role_of(in_a, in_b, true) == role) add_axis(p, spec, letter, row_position);
    }
  }
  for (uint32_t i = 0; i < spec->rank[0]; ++i) {
    if (leat_spec_find(spec, 2, spec->letters[0][i]) < 0) add_axis(p, spec, spec->letters[0][i], -1);
  }
}

leat_status_t leat_product_read(const leat_graph_t *g, const leat_op_t *op, uint8_t row_dim,
                                leat_product_t *out_product) {
  leat_product_t *p = out_product;
  const leat_spec_t *spec = leat_op_spec(g, op);
  memset(p, 0, sizeof *p);
  LEAT_TRY(read_access(g, op->result_first, &p->access[2]));
  p->swapped = must_swap(spec, &p->access[2]);
  LEAT_TRY(read_access(g, leat_op_input(g, op, p->swapped ? 1 : 0), &p->access[0]));
  LEAT_TRY(read_access(g, leat_op_input(g, op, p->swapped ? 0 : 1), &p->access[1]));
  p->scaled = op->input_count > 2;
  if (p->scaled) LEAT_TRY(read_access(g, leat_op_input(g, op, 2), &p->access[LEAT_PRODUCT_SCALE]));
  if (p->scaled && p->swapped) LEAT_FAIL(LEAT_INTERNAL, "a product whose scale is that of its rows");
  add_axes(p, spec, row_dim == LEAT_ROWS_WHOLE ? -1 : row_dim);
  merge_axes(p);
  if (p->count > LEAT_RANK_MAX) {
    char text[256];
    LEAT_FAIL(LEAT_UNSUPPORTED, "%s: the product has %u separate dims, at most %d are possible: reshape its operands",
              leat_op_text(g, op, text, sizeof text), p->count, LEAT_RANK_MAX);
  }
  return NULL;
}

const leat_product_axis_t *leat_product_only_axis(const leat_product_t *p, uint8_t role) {
  const leat_product_axis_t *found = NULL;
  for (uint32_t i = 0; i < p->count; ++i) {
    if (p->axes[i].role != role) continue;
    if (found != NULL) return NULL;
    found = &p->axes[i];
  }
  return found;
}

bool leat_product_line_of_b(const leat_product_t *p, uint8_t role, int64_t *out_extent, int64_t *out_stride) {
  *out_extent = 0;
  for (uint32_t i = p->count; i-- > 0;) {
    const leat_product_axis_t *axis = &p->axes[i];
    if (axis->role != role) continue;
    if (*out_extent == 0) {
      *out_extent = axis->extent;
      *out_stride = axis->strides[1];
    } else {
      if (axis->strides[1] != *out_extent * *out_stride) return false;
      *out_extent *= axis->extent;
    }
  }
  return *out_extent > 0;
}

bool leat_product_has_role(const leat_product_t *p, uint8_t role) {
  for (uint32_t i = 0; i < p->count; ++i) {
    if (p->axes[i].role == role) return true;
  }
  return false;
}

int64_t leat_product_extent(const leat_product_t *p, uint8_t role) {
  int64_t extent = 1;
  for (uint32_t i = 0; i < p->count; ++i) extent *= p->axes[i].role == role ? p->axes[i].extent : 1;
  return extent;
}

bool leat_product_is_paired(const leat_graph_t *g, const leat_product_t *p) {
  return leat_graph_value(g, p->access[0].base)->dtype == LEAT_BF16 &&
         leat_graph_value(g, p->access[1].base)->dtype == LEAT_BF16;
}

leat_access_t leat_product_access(const leat_product_t *p, uint32_t which, uint32_t *out_row_dim) {
  leat_access_t a = {.base = p->access[which].base, .rank = p->count, .offset = p->access[which].offset};
  *out_row_dim = LEAT_ROWS_WHOLE;
  for (uint32_t i = 0; i < p->count; ++i) {
    a.dims[i] = p->axes[i].extent;
    a.strides[i] = p->axes[i].strides[which];
    if (p->axes[i].row) *out_row_dim = i;
  }
  return a;
}
