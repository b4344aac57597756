// SPDX-License-Identifier: Apache-2.0
// Sums and the like: one step, and long sums in blocks that are added pairwise.
#ifndef LEAT_REF_SUM_H_
#define LEAT_REF_SUM_H_

#include "ref/value.h"

// What a fold of REDUCE begins with: 0, 1, the least or the greatest number of the class.
ref_value_t leat_ref_neutral(uint32_t fn, uint32_t class_);
// One step of SCAN and SCATTER: of MAX and MIN the first of equal numbers stays, and the last NaN wins.
ref_value_t leat_ref_step(uint32_t fn, uint32_t class_, ref_value_t so_far, ref_value_t next);
// One step of REDUCE, whose MAX and MIN do not depend on the order: any NaN is the NaN, and +0 is above -0.
ref_value_t leat_ref_fold(uint32_t fn, uint32_t class_, ref_value_t so_far, ref_value_t next);

// The sum of a block of a long sum.
typedef ref_value_t (*ref_block_fn_t)(const void *sum, int64_t block);
// The pairwise sum of the blocks [first, first + count), count >= 1.
ref_value_t leat_ref_pairwise(uint32_t class_, ref_block_fn_t block, const void *sum, int64_t first, int64_t count);

#endif
