// SPDX-License-Identifier: Apache-2.0
// See stage.h.
#include "space/stage.h"

#include "pef/pef_schema.h"

// A primitive without a stage of its name is computed by MAP.
static const uint16_t kinds[LEAT_PRIM_COUNT] = {
#define STAGE(suffix, name, number, since, text) [LEAT_PRIM_##suffix] = PEF_STAGE_##suffix,
#include "pef/stage.def"
};

uint32_t leat_stage_fn(const leat_graph_t *g, const leat_op_t *op) {
  static const uint8_t folds[] = {
      [LEAT_FOLD_SUM] = PEF_FN_SUM, [LEAT_FOLD_PROD] = PEF_FN_PROD,     [LEAT_FOLD_MAX] = PEF_FN_MAX,
      [LEAT_FOLD_MIN] = PEF_FN_MIN, [LEAT_FOLD_ARGMAX] = PEF_FN_ARGMAX, [LEAT_FOLD_ARGMIN] = PEF_FN_ARGMIN,
      [LEAT_FOLD_SET] = PEF_FN_SET,
  };
  return folds[leat_op_word(g, op, LEAT_ATTR_FN, LEAT_FOLD_SUM)];
}

bool leat_stage_computes(const leat_graph_t *g, const leat_op_t *op, uint32_t dtype) {
  const uint32_t kind = kinds[op->kind], fns = leat_pef_stage_row(kind)->fns;
  // Only a fold has one of several functions: MAP's scalar and RANDOM's draw decide nothing here.
  const bool folds = (fns & 1u << PEF_FN_SUM) != 0;
  return leat_pef_stage_computes(kind, folds ? leat_stage_fn(g, op) : 0, dtype);
}
