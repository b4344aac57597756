// SPDX-License-Identifier: Apache-2.0
// Where the boxes of a picture of a PEF go: layered drawing from top to bottom (Sugiyama, Tagawa, Toda 1981). A node
// stands one layer below the lowest of those it reads from; within a layer nodes are sorted by the mean position of
// their neighbours, which keeps edges short and mostly uncrossed.
#ifndef LEAT_REPORT_LAYOUT_H_
#define LEAT_REPORT_LAYOUT_H_

#include "pef/flow.h"

enum { LEAT_LAYOUT_UNUSED = -1 };

typedef struct leat_layout_node_s {
  int32_t layer;   // LEAT_LAYOUT_UNUSED: not drawn (parameters and state are told in the boxes of their readers)
  uint32_t place;  // 0, 1, ... within the layer
} leat_layout_node_t;

typedef struct leat_layout_s {
  uint32_t layer_count, widest;  // widest: most nodes in a layer
  uint32_t *layer_widths;        // nodes in each layer
  leat_layout_node_t *nodes;     // one a node of the flow
} leat_layout_t;

// Draws calls, inputs and outputs. LEAT_OUT_OF_MEMORY.
leat_status_t leat_layout_make(const leat_flow_t *flow, leat_layout_t *out_layout) LEAT_MUST_USE;
void leat_layout_deinit(leat_layout_t *layout);
// True if both ends of the edge are drawn.
bool leat_layout_draws(const leat_layout_t *layout, const leat_flow_edge_t *edge);

#endif
