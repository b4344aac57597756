// SPDX-License-Identifier: Apache-2.0
// See stage_maker.h.
#include "stage_maker.h"

#include <string.h>

#include "pef/pef_read.h"
#include "pef/pef_scalar.h"

enum { LETTERS = 128 };

typedef struct maker_s {
  mutant_t *random;
  const pef_stage_row_t *row;
  pef_zoo_t zoo;
  made_stage_t *made;
  uint32_t count[LETTERS];  // dims of a letter
  int64_t extent[LETTERS][PEF_MAX_RANK];
  char row_letter;  // '\0': one row
  uint32_t row_nth;
} maker_t;

static int64_t between(maker_t *m, int64_t low, int64_t high) {
  return low + (int64_t)mutate_below(m->random, (uint64_t)(high - low + 1));
}
static uint32_t one_of(maker_t *m, uint32_t set) {
  for (;;) {
    const uint32_t i = (uint32_t)mutate_below(m->random, 16);
    if ((set >> i & 1) != 0) return i;
  }
}

static char next_letter(const char **dims, bool *out_single) {
  while (**dims == ' ') ++*dims;
  *out_single = **dims != '*';
  if (!*out_single) ++*dims;
  return **dims == '\0' ? '\0' : *(*dims)++;
}

// --- dims ------------------------------------------------------------------------------------------------------

static void choose_counts(maker_t *m) {
  const uint32_t spatial = (uint32_t)between(m, 1, 3);
  for (uint32_t i = 0; m->row->operands[i].name != NULL; ++i) {
    const char *dims = m->row->operands[i].dims;
    bool single;
    for (char c = next_letter(&dims, &single); c != '\0'; c = next_letter(&dims, &single)) {
      if (m->count[(int)c] != 0) continue;
      const bool windowed = m->row->windows && strchr("skt", c) != NULL;
      m->count[(int)c] = single ? 1 : windowed ? spatial : (uint32_t)between(m, 0, c == 'd' ? 4 : 1);
      for (uint32_t d = 0; d < PEF_MAX_RANK; ++d) m->extent[(int)c][d] = between(m, 1, 3);
    }
  }
}

static void choose_window(maker_t *m) {
  const bool conv = strchr(m->row->operands[0].dims, 'N') != NULL;
  const bool forward = m->row->operands[1].dims[0] == 'O';
  pef_window_t *w = &m->zoo.stage.params.window;
  w->spatial = m->count['s'];
  w->groups = conv ? between(m, 1, 2) : between(m, 0, 1);
  for (uint32_t i = 0; i < (uint32_t)w->spatial; ++i) {
    const int64_t in = m->extent['s'][i] = between(m, 2, 5);
    do {
      w->window[i] = between(m, 1, 3), w->stride[i] = between(m, 1, 2), w->dilation[i] = between(m, 1, 2);
      w->low[i] = between(m, -1, 2), w->high[i] = between(m, -1, 2);
      w->base_dilation[i] = forward ? between(m, 1, 2) : 1;
      const int64_t room =
          (in - 1) * w->base_dilation[i] + w->low[i] + w->high[i] - (w->window[i] - 1) * w->dilation[i];
      m->extent['t'][i] = room < 0 ? 0 : room / w->stride[i] + 1;
    } while (m->extent['t'][i] == 0);
    m->extent['k'][i] = w->window[i];
  }
  if (!conv) return;
  m->extent['C'][0] = m->extent['I'][0] * w->groups;
  m->extent['O'][0] *= w->groups;
}

// --- parameters ------------------------------------------------------------------------------------------------

static bool is_product(const pef_stage_t *stage) {
  return stage->kind == PEF_STAGE_CONTRACT || stage->kind == PEF_STAGE_CONTRACT_SCALED;
}

static void choose_dims_of_sums(maker_t *m) {
  const uint32_t rank = m->count['d'];
  if (m->zoo.stage.kind == PEF_STAGE_REDUCE) {
    const bool arg = m->zoo.stage.fn >= PEF_FN_ARGMAX;
    m->zoo.stage.params.reduce.dims =
        arg ? INT64_C(1) << mutate_below(m->random, rank) : between(m, 0, (1 << rank) - 1);
  }
  if (!is_product(&m->zoo.stage)) return;
  for (uint32_t d = 0; d < rank; ++d) m->zoo.stage.params.product.roles[d] = between(m, 0, 3);
}

static void choose_lookup(maker_t *m) {
  m->zoo.stage.params.lookup.batch = m->count['B'];
  m->zoo.stage.params.lookup.dim = m->count['B'] + m->count['P'];
}

static void choose_params(maker_t *m) {
  pef_params_t *params = &m->zoo.stage.params;
  switch (m->zoo.stage.kind) {
    case PEF_STAGE_SCAN:
      params->scan.dim = m->count['a'];
      params->scan.reverse = between(m, 0, 1);
      break;
    case PEF_STAGE_SORT:
      params->sort.dim = m->count['a'];
      params->sort.descending = between(m, 0, 1);
      break;
    case PEF_STAGE_GATHER:
    case PEF_STAGE_SCATTER:
      choose_lookup(m);
      break;
    case PEF_STAGE_SEARCH:
      choose_lookup(m);
      params->search.right = between(m, 0, 1);
      break;
    case PEF_STAGE_RANDOM:
      params->random.stream = between(m, 0, 3);
      break;
    case PEF_STAGE_CONTRACT:
    case PEF_STAGE_CONTRACT_SCALED:
      params->product.add = between(m, 0, 1);
      break;
    case PEF_STAGE_ATTENTION:
    case PEF_STAGE_ATTENTION_GRAD:
      params->attention.block = between(m, 1, 4);
      params->attention.before = between(m, -1, 4);
      params->attention.after = between(m, -1, 4);
      params->attention.stream = between(m, 0, 3);
      params->attention.scale = mutate_below(m->random, 2) == 0 ? 0x3f800000 : 0x3f000000 + between(m, 0, 1 << 22);
      break;
    case PEF_STAGE_CONV_WGRAD:
      params->conv_wgrad.batch = m->count['B'];
      break;
    default:
      break;
  }
  if (m->row->windows) choose_window(m);
  choose_dims_of_sums(m);
}

// Those that depend on dtypes.
static void choose_chain(maker_t *m) {
  static const int64_t chains[] = {0, 1, 16, PEF_CHAIN_MAX};
  const uint32_t kind = m->zoo.stage.kind, fn = m->zoo.stage.fn, dtype = m->zoo.operands[0].dtype;
  const int64_t chain = chains[mutate_below(m->random, 4)];
  if (kind == PEF_STAGE_CONV) m->zoo.stage.params.conv.chain = chain;
  if (kind == PEF_STAGE_CONV_WGRAD) m->zoo.stage.params.conv_wgrad.chain = chain;
  if (is_product(&m->zoo.stage) && dtype <= PEF_F16) m->zoo.stage.params.product.chain = chain;
  if (kind == PEF_STAGE_CONTRACT && dtype == PEF_BF16 && m->zoo.operands[PEF_CONTRACT_b].dtype == PEF_BF16) {
    m->zoo.stage.params.contract.pairs = between(m, 0, 1);
    if (m->zoo.stage.params.contract.pairs != 0) m->zoo.stage.params.contract.chain = chain == 1 ? 2 : chain;
  }
  if (kind == PEF_STAGE_REDUCE && dtype <= PEF_F16 && fn == PEF_FN_SUM) m->zoo.stage.params.reduce.chain = chain;
  if (kind == PEF_STAGE_SCAN && dtype == PEF_F32 && fn <= PEF_FN_PROD) m->zoo.stage.params.scan.wide = between(m, 0, 1);
}

// --- rows ------------------------------------------------------------------------------------------------------

// A dim of the output that rows may run along; none of several draws: one row.
static void choose_rows(maker_t *m) {
  const char *rows = m->row->rows;
  const char letter = rows[mutate_below(m->random, strlen(rows))];
  const uint32_t count = m->count[(int)letter];
  if (count == 0 || mutate_below(m->random, 4) == 0) return;
  const uint32_t nth = (uint32_t)mutate_below(m->random, count);
  pef_stage_t stage = m->zoo.stage;
  if (leat_pef_stage_sums(&stage, nth)) return;  // their dims are all of one letter
  const int64_t row_count = between(m, 2, 5), mult = between(m, 1, 2);
  if (letter == 'O') {  // whole groups
    const int64_t groups = m->zoo.stage.params.window.groups;
    m->extent['O'][0] = row_count * groups;
    m->zoo.body.row_count = (uint64_t)m->extent['O'][0];
  } else {
    m->extent[(int)letter][nth] = row_count * mult;
    m->zoo.body.row_count = (uint64_t)row_count;
  }
  m->zoo.body.tile_rows_max = m->zoo.body.row_count;
  m->row_letter = letter;
  m->row_nth = nth;
}

// --- operands ----------------------------------------------------------------------------------------------------

// The operand lacks dims that are summed, or of the role of the other factor.
static bool lacks(const maker_t *m, uint32_t index, uint32_t dim) {
  const pef_stage_t *stage = &m->zoo.stage;
  if (stage->kind == PEF_STAGE_REDUCE) return index == PEF_REDUCE_out && (stage->params.reduce.dims >> dim & 1) != 0;
  if (!is_product(stage)) return false;
  const bool is_c = index + 1u == stage->operand_count;
  return stage->params.product.roles[dim] == (index == 0 ? PEF_ROLE_N : is_c ? PEF_ROLE_K : PEF_ROLE_M);
}

// Elements in memory in a random order of the dims. What is only read may be broadcast, but along its rows.
static void lay_out(maker_t *m, uint32_t index, bool read_only) {
  pef_operand_t *operand = &m->zoo.operands[index];
  int64_t stride = 1;
  bool done[PEF_MAX_RANK] = {0};
  for (uint32_t n = 0; n < operand->rank; ++n) {
    uint32_t d = operand->rank - 1u - n;
    if (mutate_below(m->random, 2) == 0) d = (uint32_t)mutate_below(m->random, operand->rank);
    while (done[d]) d = (d + 1) % operand->rank;
    done[d] = true;
    const bool broadcast = read_only && mutate_below(m->random, 12) == 0;
    operand->strides[d] = lacks(m, index, d) || broadcast ? 0 : stride;
    if (operand->strides[d] != 0) stride *= operand->dims[d];
  }
}

static void choose_operand(maker_t *m, uint32_t index) {
  pef_operand_t *operand = &m->zoo.operands[index];
  const pef_operand_row_t *row = leat_pef_operand_row(m->zoo.stage.kind, index);
  *operand = (pef_operand_t){.space = PEF_SPACE_ARGUMENT, .slot = (uint16_t)index, .row_dim = PEF_NO_ROW_DIM};
  const char *dims = row->dims;
  bool single;
  for (char c = next_letter(&dims, &single); c != '\0'; c = next_letter(&dims, &single)) {
    for (uint32_t nth = 0; nth < m->count[(int)c]; ++nth) {
      if (c == m->row_letter && nth == m->row_nth) {
        operand->row_dim = operand->rank;
        operand->row_mult = (uint64_t)m->extent[(int)c][nth] / m->zoo.body.row_count;
      }
      m->made->letters[index][operand->rank] = c;
      operand->dims[operand->rank++] = c >= '0' && c <= '9' ? c - '0' : m->extent[(int)c][nth];
    }
  }
  lay_out(m, index, row->direction == PEF_IN && (row->traits & PEF_MANY) == 0);
}

static uint32_t dtype_of(maker_t *m, uint32_t index) {
  const pef_operand_row_t *row = leat_pef_operand_row(m->zoo.stage.kind, index);
  const uint32_t other = m->zoo.operands[row->other].dtype, fn = m->zoo.stage.fn;
  if (row->relation == PEF_SAME_DTYPE) return other;
  for (;;) {
    const uint32_t dtype = one_of(m, row->dtypes & ((1u << PEF_DTYPE_COUNT) - 1));
    if ((m->row->without_fns >> fn & 1) != 0 && (m->row->without_dtypes >> dtype & 1) != 0) continue;
    const bool reduced = m->zoo.stage.kind == PEF_STAGE_REDUCE && index == PEF_REDUCE_out;
    if (reduced && fn >= PEF_FN_ARGMAX) return PEF_I64;
    const uint32_t to = reduced ? m->zoo.operands[PEF_REDUCE_in].dtype : other;
    const bool same_class = leat_pef_dtype_class(dtype) == leat_pef_dtype_class(to);
    if ((row->relation != PEF_SAME_CLASS && !reduced) || same_class) return dtype;
  }
}

// out = in0 of any class, converted; a third operand is added.
static void write_program(maker_t *m) {
  const uint8_t class_ = (uint8_t)mutate_below(m->random, 3);
  pef_zoo_t *zoo = &m->zoo;
  uint32_t n = 0;
  zoo->instructions[n++] = (pef_instruction_t){.op = PEF_OP_LOAD, .class_ = class_, .a = 0};
  if (zoo->stage.operand_count == 3) {
    zoo->instructions[n++] = (pef_instruction_t){.op = PEF_OP_LOAD, .class_ = class_, .a = 1};
    zoo->instructions[n++] = (pef_instruction_t){.op = PEF_SCALAR_ADD, .class_ = class_, .a = 0, .b = 1};
  }
  if (zoo->operands[0].rank > 0) {
    const uint16_t dim = (uint16_t)mutate_below(m->random, zoo->operands[0].rank);
    zoo->instructions[n] = (pef_instruction_t){.op = PEF_OP_IOTA, .class_ = class_, .a = dim};
    zoo->instructions[n + 1] = (pef_instruction_t){.op = PEF_SCALAR_ADD, .class_ = class_, .a = n - 1, .b = n};
    n += 2;
  }
  const uint32_t out = zoo->stage.operand_count - 1;
  zoo->instructions[n] = (pef_instruction_t){.op = PEF_OP_STORE, .class_ = class_, .a = out, .b = n - 1};
  ++n;
  zoo->stage.instruction_count = n;
}

static bool fits(const pef_zoo_t *zoo) {
  for (uint32_t i = 0; i < zoo->stage.operand_count; ++i) {
    int64_t bytes = 8;
    for (uint32_t d = 0; d < zoo->operands[i].rank; ++d) bytes *= zoo->operands[i].dims[d];
    if (bytes > PEF_ZOO_ARGUMENT_BYTES) return false;
  }
  return true;
}

static void leave_out(maker_t *m, uint32_t index) {
  m->zoo.operands[index] = (pef_operand_t){.row_dim = PEF_NO_ROW_DIM};
}

static void choose_operands(maker_t *m) {
  pef_stage_t *stage = &m->zoo.stage;
  const bool many = (m->row->operands[0].traits & PEF_MANY) != 0;
  if (many) stage->operand_count = (uint16_t)between(m, 2, 3);
  while (!many && m->row->operands[stage->operand_count].name != NULL) ++stage->operand_count;
  for (uint32_t i = 0; i < stage->operand_count; ++i) choose_operand(m, i);
  for (uint32_t i = 0; i < stage->operand_count; ++i) m->zoo.operands[i].dtype = (uint8_t)dtype_of(m, i);
  if (stage->kind == PEF_STAGE_SORT && mutate_below(m->random, 2) == 0) leave_out(m, (uint32_t)between(m, 1, 2));
  const bool scores = stage->kind == PEF_STAGE_ATTENTION || stage->kind == PEF_STAGE_ATTENTION_GRAD;
  if (scores && mutate_below(m->random, 2) == 0) leave_out(m, PEF_ATTENTION_mask);
  if (stage->kind == PEF_STAGE_ATTENTION && mutate_below(m->random, 2) == 0) leave_out(m, PEF_ATTENTION_lse);
  if (stage->kind == PEF_STAGE_ATTENTION_GRAD)
    leave_out(m, (uint32_t)between(m, PEF_ATTENTION_GRAD_dq, PEF_ATTENTION_GRAD_dv));
  if (!scores || mutate_below(m->random, 2) == 0) return;
  leave_out(m, PEF_ATTENTION_state);
  leave_out(m, PEF_ATTENTION_drop);
}

void make_stage(mutant_t *random, uint32_t kind, made_stage_t *out) {
  for (;;) {
    memset(out, 0, sizeof *out);
    maker_t m = {.random = random, .row = leat_pef_stage_row(kind), .made = out};
    m.zoo.body = (pef_body_t){
        .stage_count = 1, .argument_count = PEF_ZOO_OPERANDS, .tile_quantum = 1, .row_count = 1, .tile_rows_max = 1};
    m.zoo.stage = (pef_stage_t){.kind = (uint16_t)kind, .output = PEF_NO_OUTPUT};
    m.zoo.stage.fn = (uint8_t)(m.row->fns != 0 ? one_of(&m, m.row->fns) : 0);
    choose_counts(&m);
    if (m.zoo.stage.fn >= PEF_FN_ARGMAX && m.row->elements != 0 && m.count['d'] == 0) continue;
    choose_params(&m);
    choose_rows(&m);
    choose_operands(&m);
    choose_chain(&m);
    if ((m.row->operands[0].traits & PEF_MANY) != 0) write_program(&m);
    out->zoo = m.zoo;
    if (fits(&m.zoo)) return;
  }
}
