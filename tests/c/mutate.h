// SPDX-License-Identifier: Apache-2.0
// Mutations of files, for tests of readers: blind ones of bytes, and ones that know a format. Mending a file makes its
// checksums and lengths true again, so that what lies behind them is reached. Everything follows from a seed.
#ifndef LEAT_TESTS_MUTATE_H_
#define LEAT_TESTS_MUTATE_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// A file under mutation, in a buffer of `capacity` bytes.
typedef struct mutant_s {
  uint8_t *data;
  size_t bytes, capacity;
  uint64_t random;  // state of mutate_random
} mutant_t;

uint64_t mutate_random(mutant_t *mutant);
uint64_t mutate_below(mutant_t *mutant, uint64_t limit);  // uniform in [0, limit); 0 for limit 0
uint64_t mutate_boundary(mutant_t *mutant);               // 0, 1, a power of two, an extreme, or one beside those
bool mutate_insert(mutant_t *mutant, size_t at, const void *data, size_t bytes);  // false: no room
void mutate_remove(mutant_t *mutant, size_t at, size_t bytes);

// One mutation of any bytes: bits, numbers of 1 to 8 bytes, pieces copied, moved, removed, added; the end cut off.
void mutate_bytes(mutant_t *mutant);
// One mutation of text (JSON, pickled dictionaries of npy, graphs): also whole numbers, words and marks.
void mutate_text(mutant_t *mutant);
// One mutation of a PEF whose container is still valid: fields of records, whole records, segments, the table.
void mutate_pef(mutant_t *mutant);

void mend_pef(mutant_t *mutant);          // file size, hashes of table and segments
void mend_zip(mutant_t *mutant);          // checksums of stored entries
void mend_gzip(mutant_t *mutant);         // a plain file becomes a gzip file
void mend_safetensors(mutant_t *mutant);  // length of the header
void mend_npy(mutant_t *mutant);          // length of the header

#endif
