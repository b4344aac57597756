// SPDX-License-Identifier: Apache-2.0
// The scalar functions of MAP instructions by number, expanded from the data table ir/scalar.def.
#ifndef LEAT_PEF_SCALAR_H_
#define LEAT_PEF_SCALAR_H_

enum pef_scalar {
#define SCALAR(suffix, name, arity, result, f64, i64) PEF_SCALAR_##suffix,
#include "ir/scalar.def"
#undef SCALAR
  PEF_SCALAR_COUNT
};

#endif
