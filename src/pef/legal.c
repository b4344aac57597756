// SPDX-License-Identifier: Apache-2.0
// Findings, and the order of the proofs: each body once, then the program.
#include "pef/legal.h"

#include "pef/legal_parts.h"

static const char *const rules[LEAT_RULE_COUNT] = {
    [LEAT_RULE_OVERLAP] = "two values that live at the same time share bytes",
    [LEAT_RULE_UNWRITTEN] = "reads what nothing has written before",
    [LEAT_RULE_TORN] = "reads two values as one",
    [LEAT_RULE_UNREAD] = "writes a value that nobody reads: something else is read in its place",
    [LEAT_RULE_TYPE] = "reads as another dtype than was written",
    [LEAT_RULE_RACE] = "writes what another call touches at the same time: a barrier is missing",
    [LEAT_RULE_TILES] = "writes in one tile what another tile touches",
    [LEAT_RULE_ORDER] = "comes after a section type that runs later, and one of the two writes what the other touches",
    [LEAT_RULE_PREPARE] =
        "what a prepare section makes depends on parameters, buffers and constants alone, and stays as it is",
    [LEAT_RULE_BORROWED] = "the caller's memory: inputs are not written, outputs hold what this run has written there",
    [LEAT_RULE_ENABLED] = "reads what is written only where an output is enabled",
    [LEAT_RULE_OUTSIDE] = "reaches beyond its tile buffer",
    [LEAT_RULE_LIFE] = "uses a tile buffer before the first or after the last stage that it says",
    [LEAT_RULE_ANEW] = "writes another value to a tile buffer whose value has been read",
};

void leat_findings_deinit(leat_findings_t *findings) {
  leat_array_free(&findings->list);
  findings->count = 0;
}

// --- text ------------------------------------------------------------------------------------------------------------

static void put_stage(const leat_pef_t *pef, uint32_t index, leat_text_t *out) {
  const pef_stage_t *stage = &pef->stages[index];
  leat_text_put(out, "stage %u (%s: %s)", index, leat_pef_stage_name(stage->kind), pef->strings + stage->origin);
}

static void put_place(const leat_pef_t *pef, const leat_finding_t *f, leat_text_t *out) {
  leat_text_put(out, "bytes %llu to %llu of ", (unsigned long long)f->begin, (unsigned long long)f->end);
  if (f->place == PEF_PLACE_SYMBOL)
    leat_text_put(out, "'%s'", pef->strings + pef->symbols[f->symbol].name);
  else if (f->place == PEF_NONE && pef->buffers[f->buffer].dtype != PEF_OPAQUE)
    leat_text_put(out, "tile buffer %u", f->buffer - pef->bodies[pef->calls[f->call].body].buffer_first);
  else
    leat_text_put(out, "%s",
                  f->place == PEF_PLACE_ARENA ? "the arena"
                  : f->place == PEF_NONE      ? "scratch"
                                              : "the constants");
}

void leat_finding_put(const leat_pef_t *pef, const leat_finding_t *f, leat_text_t *out) {
  leat_text_put(out, "call %u (%s), ", f->call, pef->strings + pef->calls[f->call].name);
  put_stage(pef, f->stage, out);
  leat_text_put(out, ", operand %u: ", f->operand);
  put_place(pef, f, out);
  leat_text_put(out, ": %s", rules[f->rule]);
  if (f->other_call != PEF_NONE)
    leat_text_put(out, "; the other: call %u (%s)", f->other_call, pef->strings + pef->calls[f->other_call].name);
  if (f->other_stage == PEF_NONE) return;
  leat_text_put(out, f->other_call != PEF_NONE ? ", " : "; the other: ");
  put_stage(pef, f->other_stage, out);
}

// --- the proofs ------------------------------------------------------------------------------------------------------

static leat_status_t check_sizes(const leat_pef_t *pef) {
  uint64_t most = pef->info->arena_bytes;
  for (uint32_t s = 0; s < pef->symbol_count; ++s) most = pef->symbols[s].bytes > most ? pef->symbols[s].bytes : most;
  if (most < LEAT_PLACE_MAX) return NULL;
  LEAT_FAIL(LEAT_UNSUPPORTED, "a place of %llu bytes is too large for the proofs", (unsigned long long)most);
}

static leat_status_t init(leat_prover_t *p) {
  const leat_pef_t *pef = p->pef;
  size_t slots = 0;
  p->first_slot = leat_alloc_zero(pef->body_count + 1u, sizeof *p->first_slot);
  p->first_call = leat_alloc_zero(pef->body_count + 1u, sizeof *p->first_call);
  if (p->first_slot == NULL || p->first_call == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "out of memory for the proofs");
  for (uint32_t b = 0; b < pef->body_count; ++b) {
    p->first_call[b] = PEF_NONE;
    p->first_slot[b] = (uint32_t)slots;
    slots += pef->bodies[b].argument_count;
  }
  for (uint32_t c = pef->call_count; c-- > 0;) p->first_call[pef->calls[c].body] = c;
  p->slots = slots > UINT32_MAX ? NULL : leat_alloc_zero(slots + 1, sizeof *p->slots);
  if (p->slots == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "out of memory for the proofs");
  return NULL;
}

static leat_status_t prove(leat_prover_t *p) {
  LEAT_TRY(check_sizes(p->pef));
  LEAT_TRY(init(p));
  for (uint32_t b = 0; b < p->pef->body_count; ++b) {
    if (p->first_call[b] != PEF_NONE) LEAT_TRY(leat_legal_body(p, b));
  }
  return leat_legal_memory(p);
}

leat_status_t leat_legal_find(const leat_pef_t *pef, leat_findings_t *out) {
  *out = (leat_findings_t){0};
  leat_prover_t prover = {.pef = pef, .findings = out};
  leat_status_t status = prove(&prover);
  leat_free(prover.slots);
  leat_free(prover.first_slot);
  leat_free(prover.first_call);
  if (status != NULL) leat_findings_deinit(out);
  return status;
}

leat_status_t leat_legal_check(const leat_pef_t *pef) {
  leat_findings_t found;
  LEAT_TRY(leat_legal_find(pef, &found));
  if (found.count == 0) return NULL;
  leat_text_t text = {0};
  leat_finding_put(pef, &found.list.data[0], &text);
  leat_status_t status = leat_status_make(LEAT_CORRUPT, "the plan is not legal, %llu findings; the first: %s",
                                          (unsigned long long)found.count, text.failed ? "" : text.data);
  leat_text_deinit(&text);
  leat_findings_deinit(&found);
  return status;
}
