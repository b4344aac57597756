// SPDX-License-Identifier: Apache-2.0
// An engine of two: every stage of every tile is computed by native and by ref, and a run in which an output differs in
// a bit ends with LEAT_INTERNAL, which names the first such stage, element and both values. What is kept is native's.
#ifndef LEAT_DRIVER_COMPARE_H_
#define LEAT_DRIVER_COMPARE_H_

#include "run/engine.h"

extern const leat_run_engine_t leat_compare_engine;

#endif
