// SPDX-License-Identifier: Apache-2.0
// What a plan does, element by element: a simulation of all that the calls of a small file read and write, to hold the
// proofs of pef/legal.h against. Knows the text of pef_format.h and how runs are made (section types apart or together,
// outputs disabled, inputs and outputs in the caller's memory) and nothing of values, lives and intervals.
#ifndef LEAT_TESTS_LEGAL_ORACLE_H_
#define LEAT_TESTS_LEGAL_ORACLE_H_

#include "pef/pef_read.h"

// What was seen of a file. Two files whose records are the same but for their places compute the same exactly where
// their `reads` are equal: for every run, call and operand, who had written what is read there.
typedef struct oracle_s {
  const char *broken;  // what no plan may do; NULL: nothing of the kind
  uint64_t *reads;
  size_t read_count;
} oracle_t;

// Calls and operands of a mutated file by what they were before: `call_was`, `operand_was` (NULL: the same).
typedef struct oracle_names_s {
  const uint32_t *call_was, *operand_was;
} oracle_names_t;

// Elements that a simulation visits, to keep away from files that take too long.
uint64_t oracle_cost(const leat_pef_t *pef);
oracle_t oracle_run(const leat_pef_t *pef, oracle_names_t was);
void oracle_deinit(oracle_t *oracle);

#endif
