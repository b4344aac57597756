// SPDX-License-Identifier: Apache-2.0
// Rewrites of the primitive graph. Every pass rebuilds: graph in, graph out; each may be left out, and the graph
// computes the same. Floats: but for what columns.c, narrow.c, parts.c and partial.c say, no pass changes the bits of a
// result.
#ifndef LEAT_OPT_OPT_H_
#define LEAT_OPT_OPT_H_

#include "arch/arch.h"
#include "ir/graph.h"

// Loops become straight ops (unroll.c).
leat_status_t leat_opt_unroll(const leat_graph_t *from, leat_graph_t **out_graph) LEAT_MUST_USE;
// Values without elements become constants, and ops do without them (empty.c).
leat_status_t leat_opt_empty(const leat_graph_t *from, leat_graph_t **out_graph) LEAT_MUST_USE;
// Local rules and constant folding (fold.c, fold_rules.c).
leat_status_t leat_opt_fold(const leat_graph_t *from, leat_graph_t **out_graph) LEAT_MUST_USE;
// Ops that compute the same in the same group become one (cse.c).
leat_status_t leat_opt_cse(const leat_graph_t *from, leat_graph_t **out_graph) LEAT_MUST_USE;
// Ops that no store needs go; symbols stay, since they are the interface (dce.c).
leat_status_t leat_opt_dce(const leat_graph_t *from, leat_graph_t **out_graph) LEAT_MUST_USE;
// Which ops stay: a flag an op, all false before.
void leat_opt_mark_living(const leat_graph_t *g, bool *lives);

// How many operands each value is; the caller frees the table (readers.c).
leat_status_t leat_opt_count_readers(const leat_graph_t *g, uint32_t **out_counts) LEAT_MUST_USE;
// What lies behind the views that make a value.
leat_value_id_t leat_opt_behind_views(const leat_graph_t *g, leat_value_id_t v);
// The ops by the op that each is due at, those of one in the order that they have: `order`, as many (readers.c).
leat_status_t leat_opt_order(const leat_op_id_t *due, uint32_t count, leat_op_id_t *order) LEAT_MUST_USE;

// What inference multiplies and adds to a product with fixed weights goes into the weights (absorb.c).
leat_status_t leat_opt_absorb(const leat_graph_t *from, const leat_arch_t *arch,
                              leat_graph_t **out_graph) LEAT_MUST_USE;
// A product of what was joined for it alone is products of the parts (parts.c).
leat_status_t leat_opt_parts(const leat_graph_t *from, const leat_arch_t *arch, leat_graph_t **out_graph) LEAT_MUST_USE;
// A long sum that nothing else can be cut along is the sum of partial sums (partial.c).
leat_status_t leat_opt_partial(const leat_graph_t *from, leat_graph_t **out_graph) LEAT_MUST_USE;

// Products of bf16 give f32; `rounded`: products of what was rounded to bf16 multiply that (narrow.c).
leat_status_t leat_opt_narrow(const leat_graph_t *from, bool rounded, leat_graph_t **out_graph) LEAT_MUST_USE;

// Backward computes elementwise values again where that keeps fewer bytes from forward (recompute.c).
leat_status_t leat_opt_recompute(const leat_graph_t *from, const leat_arch_t *arch,
                                 leat_graph_t **out_graph) LEAT_MUST_USE;

// Activations that are cheap to make again are not kept for backward: as many as give `bytes`, what costs least first
// (remake.c). `out_list`, released with leat_array_free whether or not this succeeds, says which of `from`, what each
// gives and what it costs.
typedef struct leat_remade_s {
  leat_value_id_t value;
  uint64_t bytes;
  double seconds;
} leat_remade_t;
typedef LEAT_ARRAY(leat_remade_t) leat_remade_list_t;
leat_status_t leat_opt_remake(const leat_graph_t *from, const leat_arch_t *arch, uint64_t bytes,
                              leat_remade_list_t *out_list, leat_graph_t **out_graph) LEAT_MUST_USE;

// What backward reads of products with weights of `least` bytes or more is made again, in chunks of columns; 0: all is
// kept (columns.c). Sums over the columns are sums of the chunks'.
leat_status_t leat_opt_columns(const leat_graph_t *from, int64_t least, leat_graph_t **out_graph) LEAT_MUST_USE;

// Large values of backward are made where they are read first (late.c).
leat_status_t leat_opt_late(const leat_graph_t *from, const leat_arch_t *arch, leat_graph_t **out_graph) LEAT_MUST_USE;

// Gradients of parameters die into their updates (drop_grads.c). LEAT_UNSUPPORTED where the optimizer clips.
leat_status_t leat_opt_drop_grads(const leat_graph_t *from, leat_graph_t **out_graph) LEAT_MUST_USE;

// Max pooling before relu, on the traced graph (pool_first.c).
leat_status_t leat_opt_pool_first(const leat_graph_t *from, leat_graph_t **out_graph) LEAT_MUST_USE;

// Attention that is written out becomes one op, on the traced graph (attention.c).
leat_status_t leat_opt_attention(const leat_graph_t *from, leat_graph_t **out_graph) LEAT_MUST_USE;

typedef struct leat_opt_pass_s {
  const char *name;
  leat_status_t (*run)(const leat_graph_t *from, leat_graph_t **out_graph);
} leat_opt_pass_t;

enum { LEAT_OPT_PASS_COUNT = 3 };
extern const leat_opt_pass_t leat_opt_passes[LEAT_OPT_PASS_COUNT];  // in the order they are meant to run

#endif
