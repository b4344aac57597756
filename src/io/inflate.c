// SPDX-License-Identifier: Apache-2.0
// See inflate.h. zlib counts in 32 bits, so both sides are fed in chunks.
#include "io/inflate.h"

#define ZLIB_CONST
#include <zlib.h>

#define CHUNK ((size_t)1 << 30)

bool leat_inflate_plausible(size_t in_bytes, uint64_t out_bytes) {
  return out_bytes / LEAT_INFLATE_RATIO <= (uint64_t)in_bytes;
}

static uInt take(size_t *left) {
  const size_t chunk = *left < CHUNK ? *left : CHUNK;
  *left -= chunk;
  return (uInt)chunk;
}

// Runs the stream until the output is full or the stream ends; true when it stands at its end.
static bool pump(z_stream *stream, size_t in_left, size_t out_left, bool complete, bool *out_ended) {
  uint8_t spare = 0;  // with a full output, zlib still has to read the end mark
  for (;;) {
    if (stream->avail_in == 0) stream->avail_in = take(&in_left);
    if (stream->avail_out == 0) stream->avail_out = take(&out_left);
    const bool full = stream->avail_out == 0;
    if (full && !complete) return true;
    if (full) {
      stream->next_out = &spare;
      stream->avail_out = 1;
    }
    const int code = inflate(stream, Z_NO_FLUSH);
    *out_ended = code == Z_STREAM_END;
    if (full && stream->avail_out == 0) return false;  // more data than was promised
    if (full) stream->avail_out = 0;
    if (*out_ended) return stream->avail_out == 0 && out_left == 0;
    if (code != Z_OK) return false;
  }
}

leat_status_t leat_inflate(const uint8_t *in, size_t in_bytes, enum leat_inflate_form form, bool complete, uint8_t *out,
                           size_t out_bytes) {
  z_stream stream = {.next_in = in, .next_out = out};
  if (inflateInit2(&stream, form == LEAT_INFLATE_GZIP ? 15 + 16 : -15) != Z_OK) {
    LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory to decompress");
  }
  bool ended = false;
  const bool filled = pump(&stream, in_bytes, out_bytes, complete, &ended);
  inflateEnd(&stream);
  if (!filled || (complete && !ended)) {
    LEAT_FAIL(LEAT_CORRUPT, "compressed data are damaged or not %zu bytes long", out_bytes);
  }
  return NULL;
}
