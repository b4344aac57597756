// SPDX-License-Identifier: Apache-2.0
// How often a test draws at random.
#ifndef LEAT_TESTS_DRAWS_H_
#define LEAT_TESTS_DRAWS_H_

#include <stdint.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { DRAWS_SHARE = 4 };  // a sanitizer makes each draw several times as slow, and sees as much in fewer
#else
enum { DRAWS_SHARE = 1 };
#endif

// How often a test mutates: LEAT_MUTATIONS, else `usual`.
static inline uint32_t mutation_count(uint32_t usual) {
  const char *wanted = getenv("LEAT_MUTATIONS");
  return wanted != NULL ? (uint32_t)strtoul(wanted, NULL, 10) : usual;
}

// LEAT_DRAWS, else `usual`, of which a sanitizer gets a part.
static inline uint32_t draws(uint32_t usual) {
  const char *wanted = getenv("LEAT_DRAWS");
  const uint32_t count = wanted != NULL && *wanted != 0 ? (uint32_t)strtoul(wanted, NULL, 10) : usual / DRAWS_SHARE;
  return count > 0 ? count : 1;
}

#endif
