// SPDX-License-Identifier: Apache-2.0
// Builds a PEF: growing tables that mirror the segments of pef_format.h, then one deterministic file.
//
// Append functions return an index (or an offset) and cannot fail by themselves: a failure is remembered and returned
// by leat_pef_write*, so that an emitter reads as a straight list of appends. Equal strings, constants and bodies are
// stored once. Records are copied as given: zero-initialise them (reserved fields are checked by the reader).
// Thread rule: externally locked.
#ifndef LEAT_PEF_WRITE_H_
#define LEAT_PEF_WRITE_H_

#include "base/base.h"
#include "pef/pef_read.h"

typedef struct leat_pef_writer_s leat_pef_writer_t;

// NULL when out of memory.
leat_pef_writer_t *leat_pef_writer_create(void);
void leat_pef_writer_destroy(leat_pef_writer_t *writer);

// Offset of `text` in STRINGS; NULL and "" are offset 0.
uint32_t leat_pef_add_string(leat_pef_writer_t *writer, const char *text);
// Offset of the bytes in CONSTANTS, a multiple of PEF_ALIGN.
uint64_t leat_pef_add_constant(leat_pef_writer_t *writer, const void *data, size_t data_bytes);
uint32_t leat_pef_add_symbol(leat_pef_writer_t *writer, const pef_symbol_t *symbol);

// A body as the emitter holds it. `stages[i].operand_first` and `.instruction_first` index into `operands` and
// `instructions` here, `buffers[i].dims` into `dims`; the writer moves them to their place in the file.
// `body.stage_first` and `.buffer_first` are ignored.
typedef struct leat_pef_body_draft_s {
  pef_body_t body;
  const pef_stage_t *stages;  // body.stage_count of them
  const pef_operand_t *operands;
  const pef_instruction_t *instructions;
  const pef_buffer_t *buffers;  // body.buffer_count of them
  const int64_t *dims;
  const pef_layout_t *layout;  // one a buffer; NULL: native has none, and so the file will have none
  const pef_axis_t *axes;      // axis_count of them; their `body` is ignored
  const pef_cut_t *cuts;       // cut_count of them; `operand` indexes into `operands` here
  uint32_t axis_count, cut_count;
} leat_pef_body_draft_t;
// Whether equal bodies are stored once, which is how a writer starts.
void leat_pef_share_bodies(leat_pef_writer_t *writer, bool share);
// Index of an equal earlier body (origins of the stages do not count, the first ones stay), else of a new one.
uint32_t leat_pef_add_body(leat_pef_writer_t *writer, const leat_pef_body_draft_t *draft);

// The symbol of that name, or PEF_NONE; any after a failure.
uint32_t leat_pef_find_symbol(const leat_pef_writer_t *writer, const char *name);
void leat_pef_add_bound(leat_pef_writer_t *writer, const pef_bound_t *bound);
void leat_pef_add_block(leat_pef_writer_t *writer, const pef_block_t *block);  // ascending by symbol

// `arguments`: call->argument_count of them; call->argument_first is ignored.
uint32_t leat_pef_add_call(leat_pef_writer_t *writer, const pef_call_t *call, const pef_argument_t *arguments);

// A loop around the calls that are added until its end; what it says of calls is ignored. Loops end inner ones first.
uint32_t leat_pef_begin_loop(leat_pef_writer_t *writer, const pef_loop_t *loop);
void leat_pef_end_loop(leat_pef_writer_t *writer);
// A loop around calls that are there: `loop->call_count` of them from `loop->call_first` on, and all loops that these
// have. Nothing moves with it.
void leat_pef_add_loop_around(leat_pef_writer_t *writer, const pef_loop_t *loop);
// How an argument of the call that was added last moves: `move->argument` counts within the call. Moves are added in
// the order of arguments, then of loops, PEF_NONE last. `places`: NULL, or one for each trip of the loop.
void leat_pef_add_move(leat_pef_writer_t *writer, const pef_move_t *move, const pef_argument_t *places);

void leat_pef_set_info(leat_pef_writer_t *writer, const pef_info_t *info);
// `json`: one JSON object, stored compact with sorted keys; NULL is "{}".
void leat_pef_set_metadata(leat_pef_writer_t *writer, const char *json);

// What was added so far, for emitters that fill info.peak_bytes or report.
uint64_t leat_pef_constant_bytes(const leat_pef_writer_t *writer);
uint32_t leat_pef_body_count(const leat_pef_writer_t *writer);
uint32_t leat_pef_call_count(const leat_pef_writer_t *writer);
// The tables so far as a reader has them, valid until something is added. Empty after a failure.
void leat_pef_view(const leat_pef_writer_t *writer, leat_pef_t *out_view);
void leat_pef_set_barrier(leat_pef_writer_t *writer, uint32_t call, bool barrier);

// Writes aside, syncs and renames; the same appends give the same bytes.
leat_status_t leat_pef_write(const leat_pef_writer_t *writer, const char *path) LEAT_MUST_USE;
// The same bytes in memory; release with leat_free.
leat_status_t leat_pef_write_memory(const leat_pef_writer_t *writer, uint8_t **out_data,
                                    size_t *out_bytes) LEAT_MUST_USE;

// The file that says what `tables` say, in version 2, whatever version they were read from; every record written out.
// Checks nothing. Release with leat_free. LEAT_OUT_OF_MEMORY.
leat_status_t leat_pef_encode(const leat_pef_t *tables, uint8_t **out_data, size_t *out_bytes) LEAT_MUST_USE;
// The same with families, if the file is shorter for it by a sixteenth: strings are in another order then.
leat_status_t leat_pef_encode_folded(const leat_pef_t *tables, uint8_t **out_data, size_t *out_bytes) LEAT_MUST_USE;

#endif
