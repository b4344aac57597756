// SPDX-License-Identifier: Apache-2.0
// A bench for one op: a graph written around it, the compiler's passes up to primitives, inputs, evaluation. Used by
// the tests of lowering, gradients and rewrites.
#ifndef LEAT_TESTS_OP_BENCH_H_
#define LEAT_TESTS_OP_BENCH_H_

#include "ir/graph.h"

enum { BENCH_INPUTS_MAX = 8 };

// Inputs are symbols x0, x1, ..; the first result is the output y with a seed symbol.
typedef struct bench_op_s {
  const char *inputs;  // "f64[2,3] i64[3]"; f64 ones require gradients, unless "!f64[3]"
  const char *op;      // "softmax(%0) {dim=1} : f64[2,3]"
  double low, high;    // range of f64 inputs; equal: values away from zero, all different
} bench_op_t;

// The text of the graph around the op. The caller frees it with leat_text_deinit.
void bench_write(const bench_op_t *op, leat_text_t *out_text);
// Parses text and runs lower, grad, lower; verifies after each.
leat_status_t bench_lower(const char *text, leat_graph_t **out_graph);
// Fills every input, state and seed symbol of the graph with numbers that depend on its name only.
leat_status_t bench_fill(leat_eval_t *eval, const leat_graph_t *graph, const bench_op_t *op);
// The numbers bench_fill gives to an f64 symbol.
void bench_numbers(const char *name, const bench_op_t *op, double *out_numbers, size_t count);
// The value that a symbol's op declares, by name; NULL if there is none.
const leat_value_t *bench_symbol(const leat_graph_t *graph, const char *name);
// Is the gradient of this symbol stored?
bool bench_reaches(const leat_graph_t *graph, const char *name);

#endif
