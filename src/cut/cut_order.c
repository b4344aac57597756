// SPDX-License-Identifier: Apache-2.0
// The pieces of a program: the ops of one group and one section type, kept together where all pieces can still be put
// into an order. Without groups that is one piece a type.
#include <stdlib.h>

#include "cut/cutter.h"
#include "cut/pieces.h"

typedef struct order_s {
  leat_cutter_t *c;
  uint64_t *keys;  // group and type, ascending: the index is the label
  uint32_t key_count;
  uint32_t *piece_of;  // per op
  leat_pieces_t pieces;
} order_t;

static uint64_t key_of(const leat_op_t *op) { return (uint64_t)op->group << 8 | op->type; }

static int compare_keys(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return x < y ? -1 : x > y;
}

static leat_status_t collect_keys(order_t *o) {
  const leat_graph_t *g = o->c->g;
  o->keys = leat_alloc_zero((size_t)g->ops.count + 1u, sizeof *o->keys);
  if (o->keys == NULL) return leat_out_of_memory();
  uint32_t count = 0;
  for (leat_op_id_t id = 0; id < g->ops.count; ++id) {
    const leat_op_t *op = leat_graph_op(g, id);
    uint64_t key = key_of(op);
    if (leat_op_computes(op->kind) && (count == 0 || o->keys[count - 1] != key)) o->keys[count++] = key;
  }
  if (count != 0) qsort(o->keys, count, sizeof *o->keys, compare_keys);
  for (uint32_t i = 0; i < count; ++i) {
    if (i == 0 || o->keys[i] != o->keys[o->key_count - 1]) o->keys[o->key_count++] = o->keys[i];
  }
  return NULL;
}

// Prepared values are there before the run: only prepare sections wait for them.
static leat_status_t add_op(order_t *o, leat_op_id_t id) {
  const leat_graph_t *g = o->c->g;
  const leat_op_t *op = leat_graph_op(g, id);
  enum { FEW = 16 };
  uint32_t few[FEW], *reads = few, count = 0;
  if (op->input_count > FEW && (reads = leat_alloc_zero(op->input_count, sizeof *reads)) == NULL)
    return leat_out_of_memory();
  for (uint32_t i = 0; i < op->input_count; ++i) {
    leat_op_id_t producer;
    const leat_op_t *p = leat_cutter_base_op(g, leat_op_input(g, op, i), &producer);
    if (!leat_op_computes(p->kind)) continue;
    if (p->type == LEAT_TYPE_PREPARE && op->type != LEAT_TYPE_PREPARE) continue;
    reads[count++] = o->piece_of[producer];
  }
  uint64_t key = key_of(op);
  const uint64_t *label = bsearch(&key, o->keys, o->key_count, sizeof key, compare_keys);
  leat_status_t status = leat_pieces_add(&o->pieces, (uint32_t)(label - o->keys), reads, count, &o->piece_of[id]);
  if (reads != few) leat_free(reads);
  return status;
}

// The ops of each piece side by side, the pieces one after another.
static leat_status_t deal_out(order_t *o) {
  leat_plan_t *plan = o->c->plan;
  uint32_t count = o->pieces.all.count;
  if (count == 0) return NULL;
  leat_plan_piece_t *pieces = leat_array_push_n(&plan->pieces, count);
  if (pieces == NULL) return leat_out_of_memory();
  for (uint32_t i = 0; i < count; ++i) {
    const leat_piece_t *piece = &o->pieces.all.data[i];
    uint64_t key = o->keys[piece->label];
    pieces[piece->order].group = (uint32_t)(key >> 8);
    pieces[piece->order].type = (uint8_t)key;
  }
  for (uint32_t pass = 0; pass < 2; ++pass) {
    for (leat_op_id_t id = 0; id < o->c->g->ops.count; ++id) {
      if (o->piece_of[id] == LEAT_NONE) continue;
      leat_plan_piece_t *piece = &pieces[o->pieces.all.data[o->piece_of[id]].order];
      if (pass == 1) plan->order[piece->op_first + piece->op_count] = id;
      piece->op_count++;
    }
    for (uint32_t i = 0, at = 0; i < count && pass == 0; ++i) {
      pieces[i].op_first = at;
      at += pieces[i].op_count;
      pieces[i].op_count = 0;
    }
  }
  return NULL;
}

static leat_status_t order(order_t *o) {
  uint32_t count = o->c->g->ops.count;
  LEAT_TRY(collect_keys(o));
  o->piece_of = leat_alloc((count + 1u) * sizeof *o->piece_of);
  if (o->piece_of == NULL) return leat_out_of_memory();
  for (leat_op_id_t id = 0; id < count; ++id) {
    o->piece_of[id] = LEAT_NONE;
    if (leat_op_computes(leat_graph_op(o->c->g, id)->kind)) LEAT_TRY(add_op(o, id));
  }
  return deal_out(o);
}

leat_status_t leat_cut_order(leat_cutter_t *c) {
  order_t o = {.c = c};
  leat_status_t status = order(&o);
  leat_free(o.keys);
  leat_free(o.piece_of);
  leat_pieces_deinit(&o.pieces);
  return status;
}
