// SPDX-License-Identifier: Apache-2.0
// A system that runs out: the n-th request for memory, a mapping or a thread fails, once. The requests of the whole
// program come here by the linker (-Wl,--wrap), those of cJSON by its hooks; what lives is counted, so that a leak
// shows at once in every build.
#ifndef LEAT_TESTS_SCARCE_H_
#define LEAT_TESTS_SCARCE_H_

#include <stdbool.h>
#include <stdint.h>

void scarce_init(void);
// From now on the n-th request of this thread fails; 0: none. Requests are counted from here.
void scarce_fail_after(uint64_t n);
// Ends that; true if a request was refused.
bool scarce_end(void);
bool scarce_refused_json(void);  // it was cJSON's, which does not say why it fails: a reader calls the file damaged
uint64_t scarce_requests(void);  // since scarce_fail_after
int64_t scarce_live(void);       // blocks and mappings of this thread that were not released
// No memory may be executable, as some systems have it.
void scarce_deny_executable(bool deny);

#endif
