// SPDX-License-Identifier: Apache-2.0
// Files that cannot be read or written as they should: every system call of writing fails, is cut short, or is the last
// one of a process that is killed. The old file stays whole, or the new one is whole; a failure leaves nothing beside
// it.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "io/idx.h"
#include "io/npy.h"
#include "io/weights.h"
#include "leat/compile.h"
#include "leat/runtime.h"
#include "pef/pef_read.h"
#include "samples.h"

// --- system calls that fail --------------------------------------------------------------------------------------

enum fault { FAULT_NONE, FAULT_ERROR, FAULT_KILL };
static enum fault fault;
static int fault_errno;
static uint64_t countdown;  // calls until the one that it strikes
static size_t write_max;    // bytes that one write takes; 0: all

static bool strikes(void) {
  if (countdown == 0 || --countdown != 0) return false;
  if (fault == FAULT_KILL) raise(SIGKILL);
  errno = fault_errno;
  return true;
}

ssize_t __real_write(int file, const void *data, size_t bytes);
ssize_t __wrap_write(int file, const void *data, size_t bytes);
ssize_t __wrap_write(int file, const void *data, size_t bytes) {
  const bool half = countdown == 1 && bytes > 1;  // what is killed or fails has written something
  const bool cut = write_max != 0 && bytes > write_max;
  if (half) (void)!__real_write(file, data, bytes / 2);
  return strikes() ? -1 : __real_write(file, data, cut ? write_max : bytes);
}

int __real_fsync(int file);
int __wrap_fsync(int file);
int __wrap_fsync(int file) { return strikes() ? -1 : __real_fsync(file); }

int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to) { return strikes() ? -1 : __real_rename(from, to); }

int __real_open64(const char *path, int flags, mode_t mode);
int __wrap_open64(const char *path, int flags, mode_t mode);
int __wrap_open64(const char *path, int flags, mode_t mode) {
  return (flags & O_ACCMODE) == O_WRONLY && strikes() ? -1 : __real_open64(path, flags, mode);
}

static int read_errno;  // of the next read, which fails; 0: none does

ssize_t __real_read(int file, void *data, size_t bytes);
ssize_t __wrap_read(int file, void *data, size_t bytes);
ssize_t __wrap_read(int file, void *data, size_t bytes) {
  if (read_errno == 0) return __real_read(file, data, bytes);
  errno = read_errno;
  read_errno = 0;
  return -1;
}

static void arm(enum fault kind, int code, uint64_t call) {
  fault = kind;
  fault_errno = code;
  countdown = call;
}

// --- a folder of its own -----------------------------------------------------------------------------------------

static char folder[64];
static char path[128];

static int enter(void **state) {
  (void)state;
  snprintf(folder, sizeof folder, "file_test.XXXXXX");
  if (mkdtemp(folder) == NULL) return -1;
  snprintf(path, sizeof path, "%s/program.pef", folder);
  return 0;
}

static uint32_t count_files(bool remove_all) {
  uint32_t count = 0;
  DIR *open_folder = opendir(folder);
  for (struct dirent *entry; (entry = readdir(open_folder)) != NULL;) {
    if (entry->d_name[0] == '.') continue;
    ++count;
    if (remove_all) unlinkat(dirfd(open_folder), entry->d_name, 0);
  }
  closedir(open_folder);
  return count;
}

static int leave(void **state) {
  (void)state;
  arm(FAULT_NONE, 0, 0);
  (void)count_files(true);
  return rmdir(folder);
}

// --- writing -----------------------------------------------------------------------------------------------------

static void assert_whole(void) {
  leat_pef_t *pef = NULL;
  assert_ok(leat_pef_open(path, &pef));
  leat_pef_close(pef);
}

static void failing_calls(void **state) {
  (void)state;
  static const int codes[] = {ENOSPC, EIO, EDQUOT, EFBIG};
  assert_ok(sample_compile("inference", 3, path));
  for (uint64_t call = 1; call <= 5; ++call) {
    for (size_t i = 0; i < sizeof codes / sizeof *codes; ++i) {
      arm(FAULT_ERROR, codes[i], call);
      leat_status_t status = sample_compile("losses", 3, path);
      const bool struck = countdown == 0;
      arm(FAULT_NONE, 0, 0);
      assert_int_equal(status != NULL, struck);
      if (struck) {
        assert_int_equal(leat_status_code(status), LEAT_IO);
        assert_non_null(strstr(leat_status_message(status), path));
        assert_non_null(strstr(leat_status_message(status), strerror(codes[i])));
      }
      leat_status_free(status);
      assert_whole();
      assert_int_equal(count_files(false), 1);
    }
  }
}

static void short_and_interrupted_writes(void **state) {
  (void)state;
  write_max = 100;
  assert_ok(sample_compile("losses", 3, path));
  write_max = 0;
  assert_whole();
  arm(FAULT_ERROR, EINTR, 2);  // the write
  leat_status_t status = leat_file_write_atomic(path, "x", 1);
  arm(FAULT_NONE, 0, 0);
  assert_null(status);
}

static int run_child(void (*work)(void)) {
  const pid_t child = fork();
  if (child == 0) {
    work();
    _exit(0);
  }
  int result = 0;
  assert_int_equal(waitpid(child, &result, 0), child);
  return result;
}

static void compile_losses(void) { leat_status_free(sample_compile("losses", 3, path)); }

static void killed_at_every_call(void **state) {
  (void)state;
  assert_ok(sample_compile("inference", 3, path));
  bool killed = true;
  for (uint64_t call = 1; killed; ++call) {
    arm(FAULT_KILL, 0, call);
    const int result = run_child(compile_losses);
    arm(FAULT_NONE, 0, 0);
    killed = WIFSIGNALED(result);
    assert_whole();
    assert_true(call < 10);
  }
  assert_ok(sample_compile("losses", 3, path));  // leftovers of killed processes are in nobody's way
  assert_whole();
}

static void write_with_little_room(void) {
  signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &(struct rlimit){.rlim_cur = 1000, .rlim_max = 1000});
  leat_status_t status = sample_compile("losses", 3, path);
  const bool good = leat_status_code(status) == LEAT_IO && strstr(leat_status_message(status), path) != NULL;
  leat_status_free(status);
  _exit(good ? 0 : 1);
}

static void no_room(void **state) {
  (void)state;
  assert_ok(sample_compile("inference", 3, path));
  assert_int_equal(run_child(write_with_little_room), 0);
  assert_whole();
  assert_int_equal(count_files(false), 1);
}

static void targets_that_are_no_files(void **state) {
  (void)state;
  char name[128];
  assert_fails(leat_file_write_atomic("/dev/null", "x", 1), LEAT_INVALID_ARGUMENT, "/dev/null");
  assert_fails(leat_file_write_atomic(folder, "x", 1), LEAT_INVALID_ARGUMENT, "not a regular file");
  snprintf(name, sizeof name, "%s/none/there", folder);
  assert_fails(leat_file_write_atomic(name, "x", 1), LEAT_NOT_FOUND, "none/there");
  snprintf(name, sizeof name, "%s/program.pef/below", folder);
  assert_ok(leat_file_write_atomic(path, "x", 1));
  assert_fails(leat_file_write_atomic(name, "x", 1), LEAT_IO, "below");
  assert_int_equal(count_files(false), 1);
}

// The file behind a link is written; the link stays one.
static void target_is_a_link(void **state) {
  (void)state;
  char name[128];
  struct stat facts;
  snprintf(name, sizeof name, "%s/link", folder);
  assert_ok(leat_file_write_atomic(path, "old", 3));
  assert_int_equal(symlink("program.pef", name), 0);
  assert_ok(leat_file_write_atomic(name, "newer", 5));
  assert_int_equal(lstat(name, &facts), 0);
  assert_true(S_ISLNK(facts.st_mode));
  assert_int_equal(stat(path, &facts), 0);
  assert_int_equal(facts.st_size, 5);
}

// --- reading -----------------------------------------------------------------------------------------------------

static leat_status_t read_pef(const char *name) {
  leat_program_t *program = NULL;
  leat_status_t status = leat_program_load(name, NULL, &program);
  assert_null(program);
  return status;
}

#define READ(name)                                             \
  static leat_status_t read_##name(const char *file) {         \
    leat_tensors_t *tensors = NULL;                            \
    leat_status_t status = leat_##name##_read(file, &tensors); \
    assert_null(tensors);                                      \
    return status;                                             \
  }
READ(weights)
READ(npy)
READ(idx)

static void assert_unreadable(const char *name, int code, const char *part) {
  static leat_status_t (*const readers[])(const char *) = {read_pef, read_weights, read_npy, read_idx};
  for (size_t i = 0; i < sizeof readers / sizeof *readers; ++i) {
    leat_status_t status = readers[i](name);
    const char *message = leat_status_message(status);
    if (leat_status_code(status) != code || strstr(message, part) == NULL || strstr(message, name) == NULL) {
      fail_msg("reader %zu: code %d, '%s'", i, leat_status_code(status), message);
    }
    leat_status_free(status);
  }
}

static void failing_and_interrupted_reads(void **state) {
  (void)state;
  uint8_t *data;
  size_t bytes;
  assert_ok(leat_file_write_atomic(path, "text", 4));
  read_errno = EIO;
  assert_fails(leat_file_read(path, &data, &bytes), LEAT_IO, strerror(EIO));
  assert_null(data);
  read_errno = EINTR;
  assert_ok(leat_file_read(path, &data, &bytes));
  assert_int_equal(bytes, 4);
  assert_memory_equal(data, "text", 4);
  leat_free(data);
}

static void sources_that_are_no_files(void **state) {
  (void)state;
  char name[128];
  assert_unreadable(folder, LEAT_INVALID_ARGUMENT, "not a regular file");
  assert_unreadable("/dev/zero", LEAT_INVALID_ARGUMENT, "not a regular file");
  assert_unreadable("/dev/null", LEAT_INVALID_ARGUMENT, "not a regular file");
  snprintf(name, sizeof name, "%s/pipe", folder);
  assert_int_equal(mkfifo(name, 0600), 0);
  assert_unreadable(name, LEAT_INVALID_ARGUMENT, "not a regular file");  // without waiting for a writer
  snprintf(name, sizeof name, "%s/loop", folder);
  assert_int_equal(symlink("loop", name), 0);
  assert_unreadable(name, LEAT_IO, "symbolic links");
  snprintf(name, sizeof name, "%s/dangling", folder);
  assert_int_equal(symlink("nowhere", name), 0);
  assert_unreadable(name, LEAT_NOT_FOUND, "No such file");
  snprintf(name, sizeof name, "%s/empty", folder);
  assert_ok(leat_file_write_atomic(name, "", 0));
  assert_unreadable(name, LEAT_CORRUPT, "");
}

// Root may read everything, so for a while it is not root.
static void no_permission(void **state) {
  (void)state;
  enum { NOBODY = 65534 };
  assert_ok(sample_compile("losses", 3, path));
  assert_int_equal(chmod(path, 0), 0);
  const uid_t user = geteuid();
  if (user == 0) {
    assert_int_equal(chmod(folder, 0755), 0);
    assert_int_equal(seteuid(NOBODY), 0);
  } else {
    assert_int_equal(chmod(folder, 0500), 0);
  }
  assert_unreadable(path, LEAT_IO, "Permission denied");
  assert_fails(leat_file_write_atomic(path, "x", 1), LEAT_IO, "Permission denied");
  if (user == 0) assert_int_equal(seteuid(user), 0);
  assert_int_equal(chmod(folder, 0700), 0);
}

// A link to a good file is as good as the file.
static void source_is_a_link(void **state) {
  (void)state;
  char name[128];
  leat_pef_t *pef = NULL;
  snprintf(name, sizeof name, "%s/link", folder);
  assert_ok(sample_compile("losses", 3, path));
  assert_int_equal(symlink("program.pef", name), 0);
  assert_ok(leat_pef_open(name, &pef));
  leat_pef_close(pef);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, enter, leave)

// A disk that is full says how much it lacks, and leaves nothing beside the old file.
static void a_full_disk_names_path_and_missing_bytes(void **state) {
  (void)state;
  leat_status_free(leat_file_write_atomic("file_test.full", "old", 3));
  const uint8_t data[1000] = {1};
  fault = FAULT_ERROR;
  fault_errno = ENOSPC;
  countdown = 2;  // the file is opened, half of it is written
  write_max = 0;
  leat_status_t status = leat_file_write_atomic("file_test.full", data, sizeof data);
  countdown = 0;
  assert_int_equal(leat_status_code(status), LEAT_IO);
  assert_non_null(strstr(leat_status_message(status), "cannot write 'file_test.full': No space left on device: "));
  assert_non_null(strstr(leat_status_message(status), " of 1000 bytes are missing"));
  leat_status_free(status);
  uint8_t *left = NULL;
  size_t bytes = 0;
  assert_ok(leat_file_read("file_test.full", &left, &bytes));
  assert_int_equal(bytes, 3);
  leat_free(left);
  unlink("file_test.full");
}

// A sum over a broadcast value that takes centuries: the loader refuses such files, so none is written.
static void what_the_loader_refuses_is_not_written(void **state) {
  (void)state;
  static const char text[] =
      "leat.graph 1\n"
      "%0 = prim.symbol() {kind=\"input\", name=\"x\"} : f32[1,1]\n"
      "%1 = prim.broadcast(%0) {shape=[16777216,1073741824]} : f32[16777216,1073741824]\n"
      "%2 = prim.reduce(%1) {dims=[0,1], fn=\"sum\"} : f32[1,1]\n"
      "prim.store(%2) {kind=\"output\", name=\"y\"}\n";
  leat_graph_t *graph = NULL;
  assert_ok(leat_graph_parse(text, strlen(text), &graph));
  leat_compile_options_t options = leat_compile_options_default();
  options.inference = 1;
  assert_fails(leat_compile(graph, &options, "file_test.refused"), LEAT_INTERNAL,
               "the compiler made a file that its own loader refuses");
  assert_int_equal(access("file_test.refused", F_OK), -1);
  leat_graph_destroy(graph);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_full_disk_names_path_and_missing_bytes),
      TEST(what_the_loader_refuses_is_not_written),
      TEST(failing_calls),
      TEST(short_and_interrupted_writes),
      TEST(killed_at_every_call),
      TEST(no_room),
      TEST(targets_that_are_no_files),
      TEST(target_is_a_link),
      TEST(failing_and_interrupted_reads),
      TEST(sources_that_are_no_files),
      TEST(no_permission),
      TEST(source_is_a_link),
  };
  return cmocka_run_group_tests_name("file", tests, NULL, NULL);
}
