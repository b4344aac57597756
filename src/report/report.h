// SPDX-License-Identifier: Apache-2.0
// Reports: what a PEF holds, as pictures and tables. All of them are made from the file alone, so `leat info` can make
// them from any PEF at any time; the compiler leaves them beside the PEF.
//
//   graph.dot, graph.svg   sections as boxes with module paths, shapes and bytes on the edges; dashed: boxes that a
//   loop
//                          repeats, and what passes from one trip to the next
//   sections.csv           a row a section
//   floorplan.svg          of a file that a chip is planned for: its tiles with the units of each body, and busy links
//   memory.json            symbols, arena, constants, and who uses which range of the arena when
#ifndef LEAT_REPORT_REPORT_H_
#define LEAT_REPORT_REPORT_H_

#include "arch/arch.h"
#include "pef/flow.h"

// Times in reports are rooflines of `arch`, and say so: what a section needs at least on one core of that machine. The
// record of a PEF is that of leat_arch_of_pef().

// Writes all of these that the file has into `folder`, which exists. LEAT_IO, LEAT_OUT_OF_MEMORY.
leat_status_t leat_report_write(const leat_pef_t *pef, const leat_arch_t *arch, const char *folder) LEAT_MUST_USE;
// Writes the picture; the ending of `path` says which: ".svg" or ".dot". LEAT_INVALID_ARGUMENT for any other.
leat_status_t leat_report_write_graph(const leat_pef_t *pef, const leat_arch_t *arch, const char *path) LEAT_MUST_USE;

// Each report as text; out->failed is set when out of memory.
leat_status_t leat_report_dot(const leat_flow_t *flow, const leat_arch_t *arch, leat_text_t *out) LEAT_MUST_USE;
leat_status_t leat_report_svg(const leat_flow_t *flow, const leat_arch_t *arch, leat_text_t *out) LEAT_MUST_USE;
leat_status_t leat_report_sections(const leat_flow_t *flow, const leat_arch_t *arch, leat_text_t *out) LEAT_MUST_USE;
leat_status_t leat_report_memory(const leat_flow_t *flow, const leat_arch_t *arch, leat_text_t *out) LEAT_MUST_USE;
// The picture of bodies on a chip; empty of a file that none is planned for.
leat_status_t leat_report_floorplan(const leat_flow_t *flow, const leat_arch_t *arch, leat_text_t *out) LEAT_MUST_USE;
// CSV, a row a stage of every body: its operands, what it computes, and the bytes that it touches outside of the tile
// and in it, of one call and all its rows.
void leat_report_stages(const leat_pef_t *pef, leat_text_t *out);

double leat_report_roofline_seconds(const leat_flow_t *flow, const leat_arch_t *arch, uint32_t call,
                                    bool *out_memory_bound);

#endif
