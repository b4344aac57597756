// SPDX-License-Identifier: Apache-2.0
// Compiling within a limit of memory: a program that takes more is compiled again with fewer activations kept for
// backward (opt/remake.c), until it fits or nothing is left that is cheap to make again.
#ifndef LEAT_DRIVER_LIMIT_H_
#define LEAT_DRIVER_LIMIT_H_

#include "arch/arch.h"
#include "ir/graph.h"
#include "leat/compile.h"
#include "pef/pef_read.h"

typedef struct leat_limit_s {
  bool exceeded;         // by the program that was compiled last
  uint64_t peak, least;  // bytes: of that one, and of the one that took least
  uint32_t attempts;
} leat_limit_t;

// The pass of leat_opt_remake for options->remade_bytes, which tells what it does.
leat_status_t leat_limit_remake(const leat_graph_t *from, const leat_compile_options_t *options,
                                const leat_arch_t *arch, leat_graph_t **out_graph) LEAT_MUST_USE;
// LEAT_UNSUPPORTED, and `limit->exceeded`: a run of the program takes more than options->memory_limit. The message says
// what takes it.
leat_status_t leat_limit_check(const leat_pef_t *pef, const leat_compile_options_t *options,
                               leat_limit_t *limit) LEAT_MUST_USE;
// Is the program to be compiled again? Then `*status`, of the last attempt, is released and `options` say what to keep.
bool leat_limit_again(leat_limit_t *limit, leat_compile_options_t *options, leat_status_t *status);

#endif
