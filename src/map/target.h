// SPDX-License-Identifier: Apache-2.0
// What a compile is for: a name, records of machines (arch/arch.h), and a mapper. A folder that fills this table and a
// row of driver/targets.c are a target; nothing else asks which one it is.
//
//   --arch TEXT   parse() makes a record of it, or a file has one that names the target
//   cut           sections as the record has room and time for them: src/cut knows records only
//   check()       whether the sections fit what the cutter does not look after
//   map()         from sections to the tables of a PEF
//   reports       describe() says what the record promises
#ifndef LEAT_MAP_TARGET_H_
#define LEAT_MAP_TARGET_H_

#include "map/map.h"

typedef struct leat_map_target_s {
  const char *name;   // in records, and what --arch begins with
  const char *forms;  // of --arch, for messages: "native or native:<l1>,<l2>,<l3>"

  // The record that `text` means, which is the name, or begins with it and ':'. LEAT_INVALID_ARGUMENT names the forms.
  leat_status_t (*parse)(const char *text, leat_arch_t *out_arch);

  // Before mapping. LEAT_UNSUPPORTED names the section that the target cannot hold, and what to do.
  leat_status_t (*check)(const leat_graph_t *g, const leat_plan_t *plan, const leat_arch_t *arch);

  // needs: a settled graph and its plan. gives: every table of the PEF but the metadata. LEAT_UNSUPPORTED with
  // options->shortage filled: a section does not fit.
  leat_status_t (*map)(const leat_graph_t *g, const leat_plan_t *plan, const leat_map_options_t *options,
                       leat_pef_writer_t *writer);

  // One line for people: what a core or a unit computes, what it moves.
  void (*describe)(const leat_arch_t *arch, leat_text_t *out);
} leat_map_target_t;

// Checks and maps for the target of `options`.
leat_status_t leat_target_map(const leat_graph_t *g, const leat_plan_t *plan, const leat_map_options_t *options,
                              leat_pef_writer_t *writer) LEAT_MUST_USE;

// The CPU. Its functions serve targets that are like it.
extern const leat_map_target_t leat_target_native;
leat_status_t leat_target_check_units(const leat_graph_t *g, const leat_plan_t *plan,
                                      const leat_arch_t *arch) LEAT_MUST_USE;
void leat_target_describe_rates(const leat_arch_t *arch, leat_text_t *out);

#endif
