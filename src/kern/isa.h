// SPDX-License-Identifier: Apache-2.0
// Names of one ISA build. Every kernel file is compiled once per level with -DLEAT_KERN_ISA=<level>; a body writes
//   void KERN(fill_f32)(float *out, float value, int64_t count) { ... }
// and becomes leat_kern_avx2_fill_f32. Its row in kernel.def puts it into the level's table.
#ifndef LEAT_KERN_ISA_H_
#define LEAT_KERN_ISA_H_

#include "kern/kern.h"

#ifndef LEAT_KERN_ISA
#define LEAT_KERN_ISA portable
#endif
#define LEAT_KERN_PASTE_(isa, name) leat_kern_##isa##_##name
#define LEAT_KERN_PASTE(isa, name) LEAT_KERN_PASTE_(isa, name)
#define KERN(name) LEAT_KERN_PASTE(LEAT_KERN_ISA, name)

#define KERNEL(name, result, arguments) result KERN(name) arguments;
#include "kern/kernel.def"
#undef KERNEL

#endif
