// SPDX-License-Identifier: Apache-2.0
// Feeds three hash streams op by op.
#include "ir/fingerprint.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { FORWARD, SEEDS, OPTIMIZERS, STREAMS };

static void feed(uint64_t *hash, const void *data, size_t bytes) { *hash = XXH3_64bits_withSeed(data, bytes, *hash); }
static void feed_int(uint64_t *hash, int64_t value) { feed(hash, &value, sizeof value); }
static void feed_string(uint64_t *hash, const char *text) { feed(hash, text, strlen(text) + 1); }

// --- version 1: files of format 1.x -------------------------------------------------------------------------------
// Ops are hashed by name; attributes in the order of their keys, keys and dtypes by number, words, specs and strings by
// their bytes with the NUL. So these tables only grow at their ends (fingerprint_test.c holds all of the first).
_Static_assert(LEAT_ATTR_DIM == 0 && LEAT_ATTR_DTYPE == 27 && LEAT_ATTR_NAME == 53 && LEAT_ATTR_WRAPS == 72,
               "attr.def grows at its end only");
_Static_assert(LEAT_F32 == 0 && LEAT_BOOL == 9, "dtype.def grows at its end only");

static void feed_body(uint64_t *hash, const leat_graph_t *body);

static void feed_attr(uint64_t *hash, const leat_graph_t *g, const leat_op_t *op, const leat_attr_t *attr) {
  feed_int(hash, attr->key);
  char kind = leat_attr_kind((leat_attr_key_t)attr->key), spec[LEAT_SPEC_TEXT], keys[LEAT_KEYS_TEXT];
  if (kind == 'L') {
    feed_int(hash, attr->count);
    feed(hash, attr->v.l, attr->count * sizeof attr->v.l[0]);
  } else if (kind == 'S') {
    feed_string(hash, attr->v.s);
  } else if (kind == 'K') {
    feed_string(hash, leat_attr_keys_text(attr, keys));
  } else if (kind == 'Y') {
    feed_string(hash, leat_graph_symbol(g, (leat_symbol_id_t)attr->v.i)->name);
  } else if (kind == 'C') {
    feed_string(hash, leat_spec_text(attr->v.spec, spec));
  } else if (kind == 'E') {
    feed_string(hash, leat_word_text(leat_op_words(op->kind, (leat_attr_key_t)attr->key), attr->v.i));
  } else if (kind == 'B') {
    feed_body(hash, g->bodies.data[attr->v.i]);
  } else {
    feed_int(hash, attr->v.i);  // integers, dtypes, and the bits of floats
  }
}

// Which stream an attribute belongs to; STREAMS: none.
static uint32_t stream_of(const leat_graph_t *g, const leat_op_t *op, const leat_attr_t *attr) {
  if (leat_op_role(op->kind) == LEAT_ROLE_OPTIMIZER) {
    return leat_op_lists(g, op, LEAT_ATTR_HYPER, (leat_attr_key_t)attr->key) ? STREAMS : OPTIMIZERS;
  }
  if (attr->key == LEAT_ATTR_SEED || attr->key == LEAT_ATTR_REQUIRES_GRAD || attr->key == LEAT_ATTR_SHARED)
    return SEEDS;
  if (op->kind == LEAT_TRACED_DROPOUT && (attr->key == LEAT_ATTR_P || attr->key == LEAT_ATTR_TRAINING)) return STREAMS;
  return FORWARD;
}

static void feed_op(const leat_graph_t *g, const leat_op_t *op, uint64_t *streams) {
  uint64_t *main_stream = &streams[leat_op_role(op->kind) == LEAT_ROLE_OPTIMIZER ? OPTIMIZERS : FORWARD];
  feed_string(main_stream, leat_op_info(op->kind)->name);
  for (uint32_t i = 0; i < op->input_count; ++i) feed_int(main_stream, leat_op_input(g, op, i));
  for (uint32_t i = 0; i < op->attr_count; ++i) {
    const leat_attr_t *attr = &g->attrs.data[op->attr_first + i];
    uint32_t stream = stream_of(g, op, attr);
    if (stream != STREAMS) feed_attr(&streams[stream], g, op, attr);
  }
  for (uint32_t i = 0; i < op->result_count; ++i) {
    const leat_value_t *v = leat_graph_value(g, op->result_first + i);
    feed_int(main_stream, v->dtype);
    feed(main_stream, v->dims, v->rank * sizeof v->dims[0]);
  }
}

// All streams of a body are one.
static void feed_body(uint64_t *hash, const leat_graph_t *body) {
  uint64_t streams[STREAMS];
  for (uint32_t i = 0; i < STREAMS; ++i) streams[i] = *hash + i;
  for (leat_op_id_t id = 0; id < body->ops.count; ++id) feed_op(body, leat_graph_op(body, id), streams);
  feed(hash, streams, sizeof streams);
}

// --- all of them --------------------------------------------------------------------------------------------------

typedef void (*feed_op_t)(const leat_graph_t *g, const leat_op_t *op, uint64_t *streams);
static const feed_op_t versions[] = {
    [1] = feed_op,
    [2] = feed_op,  // of programs whose recurrent layers are rows: for version 1 the SDK traces them taken apart
};

leat_status_t leat_fingerprint(const leat_graph_t *graph, uint32_t version, uint64_t out_fingerprint[3]) {
  if (version >= sizeof versions / sizeof *versions || versions[version] == NULL)
    LEAT_FAIL(LEAT_UNSUPPORTED, "fingerprints of version %u are not known: update the library", version);
  for (uint32_t i = 0; i < STREAMS; ++i) out_fingerprint[i] = i + 1;
  for (leat_op_id_t id = 0; id < graph->ops.count; ++id)
    versions[version](graph, leat_graph_op(graph, id), out_fingerprint);
  return NULL;
}
