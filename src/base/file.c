// SPDX-License-Identifier: Apache-2.0
// Whole files: mapped or copied for reading; written aside, synced and renamed, so that a reader sees the old or the
// new bytes.
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"

// The message of the operating system for `error`; thread-safe (GNU strerror_r).
#define ERROR_TEXT(error) strerror_r((error), (char[128]){0}, 128)

static leat_status_t map_open_file(int file, const char *path, leat_mapping_t *out_mapping) {
  struct stat facts;
  if (fstat(file, &facts) != 0) LEAT_FAIL(LEAT_IO, "cannot read '%s': %s", path, ERROR_TEXT(errno));
  if (!S_ISREG(facts.st_mode)) LEAT_FAIL(LEAT_INVALID_ARGUMENT, "'%s' is not a regular file", path);
  if (facts.st_size == 0) return NULL;  // an empty mapping: mmap refuses length 0
  void *data = mmap(NULL, (size_t)facts.st_size, PROT_READ, MAP_PRIVATE, file, 0);
  if (data == MAP_FAILED) LEAT_FAIL(LEAT_IO, "cannot map '%s': %s", path, ERROR_TEXT(errno));
  *out_mapping = (leat_mapping_t){data, (size_t)facts.st_size};
  return NULL;
}

static leat_status_t open_to_read(const char *path, int *out_file) {
  *out_file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a pipe without a writer would be waited for
  if (*out_file >= 0) return NULL;
  int code = errno == ENOENT ? LEAT_NOT_FOUND : LEAT_IO;
  LEAT_FAIL(code, "cannot open '%s': %s", path, ERROR_TEXT(errno));
}

leat_status_t leat_file_map(const char *path, leat_mapping_t *out_mapping) {
  *out_mapping = (leat_mapping_t){0};
  int file;
  LEAT_TRY(open_to_read(path, &file));
  leat_status_t status = map_open_file(file, path, out_mapping);
  (void)close(file);
  return status;
}

// `bytes` bytes from the start of the file.
static leat_status_t read_all(int file, const char *path, uint8_t *data, size_t bytes) {
  for (size_t done = 0; done < bytes;) {
    ssize_t got = read(file, data + done, bytes - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) LEAT_FAIL(LEAT_IO, "cannot read '%s': %s", path, ERROR_TEXT(errno));
    if (got == 0) LEAT_FAIL(LEAT_IO, "cannot read '%s': it became shorter while it was read", path);
    done += (size_t)got;
  }
  return NULL;
}

static leat_status_t read_open_file(int file, const char *path, uint8_t **out_data, size_t *out_bytes) {
  struct stat facts;
  if (fstat(file, &facts) != 0) LEAT_FAIL(LEAT_IO, "cannot read '%s': %s", path, ERROR_TEXT(errno));
  if (!S_ISREG(facts.st_mode)) LEAT_FAIL(LEAT_INVALID_ARGUMENT, "'%s' is not a regular file", path);
  const size_t bytes = (size_t)facts.st_size;
  uint8_t *data = leat_alloc(bytes == 0 ? 1 : bytes);
  if (data == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for the %zu bytes of '%s'", bytes, path);
  leat_status_t status = read_all(file, path, data, bytes);
  if (status != NULL) {
    leat_free(data);
    return status;
  }
  *out_data = data;
  *out_bytes = bytes;
  return NULL;
}

leat_status_t leat_file_read(const char *path, uint8_t **out_data, size_t *out_bytes) {
  *out_data = NULL;
  *out_bytes = 0;
  int file;
  LEAT_TRY(open_to_read(path, &file));
  leat_status_t status = read_open_file(file, path, out_data, out_bytes);
  (void)close(file);
  return status;
}

void leat_file_unmap(leat_mapping_t *mapping) {
  if (mapping->data_bytes != 0) (void)munmap((void *)mapping->data, mapping->data_bytes);
  *mapping = (leat_mapping_t){0};
}

// 0 or an errno; *out_missing: bytes that were not written.
static int write_all(int file, const uint8_t *data, size_t bytes, size_t *out_missing) {
  *out_missing = bytes;
  while (bytes != 0) {
    ssize_t written = write(file, data, bytes);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno;
    data += written;
    *out_missing = bytes -= (size_t)written;
  }
  return 0;
}

static int write_and_close(int file, const void *data, size_t bytes, bool durable, size_t *out_missing) {
  int error = write_all(file, data, bytes, out_missing);
  if (error == 0 && durable && fsync(file) != 0) error = errno;
  if (close(file) != 0 && error == 0) error = errno;
  return error;
}

// Opens a new file beside `path`, whose name goes to `aside`: neither one that a killed process left nor one that
// another thread is writing, and no link. A descriptor, or -1 with errno set.
static int open_aside(const char *path, leat_text_t *aside) {
  enum { TRIES = 1000 };
  for (int i = 0; i < TRIES; ++i) {
    aside->length = 0;
    leat_text_put(aside, "%s.tmp.%ld.%d", path, (long)getpid(), i);
    if (aside->failed) return errno = ENOMEM, -1;
    const int file = open(aside->data, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file >= 0 || errno != EEXIST) return file;
  }
  return -1;
}

// Makes the rename itself durable. A file system that cannot sync folders (EINVAL) has nothing to make durable.
static int sync_folder(char *path) {
  char *slash = strrchr(path, '/');
  if (slash != NULL) slash[slash == path ? 1 : 0] = '\0';
  int folder = open(slash != NULL ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return errno;
  int error = fsync(folder) == 0 || errno == EINVAL ? 0 : errno;
  (void)close(folder);
  return error;
}

// Writes aside and renames; 0 or an errno.
static int replace_file(const char *path, leat_text_t *aside, const void *data, size_t data_bytes, bool durable,
                        size_t *out_missing) {
  const int file = open_aside(path, aside);
  if (file < 0) return errno;
  int error = write_and_close(file, data, data_bytes, durable, out_missing);
  if (error == 0 && rename(aside->data, path) != 0) error = errno;
  if (error == 0) return durable ? sync_folder(aside->data) : 0;
  (void)unlink(aside->data);
  return error;
}

static leat_status_t write_file(const char *path, const void *data, size_t data_bytes, bool durable) {
  char target[PATH_MAX];
  struct stat facts;
  if (stat(path, &facts) == 0 && !S_ISREG(facts.st_mode)) {
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "cannot write '%s': it exists and is not a regular file", path);
  }
  leat_text_t aside = {0};
  size_t missing = 0;
  const char *real = realpath(path, target) != NULL ? target : path;
  const int error = replace_file(real, &aside, data, data_bytes, durable, &missing);
  leat_text_deinit(&aside);
  if ((error == ENOSPC || error == EDQUOT || error == EFBIG) && missing != 0) {
    LEAT_FAIL(LEAT_IO, "cannot write '%s': %s: %zu of %zu bytes are missing; make room or name another folder", path,
              ERROR_TEXT(error), missing, data_bytes);
  }
  if (error == ENOMEM) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "cannot write '%s': out of memory", path);
  if (error != 0)
    LEAT_FAIL(error == ENOENT ? LEAT_NOT_FOUND : LEAT_IO, "cannot write '%s': %s", path, ERROR_TEXT(error));
  return NULL;
}

leat_status_t leat_file_write_atomic(const char *path, const void *data, size_t data_bytes) {
  return write_file(path, data, data_bytes, true);
}

leat_status_t leat_file_write_report(const char *path, const void *data, size_t data_bytes) {
  return write_file(path, data, data_bytes, false);
}

leat_status_t leat_file_write_text(const char *folder, const char *file, const leat_text_t *text) {
  leat_text_t path = {0};
  leat_text_put(&path, "%s/%s", folder, file);
  leat_status_t status = NULL;
  if (path.failed || text->failed)
    status = leat_status_make(LEAT_OUT_OF_MEMORY, "out of memory for %s", file);
  else
    status = leat_file_write_report(path.data, text->data, text->length);
  leat_text_deinit(&path);
  return status;
}
