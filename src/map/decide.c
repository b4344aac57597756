// SPDX-License-Identifier: Apache-2.0
#include "map/decide.h"

#include "map/draft_stages.h"
#include "map/name.h"
#include "map/panels.h"

// Stores that are not written straight to their symbols, in the order of the values.
static leat_status_t add_copies(leat_decided_t *d) {
  for (leat_value_id_t v = 0; v < d->g->values.count; ++v) {
    if (!leat_op_computes(leat_graph_op(d->g, leat_graph_value(d->g, v)->op)->kind)) continue;
    for (uint32_t i = d->uses.first[v]; i < d->uses.first[v + 1]; ++i) {
      leat_op_id_t op = d->uses.all[i].op;
      if (leat_op_is_statement(leat_graph_op(d->g, op)->kind) && !d->keeps.direct[op])
        LEAT_TRY(leat_stages_add_copy(&d->stages, d->plan, op));
    }
  }
  return NULL;
}

// What packs read of other prepare sections is there before them.
static leat_status_t order_sections(leat_decided_t *d) {
  d->order = leat_alloc_zero(d->plan->sections.count + 1u, sizeof *d->order);
  if (d->order == NULL) return leat_out_of_memory();
  for (uint32_t pass = 0; pass < 2; ++pass) {
    for (uint32_t s = 0; s < d->plan->sections.count; ++s) {
      bool prepare = d->plan->sections.data[s].type == LEAT_TYPE_PREPARE;
      if (prepare == (pass == 0) && d->stages.of[s].count != 0) d->order[d->order_count++] = s;
    }
  }
  return NULL;
}

static void draft_stage(leat_decided_t *decided, uint32_t section, const leat_stage_t *stage) {
  leat_draft_t *d = &decided->drafts[section];
  if (stage->copy_store != LEAT_NONE) {
    leat_draft_store_copy(d, stage->copy_store, &decided->symbols);
  } else if (leat_op_role(stage->kind) == LEAT_ROLE_ELEMENTWISE) {
    leat_draft_map(d, stage, &decided->keeps);
  } else if (stage->kind == LEAT_PRIM_CONTRACT) {
    leat_draft_contract(d, stage->ops.data[0], section, &decided->packs);
  } else {
    leat_draft_op(d, stage->ops.data[0]);
  }
}

static leat_status_t draft_section(leat_decided_t *d, uint32_t index) {
  const leat_section_t *section = &d->plan->sections.data[index];
  const leat_stage_list_t *stages = &d->stages.of[index];
  leat_draft_t *draft = &d->drafts[index];
  leat_draft_init(draft, d->g, d->plan, section->rows);
  draft->turns = &d->turns;
  draft->uses = &d->uses;
  draft->concats = &d->concats;
  for (uint32_t i = 0; i < stages->count && draft->status == NULL; ++i) draft_stage(d, index, &stages->data[i]);
  if (draft->status == NULL) return NULL;
  char name[LEAT_MAP_NAME_MAX];
  leat_map_name_section(d->g, section, name);
  return leat_status_annotate(leat_draft_take_status(draft), "section %u (%s)", index, name);
}

// In the order of the calls, in which packs are made as well. A section may turn out to have nothing to do: all that it
// joins is there.
static leat_status_t draft_sections(leat_decided_t *d) {
  d->drafts = leat_alloc_zero(d->plan->sections.count + 1u, sizeof *d->drafts);
  if (d->drafts == NULL) return leat_out_of_memory();
  uint32_t kept = 0;
  for (uint32_t i = 0; i < d->order_count; ++i) {
    const uint32_t section = d->order[i];
    LEAT_TRY(draft_section(d, section));
    if (d->drafts[section].stages.count != 0) d->order[kept++] = section;
  }
  d->order_count = kept;
  return NULL;
}

leat_status_t leat_map_decide(const leat_graph_t *g, const leat_plan_t *plan, const leat_map_options_t *options,
                              leat_decided_t *out_decided) {
  leat_decided_t *d = out_decided;
  *d = (leat_decided_t){.g = g,
                        .plan = plan,
                        .options = options,
                        .packs = {.arch = options->arch,
                                  .inference = options->inference,
                                  .lasting = options->inference || options->repeats,
                                  .trips = options->trips}};
  LEAT_TRY(leat_uses_collect(g, &d->uses));
  LEAT_TRY(leat_map_symbols_collect(g, &d->symbols));
  LEAT_TRY(leat_stages_make(g, plan, &d->uses, &d->stages));
  LEAT_TRY(leat_keeps_choose(g, options->arch, plan, &d->uses, &d->symbols, &d->stages, &d->keeps));
  LEAT_TRY(leat_turns_choose(g, &d->uses, &d->keeps, options->inference, &d->turns));
  LEAT_TRY(leat_concats_choose(g, plan, &d->uses, &d->symbols, &d->keeps, &d->concats));
  LEAT_TRY(add_copies(d));
  LEAT_TRY(order_sections(d));
  LEAT_TRY(draft_sections(d));
  return options->whole && options->inference ? leat_panels_choose(d) : NULL;
}

void leat_decided_deinit(leat_decided_t *d) {
  for (uint32_t s = 0; d->drafts != NULL && s < d->plan->sections.count; ++s) leat_draft_deinit(&d->drafts[s]);
  leat_free(d->drafts);
  leat_free(d->order);
  leat_packs_deinit(&d->packs);
  leat_concats_deinit(&d->concats);
  leat_turns_deinit(&d->turns);
  leat_keeps_deinit(&d->keeps);
  leat_stages_deinit(&d->stages);
  leat_map_symbols_deinit(&d->symbols);
  leat_uses_deinit(&d->uses);
}
