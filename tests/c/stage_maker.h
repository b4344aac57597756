// SPDX-License-Identifier: Apache-2.0
// Random legal stages of any kind, made from the schema (pef/stage.def): dims, extents, strides, rows, dtypes,
// functions and parameters. What the schema leaves to a kind's own rule is known here kind by kind.
#ifndef LEAT_TESTS_STAGE_MAKER_H_
#define LEAT_TESTS_STAGE_MAKER_H_

#include "mutate.h"
#include "pef_zoo.h"

typedef struct made_stage_s {
  pef_zoo_t zoo;
  char letters[PEF_ZOO_OPERANDS][PEF_MAX_RANK + 1];  // what the schema calls each dim of each operand
} made_stage_t;

// A legal stage of `kind`. Of all draws, every legal function, dtype and row dim comes up.
void make_stage(mutant_t *random, uint32_t kind, made_stage_t *out);

#endif
