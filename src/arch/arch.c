// SPDX-License-Identifier: Apache-2.0
// Records: their initial values, the short forms of the target native, and what work costs on them.
#include "arch/arch.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { CACHE_MIN_BYTES = 4096 };

const char *leat_arch_level_name(leat_arch_level_t level) {
  static const char *const names[LEAT_ARCH_LEVEL_COUNT] = {"portable", "avx2", "avx512"};
  return names[level];
}

void leat_arch_init(leat_arch_t *arch, const char *target, const char *name) {
  memset(arch, 0, sizeof *arch);  // equal records have equal bytes, between their fields, too
  arch->built_in = true;
  arch->level = LEAT_ARCH_AVX2;
#define REAL(name, lowest, highest, initial, ...) arch->name = (initial);
#define COUNT(name, lowest, highest, initial, ...) arch->name = (initial);
#include "arch/arch.def"
  (void)snprintf(arch->target, sizeof arch->target, "%s", target);
  (void)snprintf(arch->name, sizeof arch->name, "%s", name);
}

// --- the target native --------------------------------------------------------------------------------------------

static void ask_cache(int name, uint64_t *bytes) {
  const long found = sysconf(name);
  if (found >= CACHE_MIN_BYTES) *bytes = (uint64_t)found;
}

static bool parse_size(const char **cursor, uint64_t *out_bytes) {
  char *end = NULL;
  if (**cursor < '0' || **cursor > '9') return false;
  unsigned long long bytes = strtoull(*cursor, &end, 10);
  if (bytes < CACHE_MIN_BYTES || bytes > LEAT_ARCH_BYTES_MAX) return false;
  *out_bytes = bytes;
  *cursor = end;
  return true;
}

leat_status_t leat_arch_native(const char *text, leat_arch_t *out_arch) {
  leat_arch_init(out_arch, "native", "");
  if (strcmp(text, "native") == 0) {
    ask_cache(_SC_LEVEL1_DCACHE_SIZE, &out_arch->l1_bytes);
    ask_cache(_SC_LEVEL2_CACHE_SIZE, &out_arch->l2_bytes);
    ask_cache(_SC_LEVEL3_CACHE_SIZE, &out_arch->l3_bytes);
  } else {
    const char *cursor = text + strcspn(text, ":") + (strchr(text, ':') != NULL);
    bool ok = strncmp(text, "native:", 7) == 0 && parse_size(&cursor, &out_arch->l1_bytes) && *cursor++ == ',' &&
              parse_size(&cursor, &out_arch->l2_bytes) && *cursor++ == ',' &&
              parse_size(&cursor, &out_arch->l3_bytes) && *cursor == '\0';
    if (!ok) {
      LEAT_FAIL(LEAT_INVALID_ARGUMENT,
                "arch '%s': write native:<l1>,<l2>,<l3> with cache sizes in bytes, each at least %d", text,
                CACHE_MIN_BYTES);
    }
    out_arch->scratch_bytes = out_arch->l3_bytes;
  }
  (void)snprintf(out_arch->name, sizeof out_arch->name, "native:%llu,%llu,%llu", (unsigned long long)out_arch->l1_bytes,
                 (unsigned long long)out_arch->l2_bytes, (unsigned long long)out_arch->l3_bytes);
  return NULL;
}

// --- what work costs ----------------------------------------------------------------------------------------------

double leat_arch_peak(const leat_arch_t *arch, leat_arch_dtype_t dtype, leat_arch_level_t level) {
  const double peaks[LEAT_ARCH_DTYPE_COUNT][LEAT_ARCH_LEVEL_COUNT] = {
      [LEAT_ARCH_F32] = {arch->f32_portable, arch->f32_avx2, arch->f32_avx512},
      [LEAT_ARCH_F64] = {arch->f64_portable, arch->f64_avx2, arch->f64_avx512},
  };
  return peaks[dtype][level];
}

double leat_arch_seconds(const leat_arch_t *arch, leat_arch_level_t level, double flops, double bytes) {
  return flops / (leat_arch_peak(arch, LEAT_ARCH_F32, level) * arch->efficiency) + bytes / arch->triad_bytes;
}

double leat_arch_read_rate(const leat_arch_t *arch, uint32_t threads) {
  const double alone = arch->read_bytes, all = arch->read_bytes_all > alone ? arch->read_bytes_all : alone;
  return threads * alone < all ? threads * alone : all;
}

double leat_arch_roofline(const leat_arch_t *arch, leat_arch_roofline_t of, double flops, double bytes,
                          bool *out_memory_bound) {
  const double compute = flops / (leat_arch_peak(arch, of.dtype, of.level) * of.threads);
  const double memory = bytes / leat_arch_read_rate(arch, of.threads);
  *out_memory_bound = memory > compute;
  return memory > compute ? memory : compute;
}
