// SPDX-License-Identifier: Apache-2.0
// The kernel table of one ISA level.
#include "kern/isa.h"

#define LEAT_KERN_TABLE_(isa) leat_kern_##isa
#define LEAT_KERN_TABLE(isa) LEAT_KERN_TABLE_(isa)

const leat_kern_t LEAT_KERN_TABLE(LEAT_KERN_ISA) = {
#define KERNEL(name, result, arguments) .name = KERN(name),
#include "kern/kernel.def"
#undef KERNEL
};
