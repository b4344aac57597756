// SPDX-License-Identifier: Apache-2.0
// How long a section takes on a chip, from its allocation, every term kept apart; and what bounds it. Times are
// modelled: those of an ideal network, but for the cycles that the caller says the routed one takes.
#ifndef LEAT_CHIP_TIME_H_
#define LEAT_CHIP_TIME_H_

#include "chip/allocate.h"

// What an allocation does not know.
typedef struct leat_chip_given_s {
  double p2p_bytes;       // of sums over a ring of chips that a section makes, of all tiles of rows
  uint32_t ring;          // chips of it; 0 and 1: none
  double network_cycles;  // of a tile, on the busiest link; 0: the network is ideal
  bool is_loaded;         // the section before it was of the same body: its program is there
} leat_chip_given_t;

enum leat_chip_bound {
  LEAT_CHIP_BOUND_COMPUTE,
  LEAT_CHIP_BOUND_MEMORY,
  LEAT_CHIP_BOUND_P2P,
  LEAT_CHIP_BOUND_NETWORK,
  LEAT_CHIP_BOUND_FILL,  // too few tiles for so long a pipeline
  LEAT_CHIP_BOUND_WEIGHTS,
  LEAT_CHIP_BOUND_LOAD,  // program, arguments, launch
  LEAT_CHIP_BOUND_COUNT
};

// Seconds.
typedef struct leat_chip_time_s {
  double compute, memory, p2p, network;  // of a tile of rows, of all parts at a time
  double interval;                       // the longest of them
  double program, arguments, launch;     // before the section
  double weights;                        // what stays is loaded
  double fill;                           // until the first tile is through
  double stream;                         // tiles times interval
  double total;
  uint32_t bound;  // enum leat_chip_bound: what takes most of it
} leat_chip_time_t;

void leat_chip_time_of(const leat_chip_t *chip, const leat_chip_allocation_t *allocation,
                       const leat_chip_given_t *given, leat_chip_time_t *out_time);
const char *leat_chip_bound_word(uint32_t bound);  // "compute"

#endif
