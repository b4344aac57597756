// SPDX-License-Identifier: Apache-2.0
// Machine models as data. A compile takes its tile sizes from one record and stores the record's text in the PEF, so
// that the same options give the same bytes on every machine.
#ifndef LEAT_ARCH_ARCH_H_
#define LEAT_ARCH_ARCH_H_

#include "base/base.h"

typedef struct leat_arch_s {
  char text[96];                // canonical form: "native:<l1>,<l2>,<l3>"
  uint64_t l1_bytes, l2_bytes;  // of one core, data
  uint64_t l3_bytes;            // shared
  uint64_t scratch_bytes;       // most that the scratch of a tile may take; UINT64_MAX: memory stands behind the caches
} leat_arch_t;

// "native" (cache sizes of this machine, or 32 KiB, 1 MiB, 16 MiB where it does not tell) or "native:l1,l2,l3" in
// bytes. Sizes that are given are a target: tiles have to fit its L3. NULL means "native". LEAT_INVALID_ARGUMENT names
// the legal forms. Until chips are there their names mean "native".
leat_status_t leat_arch_parse(const char *text, leat_arch_t *out_arch) LEAT_MUST_USE;
// Whether `text` names a chip; false for NULL.
bool leat_arch_is_chip(const char *text);

#endif
