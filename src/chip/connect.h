// SPDX-License-Identifier: Apache-2.0
// The netlist of an allocation: a PCU, PMU or port of an AGCU for each that it has counted, and what flows between them
// in one interval.
//
// What a stage makes goes from each of its PCUs, as one net, to the part that it fills in all that hold it: a value
// that several stages read leaves its PCU once. What a stage reads comes in as many parts as its PCUs are cut in; a
// part goes as one net to all PCUs that share it. Those of a product of along_m x along_n PCUs share the first edge
// along n, and the others along m; where along_n is 1 all is cut along m. A stage that reads values several times
// (vectors_in is more than its edges carry) takes them from its PMUs as often. DDR is reached by ports, one for each
// vector a cycle that is begun; by one an edge where a chip has fewer ports than that, and where it has fewer ports
// than there are edges, those that follow each other take turns at one.
#ifndef LEAT_CHIP_CONNECT_H_
#define LEAT_CHIP_CONNECT_H_

#include "chip/allocate.h"
#include "chip/netlist.h"

// Copies of a tile of rows that an edge keeps in its PMUs, if it has any.
uint32_t leat_chip_copies(const leat_chip_edge_t *edge);
// `ports`: that the chip has in the tiles of a part, at least 1. LEAT_OUT_OF_MEMORY.
leat_status_t leat_chip_connect(const leat_chip_allocation_t *allocation, uint32_t ports,
                                leat_chip_netlist_t *out_netlist) LEAT_MUST_USE;

#endif
