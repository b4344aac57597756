// SPDX-License-Identifier: Apache-2.0
// What backward reads of a wide product, as the logits of a large vocabulary, is not kept: backward makes the product
// again, some columns at a time, and with them all that hangs on these columns alone.
//
// The product is a forward one with weights (a parameter, or what is made of one element by element) and a column for
// each of their outputs. What backward makes of it is followed by elementwise ops and views that leave its columns
// apart, down to its exits: products and sums, which need other things of each column, or add up all. If there are no
// other readers, every chunk of columns makes the product and its followers anew, and a part of every exit: parts are
// put side by side, or added in the order of the chunks. So memory holds a chunk of them, and forward's own stays in
// its tiles unless somebody asks for it. What forward itself makes of the product goes by chunks, too, if that is a
// softmax or picked elements.
//
// Costs the product once more. How many columns a chunk has follows from the shape and from `least` alone, so that
// every machine adds up alike. Each chunk is a group of its own, so that the cutter leaves chunk after chunk. Works on
// primitives behind dce; products of forward that backward reads become fewer, which is the measure by which it ends.
#include "opt/columns.h"

#include "opt/opt.h"

enum {
  CHUNKS = 4,    // of `least` bytes
  COLUMNS = 64,  // a chunk has a multiple of, and no fewer
};

// --- finding ---------------------------------------------------------------------------------------------------------

static bool is_of_weights(const leat_graph_t *g, leat_value_id_t v) {
  for (;;) {
    const leat_op_t *op = leat_columns_maker(g, v);
    if (leat_op_is_leaf(op->kind)) return leat_op_is_symbol(g, op, LEAT_KIND_PARAM);
    const leat_op_role_t role = leat_op_role(op->kind);
    if (op->input_count != 1 || (role != LEAT_ROLE_VIEW && role != LEAT_ROLE_ELEMENTWISE)) return false;
    v = leat_op_input(g, op, 0);
  }
}

// The most columns that a free dim of the weights gives the product; false: it has no weights, or too few columns.
static bool find_dim(leat_columns_t *c, const leat_op_t *op) {
  const leat_spec_t *spec = leat_op_spec(c->g, op);
  const leat_value_t *result = leat_columns_result(c->g, op);
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

static bool may_be_wide(const leat_graph_t *g, const leat_op_t *op, int64_t least) {
  return leat_op_takes_attr(op->kind, LEAT_ATTR_SPEC) && op->type == LEAT_TYPE_FWD &&
         leat_columns_is_exact(leat_columns_result(g, op)) &&
         (int64_t)leat_value_bytes(leat_columns_result(g, op)) >= least;
}

static bool is_wide(leat_columns_t *c, int64_t least) {
  const leat_op_t *op = leat_graph_op(c->g, c->product);
  const int64_t bytes = (int64_t)leat_value_bytes(leat_columns_result(c->g, op));
  if (!find_dim(c, op)) return false;
  const int64_t wanted = least / CHUNKS / (bytes / c->extent);
  c->chunk = wanted < COLUMNS ? COLUMNS : wanted / COLUMNS * COLUMNS;
  c->chunk_count = (uint32_t)((c->extent + c->chunk - 1) / c->chunk);
  return c->chunk < c->extent;
}

static bool hangs(const leat_columns_t *c, const leat_op_t *op) {
  for (uint32_t i = 0; i < op->input_count; i++) {
    if (leat_columns_of(c, op, i) != LEAT_NONE) return true;
  }
  return false;
}

// What hangs on the product, up to the exits; false: something reads it otherwise, of forward only where that is what
// it is about.
static bool find_exits(leat_columns_t *c) {
  c->exit_count = 0;
  for (leat_op_id_t id = c->product + 1; id < c->g->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(c->g, id);
    if (!hangs(c, op)) continue;
    const uint32_t dim = leat_columns_follow(c, op);
    if (dim != LEAT_NONE) {
      c->follows[op->result_first] = (uint8_t)(dim + 1);
    } else if (c->forward || op->type != LEAT_TYPE_FWD) {
      if (leat_columns_exit(c, op) == NULL || c->exit_count == LEAT_EXITS_MAX) return false;
      c->exits[c->exit_count++] = id;
    }
  }
  return c->exit_count > 0;
}

static bool is_exit(const leat_columns_t *c, leat_op_id_t id) {
  for (uint32_t i = 0; i < c->exit_count; i++) {
    if (c->exits[i] == id) return true;
  }
  return false;
}

// Does the op go with the product? What follows it and is no exit is read by chunks alone.
static bool goes(const leat_columns_t *c, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(c->g, id);
  const bool follows = op->result_count == 1 && c->follows[op->result_first] != 0;
  return follows && (c->forward || op->type != LEAT_TYPE_FWD);
}

static bool reads_exit(const leat_columns_t *c, const leat_op_t *op) {
  for (uint32_t i = 0; i < op->input_count; i++) {
    const leat_value_id_t v = leat_op_input(c->g, op, i);
    if (v != LEAT_NONE && is_exit(c, leat_graph_value(c->g, v)->op)) return true;
  }
  return false;
}

// The chunks are made in front of who reads of them first; false: nobody does.
static bool find_place(leat_columns_t *c) {
  for (c->place = c->exits[0]; c->place < c->g->ops.count; c->place++) {
    if (!goes(c, c->place) && reads_exit(c, leat_graph_op(c->g, c->place))) return true;
  }
  return false;
}

// What is read whole, or by columns as it lies, has to be there when the chunks are made.
static bool comes_first(const leat_columns_t *c, const leat_op_t *op) {
  for (uint32_t i = 0; i < op->input_count; i++) {
    const leat_value_id_t v = leat_op_input(c->g, op, i);
    if (v == LEAT_NONE || c->remade[v] != 0) continue;
    const leat_op_id_t maker = leat_graph_value(c->g, v)->op;
    if (maker >= c->place || is_exit(c, maker)) return false;
  }
  return true;
}

// What chunks make, from the exits up; false: some of what they read is made too late.
static bool find_remade(leat_columns_t *c) {
  bool fits = true;
  for (leat_op_id_t id = c->exits[c->exit_count - 1] + 1; id-- > 0 && fits;) {
    const leat_op_t *op = leat_graph_op(c->g, id);
    if (is_exit(c, id)) {
      leat_columns_exit(c, op)->want(c, op);
      fits = comes_first(c, op);
    } else if (op->result_count == 1 && c->remade[op->result_first] != 0) {
      if (id == c->product)
        leat_columns_want_contract(c, op, leat_columns_letter(c));
      else
        leat_columns_want_follower(c, op, c->remade[op->result_first] - 1u);
      fits = comes_first(c, op);
    }
  }
  return fits;
}

// --- the rewrite -----------------------------------------------------------------------------------------------------

static void make_chunk(leat_rebuild_t *r, uint32_t chunk) {
  leat_columns_t *c = r->user;
  const int64_t at = chunk * c->chunk, end = at + c->chunk < c->extent ? at + c->chunk : c->extent;
  r->b.group = c->first_group + chunk;
  for (leat_op_id_t id = 0; id < c->exits[c->exit_count - 1] && r->b.status == NULL; id++) {
    const leat_op_t *op = leat_graph_op(c->g, id);
    if (op->result_count == 1 && c->remade[op->result_first] != 0) leat_columns_remake(r, id, at, end);
  }
  for (uint32_t i = 0; i < c->exit_count; i++) {
    const leat_op_t *op = leat_graph_op(c->g, c->exits[i]);
    leat_value_id_t *parts = c->parts + (size_t)i * c->chunk_count;
    r->b.origin = op->origin;
    const leat_columns_exit_t *exit = leat_columns_exit(c, op);
    parts[chunk] = exit->part(r, op, at, end);
    if (chunk > 0 && exit->adds(c, op)) parts[chunk] = leat_b_add(&r->b, parts[chunk - 1], parts[chunk]);
  }
}

static void end_exit(leat_rebuild_t *r, uint32_t exit) {
  const leat_columns_t *c = r->user;
  const leat_op_t *op = leat_graph_op(c->g, c->exits[exit]);
  const leat_value_id_t *parts = c->parts + (size_t)exit * c->chunk_count;
  r->b.group = op->group;
  r->b.origin = op->origin;
  r->map[op->result_first] = leat_columns_exit(c, op)->end(r, op, parts);
}

static void make_chunks(leat_rebuild_t *r) {
  const leat_columns_t *c = r->user;
  const leat_builder_t at = r->b;
  r->b.type = leat_graph_op(c->g, c->exits[0])->type;
  for (uint32_t chunk = 0; chunk < c->chunk_count && r->b.status == NULL; chunk++) make_chunk(r, chunk);
  for (uint32_t i = 0; i < c->exit_count && r->b.status == NULL; i++) end_exit(r, i);
  r->b.type = at.type;
  r->b.group = at.group;
  r->b.origin = at.origin;
}

static leat_status_t visit(leat_rebuild_t *r, leat_op_id_t id) {
  const leat_columns_t *c = r->user;
  if (is_exit(c, id) || goes(c, id)) return NULL;
  if (id == c->place) make_chunks(r);
  LEAT_TRY(leat_builder_take_status(&r->b));
  return leat_rebuild_copy(r, id);
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
static leat_status_t rewrite(leat_columns_t *c, int64_t least, leat_graph_t **out_graph) {
  const size_t count = (size_t)c->g->values.count + 1u;
  leat_graph_t *chunked = NULL;
  memset(c->follows, 0, count);
  memset(c->remade, 0, count);
  if (!is_wide(c, least) || !find_exits(c) || !find_place(c) || !find_remade(c)) return NULL;
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
  leat_columns_t c = {
      .g = g, .product = product, .follows = leat_alloc_zero(count, 1), .remade = leat_alloc_zero(count, 1)};
  *out_graph = NULL;
  leat_status_t status = c.follows == NULL || c.remade == NULL ? leat_out_of_memory() : rewrite(&c, least, out_graph);
  c.forward = true;
  if (status == NULL && *out_graph == NULL) status = rewrite(&c, least, out_graph);
  leat_free(c.follows);
  leat_free(c.remade);
  return status;
}

// What only infers has nothing to keep, and reads its weights as they lie.
static bool trains(const leat_graph_t *g) {
  for (leat_op_id_t id = 0; id < g->ops.count; id++) {
    if (leat_graph_op(g, id)->type != LEAT_TYPE_FWD) return true;
  }
  return false;
}

leat_status_t leat_opt_columns(const leat_graph_t *from, int64_t least, leat_graph_t **out_graph) {
  leat_graph_t *all = NULL;
  leat_status_t status = leat_rebuild(from, leat_rebuild_copy, NULL, &all);
  leat_op_id_t id = least > 0 && trains(from) ? 0 : from->ops.count;
  while (status == NULL && id < all->ops.count) {
    leat_graph_t *next = NULL;
    if (may_be_wide(all, leat_graph_op(all, id), least)) status = rewrite_product(all, id, least, &next);
    id = next == NULL ? id + 1 : 0;  // ops have moved
    if (next == NULL) continue;
    leat_graph_destroy(all);
    all = next;
  }
  *out_graph = status == NULL ? all : NULL;
  if (status != NULL) leat_graph_destroy(all);
  return status;
}
