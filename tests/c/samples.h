// SPDX-License-Identifier: Apache-2.0
// Real programs for tests that need files: the graphs of tests/data/graphs (made by make_graphs.py there), compiled.
#ifndef LEAT_TESTS_SAMPLES_H_
#define LEAT_TESTS_SAMPLES_H_

#include <stddef.h>
#include <stdint.h>

#include "base/base.h"
#include "leat/compile.h"

// Names of the graphs, NULL at the end.
extern const char *const sample_names[];

// Path of a file of tests/data, in a buffer that the next call reuses.
const char *sample_data_path(const char *name);
// The graph `name` with bytes for its constants: integers 0, other dtypes a pattern of small numbers.
leat_status_t sample_graph(const char *name, leat_graph_t **out_graph) LEAT_MUST_USE;
// Gives every constant of a parsed graph its bytes.
leat_status_t sample_fill_constants(leat_graph_t *graph) LEAT_MUST_USE;
// Compiles the graph `name` into `path`.
leat_status_t sample_compile(const char *name, uint32_t optim_level, const char *path) LEAT_MUST_USE;

#endif
