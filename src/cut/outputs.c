// SPDX-License-Identifier: Apache-2.0
// Names for the results of all ops: module and op as the program has them, numbered where a module uses an op again.
#include "cut/outputs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "ir/build.h"

enum { NAME_BYTES = 512 };

// An op and the name that it shares with its like.
typedef struct named_s {
  char *name;
  leat_op_id_t op;
  uint32_t number;  // how many of the name came before
} named_t;

typedef struct names_s {
  leat_arena_t arena;
  LEAT_ARRAY(named_t) all;
} names_t;

static int by_name(const void *a, const void *b) {
  const named_t *x = a, *y = b;
  int order = strcmp(x->name, y->name);
  return order != 0 ? order : x->op < y->op ? -1 : x->op > y->op;
}

static int by_op(const void *a, const void *b) {
  const named_t *x = a, *y = b;
  return x->op < y->op ? -1 : x->op > y->op;
}

// "gpt2.h.0" and "linear" make gpt2__h__0__linear.
static leat_status_t add_name(names_t *names, const leat_graph_t *g, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(g, id);
  const char *module = g->origins.data[op->origin].module;
  char text[NAME_BYTES];
  size_t length = 0;
  for (const char *at = module; *at != '\0' && length + 3 < sizeof text; ++at) {
    text[length++] = *at == '.' ? '_' : *at;
    if (*at == '.') text[length++] = '_';
  }
  int written =
      snprintf(text + length, sizeof text - length, "%s%s", length == 0 ? "" : "__", leat_op_info(op->kind)->name);
  if (written < 0 || (size_t)written >= sizeof text - length)
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "the name of module '%s' is too long for the names of its results", module);
  named_t *slot = leat_array_push(&names->all);
  char *copy = leat_arena_strdup(&names->arena, text, strlen(text));
  if (slot == NULL || copy == NULL) return leat_out_of_memory();
  *slot = (named_t){.name = copy, .op = id};
  return NULL;
}

static void number_names(names_t *names) {
  if (names->all.count == 0) return;
  qsort(names->all.data, names->all.count, sizeof *names->all.data, by_name);
  for (uint32_t i = 1; i < names->all.count; ++i) {
    named_t *named = &names->all.data[i];
    if (strcmp(named->name, named[-1].name) == 0) named->number = named[-1].number + 1;
  }
  qsort(names->all.data, names->all.count, sizeof *names->all.data, by_op);
}

static leat_status_t store_results(leat_builder_t *b, const named_t *named, const bool *is_output) {
  leat_op_t op = *leat_graph_op(b->graph, named->op);
  b->group = op.group;
  b->origin = op.origin;
  for (uint32_t i = 0; i < op.result_count; ++i) {
    if (is_output[op.result_first + i]) continue;
    char name[NAME_BYTES + 64], number[16] = "";
    if (named->number != 0) (void)snprintf(number, sizeof number, "_%" PRIu32, named->number);
    (void)snprintf(name, sizeof name, "%s%s__outputs__%" PRIu32, named->name, number, i);
    if (leat_graph_find_symbol(b->graph, name) != LEAT_NONE) continue;  // the program has a tensor of that name
    leat_b_store(b, leat_b_named(b, name), LEAT_STORE_INTERNAL, op.result_first + i);
  }
  return leat_builder_take_status(b);
}

static leat_status_t collect(const leat_graph_t *g, names_t *names, bool *is_output) {
  for (leat_op_id_t id = 0; id < g->ops.count; ++id) {
    const leat_op_t *op = leat_graph_op(g, id);
    if (leat_op_role(op->kind) == LEAT_ROLE_KEEP) is_output[leat_op_input(g, op, 0)] = true;
    if (!leat_op_is_statement(op->kind) && !leat_op_is_leaf(op->kind)) LEAT_TRY(add_name(names, g, id));
  }
  return NULL;
}

leat_status_t leat_store_op_outputs(leat_graph_t *g) {
  names_t names = {0};
  leat_arena_init(&names.arena);
  bool *is_output = leat_alloc_zero((size_t)g->values.count + 1u, sizeof *is_output);
  leat_status_t status = is_output == NULL ? leat_out_of_memory() : NULL;
  if (status == NULL) status = collect(g, &names, is_output);
  number_names(&names);
  leat_builder_t b;
  leat_builder_init(&b, g);
  for (uint32_t i = 0; i < names.all.count && status == NULL; ++i)
    status = store_results(&b, &names.all.data[i], is_output);
  leat_free(is_output);
  leat_array_free(&names.all);
  leat_arena_deinit(&names.arena);
  return status;
}
