// SPDX-License-Identifier: Apache-2.0
// The target native: an x86-64 CPU. Tiles have to fit its scratch where a record limits it (tile.c); a section may hold
// any number of ops, unless a record has units.
#include "map/target.h"

leat_status_t leat_target_map(const leat_graph_t *g, const leat_plan_t *plan, const leat_map_options_t *options,
                              leat_pef_writer_t *writer) {
  LEAT_TRY(options->target->check(g, plan, options->arch));
  return options->target->map(g, plan, options, writer);
}

leat_status_t leat_target_check_units(const leat_graph_t *g, const leat_plan_t *plan, const leat_arch_t *arch) {
  for (uint32_t s = 0; arch->units != 0 && s < plan->sections.count; ++s) {
    const leat_section_t *section = &plan->sections.data[s];
    char text[256];
    if (section->ops.count <= arch->units) continue;
    LEAT_FAIL(LEAT_UNSUPPORTED, "section %u (%s, from %s) holds %u ops, %s has %llu units: cut it earlier", s,
              leat_section_type_name((leat_section_type_t)section->type),
              leat_op_text(g, leat_graph_op(g, section->ops.data[0]), text, sizeof text), section->ops.count,
              arch->name, (unsigned long long)arch->units);
  }
  return NULL;
}

void leat_target_describe_rates(const leat_arch_t *arch, leat_text_t *out) {
  const leat_arch_level_t level = (leat_arch_level_t)arch->level;
  const double giga = 1e9;
  leat_text_put(out, "%.3g GFLOP/s in f32 and %.3g in f64 a core (%s), %.3g GB/s",
                leat_arch_peak(arch, LEAT_ARCH_F32, level) / giga, leat_arch_peak(arch, LEAT_ARCH_F64, level) / giga,
                leat_arch_level_name(level), leat_arch_read_rate(arch, 1) / giga);
}

const leat_map_target_t leat_target_native = {
    .name = "native",
    .forms = "native, native:<l1>,<l2>,<l3>",
    .parse = leat_arch_native,
    .check = leat_target_check_units,
    .map = leat_map_native,
    .describe = leat_target_describe_rates,
};
