// SPDX-License-Identifier: Apache-2.0
// The schema of stages (stage.def) as a table, for the checker and for whoever asks what a kind of stage is: the
// compiler before it writes one, engines, reports.
#ifndef LEAT_PEF_SCHEMA_H_
#define LEAT_PEF_SCHEMA_H_

#include "base/base.h"
#include "pef/pef_format.h"

enum { PEF_ROW_OPERANDS = 13, PEF_ROW_PARAMS = 12 };  // of one kind, and a last one without a name

enum pef_direction { PEF_IN, PEF_OUT, PEF_UPDATE, PEF_SUM };
enum pef_operand_trait {
  PEF_OPTIONAL = 1,
  PEF_MANY = 2,
  PEF_IN_PLACE = 4,
  PEF_PACKED = 8,
  PEF_WORK = 16,
};
enum pef_relation { PEF_FREE, PEF_SAME_DTYPE, PEF_SAME_CLASS };  // to the dtype of another operand

typedef struct pef_operand_row_s {
  const char *name;  // NULL: the kind has no more
  uint8_t direction, traits;
  const char *dims;
  uint16_t dtypes;          // bit i: pef_dtype i
  uint8_t relation, other;  // other: the operand that it is related to
} pef_operand_row_t;

enum pef_range {
  PEF_RANGE_NUMBER,  // low..high where fn and the dtype of operand 0 are of the sets, else 0
  PEF_RANGE_COUNT,   // low..high: of dims
  PEF_RANGE_AT,      // the place of a dim
  PEF_RANGE_MASK,
  PEF_RANGE_ROLES,
  PEF_RANGE_UNUSED,
};
enum pef_times { PEF_ONE, PEF_SPATIAL, PEF_DIMS };

typedef struct pef_param_row_s {
  const char *name;      // "": words that are 0
  uint8_t words, times;  // pef_times: how many of the words are used
  uint8_t since;
  uint8_t range;
  const char *letters;  // of dims that it counts or places
  uint16_t fns, dtypes;
  int64_t low, high;
} pef_param_row_t;

struct pef_stage_site_s;  // a stage under check: pef_check.h

typedef struct pef_stage_row_s {
  const char *name;
  uint8_t since;
  uint16_t fns;  // bit i: pef_fn i
  const char *rows, *space;
  uint16_t without_fns, without_dtypes;
  uint16_t elements;
  uint8_t flops;
  bool broadcast, windows, halo, squares;
  leat_status_t (*rule)(const struct pef_stage_site_s *site);
  double (*steps)(const struct pef_stage_site_s *site);
  pef_operand_row_t operands[PEF_ROW_OPERANDS];
  pef_param_row_t params[PEF_ROW_PARAMS];
} pef_stage_row_t;

const pef_stage_row_t *leat_pef_stage_row(uint32_t kind);  // NULL when out of range
const char *leat_pef_stage_name(uint32_t kind);            // "?" when out of range
// What is known of operand `index` of a stage of that kind, which has one.
const pef_operand_row_t *leat_pef_operand_row(uint32_t kind, uint32_t index);

// Every engine computes this kind with this function on operands (those that are no indices) of this dtype.
bool leat_pef_stage_computes(uint32_t kind, uint32_t fn, uint32_t dtype);
// The stage adds up along dim `dim` of its operands. Parameters must be in range.
bool leat_pef_stage_sums(const pef_stage_t *stage, uint32_t dim);
// Operand `index` lies in blocks of columns, which its strides do not lead through.
bool leat_pef_operand_is_packed(const pef_stage_t *stage, uint32_t index);

#endif
