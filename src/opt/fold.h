// SPDX-License-Identifier: Apache-2.0
// Inside opt/: the rule driver's view of an op, and the rule table.
//
// Laws of a rule: (1) the replacement has the dtype, shape and bits of the original; (2) the measure falls. The measure
// of a candidate is (number of operands that are not constants, sum of the ids of its operands' ops plus one each),
// compared in that order: a rule either ends the candidate (replaces it by an existing value or by a constant), or
// reads through an operand to what that operand reads, which comes earlier in the graph, or replaces an operand by a
// smaller constant once (extents other than 1 fall to 1). So the driver applies rules until none fires.
#ifndef LEAT_OPT_FOLD_H_
#define LEAT_OPT_FOLD_H_

#include "ir/formula.h"

enum { LEAT_FOLD_OPERANDS_MAX = 8, LEAT_FOLD_ATTRS_MAX = 12 };

// An op that is not written yet. Operands are values of the new graph.
typedef struct leat_candidate_s {
  leat_builder_t *b;
  uint32_t kind;
  leat_value_id_t in[LEAT_FOLD_OPERANDS_MAX];
  uint32_t in_count;
  leat_attr_t attrs[LEAT_FOLD_ATTRS_MAX];
  uint32_t attr_count;
  leat_value_t y;               // dtype and shape of its result
  leat_value_id_t value;        // set by a rule that ends the candidate
  int64_t list[LEAT_RANK_MAX];  // room for a rewritten list attribute
} leat_candidate_t;

// Returns whether it fired.
typedef bool (*leat_fold_rule_t)(leat_candidate_t *c);
typedef struct leat_fold_entry_s {
  uint32_t kind;  // LEAT_PRIM_COUNT: any
  const char *name;
  leat_fold_rule_t rule;
} leat_fold_entry_t;
extern const leat_fold_entry_t leat_fold_rules[];
extern const uint32_t leat_fold_rule_count;

// Facts about operands that rules ask for.
const leat_op_t *leat_fold_producer(const leat_candidate_t *c, leat_value_id_t v);
// Is v a splat constant? Its number then.
bool leat_fold_splat(const leat_candidate_t *c, leat_value_id_t v, double *out_number);
// Does v have dtype and shape of the candidate's result?
bool leat_fold_fits(const leat_candidate_t *c, leat_value_id_t v);
// Ends the candidate with v if it fits.
bool leat_fold_end(leat_candidate_t *c, leat_value_id_t v);
const leat_attr_t *leat_fold_attr(const leat_candidate_t *c, leat_attr_key_t key);

// Rules in constant.c.
bool leat_fold_splat_map(leat_candidate_t *c);
bool leat_fold_splat_view(leat_candidate_t *c);
bool leat_fold_evaluate(leat_candidate_t *c);

#endif
