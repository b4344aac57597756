// SPDX-License-Identifier: Apache-2.0
// See time.h.
#include "chip/time.h"

#include <math.h>

const char *leat_chip_bound_word(uint32_t bound) {
  static const char *const words[LEAT_CHIP_BOUND_COUNT] = {"compute", "memory",  "p2p", "network",
                                                           "fill",    "weights", "load"};
  return words[bound];
}

// A ring of n chips sends (n-1)/n of a sum, once or twice around.
static double p2p_seconds(const leat_chip_t *chip, const leat_chip_given_t *given) {
  if (given->ring < 2) return 0;
  const double n = given->ring;
  return given->p2p_bytes * chip->ring_passes * (n - 1) / n / chip->p2p_bytes;
}

static uint32_t bound_of(const leat_chip_time_t *time) {
  const double tiles[] = {time->compute, time->memory, time->p2p, time->network};
  const double around[] = {time->fill, time->weights, time->program + time->arguments + time->launch};
  uint32_t bound = 0;
  for (uint32_t i = 1; i < 4; ++i) bound = tiles[i] > tiles[bound] ? i : bound;
  double most = time->stream;
  for (uint32_t i = 0; i < 3; ++i) {
    if (around[i] <= most) continue;
    most = around[i];
    bound = LEAT_CHIP_BOUND_FILL + i;
  }
  return bound;
}

void leat_chip_time_of(const leat_chip_t *chip, const leat_chip_allocation_t *a, const leat_chip_given_t *given,
                       leat_chip_time_t *out_time) {
  leat_chip_time_t t = {.compute = a->compute / chip->clock, .network = given->network_cycles / chip->clock};
  t.memory = leat_chip_memory_cycles(chip, a) / chip->clock;
  t.p2p = p2p_seconds(chip, given) / (double)(a->tile_count > 0 ? a->tile_count : 1);
  t.interval = fmax(fmax(t.compute, t.memory), fmax(t.p2p, t.network));
  t.program = given->is_loaded ? 0 : chip->program_load;
  t.arguments = chip->argument_load;
  t.launch = chip->launch;
  t.weights = (double)a->resident_bytes * (double)a->parts / leat_chip_ddr_rate(chip, a->tiles_used);
  t.fill = (a->levels > 1 ? (double)a->levels - 1 : 0) * t.interval;
  t.stream = (double)a->tile_count * t.interval;
  t.total = t.program + t.arguments + t.launch + t.weights + t.fill + t.stream;
  t.bound = bound_of(&t);
  *out_time = t;
}
