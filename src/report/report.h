// SPDX-License-Identifier: Apache-2.0
// Reports: what a PEF holds, as pictures and tables. All of them are made from the file alone, so `leat info` can make
// them from any PEF at any time; the compiler leaves them beside the PEF.
//
//   graph.dot, graph.svg   sections as boxes with module paths, shapes and bytes on the edges
//   sections.csv           a row a section
//   memory.json            symbols, arena, constants, and who uses which range of the arena when
#ifndef LEAT_REPORT_REPORT_H_
#define LEAT_REPORT_REPORT_H_

#include "pef/flow.h"

// Writes all four files into `folder`, which exists. LEAT_IO, LEAT_OUT_OF_MEMORY.
leat_status_t leat_report_write(const leat_pef_t *pef, const char *folder) LEAT_MUST_USE;
// Writes the picture; the ending of `path` says which: ".svg" or ".dot". LEAT_INVALID_ARGUMENT for any other.
leat_status_t leat_report_write_graph(const leat_pef_t *pef, const char *path) LEAT_MUST_USE;

// Each report as text; out->failed is set when out of memory.
void leat_report_dot(const leat_flow_t *flow, leat_text_t *out);
leat_status_t leat_report_svg(const leat_flow_t *flow, leat_text_t *out) LEAT_MUST_USE;
void leat_report_sections(const leat_flow_t *flow, leat_text_t *out);
void leat_report_memory(const leat_flow_t *flow, leat_text_t *out);

// Time that a section needs at least on one core that computes 100 GFLOP/s in f32 and moves 10 GB/s: a yardstick to
// compare sections with, not a prediction for a machine.
double leat_report_roofline_seconds(const leat_flow_t *flow, uint32_t call, bool *out_memory_bound);

#endif
