// SPDX-License-Identifier: Apache-2.0
// The cutter: pieces in their order, each into sections, then the stores.
#include "cut/cut.h"

#include "cut/cutter.h"
#include "cut/decision.h"

static double value_bytes(const leat_cutter_t *c, uint8_t type) {
  double bytes = 0;
  for (uint32_t i = 0; i < c->plan->sections.count; ++i) {
    const leat_section_t *section = &c->plan->sections.data[i];
    if (section->type == type) bytes += section->row_bytes * (double)section->rows;
  }
  return bytes;
}

// Spatial mapping: every type in one section. Prepare sections do not count, they are not part of a run. A type that
// rows do not carry through becomes one row, where that is small enough: then *out_again.
static leat_status_t check_spatial(leat_cutter_t *c, bool *out_again) {
  uint32_t count[LEAT_TYPE_COUNT] = {0}, second[LEAT_TYPE_COUNT] = {0};
  for (uint32_t i = 0; i < c->plan->sections.count; ++i) {
    uint8_t type = c->plan->sections.data[i].type;
    if (++count[type] == 2) second[type] = i;
  }
  for (uint8_t type = 0; type < LEAT_TYPE_PREPARE; ++type) {
    if (count[type] < 2) continue;
    if (!c->one_row[type] && value_bytes(c, type) <= (double)c->options->arch->one_row_bytes) {
      c->one_row[type] = *out_again = true;
      continue;
    }
    const leat_section_t *section = &c->plan->sections.data[second[type]];
    char text[256] = "a store";
    if (section->ops.count != 0) leat_op_text(c->g, leat_graph_op(c->g, section->ops.data[0]), text, sizeof text);
    LEAT_FAIL(
        LEAT_UNSUPPORTED,
        "--mapping spatial: %s does not fit one section, it takes %u: the second begins at %s, which %s; change the "
        "model there or compile with --mapping section",
        leat_section_type_name(type), count[type], text, section->why);
  }
  return NULL;
}

static void forget_sections(leat_plan_t *plan) {
  for (uint32_t i = 0; i < plan->sections.count; ++i) {
    leat_array_free(&plan->sections.data[i].ops);
    leat_array_free(&plan->sections.data[i].stores);
  }
  leat_array_free(&plan->sections);
  leat_array_free(&plan->pieces);
}

static leat_status_t cut_once(leat_cutter_t *c) {
  if (c->options->decisions != NULL) {
    LEAT_TRY(leat_cut_decided(c));
  } else {
    LEAT_TRY(leat_cut_order(c));
    for (uint32_t i = 0; i < c->plan->pieces.count; ++i) {
      LEAT_TRY(leat_cut_piece(c, &c->plan->pieces.data[i]));
      LEAT_TRY(leat_cut_to_readers(c, &c->plan->pieces.data[i]));
    }
  }
  return leat_cut_stores(c);
}

static leat_status_t cut_all(leat_cutter_t *c) {
  LEAT_TRY(leat_uses_collect(c->g, &c->uses));
  bool again = true;
  while (again) {
    again = false;
    LEAT_TRY(cut_once(c));
    if (c->options->spatial) LEAT_TRY(check_spatial(c, &again));
    if (!again) break;
    forget_sections(c->plan);
    memset(c->plan->section_of, 0xff, (c->g->ops.count + 1) * sizeof *c->plan->section_of);
    memset(c->plan->row_dim, LEAT_ROWS_WHOLE, c->g->ops.count + 1);
  }
  return NULL;
}

leat_status_t leat_cut(const leat_graph_t *g, const leat_cut_options_t *options, leat_plan_t *out_plan) {
  memset(out_plan, 0, sizeof *out_plan);
  leat_arena_init(&out_plan->strings);
  uint32_t count = g->ops.count + 1;  // never zero bytes
  out_plan->section_of = leat_alloc_zero(count, sizeof *out_plan->section_of);
  out_plan->row_dim = leat_alloc_zero(count, sizeof *out_plan->row_dim);
  out_plan->order = leat_alloc_zero(count, sizeof *out_plan->order);
  leat_status_t status = NULL;
  if (out_plan->section_of == NULL || out_plan->row_dim == NULL || out_plan->order == NULL) {
    status = leat_out_of_memory();
  } else {
    memset(out_plan->section_of, 0xff, count * sizeof *out_plan->section_of);
    memset(out_plan->row_dim, LEAT_ROWS_WHOLE, count);
    leat_cutter_t c = {.g = g, .options = options, .plan = out_plan};
    status = cut_all(&c);
    leat_uses_deinit(&c.uses);
  }
  if (status != NULL) leat_plan_deinit(out_plan);
  return leat_status_annotate(status, "cutting sections");
}

void leat_plan_deinit(leat_plan_t *plan) {
  forget_sections(plan);
  leat_free(plan->section_of);
  leat_free(plan->row_dim);
  leat_free(plan->order);
  leat_arena_deinit(&plan->strings);
  memset(plan, 0, sizeof *plan);
}
