// SPDX-License-Identifier: Apache-2.0
// See microbatch.h. Both graphs have the same ops and value ids, so one walk sees both.
#include "opt/microbatch.h"

#include "opt/batch_rules.h"

enum { PARTS_MAX = 255 };  // operands of a `cat`

// What became of a value: one value of the new graph, or one for every part with the batch in dim `dim`. `before`
// counts the indices that run slower than the batch within that dim (1: the batch is what runs slowest in it).
typedef struct slot_s {
  bool split;
  uint8_t dim;
  int64_t before;
  uint32_t first;          // into ids
  leat_value_id_t whole;   // the value on the whole batch, where it exists; else LEAT_NONE
  leat_value_id_t shared;  // of one that is not split, in trips: what each of them reads; LEAT_NONE: none does yet
} slot_t;

typedef struct splitter_s {
  const leat_graph_t *whole, *part;
  leat_graph_t *to;
  slot_t *slots;  // per value
  LEAT_ARRAY(leat_value_id_t) ids;
  uint32_t parts;
  uint32_t copies;  // of an op on the batch: one a part; 1: one trip that stands for all
  int64_t streams;  // random streams of one part
} splitter_t;

static leat_status_t refuse(const splitter_t *s, const leat_op_t *op, const char *why) {
  char text[256];
  LEAT_FAIL(LEAT_UNSUPPORTED,
            "micro-batches: %s %s, so parts of the batch do not give the result of the whole; compile without -mb",
            leat_op_text(s->whole, op, text, sizeof text), why);
}

static leat_status_t cannot_roll(const splitter_t *s, const leat_op_t *op, const char *why) {
  char text[256];
  LEAT_FAIL(LEAT_UNSUPPORTED, "%s %s", leat_op_text(s->whole, op, text, sizeof text), why);
}

static bool in_trips(const splitter_t *s) { return s->copies == 1; }

// --- comparing both graphs -------------------------------------------------------------------------------------

// The dim in which the value of the whole batch is `parts` times that of a part; *out_split false: they are equal.
static bool find_batch(const splitter_t *s, leat_value_id_t v, bool *out_split, uint8_t *out_dim) {
  const leat_value_t *whole = leat_graph_value(s->whole, v), *part = leat_graph_value(s->part, v);
  *out_split = false;
  if (whole->rank != part->rank || whole->dtype != part->dtype) return false;
  for (uint32_t d = 0; d < whole->rank; ++d) {
    if (whole->dims[d] == part->dims[d]) continue;
    if (*out_split || whole->dims[d] != part->dims[d] * s->parts) return false;
    *out_split = true;
    *out_dim = (uint8_t)d;
  }
  return true;
}

static bool same_ops(const leat_graph_t *a, const leat_graph_t *b, leat_op_id_t *out_first) {
  for (leat_op_id_t id = 0; id < a->ops.count && id < b->ops.count; ++id) {
    const leat_op_t *x = leat_graph_op(a, id), *y = leat_graph_op(b, id);
    *out_first = id;
    const bool leaves = x->input_count == 0 && y->input_count == 0;  // constants come from the whole batch alone
    if ((x->kind != y->kind && !leaves) || x->input_count != y->input_count || x->result_count != y->result_count)
      return false;
    for (uint32_t i = 0; i < x->input_count; ++i) {
      if (leat_op_input(a, x, i) != leat_op_input(b, y, i)) return false;
    }
  }
  return a->ops.count == b->ops.count;
}

// The number of parts: how much longer one dim of some input is.
static uint32_t count_parts(const leat_graph_t *whole, const leat_graph_t *part) {
  for (leat_op_id_t id = 0; id < whole->ops.count; ++id) {
    const leat_op_t *op = leat_graph_op(whole, id);
    if (leat_op_role(op->kind) != LEAT_ROLE_SYMBOL) continue;
    const leat_value_t *x = leat_graph_value(whole, op->result_first), *y = leat_graph_value(part, op->result_first);
    for (uint32_t d = 0; d < x->rank && d < y->rank; ++d) {
      if (x->dims[d] != y->dims[d] && y->dims[d] > 0 && x->dims[d] % y->dims[d] == 0 &&
          x->dims[d] / y->dims[d] <= PARTS_MAX)
        return (uint32_t)(x->dims[d] / y->dims[d]);
    }
  }
  return 1;
}

// --- writing the new graph -------------------------------------------------------------------------------------

static leat_value_id_t input_of(const splitter_t *s, leat_value_id_t v, uint32_t part) {
  if (v == LEAT_NONE) return LEAT_NONE;
  const slot_t *slot = &s->slots[v];
  return s->ids.data[slot->first + (slot->split ? part : 0)];
}

// A new op beside `like` (its place in the program).
static leat_status_t append(splitter_t *s, const leat_op_t *like, uint32_t kind, const leat_value_id_t *inputs,
                            uint32_t input_count, const leat_attr_t *attrs, uint32_t attr_count,
                            const leat_value_t *results, uint32_t result_count, leat_value_id_t *out_first) {
  const leat_op_desc_t desc = {.kind = kind,
                               .type = like->type,
                               .detached = like->detached,
                               .exact = like->exact,
                               .group = like->group,
                               .origin = like->origin,
                               .inputs = inputs,
                               .input_count = input_count,
                               .attrs = attrs,
                               .attr_count = attr_count,
                               .results = results,
                               .result_count = result_count};
  leat_op_id_t id;
  LEAT_TRY(leat_graph_append(s->to, &desc, &id));
  if (out_first != NULL) *out_first = leat_graph_op(s->to, id)->result_first;
  return NULL;
}

static leat_status_t append_simple(splitter_t *s, const leat_op_t *like, uint32_t kind, leat_value_id_t x,
                                   leat_value_id_t y, const leat_value_t *result, leat_value_id_t *out_value) {
  const leat_value_id_t inputs[] = {x, y};
  return append(s, like, kind, inputs, y == LEAT_NONE ? 1 : 2, NULL, 0, result, 1, out_value);
}

static leat_status_t append_full(splitter_t *s, const leat_op_t *like, uint32_t dtype, double number,
                                 leat_value_id_t *out_value) {
  const leat_attr_t attr = leat_attr_f(LEAT_ATTR_VALUE, number);
  const leat_value_t result = {.dtype = (uint8_t)dtype};
  return append(s, like, LEAT_TRACED_FULL, NULL, 0, &attr, 1, &result, 1, out_value);
}

// PART or JOIN of `x`. No arithmetic, and gradients flow whoever reads it first.
static leat_status_t append_mark(splitter_t *s, const leat_op_t *like, uint32_t kind, leat_value_id_t x, int64_t dim,
                                 leat_value_id_t *out_value) {
  const leat_attr_t attrs[] = {leat_attr_i(LEAT_ATTR_DIM, dim), leat_attr_i(LEAT_ATTR_TRIPS, s->parts)};
  leat_op_t place = *like;
  leat_value_t result = *leat_graph_value(s->to, x);
  place.exact = 1;
  place.detached = 0;
  const bool joins = leat_op_role(kind) == LEAT_ROLE_JOIN;
  if (dim >= 0) result.dims[dim] = joins ? result.dims[dim] * s->parts : result.dims[dim] / s->parts;
  return append(s, &place, kind, &x, 1, attrs, 2, &result, 1, out_value);
}

// What a trip reads of a value that is the same in all: where gradients may come back, they are summed.
static leat_status_t share(splitter_t *s, const leat_op_t *like, leat_value_id_t v, leat_value_id_t *out_value) {
  slot_t *slot = &s->slots[v];
  const leat_value_id_t x = s->ids.data[slot->first];
  const bool constant = leat_op_role(leat_graph_op(s->to, leat_graph_value(s->to, x)->op)->kind) == LEAT_ROLE_CONSTANT;
  if (slot->shared == LEAT_NONE) slot->shared = x;
  if (slot->shared == x && !constant && leat_dtype_is_float((leat_dtype_t)leat_graph_value(s->to, x)->dtype))
    LEAT_TRY(append_mark(s, like, LEAT_PRIM_PART, x, -1, &slot->shared));
  *out_value = slot->shared;
  return NULL;
}

// Random draws of different parts come from different streams; those of a trip are told from those of the whole batch.
static void shift_stream(const splitter_t *s, const leat_graph_t *from, leat_attr_t *attrs, uint32_t count,
                         uint32_t part) {
  const int64_t shift = in_trips(s) && from == s->part ? 1 : part;
  for (uint32_t i = 0; i < count; ++i) {
    if (attrs[i].key == LEAT_ATTR_STREAM) attrs[i].v.i += s->streams * shift;
  }
}

// arange() as an index of the batch dim names every row of its own part.
static leat_status_t own_rows(splitter_t *s, const leat_op_t *op, uint32_t position, leat_value_id_t *out_value) {
  const leat_value_id_t v = leat_op_input(s->whole, op, position);
  const leat_op_t *arange = leat_graph_op(s->whole, leat_graph_value(s->whole, v)->op);
  return append(s, op, arange->kind, NULL, 0, &s->whole->attrs.data[arange->attr_first], arange->attr_count,
                leat_graph_value(s->part, v), 1, out_value);
}

static leat_status_t replace_row_index(splitter_t *s, leat_op_id_t id, leat_value_id_t *inputs) {
  const leat_op_t *op = leat_graph_op(s->whole, id);
  const uint32_t first = leat_batch_rule(op->kind)->first_index;
  if (first == 0) return NULL;
  const slot_t *x = &s->slots[leat_op_input(s->whole, op, 0)];
  const uint32_t position = first + x->dim;
  if (!x->split || position >= op->input_count || inputs[position] == LEAT_NONE) return NULL;
  return own_rows(s, op, position, &inputs[position]);
}

enum { ATTRS_MAX = 32 };

// The op of `from` (either graph) on the operands of `part`, for which `inputs` has room.
static leat_status_t append_on(splitter_t *s, const leat_graph_t *from, leat_op_id_t id, uint32_t part,
                               const leat_attr_t *changed, leat_value_id_t *inputs, leat_value_id_t *out_first) {
  const leat_op_t *op = leat_graph_op(from, id), *like = leat_graph_op(s->whole, id);
  leat_attr_t attrs[ATTRS_MAX];
  if (op->attr_count > ATTRS_MAX) return refuse(s, like, "has too many attributes");
  for (uint32_t i = 0; i < op->input_count; ++i) {
    const leat_value_id_t v = leat_op_input(from, op, i);
    inputs[i] = input_of(s, v, part);
    if (v != LEAT_NONE && in_trips(s) && from == s->part && !s->slots[v].split) LEAT_TRY(share(s, like, v, &inputs[i]));
  }
  for (uint32_t i = 0; i < op->attr_count; ++i) {
    attrs[i] = from->attrs.data[op->attr_first + i];
    if (changed != NULL && attrs[i].key == changed->key) attrs[i] = *changed;
  }
  shift_stream(s, from, attrs, op->attr_count, part);
  if (from == s->part) LEAT_TRY(replace_row_index(s, id, inputs));
  return append(s, like, op->kind, inputs, op->input_count, attrs, op->attr_count, &from->values.data[op->result_first],
                op->result_count, out_first);
}

static leat_status_t append_copy(splitter_t *s, const leat_graph_t *from, leat_op_id_t id, uint32_t part,
                                 const leat_attr_t *changed, leat_value_id_t *out_first) {
  leat_value_id_t *inputs = leat_alloc((leat_graph_op(from, id)->input_count + 1u) * sizeof *inputs);
  if (inputs == NULL) return leat_out_of_memory();
  leat_status_t status = append_on(s, from, id, part, changed, inputs, out_first);
  leat_free(inputs);
  return status;
}

static leat_status_t set_slot(splitter_t *s, leat_value_id_t v, const leat_value_id_t *ids, uint32_t count) {
  slot_t *slot = &s->slots[v];
  slot->first = s->ids.count;
  slot->whole = slot->split ? LEAT_NONE : ids[0];
  slot->shared = LEAT_NONE;
  leat_value_id_t *room = leat_array_push_n(&s->ids, count);
  if (room == NULL) return leat_out_of_memory();
  memcpy(room, ids, count * sizeof *ids);
  return NULL;
}

// --- ops -------------------------------------------------------------------------------------------------------

static bool reads_split(const splitter_t *s, const leat_op_t *op) {
  for (uint32_t i = 0; i < op->input_count; ++i) {
    const leat_value_id_t v = leat_op_input(s->whole, op, i);
    if (v != LEAT_NONE && s->slots[v].split) return true;
  }
  return false;
}

// A value on the whole batch that no split value leads to (an input, a constant, random numbers): made once, and each
// part takes its rows.
static leat_status_t cut_rows(splitter_t *s, const leat_op_t *like, leat_value_id_t v, leat_value_id_t whole_id) {
  slot_t *slot = &s->slots[v];
  const leat_value_t *part = leat_graph_value(s->part, v);
  int64_t start[LEAT_RANK_MAX] = {0}, stop[LEAT_RANK_MAX], step[LEAT_RANK_MAX];
  leat_value_id_t ids[PARTS_MAX];
  double number;
  if (in_trips(s)) {  // rows of one number are the same in every trip
    if (leat_op_splat(s->part, leat_graph_op(s->part, part->op), &number))
      LEAT_TRY(append_copy(s, s->part, part->op, 0, NULL, &ids[0]));
    else
      LEAT_TRY(append_mark(s, like, LEAT_PRIM_PART, whole_id, slot->dim, &ids[0]));
    LEAT_TRY(set_slot(s, v, ids, 1));
    slot->whole = whole_id;
    return NULL;
  }
  for (uint32_t d = 0; d < part->rank; ++d) {
    stop[d] = part->dims[d];
    step[d] = 1;
  }
  for (uint32_t p = 0; p < s->parts; ++p) {
    start[slot->dim] = p * part->dims[slot->dim];
    stop[slot->dim] = start[slot->dim] + part->dims[slot->dim];
    const leat_attr_t attrs[] = {leat_attr_l(LEAT_ATTR_START, start, part->rank),
                                 leat_attr_l(LEAT_ATTR_STOP, stop, part->rank),
                                 leat_attr_l(LEAT_ATTR_STEP, step, part->rank)};
    LEAT_TRY(append(s, like, LEAT_TRACED_NARROW, &whole_id, 1, attrs, 3, part, 1, &ids[p]));
  }
  LEAT_TRY(set_slot(s, v, ids, s->parts));
  slot->whole = whole_id;
  return NULL;
}

static leat_status_t visit_whole(splitter_t *s, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(s->whole, id);
  leat_value_id_t first;
  LEAT_TRY(append_copy(s, s->whole, id, 0, NULL, &first));
  for (uint32_t i = 0; i < op->result_count; ++i) {
    const leat_value_id_t v = op->result_first + i, id_in_new = first + i;
    slot_t *slot = &s->slots[v];
    slot->before = 1;
    if (!find_batch(s, v, &slot->split, &slot->dim)) return refuse(s, op, "has the batch in more than one dim");
    LEAT_TRY(slot->split ? cut_rows(s, op, v, id_in_new) : set_slot(s, v, &id_in_new, 1));
  }
  return NULL;
}

// All split operands must have their rows in the same order.
static leat_status_t check_rows(splitter_t *s, const leat_op_t *op, int64_t *out_before) {
  *out_before = 0;
  for (uint32_t i = 0; i < op->input_count; ++i) {
    const leat_value_id_t v = leat_op_input(s->whole, op, i);
    if (v == LEAT_NONE || !s->slots[v].split) continue;
    const slot_t *slot = &s->slots[v];
    const char *why = leat_batch_rule(op->kind)->couples(s->whole, op, i, slot->dim);
    if (why == NULL && *out_before != 0 && *out_before != slot->before)
      why = "meets two operands with the rows of the batch in different orders";
    if (why != NULL) return refuse(s, op, why);
    *out_before = slot->before;
  }
  return NULL;
}

static int64_t extent_before(const leat_value_t *v, uint32_t dim) {
  int64_t product = 1;
  for (uint32_t d = 0; d < dim; ++d) product *= v->dims[d];
  return product;
}

// A reshape keeps the order of elements, so as many indices run slower than the batch after it as before.
static bool reshape_before(const splitter_t *s, const leat_op_t *op, uint32_t dim, int64_t *before) {
  const leat_value_id_t x = leat_op_input(s->part, op, 0);
  const int64_t slower = extent_before(leat_graph_value(s->part, x), s->slots[x].dim) * *before;
  const int64_t outside = extent_before(leat_graph_value(s->part, op->result_first), dim);
  if (outside == 0 || slower % outside != 0) return false;
  *before = slower / outside;
  return true;
}

// A gradient that the program made itself of the whole batch need not be the sum of those of its parts.
static leat_status_t check_own_gradients(const splitter_t *s, const leat_op_t *op) {
  const uint32_t first = leat_batch_rule(op->kind)->first_gradient;
  for (uint32_t i = first; first != 0 && i < op->input_count; ++i) {
    const leat_value_id_t v = leat_op_input(s->part, op, i);
    if (v != LEAT_NONE && !s->slots[v].split) return refuse(s, op, "has a gradient that sums over the batch");
  }
  return NULL;
}

static leat_status_t visit_rows(splitter_t *s, leat_op_id_t id, int64_t before) {
  const leat_op_t *op = leat_graph_op(s->part, id);
  LEAT_TRY(check_own_gradients(s, op));
  leat_value_id_t firsts[PARTS_MAX], ids[PARTS_MAX];
  for (uint32_t p = 0; p < s->copies; ++p) LEAT_TRY(append_copy(s, s->part, id, p, NULL, &firsts[p]));
  for (uint32_t i = 0; i < op->result_count; ++i) {
    slot_t *slot = &s->slots[op->result_first + i];
    if (!find_batch(s, op->result_first + i, &slot->split, &slot->dim))
      return refuse(s, op, "combines rows of the batch");
    if (!slot->split && !leat_batch_rule(op->kind)->passes) return refuse(s, op, "combines rows of the batch");
    slot->before = before;
    if (!slot->split) {  // running statistics that pass through: the same for every part
      const leat_value_id_t shared = firsts[0] + i;
      LEAT_TRY(set_slot(s, op->result_first + i, &shared, 1));
      continue;
    }
    if (leat_batch_rule(op->kind)->reshapes && !reshape_before(s, op, slot->dim, &slot->before))
      return refuse(s, op, "splits the batch across dims");
    for (uint32_t p = 0; p < s->copies; ++p) ids[p] = firsts[p] + i;
    LEAT_TRY(set_slot(s, op->result_first + i, ids, s->copies));
  }
  return NULL;
}

// --- results that sum over the batch ---------------------------------------------------------------------------

static leat_status_t fold(splitter_t *s, const leat_op_t *like, uint32_t kind, const leat_value_id_t *values,
                          leat_value_id_t *out_value) {
  if (in_trips(s) && kind != LEAT_TRACED_ADD) return cannot_roll(s, like, "joins the rows by something else than sums");
  if (in_trips(s)) return append_mark(s, like, LEAT_PRIM_JOIN, values[0], -1, out_value);
  *out_value = values[0];
  for (uint32_t p = 1; p < s->parts; ++p) {
    const leat_value_t result = *leat_graph_value(s->to, *out_value);
    LEAT_TRY(append_simple(s, like, kind, *out_value, values[p], &result, out_value));
  }
  return NULL;
}

static leat_status_t divide(splitter_t *s, const leat_op_t *like, leat_value_id_t x, leat_value_id_t by,
                            leat_value_id_t *out_value) {
  const leat_value_t result = *leat_graph_value(s->to, x);
  return append_simple(s, like, LEAT_TRACED_DIV, x, by, &result, out_value);
}

static leat_status_t slice_whole(splitter_t *s, const leat_op_t *reader, leat_value_id_t v, leat_value_id_t *out_value);

// Op `id` of the whole batch, all of whose operands are, too.
static leat_status_t append_whole(splitter_t *s, const leat_op_t *reader, leat_op_id_t id, leat_value_id_t *inputs,
                                  leat_value_id_t *out_value) {
  const leat_op_t *op = leat_graph_op(s->whole, id);
  for (uint32_t i = 0; i < op->input_count; ++i) {
    inputs[i] = leat_op_input(s->whole, op, i);
    if (inputs[i] != LEAT_NONE) LEAT_TRY(slice_whole(s, reader, inputs[i], &inputs[i]));
  }
  return append(s, op, op->kind, inputs, op->input_count, &s->whole->attrs.data[op->attr_first], op->attr_count,
                &s->whole->values.data[op->result_first], op->result_count, out_value);
}

// Integers of the whole batch that the program has in parts: what they hang on is computed on the whole batch, too.
static leat_status_t slice_whole(splitter_t *s, const leat_op_t *reader, leat_value_id_t v,
                                 leat_value_id_t *out_value) {
  slot_t *slot = &s->slots[v];
  const leat_op_id_t id = leat_graph_value(s->whole, v)->op;
  const leat_op_t *op = leat_graph_op(s->whole, id);
  *out_value = slot->whole;
  if (slot->whole != LEAT_NONE) return NULL;
  const bool plain = op->result_count == 1 && leat_op_role(op->kind) != LEAT_ROLE_DRAW;
  if (!plain || leat_dtype_is_float((leat_dtype_t)leat_graph_value(s->whole, v)->dtype))
    return cannot_roll(s, reader, "counts labels that are computed");
  leat_value_id_t *inputs = leat_alloc((op->input_count + 1u) * sizeof *inputs);
  if (inputs == NULL) return leat_out_of_memory();
  leat_status_t status = append_whole(s, reader, id, inputs, out_value);
  leat_free(inputs);
  if (status == NULL) slot->whole = *out_value;
  return status;
}

// How much labels weigh in a mean loss: the number that is not ignored, or the sum of their weights.
static leat_status_t weigh_labels(splitter_t *s, const leat_op_t *op, leat_value_id_t labels,
                                  leat_value_id_t *out_value) {
  const leat_value_id_t weights = input_of(s, leat_op_input(s->part, op, 2), 0);
  const uint32_t dtype = leat_graph_value(s->part, op->result_first)->dtype;
  leat_value_t shape = *leat_graph_value(s->to, labels), scalar = {.dtype = (uint8_t)dtype};
  const uint32_t label_dtype = shape.dtype;
  leat_value_id_t ignored, counts, zero, index, weight;
  LEAT_TRY(append_full(s, op, label_dtype, (double)leat_op_int(s->part, op, LEAT_ATTR_IGNORE_INDEX, -100), &ignored));
  shape.dtype = LEAT_BOOL;
  LEAT_TRY(append_simple(s, op, LEAT_TRACED_NE, labels, ignored, &shape, &counts));
  const leat_value_id_t mask = counts;
  const leat_attr_t to = leat_attr_i(LEAT_ATTR_DTYPE, dtype);
  shape.dtype = (uint8_t)dtype;
  LEAT_TRY(append(s, op, LEAT_TRACED_TO, &counts, 1, &to, 1, &shape, 1, &counts));
  if (weights != LEAT_NONE) {
    LEAT_TRY(append_full(s, op, label_dtype, 0, &zero));
    leat_value_t index_shape = shape;
    index_shape.dtype = (uint8_t)label_dtype;
    LEAT_TRY(append(s, op, LEAT_TRACED_WHERE, (const leat_value_id_t[]){mask, labels, zero}, 3, NULL, 0, &index_shape,
                    1, &index));
    LEAT_TRY(append_simple(s, op, LEAT_TRACED_INDEX, weights, index, &shape, &weight));
    LEAT_TRY(append_simple(s, op, LEAT_TRACED_MUL, counts, weight, &shape, &counts));
  }
  const leat_attr_t sum[] = {leat_attr_l(LEAT_ATTR_DIMS, NULL, 0), leat_attr_i(LEAT_ATTR_KEEPDIM, 0)};
  return append(s, op, LEAT_TRACED_SUM, &counts, 1, sum, 2, &scalar, 1, out_value);
}

// In trips, the labels of the whole batch are counted before the first, which then finds what the loss is divided by.
static leat_status_t join_weighted(splitter_t *s, leat_op_id_t id, leat_value_id_t *out_value) {
  const leat_op_t *op = leat_graph_op(s->part, id);
  const leat_attr_t sum = leat_attr_i(LEAT_ATTR_REDUCTION, LEAT_REDUCTION_SUM);
  const leat_value_id_t labels = leat_op_input(s->part, op, 1);
  leat_value_id_t losses[PARTS_MAX], counts[PARTS_MAX], loss, count;
  for (uint32_t p = 0; p < s->copies; ++p) {
    LEAT_TRY(append_copy(s, s->part, id, p, &sum, &losses[p]));
    if (!in_trips(s)) LEAT_TRY(weigh_labels(s, op, input_of(s, labels, p), &counts[p]));
  }
  LEAT_TRY(fold(s, op, LEAT_TRACED_ADD, losses, &loss));
  if (in_trips(s)) {
    LEAT_TRY(slice_whole(s, op, labels, &counts[0]));
    LEAT_TRY(weigh_labels(s, op, counts[0], &count));
  } else {
    LEAT_TRY(fold(s, op, LEAT_TRACED_ADD, counts, &count));
  }
  return divide(s, op, loss, count, out_value);
}

static leat_status_t join_plain(splitter_t *s, leat_op_id_t id, leat_batch_join_t join, leat_value_id_t *out_value) {
  const leat_op_t *op = leat_graph_op(s->part, id);
  const uint32_t kind = join == LEAT_JOIN_AVERAGE ? LEAT_TRACED_ADD : leat_batch_rule(op->kind)->fold;
  leat_value_id_t values[PARTS_MAX], count;
  for (uint32_t p = 0; p < s->copies; ++p) LEAT_TRY(append_copy(s, s->part, id, p, NULL, &values[p]));
  LEAT_TRY(fold(s, op, kind, values, out_value));
  if (join != LEAT_JOIN_AVERAGE) return NULL;
  LEAT_TRY(append_full(s, op, leat_graph_value(s->part, op->result_first)->dtype, s->parts, &count));
  return divide(s, op, *out_value, count, out_value);
}

static leat_status_t visit_join(splitter_t *s, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(s->part, id);
  const leat_batch_join_t join = leat_batch_join(s->part, op);
  if (join == LEAT_JOIN_NONE || op->result_count != 1) return refuse(s, op, "combines rows of the batch");
  leat_value_id_t value;
  LEAT_TRY(join == LEAT_JOIN_WEIGHTED ? join_weighted(s, id, &value) : join_plain(s, id, join, &value));
  return set_slot(s, op->result_first, &value, 1);
}

// --- statements ------------------------------------------------------------------------------------------------

static leat_status_t whole_of(splitter_t *s, const leat_op_t *op, leat_value_id_t v, leat_value_id_t *out_value) {
  const slot_t *slot = &s->slots[v];
  *out_value = slot->whole;
  if (slot->whole != LEAT_NONE) return NULL;
  if (slot->before != 1) return refuse(s, op, "takes a value that has the batch behind another dim");
  if (in_trips(s)) return append_mark(s, op, LEAT_PRIM_JOIN, s->ids.data[slot->first], slot->dim, out_value);
  const leat_attr_t dim = leat_attr_i(LEAT_ATTR_DIM, slot->dim);
  return append(s, op, LEAT_TRACED_CAT, &s->ids.data[slot->first], s->parts, &dim, 1, leat_graph_value(s->whole, v), 1,
                out_value);
}

static leat_status_t visit_statement(splitter_t *s, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(s->whole, id);
  leat_value_id_t *inputs = leat_alloc_zero((size_t)op->input_count + 1, sizeof *inputs);
  if (inputs == NULL) return leat_out_of_memory();
  leat_status_t status = NULL;
  for (uint32_t i = 0; i < op->input_count && status == NULL; ++i)
    status = whole_of(s, op, leat_op_input(s->whole, op, i), &inputs[i]);
  if (status == NULL) {
    status = append(s, op, op->kind, inputs, op->input_count, &s->whole->attrs.data[op->attr_first], op->attr_count,
                    NULL, 0, NULL);
  }
  leat_free(inputs);
  return status;
}

static leat_status_t visit(splitter_t *s, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(s->whole, id);
  bool split;
  uint8_t dim;
  if (leat_op_is_statement(op->kind)) return visit_statement(s, id);
  if (!reads_split(s, op)) {
    const bool stands_in =
        leat_batch_rule(op->kind)->stands_in && find_batch(s, op->result_first, &split, &dim) && split;
    return stands_in ? visit_rows(s, id, 1) : visit_whole(s, id);  // each part has a gradient of its own
  }
  int64_t before;
  LEAT_TRY(check_rows(s, op, &before));
  if (!find_batch(s, op->result_first, &split, &dim)) return refuse(s, op, "has the batch in more than one dim");
  return split ? visit_rows(s, id, before) : visit_join(s, id);
}

// ---------------------------------------------------------------------------------------------------------------

static leat_status_t copy_tables(splitter_t *s) {
  uint32_t index;
  LEAT_TRY(leat_graph_copy_symbols(s->to, s->whole));
  for (uint32_t i = 1; i < s->whole->origins.count; ++i)
    LEAT_TRY(leat_graph_add_origin(s->to, &s->whole->origins.data[i], &index));
  for (uint32_t i = 0; i < s->whole->blobs.count; ++i)
    LEAT_TRY(leat_graph_add_blob(s->to, s->whole->blobs.data[i].data, s->whole->blobs.data[i].data_bytes, &index));
  for (leat_op_id_t id = 0; id < s->whole->ops.count; ++id) {
    const int64_t stream = leat_op_int(s->whole, leat_graph_op(s->whole, id), LEAT_ATTR_STREAM, 0);
    if (stream >= s->streams) s->streams = stream + 1;
  }
  return NULL;
}

static leat_status_t split(splitter_t *s) {
  LEAT_TRY(copy_tables(s));
  for (leat_op_id_t id = 0; id < s->whole->ops.count; ++id) LEAT_TRY(visit(s, id));
  return NULL;
}

static leat_status_t write_parts(const leat_graph_t *whole, const leat_graph_t *part, bool in_trips,
                                 int64_t *out_streams, leat_graph_t **out_graph) {
  leat_op_id_t differs = 0;
  if (!same_ops(whole, part, &differs)) {
    char text[256];
    LEAT_FAIL(
        LEAT_UNSUPPORTED,
        "micro-batches: the program does other things on a micro-batch than on the whole batch, first at %s; compile "
        "without -mb",
        whole->ops.count > 0 ? leat_op_text(whole, leat_graph_op(whole, differs), text, sizeof text) : "its start");
  }
  splitter_t s = {.whole = whole, .part = part, .parts = count_parts(whole, part)};
  s.copies = in_trips ? 1 : s.parts;
  if (s.parts == 1)
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "micro-batches: the batch is not 2 to %d times a micro-batch", PARTS_MAX);
  LEAT_TRY(leat_graph_create(&s.to));
  s.slots = leat_alloc_zero((size_t)whole->values.count + 1, sizeof *s.slots);
  leat_status_t status = s.slots == NULL ? leat_out_of_memory() : split(&s);
  leat_free(s.slots);
  leat_array_free(&s.ids);
  *out_streams = s.streams;
  if (status != NULL)
    leat_graph_destroy(s.to);
  else
    *out_graph = s.to;
  return status;
}

leat_status_t leat_opt_microbatch(const leat_graph_t *whole, const leat_graph_t *part, leat_graph_t **out_graph) {
  int64_t streams;
  return write_parts(whole, part, false, &streams, out_graph);
}

leat_status_t leat_opt_microbatch_in_trips(const leat_graph_t *whole, const leat_graph_t *part, int64_t *out_streams,
                                           leat_graph_t **out_graph) {
  return write_parts(whole, part, true, out_streams, out_graph);
}
