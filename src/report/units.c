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

void leat_put_xml(leat_text_t *out, const char *text) {
  for (; *text; ++text) {
    const char c = *text;
    if (c == '&' || c == '<' || c == '>' || c == '"')
      leat_text_put(out, "&#%d;", c);
    else if ((unsigned char)c < ' ' && c != '\n')
      leat_text_put(out, "?");  // XML has no such characters
    else
      leat_text_put_bytes(out, text, 1);
  }
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

void leat_put_buffer_shape(leat_text_t *out, const leat_pef_t *pef, const pef_body_t *body,
                           const pef_buffer_t *buffer) {
  leat_text_put(out, "%s[", buffer->dtype == PEF_OPAQUE ? "bytes" : leat_pef_dtype_name(buffer->dtype));
  for (uint32_t d = 0; d < buffer->rank; ++d) {
    const uint64_t extent = leat_pef_buffer_extent(pef, body, buffer, d, leat_pef_tile_rows(body));
    leat_text_put(out, "%s%llu", d > 0 ? "," : "", (unsigned long long)extent);
  }
  leat_text_put(out, "]");
}

const char *leat_buffer_name(const leat_pef_t *pef, const pef_body_t *body, const pef_buffer_t *buffer) {
  return buffer->dtype == PEF_OPAQUE ? "scratch" : pef->strings + pef->stages[body->stage_first + buffer->first].origin;
}

void leat_put_stage_kinds(leat_text_t *out, const leat_pef_t *pef, const pef_body_t *body) {
  for (uint32_t i = 0, next; i < body->stage_count; i = next) {
    const uint16_t kind = pef->stages[body->stage_first + i].kind;
    for (next = i + 1; next < body->stage_count && pef->stages[body->stage_first + next].kind == kind;) ++next;
    leat_text_put(out, "%s%s", i ? " " : "", leat_pef_stage_name(kind));
    if (next - i > 1) leat_text_put(out, "*%u", next - i);
  }
}

void leat_put_loops(leat_text_t *out, const leat_walk_t *at) {
  for (uint32_t i = 0; i < at->depth; ++i) {
    const pef_loop_t *loop = &at->pef->loops[at->levels[i].loop];
    leat_text_put(out, "%s%s (%u trips)", i > 0 ? ", " : "", at->pef->strings + loop->name, loop->trips);
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

// A part of a module path.
typedef struct part_s {
  const char *text;
  size_t length;
  int64_t number;  // -1: not one
} part_t;

// The next part of the path at *at, which ends at `end`; empty behind the last one.
static part_t next_part(const char **at, const char *end) {
  part_t part = {.text = *at, .number = *at < end ? 0 : -1};
  while (*at < end && **at != '.') {
    const bool digit = **at >= '0' && **at <= '9';
    if (!digit || part.number > INT32_MAX) part.number = -1;
    if (digit && part.number >= 0) part.number = part.number * 10 + (**at - '0');
    ++*at, ++part.length;
  }
  if (*at < end) ++*at;
  return part;
}

static bool same_part(part_t a, part_t b) { return a.length == b.length && memcmp(a.text, b.text, a.length) == 0; }

// `from` and `to` are the paths of one module in two repetitions. Where they differ in a number, that of `module` moves
// as far; where they differ in a name, `module` takes that of `to`.
static void put_moved(leat_text_t *out, const char *module, size_t length, const char *from, size_t from_length,
                      const char *to, size_t to_length) {
  const char *ends[] = {module + length, from + from_length, to + to_length};
  if (length == from_length && memcmp(module, from, length) == 0) {
    leat_text_put_bytes(out, to, to_length);
    return;
  }
  bool along = true;
  for (bool first = true; module < ends[0]; first = false) {
    const part_t own = next_part(&module, ends[0]), a = next_part(&from, ends[1]), b = next_part(&to, ends[2]);
    const bool numbers = own.number >= 0 && a.number >= 0 && b.number >= 0;
    if (!first) leat_text_put(out, ".");
    const part_t shown = along && same_part(own, a) && b.length != 0 ? b : own;
    if (along && numbers && own.number + b.number >= a.number) {
      leat_text_put(out, "%lld", (long long)(own.number + b.number - a.number));
    } else {
      leat_text_put_bytes(out, shown.text, shown.length);
    }
    along = along && (same_part(own, a) || numbers);
  }
}

void leat_put_modules(leat_text_t *out, const leat_pef_t *pef, const pef_call_t *call, uint32_t limit) {
  const pef_body_t *body = &pef->bodies[call->body];
  const char *from = NULL, *to = pef->strings + call->name;  // the name begins with the module of the first stage
  uint32_t count = 0;
  for (uint32_t i = 0; i < body->stage_count; ++i) {
    const char *module = pef->strings + pef->stages[body->stage_first + i].origin;
    const size_t length = module_length(module);
    if (i == 0) from = module;
    if (length == 0 || was_put(pef, body, i, module, length)) continue;
    if (count++ == limit) {
      leat_text_put(out, ", ...");
      return;
    }
    leat_text_put(out, "%s", count > 1 ? ", " : "");
    put_moved(out, module, length, from, module_length(from), to, module_length(to));
  }
}
