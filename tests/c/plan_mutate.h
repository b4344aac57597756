// SPDX-License-Identifier: Apache-2.0
// Mutations of plans: of a PEF, changes of places, barriers, order and loops, after which it is another plan of the
// same program, or another program.
#ifndef LEAT_TESTS_PLAN_MUTATE_H_
#define LEAT_TESTS_PLAN_MUTATE_H_

#include "mutate.h"
#include "pef/pef_read.h"

// A copy of a file, and its tables within.
typedef struct plan_s {
  const leat_pef_t *was;
  mutant_t file;
  pef_call_t *calls;
  pef_argument_t *arguments;
  pef_body_t *bodies;
  pef_stage_t *stages;
  pef_operand_t *operands;
  pef_loop_t *loops;
  pef_move_t *moves;
  uint32_t *call_was, *operand_was;
  bool alike;  // where a value, or a call, has come, another was that does as well: no file says which is meant
} plan_t;

plan_t plan_copy(const leat_pef_t *pef, uint64_t seed);
void plan_free(plan_t *p);

enum { PLAN_MUTATIONS = 19 };
typedef struct plan_mutation_s {
  const char *name;
  bool (*mutate)(plan_t *p);  // false: there is nothing of its kind
  bool plan;  // the program stays, so that whatever is read otherwise is a mistake of the plan; else it may be another
              // program, which no rule forbids: it counts where the simulation sees what no plan may do
} plan_mutation_t;
extern const plan_mutation_t plan_mutations[PLAN_MUTATIONS];

#endif
