// SPDX-License-Identifier: Apache-2.0
// A unit as the body of a loop. Its arena is reserved once: what a trip leaves there, the next writes before it reads.
#include "link/linker.h"
#include "pef/pef_align.h"

// Where the parts of the unit's arena go. The parts of all trips of a range that PREPARE makes lie side by side.
typedef struct body_s {
  const leat_link_body_t *of;
  leat_pef_writer_t *writer;
  uint64_t kept;  // bytes of the unit's arena, from its bottom
  bool stacked;   // there is one of them for each trip
} body_t;

static bool moves(const leat_link_place_t *place) { return place->step != 0 || place->places != NULL; }

// Do PREPARE sections hang on what moves?
static bool prepares_by_trip(const leat_link_body_t *body) {
  const leat_pef_t *pef = body->pef;
  for (uint32_t c = 0; c < pef->call_count; ++c) {
    for (uint32_t i = 0; i < pef->calls[c].argument_count && pef->calls[c].type == PEF_PREPARE; ++i) {
      uint32_t count;
      const pef_argument_t *at = leat_pef_places(pef, pef->calls[c].argument_first + i, &count);
      for (uint32_t p = 0; p < count; ++p) {
        if (at[p].kind == PEF_PLACE_SYMBOL && moves(&body->places[at[p].symbol])) return true;
      }
    }
  }
  return false;
}

static leat_status_t look_at(const leat_link_body_t *of, body_t *out_body) {
  *out_body = (body_t){.of = of, .stacked = prepares_by_trip(of)};
  return leat_link_kept_bytes(of->pef, &out_body->kept);
}

leat_status_t leat_link_body_memory(const leat_link_body_t *of, uint64_t *out_kept, uint64_t *out_temporary) {
  body_t body;
  LEAT_TRY(look_at(of, &body));
  const uint64_t arena = leat_pef_align(of->pef->info->arena_bytes);
  *out_temporary = arena > body.kept ? arena - body.kept : 0;
  if (__builtin_mul_overflow(body.kept, body.stacked ? of->trips : 1, out_kept))
    LEAT_FAIL(LEAT_UNSUPPORTED, "what %u trips of the loop \"%s\" keep does not fit an address space", of->trips,
              of->name);
  return NULL;
}

// --- places ----------------------------------------------------------------------------------------------------------

static leat_link_place_t arena_place(const body_t *b, const pef_argument_t *a) {
  leat_link_place_t place = {.whole = *a};
  if (a->offset >= b->kept) {
    place.whole.offset = b->of->temporary_offset + a->offset - b->kept;
  } else if (!b->stacked) {
    place.whole.offset = b->of->kept_offset + a->offset;
  } else {
    place.step = (int64_t)leat_pef_align(a->bytes);
    place.whole.offset = b->of->kept_offset + a->offset * b->of->trips;
    place.whole.bytes = (uint64_t)place.step * (b->of->trips - 1) + a->bytes;
  }
  return place;
}

static leat_status_t place_of(const void *context, const pef_argument_t *a, leat_link_place_t *out_place) {
  const body_t *b = context;
  *out_place = (leat_link_place_t){.whole = *a};
  if (a->kind == PEF_PLACE_ARENA) *out_place = arena_place(b, a);
  if (a->kind == PEF_PLACE_CONSTANT)
    out_place->whole.offset = leat_pef_add_constant(b->writer, b->of->pef->constants + a->offset, a->bytes);
  if (a->kind != PEF_PLACE_SYMBOL) return NULL;
  *out_place = b->of->places[a->symbol];
  if (out_place->places == NULL)
    out_place->first += (int64_t)a->offset;
  else if (a->offset != 0 || a->bytes != out_place->whole.bytes)
    LEAT_FAIL(LEAT_UNSUPPORTED, "a loop whose trips have places of their own, of which the body names a part");
  return NULL;
}

// An output of the body that is one of the program's.
static uint16_t output_of(const void *context, uint16_t output) {
  const body_t *b = context;
  const leat_pef_t *pef = b->of->pef;
  leat_pef_t program;
  uint32_t seen = 0, found = 0;
  leat_pef_view(b->writer, &program);
  for (uint32_t s = 0; s < pef->symbol_count; ++s) {
    if (pef->symbols[s].kind != PEF_SYMBOL_OUTPUT || seen++ != output) continue;
    const pef_argument_t *at = &b->of->places[s].whole;
    if (at->kind != PEF_PLACE_SYMBOL || at->symbol >= program.symbol_count ||
        program.symbols[at->symbol].kind != PEF_SYMBOL_OUTPUT)
      break;
    for (uint32_t k = 0; k < at->symbol; ++k) found += program.symbols[k].kind == PEF_SYMBOL_OUTPUT;
    return found < PEF_NO_OUTPUT ? (uint16_t)found : PEF_NO_OUTPUT;
  }
  return PEF_NO_OUTPUT;
}

// --- calls -----------------------------------------------------------------------------------------------------------

static leat_status_t add_calls(leat_linked_unit_t *u, bool prepare) {
  for (uint32_t c = 0; c < u->pef->call_count; ++c) {
    if ((u->pef->calls[c].type == PEF_PREPARE) == prepare)
      LEAT_TRY(
          leat_linked_unit_call(u, c, u->pef->strings + u->pef->calls[c].name, u->pef->strings + u->pef->calls[c].why));
  }
  leat_linked_unit_end(u);
  return NULL;
}

static bool has_calls(const leat_pef_t *pef, bool prepare) {
  for (uint32_t c = 0; c < pef->call_count; ++c) {
    if ((pef->calls[c].type == PEF_PREPARE) == prepare) return true;
  }
  return false;
}

static leat_status_t add_loop(leat_linked_unit_t *u, const leat_link_body_t *of, bool prepare) {
  const pef_loop_t loop = {.trips = of->trips,
                           .stream_step = of->stream_step,
                           .flags = prepare ? 0 : of->flags,
                           .name = leat_pef_add_string(u->writer, of->name)};
  if (!has_calls(of->pef, prepare)) return NULL;
  u->loop = leat_pef_begin_loop(u->writer, &loop);
  u->times = of->trips;
  LEAT_TRY(add_calls(u, prepare));
  leat_pef_end_loop(u->writer);
  return NULL;
}

static leat_status_t add_all(leat_linked_unit_t *u, const body_t *body) {
  if (body->stacked)
    LEAT_TRY(add_loop(u, body->of, true));
  else
    LEAT_TRY(add_calls(u, true));
  return add_loop(u, body->of, false);
}

leat_status_t leat_link_body(const leat_link_body_t *of, leat_pef_writer_t *writer, pef_info_t *info) {
  body_t body;
  LEAT_TRY(look_at(of, &body));
  body.writer = writer;
  leat_linked_unit_t u = {.pef = of->pef,
                          .writer = writer,
                          .info = info,
                          .bodies = leat_alloc_zero(of->pef->body_count + 1u, sizeof *u.bodies),
                          .stream = of->stream,
                          .times = 1,
                          .loop = PEF_NONE,
                          .place = place_of,
                          .output = output_of,
                          .context = &body};
  leat_status_t status = u.bodies == NULL ? leat_out_of_memory() : add_all(&u, &body);
  leat_free(u.bodies);
  leat_linked_unit_deinit(&u);
  return leat_status_annotate(status, "the loop \"%s\"", of->name);
}
