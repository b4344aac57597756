// SPDX-License-Identifier: Apache-2.0
// Third step of a mapping: writes what was decided, where it was placed, and decides nothing.
#ifndef LEAT_MAP_EMIT_H_
#define LEAT_MAP_EMIT_H_

#include "map/place.h"

// Symbols, constants, bodies and calls. LEAT_UNSUPPORTED: a section touches more tensors than a call has arguments.
leat_status_t leat_map_emit(const leat_decided_t *decided, const leat_placed_t *placed,
                            leat_pef_writer_t *writer) LEAT_MUST_USE;

#endif
