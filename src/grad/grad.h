// SPDX-License-Identifier: Apache-2.0
// Reverse mode and optimizers.
#ifndef LEAT_GRAD_GRAD_H_
#define LEAT_GRAD_GRAD_H_

#include "ir/vjp.h"

// Copies `from` (primitives, traced rows with own gradient, statements) and appends
// - type bckwd: the gradient of every seeded output; for each requires_grad symbol S that one reaches, a store of kind
//   "grad" named S__grad. Backward ops take group and origin of the
//   forward op they belong to;
// - type gradnorm and opt: the updates of the optimizer statements, which are consumed.
// Nothing is added when no seeded output depends on a requires_grad symbol.
leat_status_t leat_grad(const leat_graph_t *from, const leat_vjp_table_t *traced_vjps,
                        leat_graph_t **out_graph) LEAT_MUST_USE;

// Does autograd follow from the results of the op to operand `input`? A symbol that is read in no other way has no
// gradient.
bool leat_grad_flows(const leat_graph_t *g, const leat_op_t *op, uint32_t input);
// What reverse mode will find, of a traced graph or of one that is lowered; flags of values, all false before.
// needs: a symbol that requires a gradient reaches the value, which is of floats.
// reached: the value needs one and reaches, by ops that carry gradients, an output with a seed: its cotangent is
// defined, though it may be zero.
void leat_grad_mark(const leat_graph_t *g, bool *out_needs, bool *out_reached);

#endif
