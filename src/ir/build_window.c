// SPDX-License-Identifier: Apache-2.0
// Builder functions of convolution and pooling.
#include "ir/build.h"

leat_value_id_t leat_b_conv(leat_builder_t *b, leat_value_id_t x, leat_value_id_t w, const leat_window_t *window) {
  const leat_value_id_t operands[] = {x, w};
  const leat_attr_t attrs[] = {leat_attr_l(LEAT_ATTR_STRIDE, window->stride, window->rank),
                               leat_attr_l(LEAT_ATTR_LOW, window->low, window->rank),
                               leat_attr_l(LEAT_ATTR_HIGH, window->high, window->rank),
                               leat_attr_l(LEAT_ATTR_DILATION, window->dilation, window->rank),
                               leat_attr_l(LEAT_ATTR_BASE_DILATION, window->base_dilation, window->rank),
                               leat_attr_i(LEAT_ATTR_GROUPS, window->groups)};
  return leat_b_op(b, LEAT_PRIM_CONV, operands, 2, attrs, 6, NULL);
}

leat_value_id_t leat_b_conv_wgrad(leat_builder_t *b, leat_value_id_t x, leat_value_id_t dy, const leat_window_t *window,
                                  uint32_t batch) {
  const leat_value_id_t operands[] = {x, dy};
  const leat_attr_t attrs[] = {leat_attr_l(LEAT_ATTR_WINDOW, window->window, window->rank),
                               leat_attr_l(LEAT_ATTR_STRIDE, window->stride, window->rank),
                               leat_attr_l(LEAT_ATTR_LOW, window->low, window->rank),
                               leat_attr_l(LEAT_ATTR_HIGH, window->high, window->rank),
                               leat_attr_l(LEAT_ATTR_DILATION, window->dilation, window->rank),
                               leat_attr_i(LEAT_ATTR_GROUPS, window->groups),
                               leat_attr_i(LEAT_ATTR_BATCH, batch)};
  return leat_b_op(b, LEAT_PRIM_CONV_WGRAD, operands, 2, attrs, 7, NULL);
}

static leat_value_id_t pool(leat_builder_t *b, uint32_t kind, leat_fold_t fn, const leat_value_id_t *operands,
                            uint32_t count, const leat_window_t *window) {
  const leat_attr_t attrs[] = {leat_attr_i(LEAT_ATTR_FN, fn),
                               leat_attr_l(LEAT_ATTR_WINDOW, window->window, window->rank),
                               leat_attr_l(LEAT_ATTR_STRIDE, window->stride, window->rank),
                               leat_attr_l(LEAT_ATTR_LOW, window->low, window->rank),
                               leat_attr_l(LEAT_ATTR_HIGH, window->high, window->rank),
                               leat_attr_l(LEAT_ATTR_DILATION, window->dilation, window->rank)};
  return leat_b_op(b, kind, operands, count, attrs, 6, NULL);
}

leat_value_id_t leat_b_pool(leat_builder_t *b, leat_fold_t fn, leat_value_id_t x, const leat_window_t *window) {
  return pool(b, LEAT_PRIM_POOL, fn, &x, 1, window);
}

leat_value_id_t leat_b_pool_grad(leat_builder_t *b, leat_fold_t fn, leat_value_id_t x, leat_value_id_t dy,
                                 const leat_window_t *window) {
  const leat_value_id_t operands[] = {x, dy};
  return pool(b, LEAT_PRIM_POOL_GRAD, fn, operands, 2, window);
}

void leat_window_of(const leat_graph_t *g, const leat_op_t *op, leat_window_t *out_window) {
  static const struct {
    leat_attr_key_t key;
    size_t offset;
  } lists[] = {{LEAT_ATTR_WINDOW, offsetof(leat_window_t, window)},
               {LEAT_ATTR_STRIDE, offsetof(leat_window_t, stride)},
               {LEAT_ATTR_LOW, offsetof(leat_window_t, low)},
               {LEAT_ATTR_HIGH, offsetof(leat_window_t, high)},
               {LEAT_ATTR_DILATION, offsetof(leat_window_t, dilation)},
               {LEAT_ATTR_BASE_DILATION, offsetof(leat_window_t, base_dilation)}};
  *out_window = (leat_window_t){.window = {1, 1, 1}, .base_dilation = {1, 1, 1}};
  (void)leat_op_list(g, op, LEAT_ATTR_STRIDE, &out_window->rank);
  assert(out_window->rank >= 1 && out_window->rank <= 3);
  for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
    uint32_t count;
    const int64_t *list = leat_op_list(g, op, lists[i].key, &count);
    if (count != 0) memcpy((uint8_t *)out_window + lists[i].offset, list, count * sizeof *list);
  }
  out_window->groups = leat_op_int(g, op, LEAT_ATTR_GROUPS, 1);
  if (leat_op_attr(g, op, LEAT_ATTR_WINDOW) == NULL) {  // that of the weight
    const leat_value_t *w = leat_graph_value(g, leat_op_input(g, op, 1));
    memcpy(out_window->window, w->dims + 2, out_window->rank * sizeof *w->dims);
  }
}
