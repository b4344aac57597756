// SPDX-License-Identifier: Apache-2.0
// The metadata of a PEF is one JSON object in canonical form: compact, keys of every object sorted by their bytes.
#ifndef LEAT_PEF_JSON_H_
#define LEAT_PEF_JSON_H_

#include "base/base.h"

// Canonical form of the JSON object in `text` (need not end in NUL); release with leat_free. LEAT_INVALID_ARGUMENT
// when `text` is not one JSON object.
leat_status_t leat_pef_json_canonical(const char *text, size_t text_bytes, char **out_text) LEAT_MUST_USE;

#endif
