// SPDX-License-Identifier: Apache-2.0
// Inside grad/: the rule tables and the optimizer entry.
#ifndef LEAT_GRAD_RULES_H_
#define LEAT_GRAD_RULES_H_

#include "ir/formula.h"
#include "ir/vjp.h"

// PRIM_VJP(SLICE) { .. }: the rule of a primitive, one a row of op.def.
#define PRIM_VJP(row)                      \
  void leat_vjp_prim_##row(leat_vjp_t *v); \
  void leat_vjp_prim_##row(leat_vjp_t *v)

// The rule of `kind`; NULL for a traced op without own gradient.
leat_vjp_rule_t leat_vjp_rule(const leat_vjp_table_t *traced, uint32_t kind);

// Is `op` an output that gradients start from?
bool leat_grad_is_seeded(const leat_graph_t *g, const leat_op_t *op);

// Appends the updates of the optimizer statements of `from`. `gradients[v]` is the cotangent of value v, LEAT_NONE
// where there is none; `current[v]` what forward made of the parameter v, LEAT_NONE where it left it alone. Value ids
// of `from` hold in b->graph too.
leat_status_t leat_optimizer_append(leat_builder_t *b, const leat_graph_t *from, const leat_value_id_t *gradients,
                                    const leat_value_id_t *current) LEAT_MUST_USE;

#endif
