// SPDX-License-Identifier: Apache-2.0
#include "driver/weights.h"

#include "driver/say.h"
#include "opt/weights.h"

leat_status_t leat_weights_check(const leat_compile_options_t *options) {
  leat_dtype_t dtype = LEAT_BF16;
  if (options->weight_dtype != NULL) LEAT_TRY(leat_weights_dtype(options->weight_dtype, &dtype));
  if (options->weight_dtype == NULL && (options->weight_group > 0 || options->weight_errors != 0))
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "groups and errors of weights: --weight-dtype says which weights");
  if (options->weight_group > 0 && dtype != LEAT_I8)
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "--weight-group %u: only weights of int8 have scales", options->weight_group);
  return NULL;
}

leat_status_t leat_weights_check_training(const leat_compile_options_t *options, bool trains) {
  if (options->weight_dtype == NULL || !trains) return NULL;
  LEAT_FAIL(LEAT_INVALID_ARGUMENT,
            "--weight-dtype %s: the program trains, and only programs that infer have narrow weights; compile with "
            "--inference, or for training in bf16 with --graphamp-preset",
            options->weight_dtype);
}

static void tell(const leat_compile_options_t *options, const leat_weights_report_t *report) {
  leat_say(options, LEAT_LOG_INFO, "mac", "%s weights: %u products, %lld elements%s; %u products stay f32%s",
           options->weight_dtype, report->products, (long long)report->elements,
           options->weight_errors != 0 ? ", whose errors are outputs" : "", report->kept,
           report->convolutions > 0 ? ", and so do the weights of convolutions" : "");
}

leat_status_t leat_weights_apply(const leat_graph_t *from, const leat_compile_options_t *options, bool tells,
                                 leat_graph_t **out_graph) {
  leat_weights_options_t weights = {
      .group = options->weight_group, .keep = options->weight_keep, .measures = options->weight_errors != 0};
  leat_weights_report_t report;
  LEAT_TRY(leat_weights_dtype(options->weight_dtype, &weights.dtype));
  LEAT_TRY(leat_opt_weights(from, &weights, &report, out_graph));
  if (tells) tell(options, &report);
  return NULL;
}
