// SPDX-License-Identifier: Apache-2.0
// Large blocks straight from the system.
#include <sys/mman.h>

#include "run/program.h"

enum { HUGE_PAGE = 2 << 20 };

void *leat_run_pages_map(size_t bytes) {
  void *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) return NULL;
  if (bytes >= HUGE_PAGE) (void)madvise(pages, bytes, MADV_HUGEPAGE);  // a hint: failing costs only speed
  return pages;
}

void leat_run_pages_unmap(void *pages, size_t bytes) {
  if (pages != NULL) munmap(pages, bytes);
}
