// SPDX-License-Identifier: Apache-2.0
// Packs: copies of fixed right operands of products, whose columns then lie side by side in panels, made once however
// many products read them. Those that last are made by prepare calls, and again when parameters have changed. Where
// that is so in every run, a pack is made just before it is read, and its memory serves others then.
#ifndef LEAT_MAP_PACK_H_
#define LEAT_MAP_PACK_H_

#include "map/draft.h"
#include "map/product.h"

typedef struct leat_pack_s {
  leat_access_t access;  // what is packed, as [k, n] with dims 0 and 1
  int64_t block;         // width of the panels; 0: plain [k, n]
  bool paired;           // in pairs of k: panels [k / 2, block, 2]
  uint64_t bytes;
  uint8_t type;          // of the calls that make it, leat_section_type_t
  uint32_t first, last;  // the sections that read it
  uint32_t symbol;       // that lies as the pack would, so that nothing is copied; LEAT_NONE: none does
  bool only;             // nothing else reads what is packed, in whole, but lookups, which read the pack
  uint32_t dim;          // `only`: that of the columns
  uint32_t maker;        // `only`, and no symbol: the section that makes what is packed, which the pack follows
} leat_pack_t;

// A call that fills a pack, or the rest of it, or makes what else a stage reads (lookup.h).
typedef struct leat_pack_call_s {
  leat_draft_t draft;
  double bytes;             // that it moves
  uint32_t section, stage;  // it comes before that stage of the draft of that section
  uint32_t pack;
  const char *why;
} leat_pack_call_t;

typedef struct leat_packs_s {
  const leat_arch_t *arch;
  bool inference;  // the program only infers
  bool lasting;    // parameters change less often than products read them
  uint32_t trips;  // as in map.h
  LEAT_ARRAY(leat_pack_t) all;
  LEAT_ARRAY(leat_pack_call_t) calls;  // in the order of the products that first read them
} leat_packs_t;

void leat_packs_deinit(leat_packs_t *packs);
// The pack that product `op`, the next stage of `reader` (the draft of `section`), reads as its right operand, which is
// made where it is new; LEAT_NONE: packing is not worth it, or the operand is not fixed.
leat_status_t leat_packs_choose(leat_packs_t *packs, const leat_draft_t *reader, uint32_t section, leat_op_id_t op,
                                const leat_product_t *p, uint32_t *out_pack) LEAT_MUST_USE;
// The right operand as it lies in the pack, whole panels aside.
leat_access_t leat_pack_access(const leat_pack_t *pack, const leat_product_t *p, uint32_t *out_row_dim);

#endif
