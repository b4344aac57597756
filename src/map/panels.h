// SPDX-License-Identifier: Apache-2.0
// What products read through one pack, and nobody else but lookups (lookup.h), of a program that only infers, is in
// memory once: parameters lie as the pack would, and what is prepared goes when it is packed.
#ifndef LEAT_MAP_PANELS_H_
#define LEAT_MAP_PANELS_H_

#include "map/decide.h"

// Once all sections are drafted. Lookups in such parameters are redirected.
leat_status_t leat_panels_choose(leat_decided_t *d) LEAT_MUST_USE;

#endif
