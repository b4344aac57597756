// SPDX-License-Identifier: Apache-2.0
// Loop nests of indexed moves and of scans.
#ifndef LEAT_KERN_INDEX_TYPES_H_
#define LEAT_KERN_INDEX_TYPES_H_

#include <stdint.h>

// Moves between a small operand (the gathered result or the scattered updates), whose dims are walked in row-major
// order, and a table whose dim `extent`, `step` is addressed by an index. Strides in elements, 0 where the table or the
// index lacks the dim. An index below 0 counts from the end; one that is still out of range moves nothing. Of a scatter
// the table may be a part, its rows `first` .. `first + count - 1`: other rows move nothing.
typedef struct leat_kern_indexed_s {
  int64_t rank;  // 1..8
  int64_t dims[8];
  int64_t small[8], table[8], index[8];
  int64_t extent, step;  // of the table's addressed dim
  int64_t first, count;  // its rows that `table` points at
  int32_t index_is_64;   // else int32_t
} leat_kern_indexed_t;

// `lines` scans side by side over `count` elements each. A reverse scan points at the last elements, with negative
// steps.
typedef struct leat_kern_scan_s {
  int64_t count, in_step, out_step;
  int64_t lines, in_line, out_line;
} leat_kern_scan_t;

enum leat_kern_fn {  // ORDER: = pef_fn, which the stages pass on
  LEAT_KERN_SUM = 0,
  LEAT_KERN_PROD = 1,
  LEAT_KERN_MAX = 2,
  LEAT_KERN_MIN = 3,
  LEAT_KERN_SET = 6
};

// What a sort moves: an unsigned key whose order is the order of the values, and where the value came from.
typedef struct leat_kern_sort_item_s {
  uint64_t key;
  int64_t index;
} leat_kern_sort_item_t;

#endif
