// SPDX-License-Identifier: Apache-2.0
// Recurrent layers: a loop over the steps, with the input's product for all steps before it. Cells: one step.
#include "ir/loop.h"
#include "lower/row.h"

enum { STATES_MAX = 2 };

// What the state is multiplied with.
typedef struct weights_s {
  leat_value_id_t hh, bias, projection;  // the last two may be absent
  bool rounded;                          // the state, to bf16, where it is multiplied
} weights_t;

// One step: `states` become what follows from them and from `x`, the input's product with its bias.
typedef void (*step_t)(leat_builder_t *b, leat_value_id_t x, const weights_t *weights, leat_value_id_t *states);

static leat_value_id_t times(leat_builder_t *b, leat_value_id_t h, leat_value_id_t w, bool rounded,
                             leat_value_id_t bias) {
  if (rounded) h = leat_b_cast(b, leat_b_cast(b, h, LEAT_BF16), leat_b_dtype(b, h));
  return leat_row_times(b, h, w, true, bias);
}

static leat_value_id_t product_of_state(leat_builder_t *b, const weights_t *w, leat_value_id_t h) {
  return times(b, h, w->hh, w->rounded, w->bias);
}

// Part `index` of `count` equal ones along the last dim.
static leat_value_id_t chunk(leat_builder_t *b, leat_value_id_t x, int64_t index, int64_t count) {
  const leat_value_t *type = leat_b_value(b, x);
  if (type->rank != 2) return LEAT_NONE;
  const int64_t extent = type->dims[1] / count;
  return leat_b_slice_dim(b, x, 1, index * extent, (index + 1) * extent, 1);
}

static void step_lstm(leat_builder_t *b, leat_value_id_t x, const weights_t *weights, leat_value_id_t *states) {
  leat_value_id_t gates = leat_b_add(b, product_of_state(b, weights, states[0]), x);
  leat_value_id_t in = leat_b_fn1(b, SIGMOID, chunk(b, gates, 0, 4)),
                  keep = leat_b_fn1(b, SIGMOID, chunk(b, gates, 1, 4));
  leat_value_id_t cell = leat_b_fn1(b, TANH, chunk(b, gates, 2, 4)),
                  out = leat_b_fn1(b, SIGMOID, chunk(b, gates, 3, 4));
  states[1] = leat_b_add(b, leat_b_mul(b, keep, states[1]), leat_b_mul(b, in, cell));
  states[0] = leat_b_mul(b, out, leat_b_fn1(b, TANH, states[1]));
  if (weights->projection != LEAT_NONE)
    states[0] = times(b, states[0], weights->projection, weights->rounded, LEAT_NONE);
}

static void step_gru(leat_builder_t *b, leat_value_id_t x, const weights_t *weights, leat_value_id_t *states) {
  leat_value_id_t h = product_of_state(b, weights, states[0]);
  leat_value_id_t reset = leat_b_fn1(b, SIGMOID, leat_b_add(b, chunk(b, h, 0, 3), chunk(b, x, 0, 3)));
  leat_value_id_t update = leat_b_fn1(b, SIGMOID, leat_b_add(b, chunk(b, h, 1, 3), chunk(b, x, 1, 3)));
  leat_value_id_t fresh =
      leat_b_fn1(b, TANH, leat_b_add(b, chunk(b, x, 2, 3), leat_b_mul(b, chunk(b, h, 2, 3), reset)));
  states[0] = leat_b_add(b, leat_b_mul(b, leat_b_sub(b, states[0], fresh), update), fresh);
}

static void step_tanh(leat_builder_t *b, leat_value_id_t x, const weights_t *weights, leat_value_id_t *states) {
  states[0] = leat_b_fn1(b, TANH, leat_b_add(b, product_of_state(b, weights, states[0]), x));
}

static void step_relu(leat_builder_t *b, leat_value_id_t x, const weights_t *weights, leat_value_id_t *states) {
  leat_value_id_t sum = leat_b_add(b, product_of_state(b, weights, states[0]), x);
  states[0] = leat_b_number_or(b, leat_b_fn2s(b, LE, sum, 0.0), 0.0, sum);  // flat at zero, and NaN passes
}

// --- layers ---------------------------------------------------------------------------------------------------------

// Operands of a row with `states` states: x, the states, w_ih, w_hh, b_ih, b_hh, w_hr if there are two, mask.
typedef struct operands_s {
  uint32_t states;
  leat_value_id_t x, state[STATES_MAX], mask;  // x: times w_ih, plus b_ih
  weights_t weights;
} operands_t;

static operands_t read_operands(const leat_lower_t *c, uint32_t states) {
  const uint32_t first = 1 + states;
  operands_t o = {.states = states, .state = {LEAT_NONE, LEAT_NONE}};
  for (uint32_t i = 0; i < states; i++) o.state[i] = leat_lower_in(c, 1 + i);
  o.weights.hh = leat_lower_in(c, first + 1);
  o.weights.bias = leat_lower_in(c, first + 3);
  o.weights.projection = states == 2 ? leat_lower_in(c, first + 4) : LEAT_NONE;
  o.weights.rounded = leat_lower_int(c, LEAT_ATTR_ROUNDED, 0) != 0;
  o.mask = leat_lower_in(c, first + (states == 2 ? 5 : 4));
  o.x = leat_row_times(c->b, leat_lower_in(c, 0), leat_lower_in(c, first), true, leat_lower_in(c, first + 2));
  return o;
}

// Where the mask is false, the state is what it was.
static leat_value_id_t masked(leat_builder_t *b, leat_value_id_t mask, leat_value_id_t state, leat_value_id_t before) {
  return mask == LEAT_NONE ? state : leat_b_select(b, leat_b_unsqueeze(b, mask, 2u), state, before);
}

static leat_value_id_t fixed(leat_loop_builder_t *l, leat_value_id_t x) {
  return x == LEAT_NONE ? LEAT_NONE : leat_b_loop_fixed(l, x);
}

static leat_value_id_t layer(leat_lower_t *c, uint32_t states, step_t step) {
  const operands_t o = read_operands(c, states);
  leat_loop_builder_t l;
  leat_value_id_t before[STATES_MAX], after[STATES_MAX];
  if (leat_b_value(c->b, o.x)->rank != 3)
    return leat_b_fail(c->b, LEAT_INVALID_ARGUMENT, "needs an input of steps, batch and features");
  leat_b_loop_start(&l, c->b, leat_b_value(c->b, o.x)->dims[0], leat_lower_int(c, LEAT_ATTR_REVERSE, 0) != 0);
  for (uint32_t i = 0; i < states; i++) after[i] = before[i] = leat_b_loop_carried(&l, o.state[i]);
  const leat_value_id_t x = leat_b_loop_scanned(&l, o.x);
  const leat_value_id_t mask = o.mask == LEAT_NONE ? LEAT_NONE : leat_b_loop_scanned(&l, o.mask);
  const weights_t weights = {fixed(&l, o.weights.hh), fixed(&l, o.weights.bias), fixed(&l, o.weights.projection),
                             o.weights.rounded};
  if (c->b->status == NULL) step(&l.b, x, &weights, after);
  for (uint32_t i = 0; i < states && c->b->status == NULL; i++) {
    after[i] = masked(&l.b, mask, after[i], before[i]);
    leat_b_loop_next(&l, i, after[i]);
  }
  (void)leat_b_loop_stack(&l, after[0]);
  const leat_value_id_t first = leat_b_loop_finish(&l);
  if (first == LEAT_NONE) return LEAT_NONE;
  for (uint32_t i = 0; i < states; i++) c->out[1 + i] = first + i;
  return first + states;
}

LOWER(LSTM) { return layer(c, 2, step_lstm); }
LOWER(GRU) { return layer(c, 1, step_gru); }
LOWER(RNN_TANH) { return layer(c, 1, step_tanh); }
LOWER(RNN_RELU) { return layer(c, 1, step_relu); }

// --- cells ----------------------------------------------------------------------------------------------------------

static leat_value_id_t cell(leat_lower_t *c, uint32_t states, step_t step) {
  operands_t o = read_operands(c, states);
  if (c->b->status != NULL) return LEAT_NONE;
  step(c->b, o.x, &o.weights, o.state);
  c->out[1] = o.state[1];
  return o.state[0];
}

LOWER(LSTM_CELL) { return cell(c, 2, step_lstm); }
LOWER(GRU_CELL) { return cell(c, 1, step_gru); }
LOWER(RNN_TANH_CELL) { return cell(c, 1, step_tanh); }
LOWER(RNN_RELU_CELL) { return cell(c, 1, step_relu); }
