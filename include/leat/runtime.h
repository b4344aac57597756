// SPDX-License-Identifier: Apache-2.0
// The runtime: load a PEF, bind tensors to its symbols, run its sections.
//
// A symbol is a named tensor in device memory. Inputs and outputs may be bound to caller memory, so that a run
// copies nothing; everything else lives in one block that load allocates. Running allocates nothing.
// Thread rule: a program is externally locked; two programs are independent.
#ifndef LEAT_RUNTIME_H_
#define LEAT_RUNTIME_H_

#include <stddef.h>
#include <stdint.h>

#include "leat/status.h"

typedef struct leat_program_s leat_program_t;

enum { LEAT_THREADS_MAX = 1024 };

typedef struct leat_load_options_s {
  uint32_t struct_bytes;    // sizeof(leat_load_options_t)
  uint32_t thread_count;    // at most LEAT_THREADS_MAX; 0: what affinity mask and cgroup quota allow
  const char *isa;          // "portable", "avx2", "avx512" caps the kernels of "native"; NULL: what the CPU has
  uint32_t profile;         // 1: time every section and stage
  leat_program_t *beside;   // NULL, or a program that outlives this one: see below
  const char *engine;       // NULL: "native"; see below
  const char *page_folder;  // NULL, or a folder on a disk: parameters that no section reads but those that prepare
                            // others move to a file there, without a name, from the third run on that prepares nothing;
                            // they take no memory then, and are read and written as before
} leat_load_options_t;

// Engines give the same bits. "native" is the fast one. "ref" does what the format's text says, one scalar at a time,
// some hundred times slower. "compare" computes every stage with both and keeps what native gives; a run in which they
// differ in a bit fails with LEAT_INTERNAL, which names the stage and the element.

// A program loaded `beside` another works on that one's memory: parameters, buffers, state, hyperparameters and
// gradients of parameters are one for both, whichever runs. Inputs, outputs and values between sections stay its own.
// LEAT_MISMATCH where the other lacks a parameter, buffer or state of the same name, dtype and shape. The two are
// externally locked together.

leat_load_options_t leat_load_options_default(void);

// Loads and validates the PEF at `path`. Everything a run can trip over is found here.
leat_status_t leat_program_load(const char *path, const leat_load_options_t *options, leat_program_t **out_program);
void leat_program_destroy(leat_program_t *program);

enum {  // ORDER: the same numbers as in pef_format.h
  LEAT_SYMBOL_INPUT = 0,
  LEAT_SYMBOL_OUTPUT = 1,
  LEAT_SYMBOL_PARAMETER = 2,
  LEAT_SYMBOL_BUFFER = 3,
  LEAT_SYMBOL_GRADIENT = 4,
  LEAT_SYMBOL_STATE = 5,
  LEAT_SYMBOL_HYPERPARAMETER = 6,
  LEAT_SYMBOL_SEED = 7,
  LEAT_SYMBOL_INTERNAL = 8
};
enum {  // ORDER: the same numbers as in ir/dtype.def and pef_format.h
  LEAT_DTYPE_F32 = 0,
  LEAT_DTYPE_F64 = 1,
  LEAT_DTYPE_BF16 = 2,
  LEAT_DTYPE_F16 = 3,
  LEAT_DTYPE_I8 = 4,
  LEAT_DTYPE_U8 = 5,
  LEAT_DTYPE_I16 = 6,
  LEAT_DTYPE_I32 = 7,
  LEAT_DTYPE_I64 = 8,
  LEAT_DTYPE_BOOL = 9
};
enum { LEAT_MAX_RANK = 8 };
enum { LEAT_NO_SYMBOL = 0xffffffff };

typedef struct leat_symbol_info_s {
  const char *name;  // borrowed while the program lives
  uint32_t kind;     // LEAT_SYMBOL_*
  uint32_t dtype;    // LEAT_DTYPE_*
  uint32_t rank;
  int64_t dims[LEAT_MAX_RANK];
  size_t data_bytes;
  uint32_t owner;    // of a gradient, a seed or a state: the symbol it belongs to; LEAT_NO_SYMBOL: to none
  const char *role;  // what it is to its owner ("grad", "seed", "exp_avg", ...) or to the program ("random__state",
                     // "step" of optimizer `number`); "" for the program's own
  uint32_t number;
} leat_symbol_info_t;

uint32_t leat_program_symbol_count(const leat_program_t *program);
leat_status_t leat_program_symbol_info(const leat_program_t *program, uint32_t symbol, leat_symbol_info_t *out_info);
// LEAT_NOT_FOUND names the nearest existing symbols.
leat_status_t leat_program_find_symbol(const leat_program_t *program, const char *name, uint32_t *out_symbol);

// Binds an input, output or seed to caller memory: contiguous, the symbol's dtype and size, alive until rebound.
// NULL goes back to the program's own memory. Unchecked on the run path but for `data_bytes`.
leat_status_t leat_program_bind(leat_program_t *program, uint32_t symbol, void *data, size_t data_bytes);
// Copies between caller memory (contiguous, row-major) and the symbol, whatever layout the device keeps.
leat_status_t leat_program_write(leat_program_t *program, uint32_t symbol, const void *data, size_t data_bytes);
leat_status_t leat_program_read(const leat_program_t *program, uint32_t symbol, void *data, size_t data_bytes);
// Device memory of the symbol, for zero-copy readers; NULL if it is not contiguous row-major.
void *leat_program_data(leat_program_t *program, uint32_t symbol);
// Hyperparameters by symbol, as f64; sticky until set again.
leat_status_t leat_program_set_hyperparameter(leat_program_t *program, uint32_t symbol, double value);
// Reads weights by name from a .pt or .safetensors file into parameters and buffers.
leat_status_t leat_program_load_weights(leat_program_t *program, const char *path);
// As leat_program_load_weights from a file that holds more: what the program does not use is let through, and named in
// *out_unused (NULL: nothing; free with leat_string_free).
leat_status_t leat_program_load_weights_of(leat_program_t *program, const char *path, char **out_unused);
// Lets outputs that nobody fetches go unstored: of the symbols of kind OUTPUT, runs from now on store those in
// `symbols`. At first all are. LEAT_INVALID_ARGUMENT: one of them is no output; then nothing changes.
leat_status_t leat_program_enable_outputs(leat_program_t *program, const uint32_t *symbols, uint32_t count);

enum {  // section types, as bits; ORDER: bit n is section type n of pef_format.h
  LEAT_SECTIONS_FWD = 1,
  LEAT_SECTIONS_BCKWD = 2,
  LEAT_SECTIONS_GRADNORM = 4,
  LEAT_SECTIONS_OPT = 8,
  LEAT_SECTIONS_REDUCE = 16,
  LEAT_SECTIONS_GATHER = 32,
  LEAT_SECTIONS_ALL = 63
};
// Runs the sections whose type is in `types`, in file order. LEAT_INVALID_ARGUMENT if the file has none of them, or if
// a loop of it repeats sections of one of the types and of one that is not asked for, which only run together.
// LEAT_OUT_OF_RANGE names an index, a class label or an integer divisor that the program cannot take, with its row;
// parameters, buffers and state are then as before. So do the other functions that run sections.
leat_status_t leat_program_run(leat_program_t *program, uint32_t types);
// What a run of `types` would say of the indices, class labels and divisors that it is given, without running.
leat_status_t leat_program_check(const leat_program_t *program, uint32_t types);
// Fast path of hosts that rebind on every step: bind `count` symbols, then run.
leat_status_t leat_program_step(leat_program_t *program, const uint32_t *symbols, void *const *data, uint32_t count,
                                uint32_t types);
// Batches that lie one behind the other, each in a run of its own: run b is leat_program_step with symbols[i] bound to
// data[i] + b * step_bytes[i]. A step of 0 shares the memory among the runs. What the batches are given is checked
// before the first of them. LEAT_INVALID_ARGUMENT where they are more than the file was compiled for.
leat_status_t leat_program_run_batches(leat_program_t *program, const uint32_t *symbols, void *const *data,
                                       const size_t *step_bytes, uint32_t count, uint32_t types, uint32_t batches);

// What the file's loop over batches says. One that adds up gradients counts runs: each that has a backward pass is a
// batch, sections behind the loop (gradient norms, updates) run with the last batch of an update or after it, and runs
// that ask for them before leave them out. After the last batch the gradients of parameters are the mean.
typedef struct leat_batches_s {
  uint32_t of_run;     // how many one leat_program_run_batches may take
  uint32_t of_update;  // how many make an update
  uint32_t waiting;    // those of them that have run
  uint32_t beside;     // 1: a file before 2.1, whose gradients are added up beside its memory
} leat_batches_t;
void leat_program_batches(const leat_program_t *program, leat_batches_t *out_batches);
// The next batch is the first of an update.
void leat_program_restart_batches(leat_program_t *program);
// Whether runs from now on are no batches (`on` 1): sums of gradients stay as they are, and nothing is updated. At
// first they are. Sections by number, and leat_program_find_faults, never are batches.
void leat_program_set_aside(leat_program_t *program, uint32_t on);

// Starts timing every section from zero (`on` 1) or stops (0). While it is on, sections run one by one.
leat_status_t leat_program_set_profile(leat_program_t *program, uint32_t on);

// Sections by their numbers, those of the file and of the report, in the order given. What a section reads must have
// been made before, by a run of the sections ahead of it; what passes between sections is kept from call to call. The
// sections of a loop run together: they follow each other in `sections`, all of them. LEAT_INVALID_ARGUMENT otherwise.
uint32_t leat_program_section_count(const leat_program_t *program);
leat_status_t leat_program_run_sections(leat_program_t *program, const uint32_t *sections, uint32_t count);

// Where a NaN or an infinity came from first. Strings are borrowed while the program lives; NULL: there was none.
enum { LEAT_FAULT_NAN = 0, LEAT_FAULT_INFINITY = 1 };
typedef struct leat_fault_s {
  const char *origin;      // "module op source" of the stage
  const char *section;     // name of the section
  uint32_t from_infinity;  // 1: the stage had read infinities
} leat_fault_t;
// Runs the sections of `types` on the calling thread, looks at what every stage reads and makes, and reports the first
// stage that made a NaN out of none and the first that made an infinity out of finite numbers. Equal bodies share the
// origins of one of them: compile with separate_bodies to have each its own.
leat_status_t leat_program_find_faults(leat_program_t *program, uint32_t types, leat_fault_t out_faults[2]);

// Facts of the file. JSON, borrowed while the program lives.
const char *leat_program_metadata(const leat_program_t *program);
// The machine that the file was compiled for: what leat_compile_options_t.arch takes. Borrowed while the program lives.
const char *leat_program_arch(const leat_program_t *program);
// Returns the version of the fingerprints: what leat_graph_fingerprint needs to compute those of a graph.
uint32_t leat_program_fingerprint(const leat_program_t *program, uint64_t out_fingerprint[3]);
uint32_t leat_program_section_types(const leat_program_t *program);
// FWD and the section types that only run together with it, since a loop repeats them in turn.
uint32_t leat_program_forward_types(const leat_program_t *program);
uint32_t leat_program_thread_count(const leat_program_t *program);
// Report on sections, symbols and memory as JSON; free with leat_string_free.
leat_status_t leat_program_report(const leat_program_t *program, char **out_json);

#endif
