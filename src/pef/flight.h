// SPDX-License-Identifier: Apache-2.0
// Calls in flight: which calls have to wait for all that came before, since one of the two writes what the other
// touches.
#ifndef LEAT_PEF_FLIGHT_H_
#define LEAT_PEF_FLIGHT_H_

#include "pef/pef_write.h"

// Sets the barriers of all calls that were added, once the last one and the last loop are there: in every trip of a
// loop, also from the last calls of one to the first of the next. Symbols count as wholes, and so does what an argument
// names in the arena, wherever in it the call's part is. LEAT_OUT_OF_MEMORY.
leat_status_t leat_flight_plan(leat_pef_writer_t *writer) LEAT_MUST_USE;

#endif
