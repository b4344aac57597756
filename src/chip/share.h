// SPDX-License-Identifier: Apache-2.0
// The units of a pipeline at one interval: PCUs of its nodes, PMUs of its passes.
#ifndef LEAT_CHIP_SHARE_H_
#define LEAT_CHIP_SHARE_H_

#include "chip/pipe.h"

// What a node gets.
typedef struct leat_chip_grant_s {
  leat_chip_shares_t shares;  // of a product; of others all PCUs in m
  int64_t pcus;
  double cycles;
} leat_chip_grant_t;

// What there is, and what is taken.
typedef struct leat_chip_units_s {
  double pcus, pmus;
} leat_chip_units_t;

typedef struct leat_chip_share_s {
  double interval;            // asked for
  double compute;             // of the slowest node: no more than the interval
  leat_chip_grant_t *grants;  // of the nodes
  leat_chip_units_t taken;
} leat_chip_share_t;

// Fills `share` (whose grants have room for all nodes) with the fewest units for share->interval; pcus INFINITY where
// no number of them is enough.
void leat_chip_share_find(const leat_chip_t *chip, const leat_chip_pipe_t *pipe, leat_chip_share_t *share);
// The same for the least whole interval from `least` on that stays within `limits`; false: none does, and `share` is
// that of the longest, which takes fewest.
bool leat_chip_share_search(const leat_chip_t *chip, const leat_chip_pipe_t *pipe, leat_chip_units_t limits,
                            double least, leat_chip_share_t *share);
// PMUs of a pass at that interval, and how often what it carries is read.
double leat_chip_pass_pmus(const leat_chip_t *chip, const leat_chip_pipe_t *pipe, const leat_chip_share_t *share,
                           const leat_chip_pass_t *pass);
double leat_chip_pass_reads(const leat_chip_pipe_t *pipe, const leat_chip_share_t *share, const leat_chip_pass_t *pass);

#endif
