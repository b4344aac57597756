// SPDX-License-Identifier: Apache-2.0
// Settle: the last rewrite before sections are cut. It puts explicit copies where a view cannot be read through
// strides and marks what depends on parameters and constants only.
#ifndef LEAT_SPACE_SETTLE_H_
#define LEAT_SPACE_SETTLE_H_

#include "arch/arch.h"
#include "ir/graph.h"

// needs: primitives only. gives, beyond what `from` says:
//   - every view resolves to an access (access.h);
//   - splat constants and iotas are read by maps only, directly;
//   - every store reads the whole of a computing op's result, computed in a section that runs with the store;
//   - a section type reads what an earlier one updates from a copy, made before the update;
//   - convolutions, pooling, scans and adding scatters of bf16 and f16 run on f32 copies;
//   - forward ops whose inputs are all parameters, unchanging buffers or constants have type PREPARE.
// keeps: order, groups, origins, values of all stores. worst case: linear in ops.
leat_status_t leat_settle(const leat_graph_t *from, const leat_arch_t *arch, leat_graph_t **out_graph) LEAT_MUST_USE;
// Is `op` as settle leaves it? Of a graph of primitives; all of this but what is updated and what has become fixed.
bool leat_is_settled(const leat_graph_t *g, const leat_op_t *op);

#endif
