// SPDX-License-Identifier: Apache-2.0
// See pipe.h. First who reads whose results, then who rides, then passes; levels and depths of buffers last.
#include "chip/pipe.h"

#include <math.h>
#include <stdlib.h>

#include "pef/flow.h"

// A stage reads or writes an operand.
typedef struct use_s {
  const pef_operand_t *operand;
  uint32_t stage, index;
  bool written;
} use_t;

// Stage `from` makes what use `reader` reads.
typedef struct link_s {
  uint32_t from, reader;
} link_t;

typedef struct maker_s {
  const leat_chip_t *chip;
  const leat_pef_t *pef;
  const pef_body_t *body;
  const leat_chip_tile_t *tile;
  double tiles;
  leat_chip_pipe_t *pipe;
  leat_chip_cost_t *costs;  // of the stages
  LEAT_ARRAY(use_t) uses;   // in the order of stages; what a stage reads before what it writes
  LEAT_ARRAY(link_t) links;
} maker_t;

static const pef_stage_t *stage_of(const maker_t *m, uint32_t stage) {
  return &m->pef->stages[m->body->stage_first + stage];
}
static double use_bytes(const maker_t *m, const use_t *use) {
  return leat_chip_tile_elements(m->pef, m->body, stage_of(m, use->stage), use->index, m->tile) *
         (double)leat_pef_dtype_bytes(use->operand->dtype);
}

// --- who reads whose results -----------------------------------------------------------------------------------------

static bool same_place(const pef_operand_t *a, const pef_operand_t *b) {
  return a->space == b->space && a->slot == b->slot;
}

static bool same_view(const pef_operand_t *a, const pef_operand_t *b) {
  return same_place(a, b) && a->offset == b->offset && a->rank == b->rank && a->dtype == b->dtype &&
         memcmp(a->dims, b->dims, sizeof a->dims) == 0 && memcmp(a->strides, b->strides, sizeof a->strides) == 0;
}

// Bytes from its first to its last element.
typedef struct span_s {
  double first, end;
} span_t;

static span_t span_of(const pef_operand_t *operand) {
  const double bytes = (double)leat_pef_dtype_bytes(operand->dtype);
  span_t span = {(double)operand->offset, (double)operand->offset};
  for (uint32_t d = 0; d < operand->rank; ++d) {
    const double reach = (double)(operand->dims[d] - 1) * (double)operand->strides[d] * bytes;
    *(reach < 0 ? &span.first : &span.end) += reach;
  }
  span.end += bytes;
  return span;
}

// Of a packed operand strides do not say where it lies: it may be anywhere in its slot.
static bool overlap(const maker_t *m, const use_t *a, const use_t *b) {
  if (leat_pef_operand_is_packed(stage_of(m, a->stage), a->index)) return true;
  if (leat_pef_operand_is_packed(stage_of(m, b->stage), b->index)) return true;
  const span_t x = span_of(a->operand), y = span_of(b->operand);
  return x.first < y.end && y.first < x.end;
}

// Nothing of what is read was there before that stage wrote.
static bool covers(const maker_t *m, const use_t *written, const use_t *read) {
  if (same_view(written->operand, read->operand)) return true;
  if (leat_pef_operand_is_packed(stage_of(m, read->stage), read->index)) return false;
  const span_t x = span_of(written->operand), y = span_of(read->operand);
  double bytes = (double)leat_pef_dtype_bytes(written->operand->dtype);
  for (uint32_t d = 0; d < written->operand->rank; ++d)
    bytes *= written->operand->strides[d] != 0 ? (double)written->operand->dims[d] : 1;
  return bytes == x.end - x.first && x.first <= y.first && y.end <= x.end;
}

// From the last stage before it that wrote some of it to the one that wrote all.
static bool link_use(maker_t *m, uint32_t reader) {
  const use_t read = m->uses.data[reader];
  for (uint32_t i = reader; i-- > 0;) {
    const use_t *use = &m->uses.data[i];
    if (!use->written || use->stage == read.stage || !same_place(use->operand, read.operand)) continue;
    if (!overlap(m, use, &read)) continue;
    link_t *link = leat_array_push(&m->links);
    if (link == NULL) return false;
    *link = (link_t){use->stage, reader};
    if (covers(m, use, &read)) return true;
  }
  return true;
}

static leat_status_t find_uses(maker_t *m) {
  for (uint32_t s = 0; s < m->body->stage_count; ++s) {
    const pef_stage_t *stage = stage_of(m, s);
    if (leat_pef_stage_is_idle(m->pef, stage)) continue;
    for (leat_operand_use_t found = {0}; leat_flow_next(m->pef, stage, &found);) {
      use_t *use = leat_array_push(&m->uses);
      if (use == NULL) return leat_out_of_memory();
      *use = (use_t){found.operand, s, found.index, found.written};
    }
  }
  for (uint32_t i = 0; i < m->uses.count; ++i)
    if (!m->uses.data[i].written && !link_use(m, i)) return leat_out_of_memory();
  return NULL;
}

// --- who rides -------------------------------------------------------------------------------------------------------

static bool is_product(const leat_chip_cost_t *cost) {
  return cost->work_count == 1 && cost->works[0].way == LEAT_CHIP_SYSTOLIC;
}

// A PCU makes as many vectors as it has stages in the time that a block takes: the tail has to keep up with that.
static bool keeps_up(const leat_chip_cost_t *product, const leat_chip_cost_t *tail) {
  const leat_chip_work_t *work = &product->works[0];
  const double outputs = (double)work->batch * (double)work->m * (double)work->n;
  return outputs == (double)tail->works[0].length && tail->works[0].passes * work->stages <= work->k;
}

// Stage `from` gives what it makes to stage `to` alone, and not to memory.
static bool is_for(const maker_t *m, uint32_t from, uint32_t to) {
  for (uint32_t i = 0; i < m->links.count; ++i)
    if (m->links.data[i].from == from && m->uses.data[m->links.data[i].reader].stage != to) return false;
  for (uint32_t i = 0; i < m->uses.count; ++i) {
    const use_t *use = &m->uses.data[i];
    if (use->stage == from && use->written && use->operand->space == PEF_SPACE_ARGUMENT) return false;
  }
  return true;
}

// The product in whose units a stage rides: of those it reads, the last; LEAT_CHIP_NONE.
static uint32_t host_of(const maker_t *m, uint32_t stage) {
  if (!m->costs[stage].can_ride) return LEAT_CHIP_NONE;
  uint32_t host = LEAT_CHIP_NONE;
  for (uint32_t i = 0; i < m->links.count; ++i) {
    const link_t *link = &m->links.data[i];
    if (m->uses.data[link->reader].stage != stage || (host != LEAT_CHIP_NONE && link->from <= host)) continue;
    if (!is_product(&m->costs[link->from]) || !keeps_up(&m->costs[link->from], &m->costs[stage])) continue;
    if (is_for(m, link->from, stage)) host = link->from;
  }
  return host;
}

static leat_status_t find_nodes(maker_t *m) {
  for (uint32_t s = 0; s < m->body->stage_count; ++s) {
    if (leat_pef_stage_is_idle(m->pef, stage_of(m, s))) continue;
    const uint32_t host = host_of(m, s);
    if (host != LEAT_CHIP_NONE) {
      m->pipe->node_of[s] = m->pipe->node_of[host];
      continue;
    }
    leat_chip_node_t *node = leat_array_push(&m->pipe->nodes);
    if (node == NULL) return leat_out_of_memory();
    *node = (leat_chip_node_t){.stage = s, .cost = m->costs[s]};
    m->pipe->node_of[s] = m->pipe->nodes.count - 1;
  }
  return NULL;
}

// --- passes ----------------------------------------------------------------------------------------------------------

static uint32_t side_of(const maker_t *m, const use_t *use) {
  const leat_chip_cost_t *cost = &m->costs[use->stage];
  if (use->written) return LEAT_CHIP_SIDE_NONE;
  if (use->index == cost->m_operand) return LEAT_CHIP_SIDE_M;
  return use->index == cost->n_operand ? LEAT_CHIP_SIDE_N : LEAT_CHIP_SIDE_NONE;
}

// Does another pass say the same of the same nodes? What both ends know by one view passes once.
static bool is_known(const leat_chip_pipe_t *pipe, const leat_chip_pass_t *pass) {
  for (uint32_t i = 0; i < pipe->passes.count; ++i) {
    const leat_chip_pass_t *other = &pipe->passes.data[i];
    const bool same_ends = other->from == pass->from && other->to == pass->to && other->kind == pass->kind;
    if (same_ends && other->side == pass->side && same_view(other->operand, pass->operand)) return true;
  }
  return false;
}

static leat_status_t add_pass(maker_t *m, const leat_chip_pass_t *pass) {
  if (pass->bytes == 0 || is_known(m->pipe, pass)) return NULL;
  leat_chip_pass_t *added = leat_array_push(&m->pipe->passes);
  if (added == NULL) return leat_out_of_memory();
  *added = *pass;
  return NULL;
}

static leat_status_t add_links(maker_t *m) {
  for (uint32_t i = 0; i < m->links.count; ++i) {
    const use_t *use = &m->uses.data[m->links.data[i].reader];
    const leat_chip_pass_t pass = {.kind = LEAT_CHIP_PASS,
                                   .from = m->pipe->node_of[m->links.data[i].from],
                                   .to = m->pipe->node_of[use->stage],
                                   .side = side_of(m, use),
                                   .bytes = use_bytes(m, use),
                                   .operand = use->operand};
    if (pass.from != pass.to) LEAT_TRY(add_pass(m, &pass));
  }
  return NULL;
}

static bool has_writer(const maker_t *m, uint32_t use) {
  for (uint32_t i = 0; i < m->links.count; ++i)
    if (m->links.data[i].reader == use) return true;
  return false;
}

// A part of it belongs to a tile: rows, or places of an axis of which a tile has not all, run along it. What is
// broadcast along them is the same for every tile.
static bool moves(const maker_t *m, const pef_operand_t *operand) {
  if (operand->row_dim != PEF_NO_ROW_DIM && operand->strides[operand->row_dim] != 0) return true;
  const pef_cut_t *cuts;
  const pef_axis_t *axes;
  const uint32_t count = m->pef->cut_count > 0 ? leat_pef_cuts(m->pef, operand, &cuts) : 0;
  if (count > 0) (void)leat_pef_axes(m->pef, m->body, &axes);
  for (uint32_t i = 0; i < count; ++i) {
    const bool is_whole = m->tile->axes[cuts[i].axis - 1] >= (int64_t)axes[cuts[i].axis - 1].count;
    if (!is_whole && operand->strides[cuts[i].dim] != 0) return true;
  }
  return false;
}

// Tables are looked up where they lie, unless all of one loads sooner than what is looked up in it.
static void choose_table(const maker_t *m, const leat_chip_cost_t *cost, leat_chip_pass_t *pass) {
  pass->looked_up = cost->looked_up;
  const double load = pass->bytes / m->chip->ddr_effective;
  const double look_up = cost->looked_up * m->tiles / m->chip->ddr_random;
  if (pass->kind == LEAT_CHIP_RESIDENT && load < look_up) return;
  pass->kind = LEAT_CHIP_LOOK_UP;
  pass->bytes = cost->looked_up;
}

static leat_status_t add_memory(maker_t *m, uint32_t index) {
  const use_t *use = &m->uses.data[index];
  const leat_chip_cost_t *cost = &m->costs[use->stage];
  if (use->operand->space != PEF_SPACE_ARGUMENT || (!use->written && has_writer(m, index))) return NULL;
  const uint32_t node = m->pipe->node_of[use->stage];
  leat_chip_pass_t pass = {.from = use->written ? node : LEAT_CHIP_MEMORY,
                           .to = use->written ? LEAT_CHIP_MEMORY : node,
                           .side = side_of(m, use),
                           .bytes = use_bytes(m, use),
                           .operand = use->operand};
  pass.kind = use->written ? LEAT_CHIP_STORE : moves(m, use->operand) ? LEAT_CHIP_LOAD : LEAT_CHIP_RESIDENT;
  if (cost->is_spread && pass.kind == LEAT_CHIP_RESIDENT) {
    pass.kind = LEAT_CHIP_LOAD;
    pass.bytes = ceil(pass.bytes / m->tiles);
  }
  // What is updated is read here and there, and written so: half of it each.
  if (use->index == cost->table) choose_table(m, cost, &pass);
  if (use->index == cost->table && cost->is_updated) pass.bytes /= 2;
  return add_pass(m, &pass);
}

// --- levels and depths -----------------------------------------------------------------------------------------------

static void find_levels(leat_chip_pipe_t *pipe) {
  for (bool changed = true; changed;) {
    changed = false;
    for (uint32_t i = 0; i < pipe->passes.count; ++i) {
      const leat_chip_pass_t *pass = &pipe->passes.data[i];
      if (pass->kind != LEAT_CHIP_PASS) continue;
      const uint32_t level = pipe->nodes.data[pass->from].level + 1;
      if (pipe->nodes.data[pass->to].level >= level) continue;
      pipe->nodes.data[pass->to].level = level;
      changed = true;
    }
  }
  for (uint32_t i = 0; i < pipe->nodes.count; ++i)
    if (pipe->nodes.data[i].level >= pipe->levels) pipe->levels = pipe->nodes.data[i].level + 1;
}

static int by_level(const void *a, const void *b) {
  const leat_chip_node_t *x = a, *y = b;
  if (x->level != y->level) return x->level < y->level ? -1 : 1;
  return (x->stage > y->stage) - (x->stage < y->stage);
}

static leat_status_t sort_nodes(leat_chip_pipe_t *pipe) {
  uint32_t *place = leat_alloc((pipe->stage_count + 1) * sizeof *place);  // of a stage's node
  uint32_t *from = leat_alloc((pipe->nodes.count + 1) * sizeof *from);    // a node's place
  if (place == NULL || from == NULL) {
    leat_free(place);
    leat_free(from);
    return leat_out_of_memory();
  }
  for (uint32_t i = 0; i < pipe->nodes.count; ++i) from[i] = pipe->nodes.data[i].stage;
  if (pipe->nodes.count > 0) qsort(pipe->nodes.data, pipe->nodes.count, sizeof *pipe->nodes.data, by_level);
  for (uint32_t i = 0; i < pipe->nodes.count; ++i) place[pipe->nodes.data[i].stage] = i;
  for (uint32_t i = 0; i < pipe->passes.count; ++i) {
    leat_chip_pass_t *pass = &pipe->passes.data[i];
    if (pass->from != LEAT_CHIP_MEMORY) pass->from = place[from[pass->from]];
    if (pass->to != LEAT_CHIP_MEMORY) pass->to = place[from[pass->to]];
  }
  for (uint32_t s = 0; s < pipe->stage_count; ++s)
    if (pipe->node_of[s] != LEAT_CHIP_NONE) pipe->node_of[s] = place[from[pipe->node_of[s]]];
  leat_free(place);
  leat_free(from);
  return NULL;
}

// The lowest level of those that load the same bytes.
static uint32_t first_level(const leat_chip_pipe_t *pipe, const leat_chip_pass_t *pass) {
  uint32_t level = pipe->nodes.data[pass->to].level;
  for (uint32_t i = 0; i < pipe->passes.count; ++i) {
    const leat_chip_pass_t *other = &pipe->passes.data[i];
    if (other->kind != pass->kind || !same_view(other->operand, pass->operand)) continue;
    if (pipe->nodes.data[other->to].level < level) level = pipe->nodes.data[other->to].level;
  }
  return level;
}

static bool is_first(const leat_chip_pipe_t *pipe, uint32_t index) {
  const leat_chip_pass_t *pass = &pipe->passes.data[index];
  for (uint32_t i = 0; i < index; ++i)
    if (pipe->passes.data[i].kind == pass->kind && same_view(pipe->passes.data[i].operand, pass->operand)) return false;
  return true;
}

// Two copies of a tile, one that is written and one that is read, and one more for each level that it waits.
static void find_depths(leat_chip_pipe_t *pipe) {
  for (uint32_t i = 0; i < pipe->passes.count; ++i) {
    leat_chip_pass_t *pass = &pipe->passes.data[i];
    const bool is_shared = pass->kind == LEAT_CHIP_LOAD || pass->kind == LEAT_CHIP_RESIDENT;
    pass->is_first = !is_shared || is_first(pipe, i);
    if (pass->kind == LEAT_CHIP_PASS)
      pass->depth = 1 + pipe->nodes.data[pass->to].level - pipe->nodes.data[pass->from].level;
    if (pass->kind == LEAT_CHIP_RESIDENT) pass->depth = 1;
    if (pass->kind != LEAT_CHIP_LOAD) continue;
    const uint32_t waits = pipe->nodes.data[pass->to].level - first_level(pipe, pass);
    const bool is_streamed = pass->side == LEAT_CHIP_SIDE_NONE && pipe->nodes.data[pass->to].cost.is_streamed;
    pass->depth = waits == 0 && is_streamed ? 0 : 2 + waits;
  }
}

// --- the pipeline ----------------------------------------------------------------------------------------------------

static leat_status_t make(maker_t *m) {
  leat_chip_pipe_t *pipe = m->pipe;
  pipe->stage_count = m->body->stage_count;
  pipe->node_of = leat_alloc((pipe->stage_count + 1) * sizeof *pipe->node_of);
  m->costs = leat_alloc_zero(pipe->stage_count + 1, sizeof *m->costs);
  if (pipe->node_of == NULL || m->costs == NULL) return leat_out_of_memory();
  for (uint32_t s = 0; s < pipe->stage_count; ++s) {
    pipe->node_of[s] = LEAT_CHIP_NONE;
    if (!leat_pef_stage_is_idle(m->pef, stage_of(m, s)))
      leat_chip_cost_of(m->chip, m->pef, m->body, stage_of(m, s), m->tile, &m->costs[s]);
  }
  LEAT_TRY(find_uses(m));
  LEAT_TRY(find_nodes(m));
  LEAT_TRY(add_links(m));
  for (uint32_t i = 0; i < m->uses.count; ++i) LEAT_TRY(add_memory(m, i));
  find_levels(pipe);
  LEAT_TRY(sort_nodes(pipe));
  find_depths(pipe);
  return NULL;
}

leat_status_t leat_chip_pipe_make(const leat_chip_t *chip, const leat_pef_t *pef, const pef_body_t *body,
                                  const leat_chip_tile_t *tile, double tiles, leat_chip_pipe_t *out_pipe) {
  *out_pipe = (leat_chip_pipe_t){0};
  maker_t m = {.chip = chip, .pef = pef, .body = body, .tile = tile, .tiles = tiles, .pipe = out_pipe};
  leat_status_t status = make(&m);
  leat_free(m.costs);
  leat_array_free(&m.uses);
  leat_array_free(&m.links);
  if (status != NULL) leat_chip_pipe_deinit(out_pipe);
  return status;
}

void leat_chip_pipe_deinit(leat_chip_pipe_t *pipe) {
  leat_array_free(&pipe->nodes);
  leat_array_free(&pipe->passes);
  leat_free(pipe->node_of);
  *pipe = (leat_chip_pipe_t){0};
}
