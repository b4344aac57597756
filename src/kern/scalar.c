// SPDX-License-Identifier: Apache-2.0
#include "kern/scalar.h"

#include "kern/kern.h"

leat_kern_map_fn_t leat_kern_scalar(uint32_t class_, uint32_t number, uint32_t body) {
  if (number >= LEAT_KERN_FN_COUNT) return NULL;
  if (body == 0) return leat_kern_portable.map[class_][number];
  return class_ == LEAT_KERN_F32 ? leat_kern_portable.single[number] : NULL;
}
