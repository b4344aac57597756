// SPDX-License-Identifier: Apache-2.0
// Which record is whose. Bodies own stages and tile buffers, stages own operands and instructions, calls own arguments:
// all of them, one after the other. So checking is linear in the size of the file whatever it says, and no index of
// these leads outside.
#include "pef/pef_check.h"

// First records that nobody owns yet.
typedef struct pef_cursor_s {
  uint32_t stage, buffer, operand, instruction, argument;
} pef_cursor_t;

static leat_status_t own(const char *what, uint32_t first, uint32_t count, uint32_t all, uint32_t *next) {
  if (first != *next || count > all - *next) {
    return leat_pef_corrupt("%s %u + %u of %u are not its own", what, first, count, all);
  }
  *next += count;
  return NULL;
}

static leat_status_t own_stage(const leat_pef_t *pef, const pef_stage_t *stage, pef_cursor_t *next) {
  LEAT_TRY(own("operands", stage->operand_first, stage->operand_count, pef->operand_count, &next->operand));
  return own("instructions", stage->instruction_first, stage->instruction_count, pef->instruction_count,
             &next->instruction);
}

static leat_status_t own_body(const leat_pef_t *pef, const pef_body_t *body, pef_cursor_t *next) {
  const uint32_t first = next->stage;
  LEAT_TRY(own("stages", body->stage_first, body->stage_count, pef->stage_count, &next->stage));
  LEAT_TRY(own("tile buffers", body->buffer_first, body->buffer_count, pef->buffer_count, &next->buffer));
  if (body->stage_count == 0) return leat_pef_corrupt("it has no stages");
  for (uint32_t i = first; i < next->stage; ++i) {
    LEAT_TRY(leat_status_annotate(own_stage(pef, &pef->stages[i], next), "stage %u (at byte %llu)", i,
                                  (unsigned long long)leat_pef_byte_of(pef, PEF_SEGMENT_STAGES, i)));
  }
  return NULL;
}

leat_status_t leat_pef_check_owners(const leat_pef_t *pef) {
  pef_cursor_t next = {0};
  for (uint32_t i = 0; i < pef->body_count; ++i) {
    LEAT_TRY(leat_status_annotate(own_body(pef, &pef->bodies[i], &next), "body %u (at byte %llu)", i,
                                  (unsigned long long)leat_pef_byte_of(pef, PEF_SEGMENT_BODIES, i)));
  }
  for (uint32_t i = 0; i < pef->call_count; ++i) {
    const pef_call_t *call = &pef->calls[i];
    LEAT_TRY(leat_status_annotate(
        own("arguments", call->argument_first, call->argument_count, pef->argument_count, &next.argument),
        "call %u (at byte %llu)", i, (unsigned long long)leat_pef_byte_of(pef, PEF_SEGMENT_CALLS, i)));
  }
  if (next.stage != pef->stage_count || next.buffer != pef->buffer_count || next.operand != pef->operand_count ||
      next.instruction != pef->instruction_count || next.argument != pef->argument_count) {
    return leat_pef_corrupt("there are stages, tile buffers, operands, instructions or arguments that nobody owns");
  }
  return NULL;
}
