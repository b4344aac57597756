// SPDX-License-Identifier: Apache-2.0
// The account of a match: where each rule applied, and where it nearly did.
#include "rule/match.h"

enum { MATCHES_SHOWN = 64 };

// What a rule would call the op: the torch function of the program where that is a name of the row, else the row's.
static const char *call_name(const leat_graph_t *g, const leat_op_t *op) {
  const char *call = g->origins.data[op->origin].traced;
  leat_rule_op_t ops[LEAT_RULE_OP_KINDS_MAX];
  uint32_t count = leat_rule_op_find(call, ops);
  for (uint32_t i = 0; i < count; ++i) {
    if (leat_rule_op_matches(&ops[i], g, op)) return call;
  }
  return leat_op_info(op->kind)->name;
}

// "linear (llama.layers.0.q_proj, llama.py:24)"
static void put_node(const leat_fusion_t *f, leat_node_id_t n, leat_text_t *out) {
  const leat_op_t *op = leat_nodes_op(&f->nodes, n);
  const leat_origin_t *origin = &f->nodes.g->origins.data[op->origin];
  leat_text_put(out, "%s", call_name(f->nodes.g, op));
  if (origin->module[0] == '\0' && origin->source[0] == '\0') {
    leat_text_put(out, " (op %u)", f->nodes.ops.at[f->nodes.ops.first[n]]);
    return;
  }
  leat_text_put(out, " (%s%s%s)", origin->module, origin->module[0] != '\0' && origin->source[0] != '\0' ? ", " : "",
                origin->source);
}

static const char *entry_name(const leat_rule_t *rule, uint32_t e) { return rule->entries[e].name; }

static void put_taker(const leat_fusion_t *f, uint32_t group, leat_text_t *out) {
  if (group > f->annotated)
    leat_text_put(out, "rule '%s'", f->occurrences.data[group - f->annotated - 1].rule->name);
  else
    leat_text_put(out, "group %u of the program", f->annotated_id[group]);
}

// "reads mul (module, line)" or "is read by ..": where the entry was looked for.
static void put_place(const leat_fusion_t *f, const leat_miss_t *miss, leat_text_t *out) {
  put_node(f, miss->from_node, out);
  leat_text_put(out, miss->down ? " is read by " : " reads ");
}

static void put_reason(const leat_fusion_t *f, const leat_rule_t *rule, const leat_miss_t *miss, leat_text_t *out) {
  const leat_rule_entry_t *entry = &rule->entries[miss->entry];
  if (miss->reason == LEAT_MISS_NOT_CONVEX) {
    leat_text_put(out, "all entries fit, but the group is not convex: a path leaves it and comes back through ");
    put_node(f, miss->node, out);
    return;
  }
  leat_text_put(out, "entry '%s' (%s): ", entry->name, entry->op_text);
  if (miss->reason == LEAT_MISS_NO_NODE) {
    put_place(f, miss, out);
    leat_text_put(out, "no op");
    return;
  }
  if (miss->from_node == LEAT_NONE) {
    put_node(f, miss->node, out);
  } else {
    put_place(f, miss, out);
    put_node(f, miss->node, out);
  }
  switch (miss->reason) {
    case LEAT_MISS_OP:
      leat_text_put(out, ", which is another op");
      break;
    case LEAT_MISS_USED:
      leat_text_put(out, ", which stands for another entry already");
      break;
    case LEAT_MISS_TAKEN:
      leat_text_put(out, ", which is taken by ");
      put_taker(f, miss->taken_by, out);
      break;
    default:
      leat_text_put(out, ", which is not connected with entry '%s' as the pattern says", entry_name(rule, miss->other));
  }
}

static uint32_t required_count(const leat_rule_pattern_t *pattern) {
  return (uint32_t)pattern->count - pattern->optional_count;
}

// Did the rule match at the place of the miss after all, by another option or beginning elsewhere?
static bool is_settled(const leat_fusion_t *f, const leat_rule_result_t *result, const leat_miss_t *miss) {
  for (uint32_t i = 0; i < result->match_count; ++i) {
    const leat_occurrence_t *o = &f->occurrences.data[result->first_match + i];
    for (uint32_t k = 0; k < o->taken_count; ++k) {
      if (o->taken[k] == miss->anchor_node) return true;
    }
  }
  return false;
}

// --- text -----------------------------------------------------------------------------------------------------------

static void put_occurrence(const leat_fusion_t *f, const leat_occurrence_t *o, uint32_t number, leat_text_t *out) {
  leat_text_put(out, "  match %u\n", number);
  for (uint16_t i = 0; i < o->pattern->count; ++i) {
    uint16_t e = o->pattern->order[i];
    if (o->node[e] == LEAT_NONE) continue;
    leat_text_put(out, "    %s%s = ", entry_name(o->rule, e), o->pattern->included[e] ? "" : " (context)");
    put_node(f, o->node[e], out);
    leat_text_put(out, "\n");
  }
}

static void put_miss(const leat_fusion_t *f, const leat_rule_t *rule, const leat_miss_t *miss, leat_text_t *out) {
  leat_text_put(out, "  miss: %u of %u required entries from '%s' = ", miss->found, required_count(miss->pattern),
                entry_name(rule, miss->anchor));
  put_node(f, miss->anchor_node, out);
  leat_text_put(out, "\n    ");
  put_reason(f, rule, miss, out);
  leat_text_put(out, "\n");
}

static void put_header(const leat_rule_result_t *result, leat_text_t *out) {
  const leat_rule_t *rule = result->rule;
  const char *heuristic = leat_heuristic_name(rule->heuristic.heuristic);
  leat_text_put(out, "rule %s (priority %d%s%s; %s:%u): ", rule->name, rule->priority, heuristic[0] != '\0' ? ", " : "",
                heuristic, rule->file, rule->line);
  if (result->match_count == 1)
    leat_text_put(out, "1 match\n");
  else
    leat_text_put(out, "%u matches\n", result->match_count);
}

static void put_result(const leat_fusion_t *f, const leat_rule_result_t *result, leat_text_t *out) {
  put_header(result, out);
  for (uint32_t i = 0; i < result->match_count && i < MATCHES_SHOWN; ++i)
    put_occurrence(f, &f->occurrences.data[result->first_match + i], i + 1, out);
  if (result->match_count > MATCHES_SHOWN) leat_text_put(out, "  ...\n");
  for (uint32_t i = 0; i < result->miss_count; ++i) {
    if (!is_settled(f, result, &result->misses[i])) put_miss(f, result->rule, &result->misses[i], out);
  }
  if (result->taken_places != 0)
    leat_text_put(out, "  %u %s not looked at: other groups have the op\n", result->taken_places,
                  result->taken_places == 1 ? "place" : "places");
  if (result->match_count == 0 && result->miss_count == 0 && result->taken_places == 0)
    leat_text_put(out, "  the program has no op of one of its entries\n");
  if (result->gave_up) leat_text_put(out, "  the search became too long and was ended; the rule is too general\n");
}

void leat_fusion_put_text(const leat_fusion_t *fusion, leat_text_t *out) {
  uint32_t grouped = 0;
  if (fusion->rules->warnings.data != NULL) leat_text_put(out, "%s", fusion->rules->warnings.data);
  for (uint32_t i = 0; i < fusion->rules->rules.count; ++i) put_result(fusion, &fusion->results[i], out);
  for (uint32_t i = 0; i < fusion->occurrences.count; ++i) grouped += fusion->occurrences.data[i].taken_count;
  leat_text_put(out, "%u groups by rules hold %u of %u calls; %u groups are the program's own\n",
                fusion->occurrences.count, grouped, fusion->nodes.count, fusion->annotated);
}

// --- JSON -----------------------------------------------------------------------------------------------------------

static void put_json_node(const leat_fusion_t *f, leat_node_id_t n, leat_text_t *out) {
  const leat_op_t *op = leat_nodes_op(&f->nodes, n);
  const leat_origin_t *origin = &f->nodes.g->origins.data[op->origin];
  leat_text_put(out, "{\"op\": ");
  leat_text_put_json_string(out, call_name(f->nodes.g, op));
  leat_text_put(out, ", \"module\": ");
  leat_text_put_json_string(out, origin->module);
  leat_text_put(out, ", \"source\": ");
  leat_text_put_json_string(out, origin->source);
  leat_text_put(out, "}");
}

static void put_json_occurrence(const leat_fusion_t *f, const leat_occurrence_t *o, leat_text_t *out) {
  const char *comma = "";
  leat_text_put(out, "{");
  for (uint16_t i = 0; i < o->pattern->count; ++i) {
    uint16_t e = o->pattern->order[i];
    if (o->node[e] == LEAT_NONE) continue;
    leat_text_put(out, "%s", comma);
    leat_text_put_json_string(out, entry_name(o->rule, e));
    leat_text_put(out, ": ");
    put_json_node(f, o->node[e], out);
    comma = ", ";
  }
  leat_text_put(out, "}");
}

static void put_json_miss(const leat_fusion_t *f, const leat_rule_t *rule, const leat_miss_t *miss, leat_text_t *out) {
  leat_text_t why = {0};
  put_reason(f, rule, miss, &why);
  leat_text_put(out, "{\"found\": %u, \"required\": %u, \"anchor\": ", miss->found, required_count(miss->pattern));
  put_json_node(f, miss->anchor_node, out);
  leat_text_put(out, ", \"entry\": ");
  leat_text_put_json_string(out, entry_name(rule, miss->entry));
  leat_text_put(out, ", \"why\": ");
  leat_text_put_json_string(out, why.data != NULL ? why.data : "");
  leat_text_put(out, "}");
  leat_text_deinit(&why);
}

static void put_json_result(const leat_fusion_t *f, const leat_rule_result_t *result, leat_text_t *out) {
  const leat_rule_t *rule = result->rule;
  leat_text_put(out, "{\"name\": ");
  leat_text_put_json_string(out, rule->name);
  leat_text_put(out, ", \"priority\": %d, \"heuristic\": \"%s\", \"file\": ", rule->priority,
                leat_heuristic_name(rule->heuristic.heuristic));
  leat_text_put_json_string(out, rule->file);
  leat_text_put(out, ", \"line\": %u,\n   \"matches\": [", rule->line);
  for (uint32_t i = 0; i < result->match_count; ++i) {
    leat_text_put(out, i == 0 ? "\n    " : ",\n    ");
    put_json_occurrence(f, &f->occurrences.data[result->first_match + i], out);
  }
  leat_text_put(out, "],\n   \"misses\": [");
  const char *comma = "\n    ";
  for (uint32_t i = 0; i < result->miss_count; ++i) {
    if (is_settled(f, result, &result->misses[i])) continue;
    leat_text_put(out, "%s", comma);
    put_json_miss(f, rule, &result->misses[i], out);
    comma = ",\n    ";
  }
  leat_text_put(out, "],\n   \"taken_places\": %u, \"gave_up\": %s}", result->taken_places,
                result->gave_up ? "true" : "false");
}

void leat_fusion_put_json(const leat_fusion_t *fusion, leat_text_t *out) {
  leat_text_put(out, "{\"calls\": %u, \"annotated_groups\": %u, \"rules\": [", fusion->nodes.count, fusion->annotated);
  for (uint32_t i = 0; i < fusion->rules->rules.count; ++i) {
    leat_text_put(out, i == 0 ? "\n  " : ",\n  ");
    put_json_result(fusion, &fusion->results[i], out);
  }
  leat_text_put(out, "]}\n");
}
