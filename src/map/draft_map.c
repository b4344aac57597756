// SPDX-License-Identifier: Apache-2.0
// MAP stages: a group of elementwise ops becomes one strip program. Values passed inside the stage are registers; each
// input access is loaded once per class; immediates are set first, in registers of their own, so that an engine may
// fill them once; stores come last, so that a symbol may be updated in place while its old value is still read.
#include "map/draft_stages.h"
#include "map/strip.h"
#include "space/rows.h"

enum { CLASS_COUNT = 3, NO_REGISTER = 0xff };

// Where a value (or an immediate) is in registers, per class.
typedef struct entry_s {
  leat_value_id_t value;  // LEAT_NONE: an immediate
  uint64_t bits;          // immediate
  leat_access_t access;   // loads: which operand it is
  uint32_t operand;       // index among the stage's operands, or LEAT_NONE
  uint8_t registers[CLASS_COUNT];
  uint8_t natural;    // class it was made in
  uint32_t last_use;  // index into the stage's ops; UINT32_MAX: until the stores
} entry_t;

typedef struct strip_s {
  leat_draft_t *d;
  const leat_stage_t *stage;
  const leat_keeps_t *keeps;
  uint32_t first_operand;
  LEAT_ARRAY(entry_t) entries;
  uint64_t busy;  // bit r: register r is taken
} strip_t;

static void fail(strip_t *s, const char *what) {
  if (s->d->status == NULL) s->d->status = leat_status_make(LEAT_INTERNAL, "strip program: %s", what);
}

// --- registers
// --------------------------------------------------------------------------------------------------------

static uint8_t take_register(strip_t *s) {
  for (uint8_t r = 0; r < PEF_MAX_REGISTERS; ++r) {
    if (s->busy >> r & 1) continue;
    s->busy |= 1ull << r;
    return r;
  }
  fail(s, "more values are alive than there are registers");
  return 0;
}

static entry_t *new_entry(strip_t *s, leat_value_id_t value) {
  entry_t *e = leat_array_push(&s->entries);
  if (e == NULL) {
    if (s->d->status == NULL) s->d->status = leat_out_of_memory();
    return NULL;
  }
  e->value = value;
  e->operand = LEAT_NONE;
  memset(e->registers, NO_REGISTER, sizeof e->registers);
  return e;
}

static void release_after(strip_t *s, uint32_t op_index) {
  for (uint32_t i = 0; i < s->entries.count; ++i) {
    entry_t *e = &s->entries.data[i];
    if (e->last_use != op_index) continue;
    for (uint32_t c = 0; c < CLASS_COUNT; ++c) {
      if (e->registers[c] == NO_REGISTER) continue;
      s->busy &= ~(1ull << e->registers[c]);
      e->registers[c] = NO_REGISTER;
    }
  }
}

// Immediates live through the whole program: they fill the register file from the top.
static uint8_t take_last_register(strip_t *s) {
  for (uint8_t r = PEF_MAX_REGISTERS; r-- > 0;) {
    if (s->busy >> r & 1) continue;
    s->busy |= 1ull << r;
    return r;
  }
  fail(s, "more immediates than registers");
  return 0;
}

static uint8_t compute(strip_t *s, uint32_t op, uint32_t class, uint32_t a, uint32_t b, uint32_t c, uint64_t imm) {
  uint8_t dst = take_register(s);
  pef_instruction_t *i = leat_draft_instruction(s->d);
  *i = (pef_instruction_t){.op = (uint16_t)op,
                           .class_ = (uint8_t) class,
                           .dst = dst,
                           .a = (uint16_t)a,
                           .b = (uint16_t)b,
                           .c = (uint16_t)c,
                           .imm = imm};
  return dst;
}

// --- operands of the program
// ------------------------------------------------------------------------------------------

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

static entry_t *find_value(strip_t *s, leat_value_id_t v) {
  for (uint32_t i = 0; i < s->entries.count; ++i) {
    if (s->entries.data[i].value == v && s->entries.data[i].operand == LEAT_NONE) return &s->entries.data[i];
  }
  return NULL;
}

static entry_t *find_load(strip_t *s, const leat_access_t *access) {
  for (uint32_t i = 0; i < s->entries.count; ++i) {
    if (s->entries.data[i].operand != LEAT_NONE && same_access(&s->entries.data[i].access, access))
      return &s->entries.data[i];
  }
  return NULL;
}

static uint8_t immediate(strip_t *s, uint32_t class, uint32_t dtype, double number) {
  uint64_t bits = leat_strip_immediate(class, dtype, number);
  for (uint32_t i = 0; i < s->entries.count; ++i) {
    entry_t *e = &s->entries.data[i];
    if (e->value == LEAT_NONE && e->bits == bits && e->registers[class] != NO_REGISTER) return e->registers[class];
  }
  entry_t *e = new_entry(s, LEAT_NONE);
  if (e == NULL) return 0;
  e->bits = bits;
  e->last_use = UINT32_MAX;
  uint8_t r = take_last_register(s);
  e->registers[class] = r;
  *leat_draft_instruction(s->d) =
      (pef_instruction_t){.op = PEF_OP_IMMEDIATE, .class_ = (uint8_t) class, .dst = r, .imm = bits};
  return r;
}

static uint8_t iota(strip_t *s, const leat_op_t *leaf, uint32_t class) {
  uint32_t dim = (uint32_t)leat_op_int(s->d->g, leaf, LEAT_ATTR_DIM, 0);
  const leat_value_t *v = leat_graph_value(s->d->g, leaf->result_first);
  if (v->dims[dim] != s->stage->dims[dim]) return immediate(s, class, LEAT_I64, 0.0);
  entry_t *e = find_value(s, leaf->result_first);
  if (e == NULL) e = new_entry(s, leaf->result_first);
  if (e == NULL) return 0;
  e->last_use = UINT32_MAX;
  if (e->registers[class] == NO_REGISTER) e->registers[class] = compute(s, PEF_OP_IOTA, class, dim, 0, 0, 0);
  return e->registers[class];
}

// Last op of the stage that reads `v` in step, or UINT32_MAX if it must live on until the stores.
static uint32_t last_use(const strip_t *s, leat_value_id_t base) {
  uint32_t last = 0;
  const leat_graph_t *g = s->d->g;
  for (uint32_t i = 0; i < s->stage->ops.count; ++i) {
    const leat_op_t *op = leat_graph_op(g, s->stage->ops.data[i]);
    for (uint32_t k = 0; k < op->input_count; ++k) {
      if (leat_access_base(g, leat_op_input(g, op, k)) == base) last = i;
    }
  }
  return last;
}

static uint8_t load(strip_t *s, const leat_op_t *op, uint32_t input, uint32_t class) {
  leat_access_t access = leat_draft_access(s->d, leat_op_input(s->d->g, op, input));
  leat_access_t wide = stretch(&access, s->stage);
  entry_t *e = find_load(s, &wide);
  if (e == NULL) {
    e = new_entry(s, access.base);
    if (e == NULL) return 0;
    e->access = wide;
    e->last_use = last_use(s, access.base);
    e->operand = s->d->operands.count - s->first_operand;
    leat_draft_value(s->d, &wide, s->stage->row_dim, false);
  }
  if (e->registers[class] == NO_REGISTER) {
    uint32_t operand = e->operand;
    uint8_t r = compute(s, PEF_OP_LOAD, class, operand, 0, 0, 0);
    e = find_load(s, &wide);
    e->registers[class] = r;
  }
  return e->registers[class];
}

// Input `input` of the op in a register of `class`.
static uint8_t operand_register(strip_t *s, leat_op_id_t id, uint32_t input, uint32_t class) {
  const leat_graph_t *g = s->d->g;
  const leat_op_t *op = leat_graph_op(g, id);
  leat_value_id_t v = leat_op_input(g, op, input), base = leat_access_base(g, v);
  const leat_op_t *producer = leat_graph_op(g, leat_graph_value(g, base)->op);
  double number;
  if (leat_op_role(producer->kind) == LEAT_ROLE_SEQUENCE) return iota(s, producer, class);
  if (leat_op_splat(g, producer, &number)) return immediate(s, class, leat_graph_value(g, v)->dtype, number);
  entry_t *e = find_value(s, base);
  if (e == NULL || !leat_stages_read_in_step(g, op, input)) return load(s, op, input, class);
  if (e->registers[class] == NO_REGISTER) {
    uint8_t source = e->registers[e->natural], natural = e->natural;
    uint8_t r = compute(s, PEF_OP_CONVERT, class, 0, source, natural, 0);
    e = find_value(s, base);
    e->registers[class] = r;
  }
  return e->registers[class];
}

// --- instructions
// -----------------------------------------------------------------------------------------------------

// Results of narrow dtypes are rounded or wrapped after every op, as PyTorch rounds each result it stores.
static uint8_t wrap(strip_t *s, uint8_t r, uint32_t class, uint32_t dtype) {
  bool full = dtype == LEAT_F32 || dtype == LEAT_F64 || dtype == LEAT_I64;
  if (full) return r;
  uint8_t wrapped = compute(s, PEF_OP_WRAP, class, dtype, r, 0, 0);
  s->busy &= ~(1ull << r);
  return wrapped;
}

static uint8_t draft_cast(strip_t *s, leat_op_id_t id, uint32_t from, uint32_t to, uint32_t *out_class) {
  uint32_t source_class = leat_strip_class_of(from), class = leat_strip_class_of(to);
  uint8_t source = operand_register(s, id, 0, source_class);
  *out_class = class;
  if (to == LEAT_BOOL) {
    uint8_t zero = immediate(s, source_class, from, 0.0);
    *out_class = source_class;
    return compute(s, LEAT_SCALAR_NE, source_class, source, zero, 0, 0);
  }
  uint8_t r = source_class == class ? compute(s, LEAT_SCALAR_COPY, class, source, 0, 0, 0)
                                    : compute(s, PEF_OP_CONVERT, class, 0, source, source_class, 0);
  bool widens = leat_dtype_bytes((leat_dtype_t)from) < leat_dtype_bytes((leat_dtype_t)to) && source_class == class;
  return widens ? r : wrap(s, r, class, to);
}

static bool keeps_range(leat_scalar_t fn) {
  return fn == LEAT_SCALAR_COPY || fn == LEAT_SCALAR_STOP || fn == LEAT_SCALAR_SELECT || fn == LEAT_SCALAR_MAX ||
         fn == LEAT_SCALAR_MIN;
}

static uint8_t draft_scalar(strip_t *s, leat_op_id_t id, leat_scalar_t fn, uint32_t *out_class) {
  const leat_graph_t *g = s->d->g;
  const leat_op_t *op = leat_graph_op(g, id);
  uint32_t to = leat_graph_value(g, op->result_first)->dtype;
  uint32_t from = leat_graph_value(g, leat_op_input(g, op, 0))->dtype;
  if (fn == LEAT_SCALAR_CAST) return draft_cast(s, id, from, to, out_class);
  uint32_t class = leat_strip_class_of(fn == LEAT_SCALAR_SELECT ? to : from);
  uint8_t r[3] = {0, 0, 0};
  for (uint32_t i = 0; i < op->input_count; ++i) r[i] = operand_register(s, id, i, class);
  *out_class = class;
  if (fn == LEAT_SCALAR_NOT && from == LEAT_BOOL) {
    return compute(s, LEAT_SCALAR_EQ, class, r[0], immediate(s, class, LEAT_I64, 0.0), 0, 0);
  }
  if (fn == LEAT_SCALAR_STOP) fn = LEAT_SCALAR_COPY;
  uint8_t result = compute(s, fn, class, r[0], r[1], r[2], 0);
  return leat_scalar_is_predicate(fn) || keeps_range(fn) ? result : wrap(s, result, class, to);
}

static void draft_map_op(strip_t *s, uint32_t index) {
  leat_op_id_t id = s->stage->ops.data[index];
  const leat_op_t *op = leat_graph_op(s->d->g, id);
  uint32_t class = PEF_CLASS_F32;
  uint8_t r = draft_scalar(s, id, leat_op_scalar(s->d->g, op), &class);
  entry_t *e = new_entry(s, op->result_first);
  if (e == NULL) return;
  e->natural = (uint8_t) class;
  e->registers[class] = r;
  bool stored = s->keeps->of[op->result_first].kind != LEAT_KEEP_REGISTER;
  e->last_use = stored ? UINT32_MAX : last_use(s, op->result_first);
}

static void draft_store(strip_t *s, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(s->d->g, id);
  entry_t *e = find_value(s, op->result_first);
  if (e == NULL || s->keeps->of[op->result_first].kind == LEAT_KEEP_REGISTER) return;
  uint8_t r = e->registers[e->natural], natural = e->natural;
  uint32_t operand = s->d->operands.count - s->first_operand;
  leat_draft_result(s->d, id, 0);
  *leat_draft_instruction(s->d) =
      (pef_instruction_t){.op = PEF_OP_STORE, .class_ = natural, .a = (uint16_t)operand, .b = r};
}

// Stable partition: immediates to the front.
static void hoist_immediates(leat_draft_t *d) {
  const pef_stage_t *stage = &d->stages.data[d->stages.count - 1];
  pef_instruction_t *code = d->instructions.data + stage->instruction_first;
  uint32_t front = 0;
  for (uint32_t i = 0; i < stage->instruction_count; ++i) {
    if (code[i].op != PEF_OP_IMMEDIATE) continue;
    pef_instruction_t immediate_set = code[i];
    memmove(&code[front + 1], &code[front], (i - front) * sizeof code[0]);
    code[front++] = immediate_set;
  }
}

void leat_draft_map(leat_draft_t *d, const leat_stage_t *stage, const leat_keeps_t *keeps) {
  leat_draft_stage(d, PEF_STAGE_MAP, stage->ops.data[0]);
  strip_t s = {.d = d, .stage = stage, .keeps = keeps, .first_operand = d->operands.count};
  for (uint32_t i = 0; i < stage->ops.count && d->status == NULL; ++i) {
    draft_map_op(&s, i);
    release_after(&s, i);
  }
  for (uint32_t i = 0; i < stage->ops.count && d->status == NULL; ++i) draft_store(&s, stage->ops.data[i]);
  if (d->status == NULL) hoist_immediates(d);
  leat_array_free(&s.entries);
}

// --- copies into symbols
// ----------------------------------------------------------------------------------------------

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
