// SPDX-License-Identifier: Apache-2.0
// Fast forward convolution (and x gradient, which arrives as one): for every image, group and band of output rows, and
// for every block of channels, the input is copied to where the micro kernel finds the outputs of the band side by side
// for every tap; the micro kernel then sums over the taps of the block, channels and window positions ascending.
#include "kern/finish.h"
#include "kern/isa.h"

enum { NARROW = 16 };  // columns: up to so many, rows are too short to be copied one by one

// What one call works on: an image and a group of it.
typedef struct job_s {
  const leat_kern_conv_plan_t *p;
  const leat_kern_conv_t *s;
  const leat_kern_conv_phase_t *phase;
  const float *x;            // first channel of the group
  const float *w;            // first output channel
  float *y;                  // first output channel
  const float *bias, *side;  // of s->finish: likewise
  float *image, *panel, *out;
  int64_t images;  // of a band: 1, but where outputs are the lanes
  int64_t rows;
  int64_t sum_channels;  // of a block of a sum
  int in_blocks;
} job_t;

// `rows` rows of up to REG_LANES columns: copies of rows row_step apart, or zeros (from NULL). `tight`: one store
// covers a row of the copy and may run into the next one, which is written after it.
VEC_INLINE float *put_rows(float *to, int64_t pitch, const float *from, int64_t row_step, int64_t rows,
                           reg_mask_t inside, reg_mask_t whole, const int tight) {
  reg_t v = reg_zero();
  for (int64_t r = 0; r < rows; r++, to += pitch) {
    if (from) {
      v = reg_load_lanes(from, inside);
      from += row_step;
    }
    if (tight)
      reg_store(to, v);
    else
      reg_store_lanes(to, v, whole);
  }
  return to;
}

// A run of columns that a register holds, of all rows of the copy. plane is NULL in the padding.
VEC_INLINE void copy_columns(const job_t *j, const leat_kern_conv_run_t *run, const float *plane, int64_t band_first,
                             float *to, const int tight) {
  const leat_kern_conv_reads_t *rows = &j->phase->dim[1];
  const int64_t pitch = j->phase->pitch, row_step = j->s->x[3], n = j->phase->image_rows;
  const reg_mask_t inside = reg_lanes(run->low, run->high), whole = reg_lanes(0, run->width);
  const int64_t most = rows->stride == 1 ? n : 1;  // rows of the copy that follow each other in x
  for (int64_t r = 0; r < n; r += most) {
    const int64_t in = j->phase->image_row_in[r] + band_first * rows->stride;
    const int64_t first = leat_kern_clamp(-in, 0, most);
    const int64_t last = plane ? leat_kern_clamp(rows->in - in, first, most) : first;
    to = put_rows(to, pitch, NULL, 0, first, inside, whole, tight);
    if (last > first) {
      const float *from = plane + (in + first) * row_step + run->first;
      to = put_rows(to, pitch, from, row_step, last - first, inside, whole, tight);
    }
    to = put_rows(to, pitch, NULL, 0, most - last, inside, whole, tight);
  }
}
// A run of few columns: register by register, each of all rows.
static void copy_narrow(const job_t *j, const leat_kern_conv_run_t *run, const float *plane, int64_t band_first,
                        float *to) {
  for (int64_t c = 0; c < run->width; c += REG_LANES) {
    const int64_t width = leat_kern_clamp(run->width - c, 0, REG_LANES);
    const leat_kern_conv_run_t part = {.first = run->first + c,
                                       .low = leat_kern_clamp(run->low - c, 0, width),
                                       .high = leat_kern_clamp(run->high - c, 0, width),
                                       .width = width};
    if (width == REG_LANES)
      copy_columns(j, &part, plane, band_first, to + c, 1);
    else
      copy_columns(j, &part, plane, band_first, to + c, 0);
  }
}
// A row of a run, from element 0 on; NULL: in the padding. `ahead` elements further on lies what will be copied next.
static void copy_row(const leat_kern_conv_run_t *run, const float *from, int64_t ahead, float *to) {
  int64_t c = 0;
  for (; c + REG_LANES <= run->width; c += REG_LANES) {
    reg_t v = reg_zero();
    if (from) __builtin_prefetch(from + c + ahead);
    if (from && c >= run->low && c + REG_LANES <= run->high)
      v = reg_load(from + c);
    else if (from)
      v = reg_load_lanes(from + c, reg_part(run->low, run->high, c));
    reg_store(to + c, v);
  }
  if (c == run->width) return;
  const reg_t v = from ? reg_load_lanes(from + c, reg_part(run->low, run->high, c)) : reg_zero();
  reg_store_lanes(to + c, v, reg_part(0, run->width, c));
}
// A run of more columns than a register has, row by row: along x, as it lies.
static void copy_wide(const job_t *j, const leat_kern_conv_run_t *run, const float *plane, int64_t band_first,
                      float *to) {
  const leat_kern_conv_reads_t *rows = &j->phase->dim[1];
  for (int64_t r = 0; r < j->phase->image_rows; r++, to += j->phase->pitch) {
    const int64_t in = j->phase->image_row_in[r] + band_first * rows->stride;
    const int is_inside = plane && in >= 0 && in < rows->in;
    copy_row(run, is_inside ? plane + in * j->s->x[3] + run->first : NULL, j->s->x[1], to);
  }
}
// Columns low <= c < high of a row: from[2 c]. Reads nothing behind from[2 (high - 1)].
static void copy_even(const float *from, int64_t low, int64_t high, float *to) {
  int64_t c = low;
  for (; c + REG_LANES <= high; c += REG_LANES) {
    const float *p = from + 2 * c;
    reg_store(to + c, reg_evens(reg_load(p), reg_load(p + REG_LANES - 1)));
  }
  for (; c < high; c++) to[c] = from[2 * c];
}
// A run of columns of any stride, row by row.
static void copy_strided(const job_t *j, const leat_kern_conv_run_t *run, const float *plane, int64_t band_first,
                         float *to) {
  const leat_kern_conv_reads_t *rows = &j->phase->dim[1];
  const int64_t step = j->phase->dim[2].stride * j->s->x[4];
  for (int64_t r = 0; r < j->phase->image_rows; r++, to += j->phase->pitch) {
    int64_t in = j->phase->image_row_in[r] + band_first * rows->stride;
    int64_t low = run->low, high = run->high, c = 0;
    if (!plane || in < 0 || in >= rows->in) low = high = run->width;
    for (; c < low; c++) to[c] = 0;
    if (c < high) {
      const float *from = plane + in * j->s->x[3] + run->first * j->s->x[4];
      if (step == 2) {
        copy_even(from, c, high, to);
        c = high;
      }
      for (; c < high; c++) to[c] = from[c * step];
    }
    for (; c < run->width; c++) to[c] = 0;
  }
}

// The same where rows have one element, which no tap misses: rows follow each other in x and in the copy.
static void copy_lines(const job_t *j, const float *plane, int64_t band_first, float *to) {
  const leat_kern_conv_reads_t *rows = &j->phase->dim[1];
  const int32_t *row_in = j->phase->image_row_in;
  const int64_t n = j->phase->image_rows, step = rows->stride * j->s->x[3];
  for (int64_t r = 0, run; r < n; r += run, to += run) {
    for (run = 1; r + run < n && row_in[r + run] - row_in[r + run - 1] == rows->stride;) run++;
    const int64_t in = row_in[r] + band_first * rows->stride;
    int64_t low = in >= 0 ? 0 : leat_kern_clamp((rows->stride - 1 - in) / rows->stride, 0, run), high = low;
    if (plane && in < rows->in) high = leat_kern_clamp((rows->in - in + rows->stride - 1) / rows->stride, low, run);
    for (int64_t i = 0; i < low; i++) to[i] = 0;
    const float *from = plane ? plane + in * j->s->x[3] : NULL;
    if (step == 1 && low < high)
      KERN(copy2_b4)((uint32_t *)to + low, 0, (const uint32_t *)from + low, 0, 1, 1, high - low);
    else if (step == 2)
      copy_even(from, low, high, to);
    else
      for (int64_t i = low; i < high; i++) to[i] = from[i * step];
    for (int64_t i = high; i < run; i++) to[i] = 0;
  }
}

static void copy_run(const job_t *j, const leat_kern_conv_run_t *run, const float *plane, int64_t band_first,
                     float *to) {
  const int line = run->width == 1 && j->phase->pitch == 1 && run->first == 0 && run->low == 0 && run->high == 1;
  if (line)
    copy_lines(j, plane, band_first, to);
  else if (j->phase->dim[2].stride != 1 || j->s->x[4] != 1)
    copy_strided(j, run, plane, band_first, to);
  else if (run->width <= REG_LANES && run->width == j->phase->pitch)
    copy_columns(j, run, plane, band_first, to, 1);
  else if (run->width <= NARROW)
    copy_narrow(j, run, plane, band_first, to);
  else
    copy_wide(j, run, plane, band_first, to);
}

// The copy for `channels` channels of x, output plane `z` and the band from `band_first` on.
static void copy_image(const job_t *j, const float *x, int64_t channels, int64_t z, int64_t band_first) {
  const leat_kern_conv_phase_t *phase = j->phase;
  const leat_kern_conv_reads_t *planes = &phase->dim[0];
  float *to = j->image;
  for (int64_t c = 0; c < channels; c++) {
    for (int64_t k0 = 0; k0 < planes->taps; k0++, to += phase->plane) {
      int64_t in = z * planes->stride + planes->shift[k0];
      const float *plane = in >= 0 && in < planes->in ? x + c * j->s->x[1] + in * j->s->x[2] : NULL;
      for (int64_t i = 0; i < phase->run_count; i++) {
        copy_run(j, &phase->runs[i], plane, band_first, to + phase->runs[i].at);
      }
    }
  }
}

// What becomes of the sums of a band in the workspace, in place.
static void finish(const job_t *j, int64_t z, int64_t band_first, int64_t band_rows) {
  const leat_kern_finish_t *f = j->s->finish;
  const int64_t width = j->phase->dim[2].count, run = f->side ? width : band_rows * width;
  float *row = j->out;
  for (int64_t o = 0; o < j->rows; o++) {
    const float *bias = f->bias ? j->bias + o * f->bias_step : NULL, *side = NULL;
    if (f->side) side = j->side + o * f->side_step[1] + z * f->side_step[2] + band_first * f->side_step[3];
    for (int64_t done = 0; done < band_rows * width; done += run, row += run) {
      finish_row(f, row, bias, side, run);
      if (side) side += f->side_step[3];
    }
  }
}

// What two phases have of a line of y, `width` elements: in turns.
static void store_pairs(const float *even, const float *odd, int64_t width, float *to) {
  for (int64_t c = 0; 2 * c < width; c += REG_LANES, to += 2 * REG_LANES) {
    reg_t high, low = reg_interleave(reg_load(even + c), reg_load(odd + c), &high);
    reg_store_lanes(to, low, reg_part(0, width, 2 * c));
    reg_store_lanes(to + REG_LANES, high, reg_part(0, width, 2 * c + REG_LANES));
  }
}

// The same of `phases`, each `apart` floats from the one before; elements of y `step` from each other.
static void store_line(const float *from, int64_t apart, int64_t phases, int64_t width, float *to, int64_t step) {
  int64_t whole = step == 1 ? width / phases : 0;
  if (phases == 2 && step == 1) {
    store_pairs(from, from + apart, width, to);
    return;
  }
  if (phases == 1)
    KERN(copy2_b4)((uint32_t *)to, 0, (const uint32_t *)from, 0, 1, 1, whole);
  else
    KERN(copy2_b4)((uint32_t *)to, phases, (const uint32_t *)from, 1, apart, whole, phases);
  for (int64_t i = whole * phases; i < width; whole++) {
    for (int64_t p = 0; p < phases && i < width; p++, i++) to[i * step] = from[p * apart + whole];
  }
}

// Moves the micro kernel's rows to y, of a band of all phases that lie beside each other, of which this is the first.
static void store(const job_t *j, int64_t z, int64_t band_first, int64_t band_rows) {
  const leat_kern_conv_reads_t *d = j->phase->dim;
  const int64_t *y = j->s->y, *out = j->s->window.out, phases = j->p->beside, apart = j->phase->out_floats;
  const int along = j->p->line;
  const int64_t lines = along == 2 ? band_rows : 1;
  const int64_t count = along == 2 ? d[2].count : band_rows, first = along == 2 ? 0 : band_first * phases;
  const int64_t width = leat_kern_clamp(out[along] - first, 0, count * phases);
  const float *from = j->out;
  for (int64_t o = 0; o < j->rows; o++) {
    float *plane = j->y + o * y[1] + (d[0].first + z * d[0].step) * y[2] + first * y[3];
    for (int64_t r = 0; r < lines; r++, from += count) {
      const int64_t row = along == 2 ? d[1].first + (band_first + r) * d[1].step : 0;
      store_line(from, apart, phases, width, plane + row * y[3], y[2 + along]);
    }
  }
}

// Adds the taps of `channels` channels of weights from `c` on.
static void add_taps(const job_t *j, leat_kern_taps_t *t, int64_t c, int64_t channels) {
  const leat_kern_conv_plan_t *p = j->p;
  const int64_t *w = p->packed > 0 ? p->w : j->s->w, rows = p->panel > 0 ? p->panel : j->rows;
  leat_kern_taps_t part = *t;
  for (int64_t o = 0; o < j->rows; o += rows) {
    part.rows = leat_kern_clamp(j->rows - o, 0, rows);
    part.w = j->w + o * w[0] + c * w[1];
    part.out = t->out + o * t->out_row;
    if (t->bias) part.bias = t->bias + o * t->finish->bias_step;
    if (t->side) part.side = t->side + o * t->finish->side_step[1];
    if (p->panel > 0) {
      const float *from = part.w + p->w_first;
      KERN(copy2_b4)((uint32_t *)j->panel, p->w[1], (const uint32_t *)from, w[1], 1, channels, part.rows * w[0]);
      part.w = j->panel - p->w_first;
    }
    KERN(conv_taps)(&part);
  }
}

// Sums that are whole when they leave registers are what they become, but where what is added lies otherwise.
static int finishes_in_registers(const job_t *j) {
  const leat_kern_finish_t *f = j->s->finish;
  return f && !j->in_blocks && (j->phase->store == 0 || !f->side);
}
static void finish_in_registers(const job_t *j, int64_t z, int64_t band_first, leat_kern_taps_t *t) {
  const leat_kern_finish_t *f = t->finish = j->s->finish;
  t->bias = j->bias;
  if (f->side) t->side = j->side + z * f->side_step[2] + band_first * f->side_step[3];
}

// Outputs are summed in blocks of channels: the sum of the open block lies at `out`, those of others behind it.
static void run_band(const job_t *j, int64_t z, int64_t band_first, int64_t band_rows) {
  const leat_kern_conv_phase_t *phase = j->phase;
  const leat_kern_conv_reads_t *d = phase->dim;
  const int64_t taps = d[0].taps * d[1].taps * d[2].taps;
  leat_kern_taps_t t = {.base = j->image,
                        .offsets = phase->offsets,
                        .w_offsets = phase->w_offsets,
                        .w_row = j->p->w[0],
                        .rows = j->rows,
                        .w_flat = j->p->w_flat,
                        .far = phase->direct,
                        .run = phase->shared != 0 ? d[2].count : 0,
                        .run_step = phase->pitch,
                        .lanes = band_rows * d[2].count};
  t.out = j->out;
  t.out_row = t.lanes;
  if (phase->store == 0) {
    t.out = j->y + z * j->s->y[2] + band_first * j->s->y[3];
    t.out_row = j->s->y[1];
  }
  int64_t channels, blocks = 0;
  for (int64_t c = 0, open = 0; c < j->s->channels; c += channels) {
    channels = leat_kern_clamp(j->s->channels - c, 0, leat_kern_clamp(j->sum_channels - open, 1, phase->channel_block));
    const float *x = j->x + c * j->s->x[1];
    if (phase->direct != 0)
      t.base = x + z * j->s->x[2] + band_first * j->s->x[3];
    else
      copy_image(j, x, channels, z, band_first);
    t.taps = channels * taps;
    t.accumulate = open > 0;
    if (c + channels == j->s->channels && finishes_in_registers(j)) finish_in_registers(j, z, band_first, &t);
    add_taps(j, &t, c, channels);
    open += channels;
    if (j->in_blocks && (open == j->sum_channels || c + channels == j->s->channels)) {
      KERN(pairs_close_f32)(j->out, phase->sum_floats, blocks++, j->rows * t.out_row);
      open = 0;
    }
  }
  if (j->in_blocks) KERN(pairs_end_f32)(j->out, j->out, phase->sum_floats, blocks, j->rows * t.out_row);
  if (j->s->finish && !finishes_in_registers(j)) finish(j, z, band_first, band_rows);
}

// --- outputs as lanes ----------------------------------------------------------------------------------------------

// What a band is there: its outputs, and where it begins.
typedef struct turned_s {
  int64_t z, first, rows, positions;
  float *out;  // of a panel: of the next one, `positions` rows behind; or of a piece, which is stored at once
} turned_t;

// Where outputs of a row of y go that are side by side, and what is added to them.
typedef struct row_s {
  float *y;
  const float *bias, *side;
} row_t;

// A square of positions by lanes from out[n][lane] to y, turned: `count` positions, `lanes` lanes.
VEC_INLINE void put_square(const job_t *j, const float *out, row_t to, int64_t lanes, int64_t count) {
  const leat_kern_finish_t *f = j->s->finish;
  const reg_mask_t inside = reg_lanes(0, count);
  reg_t r[REG_LANES];
#pragma GCC unroll 16
  for (int i = 0; i < REG_LANES; i++) r[i] = i < count ? reg_load(out + i * LEAT_KERN_TURNED_LANES) : reg_zero();
  reg_transpose(r);
#pragma GCC unroll 16
  for (int i = 0; i < REG_LANES; i++) {
    if (i >= lanes) break;
    if (to.bias) r[i] = reg_add(r[i], reg_splat(to.bias[i * f->bias_step]));
    if (to.side) r[i] = reg_add(r[i], reg_load_lanes(to.side + i * f->side_step[1], inside));
    if (f && f->bounded != 0) r[i] = finish_bound(f, r[i]);
    reg_store_lanes(to.y + i * j->s->y[1], r[i], inside);
  }
}

// `count` outputs side by side of a row of y, from column `column` on, of `lanes` channels from `o` on.
static void put_lanes(const job_t *j, const turned_t *b, const float *out, int64_t o, int64_t lanes, int64_t image,
                      int64_t row, int64_t column, int64_t count) {
  const leat_kern_finish_t *f = j->s->finish;
  const int64_t *y = j->s->y, *step = f ? f->side_step : NULL;
  for (int64_t l = 0; l < lanes; l += REG_LANES) {
    row_t to = {.y = j->y + image * y[0] + (o + l) * y[1] + b->z * y[2] + (b->first + row) * y[3] + column * y[4]};
    if (f && f->bias) to.bias = j->bias + (o + l) * f->bias_step;
    if (f && f->side)
      to.side = j->side + image * step[0] + (o + l) * step[1] + b->z * step[2] + (b->first + row) * step[3] + column;
    for (int64_t n = 0; n < count; n += REG_LANES) {
      put_square(j, out + n * LEAT_KERN_TURNED_LANES + l, to, lanes - l, leat_kern_clamp(count - n, 0, REG_LANES));
      to.y += REG_LANES;
      if (to.side) to.side += REG_LANES;
    }
  }
}

// Outputs `n` up to `n + count` of the band from out[n][lane] to y. Rows of y go together where they are side by side.
static void store_lanes(const job_t *j, const turned_t *b, const float *out, int64_t o, int64_t lanes, int64_t n,
                        int64_t count) {
  const leat_kern_finish_t *f = j->s->finish;
  const int64_t width = j->phase->dim[2].count, plane = b->rows * width;
  const int flat = j->phase->store == 0 && !(f && f->side && f->side_step[3] != width);
  const int64_t run = flat ? plane : width;
  for (int64_t done = 0, part; done < count; done += part) {
    const int64_t at = n + done;
    part = leat_kern_clamp(count - done, 0, run - at % run);
    put_lanes(j, b, out + done * LEAT_KERN_TURNED_LANES, o, lanes, at / plane, at % plane / width, at % width, part);
  }
}

// Weights of neighbouring taps lie so far apart that no prefetcher of L1 follows from one to the next.
static int taps_are_far(const leat_kern_turned_t *t) { return t->w_step > LEAT_KERN_TURNED_STEP; }

// All taps; where they are far, so many at a time that L1 keeps their weights for all positions.
static void run_taps(const leat_kern_turned_t *t) {
  const int64_t most = taps_are_far(t) ? LEAT_KERN_TURNED_TAPS : t->taps;
  leat_kern_turned_t part = *t;
  for (int64_t k = 0; k < t->taps; k += part.taps) {
    part.taps = leat_kern_next_piece(t->taps - k, most);
    part.offsets = t->offsets + k;
    part.w = t->w + k * t->w_step;
    part.accumulate = t->accumulate != 0 || k > 0;
    KERN(conv_turned)(&part);
  }
}

// Adds the taps of `channels` channels of weights from `c` on, panel by panel. Where that is all there is, pieces are
// stored as they come.
static void add_panels(const job_t *j, const turned_t *b, leat_kern_turned_t *t, int64_t c, int64_t channels) {
  const int single = channels == j->s->channels;
  const int64_t all = b->positions, most = single || taps_are_far(t) ? LEAT_KERN_TURNED_PIECE : all;
  for (int64_t o = 0, panel = 0; o < j->rows; o += t->lanes, panel++) {
    t->lanes = leat_kern_clamp(j->rows - o, 0, LEAT_KERN_TURNED_LANES);
    t->w = j->w + o + c * j->s->w[1];
    t->ahead = o + t->lanes < j->rows ? t->lanes : t->taps * t->w_step - o;
    for (int64_t n = 0; n < all; n += t->count) {
      t->count = leat_kern_next_piece(all - n, most);
      t->places = j->phase->places + n;
      t->out = single ? b->out : b->out + (panel * all + n) * LEAT_KERN_TURNED_LANES;
      run_taps(t);
      if (single) store_lanes(j, b, t->out, o, t->lanes, n, t->count);
    }
  }
}

static void store_panels(const job_t *j, const turned_t *b) {
  for (int64_t o = 0; o < j->rows; o += LEAT_KERN_TURNED_LANES) {
    const int64_t lanes = leat_kern_clamp(j->rows - o, 0, LEAT_KERN_TURNED_LANES);
    for (int64_t n = 0, count; n < b->positions; n += count) {
      count = leat_kern_next_piece(b->positions - n, LEAT_KERN_TURNED_PIECE);
      store_lanes(j, b, b->out + (o * b->positions + n * LEAT_KERN_TURNED_LANES), o, lanes, n, count);
    }
  }
}

static const float *copy_images(const job_t *j, const float *x, int64_t channels, const turned_t *b) {
  const leat_kern_conv_phase_t *phase = j->phase;
  const leat_kern_conv_reads_t *d = phase->dim;
  if (phase->direct != 0) return x + b->z * d[0].stride * j->s->x[2] + b->first * d[1].stride * j->s->x[3];
  for (int64_t i = 0; i < j->images; i++) {
    job_t one = *j;
    one.image += i * phase->image_floats;
    copy_image(&one, x + i * j->s->x[0], channels, b->z, b->first);
  }
  return j->image;
}

static void run_turned(const job_t *j, int64_t z, int64_t band_first, int64_t band_rows) {
  const leat_kern_conv_phase_t *phase = j->phase;
  const leat_kern_conv_reads_t *d = phase->dim;
  const int64_t taps = d[0].taps * d[1].taps * d[2].taps, wide = LEAT_KERN_TURNED_LANES;
  const turned_t b = {z, band_first, band_rows, j->images * band_rows * d[2].count, j->out};
  const int64_t floats = (j->rows + wide - 1) / wide * b.positions * wide;
  leat_kern_turned_t t = {.offsets = phase->offsets, .w_step = j->p->w_step};
  int64_t channels = 0, blocks = 0;
  for (int64_t c = 0, open = 0; c < j->s->channels; c += channels) {
    channels = leat_kern_clamp(j->s->channels - c, 0, leat_kern_clamp(j->sum_channels - open, 1, phase->channel_block));
    t.base = copy_images(j, j->x + c * j->s->x[1], channels, &b);
    t.taps = channels * taps;
    t.accumulate = open > 0;
    add_panels(j, &b, &t, c, channels);
    open += channels;
    if (j->in_blocks && (open == j->sum_channels || c + channels == j->s->channels)) {
      KERN(pairs_close_f32)(j->out, phase->sum_floats, blocks++, floats);
      open = 0;
    }
  }
  if (j->in_blocks) KERN(pairs_end_f32)(j->out, j->out, phase->sum_floats, blocks, floats);
  if (channels < j->s->channels) store_panels(j, &b);
}

// --- all of it -----------------------------------------------------------------------------------------------------

// Band `index` of output plane z of the phases beside `phase`, which have both or none.
static void run_phases(const job_t *j, const leat_kern_conv_phase_t *phase, int64_t z, int64_t index) {
  const int64_t first = index * phase->band, rows = leat_kern_clamp(phase->dim[1].count - first, 0, phase->band);
  if (z >= phase->dim[0].count || rows == 0) return;
  job_t one = *j;
  one.phase = phase;
  if (phase->places) {
    run_turned(&one, z, first, rows);
    return;
  }
  for (int64_t i = 0; i < j->p->beside; i++, one.phase++, one.out += phase->out_floats) run_band(&one, z, first, rows);
  one.phase = phase;
  one.out = j->out;
  if (phase->store != 0) store(&one, z, first, rows);
}

// A group of an image. Phases take turns band by band: their outputs lie between each other.
static void run_group(const job_t *j) {
  const leat_kern_conv_plan_t *p = j->p;
  int64_t planes = 0, bands = 0;
  for (int64_t i = 0; i < p->phase_count; i += p->beside) {
    const leat_kern_conv_phase_t *phase = &p->phases[i];
    const int64_t count = (phase->dim[1].count + phase->band - 1) / phase->band;
    planes = phase->dim[0].count > planes ? phase->dim[0].count : planes;
    bands = count > bands ? count : bands;
  }
  for (int64_t z = 0; z < planes; z++) {
    for (int64_t b = 0; b < bands; b++) {
      for (int64_t i = 0; i < p->phase_count; i += p->beside) run_phases(j, &p->phases[i], z, b);
    }
  }
}

// One image: its groups, the part of them that this tile holds.
static void run_image(job_t *j, const float *x, const float *w, float *y, const float *side) {
  const leat_kern_conv_t *s = j->s;
  const leat_kern_finish_t *f = s->finish;
  for (int64_t o = 0; o < s->outputs; o += j->rows) {
    int64_t at = s->output_first + o, group = at / s->outputs_per_group;
    j->rows = leat_kern_clamp((group + 1) * s->outputs_per_group - at, 0, s->outputs - o);
    j->x = x + group * s->channels * s->x[1];
    j->w = w + o * (j->p->packed > 0 ? j->p->w[0] : s->w[0]);
    j->y = y + o * s->y[1];
    j->bias = f && f->bias ? f->bias + o * f->bias_step : NULL;
    j->side = side ? side + o * f->side_step[1] : NULL;
    run_group(j);
  }
}

// The weights of all outputs of a tile, so that taps of a phase lie side by side. Gives where those of position 0 are.
static const float *pack(const leat_kern_conv_plan_t *p, const leat_kern_conv_t *s, const float *w, float *to) {
  const int64_t *size = s->window.size, run = size[0] * size[1] * size[2];
  const int dense = s->w[0] == run;  // from output to output, too
  const int64_t rows = dense ? s->outputs * run : run;
  uint32_t *out = (uint32_t *)to;
  for (int64_t o = 0; o < s->outputs; o += rows / run, out += rows * p->packed)
    KERN(copy2_b4)(out, p->packed, (const uint32_t *)(w + p->w_first + o * s->w[0]), 1, s->w[1], rows, s->channels);
  return to - p->w_first * p->packed;
}

void KERN(conv_fast)(const leat_kern_conv_plan_t *p, const leat_kern_conv_t *s, const float *x, const float *w,
                     float *y, float *workspace) {
  job_t j = {.p = p, .s = s, .image = workspace, .panel = workspace + p->panel_at, .out = workspace + p->out_at};
  j.in_blocks = p->sum_channels > 0;
  j.sum_channels = p->sum_channels > 0 ? p->sum_channels : s->channels;
  if (p->packed > 0) w = pack(p, s, w, j.panel);
  const int64_t group = p->phase_count == 1 ? p->phases[0].group : 1;
  for (int64_t n = 0; n < s->images; n += j.images) {
    j.images = leat_kern_clamp(s->images - n, 0, group);
    const float *side = s->finish && s->finish->side ? s->finish->side + n * s->finish->side_step[0] : NULL;
    run_image(&j, x + n * s->x[0], w, y + n * s->y[0], side);
  }
}
