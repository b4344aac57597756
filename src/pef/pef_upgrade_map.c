// SPDX-License-Identifier: Apache-2.0
// Strip programs of version 1: an instruction wrote a register that it named, and what it read was what the register
// held then. Here registers become the instructions that wrote them; whatever else is wrong the checker finds.
#include "pef/pef_check.h"
#include "pef/pef_file.h"
#include "pef/pef_scalar.h"

typedef struct pef_registers_s {
  uint32_t holds[PEF_V1_MAX_REGISTERS];  // the instruction that wrote it last, or PEF_NONE
} pef_registers_t;

static leat_status_t read_register(const pef_registers_t *registers, uint32_t index, uint32_t *out_value) {
  if (index >= PEF_V1_MAX_REGISTERS) return leat_pef_corrupt("register %u does not exist", index);
  *out_value = registers->holds[index];
  if (*out_value == PEF_NONE) return leat_pef_corrupt("register %u is read before it is written", index);
  return NULL;
}

// A class or dtype; 0xff where it is none.
static uint8_t type_of(uint16_t number) { return number < 0xff ? (uint8_t)number : 0xff; }

static leat_status_t upgrade_scalar(const pef_registers_t *registers, const pef_v1_instruction_t *old,
                                    pef_instruction_t *out) {
  uint32_t values[3] = {0};
  const uint16_t read[3] = {old->a, old->b, old->c};
  for (uint32_t i = 0; i < leat_pef_scalar_arity(old->op); ++i) LEAT_TRY(read_register(registers, read[i], &values[i]));
  out->a = values[0];
  out->b = values[1];
  out->c = values[2];
  return NULL;
}

static leat_status_t upgrade_fields(const pef_registers_t *registers, const pef_v1_instruction_t *old,
                                    pef_instruction_t *out) {
  switch (old->op) {
    case PEF_OP_LOAD:
    case PEF_OP_IOTA:
      out->a = old->a;
      return NULL;
    case PEF_OP_STORE:
      out->a = old->a;
      return read_register(registers, old->b, &out->b);
    case PEF_OP_IMMEDIATE:
      out->imm = old->imm;
      return NULL;
    case PEF_OP_CONVERT:
      out->type = type_of(old->c);
      return read_register(registers, old->b, &out->a);
    case PEF_OP_WRAP:
      out->type = type_of(old->a);
      return read_register(registers, old->b, &out->a);
    default:
      return upgrade_scalar(registers, old, out);
  }
}

static leat_status_t upgrade_instruction(pef_registers_t *registers, const pef_v1_instruction_t *old, uint32_t index,
                                         pef_instruction_t *out) {
  for (uint32_t i = 0; i < 3; ++i) {
    if (old->reserved0[i] != 0) return leat_pef_corrupt("reserved bytes are not zero");
  }
  *out = (pef_instruction_t){.op = old->op, .class_ = old->class_};
  LEAT_TRY(upgrade_fields(registers, old, out));
  if (old->op == PEF_OP_STORE) return NULL;
  if (old->dst >= PEF_V1_MAX_REGISTERS) return leat_pef_corrupt("register %u does not exist", old->dst);
  registers->holds[old->dst] = index;
  return NULL;
}

static leat_status_t upgrade_program(const pef_v1_instruction_t *old, uint32_t count, pef_instruction_t *out) {
  pef_registers_t registers;
  memset(&registers, 0xff, sizeof registers);
  for (uint32_t i = 0; i < count; ++i) {
    LEAT_TRY(leat_status_annotate(upgrade_instruction(&registers, &old[i], i, &out[i]), "instruction %u", i));
  }
  return NULL;
}

leat_status_t leat_pef_upgrade_programs(const pef_stage_t *stages, uint32_t stage_count,
                                        const pef_v1_instruction_t *old, pef_instruction_t *out) {
  for (uint32_t s = 0; s < stage_count; ++s) {
    const uint32_t first = stages[s].instruction_first;
    leat_status_t status = upgrade_program(old + first, stages[s].instruction_count, out + first);
    LEAT_TRY(leat_status_annotate(status, "stage %u (%s)", s, leat_pef_stage_name(stages[s].kind)));
  }
  return NULL;
}
