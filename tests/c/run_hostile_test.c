// SPDX-License-Identifier: Apache-2.0
// Programs that ask for too much, for nothing at all, or that change under the engine: hostile files are refused or
// stay within their memory, stages without elements leave it as it is, and sums over nothing are what they are of old.
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "check.h"
#include "leat/runtime.h"
#include "pef/pef_read.h"
#include "pef_demo.h"
#include "pef_zoo.h"

// --- files that were found -------------------------------------------------------------------------------------

typedef struct hostile_s {
  const char *name, *message;  // NULL: it is accepted, and runs
} hostile_t;

static const hostile_t hostile[] = {
    {"rows_without_marks", "every tile would write the same place"},
    {"reduce_of_unmarked_rows", "differ in extent or rows"},
    {"packed_columns_cut_in_scratch", "scratch holds the columns of one tile only"},
    {"scratch_that_wraps", "no memory for tile buffers"},
    {"sort_without_lines", NULL},
    {"scan_without_lines", NULL},
    {"map_without_elements", NULL},
    {"contract_without_batches", NULL},
};

static leat_status_t load_and_run(const char *path, uint32_t threads) {
  leat_load_options_t options = leat_load_options_default();
  options.thread_count = threads;
  leat_program_t *program = NULL;
  LEAT_TRY(leat_program_load(path, &options, &program));
  leat_status_t status = leat_program_run(program, LEAT_SECTIONS_ALL);
  leat_program_destroy(program);
  return status;
}

static void hostile_files_are_refused_or_run(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof hostile / sizeof *hostile; ++i) {
    for (uint32_t threads = 1; threads <= 4; threads *= 2) {
      char path[4096];
      (void)snprintf(path, sizeof path, "%s/hostile_pef/%s.pef", getenv("LEAT_TEST_DATA"), hostile[i].name);
      leat_status_t status = load_and_run(path, threads);
      const bool expected =
          hostile[i].message == NULL ? status == NULL : strstr(leat_status_message(status), hostile[i].message) != NULL;
      if (!expected) fail_msg("%s: got '%s'", hostile[i].name, leat_status_message(status));
      leat_status_free(status);
    }
  }
}

// --- programs made here ----------------------------------------------------------------------------------------

static leat_program_t *load_writer(leat_pef_writer_t *writer, uint32_t threads, const char *path) {
  assert_ok(leat_pef_write(writer, path));
  leat_pef_writer_destroy(writer);
  leat_load_options_t options = leat_load_options_default();
  options.thread_count = threads;
  leat_program_t *program = NULL;
  assert_ok(leat_program_load(path, &options, &program));
  return program;
}

enum { VALUES = PEF_ZOO_ARGUMENT_BYTES / 4 };

// The stage with its operands in symbols "in0", "in1", .. and "out", which is written.
static leat_pef_writer_t *with_symbols(pef_zoo_t *zoo) {
  leat_pef_writer_t *writer = leat_pef_writer_create();
  pef_argument_t arguments[PEF_ZOO_OPERANDS];
  const uint32_t count = zoo->stage.operand_count;
  for (uint32_t i = 0; i < count; ++i) {
    char name[8];
    (void)snprintf(name, sizeof name, i + 1 < count ? "in%u" : "out", i);
    const pef_symbol_t symbol = {.name = leat_pef_add_string(writer, name),
                                 .kind = i + 1 < count ? PEF_SYMBOL_INPUT : PEF_SYMBOL_OUTPUT,
                                 .of = PEF_NONE,
                                 .rank = 1,
                                 .dims = {VALUES},
                                 .bytes = PEF_ZOO_ARGUMENT_BYTES};
    leat_pef_add_symbol(writer, &symbol);
    arguments[i] = (pef_argument_t){.kind = PEF_PLACE_SYMBOL, .symbol = i, .bytes = PEF_ZOO_ARGUMENT_BYTES};
  }
  zoo->body.argument_count = count;
  const leat_pef_body_draft_t draft = pef_zoo_draft(zoo);
  const pef_call_t call = {
      .body = leat_pef_add_body(writer, &draft), .argument_count = count, .name = leat_pef_add_string(writer, "call")};
  leat_pef_add_call(writer, &call, arguments);
  leat_pef_set_info(writer, &(pef_info_t){0});
  return writer;
}

static void fill_symbols(leat_program_t *program) {
  for (uint32_t s = 0; s < leat_program_symbol_count(program); ++s) {
    float *at = leat_program_data(program, s);
    for (uint32_t i = 0; i < VALUES; ++i) at[i] = 1.0f + (float)(i % 7);
  }
}

static void empty_dim(pef_zoo_t *zoo, uint32_t operand, uint32_t dim) { zoo->operands[operand].dims[dim] = 0; }

// Which dim of each operand is emptied, -1: none. Dim 0 holds the rows.
static const int8_t emptied[PEF_STAGE_COUNT][4] = {
    [PEF_STAGE_MAP] = {1, 1, -1},    [PEF_STAGE_REDUCE] = {1, 1, -1},
    [PEF_STAGE_SCAN] = {1, 1, -1},   [PEF_STAGE_CONTRACT] = {1, 1, 1},
    [PEF_STAGE_CONV] = {-1, -1, -1}, [PEF_STAGE_CONV_WGRAD] = {-1, 1, 1},
    [PEF_STAGE_POOL] = {1, 1, -1},   [PEF_STAGE_POOL_GRAD] = {1, 1, 1},
    [PEF_STAGE_GATHER] = {1, -1, 2}, [PEF_STAGE_SCATTER] = {-1, 2, 2},
    [PEF_STAGE_SORT] = {1, 1, 1},    [PEF_STAGE_RANDOM] = {-1, 1, -1},
    [PEF_STAGE_SEARCH] = {1, -1, 2}, [PEF_STAGE_CONTRACT_SCALED] = {1, 1, 1, 1},
};

static void stages_without_elements_touch_nothing(void **state) {
  (void)state;
  for (uint32_t kind = 0; kind < PEF_STAGE_COUNT; ++kind) {
    pef_zoo_t zoo = pef_zoo_stage(kind);
    if (kind == PEF_STAGE_CONV || kind == PEF_STAGE_CONV_WGRAD) continue;           // below: their dims hang together
    if (kind == PEF_STAGE_ATTENTION || kind == PEF_STAGE_ATTENTION_GRAD) continue;  // theirs, too
    for (uint32_t i = 0; i < zoo.stage.operand_count; ++i) {
      if (emptied[kind][i] >= 0 && zoo.operands[i].rank > 0) empty_dim(&zoo, i, (uint32_t)emptied[kind][i]);
    }
    for (uint32_t threads = 1; threads <= 2; ++threads) {
      zoo.body.row_count = 1;  // several rows have to write something
      for (uint32_t i = 0; i < zoo.stage.operand_count; ++i) {
        if (zoo.operands[i].dims[0] == 6) zoo.operands[i].dims[0] = 1;
      }
      leat_program_t *program = load_writer(with_symbols(&zoo), threads, "run_hostile_test.pef");
      fill_symbols(program);
      assert_ok(leat_program_run(program, LEAT_SECTIONS_ALL));
      for (uint32_t s = 0; s < leat_program_symbol_count(program); ++s) {
        const float *at = leat_program_data(program, s);
        for (uint32_t i = 0; i < VALUES; ++i) assert_true(at[i] == 1.0f + (float)(i % 7));
      }
      leat_program_destroy(program);
    }
  }
  unlink("run_hostile_test.pef");
}

static void convolutions_without_images_touch_nothing(void **state) {
  (void)state;
  pef_zoo_t zoo = pef_zoo_stage(PEF_STAGE_CONV);
  zoo.body.row_count = 1;
  for (uint32_t i = 0; i < 3; i += 2) {
    zoo.operands[i].row_dim = PEF_NO_ROW_DIM;
    zoo.operands[i].row_mult = 0;
    empty_dim(&zoo, i, 0);
  }
  leat_program_t *program = load_writer(with_symbols(&zoo), 1, "run_hostile_test.pef");
  fill_symbols(program);
  assert_ok(leat_program_run(program, LEAT_SECTIONS_ALL));
  assert_true(*(float *)leat_program_data(program, 2) == 1.0f);
  leat_program_destroy(program);
  // A gradient of no images would be a sum over nothing: the format has none.
  zoo = pef_zoo_stage(PEF_STAGE_CONV_WGRAD);
  empty_dim(&zoo, 0, 0);
  empty_dim(&zoo, 1, 0);
  leat_pef_writer_t *writer = with_symbols(&zoo);
  assert_ok(leat_pef_write(writer, "run_hostile_test.pef"));
  leat_pef_writer_destroy(writer);
  leat_program_t *refused = NULL;
  assert_fails(leat_program_load("run_hostile_test.pef", NULL, &refused), LEAT_CORRUPT,
               "is empty: conv_wgrad has no result");
  unlink("run_hostile_test.pef");
}

// --- sums over nothing -----------------------------------------------------------------------------------------

static float reduce_nothing(uint8_t fn, bool lanes) {
  pef_zoo_t zoo = pef_zoo_stage(PEF_STAGE_REDUCE);
  zoo.stage.fn = fn;
  empty_dim(&zoo, 0, 2);
  empty_dim(&zoo, 1, 2);
  if (!lanes) zoo.operands[0].strides[2] = 2;
  leat_program_t *program = load_writer(with_symbols(&zoo), 2, "run_hostile_test.pef");
  fill_symbols(program);
  assert_ok(leat_program_run(program, LEAT_SECTIONS_ALL));
  const float *out = leat_program_data(program, 1);
  const float first = out[0];
  for (uint32_t i = 0; i < 24; ++i) assert_true(out[i] == first);
  assert_true(out[24] == 1.0f + 24 % 7);
  leat_program_destroy(program);
  return first;
}

static void reduce_of_nothing_is_neutral(void **state) {
  (void)state;
  for (int lanes = 0; lanes < 2; ++lanes) {
    assert_true(reduce_nothing(PEF_FN_SUM, lanes) == 0.0f);
    assert_true(reduce_nothing(PEF_FN_PROD, lanes) == 1.0f);
    assert_true(reduce_nothing(PEF_FN_MAX, lanes) == -INFINITY);
    assert_true(reduce_nothing(PEF_FN_MIN, lanes) == INFINITY);
  }
  unlink("run_hostile_test.pef");
}

// [6, 2, 10] of a k of 0; `add` keeps what is there.
static void contract_nothing(int64_t n_block, bool add, uint8_t dtype) {
  pef_zoo_t zoo = pef_zoo_stage(PEF_STAGE_CONTRACT);
  zoo.stage.params.contract.n_block = n_block;
  zoo.stage.params.contract.add = add;
  for (uint32_t i = 0; i < 3; ++i) {
    empty_dim(&zoo, i, 3);
    zoo.operands[i].dtype = dtype;
  }
  leat_program_t *program = load_writer(with_symbols(&zoo), 2, "run_hostile_test.pef");
  float before[VALUES];
  fill_symbols(program);
  memcpy(before, leat_program_data(program, 2), sizeof before);
  assert_ok(leat_program_run(program, LEAT_SECTIONS_ALL));
  const size_t bytes = 6 * 2 * 10 * leat_pef_dtype_bytes(dtype);
  if (!add) memset(before, 0, bytes);
  assert_memory_equal(leat_program_data(program, 2), before, sizeof before);
  leat_program_destroy(program);
}

static void contract_of_nothing_is_zero_or_what_was_there(void **state) {
  (void)state;
  const uint8_t dtypes[] = {PEF_F32, PEF_F64, PEF_I64, PEF_I32};
  for (size_t d = 0; d < sizeof dtypes; ++d) {
    for (int add = 0; add < 2; ++add) {
      contract_nothing(0, add, dtypes[d]);
      contract_nothing(4, add, dtypes[d]);
    }
  }
  unlink("run_hostile_test.pef");
}

// --- files that change -----------------------------------------------------------------------------------------

static void a_file_that_changes_has_no_effect_on_a_loaded_program(void **state) {
  (void)state;
  const pef_demo_t demo = {.rows = 64, .in = 32, .out = 16, .tile_rows_max = 8};
  for (int overwrite = 0; overwrite < 2; ++overwrite) {
    leat_pef_writer_t *writer = leat_pef_writer_create();
    pef_demo_build(writer, &demo);
    leat_program_t *program = load_writer(writer, 2, "run_hostile_test.pef");
    FILE *file = fopen("run_hostile_test.pef", overwrite ? "r+b" : "wb");  // wb: cut off at 0
    assert_non_null(file);
    for (int i = 0; overwrite && i < 4096; ++i) fputc(0xff, file);
    assert_int_equal(fclose(file), 0);
    assert_ok(leat_program_run(program, LEAT_SECTIONS_ALL));
    uint32_t symbol = 0;
    assert_ok(leat_program_find_symbol(program, "y", &symbol));
    assert_non_null(leat_program_metadata(program));
    leat_program_destroy(program);
  }
  unlink("run_hostile_test.pef");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(hostile_files_are_refused_or_run),
      cmocka_unit_test(stages_without_elements_touch_nothing),
      cmocka_unit_test(convolutions_without_images_touch_nothing),
      cmocka_unit_test(reduce_of_nothing_is_neutral),
      cmocka_unit_test(contract_of_nothing_is_zero_or_what_was_there),
      cmocka_unit_test(a_file_that_changes_has_no_effect_on_a_loaded_program),
  };
  return cmocka_run_group_tests_name("rt_hostile", tests, NULL, NULL);
}
