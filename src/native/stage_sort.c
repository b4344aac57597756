// SPDX-License-Identifier: Apache-2.0
// SORT and SCAN: work on lines along one dim, for every position of the other dims. Rows run along another dim.
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

typedef struct sort_s {
  int64_t places;  // of a line, from the first on, that somebody reads
} sort_t;

leat_status_t leat_native_sort_prepare(leat_native_stage_t *stage, const leat_native_prepare_t *context) {
  const uint32_t dim = (uint32_t)stage->params->sort.dim;
  sort_t *sort = leat_arena_alloc(context->arena, sizeof *sort);
  size_t bytes;
  if (sort == NULL ||
      !leat_size_mul((size_t)stage->operands[PEF_SORT_in].dims[dim], 2 * sizeof(leat_kern_sort_item_t), &bytes))
    LEAT_FAIL(LEAT_OUT_OF_MEMORY, "out of memory while preparing a sort");
  sort->places = context->file == NULL ? stage->operands[PEF_SORT_in].dims[dim] : 0;
  for (uint32_t o = PEF_SORT_values; o <= PEF_SORT_indices && context->file != NULL; o++) {
    const int64_t places = leat_flow_places(context->pef, context->body, context->file, o, dim);
    if (places > sort->places) sort->places = places;
  }
  stage->plan = sort;
  stage->workspace_bytes = bytes;
  return NULL;
}

static const leat_kern_sort_item_t *sort_line(const leat_native_stage_t *stage, const void *in, int64_t places,
                                              leat_kern_sort_item_t *items) {
  const leat_native_operand_t *line = &stage->operands[PEF_SORT_in];
  const leat_kern_t *kern = stage->kern;
  const int64_t step = line->strides[stage->params->sort.dim], count = line->dims[stage->params->sort.dim];
  const int descending = stage->params->sort.descending != 0;
  switch (line->dtype) {
    case PEF_F32:
      return kern->sort_f32(in, step, count, places, descending, items);
    case PEF_F64:
      return kern->sort_f64(in, step, count, places, descending, items);
    case PEF_BF16:
      return kern->sort_bf16(in, step, count, places, descending, items);
    case PEF_F16:
      return kern->sort_f16(in, step, count, places, descending, items);
    case PEF_I8:
      return kern->sort_i8(in, step, count, places, descending, items);
    case PEF_I16:
      return kern->sort_i16(in, step, count, places, descending, items);
    case PEF_I32:
      return kern->sort_i32(in, step, count, places, descending, items);
    case PEF_I64:
      return kern->sort_i64(in, step, count, places, descending, items);
    default:
      return kern->sort_u8(in, step, count, places, descending, items);
  }
}

void leat_native_sort_run(const leat_native_stage_t *stage, const leat_run_tile_t *tile) {
  const leat_native_operand_t *in = &stage->operands[PEF_SORT_in];
  const uint32_t dim = (uint32_t)stage->params->sort.dim;
  const int64_t bytes = in->element_bytes, places = ((const sort_t *)stage->plan)->places;
  walk_t w = {.rank = in->rank, .line = dim, .also = dim};
  char *address[3];
  for (uint32_t i = 0; i < 3; i++) {
    const leat_native_operand_t *o = &stage->operands[i];
    address[i] = o->space == PEF_SPACE_NONE ? NULL : leat_native_operand_at(o, tile);
  }
  do {
    const leat_kern_sort_item_t *sorted = sort_line(stage, address[0], places, (void *)tile->workspace);
    for (int64_t i = 0; i < places; i++) {
      const int64_t from = sorted[i].index;
      if (address[1]) {
        memcpy(address[1] + i * stage->operands[1].strides[dim] * bytes, address[0] + from * in->strides[dim] * bytes,
               (size_t)bytes);
      }
      if (address[2]) ((int64_t *)(void *)address[2])[i * stage->operands[2].strides[dim]] = from;
    }
  } while (next_line(&w, stage->operands, tile, 3, address));
}
