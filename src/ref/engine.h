// SPDX-License-Identifier: Apache-2.0
// The slow engine: every stage as pef_format.h says it, one scalar at a time. It shares no plan, no kernel and no
// conversion with the fast one, only the scalar functions (kern/scalar.h), so that equal bits are proof of both.
#ifndef LEAT_REF_ENGINE_H_
#define LEAT_REF_ENGINE_H_

#include "run/engine.h"

extern const leat_run_engine_t leat_ref_engine;

#endif
