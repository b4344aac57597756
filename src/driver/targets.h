// SPDX-License-Identifier: Apache-2.0
// The targets that a program may be compiled for (targets.c lists them), and a compile for any list of them.
#ifndef LEAT_DRIVER_TARGETS_H_
#define LEAT_DRIVER_TARGETS_H_

#include "leat/compile.h"
#include "map/target.h"

extern const leat_map_target_t *const leat_targets[];  // ends with NULL

// The target and the record that `text`, a value of --arch, means: a form of a target, the name of a chip (for which
// the first target stands in), the path of a record, or the text of one. LEAT_INVALID_ARGUMENT lists what is legal.
leat_status_t leat_target_find(const leat_map_target_t *const *targets, const char *text,
                               const leat_map_target_t **out_target, leat_arch_t *out_arch) LEAT_MUST_USE;
// Whether `text` names a chip that is not there yet.
bool leat_target_is_chip(const char *text);
// The target of a record; NULL: none of ours.
const leat_map_target_t *leat_target_named(const leat_map_target_t *const *targets, const char *name);

// leat_compile() for one of `targets`.
leat_status_t leat_compile_for(const leat_map_target_t *const *targets, const leat_graph_t *graph,
                               const leat_compile_options_t *options, const char *path) LEAT_MUST_USE;

#endif
