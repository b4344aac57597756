// SPDX-License-Identifier: Apache-2.0
// Stable sorting of lines. Values become unsigned keys of the same order (NaN greatest, -0 equal to 0), keys are sorted
// digit by digit beside the index they came from; the caller moves the values by these indices. Where only a few of the
// first places are wanted, nothing is kept that comes behind the last of them.
#define VEC_NATIVE

#include "kern/isa.h"
#include "kern/vec.h"

// Puts the item behind `count` sorted ones where it belongs.
static void insert(leat_kern_sort_item_t *items, int64_t count) {
  const leat_kern_sort_item_t item = items[count];
  int64_t j = count;
  for (; j > 0 && item.key < items[j - 1].key; j--) items[j] = items[j - 1];
  items[j] = item;
}

static void insertion(leat_kern_sort_item_t *items, int64_t count) {
  for (int64_t i = 1; i < count; i++) insert(items, i);
}

// --- by digits ------------------------------------------------------------------------------------------------------

enum { BITS = 8, DIGITS = 64 / BITS, VALUES = 1 << BITS, FEW = 64 };

static inline uint32_t digit_of(uint64_t key, int digit) { return (uint32_t)(key >> (digit * BITS)) & (VALUES - 1); }

static void count_digits(const leat_kern_sort_item_t *items, int64_t count, int64_t counts[DIGITS][VALUES]) {
  for (int d = 0; d < DIGITS; d++) {
    for (int v = 0; v < VALUES; v++) counts[d][v] = 0;
  }
  for (int64_t i = 0; i < count; i++) {
#pragma GCC unroll 8
    for (int d = 0; d < DIGITS; d++) counts[d][digit_of(items[i].key, d)]++;
  }
}

// From the least digit to the greatest, each keeping the order of the one before; a digit that all share is left out.
static leat_kern_sort_item_t *by_digits(leat_kern_sort_item_t *items, leat_kern_sort_item_t *spare, int64_t count) {
  int64_t counts[DIGITS][VALUES];
  count_digits(items, count, counts);
  for (int d = 0; d < DIGITS; d++) {
    if (counts[d][digit_of(items[0].key, d)] == count) continue;
    int64_t place = 0;
    for (int v = 0; v < VALUES; v++) {
      const int64_t many = counts[d][v];
      counts[d][v] = place;
      place += many;
    }
    for (int64_t i = 0; i < count; i++) spare[counts[d][digit_of(items[i].key, d)]++] = items[i];
    leat_kern_sort_item_t *swap = items;
    items = spare;
    spare = swap;
  }
  return items;
}

// Sorts `items`; `spare` is as long. Returns which of the two holds the result.
static leat_kern_sort_item_t *sort_items(leat_kern_sort_item_t *items, leat_kern_sort_item_t *spare, int64_t count) {
  if (count > FEW) return by_digits(items, spare, count);
  insertion(items, count);
  return items;
}

// --- lines ----------------------------------------------------------------------------------------------------------

// Items that are gathered before all but the first `places` of them are dropped: where these are few, one more finds
// its place at once, else so many that sorting them pays.
static int64_t room_for(int64_t places) { return places < FEW ? places + 1 : 4 * places; }

// Keys of elements and, by the same text, of vectors: V is K, an unsigned integer as wide as an element, or a vector of
// them. Of floats negative numbers are complemented, positive ones get the sign bit; a NaN is all ones.
#define TOP(K) ((K)((K)1 << (8 * sizeof(K) - 1)))
#define WHERE_TOP(V, K, v) ((V)(0 - (V)((V)(v) >> (8 * sizeof(K) - 1))))  // all ones
#define FLOAT_KEY(V, K, v, infinity)                                                 \
  ((V)(TOP(K) + ((V)((v) & (K)~TOP(K)) ^ WHERE_TOP(V, K, v)) - WHERE_TOP(V, K, v)) | \
   WHERE_TOP(V, K, (infinity) - (V)((v) & (K)~TOP(K))))
#define SIGNED_KEY(V, K, v, unused) ((V)(v) ^ TOP(K))
#define UNSIGNED_KEY(V, K, v, unused) (v)

// Vectors that are looked at together before it is asked whether there is one among them.
enum { SEEK = 4 };

// `flip`: all ones where the line descends.
//   keys   items of elements [from, to)
//   seek   the first element from `from` on whose key is below `bound`; `count`: there is none
//   few    the first `places` of the line, no more than `room` items at a time
typedef uint16_t vu16_t __attribute__((vector_size(VEC_BYTES)));
typedef uint8_t vu8_t __attribute__((vector_size(VEC_BYTES)));
#define DEFINE_SORT(name, K, V, KEY, infinity)                                                                       \
  typedef V V##_of_##name __attribute__((aligned(sizeof(K)), may_alias));                                            \
  static inline K key_##name(K v, K flip) { return (K)(KEY(K, K, v, (K)(infinity)) ^ flip); }                        \
  static void keys_##name(const K *in, int64_t step, int64_t from, int64_t to, K flip, leat_kern_sort_item_t *out) { \
    for (int64_t i = from; i < to; i++) out[i - from] = (leat_kern_sort_item_t){key_##name(in[i * step], flip), i};  \
  }                                                                                                                  \
  static int64_t seek_##name(const K *in, int64_t step, int64_t from, int64_t count, K flip, K bound) {              \
    const int64_t block = sizeof(V) / sizeof(K);                                                                     \
    for (; step == 1 && from + SEEK * block <= count; from += SEEK * block) {                                        \
      vi32_t below = {0};                                                                                            \
      for (int b = 0; b < SEEK; b++) {                                                                               \
        const V v = *(const V##_of_##name *)(in + from + b * block);                                                 \
        below |= (vi32_t)((KEY(V, K, v, (K)(infinity)) ^ flip) < bound);                                             \
      }                                                                                                              \
      if (vi32_any(below)) break;                                                                                    \
    }                                                                                                                \
    for (; step == 1 && from + block <= count; from += block) {                                                      \
      const V v = *(const V##_of_##name *)(in + from);                                                               \
      if (vi32_any((vi32_t)((KEY(V, K, v, (K)(infinity)) ^ flip) < bound))) break;                                   \
    }                                                                                                                \
    while (from < count && key_##name(in[from * step], flip) >= bound) from++;                                       \
    return from;                                                                                                     \
  }                                                                                                                  \
  static leat_kern_sort_item_t *few_##name(const K *in, int64_t step, int64_t count, int64_t places, int64_t room,   \
                                           K flip, leat_kern_sort_item_t *items) {                                   \
    leat_kern_sort_item_t *spare = items + room;                                                                     \
    int64_t held = room, next = room;                                                                                \
    int is_sorted = 0; /* but for the last one */                                                                    \
    keys_##name(in, step, 0, room, flip, items);                                                                     \
    for (;;) {                                                                                                       \
      leat_kern_sort_item_t *sorted = is_sorted ? items : sort_items(items, spare, held);                            \
      if (is_sorted && held == room) insert(items, places);                                                          \
      spare = sorted == items ? spare : items;                                                                       \
      items = sorted;                                                                                                \
      is_sorted = room == places + 1;                                                                                \
      if (next == count) return items;                                                                               \
      const K bound = (K)items[places - 1].key;                                                                      \
      for (held = places; held < room; held++, next++) {                                                             \
        next = seek_##name(in, step, next, count, flip, bound);                                                      \
        if (next == count) break;                                                                                    \
        keys_##name(in, step, next, next + 1, flip, items + held);                                                   \
      }                                                                                                              \
    }                                                                                                                \
  }                                                                                                                  \
  const leat_kern_sort_item_t *KERN(sort_##name)(const K *in, int64_t step, int64_t count, int64_t places,           \
                                                 int descending, leat_kern_sort_item_t *items) {                     \
    const K flip = descending != 0 ? (K) ~(K)0 : 0;                                                                  \
    const int64_t room = room_for(places);                                                                           \
    if (places < 1) return items;                                                                                    \
    if (2 * room <= count) return few_##name(in, step, count, places, room, flip, items);                            \
    keys_##name(in, step, 0, count, flip, items);                                                                    \
    return sort_items(items, items + count, count);                                                                  \
  }
DEFINE_SORT(f32, uint32_t, vu32_t, FLOAT_KEY, (uint32_t)0xff << 23)
DEFINE_SORT(f64, uint64_t, vu64_t, FLOAT_KEY, (uint64_t)0x7ff << 52)
DEFINE_SORT(bf16, uint16_t, vu16_t, FLOAT_KEY, 0xff << 7)
DEFINE_SORT(f16, uint16_t, vu16_t, FLOAT_KEY, 0x1f << 10)
DEFINE_SORT(i8, uint8_t, vu8_t, SIGNED_KEY, 0)
DEFINE_SORT(i16, uint16_t, vu16_t, SIGNED_KEY, 0)
DEFINE_SORT(i32, uint32_t, vu32_t, SIGNED_KEY, 0)
DEFINE_SORT(i64, uint64_t, vu64_t, SIGNED_KEY, 0)
DEFINE_SORT(u8, uint8_t, vu8_t, UNSIGNED_KEY, 0)
