// SPDX-License-Identifier: Apache-2.0
// The graphs of the parts of a program with loops.
#include "ir/rebuild.h"
#include "unit/looped.h"

typedef struct writer_s {
  const leat_looped_t *l;
  uint32_t part;
  leat_builder_t b;
  leat_value_id_t *map;  // value of the program (or of the body) -> of the part
} writer_t;

static leat_status_t at_op(writer_t *w, const leat_op_t *op, uint8_t type) {
  w->b.type = type;
  w->b.detached = op->detached;
  return leat_graph_add_origin(w->b.graph, &w->l->g->origins.data[op->origin], &w->b.origin);
}

// --- stretches ------------------------------------------------------------------------------------------------------

static leat_status_t import(writer_t *w, leat_value_id_t v);

static leat_status_t copy_op(writer_t *w, const leat_op_t *op) {
  leat_value_id_t *inputs = leat_alloc((op->input_count + 1u) * sizeof *inputs);
  leat_op_id_t copy = 0;
  leat_status_t status = inputs == NULL ? leat_out_of_memory() : NULL;
  for (uint32_t i = 0; i < op->input_count && status == NULL; i++) {
    const leat_value_id_t x = leat_op_input(w->l->g, op, i);
    status = import(w, x);
    inputs[i] = w->map[x];
  }
  if (status == NULL) status = at_op(w, op, op->type);
  if (status == NULL) status = leat_graph_import_op(&w->b, w->l->g, op, inputs, &copy);
  leat_free(inputs);
  LEAT_TRY(status);
  for (uint32_t i = 0; i < op->result_count; i++)
    w->map[op->result_first + i] = leat_graph_op(w->b.graph, copy)->result_first + i;
  return NULL;
}

// A symbol of the program under its own name. What forward writes to is not fixed for a part that does not write it.
static leat_status_t copy_symbol(writer_t *w, const leat_op_t *op) {
  const leat_graph_t *g = w->l->g;
  const leat_value_t type = *leat_graph_value(g, op->result_first);
  leat_symbol_kind_t kind = leat_op_word(g, op, LEAT_ATTR_KIND, LEAT_KIND_INPUT);
  const bool weight = kind == LEAT_KIND_PARAM || kind == LEAT_KIND_BUFFER;
  if (weight && !leat_graph_is_fixed(g, op)) kind = LEAT_KIND_STATE;
  LEAT_TRY(at_op(w, op, op->type));
  w->map[op->result_first] = leat_b_symbol(&w->b, leat_b_named(&w->b, leat_op_name(g, op)), kind,
                                           (leat_dtype_t)type.dtype, type.rank, type.dims);
  return leat_builder_take_status(&w->b);
}

// `v` as a symbol that another part stores, as end `end`.
static leat_status_t add_in(writer_t *w, leat_value_id_t v, uint32_t end) {
  const leat_value_t type = *leat_graph_value(w->l->g, v);
  assert(end != LEAT_NONE);
  w->map[v] = leat_b_symbol(&w->b, leat_b_role(&w->b, LEAT_MADE_PART_IN, end), LEAT_KIND_INPUT,
                            (leat_dtype_t)type.dtype, type.rank, type.dims);
  return leat_builder_take_status(&w->b);
}

// Makes value `v` of the program there.
static leat_status_t import(writer_t *w, leat_value_id_t v) {
  const leat_op_id_t id = leat_graph_value(w->l->g, v)->op;
  const leat_op_t *op = leat_graph_op(w->l->g, id);
  const uint32_t gradient = leat_looped_gradient(w->l, v, w->part);
  if (w->map[v] != LEAT_NONE) return NULL;
  if (gradient != LEAT_NONE) return add_in(w, v, gradient);
  if (leat_op_role(op->kind) == LEAT_ROLE_SYMBOL)
    return leat_looped_is_overwritten(w->l, v, w->part) ? add_in(w, v, w->l->end_of[v]) : copy_symbol(w, op);
  if (w->l->part_of[id] == LEAT_NONE || w->l->part_of[id] == w->part) return copy_op(w, op);
  return add_in(w, v, w->l->end_of[v]);
}

static leat_status_t copy_store(writer_t *w, const leat_op_t *op, uint8_t type) {
  const leat_graph_t *g = w->l->g;
  const leat_value_id_t x = leat_op_input(g, op, 0);
  LEAT_TRY(import(w, x));
  LEAT_TRY(at_op(w, op, type));
  leat_b_store(&w->b, leat_b_named(&w->b, leat_op_name(g, op)), leat_op_word(g, op, LEAT_ATTR_KIND, LEAT_STORE_OUTPUT),
               w->map[x]);
  return leat_builder_take_status(&w->b);
}

// An update's symbol is there, whether the part reads it or not.
static leat_status_t import_updated(writer_t *w, const leat_op_t *op) {
  if (!leat_op_is_store(w->l->g, op, LEAT_STORE_UPDATE)) return NULL;
  const leat_symbol_t *symbol = leat_graph_symbol(w->l->g, leat_op_symbol(w->l->g, op));
  return symbol->op == LEAT_NONE ? NULL : import(w, leat_graph_op(w->l->g, symbol->op)->result_first);
}

static leat_status_t write_stretch(writer_t *w, uint8_t type) {
  const leat_looped_t *l = w->l;
  for (leat_op_id_t id = 0; id < l->g->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(l->g, id);
    if (l->part_of[id] != w->part) continue;
    LEAT_TRY(import_updated(w, op));
    if (leat_op_is_statement(op->kind))
      LEAT_TRY(copy_store(w, op, type));
    else if (w->map[op->result_first] == LEAT_NONE)
      LEAT_TRY(copy_op(w, op));
  }
  for (uint32_t i = 0; i < l->ends.count; i++) {
    const leat_looped_end_t *end = &l->ends.data[i];
    if (end->part != w->part) continue;
    LEAT_TRY(import(w, end->value));
    LEAT_TRY(at_op(w, leat_graph_op(l->g, leat_graph_value(l->g, end->value)->op), type));
    leat_b_store(&w->b, leat_b_role(&w->b, LEAT_MADE_PART_OUT, i), LEAT_STORE_INTERNAL, w->map[end->value]);
    LEAT_TRY(leat_builder_take_status(&w->b));
  }
  return NULL;
}

// --- bodies ---------------------------------------------------------------------------------------------------------

// A weight is one to the body, too, so that it is packed once.
static leat_symbol_kind_t kind_of_end(const leat_graph_t *g, const leat_op_t *loop_op, const leat_loop_t *loop,
                                      const leat_symbol_t *end) {
  if (end->role != LEAT_MADE_LOOP_FIXED) return LEAT_KIND_INPUT;
  const leat_value_id_t x = leat_op_input(g, loop_op, loop->carried + loop->scanned + end->number);
  const leat_op_t *maker = leat_graph_op(g, leat_graph_value(g, x)->op);
  return leat_op_role(maker->kind) == LEAT_ROLE_SYMBOL && leat_graph_is_fixed(g, maker) ? LEAT_KIND_PARAM
                                                                                        : LEAT_KIND_INPUT;
}

// Does each trip update carried value `i` in its place?
static bool is_in_place(const leat_looped_t *l, leat_op_id_t id, uint32_t i) { return l->places[id][i].step == 0; }

// A stack that carried slots are needs no store.
static bool is_slot(const leat_looped_t *l, leat_op_id_t id, const leat_loop_t *loop, const leat_symbol_t *end) {
  if (end->role != LEAT_MADE_LOOP_STACKED) return false;
  const leat_op_t *op = leat_graph_op(l->g, id);
  const leat_looped_place_t *places = l->places[id];
  for (uint32_t i = 0; i < loop->carried; i++)
    if (places[i].index == places[op->input_count + loop->carried + end->number].index) return true;
  return false;
}

static leat_status_t write_end(writer_t *w, leat_op_id_t loop_id, const leat_loop_t *loop, const leat_symbol_t *end,
                               const leat_op_t *op) {
  const leat_op_t *loop_op = leat_graph_op(w->l->g, loop_id);
  const bool carried = end->role == LEAT_MADE_LOOP_CARRIED || end->role == LEAT_MADE_LOOP_NEXT;
  const bool in_place = carried && is_in_place(w->l, loop_id, end->number);
  const leat_symbol_role_t role = in_place ? LEAT_MADE_LOOP_CARRIED : (leat_symbol_role_t)end->role;
  const leat_symbol_id_t symbol = leat_b_role(&w->b, role, end->number);
  if (leat_op_is_statement(op->kind)) {
    if (!is_slot(w->l, loop_id, loop, end))
      leat_b_store(&w->b, symbol, in_place ? LEAT_STORE_UPDATE : LEAT_STORE_INTERNAL,
                   w->map[leat_op_input(loop->body, op, 0)]);
  } else {
    const leat_value_t type = *leat_graph_value(loop->body, op->result_first);
    const leat_symbol_kind_t kind = in_place ? LEAT_KIND_STATE : kind_of_end(w->l->g, loop_op, loop, end);
    w->map[op->result_first] = leat_b_symbol(&w->b, symbol, kind, (leat_dtype_t)type.dtype, type.rank, type.dims);
  }
  return leat_builder_take_status(&w->b);
}

// An op of a body is of its own type, but not before that of the loop, and where its loop is if it does not say where.
static leat_status_t at_body_op(writer_t *w, const leat_op_t *loop_op, const leat_graph_t *body, const leat_op_t *op) {
  LEAT_TRY(at_op(w, loop_op, op->type > loop_op->type ? op->type : loop_op->type));
  if (op->origin == 0) return NULL;
  return leat_graph_add_origin(w->b.graph, &body->origins.data[op->origin], &w->b.origin);
}

static leat_status_t write_body_op(writer_t *w, leat_op_id_t loop_id, const leat_loop_t *loop, const leat_op_t *op) {
  const leat_graph_t *body = loop->body;
  const leat_symbol_id_t named = leat_op_symbol(body, op);
  LEAT_TRY(at_body_op(w, leat_graph_op(w->l->g, loop_id), body, op));
  if (named != LEAT_NONE) {
    return write_end(w, loop_id, loop, leat_graph_symbol(body, named), op);
  }
  leat_value_id_t *inputs = leat_alloc((op->input_count + 1u) * sizeof *inputs);
  leat_op_id_t copy = 0;
  if (inputs == NULL) return leat_out_of_memory();
  for (uint32_t i = 0; i < op->input_count; i++) inputs[i] = w->map[leat_op_input(body, op, i)];
  leat_status_t status = leat_graph_import_op(&w->b, body, op, inputs, &copy);
  leat_free(inputs);
  LEAT_TRY(status);
  for (uint32_t i = 0; i < op->result_count; i++)
    w->map[op->result_first + i] = leat_graph_op(w->b.graph, copy)->result_first + i;
  return NULL;
}

static leat_status_t write_body(writer_t *w, leat_op_id_t loop_id) {
  const leat_op_t *loop_op = leat_graph_op(w->l->g, loop_id);
  const leat_loop_t loop = leat_loop_of(w->l->g, loop_op);
  for (leat_op_id_t id = 0; id < loop.body->ops.count; id++)
    LEAT_TRY(write_body_op(w, loop_id, &loop, leat_graph_op(loop.body, id)));
  return NULL;
}

// --- any ------------------------------------------------------------------------------------------------------------

leat_status_t leat_looped_graph(const leat_looped_t *looped, uint32_t part, leat_graph_t **out_graph) {
  const leat_looped_part_t *p = &looped->parts.data[part];
  const bool body = p->role == LEAT_LOOPED_BODY;
  const uint32_t values =
      body ? leat_loop_of(looped->g, leat_graph_op(looped->g, p->loop)).body->values.count : looped->g->values.count;
  writer_t w = {.l = looped, .part = part, .map = leat_alloc((values + 1u) * sizeof *w.map)};
  *out_graph = NULL;
  if (w.map == NULL) return leat_out_of_memory();
  for (uint32_t v = 0; v < values; v++) w.map[v] = LEAT_NONE;
  leat_status_t status = leat_graph_create(out_graph);
  leat_builder_init(&w.b, *out_graph);
  if (status == NULL) status = body ? write_body(&w, p->loop) : write_stretch(&w, p->type);
  leat_free(w.map);
  if (status == NULL) return NULL;
  leat_graph_destroy(*out_graph);
  *out_graph = NULL;
  return status;
}

leat_looped_place_t leat_looped_place(const leat_looped_t *looped, uint32_t part, const leat_symbol_t *symbol) {
  const leat_looped_part_t *p = &looped->parts.data[part];
  if (symbol->role == LEAT_MADE_PART_IN || symbol->role == LEAT_MADE_PART_OUT)
    return looped->ends.data[symbol->number].place;
  if (p->role != LEAT_LOOPED_BODY)
    return (leat_looped_place_t){.symbol = true, .index = leat_graph_find_symbol(looped->g, symbol->name)};
  const leat_op_t *op = leat_graph_op(looped->g, p->loop);
  const leat_loop_t loop = leat_loop_of(looped->g, op);
  const uint32_t first[] = {[LEAT_MADE_LOOP_CARRIED] = 0,
                            [LEAT_MADE_LOOP_SCANNED] = loop.carried,
                            [LEAT_MADE_LOOP_FIXED] = loop.carried + loop.scanned,
                            [LEAT_MADE_LOOP_NEXT] = op->input_count,
                            [LEAT_MADE_LOOP_STACKED] = op->input_count + loop.carried};
  return looped->places[p->loop][first[symbol->role] + symbol->number];
}
