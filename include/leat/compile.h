// SPDX-License-Identifier: Apache-2.0
// The compiler: graph in, PEF out.
#ifndef LEAT_COMPILE_H_
#define LEAT_COMPILE_H_

#include <stdint.h>

#include "leat/graph.h"
#include "leat/status.h"

typedef struct leat_compile_options_s {
  uint32_t struct_bytes;  // sizeof(leat_compile_options_t); set by leat_compile_options_default
  const char *arch;       // "native" or "native:<l1>,<l2>,<l3>" with cache sizes in bytes
  uint32_t optim_level;   // 0, 1 or 3
  uint32_t inference;     // 1: forward sections only
  uint32_t verify_each;   // 1: verify the graph after every pass
  const char *metadata;   // JSON object stored in the file, or NULL; keys are sorted on writing
  const char *disable;    // comma-separated names of passes to leave out, or NULL
} leat_compile_options_t;

leat_compile_options_t leat_compile_options_default(void);

// Compiles `graph` and writes the PEF to `path` (aside, synced, renamed: a failure leaves no file there).
leat_status_t leat_compile(const leat_graph_t *graph, const leat_compile_options_t *options, const char *path);

// Fingerprints of `graph` (forward, seeds, optimizers), to be compared with leat_program_fingerprint.
leat_status_t leat_graph_fingerprint(const leat_graph_t *graph, uint64_t out_fingerprint[3]);

#endif
