// SPDX-License-Identifier: Apache-2.0
// Implementation of link.h: the order of the calls, then each with its own arguments.
#include "link/link.h"

#include "link/linker.h"
#include "pef/flight.h"
#include "pef/flow.h"
#include "pef/pef_align.h"

// --- order ----------------------------------------------------------------------------------------------------------

static leat_status_t add_calls(leat_linker_t *l, uint32_t unit, uint32_t types) {
  const leat_pef_t *pef = l->program->units[unit].pef;
  for (uint32_t i = 0; i < pef->call_count; ++i) {
    if ((types >> pef->calls[i].type & 1u) == 0) continue;
    leat_linked_call_t *slot = leat_array_push(&l->calls);
    if (slot == NULL) return leat_out_of_memory();
    *slot = (leat_linked_call_t){unit, i};
  }
  return NULL;
}

static leat_status_t order_calls(leat_linker_t *l) {
  const leat_link_program_t *p = l->program;
  const uint32_t prepare = 1u << PEF_PREPARE;
  for (uint32_t u = 0; u < p->unit_count; ++u) LEAT_TRY(add_calls(l, u, prepare));
  for (uint32_t type = 0; type < PEF_PREPARE; ++type) {
    for (uint32_t i = 0; i < p->unit_count; ++i) {
      uint32_t u = type == PEF_BCKWD ? p->unit_count - 1 - i : i;
      if (!p->units[u].late) LEAT_TRY(add_calls(l, u, 1u << type));
    }
  }
  for (uint32_t u = 0; u < p->unit_count; ++u) {
    if (p->units[u].late) LEAT_TRY(add_calls(l, u, ~prepare));
  }
  return NULL;
}

// --- bodies ---------------------------------------------------------------------------------------------------------

// A body that was added.
typedef struct added_s {
  bool known;
  uint32_t index;
} added_t;

typedef struct emitter_s {
  leat_linker_t *l;
  leat_pef_writer_t *writer;
  uint16_t *output;  // per symbol of the program: which output it is
  LEAT_ARRAY(pef_stage_t) stages;
  LEAT_ARRAY(pef_argument_t) arguments;
  leat_arena_t arena;
  added_t **added;  // per unit that others are like: its bodies
  pef_info_t *info;
} emitter_t;

// The output that a unit's output stands for.
static uint16_t program_output(const emitter_t *e, const leat_link_unit_t *unit, uint16_t output) {
  uint32_t seen = 0;
  for (uint32_t s = 0; s < unit->pef->symbol_count && output != PEF_NO_OUTPUT; ++s) {
    if (unit->pef->symbols[s].kind != PEF_SYMBOL_OUTPUT || seen++ != output) continue;
    const leat_link_target_t *target = &unit->targets[s];
    return target->kind == LEAT_LINK_SYMBOL ? e->output[target->index] : PEF_NO_OUTPUT;
  }
  return PEF_NO_OUTPUT;
}

static leat_status_t add_body(emitter_t *e, const leat_link_unit_t *unit, uint32_t index, added_t *added) {
  const leat_pef_t *pef = unit->pef;
  const pef_body_t *body = &pef->bodies[index];
  e->stages.count = 0;
  pef_stage_t *stages = leat_array_push_n(&e->stages, body->stage_count);
  if (stages == NULL) return leat_out_of_memory();
  for (uint32_t i = 0; i < body->stage_count; ++i) {
    stages[i] = pef->stages[body->stage_first + i];
    stages[i].origin = leat_pef_add_string(e->writer, pef->strings + stages[i].origin);
    stages[i].output = program_output(e, unit, stages[i].output);
  }
  leat_pef_body_draft_t draft = {*body, stages, pef->operands, pef->instructions};
  added->index = leat_pef_add_body(e->writer, &draft);
  added->known = true;
  if (body->scratch_bytes > e->info->scratch_bytes) e->info->scratch_bytes = body->scratch_bytes;
  return NULL;
}

// The body, which the first unit of its like has added.
static leat_status_t body_of(emitter_t *e, uint32_t unit_index, uint32_t index, const added_t **out_added) {
  const leat_link_unit_t *unit = &e->l->program->units[unit_index];
  if (e->added[unit->like] == NULL)
    e->added[unit->like] = leat_arena_alloc(&e->arena, (unit->pef->body_count + 1u) * sizeof(added_t));
  if (e->added[unit->like] == NULL) return leat_out_of_memory();
  added_t *added = &e->added[unit->like][index];
  *out_added = added;
  return added->known ? NULL : add_body(e, unit, index, added);
}

// --- calls ----------------------------------------------------------------------------------------------------------

static pef_argument_t resolve(const emitter_t *e, uint32_t unit_index, const pef_argument_t *a) {
  const leat_linker_t *l = e->l;
  const leat_link_unit_t *unit = &l->program->units[unit_index];
  pef_argument_t out = *a;
  if (a->kind == PEF_PLACE_CONSTANT) {
    out.offset = leat_pef_add_constant(e->writer, unit->pef->constants + a->offset, a->bytes);
  } else if (a->kind == PEF_PLACE_ARENA) {
    uint64_t kept = l->unit_kept[unit_index];
    out.offset = a->offset < kept ? l->unit_offset[unit_index] + a->offset : l->shared_offset + a->offset - kept;
  } else if (unit->targets[a->symbol].kind == LEAT_LINK_SYMBOL) {
    out.symbol = unit->targets[a->symbol].index;
  } else {
    assert(unit->targets[a->symbol].kind == LEAT_LINK_VALUE);
    out = (pef_argument_t){PEF_PLACE_ARENA, 0, l->value_offset[unit->targets[a->symbol].index] + a->offset, a->bytes};
  }
  return out;
}

static leat_status_t resolve_arguments(emitter_t *e, uint32_t unit, const pef_call_t *call) {
  const leat_pef_t *pef = e->l->program->units[unit].pef;
  e->arguments.count = 0;
  for (uint32_t i = 0; i < call->argument_count; ++i) {
    pef_argument_t *argument = leat_array_push(&e->arguments);
    if (argument == NULL) return leat_out_of_memory();
    *argument = resolve(e, unit, &pef->arguments[call->argument_first + i]);
  }
  return NULL;
}

static leat_status_t emit_call(emitter_t *e, uint32_t index) {
  const leat_linked_call_t *at = &e->l->calls.data[index];
  const leat_pef_t *pef = e->l->program->units[at->unit].pef;
  const added_t *added = NULL;
  pef_call_t call = pef->calls[at->call];
  LEAT_TRY(body_of(e, at->unit, call.body, &added));
  LEAT_TRY(resolve_arguments(e, at->unit, &call));
  call.body = added->index;
  call.stream += e->l->program->units[at->unit].stream;
  char buffer[512];
  call.barrier = 0;
  call.name = leat_pef_add_string(e->writer, e->l->program->call_name(e->l->program->user, at->unit,
                                                                      pef->strings + call.name, buffer, sizeof buffer));
  call.why = leat_pef_add_string(e->writer, pef->strings + call.why);
  leat_pef_add_call(e->writer, &call, e->arguments.data);
  e->info->run_flops += call.flops;
  e->info->run_bytes += call.bytes;
  return NULL;
}

static leat_status_t emit(emitter_t *e) {
  const leat_link_program_t *p = e->l->program;
  uint32_t outputs = 0;
  e->output = leat_alloc_zero(p->symbol_count + 1u, sizeof *e->output);
  e->added = leat_alloc_zero(p->unit_count + 1u, sizeof *e->added);
  if (e->output == NULL || e->added == NULL) return leat_out_of_memory();
  for (uint32_t s = 0; s < p->symbol_count; ++s) {
    const bool is_output = p->symbols[s].kind == PEF_SYMBOL_OUTPUT;
    e->output[s] = is_output && outputs < PEF_NO_OUTPUT ? (uint16_t)outputs : PEF_NO_OUTPUT;
    outputs += is_output;
    e->info->peak_bytes += leat_pef_align(p->symbols[s].bytes);
  }
  for (uint32_t i = 0; i < e->l->calls.count; ++i) LEAT_TRY(emit_call(e, i));
  e->info->arena_bytes = e->l->arena_bytes;
  e->info->peak_bytes += e->l->arena_bytes + leat_pef_constant_bytes(e->writer);
  return leat_flight_plan(e->writer);
}

leat_status_t leat_link(const leat_link_program_t *program, leat_pef_writer_t *writer, pef_info_t *info) {
  leat_linker_t l = {.program = program};
  emitter_t e = {.l = &l, .writer = writer, .info = info};
  leat_arena_init(&e.arena);
  leat_status_t status = order_calls(&l);
  if (status == NULL) status = leat_link_memory(&l);
  if (status == NULL) status = emit(&e);
  leat_array_free(&l.calls);
  leat_free(l.value_offset);
  leat_free(l.unit_offset);
  leat_free(l.unit_kept);
  leat_free(e.output);
  leat_array_free(&e.stages);
  leat_array_free(&e.arguments);
  leat_free(e.added);
  leat_arena_deinit(&e.arena);
  return leat_status_annotate(status, "linking");
}
