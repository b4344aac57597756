// SPDX-License-Identifier: Apache-2.0
// Mapping decisions: the sections of a plan as JSON, to be read back as they are or edited.
//
//   {"version": 1,
//    "sections": [{"type": "fwd", "name": "net.fc1 .. net.relu", "why": "first of its type", "rows": 32, "tile_rows":
//    0,
//                  "ops": [{"op": "contract", "traced": "linear", "module": "net.fc1", "source": "net.py:7",
//                           "number": 0}, ...]}, ...]}
//
// Sections run in the order of the file, prepare sections before a run; those that hold stores alone are not listed,
// they follow from the others. An op is known by its kind, the call that it came from and its number among equal ones,
// in graph order. Reading: `name` and `why` are free text; `rows` may be absent (as many as the first op has) or 1 (one
// tile, in which anything may follow anything); `tile_rows` above 0 is the most a tile may have.
#ifndef LEAT_CUT_DECISION_H_
#define LEAT_CUT_DECISION_H_

#include "base/names.h"
#include "cut/cutter.h"

enum { LEAT_DECISION_VERSION = 1 };

// The keys of all computing ops.
typedef struct leat_decision_keys_s {
  leat_arena_t arena;
  leat_names_t index;  // key -> op
  uint32_t *number;    // per op: its number among ops of equal kind and origin
} leat_decision_keys_t;

leat_status_t leat_decision_keys_init(leat_decision_keys_t *keys, const leat_graph_t *g) LEAT_MUST_USE;
void leat_decision_keys_deinit(leat_decision_keys_t *keys);
// The op of that key, or LEAT_NONE (also when out of memory).
leat_op_id_t leat_decision_find(const leat_decision_keys_t *keys, const char *kind, const leat_origin_t *origin,
                                uint32_t number);

// Writes the sections of `plan` to `out` (failed: out of memory).
leat_status_t leat_decision_put(const leat_graph_t *g, const leat_plan_t *plan, leat_text_t *out) LEAT_MUST_USE;

// Cuts as options->decisions says. LEAT_INVALID_ARGUMENT: position in the text, or what is wrong with which section
// and op.
leat_status_t leat_cut_decided(leat_cutter_t *c) LEAT_MUST_USE;

#endif
