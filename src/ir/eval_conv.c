// SPDX-License-Identifier: Apache-2.0
// Reference of convolution and pooling. Everything is done with three spatial dims: fewer are led by dims of extent 1.
#include "ir/build.h"
#include "ir/eval.h"
#include "ir/scalar.h"

enum { SPATIAL = 3 };

// How windows slide: input extent, number of window positions, and the window itself, each as three dims.
typedef struct slide_s {
  int64_t in[SPATIAL], out[SPATIAL], window[SPATIAL], stride[SPATIAL], low[SPATIAL], dilation[SPATIAL], base[SPATIAL];
} slide_t;

// `in` and `out`: the spatial extents, as many as the window has dims.
static slide_t slide_of(const leat_window_t *w, const int64_t *in, const int64_t *out) {
  slide_t slide;
  for (uint32_t d = 0; d < SPATIAL; d++) {
    bool there = d >= SPATIAL - w->rank;
    uint32_t at = there ? d - (SPATIAL - w->rank) : 0;
    slide.in[d] = there ? in[at] : 1;
    slide.out[d] = there ? out[at] : 1;
    slide.window[d] = there ? w->window[at] : 1;
    slide.stride[d] = there ? w->stride[at] : 1;
    slide.low[d] = there ? w->low[at] : 0;
    slide.dilation[d] = there ? w->dilation[at] : 1;
    slide.base[d] = there ? w->base_dilation[at] : 1;
  }
  return slide;
}

// The element of the input's plane under tap `k` of the window at `t`; -1: padding.
static int64_t tap_offset(const slide_t *s, const int64_t *t, const int64_t *k) {
  int64_t offset = 0;
  for (uint32_t d = 0; d < SPATIAL; d++) {
    int64_t spread = t[d] * s->stride[d] - s->low[d] + k[d] * s->dilation[d];  // in the base-dilated input
    if (spread < 0 || spread % s->base[d] != 0 || spread / s->base[d] >= s->in[d]) return -1;
    offset = offset * s->in[d] + spread / s->base[d];
  }
  return offset;
}

static int64_t volume(const int64_t *dims) { return leat_product(dims, 0, SPATIAL); }

// --- convolution --------------------------------------------------------------------------------------------------

// The numbers both convolutions share. Output channel o belongs to group o / group_out and reads channels from
// o / group_out * group_in on.
typedef struct conv_s {
  slide_t slide;
  leat_dtype_t dtype;
  int64_t batch, channels, out_channels, group_in, group_out;
} conv_t;

static conv_t conv_of(const leat_eval_call_t *call, const leat_value_t *x, const leat_value_t *y, uint32_t leading) {
  leat_window_t window;
  leat_window_of(call->graph, call->op, &window);
  const int64_t *in = x->dims + leading, *out = y->dims + leading;
  return (conv_t){.slide = slide_of(&window, in + 2, out + 2),
                  .dtype = (leat_dtype_t)x->dtype,
                  .batch = in[0],
                  .channels = in[1],
                  .out_channels = out[1],
                  .group_in = in[1] / window.groups,
                  .group_out = out[1] / window.groups};
}

// One element of y: image n, output channel o, window position t.
static leat_element_t conv_at(const conv_t *conv, const leat_element_t *x, const leat_element_t *w, int64_t n,
                              int64_t o, const int64_t *t) {
  leat_element_t sum = leat_fold_identity(LEAT_FOLD_SUM, conv->dtype);
  int64_t in_plane = volume(conv->slide.in), first = o / conv->group_out * conv->group_in;
  for (int64_t c = 0; c < conv->group_in; c++) {
    const leat_element_t *plane = x + (n * conv->channels + first + c) * in_plane;
    const leat_element_t *taps = w + (o * conv->group_in + c) * volume(conv->slide.window);
    int64_t k[SPATIAL] = {0};
    do {
      int64_t at = tap_offset(&conv->slide, t, k);
      if (at >= 0) sum = leat_multiply_add(conv->dtype, plane[at], *taps, sum);
      taps++;
    } while (leat_index_next(SPATIAL, conv->slide.window, k));
  }
  return sum;
}

static void conv_forward(const leat_eval_call_t *call, const conv_t *conv, const leat_element_t *x,
                         const leat_element_t *w) {
  int64_t at = 0;
  for (int64_t n = 0; n < conv->batch; n++) {
    for (int64_t o = 0; o < conv->out_channels; o++) {
      int64_t t[SPATIAL] = {0};
      do leat_eval_store(call, 0, at++, conv_at(conv, x, w, n, o, t));
      while (leat_index_next(SPATIAL, conv->slide.out, t));
    }
  }
}

// One element of dw: output channel o, channel c of its group, tap k.
static leat_element_t wgrad_at(const conv_t *conv, const leat_element_t *x, const leat_element_t *dy, int64_t o,
                               int64_t c, const int64_t *k) {
  leat_element_t sum = leat_fold_identity(LEAT_FOLD_SUM, conv->dtype);
  int64_t first = o / conv->group_out * conv->group_in;
  for (int64_t n = 0; n < conv->batch; n++) {
    const leat_element_t *plane = x + (n * conv->channels + first + c) * volume(conv->slide.in);
    const leat_element_t *seeds = dy + (n * conv->out_channels + o) * volume(conv->slide.out);
    int64_t t[SPATIAL] = {0};
    do {
      int64_t at = tap_offset(&conv->slide, t, k);
      if (at >= 0) sum = leat_multiply_add(conv->dtype, plane[at], *seeds, sum);
      seeds++;
    } while (leat_index_next(SPATIAL, conv->slide.out, t));
  }
  return sum;
}

static uint32_t leading_dims(const leat_eval_call_t *call) {
  return (uint32_t)leat_op_int(call->graph, call->op, LEAT_ATTR_BATCH, 0);
}

// Stores the gradient of one batch from element `at` on; returns where the next begins.
static int64_t wgrad_of_batch(const leat_eval_call_t *call, const conv_t *conv, const leat_element_t *x,
                              const leat_element_t *dy, int64_t at) {
  bool nothing = volume(conv->slide.out) == 0;
  for (int64_t o = 0; o < conv->out_channels; o++) {
    for (int64_t c = 0; c < conv->group_in; c++) {
      int64_t k[SPATIAL] = {0};
      do {
        leat_element_t sum = leat_fold_identity(LEAT_FOLD_SUM, conv->dtype);
        leat_eval_store(call, 0, at++, nothing ? sum : wgrad_at(conv, x, dy, o, c, k));
      } while (leat_index_next(SPATIAL, conv->slide.window, k));
    }
  }
  return at;
}

static void conv_wgrad(const leat_eval_call_t *call, const conv_t *conv, const leat_element_t *x,
                       const leat_element_t *dy) {
  const int64_t batches = leat_product(leat_eval_operand(call, 0)->dims, 0, leading_dims(call));
  const int64_t x_step = conv->batch * conv->channels * volume(conv->slide.in);
  const int64_t dy_step = conv->batch * conv->out_channels * volume(conv->slide.out);
  int64_t at = 0;
  for (int64_t b = 0; b < batches; b++) at = wgrad_of_batch(call, conv, x + b * x_step, dy + b * dy_step, at);
}

typedef void (*convolution_t)(const leat_eval_call_t *call, const conv_t *conv, const leat_element_t *a,
                              const leat_element_t *b);

static leat_status_t run_convolution(const leat_eval_call_t *call, const conv_t *conv, convolution_t run) {
  leat_element_t *a = NULL, *b = NULL;
  if (leat_value_elements(leat_eval_result(call, 0)) == 0) return NULL;
  leat_status_t status = leat_eval_widen(call, 0, &a);
  if (status == NULL) status = leat_eval_widen(call, 1, &b);
  if (status == NULL) run(call, conv, a, b);
  leat_free(a);
  leat_free(b);
  return status;
}

leat_status_t leat_eval_CONV(const leat_eval_call_t *call) {
  conv_t conv = conv_of(call, leat_eval_operand(call, 0), leat_eval_result(call, 0), 0);
  return run_convolution(call, &conv, conv_forward);
}

leat_status_t leat_eval_CONV_WGRAD(const leat_eval_call_t *call) {
  conv_t conv = conv_of(call, leat_eval_operand(call, 0), leat_eval_operand(call, 1), leading_dims(call));
  return run_convolution(call, &conv, conv_wgrad);
}

// --- pooling ------------------------------------------------------------------------------------------------------

// Leading dims make `planes`; the trailing ones are windowed.
static slide_t pool_slide(const leat_eval_call_t *call, const leat_value_t *x, const leat_value_t *y,
                          int64_t *out_planes) {
  leat_window_t window;
  leat_window_of(call->graph, call->op, &window);
  uint32_t leading = x->rank - window.rank;
  *out_planes = leat_product(x->dims, 0, leading);
  return slide_of(&window, x->dims + leading, y->dims + leading);
}

static leat_fold_t pool_fold(const leat_eval_call_t *call) {
  return leat_op_word(call->graph, call->op, LEAT_ATTR_FN, LEAT_FOLD_MAX);
}

leat_status_t leat_eval_POOL(const leat_eval_call_t *call) {
  const leat_value_t *x = leat_eval_operand(call, 0), *y = leat_eval_result(call, 0);
  leat_dtype_t dtype = (leat_dtype_t)x->dtype;
  leat_fold_t fold = pool_fold(call);
  int64_t planes, place = 0;
  slide_t slide = pool_slide(call, x, y, &planes);
  if (leat_value_elements(y) == 0) return NULL;
  for (int64_t plane = 0; plane < planes; plane++) {
    int64_t t[SPATIAL] = {0};
    do {
      leat_element_t result = leat_fold_identity(fold, dtype);
      int64_t k[SPATIAL] = {0};
      do {
        int64_t at = tap_offset(&slide, t, k);
        if (at >= 0) result = leat_fold(fold, dtype, result, leat_eval_load(call, 0, plane * volume(slide.in) + at));
      } while (leat_index_next(SPATIAL, slide.window, k));
      leat_eval_store(call, 0, place++, result);
    } while (leat_index_next(SPATIAL, slide.out, t));
  }
  return NULL;
}

// The element under the window at `t` that is its first maximum, or the last NaN; -1: all padding.
static int64_t first_maximum(const leat_eval_call_t *call, const slide_t *slide, int64_t plane, const int64_t *t) {
  leat_dtype_t dtype = (leat_dtype_t)leat_eval_operand(call, 0)->dtype;
  leat_element_t best = {0};
  int64_t winner = -1, k[SPATIAL] = {0};
  do {
    int64_t at = tap_offset(slide, t, k);
    if (at < 0) continue;
    leat_element_t next = leat_eval_load(call, 0, plane * volume(slide->in) + at);
    bool is_nan = leat_dtype_is_float(dtype) && isnan(next.f);
    if (winner >= 0 && !is_nan && !leat_fold_beats(true, dtype, next, best)) continue;
    best = next;
    winner = at;
  } while (leat_index_next(SPATIAL, slide->window, k));
  return winner;
}

// Adds `seed` to every element under the window at `t`.
static void spread(const slide_t *slide, leat_dtype_t dtype, const int64_t *t, leat_element_t seed,
                   leat_element_t *sums) {
  int64_t k[SPATIAL] = {0};
  do {
    int64_t at = tap_offset(slide, t, k);
    if (at >= 0) sums[at] = leat_fold(LEAT_FOLD_SUM, dtype, sums[at], seed);
  } while (leat_index_next(SPATIAL, slide->window, k));
}

static void pool_grad(const leat_eval_call_t *call, leat_element_t *sums) {
  const leat_value_t *x = leat_eval_operand(call, 0), *dy = leat_eval_operand(call, 1);
  leat_dtype_t dtype = (leat_dtype_t)x->dtype;
  bool max = pool_fold(call) == LEAT_FOLD_MAX;
  int64_t planes, place = 0;
  slide_t slide = pool_slide(call, x, dy, &planes);
  if (leat_value_elements(dy) == 0) return;
  for (int64_t plane = 0; plane < planes; plane++) {
    leat_element_t *own = sums + plane * volume(slide.in);
    int64_t t[SPATIAL] = {0};
    do {
      leat_element_t seed = leat_eval_load(call, 1, place++);
      int64_t winner = max ? first_maximum(call, &slide, plane, t) : -1;
      if (!max)
        spread(&slide, dtype, t, seed, own);
      else if (winner >= 0)
        own[winner] = leat_fold(LEAT_FOLD_SUM, dtype, own[winner], seed);
    } while (leat_index_next(SPATIAL, slide.out, t));
  }
}

leat_status_t leat_eval_POOL_GRAD(const leat_eval_call_t *call) {
  int64_t count = leat_value_elements(leat_eval_operand(call, 0));
  leat_element_t *sums = leat_alloc_zero((size_t)count, sizeof *sums);  // all bits zero: 0 and 0.0
  if (sums == NULL) return leat_out_of_memory();
  pool_grad(call, sums);
  for (int64_t at = 0; at < count; at++) leat_eval_store(call, 0, at, sums[at]);
  leat_free(sums);
  return NULL;
}
