// SPDX-License-Identifier: Apache-2.0
#include "driver/trips.h"

#include "driver/looped.h"
#include "ir/rebuild.h"
#include "opt/microbatch.h"
#include "opt/trips.h"

leat_status_t leat_trips_check(const leat_graph_t *graph) {
  for (leat_op_id_t id = 0; id < graph->ops.count; ++id) {
    const leat_op_t *op = leat_graph_op(graph, id);
    const leat_op_role_t role = leat_op_role(op->kind);
    if (role != LEAT_ROLE_PART && role != LEAT_ROLE_JOIN) continue;
    char text[256];
    LEAT_FAIL(LEAT_INVALID_ARGUMENT,
              "%s marks a part of the batch, which only a compile of micro-batches does, on its way: compile the "
              "program without marks",
              leat_op_text(graph, op, text, sizeof text));
  }
  for (uint32_t i = 0; i < graph->bodies.count; ++i) LEAT_TRY(leat_trips_check(graph->bodies.data[i]));
  return NULL;
}

// What says where the graph is cut speaks of straight ops.
static leat_status_t check_options(const leat_compile_options_t *options) {
  if (options->decisions != NULL || options->write_decisions != 0)
    LEAT_FAIL(LEAT_UNSUPPORTED, "mapping decisions are about straight ops");
  if (options->spatial != 0) LEAT_FAIL(LEAT_UNSUPPORTED, "--mapping spatial is one section");
  if (options->separate_bodies != 0) LEAT_FAIL(LEAT_UNSUPPORTED, "every op is a section of its own");
  return NULL;
}

// An index that the rows of a trip compute would have to be stored by each.
static leat_status_t find_bounds(const leat_graph_t *whole, leat_trips_t *trips) {
  LEAT_TRY(leat_rebuild(whole, leat_rebuild_copy, NULL, &trips->bounded));
  LEAT_TRY(leat_opt_bounds(trips->bounded, &trips->bounds));
  for (uint32_t i = 0; i < trips->bounds.count; ++i) {
    const leat_bound_t *bound = &trips->bounds.data[i];
    if (leat_graph_symbol(trips->bounded, bound->symbol)->role != LEAT_MADE_CHECKED) continue;
    char text[256];
    LEAT_FAIL(LEAT_UNSUPPORTED, "%s has indices that are computed, and checked after forward",
              leat_op_text(trips->bounded, leat_graph_op(trips->bounded, bound->op), text, sizeof text));
  }
  return NULL;
}

static leat_status_t roll(const leat_graph_t *marked, int64_t streams, const leat_compile_options_t *options,
                          const leat_arch_t *arch, leat_graph_t **out_primitive) {
  leat_graph_t *program = NULL, *primitive = NULL;
  LEAT_TRY(leat_pipeline_run(marked, options, arch, LEAT_PIPELINE_PROGRAM, &program));
  leat_status_t status = NULL;
  if (program->groups.count != 0) status = leat_status_make(LEAT_UNSUPPORTED, "groups of ops are compiled apart");
  if (status == NULL) status = leat_pipeline_run(program, options, arch, LEAT_PIPELINE_LOOPS, &primitive);
  leat_graph_destroy(program);
  if (status == NULL) status = leat_opt_roll_trips(primitive, streams, out_primitive);
  leat_graph_destroy(primitive);
  return status;
}

leat_status_t leat_trips_make(const leat_graph_t *whole, const leat_compile_options_t *options, const leat_arch_t *arch,
                              leat_trips_t *out_trips) {
  leat_graph_t *marked = NULL;
  int64_t streams;
  *out_trips = (leat_trips_t){0};
  LEAT_TRY(check_options(options));
  if (!leat_looped_writes_once(whole))
    LEAT_FAIL(LEAT_UNSUPPORTED, "state in the memory of a parameter is written by forward and by the optimizer");
  LEAT_TRY(leat_opt_microbatch_in_trips(whole, options->part, &streams, &marked));
  leat_status_t status = find_bounds(whole, out_trips);
  if (status == NULL) status = roll(marked, streams, options, arch, &out_trips->primitive);
  leat_graph_destroy(marked);
  return status;
}

void leat_trips_deinit(leat_trips_t *trips) {
  leat_graph_destroy(trips->primitive);
  leat_graph_destroy(trips->bounded);
  leat_array_free(&trips->bounds);
}
