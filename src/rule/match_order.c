// SPDX-License-Identifier: Apache-2.0
// A walk forwards from the set. Node ids ascend along edges, so that only nodes up to the last one of the set, and of
// groups that reach across it, can lead back.
#include "rule/match_order.h"

leat_status_t leat_order_create(const leat_nodes_t *nodes, leat_order_t *out_order) {
  size_t count = nodes->count + 1U;
  *out_order = (leat_order_t){.nodes = nodes};
  out_order->group_of = leat_alloc_zero(count, sizeof *out_order->group_of);
  out_order->end = leat_alloc_zero(count, sizeof *out_order->end);
  out_order->stack = leat_alloc_zero(count, sizeof *out_order->stack);
  out_order->seen = leat_alloc_zero(count, sizeof *out_order->seen);
  uint32_t *first = leat_array_push_n(&out_order->first, 2);  // group 0 has no members
  if (out_order->group_of == NULL || out_order->end == NULL || out_order->stack == NULL || out_order->seen == NULL ||
      first == NULL) {
    leat_order_deinit(out_order);
    return leat_out_of_memory();
  }
  for (leat_node_id_t n = 0; n < nodes->count; ++n) out_order->end[n] = n;
  return NULL;
}

void leat_order_deinit(leat_order_t *order) {
  leat_free(order->group_of);
  leat_free(order->end);
  leat_free(order->stack);
  leat_free(order->seen);
  leat_array_free(&order->first);
  leat_array_free(&order->members);
  *order = (leat_order_t){0};
}

static bool holds(const leat_node_id_t *set, uint32_t count, leat_node_id_t node) {
  uint32_t low = 0, high = count;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (set[middle] == node) return true;
    if (set[middle] < node)
      low = middle + 1;
    else
      high = middle;
  }
  return false;
}

typedef struct walk_s {
  leat_order_t *order;
  const leat_node_id_t *set;
  uint32_t count, depth;
  leat_node_id_t horizon;
} walk_t;

static void visit(walk_t *w, leat_node_id_t node) {
  if (node > w->horizon || w->order->seen[node] == w->order->check) return;
  w->order->seen[node] = w->order->check;
  w->order->stack[w->depth++] = node;
}

// A node outside of the set, with all of its group.
static void visit_whole(walk_t *w, leat_node_id_t node) {
  const leat_order_t *order = w->order;
  uint32_t group = order->group_of[node];
  visit(w, node);
  for (uint32_t i = order->first.data[group]; group != 0 && i < order->first.data[group + 1]; ++i) {
    if (order->seen[order->members.data[i]] == order->check) {
      if (order->members.data[i] != node) return;  // the group has been visited
      continue;
    }
    visit(w, order->members.data[i]);
  }
}

bool leat_order_allows(leat_order_t *order, const leat_node_id_t *set, uint32_t count, leat_node_id_t *out_via) {
  walk_t w = {.order = order, .set = set, .count = count, .horizon = set[count - 1]};
  const leat_nodes_t *nodes = order->nodes;
  order->check++;
  while (order->end[w.horizon] > w.horizon) w.horizon = order->end[w.horizon];
  for (uint32_t s = 0; s < count; ++s) {
    for (uint32_t i = nodes->direct.first[set[s]]; i < nodes->direct.first[set[s] + 1]; ++i) {
      if (!holds(set, count, nodes->direct.at[i])) visit_whole(&w, nodes->direct.at[i]);
    }
  }
  while (w.depth > 0) {
    leat_node_id_t node = order->stack[--w.depth];
    order->work++;
    for (uint32_t i = nodes->direct.first[node]; i < nodes->direct.first[node + 1]; ++i) {
      *out_via = node;
      if (holds(set, count, nodes->direct.at[i])) return false;
      visit_whole(&w, nodes->direct.at[i]);
    }
  }
  return true;
}

leat_status_t leat_order_take(leat_order_t *order, const leat_node_id_t *set, uint32_t count, uint32_t *out_group) {
  leat_node_id_t *members = leat_array_push_n(&order->members, count);
  uint32_t *end = members != NULL ? leat_array_push(&order->first) : NULL;
  if (end == NULL) return leat_out_of_memory();
  *end = order->members.count;
  *out_group = order->first.count - 2;
  for (uint32_t i = 0; i < count; ++i) {
    members[i] = set[i];
    order->group_of[set[i]] = *out_group;
  }
  for (leat_node_id_t n = set[0]; n < set[count - 1]; ++n) {
    if (order->end[n] < set[count - 1]) order->end[n] = set[count - 1];
  }
  return NULL;
}
