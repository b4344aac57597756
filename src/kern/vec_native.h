// SPDX-License-Identifier: Apache-2.0
// vec.h with vectors of one register of the ISA level. To be included before any other header that includes vec.h.
#ifndef LEAT_KERN_VEC_NATIVE_H_
#define LEAT_KERN_VEC_NATIVE_H_

#if defined(__AVX512F__)
#define VEC_BYTES 64
#elif defined(__AVX2__)
#define VEC_BYTES 32
#else
#define VEC_BYTES 16
#endif
#include "kern/vec.h"

#endif
