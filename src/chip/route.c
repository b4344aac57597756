// SPDX-License-Identifier: Apache-2.0
// See route.h.
#include "chip/route.h"

#include <stdlib.h>

enum {
  ITERATIONS_MAX = 30,
  BASE = 64,          // of a link that is free
  HISTORY = BASE / 2  // more for each iteration that it was overfull in
};

typedef struct entry_s {
  uint64_t rank;  // cost so far and the least that is left
  uint64_t cost;
  uint32_t node;
} entry_t;

typedef struct way_s {
  uint64_t cost;
  uint32_t link;      // by which it was reached; PEF_NONE: it is of the tree
  uint32_t searched;  // the search that reached it
} way_t;

// The tree of a net, in an array of all nets' hops that grows: links, the first nearest to the source.
typedef struct tree_s {
  LEAT_ARRAY(uint32_t) links;
} tree_t;

typedef struct router_s {
  const leat_chip_grid_t *grid;
  const leat_chip_netlist_t *netlist;
  const uint32_t *cells;
  uint64_t *loads;    // of links
  uint32_t *history;  // of links
  uint32_t pressure;  // what a link costs more that is full, in 16ths
  tree_t *trees;      // of nets
  uint32_t *order;    // of nets: great bandwidths first
  way_t *ways;        // of nodes
  uint32_t *in_tree;  // of nodes: the tree that has them
  uint32_t search, tree;
  bool failed;  // out of memory
  LEAT_ARRAY(entry_t) heap;
  LEAT_ARRAY(uint32_t) nodes;  // of the tree that grows
  LEAT_ARRAY(uint32_t) far;    // sinks of the net, the nearest first
  tree_t *best;                // of the iteration that was best
  uint64_t best_load, best_excess;
} router_t;

// --- heap, smallest rank first; nodes decide between equals ---------------------------------------------------------

static bool is_before(const entry_t *a, const entry_t *b) {
  return a->rank != b->rank ? a->rank < b->rank : a->node < b->node;
}

static bool push(router_t *router, entry_t entry) {
  router->failed = router->failed || leat_array_push(&router->heap) == NULL;
  if (router->failed) return false;
  entry_t *heap = router->heap.data;
  uint32_t at = router->heap.count - 1;
  for (; at > 0 && is_before(&entry, &heap[(at - 1) / 2]); at = (at - 1) / 2) heap[at] = heap[(at - 1) / 2];
  heap[at] = entry;
  return true;
}

static entry_t pop(router_t *router) {
  entry_t *heap = router->heap.data;
  const entry_t first = heap[0], last = heap[--router->heap.count];
  uint32_t at = 0;
  for (uint32_t child; (child = 2 * at + 1) < router->heap.count; at = child) {
    if (child + 1 < router->heap.count && is_before(&heap[child + 1], &heap[child])) ++child;
    if (!is_before(&heap[child], &last)) break;
    heap[at] = heap[child];
  }
  heap[at] = last;
  return first;
}

// --- one way --------------------------------------------------------------------------------------------------------

typedef struct goal_s {
  uint32_t nodes[PEF_CHIP_CORNERS], count;
  leat_chip_point_t low, high;  // around the nodes
} goal_t;

static goal_t goal_of(const router_t *router, uint32_t unit) {
  goal_t goal;
  const uint32_t type = router->netlist->units.data[unit].type;
  goal.count = leat_pef_chip_touches(&router->grid->chip, type, router->cells[unit], goal.nodes);
  goal.low = router->grid->nodes[goal.nodes[0]];
  goal.high = router->grid->nodes[goal.nodes[goal.count - 1]];
  return goal;
}

static uint64_t outside(int32_t value, int32_t low, int32_t high) {
  return (uint64_t)(value < low ? low - value : value > high ? value - high : 0);
}

// No way is cheaper: a hop is two points long.
static uint64_t least_cost(const router_t *router, const goal_t *goal, uint32_t node) {
  const leat_chip_point_t at = router->grid->nodes[node];
  return (outside(at.x, goal->low.x, goal->high.x) + outside(at.y, goal->low.y, goal->high.y)) / 2 * BASE;
}

static bool is_goal(const goal_t *goal, uint32_t node) {
  for (uint32_t i = 0; i < goal->count; ++i) {
    if (goal->nodes[i] == node) return true;
  }
  return false;
}

static uint64_t cost_of_link(const router_t *router, uint32_t link, uint32_t bandwidth) {
  const uint64_t capacity = router->grid->links[link].capacity, load = router->loads[link] + bandwidth;
  const uint64_t base = BASE + router->history[link];
  return load <= capacity ? base : base + base * router->pressure * (load - capacity) / (16 * capacity) + base / 2;
}

static bool reach(router_t *router, const goal_t *goal, uint32_t node, uint64_t cost, uint32_t link) {
  way_t *way = &router->ways[node];
  if (way->searched == router->search && way->cost <= cost) return true;
  *way = (way_t){cost, link, router->search};
  return push(router, (entry_t){cost + least_cost(router, goal, node), cost, node});
}

// Reaches a node of the goal from the tree; PEF_NONE: there is no way, or no memory.
static uint32_t search_goal(router_t *router, const goal_t *goal, uint32_t bandwidth) {
  ++router->search;
  router->heap.count = 0;
  for (uint32_t i = 0; i < router->nodes.count; ++i) {
    if (!reach(router, goal, router->nodes.data[i], 0, PEF_NONE)) return PEF_NONE;
  }
  while (router->heap.count > 0) {
    const entry_t next = pop(router);
    if (router->ways[next.node].cost < next.cost) continue;
    if (is_goal(goal, next.node)) return next.node;
    for (uint32_t l = router->grid->first_link[next.node]; l < router->grid->first_link[next.node + 1]; ++l) {
      const uint64_t cost = next.cost + cost_of_link(router, l, bandwidth);
      if (!reach(router, goal, router->grid->links[l].to, cost, l)) return PEF_NONE;
    }
  }
  return PEF_NONE;
}

// --- one net --------------------------------------------------------------------------------------------------------

static bool add_node(router_t *router, uint32_t node) {
  uint32_t *added = leat_array_push(&router->nodes);
  if (added == NULL) return false;
  *added = node;
  router->in_tree[node] = router->tree;
  return true;
}

// The links of the way that ends at `node` join the tree, from its beginning on.
static bool add_way(router_t *router, uint32_t node, tree_t *tree) {
  uint32_t length = 0;
  for (uint32_t at = node; router->ways[at].link != PEF_NONE; at = router->grid->links[router->ways[at].link].from) {
    ++length;
  }
  if (leat_array_push_n(&tree->links, length) == NULL && length != 0) return false;
  uint32_t *end = tree->links.data + tree->links.count;
  for (uint32_t at = node; length-- > 0; at = router->grid->links[*end].from) {
    *--end = router->ways[at].link;
    if (!add_node(router, at)) return false;
  }
  return true;
}

static int by_distance(const void *left, const void *right) {
  const uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
  return a < b ? -1 : a > b;
}

// Sinks by their distance from the source, the nearest first.
static bool sort_sinks(router_t *router, const leat_chip_net_t *net) {
  router->far.count = 0;
  if (leat_array_push_n(&router->far, net->sink_count) == NULL) return net->sink_count == 0;
  uint64_t *keys = leat_alloc((net->sink_count + 1u) * sizeof *keys);
  if (keys == NULL) return false;
  const uint32_t source = goal_of(router, net->source).nodes[0];
  for (uint32_t i = 0; i < net->sink_count; ++i) {
    const goal_t goal = goal_of(router, router->netlist->sinks.data[net->sink_first + i]);
    keys[i] = least_cost(router, &goal, source) << 32 | i;
  }
  qsort(keys, net->sink_count, sizeof *keys, by_distance);
  for (uint32_t i = 0; i < net->sink_count; ++i) router->far.data[i] = (uint32_t)keys[i];
  leat_free(keys);
  return true;
}

static bool touches_tree(const router_t *router, const goal_t *goal) {
  for (uint32_t i = 0; i < goal->count; ++i) {
    if (router->in_tree[goal->nodes[i]] == router->tree) return true;
  }
  return false;
}

static leat_status_t no_way(const router_t *router, uint32_t net, uint32_t unit) {
  if (router->failed) return leat_out_of_memory();
  LEAT_FAIL(LEAT_INTERNAL, "no way leads from the source of net %u to unit %u", net, unit);
}

static leat_status_t grow_tree(router_t *router, uint32_t index) {
  const leat_chip_net_t *net = &router->netlist->nets.data[index];
  tree_t *tree = &router->trees[index];
  ++router->tree;
  router->nodes.count = 0;
  tree->links.count = 0;
  const goal_t source = goal_of(router, net->source);
  for (uint32_t i = 0; i < source.count; ++i) {
    if (!add_node(router, source.nodes[i])) return leat_out_of_memory();
  }
  if (!sort_sinks(router, net)) return leat_out_of_memory();
  for (uint32_t i = 0; i < net->sink_count; ++i) {
    const uint32_t unit = router->netlist->sinks.data[net->sink_first + router->far.data[i]];
    const goal_t goal = goal_of(router, unit);
    if (touches_tree(router, &goal)) continue;
    const uint32_t node = search_goal(router, &goal, net->bandwidth);
    if (node == PEF_NONE) return no_way(router, index, unit);
    if (!add_way(router, node, tree)) return leat_out_of_memory();
  }
  for (uint32_t i = 0; i < tree->links.count; ++i) router->loads[tree->links.data[i]] += net->bandwidth;
  return NULL;
}

// --- negotiation ----------------------------------------------------------------------------------------------------

static bool is_overfull(const router_t *router, uint32_t link) {
  return router->loads[link] > router->grid->links[link].capacity;
}

// Takes the net out of its links where it has to look for others: in the first iteration, and where one is overfull.
static bool gives_way(router_t *router, uint32_t index, uint32_t iteration) {
  const tree_t *tree = &router->trees[index];
  bool found = iteration == 0;
  for (uint32_t i = 0; i < tree->links.count && !found; ++i) found = is_overfull(router, tree->links.data[i]);
  if (!found) return false;
  const uint32_t bandwidth = router->netlist->nets.data[index].bandwidth;
  for (uint32_t i = 0; i < tree->links.count; ++i) router->loads[tree->links.data[i]] -= bandwidth;
  return true;
}

static uint32_t load_of(const router_t *router, uint32_t link) {
  const uint64_t capacity = router->grid->links[link].capacity;
  const uint64_t load = (router->loads[link] * 1024 + capacity - 1) / capacity;
  return load < UINT32_MAX ? (uint32_t)load : UINT32_MAX;
}

static bool copy_trees(const router_t *router) {
  for (uint32_t n = 0; n < router->netlist->nets.count; ++n) {
    tree_t *to = &router->best[n];
    const tree_t *from = &router->trees[n];
    to->links.count = 0;
    if (from->links.count == 0) continue;
    uint32_t *links = leat_array_push_n(&to->links, from->links.count);
    if (links == NULL) return false;
    memcpy(links, from->links.data, from->links.count * sizeof *links);
  }
  return true;
}

// Keeps these trees if no earlier ones had less load; what is overfull costs more from now on. *out_done: nothing is.
static leat_status_t judge(router_t *router, bool *out_done) {
  uint64_t load = 0, excess = 0;
  for (uint32_t l = 0; l < router->grid->link_count; ++l) {
    const uint32_t of_link = load_of(router, l);
    if (of_link > load) load = of_link;
    if (!is_overfull(router, l)) continue;
    excess += router->loads[l] - router->grid->links[l].capacity;
    router->history[l] += HISTORY;
  }
  *out_done = excess == 0;
  if (load > router->best_load || (load == router->best_load && excess >= router->best_excess)) return NULL;
  router->best_load = load;
  router->best_excess = excess;
  return copy_trees(router) ? NULL : leat_out_of_memory();
}

static leat_status_t negotiate(router_t *router, uint32_t *out_iterations) {
  router->pressure = 8;
  for (bool done = false; !done && *out_iterations < ITERATIONS_MAX; ++*out_iterations) {
    for (uint32_t i = 0; i < router->netlist->nets.count; ++i) {
      const uint32_t net = router->order[i];
      if (gives_way(router, net, *out_iterations)) LEAT_TRY(grow_tree(router, net));
    }
    router->pressure += router->pressure / 2;
    LEAT_TRY(judge(router, &done));
    if (router->pressure > UINT16_MAX) router->pressure = UINT16_MAX;
  }
  return NULL;
}

// --- results --------------------------------------------------------------------------------------------------------

static void find_depths(router_t *router, uint32_t index, leat_chip_routes_t *out) {
  const leat_chip_net_t *net = &router->netlist->nets.data[index];
  ++router->search;
  const goal_t source = goal_of(router, net->source);
  for (uint32_t i = 0; i < source.count; ++i) router->ways[source.nodes[i]] = (way_t){0, 0, router->search};
  for (uint32_t h = out->first_hop[index]; h < out->first_hop[index + 1]; ++h) {
    const pef_chip_hop_t *hop = &out->hops.data[h];
    router->ways[hop->to] = (way_t){router->ways[hop->from].cost + 1, 0, router->search};
  }
  for (uint32_t i = 0; i < net->sink_count; ++i) {
    const goal_t goal = goal_of(router, router->netlist->sinks.data[net->sink_first + i]);
    uint32_t least = PEF_NONE;
    for (uint32_t j = 0; j < goal.count; ++j) {
      const way_t *way = &router->ways[goal.nodes[j]];
      if (way->searched == router->search && way->cost < least) least = (uint32_t)way->cost;
    }
    out->depths[net->sink_first + i] = least;
  }
}

static void find_busiest(router_t *router, leat_chip_routes_t *out) {
  memset(router->loads, 0, router->grid->link_count * sizeof *router->loads);
  for (uint32_t n = 0; n < router->netlist->nets.count; ++n) {
    const tree_t *tree = &router->best[n];
    for (uint32_t i = 0; i < tree->links.count; ++i) {
      router->loads[tree->links.data[i]] += router->netlist->nets.data[n].bandwidth;
    }
  }
  for (uint32_t l = 0; l < router->grid->link_count; ++l) {
    const leat_chip_link_t *link = &router->grid->links[l];
    out->wire += router->loads[l];
    out->overfull += is_overfull(router, l);
    const uint32_t load = load_of(router, l);
    if (load <= out->load) continue;
    out->load = load;
    out->busiest = (pef_chip_hop_t){link->from, link->to};
  }
}

static leat_status_t fill_routes(router_t *router, leat_chip_routes_t *out) {
  for (uint32_t n = 0; n < router->netlist->nets.count; ++n) {
    const tree_t *tree = &router->best[n];
    out->first_hop[n] = out->hops.count;
    pef_chip_hop_t *hops = leat_array_push_n(&out->hops, tree->links.count);
    if (hops == NULL) return leat_out_of_memory();
    for (uint32_t i = 0; i < tree->links.count; ++i) {
      const leat_chip_link_t *link = &router->grid->links[tree->links.data[i]];
      hops[i] = (pef_chip_hop_t){link->from, link->to};
    }
    out->first_hop[n + 1] = out->hops.count;
    find_depths(router, n, out);
  }
  find_busiest(router, out);
  return NULL;
}

// --- the whole ------------------------------------------------------------------------------------------------------

static void order_nets(router_t *router, uint64_t *keys) {
  const uint32_t count = router->netlist->nets.count;
  for (uint32_t n = 0; n < count; ++n) {
    keys[n] = (uint64_t)(UINT32_MAX - router->netlist->nets.data[n].bandwidth) << 32 | n;
  }
  qsort(keys, count, sizeof *keys, by_distance);
  for (uint32_t i = 0; i < count; ++i) router->order[i] = (uint32_t)keys[i];
}

static bool make_room(router_t *router, leat_chip_routes_t *out) {
  const size_t links = router->grid->link_count + 1u, nodes = router->grid->node_count;
  const size_t nets = router->netlist->nets.count + 1u;
  router->loads = leat_alloc_zero(links, sizeof *router->loads);
  router->history = leat_alloc_zero(links, sizeof *router->history);
  router->trees = leat_alloc_zero(nets, sizeof *router->trees);
  router->best = leat_alloc_zero(nets, sizeof *router->best);
  router->order = leat_alloc_zero(nets, sizeof *router->order);
  router->ways = leat_alloc_zero(nodes, sizeof *router->ways);
  router->in_tree = leat_alloc_zero(nodes, sizeof *router->in_tree);
  out->first_hop = leat_alloc_zero(nets, sizeof *out->first_hop);
  out->depths = leat_alloc_zero(router->netlist->sinks.count + 1u, sizeof *out->depths);
  return router->loads != NULL && router->history != NULL && router->trees != NULL && router->best != NULL &&
         router->order != NULL && router->ways != NULL && router->in_tree != NULL && out->first_hop != NULL &&
         out->depths != NULL;
}

static leat_status_t route(router_t *router, leat_chip_routes_t *out) {
  if (!make_room(router, out)) return leat_out_of_memory();
  uint64_t *keys = leat_alloc((router->netlist->nets.count + 1u) * sizeof *keys);
  if (keys == NULL) return leat_out_of_memory();
  order_nets(router, keys);
  leat_free(keys);
  LEAT_TRY(negotiate(router, &out->iterations));
  return fill_routes(router, out);
}

static void free_trees(const router_t *router, tree_t *trees) {
  for (uint32_t n = 0; trees != NULL && n < router->netlist->nets.count; ++n) leat_array_free(&trees[n].links);
  leat_free(trees);
}

leat_status_t leat_chip_route(const leat_chip_grid_t *grid, const leat_chip_netlist_t *netlist, const uint32_t *cells,
                              leat_chip_routes_t *out) {
  *out = (leat_chip_routes_t){0};
  router_t router = {
      .grid = grid, .netlist = netlist, .cells = cells, .best_load = UINT64_MAX, .best_excess = UINT64_MAX};
  leat_status_t status = route(&router, out);
  leat_free(router.loads);
  leat_free(router.history);
  free_trees(&router, router.trees);
  free_trees(&router, router.best);
  leat_free(router.order);
  leat_free(router.ways);
  leat_free(router.in_tree);
  leat_array_free(&router.heap);
  leat_array_free(&router.nodes);
  leat_array_free(&router.far);
  if (status != NULL) leat_chip_routes_deinit(out);
  return status;
}

void leat_chip_routes_deinit(leat_chip_routes_t *routes) {
  leat_array_free(&routes->hops);
  leat_free(routes->first_hop);
  leat_free(routes->depths);
  memset(routes, 0, sizeof *routes);
}

double leat_chip_routed_interval(double interval, uint32_t load) {
  return load <= 1024 ? interval : interval * load / 1024;
}

void leat_chip_put_link(const pef_chip_t *chip, const pef_chip_hop_t *link, leat_text_t *out) {
  leat_chip_put_node(chip, link->from, out);
  leat_text_put(out, " to ");
  leat_chip_put_node(chip, link->to, out);
}
