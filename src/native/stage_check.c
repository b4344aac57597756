// SPDX-License-Identifier: Apache-2.0
// Checks that the prepare functions of stage kinds share.
#include "native/stage_check.h"

#include <stdio.h>

leat_status_t leat_native_stage_error(const leat_native_stage_t *stage, int code, const char *format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  (void)vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  return leat_status_make(code, "stage %s (%s): %s", stage->kind->name, stage->origin ? stage->origin : "", text);
}

bool leat_native_same_dim(const leat_native_operand_t *a, uint32_t da, const leat_native_operand_t *b, uint32_t db) {
  bool row_a = a->row_dim == da, row_b = b->row_dim == db;
  return a->dims[da] == b->dims[db] && row_a == row_b && (!row_a || a->row_mult == b->row_mult);
}

bool leat_native_same_dims(const leat_native_operand_t *a, const leat_native_operand_t *b) {
  if (a->rank != b->rank) return false;
  for (uint32_t d = 0; d < a->rank; d++) {
    if (!leat_native_same_dim(a, d, b, d)) return false;
  }
  return true;
}

static const int64_t limit = INT32_MAX;

static bool positive(int64_t v) { return v >= 1 && v <= limit; }
static bool small(int64_t v) { return v >= -limit && v <= limit; }

// One dim of the geometry.
static leat_status_t read_dim(const leat_native_stage_t *stage, uint32_t i, int64_t in, int64_t out,
                              leat_kern_window_t *w, int d) {
  const pef_window_t *p = &stage->params->window;
  LEAT_NATIVE_EXPECT(stage,
                     positive(p->window[i]) && positive(p->stride[i]) && positive(p->dilation[i]) &&
                         positive(p->base_dilation[i]) && small(p->low[i]) && small(p->high[i]) && positive(in) &&
                         positive(out),
                     "window parameters of spatial dim %u are out of range", i);
  int64_t padded = (in - 1) * p->base_dilation[i] + 1 + p->low[i] + p->high[i];
  int64_t reach = (p->window[i] - 1) * p->dilation[i] + 1;
  LEAT_NATIVE_EXPECT(stage, padded >= reach && (padded - reach) / p->stride[i] + 1 == out,
                     "an input of extent %lld does not give an output of extent %lld in spatial dim %u", (long long)in,
                     (long long)out, i);
  w->in[d] = in;
  w->out[d] = out;
  w->size[d] = p->window[i];
  w->stride[d] = p->stride[i];
  w->low[d] = p->low[i];
  w->dilation[d] = p->dilation[i];
  w->base[d] = p->base_dilation[i];
  return NULL;
}

leat_status_t leat_native_window_read(const leat_native_stage_t *stage, const leat_native_operand_t *x,
                                      const leat_native_operand_t *y, leat_kern_window_t *out_window) {
  const int64_t spatial = stage->params->window.spatial;
  LEAT_NATIVE_EXPECT(stage, spatial >= 1 && spatial <= 3, "%lld spatial dims; 1 to 3 are legal", (long long)spatial);
  LEAT_NATIVE_EXPECT(stage, x->rank == y->rank && x->rank >= spatial, "operands of ranks %u and %u", x->rank, y->rank);
  for (int d = 0; d < 3; d++) {
    out_window->in[d] = out_window->out[d] = out_window->size[d] = 1;
    out_window->stride[d] = out_window->dilation[d] = out_window->base[d] = 1;
    out_window->low[d] = 0;
  }
  for (uint32_t i = 0; i < (uint32_t)spatial; i++) {
    uint32_t dim = x->rank - (uint32_t)spatial + i;
    LEAT_NATIVE_EXPECT(stage, x->row_dim != dim && y->row_dim != dim, "rows run along a spatial dim");
    LEAT_TRY(read_dim(stage, i, x->dims[dim], y->dims[dim], out_window, (int)(3 - spatial + i)));
  }
  return NULL;
}

void leat_native_spatial_strides(const leat_native_operand_t *operand, uint32_t spatial, int64_t out_strides[3]) {
  for (uint32_t d = 0; d < 3; d++) {
    out_strides[d] = d + spatial >= 3 ? operand->strides[operand->rank + d - 3] : 0;
  }
}
