// SPDX-License-Identifier: Apache-2.0
// Fuzz target: the text of a graph. What parses is compiled if it is small; what compiles is a PEF that opens.
#include <stdio.h>
#include <unistd.h>

#include "ir/graph.h"
#include "leat/compile.h"
#include "pef/pef_read.h"
#include "samples.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static bool is_small(const leat_graph_t *graph) {
  enum { ELEMENTS_MAX = 1 << 14, OPS_MAX = 200 };
  for (uint32_t i = 0; i < graph->values.count; ++i) {
    const leat_value_t *value = &graph->values.data[i];
    if (!leat_value_fits(value) || leat_value_elements(value) > ELEMENTS_MAX) return false;
  }
  return graph->ops.count <= OPS_MAX;
}

static void compile(leat_graph_t *graph, uint32_t optim_level) {
  char path[64];
  leat_pef_t *pef = NULL;
  leat_compile_options_t options = leat_compile_options_default();
  options.optim_level = optim_level;
  options.verify_each = 1;
  snprintf(path, sizeof path, "/tmp/fuzz_graph.%ld.pef", (long)getpid());
  leat_status_t status = leat_compile(graph, &options, path);
  if (status == NULL && (status = leat_pef_open(path, &pef)) != NULL) {
    fprintf(stderr, "what was compiled does not open: %s\n", leat_status_message(status));
    __builtin_trap();
  }
  leat_pef_close(pef);
  leat_status_free(status);
  unlink(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
  leat_graph_t *graph = NULL;
  leat_status_t status = leat_graph_parse((const char *)data, bytes, &graph);
  if (status == NULL && is_small(graph)) {
    status = sample_fill_constants(graph);
    if (status == NULL) compile(graph, bytes % 4 == 0 ? 0 : 3);
  }
  if (graph != NULL) leat_graph_destroy(graph);
  leat_status_free(status);
  return 0;
}
