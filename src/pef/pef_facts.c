// SPDX-License-Identifier: Apache-2.0
// Facts of the format: dtypes, what a stage reads and writes, when it has nothing to do.
#include "pef/pef_align.h"
#include "pef/pef_check.h"

static const struct {
  const char *name;
  size_t bytes;
  char class_letter;
} dtypes[] = {
#define DTYPE(suffix, name, bytes, class_letter) [PEF_##suffix] = {name, bytes, #class_letter[0]},
#include "ir/dtype.def"
#undef DTYPE
};
_Static_assert(sizeof dtypes / sizeof *dtypes == PEF_DTYPE_COUNT, "pef_format.h and ir/dtype.def agree");

size_t leat_pef_dtype_bytes(uint32_t dtype) { return dtype < PEF_DTYPE_COUNT ? dtypes[dtype].bytes : 0; }
const char *leat_pef_dtype_name(uint32_t dtype) { return dtype < PEF_DTYPE_COUNT ? dtypes[dtype].name : "?"; }

enum pef_class leat_pef_dtype_class(uint32_t dtype) {
  if (dtypes[dtype].class_letter != 'F') return PEF_CLASS_I64;
  return dtype == PEF_F64 ? PEF_CLASS_F64 : PEF_CLASS_F32;
}

// --- tables ----------------------------------------------------------------------------------------------------------

uint64_t leat_pef_table_bytes(const leat_pef_t *pef) {
  uint64_t bytes = pef->string_bytes + pef->constant_bytes + strlen(pef->metadata);
#define RECORD(suffix, number, one, table, record, need, ...) bytes += pef->one##_count * (uint64_t)sizeof(record);
#include "pef/record.def"
  return bytes;
}

// --- tile buffers ----------------------------------------------------------------------------------------------------

size_t leat_pef_buffer_element_bytes(const pef_buffer_t *buffer) {
  return buffer->dtype == PEF_OPAQUE ? 1 : leat_pef_dtype_bytes(buffer->dtype);
}

uint64_t leat_pef_buffer_extent(const leat_pef_t *pef, const pef_body_t *body, const pef_buffer_t *buffer, uint32_t dim,
                                uint64_t rows) {
  const uint64_t extent = (uint64_t)pef->dims[buffer->dims + dim];
  return dim == buffer->row_dim ? extent / body->row_count * rows : extent;
}

uint64_t leat_pef_buffer_bytes(const leat_pef_t *pef, const pef_body_t *body, const pef_buffer_t *buffer,
                               uint64_t rows) {
  uint64_t bytes = leat_pef_buffer_element_bytes(buffer);
  for (uint32_t d = 0; d < buffer->rank; ++d) bytes *= leat_pef_buffer_extent(pef, body, buffer, d, rows);
  return bytes;
}

uint64_t leat_pef_scratch_bytes(const leat_pef_t *pef, const pef_body_t *body) {
  uint64_t most = 0;
  for (uint32_t i = body->buffer_first; pef->layout_count != 0 && i < body->buffer_first + body->buffer_count; ++i) {
    const uint64_t bytes = leat_pef_buffer_bytes(pef, body, &pef->buffers[i], leat_pef_tile_rows(body));
    if (pef->layout[i].offset + bytes > most) most = pef->layout[i].offset + bytes;
  }
  return leat_pef_align(most);
}

uint64_t leat_pef_most_scratch_bytes(const leat_pef_t *pef) {
  uint64_t most = 0;
  for (uint32_t b = 0; b < pef->body_count; ++b) {
    const uint64_t bytes = leat_pef_scratch_bytes(pef, &pef->bodies[b]);
    if (bytes > most) most = bytes;
  }
  return most;
}

// --- stages ----------------------------------------------------------------------------------------------------------

static bool has_no_elements(const pef_stage_t *stage, const pef_operand_t *operand) {
  for (uint32_t d = 0; d < operand->rank; ++d) {
    if (operand->dims[d] == 0 && !leat_pef_stage_sums(stage, d)) return true;
  }
  return operand->space == PEF_SPACE_NONE;
}

bool leat_pef_stage_is_idle(const leat_pef_t *pef, const pef_stage_t *stage) {
  const pef_operand_t *operands = pef->operands + stage->operand_first;
  bool idle = true;
  for (uint32_t i = 0; i < stage->operand_count; ++i) {
    const bool empty = has_no_elements(stage, &operands[i]);
    if (empty && (leat_pef_operand_row(stage->kind, i)->traits & PEF_WORK) != 0) return true;
    if (leat_pef_writes(pef, stage, i)) idle = idle && empty;
  }
  return idle;
}

bool leat_pef_body_is_f64(const leat_pef_t *pef, const pef_body_t *body) {
  bool touched[PEF_CLASS_I64 + 1] = {0};
  for (uint32_t s = 0; s < body->stage_count; ++s) {
    const pef_stage_t *stage = &pef->stages[body->stage_first + s];
    for (uint32_t o = 0; o < stage->operand_count; ++o)
      touched[leat_pef_dtype_class(pef->operands[stage->operand_first + o].dtype)] = true;
  }
  return touched[PEF_CLASS_F64] && !touched[PEF_CLASS_F32];
}

static void find_program_access(const pef_stage_t *stage, const pef_instruction_t *program, uint8_t *access) {
  for (uint32_t i = 0; i < stage->instruction_count; ++i) {
    const pef_instruction_t *in = &program[i];
    if (in->a >= stage->operand_count) continue;
    if (in->op == PEF_OP_LOAD) access[in->a] |= LEAT_PEF_READS;
    if (in->op == PEF_OP_STORE) access[in->a] |= LEAT_PEF_WRITES;
  }
}

void leat_pef_find_access(const pef_stage_t *stage, const pef_instruction_t *program, uint8_t *access) {
  const pef_stage_row_t *row = leat_pef_stage_row(stage->kind);
  if (row == NULL) return;
  if ((row->operands[0].traits & PEF_MANY) != 0) {
    find_program_access(stage, program, access);
    return;
  }
  for (uint32_t i = 0; i < stage->operand_count && row->operands[i].name != NULL; ++i) {
    const uint8_t direction = row->operands[i].direction;
    const bool added_to = direction == PEF_SUM && stage->params.product.add == 1;
    if (direction != PEF_IN) access[i] |= LEAT_PEF_WRITES;
    if (direction == PEF_IN || direction == PEF_UPDATE || added_to) access[i] |= LEAT_PEF_READS;
  }
}

const pef_block_t *leat_pef_block_of(const leat_pef_t *pef, uint32_t symbol) {
  uint32_t low = 0, high = pef->block_count;
  while (low < high) {
    const uint32_t middle = low + (high - low) / 2;
    if (pef->blocks[middle].symbol < symbol) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low < pef->block_count && pef->blocks[low].symbol == symbol ? &pef->blocks[low] : NULL;
}
