// SPDX-License-Identifier: Apache-2.0
// Greedy cutter: each op, in graph order, joins the first section that has all its inputs and whose rows it can follow.
//
// The decision is cost-driven in three places: ops too small to be worth a barrier may turn their section into a
// one-row section; a contraction with large weights does not join a section whose tiles have become so thin that the
// weights would be streamed too often; and sections are only joined among the last CANDIDATES ones.
#include "fuse/cut.h"

#include "fuse/access.h"
#include "fuse/rows.h"

enum { CANDIDATES = 16 };
// A core's rough speed, to compare work with the price of a barrier; only the order of magnitude matters.
static const double FLOPS_PER_SECOND = 20e9, BYTES_PER_SECOND = 10e9;
static const double TINY_OP_SECONDS = 1e-6, TINY_SECTION_SECONDS = 3e-6, SERIAL_SECTION_SECONDS = 10e-6;
// Rows a tile should have before a contraction streams its weights for it.
enum { CONTRACT_TILE_ROWS = 32 };

static const char WHY_FIRST[] = "first of its type";
static const char WHY_WHOLE[] = "needs all rows of an earlier value";
static const char WHY_ROWS[] = "iterates over other rows";
static const char WHY_CACHE[] = "tiles would be too thin for its weights";
static const char WHY_MODE[] = "o0: one op, one section";
static const char WHY_STORE[] = "updates a symbol after its last reader";

typedef struct cutter_s {
  const leat_graph_t *g;
  const leat_cut_options_t *options;
  leat_plan_t *plan;
} cutter_t;

static const leat_op_t *base_op(const leat_graph_t *g, leat_value_id_t v, leat_op_id_t *out_id) {
  *out_id = leat_graph_value(g, leat_access_base(g, v))->op;
  return leat_graph_op(g, *out_id);
}

static double op_seconds(const leat_graph_t *g, const leat_op_t *op, leat_cost_t *out_cost) {
  *out_cost = leat_op_cost(g, op);
  return out_cost->flops / FLOPS_PER_SECOND + out_cost->bytes / BYTES_PER_SECOND;
}

// The section that computes input `i` of `op`, or LEAT_NONE for leaves and for values prepared before the run.
static uint32_t input_section(const cutter_t *c, const leat_op_t *op, uint32_t i) {
  leat_op_id_t producer;
  const leat_op_t *p = base_op(c->g, leat_op_input(c->g, op, i), &producer);
  if (!leat_kind_computes(p->kind)) return LEAT_NONE;
  if (p->type == LEAT_TYPE_PREPARE && op->type != LEAT_TYPE_PREPARE) return LEAT_NONE;
  return c->plan->section_of[producer];
}

static uint32_t latest_input_section(const cutter_t *c, const leat_op_t *op) {
  uint32_t latest = LEAT_NONE;
  for (uint32_t i = 0; i < op->input_count; ++i) {
    uint32_t s = input_section(c, op, i);
    if (s != LEAT_NONE && (latest == LEAT_NONE || s > latest)) latest = s;
  }
  return latest;
}

// True if row r of the result along `dim` needs only row r of every input that section `s` computes.
static bool follows_rows(const cutter_t *c, const leat_op_t *op, uint32_t s, uint32_t dim) {
  int64_t rows = c->plan->sections.data[s].rows;
  for (uint32_t i = 0; i < op->input_count; ++i) {
    if (input_section(c, op, i) != s) continue;
    leat_op_id_t producer;
    leat_value_id_t v = leat_op_input(c->g, op, i);
    base_op(c->g, v, &producer);
    uint32_t needed = leat_rows_operand_dim(c->g, op, dim, i);
    if (needed == LEAT_ROWS_WHOLE) return false;
    if (leat_access_row_dim(c->g, v, c->plan->row_dim[producer], rows) != needed) return false;
  }
  return true;
}

static bool reads_from(const cutter_t *c, const leat_op_t *op, uint32_t s) {
  for (uint32_t i = 0; i < op->input_count; ++i) {
    if (input_section(c, op, i) == s) return true;
  }
  return false;
}

// The dim along which `op` can be cut to join section `s`, or LEAT_NONE. An op that has no value in common with the
// section joins only along its outermost dim, where a row is one piece of memory.
static uint32_t joining_dim(const cutter_t *c, const leat_op_t *op, uint32_t s) {
  int64_t rows = c->plan->sections.data[s].rows;
  const leat_value_t *result = leat_graph_value(c->g, op->result_first);
  bool any_dim = reads_from(c, op, s);
  for (uint32_t dim = 0; dim < result->rank; ++dim) {
    if (result->dims[dim] < 2) continue;
    if (result->dims[dim] % rows != 0) {
      if (any_dim) continue;
      return LEAT_NONE;
    }
    if (leat_rows_legal(c->g, op, dim) && follows_rows(c, op, s, dim)) return dim;
    if (!any_dim) return LEAT_NONE;
  }
  return LEAT_NONE;
}

static double weight_bytes(const leat_graph_t *g, const leat_op_t *op) {
  double bytes = 0;
  for (uint32_t i = 0; i < 2; ++i) {
    leat_op_id_t producer;
    const leat_op_t *p = base_op(g, leat_op_input(g, op, i), &producer);
    if (!leat_kind_computes(p->kind)) bytes += (double)leat_value_bytes(leat_graph_value(g, leat_op_input(g, op, i)));
  }
  return bytes;
}

static bool too_thin(const cutter_t *c, const leat_op_t *op, const leat_section_t *s) {
  if (op->kind != LEAT_PRIM_CONTRACT || s->rows == 1) return false;
  const leat_value_t *result = leat_graph_value(c->g, op->result_first);
  double row_bytes = (s->row_bytes + (double)leat_value_bytes(result) / (double)s->rows) / 2;  // half is alive at once
  double l2 = (double)c->options->arch->l2_bytes;
  double tile_rows = l2 / 2 / row_bytes;
  double wanted = s->rows < CONTRACT_TILE_ROWS ? (double)s->rows : CONTRACT_TILE_ROWS;
  return tile_rows < wanted && weight_bytes(c->g, op) > l2 / 4;
}

static void add_to_section(cutter_t *c, leat_op_id_t id, uint32_t s, uint32_t dim, leat_status_t *status) {
  leat_section_t *section = &c->plan->sections.data[s];
  const leat_op_t *op = leat_graph_op(c->g, id);
  leat_op_id_t *slot = leat_array_push(&section->ops);
  if (slot == NULL) {
    *status = leat_status_make(LEAT_OUT_OF_MEMORY, "out of memory");
    return;
  }
  *slot = id;
  leat_cost_t cost;
  section->seconds += op_seconds(c->g, op, &cost);
  section->flops += cost.flops;
  section->bytes += cost.bytes;
  section->row_bytes += (double)leat_value_bytes(leat_graph_value(c->g, op->result_first)) / (double)section->rows;
  c->plan->section_of[id] = s;
  c->plan->row_dim[id] = (uint8_t)dim;
}

static void make_one_row(cutter_t *c, leat_section_t *section) {
  section->row_bytes *= (double)section->rows;
  section->rows = 1;
  for (uint32_t i = 0; i < section->ops.count; ++i) c->plan->row_dim[section->ops.data[i]] = LEAT_ROWS_WHOLE;
}

// Tries to put the op into section `s`; on refusal *why says what stood against it.
static bool try_join(cutter_t *c, leat_op_id_t id, uint32_t s, const char **why, leat_status_t *status) {
  const leat_op_t *op = leat_graph_op(c->g, id);
  leat_section_t *section = &c->plan->sections.data[s];
  if (section->type != op->type || section->ops.count == 0) return false;
  leat_cost_t cost;
  double seconds = op_seconds(c->g, op, &cost);
  uint32_t dim = section->rows > 1 ? joining_dim(c, op, s) : LEAT_NONE;
  if (dim != LEAT_NONE) {
    *why = WHY_CACHE;
    if (too_thin(c, op, section)) return false;
    add_to_section(c, id, s, dim, status);
    return true;
  }
  *why = latest_input_section(c, op) == s ? WHY_WHOLE : WHY_ROWS;
  bool tiny = section->seconds + seconds < TINY_SECTION_SECONDS;
  if (section->rows > 1 && !tiny) return false;
  bool serial = leat_rows_first(c->g, op) == LEAT_NONE;
  if (section->rows == 1 && !tiny && !serial) {
    if (seconds > TINY_OP_SECONDS || section->seconds > SERIAL_SECTION_SECONDS) return false;
  }
  if (section->rows > 1) make_one_row(c, section);
  add_to_section(c, id, s, LEAT_ROWS_WHOLE, status);
  return true;
}

static leat_status_t new_section(cutter_t *c, uint8_t type, int64_t rows, const char *why) {
  leat_section_t *section = leat_array_push(&c->plan->sections);
  if (section == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "out of memory");
  section->type = type;
  section->rows = rows;
  section->why = why;
  for (uint32_t i = 0; i + 1 < c->plan->sections.count; ++i) {
    if (c->plan->sections.data[i].type == type) return NULL;
  }
  section->why = WHY_FIRST;
  return NULL;
}

static leat_status_t place(cutter_t *c, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(c->g, id);
  const char *why = c->options->optim_level == 0 ? WHY_MODE : WHY_ROWS;
  leat_status_t status = NULL;
  uint32_t count = c->plan->sections.count, latest = latest_input_section(c, op);
  uint32_t first = count > CANDIDATES ? count - CANDIDATES : 0;
  if (latest != LEAT_NONE && latest > first) first = latest;
  for (uint32_t s = first; s < count && c->options->optim_level != 0; ++s) {
    if (try_join(c, id, s, &why, &status)) return status;
  }
  uint32_t dim = leat_rows_first(c->g, op);
  int64_t rows = dim == LEAT_NONE ? 1 : leat_graph_value(c->g, op->result_first)->dims[dim];
  LEAT_TRY(new_section(c, op->type, rows, why));
  add_to_section(c, id, count, dim == LEAT_NONE ? LEAT_ROWS_WHOLE : dim, &status);
  return status;
}

// --- stores ---------------------------------------------------------------------------------------------------------

// A store overwrites the symbol in the section that computes the value, unless someone reads the old value later, or
// in the same section but not element by element in step with it: then it waits in a section of its own.
static bool reader_allows(const cutter_t *c, leat_op_id_t reader, uint32_t input, uint32_t section,
                          leat_op_id_t writer) {
  const leat_op_t *op = leat_graph_op(c->g, reader), *w = leat_graph_op(c->g, writer);
  uint32_t s = c->plan->section_of[reader];
  if (op->type == LEAT_TYPE_PREPARE || s < section) return true;
  if (s > section) return false;
  if (c->plan->sections.data[s].rows == 1) return true;  // stages are in order; the mapper looks at them
  leat_access_t access;
  const leat_value_t *result = leat_graph_value(c->g, w->result_first);
  leat_value_id_t v = leat_op_input(c->g, op, input);
  return op->kind == LEAT_PRIM_MAP && leat_access_resolve(c->g, v, &access) && leat_access_is_whole(c->g, &access) &&
         leat_same_shape(leat_graph_value(c->g, v), result) && c->plan->row_dim[reader] == c->plan->row_dim[writer];
}

static bool all_readers_allow(const cutter_t *c, const char *symbol, uint32_t section, leat_op_id_t writer) {
  for (leat_op_id_t id = 0; id < c->g->ops.count; ++id) {
    const leat_op_t *op = leat_graph_op(c->g, id);
    if (!leat_kind_computes(op->kind)) continue;
    for (uint32_t i = 0; i < op->input_count; ++i) {
      leat_op_id_t leaf;
      const leat_op_t *p = base_op(c->g, leat_op_input(c->g, op, i), &leaf);
      if (p->kind != LEAT_PRIM_SYMBOL || strcmp(leat_op_string(c->g, p, LEAT_ATTR_NAME, ""), symbol) != 0) continue;
      if (!reader_allows(c, id, i, section, writer)) return false;
    }
  }
  return true;
}

static leat_status_t place_store(cutter_t *c, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(c->g, id);
  leat_op_id_t writer;
  base_op(c->g, leat_op_input(c->g, op, 0), &writer);
  uint32_t s = c->plan->section_of[writer];
  bool update = strcmp(leat_op_string(c->g, op, LEAT_ATTR_KIND, ""), "update") == 0;
  if (update && !all_readers_allow(c, leat_op_string(c->g, op, LEAT_ATTR_NAME, ""), s, writer)) {
    const leat_value_t *v = leat_graph_value(c->g, leat_op_input(c->g, op, 0));
    int64_t rows = v->rank > 0 && v->dims[0] > 1 ? v->dims[0] : 1;
    s = c->plan->sections.count;
    LEAT_TRY(new_section(c, op->type, rows, WHY_STORE));
  }
  leat_op_id_t *slot = leat_array_push(&c->plan->sections.data[s].stores);
  if (slot == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "out of memory");
  *slot = id;
  c->plan->section_of[id] = s;
  return NULL;
}

static leat_status_t cut_all(cutter_t *c) {
  for (leat_op_id_t id = 0; id < c->g->ops.count; ++id) {
    if (leat_kind_computes(leat_graph_op(c->g, id)->kind)) LEAT_TRY(place(c, id));
  }
  for (leat_op_id_t id = 0; id < c->g->ops.count; ++id) {
    if (leat_graph_op(c->g, id)->kind == LEAT_PRIM_STORE) LEAT_TRY(place_store(c, id));
  }
  return NULL;
}

leat_status_t leat_cut(const leat_graph_t *g, const leat_cut_options_t *options, leat_plan_t *out_plan) {
  memset(out_plan, 0, sizeof *out_plan);
  uint32_t count = g->ops.count + 1;  // never zero bytes
  out_plan->section_of = leat_alloc_zero(count, sizeof *out_plan->section_of);
  out_plan->row_dim = leat_alloc_zero(count, sizeof *out_plan->row_dim);
  leat_status_t status = NULL;
  if (out_plan->section_of == NULL || out_plan->row_dim == NULL) {
    status = leat_status_make(LEAT_OUT_OF_MEMORY, "out of memory");
  } else {
    memset(out_plan->section_of, 0xff, count * sizeof *out_plan->section_of);
    memset(out_plan->row_dim, LEAT_ROWS_WHOLE, count);
    cutter_t c = {g, options, out_plan};
    status = cut_all(&c);
  }
  if (status != NULL) leat_plan_deinit(out_plan);
  return leat_status_annotate(status, "cutting sections");
}

void leat_plan_deinit(leat_plan_t *plan) {
  for (uint32_t i = 0; i < plan->sections.count; ++i) {
    leat_array_free(&plan->sections.data[i].ops);
    leat_array_free(&plan->sections.data[i].stores);
  }
  leat_array_free(&plan->sections);
  leat_free(plan->section_of);
  leat_free(plan->row_dim);
  memset(plan, 0, sizeof *plan);
}
