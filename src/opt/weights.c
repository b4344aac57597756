// SPDX-License-Identifier: Apache-2.0
// See weights.h. Works on primitives behind the passes that make new weights; a weight is narrowed once, however many
// products and lookups read it.
#include "opt/weights.h"

#include <stdio.h>

#include "ir/rebuild.h"

enum { NUMBER_TEXT = 32 };

// A weight as products read it: of the old graph `value`, summed along the dims of `summed`.
typedef struct weight_s {
  leat_value_id_t value;
  uint32_t summed;                // a bit a dim
  uint32_t group_dim;             // cut in two, of which the inner one has `group` elements; LEAT_NONE: none is
  leat_value_id_t narrow, scale;  // of the new graph, with that dim cut; LEAT_NONE: not made yet, or there is none
} weight_t;

typedef struct weights_s {
  const leat_weights_options_t *options;
  leat_weights_report_t *report;
  leat_symbol_id_t *parameter;  // per value: the first that it hangs on, where it is fixed; LEAT_NONE
  bool *fixed;                  // per value: hangs on parameters, buffers and constants alone
  LEAT_ARRAY(weight_t) weights;
  uint32_t *weight_of;  // per op: of a product or a lookup; LEAT_NONE
  uint32_t number;      // of errors that are measured
} weights_t;

static const leat_value_t *input_of(const leat_graph_t *g, const leat_op_t *op, uint32_t i) {
  return leat_graph_value(g, leat_op_input(g, op, i));
}

// --- what is a weight ------------------------------------------------------------------------------------------------

static void find_fixed(weights_t *n, const leat_graph_t *g) {
  for (leat_op_id_t id = 0; id < g->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(g, id);
    const bool is_symbol = leat_op_role(op->kind) == LEAT_ROLE_SYMBOL;
    bool fixed = is_symbol ? leat_graph_is_fixed(g, op) : leat_op_role(op->kind) != LEAT_ROLE_DRAW;
    leat_symbol_id_t parameter = LEAT_NONE;
    if (leat_op_is_symbol(g, op, LEAT_KIND_PARAM)) parameter = leat_op_symbol(g, op);
    for (uint32_t i = 0; i < op->input_count; i++) {
      const leat_value_id_t v = leat_op_input(g, op, i);
      fixed = fixed && v != LEAT_NONE && n->fixed[v];
      if (v != LEAT_NONE && parameter == LEAT_NONE) parameter = n->parameter[v];
    }
    for (uint32_t i = 0; i < op->result_count; i++) {
      n->fixed[op->result_first + i] = fixed;
      n->parameter[op->result_first + i] = fixed ? parameter : LEAT_NONE;
    }
  }
}

static bool is_product(const leat_op_t *op) { return leat_op_takes_attr(op->kind, LEAT_ATTR_SPEC); }

static bool is_convolution(const leat_op_t *op) {
  return leat_op_info(op->kind)->products != 0 && leat_op_takes_attr(op->kind, LEAT_ATTR_BASE_DILATION);
}

static bool is_lookup(const leat_op_t *op) {
  return leat_op_takes_attr(op->kind, LEAT_ATTR_BATCH) && leat_op_takes_attr(op->kind, LEAT_ATTR_DIM) &&
         !leat_op_takes_attr(op->kind, LEAT_ATTR_FN);
}

// The operand of a product that is a weight; LEAT_NONE: none is.
static uint32_t operand_of(const weights_t *n, const leat_graph_t *g, const leat_op_t *op) {
  if (!is_product(op) || op->input_count != 2 || op->type != LEAT_TYPE_FWD) return LEAT_NONE;
  if (input_of(g, op, 0)->dtype != LEAT_F32 || input_of(g, op, 1)->dtype != LEAT_F32) return LEAT_NONE;
  const leat_value_id_t x = leat_op_input(g, op, 0), y = leat_op_input(g, op, 1);
  if (n->fixed[x] == n->fixed[y]) return LEAT_NONE;
  const uint32_t which = n->fixed[x] ? 0 : 1;
  return n->parameter[which == 0 ? x : y] == LEAT_NONE ? LEAT_NONE : which;
}

// Engines read the operand of the result's innermost dim as the one that is narrow.
static bool leads(const leat_graph_t *g, const leat_op_t *op, uint32_t weights) {
  const leat_spec_t *spec = leat_op_spec(g, op);
  const leat_value_t *result = leat_graph_value(g, op->result_first);
  for (uint32_t i = spec->rank[2]; i-- > 0;) {
    if (result->dims[i] != 1) return leat_spec_find(spec, weights, spec->letters[2][i]) < 0;
  }
  return false;
}

static bool is_kept(const weights_t *n, const leat_graph_t *g, leat_value_id_t v) {
  const char *keep = n->options->keep;
  return keep != NULL && leat_text_lists(keep, leat_graph_symbol(g, n->parameter[v])->name);
}

static uint32_t summed_dims(const leat_spec_t *spec, uint32_t weights) {
  uint32_t dims = 0;
  for (uint32_t i = 0; i < spec->rank[weights]; i++) {
    if (leat_spec_find(spec, 2, spec->letters[weights][i]) < 0) dims |= 1u << i;
  }
  return dims;
}

// The dim whose terms go in groups: the only one that is summed, where groups divide it.
static uint32_t group_dim(const weights_t *n, const leat_value_t *w, uint32_t summed) {
  const int64_t group = n->options->dtype == LEAT_I8 ? n->options->group : 0;
  if (group == 0 || summed == 0 || (summed & (summed - 1)) != 0 || w->rank == LEAT_RANK_MAX) return LEAT_NONE;
  const uint32_t dim = (uint32_t)__builtin_ctz(summed);
  return w->dims[dim] > group && w->dims[dim] % group == 0 ? dim : LEAT_NONE;
}

static leat_status_t add_weight(weights_t *n, const leat_graph_t *g, leat_value_id_t v, uint32_t summed,
                                uint32_t *out_weight) {
  for (uint32_t i = 0; i < n->weights.count; i++) {
    *out_weight = i;
    if (n->weights.data[i].value == v && n->weights.data[i].summed == summed) return NULL;
  }
  weight_t *weight = leat_array_push(&n->weights);
  if (weight == NULL) return leat_out_of_memory();
  const leat_value_t *w = leat_graph_value(g, v);
  *weight = (weight_t){v, summed, group_dim(n, w, summed), LEAT_NONE, LEAT_NONE};
  *out_weight = n->weights.count - 1;
  n->report->elements += leat_value_elements(w);
  return NULL;
}

static leat_status_t find_products(weights_t *n, const leat_graph_t *g) {
  for (leat_op_id_t id = 0; id < g->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(g, id);
    const uint32_t which = operand_of(n, g, op);
    n->weight_of[id] = LEAT_NONE;
    if (is_convolution(op) && n->fixed[leat_op_input(g, op, 1)]) n->report->convolutions++;
    if (which == LEAT_NONE) continue;
    const leat_value_id_t v = leat_op_input(g, op, which);
    const uint32_t summed = summed_dims(leat_op_spec(g, op), which);
    const bool is_full = n->options->group > 0 && input_of(g, op, 1 - which)->rank == LEAT_RANK_MAX;  // for groups
    const bool stays = summed == 0 || is_full || leads(g, op, which) || is_kept(n, g, v);
    n->report->kept += stays;
    if (stays) continue;
    n->report->products++;
    LEAT_TRY(add_weight(n, g, v, summed, &n->weight_of[id]));
  }
  return NULL;
}

// A lookup of whole lines that are summed up by a product: each has a scale, or several.
static void find_lookups(weights_t *n, const leat_graph_t *g) {
  for (leat_op_id_t id = 0; id < g->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(g, id);
    if (!is_lookup(op) || leat_op_int(g, op, LEAT_ATTR_BATCH, 0) != 0) continue;
    const leat_value_t *table = input_of(g, op, 0);
    const int64_t dim = leat_op_int(g, op, LEAT_ATTR_DIM, 0);
    for (uint32_t i = 0; i < n->weights.count; i++) {
      const weight_t *weight = &n->weights.data[i];
      if (weight->value == leat_op_input(g, op, 0) && table->rank == 2 && dim == 0 && weight->summed == 2)
        n->weight_of[id] = i;
    }
  }
}

// --- narrow values ---------------------------------------------------------------------------------------------------

// `x` with dim `dim` cut in parts of `group`.
static leat_value_id_t cut_dim(leat_builder_t *b, leat_value_id_t x, uint32_t dim, int64_t group) {
  const leat_value_t from = *leat_b_value(b, x);
  int64_t dims[LEAT_RANK_MAX + 1];
  for (uint32_t d = 0; d < from.rank; d++) dims[d + (d > dim)] = from.dims[d];
  dims[dim] = from.dims[dim] / group;
  dims[dim + 1] = group;
  return leat_b_reshape(b, x, from.rank + 1, dims);
}

static leat_value_id_t clamp(leat_builder_t *b, leat_value_id_t x, double low, double high) {
  return leat_b_map2s(b, LEAT_SCALAR_MIN, leat_b_map2s(b, LEAT_SCALAR_MAX, x, low), high);
}

// A line of zeros has scale 0, and so has 0 / 0 = NaN as its integers, which is stored as 0. Max |w| is that of both
// ends, so that nothing of the size of w is stored where lines are summed across.
static void quantise(leat_builder_t *b, leat_value_id_t w, uint32_t summed, weight_t *weight) {
  const leat_value_id_t high = leat_b_reduce(b, LEAT_FOLD_MAX, w, summed, true);
  const leat_value_id_t low = leat_b_reduce(b, LEAT_FOLD_MIN, w, summed, true);
  const leat_value_id_t most = leat_b_map2(b, LEAT_SCALAR_MAX, high, leat_b_map1(b, LEAT_SCALAR_NEG, low));
  weight->scale = leat_b_map2s(b, LEAT_SCALAR_DIV, most, 127);
  const leat_value_id_t whole = leat_b_map1(b, LEAT_SCALAR_ROUND, leat_b_div(b, w, weight->scale));
  weight->narrow = leat_b_cast(b, clamp(b, whole, -127, 127), LEAT_I8);
}

static void make(leat_rebuild_t *r, weight_t *weight) {
  const weights_t *n = r->user;
  leat_value_id_t w = r->map[weight->value];
  uint32_t summed = weight->summed;
  if (weight->narrow != LEAT_NONE) return;
  if (weight->group_dim != LEAT_NONE) {  // terms of a group are summed up, groups have scales
    w = cut_dim(&r->b, w, weight->group_dim, n->options->group);
    summed = 2u << weight->group_dim;
  }
  if (n->options->dtype == LEAT_I8)
    quantise(&r->b, w, summed, weight);
  else
    weight->narrow = leat_b_cast(&r->b, w, n->options->dtype);
}

// --- products --------------------------------------------------------------------------------------------------------

static char free_letter(const leat_spec_t *spec) {
  for (char c = 'a'; c <= 'z'; c++) {
    if (leat_spec_find(spec, 0, c) < 0 && leat_spec_find(spec, 1, c) < 0) return c;
  }
  return 'A';
}

// Behind `letter` of tensor `which` comes another one.
static void add_letter(leat_spec_t *spec, uint32_t which, char letter, char next) {
  const int at = leat_spec_find(spec, which, letter);
  char *letters = spec->letters[which];
  memmove(letters + at + 2, letters + at + 1, (size_t)(spec->rank[which] - at - 1));
  letters[at + 1] = next;
  spec->rank[which]++;
}

static leat_value_id_t multiply(leat_rebuild_t *r, const leat_op_t *op, weight_t *weight) {
  const weights_t *n = r->user;
  const uint32_t which = operand_of(n, r->from, op);
  leat_spec_t spec = leat_spec_pick(leat_op_spec(r->from, op), 1 - which, which, 2);
  leat_value_id_t x = leat_rebuild_input(r, op, 1 - which);
  make(r, weight);
  if (weight->group_dim != LEAT_NONE) {
    const char letter = spec.letters[1][weight->group_dim], next = free_letter(&spec);
    x = cut_dim(&r->b, x, (uint32_t)leat_spec_find(&spec, 0, letter), n->options->group);
    add_letter(&spec, 0, letter, next);
    add_letter(&spec, 1, letter, next);
  }
  return leat_b_contract_scaled(&r->b, &spec, x, weight->narrow, weight->scale);
}

static leat_value_id_t look_up(leat_rebuild_t *r, const leat_op_t *op, weight_t *weight) {
  const weights_t *n = r->user;
  const leat_value_t *result = leat_graph_value(r->from, op->result_first);
  const leat_value_id_t index = leat_rebuild_input(r, op, 1);
  const uint32_t rank = leat_b_value(&r->b, index)->rank;
  const leat_value_t *table = input_of(r->from, op, 0);
  make(r, weight);
  leat_value_id_t lines = leat_b_reshape(&r->b, weight->narrow, table->rank, table->dims);
  leat_value_id_t line = leat_b_cast(&r->b, leat_b_gather(&r->b, lines, index, 0, 0), LEAT_F32);
  if (weight->group_dim != LEAT_NONE) line = cut_dim(&r->b, line, rank, n->options->group);
  if (weight->scale != LEAT_NONE) line = leat_b_mul(&r->b, line, leat_b_gather(&r->b, weight->scale, index, 0, 0));
  return leat_b_reshape(&r->b, line, result->rank, result->dims);
}

// --- errors ----------------------------------------------------------------------------------------------------------

static leat_value_id_t fold_all(leat_builder_t *b, leat_fold_t fn, leat_value_id_t x) {
  static const int64_t one[] = {1};
  return leat_b_reshape(b, leat_b_reduce(b, fn, x, (1u << leat_b_value(b, x)->rank) - 1u, true), 1, one);
}

static leat_value_id_t most_of(leat_builder_t *b, leat_value_id_t x) {
  return fold_all(b, LEAT_FOLD_MAX, leat_b_map1(b, LEAT_SCALAR_ABS, x));
}

static leat_value_id_t squares_of(leat_builder_t *b, leat_value_id_t x) {
  return fold_all(b, LEAT_FOLD_SUM, leat_b_mul(b, x, x));
}

static void measure(leat_rebuild_t *r, const leat_op_t *op, const weight_t *weight, leat_value_id_t narrow) {
  weights_t *n = r->user;
  leat_builder_t *b = &r->b;
  const leat_value_id_t y = r->map[op->result_first], d = leat_b_sub(b, narrow, y);
  const leat_value_id_t errors[] = {most_of(b, d), most_of(b, y), squares_of(b, d), squares_of(b, y)};
  leat_text_t name = {0};
  leat_text_put(&name, "%s__weight_error_%u", leat_graph_symbol(r->from, n->parameter[weight->value])->name,
                n->number++);
  if (name.failed)
    leat_b_fail(b, LEAT_OUT_OF_MEMORY, "out of memory");
  else
    leat_b_store(b, leat_b_named(b, name.data), LEAT_STORE_OUTPUT, leat_b_concat(b, errors, 4, 0));
  leat_text_deinit(&name);
}

// --- the pass --------------------------------------------------------------------------------------------------------

static leat_status_t visit(leat_rebuild_t *r, leat_op_id_t id) {
  weights_t *n = r->user;
  const leat_op_t *op = leat_graph_op(r->from, id);
  if (n->weight_of[id] == LEAT_NONE) return leat_rebuild_copy(r, id);
  weight_t *weight = &n->weights.data[n->weight_of[id]];
  const bool multiplies = is_product(op);
  if (n->options->measures) {
    LEAT_TRY(leat_rebuild_copy(r, id));
    if (multiplies) measure(r, op, weight, multiply(r, op, weight));
  } else {
    r->map[op->result_first] = multiplies ? multiply(r, op, weight) : look_up(r, op, weight);
  }
  return leat_builder_take_status(&r->b);
}

static leat_status_t run(weights_t *n, const leat_graph_t *from, leat_graph_t **out_graph) {
  n->parameter = leat_alloc(((size_t)from->values.count + 1) * sizeof *n->parameter);
  n->fixed = leat_alloc_zero((size_t)from->values.count + 1, sizeof *n->fixed);
  n->weight_of = leat_alloc(((size_t)from->ops.count + 1) * sizeof *n->weight_of);
  if (n->parameter == NULL || n->fixed == NULL || n->weight_of == NULL) return leat_out_of_memory();
  find_fixed(n, from);
  LEAT_TRY(find_products(n, from));
  find_lookups(n, from);
  return leat_rebuild(from, visit, n, out_graph);
}

leat_status_t leat_opt_weights(const leat_graph_t *from, const leat_weights_options_t *options,
                               leat_weights_report_t *out_report, leat_graph_t **out_graph) {
  weights_t n = {.options = options, .report = out_report};
  *out_report = (leat_weights_report_t){0};
  *out_graph = NULL;
  leat_status_t status = run(&n, from, out_graph);
  leat_array_free(&n.weights);
  leat_free(n.parameter);
  leat_free(n.fixed);
  leat_free(n.weight_of);
  return leat_status_annotate(status, "narrow weights");
}

leat_status_t leat_weights_dtype(const char *text, leat_dtype_t *out_dtype) {
  int64_t word;
  if (!leat_word_find("narrow", text, &word))
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "dtype of weights '%s': bf16 and int8 exist", text);
  *out_dtype = word == LEAT_NARROW_INT8 ? LEAT_I8 : LEAT_BF16;
  return NULL;
}
