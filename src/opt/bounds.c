// SPDX-License-Identifier: Apache-2.0
// See bounds.h.
#include "opt/bounds.h"

#include <inttypes.h>
#include <stdio.h>

#include "ir/build.h"
#include "ir/element.h"
#include "opt/ranges.h"

// --- what ops have to do with indices and divisors: the column `index` of traced.def --------------------------------

// Whose extent an index lies below: no index; a dim of operand 0 (the first, that of the attribute `dim`, that at the
// place of the operand, the classes); the attribute `k`. DIVISOR: no index, but it must not be 0.
typedef enum extent_e { NO_INDEX, FIRST_DIM, DIM_ATTRIBUTE, PLACE, CLASSES, COUNT_ATTRIBUTE, DIVISOR } extent_t;

// What its result holds, where an index is followed back through it: nothing that is known; elements of operand 0,
// each at least once, in the same order or in that of permuted dims or in another; some of them, cut by start, stop
// and step, or by dim and index; operand 0 in another dtype.
typedef enum way_e { MAKES, MOVES, PERMUTES, TURNS, CUTS, SELECTS, CONVERTS } way_t;

// Operands from `first` on (one, unless the extent is of its PLACE) are indices below `extent`; negative ones count
// from the end where `wraps` says so.
typedef struct index_rule_s {
  extent_t extent;
  uint8_t first;
  bool wraps;
  way_t way;
} index_rule_t;

#define INDEX_none \
  { .way = MAKES }
#define INDEX_first_dim \
  { .extent = FIRST_DIM, .first = 1 }
#define INDEX_dim \
  { .extent = DIM_ATTRIBUTE, .first = 1 }
#define INDEX_place \
  { .extent = PLACE, .first = 1, .wraps = true }
#define INDEX_place_put \
  { .extent = PLACE, .first = 2, .wraps = true }
#define INDEX_classes \
  { .extent = CLASSES, .first = 1 }
#define INDEX_count \
  { .extent = COUNT_ATTRIBUTE }
#define INDEX_divisor \
  { .extent = DIVISOR, .first = 1 }
#define INDEX_moves \
  { .way = MOVES }
#define INDEX_permutes \
  { .way = PERMUTES }
#define INDEX_turns \
  { .way = TURNS }
#define INDEX_cuts \
  { .way = CUTS }
#define INDEX_selects \
  { .way = SELECTS }
#define INDEX_converts \
  { .way = CONVERTS }

static const index_rule_t *rule_of(uint32_t kind) {
  static const index_rule_t none = INDEX_none, rules[] = {
#define TRACED(e, n, lo, hi, r, a, own, lowering, role, products, batch, range, index) INDEX_##index,
#include "ir/traced.def"
#undef TRACED
                                               };
  return leat_op_is_traced(kind) ? &rules[kind - LEAT_TRACED_FIRST] : &none;
}

static int64_t extent_of(const leat_graph_t *g, const leat_op_t *op, const index_rule_t *demand, uint32_t input) {
  const leat_value_t *x = leat_graph_value(g, leat_op_input(g, op, 0));
  int64_t dim = 0;
  switch (demand->extent) {
    case DIM_ATTRIBUTE:
      dim = leat_op_int(g, op, LEAT_ATTR_DIM, 0);
      break;
    case PLACE:
      dim = input - demand->first;
      break;
    case CLASSES:
      dim = x->rank > 1 ? 1 : 0;
      break;
    case COUNT_ATTRIBUTE:
      return leat_op_int(g, op, LEAT_ATTR_K, 0);
    default:
      break;
  }
  return dim >= 0 && dim < x->rank ? x->dims[dim] : 1;
}

// --- where an index comes from -------------------------------------------------------------------------------------

// Elements of a value: a strided part of it, of the value's own shape while `shaped`.
typedef struct part_s {
  uint32_t rank;
  bool shaped;
  int64_t offset, dims[LEAT_RANK_MAX], strides[LEAT_RANK_MAX];
} part_t;

static part_t whole(const leat_value_t *v) {
  part_t p = {.rank = v->rank, .shaped = true};
  int64_t stride = 1;
  for (uint32_t d = v->rank; d-- > 0;) {
    p.dims[d] = v->dims[d];
    p.strides[d] = stride;
    stride *= v->dims[d];
  }
  return p;
}

// Integers that keep their value, but for those that are beyond every legal index.
static bool keeps_values(const leat_graph_t *g, const leat_op_t *op, const leat_range_t *ranges) {
  const leat_value_id_t x = leat_op_input(g, op, 0);
  const leat_dtype_t from = (leat_dtype_t)leat_graph_value(g, x)->dtype;
  const leat_dtype_t to = (leat_dtype_t)leat_graph_value(g, op->result_first)->dtype;
  if (leat_dtype_is_float(from) || leat_dtype_is_float(to) || to == LEAT_BOOL) return false;
  const leat_range_t all = leat_range_of_dtype(to);
  return (ranges[x].low >= all.low && ranges[x].high <= all.high) || leat_dtype_bytes(to) >= 4;
}

static bool same_dims(const part_t *p, const leat_value_t *v) {
  return p->rank == v->rank && memcmp(p->dims, v->dims, v->rank * sizeof *v->dims) == 0;
}

// After a move: the part keeps the shape of the value where that is plain to see.
static void move_part(part_t *p, const leat_graph_t *g, const leat_op_t *op, way_t way) {
  const leat_value_t *y = leat_graph_value(g, op->result_first);
  const leat_value_t *x = leat_graph_value(g, leat_op_input(g, op, 0));
  const part_t all = whole(x), result = whole(y);
  uint32_t count;
  const int64_t *dims = leat_op_list(g, op, LEAT_ATTR_DIMS, &count);
  const bool is_whole = p->shaped && p->offset == 0 && memcmp(p->strides, all.strides, sizeof all.strides) == 0;
  if (way == PERMUTES && p->shaped && count == p->rank) {
    const part_t before = *p;
    for (uint32_t d = 0; d < count; d++) {
      p->dims[d] = before.dims[dims[d]];
      p->strides[d] = before.strides[dims[d]];
    }
  } else if (same_dims(p, y) && way != TURNS) {
    return;
  } else if (is_whole && leat_value_elements(x) == leat_value_elements(y) && way != TURNS) {
    *p = result;
  } else {
    p->shaped = false;
  }
}

// The bounds of a cut in each dim of x; false where they cannot be told.
static bool cut_of(const leat_graph_t *g, const leat_op_t *op, const leat_value_t *x, int64_t *start, int64_t *stop,
                   int64_t *step) {
  for (uint32_t d = 0; d < x->rank; d++) start[d] = 0, stop[d] = x->dims[d], step[d] = 1;
  if (rule_of(op->kind)->way == SELECTS) {
    const int64_t dim = leat_op_int(g, op, LEAT_ATTR_DIM, 0), index = leat_op_int(g, op, LEAT_ATTR_INDEX, 0);
    if (dim < 0 || dim >= x->rank) return false;
    start[dim] = index < 0 ? index + x->dims[dim] : index;
    stop[dim] = start[dim] + 1;
    return true;
  }
  uint32_t starts, stops, steps;
  const int64_t *from = leat_op_list(g, op, LEAT_ATTR_START, &starts),
                *to = leat_op_list(g, op, LEAT_ATTR_STOP, &stops);
  const int64_t *by = leat_op_list(g, op, LEAT_ATTR_STEP, &steps);
  if (starts != x->rank || stops != x->rank || (steps != 0 && steps != x->rank)) return false;
  for (uint32_t d = 0; d < x->rank; d++) {
    start[d] = from[d], stop[d] = to[d], step[d] = steps == 0 ? 1 : by[d];
    if (step[d] <= 0) return false;
  }
  return true;
}

// False where the part cannot be cut: it no longer has the shape of the value.
static bool cut_part(part_t *p, const leat_graph_t *g, const leat_op_t *op) {
  const leat_value_t *x = leat_graph_value(g, leat_op_input(g, op, 0)), *y = leat_graph_value(g, op->result_first);
  int64_t start[LEAT_RANK_MAX], stop[LEAT_RANK_MAX], step[LEAT_RANK_MAX];
  if (!p->shaped || !same_dims(p, x) || !cut_of(g, op, x, start, stop, step)) return false;
  for (uint32_t d = 0; d < p->rank; d++) {
    p->offset += start[d] * p->strides[d];
    p->dims[d] = stop[d] > start[d] ? (stop[d] - start[d] + step[d] - 1) / step[d] : 0;
    p->strides[d] *= step[d];
  }
  if (!same_dims(p, y)) {  // dims of one element are gone
    uint32_t rank = 0;
    for (uint32_t d = 0; d < p->rank; d++) {
      if (p->dims[d] == 1 && (rank >= y->rank || y->dims[rank] != 1)) continue;
      p->dims[rank] = p->dims[d];
      p->strides[rank++] = p->strides[d];
    }
    p->rank = rank;
    p->shaped = same_dims(p, y);
  }
  return true;
}

typedef struct finder_s {
  leat_graph_t *g;
  leat_range_t *ranges;
  leat_symbol_id_t *stored;  // per value: what its internal store names; LEAT_NONE: none
  leat_bounds_t *bounds;
  uint32_t computed;
} finder_t;

enum { STEPS_MAX = 256 };  // of a way back

// The first value on the way back from `v` that is not just moved from another; what of it becomes `v`.
static leat_value_id_t source_of(const finder_t *f, leat_value_id_t v, uint32_t steps, part_t *out_part) {
  const leat_op_t *op = leat_graph_op(f->g, leat_graph_value(f->g, v)->op);
  const way_t way = rule_of(op->kind)->way;
  const bool keeps = way == CONVERTS ? keeps_values(f->g, op, f->ranges) : way != MAKES;
  if (keeps && steps < STEPS_MAX) {
    part_t part;
    const leat_value_id_t source = source_of(f, leat_op_input(f->g, op, 0), steps + 1, &part);
    const bool cut = way == CUTS || way == SELECTS;
    if (!cut && way != CONVERTS) move_part(&part, f->g, op, way);
    if (!cut || cut_part(&part, f->g, op)) {
      *out_part = part;
      return source;
    }
  }
  *out_part = whole(leat_graph_value(f->g, v));
  return v;
}

// --- bounds --------------------------------------------------------------------------------------------------------

// The symbol that holds a computed value after forward.
static leat_status_t store_of(finder_t *f, leat_value_id_t v, const leat_op_t *reader, leat_symbol_id_t *out_symbol) {
  *out_symbol = f->stored[v];
  if (*out_symbol != LEAT_NONE) return NULL;
  const leat_op_t *maker = leat_graph_op(f->g, leat_graph_value(f->g, v)->op);
  leat_builder_t b;
  leat_builder_init(&b, f->g);
  b.group = maker->group != 0 ? maker->group : reader->group;
  b.origin = reader->origin;
  *out_symbol = f->stored[v] = leat_b_role(&b, LEAT_MADE_CHECKED, f->computed++);
  leat_b_store(&b, *out_symbol, LEAT_STORE_INTERNAL, v);
  return leat_builder_take_status(&b);
}

static bool is_divisor(const leat_bound_t *bound) { return bound->low == 1 && bound->high == -1; }

// Whether everything in the range is.
static bool is_legal(leat_range_t range, const leat_bound_t *bound) {
  if (is_divisor(bound)) return range.low > 0 || range.high < 0;
  return range.low >= (double)bound->low && range.high <= (double)bound->high;
}

// Element `at` of a constant, a splat or a sequence.
static double constant_element(const leat_graph_t *g, const leat_op_t *op, int64_t at) {
  const leat_value_t *v = leat_graph_value(g, op->result_first);
  const double value = leat_op_float(g, op, LEAT_ATTR_VALUE, 0.0);
  if (leat_op_role(op->kind) == LEAT_ROLE_SEQUENCE)
    return value + leat_op_float(g, op, LEAT_ATTR_SCALE, 1.0) * (double)at;
  const leat_blob_t *blob = leat_op_blob(g, op);
  return blob == NULL ? value : (double)leat_element_load((leat_dtype_t)v->dtype, blob->data, at).i;
}

// Indices that are known: eager PyTorch would refuse every run, so the compile is refused.
static leat_status_t check_constant(const leat_graph_t *g, const leat_op_t *op, const leat_op_t *reader,
                                    const leat_bound_t *bound) {
  int64_t count = 1;
  for (uint32_t d = 0; d < bound->rank; d++) count *= bound->dims[d];
  for (int64_t n = 0; n < count; n++) {
    int64_t at = bound->offset, left = n;
    for (uint32_t d = bound->rank; d-- > 0; left /= bound->dims[d]) at += left % bound->dims[d] * bound->strides[d];
    const double x = constant_element(g, op, at);
    if (is_legal((leat_range_t){x, x}, bound) || (bound->has_ignored && x == (double)bound->ignored)) continue;
    char text[256];
    if (is_divisor(bound))
      LEAT_FAIL(LEAT_OUT_OF_RANGE, "%s: integers are divided by the constant 0",
                leat_op_text(g, reader, text, sizeof text));
    LEAT_FAIL(LEAT_OUT_OF_RANGE, "%s: its index holds the constant %.0f, and %lld to %lld are legal",
              leat_op_text(g, reader, text, sizeof text), x, (long long)bound->low, (long long)bound->high);
  }
  return NULL;
}

static leat_status_t add_bound(finder_t *f, leat_op_id_t reader, leat_value_id_t v, leat_bound_t bound) {
  if (is_legal(f->ranges[v], &bound) || leat_value_elements(leat_graph_value(f->g, v)) == 0) return NULL;
  part_t part;
  const leat_value_id_t source = source_of(f, v, 0, &part);
  const leat_op_t *maker = leat_graph_op(f->g, leat_graph_value(f->g, source)->op);
  const leat_op_t op = *leat_graph_op(f->g, reader);
  if (is_legal(f->ranges[source], &bound)) return NULL;
  bound.op = reader;
  bound.rank = (uint8_t)part.rank;
  bound.offset = part.offset;
  memcpy(bound.dims, part.dims, sizeof bound.dims);
  memcpy(bound.strides, part.strides, sizeof bound.strides);
  const bool symbol = leat_op_role(maker->kind) == LEAT_ROLE_SYMBOL;
  if (leat_op_is_leaf(maker->kind) && !symbol) return check_constant(f->g, maker, &op, &bound);
  if (symbol)
    bound.symbol = leat_op_symbol(f->g, maker);
  else
    LEAT_TRY(store_of(f, source, &op, &bound.symbol));
  leat_bound_t *slot = leat_array_push(f->bounds);
  if (slot == NULL) return leat_out_of_memory();
  *slot = bound;
  return NULL;
}

static leat_status_t visit(finder_t *f, leat_op_id_t id) {
  const leat_op_t op = *leat_graph_op(f->g, id);  // a copy: stores are added meanwhile
  const index_rule_t *demand = rule_of(op.kind);
  if (demand->extent == NO_INDEX) return NULL;
  const uint32_t end = demand->extent == PLACE ? op.input_count : demand->first + 1u;
  for (uint32_t i = demand->first; i < end && i < op.input_count; i++) {
    const leat_value_id_t v = leat_op_input(f->g, &op, i);
    if (v == LEAT_NONE) continue;
    const leat_dtype_t dtype = (leat_dtype_t)leat_graph_value(f->g, v)->dtype;
    if (leat_dtype_is_float(dtype) || dtype == LEAT_BOOL) continue;  // probabilities, masks
    if (demand->extent == DIVISOR) {
      if (leat_value_elements(leat_graph_value(f->g, op.result_first)) != 0)
        LEAT_TRY(add_bound(f, id, v, (leat_bound_t){.low = 1, .high = -1}));
      continue;
    }
    const int64_t extent = extent_of(f->g, &op, demand, i);
    const bool wraps = demand->wraps && leat_op_int(f->g, &op, LEAT_ATTR_WRAPS, 1) != 0;
    leat_bound_t bound = {.low = wraps ? -extent : 0, .high = extent - 1, .has_ignored = demand->extent == CLASSES};
    if (bound.has_ignored) bound.ignored = leat_op_int(f->g, &op, LEAT_ATTR_IGNORE_INDEX, -100);
    LEAT_TRY(add_bound(f, id, v, bound));
  }
  return NULL;
}

static void note_stores(finder_t *f) {
  for (leat_value_id_t v = 0; v < f->g->values.count; v++) f->stored[v] = LEAT_NONE;
  for (leat_op_id_t id = 0; id < f->g->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(f->g, id);
    if (!leat_op_is_store(f->g, op, LEAT_STORE_INTERNAL)) continue;
    f->stored[leat_op_input(f->g, op, 0)] = leat_op_symbol(f->g, op);
  }
}

leat_status_t leat_opt_bounds(leat_graph_t *g, leat_bounds_t *out_bounds) {
  finder_t f = {.g = g, .bounds = out_bounds};
  f.ranges = leat_alloc_zero((size_t)g->values.count + 1u, sizeof *f.ranges);
  f.stored = leat_alloc((g->values.count + 1u) * sizeof *f.stored);
  leat_status_t status = NULL;
  if (f.ranges == NULL || f.stored == NULL) {
    status = leat_out_of_memory();
  } else {
    leat_opt_ranges(g, f.ranges);
    note_stores(&f);
    const leat_op_id_t count = g->ops.count;
    for (leat_op_id_t id = 0; id < count && status == NULL; id++) status = visit(&f, id);
  }
  leat_free(f.ranges);
  leat_free(f.stored);
  return status;
}
