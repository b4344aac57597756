// SPDX-License-Identifier: Apache-2.0
// Versions: what a newer minor version may bring without being refused, what is refused by name, and that files of
// version 1 are what version 2 says of them.
#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "pef/pef_index.h"
#include "pef/pef_read.h"
#include "pef/pef_segment.h"
#include "pef/pef_write.h"
#include "pef_demo.h"

static const pef_demo_t demo = {.rows = 8, .in = 4, .out = 6, .tile_rows_max = 2};

enum { EXTRA = 8, UNKNOWN = 200, SEGMENTS_MAX = 32, FILE_MAX = 1 << 16 };

// How a file of a newer library differs from the demo.
typedef struct newer_s {
  uint32_t minor;
  uint32_t grown;       // segment whose records have EXTRA bytes more; 0: none
  uint8_t last;         // the last of these bytes in its last record
  bool unknown;         // it has a segment more
  uint32_t flags;       // of that
  uint32_t stage_kind;  // of the first stage, if not 0
  uint32_t unread;      // a segment whose kind is another, which may be ignored; 0: none
} newer_t;

static uint8_t *demo_bytes(size_t *out_bytes) {
  leat_pef_writer_t *writer = leat_pef_writer_create();
  pef_demo_build(writer, &demo);
  uint8_t *data = NULL;
  assert_ok(leat_pef_write_memory(writer, &data, out_bytes));
  leat_pef_writer_destroy(writer);
  return data;
}

// Copies a segment to `*end` of `file`, each record with EXTRA bytes more if it is the one that grows.
static pef_segment_t put_segment(uint8_t *file, size_t *end, const uint8_t *data, pef_segment_t segment,
                                 const newer_t *newer) {
  const uint64_t count = segment.bytes / segment.record_bytes;
  const uint32_t was = segment.record_bytes, bytes = was + (segment.kind == newer->grown ? EXTRA : 0);
  uint8_t *to = file + *end;
  for (uint64_t i = 0; i < count; ++i) memcpy(to + i * bytes, data + segment.offset + i * was, was);
  if (bytes != was) to[count * bytes - 1] = newer->last;
  if (segment.kind == PEF_SEGMENT_STAGES && newer->stage_kind != 0) ((pef_stage_t *)(void *)to)->kind = 100;
  segment.record_bytes = bytes;
  segment.offset = *end;
  segment.bytes = count * bytes;
  segment.hash = leat_pef_hash(to, segment.bytes);
  *end = (*end + segment.bytes + PEF_ALIGN - 1) / PEF_ALIGN * PEF_ALIGN;
  assert_true(*end < FILE_MAX);
  return segment;
}

static leat_status_t open_newer(const newer_t *newer, leat_pef_t **out_pef) {
  size_t bytes = 0, end = 4096;
  uint8_t *data = demo_bytes(&bytes), *file = leat_alloc_zero(1, FILE_MAX);
  pef_header_t header;
  pef_segment_t table[SEGMENTS_MAX];
  memcpy(&header, data, sizeof header);
  for (uint32_t i = 0; i < header.segment_count; ++i) {
    memcpy(&table[i], data + sizeof header + i * sizeof *table, sizeof *table);
    table[i] = put_segment(file, &end, data, table[i], newer);
    if (table[i].kind == newer->unread) table[i].kind = UNKNOWN;
  }
  if (newer->unknown) {
    const pef_segment_t unknown = {.kind = UNKNOWN, .record_bytes = 8, .offset = 64, .bytes = 8, .flags = newer->flags};
    table[header.segment_count++] = put_segment(file, &end, data, unknown, newer);
  }
  header.version_minor = newer->minor;
  header.file_bytes = end;
  header.table_hash = leat_pef_hash(table, header.segment_count * sizeof *table);
  memcpy(file, &header, sizeof header);
  memcpy(file + sizeof header, table, header.segment_count * sizeof *table);
  leat_status_t status = leat_pef_open_memory(file, end, "newer.pef", out_pef);
  leat_free(data);
  leat_free(file);
  return status;
}

static void accepts(const newer_t *newer) {
  leat_pef_t *pef = NULL;
  assert_ok(open_newer(newer, &pef));
  assert_string_equal(pef->strings + pef->symbols[PEF_DEMO_Y].name, "y");
  assert_int_equal(pef->symbol_count, 4);
  assert_int_equal(pef->symbols[PEF_DEMO_W].dims[1], demo.out);
  leat_pef_close(pef);
}

static void refuses(const newer_t *newer, int code, const char *message) {
  leat_pef_t *pef = NULL;
  assert_fails(open_newer(newer, &pef), code, message);
  assert_null(pef);
}

static void records_may_grow(void **state) {
  (void)state;
  leat_pef_t *pef = NULL;
  assert_ok(open_newer(&(newer_t){0}, &pef));
  uint32_t grown = 0;
  for (uint32_t kind = 0; kind < PEF_SEGMENT_END; ++kind) {
    if (pef->where[kind].record_bytes <= 1) continue;  // not in the demo, or of bytes
    ++grown;
    accepts(&(newer_t){.minor = 9, .grown = kind});
    refuses(&(newer_t){.minor = 9, .grown = kind, .last = 1}, LEAT_UNSUPPORTED, "format version 2.9 may have that");
    refuses(&(newer_t){.minor = 0, .grown = kind}, LEAT_CORRUPT, "records should have");
  }
  assert_true(grown >= 8);
  leat_pef_close(pef);
}

static void segments_that_are_not_known_say_whether_they_matter(void **state) {
  (void)state;
  accepts(&(newer_t){.minor = 9, .unknown = true});
  accepts(&(newer_t){.minor = 0, .unknown = true});
  refuses(&(newer_t){.minor = 9, .unknown = true, .flags = PEF_SEGMENT_IS_REQUIRED}, LEAT_UNSUPPORTED,
          "format version 2.9 may have that, this library knows 2.2: update the library");
  refuses(&(newer_t){.minor = 0, .unknown = true, .flags = PEF_SEGMENT_IS_REQUIRED}, LEAT_CORRUPT, "damaged");
}

static void a_file_for_native_has_its_layout(void **state) {
  (void)state;
  refuses(&(newer_t){.unread = PEF_SEGMENT_NATIVE_LAYOUT}, LEAT_CORRUPT,
          "native's layout has 0 places for 1 tile buffers");
}

static void what_a_newer_version_has_is_no_damage(void **state) {
  (void)state;
  refuses(&(newer_t){.minor = 9, .stage_kind = 100}, LEAT_UNSUPPORTED, "stage kind 100 does not exist; format version");
  refuses(&(newer_t){.minor = 0, .stage_kind = 100}, LEAT_CORRUPT,
          "stage kind 100 does not exist; the file is damaged");
}

// The least version that holds what is not 0; records of it have more zeros in memory.
static void a_file_has_the_least_version_that_suffices(void **state) {
  (void)state;
  const pef_segment_row_t row = {
      "made", true, {{PEF_VERSION_MAJOR, 7, 24}, {PEF_VERSION_MAJOR, 3, 16}, {PEF_VERSION_MAJOR, 0, 8}, {1, 0, 8}}};
  uint64_t records[6] = {1, 0, 0, 2, 0, 0}, read[6];
  assert_int_equal(leat_pef_records_since(&row, records, 2), 0);
  records[4] = 1;
  assert_int_equal(leat_pef_records_since(&row, records, 2), 3);
  assert_int_equal(leat_pef_records_since(&row, records, 1), 0);
  records[2] = 1;
  assert_int_equal(leat_pef_records_since(&row, records, 2), 7);
  assert_int_equal(leat_pef_record_bytes(&row, PEF_VERSION_MAJOR, 2), 8);
  assert_int_equal(leat_pef_record_bytes(&row, PEF_VERSION_MAJOR, 3), 16);
  assert_int_equal(leat_pef_record_bytes(&row, PEF_VERSION_MAJOR, 99), 24);
  assert_int_equal(leat_pef_record_bytes(&row, 1, 2), 8);
  memset(read, 0xff, sizeof read);
  uint64_t file[4] = {3, 4, 5, 0};
  assert_int_equal(leat_pef_copy_records(read, 24, file, 16, 2), 2);
  const uint64_t wanted[6] = {3, 4, 0, 5, 0, 0};
  assert_memory_equal(read, wanted, sizeof wanted);
  assert_int_equal(leat_pef_copy_records(read, 8, file, 16, 2), 0);
  file[1] = 0, file[3] = 1;
  assert_int_equal(leat_pef_copy_records(read, 8, file, 16, 2), 1);
}

// --- version 1 -------------------------------------------------------------------------------------------------------

static leat_status_t open_v1(uint32_t minor, leat_pef_t **out_pef) {
  char path[1024];
  uint8_t *data = NULL;
  size_t bytes = 0;
  assert_non_null(getenv("LEAT_TEST_DATA"));
  snprintf(path, sizeof path, "%s/pef/1.1/language_train/program.pef", getenv("LEAT_TEST_DATA"));
  assert_ok(leat_file_read(path, &data, &bytes));
  assert_int_equal(((pef_header_t *)(void *)data)->version_major, 1);
  ((pef_header_t *)(void *)data)->version_minor = minor;
  leat_status_t status = leat_pef_open_memory(data, bytes, "old.pef", out_pef);
  leat_free(data);
  return status;
}

static void version_1_has_what_its_minor_version_had(void **state) {
  (void)state;
  leat_pef_t *pef = NULL;
  assert_fails(open_v1(0, &pef), LEAT_CORRUPT, "parameter 'chain' is 16, format 1.0 does not have it");
  assert_fails(open_v1(3, &pef), LEAT_CORRUPT, "format version 1.3 does not exist");
}

// Written again, a file of version 1 is one of version 2 that says the same.
static void version_1_is_version_2_in_memory(void **state) {
  (void)state;
  leat_pef_t *old = NULL, *pef = NULL;
  uint8_t *data = NULL;
  size_t bytes = 0;
  assert_ok(open_v1(1, &old));
  assert_int_equal(old->version_major, 1);
  assert_ok(leat_pef_encode(old, &data, &bytes));
  assert_ok(leat_pef_open_memory(data, bytes, "again.pef", &pef));
  assert_int_equal(pef->version_major, 2);
#define RECORD(suffix, number, one, table, record, need, ...) \
  assert_int_equal(pef->one##_count, old->one##_count);       \
  assert_true(pef->one##_count == 0 || memcmp(pef->table, old->table, pef->one##_count * sizeof(record)) == 0);
#include "pef/record.def"
  assert_string_equal(pef->metadata, old->metadata);
  assert_int_equal(pef->constant_bytes, old->constant_bytes);
  leat_pef_close(old);
  leat_pef_close(pef);
  leat_free(data);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(records_may_grow),
      cmocka_unit_test(segments_that_are_not_known_say_whether_they_matter),
      cmocka_unit_test(a_file_for_native_has_its_layout),
      cmocka_unit_test(what_a_newer_version_has_is_no_damage),
      cmocka_unit_test(a_file_has_the_least_version_that_suffices),
      cmocka_unit_test(version_1_has_what_its_minor_version_had),
      cmocka_unit_test(version_1_is_version_2_in_memory),
  };
  return cmocka_run_group_tests_name("pef_version", tests, NULL, NULL);
}
