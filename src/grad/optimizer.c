// SPDX-License-Identifier: Apache-2.0
// Optimizers as graph: the update of each parameter from its gradient, its state and 0-d scalars.
//
// Scalars (rates, bias corrections) are computed once per run in f64 and cast once to the dtype of the parameter:
// 1 - beta^t in f32 would be off by 7e-6. The order of operations is that of torch.optim. A parameter that no seeded
// output depends on is left alone, as torch skips parameters without gradient. One that forward writes to is updated
// from what was written. Of a narrow parameter the update may keep a master copy in f32; or, `dithered`, compute in f32
// and round what it stores as bf16 to one of its neighbours at random, so that no rounding is wrong on average. Draws
// are of random__state, in streams of their own.
#include "grad/optimizer.h"

#include <math.h>
#include <stdio.h>

#include "grad/rules.h"

enum { NAME_MAX = 512 };

typedef struct optimizer_s {
  leat_builder_t *b;
  const leat_graph_t *from;
  const leat_op_t *op;  // the statement
  const leat_value_id_t *gradients;
  const leat_value_id_t *current;   // what forward made of a parameter, LEAT_NONE: nothing
  const uint32_t *groups;           // per value of `from`: the group of the first op that reads it
  uint32_t index;                   // which statement: names its step counter
  leat_value_id_t step, next_step;  // 0-d f64; LEAT_NONE until asked for
  leat_value_id_t clip;             // 0-d factor of all gradients, LEAT_NONE without max_grad_norm
} optimizer_t;

// What a hyperparameter is where a statement does not say; 0 where not here.
static const double defaults[LEAT_ATTR_COUNT] = {
    [LEAT_ATTR_LR] = 1e-3, [LEAT_ATTR_BETA1] = 0.9, [LEAT_ATTR_BETA2] = 0.999, [LEAT_ATTR_EPS] = 1e-8};

static double value_of(const leat_graph_t *g, const leat_op_t *statement, leat_attr_key_t key) {
  return leat_op_float(g, statement, key, defaults[key]);
}
static bool flag(const optimizer_t *o, leat_attr_key_t key) { return leat_op_int(o->from, o->op, key, 0) != 0; }

// --- names ---------------------------------------------------------------------------------------------------------

// `first` + `second` into `out_name`.
static const char *join(leat_builder_t *b, const char *first, const char *second, char out_name[NAME_MAX]) {
  if ((size_t)snprintf(out_name, NAME_MAX, "%s%s", first, second) >= NAME_MAX)
    leat_b_fail(b, LEAT_INVALID_ARGUMENT, "the name '%s' is too long", first);
  return out_name;
}

// --- hyperparameters -----------------------------------------------------------------------------------------------

bool leat_optimizer_is_open(const leat_graph_t *g, const leat_op_t *statement, leat_attr_key_t key) {
  return leat_op_lists(g, statement, LEAT_ATTR_HYPER, key);
}

static const char *prefix_of(const leat_graph_t *g, const leat_op_t *statement) {
  return leat_op_string(g, statement, LEAT_ATTR_PREFIX, "");
}

double leat_optimizer_shared_default(const leat_graph_t *g, const leat_op_t *statement, leat_attr_key_t key) {
  const double own = value_of(g, statement, key);
  for (leat_op_id_t id = 0; id < g->ops.count; id++) {
    const leat_op_t *other = leat_graph_op(g, id);
    if (leat_op_role(other->kind) != LEAT_ROLE_OPTIMIZER || !leat_optimizer_is_open(g, other, key)) continue;
    if (strcmp(prefix_of(g, other), prefix_of(g, statement)) == 0 && value_of(g, other, key) != own) return NAN;
  }
  return own;
}

// A hyperparameter as a 0-d f64 value: a symbol where a run may set it, else a constant.
static leat_value_id_t hyper_of(leat_builder_t *b, const leat_graph_t *g, const leat_op_t *statement,
                                leat_attr_key_t key) {
  const double own = value_of(g, statement, key);
  char symbol[NAME_MAX];
  if (!leat_optimizer_is_open(g, statement, key)) return leat_b_scalar(b, LEAT_F64, own);
  join(b, prefix_of(g, statement), leat_attr_name(key), symbol);
  const leat_symbol_id_t id = leat_b_named(b, symbol);
  const leat_op_id_t known = id == LEAT_NONE ? LEAT_NONE : leat_graph_symbol(b->graph, id)->op;
  double shared = known == LEAT_NONE ? leat_optimizer_shared_default(g, statement, key)
                                     : leat_op_float(b->graph, leat_graph_op(b->graph, known), LEAT_ATTR_VALUE, 0.0);
  return leat_b_hyper(b, id, shared, own);
}
static leat_value_id_t hyper(optimizer_t *o, leat_attr_key_t key) { return hyper_of(o->b, o->from, o->op, key); }

// Is the hyperparameter certainly zero? Then what it scales is left out.
static bool always_zero(const optimizer_t *o, leat_attr_key_t key) {
  return value_of(o->from, o->op, key) == 0.0 && !leat_optimizer_is_open(o->from, o->op, key);
}

// --- step counter and state ----------------------------------------------------------------------------------------

leat_value_id_t leat_optimizer_count_step(leat_builder_t *b, uint32_t index, leat_value_id_t *out_next) {
  const leat_symbol_id_t counter = leat_b_role(b, LEAT_MADE_STEP, index);
  leat_value_id_t step = leat_b_symbol_once(b, counter, LEAT_KIND_STATE, LEAT_F64, 0, NULL);
  *out_next = leat_b_adds(b, step, 1.0);
  leat_b_store(b, counter, LEAT_STORE_UPDATE, *out_next);
  return step;
}

static leat_value_id_t step_of(optimizer_t *o) {
  if (o->step == LEAT_NONE) o->step = leat_optimizer_count_step(o->b, o->index, &o->next_step);
  return o->step;
}

static leat_value_id_t is_first_step(optimizer_t *o) { return leat_b_fn2s(o->b, EQ, step_of(o), 0.0); }

typedef struct parameter_s {
  leat_symbol_id_t owner;    // of its state
  leat_value_id_t symbol;    // as the model leaves it
  leat_value_id_t value;     // what the update works on: the symbol, its f32 master copy, or the symbol as f32
  leat_value_id_t gradient;  // clipped, in the dtype of `value`
  bool has_master, dithered;
} parameter_t;

// State of the parameter's shape and of the dtype the update works in; zero at the start.
static leat_value_id_t state(optimizer_t *o, const parameter_t *p, leat_symbol_role_t role) {
  leat_value_t v = *leat_b_value(o->b, p->value);
  return leat_b_symbol(o->b, leat_b_role(o->b, role, p->owner), LEAT_KIND_STATE, (leat_dtype_t)v.dtype, v.rank, v.dims);
}
static void store_state(optimizer_t *o, const parameter_t *p, leat_symbol_role_t role, leat_value_id_t value) {
  leat_b_store(o->b, leat_b_role(o->b, role, p->owner), LEAT_STORE_UPDATE, value);
}

// The master copy of a half-precision parameter starts as the parameter itself.
static leat_value_id_t master_copy(optimizer_t *o, const parameter_t *p) {
  leat_value_t v = *leat_b_value(o->b, p->symbol);
  const leat_symbol_id_t master = leat_b_role(o->b, LEAT_MADE_MASTER, p->owner);
  leat_value_id_t kept = leat_b_symbol(o->b, master, LEAT_KIND_STATE, LEAT_F32, v.rank, v.dims);
  return leat_b_select(o->b, is_first_step(o), leat_b_cast(o->b, p->symbol, LEAT_F32), kept);
}

static bool keeps_master(const optimizer_t *o, leat_value_id_t symbol) {
  return flag(o, LEAT_ATTR_FP32_PARAMS) && leat_dtype_bytes(leat_b_dtype(o->b, symbol)) < 4;
}

static bool is_dithered(const optimizer_t *o, leat_value_id_t symbol) {
  return flag(o, LEAT_ATTR_DITHERED) && leat_b_dtype(o->b, symbol) == LEAT_BF16 && !keeps_master(o, symbol);
}

static parameter_t read_parameter(optimizer_t *o, leat_value_id_t symbol) {
  const leat_op_t *op = leat_graph_op(o->b->graph, leat_b_value(o->b, symbol)->op);
  leat_value_id_t written = o->current[symbol], read = written == LEAT_NONE ? symbol : written;
  parameter_t p = {.owner = leat_op_symbol(o->b->graph, op), .symbol = read, .value = read};
  p.has_master = keeps_master(o, symbol);
  p.dithered = is_dithered(o, symbol);
  if (p.has_master || p.dithered)
    p.value = p.has_master && written == LEAT_NONE ? master_copy(o, &p) : leat_b_cast(o->b, read, LEAT_F32);
  p.gradient = leat_b_cast(o->b, o->gradients[symbol], leat_b_dtype(o->b, p.value));
  if (o->clip != LEAT_NONE)
    p.gradient = leat_b_mul(o->b, p.gradient, leat_b_cast(o->b, o->clip, leat_b_dtype(o->b, p.value)));
  if (flag(o, LEAT_ATTR_MAXIMIZE)) p.gradient = leat_b_fn1(o->b, NEG, p.gradient);
  return p;
}

// Streams of draws, far from those of the program: one a parameter, and as many as there are units (unit/unit.h).
enum { DITHER_STREAM = 1u << 31, DITHER_STEP = 1 << 12, DITHER_OWNERS = 1 << 19 };

static leat_value_id_t dithered(optimizer_t *o, const parameter_t *p, leat_value_id_t value) {
  const leat_value_t v = *leat_b_value(o->b, value);
  const int64_t stream = (int64_t)DITHER_STREAM + (int64_t)(p->owner % DITHER_OWNERS) * DITHER_STEP;
  const leat_value_id_t share =
      leat_b_random(o->b, LEAT_DRAW_UNIFORM, stream, leat_b_random_state(o->b), LEAT_F32, v.rank, v.dims);
  return leat_b_fn2(o->b, DITHER, value, share);
}

static void store_parameter(optimizer_t *o, const parameter_t *p, leat_value_id_t value) {
  if (p->dithered) value = dithered(o, p, value);
  if (p->has_master) store_state(o, p, LEAT_MADE_MASTER, value);
  leat_b_store(o->b, p->owner, LEAT_STORE_UPDATE, leat_b_cast(o->b, value, leat_b_dtype(o->b, p->symbol)));
}

static leat_value_id_t cast_like(optimizer_t *o, leat_value_id_t scalar, const parameter_t *p) {
  return leat_b_cast(o->b, scalar, leat_b_dtype(o->b, p->value));
}
// a * b + c with one rounding, as torch's vectorised add with alpha.
static leat_value_id_t fma_of(optimizer_t *o, leat_value_id_t a, leat_value_id_t b, leat_value_id_t c) {
  return leat_b_map3(o->b, LEAT_SCALAR_FMA, a, b, c);
}

// --- rules ---------------------------------------------------------------------------------------------------------

// g += decay * p; buf = momentum * buf + (1 - dampening) * g, the first time g itself; p -= lr * buf
// (nesterov: g + momentum * buf). The buffer exists even for momentum 0, which a run may change.
static void sgd(optimizer_t *o, const parameter_t *p) {
  leat_builder_t *b = o->b;
  leat_value_id_t g = p->gradient, minus_lr = leat_b_fn1(b, NEG, hyper(o, LEAT_ATTR_LR));
  leat_value_id_t momentum = cast_like(o, hyper(o, LEAT_ATTR_MOMENTUM), p);
  if (!always_zero(o, LEAT_ATTR_WEIGHT_DECAY))
    g = fma_of(o, p->value, cast_like(o, hyper(o, LEAT_ATTR_WEIGHT_DECAY), p), g);
  leat_value_id_t fresh = g;
  bool dampens = !always_zero(o, LEAT_ATTR_DAMPENING);
  if (dampens) fresh = leat_b_mul(b, g, cast_like(o, leat_b_sub_from(b, 1.0, hyper(o, LEAT_ATTR_DAMPENING)), p));
  leat_value_id_t buffer = fma_of(o, state(o, p, LEAT_MADE_MOMENTUM), momentum, fresh);
  if (dampens) buffer = leat_b_select(b, is_first_step(o), g, buffer);
  store_state(o, p, LEAT_MADE_MOMENTUM, buffer);
  leat_value_id_t direction = flag(o, LEAT_ATTR_NESTEROV) ? fma_of(o, buffer, momentum, g) : buffer;
  store_parameter(o, p, fma_of(o, direction, cast_like(o, minus_lr, p), p->value));
}

// 1 - beta^t with t counted from 1.
static leat_value_id_t bias_correction(optimizer_t *o, leat_value_id_t beta) {
  step_of(o);
  return leat_b_sub_from(o->b, 1.0, leat_b_fn2(o->b, POW, beta, o->next_step));
}

// p *= 1 - lr * decay; m += (1 - beta1) * (g - m); v = beta2 * v + (1 - beta2) * g^2;
// p -= lr / c1 * m / (sqrt(v) / sqrt(c2) + eps), c: bias corrections; amsgrad: the largest v so far.
static void adamw(optimizer_t *o, const parameter_t *p) {
  leat_builder_t *b = o->b;
  leat_value_id_t g = p->gradient, lr = hyper(o, LEAT_ATTR_LR);
  leat_value_id_t beta1 = hyper(o, LEAT_ATTR_BETA1), beta2 = hyper(o, LEAT_ATTR_BETA2);
  leat_value_id_t decay = hyper(o, LEAT_ATTR_WEIGHT_DECAY), eps = hyper(o, LEAT_ATTR_EPS);
  leat_value_id_t shrink = leat_b_sub_from(b, 1.0, leat_b_mul(b, lr, decay));
  leat_value_id_t step_size = leat_b_div(b, lr, bias_correction(o, beta1));
  leat_value_id_t root_c2 = leat_b_fn1(b, SQRT, bias_correction(o, beta2));

  leat_value_id_t m = state(o, p, LEAT_MADE_EXP_AVG), v = state(o, p, LEAT_MADE_EXP_AVG_SQ);
  m = fma_of(o, leat_b_sub(b, g, m), cast_like(o, leat_b_sub_from(b, 1.0, beta1), p), m);
  leat_value_id_t fresh = leat_b_mul(b, leat_b_square(b, g), cast_like(o, leat_b_sub_from(b, 1.0, beta2), p));
  v = fma_of(o, v, cast_like(o, beta2, p), fresh);
  store_state(o, p, LEAT_MADE_EXP_AVG, m);
  store_state(o, p, LEAT_MADE_EXP_AVG_SQ, v);
  if (flag(o, LEAT_ATTR_AMSGRAD)) {
    v = leat_b_fn2(b, MAX, state(o, p, LEAT_MADE_MAX_EXP_AVG_SQ), v);
    store_state(o, p, LEAT_MADE_MAX_EXP_AVG_SQ, v);
  }
  leat_value_id_t root = leat_b_div(b, leat_b_fn1(b, SQRT, v), cast_like(o, root_c2, p));
  leat_value_id_t denominator = leat_b_add(b, root, cast_like(o, eps, p));
  leat_value_id_t kept = leat_b_mul(b, p->value, cast_like(o, shrink, p));
  leat_value_id_t move = leat_b_div(b, leat_b_mul(b, m, cast_like(o, step_size, p)), denominator);
  store_parameter(o, p, leat_b_sub(b, kept, move));
}

typedef void (*update_rule_t)(optimizer_t *o, const parameter_t *p);
static const update_rule_t update_rules[] = {[LEAT_OPTIMIZER_SGD] = sgd, [LEAT_OPTIMIZER_ADAMW] = adamw};

// --- gradient norm -------------------------------------------------------------------------------------------------

bool leat_optimizer_clips(const leat_graph_t *g, const leat_op_t *statement) {
  return leat_op_attr(g, statement, LEAT_ATTR_MAX_GRAD_NORM) != NULL ||
         leat_optimizer_is_open(g, statement, LEAT_ATTR_MAX_GRAD_NORM);
}

leat_value_id_t leat_optimizer_clip_factor(leat_builder_t *b, const leat_graph_t *g, const leat_op_t *statement,
                                           const leat_value_id_t *gradients, uint32_t count) {
  leat_value_id_t total = LEAT_NONE;
  for (uint32_t i = 0; i < count; i++) {
    leat_value_id_t squares = leat_b_square(b, leat_b_widen(b, gradients[i]));
    uint32_t dims = leat_b_all_dims(b, gradients[i]);
    leat_value_id_t sum = leat_b_cast(b, leat_b_reduce(b, LEAT_FOLD_SUM, squares, dims, false), LEAT_F64);
    total = total == LEAT_NONE ? sum : leat_b_add(b, total, sum);
  }
  if (total == LEAT_NONE) return LEAT_NONE;
  leat_value_id_t norm = leat_b_adds(b, leat_b_fn1(b, SQRT, total), 1e-6);
  return leat_b_fn2s(b, MIN, leat_b_div(b, hyper_of(b, g, statement, LEAT_ATTR_MAX_GRAD_NORM), norm), 1.0);
}

// The factor of the gradients: computed elsewhere where they are not all here, else from them.
static leat_status_t find_clip(optimizer_t *o) {
  leat_builder_t *b = o->b;
  const leat_attr_t *elsewhere = leat_op_attr(o->from, o->op, LEAT_ATTR_CLIP);
  if (elsewhere != NULL) {
    b->type = LEAT_TYPE_OPT;
    o->clip = leat_b_symbol_once(b, (leat_symbol_id_t)elsewhere->v.i, LEAT_KIND_INPUT, LEAT_F64, 0, NULL);
    return NULL;
  }
  if (!leat_optimizer_clips(o->from, o->op)) return NULL;
  leat_value_id_t *gradients = leat_alloc_zero(o->op->input_count + 1u, sizeof *gradients);
  uint32_t count = 0;
  if (gradients == NULL) return leat_out_of_memory();
  for (uint32_t i = 0; i < o->op->input_count; i++) {
    gradients[count] = o->gradients[leat_op_input(o->from, o->op, i)];
    count += gradients[count] != LEAT_NONE;
  }
  b->type = LEAT_TYPE_GRADNORM;
  o->clip = leat_optimizer_clip_factor(b, o->from, o->op, gradients, count);
  leat_free(gradients);
  return NULL;
}

// Scalars computed since op `first` serve every parameter: they are in no group.
static void ungroup_scalars(leat_graph_t *g, leat_op_id_t first) {
  for (leat_op_id_t id = first; id < g->ops.count; id++) {
    leat_op_t *op = &g->ops.data[id];
    if (op->result_count == 1 && leat_graph_value(g, op->result_first)->rank == 0) op->group = 0;
  }
}

static leat_status_t append_statement(optimizer_t *o) {
  leat_builder_t *b = o->b;
  if (leat_op_attr(o->from, o->op, LEAT_ATTR_KIND) == NULL)
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "an optimizer has no kind: use sgd or adamw");
  const update_rule_t rule = update_rules[leat_op_word(o->from, o->op, LEAT_ATTR_KIND, LEAT_OPTIMIZER_SGD)];
  *b = (leat_builder_t){.graph = b->graph, .origin = o->op->origin};
  LEAT_TRY(find_clip(o));
  b->type = LEAT_TYPE_OPT;
  for (uint32_t i = 0; i < o->op->input_count; i++) {
    leat_value_id_t symbol = leat_op_input(o->from, o->op, i);
    const leat_op_t *named = leat_graph_op(b->graph, leat_b_value(b, symbol)->op);
    if (!leat_op_is_symbol(b->graph, named, LEAT_KIND_PARAM) && !leat_op_is_symbol(b->graph, named, LEAT_KIND_BUFFER))
      LEAT_FAIL(LEAT_INVALID_ARGUMENT, "operand %u of an optimizer is not a parameter", i);
    if (o->gradients[symbol] == LEAT_NONE) continue;
    leat_op_id_t first = b->graph->ops.count;
    b->group = o->groups[symbol];
    parameter_t p = read_parameter(o, symbol);
    rule(o, &p);
    ungroup_scalars(b->graph, first);
  }
  return leat_builder_take_status(b);
}

static leat_status_t append_all(optimizer_t *shared) {
  uint32_t index = 0;
  for (leat_op_id_t id = 0; id < shared->from->ops.count; id++) {
    optimizer_t o = *shared;
    o.op = leat_graph_op(shared->from, id);
    o.index = index;
    if (leat_op_role(o.op->kind) != LEAT_ROLE_OPTIMIZER) continue;
    index++;
    leat_status_t status = append_statement(&o);
    if (status != NULL) return leat_status_annotate(status, "optimizer %u", o.index);
  }
  return NULL;
}

// The update of a parameter belongs to the group that reads it first.
static void mark_groups(const leat_graph_t *from, uint32_t *groups) {
  for (leat_op_id_t id = 0; id < from->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(from, id);
    for (uint32_t i = 0; i < op->input_count && op->group != 0; i++) {
      leat_value_id_t x = leat_op_input(from, op, i);
      if (x != LEAT_NONE && groups[x] == 0) groups[x] = op->group;
    }
  }
}

leat_status_t leat_optimizer_append(leat_builder_t *b, const leat_graph_t *from, const leat_value_id_t *gradients,
                                    const leat_value_id_t *current) {
  uint32_t *groups = leat_alloc_zero((size_t)from->values.count + 1u, sizeof *groups);
  if (groups == NULL) return leat_out_of_memory();
  mark_groups(from, groups);
  optimizer_t shared = {.b = b,
                        .from = from,
                        .gradients = gradients,
                        .current = current,
                        .groups = groups,
                        .step = LEAT_NONE,
                        .next_step = LEAT_NONE,
                        .clip = LEAT_NONE};
  leat_status_t status = append_all(&shared);
  leat_free(groups);
  return status;
}
