// SPDX-License-Identifier: Apache-2.0
// The fast engine: stages are planned at load for the CPU that is there, and run on the kernels of src/kern and on
// generated ones.
#ifndef LEAT_NATIVE_ENGINE_H_
#define LEAT_NATIVE_ENGINE_H_

#include "run/engine.h"

extern const leat_run_engine_t leat_native_engine;

#endif
