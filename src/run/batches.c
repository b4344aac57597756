// SPDX-License-Identifier: Apache-2.0
// See batches.h. A file before 2.1 has no such loop: its metadata says how many batches a run or an update takes.
#include "run/batches.h"

#include <cjson/cJSON.h>

#include "run/bounds.h"

enum { BATCHES_MAX = 1048576 };  // of the options that files before 2.1 remember

// --- load ------------------------------------------------------------------------------------------------------

static uint32_t greatest(uint32_t types) { return types == 0 ? 0 : 1u << (31 - __builtin_clz(types)); }

static uint32_t types_of(const leat_pef_t *pef, uint32_t first, uint32_t end) {
  uint32_t types = 0;
  for (uint32_t c = first; c < end; c++) types |= 1u << pef->calls[c].type;
  return types;
}

static void take_loop(const leat_pef_t *pef, const pef_loop_t *loop, leat_run_batches_t *batches) {
  const uint32_t end = loop->call_first + loop->call_count;
  batches->trips = loop->trips;
  batches->types = types_of(pef, loop->call_first, end);
  batches->behind = types_of(pef, end, pef->call_count);
  batches->counts = batches->behind != 0;
  for (uint32_t c = loop->call_first; c < end; c++) batches->counts |= pef->calls[c].when != PEF_WHEN_ALWAYS;
}

static uint32_t remembered(const cJSON *facts, const char *name) {
  const cJSON *item = cJSON_GetObjectItemCaseSensitive(facts, name);
  const double count = cJSON_IsNumber(item) ? item->valuedouble : 1;
  return count >= 1 && count <= BATCHES_MAX ? (uint32_t)count : 1;
}

static void take_metadata(const leat_program_t *program, leat_run_batches_t *batches) {
  cJSON *root = cJSON_Parse(program->pef->metadata);
  const cJSON *facts = cJSON_GetObjectItemCaseSensitive(root, "leat");
  const uint32_t of_run = remembered(facts, "num_spatial_batches");
  const uint32_t of_update = remembered(facts, "grad_accumulation_steps");
  cJSON_Delete(root);
  batches->types = 1u << PEF_FWD | 1u << PEF_BCKWD;
  batches->behind = program->section_types & ~(batches->types | 1u << PEF_PREPARE);
  batches->sums = batches->counts = of_run == 1 && of_update > 1;
  batches->trips = batches->sums ? of_update : of_run;
}

leat_status_t leat_run_batches_prepare(leat_program_t *program, const leat_program_t *beside) {
  const leat_pef_t *pef = program->pef;
  leat_run_batches_t *batches = &program->batches;
  const pef_loop_t *loop = leat_pef_batches(pef);
  *batches = (leat_run_batches_t){.trips = 1};
  program->whens = 1u << PEF_WHEN_ALWAYS;
  if (loop != NULL)
    take_loop(pef, loop, batches);
  else if (pef->version_major == 1 || pef->version_minor == 0)
    take_metadata(program, batches);
  program->count = beside == NULL ? &program->own_count : beside->count;
  if (beside != NULL && (beside->batches.trips != batches->trips || beside->batches.counts != batches->counts)) {
    LEAT_FAIL(LEAT_MISMATCH, "the program beside repeats %u batches, this one %u", beside->batches.trips,
              batches->trips);
  }
  return batches->sums ? leat_run_sums_prepare(program) : NULL;
}

// --- run -------------------------------------------------------------------------------------------------------

// The calls of some trips only that the trip under way makes, as bits.
static uint32_t whens_of_trip(const leat_program_t *program) {
  const uint32_t trip = program->count->done;
  return 1u << (trip == 0 ? PEF_WHEN_FIRST : PEF_WHEN_LATER) | (trip + 1 == program->batches.trips) << PEF_WHEN_LAST;
}

static leat_status_t run_trip(leat_program_t *program, uint32_t types, bool counts) {
  if (counts) program->whens |= whens_of_trip(program);
  leat_status_t status = (types & program->section_types) == 0 ? NULL : leat_run_bounds_run(program, types);
  program->whens = 1u << PEF_WHEN_ALWAYS;
  return status;
}

leat_status_t leat_run_batch(leat_program_t *program, uint32_t types) {
  const leat_run_batches_t *b = &program->batches;
  leat_run_trips_t *count = program->count;
  if (!b->counts) return leat_run_bounds_run(program, types);
  const uint32_t behind = types & b->behind;
  const bool ends = !count->aside && (types & greatest(b->types)) != 0;
  if (ends && count->done >= b->trips) count->done = 0;
  const bool last = !count->aside && count->done + ends == b->trips;
  LEAT_TRY(run_trip(program, last && !b->sums ? types : types & ~b->behind, ends));
  if (ends && b->sums) leat_run_sums_add(program, count->done, b->trips);
  count->done += ends;
  if (!last) return NULL;
  if (b->sums && behind != 0) LEAT_TRY(leat_run_bounds_run(program, behind));
  if ((behind & greatest(b->behind)) != 0) count->done = 0;
  return NULL;
}

static void bind_batch(leat_program_t *program, const uint32_t *symbols, void *const *data, const size_t *step_bytes,
                       uint32_t count, uint32_t batch) {
  for (uint32_t i = 0; i < count; i++) {
    char *first = data[i];
    leat_run_symbol_set(program, symbols[i], first == NULL ? NULL : first + batch * step_bytes[i]);
  }
}

LEAT_EXPORT leat_status_t leat_program_run_batches(leat_program_t *program, const uint32_t *symbols, void *const *data,
                                                   const size_t *step_bytes, uint32_t count, uint32_t types,
                                                   uint32_t batches) {
  const uint32_t most = program->batches.trips;
  if (batches > most) {
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%u batches in a run: the file was compiled for up to %u", batches, most);
  }
  for (uint32_t batch = 0; batch < batches; batch++) {  // all of them before the first, which may update
    bind_batch(program, symbols, data, step_bytes, count, batch);
    LEAT_TRY(leat_status_annotate(leat_program_check(program, types), "batch %u of %u", batch + 1, batches));
  }
  for (uint32_t batch = 0; batch < batches; batch++) {
    bind_batch(program, symbols, data, step_bytes, count, batch);
    LEAT_TRY(leat_program_run(program, types));
  }
  return NULL;
}

// --- facts -----------------------------------------------------------------------------------------------------

LEAT_EXPORT void leat_program_batches(const leat_program_t *program, leat_batches_t *out_batches) {
  const leat_run_batches_t *b = &program->batches;
  *out_batches = (leat_batches_t){.of_run = b->counts ? 1 : b->trips,
                                  .of_update = b->counts ? b->trips : 1,
                                  .waiting = program->count->done % b->trips,
                                  .beside = b->sums};
}

LEAT_EXPORT void leat_program_restart_batches(leat_program_t *program) { program->count->done = 0; }

LEAT_EXPORT void leat_program_set_aside(leat_program_t *program, uint32_t on) { program->count->aside = on != 0; }
