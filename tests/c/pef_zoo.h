// SPDX-License-Identifier: Apache-2.0
// One small valid stage of every kind, each in a body of its own, for the tests of the validator.
#ifndef LEAT_TESTS_PEF_ZOO_H_
#define LEAT_TESTS_PEF_ZOO_H_

#include "pef/pef_write.h"

enum { PEF_ZOO_OPERANDS = 12, PEF_ZOO_INSTRUCTIONS = 8, PEF_ZOO_ARGUMENT_BYTES = 4096 };

// Operand i lives in argument i: PEF_ZOO_ARGUMENT_BYTES bytes of the arena each.
typedef struct pef_zoo_s {
  pef_body_t body;
  pef_stage_t stage;
  pef_operand_t operands[PEF_ZOO_OPERANDS];
  pef_instruction_t instructions[PEF_ZOO_INSTRUCTIONS];
  pef_buffer_t buffer;  // of the body, if it has one
  int64_t dims[PEF_MAX_RANK];
  pef_layout_t layout;
} pef_zoo_t;

// A valid stage of `kind`; rows run along dim 0 where the kind allows it.
pef_zoo_t pef_zoo_stage(uint32_t kind);
// Operand `index` moves into a tile buffer, of which it is all.
void pef_zoo_keep(pef_zoo_t *zoo, uint32_t index);
// As a writer takes it; `zoo` must outlive it.
leat_pef_body_draft_t pef_zoo_draft(const pef_zoo_t *zoo);
// Adds symbols (one output), `count` bodies and a call of each, and info.
void pef_zoo_build(leat_pef_writer_t *writer, const pef_zoo_t *zoo, uint32_t count);

#endif
