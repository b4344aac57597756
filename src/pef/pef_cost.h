// SPDX-License-Identifier: Apache-2.0
// What a stage of a valid file costs at least, in all its rows: for reports, which hold it against what a machine can
// do.
#ifndef LEAT_PEF_COST_H_
#define LEAT_PEF_COST_H_

#include "pef/pef_read.h"

// Operations; a multiply-add counts two, a scalar function as many as ir/scalar.def says.
double leat_pef_stage_flops(const leat_pef_t *pef, const pef_body_t *body, const pef_stage_t *stage);
// Bytes of operand `index`, each once: what is broadcast counts once, and of a table what is looked up.
double leat_pef_operand_bytes(const leat_pef_t *pef, const pef_stage_t *stage, uint32_t index);

#endif
