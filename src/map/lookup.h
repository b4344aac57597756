// SPDX-License-Identifier: Apache-2.0
// Lookups in parameters that lie in panels, as the products want them that read them as well: a table that is the head
// of a language model, too. A row is in as many pieces there as it has elements, so the GATHER moves elements, and a
// call before its section computes where each is.
#ifndef LEAT_MAP_LOOKUP_H_
#define LEAT_MAP_LOOKUP_H_

#include "map/decide.h"

// Whether `use` looks up whole rows, and could do so if the parameter lay as `pack` does.
bool leat_lookup_fits(const leat_decided_t *d, const leat_pack_t *pack, leat_use_t use);
// Once parameters have become packs: those lookups, and their calls.
leat_status_t leat_lookups_redirect(leat_decided_t *d) LEAT_MUST_USE;

#endif
