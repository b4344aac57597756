// SPDX-License-Identifier: Apache-2.0
// MAP stages: a group of elementwise ops becomes one strip program. Values passed inside the stage are read where they
// are made; each input access is loaded once a class, each immediate set once; stores come last, so that a symbol may
// be updated in place while its old value is still read.
#include <math.h>

#include "map/draft_stages.h"
#include "map/strip.h"
#include "pef/pef_scalar.h"
#include "space/rows.h"

enum { CLASS_COUNT = 3 };

// Which instruction makes it in each class, or PEF_NONE.
typedef struct made_s {
  uint32_t by[CLASS_COUNT];
} made_t;

typedef struct computed_s {
  leat_value_id_t value;
  uint8_t natural;  // class it is made in
  double reach;     // whole numbers up to this magnitude; NO_REACH: not known
  made_t made;
} computed_t;
enum { NO_REACH = -1, REACH_MAX = 1 << 24 };  // up to here class F32 has every whole number

typedef struct loaded_s {
  leat_access_t access;
  uint32_t operand;  // of the stage
  made_t made;
} loaded_t;

typedef struct constant_s {
  uint32_t class;
  uint64_t bits;
  uint32_t by;
} constant_t;

typedef struct strip_s {
  leat_draft_t *d;
  const leat_stage_t *stage;
  const leat_keeps_t *keeps;
  uint32_t first_operand, first_instruction;
  LEAT_ARRAY(computed_t) computed;  // results of ops, and indices
  LEAT_ARRAY(loaded_t) loads;
  LEAT_ARRAY(constant_t) constants;
} strip_t;

static const made_t made_nowhere = {{PEF_NONE, PEF_NONE, PEF_NONE}};

// A new record of one of the arrays, or NULL: out of memory.
static void *pushed(strip_t *s, void *record) {
  if (record == NULL) leat_draft_fail(s->d, leat_out_of_memory());
  return record;
}

static uint32_t append(strip_t *s, pef_instruction_t instruction) {
  const uint32_t at = s->d->instructions.count - s->first_instruction;
  *leat_draft_instruction(s->d) = instruction;
  return at;
}

static uint32_t compute(strip_t *s, uint32_t op, uint32_t class, uint32_t a, uint32_t b, uint32_t c) {
  const uint8_t body = leat_pef_scalar_body(op, class);
  return append(
      s, (pef_instruction_t){.op = (uint16_t)op, .class_ = (uint8_t) class, .type = body, .a = a, .b = b, .c = c});
}

// CONVERT from a class, WRAP to a dtype.
static uint32_t retype(strip_t *s, uint32_t op, uint32_t class, uint32_t type, uint32_t a) {
  return append(s, (pef_instruction_t){.op = (uint16_t)op, .class_ = (uint8_t) class, .type = (uint8_t)type, .a = a});
}

// --- operands of the program ----------------------------------------------------------------------------------------

static bool same_access(const leat_access_t *a, const leat_access_t *b) {
  return a->base == b->base && a->offset == b->offset && a->rank == b->rank &&
         memcmp(a->strides, b->strides, a->rank * sizeof a->strides[0]) == 0;
}

// The iteration space seen through an operand of extents 1: repeated by stride 0.
static leat_access_t stretch(const leat_access_t *access, const leat_stage_t *stage) {
  leat_access_t a = *access;
  for (uint32_t i = 0; i < a.rank; ++i) {
    if (a.dims[i] != stage->dims[i]) a.strides[i] = 0;
    a.dims[i] = stage->dims[i];
  }
  return a;
}

// Newest first: what is read was mostly made just before.
static computed_t *find_computed(strip_t *s, leat_value_id_t v) {
  for (uint32_t i = s->computed.count; i-- > 0;) {
    if (s->computed.data[i].value == v) return &s->computed.data[i];
  }
  return NULL;
}

static computed_t *add_computed(strip_t *s, leat_value_id_t v) {
  computed_t *computed = pushed(s, leat_array_push(&s->computed));
  if (computed != NULL) *computed = (computed_t){.value = v, .reach = NO_REACH, .made = made_nowhere};
  return computed;
}

static loaded_t *find_load(strip_t *s, const leat_access_t *access) {
  for (uint32_t i = s->loads.count; i-- > 0;) {
    if (same_access(&s->loads.data[i].access, access)) return &s->loads.data[i];
  }
  return NULL;
}

static uint32_t immediate(strip_t *s, uint32_t class, uint32_t dtype, double number) {
  const uint64_t bits = leat_strip_immediate(class, dtype, number);
  for (uint32_t i = 0; i < s->constants.count; ++i) {
    const constant_t *known = &s->constants.data[i];
    if (known->bits == bits && known->class == class) return known->by;
  }
  constant_t *constant = pushed(s, leat_array_push(&s->constants));
  if (constant == NULL) return 0;
  *constant = (constant_t){class, bits, 0};
  constant->by = append(s, (pef_instruction_t){.op = PEF_OP_IMMEDIATE, .class_ = (uint8_t) class, .imm = bits});
  return constant->by;
}

static uint32_t iota(strip_t *s, const leat_op_t *leaf, uint32_t class) {
  uint32_t dim = (uint32_t)leat_op_int(s->d->g, leaf, LEAT_ATTR_DIM, 0);
  const leat_value_t *v = leat_graph_value(s->d->g, leaf->result_first);
  if (v->dims[dim] != s->stage->dims[dim]) return immediate(s, class, LEAT_I64, 0.0);
  computed_t *index = find_computed(s, leaf->result_first);
  if (index == NULL) index = add_computed(s, leaf->result_first);
  if (index == NULL) return 0;
  if (index->made.by[class] == PEF_NONE) index->made.by[class] = compute(s, PEF_OP_IOTA, class, dim, 0, 0);
  return index->made.by[class];
}

static uint32_t load(strip_t *s, const leat_op_t *op, uint32_t input, uint32_t class) {
  leat_access_t access = leat_draft_access(s->d, leat_op_input(s->d->g, op, input));
  leat_access_t wide = stretch(&access, s->stage);
  loaded_t *loaded = find_load(s, &wide);
  if (loaded == NULL) {
    loaded = pushed(s, leat_array_push(&s->loads));
    if (loaded == NULL) return 0;
    *loaded = (loaded_t){wide, s->d->operands.count - s->first_operand, made_nowhere};
    leat_draft_value(s->d, &wide, s->stage->row_dim, false);
  }
  if (loaded->made.by[class] == PEF_NONE) {
    loaded->made.by[class] = compute(s, PEF_OP_LOAD, class, loaded->operand, 0, 0);
  }
  return loaded->made.by[class];
}

// The instruction that makes input `input` of the op in `class`.
static uint32_t input_of(strip_t *s, leat_op_id_t id, uint32_t input, uint32_t class) {
  const leat_graph_t *g = s->d->g;
  const leat_op_t *op = leat_graph_op(g, id);
  leat_value_id_t v = leat_op_input(g, op, input), base = leat_access_base(g, v);
  const leat_op_t *producer = leat_graph_op(g, leat_graph_value(g, base)->op);
  double number;
  if (leat_op_role(producer->kind) == LEAT_ROLE_SEQUENCE) return iota(s, producer, class);
  if (leat_op_splat(g, producer, &number)) return immediate(s, class, leat_graph_value(g, v)->dtype, number);
  computed_t *computed = find_computed(s, base);
  if (computed == NULL || !leat_stages_read_in_step(g, op, input)) return load(s, op, input, class);
  uint32_t *by = computed->made.by;
  if (by[class] == PEF_NONE) by[class] = retype(s, PEF_OP_CONVERT, class, computed->natural, by[computed->natural]);
  return by[class];
}

// --- instructions ---------------------------------------------------------------------------------------------------

// Results of narrow dtypes are rounded or wrapped after every op, as PyTorch rounds each result it stores.
static uint32_t wrap(strip_t *s, uint32_t value, uint32_t class, uint32_t dtype) {
  bool full = dtype == LEAT_F32 || dtype == LEAT_F64 || dtype == LEAT_I64;
  return full ? value : retype(s, PEF_OP_WRAP, class, dtype, value);
}

static uint32_t draft_cast(strip_t *s, leat_op_id_t id, uint32_t from, uint32_t to, uint32_t *out_class) {
  uint32_t source_class = leat_strip_class_of(from), class = leat_strip_class_of(to);
  uint32_t source = input_of(s, id, 0, source_class);
  *out_class = class;
  if (to == LEAT_BOOL) {
    uint32_t zero = immediate(s, source_class, from, 0.0);
    *out_class = source_class;
    return compute(s, LEAT_SCALAR_NE, source_class, source, zero, 0);
  }
  uint32_t value = source_class == class ? compute(s, LEAT_SCALAR_COPY, class, source, 0, 0)
                                         : retype(s, PEF_OP_CONVERT, class, source_class, source);
  bool widens = leat_dtype_bytes((leat_dtype_t)from) < leat_dtype_bytes((leat_dtype_t)to) && source_class == class;
  return widens ? value : wrap(s, value, class, to);
}

static bool keeps_range(leat_scalar_t fn) {
  return fn == LEAT_SCALAR_COPY || fn == LEAT_SCALAR_STOP || fn == LEAT_SCALAR_SELECT || fn == LEAT_SCALAR_MAX ||
         fn == LEAT_SCALAR_MIN;
}

// --- truth values: 0 or 1 in any class

// What a function of truth values is on numbers that are 0 or 1; PEF_NONE: it is no such function.
static uint32_t logic_of(leat_scalar_t fn) {
  switch (fn) {
    case LEAT_SCALAR_AND:
      return LEAT_SCALAR_MIN;
    case LEAT_SCALAR_OR:
      return LEAT_SCALAR_MAX;
    case LEAT_SCALAR_XOR:
      return LEAT_SCALAR_NE;
    case LEAT_SCALAR_NOT:
      return LEAT_SCALAR_EQ;
    default:
      return PEF_NONE;
  }
}

// The class in which the operands of such a function are made; where they are not of one, or loaded, the narrowest.
static uint32_t logic_class(strip_t *s, const leat_op_t *op) {
  uint32_t class = CLASS_COUNT;
  for (uint32_t i = 0; i < op->input_count; ++i) {
    const computed_t *computed = find_computed(s, leat_access_base(s->d->g, leat_op_input(s->d->g, op, i)));
    const uint32_t made = computed != NULL ? computed->natural : PEF_CLASS_F32;
    if (class != CLASS_COUNT && made != class) return PEF_CLASS_F32;
    class = made;
  }
  return class;
}

static uint32_t draft_logic(strip_t *s, leat_op_id_t id, uint32_t fn, uint32_t *out_class) {
  const leat_op_t *op = leat_graph_op(s->d->g, id);
  const uint32_t class = logic_class(s, op);
  const uint32_t a = input_of(s, id, 0, class);
  *out_class = class;
  return compute(s, fn, class, a, op->input_count > 1 ? input_of(s, id, 1, class) : immediate(s, class, LEAT_BOOL, 0.0),
                 0);
}

// --- small integers: indices along dims, mostly, of which masks are made

static double reach_of_input(strip_t *s, const leat_op_t *op, uint32_t input) {
  const leat_graph_t *g = s->d->g;
  const leat_value_id_t base = leat_access_base(g, leat_op_input(g, op, input));
  const leat_op_t *producer = leat_graph_op(g, leat_graph_value(g, base)->op);
  double number;
  if (leat_op_role(producer->kind) == LEAT_ROLE_SEQUENCE)
    return (double)leat_graph_value(g, base)->dims[leat_op_int(g, producer, LEAT_ATTR_DIM, 0)];
  if (leat_op_splat(g, producer, &number)) return fabs(number);
  const computed_t *computed = find_computed(s, base);
  return computed != NULL && leat_stages_read_in_step(g, op, input) ? computed->reach : NO_REACH;
}

// Of what these functions make of integers; of comparisons that of what they compare.
static double reach_of(leat_scalar_t fn, double a, double b) {
  if (fn == LEAT_SCALAR_ADD || fn == LEAT_SCALAR_SUB) return a + b;
  const bool keeps = fn == LEAT_SCALAR_MAX || fn == LEAT_SCALAR_MIN || leat_scalar_is_predicate(fn);
  return keeps ? fmax(a, b) : NO_REACH;
}

// NO_REACH: the op has to be computed in integers.
static double reach_of_op(strip_t *s, const leat_op_t *op, leat_scalar_t fn, uint32_t from) {
  if (op->input_count != 2 || (from != LEAT_I64 && from != LEAT_I32)) return NO_REACH;
  const double a = reach_of_input(s, op, 0), b = reach_of_input(s, op, 1);
  const double reach = a < 0 || b < 0 ? NO_REACH : reach_of(fn, a, b);
  return fmax(reach, fmax(a, b)) <= REACH_MAX ? reach : NO_REACH;
}

static uint32_t draft_scalar(strip_t *s, leat_op_id_t id, leat_scalar_t fn, uint32_t *out_class, double *out_reach) {
  const leat_graph_t *g = s->d->g;
  const leat_op_t *op = leat_graph_op(g, id);
  uint32_t to = leat_graph_value(g, op->result_first)->dtype;
  uint32_t from = leat_graph_value(g, leat_op_input(g, op, 0))->dtype;
  if (fn == LEAT_SCALAR_CAST) return draft_cast(s, id, from, to, out_class);
  if (from == LEAT_BOOL && logic_of(fn) != PEF_NONE) return draft_logic(s, id, logic_of(fn), out_class);
  uint32_t class = leat_strip_class_of(fn == LEAT_SCALAR_SELECT ? to : from);
  *out_reach = reach_of_op(s, op, fn, from);
  if (*out_reach >= 0) class = PEF_CLASS_F32;
  uint32_t inputs[3] = {0, 0, 0};
  for (uint32_t i = 0; i < op->input_count; ++i) inputs[i] = input_of(s, id, i, class);
  *out_class = class;
  if (fn == LEAT_SCALAR_STOP) fn = LEAT_SCALAR_COPY;
  uint32_t result = compute(s, fn, class, inputs[0], inputs[1], inputs[2]);
  return leat_scalar_is_predicate(fn) || keeps_range(fn) || *out_reach >= 0 ? result : wrap(s, result, class, to);
}

static void draft_map_op(strip_t *s, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(s->d->g, id);
  uint32_t class = PEF_CLASS_F32;
  double reach = NO_REACH;
  uint32_t by = draft_scalar(s, id, leat_op_scalar(s->d->g, op), &class, &reach);
  computed_t *computed = add_computed(s, op->result_first);
  if (computed == NULL) return;
  computed->natural = (uint8_t) class;
  computed->reach = reach;
  computed->made.by[class] = by;
}

static void draft_store(strip_t *s, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(s->d->g, id);
  const computed_t *computed = find_computed(s, op->result_first);
  if (computed == NULL || s->keeps->of[op->result_first].kind == LEAT_KEEP_STRIP) return;
  uint32_t operand = s->d->operands.count - s->first_operand;
  leat_draft_result(s->d, id, 0);
  compute(s, PEF_OP_STORE, computed->natural, operand, computed->made.by[computed->natural], 0);
}

void leat_draft_map(leat_draft_t *d, const leat_stage_t *stage, const leat_keeps_t *keeps) {
  leat_draft_stage(d, PEF_STAGE_MAP, stage->ops.data[0]);
  strip_t s = {.d = d,
               .stage = stage,
               .keeps = keeps,
               .first_operand = d->operands.count,
               .first_instruction = d->instructions.count};
  for (uint32_t i = 0; i < stage->ops.count && d->status == NULL; ++i) draft_map_op(&s, stage->ops.data[i]);
  for (uint32_t i = 0; i < stage->ops.count && d->status == NULL; ++i) draft_store(&s, stage->ops.data[i]);
  leat_array_free(&s.computed);
  leat_array_free(&s.loads);
  leat_array_free(&s.constants);
}

// --- copies into symbols --------------------------------------------------------------------------------------------

// The stored value may come from another section; its rows are then the symbol's first dim.
void leat_draft_store_copy(leat_draft_t *d, leat_op_id_t store, const leat_map_symbols_t *symbols) {
  const leat_op_t *op = leat_graph_op(d->g, store);
  leat_value_id_t base = leat_access_base(d->g, leat_op_input(d->g, op, 0));
  leat_op_id_t producer = leat_graph_value(d->g, base)->op;
  bool same = d->plan->section_of[producer] == d->plan->section_of[store];
  uint32_t row_dim = same ? d->plan->row_dim[producer] : d->rows > 1 ? 0 : LEAT_ROWS_WHOLE;
  leat_access_t access = leat_draft_access(d, base);
  uint32_t symbol = leat_map_symbols_find(symbols, d->g, op);
  leat_source_t target = {.kind = LEAT_SOURCE_SYMBOL, .written = true, .index = symbol};
  pef_stage_t *stage = leat_draft_stage(d, PEF_STAGE_MAP, producer);
  stage->output = leat_map_symbols_output(symbols, symbol);
  leat_draft_value(d, &access, row_dim, false);
  leat_draft_operand(d, target, symbols->all.data[symbol].dtype, &access, row_dim);
  leat_strip_copy(d, leat_graph_value(d->g, base)->dtype);
}
