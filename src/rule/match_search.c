// SPDX-License-Identifier: Apache-2.0
// Backtracking over the entries of a pattern. The next entry is always one beside those that have a node, the one with
// the fewest nodes to try. An optional entry that is absent is transparent: what is above it is joined with what is
// below. The first whole assignment bounds the rest: only such as use more optional entries are looked for.
#include "rule/match_search.h"

#include <stdlib.h>

static bool has_node(leat_node_id_t state) { return state < LEAT_ENTRY_OPEN; }

bool leat_entry_accepts(const leat_rule_entry_t *entry, const leat_nodes_t *nodes, leat_node_id_t node) {
  const leat_op_t *op = leat_nodes_op(nodes, node);
  for (uint16_t i = 0; i < entry->op_count; ++i) {
    if (leat_rule_op_matches(&entry->ops[i], nodes->g, op)) return true;
  }
  return false;
}

// --- edges ----------------------------------------------------------------------------------------------------------

static const uint16_t *neighbours(const leat_search_t *s, uint32_t e, bool down, uint16_t *out_count) {
  *out_count = (down ? s->pattern->child_counts : s->pattern->parent_counts)[e];
  return (down ? s->pattern->children : s->pattern->parents)[e];
}

// The first entry with a node that `e` is joined with on one side, also past absent entries; LEAT_NONE: none yet.
static uint32_t find_link(leat_search_t *s, uint32_t e, bool down) {
  uint16_t count;
  const uint16_t *list = neighbours(s, e, down, &count);
  s->work += count;
  if (s->work > s->work_max) return LEAT_NONE;  // absent entries can make many ways; the search ends
  for (uint16_t i = 0; i < count; ++i) {
    if (has_node(s->state[list[i]])) return list[i];
  }
  for (uint16_t i = 0; i < count; ++i) {
    uint32_t link = s->state[list[i]] == LEAT_ENTRY_ABSENT ? find_link(s, list[i], down) : LEAT_NONE;
    if (link != LEAT_NONE) return link;
  }
  return LEAT_NONE;
}

static void note_miss(leat_search_t *s, const leat_miss_t *miss) {
  if (s->present < s->miss.found || (s->present == s->miss.found && miss->reason <= s->miss.reason)) return;
  s->miss = *miss;
  s->miss.pattern = s->pattern;
  s->miss.found = s->present;
  s->miss.anchor = s->anchor;
  s->miss.anchor_node = s->anchor_node;
}

// Are all entries with a node that `e` leads to on one side joined with `node` as they should be?
static bool edges_hold(leat_search_t *s, uint32_t e, leat_node_id_t node, bool down, uint32_t *out_other) {
  uint16_t count;
  const uint16_t *list = neighbours(s, e, down, &count);
  s->work += count;
  if (s->work > s->work_max) return false;
  for (uint16_t i = 0; i < count; ++i) {
    leat_node_id_t other = s->state[list[i]];
    *out_other = list[i];
    if (has_node(other)) {
      if (!(down ? leat_nodes_reads(s->nodes, node, other) : leat_nodes_reads(s->nodes, other, node))) return false;
    } else if (other == LEAT_ENTRY_ABSENT && !edges_hold(s, list[i], node, down, out_other)) {
      return false;
    }
  }
  return true;
}

// Once `e` is absent: is each entry above it joined with each one below?
static bool bridge_holds(leat_search_t *s, uint32_t above, uint32_t e) {
  uint16_t count;
  const uint16_t *list = neighbours(s, above, false, &count);
  s->work += count;
  if (s->work > s->work_max) return false;
  for (uint16_t i = 0; i < count; ++i) {
    leat_node_id_t state = s->state[list[i]];
    uint32_t other;
    if (has_node(state) && !edges_hold(s, e, state, true, &other)) return false;
    if (state == LEAT_ENTRY_ABSENT && !bridge_holds(s, list[i], e)) return false;
  }
  return true;
}

// --- whole assignments ----------------------------------------------------------------------------------------------

static int compare_ids(const void *a, const void *b) {
  leat_node_id_t x = *(const leat_node_id_t *)a, y = *(const leat_node_id_t *)b;
  return (x > y) - (x < y);
}

// Adds the transparent nodes on the way from one node to another, if they are free.
static void add_between(const leat_search_t *s, leat_node_id_t from, leat_node_id_t to, leat_node_id_t *set,
                        uint32_t *count, uint32_t past) {
  for (uint32_t i = s->nodes->direct.first[from]; i < s->nodes->direct.first[from + 1] && past > 0; ++i) {
    leat_node_id_t n = s->nodes->direct.at[i];
    if (n >= to) return;
    if (!s->nodes->transparent[n] || !leat_nodes_reads(s->nodes, n, to) || s->order->group_of[n] != 0) continue;
    bool known = false;
    for (uint32_t k = 0; k < *count && !known; ++k) known = set[k] == n;
    if (!known) set[(*count)++] = n;
    add_between(s, n, to, set, count, past - 1);
  }
}

uint32_t leat_search_group(const leat_search_t *s, const leat_node_id_t *assignment, leat_node_id_t *set) {
  uint32_t count = 0, included;
  for (uint16_t i = 0; i < s->pattern->count; ++i) {
    uint16_t e = s->pattern->order[i];
    if (has_node(assignment[e]) && s->pattern->included[e]) set[count++] = assignment[e];
  }
  included = count;
  for (uint32_t i = 0; i < included; ++i) {
    for (uint32_t k = 0; k < included; ++k) {
      if (leat_nodes_reads(s->nodes, set[i], set[k])) add_between(s, set[i], set[k], set, &count, LEAT_NODES_PAST_MAX);
    }
  }
  qsort(set, count, sizeof *set, compare_ids);
  return count;
}

// Keeps a whole assignment if its group may be taken.
static void consider(leat_search_t *s) {
  leat_node_id_t via = LEAT_NONE;
  uint64_t before = s->order->work;
  uint32_t count = leat_search_group(s, s->state, s->set);
  s->work += (uint64_t)count * count;
  bool allowed = leat_order_allows(s->order, s->set, count, &via);
  s->work += s->order->work - before;
  if (!allowed) {
    note_miss(s, &(leat_miss_t){.reason = LEAT_MISS_NOT_CONVEX, .entry = s->anchor, .node = via});
    return;
  }
  memcpy(s->best, s->state, s->rule->entry_count * sizeof *s->best);
  s->best_used = s->optional_used;
  s->has_best = true;
}

// --- the search -----------------------------------------------------------------------------------------------------

typedef struct step_s {
  uint32_t entry, link;  // LEAT_NONE: no entry is left; no entry with a node beside it
  bool down;             // the link is above: its readers are tried
  uint32_t count;        // how many
} step_t;

static uint32_t candidate_count(const leat_search_t *s, leat_node_id_t node, bool down) {
  const leat_node_lists_t *lists = down ? &s->nodes->outs : &s->nodes->ins;
  return lists->first[node + 1] - lists->first[node];
}

static step_t choose_step(leat_search_t *s) {
  step_t best = {LEAT_NONE, LEAT_NONE, false, UINT32_MAX};
  for (uint16_t i = 0; i < s->pattern->count; ++i) {
    uint32_t e = s->pattern->order[i];
    if (s->state[e] != LEAT_ENTRY_OPEN) continue;
    if (best.entry == LEAT_NONE) best.entry = e;
    for (uint32_t down = 0; down < 2; ++down) {
      uint32_t link = find_link(s, e, down == 0);  // something below: what it reads is tried
      if (link == LEAT_NONE) continue;
      uint32_t count = candidate_count(s, s->state[link], down != 0);
      if (count < best.count) best = (step_t){e, link, down != 0, count};
    }
  }
  if (best.link == LEAT_NONE) best.count = s->nodes->count;
  return best;
}

static void search(leat_search_t *s);

static bool done(const leat_search_t *s) {
  if (s->work > s->work_max) return true;
  return s->has_best && s->optional_used + s->optional_open <= s->best_used;
}

// Why `node` cannot stand for `e`; false: it can.
static bool refuses(leat_search_t *s, const step_t *step, leat_node_id_t node) {
  uint32_t e = step->entry, other = e;
  leat_miss_t miss = {.entry = (uint16_t)e, .from = (uint16_t)step->link, .down = step->down, .node = node};
  miss.from_node = step->link == LEAT_NONE ? LEAT_NONE : s->state[step->link];
  if (!leat_entry_accepts(&s->rule->entries[e], s->nodes, node)) {
    miss.reason = LEAT_MISS_OP;
  } else if (s->entry_of[node] != 0) {
    miss.reason = LEAT_MISS_USED;
  } else if (s->pattern->included[e] && s->order->group_of[node] != 0) {
    miss.reason = LEAT_MISS_TAKEN;
    miss.taken_by = s->order->group_of[node];
  } else if (!edges_hold(s, e, node, true, &other) || !edges_hold(s, e, node, false, &other)) {
    miss.reason = LEAT_MISS_EDGE;
    miss.other = (uint16_t)other;
  } else {
    return false;
  }
  if (s->pattern->required[e] && step->link != LEAT_NONE) note_miss(s, &miss);
  return true;
}

static void try_node(leat_search_t *s, const step_t *step, leat_node_id_t node) {
  uint32_t e = step->entry;
  s->work++;
  if (refuses(s, step, node)) return;
  bool optional = !s->pattern->required[e];
  s->state[e] = node;
  s->entry_of[node] = (uint16_t)(e + 1);
  s->present++;
  s->optional_used += optional;
  s->optional_open -= optional;
  search(s);
  s->optional_open += optional;
  s->optional_used -= optional;
  s->present--;
  s->entry_of[node] = 0;
  s->state[e] = LEAT_ENTRY_OPEN;
}

static void try_absent(leat_search_t *s, uint32_t e) {
  s->state[e] = LEAT_ENTRY_ABSENT;
  s->optional_open--;
  if (bridge_holds(s, e, e)) search(s);
  s->optional_open++;
  s->state[e] = LEAT_ENTRY_OPEN;
}

static void search(leat_search_t *s) {
  if (done(s)) return;
  step_t step = choose_step(s);
  if (step.entry == LEAT_NONE) {
    consider(s);
    return;
  }
  leat_node_id_t from = step.link == LEAT_NONE ? LEAT_NONE : s->state[step.link];
  if (step.count == 0 && s->pattern->required[step.entry])
    note_miss(s, &(leat_miss_t){.reason = LEAT_MISS_NO_NODE,
                                .entry = (uint16_t)step.entry,
                                .from = (uint16_t)step.link,
                                .down = step.down,
                                .from_node = from,
                                .node = LEAT_NONE});
  const leat_node_lists_t *lists = step.down ? &s->nodes->outs : &s->nodes->ins;
  for (uint32_t i = 0; i < step.count && !done(s); ++i)
    try_node(s, &step, from == LEAT_NONE ? i : lists->at[lists->first[from] + i]);
  if (!s->pattern->required[step.entry] && !done(s)) try_absent(s, step.entry);
}

bool leat_search_at(leat_search_t *s, uint16_t anchor, leat_node_id_t anchor_node) {
  s->anchor = anchor;
  s->anchor_node = anchor_node;
  s->has_best = false;
  s->work = s->present = s->optional_used = s->best_used = 0;
  s->optional_open = s->pattern->optional_count;
  s->miss = (leat_miss_t){0};
  for (uint16_t e = 0; e < s->rule->entry_count; ++e) s->state[e] = LEAT_ENTRY_OPEN;
  step_t step = {anchor, LEAT_NONE, false, 1};
  try_node(s, &step, anchor_node);
  return s->has_best;
}
