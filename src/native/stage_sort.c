// SPDX-License-Identifier: Apache-2.0
// SORT and SCAN: work on lines along one dim, for every position of the other dims. Rows run along another dim.
#include "arch/blocks.h"
#include "native/stage.h"
#include "pef/flow.h"

// A walk over all dims but `line` (and `also`, when a kernel takes lines side by side).
typedef struct walk_s {
  uint32_t rank, line, also;
  int64_t at[8];
} walk_t;

// Moves the addresses of `count` operands to the next line; false after the last one. Absent operands stay NULL.
static bool next_line(walk_t *w, const leat_native_operand_t *operands, const leat_run_tile_t *tile, uint32_t count,
                      char **address) {
  for (uint32_t d = w->rank; d-- > 0;) {
    if (d == w->line || d == w->also) continue;
    int64_t extent = leat_native_operand_extent(&operands[0], d, tile);
    bool carry = ++w->at[d] == extent;
    for (uint32_t i = 0; i < count; i++) {
      if (address[i]) address[i] += (carry ? 1 - extent : 1) * operands[i].strides[d] * operands[i].element_bytes;
    }
    if (!carry) return true;
    w->at[d] = 0;
  }
  return false;
}

// --- scan ---------------------------------------------------------------------------------------------------------

leat_status_t leat_native_scan_prepare(leat_native_stage_t *stage, const leat_native_prepare_t *context) {
  (void)stage, (void)context;
  return NULL;
}

static void scan_lines(const leat_kern_t *kern, uint8_t dtype, uint32_t fn, const leat_kern_scan_t *s, const void *in,
                       void *out) {
  switch (dtype) {
    case PEF_F32:
      kern->scan_f32(s, fn, in, out);
      break;
    case PEF_F64:
      kern->scan_f64(s, fn, in, out);
      break;
    case PEF_I8:
      kern->scan_i8(s, fn, in, out);
      break;
    case PEF_I16:
      kern->scan_i16(s, fn, in, out);
      break;
    case PEF_I32:
      kern->scan_i32(s, fn, in, out);
      break;
    case PEF_I64:
      kern->scan_i64(s, fn, in, out);
      break;
    default:
      kern->scan_u8(s, fn, in, out);  // u8; bool, whose 0 and 1 stay that in PROD, MAX and MIN
  }
}

void leat_native_scan_run(const leat_native_stage_t *stage, const leat_run_tile_t *tile) {
  const leat_native_operand_t *in = &stage->operands[0], *out = &stage->operands[1];
  const uint32_t dim = (uint32_t)stage->params->scan.dim, rank = in->rank;
  // Lines that lie side by side along the innermost other dim go together.
  uint32_t side = rank < 2 ? dim : dim == rank - 1 ? rank - 2 : rank - 1;
  walk_t w = {.rank = rank, .line = dim, .also = side};
  leat_kern_scan_t s = {.count = in->dims[dim], .in_step = in->strides[dim], .out_step = out->strides[dim], .lines = 1};
  if (side != dim) {
    s.lines = leat_native_operand_extent(in, side, tile);
    s.in_line = in->strides[side];
    s.out_line = out->strides[side];
  }
  char *address[2] = {leat_native_operand_at(in, tile), leat_native_operand_at(out, tile)};
  if (stage->params->scan.reverse != 0) {
    address[0] += (s.count - 1) * s.in_step * in->element_bytes;
    address[1] += (s.count - 1) * s.out_step * out->element_bytes;
    s.in_step = -s.in_step;
    s.out_step = -s.out_step;
  }
  do {
    if (stage->params->scan.wide != 0) {
      stage->kern->scan_wide(&s, stage->fn, (const void *)address[0], (void *)address[1]);
    } else {
      scan_lines(stage->kern, in->dtype, stage->fn, &s, address[0], address[1]);
    }
  } while (next_line(&w, stage->operands, tile, 2, address));
}

// --- sort ---------------------------------------------------------------------------------------------------------

// Of lines whose elements lie apart, several that lie side by side are turned into the workspace first: an element then
// comes with the cache line that it shares with those beside it.
typedef struct sort_s {
  int64_t places;    // of a line, from the first on, that somebody reads
  uint32_t side;     // the dim that such lines lie side by side along; the line's own: they are read in place
  int64_t lines;     // that are turned together
  size_t turned_at;  // in the workspace, behind the items
} sort_t;

static void choose_side(sort_t *sort, const leat_native_operand_t *in, uint32_t dim) {
  sort->side = dim;
  sort->lines = 1;
  for (uint32_t d = 0; d < in->rank && in->strides[dim] != 1 && in->dims[dim] > 1; d++) {
    if (d == dim || in->strides[d] != 1 || in->dims[d] < 2) continue;
    sort->side = d;
    sort->lines = SORT_TURNED_BYTES / in->element_bytes;
  }
}

leat_status_t leat_native_sort_prepare(leat_native_stage_t *stage, const leat_native_prepare_t *context) {
  const leat_native_operand_t *in = &stage->operands[PEF_SORT_in];
  const uint32_t dim = (uint32_t)stage->params->sort.dim;
  const size_t count = (size_t)in->dims[dim];
  sort_t *sort = leat_arena_alloc(context->arena, sizeof *sort);
  size_t turned = 0;
  bool fits = sort != NULL && leat_size_mul(count, 2 * sizeof(leat_kern_sort_item_t), &sort->turned_at);
  if (fits) choose_side(sort, in, dim);
  if (fits && sort->side != dim) fits = leat_size_mul(count, SORT_TURNED_BYTES, &turned);
  if (!fits || turned > SIZE_MAX - sort->turned_at)
    LEAT_FAIL(LEAT_OUT_OF_MEMORY, "out of memory while preparing a sort");
  sort->places = context->file == NULL ? in->dims[dim] : 0;
  for (uint32_t o = PEF_SORT_values; o <= PEF_SORT_indices && context->file != NULL; o++) {
    const int64_t places = leat_flow_places(context->pef, context->body, context->file, o, dim);
    if (places > sort->places) sort->places = places;
  }
  stage->plan = sort;
  stage->workspace_bytes = sort->turned_at + turned;
  return NULL;
}

static const leat_kern_sort_item_t *sort_line(const leat_native_stage_t *stage, const void *line, int64_t step,
                                              leat_kern_sort_item_t *items) {
  const leat_native_operand_t *in = &stage->operands[PEF_SORT_in];
  const leat_kern_t *kern = stage->kern;
  const int64_t count = in->dims[stage->params->sort.dim], places = ((const sort_t *)stage->plan)->places;
  const int descending = stage->params->sort.descending != 0;
  switch (in->dtype) {
    case PEF_F32:
      return kern->sort_f32(line, step, count, places, descending, items);
    case PEF_F64:
      return kern->sort_f64(line, step, count, places, descending, items);
    case PEF_BF16:
      return kern->sort_bf16(line, step, count, places, descending, items);
    case PEF_F16:
      return kern->sort_f16(line, step, count, places, descending, items);
    case PEF_I8:
      return kern->sort_i8(line, step, count, places, descending, items);
    case PEF_I16:
      return kern->sort_i16(line, step, count, places, descending, items);
    case PEF_I32:
      return kern->sort_i32(line, step, count, places, descending, items);
    case PEF_I64:
      return kern->sort_i64(line, step, count, places, descending, items);
    default:
      return kern->sort_u8(line, step, count, places, descending, items);
  }
}

// One line: its values and places go to the line of the results that begins at values and indices (NULL: not wanted).
static void put_line(const leat_native_stage_t *stage, const char *line, int64_t step, char *values, char *indices,
                     leat_kern_sort_item_t *items) {
  const leat_native_operand_t *operands = stage->operands;
  const uint32_t dim = (uint32_t)stage->params->sort.dim;
  const int64_t bytes = operands[PEF_SORT_in].element_bytes, places = ((const sort_t *)stage->plan)->places;
  const int64_t values_step = operands[PEF_SORT_values].strides[dim] * bytes;
  const int64_t indices_step = operands[PEF_SORT_indices].strides[dim];
  const leat_kern_sort_item_t *sorted = sort_line(stage, line, step, items);
  for (int64_t i = 0; i < places; i++) {
    const int64_t from = sorted[i].index;
    if (values) memcpy(values + i * values_step, line + from * step * bytes, (size_t)bytes);
    if (indices) ((int64_t *)(void *)indices)[i * indices_step] = from;
  }
}

static char *moved(char *address, const leat_native_operand_t *operand, uint32_t dim, int64_t by) {
  return address == NULL ? NULL : address + by * operand->strides[dim] * operand->element_bytes;
}

// The lines that lie side by side from `address` on; one where they are read in place.
static void sort_lines(const leat_native_stage_t *stage, const leat_run_tile_t *tile, char *const address[3]) {
  const sort_t *sort = stage->plan;
  const leat_native_operand_t *operands = stage->operands, *in = &operands[PEF_SORT_in];
  const uint32_t dim = (uint32_t)stage->params->sort.dim;
  const int64_t count = in->dims[dim], bytes = in->element_bytes;
  leat_kern_sort_item_t *items = (void *)tile->workspace;
  char *turned = tile->workspace + sort->turned_at;
  if (sort->side == dim) {
    put_line(stage, address[0], in->strides[dim], address[1], address[2], items);
    return;
  }
  const int64_t extent = leat_native_operand_extent(in, sort->side, tile);
  for (int64_t first = 0; first < extent; first += sort->lines) {
    const int64_t lines = extent - first < sort->lines ? extent - first : sort->lines;
    leat_native_copy2(stage->kern, in->element_bytes, turned, count, address[0] + first * bytes, 1, in->strides[dim],
                      lines, count);
    for (int64_t i = 0; i < lines; i++)
      put_line(stage, turned + i * count * bytes, 1, moved(address[1], &operands[1], sort->side, first + i),
               moved(address[2], &operands[2], sort->side, first + i), items);
  }
}

void leat_native_sort_run(const leat_native_stage_t *stage, const leat_run_tile_t *tile) {
  const uint32_t dim = (uint32_t)stage->params->sort.dim;
  walk_t w = {.rank = stage->operands[PEF_SORT_in].rank, .line = dim, .also = ((const sort_t *)stage->plan)->side};
  char *address[3];
  for (uint32_t i = 0; i < 3; i++) {
    const leat_native_operand_t *o = &stage->operands[i];
    address[i] = o->space == PEF_SPACE_NONE ? NULL : leat_native_operand_at(o, tile);
  }
  do {
    sort_lines(stage, tile, address);
  } while (next_line(&w, stage->operands, tile, 3, address));
}
