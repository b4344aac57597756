// SPDX-License-Identifier: Apache-2.0
#include "driver/limit.h"

#include "driver/say.h"
#include "opt/opt.h"
#include "pef/flow.h"
#include "report/units.h"

enum { ATTEMPTS_MAX = 8, LARGEST = 3 };

static const double MIB = 1 << 20;

static uint64_t limit_bytes(const leat_compile_options_t *options) { return (uint64_t)options->memory_limit << 20; }

// --- making again ----------------------------------------------------------------------------------------------------

static void tell(const leat_graph_t *g, const leat_compile_options_t *options, const leat_remade_list_t *list) {
  double seconds = 0;
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < list->count; ++i) {
    const leat_remade_t *remade = &list->data[i];
    char text[256];
    leat_op_text(g, leat_graph_op(g, leat_graph_value(g, remade->value)->op), text, sizeof text);
    leat_say(options, LEAT_LOG_DEBUG, "mac", "made again in backward: %s, %.2f MiB, about %.3f ms", text,
             (double)remade->bytes / MIB, remade->seconds * 1e3);
    seconds += remade->seconds;
    bytes += remade->bytes;
  }
  leat_say(options, LEAT_LOG_INFO, "mac",
           "%u activations are made again in backward: %.2f MiB less are kept, for about %.3f ms of one core",
           list->count, (double)bytes / MIB, seconds * 1e3);
}

leat_status_t leat_limit_remake(const leat_graph_t *from, const leat_compile_options_t *options,
                                const leat_arch_t *arch, leat_graph_t **out_graph) {
  leat_remade_list_t list = {0};
  leat_status_t status = leat_opt_remake(from, arch, options->remade_bytes, &list, out_graph);
  if (status == NULL && list.count != 0) tell(from, options, &list);
  leat_array_free(&list);
  return status;
}

// --- the limit -------------------------------------------------------------------------------------------------------

static void put_kinds(const leat_pef_t *pef, leat_text_t *text) {
  for (uint32_t kind = 0; kind < PEF_SYMBOL_KIND_COUNT; ++kind) {
    uint64_t bytes = 0;
    for (uint32_t s = 0; s < pef->symbol_count; ++s) bytes += pef->symbols[s].kind == kind ? pef->symbols[s].bytes : 0;
    if ((double)bytes >= MIB / 100) leat_text_put(text, "%s %.2f, ", leat_symbol_kind_text(kind), (double)bytes / MIB);
  }
}

// The largest values between sections, and who makes them.
static leat_status_t put_largest(const leat_pef_t *pef, leat_text_t *text) {
  leat_flow_t flow;
  LEAT_TRY(leat_flow_find(pef, &flow));
  uint32_t shown[LARGEST], count = 0;
  for (; count < LARGEST; ++count) {
    uint64_t most = 0;
    for (uint32_t b = 0; b < flow.buffers.count; ++b) {
      const uint64_t bytes = flow.buffers.data[b].end - flow.buffers.data[b].begin;
      bool known = false;
      for (uint32_t i = 0; i < count; ++i) known |= shown[i] == b;
      if (known || bytes <= most) continue;
      most = bytes;
      shown[count] = b;
    }
    if (most == 0) break;
    leat_text_put(text, "%s %.2f of %s", count == 0 ? ", the largest" : ",", (double)most / MIB,
                  pef->strings + pef->calls[flow.buffers.data[shown[count]].first].name);
  }
  leat_flow_deinit(&flow);
  return NULL;
}

static leat_status_t fail(const leat_pef_t *pef, const leat_compile_options_t *options, const leat_limit_t *limit) {
  leat_text_t text = {0};
  put_kinds(pef, &text);
  leat_text_put(&text, "values between sections %.2f", (double)pef->info->arena_bytes / MIB);
  leat_status_t status = put_largest(pef, &text);
  if (status == NULL && text.failed) status = leat_out_of_memory();
  if (status == NULL)
    status = leat_status_make(
        LEAT_UNSUPPORTED,
        "a run takes %.2f MiB of memory, --memory-limit is %u (the least that was found is %.2f): %s; compile for a "
        "smaller batch, with -mb, --drop-grads, a smaller --chunked-products, or with --inference",
        (double)limit->peak / MIB, options->memory_limit, (double)limit->least / MIB, text.data);
  leat_text_deinit(&text);
  return status;
}

leat_status_t leat_limit_check(const leat_pef_t *pef, const leat_compile_options_t *options, leat_limit_t *limit) {
  const uint64_t peak = pef->info->peak_bytes, before = limit->peak;
  limit->exceeded = options->memory_limit != 0 && peak > limit_bytes(options);
  if (!limit->exceeded) return NULL;
  if (limit->attempts == 0 || peak < limit->least) limit->least = peak;
  limit->peak = peak;
  if (limit->attempts > 0 && peak >= before) limit->attempts = ATTEMPTS_MAX;
  return fail(pef, options, limit);
}

bool leat_limit_again(leat_limit_t *limit, leat_compile_options_t *options, leat_status_t *status) {
  if (*status == NULL || !limit->exceeded || options->inference || options->remade_bytes == UINT64_MAX) return false;
  const uint64_t more = limit->peak - limit_bytes(options), least = 1 << 20;
  const bool last = limit->attempts++ >= ATTEMPTS_MAX;
  options->remade_bytes = last ? UINT64_MAX : options->remade_bytes + (more < least ? least : more);
  limit->exceeded = false;
  leat_say(options, LEAT_LOG_INFO, "mac",
           "a run would take %.2f MiB of memory, --memory-limit is %u: compiling again, with fewer activations kept",
           (double)limit->peak / MIB, options->memory_limit);
  leat_status_free(*status);
  *status = NULL;
  return true;
}
