// SPDX-License-Identifier: Apache-2.0
// Gather and scatter: moves between a small operand and the rows of a table that an index names. Work goes in runs
// along the innermost dim; where the index does not depend on that dim, a run is one row.
#include "kern/isa.h"

// The row of `table` that the index at `offset` names, or -1.
static inline int64_t row_at(const leat_kern_indexed_t *s, const void *index, int64_t offset) {
  int64_t row = s->index_is_64 != 0 ? ((const int64_t *)index)[offset] : ((const int32_t *)index)[offset];
  if (row < 0) row += s->extent;
  row -= s->first;
  return row >= 0 && row < s->count ? row : -1;
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
// Elements of the innermost dim that share an index; the other operand's run lengths follow from it.
static inline int64_t run_length(const leat_kern_indexed_t *s) {
  return s->index[s->rank - 1] == 0 ? s->dims[s->rank - 1] : 1;
}

#define DEFINE_GATHER(suffix, T)                                                                                 \
  static void gather_run_##suffix(const leat_kern_indexed_t *s, const T *from, T *to, int64_t n) {               \
    int64_t from_step = s->table[s->rank - 1], to_step = s->small[s->rank - 1];                                  \
    if (from_step == 1 && to_step == 1) {                                                                        \
      for (int64_t i = 0; i < n; i++) to[i] = from[i];                                                           \
    } else {                                                                                                     \
      for (int64_t i = 0; i < n; i++) to[i * to_step] = from[i * from_step];                                     \
    }                                                                                                            \
  }                                                                                                              \
  void KERN(gather_##suffix)(const leat_kern_indexed_t *s, const T *table, const void *index, T *out) {          \
    int64_t last = s->rank - 1, n = run_length(s);                                                               \
    walk_t w = {0};                                                                                              \
    do {                                                                                                         \
      for (int64_t j = 0; j < s->dims[last]; j += n) {                                                           \
        int64_t row = row_at(s, index, w.index + j * s->index[last]);                                            \
        T *to = out + w.small + j * s->small[last];                                                              \
        if (row >= 0) {                                                                                          \
          gather_run_##suffix(s, table + w.table + j * s->table[last] + row * s->step, to, n);                   \
        } else {                                                                                                 \
          for (int64_t i = 0; i < n; i++) to[i * s->small[last]] = 0;                                            \
        }                                                                                                        \
      }                                                                                                          \
    } while (walk_next(s, &w));                                                                                  \
  }                                                                                                              \
  void KERN(scatter_set_##suffix)(const leat_kern_indexed_t *s, const void *index, const T *updates, T *table) { \
    int64_t last = s->rank - 1, n = run_length(s);                                                               \
    walk_t w = {0};                                                                                              \
    do {                                                                                                         \
      for (int64_t j = 0; j < s->dims[last]; j += n) {                                                           \
        int64_t row = row_at(s, index, w.index + j * s->index[last]);                                            \
        T *to = table + w.table + j * s->table[last] + row * s->step;                                            \
        const T *from = updates + w.small + j * s->small[last];                                                  \
        for (int64_t i = 0; i < n && row >= 0; i++) to[i * s->table[last]] = from[i * s->small[last]];           \
      }                                                                                                          \
    } while (walk_next(s, &w));                                                                                  \
  }

DEFINE_GATHER(b1, uint8_t)
DEFINE_GATHER(b2, uint16_t)
DEFINE_GATHER(b4, uint32_t)
DEFINE_GATHER(b8, uint64_t)

// a: what the table holds, b: the update. A NaN stays.
#define FOLD_MAX(a, b) ((b) > (a) || (b) != (b) ? (b) : (a))
#define FOLD_MIN(a, b) ((b) < (a) || (b) != (b) ? (b) : (a))

// WIDE: unsigned for integers, so that sums and products wrap.
#define DEFINE_SCATTER(T, WIDE, suffix)                                                                          \
  static void scatter_run_##suffix(const leat_kern_indexed_t *s, uint32_t fn, const T *from, T *to, int64_t n) { \
    int64_t a = s->table[s->rank - 1], b = s->small[s->rank - 1];                                                \
    switch (fn) {                                                                                                \
      case LEAT_KERN_SUM:                                                                                        \
        for (int64_t i = 0; i < n; i++) to[i * a] = (T)((WIDE)to[i * a] + (WIDE)from[i * b]);                    \
        break;                                                                                                   \
      case LEAT_KERN_PROD:                                                                                       \
        for (int64_t i = 0; i < n; i++) to[i * a] = (T)((WIDE)to[i * a] * (WIDE)from[i * b]);                    \
        break;                                                                                                   \
      case LEAT_KERN_MAX:                                                                                        \
        for (int64_t i = 0; i < n; i++) to[i * a] = FOLD_MAX(to[i * a], from[i * b]);                            \
        break;                                                                                                   \
      default:                                                                                                   \
        for (int64_t i = 0; i < n; i++) to[i * a] = FOLD_MIN(to[i * a], from[i * b]);                            \
    }                                                                                                            \
  }                                                                                                              \
  void KERN(scatter_##suffix)(const leat_kern_indexed_t *s, uint32_t fn, const void *index, const T *updates,    \
                              T *table) {                                                                        \
    int64_t last = s->rank - 1, n = run_length(s);                                                               \
    walk_t w = {0};                                                                                              \
    do {                                                                                                         \
      for (int64_t j = 0; j < s->dims[last]; j += n) {                                                           \
        int64_t row = row_at(s, index, w.index + j * s->index[last]);                                            \
        if (row < 0) continue;                                                                                   \
        T *to = table + w.table + j * s->table[last] + row * s->step;                                            \
        scatter_run_##suffix(s, fn, updates + w.small + j * s->small[last], to, n);                              \
      }                                                                                                          \
    } while (walk_next(s, &w));                                                                                  \
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
