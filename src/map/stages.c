// SPDX-License-Identifier: Apache-2.0
// Ops of a section become stages. Elementwise ops over the same iteration space share one MAP stage whenever every
// value passed between them is read in step, so that a chain of maps is one pass over memory; all others stand alone.
// Each op first joins the earliest stage that it may; then a MAP stage that only one later one reads goes there, too:
// in `a.mean() + b.mean()` the division of the first sum waits for the second. (Which section has an op is settled by
// then: cut/cut_to_readers.c. Where in the graph large values of backward are made: opt/late.c.)
#include "map/stages.h"

#include "pef/pef_format.h"
#include "space/access.h"

typedef struct making_s {
  const leat_graph_t *g;
  const leat_plan_t *plan;
  const leat_uses_t *uses;
  leat_stages_t *stages;
  bool *is_live;  // per op: a statement hangs on it
} making_t;

bool leat_stages_read_in_step(const leat_graph_t *g, const leat_op_t *op, uint32_t input) {
  if (leat_op_role(op->kind) != LEAT_ROLE_ELEMENTWISE) return false;
  leat_value_id_t v = leat_op_input(g, op, input);
  leat_access_t access;
  if (!leat_access_resolve(g, v, &access) || !leat_access_is_whole(g, &access)) return false;
  const leat_value_t *result = leat_graph_value(g, op->result_first);
  return leat_same_shape(leat_graph_value(g, v), result) && leat_same_shape(leat_graph_value(g, access.base), result);
}

static bool same_space(const leat_stage_t *stage, const leat_value_t *result, uint8_t row_dim) {
  return leat_op_role(stage->kind) == LEAT_ROLE_ELEMENTWISE && stage->row_dim == row_dim &&
         stage->rank == result->rank && memcmp(stage->dims, result->dims, result->rank * sizeof result->dims[0]) == 0;
}

// The first stage that may hold `op`: not before anything it reads.
static uint32_t earliest_stage(const making_t *m, leat_op_id_t id, uint32_t section) {
  const leat_op_t *op = leat_graph_op(m->g, id);
  const leat_stage_t *stages = m->stages->of[section].data;
  uint32_t earliest = 0;
  for (uint32_t i = 0; i < op->input_count; ++i) {
    leat_op_id_t producer = leat_graph_value(m->g, leat_access_base(m->g, leat_op_input(m->g, op, i)))->op;
    if (!leat_op_computes(leat_graph_op(m->g, producer)->kind) || m->plan->section_of[producer] != section) continue;
    uint32_t at = m->stages->at[producer];
    bool share = leat_op_role(op->kind) == LEAT_ROLE_ELEMENTWISE && leat_stages_read_in_step(m->g, op, i) &&
                 same_space(&stages[at], leat_graph_value(m->g, op->result_first), m->plan->row_dim[id]);
    if (!share) ++at;
    if (at > earliest) earliest = at;
  }
  return earliest;
}

// A program holds as many ops as the format does: each input is loaded, converted or set, and an op computes, wraps,
// compares with a number more at most, and is stored. How many values live at once is no limit, strips are cheap
// (arch/blocks.h).
static bool has_room(const leat_stage_t *stage, const leat_op_t *op) {
  return stage->operands + op->input_count < PEF_MAX_OPERANDS &&
         stage->instructions + op->input_count + 4 <= PEF_MAX_INSTRUCTIONS;
}

// The stage that `op` joins; beyond the last: it opens one.
static uint32_t choose_stage(const making_t *m, leat_op_id_t id, uint32_t section) {
  const leat_op_t *op = leat_graph_op(m->g, id);
  const leat_stage_list_t *list = &m->stages->of[section];
  if (leat_op_role(op->kind) != LEAT_ROLE_ELEMENTWISE) return list->count;
  for (uint32_t i = earliest_stage(m, id, section); i < list->count; ++i) {
    const leat_stage_t *stage = &list->data[i];
    if (same_space(stage, leat_graph_value(m->g, op->result_first), m->plan->row_dim[id]) && has_room(stage, op))
      return i;
  }
  return list->count;
}

static leat_status_t add_stage(leat_stage_list_t *list, leat_stage_t **out_stage) {
  *out_stage = leat_array_push(list);
  if (*out_stage == NULL) return leat_out_of_memory();
  (*out_stage)->copy_store = LEAT_NONE;
  return NULL;
}

static leat_status_t put(making_t *m, leat_op_id_t id, uint32_t section) {
  const leat_op_t *op = leat_graph_op(m->g, id);
  const leat_value_t *result = leat_graph_value(m->g, op->result_first);
  leat_stage_list_t *list = &m->stages->of[section];
  const uint32_t at = choose_stage(m, id, section);
  if (at == list->count) {
    leat_stage_t *stage;
    LEAT_TRY(add_stage(list, &stage));
    stage->kind = op->kind;
    stage->row_dim = m->plan->row_dim[id];
    stage->rank = result->rank;
    memcpy(stage->dims, result->dims, sizeof stage->dims);
  }
  leat_op_id_t *slot = leat_array_push(&list->data[at].ops);
  if (slot == NULL) return leat_out_of_memory();
  *slot = id;
  list->data[at].operands += op->input_count + 1;
  list->data[at].instructions += op->input_count + 4;
  m->stages->at[id] = at;
  return NULL;
}

// --- stages that move to their reader -------------------------------------------------------------------------------

enum { NOBODY = UINT32_MAX };

static bool is_updated(const making_t *m, uint32_t section, uint32_t symbol) {
  const leat_section_t *of = &m->plan->sections.data[section];
  for (uint32_t i = 0; i < of->stores.count; ++i) {
    if (leat_op_symbol(m->g, leat_graph_op(m->g, of->stores.data[i])) == symbol) return true;
  }
  return false;
}

// Whether a stage would read as much later on: the section may write symbols in between.
static bool may_move(const making_t *m, uint32_t section, const leat_stage_t *stage) {
  for (uint32_t i = 0; i < stage->ops.count; ++i) {
    const leat_op_t *op = leat_graph_op(m->g, stage->ops.data[i]);
    for (uint32_t k = 0; k < op->input_count; ++k) {
      const leat_op_t *maker =
          leat_graph_op(m->g, leat_graph_value(m->g, leat_access_base(m->g, leat_op_input(m->g, op, k)))->op);
      if (leat_op_role(maker->kind) == LEAT_ROLE_SYMBOL && is_updated(m, section, leat_op_symbol(m->g, maker)))
        return false;
    }
  }
  return true;
}

static uint64_t bytes_of(const making_t *m, leat_value_id_t v) { return leat_value_bytes(leat_graph_value(m->g, v)); }

// Bytes of tile buffers that move with a stage: values of other stages of its section, a value that is read twice
// counted twice.
static uint64_t bytes_taken(const making_t *m, uint32_t section, uint32_t index) {
  const leat_stage_t *stage = &m->stages->of[section].data[index];
  uint64_t taken = 0;
  for (uint32_t i = 0; i < stage->ops.count; ++i) {
    const leat_op_t *op = leat_graph_op(m->g, stage->ops.data[i]);
    for (uint32_t k = 0; k < op->input_count; ++k) {
      const leat_value_id_t base = leat_access_base(m->g, leat_op_input(m->g, op, k));
      leat_op_id_t maker = leat_graph_value(m->g, base)->op;
      if (leat_op_computes(leat_graph_op(m->g, maker)->kind) && m->plan->section_of[maker] == section &&
          m->stages->at[maker] != index)
        taken += bytes_of(m, base);
    }
  }
  return taken;
}

// What is an eighth of the rest costs nothing.
static bool is_worth_moving(uint64_t taken, uint64_t passed) { return taken <= passed + passed / 8; }

// The only stage that reads values of this one, all in step; NOBODY: none or several do. *passed: bytes of the values.
static uint32_t only_reader(const making_t *m, uint32_t section, uint32_t index, uint64_t *passed) {
  const leat_stage_t *stage = &m->stages->of[section].data[index];
  uint32_t reader = NOBODY;
  *passed = 0;
  for (uint32_t i = 0; i < stage->ops.count; ++i) {
    const leat_value_id_t v = leat_graph_op(m->g, stage->ops.data[i])->result_first;
    bool is_passed = false;
    for (uint32_t k = m->uses->first[v]; k < m->uses->first[v + 1]; ++k) {
      const leat_use_t use = m->uses->all[k];
      const leat_op_t *op = leat_graph_op(m->g, use.op);
      if (!leat_op_computes(op->kind) || m->plan->section_of[use.op] != section) continue;
      const uint32_t at = m->stages->at[use.op];
      if (at == index) continue;
      if ((reader != NOBODY && reader != at) || !leat_stages_read_in_step(m->g, op, use.input)) return NOBODY;
      reader = at;
      is_passed = true;
    }
    *passed += is_passed ? bytes_of(m, v) : 0;
  }
  return reader;
}

static bool have_room(const leat_stage_t *a, const leat_stage_t *b) {
  return a->operands + b->operands < PEF_MAX_OPERANDS && a->instructions + b->instructions <= PEF_MAX_INSTRUCTIONS;
}

// Puts the ops of a stage in front of those of a later one over the same space.
static leat_status_t join(making_t *m, uint32_t section, uint32_t index, uint32_t later) {
  leat_stage_t *stage = &m->stages->of[section].data[index], *reader = &m->stages->of[section].data[later];
  for (uint32_t i = 0; i < reader->ops.count; ++i) {
    leat_op_id_t *slot = leat_array_push(&stage->ops);
    if (slot == NULL) return leat_out_of_memory();
    *slot = reader->ops.data[i];
  }
  stage->operands += reader->operands;
  stage->instructions += reader->instructions;
  const leat_stage_t emptied = *reader;
  *reader = *stage;
  *stage = emptied;
  stage->ops.count = 0;
  for (uint32_t i = 0; i < reader->ops.count; ++i) m->stages->at[reader->ops.data[i]] = later;
  return NULL;
}

static void number(leat_stages_t *stages, uint32_t section) {
  const leat_stage_list_t *list = &stages->of[section];
  for (uint32_t i = 0; i < list->count; ++i) {
    for (uint32_t k = 0; k < list->data[i].ops.count; ++k) stages->at[list->data[i].ops.data[k]] = i;
  }
}

static void drop_empty(leat_stages_t *stages, uint32_t section) {
  leat_stage_list_t *list = &stages->of[section];
  uint32_t kept = 0;
  for (uint32_t i = 0; i < list->count; ++i) {
    if (list->data[i].ops.count == 0) {
      leat_array_free(&list->data[i].ops);
    } else {
      list->data[kept++] = list->data[i];
    }
  }
  list->count = kept;
  number(stages, section);
}

static leat_status_t stages_to_readers(making_t *m, uint32_t section) {
  leat_stage_list_t *list = &m->stages->of[section];
  for (uint32_t i = list->count; i-- > 0;) {
    const leat_stage_t *stage = &list->data[i];
    if (leat_op_role(stage->kind) != LEAT_ROLE_ELEMENTWISE || !may_move(m, section, stage)) continue;
    uint64_t passed;
    const uint32_t reader = only_reader(m, section, i, &passed);
    if (reader == NOBODY || !is_worth_moving(bytes_taken(m, section, i), passed)) continue;
    const leat_op_t *first = leat_graph_op(m->g, stage->ops.data[0]);
    const bool same = same_space(&list->data[reader], leat_graph_value(m->g, first->result_first), stage->row_dim);
    if (same && have_room(stage, &list->data[reader])) LEAT_TRY(join(m, section, i, reader));
  }
  return NULL;
}

// --- ops that move to the stage of their readers --------------------------------------------------------------------

// The only stage that reads what an op of stage `index` makes, all in step; NOBODY: it is read here, by several, by
// other sections, or kept.
static uint32_t reader_of(const making_t *m, uint32_t section, uint32_t index, leat_op_id_t id) {
  const leat_value_id_t v = leat_graph_op(m->g, id)->result_first;
  uint32_t reader = NOBODY;
  for (uint32_t k = m->uses->first[v]; k < m->uses->first[v + 1]; ++k) {
    const leat_use_t use = m->uses->all[k];
    const leat_op_t *op = leat_graph_op(m->g, use.op);
    if (!leat_op_computes(op->kind) || m->plan->section_of[use.op] != section) return NOBODY;
    const uint32_t at = m->stages->at[use.op];
    if (at == index || (reader != NOBODY && reader != at) || !leat_stages_read_in_step(m->g, op, use.input))
      return NOBODY;
    reader = at;
  }
  return reader;
}

// Whether stages after `index`, and from `from` on, read a value of the section, or others do.
static bool is_needed(const making_t *m, uint32_t section, leat_value_id_t v, uint32_t index, uint32_t from) {
  for (uint32_t k = m->uses->first[v]; k < m->uses->first[v + 1]; ++k) {
    const leat_op_id_t reader = m->uses->all[k].op;
    if (!leat_op_computes(leat_graph_op(m->g, reader)->kind) || m->plan->section_of[reader] != section) return true;
    if (m->stages->at[reader] != index && m->stages->at[reader] >= from) return true;
  }
  return false;
}

// Bytes of tile buffers that there are for longer, or at all, when an op of stage `index` is computed in stage `later`.
static uint64_t bytes_kept(const making_t *m, uint32_t section, uint32_t index, uint32_t later, leat_op_id_t id) {
  const leat_op_t *op = leat_graph_op(m->g, id);
  uint64_t kept = 0;
  for (uint32_t k = 0; k < op->input_count; ++k) {
    const leat_value_id_t base = leat_access_base(m->g, leat_op_input(m->g, op, k));
    const leat_op_id_t maker = leat_graph_value(m->g, base)->op;
    if (!leat_op_computes(leat_graph_op(m->g, maker)->kind) || m->plan->section_of[maker] != section) continue;
    if (!is_needed(m, section, base, index, later)) kept += bytes_of(m, base);
  }
  return kept;
}

static bool reads_state(const making_t *m, uint32_t section, leat_op_id_t id) {
  const leat_stage_t alone = {.ops = {.data = &id, .count = 1}};
  return !may_move(m, section, &alone);
}

// Takes op `k` of a stage out and puts it in front of those of a later one.
static leat_status_t put_off(making_t *m, uint32_t section, uint32_t index, uint32_t k, uint32_t later) {
  leat_stage_t *stage = &m->stages->of[section].data[index], *reader = &m->stages->of[section].data[later];
  const leat_op_id_t id = stage->ops.data[k];
  if (leat_array_push(&reader->ops) == NULL) return leat_out_of_memory();
  memmove(reader->ops.data + 1, reader->ops.data, (reader->ops.count - 1) * sizeof *reader->ops.data);
  reader->ops.data[0] = id;
  memmove(stage->ops.data + k, stage->ops.data + k + 1, (stage->ops.count - k - 1) * sizeof *stage->ops.data);
  stage->ops.count--;
  reader->operands += leat_graph_op(m->g, id)->input_count + 1;
  reader->instructions += leat_graph_op(m->g, id)->input_count + 4;
  m->stages->at[id] = later;
  return NULL;
}

// What a stage makes for a later one alone is made there, where that keeps no more in tile buffers: `x - mean`, which a
// variance needs and later the result, is stored for neither.
static leat_status_t ops_to_readers(making_t *m, uint32_t section) {
  leat_stage_list_t *list = &m->stages->of[section];
  for (uint32_t i = list->count; i-- > 0;) {
    if (leat_op_role(list->data[i].kind) != LEAT_ROLE_ELEMENTWISE) continue;
    for (uint32_t k = list->data[i].ops.count; k-- > 0;) {
      const leat_op_id_t id = list->data[i].ops.data[k];
      const leat_op_t *op = leat_graph_op(m->g, id);
      const uint32_t later = reader_of(m, section, i, id);
      if (later == NOBODY || reads_state(m, section, id) || !has_room(&list->data[later], op)) continue;
      const leat_value_t *result = leat_graph_value(m->g, op->result_first);
      if (!same_space(&list->data[later], result, m->plan->row_dim[id])) continue;
      if (!is_worth_moving(bytes_kept(m, section, i, later, id), bytes_of(m, op->result_first))) continue;
      LEAT_TRY(put_off(m, section, i, k, later));
    }
  }
  return NULL;
}

// --- stages that go right behind what they read ---------------------------------------------------------------------

// The only elementwise stage that a stage of another kind reads, if it makes less of it; NOBODY: there is none.
static uint32_t only_maker(const making_t *m, uint32_t section, const leat_stage_t *stage) {
  uint32_t maker_at = NOBODY;
  if (stage->ops.count != 1 || leat_op_role(stage->kind) != LEAT_ROLE_COMPUTE) return NOBODY;
  const leat_op_t *op = leat_graph_op(m->g, stage->ops.data[0]);
  for (uint32_t k = 0; k < op->input_count; ++k) {
    const leat_value_id_t base = leat_access_base(m->g, leat_op_input(m->g, op, k));
    const leat_op_id_t maker = leat_graph_value(m->g, base)->op;
    const bool here = leat_op_computes(leat_graph_op(m->g, maker)->kind) && m->plan->section_of[maker] == section;
    if (!here || maker_at != NOBODY || bytes_of(m, base) < 2 * bytes_of(m, op->result_first)) return NOBODY;
    if (leat_op_role(leat_graph_op(m->g, maker)->kind) != LEAT_ROLE_ELEMENTWISE) return NOBODY;
    maker_at = m->stages->at[maker];
  }
  return maker_at;
}

// Sums of a value stand behind the stage that makes it, so that an engine may make both at once.
static void bring_forward(making_t *m, uint32_t section) {
  leat_stage_list_t *list = &m->stages->of[section];
  for (uint32_t i = 0; i < list->count; ++i) {
    const leat_stage_t stage = list->data[i];
    const uint32_t maker = only_maker(m, section, &stage);
    uint32_t to = maker + 1;
    while (maker != NOBODY && to < i && only_maker(m, section, &list->data[to]) == maker) to++;
    if (maker == NOBODY || to >= i) continue;
    memmove(&list->data[to + 1], &list->data[to], (i - to) * sizeof stage);
    list->data[to] = stage;
    number(m->stages, section);
  }
}

// --- all ------------------------------------------------------------------------------------------------------------

// Graphs that were not cleaned up have ops that nobody reads; a stage of such alone would write nothing.
static void find_live(making_t *m) {
  for (leat_op_id_t id = m->g->ops.count; id-- > 0;) {
    const leat_op_t *op = leat_graph_op(m->g, id);
    bool live = leat_op_is_statement(op->kind);
    for (uint32_t v = 0; v < op->result_count && !live; ++v) {
      const leat_value_id_t value = op->result_first + v;
      for (uint32_t i = m->uses->first[value]; i < m->uses->first[value + 1] && !live; ++i)
        live = m->is_live[m->uses->all[i].op];
    }
    m->is_live[id] = live;
  }
}

static leat_status_t make_stages(making_t *m) {
  find_live(m);
  for (uint32_t s = 0; s < m->plan->sections.count; ++s) {
    const leat_section_t *section = &m->plan->sections.data[s];
    for (uint32_t i = 0; i < section->ops.count; ++i) {
      if (m->is_live[section->ops.data[i]]) LEAT_TRY(put(m, section->ops.data[i], s));
    }
    LEAT_TRY(stages_to_readers(m, s));
    LEAT_TRY(ops_to_readers(m, s));
    drop_empty(m->stages, s);
    bring_forward(m, s);
  }
  return NULL;
}

leat_status_t leat_stages_make(const leat_graph_t *g, const leat_plan_t *plan, const leat_uses_t *uses,
                               leat_stages_t *out_stages) {
  *out_stages = (leat_stages_t){.section_count = plan->sections.count};
  out_stages->of = leat_alloc_zero(plan->sections.count + 1u, sizeof *out_stages->of);
  out_stages->at = leat_alloc_zero(g->ops.count + 1u, sizeof *out_stages->at);
  making_t m = {g, plan, uses, out_stages, leat_alloc_zero(g->ops.count + 1u, sizeof *m.is_live)};
  const bool all = out_stages->of != NULL && out_stages->at != NULL && m.is_live != NULL;
  leat_status_t status = all ? make_stages(&m) : leat_out_of_memory();
  leat_free(m.is_live);
  return status;
}

void leat_stages_deinit(leat_stages_t *stages) {
  for (uint32_t s = 0; stages->of != NULL && s < stages->section_count; ++s) {
    for (uint32_t i = 0; i < stages->of[s].count; ++i) leat_array_free(&stages->of[s].data[i].ops);
    leat_array_free(&stages->of[s]);
  }
  leat_free(stages->of);
  leat_free(stages->at);
}

leat_status_t leat_stages_add_copy(leat_stages_t *stages, const leat_plan_t *plan, leat_op_id_t store) {
  leat_stage_list_t *list = &stages->of[plan->section_of[store]];
  leat_stage_t *stage;
  LEAT_TRY(add_stage(list, &stage));
  stage->kind = LEAT_PRIM_MAP;
  stage->copy_store = store;
  stages->at[store] = list->count - 1;
  return NULL;
}
