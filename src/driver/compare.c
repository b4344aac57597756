// SPDX-License-Identifier: Apache-2.0
// The engine `compare`: outputs are kept aside, computed by ref, kept aside
// again, put back as they were and computed by native. Rooms for them are in the workspace of the stage. Each engine
// has tile buffers of its own, laid out as it does, so that what overlaps in native's layout shows; ref's lie behind
// native's.
//
// Stages that native does as one are run twice: as one first, then, from the same state, stage by stage as above. What
// the first leaves for others than these stages has to be what the second leaves.
#include "driver/compare.h"

#include <stdatomic.h>

#include "base/loops.h"
#include "native/engine.h"
#include "pef/flow.h"
#include "pef/pef_align.h"
#include "ref/engine.h"

enum { NATIVE, REF, ENGINES };
static const leat_run_engine_t *const engines[ENGINES] = {&leat_native_engine, &leat_ref_engine};

// An element of an output, and its place in a room where those of all outputs lie one behind the other.
typedef struct element_s {
  uint32_t operand;
  int64_t index[PEF_MAX_RANK];
  char *at, *room;
  size_t bytes;
} element_t;

typedef struct compare_s {
  const leat_pef_t *pef;
  leat_arena_t *arena;
  void *states[ENGINES];
  uint64_t *ref_buffers;  // of all bodies: where ref's lie, from the end of native's on
  uint64_t ref_scratch;   // of the body that is being loaded: where they begin
  size_t native_scratch;  // and where native's end
  atomic_flag is_taken;   // by the first difference:
  const pef_stage_t *stage;
  element_t element;
  uint64_t bits[ENGINES];
  uint32_t joined;       // stages that native has done as one there; 0: `stage` alone, and the other engine is ref
  _Atomic bool differs;  // it is there
  struct compare_group_s *open;  // some stages of it are not prepared yet; NULL
} compare_t;

typedef struct compare_group_s compare_group_t;

typedef struct compare_plan_s {
  compare_t *compare;
  const pef_stage_t *file;
  compare_group_t *group;           // of several, that it is part of; NULL
  int64_t (*places)[PEF_MAX_RANK];  // of each operand, of each dim: the first ones, which somebody reads
  leat_run_stage_t stages[ENGINES];
  const uint64_t *ref_buffers;
  uint64_t ref_scratch;
  size_t room;           // bytes of all outputs of the largest tile, one behind the other
  size_t before, found;  // two such in the workspace
} compare_plan_t;

// What run() does: a stage, or stages that native does as one.
struct compare_group_s {
  const pef_body_t *body;
  const compare_plan_t **plans;  // of its stages
  uint32_t count, prepared;
  uint32_t last;                  // stage of the file
  size_t scratch_bytes;           // of native
  size_t scratch, before, found;  // in the workspace, behind what its stages use
};

static leat_status_t create(const leat_pef_t *pef, leat_arena_t *arena, const char *isa, void **out_state) {
  compare_t *compare = leat_arena_alloc(arena, sizeof *compare);
  if (compare == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for an engine");
  compare->pef = pef;
  compare->arena = arena;
  atomic_flag_clear(&compare->is_taken);
  *out_state = compare;
  compare->ref_buffers = leat_arena_alloc(arena, (pef->buffer_count + 1) * sizeof *compare->ref_buffers);
  if (compare->ref_buffers == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for %u tile buffers", pef->buffer_count);
  for (int e = 0; e < ENGINES; e++) LEAT_TRY(engines[e]->create(pef, arena, isa, &compare->states[e]));
  return NULL;
}

static void destroy(void *state) {
  compare_t *compare = state;
  for (int e = 0; e < ENGINES; e++) {
    if (compare->states[e] != NULL) engines[e]->destroy(compare->states[e]);
  }
}

// --- values ------------------------------------------------------------------------------------------------------

static void load(const void *state, uint32_t class_, uint32_t dtype, void *out, const void *in, int64_t stride,
                 int64_t n) {
  engines[NATIVE]->load(((const compare_t *)state)->states[NATIVE], class_, dtype, out, in, stride, n);
}

static void store(const void *state, uint32_t class_, uint32_t dtype, void *out, int64_t stride, const void *in,
                  int64_t n) {
  engines[NATIVE]->store(((const compare_t *)state)->states[NATIVE], class_, dtype, out, stride, in, n);
}

// --- the outputs of a tile ---------------------------------------------------------------------------------------

static const pef_operand_t *operand_of(const compare_plan_t *plan, uint32_t index) {
  return &plan->compare->pef->operands[plan->file->operand_first + index];
}

static bool is_output(const compare_plan_t *plan, uint32_t index) {
  return leat_pef_writes(plan->compare->pef, plan->file, index) && operand_of(plan, index)->space != PEF_SPACE_NONE;
}

// Extents in a tile of what is read of it, 1 where the stage sums and beyond the rank; how many elements that are.
static int64_t count_elements(const compare_plan_t *plan, uint32_t index, const leat_run_tile_t *tile,
                              int64_t out_dims[PEF_MAX_RANK]) {
  const pef_operand_t *operand = operand_of(plan, index);
  int64_t count = 1, first = 0;
  for (uint32_t d = 0; d < PEF_MAX_RANK; d++) {
    const bool has = d < operand->rank && !leat_pef_stage_sums(plan->file, d);
    out_dims[d] = has ? leat_run_operand_extent(plan->compare->pef, operand, d, tile, &first) : 1;
    if (has && plan->places[index][d] < out_dims[d]) out_dims[d] = plan->places[index][d];
    count *= out_dims[d];
  }
  return count;
}

typedef void (*visit_fn_t)(const compare_plan_t *plan, const element_t *element);

static void visit_output(const compare_plan_t *plan, const leat_run_tile_t *tile, element_t *element,
                         visit_fn_t visit) {
  const pef_operand_t *operand = operand_of(plan, element->operand);
  char *first = leat_run_operand_at(plan->compare->pef, operand, tile);
  int64_t dims[PEF_MAX_RANK];
  element->bytes = leat_pef_dtype_bytes(operand->dtype);
  if (count_elements(plan, element->operand, tile, dims) == 0) return;
  do {
    int64_t offset = 0;
    for (uint32_t d = 0; d < operand->rank; d++) offset += element->index[d] * operand->strides[d];
    element->at = first + offset * (int64_t)element->bytes;
    visit(plan, element);
    element->room += element->bytes;
  } while (leat_index_next(PEF_MAX_RANK, dims, element->index));
}

typedef bool (*select_fn_t)(const compare_plan_t *plan, const pef_operand_t *operand);

static bool is_any(const compare_plan_t *plan, const pef_operand_t *operand) {
  (void)plan, (void)operand;
  return true;
}

// Both engines write to the same place.
static bool is_memory(const compare_plan_t *plan, const pef_operand_t *operand) {
  (void)plan;
  return operand->space == PEF_SPACE_ARGUMENT;
}

// Somebody behind the group reads it.
static bool is_left(const compare_plan_t *plan, const pef_operand_t *operand) {
  const pef_body_t *body = plan->group->body;
  const leat_pef_t *pef = plan->compare->pef;
  if (operand->space == PEF_SPACE_ARGUMENT) return true;
  return pef->buffers[body->buffer_first + operand->slot].last > plan->group->last - body->stage_first;
}

static void visit_outputs(const compare_plan_t *plan, const leat_run_tile_t *tile, select_fn_t select, char *room,
                          visit_fn_t visit) {
  element_t element = {.room = room};
  for (; element.operand < plan->file->operand_count; element.operand++) {
    if (is_output(plan, element.operand) && select(plan, operand_of(plan, element.operand)))
      visit_output(plan, tile, &element, visit);
  }
}

// The outputs of all stages of a group.
static void visit_group(const compare_group_t *group, const leat_run_tile_t *tile, select_fn_t select, char *room,
                        visit_fn_t visit) {
  for (uint32_t i = 0; i < group->count; i++) {
    visit_outputs(group->plans[i], tile, select, room, visit);
    room += group->plans[i]->room;
  }
}

// --- a run -------------------------------------------------------------------------------------------------------

static void keep(const compare_plan_t *plan, const element_t *element) {
  (void)plan;
  memcpy(element->room, element->at, element->bytes);
}

static void put_back(const compare_plan_t *plan, const element_t *element) {
  (void)plan;
  memcpy(element->at, element->room, element->bytes);
}

static bool is_nan(const compare_plan_t *plan, uint32_t operand, const char *at) {
  const uint32_t dtype = operand_of(plan, operand)->dtype;
  double value = 0;
  if (leat_pef_dtype_class(dtype) != PEF_CLASS_I64) load(plan->compare, PEF_CLASS_F64, dtype, &value, at, 1, 1);
  return value != value;
}

// Which NaN a NaN is the format does not say.
static bool is_same(const compare_plan_t *plan, const element_t *element) {
  return memcmp(element->at, element->room, element->bytes) == 0 ||
         (is_nan(plan, element->operand, element->at) && is_nan(plan, element->operand, element->room));
}

// The first difference of all is kept.
static void compare_with(const compare_plan_t *plan, const element_t *element, const char *native, const char *other,
                         uint32_t joined) {
  compare_t *compare = plan->compare;
  if (is_same(plan, element) || atomic_flag_test_and_set(&compare->is_taken)) return;
  compare->stage = plan->file;
  compare->element = *element;
  compare->joined = joined;
  memcpy(&compare->bits[NATIVE], native, element->bytes);
  memcpy(&compare->bits[REF], other, element->bytes);
  atomic_store(&compare->differs, true);
}

static void compare_engines(const compare_plan_t *plan, const element_t *element) {
  compare_with(plan, element, element->at, element->room, 0);
}

static void compare_joined(const compare_plan_t *plan, const element_t *element) {
  compare_with(plan, element, element->room, element->at, plan->group->count);
}

static void run_alone(const compare_plan_t *plan, const leat_run_tile_t *tile) {
  char *before = tile->workspace + plan->before, *found = tile->workspace + plan->found;
  leat_run_tile_t beside = *tile;
  beside.scratch += plan->ref_scratch;
  beside.buffers = plan->ref_buffers;
  visit_outputs(plan, tile, is_memory, before, keep);
  plan->stages[REF].run(plan->stages[REF].plan, &beside);
  visit_outputs(plan, &beside, is_any, found, keep);
  visit_outputs(plan, tile, is_memory, before, put_back);
  plan->stages[NATIVE].run(plan->stages[NATIVE].plan, tile);
  visit_outputs(plan, tile, is_any, found, compare_engines);
}

static void run_group(const compare_group_t *group, const leat_run_tile_t *tile) {
  const leat_run_stage_t *as_one = &group->plans[0]->stages[NATIVE];
  char *scratch = tile->workspace + group->scratch;
  char *before = tile->workspace + group->before, *found = tile->workspace + group->found;
  memcpy(scratch, tile->scratch, group->scratch_bytes);
  visit_group(group, tile, is_memory, before, keep);
  as_one->run(as_one->joined, tile);
  visit_group(group, tile, is_left, found, keep);
  visit_group(group, tile, is_memory, before, put_back);
  memcpy(tile->scratch, scratch, group->scratch_bytes);
  for (uint32_t i = 0; i < group->count; i++) run_alone(group->plans[i], tile);
  visit_group(group, tile, is_left, found, compare_joined);
}

static void run(const void *opaque, const leat_run_tile_t *tile) {
  const compare_group_t *group = opaque;
  if (group->count > 1)
    run_group(group, tile);
  else
    run_alone(group->plans[0], tile);
}

static leat_status_t verdict(const void *state) {
  const compare_t *compare = state;
  if (!atomic_load(&compare->differs)) return NULL;
  const leat_pef_t *pef = compare->pef;
  const element_t *element = &compare->element;
  const pef_operand_t *operand = &pef->operands[compare->stage->operand_first + element->operand];
  const int digits = (int)element->bytes * 2;
  leat_text_t where = {0};
  for (uint32_t d = 0; d < operand->rank; d++) {
    leat_text_put(&where, "%s%lld", d > 0 ? ", " : "", (long long)element->index[d]);
  }
  leat_text_t others = {0};
  if (compare->joined != 0) leat_text_put(&others, "native stage by stage, not %u as one", compare->joined);
  leat_status_t status = leat_status_make(
      LEAT_INTERNAL,
      "stage %u (%s, %s): element [%s] of operand %u (%s) in its tile is 0x%0*llx on native, 0x%0*llx on %s",
      (uint32_t)(compare->stage - pef->stages), leat_pef_stage_name(compare->stage->kind),
      pef->strings + compare->stage->origin, where.data != NULL ? where.data : "", element->operand,
      leat_pef_dtype_name(operand->dtype), digits, (unsigned long long)compare->bits[NATIVE], digits,
      (unsigned long long)compare->bits[REF], others.data != NULL ? others.data : "ref");
  leat_text_deinit(&others);
  leat_text_deinit(&where);
  return status;
}

// --- load --------------------------------------------------------------------------------------------------------

static leat_status_t lay_out(void *state, const pef_body_t *body, uint64_t *out_buffers, uint64_t *out_bytes) {
  compare_t *compare = state;
  uint64_t bytes[ENGINES] = {0};
  LEAT_TRY(engines[NATIVE]->lay_out(compare->states[NATIVE], body, out_buffers, &bytes[NATIVE]));
  LEAT_TRY(engines[REF]->lay_out(compare->states[REF], body, compare->ref_buffers + body->buffer_first, &bytes[REF]));
  compare->ref_scratch = leat_pef_align(bytes[NATIVE]);
  compare->native_scratch = (size_t)bytes[NATIVE];
  size_t total;
  if (!leat_size_add(compare->ref_scratch, bytes[REF], &total))
    LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for the tile buffers of two engines");
  *out_bytes = total;
  return NULL;
}

static leat_status_t find_places(compare_plan_t *plan, const pef_body_t *body) {
  const uint32_t count = plan->file->operand_count;
  plan->places = leat_arena_alloc(plan->compare->arena, (count + 1u) * sizeof *plan->places);
  if (plan->places == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for a stage");
  for (uint32_t o = 0; o < count; o++) {
    for (uint32_t d = 0; d < operand_of(plan, o)->rank && is_output(plan, o); d++)
      plan->places[o][d] = leat_flow_places(plan->compare->pef, body, plan->file, o, d);
  }
  return NULL;
}

static leat_status_t make_group(compare_t *compare, const pef_body_t *body, const pef_stage_t *first, uint32_t count,
                                compare_group_t **out) {
  compare_group_t *group = leat_arena_alloc(compare->arena, sizeof *group);
  const compare_plan_t **plans = leat_arena_alloc(compare->arena, count * sizeof(const compare_plan_t *));
  if (group == NULL || plans == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for a stage");
  *group = (compare_group_t){.body = body,
                             .plans = plans,
                             .count = count,
                             .last = (uint32_t)(first - compare->pef->stages) + count - 1,
                             .scratch_bytes = compare->native_scratch};
  *out = group;
  return NULL;
}

// All stages of the group are prepared: its rooms lie behind what they use. Returns the end.
static size_t place_rooms(compare_group_t *group, size_t end) {
  size_t room = 0;
  for (uint32_t i = 0; i < group->count; i++) {
    const compare_plan_t *plan = group->plans[i];
    room += plan->room;
    if (plan->found + plan->room > end) end = plan->found + plan->room;
  }
  group->scratch = end;
  group->before = group->scratch + group->scratch_bytes;
  group->found = group->before + room;
  return group->found + room;
}

// A stage is prepared: it may be the first of a group, or belong to the one that is open.
static leat_status_t join(compare_plan_t *plan, const pef_body_t *body, leat_run_stage_t *out) {
  compare_t *compare = plan->compare;
  const leat_run_stage_t *native = &plan->stages[NATIVE];
  if (compare->open == NULL && native->joined != NULL) {
    LEAT_TRY(make_group(compare, body, plan->file, native->joined_count, &compare->open));
    out->joined = compare->open;
    out->joined_count = native->joined_count;
  }
  compare_group_t *group = compare->open;
  if (group == NULL) return NULL;
  plan->group = group;
  group->plans[group->prepared++] = plan;
  if (group->prepared < group->count) return NULL;
  out->workspace_bytes = place_rooms(group, out->workspace_bytes);
  compare->open = NULL;
  return NULL;
}

// Of the largest tile: those at the ends of an axis may lack a part of what others compute twice.
static size_t room_of_outputs(const compare_plan_t *plan, const leat_run_space_t *space) {
  size_t most = 0;
  for (uint32_t box = 0; box < space->boxes; box++) {
    leat_run_tile_t tile = {.rows = space->tile_rows, .box = box};
    leat_run_box(space, box, tile.first, tile.end);
    size_t room = 0;
    for (uint32_t o = 0; o < plan->file->operand_count; o++) {
      int64_t dims[PEF_MAX_RANK];
      if (!is_output(plan, o)) continue;
      room += (size_t)count_elements(plan, o, &tile, dims) * leat_pef_dtype_bytes(operand_of(plan, o)->dtype);
    }
    if (room > most) most = room;
  }
  return most;
}

static leat_status_t prepare(void *state, leat_run_stage_t *out, const pef_body_t *body,
                             const leat_run_space_t *space) {
  compare_t *compare = state;
  compare_plan_t *plan = leat_arena_alloc(compare->arena, sizeof *plan);
  compare_group_t *alone = NULL;
  if (plan == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for a stage");
  *plan = (compare_plan_t){.compare = compare,
                           .file = out->file,
                           .ref_buffers = compare->ref_buffers + body->buffer_first,
                           .ref_scratch = compare->ref_scratch};
  LEAT_TRY(find_places(plan, body));
  for (int e = 0; e < ENGINES; e++) {
    plan->stages[e].file = out->file;
    LEAT_TRY(engines[e]->prepare(compare->states[e], &plan->stages[e], body, space));
    if (plan->stages[e].workspace_bytes > plan->before) plan->before = plan->stages[e].workspace_bytes;
  }
  plan->room = room_of_outputs(plan, space);
  plan->found = plan->before + plan->room;
  LEAT_TRY(make_group(compare, body, out->file, 1, &alone));
  alone->plans[0] = plan;
  out->run = run;
  out->plan = alone;
  out->workspace_bytes = plan->found + plan->room;
  return join(plan, body, out);
}

static leat_arch_level_t level(const void *state) {
  return engines[NATIVE]->level(((const compare_t *)state)->states[NATIVE]);
}

static void report(const void *state, leat_text_t *out) {
  engines[NATIVE]->report(((const compare_t *)state)->states[NATIVE], out);
}

const leat_run_engine_t leat_compare_engine = {.name = "compare",
                                               .create = create,
                                               .destroy = destroy,
                                               .lay_out = lay_out,
                                               .prepare = prepare,
                                               .verdict = verdict,
                                               .load = load,
                                               .store = store,
                                               .level = level,
                                               .report = report};
