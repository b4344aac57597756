// SPDX-License-Identifier: Apache-2.0
// First step of a mapping: everything but places. Stages of each section and how they are written, which products read
// packs and which calls make those, how sums are chained, what stays in registers, which stores need a copy.
#ifndef LEAT_MAP_DECIDE_H_
#define LEAT_MAP_DECIDE_H_

#include "map/draft.h"
#include "map/keep.h"
#include "map/map.h"
#include "map/pack.h"
#include "map/turn.h"

typedef struct leat_decided_s {
  const leat_graph_t *g;
  const leat_plan_t *plan;
  const leat_map_options_t *options;
  leat_uses_t uses;
  leat_map_symbols_t symbols;
  leat_stages_t stages;
  leat_keeps_t keeps;
  leat_turns_t turns;
  leat_concats_t concats;
  leat_packs_t packs;
  leat_draft_t *drafts;  // per section
  uint32_t *order;       // sections that have stages, as they are called: what is prepared comes first
  uint32_t order_count;
} leat_decided_t;

// `out_decided` is to be released whether or not this succeeds.
leat_status_t leat_map_decide(const leat_graph_t *g, const leat_plan_t *plan, const leat_map_options_t *options,
                              leat_decided_t *out_decided) LEAT_MUST_USE;
void leat_decided_deinit(leat_decided_t *decided);

#endif
