// SPDX-License-Identifier: Apache-2.0
// Loading: from the tables of a validated PEF to prepared stages, bodies and calls; and the facts of a program.
#include "run/program.h"

#include <string.h>

#include "run/batches.h"
#include "run/bounds.h"
#include "run/schedule.h"
#include "run/shares.h"

LEAT_EXPORT leat_load_options_t leat_load_options_default(void) {
  return (leat_load_options_t){.struct_bytes = sizeof(leat_load_options_t)};
}

static void *table(leat_program_t *program, size_t count, size_t bytes) {
  size_t total;
  if (!leat_size_mul(count + 1, bytes, &total)) return NULL;
  return leat_arena_alloc(&program->arena, total);
}

// --- stages ----------------------------------------------------------------------------------------------------

static void run_nothing(const void *plan, const leat_run_tile_t *tile) { (void)plan, (void)tile; }

static leat_status_t prepare_stage(leat_program_t *program, uint32_t index, const pef_body_t *body,
                                   const leat_run_space_t *space) {
  const pef_stage_t *file = &program->pef->stages[index];
  leat_run_stage_t *stage = &program->stages[index];
  *stage = (leat_run_stage_t){.file = file, .run = run_nothing};
  if (leat_pef_stage_is_idle(program->pef, file)) return NULL;
  leat_status_t status = program->engine->prepare(program->engine_state, stage, body, space);
  return leat_status_annotate(status, "stage %u (%s, %s)", index, leat_pef_stage_name(file->kind),
                              program->pef->strings + file->origin);
}

// To whole lines; SIZE_MAX where that does not fit.
static size_t round64(size_t bytes) { return bytes > SIZE_MAX - 63 ? SIZE_MAX : (bytes + 63) / 64 * 64; }

// --- bodies and calls ------------------------------------------------------------------------------------------

static int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Rows of the thread that has the most, as exec.c deals tiles out.
static int64_t busiest_rows(int64_t rows, int64_t tile, int64_t threads) {
  int64_t most = divide_up(divide_up(rows, tile), threads) * tile;
  return most < rows ? most : rows;
}

// Rows of a tile: enough tiles for all threads, whole quanta, never above the file's limit; as high as they may be,
// unless lower ones leave no thread with more rows than the others. The bits of a run do not depend on it.
static int64_t choose_tile_rows(const pef_body_t *body, uint32_t thread_count) {
  int64_t rows = (int64_t)body->row_count, limit = (int64_t)body->tile_rows_max;
  int64_t quantum = body->tile_quantum > 0 ? body->tile_quantum : 1;
  if (limit >= quantum) limit = limit / quantum * quantum;
  int64_t share = divide_up(divide_up(rows, thread_count), quantum) * quantum;
  if (share > limit) {
    int64_t even = divide_up(divide_up(rows, divide_up(share, limit) * thread_count), quantum) * quantum;
    share =
        even < limit && busiest_rows(rows, even, thread_count) < busiest_rows(rows, limit, thread_count) ? even : limit;
  }
  return share < 1 ? 1 : share > rows && rows > 0 ? rows : share;
}

// Lines of a tile along an axis: where there are enough for all threads they share these, and not rows. Who cuts lines
// says so in the file because it reads less.
static int64_t choose_lines(const pef_axis_t *axis, uint32_t thread_count) {
  const int64_t count = (int64_t)axis->count, most = (int64_t)axis->tile_max < count ? (int64_t)axis->tile_max : count;
  const int64_t quantum = axis->quantum, share = divide_up(divide_up(count, thread_count), quantum) * quantum;
  return axis->number == 1 && share < most ? share : most;
}

static void choose_space(const leat_program_t *program, const pef_body_t *file, leat_run_space_t *out_space) {
  const pef_axis_t *axes;
  const uint32_t axis_count = leat_pef_axes(program->pef, file, &axes), threads = program->thread_count;
  const bool lines = axis_count != 0 && axes[0].count >= threads;
  *out_space = (leat_run_space_t){.row_count = (int64_t)file->row_count,
                                  .tile_rows = choose_tile_rows(file, lines ? 1 : threads),
                                  .axis_count = axis_count,
                                  .boxes = 1};
  for (uint32_t i = 0; i < out_space->axis_count; i++) {
    const int64_t count = (int64_t)axes[i].count, tile = choose_lines(&axes[i], lines ? threads : 1);
    out_space->axes[i] = (leat_run_axis_t){count, tile, (count - 1) / tile + 1};
    out_space->boxes *= (uint32_t)out_space->axes[i].tiles;
  }
}

static leat_status_t prepare_body(leat_program_t *program, uint32_t index, size_t *workspace_bytes) {
  const pef_body_t *file = &program->pef->bodies[index];
  leat_run_body_t *body = &program->bodies[index];
  body->stages = program->stages + file->stage_first;
  body->stage_count = file->stage_count;
  choose_space(program, file, &body->space);
  body->tile_count = ((body->space.row_count - 1) / body->space.tile_rows + 1) * body->space.boxes;
  uint64_t scratch_bytes = 0;
  body->buffers = program->buffers + file->buffer_first;
  LEAT_TRY(
      program->engine->lay_out(program->engine_state, file, program->buffers + file->buffer_first, &scratch_bytes));
  size_t scratch = round64(scratch_bytes);
  if (scratch > program->scratch_bytes) program->scratch_bytes = scratch;
  for (uint32_t s = 0; s < file->stage_count; s++) {
    LEAT_TRY(prepare_stage(program, file->stage_first + s, file, &body->space));
    size_t bytes = round64(body->stages[s].workspace_bytes);
    if (bytes > *workspace_bytes) *workspace_bytes = bytes;
  }
  return NULL;
}

// Of a call that moves.
static size_t most_moved_arguments(const leat_pef_t *pef) {
  size_t most = 0;
  for (uint32_t c = 0; c < pef->call_count && pef->move_count != 0; c++) {
    const pef_call_t *call = &pef->calls[c];
    uint32_t moves;
    (void)leat_pef_moves(pef, call->argument_first, call->argument_count, &moves);
    if (moves != 0 && call->argument_count > most) most = call->argument_count;
  }
  return most;
}

// Scratch, workspace and moved arguments of every thread, apart by a line, against false sharing.
static leat_status_t map_worker_block(leat_program_t *program, size_t workspace) {
  size_t bytes = 0;
  program->argument_bytes = most_moved_arguments(program->pef) * sizeof(char *);
  bool fits = leat_size_add(program->scratch_bytes, workspace, &program->worker_bytes) &&
              leat_size_add(program->worker_bytes, 64 + round64(program->argument_bytes), &program->worker_bytes) &&
              leat_size_mul(program->worker_bytes, program->thread_count, &bytes);
  program->worker_block = fits ? leat_run_pages_map(bytes) : NULL;
  if (program->worker_block == NULL) {
    LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for tile buffers of %zu + %zu bytes on %u threads", program->scratch_bytes,
              workspace, program->thread_count);
  }
  program->worker_block_bytes = bytes;
  return NULL;
}

static leat_status_t prepare_bodies(leat_program_t *program) {
  const leat_pef_t *pef = program->pef;
  program->stages = table(program, pef->stage_count, sizeof *program->stages);
  program->bodies = table(program, pef->body_count, sizeof *program->bodies);
  program->buffers = table(program, pef->buffer_count, sizeof *program->buffers);
  if (program->stages == NULL || program->bodies == NULL || program->buffers == NULL) {
    LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for %u stages", pef->stage_count);
  }
  size_t workspace = 64;
  for (uint32_t b = 0; b < pef->body_count; b++) LEAT_TRY(prepare_body(program, b, &workspace));
  return map_worker_block(program, workspace);
}

static leat_status_t prepare_calls(leat_program_t *program) {
  const leat_pef_t *pef = program->pef;
  program->calls = table(program, pef->call_count, sizeof *program->calls);
  if (program->calls == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for %u calls", pef->call_count);
  for (uint32_t c = 0; c < pef->call_count; c++) {
    const pef_call_t *file = &pef->calls[c];
    const leat_run_body_t *body = &program->bodies[file->body];
    const double seconds = leat_arch_seconds(&program->arch, program->level, file->flops, file->bytes);
    // Else waking or meeting the other workers costs more than it gains.
    const bool worth = seconds >= leat_arch_barriers(&program->arch, program->arch.shared_call);
    program->calls[c] = (leat_run_call_t){.body = body,
                                          .type = file->type,
                                          .when = (uint8_t)file->when,
                                          .arguments = program->places + file->argument_first,
                                          .barrier = file->barrier != 0,
                                          .stream = file->stream,
                                          .seconds = seconds,
                                          .shared = worth && body->tile_count > 1};
    program->section_types |= 1u << file->type;
  }
  program->section_types |= 1u << PEF_FWD;  // a forward pass whose values have no elements has no sections
  program->has_prepare = (program->section_types >> PEF_PREPARE & 1) != 0;
  program->prepared = *program->changes - 1;
  return leat_run_schedule_prepare(program);
}

// --- load ------------------------------------------------------------------------------------------------------

static leat_status_t read_options(const leat_load_options_t *options, leat_load_options_t *out_used) {
  *out_used = leat_load_options_default();
  if (options == NULL) return NULL;
  if (options->struct_bytes == 0 || options->struct_bytes > sizeof *out_used) {
    LEAT_FAIL(LEAT_INVALID_ARGUMENT,
              "leat_load_options_t has %u bytes, this library knows %zu; start from "
              "leat_load_options_default()",
              options->struct_bytes, sizeof *out_used);
  }
  memcpy(out_used, options, options->struct_bytes);
  if (out_used->thread_count > LEAT_THREADS_MAX)
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%u threads: 1 to %d is legal", out_used->thread_count, LEAT_THREADS_MAX);
  return NULL;
}

// The engine of this name, the first of all without one.
static leat_status_t choose_engine(const leat_run_engine_t *const *engines, const char *name,
                                   const leat_run_engine_t **out_engine) {
  leat_text_t names = {0};
  for (uint32_t e = 0; engines[e] != NULL; e++) {
    *out_engine = engines[e];
    if (name == NULL || strcmp(name, engines[e]->name) == 0) break;
    *out_engine = NULL;
    leat_text_put(&names, "%s%s", e > 0 ? ", " : "", engines[e]->name);
  }
  leat_status_t status = NULL;
  if (*out_engine == NULL) {
    status = leat_status_make(LEAT_INVALID_ARGUMENT, "there is no engine \"%s\"; there are %s", name,
                              names.data != NULL ? names.data : "none");
  }
  leat_text_deinit(&names);
  return status;
}

// Room for the times of every call, and of its stages on every thread.
static leat_run_profile_t *profile_table(leat_program_t *program) {
  const uint32_t count = program->pef->call_count;
  leat_run_profile_t *times = table(program, count, sizeof *times);
  for (uint32_t c = 0; c < count && times != NULL; c++) {
    size_t stages = (size_t)program->calls[c].body->stage_count * program->thread_count;
    times[c].stage_seconds = table(program, stages, sizeof *times->stage_seconds);
    if (times[c].stage_seconds == NULL) return NULL;
  }
  return times;
}

static void clear_profile(leat_program_t *program) {
  for (uint32_t c = 0; c < program->pef->call_count; c++) {
    leat_run_profile_t *time = &program->times[c];
    size_t stages = (size_t)program->calls[c].body->stage_count * program->thread_count;
    time->runs = 0;
    time->seconds = 0;
    memset(time->stage_seconds, 0, stages * sizeof *time->stage_seconds);
  }
}

LEAT_EXPORT leat_status_t leat_program_set_profile(leat_program_t *program, uint32_t on) {
  program->profile = NULL;
  if (on == 0) return NULL;
  if (program->times == NULL) program->times = profile_table(program);
  if (program->times == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for the profile");
  clear_profile(program);
  program->profile = program->times;
  return NULL;
}

static leat_status_t build(leat_program_t *program, const leat_load_options_t *options,
                           const leat_run_engine_t *const *engines) {
  leat_load_options_t used;
  LEAT_TRY(read_options(options, &used));
  program->thread_count = used.thread_count != 0 ? used.thread_count : leat_run_cpu_count();
  LEAT_TRY(choose_engine(engines, used.engine, &program->engine));
  LEAT_TRY(program->engine->create(program->pef, &program->arena, used.isa, &program->engine_state));
  leat_arch_of_pef(program->pef->strings + program->pef->info->arch, &program->arch);
  program->level = program->engine->level(program->engine_state);
  LEAT_TRY(leat_run_symbols_place(program, used.beside));
  LEAT_TRY(prepare_bodies(program));
  LEAT_TRY(prepare_calls(program));
  LEAT_TRY(leat_run_batches_prepare(program, used.beside));
  LEAT_TRY(leat_run_bounds_prepare(program));
  LEAT_TRY(leat_program_set_profile(program, used.profile));
  if (used.page_folder != NULL)
    program->page_folder = leat_arena_strdup(&program->arena, used.page_folder, strlen(used.page_folder));
  leat_run_symbols_init(program);
  if (program->thread_count == 1) return NULL;
  LEAT_TRY(leat_run_threads_create(program->thread_count, (uint32_t)program->arch.spin_rounds, &program->pool));
  return leat_run_shares_create(leat_run_threads_count(program->pool), &program->shares);
}

leat_status_t leat_run_load(const char *path, const leat_load_options_t *options,
                            const leat_run_engine_t *const *engines, leat_program_t **out_program) {
  *out_program = NULL;
  leat_program_t *program = leat_alloc_zero(1, sizeof *program);
  if (program == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for a program");
  leat_arena_init(&program->arena);
  leat_status_t status = leat_pef_open(path, &program->pef);
  if (status == NULL) status = leat_status_annotate(build(program, options, engines), "load %s", path);
  if (status != NULL) {
    leat_program_destroy(program);
    return status;
  }
  *out_program = program;
  return NULL;
}

LEAT_EXPORT void leat_program_destroy(leat_program_t *program) {
  if (program == NULL) return;
  leat_run_threads_destroy(program->pool);
  leat_run_shares_destroy(program->shares);
  if (program->engine_state != NULL) program->engine->destroy(program->engine_state);
  leat_run_pages_unmap(program->worker_block, program->worker_block_bytes);
  leat_run_pages_unmap(program->block, program->block_bytes);
  leat_run_pages_unmap(program->sums, program->sum_bytes);
  leat_arena_deinit(&program->arena);
  leat_pef_close(program->pef);
  leat_free(program);
}

// --- run -------------------------------------------------------------------------------------------------------

LEAT_EXPORT leat_status_t leat_program_run(leat_program_t *program, uint32_t types) {
  if ((types & program->section_types & LEAT_SECTIONS_ALL) == 0) {
    LEAT_FAIL(LEAT_INVALID_ARGUMENT,
              "the file has none of the section types asked for (bits 0x%x, it has 0x%x); an "
              "inference PEF has forward sections only",
              types, program->section_types & LEAT_SECTIONS_ALL);
  }
  LEAT_TRY(leat_run_types_check(program, types & LEAT_SECTIONS_ALL));
  return leat_run_batch(program, types & LEAT_SECTIONS_ALL);
}

LEAT_EXPORT leat_status_t leat_program_check(const leat_program_t *program, uint32_t types) {
  return leat_run_bounds_before(program, types & LEAT_SECTIONS_ALL);
}

LEAT_EXPORT uint32_t leat_program_section_count(const leat_program_t *program) { return program->pef->call_count; }

// The outermost loop of one run that holds a section; NULL: none.
static const pef_loop_t *loop_around(const leat_pef_t *pef, uint32_t section) {
  for (uint32_t l = 0; l < pef->loop_count && pef->loops[l].call_first <= section; l++) {
    if ((pef->loops[l].flags & PEF_LOOP_BATCHES) != 0) continue;
    if (section - pef->loops[l].call_first < pef->loops[l].call_count) return &pef->loops[l];
  }
  return NULL;
}

// The sections from the front of the list that run in one go: one, or all of a loop.
static leat_status_t take_sections(const leat_program_t *program, const uint32_t *sections, uint32_t count,
                                   uint32_t *out_taken) {
  const leat_pef_t *pef = program->pef;
  if (sections[0] >= pef->call_count) {
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "there is no section %u; the program has %u", sections[0], pef->call_count);
  }
  const pef_loop_t *loop = loop_around(pef, sections[0]);
  *out_taken = loop == NULL ? 1 : loop->call_count;
  for (uint32_t i = 0; loop != NULL && i < loop->call_count; i++) {
    if (i < count && sections[i] == loop->call_first + i) continue;
    LEAT_FAIL(LEAT_INVALID_ARGUMENT,
              "section %u is one of a loop, \"%s\", whose sections run together: ask for %u to %u, in this order",
              sections[0], pef->strings + loop->name, loop->call_first, loop->call_first + loop->call_count - 1);
  }
  return NULL;
}

LEAT_EXPORT leat_status_t leat_program_run_sections(leat_program_t *program, const uint32_t *sections, uint32_t count) {
  uint32_t taken;
  for (uint32_t i = 0; i < count; i += taken) LEAT_TRY(take_sections(program, sections + i, count - i, &taken));
  for (uint32_t i = 0; i < count; i += taken) {
    LEAT_TRY(take_sections(program, sections + i, count - i, &taken));
    LEAT_TRY(leat_run_bounds_run_calls(program, sections[i], taken));
  }
  return NULL;
}

LEAT_EXPORT leat_status_t leat_program_step(leat_program_t *program, const uint32_t *symbols, void *const *data,
                                            uint32_t count, uint32_t types) {
  for (uint32_t i = 0; i < count; i++) leat_run_symbol_set(program, symbols[i], data[i]);
  return leat_program_run(program, types);
}

// --- facts -----------------------------------------------------------------------------------------------------

LEAT_EXPORT const char *leat_program_metadata(const leat_program_t *program) { return program->pef->metadata; }

LEAT_EXPORT const char *leat_program_arch(const leat_program_t *program) {
  return program->pef->strings + program->pef->info->arch;
}

LEAT_EXPORT uint32_t leat_program_fingerprint(const leat_program_t *program, uint64_t out_fingerprint[3]) {
  memcpy(out_fingerprint, program->pef->info->fingerprint, 3 * sizeof(uint64_t));
  return (uint32_t)program->pef->info->fingerprint_version;
}

LEAT_EXPORT uint32_t leat_program_forward_types(const leat_program_t *program) {
  return program->forward_types & LEAT_SECTIONS_ALL;
}

LEAT_EXPORT uint32_t leat_program_section_types(const leat_program_t *program) {
  return program->section_types & LEAT_SECTIONS_ALL;
}

LEAT_EXPORT uint32_t leat_program_thread_count(const leat_program_t *program) { return program->thread_count; }
