// SPDX-License-Identifier: Apache-2.0
// See stage.h.
#include "space/stage.h"

#include "pef/pef_schema.h"

// A primitive that computes has the stage of its name, but for those that only move: these are MAPs, as all others.
enum { PEF_STAGE_CONCAT = PEF_STAGE_MAP, PEF_STAGE_PAD = PEF_STAGE_MAP };
static const uint16_t kinds[LEAT_PRIM_COUNT] = {
#define NO_STAGE(e)
#define OWN_STAGE(e) [LEAT_PRIM_##e] = PEF_STAGE_##e,
#define ROW_SYMBOL NO_STAGE
#define ROW_CONSTANT NO_STAGE
#define ROW_SEQUENCE NO_STAGE
#define ROW_KEEP NO_STAGE
#define ROW_LOOP NO_STAGE
#define ROW_PART NO_STAGE
#define ROW_JOIN NO_STAGE
#define ROW_VIEW NO_STAGE
#define ROW_DRAW OWN_STAGE
#define ROW_ELEMENTWISE OWN_STAGE
#define ROW_COMPUTE OWN_STAGE
#define PRIM(e, n, lo, hi, r, a, role, ...) ROW_##role(e)
#include "ir/op.def"
#undef PRIM
};
static_assert(PEF_STAGE_MAP == 0, "rows without a stage are MAP");

uint32_t leat_stage_fn(const leat_graph_t *g, const leat_op_t *op) {
  static const uint8_t folds[] = {
      [LEAT_FOLD_SUM] = PEF_FN_SUM, [LEAT_FOLD_PROD] = PEF_FN_PROD,     [LEAT_FOLD_MAX] = PEF_FN_MAX,
      [LEAT_FOLD_MIN] = PEF_FN_MIN, [LEAT_FOLD_ARGMAX] = PEF_FN_ARGMAX, [LEAT_FOLD_ARGMIN] = PEF_FN_ARGMIN,
      [LEAT_FOLD_SET] = PEF_FN_SET,
  };
  return folds[leat_op_word(g, op, LEAT_ATTR_FN, LEAT_FOLD_SUM)];
}

// The table of a scatter begins as a copy of its first operand.
bool leat_stage_maps(uint32_t kind, uint32_t input) {
  return kinds[kind] == PEF_STAGE_MAP || (kinds[kind] == PEF_STAGE_SCATTER && input == 0);
}

bool leat_stage_computes(const leat_graph_t *g, const leat_op_t *op, uint32_t dtype) {
  const uint32_t kind = kinds[op->kind], fns = leat_pef_stage_row(kind)->fns;
  // Only a fold has one of several functions: MAP's scalar and RANDOM's draw decide nothing here.
  const bool folds = (fns & 1u << PEF_FN_SUM) != 0;
  return leat_pef_stage_computes(kind, folds ? leat_stage_fn(g, op) : 0, dtype);
}
