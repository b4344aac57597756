// SPDX-License-Identifier: Apache-2.0
// Plan of the fast forward convolution: phases, bands of rows, blocks of channels, offsets of the taps.
//
// The copied part of the input (one band, one block of channels) should stay in the L2 cache while the micro kernel
// reads it once for every few output channels. No choice made here shows in the result bits.
#include "native/conv_plan.h"

#include <math.h>

enum { OFFSETS_MAX = 1 << 22 };

static int64_t divide_down(int64_t a, int64_t b) { return a / b - (a % b != 0 && a < 0); }
static int64_t divide_up(int64_t a, int64_t b) { return -divide_down(-a, b); }

#define TRY_ALLOC(pointer, arena, count)                                                         \
  do {                                                                                           \
    (pointer) = leat_arena_alloc((arena), (size_t)(count) * sizeof *(pointer));                  \
    if (!(pointer)) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "out of memory while planning a convolution"); \
  } while (0)

// Window positions that the outputs of phase `first` see along dim d. `even`: there are as many as of any phase.
static leat_status_t plan_reads(leat_arena_t *arena, const leat_kern_window_t *w, int d, int64_t first, bool even,
                                leat_kern_conv_reads_t *out) {
  const int64_t base = w->base[d];
  int32_t *k, *shift, *low, *high;
  TRY_ALLOC(k, arena, w->size[d]);
  TRY_ALLOC(shift, arena, w->size[d]);
  TRY_ALLOC(low, arena, w->size[d]);
  TRY_ALLOC(high, arena, w->size[d]);
  *out = (leat_kern_conv_reads_t){.stride = base > 1 ? 1 : w->stride[d],
                                  .in = w->in[d],
                                  .first = first,
                                  .step = base,
                                  .count = (w->out[d] - (even ? 0 : first) + base - 1) / base,
                                  .k = k,
                                  .shift = shift,
                                  .low = low,
                                  .high = high};
  for (int64_t i = 0; i < w->size[d]; i++) {
    int64_t at = first + i * w->dilation[d] - w->low[d], n = out->taps;
    if (at % base != 0) continue;
    k[n] = (int32_t)i;
    shift[n] = (int32_t)(at / base);
    low[n] = (int32_t)leat_kern_clamp(divide_up(-shift[n], out->stride), 0, out->count);
    high[n] = (int32_t)leat_kern_clamp(divide_up(out->in - shift[n], out->stride), low[n], out->count);
    out->taps++;
  }
  return NULL;
}

// Rows of the copy: for every residue of input rows modulo the stride that a tap reads, the rows from the first tap's
// to the last tap's, `band` longer. Writes the input row of each (NULL: only counts) and, per tap, where its rows
// start.
static int64_t lay_rows(const leat_kern_conv_reads_t *rows, int64_t band, int32_t *row_in, int32_t *row_of_tap) {
  int64_t count = 0;
  for (int64_t residue = 0; residue < rows->stride; residue++) {
    int64_t low = INT64_MAX, high = INT64_MIN;
    for (int64_t i = 0; i < rows->taps; i++) {
      int64_t q = divide_down(rows->shift[i], rows->stride);
      if (rows->shift[i] - q * rows->stride != residue) continue;
      low = q < low ? q : low;
      high = q > high ? q : high;
    }
    if (low > high) continue;
    for (int64_t i = 0; i < rows->taps && row_of_tap; i++) {
      int64_t q = divide_down(rows->shift[i], rows->stride);
      if (rows->shift[i] - q * rows->stride == residue) row_of_tap[i] = (int32_t)(count + q - low);
    }
    for (int64_t i = 0; i < high - low + band && row_in; i++) {
      row_in[count + i] = (int32_t)((low + i) * rows->stride + residue);
    }
    count += high - low + band;
  }
  return count;
}

static bool reads_all_inside(const leat_kern_conv_reads_t *d) {
  for (int64_t i = 0; i < d->taps; i++) {
    if (d->low[i] != 0 || d->high[i] != d->count) return false;
  }
  return d->taps > 0;
}
// Outputs of a band lie side by side in an operand of these strides.
static bool rows_are_flat(const leat_kern_conv_phase_t *p, const int64_t strides[5]) {
  return strides[4] == 1 && (p->dim[1].count == 1 || strides[3] == p->dim[2].count);
}
static bool is_direct(const leat_kern_conv_phase_t *p, const leat_kern_conv_t *s, bool turned) {
  for (int d = 0; d < 3; d++) {
    if (!reads_all_inside(&p->dim[d]) || (p->dim[d].stride != 1 && !turned)) return false;
  }
  if (!turned) return rows_are_flat(p, s->x);
  return s->x[4] * p->dim[2].stride == 1 || p->dim[2].count == 1;
}

// Floats that a row of x becomes: a run of columns for every k2, or one that they share.
static int64_t apart_floats(const leat_kern_conv_reads_t *columns) { return columns->taps * columns->count; }
static int64_t shared_floats(const leat_kern_conv_reads_t *columns) {
  return lay_rows(columns, columns->count, NULL, NULL);
}
// Lanes may jump from row to row where rows are whole registers on every level.
static bool columns_are_shared(const leat_kern_conv_reads_t *columns) {
  return columns->count % CONV_LANES == 0 && apart_floats(columns) <= OFFSETS_MAX &&
         shared_floats(columns) < apart_floats(columns);
}

// Floats of the copy for one channel.
static int64_t channel_floats(const leat_kern_conv_phase_t *p, int64_t band) {
  const int64_t row = p->shared != 0 ? shared_floats(&p->dim[2]) : apart_floats(&p->dim[2]);
  return p->dim[0].taps * lay_rows(&p->dim[1], band, NULL, NULL) * row;
}

static int64_t window_elements(const leat_kern_conv_t *s) {
  return s->window.size[0] * s->window.size[1] * s->window.size[2];
}

// Sums of the outputs of a band in the workspace: one, or with blocks of channels the open one and those of their
// pairs.
static int64_t sum_rows(const leat_kern_conv_t *s) {
  int64_t rows = 1;
  if (s->chain == 0) return rows;
  for (int64_t blocks = s->channels / (s->chain / window_elements(s)) + 1; blocks != 0; blocks /= 2) rows++;
  return rows;
}

// As many rows as their sums leave room for in the workspace. More of what is only stored from there, where fewer would
// leave lanes empty that share weights.
static void choose_band_of_sums(leat_kern_conv_phase_t *p, const leat_kern_conv_t *s, int64_t beside) {
  const int64_t row = s->outputs_per_group * p->dim[2].count * sum_rows(s) * beside;
  const int64_t few = CONV_STORED_LANES / leat_kern_clamp(p->dim[2].count, 1, CONV_STORED_LANES);
  const int64_t most = s->chain > 0 ? CONV_SUM_FLOATS : leat_kern_clamp(row * few, CONV_STORED_FLOATS, CONV_SUM_FLOATS);
  while (p->band > 1 && row * p->band > most) p->band = (p->band + 1) / 2;
}

// --- outputs as lanes ----------------------------------------------------------------------------------------------

// Sums of a band in the workspace, in panels of lanes.
static int64_t turned_floats(const leat_kern_conv_phase_t *p, const leat_kern_conv_t *s) {
  const int64_t lanes = LEAT_KERN_TURNED_LANES, panels = (s->outputs_per_group + lanes - 1) / lanes;
  return panels * lanes * p->group * p->band * p->dim[2].count;
}

// Where map/turn.c has laid the weights so.
static bool is_turned(const leat_kern_conv_t *s, const leat_kern_conv_plan_t *plan) {
  const int64_t *base = s->window.base, *out = s->window.out;
  if (base[0] * base[1] * base[2] > 1) return false;
  if (!leat_blocks_is_turned(out[0] * out[1] * out[2], out[2], s->window.size[2], s->outputs_per_group)) return false;
  if (s->y[4] != 1 && out[2] != 1) return false;  // a row of y is stored side by side
  return plan->w_step > 0 && leat_blocks_is_turned_step(plan->w_step);
}

// A panel of weights and the part of the picture that it meets stay in L2 together; bands have positions enough to pay
// that weights are not read for few of them.
static void choose_turned_blocks(leat_kern_conv_phase_t *p, const leat_kern_conv_t *s) {
  const int64_t channels = s->chain > 0 ? s->chain / window_elements(s) : s->channels, width = p->dim[2].count;
  int64_t block = leat_kern_clamp(CONV_TURNED_TAPS / window_elements(s), 1, channels), floats;
  p->band = p->dim[1].count;
  p->group = 1;
  for (;; p->band = (p->band + 1) / 2) {
    floats = p->direct != 0 ? p->band * width : channel_floats(p, p->band);
    const bool is_large = block * floats > CONV_IMAGE_FLOATS;
    if (p->band == 1 || !is_large || p->band * width <= CONV_TURNED_POSITIONS) break;
  }
  if (floats > 0) block = leat_kern_clamp(CONV_IMAGE_FLOATS / floats, 1, block);
  block = p->channel_block = leat_kern_next_piece(channels, block);
  while (block < s->channels && p->band > 1 && turned_floats(p, s) * sum_rows(s) > CONV_SUM_FLOATS)
    p->band = (p->band + 1) / 2;
  if (p->dim[0].count > 1 || p->band < p->dim[1].count) return;
  while (p->group < s->images && p->group * p->band * width < CONV_TURNED_POSITIONS &&
         (p->group + 1) * block * floats <= CONV_IMAGE_FLOATS)
    p->group++;
}

static leat_status_t plan_places(leat_arena_t *arena, const leat_kern_conv_t *s, leat_kern_conv_phase_t *p,
                                 bool *out_fits) {
  const int64_t width = p->dim[2].count, row = p->direct != 0 ? p->dim[1].stride * s->x[3] : p->pitch;
  const int64_t column = p->direct != 0 ? p->dim[2].stride * s->x[4] : 1,
                image = p->direct != 0 ? s->x[0] : p->image_floats;
  int32_t *places;
  if (p->group * p->band * width > OFFSETS_MAX) *out_fits = false;
  if (!*out_fits) return NULL;
  TRY_ALLOC(places, arena, p->group * p->band * width + 1);
  p->places = places;
  for (int64_t i = 0; i < p->group; i++) {
    for (int64_t r = 0; r < p->band; r++) {
      for (int64_t c = 0; c < width; c++) {
        const int64_t at = i * image + r * row + c * column;
        if (at != (int32_t)at) *out_fits = false;
        *places++ = (int32_t)at;
      }
    }
  }
  return NULL;
}

// Channels that are copied at a time for a band of so many rows, of `channels` that are summed in one go.
static int64_t channels_of(const leat_kern_conv_phase_t *p, int64_t channels, int64_t band) {
  const int64_t floats = channel_floats(p, band);
  if (floats == 0) return channels;
  return leat_kern_next_piece(channels, leat_kern_clamp(CONV_IMAGE_FLOATS / floats, 1, channels));
}

// Cycles that a group takes in bands of so many rows, about: copies, of which neighbours share rows; weights, which
// each band reads from afar where they do not stay in L2; sums, which leave registers after each block of channels;
// lanes beyond those of a band that vectors have.
static double band_cycles(const leat_kern_conv_phase_t *p, const leat_kern_conv_t *s, int64_t channels, int64_t band) {
  const int64_t rows = p->dim[1].count, width = p->dim[2].count, lanes = CONV_LANES;
  const int64_t vectors =
      rows / band * ((band * width + lanes - 1) / lanes) + (rows % band * width + lanes - 1) / lanes;
  const double bands = (double)((rows + band - 1) / band), taps = (double)(channels * window_elements(s));
  const double blocks = (double)divide_up(channels, channels_of(p, channels, band));
  const double copied = bands * (double)channels * (double)channel_floats(p, band) / CONV_COPIED_FLOATS;
  const double weights = taps * (double)s->outputs_per_group;
  const double read = weights > CONV_FAR_WEIGHTS ? bands * weights / CONV_READ_FLOATS : 0;
  return copied + read + (double)vectors * (double)s->outputs_per_group * (blocks * CONV_BLOCK_CYCLES + taps / 2);
}

// `band`: that of the phases beside it, 0 where it is the first of them.
static void choose_blocks(leat_kern_conv_phase_t *p, const leat_kern_conv_t *s, int64_t beside, int64_t band) {
  const int64_t channels = s->chain > 0 ? s->chain / window_elements(s) : s->channels, rows = p->dim[1].count;
  p->band = band > 0 ? band : rows;
  p->group = 1;
  p->channel_block = p->direct != 0 ? channels : channels_of(p, channels, p->band);
  if (band > 0) return;
  if (p->store != 0) choose_band_of_sums(p, s, beside);
  if (p->direct != 0) return;
  double least = INFINITY;
  for (int64_t parts = divide_up(rows, p->band); parts <= rows; parts += parts / 16 + 1) {
    const int64_t part = divide_up(rows, parts);
    const double cycles = band_cycles(p, s, channels, part);
    if (cycles < least) least = cycles, p->band = part;
  }
  p->channel_block = channels_of(p, channels, p->band);
}

static leat_kern_conv_run_t run_of(const leat_kern_conv_reads_t *d, int64_t at, int64_t first, int64_t width) {
  const int64_t low = leat_kern_clamp(divide_up(-first, d->stride), 0, width);
  return (leat_kern_conv_run_t){at, first, low, leat_kern_clamp(divide_up(d->in - first, d->stride), low, width),
                                width};
}

// Runs of columns; where in a plane every tap of k2 begins.
static leat_status_t plan_columns(leat_arena_t *arena, leat_kern_conv_phase_t *p, int32_t **out_of_tap) {
  const leat_kern_conv_reads_t *d = &p->dim[2];
  leat_kern_conv_run_t *runs;
  int32_t *of_tap, *in;
  TRY_ALLOC(runs, arena, d->taps + 1);
  TRY_ALLOC(of_tap, arena, d->taps + 1);
  *out_of_tap = of_tap;
  p->runs = runs;
  p->pitch = p->shared != 0 ? shared_floats(d) : d->count;
  p->plane = p->image_rows * (p->shared != 0 ? p->pitch : apart_floats(d));
  for (int64_t i = 0; i < d->taps && p->shared == 0; i++) {
    of_tap[i] = (int32_t)(i * p->image_rows * d->count);
    runs[p->run_count++] = run_of(d, of_tap[i], d->shift[i], d->count);
  }
  if (p->shared == 0) return NULL;
  TRY_ALLOC(in, arena, p->pitch + 1);
  (void)lay_rows(d, d->count, in, of_tap);
  for (int64_t first = 0, i = 1; i <= p->pitch; i++) {
    if (i < p->pitch && in[i] == in[i - 1] + d->stride) continue;
    runs[p->run_count++] = run_of(d, first, in[first], i - first);
    first = i;
  }
  return NULL;
}

static leat_status_t plan_offsets(leat_arena_t *arena, const leat_kern_conv_t *s, const int64_t w[5],
                                  leat_kern_conv_phase_t *p, bool *out_fits) {
  const leat_kern_conv_reads_t *d = p->dim;
  int32_t *offsets, *w_offsets, *row_in, *row_of_tap, *column_of_tap = NULL;
  *out_fits = p->channel_block * d[0].taps * d[1].taps * d[2].taps <= OFFSETS_MAX && p->image_rows <= OFFSETS_MAX;
  if (!*out_fits) return NULL;
  TRY_ALLOC(offsets, arena, p->channel_block * d[0].taps * d[1].taps * d[2].taps + 1);
  TRY_ALLOC(w_offsets, arena, p->channel_block * d[0].taps * d[1].taps * d[2].taps + 1);
  TRY_ALLOC(row_in, arena, p->image_rows + 1);
  TRY_ALLOC(row_of_tap, arena, d[1].taps + 1);
  (void)lay_rows(&d[1], p->band, row_in, row_of_tap);
  LEAT_TRY(plan_columns(arena, p, &column_of_tap));
  *out_fits = p->direct != 0 || p->plane <= INT32_MAX;
  p->offsets = offsets;
  p->w_offsets = w_offsets;
  p->image_row_in = row_in;
  for (int64_t c = 0; c < p->channel_block; c++) {
    for (int64_t a = 0; a < d[0].taps; a++) {
      for (int64_t b = 0; b < d[1].taps; b++) {
        for (int64_t e = 0; e < d[2].taps; e++) {
          int64_t at = (c * d[0].taps + a) * p->plane + row_of_tap[b] * p->pitch + column_of_tap[e];
          if (p->direct != 0) {
            at = c * s->x[1] + d[0].shift[a] * s->x[2] + d[1].shift[b] * s->x[3] + d[2].shift[e] * s->x[4];
          }
          const int64_t w_at = c * w[1] + d[0].k[a] * w[2] + d[1].k[b] * w[3] + d[2].k[e] * w[4];
          if (at != (int32_t)at || w_at != (int32_t)w_at) *out_fits = false;
          *offsets++ = (int32_t)at;
          *w_offsets++ = (int32_t)w_at;
        }
      }
    }
  }
  return NULL;
}

static leat_status_t plan_phase(leat_arena_t *arena, const leat_kern_conv_t *s, const leat_kern_conv_plan_t *plan,
                                const int64_t first[3], leat_kern_conv_phase_t *p, bool *out_fits) {
  for (int d = 0; d < 3; d++) LEAT_TRY(plan_reads(arena, &s->window, d, first[d], d == plan->line, &p->dim[d]));
  const bool turned = is_turned(s, plan);
  p->direct = is_direct(p, s, turned);
  p->shared = p->direct == 0 && (turned || columns_are_shared(&p->dim[2]));
  p->store = !(rows_are_flat(p, s->y) && p->dim[0].step == 1 && p->dim[1].step == 1 && p->dim[2].step == 1);
  if (s->chain > 0 && !turned) p->store = 1;
  if (turned)
    choose_turned_blocks(p, s);
  else
    choose_blocks(p, s, plan->beside, first[plan->line] > 0 ? p[-first[plan->line]].band : 0);
  p->image_rows = lay_rows(&p->dim[1], p->band, NULL, NULL);
  p->image_floats = p->direct != 0 ? 0 : p->channel_block * channel_floats(p, p->band);
  LEAT_TRY(plan_offsets(arena, s, plan->w, p, out_fits));
  return turned ? plan_places(arena, s, p, out_fits) : NULL;
}

// w is [o][c][k0][k1][k2] without gaps.
static bool is_contiguous(const leat_kern_conv_t *s) {
  const int64_t dims[5] = {s->outputs, s->channels, s->window.size[0], s->window.size[1], s->window.size[2]};
  int64_t expected = 1;
  for (int d = 4; d >= 0; d--) {
    if (dims[d] > 1 && s->w[d] != expected) return false;
    expected *= dims[d];
  }
  return true;
}

// Windows lie without gaps, forwards or backwards: their first element is *out_first behind that of k = 0.
static bool windows_are_dense(const leat_kern_conv_t *s, int64_t *out_first) {
  int64_t expected = 1;
  *out_first = 0;
  for (int d = 2; d >= 0; d--) {
    const int64_t n = s->window.size[d], stride = s->w[2 + d];
    if (n > 1 && stride != expected && stride != -expected) return false;
    if (n > 1 && stride < 0) *out_first += (n - 1) * stride;
    expected *= n;
  }
  return true;
}

// Outputs lie side by side, taps in equal steps: that from one to the next. Else 0.
static int64_t step_of(const leat_kern_conv_t *s) {
  const int64_t dims[4] = {s->channels, s->window.size[0], s->window.size[1], s->window.size[2]};
  int64_t step = 0, behind = 1;
  if (s->w[0] != 1) return 0;
  for (int d = 1; d < 5; d++) {
    if (s->w[d] < 0 || s->w[d] > INT32_MAX) return 0;
  }
  for (int d = 3; d >= 0; behind *= dims[d--]) {
    if (dims[d] == 1) continue;
    if (step == 0) step = s->w[1 + d] / behind;
    if (s->w[1 + d] != step * behind) return 0;
  }
  return step >= s->outputs ? step : 0;
}

// Phases read some positions of each window: of all channels these are copied side by side.
static bool plan_packed(const leat_kern_conv_t *s, leat_kern_conv_plan_t *p) {
  const int64_t *base = s->window.base, run = window_elements(s), lines = s->channels / CONV_ALIGN_FLOATS + 1;
  if (base[0] * base[1] * base[2] == 1 || run == 1 || s->channels == 1) return false;
  const int64_t row = (lines + (lines % 2 == 0)) * CONV_ALIGN_FLOATS;  // an odd number of lines: of different sets
  if ((double)row * (double)run * (double)s->outputs > CONV_PACKED_FLOATS) return false;
  if (!windows_are_dense(s, &p->w_first)) return false;
  p->packed = row;
  p->w[0] = run * row;
  p->w[1] = 1;
  for (int d = 0; d < 3; d++) p->w[2 + d] = s->window.size[d] > 1 ? s->w[2 + d] * row : 0;
  return true;
}

// Which weights the micro kernel reads. Where those of a channel lie side by side for all outputs, and far from those
// of the next one, as in the gradient of an input, it jumps; what does not stay in L2 is copied before, panel by panel.
static void plan_weights(const leat_kern_conv_t *s, leat_kern_conv_plan_t *p) {
  const int64_t *base = s->window.base, run = window_elements(s);
  p->w_flat = base[0] * base[1] * base[2] == 1 && is_contiguous(s);
  memcpy(p->w, s->w, sizeof p->w);
  p->w_step = step_of(s);
  if (plan_packed(s, p) || is_contiguous(s) || s->outputs * s->channels * run < CONV_FAR_WEIGHTS) return;
  if (s->w[0] != run || !windows_are_dense(s, &p->w_first)) return;
  p->panel = CONV_PANEL_ROWS < s->outputs_per_group ? CONV_PANEL_ROWS : s->outputs_per_group;
  p->w[1] = p->panel * run;
}

// Elements that an operand of these strides has at most.
static double span_of(const int64_t dims[5], const int64_t strides[5]) {
  double span = 1;
  for (int d = 0; d < 5; d++) span += (double)(dims[d] - 1) * fabs((double)strides[d]);
  return span;
}

// Every element of the weights has a place of its own: so sums of their gradient take no more memory than they do.
static bool weights_are_apart(const leat_kern_conv_t *s) {
  const int64_t *size = s->window.size, dims[5] = {s->outputs, s->channels, size[0], size[1], size[2]};
  double elements = 1;
  for (int d = 0; d < 5; d++) elements *= (double)dims[d];
  return elements <= span_of(dims, s->w);
}

bool leat_native_conv_is_ordinary(const leat_kern_conv_t *s) {
  const leat_kern_window_t *w = &s->window;
  if (!weights_are_apart(s)) return false;
  double elements = (double)s->channels, phases = 1;
  for (int d = 0; d < 3; d++) {
    if (w->size[d] > 1024 || w->stride[d] > 1024 || w->dilation[d] > 1024 || w->base[d] > 1024) return false;
    if (w->low[d] > 4096 || w->low[d] < -4096 || (w->base[d] > 1 && w->stride[d] > 1)) return false;
    elements *= (double)(w->out[d] * w->stride[d] + w->size[d] * w->dilation[d]) * (double)w->size[d];
    phases *= (double)w->base[d];
  }
  return elements < 0x1p58 && phases <= 64;
}

bool leat_native_conv_is_depth(const leat_kern_conv_t *s, size_t *out_workspace_bytes) {
  const leat_kern_window_t *w = &s->window;
  if (!leat_native_conv_is_ordinary(s) || s->channels != 1 || s->outputs_per_group > CONV_DEPTH_OUTPUTS) return false;
  if (w->base[0] * w->base[1] * w->base[2] > 1 || w->stride[2] > 2 || s->chain > 0) return false;
  const int64_t lines = (LEAT_KERN_DEPTH_ROWS - 1) * w->stride[1] + (w->size[1] - 1) * w->dilation[1] + 1;
  if (w->size[0] * lines > LEAT_KERN_DEPTH_LINES || w->in[2] > LEAT_NATIVE_CONV_COPY_MAX) return false;
  const int64_t columns = leat_kern_depth_columns(w);
  if (columns > LEAT_NATIVE_CONV_COPY_MAX) return false;
  if ((s->x[4] != 1 && w->in[2] != 1) || (s->y[4] != 1 && w->out[2] != 1)) return false;
  *out_workspace_bytes = (size_t)leat_native_conv_room(w->in[2] + columns + window_elements(s)) * sizeof(float);
  return true;
}

bool leat_native_conv_is_spread(const leat_kern_conv_t *s, size_t *out_workspace_bytes) {
  const leat_kern_window_t *w = &s->window;
  if (!leat_native_conv_is_ordinary(s) || s->channels != 1 || s->outputs_per_group != 1 || s->chain > 0) return false;
  if (w->stride[0] * w->stride[1] * w->stride[2] > 1 || w->base[2] != 2 || w->dilation[2] != 1) return false;
  if (w->size[0] * w->size[1] > LEAT_KERN_SPREAD_LINES || w->size[2] > LEAT_KERN_SPREAD_COLUMNS) return false;
  if (w->in[2] > LEAT_NATIVE_CONV_COPY_MAX || s->x[4] != 1 || s->y[4] != 1) return false;
  *out_workspace_bytes = (size_t)leat_native_conv_room(w->in[2] + window_elements(s)) * sizeof(float);
  return true;
}

leat_status_t leat_native_conv_plan(leat_arena_t *arena, const leat_kern_conv_t *s,
                                    const leat_kern_conv_plan_t **out_plan, size_t *out_workspace_bytes) {
  const int64_t *base = s->window.base;
  leat_kern_conv_plan_t *plan;
  leat_kern_conv_phase_t *phases;
  *out_plan = NULL;
  if (!leat_native_conv_is_ordinary(s) || s->chain % window_elements(s) != 0) return NULL;
  // A phase beyond the outputs is empty: there are at most as many as outputs.
  int64_t counts[3], first[3], image = 0, out = 0, block = 0;
  for (int d = 0; d < 3; d++) counts[d] = base[d] < s->window.out[d] ? base[d] : s->window.out[d];
  TRY_ALLOC(plan, arena, 1);
  TRY_ALLOC(phases, arena, counts[0] * counts[1] * counts[2]);
  plan->phases = phases;
  plan->line = s->window.out[2] > 1 ? 2 : 1;
  plan->beside = counts[plan->line];
  plan_weights(s, plan);
  plan->sum_channels = s->chain / window_elements(s);
  for (first[0] = 0; first[0] < counts[0]; first[0]++) {
    for (first[1] = 0; first[1] < counts[1]; first[1]++) {
      for (first[2] = 0; first[2] < counts[2]; first[2]++) {
        leat_kern_conv_phase_t *p = &phases[plan->phase_count++];
        bool fits = false;
        LEAT_TRY(plan_phase(arena, s, plan, first, p, &fits));
        if (!fits) return NULL;
        int64_t copied = p->group * p->image_floats, stored = 0;
        if (p->places != NULL) {
          p->sum_floats = leat_native_conv_room(turned_floats(p, s));
          stored = p->channel_block < s->channels ? p->sum_floats * sum_rows(s)
                                                  : LEAT_KERN_TURNED_PIECE * LEAT_KERN_TURNED_LANES;
        } else {
          p->sum_floats = leat_native_conv_room(s->outputs_per_group * p->band * p->dim[2].count);
          p->out_floats = p->store != 0 ? p->sum_floats * sum_rows(s) : 0;
          stored = p->out_floats * plan->beside;
        }
        image = copied > image ? copied : image;
        out = stored > out ? stored : out;
        block = p->channel_block > block ? p->channel_block : block;
      }
    }
  }
  plan->panel_at = leat_native_conv_room(image);
  plan->out_at = plan->panel_at + (plan->panel > 0 ? leat_native_conv_room(block * plan->w[1]) : 0);
  if (plan->packed > 0) plan->out_at = plan->panel_at + leat_native_conv_room(s->outputs * plan->w[0]);
  if (image > LEAT_NATIVE_CONV_COPY_MAX || (s->chain > 0 && out > LEAT_NATIVE_CONV_COPY_MAX)) return NULL;
  *out_workspace_bytes = (size_t)(plan->out_at + leat_native_conv_room(out)) * sizeof(float);
  *out_plan = plan;
  return NULL;
}
