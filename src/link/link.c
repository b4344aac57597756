// SPDX-License-Identifier: Apache-2.0
// Implementation of link.h: the order of the calls, then each with its own arguments.
#include "link/link.h"

#include "link/linker.h"
#include "pef/flight.h"
#include "pef/pef_align.h"

// --- order ----------------------------------------------------------------------------------------------------------

// Calls of a loop whose types only run together come together, where those of the least of them do.
static uint32_t type_of(const leat_pef_t *pef, uint32_t call) {
  uint32_t type = pef->calls[call].type;
  for (uint32_t l = 0; l < pef->loop_count; ++l) {
    const pef_loop_t *loop = &pef->loops[l];
    if ((loop->flags & PEF_LOOP_APART) != 0 || call - loop->call_first >= loop->call_count) continue;
    for (uint32_t c = loop->call_first; c < loop->call_first + loop->call_count; ++c)
      type = pef->calls[c].type < type ? pef->calls[c].type : type;
    break;
  }
  return type;
}

static leat_status_t add_calls(leat_linker_t *l, uint32_t unit, uint32_t types) {
  const leat_pef_t *pef = l->program->units[unit].pef;
  for (uint32_t i = 0; i < pef->call_count; ++i) {
    if ((types >> type_of(pef, i) & 1u) == 0) continue;
    leat_linked_call_t *slot = leat_array_push(&l->calls);
    if (slot == NULL) return leat_out_of_memory();
    *slot = (leat_linked_call_t){unit, i};
  }
  return NULL;
}

// Of types `first` to `last`, late units behind the others.
static leat_status_t add_units(leat_linker_t *l, uint32_t first, uint32_t last) {
  const leat_link_program_t *p = l->program;
  uint32_t types = 0;
  for (uint32_t type = first; type <= last; ++type) {
    types |= 1u << type;
    for (uint32_t i = 0; i < p->unit_count; ++i) {
      uint32_t u = type == PEF_BCKWD ? p->unit_count - 1 - i : i;
      if (!p->units[u].late) LEAT_TRY(add_calls(l, u, 1u << type));
    }
  }
  for (uint32_t u = 0; u < p->unit_count; ++u) {
    if (p->units[u].late) LEAT_TRY(add_calls(l, u, types));
  }
  return NULL;
}

static leat_status_t order_calls(leat_linker_t *l) {
  const leat_link_program_t *p = l->program;
  const uint32_t prepare = 1u << PEF_PREPARE;
  for (uint32_t u = 0; u < p->unit_count; ++u) LEAT_TRY(add_calls(l, u, prepare));
  LEAT_TRY(add_units(l, PEF_FWD, PEF_BCKWD));
  return add_units(l, PEF_GRADNORM, PEF_PREPARE - 1);
}

// --- calls ----------------------------------------------------------------------------------------------------------

typedef struct emitter_s {
  leat_linker_t *l;
  leat_pef_writer_t *writer;
  uint16_t *output;   // per symbol of the program: which output it is
  uint32_t **bodies;  // per unit that others are like
  leat_arena_t arena;
  uint32_t unit;  // that is under way
  leat_linked_unit_t linked;
} emitter_t;

// The output that a unit's output stands for.
static uint16_t program_output(const void *context, uint16_t output) {
  const emitter_t *e = context;
  const leat_link_unit_t *unit = &e->l->program->units[e->unit];
  uint32_t seen = 0;
  for (uint32_t s = 0; s < unit->pef->symbol_count; ++s) {
    if (unit->pef->symbols[s].kind != PEF_SYMBOL_OUTPUT || seen++ != output) continue;
    const leat_link_target_t *target = &unit->targets[s];
    return target->kind == LEAT_LINK_SYMBOL ? e->output[target->index] : PEF_NO_OUTPUT;
  }
  return PEF_NO_OUTPUT;
}

static leat_status_t place_of(const void *context, const pef_argument_t *a, leat_link_place_t *out_place) {
  const emitter_t *e = context;
  const leat_linker_t *l = e->l;
  const leat_link_unit_t *unit = &l->program->units[e->unit];
  *out_place = (leat_link_place_t){.whole = *a};
  pef_argument_t *out = &out_place->whole;
  if (a->kind == PEF_PLACE_CONSTANT) {
    out->offset = leat_pef_add_constant(e->writer, unit->pef->constants + a->offset, a->bytes);
  } else if (a->kind == PEF_PLACE_ARENA) {
    uint64_t kept = l->unit_kept[e->unit];
    out->offset = a->offset < kept ? l->unit_offset[e->unit] + a->offset : l->shared_offset + a->offset - kept;
  } else if (unit->targets[a->symbol].kind == LEAT_LINK_SYMBOL) {
    out->symbol = unit->targets[a->symbol].index;
  } else {
    const leat_link_target_t *target = &unit->targets[a->symbol];
    const uint64_t offset = l->value_offset[target->index], bytes = l->program->value_bytes[target->index];
    assert(target->kind == LEAT_LINK_VALUE);
    *out = (pef_argument_t){PEF_PLACE_ARENA, 0, offset + a->offset, a->bytes};
    if (unit->pef->symbols[a->symbol].bytes == bytes) return NULL;
    *out = (pef_argument_t){PEF_PLACE_ARENA, 0, offset, bytes};
    out_place->first = (int64_t)(target->first + a->offset);
  }
  return NULL;
}

// Goes on with another unit. Bodies are those that the first unit of its like has added.
static leat_status_t begin_unit(emitter_t *e, uint32_t index) {
  const leat_link_unit_t *unit = &e->l->program->units[index];
  uint32_t **bodies = &e->bodies[unit->like];
  if (*bodies == NULL) *bodies = leat_arena_alloc(&e->arena, (unit->pef->body_count + 1u) * sizeof **bodies);
  if (*bodies == NULL) return leat_out_of_memory();
  leat_linked_unit_end(&e->linked);
  e->unit = index;
  e->linked.pef = unit->pef;
  e->linked.bodies = *bodies;
  e->linked.stream = unit->stream;
  e->linked.when = unit->when;
  return NULL;
}

static leat_status_t emit_call(emitter_t *e, const leat_linked_call_t *at) {
  const leat_link_program_t *p = e->l->program;
  const leat_pef_t *pef = p->units[at->unit].pef;
  char buffer[512];
  if (e->linked.pef == NULL || at->unit != e->unit) LEAT_TRY(begin_unit(e, at->unit));
  const char *name = p->call_name(p->user, at->unit, pef->strings + pef->calls[at->call].name, buffer, sizeof buffer);
  const pef_call_t *call = &pef->calls[at->call];
  const char *why = pef->strings + call->why;
  if (p->call_why != NULL) why = p->call_why(p->user, at->unit, call->type, why);
  return leat_linked_unit_call(&e->linked, at->call, name, why);
}

static leat_status_t emit(emitter_t *e, pef_info_t *info) {
  const leat_link_program_t *p = e->l->program;
  uint32_t outputs = 0;
  e->output = leat_alloc_zero(p->symbol_count + 1u, sizeof *e->output);
  e->bodies = leat_alloc_zero(p->unit_count + 1u, sizeof *e->bodies);
  if (e->output == NULL || e->bodies == NULL) return leat_out_of_memory();
  for (uint32_t s = 0; s < p->symbol_count; ++s) {
    const bool is_output = p->symbols[s].kind == PEF_SYMBOL_OUTPUT;
    e->output[s] = is_output && outputs < PEF_NO_OUTPUT ? (uint16_t)outputs : PEF_NO_OUTPUT;
    outputs += is_output;
    info->peak_bytes += leat_pef_align(p->symbols[s].bytes);
  }
  for (uint32_t i = 0; i < e->l->calls.count; ++i) LEAT_TRY(emit_call(e, &e->l->calls.data[i]));
  leat_linked_unit_end(&e->linked);
  info->arena_bytes = e->l->arena_bytes;
  info->peak_bytes += e->l->arena_bytes + leat_pef_constant_bytes(e->writer);
  return leat_flight_plan(e->writer);
}

leat_status_t leat_link(const leat_link_program_t *program, leat_pef_writer_t *writer, pef_info_t *info) {
  leat_linker_t l = {.program = program};
  emitter_t e = {.l = &l, .writer = writer};
  e.linked = (leat_linked_unit_t){.writer = writer,
                                  .info = info,
                                  .times = 1,
                                  .loop = PEF_NONE,
                                  .place = place_of,
                                  .output = program_output,
                                  .context = &e};
  leat_arena_init(&e.arena);
  leat_status_t status = order_calls(&l);
  if (status == NULL) status = leat_link_memory(&l);
  if (status == NULL) status = emit(&e, info);
  leat_array_free(&l.calls);
  leat_free(l.value_offset);
  leat_free(l.unit_offset);
  leat_free(l.unit_kept);
  leat_free(e.output);
  leat_free(e.bodies);
  leat_linked_unit_deinit(&e.linked);
  leat_arena_deinit(&e.arena);
  return leat_status_annotate(status, "linking");
}
