// SPDX-License-Identifier: Apache-2.0
// Measures this machine: what the rows of arch/arch.def ask that only a run can tell. Takes a few seconds and some
// hundred MiB; what else runs meanwhile makes the numbers worse, so the best of many tries counts.
#ifndef LEAT_DRIVER_MEASURE_H_
#define LEAT_DRIVER_MEASURE_H_

#include "arch/arch.h"

typedef struct leat_measure_s {
  uint32_t threads;  // 0: what affinity mask and cgroup quota allow
  // Shown what comes next; `done` of `total` steps are over. NULL: nobody looks.
  void (*progress)(void *user, uint32_t done, uint32_t total, const char *what);
  void *user;
} leat_measure_t;

// The record of this machine for the target native, its level the best that the CPU runs. Rates of levels that it does
// not run are those of the best one. LEAT_OUT_OF_MEMORY.
leat_status_t leat_measure_machine(const leat_measure_t *how, leat_arch_t *out_arch) LEAT_MUST_USE;

#endif
