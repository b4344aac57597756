// SPDX-License-Identifier: Apache-2.0
// What every folder above may use: status construction, allocation, arenas, growing arrays, checked sizes.
// Knows nothing of graphs. Files: status.c, alloc.c, arena.c, array.c, text.c (string builder), file.c; loops.h and
// names.h stand alone.
#ifndef LEAT_BASE_H_
#define LEAT_BASE_H_

#include <assert.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "leat/status.h"

#if defined(__GNUC__)
#define LEAT_MUST_USE __attribute__((warn_unused_result))
#define LEAT_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define LEAT_EXPORT __attribute__((visibility("default")))  // before the definition of a public function
#else
#define LEAT_MUST_USE
#define LEAT_EXPORT
#define LEAT_PRINTF(f, a)
#endif

// --- status -------------------------------------------------------------------------------------------------
// Makes a failed status; never returns NULL (out of memory has a static status of its own).
leat_status_t leat_status_make(int code, const char *format, ...) LEAT_PRINTF(2, 3) LEAT_MUST_USE;
// "out of memory", without needing any.
leat_status_t leat_out_of_memory(void) LEAT_MUST_USE;
// Puts "<text>: " before the message of a failed status; passes success through. Once per module boundary.
leat_status_t leat_status_annotate(leat_status_t status, const char *format, ...) LEAT_PRINTF(2, 3) LEAT_MUST_USE;
#define LEAT_TRY(expr)                   \
  do {                                   \
    leat_status_t status_ = (expr);      \
    if (status_ != NULL) return status_; \
  } while (0)
#define LEAT_FAIL(...) return leat_status_make(__VA_ARGS__)

// --- allocation ---------------------------------------------------------------------------------------------
// All heap memory of the library comes from here, so that a test can make the n-th allocation fail:
// leat_alloc_fail_after(n) fails the n-th following allocation (0: never). Test hook, thread-local.
void *leat_alloc(size_t bytes);                     // uninitialised; NULL when out of memory; 64-byte aligned
void *leat_alloc_zero(size_t count, size_t bytes);  // overflow-checked
void leat_free(void *pointer);                      // of leat_alloc*; NULL is fine
void leat_alloc_fail_after(uint64_t count);
// false when the product or sum does not fit.
bool leat_size_mul(size_t a, size_t b, size_t *out);
bool leat_size_add(size_t a, size_t b, size_t *out);

// --- arena: grows, frees all at once -------------------------------------------------------------------------
typedef struct leat_arena_s {
  struct leat_arena_block_s *head;
  size_t used_bytes;
} leat_arena_t;
void leat_arena_init(leat_arena_t *arena);
void leat_arena_deinit(leat_arena_t *arena);
void *leat_arena_alloc(leat_arena_t *arena, size_t bytes);  // zeroed, 16-byte aligned; NULL when out of memory
char *leat_arena_strdup(leat_arena_t *arena, const char *text, size_t length);

// --- growing arrays of plain records -------------------------------------------------------------------------
// struct { T *data; uint32_t count, capacity; }. leat_array_push makes room for one zeroed element and returns it,
// NULL when out of memory (the array is then as before). leat_array_push_n makes room for n and returns the first.
// Pointers into the array do not survive a push: keep ids. A zeroed array struct is empty.
#define LEAT_ARRAY(T)  \
  struct {             \
    T *data;           \
    uint32_t count;    \
    uint32_t capacity; \
  }
void *leat_array_grow(void **data, uint32_t *count, uint32_t *capacity, uint32_t extra, size_t element_bytes);
#define leat_array_push(array) \
  leat_array_grow((void **)&(array)->data, &(array)->count, &(array)->capacity, 1, sizeof *(array)->data)
#define leat_array_push_n(array, n) \
  leat_array_grow((void **)&(array)->data, &(array)->count, &(array)->capacity, (n), sizeof *(array)->data)
#define leat_array_free(array) (leat_free((array)->data), (array)->data = NULL, (array)->count = (array)->capacity = 0)

// --- text builder --------------------------------------------------------------------------------------------
// A zeroed struct is an empty text.
typedef struct leat_text_s {
  char *data;  // NUL-terminated once anything was written
  size_t length, capacity;
  bool failed;  // sticky: out of memory
} leat_text_t;
void leat_text_deinit(leat_text_t *text);
void leat_text_put(leat_text_t *text, const char *format, ...) LEAT_PRINTF(2, 3);
void leat_text_put_bytes(leat_text_t *text, const char *bytes, size_t length);
void leat_text_put_json_string(leat_text_t *text, const char *string);  // quoted and escaped
// Shortest form that reads back equal, always recognisable as a float (`1.0`, `1e+30`); `inf`, `-inf`, `nan`.
void leat_text_put_double(leat_text_t *text, double value);
// Reads a C99 decimal or hexadecimal float (also `inf`, `nan`) with a point whatever the locale says. *out_end is set
// past the last character read, to `text` if there is none.
double leat_text_read_double(const char *text, const char **out_end);

// Is `word` one of the words of `list`, which commas separate? NULL is the empty list.
bool leat_text_lists(const char *list, const char *word);

// Length of the UTF-8 character at `text` (NUL-terminated), 0 when malformed: overlong forms, surrogates and what is
// beyond U+10FFFF are.
uint32_t leat_utf8_length(const char *text);
// Ends `text` before its first malformed character, such as one that a buffer cut through.
void leat_utf8_trim(char *text);

// --- files ---------------------------------------------------------------------------------------------------
// A whole file, memory-mapped read-only.
typedef struct leat_mapping_s {
  const uint8_t *data;
  size_t data_bytes;
} leat_mapping_t;
leat_status_t leat_file_map(const char *path, leat_mapping_t *out_mapping) LEAT_MUST_USE;
void leat_file_unmap(leat_mapping_t *mapping);
// The bytes that the file has now, in memory of its own (at least one byte, 64-byte aligned): what happens to the file
// afterwards does not matter. Release with leat_free.
leat_status_t leat_file_read(const char *path, uint8_t **out_data, size_t *out_bytes) LEAT_MUST_USE;
// Writes aside (`path` + ".tmp.<pid>.<n>"), syncs file and folder, renames. A failure leaves the old file whole. A link
// is followed; what is not a regular file (a device, a folder) is refused.
leat_status_t leat_file_write_atomic(const char *path, const void *data, size_t data_bytes) LEAT_MUST_USE;
// The same without syncing, for what can be made again: a sync takes longer than a small compile.
leat_status_t leat_file_write_report(const char *path, const void *data, size_t data_bytes) LEAT_MUST_USE;
// A text as a report: `file` of `folder`. LEAT_OUT_OF_MEMORY where the text has failed.
leat_status_t leat_file_write_text(const char *folder, const char *file, const leat_text_t *text) LEAT_MUST_USE;

#endif
