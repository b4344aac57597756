// SPDX-License-Identifier: Apache-2.0
// Records of machines: their text read and written, hostile text, what work costs.
#include "arch/arch.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "check.h"

static leat_status_t read_text(const char *text, leat_arch_t *out_arch) {
  return leat_arch_read(text, strlen(text), "m", out_arch);
}

static void a_record_is_read_again_from_its_text(void **state) {
  (void)state;
  for (int comments = 0; comments < 2; ++comments) {
    leat_arch_t arch, again;
    leat_arch_init(&arch, "native", "two cores, \"quoted\"");
    arch.built_in = false;
    arch.level = LEAT_ARCH_AVX512;
    arch.f32_avx512 = 123456789012.345;
    arch.barrier_seconds = 3.3e-7;
    arch.l2_bytes = 1234567;
    arch.scratch_bytes = 4096;
    leat_text_t text = {0};
    leat_arch_put(&arch, comments != 0, &text);
    assert_ok(read_text(text.data, &again));
    assert_memory_equal(&arch, &again, sizeof arch);
    leat_text_deinit(&text);
  }
}

static void what_a_record_leaves_out_is_initial(void **state) {
  (void)state;
  leat_arch_t arch, initial;
  leat_arch_init(&initial, "native", "x");
  assert_ok(
      read_text("# a comment\r\n\n  \n\ttarget\t : native\t# two \t\nname: a # b\n l2_bytes : 8192 \r\n ", &arch));
  assert_string_equal(arch.target, "native");
  assert_string_equal(arch.name, "a");
  assert_false(arch.built_in);
  assert_int_equal(arch.l2_bytes, 8192);
  assert_int_equal(arch.l1_bytes, initial.l1_bytes);
  assert_true(arch.f32_avx2 == initial.f32_avx2);
  assert_int_equal(arch.level, LEAT_ARCH_AVX2);
}

static void refusals_say_the_line(void **state) {
  (void)state;
  static const struct {
    const char *text, *told;
  } bad[] = {
      {"", "m: nothing but blanks and comments; a record of a machine begins with 'target: native'"},
      {" \t\r\n# nothing\n\n", "m: nothing but blanks and comments; a record of a machine begins with"},
      {"l1_bytes: 32768\n", "m:1: a record of a machine begins with 'target: native'"},
      {"target: native\n\nl1_bytes 32768\n", "m:3: 'l1_bytes 32768' is not 'key: value'"},
      {"target: native\nl4_bytes: 32768\n", "m:2: a machine has no 'l4_bytes'"},
      {"target: native\nl1_bytes: 32768\nl1_bytes: 32768\n", "m:3: 'l1_bytes' is there a second time"},
      {"target: native\ntarget: native\n", "m:2: 'target' is there a second time"},
      {"target: native\nl1_bytes: big\n", "m:2: l1_bytes is 'big', which is no whole number"},
      {"target: native\nl1_bytes: 4096.5\n", "no whole number"},
      {"target: native\nl1_bytes: -4096\n", "no whole number"},
      {"target: native\nl1_bytes: 0x1000\n", "no whole number"},
      {"target: native\nl1_bytes:\n", "l1_bytes is ''"},
      {"target: native\nl1_bytes: 18446744073709551616\n", "m:2: l1_bytes is 1.84467e+19, it may be from"},
      {"target: native\nread_bytes: nan\n", "m:2: read_bytes is 'nan', which is no number"},
      {"target: native\nread_bytes: inf\n", "which is no number"},
      {"target: native\nread_bytes: 0\n", "m:2: read_bytes is 0, it may be from 1000"},
      {"target: native\nread_bytes: 1e9 bytes\n", "which is no number"},
      {"target: native\nefficiency: 1.5\n", "it may be from 0.001 to 1"},
      {"target: native\nlevel: avx1024\n", "m:2: level is 'avx1024', it may be portable, avx2 or avx512"},
      {"target: native\nname:\n", "m:2: name has 1 to 95 characters"},
      {"target: native\nname: \xff\xfe\n", "m:2: name is not UTF-8"},
      {"target: native\nname:# a\n", "m:2: name has a '#', which begins comments"},
      {"target: a_target_with_a_long_name\n", "m:1: target has 1 to 15 characters"},
      {"target: native\nname: a\x01z\n", "m:2: character 8 is no text"},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; ++i) {
    leat_arch_t arch;
    assert_fails(read_text(bad[i].text, &arch), LEAT_INVALID_ARGUMENT, bad[i].told);
  }
  leat_arch_t arch;
  assert_fails(leat_arch_read("target: native\nname: a\0b\n", 25, "m", &arch), LEAT_INVALID_ARGUMENT, "m:2: ");
  char *large = calloc(1, LEAT_ARCH_TEXT_MAX + 1);
  assert_fails(leat_arch_read(large, LEAT_ARCH_TEXT_MAX + 1, "m", &arch), LEAT_INVALID_ARGUMENT, "at most 65536 bytes");
  free(large);
  assert_fails(leat_arch_read_file("/nonexistent/m", &arch), LEAT_NOT_FOUND, "/nonexistent/m");
}

// Every cut and every changed byte of a record is read or refused; what is read is within the bounds of its rows.
static void broken_records_are_refused(void **state) {
  (void)state;
  leat_arch_t arch, broken;
  leat_arch_init(&arch, "native", "a machine");
  arch.built_in = false;
  leat_text_t text = {0};
  leat_arch_put(&arch, true, &text);
  char *bytes = malloc(text.length);
  uint32_t seed = 1, refused = 0;
  for (int i = 0; i < 20000; ++i) {
    memcpy(bytes, text.data, text.length);
    size_t length = text.length;
    for (int change = 0; change < 3; ++change) {
      seed = seed * 1664525u + 1013904223u;
      bytes[(seed >> 8) % length] = (char)(seed >> 3);
    }
    if (i % 2 == 0) length = seed % length;
    char *exact = malloc(length + 1);  // what is read beyond is found by the sanitizers
    memcpy(exact, bytes, length);
    leat_status_t status = leat_arch_read(exact, length, "m", &broken);
    if (status == NULL) {
      assert_true(broken.l1_bytes >= 1024 && broken.l1_bytes <= LEAT_ARCH_BYTES_MAX);
      assert_true(broken.read_bytes >= 1e3 && broken.efficiency <= 1 && broken.level < LEAT_ARCH_LEVEL_COUNT);
    }
    refused += status != NULL;
    leat_status_free(status);
    free(exact);
  }
  assert_true(refused > 1000 && refused < 20000);
  free(bytes);
  leat_text_deinit(&text);
}

static void the_short_forms_are_records(void **state) {
  (void)state;
  leat_arch_t arch;
  assert_ok(leat_arch_native("native:32768,1048576,16777216", &arch));
  assert_int_equal(arch.l2_bytes, 1048576);
  assert_int_equal(leat_arch_scratch(&arch), 16777216);
  leat_text_t text = {0};
  leat_arch_put(&arch, false, &text);
  assert_string_equal(text.data, "native:32768,1048576,16777216");
  leat_text_deinit(&text);
  assert_ok(leat_arch_native("native", &arch));
  assert_true(leat_arch_scratch(&arch) == UINT64_MAX);
  static const char *const bad[] = {"native:", "native:1,2,3", "native:32768,1048576", "native:32768,1048576,1e9",
                                    "native:32768,1048576,16777216,1"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; ++i)
    assert_fails(leat_arch_native(bad[i], &arch), LEAT_INVALID_ARGUMENT, "native:<l1>,<l2>,<l3>");
}

static void a_pef_tells_its_record(void **state) {
  (void)state;
  leat_arch_t arch, told;
  leat_arch_of_pef("native:32768,65536,16777216", &told);
  assert_int_equal(told.l2_bytes, 65536);
  leat_arch_init(&arch, "toy", "a toy");
  arch.built_in = false;
  arch.units = 3;
  leat_text_t text = {0};
  leat_arch_put(&arch, false, &text);
  leat_arch_of_pef(text.data, &told);
  assert_memory_equal(&arch, &told, sizeof arch);
  leat_text_deinit(&text);
  static const char *const others[] = {"native", "", "what else", "target: native\nl1_bytes: no\n"};
  for (size_t i = 0; i < sizeof others / sizeof *others; ++i) {
    leat_arch_of_pef(others[i], &told);
    assert_true(told.built_in);
    assert_string_equal(told.name, "native");
  }
}

// The initial record counts as the compiler and the engine did before there was one.
static void work_costs_what_the_record_says(void **state) {
  (void)state;
  leat_arch_t arch;
  leat_arch_init(&arch, "native", "x");
  assert_true(leat_arch_seconds(&arch, LEAT_ARCH_AVX2, 20e9, 0) == 1);
  assert_true(leat_arch_seconds(&arch, LEAT_ARCH_AVX512, 40e9, 10e9) == 2);
  bool memory_bound;
  const leat_arch_roofline_t f32 = {LEAT_ARCH_AVX2, LEAT_ARCH_F32, 1}, f64 = {LEAT_ARCH_AVX2, LEAT_ARCH_F64, 2};
  assert_true(leat_arch_roofline(&arch, f32, 100e9, 1e9, &memory_bound) == 1);
  assert_false(memory_bound);
  assert_true(leat_arch_roofline(&arch, f32, 1e9, 20e9, &memory_bound) == 2);
  assert_true(memory_bound);
  assert_true(leat_arch_roofline(&arch, f64, 100e9, 0, &memory_bound) == 1);
  assert_true(leat_arch_read_rate(&arch, 2) == 20e9 && leat_arch_read_rate(&arch, 64) == 40e9);
  arch.read_bytes_all = 1;  // less than one core: the others add nothing
  assert_true(leat_arch_read_rate(&arch, 64) == 10e9);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_record_is_read_again_from_its_text),
      cmocka_unit_test(what_a_record_leaves_out_is_initial),
      cmocka_unit_test(refusals_say_the_line),
      cmocka_unit_test(broken_records_are_refused),
      cmocka_unit_test(the_short_forms_are_records),
      cmocka_unit_test(a_pef_tells_its_record),
      cmocka_unit_test(work_costs_what_the_record_says),
  };
  return cmocka_run_group_tests_name("arch", tests, NULL, NULL);
}
