// SPDX-License-Identifier: Apache-2.0
// What leat run --profile prints without --json: the report of a profiled program as a table, a line a section that
// ran and under it one a stage.
#include <cjson/cJSON.h>

#include "driver/cmd.h"

static double number_of(const cJSON *object, const char *name) {
  const cJSON *field = cJSON_GetObjectItemCaseSensitive(object, name);
  return cJSON_IsNumber(field) ? field->valuedouble : 0;
}

static const char *text_of(const cJSON *object, const char *name) {
  const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
  return text != NULL ? text : "";
}

static const cJSON *list_of(const cJSON *object, const char *name) {
  return cJSON_GetObjectItemCaseSensitive(object, name);
}

// Stages have the time of all threads together, so they may add up to more than their section.
static void put_stages(const cJSON *section, double runs, leat_text_t *out) {
  const double micro = 1e6;
  const cJSON *stage;
  cJSON_ArrayForEach(stage, list_of(section, "stage_times")) {
    leat_text_put(out, "         %-8s %7s %11.3f %19s  %s\n", "", "", micro * number_of(stage, "thread_seconds") / runs,
                  text_of(stage, "kind"), text_of(stage, "origin"));
  }
}

static void put_section(const cJSON *section, uint32_t index, double total, leat_text_t *out) {
  const double micro = 1e6, percent = 100, runs = number_of(section, "runs"), seconds = number_of(section, "seconds");
  leat_text_put(out, "%7u  %-8s %7.0f %11.3f %6.1f%% %11.3f  %s\n", index, text_of(section, "type"), runs,
                micro * seconds / runs, total > 0 ? percent * seconds / total : 0,
                micro * number_of(section, "roofline_seconds"), text_of(section, "name"));
  put_stages(section, runs, out);
}

static void put_table(const cJSON *report, leat_text_t *out) {
  const cJSON *sections = list_of(report, "sections"), *section;
  double total = 0;
  uint32_t index = 0;
  cJSON_ArrayForEach(section, sections) total += number_of(section, "seconds");
  leat_text_put(out, "\nleast: on %s; times of stages are of all threads together\n",
                text_of(list_of(report, "machine"), "name"));
  leat_text_put(out, "section  type        runs      us/run   share    least us  name\n");
  cJSON_ArrayForEach(section, sections) {
    if (number_of(section, "runs") > 0) put_section(section, index, total, out);
    ++index;
  }
}

leat_status_t leat_cmd_put_profile(const char *report, leat_text_t *out) {
  cJSON *root = cJSON_Parse(report);
  if (root == NULL) return leat_out_of_memory();
  put_table(root, out);
  cJSON_Delete(root);
  return out->failed ? leat_out_of_memory() : NULL;
}
