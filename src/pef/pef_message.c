// SPDX-License-Identifier: Apache-2.0
// What is wrong with a file, in words: all checks end here.
#include <stdio.h>

#include "pef/pef_check.h"

leat_status_t leat_pef_corrupt(const char *format, ...) {
  char what[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(what, sizeof what, format, arguments);
  va_end(arguments);
  return leat_status_make(LEAT_CORRUPT, "%s", what);
}

leat_status_t leat_pef_conclude(const leat_pef_t *pef, leat_status_t status) {
  if (leat_status_code(status) != LEAT_CORRUPT) return status;
  leat_status_t concluded =
      leat_pef_is_newer(pef)
          ? leat_status_make(LEAT_UNSUPPORTED,
                             "%s; format version %u.%u may have that, this library knows %u.%u: update the library, "
                             "or compile again with it",
                             leat_status_message(status), pef->version_major, pef->version_minor, PEF_VERSION_MAJOR,
                             PEF_VERSION_MINOR)
          : leat_status_make(LEAT_CORRUPT, "%s; the file is damaged, compile again", leat_status_message(status));
  leat_status_free(status);
  return concluded;
}

pef_label_t leat_pef_label(const pef_stage_site_t *site, uint32_t index) {
  pef_label_t label;
  const pef_operand_row_t *row = leat_pef_operand_row(site->stage->kind, index);
  if ((row->traits & PEF_MANY) != 0) {
    (void)snprintf(label.text, sizeof label.text, "%s %u", row->name, index);
  } else {
    (void)snprintf(label.text, sizeof label.text, "operand '%s'", row->name);
  }
  return label;
}
