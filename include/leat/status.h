// SPDX-License-Identifier: Apache-2.0
// Status: what every fallible function of libleat returns.
//
// NULL is success. Anything else owns a message chain ("compile lenet: section 7: ...") and must be
// released with leat_status_free. The library never prints and never exits; a caller shows the message.
// Thread rule: a status belongs to the thread that got it.
#ifndef LEAT_STATUS_H_
#define LEAT_STATUS_H_

typedef struct leat_status_s *leat_status_t;

// Codes are stable: they appear in exit codes of the command and choose the Python exception.
enum {
  LEAT_OK = 0,
  LEAT_INVALID_ARGUMENT = 1,  // a value the caller passed is wrong (name, dtype, shape, option)
  LEAT_NOT_FOUND = 2,         // a file, symbol or hyperparameter does not exist
  LEAT_CORRUPT = 3,           // a file is truncated, mutated or not what it says it is
  LEAT_UNSUPPORTED = 4,       // legal, but this build does not do it (op, dtype, format version)
  LEAT_OUT_OF_MEMORY = 5,
  LEAT_IO = 6,            // the operating system refused (errno text is in the message)
  LEAT_MISMATCH = 7,      // PEF and program do not belong together
  LEAT_OUT_OF_RANGE = 9,  // an index, class label or divisor that a run met is not legal; nothing was updated
  LEAT_INTERNAL = 8       // an invariant of libleat itself does not hold: please report
};

// The code of `status`; LEAT_OK for NULL.
int leat_status_code(leat_status_t status);
// The message, outermost context first; "" for NULL. Borrowed while `status` lives.
const char *leat_status_message(leat_status_t status);
void leat_status_free(leat_status_t status);

// Releases a string that a function of the library gave away; NULL is fine.
void leat_string_free(char *text);

#endif
