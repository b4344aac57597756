// SPDX-License-Identifier: Apache-2.0
// What all proofs share: where findings go, and covers.
#include "pef/legal_parts.h"

enum { FINDINGS_KEPT = 64 };

leat_status_t leat_legal_report(leat_prover_t *prover, const leat_finding_t *finding) {
  leat_findings_t *all = prover->findings;
  ++all->count;
  if (all->list.count == FINDINGS_KEPT) return NULL;
  leat_finding_t *slot = leat_array_push(&all->list);
  if (slot == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "out of memory for the proofs");
  *slot = *finding;
  return NULL;
}

static void join_all(leat_cover_t *cover) {
  for (uint32_t i = 0; i + 1 < cover->count; ++i) {
    if (!leat_box_join(&cover->boxes[i], &cover->boxes[cover->count - 1])) continue;
    --cover->count;
    i = UINT32_MAX;  // the longer one may join others
  }
}

void leat_cover_add(leat_cover_t *cover, const leat_box_t *box) {
  if (box->run == 0) return;
  if (cover->count == 0 || box->low < cover->low) cover->low = box->low;
  if (cover->count == 0 || box->high > cover->high) cover->high = box->high;
  if (cover->count == LEAT_COVER_BOXES) {
    cover->lost = true;
    return;
  }
  cover->boxes[cover->count++] = *box;
  join_all(cover);
}

bool leat_cover_holds(const leat_cover_t *cover, const leat_box_t *box) {
  if (box->run == 0) return true;
  if (cover->lost) return cover->low <= box->low && box->high <= cover->high;
  for (uint32_t i = 0; i < cover->count; ++i) {
    if (leat_box_holds(&cover->boxes[i], box)) return true;
  }
  return false;
}
