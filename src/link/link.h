// SPDX-License-Identifier: Apache-2.0
// The linker: compiled units, each a small PEF of its own, become one program. A unit may take part any number of
// times, each time with other tensors behind its symbols; its bodies are stored once.
//
// Knows the file format and nothing of graphs. Order of the calls: prepare sections; forward, unit by unit; backward in
// reverse; what late units do of both; gradient norms; updates; late units. Loops of a unit are loops of the program.
#ifndef LEAT_LINK_LINK_H_
#define LEAT_LINK_LINK_H_

#include "pef/pef_read.h"
#include "pef/pef_write.h"

typedef enum leat_link_kind_e {
  LEAT_LINK_NOWHERE,  // no call touches it
  LEAT_LINK_SYMBOL,   // a symbol of the program
  LEAT_LINK_VALUE,    // memory between units
} leat_link_kind_t;

// What a symbol of a unit is in the program: that, or a part of a value, from `first` bytes on.
typedef struct leat_link_target_s {
  leat_link_kind_t kind;
  uint32_t index;
  uint64_t first;
} leat_link_target_t;

// One use of a compiled unit.
typedef struct leat_link_unit_s {
  const leat_pef_t *pef;
  uint32_t like;                      // the first unit with this very `pef`: this one replays it; itself
  const leat_link_target_t *targets;  // one per symbol of `pef`
  bool late;                          // its calls come after all others that forward and backward, or updates, have
  uint32_t stream;                    // where its random streams begin: added to those of its stages
  uint16_t when;                      // pef_when of its calls
} leat_link_unit_t;

typedef struct leat_link_program_s {
  const leat_link_unit_t *units;  // in the order of forward
  uint32_t unit_count;
  const pef_symbol_t *symbols;  // of the program, as they were added to the writer
  uint32_t symbol_count;
  const uint64_t *value_bytes;  // of the memory between units; zero until a call writes it
  uint32_t value_count;
  // The name of a call of unit `unit`, given the name it was compiled with; into `buffer`.
  const char *(*call_name)(void *user, uint32_t unit, const char *name, char *buffer, size_t buffer_bytes);
  // Why a call of unit `unit`, of that section type, is one of its own, given what it was compiled with; NULL: that.
  const char *(*call_why)(void *user, uint32_t unit, uint32_t type, const char *why);
  void *user;
} leat_link_program_t;

// needs: a writer that holds the symbols. gives: calls, bodies and constants, and in *info what follows from them:
// arena_bytes, peak_bytes, run_flops, run_bytes.
leat_status_t leat_link(const leat_link_program_t *program, leat_pef_writer_t *writer, pef_info_t *info) LEAT_MUST_USE;

// --- a unit as the body of a loop ------------------------------------------------------------------------------------
// For an emitter that writes calls of its own before and after: a graph's loop is a body, compiled to a small PEF whose
// symbols are what the body reads and gives, and the places where those lie in the program, trip by trip:
//
//   what is fixed        a place that does not move
//   scanned, stacked     a part of a stack: step = bytes of a part; backwards first = (trips - 1) * step, and -step
//   carried              read at part t and written at part t + 1 of a stack of trips + 1 parts (first = 0, and first =
//                        bytes of a part), the initial value being copied to part 0 by a call before the loop; or,
//                        where only the last is wanted, one place that does not move, if in the body no call and no
//                        stage reads the value before after one has written a part of the next, and rows stay rows
//   a weight a layer     one place a trip
//
// An argument names a value as a whole, and so do places: `whole` is all of the stack, as the calls outside name it.

typedef struct leat_link_place_s {
  pef_argument_t whole;  // of the program
  int64_t first, step;   // bytes in it: where the body's symbol begins in the first trip, and from a trip to the next
  const pef_argument_t *places;  // `trips` of them, each with the bytes of the symbol, the first equal to `whole`, and
                                 // first and step 0; NULL: there is one
} leat_link_place_t;

typedef struct leat_link_body_s {
  const leat_pef_t *pef;
  const leat_link_place_t *places;  // one per symbol of `pef` that its calls touch
  uint32_t trips;
  uint32_t stream, stream_step;            // added to the streams of RANDOM: always, and with every trip
  uint32_t flags;                          // pef_loop_flag
  const char *name;                        // of the loop, for reports
  uint64_t kept_offset, temporary_offset;  // of the room that leat_link_body_memory asks for
} leat_link_body_t;

// Room in the program's arena, for all trips: `kept` is nobody else's for ever (what PREPARE sections make, of every
// trip where that hangs on what moves, and what passes between section types), `temporary` nobody else's while the loop
// runs. Reads all of `body` but the offsets. LEAT_OUT_OF_MEMORY.
leat_status_t leat_link_body_memory(const leat_link_body_t *body, uint64_t *out_kept,
                                    uint64_t *out_temporary) LEAT_MUST_USE;

// Adds the bodies and constants of `pef` and its calls: PREPARE sections before the loop, in one of their own where
// they hang on what moves, all others in it. Barriers are those that leat_flight_plan sets once the emitter has added
// its last call. Adds to info: scratch_bytes, run_flops, run_bytes. LEAT_OUT_OF_MEMORY; LEAT_UNSUPPORTED where a loop
// of the body itself has a place a trip that moves, or more than PEF_MAX_LOOP_DEPTH loops lie within each other.
leat_status_t leat_link_body(const leat_link_body_t *body, leat_pef_writer_t *writer, pef_info_t *info) LEAT_MUST_USE;

#endif
