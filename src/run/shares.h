// SPDX-License-Identifier: Apache-2.0
// Who computes which tiles of a call. Each worker has a share of its own, so that it finds in its cache what it left
// there; when it is done with that it goes on with what others have not begun. So a worker that does not run, on a
// machine with other work to do, holds nobody up, but for the tile that it has in hand.
//
// Workers take rounds, the calls that are shared, in one order, each when it gets there: one may be far beyond another,
// also in a later run, for rounds are numbered on from run to run. A round is passed when all its tiles are taken;
// whether they are done is told by the count.
#ifndef LEAT_RUN_SHARES_H_
#define LEAT_RUN_SHARES_H_

#include "run/threads.h"

typedef struct leat_run_shares_s leat_run_shares_t;

leat_status_t leat_run_shares_create(uint32_t workers, leat_run_shares_t **out_shares) LEAT_MUST_USE;
void leat_run_shares_destroy(leat_run_shares_t *shares);

// Tiles that are done, and what else workers add.
leat_run_count_t *leat_run_shares_done(leat_run_shares_t *shares);

// The tiles of a round that a worker takes; rounds count from 1.
typedef struct leat_run_taker_s {
  leat_run_shares_t *shares;
  uint64_t round;
  int64_t tiles;
  uint32_t worker, turn;  // turn: shares that it is done with
  int64_t next, end;      // in hand
} leat_run_taker_t;

static inline leat_run_taker_t leat_run_taker(leat_run_shares_t *shares, uint64_t round, int64_t tiles,
                                              uint32_t worker) {
  return (leat_run_taker_t){.shares = shares, .round = round, .tiles = tiles, .worker = worker};
}
// The next tile; false: all are taken.
bool leat_run_take(leat_run_taker_t *taker, int64_t *out_tile);

#endif
