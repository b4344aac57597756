// SPDX-License-Identifier: Apache-2.0
// Mapping for the native engine: from sections of ops to bodies of stages with tiles, places and a memory plan.
#ifndef LEAT_MAP_MAP_H_
#define LEAT_MAP_MAP_H_

#include "cut/cut.h"
#include "pef/pef_write.h"

// A section whose scratch does not fit the target even with tiles of one row.
typedef struct leat_map_shortage_s {
  bool found;
  uint8_t type;  // leat_section_type_t
} leat_map_shortage_t;

typedef struct leat_map_options_s {
  const struct leat_map_target_s *target;  // target.h: whose mapper it is
  const leat_arch_t *arch;
  const char *arch_text;  // of the record, for the PEF
  uint32_t optim_level;
  bool inference;
  bool whole;      // nothing is linked to it: it is the program, and says how its parameters lie
  uint32_t trips;  // of the loop whose body it is: how often a step runs it; 0: once
  bool repeats;    // it runs more than once between two updates: in loops, or for several batches
  uint64_t fingerprint[3], fingerprint_version;
  leat_map_shortage_t *shortage;  // NULL: not asked for
} leat_map_options_t;

// needs: a settled graph and its plan. gives: every table of the PEF but the metadata. LEAT_UNSUPPORTED with
// options->shortage filled: a section does not fit.
leat_status_t leat_map_native(const leat_graph_t *g, const leat_plan_t *plan, const leat_map_options_t *options,
                              leat_pef_writer_t *writer) LEAT_MUST_USE;

#endif
