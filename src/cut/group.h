// SPDX-License-Identifier: Apache-2.0
// Groups: which traced ops are fused, decided on the traced graph before anything is lowered.
//
// o0: every op is a group. o1: groups come from the program (ops that carry a group in the text) and from a matcher
// (fusion rules); what is left is a group each, as in o0. o3: none, but for those of the program if `keep_annotated`,
// and of a matcher if there is one (repeated blocks); what is left between them are groups as well. A group can run as
// a whole only if nothing leaves it and comes back: where that does not hold it is split, with a message that says
// where.
#ifndef LEAT_CUT_GROUP_H_
#define LEAT_CUT_GROUP_H_

#include "ir/graph.h"
#include "leat/compile.h"

// Ops that a rule puts together.
typedef struct leat_group_match_s {
  LEAT_ARRAY(leat_op_id_t) ops;  // of the traced graph; each computes (leat_group_takes) and was free before
  const char *name, *heuristic, *parameters;  // as leat_group_t; live until leat_group returns
} leat_group_match_t;
typedef LEAT_ARRAY(leat_group_match_t) leat_group_matches_t;
void leat_group_matches_deinit(leat_group_matches_t *matches);

// Finds what to put together. `taken`, a flag an op, says what the program has put into groups itself.
typedef leat_status_t (*leat_group_matcher_t)(void *user, const leat_graph_t *traced, const bool *taken,
                                              leat_group_matches_t *out_matches);

typedef struct leat_group_options_s {
  uint32_t optim_level;
  bool keep_annotated;           // o3: groups of the program stay
  leat_group_matcher_t matcher;  // o1, o3; NULL: what the program says alone
  void *matcher_user;
  leat_log_t log;  // NULL: silent
  void *log_user;
} leat_group_options_t;

// True if groups are made of ops of this kind: it is neither a leaf nor a statement.
bool leat_group_takes(uint32_t kind);

// needs: a traced graph. gives: the same graph; ids of groups run from 1 in the order of their first ops, each has an
// entry in `groups`, and groups as wholes can be put into an order. o0: every result is stored as a symbol of kind
// internal, named <module>__<op>[_k]__outputs__<i> (k: the k-th further op of that name in the module), but for those
// that are outputs already.
leat_status_t leat_group(const leat_graph_t *from, const leat_group_options_t *options,
                         leat_graph_t **out_graph) LEAT_MUST_USE;

#endif
