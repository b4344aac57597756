// SPDX-License-Identifier: Apache-2.0
// See legal_oracle.h. Memory is cells as large as the smallest element of the file. A cell holds a tag: a hash of who
// wrote it and of all that the call had read by then.
#include <stdlib.h>

#include "legal_sim.h"
#include "loop_maker.h"

#define POISON UINT64_C(0xdeadbeefdeadbeef)

static uint64_t mix(uint64_t a, uint64_t b) {
  uint64_t z = a * UINT64_C(0x9e3779b97f4a7c15) + b + UINT64_C(0x632be59bd9b4e019);
  z = (z ^ (z >> 29)) * UINT64_C(0xbf58476d1ce4e5b9);
  return z ^ (z >> 32);
}

static uint32_t operands_of(const leat_pef_t *pef, const pef_body_t *body) {
  uint32_t count = 0;
  for (uint32_t k = 0; k < body->stage_count; ++k) count += pef->stages[body->stage_first + k].operand_count;
  return count;
}

static uint32_t operand_was(const sim_t *s, const cursor_t *c) {
  const uint32_t index = (uint32_t)(c->o - s->pef->operands);
  return s->was.operand_was == NULL ? index : s->was.operand_was[index];
}

static uint32_t call_was(const sim_t *s, uint32_t call) {
  return s->was.call_was == NULL ? call : s->was.call_was[call];
}

// --- one call --------------------------------------------------------------------------------------------------------

// Arguments of the arena that name the same value: by where it begins and ends, whatever part of it a trip has.
static uint64_t name_of(const sim_t *s, const pef_call_t *call, const cursor_t *c) {
  const pef_argument_t now = sim_argument(s, call, c);
  const uint64_t whole = s->pef->arguments[call->argument_first + c->o->slot].bytes, end = now.offset + now.bytes;
  return now.kind == PEF_PLACE_ARENA ? mix(end - whole, whole) | 1 : 0;
}

static uint64_t read_operand(sim_t *s, const pef_call_t *call, cursor_t c) {
  uint64_t digest = 1;
  const bool in_scratch = c.o->space == PEF_SPACE_SCRATCH;
  const pef_argument_t argument = in_scratch ? (pef_argument_t){0} : sim_argument(s, call, &c);
  const uint64_t named = in_scratch ? 0 : name_of(s, call, &c);
  for (; !c.ended; sim_step(&c)) {
    const int64_t cell = in_scratch ? sim_scratch_cell(s, &c) : sim_cell(s, &argument, &c);
    for (int64_t w = 0; cell >= 0 && w < sim_width(s, &c); ++w) {
      const uint64_t tag = in_scratch ? s->scratch[cell + w] : s->tags[cell + w];
      if (tag == 0 && (in_scratch || s->written[cell + w])) sim_broken(s, "reads what was not written");
      if (tag == POISON) sim_broken(s, "reads the caller's memory");
      if (!in_scratch && tag != 0 && s->names[cell + w] != named) sim_broken(s, "reads a part of another value");
      digest = mix(digest, tag);
    }
  }
  return digest;
}

static void write_operand(sim_t *s, const pef_call_t *call, cursor_t c, uint64_t known) {
  const uint64_t name = mix(operand_was(s, &c), known);
  const bool in_scratch = c.o->space == PEF_SPACE_SCRATCH;
  const pef_argument_t argument = in_scratch ? (pef_argument_t){0} : sim_argument(s, call, &c);
  const uint64_t named = in_scratch ? 0 : name_of(s, call, &c);
  for (; !c.ended; sim_step(&c)) {
    const int64_t cell = in_scratch ? sim_scratch_cell(s, &c) : sim_cell(s, &argument, &c);
    for (int64_t w = 0; w < sim_width(s, &c); ++w) {
      const uint64_t tag = mix(name, sim_index(&c) * 8 + (uint64_t)w) | 1;
      *(in_scratch ? &s->scratch[cell + w] : &s->tags[cell + w]) = tag;
      if (!in_scratch) s->names[cell + w] = named;
    }
  }
}

static bool runs(const sim_t *s, const pef_stage_t *stage) {
  return !leat_pef_stage_is_idle(s->pef, stage) && (stage->output == PEF_NO_OUTPUT || !s->outputs_off);
}

// One tile of all rows; scratch, which is as high as a tile, is gone through by simulate_scratch.
static void simulate_call(sim_t *s, uint32_t index) {
  const pef_call_t *call = &s->pef->calls[index];
  const pef_body_t *body = &s->pef->bodies[call->body];
  uint64_t known = mix(7, call_was(s, index));
  for (uint32_t l = 0; l < s->pef->loop_count; ++l) {
    if (index - s->pef->loops[l].call_first < s->pef->loops[l].call_count) known = mix(known, s->trips[l]);
  }
  uint64_t *reads = s->reads + s->run * s->reads_of_run + s->reads_of_call[call_was(s, index)];
  for (uint32_t k = 0; k < body->stage_count; ++k) {
    const pef_stage_t *stage = &s->pef->stages[body->stage_first + k];
    if (!runs(s, stage)) continue;
    for (uint32_t pass = 0; pass < 2; ++pass) {
      for (uint32_t i = 0; i < stage->operand_count; ++i) {
        const cursor_t c = sim_start(s, stage, i, (int64_t)body->row_count);
        if (c.o->space != PEF_SPACE_ARGUMENT) continue;
        if (pass == 0 && sim_reads(s, stage, i)) {
          const uint32_t first = s->pef->stages[body->stage_first].operand_first;
          const uint64_t digest = read_operand(s, call, c);
          reads[operand_was(s, &c) - first] = mix(reads[operand_was(s, &c) - first], digest);  // of all trips
          known = mix(known, digest);
        }
        if (pass == 1 && sim_writes(s, stage, i)) write_operand(s, call, c, known);
      }
    }
  }
}

// --- runs ------------------------------------------------------------------------------------------------------------

// Types of one loop run together where the least of them is asked for.
static bool is_asked(const sim_t *s, uint32_t types, uint32_t type) {
  return s->alone ? (types >> type & 1) != 0 : (types >> s->class[type] & 1) != 0;
}

static void run_call(void *context, uint32_t call, const uint32_t *trips) {
  sim_t *s = context;
  s->trips = trips;
  if (is_asked(s, s->types, s->pef->calls[call].type)) simulate_call(s, call);
}

static void run_types(sim_t *s, uint32_t types) {
  s->types = types;
  loop_each_call(s->pef, run_call, s);
}

static void join_types(sim_t *s) {
  for (uint8_t t = 0; t < PEF_TYPE_COUNT; ++t) s->class[t] = t;
  for (uint32_t round = 0; round < PEF_TYPE_COUNT; ++round) {
    for (uint32_t l = 0; l < s->pef->loop_count; ++l) {
      const pef_loop_t *loop = &s->pef->loops[l];
      for (uint32_t i = 0; i < loop->call_count * loop->call_count && (loop->flags & PEF_LOOP_APART) == 0; ++i) {
        uint8_t *a = &s->class[s->pef->calls[loop->call_first + i / loop->call_count].type];
        const uint8_t b = s->class[s->pef->calls[loop->call_first + i % loop->call_count].type];
        if (b < *a) *a = b;
      }
    }
  }
}

// Other inputs, outputs somewhere else.
static void bind(sim_t *s) {
  for (uint32_t k = 0; k < s->pef->symbol_count; ++k) {
    const pef_symbol_t *symbol = &s->pef->symbols[k];
    const bool given = symbol->kind == PEF_SYMBOL_INPUT || symbol->kind == PEF_SYMBOL_HYPERPARAMETER ||
                       symbol->kind == PEF_SYMBOL_SEED;
    for (int64_t i = 0; i < (int64_t)symbol->bytes / s->unit; ++i) {
      if (given) s->tags[s->first[k] + i] = mix(mix(k, (uint64_t)i), s->bound) | 1;
      if (symbol->kind == PEF_SYMBOL_OUTPUT) s->tags[s->first[k] + i] = POISON;
    }
  }
}

enum { ALL = (1u << PEF_PREPARE) - 1, RUNS = 10 };

// What the host asks for. `same`: with the inputs and outputs of the run before.
typedef struct asked_s {
  uint32_t types;
  bool outputs_off, same;
} asked_t;

// Types together, one after the other, and forward and backward twice before an update; outputs enabled or not.
static const asked_t usual[RUNS] = {
    {ALL, false, false},
    {ALL, false, false},
    {1u << PEF_FWD, true, false},
    {1u << PEF_BCKWD, true, true},
    {1u << PEF_FWD, false, false},
    {1u << PEF_FWD, false, false},
    {1u << PEF_BCKWD, false, true},
    {1u << PEF_GRADNORM, false, true},
    {1u << PEF_OPT, false, true},
    {ALL, true, false},
};
static const asked_t together[RUNS] = {{ALL, false, false}};
static const asked_t apart[RUNS] = {
    {1u << PEF_FWD, false, false},
    {1u << PEF_BCKWD, false, true},
    {1u << PEF_GRADNORM, false, true},
    {1u << PEF_OPT, false, true},
};

static void simulate_runs(sim_t *s, const asked_t *asked, bool prepares_always, uint64_t *reads) {
  bool stale = true;
  s->reads = reads;
  memset(s->tags, 0, (size_t)s->cells * sizeof *s->tags);
  memset(s->names, 0, (size_t)s->cells * sizeof *s->names);
  for (uint32_t k = 0; k < s->pef->symbol_count; ++k) {
    for (int64_t i = 0; i < (int64_t)s->pef->symbols[k].bytes / s->unit; ++i)
      s->tags[s->first[k] + i] = mix(k + 99, (uint64_t)i) | 1;
  }
  for (s->run = s->bound = 0; s->run < RUNS && asked[s->run].types != 0; ++s->run) {
    const uint32_t types = asked[s->run].types;
    s->outputs_off = asked[s->run].outputs_off;
    s->bound += !asked[s->run].same;
    if (!asked[s->run].same) bind(s);
    if ((stale || prepares_always) && types != 1u << PEF_OPT) {
      run_types(s, 1u << PEF_PREPARE);
      stale = false;
    }
    run_types(s, types);
    stale |= is_asked(s, types, PEF_OPT);
  }
}

// What each call reads does not hang on how often PREPARE runs, which itself may run less often.
static void compare_prepared(sim_t *s, const uint64_t *other) {
  for (uint32_t c = 0; c < s->pef->call_count; ++c) {
    const size_t first = s->reads_of_call[call_was(s, c)];
    const size_t count = operands_of(s->pef, &s->pef->bodies[s->pef->calls[c].body]);
    for (uint32_t run = 0; run < RUNS && s->pef->calls[c].type != PEF_PREPARE; ++run) {
      const size_t at = run * s->reads_of_run + first;
      if (memcmp(&other[at], &s->out->reads[at], count * sizeof *other) != 0) sim_broken(s, "prepares too seldom");
    }
  }
}

// Each call runs once, be the types together or apart.
static void compare_types(sim_t *s, const uint64_t *once, const uint64_t *apart_reads) {
  for (uint32_t c = 0; c < s->pef->call_count; ++c) {
    const uint32_t type = s->pef->calls[c].type == PEF_PREPARE ? 0 : s->class[s->pef->calls[c].type];
    const size_t first = s->reads_of_call[call_was(s, c)];
    const size_t count = operands_of(s->pef, &s->pef->bodies[s->pef->calls[c].body]);
    if (memcmp(&once[first], &apart_reads[type * s->reads_of_run + first], count * sizeof *once) != 0)
      sim_broken(s, "section types that run apart do not what they do together");
  }
}

static const asked_t forward_alone[RUNS] = {{1u << PEF_FWD, false, false}};

static bool may_run_alone(const sim_t *s) {
  for (uint32_t l = 0; l < s->pef->loop_count; ++l)
    if ((s->pef->loops[l].flags & PEF_LOOP_FWD_ALONE) != 0) return true;
  return false;
}

// Forward reads the same where the types that its loops hold beside it do not run.
static void compare_forward(sim_t *s, const uint64_t *once, const uint64_t *alone) {
  for (uint32_t c = 0; c < s->pef->call_count; ++c) {
    const size_t first = s->reads_of_call[call_was(s, c)];
    const size_t count = operands_of(s->pef, &s->pef->bodies[s->pef->calls[c].body]);
    if (s->pef->calls[c].type == PEF_FWD && memcmp(&once[first], &alone[first], count * sizeof *once) != 0)
      sim_broken(s, "forward alone does not what it does together with the types of its loops");
  }
}

static void simulate_all(sim_t *s) {
  uint64_t *other = sim_cells((int64_t)(RUNS * s->reads_of_run), sizeof *other);
  uint64_t *another = sim_cells((int64_t)(RUNS * s->reads_of_run), sizeof *another);
  simulate_runs(s, usual, false, s->out->reads);
  simulate_runs(s, usual, true, other);
  compare_prepared(s, other);
  memset(other, 0, RUNS * s->reads_of_run * sizeof *other);
  simulate_runs(s, together, false, other);
  simulate_runs(s, apart, false, another);
  compare_types(s, other, another);
  if (may_run_alone(s)) {
    s->alone = true;
    memset(another, 0, RUNS * s->reads_of_run * sizeof *another);
    simulate_runs(s, forward_alone, false, another);
    s->alone = false;
    compare_forward(s, other, another);
  }
  free(other);
  free(another);
}

// --- scratch ---------------------------------------------------------------------------------------------------------

static void simulate_scratch(sim_t *s, const pef_body_t *body, int64_t rows, uint64_t *reads) {
  memset(s->scratch, 0, leat_pef_scratch_bytes(s->pef, body) / (size_t)s->unit * sizeof *s->scratch);
  const uint32_t first = s->pef->stages[body->stage_first].operand_first;
  uint64_t known = 3;
  for (uint32_t k = 0; k < body->stage_count; ++k) {
    const pef_stage_t *stage = &s->pef->stages[body->stage_first + k];
    if (leat_pef_stage_is_idle(s->pef, stage)) continue;
    for (uint32_t pass = 0; pass < 2; ++pass) {
      for (uint32_t i = 0; i < stage->operand_count; ++i) {
        const cursor_t c = sim_start(s, stage, i, rows);
        if (c.o->space != PEF_SPACE_SCRATCH) continue;
        if (pass == 0 && sim_reads(s, stage, i)) {
          const uint64_t digest = read_operand(s, NULL, c);
          reads[operand_was(s, &c) - first] = digest;
          known = mix(known, digest);
        }
        if (pass == 1 && sim_writes(s, stage, i)) write_operand(s, NULL, c, known);
      }
    }
  }
}

static void simulate_bodies(sim_t *s) {
  uint64_t *reads = s->out->reads + RUNS * s->reads_of_run;
  for (uint32_t b = 0; b < s->pef->body_count; ++b) {
    const pef_body_t *body = &s->pef->bodies[b];
    const uint64_t most = body->tile_rows_max < body->row_count ? body->tile_rows_max : body->row_count;
    const uint32_t first = s->pef->stages[body->stage_first].operand_first;
    simulate_scratch(s, body, (int64_t)most, reads + first);
    simulate_scratch(s, body, 1, reads + s->pef->operand_count + first);
  }
}

// --- the whole -------------------------------------------------------------------------------------------------------

static int64_t smallest_element(const leat_pef_t *pef) {
  int64_t unit = 8;
  for (uint32_t i = 0; i < pef->operand_count; ++i) {
    const int64_t bytes = (int64_t)leat_pef_dtype_bytes(pef->operands[i].dtype);
    if (pef->operands[i].space != PEF_SPACE_NONE && bytes < unit) unit = bytes;
  }
  return unit;
}

static void place_symbols(sim_t *s) {
  s->first = sim_cells(s->pef->symbol_count, sizeof *s->first);
  s->cells = (int64_t)s->pef->info->arena_bytes / s->unit + 8;
  for (uint32_t k = 0; k < s->pef->symbol_count; ++k) {
    s->first[k] = s->cells;
    s->cells += (int64_t)s->pef->symbols[k].bytes / s->unit + 8;
  }
}

static void place_buffers(sim_t *s) {
  s->starts = sim_cells(s->pef->operand_count, sizeof *s->starts);
  for (uint32_t b = 0; b < s->pef->body_count; ++b) {
    const pef_body_t *body = &s->pef->bodies[b];
    const uint32_t first = s->pef->stages[body->stage_first].operand_first;
    for (uint32_t i = first; i < first + operands_of(s->pef, body); ++i) {
      const pef_operand_t *o = &s->pef->operands[i];
      if (o->space == PEF_SPACE_SCRATCH) s->starts[i] = (int64_t)s->pef->layout[body->buffer_first + o->slot].offset;
    }
  }
}

static void make_room(sim_t *s) {
  s->reads_of_call = sim_cells(s->pef->call_count, sizeof *s->reads_of_call);
  for (uint32_t c = 0; c < s->pef->call_count; ++c)
    s->reads_of_call[call_was(s, c)] = operands_of(s->pef, &s->pef->bodies[s->pef->calls[c].body]);
  for (uint32_t c = 0; c < s->pef->call_count; ++c) {
    const size_t count = s->reads_of_call[c];
    s->reads_of_call[c] = s->reads_of_run;
    s->reads_of_run += count;
  }
  s->out->read_count = RUNS * s->reads_of_run + 2 * (size_t)s->pef->operand_count;
  s->out->reads = sim_cells((int64_t)s->out->read_count, sizeof *s->out->reads);
}

oracle_t oracle_run(const leat_pef_t *pef, oracle_names_t was) {
  oracle_t out = {0};
  sim_t s = {.pef = pef, .was = was, .out = &out, .unit = smallest_element(pef)};
  const int64_t scratch_cells = (int64_t)leat_pef_most_scratch_bytes(pef) / s.unit;
  place_symbols(&s);
  place_buffers(&s);
  make_room(&s);
  join_types(&s);
  s.tags = sim_cells(s.cells, sizeof *s.tags);
  s.names = sim_cells(s.cells, sizeof *s.names);
  s.written = sim_cells(s.cells, sizeof *s.written);
  s.scratch = sim_cells(scratch_cells, sizeof *s.scratch);
  sim_see(&s, scratch_cells);
  simulate_all(&s);
  simulate_bodies(&s);
  free(s.first);
  free(s.tags);
  free(s.names);
  free(s.written);
  free(s.scratch);
  free(s.starts);
  free(s.reads_of_call);
  return out;
}

void oracle_deinit(oracle_t *oracle) { free(oracle->reads); }

uint64_t oracle_cost(const leat_pef_t *pef) {
  double cost = (double)pef->info->arena_bytes;
  for (uint32_t k = 0; k < pef->symbol_count; ++k) cost += (double)pef->symbols[k].bytes;
  for (uint32_t c = 0; c < pef->call_count; ++c) {
    const pef_body_t *body = &pef->bodies[pef->calls[c].body];
    const uint32_t first = pef->stages[body->stage_first].operand_first;
    double times = 1;
    for (uint32_t l = 0; l < pef->loop_count; ++l)
      times *= c - pef->loops[l].call_first < pef->loops[l].call_count && (pef->loops[l].flags & PEF_LOOP_BATCHES) == 0
                   ? pef->loops[l].trips
                   : 1;
    for (uint32_t i = 0; i < operands_of(pef, body); ++i) {
      double elements = times;
      for (uint32_t d = 0; d < pef->operands[first + i].rank; ++d)
        elements *= pef->operands[first + i].strides[d] == 0 ? 1 : (double)pef->operands[first + i].dims[d];
      cost += (double)RUNS / 2 * elements;
    }
  }
  return cost < 1e18 ? (uint64_t)cost : UINT64_MAX;
}
