// SPDX-License-Identifier: Apache-2.0
// Status objects: a code and an owned message. Running out of memory must be reportable without memory: where there is
// none for a message, the status is a constant that nobody frees.
#include <stdio.h>

#include "base/base.h"

struct leat_status_s {
  int code;
  const char *message;  // allocated with the object
};

static const struct leat_status_s out_of_memory = {LEAT_OUT_OF_MEMORY, "out of memory"};

static leat_status_t static_status(void) { return (leat_status_t)&out_of_memory; }

leat_status_t leat_out_of_memory(void) { return static_status(); }

// A status with room for a message of `length` characters, which the caller writes; NULL when out of memory.
static leat_status_t status_alloc(int code, size_t length, char **out_message) {
  size_t bytes;
  if (!leat_size_add(sizeof(struct leat_status_s) + 1, length, &bytes)) return NULL;
  leat_status_t status = leat_alloc(bytes);
  if (status == NULL) return NULL;
  *out_message = (char *)(status + 1);
  *status = (struct leat_status_s){code, *out_message};
  return status;
}

static size_t formatted_length(const char *format, va_list arguments) {
  va_list copy;
  va_copy(copy, arguments);
  int length = vsnprintf(NULL, 0, format, copy);
  va_end(copy);
  return length < 0 ? 0 : (size_t)length;
}

leat_status_t leat_status_make(int code, const char *format, ...) {
  assert(code != LEAT_OK);
  va_list arguments;
  va_start(arguments, format);
  size_t length = formatted_length(format, arguments);
  char *message;
  leat_status_t status = status_alloc(code, length, &message);
  if (status != NULL) (void)vsnprintf(message, length + 1, format, arguments);
  va_end(arguments);
  return status != NULL ? status : static_status();
}

leat_status_t leat_status_annotate(leat_status_t status, const char *format, ...) {
  if (status == NULL) return NULL;
  va_list arguments;
  va_start(arguments, format);
  size_t context = formatted_length(format, arguments);
  size_t rest = strlen(status->message);
  char *message;
  leat_status_t longer = status_alloc(status->code, context + 2 + rest, &message);
  if (longer != NULL) {
    (void)vsnprintf(message, context + 1, format, arguments);
    memcpy(message + context, ": ", 2);
    memcpy(message + context + 2, status->message, rest + 1);
    leat_status_free(status);
  }
  va_end(arguments);
  return longer != NULL ? longer : status;
}

LEAT_EXPORT int leat_status_code(leat_status_t status) { return status == NULL ? LEAT_OK : status->code; }

LEAT_EXPORT const char *leat_status_message(leat_status_t status) { return status == NULL ? "" : status->message; }

LEAT_EXPORT void leat_status_free(leat_status_t status) {
  if (status != static_status()) leat_free(status);
}
