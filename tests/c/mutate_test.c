// SPDX-License-Identifier: Apache-2.0
// Hostile files of every kind that the library reads. Each mutated file is refused with a message of the right form, or
// it is read whole; a PEF that is accepted is loaded and run, a graph that is accepted is compiled. Every second file
// is mended, so that what lies behind checksums and lengths is reached.
//
// LEAT_MUTATIONS: how many files of each kind (300). LEAT_MUTATION_SEED: where the random numbers start (1).
// LEAT_MUTATION_KIND: a test alone, such as mutated_pef.
// The file under test is the one that is left in the working folder after a crash; a failed check names it.
#include "mutate.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "check.h"
#include "chip/plan.h"
#include "io/idx.h"
#include "io/npy.h"
#include "io/weights.h"
#include "ir/graph.h"
#include "leat/runtime.h"
#include "loop_maker.h"
#include "pef/flow.h"
#include "pef/legal.h"
#include "pef_zoo.h"
#include "samples.h"
#include "space_maker.h"

enum { FILE_MAX = 1 << 18, SEEDS_MAX = 96 };

// A broken PEF may ask for much: what it may take here.
static const uint64_t memory_max = 64 << 20;
static const double work_max = 4e6;

// Memory that cannot be had is a refusal, not the end.
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "allocator_may_return_null=1:max_allocation_size_mb=2048"; }

typedef struct seed_s {
  uint8_t *data;
  size_t bytes;
} seed_t;

typedef struct kind_s {
  const char *name, *file;
  const char *const *seeds;  // in tests/data, NULL at the end; of the newest PEF: none, they are compiled
  void (*mutate)(mutant_t *mutant);
  void (*mend)(mutant_t *mutant);
  leat_status_t (*feed)(const char *path, uint64_t round,
                        uint32_t *out_used);  // used: 1 if more than its form was read
} kind_t;

// --- seeds -------------------------------------------------------------------------------------------------------

static seed_t read_seed(const char *path) {
  leat_mapping_t file;
  assert_ok(leat_file_map(path, &file));
  seed_t seed = {.data = leat_alloc(file.data_bytes + 1), .bytes = file.data_bytes};
  assert_non_null(seed.data);
  memcpy(seed.data, file.data, file.data_bytes);
  leat_file_unmap(&file);
  return seed;
}

static uint32_t read_seeds(const kind_t *kind, seed_t seeds[SEEDS_MAX]) {
  uint32_t count = 0;
  while (kind->seeds[count] != NULL) {
    seeds[count] = read_seed(sample_data_path(kind->seeds[count]));
    ++count;
  }
  return count;
}

static seed_t write_zoo(const char *path, const pef_zoo_t *zoo, uint32_t count) {
  leat_pef_writer_t *writer = leat_pef_writer_create();
  pef_zoo_build(writer, zoo, count);
  assert_ok(leat_pef_write(writer, path));
  leat_pef_writer_destroy(writer);
  return read_seed(path);
}

// Bodies of three dims.
static uint32_t write_spaces(const char *path, seed_t *seeds) {
  static const space_window_t h = {9, 3, 1, 1, 1, 1}, w = {10, 3, 2, 1, 1, 1};
  const space_plan_t plans[] = {space_convolution(&h, &w, 1, 4, 2), space_convolution(&h, &w, 2, 2, 5),
                                space_pool(&h, &w, PEF_FN_MAX, true, 2, 3), space_chain(false, 2, 3, 4),
                                space_product(true, 3, 4)};
  uint32_t count = 0;
  for (; count < sizeof plans / sizeof *plans; ++count) {
    leat_pef_writer_t *writer = space_write(&plans[count]);
    assert_ok(leat_pef_write(writer, path));
    leat_pef_writer_destroy(writer);
    seeds[count] = read_seed(path);
  }
  return count;
}

// The sample programs as pipelines and as single ops, one linked from groups, a stage of every kind, all of these, and
// programs with loops.
static uint32_t compile_seeds(const char *path, seed_t seeds[SEEDS_MAX]) {
  uint32_t count = 0;
  for (uint32_t i = 0; sample_names[i] != NULL; ++i) {
    for (uint32_t level = 0; level <= 3; level += 3) {
      assert_ok(sample_compile(sample_names[i], level, path));
      seeds[count++] = read_seed(path);
    }
  }
  assert_ok(sample_compile("blocks", 1, path));
  seeds[count++] = read_seed(path);
  pef_zoo_t zoo[PEF_STAGE_COUNT];
  for (uint32_t stage = 0; stage < PEF_STAGE_COUNT; ++stage) {
    zoo[stage] = pef_zoo_stage(stage);
    seeds[count++] = write_zoo(path, &zoo[stage], 1);
  }
  seeds[count++] = write_zoo(path, zoo, PEF_STAGE_COUNT);
  for (uint32_t program = 0; program < loop_program_count; ++program) {
    leat_pef_writer_t *writer = leat_pef_writer_create();
    loop_programs[program].build(writer, 3);
    assert_ok(leat_pef_write(writer, path));
    leat_pef_writer_destroy(writer);
    seeds[count++] = read_seed(path);
  }
  return count + write_spaces(path, seeds + count);
}

// --- feeding -----------------------------------------------------------------------------------------------------

// Elements that a run visits, roughly.
static double work_of(const leat_pef_t *pef) {
  double work = 0;
  for (leat_walk_t at = leat_walk_start(pef, 1); leat_walk_next(&at);) {
    const pef_body_t *body = &pef->bodies[pef->calls[at.call].body];
    const double times = leat_walk_times(&at);
    work += times * (100 + (double)body->row_count * body->stage_count);
    for (uint32_t s = 0; s < body->stage_count; ++s) {
      const pef_stage_t *stage = &pef->stages[body->stage_first + s];
      double product = 1, largest = 0;
      for (uint32_t i = 0; i < stage->operand_count; ++i) {
        const pef_operand_t *operand = &pef->operands[stage->operand_first + i];
        double elements = 1;
        for (uint32_t d = 0; d < operand->rank; ++d) elements *= (double)operand->dims[d] + 1;
        if (elements > largest) largest = elements;
        product *= elements;
      }
      const bool windows = stage->kind >= PEF_STAGE_CONV && stage->kind <= PEF_STAGE_POOL_GRAD;
      work += times * (windows ? product / 50 : largest * (1 + stage->instruction_count / 4.0));
    }
  }
  return work;
}

static bool is_small(const leat_pef_t *pef) {
  uint64_t bytes = pef->info->arena_bytes;
  if (bytes > memory_max || leat_pef_most_scratch_bytes(pef) > memory_max) return false;
  for (uint32_t i = 0; i < pef->symbol_count && bytes <= memory_max; ++i) {
    if (pef->symbols[i].bytes > memory_max) return false;
    bytes += pef->symbols[i].bytes;
  }
  return bytes <= memory_max && work_of(pef) <= work_max;
}

static leat_status_t run_program(const char *path, uint64_t round) {
  static const char *const isas[] = {NULL, "portable", "avx2"};
  leat_load_options_t options = leat_load_options_default();
  options.isa = isas[round % 3];
  options.thread_count = 1 + round % 2;
  options.profile = round % 5 == 0;
  leat_program_t *program = NULL;
  LEAT_TRY(leat_program_load(path, &options, &program));
  for (uint32_t i = 0; i < leat_program_symbol_count(program); ++i) {
    leat_symbol_info_t info;
    leat_status_free(leat_program_symbol_info(program, i, &info));
    if (info.kind == LEAT_SYMBOL_INPUT) memset(leat_program_data(program, i), (int)(round % 4), info.data_bytes);
  }
  leat_status_t status = NULL;
  const uint32_t types = leat_program_section_types(program);
  for (uint32_t run = 0; run < 2 && types != 0 && status == NULL; ++run) status = leat_program_run(program, types);
  if (leat_status_code(status) == LEAT_OUT_OF_RANGE) {  // of the random inputs
    leat_status_free(status);
    status = NULL;
  }
  char *report = NULL;
  if (status == NULL) status = leat_program_report(program, &report);
  leat_string_free(report);
  leat_program_destroy(program);
  return status;
}

// What the reports and the proofs make of it.
static leat_status_t look_at(const leat_pef_t *pef) {
  leat_flow_t flow;
  leat_findings_t found;
  LEAT_TRY(leat_flow_find(pef, &flow));
  leat_flow_deinit(&flow);
  leat_status_t status = leat_legal_find(pef, &found);
  if (status == NULL) leat_findings_deinit(&found);
  const bool unsupported = leat_status_code(status) == LEAT_UNSUPPORTED;
  if (unsupported) leat_status_free(status);
  return unsupported ? NULL : status;
}

// What a chip would make of it, or that it does not fit.
static leat_status_t plan_it(const leat_pef_t *pef) {
  leat_chip_t chip;
  leat_chip_plan_t plan;
  if (!leat_chip_built_in("tiny", &chip)) return NULL;
  leat_status_t status = leat_chip_plan_make(&chip, pef, 0, &plan);
  if (status == NULL) leat_chip_plan_deinit(&plan);
  const bool unsupported = leat_status_code(status) == LEAT_UNSUPPORTED;
  if (unsupported) leat_status_free(status);
  return unsupported ? NULL : status;
}

// What the checker accepts is computed, but for lack of memory. A file that lost both its arch and native's layout is
// one for another target.
static leat_status_t feed_pef(const char *path, uint64_t round, uint32_t *out_used) {
  leat_pef_t *pef = NULL;
  LEAT_TRY(leat_pef_open(path, &pef));
  *out_used = is_small(pef) && (pef->layout_count != 0 || pef->buffer_count == 0);
  leat_status_t status = *out_used && pef->loop_count != 0 ? look_at(pef) : NULL;
  if (status == NULL) status = plan_it(pef);
  leat_pef_close(pef);
  if (status == NULL && *out_used) status = run_program(path, round);
  if (status == NULL || leat_status_code(status) == LEAT_OUT_OF_MEMORY) return status;
  leat_status_t fault = leat_status_make(LEAT_INTERNAL, "accepted, but: %s", leat_status_message(status));
  leat_status_free(status);
  return fault;
}

static leat_status_t touch(leat_status_t status, leat_tensors_t *tensors, uint32_t *out_used) {
  volatile uint8_t sum = 0;
  for (uint32_t i = 0; tensors != NULL && i < tensors->items.count; ++i) {
    const leat_io_tensor_t *tensor = &tensors->items.data[i];
    for (size_t k = 0; k < tensor->data_bytes; ++k) sum = (uint8_t)(sum + ((const uint8_t *)tensor->data)[k]);
    *out_used |= tensor->data_bytes != 0;
  }
  leat_tensors_destroy(tensors);
  return status;
}

#define FEED_TENSORS(name)                                                                 \
  static leat_status_t feed_##name(const char *path, uint64_t round, uint32_t *out_used) { \
    leat_tensors_t *tensors = NULL;                                                        \
    (void)round;                                                                           \
    leat_status_t status = leat_##name##_read(path, &tensors);                             \
    return touch(status, tensors, out_used);                                               \
  }
FEED_TENSORS(weights)
FEED_TENSORS(npy)
FEED_TENSORS(idx)

static bool graph_is_small(const leat_graph_t *graph) {
  for (uint32_t i = 0; i < graph->values.count; ++i) {
    const leat_value_t *value = &graph->values.data[i];
    if (!leat_value_fits(value) || leat_value_elements(value) > 1 << 16) return false;
  }
  return true;
}

static leat_status_t compile_graph(leat_graph_t *graph, uint64_t round) {
  leat_compile_options_t options = leat_compile_options_default();
  options.optim_level = round % 4 < 2 ? (uint32_t)round % 4 : 3;
  options.inference = round % 3 == 0;
  leat_status_t status = sample_fill_constants(graph);
  if (status == NULL) status = leat_compile(graph, &options, "mutate_test.out");
  unlink("mutate_test.out");
  return status;
}

// Text has no path: the caller of the library names the program.
static leat_status_t feed_graph(const char *path, uint64_t round, uint32_t *out_used) {
  leat_mapping_t text;
  leat_graph_t *graph = NULL;
  LEAT_TRY(leat_file_map(path, &text));
  leat_status_t status = leat_graph_parse((const char *)text.data, text.data_bytes, &graph);
  if (status == NULL) {
    *out_used = graph_is_small(graph);
    if (*out_used) status = compile_graph(graph, round);
    leat_graph_destroy(graph);
  }
  leat_file_unmap(&text);
  return leat_status_annotate(status, "%s", path);
}

// --- what a refusal looks like -----------------------------------------------------------------------------------

static bool is_printable(const char *text) {
  for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; ++c) {
    if (*c < ' ' || *c == 0x7f) return false;
  }
  return true;
}

static const char *fault_of(leat_status_t status, const char *file) {
  const char *message = leat_status_message(status);
  const int code = leat_status_code(status);
  const bool expected = code != LEAT_INTERNAL && code != LEAT_IO && code != LEAT_NOT_FOUND;
  if (!expected) return "its code is not one of a bad file";
  if (strstr(message, file) == NULL) return "the message does not name the file";
  if (strlen(message) < strlen(file) + 12) return "the message says nothing";
  if (!is_printable(message)) return "the message has control characters";
  if (strstr(message, "internal") != NULL) return "the message blames the library";
  return NULL;
}

// --- the rounds --------------------------------------------------------------------------------------------------

static uint64_t number_from(const char *name, uint64_t otherwise) {
  const char *text = getenv(name);
  return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static void write_file(const char *path, const mutant_t *mutant) {
  FILE *file = fopen(path, "wb");
  assert_non_null(file);
  assert_int_equal(fwrite(mutant->data, 1, mutant->bytes, file), mutant->bytes);
  assert_int_equal(fclose(file), 0);
}

static void make_mutant(const kind_t *kind, const seed_t *seed, uint64_t round, mutant_t *mutant) {
  memcpy(mutant->data, seed->data, seed->bytes);
  mutant->bytes = seed->bytes;
  const bool mend = round % 2 == 0;
  for (uint64_t n = 1 + mutate_below(mutant, 3); n > 0; --n) {
    if (mutate_below(mutant, 8) == 0) {
      mutate_bytes(mutant);
    } else {
      kind->mutate(mutant);
    }
  }
  if (mend && kind->mend != NULL) kind->mend(mutant);
}

static void run_kind(const kind_t *kind) {
  const uint64_t rounds = number_from("LEAT_MUTATIONS", 300), start = number_from("LEAT_MUTATION_SEED", 1);
  seed_t seeds[SEEDS_MAX];
  const uint32_t seed_count = kind->seeds != NULL ? read_seeds(kind, seeds) : compile_seeds(kind->file, seeds);
  mutant_t mutant = {.data = leat_alloc(FILE_MAX), .capacity = FILE_MAX};
  uint64_t refused = 0, used = 0;
  for (uint64_t round = 0; round < rounds; ++round) {
    mutant.random = start * 1000003 + round;
    make_mutant(kind, &seeds[mutate_below(&mutant, seed_count)], round, &mutant);
    write_file(kind->file, &mutant);
    uint32_t whole = 0;
    leat_status_t status = kind->feed(kind->file, round, &whole);
    const char *fault = status != NULL ? fault_of(status, kind->file) : NULL;
    if (fault != NULL)
      fail_msg("%s, round %llu: %s: %s", kind->file, (unsigned long long)round, fault, leat_status_message(status));
    refused += status != NULL;
    used += status == NULL && whole;
    leat_status_free(status);
  }
  print_message("%s: %llu mutated files, %llu refused, %llu of the others used whole\n", kind->name,
                (unsigned long long)rounds, (unsigned long long)refused, (unsigned long long)used);
  assert_true(refused > rounds / 10 && (used > 0 || rounds < 200));
  unlink(kind->file);
  for (uint32_t i = 0; i < seed_count; ++i) leat_free(seeds[i].data);
  leat_free(mutant.data);
}

static void mutate_any(mutant_t *mutant) { mutate_bytes(mutant); }

static const kind_t kinds[] = {
    {"pef", "mutate_test.pef", NULL, mutate_pef, mend_pef, feed_pef},
    {"pef of version 1", "mutate_test.pef",
     (const char *const[]){"pef/1.0/bf16_infer/program.pef", "pef/1.0/integers_infer/program.pef",
                           "pef/1.0/lenet_train/program.pef", "pef/1.0/volumes_infer/program.pef",
                           "pef/1.1/language_groups/program.pef", "pef/1.1/noise_train/program.pef",
                           "pef/1.1/recurrent_infer/program.pef", "pef/1.1/wide_infer/program.pef", NULL},
     mutate_pef, mend_pef, feed_pef},
    {"checkpoint", "mutate_test.pt",
     (const char *const[]){"nested.pt", "module.pt", "protocol4.pt", "legacy.pt", "deflated.pt", "expanded.pt", NULL},
     mutate_any, mend_zip, feed_weights},
    {"safetensors", "mutate_test.safetensors", (const char *const[]){"small.safetensors", NULL}, mutate_text,
     mend_safetensors, feed_weights},
    {"npy", "mutate_test.npy",
     (const char *const[]){"plain.npy", "fortran.npy", "scalar.npy", "version2.npy", "version3.npy", NULL}, mutate_text,
     mend_npy, feed_npy},
    {"idx", "mutate_test.idx", (const char *const[]){"bytes.idx", NULL}, mutate_any, mend_gzip, feed_idx},
    {"idx.gz", "mutate_test.idx.gz", (const char *const[]){"floats.idx.gz", NULL}, mutate_any, NULL, feed_idx},
    {"graph", "mutate_test.graph",
     (const char *const[]){"graphs/attention.graph", "graphs/convolutions.graph", "graphs/dropout.graph",
                           "graphs/indices.graph", "graphs/losses.graph", "graphs/numbers.graph",
                           "graphs/volumes.graph", NULL},
     mutate_text, NULL, feed_graph},
};

static void mutated(void **state) { run_kind(*state); }

#define KIND(index, label) \
  { .name = "mutated_" label, .test_func = mutated, .initial_state = (void *)(uintptr_t)&kinds[index] }

int main(void) {
  if (getenv("LEAT_MUTATION_KIND") != NULL) cmocka_set_test_filter(getenv("LEAT_MUTATION_KIND"));
  const struct CMUnitTest tests[] = {
      KIND(0, "pef"), KIND(1, "pef_of_version_1"), KIND(2, "checkpoint"), KIND(3, "safetensors"), KIND(4, "npy"),
      KIND(5, "idx"), KIND(6, "idx_gz"),           KIND(7, "graph")};
  return cmocka_run_group_tests_name("mutate", tests, NULL, NULL);
}
