// SPDX-License-Identifier: Apache-2.0
// The loop of the slow reference: its body is run once a trip.
#include "ir/eval.h"
#include "ir/loop.h"

typedef struct trips_s {
  const leat_eval_call_t *call;
  leat_loop_t loop;
  leat_eval_t *eval;  // of the body: keeps nothing from trip to trip but what is set
} trips_t;

// Where an end lies in the body's run.
static void *end_at(const trips_t *t, leat_symbol_role_t role, uint32_t number, size_t *out_bytes) {
  return leat_eval_end(t->eval, role, number, out_bytes);
}

static void put(const trips_t *t, leat_symbol_role_t role, uint32_t number, const void *from, int64_t entry) {
  size_t bytes;
  void *to = end_at(t, role, number, &bytes);
  if (bytes != 0) memcpy(to, (const uint8_t *)from + bytes * (size_t)entry, bytes);
}

static void take(const trips_t *t, leat_symbol_role_t role, uint32_t number, void *to, int64_t entry) {
  size_t bytes;
  const void *from = end_at(t, role, number, &bytes);
  if (bytes != 0) memcpy((uint8_t *)to + bytes * (size_t)entry, from, bytes);
}

static leat_status_t run_trip(const trips_t *t, int64_t trip) {
  const leat_eval_call_t *call = t->call;
  for (uint32_t i = 0; i < t->loop.scanned; i++)
    put(t, LEAT_MADE_LOOP_SCANNED, i, call->inputs[t->loop.carried + i], trip);
  LEAT_TRY(leat_eval_run(t->eval));
  for (uint32_t i = 0; i < t->loop.carried; i++) {
    take(t, LEAT_MADE_LOOP_NEXT, i, call->results[i], 0);
    put(t, LEAT_MADE_LOOP_CARRIED, i, call->results[i], 0);
  }
  for (uint32_t i = 0; i < t->loop.stacked; i++)
    take(t, LEAT_MADE_LOOP_STACKED, i, call->results[t->loop.carried + i], trip);
  return NULL;
}

leat_status_t leat_eval_LOOP(const leat_eval_call_t *call) {
  trips_t t = {.call = call, .loop = leat_loop_of(call->graph, call->op)};
  if (t.loop.streams != 0) LEAT_FAIL(LEAT_UNSUPPORTED, "trips that draw from streams of their own are to be unrolled");
  LEAT_TRY(leat_eval_create(t.loop.body, &t.eval));
  for (uint32_t i = 0; i < t.loop.carried; i++) put(&t, LEAT_MADE_LOOP_CARRIED, i, call->inputs[i], 0);
  for (uint32_t i = 0; i < t.loop.fixed; i++)
    put(&t, LEAT_MADE_LOOP_FIXED, i, call->inputs[t.loop.carried + t.loop.scanned + i], 0);
  leat_status_t status = NULL;
  for (int64_t done = 0; done < t.loop.trips && status == NULL; done++)
    status = run_trip(&t, leat_loop_trip(&t.loop, done));
  leat_eval_destroy(t.eval);
  return status;
}

// The loop that is rolled up of them has values, which they alone have not.
static leat_status_t refuse(const leat_eval_call_t *call) {
  (void)call;
  LEAT_FAIL(LEAT_UNSUPPORTED, "a part of a batch has no value outside of its trip");
}

leat_status_t leat_eval_PART(const leat_eval_call_t *call) { return refuse(call); }
leat_status_t leat_eval_JOIN(const leat_eval_call_t *call) { return refuse(call); }
