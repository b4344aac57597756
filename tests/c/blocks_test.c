// SPDX-License-Identifier: Apache-2.0
// Symbols in blocks: where each element lies, in whole and piece by piece, and which records are refused.
#include "run/blocks.h"

#include "check.h"
#include "mutate.h"
#include "pef_zoo.h"

enum { ELEMENTS_MAX = 4096 };

// Where pef_format.h says that an element lies.
static size_t place_of(const pef_symbol_t *symbol, const pef_block_t *block, const int64_t *index) {
  int64_t around = 0, inside = 0, others = 1;
  for (uint32_t d = 0; d < block->outer; d++) around = around * symbol->dims[d] + index[d];
  for (uint32_t d = block->outer; d < symbol->rank; d++) {
    if (d == block->dim) continue;
    inside = inside * symbol->dims[d] + index[d];
    others *= symbol->dims[d];
  }
  const int64_t extent = symbol->dims[block->dim], size = (int64_t)block->block, at = index[block->dim];
  const int64_t first = at / size * size, width = extent - first < size ? extent - first : size;
  return (size_t)((around * extent + first) * others + inside * width + at - first);
}

static void check_symbol(const pef_symbol_t *symbol, const pef_block_t *block, size_t count, mutant_t *random) {
  const leat_pef_t pef = {.symbols = symbol, .symbol_count = 1, .blocks = block, .block_count = 1};
  uint16_t values[ELEMENTS_MAX], memory[ELEMENTS_MAX], found[ELEMENTS_MAX];
  for (size_t i = 0; i < count; i++) values[i] = (uint16_t)i, memory[i] = 0xffff;
  for (size_t done = 0, n; done < count; done += n) {
    n = 1 + (size_t)mutate_below(random, count - done);
    leat_run_blocks_put(&pef, 0, (char *)memory, done, n, (const char *)(values + done));
  }
  int64_t index[PEF_MAX_RANK] = {0};
  for (size_t i = 0; i < count; i++) {
    assert_int_equal(memory[place_of(symbol, block, index)], i);
    for (uint32_t d = symbol->rank; d-- > 0 && ++index[d] == symbol->dims[d];) index[d] = 0;
  }
  for (size_t done = 0, n; done < count; done += n) {
    n = 1 + (size_t)mutate_below(random, count - done);
    leat_run_blocks_get(&pef, 0, (const char *)memory, done, n, (char *)(found + done));
  }
  assert_memory_equal(found, values, count * sizeof *values);
}

static void elements_lie_where_the_format_says(void **state) {
  (void)state;
  mutant_t random = {.random = 7};
  for (int round = 0; round < 300; round++) {
    pef_symbol_t symbol = {.kind = PEF_SYMBOL_PARAMETER, .dtype = PEF_I16};
    symbol.rank = (uint8_t)(1 + mutate_below(&random, 4));
    size_t count = 1;
    for (uint32_t d = 0; d < symbol.rank; d++) {
      symbol.dims[d] = (int64_t)(1 + mutate_below(&random, 7));
      count *= (size_t)symbol.dims[d];
    }
    pef_block_t block = {.dim = (uint8_t)mutate_below(&random, symbol.rank)};
    block.outer = (uint8_t)mutate_below(&random, block.dim + 1u);
    block.block = 1 + mutate_below(&random, (uint64_t)symbol.dims[block.dim]);
    check_symbol(&symbol, &block, count, &random);
  }
}

// A file with a parameter, an input and a block.
static leat_status_t open_with(const pef_block_t *block, uint32_t times, const pef_bound_t *bound) {
  const pef_zoo_t zoo = pef_zoo_stage(PEF_STAGE_MAP);
  leat_pef_writer_t *writer = leat_pef_writer_create();
  pef_zoo_build(writer, &zoo, 1);
  static const struct {
    const char *name;
    uint8_t kind;
  } symbols[] = {{"w", PEF_SYMBOL_PARAMETER}, {"x", PEF_SYMBOL_INPUT}};
  uint32_t first = PEF_NONE;
  for (uint32_t i = 0; i < 2; i++) {
    pef_symbol_t symbol = {.kind = symbols[i].kind, .dtype = PEF_I32, .rank = 2, .of = PEF_NONE, .bytes = 48};
    symbol.name = leat_pef_add_string(writer, symbols[i].name);
    symbol.dims[0] = 4, symbol.dims[1] = 3;
    const uint32_t id = leat_pef_add_symbol(writer, &symbol);
    if (i == 0) first = id;
  }
  pef_block_t added = *block;
  added.symbol += first;
  for (uint32_t i = 0; i < times; i++) leat_pef_add_block(writer, &added);
  if (bound != NULL) {
    pef_bound_t of = *bound;
    of.symbol += first;
    leat_pef_add_bound(writer, &of);
  }
  uint8_t *data = NULL;
  size_t bytes = 0;
  assert_null(leat_pef_write_memory(writer, &data, &bytes));
  leat_pef_writer_destroy(writer);
  leat_pef_t *pef = NULL;
  leat_status_t status = leat_pef_open_memory(data, bytes, "blocks.pef", &pef);
  if (status == NULL) {
    assert_int_equal(pef->version_minor, times > 0 ? 1 : 0);
    assert_true(leat_pef_block_of(pef, first) == (times > 0 ? &pef->blocks[0] : NULL));
    assert_null(leat_pef_block_of(pef, first + 1));
  }
  leat_pef_close(pef);
  leat_free(data);
  return status;
}

static void records_are_checked(void **state) {
  (void)state;
  static const struct {
    pef_block_t block;
    uint32_t times;
    const char *message;
  } cases[] = {
      {{.dim = 0, .block = 4}, 1, NULL},
      {{.dim = 1, .outer = 1, .block = 2}, 1, NULL},
      {{.block = 1}, 0, NULL},
      {{.block = 2}, 2, "out of order"},
      {{.symbol = 2, .block = 2}, 1, "out of order"},
      {{.symbol = 1, .block = 2}, 1, "is no parameter"},
      {{.dim = 2, .block = 1}, 1, "dim 2 of symbol"},
      {{.dim = 0, .outer = 1, .block = 2}, 1, "behind 1 dims"},
      {{.dim = 0, .block = 0}, 1, "in blocks of 0"},
      {{.dim = 0, .block = 5}, 1, "in blocks of 5"},
      {{.dim = 0, .reserved0 = 1, .block = 2}, 1, "cannot lie in blocks"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    leat_status_t status = open_with(&cases[i].block, cases[i].times, NULL);
    if (cases[i].message == NULL) {
      assert_ok(status);
      continue;
    }
    assert_int_equal(leat_status_code(status), LEAT_CORRUPT);
    if (strstr(leat_status_message(status), cases[i].message) == NULL)
      fail_msg("case %zu: \"%s\"", i, leat_status_message(status));
    leat_status_free(status);
  }
  const pef_bound_t bound = {.high = 4, .rank = 2, .dims = {4, 3}, .strides = {3, 1}};
  leat_status_t status = open_with(&cases[0].block, 1, &bound);
  assert_non_null(strstr(leat_status_message(status), "which lies in blocks"));
  leat_status_free(status);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(elements_lie_where_the_format_says),
      cmocka_unit_test(records_are_checked),
  };
  return cmocka_run_group_tests_name("blocks", tests, NULL, NULL);
}
