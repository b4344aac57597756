// SPDX-License-Identifier: Apache-2.0
// CONTRACT stages: the product of the op, its chain of sums, whether its right operand has a scale, and whether it is a
// pack.
#include "map/draft_stages.h"

static void choose_chain(const leat_draft_t *d, const leat_product_t *p, pef_stage_t *stage) {
  if (!leat_dtype_is_float((leat_dtype_t)leat_graph_value(d->g, p->access[2].base)->dtype)) return;
  bool is_long = leat_product_extent(p, PEF_ROLE_K) > PEF_CHAIN_PRODUCT;
  stage->params.product.chain = is_long ? PEF_CHAIN_LONG_PRODUCT : PEF_CHAIN_PRODUCT;
}

// Rows that are columns of the result like tiles of whole panels.
static void read_panels(leat_draft_t *d, const leat_product_t *p, const leat_pack_t *pack, pef_stage_t *stage) {
  if (pack->block == 0) return;
  stage->params.product.n_block = pack->block;
  stage->params.product.n_block_step = pack->block * pack->access.dims[0];
  const leat_product_axis_t *n = leat_product_only_axis(p, PEF_ROLE_N);
  if (n->row && n->extent == d->rows) d->quantum = (uint64_t)pack->block;
}

static void draft_right_operand(leat_draft_t *d, const leat_product_t *p, const leat_packs_t *packs, uint32_t pack) {
  uint32_t row_dim, dtype = leat_graph_value(d->g, p->access[1].base)->dtype;
  leat_access_t packed = leat_pack_access(&packs->all.data[pack], p, &row_dim);
  leat_draft_operand(d, (leat_source_t){LEAT_SOURCE_PACK, false, pack}, dtype, &packed, row_dim);
}

static void draft_operand(leat_draft_t *d, const leat_product_t *p, uint32_t which) {
  uint32_t row_dim;
  const leat_access_t a = leat_product_access(p, which, &row_dim);
  leat_draft_value(d, &a, row_dim, which == 2);
}

void leat_draft_contract(leat_draft_t *d, leat_op_id_t id, uint32_t section, leat_packs_t *packs) {
  leat_product_t p;
  uint32_t pack = LEAT_NONE;
  leat_status_t status = leat_product_read(d->g, leat_graph_op(d->g, id), d->plan->row_dim[id], &p);
  if (status == NULL) status = leat_packs_choose(packs, d, section, id, &p, &pack);
  if (status != NULL) {
    leat_draft_fail(d, status);
    return;
  }
  pef_stage_t *stage = leat_draft_stage(d, p.scaled ? PEF_STAGE_CONTRACT_SCALED : PEF_STAGE_CONTRACT, id);
  for (uint32_t i = 0; i < p.count; ++i) stage->params.product.roles[i] = p.axes[i].role;
  stage->params.product.pairs = leat_product_is_paired(d->g, &p);
  choose_chain(d, &p, stage);
  if (pack != LEAT_NONE) read_panels(d, &p, &packs->all.data[pack], stage);
  draft_operand(d, &p, 0);
  if (pack != LEAT_NONE)
    draft_right_operand(d, &p, packs, pack);
  else
    draft_operand(d, &p, 1);
  if (p.scaled) draft_operand(d, &p, LEAT_PRODUCT_SCALE);
  draft_operand(d, &p, 2);
}
