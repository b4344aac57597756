// SPDX-License-Identifier: Apache-2.0
#include "map/pack.h"

#include "map/strip.h"
#include "space/rows.h"

void leat_packs_deinit(leat_packs_t *packs) {
  for (uint32_t i = 0; i < packs->calls.count; ++i) leat_draft_deinit(&packs->calls.data[i].draft);
  leat_array_free(&packs->calls);
  leat_array_free(&packs->all);
}

// --- what is worth packing ------------------------------------------------------------------------------------------

static bool is_fixed(const leat_graph_t *g, leat_value_id_t base, uint8_t reader_type) {
  const leat_op_t *producer = leat_graph_op(g, leat_graph_value(g, base)->op);
  if (leat_op_role(producer->kind) == LEAT_ROLE_SYMBOL)
    return leat_op_is_symbol(g, producer, LEAT_KIND_PARAM) && leat_graph_is_fixed(g, producer);
  if (leat_op_is_leaf(producer->kind)) return true;
  return producer->type == LEAT_TYPE_PREPARE && reader_type != LEAT_TYPE_PREPARE;
}

static int64_t panel(const leat_packs_t *packs) { return (int64_t)packs->arch->panel_columns; }

// A training step packs again after each update; of one with few rows, in all trips together, the engine transposes
// what is smaller as it goes. Packs take memory beside what a step keeps, which grows with the rows: of weights that
// are large beside these the engine copies what a tile reads.
static bool worth_packing(const leat_packs_t *packs, const leat_graph_t *g, const leat_product_t *p, uint8_t type) {
  const leat_arch_t *arch = packs->arch;
  const int64_t trips = packs->trips == 0 ? 1 : packs->trips, rows = leat_product_extent(p, PEF_ROLE_M) * trips;
  if (!packs->inference && rows < (int64_t)arch->pack_training_rows) return false;
  const leat_product_axis_t *n = leat_product_only_axis(p, PEF_ROLE_N);
  int64_t k, k_stride;
  if (n == NULL || leat_product_has_role(p, PEF_ROLE_BATCH)) return false;
  if (!p->scaled && leat_product_only_axis(p, PEF_ROLE_K) == NULL) return false;  // groups of k have scales
  if (!leat_product_line_of_b(p, PEF_ROLE_K, &k, &k_stride)) return false;
  if (!is_fixed(g, p->access[1].base, type)) return false;
  if (n->extent < (int64_t)arch->pack_columns_min) return false;
  if (n->extent * k < (int64_t)arch->pack_elements_min) return false;
  if (!packs->inference && n->extent * k / rows > (int64_t)arch->pack_training_elements) return false;
  if (leat_product_is_paired(g, p)) return k % 2 == 0;
  return n->strides[1] != 1 || n->extent > panel(packs);
}

// --- the calls that pack --------------------------------------------------------------------------------------------

// [panels, k, columns] as [panels, pairs, 2, columns], with the strides of the last two.
static void part_pairs(leat_access_t *a, int64_t k_stride, int64_t n_stride) {
  a->rank = 4;
  a->dims[3] = a->dims[2];
  a->dims[2] = 2;
  a->dims[1] /= 2;
  a->strides[1] *= 2;
  a->strides[2] = k_stride;
  a->strides[3] = n_stride;
}

// `columns` columns from `first`, in panels `width` wide, to their place in the pack.
static void draft_panels(leat_draft_t *d, leat_op_id_t op, const leat_pack_t *pack, uint32_t index, int64_t first,
                         int64_t columns, int64_t width) {
  const leat_access_t *kn = &pack->access;
  uint32_t dtype = leat_graph_value(d->g, kn->base)->dtype, row_dim = d->rows > 1 ? 0 : LEAT_ROWS_WHOLE;
  int64_t k = kn->dims[0];
  leat_access_t from = {.base = kn->base,
                        .rank = 3,
                        .offset = kn->offset + first * kn->strides[1],
                        .dims = {columns / width, k, width},
                        .strides = {width * kn->strides[1], kn->strides[0], kn->strides[1]}};
  leat_access_t to = {
      .rank = 3, .offset = first * k, .dims = {columns / width, k, width}, .strides = {k * width, width, 1}};
  if (pack->paired) {
    part_pairs(&from, kn->strides[0], kn->strides[1]);
    part_pairs(&to, 1, 2);
  }
  leat_draft_stage(d, PEF_STAGE_MAP, op);
  leat_draft_value(d, &from, row_dim, false);
  leat_draft_operand(d, (leat_source_t){LEAT_SOURCE_PACK, true, index}, dtype, &to, row_dim);
  leat_strip_copy(d, dtype);
}

// Packs `columns` columns from `first` in panels `width` wide, before the next stage of `reader`.
static leat_status_t add_call(leat_packs_t *packs, const leat_draft_t *reader, uint32_t section, leat_op_id_t op,
                              uint32_t index, int64_t first, int64_t columns, int64_t width) {
  if (columns == 0) return NULL;
  const leat_pack_t *pack = &packs->all.data[index];
  leat_pack_call_t *call = leat_array_push(&packs->calls);
  if (call == NULL) return leat_out_of_memory();
  leat_draft_init(&call->draft, reader->g, reader->plan, columns / width);
  call->bytes = 8.0 * (double)columns * (double)pack->access.dims[0];
  call->section = section;
  call->pack = index;
  call->stage = reader->stages.count;
  call->why = "a product reads its columns side by side";
  draft_panels(&call->draft, op, pack, index, first, columns, width);
  return leat_draft_take_status(&call->draft);
}

static uint32_t find(const leat_packs_t *packs, const leat_pack_t *pack) {
  for (uint32_t i = 0; i < packs->all.count; ++i) {
    const leat_pack_t *known = &packs->all.data[i];
    if (known->block == pack->block && known->paired == pack->paired && known->type == pack->type &&
        memcmp(&known->access, &pack->access, sizeof pack->access) == 0)
      return i;
  }
  return LEAT_NONE;
}

leat_status_t leat_packs_choose(leat_packs_t *packs, const leat_draft_t *reader, uint32_t section, leat_op_id_t op,
                                const leat_product_t *p, uint32_t *out_pack) {
  const leat_graph_t *g = reader->g;
  *out_pack = LEAT_NONE;
  const uint8_t type = leat_graph_op(g, op)->type;
  if (!worth_packing(packs, g, p, type)) return NULL;
  const leat_product_axis_t *n = leat_product_only_axis(p, PEF_ROLE_N);
  int64_t k = 0, k_stride = 0;
  (void)leat_product_line_of_b(p, PEF_ROLE_K, &k, &k_stride);
  leat_pack_t pack = {.access = {.base = p->access[1].base,
                                 .rank = 2,
                                 .offset = p->access[1].offset,
                                 .dims = {k, n->extent},
                                 .strides = {k_stride, n->strides[1]}},
                      .paired = leat_product_is_paired(g, p),
                      .type = packs->lasting ? LEAT_TYPE_PREPARE : type,
                      .first = section,
                      .last = section,
                      .symbol = LEAT_NONE};
  pack.block = n->extent > panel(packs) ? panel(packs) : pack.paired ? n->extent : 0;
  *out_pack = find(packs, &pack);
  if (*out_pack != LEAT_NONE) {
    packs->all.data[*out_pack].last = section;
    return NULL;
  }
  pack.bytes = (uint64_t)(k * n->extent) * leat_dtype_bytes(leat_graph_value(g, pack.access.base)->dtype);
  leat_pack_t *slot = leat_array_push(&packs->all);
  if (slot == NULL) return leat_out_of_memory();
  *slot = pack;
  *out_pack = packs->all.count - 1;
  int64_t width = pack.block == 0 ? n->extent : pack.block, whole = n->extent / width * width;
  LEAT_TRY(add_call(packs, reader, section, op, *out_pack, 0, whole, width));
  return add_call(packs, reader, section, op, *out_pack, whole, n->extent - whole, n->extent - whole);
}

// --- as products read them -----------------------------------------------------------------------------------------

leat_access_t leat_pack_access(const leat_pack_t *pack, const leat_product_t *p, uint32_t *out_row_dim) {
  leat_access_t a = leat_product_access(p, 1, out_row_dim);
  a.offset = 0;
  int64_t k_stride = pack->block == 0 ? pack->access.dims[1] : pack->block;
  for (uint32_t i = p->count; i-- > 0;) {
    if (p->axes[i].role == PEF_ROLE_N) a.strides[i] = 1;
    if (p->axes[i].role != PEF_ROLE_K) continue;
    a.strides[i] = k_stride;
    k_stride *= p->axes[i].extent;
  }
  return a;
}
