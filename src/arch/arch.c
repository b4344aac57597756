// SPDX-License-Identifier: Apache-2.0
// Parses the --arch value; asks the C library for the cache sizes of a plain "native".
#include "arch/arch.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { CACHE_MIN_BYTES = 4096 };

static uint64_t cache_bytes(int name, uint64_t otherwise) {
  long bytes = sysconf(name);
  return bytes >= CACHE_MIN_BYTES ? (uint64_t)bytes : otherwise;
}

static bool parse_size(const char **cursor, uint64_t *out_bytes) {
  char *end = NULL;
  if (**cursor < '0' || **cursor > '9') return false;
  unsigned long long bytes = strtoull(*cursor, &end, 10);
  if (bytes < CACHE_MIN_BYTES || bytes > (1ull << 40)) return false;
  *out_bytes = bytes;
  *cursor = end;
  return true;
}

bool leat_arch_is_chip(const char *text) {
  static const char *const chips[] = {"sn10", "sn20", "sn30", "sn40", "sn40l"};
  for (size_t i = 0; text != NULL && i < sizeof chips / sizeof *chips; ++i)
    if (strcmp(text, chips[i]) == 0) return true;
  return false;
}

leat_status_t leat_arch_parse(const char *text, leat_arch_t *out_arch) {
  memset(out_arch, 0, sizeof *out_arch);
  out_arch->scratch_bytes = UINT64_MAX;
  if (text == NULL || strcmp(text, "native") == 0) {
    out_arch->l1_bytes = cache_bytes(_SC_LEVEL1_DCACHE_SIZE, 32u << 10);
    out_arch->l2_bytes = cache_bytes(_SC_LEVEL2_CACHE_SIZE, 1u << 20);
    out_arch->l3_bytes = cache_bytes(_SC_LEVEL3_CACHE_SIZE, 16u << 20);
  } else if (strncmp(text, "native:", 7) == 0) {
    const char *cursor = text + 7;
    bool ok = parse_size(&cursor, &out_arch->l1_bytes) && *cursor++ == ',' &&
              parse_size(&cursor, &out_arch->l2_bytes) && *cursor++ == ',' &&
              parse_size(&cursor, &out_arch->l3_bytes) && *cursor == '\0';
    if (!ok) {
      LEAT_FAIL(LEAT_INVALID_ARGUMENT,
                "arch '%s': write native:<l1>,<l2>,<l3> with cache sizes in bytes, each at least %d", text,
                CACHE_MIN_BYTES);
    }
    out_arch->scratch_bytes = out_arch->l3_bytes;
  } else if (leat_arch_is_chip(text)) {
    return leat_arch_parse("native", out_arch);
  } else {
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "arch '%s' is unknown: use native, sn10, sn20 or sn30 (lower case)", text);
  }
  snprintf(out_arch->text, sizeof out_arch->text, "native:%llu,%llu,%llu", (unsigned long long)out_arch->l1_bytes,
           (unsigned long long)out_arch->l2_bytes, (unsigned long long)out_arch->l3_bytes);
  return NULL;
}
