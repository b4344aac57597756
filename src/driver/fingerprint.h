// SPDX-License-Identifier: Apache-2.0
// Fingerprints of a traced graph: what must agree between the program that compiled a PEF and the one that runs it.
#ifndef LEAT_DRIVER_FINGERPRINT_H_
#define LEAT_DRIVER_FINGERPRINT_H_

#include "ir/graph.h"

// [0] forward: ops, shapes, names. [1] seeds: which outputs are differentiated, which symbols want gradients.
// [2] optimizers. Origins, constant bytes, the dropout mode and the values of hyperparameters are not hashed.
void leat_fingerprint(const leat_graph_t *graph, uint64_t out_fingerprint[3]);

#endif
