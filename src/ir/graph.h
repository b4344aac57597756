// SPDX-License-Identifier: Apache-2.0
// How a program is held: ops and values as 32-bit ids into dense arrays, attributes and text in side tables.
//
// A graph is a straight list of ops in topological order (an op reads only values of earlier ops). Passes do not edit
// in place: they rebuild into a fresh graph (see rebuild.h) or append (grad). Traced ops and primitives live in the
// same list; after lowering only primitives are left. Pointers into the arrays do not survive an append: keep ids.
#ifndef LEAT_IR_GRAPH_H_
#define LEAT_IR_GRAPH_H_

#include "base/base.h"
#include "leat/graph.h"

enum { LEAT_RANK_MAX = 8 };
#define LEAT_NONE UINT32_MAX
typedef uint32_t leat_value_id_t;
typedef uint32_t leat_op_id_t;

typedef enum leat_dtype_e {
#define DTYPE(e, n, b, c) LEAT_##e,
#include "ir/dtype.def"
#undef DTYPE
  LEAT_DTYPE_COUNT
} leat_dtype_t;

typedef enum leat_scalar_e {
#define SCALAR(e, n, a, r, f, i) LEAT_SCALAR_##e,
#include "ir/scalar.def"
#undef SCALAR
  LEAT_SCALAR_COUNT
} leat_scalar_t;

typedef enum leat_op_kind_e {
#define PRIM(e, n, lo, hi, r, a) LEAT_PRIM_##e,
#include "ir/op.def"
#undef PRIM
  LEAT_PRIM_COUNT,
  LEAT_TRACED_FIRST = 64,
  LEAT_TRACED_BEFORE_ = LEAT_TRACED_FIRST - 1,
#define TRACED(e, n, lo, hi, r, a, g) LEAT_TRACED_##e,
#include "ir/traced.def"
#undef TRACED
  LEAT_OP_KIND_COUNT
} leat_op_kind_t;

typedef enum leat_attr_key_e {
#define ATTR(e, n, k) LEAT_ATTR_##e,
#include "ir/attr.def"
#undef ATTR
  LEAT_ATTR_COUNT
} leat_attr_key_t;

typedef enum leat_section_type_e {  // ORDER: as in pef_format.h
  LEAT_TYPE_FWD, LEAT_TYPE_BCKWD, LEAT_TYPE_GRADNORM, LEAT_TYPE_OPT, LEAT_TYPE_REDUCE, LEAT_TYPE_GATHER,
  LEAT_TYPE_PREPARE, LEAT_TYPE_COUNT
} leat_section_type_t;

// Facts of the tables.
typedef struct leat_op_info_s {
  const char *name;        // primitives print as "prim.<name>"
  uint16_t min_inputs, max_inputs, result_count;
  const char *attrs;       // space-separated keys
  bool own_gradient;       // traced only
} leat_op_info_t;
const leat_op_info_t *leat_op_info(uint32_t kind);
bool leat_op_is_primitive(uint32_t kind);
size_t leat_dtype_bytes(leat_dtype_t dtype);
const char *leat_dtype_name(leat_dtype_t dtype);
bool leat_dtype_is_float(leat_dtype_t dtype);
const char *leat_scalar_name(leat_scalar_t fn);
uint32_t leat_scalar_arity(leat_scalar_t fn);
bool leat_scalar_is_predicate(leat_scalar_t fn);
bool leat_scalar_find(const char *name, leat_scalar_t *out_fn);

typedef struct leat_value_s {
  uint8_t dtype, rank;
  uint16_t result_index;   // which result of `op`
  leat_op_id_t op;
  int64_t dims[LEAT_RANK_MAX];
} leat_value_t;

typedef struct leat_attr_s {
  uint16_t key;            // leat_attr_key_t
  uint32_t count;          // list length
  union {
    int64_t i;
    double f;
    const char *s;         // interned in the graph's arena
    const int64_t *l;      // in the graph's arena
  } v;
} leat_attr_t;

typedef struct leat_op_s {
  uint16_t kind;           // leat_op_kind_t
  uint8_t type;            // leat_section_type_t: the phase this op belongs to
  uint8_t detached;        // 1: gradients do not flow through (torch.no_grad at trace time)
  uint32_t input_first, input_count;    // into graph->inputs
  uint32_t result_first, result_count;  // values are consecutive
  uint32_t attr_first, attr_count;      // into graph->attrs, sorted by key
  uint32_t group;          // fusion group, 0: none
  uint32_t origin;         // index into graph->origins; 0: unknown
} leat_op_t;

// Where an op comes from; strings in the arena.
typedef struct leat_origin_s {
  const char *module;      // "lenet.conv1"
  const char *source;      // "lenet.py:42"
  const char *traced;      // name of the traced op
} leat_origin_t;

typedef struct leat_blob_s {
  const void *data;        // in the arena; NULL until set
  size_t data_bytes;
} leat_blob_t;

struct leat_graph_s {
  leat_arena_t arena;
  LEAT_ARRAY(leat_op_t) ops;
  LEAT_ARRAY(leat_value_t) values;
  LEAT_ARRAY(leat_value_id_t) inputs;
  LEAT_ARRAY(leat_attr_t) attrs;
  LEAT_ARRAY(leat_origin_t) origins;   // [0] is the unknown origin
  LEAT_ARRAY(leat_blob_t) blobs;
};

leat_status_t leat_graph_create(leat_graph_t **out_graph) LEAT_MUST_USE;

// Reading.
static inline const leat_op_t *leat_graph_op(const leat_graph_t *g, leat_op_id_t id) {
  assert(id < g->ops.count);
  return &g->ops.data[id];
}
static inline const leat_value_t *leat_graph_value(const leat_graph_t *g, leat_value_id_t id) {
  assert(id < g->values.count);
  return &g->values.data[id];
}
// Input `i` of an op; LEAT_NONE when absent (`none`) or beyond the count.
static inline leat_value_id_t leat_op_input(const leat_graph_t *g, const leat_op_t *op, uint32_t i) {
  return i < op->input_count ? g->inputs.data[op->input_first + i] : LEAT_NONE;
}
const leat_attr_t *leat_op_attr(const leat_graph_t *g, const leat_op_t *op, leat_attr_key_t key);  // NULL: absent
int64_t leat_op_int(const leat_graph_t *g, const leat_op_t *op, leat_attr_key_t key, int64_t otherwise);
double leat_op_float(const leat_graph_t *g, const leat_op_t *op, leat_attr_key_t key, double otherwise);
const char *leat_op_string(const leat_graph_t *g, const leat_op_t *op, leat_attr_key_t key, const char *otherwise);
// The list and its length; *out_count = 0 and NULL when absent.
const int64_t *leat_op_list(const leat_graph_t *g, const leat_op_t *op, leat_attr_key_t key, uint32_t *out_count);
bool leat_attrs_equal(const leat_graph_t *a, const leat_op_t *x, const leat_graph_t *b, const leat_op_t *y);

int64_t leat_value_elements(const leat_value_t *v);   // product of dims; 1 for rank 0
size_t leat_value_bytes(const leat_value_t *v);
bool leat_same_shape(const leat_value_t *a, const leat_value_t *b);
// "32x784xf32" style for messages is `f32[32,784]`; into `buffer` of at least 160 bytes.
const char *leat_value_text(const leat_value_t *v, char *buffer, size_t buffer_bytes);
// "op 'linear' (module lenet.fc1, lenet.py:42)" for messages; into `buffer` of at least 256 bytes.
const char *leat_op_text(const leat_graph_t *g, const leat_op_t *op, char *buffer, size_t buffer_bytes);

// Appending. Inputs, dims and attributes are copied. Results get the given dtypes and shapes.
typedef struct leat_op_desc_s {
  uint32_t kind;
  uint8_t type, detached;
  uint32_t group, origin;
  const leat_value_id_t *inputs;
  uint32_t input_count;
  const leat_attr_t *attrs;
  uint32_t attr_count;
  const leat_value_t *results;   // dtype, rank, dims are read
  uint32_t result_count;
} leat_op_desc_t;
leat_status_t leat_graph_append(leat_graph_t *g, const leat_op_desc_t *desc, leat_op_id_t *out_op) LEAT_MUST_USE;
leat_status_t leat_graph_add_origin(leat_graph_t *g, const leat_origin_t *origin, uint32_t *out_origin) LEAT_MUST_USE;

// Shape rule of a primitive (ir/shape.c): fills dtype, rank, dims of the results from the inputs and attributes.
// SYMBOL, CONSTANT, IOTA, RANDOM and casts take theirs from `results` as given. Messages name what does not fit.
leat_status_t leat_shape_infer(const leat_graph_t *g, uint32_t kind, const leat_value_id_t *inputs, uint32_t input_count,
                               const leat_attr_t *attrs, uint32_t attr_count, leat_value_t *results) LEAT_MUST_USE;

// Everything that must hold of a graph (ir/verify.c): ids, arities, attribute schemas, topological order, shapes of
// primitives equal to their rule, unique symbol names, declared blobs set.
leat_status_t leat_graph_verify(const leat_graph_t *g) LEAT_MUST_USE;

// Floating-point and integer operations a primitive costs, and the bytes it must move (ir/cost.c).
typedef struct leat_cost_s {
  double flops, bytes;
} leat_cost_t;
leat_cost_t leat_op_cost(const leat_graph_t *g, const leat_op_t *op);

// The slow reference (ir/eval.c): runs every op of a primitive graph. `values[id]` receives contiguous storage in
// `arena`. Symbols are read from and stored to `symbols` by name (missing: zeros).
typedef struct leat_eval_s leat_eval_t;
leat_status_t leat_eval_create(const leat_graph_t *primitive_graph, leat_eval_t **out_eval) LEAT_MUST_USE;
void leat_eval_destroy(leat_eval_t *eval);
leat_status_t leat_eval_set(leat_eval_t *eval, const char *symbol, const void *data, size_t data_bytes) LEAT_MUST_USE;
leat_status_t leat_eval_run(leat_eval_t *eval) LEAT_MUST_USE;    // all stores happen after all reads
leat_status_t leat_eval_get(const leat_eval_t *eval, const char *symbol, void *data, size_t data_bytes) LEAT_MUST_USE;
// Pass 1 constants: evaluates one op whose inputs are constant (used by folding). LEAT_UNSUPPORTED for leaves/effects.
leat_status_t leat_eval_op(const leat_graph_t *g, const leat_op_t *op, const void *const *inputs, void *const *results)
    LEAT_MUST_USE;

#endif
