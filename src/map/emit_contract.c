// SPDX-License-Identifier: Apache-2.0
// CONTRACT stages. The letters of the spec become axes with a role (batch, m, n, k); axes of extent 1 vanish,
// neighbours that are contiguous in all three operands merge, so that a batched or folded product reaches the engine
// as the plain matrix product that it is. A fixed right operand whose columns are not adjacent is packed into panels
// by a prepare section.
#include "base/loops.h"
#include "map/emit.h"

enum { ROLE_BATCH = 0, ROLE_M = 1, ROLE_N = 2, ROLE_K = 3, ROLE_COUNT = 4 };
enum { MAX_AXES = 2 * LEAT_RANK_MAX };
// Panels are one tile kernel wide. Narrow products are not worth the copy.
enum { PANEL = 64, PACK_MIN_COLUMNS = 2, PACK_MIN_ELEMENTS = 2048 };
// A training step packs again after each update: so many rows pay for the copy.
enum { PACK_TRAINING_ROWS = 256 };

typedef struct axis_s {
  int64_t extent;
  int64_t strides[3];  // A, B, C
  uint8_t role;
  bool row;  // the section's rows run along this axis
} axis_t;

typedef struct product_s {
  axis_t axes[MAX_AXES];
  uint32_t count;
  leat_access_t access[3];  // A, B, C
  bool swapped;             // A is the op's second input
} product_t;

static uint8_t role_of(bool in_a, bool in_b, bool in_c) {
  if (in_a && in_b && in_c) return ROLE_BATCH;
  if (in_c) return in_a ? ROLE_M : ROLE_N;
  return ROLE_K;
}

// C's innermost axis should be n, that is, belong to B.
static bool must_swap(const leat_spec_t *spec, const leat_access_t *c) {
  for (uint32_t i = c->rank; i-- > 0;) {
    if (c->dims[i] == 1) continue;
    char letter = spec->letters[2][i];
    return leat_spec_find(spec, 0, letter) >= 0 && leat_spec_find(spec, 1, letter) < 0;
  }
  return false;
}

static void add_axis(product_t *p, const leat_spec_t *spec, char letter, int row_position) {
  uint32_t first = p->swapped ? 1 : 0;
  int at[3] = {leat_spec_find(spec, first, letter), leat_spec_find(spec, 1 - first, letter),
               leat_spec_find(spec, 2, letter)};
  axis_t axis = {.extent = 1, .role = role_of(at[0] >= 0, at[1] >= 0, at[2] >= 0)};
  for (uint32_t i = 0; i < 3; ++i) {
    if (at[i] < 0) continue;
    axis.strides[i] = p->access[i].strides[at[i]];
    axis.extent = p->access[i].dims[at[i]];
  }
  axis.row = row_position >= 0 && at[2] == row_position;
  if (axis.extent != 1) p->axes[p->count++] = axis;
}

// Axes of one role; rows begin an axis.
static void merge_axes(product_t *p) {
  int64_t extents[MAX_AXES], strides[3][MAX_AXES];
  uint32_t places[MAX_AXES], apart = 0;
  for (uint32_t i = 0; i < p->count; ++i) {
    extents[i] = p->axes[i].extent;
    for (uint32_t o = 0; o < 3; ++o) strides[o][i] = p->axes[i].strides[o];
    if (i > 0 && (p->axes[i].role != p->axes[i - 1].role || p->axes[i].row)) apart |= 1u << i;
  }
  leat_loops_t loops = {p->count, extents, 3, MAX_AXES, &strides[0][0]};
  leat_loops_merge(&loops, apart, places);
  for (uint32_t i = 1; i < p->count; ++i) {
    if (places[i] != places[i - 1]) p->axes[places[i]] = p->axes[i];  // the outermost says role and rows
  }
  for (uint32_t i = 0; i < loops.count; ++i) {
    p->axes[i].extent = extents[i];
    for (uint32_t o = 0; o < 3; ++o) p->axes[i].strides[o] = strides[o][i];
  }
  p->count = loops.count;
}

// Axes ordered batch, m, n (as they stand in C), then k (as they stand in the first input: the order of summation).
static leat_status_t read_product(leat_draft_t *d, leat_op_id_t id, product_t *p) {
  const leat_graph_t *g = d->m->g;
  const leat_op_t *op = leat_graph_op(g, id);
  const leat_spec_t *spec = leat_op_spec(g, op);
  memset(p, 0, sizeof *p);
  p->access[2] = leat_draft_access(d, op->result_first);
  p->swapped = must_swap(spec, &p->access[2]);
  p->access[0] = leat_draft_access(d, leat_op_input(g, op, p->swapped ? 1 : 0));
  p->access[1] = leat_draft_access(d, leat_op_input(g, op, p->swapped ? 0 : 1));
  uint8_t row_dim = d->m->plan->row_dim[id];
  int row_position = row_dim == LEAT_ROWS_WHOLE ? -1 : row_dim;
  for (uint8_t role = ROLE_BATCH; role < ROLE_K; ++role) {
    for (uint32_t i = 0; i < spec->rank[2]; ++i) {
      char letter = spec->letters[2][i];
      bool in_a = leat_spec_find(spec, p->swapped ? 1 : 0, letter) >= 0;
      bool in_b = leat_spec_find(spec, p->swapped ? 0 : 1, letter) >= 0;
      if (role_of(in_a, in_b, true) == role) add_axis(p, spec, letter, row_position);
    }
  }
  for (uint32_t i = 0; i < spec->rank[0]; ++i) {
    if (leat_spec_find(spec, 2, spec->letters[0][i]) < 0) add_axis(p, spec, spec->letters[0][i], -1);
  }
  merge_axes(p);
  if (p->count > LEAT_RANK_MAX) {
    char text[256];
    LEAT_FAIL(LEAT_UNSUPPORTED, "%s: the product has %u separate dims, at most %d are possible: reshape its operands",
              leat_op_text(g, op, text, sizeof text), p->count, LEAT_RANK_MAX);
  }
  return NULL;
}

// --- packing
// ------------------------------------------------------------------------------------------------------------

static const axis_t *only_axis(const product_t *p, uint8_t role) {
  const axis_t *found = NULL;
  for (uint32_t i = 0; i < p->count; ++i) {
    if (p->axes[i].role != role) continue;
    if (found != NULL) return NULL;
    found = &p->axes[i];
  }
  return found;
}

static bool has_role(const product_t *p, uint8_t role) {
  for (uint32_t i = 0; i < p->count; ++i) {
    if (p->axes[i].role == role) return true;
  }
  return false;
}

static bool is_fixed(const leat_mapper_t *m, leat_value_id_t base, uint8_t reader_type) {
  const leat_op_t *producer = leat_mapper_producer(m, base);
  if (leat_op_role(producer->kind) == LEAT_ROLE_SYMBOL)
    return leat_op_is_symbol(m->g, producer, LEAT_KIND_PARAM) && leat_graph_is_fixed(m->g, producer);
  if (leat_op_is_leaf(producer->kind)) return true;
  return producer->type == LEAT_TYPE_PREPARE && reader_type != LEAT_TYPE_PREPARE;
}

// Of all axes of a role together.
static int64_t extent_of(const product_t *p, uint8_t role) {
  int64_t extent = 1;
  for (uint32_t i = 0; i < p->count; ++i) extent *= p->axes[i].role == role ? p->axes[i].extent : 1;
  return extent;
}

// Of a training step with few rows, the engine transposes what is smaller as it goes.
static bool worth_packing(const leat_mapper_t *m, const product_t *p, uint8_t type) {
  if (!m->options->inference && extent_of(p, ROLE_M) < PACK_TRAINING_ROWS) return false;
  const axis_t *n = only_axis(p, ROLE_N), *k = only_axis(p, ROLE_K);
  if (n == NULL || k == NULL || has_role(p, ROLE_BATCH) || !is_fixed(m, p->access[1].base, type)) return false;
  if (n->extent < PACK_MIN_COLUMNS || n->extent * k->extent < PACK_MIN_ELEMENTS) return false;
  return n->strides[1] != 1 || n->extent > PANEL;
}

// Emits `columns` columns from `first`, in panels `width` wide, to the arena at `offset`.
static void emit_panels(leat_draft_t *d, leat_op_id_t id, const leat_access_t *kn, int64_t first, int64_t columns,
                        int64_t width, const leat_pack_t *pack, uint64_t skip_elements) {
  uint32_t dtype = leat_graph_value(d->m->g, kn->base)->dtype;
  int64_t k = kn->dims[0];
  leat_access_t from = {.base = kn->base,
                        .rank = 3,
                        .offset = kn->offset + first * kn->strides[1],
                        .dims = {columns / width, k, width},
                        .strides = {width * kn->strides[1], kn->strides[0], kn->strides[1]}};
  leat_access_t to = {.rank = 3,
                      .offset = (int64_t)skip_elements,
                      .dims = {columns / width, k, width},
                      .strides = {k * width, width, 1}};
  leat_draft_stage(d, PEF_STAGE_MAP, id);
  uint32_t row_dim = d->rows > 1 ? 0 : LEAT_ROWS_WHOLE;
  leat_draft_operand(d, &from, row_dim, false);
  leat_draft_arena_operand(d, pack->offset, pack->bytes, dtype, &to, row_dim, true);
  leat_emit_copy_program(d, dtype);
}

static leat_status_t emit_pack_call(leat_mapper_t *m, leat_op_id_t id, const leat_pack_t *pack, int64_t first,
                                    int64_t columns, int64_t width) {
  leat_draft_t d;
  leat_draft_init(&d, m, columns / width);
  emit_panels(&d, id, &pack->access, first, columns, width, pack, (uint64_t)(first * pack->access.dims[0]));
  double bytes = 8.0 * (double)columns * (double)pack->access.dims[0];
  leat_draft_call_t call = {
      LEAT_TYPE_PREPARE, (uint64_t)d.rows, 1, 0, "pack", "a product reads its columns side by side", 0, bytes};
  if (d.status == NULL) leat_draft_finish(&d, &call);
  return leat_draft_deinit(&d);
}

// The packed copy of B, made once however many products read it.
static leat_status_t pack(leat_mapper_t *m, leat_op_id_t id, const product_t *p, leat_pack_t *out_pack) {
  const axis_t *n = only_axis(p, ROLE_N), *k = only_axis(p, ROLE_K);
  leat_access_t kn = {.base = p->access[1].base,
                      .rank = 2,
                      .offset = p->access[1].offset,
                      .dims = {k->extent, n->extent},
                      .strides = {k->strides[1], n->strides[1]}};
  int64_t block = n->extent <= PANEL ? 0 : PANEL;
  for (uint32_t i = 0; i < m->packs.count; ++i) {
    *out_pack = m->packs.data[i];
    if (out_pack->block == block && memcmp(&out_pack->access, &kn, sizeof kn) == 0) return NULL;
  }
  uint64_t bytes = (uint64_t)(k->extent * n->extent) * leat_dtype_bytes(leat_graph_value(m->g, kn.base)->dtype);
  *out_pack = (leat_pack_t){.access = kn, .block = block, .offset = leat_map_reserve(m, bytes), .bytes = bytes};
  leat_pack_t *slot = leat_array_push(&m->packs);
  if (slot == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "out of memory");
  *slot = *out_pack;
  int64_t width = block == 0 ? n->extent : block, whole = n->extent / width * width;
  LEAT_TRY(emit_pack_call(m, id, out_pack, 0, whole, width));
  return whole == n->extent ? NULL : emit_pack_call(m, id, out_pack, whole, n->extent - whole, n->extent - whole);
}

// --- the stage
// ------------------------------------------------------------------------------------------------------------

static leat_access_t operand_access(const product_t *p, uint32_t which, uint32_t *out_row_dim) {
  leat_access_t a = {.base = p->access[which].base, .rank = p->count, .offset = p->access[which].offset};
  *out_row_dim = LEAT_ROWS_WHOLE;
  for (uint32_t i = 0; i < p->count; ++i) {
    a.dims[i] = p->axes[i].extent;
    a.strides[i] = p->axes[i].strides[which];
    if (p->axes[i].row) *out_row_dim = i;
  }
  return a;
}

static void emit_packed_operand(leat_draft_t *d, const product_t *p, const leat_pack_t *pack) {
  uint32_t row_dim;
  leat_access_t a = operand_access(p, 1, &row_dim);
  a.offset = 0;
  for (uint32_t i = 0; i < p->count; ++i) {
    if (p->axes[i].role == ROLE_N) a.strides[i] = 1;
    if (p->axes[i].role == ROLE_K) a.strides[i] = pack->block == 0 ? pack->access.dims[1] : pack->block;
  }
  leat_draft_arena_operand(d, pack->offset, pack->bytes, leat_graph_value(d->m->g, a.base)->dtype, &a, row_dim, false);
}

void leat_emit_contract(leat_draft_t *d, leat_op_id_t id) {
  product_t p;
  leat_pack_t packed = {0};
  uint8_t type = leat_graph_op(d->m->g, id)->type;
  leat_status_t status = read_product(d, id, &p);
  bool use_pack = status == NULL && worth_packing(d->m, &p, type);
  if (use_pack) status = pack(d->m, id, &p, &packed);
  if (status != NULL || d->status != NULL) {
    if (d->status == NULL)
      d->status = status;
    else
      leat_status_free(status);
    return;
  }
  pef_stage_t *stage = leat_draft_stage(d, PEF_STAGE_CONTRACT, id);
  for (uint32_t i = 0; i < p.count; ++i) stage->params.contract.roles[i] = p.axes[i].role;
  if (leat_dtype_is_float((leat_dtype_t)leat_graph_value(d->m->g, p.access[2].base)->dtype))
    stage->params.contract.chain =
        extent_of(&p, ROLE_K) > PEF_CHAIN_PRODUCT ? PEF_CHAIN_LONG_PRODUCT : PEF_CHAIN_PRODUCT;
  if (use_pack && packed.block != 0) {
    stage->params.contract.n_block = packed.block;
    stage->params.contract.n_block_step = packed.block * packed.access.dims[0];
    if (only_axis(&p, ROLE_N)->row && only_axis(&p, ROLE_N)->extent == d->rows) d->quantum = PANEL;
  }
  for (uint32_t which = 0; which < 3; ++which) {
    uint32_t row_dim;
    leat_access_t a = operand_access(&p, which, &row_dim);
    if (which == 1 && use_pack) {
      emit_packed_operand(d, &p, &packed);
    } else {
      leat_draft_operand(d, &a, row_dim, which == 2);
    }
  }
}
