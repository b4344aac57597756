// SPDX-License-Identifier: Apache-2.0
#include "unit/place.h"

#include "grad/optimizer.h"
#include "lower/lower.h"

// --- tables ---------------------------------------------------------------------------------------------------------

// The symbol of the table, which becomes the program's last one where it has been in no unit yet.
static leat_status_t place_symbol(leat_unit_places_t *p, leat_symbol_id_t id, leat_unit_place_t *out_place) {
  while (p->index_of.count <= id) {
    if (leat_array_push(&p->index_of) == NULL) return leat_out_of_memory();
  }
  uint32_t *index = &p->index_of.data[id];
  if (*index == 0) {
    leat_symbol_id_t *slot = leat_array_push(&p->symbols);
    if (slot == NULL) return leat_out_of_memory();
    *slot = id;
    *index = p->symbols.count;
  }
  *out_place = (leat_unit_place_t){true, *index - 1};
  return NULL;
}

static leat_status_t add_program_symbols(leat_unit_places_t *p) {
  const leat_graph_t *g = p->units->g;
  for (leat_op_id_t id = 0; id < g->ops.count; ++id) {
    const leat_op_t *op = leat_graph_op(g, id);
    const leat_symbol_id_t symbol = leat_op_symbol(g, op);
    bool output = symbol != LEAT_NONE && leat_graph_symbol(g, symbol)->kind == LEAT_KIND_OUTPUT;
    leat_unit_place_t place;
    if (output || leat_op_role(op->kind) == LEAT_ROLE_SYMBOL) LEAT_TRY(place_symbol(p, symbol, &place));
  }
  return NULL;
}

static leat_status_t init(leat_unit_places_t *p) {
  const leat_units_t *units = p->units;
  p->given_first = leat_alloc_zero(units->all.count + 1u, sizeof *p->given_first);
  if (p->given_first == NULL) return leat_out_of_memory();
  for (uint32_t i = 0; i < units->all.count; ++i) {
    p->given_first[i] = p->given_count;
    p->given_count += units->all.data[i].ins.count + units->all.data[i].symbols.count;
  }
  p->value_count = units->g->values.count + p->given_count + units->optimizers.count;
  LEAT_TRY(leat_graph_create(&p->table));
  LEAT_TRY(leat_graph_copy_symbols(p->table, units->g));
  return add_program_symbols(p);
}

leat_status_t leat_unit_places_init(leat_unit_places_t *places, const leat_units_t *units) {
  *places = (leat_unit_places_t){.units = units};
  leat_status_t status = init(places);
  if (status != NULL) leat_unit_places_deinit(places);
  return status;
}

void leat_unit_places_deinit(leat_unit_places_t *places) {
  leat_graph_destroy(places->table);
  leat_array_free(&places->symbols);
  leat_array_free(&places->index_of);
  leat_free(places->given_first);
  *places = (leat_unit_places_t){0};
}

uint32_t leat_unit_place_owner(const leat_unit_places_t *places, uint32_t index) {
  const leat_symbol_id_t owner = leat_graph_symbol(places->table, places->symbols.data[index])->owner;
  if (owner == LEAT_NONE || owner >= places->index_of.count || places->index_of.data[owner] == 0) return LEAT_NONE;
  return places->index_of.data[owner] - 1;
}

// --- memory between units -------------------------------------------------------------------------------------------

static leat_unit_place_t cotangent_place(const leat_unit_places_t *p, leat_unit_given_t given) {
  uint32_t port = given.port + (given.symbol ? p->units->all.data[given.unit].ins.count : 0);
  return (leat_unit_place_t){false, p->units->g->values.count + p->given_first[given.unit] + port};
}

static leat_unit_place_t clip_place(const leat_unit_places_t *p, uint32_t optimizer) {
  return (leat_unit_place_t){false, p->units->g->values.count + p->given_count + optimizer};
}

// --- symbols of units -----------------------------------------------------------------------------------------------

static leat_symbol_id_t symbol_of(const leat_units_t *units, leat_value_id_t v) {
  return leat_op_symbol(units->g, leat_graph_op(units->g, leat_graph_value(units->g, v)->op));
}

// A result that o0 keeps lies in its symbol, any other in memory between units.
static leat_status_t place_result(leat_unit_places_t *p, leat_value_id_t v, leat_unit_place_t *out_place) {
  const uint32_t kept_by = p->units->kept_by[v];
  *out_place = (leat_unit_place_t){false, v};
  if (kept_by == 0) return NULL;
  return place_symbol(p, leat_op_symbol(p->units->g, leat_graph_op(p->units->g, kept_by - 1)), out_place);
}

// What the compiler makes under a role: of symbol or number `of` of the program.
static leat_status_t place_role(leat_unit_places_t *p, leat_symbol_role_t role, uint32_t of,
                                leat_unit_place_t *out_place) {
  leat_symbol_id_t id;
  LEAT_TRY(leat_graph_role_symbol(p->table, role, of, &id));
  return place_symbol(p, id, out_place);
}

static leat_status_t place_named(leat_unit_places_t *p, const char *name, leat_unit_place_t *out_place) {
  leat_symbol_id_t id;
  LEAT_TRY(leat_graph_name_symbol(p->table, name, &id));
  return place_symbol(p, id, out_place);
}

// A gradient that a norm reads; one that no unit computes is zero.
static leat_status_t place_gradient(leat_unit_places_t *p, uint32_t unit, uint32_t port, leat_unit_place_t *out_place) {
  leat_symbol_id_t id;
  leat_value_id_t v = p->units->all.data[unit].symbols.data[port].value;
  LEAT_TRY(leat_graph_role_symbol(p->table, LEAT_MADE_GRAD, symbol_of(p->units, v), &id));
  if (id < p->index_of.count && p->index_of.data[id] != 0) return place_symbol(p, id, out_place);
  *out_place = cotangent_place(p, (leat_unit_given_t){unit, port, true});
  return NULL;
}

// What belongs to an end of the unit: its cotangent, or the state of an optimizer.
static leat_status_t place_owned(leat_unit_places_t *p, uint32_t unit_index, const leat_symbol_t *end,
                                 leat_symbol_role_t role, leat_unit_place_t *out_place) {
  const leat_unit_t *unit = &p->units->all.data[unit_index];
  const uint32_t k = end->number;
  switch (end->role) {
    case LEAT_MADE_UNIT_IN:
      *out_place = cotangent_place(p, (leat_unit_given_t){unit_index, k, false});
      return NULL;
    case LEAT_MADE_UNIT_SEED:
      *out_place = cotangent_place(p, unit->outs.data[k].seed);
      return NULL;
    case LEAT_MADE_UNIT_SEED_IN:
      *out_place = cotangent_place(p, unit->ins.data[k].before);
      return NULL;
    case LEAT_MADE_UNIT_SEED_SYMBOL:
      *out_place = cotangent_place(p, unit->symbols.data[k].before);
      return NULL;
    case LEAT_MADE_UNIT_SYMBOL:
      if (role != LEAT_MADE_GRAD || !unit->symbols.data[k].partial)
        return place_role(p, role, symbol_of(p->units, unit->symbols.data[k].value), out_place);
      *out_place = cotangent_place(p, (leat_unit_given_t){unit_index, k, true});
      return NULL;
    default: {  // an output of the program
      leat_unit_place_t owner;
      LEAT_TRY(place_named(p, end->name, &owner));
      return place_role(p, role, p->symbols.data[owner.index], out_place);
    }
  }
}

leat_status_t leat_unit_place(leat_unit_places_t *p, uint32_t unit_index, const leat_graph_t *g, leat_symbol_id_t id,
                              leat_unit_place_t *out_place) {
  const leat_symbol_t *symbol = leat_graph_symbol(g, id);
  const leat_symbol_role_t role = (leat_symbol_role_t)symbol->role;
  const uint32_t k = symbol->number;
  if (symbol->owner != LEAT_NONE)
    return place_owned(p, unit_index, leat_graph_symbol(g, symbol->owner), role, out_place);
  if (role == LEAT_MADE_NONE) return place_named(p, symbol->name, out_place);
  if (unit_index == LEAT_NONE) return place_role(p, role, k, out_place);
  const leat_unit_t *unit = &p->units->all.data[unit_index];
  switch (role) {
    case LEAT_MADE_UNIT_IN:
      return place_result(p, unit->ins.data[k].value, out_place);
    case LEAT_MADE_UNIT_OUT:
      return place_result(p, unit->outs.data[k].value, out_place);
    case LEAT_MADE_UNIT_SYMBOL:
      return place_symbol(p, symbol_of(p->units, unit->symbols.data[k].value), out_place);
    case LEAT_MADE_UNIT_GRADIENT:
      return place_gradient(p, unit_index, k, out_place);
    case LEAT_MADE_UNIT_CLIP:
      *out_place = clip_place(p, k);
      return NULL;
    case LEAT_MADE_UNIT_NORM:
      *out_place = clip_place(p, unit->optimizers.data[0]);
      return NULL;
    case LEAT_MADE_STEP:
      return place_role(p, role, unit->optimizers.data[k], out_place);
    default:
      return place_role(p, role, k, out_place);
  }
}

// --- counters -------------------------------------------------------------------------------------------------------

static bool has(const leat_unit_places_t *p, leat_symbol_role_t role, uint32_t number) {
  for (uint32_t i = 0; i < p->symbols.count; ++i) {
    const leat_symbol_t *symbol = leat_graph_symbol(p->table, p->symbols.data[i]);
    if (symbol->role == role && symbol->number == number) return true;
  }
  return false;
}

leat_status_t leat_unit_counter_graph(const leat_unit_places_t *p, leat_graph_t **out_graph) {
  leat_builder_t b;
  LEAT_TRY(leat_graph_create(out_graph));
  leat_builder_init(&b, *out_graph);
  if (has(p, LEAT_MADE_RANDOM, 0)) leat_lower_count_draw(&b);
  b.type = LEAT_TYPE_OPT;
  for (uint32_t i = 0; i < p->units->optimizers.count; ++i) {
    leat_value_id_t next;
    if (has(p, LEAT_MADE_STEP, i)) (void)leat_optimizer_count_step(&b, i, &next);
  }
  leat_status_t status = leat_builder_take_status(&b);
  if (status == NULL && (*out_graph)->ops.count != 0) return NULL;
  leat_graph_destroy(*out_graph);
  *out_graph = NULL;
  return status;
}
