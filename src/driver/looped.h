// SPDX-License-Identifier: Apache-2.0
// Programs with loops (unit/looped.h): stretches and bodies compiled one by one, equal ones once, linked into one file.
#ifndef LEAT_DRIVER_LOOPED_H_
#define LEAT_DRIVER_LOOPED_H_

#include "driver/compiled.h"
#include "driver/pipeline.h"
#include "leat/compile.h"
#include "map/map.h"
#include "pef/pef_write.h"

// Is no symbol of the traced graph one that forward and the optimizer write, in that order? Parts of a program with
// loops would not keep it.
bool leat_looped_writes_once(const leat_graph_t *graph);
// A program, or a unit, as primitives whose loops are to be mapped as such: `part` is LEAT_PIPELINE_LOOPS or
// LEAT_PIPELINE_UNIT_LOOPS. *out_primitive is NULL where it has none, or the options or the loops do not suit.
leat_status_t leat_looped_lower(const leat_graph_t *graph, const leat_compile_options_t *options,
                                const leat_map_options_t *map_options, leat_pipeline_t part,
                                leat_graph_t **out_primitive) LEAT_MUST_USE;
// Compiles what that gives into `writer`; metadata and file are left
// to the caller.
leat_status_t leat_compile_looped(const leat_graph_t *primitive, const leat_compile_options_t *options,
                                  const leat_map_options_t *map_options, leat_pef_writer_t *writer) LEAT_MUST_USE;
// The same of a unit, whose graph is c->settled: for the linker. Its calls have no names that others could be made of.
leat_status_t leat_compile_looped_unit(leat_compiled_t *c, const leat_compile_options_t *options,
                                       const leat_map_options_t *map_options) LEAT_MUST_USE;

#endif
