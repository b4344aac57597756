// SPDX-License-Identifier: Apache-2.0
// The compiler: graph in, PEF out.
#ifndef LEAT_COMPILE_H_
#define LEAT_COMPILE_H_

#include <stdint.h>

#include "leat/graph.h"
#include "leat/status.h"

// Severity of a message of the compiler.
enum { LEAT_LOG_DEBUG, LEAT_LOG_INFO, LEAT_LOG_WARNING, LEAT_LOG_ERROR };

// A message: `layer` is "samba" (about the program) or "mac" (about its mapping), `text` one line without line break.
typedef void (*leat_log_t)(void *user, uint32_t level, const char *layer, const char *text);
// Before step `done` of `total` of a compile, and at its end with done = total; `what` names the step.
typedef void (*leat_progress_t)(void *user, uint32_t done, uint32_t total, const char *what);

// Every field has a default that leat_compile_options_default sets; leat_compile checks every range.
typedef struct leat_compile_options_s {
  uint32_t struct_bytes;  // sizeof(leat_compile_options_t); set by leat_compile_options_default
  const char *arch;       // "native", "native:<l1>,<l2>,<l3>" with cache sizes in bytes, or a record of a machine:
                          // the path of a file, or its text (docs/machines.md)
  uint32_t optim_level;   // 0, 1 or 3
  uint32_t inference;     // 1: forward sections only
  uint32_t verify_each;   // 1: verify the graph after every pass, and the plan of the file; builds for debugging do
  const char *metadata;   // JSON object stored in the file, or NULL; keys are sorted on writing
  const char *disable;    // comma-separated names of passes to leave out, or NULL

  const char *rule_list;       // o1: built-in fusion rules: default, nlp, gpt2, bloom, gpt_neox_inference, ...
  const char *rules;           // o1: text of the user's rule file (YAML), or NULL
  const char *rules_name;      // its path, for messages
  uint32_t use_default_rules;  // o1: 1: the built-in rules too where the user gives a file
  const char *why;             // "fusion": o1: where rules matched and nearly matched, to the log; NULL: nothing
  uint32_t o1_experimental;    // o1: 1: more fusion
  uint32_t nlp;                // 1: repeated blocks are not searched each again
  uint32_t hypersections;      // o3: 1: equal modules are compiled once and replayed
  double scaling[4];           // share of caches and cores for fwd, bckwd, gradnorm, opt; (0, 16]
  uint32_t greedy_cutter;      // 1: the simple cutter
  uint32_t spatial;            // 1: one section, or an error that says what does not fit
  const char *precision;       // "mp0", "mp1", "mp4", or NULL: as the program says
  uint32_t dither_weights;     // 1: updates round what they store as bf16 at random
  const char *weight_dtype;    // inference: "bf16", "int8": of weights that products read; NULL: as the program says
  uint32_t weight_group;       // of int8: terms of a sum that have a scale of their own; 0: all
  const char *weight_keep;     // comma-separated names of parameters that products read as they are, or NULL
  uint32_t weight_errors;      // 1: products are those of the program, and what weights of weight_dtype would make of
                               // each is an output "<parameter>__weight_error_<number>": the greatest error, the
                               // greatest result, the sums of their squares
  uint32_t retry;              // 1: a section that does not fit is tried again with fewer resources
  const char *decisions;       // JSON text of mapping decisions, or NULL
  const char *decisions_name;  // its path, for messages
  uint32_t write_decisions;    // 1: the decisions made are written to report_dir
  const char *report_dir;      // folder that exists, for reports; NULL: none

  // The same program traced on one micro-batch, as for leat_graph_microbatch; NULL: the batch is not split.
  // leat_compile makes a loop over the parts of it where it can, else it warns and writes each part out.
  const leat_graph_t *part;

  uint32_t memory_limit;      // MiB that a run may take for symbols, constants and values between sections; 0: any
  uint64_t remade_bytes;      // of activations that backward makes again; leat_compile takes more for memory_limit
  uint32_t chunked_products;  // MiB from which backward makes a product of forward again, chunk by chunk; 0: never
  uint32_t run_batches;       // batches that one run takes at most
  uint32_t update_batches;    // batches whose mean gradient makes an update
  uint32_t drop_grads;        // 1: gradients of parameters are not kept; backward and updates are one section type, OPT
  uint32_t separate_bodies;   // 1: equal bodies are stored apart, so that every stage names its own op

  leat_log_t log;  // NULL: silent
  void *log_user;
  leat_progress_t progress;  // NULL: none
  void *progress_user;
} leat_compile_options_t;

leat_compile_options_t leat_compile_options_default(void);

// Sets what the command-line option `name` ("--batch-size", "-o0") means to `value` (NULL for a flag). Texts are not
// copied; options that name a file set its name, the caller puts the file's text in its place. LEAT_UNSUPPORTED: not
// yet available. An option without effect on native is said so through options->log.
leat_status_t leat_compile_options_set(leat_compile_options_t *options, const char *name, const char *value);
// LEAT_INVALID_ARGUMENT says what is legal for a field; LEAT_UNSUPPORTED what is not yet available.
leat_status_t leat_compile_options_check(const leat_compile_options_t *options);
// LEAT_INVALID_ARGUMENT says what is legal for the option.
leat_status_t leat_option_check(const char *name, const char *value);
// Whether these options may be given together to compile.
leat_status_t leat_option_check_together(const char *const *names, size_t name_count);
// The table of all options as JSON: {"options": [...], "together": [...], "commands": [...]}; free with
// leat_string_free.
leat_status_t leat_option_table(char **out_json);

// Compiles `graph` and writes the PEF to `path` (aside, synced, renamed: a failure leaves no file there).
leat_status_t leat_compile(const leat_graph_t *graph, const leat_compile_options_t *options, const char *path);

// The program `whole` computed in micro-batches. `part` is the same program traced on one micro-batch: the batch dim of
// its inputs is an equal part, at most 1/2 and at least 1/255, of that of `whole`. Outputs and gradients are those of
// the whole batch but for the order of sums. LEAT_UNSUPPORTED names the op that makes this impossible (batch
// statistics, ops along the batch dim). *out_graph is what is fingerprinted where `part` is an option of the compile.
leat_status_t leat_graph_microbatch(const leat_graph_t *whole, const leat_graph_t *part, leat_graph_t **out_graph);

// Where the outputs of `graph` have their batch: for each, in the order of the program, the first dim whose extent is
// another in `other`, the same program traced on another number of rows; LEAT_NO_DIM: in none, so that every row of the
// batch counts in every element. LEAT_MISMATCH where `other` has other outputs.
enum { LEAT_NO_DIM = -1 };
leat_status_t leat_graph_batch_dims(const leat_graph_t *graph, const leat_graph_t *other, int32_t *out_dims,
                                    uint32_t output_count);

// Fingerprints of `graph` (forward, seeds, optimizers) by the definition of `version`, to be compared with those of a
// program (leat_program_fingerprint, which says their version). LEAT_UNSUPPORTED: a version that is not known.
leat_status_t leat_graph_fingerprint(const leat_graph_t *graph, uint32_t version, uint64_t out_fingerprint[3]);

#endif
