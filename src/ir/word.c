// SPDX-License-Identifier: Apache-2.0
// The texts of words: one flat table over word.def and scalar.def, searched when text is read or written.
#include "ir/word.h"

#include <stdio.h>

#include "ir/graph.h"

typedef struct word_s {
  const char *set, *text;
  int64_t word;
} word_t;

static const word_t table[] = {
#define SET(name)
#define WORD(set, constant, text) {#set, text, LEAT_##constant},
#define SPELL(set, constant, text) WORD(set, constant, text)
#define END(name)
#include "ir/word.def"
#undef SET
#undef WORD
#undef SPELL
#undef END
#define SCALAR(e, n, ...) {"scalar", #n, LEAT_SCALAR_##e},
#include "ir/scalar.def"
#undef SCALAR
};
enum { TABLE_COUNT = sizeof table / sizeof *table };

// Is `text` among the names that `list` separates by '|', up to a blank or the end?
static bool is_listed(const char *list, const char *text) {
  const size_t length = strlen(text);
  for (;; ++list) {
    const size_t token = strcspn(list, "| ");
    if (token == length && memcmp(list, text, length) == 0) return true;
    list += token;
    if (*list != '|') return false;
  }
}

static bool is_legal(const char *words, const word_t *row) {
  const size_t length = strcspn(words, ": ");
  if (strncmp(row->set, words, length) != 0 || row->set[length] != '\0') return false;
  return words[length] != ':' || is_listed(words + length + 1, row->text);
}

bool leat_word_find(const char *words, const char *text, int64_t *out_word) {
  for (size_t i = 0; i < TABLE_COUNT; ++i) {
    if (strcmp(table[i].text, text) != 0 || !is_legal(words, &table[i])) continue;
    *out_word = table[i].word;
    return true;
  }
  return false;
}

const char *leat_word_text(const char *words, int64_t word) {
  for (size_t i = 0; i < TABLE_COUNT; ++i) {
    if (table[i].word == word && is_legal(words, &table[i])) return table[i].text;
  }
  return NULL;
}

const char *leat_word_choices(const char *words, char *buffer, size_t buffer_bytes) {
  size_t length = 0;
  buffer[0] = '\0';
  for (size_t i = 0; i < TABLE_COUNT && length < buffer_bytes; ++i) {
    if (!is_legal(words, &table[i])) continue;
    const char *text = table[i].text[0] == '\0' ? "\"\"" : table[i].text;
    length += (size_t)snprintf(buffer + length, buffer_bytes - length, "%s%s", length == 0 ? "" : "|", text);
  }
  return buffer;
}
