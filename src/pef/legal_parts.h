// SPDX-License-Identifier: Apache-2.0
// What the files of the proofs share: legal_box.c (bytes), legal_body.c (one body: arguments, tiles),
// legal_scratch.c (its tile scratch), legal_events.c (the program, call by call and trip by trip), legal_memory.c (its
// arena and symbols), legal_race.c (its calls in flight), legal.c (findings). Private to src/pef.
#ifndef LEAT_PEF_LEGAL_PARTS_H_
#define LEAT_PEF_LEGAL_PARTS_H_

#include "pef/legal.h"
#include "pef/legal_box.h"

enum { LEAT_COVER_BOXES = 4, LEAT_ALWAYS = PEF_NO_OUTPUT, LEAT_MIXED };
#define LEAT_PLACE_MAX (UINT64_C(1) << 50)  // bytes: sums of a few distances fit

// Bytes that were written: a few boxes, which join to one nearly always. `lost`: more did not fit; then all from the
// lowest byte to the highest counts as written.
typedef struct leat_cover_s {
  leat_box_t boxes[LEAT_COVER_BOXES];
  uint32_t count;
  bool lost;
  int64_t low, high;
} leat_cover_t;

void leat_cover_add(leat_cover_t *cover, const leat_box_t *box);
bool leat_cover_holds(const leat_cover_t *cover, const leat_box_t *box);

// A range of bytes, and the first operand that touches it.
typedef struct leat_span_s {
  int64_t low, high;        // empty: low == high
  uint32_t stage, operand;  // of the file, of the stage
  uint32_t output;          // of the stages: LEAT_ALWAYS, an output, LEAT_MIXED
  uint16_t dtypes;          // bits
} leat_span_t;

// What a body does with one of its arguments.
typedef struct leat_slot_s {
  leat_span_t reads;   // what it has not written before
  leat_span_t inside;  // what it has
  leat_span_t writes;
  leat_cover_t cover;               // of the writes
  leat_cover_t needs;               // of the reads
  uint32_t last_read, first_write;  // stages of the body, where there are such
  bool spare;                       // written by a stage that has another result, too: need not be read
} leat_slot_t;

typedef struct leat_prover_s {
  const leat_pef_t *pef;
  leat_findings_t *findings;
  leat_slot_t *slots;    // of all bodies
  uint32_t *first_slot;  // per body
  uint32_t *first_call;  // per body: PEF_NONE if none
} leat_prover_t;

static inline const leat_slot_t *leat_prover_slots(const leat_prover_t *p, uint32_t body) {
  return &p->slots[p->first_slot[body]];
}

leat_status_t leat_legal_report(leat_prover_t *prover, const leat_finding_t *finding) LEAT_MUST_USE;

// Tiles and scratch of a body; fills its slots.
leat_status_t leat_legal_body(leat_prover_t *prover, uint32_t body) LEAT_MUST_USE;
leat_status_t leat_legal_scratch(leat_prover_t *prover, uint32_t body) LEAT_MUST_USE;
// Two arguments of a call that share bytes: that of slot `b` begins `shift` bytes after that of slot `a`.
leat_status_t leat_legal_slots(leat_prover_t *prover, uint32_t call, uint32_t a, uint32_t b,
                               int64_t shift) LEAT_MUST_USE;
// Arena, symbols and calls in flight, once the slots of all bodies are there.
leat_status_t leat_legal_memory(leat_prover_t *prover) LEAT_MUST_USE;

#endif
