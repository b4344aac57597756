// SPDX-License-Identifier: Apache-2.0
// MAP at load: single assignment, merged dims, which operands are read and written in place, strip storage.
#include "native/map_plan.h"

#include "base/loops.h"
#include "pef/pef_scalar.h"

typedef struct map_value_s {
  uint8_t class_;
  uint32_t last_use;  // step index; UINT32_MAX: needed by a store at the end
  bool used;
} map_value_t;

typedef struct map_builder_s {
  const leat_native_stage_t *stage;
  const leat_native_prepare_t *context;
  map_plan_t *plan;
  map_value_t *values;
  uint16_t current[256];  // register of the file -> value
  bool wide;              // some value has 8 bytes an element
} map_builder_t;

static uint8_t native_dtype(uint8_t class_) {
  static const uint8_t dtype[] = {PEF_F32, PEF_F64, PEF_I64};
  return dtype[class_];
}
static int64_t class_bytes(uint8_t class_) { return class_ == PEF_CLASS_F32 ? 4 : 8; }

static uint16_t new_value(map_builder_t *b, uint8_t class_) {
  uint16_t v = (uint16_t)b->plan->value_count++;
  b->values[v].class_ = class_;
  b->wide |= class_ != PEF_CLASS_F32;
  return v;
}

// --- instructions -> leaves, steps, stores ---------------------------------------------------------------------

static map_leaf_t *find_load(map_plan_t *plan, const leat_native_operand_t *operand, uint8_t class_) {
  for (uint32_t i = 0; i < plan->leaf_count; i++) {
    if (plan->leaves[i].operand == operand && plan->leaves[i].class_ == class_) return &plan->leaves[i];
  }
  return NULL;
}

static void add_leaf(map_builder_t *b, const pef_instruction_t *in) {
  map_plan_t *plan = b->plan;
  const leat_native_operand_t *operand = in->op == PEF_OP_LOAD ? &b->stage->operands[in->a] : NULL;
  map_leaf_t *leaf = operand != NULL ? find_load(plan, operand, in->class_) : NULL;
  if (leaf == NULL) {
    leaf = &plan->leaves[plan->leaf_count++];
    leaf->value = new_value(b, in->class_);
    leaf->class_ = in->class_;
    leaf->operand = operand;
    leaf->is_iota = in->op == PEF_OP_IOTA;
    leaf->is_immediate = in->op == PEF_OP_IMMEDIATE;
    leaf->iota_dim = in->a;
    leaf->immediate = in->imm;
    leaf->iota = b->context->kern->iota[in->class_];
    if (operand != NULL) leaf->load = b->context->kern->load[in->class_][operand->dtype];
  }
  b->current[in->dst] = leaf->value;
}

static leat_kern_map_fn_t step_fn(const map_builder_t *b, const pef_instruction_t *in) {
  const leat_kern_t *kern = b->context->kern;
  if (in->op == PEF_OP_CONVERT) return kern->convert[in->class_][in->c];
  if (in->op == PEF_OP_WRAP) return kern->wrap[in->class_][in->a];
  return kern->map[in->class_][in->op];
}

static void add_step(map_builder_t *b, const pef_instruction_t *in) {
  map_step_t *step = &b->plan->steps[b->plan->step_count];
  bool unary_b = in->op == PEF_OP_CONVERT || in->op == PEF_OP_WRAP;
  step->fn = step_fn(b, in);
  step->a = b->current[(unary_b ? in->b : in->a) & 255];
  step->b = unary_b ? step->a : b->current[in->b & 255];
  step->c = unary_b ? step->a : b->current[in->c & 255];
  step->dst = new_value(b, in->class_);
  b->current[in->dst] = step->dst;
  b->plan->step_count++;
}

static void add_store(map_builder_t *b, const pef_instruction_t *in) {
  map_store_t *store = &b->plan->stores[b->plan->store_count++];
  store->operand = &b->stage->operands[in->a];
  store->value = b->current[in->b & 255];
  store->element_bytes = store->operand->element_bytes;
  store->value_bytes = (uint8_t)class_bytes(b->values[store->value].class_);
  store->store = b->context->kern->store[b->values[store->value].class_][store->operand->dtype];
}

static void build_program(map_builder_t *b) {
  for (uint32_t i = 0; i < b->stage->instruction_count; i++) {
    const pef_instruction_t *in = &b->stage->instructions[i];
    switch (in->op) {
      case PEF_OP_LOAD:
      case PEF_OP_IMMEDIATE:
      case PEF_OP_IOTA:
        add_leaf(b, in);
        break;
      case PEF_OP_STORE:
        add_store(b, in);
        break;
      default:
        add_step(b, in);
    }
  }
}

static void find_last_uses(map_builder_t *b) {
  map_plan_t *plan = b->plan;
  uint32_t s = 0;
  for (uint32_t i = 0; i < b->stage->instruction_count; i++) {
    const pef_instruction_t *in = &b->stage->instructions[i];
    if (in->op >= PEF_OP_LOAD && in->op <= PEF_OP_IOTA) continue;
    map_step_t *step = &plan->steps[s];
    uint32_t arity = leat_pef_scalar_arity(in->op);
    if (arity < 2) step->b = step->a;
    if (arity < 3) step->c = step->a;
    const uint16_t reads[3] = {step->a, step->b, step->c};
    for (int k = 0; k < 3; k++) b->values[reads[k]].last_use = s;
    s++;
  }
  for (uint32_t i = 0; i < plan->store_count; i++) b->values[plan->stores[i].value].last_use = UINT32_MAX;
}

// --- the iteration space ---------------------------------------------------------------------------------------

typedef struct map_space_s {
  uint32_t rank, row_dim;
  int64_t dims[8];
  int64_t (*strides)[8];  // of leaves, then of stores
} map_space_t;

static const int64_t no_strides[8];

static void take_strides(const map_plan_t *plan, uint32_t entry, uint32_t rank, int64_t out[8]) {
  const leat_native_operand_t *operand =
      entry < plan->leaf_count ? plan->leaves[entry].operand : plan->stores[entry - plan->leaf_count].operand;
  memcpy(out, operand != NULL ? operand->strides : no_strides, sizeof no_strides);
  if (entry < plan->leaf_count && plan->leaves[entry].is_iota && plan->leaves[entry].iota_dim < rank) {
    out[plan->leaves[entry].iota_dim] = 1;
  }
}

static void drop_dim(map_space_t *space, uint32_t entries, uint32_t dim) {
  for (uint32_t d = dim; d + 1 < space->rank; d++) {
    space->dims[d] = space->dims[d + 1];
    for (uint32_t e = 0; e < entries; e++) space->strides[e][d] = space->strides[e][d + 1];
  }
  space->rank--;
  if (space->row_dim != 8 && space->row_dim > dim) space->row_dim--;
}

static void merge_dims(map_space_t *space, uint32_t entries) {
  for (uint32_t d = space->rank; d-- > 0 && space->rank > 1;) {
    if (space->dims[d] == 1 && d != space->row_dim) drop_dim(space, entries, d);
  }
  uint32_t places[8];
  leat_loops_t loops = {space->rank, space->dims, entries, 8, &space->strides[0][0]};
  leat_loops_merge(&loops, 1u << space->row_dim, places);
  space->rank = loops.count;
  if (space->row_dim != 8) space->row_dim = places[space->row_dim];
}

static void build_space(map_builder_t *b, map_space_t *space) {
  const leat_native_stage_t *stage = b->stage;
  const leat_native_operand_t *first = &stage->operands[0];
  space->rank = first->rank;
  space->row_dim = 8;
  memcpy(space->dims, first->dims, sizeof space->dims);
  for (uint32_t i = 0; i < stage->operand_count; i++) {
    const leat_native_operand_t *operand = &stage->operands[i];
    if (operand->row_dim == PEF_NO_ROW_DIM) continue;
    space->row_dim = operand->row_dim;
    space->dims[operand->row_dim] = operand->row_mult;
  }
  for (uint32_t i = 0; i < b->plan->leaf_count && space->row_dim < 8; i++) {
    map_leaf_t *leaf = &b->plan->leaves[i];
    if (leaf->is_iota && leaf->iota_dim == space->row_dim) leaf->iota_row_mult = space->dims[space->row_dim];
  }
  if (space->rank == 0) space->rank = 1;
  uint32_t entries = b->plan->leaf_count + b->plan->store_count;
  for (uint32_t e = 0; e < entries; e++) take_strides(b->plan, e, first->rank, space->strides[e]);
  merge_dims(space, entries);
}

static void keep_space(map_plan_t *plan, const map_space_t *space) {
  plan->rank = space->rank;
  plan->row_dim = space->row_dim;
  memcpy(plan->dims, space->dims, sizeof plan->dims);
  for (uint32_t i = 0; i < plan->leaf_count; i++) {
    memcpy(plan->leaves[i].strides, space->strides[i], sizeof space->strides[i]);
  }
  for (uint32_t i = 0; i < plan->store_count; i++) {
    memcpy(plan->stores[i].strides, space->strides[plan->leaf_count + i], sizeof space->strides[0]);
  }
  plan->row_mode = plan->rank == 1 || plan->row_dim == plan->rank - 1 || plan->dims[plan->rank - 1] >= MAP_ROW_MIN;
}

// --- how each operand is accessed ------------------------------------------------------------------------------

static bool all_zero(const int64_t strides[8], uint32_t count) {
  for (uint32_t d = 0; d < count; d++) {
    if (strides[d] != 0) return false;
  }
  return true;
}

// The elements that the operand repeats all along the linear space: its trailing dims are contiguous, the others have
// stride 0. 0: it is not periodic. The row dim's extent is not known here, so it must be one of the others.
static int64_t find_period(const map_plan_t *plan, const int64_t strides[8]) {
  int64_t period = 1;
  uint32_t d = plan->rank;
  while (d > 0 && d - 1 != plan->row_dim && strides[d - 1] == period) period *= plan->dims[--d];
  return d < plan->rank && all_zero(strides, d) ? period : 0;
}

// Contiguous over the whole merged space: a strip that crosses rows of the innermost dim is one run.
static bool is_linear(const map_plan_t *plan, const int64_t strides[8]) {
  int64_t expected = 1;
  for (uint32_t d = plan->rank; d-- > 0;) {
    if (strides[d] != expected) return false;
    if (d == plan->row_dim && d != 0) return false;
    expected *= plan->dims[d];
  }
  return true;
}

static bool runs_along_strip(const map_plan_t *plan, const int64_t strides[8]) {
  return plan->row_mode ? strides[plan->rank - 1] == 1 : is_linear(plan, strides);
}

static void classify_leaf(const map_plan_t *plan, map_leaf_t *leaf) {
  leaf->period = plan->row_mode ? 0 : find_period(plan, leaf->strides);
  bool native = leaf->operand != NULL && leaf->operand->dtype == native_dtype(leaf->class_);
  if (all_zero(leaf->strides, plan->rank)) {
    leaf->kind = MAP_LEAF_CONSTANT;
  } else if (native && runs_along_strip(plan, leaf->strides)) {
    leaf->kind = MAP_LEAF_ALIAS;
  } else if (plan->row_mode && leaf->strides[plan->rank - 1] == 0) {
    leaf->kind = MAP_LEAF_ROW;
  } else if (leaf->period > 0 && leaf->period <= MAP_STRIP_MAX) {
    leaf->kind = MAP_LEAF_PERIODIC;
  } else {
    leaf->kind = MAP_LEAF_LOAD;
  }
}

// Marks the stores whose value can be computed straight into the output: it is native and contiguous, and no operand
// that is read in place (and may be the same memory) is needed after the step.
static void place_stores(map_builder_t *b) {
  map_plan_t *plan = b->plan;
  uint32_t needed = 0;  // the last step that reads memory in place
  for (uint32_t i = 0; i < plan->leaf_count; i++) {
    const map_value_t *value = &b->values[plan->leaves[i].value];
    if (plan->leaves[i].kind == MAP_LEAF_ALIAS && value->last_use > needed) needed = value->last_use;
  }
  for (uint32_t i = 0; i < plan->store_count; i++) {
    map_store_t *store = &plan->stores[i];
    store->contiguous = runs_along_strip(plan, store->strides);
    if (!store->contiguous || store->operand->dtype != native_dtype(b->values[store->value].class_)) continue;
    for (uint32_t s = needed; s < plan->step_count; s++) {
      if (plan->steps[s].dst == store->value && plan->value_offset[store->value] == 0) {
        store->in_place = true;
        plan->value_offset[store->value] = -1;
      }
    }
  }
}

// --- strip storage ---------------------------------------------------------------------------------------------

typedef struct map_slots_s {
  uint32_t count, free_count;
  uint32_t *free_slots;
} map_slots_t;

static uint32_t take_slot(map_slots_t *slots) {
  return slots->free_count > 0 ? slots->free_slots[--slots->free_count] : slots->count++;
}

static void free_dead(const map_builder_t *b, map_slots_t *slots, const map_step_t *step, uint32_t index,
                      const uint32_t *slot_of) {
  const uint16_t reads[3] = {step->a, step->b, step->c};
  for (int k = 0; k < 3; k++) {
    bool seen = (k > 0 && reads[k] == reads[0]) || (k > 1 && reads[k] == reads[1]);
    const map_value_t *value = &b->values[reads[k]];
    bool is_step = slot_of[reads[k]] != UINT32_MAX && value->used;
    if (!seen && is_step && value->last_use == index) slots->free_slots[slots->free_count++] = slot_of[reads[k]];
  }
}

// Gives every value that is not accessed in place a slot; slots of step values are reused after the last use.
// value->used marks step values here.
static leat_status_t assign_slots(map_builder_t *b, uint32_t *out_slots, uint32_t **out_slot_of) {
  map_plan_t *plan = b->plan;
  map_slots_t slots = {0};
  slots.free_slots = leat_arena_alloc(b->context->arena, (plan->value_count + 1) * sizeof(uint32_t));
  uint32_t *slot_of = leat_arena_alloc(b->context->arena, (plan->value_count + 1) * sizeof(uint32_t));
  if (slots.free_slots == NULL || slot_of == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for the plan of a MAP");
  memset(slot_of, 0xff, plan->value_count * sizeof(uint32_t));
  for (uint32_t i = 0; i < plan->leaf_count; i++) {
    const map_leaf_t *leaf = &plan->leaves[i];
    if (leaf->kind == MAP_LEAF_ALIAS) {
      plan->value_offset[leaf->value] = -1;
    } else {
      slot_of[leaf->value] = slots.count;
      slots.count += leaf->kind == MAP_LEAF_PERIODIC ? 2 : 1;  // period + strip elements
    }
  }
  for (uint32_t s = 0; s < plan->step_count; s++) {
    const map_step_t *step = &plan->steps[s];
    bool in_place = plan->value_offset[step->dst] == -1;
    // A change of class must not overwrite what it reads: the widths differ.
    bool same_width = class_bytes(b->values[step->a].class_) == class_bytes(b->values[step->dst].class_);
    if (same_width) free_dead(b, &slots, step, s, slot_of);
    if (!in_place) slot_of[step->dst] = take_slot(&slots);
    b->values[step->dst].used = true;
    if (!same_width) free_dead(b, &slots, step, s, slot_of);
  }
  *out_slots = slots.count;
  *out_slot_of = slot_of;
  return NULL;
}

// Pointers and offsets that a run keeps in the workspace: a strip a value, a base and an offset a leaf and store.
static size_t table_bytes(const map_plan_t *plan) {
  return (plan->value_count + 2u * (plan->leaf_count + plan->store_count)) * 8u / 64u * 64u + 64u;
}

static leat_status_t assign_storage(map_builder_t *b, leat_native_stage_t *stage) {
  map_plan_t *plan = b->plan;
  uint32_t slot_count = 0, *slot_of = NULL;
  LEAT_TRY(assign_slots(b, &slot_count, &slot_of));
  int64_t element = b->wide ? 8 : 4;
  int64_t strip = slot_count > 0 ? MAP_STRIPS_BYTES / (slot_count * element) / 16 * 16 : MAP_STRIP_MAX;
  if (strip < MAP_STRIP_MIN) strip = MAP_STRIP_MIN;
  if (strip > MAP_STRIP_MAX) strip = MAP_STRIP_MAX;
  for (uint32_t i = 0; i < plan->leaf_count; i++) {
    if (plan->leaves[i].kind == MAP_LEAF_PERIODIC && plan->leaves[i].period > strip) strip = MAP_STRIP_MAX;
  }
  plan->strip = strip;
  int64_t slot_bytes = strip * element;
  for (uint32_t v = 0; v < plan->value_count; v++) {
    if (slot_of[v] != UINT32_MAX) plan->value_offset[v] = (int64_t)table_bytes(plan) + slot_of[v] * slot_bytes;
  }
  stage->workspace_bytes = table_bytes(plan) + (size_t)(slot_count * slot_bytes);
  return NULL;
}

leat_status_t leat_native_map_prepare(leat_native_stage_t *stage, const leat_native_prepare_t *context) {
  leat_arena_t *arena = context->arena;
  size_t n = stage->instruction_count + 1u;
  map_plan_t *plan = leat_arena_alloc(arena, sizeof *plan);
  map_space_t space = {.strides = leat_arena_alloc(arena, n * sizeof *space.strides)};
  map_builder_t b = {.stage = stage, .context = context, .plan = plan};
  b.values = leat_arena_alloc(arena, n * sizeof *b.values);
  if (plan == NULL || space.strides == NULL || b.values == NULL)
    LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for the plan of a MAP");
  plan->leaves = leat_arena_alloc(arena, n * sizeof *plan->leaves);
  plan->steps = leat_arena_alloc(arena, n * sizeof *plan->steps);
  plan->stores = leat_arena_alloc(arena, n * sizeof *plan->stores);
  plan->value_offset = leat_arena_alloc(arena, n * sizeof *plan->value_offset);
  if (plan->leaves == NULL || plan->steps == NULL || plan->stores == NULL || plan->value_offset == NULL) {
    LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for the plan of a MAP");
  }
  build_program(&b);
  find_last_uses(&b);
  build_space(&b, &space);
  keep_space(plan, &space);
  for (uint32_t i = 0; i < plan->leaf_count; i++) classify_leaf(plan, &plan->leaves[i]);
  place_stores(&b);
  LEAT_TRY(assign_storage(&b, stage));
  plan->is_copy = plan->leaf_count == 1 && plan->store_count == 1 && plan->step_count == 0 &&
                  plan->leaves[0].operand != NULL && plan->leaves[0].operand->dtype == plan->stores[0].operand->dtype;
  stage->plan = plan;
  return NULL;
}
