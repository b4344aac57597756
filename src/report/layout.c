// SPDX-License-Identifier: Apache-2.0
// See layout.h.
#include "report/layout.h"

#include <stdlib.h>

enum { SWEEPS = 4 };

typedef struct sorted_s {
  double mean;  // of the neighbours' places; own place where it has none
  uint32_t node, place;
} sorted_t;

static bool is_drawn(const leat_flow_t *flow, uint32_t node) {
  if (!leat_flow_is_symbol(flow, node)) return true;
  const uint32_t kind = leat_flow_symbol(flow, node)->kind;
  return kind == PEF_SYMBOL_INPUT || kind == PEF_SYMBOL_OUTPUT;
}

bool leat_layout_draws(const leat_layout_t *layout, const leat_flow_edge_t *edge) {
  return layout->nodes[edge->from].layer != LEAT_LAYOUT_UNUSED && layout->nodes[edge->to].layer != LEAT_LAYOUT_UNUSED;
}

// Edges into calls come in the order of the calls, those into outputs last: one pass finds the longest paths.
static void find_layers(const leat_flow_t *flow, leat_layout_t *layout) {
  const uint32_t count = flow->pef->call_count + flow->pef->symbol_count;
  for (uint32_t n = 0; n < count; ++n) layout->nodes[n].layer = LEAT_LAYOUT_UNUSED;
  for (uint32_t c = 0; c < flow->pef->call_count; ++c) layout->nodes[c].layer = 1;
  for (uint32_t e = 0; e < flow->edges.count; ++e) {
    const leat_flow_edge_t *edge = &flow->edges.data[e];
    if (edge->carried || !is_drawn(flow, edge->from) || !is_drawn(flow, edge->to)) continue;
    leat_layout_node_t *from = &layout->nodes[edge->from], *to = &layout->nodes[edge->to];
    if (from->layer == LEAT_LAYOUT_UNUSED) from->layer = 0;
    if (to->layer <= from->layer) to->layer = from->layer + 1;
  }
}

// An input that is read late stands right above its first reader, not at the top of the page.
static void lower_inputs(const leat_flow_t *flow, leat_layout_t *layout) {
  for (uint32_t s = 0; s < flow->pef->symbol_count; ++s) {
    const uint32_t node = flow->pef->call_count + s;
    if (layout->nodes[node].layer != 0) continue;
    int32_t first = INT32_MAX;
    for (uint32_t e = 0; e < flow->edges.count; ++e) {
      const leat_flow_edge_t *edge = &flow->edges.data[e];
      if (edge->from == node && layout->nodes[edge->to].layer < first) first = layout->nodes[edge->to].layer;
    }
    if (first != INT32_MAX && first > 0) layout->nodes[node].layer = first - 1;
  }
}

static leat_status_t number_places(const leat_flow_t *flow, leat_layout_t *layout) {
  const uint32_t count = flow->pef->call_count + flow->pef->symbol_count;
  for (uint32_t n = 0; n < count; ++n) {
    if (layout->nodes[n].layer >= (int32_t)layout->layer_count)
      layout->layer_count = (uint32_t)layout->nodes[n].layer + 1;
  }
  layout->layer_widths = leat_alloc_zero(layout->layer_count + 1u, sizeof *layout->layer_widths);
  if (layout->layer_widths == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "out of memory for the picture");
  for (uint32_t n = 0; n < count; ++n) {
    if (layout->nodes[n].layer == LEAT_LAYOUT_UNUSED) continue;
    uint32_t *width = &layout->layer_widths[layout->nodes[n].layer];
    layout->nodes[n].place = (*width)++;
    if (*width > layout->widest) layout->widest = *width;
  }
  return NULL;
}

static int by_layer_and_mean(const void *a, const void *b) {
  const sorted_t *x = a, *y = b;
  if (x->mean != y->mean) return x->mean < y->mean ? -1 : 1;
  return x->place < y->place ? -1 : x->place > y->place;
}

// One sweep: every layer is sorted by the mean place of the nodes above (or below) that it is connected with. Places
// are taken relative to the middle of their layer, as they are drawn.
static double centred(const leat_layout_t *layout, uint32_t node) {
  const leat_layout_node_t *n = &layout->nodes[node];
  return (double)n->place - (double)layout->layer_widths[n->layer] / 2;
}

static void find_means(const leat_flow_t *flow, const leat_layout_t *layout, bool down, double *sums,
                       uint32_t *counts) {
  for (uint32_t e = 0; e < flow->edges.count; ++e) {
    const leat_flow_edge_t *edge = &flow->edges.data[e];
    if (!leat_layout_draws(layout, edge)) continue;
    const uint32_t node = down ? edge->to : edge->from, other = down ? edge->from : edge->to;
    sums[node] += centred(layout, other);
    ++counts[node];
  }
}

static void sort_layers(const leat_flow_t *flow, leat_layout_t *layout, const double *sums, const uint32_t *counts,
                        sorted_t *rows) {
  const uint32_t count = flow->pef->call_count + flow->pef->symbol_count;
  uint32_t used = 0;
  for (uint32_t n = 0; n < count; ++n) {
    if (layout->nodes[n].layer == LEAT_LAYOUT_UNUSED) continue;
    const double layer = 1e9 * layout->nodes[n].layer;  // layers stay apart: places are far below 1e9
    const double mean = counts[n] > 0 ? sums[n] / counts[n] : centred(layout, n);
    rows[used++] = (sorted_t){layer + mean, n, layout->nodes[n].place};
  }
  qsort(rows, used, sizeof *rows, by_layer_and_mean);
  for (uint32_t i = 0, place = 0; i < used; ++i) {
    place = i > 0 && layout->nodes[rows[i].node].layer == layout->nodes[rows[i - 1].node].layer ? place + 1 : 0;
    layout->nodes[rows[i].node].place = place;
  }
}

static leat_status_t sort_places(const leat_flow_t *flow, leat_layout_t *layout) {
  const size_t count = (size_t)flow->pef->call_count + flow->pef->symbol_count + 1;
  double *sums = leat_alloc_zero(count, sizeof *sums);
  uint32_t *counts = leat_alloc_zero(count, sizeof *counts);
  sorted_t *rows = leat_alloc_zero(count, sizeof *rows);
  const bool ok = sums != NULL && counts != NULL && rows != NULL;
  for (uint32_t sweep = 0; ok && sweep < SWEEPS; ++sweep) {
    memset(sums, 0, count * sizeof *sums);
    memset(counts, 0, count * sizeof *counts);
    find_means(flow, layout, sweep % 2 == 0, sums, counts);
    sort_layers(flow, layout, sums, counts, rows);
  }
  leat_free(sums);
  leat_free(counts);
  leat_free(rows);
  if (!ok) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "out of memory for the picture");
  return NULL;
}

leat_status_t leat_layout_make(const leat_flow_t *flow, leat_layout_t *out_layout) {
  const size_t count = (size_t)flow->pef->call_count + flow->pef->symbol_count + 1;
  *out_layout = (leat_layout_t){.nodes = leat_alloc_zero(count, sizeof *out_layout->nodes)};
  if (out_layout->nodes == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "out of memory for the picture");
  find_layers(flow, out_layout);
  lower_inputs(flow, out_layout);
  leat_status_t status = number_places(flow, out_layout);
  if (status == NULL) status = sort_places(flow, out_layout);
  if (status != NULL) leat_layout_deinit(out_layout);
  return status;
}

void leat_layout_deinit(leat_layout_t *layout) {
  leat_free(layout->nodes);
  leat_free(layout->layer_widths);
  memset(layout, 0, sizeof *layout);
}
