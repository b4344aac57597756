// SPDX-License-Identifier: Apache-2.0
#include "map/panels.h"

#include "map/lookup.h"

// The dim of the symbol that the columns are, where the pack holds all of it.
static uint32_t column_dim(const leat_value_t *symbol, const leat_pack_t *pack) {
  const leat_access_t *kn = &pack->access;
  const int64_t k = kn->dims[0], n = kn->dims[1];
  if (kn->offset != 0 || leat_value_elements(symbol) != k * n) return LEAT_NONE;
  for (uint32_t d = 0; d < symbol->rank; ++d) {
    int64_t behind = 1;
    for (uint32_t i = d + 1; i < symbol->rank; ++i) behind *= symbol->dims[i];
    if (symbol->dims[d] != n || kn->strides[1] != behind) continue;
    if (behind == k ? kn->strides[0] == 1 : behind == 1 && kn->strides[0] == n) return d;
  }
  return LEAT_NONE;
}

// Of products, through the pack.
static uint32_t count_reads(const leat_decided_t *d, uint32_t pack) {
  uint32_t count = 0;
  for (uint32_t s = 0; s < d->plan->sections.count; ++s) {
    for (uint32_t i = 0; i < d->drafts[s].sources.count; ++i) {
      const leat_source_t *source = &d->drafts[s].sources.data[i];
      count += source->kind == LEAT_SOURCE_PACK && source->index == pack && !source->written;
    }
  }
  return count;
}

static bool is_only_value(const leat_graph_t *g, leat_op_id_t of) {
  const leat_symbol_id_t symbol = leat_op_symbol(g, leat_graph_op(g, of));
  for (leat_op_id_t id = 0; id < g->ops.count; ++id) {
    const leat_op_t *op = leat_graph_op(g, id);
    const bool names = leat_op_role(op->kind) == LEAT_ROLE_SYMBOL || leat_op_is_statement(op->kind);
    if (id != of && names && leat_op_symbol(g, op) == symbol) return false;
  }
  return true;
}

static uint32_t count_lookups(const leat_decided_t *d, const leat_pack_t *pack) {
  const leat_value_id_t base = pack->access.base;
  uint32_t count = 0;
  for (uint32_t u = d->uses.first[base]; u < d->uses.first[base + 1]; ++u)
    count += leat_lookup_fits(d, pack, d->uses.all[u]);
  return count;
}

// What is packed is computed once, in a section of its type.
static bool is_prepared(const leat_op_t *op) { return op->type == LEAT_TYPE_PREPARE && leat_op_computes(op->kind); }

// Values of a symbol lie in blocks of one dim; pairs are blocks of another one in them.
static void choose(leat_decided_t *d, uint32_t index) {
  leat_pack_t *pack = &d->packs.all.data[index];
  const leat_value_t *value = leat_graph_value(d->g, pack->access.base);
  const leat_op_t *op = leat_graph_op(d->g, value->op);
  const bool is_parameter = leat_op_is_symbol(d->g, op, LEAT_KIND_PARAM) && is_only_value(d->g, value->op);
  if (pack->paired || (!is_parameter && !is_prepared(op))) return;
  pack->dim = column_dim(value, pack);
  const uint32_t readers = d->uses.first[pack->access.base + 1] - d->uses.first[pack->access.base];
  if (pack->dim == LEAT_NONE || count_reads(d, index) + count_lookups(d, pack) != readers) return;
  pack->only = true;
  if (is_parameter)
    pack->symbol = leat_map_symbols_find(&d->symbols, d->g, op);
  else
    pack->maker = d->plan->section_of[value->op];
}

leat_status_t leat_panels_choose(leat_decided_t *d) {
  for (uint32_t i = 0; i < d->packs.all.count; ++i) choose(d, i);
  return leat_lookups_redirect(d);
}
