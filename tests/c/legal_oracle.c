// SPDX-License-Identifier: Apache-2.0
// See legal_oracle.h. Memory is cells as large as the smallest element of the file. A cell holds a tag: a hash of who
// wrote it and of all that the call had read by then.
#include "legal_oracle.h"

#include <stdlib.h>

#include "loop_maker.h"

enum { EVERY_ROW = -1, NO_ROW = -2 };
#define POISON UINT64_C(0xdeadbeefdeadbeef)

typedef struct sim_s {
  const leat_pef_t *pef;
  oracle_names_t was;
  oracle_t *out;
  uint64_t *reads;        // of the simulation that is under way
  int64_t unit;           // bytes of a cell
  int64_t *first;         // per symbol: its first cell; the arena begins at 0
  int64_t cells;          // of all places
  uint64_t *tags;         // per cell
  uint64_t *names;        // per cell: the argument that it was written through
  bool *written;          // per cell: by any call of the file
  uint64_t *scratch;      // tags
  int64_t *starts;        // per operand in a tile buffer: where that lies in scratch
  size_t *reads_of_call;  // per call of the file before: where its operands are in `reads`
  size_t reads_of_run;
  uint32_t run, bound;  // bound: whose inputs these are
  bool outputs_off;
  uint32_t types;                 // that are asked for
  const uint32_t *trips;          // of the loops, under way
  uint32_t turn;                  // calls so far, each trip counted
  uint8_t class[PEF_TYPE_COUNT];  // per type: the least that only runs together with it
  bool alone;                     // forward runs without those
} sim_t;

static uint64_t mix(uint64_t a, uint64_t b) {
  uint64_t z = a * UINT64_C(0x9e3779b97f4a7c15) + b + UINT64_C(0x632be59bd9b4e019);
  z = (z ^ (z >> 29)) * UINT64_C(0xbf58476d1ce4e5b9);
  return z ^ (z >> 32);
}

static void broken(sim_t *s, const char *what) {
  if (s->out->broken == NULL) s->out->broken = what;
}

static void *cells(int64_t count, size_t bytes) {
  void *data = calloc((size_t)count + 1, bytes);
  if (data == NULL) abort();
  return data;
}

static uint32_t operands_of(const leat_pef_t *pef, const pef_body_t *body) {
  uint32_t count = 0;
  for (uint32_t k = 0; k < body->stage_count; ++k) count += pef->stages[body->stage_first + k].operand_count;
  return count;
}

// --- elements --------------------------------------------------------------------------------------------------------

static bool is_written(const sim_t *s, const pef_stage_t *stage, uint32_t i) {
  static const uint8_t last[PEF_STAGE_COUNT] = {
      [PEF_STAGE_REDUCE] = 1,     [PEF_STAGE_SCAN] = 1, [PEF_STAGE_CONTRACT] = 2,  [PEF_STAGE_CONV] = 2,
      [PEF_STAGE_CONV_WGRAD] = 2, [PEF_STAGE_POOL] = 1, [PEF_STAGE_POOL_GRAD] = 2, [PEF_STAGE_GATHER] = 2,
      [PEF_STAGE_SCATTER] = 2,    [PEF_STAGE_SORT] = 2, [PEF_STAGE_RANDOM] = 1,    [PEF_STAGE_SEARCH] = 2};
  if (stage->kind != PEF_STAGE_MAP) return i == last[stage->kind] || (stage->kind == PEF_STAGE_SORT && i == 1);
  for (uint32_t k = 0; k < stage->instruction_count; ++k) {
    const pef_instruction_t *in = &s->pef->instructions[stage->instruction_first + k];
    if (in->op == PEF_OP_STORE && in->a == i) return true;
  }
  return false;
}

static bool is_read(const sim_t *s, const pef_stage_t *stage, uint32_t i) {
  if (stage->kind == PEF_STAGE_SCATTER) return true;
  if (stage->kind == PEF_STAGE_CONTRACT) return i < 2 || stage->params.contract.add == 1;
  if (stage->kind != PEF_STAGE_MAP) return !is_written(s, stage, i);
  for (uint32_t k = 0; k < stage->instruction_count; ++k) {
    const pef_instruction_t *in = &s->pef->instructions[stage->instruction_first + k];
    if (in->op == PEF_OP_LOAD && in->a == i) return true;
  }
  return false;
}

// Goes over the elements of an operand, in the order of its dims.
typedef struct cursor_s {
  const pef_stage_t *stage;
  const pef_operand_t *o;
  int64_t extents[PEF_MAX_RANK], at[PEF_MAX_RANK];
  uint32_t which;  // operand
  bool packed, ended;
} cursor_t;

static cursor_t start(const sim_t *s, const pef_stage_t *stage, uint32_t i, int64_t rows) {
  cursor_t c = {.stage = stage, .o = &s->pef->operands[stage->operand_first + i], .which = i};
  c.packed = stage->kind == PEF_STAGE_CONTRACT && i == 1 && stage->params.contract.n_block != 0;
  const bool out = is_written(s, stage, i);
  for (uint32_t d = 0; d < c.o->rank; ++d) {
    const bool summed = (stage->kind == PEF_STAGE_REDUCE && (stage->params.reduce.dims >> d & 1) != 0) ||
                        (stage->kind == PEF_STAGE_CONTRACT && stage->params.contract.roles[d] == PEF_ROLE_K);
    c.extents[d] = d == c.o->row_dim ? rows * (int64_t)c.o->row_mult : c.o->dims[d];
    if (out && summed) c.extents[d] = 1;
    if (!out && c.o->strides[d] == 0 && c.extents[d] > 1) c.extents[d] = 1;
    c.ended |= c.extents[d] == 0;
  }
  c.ended |= c.o->space == PEF_SPACE_NONE;
  return c;
}

static void step(cursor_t *c) {
  uint32_t d = c->o->rank;
  while (d-- > 0) {
    if (++c->at[d] < c->extents[d]) return;
    c->at[d] = 0;
  }
  c->ended = true;
}

// Bytes from the start of the argument or of the tile buffer.
static int64_t place_of(const cursor_t *c) {
  int64_t at = 0, n = 0, k = 0, n_count = 1;
  for (uint32_t d = 0; d < c->o->rank; ++d) {
    const int64_t role = c->stage->params.contract.roles[d];
    if (c->packed && role == PEF_ROLE_N) {
      n = c->at[d];
      n_count = c->o->dims[d];
    } else if (c->packed && role == PEF_ROLE_K) {
      k = k * c->o->dims[d] + c->at[d];
    } else {
      at += c->at[d] * c->o->strides[d];
    }
  }
  if (c->packed) {
    const int64_t block = c->stage->params.contract.n_block, left = n_count - n / block * block;
    at += n / block * c->stage->params.contract.n_block_step + k * (left < block ? left : block) + n % block;
  }
  return (int64_t)c->o->offset + at * (int64_t)leat_pef_dtype_bytes(c->o->dtype);
}

static int64_t row_of(const cursor_t *c) {
  return c->o->row_dim == PEF_NO_ROW_DIM ? EVERY_ROW : c->at[c->o->row_dim] / (int64_t)c->o->row_mult;
}

static uint64_t index_of(const cursor_t *c) {
  uint64_t index = 0;
  for (uint32_t d = 0; d < c->o->rank; ++d) index = index * (uint64_t)(c->o->dims[d] + 1) + (uint64_t)c->at[d];
  return index;
}

static pef_argument_t argument_of(const sim_t *s, const pef_call_t *call, const cursor_t *c) {
  return loop_argument(s->pef, call->argument_first + c->o->slot, s->trips);
}

// The first cell of an element in an argument; -1 in the constants.
static int64_t cell_of(const sim_t *s, const pef_argument_t *a, const cursor_t *c) {
  if (a->kind == PEF_PLACE_CONSTANT) return -1;
  const int64_t first = a->kind == PEF_PLACE_SYMBOL ? s->first[a->symbol] : 0;
  return first + ((int64_t)a->offset + place_of(c)) / s->unit;
}

static int64_t width_of(const sim_t *s, const cursor_t *c) {
  return (int64_t)leat_pef_dtype_bytes(c->o->dtype) / s->unit;
}

// The first cell of an element in tile scratch.
static int64_t scratch_cell_of(const sim_t *s, const cursor_t *c) {
  return (s->starts[c->o - s->pef->operands] + place_of(c)) / s->unit;
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
  const pef_argument_t now = argument_of(s, call, c);
  const uint64_t whole = s->pef->arguments[call->argument_first + c->o->slot].bytes, end = now.offset + now.bytes;
  return now.kind == PEF_PLACE_ARENA ? mix(end - whole, whole) | 1 : 0;
}

static uint64_t read_operand(sim_t *s, const pef_call_t *call, cursor_t c) {
  uint64_t digest = 1;
  const bool in_scratch = c.o->space == PEF_SPACE_SCRATCH;
  const pef_argument_t argument = in_scratch ? (pef_argument_t){0} : argument_of(s, call, &c);
  const uint64_t named = in_scratch ? 0 : name_of(s, call, &c);
  for (; !c.ended; step(&c)) {
    const int64_t cell = in_scratch ? scratch_cell_of(s, &c) : cell_of(s, &argument, &c);
    for (int64_t w = 0; cell >= 0 && w < width_of(s, &c); ++w) {
      const uint64_t tag = in_scratch ? s->scratch[cell + w] : s->tags[cell + w];
      if (tag == 0 && (in_scratch || s->written[cell + w])) broken(s, "reads what was not written");
      if (tag == POISON) broken(s, "reads the caller's memory");
      if (!in_scratch && tag != 0 && s->names[cell + w] != named) broken(s, "reads a part of another value");
      digest = mix(digest, tag);
    }
  }
  return digest;
}

static void write_operand(sim_t *s, const pef_call_t *call, cursor_t c, uint64_t known) {
  const uint64_t name = mix(operand_was(s, &c), known);
  const bool in_scratch = c.o->space == PEF_SPACE_SCRATCH;
  const pef_argument_t argument = in_scratch ? (pef_argument_t){0} : argument_of(s, call, &c);
  const uint64_t named = in_scratch ? 0 : name_of(s, call, &c);
  for (; !c.ended; step(&c)) {
    const int64_t cell = in_scratch ? scratch_cell_of(s, &c) : cell_of(s, &argument, &c);
    for (int64_t w = 0; w < width_of(s, &c); ++w) {
      const uint64_t tag = mix(name, index_of(&c) * 8 + (uint64_t)w) | 1;
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
        const cursor_t c = start(s, stage, i, (int64_t)body->row_count);
        if (c.o->space != PEF_SPACE_ARGUMENT) continue;
        if (pass == 0 && is_read(s, stage, i)) {
          const uint32_t first = s->pef->stages[body->stage_first].operand_first;
          const uint64_t digest = read_operand(s, call, c);
          reads[operand_was(s, &c) - first] = mix(reads[operand_was(s, &c) - first], digest);  // of all trips
          known = mix(known, digest);
        }
        if (pass == 1 && is_written(s, stage, i)) write_operand(s, call, c, known);
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
      if (memcmp(&other[at], &s->out->reads[at], count * sizeof *other) != 0) broken(s, "prepares too seldom");
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
      broken(s, "section types that run apart do not what they do together");
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
      broken(s, "forward alone does not what it does together with the types of its loops");
  }
}

static void simulate_all(sim_t *s) {
  uint64_t *other = cells((int64_t)(RUNS * s->reads_of_run), sizeof *other);
  uint64_t *another = cells((int64_t)(RUNS * s->reads_of_run), sizeof *another);
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
        const cursor_t c = start(s, stage, i, rows);
        if (c.o->space != PEF_SPACE_SCRATCH) continue;
        if (pass == 0 && is_read(s, stage, i)) {
          const uint64_t digest = read_operand(s, NULL, c);
          reads[operand_was(s, &c) - first] = digest;
          known = mix(known, digest);
        }
        if (pass == 1 && is_written(s, stage, i)) write_operand(s, NULL, c, known);
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

// --- who touches what at the same time -------------------------------------------------------------------------------

// Of a cell, since the last barrier.
typedef struct seen_s {
  uint32_t flight, writer, reader, other_reader;  // turns: calls in a trip
  uint32_t call;                                  // whose rows these are
  int64_t written_row, read_row;
  const pef_stage_t *stage;  // whose elements these are
  uint64_t out_index, in_index;
  int32_t out_operand, in_operand;
  bool many_in, many_rows;
} seen_t;

static void see_call(sim_t *s, seen_t *seen, uint32_t call, bool written) {
  const uint32_t me = call;
  const bool other_writes = seen->writer != 0 && seen->writer != me;
  const bool other_reads = (seen->reader != 0 && seen->reader != me) || seen->other_reader != 0;
  if (other_writes || (written && other_reads)) broken(s, "two calls race");
  if (written) {
    seen->writer = me;
  } else if (seen->reader == 0) {
    seen->reader = me;
  } else if (seen->reader != me) {
    seen->other_reader = me;
  }
}

static bool other_row(int64_t a, int64_t b) { return a != NO_ROW && (a == EVERY_ROW || b == EVERY_ROW || a != b); }

static void see_row(sim_t *s, seen_t *seen, uint32_t call, int64_t row, bool written) {
  if (seen->call != call) {
    seen->call = call;
    seen->written_row = seen->read_row = NO_ROW;
    seen->many_rows = false;
  }
  if (other_row(seen->written_row, row) || (written && (seen->many_rows || other_row(seen->read_row, row))))
    broken(s, "two tiles race");
  if (written) {
    seen->written_row = row;
  } else {
    seen->many_rows |= other_row(seen->read_row, row);
    seen->read_row = row;
  }
}

static void see_element(sim_t *s, seen_t *seen, const cursor_t *c, int64_t part, bool written) {
  const uint64_t index = index_of(c) * 8 + (uint64_t)part;
  const int32_t me = (int32_t)c->which + 1;
  if (seen->stage != c->stage) {
    seen->stage = c->stage;
    seen->out_operand = seen->in_operand = 0;
    seen->many_in = false;
  }
  if (written && seen->out_operand != 0 && seen->out_operand != me) broken(s, "a stage writes a byte twice");
  if (written) {
    seen->out_operand = me;
    seen->out_index = index;
    const bool step_by_step = c->stage->kind == PEF_STAGE_MAP && !seen->many_in && seen->in_index == index;
    if (seen->in_operand != 0 && seen->in_operand != me && !step_by_step)
      broken(s, "a stage writes over what it reads");
  } else {
    seen->many_in |= seen->in_operand != 0 && seen->in_index != index;
    seen->in_operand = me;
    seen->in_index = index;
  }
}

static void see_operand(sim_t *s, seen_t *seen, uint32_t call, uint32_t flight, cursor_t c, bool written,
                        int64_t rows) {
  const bool in_scratch = c.o->space == PEF_SPACE_SCRATCH;
  const pef_argument_t argument = in_scratch ? (pef_argument_t){0} : argument_of(s, &s->pef->calls[call], &c);
  for (; !c.ended; step(&c)) {
    const int64_t cell = in_scratch ? scratch_cell_of(s, &c) : cell_of(s, &argument, &c);
    for (int64_t w = 0; cell >= 0 && w < width_of(s, &c); ++w) {
      seen_t *at = &seen[cell + w];
      if (at->flight != flight) *at = (seen_t){.flight = flight};
      if (!in_scratch) see_call(s, at, s->turn, written);
      if (!in_scratch && rows > 1) see_row(s, at, s->turn, row_of(&c), written);
      if (!in_scratch && written) s->written[cell + w] = true;
      see_element(s, at, &c, w, written);
    }
  }
}

// Stages of a call; `scratch`: cells of tile scratch, which are its own.
static void see_stages(sim_t *s, seen_t *seen, seen_t *scratch, uint32_t call, uint32_t flight) {
  const pef_body_t *body = &s->pef->bodies[s->pef->calls[call].body];
  const uint64_t most = body->tile_rows_max < body->row_count ? body->tile_rows_max : body->row_count;
  for (uint32_t k = 0; k < body->stage_count; ++k) {
    const pef_stage_t *stage = &s->pef->stages[body->stage_first + k];
    if (leat_pef_stage_is_idle(s->pef, stage)) continue;
    for (uint32_t pass = 0; pass < 2; ++pass) {
      for (uint32_t i = 0; i < stage->operand_count; ++i) {
        const pef_operand_t *o = &s->pef->operands[stage->operand_first + i];
        if (o->space == PEF_SPACE_NONE || !(pass == 0 ? is_read(s, stage, i) : is_written(s, stage, i))) continue;
        const bool in_scratch = o->space == PEF_SPACE_SCRATCH;
        const cursor_t c = start(s, stage, i, (int64_t)(in_scratch ? most : body->row_count));
        see_operand(s, in_scratch ? scratch : seen, call, in_scratch ? s->turn : flight, c, pass == 1,
                    (int64_t)body->row_count);
      }
    }
  }
}

typedef struct sight_s {
  sim_t *s;
  seen_t *seen, *scratch;
  uint32_t phase, flight;
} sight_t;

static void see_turn(void *context, uint32_t call, const uint32_t *trips) {
  sight_t *sight = context;
  sight->s->trips = trips;
  sight->s->turn++;
  sight->flight += sight->s->pef->calls[call].barrier;
  if ((sight->s->pef->calls[call].type == PEF_PREPARE) == (sight->phase == 0))
    see_stages(sight->s, sight->seen, sight->scratch, call, sight->flight);
}

static void see_all(sim_t *s, seen_t *seen, seen_t *scratch) {
  sight_t sight = {.s = s, .seen = seen, .scratch = scratch};
  for (sight.phase = 0; sight.phase < 2; ++sight.phase) {
    ++sight.flight;
    loop_each_call(s->pef, see_turn, &sight);
  }
}

// Symbols that no call may write.
static void see_inputs(sim_t *s) {
  for (uint32_t k = 0; k < s->pef->symbol_count; ++k) {
    for (int64_t i = 0; i < (int64_t)s->pef->symbols[k].bytes / s->unit; ++i) {
      if (s->pef->symbols[k].kind == PEF_SYMBOL_INPUT && s->written[s->first[k] + i]) broken(s, "an input is written");
    }
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
  s->first = cells(s->pef->symbol_count, sizeof *s->first);
  s->cells = (int64_t)s->pef->info->arena_bytes / s->unit + 8;
  for (uint32_t k = 0; k < s->pef->symbol_count; ++k) {
    s->first[k] = s->cells;
    s->cells += (int64_t)s->pef->symbols[k].bytes / s->unit + 8;
  }
}

static void place_buffers(sim_t *s) {
  s->starts = cells(s->pef->operand_count, sizeof *s->starts);
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
  s->reads_of_call = cells(s->pef->call_count, sizeof *s->reads_of_call);
  for (uint32_t c = 0; c < s->pef->call_count; ++c)
    s->reads_of_call[call_was(s, c)] = operands_of(s->pef, &s->pef->bodies[s->pef->calls[c].body]);
  for (uint32_t c = 0; c < s->pef->call_count; ++c) {
    const size_t count = s->reads_of_call[c];
    s->reads_of_call[c] = s->reads_of_run;
    s->reads_of_run += count;
  }
  s->out->read_count = RUNS * s->reads_of_run + 2 * (size_t)s->pef->operand_count;
  s->out->reads = cells((int64_t)s->out->read_count, sizeof *s->out->reads);
}

oracle_t oracle_run(const leat_pef_t *pef, oracle_names_t was) {
  oracle_t out = {0};
  sim_t s = {.pef = pef, .was = was, .out = &out, .unit = smallest_element(pef)};
  const int64_t scratch_cells = (int64_t)leat_pef_most_scratch_bytes(pef) / s.unit;
  place_symbols(&s);
  place_buffers(&s);
  make_room(&s);
  join_types(&s);
  s.tags = cells(s.cells, sizeof *s.tags);
  s.names = cells(s.cells, sizeof *s.names);
  s.written = cells(s.cells, sizeof *s.written);
  s.scratch = cells(scratch_cells, sizeof *s.scratch);
  seen_t *seen = cells(s.cells, sizeof *seen), *scratch = cells(scratch_cells, sizeof *scratch);
  see_all(&s, seen, scratch);
  see_inputs(&s);
  simulate_all(&s);
  simulate_bodies(&s);
  free(s.first);
  free(s.tags);
  free(s.names);
  free(s.written);
  free(s.scratch);
  free(s.starts);
  free(s.reads_of_call);
  free(seen);
  free(scratch);
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
