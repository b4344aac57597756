// SPDX-License-Identifier: Apache-2.0
// MAP: the program, element by element.
#include "kern/scalar.h"
#include "ref/stage.h"

// What an element's program has written so far. All that it loads is what was there before.
typedef struct map_s {
  const ref_stage_t *stage;
  ref_operand_t operands[PEF_MAX_OPERANDS];
  ref_value_t registers[PEF_MAX_REGISTERS];
  bool is_stored[PEF_MAX_OPERANDS];
  uint32_t stored_class[PEF_MAX_OPERANDS];
  ref_value_t stored[PEF_MAX_OPERANDS];
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
  const ref_value_t *registers = map->registers;
  ref_value_t result = {0};
  switch (in->op) {
    case PEF_OP_LOAD:
      return leat_ref_read(&map->operands[in->a], in->class_, index);
    case PEF_OP_IMMEDIATE:
      return immediate(in->class_, in->imm);
    case PEF_OP_IOTA:
      return leat_ref_of_int(in->class_, space->first[in->a] + index[in->a]);
    case PEF_OP_CONVERT:
      return leat_ref_convert(in->class_, in->c, registers[in->b]);
    case PEF_OP_WRAP:
      return wrapped(in->class_, in->a, registers[in->b]);
    default:  // fields that the function does not use may be any number
      leat_kern_scalar(in->class_, in->op)(&result, &registers[in->a % PEF_MAX_REGISTERS],
                                           &registers[in->b % PEF_MAX_REGISTERS], &registers[in->c % PEF_MAX_REGISTERS],
                                           1);
      return result;
  }
}

static void run_element(map_t *map, const ref_operand_t *space, const int64_t index[PEF_MAX_RANK]) {
  const pef_stage_t *file = map->stage->file;
  const pef_instruction_t *program = map->stage->pef->instructions + file->instruction_first;
  for (uint32_t i = 0; i < file->instruction_count; i++) {
    const pef_instruction_t *in = &program[i];
    if (in->op == PEF_OP_STORE) {
      map->is_stored[in->a] = true;
      map->stored_class[in->a] = in->class_;
      map->stored[in->a] = map->registers[in->b];
    } else {
      map->registers[in->dst] = value_of(map, in, space, index);
    }
  }
  for (uint32_t o = 0; o < file->operand_count; o++) {
    if (map->is_stored[o]) leat_ref_write(&map->operands[o], map->stored_class[o], index, map->stored[o]);
  }
}

void leat_ref_map(const ref_stage_t *stage, const leat_run_tile_t *tile) {
  map_t map = {.stage = stage};
  for (uint32_t o = 0; o < stage->file->operand_count; o++) map.operands[o] = leat_ref_operand(stage, o, tile);
  // Outputs have the extents of the tile; what is broadcast may not.
  const ref_operand_t *space = &map.operands[__builtin_ctzll(leat_pef_stage_outputs(stage->pef, stage->file))];
  int64_t index[PEF_MAX_RANK] = {0};
  do {
    run_element(&map, space, index);
  } while (leat_ref_next(index, space->dims));
}
