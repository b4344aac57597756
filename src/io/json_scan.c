// SPDX-License-Identifier: Apache-2.0
// See json_scan.h.
#include "io/json_scan.h"

static void skip_space(leat_json_scan_t *scan) {
  while (scan->at < scan->end && (*scan->at == ' ' || *scan->at == '\t' || *scan->at == '\n' || *scan->at == '\r')) {
    ++scan->at;
  }
}

bool leat_json_mark(leat_json_scan_t *scan, char mark) {
  skip_space(scan);
  if (scan->at == scan->end || *scan->at != mark) return false;
  ++scan->at;
  return true;
}

// --- strings -----------------------------------------------------------------------------------------------------

static bool take_hex4(leat_json_scan_t *scan, uint32_t *out_unit) {
  if (scan->end - scan->at < 4) return false;
  *out_unit = 0;
  for (int i = 0; i < 4; ++i) {
    const char c = *scan->at++;
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) return false;
    *out_unit = *out_unit << 4 | (uint32_t)digit;
  }
  return true;
}

// The code point of \uXXXX, or of a pair of surrogates.
static bool take_unicode(leat_json_scan_t *scan, uint32_t *out_code) {
  uint32_t low = 0;
  if (!take_hex4(scan, out_code)) return false;
  if (*out_code < 0xd800 || *out_code > 0xdfff) return *out_code != 0;
  if (*out_code > 0xdbff || scan->end - scan->at < 2 || scan->at[0] != '\\' || scan->at[1] != 'u') return false;
  scan->at += 2;
  if (!take_hex4(scan, &low) || low < 0xdc00 || low > 0xdfff) return false;
  *out_code = 0x10000 + ((*out_code - 0xd800) << 10) + (low - 0xdc00);
  return true;
}

static void put_utf8(leat_text_t *out, uint32_t code) {
  char bytes[4];
  size_t count = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  static const uint8_t lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
  for (size_t i = count; i-- > 1; code >>= 6) bytes[i] = (char)(0x80 | (code & 0x3f));
  bytes[0] = (char)(lead[count] | code);
  leat_text_put_bytes(out, bytes, count);
}

static bool take_escape(leat_json_scan_t *scan, leat_text_t *out) {
  static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
  if (scan->at == scan->end) return false;
  const char c = *scan->at++;
  if (c == 'u') {
    uint32_t code = 0;
    if (!take_unicode(scan, &code)) return false;
    put_utf8(out, code);
    return true;
  }
  const char *found = c == '\0' ? NULL : strchr(from, c);
  if (found == NULL) return false;
  leat_text_put_bytes(out, &to[found - from], 1);
  return true;
}

static bool is_utf8(const leat_text_t *text) {
  for (const char *at = text->data; *at != '\0';) {
    const uint32_t length = leat_utf8_length(at);
    if (length == 0) return false;
    at += length;
  }
  return true;
}

bool leat_json_string(leat_json_scan_t *scan, leat_text_t *out) {
  out->length = 0;
  leat_text_put_bytes(out, "", 0);
  if (!leat_json_mark(scan, '"')) return false;
  while (scan->at < scan->end && *scan->at != '"') {
    const char *run = scan->at;
    while (scan->at < scan->end && *scan->at != '"' && *scan->at != '\\' && (unsigned char)*scan->at >= ' ') ++scan->at;
    leat_text_put_bytes(out, run, (size_t)(scan->at - run));
    if (scan->at == scan->end || (unsigned char)*scan->at < ' ') return false;
    if (*scan->at == '"') break;
    ++scan->at;
    if (!take_escape(scan, out)) return false;
  }
  if (scan->at == scan->end || out->failed) return false;
  ++scan->at;
  return is_utf8(out);
}

// --- other values ------------------------------------------------------------------------------------------------

bool leat_json_size(leat_json_scan_t *scan, int64_t *out_size) {
  const int64_t limit = INT64_C(1) << 53;
  skip_space(scan);
  const char *first = scan->at;
  *out_size = 0;
  for (; scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9'; ++scan->at) {
    *out_size = *out_size * 10 + (*scan->at - '0');
    if (*out_size > limit) return false;
  }
  const size_t digits = (size_t)(scan->at - first);
  return digits == 1 || (digits > 1 && *first != '0');
}

static bool skip_string(leat_json_scan_t *scan) {
  for (++scan->at; scan->at < scan->end; ++scan->at) {
    if (*scan->at == '"') return ++scan->at, true;
    if (*scan->at == '\\' && ++scan->at == scan->end) return false;
  }
  return false;
}

bool leat_json_skip(leat_json_scan_t *scan) {
  size_t depth = 0;
  bool any = false;  // something was passed over since the value began
  for (skip_space(scan); scan->at < scan->end; skip_space(scan)) {
    const char c = *scan->at;
    const bool closes = c == '}' || c == ']';
    if (depth == 0 && (closes || c == ',')) return any;
    if (c == '"') {
      if (!skip_string(scan)) return false;
    } else {
      ++scan->at;
      depth += c == '{' || c == '[';
      depth -= closes;
    }
    any = true;
  }
  return any && depth == 0;
}

bool leat_json_end(leat_json_scan_t *scan) {
  while (scan->at < scan->end &&
         (*scan->at == '\0' || *scan->at == ' ' || *scan->at == '\n' || *scan->at == '\t' || *scan->at == '\r')) {
    ++scan->at;
  }
  return scan->at == scan->end;
}
