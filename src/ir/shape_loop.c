// SPDX-License-Identifier: Apache-2.0
// The shape rule of loops: operands and results are those of the body's ends.
#include <inttypes.h>

#include "ir/loop.h"
#include "ir/shape.h"

typedef struct rule_s {
  const leat_shape_call_t *call;
  const leat_graph_t *body;
  int64_t trips;
} rule_t;

static leat_status_t type_of_end(const rule_t *r, leat_symbol_role_t role, uint32_t number, const leat_value_t **type) {
  const leat_value_id_t v = leat_loop_end(r->body, role, number);
  static const char *const names[] = {[LEAT_MADE_LOOP_CARRIED] = "carried",
                                      [LEAT_MADE_LOOP_SCANNED] = "scanned",
                                      [LEAT_MADE_LOOP_FIXED] = "fixed",
                                      [LEAT_MADE_LOOP_NEXT] = "next",
                                      [LEAT_MADE_LOOP_STACKED] = "stacked"};
  if (v == LEAT_NONE) LEAT_FAIL(LEAT_INVALID_ARGUMENT, "the body has no end '@%s%" PRIu32 "'", names[role], number);
  *type = leat_graph_value(r->body, v);
  return NULL;
}

static leat_status_t expect_type(const leat_value_t *have, const leat_value_t *want, const char *what,
                                 uint32_t number) {
  if (have->dtype == want->dtype && leat_same_shape(have, want)) return NULL;
  char a[160], b[160];
  LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%s %" PRIu32 " is %s, but its end in the body is %s", what, number,
            leat_value_text(have, a, sizeof a), leat_value_text(want, b, sizeof b));
}

static leat_status_t check_operand(const rule_t *r, uint32_t operand, leat_symbol_role_t role, uint32_t number) {
  const leat_value_t *x = leat_shape_operand(r->call, operand), *end = NULL;
  LEAT_TRY(type_of_end(r, role, number, &end));
  if (role != LEAT_MADE_LOOP_SCANNED) return expect_type(x, end, "operand", operand);
  if (end->rank == LEAT_RANK_MAX) LEAT_FAIL(LEAT_UNSUPPORTED, "a stack of rank 9 is more than 8");
  const leat_value_t stack = leat_loop_stack_type(end, r->trips);
  return expect_type(x, &stack, "stack", operand);
}

static leat_status_t check_carried(const rule_t *r, uint32_t number) {
  const leat_value_t *type = NULL, *next = NULL;
  LEAT_TRY(check_operand(r, number, LEAT_MADE_LOOP_CARRIED, number));
  LEAT_TRY(type_of_end(r, LEAT_MADE_LOOP_CARRIED, number, &type));
  LEAT_TRY(type_of_end(r, LEAT_MADE_LOOP_NEXT, number, &next));
  r->call->results[number] = *type;
  return expect_type(next, type, "what a trip leaves of carried value", number);
}

leat_status_t leat_shape_LOOP(const leat_shape_call_t *call) {
  const int64_t index = leat_shape_int(call, LEAT_ATTR_BODY), carried = leat_shape_int(call, LEAT_ATTR_CARRIED);
  const int64_t scanned = leat_shape_int(call, LEAT_ATTR_SCANNED), reverse = leat_shape_int(call, LEAT_ATTR_REVERSE);
  if (index < 0 || index >= call->graph->bodies.count)
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "the graph has no body %" PRId64, index);
  const rule_t r = {call, call->graph->bodies.data[index], leat_shape_int(call, LEAT_ATTR_TRIPS)};
  if (r.trips < 1 || r.trips > INT32_MAX || reverse < 0 || reverse > 1)
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "trips must be from 1 to 2^31 - 1, reverse 0 or 1");
  const int64_t operands = call->input_count;
  if (carried < 0 || scanned < 0 || carried > operands || scanned > operands - carried)
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%" PRId64 " carried and %" PRId64 " scanned operands of %" PRIu32, carried,
              scanned, call->input_count);
  const uint32_t stacked = leat_loop_stacked(r.body), most = leat_op_info(call->kind)->max_inputs;
  if (stacked > most) LEAT_FAIL(LEAT_UNSUPPORTED, "%" PRIu32 " stacks are more than %" PRIu32, stacked, most);
  for (uint32_t i = 0; i < carried; i++) LEAT_TRY(check_carried(&r, i));
  for (uint32_t i = 0; i < scanned; i++) LEAT_TRY(check_operand(&r, (uint32_t)carried + i, LEAT_MADE_LOOP_SCANNED, i));
  for (uint32_t i = (uint32_t)(carried + scanned); i < call->input_count; i++)
    LEAT_TRY(check_operand(&r, i, LEAT_MADE_LOOP_FIXED, i - (uint32_t)(carried + scanned)));
  for (uint32_t i = 0; i < stacked; i++) {
    const leat_value_t *entry = NULL;
    LEAT_TRY(type_of_end(&r, LEAT_MADE_LOOP_STACKED, i, &entry));
    call->results[carried + i] = leat_loop_stack_type(entry, r.trips);
  }
  return NULL;
}

// --- parts of a batch ------------------------------------------------------------------------------------------------

static leat_status_t check_parts(const leat_shape_call_t *call, int64_t *out_dim, int64_t *out_trips) {
  const int64_t rank = leat_shape_operand(call, 0)->rank;
  *out_dim = leat_shape_int(call, LEAT_ATTR_DIM);
  *out_trips = leat_shape_int(call, LEAT_ATTR_TRIPS);
  if (*out_trips < 1 || *out_trips > INT32_MAX) LEAT_FAIL(LEAT_INVALID_ARGUMENT, "trips must be from 1 to 2^31 - 1");
  if (*out_dim < -1 || *out_dim >= rank) LEAT_FAIL(LEAT_INVALID_ARGUMENT, "dim must be from -1 to %" PRId64, rank - 1);
  call->results[0] = *leat_shape_operand(call, 0);
  return NULL;
}

leat_status_t leat_shape_PART(const leat_shape_call_t *call) {
  int64_t dim, trips;
  LEAT_TRY(check_parts(call, &dim, &trips));
  if (dim < 0) return NULL;
  int64_t *extent = &call->results[0].dims[dim];
  if (*extent % trips != 0)
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%" PRId64 " trips do not divide an extent of %" PRId64, trips, *extent);
  *extent /= trips;
  return NULL;
}

leat_status_t leat_shape_JOIN(const leat_shape_call_t *call) {
  int64_t dim, trips;
  LEAT_TRY(check_parts(call, &dim, &trips));
  if (dim >= 0 && __builtin_mul_overflow(call->results[0].dims[dim], trips, &call->results[0].dims[dim]))
    LEAT_FAIL(LEAT_UNSUPPORTED, "all parts together are too long");
  return NULL;
}
