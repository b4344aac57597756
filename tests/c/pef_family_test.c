// SPDX-License-Identifier: Apache-2.0
// Families: a file that says once what repeats says the same program as one in which all is written out, whatever
// repeats in it and however; what a family must not say is refused.
#include <stdio.h>

#include "check.h"
#include "pef/pef_index.h"
#include "pef/pef_read.h"
#include "pef/pef_write.h"

enum { WIDTH = 4, BYTES = WIDTH * 4, SLOT = 64, ADD = 32 };  // ADD: row of ir/scalar.def

// --- a deep program --------------------------------------------------------------------------------------------------
// Layers that each add a weight to what the one before gave; then one section that adds each weight to its bias.

static pef_operand_t operand_of(uint32_t slot) {
  pef_operand_t operand = {.space = PEF_SPACE_ARGUMENT, .dtype = PEF_F32, .rank = 1, .row_dim = PEF_NO_ROW_DIM};
  operand.slot = slot;
  operand.dims[0] = WIDTH;
  operand.strides[0] = 1;
  return operand;
}

static uint32_t add_symbol(leat_pef_writer_t *writer, const char *format, uint32_t number, uint8_t kind) {
  char name[64];
  (void)snprintf(name, sizeof name, format, number);
  const pef_symbol_t symbol = {.name = leat_pef_add_string(writer, name),
                               .kind = kind,
                               .dtype = PEF_F32,
                               .rank = 1,
                               .of = PEF_NONE,
                               .bytes = BYTES,
                               .dims = {WIDTH}};
  return leat_pef_add_symbol(writer, &symbol);
}

// `count` stages, of which number i makes argument 3 i + 2 of 3 i and 3 i + 1.
static uint32_t add_body(leat_pef_writer_t *writer, uint32_t count, const char *origin) {
  static const pef_instruction_t add[] = {{.op = PEF_OP_LOAD, .a = 0},
                                          {.op = PEF_OP_LOAD, .a = 1},
                                          {.op = ADD, .a = 0, .b = 1},
                                          {.op = PEF_OP_STORE, .a = 2, .b = 2}};
  pef_stage_t *stages = leat_alloc_zero(count, sizeof *stages);
  pef_operand_t *operands = leat_alloc_zero(3u * count, sizeof *operands);
  for (uint32_t i = 0; i < count; ++i) {
    char text[64];
    (void)snprintf(text, sizeof text, origin, i);
    for (uint32_t k = 0; k < 3; ++k) operands[3 * i + k] = operand_of(3 * i + k);
    stages[i] = (pef_stage_t){.kind = PEF_STAGE_MAP,
                              .output = PEF_NO_OUTPUT,
                              .operand_first = 3 * i,
                              .operand_count = 3,
                              .instruction_count = 4,
                              .origin = leat_pef_add_string(writer, text)};
  }
  const leat_pef_body_draft_t draft = {.body = {.stage_count = count,
                                                .argument_count = 3 * count,
                                                .tile_quantum = 1,
                                                .row_count = 1,
                                                .tile_rows_max = 1},
                                       .stages = stages,
                                       .operands = operands,
                                       .instructions = add};
  const uint32_t body = leat_pef_add_body(writer, &draft);
  leat_free(stages);
  leat_free(operands);
  return body;
}

static leat_pef_writer_t *build(uint32_t layers) {
  leat_pef_writer_t *writer = leat_pef_writer_create();
  assert_non_null(writer);
  const uint32_t x = add_symbol(writer, "x%u", 0, PEF_SYMBOL_INPUT);
  for (uint32_t i = 0; i < layers; ++i) {
    (void)add_symbol(writer, "model.h.%u.weight", i, PEF_SYMBOL_PARAMETER);
    (void)add_symbol(writer, "model.h.%u.bias", i, PEF_SYMBOL_PARAMETER);
  }
  const uint32_t body = add_body(writer, 1, "model.h.%u add model.py:12");
  for (uint32_t i = 0; i < layers; ++i) {
    char name[64];
    (void)snprintf(name, sizeof name, "model.h.%u .. model.h.%u.out", i, i + 1);
    const pef_argument_t arguments[] = {{PEF_PLACE_ARENA, 0, i * (uint64_t)SLOT, BYTES},
                                        {PEF_PLACE_SYMBOL, x + 1 + 2 * i, 0, BYTES},
                                        {PEF_PLACE_ARENA, 0, (i + 1) * (uint64_t)SLOT, BYTES}};
    const pef_call_t call = {
        .barrier = 1, .body = body, .argument_count = 3, .name = leat_pef_add_string(writer, name), .flops = WIDTH};
    (void)leat_pef_add_call(writer, &call, arguments);
  }
  pef_argument_t *arguments = leat_alloc_zero(3u * layers, sizeof *arguments);
  for (uint32_t i = 0; i < 3 * layers; ++i)
    arguments[i] = (pef_argument_t){PEF_PLACE_SYMBOL, x + 1 + 2 * (i / 3) + (i % 3 != 0), 0, BYTES};
  const pef_call_t update = {.type = PEF_OPT,
                             .barrier = 1,
                             .body = add_body(writer, layers, "model.h.%u update"),
                             .argument_count = 3 * layers,
                             .name = leat_pef_add_string(writer, "update")};
  (void)leat_pef_add_call(writer, &update, arguments);
  leat_free(arguments);
  leat_pef_set_info(writer, &(pef_info_t){.arena_bytes = (layers + 1) * (uint64_t)SLOT,
                                          .peak_bytes = (layers + 1) * (uint64_t)SLOT,
                                          .arch = leat_pef_add_string(writer, "native"),
                                          .compiler = leat_pef_add_string(writer, "test")});
  return writer;
}

// --- equal programs --------------------------------------------------------------------------------------------------

static uint32_t *text_at(const void *record, size_t at) {
  return (uint32_t *)(void *)((uint8_t *)(uintptr_t)record + at);
}

// Records, strings by what they say.
static void assert_equal_records(const leat_pef_t *a, const leat_pef_t *b, uint32_t kind, const void *x, const void *y,
                                 size_t bytes) {
  static const struct {
    uint32_t kind;
    size_t at;
  } texts[] = {
#define TEXT(suffix, record, field) {PEF_SEGMENT_##suffix, offsetof(record, field)},
#include "pef/record.def"
  };
  uint8_t left[512], right[512];
  assert_true(bytes <= sizeof left);
  memcpy(left, x, bytes);
  memcpy(right, y, bytes);
  for (size_t i = 0; i < sizeof texts / sizeof *texts; ++i) {
    if (texts[i].kind != kind) continue;
    uint32_t *p = text_at(left, texts[i].at), *q = text_at(right, texts[i].at);
    assert_string_equal(a->strings + *p, b->strings + *q);
    *p = *q = 0;
  }
  assert_memory_equal(left, right, bytes);
}

static void assert_same_program(const leat_pef_t *a, const leat_pef_t *b) {
#define RECORD(suffix, number, one, table, record, need, ...)                           \
  if ((number) != PEF_SEGMENT_FAMILIES && (number) != PEF_SEGMENT_STEPS) {              \
    assert_int_equal(a->one##_count, b->one##_count);                                   \
    for (uint32_t i = 0; i < a->one##_count; ++i)                                       \
      assert_equal_records(a, b, (number), &a->table[i], &b->table[i], sizeof(record)); \
  }
#include "pef/record.def"
  assert_int_equal(a->string_bytes, b->string_bytes);
  assert_int_equal(a->constant_bytes, b->constant_bytes);
  assert_string_equal(a->metadata, b->metadata);
}

// --- what is written ------------------------------------------------------------------------------------------------

typedef struct made_s {
  uint8_t *data;
  size_t bytes;
} made_t;

static made_t write_folded(uint32_t layers) {
  leat_pef_writer_t *writer = build(layers);
  made_t made = {0};
  assert_ok(leat_pef_write_memory(writer, &made.data, &made.bytes));
  leat_pef_writer_destroy(writer);
  return made;
}

// Through the writer's file, and through the same written out.
static void check_layers(uint32_t layers, size_t *out_bytes) {
  leat_pef_writer_t *writer = build(layers);
  leat_pef_t view, *folded = NULL, *plain = NULL;
  made_t short_one = {0}, long_one = {0}, again = {0};
  leat_pef_view(writer, &view);
  assert_ok(leat_pef_write_memory(writer, &short_one.data, &short_one.bytes));
  assert_ok(leat_pef_open_memory(short_one.data, short_one.bytes, "short.pef", &folded));
  assert_same_program(&view, folded);
  assert_ok(leat_pef_encode(folded, &long_one.data, &long_one.bytes));
  assert_ok(leat_pef_open_memory(long_one.data, long_one.bytes, "long.pef", &plain));
  assert_int_equal(plain->version_minor, 0);
  assert_int_equal(plain->family_count, 0);
  assert_same_program(folded, plain);
  assert_ok(leat_pef_encode_folded(plain, &again.data, &again.bytes));  // the order of strings is there already
  assert_int_equal(again.bytes, short_one.bytes);
  assert_memory_equal(again.data, short_one.data, again.bytes);
  *out_bytes = short_one.bytes;
  leat_pef_close(folded);
  leat_pef_close(plain);
  leat_free(short_one.data);
  leat_free(long_one.data);
  leat_free(again.data);
  leat_pef_writer_destroy(writer);
}

static void a_deep_file_says_a_layer_once(void **state) {
  (void)state;
  size_t twelve, many, thousand;
  check_layers(12, &twelve);
  check_layers(99, &many);
  check_layers(1000, &thousand);  // more blocks than one family has
  assert_true(many < twelve * 13 / 10);
  assert_true(thousand < twelve * 3);
}

static void a_short_file_has_none(void **state) {
  (void)state;
  made_t made = write_folded(2);
  leat_pef_t *pef = NULL;
  assert_ok(leat_pef_open_memory(made.data, made.bytes, "short.pef", &pef));
  assert_int_equal(pef->family_count, 0);
  assert_int_equal(pef->version_minor, 0);
  leat_pef_close(pef);
  leat_free(made.data);
}

static uint64_t next(uint64_t *state) {  // splitmix64
  uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return z ^ (z >> 31);
}

// Stretches of symbols, each with a period and steps of its own: dims that grow, names with two numbers that rise or
// fall, leading zeros, numbers of many digits.
static void add_stretch(leat_pef_writer_t *writer, uint64_t *random, uint32_t stretch, uint32_t *index) {
  static const char *const names[] = {"s%u.a%02u.b%u.%u", "s%u.zero%05u.%u.%u", "s%u.9999999999999999999%u.%u.%u",
                                      "s%u-%u%%%u\xc3\xa4%u"};
  const uint32_t period = 1 + (uint32_t)(next(random) % 6), times = 1 + (uint32_t)(next(random) % 40);
  const bool falls = next(random) % 2 == 0;
  for (uint32_t i = 0; i < period * times; ++i) {
    const uint32_t block = i / period, place = i % period, count = falls ? times - block : block;
    char name[96];
    (void)snprintf(name, sizeof name, names[(stretch + place) % 4], stretch, count, place, block * (place + 1));
    pef_symbol_t symbol = {.name = leat_pef_add_string(writer, name),
                           .kind = next(random) % 200 == 0 ? PEF_SYMBOL_STATE : PEF_SYMBOL_PARAMETER,
                           .dtype = PEF_F32,
                           .rank = 2,
                           .of = PEF_NONE};
    symbol.dims[0] = 1 + count * (int64_t)(place % 3);
    symbol.dims[1] = 2;
    symbol.bytes = (uint64_t)symbol.dims[0] * 8;
    (void)leat_pef_add_symbol(writer, &symbol);
    ++*index;
  }
}

static void whatever_repeats_is_written_out_again(void **state) {
  (void)state;
  uint32_t with_families = 0;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    uint64_t random = seed;
    leat_pef_writer_t *writer = leat_pef_writer_create();
    uint32_t count = 0;
    for (uint32_t stretch = 0; stretch < 12; ++stretch) add_stretch(writer, &random, stretch, &count);
    leat_pef_t view, *pef = NULL;
    made_t made = {0};
    leat_pef_view(writer, &view);
    assert_ok(leat_pef_write_memory(writer, &made.data, &made.bytes));
    assert_ok(leat_pef_open_memory(made.data, made.bytes, "random.pef", &pef));
    assert_int_equal(pef->symbol_count, count);
    assert_same_program(&view, pef);
    with_families += pef->family_count != 0;
    leat_pef_close(pef);
    leat_free(made.data);
    leat_pef_writer_destroy(writer);
  }
  assert_true(with_families > 30);
}

// --- what is refused -------------------------------------------------------------------------------------------------

static pef_segment_t *segment_of(const made_t *made, uint32_t kind) {
  pef_header_t *header = (pef_header_t *)(void *)made->data;
  pef_segment_t *table = (pef_segment_t *)(void *)(made->data + sizeof *header);
  for (uint32_t i = 0; i < header->segment_count; ++i) {
    if (table[i].kind == kind) return &table[i];
  }
  fail_msg("no segment %u", kind);
  return NULL;
}

static void *records_of(const made_t *made, uint32_t kind) { return made->data + segment_of(made, kind)->offset; }

static void mend(const made_t *made) {
  pef_header_t *header = (pef_header_t *)(void *)made->data;
  pef_segment_t *table = (pef_segment_t *)(void *)(made->data + sizeof *header);
  for (uint32_t i = 0; i < header->segment_count; ++i)
    table[i].hash = leat_pef_hash(made->data + table[i].offset, table[i].bytes);
  header->table_hash = leat_pef_hash(table, header->segment_count * sizeof *table);
}

// The first family of a table, and its first step.
static pef_family_t *family_of(const made_t *made, uint32_t kind, pef_step_t **out_step) {
  pef_family_t *family = records_of(made, PEF_SEGMENT_FAMILIES);
  pef_step_t *step = records_of(made, PEF_SEGMENT_STEPS);
  for (; family->kind != kind; ++family) step += family->step_count;
  *out_step = step;
  return family;
}

typedef struct broken_s {
  uint32_t table;  // of the family
  enum { FAMILY, STEP, TEXT_BYTE } what;
  size_t at;  // of the field
  int64_t value;
  const char *message;
} broken_t;

#define OF_FAMILY(table, field, value, message) \
  { PEF_SEGMENT_##table, FAMILY, offsetof(pef_family_t, field), value, message }
#define OF_STEP(table, field, value, message) \
  { PEF_SEGMENT_##table, STEP, offsetof(pef_step_t, field), value, message }
static const broken_t broken[] = {
    OF_FAMILY(STRINGS, kind, 0, "out of order"),
    OF_FAMILY(SYMBOLS, kind, PEF_SEGMENT_STRINGS, "within the one before"),
    OF_FAMILY(OPERANDS, kind, PEF_SEGMENT_CONSTANTS, "segment 9 has none"),
    OF_FAMILY(OPERANDS, kind, PEF_SEGMENT_FAMILIES, "segment 24 has none"),
    OF_FAMILY(OPERANDS, kind, 19, "segment 19 has none"),
    OF_FAMILY(OPERANDS, kind, 0x7fffffff, "has none"),
    OF_FAMILY(OPERANDS, first, 0x7fffffff, "in the file"),
    OF_FAMILY(OPERANDS, count, 0x7fffffff, "in the file"),
    OF_FAMILY(OPERANDS, count, 0, "0 records"),
    OF_FAMILY(OPERANDS, times, 1, "1 times"),
    OF_FAMILY(OPERANDS, times, PEF_MAX_TIMES + 1, "257 times"),
    OF_FAMILY(OPERANDS, step_count, 0x7fffffff, "steps"),
    OF_FAMILY(INSTRUCTIONS, step_count, 1, "steps"),
    OF_FAMILY(OPERANDS, reserved0, 1, "reserved"),
    OF_STEP(OPERANDS, at, 4, "byte 4"),
    OF_STEP(OPERANDS, at, 0x7ffffff8, "in a block of"),
    OF_STEP(OPERANDS, digits, 1, "1 digits"),
    OF_STEP(OPERANDS, step, 0, "does not move"),
    OF_STEP(STRINGS, at, 0x7ffffff8, "in a block of"),
    OF_STEP(STRINGS, at, 0, "no number"),
    OF_STEP(STRINGS, digits, 0, "0 digits"),
    OF_STEP(STRINGS, digits, PEF_MAX_DIGITS + 1, "19 digits"),
    OF_STEP(STRINGS, step, INT64_MAX, "does not keep its"),
    OF_STEP(STRINGS, step, INT64_MIN, "does not keep its"),
    OF_STEP(STRINGS, step, -9, "does not keep its"),
    OF_STEP(STRINGS, step, 0, "does not move"),
};

static void what_no_family_may_say_is_refused(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof broken / sizeof *broken; ++i) {
    const broken_t *b = &broken[i];
    made_t made = write_folded(12);
    pef_step_t *step = NULL;
    pef_family_t *family = family_of(&made, b->table, &step);
    uint8_t *field = (b->what == FAMILY ? (uint8_t *)family : (uint8_t *)step) + b->at;
    memcpy(field, &b->value, b->what == STEP && b->at == offsetof(pef_step_t, step) ? 8 : 4);
    mend(&made);
    leat_pef_t *pef = NULL;
    assert_fails(leat_pef_open_memory(made.data, made.bytes, "broken.pef", &pef), LEAT_CORRUPT, b->message);
    assert_null(pef);
    leat_free(made.data);
  }
}

// A record that a family stands for is found at the bytes of the one that it repeats.
static void a_message_names_the_byte_in_the_file(void **state) {
  (void)state;
  made_t made = write_folded(12);
  leat_pef_t *pef = NULL;
  assert_ok(leat_pef_open_memory(made.data, made.bytes, "deep.pef", &pef));
  pef_step_t *step = NULL;
  const pef_family_t *family = family_of(&made, PEF_SEGMENT_ARGUMENTS, &step);
  const uint64_t offset = segment_of(&made, PEF_SEGMENT_ARGUMENTS)->offset, bytes = sizeof(pef_argument_t);
  const uint32_t last = family->first + family->count * family->times;
  assert_int_equal(leat_pef_byte_of(pef, PEF_SEGMENT_ARGUMENTS, family->first), offset + family->first * bytes);
  assert_int_equal(leat_pef_byte_of(pef, PEF_SEGMENT_ARGUMENTS, last - 1),
                   offset + (family->first + family->count - 1) * bytes);
  assert_int_equal(leat_pef_byte_of(pef, PEF_SEGMENT_ARGUMENTS, last),
                   offset + (family->first + family->count) * bytes);
  leat_pef_close(pef);
  leat_free(made.data);
}

// A family says what tables of the rest must stand up to: a place behind the arena.
static void what_is_written_out_is_checked(void **state) {
  (void)state;
  made_t made = write_folded(12);
  pef_step_t *step = NULL;
  (void)family_of(&made, PEF_SEGMENT_ARGUMENTS, &step);
  step->step = 2 * SLOT;
  mend(&made);
  leat_pef_t *pef = NULL;
  assert_fails(leat_pef_open_memory(made.data, made.bytes, "broken.pef", &pef), LEAT_CORRUPT,
               "reach over the end of its place");
  leat_free(made.data);
}

// A field of a family, of a step or of what they repeat, set to a number near to what it was, or far.
static void mutate(const made_t *made, uint64_t *random) {
  static const uint32_t kinds[] = {PEF_SEGMENT_FAMILIES, PEF_SEGMENT_FAMILIES, PEF_SEGMENT_STEPS,   PEF_SEGMENT_STEPS,
                                   PEF_SEGMENT_STRINGS,  PEF_SEGMENT_CALLS,    PEF_SEGMENT_OPERANDS};
  static const uint32_t far[] = {0, 1, 255, 256, 0x7fffffff, 0x80000000, UINT32_MAX};
  const pef_segment_t *segment = segment_of(made, kinds[next(random) % 7]);
  uint8_t *field = made->data + segment->offset + next(random) % (segment->bytes / 4) * 4;
  uint32_t value;
  memcpy(&value, field, sizeof value);
  value = next(random) % 2 == 0 ? far[next(random) % 7] : value + (uint32_t)(next(random) % 65) - 32;
  memcpy(field, &value, sizeof value);
}

static void mutated_families_are_refused_or_written_out(void **state) {
  (void)state;
  uint64_t random = 7;
  uint32_t opened = 0, refused = 0;
  for (uint32_t i = 0; i < 3000; ++i) {
    made_t made = write_folded(12 + i % 3);
    for (uint64_t changes = 1 + next(&random) % 3; changes > 0; --changes) mutate(&made, &random);
    mend(&made);
    leat_pef_t *pef = NULL;
    leat_status_t status = leat_pef_open_memory(made.data, made.bytes, "mutant.pef", &pef);
    assert_true(status == NULL || leat_status_code(status) == LEAT_CORRUPT);
    if (status == NULL) assert_true(leat_pef_table_bytes(pef) <= PEF_MAX_TIMES * made.bytes);
    opened += status == NULL;
    refused += status != NULL;
    leat_status_free(status);
    leat_pef_close(pef);
    leat_free(made.data);
  }
  assert_true(opened > 100 && refused > 1000);
}

static void memory_that_lacks_is_told(void **state) {
  (void)state;
  made_t made = write_folded(40);
  for (uint64_t n = 1, failed = 1; failed != 0; ++n) {
    leat_pef_t *pef = NULL;
    leat_alloc_fail_after(n);
    leat_status_t status = leat_pef_open_memory(made.data, made.bytes, "deep.pef", &pef);
    leat_alloc_fail_after(0);
    failed = status != NULL;
    assert_true(status == NULL || leat_status_code(status) == LEAT_OUT_OF_MEMORY);
    leat_status_free(status);
    leat_pef_close(pef);
  }
  leat_pef_writer_t *writer = build(40);
  for (uint64_t n = 1, failed = 1; failed != 0; ++n) {
    made_t again = {0};
    leat_alloc_fail_after(n);
    leat_status_t status = leat_pef_write_memory(writer, &again.data, &again.bytes);
    leat_alloc_fail_after(0);
    failed = status != NULL;
    assert_true(status == NULL || leat_status_code(status) == LEAT_OUT_OF_MEMORY);
    leat_status_free(status);
    leat_free(again.data);
  }
  leat_pef_writer_destroy(writer);
  leat_free(made.data);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_deep_file_says_a_layer_once),
      cmocka_unit_test(a_short_file_has_none),
      cmocka_unit_test(whatever_repeats_is_written_out_again),
      cmocka_unit_test(what_no_family_may_say_is_refused),
      cmocka_unit_test(a_message_names_the_byte_in_the_file),
      cmocka_unit_test(what_is_written_out_is_checked),
      cmocka_unit_test(mutated_families_are_refused_or_written_out),
      cmocka_unit_test(memory_that_lacks_is_told),
  };
  return cmocka_run_group_tests_name("pef_family", tests, NULL, NULL);
}
