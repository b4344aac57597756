// SPDX-License-Identifier: Apache-2.0
// The PEF: what is written is read back, equal content is stored once, equal appends give equal bytes, and the
// refusals that a user meets say what is wrong.
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "check.h"
#include "pef/pef_read.h"
#include "pef/pef_write.h"
#include "pef_demo.h"

static const pef_demo_t plain = {.rows = 64, .in = 24, .out = 40, .tile_rows_max = 16};
static const pef_demo_t packed = {.rows = 64, .in = 24, .out = 40, .tile_rows_max = 16, .n_block = 16};

static uint8_t *demo_bytes(const pef_demo_t *demo, size_t *out_bytes) {
  leat_pef_writer_t *writer = leat_pef_writer_create();
  pef_demo_build(writer, demo);
  uint8_t *data = NULL;
  assert_ok(leat_pef_write_memory(writer, &data, out_bytes));
  leat_pef_writer_destroy(writer);
  return data;
}

static void check_demo(const pef_demo_t *demo, uint32_t calls) {
  size_t bytes = 0;
  uint8_t *data = demo_bytes(demo, &bytes);
  leat_pef_t *pef = NULL;
  assert_ok(leat_pef_open_memory(data, bytes, "demo", &pef));
  assert_int_equal(pef->symbol_count, 4);
  assert_int_equal(pef->call_count, calls);
  assert_string_equal(pef->strings + pef->symbols[PEF_DEMO_Y].name, "y");
  assert_int_equal(pef->symbols[PEF_DEMO_W].dims[1], demo->out);
  assert_string_equal(pef->metadata, "{\"app\":\"demo\"}");
  const pef_body_t *body = &pef->bodies[pef->calls[calls - 1].body];
  assert_int_equal(body->row_count, demo->rows);
  assert_int_equal(leat_pef_output(pef, &pef->stages[body->stage_first + 1]), 2);
  leat_pef_close(pef);
  leat_free(data);
}

static void round_trip(void **state) {
  (void)state;
  check_demo(&plain, 1);
  check_demo(&packed, 2);
}

static void same_appends_same_bytes(void **state) {
  (void)state;
  size_t first_bytes = 0, second_bytes = 0;
  uint8_t *first = demo_bytes(&packed, &first_bytes), *second = demo_bytes(&packed, &second_bytes);
  assert_int_equal(first_bytes, second_bytes);
  assert_memory_equal(first, second, first_bytes);
  leat_free(first);
  leat_free(second);
}

static void equal_content_is_stored_once(void **state) {
  (void)state;
  leat_pef_writer_t *writer = leat_pef_writer_create();
  const float values[20] = {1, 2, 3}, others[20] = {1, 2, 4};
  assert_int_equal(leat_pef_add_constant(writer, values, sizeof values), 0);
  assert_int_equal(leat_pef_add_constant(writer, others, sizeof others), 128);
  assert_int_equal(leat_pef_add_constant(writer, values, sizeof values), 0);
  assert_int_equal(leat_pef_constant_bytes(writer), 256);
  assert_int_equal(leat_pef_add_string(writer, "one"), leat_pef_add_string(writer, "one"));
  assert_int_not_equal(leat_pef_add_string(writer, "one"), leat_pef_add_string(writer, "two"));

  const pef_operand_t operand = {.space = PEF_SPACE_ARGUMENT, .row_dim = PEF_NO_ROW_DIM};
  const pef_instruction_t zero[] = {{.op = PEF_OP_IMMEDIATE}, {.op = PEF_OP_STORE}};
  pef_stage_t stage = {.kind = PEF_STAGE_MAP, .output = PEF_NO_OUTPUT, .operand_count = 1, .instruction_count = 2};
  const leat_pef_body_draft_t draft = {
      .body = {.stage_count = 1, .argument_count = 1, .tile_quantum = 1, .row_count = 1, .tile_rows_max = 1},
      .stages = &stage,
      .operands = &operand,
      .instructions = zero};
  stage.origin = leat_pef_add_string(writer, "first");
  const uint32_t first = leat_pef_add_body(writer, &draft);
  stage.origin = leat_pef_add_string(writer, "second");
  assert_int_equal(leat_pef_add_body(writer, &draft), first);
  stage.output = 0;
  assert_int_not_equal(leat_pef_add_body(writer, &draft), first);
  assert_int_equal(leat_pef_body_count(writer), 2);
  leat_pef_writer_destroy(writer);
}

static void metadata_is_canonical(void **state) {
  (void)state;
  leat_pef_writer_t *writer = leat_pef_writer_create();
  leat_pef_set_metadata(writer, " {\"b\": [1, {\"z\": 0.5, \"a\": null}],\n \"a\": \"\\u00e4\"} ");
  uint8_t *data = NULL;
  size_t bytes = 0;
  assert_ok(leat_pef_write_memory(writer, &data, &bytes));
  leat_pef_t *pef = NULL;
  assert_ok(leat_pef_open_memory(data, bytes, "m", &pef));
  assert_string_equal(pef->metadata, "{\"a\":\"ä\",\"b\":[1,{\"a\":null,\"z\":0.5}]}");
  leat_pef_close(pef);
  leat_free(data);
  leat_pef_set_metadata(writer, "[1]");
  assert_fails(leat_pef_write_memory(writer, &data, &bytes), LEAT_INVALID_ARGUMENT, "not a JSON object");
  leat_pef_writer_destroy(writer);
}

static void files(void **state) {
  (void)state;
  char path[] = "pef_test_XXXXXX";
  close(mkstemp(path));
  leat_pef_writer_t *writer = leat_pef_writer_create();
  pef_demo_build(writer, &packed);
  leat_pef_t *pef = NULL;
  assert_ok(leat_pef_write(writer, path));
  assert_ok(leat_pef_open(path, &pef));
  assert_int_equal((uintptr_t)pef->constants % PEF_ALIGN, 0);
  leat_pef_close(pef);
  assert_int_equal(truncate(path, 200), 0);
  assert_fails(leat_pef_open(path, &pef), LEAT_CORRUPT, "the file has 200; the file is damaged, compile again");
  assert_int_equal(truncate(path, 0), 0);
  assert_fails(leat_pef_open(path, &pef), LEAT_CORRUPT, "not a PEF");
  remove(path);
  assert_fails(leat_pef_open(path, &pef), LEAT_NOT_FOUND, path);
  leat_pef_writer_destroy(writer);
}

static void newer_versions_are_refused(void **state) {
  (void)state;
  size_t bytes = 0;
  uint8_t *data = demo_bytes(&plain, &bytes);
  ((pef_header_t *)data)->version_major = 7;
  leat_pef_t *pef = NULL;
  assert_fails(leat_pef_open_memory(data, bytes, "n", &pef), LEAT_UNSUPPORTED, "format version 7.0");
  assert_null(pef);
  leat_free(data);
}

static void flipped_bits_are_found(void **state) {
  (void)state;
  size_t bytes = 0;
  uint8_t *data = demo_bytes(&plain, &bytes);
  const pef_segment_t *table = (const pef_segment_t *)(data + sizeof(pef_header_t));
  leat_pef_t *pef = NULL;
  data[table[PEF_SEGMENT_OPERANDS - 1].offset + 40] ^= 1;
  assert_fails(leat_pef_open_memory(data, bytes, "f", &pef), LEAT_CORRUPT, "(operands): checksum");
  leat_free(data);
}

static void writer_reports_out_of_memory(void **state) {
  (void)state;
  bool done = false;
  for (uint64_t n = 1; !done; ++n) {
    uint8_t *data = NULL;
    size_t bytes = 0;
    leat_alloc_fail_after(n);
    leat_pef_writer_t *writer = leat_pef_writer_create();
    if (writer == NULL) continue;
    pef_demo_build(writer, &packed);
    leat_status_t status = leat_pef_write_memory(writer, &data, &bytes);
    leat_alloc_fail_after(0);
    done = status == NULL;
    if (!done) assert_int_equal(leat_status_code(status), LEAT_OUT_OF_MEMORY);
    leat_status_free(status);
    leat_free(data);
    leat_pef_writer_destroy(writer);
  }
}

static void reader_reports_out_of_memory(void **state) {
  (void)state;
  size_t bytes = 0;
  uint8_t *data = demo_bytes(&plain, &bytes);
  bool done = false;
  for (uint64_t n = 1; !done; ++n) {
    leat_pef_t *pef = NULL;
    leat_alloc_fail_after(n);
    leat_status_t status = leat_pef_open_memory(data, bytes, "o", &pef);
    done = status == NULL;
    leat_alloc_fail_after(0);
    if (!done) assert_int_equal(leat_status_code(status), LEAT_OUT_OF_MEMORY);
    leat_status_free(status);
    leat_pef_close(pef);
  }
  leat_free(data);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(round_trip),
      cmocka_unit_test(same_appends_same_bytes),
      cmocka_unit_test(equal_content_is_stored_once),
      cmocka_unit_test(metadata_is_canonical),
      cmocka_unit_test(files),
      cmocka_unit_test(newer_versions_are_refused),
      cmocka_unit_test(flipped_bits_are_found),
      cmocka_unit_test(writer_reports_out_of_memory),
      cmocka_unit_test(reader_reports_out_of_memory),
  };
  return cmocka_run_group_tests_name("pef", tests, NULL, NULL);
}
