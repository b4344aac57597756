// SPDX-License-Identifier: Apache-2.0
// See mutate.h: random numbers, and mutations that know no format.
#include "mutate.h"

#include <stdio.h>
#include <string.h>

uint64_t mutate_random(mutant_t *mutant) {  // splitmix64
  uint64_t z = (mutant->random += UINT64_C(0x9e3779b97f4a7c15));
  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return z ^ (z >> 31);
}

uint64_t mutate_below(mutant_t *mutant, uint64_t limit) { return limit == 0 ? 0 : mutate_random(mutant) % limit; }

uint64_t mutate_boundary(mutant_t *mutant) {
  static const uint64_t extremes[] = {INT8_MAX,  UINT8_MAX,         INT16_MAX, UINT16_MAX,          INT32_MAX,
                                      INT64_MAX, (uint64_t)1 << 63, 64,        (uint64_t)INT32_MIN, 4096};
  switch (mutate_below(mutant, 4)) {
    case 0:
      return mutate_below(mutant, 12);
    case 1:
      return (uint64_t)1 << mutate_below(mutant, 64);
    case 2:
      return extremes[mutate_below(mutant, sizeof extremes / sizeof *extremes)] + mutate_below(mutant, 3) - 1;
    default:
      return UINT64_MAX - mutate_below(mutant, 9);
  }
}

bool mutate_insert(mutant_t *mutant, size_t at, const void *data, size_t bytes) {
  if (bytes > mutant->capacity - mutant->bytes || at > mutant->bytes) return false;
  memmove(mutant->data + at + bytes, mutant->data + at, mutant->bytes - at);
  memcpy(mutant->data + at, data, bytes);
  mutant->bytes += bytes;
  return true;
}

void mutate_remove(mutant_t *mutant, size_t at, size_t bytes) {
  memmove(mutant->data + at, mutant->data + at + bytes, mutant->bytes - at - bytes);
  mutant->bytes -= bytes;
}

// A piece of the file: mostly short.
static size_t choose_piece(mutant_t *mutant, size_t *out_at) {
  *out_at = mutate_below(mutant, mutant->bytes);
  const size_t longest = mutate_below(mutant, 8) == 0 ? 4096 : 24;
  const size_t bytes = 1 + mutate_below(mutant, longest), left = mutant->bytes - *out_at;
  return bytes < left ? bytes : left;
}

static void set_number(mutant_t *mutant) {
  const size_t width = (size_t)1 << mutate_below(mutant, 4);
  if (mutant->bytes < width) return;
  size_t at = mutate_below(mutant, mutant->bytes - width + 1);
  if (mutate_below(mutant, 2) == 0) at = at / width * width;
  uint64_t value = mutate_below(mutant, 3) == 0 ? mutate_random(mutant) : mutate_boundary(mutant);
  if (mutate_below(mutant, 4) == 0) value = __builtin_bswap64(value) >> (64 - 8 * width);
  memcpy(mutant->data + at, &value, width);
}

static void copy_piece(mutant_t *mutant, bool insert) {
  uint8_t piece[4096];
  size_t from;
  const size_t bytes = choose_piece(mutant, &from);
  memcpy(piece, mutant->data + from, bytes);
  const size_t at = mutate_below(mutant, mutant->bytes - bytes + 1);
  if (insert) {
    (void)mutate_insert(mutant, at, piece, bytes);
  } else {
    memcpy(mutant->data + at, piece, bytes);
  }
}

static void add_noise(mutant_t *mutant) {
  uint8_t noise[32];
  const size_t bytes = 1 + mutate_below(mutant, sizeof noise);
  for (size_t i = 0; i < bytes; ++i) noise[i] = (uint8_t)mutate_random(mutant);
  (void)mutate_insert(mutant, mutate_below(mutant, mutant->bytes + 1), noise, bytes);
}

void mutate_bytes(mutant_t *mutant) {
  size_t at;
  if (mutant->bytes == 0) {
    add_noise(mutant);
    return;
  }
  switch (mutate_below(mutant, 10)) {
    case 0:
    case 1:
    case 2:
      set_number(mutant);
      break;
    case 3:
      mutant->data[mutate_below(mutant, mutant->bytes)] = (uint8_t)mutate_random(mutant);
      break;
    case 4:
      copy_piece(mutant, true);
      break;
    case 5:
      copy_piece(mutant, false);
      break;
    case 6: {
      const size_t bytes = choose_piece(mutant, &at);
      mutate_remove(mutant, at, bytes);
      break;
    }
    case 7:
      add_noise(mutant);
      break;
    case 8:
      mutant->bytes = mutate_below(mutant, 4) == 0 ? mutate_below(mutant, mutant->bytes) : mutant->bytes;
      break;
    default:
      mutant->data[mutate_below(mutant, mutant->bytes)] ^= (uint8_t)(1u << mutate_below(mutant, 8));
      break;
  }
}

static bool is_digit(uint8_t c) { return c >= '0' && c <= '9'; }
static bool is_word(uint8_t c) { return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

// The run of characters of `kind` at or behind a random place; 0: none.
static size_t choose_run(mutant_t *mutant, bool (*kind)(uint8_t), size_t *out_at) {
  size_t at = mutate_below(mutant, mutant->bytes), bytes = 0;
  while (at < mutant->bytes && !kind(mutant->data[at])) ++at;
  while (at > 0 && at < mutant->bytes && kind(mutant->data[at - 1])) --at;
  while (at + bytes < mutant->bytes && kind(mutant->data[at + bytes])) ++bytes;
  *out_at = at;
  return bytes;
}

static void replace(mutant_t *mutant, size_t at, size_t bytes, const void *by, size_t by_bytes) {
  mutate_remove(mutant, at, bytes);
  (void)mutate_insert(mutant, at, by, by_bytes);
}

static void change_digits(mutant_t *mutant) {
  char number[32];
  size_t at;
  const size_t bytes = choose_run(mutant, is_digit, &at);
  const bool negative = mutate_below(mutant, 6) == 0;
  const uint64_t value = mutate_below(mutant, 2) == 0 ? mutate_boundary(mutant) : mutate_below(mutant, 20);
  const int length = snprintf(number, sizeof number, "%s%llu", negative ? "-" : "", (unsigned long long)value);
  if (bytes != 0) replace(mutant, at, bytes, number, (size_t)length);
}

// A word takes the place of another of the same file.
static void change_word(mutant_t *mutant) {
  char word[64];
  size_t from, at;
  size_t taken = choose_run(mutant, is_word, &from);
  if (taken > sizeof word) taken = sizeof word;
  memcpy(word, mutant->data + from, taken);
  const size_t bytes = choose_run(mutant, is_word, &at);
  if (taken != 0 && bytes != 0) replace(mutant, at, bytes, word, taken);
}

static void add_mark(mutant_t *mutant) {
  static const char *const marks[] = {",",  "{",  "}",    "[",     "]",        "(",   ")",     "\"", "'",  ":",
                                      "\n", "%",  "none", "1e400", "-1",       "nan", "\\u00", "#",  "\0", "[[[[[[[[",
                                      "\t", "\\", "=",    "@",     "\xff\xfe", "-",   ".",     "!",  "&a", "*a"};
  const char *mark = marks[mutate_below(mutant, sizeof marks / sizeof *marks)];
  const size_t bytes = mark[0] == '\0' ? 1 : strlen(mark);
  (void)mutate_insert(mutant, mutate_below(mutant, mutant->bytes + 1), mark, bytes);
}

void mutate_text(mutant_t *mutant) {
  if (mutant->bytes == 0) {
    add_mark(mutant);
    return;
  }
  switch (mutate_below(mutant, 6)) {
    case 0:
    case 1:
      change_digits(mutant);
      break;
    case 2:
      change_word(mutant);
      break;
    case 3:
      add_mark(mutant);
      break;
    default:
      mutate_bytes(mutant);
      break;
  }
}
