// SPDX-License-Identifier: Apache-2.0
// Opens a PEF and validates everything in it, so that an engine can trust what it reads: after success every index,
// string, place and operand of the file stays in its bounds for every call, every stage obeys the rules that
// pef_format.h states for its kind, and every size fits int64 without overflow. What the file cannot promise is
// data-dependent: the values of gather and scatter indices.
//
// Failures: LEAT_NOT_FOUND (no such file), LEAT_CORRUPT (truncated, foreign or mutated), LEAT_UNSUPPORTED (a newer
// format version), LEAT_IO, LEAT_OUT_OF_MEMORY. The message says what is wrong, where, and what to do.
// Thread rule: immutable once open; any number of threads may read it.
#ifndef LEAT_PEF_READ_H_
#define LEAT_PEF_READ_H_

#include "base/base.h"
#include "pef/pef_format.h"
#include "pef/pef_schema.h"

typedef struct leat_pef_s {
  const pef_header_t *header;
  const pef_info_t *info;
  const char *strings;  // text of string s: strings + s
  const pef_symbol_t *symbols;
  const pef_call_t *calls;
  const pef_argument_t *arguments;
  const pef_body_t *bodies;
  const pef_stage_t *stages;
  const pef_operand_t *operands;
  const pef_instruction_t *instructions;
  const pef_bound_t *bounds;
  const uint8_t *constants;  // PEF_ALIGN-aligned
  const char *metadata;      // JSON object, NUL-terminated copy
  uint32_t string_bytes, symbol_count, call_count, argument_count, body_count, stage_count, operand_count,
      instruction_count, bound_count;
  uint64_t constant_bytes;
} leat_pef_t;

// Copies the file at `path`: what happens to it later has no effect. Release with leat_pef_close.
leat_status_t leat_pef_open(const char *path, leat_pef_t **out_pef) LEAT_MUST_USE;
// Copies `data`; `name` stands for the path in messages.
leat_status_t leat_pef_open_memory(const void *data, size_t data_bytes, const char *name,
                                   leat_pef_t **out_pef) LEAT_MUST_USE;
void leat_pef_close(leat_pef_t *pef);

// Facts of the format, for whoever reads tables.
size_t leat_pef_dtype_bytes(uint32_t dtype);          // 0 when out of range
const char *leat_pef_dtype_name(uint32_t dtype);      // "?" when out of range
enum pef_class leat_pef_dtype_class(uint32_t dtype);  // class in which a valid dtype is computed
// What a symbol is to the one it belongs to (`of`) or to the program, by ir/role.def: "grad", "seed", "exp_avg", ...;
// "step" of optimizer *out_number, "random__state"; "" for the program's own.
const char *leat_pef_symbol_role(const leat_pef_t *pef, uint32_t symbol, uint32_t *out_number);
// Bit i: operand i of the stage is written; is read (one that it adds to is both). Of MAP: by a STORE, by a LOAD.
uint64_t leat_pef_stage_outputs(const leat_pef_t *pef, const pef_stage_t *stage);
uint64_t leat_pef_stage_inputs(const leat_pef_t *pef, const pef_stage_t *stage);
// The stage (of valid parameters) has nothing to do, whatever its operands hold: pef_format.h says when.
bool leat_pef_stage_is_idle(const leat_pef_t *pef, const pef_stage_t *stage);

#endif
