// SPDX-License-Identifier: Apache-2.0
// Tests of src/base.
#include "base/base.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fit.h"
#include "base/loops.h"
#include "check.h"

static void test_status_carries_code_and_message(void **state) {
  (void)state;
  assert_int_equal(leat_status_code(NULL), LEAT_OK);
  assert_string_equal(leat_status_message(NULL), "");
  leat_status_t status = leat_status_make(LEAT_CORRUPT, "byte %d of '%s'", 7, "x.pef");
  status = leat_status_annotate(status, "load %s", "lenet");
  assert_int_equal(leat_status_code(status), LEAT_CORRUPT);
  assert_string_equal(leat_status_message(status), "load lenet: byte 7 of 'x.pef'");
  leat_status_free(status);
  assert_null(leat_status_annotate(NULL, "nothing"));
}

static void test_status_survives_out_of_memory(void **state) {
  (void)state;
  leat_alloc_fail_after(1);
  leat_status_t status = leat_status_make(LEAT_IO, "lost");
  assert_int_equal(leat_status_code(status), LEAT_OUT_OF_MEMORY);
  leat_status_free(status);
  status = leat_status_make(LEAT_IO, "kept");
  leat_alloc_fail_after(1);
  status = leat_status_annotate(status, "context");
  leat_alloc_fail_after(0);
  assert_string_equal(leat_status_message(status), "kept");
  leat_status_free(status);
}

static void test_alloc_aligns_and_checks_overflow(void **state) {
  (void)state;
  for (size_t bytes = 0; bytes < 200; bytes += 13) {
    void *block = leat_alloc(bytes);
    assert_int_equal((uintptr_t)block % 64, 0);
    leat_free(block);
  }
  assert_null(leat_alloc(SIZE_MAX));
  assert_null(leat_alloc_zero(SIZE_MAX / 2, 3));
  leat_alloc_fail_after(2);
  void *first = leat_alloc(1), *second = leat_alloc(1), *third = leat_alloc(1);
  assert_non_null(first);
  assert_null(second);
  assert_non_null(third);
  leat_free(first);
  leat_free(third);
}

static void test_arena_gives_zeroed_aligned_pieces(void **state) {
  (void)state;
  leat_arena_t arena;
  leat_arena_init(&arena);
  for (size_t i = 1; i < 2000; i++) {
    uint8_t *piece = leat_arena_alloc(&arena, i % 97 == 0 ? 100000 : i);
    assert_non_null(piece);
    assert_int_equal((uintptr_t)piece % 16, 0);
    assert_int_equal(piece[0] | piece[i - 1], 0);
    memset(piece, 0xff, i);
  }
  assert_string_equal(leat_arena_strdup(&arena, "waterwheel", 5), "water");
  assert_null(leat_arena_alloc(&arena, SIZE_MAX));
  leat_arena_deinit(&arena);
}

static void test_array_grows(void **state) {
  (void)state;
  LEAT_ARRAY(int) array = {0};
  for (int i = 0; i < 1000; i++) *(int *)leat_array_push(&array) = i;
  for (int i = 0; i < 1000; i++) assert_int_equal(array.data[i], i);
  int *more = leat_array_push_n(&array, 500);
  assert_int_equal(more[0] | more[499], 0);
  assert_int_equal(array.count, 1500);
  uint32_t capacity = array.capacity;
  leat_alloc_fail_after(1);
  assert_null(leat_array_push_n(&array, capacity));
  leat_alloc_fail_after(0);
  assert_int_equal(array.count, 1500);
  leat_array_free(&array);
  assert_null(array.data);
}

static void test_text_escapes_json(void **state) {
  (void)state;
  leat_text_t text = {0};
  leat_text_put_json_string(&text, "a\"b\\c\n\x01é");
  assert_string_equal(text.data, "\"a\\\"b\\\\c\\n\\u0001é\"");
  leat_text_put(&text, "%0500d", 7);
  assert_int_equal(text.length, strlen(text.data));
  leat_text_deinit(&text);
  leat_alloc_fail_after(1);
  leat_text_put(&text, "x");
  leat_text_put(&text, "y");
  assert_true(text.failed);
  leat_text_deinit(&text);
}

static const char *double_text(double value, char *buffer, size_t bytes) {
  leat_text_t text = {0};
  leat_text_put_double(&text, value);
  snprintf(buffer, bytes, "%s", text.data);
  leat_text_deinit(&text);
  return buffer;
}

static void test_doubles_are_short_and_exact(void **state) {
  (void)state;
  static const struct {
    double value;
    const char *text;
  } cases[] = {{0.0, "0.0"},
               {-0.0, "-0.0"},
               {1.0, "1.0"},
               {0.1, "0.1"},
               {0.01f, "0.009999999776482582"},
               {1e30, "1e+30"},
               {5e-324, "5e-324"},
               {INFINITY, "inf"},
               {-INFINITY, "-inf"},
               {NAN, "nan"},
               {1.0 / 3, "0.3333333333333333"},
               {123456789, "123456789.0"}};
  char buffer[64];
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    assert_string_equal(double_text(cases[i].value, buffer, sizeof buffer), cases[i].text);
    const char *end;
    double back = leat_text_read_double(buffer, &end);
    assert_int_equal(*end, 0);
    assert_true(isnan(back) ? isnan(cases[i].value) : back == cases[i].value);
  }
  const char *end, *none = "x";
  assert_true(leat_text_read_double("0x1.8p1,", &end) == 3.0 && *end == ',');
  (void)leat_text_read_double(none, &end);
  assert_ptr_equal(end, none);
}

static void test_files_are_written_whole(void **state) {
  (void)state;
  char folder[] = "/tmp/leat_base_test_XXXXXX", path[64];
  assert_non_null(mkdtemp(folder));
  snprintf(path, sizeof path, "%s/file", folder);
  leat_mapping_t mapping;
  leat_status_t status = leat_file_map(path, &mapping);
  assert_int_equal(leat_status_code(status), LEAT_NOT_FOUND);
  leat_status_free(status);
  assert_null(leat_file_write_atomic(path, "old", 3));
  assert_null(leat_file_write_atomic(path, "newer", 5));
  assert_null(leat_file_map(path, &mapping));
  assert_int_equal(mapping.data_bytes, 5);
  assert_memory_equal(mapping.data, "newer", 5);
  leat_file_unmap(&mapping);
  assert_null(leat_file_write_atomic(path, "", 0));
  assert_null(leat_file_map(path, &mapping));
  assert_int_equal(mapping.data_bytes, 0);
  leat_file_unmap(&mapping);
  status = leat_file_map(folder, &mapping);
  assert_int_equal(leat_status_code(status), LEAT_INVALID_ARGUMENT);
  leat_status_free(status);
  assert_int_equal(unlink(path), 0);
  assert_int_equal(rmdir(folder), 0);
  status = leat_file_write_atomic(path, "x", 1);
  assert_int_equal(leat_status_code(status), LEAT_NOT_FOUND);
  leat_status_free(status);
}

static void test_loops_merge_where_all_operands_step_alike(void **state) {
  (void)state;
  // x[4][3][2][5], contiguous; y repeats along loop 1.
  int64_t extents[] = {4, 3, 2, 5}, strides[2][4] = {{30, 10, 5, 1}, {10, 0, 5, 1}};
  uint32_t places[4];
  leat_loops_t loops = {4, extents, 2, 4, &strides[0][0]};
  leat_loops_merge(&loops, 0, places);
  assert_int_equal(loops.count, 3);  // 4, 3, 2 * 5
  assert_int_equal(extents[2], 10);
  assert_int_equal(strides[0][0] * 1000 + strides[0][1] * 10 + strides[0][2], 30101);
  assert_int_equal(strides[1][0] * 100 + strides[1][1] * 10 + strides[1][2], 1001);
  const uint32_t expected[] = {0, 1, 2, 2};
  assert_memory_equal(places, expected, sizeof expected);
}

static void test_loops_stay_apart_where_asked(void **state) {
  (void)state;
  int64_t extents[] = {4, 3, 2}, strides[] = {6, 2, 1};
  leat_loops_t loops = {.count = 3, .extents = extents, .operands = 1, .strides = strides};
  leat_loops_merge(&loops, 1u << 1, NULL);
  assert_int_equal(loops.count, 2);
  assert_int_equal(extents[0] * 10 + extents[1], 46);
  assert_int_equal(strides[0] * 10 + strides[1], 61);
  leat_loops_merge(&loops, 0, NULL);
  assert_int_equal(loops.count, 1);
  assert_int_equal(extents[0] * 10 + strides[0], 241);
  loops.count = 0;
  leat_loops_merge(&loops, 0, NULL);
  assert_int_equal(loops.count, 0);
}

static void test_loops_are_sorted_by_the_steps_of_an_operand(void **state) {
  (void)state;
  int64_t extents[] = {4, 3, 2}, strides[2][3] = {{6, 2, 1}, {1, -8, 4}};
  uint32_t places[3];
  leat_loops_t loops = {3, extents, 2, 3, &strides[0][0]};
  leat_loops_sort(&loops, 1, 0, places);
  assert_int_equal(extents[0] * 100 + extents[1] * 10 + extents[2], 324);
  const int64_t first[] = {2, 1, 6}, second[] = {-8, 4, 1};
  assert_memory_equal(strides[0], first, sizeof first);
  assert_memory_equal(strides[1], second, sizeof second);
  const uint32_t expected[] = {2, 0, 1};
  assert_memory_equal(places, expected, sizeof expected);
  // The first and the last stay in turn.
  leat_loops_sort(&loops, 0, 1u << 0 | 1u << 2, places);
  assert_int_equal(extents[0] * 100 + extents[1] * 10 + extents[2], 342);
  const uint32_t in_turn[] = {0, 2, 1};
  assert_memory_equal(places, in_turn, sizeof in_turn);
}

static void test_lists_of_words(void **state) {
  (void)state;
  assert_true(leat_text_lists("fold", "fold"));
  assert_true(leat_text_lists("cse,fold", "fold"));
  assert_true(leat_text_lists("fold,cse", "fold"));
  assert_true(leat_text_lists("folding,fold,cse", "fold"));
  assert_false(leat_text_lists("unfold,folding", "fold"));
  assert_false(leat_text_lists("", "fold"));
  assert_false(leat_text_lists(NULL, "fold"));
}

// --- the memory planner ----------------------------------------------------------------------------------------------

static bool together(const leat_fit_block_t *a, const leat_fit_block_t *b) {
  return a->first <= b->last && b->first <= a->last;
}

// First fit in the order that is given, which is that of time: what every plan has to keep up with.
static uint64_t plain_height(const leat_fit_t *fit) {
  uint64_t offsets[64] = {0}, height = 0;
  for (uint32_t i = 0; i < fit->count; ++i) {
    const leat_fit_block_t *a = &fit->data[i];
    for (bool moved = true; moved;) {
      moved = false;
      for (uint32_t j = 0; j < i; ++j) {
        const leat_fit_block_t *b = &fit->data[j];
        if (!together(a, b) || offsets[i] >= offsets[j] + b->bytes || offsets[j] >= offsets[i] + a->bytes) continue;
        offsets[i] = offsets[j] + b->bytes;
        moved = true;
      }
    }
    if (offsets[i] + a->bytes > height) height = offsets[i] + a->bytes;
  }
  return height;
}

static void test_blocks_that_live_together_share_no_byte(void **state) {
  (void)state;
  srand(7);
  uint32_t lower = 0;
  for (uint32_t round = 0; round < 400; ++round) {
    leat_fit_t fit = {0};
    const uint32_t count = 1 + (uint32_t)rand() % 40, forever = (uint32_t)rand() % 3;
    uint64_t height = 0, bottom = 0;
    for (uint32_t i = 0; i < count; ++i) {
      const uint32_t first = i / 2, last = first + (uint32_t)rand() % 9;
      assert_ok(leat_fit_add(&fit, i, first, last, 64 * (1 + (uint64_t)rand() % 20)));
    }
    const uint64_t plain = plain_height(&fit);
    for (uint32_t i = 0; i < forever; ++i) assert_ok(leat_fit_add(&fit, count + i, 5, LEAT_FOREVER, 64 * (i + 1)));
    assert_ok(leat_fit_place(&fit, &height));
    for (uint32_t i = count; i < fit.count; ++i) {
      assert_int_equal(fit.data[i].offset, bottom);
      bottom += fit.data[i].bytes;
    }
    assert_true(height - bottom <= plain);
    lower += height - bottom < plain;
    for (uint32_t i = 0; i < fit.count; ++i) {
      const leat_fit_block_t *a = &fit.data[i];
      assert_int_equal(a->id, i);
      assert_true(a->offset + a->bytes <= height && a->offset % 64 == 0 && (i >= count || a->offset >= bottom));
      for (uint32_t j = 0; j < i; ++j) {
        const leat_fit_block_t *b = &fit.data[j];
        if (together(a, b)) assert_true(a->offset + a->bytes <= b->offset || b->offset + b->bytes <= a->offset);
      }
    }
    leat_array_free(&fit);
  }
  assert_true(lower > 100);
}

static void test_characters_of_utf8(void **state) {
  (void)state;
  static const struct {
    const char *text;
    uint32_t length;  // 0: not UTF-8
  } cases[] = {
      {"\x7f", 1},
      {"\x80", 0},
      {"\xbf", 0},
      {"\xc1\xbf", 0},
      {"\xc2\x80", 2},
      {"\xdf\xbf", 2},
      {"\xdf\x7f", 0},
      {"\xe0\x9f\xbf", 0},
      {"\xe0\xa0\x80", 3},
      {"\xed\x9f\xbf", 3},
      {"\xed\xa0\x80", 0},
      {"\xef\xbf\xbf", 3},
      {"\xe2\x82", 0},
      {"\xf0\x8f\xbf\xbf", 0},
      {"\xf0\x90\x80\x80", 4},
      {"\xf4\x8f\xbf\xbf", 4},
      {"\xf4\x90\x80\x80", 0},
      {"\xf5\x80\x80\x80", 0},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i)
    assert_int_equal(leat_utf8_length(cases[i].text), cases[i].length);
  char text[] = "a\xc3\xa4\x80 b";
  leat_utf8_trim(text);
  assert_string_equal(text, "a\xc3\xa4");
}

// In the order of time the small one lies at the bottom and the large ones above it.
static void test_a_plan_may_be_as_low_as_the_fullest_moment(void **state) {
  (void)state;
  leat_fit_t fit = {0};
  uint64_t height = 0;
  assert_ok(leat_fit_add(&fit, 0, 0, 1, 64));
  assert_ok(leat_fit_add(&fit, 1, 1, 2, 128));
  assert_ok(leat_fit_add(&fit, 2, 2, 3, 256));
  assert_ok(leat_fit_place(&fit, &height));
  assert_int_equal(height, 384);
  assert_int_equal(fit.data[2].offset, 0);
  leat_array_free(&fit);
  assert_ok(leat_fit_place(&fit, &height));
  assert_int_equal(height, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_status_carries_code_and_message),
      cmocka_unit_test(test_status_survives_out_of_memory),
      cmocka_unit_test(test_alloc_aligns_and_checks_overflow),
      cmocka_unit_test(test_arena_gives_zeroed_aligned_pieces),
      cmocka_unit_test(test_array_grows),
      cmocka_unit_test(test_text_escapes_json),
      cmocka_unit_test(test_doubles_are_short_and_exact),
      cmocka_unit_test(test_files_are_written_whole),
      cmocka_unit_test(test_loops_merge_where_all_operands_step_alike),
      cmocka_unit_test(test_loops_stay_apart_where_asked),
      cmocka_unit_test(test_loops_are_sorted_by_the_steps_of_an_operand),
      cmocka_unit_test(test_lists_of_words),
      cmocka_unit_test(test_characters_of_utf8),
      cmocka_unit_test(test_blocks_that_live_together_share_no_byte),
      cmocka_unit_test(test_a_plan_may_be_as_low_as_the_fullest_moment),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
