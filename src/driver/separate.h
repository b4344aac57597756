// SPDX-License-Identifier: Apache-2.0
// Separate compilation: a grouped program unit by unit (unit/unit.h), equal units once, linked into one file. That is
// how o0 and o1 compile, and o3 where the program marks groups or blocks are repeated (--compiler-mode nlp).
#ifndef LEAT_DRIVER_SEPARATE_H_
#define LEAT_DRIVER_SEPARATE_H_

#include "leat/compile.h"
#include "map/target.h"
#include "pef/pef_write.h"

// Compiles `grouped` into `writer`; metadata and file are left to the caller. With options->separate_bodies every
// unit is compiled and stored by itself.
leat_status_t leat_compile_separately(const leat_graph_t *grouped, const leat_compile_options_t *options,
                                      const leat_map_options_t *map_options, leat_pef_writer_t *writer) LEAT_MUST_USE;

#endif
