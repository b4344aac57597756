// SPDX-License-Identifier: Apache-2.0
// CPU bits, and what the system says of memory.
#include "native/cpu.h"

#include <fcntl.h>
#include <unistd.h>

#include "arch/arch.h"

static enum leat_isa best_isa(void) {
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return LEAT_ISA_PORTABLE;
  bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
              __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  return wide ? LEAT_ISA_AVX512 : LEAT_ISA_AVX2;
}

leat_status_t leat_native_cpu_isa(const char *cap, enum leat_isa *out_isa) {
  *out_isa = best_isa();
  if (cap == NULL) return NULL;
  for (int i = 0; i < LEAT_ISA_COUNT; i++) {
    if (strcmp(cap, leat_native_cpu_isa_name((enum leat_isa)i)) != 0) continue;
    if (i < (int)*out_isa) *out_isa = (enum leat_isa)i;
    return NULL;
  }
  LEAT_FAIL(LEAT_INVALID_ARGUMENT, "there is no ISA level \"%s\"; choose portable, avx2 or avx512", cap);
}

_Static_assert((int)LEAT_ISA_AVX2 == (int)LEAT_ARCH_AVX2 && (int)LEAT_ISA_COUNT == (int)LEAT_ARCH_LEVEL_COUNT,
               "levels of instructions: the same numbers in kern and in records");
const char *leat_native_cpu_isa_name(enum leat_isa isa) { return leat_arch_level_name((leat_arch_level_t)isa); }

const leat_kern_t *leat_native_cpu_kernels(enum leat_isa isa) {
  static const leat_kern_t *const kernels[LEAT_ISA_COUNT] = {&leat_kern_portable, &leat_kern_avx2, &leat_kern_avx512};
  return kernels[isa];
}

void (*leat_native_cpu_gemm_bf16(const leat_kern_t *kern))(const leat_kern_gemm_t *g, const void *a, const void *b,
                                                           void *c) {
  const bool has_pairs = kern == &leat_kern_avx512 && __builtin_cpu_supports("avx512bf16");
  return has_pairs ? leat_kern_avx512_bf16_gemm_bf16 : kern->gemm_bf16;
}

// --- executable memory -----------------------------------------------------------------------------------------

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

bool leat_native_cpu_may_execute(const void *code) {
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
