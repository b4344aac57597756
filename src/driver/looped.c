// SPDX-License-Identifier: Apache-2.0
#include "driver/looped.h"

#include "driver/loop_file.h"
#include "driver/pipeline.h"
#include "ir/rebuild.h"
#include "link/link.h"
#include "map/symbols.h"
#include "unit/equal.h"
#include "unit/looped.h"

// A loop that was written.
typedef struct loop_kind_s {
  uint32_t unit;  // the first that is it
  leat_loop_file_t file;
  leat_pef_t *pef;
} loop_kind_t;

typedef struct looped_s {
  const leat_graph_t *g;
  const leat_compile_options_t *options;
  const leat_map_options_t *map_options;
  leat_pef_writer_t *writer;
  leat_looped_t cut;
  leat_map_symbols_t symbols;  // of the program
  leat_unit_kinds_t kinds;
  LEAT_ARRAY(leat_compiled_t) compiled;  // one a kind
  LEAT_ARRAY(loop_kind_t) loops;
  LEAT_ARRAY(leat_link_unit_t) linked;
  LEAT_ARRAY(uint32_t) part_of;  // per linked unit
  leat_arena_t arena;            // targets and places
} looped_t;

// Why the first section of a part begins, which is compiled once for all that are equal: `call_why` says it of each.
static const char FIRST_OF_PART[] = "first of a part";

// --- one part -------------------------------------------------------------------------------------------------------

static uint32_t trips_of(const looped_t *s, uint32_t part) {
  const leat_looped_part_t *p = &s->cut.parts.data[part];
  if (p->role != LEAT_LOOPED_BODY) return 0;
  return (uint32_t)leat_loop_of(s->g, leat_graph_op(s->g, p->loop)).trips;
}

static bool has_loops(const leat_graph_t *g) {
  for (leat_op_id_t id = 0; id < g->ops.count; ++id)
    if (leat_op_role(leat_graph_op(g, id)->kind) == LEAT_ROLE_LOOP) return true;
  return false;
}

// A body may have loops of its own, of the micro-batch's steps: a program with loops in its turn, or straight.
static leat_status_t compile_nested(looped_t *s, leat_compiled_t *c, const leat_graph_t *graph,
                                    const leat_map_options_t *map_options) {
  if (leat_looped_suits(graph, map_options->arch)) {
    leat_arena_init(&c->names);
    LEAT_TRY(leat_rebuild(graph, leat_rebuild_copy, NULL, &c->settled));
    return leat_compile_looped_unit(c, s->options, map_options);
  }
  LEAT_TRY(leat_pipeline_run(graph, s->options, map_options->arch, LEAT_PIPELINE_STRAIGHT, &c->settled));
  return leat_compiled_map(c, s->options, map_options, "a part of its own, beside loops");
}

// Takes `graph`, that of part `part`.
static leat_status_t compile_kind(looped_t *s, uint32_t part, leat_graph_t *graph) {
  leat_map_options_t map_options = *s->map_options;
  map_options.trips = trips_of(s, part);
  map_options.repeats |= map_options.trips != 0;
  LEAT_TRY(leat_unit_kinds_add(&s->kinds, graph));
  leat_compiled_t *c = leat_array_push(&s->compiled);
  if (c == NULL) return leat_out_of_memory();
  c->unit = s->linked.count;
  if (has_loops(graph)) return compile_nested(s, c, graph, &map_options);
  LEAT_TRY(leat_pipeline_run(graph, s->options, s->map_options->arch, LEAT_PIPELINE_PART, &c->settled));
  return leat_compiled_map(c, s->options, &map_options, FIRST_OF_PART);
}

static leat_looped_place_t place_of(const looped_t *s, uint32_t part, const leat_compiled_t *c, uint32_t index) {
  const char *name = c->pef->strings + c->pef->symbols[index].name;
  return leat_looped_place(&s->cut, part, leat_graph_symbol(c->settled, leat_graph_find_symbol(c->settled, name)));
}

static leat_link_target_t target_of(const looped_t *s, const leat_looped_place_t *place) {
  if (place->symbol) return (leat_link_target_t){LEAT_LINK_SYMBOL, s->symbols.of[place->index], 0};
  return (leat_link_target_t){LEAT_LINK_VALUE, place->index, (uint64_t)place->offset};
}

static leat_status_t link_unit(looped_t *s, uint32_t part, const leat_link_unit_t *unit) {
  leat_link_unit_t *linked = leat_array_push(&s->linked);
  uint32_t *slot = leat_array_push(&s->part_of);
  if (linked == NULL || slot == NULL) return leat_out_of_memory();
  *slot = part;
  *linked = *unit;
  return NULL;
}

static leat_status_t link_stretch(looped_t *s, uint32_t part, const leat_compiled_t *c) {
  leat_link_target_t *targets = leat_arena_alloc(&s->arena, (c->pef->symbol_count + 1u) * sizeof *targets);
  if (targets == NULL) return leat_out_of_memory();
  for (uint32_t i = 0; i < c->pef->symbol_count; ++i) {
    const leat_looped_place_t place = place_of(s, part, c, i);
    targets[i] = target_of(s, &place);
  }
  const leat_link_unit_t unit = {
      .pef = c->pef, .like = c->unit, .targets = targets, .late = s->cut.parts.data[part].role == LEAT_LOOPED_LATE};
  return link_unit(s, part, &unit);
}

// --- one loop -------------------------------------------------------------------------------------------------------

static leat_loop_end_t end_of(const looped_t *s, const leat_looped_place_t *place) {
  leat_loop_end_t end = {.whole = target_of(s, place), .first = place->offset, .step = place->step};
  end.whole.first = 0;
  if (place->symbol) end.symbol = &s->symbols.all.data[s->symbols.of[place->index]];
  end.bytes = place->symbol ? end.symbol->bytes : s->cut.buffer_bytes.data[place->index];
  return end;
}

static leat_status_t find_places(looped_t *s, uint32_t part, const leat_compiled_t *c, leat_loop_file_t *file) {
  leat_loop_end_t *ends = leat_arena_alloc(&s->arena, (c->pef->symbol_count + 1u) * sizeof *ends);
  if (ends == NULL) return leat_out_of_memory();
  for (uint32_t i = 0; i < c->pef->symbol_count; ++i) {
    const leat_looped_place_t place = place_of(s, part, c, i);
    ends[i] = end_of(s, &place);
  }
  return leat_loop_file_find_places(file, ends, &s->arena);
}

static const loop_kind_t *find_loop(const looped_t *s, const leat_loop_file_t *file) {
  for (uint32_t i = 0; i < s->loops.count; ++i)
    if (leat_loop_file_equal(&s->loops.data[i].file, file)) return &s->loops.data[i];
  return NULL;
}

// A trip's backward follows its forward, which reads nothing of what it leaves: sums, and what forward finds again.
static uint32_t flags_of(const leat_pef_t *body) {
  uint32_t types = 0;
  for (uint32_t c = 0; c < body->call_count; ++c) types |= 1u << body->calls[c].type;
  types &= ~(1u << PEF_PREPARE);
  return (types >> PEF_FWD & 1) != 0 && types != 1u << PEF_FWD ? PEF_LOOP_FWD_ALONE : 0;
}

static leat_status_t link_loop(looped_t *s, uint32_t part, uint32_t body) {
  const leat_op_t *op = leat_graph_op(s->g, s->cut.parts.data[part].loop);
  const leat_compiled_t *c = &s->compiled.data[body];
  leat_loop_file_t file = {.body = c->pef,
                           .trips = trips_of(s, part),
                           .stream_step = (uint32_t)leat_loop_of(s->g, op).streams,
                           .flags = flags_of(c->pef),
                           .name = s->g->origins.data[op->origin].module};
  LEAT_TRY(find_places(s, part, c, &file));
  const loop_kind_t *known = find_loop(s, &file);
  if (known == NULL) {
    loop_kind_t *slot = leat_array_push(&s->loops);
    if (slot == NULL) return leat_out_of_memory();
    *slot = (loop_kind_t){.unit = s->linked.count, .file = file};
    LEAT_TRY(leat_loop_file_write(&file, s->map_options, &slot->pef));
    known = slot;
  }
  const leat_link_unit_t unit = {.pef = known->pef, .like = known->unit, .targets = file.targets};
  return link_unit(s, part, &unit);
}

// --- all parts ------------------------------------------------------------------------------------------------------

static bool stores(const leat_graph_t *g) {
  for (leat_op_id_t id = 0; id < g->ops.count; ++id)
    if (leat_op_is_statement(leat_graph_op(g, id)->kind)) return true;
  return false;
}

static leat_status_t add_part(looped_t *s, uint32_t part) {
  leat_graph_t *graph = NULL;
  LEAT_TRY(leat_looped_graph(&s->cut, part, &graph));
  if (!stores(graph)) {  // nothing is to be done between two loops
    leat_graph_destroy(graph);
    return NULL;
  }
  uint32_t kind = leat_unit_kinds_find(&s->kinds, graph);
  if (kind == LEAT_NONE) {
    kind = s->compiled.count;
    LEAT_TRY(compile_kind(s, part, graph));
  } else {
    leat_graph_destroy(graph);
  }
  if (s->cut.parts.data[part].role == LEAT_LOOPED_BODY) return link_loop(s, part, kind);
  return link_stretch(s, part, &s->compiled.data[kind]);
}

// --- the program ----------------------------------------------------------------------------------------------------

static leat_status_t add_symbols(looped_t *s) {
  LEAT_TRY(leat_map_symbols_collect(s->g, &s->symbols));
  for (uint32_t i = 0; i < s->symbols.all.count; ++i) {
    pef_symbol_t *symbol = &s->symbols.all.data[i];
    symbol->name = leat_pef_add_string(s->writer, leat_graph_symbol(s->g, s->symbols.ids.data[i])->name);
    leat_pef_add_symbol(s->writer, symbol);
  }
  return NULL;
}

// A body that replays another's is called after its own layer.
static const char *call_name(void *user, uint32_t unit, const char *name, char *buffer, size_t buffer_bytes) {
  const looped_t *s = user;
  const leat_looped_part_t *p = &s->cut.parts.data[s->part_of.data[unit]];
  (void)buffer, (void)buffer_bytes;
  if (p->role != LEAT_LOOPED_BODY || s->linked.data[unit].like == unit) return name;
  const char *module = s->g->origins.data[leat_graph_op(s->g, p->loop)->origin].module;
  return *module != '\0' ? module : name;
}

static bool is_behind_a_loop(const looped_t *s, const leat_looped_part_t *part) {
  for (uint32_t i = 0; i < s->cut.parts.count; ++i) {
    const leat_looped_part_t *p = &s->cut.parts.data[i];
    if (p->role == LEAT_LOOPED_BODY && p->type == part->type && p->level < part->level) return true;
  }
  return false;
}

static const char *call_why(void *user, uint32_t unit, uint32_t type, const char *why) {
  const looped_t *s = user;
  const uint32_t part = s->part_of.data[unit];
  if (strcmp(why, FIRST_OF_PART) != 0) return why;
  if (type == PEF_PREPARE) return "first of its type";
  switch (s->cut.parts.data[part].role) {
    case LEAT_LOOPED_BODY:
      return "a trip of a loop, which waits for the trip before";
    case LEAT_LOOPED_LATE:
      return "updates what several parts read, behind all of them";
    default:
      return is_behind_a_loop(s, &s->cut.parts.data[part]) ? "begins when a loop's last trip is over"
                                                           : "first of its type";
  }
}

static leat_status_t link_all(looped_t *s) {
  const leat_link_program_t program = {.units = s->linked.data,
                                       .unit_count = s->linked.count,
                                       .symbols = s->symbols.all.data,
                                       .symbol_count = s->symbols.all.count,
                                       .value_bytes = s->cut.buffer_bytes.data,
                                       .value_count = s->cut.buffer_bytes.count,
                                       .call_name = call_name,
                                       .call_why = call_why,
                                       .user = s};
  return leat_compiled_link(&program, s->map_options, s->writer);
}

static leat_status_t compile(looped_t *s) {
  LEAT_TRY(leat_looped_make(s->g, &s->cut));
  LEAT_TRY(leat_unit_kinds_init(&s->kinds, s->cut.parts.count));
  LEAT_TRY(add_symbols(s));
  for (uint32_t i = 0; i < s->cut.parts.count; ++i) LEAT_TRY(add_part(s, i));
  return link_all(s);
}

static void deinit(looped_t *s) {
  for (uint32_t i = 0; i < s->compiled.count; ++i) leat_compiled_deinit(&s->compiled.data[i]);
  for (uint32_t i = 0; i < s->loops.count; ++i) leat_pef_close(s->loops.data[i].pef);
  leat_array_free(&s->loops);
  leat_array_free(&s->compiled);
  leat_array_free(&s->linked);
  leat_array_free(&s->part_of);
  leat_unit_kinds_deinit(&s->kinds);
  leat_map_symbols_deinit(&s->symbols);
  leat_looped_deinit(&s->cut);
  leat_arena_deinit(&s->arena);
}

bool leat_looped_writes_once(const leat_graph_t *graph) {
  for (leat_op_id_t id = 0; id < graph->ops.count; ++id)
    if (leat_op_int(graph, leat_graph_op(graph, id), LEAT_ATTR_SHARED, 0) != 0) return false;
  return true;
}

// Does the graph repeat something, in a way that leaves the cutter free?
static bool may_loop(const leat_graph_t *graph, const leat_compile_options_t *options) {
  if (options->decisions != NULL || options->write_decisions != 0 || options->spatial != 0 ||
      options->separate_bodies != 0 || options->drop_grads != 0)
    return false;
  return leat_looped_writes_once(graph) && has_loops(graph);
}

leat_status_t leat_looped_lower(const leat_graph_t *graph, const leat_compile_options_t *options,
                                const leat_map_options_t *map_options, leat_pipeline_t part,
                                leat_graph_t **out_primitive) {
  *out_primitive = NULL;
  if (!may_loop(graph, options)) return NULL;
  leat_graph_t *primitive = NULL;
  LEAT_TRY(leat_pipeline_run(graph, options, map_options->arch, part, &primitive));
  if (leat_looped_suits(primitive, map_options->arch))
    *out_primitive = primitive;
  else
    leat_graph_destroy(primitive);
  return NULL;
}

leat_status_t leat_compile_looped(const leat_graph_t *primitive, const leat_compile_options_t *options,
                                  const leat_map_options_t *map_options, leat_pef_writer_t *writer) {
  looped_t s = {.g = primitive, .options = options, .map_options = map_options, .writer = writer};
  leat_arena_init(&s.arena);
  leat_status_t status = compile(&s);
  deinit(&s);
  return status;
}

leat_status_t leat_compile_looped_unit(leat_compiled_t *c, const leat_compile_options_t *options,
                                       const leat_map_options_t *map_options) {
  leat_pef_writer_t *writer = leat_pef_writer_create();
  if (writer == NULL) return leat_out_of_memory();
  leat_status_t status = leat_compile_looped(c->settled, options, map_options, writer);
  if (status == NULL) status = leat_compiled_open(writer, "unit", &c->pef);
  leat_pef_writer_destroy(writer);
  return status;
}
