// SPDX-License-Identifier: Apache-2.0
// Tile buffers that are broken on purpose: in compiled programs the records of one body are changed in one place, a
// simulation of every byte of its buffers says whether they still keep the rules of pef_format.h, and the validator or
// the proofs (pef/legal.h) have to find each body that does not. LEAT_MUTATIONS says how many of those.
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "check.h"
#include "draws.h"
#include "mutate.h"
#include "pef/legal.h"
#include "pef/pef_check.h"
#include "samples.h"

enum { FILES_MAX = 32, BODIES_MAX = 256, TRIES_MAX = 64, COST_MAX = 400000 };

static leat_pef_t *files[FILES_MAX];
static uint32_t file_count;

// A body with tile buffers.
typedef struct site_s {
  const leat_pef_t *pef;
  uint32_t body;
} site_t;

static site_t sites[BODIES_MAX];
static uint32_t site_count;

// The tables of a file, to be changed.
typedef struct plan_s {
  leat_pef_t pef;
  mutant_t random;
  const pef_body_t *body;
  pef_stage_t *stages;
  pef_operand_t *operands;
  pef_instruction_t *instructions;
  pef_buffer_t *buffers;
  pef_layout_t *layout;
  int64_t *dims;  // with room for those of one buffer more
} plan_t;

static uint32_t below(plan_t *p, uint64_t limit) { return (uint32_t)mutate_below(&p->random, limit); }

static void *copy_of(const void *table, size_t count, size_t bytes, size_t more) {
  char *copy = leat_alloc_zero(count + more + 1, bytes);
  assert_non_null(copy);
  if (count != 0) memcpy(copy, table, count * bytes);
  return copy;
}

static plan_t copy_plan(const site_t *site, uint64_t seed) {
  const leat_pef_t *f = site->pef;
  plan_t p = {.pef = *f, .random.random = seed, .body = &f->bodies[site->body]};
  p.pef.stages = p.stages = copy_of(f->stages, f->stage_count, sizeof *p.stages, 0);
  p.pef.operands = p.operands = copy_of(f->operands, f->operand_count, sizeof *p.operands, 0);
  p.pef.instructions = p.instructions = copy_of(f->instructions, f->instruction_count, sizeof *p.instructions, 0);
  p.pef.buffers = p.buffers = copy_of(f->buffers, f->buffer_count, sizeof *p.buffers, 0);
  p.pef.layout = p.layout = copy_of(f->layout, f->buffer_count, sizeof *p.layout, 0);
  p.pef.dims = p.dims = copy_of(f->dims, f->dim_count, sizeof *p.dims, PEF_MAX_RANK);
  return p;
}

static void free_plan(plan_t *p) {
  leat_free(p->stages);
  leat_free(p->operands);
  leat_free(p->instructions);
  leat_free(p->buffers);
  leat_free(p->layout);
  leat_free(p->dims);
}

// --- mutations -------------------------------------------------------------------------------------------------------
// Each changes the body, or returns false where there is nothing of its kind.

static uint32_t some_buffer(plan_t *p) { return p->body->buffer_first + below(p, p->body->buffer_count); }

static pef_operand_t *some_operand(plan_t *p) {
  const pef_stage_t *last = &p->stages[p->body->stage_first + p->body->stage_count - 1];
  const uint32_t first = p->stages[p->body->stage_first].operand_first;
  for (uint32_t i = 0; i < TRIES_MAX; ++i) {
    pef_operand_t *o = &p->operands[first + below(p, last->operand_first + last->operand_count - first)];
    if (o->space == PEF_SPACE_SCRATCH) return o;
  }
  return NULL;
}

static bool move_buffer(plan_t *p) {
  pef_layout_t *at = &p->layout[some_buffer(p)];
  const uint64_t was = at->offset, other = p->layout[some_buffer(p)].offset;
  at->offset = below(p, 2) == 0 ? other : PEF_ALIGN * below(p, leat_pef_most_scratch_bytes(&p->pef) / PEF_ALIGN);
  return at->offset != was;
}

static bool change_life(plan_t *p) {
  pef_buffer_t *buffer = &p->buffers[some_buffer(p)];
  uint32_t *end = below(p, 2) == 0 ? &buffer->first : &buffer->last;
  const uint32_t was = *end;
  *end = below(p, 2) == 0 ? was + 1 - 2 * below(p, 2) : below(p, p->body->stage_count);
  return *end != was && *end < p->body->stage_count && buffer->first <= buffer->last;
}

static bool shift_operand(plan_t *p) {
  pef_operand_t *o = some_operand(p);
  if (o == NULL) return false;
  const int64_t element = (int64_t)leat_pef_dtype_bytes(o->dtype);
  const int64_t to =
      (int64_t)o->offset + element * (below(p, 2) == 0 ? 1 + below(p, 64) : -(int64_t)(1 + below(p, 64)));
  if (to < 0) return false;
  o->offset = (uint64_t)to;
  return true;
}

static bool stretch_operand(plan_t *p) {
  pef_operand_t *o = some_operand(p);
  if (o == NULL || o->rank == 0) return false;
  int64_t *stride = &o->strides[below(p, o->rank)];
  const int64_t was = *stride;
  *stride = below(p, 2) == 0 ? was * 2 : was + 1;
  return *stride != was;
}

static bool change_buffer(plan_t *p) {
  pef_operand_t *o = some_operand(p);
  if (o == NULL) return false;
  const uint32_t was = o->slot;
  o->slot = below(p, p->body->buffer_count);
  return o->slot != was;
}

// Another extent of one buffer, in dims of its own.
static bool change_extent(plan_t *p) {
  pef_buffer_t *buffer = &p->buffers[some_buffer(p)];
  if (buffer->rank == 0) return false;
  const uint32_t d = below(p, buffer->rank);
  memcpy(p->dims + p->pef.dim_count, p->dims + buffer->dims, buffer->rank * sizeof *p->dims);
  buffer->dims = p->pef.dim_count;
  p->pef.dim_count += buffer->rank;
  int64_t *extent = &p->dims[buffer->dims + d];
  const int64_t was = *extent;
  *extent = below(p, 2) == 0 ? was / 2 : was - 1;
  return *extent != was && *extent > 0 && (d != buffer->row_dim || (uint64_t)*extent % p->body->row_count == 0);
}

// A MAP stage leaves out what is last along a dim.
static bool do_less(plan_t *p) {
  pef_stage_t *stage = &p->stages[p->body->stage_first + below(p, p->body->stage_count)];
  pef_operand_t *operands = &p->operands[stage->operand_first];
  const uint32_t d = below(p, operands->rank == 0 ? 1 : operands->rank);
  if (stage->kind != PEF_STAGE_MAP || operands->rank == 0 || operands->dims[d] < 2) return false;
  for (uint32_t i = 0; i < stage->operand_count; ++i) {
    if (operands[i].row_dim == d) return false;
  }
  for (uint32_t i = 0; i < stage->operand_count; ++i) --operands[i].dims[d];
  return true;
}

// Records of OPERANDS and INSTRUCTIONS lie in the order of the stages.
static bool swap_stages(plan_t *p) {
  if (p->body->stage_count < 2) return false;
  pef_stage_t *a = &p->stages[p->body->stage_first + below(p, p->body->stage_count - 1)], *b = a + 1;
  const pef_stage_t first = *a, second = *b;
  pef_operand_t *operands =
      copy_of(&p->operands[first.operand_first], first.operand_count + second.operand_count, sizeof *operands, 0);
  pef_instruction_t *code = copy_of(&p->instructions[first.instruction_first],
                                    first.instruction_count + second.instruction_count, sizeof *code, 0);
  memcpy(&p->operands[first.operand_first], operands + first.operand_count, second.operand_count * sizeof *operands);
  memcpy(&p->operands[first.operand_first + second.operand_count], operands, first.operand_count * sizeof *operands);
  memcpy(&p->instructions[first.instruction_first], code + first.instruction_count,
         second.instruction_count * sizeof *code);
  memcpy(&p->instructions[first.instruction_first + second.instruction_count], code,
         first.instruction_count * sizeof *code);
  *a = second;
  a->operand_first = first.operand_first;
  a->instruction_first = first.instruction_first;
  *b = first;
  b->operand_first = first.operand_first + second.operand_count;
  b->instruction_first = first.instruction_first + second.instruction_count;
  leat_free(operands);
  leat_free(code);
  return true;
}

static const struct {
  const char *name;
  bool (*mutate)(plan_t *p);
} kinds[] = {
    {"a buffer moves in the layout", move_buffer},
    {"a buffer lives longer or shorter", change_life},
    {"an operand moves in its buffer", shift_operand},
    {"an operand gets another stride", stretch_operand},
    {"an operand gets another buffer", change_buffer},
    {"a buffer gets another extent", change_extent},
    {"a stage does less", do_less},
    {"two stages are swapped", swap_stages},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

// --- the simulation --------------------------------------------------------------------------------------------------

typedef struct held_s {
  uint8_t *written;  // per byte
  uint64_t bytes;
  uint32_t first, last, readers;  // stages of the body + 1; readers: the last one that read
} held_t;

typedef struct sim_s {
  const leat_pef_t *pef;
  const pef_body_t *body;
  uint64_t rows;
  held_t *held;
  const char *broken;
} sim_t;

static void broken(sim_t *s, const char *what) {
  if (s->broken == NULL) s->broken = what;
}

static uint64_t bytes_of(const leat_pef_t *pef, const pef_body_t *body, const pef_buffer_t *buffer, uint64_t rows) {
  uint64_t bytes = leat_pef_dtype_bytes(buffer->dtype);
  for (uint32_t d = 0; d < buffer->rank; ++d)
    bytes *= (uint64_t)pef->dims[buffer->dims + d] / (d == buffer->row_dim ? body->row_count : 1) *
             (d == buffer->row_dim ? rows : 1);
  return bytes;
}

static void touch(sim_t *s, const pef_stage_t *stage, uint32_t index, bool written) {
  const pef_operand_t *o = &s->pef->operands[stage->operand_first + index];
  const pef_buffer_t *buffer = &s->pef->buffers[s->body->buffer_first + o->slot];
  held_t *held = &s->held[o->slot];
  const uint32_t now = (uint32_t)(stage - s->pef->stages) - s->body->stage_first + 1;
  const int64_t element = (int64_t)leat_pef_dtype_bytes(o->dtype);
  int64_t at[PEF_MAX_RANK] = {0}, extents[PEF_MAX_RANK];
  if (o->dtype != buffer->dtype) broken(s, "is another dtype");
  if (held->first == 0) held->first = now;
  held->last = now;
  if (written && held->readers != 0 && held->readers != now) broken(s, "is made anew");
  if (!written) held->readers = now;
  for (uint32_t d = 0; d < o->rank; ++d) {
    extents[d] = d == o->row_dim ? (int64_t)(s->rows * o->row_mult) : o->dims[d];
    if (written && leat_pef_stage_sums(stage, d)) extents[d] = 1;
    if (extents[d] == 0) return;
  }
  for (bool more = true; more;) {
    int64_t place = (int64_t)o->offset;
    for (uint32_t d = 0; d < o->rank; ++d) place += at[d] * o->strides[d] * element;
    for (int64_t i = place; i < place + element; ++i) {
      if (i < 0 || (uint64_t)i >= held->bytes) {
        broken(s, "is left");
        continue;
      }
      if (written) held->written[i] = 1;
      if (!written && !held->written[i]) broken(s, "is read where nothing was written");
    }
    uint32_t d = o->rank;
    for (more = false; d-- > 0 && !more;) {
      more = ++at[d] < extents[d];
      if (!more) at[d] = 0;
    }
  }
}

static void simulate_stages(sim_t *s) {
  for (uint32_t k = 0; k < s->body->stage_count; ++k) {
    const pef_stage_t *stage = &s->pef->stages[s->body->stage_first + k];
    for (uint32_t written = 0; written < 2; ++written) {
      for (uint32_t i = 0; i < stage->operand_count; ++i) {
        const pef_operand_t *o = &s->pef->operands[stage->operand_first + i];
        const bool touched = written ? leat_pef_writes(s->pef, stage, i) : leat_pef_reads(s->pef, stage, i);
        if (o->space == PEF_SPACE_SCRATCH && touched) touch(s, stage, i, written != 0);
      }
    }
  }
}

static void see_lives(sim_t *s) {
  for (uint32_t i = 0; i < s->body->buffer_count; ++i) {
    const pef_buffer_t *buffer = &s->pef->buffers[s->body->buffer_first + i];
    if (buffer->first + 1 != s->held[i].first || buffer->last + 1 != s->held[i].last)
      broken(s, "lives at another time than it says");
  }
}

static void see_layout(sim_t *s) {
  const pef_buffer_t *buffers = s->pef->buffers + s->body->buffer_first;
  const pef_layout_t *layout = s->pef->layout + s->body->buffer_first;
  for (uint32_t i = 0; i < s->body->buffer_count; ++i) {
    for (uint32_t j = 0; j < i; ++j) {
      const bool at_once = buffers[i].first <= buffers[j].last && buffers[j].first <= buffers[i].last;
      if (at_once && layout[i].offset < layout[j].offset + bytes_of(s->pef, s->body, &buffers[j], s->rows) &&
          layout[j].offset < layout[i].offset + bytes_of(s->pef, s->body, &buffers[i], s->rows))
        broken(s, "shares bytes with another");
    }
  }
}

// What is wrong with the buffers of the body in a tile of `rows` rows; NULL: nothing.
static const char *simulate(const leat_pef_t *pef, const pef_body_t *body, uint64_t rows) {
  sim_t s = {.pef = pef, .body = body, .rows = rows};
  s.held = leat_alloc_zero(body->buffer_count + 1u, sizeof *s.held);
  for (uint32_t i = 0; i < body->buffer_count; ++i) {
    s.held[i].bytes = bytes_of(pef, body, &pef->buffers[body->buffer_first + i], rows);
    s.held[i].written = leat_alloc_zero(1, s.held[i].bytes + 1);
  }
  simulate_stages(&s);
  see_lives(&s);
  if (rows == leat_pef_tile_rows(body)) see_layout(&s);
  for (uint32_t i = 0; i < body->buffer_count; ++i) leat_free(s.held[i].written);
  leat_free(s.held);
  return s.broken;
}

static const char *simulate_heights(const leat_pef_t *pef, const pef_body_t *body) {
  const uint64_t most = leat_pef_tile_rows(body);
  const char *found = simulate(pef, body, most);
  if (found == NULL) found = simulate(pef, body, 1);
  if (found == NULL && most > 2) found = simulate(pef, body, 1 + most / 2);
  return found;
}

// --- the originals ---------------------------------------------------------------------------------------------------

static double cost_of(const leat_pef_t *pef, const pef_body_t *body) {
  double cost = 0;
  for (uint32_t s = body->stage_first; s < body->stage_first + body->stage_count; ++s) {
    for (uint32_t i = 0; i < pef->stages[s].operand_count; ++i) {
      const pef_operand_t *o = &pef->operands[pef->stages[s].operand_first + i];
      double elements = o->space == PEF_SPACE_SCRATCH;
      for (uint32_t d = 0; d < o->rank; ++d)
        elements *= d == o->row_dim ? (double)(leat_pef_tile_rows(body) * o->row_mult) : (double)o->dims[d];
      if (o->space == PEF_SPACE_SCRATCH && leat_pef_operand_is_packed(&pef->stages[s], i)) return COST_MAX + 1.0;
      cost += elements;
    }
  }
  return cost;
}

static int setup(void **state) {
  (void)state;
  static const char path[] = "buffer_mutate_test.pef";
  for (uint32_t n = 0; sample_names[n] != NULL; ++n) {
    for (uint32_t level = 1; level <= 3 && file_count < FILES_MAX; level += 2) {
      assert_ok(sample_compile(sample_names[n], level, path));
      assert_ok(leat_pef_open(path, &files[file_count]));
      const leat_pef_t *pef = files[file_count++];
      assert_ok(leat_legal_check(pef));
      for (uint32_t b = 0; b < pef->body_count && site_count < BODIES_MAX; ++b) {
        if (pef->bodies[b].buffer_count == 0 || cost_of(pef, &pef->bodies[b]) > COST_MAX) continue;
        const char *wrong = simulate_heights(pef, &pef->bodies[b]);
        if (wrong != NULL) fail_msg("%s: a buffer of body %u %s", sample_names[n], b, wrong);
        sites[site_count++] = (site_t){pef, b};
      }
    }
  }
  unlink(path);
  assert_true(site_count > 20);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  for (uint32_t i = 0; i < file_count; ++i) leat_pef_close(files[i]);
  return 0;
}

// --- the test --------------------------------------------------------------------------------------------------------

typedef struct tally_s {
  uint32_t broken, by_validator, by_proofs, missed;
  uint32_t kept, refused;  // bodies that keep the rules of buffers; of these refused for another reason
} tally_t;

static void judge(const site_t *site, const plan_t *p, uint32_t kind, tally_t *tally) {
  const char *wrong = simulate_heights(&p->pef, p->body);
  leat_findings_t found;
  leat_status_t status = leat_pef_check(&p->pef);
  assert_ok(leat_legal_find(&p->pef, &found));
  if (wrong == NULL) {
    ++tally->kept;
    tally->refused += status != NULL || found.count != 0;
  } else {
    ++tally->broken;
    tally->by_validator += status != NULL;
    tally->by_proofs += found.count != 0;
    if (status == NULL && found.count == 0) {
      ++tally->missed;
      print_error("body %u: %s: a buffer %s\n", site->body, kinds[kind].name, wrong);
    }
  }
  leat_findings_deinit(&found);
  leat_status_free(status);
}

static void every_broken_buffer_is_found(void **state) {
  (void)state;
  const uint32_t wanted = mutation_count(300);
  tally_t tallies[KINDS] = {0};
  uint32_t broken_count = 0, missed = 0;
  for (uint64_t seed = 0; broken_count < wanted; ++seed) {
    const site_t *site = &sites[seed % site_count];
    plan_t p = copy_plan(site, seed * UINT64_C(0x9e3779b97f4a7c15) + 1);
    const uint32_t kind = below(&p, KINDS);
    const uint32_t before = tallies[kind].broken;
    if (kinds[kind].mutate(&p)) judge(site, &p, kind, &tallies[kind]);
    broken_count += tallies[kind].broken - before;
    free_plan(&p);
  }
  for (uint32_t k = 0; k < KINDS; ++k) {
    const tally_t *t = &tallies[k];
    missed += t->missed;
    print_message("%-33s %4u broken: %4u found by the validator, %4u by the proofs, %u by none; %4u not (%u refused)\n",
                  kinds[k].name, t->broken, t->by_validator, t->by_proofs, t->missed, t->kept, t->refused);
  }
  assert_int_equal(missed, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(every_broken_buffer_is_found)};
  return cmocka_run_group_tests_name("buffer_mutate", tests, setup, teardown);
}
