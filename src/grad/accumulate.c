// SPDX-License-Identifier: Apache-2.0
// See accumulate.h. A run leaves in symbol TRIP which batch of an update it is, or -1: none (pef_format.h).
#include "grad/accumulate.h"

#include "ir/formula.h"

static leat_value_id_t trip_of(leat_builder_t *b) {
  const leat_symbol_id_t symbol = leat_b_role(b, LEAT_MADE_TRIP, 0);
  const leat_value_id_t known = leat_b_symbol_value(b, symbol);
  if (known != LEAT_NONE) return known;
  const leat_attr_t attrs[] = {leat_attr_f(LEAT_ATTR_VALUE, -1.0), leat_attr_i(LEAT_ATTR_NAME, symbol),
                               leat_attr_i(LEAT_ATTR_KIND, LEAT_KIND_STATE)};
  const leat_value_t result = {.dtype = LEAT_I64};
  return leat_b_op(b, LEAT_PRIM_SYMBOL, NULL, 0, attrs, 3, &result);
}

leat_value_id_t leat_grad_accumulate(leat_builder_t *b, const leat_op_t *symbol, leat_value_id_t gradient) {
  const int64_t batches = leat_op_int(b->graph, symbol, LEAT_ATTR_BATCHES, 1);
  if (batches <= 1) return gradient;
  const leat_value_t type = *leat_b_value(b, gradient);
  const leat_dtype_t wide = type.dtype == LEAT_F64 ? LEAT_F64 : LEAT_F32;
  const leat_symbol_id_t place = leat_b_role(b, LEAT_MADE_GRAD_SUM, leat_op_symbol(b->graph, symbol));
  const leat_value_id_t trip = trip_of(b),
                        before = leat_b_symbol(b, place, LEAT_KIND_STATE, wide, type.rank, type.dims);
  const leat_value_id_t own = leat_b_cast(b, gradient, wide);
  leat_value_id_t sum = leat_b_select(b, leat_b_fn2s(b, EQ, trip, 0.0), own, leat_b_add(b, before, own));
  leat_b_store(b, place, LEAT_STORE_UPDATE, leat_b_select(b, leat_b_fn2s(b, LT, trip, 0.0), before, sum));
  const leat_value_id_t mean = leat_b_cast(b, leat_b_fn2s(b, DIV, sum, (double)batches), (leat_dtype_t)type.dtype);
  return leat_b_select(b, leat_b_fn2s(b, EQ, trip, (double)(batches - 1)), mean, gradient);
}
