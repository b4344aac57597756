// SPDX-License-Identifier: Apache-2.0
// MAP: the program, element by element.
#include "kern/scalar.h"
#include "ref/stage.h"

// In the workspace. All that an element's program loads is what was there before it stores.
typedef struct map_s {
  const pef_stage_t *file;
  const pef_instruction_t *program;
  ref_operand_t *operands;
  ref_value_t *values;  // of the instructions
} map_t;

static ref_value_t immediate(uint32_t class_, uint64_t bits) {
  union {
    uint64_t bits;
    double f64;
    int64_t i64;
  } is = {.bits = bits};
  return class_ == PEF_CLASS_I64 ? (ref_value_t){.i64 = is.i64} : leat_ref_of_double(class_, is.f64);
}

// As the dtype would store it.
static ref_value_t wrapped(uint32_t class_, uint32_t dtype, ref_value_t value) {
  char element[sizeof(ref_value_t)];
  leat_ref_store(class_, dtype, element, value);
  return leat_ref_load(class_, dtype, element);
}

static ref_value_t value_of(const map_t *map, const pef_instruction_t *in, const ref_operand_t *space,
                            const int64_t index[PEF_MAX_RANK]) {
  const ref_value_t *values = map->values;
  ref_value_t result = {0};
  switch (in->op) {
    case PEF_OP_LOAD:
      return leat_ref_read(&map->operands[in->a], in->class_, index);
    case PEF_OP_IMMEDIATE:
      return immediate(in->class_, in->imm);
    case PEF_OP_IOTA:
      return leat_ref_of_int(in->class_, space->first[in->a] + index[in->a]);
    case PEF_OP_CONVERT:
      return leat_ref_convert(in->class_, in->type, values[in->a]);
    case PEF_OP_WRAP:
      return wrapped(in->class_, in->type, values[in->a]);
    case PEF_OP_STORE:
      return result;
    default:
      leat_kern_scalar(in->class_, in->op, in->type)(&result, &values[in->a], &values[in->b], &values[in->c], 1);
      return result;
  }
}

static void run_element(const map_t *map, const ref_operand_t *space, const int64_t index[PEF_MAX_RANK]) {
  const uint32_t count = map->file->instruction_count;
  for (uint32_t i = 0; i < count; i++) map->values[i] = value_of(map, &map->program[i], space, index);
  for (uint32_t i = 0; i < count; i++) {
    const pef_instruction_t *in = &map->program[i];
    if (in->op == PEF_OP_STORE) leat_ref_write(&map->operands[in->a], in->class_, index, map->values[in->b]);
  }
}

size_t leat_ref_map_workspace(const pef_stage_t *file) {
  return file->operand_count * sizeof(ref_operand_t) + file->instruction_count * sizeof(ref_value_t);
}

void leat_ref_map(const ref_stage_t *stage, const leat_run_tile_t *tile) {
  const pef_stage_t *file = stage->file;
  map_t map = {.file = file,
               .program = stage->pef->instructions + file->instruction_first,
               .operands = (ref_operand_t *)(void *)tile->workspace};
  map.values = (ref_value_t *)(void *)(map.operands + file->operand_count);
  for (uint32_t o = 0; o < file->operand_count; o++) map.operands[o] = leat_ref_operand(stage, o, tile);
  // Outputs have the extents of the tile; what is broadcast may not.
  const ref_operand_t *space = &map.operands[leat_pef_output(stage->pef, file)];
  int64_t index[PEF_MAX_RANK] = {0};
  do {
    run_element(&map, space, index);
  } while (leat_ref_next(index, space->dims));
}
