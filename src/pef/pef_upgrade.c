// SPDX-License-Identifier: Apache-2.0
// Files of version 1 as version 2 says it. What it has otherwise is converted table by table, record by record; then
// come the steps that look at several tables. Nothing that is converted is trusted: the checks follow, as of any file.
#include "pef/pef_check.h"
#include "pef/pef_file.h"
#include "pef/pef_v1.h"

_Static_assert(sizeof(pef_v1_segment_t) == 32 && sizeof(pef_v1_stage_t) == 216 && sizeof(pef_v1_operand_t) == 152 &&
                   sizeof(pef_v1_instruction_t) == 24 && sizeof(pef_v1_body_t) == 40 && sizeof(pef_v1_info_t) == 80,
               "what version 1 was does not change");

// --- what a minor version does not have ------------------------------------------------------------------------------

static const struct {
  uint8_t kind, word, minor;
  const char *name;
} params_since[] = {
    {PEF_STAGE_REDUCE, 23, 1, "chain"},
    {PEF_STAGE_SCAN, 23, 1, "wide"},
    {PEF_STAGE_CONTRACT, 23, 1, "chain"},
    {PEF_STAGE_CONV_WGRAD, 23, 1, "chain"},
};

static leat_status_t check_since(const pef_v1_stage_t *stage, uint32_t minor) {
  if (stage->kind > PEF_STAGE_SEARCH || (stage->kind == PEF_STAGE_SEARCH && minor < 2)) {
    return leat_pef_corrupt("format 1.%u does not have %s", minor, leat_pef_stage_name(stage->kind));
  }
  for (size_t i = 0; i < sizeof params_since / sizeof *params_since; ++i) {
    const int64_t value = stage->params.words[params_since[i].word];
    if (stage->kind != params_since[i].kind || minor >= params_since[i].minor || value == 0) continue;
    return leat_pef_corrupt("parameter '%s' is %lld, format 1.%u does not have it", params_since[i].name,
                            (long long)value, minor);
  }
  return NULL;
}

// --- records ---------------------------------------------------------------------------------------------------------

static leat_status_t upgrade_stage(const pef_file_t *file, const void *from, void *to) {
  const pef_v1_stage_t *s = from;
  LEAT_TRY(check_since(s, file->pef.version_minor));
  if (s->operand_count > UINT16_MAX) return leat_pef_corrupt("too many operands");
  *(pef_stage_t *)to = (pef_stage_t){.kind = s->kind,
                                     .fn = s->fn,
                                     .origin = s->origin,
                                     .operand_first = s->operand_first,
                                     .instruction_first = s->instruction_first,
                                     .instruction_count = s->instruction_count,
                                     .operand_count = (uint16_t)s->operand_count,
                                     .output = s->output_bit == PEF_V1_NO_OUTPUT ? PEF_NO_OUTPUT : s->output_bit,
                                     .params = s->params};
  return NULL;
}

static leat_status_t upgrade_operand(const pef_file_t *file, const void *from, void *to) {
  const pef_v1_operand_t *o = from;
  pef_operand_t *operand = to;
  (void)file;
  if (o->reserved0 != 0) return leat_pef_corrupt("reserved bytes are not zero");
  *operand = (pef_operand_t){.space = o->space,
                             .dtype = o->dtype,
                             .rank = o->rank,
                             .row_dim = o->row_dim,
                             .slot = o->slot,
                             .row_mult = o->row_mult,
                             .offset = o->offset};
  memcpy(operand->dims, o->dims, sizeof o->dims);
  memcpy(operand->strides, o->strides, sizeof o->strides);
  return NULL;
}

// A step fills them, since what they read depends on the stage that owns them.
static leat_status_t upgrade_instruction(const pef_file_t *file, const void *from, void *to) {
  (void)file, (void)from, (void)to;
  return NULL;
}

static leat_status_t upgrade_info(const pef_file_t *file, const void *from, void *to) {
  const pef_v1_info_t *old = from;
  pef_info_t *info = to;
  (void)file;
  *info = (pef_info_t){.arena_bytes = old->arena_bytes,
                       .peak_bytes = old->peak_bytes,
                       .arch = old->arch,
                       .optim_level = old->optim_level,
                       .inference = old->inference,
                       .compiler = old->compiler,
                       .run_flops = old->run_flops,
                       .run_bytes = old->run_bytes,
                       .fingerprint_version = PEF_V1_FINGERPRINT_VERSION};
  memcpy(info->fingerprint, old->fingerprint, sizeof old->fingerprint);
  return NULL;
}

// Scratch: below.
static leat_status_t upgrade_body(const pef_file_t *file, const void *from, void *to) {
  const pef_v1_body_t *old = from;
  (void)file;
  *(pef_body_t *)to = (pef_body_t){.stage_first = old->stage_first,
                                   .stage_count = old->stage_count,
                                   .argument_count = old->argument_count,
                                   .tile_quantum = old->tile_quantum,
                                   .row_count = old->row_count,
                                   .tile_rows_max = old->tile_rows_max};
  return NULL;
}

// How a record of another form becomes one of version 2.
typedef struct pef_upgrade_row_s {
  leat_status_t (*upgrade)(const pef_file_t *file, const void *from, void *to);
  size_t from_bytes, to_bytes;
  const char *one;  // of messages
} pef_upgrade_row_t;
static const pef_upgrade_row_t records[PEF_SEGMENT_END] = {
    [PEF_SEGMENT_INFO] = {upgrade_info, sizeof(pef_v1_info_t), sizeof(pef_info_t), "info"},
    [PEF_SEGMENT_BODIES] = {upgrade_body, sizeof(pef_v1_body_t), sizeof(pef_body_t), "body"},
    [PEF_SEGMENT_STAGES] = {upgrade_stage, sizeof(pef_v1_stage_t), sizeof(pef_stage_t), "stage"},
    [PEF_SEGMENT_OPERANDS] = {upgrade_operand, sizeof(pef_v1_operand_t), sizeof(pef_operand_t), "operand"},
    [PEF_SEGMENT_INSTRUCTIONS] = {upgrade_instruction, sizeof(pef_v1_instruction_t), sizeof(pef_instruction_t),
                                  "instruction"},
};

bool leat_pef_is_upgraded(uint32_t kind) { return records[kind].upgrade != NULL; }

leat_status_t leat_pef_upgrade_records(pef_file_t *file, uint32_t kind) {
  const pef_upgrade_row_t *row = &records[kind];
  uint64_t count = 0;
  const uint8_t *from = leat_pef_raw(file, kind, &count);
  uint8_t *to = leat_pef_make_table(file, kind, count);
  if (to == NULL) return leat_out_of_memory();
  for (uint64_t i = 0; i < count; ++i)
    LEAT_TRY(leat_status_annotate(row->upgrade(file, from + i * row->from_bytes, to + i * row->to_bytes), "%s %llu",
                                  row->one, (unsigned long long)i));
  return NULL;
}

// --- scratch ---------------------------------------------------------------------------------------------------------

// The scratch of a body is one opaque tile buffer.
static leat_status_t upgrade_scratch(pef_file_t *file) {
  uint64_t count = 0;
  const pef_v1_body_t *old = leat_pef_raw(file, PEF_SEGMENT_BODIES, &count);
  pef_body_t *bodies = file->tables[PEF_SEGMENT_BODIES].made;
  pef_buffer_t *buffers = leat_pef_make_table(file, PEF_SEGMENT_BUFFERS, count);
  int64_t *dims = leat_pef_make_table(file, PEF_SEGMENT_DIMS, count);
  if (buffers == NULL || dims == NULL || leat_pef_make_table(file, PEF_SEGMENT_NATIVE_LAYOUT, count) == NULL)
    return leat_out_of_memory();
  for (uint32_t i = 0; i < count; ++i) {
    bodies[i].buffer_first = i;
    bodies[i].buffer_count = 1;
    dims[i] = (int64_t)old[i].scratch_bytes;
    buffers[i] = (pef_buffer_t){.dtype = PEF_OPAQUE,
                                .rank = 1,
                                .row_dim = PEF_NO_ROW_DIM,
                                .dims = i,
                                .last = bodies[i].stage_count - 1};  // which is not empty
  }
  return NULL;
}

// --- the whole -------------------------------------------------------------------------------------------------------

static leat_status_t fill_programs(pef_file_t *file) {
  uint64_t count = 0;
  return leat_pef_upgrade_programs(file->pef.stages, file->pef.stage_count,
                                   leat_pef_raw(file, PEF_SEGMENT_INSTRUCTIONS, &count),
                                   file->tables[PEF_SEGMENT_INSTRUCTIONS].made);
}

// In this order. A step may rely on the owners of records; tables that it makes (leat_pef_make_table) are bound before
// the next one.
typedef leat_status_t (*pef_upgrade_step_t)(pef_file_t *file);
static const pef_upgrade_step_t steps[] = {fill_programs, upgrade_scratch, NULL};

leat_status_t leat_pef_upgrade(pef_file_t *file) {
  LEAT_TRY(leat_pef_check_owners(&file->pef));
  for (const pef_upgrade_step_t *step = steps; *step != NULL; ++step) {
    LEAT_TRY((*step)(file));
    leat_pef_bind(file);
  }
  return NULL;
}
