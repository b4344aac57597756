// SPDX-License-Identifier: Apache-2.0
// Opens a PEF and validates everything in it, so that an engine can trust what it reads: after success every index,
// string, place and operand of the file stays in its bounds for every call, every stage obeys the rules that
// pef_format.h states for its kind, and every size fits int64 without overflow. What the file cannot promise is
// data-dependent: the values of gather and scatter indices.
//
// Failures: LEAT_NOT_FOUND (no such file), LEAT_CORRUPT (truncated, foreign or mutated), LEAT_UNSUPPORTED (a newer
// format version, or what only a newer one has), LEAT_IO, LEAT_OUT_OF_MEMORY. The message says what is wrong, where,
// and what to do. Thread rule: immutable once open; any number of threads may read it.
#ifndef LEAT_PEF_READ_H_
#define LEAT_PEF_READ_H_

#include "base/base.h"
#include "pef/pef_format.h"
#include "pef/pef_schema.h"

typedef struct leat_pef_where_s {
  uint64_t offset;
  uint32_t record_bytes;
  uint32_t family_first, family_count;  // of its records
} leat_pef_where_t;

enum leat_pef_access { LEAT_PEF_READS = 1, LEAT_PEF_WRITES = 2 };

typedef struct leat_pef_s {
// const pef_symbol_t *symbols; uint32_t symbol_count; and so on
#define RECORD(suffix, number, one, table, record, need, ...) \
  const record *table;                                        \
  uint32_t one##_count;
#include "pef/record.def"
  const char *strings;  // text of string s: strings + s
  uint32_t string_bytes;
  const uint8_t *constants;  // PEF_ALIGN-aligned
  uint64_t constant_bytes;
  const char *metadata;                   // JSON object, NUL-terminated copy
  uint32_t version_major, version_minor;  // of the file; what it said is here as version 2 says it
  uint64_t file_bytes;
  leat_pef_where_t where[PEF_SEGMENT_END];  // where the segments lie in the file
  const uint8_t *access;                    // of every operand: leat_pef_access, made of its stage
} leat_pef_t;

// Copies the file at `path`: what happens to it later has no effect. Release with leat_pef_close.
leat_status_t leat_pef_open(const char *path, leat_pef_t **out_pef) LEAT_MUST_USE;
// Copies `data`; `name` stands for the path in messages.
leat_status_t leat_pef_open_memory(const void *data, size_t data_bytes, const char *name,
                                   leat_pef_t **out_pef) LEAT_MUST_USE;
void leat_pef_close(leat_pef_t *pef);

// Byte of a record in the file, for messages; of one that a family stands for, that of the record which it repeats.
uint64_t leat_pef_byte_of(const leat_pef_t *pef, enum pef_segment_kind segment, uint64_t index);

// How a symbol lies in blocks; NULL: row-major.
const pef_block_t *leat_pef_block_of(const leat_pef_t *pef, uint32_t symbol);

// Axes of a body, cuts of an operand (which is one of `pef`): their number, and where the first lies.
uint32_t leat_pef_axes(const leat_pef_t *pef, const pef_body_t *body, const pef_axis_t **out_axes);
uint32_t leat_pef_cuts(const leat_pef_t *pef, const pef_operand_t *operand, const pef_cut_t **out_cuts);
uint32_t leat_pef_body_cuts(const leat_pef_t *pef, const pef_body_t *body, const pef_cut_t **out_cuts);
// The cut of dim `dim`, or along `axis`; NULL: there is none.
const pef_cut_t *leat_pef_cut_of_dim(const leat_pef_t *pef, const pef_operand_t *operand, uint32_t dim);
const pef_cut_t *leat_pef_cut_along(const leat_pef_t *pef, const pef_operand_t *operand, uint32_t axis);
// Elements [*out_low, *out_high) of the dim that a tile [first, end) of the axis holds.
void leat_pef_cut_range(const pef_operand_t *operand, const pef_cut_t *cut, int64_t first, int64_t end,
                        int64_t *out_low, int64_t *out_high);

// Replaces the extents of dims that are cut by those of a tile of tile_max.
void leat_pef_cut_extents(const leat_pef_t *pef, const pef_body_t *body, const pef_operand_t *operand,
                          int64_t extents[PEF_MAX_RANK]);

// The record of a chip is one by which places can be computed (pef_chip.h). LEAT_CORRUPT.
leat_status_t leat_pef_check_chip_record(const pef_chip_t *chip) LEAT_MUST_USE;

// Facts of the format, for whoever reads tables.
size_t leat_pef_dtype_bytes(uint32_t dtype);          // 0 when out of range
const char *leat_pef_dtype_name(uint32_t dtype);      // "?" when out of range
enum pef_class leat_pef_dtype_class(uint32_t dtype);  // class in which a valid dtype is computed
// What a symbol is to the one it belongs to (`of`) or to the program, by ir/role.def: "grad", "seed", "exp_avg", ...;
// "step" of optimizer *out_number, "random__state"; "" for the program's own.
const char *leat_pef_symbol_role(const leat_pef_t *pef, uint32_t symbol, uint32_t *out_number);
// Fills what a stage does with its operands, in zeros. Nothing of it need be checked yet but where its records lie.
void leat_pef_find_access(const pef_stage_t *stage, const pef_instruction_t *program, uint8_t *access);
// The stage reads, writes its operand `index`; one that it adds to both. Of MAP: by a LOAD, by a STORE.
static inline bool leat_pef_reads(const leat_pef_t *pef, const pef_stage_t *stage, uint32_t index) {
  return (pef->access[stage->operand_first + index] & LEAT_PEF_READS) != 0;
}
static inline bool leat_pef_writes(const leat_pef_t *pef, const pef_stage_t *stage, uint32_t index) {
  return (pef->access[stage->operand_first + index] & LEAT_PEF_WRITES) != 0;
}
// The first operand that it writes.
static inline uint32_t leat_pef_output(const leat_pef_t *pef, const pef_stage_t *stage) {
  uint32_t index = 0;
  while (!leat_pef_writes(pef, stage, index)) ++index;
  return index;
}
// Bytes of all tables, families written out.
uint64_t leat_pef_table_bytes(const leat_pef_t *pef);
// Rows of the highest tile of a body.
static inline uint64_t leat_pef_tile_rows(const pef_body_t *body) {
  return body->tile_rows_max < body->row_count ? body->tile_rows_max : body->row_count;
}
size_t leat_pef_buffer_element_bytes(const pef_buffer_t *buffer);  // 1 of an opaque one
// Extent and bytes of a tile buffer of a body in a tile of `rows` rows, no more than the body has.
uint64_t leat_pef_buffer_extent(const leat_pef_t *pef, const pef_body_t *body, const pef_buffer_t *buffer, uint32_t dim,
                                uint64_t rows);
uint64_t leat_pef_buffer_bytes(const leat_pef_t *pef, const pef_body_t *body, const pef_buffer_t *buffer,
                               uint64_t rows);
// Bytes of scratch that a body takes in native's layout, and the most that any takes; 0 where there is no layout.
uint64_t leat_pef_scratch_bytes(const leat_pef_t *pef, const pef_body_t *body);
uint64_t leat_pef_most_scratch_bytes(const leat_pef_t *pef);
// The stage (of valid parameters) has nothing to do, whatever its operands hold: pef_format.h says when.
bool leat_pef_stage_is_idle(const leat_pef_t *pef, const pef_stage_t *stage);
// Whether a body computes in f64: of floats it touches no others.
bool leat_pef_body_is_f64(const leat_pef_t *pef, const pef_body_t *body);

#endif
