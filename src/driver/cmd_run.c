// SPDX-License-Identifier: Apache-2.0
// leat run: loads a PEF, fills its symbols from files, runs it, writes symbols to files.
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "driver/cmd.h"
#include "io/npy.h"
#include "pef/flow.h"

typedef struct run_options_s {
  const char *weights, *isa, *engine;
  leat_cmd_list_t inputs, outputs, sections, settings;
  uint32_t threads, steps;
  bool profile, json, allow_unused;
} run_options_t;

static const leat_cmd_option_t option_table[] = {
    {"--weights", "FILE", "parameters and buffers, from a .pt or .safetensors file", LEAT_CMD_TEXT,
     offsetof(run_options_t, weights)},
    {"--allow-unused", NULL, "let entries of --weights through that the program does not use; they are named",
     LEAT_CMD_FLAG, offsetof(run_options_t, allow_unused)},
    {"--input", "NAME=FILE", "fill symbol NAME from a .npy file: every input that outputs need", LEAT_CMD_LIST,
     offsetof(run_options_t, inputs)},
    {"--output", "NAME=FILE", "write symbol NAME to a .npy file after the last step", LEAT_CMD_LIST,
     offsetof(run_options_t, outputs)},
    {"--section", "TYPE", "fwd (the default), bckwd, gradnorm, opt, reduce, gather or all", LEAT_CMD_LIST,
     offsetof(run_options_t, sections)},
    {"--set", "NAME=NUMBER", "set a hyperparameter", LEAT_CMD_LIST, offsetof(run_options_t, settings)},
    {"--steps", "N", "run so many times (1)", LEAT_CMD_STEPS, offsetof(run_options_t, steps)},
    {"--threads", "N", "use so many threads (LEAT_NUM_THREADS, OMP_NUM_THREADS, what the machine allows)",
     LEAT_CMD_THREADS, offsetof(run_options_t, threads)},
    {"--isa", "LEVEL", "use no more than portable, avx2 or avx512 (LEAT_ISA)", LEAT_CMD_TEXT,
     offsetof(run_options_t, isa)},
    {"--engine", "NAME",
     "native, ref (slow, straight from the format's text) or compare: both, differences are errors "
     "(LEAT_ENGINE)",
     LEAT_CMD_TEXT, offsetof(run_options_t, engine)},
    {"--profile", NULL, "time every section and stage", LEAT_CMD_FLAG, offsetof(run_options_t, profile)},
    {"--json", NULL, "report as one JSON object", LEAT_CMD_FLAG, offsetof(run_options_t, json)},
};

static const struct {
  const char *name;
  uint32_t types;
} section_types[] = {
    {"fwd", LEAT_SECTIONS_FWD}, {"bckwd", LEAT_SECTIONS_BCKWD},   {"gradnorm", LEAT_SECTIONS_GRADNORM},
    {"opt", LEAT_SECTIONS_OPT}, {"reduce", LEAT_SECTIONS_REDUCE}, {"gather", LEAT_SECTIONS_GATHER},
    {"all", LEAT_SECTIONS_ALL},
};

// One --output: what it reads and where that goes.
typedef struct target_s {
  uint32_t symbol;
  const char *path;
} target_t;

static leat_status_t parse_section(const char *name, uint32_t *types) {
  for (size_t i = 0; i < sizeof section_types / sizeof *section_types; ++i) {
    if (strcmp(section_types[i].name, name) != 0) continue;
    *types |= section_types[i].types;
    return NULL;
  }
  LEAT_FAIL(LEAT_INVALID_ARGUMENT, "--section %s: it is fwd, bckwd, gradnorm, opt, reduce, gather or all", name);
}

static leat_status_t parse_sections(const leat_cmd_list_t *names, uint32_t *out_types) {
  *out_types = names->count ? 0 : LEAT_SECTIONS_FWD;
  for (uint32_t i = 0; i < names->count; ++i) LEAT_TRY(parse_section(names->data[i], out_types));
  return NULL;
}

// The symbol and the path of a "NAME=FILE" argument.
static leat_status_t resolve(const leat_program_t *program, const char *option, const char *argument, uint32_t kind,
                             target_t *out_target) {
  char *name = NULL;
  LEAT_TRY(leat_cmd_split(option, argument, &name, &out_target->path));
  leat_status_t status = leat_cmd_find_symbol(program, name, kind, &out_target->symbol);
  leat_free(name);
  return leat_status_annotate(status, "%s %s", option, argument);
}

static void put_type(leat_text_t *out, uint32_t dtype, uint32_t rank, const int64_t *dims) {
  leat_text_put(out, "%s[", leat_io_dtype_name(dtype));
  for (uint32_t d = 0; d < rank; ++d) leat_text_put(out, "%s%lld", d ? "," : "", (long long)dims[d]);
  leat_text_put(out, "]");
}

// One dim has fewer elements, as in the last batch of a data set.
static bool has_fewer_rows(const leat_symbol_info_t *info, const leat_io_tensor_t *array) {
  uint32_t smaller = 0, others = 0;
  if (array->dtype != info->dtype || array->rank != info->rank) return false;
  for (uint32_t d = 0; d < info->rank; ++d) {
    smaller += array->dims[d] < info->dims[d];
    others += array->dims[d] > info->dims[d];
  }
  return smaller == 1 && others == 0;
}

static leat_status_t wrong_type(const leat_symbol_info_t *info, const leat_io_tensor_t *array) {
  leat_text_t text = {0};
  leat_text_put(&text, "the file holds ");
  put_type(&text, array->dtype, array->rank, array->dims);
  leat_text_put(&text, ", symbol %s is ", info->name);
  put_type(&text, info->dtype, info->rank, info->dims);
  if (has_fewer_rows(info, array)) {
    leat_text_put(&text,
                  "; a PEF alone runs whole batches, since rows that fill one up would count in its statistics and "
                  "losses: compile another for that number of rows");
  }
  leat_status_t status = leat_status_make(LEAT_INVALID_ARGUMENT, "%s", text.data ? text.data : "wrong dtype or shape");
  leat_text_deinit(&text);
  return status;
}

static leat_status_t write_symbol(leat_program_t *program, const target_t *input) {
  leat_symbol_info_t info;
  LEAT_TRY(leat_program_symbol_info(program, input->symbol, &info));
  leat_tensors_t *file = NULL;
  LEAT_TRY(leat_npy_read(input->path, &file));
  const leat_io_tensor_t *array = &file->items.data[0];
  const bool fits = array->dtype == info.dtype && array->rank == info.rank &&
                    memcmp(array->dims, info.dims, info.rank * sizeof *info.dims) == 0;
  leat_status_t status =
      fits ? leat_program_write(program, input->symbol, array->data, array->data_bytes) : wrong_type(&info, array);
  leat_tensors_destroy(file);
  return leat_status_annotate(status, "%s", input->path);
}

// What a run is about: the asked outputs and the symbols that were filled.
typedef struct job_s {
  leat_program_t *program;
  const run_options_t *options;
  uint32_t types;
  target_t *targets;  // one an --output
  bool *given;        // one a symbol
} job_t;

static leat_status_t write_inputs(const job_t *job) {
  const leat_cmd_list_t *inputs = &job->options->inputs;
  for (uint32_t i = 0; i < inputs->count; ++i) {
    target_t input;
    LEAT_TRY(resolve(job->program, "--input", inputs->data[i], LEAT_SYMBOL_INPUT, &input));
    LEAT_TRY(write_symbol(job->program, &input));
    job->given[input.symbol] = true;
  }
  return NULL;
}

// Every input that the asked outputs depend on must be given; where no output is asked for, every input.
static leat_status_t check_inputs(const job_t *job, const leat_pef_t *pef, bool *needed) {
  const uint32_t output_count = job->options->outputs.count;
  for (uint32_t i = 0; i < pef->symbol_count; ++i)
    needed[i] = output_count == 0 && pef->symbols[i].kind == PEF_SYMBOL_INPUT;
  for (uint32_t i = 0; i < output_count; ++i) needed[job->targets[i].symbol] = true;
  if (output_count) LEAT_TRY(leat_flow_needs(pef, job->types, needed));
  for (uint32_t i = 0; i < pef->symbol_count; ++i) {
    const char *name = pef->strings + pef->symbols[i].name;
    if (pef->symbols[i].kind == PEF_SYMBOL_INPUT && needed[i] && !job->given[i])
      LEAT_FAIL(LEAT_INVALID_ARGUMENT, "input %s is missing: --input %s=FILE.npy", name, name);
  }
  return NULL;
}

static leat_status_t set_hyperparameter(leat_program_t *program, const char *argument) {
  target_t setting;
  LEAT_TRY(resolve(program, "--set", argument, LEAT_SYMBOL_HYPERPARAMETER, &setting));
  leat_symbol_info_t info;
  LEAT_TRY(leat_program_symbol_info(program, setting.symbol, &info));
  if (info.kind != LEAT_SYMBOL_HYPERPARAMETER)
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "--set %s: %s is not a hyperparameter", argument, info.name);
  const char *end;
  const double value = leat_text_read_double(setting.path, &end);
  if (end == setting.path || *end != '\0')
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "--set %s: '%s' is not a number", argument, setting.path);
  return leat_program_set_hyperparameter(program, setting.symbol, value);
}

// Only the outputs that are written need to be stored.
static leat_status_t enable_outputs(leat_program_t *program, const target_t *targets, uint32_t target_count) {
  uint32_t count = 0, *outputs = leat_alloc((target_count + 1u) * sizeof *outputs);
  if (outputs == NULL) return leat_out_of_memory();
  leat_status_t status = NULL;
  for (uint32_t t = 0; t < target_count && status == NULL; ++t) {
    leat_symbol_info_t info;
    status = leat_program_symbol_info(program, targets[t].symbol, &info);
    if (status == NULL && info.kind == LEAT_SYMBOL_OUTPUT) outputs[count++] = targets[t].symbol;
  }
  if (status == NULL) status = leat_program_enable_outputs(program, outputs, count);
  leat_free(outputs);
  return status;
}

static leat_status_t write_output(const leat_program_t *program, const target_t *target) {
  leat_symbol_info_t info;
  LEAT_TRY(leat_program_symbol_info(program, target->symbol, &info));
  void *data = leat_alloc(info.data_bytes + 1);
  if (!data) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "out of memory for output %s", info.name);
  leat_status_t status = leat_program_read(program, target->symbol, data, info.data_bytes);
  leat_io_tensor_t tensor = {
      .name = info.name, .dtype = info.dtype, .rank = info.rank, .data = data, .data_bytes = info.data_bytes};
  memcpy(tensor.dims, info.dims, sizeof tensor.dims);
  if (!status) status = leat_npy_write(target->path, &tensor);
  leat_free(data);
  return leat_status_annotate(status, "--output %s", target->path);
}

static double now_seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int compare_doubles(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

// Runs `count` times; the median of one run in *out_seconds.
static leat_status_t run_steps(leat_program_t *program, uint32_t types, uint32_t count, double *out_seconds) {
  double *seconds = leat_alloc_zero(count, sizeof *seconds);
  if (!seconds) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "out of memory for the times of %u steps", count);
  leat_status_t status = NULL;
  for (uint32_t i = 0; !status && i < count; ++i) {
    const double start = now_seconds();
    status = leat_program_run(program, types);
    seconds[i] = now_seconds() - start;
  }
  qsort(seconds, count, sizeof *seconds, compare_doubles);
  *out_seconds = seconds[count / 2];
  leat_free(seconds);
  return status;
}

static leat_status_t print_report(const leat_program_t *program, const run_options_t *options, uint32_t steps,
                                  double seconds) {
  char *report = NULL;
  leat_status_t status = NULL;
  if (options->profile) LEAT_TRY(leat_program_report(program, &report));
  if (options->json) {
    printf("{\"steps\":%u,\"threads\":%u,\"median_us\":%.3f,\"report\":%s}\n", steps,
           leat_program_thread_count(program), 1e6 * seconds, report ? report : "null");
  } else {
    printf("%u step%s on %u thread%s, median %.1f us\n", steps, steps == 1 ? "" : "s",
           leat_program_thread_count(program), leat_program_thread_count(program) == 1 ? "" : "s", 1e6 * seconds);
    leat_text_t table = {0};
    if (report != NULL) status = leat_cmd_put_profile(report, &table);
    if (status == NULL && report != NULL) fputs(table.data, stdout);
    leat_text_deinit(&table);
  }
  leat_string_free(report);
  return status;
}

static leat_status_t load_weights(leat_program_t *program, const run_options_t *options) {
  if (!options->allow_unused) return leat_program_load_weights(program, options->weights);
  char *unused = NULL;
  LEAT_TRY(leat_program_load_weights_of(program, options->weights, &unused));
  if (unused != NULL) fprintf(stderr, "[warning samba] %s: not used by the program: %s\n", options->weights, unused);
  leat_string_free(unused);
  return NULL;
}

static leat_status_t fill(const job_t *job, const leat_pef_t *pef, bool *needed) {
  const run_options_t *options = job->options;
  for (uint32_t i = 0; i < options->outputs.count; ++i)
    LEAT_TRY(resolve(job->program, "--output", options->outputs.data[i], LEAT_SYMBOL_OUTPUT, &job->targets[i]));
  if (options->weights) LEAT_TRY(load_weights(job->program, options));
  for (uint32_t i = 0; i < options->settings.count; ++i)
    LEAT_TRY(set_hyperparameter(job->program, options->settings.data[i]));
  LEAT_TRY(write_inputs(job));
  return check_inputs(job, pef, needed);
}

static leat_status_t run_job(const job_t *job) {
  const run_options_t *options = job->options;
  const uint32_t steps = options->steps != 0 ? options->steps : 1;
  double seconds = 0;
  LEAT_TRY(enable_outputs(job->program, job->targets, options->outputs.count));
  LEAT_TRY(run_steps(job->program, job->types, steps, &seconds));
  for (uint32_t i = 0; i < options->outputs.count; ++i) LEAT_TRY(write_output(job->program, &job->targets[i]));
  return print_report(job->program, options, steps, seconds);
}

static leat_status_t run_loaded(leat_program_t *program, const leat_pef_t *pef, const run_options_t *options) {
  job_t job = {.program = program, .options = options};
  LEAT_TRY(parse_sections(&options->sections, &job.types));
  job.targets = leat_alloc_zero(options->outputs.count + 1, sizeof *job.targets);
  job.given = leat_alloc_zero(pef->symbol_count + 1, sizeof *job.given);
  bool *needed = leat_alloc_zero(pef->symbol_count + 1, sizeof *needed);
  leat_status_t status = NULL;
  if (!job.targets || !job.given || !needed)
    status = leat_status_make(LEAT_OUT_OF_MEMORY, "out of memory for the symbols");
  if (!status) status = fill(&job, pef, needed);
  if (!status) status = run_job(&job);
  leat_free(needed);
  leat_free(job.given);
  leat_free(job.targets);
  return status;
}

// --threads, else LEAT_NUM_THREADS, else OMP_NUM_THREADS, else 0: what the machine allows.
static leat_status_t choose_threads(uint32_t asked, uint32_t *out_count) {
  static const char *const variables[] = {"LEAT_NUM_THREADS", "OMP_NUM_THREADS"};
  *out_count = asked;
  for (size_t i = 0; i < sizeof variables / sizeof *variables && *out_count == 0; ++i) {
    const char *text = getenv(variables[i]);
    if (!text || !*text) continue;
    char *end;
    const unsigned long count = strtoul(text, &end, 10);
    // OpenMP's variable may hold a list, one count a nesting level: the first counts.
    if (end == text || (*end && *end != ',') || count == 0 || count > LEAT_THREADS_MAX)
      LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%s='%s': a number of threads from 1 to %d is expected", variables[i], text,
                LEAT_THREADS_MAX);
    *out_count = (uint32_t)count;
  }
  return NULL;
}

static const char *from_environment(const char *variable) {
  const char *text = getenv(variable);
  return text && *text ? text : NULL;
}

static leat_status_t run(const void *opaque, const char *const *operands) {
  const run_options_t *options = opaque;
  leat_load_options_t load = leat_load_options_default();
  LEAT_TRY(choose_threads(options->threads, &load.thread_count));
  load.isa = options->isa ? options->isa : from_environment("LEAT_ISA");
  load.engine = options->engine ? options->engine : from_environment("LEAT_ENGINE");
  load.profile = options->profile;
  leat_program_t *program = NULL;
  leat_pef_t *pef = NULL;
  LEAT_TRY(leat_program_load(operands[0], &load, &program));
  leat_status_t status = leat_pef_open(operands[0], &pef);
  if (!status) status = run_loaded(program, pef, options);
  leat_pef_close(pef);
  leat_program_destroy(program);
  return status;
}

const leat_cmd_t leat_cmd_run = {
    .name = "run",
    .usage = "run FILE.pef [options]",
    .summary = "runs a PEF on tensors from .npy files",
    .examples =
        "A symbol is meant by its name, by words of its name, or by its number among the inputs or outputs;\n"
        "leat info lists them.\n\n"
        "examples:\n"
        "  leat run lenet.pef --weights lenet.pt --input image=x.npy --output fc3=y.npy\n"
        "  leat run lenet.pef --weights lenet.safetensors --input image=x.npy --output 1=y.npy --threads 2\n"
        "  leat run train.pef --section all --steps 100 --set lr=0.1 --input image=x.npy --input label=t.npy \\\n"
        "           --output fc3__weight=w.npy --profile\n",
    .options = option_table,
    .option_count = sizeof option_table / sizeof *option_table,
    .operand_count = 1,
    .options_bytes = sizeof(run_options_t),
    .run = run,
};
