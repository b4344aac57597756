// SPDX-License-Identifier: Apache-2.0
// What the writer does so that a file says once what repeats. Private to src/pef.
#ifndef LEAT_PEF_FOLD_H_
#define LEAT_PEF_FOLD_H_

#include "base/base.h"
#include "pef/pef_format.h"
#include "pef/pef_segment.h"

// A segment on its way into a file.
typedef struct pef_piece_s {
  const pef_segment_row_t *row;
  const void *records;
  uint64_t count;
  uint32_t record_bytes;  // of `records`
} pef_piece_t;

// The same tables with families: those of records as a file of a minor version has them.
typedef struct pef_folded_s {
  pef_piece_t pieces[PEF_SEGMENT_END];  // by kind
  void *made[PEF_SEGMENT_END];
  LEAT_ARRAY(pef_family_t) families;
  LEAT_ARRAY(pef_step_t) steps;
} pef_folded_t;

// `pieces` must outlive it. Deinit also after a failure. LEAT_OUT_OF_MEMORY.
leat_status_t leat_pef_fold(const pef_piece_t pieces[PEF_SEGMENT_END], uint32_t minor,
                            pef_folded_t *out_folded) LEAT_MUST_USE;
void leat_pef_folded_deinit(pef_folded_t *folded);

// --- pef_strings.c ---------------------------------------------------------------------------------------------------

// Strings in an order in which those that differ in their numbers alone lie side by side, numbers ascending: whoever
// names one after the other, as layers do, then steps evenly.
typedef struct pef_strings_s {
  char *text;
  uint32_t bytes, count;
  uint32_t *was, *now;  // where each began, ascending, and where it begins in `text`
} pef_strings_t;

leat_status_t leat_pef_order_strings(const char *strings, uint32_t bytes, pef_strings_t *out_strings) LEAT_MUST_USE;
void leat_pef_strings_deinit(pef_strings_t *strings);
// Where what was at byte `was` is now.
uint32_t leat_pef_string_now(const pef_strings_t *strings, uint32_t was);

#endif
