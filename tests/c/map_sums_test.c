// SPDX-License-Identifier: Apache-2.0
// Sums that a MAP makes for the REDUCE stages behind it, at the ISA level of the process: bit for bit what these make
// of what it stores, for random shapes, dims that are summed, programs, strides and tiles; what others want is stored,
// what nobody wants is left alone. LEAT_DRAWS: how many bodies (1500).
#include "check.h"
#include "draws.h"
#include "level.h"
#include "native/code.h"
#include "native/stage.h"
#include "pef/pef_scalar.h"

enum { INPUTS = 3, SUMS = LEAT_NATIVE_SUMS_MAX, MAP_OPERANDS = INPUTS + SUMS, ELEMENTS = 1 << 15, RANK_MAX = 4 };
enum { SLOTS = MAP_OPERANDS + SUMS };  // one an operand of the MAP, one a result

typedef struct drawn_s {
  uint32_t rank, row_dim, sum_count, count;
  int64_t dims[RANK_MAX], tile_rows;
  uint64_t summed[SUMS];
  leat_native_operand_t map[MAP_OPERANDS], reduce[SUMS][2];
  pef_instruction_t code[32];
  pef_params_t params[SUMS];
  bool wanted[SUMS];
} drawn_t;

typedef float memory_t[SLOTS][ELEMENTS];

static uint64_t state;
static uint32_t chance(uint32_t n) {  // below n
  state ^= state << 13, state ^= state >> 7, state ^= state << 17;
  return (uint32_t)(state >> 33) % n;
}

// Contiguous over the dims that are not in `without`, along which it is broadcast.
static leat_native_operand_t operand(const drawn_t *d, uint32_t slot, uint64_t without, bool scratch) {
  leat_native_operand_t o = {.space = scratch ? PEF_SPACE_SCRATCH : PEF_SPACE_ARGUMENT,
                             .dtype = PEF_F32,
                             .element_bytes = sizeof(float),
                             .rank = (uint8_t)d->rank,
                             .row_dim = (uint8_t)d->row_dim,
                             .row_mult = 1,
                             .slot = slot};
  int64_t step = 1;
  for (uint32_t k = 8; k-- > 0;) {
    o.dims[k] = k < d->rank ? d->dims[k] : 1;
    if (k >= d->rank || (without >> k & 1) != 0) continue;
    o.strides[k] = step;
    step *= k == d->row_dim && scratch ? d->tile_rows : d->dims[k];
  }
  if (scratch) o.offset = (int64_t)(slot * sizeof(float) * ELEMENTS);
  if (!scratch) o.row_bytes = o.strides[d->row_dim] * (int64_t)sizeof(float);
  return o;
}

static void draw_shape(drawn_t *d) {
  static const int64_t inner[] = {48, 64, 100, 255, 640, 1024, 1031, 2100, 3000, 1, 17};
  d->rank = 2 + chance(3);
  const bool lanes = chance(2) == 0;
  int64_t left = ELEMENTS;
  for (uint32_t k = d->rank; k-- > 0;) {
    d->dims[k] = k == d->rank - 1 ? inner[chance(11)] : 1 + chance(chance(2) ? 5 : 40);
    if (d->dims[k] > left) d->dims[k] = left;
    left /= d->dims[k];
  }
  d->row_dim = chance(d->rank - (lanes ? 1 : 0));
  uint64_t rows = 0;
  for (uint32_t k = 0; k < d->rank - 1; k++) rows |= (uint64_t)(k != d->row_dim && chance(2)) << k;
  const bool both = lanes && rows != 0 && chance(4) != 0;  // the innermost alone for some, and the others for the rest
  for (uint32_t i = 0; i < SUMS; i++) {
    const uint64_t run = lanes ? 1ull << (d->rank - 1) : 0;
    d->summed[i] = !both ? rows | run : chance(2) ? rows : run;
  }
  d->tile_rows = 1 + chance((uint32_t)d->dims[d->row_dim]);
}

static void draw_program(drawn_t *d) {
  static const uint8_t functions[] = {PEF_SCALAR_ADD, PEF_SCALAR_SUB, PEF_SCALAR_MUL,  PEF_SCALAR_FMA,
                                      PEF_SCALAR_DIV, PEF_SCALAR_MAX, PEF_SCALAR_SQRT, PEF_SCALAR_ABS};
  for (uint32_t i = 0; i < INPUTS; i++) {
    const bool scratch = chance(4) == 0;  // one draw a statement: compilers order arguments as they like
    d->map[i] = operand(d, i, i == 0 ? 0 : chance(1u << d->rank), scratch);
    d->code[d->count++] = (pef_instruction_t){.op = PEF_OP_LOAD, .a = i};
  }
  for (uint32_t i = 1 + chance(8); i > 0; i--) {
    const uint32_t a = chance(d->count), b = chance(d->count), c = chance(d->count);
    const uint8_t op = functions[chance(sizeof functions)];
    const uint32_t arity = leat_pef_scalar_arity(op);
    d->code[d->count++] = (pef_instruction_t){.op = op, .a = a, .b = arity > 1 ? b : 0, .c = arity > 2 ? c : 0};
  }
  const uint32_t values = d->count;
  d->sum_count = 1 + chance(SUMS);
  const int64_t chain = chance(8) == 0 ? 0 : 1 + chance(20);
  for (uint32_t i = 0; i < SUMS; i++) {
    d->params[i].reduce.dims = (int64_t)d->summed[i];
    d->params[i].reduce.chain = chain;
    d->map[INPUTS + i] = operand(d, INPUTS + i, 0, chance(4) != 0);
    d->reduce[i][0] = chance(6) == 0 ? d->map[0] : d->map[INPUTS + i];
    d->reduce[i][1] = operand(d, MAP_OPERANDS + i, d->summed[i], chance(2) == 0);
    d->wanted[i] = d->reduce[i][0].space != PEF_SPACE_SCRATCH || chance(2) == 0;
    d->code[d->count++] = (pef_instruction_t){
        .op = PEF_OP_STORE, .a = INPUTS + i, .b = chance(3) == 0 ? chance(values) : values - 1 - chance(2)};
  }
}

static void merge(leat_native_operand_t *o, uint32_t k, bool is_row) {
  if (is_row) o->row_mult = o->dims[k + 1];
  o->dims[k] *= o->dims[k + 1];
  for (uint32_t i = k; i < 7; i++) {
    if (i > k) o->dims[i] = o->dims[i + 1];
    o->strides[i] = o->strides[i + 1];
  }
  o->rank--;
  if (o->row_dim > k) o->row_dim--;
}

// Lets what is summed be seen in fewer dims than the MAP has: two that are both summed, or both kept, are one.
static void draw_view(drawn_t *d, uint32_t i) {
  if (chance(24) == 0 && d->summed[i] != 0) {  // of no elements: a sum that is 0
    d->reduce[i][0].dims[__builtin_ctzll(d->summed[i])] = 0;
    return;
  }
  const uint32_t k = chance(d->rank - 1);
  const uint64_t summed = d->summed[i], low = (1ull << (k + 1)) - 1;
  if (chance(2) == 0 || k + 1 == d->row_dim || (summed >> k & 1) != (summed >> (k + 1) & 1)) return;
  merge(&d->reduce[i][0], k, k == d->row_dim);
  merge(&d->reduce[i][1], k, k == d->row_dim);
  d->params[i].reduce.dims = (int64_t)((summed & low) | (summed >> 1 & ~low));
}

static leat_native_stage_t stage_of(const drawn_t *d, uint32_t sum) {
  leat_native_stage_t stage = {.kern = leat_native_cpu_kernels(level_isa()), .origin = "test"};
  if (sum < SUMS) {
    stage.params = &d->params[sum];
    stage.kind = leat_native_stage_kind(PEF_STAGE_REDUCE);
    stage.fn = PEF_FN_SUM;
    stage.operands = d->reduce[sum];
    stage.operand_count = 2;
    return stage;
  }
  stage.kind = leat_native_stage_kind(PEF_STAGE_MAP);
  stage.operands = d->map;
  stage.operand_count = MAP_OPERANDS;
  stage.instructions = d->code;
  stage.instruction_count = d->count;
  return stage;
}

// Runs the body; returns how many sums the MAP made.
static uint32_t run(const drawn_t *d, leat_native_code_t *code, memory_t *memory) {
  leat_arena_t arena;
  leat_arena_init(&arena);
  leat_native_stage_t stages[1 + SUMS] = {stage_of(d, SUMS)};
  leat_native_sum_t sums[SUMS];
  size_t bytes = 64;
  for (uint32_t i = 0; i < d->sum_count; i++) {
    stages[1 + i] = stage_of(d, i);
    sums[i] = (leat_native_sum_t){&stages[1 + i], d->wanted[i]};
  }
  const leat_native_prepare_t context = {.arena = &arena,
                                         .kern = stages[0].kern,
                                         .code = code,
                                         .row_count = d->dims[d->row_dim],
                                         .tile_rows_max = d->tile_rows,
                                         .sums = sums,
                                         .sum_count = code != NULL ? d->sum_count : 0};
  assert_ok(stages[0].kind->prepare(&stages[0], &context));
  const leat_native_stage_t *map = stages[0].joined != NULL ? stages[0].joined : &stages[0];
  const uint32_t made = stages[0].joined != NULL ? stages[0].joined_count - 1 : 0;
  for (uint32_t i = made; i < d->sum_count; i++) assert_ok(stages[1 + i].kind->prepare(&stages[1 + i], &context));
  for (uint32_t i = 1; i <= d->sum_count; i++) bytes += stages[i].workspace_bytes;
  bytes += map->workspace_bytes;
  char *workspace = leat_alloc(bytes), *arguments[SLOTS];
  for (uint32_t i = 0; i < SLOTS; i++) arguments[i] = (char *)(*memory)[i];
  for (int64_t r = 0; r < context.row_count; r += d->tile_rows) {
    const int64_t left = context.row_count - r;
    const leat_run_tile_t tile = {.r0 = r,
                                  .rows = left < d->tile_rows ? left : d->tile_rows,
                                  .arguments = arguments,
                                  .scratch = (char *)memory,
                                  .workspace = workspace};
    memset(workspace, 0x7f, bytes);
    map->kind->run(map, &tile);
    for (uint32_t i = made; i < d->sum_count; i++) stages[1 + i].kind->run(&stages[1 + i], &tile);
  }
  leat_free(workspace);
  leat_arena_deinit(&arena);
  return made;
}

static void fill(memory_t *memory, uint64_t seed) {
  state = seed;
  for (uint32_t s = 0; s < SLOTS; s++) {
    for (uint32_t e = 0; e < ELEMENTS; e++) (*memory)[s][e] = ((float)chance(1 << 20) - 600000.0F) / (float)(1 << 14);
  }
}

static bool is_same(float a, float b) { return memcmp(&a, &b, sizeof a) == 0 || (a != a && b != b); }

// Whether the first sums alone read the tile buffer of an operand.
static bool is_left_out(const drawn_t *d, uint32_t slot, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    if (d->reduce[i][0].slot == slot && !d->wanted[i]) return slot >= INPUTS;
  }
  return false;
}

static void sums_are_those_of_what_is_stored(void **unused) {
  (void)unused;
  leat_native_code_t *code = NULL;
  assert_ok(leat_native_code_create(level_isa(), &code));
  if (code == NULL) return;  // nothing is written for this level, or this machine
  memory_t *apart = leat_alloc(sizeof *apart), *made = leat_alloc(sizeof *made), *before = leat_alloc(sizeof *before);
  const uint32_t count_of_draws = draws(1500);
  uint32_t sums = 0, left = 0, both = 0;
  for (uint32_t draw = 0; draw < count_of_draws; draw++) {
    drawn_t d = {0};
    fill(before, draw * 2654435761u + 99);
    draw_shape(&d);
    if (d.summed[0] == 0) continue;
    draw_program(&d);
    for (uint32_t i = 0; i < SUMS; i++) draw_view(&d, i);
    memcpy(apart, before, sizeof *apart);
    memcpy(made, before, sizeof *made);
    (void)run(&d, NULL, apart);
    const uint32_t count = run(&d, code, made);
    for (uint32_t s = 0; s < SLOTS; s++) {
      const bool left_out = is_left_out(&d, s, count) && memcmp((*made)[s], (*before)[s], sizeof **made) == 0;
      const memory_t *wanted = left_out ? before : apart;
      left += left_out;
      for (uint32_t e = 0; e < ELEMENTS; e++) {
        if (!is_same((*wanted)[s][e], (*made)[s][e]))
          fail_msg("draw %u, operand %u, element %u: %.9g where %.9g belongs (%u sums made)", draw, s, e,
                   (double)(*made)[s][e], (double)(*wanted)[s][e], count);
      }
    }
    sums += count;
    both += count > 1 && d.summed[0] != d.summed[1];
  }
  assert_true(sums >= count_of_draws / 20);
  assert_true(left >= count_of_draws / 100);
  assert_true(both >= count_of_draws / 400);
  leat_free(apart);
  leat_free(made);
  leat_free(before);
  leat_native_code_destroy(code);
}

int main(void) {
  if (!level_begin()) return LEVEL_MISSING;
  const struct CMUnitTest tests[] = {cmocka_unit_test(sums_are_those_of_what_is_stored)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
