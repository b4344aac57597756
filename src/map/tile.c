// SPDX-License-Identifier: Apache-2.0
#include "map/tile.h"

#include "arch/blocks.h"
#include "pef/pef_align.h"
#include "space/rows.h"

// --- what lives in a tile -------------------------------------------------------------------------------------------

static uint32_t last_stage(const leat_decided_t *d, leat_value_id_t v, uint32_t section) {
  uint32_t last = d->stages.at[leat_graph_value(d->g, v)->op];
  for (uint32_t i = d->uses.first[v]; i < d->uses.first[v + 1]; ++i) {
    leat_op_id_t op = d->uses.all[i].op;
    if (d->plan->section_of[op] != section || d->keeps.direct[op]) continue;
    if (d->stages.at[op] > last) last = d->stages.at[op];
  }
  return last;
}

// What the stages of the section make, other than registers.
static leat_status_t gather_blocks(const leat_decided_t *d, uint32_t section, leat_fit_t *blocks) {
  const leat_stage_list_t *stages = &d->stages.of[section];
  blocks->count = 0;
  for (uint32_t i = 0; i < stages->count; ++i) {
    for (uint32_t j = 0; j < stages->data[i].ops.count; ++j) {
      const leat_op_t *op = leat_graph_op(d->g, stages->data[i].ops.data[j]);
      for (uint32_t k = 0; k < op->result_count; ++k) {
        leat_value_id_t v = op->result_first + k;
        if (d->keeps.of[v].kind == LEAT_KEEP_STRIP) continue;
        LEAT_TRY(leat_fit_add(blocks, v, i, last_stage(d, v, section), leat_value_bytes(leat_graph_value(d->g, v))));
      }
    }
  }
  return NULL;
}

static bool is_scratch(const leat_decided_t *d, const leat_home_t *homes, leat_value_id_t v) {
  return d->keeps.of[v].kind == LEAT_KEEP_MEMORY && homes[v].scratch;
}

static void keep_scratch(const leat_decided_t *d, const leat_home_t *homes, leat_fit_t *blocks) {
  uint32_t kept = 0;
  for (uint32_t i = 0; i < blocks->count; ++i)
    if (is_scratch(d, homes, blocks->data[i].id)) blocks->data[kept++] = blocks->data[i];
  blocks->count = kept;
}

static bool adds_or_bounds(const leat_graph_t *g, const leat_stage_t *stage) {
  for (uint32_t i = 0; i < stage->ops.count; ++i) {
    const leat_op_t *op = leat_graph_op(g, stage->ops.data[i]);
    const int fn = leat_op_word(g, op, LEAT_ATTR_FN, -1);
    if (leat_op_role(op->kind) != LEAT_ROLE_ELEMENTWISE) return false;
    if (fn != LEAT_SCALAR_ADD && fn != LEAT_SCALAR_MAX && fn != LEAT_SCALAR_MIN) return false;
  }
  return stage->ops.count > 0;
}

// A convolution ends with what the next stage adds to its sums, and bounds them by, where nobody else reads these: they
// are in no buffer then, whatever their tile is.
static bool stays_in_registers(const leat_graph_t *g, const leat_stage_list_t *stages, const leat_fit_block_t *block) {
  const uint32_t kind = stages->data[block->first].kind;
  const bool is_convolution = leat_op_info(kind)->products != 0 && leat_op_takes_attr(kind, LEAT_ATTR_BASE_DILATION);
  return is_convolution && block->last == block->first + 1 && adds_or_bounds(g, &stages->data[block->last]);
}

// Bytes per row that later stages of the section read again, at the fullest stage. What is only written passes by.
static double peak_row_bytes(const leat_graph_t *g, const leat_fit_t *blocks, const leat_stage_list_t *stages,
                             int64_t rows) {
  double peak = 0;
  for (uint32_t stage = 0; stage < stages->count; ++stage) {
    double alive = 0;
    for (uint32_t i = 0; i < blocks->count; ++i) {
      const leat_fit_block_t *block = &blocks->data[i];
      bool read_again = block->last > block->first && !stays_in_registers(g, stages, block);
      if (read_again && block->first <= stage && stage <= block->last) alive += (double)block->bytes / (double)rows;
    }
    if (alive > peak) peak = alive;
  }
  return peak;
}

// --- rows of a tile -------------------------------------------------------------------------------------------------

// Tiles of nearly the same height, in whole vectors of rows where that costs little: a quarter more at most.
static int64_t even_tiles(const leat_arch_t *arch, int64_t rows, int64_t tile) {
  const int64_t vector = leat_arch_lanes(arch);
  if (tile >= rows) return rows;
  int64_t count = (rows + tile - 1) / tile;
  tile = (rows + count - 1) / count;
  if (4 * tile >= 3 * vector) tile = (tile + vector - 1) / vector * vector;
  return tile < rows ? tile : rows;
}

// What the heuristic of the section's group asks for.
static int64_t obey(const leat_section_t *asked, int64_t tile) {
  if (asked->tile_rows_max != 0 && tile > asked->tile_rows_max) tile = asked->tile_rows_max;
  if (asked->tiles_min > 1 && tile > asked->rows / asked->tiles_min) tile = asked->rows / asked->tiles_min;
  return tile < 1 ? 1 : tile;
}

// A matrix product, or NULL for a convolution and whatever multiplies nothing.
static const leat_op_t *matrix_product(const leat_graph_t *g, const leat_stage_t *stage) {
  const bool is_product =
      leat_op_info(stage->kind)->products != 0 && !leat_op_takes_attr(stage->kind, LEAT_ATTR_STRIDE);
  return is_product ? leat_graph_op(g, stage->ops.data[0]) : NULL;
}

// A product whose tiles read an operand whole: its weights, the keys of attention along the queries, or of a
// convolution and of the gradient of its weights along output channels the picture, of which each tile makes a copy.
// Thin tiles do not pay for it.
static bool reads_whole(const leat_graph_t *g, const leat_stage_t *stage) {
  const leat_op_t *op = matrix_product(g, stage);
  if (op != NULL && leat_op_takes_attr(stage->kind, LEAT_ATTR_SPEC)) return true;
  if (leat_op_info(stage->kind)->products == 0 || stage->row_dim == LEAT_ROWS_WHOLE) return false;
  const uint32_t operand = op != NULL ? 1 : 0;
  return leat_rows_operand_dim(g, leat_graph_op(g, stage->ops.data[0]), stage->row_dim, operand) == LEAT_ROWS_WHOLE;
}

// Bytes of what every tile reads whole for the matrix products of the section.
static double streamed_bytes(const leat_graph_t *g, const leat_stage_list_t *stages) {
  double bytes = 0;
  for (uint32_t s = 0; s < stages->count; ++s) {
    const leat_stage_t *stage = &stages->data[s];
    const leat_op_t *op = matrix_product(g, stage);
    const bool has_rows = op != NULL && stage->row_dim != LEAT_ROWS_WHOLE;
    for (uint32_t i = 0; has_rows && i < op->input_count; ++i) {
      if (leat_rows_operand_dim(g, op, stage->row_dim, i) == LEAT_ROWS_WHOLE)
        bytes += (double)leat_value_bytes(leat_graph_value(g, leat_op_input(g, op, i)));
    }
  }
  return bytes;
}

// Tiles stay within `budget` bytes of L2. Where they leave it, rows / tile * (streamed - 2 budget) + 2 rows * row_bytes
// bytes pass L2, since what does not fit is written and read again: so with enough to stream, higher tiles are better,
// up to the rows that share a panel, or what a share of L2 is of them.
static int64_t choose_rows(const leat_decided_t *d, const leat_section_t *section, const leat_stage_list_t *stages,
                           double row_bytes) {
  const leat_arch_t *arch = d->options->arch;
  const int64_t least = (int64_t)arch->tile_rows_min;
  double budget = section->cache_bytes * arch->tile_share;
  int64_t rows = section->rows, tile = row_bytes * (double)rows <= budget ? rows : (int64_t)(budget / row_bytes);
  for (uint32_t i = 0; i < stages->count; ++i) {
    if (reads_whole(d->g, &stages->data[i]) && tile < least) tile = least;
  }
  const int64_t high = (int64_t)(CONTRACT_ROWS * section->cache_bytes / (double)arch->l2_bytes);
  if (tile < high && streamed_bytes(d->g, stages) > 2 * budget) tile = high;
  return even_tiles(arch, rows, obey(section, tile));
}

// Tiles start on cache lines of the results in memory, so that two cores do not write the same line. Small results
// are not worth the uneven tiles.
static uint64_t choose_quantum(const leat_decided_t *d, const leat_home_t *homes, const leat_fit_t *blocks,
                               int64_t rows) {
  const leat_arch_t *arch = d->options->arch;
  const uint64_t line = arch->line_bytes, most = leat_arch_line_elements(arch);
  uint64_t quantum = 1;
  for (uint32_t i = 0; i < blocks->count; ++i) {
    const leat_fit_block_t *block = &blocks->data[i];
    if (is_scratch(d, homes, block->id) || block->bytes < arch->own_lines_bytes) continue;
    uint64_t row_bytes = block->bytes / (uint64_t)rows;
    uint64_t needed = row_bytes == 0 || row_bytes >= line ? 1 : (line + row_bytes - 1) / row_bytes;
    if (needed > quantum) quantum = needed;
  }
  if (quantum > most) quantum = most;
  return quantum > (uint64_t)rows ? (uint64_t)rows : quantum;
}

// Panels that a stage reads are cut where tiles are high enough for it.
static void take_asked_quantum(leat_tiling_t *t, uint64_t asked) {
  if (asked > t->quantum && asked <= (uint64_t)t->rows_max) t->quantum = asked;
}

// --- scratch --------------------------------------------------------------------------------------------------------

// Lays out the scratch of a tile of t->rows_max rows.
static leat_status_t fit_scratch(const leat_decided_t *d, leat_tiling_t *t, leat_fit_t *blocks, int64_t rows) {
  for (uint32_t i = 0; i < blocks->count; ++i) {
    const uint64_t whole = leat_value_bytes(leat_graph_value(d->g, blocks->data[i].id));
    blocks->data[i].bytes = leat_pef_align(whole / (uint64_t)rows * (uint64_t)t->rows_max);
  }
  return leat_fit_place(blocks, &t->scratch_bytes);
}

static leat_status_t refuse(const leat_decided_t *d, uint32_t section, uint64_t scratch_bytes) {
  const leat_section_t *s = &d->plan->sections.data[section];
  const leat_arch_t *arch = d->options->arch;
  const char *type = leat_section_type_name((leat_section_type_t)s->type);
  char first[256], last[256];
  if (d->options->shortage != NULL) *d->options->shortage = (leat_map_shortage_t){true, s->type};
  LEAT_FAIL(
      LEAT_UNSUPPORTED,
      "section %u (%s, from %s to %s): a tile of one row takes %llu bytes of scratch, L3 of %s has %llu: lower the "
      "factor of %s in --resources-scaling-factors, then sections are cut earlier, or give a larger L3",
      section, type, leat_op_text(d->g, leat_graph_op(d->g, s->ops.data[0]), first, sizeof first),
      leat_op_text(d->g, leat_graph_op(d->g, s->ops.data[s->ops.count - 1]), last, sizeof last),
      (unsigned long long)scratch_bytes, arch->name, (unsigned long long)arch->scratch_bytes, type);
}

leat_status_t leat_tiles_plan(const leat_decided_t *d, uint32_t section, leat_home_t *homes, leat_fit_t *room,
                              leat_tiling_t *out_tiling) {
  const leat_section_t *s = &d->plan->sections.data[section];
  const leat_stage_list_t *stages = &d->stages.of[section];
  const leat_arch_t *arch = d->options->arch;
  leat_tiling_t *t = out_tiling;
  LEAT_TRY(gather_blocks(d, section, room));
  t->rows_max = choose_rows(d, s, stages, peak_row_bytes(d->g, room, stages, s->rows));
  t->quantum = choose_quantum(d, homes, room, s->rows);
  if (t->quantum > (uint64_t)t->rows_max) t->rows_max = (int64_t)t->quantum;
  keep_scratch(d, homes, room);
  for (;;) {
    LEAT_TRY(fit_scratch(d, t, room, s->rows));
    if (t->scratch_bytes <= leat_arch_scratch(arch) || t->rows_max == 1) break;
    t->rows_max /= 2;
    if (t->quantum > (uint64_t)t->rows_max) t->quantum = (uint64_t)t->rows_max;
  }
  if (t->scratch_bytes > leat_arch_scratch(arch)) return refuse(d, section, t->scratch_bytes);
  for (uint32_t i = 0; i < room->count; ++i) homes[room->data[i].id].offset = room->data[i].offset;
  take_asked_quantum(t, d->drafts[section].quantum);
  return NULL;
}
