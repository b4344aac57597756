// SPDX-License-Identifier: Apache-2.0
// Words of closed sets: the C enums of ir/word.def, as leat_fold_t with LEAT_FOLD_SUM, and their texts.
#ifndef LEAT_IR_WORD_H_
#define LEAT_IR_WORD_H_

#include "base/base.h"

#define SET(name) typedef enum leat_##name##_e {
#define WORD(set, constant, text) LEAT_##constant,
#define SPELL(set, constant, text)
#define END(name) \
  }               \
  leat_##name##_t;
#include "ir/word.def"
#undef SET
#undef WORD
#undef SPELL
#undef END

// What an attribute may say: `words` is its entry in an op's row after the key, "fold" or "fold:max|sum".
bool leat_word_find(const char *words, const char *text, int64_t *out_word);
// The text of `word`; NULL: it is not legal there.
const char *leat_word_text(const char *words, int64_t word);
// The legal words, "max|sum", into `buffer`.
const char *leat_word_choices(const char *words, char *buffer, size_t buffer_bytes);

#endif
