// SPDX-License-Identifier: Apache-2.0
// What every C test includes first: cmocka with the headers it wants before it, and checks of statuses.
#ifndef LEAT_TESTS_CHECK_H_
#define LEAT_TESTS_CHECK_H_

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
// clang-format on

#include "leat/status.h"

// The call succeeds; otherwise its message is the failure.
#define assert_ok(call)                                                            \
  do {                                                                             \
    leat_status_t check_status_ = (call);                                          \
    if (check_status_ != NULL) fail_msg("%s", leat_status_message(check_status_)); \
  } while (0)

// The call fails with `code` and a message that contains `part`.
#define assert_fails(call, code, part)                                                                                \
  do {                                                                                                                \
    leat_status_t check_status_ = (call);                                                                             \
    if (leat_status_code(check_status_) != (code) || strstr(leat_status_message(check_status_), part) == NULL)        \
      fail_msg("expected code %d and '%s', got code %d and '%s'", (int)(code), part, leat_status_code(check_status_), \
               leat_status_message(check_status_));                                                                   \
    leat_status_free(check_status_);                                                                                  \
  } while (0)

#endif
