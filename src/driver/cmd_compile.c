// SPDX-License-Identifier: Apache-2.0
// leat compile: graph text (docs/graph-text.md) in, PEF out.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "driver/cmd.h"
#include "io/npy.h"
#include "leat/compile.h"

typedef struct compile_options_s {
  const char *output, *metadata;
  leat_cmd_list_t constants;
  leat_cmd_given_list_t given;
} compile_options_t;

static const leat_cmd_option_t option_table[] = {
    {"-o", "FILE", "the PEF to write (default: ./out/<pef-name>/<pef-name>.pef)", LEAT_CMD_TEXT,
     offsetof(compile_options_t, output)},
    {"--constant", "I=FILE", "bytes of the graph's constant I, from a .npy file", LEAT_CMD_LIST,
     offsetof(compile_options_t, constants)},
    {"--metadata", "JSON", "an object to store in the file", LEAT_CMD_TEXT, offsetof(compile_options_t, metadata)},
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

// Messages go to standard error; `user` is the least severe level shown.
static void print_message(void *user, uint32_t level, const char *layer, const char *text) {
  static const char *const tags[] = {"[debug]", "[info ]", "[warning", "[error ]"};
  if (level < *(const uint32_t *)user) return;
  fprintf(stderr, level == LEAT_LOG_WARNING ? "%s %s] %s\n" : "%s %s: %s\n", tags[level], layer, text);
}

static const leat_cmd_given_t *find_given(const compile_options_t *options, const char *name) {
  for (uint32_t i = options->given.count; i-- > 0;) {
    const leat_cmd_given_t *given = &options->given.data[i];
    if (given->option == leat_option_find(name, strlen(name), LEAT_OPTION_COMPILE)) return given;
  }
  return NULL;
}

static const char *given_text(const compile_options_t *options, const char *name, const char *otherwise) {
  const leat_cmd_given_t *given = find_given(options, name);
  return given == NULL ? otherwise : given->value.data;
}

static uint32_t least_level(const compile_options_t *options) {
  static const char *const levels[] = {"debug", "info", "warning", "error"};
  const char *text = given_text(options, "--log-level", NULL);
  for (uint32_t i = 0; text != NULL && i < sizeof levels / sizeof *levels; ++i)
    if (strcmp(text, levels[i]) == 0) return i;
  if (find_given(options, "--debug") != NULL) return LEAT_LOG_DEBUG;
  return find_given(options, "--verbose") != NULL ? LEAT_LOG_INFO : LEAT_LOG_WARNING;
}

// All options of the table but those that the SDK acts on and this command does not.
static bool takes(const leat_option_t *option) {
  static const char *const ours[] = {"--verbose", "--debug", "--log-level", "--pef-name", "--output-folder", "--pef"};
  if (option->set.how != LEAT_SET_NOTHING || option->state != LEAT_OPTION_WORKS) return true;
  for (size_t i = 0; i < sizeof ours / sizeof *ours; ++i)
    if (option == leat_option_find(ours[i], strlen(ours[i]), LEAT_OPTION_COMPILE)) return true;
  return false;
}

static leat_status_t check_together(const leat_cmd_given_list_t *list) {
  const char **names = leat_alloc_zero(list->count + 1, sizeof *names);
  if (names == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "out of memory for the command line");
  for (uint32_t i = 0; i < list->count; ++i) names[i] = list->data[i].name;
  leat_status_t status = leat_option_check_together(names, list->count);
  leat_free(names);
  return status;
}

static leat_status_t set_table_options(const compile_options_t *options, leat_compile_options_t *compile) {
  LEAT_TRY(check_together(&options->given));
  for (uint32_t i = 0; i < options->given.count; ++i) {
    const leat_cmd_given_t *given = &options->given.data[i];
    LEAT_TRY(leat_compile_options_set(compile, given->name, given->value.data));
  }
  return NULL;
}

// Puts the text of the file that `*field` names in its place; *out_text is to be freed.
static leat_status_t load_text(const char **field, char **out_text) {
  if (*field == NULL) return NULL;
  leat_mapping_t file;
  LEAT_TRY(leat_file_map(*field, &file));
  *out_text = leat_alloc(file.data_bytes + 1);
  if (*out_text != NULL) {
    memcpy(*out_text, file.data, file.data_bytes);
    (*out_text)[file.data_bytes] = '\0';
    *field = *out_text;
  }
  leat_file_unmap(&file);
  if (*out_text == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "out of memory for a file of options");
  return NULL;
}

static leat_status_t make_folder(const char *path) {
  if (mkdir(path, 0777) == 0 || errno == EEXIST) return NULL;
  LEAT_FAIL(LEAT_IO, "folder %s cannot be made: %s", path, strerror(errno));
}

// Makes the folders that `path` lies in.
static leat_status_t make_parents(const char *path) {
  leat_text_t folder = {0};
  leat_status_t status = NULL;
  for (const char *slash = strchr(path + (*path == '/'), '/'); status == NULL && slash != NULL;
       slash = strchr(slash + 1, '/')) {
    leat_text_deinit(&folder);
    leat_text_put_bytes(&folder, path, (size_t)(slash - path));
    status =
        folder.failed ? leat_status_make(LEAT_OUT_OF_MEMORY, "out of memory for a path") : make_folder(folder.data);
  }
  leat_text_deinit(&folder);
  return status;
}

// <output-folder>/<pef-name>/<pef-name>.pef, with its folders made; the first *out_folder_length bytes are the folder.
static leat_status_t default_path(const compile_options_t *options, leat_text_t *path, size_t *out_folder_length) {
  const char *root = given_text(options, "--output-folder", NULL), *name = given_text(options, "--pef-name", NULL);
  char stamp[64];
  if (name == NULL) {
    const time_t now = time(NULL);
    struct tm local;
    localtime_r(&now, &local);
    const size_t length = strftime(stamp, sizeof stamp, "%Y%m%d_%H%M%S", &local);
    snprintf(stamp + length, sizeof stamp - length, "_%ld", (long)getpid());
    name = stamp;
  }
  size_t length = strlen(name);
  if (length > 4 && strcmp(name + length - 4, ".pef") == 0) length -= 4;
  if (length == 0 || *name == '.' || memchr(name, '/', length) != NULL)
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "--pef-name '%s' is not a file name", name);
  leat_text_put(path, "%s/%.*s", root == NULL ? "./out" : root, (int)length, name);
  *out_folder_length = path->length;
  leat_text_put(path, "/%.*s.pef", (int)length, name);
  if (path->failed) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "out of memory for a path");
  return make_parents(path->data);
}

// Where no file is named, the PEF gets a folder of its own, with the reports beside it.
static leat_status_t write_in_folder(const compile_options_t *options, const leat_graph_t *graph,
                                     leat_compile_options_t *compile) {
  leat_text_t path = {0}, folder = {0};
  size_t folder_length = 0;
  leat_status_t status = default_path(options, &path, &folder_length);
  if (status == NULL) leat_text_put_bytes(&folder, path.data, folder_length);
  if (status == NULL && folder.failed) status = leat_status_make(LEAT_OUT_OF_MEMORY, "out of memory for a path");
  compile->report_dir = folder.data;
  if (status == NULL) status = leat_compile(graph, compile, path.data);
  if (status == NULL) fprintf(stderr, "[info ] PEF file %s created\n", path.data);
  leat_text_deinit(&path);
  leat_text_deinit(&folder);
  return status;
}

static leat_status_t write_pef(const compile_options_t *options, const leat_graph_t *graph,
                               leat_compile_options_t *compile) {
  if (options->output != NULL) {
    static const char *const others[] = {"--pef", "--pef-name", "--output-folder"};
    for (size_t i = 0; i < sizeof others / sizeof *others; ++i)
      if (given_text(options, others[i], NULL) != NULL)
        LEAT_FAIL(LEAT_INVALID_ARGUMENT, "-o excludes %s: each says where the PEF goes", others[i]);
    return leat_compile(graph, compile, options->output);
  }
  const char *path = given_text(options, "--pef", NULL);
  if (path == NULL) return write_in_folder(options, graph, compile);
  LEAT_TRY(make_parents(path));
  return leat_compile(graph, compile, path);
}

static leat_status_t compile_graph(const compile_options_t *options, leat_graph_t *graph) {
  for (uint32_t i = 0; i < options->constants.count; ++i) LEAT_TRY(set_constant(graph, options->constants.data[i]));
  uint32_t level = least_level(options);
  leat_compile_options_t compile = leat_compile_options_default();
  compile.metadata = options->metadata;
  compile.log = print_message;
  compile.log_user = &level;
  LEAT_TRY(set_table_options(options, &compile));
  compile.rules_name = compile.rules;
  compile.decisions_name = compile.decisions;
  char *rules = NULL, *decisions = NULL;
  leat_status_t status = load_text(&compile.rules, &rules);
  if (status == NULL) status = load_text(&compile.decisions, &decisions);
  if (status == NULL) status = write_pef(options, graph, &compile);
  leat_free(rules);
  leat_free(decisions);
  return status;
}

static leat_status_t run(const void *opaque, const char *const *operands) {
  const compile_options_t *options = opaque;
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
    .usage = "compile GRAPH [-o FILE] [options]",
    .summary = "compiles graph text to a PEF",
    .examples =
        "examples:\n"
        "  leat compile lenet.graph -o lenet.pef\n"
        "  leat compile lenet.graph -o lenet.pef --inference --arch native:32768,1048576,33554432\n"
        "  leat machine -o here.machine && leat compile lenet.graph -o lenet.pef --arch here.machine\n"
        "  leat compile lenet.graph -o0 --pef-name lenet-o0 -v\n",
    .options = option_table,
    .option_count = sizeof option_table / sizeof *option_table,
    .takes = takes,
    .table_commands = LEAT_OPTION_COMPILE,
    .given_offset = offsetof(compile_options_t, given),
    .operand_count = 1,
    .options_bytes = sizeof(compile_options_t),
    .run = run,
};
