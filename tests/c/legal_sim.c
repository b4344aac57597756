// SPDX-License-Identifier: Apache-2.0
#include "legal_sim.h"

#include <stdlib.h>

#include "loop_maker.h"

void sim_broken(sim_t *s, const char *what) {
  if (s->out->broken == NULL) s->out->broken = what;
}

void *sim_cells(int64_t count, size_t bytes) {
  void *data = calloc((size_t)count + 1, bytes);
  if (data == NULL) abort();
  return data;
}

static bool is_product(const pef_stage_t *stage) {
  return stage->kind == PEF_STAGE_CONTRACT || stage->kind == PEF_STAGE_CONTRACT_SCALED;
}

bool sim_writes(const sim_t *s, const pef_stage_t *stage, uint32_t i) {
  static const uint8_t last[PEF_STAGE_COUNT] = {
      [PEF_STAGE_REDUCE] = 1,         [PEF_STAGE_SCAN] = 1, [PEF_STAGE_CONTRACT] = 2,  [PEF_STAGE_CONV] = 2,
      [PEF_STAGE_CONV_WGRAD] = 2,     [PEF_STAGE_POOL] = 1, [PEF_STAGE_POOL_GRAD] = 2, [PEF_STAGE_GATHER] = 2,
      [PEF_STAGE_SCATTER] = 2,        [PEF_STAGE_SORT] = 2, [PEF_STAGE_RANDOM] = 1,    [PEF_STAGE_SEARCH] = 2,
      [PEF_STAGE_CONTRACT_SCALED] = 3};
  if (stage->kind == PEF_STAGE_ATTENTION) return i >= PEF_ATTENTION_out;
  if (stage->kind == PEF_STAGE_ATTENTION_GRAD) return i >= PEF_ATTENTION_GRAD_dq;
  if (stage->kind != PEF_STAGE_MAP) return i == last[stage->kind] || (stage->kind == PEF_STAGE_SORT && i == 1);
  for (uint32_t k = 0; k < stage->instruction_count; ++k) {
    const pef_instruction_t *in = &s->pef->instructions[stage->instruction_first + k];
    if (in->op == PEF_OP_STORE && in->a == i) return true;
  }
  return false;
}

bool sim_reads(const sim_t *s, const pef_stage_t *stage, uint32_t i) {
  if (stage->kind == PEF_STAGE_SCATTER) return true;
  if (is_product(stage)) return i + 1u < stage->operand_count || stage->params.product.add == 1;
  if (stage->kind != PEF_STAGE_MAP) return !sim_writes(s, stage, i);
  for (uint32_t k = 0; k < stage->instruction_count; ++k) {
    const pef_instruction_t *in = &s->pef->instructions[stage->instruction_first + k];
    if (in->op == PEF_OP_LOAD && in->a == i) return true;
  }
  return false;
}

cursor_t sim_start(const sim_t *s, const pef_stage_t *stage, uint32_t i, int64_t rows) {
  cursor_t c = {.stage = stage, .o = &s->pef->operands[stage->operand_first + i], .which = i};
  c.packed = is_product(stage) && i == 1 && stage->params.product.n_block != 0;
  const bool out = sim_writes(s, stage, i);
  for (uint32_t d = 0; d < c.o->rank; ++d) {
    const bool summed = (stage->kind == PEF_STAGE_REDUCE && (stage->params.reduce.dims >> d & 1) != 0) ||
                        (is_product(stage) && stage->params.product.roles[d] == PEF_ROLE_K);
    c.extents[d] = d == c.o->row_dim ? rows * (int64_t)c.o->row_mult : c.o->dims[d];
    if (out && summed) c.extents[d] = 1;
    if (!out && c.o->strides[d] == 0 && c.extents[d] > 1) c.extents[d] = 1;
    c.ended |= c.extents[d] == 0;
  }
  c.ended |= c.o->space == PEF_SPACE_NONE;
  return c;
}

void sim_step(cursor_t *c) {
  uint32_t d = c->o->rank;
  while (d-- > 0) {
    if (++c->at[d] < c->extents[d]) return;
    c->at[d] = 0;
  }
  c->ended = true;
}

// Bytes from the start of the argument or of the tile buffer.
static int64_t place_of(const cursor_t *c) {
  int64_t at = 0, n = 0, k = 0, n_count = 1;
  for (uint32_t d = 0; d < c->o->rank; ++d) {
    const int64_t role = c->stage->params.product.roles[d];
    if (c->packed && role == PEF_ROLE_N) {
      n = c->at[d];
      n_count = c->o->dims[d];
    } else if (c->packed && role == PEF_ROLE_K) {
      k = k * c->o->dims[d] + c->at[d];
    } else {
      at += c->at[d] * c->o->strides[d];
    }
  }
  if (c->packed) {
    const int64_t block = c->stage->params.product.n_block, left = n_count - n / block * block;
    const int64_t width = left < block ? left : block, paired = c->stage->params.product.pairs;
    const int64_t in_panel = paired != 0 ? k / 2 * 2 * width + n % block * 2 + k % 2 : k * width + n % block;
    at += n / block * c->stage->params.product.n_block_step + in_panel;
  }
  return (int64_t)c->o->offset + at * (int64_t)leat_pef_dtype_bytes(c->o->dtype);
}

int64_t sim_row(const cursor_t *c) {
  return c->o->row_dim == PEF_NO_ROW_DIM ? SIM_EVERY_ROW : c->at[c->o->row_dim] / (int64_t)c->o->row_mult;
}

uint64_t sim_index(const cursor_t *c) {
  uint64_t index = 0;
  for (uint32_t d = 0; d < c->o->rank; ++d) index = index * (uint64_t)(c->o->dims[d] + 1) + (uint64_t)c->at[d];
  return index;
}

pef_argument_t sim_argument(const sim_t *s, const pef_call_t *call, const cursor_t *c) {
  return loop_argument(s->pef, call->argument_first + c->o->slot, s->trips);
}

int64_t sim_cell(const sim_t *s, const pef_argument_t *a, const cursor_t *c) {
  if (a->kind == PEF_PLACE_CONSTANT) return -1;
  const int64_t first = a->kind == PEF_PLACE_SYMBOL ? s->first[a->symbol] : 0;
  return first + ((int64_t)a->offset + place_of(c)) / s->unit;
}

int64_t sim_width(const sim_t *s, const cursor_t *c) { return (int64_t)leat_pef_dtype_bytes(c->o->dtype) / s->unit; }

int64_t sim_scratch_cell(const sim_t *s, const cursor_t *c) {
  return (s->starts[c->o - s->pef->operands] + place_of(c)) / s->unit;
}
