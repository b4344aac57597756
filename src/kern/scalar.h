// SPDX-License-Identifier: Apache-2.0
// The scalar functions of MAP one value at a time: what a specification of everything around them needs.
#ifndef LEAT_KERN_SCALAR_H_
#define LEAT_KERN_SCALAR_H_

#include "kern/kern_types.h"

// The function of this number in a class, its first or second body (0, 1), to be called with n = 1; NULL where the
// class lacks it.
leat_kern_map_fn_t leat_kern_scalar(uint32_t class_, uint32_t number, uint32_t body);

#endif
