// SPDX-License-Identifier: Apache-2.0
// Models of chips as data: what an RDU computes, moves and holds, in a record of the rows of chip.def. Each number
// knows where it is from and how far it is to be trusted, so that whoever uses one that nobody has published can say
// so.
#ifndef LEAT_ARCH_CHIP_H_
#define LEAT_ARCH_CHIP_H_

#include "arch/arch.h"

enum { LEAT_CHIP_SOURCE_MAX = 24 };

typedef enum leat_confidence_e {
  LEAT_CONFIDENCE_H,        // vendor: paper, talk, print-out of a machine
  LEAT_CONFIDENCE_M,        // third party, or two sources that agree
  LEAT_CONFIDENCE_L,        // one secondary source
  LEAT_CONFIDENCE_DERIVED,  // by arithmetic from such
  LEAT_CONFIDENCE_ASSUMED,  // nothing is public
  LEAT_CONFIDENCE_GIVEN,    // a file says it
  LEAT_CONFIDENCE_COUNT
} leat_confidence_t;

enum leat_chip_fact {
#define REAL(name, ...) LEAT_CHIP_##name,
#define COUNT(name, ...) LEAT_CHIP_##name,
#include "arch/chip.def"
  LEAT_CHIP_FACT_COUNT
};

typedef struct leat_chip_note_s {
  uint8_t confidence;  // leat_confidence_t
  char source[LEAT_CHIP_SOURCE_MAX];
} leat_chip_note_t;

typedef struct leat_chip_s {
  char name[LEAT_ARCH_NAME_MAX];  // what reports call it
#define REAL(name, ...) double name;
#define COUNT(name, ...) uint64_t name;
#include "arch/chip.def"
  leat_chip_note_t notes[LEAT_CHIP_FACT_COUNT];  // by leat_chip_fact
} leat_chip_t;

// The record of "sn10", "sn20", "sn30" or "tiny"; false: there is no such.
bool leat_chip_built_in(const char *name, leat_chip_t *out_chip);
// Reads a record, `key: value` a line (docs/chips.md). Untrusted; LEAT_INVALID_ARGUMENT says "<from>:<line>: ", or
// "<from>: " where no line is at fault.
leat_status_t leat_chip_read(const char *text, size_t text_bytes, const char *from,
                             leat_chip_t *out_chip) LEAT_MUST_USE;
leat_status_t leat_chip_read_file(const char *path, leat_chip_t *out_chip) LEAT_MUST_USE;
// The chip that `text`, a value of --arch, means: a built-in one, or the path of a record.
leat_status_t leat_chip_find(const char *text, leat_chip_t *out_chip) LEAT_MUST_USE;
// The text of a record, from which an equal one is read again.
void leat_chip_put(const leat_chip_t *chip, leat_text_t *out);

// --- facts one by one ------------------------------------------------------------------------------------------------

const char *leat_chip_fact_name(enum leat_chip_fact fact);
double leat_chip_fact(const leat_chip_t *chip, enum leat_chip_fact fact);
const char *leat_confidence_word(leat_confidence_t confidence);  // "H", "ASSUMED"

// Elements of `bytes` bytes in a vector of a PCU.
static inline int64_t leat_chip_lanes(const leat_chip_t *chip, size_t bytes) {
  if (bytes <= 2) return (int64_t)chip->lanes_bf16;
  const int64_t lanes = (int64_t)chip->lanes_f32 / (bytes > 4 ? 2 : 1);
  return lanes > 0 ? lanes : 1;
}
// Bytes a second that `tiles` tiles load and store together.
static inline double leat_chip_ddr_rate(const leat_chip_t *chip, uint32_t tiles) {
  const double all = chip->ddr_tile * (double)tiles;
  return all < chip->ddr_effective ? all : chip->ddr_effective;
}

#endif
