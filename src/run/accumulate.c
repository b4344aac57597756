// SPDX-License-Identifier: Apache-2.0
// Gradients of several batches for one update, of files before 2.1, which do not add them up themselves: those of
// parameters are added up beside the program's memory, and the last batch leaves their mean where the sections of the
// optimizer read it.
//
// Sums are f32 (f64 for f64 gradients) and are added element by element in the order of the batches, so their bits
// depend neither on the number of threads nor on how elements are shared among them.
#include "run/batches.h"
#include "run/threads.h"

enum { STRIP = 256 };  // elements converted at once

static bool is_summed(const leat_pef_t *pef, uint32_t symbol) {
  const pef_symbol_t *file = &pef->symbols[symbol];
  return file->kind == PEF_SYMBOL_GRADIENT && file->of < pef->symbol_count &&
         pef->symbols[file->of].kind == PEF_SYMBOL_PARAMETER && leat_pef_dtype_class(file->dtype) != PEF_CLASS_I64;
}

static size_t element_count(const pef_symbol_t *file) {
  return (size_t)file->bytes / leat_pef_dtype_bytes(file->dtype);
}

static size_t sum_bytes(const pef_symbol_t *file) { return file->dtype == PEF_F64 ? sizeof(double) : sizeof(float); }

// Places a sum for every gradient that has none in the program beside; returns the bytes they take together, SIZE_MAX
// where they cannot be counted.
static size_t place_sums(leat_program_t *program, char *block) {
  size_t total = 0;
  for (uint32_t s = 0; s < program->pef->symbol_count; s++) {
    const pef_symbol_t *file = &program->pef->symbols[s];
    if (!is_summed(program->pef, s) || program->symbols[s].sum != NULL) continue;
    if (block != NULL) program->symbols[s].sum = block + total;
    size_t bytes;
    if (!leat_size_mul(element_count(file), sum_bytes(file), &bytes)) return SIZE_MAX;
    if (!leat_size_add(total, (bytes + 63) / 64 * 64, &total)) return SIZE_MAX;
  }
  return total;
}

static bool is_used(const leat_pef_t *pef, uint32_t type, uint32_t symbol) {
  for (uint32_t c = 0; c < pef->call_count; c++) {
    const pef_call_t *call = &pef->calls[c];
    for (uint32_t i = 0; i < call->argument_count && call->type == type; i++) {
      const pef_argument_t *argument = &pef->arguments[call->argument_first + i];
      if (argument->kind == PEF_PLACE_SYMBOL && argument->symbol == symbol) return true;
    }
  }
  return false;
}

// Such files may update a parameter by what its gradient was made of, elsewhere in memory: the last batch's alone.
static leat_status_t check_updates(const leat_pef_t *pef) {
  for (uint32_t s = 0; s < pef->symbol_count; s++) {
    if (!is_summed(pef, s) || !is_used(pef, PEF_OPT, pef->symbols[s].of) || is_used(pef, PEF_OPT, s)) continue;
    LEAT_FAIL(LEAT_UNSUPPORTED,
              "the update of '%s' does not read its gradient where those of several batches are added up, as in some "
              "files before version 2.1: compile the program again",
              pef->strings + pef->symbols[pef->symbols[s].of].name);
  }
  return NULL;
}

leat_status_t leat_run_sums_prepare(leat_program_t *program) {
  LEAT_TRY(check_updates(program->pef));
  const size_t bytes = place_sums(program, NULL);
  if (bytes == 0) return NULL;
  if (bytes != SIZE_MAX) program->sums = leat_run_pages_map(bytes);
  if (program->sums == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for %zu bytes of accumulated gradients", bytes);
  program->sum_bytes = bytes;
  (void)place_sums(program, program->sums);
  return NULL;
}

typedef struct sum_job_s {
  leat_program_t *program;
  uint32_t index, steps, workers;
} sum_job_t;

// values[i] is the gradient on entry, and on the last step the mean on return.
#define ADD_STRIP(type)                                                                             \
  static void add_strip_##type(const sum_job_t *job, type *sums, type *values, size_t count) {      \
    const type steps = (type)job->steps;                                                            \
    for (size_t i = 0; i < count; i++) sums[i] = job->index == 0 ? values[i] : sums[i] + values[i]; \
    if (job->index + 1 < job->steps) return;                                                        \
    for (size_t i = 0; i < count; i++) values[i] = sums[i] / steps;                                 \
  }
ADD_STRIP(float)
ADD_STRIP(double)

static void add_range(const sum_job_t *job, uint32_t symbol, size_t first, size_t end) {
  const pef_symbol_t *file = &job->program->pef->symbols[symbol];
  const leat_run_engine_t *engine = job->program->engine;
  const void *state = job->program->engine_state;
  const size_t bytes = leat_pef_dtype_bytes(file->dtype);
  const uint32_t class_ = file->dtype == PEF_F64 ? PEF_CLASS_F64 : PEF_CLASS_F32;
  union {
    float f[STRIP];
    double d[STRIP];
  } values;
  for (size_t i = first; i < end; i += STRIP) {
    const size_t count = end - i < STRIP ? end - i : STRIP;
    char *data = job->program->symbols[symbol].data + i * bytes, *sums = job->program->symbols[symbol].sum;
    engine->load(state, class_, file->dtype, &values, data, 1, (int64_t)count);
    if (class_ == PEF_CLASS_F64) {
      add_strip_double(job, (double *)(void *)sums + i, values.d, count);
    } else {
      add_strip_float(job, (float *)(void *)sums + i, values.f, count);
    }
    if (job->index + 1 == job->steps) engine->store(state, class_, file->dtype, data, 1, &values, (int64_t)count);
  }
}

static void add_share(void *context, uint32_t worker) {
  const sum_job_t *job = context;
  for (uint32_t s = 0; s < job->program->pef->symbol_count; s++) {
    if (job->program->symbols[s].sum == NULL) continue;
    const size_t count = element_count(&job->program->pef->symbols[s]);
    add_range(job, s, count * worker / job->workers, count * (worker + 1) / job->workers);
  }
}

void leat_run_sums_add(leat_program_t *program, uint32_t index, uint32_t steps) {
  sum_job_t job = {.program = program, .index = index, .steps = steps, .workers = 1};
  const double moved = 3 * (double)program->sum_bytes;  // gradients are read, sums are read and written
  const double seconds = leat_arch_seconds(&program->arch, program->level, 0, moved);
  if (program->pool == NULL || !leat_run_is_worth_waking(program, seconds)) {
    add_share(&job, 0);
    return;
  }
  job.workers = leat_run_threads_count(program->pool);
  leat_run_threads_run(program->pool, add_share, &job);
}
