// SPDX-License-Identifier: Apache-2.0
// See allocate.h. Rows of a tile are what the record wants, fewer where buffers do not fit otherwise; then weights no
// longer stay, the largest first, and come with every tile. Of what fits, that is taken which takes least time.
#include "chip/allocate.h"

#include <math.h>

#include "chip/share.h"

// A body under way.
typedef struct finder_s {
  const leat_chip_t *chip;
  const leat_pef_t *pef;
  const pef_body_t *body;
  uint32_t index, tiles, parts;
  int64_t part_rows;  // of the body, that each part takes
  const pef_axis_t *axes;
  uint32_t axis_count;
  leat_chip_units_t limits;  // of a part
  leat_chip_units_t least;   // that was tried and did not fit: for the message
  uint32_t nodes;
} finder_t;

// One way to do it.
typedef struct way_s {
  leat_chip_tile_t tile;
  double tiles;
  leat_chip_pipe_t pipe;
  leat_chip_share_t share;
  double seconds;
  bool streams;  // weights come with every tile
} way_t;

// Of the tiles, the levels of a pipeline that are not worth thinner ones.
#define FILL_SHARE 0.02

static void way_deinit(way_t *way) {
  leat_chip_pipe_deinit(&way->pipe);
  leat_free(way->share.grants);
  *way = (way_t){0};
}

static int64_t ceil_div(int64_t a, int64_t b) { return a / b + (a % b != 0); }

// --- memory ----------------------------------------------------------------------------------------------------------

static double memory_seconds(const leat_chip_t *chip, uint32_t tiles, uint32_t parts, double streamed, double random) {
  return (double)parts * (streamed / leat_chip_ddr_rate(chip, tiles) + random / chip->ddr_random);
}

double leat_chip_memory_cycles(const leat_chip_t *chip, const leat_chip_allocation_t *a) {
  return chip->clock * memory_seconds(chip, a->tiles_used, a->parts, a->memory_bytes, a->random_bytes);
}

typedef struct traffic_s {
  double streamed, random, resident;
} traffic_t;

static traffic_t traffic_of(const leat_chip_pipe_t *pipe) {
  traffic_t traffic = {0};
  for (uint32_t i = 0; i < pipe->passes.count; ++i) {
    const leat_chip_pass_t *pass = &pipe->passes.data[i];
    if (pass->kind == LEAT_CHIP_PASS || !pass->is_first) continue;
    if (pass->kind == LEAT_CHIP_LOOK_UP)
      traffic.random += pass->bytes;
    else
      *(pass->kind == LEAT_CHIP_RESIDENT ? &traffic.resident : &traffic.streamed) += pass->bytes;
  }
  return traffic;
}

// --- ways ------------------------------------------------------------------------------------------------------------

static double tile_count(const finder_t *f, const leat_chip_tile_t *tile) {
  double count = (double)ceil_div(f->part_rows, tile->rows);
  for (uint32_t i = 0; i < f->axis_count; ++i) count *= (double)ceil_div((int64_t)f->axes[i].count, tile->axes[i]);
  return count;
}

// Fills a way but for its units. LEAT_OUT_OF_MEMORY.
static leat_status_t begin_way(const finder_t *f, const leat_chip_tile_t *tile, way_t *way) {
  *way = (way_t){.tile = *tile, .tiles = tile_count(f, tile)};
  LEAT_TRY(leat_chip_pipe_make(f->chip, f->pef, f->body, tile, way->tiles, &way->pipe));
  way->share.grants = leat_alloc_zero(way->pipe.nodes.count + 1, sizeof *way->share.grants);
  return way->share.grants != NULL ? NULL : leat_out_of_memory();
}

// Whether there are units for it; its time, of all tiles and of what is loaded before them.
static bool share_way(finder_t *f, way_t *way) {
  const traffic_t traffic = traffic_of(&way->pipe);
  const double memory = memory_seconds(f->chip, f->tiles, f->parts, traffic.streamed, traffic.random);
  const double cycles = memory * f->chip->clock;
  if (!leat_chip_share_search(f->chip, &way->pipe, f->limits, cycles, &way->share)) {
    f->least = way->share.taken;
    f->nodes = way->pipe.nodes.count;
    return false;
  }
  const double interval = fmax(cycles, way->share.compute) / f->chip->clock;
  way->seconds = (way->tiles + (double)way->pipe.levels - 1) * interval +
                 memory_seconds(f->chip, f->tiles, f->parts, traffic.resident, 0);
  return true;
}

// Takes the largest tensor that stays from the buffers: it comes with each tile, or is looked up where it lies.
static bool let_one_go(leat_chip_pipe_t *pipe) {
  leat_chip_pass_t *largest = NULL;
  for (uint32_t i = 0; i < pipe->passes.count; ++i) {
    leat_chip_pass_t *pass = &pipe->passes.data[i];
    if (pass->kind == LEAT_CHIP_RESIDENT && (largest == NULL || pass->bytes > largest->bytes)) largest = pass;
  }
  if (largest == NULL) return false;
  const leat_chip_pass_t gone = *largest;
  for (uint32_t i = 0; i < pipe->passes.count; ++i) {  // and whoever else reads it
    leat_chip_pass_t *pass = &pipe->passes.data[i];
    const bool same = pass->operand->slot == gone.operand->slot && pass->operand->offset == gone.operand->offset;
    if (pass->kind != LEAT_CHIP_RESIDENT || !same || pass->bytes != gone.bytes) continue;
    pass->kind = pass->looked_up > 0 ? LEAT_CHIP_LOOK_UP : LEAT_CHIP_LOAD;
    if (pass->looked_up > 0) pass->bytes = pass->looked_up;
    pass->depth = 0;
  }
  return true;
}

static void keep_better(way_t *best, way_t *way) {
  const bool is_better = best->share.grants == NULL || way->seconds < best->seconds;
  if (is_better) {
    way_deinit(best);
    *best = *way;
    *way = (way_t){0};
  } else {
    way_deinit(way);
  }
}

// Tries a tile with all that stays, or, where `streams`, without as much of that as does not fit.
static leat_status_t try_tile(finder_t *f, const leat_chip_tile_t *tile, bool streams, way_t *best, bool *out_fits) {
  way_t way;
  leat_status_t status = begin_way(f, tile, &way);
  bool fits = status == NULL && share_way(f, &way);
  way.streams = !fits;
  while (status == NULL && !fits && streams && let_one_go(&way.pipe)) fits = share_way(f, &way);
  *out_fits = fits;
  if (fits)
    keep_better(best, &way);
  else
    way_deinit(&way);
  return status;
}

// Fewer rows, then fewer places of the longest axis. False: it is the least.
static bool make_smaller(const finder_t *f, leat_chip_tile_t *tile) {
  if (tile->rows > 1) {
    tile->rows = ceil_div(tile->rows, 2);
    return true;
  }
  int64_t *longest = NULL;
  for (uint32_t i = 0; i < f->axis_count; ++i)
    if (tile->axes[i] > 1 && (longest == NULL || tile->axes[i] > *longest)) longest = &tile->axes[i];
  if (longest != NULL) *longest = ceil_div(*longest, 2);
  return longest != NULL;
}

// Filling the pipeline takes so small a part of the time that thinner tiles gain nothing.
static bool is_filled(const way_t *way) { return (double)way->pipe.levels - 1 <= FILL_SHARE * way->tiles; }

// Tiles get smaller as long as nothing fits, or the pipeline fills for long.
static leat_status_t find_way(finder_t *f, const leat_chip_tile_t *first, way_t *best) {
  leat_chip_tile_t tile = *first;
  bool stays, fits;
  do {
    LEAT_TRY(try_tile(f, &tile, false, best, &stays));
    if (!stays && (best->share.grants == NULL || best->streams)) LEAT_TRY(try_tile(f, &tile, true, best, &fits));
    if (stays && (is_filled(best) || tile.rows == 1)) return NULL;
  } while (make_smaller(f, &tile));
  return NULL;
}

// --- the tile that is wanted -----------------------------------------------------------------------------------------

// Bytes of a row of the largest value that runs along the rows.
static double row_bytes(const finder_t *f) {
  double most = 0;
  for (uint32_t s = 0; s < f->body->stage_count; ++s) {
    const pef_stage_t *stage = &f->pef->stages[f->body->stage_first + s];
    for (uint32_t i = 0; i < stage->operand_count; ++i) {
      const pef_operand_t *operand = &f->pef->operands[stage->operand_first + i];
      if (operand->space == PEF_SPACE_NONE || operand->row_dim == PEF_NO_ROW_DIM) continue;
      leat_chip_tile_t row = {.rows = 1};
      for (uint32_t a = 0; a < f->axis_count; ++a) row.axes[a] = (int64_t)f->axes[a].count;
      const double elements = leat_chip_tile_elements(f->pef, f->body, stage, i, &row);
      most = fmax(most, elements * (double)leat_pef_dtype_bytes(operand->dtype));
    }
  }
  return most;
}

// As many rows as the record wants, more of short ones; tiles of one height.
static leat_chip_tile_t wanted_tile(const finder_t *f) {
  leat_chip_tile_t tile = {.rows = f->part_rows};
  const double by_bytes = ceil((double)f->chip->tile_bytes / fmax(1, row_bytes(f)));
  const double rows = fmax((double)f->chip->tile_rows, by_bytes);
  if (rows < (double)f->part_rows) tile.rows = (int64_t)rows;
  for (uint32_t i = 0; i < f->axis_count; ++i) tile.axes[i] = (int64_t)f->axes[i].count;
  return tile;
}

// --- the allocation --------------------------------------------------------------------------------------------------

static void fill_stages(const finder_t *f, const way_t *way, leat_chip_allocation_t *a) {
  for (uint32_t i = 0; i < a->stage_count; ++i) {
    const leat_chip_grant_t *grant = &way->share.grants[i];
    a->stages[i] = (leat_chip_stage_t){.stage = f->body->stage_first + way->pipe.nodes.data[i].stage,
                                       .pcus = (uint32_t)grant->pcus,
                                       .along_m = (uint32_t)(grant->shares.m * grant->shares.batch),
                                       .along_n = (uint32_t)grant->shares.n,
                                       .cycles = grant->cycles};
    a->pcus += a->stages[i].pcus;
  }
}

// What goes to `to` and is read along `side`.
static void fill_edges_of(const finder_t *f, const way_t *way, uint32_t to, uint32_t side, leat_chip_allocation_t *a) {
  for (uint32_t i = 0; i < way->pipe.passes.count; ++i) {
    const leat_chip_pass_t *pass = &way->pipe.passes.data[i];
    if (pass->to != to || pass->side != side) continue;
    leat_chip_edge_t *edge = &a->edges[a->edge_count++];
    *edge = (leat_chip_edge_t){.from = pass->from, .to = to, .depth = pass->depth, .bytes = (uint64_t)pass->bytes};
    edge->pmus = (uint32_t)leat_chip_pass_pmus(f->chip, &way->pipe, &way->share, pass);
    edge->vectors = ceil(pass->bytes / (double)f->chip->vector_bytes);
    a->pmus += edge->pmus;
    if (pass->from != LEAT_CHIP_MEMORY) a->stages[pass->from].vectors_out += edge->vectors;
    if (to != LEAT_CHIP_MEMORY)
      a->stages[to].vectors_in += edge->vectors * leat_chip_pass_reads(&way->pipe, &way->share, pass);
  }
}

static void fill_edges(const finder_t *f, const way_t *way, leat_chip_allocation_t *a) {
  for (uint32_t i = 0; i < a->stage_count; ++i) {
    fill_edges_of(f, way, i, LEAT_CHIP_SIDE_M, a);
    fill_edges_of(f, way, i, LEAT_CHIP_SIDE_N, a);
    fill_edges_of(f, way, i, LEAT_CHIP_SIDE_NONE, a);
  }
  fill_edges_of(f, way, LEAT_CHIP_MEMORY, LEAT_CHIP_SIDE_NONE, a);
}

static leat_status_t fill(const finder_t *f, way_t *way, leat_chip_allocation_t *a) {
  const traffic_t traffic = traffic_of(&way->pipe);
  *a = (leat_chip_allocation_t){.body = f->index,
                                .tiles_used = f->tiles,
                                .tile_rows = way->tile.rows,
                                .tile_count = (int64_t)way->tiles,
                                .stage_count = way->pipe.nodes.count,
                                .resident_bytes = (uint64_t)traffic.resident,
                                .parts = f->parts,
                                .levels = way->pipe.levels,
                                .compute = way->share.compute,
                                .memory_bytes = traffic.streamed,
                                .random_bytes = traffic.random};
  memcpy(a->axes, way->tile.axes, sizeof a->axes);
  a->interval = fmax(fmax(1, a->compute), ceil(leat_chip_memory_cycles(f->chip, a)));
  a->node_of = way->pipe.node_of;
  way->pipe.node_of = NULL;
  a->stages = leat_alloc_zero(a->stage_count + 1, sizeof *a->stages);
  a->edges = leat_alloc_zero(way->pipe.passes.count + 1, sizeof *a->edges);
  if (a->stages == NULL || a->edges == NULL) return leat_out_of_memory();
  fill_stages(f, way, a);
  fill_edges(f, way, a);
  return NULL;
}

// The call that a body was compiled for.
static const char *section_name(const leat_pef_t *pef, uint32_t body, uint32_t *out_call) {
  for (uint32_t c = 0; c < pef->call_count; ++c) {
    if (pef->calls[c].body != body) continue;
    *out_call = c;
    return pef->strings + pef->calls[c].name;
  }
  *out_call = 0;
  return "";
}

static leat_status_t refuse(const finder_t *f) {
  uint32_t call;
  const char *name = section_name(f->pef, f->index, &call);
  const unsigned tiles = f->tiles / f->parts;
  const unsigned long long all = f->chip->tiles;
  if (f->least.pcus > f->limits.pcus)
    LEAT_FAIL(
        LEAT_UNSUPPORTED,
        "section %u (%s) has %u stages and needs a PCU for each, %.0f more than the %.0f that %u of the %llu tiles "
        "of %s have for it (pcu_share): cut it in two",
        call, name, f->nodes, f->least.pcus - f->limits.pcus, f->limits.pcus, tiles, all, f->chip->name);
  LEAT_FAIL(LEAT_UNSUPPORTED,
            "section %u (%s) needs %.0f PMUs for one row, %.0f more than the %.0f that %u of the %llu tiles of %s have "
            "for it (sram_share): cut it in two, or use more tiles",
            call, name, f->least.pmus, f->least.pmus - f->limits.pmus, f->limits.pmus, tiles, all, f->chip->name);
}

leat_status_t leat_chip_allocate(const leat_chip_t *chip, const leat_pef_t *pef, uint32_t body, uint32_t tiles,
                                 leat_chip_allocation_t *out_allocation) {
  *out_allocation = (leat_chip_allocation_t){0};
  const uint32_t together = tiles < chip->tiles_together ? tiles : (uint32_t)chip->tiles_together;
  finder_t f = {.chip = chip, .pef = pef, .body = &pef->bodies[body], .index = body};
  f.parts = tiles / together < f.body->row_count ? tiles / together : (uint32_t)f.body->row_count;
  f.tiles = f.parts * together;
  f.part_rows = ceil_div((int64_t)f.body->row_count, f.parts);
  f.axis_count = leat_pef_axes(pef, f.body, &f.axes);
  f.limits.pcus = floor(chip->pcu_share * (double)(chip->pcus * together));
  f.limits.pmus = floor(chip->sram_share * (double)(chip->pmus * together));
  const leat_chip_tile_t tile = wanted_tile(&f);
  way_t best = {0};
  leat_status_t status = find_way(&f, &tile, &best);
  if (status == NULL) status = best.share.grants != NULL ? fill(&f, &best, out_allocation) : refuse(&f);
  way_deinit(&best);
  if (status != NULL) leat_chip_allocation_deinit(out_allocation);
  return status;
}

void leat_chip_allocation_deinit(leat_chip_allocation_t *allocation) {
  leat_free(allocation->stages);
  leat_free(allocation->edges);
  leat_free(allocation->node_of);
  *allocation = (leat_chip_allocation_t){0};
}
