// SPDX-License-Identifier: Apache-2.0
#include "map/turn.h"

#include "arch/blocks.h"
#include "space/rows.h"

void leat_turns_deinit(leat_turns_t *turns) { leat_free(turns->pitch); }

// Positions of a picture of the result; one row stands upright there.
static bool suits(const leat_value_t *y, const leat_value_t *w) {
  const uint32_t last = y->rank - 1u;
  int64_t positions = 1;
  for (uint32_t d = 2; d < y->rank; ++d) positions *= y->dims[d];
  const bool is_row = positions == y->dims[last];
  return leat_blocks_is_turned(positions, is_row ? 1 : y->dims[last], w->dims[last], w->dims[0]);
}

static int64_t taps(const leat_value_t *w) { return leat_value_elements(w) / w->dims[0]; }

// The op is a convolution, and reads its weights as input `input`: a product with a window, whose channels come from
// their first dim.
static bool is_weights_of(const leat_graph_t *g, const leat_op_t *op, uint32_t input) {
  uint32_t spatial;
  const bool slides = leat_op_list(g, op, LEAT_ATTR_STRIDE, &spatial) != NULL;
  return leat_op_info(op->kind)->products != 0 && slides && input == 1 && leat_rows_operand_dim(g, op, 1, 1) == 0;
}

static bool is_turned_by(const leat_graph_t *g, const leat_use_t *use, leat_value_id_t v) {
  const leat_op_t *op = leat_graph_op(g, use->op);
  if (!is_weights_of(g, op, use->input) || leat_op_input(g, op, 1) != v) return false;
  if (op->type == LEAT_TYPE_PREPARE || leat_op_int(g, op, LEAT_ATTR_GROUPS, 1) != 1) return false;
  return suits(leat_graph_value(g, op->result_first), leat_graph_value(g, v));
}

static int64_t pitch_of(const leat_value_t *w) {
  const int64_t line = CONV_ALIGN_FLOATS, least = (w->dims[0] + line - 1) / line * line;
  return leat_blocks_is_turned_step(least) ? least : least + line;
}

static bool is_turned(const leat_graph_t *g, const leat_uses_t *uses, const leat_keeps_t *keeps, leat_value_id_t v) {
  const leat_value_t *value = leat_graph_value(g, v);
  const leat_op_t *producer = leat_graph_op(g, value->op);
  if (producer->type != LEAT_TYPE_PREPARE || leat_op_role(producer->kind) != LEAT_ROLE_ELEMENTWISE) return false;
  if (keeps->of[v].kind != LEAT_KEEP_MEMORY || value->dtype != LEAT_F32 || value->rank < 3) return false;
  if (taps(value) < CONV_LANES) return false;
  for (uint32_t i = uses->first[v]; i < uses->first[v + 1]; ++i) {
    if (!is_turned_by(g, &uses->all[i], v)) return false;
  }
  return uses->first[v] < uses->first[v + 1];
}

leat_status_t leat_turns_choose(const leat_graph_t *g, const leat_uses_t *uses, const leat_keeps_t *keeps,
                                bool inference, leat_turns_t *out_turns) {
  out_turns->pitch = leat_alloc_zero(g->values.count + 1u, sizeof *out_turns->pitch);
  if (out_turns->pitch == NULL) return leat_out_of_memory();
  for (leat_value_id_t v = 0; inference && v < g->values.count; ++v) {
    if (is_turned(g, uses, keeps, v)) out_turns->pitch[v] = pitch_of(leat_graph_value(g, v));
  }
  return NULL;
}

uint64_t leat_turns_bytes(const leat_turns_t *turns, const leat_graph_t *g, leat_value_id_t v) {
  const leat_value_t *value = leat_graph_value(g, v);
  if (turns->pitch[v] == 0) return leat_value_bytes(value);
  return (uint64_t)(taps(value) * turns->pitch[v]) * leat_dtype_bytes((leat_dtype_t)value->dtype);
}

leat_access_t leat_turns_access(const leat_turns_t *turns, const leat_graph_t *g, const leat_access_t *access) {
  leat_access_t a = *access;
  const int64_t pitch = turns->pitch[a.base];
  if (pitch == 0) return a;
  const int64_t row = taps(leat_graph_value(g, a.base));  // elements of an output
  a.offset = a.offset / row + a.offset % row * pitch;
  for (uint32_t d = 0; d < a.rank; ++d) a.strides[d] = a.strides[d] / row + a.strides[d] % row * pitch;
  return a;
}
