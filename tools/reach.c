// SPDX-License-Identifier: Apache-2.0
// Linked to a build with -finstrument-functions (tools/reach.py): notes which functions a process enters.
// (with -Bsymbolic, since libc has empty hooks of the same names). LEAT_REACH names a folder: a process that ends
// writes there, a line a function, its object file and offset in it.
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { SLOTS = 1 << 17 };  // many times the functions that there are: never full

static _Atomic(uintptr_t) seen[SLOTS];

void __cyg_profile_func_enter(void *function, void *site);
void __cyg_profile_func_exit(void *function, void *site);
void leat_reach_write(const char *folder);

void __cyg_profile_func_enter(void *function, void *site) {
  (void)site;
  const uintptr_t at = (uintptr_t)function;
  for (size_t slot = (at >> 2) % SLOTS;; slot = (slot + 1) % SLOTS) {
    uintptr_t there = atomic_load_explicit(&seen[slot], memory_order_relaxed);
    if (there == at) return;
    if (there == 0 && (atomic_compare_exchange_strong(&seen[slot], &there, at) || there == at)) return;
  }
}

void __cyg_profile_func_exit(void *function, void *site) { (void)function, (void)site; }

// Adds what was entered since the last call to a file of this process in `folder`.
void leat_reach_write(const char *folder) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%ld", folder, (long)getpid());
  FILE *file = fopen(path, "a");
  if (file == NULL) return;
  for (size_t slot = 0; slot < SLOTS; slot++) {
    const uintptr_t at = atomic_exchange(&seen[slot], 0);
    Dl_info info;
    if (at == 0 || dladdr((void *)at, &info) == 0) continue;
    fprintf(file, "%s %zx\n", info.dli_fname, (size_t)(at - (uintptr_t)info.dli_fbase));
  }
  fclose(file);
}

__attribute__((destructor)) static void write_at_end(void) {
  if (getenv("LEAT_REACH") != NULL) leat_reach_write(getenv("LEAT_REACH"));
}
