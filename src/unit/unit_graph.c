// SPDX-License-Identifier: Apache-2.0
// The graphs of units: a copy of the unit's ops between canonical symbols and outputs.
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "grad/optimizer.h"
#include "ir/formula.h"
#include "ir/rebuild.h"
#include "lower/lower.h"
#include "unit/unit.h"

enum { NAME_BYTES = 512, ATTRS_MAX = 32 };

typedef struct writer_s {
  const leat_units_t *units;
  const leat_unit_t *unit;
  leat_graph_t *to;
  leat_builder_t b;
  leat_value_id_t *map;  // value of the program -> value of the unit; LEAT_NONE: not there yet
  LEAT_ARRAY(leat_value_id_t) mapped;
} writer_t;

static leat_status_t append(writer_t *w, const leat_op_desc_t *desc, leat_value_id_t *out_first) {
  leat_op_id_t id;
  LEAT_TRY(leat_graph_append(w->to, desc, &id));
  if (out_first != NULL) *out_first = leat_graph_op(w->to, id)->result_first;
  return NULL;
}

// End `number` of that role, which stands for `value` of the program.
static leat_status_t add_symbol(writer_t *w, leat_symbol_role_t role, uint32_t number, leat_value_id_t value,
                                leat_symbol_kind_t kind, bool wants) {
  const leat_graph_t *g = w->units->g;
  leat_symbol_id_t symbol;
  LEAT_TRY(leat_graph_role_symbol(w->to, role, number, &symbol));
  leat_attr_t attrs[] = {leat_attr_i(LEAT_ATTR_NAME, symbol), leat_attr_i(LEAT_ATTR_KIND, kind),
                         leat_attr_i(LEAT_ATTR_REQUIRES_GRAD, wants)};
  leat_op_desc_t desc = {.kind = LEAT_TRACED_SYM,
                         .origin = w->b.origin,
                         .attrs = attrs,
                         .attr_count = 3,
                         .results = leat_graph_value(g, value),
                         .result_count = 1};
  leat_value_id_t *slot = leat_array_push(&w->mapped);
  if (slot == NULL) return leat_out_of_memory();
  *slot = value;
  return append(w, &desc, &w->map[value]);
}

static leat_status_t add_output(writer_t *w, leat_symbol_role_t role, uint32_t number, leat_value_id_t v,
                                leat_seed_t seed) {
  leat_symbol_id_t symbol;
  LEAT_TRY(leat_graph_role_symbol(w->to, role, number, &symbol));
  leat_attr_t attrs[] = {leat_attr_i(LEAT_ATTR_NAME, symbol), leat_attr_i(LEAT_ATTR_SEED, seed)};
  leat_op_desc_t desc = {.kind = LEAT_TRACED_OUTPUT,
                         .origin = leat_graph_op(w->to, leat_graph_value(w->to, v)->op)->origin,
                         .inputs = &v,
                         .input_count = 1,
                         .attrs = attrs,
                         .attr_count = 2};
  return append(w, &desc, NULL);
}

static leat_status_t copy_origin(writer_t *w, const leat_op_t *op, uint32_t *out_origin) {
  return leat_graph_add_origin(w->to, &w->units->g->origins.data[op->origin], out_origin);
}

static leat_status_t import(writer_t *w, leat_value_id_t v, leat_value_id_t *out_value);

// An op of the program with its operands, which are imported if they are leaves.
static leat_status_t copy_op(writer_t *w, leat_op_id_t id) {
  const leat_graph_t *g = w->units->g;
  const leat_op_t *op = leat_graph_op(g, id);
  leat_attr_t attrs[ATTRS_MAX];
  uint32_t index, origin;
  assert(op->attr_count <= ATTRS_MAX);
  memcpy(attrs, &g->attrs.data[op->attr_first], op->attr_count * sizeof *attrs);
  for (uint32_t i = 0; i < op->attr_count; ++i) {
    if (attrs[i].key == LEAT_ATTR_STREAM) attrs[i].v.i = (int64_t)((uint64_t)attrs[i].v.i - (uint64_t)w->unit->stream);
    if (attrs[i].key == LEAT_ATTR_NAME) {
      leat_symbol_id_t symbol;
      LEAT_TRY(leat_graph_name_symbol(w->to, leat_op_name(g, op), &symbol));
      attrs[i].v.i = symbol;
    }
    bool blob = attrs[i].key == LEAT_ATTR_INDEX && leat_op_role(op->kind) == LEAT_ROLE_CONSTANT;
    if (!blob) continue;
    LEAT_TRY(leat_graph_share_blob(w->to, &g->blobs.data[attrs[i].v.i], &index));
    attrs[i].v.i = index;
  }
  leat_value_id_t *inputs = leat_alloc_zero(op->input_count + 1u, sizeof *inputs), first;
  if (inputs == NULL) return leat_out_of_memory();
  leat_status_t status = copy_origin(w, op, &origin);
  for (uint32_t i = 0; i < op->input_count && status == NULL; ++i)
    status = import(w, leat_op_input(g, op, i), &inputs[i]);
  leat_op_desc_t desc = {.kind = op->kind,
                         .type = op->type,
                         .detached = op->detached,
                         .origin = origin,
                         .inputs = inputs,
                         .input_count = op->input_count,
                         .attrs = attrs,
                         .attr_count = op->attr_count,
                         .results = &g->values.data[op->result_first],
                         .result_count = op->result_count};
  if (status == NULL) status = append(w, &desc, &first);
  for (uint32_t i = 0; i < op->result_count && status == NULL; ++i) {
    leat_value_id_t *slot = leat_array_push(&w->mapped);
    if (slot == NULL) status = leat_out_of_memory();
    if (slot != NULL) *slot = op->result_first + i;
    if (slot != NULL) w->map[op->result_first + i] = first + i;
  }
  leat_free(inputs);
  return status;
}

static leat_status_t import(writer_t *w, leat_value_id_t v, leat_value_id_t *out_value) {
  *out_value = LEAT_NONE;
  if (v == LEAT_NONE) return NULL;
  if (w->map[v] == LEAT_NONE) LEAT_TRY(copy_op(w, leat_graph_value(w->units->g, v)->op));
  *out_value = w->map[v];
  return NULL;
}

// --- the parts of a unit --------------------------------------------------------------------------------------------

// A buffer that forward changes, when all units have run it, is no fixed buffer to any unit: it is state.
static bool is_updated(const leat_units_t *units, leat_value_id_t symbol) {
  for (uint32_t i = units->all.count; i-- > 0;) {
    const leat_unit_t *unit = &units->all.data[i];
    if (unit->role == LEAT_UNIT_GROUP) break;
    for (uint32_t k = 0; unit->role == LEAT_UNIT_LATE && k < unit->statements.count; ++k) {
      if (leat_op_input(units->g, leat_graph_op(units->g, unit->statements.data[k]), 0) == symbol) return true;
    }
  }
  return false;
}

static leat_status_t add_ports(writer_t *w) {
  const leat_graph_t *g = w->units->g;
  for (uint32_t i = 0; i < w->unit->ins.count; ++i) {
    LEAT_TRY(
        add_symbol(w, LEAT_MADE_UNIT_IN, i, w->unit->ins.data[i].value, LEAT_KIND_INPUT, w->unit->ins.data[i].gives));
  }
  for (uint32_t i = 0; i < w->unit->symbols.count; ++i) {
    leat_value_id_t v = w->unit->symbols.data[i].value;
    leat_symbol_kind_t kind =
        leat_op_word(g, leat_graph_op(g, leat_graph_value(g, v)->op), LEAT_ATTR_KIND, LEAT_KIND_INPUT);
    if (kind == LEAT_KIND_BUFFER && w->unit->role != LEAT_UNIT_LATE && is_updated(w->units, v)) kind = LEAT_KIND_STATE;
    LEAT_TRY(add_symbol(w, LEAT_MADE_UNIT_SYMBOL, i, v, kind, w->unit->symbols.data[i].gives));
  }
  return NULL;
}

static leat_status_t add_outs(writer_t *w) {
  for (uint32_t i = 0; i < w->unit->outs.count; ++i) {
    const leat_unit_out_t *out = &w->unit->outs.data[i];
    LEAT_TRY(add_output(w, LEAT_MADE_UNIT_OUT, i, w->map[out->value], LEAT_SEED_ZERO));
    if (out->seed.unit == LEAT_NONE) continue;
    LEAT_TRY(add_output(w, LEAT_MADE_UNIT_SEED, i, w->map[out->value], LEAT_SEED_SYMBOL));
  }
  return NULL;
}

static leat_status_t add_seeds(writer_t *w, const leat_unit_port_t *ports, uint32_t count, leat_symbol_role_t role) {
  for (uint32_t i = 0; i < count; ++i) {
    if (ports[i].before.unit == LEAT_NONE) continue;
    LEAT_TRY(add_output(w, role, i, w->map[ports[i].value], LEAT_SEED_SYMBOL));
  }
  return NULL;
}

static bool draws(const leat_graph_t *g) {
  for (leat_op_id_t id = 0; id < g->ops.count; ++id) {
    if (leat_op_attr(g, leat_graph_op(g, id), LEAT_ATTR_STREAM) != NULL) return true;
  }
  return false;
}

// --- optimizers -----------------------------------------------------------------------------------------------------

static void add_hyper(writer_t *w, const char *prefix, leat_attr_key_t key, double value) {
  char name[NAME_BYTES];
  if ((size_t)snprintf(name, sizeof name, "%s%s", prefix, leat_attr_name(key)) >= sizeof name) return;
  const leat_symbol_id_t symbol = leat_b_named(&w->b, name);
  if (leat_b_symbol_value(&w->b, symbol) == LEAT_NONE) (void)leat_b_hyper(&w->b, symbol, value, 0.0);
}

// What several optimizers share is said in advance: the unit sees its own alone.
static leat_status_t add_hypers(writer_t *w, const leat_op_t *op) {
  const leat_graph_t *g = w->units->g;
  const char *prefix = leat_op_string(g, op, LEAT_ATTR_PREFIX, "");
  for (uint32_t i = 0; i < op->attr_count && w->units->optimizers.count > 1; ++i) {
    leat_attr_key_t key = (leat_attr_key_t)g->attrs.data[op->attr_first + i].key;
    if (leat_attr_kind(key) == 'F' && leat_optimizer_is_open(g, op, key))
      add_hyper(w, prefix, key, leat_optimizer_shared_default(g, op, key));
  }
  return leat_builder_take_status(&w->b);
}

// Does the unit end up with the gradient of the symbol? One that a unit further on in backward adds to is updated
// there.
static bool has_whole_gradient(const writer_t *w, leat_value_id_t v) {
  if (w->map[v] == LEAT_NONE) return false;
  const leat_op_t *symbol = leat_graph_op(w->to, leat_graph_value(w->to, w->map[v])->op);
  if (leat_op_int(w->to, symbol, LEAT_ATTR_REQUIRES_GRAD, 0) == 0) return false;
  for (uint32_t i = 0; i < w->unit->symbols.count; ++i)
    if (w->unit->symbols.data[i].value == v) return !w->unit->symbols.data[i].partial;
  return false;
}

// The statement for those of its parameters that the unit has. The norm spans units: its factor comes from outside.
static leat_status_t add_optimizer(writer_t *w, uint32_t number) {
  const leat_graph_t *g = w->units->g;
  const leat_op_t *op = leat_graph_op(g, w->units->optimizers.data[number]);
  leat_attr_t attrs[ATTRS_MAX];
  uint32_t count = op->attr_count, kept = 0;
  assert(count < ATTRS_MAX);
  memcpy(attrs, &g->attrs.data[op->attr_first], count * sizeof *attrs);
  if (leat_optimizer_clips(g, op))
    attrs[count++] = leat_attr_i(LEAT_ATTR_CLIP, leat_b_role(&w->b, LEAT_MADE_UNIT_CLIP, number));
  leat_value_id_t *inputs = leat_alloc_zero(w->unit->symbols.count + 1u, sizeof *inputs);
  if (inputs == NULL) return leat_out_of_memory();
  for (uint32_t i = 0; i < op->input_count; ++i) {
    leat_value_id_t v = leat_op_input(g, op, i);
    if (has_whole_gradient(w, v)) inputs[kept++] = w->map[v];
  }
  leat_op_desc_t desc = {.kind = op->kind, .inputs = inputs, .input_count = kept, .attrs = attrs, .attr_count = count};
  leat_status_t status = add_hypers(w, op);
  if (status == NULL) status = append(w, &desc, NULL);
  leat_free(inputs);
  return status;
}

// The factor that clips the gradients of one optimizer.
static leat_status_t add_norm(writer_t *w) {
  const leat_graph_t *g = w->units->g;
  leat_builder_t *b = &w->b;
  const uint32_t count = w->unit->symbols.count;
  leat_value_id_t *gradients = leat_alloc_zero(count + 1u, sizeof *gradients);
  if (gradients == NULL) return leat_out_of_memory();
  b->type = LEAT_TYPE_GRADNORM;
  for (uint32_t i = 0; i < count; ++i) {
    leat_value_t v = *leat_graph_value(g, w->unit->symbols.data[i].value);
    gradients[i] = leat_b_symbol(b, leat_b_role(b, LEAT_MADE_UNIT_GRADIENT, i), LEAT_KIND_INPUT, (leat_dtype_t)v.dtype,
                                 v.rank, v.dims);
  }
  const leat_op_t *op = leat_graph_op(g, w->units->optimizers.data[w->unit->optimizers.data[0]]);
  leat_value_id_t factor = leat_optimizer_clip_factor(b, g, op, gradients, count);
  if (count != 0) leat_b_store(b, leat_b_role(b, LEAT_MADE_UNIT_NORM, 0), LEAT_STORE_INTERNAL, factor);
  leat_free(gradients);
  return leat_builder_take_status(b);
}

// --- the whole ------------------------------------------------------------------------------------------------------

static leat_status_t add_heuristic(writer_t *w) {
  const leat_group_t *group = leat_graph_group(w->units->g, w->unit->group);
  if (w->unit->group == 0 || group == NULL || group->heuristic[0] == '\0') return NULL;
  leat_group_t copy = {0, group->name, group->heuristic, group->parameters};
  return leat_graph_add_group(w->to, &copy);
}

static leat_status_t write_unit(writer_t *w, double dropout_rate) {
  if (w->unit->role == LEAT_UNIT_NORM) return add_norm(w);
  LEAT_TRY(add_heuristic(w));
  LEAT_TRY(add_ports(w));
  for (uint32_t i = 0; i < w->unit->op_count; ++i) LEAT_TRY(copy_op(w, w->units->order[w->unit->op_first + i]));
  if (draws(w->to) && dropout_rate != -1.0) {
    (void)leat_b_hyper(&w->b, leat_b_role(&w->b, LEAT_MADE_DROPOUT, 0), dropout_rate, 0.0);
    LEAT_TRY(leat_builder_take_status(&w->b));
  }
  LEAT_TRY(add_outs(w));
  LEAT_TRY(add_seeds(w, w->unit->ins.data, w->unit->ins.count, LEAT_MADE_UNIT_SEED_IN));
  LEAT_TRY(add_seeds(w, w->unit->symbols.data, w->unit->symbols.count, LEAT_MADE_UNIT_SEED_SYMBOL));
  for (uint32_t i = 0; i < w->unit->statements.count; ++i) LEAT_TRY(copy_op(w, w->unit->statements.data[i]));
  for (uint32_t i = 0; i < w->unit->optimizers.count; ++i) LEAT_TRY(add_optimizer(w, w->unit->optimizers.data[i]));
  return NULL;
}

leat_status_t leat_unit_graph(const leat_units_t *units, uint32_t unit, double dropout_rate, leat_value_id_t *map,
                              leat_graph_t **out_graph) {
  *out_graph = NULL;
  writer_t w = {.units = units, .unit = &units->all.data[unit], .map = map};
  LEAT_TRY(leat_graph_create(&w.to));
  leat_builder_init(&w.b, w.to);
  leat_status_t status = write_unit(&w, dropout_rate);
  for (uint32_t i = 0; i < w.mapped.count; ++i) map[w.mapped.data[i]] = LEAT_NONE;
  leat_array_free(&w.mapped);
  if (status != NULL)
    leat_graph_destroy(w.to);
  else
    *out_graph = w.to;
  return status;
}

// --- trim -----------------------------------------------------------------------------------------------------------

// Stores of counters that all units share, and of what only carried a seed.
static bool serves_no_unit(leat_symbol_role_t role) {
  return role == LEAT_MADE_RANDOM || role == LEAT_MADE_STEP || role == LEAT_MADE_UNIT_SEED ||
         role == LEAT_MADE_UNIT_SEED_IN || role == LEAT_MADE_UNIT_SEED_SYMBOL;
}

static leat_status_t visit_trim(leat_rebuild_t *r, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(r->from, id);
  if (!leat_op_is_statement(op->kind)) return leat_rebuild_copy(r, id);
  const leat_symbol_id_t symbol = leat_op_symbol(r->from, op);
  const leat_symbol_role_t role = (leat_symbol_role_t)leat_graph_symbol(r->from, symbol)->role;
  if (serves_no_unit(role)) return NULL;
  if (role != LEAT_MADE_UNIT_OUT) return leat_rebuild_copy(r, id);
  leat_b_store(&r->b, symbol, LEAT_STORE_INTERNAL, leat_rebuild_input(r, op, 0));
  return NULL;
}

leat_status_t leat_unit_trim(const leat_graph_t *from, leat_graph_t **out_graph) {
  return leat_rebuild(from, visit_trim, NULL, out_graph);
}
