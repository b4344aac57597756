// SPDX-License-Identifier: Apache-2.0
// The one door to the heap. Blocks start on cache lines, and a test can make the n-th allocation fail.
#include <stdlib.h>

#include "base/base.h"

enum { BLOCK_ALIGNMENT = 64 };

// Allocations until the one that fails; 0: none fails. The only mutable state of the folder, and only for tests.
static _Thread_local uint64_t leat_alloc_fail_countdown;

void leat_alloc_fail_after(uint64_t count) { leat_alloc_fail_countdown = count; }

static bool fails_by_request(void) { return leat_alloc_fail_countdown != 0 && --leat_alloc_fail_countdown == 0; }

void *leat_alloc(size_t bytes) {
  size_t padded;
  if (fails_by_request() || !leat_size_add(bytes, BLOCK_ALIGNMENT - 1, &padded)) return NULL;
  padded &= ~(size_t)(BLOCK_ALIGNMENT - 1);
  return aligned_alloc(BLOCK_ALIGNMENT, padded == 0 ? BLOCK_ALIGNMENT : padded);
}

void *leat_alloc_zero(size_t count, size_t bytes) {
  size_t total;
  if (!leat_size_mul(count, bytes, &total)) return NULL;
  void *block = leat_alloc(total);
  if (block != NULL) memset(block, 0, total);
  return block;
}

void leat_free(void *pointer) { free(pointer); }

bool leat_size_mul(size_t a, size_t b, size_t *out) { return !__builtin_mul_overflow(a, b, out); }

bool leat_size_add(size_t a, size_t b, size_t *out) { return !__builtin_add_overflow(a, b, out); }
