// SPDX-License-Identifier: Apache-2.0
// See cost.h: what each kind of stage is on a chip. A function a row of cost.def.
#include "chip/cost.h"

#include <math.h>

#include "pef/pef_scalar.h"

// A stage under way, and where its cost goes.
typedef struct site_s {
  const leat_chip_t *chip;
  const leat_pef_t *pef;
  const pef_body_t *body;
  const pef_stage_t *stage;
  const leat_chip_tile_t *tile;
  leat_chip_cost_t *cost;
} site_t;

enum { TAIL_FLOPS = 4 };  // a scalar function of so many operations or more is one for the tail
enum { SCORE_OPERATIONS = 8, SCORE_FUNCTIONS = 2 };

static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t ceil_div(int64_t a, int64_t b) { return a / b + (a % b != 0); }
// A file may say sizes whose product no machine computes.
static int64_t times(int64_t a, int64_t b) {
  int64_t product;
  return __builtin_mul_overflow(a, b, &product) ? INT64_MAX : product;
}

// --- extents ---------------------------------------------------------------------------------------------------------

static const pef_operand_t *operand_of(const site_t *s, uint32_t index) {
  return &s->pef->operands[s->stage->operand_first + index];
}

// Places of an axis that a tile has, with what windows reach beyond them.
static int64_t cut_extent(const pef_operand_t *operand, const pef_cut_t *cut, const leat_chip_tile_t *tile) {
  const int64_t places = tile->axes[cut->axis - 1];
  const int64_t extent = places * (int64_t)cut->mult + cut->before + cut->after;
  return extent < operand->dims[cut->dim] ? most(1, extent) : operand->dims[cut->dim];
}

int64_t leat_chip_extent(const leat_pef_t *pef, const pef_body_t *body, const pef_operand_t *operand, uint32_t dim,
                         const leat_chip_tile_t *tile) {
  if (dim == operand->row_dim) {
    const int64_t rows = tile->rows < (int64_t)body->row_count ? tile->rows : (int64_t)body->row_count;
    return rows * (int64_t)operand->row_mult;
  }
  const pef_cut_t *cut = pef->cut_count > 0 ? leat_pef_cut_of_dim(pef, operand, dim) : NULL;
  return cut != NULL ? cut_extent(operand, cut, tile) : operand->dims[dim];
}

double leat_chip_tile_elements(const leat_pef_t *pef, const pef_body_t *body, const pef_stage_t *stage, uint32_t index,
                               const leat_chip_tile_t *tile) {
  const pef_operand_t *operand = &pef->operands[stage->operand_first + index];
  const bool packed = leat_pef_operand_is_packed(stage, index);
  double elements = 1;
  for (uint32_t d = 0; d < operand->rank; ++d) {
    const bool has = operand->strides[d] != 0 || operand->dims[d] == 0 || (packed && leat_pef_stage_sums(stage, d));
    if (has) elements *= (double)leat_chip_extent(pef, body, operand, d, tile);
  }
  return elements;
}

// Elements of the dims [first, end) of an operand.
static int64_t extents(const site_t *s, uint32_t index, uint32_t first, uint32_t end) {
  const pef_operand_t *operand = operand_of(s, index);
  int64_t elements = 1;
  for (uint32_t d = first; d < end; ++d)
    elements = times(elements, leat_chip_extent(s->pef, s->body, operand, d, s->tile));
  return elements;
}
static int64_t all_extents(const site_t *s, uint32_t index) { return extents(s, index, 0, operand_of(s, index)->rank); }

static int64_t lanes_of(const site_t *s, uint32_t index) {
  return leat_chip_lanes(s->chip, leat_pef_dtype_bytes(operand_of(s, index)->dtype));
}
// Lanes of the widest of all operands.
static int64_t least_lanes(const site_t *s) {
  int64_t lanes = INT64_MAX;
  for (uint32_t i = 0; i < s->stage->operand_count; ++i) {
    if (operand_of(s, i)->space == PEF_SPACE_NONE) continue;
    lanes = lanes_of(s, i) < lanes ? lanes_of(s, i) : lanes;
  }
  return lanes == INT64_MAX ? 1 : lanes;
}

// --- kinds of work ---------------------------------------------------------------------------------------------------

static leat_chip_work_t *add_work(site_t *s, enum leat_chip_way way, int64_t lanes) {
  leat_chip_work_t *work = &s->cost->works[s->cost->work_count++];
  *work = (leat_chip_work_t){.way = way, .lanes = lanes, .stages = (int64_t)s->chip->stages, .passes = 1};
  return work;
}

static void add_lines(site_t *s, enum leat_chip_way way, int64_t lanes, int64_t lines, int64_t length, int64_t passes) {
  leat_chip_work_t *work = add_work(s, way, lanes);
  work->lines = lines;
  work->length = length;
  work->passes = passes;
}

// Elements with a chain of operations and functions.
static void add_chain(site_t *s, int64_t lanes, int64_t elements, int64_t operations, int64_t functions) {
  const int64_t passes = most(most(1, functions), ceil_div(operations, (int64_t)s->chip->stages));
  add_lines(s, LEAT_CHIP_SIMD, lanes, 1, elements, passes);
}

// Lanes run along m or along n, whichever takes fewer blocks.
static bool add_product(site_t *s, int64_t lanes, int64_t batch, int64_t m, int64_t n, int64_t k) {
  leat_chip_work_t *work = add_work(s, LEAT_CHIP_SYSTOLIC, lanes);
  const double straight = (double)ceil_div(m, lanes) * (double)ceil_div(n, work->stages);
  const double turned = (double)ceil_div(n, lanes) * (double)ceil_div(m, work->stages);
  work->batch = batch;
  work->m = turned < straight ? n : m;
  work->n = turned < straight ? m : n;
  work->k = k;
  return turned < straight;
}

static void add_product_of(site_t *s, uint32_t m_operand, uint32_t n_operand, const int64_t sizes[4]) {
  const int64_t a = lanes_of(s, m_operand), b = lanes_of(s, n_operand);
  const bool turned = add_product(s, a < b ? a : b, sizes[0], sizes[1], sizes[2], sizes[3]);
  s->cost->m_operand = turned ? n_operand : m_operand;
  s->cost->n_operand = turned ? m_operand : n_operand;
}

// --- stage kinds -----------------------------------------------------------------------------------------------------

static void cost_map(site_t *s) {
  int64_t operations = 0, functions = 0;
  for (uint32_t i = 0; i < s->stage->instruction_count; ++i) {
    const pef_instruction_t *in = &s->pef->instructions[s->stage->instruction_first + i];
    const uint32_t flops = leat_pef_scalar_flops(in->op);
    functions += flops >= TAIL_FLOPS;
    operations += in->op == PEF_OP_WRAP || (flops > 0 && flops < TAIL_FLOPS);
  }
  s->cost->is_streamed = s->cost->can_ride = true;
  add_chain(s, least_lanes(s), all_extents(s, leat_pef_output(s->pef, s->stage)), operations, functions);
}

static void cost_reduce(site_t *s) {
  const pef_operand_t *in = operand_of(s, PEF_REDUCE_in);
  const uint64_t mask = (uint64_t)s->stage->params.reduce.dims;
  int64_t lines = 1, length = 1;
  for (uint32_t d = 0; d < in->rank; ++d) {
    int64_t *side = (mask >> d & 1) != 0 ? &length : &lines;
    *side = times(*side, leat_chip_extent(s->pef, s->body, in, d, s->tile));
  }
  const int64_t lanes = lanes_of(s, PEF_REDUCE_in);
  s->cost->is_streamed = true;
  add_lines(s, LEAT_CHIP_TREE, lanes, lines, length, 1);
  const bool across = in->rank > 0 && (mask >> (in->rank - 1) & 1) != 0;
  s->cost->works[0].latency = across ? (int64_t)ceil(log2((double)most(2, lanes))) : 0;
}

static void cost_scan(site_t *s) {
  const pef_operand_t *in = operand_of(s, PEF_SCAN_in);
  const uint32_t dim = (uint32_t)s->stage->params.scan.dim;
  const int64_t length = most(1, leat_chip_extent(s->pef, s->body, in, dim, s->tile));
  add_lines(s, LEAT_CHIP_SCAN, lanes_of(s, PEF_SCAN_in), all_extents(s, PEF_SCAN_in) / length, length, 1);
}

// A has the rows of the result, B its columns, in all kinds that are products.
static void cost_contract(site_t *s) {
  const pef_product_t *params = &s->stage->params.product;
  const uint32_t c = s->stage->operand_count - 1u;
  int64_t sizes[4] = {1, 1, 1, 1};  // ORDER: pef_role
  for (uint32_t d = 0; d < operand_of(s, c)->rank; ++d) {
    const uint32_t from = params->roles[d] == PEF_ROLE_K ? PEF_CONTRACT_a : c;
    int64_t *size = &sizes[params->roles[d]];
    *size = times(*size, leat_chip_extent(s->pef, s->body, operand_of(s, from), d, s->tile));
  }
  add_product_of(s, PEF_CONTRACT_b, PEF_CONTRACT_a,
                 (int64_t[]){sizes[PEF_ROLE_BATCH], sizes[PEF_ROLE_N], sizes[PEF_ROLE_M], sizes[PEF_ROLE_K]});
}
static void cost_contract_scaled(site_t *s) { cost_contract(s); }

// Taps that meet a hole of an operand that is spread out are left out.
static int64_t met_taps(const site_t *s, int64_t k) {
  const pef_window_t *w = &s->stage->params.window;
  for (int64_t i = 0; i < w->spatial; ++i) k = ceil_div(k, most(1, w->base_dilation[i]));
  return k;
}

static void cost_conv(site_t *s) {
  const uint32_t y_rank = operand_of(s, PEF_CONV_y)->rank, w_rank = operand_of(s, PEF_CONV_w)->rank;
  const int64_t groups = most(1, s->stage->params.conv.groups);
  const int64_t images = extents(s, PEF_CONV_y, 0, 1), outputs = extents(s, PEF_CONV_y, 1, 2);
  const int64_t sizes[4] = {groups, ceil_div(outputs, groups), times(images, extents(s, PEF_CONV_y, 2, y_rank)),
                            met_taps(s, extents(s, PEF_CONV_w, 1, w_rank))};
  add_product_of(s, PEF_CONV_w, PEF_CONV_x, sizes);
}

static void cost_conv_wgrad(site_t *s) {
  const uint32_t batch = (uint32_t)s->stage->params.conv_wgrad.batch;
  const uint32_t dy_rank = operand_of(s, PEF_CONV_WGRAD_dy)->rank, dw_rank = operand_of(s, PEF_CONV_WGRAD_dw)->rank;
  const int64_t groups = most(1, s->stage->params.conv_wgrad.groups);
  const int64_t sizes[4] = {
      times(groups, extents(s, PEF_CONV_WGRAD_dw, 0, batch)),
      ceil_div(extents(s, PEF_CONV_WGRAD_dw, batch, batch + 1), groups),
      extents(s, PEF_CONV_WGRAD_dw, batch + 1, dw_rank),
      times(extents(s, PEF_CONV_WGRAD_dy, batch, batch + 1), extents(s, PEF_CONV_WGRAD_dy, batch + 2, dy_rank))};
  add_product_of(s, PEF_CONV_WGRAD_dy, PEF_CONV_WGRAD_x, sizes);
}

static int64_t taps(const site_t *s) {
  const pef_window_t *w = &s->stage->params.window;
  int64_t count = 1;
  for (int64_t i = 0; i < w->spatial; ++i) count = times(count, w->window[i]);
  return count;
}
static void cost_pool(site_t *s) { add_chain(s, lanes_of(s, PEF_POOL_x), all_extents(s, PEF_POOL_y), taps(s), 0); }
static void cost_pool_grad(site_t *s) {
  add_chain(s, lanes_of(s, PEF_POOL_GRAD_x), all_extents(s, PEF_POOL_GRAD_dy), times(2, taps(s)), 0);
}

// --- tables ----------------------------------------------------------------------------------------------------------

// Elements that follow each other behind the dims of the index: a run.
static int64_t run_of(const site_t *s, uint32_t table) {
  return most(1, extents(s, table, (uint32_t)s->stage->params.lookup.dim + 1, operand_of(s, table)->rank));
}

static void add_lookup(site_t *s, uint32_t table, int64_t elements, int64_t accesses) {
  const int64_t run = run_of(s, table);
  add_lines(s, LEAT_CHIP_LOOKUP, lanes_of(s, table), elements / run, run, accesses);
  s->cost->table = table;
  s->cost->looked_up = (double)elements * (double)accesses * (double)leat_pef_dtype_bytes(operand_of(s, table)->dtype);
}

static void cost_gather(site_t *s) { add_lookup(s, PEF_GATHER_x, all_extents(s, PEF_GATHER_out), 1); }

// Where rows run along the table, each update is of one of its tiles.
static void cost_scatter(site_t *s) {
  const pef_operand_t *out = operand_of(s, PEF_SCATTER_out);
  const bool spread = out->row_dim == (uint32_t)s->stage->params.scatter.dim && s->body->row_count > 1;
  const int64_t rows = (int64_t)s->body->row_count;
  const int64_t tiles = spread ? ceil_div(rows, s->tile->rows < rows ? s->tile->rows : rows) : 1;
  add_lookup(s, PEF_SCATTER_out, ceil_div(all_extents(s, PEF_SCATTER_updates), tiles), 2);
  s->cost->is_spread = spread;
  s->cost->is_updated = true;
}

static void cost_search(site_t *s) {
  const pef_operand_t *table = operand_of(s, PEF_SEARCH_table);
  const int64_t length = table->dims[s->stage->params.search.dim];
  add_lookup(s, PEF_SEARCH_table, all_extents(s, PEF_SEARCH_out),
             (int64_t)ceil(log2((double)length + 1)) + (length == 0));
}

static void cost_sort(site_t *s) {
  const int64_t length = operand_of(s, PEF_SORT_in)->dims[s->stage->params.sort.dim];
  add_lines(s, LEAT_CHIP_SORT, lanes_of(s, PEF_SORT_in), all_extents(s, PEF_SORT_in) / most(1, length), length, 1);
}

static void cost_random(site_t *s) {
  s->cost->is_streamed = true;
  add_chain(s, lanes_of(s, PEF_RANDOM_out), all_extents(s, PEF_RANDOM_out), 0, 1);
}

// --- attention -------------------------------------------------------------------------------------------------------

// Of the table of scores, what lies in blocks in which some key takes part.
static double part_of_scores(const pef_attention_t *params, int64_t queries, int64_t keys) {
  const int64_t block = most(1, params->block);
  double kept = 0;
  for (int64_t i = 0; i < queries; i += block) {
    const int64_t last = i + block < queries ? i + block - 1 : queries - 1;
    const int64_t low = most(0, i - params->before), end = last + params->after + 1;
    const int64_t first = low / block * block, stop = ceil_div(most(0, end), block) * block;
    kept += (double)most(0, (stop < keys ? stop : keys) - first);
  }
  return queries == 0 || keys == 0 ? 1 : kept / (ceil((double)queries / (double)block) * (double)keys);
}

// `products` of them over the width of q, `values` over that of v, for every score that takes part.
static void add_scores(site_t *s, int64_t products, int64_t values, int64_t chains) {
  const pef_operand_t *q = operand_of(s, PEF_ATTENTION_q), *k = operand_of(s, PEF_ATTENTION_k);
  const pef_operand_t *v = operand_of(s, PEF_ATTENTION_v);
  const int64_t heads = extents(s, PEF_ATTENTION_q, 0, q->rank - 2u);
  const int64_t queries = leat_chip_extent(s->pef, s->body, q, q->rank - 2u, s->tile);
  const int64_t keys = k->dims[k->rank - 2u];
  const double part = part_of_scores(&s->stage->params.attention, q->dims[q->rank - 2u], keys);
  const int64_t met = most(1, (int64_t)ceil(part * (double)keys));
  const int64_t lanes = lanes_of(s, PEF_ATTENTION_q);
  (void)add_product(s, lanes, times(heads, products), met, queries, q->dims[q->rank - 1u]);
  (void)add_product(s, lanes, times(heads, values), met, queries, v->dims[v->rank - 1u]);
  add_chain(s, leat_chip_lanes(s->chip, sizeof(float)), times(times(heads, queries), met), chains * SCORE_OPERATIONS,
            chains * SCORE_FUNCTIONS);
}
static void cost_attention(site_t *s) { add_scores(s, 1, 1, 1); }
static void cost_attention_grad(site_t *s) { add_scores(s, 3, 2, 1); }

// --- the table -------------------------------------------------------------------------------------------------------

typedef struct kind_s {
  leat_chip_cost_row_t row;
  void (*cost)(site_t *site);
} kind_t;

#define COST(suffix, name, way, source, confidence, text) \
  static const kind_t kind_##suffix = {{LEAT_CHIP_##way, source, LEAT_CONFIDENCE_##confidence}, cost_##name};
#include "chip/cost.def"

static const kind_t *const kinds[PEF_STAGE_COUNT] = {
#define STAGE(suffix, name, number, since, text) [PEF_STAGE_##suffix] = &kind_##suffix,
#include "pef/stage.def"
};

const leat_chip_cost_row_t *leat_chip_cost_row(uint32_t kind) { return &kinds[kind]->row; }

void leat_chip_cost_of(const leat_chip_t *chip, const leat_pef_t *pef, const pef_body_t *body, const pef_stage_t *stage,
                       const leat_chip_tile_t *tile, leat_chip_cost_t *out_cost) {
  *out_cost = (leat_chip_cost_t){.m_operand = LEAT_CHIP_NONE, .n_operand = LEAT_CHIP_NONE, .table = LEAT_CHIP_NONE};
  site_t site = {chip, pef, body, stage, tile, out_cost};
  kinds[stage->kind]->cost(&site);
}
