// SPDX-License-Identifier: Apache-2.0
// The name that was probably meant, for messages about misspelt ops, attributes, keys of rule files.
#ifndef LEAT_IR_SUGGEST_H_
#define LEAT_IR_SUGGEST_H_

#include "ir/graph.h"

// "; did you mean 'linear'?", or "" when nothing is near; into `buffer`.
const char *leat_suggest_op(const char *text, size_t length, char *buffer, size_t buffer_bytes);
// "; did you mean 'dim'?", or, when nothing is near, "; it takes: dim keepdim".
const char *leat_suggest_attr(uint32_t kind, const char *text, size_t length, char *buffer, size_t buffer_bytes);
// "; did you mean 'priority'?" from a list of names, or "" when nothing is near. A NULL name is passed over.
const char *leat_suggest_name(const char *const *names, size_t name_count, const char *text, size_t length,
                              char *buffer, size_t buffer_bytes);

#endif
