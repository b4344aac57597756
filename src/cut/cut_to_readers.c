// SPDX-License-Identifier: Apache-2.0
// Ops that move to the section of their readers: of what a section makes for a later one alone, and what that can make
// as well of values that are in memory anyway, nothing need be stored in between. An op in the middle of a norm's
// backward, `(x - mean) * rstd`, is computed where its sums are, and again behind them, where it would else be loaded.
#include <math.h>

#include "cut/cutter.h"

enum { DEPTH = 4 };  // of what moves with an op

static double bytes_of(const leat_cutter_t *c, leat_value_id_t v) {
  return (double)leat_value_bytes(leat_graph_value(c->g, v));
}

// The later section whose elementwise ops alone read what `id` makes, element by element; LEAT_NONE: there is none.
static uint32_t reader_of(const leat_cutter_t *c, leat_op_id_t id) {
  const leat_value_id_t v = leat_graph_op(c->g, id)->result_first;
  uint32_t section = LEAT_NONE;
  for (uint32_t i = c->uses.first[v]; i < c->uses.first[v + 1]; ++i) {
    const leat_use_t use = c->uses.all[i];
    const leat_op_t *op = leat_graph_op(c->g, use.op);
    const uint32_t at = c->plan->section_of[use.op];
    if (leat_op_role(op->kind) != LEAT_ROLE_ELEMENTWISE || leat_op_input(c->g, op, use.input) != v) return LEAT_NONE;
    if (at == LEAT_NONE || at == c->plan->section_of[id] || (section != LEAT_NONE && at != section)) return LEAT_NONE;
    section = at;
  }
  return section;
}

// Whether a value is in memory whatever becomes of op `reader`.
static bool is_kept(const leat_cutter_t *c, leat_value_id_t v, leat_op_id_t reader) {
  const uint32_t made = c->plan->section_of[leat_graph_value(c->g, v)->op];
  for (uint32_t i = c->uses.first[v]; i < c->uses.first[v + 1]; ++i) {
    const leat_op_id_t op = c->uses.all[i].op;
    if (op != reader && (!leat_op_computes(leat_graph_op(c->g, op)->kind) || c->plan->section_of[op] != made))
      return true;
  }
  return false;
}

static bool is_alone(const leat_cutter_t *c, leat_value_id_t v, leat_op_id_t reader) {
  for (uint32_t i = c->uses.first[v]; i < c->uses.first[v + 1]; ++i) {
    if (c->uses.all[i].op != reader) return false;
  }
  return true;
}

// Bytes that must be stored so that an op can move.
static double bytes_stored(const leat_cutter_t *c, leat_op_id_t id, uint32_t depth) {
  const leat_op_t *op = leat_graph_op(c->g, id);
  double stored = 0;
  for (uint32_t i = 0; i < op->input_count; ++i) {
    leat_op_id_t maker_id;
    const leat_value_id_t base = leat_access_base(c->g, leat_op_input(c->g, op, i));
    const leat_op_t *maker = leat_cutter_base_op(c->g, base, &maker_id);
    if (leat_op_role(maker->kind) == LEAT_ROLE_SYMBOL &&
        leat_graph_symbol(c->g, leat_op_symbol(c->g, maker))->update_first != LEAT_NONE)
      return (double)INFINITY;  // it may be another by then
    if (!leat_op_computes(maker->kind) || is_kept(c, base, id)) continue;
    const bool moves = depth > 0 && leat_op_role(maker->kind) == LEAT_ROLE_ELEMENTWISE && is_alone(c, base, id) &&
                       c->plan->section_of[maker_id] == c->plan->section_of[id];
    const double moving = moves ? bytes_stored(c, maker_id, depth - 1) : (double)INFINITY;
    stored += moving < bytes_of(c, base) ? moving : bytes_of(c, base);
  }
  return stored;
}

// What a tile holds is not in the way, wherever it is made.
static bool is_worth_it(const leat_cutter_t *c, leat_op_id_t id) {
  const leat_arch_t *arch = c->options->arch;
  const double bytes = bytes_of(c, leat_graph_op(c->g, id)->result_first);
  return bytes > (double)arch->l2_bytes * arch->tile_share && 8 * bytes_stored(c, id, DEPTH) <= bytes;
}

static leat_status_t move(leat_cutter_t *c, uint32_t section, uint32_t k, uint32_t later) {
  const leat_op_id_t id = c->plan->sections.data[section].ops.data[k];
  leat_cut_take(c, id);
  LEAT_TRY(leat_cut_put(c, id, later));
  leat_section_t *s = &c->plan->sections.data[later];  // in the order of the graph
  uint32_t at = s->ops.count - 1;
  for (; at > 0 && s->ops.data[at - 1] > id; --at) s->ops.data[at] = s->ops.data[at - 1];
  s->ops.data[at] = id;
  return NULL;
}

leat_status_t leat_cut_to_readers(leat_cutter_t *c, const leat_plan_piece_t *piece) {
  if (c->options->greedy || c->strategy.forward_sections > 1) return NULL;
  for (uint32_t s = c->plan->sections.count; s-- > piece->section_first;) {
    for (uint32_t k = c->plan->sections.data[s].ops.count; k-- > 0 && c->plan->sections.data[s].ops.count > 1;) {
      const leat_op_id_t id = c->plan->sections.data[s].ops.data[k];
      if (leat_op_role(leat_graph_op(c->g, id)->kind) != LEAT_ROLE_ELEMENTWISE) continue;
      const uint32_t later = reader_of(c, id);
      if (later == LEAT_NONE || later < s || !is_worth_it(c, id) || !leat_cut_takes(c, id, later)) continue;
      LEAT_TRY(move(c, s, k, later));
    }
  }
  return NULL;
}
