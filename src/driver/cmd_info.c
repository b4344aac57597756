// SPDX-License-Identifier: Apache-2.0
// leat info: what is in a PEF, as text or JSON. Reads the file alone: no memory of the program is set up, no kernel is
// made, so it is quick on files that would not fit this machine.
#include <stdio.h>

#include "driver/cmd.h"
#include "pef/pef_read.h"

typedef struct info_options_s {
  bool json;
} info_options_t;

static const leat_cmd_option_t option_table[] = {
    {"--json", NULL, "one JSON object, for programs", LEAT_CMD_FLAG, offsetof(info_options_t, json)},
};

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

static const char *text_of(const leat_pef_t *pef, uint32_t string) { return pef->strings + string; }

static uint64_t symbol_bytes(const leat_pef_t *pef) {
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < pef->symbol_count; ++i) bytes += pef->symbols[i].bytes;
  return bytes;
}

static void put_dims(leat_text_t *out, const pef_symbol_t *symbol) {
  for (uint32_t d = 0; d < symbol->rank; ++d) leat_text_put(out, "%s%lld", d ? "," : "", (long long)symbol->dims[d]);
}

// --- JSON ----------------------------------------------------------------------------------------------------
static void put_json_field(leat_text_t *out, const char *key, const char *value) {
  leat_text_put(out, "\"%s\":", key);
  leat_text_put_json_string(out, value);
}

static void put_json_stages(const leat_pef_t *pef, const pef_body_t *body, leat_text_t *out) {
  for (uint32_t i = 0; i < body->stage_count; ++i) {
    const pef_stage_t *stage = &pef->stages[body->stage_first + i];
    leat_text_put(out, "%s{", i ? "," : "");
    put_json_field(out, "kind", leat_pef_stage_name(stage->kind));
    leat_text_put(out, ",");
    put_json_field(out, "origin", text_of(pef, stage->origin));
    leat_text_put(out, "}");
  }
}

static void put_json_sections(const leat_pef_t *pef, leat_text_t *out) {
  for (uint32_t i = 0; i < pef->call_count; ++i) {
    const pef_call_t *call = &pef->calls[i];
    const pef_body_t *body = &pef->bodies[call->body];
    leat_text_put(out, "%s{", i ? "," : "");
    put_json_field(out, "type", section_type_names[call->type]);
    leat_text_put(out, ",");
    put_json_field(out, "name", text_of(pef, call->name));
    leat_text_put(out, ",");
    put_json_field(out, "why", text_of(pef, call->why));
    leat_text_put(out, ",\"body\":%u,\"rows\":%llu,\"tile_rows\":%llu,\"flops\":", call->body,
                  (unsigned long long)body->row_count, (unsigned long long)body->tile_rows_max);
    leat_text_put_double(out, call->flops);
    leat_text_put(out, ",\"bytes\":");
    leat_text_put_double(out, call->bytes);
    leat_text_put(out, ",\"stages\":[");
    put_json_stages(pef, body, out);
    leat_text_put(out, "]}");
  }
}

static void put_json_symbols(const leat_pef_t *pef, leat_text_t *out) {
  for (uint32_t i = 0; i < pef->symbol_count; ++i) {
    const pef_symbol_t *symbol = &pef->symbols[i];
    leat_text_put(out, "%s{", i ? "," : "");
    put_json_field(out, "name", text_of(pef, symbol->name));
    leat_text_put(out, ",");
    put_json_field(out, "kind", symbol_kind_names[symbol->kind]);
    leat_text_put(out, ",");
    put_json_field(out, "dtype", leat_pef_dtype_name(symbol->dtype));
    leat_text_put(out, ",\"dims\":[");
    put_dims(out, symbol);
    leat_text_put(out, "],\"bytes\":%llu", (unsigned long long)symbol->bytes);
    if (symbol->of != PEF_NONE) {
      leat_text_put(out, ",");
      put_json_field(out, "of", text_of(pef, pef->symbols[symbol->of].name));
    }
    leat_text_put(out, "}");
  }
}

static void put_json(const leat_pef_t *pef, leat_text_t *out) {
  const pef_info_t *info = pef->info;
  leat_text_put(out, "{\"version\":[%u,%u],\"file_bytes\":%llu,", pef->header->version_major,
                pef->header->version_minor, (unsigned long long)pef->header->file_bytes);
  put_json_field(out, "compiler", text_of(pef, info->compiler));
  leat_text_put(out, ",");
  put_json_field(out, "arch", text_of(pef, info->arch));
  leat_text_put(out, ",\"optim_level\":%u,\"inference\":%s,\"fingerprint\":[\"%016llx\",\"%016llx\",\"%016llx\"]",
                info->optim_level, info->inference ? "true" : "false", (unsigned long long)info->fingerprint[0],
                (unsigned long long)info->fingerprint[1], (unsigned long long)info->fingerprint[2]);
  leat_text_put(out, ",\"flops\":");
  leat_text_put_double(out, info->run_flops);
  leat_text_put(out, ",\"bytes\":");
  leat_text_put_double(out, info->run_bytes);
  leat_text_put(out,
                ",\"memory\":{\"symbols\":%llu,\"arena\":%llu,\"constants\":%llu,\"scratch_per_thread\":%llu,"
                "\"peak\":%llu},\"bodies\":%u,\"sections\":[",
                (unsigned long long)symbol_bytes(pef), (unsigned long long)info->arena_bytes,
                (unsigned long long)pef->constant_bytes, (unsigned long long)info->scratch_bytes,
                (unsigned long long)info->peak_bytes, pef->body_count);
  put_json_sections(pef, out);
  leat_text_put(out, "],\"symbols\":[");
  put_json_symbols(pef, out);
  leat_text_put(out, "],\"metadata\":%s}\n", pef->metadata);
}

// --- text ----------------------------------------------------------------------------------------------------
// 1234567 -> "1.18 MiB" for bytes (step 1024), "1.23 M" for counts (step 1000).
static void put_scaled(leat_text_t *out, double value, double step, const char *const units[5]) {
  uint32_t unit = 0;
  while (value >= step && unit < 4) {
    value /= step;
    ++unit;
  }
  leat_text_put(out, unit == 0 ? "%.0f %s" : "%.2f %s", value, units[unit]);
}
static void put_bytes(leat_text_t *out, double bytes) {
  static const char *const units[5] = {"B", "KiB", "MiB", "GiB", "TiB"};
  put_scaled(out, bytes, 1024, units);
}
static void put_flops(leat_text_t *out, double flops) {
  static const char *const units[5] = {"flop", "kflop", "Mflop", "Gflop", "Tflop"};
  put_scaled(out, flops, 1000, units);
}
// Spaces up to `column` of the line that started at `line_start`.
static void pad_to(leat_text_t *out, size_t line_start, size_t column) {
  const size_t width = out->length - line_start;
  leat_text_put(out, "%*s", width < column ? (int)(column - width) : 1, "");
}

static void put_summary(const leat_pef_t *pef, const char *path, leat_text_t *out) {
  const pef_info_t *info = pef->info;
  leat_text_put(out, "%s: PEF %u.%u, ", path, pef->header->version_major, pef->header->version_minor);
  put_bytes(out, (double)pef->header->file_bytes);
  leat_text_put(out, ", %s, by leat %s for %s at o%u\nmemory: ", info->inference ? "inference" : "training",
                text_of(pef, info->compiler), text_of(pef, info->arch), info->optim_level);
  put_bytes(out, (double)info->peak_bytes);
  leat_text_put(out, " (symbols ");
  put_bytes(out, (double)symbol_bytes(pef));
  leat_text_put(out, ", arena ");
  put_bytes(out, (double)info->arena_bytes);
  leat_text_put(out, ", constants ");
  put_bytes(out, (double)pef->constant_bytes);
  leat_text_put(out, "), and ");
  put_bytes(out, (double)info->scratch_bytes);
  leat_text_put(out, " a thread\none run: ");
  put_flops(out, info->run_flops);
  leat_text_put(out, ", ");
  put_bytes(out, info->run_bytes);
  leat_text_put(out, " moved\nfingerprint: forward %016llx, seeds %016llx, optimizers %016llx\n",
                (unsigned long long)info->fingerprint[0], (unsigned long long)info->fingerprint[1],
                (unsigned long long)info->fingerprint[2]);
}

// "map contract map*3": runs of equal kinds are counted.
static void put_stage_kinds(const leat_pef_t *pef, const pef_body_t *body, leat_text_t *out) {
  for (uint32_t i = 0, next; i < body->stage_count; i = next) {
    const uint16_t kind = pef->stages[body->stage_first + i].kind;
    for (next = i + 1; next < body->stage_count && pef->stages[body->stage_first + next].kind == kind;) ++next;
    leat_text_put(out, "%s%s", i ? " " : "", leat_pef_stage_name(kind));
    if (next - i > 1) leat_text_put(out, "*%u", next - i);
  }
}

static void put_section(const leat_pef_t *pef, uint32_t index, leat_text_t *out) {
  const pef_call_t *call = &pef->calls[index];
  const pef_body_t *body = &pef->bodies[call->body];
  const size_t start = out->length;
  leat_text_put(out, "  %3u %s", index, section_type_names[call->type]);
  pad_to(out, start, 16);
  leat_text_put(out, "%llu rows", (unsigned long long)body->row_count);
  pad_to(out, start, 28);
  put_flops(out, call->flops);
  pad_to(out, start, 42);
  put_bytes(out, call->bytes);
  pad_to(out, start, 54);
  leat_text_put(out, "%s: ", text_of(pef, call->name));
  put_stage_kinds(pef, body, out);
  if (*text_of(pef, call->why)) leat_text_put(out, "\n%*s%s", 54, "", text_of(pef, call->why));
  leat_text_put(out, "\n");
}

static void put_symbol(const leat_pef_t *pef, const pef_symbol_t *symbol, leat_text_t *out) {
  const size_t start = out->length;
  leat_text_put(out, "  %s", symbol_kind_names[symbol->kind]);
  pad_to(out, start, 18);
  leat_text_put(out, "%s[", leat_pef_dtype_name(symbol->dtype));
  put_dims(out, symbol);
  leat_text_put(out, "]");
  pad_to(out, start, 40);
  leat_text_put(out, "%s\n", text_of(pef, symbol->name));
}

static void put_text(const leat_pef_t *pef, const char *path, leat_text_t *out) {
  put_summary(pef, path, out);
  leat_text_put(out, "\nsections (%u, of %u different bodies)\n", pef->call_count, pef->body_count);
  for (uint32_t i = 0; i < pef->call_count; ++i) put_section(pef, i, out);
  leat_text_put(out, "\nsymbols (%u)\n", pef->symbol_count);
  for (uint32_t i = 0; i < pef->symbol_count; ++i) put_symbol(pef, &pef->symbols[i], out);
  leat_text_put(out, "\nmetadata\n  %s\n", pef->metadata);
}

static leat_status_t run(const void *opaque, const char *const *operands) {
  const info_options_t *options = opaque;
  leat_pef_t *pef = NULL;
  LEAT_TRY(leat_pef_open(operands[0], &pef));
  leat_text_t text = {0};
  if (options->json)
    put_json(pef, &text);
  else
    put_text(pef, operands[0], &text);
  leat_pef_close(pef);
  leat_status_t status = NULL;
  if (text.failed)
    status = leat_status_make(LEAT_OUT_OF_MEMORY, "out of memory for the description of %s", operands[0]);
  else
    fputs(text.data, stdout);
  leat_text_deinit(&text);
  return status;
}

const leat_cmd_t leat_cmd_info = {
    .name = "info",
    .usage = "info FILE.pef [--json]",
    .summary = "shows sections, symbols, memory and metadata of a PEF",
    .examples =
        "examples:\n"
        "  leat info lenet.pef\n"
        "  leat info lenet.pef --json | python3 -m json.tool\n",
    .options = option_table,
    .option_count = sizeof option_table / sizeof *option_table,
    .operand_count = 1,
    .options_bytes = sizeof(info_options_t),
    .run = run,
};
