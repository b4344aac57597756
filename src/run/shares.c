// SPDX-License-Identifier: Apache-2.0
// See shares.h. Of every share one word says how much of it is taken, and in which round. Where the word is of an
// earlier round nothing is, where it is of a later one everything: nobody gets there before a round is taken whole.
#include "run/shares.h"

enum { PIECE_BITS = 16 };
#define PIECES_MAX (INT64_C(1) << PIECE_BITS)

typedef struct share_s {
  _Alignas(BLOCKS_LINE) _Atomic uint64_t taken;  // the round, and in its lowest bits the pieces
} share_t;

struct leat_run_shares_s {
  leat_run_count_t done;
  uint32_t workers;
  share_t *shares;
};

leat_status_t leat_run_shares_create(uint32_t workers, leat_run_shares_t **out_shares) {
  leat_run_shares_t *shares = leat_alloc_zero(1, sizeof *shares);
  share_t *all = leat_alloc_zero(workers, sizeof *all);
  if (shares == NULL || all == NULL) {
    leat_free(shares), leat_free(all);
    LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for the shares of %u threads", workers);
  }
  *shares = (leat_run_shares_t){.workers = workers, .shares = all};
  *out_shares = shares;
  return NULL;
}

void leat_run_shares_destroy(leat_run_shares_t *shares) {
  if (shares == NULL) return;
  leat_free(shares->shares);
  leat_free(shares);
}

leat_run_count_t *leat_run_shares_done(leat_run_shares_t *shares) { return &shares->done; }

// Takes a piece of the share of `owner`, some tiles where there are very many.
static bool take_piece(leat_run_taker_t *taker, uint32_t owner) {
  const int64_t workers = taker->shares->workers;
  const int64_t first = taker->tiles * owner / workers, end = taker->tiles * (owner + 1) / workers;
  const int64_t piece = (end - first) / (PIECES_MAX - 1) + 1;
  _Atomic uint64_t *taken = &taker->shares->shares[owner].taken;
  uint64_t now = atomic_load_explicit(taken, memory_order_relaxed), then;
  int64_t next;
  do {
    const uint64_t round = now >> PIECE_BITS;
    const int64_t at = round == taker->round ? (int64_t)(now % PIECES_MAX) : 0;
    next = first + at * piece;
    if (round > taker->round || next >= end) return false;
    then = (taker->round << PIECE_BITS) + (uint64_t)at + 1;
  } while (!atomic_compare_exchange_weak_explicit(taken, &now, then, memory_order_relaxed, memory_order_relaxed));
  taker->next = next;
  taker->end = next + piece < end ? next + piece : end;
  return true;
}

bool leat_run_take(leat_run_taker_t *taker, int64_t *out_tile) {
  const uint32_t workers = taker->shares->workers;
  while (taker->next == taker->end) {
    if (taker->turn == workers) return false;
    if (!take_piece(taker, (taker->worker + taker->turn) % workers)) taker->turn++;
  }
  *out_tile = taker->next++;
  return true;
}
