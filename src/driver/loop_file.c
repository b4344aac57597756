// SPDX-License-Identifier: Apache-2.0
#include "driver/loop_file.h"

#include <stdio.h>

#include "driver/compiled.h"
#include "pef/flight.h"
#include "pef/pef_align.h"

// A buffer in the loop's file: a symbol of the program as it is there, memory between parts as bytes.
static pef_symbol_t buffer_of(const leat_loop_end_t *end) {
  pef_symbol_t symbol = {.kind = PEF_SYMBOL_INTERNAL, .dtype = LEAT_U8, .rank = 1, .bytes = end->bytes};
  symbol.dims[0] = (int64_t)end->bytes;
  if (end->symbol != NULL) symbol = *end->symbol;
  symbol.of = PEF_NONE;
  return symbol;
}

static uint32_t find_buffer(const leat_loop_file_t *loop, const leat_link_target_t *whole) {
  uint32_t at = 0;
  while (at < loop->buffer_count && (loop->targets[at].kind != whole->kind || loop->targets[at].index != whole->index))
    ++at;
  return at;
}

leat_status_t leat_loop_file_find_places(leat_loop_file_t *loop, const leat_loop_end_t *ends, leat_arena_t *arena) {
  const uint32_t count = loop->body->symbol_count;
  loop->places = leat_arena_alloc(arena, (count + 1u) * sizeof *loop->places);
  loop->targets = leat_arena_alloc(arena, (count + 1u) * sizeof *loop->targets);
  loop->buffers = leat_arena_alloc(arena, (count + 1u) * sizeof *loop->buffers);
  if (loop->places == NULL || loop->targets == NULL || loop->buffers == NULL) return leat_out_of_memory();
  loop->buffer_count = 0;
  for (uint32_t i = 0; i < count; ++i) {
    const leat_loop_end_t *end = &ends[i];
    const uint32_t at = find_buffer(loop, &end->whole);
    if (at == loop->buffer_count) {
      loop->targets[at] = end->whole;
      loop->buffers[at] = buffer_of(end);
      loop->buffer_count++;
    }
    loop->places[i] =
        (leat_link_place_t){.whole = {PEF_PLACE_SYMBOL, at, 0, end->bytes}, .first = end->first, .step = end->step};
  }
  return NULL;
}

bool leat_loop_file_equal(const leat_loop_file_t *a, const leat_loop_file_t *b) {
  if (a->body != b->body || a->trips != b->trips || a->stream_step != b->stream_step || a->flags != b->flags ||
      a->buffer_count != b->buffer_count)
    return false;
  for (uint32_t i = 0; i < a->buffer_count; ++i)
    if (a->targets[i].kind != b->targets[i].kind) return false;
  for (uint32_t i = 0; i < a->body->symbol_count; ++i) {
    const leat_link_place_t *p = &a->places[i], *q = &b->places[i];
    if (p->whole.symbol != q->whole.symbol || p->whole.bytes != q->whole.bytes || p->first != q->first ||
        p->step != q->step)
      return false;
  }
  return true;
}

static void add_buffers(const leat_loop_file_t *loop, leat_pef_writer_t *writer) {
  for (uint32_t at = 0; at < loop->buffer_count; ++at) {
    pef_symbol_t symbol = loop->buffers[at];
    char name[32];
    (void)snprintf(name, sizeof name, "@buffer%u", at);
    symbol.name = leat_pef_add_string(writer, name);
    leat_pef_add_symbol(writer, &symbol);
  }
}

static leat_status_t write_loop(const leat_loop_file_t *loop, const leat_map_options_t *options,
                                leat_pef_writer_t *writer) {
  leat_link_body_t body = {.pef = loop->body,
                           .places = loop->places,
                           .trips = loop->trips,
                           .stream_step = loop->stream_step,
                           .flags = loop->flags,
                           .name = loop->name};
  pef_info_t info = {.optim_level = options->optim_level, .inference = options->inference};
  uint64_t kept, temporary;
  add_buffers(loop, writer);
  info.arch = leat_pef_add_string(writer, options->arch_text);
  info.compiler = leat_pef_add_string(writer, LEAT_VERSION);
  LEAT_TRY(leat_link_body_memory(&body, &kept, &temporary));
  body.temporary_offset = leat_pef_align(kept);
  LEAT_TRY(leat_link_body(&body, writer, &info));
  info.arena_bytes = body.temporary_offset + temporary;
  leat_pef_set_info(writer, &info);
  return leat_flight_plan(writer);
}

leat_status_t leat_loop_file_write(const leat_loop_file_t *loop, const leat_map_options_t *options,
                                   leat_pef_t **out_pef) {
  leat_pef_writer_t *writer = leat_pef_writer_create();
  if (writer == NULL) return leat_out_of_memory();
  leat_status_t status = write_loop(loop, options, writer);
  if (status == NULL) status = leat_compiled_open(writer, "loop", out_pef);
  leat_pef_writer_destroy(writer);
  return status;
}
