// SPDX-License-Identifier: Apache-2.0
// stage.def as a table.
#include "pef/pef_check.h"

enum { OPTIONAL = PEF_OPTIONAL, MANY = PEF_MANY, IN_PLACE = PEF_IN_PLACE, PACKED = PEF_PACKED, WORK = PEF_WORK };
enum { ANY = 0xffff };  // of functions or dtypes

#define FN(suffix) (1u << PEF_FN_##suffix)
#define DTYPE(suffix) (1u << PEF_##suffix)
#define INTEGERS (DTYPE(I8) | DTYPE(U8) | DTYPE(I16) | DTYPE(I32) | DTYPE(I64))
#define FLOATS (DTYPE(F32) | DTYPE(F64) | DTYPE(BF16) | DTYPE(F16))

#define TYPES(set) .dtypes = (set)
#define LIKE(operand) .dtypes = ANY, .relation = PEF_SAME_DTYPE, .other = (operand)
#define CLASS(operand) .dtypes = ANY, .relation = PEF_SAME_CLASS, .other = (operand)

#define RANGE(from, to) WHEN(ANY, ANY, from, to)
#define WHEN(functions, types, from, to) \
  .range = PEF_RANGE_NUMBER, .fns = (functions), .dtypes = (types), .low = (from), .high = (to)
#define COUNT(counted, from, to) .range = PEF_RANGE_COUNT, .letters = (counted), .low = (from), .high = (to)
#define AT(letter) .range = PEF_RANGE_AT, .letters = #letter
#define MASK .range = PEF_RANGE_MASK
#define ROLES .range = PEF_RANGE_ROLES, .low = PEF_ROLE_BATCH, .high = PEF_ROLE_K

enum { WORDS_ONE = 1, WORDS_SPATIAL = 3, WORDS_DIMS = PEF_MAX_RANK };

static const pef_stage_row_t stages[PEF_STAGE_COUNT] = {
#define STAGE(suffix, title, number, from, text) [PEF_STAGE_##suffix] = {.name = #title, .since = (from),
#define FACTS(...) __VA_ARGS__, .operands = {
#define OPERAND(stage, title, to, letters, types, marks, text) \
  {.name = #title, .direction = PEF_##to, .dims = (letters), types, .traits = (marks)},
#define PARAMETERS(suffix) \
  }                        \
  , .params = {
#define PARAM(stage, title, count, from, span, text) \
  {.name = #title, .words = WORDS_##count, .times = PEF_##count, .since = (from), span},
#define UNUSED(stage, count) {.name = "", .words = (count), .range = PEF_RANGE_UNUSED},
#define END(suffix, title) \
  }                        \
  }                        \
  ,
#include "pef/stage.def"
};

#define STAGE(suffix, title, number, from, text) \
  _Static_assert((from) <= PEF_VERSION_MINOR, "the format knows the version that brought a kind");
#define PARAM(stage, title, count, from, span, text) \
  _Static_assert((from) <= PEF_VERSION_MINOR, "the format knows the version that brought a parameter");
#define END(suffix, title) \
  _Static_assert(sizeof(pef_##title##_t) == sizeof(pef_params_t), "the rows of a kind fill its 24 words");
#include "pef/stage.def"

const pef_stage_row_t *leat_pef_stage_row(uint32_t kind) { return kind < PEF_STAGE_COUNT ? &stages[kind] : NULL; }
const char *leat_pef_stage_name(uint32_t kind) { return kind < PEF_STAGE_COUNT ? stages[kind].name : "?"; }

const pef_operand_row_t *leat_pef_operand_row(uint32_t kind, uint32_t index) {
  const pef_operand_row_t *rows = stages[kind].operands;
  return (rows->traits & PEF_MANY) != 0 ? rows : &rows[index];
}

// The dtype of the result, or of what decides it.
bool leat_pef_stage_computes(uint32_t kind, uint32_t fn, uint32_t dtype) {
  const pef_stage_row_t *row = &stages[kind];
  const pef_operand_row_t *operand = row->operands;
  while (operand->direction == PEF_IN && operand[1].name != NULL) ++operand;
  if (operand->relation != PEF_FREE) operand = &row->operands[operand->other];
  const bool excluded = (row->without_fns >> fn & 1) != 0 && (row->without_dtypes >> dtype & 1) != 0;
  return (operand->dtypes >> dtype & 1) != 0 && !excluded;
}

bool leat_pef_stage_sums(const pef_stage_t *stage, uint32_t dim) {
  const int64_t *word = stage->params.words;
  for (const pef_param_row_t *param = stages[stage->kind].params; param->name != NULL; word += param++->words) {
    if (param->range == PEF_RANGE_MASK) return (*word >> dim & 1) != 0;
    if (param->range == PEF_RANGE_ROLES) return word[dim] == PEF_ROLE_K;
  }
  return false;
}

bool leat_pef_operand_is_packed(const pef_stage_t *stage, uint32_t index) {
  return (leat_pef_operand_row(stage->kind, index)->traits & PEF_PACKED) != 0 && stage->params.product.n_block != 0;
}
