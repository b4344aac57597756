// SPDX-License-Identifier: Apache-2.0
// Properties of graphs: what passes need and give (pipeline.c), each with the check that proves it of a graph.
#ifndef LEAT_DRIVER_PROPERTY_H_
#define LEAT_DRIVER_PROPERTY_H_

#include "ir/graph.h"

typedef enum leat_property_e {
  LEAT_PROPERTY_TRACED,   // nothing is lowered yet (a program may be written in primitives, so no check can tell)
  LEAT_PROPERTY_FORWARD,  // nothing is differentiated yet
  LEAT_PROPERTY_GROUPED,  // where there are groups, each op is in one of them or in none
  LEAT_PROPERTY_LOWERED,  // primitives, rows that bring their own gradient, statements
  LEAT_PROPERTY_DIFFERENTIATED,  // the updates of all optimizers are written
  LEAT_PROPERTY_PRIMITIVE,       // primitives only
  LEAT_PROPERTY_STRAIGHT,        // no op repeats a body
  LEAT_PROPERTY_NO_EMPTY,        // what has no elements is a leaf, and only stores read it
  LEAT_PROPERTY_SETTLED,         // as settle.h says: views are read through strides
  LEAT_PROPERTY_COUNT
} leat_property_t;

// What a graph of this property is: "a graph of primitives".
const char *leat_property_text(leat_property_t property);
// LEAT_INTERNAL: the message is the op that does not fit. `graph` has been verified.
leat_status_t leat_property_check(leat_property_t property, const leat_graph_t *graph) LEAT_MUST_USE;

#endif
