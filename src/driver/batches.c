// SPDX-License-Identifier: Apache-2.0
#include "driver/batches.h"

enum { FORWARD_BACKWARD = 1u << PEF_FWD | 1u << PEF_BCKWD };

// Calls of these types lie side by side, those of prepare in front of them.
static pef_loop_t around(const leat_pef_t *pef, uint32_t types) {
  pef_loop_t loop = {.flags = PEF_LOOP_APART | PEF_LOOP_BATCHES};
  while (loop.call_first < pef->call_count && pef->calls[loop.call_first].type == PEF_PREPARE) ++loop.call_first;
  for (uint32_t c = loop.call_first; c < pef->call_count && (types >> pef->calls[c].type & 1u) != 0; ++c)
    ++loop.call_count;
  return loop;
}

static bool has_type(const leat_pef_t *pef, uint32_t type) {
  for (uint32_t c = 0; c < pef->call_count; ++c)
    if (pef->calls[c].type == type) return true;
  return false;
}

// Does every gradient of a parameter have a sum? Where one has none, an update would see the last batch alone.
static leat_status_t check_sums(const leat_pef_t *pef) {
  for (uint32_t g = 0; g < pef->symbol_count; ++g) {
    const pef_symbol_t *gradient = &pef->symbols[g];
    if (gradient->kind != PEF_SYMBOL_GRADIENT || pef->symbols[gradient->of].kind != PEF_SYMBOL_PARAMETER) continue;
    bool found = false;
    for (uint32_t s = 0; s < pef->symbol_count && !found; ++s) {
      uint32_t number;
      found = pef->symbols[s].kind == PEF_SYMBOL_STATE && pef->symbols[s].of == gradient->of &&
              strcmp(leat_pef_symbol_role(pef, s, &number), "grad_sum") == 0;
    }
    if (!found) LEAT_FAIL(LEAT_INTERNAL, "the gradient %s is not added up", pef->strings + gradient->name);
  }
  return NULL;
}

static leat_status_t add_update_loop(uint32_t batches, const leat_pef_t *pef, leat_pef_writer_t *writer) {
  pef_loop_t loop = around(pef, FORWARD_BACKWARD);
  const uint32_t trip = leat_pef_find_symbol(writer, "batch__trip");
  loop.trips = batches;
  loop.trip = trip == PEF_NONE ? 0 : trip + 1;
  LEAT_TRY(check_sums(pef));
  loop.name = leat_pef_add_string(writer, "batches of an update");
  leat_pef_add_loop_around(writer, &loop);
  return NULL;
}

leat_status_t leat_batches_add_loop(const leat_compile_options_t *options, leat_pef_writer_t *writer) {
  leat_pef_t pef;
  leat_pef_view(writer, &pef);
  if (options->update_batches > 1 && has_type(&pef, PEF_BCKWD))
    return add_update_loop(options->update_batches, &pef, writer);
  pef_loop_t loop = around(&pef, ~0u);
  loop.trips = options->run_batches;
  if (loop.trips <= 1 || loop.call_count == 0) return NULL;
  loop.name = leat_pef_add_string(writer, "batches of a run");
  leat_pef_add_loop_around(writer, &loop);
  return NULL;
}
