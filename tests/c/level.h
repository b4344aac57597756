// SPDX-License-Identifier: Apache-2.0
// The ISA level of this process: the one that LEAT_ISA names, else the best of the machine. Kernels are generated for
// one level a process (native/jit.h), so meson starts the tests of c_levels once a level, and they ask here which it
// is.
#ifndef LEAT_TESTS_LEVEL_H_
#define LEAT_TESTS_LEVEL_H_

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "native/cpu.h"

enum { LEVEL_MISSING = 77 };  // exit status: skipped

// As leat_load_options_t.isa takes it; NULL: the best.
static inline const char *level_name(void) {
  const char *name = getenv("LEAT_ISA");
  return name != NULL && *name != 0 ? name : NULL;
}

static inline enum leat_isa level_isa(void) {
  enum leat_isa isa = LEAT_ISA_PORTABLE;
  leat_status_t status = leat_native_cpu_isa(level_name(), &isa);
  if (status == NULL) return isa;
  (void)fprintf(stderr, "LEAT_ISA: %s\n", leat_status_message(status));
  exit(EXIT_FAILURE);
}

// Whether main may begin: false where the machine lacks the level, and then it ends with LEVEL_MISSING, which meson
// shows as skipped. Files of tests that run at several levels at a time lie in a folder of the level.
static inline bool level_begin(void) {
  const char *name = level_name();
  if (name == NULL) return true;
  if (strcmp(name, leat_native_cpu_isa_name(level_isa())) != 0) return false;
  if ((mkdir(name, 0777) != 0 && errno != EEXIST) || chdir(name) != 0) {
    perror(name);
    exit(EXIT_FAILURE);
  }
  return true;
}

#endif
