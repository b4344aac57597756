// SPDX-License-Identifier: Apache-2.0
// See units.h.
#include "report/units.h"

static const char *const section_type_names[PEF_TYPE_COUNT] = {
    [PEF_FWD] = "fwd",       [PEF_BCKWD] = "bckwd",   [PEF_GRADNORM] = "gradnorm", [PEF_OPT] = "opt",
    [PEF_REDUCE] = "reduce", [PEF_GATHER] = "gather", [PEF_PREPARE] = "prepare",
};
static const char *const symbol_kind_names[PEF_SYMBOL_KIND_COUNT] = {
    [PEF_SYMBOL_INPUT] = "input",
    [PEF_SYMBOL_OUTPUT] = "output",
    [PEF_SYMBOL_PARAMETER] = "parameter",
    [PEF_SYMBOL_BUFFER] = "buffer",
    [PEF_SYMBOL_GRADIENT] = "gradient",
    [PEF_SYMBOL_STATE] = "state",
    [PEF_SYMBOL_HYPERPARAMETER] = "hyperparameter",
    [PEF_SYMBOL_SEED] = "seed",
    [PEF_SYMBOL_INTERNAL] = "internal",
};

const char *leat_section_type_text(uint32_t type) { return type < PEF_TYPE_COUNT ? section_type_names[type] : "?"; }
const char *leat_symbol_kind_text(uint32_t kind) {
  return kind < PEF_SYMBOL_KIND_COUNT ? symbol_kind_names[kind] : "?";
}

static void put_scaled(leat_text_t *out, double value, double step, const char *const units[5]) {
  uint32_t unit = 0;
  while (value >= step && unit < 4) {
    value /= step;
    ++unit;
  }
  leat_text_put(out, unit == 0 ? "%.0f %s" : "%.2f %s", value, units[unit]);
}

void leat_put_bytes(leat_text_t *out, double bytes) {
  static const char *const units[5] = {"B", "KiB", "MiB", "GiB", "TiB"};
  put_scaled(out, bytes, 1024, units);
}

void leat_put_flops(leat_text_t *out, double flops) {
  static const char *const units[5] = {"flop", "kflop", "Mflop", "Gflop", "Tflop"};
  put_scaled(out, flops, 1000, units);
}

void leat_put_seconds(leat_text_t *out, double seconds) {
  static const char *const units[5] = {"ns", "us", "ms", "s", "ks"};
  put_scaled(out, seconds * 1e9, 1000, units);
}

void leat_put_operand_shape(leat_text_t *out, const pef_operand_t *operand) {
  leat_text_put(out, "%s[", leat_pef_dtype_name(operand->dtype));
  bool first = true;
  for (uint32_t d = 0; d < operand->rank; ++d) {
    if (operand->strides[d] == 0) continue;
    leat_text_put(out, "%s%lld", first ? "" : ",", (long long)operand->dims[d]);
    first = false;
  }
  leat_text_put(out, "]");
}

void leat_put_stage_kinds(leat_text_t *out, const leat_pef_t *pef, const pef_body_t *body) {
  for (uint32_t i = 0, next; i < body->stage_count; i = next) {
    const uint16_t kind = pef->stages[body->stage_first + i].kind;
    for (next = i + 1; next < body->stage_count && pef->stages[body->stage_first + next].kind == kind;) ++next;
    leat_text_put(out, "%s%s", i ? " " : "", leat_pef_stage_name(kind));
    if (next - i > 1) leat_text_put(out, "*%u", next - i);
  }
}

// Length of the module path that the origin "module op source" begins with.
static size_t module_length(const char *origin) { return strcspn(origin, " "); }

static bool was_put(const leat_pef_t *pef, const pef_body_t *body, uint32_t index, const char *module, size_t length) {
  for (uint32_t i = 0; i < index; ++i) {
    const char *earlier = pef->strings + pef->stages[body->stage_first + i].origin;
    if (module_length(earlier) == length && memcmp(earlier, module, length) == 0) return true;
  }
  return false;
}

void leat_put_modules(leat_text_t *out, const leat_pef_t *pef, const pef_body_t *body, uint32_t limit) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < body->stage_count; ++i) {
    const char *module = pef->strings + pef->stages[body->stage_first + i].origin;
    const size_t length = module_length(module);
    if (length == 0 || was_put(pef, body, i, module, length)) continue;
    if (count++ == limit) {
      leat_text_put(out, ", ...");
      return;
    }
    leat_text_put(out, "%s", count > 1 ? ", " : "");
    leat_text_put_bytes(out, module, length);
  }
}
