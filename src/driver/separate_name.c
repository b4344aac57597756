// SPDX-License-Identifier: Apache-2.0
// Canonical names of units, taken back to the symbols of the program and to memory between units.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "driver/separate.h"

enum { NAME_BYTES = 512 };

static leat_status_t out_of_memory(void) { return leat_status_make(LEAT_OUT_OF_MEMORY, "out of memory"); }

// --- tables ---------------------------------------------------------------------------------------------------------

// The symbol of that name; made like `like` if it is new.
static leat_status_t find_or_add(leat_unit_names_t *n, const char *name, const pef_symbol_t *like,
                                 uint32_t *out_index) {
  *out_index = leat_names_find(&n->index, name, strlen(name));
  if (*out_index != LEAT_NAME_ABSENT) return NULL;
  pef_symbol_t *symbol = leat_array_push(&n->symbols);
  char *copy = leat_arena_strdup(&n->arena, name, strlen(name));
  if (symbol == NULL || copy == NULL || !leat_names_add(&n->index, copy, n->symbols.count - 1)) return out_of_memory();
  *symbol = *like;
  symbol->name = leat_pef_add_string(n->writer, name);
  symbol->of = PEF_NONE;
  *out_index = n->symbols.count - 1;
  return NULL;
}

static leat_status_t symbol_target(leat_unit_names_t *n, const char *name, const pef_symbol_t *like,
                                   leat_link_target_t *out_target) {
  out_target->kind = LEAT_LINK_SYMBOL;
  return find_or_add(n, name, like, &out_target->index);
}

static leat_link_target_t value_target(leat_unit_names_t *n, uint32_t index, const pef_symbol_t *like) {
  n->value_bytes[index] = like->bytes;
  return (leat_link_target_t){LEAT_LINK_VALUE, index};
}

// Inputs, parameters, buffers and outputs of the program, in its order.
static leat_status_t add_program_symbols(leat_unit_names_t *n) {
  static const uint8_t kinds[] = {[LEAT_KIND_INPUT] = PEF_SYMBOL_INPUT,
                                  [LEAT_KIND_PARAM] = PEF_SYMBOL_PARAMETER,
                                  [LEAT_KIND_BUFFER] = PEF_SYMBOL_BUFFER};
  const leat_graph_t *g = n->units->g;
  for (leat_op_id_t id = 0; id < g->ops.count; ++id) {
    const leat_op_t *op = leat_graph_op(g, id);
    bool output = leat_op_role(op->kind) == LEAT_ROLE_KEEP && !leat_op_is_primitive(op->kind);
    if (leat_op_role(op->kind) != LEAT_ROLE_SYMBOL && !output) continue;
    const leat_value_t *v = leat_graph_value(g, output ? leat_op_input(g, op, 0) : op->result_first);
    const uint32_t kind = (uint32_t)leat_op_word(g, op, LEAT_ATTR_KIND, LEAT_KIND_INPUT);
    pef_symbol_t like = {.kind = PEF_SYMBOL_OUTPUT, .dtype = v->dtype, .rank = v->rank, .bytes = leat_value_bytes(v)};
    memcpy(like.dims, v->dims, v->rank * sizeof *v->dims);
    if (!output && kind < sizeof kinds / sizeof *kinds) like.kind = kinds[kind];
    uint32_t index;
    LEAT_TRY(find_or_add(n, leat_op_name(g, op), &like, &index));
  }
  return NULL;
}

leat_status_t leat_unit_names_init(leat_unit_names_t *n, const leat_units_t *units, leat_pef_writer_t *writer) {
  *n = (leat_unit_names_t){.units = units, .writer = writer};
  leat_arena_init(&n->arena);
  n->given_first = leat_alloc_zero(units->all.count + 1u, sizeof *n->given_first);
  for (uint32_t i = 0; i < units->all.count; ++i) {
    const leat_unit_t *unit = &units->all.data[i];
    if (n->given_first != NULL) n->given_first[i] = n->given_count;
    n->given_count += unit->ins.count + unit->symbols.count;
  }
  n->value_count = units->g->values.count + n->given_count + units->optimizers.count;
  n->value_bytes = leat_alloc_zero(n->value_count + 1u, sizeof *n->value_bytes);
  leat_status_t status = n->given_first == NULL || n->value_bytes == NULL ? out_of_memory() : add_program_symbols(n);
  if (status != NULL) leat_unit_names_deinit(n);
  return status;
}

void leat_unit_names_deinit(leat_unit_names_t *n) {
  leat_array_free(&n->symbols);
  leat_names_deinit(&n->index);
  leat_free(n->given_first);
  leat_free(n->value_bytes);
  leat_arena_deinit(&n->arena);
  memset(n, 0, sizeof *n);
}

// --- names ----------------------------------------------------------------------------------------------------------

static const char *name_of(const leat_units_t *units, leat_value_id_t symbol) {
  const leat_graph_t *g = units->g;
  return leat_op_name(g, leat_graph_op(g, leat_graph_value(g, symbol)->op));
}

// "@in12__grad" with prefix "@in": 12, and *out_rest is "__grad".
static bool read_name(const char *name, const char *prefix, uint32_t *out_number, const char **out_rest) {
  size_t length = strlen(prefix);
  if (strncmp(name, prefix, length) != 0 || name[length] < '0' || name[length] > '9') return false;
  char *end;
  *out_number = (uint32_t)strtoul(name + length, &end, 10);
  *out_rest = end;
  return true;
}

// A result that o0 keeps lies in its symbol, any other in memory between units.
static leat_status_t result_target(leat_unit_names_t *n, leat_value_id_t v, const pef_symbol_t *like,
                                   leat_link_target_t *out_target) {
  const leat_graph_t *g = n->units->g;
  *out_target = (leat_link_target_t){LEAT_LINK_VALUE, v};
  if (n->units->kept_by[v] == 0) {
    *out_target = value_target(n, v, like);
    return NULL;
  }
  pef_symbol_t kept = *like;
  kept.kind = PEF_SYMBOL_INTERNAL;
  return symbol_target(n, leat_op_name(g, leat_graph_op(g, n->units->kept_by[v] - 1)), &kept, out_target);
}

static leat_link_target_t cotangent_target(leat_unit_names_t *n, uint32_t unit, uint32_t port, bool symbol,
                                           const pef_symbol_t *like) {
  uint32_t at = n->given_first[unit] + port + (symbol ? n->units->all.data[unit].ins.count : 0);
  return value_target(n, n->units->g->values.count + at, like);
}

static leat_link_target_t given_target(leat_unit_names_t *n, const leat_unit_given_t *given, const pef_symbol_t *like) {
  return cotangent_target(n, given->unit, given->port, given->symbol, like);
}

static leat_link_target_t clip_target(leat_unit_names_t *n, uint32_t optimizer, const pef_symbol_t *like) {
  return value_target(n, n->units->g->values.count + n->given_count + optimizer, like);
}

// @sym<k> and what belongs to it.
static leat_status_t owned_target(leat_unit_names_t *n, uint32_t unit_index, uint32_t port, const char *suffix,
                                  const pef_symbol_t *like, leat_link_target_t *out_target) {
  const leat_unit_t *unit = &n->units->all.data[unit_index];
  leat_value_id_t v = unit->symbols.data[port].value;
  if (strcmp(suffix, "__grad") == 0 && unit->symbols.data[port].partial) {
    *out_target = cotangent_target(n, unit_index, port, true, like);
    return NULL;
  }
  char name[NAME_BYTES];
  if ((size_t)snprintf(name, sizeof name, "%s%s", name_of(n->units, v), suffix) >= sizeof name)
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "symbol '%s': the name is too long", name_of(n->units, v));
  return symbol_target(n, name, like, out_target);
}

// A gradient that the norm reads; one that no unit computes is zero.
static leat_status_t gradient_target(leat_unit_names_t *n, uint32_t unit_index, uint32_t port, const pef_symbol_t *like,
                                     leat_link_target_t *out_target) {
  char name[NAME_BYTES];
  const leat_unit_t *unit = &n->units->all.data[unit_index];
  (void)snprintf(name, sizeof name, "%s__grad", name_of(n->units, unit->symbols.data[port].value));
  uint32_t found = leat_names_find(&n->index, name, strlen(name));
  *out_target = found == LEAT_NAME_ABSENT ? cotangent_target(n, unit_index, port, true, like)
                                          : (leat_link_target_t){LEAT_LINK_SYMBOL, found};
  return NULL;
}

leat_status_t leat_unit_name_target(leat_unit_names_t *n, uint32_t unit_index, const leat_pef_t *pef, uint32_t index,
                                    leat_link_target_t *out_target) {
  const pef_symbol_t *symbol = &pef->symbols[index];
  const char *name = pef->strings + symbol->name, *rest;
  if (unit_index == LEAT_NONE) return symbol_target(n, name, symbol, out_target);
  const leat_unit_t *unit = &n->units->all.data[unit_index];
  uint32_t k;
  if (read_name(name, "@in", &k, &rest)) {
    if (*rest == '\0') return result_target(n, unit->ins.data[k].value, symbol, out_target);
    *out_target = cotangent_target(n, unit_index, k, false, symbol);
  } else if (read_name(name, "@out", &k, &rest)) {
    return result_target(n, unit->outs.data[k].value, symbol, out_target);
  } else if (read_name(name, "@seed", &k, &rest)) {
    *out_target = given_target(n, &unit->outs.data[k].seed, symbol);
  } else if (read_name(name, "@seedin", &k, &rest)) {
    *out_target = given_target(n, &unit->ins.data[k].before, symbol);
  } else if (read_name(name, "@seedsym", &k, &rest)) {
    *out_target = given_target(n, &unit->symbols.data[k].before, symbol);
  } else if (read_name(name, "@sym", &k, &rest)) {
    return owned_target(n, unit_index, k, rest, symbol, out_target);
  } else if (read_name(name, "@grad", &k, &rest)) {
    return gradient_target(n, unit_index, k, symbol, out_target);
  } else if (read_name(name, "@clip", &k, &rest)) {
    *out_target = clip_target(n, k, symbol);
  } else if (strcmp(name, "@clip") == 0) {
    *out_target = clip_target(n, unit->optimizers.data[0], symbol);
  } else if (read_name(name, "optimizer_", &k, &rest) && strcmp(rest, "__step") == 0) {
    char own[64];
    (void)snprintf(own, sizeof own, "optimizer_%" PRIu32 "__step", unit->optimizers.data[k]);
    return symbol_target(n, own, symbol, out_target);
  } else {
    return symbol_target(n, name, symbol, out_target);
  }
  return NULL;
}

// Gradients, states and seeds are called <symbol>__<suffix>; the longest name of a symbol wins.
void leat_unit_names_link_owners(leat_unit_names_t *n) {
  for (uint32_t i = 0; i < n->index.slot_count; ++i) {
    const char *name = n->index.slots[i].name;
    if (name == NULL) continue;
    pef_symbol_t *symbol = &n->symbols.data[n->index.slots[i].number];
    if (symbol->kind != PEF_SYMBOL_GRADIENT && symbol->kind != PEF_SYMBOL_STATE && symbol->kind != PEF_SYMBOL_SEED)
      continue;
    for (const char *end = strstr(name, "__"); end != NULL; end = strstr(end + 1, "__")) {
      uint32_t owner = leat_names_find(&n->index, name, (size_t)(end - name));
      if (owner != LEAT_NAME_ABSENT) symbol->of = owner;
    }
  }
}
