// SPDX-License-Identifier: Apache-2.0
// One operand: its record, and the bytes that its extents and strides can reach. Every product of an extent with its
// stride and element size stays under SPAN_LIMIT, so that sums over eight dims and an offset cannot overflow.
#include "pef/pef_check.h"

#define SPAN_LIMIT (INT64_C(1) << 59)
#define OFFSET_LIMIT (UINT64_C(1) << 61)

// --- the record ------------------------------------------------------------------------------------------------

static leat_status_t check_rows(const pef_stage_site_t *site, const pef_operand_t *operand) {
  if (operand->row_dim == PEF_NO_ROW_DIM) {
    return operand->row_mult == 0 ? NULL : leat_pef_corrupt("a row multiple without a row dim");
  }
  if (operand->row_dim >= operand->rank)
    return leat_pef_corrupt("row dim %u of rank %u", operand->row_dim, operand->rank);
  uint64_t extent = 0;
  if (operand->row_mult == 0 || __builtin_mul_overflow(operand->row_mult, site->body->row_count, &extent) ||
      extent != (uint64_t)operand->dims[operand->row_dim]) {
    return leat_pef_corrupt("dim %u is %lld, not %llu rows of %llu", operand->row_dim,
                            (long long)operand->dims[operand->row_dim], (unsigned long long)site->body->row_count,
                            (unsigned long long)operand->row_mult);
  }
  return NULL;
}

static leat_status_t check_dims(const pef_operand_t *operand) {
  int64_t elements = 1;
  for (uint32_t i = 0; i < PEF_MAX_RANK; ++i) {
    const int64_t dim = operand->dims[i], stride = operand->strides[i];
    if (dim < 0 || (i >= operand->rank && (dim != 0 || stride != 0))) {
      return leat_pef_corrupt("dim %u is %lld with stride %lld in rank %u", i, (long long)dim, (long long)stride,
                              operand->rank);
    }
    const int64_t extent = dim > 1 ? dim : 1;
    int64_t span = 0;
    if (__builtin_mul_overflow(extent, stride, &span) || __builtin_mul_overflow(span, INT64_C(8), &span) ||
        span >= SPAN_LIMIT || span <= -SPAN_LIMIT || __builtin_mul_overflow(elements, extent, &elements) ||
        elements >= SPAN_LIMIT) {
      return leat_pef_corrupt("dim %u (%lld with stride %lld) is too large", i, (long long)dim, (long long)stride);
    }
  }
  return NULL;
}

static leat_status_t check_absent(const pef_stage_site_t *site, const pef_operand_t *operand) {
  const uint32_t index = (uint32_t)(operand - site->operands);
  if ((leat_pef_operand_row(site->stage->kind, index)->traits & PEF_OPTIONAL) == 0)
    return leat_pef_corrupt("it is absent (space 0), which %s does not allow", site->row->name);
  if (operand->rank != 0) return leat_pef_corrupt("it is absent but has rank %u", operand->rank);
  return NULL;
}

static leat_status_t check_slot(const pef_stage_site_t *site, const pef_operand_t *operand) {
  const bool in_scratch = operand->space == PEF_SPACE_SCRATCH;
  const uint32_t count = in_scratch ? site->body->buffer_count : site->body->argument_count;
  if (operand->slot >= count) {
    return leat_pef_corrupt("slot %u, the body has %u %s", operand->slot, count,
                            in_scratch ? "tile buffers" : "arguments");
  }
  const uint8_t dtype = in_scratch ? site->buffers[operand->slot].dtype : operand->dtype;
  if (dtype == operand->dtype || dtype == PEF_OPAQUE) return NULL;
  return leat_pef_corrupt("it is %s, buffer %u is %s", leat_pef_dtype_name(operand->dtype), operand->slot,
                          leat_pef_dtype_name(dtype));
}

leat_status_t leat_pef_check_operand(const pef_stage_site_t *site, uint32_t index) {
  const pef_operand_t *operand = &site->operands[index];
  if (operand->space > PEF_SPACE_SCRATCH) return leat_pef_corrupt("space %u does not exist", operand->space);
  if (operand->dtype >= PEF_DTYPE_COUNT) return leat_pef_corrupt("dtype %u does not exist", operand->dtype);
  if (operand->rank > PEF_MAX_RANK) return leat_pef_corrupt("rank %u is over %u", operand->rank, PEF_MAX_RANK);
  if (operand->space == PEF_SPACE_NONE) return check_absent(site, operand);
  LEAT_TRY(check_slot(site, operand));
  if (operand->offset >= OFFSET_LIMIT || operand->offset % leat_pef_dtype_bytes(operand->dtype) != 0) {
    return leat_pef_corrupt("offset %llu does not fit %s", (unsigned long long)operand->offset,
                            leat_pef_dtype_name(operand->dtype));
  }
  LEAT_TRY(check_dims(operand));
  return check_rows(site, operand);
}

bool leat_pef_same_extent(const pef_stage_site_t *site, uint32_t p, uint32_t i, uint32_t q, uint32_t j) {
  const pef_operand_t *a = &site->operands[p], *b = &site->operands[q];
  if (a->dims[i] != b->dims[j] || !leat_pef_same_cut(site, p, i, q, j)) return false;
  const uint64_t a_mult = a->row_dim == i ? a->row_mult : 0, b_mult = b->row_dim == j ? b->row_mult : 0;
  if (a_mult == b_mult || site->body->row_count == 1) return true;
  return site->row->broadcast && a_mult == 0 && a->strides[i] == 0;
}

// --- reach -----------------------------------------------------------------------------------------------------

// In `rows` rows. The result of a sum over nothing has elements all the same.
static void extents_of_rows(const pef_stage_site_t *site, uint32_t index, uint64_t rows,
                            int64_t extents[PEF_MAX_RANK]) {
  const pef_operand_t *operand = &site->operands[index];
  memcpy(extents, operand->dims, sizeof operand->dims);
  for (uint32_t i = 0; i < operand->rank && leat_pef_site_writes(site, index); ++i) {
    if (leat_pef_stage_sums(site->stage, i)) extents[i] = 1;
  }
  if (operand->space == PEF_SPACE_SCRATCH) leat_pef_cut_extents(site->pef, site->body, operand, extents);
  if (operand->row_dim != PEF_NO_ROW_DIM) extents[operand->row_dim] = (int64_t)(rows * operand->row_mult);
}

void leat_pef_extents(const pef_stage_site_t *site, uint32_t index, int64_t extents[PEF_MAX_RANK]) {
  const bool in_scratch = site->operands[index].space == PEF_SPACE_SCRATCH;
  extents_of_rows(site, index, in_scratch ? leat_pef_tile_rows(site->body) : site->body->row_count, extents);
}

bool leat_pef_has_empty(const pef_operand_t *operand, const int64_t *extents) {
  for (uint32_t i = 0; i < operand->rank; ++i) {
    if (extents[i] == 0) return true;
  }
  return false;
}

// Greatest element index that the n and k dims of a packed B reach: the end of the last block or of the one before,
// which is wider. False when it does not fit.
static bool packed_last(const pef_product_t *params, const int64_t *extents, uint32_t rank, int64_t *out_last) {
  int64_t n = 1, k = 1;
  for (uint32_t i = 0; i < rank; ++i) {
    if (params->roles[i] == PEF_ROLE_N) n = extents[i];
    if (params->roles[i] == PEF_ROLE_K) k *= extents[i];  // a part of the operand's element count: fits
  }
  const int64_t n_block = params->n_block, block_stride = params->n_block_step;
  const int64_t last = (n - 1) / n_block, width = n - last * n_block;
  int64_t start = 0, end = 0, other = 0;
  if (__builtin_mul_overflow(last, block_stride, &start) || __builtin_mul_overflow(k, width, &end) ||
      __builtin_add_overflow(start, end, &end) || __builtin_mul_overflow(k, n_block, &other) ||
      __builtin_add_overflow(start - block_stride, other, &other)) {
    return false;
  }
  *out_last = (last > 0 && other > end ? other : end) - 1;
  return *out_last < SPAN_LIMIT / 8;
}

// Byte range [low, high) around element 0 of `operand`.
static leat_status_t range_of(const pef_stage_site_t *site, uint32_t index, const int64_t *extents, int64_t *out_low,
                              int64_t *out_high) {
  const pef_operand_t *operand = &site->operands[index];
  const int64_t bytes = (int64_t)leat_pef_dtype_bytes(operand->dtype);
  const pef_product_t *params = &site->stage->params.product;
  const bool packed = leat_pef_operand_is_packed(site->stage, index);
  int64_t low = 0, high = bytes, last = 0;
  for (uint32_t i = 0; i < operand->rank; ++i) {
    if (packed && (params->roles[i] == PEF_ROLE_N || params->roles[i] == PEF_ROLE_K)) continue;
    const int64_t span = (extents[i] - 1) * operand->strides[i] * bytes;
    *(span < 0 ? &low : &high) += span;
  }
  if (packed && !packed_last(params, extents, operand->rank, &last)) {
    return leat_pef_corrupt("blocks of %lld columns, %lld elements apart, are too large", (long long)params->n_block,
                            (long long)params->n_block_step);
  }
  *out_low = low;
  *out_high = high + last * bytes;
  return NULL;
}

// Every element of an output has a place of its own: by ascending stride, each stride steps over all that lies below.
static leat_status_t check_no_overlap(const pef_operand_t *operand, const int64_t *extents) {
  uint32_t order[PEF_MAX_RANK], count = 0;
  int64_t step[PEF_MAX_RANK];
  for (uint32_t i = 0; i < operand->rank; ++i) {
    if (extents[i] <= 1) continue;
    step[i] = operand->strides[i] < 0 ? -operand->strides[i] : operand->strides[i];
    uint32_t at = count++;
    for (; at > 0 && step[order[at - 1]] > step[i]; --at) order[at] = order[at - 1];
    order[at] = i;
  }
  int64_t below = 0;
  for (uint32_t i = 0; i < count; ++i) {
    if (step[order[i]] <= below) {
      return leat_pef_corrupt("it is written, and stride %lld on dim %u lets its elements overlap",
                              (long long)operand->strides[order[i]], order[i]);
    }
    below += (extents[order[i]] - 1) * step[order[i]];
  }
  return NULL;
}

static leat_status_t check_output(const pef_stage_site_t *site, const pef_operand_t *operand, const int64_t *extents) {
  if (operand->row_dim == PEF_NO_ROW_DIM && site->body->row_count > 1) {
    return leat_pef_corrupt("it is written, but every tile would write the same place (no row dim)");
  }
  return check_no_overlap(operand, extents);
}

// Where the operand ends, from the start of its argument or of its buffer.
static leat_status_t end_of(const pef_stage_site_t *site, uint32_t index, const int64_t *extents, uint64_t *out_end) {
  const pef_operand_t *operand = &site->operands[index];
  int64_t low = 0, high = 0;
  if (!leat_pef_has_empty(operand, extents)) LEAT_TRY(range_of(site, index, extents, &low, &high));
  const int64_t offset = (int64_t)operand->offset;
  if (low + offset < 0) return leat_pef_corrupt("it reaches byte %lld, before the start", (long long)(low + offset));
  *out_end = (uint64_t)(high + offset);
  return NULL;
}

// Both ends, and how long the buffer is, are linear in the rows of a tile: what holds in the lowest and in the highest
// tile holds in all.
static leat_status_t check_inside(const pef_stage_site_t *site, uint32_t index) {
  const uint32_t slot = site->operands[index].slot;
  const uint64_t most = leat_pef_tile_rows(site->body);
  for (uint64_t rows = most;; rows = 1) {
    int64_t extents[PEF_MAX_RANK];
    uint64_t end;
    extents_of_rows(site, index, rows, extents);
    LEAT_TRY(end_of(site, index, extents, &end));
    const uint64_t bytes = leat_pef_buffer_bytes(site->pef, site->body, &site->buffers[slot], rows);
    if (end > bytes) {
      return leat_pef_corrupt("it reaches byte %llu of %llu of buffer %u in a tile of %llu rows",
                              (unsigned long long)end, (unsigned long long)bytes, slot, (unsigned long long)rows);
    }
    if (rows == 1) return NULL;
  }
}

leat_status_t leat_pef_check_reach(const pef_stage_site_t *site, uint32_t index, pef_slot_use_t *uses) {
  const pef_operand_t *operand = &site->operands[index];
  if (operand->space == PEF_SPACE_NONE) return NULL;
  int64_t extents[PEF_MAX_RANK];
  uint64_t end;
  leat_pef_extents(site, index, extents);
  if (leat_pef_site_writes(site, index)) LEAT_TRY(check_output(site, operand, extents));
  if (operand->space == PEF_SPACE_SCRATCH) return check_inside(site, index);
  LEAT_TRY(end_of(site, index, extents, &end));
  pef_slot_use_t *use = &uses[operand->slot];
  const uint32_t alignment = (uint32_t)leat_pef_dtype_bytes(operand->dtype);
  if (end > use->bytes) use->bytes = end;
  if (alignment > use->alignment) use->alignment = alignment;
  use->written |= leat_pef_site_writes(site, index);
  return NULL;
}
