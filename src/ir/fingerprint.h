// SPDX-License-Identifier: Apache-2.0
// Fingerprints of a traced graph: what must agree between the program that compiled a PEF and the one that runs it.
//
// A fingerprint has a version: the definition by which it is computed. A PEF says the version of those it holds, and
// every version that was ever written is still computed, so that an old file runs with its program. Another definition
// is a row in fingerprint.c, never a change of one that is there.
#ifndef LEAT_IR_FINGERPRINT_H_
#define LEAT_IR_FINGERPRINT_H_

#include "ir/graph.h"

enum { LEAT_FINGERPRINT_VERSION = 2 };  // the newest

// [0] forward: ops, shapes, names. [1] seeds: which outputs are differentiated, which symbols want gradients.
// [2] optimizers. Origins, constant bytes, the dropout mode and the values of hyperparameters are not hashed.
// LEAT_UNSUPPORTED: no such version is known here.
leat_status_t leat_fingerprint(const leat_graph_t *graph, uint32_t version, uint64_t out_fingerprint[3]) LEAT_MUST_USE;

#endif
