// SPDX-License-Identifier: Apache-2.0
// The memory plan: offsets by lifetime, first fit. Scratch is planned per section over its stages, the arena over the
// sections. What crosses a section type is never reused, because the types may run in separate calls.
#include "map/mapper.h"

typedef struct block_s {
  leat_value_id_t value;
  uint32_t begin, end;  // stages or sections, both inclusive
  uint64_t bytes, offset;
  uint64_t whole_bytes;  // of all rows
} block_t;

typedef LEAT_ARRAY(block_t) blocks_t;

static uint64_t align_up(uint64_t bytes) { return (bytes + PEF_ALIGN - 1) / PEF_ALIGN * PEF_ALIGN; }

static bool alive_together(const block_t *a, const block_t *b) { return a->begin <= b->end && b->begin <= a->end; }

// First fit in the order of `begin` (blocks come in that order); returns the height. Quadratic in blocks alive at once.
static uint64_t fit(block_t *blocks, uint32_t count) {
  uint64_t height = 0;
  for (uint32_t i = 0; i < count; ++i) {
    uint64_t offset = 0;
    for (bool moved = true; moved;) {
      moved = false;
      for (uint32_t j = 0; j < i; ++j) {
        if (!alive_together(&blocks[i], &blocks[j])) continue;
        if (offset < blocks[j].offset + blocks[j].bytes && blocks[j].offset < offset + blocks[i].bytes) {
          offset = blocks[j].offset + blocks[j].bytes;
          moved = true;
        }
      }
    }
    blocks[i].offset = offset;
    if (offset + blocks[i].bytes > height) height = offset + blocks[i].bytes;
  }
  return height;
}

static leat_status_t add_block(blocks_t *blocks, leat_value_id_t v, uint32_t begin, uint32_t end, uint64_t bytes) {
  block_t *block = leat_array_push(blocks);
  if (block == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "out of memory");
  *block = (block_t){.value = v, .begin = begin, .end = end, .bytes = bytes, .whole_bytes = bytes};
  return NULL;
}

// --- scratch
// ----------------------------------------------------------------------------------------------------------

static uint32_t last_stage(const leat_mapper_t *m, leat_value_id_t v, uint32_t section) {
  uint32_t last = m->stage_of[leat_graph_value(m->g, v)->op];
  for (uint32_t i = m->uses.first[v]; i < m->uses.first[v + 1]; ++i) {
    leat_op_id_t op = m->uses.all[i].op;
    if (m->plan->section_of[op] != section) continue;
    if (leat_op_is_statement(leat_graph_op(m->g, op)->kind) && m->store_direct[op]) continue;
    if (m->stage_of[op] > last) last = m->stage_of[op];
  }
  return last;
}

// Bytes per row that later stages of the section read again, at the fullest stage. What is only written passes by.
static double peak_row_bytes(const block_t *blocks, uint32_t count, uint32_t stage_count, int64_t rows) {
  double peak = 0;
  for (uint32_t stage = 0; stage < stage_count; ++stage) {
    double alive = 0;
    for (uint32_t i = 0; i < count; ++i) {
      bool read_again = blocks[i].end > blocks[i].begin;
      if (read_again && blocks[i].begin <= stage && stage <= blocks[i].end)
        alive += (double)blocks[i].bytes / (double)rows;
    }
    if (alive > peak) peak = alive;
  }
  return peak;
}

// Contractions stream their weights once per tile: thinner tiles than this cost more than the cache misses they save.
enum { CONTRACT_TILE_ROWS_MIN = 16 };

// Tiles of nearly the same height, in whole vectors of rows where that costs little.
enum { ROW_VECTOR = 16, ROW_VECTOR_MIN = 12 };

static int64_t even_tiles(int64_t rows, int64_t tile) {
  if (tile >= rows) return rows;
  int64_t count = (rows + tile - 1) / tile;
  tile = (rows + count - 1) / count;
  if (tile >= ROW_VECTOR_MIN) tile = (tile + ROW_VECTOR - 1) / ROW_VECTOR * ROW_VECTOR;
  return tile < rows ? tile : rows;
}

// What the heuristic of the section's group asks for.
static int64_t obey(const leat_section_t *asked, int64_t rows, int64_t tile) {
  if (asked->tile_rows_max != 0 && tile > asked->tile_rows_max) tile = asked->tile_rows_max;
  if (asked->tiles_min > 1 && tile > rows / asked->tiles_min) tile = rows / asked->tiles_min;
  return tile < 1 ? 1 : tile;
}

static int64_t choose_tile_rows(const leat_mapper_t *m, uint32_t section, int64_t rows, double row_bytes) {
  const leat_section_map_t *s = &m->sections[section];
  double budget = m->plan->sections.data[section].cache_bytes / 2;
  int64_t tile = row_bytes * (double)rows <= budget ? rows : (int64_t)(budget / row_bytes);
  for (uint32_t i = 0; i < s->stages.count; ++i) {
    if (s->stages.data[i].kind == LEAT_PRIM_CONTRACT && tile < CONTRACT_TILE_ROWS_MIN) tile = CONTRACT_TILE_ROWS_MIN;
  }
  return even_tiles(rows, obey(&m->plan->sections.data[section], rows, tile));
}

// Tiles start on cache lines of the results in memory, so that two cores do not write the same line. Small results
// are not worth the uneven tiles.
enum { QUANTUM_MAX = PEF_ALIGN / 4, QUANTUM_MIN_BYTES = 16384 };

static uint64_t choose_quantum(const leat_mapper_t *m, const block_t *blocks, uint32_t count, int64_t rows) {
  uint64_t quantum = 1;
  for (uint32_t i = 0; i < count; ++i) {
    if (m->homes[blocks[i].value].kind == LEAT_HOME_SCRATCH || blocks[i].bytes < QUANTUM_MIN_BYTES) continue;
    uint64_t row_bytes = blocks[i].bytes / (uint64_t)rows;
    uint64_t needed = row_bytes == 0 || row_bytes >= PEF_ALIGN ? 1 : (PEF_ALIGN + row_bytes - 1) / row_bytes;
    if (needed > quantum) quantum = needed;
  }
  if (quantum > QUANTUM_MAX) quantum = QUANTUM_MAX;
  return quantum > (uint64_t)rows ? (uint64_t)rows : quantum;
}

static leat_status_t gather_section_blocks(const leat_mapper_t *m, uint32_t section, blocks_t *blocks) {
  const leat_section_map_t *s = &m->sections[section];
  for (uint32_t i = 0; i < s->stages.count; ++i) {
    for (uint32_t j = 0; j < s->stages.data[i].ops.count; ++j) {
      const leat_op_t *op = leat_graph_op(m->g, s->stages.data[i].ops.data[j]);
      for (uint32_t k = 0; k < op->result_count; ++k) {
        leat_value_id_t v = op->result_first + k;
        if (m->homes[v].kind == LEAT_HOME_REGISTER || m->homes[v].kind == LEAT_HOME_NONE) continue;
        LEAT_TRY(add_block(blocks, v, i, last_stage(m, v, section), leat_value_bytes(leat_graph_value(m->g, v))));
      }
    }
  }
  return NULL;
}

static void keep_scratch(const leat_mapper_t *m, blocks_t *blocks) {
  uint32_t kept = 0;
  for (uint32_t i = 0; i < blocks->count; ++i)
    if (m->homes[blocks->data[i].value].kind == LEAT_HOME_SCRATCH) blocks->data[kept++] = blocks->data[i];
  blocks->count = kept;
}

// Lays out the scratch of a tile of s->tile_rows_max rows.
static uint64_t fit_scratch(leat_section_map_t *s, blocks_t *blocks, int64_t rows) {
  for (uint32_t i = 0; i < blocks->count; ++i) {
    const uint64_t whole = blocks->data[i].whole_bytes;
    blocks->data[i].bytes = align_up(whole / (uint64_t)rows * (uint64_t)s->tile_rows_max);
  }
  s->scratch_bytes = fit(blocks->data, blocks->count);
  return s->scratch_bytes;
}

static leat_status_t refuse_section(const leat_mapper_t *m, uint32_t section) {
  const leat_section_t *s = &m->plan->sections.data[section];
  const char *type = leat_section_type_name((leat_section_type_t)s->type);
  char first[256], last[256];
  if (m->options->shortage != NULL) *m->options->shortage = (leat_map_shortage_t){true, s->type};
  LEAT_FAIL(
      LEAT_UNSUPPORTED,
      "section %u (%s, from %s to %s): a tile of one row takes %llu bytes of scratch, L3 of %s has %llu: lower the "
      "factor of %s in --resources-scaling-factors, then sections are cut earlier, or give a larger L3",
      section, type, leat_op_text(m->g, leat_graph_op(m->g, s->ops.data[0]), first, sizeof first),
      leat_op_text(m->g, leat_graph_op(m->g, s->ops.data[s->ops.count - 1]), last, sizeof last),
      (unsigned long long)m->sections[section].scratch_bytes, m->options->arch->text,
      (unsigned long long)m->options->arch->scratch_bytes, type);
}

static leat_status_t plan_section(leat_mapper_t *m, uint32_t section, blocks_t *blocks) {
  leat_section_map_t *s = &m->sections[section];
  int64_t rows = m->plan->sections.data[section].rows;
  blocks->count = 0;
  LEAT_TRY(gather_section_blocks(m, section, blocks));
  s->tile_rows_max =
      choose_tile_rows(m, section, rows, peak_row_bytes(blocks->data, blocks->count, s->stages.count, rows));
  s->tile_quantum = choose_quantum(m, blocks->data, blocks->count, rows);
  if (s->tile_quantum > (uint64_t)s->tile_rows_max) s->tile_rows_max = (int64_t)s->tile_quantum;
  keep_scratch(m, blocks);
  while (fit_scratch(s, blocks, rows) > m->options->arch->scratch_bytes && s->tile_rows_max > 1) {
    s->tile_rows_max /= 2;
    if (s->tile_quantum > (uint64_t)s->tile_rows_max) s->tile_quantum = (uint64_t)s->tile_rows_max;
  }
  if (s->scratch_bytes > m->options->arch->scratch_bytes) return refuse_section(m, section);
  for (uint32_t i = 0; i < blocks->count; ++i) m->homes[blocks->data[i].value].offset = blocks->data[i].offset;
  return NULL;
}

// --- arena
// --------------------------------------------------------------------------------------------------------------

static void arena_lifetime(const leat_mapper_t *m, leat_value_id_t v, uint32_t *out_begin, uint32_t *out_end) {
  const leat_op_t *producer = leat_mapper_producer(m, v);
  uint32_t begin = m->plan->section_of[leat_graph_value(m->g, v)->op], end = begin;
  bool forever = producer->type == LEAT_TYPE_PREPARE;
  for (uint32_t i = m->uses.first[v]; i < m->uses.first[v + 1]; ++i) {
    leat_op_id_t op = m->uses.all[i].op;
    if (m->plan->section_of[op] > end) end = m->plan->section_of[op];
    if (leat_graph_op(m->g, op)->type != producer->type) forever = true;
  }
  *out_begin = forever ? 0 : begin;
  *out_end = forever ? UINT32_MAX : end;
}

static int by_begin(const block_t *a, const block_t *b) {
  if (a->begin != b->begin) return a->begin < b->begin ? -1 : 1;
  return a->value < b->value ? -1 : 1;
}

// Insertion sort: blocks come nearly in order.
static void sort_blocks(block_t *blocks, uint32_t count) {
  for (uint32_t i = 1; i < count; ++i) {
    block_t block = blocks[i];
    uint32_t j = i;
    for (; j > 0 && by_begin(&block, &blocks[j - 1]) < 0; --j) blocks[j] = blocks[j - 1];
    blocks[j] = block;
  }
}

// What is never reused is stacked at the bottom; the rest is fitted above it.
static leat_status_t plan_arena(leat_mapper_t *m, blocks_t *blocks) {
  blocks->count = 0;
  for (leat_value_id_t v = 0; v < m->g->values.count; ++v) {
    if (m->homes[v].kind != LEAT_HOME_ARENA) continue;
    uint32_t begin, end;
    arena_lifetime(m, v, &begin, &end);
    uint64_t bytes = align_up(leat_value_bytes(leat_graph_value(m->g, v)));
    if (end == UINT32_MAX) {
      m->homes[v].offset = leat_map_reserve(m, bytes);
    } else {
      LEAT_TRY(add_block(blocks, v, begin, end, bytes));
    }
  }
  sort_blocks(blocks->data, blocks->count);
  uint64_t height = fit(blocks->data, blocks->count), bottom = leat_map_reserve(m, height);
  for (uint32_t i = 0; i < blocks->count; ++i) m->homes[blocks->data[i].value].offset = bottom + blocks->data[i].offset;
  return NULL;
}

uint64_t leat_map_reserve(leat_mapper_t *m, uint64_t bytes) {
  uint64_t offset = m->arena_bytes;
  m->arena_bytes += align_up(bytes);
  return offset;
}

leat_status_t leat_map_memory(leat_mapper_t *m) {
  blocks_t blocks = {0};
  leat_status_t status = NULL;
  for (uint32_t s = 0; s < m->plan->sections.count && status == NULL; ++s) status = plan_section(m, s, &blocks);
  if (status == NULL) status = plan_arena(m, &blocks);
  leat_array_free(&blocks);
  return status;
}
