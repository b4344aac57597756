// SPDX-License-Identifier: Apache-2.0
// A draft becomes a body and a call: its operands get the places of their sources, arguments or tile buffers.
#include "map/emit.h"

#include "map/axis.h"
#include "map/name.h"
#include "pef/flight.h"
#include "space/rows.h"

typedef struct emitter_s {
  const leat_decided_t *decided;
  const leat_placed_t *placed;
  leat_pef_writer_t *writer;
  uint64_t *constants;    // per value: offset in the file's constants
  uint32_t *buffers;      // per value in scratch: its buffer in the body that is being made, + 1
  uint32_t packs_called;  // of decided->packs.calls
} emitter_t;

// A draft on its way into the file.
typedef struct body_s {
  emitter_t *e;
  const leat_draft_t *draft;
  LEAT_ARRAY(pef_stage_t) stages;
  LEAT_ARRAY(pef_operand_t) operands;
  LEAT_ARRAY(pef_argument_t) arguments;
  LEAT_ARRAY(pef_buffer_t) buffers;
  LEAT_ARRAY(int64_t) dims;  // of the buffers
  LEAT_ARRAY(pef_layout_t) layout;
} body_t;

// --- places ---------------------------------------------------------------------------------------------------------

static pef_argument_t place_of_symbol(const emitter_t *e, uint32_t symbol) {
  uint64_t bytes = e->decided->symbols.all.data[symbol].bytes;
  return (pef_argument_t){.kind = PEF_PLACE_SYMBOL, .symbol = symbol, .bytes = bytes};
}

static leat_status_t place_of_value(const emitter_t *e, leat_value_id_t v, pef_argument_t *out_place) {
  const leat_keep_t *keep = &e->decided->keeps.of[v];
  *out_place = (pef_argument_t){.bytes = leat_turns_bytes(&e->decided->turns, e->decided->g, v)};
  switch ((leat_keep_kind_t)keep->kind) {
    case LEAT_KEEP_MEMORY:
      out_place->kind = PEF_PLACE_ARENA;
      out_place->offset = e->placed->homes[v].offset;
      return NULL;
    case LEAT_KEEP_SYMBOL:
      *out_place = place_of_symbol(e, keep->symbol);
      return NULL;
    case LEAT_KEEP_CONSTANT:
      out_place->kind = PEF_PLACE_CONSTANT;
      out_place->offset = e->constants[v];
      return NULL;
    case LEAT_KEEP_NONE:
    case LEAT_KEEP_STRIP:
      break;
  }
  LEAT_FAIL(LEAT_INTERNAL, "value %%%u has no storage", v);
}

static leat_status_t place_of(const emitter_t *e, const leat_source_t *source, pef_argument_t *out_place) {
  if (source->kind == LEAT_SOURCE_VALUE) return place_of_value(e, source->index, out_place);
  if (source->kind == LEAT_SOURCE_SYMBOL) {
    *out_place = place_of_symbol(e, source->index);
  } else {
    const leat_pack_t *pack = &e->decided->packs.all.data[source->index];
    const uint64_t offset = e->placed->packs[source->index];
    *out_place = (pef_argument_t){.kind = PEF_PLACE_ARENA, .offset = offset, .bytes = pack->bytes};
    if (pack->symbol != LEAT_NONE) *out_place = place_of_symbol(e, pack->symbol);
  }
  return NULL;
}

// --- operands -------------------------------------------------------------------------------------------------------

static leat_status_t find_argument(body_t *b, const pef_argument_t *place, uint32_t *out_slot) {
  for (uint32_t i = 0; i < b->arguments.count; ++i) {
    *out_slot = i;
    if (memcmp(&b->arguments.data[i], place, sizeof *place) == 0) return NULL;
  }
  pef_argument_t *argument = leat_array_push(&b->arguments);
  if (argument == NULL) return leat_out_of_memory();
  *argument = *place;
  *out_slot = b->arguments.count - 1;
  if (b->arguments.count <= PEF_MAX_ARGUMENTS) return NULL;
  LEAT_FAIL(LEAT_UNSUPPORTED, "a section touches more than %u tensors: compile with -o0", PEF_MAX_ARGUMENTS);
}

static bool is_scratch(const emitter_t *e, const leat_source_t *source) {
  return source->kind == LEAT_SOURCE_VALUE && e->decided->keeps.of[source->index].kind == LEAT_KEEP_MEMORY &&
         e->placed->homes[source->index].scratch;
}

static uint32_t current_stage(const body_t *b) { return b->stages.count - 1; }

static leat_status_t add_buffer(body_t *b, leat_value_id_t v) {
  const leat_decided_t *d = b->e->decided;
  const leat_value_t *value = leat_graph_value(d->g, v);
  pef_buffer_t *buffer = leat_array_push(&b->buffers);
  pef_layout_t *layout = leat_array_push(&b->layout);
  const uint32_t first_dim = b->dims.count;
  int64_t *dims = value->rank == 0 ? NULL : leat_array_push_n(&b->dims, value->rank);
  if (buffer == NULL || layout == NULL || (dims == NULL && value->rank != 0)) return leat_out_of_memory();
  if (value->rank != 0) memcpy(dims, value->dims, value->rank * sizeof *dims);
  *buffer = (pef_buffer_t){.dtype = (uint8_t)value->dtype,
                           .rank = (uint8_t)value->rank,
                           .row_dim = PEF_NO_ROW_DIM,
                           .dims = first_dim,
                           .first = current_stage(b)};
  layout->offset = b->e->placed->homes[v].offset;
  const uint8_t row_dim = d->plan->row_dim[value->op];
  if (row_dim != LEAT_ROWS_WHOLE && b->draft->rows > 1) buffer->row_dim = row_dim;
  b->e->buffers[v] = b->buffers.count;
  if (b->buffers.count <= PEF_MAX_BUFFERS) return NULL;
  LEAT_FAIL(LEAT_UNSUPPORTED, "a section keeps more than %u values in its tiles: compile with -o0", PEF_MAX_BUFFERS);
}

// The buffer of a value in scratch; its first operand brings it.
static leat_status_t find_buffer(body_t *b, leat_value_id_t v, uint32_t *out_slot) {
  if (b->e->buffers[v] == 0) LEAT_TRY(add_buffer(b, v));
  *out_slot = b->e->buffers[v] - 1;
  b->buffers.data[*out_slot].last = current_stage(b);
  return NULL;
}

static leat_status_t add_operand(body_t *b, uint32_t index) {
  const leat_source_t *source = &b->draft->sources.data[index];
  pef_operand_t *operand = leat_array_push(&b->operands);
  if (operand == NULL) return leat_out_of_memory();
  *operand = b->draft->operands.data[index];
  if (source->kind == LEAT_SOURCE_NONE) return NULL;
  if (is_scratch(b->e, source)) {
    operand->space = PEF_SPACE_SCRATCH;
    return find_buffer(b, source->index, &operand->slot);
  }
  pef_argument_t place;
  LEAT_TRY(place_of(b->e, source, &place));
  operand->space = PEF_SPACE_ARGUMENT;
  return find_argument(b, &place, &operand->slot);
}

static leat_status_t add_stage(body_t *b, uint32_t index) {
  char name[LEAT_MAP_NAME_MAX];
  pef_stage_t *stage = leat_array_push(&b->stages);
  if (stage == NULL) return leat_out_of_memory();
  *stage = b->draft->stages.data[index];
  leat_map_name_op(b->draft->g, b->draft->origins.data[index], name);
  stage->origin = leat_pef_add_string(b->e->writer, name);
  for (uint32_t i = 0; i < stage->operand_count; ++i) LEAT_TRY(add_operand(b, stage->operand_first + i));
  return NULL;
}

// --- calls ----------------------------------------------------------------------------------------------------------

// Cut along lines is what threads share; who has nothing to share has no axis.
static leat_status_t find_axis(const body_t *b, const pef_call_t *call, leat_axis_t *out_axis) {
  const leat_arch_t *arch = b->e->decided->options->arch;
  *out_axis = (leat_axis_t){0};
  if (leat_arch_seconds(arch, arch->level, call->flops, call->bytes) < leat_arch_barriers(arch, arch->shared_call))
    return NULL;
  return leat_axis_find(b->draft, b->operands.data, b->buffers.count, b->arguments.count, out_axis);
}

// `call` as it stands but for what follows from the body.
static leat_status_t finish(body_t *b, const leat_tiling_t *tiling, pef_call_t call, const char *name,
                            const char *why) {
  leat_axis_t found;
  LEAT_TRY(find_axis(b, &call, &found));
  const uint64_t lines = (uint64_t)found.count;
  const pef_axis_t axis = {.number = 1, .count = lines, .tile_max = lines, .quantum = 1};
  leat_pef_body_draft_t body = {
      .body = {.stage_count = b->stages.count,
               .argument_count = b->arguments.count,
               .tile_quantum = (uint32_t)tiling->quantum,
               .row_count = (uint64_t)b->draft->rows,
               .tile_rows_max = (uint64_t)tiling->rows_max,
               .buffer_count = b->buffers.count},
      .stages = b->stages.data,
      .operands = b->operands.data,
      .instructions = b->draft->instructions.data,
      .buffers = b->buffers.data,
      .dims = b->dims.data,
      .layout = b->layout.data,
      .axes = &axis,
      .cuts = found.cuts.data,
      .axis_count = found.count != 0,
      .cut_count = found.cuts.count,
  };
  call.argument_count = b->arguments.count;
  call.body = leat_pef_add_body(b->e->writer, &body);
  call.name = leat_pef_add_string(b->e->writer, name);
  call.why = leat_pef_add_string(b->e->writer, why);
  leat_pef_add_call(b->e->writer, &call, b->arguments.data);
  leat_axis_deinit(&found);
  return NULL;
}

static void body_deinit(body_t *b) {
  leat_array_free(&b->stages);
  leat_array_free(&b->operands);
  leat_array_free(&b->arguments);
  leat_array_free(&b->buffers);
  leat_array_free(&b->dims);
  leat_array_free(&b->layout);
}

static leat_status_t emit_pack(emitter_t *e, const leat_pack_call_t *pack) {
  const leat_tiling_t tiling = {.rows_max = pack->draft.rows, .quantum = 1};
  body_t b = {.e = e, .draft = &pack->draft};
  leat_status_t status = NULL;
  for (uint32_t i = 0; i < pack->draft.stages.count && status == NULL; ++i) status = add_stage(&b, i);
  pef_call_t call = {.type = e->decided->packs.all.data[pack->pack].type, .bytes = pack->bytes};
  if (status == NULL) status = finish(&b, &tiling, call, "pack", pack->why);
  body_deinit(&b);
  return status;
}

// Packs come before the stage that is the first to read them.
static leat_status_t emit_packs(emitter_t *e, uint32_t section, uint32_t stage) {
  const leat_packs_t *packs = &e->decided->packs;
  while (e->packs_called < packs->calls.count) {
    const leat_pack_call_t *call = &packs->calls.data[e->packs_called];
    if (call->section != section || call->stage != stage) break;
    if (!packs->all.data[call->pack].only) LEAT_TRY(emit_pack(e, call));
    e->packs_called++;
  }
  return NULL;
}

// What is packed is there now, and goes afterwards.
static leat_status_t emit_packs_behind(emitter_t *e, uint32_t section) {
  const leat_packs_t *packs = &e->decided->packs;
  for (uint32_t i = 0; i < packs->calls.count; ++i) {
    const leat_pack_t *pack = &packs->all.data[packs->calls.data[i].pack];
    if (pack->only && pack->symbol == LEAT_NONE && pack->maker == section)
      LEAT_TRY(emit_pack(e, &packs->calls.data[i]));
  }
  return NULL;
}

static leat_status_t emit_stages(body_t *b, uint32_t section) {
  for (uint32_t i = 0; i < b->draft->stages.count; ++i) {
    LEAT_TRY(emit_packs(b->e, section, i));
    LEAT_TRY(add_stage(b, i));
  }
  return NULL;
}

static leat_status_t emit_section(emitter_t *e, uint32_t index) {
  const leat_section_t *section = &e->decided->plan->sections.data[index];
  char name[LEAT_MAP_NAME_MAX];
  leat_map_name_section(e->decided->g, section, name);
  body_t b = {.e = e, .draft = &e->decided->drafts[index]};
  leat_status_t status = emit_stages(&b, index);
  pef_call_t call = {.type = section->type, .flops = section->flops, .bytes = section->bytes};
  if (status == NULL) status = finish(&b, &e->placed->tilings[index], call, name, section->why);
  body_deinit(&b);
  return leat_status_annotate(status, "section %u (%s)", index, name);
}

// --- the file -------------------------------------------------------------------------------------------------------

// How a symbol lies that is as a product reads it.
static void emit_block(emitter_t *e, uint32_t symbol) {
  const leat_packs_t *packs = &e->decided->packs;
  for (uint32_t i = 0; i < packs->all.count; ++i) {
    const leat_pack_t *pack = &packs->all.data[i];
    if (pack->symbol != symbol) continue;
    const int64_t columns = pack->block == 0 ? pack->access.dims[1] : pack->block;
    const pef_block_t block = {.symbol = symbol, .dim = (uint8_t)pack->dim, .block = (uint64_t)columns};
    leat_pef_add_block(e->writer, &block);
  }
}

static void emit_symbols(emitter_t *e) {
  const leat_map_symbols_t *symbols = &e->decided->symbols;
  for (uint32_t i = 0; i < symbols->all.count; ++i) {
    pef_symbol_t symbol = symbols->all.data[i];
    symbol.name = leat_pef_add_string(e->writer, leat_graph_symbol(e->decided->g, symbols->ids.data[i])->name);
    leat_pef_add_symbol(e->writer, &symbol);
    emit_block(e, i);
  }
}

static leat_status_t emit_constants(emitter_t *e) {
  const leat_graph_t *g = e->decided->g;
  e->constants = leat_alloc_zero(g->values.count + 1u, sizeof *e->constants);
  if (e->constants == NULL) return leat_out_of_memory();
  for (leat_value_id_t v = 0; v < g->values.count; ++v) {
    if (e->decided->keeps.of[v].kind != LEAT_KEEP_CONSTANT) continue;
    const leat_blob_t *blob = leat_op_blob(g, leat_graph_op(g, leat_graph_value(g, v)->op));
    e->constants[v] = leat_pef_add_constant(e->writer, blob->data, blob->data_bytes);
  }
  return NULL;
}

static void emit_info(const emitter_t *e) {
  const leat_decided_t *d = e->decided;
  pef_info_t info = {.arena_bytes = e->placed->arena_bytes,
                     .optim_level = d->options->optim_level,
                     .inference = d->options->inference};
  memcpy(info.fingerprint, d->options->fingerprint, sizeof info.fingerprint);
  info.fingerprint_version = d->options->fingerprint_version;
  info.peak_bytes = e->placed->arena_bytes + d->symbols.bytes + leat_pef_constant_bytes(e->writer);
  info.arch = leat_pef_add_string(e->writer, d->options->arch_text);
  info.compiler = leat_pef_add_string(e->writer, LEAT_VERSION);
  for (uint32_t s = 0; s < d->plan->sections.count; ++s) {
    info.run_flops += d->plan->sections.data[s].flops;
    info.run_bytes += d->plan->sections.data[s].bytes;
  }
  leat_pef_set_info(e->writer, &info);
}

static leat_status_t emit_all(emitter_t *e) {
  emit_symbols(e);
  LEAT_TRY(emit_constants(e));
  e->buffers = leat_alloc_zero(e->decided->g->values.count + 1u, sizeof *e->buffers);
  if (e->buffers == NULL) return leat_out_of_memory();
  for (uint32_t i = 0; i < e->decided->order_count; ++i) {
    const uint32_t section = e->decided->order[i];
    if (e->decided->drafts[section].stages.count != 0) LEAT_TRY(emit_section(e, section));
    LEAT_TRY(emit_packs_behind(e, section));
  }
  emit_info(e);
  return leat_flight_plan(e->writer);
}

leat_status_t leat_map_emit(const leat_decided_t *decided, const leat_placed_t *placed, leat_pef_writer_t *writer) {
  emitter_t e = {.decided = decided, .placed = placed, .writer = writer};
  leat_status_t status = emit_all(&e);
  leat_free(e.constants);
  leat_free(e.buffers);
  return status;
}
