// SPDX-License-Identifier: Apache-2.0
// Plain types that kernel signatures use.
#ifndef LEAT_KERN_KERN_TYPES_H_
#define LEAT_KERN_KERN_TYPES_H_

#include <stddef.h>
#include <stdint.h>

#endif
