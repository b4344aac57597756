// SPDX-License-Identifier: Apache-2.0
// Records of chips: the built-in ones, their text read and written, mistakes in it.
#include "arch/chip.h"

#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "draws.h"

static leat_status_t read_text(const char *text, leat_chip_t *out_chip) {
  return leat_chip_read(text, strlen(text), "c", out_chip);
}

static void the_chips_that_are_known(void **state) {
  (void)state;
  leat_chip_t sn10, sn20, sn30, tiny, none;
  assert_true(leat_chip_built_in("sn10", &sn10) && leat_chip_built_in("sn20", &sn20));
  assert_true(leat_chip_built_in("sn30", &sn30) && leat_chip_built_in("tiny", &tiny));
  assert_false(leat_chip_built_in("sn40", &none) || leat_chip_built_in("SN10", &none) || leat_chip_built_in("", &none));
  assert_int_equal(sn10.tiles * sn10.pcus, 640);
  assert_int_equal(sn10.tiles * sn10.pmus * sn10.pmu_bytes, 335544320);
  assert_int_equal(sn30.tiles * sn30.pcus, 1280);
  assert_int_equal(sn30.tiles * sn30.pmus * sn30.pmu_bytes, 671088640);
  assert_true(sn10.ddr_bytes == 384e9 && sn20.ddr_bytes == 384e9 && sn30.ddr_bytes == 1.0995e12);
  // 32 x 6 products a cycle, of f32 half as many: the peaks of the vendor at its clock.
  assert_int_equal(leat_chip_lanes(&sn10, 2) * (int64_t)sn10.stages, 192);
  assert_int_equal(leat_chip_lanes(&sn10, 4) * (int64_t)sn10.stages, 96);
  assert_int_equal(leat_chip_lanes(&sn10, 8), 8);
  assert_int_equal(leat_chip_lanes(&sn10, 1), 32);
  assert_true(leat_chip_ddr_rate(&sn10, 1) == 30.8e9 && leat_chip_ddr_rate(&sn10, 4) == 95e9);
  assert_true(leat_chip_ddr_rate(&sn30, 4) == 4 * 30.8e9 && leat_chip_ddr_rate(&sn30, 8) == 150e9);
  for (uint32_t i = 0; i < LEAT_CHIP_FACT_COUNT; ++i) {
    assert_int_equal(sn20.notes[i].confidence, LEAT_CONFIDENCE_ASSUMED);  // nothing of it is public
    assert_true(leat_chip_fact(&sn20, i) == leat_chip_fact(&sn10, i));
    assert_true(sn10.notes[i].source[0] != '\0' && sn10.notes[i].confidence < LEAT_CONFIDENCE_GIVEN);
  }
  assert_int_equal(sn10.notes[LEAT_CHIP_clock].confidence, LEAT_CONFIDENCE_M);
  assert_string_equal(sn10.notes[LEAT_CHIP_clock].source, "DFM");
  assert_int_equal(sn30.notes[LEAT_CHIP_ddr_effective].confidence, LEAT_CONFIDENCE_ASSUMED);
}

static void a_record_is_read_again_from_its_text(void **state) {
  (void)state;
  static const char *const names[] = {"sn10", "sn20", "sn30", "tiny"};
  for (size_t i = 0; i < 4; ++i) {
    leat_chip_t chip, again;
    assert_true(leat_chip_built_in(names[i], &chip));
    leat_text_t text = {0};
    leat_chip_put(&chip, &text);
    assert_ok(read_text(text.data, &again));
    assert_memory_equal(&chip, &again, sizeof chip);
    leat_text_deinit(&text);
  }
}

static void a_record_changes_its_base(void **state) {
  (void)state;
  leat_chip_t chip, sn10;
  assert_true(leat_chip_built_in("sn10", &sn10));
  assert_ok(
      read_text("# mine\n\ntarget: chip\nbase: sn10\nname: my chip # one\nclock: 1.5 GHz [ lab , M ]\n"
                "pmu_bytes: 1 MiB\nlaunch: 5us\nddr_effective: 9e10\nhop_cycles: 3 cycles\n",
                &chip));
  assert_string_equal(chip.name, "my chip");
  assert_true(chip.clock == 1.5e9 && chip.launch == 5e-6 && chip.ddr_effective == 9e10);
  assert_int_equal(chip.pmu_bytes, 1 << 20);
  assert_int_equal(chip.hop_cycles, 3);
  assert_int_equal(chip.pcus, sn10.pcus);
  assert_string_equal(chip.notes[LEAT_CHIP_clock].source, "lab");
  assert_int_equal(chip.notes[LEAT_CHIP_clock].confidence, LEAT_CONFIDENCE_M);
  assert_string_equal(chip.notes[LEAT_CHIP_pmu_bytes].source, "line 7");
  assert_int_equal(chip.notes[LEAT_CHIP_pmu_bytes].confidence, LEAT_CONFIDENCE_GIVEN);
  assert_memory_equal(&chip.notes[LEAT_CHIP_pcus], &sn10.notes[LEAT_CHIP_pcus], sizeof *sn10.notes);
}

#define SN10 "target: chip\nbase: sn10\n"

static void mistakes_are_told_with_their_line(void **state) {
  (void)state;
  static const struct {
    const char *text, *told;
  } bad[] = {
      {"", "c: nothing but blanks and comments; a record of a chip begins with 'target: chip'"},
      {"base: sn10\n", "c:1: a record of a chip begins with 'target: chip'"},
      {"target: native\n", "c:1: target is 'native'; a record of a chip begins with 'target: chip'"},
      {"target: chip\n", "c: 'tiles' is missing; a record without 'base: sn10' or the like has all facts"},
      {"target: chip\ntiles: 4\n", "c: 'tiles_together' is missing"},
      {SN10 "clock 1.25e9\n", "c:3: 'clock 1.25e9' is not 'key: value'"},
      {SN10 "pcu: 100\n", "c:3: a chip has no 'pcu'; docs/chips.md lists what it has"},
      {SN10 "pcus: 100\n\npcus: 100\n", "c:5: 'pcus' is there a second time: the first is line 3"},
      {SN10 "target: chip\n", "c:3: 'target' is there a second time"},
      {SN10 "name: a\nname: b\n", "c:4: 'name' is there a second time"},
      {SN10 "base: sn30\n", "c:3: 'base' is there a second time"},
      {"target: chip\nbase: sn40\n", "c:2: base is 'sn40', it may be sn10, sn20, sn30 or tiny"},
      {"target: chip\npcus: 100\nbase: sn10\n", "c:3: 'base' comes before the facts, which are changes of it"},
      {SN10 "clock: fast\n", "c:3: clock is 'fast', which is no number"},
      {SN10 "clock:\n", "c:3: clock is '', which is no number"},
      {SN10 "clock: nan\n", "c:3: clock is 'nan', which is no number"},
      {SN10 "clock: 1e400\n", "which is no number"},
      {SN10 "pcus: 100.5\n", "c:3: pcus is 100.5 , which is no whole number"},
      {SN10 "pcus: -1\n", "c:3: pcus is -1, it may be from 1 to 16384"},
      {SN10 "clock: 1.25\n", "c:3: clock is 1.25, it may be from 1e+06 to 1e+11 Hz"},
      {SN10 "pcus: 1e30\n", "it may be from 1 to 16384"},
      {SN10 "clock: 1.25 GB/s\n", "c:3: clock is in 'GB/s', which measures bytes/s: it has to be Hz"},
      {SN10 "ddr_effective: 95 GB\n", "c:3: ddr_effective is in 'GB', which measures bytes: it has to be bytes/s"},
      {SN10 "ddr_peak: 95 Gbit/s\n",
       "c:3: ddr_peak is in 'Gbit/s', which is no unit that is known: it has to be bytes/s"},
      {SN10 "pcus: 100 MHz\n", "c:3: pcus is in 'MHz', which measures Hz: it has to be a number without a unit"},
      {SN10 "clock: 1.25 GHz [DFM]\n", "c:3: clock: behind its number may stand '[source, confidence]'"},
      {SN10 "clock: 1.25 GHz [DFM, M\n", "c:3: clock: behind its number may stand '[source, confidence]'"},
      {SN10 "clock: 1.25 GHz [DFM, sure]\n", "c:3: clock has the confidence 'sure', it may be H, M, L, DERIVED"},
      {SN10 "clock: 1.25 GHz [, M]\n", "c:3: clock: source has 1 to 23 characters"},
      {SN10 "clock: 1.25 GHz [a source with a long name, M]\n", "c:3: clock: source has 1 to 23 characters"},
      {SN10 "pcus: 200\n", "c:3: 200 PCUs and 160 PMUs do not fit the 16 x 20 cells of a tile"},
      {SN10 "tiles: 6\n", "c:3: tiles_together is 4, which does not divide the 6 tiles"},
      {SN10 "banks: 12\n", "c:3: 12 banks do not divide the 524288 bytes of a PMU"},
      {SN10 "lanes_bf16: 64\n", "c:3: 64 lanes of 2 bytes do not fit a vector of 64 bytes"},
      {SN10 "lanes_f32: 32\n", "c:3: 32 lanes of 4 bytes do not fit a vector of 64 bytes"},
      {SN10 "ddr_peak: 80 GB/s\nclock: 1 GHz\n", "c:3: ddr_effective is 9.5e+10 bytes/s, more than ddr_peak, 8e+10"},
      {SN10 "ddr_random: 100 GB/s\n", "c:3: ddr_random is 1e+11 bytes/s, more than ddr_effective, 9.5e+10"},
      {SN10 "name:\n", "c:3: name has 1 to 95 characters"},
      {SN10 "name: \xff\xfe\n", "c:3: name is not UTF-8"},
      {SN10 "name: a\x01z\n", "c:3: character 8 is no text"},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; ++i) {
    leat_chip_t chip;
    assert_fails(read_text(bad[i].text, &chip), LEAT_INVALID_ARGUMENT, bad[i].told);
  }
  leat_chip_t chip;
  char *large = calloc(1, LEAT_ARCH_TEXT_MAX + 1);
  assert_fails(leat_chip_read(large, LEAT_ARCH_TEXT_MAX + 1, "c", &chip), LEAT_INVALID_ARGUMENT, "at most 65536 bytes");
  free(large);
  assert_fails(leat_chip_find("sn11", &chip), LEAT_INVALID_ARGUMENT, "'sn11' is no chip: use sn10, sn20, sn30 or tiny");
  assert_fails(leat_chip_find("/nonexistent/my.yaml", &chip), LEAT_NOT_FOUND, "/nonexistent/my.yaml");
}

// Every cut and every changed byte of a record is read or refused; what is read is within the bounds of its rows.
static void broken_records_are_refused(void **state) {
  (void)state;
  leat_chip_t chip, broken;
  assert_true(leat_chip_built_in("sn30", &chip));
  leat_text_t text = {0};
  leat_chip_put(&chip, &text);
  const int count = (int)mutation_count(3000);
  uint32_t seed = 1;
  int refused = 0;
  for (int i = 0; i < count; ++i) {
    seed = seed * 1664525u + 1013904223u;
    const size_t length = i % 4 == 0 ? seed % text.length : text.length;
    char *exact = malloc(length + 1);  // what is read beyond is found by the sanitizers
    memcpy(exact, text.data, length);
    for (int change = 0; change < 2 && length > 0; ++change) {
      seed = seed * 1664525u + 1013904223u;
      exact[(seed >> 8) % length] = (char)(seed >> 3);
    }
    leat_status_t status = leat_chip_read(exact, length, "c", &broken);
    if (status == NULL) {
      assert_true(broken.pcus + broken.pmus <= broken.rows * broken.columns && broken.tiles <= 64);
      assert_true(broken.clock >= 1e6 && broken.ddr_effective <= broken.ddr_peak);
    }
    refused += status != NULL;
    leat_status_free(status);
    free(exact);
  }
  assert_true(refused > count / 2 && refused < count);
  leat_text_deinit(&text);
}

static void files_beside_the_tests_are_read(void **state) {
  (void)state;
  const char *data = getenv("LEAT_TEST_DATA");
  if (data == NULL) skip();
  char path[1024];
  leat_chip_t chip;
  (void)snprintf(path, sizeof path, "%s/../arch/dfmodel.yaml", data);
  assert_ok(leat_chip_find(path, &chip));
  assert_true(chip.ddr_effective == 100e9 && chip.p2p_bytes == 25e9 && chip.ring_passes == 1 && chip.pcu_share == 1);
  assert_true(chip.program_load == 0 && chip.argument_load == 0 && chip.launch == 0);
  (void)snprintf(path, sizeof path, "%s/../arch/half.yaml", data);
  assert_ok(leat_chip_find(path, &chip));
  assert_int_equal(chip.tiles * chip.pcus, 320);
  assert_int_equal(chip.tiles * chip.pmus * chip.pmu_bytes, 671088640);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_chips_that_are_known),   cmocka_unit_test(a_record_is_read_again_from_its_text),
      cmocka_unit_test(a_record_changes_its_base),  cmocka_unit_test(mistakes_are_told_with_their_line),
      cmocka_unit_test(broken_records_are_refused), cmocka_unit_test(files_beside_the_tests_are_read),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
