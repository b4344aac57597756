// SPDX-License-Identifier: Apache-2.0
// leat plan: what a chip would do with a PEF: whether it fits, how each section sits, how long a run takes and what
// bounds it. From shapes alone; nothing is run, nothing is written. Times are modelled.
#include <stdio.h>

#include "chip/cost.h"
#include "chip/plan.h"
#include "driver/cmd.h"
#include "report/units.h"

typedef struct plan_options_s {
  const char *arch;
  uint32_t tiles;
  bool json;
} plan_options_t;

static const leat_cmd_option_t option_table[] = {
    {"--arch", "CHIP", "sn10, sn20, sn30 or tiny, or the file of a record (docs/chips.md); default sn30", LEAT_CMD_TEXT,
     offsetof(plan_options_t, arch)},
    {"--num-tiles", "N", "tiles of the chip (default: all of them)", LEAT_CMD_STEPS, offsetof(plan_options_t, tiles)},
    {"--json", NULL, "one JSON object, for programs", LEAT_CMD_FLAG, offsetof(plan_options_t, json)},
};

typedef struct told_s {
  const leat_pef_t *pef;
  const leat_chip_t *chip;
  const leat_chip_plan_t *plan;
  const char *path;
} told_t;

static const leat_chip_allocation_t *body_of(const told_t *t, const leat_chip_section_t *section) {
  return &t->plan->bodies[t->pef->calls[section->call].body];
}
static bool fits_memory(const told_t *t) { return (double)t->pef->info->peak_bytes <= t->chip->ddr_bytes; }

// Kinds of stages, by pef_stage_kind, that the file has and whose cost is assumed.
static void find_assumed_kinds(const told_t *t, bool kinds[PEF_STAGE_COUNT]) {
  memset(kinds, 0, PEF_STAGE_COUNT * sizeof *kinds);
  for (uint32_t s = 0; s < t->pef->stage_count; ++s) {
    const uint32_t kind = t->pef->stages[s].kind;
    kinds[kind] = leat_chip_cost_row(kind)->confidence == LEAT_CONFIDENCE_ASSUMED;
  }
}

// --- text
// --------------------------------------------------------------------------------------------------------------

static void put_time(leat_text_t *out, double seconds) {
  leat_text_t text = {0};
  leat_put_seconds(&text, seconds);
  leat_text_put(out, " %10s", text.data != NULL ? text.data : "");
  out->failed |= text.failed;
  leat_text_deinit(&text);
}

static void put_head(const told_t *t, leat_text_t *out) {
  leat_text_put(out, "%s on %s, %u of %llu tiles: modelled time of an ideal network, nothing was run\n", t->path,
                t->chip->name, t->plan->tiles, (unsigned long long)t->chip->tiles);
  leat_text_put(out, "memory      ");
  leat_put_bytes(out, (double)t->pef->info->peak_bytes);
  leat_text_put(out, " of ");
  leat_put_bytes(out, t->chip->ddr_bytes);
  leat_text_put(out, "%s\n", fits_memory(t) ? "" : ": does not fit");
}

static void put_section(const told_t *t, const leat_chip_section_t *section, leat_text_t *out) {
  const pef_call_t *call = &t->pef->calls[section->call];
  const leat_chip_allocation_t *a = body_of(t, section);
  leat_text_put(out, "%5u %-8s %5u %4u x %-4lld %8lld %6u %6u %11.0f", section->call,
                leat_section_type_text(call->type), a->stage_count, a->parts, (long long)a->tile_rows,
                (long long)a->tile_count, a->parts * a->pcus, a->parts * a->pmus, a->interval);
  put_time(out, section->time.compute);
  put_time(out, section->time.memory);
  put_time(out, section->time.weights);
  leat_text_put(out, " %7.0f", section->times);
  put_time(out, section->seconds);
  leat_text_put(out, "  %-8s %s\n", leat_chip_bound_word(section->time.bound), t->pef->strings + call->name);
}

static void put_totals(const told_t *t, leat_text_t *out) {
  leat_text_put(out, "run         ");
  leat_put_seconds(out, t->plan->run_seconds);
  if (t->plan->prepare_seconds > 0) {
    leat_text_put(out, ", and ");
    leat_put_seconds(out, t->plan->prepare_seconds);
    leat_text_put(out, " of prepare sections after weights have changed");
  }
  leat_text_put(out, "\n");
}

static void put_assumed(const told_t *t, leat_text_t *out) {
  bool kinds[PEF_STAGE_COUNT], any = false;
  leat_text_put(out, "ASSUMED     ");
  for (uint32_t i = 0; i < LEAT_CHIP_FACT_COUNT; ++i) {
    if (t->chip->notes[i].confidence != LEAT_CONFIDENCE_ASSUMED) continue;
    leat_text_put(out, "%s%s %g", any ? ", " : "", leat_chip_fact_name(i), leat_chip_fact(t->chip, i));
    any = true;
  }
  find_assumed_kinds(t, kinds);
  for (uint32_t kind = 0; kind < PEF_STAGE_COUNT; ++kind) {
    if (!kinds[kind]) continue;
    leat_text_put(out, "%scost of %s", any ? ", " : "", leat_pef_stage_name(kind));
    any = true;
  }
  leat_text_put(out, "%s\n", any ? "" : "nothing");
}

static void put_text(const told_t *t, leat_text_t *out) {
  put_head(t, out);
  leat_text_put(out, "\n%5s %-8s %5s %11s %8s %6s %6s %11s %10s %10s %10s %7s %10s  %-8s %s\n", "", "type", "parts",
                "tile rows", "tiles", "PCUs", "PMUs", "interval", "compute", "memory", "weights", "times", "time",
                "bound by", "section");
  for (uint32_t i = 0; i < t->plan->sections.count; ++i) put_section(t, &t->plan->sections.data[i], out);
  leat_text_put(out, "\n");
  put_totals(t, out);
  put_assumed(t, out);
}

// --- JSON
// --------------------------------------------------------------------------------------------------------------

static void put_number(leat_text_t *out, const char *key, double number) {
  leat_text_put(out, ",\"%s\":", key);
  leat_text_put_double(out, number);
}

static void put_json_time(const leat_chip_section_t *section, leat_text_t *out) {
  const leat_chip_time_t *time = &section->time;
  put_number(out, "compute_seconds", time->compute);
  put_number(out, "memory_seconds", time->memory);
  put_number(out, "p2p_seconds", time->p2p);
  put_number(out, "network_seconds", time->network);
  put_number(out, "interval_seconds", time->interval);
  put_number(out, "arguments_seconds", time->arguments);
  put_number(out, "launch_seconds", time->launch);
  put_number(out, "weights_seconds", time->weights);
  put_number(out, "fill_seconds", time->fill);
  put_number(out, "stream_seconds", time->stream);
  put_number(out, "call_seconds", time->total);
  put_number(out, "seconds", section->seconds);
}

static void put_json_section(const told_t *t, const leat_chip_section_t *section, leat_text_t *out) {
  const pef_call_t *call = &t->pef->calls[section->call];
  const leat_chip_allocation_t *a = body_of(t, section);
  leat_text_put(out, "{\"call\":%u,\"body\":%u,\"type\":\"%s\",\"name\":", section->call, call->body,
                leat_section_type_text(call->type));
  leat_text_put_json_string(out, t->pef->strings + call->name);
  leat_text_put(out, ",\"stages\":%u,\"parts\":%u,\"tile_rows\":%lld,\"tiles\":%lld,\"pcus\":%u,\"pmus\":%u",
                a->stage_count, a->parts, (long long)a->tile_rows, (long long)a->tile_count, a->parts * a->pcus,
                a->parts * a->pmus);
  put_number(out, "compute_cycles", a->compute);
  put_number(out, "interval_cycles", a->interval);
  put_number(out, "tile_bytes", a->memory_bytes);
  put_number(out, "tile_random_bytes", a->random_bytes);
  leat_text_put(out, ",\"resident_bytes\":%llu", (unsigned long long)a->resident_bytes);
  put_number(out, "times", section->times);
  put_number(out, "program_loads", section->loads);
  put_json_time(section, out);
  leat_text_put(out, ",\"bound\":\"%s\"}", leat_chip_bound_word(section->time.bound));
}

static void put_json_assumed(const told_t *t, leat_text_t *out) {
  bool kinds[PEF_STAGE_COUNT];
  const char *between = "";
  leat_text_put(out, ",\"assumed\":[");
  for (uint32_t i = 0; i < LEAT_CHIP_FACT_COUNT; ++i) {
    if (t->chip->notes[i].confidence != LEAT_CONFIDENCE_ASSUMED) continue;
    leat_text_put(out, "%s{\"fact\":\"%s\",\"source\":", between, leat_chip_fact_name(i));
    leat_text_put_json_string(out, t->chip->notes[i].source);
    put_number(out, "value", leat_chip_fact(t->chip, i));
    leat_text_put(out, "}");
    between = ",";
  }
  find_assumed_kinds(t, kinds);
  for (uint32_t kind = 0; kind < PEF_STAGE_COUNT; ++kind) {
    if (!kinds[kind]) continue;
    leat_text_put(out, "%s{\"cost\":\"%s\",\"source\":", between, leat_pef_stage_name(kind));
    leat_text_put_json_string(out, leat_chip_cost_row(kind)->source);
    leat_text_put(out, "}");
    between = ",";
  }
  leat_text_put(out, "]");
}

static void put_json(const told_t *t, leat_text_t *out) {
  leat_text_put(out, "{\"pef\":");
  leat_text_put_json_string(out, t->path);
  leat_text_put(out, ",\"chip\":");
  leat_text_put_json_string(out, t->chip->name);
  leat_text_put(out, ",\"tiles\":%u,\"memory_bytes\":%llu", t->plan->tiles,
                (unsigned long long)t->pef->info->peak_bytes);
  put_number(out, "memory_of_chip", t->chip->ddr_bytes);
  leat_text_put(out, ",\"fits\":%s", fits_memory(t) ? "true" : "false");
  put_number(out, "run_seconds", t->plan->run_seconds);
  put_number(out, "prepare_seconds", t->plan->prepare_seconds);
  leat_text_put(out, ",\"sections\":[");
  for (uint32_t i = 0; i < t->plan->sections.count; ++i) {
    leat_text_put(out, "%s", i > 0 ? "," : "");
    put_json_section(t, &t->plan->sections.data[i], out);
  }
  leat_text_put(out, "]");
  put_json_assumed(t, out);
  leat_text_put(out, "}\n");
}

// --- the command
// -------------------------------------------------------------------------------------------------------

static leat_status_t tell(const plan_options_t *options, const leat_chip_t *chip, const leat_pef_t *pef,
                          const char *path, leat_text_t *out) {
  leat_chip_plan_t plan;
  LEAT_TRY(leat_chip_plan_make(chip, pef, options->tiles, &plan));
  const told_t told = {pef, chip, &plan, path};
  if (options->json)
    put_json(&told, out);
  else
    put_text(&told, out);
  leat_chip_plan_deinit(&plan);
  return out->failed ? leat_out_of_memory() : NULL;
}

static leat_status_t run(const void *opaque, const char *const *operands) {
  const plan_options_t *options = opaque;
  leat_chip_t chip;
  LEAT_TRY(leat_status_annotate(leat_chip_find(options->arch != NULL ? options->arch : "sn30", &chip), "--arch"));
  leat_pef_t *pef = NULL;
  LEAT_TRY(leat_pef_open(operands[0], &pef));
  leat_text_t text = {0};
  leat_status_t status = leat_status_annotate(tell(options, &chip, pef, operands[0], &text), "%s", operands[0]);
  leat_pef_close(pef);
  if (status == NULL) fputs(text.data, stdout);
  leat_text_deinit(&text);
  return status;
}

const leat_cmd_t leat_cmd_plan = {
    .name = "plan",
    .usage = "plan FILE.pef [--arch CHIP] [--num-tiles N] [--json]",
    .summary = "tells how a PEF would sit and run on a chip",
    .examples =
        "Times are modelled, from what is public of the chips: docs/chips.md says where each number is from.\n"
        "Numbers that nobody has published are listed as ASSUMED.\n\n"
        "examples:\n"
        "  leat plan lenet.pef\n"
        "  leat plan lenet.pef --arch sn10 --num-tiles 1\n"
        "  leat plan lenet.pef --arch my-chip.yaml --json | python3 -m json.tool\n",
    .options = option_table,
    .option_count = sizeof option_table / sizeof *option_table,
    .operand_count = 1,
    .options_bytes = sizeof(plan_options_t),
    .run = run,
};
