// SPDX-License-Identifier: Apache-2.0
// leat info: what is in a PEF, as text or JSON. Reads the file alone: no memory of the program is set up, no kernel is
// made, so it is quick on files that would not fit this machine.
#include <stdio.h>

#include "driver/cmd.h"
#include "driver/targets.h"
#include "pef/legal.h"
#include "report/report.h"
#include "report/units.h"

typedef struct info_options_s {
  bool json, sections, stages, why, check;
  const char *graph, *machine;
} info_options_t;

static const leat_cmd_option_t option_table[] = {
    {"--json", NULL, "one JSON object, for programs", LEAT_CMD_FLAG, offsetof(info_options_t, json)},
    {"--sections", NULL, "one line a section as CSV: work, traffic, buffers, roofline time", LEAT_CMD_FLAG,
     offsetof(info_options_t, sections)},
    {"--stages", NULL, "one line a stage of every body as CSV: operands, work, bytes", LEAT_CMD_FLAG,
     offsetof(info_options_t, stages)},
    {"--why", NULL, "why each section was cut off where it begins, and where fusion rules matched (o1)", LEAT_CMD_FLAG,
     offsetof(info_options_t, why)},
    {"--check", NULL, "proves the plan of memory and barriers: what lives at once is apart, what is read was written",
     LEAT_CMD_FLAG, offsetof(info_options_t, check)},
    {"--graph", "FILE", "draws the sections and what flows between them: FILE.svg or FILE.dot", LEAT_CMD_TEXT,
     offsetof(info_options_t, graph)},
    {"--machine", "FILE",
     "times of this machine's record (leat machine writes one), instead of that the PEF was compiled for",
     LEAT_CMD_TEXT, offsetof(info_options_t, machine)},
};

// What is told of a PEF, and the machine whose rooflines it is told with.
typedef struct told_s {
  const leat_flow_t *flow;
  const leat_arch_t *arch;
} told_t;

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

static void put_json_tile_buffers(const leat_pef_t *pef, const pef_body_t *body, leat_text_t *out) {
  for (uint32_t i = 0; i < body->buffer_count; ++i) {
    const pef_buffer_t *buffer = &pef->buffers[body->buffer_first + i];
    leat_text_put(out, "%s{", i ? "," : "");
    put_json_field(out, "name", leat_buffer_name(pef, body, buffer));
    leat_text_put(out, ",\"shape\":\"");
    leat_put_buffer_shape(out, pef, body, buffer);
    leat_text_put(out, "\",\"bytes\":%llu,\"first_stage\":%u,\"last_stage\":%u}",
                  (unsigned long long)leat_pef_buffer_bytes(pef, body, buffer, leat_pef_tile_rows(body)), buffer->first,
                  buffer->last);
  }
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

// Bytes that a section reads and writes outside of itself, every place once: those of sections.csv.
static double moved_bytes(const leat_flow_t *flow, uint32_t call) {
  return (double)flow->totals[call].bytes_in + (double)flow->totals[call].bytes_out;
}

// Of all sections that a run has; prepare sections run once after weights change.
static double run_moved_bytes(const leat_flow_t *flow) {
  double bytes = 0;
  for (uint32_t i = 0; i < flow->pef->call_count; ++i)
    if (flow->pef->calls[i].type != PEF_PREPARE) bytes += moved_bytes(flow, i);
  return bytes;
}

// ORDER: = enum pef_when
static const char *const whens[PEF_WHEN_COUNT] = {"always", "first", "later", "last"};

// How far the axes of a body go.
static void put_axes(const leat_pef_t *pef, const pef_body_t *body, const char *between, leat_text_t *out) {
  const pef_axis_t *axes;
  const uint32_t count = leat_pef_axes(pef, body, &axes);
  for (uint32_t i = 0; i < count; ++i)
    leat_text_put(out, "%s%llu", i ? between : "", (unsigned long long)axes[i].count);
}

static void put_json_sections(const told_t *told, leat_text_t *out) {
  const leat_flow_t *flow = told->flow;
  const leat_pef_t *pef = flow->pef;
  bool memory_bound;
  for (uint32_t i = 0; i < pef->call_count; ++i) {
    const pef_call_t *call = &pef->calls[i];
    const pef_body_t *body = &pef->bodies[call->body];
    leat_text_put(out, "%s{", i ? "," : "");
    put_json_field(out, "type", leat_section_type_text(call->type));
    leat_text_put(out, ",");
    put_json_field(out, "name", text_of(pef, call->name));
    leat_text_put(out, ",");
    put_json_field(out, "why", text_of(pef, call->why));
    leat_text_put(out, ",\"when\":\"%s\"", whens[call->when]);
    leat_text_put(out, ",\"body\":%u,\"rows\":%llu,\"tile_rows\":%llu,\"axes\":[", call->body,
                  (unsigned long long)body->row_count, (unsigned long long)body->tile_rows_max);
    put_axes(pef, body, ",", out);
    leat_text_put(out, "],\"flops\":");
    leat_text_put_double(out, flow->totals[i].flops);
    leat_text_put(out, ",\"times\":%.0f,\"bytes\":", flow->totals[i].times);
    leat_text_put_double(out, moved_bytes(flow, i));
    leat_text_put(out, ",\"roofline_seconds\":");
    leat_text_put_double(out, leat_report_roofline_seconds(flow, told->arch, i, &memory_bound));
    leat_text_put(out, ",\"bound\":\"%s\",\"stages\":[", memory_bound ? "memory" : "compute");
    put_json_stages(pef, body, out);
    leat_text_put(out, "],\"tile_buffers\":[");
    put_json_tile_buffers(pef, body, out);
    leat_text_put(out, "]}");
  }
}

static void put_json_loops(const leat_pef_t *pef, leat_text_t *out) {
  for (uint32_t i = 0; i < pef->loop_count; ++i) {
    const pef_loop_t *loop = &pef->loops[i];
    leat_text_put(out, "%s{", i ? "," : "");
    put_json_field(out, "name", text_of(pef, loop->name));
    leat_text_put(out, ",\"first\":%u,\"sections\":%u,\"trips\":%u,\"batches\":%s}", loop->call_first, loop->call_count,
                  loop->trips, (loop->flags & PEF_LOOP_BATCHES) != 0 ? "true" : "false");
  }
}

static void put_json_symbols(const leat_pef_t *pef, leat_text_t *out) {
  for (uint32_t i = 0; i < pef->symbol_count; ++i) {
    const pef_symbol_t *symbol = &pef->symbols[i];
    leat_text_put(out, "%s{", i ? "," : "");
    put_json_field(out, "name", text_of(pef, symbol->name));
    leat_text_put(out, ",");
    put_json_field(out, "kind", leat_symbol_kind_text(symbol->kind));
    leat_text_put(out, ",");
    put_json_field(out, "dtype", leat_pef_dtype_name(symbol->dtype));
    leat_text_put(out, ",\"dims\":[");
    put_dims(out, symbol);
    leat_text_put(out, "],\"bytes\":%llu", (unsigned long long)symbol->bytes);
    const pef_block_t *block = leat_pef_block_of(pef, i);
    if (block != NULL)
      leat_text_put(out, ",\"blocks\":{\"dim\":%u,\"outer\":%u,\"of\":%llu}", block->dim, block->outer,
                    (unsigned long long)block->block);
    if (symbol->of != PEF_NONE) {
      leat_text_put(out, ",");
      put_json_field(out, "of", text_of(pef, pef->symbols[symbol->of].name));
    }
    leat_text_put(out, "}");
  }
}

static void put_json_machine(const leat_arch_t *arch, leat_text_t *out) {
  leat_text_put(out, ",\"machine\":{");
  put_json_field(out, "name", arch->name);
  leat_text_put(out, ",");
  put_json_field(out, "target", arch->target);
  leat_text_put(out, ",");
  put_json_field(out, "level", leat_arch_level_name((leat_arch_level_t)arch->level));
  leat_text_put(out, ",\"built_in\":%s,\"f32\":", arch->built_in ? "true" : "false");
  leat_text_put_double(out, leat_arch_peak(arch, LEAT_ARCH_F32, (leat_arch_level_t)arch->level));
  leat_text_put(out, ",\"f64\":");
  leat_text_put_double(out, leat_arch_peak(arch, LEAT_ARCH_F64, (leat_arch_level_t)arch->level));
  leat_text_put(out, ",\"read_bytes\":");
  leat_text_put_double(out, leat_arch_read_rate(arch, 1));
  leat_text_put(out, "}");
}

static void put_json(const told_t *told, leat_text_t *out) {
  const leat_flow_t *flow = told->flow;
  const leat_pef_t *pef = flow->pef;
  const pef_info_t *info = pef->info;
  leat_text_put(out, "{\"version\":[%u,%u],\"file_bytes\":%llu,\"table_bytes\":%llu,", pef->version_major,
                pef->version_minor, (unsigned long long)pef->file_bytes, (unsigned long long)leat_pef_table_bytes(pef));
  put_json_field(out, "compiler", text_of(pef, info->compiler));
  leat_text_put(out, ",");
  put_json_field(out, "arch", text_of(pef, info->arch));
  leat_text_put(out, ",\"optim_level\":%u,\"inference\":%s,\"fingerprint\":[\"%016llx\",\"%016llx\",\"%016llx\"]",
                info->optim_level, info->inference ? "true" : "false", (unsigned long long)info->fingerprint[0],
                (unsigned long long)info->fingerprint[1], (unsigned long long)info->fingerprint[2]);
  put_json_machine(told->arch, out);
  leat_text_put(out, ",\"flops\":");
  leat_text_put_double(out, info->run_flops);
  leat_text_put(out, ",\"bytes\":");
  leat_text_put_double(out, run_moved_bytes(flow));
  leat_text_put(out,
                ",\"memory\":{\"symbols\":%llu,\"arena\":%llu,\"constants\":%llu,\"scratch_per_thread\":%llu,"
                "\"peak\":%llu},\"bodies\":%u,\"sections\":[",
                (unsigned long long)symbol_bytes(pef), (unsigned long long)info->arena_bytes,
                (unsigned long long)pef->constant_bytes, (unsigned long long)leat_pef_most_scratch_bytes(pef),
                (unsigned long long)info->peak_bytes, pef->body_count);
  put_json_sections(told, out);
  leat_text_put(out, "],\"loops\":[");
  put_json_loops(pef, out);
  leat_text_put(out, "],\"symbols\":[");
  put_json_symbols(pef, out);
  leat_text_put(out, "],\"metadata\":%s}\n", pef->metadata);
}

// --- text ----------------------------------------------------------------------------------------------------
// Spaces up to `column` of the line that started at `line_start`.
static void pad_to(leat_text_t *out, size_t line_start, size_t column) {
  const size_t width = out->length - line_start;
  leat_text_put(out, "%*s", width < column ? (int)(column - width) : 1, "");
}

static double run_roofline_seconds(const told_t *told) {
  bool memory_bound;
  double seconds = 0;
  for (uint32_t i = 0; i < told->flow->pef->call_count; ++i)
    if (told->flow->pef->calls[i].type != PEF_PREPARE)
      seconds += leat_report_roofline_seconds(told->flow, told->arch, i, &memory_bound);
  return seconds;
}

static void put_machine(const told_t *told, leat_text_t *out) {
  const leat_map_target_t *target = leat_target_named(leat_targets, told->arch->target);
  leat_text_put(out, "a core of %s%s takes at least ", told->arch->name, told->arch->built_in ? " (built in)" : "");
  leat_put_seconds(out, run_roofline_seconds(told));
  leat_text_put(out, ": ");
  (target != NULL ? target->describe : leat_target_describe_rates)(told->arch, out);
  leat_text_put(out, "\n");
}

static void put_summary(const told_t *told, const char *path, leat_text_t *out) {
  const leat_flow_t *flow = told->flow;
  const leat_pef_t *pef = flow->pef;
  const pef_info_t *info = pef->info;
  leat_text_put(out, "%s: PEF %u.%u, ", path, pef->version_major, pef->version_minor);
  leat_put_bytes(out, (double)pef->file_bytes);
  if (pef->family_count != 0) {
    leat_text_put(out, " for ");
    leat_put_bytes(out, (double)leat_pef_table_bytes(pef));
    leat_text_put(out, " of tables");
  }
  leat_arch_t made_for;
  leat_arch_of_pef(text_of(pef, info->arch), &made_for);
  leat_text_put(out, ", %s, by leat %s for %s at o%u\nmemory: ", info->inference ? "inference" : "training",
                text_of(pef, info->compiler), made_for.name, info->optim_level);
  leat_put_bytes(out, (double)info->peak_bytes);
  leat_text_put(out, " (symbols ");
  leat_put_bytes(out, (double)symbol_bytes(pef));
  leat_text_put(out, ", arena ");
  leat_put_bytes(out, (double)info->arena_bytes);
  leat_text_put(out, ", constants ");
  leat_put_bytes(out, (double)pef->constant_bytes);
  leat_text_put(out, "), and ");
  leat_put_bytes(out, (double)leat_pef_most_scratch_bytes(pef));
  leat_text_put(out, " a thread\none run: ");
  leat_put_flops(out, info->run_flops);
  leat_text_put(out, ", ");
  leat_put_bytes(out, run_moved_bytes(flow));
  leat_text_put(out, " moved\n");
  put_machine(told, out);
  leat_text_put(out, "fingerprint: forward %016llx, seeds %016llx, optimizers %016llx\n",
                (unsigned long long)info->fingerprint[0], (unsigned long long)info->fingerprint[1],
                (unsigned long long)info->fingerprint[2]);
}

static void put_section(const told_t *told, uint32_t index, leat_text_t *out) {
  const leat_flow_t *flow = told->flow;
  const leat_pef_t *pef = flow->pef;
  bool memory_bound;
  const pef_call_t *call = &pef->calls[index];
  const pef_body_t *body = &pef->bodies[call->body];
  const size_t start = out->length;
  leat_text_put(out, "  %3u %s", index, leat_section_type_text(call->type));
  pad_to(out, start, 16);
  leat_text_put(out, "%llu rows", (unsigned long long)body->row_count);
  if (leat_pef_axes(pef, body, &(const pef_axis_t *){0}) != 0) leat_text_put(out, " x ");
  put_axes(pef, body, " x ", out);
  pad_to(out, start, 28);
  leat_put_flops(out, flow->totals[index].flops);
  pad_to(out, start, 42);
  leat_put_bytes(out, moved_bytes(flow, index));
  pad_to(out, start, 54);
  leat_put_seconds(out, leat_report_roofline_seconds(flow, told->arch, index, &memory_bound));
  pad_to(out, start, 64);
  leat_text_put(out, "%s: ", text_of(pef, call->name));
  leat_put_stage_kinds(out, pef, body);
  if (*text_of(pef, call->why)) leat_text_put(out, "\n%*s%s", 64, "", text_of(pef, call->why));
  leat_text_put(out, "\n");
}

// The loops that begin here. What is said of their sections is of all trips together.
static void put_loops_from(const leat_walk_t *at, leat_text_t *out) {
  for (uint32_t i = 0; i < at->depth; ++i) {
    const pef_loop_t *loop = &at->pef->loops[at->levels[i].loop];
    if (loop->call_first != at->call) continue;
    leat_text_put(out, "      %u trips of section%s %u", loop->trips, loop->call_count > 1 ? "s" : "",
                  loop->call_first);
    if (loop->call_count > 1) leat_text_put(out, " to %u", loop->call_first + loop->call_count - 1);
    leat_text_put(out, ": %s\n", text_of(at->pef, loop->name));
  }
}

static void put_batches(const leat_pef_t *pef, uint32_t call, leat_text_t *out) {
  const pef_loop_t *loop = leat_pef_batches(pef);
  if (loop == NULL || loop->call_first != call) return;
  leat_text_put(out, "      %u %s, a run each: sections %u to %u%s\n", loop->trips, text_of(pef, loop->name),
                loop->call_first, loop->call_first + loop->call_count - 1,
                loop->call_first + loop->call_count < pef->call_count ? "; those behind run with the last" : "");
}

static void put_symbol(const leat_pef_t *pef, uint32_t index, leat_text_t *out) {
  const pef_symbol_t *symbol = &pef->symbols[index];
  const pef_block_t *block = leat_pef_block_of(pef, index);
  const size_t start = out->length;
  leat_text_put(out, "  %s", leat_symbol_kind_text(symbol->kind));
  pad_to(out, start, 18);
  leat_text_put(out, "%s[", leat_pef_dtype_name(symbol->dtype));
  put_dims(out, symbol);
  leat_text_put(out, "]");
  pad_to(out, start, 40);
  leat_text_put(out, "%s", text_of(pef, symbol->name));
  if (block != NULL) leat_text_put(out, " (dim %u in blocks of %llu)", block->dim, (unsigned long long)block->block);
  leat_text_put(out, "\n");
}

static void put_tile_buffer(const leat_pef_t *pef, const pef_body_t *body, const pef_buffer_t *buffer,
                            leat_text_t *out) {
  const size_t start = out->length;
  leat_text_put(out, "    ");
  leat_put_buffer_shape(out, pef, body, buffer);
  pad_to(out, start, 28);
  leat_put_bytes(out, (double)leat_pef_buffer_bytes(pef, body, buffer, leat_pef_tile_rows(body)));
  pad_to(out, start, 40);
  leat_text_put(out, "stages %u to %u", buffer->first, buffer->last);
  pad_to(out, start, 60);
  leat_text_put(out, "%s\n", leat_buffer_name(pef, body, buffer));
}

// Of each body once, under the first section that is of it.
static void put_tile_buffers(const leat_pef_t *pef, leat_text_t *out) {
  bool *seen = leat_alloc_zero(pef->body_count + 1u, sizeof *seen);
  if (seen == NULL) out->failed = true;
  for (uint32_t i = 0; seen != NULL && i < pef->call_count; ++i) {
    const pef_call_t *call = &pef->calls[i];
    const pef_body_t *body = &pef->bodies[call->body];
    if (seen[call->body] || body->buffer_count == 0) continue;
    seen[call->body] = true;
    leat_text_put(out, "  %3u %s %s: ", i, leat_section_type_text(call->type), text_of(pef, call->name));
    leat_put_bytes(out, (double)leat_pef_scratch_bytes(pef, body));
    leat_text_put(out, "\n");
    for (uint32_t b = 0; b < body->buffer_count; ++b)
      put_tile_buffer(pef, body, &pef->buffers[body->buffer_first + b], out);
  }
  leat_free(seen);
}

static void put_text(const told_t *told, const char *path, leat_text_t *out) {
  const leat_pef_t *pef = told->flow->pef;
  put_summary(told, path, out);
  leat_text_put(out, "\nsections (%u, of %u different bodies)\n", pef->call_count, pef->body_count);
  for (leat_walk_t at = leat_walk_start(pef, 1); leat_walk_next(&at);) {
    put_batches(pef, at.call, out);
    put_loops_from(&at, out);
    put_section(told, at.call, out);
  }
  leat_text_put(out, "\ntile buffers (%u)\n", pef->buffer_count);
  put_tile_buffers(pef, out);
  leat_text_put(out, "\nsymbols (%u)\n", pef->symbol_count);
  for (uint32_t i = 0; i < pef->symbol_count; ++i) put_symbol(pef, i, out);
  leat_text_put(out, "\nmetadata\n  %s\n", pef->metadata);
}

static void put_why(const leat_pef_t *pef, leat_text_t *out) {
  for (uint32_t i = 0; i < pef->call_count; ++i) {
    const pef_call_t *call = &pef->calls[i];
    const size_t start = out->length;
    leat_text_put(out, "%3u %s", i, leat_section_type_text(call->type));
    pad_to(out, start, 14);
    leat_text_put(out, "%s: %s\n", text_of(pef, call->name), text_of(pef, call->why));
  }
}

// What the compiler said of fusion rules lies beside the PEF; a PEF that was moved alone has lost it.
static void put_fusion(const char *pef_path, leat_text_t *out) {
  const char *slash = strrchr(pef_path, '/');
  leat_text_t path = {0};
  if (slash != NULL) leat_text_put_bytes(&path, pef_path, (size_t)(slash + 1 - pef_path));
  leat_text_put(&path, "fusion.txt");
  leat_mapping_t file;
  leat_status_t status = path.failed ? NULL : leat_file_map(path.data, &file);
  if (!path.failed && status == NULL) {
    leat_text_put(out, "\n");
    leat_text_put_bytes(out, (const char *)file.data, file.data_bytes);
    leat_file_unmap(&file);
  }
  leat_status_free(status);
  leat_text_deinit(&path);
}

static leat_status_t put_flow(const info_options_t *options, const told_t *told, const char *path, leat_text_t *out) {
  if (options->sections) return leat_report_sections(told->flow, told->arch, out);
  if (options->json)
    put_json(told, out);
  else
    put_text(told, path, out);
  return NULL;
}

// A line a finding, as far as they are kept.
static leat_status_t put_check(const leat_pef_t *pef, const char *path, leat_text_t *out) {
  leat_findings_t found;
  LEAT_TRY(leat_legal_find(pef, &found));
  const unsigned long long count = found.count;
  for (uint32_t i = 0; i < found.list.count; ++i) {
    leat_finding_put(pef, &found.list.data[i], out);
    leat_text_put(out, "\n");
  }
  leat_findings_deinit(&found);
  if (count == 0) {
    leat_text_put(out, "%s: the plan of memory and barriers is legal\n", path);
    return NULL;
  }
  LEAT_FAIL(LEAT_CORRUPT, "%s: the plan of memory and barriers is not legal, %llu findings; compile again", path,
            count);
}

// The machine that the file was compiled for, or that of --machine: rates of another target say nothing of its
// sections.
static leat_status_t choose_machine(const info_options_t *options, const leat_pef_t *pef, leat_arch_t *out_arch) {
  leat_arch_t compiled;
  leat_arch_of_pef(text_of(pef, pef->info->arch), &compiled);
  *out_arch = compiled;
  if (options->machine == NULL) return NULL;
  LEAT_TRY(leat_arch_read_file(options->machine, out_arch));
  if (strcmp(out_arch->target, compiled.target) == 0) return NULL;
  LEAT_FAIL(LEAT_INVALID_ARGUMENT, "--machine %s: a record of the target '%s', and the PEF was compiled for '%s'",
            options->machine, out_arch->target, compiled.target);
}

static int outputs_asked(const info_options_t *options) {
  return options->json + options->sections + options->stages + options->why + options->check;
}

static leat_status_t describe(const info_options_t *options, const leat_pef_t *pef, const char *path,
                              leat_text_t *out) {
  leat_arch_t arch;
  LEAT_TRY(choose_machine(options, pef, &arch));
  if (options->graph != NULL) {
    LEAT_TRY(leat_report_write_graph(pef, &arch, options->graph));
    if (outputs_asked(options) == 0) return NULL;
  }
  if (options->check) return put_check(pef, path, out);
  if (options->stages) {
    leat_report_stages(pef, out);
    return NULL;
  }
  if (options->why) {
    put_why(pef, out);
    put_fusion(path, out);
    return NULL;
  }
  leat_flow_t flow;
  LEAT_TRY(leat_flow_find(pef, &flow));
  leat_status_t status = put_flow(options, &(told_t){&flow, &arch}, path, out);
  leat_flow_deinit(&flow);
  return status;
}

static leat_status_t run(const void *opaque, const char *const *operands) {
  const info_options_t *options = opaque;
  if (outputs_asked(options) > 1)
    LEAT_FAIL(LEAT_INVALID_ARGUMENT,
              "--json, --sections, --stages, --why and --check are different outputs: ask for one");
  leat_pef_t *pef = NULL;
  LEAT_TRY(leat_pef_open(operands[0], &pef));
  leat_text_t text = {0};
  leat_status_t status = describe(options, pef, operands[0], &text);
  leat_pef_close(pef);
  if (status == NULL && text.failed)
    status = leat_status_make(LEAT_OUT_OF_MEMORY, "out of memory for the description of %s", operands[0]);
  else if (text.length > 0)
    fputs(text.data, stdout);
  leat_text_deinit(&text);
  return status;
}

const leat_cmd_t leat_cmd_info = {
    .name = "info",
    .usage = "info FILE.pef [--json | --sections | --stages | --why | --check] [--graph FILE] [--machine FILE]",
    .summary = "shows sections, symbols, memory and metadata of a PEF",
    .examples =
        "examples:\n"
        "  leat info lenet.pef\n"
        "  leat info lenet.pef --json | python3 -m json.tool\n"
        "  leat info lenet.pef --sections > sections.csv\n"
        "  leat info lenet.pef --graph lenet.svg\n"
        "  leat machine -o here.machine && leat info lenet.pef --machine here.machine\n",
    .options = option_table,
    .option_count = sizeof option_table / sizeof *option_table,
    .operand_count = 1,
    .options_bytes = sizeof(info_options_t),
    .run = run,
};
