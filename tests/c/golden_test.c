// SPDX-License-Identifier: Apache-2.0
// Files of every release give the bits that they gave when they were made, on the engine of LEAT_ENGINE, at the ISA
// level of the process and for any number of threads. tests/data/make_pef.py says what lies in
// tests/data/pef/<release>/<program>.
#include <dirent.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "io/safetensors.h"
#include "leat/runtime.h"
#include "level.h"

enum { THREADS_MAX = 3 };
static const char *wanted = "*";  // programs, by a pattern of their names

typedef struct golden_s {
  const char *name;  // <release>/<program>
  uint32_t threads;
  leat_program_t *program;
  leat_tensors_t *values;
} golden_t;

static void ok(const char *name, leat_status_t status) {
  if (status != NULL) fail_msg("%s: %s", name, leat_status_message(status));
}

// The rest of `text` after `prefix`, or NULL.
static const char *after(const char *text, const char *prefix) {
  const size_t length = strlen(prefix);
  return strncmp(text, prefix, length) == 0 ? text + length : NULL;
}

typedef void (*visit_t)(golden_t *g, const char *symbol_name, uint32_t symbol, const leat_io_tensor_t *tensor);

static uint32_t visit_all(golden_t *g, const char *prefix, visit_t visit) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < g->values->items.count; i++) {
    const leat_io_tensor_t *tensor = &g->values->items.data[i];
    const char *symbol_name = after(tensor->name, prefix);
    uint32_t symbol;
    if (symbol_name == NULL) continue;
    ok(g->name, leat_program_find_symbol(g->program, symbol_name, &symbol));
    visit(g, symbol_name, symbol, tensor);
    count++;
  }
  return count;
}

static void write_symbol(golden_t *g, const char *symbol_name, uint32_t symbol, const leat_io_tensor_t *tensor) {
  (void)symbol_name;
  ok(g->name, leat_program_write(g->program, symbol, tensor->data, tensor->data_bytes));
}

static void set_hyperparameter(golden_t *g, const char *symbol_name, uint32_t symbol, const leat_io_tensor_t *tensor) {
  (void)symbol_name;
  double value;
  memcpy(&value, tensor->data, sizeof value);
  ok(g->name, leat_program_set_hyperparameter(g->program, symbol, value));
}

static void expect_symbol(golden_t *g, const char *symbol_name, uint32_t symbol, const leat_io_tensor_t *tensor) {
  uint8_t *found = malloc(tensor->data_bytes + 1);
  ok(g->name, leat_program_read(g->program, symbol, found, tensor->data_bytes));
  for (size_t i = 0; i < tensor->data_bytes; i++) {
    if (found[i] != ((const uint8_t *)tensor->data)[i])
      fail_msg("%s: %s differs from the file at byte %zu of %zu (%u threads)", g->name, symbol_name, i,
               tensor->data_bytes, g->threads);
  }
  free(found);
}

static void run_plan(golden_t *g) {
  const leat_io_tensor_t *plan = leat_tensors_find(g->values, "plan");
  assert_non_null(plan);
  const int64_t *rows = plan->data;
  leat_batches_t batches;
  for (int64_t run = 0; run < plan->dims[0]; run++) {
    const int64_t *row = &rows[3 * run];
    char prefix[40];
    snprintf(prefix, sizeof prefix, "%d/in/", (int)run);
    visit_all(g, prefix, write_symbol);
    ok(g->name, leat_program_run(g->program, (uint32_t)row[0]));
    leat_program_batches(g->program, &batches);
    if (row[1] >= 0) assert_int_equal(batches.of_update, row[2]);
    if (row[1] >= 0) assert_int_equal(batches.waiting, (row[1] + 1) % row[2]);
    snprintf(prefix, sizeof prefix, "%d/out/", (int)run);
    assert_true(visit_all(g, prefix, expect_symbol) > 0);
  }
}

static void check_program(const char *root, const char *name, uint32_t threads) {
  char path[1024];
  leat_load_options_t options = leat_load_options_default();
  golden_t g = {.name = name, .threads = threads};
  options.engine = getenv("LEAT_ENGINE");
  options.isa = level_name();
  options.thread_count = threads;
  snprintf(path, sizeof path, "%s/%s/program.pef", root, name);
  ok(name, leat_program_load(path, &options, &g.program));
  snprintf(path, sizeof path, "%s/%s/values.safetensors", root, name);
  ok(name, leat_safetensors_read(path, &g.values));
  visit_all(&g, "before/", write_symbol);
  visit_all(&g, "hyper/", set_hyperparameter);
  run_plan(&g);
  visit_all(&g, "after/", expect_symbol);
  leat_tensors_destroy(g.values);
  leat_program_destroy(g.program);
}

typedef void (*enter_t)(const char *root, const char *name);

// Calls `enter` for each folder in root/name ("" for the root itself); their number.
static uint32_t each_folder(const char *root, const char *name, enter_t enter) {
  char path[512], inner[400];
  snprintf(path, sizeof path, "%s/%s", root, name);
  DIR *folder = opendir(path);
  assert_non_null(folder);
  uint32_t count = 0;
  for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
    if (entry->d_name[0] == '.') continue;
    snprintf(inner, sizeof inner, "%s%s%s", name, name[0] ? "/" : "", entry->d_name);
    enter(root, inner);
    count++;
  }
  closedir(folder);
  return count;
}

static void check_threads(const char *root, const char *name) {
  if (fnmatch(wanted, name, 0) != 0) return;
  for (uint32_t threads = 1; threads <= THREADS_MAX; threads++) check_program(root, name, threads);
}

// A minor release may have those alone that show what it brings.
static void check_release(const char *root, const char *name) {
  assert_true(each_folder(root, name, check_threads) >= 1);
}

static void test_files_of_every_release_keep_their_bits(void **state) {
  (void)state;
  char root[256];
  const char *data = getenv("LEAT_TEST_DATA");
  assert_non_null(data);
  snprintf(root, sizeof root, "%s/pef", data);
  assert_true(each_folder(root, "", check_release) >= 4);
}

// usage: golden_test [PROGRAMS]    only these, by a pattern of <release>/<program>
int main(int count, char **arguments) {
  if (count > 1) wanted = arguments[1];
  if (!level_begin()) return LEVEL_MISSING;
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_files_of_every_release_keep_their_bits)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
