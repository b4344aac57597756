// SPDX-License-Identifier: Apache-2.0
// Tile buffers of a body: their records, what its stages do with them one after the other, and that native's layout
// keeps apart what lives at once. Linear in the file but for the layout, which takes a 64th of a step for every two
// buffers of a body.
#include <stdlib.h>

#include "pef/pef_check.h"

#define BYTES_LIMIT (UINT64_C(1) << 62)

// --- records -------------------------------------------------------------------------------------------------------

static leat_status_t check_dims(const leat_pef_t *pef, const pef_buffer_t *buffer) {
  if (buffer->rank > PEF_MAX_RANK) return leat_pef_corrupt("rank %u is over %u", buffer->rank, PEF_MAX_RANK);
  if (buffer->dims > pef->dim_count || buffer->rank > pef->dim_count - buffer->dims) {
    return leat_pef_corrupt("dims %u + %u of %u", buffer->dims, buffer->rank, pef->dim_count);
  }
  const int64_t *dims = pef->dims + buffer->dims;
  uint64_t bytes = leat_pef_buffer_element_bytes(buffer);
  bool empty = false;
  for (uint32_t d = 0; d < buffer->rank; ++d) {
    if (dims[d] < 0) return leat_pef_corrupt("dim %u is %lld", d, (long long)dims[d]);
    empty |= dims[d] == 0;
  }
  for (uint32_t d = 0; d < buffer->rank && !empty; ++d) {
    if (__builtin_mul_overflow(bytes, (uint64_t)dims[d], &bytes) || bytes >= BYTES_LIMIT) {
      return leat_pef_corrupt("its dims do not fit an address space");
    }
  }
  return NULL;
}

static leat_status_t check_rows(const leat_pef_t *pef, const pef_body_t *body, const pef_buffer_t *buffer) {
  const int64_t *dims = pef->dims + buffer->dims;
  if (buffer->row_dim == PEF_NO_ROW_DIM) {
    if (body->row_count == 1 || buffer->dtype == PEF_OPAQUE) return NULL;
    return leat_pef_corrupt("it has no row dim, the body has %llu rows", (unsigned long long)body->row_count);
  }
  if (buffer->row_dim >= buffer->rank) return leat_pef_corrupt("row dim %u of rank %u", buffer->row_dim, buffer->rank);
  if (dims[buffer->row_dim] == 0 || (uint64_t)dims[buffer->row_dim] % body->row_count != 0) {
    return leat_pef_corrupt("dim %u is %lld, which does not hold %llu rows", buffer->row_dim,
                            (long long)dims[buffer->row_dim], (unsigned long long)body->row_count);
  }
  for (uint32_t d = 0; d < buffer->row_dim; ++d) {
    if (dims[d] != 1) return leat_pef_corrupt("dim %u, before the rows, is %lld", d, (long long)dims[d]);
  }
  return NULL;
}

static leat_status_t check_buffer(const leat_pef_t *pef, const pef_body_t *body, const pef_buffer_t *buffer) {
  const bool opaque = buffer->dtype == PEF_OPAQUE && buffer->rank == 1 && buffer->row_dim == PEF_NO_ROW_DIM;
  if (!opaque && buffer->dtype >= PEF_DTYPE_COUNT) return leat_pef_corrupt("dtype %u does not exist", buffer->dtype);
  if (buffer->reserved0 != 0) return leat_pef_corrupt("reserved bytes are not zero");
  if (buffer->first > buffer->last || buffer->last >= body->stage_count) {
    return leat_pef_corrupt("stages %u to %u of %u", buffer->first, buffer->last, body->stage_count);
  }
  LEAT_TRY(check_dims(pef, buffer));
  return check_rows(pef, body, buffer);
}

leat_status_t leat_pef_check_buffers(const leat_pef_t *pef, const pef_body_t *body, pef_buffer_use_t *out_uses) {
  for (uint32_t i = 0; i < body->buffer_count; ++i) {
    LEAT_TRY(leat_status_annotate(check_buffer(pef, body, &pef->buffers[body->buffer_first + i]), "buffer %u", i));
    out_uses[i] = (pef_buffer_use_t){.last = PEF_NONE};
  }
  return NULL;
}

// --- use -----------------------------------------------------------------------------------------------------------

static leat_status_t check_read(const pef_stage_site_t *site, const pef_operand_t *operand,
                                const pef_buffer_use_t *use) {
  if (use->written) return NULL;
  const pef_buffer_t *buffer = &site->buffers[operand->slot];
  return leat_pef_corrupt("it reads buffer %u, which no stage before has written (stage %u of the body makes it)",
                          operand->slot, buffer->first);
}

static leat_status_t check_life(const pef_stage_site_t *site, const pef_operand_t *operand, uint32_t stage,
                                pef_buffer_use_t *use) {
  const pef_buffer_t *buffer = &site->buffers[operand->slot];
  const bool is_first = use->last == PEF_NONE;
  if ((is_first ? stage != buffer->first : stage < buffer->first) || stage > buffer->last) {
    return leat_pef_corrupt("stage %u of the body uses buffer %u, which says that stages %u to %u do", stage,
                            operand->slot, buffer->first, buffer->last);
  }
  use->last = stage;
  return NULL;
}

leat_status_t leat_pef_check_buffer_use(const pef_stage_site_t *site, uint32_t index, bool written, uint32_t stage,
                                        pef_buffer_use_t *uses) {
  const pef_operand_t *operand = &site->operands[index];
  const bool touched = (site->access[index] & (written ? LEAT_PEF_WRITES : LEAT_PEF_READS)) != 0;
  if (operand->space != PEF_SPACE_SCRATCH || !touched) return NULL;
  pef_buffer_use_t *use = &uses[operand->slot];
  if (site->buffers[operand->slot].dtype == PEF_OPAQUE) return NULL;
  if (!written) LEAT_TRY(check_read(site, operand, use));
  LEAT_TRY(check_life(site, operand, stage, use));
  if (!written) {
    use->read_at = stage + 1;
  } else if (use->read_at != 0 && use->read_at != stage + 1) {
    return leat_pef_corrupt("it writes buffer %u anew, which stage %u of the body has read", operand->slot,
                            use->read_at - 1);
  } else {
    use->written = true;
  }
  return NULL;
}

leat_status_t leat_pef_check_lives(const leat_pef_t *pef, const pef_body_t *body, const pef_buffer_use_t *uses) {
  for (uint32_t i = 0; i < body->buffer_count; ++i) {
    const pef_buffer_t *buffer = &pef->buffers[body->buffer_first + i];
    if (buffer->dtype == PEF_OPAQUE || uses[i].last == buffer->last) continue;
    return leat_pef_corrupt("buffer %u: no stage uses it up to stage %u of the body, which it says is the last", i,
                            buffer->last);
  }
  return NULL;
}

// --- layout --------------------------------------------------------------------------------------------------------

// A buffer that has bytes, in native's scratch.
typedef struct placed_s {
  uint64_t begin, end;
  uint32_t first, last, index;
} placed_t;

// A stage, and which of the placed ones begins or ends its life there.
typedef struct event_s {
  uint32_t stage, placed;
} event_t;

static int by_begin(const void *a, const void *b) {
  const placed_t *x = a, *y = b;
  if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
  return x->index < y->index ? -1 : x->index > y->index;
}

static int by_stage(const void *a, const void *b) {
  const event_t *x = a, *y = b;
  if (x->stage != y->stage) return x->stage < y->stage ? -1 : 1;
  return x->placed < y->placed ? -1 : x->placed > y->placed;
}

// Which of the placed ones, in the order of their bytes, are alive: a bit each. None of these overlap, so that a new
// one overlaps any only if it overlaps its neighbours.
typedef struct alive_s {
  uint64_t *bits;
  uint32_t words;
} alive_t;

// The next alive one above or below `at`, PEF_NONE: there is none.
static uint32_t above(const alive_t *alive, uint32_t at) {
  uint32_t w = at / 64;
  uint64_t bits = at % 64 == 63 ? 0 : alive->bits[w] >> (at % 64 + 1) << (at % 64 + 1);
  while (bits == 0 && ++w < alive->words) bits = alive->bits[w];
  return bits == 0 ? PEF_NONE : w * 64 + (uint32_t)__builtin_ctzll(bits);
}

static uint32_t below(const alive_t *alive, uint32_t at) {
  uint32_t w = at / 64;
  uint64_t bits = alive->bits[w] & ((UINT64_C(1) << at % 64) - 1);
  while (bits == 0 && w-- > 0) bits = alive->bits[w];
  return bits == 0 ? PEF_NONE : w * 64 + 63 - (uint32_t)__builtin_clzll(bits);
}

static leat_status_t overlap(const placed_t *a, const placed_t *b) {
  return leat_pef_corrupt(
      "native's layout has buffers %u and %u both at byte %llu of scratch, and both live in stage %u "
      "of the body",
      a->index, b->index, (unsigned long long)(a->begin > b->begin ? a->begin : b->begin),
      a->first > b->first ? a->first : b->first);
}

static leat_status_t sweep(const placed_t *placed, const event_t *begins, const event_t *ends, uint32_t count,
                           alive_t *alive) {
  uint32_t ended = 0;
  for (uint32_t i = 0; i < count; ++i) {
    for (; ends[ended].stage < begins[i].stage; ++ended)
      alive->bits[ends[ended].placed / 64] &= ~(UINT64_C(1) << ends[ended].placed % 64);
    const uint32_t at = begins[i].placed, low = below(alive, at), high = above(alive, at);
    if (low != PEF_NONE && placed[low].end > placed[at].begin) return overlap(&placed[low], &placed[at]);
    if (high != PEF_NONE && placed[high].begin < placed[at].end) return overlap(&placed[at], &placed[high]);
    alive->bits[at / 64] |= UINT64_C(1) << at % 64;
  }
  return NULL;
}

static leat_status_t place_all(const leat_pef_t *pef, const pef_body_t *body, placed_t *placed, uint32_t *out_count) {
  for (uint32_t i = 0; i < body->buffer_count; ++i) {
    const pef_buffer_t *buffer = &pef->buffers[body->buffer_first + i];
    const uint64_t begin = pef->layout[body->buffer_first + i].offset;
    const uint64_t bytes = leat_pef_buffer_bytes(pef, body, buffer, leat_pef_tile_rows(body));
    if (begin % PEF_ALIGN != 0 || begin >= BYTES_LIMIT - bytes) {
      return leat_pef_corrupt("native's layout has buffer %u at byte %llu", i, (unsigned long long)begin);
    }
    if (bytes != 0) placed[(*out_count)++] = (placed_t){begin, begin + bytes, buffer->first, buffer->last, i};
  }
  return NULL;
}

static leat_status_t check_placed(placed_t *placed, event_t *events, uint32_t count, alive_t *alive) {
  event_t *ends = events + count;
  qsort(placed, count, sizeof *placed, by_begin);
  for (uint32_t i = 0; i < count; ++i) {
    events[i] = (event_t){placed[i].first, i};
    ends[i] = (event_t){placed[i].last, i};
  }
  qsort(events, count, sizeof *events, by_stage);
  qsort(ends, count, sizeof *ends, by_stage);
  return sweep(placed, events, ends, count, alive);
}

leat_status_t leat_pef_check_layout(const leat_pef_t *pef, const pef_body_t *body) {
  const size_t count = body->buffer_count;
  if (pef->layout_count == 0 || count == 0) return NULL;
  alive_t alive = {.bits = leat_alloc_zero(count / 64 + 1, sizeof *alive.bits), .words = (uint32_t)(count / 64 + 1)};
  placed_t *placed = leat_alloc(count * sizeof *placed);
  event_t *events = leat_alloc(2 * count * sizeof *events);
  uint32_t in_memory = 0;
  leat_status_t status = NULL;
  if (alive.bits == NULL || placed == NULL || events == NULL)
    status = leat_out_of_memory();
  else
    status = place_all(pef, body, placed, &in_memory);
  if (status == NULL) status = check_placed(placed, events, in_memory, &alive);
  leat_free(alive.bits);
  leat_free(placed);
  leat_free(events);
  return status;
}
