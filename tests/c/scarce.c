// SPDX-License-Identifier: Apache-2.0
// See scarce.h.
#include "scarce.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <zlib.h>

static _Thread_local uint64_t countdown, requests;
static _Thread_local int64_t live;
static _Thread_local bool refused, refused_json;
static bool executable_denied;

void scarce_fail_after(uint64_t n) {
  countdown = n;
  requests = 0;
  refused = refused_json = false;
}

bool scarce_end(void) {
  countdown = 0;
  return refused;
}

bool scarce_refused_json(void) { return refused_json; }

uint64_t scarce_requests(void) { return requests; }
int64_t scarce_live(void) { return live; }
void scarce_deny_executable(bool deny) { executable_denied = deny; }

static bool fails(void) {
  ++requests;
  if (countdown == 0 || --countdown != 0) return false;
  errno = ENOMEM;
  return refused = true;
}

static void *counted(void *block) {
  live += block != NULL;
  return block;
}

#define REAL(type, name, ...)      \
  type __real_##name(__VA_ARGS__); \
  type __wrap_##name(__VA_ARGS__)

REAL(void *, aligned_alloc, size_t alignment, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes) {
  return fails() ? NULL : counted(__real_aligned_alloc(alignment, bytes));
}

REAL(void, leat_free, void *block);
void __wrap_leat_free(void *block) {
  live -= block != NULL;
  __real_leat_free(block);
}

static void *json_malloc(size_t bytes) {
  if (fails()) return refused_json = true, NULL;
  return counted(malloc(bytes));
}
static void json_free(void *block) {
  live -= block != NULL;
  free(block);
}

// Objects built for large files ask for mmap64, libxsmm for mmap.
REAL(void *, mmap64, void *at, size_t bytes, int protection, int flags, int file, off_t offset);
void *__wrap_mmap64(void *at, size_t bytes, int protection, int flags, int file, off_t offset) {
  if (fails() || (executable_denied && (protection & PROT_EXEC) != 0)) {
    errno = ENOMEM;
    return MAP_FAILED;
  }
  void *pages = __real_mmap64(at, bytes, protection, flags, file, offset);
  live += pages != MAP_FAILED;
  return pages;
}

void *__wrap_mmap(void *at, size_t bytes, int protection, int flags, int file, off_t offset);
void *__wrap_mmap(void *at, size_t bytes, int protection, int flags, int file, off_t offset) {
  return __wrap_mmap64(at, bytes, protection, flags, file, offset);
}

REAL(int, munmap, void *at, size_t bytes);
int __wrap_munmap(void *at, size_t bytes) {
  const int result = __real_munmap(at, bytes);
  live -= result == 0;
  return result;
}

REAL(int, pthread_create, pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument) {
  return fails() ? EAGAIN : __real_pthread_create(thread, attributes, start, argument);
}

REAL(int, inflateInit2_, z_stream *stream, int window, const char *version, int stream_bytes);
int __wrap_inflateInit2_(z_stream *stream, int window, const char *version, int stream_bytes) {
  return fails() ? Z_MEM_ERROR : __real_inflateInit2_(stream, window, version, stream_bytes);
}

void scarce_init(void) { cJSON_InitHooks(&(cJSON_Hooks){.malloc_fn = json_malloc, .free_fn = json_free}); }
