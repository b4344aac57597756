// SPDX-License-Identifier: Apache-2.0
// A loaded program: what load makes once and a run only reads.
//
// Memory: one block holds the arena and every symbol. `places` has the address of every argument of the file; binding
// a symbol rewrites the places that refer to it, so a run follows one pointer per argument.
#ifndef LEAT_RUN_PROGRAM_H_
#define LEAT_RUN_PROGRAM_H_

#include "leat/runtime.h"
#include "pef/walk.h"
#include "run/engine.h"

typedef struct leat_run_body_s {
  const leat_run_stage_t *stages;
  const uint64_t *buffers;  // where they lie in a thread's scratch
  uint32_t stage_count;
  leat_run_space_t space;
  int64_t tile_count;  // rows and boxes
} leat_run_body_t;

// What the trip of a loop does to an argument.
typedef struct leat_run_move_s {
  uint32_t slot, level;  // level: of the loops around the call, outermost 0
  int64_t step;          // bytes a trip
  char *const *places;   // where it lies instead, trip by trip; NULL: its own place
} leat_run_move_t;

typedef struct leat_run_call_s {
  const leat_run_body_t *body;
  char *const *arguments;  // into places
  const leat_run_move_t *moves;
  uint32_t move_count;
  uint8_t type;  // enum pef_section_type
  uint8_t when;  // enum pef_when
  bool barrier;
  bool shared;      // is worth more than one worker
  uint32_t stream;  // of its random draws, added to those of the stages
  double seconds;   // estimate on one thread, of one trip
} leat_run_call_t;

typedef struct leat_run_loop_s {
  uint32_t types;  // bits
  bool barrier;    // one of its calls has one
  bool shared;     // one of its calls is
  bool apart;      // its types may run apart
  bool fwd_alone;  // FWD may run without the others
} leat_run_loop_t;

// The file's loop over batches, whose trips are runs (batches.c).
typedef struct leat_run_batches_s {
  uint32_t trips;          // 1: there is none
  uint32_t types, behind;  // bits: that it holds, and of what lies behind it
  bool counts;             // trips are of several runs: what lies behind runs with the last of them
  bool sums;               // a file before 2.1: gradients are added up beside it (accumulate.c)
} leat_run_batches_t;

typedef struct leat_run_trips_s {
  uint32_t done;  // trips since what lies behind the loop ran; all of them: it may
  bool aside;     // runs are none
} leat_run_trips_t;

typedef struct leat_run_profile_s {
  uint64_t runs;
  double seconds;
  double *stage_seconds;  // [thread][stage of the body]
} leat_run_profile_t;

typedef struct leat_run_symbol_s {
  char *own, *data;                   // in the block; where it is now
  char *sum;                          // of a parameter's gradient over batches (accumulate.c); NULL: none
  uint32_t place_first, place_count;  // into symbol_places: the places that refer to it
  bool shared;                        // lies in the memory of the program beside
  uint32_t twin;                      // of the program beside: has its values, in other blocks; PEF_NONE: there is none
  uint32_t output;                    // which output it is; PEF_NONE: it is none
  char *kept;                         // where bounds.c keeps what forward may have to take back; NULL: nowhere
} leat_run_symbol_t;

struct leat_program_s {
  leat_pef_t *pef;
  struct leat_program_s *beside;  // whose symbols it shares; NULL: none's
  leat_arena_t arena;             // plans and tables
  const leat_run_engine_t *engine;
  void *engine_state;
  leat_arch_t arch;         // the machine that the file was compiled for
  leat_arch_level_t level;  // of instructions that run
  uint32_t thread_count;
  struct leat_run_threads_s *pool;   // NULL: the calling thread alone
  struct leat_run_shares_s *shares;  // of the pool's workers
  uint64_t rounds, wanted;           // shared calls so far, and what the count of shares is behind them
  leat_run_stage_t *stages;
  uint64_t *buffers;  // of all bodies
  leat_run_body_t *bodies;
  leat_run_call_t *calls;
  leat_run_loop_t *loops;
  char **places;            // of ARGUMENTS, then of PLACES, in the first trip
  uint64_t *place_offsets;  // how far in their symbols they lie
  leat_run_symbol_t *symbols;
  uint32_t *symbol_places;
  char *block;
  size_t block_bytes;
  char *sums;  // accumulated gradients of a file before 2.1
  size_t sum_bytes;
  char *worker_block;  // scratch and workspace of every thread
  size_t worker_bytes, scratch_bytes, argument_bytes, worker_block_bytes;
  bool *enabled;                        // per output: it is stored
  uint32_t section_types;               // bits
  uint32_t forward_types;               // FWD and those that only run with it
  double type_seconds[PEF_TYPE_COUNT];  // estimates on one thread
  leat_run_batches_t batches;
  leat_run_trips_t own_count, *count;  // that of the program beside
  uint32_t whens;                      // of the run: bits of 1 << pef_when
  bool has_prepare;
  bool checks_after;               // indices that forward computes have bounds
  uint64_t own_changes, *changes;  // how often what PREPARE sections read has changed; that of the program beside
  uint64_t prepared;               // the count when they last ran
  const char *page_folder;         // paged.h; NULL: nothing is paged out
  uint32_t quiet_runs;             // since PREPARE sections ran
  leat_run_profile_t *profile;     // per call; NULL: off
  leat_run_profile_t *times;       // what `profile` points at while it is on; NULL until it was
};

// Whether PREPARE sections must run before the next other one.
static inline bool leat_run_is_stale(const leat_program_t *program) { return program->prepared != *program->changes; }

// Whether work of so many seconds on one thread is worth waking the others.
static inline bool leat_run_is_worth_waking(const leat_program_t *program, double seconds) {
  return seconds >= program->arch.shared_run * program->arch.wake_seconds;
}

// program.c: loads the PEF at `path` for the engine that `options` name, of a list that ends with NULL.
leat_status_t leat_run_load(const char *path, const leat_load_options_t *options,
                            const leat_run_engine_t *const *engines, leat_program_t **out_program) LEAT_MUST_USE;

// What the engine says of the runs so far.
static inline leat_status_t leat_run_verdict(const leat_program_t *program) {
  return program->engine->verdict != NULL ? program->engine->verdict(program->engine_state) : NULL;
}

// exec.c: runs calls whose type is in `types` (bits of 1 << type), in file order. Fails where the engine has doubts.
leat_status_t leat_run_exec_run(leat_program_t *program, uint32_t types) LEAT_MUST_USE;
// A call outside of loops, or all calls of a loop; sections of type PREPARE run first where it reads what they make.
leat_status_t leat_run_exec_calls(leat_program_t *program, uint32_t first, uint32_t count) LEAT_MUST_USE;

static inline bool leat_run_stage_enabled(const leat_program_t *program, const leat_run_stage_t *stage) {
  const uint16_t output = stage->file->output;
  return output == PEF_NO_OUTPUT || program->enabled[output];
}

// Memory of a worker: tile buffers, workspace, and at its end room for the arguments of a call.
static inline char *leat_run_worker_memory(const leat_program_t *program, uint32_t worker) {
  return program->worker_block + worker * program->worker_bytes;
}
static inline char **leat_run_worker_arguments(const leat_program_t *program, uint32_t worker) {
  return (char **)(void *)(leat_run_worker_memory(program, worker + 1) - program->argument_bytes);
}

// symbols.c
leat_status_t leat_run_symbols_place(leat_program_t *program, leat_program_t *beside) LEAT_MUST_USE;
void leat_run_symbols_init(leat_program_t *program);
// Symbols that have a twin take its values. Before a run, where they have changed since the last.
void leat_run_symbols_follow(leat_program_t *program);
void leat_run_symbol_set(leat_program_t *program, uint32_t symbol, char *data);

// report.c: "fwd"
const char *leat_run_type_name(uint32_t type);

// memory.c: pages from the system, zeroed and 64-byte aligned; large ones are hinted to be huge.
void *leat_run_pages_map(size_t bytes);
void leat_run_pages_unmap(void *pages, size_t bytes);

#endif
