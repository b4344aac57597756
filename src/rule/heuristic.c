// SPDX-License-Identifier: Apache-2.0
// The tables of heuristic.def, and what follows from a row and its parameters.
#include "rule/heuristic.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

typedef struct param_row_s {
  const char *name, *others;
  int32_t low, high;
} param_row_t;

static const param_row_t params[LEAT_PARAM_COUNT] = {
#define HEURISTIC_PARAM(e, n, o, lo, hi) {n, o, lo, hi},
#include "rule/heuristic.def"
};

typedef struct heuristic_row_s {
  const char *name;
  uint32_t takes;  // parameters, by bit
  leat_strategy_t strategy;
} heuristic_row_t;

enum {
#define HEURISTIC_PARAM(e, n, o, lo, hi) e = 1 << LEAT_PARAM_##e,
#include "rule/heuristic.def"
};

static const heuristic_row_t heuristics[LEAT_HEURISTIC_COUNT] = {
    {"", 0, {0, false, 1, 1}},
#define HEURISTIC(e, n, p, t, g) {n, p, {t, g, 1, 1}},
#include "rule/heuristic.def"
};

static const char *const tp_dims[] = {[LEAT_TP_AUTO] = "Auto", [LEAT_TP_M] = "M", [LEAT_TP_K] = "K"};

const char *leat_heuristic_name(leat_heuristic_t heuristic) { return heuristics[heuristic].name; }

bool leat_heuristic_find(const char *name, leat_heuristic_t *out_heuristic) {
  for (uint32_t i = 0; i < LEAT_HEURISTIC_COUNT; ++i) {
    if (strcmp(heuristics[i].name, name) != 0) continue;
    *out_heuristic = (leat_heuristic_t)i;
    return true;
  }
  return false;
}

void leat_heuristic_put_names(leat_text_t *out) {
  for (uint32_t i = 1; i < LEAT_HEURISTIC_COUNT; ++i)
    leat_text_put(out, "%s%s", i == 1 ? "" : ", ", heuristics[i].name);
}

const char *leat_heuristic_param_name(leat_heuristic_param_t param) { return params[param].name; }

static bool is_listed(const char *list, const char *name) {
  size_t length = strlen(name);
  for (const char *at = list; *at != '\0';) {
    size_t word = strcspn(at, ",");
    if (word == length && strncmp(at, name, length) == 0) return true;
    at += word + (at[word] == ',');
  }
  return false;
}

bool leat_heuristic_param_find(const char *name, leat_heuristic_param_t *out_param) {
  for (uint32_t i = 0; i < LEAT_PARAM_COUNT; ++i) {
    if (strcmp(params[i].name, name) != 0 && !is_listed(params[i].others, name)) continue;
    *out_param = (leat_heuristic_param_t)i;
    return true;
  }
  return false;
}

bool leat_heuristic_takes(leat_heuristic_t heuristic, leat_heuristic_param_t param) {
  return (heuristics[heuristic].takes >> param & 1) != 0;
}

void leat_heuristic_put_params(leat_heuristic_t heuristic, leat_text_t *out) {
  const char *comma = "";
  for (uint32_t i = 0; i < LEAT_PARAM_COUNT; ++i) {
    if (!leat_heuristic_takes(heuristic, (leat_heuristic_param_t)i)) continue;
    leat_text_put(out, "%s%s", comma, params[i].name);
    comma = ", ";
  }
}

bool leat_heuristic_read(leat_heuristic_param_t param, const char *text, int32_t *out_value) {
  if (params[param].high == 0) {
    for (int32_t i = 0; i < (int32_t)(sizeof tp_dims / sizeof *tp_dims); ++i) {
      if (strcasecmp(tp_dims[i], text) != 0) continue;
      *out_value = i;
      return true;
    }
    return false;
  }
  char *end = NULL;
  long value = strtol(text, &end, 10);
  if (end == text || *end != '\0' || value < params[param].low || value > params[param].high) return false;
  *out_value = (int32_t)value;
  return true;
}

void leat_heuristic_put_range(leat_heuristic_param_t param, leat_text_t *out) {
  if (params[param].high == 0)
    leat_text_put(out, "Auto, M or K");
  else
    leat_text_put(out, "an integer from %d to %d", params[param].low, params[param].high);
}

// --- as JSON --------------------------------------------------------------------------------------------------------

void leat_heuristic_put_json(const leat_heuristic_use_t *use, leat_text_t *out) {
  static const leat_heuristic_param_t sorted[] = {LEAT_PARAM_FWD_SECTIONS, LEAT_PARAM_HEAD_SHARDING,
                                                  LEAT_PARAM_SPATIAL_SPLIT, LEAT_PARAM_TP_DIM};
  const char *open = "{";
  for (uint32_t i = 0; i < LEAT_PARAM_COUNT; ++i) {
    leat_heuristic_param_t param = sorted[i];
    if ((use->given >> param & 1) == 0) continue;
    leat_text_put(out, "%s\"%s\": ", open, params[param].name);
    if (params[param].high == 0)
      leat_text_put(out, "\"%s\"", tp_dims[use->value[param]]);
    else
      leat_text_put(out, "%d", use->value[param]);
    open = ", ";
  }
  if (use->given != 0) leat_text_put(out, "}");
}

static leat_status_t take_param(const cJSON *item, leat_heuristic_use_t *use) {
  leat_heuristic_param_t param;
  if (item->string == NULL || !leat_heuristic_param_find(item->string, &param)) return NULL;
  char number[32];
  (void)snprintf(number, sizeof number, "%.0f", cJSON_IsNumber(item) ? item->valuedouble : 0);
  const char *text = cJSON_IsString(item) ? item->valuestring : number;
  if (!leat_heuristic_read(param, text, &use->value[param])) {
    leat_text_t range = {0};
    leat_heuristic_put_range(param, &range);
    leat_status_t status = leat_status_make(LEAT_INVALID_ARGUMENT, "%s: '%s' is not %s", params[param].name, text,
                                            range.data != NULL ? range.data : "legal");
    leat_text_deinit(&range);
    return status;
  }
  use->given |= 1U << param;
  return NULL;
}

leat_status_t leat_heuristic_from_json(const char *name, const char *parameters, leat_heuristic_use_t *out_use) {
  *out_use = (leat_heuristic_use_t){0};
  if (!leat_heuristic_find(name, &out_use->heuristic)) {
    leat_text_t known = {0};
    leat_heuristic_put_names(&known);
    leat_status_t status = leat_status_make(LEAT_INVALID_ARGUMENT, "heuristic '%s' is not known; these are: %s", name,
                                            known.data != NULL ? known.data : "");
    leat_text_deinit(&known);
    return status;
  }
  if (parameters[0] == '\0') return NULL;
  cJSON *object = cJSON_Parse(parameters);
  leat_status_t status = NULL;
  if (!cJSON_IsObject(object))
    status = leat_status_make(LEAT_INVALID_ARGUMENT, "parameters of heuristic '%s' are not a JSON object", name);
  for (const cJSON *item = object != NULL ? object->child : NULL; item != NULL && status == NULL; item = item->next)
    status = take_param(item, out_use);
  cJSON_Delete(object);
  return status;
}

static uint32_t given_or(const leat_heuristic_use_t *use, leat_heuristic_param_t param, uint32_t otherwise) {
  return (use->given >> param & 1) != 0 ? (uint32_t)use->value[param] : otherwise;
}

leat_strategy_t leat_heuristic_strategy(const leat_heuristic_use_t *use) {
  leat_strategy_t strategy = heuristics[use->heuristic].strategy;
  strategy.tiles_min = given_or(use, LEAT_PARAM_SPATIAL_SPLIT, strategy.tiles_min);
  strategy.forward_sections = given_or(use, LEAT_PARAM_FWD_SECTIONS, strategy.forward_sections);
  return strategy;
}
