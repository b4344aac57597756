// SPDX-License-Identifier: Apache-2.0
// Nearest names by edit distance.
#include "ir/suggest.h"

#include <stdio.h>

enum { NAME_MAX_LENGTH = 63 };

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

// Insertions, deletions and substitutions that lead from one name to the other (Levenshtein).
static size_t edit_distance(const char *a, size_t a_length, const char *b, size_t b_length) {
  size_t row[NAME_MAX_LENGTH + 1];
  for (size_t j = 0; j <= b_length; j++) row[j] = j;
  for (size_t i = 1; i <= a_length; i++) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b_length; j++) {
      size_t above = row[j];
      row[j] = least(least(row[j - 1], above) + 1, diagonal + (a[i - 1] != b[j - 1]));
      diagonal = above;
    }
  }
  return row[b_length];
}

// The best name so far for a misspelt one.
typedef struct search_s {
  const char *text;
  size_t length;
  size_t distance;
  const char *prefix, *name;  // NULL: nothing near
} search_t;

static search_t search_for(const char *text, size_t length) {
  return (search_t){.text = text, .length = length, .distance = length / 3 + 2};
}

static void consider(search_t *search, const char *prefix, const char *name) {
  char whole[NAME_MAX_LENGTH + 1];
  int length = snprintf(whole, sizeof whole, "%s%s", prefix, name);
  if (length > NAME_MAX_LENGTH || search->length > NAME_MAX_LENGTH) return;
  size_t distance = edit_distance(search->text, search->length, whole, (size_t)length);
  if (distance >= search->distance) return;
  search->distance = distance;
  search->prefix = prefix;
  search->name = name;
}

static const char *answer(const search_t *search, char *buffer, size_t buffer_bytes) {
  buffer[0] = '\0';
  if (search->name != NULL)
    (void)snprintf(buffer, buffer_bytes, "; did you mean '%s%s'?", search->prefix, search->name);
  return buffer;
}

const char *leat_suggest_op(const char *text, size_t length, char *buffer, size_t buffer_bytes) {
  search_t search = search_for(text, length);
  for (uint32_t kind = 0; leat_op_is_primitive(kind); kind++) consider(&search, "prim.", leat_op_info(kind)->name);
  for (uint32_t kind = LEAT_TRACED_FIRST; kind < LEAT_OP_KIND_COUNT; kind++)
    consider(&search, "", leat_op_info(kind)->name);
  return answer(&search, buffer, buffer_bytes);
}

const char *leat_suggest_attr(uint32_t kind, const char *text, size_t length, char *buffer, size_t buffer_bytes) {
  search_t search = search_for(text, length);
  for (uint32_t key = 0; key < LEAT_ATTR_COUNT; key++) {
    if (leat_op_takes_attr(kind, (leat_attr_key_t)key)) consider(&search, "", leat_attr_name((leat_attr_key_t)key));
  }
  if (search.name != NULL) return answer(&search, buffer, buffer_bytes);
  size_t used = (size_t)snprintf(buffer, buffer_bytes, "; it takes");
  const char *keys = leat_op_info(kind)->attrs;
  if (keys[0] == '\0') (void)snprintf(buffer + used, buffer_bytes - used, " none");
  while (*keys != '\0') {
    const size_t name = strcspn(keys, "= ");
    if (used + name + 2 > buffer_bytes) break;
    buffer[used++] = ' ';
    memcpy(buffer + used, keys, name);
    buffer[used += name] = '\0';
    keys += strcspn(keys, " ");
    keys += strspn(keys, " ");
  }
  return buffer;
}

const char *leat_suggest_name(const char *const *names, size_t name_count, const char *text, size_t length,
                              char *buffer, size_t buffer_bytes) {
  search_t search = search_for(text, length);
  for (size_t i = 0; i < name_count; i++) {
    if (names[i] != NULL) consider(&search, "", names[i]);
  }
  return answer(&search, buffer, buffer_bytes);
}
