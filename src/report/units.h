// SPDX-License-Identifier: Apache-2.0
// Numbers, names and shapes as people read them, shared by the reports and `leat info`.
#ifndef LEAT_REPORT_UNITS_H_
#define LEAT_REPORT_UNITS_H_

#include "pef/walk.h"

void leat_put_xml(leat_text_t *out, const char *text);    // escaped, as text and within quotes
void leat_put_bytes(leat_text_t *out, double bytes);      // "1.18 MiB"
void leat_put_flops(leat_text_t *out, double flops);      // "2.04 Mflop"
void leat_put_seconds(leat_text_t *out, double seconds);  // "12.3 us"
// "f32[32,784]": what one tile after the other touches of the operand; broadcast dims count once.
void leat_put_operand_shape(leat_text_t *out, const pef_operand_t *operand);
// "f32[16,784]": a tile buffer in the highest tile of its body. Its name: the stage that makes it.
void leat_put_buffer_shape(leat_text_t *out, const leat_pef_t *pef, const pef_body_t *body, const pef_buffer_t *buffer);
const char *leat_buffer_name(const leat_pef_t *pef, const pef_body_t *body, const pef_buffer_t *buffer);
// "contract map*3": runs of equal kinds are counted.
void leat_put_stage_kinds(leat_text_t *out, const leat_pef_t *pef, const pef_body_t *body);
// The module paths of a call's stages, each once, separated by ", ", at most `limit` of them, then "...". A body names
// those of the call that it was compiled for; of others its name says how far along their lists they stand.
void leat_put_modules(leat_text_t *out, const leat_pef_t *pef, const pef_call_t *call, uint32_t limit);
// The loops around a call, outermost first: "steps (64 trips), rows (3 trips)"; nothing where there are none.
void leat_put_loops(leat_text_t *out, const leat_walk_t *at);
const char *leat_section_type_text(uint32_t type);  // pef_section_type: "fwd"
const char *leat_symbol_kind_text(uint32_t kind);   // pef_symbol_kind: "parameter"

#endif
