// SPDX-License-Identifier: Apache-2.0
// A second opinion: proves of a file that its plan of memory and of barriers is one, whoever made it. Shares no code
// with what plans (base/fit.c, map/place.c, link/link_memory.c, flight.c) and trusts the validator (pef_read.h) alone,
// which has seen to it that no stage writes over what it reads but in step.
//
// The places of a plan carry no names, so that a value is known by how it is referred to:
//   in the arena    a value is what arguments of equal offset and bytes name, from the write that makes it to the last
//                   read before a part of it is written again: calls, or trips of a loop, may write it part by part.
//                   One that several section types touch, or PREPARE does, lives for ever,
//                   since types run apart. One that nobody writes is zeros, and lives for ever; so does one that nobody
//                   reads.
//   in a tile       a buffer is one value. In an opaque one (version 1) a value is the block that a stage writes;
//                   copies of one op that follow each other (concat, pad) make one value together.
// What is not found is therefore one value in the place of another where all of this fits both: a different program.
#ifndef LEAT_PEF_LEGAL_H_
#define LEAT_PEF_LEGAL_H_

#include "pef/pef_read.h"

typedef enum leat_rule_e {
  LEAT_RULE_OVERLAP,    // two values that live at the same time share bytes
  LEAT_RULE_UNWRITTEN,  // bytes are read that nothing has written before
  LEAT_RULE_TORN,       // what is read as one value was written as several
  LEAT_RULE_UNREAD,     // a value is written and never read: something else is read in its place
  LEAT_RULE_TYPE,       // a value is read as another dtype than it was written as
  LEAT_RULE_RACE,       // two calls in flight at once: one writes what the other touches
  LEAT_RULE_TILES,      // one tile of a call writes what another touches
  LEAT_RULE_ORDER,      // a section type needs what one that runs later makes
  LEAT_RULE_PREPARE,    // PREPARE depends on more than parameters, buffers and constants, or its results are written
                        // over, or read in a loop that updates parameters
  LEAT_RULE_BORROWED,   // the caller's memory: an input is written, or an output is read that this run has not written
  LEAT_RULE_ENABLED,    // what only an enabled output writes is read by what always runs
  LEAT_RULE_OUTSIDE,    // an operand reaches beyond its tile buffer
  LEAT_RULE_LIFE,       // a tile buffer is used outside of the stages that it says
  LEAT_RULE_ANEW,       // a tile buffer whose value has been read gets another one
  LEAT_RULE_COUNT
} leat_rule_t;

// One breach of a rule. What does not apply is PEF_NONE.
typedef struct leat_finding_s {
  leat_rule_t rule;
  uint32_t call, stage, operand;  // stage: of the file; operand: of the stage
  uint32_t other_call, other_stage;
  uint32_t place, symbol;  // pef_place_kind; PEF_NONE: a tile buffer
  uint32_t buffer;         // of the file
  uint64_t begin, end;     // bytes of the place
} leat_finding_t;

typedef struct leat_findings_s {
  LEAT_ARRAY(leat_finding_t) list;  // the first ones
  uint64_t count;                   // of all
} leat_findings_t;

// Everything that is wrong with the plan of an open file; none: it is legal. Time and memory grow with the file a
// little faster than linearly, loops written out. LEAT_OUT_OF_MEMORY; LEAT_UNSUPPORTED where a place has 2^50 bytes or
// more, or where a run with loops has 2^21 arguments of calls or more.
leat_status_t leat_legal_find(const leat_pef_t *pef, leat_findings_t *out) LEAT_MUST_USE;
void leat_findings_deinit(leat_findings_t *findings);
// A line, without its end, that says what is wrong where.
void leat_finding_put(const leat_pef_t *pef, const leat_finding_t *finding, leat_text_t *out);

// LEAT_CORRUPT with the first finding and the number of all, for callers that need to know no more.
leat_status_t leat_legal_check(const leat_pef_t *pef) LEAT_MUST_USE;

#endif
