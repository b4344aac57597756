// SPDX-License-Identifier: Apache-2.0
// The table of options as JSON, for the SDK's parser and the generated page of the manual.
#include "driver/option.h"

static void put_field(leat_text_t *text, const char *key, const char *value) {
  leat_text_put(text, ",\"%s\":", key);
  leat_text_put_json_string(text, value);
}

static void put_quoted(leat_text_t *text, const char *bytes, size_t length) {
  leat_text_put(text, "\"");
  leat_text_put_bytes(text, bytes, length);
  leat_text_put(text, "\"");
}

// The parts of `list`, which hold neither quotes nor backslashes, as an array.
static void put_list(leat_text_t *text, const char *list, const char *separator) {
  leat_text_put(text, "[");
  for (const char *at = list; at != NULL && *at != '\0';) {
    const size_t length = strcspn(at, separator);
    if (at != list) leat_text_put(text, ",");
    put_quoted(text, at, length);
    at += length + (at[length] != '\0');
  }
  leat_text_put(text, "]");
}

static void put_commands(leat_text_t *text, uint32_t commands) {
  const char *comma = "";
  leat_text_put(text, ",\"commands\":[");
  for (uint32_t i = 0; i < LEAT_OPTION_COMMAND_COUNT; ++i) {
    if ((commands >> i & 1) == 0) continue;
    leat_text_put(text, "%s\"%s\"", comma, leat_option_commands[i]);
    comma = ",";
  }
  leat_text_put(text, "]");
}

static void put_row(leat_text_t *text, const leat_option_t *option) {
  static const char *const types[] = {"flag", "bool", "int", "float", "numbers", "text", "arch"};
  static const char *const states[] = {"works", "idle", "later"};
  leat_text_put(text, "{\"names\":");
  put_list(text, option->names, " ");
  put_field(text, "type", types[option->type]);
  put_field(text, "default", option->initial);
  leat_text_put(text, ",\"choices\":");
  put_list(text, option->choices, "|");
  if (option->low < option->high) {
    leat_text_put(text, ",\"low\":");
    leat_text_put_double(text, option->low);
    leat_text_put(text, ",\"high\":");
    leat_text_put_double(text, option->high);
  }
  put_commands(text, option->commands);
  put_field(text, "group", leat_option_groups[option->group]);
  leat_text_put(text, ",\"common\":%s", option->common ? "true" : "false");
  put_field(text, "state", states[option->state]);
  leat_text_put(text, ",\"compiles\":%s", option->set.how != LEAT_SET_NOTHING ? "true" : "false");
  put_field(text, "help", option->help);
  put_field(text, "effect", option->effect);
  if (option->same_as != NULL) put_field(text, "same_as", option->same_as);
  leat_text_put(text, "}");
}

static void put_pair(leat_text_t *text, const leat_option_pair_t *pair) {
  leat_text_put(text, "{\"kind\":\"%s\"", pair->needs ? "needs" : "excludes");
  put_field(text, "option", pair->option);
  put_field(text, "other", pair->other);
  put_field(text, "why", pair->why);
  leat_text_put(text, "}");
}

LEAT_EXPORT leat_status_t leat_option_table(char **out_json) {
  leat_text_t text = {0};
  const leat_option_table_t table = leat_option_rows();
  size_t pair_count = 0;
  const leat_option_pair_t *pairs = leat_option_pairs(&pair_count);
  leat_text_put(&text, "{\"options\":[");
  for (uint32_t i = 0; i < table.count; ++i) {
    if (i > 0) leat_text_put(&text, ",");
    put_row(&text, &table.rows[i]);
  }
  leat_text_put(&text, "],\"together\":[");
  for (size_t i = 0; i < pair_count; ++i) {
    if (i > 0) leat_text_put(&text, ",");
    put_pair(&text, &pairs[i]);
  }
  leat_text_put(&text, "]");
  put_commands(&text, UINT32_MAX);
  leat_text_put(&text, "}");
  if (text.failed) {
    leat_text_deinit(&text);
    LEAT_FAIL(LEAT_OUT_OF_MEMORY, "out of memory for the table of options");
  }
  *out_json = text.data;
  return NULL;
}
