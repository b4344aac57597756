// SPDX-License-Identifier: Apache-2.0
// Hostile files: thousands of random mutations of a file that has every stage kind. Each is refused, or it is valid:
// then an independent walk (wide integers, element by element corners) finds every operand within its place. Half of
// the mutations mend the checksums, so that they reach the validator.
#include <stdlib.h>

#include "check.h"
#include "pef/pef_index.h"
#include "pef/pef_read.h"
#include "pef_zoo.h"

typedef __int128 wide_t;

static uint64_t random_next(uint64_t *state) {  // splitmix64
  uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return z ^ (z >> 31);
}

static uint8_t *sample(size_t *out_bytes) {
  leat_pef_writer_t *writer = leat_pef_writer_create();
  pef_zoo_t zoo[PEF_STAGE_COUNT];
  for (uint32_t kind = 0; kind < PEF_STAGE_COUNT; ++kind) zoo[kind] = pef_zoo_stage(kind);
  pef_zoo_build(writer, zoo, PEF_STAGE_COUNT);
  uint8_t *data = NULL;
  assert_ok(leat_pef_write_memory(writer, &data, out_bytes));
  leat_pef_writer_destroy(writer);
  return data;
}

static void mend_checksums(uint8_t *data, size_t bytes) {
  pef_header_t *header = (pef_header_t *)data;
  pef_segment_t *table = (pef_segment_t *)(header + 1);
  if (header->segment_count > (bytes - sizeof *header) / sizeof *table) return;
  for (uint32_t i = 0; i < header->segment_count; ++i) {
    if (table[i].offset > bytes || table[i].bytes > bytes - table[i].offset) continue;
    table[i].hash = leat_pef_hash(data + table[i].offset, table[i].bytes);
  }
  header->table_hash = leat_pef_hash(table, header->segment_count * sizeof *table);
}

// Replaces 1, 2, 4 or 8 aligned bytes by a random, small or extreme value.
static void mutate_once(uint8_t *data, size_t bytes, uint64_t *state) {
  static const uint64_t picks[] = {0,
                                   1,
                                   2,
                                   3,
                                   4,
                                   8,
                                   63,
                                   64,
                                   255,
                                   256,
                                   4096,
                                   0x7fffffff,
                                   0x80000000,
                                   0xffffffff,
                                   UINT64_C(1) << 40,
                                   INT64_MAX,
                                   UINT64_C(1) << 63,
                                   UINT64_MAX,
                                   UINT64_MAX - 3};
  const size_t width = (size_t)1 << (random_next(state) % 4);
  const size_t at = random_next(state) % (bytes / width) * width;
  uint64_t value = random_next(state);
  if (random_next(state) % 4 != 0) value = picks[value % (sizeof picks / sizeof *picks)];
  memcpy(data + at, &value, width);
}

// --- the independent walk --------------------------------------------------------------------------------------

static bool is_product(const pef_stage_t *stage) {
  return stage->kind == PEF_STAGE_CONTRACT || stage->kind == PEF_STAGE_CONTRACT_SCALED;
}

static wide_t packed_b_last(const pef_stage_t *stage, const pef_operand_t *b) {
  wide_t k_count = 1, n_count = 1, last = -1;
  for (uint32_t i = 0; i < b->rank; ++i) {
    if (stage->params.product.roles[i] == 3) k_count *= b->dims[i];
    if (stage->params.product.roles[i] == 2) n_count = b->dims[i];
  }
  const wide_t block = stage->params.product.n_block;
  for (wide_t first = 0; first < n_count && k_count > 0; first += block) {
    const wide_t width = n_count - first < block ? n_count - first : block;
    const wide_t end = first / block * stage->params.product.n_block_step + (k_count - 1) * width + width - 1;
    if (end > last) last = end;
  }
  return last;
}

static void walk_operand(const pef_stage_t *stage, const pef_body_t *body, const pef_operand_t *operand, bool packed,
                         bool is_output, const wide_t *room) {
  wide_t low = 0, high = 0;
  for (uint32_t i = 0; i < operand->rank; ++i) {
    wide_t extent = operand->dims[i];
    if (i == operand->row_dim) {
      assert_true(extent == (wide_t)body->row_count * operand->row_mult);
      const wide_t tile = (wide_t)operand->row_mult * body->tile_rows_max;
      if (operand->space == PEF_SPACE_SCRATCH && tile < extent) extent = tile;
    }
    const bool summed = (stage->kind == PEF_STAGE_REDUCE && (stage->params.reduce.dims >> i & 1) != 0) ||
                        (is_product(stage) && stage->params.product.roles[i] == 3);
    if (is_output && summed) continue;
    if (extent == 0) return;
    if (packed && (stage->params.product.roles[i] == 2 || stage->params.product.roles[i] == 3)) continue;
    const wide_t span = (extent - 1) * operand->strides[i];
    *(span < 0 ? &low : &high) += span;
  }
  if (packed) high += packed_b_last(stage, operand);
  const wide_t size = (wide_t)leat_pef_dtype_bytes(operand->dtype);
  assert_true((wide_t)operand->offset + low * size >= 0);
  assert_true((wide_t)operand->offset + (high + 1) * size <= *room);
}

// In the highest tile.
static wide_t buffer_bytes(const leat_pef_t *pef, const pef_body_t *body, uint32_t slot) {
  assert_true(slot < body->buffer_count && body->buffer_first + slot < pef->buffer_count);
  const pef_buffer_t *buffer = &pef->buffers[body->buffer_first + slot];
  wide_t bytes = buffer->dtype == PEF_OPAQUE ? 1 : (wide_t)leat_pef_dtype_bytes(buffer->dtype);
  for (uint32_t d = 0; d < buffer->rank; ++d) {
    wide_t extent = pef->dims[buffer->dims + d];
    if (d == buffer->row_dim && body->tile_rows_max < body->row_count)
      extent = extent / (wide_t)body->row_count * (wide_t)body->tile_rows_max;
    bytes *= extent;
  }
  return bytes;
}

static void walk_call(const leat_pef_t *pef, const pef_call_t *call) {
  const pef_body_t *body = &pef->bodies[call->body];
  for (uint32_t s = 0; s < body->stage_count; ++s) {
    const pef_stage_t *stage = &pef->stages[body->stage_first + s];
    for (uint32_t i = 0; i < stage->operand_count; ++i) {
      const pef_operand_t *operand = &pef->operands[stage->operand_first + i];
      if (operand->space == PEF_SPACE_NONE) continue;
      const bool packed = is_product(stage) && i == 1 && stage->params.product.n_block != 0;
      wide_t room = operand->space == PEF_SPACE_SCRATCH ? buffer_bytes(pef, body, operand->slot) : 0;
      if (operand->space == PEF_SPACE_ARGUMENT) {
        const pef_argument_t *argument = &pef->arguments[call->argument_first + operand->slot];
        room = (wide_t)argument->bytes;
        assert_true(argument->kind != PEF_PLACE_CONSTANT || !leat_pef_writes(pef, stage, i));
        assert_int_equal((argument->offset + operand->offset) % leat_pef_dtype_bytes(operand->dtype), 0);
      }
      walk_operand(stage, body, operand, packed, leat_pef_writes(pef, stage, i), &room);
    }
  }
}

static void walk(const leat_pef_t *pef) {
  for (uint32_t i = 0; i < pef->symbol_count; ++i) (void)strlen(pef->strings + pef->symbols[i].name);
  for (uint32_t i = 0; i < pef->call_count; ++i) walk_call(pef, &pef->calls[i]);
}

// --- tests -----------------------------------------------------------------------------------------------------

// Returns how many mutated files were accepted.
static uint32_t mutate_many(uint32_t rounds, bool mend) {
  size_t bytes = 0;
  uint8_t *original = sample(&bytes), *data = leat_alloc(bytes);
  uint64_t state = mend ? 1 : 2;
  uint32_t accepted = 0;
  for (uint32_t round = 0; round < rounds; ++round) {
    memcpy(data, original, bytes);
    for (uint64_t n = 1 + random_next(&state) % 3; n > 0; --n) mutate_once(data, bytes, &state);
    if (mend) mend_checksums(data, bytes);
    const size_t length = random_next(&state) % 16 == 0 ? random_next(&state) % bytes : bytes;
    leat_pef_t *pef = NULL;
    leat_status_t status = leat_pef_open_memory(data, length, "mutated", &pef);
    if (status == NULL) walk(pef);
    accepted += status == NULL;
    const int code = leat_status_code(status);
    assert_true(code == LEAT_OK || code == LEAT_CORRUPT || code == LEAT_UNSUPPORTED);
    leat_pef_close(pef);
    leat_status_free(status);
  }
  leat_free(data);
  leat_free(original);
  return accepted;
}

static void mutations_with_mended_checksums(void **state) {
  (void)state;
  assert_true(mutate_many(20000, true) > 1000);  // harmless fields (costs, names, origins) exist
}

static void mutations_as_they_are(void **state) {
  (void)state;
  (void)mutate_many(5000, false);
}

static void every_truncation_is_refused(void **state) {
  (void)state;
  size_t bytes = 0;
  uint8_t *data = sample(&bytes);
  for (size_t length = 0; length < bytes; length += length < 512 ? 1 : 61) {
    leat_pef_t *pef = NULL;
    leat_status_t status = leat_pef_open_memory(data, length, "cut", &pef);
    assert_int_equal(leat_status_code(status), LEAT_CORRUPT);
    leat_status_free(status);
  }
  leat_free(data);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(mutations_with_mended_checksums),
      cmocka_unit_test(mutations_as_they_are),
      cmocka_unit_test(every_truncation_is_refused),
  };
  return cmocka_run_group_tests_name("pef_mutate", tests, NULL, NULL);
}
