// SPDX-License-Identifier: Apache-2.0
// Numbers that several folders write down for themselves, because none of them may see the other: here they meet, when
// the library is built. Those of scalar functions are held in ir/tables.c, those of kernels in native/stage.c.
#include "ir/graph.h"
#include "leat/runtime.h"
#include "pef/pef_format.h"

#define SAME(a, b) static_assert((int)(a) == (int)(b), #a " and " #b " are one number")

#define DTYPE(suffix, name, bytes, class_) \
  SAME(LEAT_##suffix, PEF_##suffix);       \
  SAME(LEAT_DTYPE_##suffix, PEF_##suffix);
#include "ir/dtype.def"
#undef DTYPE
SAME(LEAT_DTYPE_COUNT, PEF_DTYPE_COUNT);

#define SECTION_TYPE(suffix) SAME(LEAT_TYPE_##suffix, PEF_##suffix)
SECTION_TYPE(FWD);
SECTION_TYPE(BCKWD);
SECTION_TYPE(GRADNORM);
SECTION_TYPE(OPT);
SECTION_TYPE(REDUCE);
SECTION_TYPE(GATHER);
SECTION_TYPE(PREPARE);
SAME(LEAT_TYPE_COUNT, PEF_TYPE_COUNT);

// Section types as bits.
#define SECTION_BIT(suffix) SAME(LEAT_SECTIONS_##suffix, 1 << PEF_##suffix)
SECTION_BIT(FWD);
SECTION_BIT(BCKWD);
SECTION_BIT(GRADNORM);
SECTION_BIT(OPT);
SECTION_BIT(REDUCE);
SECTION_BIT(GATHER);

#define SYMBOL_KIND(suffix) SAME(LEAT_SYMBOL_##suffix, PEF_SYMBOL_##suffix)
SYMBOL_KIND(INPUT);
SYMBOL_KIND(OUTPUT);
SYMBOL_KIND(PARAMETER);
SYMBOL_KIND(BUFFER);
SYMBOL_KIND(GRADIENT);
SYMBOL_KIND(STATE);
SYMBOL_KIND(HYPERPARAMETER);
SYMBOL_KIND(SEED);
SYMBOL_KIND(INTERNAL);
SAME(LEAT_SYMBOL_INTERNAL + 1, PEF_SYMBOL_KIND_COUNT);
