// SPDX-License-Identifier: Apache-2.0
// See samples.h.
#include "samples.h"

#include <stdio.h>
#include <stdlib.h>

#include "ir/graph.h"

const char *const sample_names[] = {"attention", "blocks",  "convolutions", "dropout", "indices", "inference",
                                    "losses",    "numbers", "recurrent",    "volumes", NULL};

const char *sample_data_path(const char *name) {
  static char path[4096];
  const char *folder = getenv("LEAT_TEST_DATA");
  snprintf(path, sizeof path, "%s/%s", folder != NULL ? folder : "tests/data", name);
  return path;
}

static leat_status_t fill_constant(leat_graph_t *graph, const leat_op_t *op) {
  enum { BYTES_MAX = 1 << 20 };
  const leat_value_t *value = leat_graph_value(graph, op->result_first);
  const size_t bytes = leat_value_fits(value) ? leat_value_bytes(value) : SIZE_MAX;
  if (bytes > BYTES_MAX) LEAT_FAIL(LEAT_UNSUPPORTED, "a constant of %zu bytes is too large for a test", bytes);
  uint8_t *data = leat_alloc_zero(bytes + 1, 1);
  if (data == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "out of memory");
  if (value->dtype == LEAT_F32) {
    for (size_t i = 0; i < bytes / sizeof(float); ++i) ((float *)(void *)data)[i] = 0.25f * (float)(i % 7) - 0.5f;
  }
  leat_status_t status = leat_graph_set_blob(graph, (uint32_t)leat_op_int(graph, op, LEAT_ATTR_INDEX, 0), data, bytes);
  leat_free(data);
  return status;
}

leat_status_t sample_fill_constants(leat_graph_t *graph) {
  for (leat_op_id_t id = 0; id < graph->ops.count; ++id) {
    const leat_op_t *op = leat_graph_op(graph, id);
    if (op->kind == LEAT_TRACED_CONST) LEAT_TRY(fill_constant(graph, op));
  }
  return NULL;
}

leat_status_t sample_graph(const char *name, leat_graph_t **out_graph) {
  char file[128];
  leat_mapping_t text;
  snprintf(file, sizeof file, "graphs/%s.graph", name);
  LEAT_TRY(leat_file_map(sample_data_path(file), &text));
  leat_status_t status = leat_graph_parse((const char *)text.data, text.data_bytes, out_graph);
  leat_file_unmap(&text);
  if (status != NULL) return status;
  status = sample_fill_constants(*out_graph);
  if (status != NULL) leat_graph_destroy(*out_graph);
  return status;
}

leat_status_t sample_compile(const char *name, uint32_t optim_level, const char *path) {
  leat_graph_t *graph = NULL;
  LEAT_TRY(sample_graph(name, &graph));
  leat_compile_options_t options = leat_compile_options_default();
  options.optim_level = optim_level;
  leat_status_t status = leat_compile(graph, &options, path);
  leat_graph_destroy(graph);
  return status;
}
