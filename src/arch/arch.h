// SPDX-License-Identifier: Apache-2.0
// Machine models as data: what a target computes, moves and holds, in a record of the rows of arch.def. Everything that
// plans, estimates or reports asks a record; nothing else in the tree knows a rate or the size of a cache.
//
// A compile works for one record and stores its text in the PEF, so that the same options give the same bytes on every
// machine, and so that who runs the file or reports on it knows what it was made for.
#ifndef LEAT_ARCH_ARCH_H_
#define LEAT_ARCH_ARCH_H_

#include "base/base.h"

enum { LEAT_ARCH_NAME_MAX = 96, LEAT_ARCH_TEXT_MAX = 1 << 16 };
#define LEAT_ARCH_BYTES_MAX (1ull << 40)

// Levels of instructions, ascending: ORDER: as enum leat_isa of kern.
typedef enum leat_arch_level_e {
  LEAT_ARCH_PORTABLE,
  LEAT_ARCH_AVX2,
  LEAT_ARCH_AVX512,
  LEAT_ARCH_LEVEL_COUNT
} leat_arch_level_t;
typedef enum leat_arch_dtype_e { LEAT_ARCH_F32, LEAT_ARCH_F64, LEAT_ARCH_DTYPE_COUNT } leat_arch_dtype_t;

typedef struct leat_arch_s {
  char target[16];                // who maps for it
  char name[LEAT_ARCH_NAME_MAX];  // what reports call it
  bool built_in;                  // a target and cache sizes: all else is initial
  uint8_t level;                  // leat_arch_level_t that plans and reports are for
#define REAL(name, ...) double name;
#define COUNT(name, ...) uint64_t name;
#include "arch/arch.def"
} leat_arch_t;

// --- records and their text -------------------------------------------------------------------------------------

// The initial record of a target, called `name`.
void leat_arch_init(leat_arch_t *arch, const char *target, const char *name);
// The record of the target native that `text` is short for: "native" (cache sizes of this machine, or the initial ones
// where it does not tell), or "native:<l1>,<l2>,<l3>" in bytes. Sizes that are given are a target: tiles have to fit
// its L3. LEAT_INVALID_ARGUMENT: another text, named with the legal forms.
leat_status_t leat_arch_native(const char *text, leat_arch_t *out_arch) LEAT_MUST_USE;
// Gives a record a name: text of a line, without the blanks around it. LEAT_INVALID_ARGUMENT.
leat_status_t leat_arch_set_name(leat_arch_t *arch, const char *name) LEAT_MUST_USE;
// Reads a record, `key: value` a line (docs/machines.md). Untrusted; LEAT_INVALID_ARGUMENT says "<from>:<line>: ", or
// "<from>: " where no line is at fault.
leat_status_t leat_arch_read(const char *text, size_t text_bytes, const char *from,
                             leat_arch_t *out_arch) LEAT_MUST_USE;
leat_status_t leat_arch_read_file(const char *path, leat_arch_t *out_arch) LEAT_MUST_USE;
// The text of a record, from which the same record is read again: the short form where it is built in. With `comments`
// as people read it.
void leat_arch_put(const leat_arch_t *arch, bool comments, leat_text_t *out);
// The record that a PEF was compiled for, from the text in it; the initial one of native where that says nothing.
void leat_arch_of_pef(const char *text, leat_arch_t *out_arch);

const char *leat_arch_level_name(leat_arch_level_t level);  // "portable", "avx2", "avx512"

// --- what work costs ----------------------------------------------------------------------------------------------

double leat_arch_peak(const leat_arch_t *arch, leat_arch_dtype_t dtype, leat_arch_level_t level);
// THE cost function: seconds that one core is expected to take for work of so many operations and bytes of memory.
double leat_arch_seconds(const leat_arch_t *arch, leat_arch_level_t level, double flops, double bytes);

// Less than this no machine like it takes: the larger of operations at the peak and bytes at the bandwidth of reading.
typedef struct leat_arch_roofline_s {
  leat_arch_level_t level;
  leat_arch_dtype_t dtype;
  uint32_t threads;
} leat_arch_roofline_t;
double leat_arch_roofline(const leat_arch_t *arch, leat_arch_roofline_t of, double flops, double bytes,
                          bool *out_memory_bound);
// Bytes that `threads` cores read a second.
double leat_arch_read_rate(const leat_arch_t *arch, uint32_t threads);

// Seconds of so many meetings of all cores: what work has to be worth.
static inline double leat_arch_barriers(const leat_arch_t *arch, double count) { return count * arch->barrier_seconds; }
// Elements of f32 in a vector, and in a cache line.
static inline int64_t leat_arch_lanes(const leat_arch_t *arch) { return (int64_t)(arch->vector_bytes / sizeof(float)); }
static inline uint64_t leat_arch_line_elements(const leat_arch_t *arch) { return arch->line_bytes / sizeof(float); }
// Most that the scratch of a tile may take; UINT64_MAX: no limit.
static inline uint64_t leat_arch_scratch(const leat_arch_t *arch) {
  return arch->scratch_bytes == 0 ? UINT64_MAX : arch->scratch_bytes;
}

#endif
