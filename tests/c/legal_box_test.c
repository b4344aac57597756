// SPDX-License-Identifier: Apache-2.0
// Strided accesses: where they meet, hold and join each other, held against sets of bytes.
#include "pef/legal_box.h"

#include <stdlib.h>

#include "check.h"

enum { SPACE = 4096 };

static uint32_t below(uint32_t limit) { return (uint32_t)rand() % limit; }

static leat_box_t random_box(bool *bytes) {
  leat_box_t box = {.low = 64 + below(64), .run = 1 + below(6), .rank = below(3)};
  int64_t least = box.run;
  for (uint32_t d = box.rank; d-- > 0;) {
    box.extent[d] = 2 + below(3);
    box.stride[d] = least + below(8);
    least = box.stride[d] * box.extent[d];
  }
  box.high = box.low + box.run;
  for (uint32_t d = 0; d < box.rank; ++d) box.high += (box.extent[d] - 1) * box.stride[d];
  memset(bytes, 0, SPACE);
  const int64_t outer = box.rank > 0 ? box.extent[0] : 1, inner = box.rank > 1 ? box.extent[1] : 1;
  for (int64_t i = 0; i < outer; ++i) {
    for (int64_t j = 0; j < inner; ++j) {
      for (int64_t k = 0; k < box.run; ++k) bytes[box.low + i * box.stride[0] + j * box.stride[1] + k] = true;
    }
  }
  return box;
}

static bool meet(const bool *a, const bool *b, int64_t shift) {
  for (int64_t i = 0; i < SPACE; ++i) {
    const int64_t at = i - shift;
    if (a[i] && at >= 0 && at < SPACE && b[at]) return true;
  }
  return false;
}

// Bytes from cell `i` of `a` to the cell that has the same bytes in the first one.
static int64_t moved(const leat_cells_t *a, const uint64_t count[LEAT_CELL_AXES], uint64_t i) {
  int64_t bytes = 0;
  for (uint32_t axis = LEAT_CELL_AXES; axis-- > 0; i /= count[axis])
    bytes += (int64_t)(i % count[axis]) * a->step[axis];
  return bytes;
}

static void cells_meet_where_another_cell_has_a_byte_in_common(void **state) {
  (void)state;
  static bool a_bytes[SPACE], b_bytes[SPACE];
  uint32_t met = 0;
  srand(2);
  for (uint32_t i = 0; i < 5000; ++i) {
    leat_cells_t a = {.cell = random_box(a_bytes)}, b = {.cell = random_box(b_bytes)};
    uint64_t count[LEAT_CELL_AXES] = {1, 1, 1}, cells = 1;
    const uint32_t axes = i % 2 == 0 ? 1 : LEAT_CELL_AXES;  // rows alone, or what else there may be
    for (uint32_t axis = 0; axis < axes; ++axis) {
      count[axis] = 1 + below(axes == 1 ? 5 : 3);
      cells *= count[axis];
      a.step[axis] = (int64_t)below(80) - 20;
      b.step[axis] = below(2) == 0 ? a.step[axis] : (int64_t)below(80);
    }
    bool expected = false;
    for (uint64_t r = 0; r < cells; ++r) {
      for (uint64_t q = 0; q < cells && !expected; ++q)
        expected = r != q && meet(a_bytes, b_bytes, moved(&b, count, q) - moved(&a, count, r));
    }
    assert_int_equal(leat_cells_meet(&a, &b, 0, count), expected);
    met += expected;
  }
  assert_true(met > 500 && met < 4500);
}

static void a_box_holds_and_joins_no_byte_too_many(void **state) {
  (void)state;
  static bool a_bytes[SPACE], b_bytes[SPACE];
  uint32_t joined = 0;
  srand(3);
  for (uint32_t i = 0; i < 20000; ++i) {
    leat_box_t a = random_box(a_bytes), b = random_box(b_bytes);
    if (below(2) == 0) {  // a piece beside another
      b = a;
      b.low += a.run;
      b.high += a.run;
      memmove(b_bytes + a.run, a_bytes, SPACE - (size_t)a.run);
      memset(b_bytes, 0, (size_t)a.run);
    }
    bool within = true;
    for (uint32_t k = 0; k < SPACE; ++k) within &= !b_bytes[k] || a_bytes[k];
    if (leat_box_holds(&a, &b)) assert_true(within);
    if (!leat_box_join(&a, &b)) continue;
    ++joined;
    int64_t expected = 0, bytes = a.run;
    for (uint32_t k = 0; k < SPACE; ++k) expected += a_bytes[k] || b_bytes[k];
    for (uint32_t d = 0; d < a.rank; ++d) bytes *= a.extent[d];
    assert_int_equal(bytes, expected);
  }
  assert_true(joined > 1000);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(cells_meet_where_another_cell_has_a_byte_in_common),
      cmocka_unit_test(a_box_holds_and_joins_no_byte_too_many),
  };
  return cmocka_run_group_tests_name("legal_box", tests, NULL, NULL);
}
