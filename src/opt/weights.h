// SPDX-License-Identifier: Apache-2.0
// Narrow weights, in programs that only infer: the fixed operand of a product becomes bf16, or i8 with a scale, and is
// widened where it is multiplied. Parameters stay f32; what is narrow hangs on them and is made once (settle.c).
//
//   bf16   rounded to nearest
//   int8   a scale for each output, s = max |w| / 127 over what an output sums up, or over `group` terms of it in a row
//          where they divide it; q = w / s, rounded to nearest, ties to even. The weight is q * s, rounded once to f32,
//          so that a program computes, bit for bit, what it computes of such weights in f32
//
// A weight is narrowed where a product in f32 reads it, and hangs on parameters, buffers and constants alone, one
// parameter at least; lookups in it then read what is narrow, too. Weights of convolutions stay f32.
#ifndef LEAT_OPT_WEIGHTS_H_
#define LEAT_OPT_WEIGHTS_H_

#include "ir/graph.h"

typedef struct leat_weights_options_s {
  leat_dtype_t dtype;  // LEAT_BF16 or LEAT_I8
  int64_t group;       // of terms that have a scale of their own; 0: all
  const char *keep;    // comma-separated names of parameters whose weights stay f32, or NULL
  // True: products stay as they are, and the program gets an output for each that would not, named
  // "<parameter>__weight_error_<number>": max |d|, max |y|, the sums of d^2 and of y^2, y being the result, and d what
  // the narrow weight makes of it less y.
  bool measures;
} leat_weights_options_t;

typedef struct leat_weights_report_s {
  uint32_t products;  // with narrow weights
  int64_t elements;   // of all weights that became narrow
  uint32_t kept;      // products of fixed weights that stay f32: named in `keep`, or weights that lead in the result
  uint32_t convolutions;  // whose weights stay f32
} leat_weights_report_t;

// The weight of --weight-dtype: "bf16" or "int8"; anything else is LEAT_INVALID_ARGUMENT.
leat_status_t leat_weights_dtype(const char *text, leat_dtype_t *out_dtype) LEAT_MUST_USE;

leat_status_t leat_opt_weights(const leat_graph_t *from, const leat_weights_options_t *options,
                               leat_weights_report_t *out_report, leat_graph_t **out_graph) LEAT_MUST_USE;

#endif
