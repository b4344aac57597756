// SPDX-License-Identifier: Apache-2.0
// Bounds of indices: the symbol holds integers, and the elements stay inside it.
#include "pef/pef_check.h"

static leat_status_t check_elements(const pef_bound_t *bound, uint64_t symbol_elements) {
  uint64_t count = 1, last = bound->offset;
  for (uint32_t d = 0; d < PEF_MAX_RANK; ++d) {
    const int64_t dim = bound->dims[d], stride = bound->strides[d];
    if (dim < 0 || stride < 0 || (d >= bound->rank && (dim | stride) != 0)) {
      return leat_pef_corrupt("dim %u has %lld elements %lld apart", d, (long long)dim, (long long)stride);
    }
    if (d >= bound->rank) continue;
    uint64_t reach = 0;
    if (__builtin_mul_overflow(count, (uint64_t)dim, &count) || count > symbol_elements ||
        __builtin_mul_overflow((uint64_t)(dim > 0 ? dim - 1 : 0), (uint64_t)stride, &reach) ||
        __builtin_add_overflow(last, reach, &last)) {
      return leat_pef_corrupt("its elements are more than the symbol has");
    }
  }
  if (count != 0 && last >= symbol_elements) return leat_pef_corrupt("its elements reach over the end of the symbol");
  return NULL;
}

static leat_status_t check_bound(const leat_pef_t *pef, const pef_bound_t *bound) {
  if (bound->symbol >= pef->symbol_count) return leat_pef_corrupt("there is no symbol %u", bound->symbol);
  if (bound->origin >= pef->string_bytes) return leat_pef_corrupt("there is no string %u", bound->origin);
  const pef_symbol_t *symbol = &pef->symbols[bound->symbol];
  const bool integers = leat_pef_dtype_class(symbol->dtype) == PEF_CLASS_I64;
  const bool held = symbol->kind == PEF_SYMBOL_INPUT || symbol->kind == PEF_SYMBOL_PARAMETER ||
                    symbol->kind == PEF_SYMBOL_BUFFER || symbol->kind == PEF_SYMBOL_INTERNAL;
  if (!integers || !held) return leat_pef_corrupt("symbol %u is none of indices", bound->symbol);
  bool reserved = bound->has_ignored > 1 || bound->rank > PEF_MAX_RANK;
  for (size_t i = 0; i < sizeof bound->reserved0; ++i) reserved |= bound->reserved0[i] != 0;
  if (reserved) return leat_pef_corrupt("its rank, its mark or its reserved bytes are wrong");
  return check_elements(bound, symbol->bytes / leat_pef_dtype_bytes(symbol->dtype));
}

leat_status_t leat_pef_check_bounds(const leat_pef_t *pef) {
  for (uint32_t i = 0; i < pef->bound_count; ++i)
    LEAT_TRY(leat_status_annotate(check_bound(pef, &pef->bounds[i]), "bound %u", i));
  return NULL;
}
