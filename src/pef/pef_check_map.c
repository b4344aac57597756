// SPDX-License-Identifier: Apache-2.0
// The instructions of a MAP stage: what one reads is a value that comes before it, of its own class (CONVERT: of the
// class that it says); an operand is stored to once; fields that an operation does not use are 0. Scalar functions
// follow ir/scalar.def. A value that nothing reads is legal.
#include "pef/pef_check.h"
#include "pef/pef_scalar.h"

enum { CLASS_END = PEF_CLASS_I64 + 1 };

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
  uint32_t at;                                 // the instruction that is checked
  uint64_t stored[PEF_MAX_OPERANDS / 64 + 1];  // bits: operands that have been stored to
} pef_map_state_t;

static leat_status_t read_value(const pef_map_state_t *state, uint32_t value, uint32_t class_) {
  if (value >= state->at) return leat_pef_corrupt("it reads value %u, which does not come before it", value);
  const pef_instruction_t *source = &state->site->instructions[value];
  if (source->op == PEF_OP_STORE) return leat_pef_corrupt("it reads value %u, but a store makes none", value);
  if (source->class_ == class_) return NULL;
  return leat_pef_corrupt("value %u is of class %u, class %u is read", value, source->class_, class_);
}

static leat_status_t check_operand_index(const pef_map_state_t *state, uint32_t index) {
  if (index < state->site->stage->operand_count) return NULL;
  return leat_pef_corrupt("operand %u of %u", index, state->site->stage->operand_count);
}

// --- one rule an operation -------------------------------------------------------------------------------------

static leat_status_t rule_scalar(pef_map_state_t *state, const pef_instruction_t *instruction) {
  const bool integer = instruction->class_ == PEF_CLASS_I64;
  const char *expression = integer ? scalars[instruction->op].i64 : scalars[instruction->op].f64;
  if (strcmp(expression, "NA") == 0) {
    return leat_pef_corrupt("'%s' is not defined for %s", scalars[instruction->op].name,
                            integer ? "integers" : "floats");
  }
  if (instruction->type > leat_pef_scalar_body(instruction->op, instruction->class_)) {
    return leat_pef_corrupt("'%s' has no body %u in class %u", scalars[instruction->op].name, instruction->type,
                            instruction->class_);
  }
  if (leat_pef_instruction_since(instruction) > state->site->version_minor) {
    return leat_pef_corrupt("format 2.%u does not have body %u of '%s'", state->site->version_minor, instruction->type,
                            scalars[instruction->op].name);
  }
  const uint32_t sources[3] = {instruction->a, instruction->b, instruction->c};
  for (uint32_t i = 0; i < leat_pef_scalar_arity(instruction->op); ++i) {
    LEAT_TRY(read_value(state, sources[i], instruction->class_));
  }
  return NULL;
}

static leat_status_t rule_load(pef_map_state_t *state, const pef_instruction_t *instruction) {
  return check_operand_index(state, instruction->a);
}

static leat_status_t rule_store(pef_map_state_t *state, const pef_instruction_t *instruction) {
  LEAT_TRY(check_operand_index(state, instruction->a));
  uint64_t *stored = &state->stored[instruction->a / 64];
  const uint64_t bit = UINT64_C(1) << instruction->a % 64;
  if ((*stored & bit) != 0) return leat_pef_corrupt("operand %u is stored to twice", instruction->a);
  *stored |= bit;
  return read_value(state, instruction->b, instruction->class_);
}

static leat_status_t rule_immediate(pef_map_state_t *state, const pef_instruction_t *instruction) {
  (void)state, (void)instruction;
  return NULL;
}

static leat_status_t rule_iota(pef_map_state_t *state, const pef_instruction_t *instruction) {
  if (instruction->a < state->site->operands[0].rank) return NULL;
  return leat_pef_corrupt("iota along dim %u of rank %u", instruction->a, state->site->operands[0].rank);
}

static leat_status_t rule_convert(pef_map_state_t *state, const pef_instruction_t *instruction) {
  return read_value(state, instruction->a, instruction->type);
}

// The dtypes narrower than a class, plus bool; a class's own dtype wraps to itself.
static leat_status_t rule_wrap(pef_map_state_t *state, const pef_instruction_t *instruction) {
  if (instruction->type >= PEF_DTYPE_COUNT ||
      (instruction->type != PEF_BOOL && leat_pef_dtype_class(instruction->type) != instruction->class_)) {
    return leat_pef_corrupt("wrap to dtype %u does not fit class %u", instruction->type, instruction->class_);
  }
  return read_value(state, instruction->a, instruction->class_);
}

typedef struct pef_operation_s {
  leat_status_t (*rule)(pef_map_state_t *state, const pef_instruction_t *instruction);
  bool type, imm;   // the fields that it uses
  uint32_t fields;  // how many of a, b, c
} pef_operation_t;

// By number less PEF_OP_LOAD.
static const pef_operation_t operations[] = {
    {.rule = rule_load, .fields = 1},
    {.rule = rule_store, .fields = 2},
    {.rule = rule_immediate, .imm = true},
    {.rule = rule_iota, .fields = 1},
    {.rule = rule_convert, .type = true, .fields = 1},
    {.rule = rule_wrap, .type = true, .fields = 1},
};

static bool find_operation(uint32_t op, pef_operation_t *out_operation) {
  const uint32_t row = op - (uint32_t)PEF_OP_LOAD;
  if (op < PEF_SCALAR_COUNT && op != PEF_SCALAR_CAST) {
    *out_operation = (pef_operation_t){.rule = rule_scalar, .type = true, .fields = leat_pef_scalar_arity(op)};
    return true;
  }
  if (op < PEF_OP_LOAD || row >= sizeof operations / sizeof *operations) return false;
  *out_operation = operations[row];
  return true;
}

static bool is_zero_where_unused(const pef_instruction_t *in, const pef_operation_t *operation) {
  return (operation->type || in->type == 0) && (operation->fields > 0 || in->a == 0) &&
         (operation->fields > 1 || operation->imm || in->b == 0) &&
         (operation->fields > 2 || operation->imm || in->c == 0);
}

static leat_status_t check_instruction(pef_map_state_t *state, const pef_instruction_t *instruction) {
  pef_operation_t operation;
  if (instruction->class_ >= CLASS_END) return leat_pef_corrupt("class %u does not exist", instruction->class_);
  if (!find_operation(instruction->op, &operation)) {
    return leat_pef_corrupt("operation %u does not exist", instruction->op);
  }
  if (!is_zero_where_unused(instruction, &operation)) {
    return leat_pef_corrupt("a field that operation %u does not use is not zero", instruction->op);
  }
  return operation.rule(state, instruction);
}

leat_status_t leat_pef_rule_map(const pef_stage_site_t *site) {
  pef_map_state_t state;
  state.site = site;
  state.at = 0;
  memset(state.stored, 0, (site->stage->operand_count / 64 + 1u) * sizeof *state.stored);
  for (; state.at < site->stage->instruction_count; ++state.at) {
    LEAT_TRY(
        leat_status_annotate(check_instruction(&state, &site->instructions[state.at]), "instruction %u", state.at));
  }
  return NULL;
}
