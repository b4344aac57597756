// SPDX-License-Identifier: Apache-2.0
#include "kern/scalar.h"

#include "kern/kern.h"

leat_kern_map_fn_t leat_kern_scalar(uint32_t class_, uint32_t number) {
  return number < LEAT_KERN_FN_COUNT ? leat_kern_portable.map[class_][number] : NULL;
}
