// SPDX-License-Identifier: Apache-2.0
// Implementation of group.h: every op gets a label (the group it should be in), labels become pieces that can be put
// into an order (pieces.h), pieces become the groups of a copy of the graph.
#include "cut/group.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cut/outputs.h"
#include "cut/pieces.h"
#include "ir/rebuild.h"

typedef struct label_s {
  const char *name, *heuristic, *parameters;
} label_t;

typedef struct grouping_s {
  const leat_graph_t *from;
  const leat_group_options_t *options;
  LEAT_ARRAY(label_t) labels;
  LEAT_ARRAY(uint32_t) annotated;  // groups of the program, ascending: the first labels
  uint32_t *label_of;              // per op: index + 1; 0: in no group
  uint32_t *piece_of;              // per op: LEAT_NONE without label
  leat_pieces_t pieces;
  uint32_t *group_of;  // per piece
} grouping_t;

bool leat_group_takes(uint32_t kind) { return !leat_op_is_statement(kind) && !leat_op_is_leaf(kind); }

void leat_group_matches_deinit(leat_group_matches_t *matches) {
  for (uint32_t i = 0; i < matches->count; ++i) leat_array_free(&matches->data[i].ops);
  leat_array_free(matches);
}

// --- labels -------------------------------------------------------------------------------------------------------

static leat_status_t add_label(grouping_t *s, const label_t *label, uint32_t *out_index) {
  label_t *slot = leat_array_push(&s->labels);
  if (slot == NULL) return leat_out_of_memory();
  *slot = *label;
  *out_index = s->labels.count;
  return NULL;
}

static int compare_ids(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return x < y ? -1 : x > y;
}

static bool is_annotated(const leat_op_t *op) { return op->group != 0 && leat_group_takes(op->kind); }

static leat_status_t label_annotated(grouping_t *s) {
  for (leat_op_id_t id = 0; id < s->from->ops.count; ++id) {
    const leat_op_t *op = leat_graph_op(s->from, id);
    if (!is_annotated(op)) continue;
    uint32_t *slot = leat_array_push(&s->annotated);
    if (slot == NULL) return leat_out_of_memory();
    *slot = op->group;
  }
  if (s->annotated.count == 0) return NULL;
  qsort(s->annotated.data, s->annotated.count, sizeof *s->annotated.data, compare_ids);
  uint32_t kept = 0;
  for (uint32_t i = 0; i < s->annotated.count; ++i) {
    uint32_t id = s->annotated.data[i], index = 0;
    if (kept != 0 && s->annotated.data[kept - 1] == id) continue;
    const leat_group_t *known = leat_graph_group(s->from, id);
    label_t label = {NULL, NULL, NULL};
    if (known != NULL) label = (label_t){known->name, known->heuristic, known->parameters};
    LEAT_TRY(add_label(s, &label, &index));
    s->annotated.data[kept++] = id;
  }
  for (leat_op_id_t id = 0; id < s->from->ops.count; ++id) {
    const leat_op_t *op = leat_graph_op(s->from, id);
    if (!is_annotated(op)) continue;
    const uint32_t *found = bsearch(&op->group, s->annotated.data, kept, sizeof op->group, compare_ids);
    s->label_of[id] = (uint32_t)(found - s->annotated.data) + 1;
  }
  return NULL;
}

// Ops that follow from a cotangent are the backward of an autograd function of the program: they are compiled together
// with the op whose gradient they are. root[id]: 0, or the cotangent op + 1 whose group the op shares.
static uint32_t cotangent_root(const leat_graph_t *g, const uint32_t *root, const leat_op_t *op, leat_op_id_t id) {
  if (op->kind == LEAT_TRACED_COTANGENT) return id + 1;
  for (uint32_t i = 0; i < op->input_count; ++i) {
    leat_value_id_t v = leat_op_input(g, op, i);
    leat_op_id_t producer = v == LEAT_NONE ? LEAT_NONE : leat_graph_value(g, v)->op;
    bool ends = producer == LEAT_NONE || leat_graph_op(g, producer)->kind == LEAT_TRACED_CUSTOM_GRADIENT;
    if (!ends && root[producer] != 0) return root[producer];
  }
  return 0;
}

static leat_status_t label_custom_gradients(grouping_t *s) {
  uint32_t *root = leat_alloc_zero(s->from->ops.count + 1u, sizeof *root);
  if (root == NULL) return leat_out_of_memory();
  leat_status_t status = NULL;
  for (leat_op_id_t id = 0; id < s->from->ops.count && status == NULL; ++id) {
    root[id] = cotangent_root(s->from, root, leat_graph_op(s->from, id), id);
    if (root[id] == 0 || s->label_of[id] != 0) continue;
    if (root[id] == id + 1)
      status = add_label(s, &(label_t){.name = "custom_gradient"}, &s->label_of[id]);
    else
      s->label_of[id] = s->label_of[root[id] - 1];
  }
  leat_free(root);
  return status;
}

static leat_status_t take_match(grouping_t *s, const leat_group_match_t *match) {
  uint32_t index = 0;
  LEAT_TRY(add_label(s, &(label_t){match->name, match->heuristic, match->parameters}, &index));
  for (uint32_t i = 0; i < match->ops.count; ++i) {
    leat_op_id_t id = match->ops.data[i];
    if (s->label_of[id] != 0 || !leat_group_takes(leat_graph_op(s->from, id)->kind)) {
      char text[256];
      LEAT_FAIL(LEAT_INTERNAL, "group '%s' would take %s, which is not free", match->name == NULL ? "" : match->name,
                leat_op_text(s->from, leat_graph_op(s->from, id), text, sizeof text));
    }
    s->label_of[id] = index;
  }
  return NULL;
}

static leat_status_t label_matches(grouping_t *s) {
  leat_group_matches_t matches = {0};
  bool *taken = leat_alloc_zero(s->from->ops.count + 1u, sizeof *taken);
  if (taken == NULL) return leat_out_of_memory();
  for (leat_op_id_t id = 0; id < s->from->ops.count; ++id) taken[id] = s->label_of[id] != 0;
  leat_status_t status = s->options->matcher(s->options->matcher_user, s->from, taken, &matches);
  for (uint32_t i = 0; i < matches.count && status == NULL; ++i) status = take_match(s, &matches.data[i]);
  leat_group_matches_deinit(&matches);
  leat_free(taken);
  return status;
}

static leat_status_t label_ops(grouping_t *s) {
  uint32_t level = s->options->optim_level;
  if (level == 1 || (level == 3 && s->options->keep_annotated)) LEAT_TRY(label_annotated(s));
  if (level != 3) LEAT_TRY(label_custom_gradients(s));
  if (level != 0 && s->options->matcher != NULL) LEAT_TRY(label_matches(s));
  for (leat_op_id_t id = 0; id < s->from->ops.count && level != 3; ++id) {
    const leat_op_t *op = leat_graph_op(s->from, id);
    if (s->label_of[id] != 0 || !leat_group_takes(op->kind)) continue;
    LEAT_TRY(add_label(s, &(label_t){.name = leat_op_info(op->kind)->name}, &s->label_of[id]));
  }
  return NULL;
}

// --- pieces -------------------------------------------------------------------------------------------------------

static void report_split(const grouping_t *s, leat_op_id_t id, const label_t *label) {
  if (s->options->log == NULL) return;
  char text[256], line[512];
  (void)snprintf(
      line, sizeof line,
      "group '%s' is split before %s: it reads what other ops make of results of the group, so that the group "
      "cannot run as a whole",
      label->name == NULL ? "" : label->name, leat_op_text(s->from, leat_graph_op(s->from, id), text, sizeof text));
  s->options->log(s->options->log_user, LEAT_LOG_WARNING, "mac", line);
}

// Ops without label are looked through in o3 only, where they may stand between two annotated groups: there they all
// share one more label.
static leat_status_t add_to_pieces(grouping_t *s, leat_op_id_t id) {
  if (!leat_group_takes(leat_graph_op(s->from, id)->kind)) return NULL;
  const uint32_t label = s->label_of[id], before = s->pieces.all.count;
  bool known = label != 0 && label < s->pieces.latest.count && s->pieces.latest.data[label] != 0;
  LEAT_TRY(leat_pieces_add_op(&s->pieces, s->from, id, label, s->piece_of));
  if (known && s->pieces.all.count > before) report_split(s, id, &s->labels.data[label - 1]);
  return NULL;
}

// --- the copy -----------------------------------------------------------------------------------------------------

// Numbers the pieces in the order of their first ops. What stands between annotated groups in o3 is a group as well.
static leat_status_t number_groups(grouping_t *s, leat_graph_t *to) {
  uint32_t next = 1;
  s->group_of = leat_alloc_zero(s->pieces.all.count + 1u, sizeof *s->group_of);
  if (s->group_of == NULL) return leat_out_of_memory();
  if (s->labels.count == 0) return NULL;
  for (leat_op_id_t id = 0; id < s->from->ops.count; ++id) {
    if (s->piece_of[id] == LEAT_NONE || s->group_of[s->piece_of[id]] != 0) continue;
    leat_group_t group = {.id = next};
    if (s->label_of[id] != 0) {
      const label_t *label = &s->labels.data[s->label_of[id] - 1];
      group = (leat_group_t){next, label->name, label->heuristic, label->parameters};
    }
    s->group_of[s->piece_of[id]] = next++;
    LEAT_TRY(leat_graph_add_group(to, &group));
  }
  return NULL;
}

static leat_status_t visit(leat_rebuild_t *r, leat_op_id_t id) {
  const grouping_t *s = r->user;
  if (id == 0) {
    r->b.graph->groups.count = 0;  // those of the text; their strings stay in its arena
    LEAT_TRY(number_groups(r->user, r->b.graph));
  }
  r->b.group = s->piece_of[id] == LEAT_NONE ? 0 : s->group_of[s->piece_of[id]];
  return leat_rebuild_copy(r, id);
}

static leat_status_t group_all(grouping_t *s, leat_graph_t **out_graph) {
  size_t count = s->from->ops.count + 1u;
  s->label_of = leat_alloc_zero(count, sizeof *s->label_of);
  s->piece_of = leat_alloc_zero(count, sizeof *s->piece_of);
  if (s->label_of == NULL || s->piece_of == NULL) return leat_out_of_memory();
  memset(s->piece_of, 0xff, count * sizeof *s->piece_of);
  LEAT_TRY(label_ops(s));
  for (leat_op_id_t id = 0; id < s->from->ops.count; ++id) LEAT_TRY(add_to_pieces(s, id));
  LEAT_TRY(leat_rebuild(s->from, visit, s, out_graph));
  leat_status_t status = s->options->optim_level == 0 ? leat_store_op_outputs(*out_graph) : NULL;
  if (status != NULL) leat_graph_destroy(*out_graph);
  return status;
}

leat_status_t leat_group(const leat_graph_t *from, const leat_group_options_t *options, leat_graph_t **out_graph) {
  grouping_t s = {.from = from, .options = options};
  leat_status_t status = group_all(&s, out_graph);
  leat_array_free(&s.labels);
  leat_array_free(&s.annotated);
  leat_free(s.label_of);
  leat_free(s.piece_of);
  leat_free(s.group_of);
  leat_pieces_deinit(&s.pieces);
  return leat_status_annotate(status, "grouping");
}
