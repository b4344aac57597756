// SPDX-License-Identifier: Apache-2.0
// Implementation of blocks.h: ops are dealt out to the modules of one depth, modules are compared op by op, those that
// have an equal become matches; then the same one depth further in, with what is left.
#include "cut/blocks.h"

#include <ctype.h>

enum { SMALLEST_BLOCK = 2 };  // ops; a group of one op saves no search

typedef struct block_s {
  const char *container;  // path of the module that holds it
  LEAT_ARRAY(leat_op_id_t) ops;
  uint32_t like;     // the first block that it equals, maybe itself
  bool is_repeated;  // equals another one
} block_t;

typedef struct finder_s {
  const leat_graph_t *g;
  leat_arena_t *strings;
  bool *taken;         // per op
  uint32_t *block_of;  // per op: index + 1; 0: none
  uint32_t *place;     // per op: its place in the block
  LEAT_ARRAY(block_t) blocks;
  leat_names_t index;  // path -> block
} finder_t;

// The length of `module` up to the end of its `depth`-th component that is a number, and up to the dot before that
// component; 0 where it has fewer.
static size_t entry_length(const char *module, uint32_t depth, size_t *out_container_length) {
  for (const char *at = module; *at != '\0'; at += *at == '.') {
    const char *component = at;
    bool is_number = *at != '.';
    for (; *at != '\0' && *at != '.'; ++at) is_number = is_number && isdigit((unsigned char)*at);
    if (!is_number || component == module || --depth != 0) continue;
    *out_container_length = (size_t)(component - module) - 1;
    return (size_t)(at - module);
  }
  return 0;
}

static leat_status_t find_block(finder_t *f, const char *module, size_t length, size_t container_length,
                                uint32_t *out_block) {
  *out_block = leat_names_find(&f->index, module, length);
  if (*out_block != LEAT_NAME_ABSENT) return NULL;
  const char *path = leat_arena_strdup(f->strings, module, length);
  const char *container = leat_arena_strdup(f->strings, module, container_length);
  block_t *block = leat_array_push(&f->blocks);
  if (path == NULL || container == NULL || block == NULL) return leat_out_of_memory();
  *out_block = f->blocks.count - 1;
  block->container = container;
  block->like = *out_block;
  return leat_names_add(&f->index, path, *out_block) ? NULL : leat_out_of_memory();
}

static leat_status_t deal_out(finder_t *f, uint32_t depth, bool *out_any) {
  for (leat_op_id_t id = 0; id < f->g->ops.count; ++id) {
    const leat_op_t *op = leat_graph_op(f->g, id);
    f->block_of[id] = 0;
    if (f->taken[id] || !leat_group_takes(op->kind)) continue;
    const char *module = f->g->origins.data[op->origin].module;
    size_t container_length = 0, length = entry_length(module, depth, &container_length);
    if (length == 0) continue;
    uint32_t index;
    LEAT_TRY(find_block(f, module, length, container_length, &index));
    block_t *block = &f->blocks.data[index];
    leat_op_id_t *slot = leat_array_push(&block->ops);
    if (slot == NULL) return leat_out_of_memory();
    *slot = id;
    f->block_of[id] = index + 1;
    f->place[id] = block->ops.count - 1;
    *out_any = true;
  }
  return NULL;
}

// Are the i-th inputs the same: both absent, both from the same place within their blocks, or both from elsewhere?
static bool same_input(const finder_t *f, leat_value_id_t a, leat_value_id_t b, uint32_t block_a, uint32_t block_b) {
  if (a == LEAT_NONE || b == LEAT_NONE) return a == b;
  const leat_value_t *x = leat_graph_value(f->g, a), *y = leat_graph_value(f->g, b);
  if (x->dtype != y->dtype || !leat_same_shape(x, y)) return false;
  const bool inside = f->block_of[x->op] == block_a + 1;
  if (inside != (f->block_of[y->op] == block_b + 1)) return false;
  return !inside || (f->place[x->op] == f->place[y->op] && x->result_index == y->result_index);
}

static bool same_op(const finder_t *f, const leat_op_t *x, const leat_op_t *y, uint32_t block_x, uint32_t block_y) {
  const leat_graph_t *g = f->g;
  if (x->kind != y->kind || x->detached != y->detached || x->exact != y->exact) return false;
  if (x->input_count != y->input_count || x->result_count != y->result_count) return false;
  if (!leat_attrs_equal(g, x, g, y)) return false;
  for (uint32_t i = 0; i < x->input_count; ++i)
    if (!same_input(f, leat_op_input(g, x, i), leat_op_input(g, y, i), block_x, block_y)) return false;
  for (uint32_t i = 0; i < x->result_count; ++i) {
    const leat_value_t *a = leat_graph_value(g, x->result_first + i), *b = leat_graph_value(g, y->result_first + i);
    if (a->dtype != b->dtype || !leat_same_shape(a, b)) return false;
  }
  return true;
}

static bool same_block(const finder_t *f, uint32_t a, uint32_t b) {
  const block_t *x = &f->blocks.data[a], *y = &f->blocks.data[b];
  if (x->ops.count != y->ops.count || strcmp(x->container, y->container) != 0) return false;
  for (uint32_t i = 0; i < x->ops.count; ++i) {
    const leat_op_t *p = leat_graph_op(f->g, x->ops.data[i]), *q = leat_graph_op(f->g, y->ops.data[i]);
    if (!same_op(f, p, q, a, b)) return false;
  }
  return true;
}

static void compare(finder_t *f) {
  for (uint32_t i = 0; i < f->blocks.count; ++i) {
    for (uint32_t k = 0; k < i && f->blocks.data[i].like == i; ++k) {
      if (f->blocks.data[k].like != k || !same_block(f, k, i)) continue;
      f->blocks.data[i].like = k;
      f->blocks.data[i].is_repeated = f->blocks.data[k].is_repeated = true;
    }
  }
}

static leat_status_t take_repeated(finder_t *f, leat_group_matches_t *out_matches) {
  for (uint32_t i = 0; i < f->blocks.count; ++i) {
    const block_t *block = &f->blocks.data[i];
    if (!block->is_repeated || block->ops.count < SMALLEST_BLOCK) continue;
    leat_group_match_t *match = leat_array_push(out_matches);
    if (match == NULL) return leat_out_of_memory();
    *match = (leat_group_match_t){.name = block->container};
    leat_op_id_t *ops = leat_array_push_n(&match->ops, block->ops.count);
    if (ops == NULL) return leat_out_of_memory();
    memcpy(ops, block->ops.data, block->ops.count * sizeof *ops);
    for (uint32_t k = 0; k < block->ops.count; ++k) f->taken[ops[k]] = true;
  }
  return NULL;
}

static void forget_blocks(finder_t *f) {
  for (uint32_t i = 0; i < f->blocks.count; ++i) leat_array_free(&f->blocks.data[i].ops);
  leat_array_free(&f->blocks);
  leat_names_deinit(&f->index);
}

static leat_status_t find_all(finder_t *f, leat_group_matches_t *out_matches) {
  bool any = true;
  for (uint32_t depth = 1; any; ++depth) {
    any = false;
    LEAT_TRY(deal_out(f, depth, &any));
    compare(f);
    LEAT_TRY(take_repeated(f, out_matches));
    forget_blocks(f);
  }
  return NULL;
}

leat_status_t leat_blocks_find(const leat_graph_t *traced, const bool *taken, leat_arena_t *strings,
                               leat_group_matches_t *out_matches) {
  const size_t count = traced->ops.count + 1u;
  finder_t f = {.g = traced, .strings = strings};
  f.taken = leat_alloc_zero(count, sizeof *f.taken);
  f.block_of = leat_alloc_zero(count, sizeof *f.block_of);
  f.place = leat_alloc_zero(count, sizeof *f.place);
  leat_status_t status = NULL;
  if (f.taken == NULL || f.block_of == NULL || f.place == NULL) status = leat_out_of_memory();
  if (status == NULL && taken != NULL) memcpy(f.taken, taken, traced->ops.count * sizeof *taken);
  if (status == NULL) status = find_all(&f, out_matches);
  forget_blocks(&f);
  leat_free(f.taken);
  leat_free(f.block_of);
  leat_free(f.place);
  return status;
}
