// SPDX-License-Identifier: Apache-2.0
// Mixed precision: rewrites of the traced graph that store f32 values as bf16, and a report of what they changed. Sums
// are accumulated in f32 everywhere, whatever the dtype of their terms.
//
//   mp0      the dtypes of the program: nothing is changed
//   mp1      operands of matrix products and convolutions are rounded to bf16, those of the matrix products that
//            backward makes of them, too; results and all else stay f32
//   mp4      every f32 value that depends on inputs or parameters becomes bf16. Parameters, buffers and outputs keep
//            their dtype and are converted where they are read and written; what is made of constants alone (position
//            tables, masks) is computed in f32 and rounded once, where it meets a bf16 value
//   default  as mp0: bf16 is where the program says so, up to the next conversion to float
#ifndef LEAT_OPT_PRECISION_H_
#define LEAT_OPT_PRECISION_H_

#include "ir/graph.h"

typedef struct leat_precision_report_s {
  uint32_t inputs;   // operands that are rounded
  uint32_t results;  // results whose dtype changed
  leat_text_t json;  // array of {"op", "module", "source", "input" or "result", "from", "to"}; without the brackets
} leat_precision_report_t;

// "mp0", "mp1", "mp4" or NULL (the default, as mp0); anything else is LEAT_INVALID_ARGUMENT.
leat_status_t leat_precision_parse(const char *text, leat_precision_t *out_preset) LEAT_MUST_USE;

// The report starts zeroed and is the caller's to free (leat_text_deinit of its json).
leat_status_t leat_opt_precision(const leat_graph_t *from, leat_precision_t preset, leat_precision_report_t *report,
                                 leat_graph_t **out_graph) LEAT_MUST_USE;

#endif
