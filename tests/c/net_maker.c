// SPDX-License-Identifier: Apache-2.0
// See net_maker.h.
#include "net_maker.h"

#include <string.h>

#define TILE_OF_SN                                                                                              \
  .rows = 16, .columns = 20, .agcus = 4, .ports = 16, .banks = 16, .pcus = 160, .pmus = 160, .vector_links = 2, \
  .border_links = 1, .hop = 2, .pmu_bytes = 512 << 10

const pef_chip_t chip_sn10 = {.name = "sn10", .tiles = 4, .tiles_used = 4, .stack = 2, TILE_OF_SN};
const pef_chip_t chip_sn30 = {.name = "sn30", .tiles = 8, .tiles_used = 8, .stack = 2, TILE_OF_SN};
const pef_chip_t chip_tiny = {.name = "tiny",
                              .tiles = 1,
                              .tiles_used = 1,
                              .stack = 1,
                              .rows = 4,
                              .columns = 6,
                              .agcus = 2,
                              .ports = 4,
                              .banks = 16,
                              .pcus = 12,
                              .pmus = 12,
                              .vector_links = 2,
                              .border_links = 1,
                              .hop = 2,
                              .pmu_bytes = 64 << 10};

uint32_t chip_below(uint64_t *random, uint32_t limit) {
  *random = *random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (uint32_t)(((*random >> 33) * limit) >> 31);
}

// Shares of `all` in proportion to weights, each at least 1.
static void divide(uint32_t all, const uint32_t *weights, uint32_t count, uint32_t *out_shares) {
  uint64_t sum = 0, before = 0;
  for (uint32_t i = 0; i < count; ++i) sum += weights[i];
  for (uint32_t i = 0; i < count; ++i) {
    const uint64_t spare = all - count, first = before * spare / sum;
    before += weights[i];
    out_shares[i] = 1 + (uint32_t)(before * spare / sum - first);
  }
}

// The most even way to write a number as a product.
static uint32_t even_factor(uint32_t number) {
  uint32_t factor = 1;
  for (uint32_t i = 1; i * i <= number; ++i) {
    if (number % i == 0) factor = i;
  }
  return factor;
}

static void add_edge(chip_section_t *section, uint32_t from, uint32_t to, uint32_t depth, double vectors) {
  section->edges[section->allocation.edge_count++] =
      (leat_chip_edge_t){.from = from, .to = to, .depth = depth, .vectors = vectors};
}

static void add_edges(chip_section_t *section, uint32_t s, uint64_t *random) {
  const double interval = section->allocation.interval;
  const uint32_t before = s == 0 ? LEAT_CHIP_MEMORY : s - 1;
  add_edge(section, before, s, 2, interval * (s == 0 ? 0.3 : 0.5 + 0.1 * chip_below(random, 9)));
  if (s % 2 == 0) add_edge(section, LEAT_CHIP_MEMORY, s, 2, interval * (0.02 + 0.005 * chip_below(random, 9)));
  if (s % 2 == 1 && s > 4) add_edge(section, s - 4, s, 5, interval * 0.3);
}

void chip_fill_section(const pef_chip_t *chip, uint32_t stage_count, uint64_t seed, chip_section_t *out) {
  memset(out, 0, sizeof *out);
  uint64_t random = seed * 977 + 5;
  leat_chip_allocation_t *allocation = &out->allocation;
  *allocation = (leat_chip_allocation_t){.tiles_used = chip->tiles_used,
                                         .tile_rows = 32,
                                         .tile_count = 64,
                                         .interval = 1000,
                                         .stage_count = stage_count,
                                         .stages = out->stages,
                                         .edges = out->edges};
  for (uint32_t s = 0; s < stage_count; ++s) add_edges(out, s, &random);
  add_edge(out, stage_count - 1, LEAT_CHIP_MEMORY, 2, 300);
  uint32_t weights[CHIP_EDGES_MAX] = {0}, shares[CHIP_EDGES_MAX] = {0};
  for (uint32_t s = 0; s < stage_count; ++s)
    weights[s] = s % 2 == 0 ? 8 + chip_below(&random, 24) : 2 + chip_below(&random, 3);
  divide(chip->pcus * chip->tiles_used, weights, stage_count, shares);
  for (uint32_t s = 0; s < stage_count; ++s) {
    const uint32_t along_n = s % 2 == 0 ? even_factor(shares[s]) : 1;
    out->stages[s] = (leat_chip_stage_t){.stage = s,
                                         .pcus = shares[s],
                                         .along_m = shares[s] / along_n,
                                         .along_n = along_n,
                                         .cycles = 900,
                                         .vectors_in = 0,
                                         .vectors_out = 0};
    // A row of a product takes a vector in most cycles.
    if (s % 2 == 0) out->stages[s].vectors_in = 0.8 * allocation->interval * out->stages[s].along_m;
  }
  for (uint32_t e = 0; e < allocation->edge_count; ++e) weights[e] = 1 + chip_below(&random, 9);
  divide(chip->pmus * chip->tiles_used, weights, allocation->edge_count, shares);
  for (uint32_t e = 0; e < allocation->edge_count; ++e) {
    out->edges[e].pmus = shares[e];
    out->edges[e].bytes = (chip->pmu_bytes * shares[e] * 3) / (4 * out->edges[e].depth);
  }
}
