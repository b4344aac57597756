// SPDX-License-Identifier: Apache-2.0
#include "map/keep.h"

#include "space/access.h"

typedef struct keeping_s {
  const leat_graph_t *g;
  const leat_arch_t *arch;
  const leat_plan_t *plan;
  const leat_uses_t *uses;
  const leat_map_symbols_t *symbols;
  const leat_stages_t *stages;
} keeping_t;

static uint32_t section_of_value(const keeping_t *k, leat_value_id_t v) {
  return k->plan->section_of[leat_graph_value(k->g, v)->op];
}

static bool is_store(const keeping_t *k, leat_op_id_t op) {
  return leat_op_is_statement(leat_graph_op(k->g, op)->kind);
}

// --- stores ---------------------------------------------------------------------------------------------------------

// An output may be bound to the caller's memory, which is gone when backward runs by itself.
static bool read_by_other_types(const keeping_t *k, leat_value_id_t v) {
  uint8_t type = leat_graph_op(k->g, leat_graph_value(k->g, v)->op)->type;
  for (uint32_t i = k->uses->first[v]; i < k->uses->first[v + 1]; ++i) {
    if (!is_store(k, k->uses->all[i].op) && leat_graph_op(k->g, k->uses->all[i].op)->type != type) return true;
  }
  return false;
}

// Smaller values stay in a cache where they are copied.
static bool is_large(const keeping_t *k, leat_value_id_t v) {
  return leat_value_bytes(leat_graph_value(k->g, v)) >= k->arch->recompute_bytes;
}

static bool trains(const keeping_t *k) {
  for (uint32_t s = 0; s < k->plan->sections.count; ++s) {
    const uint8_t type = k->plan->sections.data[s].type;
    if (type != LEAT_TYPE_FWD && type != LEAT_TYPE_PREPARE) return true;
  }
  return false;
}

// A training reads large logits where a tile of them is made, and nowhere else: they need no memory unless somebody
// asks for them, who then gets a copy.
static bool passes_through_tiles(const keeping_t *k, leat_value_id_t v) {
  uint32_t readers = 0;
  for (uint32_t i = k->uses->first[v]; i < k->uses->first[v + 1]; ++i) {
    if (is_store(k, k->uses->all[i].op)) continue;
    if (k->plan->section_of[k->uses->all[i].op] != section_of_value(k, v)) return false;
    readers++;
  }
  return readers > 0 && is_large(k, v) && trains(k);
}

// In-place update: within the section, every reader of the old value must come before the new one is written.
static bool readers_come_first(const keeping_t *k, leat_value_id_t v, leat_symbol_id_t symbol) {
  leat_op_id_t writer = leat_graph_value(k->g, v)->op;
  uint32_t section = section_of_value(k, v);
  leat_op_id_t leaf = leat_graph_symbol(k->g, symbol)->op;
  if (leaf == LEAT_NONE) return true;
  leat_value_id_t old = leat_graph_op(k->g, leaf)->result_first;
  for (uint32_t i = k->uses->first[old]; i < k->uses->first[old + 1]; ++i) {
    leat_use_t use = k->uses->all[i];
    if (is_store(k, use.op) || k->plan->section_of[use.op] != section) continue;
    if (k->stages->at[use.op] > k->stages->at[writer]) return false;
    if (k->stages->at[use.op] == k->stages->at[writer] &&
        !leat_stages_read_in_step(k->g, leat_graph_op(k->g, use.op), use.input)) {
      return false;
    }
  }
  return true;
}

static bool store_may_be_direct(const keeping_t *k, leat_value_id_t v, leat_op_id_t store) {
  if (k->plan->section_of[store] != section_of_value(k, v)) return false;
  const leat_op_t *op = leat_graph_op(k->g, store);
  if (leat_op_is_store(k->g, op, LEAT_STORE_OUTPUT)) return !read_by_other_types(k, v) && !passes_through_tiles(k, v);
  if (leat_op_is_store(k->g, op, LEAT_STORE_UPDATE)) return readers_come_first(k, v, leat_op_symbol(k->g, op));
  return true;
}

static leat_op_id_t direct_store(const keeping_t *k, leat_value_id_t v) {
  for (uint32_t i = k->uses->first[v]; i < k->uses->first[v + 1]; ++i) {
    if (is_store(k, k->uses->all[i].op) && store_may_be_direct(k, v, k->uses->all[i].op)) return k->uses->all[i].op;
  }
  return LEAT_NONE;
}

// --- values ---------------------------------------------------------------------------------------------------------

static bool stays_in_strip(const keeping_t *k, leat_value_id_t v) {
  leat_op_id_t producer = leat_graph_value(k->g, v)->op;
  if (leat_op_role(leat_graph_op(k->g, producer)->kind) != LEAT_ROLE_ELEMENTWISE) return false;
  for (uint32_t i = k->uses->first[v]; i < k->uses->first[v + 1]; ++i) {
    leat_use_t use = k->uses->all[i];
    const leat_op_t *op = leat_graph_op(k->g, use.op);
    if (leat_op_role(op->kind) != LEAT_ROLE_ELEMENTWISE) return false;
    if (k->plan->section_of[use.op] != k->plan->section_of[producer]) return false;
    if (k->stages->at[use.op] != k->stages->at[producer] || !leat_stages_read_in_step(k->g, op, use.input))
      return false;
  }
  return true;
}

static void choose_computed(const keeping_t *k, leat_value_id_t v, leat_keeps_t *keeps) {
  leat_keep_t *keep = &keeps->of[v];
  leat_op_id_t direct = direct_store(k, v);
  if (direct != LEAT_NONE) {
    *keep = (leat_keep_t){.kind = LEAT_KEEP_SYMBOL,
                          .symbol = leat_map_symbols_find(k->symbols, k->g, leat_graph_op(k->g, direct))};
    keeps->direct[direct] = true;
  } else {
    keep->kind = stays_in_strip(k, v) ? LEAT_KEEP_STRIP : LEAT_KEEP_MEMORY;
  }
}

// --- partial sums ---------------------------------------------------------------------------------------------------

// The value that is made of `v` alone and others, element by element, in another section; LEAT_NONE: there is no such
// one, or `v` is read elsewhere, too.
static leat_value_id_t successor(const keeping_t *k, leat_value_id_t v) {
  if (k->uses->first[v + 1] - k->uses->first[v] != 1) return LEAT_NONE;
  const leat_use_t use = k->uses->all[k->uses->first[v]];
  const leat_op_t *op = leat_graph_op(k->g, use.op);
  if (is_store(k, use.op) || !leat_stages_read_in_step(k->g, op, use.input)) return LEAT_NONE;
  const leat_op_id_t producer = leat_graph_value(k->g, v)->op;
  const bool alike = op->type == leat_graph_op(k->g, producer)->type &&
                     leat_graph_value(k->g, op->result_first)->dtype == leat_graph_value(k->g, v)->dtype;
  return alike && k->plan->section_of[use.op] != k->plan->section_of[producer] ? op->result_first : LEAT_NONE;
}

// Part of a gradient waits in the gradient's own memory for the rest, as where two layers share a weight. Nobody reads
// that of a symbol of this kind before it is whole.
static leat_status_t gather_parts(const keeping_t *k, leat_keeps_t *keeps) {
  bool *taken = leat_alloc_zero(k->g->values.count + 1u, sizeof *taken);
  if (taken == NULL) return leat_out_of_memory();
  for (leat_value_id_t v = k->g->values.count; v-- > 0;) {
    if (keeps->of[v].kind != LEAT_KEEP_MEMORY) continue;
    const leat_value_id_t whole = successor(k, v);
    if (whole == LEAT_NONE || taken[whole] || keeps->of[whole].kind != LEAT_KEEP_SYMBOL) continue;
    if (k->symbols->all.data[keeps->of[whole].symbol].kind != PEF_SYMBOL_GRADIENT) continue;
    taken[whole] = true;
    keeps->of[v] = keeps->of[whole];
  }
  leat_free(taken);
  return NULL;
}

// --- all ------------------------------------------------------------------------------------------------------------

static leat_status_t choose_leaf(const keeping_t *k, leat_value_id_t v, const leat_op_t *op, leat_keep_t *keep) {
  if (leat_op_role(op->kind) == LEAT_ROLE_SYMBOL) {
    *keep = (leat_keep_t){.kind = LEAT_KEEP_SYMBOL, .symbol = leat_map_symbols_find(k->symbols, k->g, op)};
  } else if (leat_op_attr(k->g, op, LEAT_ATTR_INDEX) != NULL) {
    if (k->uses->first[v] == k->uses->first[v + 1]) return NULL;
    if (leat_op_blob(k->g, op) == NULL)
      LEAT_FAIL(LEAT_INTERNAL, "constant #%lld has no bytes", (long long)leat_op_int(k->g, op, LEAT_ATTR_INDEX, 0));
    keep->kind = LEAT_KEEP_CONSTANT;
  }
  return NULL;
}

leat_status_t leat_keeps_choose(const leat_graph_t *g, const leat_arch_t *arch, const leat_plan_t *plan,
                                const leat_uses_t *uses, const leat_map_symbols_t *symbols, const leat_stages_t *stages,
                                leat_keeps_t *out_keeps) {
  keeping_t k = {g, arch, plan, uses, symbols, stages};
  out_keeps->of = leat_alloc_zero(g->values.count + 1u, sizeof *out_keeps->of);
  out_keeps->direct = leat_alloc_zero(g->ops.count + 1u, sizeof *out_keeps->direct);
  if (out_keeps->of == NULL || out_keeps->direct == NULL) return leat_out_of_memory();
  for (leat_value_id_t v = 0; v < g->values.count; ++v) {
    const leat_op_t *op = leat_graph_op(g, leat_graph_value(g, v)->op);
    if (leat_op_computes(op->kind)) choose_computed(&k, v, out_keeps);
    if (leat_op_is_leaf(op->kind)) LEAT_TRY(choose_leaf(&k, v, op, &out_keeps->of[v]));
  }
  return gather_parts(&k, out_keeps);
}

void leat_keeps_deinit(leat_keeps_t *keeps) {
  leat_free(keeps->of);
  leat_free(keeps->direct);
}
