// SPDX-License-Identifier: Apache-2.0
// From entries to patterns. An entry with `match_first_option` is replaced by each of its options in turn; the options
// that were not taken drop out, and with them every entry all of whose parents, or all of whose children, dropped out.
#include "rule/rule_keys.h"

typedef struct choice_s {
  leat_rule_reader_t *reader;
  leat_rule_t *rule;
  uint16_t n;
  uint16_t *taken;        // per entry: itself, or the option that stands for it
  bool *edge;             // n * n: parent, child, after options have taken their places; dropped ones too
  bool *option, *chosen;  // per entry: listed as an option; chosen as one
  uint32_t choosers;      // entries that have options
  uint16_t *stack;
  bool *seen;
  leat_rule_pattern_t *pattern;
} choice_t;

static bool is_edge(const choice_t *c, uint32_t parent, uint32_t child) {
  return c->edge[(size_t)parent * c->n + child];
}

static leat_status_t fail_entry(const choice_t *c, uint32_t e, const char *what) {
  const leat_rule_entry_t *entry = &c->rule->entries[e];
  return leat_rule_fail(c->reader, entry->line, entry->column, "entry '%.64s' %s", entry->name, what);
}

static void set_edges(choice_t *c) {
  memset(c->edge, 0, (size_t)c->n * c->n);
  for (uint16_t p = 0; p < c->n; ++p) {
    const leat_rule_entry_t *entry = &c->rule->entries[p];
    for (uint16_t i = 0; i < entry->child_count; ++i)
      c->edge[(size_t)c->taken[p] * c->n + c->taken[entry->children[i]]] = true;
  }
}

// Are there edges on one side of `e`, all of them to entries that dropped out?
static bool hangs_on_dropped(const choice_t *c, uint32_t e, bool parents) {
  bool any = false;
  for (uint32_t other = 0; other < c->n; ++other) {
    if (!(parents ? is_edge(c, other, e) : is_edge(c, e, other))) continue;
    if (c->pattern->present[other]) return false;
    any = true;
  }
  return any;
}

static void drop(choice_t *c) {
  bool *present = c->pattern->present;
  for (uint32_t e = 0; e < c->n; ++e) present[e] = c->taken[e] == e && (!c->option[e] || c->chosen[e]);
  for (bool changed = true; changed;) {
    changed = false;
    for (uint32_t e = 0; e < c->n; ++e) {
      if (!present[e] || c->chosen[e] || !(hangs_on_dropped(c, e, true) || hangs_on_dropped(c, e, false))) continue;
      present[e] = false;
      changed = true;
    }
  }
}

// Fills `order` with parents before children, the first in the file first.
static leat_status_t sort(choice_t *c) {
  leat_rule_pattern_t *p = c->pattern;
  memset(c->seen, 0, c->n);
  uint32_t present = 0;
  for (uint32_t e = 0; e < c->n; ++e) present += p->present[e];
  for (bool changed = true; changed && p->count < present;) {
    changed = false;
    for (uint32_t e = 0; e < c->n; ++e) {
      if (!p->present[e] || c->seen[e]) continue;
      bool ready = true;
      for (uint32_t o = 0; o < c->n && ready; ++o) ready = !p->present[o] || c->seen[o] || !is_edge(c, o, e);
      if (!ready) continue;
      c->seen[e] = changed = true;
      p->order[p->count++] = (uint16_t)e;
    }
  }
  if (p->count == present) return NULL;
  // Going up from an unsorted entry through unsorted parents ends in a cycle.
  uint32_t e = 0;
  while (!p->present[e] || c->seen[e]) ++e;
  for (uint32_t step = 0; step < c->n; ++step) {
    uint32_t o = 0;
    while (!p->present[o] || c->seen[o] || !is_edge(c, o, e)) ++o;
    e = o;
  }
  return fail_entry(c, e, "leads back to itself: a pattern has no cycles");
}

// An entry that no chain of edges leads to from the first; n: there is none.
static uint32_t find_apart(choice_t *c) {
  leat_rule_pattern_t *p = c->pattern;
  uint32_t depth = 0;
  memset(c->seen, 0, c->n);
  c->stack[depth++] = p->order[0];
  c->seen[p->order[0]] = true;
  while (depth > 0) {
    uint32_t e = c->stack[--depth];
    for (uint16_t o = 0; o < c->n; ++o) {
      if (!p->present[o] || c->seen[o] || !(is_edge(c, e, o) || is_edge(c, o, e))) continue;
      c->seen[o] = true;
      c->stack[depth++] = o;
    }
  }
  uint32_t e = 0;
  while (e < c->n && (!p->present[e] || c->seen[e])) ++e;
  return e;
}

static leat_status_t list_neighbours(choice_t *c) {
  leat_rule_pattern_t *p = c->pattern;
  for (uint16_t e = 0; e < c->n; ++e) {
    for (uint32_t up = 0; up < 2; ++up) {
      uint16_t count = 0, *list;
      for (uint16_t o = 0; o < c->n; ++o) {
        if (p->present[o] && (up ? is_edge(c, o, e) : is_edge(c, e, o))) c->stack[count++] = o;
      }
      list = leat_arena_alloc(c->reader->arena, (count + 1U) * sizeof *list);
      if (list == NULL) return leat_out_of_memory();
      memcpy(list, c->stack, count * sizeof *list);
      (up ? p->parents : p->children)[e] = list;
      (up ? p->parent_counts : p->child_counts)[e] = count;
    }
  }
  return NULL;
}

static void set_flags(choice_t *c) {
  for (uint32_t e = 0; e < c->n; ++e) {
    c->pattern->required[e] = c->rule->entries[e].required;
    c->pattern->included[e] = c->rule->entries[e].included;
  }
  for (uint32_t e = 0; e < c->n; ++e) {
    if (c->taken[e] == e) continue;
    c->pattern->required[c->taken[e]] &= c->rule->entries[e].required;
    c->pattern->included[c->taken[e]] &= c->rule->entries[e].included;
  }
}

static leat_status_t check_anchor(choice_t *c) {
  leat_rule_pattern_t *p = c->pattern;
  bool anchor = false;
  for (uint32_t i = 0; i < p->count; ++i) {
    p->optional_count = (uint16_t)(p->optional_count + !p->required[p->order[i]]);
    anchor |= p->required[p->order[i]] && p->included[p->order[i]];
  }
  if (p->optional_count > LEAT_RULE_OPTIONAL_MAX)
    return fail_entry(c, p->order[0], "is one of more than 64 optional ones");
  return anchor
             ? NULL
             : fail_entry(c, p->order[0], "and all others are optional or not included: nothing is sure to be fused");
}

static leat_status_t allocate_pattern(choice_t *c, leat_rule_pattern_t *p) {
  leat_arena_t *arena = c->reader->arena;
  p->present = leat_arena_alloc(arena, 3U * c->n);
  p->order = leat_arena_alloc(arena, 3U * c->n * sizeof *p->order);
  p->children = leat_arena_alloc(arena, 2U * c->n * sizeof *p->children);
  if (p->present == NULL || p->order == NULL || p->children == NULL) return leat_out_of_memory();
  p->required = p->present + c->n;
  p->included = p->required + c->n;
  p->child_counts = p->order + c->n;
  p->parent_counts = p->child_counts + c->n;
  p->parents = p->children + c->n;
  c->pattern = p;
  return NULL;
}

// Takes option `number`: options vary like the digits of a number, those of the first entry slowest.
static void choose(choice_t *c, uint32_t number) {
  memset(c->chosen, 0, c->n);
  for (uint32_t e = c->n; e-- > 0;) {
    const leat_rule_entry_t *entry = &c->rule->entries[e];
    c->taken[e] = (uint16_t)e;
    if (entry->option_count == 0) continue;
    c->taken[e] = entry->options[number % entry->option_count];
    c->chosen[c->taken[e]] = true;
    number /= entry->option_count;
  }
}

// Adds the pattern of one choice. Where several entries choose, options that do not belong together may leave pieces
// that are not connected: such a combination is passed over.
static leat_status_t add_pattern(choice_t *c, uint32_t number) {
  LEAT_TRY(allocate_pattern(c, &c->rule->patterns[c->rule->pattern_count]));
  choose(c, number);
  set_edges(c);
  drop(c);
  LEAT_TRY(sort(c));
  uint32_t apart = find_apart(c);
  if (apart < c->n && c->choosers > 1) return NULL;
  if (apart < c->n && c->choosers == 1)
    return fail_entry(c, apart, "is not connected with the others once an option of 'match_first_option' is taken");
  if (apart < c->n)
    return fail_entry(c, apart, "is not connected with the others: name it as a child, or give it children");
  LEAT_TRY(list_neighbours(c));
  set_flags(c);
  c->rule->pattern_count++;
  return check_anchor(c);
}

static leat_status_t count_choices(choice_t *c, uint32_t *out_count) {
  *out_count = 1;
  for (uint32_t e = 0; e < c->n; ++e) {
    const leat_rule_entry_t *entry = &c->rule->entries[e];
    for (uint16_t i = 0; i < entry->option_count; ++i) {
      if (c->rule->entries[entry->options[i]].option_count != 0)
        return fail_entry(c, entry->options[i],
                          "is an option and has options itself: an option is an entry with op_type");
      c->option[entry->options[i]] = true;
    }
    if (entry->option_count == 0) continue;
    c->choosers++;
    *out_count *= entry->option_count;
    if (*out_count > LEAT_RULE_CHOICES_MAX) return fail_entry(c, e, "makes more than 64 combinations of alternatives");
  }
  return NULL;
}

static leat_status_t make_patterns(choice_t *c) {
  uint32_t count;
  LEAT_TRY(count_choices(c, &count));
  c->rule->patterns = leat_arena_alloc(c->reader->arena, count * sizeof *c->rule->patterns);
  if (c->rule->patterns == NULL) return leat_out_of_memory();
  for (uint32_t i = 0; i < count; ++i) LEAT_TRY(add_pattern(c, i));
  return c->rule->pattern_count > 0 ? NULL
                                    : fail_entry(c, 0, "and others are not connected, whatever options are taken");
}

leat_status_t leat_rule_resolve(leat_rule_reader_t *r, leat_rule_t *rule) {
  choice_t c = {.reader = r, .rule = rule, .n = rule->entry_count};
  uint32_t n = c.n;
  uint8_t *bytes = leat_alloc_zero((size_t)n * n + 3U * n, 1);
  uint16_t *words = leat_alloc_zero(2U * n + 1, sizeof *words);
  leat_status_t status = NULL;
  if (bytes == NULL || words == NULL) {
    status = leat_out_of_memory();
  } else {
    c.edge = (bool *)bytes;
    c.option = c.edge + (size_t)n * n;
    c.chosen = c.option + n;
    c.seen = c.chosen + n;
    c.taken = words;
    c.stack = words + n;
    status = make_patterns(&c);
  }
  leat_free(bytes);
  leat_free(words);
  return status;
}
