// SPDX-License-Identifier: Apache-2.0
// Large blocks straight from the system, and what it says of memory.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

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

// A line of /proc/self/maps is "begin-end rwxp ...", begin and end in hexadecimal.
typedef struct maps_scan_s {
  uintptr_t address, bounds[2];
  uint32_t column;  // of the line: which bound is being read, then the permissions
  uint32_t flag;    // character of the permissions
  bool found, executable;
} maps_scan_t;

enum { COLUMN_END = 1, COLUMN_PERMISSIONS = 2, COLUMN_REST = 3, FLAG_EXECUTE = 2 };

static void scan_character(maps_scan_t *scan, char c) {
  if (c == '\n') {
    *scan = (maps_scan_t){.address = scan->address, .found = scan->found, .executable = scan->executable};
  } else if (c == ' ' || (c == '-' && scan->column < COLUMN_END)) {
    ++scan->column;
  } else if (scan->column <= COLUMN_END) {
    const uintptr_t digit = (uintptr_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    scan->bounds[scan->column] = scan->bounds[scan->column] << 4 | digit;
  } else if (scan->column == COLUMN_PERMISSIONS && scan->flag++ == FLAG_EXECUTE) {
    scan->found = scan->address >= scan->bounds[0] && scan->address < scan->bounds[1];
    scan->executable = scan->found && c == 'x';
  }
}

bool leat_run_is_executable(const void *code) {
  char text[4096];
  maps_scan_t scan = {.address = (uintptr_t)code};
  const int file = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
  if (file < 0) return true;
  ssize_t count = 0;
  while (!scan.found && (count = read(file, text, sizeof text)) > 0) {
    for (ssize_t i = 0; i < count && !scan.found; i++) scan_character(&scan, text[i]);
  }
  (void)close(file);
  return scan.executable || count < 0;
}
