// SPDX-License-Identifier: Apache-2.0
// sections.csv, memory.json, and the table of stages.
#include "pef/pef_cost.h"
#include "report/report.h"
#include "report/units.h"

double leat_report_roofline_seconds(const leat_flow_t *flow, const leat_arch_t *arch, uint32_t call,
                                    bool *out_memory_bound) {
  const leat_flow_totals_t *totals = &flow->totals[call];
  const pef_call_t *file = &flow->pef->calls[call];
  const bool is_f64 = leat_pef_body_is_f64(flow->pef, &flow->pef->bodies[file->body]);
  const leat_arch_roofline_t one_core = {(leat_arch_level_t)arch->level, is_f64 ? LEAT_ARCH_F64 : LEAT_ARCH_F32, 1};
  return leat_arch_roofline(arch, one_core, totals->flops, (double)(totals->bytes_in + totals->bytes_out),
                            out_memory_bound);
}

// A field of RFC 4180: quoted, quotes doubled.
static void put_field(leat_text_t *out, const char *text) {
  leat_text_put(out, "\"");
  for (; *text; ++text) leat_text_put(out, *text == '"' ? "\"\"" : "%c", *text);
  leat_text_put(out, "\"");
}

static void put_loops_field(leat_text_t *out, const leat_walk_t *at) {
  leat_text_t loops = {0};
  leat_put_loops(&loops, at);
  put_field(out, loops.data != NULL ? loops.data : "");
  out->failed |= loops.failed;
  leat_text_deinit(&loops);
}

static void put_modules_field(leat_text_t *out, const leat_pef_t *pef, const pef_call_t *call) {
  leat_text_t modules = {0};
  leat_put_modules(&modules, pef, call, UINT32_MAX);
  put_field(out, modules.data != NULL ? modules.data : "");
  out->failed |= modules.failed;
  leat_text_deinit(&modules);
}

static void put_ops_field(leat_text_t *out, const leat_pef_t *pef, const pef_body_t *body) {
  leat_text_put(out, "\"");
  leat_put_stage_kinds(out, pef, body);
  leat_text_put(out, "\"");
}

leat_status_t leat_report_sections(const leat_flow_t *flow, const leat_arch_t *arch, leat_text_t *out) {
  const leat_pef_t *pef = flow->pef;
  leat_text_put(out,
                "section,type,name,why,body,rows,tile_rows,stages,ops,modules,flops,bytes_in,parameter_bytes,bytes_out,"
                "buffers,scratch_bytes,roofline_us,bound,machine,times,loops\r\n");
  for (leat_walk_t at = leat_walk_start(pef, 1); leat_walk_next(&at);) {
    const uint32_t c = at.call;
    const pef_call_t *call = &pef->calls[c];
    const pef_body_t *body = &pef->bodies[call->body];
    const leat_flow_totals_t *totals = &flow->totals[c];
    bool memory_bound;
    const double seconds = leat_report_roofline_seconds(flow, arch, c, &memory_bound);
    leat_text_put(out, "%u,%s,", c, leat_section_type_text(call->type));
    put_field(out, pef->strings + call->name);
    leat_text_put(out, ",");
    put_field(out, pef->strings + call->why);
    leat_text_put(out, ",%u,%llu,%llu,%u,", call->body, (unsigned long long)body->row_count,
                  (unsigned long long)body->tile_rows_max, body->stage_count);
    put_ops_field(out, pef, body);
    leat_text_put(out, ",");
    put_modules_field(out, pef, call);
    leat_text_put(out, ",%.0f,%llu,%llu,%llu,%u,%llu,%.3f,%s,", totals->flops, (unsigned long long)totals->bytes_in,
                  (unsigned long long)totals->parameter_bytes, (unsigned long long)totals->bytes_out, totals->buffers,
                  (unsigned long long)leat_pef_scratch_bytes(pef, body), seconds * 1e6,
                  memory_bound ? "memory" : "compute");
    put_field(out, arch->name);
    leat_text_put(out, ",%.0f,", totals->times);
    put_loops_field(out, &at);
    leat_text_put(out, "\r\n");
  }
  return NULL;
}

// --- stages --------------------------------------------------------------------------------------------------

// Bytes of the operands that a stage reads, or writes, in one space.
static double space_bytes(const leat_pef_t *pef, const pef_stage_t *stage, uint32_t space, bool written) {
  double bytes = 0;
  for (leat_operand_use_t use = {0}; leat_flow_next(pef, stage, &use);)
    if (use.written == written && use.operand->space == space) bytes += leat_pef_operand_bytes(pef, stage, use.index);
  return bytes;
}

// Shapes of what it reads > of what it writes.
static void put_shapes_field(leat_text_t *out, const leat_pef_t *pef, const pef_stage_t *stage) {
  bool written = false, first = true;
  leat_text_put(out, "\"");
  for (leat_operand_use_t use = {0}; leat_flow_next(pef, stage, &use); written = use.written, first = false) {
    leat_text_put(out, use.written && !written ? (first ? "> " : " > ") : (first ? "" : " "));
    leat_put_operand_shape(out, use.operand);
  }
  leat_text_put(out, "\"");
}

void leat_report_stages(const leat_pef_t *pef, leat_text_t *out) {
  leat_text_put(out,
                "body,stage,kind,origin,shapes,flops,argument_bytes_in,argument_bytes_out,scratch_bytes_in,"
                "scratch_bytes_out,tile_bytes\r\n");
  for (uint32_t b = 0; b < pef->body_count; ++b) {
    const pef_body_t *body = &pef->bodies[b];
    for (uint32_t s = 0; s < body->stage_count; ++s) {
      const pef_stage_t *stage = &pef->stages[body->stage_first + s];
      leat_text_put(out, "%u,%u,%s,", b, s, leat_pef_stage_name(stage->kind));
      put_field(out, pef->strings + stage->origin);
      leat_text_put(out, ",");
      put_shapes_field(out, pef, stage);
      leat_text_put(out, ",%.0f,%.0f,%.0f,%.0f,%.0f,%llu\r\n", leat_pef_stage_flops(pef, body, stage),
                    space_bytes(pef, stage, PEF_SPACE_ARGUMENT, false),
                    space_bytes(pef, stage, PEF_SPACE_ARGUMENT, true),
                    space_bytes(pef, stage, PEF_SPACE_SCRATCH, false), space_bytes(pef, stage, PEF_SPACE_SCRATCH, true),
                    (unsigned long long)leat_pef_scratch_bytes(pef, body));
    }
  }
}

// --- memory.json ---------------------------------------------------------------------------------------------

static uint64_t kind_bytes(const leat_pef_t *pef, uint32_t kind) {
  uint64_t bytes = 0;
  for (uint32_t s = 0; s < pef->symbol_count; ++s) bytes += pef->symbols[s].kind == kind ? pef->symbols[s].bytes : 0;
  return bytes;
}

static void put_kinds(const leat_pef_t *pef, leat_text_t *out) {
  leat_text_put(out, "  \"by_kind\": {");
  for (uint32_t kind = 0; kind < PEF_SYMBOL_KIND_COUNT; ++kind)
    leat_text_put(out, "%s\"%s\": %llu", kind > 0 ? ", " : "", leat_symbol_kind_text(kind),
                  (unsigned long long)kind_bytes(pef, kind));
  leat_text_put(out, "},\n");
}

static void put_symbols(const leat_pef_t *pef, leat_text_t *out) {
  leat_text_put(out, "  \"symbols\": [");
  for (uint32_t s = 0; s < pef->symbol_count; ++s) {
    const pef_symbol_t *symbol = &pef->symbols[s];
    leat_text_put(out, "%s\n    {\"name\": ", s > 0 ? "," : "");
    leat_text_put_json_string(out, pef->strings + symbol->name);
    leat_text_put(out, ", \"kind\": \"%s\", \"dtype\": \"%s\", \"shape\": [", leat_symbol_kind_text(symbol->kind),
                  leat_pef_dtype_name(symbol->dtype));
    for (uint32_t d = 0; d < symbol->rank; ++d)
      leat_text_put(out, "%s%lld", d > 0 ? ", " : "", (long long)symbol->dims[d]);
    leat_text_put(out, "], \"bytes\": %llu}", (unsigned long long)symbol->bytes);
  }
  leat_text_put(out, "\n  ],\n");
}

static void put_buffers(const leat_flow_t *flow, leat_text_t *out) {
  leat_text_put(out, "  \"buffers\": [");
  for (uint32_t b = 0; b < flow->buffers.count; ++b) {
    const leat_flow_buffer_t *buffer = &flow->buffers.data[b];
    leat_text_put(out,
                  "%s\n    {\"offset\": %llu, \"bytes\": %llu, \"written_by\": %u, \"last_read_by\": %u, \"shape\": \"",
                  b > 0 ? "," : "", (unsigned long long)buffer->begin,
                  (unsigned long long)(buffer->end - buffer->begin), buffer->first, buffer->last);
    leat_put_operand_shape(out, buffer->operand);
    leat_text_put(out, "\"}");
  }
  leat_text_put(out, "\n  ],\n");
}

static void put_tile_buffers(const leat_pef_t *pef, leat_text_t *out) {
  const char *before = "";
  leat_text_put(out, "  \"tile_buffers\": [");
  for (uint32_t b = 0; b < pef->body_count; ++b) {
    const pef_body_t *body = &pef->bodies[b];
    for (uint32_t i = body->buffer_first; i < body->buffer_first + body->buffer_count; ++i, before = ",") {
      const pef_buffer_t *buffer = &pef->buffers[i];
      leat_text_put(out, "%s\n    {\"body\": %u, \"name\": ", before, b);
      leat_text_put_json_string(out, leat_buffer_name(pef, body, buffer));
      leat_text_put(out, ", \"bytes\": %llu, \"first_stage\": %u, \"last_stage\": %u",
                    (unsigned long long)leat_pef_buffer_bytes(pef, body, buffer, leat_pef_tile_rows(body)),
                    buffer->first, buffer->last);
      if (pef->layout_count != 0) leat_text_put(out, ", \"offset\": %llu", (unsigned long long)pef->layout[i].offset);
      leat_text_put(out, ", \"shape\": \"");
      leat_put_buffer_shape(out, pef, body, buffer);
      leat_text_put(out, "\"}");
    }
  }
  leat_text_put(out, "\n  ]\n");
}

leat_status_t leat_report_memory(const leat_flow_t *flow, const leat_arch_t *arch, leat_text_t *out) {
  (void)arch;
  const leat_pef_t *pef = flow->pef;
  uint64_t symbols = 0;
  for (uint32_t s = 0; s < pef->symbol_count; ++s) symbols += pef->symbols[s].bytes;
  leat_text_put(out,
                "{\n  \"peak_bytes\": %llu,\n  \"symbol_bytes\": %llu,\n  \"arena_bytes\": %llu,\n"
                "  \"constant_bytes\": %llu,\n  \"scratch_bytes_per_thread\": %llu,\n",
                (unsigned long long)pef->info->peak_bytes, (unsigned long long)symbols,
                (unsigned long long)pef->info->arena_bytes, (unsigned long long)pef->constant_bytes,
                (unsigned long long)leat_pef_most_scratch_bytes(pef));
  put_kinds(pef, out);
  put_symbols(pef, out);
  put_buffers(flow, out);
  put_tile_buffers(pef, out);
  leat_text_put(out, "}\n");
  return NULL;
}
