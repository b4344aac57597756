// SPDX-License-Identifier: Apache-2.0
// Gather and scatter: moves between a small operand and the rows of a table that an index names. Work goes in runs
// along the innermost dim; where the index does not depend on that dim, a run is one row.
#include "kern/isa.h"

// The row of `table` that an index names, or -1.
static inline int64_t row_of(const leat_kern_indexed_t *s, int64_t row) {
  if (row < 0) row += s->extent;
  row -= s->first;
  return row >= 0 && row < s->count ? row : -1;
}
static inline int64_t row_at(const leat_kern_indexed_t *s, const void *index, int64_t offset) {
  return row_of(s, s->index_is_64 != 0 ? ((const int64_t *)index)[offset] : ((const int32_t *)index)[offset]);
}

#define DEFINE_NAMES_ANY(T)                                                                         \
  static int names_any_##T(const leat_kern_indexed_t *s, const T *index, int64_t step, int64_t n) { \
    const int64_t extent = s->extent, first = s->first;                                             \
    const uint64_t count = (uint64_t)s->count;                                                      \
    uint64_t any = 0;                                                                               \
    for (int64_t i = 0; i < n; i++) {                                                               \
      const int64_t row = index[i * step];                                                          \
      any |= (uint64_t)((row < 0 ? row + extent : row) - first) < count;                            \
    }                                                                                               \
    return any != 0;                                                                                \
  }
DEFINE_NAMES_ANY(int64_t)
DEFINE_NAMES_ANY(int32_t)

static int names_any(const leat_kern_indexed_t *s, const void *index, int64_t at, int64_t step, int64_t n) {
  if (s->index_is_64 == 0) return names_any_int32_t(s, (const int32_t *)index + at * step, step, n);
  const int64_t *from = (const int64_t *)index + at * step;
  return step == 1 ? names_any_int64_t(s, from, 1, n) : names_any_int64_t(s, from, step, n);
}

int64_t KERN(index_seek)(const leat_kern_indexed_t *s, const void *index, int64_t from) {
  enum { BLOCK = 64 };
  const int64_t step = s->index[0], end = s->dims[0];
  while (end - from >= BLOCK && !names_any(s, index, from, step, BLOCK)) from += BLOCK;
  while (from < end && row_at(s, index, from * step) < 0) from++;
  return from;
}

// Offsets of the current run in the three operands, advanced in row-major order over all dims but the innermost.
typedef struct walk_s {
  int64_t at[8];
  int64_t small, table, index;
} walk_t;
static int walk_next(const leat_kern_indexed_t *s, walk_t *w) {
  for (int64_t d = s->rank - 2; d >= 0; d--) {
    w->small += s->small[d], w->table += s->table[d], w->index += s->index[d];
    if (++w->at[d] < s->dims[d]) return 1;
    w->small -= s->small[d] * s->dims[d], w->table -= s->table[d] * s->dims[d], w->index -= s->index[d] * s->dims[d];
    w->at[d] = 0;
  }
  return 0;
}
// Along the innermost dim all elements share an index: a run is one row. Else each has its own.
static inline int shares_index(const leat_kern_indexed_t *s) { return s->index[s->rank - 1] == 0; }

// Indices that jump about in a short line that is not in the cache would wait for each of its pieces: where they name
// most of them, the next line is fetched while one is read.
enum { LINE = 64 };
static int is_dense(const leat_kern_indexed_t *s, int64_t elements) {
  return s->step == 1 && s->count / elements <= s->dims[s->rank - 1];
}
#define FETCH_NEXT(s, w, from)                                                                       \
  for (int64_t at = 0, d = (s)->rank - 2; d >= 0 && (w).at[d] + 1 < (s)->dims[d] && at < (s)->count; \
       at += LINE / (int64_t)sizeof *(from))                                                         \
    __builtin_prefetch((from) + (s)->table[d] + at);

// Indices of a run go in blocks, which mostly name rows that are there, none of them from the end: signs tell.
enum { RUN_BLOCK = 32 };
#define DEFINE_ALL_NAMED(I)                                                                        \
  static inline int all_named_##I(const leat_kern_indexed_t *s, const I *named) {                  \
    const int64_t first = s->first, last = s->count - 1;                                           \
    int64_t signs = last;                                                                          \
    for (int i = 0; i < RUN_BLOCK; i++) signs |= (named[i] - first) | (last - (named[i] - first)); \
    return signs >= 0;                                                                             \
  }
DEFINE_ALL_NAMED(int64_t)
DEFINE_ALL_NAMED(int32_t)

#define EACH_OF_BLOCK(i) _Pragma("GCC unroll 8") for (int i = 0; i < RUN_BLOCK; i++)

#define DEFINE_GATHER_EACH(suffix, T, I)                                                                       \
  static void gather_each_##suffix##_##I(const leat_kern_indexed_t *s, const T *from, const I *named, T *to) { \
    const int64_t last = s->rank - 1, n = s->dims[last], step = s->index[last];                                \
    const int64_t from_step = s->table[last], to_step = s->small[last], row_step = s->step;                    \
    const int plain = from_step == 0 && row_step == 1;                                                         \
    const T nothing = 0, *row_0 = from - s->first * row_step;                                                  \
    int64_t j = 0;                                                                                             \
    const int64_t blocks = step == 1 && to_step == 1 ? n - RUN_BLOCK : -1;                                     \
    for (; j <= blocks && all_named_##I(s, named + j); j += RUN_BLOCK) {                                       \
      if (plain)                                                                                               \
        EACH_OF_BLOCK(i) to[j + i] = row_0[named[j + i]];                                                      \
      else                                                                                                     \
        EACH_OF_BLOCK(i) to[j + i] = row_0[(j + i) * from_step + named[j + i] * row_step];                     \
    }                                                                                                          \
    for (; j < n; j++) {                                                                                       \
      const int64_t row = row_of(s, named[j * step]);                                                          \
      to[j * to_step] = *(row < 0 ? &nothing : from + j * from_step + row * row_step);                         \
    }                                                                                                          \
  }
#define DEFINE_GATHER(suffix, T)                                                                                \
  static void gather_run_##suffix(const leat_kern_indexed_t *s, const T *from, T *to, int64_t row) {            \
    const int64_t n = s->dims[s->rank - 1], from_step = s->table[s->rank - 1], to_step = s->small[s->rank - 1]; \
    from += row * s->step;                                                                                      \
    if (row < 0) {                                                                                              \
      for (int64_t i = 0; i < n; i++) to[i * to_step] = 0;                                                      \
    } else if (from_step == 1 && to_step == 1) {                                                                \
      for (int64_t i = 0; i < n; i++) to[i] = from[i];                                                          \
    } else {                                                                                                    \
      for (int64_t i = 0; i < n; i++) to[i * to_step] = from[i * from_step];                                    \
    }                                                                                                           \
  }                                                                                                             \
  DEFINE_GATHER_EACH(suffix, T, int64_t)                                                                        \
  DEFINE_GATHER_EACH(suffix, T, int32_t)                                                                        \
  void KERN(gather_##suffix)(const leat_kern_indexed_t *s, const T *table, const void *index, T *out) {         \
    const int whole = shares_index(s), dense = is_dense(s, LINE / (int64_t)sizeof(T));                          \
    walk_t w = {0};                                                                                             \
    do {                                                                                                        \
      const T *from = table + w.table;                                                                          \
      T *to = out + w.small;                                                                                    \
      if (whole) {                                                                                              \
        gather_run_##suffix(s, from, to, row_at(s, index, w.index));                                            \
        continue;                                                                                               \
      }                                                                                                         \
      if (dense) FETCH_NEXT(s, w, from)                                                                         \
      if (s->index_is_64 != 0)                                                                                  \
        gather_each_##suffix##_int64_t(s, from, (const int64_t *)index + w.index, to);                          \
      else                                                                                                      \
        gather_each_##suffix##_int32_t(s, from, (const int32_t *)index + w.index, to);                          \
    } while (walk_next(s, &w));                                                                                 \
  }

// A run of updates with indices of their own: to[row] = FOLD(itself, update).
#define DEFINE_SCATTER_EACH(name, T, WIDE, FOLD, I)                                                              \
  static void name##_##I(const leat_kern_indexed_t *s, const I *named, const T *from, T *to) {                   \
    const int64_t last = s->rank - 1, n = s->dims[last], step = s->index[last], row_step = s->step;              \
    const int64_t from_step = s->small[last], to_step = s->table[last], blocks = step == 1 ? n - RUN_BLOCK : -1; \
    T *row_0 = to - s->first * row_step;                                                                         \
    int64_t j = 0;                                                                                               \
    for (; j <= blocks && all_named_##I(s, named + j); j += RUN_BLOCK) {                                         \
      for (int i = 0; i < RUN_BLOCK; i++) {                                                                      \
        T *one = row_0 + (j + i) * to_step + named[j + i] * row_step;                                            \
        *one = FOLD(T, WIDE, *one, from[(j + i) * from_step]);                                                   \
      }                                                                                                          \
    }                                                                                                            \
    for (; j < n; j++) {                                                                                         \
      const int64_t row = row_of(s, named[j * step]);                                                            \
      T *one = to + j * to_step + row * row_step;                                                                \
      if (row >= 0) *one = FOLD(T, WIDE, *one, from[j * from_step]);                                             \
    }                                                                                                            \
  }
#define DEFINE_SCATTER_RUNS(name, T, WIDE, FOLD)                                                               \
  DEFINE_SCATTER_EACH(name##_each, T, WIDE, FOLD, int64_t)                                                     \
  DEFINE_SCATTER_EACH(name##_each, T, WIDE, FOLD, int32_t)                                                     \
  static void name##_row(const leat_kern_indexed_t *s, const T *from, T *to) {                                 \
    const int64_t last = s->rank - 1, n = s->dims[last], from_step = s->small[last], to_step = s->table[last]; \
    if (to_step == 1 && from_step == 1) {                                                                      \
      for (int64_t i = 0; i < n; i++) to[i] = FOLD(T, WIDE, to[i], from[i]);                                   \
    } else {                                                                                                   \
      for (int64_t i = 0; i < n; i++) to[i * to_step] = FOLD(T, WIDE, to[i * to_step], from[i * from_step]);   \
    }                                                                                                          \
  }                                                                                                            \
  static void name(const leat_kern_indexed_t *s, const void *index, const T *updates, T *table) {              \
    const int whole = shares_index(s);                                                                         \
    walk_t w = {0};                                                                                            \
    do {                                                                                                       \
      if (whole) {                                                                                             \
        const int64_t row = row_at(s, index, w.index);                                                         \
        if (row >= 0) name##_row(s, updates + w.small, table + w.table + row * s->step);                       \
      } else if (s->index_is_64 != 0) {                                                                        \
        name##_each_int64_t(s, (const int64_t *)index + w.index, updates + w.small, table + w.table);          \
      } else {                                                                                                 \
        name##_each_int32_t(s, (const int32_t *)index + w.index, updates + w.small, table + w.table);          \
      }                                                                                                        \
    } while (walk_next(s, &w));                                                                                \
  }

// a: what the table holds, b: the update. A NaN stays.
// WIDE: unsigned for integers, so that sums and products wrap. Of each function FOLD(a, b).
#define FOLD_SET(T, WIDE, a, b) (b)
#define FOLD_SUM(T, WIDE, a, b) ((T)((WIDE)(a) + (WIDE)(b)))
#define FOLD_PROD(T, WIDE, a, b) ((T)((WIDE)(a) * (WIDE)(b)))
#define FOLD_MAX(T, WIDE, a, b) ((b) > (a) || (b) != (b) ? (b) : (a))
#define FOLD_MIN(T, WIDE, a, b) ((b) < (a) || (b) != (b) ? (b) : (a))

#define DEFINE_SCATTER_SET(suffix, T)                                                                            \
  DEFINE_SCATTER_RUNS(set_##suffix, T, T, FOLD_SET)                                                              \
  void KERN(scatter_set_##suffix)(const leat_kern_indexed_t *s, const void *index, const T *updates, T *table) { \
    set_##suffix(s, index, updates, table);                                                                      \
  }

DEFINE_GATHER(b1, uint8_t)
DEFINE_GATHER(b2, uint16_t)
DEFINE_GATHER(b4, uint32_t)
DEFINE_GATHER(b8, uint64_t)
DEFINE_SCATTER_SET(b1, uint8_t)
DEFINE_SCATTER_SET(b2, uint16_t)
DEFINE_SCATTER_SET(b4, uint32_t)
DEFINE_SCATTER_SET(b8, uint64_t)

#define DEFINE_SCATTER(T, WIDE, suffix)                                                                       \
  DEFINE_SCATTER_RUNS(sum_##suffix, T, WIDE, FOLD_SUM)                                                        \
  DEFINE_SCATTER_RUNS(prod_##suffix, T, WIDE, FOLD_PROD)                                                      \
  DEFINE_SCATTER_RUNS(max_##suffix, T, WIDE, FOLD_MAX)                                                        \
  DEFINE_SCATTER_RUNS(min_##suffix, T, WIDE, FOLD_MIN)                                                        \
  void KERN(scatter_##suffix)(const leat_kern_indexed_t *s, uint32_t fn, const void *index, const T *updates, \
                              T *table) {                                                                     \
    if (fn == LEAT_KERN_SUM) sum_##suffix(s, index, updates, table);                                          \
    if (fn == LEAT_KERN_PROD) prod_##suffix(s, index, updates, table);                                        \
    if (fn == LEAT_KERN_MAX) max_##suffix(s, index, updates, table);                                          \
    if (fn == LEAT_KERN_MIN) min_##suffix(s, index, updates, table);                                          \
  }

DEFINE_SCATTER(float, float, f32)
DEFINE_SCATTER(double, double, f64)
DEFINE_SCATTER(int8_t, uint32_t, i8)
DEFINE_SCATTER(uint8_t, uint32_t, u8)
DEFINE_SCATTER(int16_t, uint32_t, i16)
DEFINE_SCATTER(int32_t, uint32_t, i32)
DEFINE_SCATTER(int64_t, uint64_t, i64)

void KERN(scatter_bool)(const leat_kern_indexed_t *s, uint32_t fn, const void *index, const uint8_t *updates,
                        uint8_t *table) {
  const uint32_t either = fn == LEAT_KERN_SUM ? LEAT_KERN_MAX : fn;  // the sum of two truths is their or
  KERN(scatter_u8)(s, either, index, updates, table);
}
