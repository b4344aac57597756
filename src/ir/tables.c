// SPDX-License-Identifier: Apache-2.0
// The tables of ops, attributes, dtypes and scalar functions, expanded from the .def files, and look-up in them.
#include <math.h>

#include "ir/element.h"
#include "ir/graph.h"

static_assert((int)LEAT_PRIM_COUNT <= (int)LEAT_TRACED_FIRST, "primitives run into the traced ops");

// Words of the columns `again` and `bytes`.
enum { AGAIN_DEAR, AGAIN_CHEAP, BYTES_STAYS = 0, BYTES_MOVES };

static const leat_op_info_t op_table[LEAT_OP_KIND_COUNT] = {
#define PRIM(e, n, lo, hi, r, a, part, mask, again, rows, flops, bytes, ...) \
  [LEAT_PRIM_##e] = {.name = n,                                              \
                     .min_inputs = lo,                                       \
                     .max_inputs = hi,                                       \
                     .result_count = r,                                      \
                     .attrs = a,                                             \
                     .role = LEAT_ROLE_##part,                               \
                     .products = mask,                                       \
                     .cheap = AGAIN_##again,                                 \
                     .moves = BYTES_##bytes},
#include "ir/op.def"
#undef PRIM
#define FN_OWN LEAT_SCALAR_COUNT
#define FN_BY(function) LEAT_SCALAR_##function
#define TRACED(e, n, lo, hi, r, a, own, lowering, part, mask, ...) \
  [LEAT_TRACED_##e] = {.name = n,                                  \
                       .min_inputs = lo,                           \
                       .max_inputs = hi,                           \
                       .result_count = r,                          \
                       .attrs = a,                                 \
                       .role = LEAT_ROLE_##part,                   \
                       .products = mask,                           \
                       .own_gradient = own,                        \
                       .fn = FN_##lowering},
#include "ir/traced.def"
#undef TRACED
};

static const struct {
  const char *name;
  char kind;
} attr_table[LEAT_ATTR_COUNT] = {
#define ATTR(e, n, k) [LEAT_ATTR_##e] = {n, #k[0]},
#include "ir/attr.def"
#undef ATTR
};

static const struct {
  const char *name;
  uint8_t bytes;
  leat_element_class_t class_;
} dtype_table[LEAT_DTYPE_COUNT] = {
#define DTYPE(e, n, b, c) [LEAT_##e] = {n, b, LEAT_ELEMENT_##c},
#include "ir/dtype.def"
#undef DTYPE
};

enum { SPEED_SLOW, SPEED_QUICK };

static const struct {
  const char *name;
  uint8_t arity;
  char result;
  uint8_t flops;
  bool quick;
  bool on_floats, on_integers;  // is there an expression, or NA?
} scalar_table[LEAT_SCALAR_COUNT] = {
#define SCALAR(e, n, number, arity, result, kernels, body, flops, speed, f, i) \
  [LEAT_SCALAR_##e] = {#n, arity, #result[0], flops, SPEED_##speed, #f[0] != 'N', #i[0] != 'N'},
#include "ir/scalar.def"
#undef SCALAR
};

// The numbers are in PEF files.
#define SCALAR(e, n, number, ...) static_assert((int)LEAT_SCALAR_##e == number, "scalar.def: append only");
#include "ir/scalar.def"
#undef SCALAR

static const char *const section_type_names[LEAT_TYPE_COUNT] = {"fwd",    "bckwd",  "gradnorm", "opt",
                                                                "reduce", "gather", "prepare"};

// Is the name `text` (of `length` bytes)? The first character decides nearly always.
static bool is_name(const char *name, const char *text, size_t length) {
  return name != NULL && name[0] == text[0] && strncmp(name, text, length) == 0 && name[length] == '\0';
}

const leat_op_info_t *leat_op_info(uint32_t kind) {
  assert(kind < LEAT_OP_KIND_COUNT && op_table[kind].name != NULL);
  return &op_table[kind];
}

LEAT_EXPORT const char *leat_graph_unary_ops(void) {
#define NAME_1(n) n " "
#define NAME_2(n)
#define NAME_OF_OWN(n, operands)
#define NAME_OF_FUNCTION(n, operands) NAME_##operands(n)
#define NAME_OF_BY(function) NAME_OF_FUNCTION
#define TRACED(e, n, lo, hi, r, a, own, lowering, ...) NAME_OF_##lowering(n, hi)
  return
#include "ir/traced.def"
      "";
#undef TRACED
}

bool leat_op_is_primitive(uint32_t kind) { return kind < LEAT_PRIM_COUNT; }

bool leat_op_is_traced(uint32_t kind) { return kind >= LEAT_TRACED_FIRST && kind < LEAT_OP_KIND_COUNT; }

leat_op_role_t leat_op_role(uint32_t kind) { return leat_op_info(kind)->role; }

bool leat_op_draws(const leat_graph_t *g, const leat_op_t *op) {
  const leat_op_role_t role = leat_op_role(op->kind);
  if (role != LEAT_ROLE_COMPUTE || !leat_op_is_primitive(op->kind)) return role == LEAT_ROLE_DRAW;
  for (uint32_t i = 0; leat_op_takes_attr(op->kind, LEAT_ATTR_STREAM) && i < op->input_count; i++) {
    const leat_value_t *x = leat_graph_value(g, leat_op_input(g, op, i));
    if (x->dtype == LEAT_I64 && x->rank == 1) return true;
  }
  return false;
}

bool leat_op_is_statement(uint32_t kind) { return leat_op_info(kind)->result_count == 0; }

bool leat_op_is_leaf(uint32_t kind) {
  leat_op_role_t role = leat_op_role(kind);
  return role == LEAT_ROLE_SYMBOL || role == LEAT_ROLE_CONSTANT || role == LEAT_ROLE_SEQUENCE;
}

bool leat_op_computes(uint32_t kind) {
  bool view = leat_op_is_primitive(kind) && leat_op_role(kind) == LEAT_ROLE_VIEW;
  return !view && !leat_op_is_leaf(kind) && !leat_op_is_statement(kind);
}

// What follows the key in the row of the op: "=" and the words that it takes, a blank or the end. NULL: not there.
static const char *find_in_row(uint32_t kind, leat_attr_key_t key) {
  const char *name = leat_attr_name(key);
  size_t length = strlen(name);
  const char *at = leat_op_info(kind)->attrs;
  while (*at != '\0') {
    if (strcspn(at, "= ") == length && memcmp(at, name, length) == 0) return at + length;
    at += strcspn(at, " ");
    at += strspn(at, " ");
  }
  return NULL;
}

bool leat_op_takes_attr(uint32_t kind, leat_attr_key_t key) { return find_in_row(kind, key) != NULL; }

const char *leat_op_words(uint32_t kind, leat_attr_key_t key) {
  const char *after = find_in_row(kind, key);
  assert(after != NULL && *after == '=');
  return after + 1;
}

bool leat_op_find(const char *text, size_t length, uint32_t *out_kind) {
  bool primitive = length > 5 && memcmp(text, "prim.", 5) == 0;
  uint32_t first = primitive ? 0 : LEAT_TRACED_FIRST;
  uint32_t end = primitive ? (uint32_t)LEAT_PRIM_COUNT : (uint32_t)LEAT_OP_KIND_COUNT;
  if (length == 0) return false;
  if (primitive) text += 5, length -= 5;
  for (uint32_t kind = first; kind < end; kind++) {
    if (!is_name(op_table[kind].name, text, length)) continue;
    *out_kind = kind;
    return true;
  }
  return false;
}

const char *leat_attr_name(leat_attr_key_t key) {
  assert(key < LEAT_ATTR_COUNT);
  return attr_table[key].name;
}

char leat_attr_kind(leat_attr_key_t key) {
  assert(key < LEAT_ATTR_COUNT);
  return attr_table[key].kind;
}

bool leat_attr_find(const char *text, size_t length, leat_attr_key_t *out_key) {
  for (uint32_t key = 0; length != 0 && key < LEAT_ATTR_COUNT; key++) {
    if (!is_name(attr_table[key].name, text, length)) continue;
    *out_key = (leat_attr_key_t)key;
    return true;
  }
  return false;
}

const char *leat_section_type_name(leat_section_type_t type) {
  assert(type < LEAT_TYPE_COUNT);
  return section_type_names[type];
}

bool leat_section_type_find(const char *text, size_t length, leat_section_type_t *out_type) {
  for (uint32_t type = 0; length != 0 && type < LEAT_TYPE_COUNT; type++) {
    if (!is_name(section_type_names[type], text, length)) continue;
    *out_type = (leat_section_type_t)type;
    return true;
  }
  return false;
}

size_t leat_dtype_bytes(leat_dtype_t dtype) {
  assert(dtype < LEAT_DTYPE_COUNT);
  return dtype_table[dtype].bytes;
}

const char *leat_dtype_name(leat_dtype_t dtype) {
  assert(dtype < LEAT_DTYPE_COUNT);
  return dtype_table[dtype].name;
}

bool leat_dtype_find(const char *text, size_t length, leat_dtype_t *out_dtype) {
  for (uint32_t dtype = 0; length != 0 && dtype < LEAT_DTYPE_COUNT; dtype++) {
    if (!is_name(dtype_table[dtype].name, text, length)) continue;
    *out_dtype = (leat_dtype_t)dtype;
    return true;
  }
  return false;
}

leat_element_class_t leat_dtype_class(leat_dtype_t dtype) {
  assert(dtype < LEAT_DTYPE_COUNT);
  return dtype_table[dtype].class_;
}

bool leat_dtype_is_float(leat_dtype_t dtype) { return leat_dtype_class(dtype) == LEAT_ELEMENT_F; }

const char *leat_scalar_name(leat_scalar_t fn) {
  assert(fn < LEAT_SCALAR_COUNT);
  return scalar_table[fn].name;
}

uint32_t leat_scalar_arity(leat_scalar_t fn) {
  assert(fn < LEAT_SCALAR_COUNT);
  return scalar_table[fn].arity;
}

uint32_t leat_scalar_flops(leat_scalar_t fn) {
  assert(fn < LEAT_SCALAR_COUNT);
  return scalar_table[fn].flops;
}

bool leat_scalar_is_quick(leat_scalar_t fn) {
  assert(fn < LEAT_SCALAR_COUNT);
  return scalar_table[fn].quick;
}

bool leat_scalar_is_predicate(leat_scalar_t fn) {
  assert(fn < LEAT_SCALAR_COUNT);
  return scalar_table[fn].result == 'P';
}

bool leat_scalar_is_defined(leat_scalar_t fn, leat_dtype_t operand) {
  assert(fn < LEAT_SCALAR_COUNT);
  return leat_dtype_is_float(operand) ? scalar_table[fn].on_floats : scalar_table[fn].on_integers;
}

LEAT_EXPORT uint32_t leat_op_is_loss(const char *name) {
  uint32_t kind;
  return leat_op_find(name, strlen(name), &kind) && leat_op_takes_attr(kind, LEAT_ATTR_REDUCTION);
}

// Of optimizers, and of dropout.
static const leat_attr_key_t hyperparameters[] = {
    LEAT_ATTR_LR,    LEAT_ATTR_MOMENTUM, LEAT_ATTR_WEIGHT_DECAY,  LEAT_ATTR_BETA1,
    LEAT_ATTR_BETA2, LEAT_ATTR_EPS,      LEAT_ATTR_MAX_GRAD_NORM, LEAT_ATTR_P,
};

LEAT_EXPORT const char *leat_hyperparameter_name(uint32_t index) {
  return index < sizeof hyperparameters / sizeof *hyperparameters ? leat_attr_name(hyperparameters[index]) : NULL;
}
