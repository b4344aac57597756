// SPDX-License-Identifier: Apache-2.0
// The validator behind leat_pef_open. Layers, each trusting the ones before it: those of pef_file.h, pef_check_owner.c
// (which record is whose), pef_check.c (strings, symbols, calls, bodies), pef_check_buffer.c (tile buffers),
// pef_check_operand.c (one operand: dims, rows,
// what it reaches), pef_check_stage.c (a stage against the schema, stage.def), pef_check_alias.c (operands that share
// memory), pef_rules.c and pef_check_map.c (what a kind demands beside), pef_check_bounds.c (bounds of indices),
// pef_check_argument.c (a place, and what a body does there), pef_check_loop.c (loops, arguments that move),
// pef_check_work.c (how much a run does), pef_check_chip.c (what a chip has where). Private to src/pef.
#ifndef LEAT_PEF_CHECK_H_
#define LEAT_PEF_CHECK_H_

#include "pef/pef_read.h"

// A finding: the message with code LEAT_CORRUPT.
leat_status_t leat_pef_corrupt(const char *format, ...) LEAT_PRINTF(1, 2) LEAT_MUST_USE;
// What is to be done about a finding, behind it: the file is damaged, or LEAT_UNSUPPORTED: of a version that has more
// than is known here. Passes other statuses through.
leat_status_t leat_pef_conclude(const leat_pef_t *pef, leat_status_t status) LEAT_MUST_USE;
static inline bool leat_pef_is_newer(const leat_pef_t *pef) {
  return pef->version_major == PEF_VERSION_MAJOR && pef->version_minor > PEF_VERSION_MINOR;
}

// Every record of ARGUMENTS, STAGES, OPERANDS and INSTRUCTIONS belongs to exactly one owner, in the owners' order.
leat_status_t leat_pef_check_owners(const leat_pef_t *pef) LEAT_MUST_USE;
// And everything else.
leat_status_t leat_pef_check(const leat_pef_t *pef) LEAT_MUST_USE;

// A stage under check. `operands` and `instructions` are the stage's own.
typedef struct pef_stage_site_s {
  const leat_pef_t *pef;
  const pef_stage_t *stage;
  const pef_stage_row_t *row;
  const pef_operand_t *operands;
  const pef_instruction_t *instructions;
  const pef_body_t *body;
  const pef_buffer_t *buffers;  // of the body
  uint32_t version_minor;       // of format 2
  const uint8_t *access;        // of its operands: leat_pef_access
  bool idle;                    // it has nothing to do: set once the rules of its kind hold
} pef_stage_site_t;

// What the stages of a body ask of one argument slot.
typedef struct pef_slot_use_s {
  uint64_t bytes;      // reached from the argument's start
  uint32_t alignment;  // 0: the slot is not used
  bool written;
} pef_slot_use_t;

// What the stages so far do with a tile buffer.
typedef struct pef_buffer_use_s {
  uint32_t last;     // stage of the body that uses it; PEF_NONE: none has
  uint32_t read_at;  // the last one that reads it, + 1; 0: none has
  bool written;
} pef_buffer_use_t;

// Buffers of a body, in this order: their records, which sets `uses` (one a buffer) to none; all reads of stage `stage`
// of the body, then all its writes, whose operands are valid; that no life is too long; native's layout, if there is
// one.
leat_status_t leat_pef_check_buffers(const leat_pef_t *pef, const pef_body_t *body,
                                     pef_buffer_use_t *out_uses) LEAT_MUST_USE;
leat_status_t leat_pef_check_buffer_use(const pef_stage_site_t *site, uint32_t index, bool written, uint32_t stage,
                                        pef_buffer_use_t *uses) LEAT_MUST_USE;
leat_status_t leat_pef_check_lives(const leat_pef_t *pef, const pef_body_t *body,
                                   const pef_buffer_use_t *uses) LEAT_MUST_USE;
leat_status_t leat_pef_check_layout(const leat_pef_t *pef, const pef_body_t *body) LEAT_MUST_USE;

// In this order: the record of operand `index` (enums, dims, rows); the rules of the stage's kind; what the operand
// reaches, added to `uses` (by slot), which may rely on both.
leat_status_t leat_pef_check_operand(const pef_stage_site_t *site, uint32_t index) LEAT_MUST_USE;
leat_status_t leat_pef_check_stage(const pef_stage_site_t *site) LEAT_MUST_USE;
leat_status_t leat_pef_check_bounds(const leat_pef_t *pef) LEAT_MUST_USE;
leat_status_t leat_pef_check_blocks(const leat_pef_t *pef) LEAT_MUST_USE;
leat_status_t leat_pef_check_loops(const leat_pef_t *pef) LEAT_MUST_USE;
leat_status_t leat_pef_check_chips(const leat_pef_t *pef) LEAT_MUST_USE;  // pef_check_chip.c
leat_status_t leat_pef_check_argument(const leat_pef_t *pef, const pef_argument_t *argument) LEAT_MUST_USE;
// Argument `index` of the file holds what the body does with it, wherever it moves.
leat_status_t leat_pef_check_use(const leat_pef_t *pef, uint32_t index, const pef_slot_use_t *use) LEAT_MUST_USE;
// Bytes that it reaches there, in all trips together.
double leat_pef_touched(const leat_pef_t *pef, uint32_t index, const pef_slot_use_t *use);
leat_status_t leat_pef_check_elements(const pef_stage_site_t *site) LEAT_MUST_USE;  // which extents may be 0
leat_status_t leat_pef_check_reach(const pef_stage_site_t *site, uint32_t index, pef_slot_use_t *uses) LEAT_MUST_USE;
// What is written shares no memory in any trip of the call. Looks for `steps` steps, which it counts down.
leat_status_t leat_pef_check_alias(const pef_stage_site_t *site, const leat_pef_t *pef, const pef_call_t *call,
                                   int64_t *steps) LEAT_MUST_USE;

// Extents of the largest piece that is addressed from one base: the whole body in an argument, one tile in scratch.
void leat_pef_extents(const pef_stage_site_t *site, uint32_t index, int64_t extents[PEF_MAX_RANK]);
bool leat_pef_has_empty(const pef_operand_t *operand, const int64_t *extents);

// Steps of a run of the stage, over all rows; those beyond what its operands' sizes account for.
double leat_pef_work(const pef_stage_site_t *site);
double leat_pef_surplus_work(const pef_stage_site_t *site);

static inline bool leat_pef_site_writes(const pef_stage_site_t *site, uint32_t index) {
  return (site->access[index] & LEAT_PEF_WRITES) != 0;
}

// The first that it writes.
static inline uint32_t leat_pef_site_output(const pef_stage_site_t *site) {
  return leat_pef_output(site->pef, site->stage);
}

// pef_check_space.c: axes and cuts as records; the cuts of a stage's operands, once their dims are known to fit;
// whether two dims of equal extent are cut alike. What is broadcast (stride 0) need not be.
leat_status_t leat_pef_check_spaces(const leat_pef_t *pef) LEAT_MUST_USE;
leat_status_t leat_pef_check_cuts(const pef_stage_site_t *site) LEAT_MUST_USE;
bool leat_pef_same_cut(const pef_stage_site_t *site, uint32_t p, uint32_t i, uint32_t q, uint32_t j);

// How messages call an operand.
typedef struct pef_label_s {
  char text[32];
} pef_label_t;
pef_label_t leat_pef_label(const pef_stage_site_t *site, uint32_t index);

// The functions of stage.def.
leat_status_t leat_pef_rule_map(const pef_stage_site_t *site) LEAT_MUST_USE;
leat_status_t leat_pef_rule_reduce(const pef_stage_site_t *site) LEAT_MUST_USE;
leat_status_t leat_pef_rule_contract(const pef_stage_site_t *site) LEAT_MUST_USE;
leat_status_t leat_pef_rule_conv(const pef_stage_site_t *site) LEAT_MUST_USE;
leat_status_t leat_pef_rule_conv_wgrad(const pef_stage_site_t *site) LEAT_MUST_USE;
leat_status_t leat_pef_rule_pool(const pef_stage_site_t *site) LEAT_MUST_USE;
leat_status_t leat_pef_rule_attention(const pef_stage_site_t *site) LEAT_MUST_USE;
leat_status_t leat_pef_rule_attention_grad(const pef_stage_site_t *site) LEAT_MUST_USE;
double leat_pef_steps_attention(const pef_stage_site_t *site);
double leat_pef_steps_attention_grad(const pef_stage_site_t *site);
double leat_pef_steps_conv(const pef_stage_site_t *site);
double leat_pef_steps_conv_wgrad(const pef_stage_site_t *site);
double leat_pef_steps_pool(const pef_stage_site_t *site);
double leat_pef_steps_scatter(const pef_stage_site_t *site);

// Dims p[i] and q[j] have the same extent in every tile. Where p[i] is broadcast (stride 0) it need not carry the row
// mark that q[j], of an output, has.
bool leat_pef_same_extent(const pef_stage_site_t *site, uint32_t p, uint32_t i, uint32_t q, uint32_t j);
leat_status_t leat_pef_check_extent(const pef_stage_site_t *site, uint32_t p, uint32_t i, uint32_t q,
                                    uint32_t j) LEAT_MUST_USE;
// Operands p and q are computed in the same class.
leat_status_t leat_pef_check_class(const pef_stage_site_t *site, uint32_t p, uint32_t q) LEAT_MUST_USE;

#endif
