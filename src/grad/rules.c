// SPDX-License-Identifier: Apache-2.0
// The table of rules over op.def: a primitive without its rule does not compile.
#include "grad/rules.h"

#define PRIM(e, ...) void leat_vjp_prim_##e(leat_vjp_t *v);
#include "ir/op.def"
#undef PRIM

static const leat_vjp_rule_t primitives[LEAT_PRIM_COUNT] = {
#define PRIM(e, ...) leat_vjp_prim_##e,
#include "ir/op.def"
#undef PRIM
};

leat_vjp_rule_t leat_vjp_rule(const leat_vjp_table_t *traced, uint32_t kind) {
  return kind < LEAT_PRIM_COUNT ? primitives[kind] : traced->rule[kind - LEAT_TRACED_FIRST];
}
