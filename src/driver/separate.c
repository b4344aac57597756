// SPDX-License-Identifier: Apache-2.0
// Implementation of separate.h: units, a compile for each distinct one, names, linking.
#include "driver/separate.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "driver/compiled.h"
#include "driver/looped.h"
#include "driver/pipeline.h"
#include "link/link.h"
#include "lower/row.h"
#include "map/name.h"
#include "map/symbols.h"
#include "unit/equal.h"
#include "unit/place.h"

typedef struct separate_s {
  const leat_graph_t *g;
  const leat_compile_options_t *options;
  const leat_map_options_t *map_options;
  leat_pef_writer_t *writer;
  leat_units_t units;
  leat_unit_places_t places;
  LEAT_ARRAY(pef_symbol_t) symbols;  // of the program, as in `places`
  uint64_t *value_bytes;             // of the memory between units
  leat_unit_kinds_t kinds;
  LEAT_ARRAY(leat_compiled_t) compiled;  // one a kind
  LEAT_ARRAY(leat_link_unit_t) linked;
  LEAT_ARRAY(uint32_t) kind_of;              // per linked unit
  LEAT_ARRAY(leat_link_target_t *) targets;  // to be freed
} separate_t;

// --- one unit -------------------------------------------------------------------------------------------------------

static leat_status_t explain(const separate_t *s, uint32_t index, leat_status_t status) {
  const leat_unit_t *unit = &s->units.all.data[index];
  if (status == NULL || unit->role != LEAT_UNIT_GROUP) return status;
  const leat_group_t *group = leat_graph_group(s->g, unit->group);
  const leat_op_t *op = leat_graph_op(s->g, s->units.order[unit->op_first]);
  const char *name = group == NULL ? "" : group->name;
  return leat_status_annotate(status, "group %" PRIu32 "%s%s (%s)", unit->group, *name != '\0' ? " " : "", name,
                              s->g->origins.data[op->origin].module);
}

// --- symbols of the program ------------------------------------------------------------------------------------------

// The symbol of the program that comes next: as the program has it, or else `like` what a unit has in its place.
static leat_status_t add_symbol(separate_t *s, const pef_symbol_t *like) {
  const leat_symbol_id_t id = s->places.symbols.data[s->symbols.count];
  const leat_symbol_t *from = leat_graph_symbol(s->places.table, id);
  pef_symbol_t *symbol = leat_array_push(&s->symbols);
  if (symbol == NULL) return leat_out_of_memory();
  if (from->said)
    leat_map_symbols_describe(from, symbol);
  else
    *symbol = *like;
  symbol->name = leat_pef_add_string(s->writer, from->name);
  symbol->of = PEF_NONE;
  return NULL;
}

static leat_status_t add_program_symbols(separate_t *s) {
  LEAT_TRY(leat_unit_places_init(&s->places, &s->units));
  s->value_bytes = leat_alloc_zero(s->places.value_count + 1u, sizeof *s->value_bytes);
  if (s->value_bytes == NULL) return leat_out_of_memory();
  while (s->symbols.count < s->places.symbols.count) LEAT_TRY(add_symbol(s, NULL));
  return NULL;
}

// What symbol `index` of the file that unit `unit` was compiled to is in the program.
static leat_status_t find_target(separate_t *s, uint32_t unit, const leat_compiled_t *c, uint32_t index,
                                 leat_link_target_t *out_target) {
  const pef_symbol_t *like = &c->pef->symbols[index];
  const leat_symbol_id_t symbol = leat_graph_find_symbol(c->settled, c->pef->strings + like->name);
  leat_unit_place_t place;
  LEAT_TRY(leat_unit_place(&s->places, unit, c->settled, symbol, &place));
  *out_target = (leat_link_target_t){place.symbol ? LEAT_LINK_SYMBOL : LEAT_LINK_VALUE, place.index, 0};
  if (!place.symbol) s->value_bytes[place.index] = like->bytes;
  return s->symbols.count < s->places.symbols.count ? add_symbol(s, like) : NULL;
}

static void link_owners(separate_t *s) {
  for (uint32_t i = 0; i < s->symbols.count; ++i) {
    const uint32_t owner = leat_unit_place_owner(&s->places, i);
    if (owner != LEAT_NONE) s->symbols.data[i].of = owner;
  }
}

// --- equal units ----------------------------------------------------------------------------------------------------

// Takes `graph`.
static leat_status_t compile_kind(separate_t *s, uint32_t unit, leat_graph_t *graph, leat_pipeline_t part) {
  LEAT_TRY(leat_unit_kinds_add(&s->kinds, graph));
  leat_compiled_t *c = leat_array_push(&s->compiled);
  if (c == NULL) return leat_out_of_memory();
  c->unit = unit;
  if (part == LEAT_PIPELINE_UNIT)
    LEAT_TRY(leat_looped_lower(graph, s->options, s->map_options, LEAT_PIPELINE_UNIT_LOOPS, &c->settled));
  if (c->settled != NULL) return leat_compile_looped_unit(c, s->options, s->map_options);
  LEAT_TRY(leat_pipeline_run(graph, s->options, s->map_options->arch, part, &c->settled));
  return leat_compiled_map(c, s->options, s->map_options, "a group of its own");
}

static leat_status_t link_unit(separate_t *s, uint32_t unit, uint32_t kind) {
  const leat_compiled_t *c = &s->compiled.data[kind];
  leat_link_unit_t *linked = leat_array_push(&s->linked);
  leat_link_target_t **kept = leat_array_push(&s->targets);
  uint32_t *kind_slot = leat_array_push(&s->kind_of);
  if (linked == NULL || kept == NULL || kind_slot == NULL) return leat_out_of_memory();
  *kind_slot = kind;
  *kept = leat_alloc_zero(c->pef->symbol_count + 1u, sizeof **kept);
  if (*kept == NULL) return leat_out_of_memory();
  *linked = (leat_link_unit_t){.pef = c->pef, .like = c->unit, .targets = *kept};
  linked->stream = unit == LEAT_NONE ? 0 : (uint32_t)s->units.all.data[unit].stream;
  linked->late = unit == LEAT_NONE || s->units.all.data[unit].role == LEAT_UNIT_LATE;
  for (uint32_t i = 0; i < c->pef->symbol_count; ++i) LEAT_TRY(find_target(s, unit, c, i, &(*kept)[i]));
  return NULL;
}

static leat_status_t add_unit(separate_t *s, uint32_t unit, double dropout_rate, leat_value_id_t *map) {
  leat_graph_t *graph = NULL;
  LEAT_TRY(leat_unit_graph(&s->units, unit, dropout_rate, map, &graph));
  uint32_t kind = s->options->separate_bodies != 0 ? LEAT_NONE : leat_unit_kinds_find(&s->kinds, graph);
  if (kind != LEAT_NONE) {
    leat_graph_destroy(graph);
    return link_unit(s, unit, kind);
  }
  LEAT_TRY(explain(s, unit, compile_kind(s, unit, graph, LEAT_PIPELINE_UNIT)));
  return link_unit(s, unit, s->compiled.count - 1);
}

// --- counters -------------------------------------------------------------------------------------------------------

// Draws and steps are counted when everything that reads the counters has run.
static leat_status_t add_counters(separate_t *s) {
  leat_graph_t *graph = NULL;
  LEAT_TRY(leat_unit_counter_graph(&s->places, &graph));
  if (graph == NULL) return NULL;
  LEAT_TRY(compile_kind(s, s->linked.count, graph, LEAT_PIPELINE_WHOLE));
  return link_unit(s, LEAT_NONE, s->compiled.count - 1);
}

// --- names of calls -------------------------------------------------------------------------------------------------

static const char *module_of(const separate_t *s, leat_op_id_t id) {
  return s->g->origins.data[leat_graph_op(s->g, id)->origin].module;
}

// A module of the unit that was compiled, as this unit has it; what is no module is called the same in both.
static const char *own_module(const separate_t *s, uint32_t unit_index, const char *module) {
  const leat_unit_t *unit = &s->units.all.data[unit_index];
  const leat_unit_t *like = &s->units.all.data[s->linked.data[unit_index].like];
  for (uint32_t i = 0; i < unit->op_count; ++i) {
    if (strcmp(module_of(s, s->units.order[like->op_first + i]), module) == 0)
      return module_of(s, s->units.order[unit->op_first + i]);
  }
  return module;
}

static const char *call_name(void *user, uint32_t unit, const char *name, char *buffer, size_t buffer_bytes) {
  const separate_t *s = user;
  assert(buffer_bytes >= LEAT_MAP_NAME_MAX);
  (void)buffer_bytes;
  if (unit >= s->units.all.count || s->linked.data[unit].like == unit) return name;
  const leat_compiled_t *c = &s->compiled.data[s->kind_of.data[unit]];
  const uint32_t section = leat_names_find(&c->call_names, name, strlen(name));
  leat_map_ends_t ends = {name, NULL};
  if (section != LEAT_NAME_ABSENT) ends = c->ends.data[section];
  ends.first = own_module(s, unit, ends.first);
  if (ends.last != NULL) ends.last = own_module(s, unit, ends.last);
  leat_map_name_ends(ends, buffer);
  return buffer;
}

// --- all of it ------------------------------------------------------------------------------------------------------

static leat_status_t add_units(separate_t *s) {
  double rate = leat_row_shared_rate(s->g);
  leat_value_id_t *map = leat_alloc((s->g->values.count + 1u) * sizeof *map);
  leat_status_t status = map == NULL ? leat_out_of_memory() : leat_unit_kinds_init(&s->kinds, s->units.all.count);
  for (uint32_t v = 0; v <= s->g->values.count && status == NULL; ++v) map[v] = LEAT_NONE;
  for (uint32_t i = 0; i < s->units.all.count && status == NULL; ++i) status = add_unit(s, i, rate, map);
  leat_free(map);
  return status == NULL ? add_counters(s) : status;
}

static void report(const separate_t *s) {
  char line[160];
  uint32_t groups = 0, compiled = 0;
  if (s->options->log == NULL) return;
  for (uint32_t i = 0; i < s->units.all.count; ++i) {
    if (s->units.all.data[i].role != LEAT_UNIT_GROUP) continue;
    groups++;
    compiled += s->linked.data[i].like == i;
  }
  (void)snprintf(line, sizeof line, "hypersections: %" PRIu32 " groups, %" PRIu32 " compiled, %" PRIu32 " replayed",
                 groups, compiled, groups - compiled);
  s->options->log(s->options->log_user, LEAT_LOG_INFO, "mac", line);
}

static leat_status_t link_all(separate_t *s) {
  link_owners(s);
  for (uint32_t i = 0; i < s->symbols.count; ++i) leat_pef_add_symbol(s->writer, &s->symbols.data[i]);
  const leat_link_program_t program = {.units = s->linked.data,
                                       .unit_count = s->linked.count,
                                       .symbols = s->symbols.data,
                                       .symbol_count = s->symbols.count,
                                       .value_bytes = s->value_bytes,
                                       .value_count = s->places.value_count,
                                       .call_name = call_name,
                                       .user = s};
  return leat_compiled_link(&program, s->map_options, s->writer);
}

static void deinit(separate_t *s) {
  for (uint32_t i = 0; i < s->compiled.count; ++i) leat_compiled_deinit(&s->compiled.data[i]);
  for (uint32_t i = 0; i < s->targets.count; ++i) leat_free(s->targets.data[i]);
  leat_array_free(&s->compiled);
  leat_array_free(&s->targets);
  leat_array_free(&s->linked);
  leat_array_free(&s->kind_of);
  leat_unit_kinds_deinit(&s->kinds);
  leat_unit_places_deinit(&s->places);
  leat_array_free(&s->symbols);
  leat_free(s->value_bytes);
  leat_units_deinit(&s->units);
}

leat_status_t leat_compile_separately(const leat_graph_t *grouped, const leat_compile_options_t *options,
                                      const leat_map_options_t *map_options, leat_pef_writer_t *writer) {
  separate_t s = {.g = grouped, .options = options, .map_options = map_options, .writer = writer};
  leat_status_t status = leat_units_make(grouped, leat_pipeline_trains(grouped, options), &s.units);
  if (status == NULL) status = add_program_symbols(&s);
  if (status == NULL) status = add_units(&s);
  if (status == NULL) status = link_all(&s);
  if (status == NULL) report(&s);
  deinit(&s);
  return status;
}
