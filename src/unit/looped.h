// SPDX-License-Identifier: Apache-2.0
// A program with loops, or a unit that has some, in parts: stretches of straight ops, and bodies. Each is compiled
// apart and linked; the calls of a body run once a trip.
//
// The program is a primitive graph behind all passes that see it whole. Ops of one section type form as many stretches
// as loops lie one behind the other: a stretch, the loops that read nothing later, the next stretch. What computes
// nothing (leaves, views) is copied into each part that reads it. Values that cross lie in memory between parts.
//
// A value that a loop carries lies in a buffer with a slot more than there are trips, if a stack is made of it: a trip
// reads the slot that the trip before wrote. So a stack of what it leaves, and one of what it finds, are the same
// buffer, a slot apart. Else it has one place, which each trip reads and updates.
#ifndef LEAT_UNIT_LOOPED_H_
#define LEAT_UNIT_LOOPED_H_

#include "arch/arch.h"
#include "ir/loop.h"

typedef enum leat_looped_role_e {
  LEAT_LOOPED_STRETCH,
  LEAT_LOOPED_BODY,
  LEAT_LOOPED_LATE  // updates of symbols that several parts read, behind everything
} leat_looped_role_t;

typedef struct leat_looped_part_s {
  leat_looped_role_t role;
  uint8_t type;       // leat_section_type_t
  uint32_t level;     // loops of its type before it
  leat_op_id_t loop;  // BODY
} leat_looped_part_t;

// Where an end of a part lies: in a symbol of the program, or in a buffer between parts.
typedef struct leat_looped_place_s {
  bool symbol;
  uint32_t index;        // of the symbol in the program's graph, or of the buffer
  int64_t offset, step;  // bytes: of the first trip; from trip to trip
} leat_looped_place_t;

// A value stored by a stretch, and where.
typedef struct leat_looped_end_s {
  leat_value_id_t value;  // of the program
  uint32_t part;          // that stores it; LEAT_NONE: a loop gives it
  leat_looped_place_t place;
} leat_looped_end_t;

typedef struct leat_looped_s {
  const leat_graph_t *g;
  // Forward in order, backward in reverse, then norms, updates, late ones: the order of the linker's units
  LEAT_ARRAY(leat_looped_part_t) parts;
  LEAT_ARRAY(leat_looped_end_t) ends;  // PART_IN and PART_OUT of stretches name them by number
  LEAT_ARRAY(uint64_t) buffer_bytes;   // of the memory between parts
  uint32_t *part_of;                   // per op; LEAT_NONE: leaves and views
  uint32_t *end_of;                    // per value that crosses: its end; LEAT_NONE: it does not
  uint32_t *gradient_of;               // per value that is stored as a gradient: an end, which is that symbol
  leat_looped_place_t **places;        // per op that is a loop: of its operands, then what it leaves, then its stacks
  leat_arena_t arena;
} leat_looped_t;

// Is every loop of the program worth calls that repeat, and can it have them? One with a few trips is written out.
bool leat_looped_suits(const leat_graph_t *g, const leat_arch_t *arch);
// Deinit also after a failure.
leat_status_t leat_looped_make(const leat_graph_t *g, leat_looped_t *out_looped) LEAT_MUST_USE;
void leat_looped_deinit(leat_looped_t *looped);
// The graph of a part; its ends are symbols under roles of end.def.
leat_status_t leat_looped_graph(const leat_looped_t *looped, uint32_t part, leat_graph_t **out_graph) LEAT_MUST_USE;
// The end that stands for `v` where `part` reads it as a gradient; LEAT_NONE: it is no gradient to that part. Norms and
// updates read the symbol of a gradient, since a host may put another one there before they run.
uint32_t leat_looped_gradient(const leat_looped_t *looped, leat_value_id_t v, uint32_t part);
// Has an update overwritten symbol value `v` of the program by the time that `part` runs?
bool leat_looped_is_overwritten(const leat_looped_t *looped, leat_value_id_t v, uint32_t part);
// Where a symbol of that graph lies.
leat_looped_place_t leat_looped_place(const leat_looped_t *looped, uint32_t part, const leat_symbol_t *symbol);

#endif
