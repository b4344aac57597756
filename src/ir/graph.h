// SPDX-License-Identifier: Apache-2.0
// How a program is held: ops and values as 32-bit ids into dense arrays, attributes and text in side tables.
//
// A graph is a straight list of ops in topological order (an op reads only values of earlier ops). Passes do not edit
// in place: they rebuild into a fresh graph (see rebuild.h) or append (grad). Traced ops and primitives live in the
// same list; after lowering only primitives are left. Pointers into the arrays do not survive an append: keep ids.
#ifndef LEAT_IR_GRAPH_H_
#define LEAT_IR_GRAPH_H_

#include "base/base.h"
#include "base/names.h"
#include "ir/word.h"
#include "leat/graph.h"

enum { LEAT_RANK_MAX = 8, LEAT_BLOB_MAX = 1 << 20 };
#define LEAT_ELEMENTS_MAX (INT64_MAX / 64)  // so that bytes, and sums of a few sizes, fit int64
#define LEAT_NONE UINT32_MAX
typedef uint32_t leat_value_id_t;
typedef uint32_t leat_op_id_t;
typedef uint32_t leat_symbol_id_t;

typedef enum leat_dtype_e {
#define DTYPE(e, n, b, c) LEAT_##e,
#include "ir/dtype.def"
#undef DTYPE
  LEAT_DTYPE_COUNT
} leat_dtype_t;

typedef enum leat_scalar_e {
#define SCALAR(e, ...) LEAT_SCALAR_##e,
#include "ir/scalar.def"
#undef SCALAR
  LEAT_SCALAR_COUNT
} leat_scalar_t;

typedef enum leat_op_kind_e {
#define PRIM(e, ...) LEAT_PRIM_##e,
#include "ir/op.def"
#undef PRIM
  LEAT_PRIM_COUNT,
  LEAT_TRACED_FIRST = 64,
  LEAT_TRACED_BEFORE_ = LEAT_TRACED_FIRST - 1,
#define TRACED(e, ...) LEAT_TRACED_##e,
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

typedef enum leat_symbol_role_e {
  LEAT_MADE_NONE,  // the program's own symbol: the compiler did not make it
#define ROLE(e, kind, form, before, after) LEAT_MADE_##e,
#include "ir/end.def"
#include "ir/role.def"
#undef ROLE
  LEAT_MADE_COUNT
} leat_symbol_role_t;

typedef enum leat_section_type_e {  // ORDER: as in pef_format.h
  LEAT_TYPE_FWD,
  LEAT_TYPE_BCKWD,
  LEAT_TYPE_GRADNORM,
  LEAT_TYPE_OPT,
  LEAT_TYPE_REDUCE,
  LEAT_TYPE_GATHER,
  LEAT_TYPE_PREPARE,
  LEAT_TYPE_COUNT
} leat_section_type_t;

// What an op is to a pass: the column `role` of op.def and traced.def.
typedef enum leat_op_role_e {
  LEAT_ROLE_SYMBOL,       // leaf: the value of a symbol before the run
  LEAT_ROLE_CONSTANT,     // leaf: one number, or the bytes of a blob
  LEAT_ROLE_SEQUENCE,     // leaf: numbers that count up along a dim
  LEAT_ROLE_KEEP,         // statement: its operand stays under a name
  LEAT_ROLE_UPDATE,       // statement: operand 0, a symbol, becomes operand 1 at the end of forward
  LEAT_ROLE_OPTIMIZER,    // statement: its operands, parameters, are trained
  LEAT_ROLE_DRAW,         // random numbers: a function of the random state, not of other values
  LEAT_ROLE_VIEW,         // elements of operand 0, at places that attributes say
  LEAT_ROLE_SAME,         // operand 0, perhaps in another dtype or apart from autograd
  LEAT_ROLE_ELEMENTWISE,  // an element of the result is a function of the elements at its own place
  LEAT_ROLE_COMPUTE,      // everything else
  LEAT_ROLE_LOOP,         // its body, a number of times (loop.h)
  LEAT_ROLE_PART,         // what a trip sees of operand 0, a part of the batch or all of it
  LEAT_ROLE_JOIN          // what all trips make of operand 0
} leat_op_role_t;

#define LEAT_RESULTS_OF_BODY UINT16_MAX  // of a loop: see leat_op_result_count

// Facts of the tables.
typedef struct leat_op_info_s {
  const char *name;  // primitives print as "prim.<name>"
  uint16_t min_inputs, max_inputs, result_count;
  const char *attrs;  // space-separated keys, each with "=" and the set of its words where it takes one
  leat_op_role_t role;
  uint32_t products;  // bit mask of the operands that are multiplied with each other and summed up; 0: no product
  bool own_gradient;  // traced only
  leat_scalar_t fn;   // traced only: the function of its operands that it is; LEAT_SCALAR_COUNT: it is more
  bool cheap, moves;  // primitives only: cheaper to compute again than to load; bytes move
} leat_op_info_t;
const leat_op_info_t *leat_op_info(uint32_t kind);
bool leat_op_is_primitive(uint32_t kind);
bool leat_op_is_traced(uint32_t kind);
leat_op_role_t leat_op_role(uint32_t kind);
bool leat_op_is_statement(uint32_t kind);  // has no results
bool leat_op_is_leaf(uint32_t kind);       // a symbol, a constant or a sequence: nothing computes it
// Neither leaf nor statement nor, of primitives, view: something runs for it.
bool leat_op_computes(uint32_t kind);
bool leat_op_takes_attr(uint32_t kind, leat_attr_key_t key);             // is the key in the op's schema?
const char *leat_op_words(uint32_t kind, leat_attr_key_t key);           // of an attribute of kind E: see word.h
bool leat_op_find(const char *text, size_t length, uint32_t *out_kind);  // "linear", "prim.map"
const char *leat_attr_name(leat_attr_key_t key);
char leat_attr_kind(leat_attr_key_t key);  // 'I', 'L', 'F', 'S', 'T', 'E', 'C', 'Y', 'K' or 'B'
bool leat_attr_find(const char *text, size_t length, leat_attr_key_t *out_key);
const char *leat_section_type_name(leat_section_type_t type);  // "fwd", "bckwd", ...
bool leat_section_type_find(const char *text, size_t length, leat_section_type_t *out_type);
size_t leat_dtype_bytes(leat_dtype_t dtype);
const char *leat_dtype_name(leat_dtype_t dtype);
bool leat_dtype_find(const char *text, size_t length, leat_dtype_t *out_dtype);
bool leat_dtype_is_float(leat_dtype_t dtype);
// `number` as a value of `dtype`: rounded once to floats (nearest even), truncated and wrapped to integers.
double leat_dtype_round(leat_dtype_t dtype, double number);
const char *leat_scalar_name(leat_scalar_t fn);
uint32_t leat_scalar_arity(leat_scalar_t fn);
bool leat_scalar_is_predicate(leat_scalar_t fn);
bool leat_scalar_is_defined(leat_scalar_t fn,
                            leat_dtype_t operand);  // exp is not defined for integers, xor not for floats
uint32_t leat_scalar_flops(leat_scalar_t fn);
bool leat_scalar_is_quick(leat_scalar_t fn);  // costs about as much as a load from memory

// The letters of a contraction or an einsum: of x, y and the result, "ab,bc->ac"; of an einsum of one operand y has
// none.
typedef struct leat_spec_s {
  uint8_t operands;  // 1 or 2
  uint8_t rank[3];   // of x, y, result
  char letters[3][LEAT_RANK_MAX];
} leat_spec_t;
enum { LEAT_SPEC_TEXT = 3 * LEAT_RANK_MAX + 4 };
// LEAT_INVALID_ARGUMENT: malformed; LEAT_UNSUPPORTED: too many letters. This is for text from outside and in builders:
// an op holds its spec as read.
leat_status_t leat_spec_parse(const char *text, leat_spec_t *out_spec) LEAT_MUST_USE;
// What a contraction demands: two operands, no letter twice in one tensor, each in two of the three at least.
leat_status_t leat_spec_check(const leat_spec_t *spec) LEAT_MUST_USE;
const char *leat_spec_text(const leat_spec_t *spec, char buffer[LEAT_SPEC_TEXT]);
// The spec whose x, y and result are those tensors (0, 1, 2 = result) of `spec`.
leat_spec_t leat_spec_pick(const leat_spec_t *spec, uint32_t x, uint32_t y, uint32_t result);
// Where `letter` stands in tensor `which` (0, 1, 2 = result); -1: not there.
int leat_spec_find(const leat_spec_t *spec, uint32_t which, char letter);

typedef struct leat_value_s {
  uint8_t dtype, rank;
  uint16_t result_index;  // which result of `op`
  leat_op_id_t op;
  int64_t dims[LEAT_RANK_MAX];
} leat_value_t;

typedef struct leat_attr_s {
  uint16_t key;    // leat_attr_key_t
  uint32_t count;  // list length
  union {
    int64_t i;  // I, T, E, Y, B: a number, a leat_dtype_t, a constant of an enum, a leat_symbol_id_t, a body's index
    double f;
    const char *s;            // in the graph's arena: text that means nothing to the compiler
    const int64_t *l;         // in the graph's arena
    const leat_spec_t *spec;  // in the graph's arena
  } v;
} leat_attr_t;

// Attributes as values: {leat_attr_i(LEAT_ATTR_FN, LEAT_FOLD_SUM), leat_attr_i(LEAT_ATTR_DIM, 0)}. Lists and strings
// are borrowed.
static inline leat_attr_t leat_attr_i(leat_attr_key_t key, int64_t i) {
  return (leat_attr_t){.key = (uint16_t)key, .v.i = i};
}
static inline leat_attr_t leat_attr_f(leat_attr_key_t key, double f) {
  return (leat_attr_t){.key = (uint16_t)key, .v.f = f};
}
static inline leat_attr_t leat_attr_s(leat_attr_key_t key, const char *s) {
  return (leat_attr_t){.key = (uint16_t)key, .v.s = s};
}
static inline leat_attr_t leat_attr_l(leat_attr_key_t key, const int64_t *l, uint32_t count) {
  return (leat_attr_t){.key = (uint16_t)key, .count = count, .v.l = l};
}

static inline leat_attr_t leat_attr_spec(const leat_spec_t *spec) {
  return (leat_attr_t){.key = LEAT_ATTR_SPEC, .v.spec = spec};
}

typedef struct leat_op_s {
  uint16_t kind;                        // leat_op_kind_t
  uint8_t type;                         // leat_section_type_t: the phase this op belongs to
  uint8_t detached;                     // 1: gradients do not flow through (torch.no_grad at trace time)
  uint32_t input_first, input_count;    // into graph->inputs
  uint32_t result_first, result_count;  // values are consecutive
  uint32_t attr_first, attr_count;      // into graph->attrs, sorted by key
  uint8_t exact;                        // 1: keeps the dtypes of the program, whatever the precision preset
  uint32_t group;                       // fusion group, 0: none
  uint32_t origin;                      // index into graph->origins; 0: unknown
} leat_op_t;

// A tensor with a name: what `symbol`, `store` and `output` ops name, and what the compiler makes for such a tensor.
typedef struct leat_symbol_s {
  const char *name;        // as users see it; in the arena
  uint8_t kind;            // leat_symbol_kind_t
  uint8_t role;            // leat_symbol_role_t
  bool said;               // kind and type are known: an op has named it
  leat_symbol_id_t owner;  // whose gradient, seed or state it is; LEAT_NONE: nobody's
  uint32_t number;         // of a step counter or an index: which
  leat_op_id_t op;         // the primitive `symbol` that reads it, the first if there are more; LEAT_NONE: none does
  leat_op_id_t update_first, update_last;  // the primitive stores that update it lie between; LEAT_NONE: none does
  leat_symbol_id_t owned, next_owned;      // the first that it owns, the next of its owner's; LEAT_NONE: no more
  leat_value_t type;                       // dtype and shape, as the last op says, but for updates
} leat_symbol_t;

// Where an op comes from; strings in the arena, "" where unknown.
typedef struct leat_origin_s {
  const char *module;  // "lenet.conv1"
  const char *source;  // "lenet.py:42"
  const char *traced;  // what the program called: the torch function, or else the traced op
} leat_origin_t;

// What is known of a fusion group; strings in the arena, "" where unknown.
typedef struct leat_group_s {
  uint32_t id;             // what ops carry
  const char *name;        // what it is: groups of equal name mark equal pieces of the program
  const char *heuristic;   // how to lay it out, by name
  const char *parameters;  // of the heuristic: a JSON object
} leat_group_t;

// Bytes of a constant: written once, then shared by the graphs that passes make of each other.
typedef struct leat_blob_s {
  const void *data;  // NULL until set
  size_t data_bytes;
  uint32_t *references;  // graphs that hold the bytes; the last one frees them
} leat_blob_t;

struct leat_graph_s {
  leat_arena_t arena;
  LEAT_ARRAY(leat_op_t) ops;
  LEAT_ARRAY(leat_value_t) values;
  LEAT_ARRAY(leat_value_id_t) inputs;
  LEAT_ARRAY(leat_attr_t) attrs;
  LEAT_ARRAY(leat_origin_t) origins;  // [0] is the unknown origin
  LEAT_ARRAY(leat_blob_t) blobs;
  LEAT_ARRAY(leat_group_t) groups;  // by id, ascending; ops may carry ids without an entry
  LEAT_ARRAY(leat_symbol_t) symbols;
  leat_names_t symbol_names;  // name -> id
  // What its loops repeat: made once, then shared by the graphs that passes make of each other, and never changed.
  LEAT_ARRAY(leat_graph_t *) bodies;
  uint32_t holders;  // of a body: graphs that hold it
};

// A graph with the unknown origin and nothing else; leat_graph_destroy releases it, and of a body that other graphs
// hold, too, one hold.
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
// A word: what is returned is of the enum of the op's set.
int leat_op_word(const leat_graph_t *g, const leat_op_t *op, leat_attr_key_t key, int otherwise);
double leat_op_float(const leat_graph_t *g, const leat_op_t *op, leat_attr_key_t key, double otherwise);
const char *leat_op_string(const leat_graph_t *g, const leat_op_t *op, leat_attr_key_t key, const char *otherwise);
// The spec of a contract or einsum, which has one.
const leat_spec_t *leat_op_spec(const leat_graph_t *g, const leat_op_t *op);
// The list and its length; *out_count = 0 and NULL when absent.
const int64_t *leat_op_list(const leat_graph_t *g, const leat_op_t *op, leat_attr_key_t key, uint32_t *out_count);
// The bytes of the constant `op`; NULL: it is no constant, is spelled out by other attributes, or was given no bytes.
const leat_blob_t *leat_op_blob(const leat_graph_t *g, const leat_op_t *op);
// Is `op` a constant whose elements are all one number?
bool leat_op_splat(const leat_graph_t *g, const leat_op_t *op, double *out_number);
// The function of an elementwise primitive; LEAT_SCALAR_COUNT: `op` is none.
leat_scalar_t leat_op_scalar(const leat_graph_t *g, const leat_op_t *op);
// Is `op` a symbol whose gradient is wanted?
bool leat_op_requires_grad(const leat_graph_t *g, const leat_op_t *op);
// Does the list of keys that attribute `list` is hold `key`? False where it is absent.
bool leat_op_lists(const leat_graph_t *g, const leat_op_t *op, leat_attr_key_t list, leat_attr_key_t key);
// The text of a list of keys, "lr,momentum"; none is there twice.
enum { LEAT_KEYS_TEXT = 1024 };
const char *leat_attr_keys_text(const leat_attr_t *attr, char buffer[LEAT_KEYS_TEXT]);
bool leat_attrs_equal(const leat_graph_t *a, const leat_op_t *x, const leat_graph_t *b, const leat_op_t *y);

int64_t leat_value_elements(const leat_value_t *v);  // product of dims; 1 for rank 0
// Of dims `from` up to `to`.
static inline int64_t leat_product(const int64_t *dims, uint32_t from, uint32_t to) {
  int64_t product = 1;
  for (uint32_t d = from; d < to; d++) product *= dims[d];
  return product;
}
size_t leat_value_bytes(const leat_value_t *v);
bool leat_value_fits(const leat_value_t *v);  // extents >= 0, at most LEAT_ELEMENTS_MAX elements
bool leat_same_shape(const leat_value_t *a, const leat_value_t *b);
// "32x784xf32" style for messages is `f32[32,784]`; into `buffer` of at least 160 bytes.
const char *leat_value_text(const leat_value_t *v, char *buffer, size_t buffer_bytes);
// "op 'linear' (module lenet.fc1, lenet.py:42)" for messages; into `buffer` of at least 256 bytes.
const char *leat_op_text(const leat_graph_t *g, const leat_op_t *op, char *buffer, size_t buffer_bytes);

// Appending. Inputs, dims and attributes are copied (they may point into the graph itself) and attributes sorted.
// Results get the given dtypes and shapes. Inputs must exist already or be LEAT_NONE; nothing else is checked here.
typedef struct leat_op_desc_s {
  uint32_t kind;
  uint8_t type, detached, exact;
  uint32_t group, origin;
  const leat_value_id_t *inputs;
  uint32_t input_count;
  const leat_attr_t *attrs;
  uint32_t attr_count;
  const leat_value_t *results;  // dtype, rank, dims are read
  uint32_t result_count;
} leat_op_desc_t;
leat_status_t leat_graph_append(leat_graph_t *g, const leat_op_desc_t *desc, leat_op_id_t *out_op) LEAT_MUST_USE;
// Strings are copied, NULL counts as "". An origin equal to the last one added gets its index.
leat_status_t leat_graph_add_origin(leat_graph_t *g, const leat_origin_t *origin, uint32_t *out_origin) LEAT_MUST_USE;
// Symbols (ir/symbol.c). What the program names is found by its name, and added where it is new; what the compiler
// makes by its role: of is the id of the owner, or the number, or 0, as role.def says. Ids stay as graphs are rebuilt.
static inline const leat_symbol_t *leat_graph_symbol(const leat_graph_t *g, leat_symbol_id_t id) {
  assert(id < g->symbols.count);
  return &g->symbols.data[id];
}
leat_symbol_id_t leat_graph_find_symbol(const leat_graph_t *g, const char *name);  // LEAT_NONE: there is none
leat_status_t leat_graph_name_symbol(leat_graph_t *g, const char *name, leat_symbol_id_t *out_symbol) LEAT_MUST_USE;
leat_status_t leat_graph_role_symbol(leat_graph_t *g, leat_symbol_role_t role, uint32_t of,
                                     leat_symbol_id_t *out_symbol) LEAT_MUST_USE;
// Gives `g`, which has none yet, the symbols of `from`, with their ids; ops have still to name them.
leat_status_t leat_graph_copy_symbols(leat_graph_t *g, const leat_graph_t *from) LEAT_MUST_USE;
// Gives symbols of a graph that was read from text their roles, by their kinds and names.
void leat_graph_read_roles(leat_graph_t *g);
// Writes into the table what op `id` says of the symbol it names, if any; appending does so.
void leat_graph_note_symbol(leat_graph_t *g, leat_op_id_t id);
// The symbol that an op names, LEAT_NONE without; its name, "" without.
leat_symbol_id_t leat_op_symbol(const leat_graph_t *g, const leat_op_t *op);
const char *leat_op_name(const leat_graph_t *g, const leat_op_t *op);
bool leat_op_draws(const leat_graph_t *g, const leat_op_t *op);  // is its result made of random numbers?
// Is `op` a primitive symbol (store) of that kind?
bool leat_op_is_symbol(const leat_graph_t *g, const leat_op_t *op, leat_symbol_kind_t kind);
bool leat_op_is_store(const leat_graph_t *g, const leat_op_t *op, leat_store_kind_t kind);
// Is the symbol that `op` defines a parameter or buffer that no run changes, but for the optimizer's update? What hangs
// on such symbols alone is computed once, and again after the optimizer.
bool leat_graph_is_fixed(const leat_graph_t *g, const leat_op_t *op);
// The entry of group `id`; NULL: it has none.
// Is `v`, a symbol, trained by an optimizer of the traced graph?
bool leat_graph_is_optimized(const leat_graph_t *g, leat_value_id_t v);
const leat_group_t *leat_graph_group(const leat_graph_t *g, uint32_t id);
// Adds the entry of group `group->id`, which has none yet and is above those that have. Strings as for origins.
leat_status_t leat_graph_add_group(leat_graph_t *g, const leat_group_t *group) LEAT_MUST_USE;
// Appends a blob with a copy of the bytes: what a `constant` op with attribute `index` then names.
leat_status_t leat_graph_add_blob(leat_graph_t *g, const void *data, size_t data_bytes,
                                  uint32_t *out_index) LEAT_MUST_USE;
// Appends a blob that shares the bytes of one of another graph (which may have none yet). Graphs that share are
// externally locked together.
leat_status_t leat_graph_share_blob(leat_graph_t *g, const leat_blob_t *blob, uint32_t *out_index) LEAT_MUST_USE;

// Adds `body` to the bodies of `g`, which holds it from now on; a failure leaves it to the caller.
leat_status_t leat_graph_add_body(leat_graph_t *g, leat_graph_t *body, uint32_t *out_index) LEAT_MUST_USE;
// The same ops, types, attributes and blobs, and groups to be laid out alike? Symbols are the same by name.
bool leat_graphs_equal(const leat_graph_t *a, const leat_graph_t *b);

// How many results an op of that kind has, with those attributes, which name a body of `g` where the kind has one.
uint32_t leat_op_result_count(const leat_graph_t *g, uint32_t kind, const leat_attr_t *attrs, uint32_t attr_count);
// Shape rule of a primitive (ir/shape.c): fills dtype, rank, dims of the results from the inputs and attributes.
// SYMBOL, CONSTANT, IOTA and RANDOM take dtype and shape from `results` as given, casts the dtype; there is room for
// leat_op_result_count of them. A primitive states
// every attribute of its row (CONSTANT: `value` or `index`; SYMBOL: `name` and `kind`): there are no defaults. `attrs`
// need not be sorted. Messages name what does not fit.
leat_status_t leat_shape_infer(const leat_graph_t *g, uint32_t kind, const leat_value_id_t *inputs,
                               uint32_t input_count, const leat_attr_t *attrs, uint32_t attr_count,
                               leat_value_t *results) LEAT_MUST_USE;

// Everything that must hold of a graph (ir/verify.c): ids, arities, attribute schemas, topological order, shapes of
// primitives equal to their rule, unique symbol names, declared blobs set. Traced ops may declare any shapes: what
// they lower to is held to the rules.
leat_status_t leat_graph_verify(const leat_graph_t *g) LEAT_MUST_USE;

// Floating-point and integer operations a primitive costs, and the bytes it must move (ir/cost.c).
typedef struct leat_cost_s {
  double flops, bytes;
} leat_cost_t;
leat_cost_t leat_op_cost(const leat_graph_t *g, const leat_op_t *op);

// The slow reference (ir/eval.c): runs every op of a verified primitive graph, which must outlive the eval. Symbols
// keep their value from run to run; those that were never set are zeros. `get` reads what a `store` wrote or `set`
// gave. Floats are computed in f64 and rounded to the dtype at each op's result; sums are accumulated in f64.
typedef struct leat_eval_s leat_eval_t;
leat_status_t leat_eval_create(const leat_graph_t *primitive_graph, leat_eval_t **out_eval) LEAT_MUST_USE;
void leat_eval_destroy(leat_eval_t *eval);
leat_status_t leat_eval_set(leat_eval_t *eval, const char *symbol, const void *data, size_t data_bytes) LEAT_MUST_USE;
leat_status_t leat_eval_run(leat_eval_t *eval) LEAT_MUST_USE;  // all stores happen after all reads
leat_status_t leat_eval_get(const leat_eval_t *eval, const char *symbol, void *data, size_t data_bytes) LEAT_MUST_USE;
// Evaluates one primitive on contiguous operands into contiguous results (used by folding). Blobs of constants come
// from `g`. LEAT_UNSUPPORTED for symbol and store.
leat_status_t leat_eval_op(const leat_graph_t *g, const leat_op_t *op, const void *const *inputs,
                           void *const *results) LEAT_MUST_USE;

#endif
