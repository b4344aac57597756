// SPDX-License-Identifier: Apache-2.0
// The mapper: decide, place, emit. Each step reads what those before it made, and writes nothing of it.
//
//   decide    everything but places:
//     symbols   the symbol table
//     stages    ops of a section -> stages; elementwise chains become one MAP stage
//     keep      what stays in registers or in its symbol, which stores need a copy
//     draft_*   how each stage is written (strip: programs; product: axes of a contraction; pack: packed operands)
//   place     homes of values, tiles (tile), places in the layout of tile buffers and in the arena
//   emit      symbols, constants, bodies, calls
#include "map/map.h"

#include "map/emit.h"

leat_status_t leat_map_native(const leat_graph_t *g, const leat_plan_t *plan, const leat_map_options_t *options,
                              leat_pef_writer_t *writer) {
  leat_decided_t decided;
  leat_placed_t placed = {0};
  leat_status_t status = leat_map_decide(g, plan, options, &decided);
  if (status == NULL) status = leat_map_place(&decided, &placed);
  if (status == NULL) status = leat_map_emit(&decided, &placed, writer);
  leat_placed_deinit(&placed);
  leat_decided_deinit(&decided);
  return leat_status_annotate(status, "mapping");
}
