// SPDX-License-Identifier: Apache-2.0
// leat opt: runs passes on graph text and prints the graph they make. What tests of passes use, and whoever wants to
// see what the compiler does to a program.
#include <stdio.h>

#include "driver/cmd.h"
#include "driver/pipeline.h"
#include "driver/targets.h"

typedef struct opt_options_s {
  const char *passes, *verify, *output;
  bool dump, list;
  leat_cmd_given_list_t given;
} opt_options_t;

static const leat_cmd_option_t option_table[] = {
    {"--passes", "A,B,..", "these passes, in this order (default: those of a compile)", LEAT_CMD_TEXT,
     offsetof(opt_options_t, passes)},
    {"--dump", NULL, "print the graph after every pass, not only at the end", LEAT_CMD_FLAG,
     offsetof(opt_options_t, dump)},
    {"--verify", "WHEN", "check the graph after each pass (each) or at the end (end, the default)", LEAT_CMD_TEXT,
     offsetof(opt_options_t, verify)},
    {"--output", "FILE", "write the graph there instead of printing it", LEAT_CMD_TEXT,
     offsetof(opt_options_t, output)},
    {"--list", NULL, "show the passes in the order of a compile, and what each is for", LEAT_CMD_FLAG,
     offsetof(opt_options_t, list)},
};

// Options of compile that a pass may ask for; the others say where files go, or belong to programs in Python.
static bool takes(const leat_option_t *option) {
  return option->set.how != LEAT_SET_NOTHING || option->state != LEAT_OPTION_WORKS;
}

static leat_status_t print_graph(const leat_graph_t *graph, const char *pass) {
  char *text = NULL;
  LEAT_TRY(leat_graph_print(graph, &text));
  if (pass != NULL) printf("# after %s: %u ops\n", pass, graph->ops.count);
  fputs(text, stdout);
  leat_string_free(text);
  return NULL;
}

static leat_status_t dump(void *context, const char *pass, const leat_graph_t *graph) {
  (void)context;
  return print_graph(graph, pass);
}

static leat_status_t set_verify(const char *when, leat_compile_options_t *compile) {
  if (when != NULL && strcmp(when, "each") != 0 && strcmp(when, "end") != 0)
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "--verify is each or end, not '%s'", when);
  if (when != NULL && strcmp(when, "each") == 0) compile->verify_each = 1;
  return NULL;
}

static leat_status_t show_result(const opt_options_t *options, const leat_graph_t *graph) {
  LEAT_TRY(leat_graph_verify(graph));
  if (options->output == NULL) return options->dump ? NULL : print_graph(graph, NULL);
  char *text = NULL;
  LEAT_TRY(leat_graph_print(graph, &text));
  leat_status_t status = leat_file_write_atomic(options->output, text, strlen(text));
  leat_string_free(text);
  return status;
}

static leat_status_t run_passes(const opt_options_t *options, const leat_graph_t *graph) {
  leat_compile_options_t compile = leat_compile_options_default();
  for (uint32_t i = 0; i < options->given.count; ++i)
    LEAT_TRY(leat_compile_options_set(&compile, options->given.data[i].name, options->given.data[i].value.data));
  LEAT_TRY(set_verify(options->verify, &compile));
  const leat_map_target_t *target;
  leat_arch_t arch;
  LEAT_TRY(leat_target_find(leat_targets, compile.arch, &target, &arch));
  leat_graph_t *made = NULL;
  LEAT_TRY(leat_pipeline_run_named(graph, options->passes, &compile, &arch, options->dump ? dump : NULL, NULL, &made));
  leat_status_t status = show_result(options, made);
  leat_graph_destroy(made);
  return status;
}

static leat_status_t list_passes(void) {
  const char *name, *purpose;
  for (size_t i = 0; (name = leat_pipeline_pass(i, &purpose)) != NULL; ++i) printf("  %-12s %s\n", name, purpose);
  return NULL;
}

static leat_status_t run(const void *opaque, const char *const *operands) {
  const opt_options_t *options = opaque;
  if (options->list) return list_passes();
  if (operands == NULL) LEAT_FAIL(LEAT_INVALID_ARGUMENT, "opt needs a file of graph text; see leat opt --help");
  leat_mapping_t text;
  LEAT_TRY(leat_file_map(operands[0], &text));
  leat_graph_t *graph = NULL;
  leat_status_t status = leat_graph_parse((const char *)text.data, text.data_bytes, &graph);
  leat_file_unmap(&text);
  if (status == NULL) status = run_passes(options, graph);
  leat_graph_destroy(graph);
  return leat_status_annotate(status, "%s", operands[0]);
}

const leat_cmd_t leat_cmd_opt = {
    .name = "opt",
    .usage = "opt GRAPH [--passes A,B,..] [--dump] [--verify=each] [options of compile]",
    .summary = "runs passes on graph text and prints the graph",
    .examples =
        "examples:\n"
        "  leat opt --list\n"
        "  leat opt lenet.graph --passes lower-rest,fold,dce\n"
        "  leat opt lenet.graph --dump --verify=each --disable cse\n"
        "  leat opt lenet.graph --passes precision --graphamp-preset mp1\n",
    .options = option_table,
    .option_count = sizeof option_table / sizeof *option_table,
    .takes = takes,
    .table_commands = LEAT_OPTION_COMPILE,
    .given_offset = offsetof(opt_options_t, given),
    .operand_count = 1,
    .operands_optional = true,
    .options_bytes = sizeof(opt_options_t),
    .run = run,
};
