// SPDX-License-Identifier: Apache-2.0
// leat compile: graph text (docs/graph-text.md) in, PEF out.
#include <stdlib.h>

#include "driver/cmd.h"
#include "io/npy.h"
#include "leat/compile.h"

typedef struct compile_options_s {
  const char *output, *arch, *optim_level, *metadata, *disable;
  leat_cmd_list_t constants;
  bool inference, verify_each;
} compile_options_t;

static const leat_cmd_option_t option_table[] = {
    {"-o", "FILE", "the PEF to write", LEAT_CMD_TEXT, offsetof(compile_options_t, output)},
    {"--arch", "ARCH", "native, or native:L1,L2,L3 with cache sizes in bytes", LEAT_CMD_TEXT,
     offsetof(compile_options_t, arch)},
    {"--optim-level", "LEVEL", "o0, o1 or o3 (the default)", LEAT_CMD_TEXT, offsetof(compile_options_t, optim_level)},
    {"--inference", NULL, "forward sections only", LEAT_CMD_FLAG, offsetof(compile_options_t, inference)},
    {"--constant", "I=FILE", "bytes of the graph's constant I, from a .npy file", LEAT_CMD_LIST,
     offsetof(compile_options_t, constants)},
    {"--metadata", "JSON", "an object to store in the file", LEAT_CMD_TEXT, offsetof(compile_options_t, metadata)},
    {"--disable", "PASSES", "passes to leave out, separated by commas", LEAT_CMD_TEXT,
     offsetof(compile_options_t, disable)},
    {"--verify-each", NULL, "verify the graph after every pass", LEAT_CMD_FLAG,
     offsetof(compile_options_t, verify_each)},
};

static leat_status_t set_constant(leat_graph_t *graph, const char *argument) {
  char *index_text = NULL, *end;
  const char *path = NULL;
  LEAT_TRY(leat_cmd_split("--constant", argument, &index_text, &path));
  const unsigned long index = strtoul(index_text, &end, 10);
  const bool is_index = *end == '\0' && index <= UINT32_MAX;
  leat_free(index_text);
  if (!is_index) LEAT_FAIL(LEAT_INVALID_ARGUMENT, "--constant %s: a constant is named by its index", argument);
  leat_tensors_t *file = NULL;
  LEAT_TRY(leat_npy_read(path, &file));
  const leat_io_tensor_t *array = &file->items.data[0];
  leat_status_t status = leat_graph_set_blob(graph, (uint32_t)index, array->data, array->data_bytes);
  leat_tensors_destroy(file);
  return leat_status_annotate(status, "%s", path);
}

static leat_status_t parse_optim_level(const char *text, uint32_t *out_level) {
  static const uint32_t levels[] = {0, 1, 3};
  for (size_t i = 0; i < sizeof levels / sizeof *levels; ++i) {
    char name[] = {'o', (char)('0' + levels[i]), '\0'};
    if (strcmp(text, name) != 0) continue;
    *out_level = levels[i];
    return NULL;
  }
  LEAT_FAIL(LEAT_INVALID_ARGUMENT, "--optim-level is o0, o1 or o3, not '%s'", text);
}

static leat_status_t compile_graph(const compile_options_t *options, leat_graph_t *graph) {
  for (uint32_t i = 0; i < options->constants.count; ++i) LEAT_TRY(set_constant(graph, options->constants.data[i]));
  leat_compile_options_t compile = leat_compile_options_default();
  if (options->arch) compile.arch = options->arch;
  if (options->optim_level) LEAT_TRY(parse_optim_level(options->optim_level, &compile.optim_level));
  compile.inference = options->inference;
  compile.verify_each = options->verify_each;
  compile.metadata = options->metadata;
  compile.disable = options->disable;
  return leat_compile(graph, &compile, options->output);
}

static leat_status_t run(const void *opaque, const char *const *operands) {
  const compile_options_t *options = opaque;
  if (!options->output) LEAT_FAIL(LEAT_INVALID_ARGUMENT, "compile needs -o FILE: the PEF to write");
  leat_mapping_t text;
  LEAT_TRY(leat_file_map(operands[0], &text));
  leat_graph_t *graph = NULL;
  leat_status_t status = leat_graph_parse((const char *)text.data, text.data_bytes, &graph);
  leat_file_unmap(&text);
  if (!status) status = compile_graph(options, graph);
  leat_graph_destroy(graph);
  return leat_status_annotate(status, "%s", operands[0]);
}

const leat_cmd_t leat_cmd_compile = {
    .name = "compile",
    .usage = "compile GRAPH -o FILE [options]",
    .summary = "compiles graph text to a PEF",
    .examples =
        "examples:\n"
        "  leat compile lenet.graph -o lenet.pef\n"
        "  leat compile lenet.graph -o lenet.pef --inference --arch native:32768,1048576,33554432\n",
    .options = option_table,
    .option_count = sizeof option_table / sizeof *option_table,
    .operand_count = 1,
    .options_bytes = sizeof(compile_options_t),
    .run = run,
};
