// SPDX-License-Identifier: Apache-2.0
#include "op_bench.h"

#include <stdio.h>

#include "grad/grad.h"
#include "lower/lower.h"

// "%0, %1 = " of as many results as the op declares types, numbered from `first`.
static void write_results(const char *op, uint32_t first, leat_text_t *text) {
  const char *types = strrchr(op, ':');
  uint32_t count = 0;
  for (const char *at = types; at != NULL && *at != 0; at++) count += *at == '[';
  for (uint32_t i = 0; i < count; i++) leat_text_put(text, "%s%%%u", i == 0 ? "" : ", ", first + i);
  leat_text_put(text, " = %s\n", op);
}

void bench_write(const bench_op_t *op, leat_text_t *out_text) {
  uint32_t count = 0;
  *out_text = (leat_text_t){0};
  leat_text_put(out_text, "leat.graph 1\n");
  for (const char *at = op->inputs; *at != 0; count++) {
    size_t held = at[0] == '!', length = strcspn(at, " ");
    leat_text_put(out_text, "%%%u = symbol() {kind=\"input\", name=\"x%u\", requires_grad=%d} : %.*s\n", count, count,
                  at[0] == 'f', (int)(length - held), at + held);
    at += length + strspn(at + length, " ");
  }
  write_results(op->op, count, out_text);
  leat_text_put(out_text, "output(%%%u) {name=\"y\", seed=\"symbol\"}\n", count);
}

typedef leat_status_t (*pass_t)(const leat_graph_t *from, leat_graph_t **out_graph);

static leat_status_t lower_first(const leat_graph_t *from, leat_graph_t **out_graph) {
  return leat_lower(from, true, out_graph);
}
static leat_status_t lower_rest(const leat_graph_t *from, leat_graph_t **out_graph) {
  return leat_lower(from, false, out_graph);
}
static leat_status_t grad(const leat_graph_t *from, leat_graph_t **out_graph) {
  return leat_grad(from, leat_lower_vjps(), out_graph);
}

// Replaces *graph by what the pass makes of it, verified; on failure it is NULL.
static leat_status_t apply(pass_t pass, leat_graph_t **graph) {
  leat_graph_t *made = NULL;
  leat_status_t status = pass(*graph, &made);
  leat_graph_destroy(*graph);
  *graph = NULL;
  if (status != NULL) return status;
  status = leat_graph_verify(made);
  if (status != NULL)
    leat_graph_destroy(made);
  else
    *graph = made;
  return status;
}

leat_status_t bench_lower(const char *text, leat_graph_t **out_graph) {
  const pass_t passes[] = {lower_first, grad, lower_rest};
  *out_graph = NULL;
  LEAT_TRY(leat_graph_parse(text, strlen(text), out_graph));
  for (size_t i = 0; i < sizeof passes / sizeof *passes; i++) LEAT_TRY(apply(passes[i], out_graph));
  return NULL;
}

static size_t common_divisor(size_t a, size_t b) {
  while (b != 0) {
    size_t rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

// Numbers of a symbol: a permutation of an even grid (so that none are equal), shifted by the name.
void bench_numbers(const char *name, const bench_op_t *op, double *out_numbers, size_t count) {
  uint64_t seed = 1469598103934665603u;
  for (; *name != 0; name++) seed = (seed ^ (unsigned char)*name) * 1099511628211u;
  size_t stride = (size_t)((double)count * 0.618) + 1u;
  while (common_divisor(count, stride) != 1) stride--;  // ends at 1
  for (size_t i = 0; i < count; i++) {
    double at =
        ((double)((i * stride + seed) % count) + 0.3 + 0.4 * (double)(seed >> 32) / 4294967296.0) / (double)count;
    double spread = 0.4 + 1.3 * at;  // away from zero
    out_numbers[i] =
        op->low == op->high ? ((i + seed) % 3 == 0 ? -spread : spread) : op->low + at * (op->high - op->low);
  }
}

static leat_status_t fill(leat_eval_t *eval, const char *name, const leat_value_t *v, const bench_op_t *op) {
  size_t count = (size_t)leat_value_elements(v);
  double *numbers = leat_alloc_zero(count + 1u, sizeof *numbers);
  if (numbers == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "out of memory");
  leat_status_t status = NULL;
  if (v->dtype == LEAT_F64) {
    bench_numbers(name, op, numbers, count);
    status = leat_eval_set(eval, name, numbers, count * sizeof *numbers);
  } else if (v->dtype == LEAT_I64) {
    int64_t *integers = (int64_t *)(void *)numbers;
    for (size_t i = 0; i < count; i++) integers[i] = (int64_t)(i % 2u);
    status = leat_eval_set(eval, name, integers, count * sizeof *integers);
  } else if (v->dtype == LEAT_BOOL) {
    uint8_t *flags = (uint8_t *)(void *)numbers;
    for (size_t i = 0; i < count; i++) flags[i] = i % 3u == 1u;
    status = leat_eval_set(eval, name, flags, count);
  }
  leat_free(numbers);
  return status;
}

leat_status_t bench_fill(leat_eval_t *eval, const leat_graph_t *graph, const bench_op_t *op) {
  for (leat_op_id_t id = 0; id < graph->ops.count; id++) {
    const leat_op_t *symbol = leat_graph_op(graph, id);
    if (symbol->kind != LEAT_PRIM_SYMBOL || leat_op_is_symbol(graph, symbol, LEAT_KIND_HYPER)) continue;
    LEAT_TRY(fill(eval, leat_op_name(graph, symbol), leat_graph_value(graph, symbol->result_first), op));
  }
  return NULL;
}

const leat_value_t *bench_symbol(const leat_graph_t *graph, const char *name) {
  for (leat_op_id_t id = 0; id < graph->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(graph, id);
    if (op->kind == LEAT_PRIM_SYMBOL && strcmp(leat_op_name(graph, op), name) == 0)
      return leat_graph_value(graph, op->result_first);
  }
  return NULL;
}

bool bench_reaches(const leat_graph_t *graph, const char *name) {
  size_t length = strlen(name);
  for (leat_op_id_t id = 0; id < graph->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(graph, id);
    const char *stored = leat_op_name(graph, op);
    if (op->kind == LEAT_PRIM_STORE && strncmp(stored, name, length) == 0 && strcmp(stored + length, "__grad") == 0)
      return true;
  }
  return false;
}
