// SPDX-License-Identifier: Apache-2.0
// What stands behind a stage of a file and may be done with it, so that nothing passes through memory in between.
// Whether a kind of stage can do it is for that kind to say (finish.h, map_sums.h). None of it shows in the bits.
#ifndef LEAT_NATIVE_BEHIND_H_
#define LEAT_NATIVE_BEHIND_H_

#include "native/stage.h"

// The stage behind `stage` where the two may be one: it alone reads what the first writes, which is a tile buffer, runs
// whenever the first does, and writes nothing that either reads. NULL: there is none.
const pef_stage_t *leat_native_behind_reader(const leat_pef_t *pef, const pef_body_t *body, const pef_stage_t *stage);

typedef struct leat_native_behind_sum_s {
  const pef_stage_t *reduce;
  bool wanted;  // others than `map` and its sums, too, use the memory that it reads
} leat_native_behind_sum_t;

// The REDUCE stages right behind a MAP that read what it reads or writes; how many there are. Stages that may be left
// out are none of them, and other stages than a MAP have none.
uint32_t leat_native_behind_sums(const leat_pef_t *pef, const pef_body_t *body, const pef_stage_t *map,
                                 leat_native_behind_sum_t out[LEAT_NATIVE_SUMS_MAX]);

#endif
