// SPDX-License-Identifier: Apache-2.0
// Greedy cutter of one piece: each op, in order, joins the first section that has all its inputs and whose rows it can
// follow.
//
// The decision is cost-driven in three places: ops too small to be worth a barrier may turn their section into a
// one-row section; a contraction with large weights does not join a section whose tiles have become so thin that the
// weights would be streamed too often; and sections are only joined among the last CANDIDATES ones.
#include <math.h>

#include "cut/cutter.h"

enum { CANDIDATES = 16 };

static const char WHY_FIRST[] = "first of its type";
static const char WHY_WHOLE[] = "needs all rows of an earlier value";
static const char WHY_ROWS[] = "iterates over other rows";
static const char WHY_CACHE[] = "tiles would be too thin for its weights";
static const char WHY_SCRATCH[] = "one row would take more scratch than the target has";
static const char WHY_UNITS[] = "every unit of the target has an op";
static const char WHY_PART[] = "fwd_num_sections: the group is cut here";
static const char WHY_REREAD[] = "every tile would read an activation from end to end";
static const char WHY_STRIDED[] = "its rows would be elements far apart";
static const char WHY_APART[] = "a large product of other values";
static const char WHY_PREPARED[] = "prepares something else: equal ones share a body";
static const char WHY_GROUP[] = "a group of its own";

static double op_seconds(const leat_cutter_t *c, const leat_op_t *op, leat_cost_t *out_cost) {
  const leat_arch_t *arch = c->options->arch;
  *out_cost = leat_op_cost(c->g, op);
  return leat_arch_seconds(arch, arch->level, out_cost->flops, out_cost->bytes);
}

// The section that computes input `i` of `op`, or LEAT_NONE for leaves and for values prepared before the run.
static uint32_t input_section(const leat_cutter_t *c, const leat_op_t *op, uint32_t i) {
  leat_op_id_t producer;
  const leat_op_t *p = leat_cutter_base_op(c->g, leat_op_input(c->g, op, i), &producer);
  if (!leat_op_computes(p->kind)) return LEAT_NONE;
  if (p->type == LEAT_TYPE_PREPARE && op->type != LEAT_TYPE_PREPARE) return LEAT_NONE;
  return c->plan->section_of[producer];
}

static uint32_t latest_input_section(const leat_cutter_t *c, const leat_op_t *op) {
  uint32_t latest = LEAT_NONE;
  for (uint32_t i = 0; i < op->input_count; ++i) {
    uint32_t s = input_section(c, op, i);
    if (s != LEAT_NONE && (latest == LEAT_NONE || s > latest)) latest = s;
  }
  return latest;
}

// True if row r of the result along `dim` needs only row r of every input that section `s` computes.
static bool follows_rows(const leat_cutter_t *c, const leat_op_t *op, uint32_t s, uint32_t dim) {
  int64_t rows = c->plan->sections.data[s].rows;
  for (uint32_t i = 0; i < op->input_count; ++i) {
    if (input_section(c, op, i) != s) continue;
    leat_op_id_t producer;
    leat_value_id_t v = leat_op_input(c->g, op, i);
    leat_cutter_base_op(c->g, v, &producer);
    uint32_t needed = leat_rows_operand_dim(c->g, op, dim, i);
    if (needed == LEAT_ROWS_WHOLE) return false;
    if (leat_access_row_dim(c->g, v, c->plan->row_dim[producer], rows) != needed) return false;
  }
  return true;
}

static bool reads_from(const leat_cutter_t *c, const leat_op_t *op, uint32_t s) {
  for (uint32_t i = 0; i < op->input_count; ++i) {
    if (input_section(c, op, i) == s) return true;
  }
  return false;
}

// Is the result read once, element by element, beside what the section has made? In one section the two meet in a tile.
static bool meets(const leat_cutter_t *c, const leat_op_t *op, uint32_t s) {
  const uint32_t first = c->uses.first[op->result_first];
  if (c->uses.first[op->result_first + 1] - first != 1) return false;
  const leat_op_t *reader = leat_graph_op(c->g, c->uses.all[first].op);
  return leat_op_role(reader->kind) == LEAT_ROLE_ELEMENTWISE && reader->type == op->type && reads_from(c, reader, s);
}

// An elementwise op of parameters, state and numbers, such as the decay of a parameter.
static bool reads_symbols_alone(const leat_cutter_t *c, const leat_op_t *op) {
  for (uint32_t i = 0; i < op->input_count; ++i) {
    const leat_value_t *v = leat_graph_value(c->g, leat_op_input(c->g, op, i));
    if (input_section(c, op, i) != LEAT_NONE && leat_value_elements(v) != 1) return false;
  }
  return leat_op_role(op->kind) == LEAT_ROLE_ELEMENTWISE;
}

// Is the section the last one so far, and the place for the op although it reads nothing of it?
static bool suits_last(const leat_cutter_t *c, const leat_op_t *op, uint32_t s) {
  if (c->options->greedy || s + 1 != c->plan->sections.count) return false;
  return meets(c, op, s) || (c->plan->sections.data[s].alone && reads_symbols_alone(c, op));
}

// The dim along which `op` can be cut to join section `s`, or LEAT_NONE. An op that has no value in common with the
// section joins only along its outermost dim, where a row is one piece of memory; in passes over the batch only if
// its rows are as many, since what follows it would else run in pieces of several rows for no gain.
static uint32_t joining_dim(const leat_cutter_t *c, const leat_op_t *op, uint32_t s) {
  int64_t rows = c->plan->sections.data[s].rows;
  const leat_value_t *result = leat_graph_value(c->g, op->result_first);
  bool any_dim = reads_from(c, op, s), over_batch = op->type == LEAT_TYPE_FWD || op->type == LEAT_TYPE_BCKWD;
  for (uint32_t dim = 0; dim < result->rank; ++dim) {
    if (result->dims[dim] < 2) continue;
    if (result->dims[dim] % rows != 0 || (over_batch && !any_dim && result->dims[dim] != rows)) {
      if (any_dim) continue;
      return LEAT_NONE;
    }
    if (leat_rows_legal(c->g, op, dim) && follows_rows(c, op, s, dim)) return dim;
    if (!any_dim) return LEAT_NONE;
  }
  return LEAT_NONE;
}

// Would the rows of an elementwise op be single elements, of more lines than a tile has? It had better go along lines.
static bool is_strided(const leat_cutter_t *c, const leat_op_t *op, const leat_section_t *s, uint32_t dim) {
  const leat_value_t *result = leat_graph_value(c->g, op->result_first);
  const double tile_bytes = s->cache_bytes * c->options->arch->tile_share;
  if (leat_op_role(op->kind) != LEAT_ROLE_ELEMENTWISE || c->options->greedy) return false;
  int64_t lines = 1, run = 1;
  for (uint32_t d = 0; d < dim; ++d) lines *= result->dims[d];
  for (uint32_t d = dim + 1; d < result->rank; ++d) run *= result->dims[d];
  return lines > 1 && run == 1 && (double)leat_value_bytes(result) > tile_bytes;
}

// Partial sums have fewer rows than what they are made of. Where a few rows of the section are one of theirs, the
// section gets higher rows, which do not depend on each other either, as long as one stays within a tile.
static uint32_t joining_coarser(leat_cutter_t *c, const leat_op_t *op, uint32_t s) {
  leat_section_t *section = &c->plan->sections.data[s];
  const leat_value_t *result = leat_graph_value(c->g, op->result_first);
  const uint32_t first = leat_rows_first(c->g, op);
  if (op->kind != LEAT_PRIM_REDUCE || first == LEAT_NONE || !reads_from(c, op, s)) return LEAT_NONE;
  const int64_t rows = section->rows, coarser = result->dims[first];
  if (coarser >= rows || rows % coarser != 0) return LEAT_NONE;
  const double bytes = section->row_bytes * (double)(rows / coarser);
  if (bytes / 2 > section->cache_bytes * c->options->arch->tile_share) return LEAT_NONE;  // half is alive at once
  section->rows = coarser;
  const uint32_t dim = follows_rows(c, op, s, first) ? first : LEAT_NONE;
  if (dim == LEAT_NONE) {
    section->rows = rows;
  } else {
    section->row_bytes = bytes;
  }
  return dim;
}

static double weight_bytes(const leat_graph_t *g, const leat_op_t *op) {
  double bytes = 0;
  for (uint32_t i = 0; i < 2; ++i) {
    leat_op_id_t producer;
    const leat_op_t *p = leat_cutter_base_op(g, leat_op_input(g, op, i), &producer);
    if (!leat_op_computes(p->kind)) bytes += (double)leat_value_bytes(leat_graph_value(g, leat_op_input(g, op, i)));
  }
  return bytes;
}

static bool too_thin(const leat_cutter_t *c, const leat_op_t *op, const leat_section_t *s) {
  bool any = c->strategy.products_together || c->options->greedy;
  if (op->kind != LEAT_PRIM_CONTRACT || s->rows == 1 || any) return false;
  const leat_value_t *result = leat_graph_value(c->g, op->result_first);
  double row_bytes = (s->row_bytes + (double)leat_value_bytes(result) / (double)s->rows) / 2;  // half is alive at once
  const leat_arch_t *arch = c->options->arch;
  double tile_rows = s->cache_bytes * arch->tile_share / row_bytes, wanted = (double)arch->tile_rows_wanted;
  if ((double)s->rows < wanted) wanted = (double)s->rows;
  return tile_rows < wanted && weight_bytes(c->g, op) > s->cache_bytes * arch->weight_share;
}

static bool is_activation(const leat_cutter_t *c, leat_value_id_t v) {
  leat_op_id_t producer;
  const leat_op_t *p = leat_cutter_base_op(c->g, v, &producer);
  if (leat_op_computes(p->kind)) return p->type != LEAT_TYPE_PREPARE;
  return leat_op_is_symbol(c->g, p, LEAT_KIND_INPUT);
}

// Bytes of the activations that a product cut along `dim` reads whole in every tile: both sides of a weight gradient
// hold the batch, and only one of them is cut. Of a convolution in groups a tile reads those that it makes.
static double reads_whole(const leat_cutter_t *c, const leat_op_t *op, uint32_t dim) {
  double bytes = 0;
  if (leat_op_info(op->kind)->products == 0 || leat_op_int(c->g, op, LEAT_ATTR_GROUPS, 1) > 1) return 0;
  for (uint32_t i = 0; i < op->input_count; ++i) {
    leat_value_id_t v = leat_op_input(c->g, op, i);
    if (leat_rows_operand_dim(c->g, op, dim, i) == LEAT_ROWS_WHOLE && is_activation(c, v))
      bytes += (double)leat_value_bytes(leat_graph_value(c->g, v));
  }
  return bytes;
}

// What tiles after the first read again, when half of the rows' bytes is alive at once.
static double reread_bytes(const leat_arch_t *arch, const leat_section_t *s, double row_bytes, double whole_bytes) {
  double tiles = ceil((double)s->rows * row_bytes / 2 / (s->cache_bytes * arch->tile_share));
  return tiles > 1 ? (tiles - 1) * whole_bytes : 0;
}

// An elementwise op on what the section has made for it alone: a tile has its result in the place of that.
static bool takes_place(const leat_cutter_t *c, const leat_op_t *op, uint32_t section) {
  const leat_value_t *result = leat_graph_value(c->g, op->result_first);
  if (leat_op_role(op->kind) != LEAT_ROLE_ELEMENTWISE) return false;
  for (uint32_t i = 0; i < op->input_count; ++i) {
    const leat_value_id_t v = leat_op_input(c->g, op, i);
    const bool alone = c->uses.first[v + 1] - c->uses.first[v] == 1 && leat_access_base(c->g, v) == v;
    if (alone && input_section(c, op, i) == section && leat_same_shape(leat_graph_value(c->g, v), result)) return true;
  }
  return false;
}

// Would it cost more than it saves if the op joined? Apart, what it reads of the section is written and read again.
static bool rereads(const leat_cutter_t *c, const leat_op_t *op, uint32_t section, uint32_t dim) {
  const leat_section_t *s = &c->plan->sections.data[section];
  const leat_arch_t *arch = c->options->arch;
  double whole = s->whole_bytes + reads_whole(c, op, dim), saved = 0;
  if (whole == 0 || c->options->greedy) return false;
  for (uint32_t i = 0; i < op->input_count; ++i) {
    if (input_section(c, op, i) == section)
      saved += 2 * (double)leat_value_bytes(leat_graph_value(c->g, leat_op_input(c->g, op, i)));
  }
  if (suits_last(c, op, section)) saved += 2 * (double)leat_value_bytes(leat_graph_value(c->g, op->result_first));
  double row_bytes = s->row_bytes;
  if (!takes_place(c, op, section))
    row_bytes += (double)leat_value_bytes(leat_graph_value(c->g, op->result_first)) / (double)s->rows;
  double more = reread_bytes(arch, s, row_bytes, whole) - reread_bytes(arch, s, s->row_bytes, s->whole_bytes);
  return leat_arch_seconds(arch, arch->level, 0, more - saved) > leat_arch_barriers(arch, arch->serial_section);
}

// Would a tile of one of `rows` rows overflow the scratch of the target, if the op joined? About half of what a section
// computes is alive at once; where that is too good a guess the mapper says so, and a smaller share makes up for it.
static bool too_large(const leat_cutter_t *c, const leat_op_t *op, const leat_section_t *s, int64_t rows) {
  if (c->options->arch->scratch_bytes == 0) return false;
  double all = s->row_bytes * (double)s->rows + (double)leat_value_bytes(leat_graph_value(c->g, op->result_first));
  bool shared = c->options->shares != NULL && s->type <= LEAT_TYPE_OPT;
  double limit = (double)c->options->arch->scratch_bytes * (shared ? c->options->shares[s->type] : 1.0);
  return all / (double)rows / 2 > limit;
}

// A product too large for a barrier to matter: beside work that it shares no value with it would be cut into tiles that
// suit the other.
static bool is_large_product(const leat_cutter_t *c, const leat_op_t *op) {
  leat_cost_t cost;
  if (c->options->greedy) return false;
  bool product = leat_op_info(op->kind)->products != 0 && op->kind != LEAT_PRIM_CONV;
  return product && op_seconds(c, op, &cost) > leat_arch_barriers(c->options->arch, c->options->arch->large_product);
}

// A sum over the rows of two activations, such as a weight gradient.
static bool sums_activations(const leat_cutter_t *c, const leat_op_t *op) {
  for (uint32_t i = 0; i < op->input_count; ++i) {
    if (!is_activation(c, leat_op_input(c->g, op, i))) return false;
  }
  return is_large_product(c, op);
}

static void add_to_section(leat_cutter_t *c, leat_op_id_t id, uint32_t s, uint32_t dim, leat_status_t *status) {
  leat_section_t *section = &c->plan->sections.data[s];
  const leat_op_t *op = leat_graph_op(c->g, id);
  leat_op_id_t *slot = leat_array_push(&section->ops);
  if (slot == NULL) {
    *status = leat_out_of_memory();
    return;
  }
  *slot = id;
  leat_cost_t cost;
  section->seconds += op_seconds(c, op, &cost);
  section->flops += cost.flops;
  section->bytes += cost.bytes;
  section->row_bytes += (double)leat_value_bytes(leat_graph_value(c->g, op->result_first)) / (double)section->rows;
  if (dim != LEAT_ROWS_WHOLE) section->whole_bytes += reads_whole(c, op, dim);
  c->plan->section_of[id] = s;
  c->plan->row_dim[id] = (uint8_t)dim;
}

void leat_cut_take(leat_cutter_t *c, leat_op_id_t id) {
  leat_section_t *section = &c->plan->sections.data[c->plan->section_of[id]];
  const leat_op_t *op = leat_graph_op(c->g, id);
  const uint32_t dim = c->plan->row_dim[id];
  leat_cost_t cost;
  section->seconds -= op_seconds(c, op, &cost);
  section->flops -= cost.flops;
  section->bytes -= cost.bytes;
  section->row_bytes -= (double)leat_value_bytes(leat_graph_value(c->g, op->result_first)) / (double)section->rows;
  if (dim != LEAT_ROWS_WHOLE) section->whole_bytes -= reads_whole(c, op, dim);
  uint32_t at = 0;
  while (section->ops.data[at] != id) ++at;
  section->ops.count--;
  memmove(section->ops.data + at, section->ops.data + at + 1, (section->ops.count - at) * sizeof *section->ops.data);
  c->plan->section_of[id] = LEAT_NONE;
}

static bool is_serial(const leat_cutter_t *c, const leat_op_t *op) { return leat_rows_first(c->g, op) == LEAT_NONE; }

// Of a section of one row, what more than one could have shared: not a sort of one line, however long it takes.
static double seconds_given_up(const leat_cutter_t *c, const leat_section_t *section) {
  double seconds = 0;
  leat_cost_t cost;
  for (uint32_t i = 0; i < section->ops.count; ++i) {
    const leat_op_t *op = leat_graph_op(c->g, section->ops.data[i]);
    if (!is_serial(c, op)) seconds += op_seconds(c, op, &cost);
  }
  return seconds;
}

static void make_one_row(leat_cutter_t *c, leat_section_t *section) {
  section->row_bytes *= (double)section->rows;
  section->whole_bytes = 0;
  section->rows = 1;
  for (uint32_t i = 0; i < section->ops.count; ++i) c->plan->row_dim[section->ops.data[i]] = LEAT_ROWS_WHOLE;
}

// The op makes more of what the section has made: weights of numbers a channel.
static bool makes_more(const leat_cutter_t *c, const leat_op_t *op, const leat_section_t *section) {
  const uint64_t elements = (uint64_t)leat_value_elements(leat_graph_value(c->g, op->result_first));
  for (uint32_t i = 0; i < section->ops.count; ++i) {
    const leat_op_t *other = leat_graph_op(c->g, section->ops.data[i]);
    if ((uint64_t)leat_value_elements(leat_graph_value(c->g, other->result_first)) * 2 > elements) return false;
  }
  return true;
}

// What is prepared for one product has nothing in common with what is for another, and is done once: where a section is
// worth its barrier, an op that reads nothing of it opens another, which is the same for layers that are alike. So does
// one that makes much of little, for what was made before is the same for layers with weights of other shapes, too.
static bool is_prepared_apart(const leat_cutter_t *c, const leat_op_t *op, double seconds, uint32_t s) {
  const leat_arch_t *arch = c->options->arch;
  const leat_section_t *section = &c->plan->sections.data[s];
  if (op->type != LEAT_TYPE_PREPARE || c->options->greedy) return false;
  if (reads_from(c, op, s)) return seconds > leat_arch_barriers(arch, arch->tiny_op) && makes_more(c, op, section);
  return section->alone || section->seconds > leat_arch_barriers(arch, arch->serial_section);
}

// Tries to put the op into section `s`; on refusal *why says what stood against it.
static bool try_join(leat_cutter_t *c, leat_op_id_t id, uint32_t s, const char **why, leat_status_t *status) {
  const leat_op_t *op = leat_graph_op(c->g, id);
  leat_section_t *section = &c->plan->sections.data[s];
  if (section->type != op->type || section->ops.count == 0) return false;
  const leat_arch_t *arch = c->options->arch;
  *why = WHY_UNITS;
  if (arch->units != 0 && section->ops.count >= arch->units) return false;
  leat_cost_t cost;
  double seconds = op_seconds(c, op, &cost);
  *why = WHY_PREPARED;
  if (is_prepared_apart(c, op, seconds, s)) return false;
  uint32_t dim = section->rows > 1 ? joining_dim(c, op, s) : LEAT_NONE;
  *why = WHY_STRIDED;
  if (dim != LEAT_NONE && is_strided(c, op, section, dim)) return false;
  if (dim == LEAT_NONE && section->rows > 1) dim = joining_coarser(c, op, s);
  if (dim != LEAT_NONE) {
    *why = WHY_CACHE;
    if (too_thin(c, op, section)) return false;
    *why = WHY_REREAD;
    if (rereads(c, op, s, dim)) return false;
    *why = WHY_SCRATCH;
    if (too_large(c, op, section, section->rows)) return false;
    *why = WHY_APART;
    if ((section->alone || is_large_product(c, op)) && !reads_from(c, op, s) && !suits_last(c, op, s)) return false;
    add_to_section(c, id, s, dim, status);
    return true;
  }
  *why = latest_input_section(c, op) == s ? WHY_WHOLE : WHY_ROWS;
  bool tiny = section->seconds + seconds < leat_arch_barriers(arch, arch->tiny_section);
  if (section->rows > 1 && !tiny) return false;
  if (section->rows == 1 && !tiny && !is_serial(c, op)) {
    bool full = seconds_given_up(c, section) > leat_arch_barriers(arch, arch->serial_section);
    if (seconds > leat_arch_barriers(arch, arch->tiny_op) || full) return false;
  }
  if (too_large(c, op, section, 1)) {
    *why = WHY_SCRATCH;
    return false;
  }
  if (section->rows > 1) make_one_row(c, section);
  add_to_section(c, id, s, LEAT_ROWS_WHOLE, status);
  return true;
}

// The dim that makes `rows` of the op when it opens a section: as the cutter would choose, else any that does.
static uint32_t opening_dim(const leat_cutter_t *c, const leat_op_t *op, int64_t rows) {
  const leat_value_t *result = leat_graph_value(c->g, op->result_first);
  uint32_t first = leat_rows_first(c->g, op);
  if (first != LEAT_NONE && result->dims[first] == rows) return first;
  for (uint32_t dim = 0; dim < result->rank; ++dim)
    if (result->dims[dim] == rows && leat_rows_legal(c->g, op, dim)) return dim;
  return LEAT_NONE;
}

leat_status_t leat_cut_put(leat_cutter_t *c, leat_op_id_t id, uint32_t section) {
  const leat_op_t *op = leat_graph_op(c->g, id);
  const leat_section_t *s = &c->plan->sections.data[section];
  uint32_t dim = LEAT_ROWS_WHOLE;
  if (s->rows > 1) dim = s->ops.count == 0 ? opening_dim(c, op, s->rows) : joining_dim(c, op, section);
  if (dim == LEAT_NONE) {
    char text[256];
    LEAT_FAIL(LEAT_INVALID_ARGUMENT,
              "%s cannot go through the %lld rows of its section one by one: put it elsewhere, or set \"rows\": 1",
              leat_op_text(c->g, op, text, sizeof text), (long long)s->rows);
  }
  leat_status_t status = NULL;
  add_to_section(c, id, section, dim, &status);
  return status;
}

bool leat_cut_takes(leat_cutter_t *c, leat_op_id_t id, uint32_t section) {
  const leat_op_t *op = leat_graph_op(c->g, id);
  const bool one_row = c->plan->sections.data[section].rows == 1;
  const uint32_t dim = one_row ? LEAT_ROWS_WHOLE : joining_dim(c, op, section);
  const uint32_t was_in = c->plan->section_of[id];
  const uint8_t was = c->plan->row_dim[id];
  bool takes = dim != LEAT_NONE;
  if (one_row || !takes) return takes;
  c->plan->section_of[id] = section;
  c->plan->row_dim[id] = (uint8_t)dim;
  for (uint32_t i = c->uses.first[op->result_first]; i < c->uses.first[op->result_first + 1]; ++i) {
    const leat_op_id_t reader = c->uses.all[i].op;
    takes &= c->plan->section_of[reader] != section ||
             follows_rows(c, leat_graph_op(c->g, reader), section, c->plan->row_dim[reader]);
  }
  c->plan->section_of[id] = was_in;
  c->plan->row_dim[id] = was;
  return takes;
}

leat_status_t leat_cut_new_section(leat_cutter_t *c, uint8_t type, int64_t rows, const char *why) {
  leat_section_t *section = leat_array_push(&c->plan->sections);
  if (section == NULL) return leat_out_of_memory();
  section->type = type;
  section->rows = rows;
  section->why = why;
  bool shared = c->options->shares != NULL && type <= LEAT_TYPE_OPT;
  section->cache_bytes = (double)c->options->arch->l2_bytes * (shared ? c->options->shares[type] : 1.0);
  return NULL;
}

// Of the backward pass, an op that reads only what forward left. Done early, its result would wait in memory; it goes
// to the latest section that takes it, which is where what needs it has just begun.
static bool can_wait(const leat_cutter_t *c, const leat_op_t *op, uint32_t latest) {
  if (c->options->greedy) return false;
  return op->type == LEAT_TYPE_BCKWD && (latest == LEAT_NONE || c->plan->sections.data[latest].type != op->type);
}

static leat_status_t place_in_one_row(leat_cutter_t *c, leat_op_id_t id, const char *why) {
  leat_status_t status = NULL;
  if (c->plan->sections.count == c->part_first)
    LEAT_TRY(leat_cut_new_section(c, leat_graph_op(c->g, id)->type, 1, why));
  add_to_section(c, id, c->part_first, LEAT_ROWS_WHOLE, &status);
  return status;
}

static leat_status_t place(leat_cutter_t *c, leat_op_id_t id, const char *why) {
  const leat_op_t *op = leat_graph_op(c->g, id);
  if (c->one_row[op->type]) return place_in_one_row(c, id, why);
  leat_status_t status = NULL;
  uint32_t count = c->plan->sections.count, latest = latest_input_section(c, op), first = c->part_first;
  if (count - first > CANDIDATES) first = count - CANDIDATES;
  if (latest != LEAT_NONE && latest > first) first = latest;
  bool last_first = can_wait(c, op, latest) || (count > first && suits_last(c, op, count - 1));
  for (uint32_t i = first; i < count; ++i) {
    if (try_join(c, id, last_first ? count - 1 - (i - first) : i, &why, &status)) return status;
  }
  uint32_t dim = leat_rows_first(c->g, op);
  int64_t rows = dim == LEAT_NONE ? 1 : leat_graph_value(c->g, op->result_first)->dims[dim];
  LEAT_TRY(leat_cut_new_section(c, op->type, rows, why));
  c->plan->sections.data[count].tile_rows_max = c->strategy.tile_rows_max;
  c->plan->sections.data[count].tiles_min = c->strategy.tiles_min;
  c->plan->sections.data[count].alone = sums_activations(c, op);
  if (op->type == LEAT_TYPE_PREPARE && latest != LEAT_NONE) c->plan->sections.data[latest].alone = true;
  add_to_section(c, id, count, dim == LEAT_NONE ? LEAT_ROWS_WHOLE : dim, &status);
  return status;
}

static bool is_first_of_type(const leat_plan_t *plan, uint8_t type) {
  for (uint32_t i = 0; i < plan->pieces.count; ++i) {
    const leat_plan_piece_t *piece = &plan->pieces.data[i];
    if (piece->type == type) return piece->section_count == 0;
  }
  return true;
}

static leat_status_t find_strategy(leat_cutter_t *c, uint32_t group) {
  const leat_group_t *known = leat_graph_group(c->g, group);
  leat_heuristic_use_t use = {0};
  if (known != NULL) LEAT_TRY(leat_heuristic_from_json(known->heuristic, known->parameters, &use));
  c->strategy = leat_heuristic_strategy(&use);
  return NULL;
}

// Cuts a piece that is to have several sections into parts of about equal cost; no section holds ops of two of them.
static bool starts_part(const leat_cutter_t *c, const leat_plan_piece_t *piece, double done, double all,
                        uint32_t part) {
  if (piece->type != LEAT_TYPE_FWD || part >= c->strategy.forward_sections) return false;
  return done * c->strategy.forward_sections >= all * part;
}

static double piece_seconds(const leat_cutter_t *c, const leat_plan_piece_t *piece) {
  double seconds = 0;
  leat_cost_t cost;
  for (uint32_t i = 0; i < piece->op_count; ++i)
    seconds += op_seconds(c, leat_graph_op(c->g, c->plan->order[piece->op_first + i]), &cost);
  return seconds;
}

leat_status_t leat_cut_piece(leat_cutter_t *c, leat_plan_piece_t *piece) {
  const char *first = c->options->why_first != NULL ? c->options->why_first : WHY_FIRST;
  const char *why = is_first_of_type(c->plan, piece->type) ? first : WHY_GROUP;
  LEAT_TRY(find_strategy(c, piece->group));
  piece->section_first = c->part_first = c->plan->sections.count;
  double all = piece_seconds(c, piece), done = 0;
  for (uint32_t i = 0, part = 1; i < piece->op_count; ++i) {
    leat_op_id_t id = c->plan->order[piece->op_first + i];
    leat_cost_t cost;
    if (i > 0 && starts_part(c, piece, done, all, part)) {
      c->part_first = c->plan->sections.count;
      why = WHY_PART;
      ++part;
    }
    LEAT_TRY(place(c, id, why));
    why = WHY_ROWS;
    done += op_seconds(c, leat_graph_op(c->g, id), &cost);
  }
  piece->section_count = c->plan->sections.count - piece->section_first;
  return NULL;
}
