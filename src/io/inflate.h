// SPDX-License-Identifier: Apache-2.0
// Decompression into a block of known size, by zlib. A file cannot ask for more memory than its length allows: deflate
// cannot grow data by more than LEAT_INFLATE_RATIO.
#ifndef LEAT_IO_INFLATE_H_
#define LEAT_IO_INFLATE_H_

#include "base/base.h"

enum { LEAT_INFLATE_RATIO = 1032 };
enum leat_inflate_form { LEAT_INFLATE_RAW, LEAT_INFLATE_GZIP };

// Could `in_bytes` of compressed data yield `out_bytes`?
bool leat_inflate_plausible(size_t in_bytes, uint64_t out_bytes);
// Fills `out` with exactly `out_bytes`. `complete`: the stream must end there (and its checksum fit); else more may
// follow. LEAT_CORRUPT when it does not.
leat_status_t leat_inflate(const uint8_t *in, size_t in_bytes, enum leat_inflate_form form, bool complete, uint8_t *out,
                           size_t out_bytes) LEAT_MUST_USE;

#endif
