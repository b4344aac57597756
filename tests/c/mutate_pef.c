// SPDX-License-Identifier: Apache-2.0
// See mutate.h: mutations of a PEF by its tables, and mending it.
#include <stddef.h>
#include <string.h>

#include "mutate.h"
#include "pef/pef_format.h"
#include "pef/pef_index.h"

static pef_header_t *header_of(const mutant_t *mutant) { return (pef_header_t *)(void *)mutant->data; }

// Bytes of a record of the segment table; in version 1 it ends where the flags begin.
static size_t segment_bytes(const mutant_t *mutant) {
  return header_of(mutant)->version_major == 1 ? offsetof(pef_segment_t, flags) : sizeof(pef_segment_t);
}
static pef_segment_t *segment_at(const mutant_t *mutant, uint64_t index) {
  return (pef_segment_t *)(void *)(mutant->data + sizeof(pef_header_t) + index * segment_bytes(mutant));
}

// Segments that the header counts and the file has room for.
static uint32_t segment_count(const mutant_t *mutant) {
  if (mutant->bytes < sizeof(pef_header_t)) return 0;
  const size_t room = (mutant->bytes - sizeof(pef_header_t)) / segment_bytes(mutant);
  const uint32_t count = header_of(mutant)->segment_count;
  return count <= room ? count : 0;
}

static bool is_inside(const mutant_t *mutant, const pef_segment_t *segment) {
  return segment->offset <= mutant->bytes && segment->bytes <= mutant->bytes - segment->offset;
}

void mend_pef(mutant_t *mutant) {
  const uint32_t count = segment_count(mutant);
  if (count == 0) return;
  for (uint32_t i = 0; i < count; ++i) {
    pef_segment_t *segment = segment_at(mutant, i);
    if (is_inside(mutant, segment)) segment->hash = leat_pef_hash(mutant->data + segment->offset, segment->bytes);
  }
  pef_header_t *header = header_of(mutant);
  header->file_bytes = mutant->bytes;
  header->table_hash = leat_pef_hash(header + 1, count * segment_bytes(mutant));
}

// A segment that lies in the file and holds something; NULL: none was found.
static pef_segment_t *choose_segment(mutant_t *mutant) {
  const uint32_t count = segment_count(mutant);
  for (uint32_t tries = 0; count != 0 && tries < 8; ++tries) {
    pef_segment_t *segment = segment_at(mutant, mutate_below(mutant, count));
    if (is_inside(mutant, segment) && segment->bytes != 0 && segment->record_bytes != 0 &&
        segment->record_bytes <= segment->bytes) {
      return segment;
    }
  }
  return NULL;
}

static uint8_t *choose_record(mutant_t *mutant, const pef_segment_t *segment) {
  const uint64_t count = segment->bytes / segment->record_bytes;
  return mutant->data + segment->offset + mutate_below(mutant, count) * segment->record_bytes;
}

// One field, or two neighbouring ones: a boundary value, a step from what it was, or what the same field of another
// record holds.
static void change_field(mutant_t *mutant, const pef_segment_t *segment) {
  const size_t width = (size_t)1 << mutate_below(mutant, 4);
  if (segment->record_bytes < width) {
    uint8_t *byte = choose_record(mutant, segment);
    *byte = (uint8_t)mutate_random(mutant);
    return;
  }
  const size_t field = mutate_below(mutant, segment->record_bytes / width) * width;
  uint8_t *at = choose_record(mutant, segment) + field;
  uint64_t value = 0;
  memcpy(&value, at, width);
  switch (mutate_below(mutant, 4)) {
    case 0:
      value = mutate_boundary(mutant);
      break;
    case 1:
      value += mutate_below(mutant, 2) == 0 ? 1 : UINT64_MAX;
      break;
    case 2:
      value += mutate_below(mutant, 129) - 64;
      break;
    default:
      memcpy(&value, choose_record(mutant, segment) + field, width);
      break;
  }
  memcpy(at, &value, width);
}

static void exchange_records(mutant_t *mutant, const pef_segment_t *segment, bool copy) {
  uint8_t *a = choose_record(mutant, segment), *b = choose_record(mutant, segment);
  for (uint32_t i = 0; i < segment->record_bytes; ++i) {
    const uint8_t kept = a[i];
    a[i] = b[i];
    if (!copy) b[i] = kept;
  }
}

static void change_segment(mutant_t *mutant, pef_segment_t *segment) {
  const pef_segment_t *other = choose_segment(mutant);
  switch (mutate_below(mutant, 7)) {
    case 0:
      segment->bytes -= segment->record_bytes;
      break;
    case 1:
      segment->bytes += segment->record_bytes;
      break;
    case 2:
      segment->bytes += mutate_below(mutant, 3) - 1;
      break;
    case 3:
      segment->offset += (mutate_below(mutant, 5) - 2) * PEF_ALIGN;
      break;
    case 4:
      segment->offset = other != NULL ? other->offset : mutate_boundary(mutant);
      break;
    case 5:
      segment->bytes = mutate_boundary(mutant);
      break;
    default:
      change_field(mutant, &(pef_segment_t){.record_bytes = (uint32_t)segment_bytes(mutant),
                                            .offset = (uint64_t)((uint8_t *)segment - mutant->data),
                                            .bytes = segment_bytes(mutant)});
  }
}

// The end of the file at the border of a segment, or a byte beside it.
static void cut_at_border(mutant_t *mutant, const pef_segment_t *segment) {
  const uint64_t border = mutate_below(mutant, 2) == 0 ? segment->offset : segment->offset + segment->bytes;
  const uint64_t end = border + mutate_below(mutant, 3) - 1;
  if (end < mutant->bytes) mutant->bytes = end;
}

static void change_header(mutant_t *mutant) {
  const pef_segment_t whole = {.record_bytes = sizeof(pef_header_t), .bytes = sizeof(pef_header_t)};
  change_field(mutant, &whole);
}

// --- changes that keep a stage consistent, so that they pass the first checks --------------------------------------

// Records of a segment that lies in the file; NULL: it does not.
static void *records_of(const mutant_t *mutant, uint32_t kind, size_t record_bytes, uint64_t *out_count) {
  const uint32_t count = segment_count(mutant);
  for (uint32_t i = 0; i < count; ++i) {
    const pef_segment_t *segment = segment_at(mutant, i);
    if (segment->kind != kind || !is_inside(mutant, segment) || segment->offset % 8 != 0) continue;
    *out_count = segment->bytes / record_bytes;
    return *out_count == 0 ? NULL : mutant->data + segment->offset;
  }
  return NULL;
}

typedef struct stage_view_s {
  pef_body_t *body;
  pef_stage_t *stage;
  pef_operand_t *operands;  // the stage's own
  pef_info_t *info;
} stage_view_t;

static bool choose_stage(mutant_t *mutant, stage_view_t *out) {
  uint64_t bodies, stages, operands, infos;
  pef_body_t *body = records_of(mutant, PEF_SEGMENT_BODIES, sizeof *body, &bodies);
  pef_stage_t *stage = records_of(mutant, PEF_SEGMENT_STAGES, sizeof *stage, &stages);
  pef_operand_t *operand = records_of(mutant, PEF_SEGMENT_OPERANDS, sizeof *operand, &operands);
  out->info = records_of(mutant, PEF_SEGMENT_INFO, sizeof *out->info, &infos);
  if (body == NULL || stage == NULL || operand == NULL || out->info == NULL) return false;
  out->body = &body[mutate_below(mutant, bodies)];
  if (out->body->stage_first >= stages) return false;
  const uint64_t left = stages - out->body->stage_first;
  const uint64_t owned = out->body->stage_count < left ? out->body->stage_count : left;
  out->stage = &stage[out->body->stage_first + mutate_below(mutant, owned)];
  if (out->stage->operand_first >= operands || out->stage->operand_count > operands - out->stage->operand_first) {
    return false;
  }
  out->operands = operand + out->stage->operand_first;
  return out->stage->operand_count != 0;
}

static int64_t small_extent(mutant_t *mutant) {
  return mutate_below(mutant, 2) == 0 ? 0 : (int64_t)mutate_below(mutant, 70);
}

// The same extent in every operand (or in two of them): empty, longer, shorter.
static void change_extent(mutant_t *mutant, const stage_view_t *view) {
  const uint64_t dim = mutate_below(mutant, 4), keep = mutate_below(mutant, 2) == 0 ? 1 : 0;
  const int64_t extent = mutate_below(mutant, 6) == 0 ? (int64_t)mutate_boundary(mutant) : small_extent(mutant);
  for (uint32_t i = 0; i < view->stage->operand_count; ++i) {
    pef_operand_t *operand = &view->operands[i];
    const bool skip = keep != 0 && mutate_below(mutant, 4) == 0;
    if (dim < operand->rank && operand->row_dim != dim && !skip) operand->dims[dim] = extent;
  }
}

// Rows of the body, with the extents that follow from them in this stage.
static void change_rows(mutant_t *mutant, const stage_view_t *view) {
  const uint64_t rows =
      mutate_below(mutant, 3) == 0 ? (uint64_t)1 << mutate_below(mutant, 41) : 1 + mutate_below(mutant, 100);
  view->body->row_count = rows;
  if (mutate_below(mutant, 2) == 0) view->body->tile_rows_max = 1 + mutate_below(mutant, 2 * rows);
  for (uint32_t i = 0; i < view->stage->operand_count; ++i) {
    pef_operand_t *operand = &view->operands[i];
    if (operand->row_dim < operand->rank && operand->rank <= PEF_MAX_RANK) {
      operand->dims[operand->row_dim] = (int64_t)(rows * operand->row_mult);
    }
  }
}

// Broadcast along a dim, without its row mark; or cut along another dim.
static void change_marks(mutant_t *mutant, const stage_view_t *view) {
  pef_operand_t *operand = &view->operands[mutate_below(mutant, view->stage->operand_count)];
  const uint64_t dim = mutate_below(mutant, operand->rank == 0 ? 1 : operand->rank);
  if (dim >= PEF_MAX_RANK) return;
  if (mutate_below(mutant, 2) == 0) operand->strides[dim] = (int64_t)mutate_below(mutant, 3) - 1;
  if (mutate_below(mutant, 3) == 0) {
    operand->row_dim = PEF_NO_ROW_DIM;
    operand->row_mult = 0;
  } else if (operand->rank != 0 && operand->dims[dim] % (int64_t)(view->body->row_count | 1) == 0) {
    operand->row_dim = (uint8_t)dim;
    operand->row_mult = view->body->row_count == 0 ? 1 : (uint64_t)operand->dims[dim] / view->body->row_count;
  }
}

// Into some tile buffer, or out of one.
static void change_space(mutant_t *mutant, const stage_view_t *view) {
  pef_operand_t *operand = &view->operands[mutate_below(mutant, view->stage->operand_count)];
  operand->space = (uint8_t)mutate_below(mutant, 3);
  operand->slot = (uint32_t)mutate_below(mutant, view->body->buffer_count + 1u);
  if (operand->space == PEF_SPACE_SCRATCH) operand->offset = mutate_below(mutant, 8) * PEF_ALIGN;
}

// A tile buffer of the body: lives, shapes, and where it lies.
static void change_buffer(mutant_t *mutant, const stage_view_t *view) {
  uint64_t buffers, dims, places;
  pef_buffer_t *all = records_of(mutant, PEF_SEGMENT_BUFFERS, sizeof *all, &buffers);
  int64_t *extents = records_of(mutant, PEF_SEGMENT_DIMS, sizeof *extents, &dims);
  pef_layout_t *layout = records_of(mutant, PEF_SEGMENT_NATIVE_LAYOUT, sizeof *layout, &places);
  const uint64_t index = view->body->buffer_first + mutate_below(mutant, view->body->buffer_count);
  if (all == NULL || index >= buffers) return;
  pef_buffer_t *buffer = &all[index];
  switch (mutate_below(mutant, 5)) {
    case 0:
      buffer->first = (uint32_t)mutate_below(mutant, view->body->stage_count + 1u);
      break;
    case 1:
      buffer->last = (uint32_t)mutate_below(mutant, view->body->stage_count + 1u);
      break;
    case 2:
      buffer->dims = (uint32_t)mutate_below(mutant, dims + 1);
      break;
    case 3:
      if (extents != NULL && buffer->dims + UINT64_C(1) < dims) {
        extents[buffer->dims + mutate_below(mutant, 2)] =
            mutate_below(mutant, 3) == 0 ? (int64_t)mutate_boundary(mutant) : (int64_t)mutate_below(mutant, 99);
      }
      break;
    default:
      if (layout != NULL && index < places) {
        layout[index].offset =
            mutate_below(mutant, 3) == 0 ? mutate_boundary(mutant) : PEF_ALIGN * mutate_below(mutant, 64);
      }
  }
}

static void change_params(mutant_t *mutant, const stage_view_t *view) {
  const uint64_t which = mutate_below(mutant, 2) == 0 ? mutate_below(mutant, 12) : mutate_below(mutant, 24);
  view->stage->params.words[which] =
      mutate_below(mutant, 3) == 0 ? (int64_t)mutate_boundary(mutant) : (int64_t)mutate_below(mutant, 8);
  if (mutate_below(mutant, 4) == 0) view->stage->fn = (uint8_t)mutate_below(mutant, PEF_FN_COUNT);
}

static void change_stage(mutant_t *mutant) {
  static void (*const changes[])(mutant_t *, const stage_view_t *) = {change_extent, change_rows,   change_marks,
                                                                      change_space,  change_params, change_buffer};
  stage_view_t view;
  if (!choose_stage(mutant, &view)) return;
  for (uint64_t n = 1 + mutate_below(mutant, 3); n > 0; --n) {
    changes[mutate_below(mutant, sizeof changes / sizeof *changes)](mutant, &view);
  }
}

void mutate_pef(mutant_t *mutant) {
  pef_segment_t *segment = choose_segment(mutant);
  if (segment == NULL) {
    mutate_bytes(mutant);
    return;
  }
  const uint64_t which = mutate_below(mutant, 24);
  switch (which) {
    case 0:
      exchange_records(mutant, segment, true);
      break;
    case 1:
      exchange_records(mutant, segment, false);
      break;
    case 2:
      change_segment(mutant, segment);
      break;
    case 3:
      if (mutate_below(mutant, 4) == 0) {
        cut_at_border(mutant, segment);
      } else {
        change_header(mutant);
      }
      break;
    default:
      if (which < 13) {
        change_field(mutant, segment);
      } else {
        change_stage(mutant);
      }
      break;
  }
}
