// SPDX-License-Identifier: Apache-2.0
// What backward reads of a wide product, as the logits of a large vocabulary, is not kept: backward makes the product
// again, some columns at a time, and with them all that hangs on these columns alone.
//
// The product is a forward one with weights (a parameter, or what is made of one element by element) and a column for
// each of their outputs. What backward makes of it is followed by elementwise ops and views that leave its columns
// apart, down to its exits: products and sums, which need other things of each column, or add up all. If there are no
// other readers, every chunk of columns makes the product and its followers anew, and a part of every exit: parts are
// put side by side, or added in the order of the chunks. So memory holds a chunk of them, and forward's own stays in
// its tiles unless somebody asks for it.
//
// Costs the product once more. How many columns a chunk has follows from the shape and from `least` alone, so that
// every machine adds up alike. Each chunk is a group of its own, so that the cutter leaves chunk after chunk. Works on
// primitives behind dce; products of forward that backward reads become fewer, which is the measure by which it ends.
#include "ir/rebuild.h"
#include "opt/opt.h"

enum {
  CHUNKS = 4,     // of `least` bytes
  COLUMNS = 64,   // a chunk has a multiple of, and no fewer
  EXITS_MAX = 64  // of one product
};

typedef struct columns_s {
  const leat_graph_t *g;
  leat_op_id_t product;
  uint32_t weights, letter_dim;  // of the product: the operand that has the columns, and which of its dims they are
  int64_t extent, chunk;         // columns of the product and of a chunk
  uint8_t *follows;              // per value: 1 + the dim that is columns, of what hangs on the product; 0
  uint8_t *remade;               // per value: 1 + the dim that is columns, of what each chunk makes; 0
  leat_op_id_t exits[EXITS_MAX];
  uint32_t exit_count;
  leat_value_id_t *made;   // per value that is remade: of the chunk under way
  leat_value_id_t *parts;  // per exit and chunk
  uint32_t chunk_count, first_group;
} columns_t;

static const leat_op_t *maker_of(const leat_graph_t *g, leat_value_id_t v) {
  return leat_graph_op(g, leat_graph_value(g, v)->op);
}

static const leat_value_t *result_of(const leat_graph_t *g, const leat_op_t *op) {
  return leat_graph_value(g, op->result_first);
}

// --- followers: which dim of a result has the columns of an operand's dim; the op again, of other operands -----------

typedef uint32_t (*follow_t)(const leat_graph_t *g, const leat_op_t *op, uint32_t dim);
typedef leat_value_id_t (*remake_t)(leat_builder_t *b, const leat_graph_t *g, const leat_op_t *op,
                                    const leat_value_id_t *in, const leat_value_t *as);

static uint32_t follow_same(const leat_graph_t *g, const leat_op_t *op, uint32_t dim) {
  (void)g, (void)op;
  return dim;
}

static leat_value_id_t remake_map(leat_builder_t *b, const leat_graph_t *g, const leat_op_t *op,
                                  const leat_value_id_t *in, const leat_value_t *as) {
  return leat_b_op(b, op->kind, in, op->input_count, g->attrs.data + op->attr_first, op->attr_count, as);
}

static int64_t elements_behind(const leat_value_t *v, uint32_t dim) {
  int64_t elements = 1;
  for (uint32_t d = dim + 1; d < v->rank; d++) elements *= v->dims[d];
  return elements;
}

static uint32_t follow_reshape(const leat_graph_t *g, const leat_op_t *op, uint32_t dim) {
  const leat_value_t *from = leat_graph_value(g, leat_op_input(g, op, 0)), *to = result_of(g, op);
  for (uint32_t d = 0; d < to->rank; d++) {
    if (to->dims[d] == from->dims[dim] && elements_behind(to, d) == elements_behind(from, dim)) return d;
  }
  return LEAT_NONE;
}

static leat_value_id_t remake_reshape(leat_builder_t *b, const leat_graph_t *g, const leat_op_t *op,
                                      const leat_value_id_t *in, const leat_value_t *as) {
  (void)g, (void)op;
  return leat_b_reshape(b, in[0], as->rank, as->dims);
}

static uint32_t follow_transpose(const leat_graph_t *g, const leat_op_t *op, uint32_t dim) {
  uint32_t rank;
  const int64_t *dims = leat_op_list(g, op, LEAT_ATTR_DIMS, &rank);
  for (uint32_t d = 0; d < rank; d++) {
    if (dims[d] == (int64_t)dim) return d;
  }
  return LEAT_NONE;
}

static leat_value_id_t remake_transpose(leat_builder_t *b, const leat_graph_t *g, const leat_op_t *op,
                                        const leat_value_id_t *in, const leat_value_t *as) {
  (void)as;
  return leat_b_transpose(b, in[0], leat_op_list(g, op, LEAT_ATTR_DIMS, &(uint32_t){0}));
}

static leat_value_id_t remake_broadcast(leat_builder_t *b, const leat_graph_t *g, const leat_op_t *op,
                                        const leat_value_id_t *in, const leat_value_t *as) {
  (void)g, (void)op;
  return leat_b_broadcast_to(b, in[0], as->rank, as->dims);
}

static uint32_t follow_slice(const leat_graph_t *g, const leat_op_t *op, uint32_t dim) {
  uint32_t rank;
  const int64_t *step = leat_op_list(g, op, LEAT_ATTR_STEP, &rank);
  return result_of(g, op)->dims[dim] == leat_graph_value(g, leat_op_input(g, op, 0))->dims[dim] && step[dim] == 1
             ? dim
             : LEAT_NONE;
}

static leat_value_id_t remake_slice(leat_builder_t *b, const leat_graph_t *g, const leat_op_t *op,
                                    const leat_value_id_t *in, const leat_value_t *as) {
  uint32_t rank;
  int64_t stop[LEAT_RANK_MAX];
  memcpy(stop, leat_op_list(g, op, LEAT_ATTR_STOP, &rank), as->rank * sizeof *stop);
  for (uint32_t d = 0; d < as->rank; d++) {
    if (as->dims[d] != result_of(g, op)->dims[d]) stop[d] = as->dims[d];
  }
  return leat_b_slice(b, in[0], leat_op_list(g, op, LEAT_ATTR_START, &rank), stop,
                      leat_op_list(g, op, LEAT_ATTR_STEP, &rank));
}

static uint32_t follow_pad(const leat_graph_t *g, const leat_op_t *op, uint32_t dim) {
  uint32_t rank;
  const leat_attr_key_t keys[] = {LEAT_ATTR_LOW, LEAT_ATTR_HIGH, LEAT_ATTR_INTERIOR};
  for (uint32_t i = 0; i < 3; i++) {
    if (leat_op_list(g, op, keys[i], &rank)[dim] != 0) return LEAT_NONE;
  }
  return dim;
}

static leat_value_id_t remake_pad(leat_builder_t *b, const leat_graph_t *g, const leat_op_t *op,
                                  const leat_value_id_t *in, const leat_value_t *as) {
  uint32_t rank;
  (void)as;
  return leat_b_pad(b, in[0], leat_op_list(g, op, LEAT_ATTR_LOW, &rank), leat_op_list(g, op, LEAT_ATTR_HIGH, &rank),
                    leat_op_list(g, op, LEAT_ATTR_INTERIOR, &rank), leat_op_float(g, op, LEAT_ATTR_VALUE, 0.0));
}

// Of what does not hang on the product, chunks make columns that are those of an operand, or any.
enum { NEVER, OF_AN_OPERAND, ANY };

static const struct {
  follow_t follow;
  remake_t remake;
  int columns;
} followers[LEAT_PRIM_COUNT] = {
    [LEAT_PRIM_MAP] = {follow_same, remake_map, ANY},
    [LEAT_PRIM_RESHAPE] = {follow_reshape, remake_reshape, OF_AN_OPERAND},
    [LEAT_PRIM_TRANSPOSE] = {follow_transpose, remake_transpose, OF_AN_OPERAND},
    [LEAT_PRIM_BROADCAST] = {follow_same, remake_broadcast, ANY},
    [LEAT_PRIM_SLICE] = {follow_slice, remake_slice, OF_AN_OPERAND},
    [LEAT_PRIM_PAD] = {follow_pad, remake_pad, NEVER},
};

static bool is_follower(const leat_op_t *op) {
  return op->kind < LEAT_PRIM_COUNT && followers[op->kind].follow != NULL;
}

// The dim of operand `input` whose columns are dim `dim` of the result; LEAT_NONE: it has none.
static uint32_t dim_of_operand(const leat_graph_t *g, const leat_op_t *op, uint32_t input, uint32_t dim) {
  const leat_value_t *from = leat_graph_value(g, leat_op_input(g, op, input));
  for (uint32_t d = 0; d < from->rank; d++) {
    if (from->dims[d] == result_of(g, op)->dims[dim] && followers[op->kind].follow(g, op, d) == dim) return d;
  }
  return LEAT_NONE;
}

// --- finding ---------------------------------------------------------------------------------------------------------

static bool is_of_weights(const leat_graph_t *g, leat_value_id_t v) {
  for (;;) {
    const leat_op_t *op = maker_of(g, v);
    if (leat_op_is_leaf(op->kind)) return leat_op_is_symbol(g, op, LEAT_KIND_PARAM);
    const leat_op_role_t role = leat_op_role(op->kind);
    if (op->input_count != 1 || (role != LEAT_ROLE_VIEW && role != LEAT_ROLE_ELEMENTWISE)) return false;
    v = leat_op_input(g, op, 0);
  }
}

// The most columns that a free dim of the weights gives the product; false: it has no weights, or too few columns.
static bool find_dim(columns_t *c, const leat_op_t *op) {
  const leat_spec_t *spec = leat_op_spec(c->g, op);
  const leat_value_t *result = result_of(c->g, op);
  c->extent = 0;
  for (uint32_t d = 0; d < result->rank; d++) {
    for (uint32_t i = 0; i < 2; i++) {
      const int at = leat_spec_find(spec, i, spec->letters[2][d]);
      const bool free = at >= 0 && leat_spec_find(spec, 1 - i, spec->letters[2][d]) < 0;
      if (!free || result->dims[d] <= c->extent || !is_of_weights(c->g, leat_op_input(c->g, op, i))) continue;
      c->weights = i;
      c->letter_dim = (uint32_t)at;
      c->extent = result->dims[d];
      c->follows[op->result_first] = (uint8_t)(d + 1);
    }
  }
  return c->extent >= 2 * COLUMNS;
}

static bool is_exact(const leat_value_t *v) { return v->dtype == LEAT_F32 || v->dtype == LEAT_F64; }

static bool may_be_wide(const leat_graph_t *g, const leat_op_t *op, int64_t least) {
  return leat_op_takes_attr(op->kind, LEAT_ATTR_SPEC) && op->type == LEAT_TYPE_FWD && is_exact(result_of(g, op)) &&
         (int64_t)leat_value_bytes(result_of(g, op)) >= least;
}

static bool is_wide(columns_t *c, int64_t least) {
  const leat_op_t *op = leat_graph_op(c->g, c->product);
  const int64_t bytes = (int64_t)leat_value_bytes(result_of(c->g, op));
  if (!find_dim(c, op)) return false;
  const int64_t wanted = least / CHUNKS / (bytes / c->extent);
  c->chunk = wanted < COLUMNS ? COLUMNS : wanted / COLUMNS * COLUMNS;
  c->chunk_count = (uint32_t)((c->extent + c->chunk - 1) / c->chunk);
  return c->chunk < c->extent;
}

// The dim of the columns in operand `input`; LEAT_NONE: it does not hang on the product.
static uint32_t columns_of(const columns_t *c, const leat_op_t *op, uint32_t input) {
  const leat_value_id_t v = leat_op_input(c->g, op, input);
  return v == LEAT_NONE || c->follows[v] == 0 ? LEAT_NONE : c->follows[v] - 1u;
}

static bool hangs(const columns_t *c, const leat_op_t *op) {
  for (uint32_t i = 0; i < op->input_count; i++) {
    if (columns_of(c, op, i) != LEAT_NONE) return true;
  }
  return false;
}

// The dim of the result that has the columns of all operands which hang on the product; LEAT_NONE: there is none.
static uint32_t follow(const columns_t *c, const leat_op_t *op) {
  uint32_t found = LEAT_NONE;
  if (!is_follower(op)) return LEAT_NONE;
  for (uint32_t i = 0; i < op->input_count; i++) {
    const uint32_t dim = columns_of(c, op, i);
    if (dim == LEAT_NONE) continue;
    const uint32_t to = followers[op->kind].follow(c->g, op, dim);
    if (to == LEAT_NONE || result_of(c->g, op)->dims[to] != c->extent || (found != LEAT_NONE && to != found))
      return LEAT_NONE;
    found = to;
  }
  return found;
}

// The letter that a product sums or keeps for each column, the same in all operands that have columns; 0: they differ.
static char letter_of(const columns_t *c, const leat_op_t *op) {
  const leat_spec_t *spec = leat_op_spec(c->g, op);
  char letter = 0;
  for (uint32_t i = 0; i < 2; i++) {
    const uint32_t dim = columns_of(c, op, i);
    if (dim == LEAT_NONE) continue;
    if (letter != 0 && spec->letters[i][dim] != letter) return 0;
    letter = spec->letters[i][dim];
  }
  for (uint32_t i = 0; i < 2; i++) {  // another dim of the letter would be sliced as what hangs on nothing
    const int at = leat_spec_find(spec, i, letter);
    if (columns_of(c, op, i) != LEAT_NONE && at != (int)columns_of(c, op, i)) return 0;
  }
  return letter;
}

static bool is_exit(const columns_t *c, const leat_op_t *op);

// What hangs on the product, up to the exits; false: something later than forward reads it otherwise.
static bool find_exits(columns_t *c) {
  c->exit_count = 0;
  for (leat_op_id_t id = c->product + 1; id < c->g->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(c->g, id);
    if (!hangs(c, op)) continue;
    const uint32_t dim = follow(c, op);
    if (dim != LEAT_NONE) {
      c->follows[op->result_first] = (uint8_t)(dim + 1);
    } else if (op->type != LEAT_TYPE_FWD) {
      if (!is_exit(c, op) || c->exit_count == EXITS_MAX) return false;
      c->exits[c->exit_count++] = id;
    }
  }
  return c->exit_count > 0;
}

// --- what a chunk makes ----------------------------------------------------------------------------------------------

static bool is_splat(const leat_graph_t *g, leat_value_id_t v) {
  double number;
  return leat_op_splat(g, maker_of(g, v), &number);
}

// Can a chunk make its columns, dim `dim`, of `v`, which does not hang on the product?
static bool is_remakable(const columns_t *c, leat_value_id_t v, uint32_t dim) {
  const leat_op_t *op = maker_of(c->g, v);
  if (leat_op_role(op->kind) == LEAT_ROLE_SEQUENCE || is_splat(c->g, v)) return true;
  if (!is_follower(op) || followers[op->kind].columns == NEVER) return false;
  return followers[op->kind].columns == ANY || dim_of_operand(c->g, op, 0, dim) != LEAT_NONE;
}

// Notes that a chunk reads columns of `v` along `dim`.
static void want(columns_t *c, leat_value_id_t v, uint32_t dim) {
  if (leat_graph_value(c->g, v)->dims[dim] != c->extent || c->remade[v] != 0) return;
  const bool early = leat_graph_value(c->g, v)->op < c->exits[0];
  if (c->follows[v] != 0 || (early && is_remakable(c, v, dim))) c->remade[v] = (uint8_t)(dim + 1);
}

static void want_of_contract(columns_t *c, const leat_op_t *op, char letter) {
  const leat_spec_t *spec = leat_op_spec(c->g, op);
  for (uint32_t i = 0; i < 2; i++) {
    const int at = leat_spec_find(spec, i, letter);
    if (at >= 0) want(c, leat_op_input(c->g, op, i), (uint32_t)at);
  }
}

static void want_of_follower(columns_t *c, const leat_op_t *op, uint32_t dim) {
  for (uint32_t i = 0; i < op->input_count; i++) {
    const uint32_t from = dim_of_operand(c->g, op, i, dim);
    if (from != LEAT_NONE) want(c, leat_op_input(c->g, op, i), from);
  }
}

static void want_of_exit(columns_t *c, const leat_op_t *op);

// What is read whole, or by columns as it lies, has to be there when the chunks are made.
static bool comes_first(const columns_t *c, const leat_op_t *op) {
  for (uint32_t i = 0; i < op->input_count; i++) {
    const leat_value_id_t v = leat_op_input(c->g, op, i);
    if (v != LEAT_NONE && c->remade[v] == 0 && leat_graph_value(c->g, v)->op >= c->exits[0]) return false;
  }
  return true;
}

static bool is_exit_of(const columns_t *c, leat_op_id_t id) {
  for (uint32_t i = 0; i < c->exit_count; i++) {
    if (c->exits[i] == id) return true;
  }
  return false;
}

static const leat_spec_t *product_spec(const columns_t *c) {
  return leat_op_spec(c->g, leat_graph_op(c->g, c->product));
}

static char product_letter(const columns_t *c) { return product_spec(c)->letters[c->weights][c->letter_dim]; }

// What chunks make, from the exits up; false: some of what they read is made too late.
static bool find_remade(columns_t *c) {
  bool fits = true;
  for (leat_op_id_t id = c->exits[c->exit_count - 1] + 1; id-- > 0 && fits;) {
    const leat_op_t *op = leat_graph_op(c->g, id);
    if (is_exit_of(c, id)) {
      want_of_exit(c, op);
      fits = comes_first(c, op);
    } else if (op->result_count == 1 && c->remade[op->result_first] != 0) {
      if (id == c->product)
        want_of_contract(c, op, product_letter(c));
      else if (is_follower(op))
        want_of_follower(c, op, c->remade[op->result_first] - 1u);
      fits = comes_first(c, op);
    }
  }
  return fits;
}

// --- writing ---------------------------------------------------------------------------------------------------------

// Columns `at` to `end` of `v` along `dim`; all of it where it has none there.
static leat_value_id_t columns_at(leat_rebuild_t *r, leat_value_id_t v, uint32_t dim, int64_t at, int64_t end) {
  const columns_t *c = r->user;
  if (v == LEAT_NONE) return LEAT_NONE;
  if (dim == LEAT_NONE || leat_graph_value(c->g, v)->dims[dim] != c->extent) return r->map[v];
  if (c->remade[v] == dim + 1) return c->made[v];
  return leat_b_slice_dim(&r->b, r->map[v], dim, at, end, 1);
}

static leat_value_id_t remake_contract(leat_rebuild_t *r, const leat_op_t *op, char letter, int64_t at, int64_t end) {
  const columns_t *c = r->user;
  const leat_spec_t *spec = leat_op_spec(c->g, op);
  leat_value_id_t in[2];
  for (uint32_t i = 0; i < 2; i++) {
    const int dim = leat_spec_find(spec, i, letter);
    in[i] = columns_at(r, leat_op_input(c->g, op, i), dim < 0 ? LEAT_NONE : (uint32_t)dim, at, end);
  }
  return leat_b_contract(&r->b, spec, in[0], in[1]);
}

static leat_value_id_t remake_sequence(leat_builder_t *b, const leat_graph_t *g, const leat_op_t *op,
                                       const leat_value_t *as, uint32_t dim, int64_t at) {
  const uint32_t along = (uint32_t)leat_op_int(g, op, LEAT_ATTR_DIM, 0);
  const leat_value_id_t places = leat_b_iota(b, (leat_dtype_t)as->dtype, as->rank, as->dims, along);
  return along == dim && at != 0 ? leat_b_adds(b, places, (double)at) : places;
}

static leat_value_id_t remake_follower(leat_rebuild_t *r, const leat_op_t *op, const leat_value_t *as, uint32_t dim,
                                       int64_t at, int64_t end) {
  const columns_t *c = r->user;
  leat_value_id_t in[3];
  assert(op->input_count <= 3);
  for (uint32_t i = 0; i < op->input_count; i++)
    in[i] = columns_at(r, leat_op_input(c->g, op, i), dim_of_operand(c->g, op, i, dim), at, end);
  return followers[op->kind].remake(&r->b, c->g, op, in, as);
}

static void remake(leat_rebuild_t *r, leat_op_id_t id, int64_t at, int64_t end) {
  columns_t *c = r->user;
  const leat_op_t *op = leat_graph_op(c->g, id);
  const uint32_t dim = c->remade[op->result_first] - 1u;
  leat_value_t as = *result_of(c->g, op);
  double number = 0.0;
  leat_value_id_t *made = &c->made[op->result_first];
  as.dims[dim] = end - at;
  r->b.origin = op->origin;
  if (id == c->product)
    *made = remake_contract(r, op, product_letter(c), at, end);
  else if (leat_op_role(op->kind) == LEAT_ROLE_SEQUENCE)
    *made = remake_sequence(&r->b, c->g, op, &as, dim, at);
  else if (leat_op_splat(c->g, op, &number))
    *made = leat_b_splat(&r->b, (leat_dtype_t)as.dtype, as.rank, as.dims, number);
  else
    *made = remake_follower(r, op, &as, dim, at, end);
}

// --- exits -----------------------------------------------------------------------------------------------------------

static bool ends_product(const columns_t *c, const leat_op_t *op) { return letter_of(c, op) != 0; }
static void want_of_product(columns_t *c, const leat_op_t *op) { want_of_contract(c, op, letter_of(c, op)); }

static uint32_t columns_of_product(const columns_t *c, const leat_op_t *op) {
  const int at = leat_spec_find(leat_op_spec(c->g, op), 2, letter_of(c, op));
  return at < 0 ? LEAT_NONE : (uint32_t)at;
}

static leat_value_id_t part_of_product(leat_rebuild_t *r, const leat_op_t *op, int64_t at, int64_t end) {
  return remake_contract(r, op, letter_of(r->user, op), at, end);
}

static uint32_t summed_dims(const leat_graph_t *g, const leat_op_t *op) {
  uint32_t count, mask = 0;
  const int64_t *dims = leat_op_list(g, op, LEAT_ATTR_DIMS, &count);
  for (uint32_t i = 0; i < count; i++) mask |= 1u << dims[i];
  return mask;
}

static bool ends_sum(const columns_t *c, const leat_op_t *op) {
  return leat_op_word(c->g, op, LEAT_ATTR_FN, LEAT_FOLD_MAX) == LEAT_FOLD_SUM;
}

static void want_of_sum(columns_t *c, const leat_op_t *op) {
  want(c, leat_op_input(c->g, op, 0), columns_of(c, op, 0));
}

static uint32_t columns_of_sum(const columns_t *c, const leat_op_t *op) {
  const uint32_t dim = columns_of(c, op, 0);
  return (summed_dims(c->g, op) >> dim & 1) != 0 ? LEAT_NONE : dim;
}

static leat_value_id_t part_of_sum(leat_rebuild_t *r, const leat_op_t *op, int64_t at, int64_t end) {
  const columns_t *c = r->user;
  const leat_value_id_t x = columns_at(r, leat_op_input(c->g, op, 0), columns_of(c, op, 0), at, end);
  return leat_b_reduce(&r->b, LEAT_FOLD_SUM, x, summed_dims(c->g, op), true);
}

static const struct {
  bool (*ends)(const columns_t *c, const leat_op_t *op);
  void (*want)(columns_t *c, const leat_op_t *op);
  uint32_t (*columns)(const columns_t *c, const leat_op_t *op);  // the dim of the result; LEAT_NONE: they are added up
  leat_value_id_t (*part)(leat_rebuild_t *r, const leat_op_t *op, int64_t at, int64_t end);  // of columns at to end
} exits[LEAT_PRIM_COUNT] = {
    [LEAT_PRIM_CONTRACT] = {ends_product, want_of_product, columns_of_product, part_of_product},
    [LEAT_PRIM_REDUCE] = {ends_sum, want_of_sum, columns_of_sum, part_of_sum},
};

static bool is_exit(const columns_t *c, const leat_op_t *op) {
  const bool known = op->kind < LEAT_PRIM_COUNT && exits[op->kind].ends != NULL && op->type != LEAT_TYPE_FWD;
  return known && is_exact(result_of(c->g, op)) && exits[op->kind].ends(c, op);
}

static void want_of_exit(columns_t *c, const leat_op_t *op) { exits[op->kind].want(c, op); }

// --- the rewrite -----------------------------------------------------------------------------------------------------

static void make_chunk(leat_rebuild_t *r, uint32_t chunk) {
  columns_t *c = r->user;
  const int64_t at = chunk * c->chunk, end = at + c->chunk < c->extent ? at + c->chunk : c->extent;
  r->b.group = c->first_group + chunk;
  for (leat_op_id_t id = 0; id < c->exits[c->exit_count - 1] && r->b.status == NULL; id++) {
    const leat_op_t *op = leat_graph_op(c->g, id);
    if (op->result_count == 1 && c->remade[op->result_first] != 0) remake(r, id, at, end);
  }
  for (uint32_t i = 0; i < c->exit_count; i++) {
    const leat_op_t *op = leat_graph_op(c->g, c->exits[i]);
    leat_value_id_t *parts = c->parts + (size_t)i * c->chunk_count;
    r->b.origin = op->origin;
    parts[chunk] = exits[op->kind].part(r, op, at, end);
    if (chunk > 0 && exits[op->kind].columns(c, op) == LEAT_NONE)
      parts[chunk] = leat_b_add(&r->b, parts[chunk - 1], parts[chunk]);
  }
}

static void end_exit(leat_rebuild_t *r, uint32_t exit) {
  const columns_t *c = r->user;
  const leat_op_t *op = leat_graph_op(c->g, c->exits[exit]);
  const leat_value_id_t *parts = c->parts + (size_t)exit * c->chunk_count;
  const uint32_t dim = exits[op->kind].columns(c, op);
  r->b.group = op->group;
  r->b.origin = op->origin;
  r->map[op->result_first] =
      dim == LEAT_NONE ? parts[c->chunk_count - 1] : leat_b_concat(&r->b, parts, c->chunk_count, dim);
}

// All exits stand where the first one stood.
static leat_status_t visit(leat_rebuild_t *r, leat_op_id_t id) {
  const columns_t *c = r->user;
  if (!is_exit_of(c, id)) return leat_rebuild_copy(r, id);
  if (id != c->exits[0]) return NULL;
  for (uint32_t chunk = 0; chunk < c->chunk_count && r->b.status == NULL; chunk++) make_chunk(r, chunk);
  for (uint32_t i = 0; i < c->exit_count && r->b.status == NULL; i++) end_exit(r, i);
  return leat_builder_take_status(&r->b);
}

static uint32_t next_group(const leat_graph_t *g) {
  uint32_t last = g->groups.count == 0 ? 0 : g->groups.data[g->groups.count - 1].id;
  for (leat_op_id_t id = 0; id < g->ops.count; id++) {
    if (leat_graph_op(g, id)->group > last) last = leat_graph_op(g, id)->group;
  }
  return last + 1;
}

// --- all of it -------------------------------------------------------------------------------------------------------

// `*out_graph` stays NULL where the product stays as it is.
static leat_status_t rewrite(columns_t *c, int64_t least, leat_graph_t **out_graph) {
  const size_t count = (size_t)c->g->values.count + 1u;
  leat_graph_t *chunked = NULL;
  memset(c->follows, 0, count);
  memset(c->remade, 0, count);
  if (!is_wide(c, least) || !find_exits(c) || !find_remade(c)) return NULL;
  c->first_group = next_group(c->g);
  c->made = leat_alloc(count * sizeof *c->made);
  c->parts = leat_alloc((size_t)c->exit_count * c->chunk_count * sizeof *c->parts);
  leat_status_t status = c->made == NULL || c->parts == NULL ? leat_out_of_memory() : NULL;
  if (status == NULL) status = leat_rebuild(c->g, visit, c, &chunked);
  if (status == NULL) status = leat_opt_dce(chunked, out_graph);
  leat_graph_destroy(chunked);
  leat_free(c->made);
  leat_free(c->parts);
  return status;
}

static leat_status_t rewrite_product(const leat_graph_t *g, leat_op_id_t product, int64_t least,
                                     leat_graph_t **out_graph) {
  const size_t count = (size_t)g->values.count + 1u;
  columns_t c = {.g = g, .product = product, .follows = leat_alloc_zero(count, 1), .remade = leat_alloc_zero(count, 1)};
  *out_graph = NULL;
  leat_status_t status = c.follows == NULL || c.remade == NULL ? leat_out_of_memory() : rewrite(&c, least, out_graph);
  leat_free(c.follows);
  leat_free(c.remade);
  return status;
}

leat_status_t leat_opt_columns(const leat_graph_t *from, int64_t least, leat_graph_t **out_graph) {
  leat_graph_t *all = NULL;
  leat_status_t status = leat_rebuild(from, leat_rebuild_copy, NULL, &all);
  for (leat_op_id_t id = 0; status == NULL && least > 0 && id < all->ops.count; id++) {
    leat_graph_t *next = NULL;
    if (may_be_wide(all, leat_graph_op(all, id), least)) status = rewrite_product(all, id, least, &next);
    if (next == NULL) continue;
    leat_graph_destroy(all);
    all = next;
  }
  *out_graph = status == NULL ? all : NULL;
  if (status != NULL) leat_graph_destroy(all);
  return status;
}
