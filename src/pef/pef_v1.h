// SPDX-License-Identifier: Apache-2.0
// The PEF of version 1 (1.0, 1.1, 1.2), as far as pef_format.h says otherwise. Only the reader knows it: pef_upgrade.c
// makes of it what pef_format.h says. Private to src/pef.
//
// Segments carry no flags; those up to INFO are always there. `chain` and `wide` of a stage came with 1.1, SEARCH with
// 1.2; a file that has them states at least that version.
#ifndef LEAT_PEF_V1_H_
#define LEAT_PEF_V1_H_

#include "pef/pef_format.h"

#define PEF_V1_VERSION_MINOR 2u  // the last one
#define PEF_V1_FINGERPRINT_VERSION 1u
#define PEF_V1_NO_OUTPUT 0xffu
#define PEF_V1_MAX_REGISTERS 64u

typedef struct pef_v1_segment_s {
  uint32_t kind, record_bytes;
  uint64_t offset, bytes, hash;
} pef_v1_segment_t;  // 32 bytes

typedef struct pef_v1_info_s {
  uint64_t fingerprint[3];
  uint64_t arena_bytes;
  uint64_t scratch_bytes;  // the most of any body
  uint64_t peak_bytes;
  uint32_t arch, optim_level, inference, compiler;
  double run_flops, run_bytes;
} pef_v1_info_t;  // 80 bytes

// Tile scratch is one block of bytes: operands in space SCRATCH have slot 0, and lie in it where `offset` says.
typedef struct pef_v1_body_s {
  uint32_t stage_first, stage_count;
  uint32_t argument_count;
  uint32_t tile_quantum;
  uint64_t row_count;
  uint64_t tile_rows_max;  // offsets in scratch are laid out for this many rows
  uint64_t scratch_bytes;
} pef_v1_body_t;  // 40 bytes

typedef struct pef_v1_stage_s {
  uint16_t kind;
  uint8_t fn;
  uint8_t output_bit;  // PEF_V1_NO_OUTPUT, or an output below 64
  uint32_t origin;
  uint32_t operand_first, operand_count;
  uint32_t instruction_first, instruction_count;
  pef_params_t params;
} pef_v1_stage_t;  // 216 bytes

typedef struct pef_v1_operand_s {
  uint8_t space, dtype, rank, row_dim;
  uint16_t slot, reserved0;
  uint64_t row_mult, offset;
  int64_t dims[8], strides[8];
} pef_v1_operand_t;  // 152 bytes

// A strip program wrote registers: `dst` of each instruction but STORE, which another one could write again. CONVERT
// and WRAP read register b; their class and dtype were c and a. Fields that an operation does not use could be any
// number.
typedef struct pef_v1_instruction_s {
  uint16_t op;
  uint8_t class_;
  uint8_t dst;
  uint16_t a, b, c;
  uint16_t reserved0[3];
  uint64_t imm;
} pef_v1_instruction_t;  // 24 bytes

#endif
