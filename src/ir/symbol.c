// SPDX-License-Identifier: Apache-2.0
// The symbol table, and the one place where names of what the compiler makes are put together and, in a graph that was
// read from text, taken apart.
#include <stdio.h>

#include "ir/graph.h"

typedef enum form_e { OWNED, NUMBERED, ALONE } form_t;

typedef struct role_s {
  const char *before, *after;
  uint8_t kind, form;
} role_t;

static const role_t roles[LEAT_MADE_COUNT] = {
#define ROLE(e, kind, form, before, after) [LEAT_MADE_##e] = {before, after, LEAT_KIND_##kind, form},
#include "ir/end.def"
#include "ir/role.def"
#undef ROLE
};

// --- finding ------------------------------------------------------------------------------------------------------

leat_symbol_id_t leat_graph_find_symbol(const leat_graph_t *g, const char *name) {
  const uint32_t found = leat_names_find(&g->symbol_names, name, strlen(name));
  return found == LEAT_NAME_ABSENT ? LEAT_NONE : found;
}

leat_symbol_id_t leat_op_symbol(const leat_graph_t *g, const leat_op_t *op) {
  const leat_attr_t *attr = leat_op_attr(g, op, LEAT_ATTR_NAME);
  return attr == NULL ? LEAT_NONE : (leat_symbol_id_t)attr->v.i;
}

const char *leat_op_name(const leat_graph_t *g, const leat_op_t *op) {
  const leat_symbol_id_t symbol = leat_op_symbol(g, op);
  return symbol == LEAT_NONE ? "" : leat_graph_symbol(g, symbol)->name;
}

static leat_symbol_id_t find_owned(const leat_graph_t *g, leat_symbol_id_t owner, leat_symbol_role_t role) {
  leat_symbol_id_t id = leat_graph_symbol(g, owner)->owned;
  while (id != LEAT_NONE && leat_graph_symbol(g, id)->role != role) id = leat_graph_symbol(g, id)->next_owned;
  return id;
}

// --- adding -------------------------------------------------------------------------------------------------------

static void forget_ops(leat_symbol_t *symbol) { symbol->op = symbol->update_first = symbol->update_last = LEAT_NONE; }

// The symbol of that name, which lies in the arena; a new one has nothing but its name.
static leat_status_t add(leat_graph_t *g, const char *name, leat_symbol_id_t *out_symbol) {
  leat_symbol_t *slot = leat_array_push(&g->symbols);
  *out_symbol = g->symbols.count - 1;
  if (slot == NULL || name == NULL || !leat_names_add(&g->symbol_names, name, *out_symbol)) return leat_out_of_memory();
  *slot = (leat_symbol_t){.name = name, .owner = LEAT_NONE, .owned = LEAT_NONE, .next_owned = LEAT_NONE};
  forget_ops(slot);
  return NULL;
}

leat_status_t leat_graph_name_symbol(leat_graph_t *g, const char *name, leat_symbol_id_t *out_symbol) {
  *out_symbol = leat_graph_find_symbol(g, name);
  return *out_symbol != LEAT_NONE ? NULL : add(g, leat_arena_strdup(&g->arena, name, strlen(name)), out_symbol);
}

static void set_role(leat_graph_t *g, leat_symbol_id_t id, leat_symbol_role_t role, uint32_t of) {
  leat_symbol_t *symbol = &g->symbols.data[id];
  symbol->role = (uint8_t)role;
  if (roles[role].form == NUMBERED) symbol->number = of;
  if (roles[role].form != OWNED) return;
  symbol->owner = of;
  symbol->next_owned = g->symbols.data[of].owned;
  g->symbols.data[of].owned = id;
}

// The name that users see.
static leat_status_t make_name(leat_graph_t *g, const role_t *role, uint32_t of, const char **out_name) {
  leat_text_t text = {0};
  leat_text_put(&text, "%s", role->form == OWNED ? leat_graph_symbol(g, of)->name : role->before);
  if (role->form == NUMBERED) leat_text_put(&text, "%u", of);
  leat_text_put(&text, "%s", role->after);
  *out_name = text.failed ? NULL : leat_arena_strdup(&g->arena, text.data, text.length);
  leat_text_deinit(&text);
  if (*out_name == NULL) return leat_out_of_memory();
  return NULL;
}

leat_status_t leat_graph_role_symbol(leat_graph_t *g, leat_symbol_role_t role, uint32_t of,
                                     leat_symbol_id_t *out_symbol) {
  const char *name;
  if (roles[role].form == OWNED) {
    *out_symbol = find_owned(g, of, role);
    if (*out_symbol != LEAT_NONE) return NULL;
  }
  LEAT_TRY(make_name(g, &roles[role], of, &name));
  *out_symbol = leat_graph_find_symbol(g, name);
  if (*out_symbol == LEAT_NONE) LEAT_TRY(add(g, name, out_symbol));
  if (g->symbols.data[*out_symbol].role == LEAT_MADE_NONE) set_role(g, *out_symbol, role, of);
  return NULL;
}

leat_status_t leat_graph_copy_symbols(leat_graph_t *g, const leat_graph_t *from) {
  assert(g->symbols.count == 0);
  for (leat_symbol_id_t id = 0; id < from->symbols.count; id++) {
    const leat_symbol_t *symbol = leat_graph_symbol(from, id);
    leat_symbol_id_t copy;
    LEAT_TRY(add(g, leat_arena_strdup(&g->arena, symbol->name, strlen(symbol->name)), &copy));
    const char *name = g->symbols.data[copy].name;
    g->symbols.data[copy] = *symbol;
    g->symbols.data[copy].name = name;
    forget_ops(&g->symbols.data[copy]);
  }
  return NULL;
}

// --- what ops say ---------------------------------------------------------------------------------------------------

static void say(leat_symbol_t *symbol, int kind, const leat_value_t *type) {
  symbol->said = true;
  symbol->kind = (uint8_t)kind;
  symbol->type = *type;
}

static void say_store(const leat_graph_t *g, const leat_op_t *op, leat_symbol_t *symbol) {
  static const uint8_t kinds[] = {[LEAT_STORE_OUTPUT] = LEAT_KIND_OUTPUT,
                                  [LEAT_STORE_UPDATE] = LEAT_KIND_STATE,
                                  [LEAT_STORE_GRAD] = LEAT_KIND_GRAD,
                                  [LEAT_STORE_INTERNAL] = LEAT_KIND_INTERNAL};
  const leat_value_id_t value = leat_op_input(g, op, 0);
  const int store = leat_op_word(g, op, LEAT_ATTR_KIND, LEAT_STORE_OUTPUT);
  const bool known = store == LEAT_STORE_UPDATE && symbol->said;  // an update says nothing new
  if (value != LEAT_NONE && !known) say(symbol, kinds[store], leat_graph_value(g, value));
}

static void note_update(leat_symbol_t *symbol, leat_op_id_t id) {
  if (symbol->update_first == LEAT_NONE) symbol->update_first = id;
  symbol->update_last = id;
}

void leat_graph_note_symbol(leat_graph_t *g, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(g, id);
  const leat_symbol_id_t named = leat_op_symbol(g, op);
  if (named == LEAT_NONE) return;
  leat_symbol_t *symbol = &g->symbols.data[named];
  if (leat_op_role(op->kind) == LEAT_ROLE_KEEP) {
    say_store(g, op, symbol);
    const bool update = leat_op_word(g, op, LEAT_ATTR_KIND, LEAT_STORE_OUTPUT) == LEAT_STORE_UPDATE;
    if (update && leat_op_is_primitive(op->kind)) note_update(symbol, id);
    return;
  }
  say(symbol, leat_op_word(g, op, LEAT_ATTR_KIND, LEAT_KIND_INPUT), leat_graph_value(g, op->result_first));
  if (leat_op_is_primitive(op->kind) && symbol->op == LEAT_NONE) symbol->op = id;
}

// --- text -----------------------------------------------------------------------------------------------------------

// Does `name` end with `end`, with something before it? *out_length: of that.
static bool ends_with(const char *name, const char *end, size_t *out_length) {
  const size_t length = strlen(name), end_length = strlen(end);
  *out_length = length > end_length ? length - end_length : 0;
  return *out_length != 0 && strcmp(name + *out_length, end) == 0;
}

// Is `name` one of this role? *out_of: its owner or number.
static bool read_name(const leat_graph_t *g, const role_t *role, const char *name, uint32_t *out_of) {
  size_t length;
  *out_of = 0;
  if (role->form == ALONE) return strcmp(name, role->before) == 0;
  if (!ends_with(name, role->after, &length)) return false;
  if (role->form == OWNED) {
    *out_of = leat_names_find(&g->symbol_names, name, length);
    return *out_of != LEAT_NAME_ABSENT;
  }
  const size_t before = strlen(role->before);
  if (length <= before || length > before + 9 || memcmp(name, role->before, before) != 0) return false;
  for (size_t i = before; i < length; i++) {
    if (name[i] < '0' || name[i] > '9') return false;
    *out_of = *out_of * 10 + (uint32_t)(name[i] - '0');
  }
  return true;
}

void leat_graph_read_roles(leat_graph_t *g) {
  for (leat_symbol_id_t id = 0; id < g->symbols.count; id++) {
    const leat_symbol_t *symbol = leat_graph_symbol(g, id);
    for (uint32_t role = LEAT_MADE_NONE + 1; role < LEAT_MADE_COUNT && symbol->role == LEAT_MADE_NONE; role++) {
      uint32_t of;
      if (symbol->kind == roles[role].kind && read_name(g, &roles[role], symbol->name, &of))
        set_role(g, id, (leat_symbol_role_t)role, of);
    }
  }
}
