// SPDX-License-Identifier: Apache-2.0
// Ops of a section become stages. Elementwise ops over the same iteration space share one MAP stage whenever every
// value passed between them is read in step, so that a chain of maps is one pass over memory; all others stand alone.
#include "map/mapper.h"

// Operands plus ops of a MAP stage; together they stay below the strip registers of the engine.
enum { MAP_WEIGHT_MAX = 56 };

bool leat_map_reads_in_step(const leat_mapper_t *m, const leat_op_t *op, uint32_t input) {
  leat_value_id_t v = leat_op_input(m->g, op, input);
  leat_access_t access;
  if (!leat_access_resolve(m->g, v, &access) || !leat_access_is_whole(m->g, &access)) return false;
  const leat_value_t *result = leat_graph_value(m->g, op->result_first);
  return leat_same_shape(leat_graph_value(m->g, v), result) &&
         leat_same_shape(leat_graph_value(m->g, access.base), result);
}

static bool same_space(const leat_stage_t *stage, const leat_value_t *result, uint8_t row_dim) {
  return leat_op_role(stage->kind) == LEAT_ROLE_ELEMENTWISE && stage->row_dim == row_dim &&
         stage->rank == result->rank && memcmp(stage->dims, result->dims, result->rank * sizeof result->dims[0]) == 0;
}

// The first stage that may hold `op`: not before anything it reads.
static uint32_t earliest_stage(const leat_mapper_t *m, leat_op_id_t id, uint32_t section) {
  const leat_op_t *op = leat_graph_op(m->g, id);
  const leat_stage_t *stages = m->sections[section].stages.data;
  uint32_t earliest = 0;
  for (uint32_t i = 0; i < op->input_count; ++i) {
    leat_op_id_t producer = leat_graph_value(m->g, leat_access_base(m->g, leat_op_input(m->g, op, i)))->op;
    if (!leat_op_computes(leat_graph_op(m->g, producer)->kind) || m->plan->section_of[producer] != section) continue;
    uint32_t at = m->stage_of[producer];
    bool share = leat_op_role(op->kind) == LEAT_ROLE_ELEMENTWISE && leat_map_reads_in_step(m, op, i) &&
                 same_space(&stages[at], leat_graph_value(m->g, op->result_first), m->plan->row_dim[id]);
    if (!share) ++at;
    if (at > earliest) earliest = at;
  }
  return earliest;
}

static leat_status_t put(leat_mapper_t *m, leat_op_id_t id, uint32_t section) {
  const leat_op_t *op = leat_graph_op(m->g, id);
  const leat_value_t *result = leat_graph_value(m->g, op->result_first);
  leat_section_map_t *s = &m->sections[section];
  uint32_t at = s->stages.count, weight = op->input_count + 1;
  if (leat_op_role(op->kind) == LEAT_ROLE_ELEMENTWISE) {
    for (uint32_t i = earliest_stage(m, id, section); i < s->stages.count; ++i) {
      leat_stage_t *stage = &s->stages.data[i];
      if (same_space(stage, result, m->plan->row_dim[id]) && stage->weight + weight <= MAP_WEIGHT_MAX) {
        at = i;
        break;
      }
    }
  }
  if (at == s->stages.count) {
    leat_stage_t *stage = leat_array_push(&s->stages);
    if (stage == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "out of memory");
    stage->kind = op->kind;
    stage->row_dim = m->plan->row_dim[id];
    stage->rank = result->rank;
    stage->copy_store = LEAT_NONE;
    memcpy(stage->dims, result->dims, sizeof stage->dims);
  }
  leat_op_id_t *slot = leat_array_push(&s->stages.data[at].ops);
  if (slot == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "out of memory");
  *slot = id;
  s->stages.data[at].weight += weight;
  m->stage_of[id] = at;
  return NULL;
}

leat_status_t leat_map_stages(leat_mapper_t *m) {
  for (uint32_t s = 0; s < m->plan->sections.count; ++s) {
    const leat_section_t *section = &m->plan->sections.data[s];
    for (uint32_t i = 0; i < section->ops.count; ++i) LEAT_TRY(put(m, section->ops.data[i], s));
  }
  return NULL;
}
