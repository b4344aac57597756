// SPDX-License-Identifier: Apache-2.0
// MAP at load: what is needed of the program, merged dims, which operands are read and written in place, and strips: a
// value has one from the step that makes it to the last that reads it, so that there are as many as values live at
// once.
#include "native/map_plan.h"

#include "native/map_code.h"
#include "native/map_parts.h"
#include "native/map_space.h"
#include "native/map_sums.h"
#include "pef/pef_scalar.h"

enum { CLASS_COUNT = 3 };

typedef struct map_builder_s {
  const leat_native_stage_t *stage;
  const leat_native_prepare_t *context;
  map_plan_t *plan;
  map_value_t *values;
  bool *wanted;         // by instruction: it is needed
  uint16_t *value_of;   // by instruction
  map_leaf_t **loaded;  // by operand and class: the leaf that loads it
  bool wide;            // some value has 8 bytes an element
  bool narrow;          // code reads and writes bf16
} map_builder_t;

static uint8_t native_dtype(uint8_t class_) {
  static const uint8_t dtype[] = {PEF_F32, PEF_F64, PEF_I64};
  return dtype[class_];
}
static int64_t class_bytes(uint8_t class_) { return class_ == PEF_CLASS_F32 ? 4 : 8; }

static uint16_t new_value(map_builder_t *b, uint8_t class_) {
  uint16_t v = (uint16_t)b->plan->value_count++;
  b->values[v] = (map_value_t){.class_ = class_, .made = MAP_NO_STEP};
  b->wide |= class_ != PEF_CLASS_F32;
  return v;
}

// --- instructions -> leaves, steps, stores ---------------------------------------------------------------------

static void find_wanted(map_builder_t *b) {
  for (uint32_t i = b->stage->instruction_count; i-- > 0;) {
    const pef_instruction_t *in = &b->stage->instructions[i];
    uint32_t values[3];
    b->wanted[i] |= in->op == PEF_OP_STORE;
    for (uint32_t n = b->wanted[i] ? leat_pef_instruction_reads(in, values) : 0; n-- > 0;) b->wanted[values[n]] = true;
  }
}

static map_leaf_t *add_leaf(map_builder_t *b, const pef_instruction_t *in) {
  const leat_native_operand_t *operand = in->op == PEF_OP_LOAD ? &b->stage->operands[in->a] : NULL;
  map_leaf_t *leaf = &b->plan->leaves[b->plan->leaf_count++];
  leaf->value = new_value(b, in->class_);
  leaf->class_ = in->class_;
  leaf->operand = operand;
  leaf->is_iota = in->op == PEF_OP_IOTA;
  leaf->is_immediate = in->op == PEF_OP_IMMEDIATE;
  leaf->iota_dim = in->op == PEF_OP_IOTA ? in->a : 0;
  for (uint32_t o = 0; o < b->stage->operand_count && leaf->is_iota; o++) {  // what is broadcast is not cut
    const int64_t first = b->stage->operands[o].first[leaf->iota_dim];
    if (first > leaf->iota_first) leaf->iota_first = first;
  }
  leaf->immediate = in->op == PEF_OP_IMMEDIATE ? in->imm : 0;
  leaf->iota = b->context->kern->iota[in->class_];
  if (operand != NULL) leaf->load = b->context->kern->load[in->class_][operand->dtype];
  return leaf;
}

static uint16_t load(map_builder_t *b, const pef_instruction_t *in) {
  map_leaf_t **leaf = &b->loaded[in->a * CLASS_COUNT + in->class_];
  if (*leaf == NULL) *leaf = add_leaf(b, in);
  return (*leaf)->value;
}

static leat_kern_map_fn_t step_fn(const map_builder_t *b, const pef_instruction_t *in) {
  const leat_kern_t *kern = b->context->kern;
  if (in->op == PEF_OP_CONVERT) return kern->convert[in->class_][in->type];
  if (in->op == PEF_OP_WRAP) return kern->wrap[in->class_][in->type];
  return in->type == PEF_BODY_SINGLE ? kern->single[in->op] : kern->map[in->class_][in->op];
}

static uint16_t step_op(const pef_instruction_t *in) {
  if (in->class_ != PEF_CLASS_F32) return MAP_OTHER;
  if (in->op == PEF_OP_WRAP && in->type == PEF_BF16) return MAP_ROUND_BF16;
  return in->op < PEF_SCALAR_COUNT && in->type == PEF_BODY_FIRST ? in->op : MAP_OTHER;
}

// What a function does not take is its first operand once more.
static uint16_t add_step(map_builder_t *b, const pef_instruction_t *in) {
  uint32_t read[3] = {0};
  uint16_t values[3];
  const uint32_t count = leat_pef_instruction_reads(in, read);
  for (uint32_t i = 0; i < 3; i++) values[i] = b->value_of[read[i < count ? i : 0]];
  map_step_t *step = &b->plan->steps[b->plan->step_count++];
  *step = (map_step_t){.fn = step_fn(b, in),
                       .op = step_op(in),
                       .dst = new_value(b, in->class_),
                       .a = values[0],
                       .b = values[1],
                       .c = values[2]};
  return step->dst;
}

static void add_store(map_builder_t *b, const pef_instruction_t *in) {
  map_store_t *store = &b->plan->stores[b->plan->store_count++];
  store->operand = &b->stage->operands[in->a];
  store->value = b->value_of[in->b];
  store->element_bytes = store->operand->element_bytes;
  store->value_bytes = (uint8_t)class_bytes(b->values[store->value].class_);
  store->is_native = store->operand->dtype == native_dtype(b->values[store->value].class_);
  store->store = b->context->kern->store[b->values[store->value].class_][store->operand->dtype];
}

static uint32_t count_stores(const leat_native_stage_t *stage) {
  uint32_t stores = 0;
  for (uint32_t i = 0; i < stage->instruction_count; i++) stores += stage->instructions[i].op == PEF_OP_STORE;
  return stores;
}

static void build_program(map_builder_t *b) {
  const bool stores_once = count_stores(b->stage) == 1;
  find_wanted(b);
  for (uint32_t i = 0; i < b->stage->instruction_count; i++) {
    const pef_instruction_t *in = &b->stage->instructions[i];
    if (!b->wanted[i]) continue;
    if (in->op == PEF_SCALAR_COPY &&
        stores_once) {  // is what it copies: no other store could overwrite that in between
      b->value_of[i] = b->value_of[in->a];
      continue;
    }
    switch (in->op) {
      case PEF_OP_LOAD:
        b->value_of[i] = load(b, in);
        break;
      case PEF_OP_IMMEDIATE:
      case PEF_OP_IOTA:
        b->value_of[i] = add_leaf(b, in)->value;
        break;
      case PEF_OP_STORE:
        add_store(b, in);
        break;
      default:
        b->value_of[i] = add_step(b, in);
    }
  }
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

static void classify_leaf(const map_builder_t *b, map_leaf_t *leaf) {
  const map_plan_t *plan = b->plan;
  leaf->period = plan->row_mode ? 0 : find_period(plan, leaf->strides);
  const bool narrow = b->narrow && leaf->operand != NULL && leaf->operand->dtype == PEF_BF16;
  bool native = leaf->operand != NULL && (narrow || leaf->operand->dtype == native_dtype(leaf->class_));
  if (all_zero(leaf->strides, plan->rank)) {
    leaf->kind = MAP_LEAF_CONSTANT;
  } else if (native && runs_along_strip(plan, leaf->strides)) {
    leaf->kind = MAP_LEAF_ALIAS;
    b->values[leaf->value].is_narrow = narrow;
  } else if (plan->row_mode && leaf->strides[plan->rank - 1] == 0) {
    leaf->kind = MAP_LEAF_ROW;
  } else if (leaf->period > 0 && leaf->period <= MAP_STRIP_MAX) {
    leaf->kind = MAP_LEAF_PERIODIC;
  } else {
    leaf->kind = MAP_LEAF_LOAD;
  }
}

// --- how often each value is computed --------------------------------------------------------------------------

static map_scope_t scope_of_leaf(const map_leaf_t *leaf) {
  if (leaf->kind == MAP_LEAF_CONSTANT) return MAP_TILE;
  return leaf->kind == MAP_LEAF_ROW ? MAP_ROW : MAP_STRIP;
}

// A copy costs what a strip of its element costs to store: it stays where its result may be stored by itself.
static map_scope_t scope_of_step(const map_builder_t *b, const map_step_t *step) {
  if (step->fn == b->context->kern->map[b->values[step->dst].class_][PEF_SCALAR_COPY]) return MAP_STRIP;
  const uint8_t scopes[3] = {b->values[step->a].scope, b->values[step->b].scope, b->values[step->c].scope};
  uint8_t scope = scopes[0];
  for (int k = 1; k < 3; k++) scope = scopes[k] > scope ? scopes[k] : scope;
  return (map_scope_t)scope;
}

// A step reads nothing of a later scope, so that steps stay behind what they read.
static leat_status_t sort_steps(map_builder_t *b) {
  map_plan_t *plan = b->plan;
  map_step_t *sorted = leat_arena_alloc(b->context->arena, (plan->step_count + 1u) * sizeof *sorted);
  if (sorted == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for the plan of a MAP");
  for (uint32_t i = 0; i < plan->leaf_count; i++) {
    b->values[plan->leaves[i].value].scope = (uint8_t)scope_of_leaf(&plan->leaves[i]);
  }
  for (uint32_t s = 0; s < plan->step_count; s++) {
    b->values[plan->steps[s].dst].scope = (uint8_t)scope_of_step(b, &plan->steps[s]);
  }
  uint32_t count = 0;
  for (map_scope_t scope = MAP_TILE; scope < MAP_SCOPE_COUNT; scope++) {
    for (uint32_t s = 0; s < plan->step_count; s++) {
      if (b->values[plan->steps[s].dst].scope == scope) sorted[count++] = plan->steps[s];
    }
    plan->step_end[scope] = count;
  }
  plan->steps = sorted;
  return NULL;
}

static void find_uses(map_builder_t *b) {
  const map_plan_t *plan = b->plan;
  for (uint32_t s = 0; s < plan->step_count; s++) {
    const map_step_t *step = &plan->steps[s];
    b->values[step->dst].made = s;
    b->values[step->a].last_use = b->values[step->b].last_use = b->values[step->c].last_use = s;
  }
  for (uint32_t i = 0; i < plan->store_count; i++) {
    map_store_t *store = &plan->stores[i];
    map_value_t *value = &b->values[store->value];
    store->contiguous = runs_along_strip(plan, store->strides);
    value->last_use = MAP_NO_STEP;
    value->in_strips = true;
    store->is_narrow = b->narrow && store->operand->dtype == PEF_BF16;
    const bool made = value->made != MAP_NO_STEP && value->scope == MAP_STRIP;
    value->goes_out |= made && store->contiguous && (store->is_native || store->is_narrow);
    value->is_narrow |= made && store->is_narrow;
  }
}

static leat_status_t find_parts(map_builder_t *b) {
  map_plan_t *plan = b->plan;
  plan->parts = leat_arena_alloc(b->context->arena, (plan->step_count + 1u) * sizeof *plan->parts);
  if (plan->parts == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for the plan of a MAP");
  leat_native_map_parts(plan, b->values, b->context->code);
  for (uint32_t i = 0; i < plan->part_count; i++) {
    const map_part_t *part = &plan->parts[i];
    const map_step_t *step = &plan->steps[part->first];
    if (part->code == NULL)
      b->values[step->a].in_strips = b->values[step->b].in_strips = b->values[step->c].in_strips = true;
  }
  return NULL;
}

static leat_status_t find_spreads(map_builder_t *b) {
  map_plan_t *plan = b->plan;
  plan->spreads = leat_arena_alloc(b->context->arena, (plan->value_count + 1u) * sizeof *plan->spreads);
  if (plan->spreads == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for the plan of a MAP");
  uint32_t count = 0;
  for (map_scope_t scope = MAP_TILE; scope < MAP_STRIP; scope++) {
    for (uint32_t v = 0; v < plan->value_count; v++) {
      const map_value_t *value = &b->values[v];
      if (value->scope != scope || !value->in_strips) continue;
      plan->spreads[count++] = (map_spread_t){(uint16_t)v, (uint8_t)class_bytes(value->class_)};
    }
    plan->spread_end[scope] = count;
  }
  return NULL;
}

// Marks the stores whose value can be computed straight into the output: no operand that is read in place (and may be
// the same memory) is needed after the part that makes it.
static void place_stores(map_builder_t *b) {
  map_plan_t *plan = b->plan;
  uint32_t needed = 0;  // the last step that reads memory in place
  for (uint32_t i = 0; i < plan->leaf_count; i++) {
    const map_value_t *value = &b->values[plan->leaves[i].value];
    if (plan->leaves[i].kind == MAP_LEAF_ALIAS && value->last_use > needed) needed = value->last_use;
  }
  for (uint32_t i = 0; i < plan->store_count; i++) {
    map_store_t *store = &plan->stores[i];
    const map_value_t *value = &b->values[store->value];
    if (!store->contiguous || !(store->is_native || store->is_narrow)) continue;
    store->in_place = value->goes_out && leat_native_map_part_of(plan, value->made)->end > needed &&
                      plan->value_offset[store->value] == 0;
    if (store->in_place) plan->value_offset[store->value] = -1;
  }
}

// --- strips ----------------------------------------------------------------------------------------------------

enum { NO_STRIP = UINT32_MAX, CELL_BYTES = 8 };

typedef struct map_strips_s {
  uint32_t count, free_count, cell_count;
  uint32_t *free;
  uint32_t *of_value;  // NO_STRIP: it lies elsewhere
} map_strips_t;

static leat_status_t make_strips(map_builder_t *b, map_strips_t *strips) {
  const size_t bytes = (b->plan->value_count + 1u) * sizeof(uint32_t);
  strips->free = leat_arena_alloc(b->context->arena, bytes);
  strips->of_value = leat_arena_alloc(b->context->arena, bytes);
  if (strips->free == NULL || strips->of_value == NULL)
    LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for the plan of a MAP");
  memset(strips->of_value, 0xff, bytes);
  return NULL;
}

// What one strip of the tile leaves to the next stays where it is; what is only read element by element takes a cell.
static void give_strips_that_stay(map_builder_t *b, map_strips_t *strips) {
  for (uint32_t v = 0; v < b->plan->value_count; v++) {
    if (b->values[v].scope != MAP_STRIP && b->values[v].in_strips) strips->of_value[v] = strips->count++;
    strips->cell_count += b->values[v].scope != MAP_STRIP && !b->values[v].in_strips;
  }
}

// Those in memory are read there; the others are loaded before the steps of every strip, or have their period around.
static void give_leaves(map_builder_t *b, map_strips_t *strips) {
  for (uint32_t i = 0; i < b->plan->leaf_count; i++) {
    const map_leaf_t *leaf = &b->plan->leaves[i];
    if (leaf->kind == MAP_LEAF_ALIAS) b->plan->value_offset[leaf->value] = -1;
    if (leaf->kind != MAP_LEAF_LOAD && leaf->kind != MAP_LEAF_PERIODIC) continue;
    strips->of_value[leaf->value] = strips->count;
    strips->count += leaf->kind == MAP_LEAF_PERIODIC ? 2 : 1;  // period + strip elements
    if (leaf->kind == MAP_LEAF_PERIODIC) b->values[leaf->value].last_use = MAP_NO_STEP;
  }
}

static void take_back(const map_builder_t *b, map_strips_t *strips, uint32_t index) {
  const map_step_t *step = &b->plan->steps[index];
  const uint16_t reads[3] = {step->a, step->b, step->c};
  for (int k = 0; k < 3; k++) {
    const map_value_t *value = &b->values[reads[k]];
    if ((k > 0 && reads[k] == reads[0]) || (k > 1 && reads[k] == reads[1])) continue;
    if (value->scope != MAP_STRIP || value->last_use != index || strips->of_value[reads[k]] == NO_STRIP) continue;
    strips->free[strips->free_count++] = strips->of_value[reads[k]];
  }
}

// Within a part of several steps values pass in registers.
static bool is_in_memory(const map_builder_t *b, uint16_t value) {
  const map_value_t *v = &b->values[value];
  const map_part_t *part = leat_native_map_part_of(b->plan, v->made);
  return part->code == NULL || v->last_use >= part->end;
}

static void give_steps(map_builder_t *b, map_strips_t *strips) {
  for (uint32_t s = b->plan->step_end[MAP_ROW]; s < b->plan->step_count; s++) {
    const map_step_t *step = &b->plan->steps[s];
    // A change of class must not overwrite what it reads: the widths differ.
    const bool same_width = class_bytes(b->values[step->a].class_) == class_bytes(b->values[step->dst].class_);
    if (same_width) take_back(b, strips, s);
    if (b->plan->value_offset[step->dst] != -1 && is_in_memory(b, step->dst)) {
      strips->of_value[step->dst] = strips->free_count > 0 ? strips->free[--strips->free_count] : strips->count++;
    }
    if (!same_width) take_back(b, strips, s);
  }
}

// Elements of a strip. An operand whose period is longer has none of it around where strips are as short as they may
// be: it is loaded strip by strip.
static int64_t strip_length(map_plan_t *plan, int64_t bytes_an_element) {
  if (bytes_an_element == 0) return MAP_STRIP_LONG;
  int64_t strip = MAP_STRIPS_BYTES / bytes_an_element / MAP_STRIP_STEP * MAP_STRIP_STEP;
  if (strip < MAP_STRIP_MIN) strip = MAP_STRIP_MIN;
  if (strip > MAP_STRIP_MAX) strip = MAP_STRIP_MAX;
  const bool many = strip == MAP_STRIP_MIN;
  for (uint32_t i = 0; i < plan->leaf_count; i++) {
    map_leaf_t *leaf = &plan->leaves[i];
    if (leaf->kind != MAP_LEAF_PERIODIC || leaf->period <= strip) continue;
    if (many) leaf->kind = MAP_LEAF_LOAD;
    if (!many) strip = MAP_STRIP_MAX;
  }
  return strip;
}

// Pointers and offsets that a run keeps in the workspace: the table of code (map_code_t), a base and an offset a leaf
// and store.
static size_t table_bytes(const map_plan_t *plan) {
  return (2u * plan->value_count + 1u + 2u * (plan->leaf_count + plan->store_count)) * 8u / 64u * 64u + 64u;
}

static leat_status_t assign_storage(map_builder_t *b, leat_native_stage_t *stage) {
  map_plan_t *plan = b->plan;
  map_strips_t strips = {0};
  LEAT_TRY(make_strips(b, &strips));
  give_strips_that_stay(b, &strips);
  give_leaves(b, &strips);
  give_steps(b, &strips);
  const int64_t element = b->wide ? 8 : 4;
  plan->strip = strip_length(plan, strips.count * element);
  const int64_t strip_bytes = plan->strip * element;
  int64_t cell = (int64_t)table_bytes(plan) + strips.count * strip_bytes;
  stage->workspace_bytes = (size_t)(cell + strips.cell_count * CELL_BYTES);
  for (uint32_t v = 0; v < plan->value_count; v++) {
    if (strips.of_value[v] != NO_STRIP) {
      plan->value_offset[v] = (int64_t)table_bytes(plan) + strips.of_value[v] * strip_bytes;
    } else if (b->values[v].scope != MAP_STRIP) {
      plan->value_offset[v] = cell;
      cell += CELL_BYTES;
    }
  }
  return NULL;
}

static leat_status_t make_tables(map_builder_t *b) {
  leat_arena_t *arena = b->context->arena;
  map_plan_t *plan = b->plan;
  const size_t n = b->stage->instruction_count + 1u + MAP_SUMS_MAX;
  b->values = leat_arena_alloc(arena, n * sizeof *b->values);
  b->wanted = leat_arena_alloc(arena, n * sizeof *b->wanted);
  b->value_of = leat_arena_alloc(arena, n * sizeof *b->value_of);
  b->loaded = leat_arena_alloc(arena, (b->stage->operand_count + 1u) * CLASS_COUNT * sizeof *b->loaded);
  plan->leaves = leat_arena_alloc(arena, n * sizeof *plan->leaves);
  plan->steps = leat_arena_alloc(arena, n * sizeof *plan->steps);
  plan->stores = leat_arena_alloc(arena, n * sizeof *plan->stores);
  plan->value_offset = leat_arena_alloc(arena, n * sizeof *plan->value_offset);
  const bool all = b->values != NULL && b->wanted != NULL && b->value_of != NULL && b->loaded != NULL &&
                   plan->leaves != NULL && plan->steps != NULL && plan->stores != NULL && plan->value_offset != NULL;
  if (!all) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for the plan of a MAP");
  return NULL;
}

// Whether code may read and write operands of bf16: all that the program computes is f32.
static bool may_be_narrow(const leat_native_stage_t *stage, const leat_native_prepare_t *context) {
  bool narrow = false;
  for (uint32_t i = 0; i < stage->operand_count; i++) narrow |= stage->operands[i].dtype == PEF_BF16;
  for (uint32_t i = 0; i < stage->instruction_count; i++) narrow &= stage->instructions[i].class_ == PEF_CLASS_F32;
  return narrow && context->code != NULL && leat_native_map_code_is_wide(context->code);
}

// What only a nest can do: stages whose sums the plan makes; bf16 that is read and written by code; rows that are too
// short for strips.
typedef struct wishes_s {
  uint32_t sum_count;
  bool narrow, short_rows;
} wishes_t;

// Where anything is wished, *out_plan is a nest that does it, or NULL.
static leat_status_t try_plan(leat_native_stage_t *stage, const leat_native_prepare_t *context, wishes_t wishes,
                              const map_plan_t **out_plan) {
  const uint32_t sum_count = wishes.sum_count;
  map_plan_t *plan = leat_arena_alloc(context->arena, sizeof *plan);
  map_builder_t b = {.stage = stage, .context = context, .plan = plan, .narrow = wishes.narrow};
  if (plan == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for the plan of a MAP");
  *out_plan = NULL;
  LEAT_TRY(make_tables(&b));
  build_program(&b);
  plan->is_copy = plan->leaf_count == 1 && plan->store_count == 1 && plan->step_count == 0 &&
                  plan->leaves[0].operand != NULL && plan->leaves[0].operand->dtype == plan->stores[0].operand->dtype;
  if (sum_count != 0) {
    LEAT_TRY(leat_native_map_take_sums(plan, context, sum_count));
    if (plan->sums.count == 0) return NULL;
    for (uint32_t i = 0; i < sum_count; i++) plan->sums.of[i].at = new_value(&b, PEF_CLASS_F32);
  }
  const int64_t row_min = wishes.short_rows ? MAP_CODE_ROW_MIN : MAP_ROW_MIN;
  LEAT_TRY(leat_native_map_space(plan, stage, row_min, context->arena));
  if (plan->sums.count != sum_count) return NULL;
  for (uint32_t i = 0; i < plan->leaf_count; i++) classify_leaf(&b, &plan->leaves[i]);
  LEAT_TRY(sort_steps(&b));
  if (context->code != NULL) LEAT_TRY(leat_native_map_order(plan, context->code, context->arena));
  find_uses(&b);
  LEAT_TRY(find_parts(&b));
  if ((sum_count != 0 || wishes.narrow || wishes.short_rows) && !plan->nest) return NULL;
  LEAT_TRY(find_spreads(&b));
  place_stores(&b);
  LEAT_TRY(assign_storage(&b, stage));
  leat_native_map_place_sums(plan, stage, context->tile_rows_max);
  *out_plan = plan;
  return NULL;
}

static leat_status_t make_plan(leat_native_stage_t *stage, const leat_native_prepare_t *context, uint32_t sum_count,
                               const map_plan_t **out_plan) {
  *out_plan = NULL;
  wishes_t wishes = {.sum_count = sum_count, .narrow = true};
  if (may_be_narrow(stage, context)) LEAT_TRY(try_plan(stage, context, wishes, out_plan));
  wishes.narrow = false;
  if (*out_plan == NULL) LEAT_TRY(try_plan(stage, context, wishes, out_plan));
  const map_plan_t *plan = *out_plan, *nest = NULL;
  wishes.short_rows = context->code != NULL && plan != NULL && !plan->row_mode && !plan->is_copy &&
                      plan->dims[plan->rank - 1] >= MAP_CODE_ROW_MIN;
  if (wishes.short_rows) LEAT_TRY(try_plan(stage, context, wishes, &nest));
  if (nest != NULL) *out_plan = nest;
  return NULL;
}

// The stage and `sums` of those behind it as one.
static leat_status_t join(leat_native_stage_t *stage, const leat_native_prepare_t *context, uint32_t sums) {
  leat_native_stage_t *joined = leat_arena_alloc(context->arena, sizeof *joined);
  const map_plan_t *plan = NULL;
  if (joined == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for the plan of a MAP");
  *joined = *stage;
  LEAT_TRY(make_plan(joined, context, sums, &plan));
  joined->plan = plan;
  if (plan != NULL) stage->joined = joined, stage->joined_count = 1 + sums;
  return NULL;
}

leat_status_t leat_native_map_prepare(leat_native_stage_t *stage, const leat_native_prepare_t *context) {
  const map_plan_t *plan = NULL;
  LEAT_TRY(make_plan(stage, context, 0, &plan));
  stage->plan = plan;
  for (uint32_t sums = context->code != NULL ? context->sum_count : 0; sums > 0 && stage->joined == NULL; sums--)
    LEAT_TRY(join(stage, context, sums));
  return NULL;
}
