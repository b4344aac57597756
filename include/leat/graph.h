// SPDX-License-Identifier: Apache-2.0
// Graphs: a traced program on its way to the compiler.
//
// A graph is read from text (grammar: docs/graph-text.md); the bytes of its constants are attached by name.
// Thread rule: externally locked.
#ifndef LEAT_PUBLIC_GRAPH_H_
#define LEAT_PUBLIC_GRAPH_H_

#include <stddef.h>
#include <stdint.h>

#include "leat/status.h"

typedef struct leat_graph_s leat_graph_t;

// The ops of one operand that are one function of its elements, `exp` and the like, by their names in graph text,
// which are PyTorch's: separated by spaces.
const char *leat_graph_unary_ops(void);

// Parses `text` (copied). On error the message names line and column.
leat_status_t leat_graph_parse(const char *text, size_t text_bytes, leat_graph_t **out_graph);
void leat_graph_destroy(leat_graph_t *graph);

// Gives constant `#index` its bytes (copied). LEAT_INVALID_ARGUMENT if the size does not fit dtype and shape.
leat_status_t leat_graph_set_blob(leat_graph_t *graph, uint32_t index, const void *data, size_t data_bytes);

// The graph as text; free with leat_string_free.
leat_status_t leat_graph_print(const leat_graph_t *graph, char **out_text);

// Facts of the compiler's tables, for those who write graphs.
// 1 if the traced op `name` is a loss: it compares operands, and its attribute `reduction` says what becomes of them.
uint32_t leat_op_is_loss(const char *name);
// The name of hyperparameter `index`, which a run may set where an op leaves it open: "lr", ...; NULL beyond the last.
const char *leat_hyperparameter_name(uint32_t index);

// One tensor given to or taken from leat_graph_eval. `data` is contiguous, row-major, `data_bytes` long.
typedef struct leat_tensor_s {
  const char *name;
  void *data;
  size_t data_bytes;
} leat_tensor_t;

// The slow reference: lowers the graph, differentiates it when it has optimizers or asks for gradients, and
// evaluates every op one by one. `inputs` holds symbols by name; symbols that are not given start as zeros.
// `outputs` names outputs, updated symbols, or gradients (`<symbol>__grad`).
leat_status_t leat_graph_eval(const leat_graph_t *graph, const leat_tensor_t *inputs, size_t input_count,
                              leat_tensor_t *outputs, size_t output_count);

#endif
