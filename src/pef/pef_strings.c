// SPDX-License-Identifier: Apache-2.0
// The order of strings in files that have families; pef_fold.h says why.
#include <stdlib.h>

#include "pef/pef_fold.h"

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static const char *end_of_number(const char *text) {
  while (is_digit(*text)) ++text;
  return text;
}

// Texts as if all numbers were equal.
static int compare_shapes(const char *a, const char *b) {
  for (;; ++a, ++b) {
    if (is_digit(*a) && is_digit(*b)) {
      a = end_of_number(a);
      b = end_of_number(b);
    }
    if (*a != *b) return (unsigned char)*a < (unsigned char)*b ? -1 : 1;
    if (*a == '\0') return 0;
  }
}

// Numbers as texts of any length: the one that is longer without leading zeros is greater.
static int compare_numbers(const char *a, const char *b) {
  const char *a_end = end_of_number(a), *b_end = end_of_number(b);
  while (*a == '0' && a + 1 < a_end) ++a;
  while (*b == '0' && b + 1 < b_end) ++b;
  if (a_end - a != b_end - b) return a_end - a < b_end - b ? -1 : 1;
  return memcmp(a, b, (size_t)(a_end - a));
}

// The first number that differs in two texts of one shape.
static int compare_all_numbers(const char *a, const char *b) {
  while (*a != '\0') {
    if (!is_digit(*a)) {
      ++a;
      ++b;
      continue;
    }
    const int order = compare_numbers(a, b);
    if (order != 0) return order;
    a = end_of_number(a);
    b = end_of_number(b);
  }
  return 0;
}

typedef struct string_s {
  const char *text;
  uint32_t number;
} string_t;

static int compare(const void *left, const void *right) {
  const string_t *a = left, *b = right;
  int order = compare_shapes(a->text, b->text);
  if (order == 0) order = compare_all_numbers(a->text, b->text);
  return order != 0 ? order : (a->number < b->number ? -1 : 1);
}

static void fill(const char *strings, string_t *sorted, pef_strings_t *out) {
  for (uint32_t at = 0, i = 0; at < out->bytes; ++i) {
    out->was[i] = at;
    sorted[i] = (string_t){strings + at, i};
    at += (uint32_t)strlen(strings + at) + 1;
  }
  qsort(sorted, out->count, sizeof *sorted, compare);
  for (uint32_t at = 0, i = 0; i < out->count; ++i) {
    const uint32_t bytes = (uint32_t)strlen(sorted[i].text) + 1;
    memcpy(out->text + at, sorted[i].text, bytes);
    out->now[sorted[i].number] = at;
    at += bytes;
  }
}

leat_status_t leat_pef_order_strings(const char *strings, uint32_t bytes, pef_strings_t *out) {
  *out = (pef_strings_t){.bytes = bytes};
  for (uint32_t i = 0; i < bytes; ++i) out->count += strings[i] == '\0';
  out->text = leat_alloc(bytes + 1u);
  out->was = leat_alloc((out->count + 1u) * sizeof *out->was);
  out->now = leat_alloc((out->count + 1u) * sizeof *out->now);
  string_t *sorted = leat_alloc((out->count + 1u) * sizeof *sorted);
  const bool has_room = out->text != NULL && out->was != NULL && out->now != NULL && sorted != NULL;
  if (has_room) fill(strings, sorted, out);
  leat_free(sorted);
  return has_room ? NULL : leat_out_of_memory();
}

void leat_pef_strings_deinit(pef_strings_t *strings) {
  leat_free(strings->text);
  leat_free(strings->was);
  leat_free(strings->now);
}

uint32_t leat_pef_string_now(const pef_strings_t *strings, uint32_t was) {
  uint32_t low = 0, high = strings->count;
  while (high - low > 1) {
    const uint32_t middle = low + (high - low) / 2;
    if (strings->was[middle] <= was)
      low = middle;
    else
      high = middle;
  }
  return strings->now[low] + (was - strings->was[low]);
}
