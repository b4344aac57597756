// SPDX-License-Identifier: Apache-2.0
// Which units a program has, and what each reads and gives away. The graphs of units are written by unit_graph.c.
#include "unit/unit.h"

#include "cut/group.h"
#include "cut/pieces.h"
#include "grad/grad.h"
#include "grad/optimizer.h"
#include "opt/opt.h"

typedef struct maker_s {
  const leat_graph_t *g;
  leat_units_t *u;
  bool trains;
  bool *lives;               // per op: something that is kept depends on it
  bool *needs;               // per value: a symbol that wants a gradient reaches it
  bool *reached;             // per value: it reaches a seeded output
  uint32_t *port;            // per value: port of the unit at hand, valid where `seen` says so
  uint32_t *seen;            // per value: unit + 1 that was at hand
  leat_unit_given_t *given;  // per value: the cotangent that the unit at hand finds
  leat_pieces_t pieces;
  uint32_t *piece_of;  // per op
} maker_t;

static const leat_op_t *producer(const leat_graph_t *g, leat_value_id_t v) {
  return leat_graph_op(g, leat_graph_value(g, v)->op);
}

// --- facts of values ------------------------------------------------------------------------------------------------

static bool any_reached(const maker_t *m, const leat_op_t *op) {
  for (uint32_t i = 0; i < op->result_count; ++i) {
    if (m->reached[op->result_first + i]) return true;
  }
  return false;
}

// --- the list of units ----------------------------------------------------------------------------------------------

static leat_unit_t *add_unit(maker_t *m, leat_unit_role_t role) {
  leat_unit_t *unit = leat_array_push(&m->u->all);
  if (unit != NULL) unit->role = role;
  return unit;
}

static leat_status_t find_pieces(maker_t *m) {
  memset(m->piece_of, 0xff, (m->g->ops.count + 1u) * sizeof *m->piece_of);
  for (leat_op_id_t id = 0; id < m->g->ops.count; ++id) {
    if (leat_group_takes(leat_graph_op(m->g, id)->kind) && m->lives[id])
      LEAT_TRY(leat_pieces_add_op(&m->pieces, m->g, id, leat_graph_op(m->g, id)->group, m->piece_of));
  }
  return NULL;
}

static leat_status_t list_groups(maker_t *m) {
  uint32_t count = m->pieces.all.count, at = 0;
  if (count == 0) return NULL;
  leat_unit_t *units = leat_array_push_n(&m->u->all, count);
  if (units == NULL) return leat_out_of_memory();
  for (uint32_t i = 0; i < count; ++i) units[m->pieces.all.data[i].order].group = m->pieces.all.data[i].label;
  for (uint32_t pass = 0; pass < 2; ++pass) {
    for (leat_op_id_t id = 0; id < m->g->ops.count; ++id) {
      if (m->piece_of[id] == LEAT_NONE) continue;
      uint32_t place = m->pieces.all.data[m->piece_of[id]].order;
      m->u->unit_of[id] = place;
      if (pass == 1) m->u->order[units[place].op_first + units[place].op_count] = id;
      units[place].op_count++;
    }
    for (uint32_t i = 0; i < count && pass == 0; ++i) {
      units[i].op_first = at;
      at += units[i].op_count;
      units[i].op_count = 0;
    }
  }
  return NULL;
}

static leat_status_t add_statement(leat_unit_t *unit, leat_op_id_t id) {
  leat_op_id_t *slot = leat_array_push(&unit->statements);
  if (slot == NULL) return leat_out_of_memory();
  *slot = id;
  return NULL;
}

// Outputs go to the unit that computes them, updates to one at the end.
static leat_status_t list_statements(maker_t *m) {
  uint32_t rest = LEAT_NONE;
  for (leat_op_id_t id = 0; id < m->g->ops.count; ++id) {
    const leat_op_t *op = leat_graph_op(m->g, id);
    if (leat_op_role(op->kind) != LEAT_ROLE_KEEP) continue;
    if (leat_op_is_primitive(op->kind)) {
      m->u->kept_by[leat_op_input(m->g, op, 0)] = id + 1;
      continue;
    }
    uint32_t unit = m->u->unit_of[leat_graph_value(m->g, leat_op_input(m->g, op, 0))->op];
    if (unit == LEAT_NONE && rest == LEAT_NONE) {
      if (add_unit(m, LEAT_UNIT_REST) == NULL) return leat_out_of_memory();
      rest = m->u->all.count - 1;
    }
    LEAT_TRY(add_statement(&m->u->all.data[unit == LEAT_NONE ? rest : unit], id));
  }
  leat_unit_t *unit = NULL;  // one for all: an update may read what another one writes
  for (leat_op_id_t id = 0; id < m->g->ops.count; ++id) {
    if (leat_op_role(leat_graph_op(m->g, id)->kind) != LEAT_ROLE_UPDATE) continue;
    if (unit == NULL && (unit = add_unit(m, LEAT_UNIT_LATE)) == NULL) return leat_out_of_memory();
    LEAT_TRY(add_statement(unit, id));
  }
  return NULL;
}

// --- ports ----------------------------------------------------------------------------------------------------------

static leat_status_t add_port(maker_t *m, uint32_t unit_index, leat_value_id_t v, bool gives) {
  leat_unit_t *unit = &m->u->all.data[unit_index];
  const leat_op_t *op = producer(m->g, v);
  bool symbol = leat_op_role(op->kind) == LEAT_ROLE_SYMBOL;
  if (!symbol && (!leat_group_takes(op->kind) || m->u->unit_of[leat_graph_value(m->g, v)->op] == unit_index))
    return NULL;
  if (m->seen[v] != unit_index + 1) {
    leat_unit_port_t *port = symbol ? leat_array_push(&unit->symbols) : leat_array_push(&unit->ins);
    if (port == NULL) return leat_out_of_memory();
    port->value = v;
    m->seen[v] = unit_index + 1;
    m->port[v] = (symbol ? unit->symbols.count : unit->ins.count) - 1;
  }
  leat_unit_port_t *port = symbol ? &unit->symbols.data[m->port[v]] : &unit->ins.data[m->port[v]];
  port->gives = port->gives || gives;
  return NULL;
}

static leat_status_t add_ports_of(maker_t *m, uint32_t unit, const leat_op_t *op, bool gives) {
  for (uint32_t i = 0; i < op->input_count; ++i) {
    leat_value_id_t v = leat_op_input(m->g, op, i);
    if (v != LEAT_NONE) LEAT_TRY(add_port(m, unit, v, gives && m->needs[v] && leat_grad_flows(m->g, op, i)));
  }
  return NULL;
}

static leat_status_t find_ports(maker_t *m, uint32_t index) {
  const leat_unit_t *unit = &m->u->all.data[index];
  for (uint32_t i = 0; i < unit->op_count; ++i) {
    const leat_op_t *op = leat_graph_op(m->g, m->u->order[unit->op_first + i]);
    LEAT_TRY(add_ports_of(m, index, op, m->trains && any_reached(m, op)));
  }
  for (uint32_t i = 0; i < m->u->all.data[index].statements.count; ++i) {
    const leat_op_t *op = leat_graph_op(m->g, m->u->all.data[index].statements.data[i]);
    bool seeded = leat_op_role(op->kind) == LEAT_ROLE_KEEP && m->reached[leat_op_input(m->g, op, 0)];
    LEAT_TRY(add_ports_of(m, index, op, m->trains && seeded));
  }
  return NULL;
}

static leat_status_t find_out(leat_unit_t *unit, leat_value_id_t v, leat_unit_out_t **out_out) {
  for (uint32_t i = unit->outs.count; i-- > 0;) {
    *out_out = &unit->outs.data[i];
    if ((*out_out)->value == v) return NULL;
  }
  *out_out = leat_array_push(&unit->outs);
  if (*out_out == NULL) return leat_out_of_memory();
  (*out_out)->value = v;
  return NULL;
}

// Reverse mode meets the readers of a value from the last to the first. Each adds to what it finds and passes it on;
// the unit that computes the value, or the first that reads a symbol, gets the whole.
static void pass_on(maker_t *m, uint32_t unit, leat_unit_port_t *port, uint32_t index, bool symbol) {
  leat_unit_given_t *given = &m->given[port->value];
  port->before = (leat_unit_given_t){.unit = LEAT_NONE};
  if (!port->gives) return;
  port->before = *given;
  if (symbol && given->unit != LEAT_NONE) m->u->all.data[given->unit].symbols.data[given->port].partial = true;
  *given = (leat_unit_given_t){unit, index, symbol};
}

static leat_status_t answer_ports(maker_t *m, uint32_t index) {
  for (uint32_t i = 0; i < m->u->all.data[index].symbols.count; ++i)
    pass_on(m, index, &m->u->all.data[index].symbols.data[i], i, true);
  for (uint32_t i = 0; i < m->u->all.data[index].ins.count; ++i) {
    leat_unit_port_t *port = &m->u->all.data[index].ins.data[i];
    leat_unit_out_t *out;
    pass_on(m, index, port, i, false);
    LEAT_TRY(find_out(&m->u->all.data[m->u->unit_of[leat_graph_value(m->g, port->value)->op]], port->value, &out));
  }
  for (uint32_t i = 0; i < m->u->all.data[index].outs.count; ++i) {
    leat_unit_out_t *out = &m->u->all.data[index].outs.data[i];
    out->seed = m->given[out->value];
  }
  return NULL;
}

// o0 keeps every result: a result that is kept is an out even if nobody else reads it.
static leat_status_t add_kept(maker_t *m) {
  for (leat_value_id_t v = 0; v < m->g->values.count; ++v) {
    leat_unit_out_t *out;
    uint32_t unit = m->u->unit_of[leat_graph_value(m->g, v)->op];
    if (m->u->kept_by[v] != 0 && unit != LEAT_NONE) LEAT_TRY(find_out(&m->u->all.data[unit], v, &out));
  }
  return NULL;
}

// --- random streams -------------------------------------------------------------------------------------------------

static bool dithers(const leat_graph_t *g) {
  for (leat_op_id_t id = 0; id < g->ops.count; ++id) {
    if (leat_op_attr(g, leat_graph_op(g, id), LEAT_ATTR_DITHERED) != NULL) return true;
  }
  return false;
}

// Of a unit without draws, where its updates draw: its number, so that equal units draw other numbers.
static void find_stream(maker_t *m, leat_unit_t *unit) {
  bool found = false;
  for (uint32_t i = 0; i < unit->op_count; ++i) {
    const leat_attr_t *attr =
        leat_op_attr(m->g, leat_graph_op(m->g, m->u->order[unit->op_first + i]), LEAT_ATTR_STREAM);
    if (attr != NULL && (!found || attr->v.i < unit->stream)) unit->stream = attr->v.i;
    found = found || attr != NULL;
  }
  if (!found && dithers(m->g)) unit->stream = unit - m->u->all.data;
}

// --- optimizers -----------------------------------------------------------------------------------------------------

static leat_status_t deal_out_optimizers(maker_t *m) {
  for (leat_op_id_t id = 0; id < m->g->ops.count && m->trains; ++id) {
    const leat_op_t *op = leat_graph_op(m->g, id);
    if (leat_op_role(op->kind) != LEAT_ROLE_OPTIMIZER) continue;
    leat_op_id_t *statement = leat_array_push(&m->u->optimizers);
    if (statement == NULL) return leat_out_of_memory();
    *statement = id;
    uint32_t number = m->u->optimizers.count - 1;
    for (uint32_t i = 0; i < op->input_count; ++i) {
      leat_value_id_t v = leat_op_input(m->g, op, i);
      if (m->given[v].unit == LEAT_NONE) continue;
      leat_unit_t *unit = &m->u->all.data[m->given[v].unit];
      if (unit->optimizers.count != 0 && unit->optimizers.data[unit->optimizers.count - 1] == number) continue;
      uint32_t *slot = leat_array_push(&unit->optimizers);
      if (slot == NULL) return leat_out_of_memory();
      *slot = number;
    }
  }
  return NULL;
}

static leat_status_t list_norms(maker_t *m) {
  for (uint32_t i = 0; i < m->u->optimizers.count; ++i) {
    const leat_op_t *op = leat_graph_op(m->g, m->u->optimizers.data[i]);
    if (!leat_optimizer_clips(m->g, op)) continue;
    leat_unit_t *unit = add_unit(m, LEAT_UNIT_NORM);
    uint32_t *slot = unit == NULL ? NULL : leat_array_push(&unit->optimizers);
    if (slot == NULL) return leat_out_of_memory();
    *slot = i;
    for (uint32_t k = 0; k < op->input_count; ++k) {
      leat_value_id_t v = leat_op_input(m->g, op, k);
      if (m->given[v].unit == LEAT_NONE) continue;
      leat_unit_port_t *port = leat_array_push(&unit->symbols);
      if (port == NULL) return leat_out_of_memory();
      port->value = v;
    }
  }
  return NULL;
}

// --- all of it ------------------------------------------------------------------------------------------------------

static leat_status_t make(maker_t *m) {
  size_t ops = m->g->ops.count + 1u, values = m->g->values.count + 1u;
  m->u->order = leat_alloc_zero(ops, sizeof *m->u->order);
  m->u->unit_of = leat_alloc_zero(ops, sizeof *m->u->unit_of);
  m->u->kept_by = leat_alloc_zero(values, sizeof *m->u->kept_by);
  m->lives = leat_alloc_zero(ops, sizeof *m->lives);
  m->piece_of = leat_alloc_zero(ops, sizeof *m->piece_of);
  m->needs = leat_alloc_zero(values, sizeof *m->needs);
  m->reached = leat_alloc_zero(values, sizeof *m->reached);
  m->port = leat_alloc_zero(values, sizeof *m->port);
  m->seen = leat_alloc_zero(values, sizeof *m->seen);
  m->given = leat_alloc_zero(values, sizeof *m->given);
  if (m->u->order == NULL || m->u->unit_of == NULL || m->u->kept_by == NULL || m->lives == NULL ||
      m->piece_of == NULL || m->needs == NULL || m->reached == NULL || m->port == NULL || m->seen == NULL ||
      m->given == NULL) {
    return leat_out_of_memory();
  }
  memset(m->u->unit_of, 0xff, ops * sizeof *m->u->unit_of);
  for (size_t v = 0; v < values; ++v) m->given[v].unit = LEAT_NONE;
  leat_opt_mark_living(m->g, m->lives);
  if (m->trains) leat_grad_mark(m->g, m->needs, m->reached);
  LEAT_TRY(find_pieces(m));
  LEAT_TRY(list_groups(m));
  LEAT_TRY(list_statements(m));
  for (uint32_t i = 0; i < m->u->all.count; ++i) {
    LEAT_TRY(find_ports(m, i));
    find_stream(m, &m->u->all.data[i]);
  }
  LEAT_TRY(add_kept(m));
  for (uint32_t i = m->u->all.count; i-- > 0;) LEAT_TRY(answer_ports(m, i));
  LEAT_TRY(deal_out_optimizers(m));
  return list_norms(m);
}

bool leat_units_suit(const leat_graph_t *g) {
  for (leat_op_id_t id = 0; id < g->ops.count; ++id) {
    const leat_op_t *op = leat_graph_op(g, id);
    if (leat_op_role(op->kind) != LEAT_ROLE_UPDATE) continue;
    if (leat_graph_is_optimized(g, leat_op_input(g, op, 0)) || leat_op_int(g, op, LEAT_ATTR_SHARED, 0) != 0)
      return false;
  }
  return g->groups.count != 0;
}

leat_status_t leat_units_make(const leat_graph_t *g, bool trains, leat_units_t *out_units) {
  *out_units = (leat_units_t){.g = g};
  maker_t m = {.g = g, .u = out_units, .trains = trains};
  leat_status_t status = make(&m);
  leat_free(m.lives);
  leat_free(m.piece_of);
  leat_free(m.needs);
  leat_free(m.reached);
  leat_free(m.port);
  leat_free(m.seen);
  leat_free(m.given);
  leat_pieces_deinit(&m.pieces);
  if (status != NULL) leat_units_deinit(out_units);
  return status;
}

void leat_units_deinit(leat_units_t *units) {
  for (uint32_t i = 0; i < units->all.count; ++i) {
    leat_unit_t *unit = &units->all.data[i];
    leat_array_free(&unit->ins);
    leat_array_free(&unit->symbols);
    leat_array_free(&unit->outs);
    leat_array_free(&unit->statements);
    leat_array_free(&unit->optimizers);
  }
  leat_array_free(&units->all);
  leat_array_free(&units->optimizers);
  leat_free(units->order);
  leat_free(units->unit_of);
  leat_free(units->kept_by);
  memset(units, 0, sizeof *units);
}
