// SPDX-License-Identifier: Apache-2.0
// All rules over one graph.
#include "rule/match.h"

#include <stdlib.h>

#include "rule/match_search.h"

// Steps that one place, one rule and the whole of a match may take. A large transformer needs a thousandth of them.
enum { PLACE_WORK = 1 << 18, RULE_WORK = 1 << 26, HOPELESS_PLACES = 16 };
static const uint64_t FUSION_WORK = (uint64_t)1 << 29;

typedef struct matcher_s {
  leat_fusion_t *fusion;
  leat_order_t order;
  leat_search_t search;
  uint64_t work;
} matcher_t;

// --- groups that the graph brought ----------------------------------------------------------------------------------

static int compare_keys(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

// `keys`: id of a group and node, ascending.
static leat_status_t take_runs(matcher_t *m, const uint64_t *keys, uint32_t count) {
  leat_fusion_t *f = m->fusion;
  f->annotated_id = leat_arena_alloc(&f->arena, (count + 1U) * sizeof *f->annotated_id);
  if (f->annotated_id == NULL) return leat_out_of_memory();
  for (uint32_t i = 0, run = 0; i < count; ++i) {
    uint32_t id = (uint32_t)(keys[i] >> 32);
    m->search.set[run++] = (leat_node_id_t)keys[i];
    if (i + 1 < count && keys[i + 1] >> 32 == id) continue;
    LEAT_TRY(leat_order_take(&m->order, m->search.set, run, &f->annotated));
    f->annotated_id[f->annotated] = id;
    run = 0;
  }
  return NULL;
}

static leat_status_t take_annotated(matcher_t *m) {
  const leat_nodes_t *nodes = &m->fusion->nodes;
  uint32_t count = 0;
  uint64_t *keys = leat_alloc_zero(nodes->count + 1U, sizeof *keys);
  if (keys == NULL) return leat_out_of_memory();
  for (leat_node_id_t n = 0; n < nodes->count; ++n) {
    uint32_t id = leat_nodes_op(nodes, n)->group;
    if (id != 0) keys[count++] = (uint64_t)id << 32 | n;
  }
  qsort(keys, count, sizeof *keys, compare_keys);
  leat_status_t status = take_runs(m, keys, count);
  leat_free(keys);
  return status;
}

// --- one rule -------------------------------------------------------------------------------------------------------

static uint32_t count_accepted(const leat_search_t *s, uint32_t e, uint32_t enough) {
  uint32_t count = 0;
  for (leat_node_id_t n = 0; n < s->nodes->count && count < enough; ++n)
    count += leat_entry_accepts(&s->rule->entries[e], s->nodes, n);
  return count;
}

// The entry to begin with: required, included, and of the rarest ops. *out_hopeless: an entry has no op in the program,
// so that there is no match; the search then only finds out how near the program comes.
static uint16_t choose_anchor(matcher_t *m, bool *out_hopeless) {
  const leat_search_t *s = &m->search;
  uint16_t anchor = s->pattern->order[0];
  uint32_t least = UINT32_MAX;
  *out_hopeless = false;
  for (uint16_t i = 0; i < s->pattern->count; ++i) {
    uint16_t e = s->pattern->order[i];
    if (!s->pattern->required[e]) continue;
    uint32_t count = count_accepted(s, e, least);
    m->work += s->nodes->count;
    *out_hopeless |= count == 0;
    if (count != 0 && count < least && s->pattern->included[e]) least = count, anchor = e;
  }
  return anchor;
}

static leat_status_t add_occurrence(matcher_t *m, leat_rule_result_t *result) {
  leat_search_t *s = &m->search;
  leat_fusion_t *f = m->fusion;
  leat_occurrence_t o = {.rule = s->rule, .pattern = s->pattern};
  uint32_t group, n = s->rule->entry_count;
  o.taken_count = leat_search_group(s, s->best, s->set);
  o.node = leat_arena_alloc(&f->arena, n * sizeof *o.node);
  o.taken = leat_arena_alloc(&f->arena, o.taken_count * sizeof *o.taken);
  leat_occurrence_t *slot = leat_array_push(&f->occurrences);
  if (slot == NULL || o.node == NULL || o.taken == NULL) return leat_out_of_memory();
  for (uint32_t e = 0; e < n; ++e) o.node[e] = s->best[e] < LEAT_ENTRY_OPEN ? s->best[e] : LEAT_NONE;
  memcpy(o.taken, s->set, o.taken_count * sizeof *o.taken);
  *slot = o;
  if (result->match_count++ == 0) result->first_match = f->occurrences.count - 1;
  return leat_order_take(&m->order, s->set, o.taken_count, &group);
}

// Keeps the nearest misses, of one anchor each.
static void keep_miss(leat_rule_result_t *result, const leat_miss_t *miss) {
  uint32_t at = result->miss_count;
  if (miss->found == 0) return;
  while (at > 0 && result->misses[at - 1].found < miss->found) --at;
  if (at == LEAT_MISSES_KEPT) return;
  if (result->miss_count < LEAT_MISSES_KEPT) result->miss_count++;
  memmove(&result->misses[at + 1], &result->misses[at], (result->miss_count - 1 - at) * sizeof *miss);
  result->misses[at] = *miss;
}

static leat_status_t match_pattern(matcher_t *m, leat_rule_result_t *result, uint64_t work_max) {
  leat_search_t *s = &m->search;
  bool hopeless;
  uint16_t anchor = choose_anchor(m, &hopeless);
  uint32_t left = hopeless ? HOPELESS_PLACES : UINT32_MAX;
  for (leat_node_id_t n = 0; n < s->nodes->count && left > 0; ++n) {
    if (!leat_entry_accepts(&s->rule->entries[anchor], s->nodes, n)) continue;
    --left;
    if (m->order.group_of[n] != 0) {
      result->taken_places++;
      continue;
    }
    if (m->work > work_max) {
      result->gave_up = true;
      return NULL;
    }
    bool found = leat_search_at(s, anchor, n);
    m->work += s->work;
    result->gave_up |= s->work > s->work_max;
    if (found) {
      LEAT_TRY(add_occurrence(m, result));
    } else {
      keep_miss(result, &s->miss);
    }
  }
  return NULL;
}

static leat_status_t match_rule(matcher_t *m, const leat_rule_t *rule, leat_rule_result_t *result) {
  uint64_t work_max = m->work + RULE_WORK < FUSION_WORK ? m->work + RULE_WORK : FUSION_WORK;
  result->rule = m->search.rule = rule;
  for (uint16_t i = 0; i < rule->pattern_count; ++i) {
    if (m->work > work_max) {
      result->gave_up = true;
      return NULL;
    }
    m->search.pattern = &rule->patterns[i];
    LEAT_TRY(match_pattern(m, result, work_max));
  }
  return NULL;
}

// --- all ------------------------------------------------------------------------------------------------------------

static leat_status_t match_rules(matcher_t *m) {
  leat_fusion_t *f = m->fusion;
  LEAT_TRY(take_annotated(m));
  for (uint32_t i = 0; i < f->rules->rules.count; ++i)
    LEAT_TRY(match_rule(m, &f->rules->rules.data[i], &f->results[i]));
  return NULL;
}

static leat_status_t allocate(matcher_t *m) {
  leat_fusion_t *f = m->fusion;
  leat_search_t *s = &m->search;
  uint32_t nodes = f->nodes.count + 1;
  *s = (leat_search_t){.nodes = &f->nodes, .order = &m->order, .work_max = PLACE_WORK};
  f->results = leat_arena_alloc(&f->arena, (f->rules->rules.count + 1U) * sizeof *f->results);
  s->state = leat_arena_alloc(&f->arena, LEAT_RULE_ENTRIES_MAX * sizeof *s->state);
  s->best = leat_arena_alloc(&f->arena, LEAT_RULE_ENTRIES_MAX * sizeof *s->best);
  s->entry_of = leat_arena_alloc(&f->arena, nodes * sizeof *s->entry_of);
  s->set = leat_arena_alloc(&f->arena, nodes * sizeof *s->set);
  if (f->results == NULL || s->state == NULL || s->best == NULL || s->entry_of == NULL || s->set == NULL)
    return leat_out_of_memory();
  return leat_order_create(&f->nodes, &m->order);
}

leat_status_t leat_fusion_create(const leat_graph_t *traced, const leat_rules_t *rules, leat_fusion_t **out_fusion) {
  leat_fusion_t *f = leat_alloc_zero(1, sizeof *f);
  if (f == NULL) return leat_out_of_memory();
  matcher_t m = {.fusion = f};
  leat_arena_init(&f->arena);
  f->rules = rules;
  leat_status_t status = leat_nodes_create(traced, &f->nodes);
  if (status == NULL) status = allocate(&m);
  if (status == NULL) status = match_rules(&m);
  leat_order_deinit(&m.order);
  if (status != NULL) {
    leat_fusion_destroy(f);
    return leat_status_annotate(status, "matching fusion rules");
  }
  *out_fusion = f;
  return NULL;
}

void leat_fusion_destroy(leat_fusion_t *fusion) {
  if (fusion == NULL) return;
  leat_array_free(&fusion->occurrences);
  leat_nodes_deinit(&fusion->nodes);
  leat_arena_deinit(&fusion->arena);
  leat_free(fusion);
}
