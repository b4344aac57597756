// SPDX-License-Identifier: Apache-2.0
// Programs with loops (unit/looped.h): stretches and bodies compiled one by one, equal ones once, linked into one file.
#ifndef LEAT_DRIVER_LOOPED_H_
#define LEAT_DRIVER_LOOPED_H_

#include "leat/compile.h"
#include "map/map.h"
#include "pef/pef_write.h"

// Compiles `primitive`, what LEAT_PIPELINE_LOOPS gives and leat_looped_suits, into `writer`; metadata and file are left
// to the caller.
leat_status_t leat_compile_looped(const leat_graph_t *primitive, const leat_compile_options_t *options,
                                  const leat_map_options_t *map_options, leat_pef_writer_t *writer) LEAT_MUST_USE;

#endif
