// SPDX-License-Identifier: Apache-2.0
// The instructions of a MAP stage: every register is defined, in one class, before it is read; all registers of an
// instruction are of its class, CONVERT excepted; an operand is stored to once. Scalar functions follow ir/scalar.def.
#include "pef/pef_check.h"
#include "pef/pef_scalar.h"

enum { CLASS_NONE = 0xff, CLASS_END = PEF_CLASS_I64 + 1 };

static const struct {
  const char *name;
  const char *f64, *i64;  // expression; "NA": not defined for that class
} scalars[PEF_SCALAR_COUNT] = {
#define SCALAR(suffix, name, number, arity, result, kernels, body, flops, speed, f64, i64) {#name, #f64, #i64},
#include "ir/scalar.def"
#undef SCALAR
};

typedef struct pef_map_state_s {
  const pef_stage_site_t *site;
  uint8_t classes[PEF_MAX_REGISTERS];  // class of what each register holds, CLASS_NONE: nothing yet
  uint64_t stored;                     // operands that have been stored to
} pef_map_state_t;

static leat_status_t read_register(const pef_map_state_t *state, uint32_t index, uint32_t class_) {
  if (index >= PEF_MAX_REGISTERS) return leat_pef_corrupt("register %u does not exist", index);
  if (state->classes[index] == CLASS_NONE) return leat_pef_corrupt("register %u is read before it is written", index);
  if (state->classes[index] != class_) {
    return leat_pef_corrupt("register %u holds class %u, class %u is read", index, state->classes[index], class_);
  }
  return NULL;
}

static leat_status_t write_register(pef_map_state_t *state, const pef_instruction_t *instruction) {
  if (instruction->dst >= PEF_MAX_REGISTERS) return leat_pef_corrupt("register %u does not exist", instruction->dst);
  state->classes[instruction->dst] = instruction->class_;
  return NULL;
}

static leat_status_t check_operand_index(const pef_map_state_t *state, uint32_t index) {
  if (index < state->site->stage->operand_count) return NULL;
  return leat_pef_corrupt("operand %u of %u", index, state->site->stage->operand_count);
}

static leat_status_t rule_scalar(pef_map_state_t *state, const pef_instruction_t *instruction) {
  if (instruction->op >= PEF_SCALAR_COUNT || instruction->op == PEF_SCALAR_CAST) {
    return leat_pef_corrupt("scalar function %u does not exist", instruction->op);
  }
  const bool integer = instruction->class_ == PEF_CLASS_I64;
  const char *expression = integer ? scalars[instruction->op].i64 : scalars[instruction->op].f64;
  if (strcmp(expression, "NA") == 0) {
    return leat_pef_corrupt("'%s' is not defined for %s", scalars[instruction->op].name,
                            integer ? "integers" : "floats");
  }
  const uint16_t sources[3] = {instruction->a, instruction->b, instruction->c};
  for (uint32_t i = 0; i < leat_pef_scalar_arity(instruction->op); ++i) {
    LEAT_TRY(read_register(state, sources[i], instruction->class_));
  }
  return write_register(state, instruction);
}

static leat_status_t rule_load(pef_map_state_t *state, const pef_instruction_t *instruction) {
  LEAT_TRY(check_operand_index(state, instruction->a));
  return write_register(state, instruction);
}

static leat_status_t rule_store(pef_map_state_t *state, const pef_instruction_t *instruction) {
  LEAT_TRY(check_operand_index(state, instruction->a));
  const uint64_t bit = UINT64_C(1) << instruction->a;
  if ((state->stored & bit) != 0) return leat_pef_corrupt("operand %u is stored to twice", instruction->a);
  state->stored |= bit;
  return read_register(state, instruction->b, instruction->class_);
}

static leat_status_t rule_immediate(pef_map_state_t *state, const pef_instruction_t *instruction) {
  return write_register(state, instruction);
}

static leat_status_t rule_iota(pef_map_state_t *state, const pef_instruction_t *instruction) {
  if (instruction->a >= state->site->operands[0].rank) {
    return leat_pef_corrupt("iota along dim %u of rank %u", instruction->a, state->site->operands[0].rank);
  }
  return write_register(state, instruction);
}

static leat_status_t rule_convert(pef_map_state_t *state, const pef_instruction_t *instruction) {
  LEAT_TRY(read_register(state, instruction->b, instruction->c));
  return write_register(state, instruction);
}

// The dtypes narrower than a class, plus bool; a class's own dtype wraps to itself.
static leat_status_t rule_wrap(pef_map_state_t *state, const pef_instruction_t *instruction) {
  if (instruction->a >= PEF_DTYPE_COUNT ||
      (instruction->a != PEF_BOOL && leat_pef_dtype_class(instruction->a) != instruction->class_)) {
    return leat_pef_corrupt("wrap to dtype %u does not fit class %u", instruction->a, instruction->class_);
  }
  LEAT_TRY(read_register(state, instruction->b, instruction->class_));
  return write_register(state, instruction);
}

typedef leat_status_t (*pef_instruction_rule_fn)(pef_map_state_t *state, const pef_instruction_t *instruction);
static const pef_instruction_rule_fn rules[] = {
    [PEF_OP_LOAD - PEF_OP_LOAD] = rule_load,           [PEF_OP_STORE - PEF_OP_LOAD] = rule_store,
    [PEF_OP_IMMEDIATE - PEF_OP_LOAD] = rule_immediate, [PEF_OP_IOTA - PEF_OP_LOAD] = rule_iota,
    [PEF_OP_CONVERT - PEF_OP_LOAD] = rule_convert,     [PEF_OP_WRAP - PEF_OP_LOAD] = rule_wrap,
};

static leat_status_t check_instruction(pef_map_state_t *state, const pef_instruction_t *instruction) {
  if (instruction->class_ >= CLASS_END) return leat_pef_corrupt("class %u does not exist", instruction->class_);
  for (uint32_t i = 0; i < 3; ++i) {
    if (instruction->reserved0[i] != 0) return leat_pef_corrupt("reserved bytes are not zero");
  }
  if (instruction->op < PEF_OP_LOAD) return rule_scalar(state, instruction);
  const uint32_t row = instruction->op - (uint32_t)PEF_OP_LOAD;
  if (row >= sizeof rules / sizeof *rules) return leat_pef_corrupt("operation %u does not exist", instruction->op);
  return rules[row](state, instruction);
}

leat_status_t leat_pef_rule_map(const pef_stage_site_t *site) {
  pef_map_state_t state = {.site = site};
  memset(state.classes, CLASS_NONE, sizeof state.classes);
  for (uint32_t i = 0; i < site->stage->instruction_count; ++i) {
    LEAT_TRY(leat_status_annotate(check_instruction(&state, &site->instructions[i]), "instruction %u", i));
  }
  return NULL;
}
