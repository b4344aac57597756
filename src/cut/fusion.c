// SPDX-License-Identifier: Apache-2.0
#include "cut/fusion.h"

#include "cut/blocks.h"
#include "cut/group.h"
#include "rule/match.h"

typedef struct session_s {
  const leat_compile_options_t *options;
  leat_rules_t *rules;
  leat_arena_t strings;  // names and parameters of groups, while the pass runs
} session_t;

static void log_line(const leat_compile_options_t *options, uint32_t level, const char *text) {
  if (options->log != NULL) options->log(options->log_user, level, "mac", text);
}

// A text line by line.
static leat_status_t log_lines(const leat_compile_options_t *options, uint32_t level, const char *text) {
  leat_text_t line = {0};
  while (text != NULL && *text != '\0') {
    size_t length = strcspn(text, "\n");
    line.length = 0;
    leat_text_put_bytes(&line, text, length);
    if (line.failed) break;
    log_line(options, level, length == 0 ? "" : line.data);
    text += length + (text[length] == '\n');
  }
  bool failed = line.failed;
  leat_text_deinit(&line);
  if (failed) return leat_out_of_memory();
  return NULL;
}

// --- rules ----------------------------------------------------------------------------------------------------------

static leat_status_t read_rules(const leat_compile_options_t *options, leat_rules_t *rules) {
  if (options->rules != NULL) {
    const char *name = options->rules_name != NULL ? options->rules_name : "rules";
    LEAT_TRY(leat_rules_add(rules, options->rules, strlen(options->rules), name));
  }
  if (options->optim_level == 1) {
    if (options->rules == NULL || options->use_default_rules)
      LEAT_TRY(leat_rules_add_builtin(rules, options->rule_list));
    if (options->o1_experimental) LEAT_TRY(leat_rules_add_experimental(rules));
  }
  return log_lines(options, LEAT_LOG_WARNING, rules->warnings.data);
}

// --- the account ----------------------------------------------------------------------------------------------------

typedef void (*put_t)(const leat_fusion_t *fusion, leat_text_t *out);

static leat_status_t write_account(const leat_fusion_t *fusion, put_t put, const char *folder, const char *file) {
  leat_text_t text = {0};
  put(fusion, &text);
  leat_status_t status = leat_file_write_text(folder, file, &text);
  leat_text_deinit(&text);
  return status;
}

static leat_status_t tell(const leat_compile_options_t *options, const leat_fusion_t *fusion) {
  if (options->report_dir != NULL) {
    LEAT_TRY(write_account(fusion, leat_fusion_put_text, options->report_dir, "fusion.txt"));
    LEAT_TRY(write_account(fusion, leat_fusion_put_json, options->report_dir, "fusion.json"));
  }
  if (options->why == NULL || strcmp(options->why, "fusion") != 0) return NULL;
  leat_text_t text = {0};
  leat_fusion_put_text(fusion, &text);
  leat_status_t status = text.failed ? leat_out_of_memory() : log_lines(options, LEAT_LOG_INFO, text.data);
  leat_text_deinit(&text);
  return status;
}

// --- groups ---------------------------------------------------------------------------------------------------------

static leat_status_t add_match(session_t *s, const leat_fusion_t *fusion, const leat_occurrence_t *o,
                               leat_group_matches_t *out_matches) {
  const leat_nodes_t *nodes = &fusion->nodes;
  leat_text_t json = {0};
  leat_heuristic_put_json(&o->rule->heuristic, &json);
  const char *parameters = leat_arena_strdup(&s->strings, json.data != NULL ? json.data : "", json.length);
  leat_text_deinit(&json);
  leat_group_match_t *match = leat_array_push(out_matches);
  if (match == NULL || parameters == NULL) return leat_out_of_memory();
  match->name = o->rule->name;
  match->heuristic = leat_heuristic_name(o->rule->heuristic.heuristic);
  match->parameters = parameters;
  for (uint32_t i = 0; i < o->taken_count; ++i) {
    for (uint32_t k = nodes->ops.first[o->taken[i]]; k < nodes->ops.first[o->taken[i] + 1]; ++k) {
      leat_op_id_t *op = leat_array_push(&match->ops);
      if (op == NULL) return leat_out_of_memory();
      *op = nodes->ops.at[k];
    }
  }
  return NULL;
}

static leat_status_t find_matches(void *user, const leat_graph_t *traced, const bool *taken,
                                  leat_group_matches_t *out_matches) {
  (void)taken;  // the matcher looks at the groups of the ops
  session_t *s = user;
  leat_fusion_t *fusion = NULL;
  LEAT_TRY(leat_fusion_create(traced, s->rules, &fusion));
  leat_status_t status = tell(s->options, fusion);
  for (uint32_t i = 0; i < fusion->occurrences.count && status == NULL; ++i)
    status = add_match(s, fusion, &fusion->occurrences.data[i], out_matches);
  leat_fusion_destroy(fusion);
  return status;
}

// --compiler-mode nlp with -o3.
static leat_status_t find_blocks(void *user, const leat_graph_t *traced, const bool *taken,
                                 leat_group_matches_t *out_matches) {
  session_t *s = user;
  LEAT_TRY(leat_blocks_find(traced, taken, &s->strings, out_matches));
  if (out_matches->count == 0)
    log_line(s->options, LEAT_LOG_WARNING, "--compiler-mode nlp: no module is repeated, the graph is compiled as one");
  return NULL;
}

static leat_group_matcher_t matcher_of(const leat_compile_options_t *options) {
  if (options->optim_level == 1) return find_matches;
  return options->optim_level == 3 && options->nlp != 0 ? find_blocks : NULL;
}

// Heuristics that the program brings (directives) are names of the table, with legal parameters.
static leat_status_t check_annotations(const leat_graph_t *graph) {
  for (uint32_t i = 0; i < graph->groups.count; ++i) {
    const leat_group_t *group = &graph->groups.data[i];
    leat_heuristic_use_t use;
    LEAT_TRY(leat_status_annotate(leat_heuristic_from_json(group->heuristic, group->parameters, &use), "group '%s'",
                                  group->name));
  }
  return NULL;
}

static leat_status_t group_with_rules(session_t *s, const leat_graph_t *from, leat_graph_t **out_graph) {
  const leat_compile_options_t *options = s->options;
  leat_group_options_t group_options = {.optim_level = options->optim_level,
                                        .keep_annotated = options->hypersections != 0,
                                        .matcher = matcher_of(options),
                                        .matcher_user = s,
                                        .log = options->log,
                                        .log_user = options->log_user};
  LEAT_TRY(check_annotations(from));
  LEAT_TRY(read_rules(options, s->rules));
  if (options->rules != NULL && options->optim_level != 1)
    log_line(options, LEAT_LOG_WARNING, "fusion rules steer -o1 alone: those of the file are read but change nothing");
  if (options->nlp != 0 && options->optim_level != 3)
    log_line(options, LEAT_LOG_WARNING,
             "--compiler-mode nlp steers -o3 alone: -o0 and -o1 compile equal groups once anyway");
  return leat_group(from, &group_options, out_graph);
}

leat_status_t leat_fusion_group(const leat_graph_t *from, const leat_compile_options_t *options,
                                leat_graph_t **out_graph) {
  session_t s = {.options = options};
  LEAT_TRY(leat_rules_create(&s.rules));
  leat_arena_init(&s.strings);
  leat_status_t status = group_with_rules(&s, from, out_graph);
  leat_arena_deinit(&s.strings);
  leat_rules_destroy(s.rules);
  return status;
}
