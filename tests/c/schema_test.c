// SPDX-License-Identifier: Apache-2.0
// The checker and the engine against the schema of stages: what is legal is accepted and runs, with the same result for
// tiles of any height, on every engine; whatever breaks a block of the schema is refused by the name of the operand or
// parameter; and whatever is accepted at all, by however odd a stage, runs. All of it on both engines, at the ISA level
// of the process. LEAT_DRAWS: how many stages of each kind (400).
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "check.h"
#include "draws.h"
#include "leat/runtime.h"
#include "level.h"
#include "pef/pef_read.h"
#include "pef/pef_scalar.h"
#include "stage_maker.h"

static const char path[] = "schema_test.pef";

// --- a stage as a program --------------------------------------------------------------------------------------

static void write_stage(const pef_zoo_t *zoo, uint64_t tile_rows_max) {
  leat_pef_writer_t *writer = leat_pef_writer_create();
  pef_argument_t arguments[PEF_ZOO_OPERANDS];
  for (uint32_t i = 0; i < PEF_ZOO_OPERANDS; ++i) {
    char name[16];
    (void)snprintf(name, sizeof name, "operand%u", i);
    const pef_symbol_t symbol = {.name = leat_pef_add_string(writer, name),
                                 .kind = PEF_SYMBOL_BUFFER,
                                 .of = PEF_NONE,
                                 .dtype = PEF_U8,
                                 .rank = 1,
                                 .dims = {PEF_ZOO_ARGUMENT_BYTES},
                                 .bytes = PEF_ZOO_ARGUMENT_BYTES};
    leat_pef_add_symbol(writer, &symbol);
    arguments[i] = (pef_argument_t){.kind = PEF_PLACE_SYMBOL, .symbol = i, .bytes = PEF_ZOO_ARGUMENT_BYTES};
  }
  leat_pef_body_draft_t draft = pef_zoo_draft(zoo);
  draft.body.tile_rows_max = tile_rows_max;
  const pef_call_t call = {.body = leat_pef_add_body(writer, &draft),
                           .argument_count = PEF_ZOO_OPERANDS,
                           .name = leat_pef_add_string(writer, "call")};
  leat_pef_add_call(writer, &call, arguments);
  leat_pef_set_info(writer, &(pef_info_t){0});
  uint8_t *data = NULL;
  size_t bytes = 0;
  assert_ok(leat_pef_write_memory(writer, &data, &bytes));
  leat_pef_writer_destroy(writer);
  (void)unlink(path);
  FILE *file = fopen(path, "wb");  // a new file, and without the sync of leat_pef_write: nothing waits for the disk
  assert_non_null(file);
  assert_int_equal(fwrite(data, 1, bytes, file), bytes);
  assert_int_equal(fclose(file), 0);
  leat_free(data);
}

// Small numbers of the dtype: sums of few of them are exact.
static void fill(uint8_t *at, uint32_t dtype, uint32_t seed) {
  static const double numbers[] = {0, 1, -1, 2, -2, 3, 0.5, -0.5};
  static const uint16_t bf16[] = {0, 0x3f80, 0xbf80, 0x4000, 0xc000, 0x4040, 0x3f00, 0xbf00};
  static const uint16_t f16[] = {0, 0x3c00, 0xbc00, 0x4000, 0xc000, 0x4200, 0x3800, 0xb800};
  const size_t bytes = leat_pef_dtype_bytes(dtype);
  for (size_t i = 0; i < PEF_ZOO_ARGUMENT_BYTES / bytes; ++i, at += bytes) {
    const uint32_t which = (uint32_t)(i * 2654435761u + seed * 40503u) >> 13 & 7;
    const float single = (float)numbers[which];
    const int64_t integer = dtype == PEF_BOOL ? which & 1 : (int64_t)numbers[which];
    const void *from = dtype == PEF_F32    ? (const void *)&single
                       : dtype == PEF_F64  ? (const void *)&numbers[which]
                       : dtype == PEF_BF16 ? (const void *)&bf16[which]
                       : dtype == PEF_F16  ? (const void *)&f16[which]
                                           : (const void *)&integer;
    memcpy(at, from, bytes);
  }
}

typedef uint8_t memory_t[PEF_ZOO_OPERANDS][PEF_ZOO_ARGUMENT_BYTES];

// What loading says; what the operands hold after a run.
static leat_status_t run_stage(const pef_zoo_t *zoo, uint64_t tile_rows_max, memory_t *out_memory) {
  write_stage(zoo, tile_rows_max);
  leat_load_options_t options = leat_load_options_default();
  options.thread_count = 1;
  options.engine = "compare";
  options.isa = level_name();
  leat_program_t *program = NULL;
  LEAT_TRY(leat_program_load(path, &options, &program));
  for (uint32_t i = 0; i < PEF_ZOO_OPERANDS; ++i) {
    fill(leat_program_data(program, i), i < zoo->stage.operand_count ? zoo->operands[i].dtype : PEF_F32, i);
  }
  assert_ok(leat_program_run(program, LEAT_SECTIONS_ALL));
  for (uint32_t i = 0; i < PEF_ZOO_OPERANDS; ++i) {
    memcpy((*out_memory)[i], leat_program_data(program, i), PEF_ZOO_ARGUMENT_BYTES);
  }
  leat_program_destroy(program);
  return NULL;
}

// The stage is refused as a damaged file and the message has `name`.
static void refuses(const pef_zoo_t *zoo, const char *name) {
  static memory_t memory;
  leat_status_t status = run_stage(zoo, zoo->body.tile_rows_max, &memory);
  if (leat_status_code(status) != LEAT_CORRUPT || strstr(leat_status_message(status), name) == NULL) {
    fail_msg("%s should be refused for \"%s\", got \"%s\"", leat_pef_stage_name(zoo->stage.kind), name,
             status == NULL ? "nothing" : leat_status_message(status));
  }
  leat_status_free(status);
}

// Accepted and run, or refused as a damaged file for something that has a name.
static bool runs_or_is_refused(const pef_zoo_t *zoo) {
  static memory_t memory;
  leat_status_t status = run_stage(zoo, zoo->body.tile_rows_max, &memory);
  if (status == NULL) return true;
  const char *message = leat_status_message(status);
  const char *const named[] = {"operand", "parameter", "function ", "rows write no argument", "steps more than"};
  bool has_name = false;
  for (size_t i = 0; i < sizeof named / sizeof *named; ++i) has_name |= strstr(message, named[i]) != NULL;
  if (leat_status_code(status) != LEAT_CORRUPT || !has_name) fail_msg("%s", message);
  leat_status_free(status);
  return false;
}

// --- legal stages ------------------------------------------------------------------------------------------------

static void legal_stages_run_and_tiles_do_not_matter(void **state) {
  (void)state;
  static memory_t whole, tiles;
  mutant_t random = {.random = 1};
  for (uint32_t kind = 0; kind < PEF_STAGE_COUNT; ++kind) {
    uint32_t cut = 0;
    for (uint32_t draw = 0; draw < draws(400); ++draw) {
      made_stage_t made;
      make_stage(&random, kind, &made);
      assert_ok(run_stage(&made.zoo, made.zoo.body.row_count, &whole));
      if (made.zoo.body.row_count == 1) continue;
      ++cut;
      for (uint64_t height = 1; height < made.zoo.body.row_count; ++height) {
        assert_ok(run_stage(&made.zoo, height, &tiles));
        if (memcmp(&whole, &tiles, sizeof whole) != 0) {
          fail_msg("draw %u of %s: rows along '%s' differ between tiles", draw, leat_pef_stage_name(kind),
                   made.letters[1]);
        }
      }
    }
    assert_true(cut > draws(400) / 8);
  }
  unlink(path);
}

// --- what breaks a block -----------------------------------------------------------------------------------------

static void name_of(uint32_t kind, uint32_t index, char out_name[32]) {
  const pef_operand_row_t *row = leat_pef_operand_row(kind, index);
  (void)snprintf(out_name, 32, (row->traits & PEF_MANY) != 0 ? "%s %u" : "operand '%s'", row->name, index);
}

static void break_dtypes(const made_stage_t *made) {
  const uint32_t kind = made->zoo.stage.kind;
  for (uint32_t i = 0; i < made->zoo.stage.operand_count; ++i) {
    const pef_operand_row_t *row = leat_pef_operand_row(kind, i);
    if (made->zoo.operands[i].space == PEF_SPACE_NONE) continue;
    for (uint32_t dtype = 0; dtype < PEF_DTYPE_COUNT; ++dtype) {
      pef_zoo_t zoo = made->zoo;
      zoo.operands[i].dtype = (uint8_t)dtype;
      zoo.stage.params.words[23] = 0;  // long sums are of some dtypes
      const uint32_t other = zoo.operands[row->other].dtype;
      char name[32];
      name_of(kind, i, name);
      bool broken = (row->dtypes >> dtype & 1) == 0;
      broken |= row->relation == PEF_SAME_DTYPE && dtype != other;
      broken |= row->relation == PEF_SAME_CLASS && leat_pef_dtype_class(dtype) != leat_pef_dtype_class(other);
      if (broken) {
        refuses(&zoo, name);
      } else {
        runs_or_is_refused(&zoo);
      }
    }
  }
}

static void break_functions(const made_stage_t *made) {
  const uint32_t allowed = leat_pef_stage_row(made->zoo.stage.kind)->fns;
  for (uint32_t fn = 0; fn < PEF_FN_COUNT; ++fn) {
    pef_zoo_t zoo = made->zoo;
    zoo.stage.fn = (uint8_t)fn;
    if (((allowed != 0 ? allowed : 1) >> fn & 1) == 0) {
      refuses(&zoo, "function ");
    } else {
      runs_or_is_refused(&zoo);
    }
  }
}

static bool is_used(const pef_zoo_t *zoo, const pef_param_row_t *param, int64_t index) {
  if (param->range == PEF_RANGE_UNUSED) return false;
  if (param->times == PEF_SPATIAL) return index < zoo->stage.params.window.spatial;
  return param->times == PEF_ONE || index < zoo->operands[0].rank;
}

// Functions that are not defined for some dtypes, on operands of these.
static void break_pairs(const made_stage_t *made) {
  const uint32_t kind = made->zoo.stage.kind;
  const pef_stage_row_t *row = leat_pef_stage_row(kind);
  for (uint32_t fn = 0; fn < PEF_FN_COUNT; ++fn) {
    for (uint32_t dtype = 0; dtype < PEF_DTYPE_COUNT; ++dtype) {
      pef_zoo_t zoo = made->zoo;
      zoo.stage.fn = (uint8_t)fn;
      zoo.stage.params.words[23] = 0;  // long sums are of some dtypes
      for (uint32_t i = 0; i < zoo.stage.operand_count; ++i) {
        if ((leat_pef_operand_row(kind, i)->dtypes >> dtype & 1) != 0) zoo.operands[i].dtype = (uint8_t)dtype;
      }
      if ((row->without_fns >> fn & 1) != 0 && (row->without_dtypes >> dtype & 1) != 0) refuses(&zoo, "operand");
      assert_false(leat_pef_stage_computes(kind, fn, dtype) && (row->without_fns >> fn & 1) != 0 &&
                   (row->without_dtypes >> dtype & 1) != 0);
    }
  }
}

// The greatest legal value of a used word, as the schema has it.
static int64_t highest(const pef_zoo_t *zoo, const pef_param_row_t *param) {
  const uint32_t rank = zoo->operands[0].rank;
  if (param->range == PEF_RANGE_MASK) return (INT64_C(1) << rank) - 1;
  if (param->range != PEF_RANGE_AT) return param->high;
  uint32_t i = 0;
  while (strchr(leat_pef_operand_row(zoo->stage.kind, i)->dims, param->letters[0]) == NULL) ++i;
  return (int64_t)zoo->operands[i].rank - 1;
}

static void break_params(const made_stage_t *made) {
  uint32_t at = 0;
  const pef_param_row_t *params = leat_pef_stage_row(made->zoo.stage.kind)->params;
  for (const pef_param_row_t *param = params; param->name != NULL; at += param++->words) {
    char name[32] = "word ";
    if (param->range != PEF_RANGE_UNUSED) (void)snprintf(name, sizeof name, "parameter '%s", param->name);
    for (uint32_t word = at; word < at + param->words; ++word) {
      const bool used = is_used(&made->zoo, param, word - at);
      const int64_t low = used ? param->low : 0, high = used ? highest(&made->zoo, param) : 0;
      const int64_t broken[] = {low - 1, high + 1, INT64_MIN, INT64_MAX};
      for (uint32_t i = 0; i < 4; ++i) {
        pef_zoo_t zoo = made->zoo;
        zoo.stage.params.words[word] = broken[i];
        refuses(&zoo, name);
      }
      const int64_t odd[] = {low, high, low + 1, high / 2};
      for (uint32_t i = 0; i < 4; ++i) {
        pef_zoo_t zoo = made->zoo;
        zoo.stage.params.words[word] = odd[i];
        runs_or_is_refused(&zoo);
      }
    }
  }
}

static uint32_t owners_of(const made_stage_t *made, char letter) {
  uint32_t owners = 0;
  for (uint32_t i = 0; i < made->zoo.stage.operand_count; ++i) owners += strchr(made->letters[i], letter) != NULL;
  return owners;
}

static void break_dims(const made_stage_t *made) {
  for (uint32_t i = 0; i < made->zoo.stage.operand_count; ++i) {
    const uint32_t rank = made->zoo.operands[i].rank;
    for (uint32_t d = 0; d < rank; ++d) {
      pef_zoo_t zoo = made->zoo;
      ++zoo.operands[i].dims[d];
      const char letter = made->letters[i][d];
      if (owners_of(made, letter) > 1 || (letter >= '0' && letter <= '9')) {
        refuses(&zoo, "operand");
      } else {
        runs_or_is_refused(&zoo);
      }
    }
    pef_zoo_t zoo = made->zoo;
    if (rank == 0 || zoo.operands[i].row_dim == rank - 1) continue;
    --zoo.operands[i].rank;
    zoo.operands[i].dims[rank - 1] = zoo.operands[i].strides[rank - 1] = 0;
    const char *pattern = leat_pef_operand_row(zoo.stage.kind, i)->dims;
    if (strchr(pattern, '*') == NULL) {
      refuses(&zoo, "operand");
    } else {
      runs_or_is_refused(&zoo);
    }
  }
}

// Rows along every dim in turn, of all operands that have it.
static void break_rows(const made_stage_t *made) {
  const pef_stage_row_t *row = leat_pef_stage_row(made->zoo.stage.kind);
  for (uint32_t i = 0; i < made->zoo.stage.operand_count; ++i) {
    for (uint32_t d = 0; d < made->zoo.operands[i].rank; ++d) {
      pef_zoo_t zoo = made->zoo;
      const char letter = made->letters[i][d];
      const size_t nth = d - (size_t)(strchr(made->letters[i], letter) - made->letters[i]);
      if (zoo.operands[i].dims[d] == 1) continue;
      zoo.body.row_count = (uint64_t)zoo.operands[i].dims[d];
      zoo.body.tile_rows_max = 1;
      for (uint32_t o = 0; o < zoo.stage.operand_count; ++o) {
        const char *first = strchr(made->letters[o], letter);
        const bool has = first != NULL;
        zoo.operands[o].row_dim = has ? (uint8_t)((size_t)(first - made->letters[o]) + nth) : PEF_NO_ROW_DIM;
        zoo.operands[o].row_mult = has;
      }
      if (strchr(row->rows, letter) == NULL || leat_pef_stage_sums(&zoo.stage, d)) {
        refuses(&zoo, "operand");
      } else {
        runs_or_is_refused(&zoo);
      }
    }
  }
}

// Each output in the place of each other operand.
static void break_places(const made_stage_t *made) {
  const uint32_t kind = made->zoo.stage.kind, count = made->zoo.stage.operand_count;
  for (uint32_t out = 0; out < count; ++out) {
    const pef_operand_row_t *row = leat_pef_operand_row(kind, out);
    const bool many = (row->traits & PEF_MANY) != 0;
    if (made->zoo.operands[out].space == PEF_SPACE_NONE || (many ? out + 1 != count : row->direction == PEF_IN))
      continue;
    for (uint32_t other = 0; other < count; ++other) {
      pef_zoo_t zoo = made->zoo;
      if (other == out || zoo.operands[other].space == PEF_SPACE_NONE) continue;
      zoo.operands[other].slot = zoo.operands[out].slot;
      char name[32];
      name_of(kind, out, name);
      if (many) zoo.operands[other].dtype = (uint8_t)((zoo.operands[out].dtype + 1) % PEF_DTYPE_COUNT);  // not in place
      refuses(&zoo, name);
      if (!many) continue;
      zoo.operands[other] = zoo.operands[out];
      assert_true(runs_or_is_refused(&zoo));
      if (zoo.operands[out].rank == 0 || zoo.operands[out].dims[0] == 1) continue;
      zoo.operands[other].offset +=
          (uint64_t)zoo.operands[out].strides[0] * leat_pef_dtype_bytes(zoo.operands[out].dtype);
      refuses(&zoo, name);
    }
  }
}

static void what_breaks_the_schema_is_refused_by_name(void **state) {
  (void)state;
  mutant_t random = {.random = 2};
  for (uint32_t kind = 0; kind < PEF_STAGE_COUNT; ++kind) {
    for (uint32_t draw = 0; draw < draws(20); ++draw) {
      made_stage_t made;
      make_stage(&random, kind, &made);
      break_dtypes(&made);
      break_functions(&made);
      break_pairs(&made);
      break_params(&made);
      break_dims(&made);
      break_rows(&made);
      break_places(&made);
    }
  }
  unlink(path);
}

// --- odd stages --------------------------------------------------------------------------------------------------

static void change_operand(mutant_t *random, pef_zoo_t *zoo) {
  pef_operand_t *operand = &zoo->operands[mutate_below(random, zoo->stage.operand_count)];
  const uint64_t dim = mutate_below(random, operand->rank == 0 ? 1 : operand->rank);
  switch (mutate_below(random, 6)) {
    case 0:
      operand->strides[dim] = (int64_t)mutate_below(random, 9) - 4;
      break;
    case 1:
      operand->offset = mutate_below(random, 64) * 8;
      break;
    case 2:
      operand->row_dim = operand->rank == 0 ? PEF_NO_ROW_DIM : (uint8_t)dim;
      operand->row_mult = operand->rank == 0 ? 0 : (uint64_t)operand->dims[dim] / zoo->body.row_count;
      break;
    case 3:
      operand->row_dim = PEF_NO_ROW_DIM;
      operand->row_mult = 0;
      break;
    case 4:
      operand->dtype = (uint8_t)mutate_below(random, PEF_DTYPE_COUNT);
      break;
    default:
      operand->slot = (uint16_t)mutate_below(random, PEF_ZOO_OPERANDS);
  }
}

// One extent wherever it is found.
static void change_extent(mutant_t *random, made_stage_t *made) {
  const uint64_t i = mutate_below(random, made->zoo.stage.operand_count);
  if (made->zoo.operands[i].rank == 0) return;
  const uint64_t d = mutate_below(random, made->zoo.operands[i].rank);
  const char letter = made->letters[i][d];
  const int64_t extent = (int64_t)mutate_below(random, 4);
  const size_t nth = d - (size_t)(strchr(made->letters[i], letter) - made->letters[i]);
  for (uint32_t o = 0; o < made->zoo.stage.operand_count; ++o) {
    const char *first = strchr(made->letters[o], letter);
    if (first != NULL) made->zoo.operands[o].dims[(size_t)(first - made->letters[o]) + nth] = extent;
  }
}

static void odd_stages_run_where_they_are_accepted(void **state) {
  (void)state;
  mutant_t random = {.random = 3};
  uint32_t accepted = 0;
  for (uint32_t kind = 0; kind < PEF_STAGE_COUNT; ++kind) {
    for (uint32_t draw = 0; draw < draws(800); ++draw) {
      made_stage_t made;
      make_stage(&random, kind, &made);
      for (uint64_t n = 1 + mutate_below(&random, 3); n > 0; --n) {
        if (mutate_below(&random, 3) == 0) {
          change_extent(&random, &made);
        } else {
          change_operand(&random, &made.zoo);
        }
        if (mutate_below(&random, 4) == 0) {
          made.zoo.stage.params.words[mutate_below(&random, 24)] = (int64_t)mutate_below(&random, 4);
        }
      }
      if (mutate_below(&random, 2) == 0) made.zoo.body.tile_rows_max = 1;
      accepted += runs_or_is_refused(&made.zoo);
    }
  }
  assert_true(accepted > draws(400));
  unlink(path);
}

// --- instructions ------------------------------------------------------------------------------------------------

static void instructions_run_where_they_are_accepted(void **state) {
  (void)state;
  uint32_t accepted = 0;
  for (uint32_t op = 0; op <= PEF_OP_WRAP + 1; ++op) {
    if (op == PEF_SCALAR_COUNT + 1) op = PEF_OP_LOAD;
    for (uint32_t class_ = 0; class_ < 3; ++class_) {
      const bool kinds = op == PEF_OP_CONVERT || op == PEF_OP_WRAP;
      for (uint16_t from = 0; from < (kinds ? PEF_DTYPE_COUNT : 1); ++from) {
        const uint8_t source = (uint8_t)(op == PEF_OP_CONVERT && from < 3 ? from : class_);
        pef_zoo_t zoo = pef_zoo_stage(PEF_STAGE_MAP);
        const pef_instruction_t program[] = {
            {.op = PEF_OP_LOAD, .class_ = source, .a = 0},
            {.op = (uint16_t)op, .class_ = (uint8_t)class_, .type = (uint8_t)from, .a = 0},
            {.op = PEF_OP_STORE, .class_ = (uint8_t)class_, .a = 1, .b = 1},
        };
        memcpy(zoo.instructions, program, sizeof program);
        zoo.stage.instruction_count = 3;
        static memory_t memory;
        leat_status_t status = run_stage(&zoo, zoo.body.tile_rows_max, &memory);
        if (status != NULL && leat_status_code(status) != LEAT_CORRUPT) fail_msg("%s", leat_status_message(status));
        accepted += status == NULL;
        leat_status_free(status);
      }
    }
  }
  assert_true(accepted > 100);
  unlink(path);
}

int main(void) {
  if (!level_begin()) return LEVEL_MISSING;
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(legal_stages_run_and_tiles_do_not_matter),
      cmocka_unit_test(what_breaks_the_schema_is_refused_by_name),
      cmocka_unit_test(odd_stages_run_where_they_are_accepted),
      cmocka_unit_test(instructions_run_where_they_are_accepted),
  };
  return cmocka_run_group_tests_name("schema", tests, NULL, NULL);
}
