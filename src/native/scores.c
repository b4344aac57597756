// SPDX-License-Identifier: Apache-2.0
// See scores.h.
#include "native/scores.h"

#include <math.h>

#include "arch/blocks.h"
#include "base/loops.h"
#include "native/cpu.h"

bool leat_native_place_parts(const leat_native_part_t *parts, size_t count, size_t *out_bytes) {
  size_t total = 0, floats = 0;
  for (size_t i = 0; i < count; i++) {
    *parts[i].at = (int64_t)total;
    if (!leat_size_mul((size_t)parts[i].rows, (size_t)parts[i].columns, &floats) || floats > INT64_MAX / 8)
      return false;
    total += (floats + ATTENTION_STEP - 1) / ATTENTION_STEP * ATTENTION_STEP;
    if (total > INT64_MAX / 8) return false;
  }
  return leat_size_mul(total, sizeof(float), out_bytes);
}

leat_native_product_t leat_native_product(const leat_native_prepare_t *context, bool pairs, leat_kern_gemm_t g) {
  leat_native_product_t product = {.g = g, .body = context->kern->gemm_f32};
  const bool empty = g.m == 0 || g.n == 0 || g.k == 0;
  if (pairs) product.body = leat_native_cpu_gemm_bf16(context->kern);
  if (context->jit != NULL && !empty && !pairs) product.code = leat_native_jit_gemm(context->jit, &product.g);
  return product;
}

// --- heads -------------------------------------------------------------------------------------------------------

// The row of the table of scores of all heads where this one begins.
static uint64_t row_of_head(const leat_native_scores_t *s) {
  const leat_native_operand_t *all = s->all;
  uint64_t row = 0;
  for (uint32_t d = 0; d + 2 < all->rank; d++)
    row = row * (uint64_t)all->dims[d] + (uint64_t)(leat_native_operand_first(all, d, s->tile) + s->head[d]);
  return row * (uint64_t)s->stage->operands[PEF_ATTENTION_q].dims[all->rank - 2];
}

leat_native_scores_t leat_native_scores(const leat_native_stage_t *stage, const leat_run_tile_t *tile, uint32_t out) {
  const leat_native_operand_t *q = &stage->operands[PEF_ATTENTION_q], *v = &stage->operands[PEF_ATTENTION_v];
  const leat_native_operand_t *all = &stage->operands[out];
  leat_native_scores_t s = {.stage = stage,
                            .tile = tile,
                            .all = all,
                            .queries = q->dims[q->rank - 2],
                            .keys = v->dims[v->rank - 2],
                            .width = q->dims[q->rank - 1],
                            .values = v->dims[v->rank - 1],
                            .pairs = q->dtype == PEF_BF16};
  for (uint32_t d = 0; d < PEF_MAX_RANK; d++)
    s.heads[d] = d + 2 < all->rank ? leat_native_operand_extent(all, d, tile) : 1;
  s.first_row = row_of_head(&s);
  return s;
}

bool leat_native_scores_next(leat_native_scores_t *s) {
  const bool more = leat_index_next(PEF_MAX_RANK, s->heads, s->head);
  if (more) s->first_row = row_of_head(s);
  return more;
}

char *leat_native_scores_at(const leat_native_scores_t *s, uint32_t operand) {
  const leat_native_operand_t *o = &s->stage->operands[operand];
  int64_t elements = 0;
  for (uint32_t d = 0; d + 2 < o->rank; d++) elements += s->head[d] * o->strides[d];
  return leat_native_operand_at(o, s->tile) + elements * o->element_bytes;
}

leat_native_matrix_t leat_native_scores_matrix(const leat_native_scores_t *s, uint32_t operand) {
  const leat_native_operand_t *o = &s->stage->operands[operand];
  return (leat_native_matrix_t){
      .at = leat_native_scores_at(s, operand), .row = o->strides[o->rank - 2], .column = o->strides[o->rank - 1]};
}

// --- factors -----------------------------------------------------------------------------------------------------

static void copy_words(const leat_kern_t *kern, const leat_native_matrix_t *x, const uint16_t *from, int64_t width,
                       int64_t count, leat_native_form_t form, int64_t lanes, uint32_t *to) {
  if (form == NATIVE_TERMS) {
    kern->pack_bf16(to, width, 1, from, x->row, x->column, count, width);
  } else {
    const bool turned = form == NATIVE_LANES;
    kern->pack_bf16(to, turned ? lanes : 1, turned ? 1 : (width + 1) / 2, from, x->column, x->row, width, count);
  }
}

void leat_native_scores_copy(const leat_native_scores_t *s, uint32_t operand, int64_t first, int64_t count,
                             leat_native_form_t form, int64_t lanes, float *to) {
  const leat_kern_t *kern = s->stage->kern;
  const leat_native_operand_t *o = &s->stage->operands[operand];
  const leat_native_matrix_t x = leat_native_scores_matrix(s, operand);
  const int64_t width = o->dims[o->rank - 1];
  const char *from = x.at + first * x.row * o->element_bytes;
  if (form == NATIVE_LANES && count < lanes)
    memset(to, 0, (size_t)(lanes * leat_native_words(s->pairs, width)) * sizeof *to);
  if (s->pairs) {
    copy_words(kern, &x, (const uint16_t *)(const void *)from, width, count, form, lanes, (uint32_t *)(void *)to);
  } else if (form == NATIVE_LANES) {
    kern->copy2_b4((uint32_t *)(void *)to, lanes, (const uint32_t *)(const void *)from, x.column, x.row, width, count);
  } else {
    kern->copy2_b4((uint32_t *)(void *)to, width, (const uint32_t *)(const void *)from, x.row, x.column, count, width);
  }
}

// --- masks -------------------------------------------------------------------------------------------------------

static int64_t clamp(int64_t x, int64_t high) { return x < 0 ? 0 : x < high ? x : high; }

// Of key j, `block->queries` from the first result to before the second are in the band.
static void band_of_key(const leat_native_scores_t *s, const leat_native_block_t *block, int64_t j, int64_t *out_first,
                        int64_t *out_end) {
  const pef_attention_t *params = &s->stage->params->attention;
  const int64_t first = s->first_query + block->i;
  *out_first = clamp(j - params->after - first, block->lanes);
  *out_end = clamp(j + params->before + 1 - first, block->lanes);
}

static bool is_outside(const leat_native_scores_t *s, const leat_native_block_t *block) {
  const pef_attention_t *params = &s->stage->params->attention;
  const int64_t first = s->first_query + block->i, last = first + block->queries - 1;
  return block->j > last + params->after || block->j + block->keys - 1 < first - params->before;
}

static void hide_band(const leat_native_scores_t *s, const leat_native_block_t *block, float *scores) {
  const pef_attention_t *params = &s->stage->params->attention;
  const int64_t first = s->first_query + block->i, last = first + block->queries - 1;
  if (block->j + block->keys - 1 <= first + params->after && block->j >= last - params->before) return;
  uint32_t hidden;
  const float number = -INFINITY;
  memcpy(&hidden, &number, sizeof hidden);
  for (int64_t n = 0; n < block->keys; n++) {
    int64_t from, end;
    band_of_key(s, block, block->j + n, &from, &end);
    float *row = scores + n * block->lanes;
    s->stage->kern->fill_b4(row, hidden, from < block->lanes ? from : block->lanes);
    if (end < from) end = from;
    s->stage->kern->fill_b4(row + end, hidden, block->lanes - end);
  }
}

static const char *mask_of_block(const leat_native_scores_t *s, const leat_native_block_t *block) {
  const leat_native_operand_t *mask = &s->stage->operands[PEF_ATTENTION_mask];
  const int64_t elements = block->i * mask->strides[mask->rank - 2] + block->j * mask->strides[mask->rank - 1];
  return leat_native_scores_at(s, PEF_ATTENTION_mask) + elements * mask->element_bytes;
}

// The part of a mask that belongs to a block, as the table lies. Lanes without a query are 0.
static void turn_mask(const leat_native_scores_t *s, const leat_native_block_t *block) {
  const leat_native_operand_t *mask = &s->stage->operands[PEF_ATTENTION_mask];
  const int64_t by_key = mask->strides[mask->rank - 1], by_query = mask->strides[mask->rank - 2];
  const char *from = mask_of_block(s, block);
  if (block->queries < block->lanes)
    memset(s->table, 0, (size_t)(block->keys * block->lanes * (int64_t)mask->element_bytes));
  if (mask->dtype == PEF_BOOL) {
    s->stage->kern->copy2_b1((uint8_t *)(void *)s->table, block->lanes, (const uint8_t *)from, by_key, by_query,
                             block->keys, block->queries);
  } else {
    s->stage->kern->copy2_b4((uint32_t *)(void *)s->table, block->lanes, (const uint32_t *)(const void *)from, by_key,
                             by_query, block->keys, block->queries);
  }
}

// A mask of bools that is false all over.
static bool is_masked(const leat_native_scores_t *s, const leat_native_block_t *block) {
  const leat_native_operand_t *mask = &s->stage->operands[PEF_ATTENTION_mask];
  if (mask->space == PEF_SPACE_NONE || mask->dtype != PEF_BOOL) return false;
  const int64_t by_key = mask->strides[mask->rank - 1], by_query = mask->strides[mask->rank - 2];
  const char *from = mask_of_block(s, block);
  const int64_t queries = by_query == 0 ? 1 : block->queries, keys = by_key == 0 ? 1 : block->keys;
  for (int64_t i = 0; i < queries; i++) {
    for (int64_t j = 0; j < keys; j++) {
      if (from[i * by_query + j * by_key] != 0) return false;
    }
  }
  return true;
}

bool leat_native_scores_hidden(const leat_native_scores_t *s, const leat_native_block_t *block) {
  return is_outside(s, block) || is_masked(s, block);
}

enum { ONE = 0x3f800000 };  // the bits of it

void leat_native_scores_mask(const leat_native_scores_t *s, const leat_native_block_t *block, float *scores) {
  const leat_native_operand_t *mask = &s->stage->operands[PEF_ATTENTION_mask];
  const leat_kern_t *kern = s->stage->kern;
  const int64_t count = block->keys * block->lanes;
  const uint32_t bits = (uint32_t)s->stage->params->attention.scale;
  float scale;
  memcpy(&scale, &bits, sizeof scale);
  if (bits != ONE) kern->attention_scale_f32(scores, scale, count);
  if (mask->space != PEF_SPACE_NONE) {
    turn_mask(s, block);
    if (mask->dtype == PEF_BOOL) {
      kern->attention_hide_f32(scores, (const uint8_t *)(const void *)s->table, count);
    } else {
      kern->map[LEAT_KERN_F32][LEAT_KERN_FN_ADD](scores, scores, s->table, s->table, count);
    }
  }
  hide_band(s, block, scores);
}

// --- dropout -----------------------------------------------------------------------------------------------------

const float *leat_native_scores_kept(const leat_native_scores_t *s, const leat_native_block_t *block) {
  const leat_native_operand_t *state = &s->stage->operands[PEF_ATTENTION_state];
  const leat_native_operand_t *drop = &s->stage->operands[PEF_ATTENTION_drop];
  const leat_kern_t *kern = s->stage->kern;
  if (state->space == PEF_SPACE_NONE) return NULL;
  const int64_t *words = (const int64_t *)(const void *)leat_native_operand_at(state, s->tile);
  const float *rate = (const float *)(const void *)leat_native_operand_at(drop, s->tile);
  const uint32_t stream = (uint32_t)s->stage->params->attention.stream + s->tile->stream;
  for (int64_t i = 0; i < block->queries; i++) {
    const uint64_t row = s->first_row + (uint64_t)(s->first_query + block->i + i);
    kern->random_uniform_f32((uint64_t)words[0], (uint32_t)words[state->strides[0]], stream,
                             (int64_t)(row * (uint64_t)s->keys + (uint64_t)block->j), block->keys,
                             s->lines + i * block->keys, 1);
  }
  kern->attention_keep_f32(s->lines, rate[0], rate[drop->strides[0]], block->queries * block->keys);
  if (block->queries < block->lanes) memset(s->table, 0, (size_t)(block->keys * block->lanes) * sizeof *s->table);
  kern->copy2_b4((uint32_t *)(void *)s->table, block->lanes, (const uint32_t *)(const void *)s->lines, 1, block->keys,
                 block->keys, block->queries);
  return s->table;
}
