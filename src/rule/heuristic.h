// SPDX-License-Identifier: Apache-2.0
// Heuristics: what a fusion rule says of how its group is laid out. Names and parameters are rows of heuristic.def.
#ifndef LEAT_RULE_HEURISTIC_H_
#define LEAT_RULE_HEURISTIC_H_

#include "base/base.h"

typedef enum leat_heuristic_e {
  LEAT_HEURISTIC_NONE,  // the default mapping
#define HEURISTIC(e, n, p, t, g) LEAT_HEURISTIC_##e,
#include "rule/heuristic.def"
  LEAT_HEURISTIC_COUNT
} leat_heuristic_t;

typedef enum leat_heuristic_param_e {
#define HEURISTIC_PARAM(e, n, o, lo, hi) LEAT_PARAM_##e,
#include "rule/heuristic.def"
  LEAT_PARAM_COUNT
} leat_heuristic_param_t;

typedef enum leat_tp_dim_e { LEAT_TP_AUTO, LEAT_TP_M, LEAT_TP_K } leat_tp_dim_t;

// A heuristic with its parameters; LEAT_PARAM_TP_DIM holds a leat_tp_dim_t. Which were given is in `given`, by bit.
typedef struct leat_heuristic_use_s {
  leat_heuristic_t heuristic;
  uint32_t given;
  int32_t value[LEAT_PARAM_COUNT];
} leat_heuristic_use_t;

// What the cutter and the mapper are told of one group. Preferences: they never change results.
typedef struct leat_strategy_s {
  uint32_t tile_rows_max;     // 0: what the caches allow
  bool products_together;     // products of the group share a section although tiles become thin
  uint32_t tiles_min;         // at least so many tiles, where there are as many rows
  uint32_t forward_sections;  // into at least how many sections the forward is cut
} leat_strategy_t;

const char *leat_heuristic_name(leat_heuristic_t heuristic);  // "" for none
// "" is none. False: no such heuristic.
bool leat_heuristic_find(const char *name, leat_heuristic_t *out_heuristic);
// "SAFE_GEMM, ..., GPT2_QKV" for messages.
void leat_heuristic_put_names(leat_text_t *out);
const char *leat_heuristic_param_name(leat_heuristic_param_t param);
// By its name or another spelling of it.
bool leat_heuristic_param_find(const char *name, leat_heuristic_param_t *out_param);
bool leat_heuristic_takes(leat_heuristic_t heuristic, leat_heuristic_param_t param);
// The names that `heuristic` takes, for messages.
void leat_heuristic_put_params(leat_heuristic_t heuristic, leat_text_t *out);
// Reads a value as it is written in a rule. False: not one; leat_heuristic_put_range says what is.
bool leat_heuristic_read(leat_heuristic_param_t param, const char *text, int32_t *out_value);
void leat_heuristic_put_range(leat_heuristic_param_t param, leat_text_t *out);

// The given parameters as a JSON object with sorted keys, "" when there are none; and back. Unknown keys are passed
// over: directives carry parameters that are meant for others.
void leat_heuristic_put_json(const leat_heuristic_use_t *use, leat_text_t *out);
leat_status_t leat_heuristic_from_json(const char *name, const char *parameters,
                                       leat_heuristic_use_t *out_use) LEAT_MUST_USE;

leat_strategy_t leat_heuristic_strategy(const leat_heuristic_use_t *use);

#endif
