// SPDX-License-Identifier: Apache-2.0
// See share.h.
#include "chip/share.h"

#include <math.h>

enum { MOST_TURNS = 64 };  // of a search: whole numbers of a double have fewer bits

static int64_t ceil_div(int64_t a, int64_t b) { return a / b + (a % b != 0); }
static bool is_product(const leat_chip_cost_t *cost) {
  return cost->work_count == 1 && cost->works[0].way == LEAT_CHIP_SYSTOLIC;
}

// More PCUs than this no work has use for.
static int64_t most_pcus(const leat_chip_cost_t *cost, double limit) {
  return limit < 1 ? 1 : limit > 0x1p40 ? INT64_C(1) << 40 : (int64_t)limit + (cost->work_count == 0);
}

// The fewest PCUs with which work that is shared evenly takes no more than the interval; 0: none.
static int64_t fewest(const leat_chip_cost_t *cost, double interval) {
  int64_t low = 1, high = most_pcus(cost, leat_chip_cost_cycles(cost, 1));
  if (leat_chip_cost_cycles(cost, high) > interval) return 0;
  while (low < high) {
    const int64_t middle = low + (high - low) / 2;
    if (leat_chip_cost_cycles(cost, middle) <= interval)
      high = middle;
    else
      low = middle + 1;
  }
  return low;
}

static leat_chip_grant_t grant_of(const leat_chip_cost_t *cost, double interval) {
  leat_chip_grant_t grant = {.shares = {1, 1, 1}};
  if (is_product(cost)) {
    grant.pcus = leat_chip_product_shares(&cost->works[0], interval, &grant.shares);
    grant.cycles = leat_chip_product_cycles(&cost->works[0], grant.shares);
    return grant;
  }
  grant.pcus = grant.shares.m = fewest(cost, interval);
  grant.cycles = grant.pcus > 0 ? leat_chip_cost_cycles(cost, grant.pcus) : INFINITY;
  return grant;
}

// --- buffers
// -----------------------------------------------------------------------------------------------------------

// A product reads one side again for each block that a PCU has along the other.
double leat_chip_pass_reads(const leat_chip_pipe_t *pipe, const leat_chip_share_t *share,
                            const leat_chip_pass_t *pass) {
  if (pass->side == LEAT_CHIP_SIDE_NONE || pass->to == LEAT_CHIP_MEMORY) return 1;
  const leat_chip_cost_t *cost = &pipe->nodes.data[pass->to].cost;
  if (!is_product(cost)) return 1;
  const leat_chip_work_t *work = &cost->works[0];
  const leat_chip_shares_t *shares = &share->grants[pass->to].shares;
  if (pass->side == LEAT_CHIP_SIDE_M) return (double)ceil_div(work->n, work->stages * shares->n);
  return (double)ceil_div(work->m, work->lanes * shares->m);
}

double leat_chip_pass_pmus(const leat_chip_t *chip, const leat_chip_pipe_t *pipe, const leat_chip_share_t *share,
                           const leat_chip_pass_t *pass) {
  if (pass->depth == 0) return 0;
  const double vectors = ceil(pass->bytes / (double)chip->vector_bytes);
  const double reads = vectors * leat_chip_pass_reads(pipe, share, pass);
  const double writes = pass->kind == LEAT_CHIP_RESIDENT ? 0 : vectors;
  const double room = ceil(pass->bytes * pass->depth / (double)chip->pmu_bytes);
  const double by_reads = ceil(reads / share->interval / (double)chip->pmu_reads);
  return fmax(fmax(1, room), fmax(by_reads, ceil(writes / share->interval / (double)chip->pmu_writes)));
}

// --- all of a pipeline
// ---------------------------------------------------------------------------------------------------

void leat_chip_share_find(const leat_chip_t *chip, const leat_chip_pipe_t *pipe, leat_chip_share_t *share) {
  share->compute = 0;
  share->taken = (leat_chip_units_t){0};
  for (uint32_t i = 0; i < pipe->nodes.count; ++i) {
    leat_chip_grant_t *grant = &share->grants[i];
    *grant = grant_of(&pipe->nodes.data[i].cost, share->interval);
    share->taken.pcus += grant->pcus > 0 ? (double)grant->pcus : INFINITY;
    share->compute = fmax(share->compute, grant->cycles);
  }
  for (uint32_t i = 0; i < pipe->passes.count && isfinite(share->taken.pcus); ++i)
    share->taken.pmus += leat_chip_pass_pmus(chip, pipe, share, &pipe->passes.data[i]);
}

static bool fits(const leat_chip_share_t *share, leat_chip_units_t limits) {
  return share->taken.pcus <= limits.pcus && share->taken.pmus <= limits.pmus;
}

// With one PCU each, and time for all that buffers read.
static double longest(const leat_chip_t *chip, const leat_chip_pipe_t *pipe, double least) {
  double cycles = fmax(1, least);
  for (uint32_t i = 0; i < pipe->nodes.count; ++i)
    cycles = fmax(cycles, leat_chip_cost_cycles(&pipe->nodes.data[i].cost, 1));
  for (uint32_t i = 0; i < pipe->passes.count; ++i)
    cycles = fmax(cycles, ceil(pipe->passes.data[i].bytes / (double)chip->vector_bytes));
  return cycles;
}

bool leat_chip_share_search(const leat_chip_t *chip, const leat_chip_pipe_t *pipe, leat_chip_units_t limits,
                            double least, leat_chip_share_t *share) {
  double low = fmax(1, ceil(least)), high = longest(chip, pipe, least);
  share->interval = high;
  leat_chip_share_find(chip, pipe, share);
  if (!fits(share, limits)) return false;
  for (int turn = 0; low < high && turn < MOST_TURNS; ++turn) {
    share->interval = floor(low + (high - low) / 2);
    leat_chip_share_find(chip, pipe, share);
    if (fits(share, limits))
      high = share->interval;
    else
      low = share->interval + 1;
  }
  share->interval = high;
  leat_chip_share_find(chip, pipe, share);
  return true;
}
