// SPDX-License-Identifier: Apache-2.0
// Checks of leat_compile_options_t. What option.def marks as LATER is refused; whoever makes it work marks it WORKS.
#include <math.h>

#include "driver/option.h"
#include "driver/targets.h"
#include "driver/weights.h"
#include "leat/compile.h"
#include "opt/precision.h"

#define PLACE(field) offsetof(leat_compile_options_t, field)

typedef struct range_s {
  const char *name;
  size_t place;
  uint32_t min, max;
} range_t;

static const range_t ranges[] = {
    {"inference", PLACE(inference), 0, 1},
    {"verify_each", PLACE(verify_each), 0, 1},
    {"use_default_rules", PLACE(use_default_rules), 0, 1},
    {"o1_experimental", PLACE(o1_experimental), 0, 1},
    {"nlp", PLACE(nlp), 0, 1},
    {"hypersections", PLACE(hypersections), 0, 1},
    {"greedy_cutter", PLACE(greedy_cutter), 0, 1},
    {"spatial", PLACE(spatial), 0, 1},
    {"retry", PLACE(retry), 0, 1},
    {"write_decisions", PLACE(write_decisions), 0, 1},
    {"run_batches", PLACE(run_batches), 1, 1048576},
    {"drop_grads", PLACE(drop_grads), 0, 1},
    {"chunked_products", PLACE(chunked_products), 0, 1048576},
    {"update_batches", PLACE(update_batches), 1, 1048576},
    {"weight_group", PLACE(weight_group), 0, 65536},
    {"weight_errors", PLACE(weight_errors), 0, 1},
    {"dither_weights", PLACE(dither_weights), 0, 1},
};

static uint32_t number_at(const leat_compile_options_t *options, size_t place) {
  uint32_t number;
  memcpy(&number, (const char *)options + place, sizeof number);
  return number;
}

static leat_status_t check_ranges(const leat_compile_options_t *options) {
  for (size_t i = 0; i < sizeof ranges / sizeof *ranges; ++i) {
    const range_t *range = &ranges[i];
    const uint32_t value = number_at(options, range->place);
    if (value >= range->min && value <= range->max) continue;
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%s %u: %u to %u is legal", range->name, value, range->min, range->max);
  }
  for (size_t i = 0; i < 4; ++i) {
    const double share = options->scaling[i];
    if (!(isfinite(share) && share > 0 && share <= 16))
      LEAT_FAIL(LEAT_INVALID_ARGUMENT, "scaling factor %g: above 0, up to 16 is legal", share);
  }
  return NULL;
}

static bool is_one_of(const char *text, const char *const *names) {
  for (; *names != NULL; ++names)
    if (strcmp(*names, text) == 0) return true;
  return false;
}

static leat_status_t check_names(const leat_compile_options_t *options) {
  static const char *const lists[] = {"default",           "nlp", "gpt2", "bloom", "gpt_neox_inference",
                                      "gpt-neox-training", NULL};
  leat_precision_t precision;
  if (options->rule_list == NULL || !is_one_of(options->rule_list, lists)) {
    LEAT_FAIL(LEAT_INVALID_ARGUMENT,
              "rule list '%s': default, nlp, gpt2, bloom, gpt_neox_inference and gpt-neox-training exist",
              options->rule_list == NULL ? "" : options->rule_list);
  }
  LEAT_TRY(leat_precision_parse(options->precision, &precision));
  return leat_weights_check(options);
}

leat_status_t leat_options_check(const leat_compile_options_t *options) {
  if (options->struct_bytes != sizeof *options) {
    LEAT_FAIL(LEAT_INVALID_ARGUMENT,
              "compile options of %u bytes, expected %zu: start from leat_compile_options_default",
              options->struct_bytes, sizeof *options);
  }
  if (options->optim_level != 0 && options->optim_level != 1 && options->optim_level != 3)
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "optimization level %u: 0, 1 and 3 exist", options->optim_level);
  LEAT_TRY(check_ranges(options));
  LEAT_TRY(check_names(options));
  return leat_option_refuse_later(options);
}

LEAT_EXPORT leat_status_t leat_compile_options_check(const leat_compile_options_t *options) {
  const leat_map_target_t *target;
  leat_arch_t arch;
  LEAT_TRY(leat_options_check(options));
  return leat_target_find(leat_targets, options->arch, &target, &arch);
}
