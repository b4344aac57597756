// SPDX-License-Identifier: Apache-2.0
// Keys of ops, and decisions as text. decision_read.c reads them.
#include "cut/decision.h"

#include <inttypes.h>
#include <stdio.h>

// --- keys -----------------------------------------------------------------------------------------------------------

// Unit separators keep the parts apart: names of modules and files do not hold them.
static void put_key(leat_text_t *text, const char *kind, const leat_origin_t *origin, const char *number) {
  text->length = 0;
  leat_text_put(text, "%s\x1f%s\x1f%s\x1f%s\x1f%s", kind, origin->traced, origin->module, origin->source, number);
}

// The number of an op is how many of its kind and origin came before: the count is kept under the key without number.
static leat_status_t add_key(leat_decision_keys_t *keys, const leat_graph_t *g, leat_op_id_t id, leat_names_t *counters,
                             uint32_t *counts, leat_text_t *text) {
  const leat_op_t *op = leat_graph_op(g, id);
  const char *kind = leat_op_info(op->kind)->name;
  const leat_origin_t *origin = &g->origins.data[op->origin];
  char number[16];
  put_key(text, kind, origin, "");
  if (text->failed) return leat_out_of_memory();
  uint32_t counter = leat_names_find(counters, text->data, text->length);
  if (counter == LEAT_NAME_ABSENT) {
    const char *name = leat_arena_strdup(&keys->arena, text->data, text->length);
    counter = id;
    if (name == NULL || !leat_names_add(counters, name, counter)) return leat_out_of_memory();
  }
  keys->number[id] = counts[counter]++;
  (void)snprintf(number, sizeof number, "%" PRIu32, keys->number[id]);
  put_key(text, kind, origin, number);
  if (text->failed) return leat_out_of_memory();
  const char *key = leat_arena_strdup(&keys->arena, text->data, text->length);
  return key != NULL && leat_names_add(&keys->index, key, id) ? NULL : leat_out_of_memory();
}

leat_status_t leat_decision_keys_init(leat_decision_keys_t *keys, const leat_graph_t *g) {
  *keys = (leat_decision_keys_t){.number = leat_alloc_zero(g->ops.count + 1u, sizeof *keys->number)};
  leat_arena_init(&keys->arena);
  uint32_t *counts = leat_alloc_zero(g->ops.count + 1u, sizeof *counts);
  leat_names_t counters = {0};
  leat_text_t text = {0};
  leat_status_t status = keys->number == NULL || counts == NULL ? leat_out_of_memory() : NULL;
  for (leat_op_id_t id = 0; id < g->ops.count && status == NULL; ++id) {
    if (leat_op_computes(leat_graph_op(g, id)->kind)) status = add_key(keys, g, id, &counters, counts, &text);
  }
  leat_text_deinit(&text);
  leat_names_deinit(&counters);
  leat_free(counts);
  if (status != NULL) leat_decision_keys_deinit(keys);
  return status;
}

void leat_decision_keys_deinit(leat_decision_keys_t *keys) {
  leat_names_deinit(&keys->index);
  leat_arena_deinit(&keys->arena);
  leat_free(keys->number);
  memset(keys, 0, sizeof *keys);
}

leat_op_id_t leat_decision_find(const leat_decision_keys_t *keys, const char *kind, const leat_origin_t *origin,
                                uint32_t number) {
  char digits[16];
  leat_text_t text = {0};
  (void)snprintf(digits, sizeof digits, "%" PRIu32, number);
  put_key(&text, kind, origin, digits);
  leat_op_id_t id = LEAT_NONE;
  if (!text.failed) id = leat_names_find(&keys->index, text.data, text.length);
  leat_text_deinit(&text);
  return id == LEAT_NAME_ABSENT ? LEAT_NONE : id;
}

// --- text -----------------------------------------------------------------------------------------------------------

static void put_member(leat_text_t *out, const char *name, const char *value) {
  leat_text_put(out, "\"%s\": ", name);
  leat_text_put_json_string(out, value);
  leat_text_put(out, ", ");
}

static void put_op(const leat_graph_t *g, const leat_decision_keys_t *keys, leat_op_id_t id, leat_text_t *out) {
  const leat_op_t *op = leat_graph_op(g, id);
  const leat_origin_t *origin = &g->origins.data[op->origin];
  leat_text_put(out, "{");
  put_member(out, "op", leat_op_info(op->kind)->name);
  put_member(out, "traced", origin->traced);
  put_member(out, "module", origin->module);
  put_member(out, "source", origin->source);
  leat_text_put(out, "\"number\": %" PRIu32 "}", keys->number[id]);
}

static void put_section(const leat_graph_t *g, const leat_decision_keys_t *keys, const leat_section_t *section,
                        leat_text_t *out) {
  const char *first = g->origins.data[leat_graph_op(g, section->ops.data[0])->origin].module;
  const char *last = g->origins.data[leat_graph_op(g, section->ops.data[section->ops.count - 1])->origin].module;
  leat_text_t name = {0};
  const bool same = strcmp(first, last) == 0;
  leat_text_put(&name, "%s%s%s", first, same ? "" : " .. ", same ? "" : last);
  leat_text_put(out, "    {");
  put_member(out, "type", leat_section_type_name((leat_section_type_t)section->type));
  put_member(out, "name", name.failed ? "" : name.data);
  put_member(out, "why", section->why);
  leat_text_put(out, "\"rows\": %" PRId64 ", \"tile_rows\": %" PRIu32 ",\n     \"ops\": [", section->rows,
                section->tile_rows_max);
  for (uint32_t i = 0; i < section->ops.count; ++i) {
    leat_text_put(out, i == 0 ? "\n       " : ",\n       ");
    put_op(g, keys, section->ops.data[i], out);
  }
  leat_text_put(out, "]}");
  leat_text_deinit(&name);
}

leat_status_t leat_decision_put(const leat_graph_t *g, const leat_plan_t *plan, leat_text_t *out) {
  leat_decision_keys_t keys;
  LEAT_TRY(leat_decision_keys_init(&keys, g));
  leat_text_put(out, "{\"version\": %d,\n  \"sections\": [", LEAT_DECISION_VERSION);
  const char *between = "\n";
  for (uint32_t i = 0; i < plan->sections.count; ++i) {
    if (plan->sections.data[i].ops.count == 0) continue;
    leat_text_put(out, "%s", between);
    put_section(g, &keys, &plan->sections.data[i], out);
    between = ",\n";
  }
  leat_text_put(out, "\n  ]\n}\n");
  leat_decision_keys_deinit(&keys);
  return out->failed ? leat_out_of_memory() : NULL;
}
