// SPDX-License-Identifier: Apache-2.0
// Parameters that only PREPARE sections read, once these have run: they wait for whoever reads or writes them, and for
// the next change. Paged out, they are in a file without a name, of which the program's memory is a private mapping:
// reads find the same values, writes make memory of the process again, and addresses stay.
#ifndef LEAT_RUN_PAGED_H_
#define LEAT_RUN_PAGED_H_

#include "run/program.h"

// Before a run that prepares nothing. From the third on after a change they are paged out, if the program was loaded
// with a folder for that, which does not lie in memory and has room: otherwise they stay where they are.
void leat_run_page_out(leat_program_t *program);

#endif
