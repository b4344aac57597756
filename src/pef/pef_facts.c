// SPDX-License-Identifier: Apache-2.0
// Facts of the format in tables: dtypes, stage names, what a stage writes.
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

// What the format says of a stage kind, MAP excepted: its operands and which of them it writes.
static const struct {
  const char *name;
  uint8_t operand_count;
  uint8_t outputs;  // bit mask
} stages[PEF_STAGE_COUNT] = {
    [PEF_STAGE_MAP] = {"map", 0, 0},
    [PEF_STAGE_REDUCE] = {"reduce", 2, 1u << 1},
    [PEF_STAGE_SCAN] = {"scan", 2, 1u << 1},
    [PEF_STAGE_CONTRACT] = {"contract", 3, 1u << 2},
    [PEF_STAGE_CONV] = {"conv", 3, 1u << 2},
    [PEF_STAGE_CONV_WGRAD] = {"conv_wgrad", 3, 1u << 2},
    [PEF_STAGE_POOL] = {"pool", 2, 1u << 1},
    [PEF_STAGE_POOL_GRAD] = {"pool_grad", 3, 1u << 2},
    [PEF_STAGE_GATHER] = {"gather", 3, 1u << 2},
    [PEF_STAGE_SCATTER] = {"scatter", 3, 1u << 2},
    [PEF_STAGE_SORT] = {"sort", 3, 1u << 1 | 1u << 2},
    [PEF_STAGE_RANDOM] = {"random", 2, 1u << 1},
};

size_t leat_pef_dtype_bytes(uint32_t dtype) { return dtype < PEF_DTYPE_COUNT ? dtypes[dtype].bytes : 0; }
const char *leat_pef_dtype_name(uint32_t dtype) { return dtype < PEF_DTYPE_COUNT ? dtypes[dtype].name : "?"; }
const char *leat_pef_stage_name(uint32_t kind) { return kind < PEF_STAGE_COUNT ? stages[kind].name : "?"; }
uint32_t leat_pef_stage_operand_count(uint32_t kind) { return kind < PEF_STAGE_COUNT ? stages[kind].operand_count : 0; }

enum pef_class leat_pef_dtype_class(uint32_t dtype) {
  if (dtypes[dtype].class_letter != 'F') return PEF_CLASS_I64;
  return dtype == PEF_F64 ? PEF_CLASS_F64 : PEF_CLASS_F32;
}

bool leat_pef_stage_sums(const pef_stage_t *stage, uint32_t dim) {
  if (stage->kind == PEF_STAGE_REDUCE) return (stage->params.words[0] >> dim & 1) != 0;
  return stage->kind == PEF_STAGE_CONTRACT && stage->params.words[dim] == PEF_ROLE_K;
}

static bool has_no_elements(const pef_stage_t *stage, const pef_operand_t *operand) {
  for (uint32_t d = 0; d < operand->rank; ++d) {
    if (operand->dims[d] == 0 && !leat_pef_stage_sums(stage, d)) return true;
  }
  return operand->space == PEF_SPACE_NONE;
}

bool leat_pef_stage_is_idle(const leat_pef_t *pef, const pef_stage_t *stage) {
  const uint64_t outputs = leat_pef_stage_outputs(pef, stage);
  const pef_operand_t *operands = pef->operands + stage->operand_first;
  bool idle = true;
  for (uint32_t i = 0; i < stage->operand_count; ++i) {
    if ((outputs >> i & 1) != 0) idle = idle && has_no_elements(stage, &operands[i]);
  }
  return idle || (stage->kind == PEF_STAGE_SCATTER && has_no_elements(stage, &operands[1]));
}

uint64_t leat_pef_stage_outputs(const leat_pef_t *pef, const pef_stage_t *stage) {
  uint64_t outputs = stages[stage->kind].outputs;
  const pef_instruction_t *instructions = pef->instructions + stage->instruction_first;
  for (uint32_t i = 0; i < stage->instruction_count; ++i) {
    const bool in_range = instructions[i].a < PEF_MAX_OPERANDS;
    if (instructions[i].op == PEF_OP_STORE && in_range) outputs |= UINT64_C(1) << instructions[i].a;
  }
  return outputs;
}
