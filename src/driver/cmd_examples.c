// SPDX-License-Identifier: Apache-2.0
// leat examples: lists the example programs that are installed with the command, or copies them to where a user works.
// It finds them from its own place: <prefix>/share/leat/examples beside <prefix>/bin, or the source folder of a build.
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/cmd.h"

typedef struct examples_options_s {
  const char *copy;
} examples_options_t;

static const leat_cmd_option_t option_table[] = {
    {"--copy", "FOLDER", "copy all of them to FOLDER, which must not exist yet", LEAT_CMD_TEXT,
     offsetof(examples_options_t, copy)},
};

// What a visit of a folder does with each file and subfolder; `name` is relative to `from`.
typedef leat_status_t (*visit_t)(const char *from, const char *to, const char *name, bool is_folder);

static leat_status_t join(char path[PATH_MAX], const char *folder, const char *name) {
  const int length = snprintf(path, PATH_MAX, "%s%s%s", folder, folder[0] && name[0] ? "/" : "", name);
  if (length < 0 || length >= PATH_MAX) LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%s/%s: the path is too long", folder, name);
  return NULL;
}

static bool is_folder(const char *path) {
  struct stat found;
  return stat(path, &found) == 0 && S_ISDIR(found.st_mode);
}

static leat_status_t visit_entry(const char *from, const char *to, const char *name, visit_t visit);

static leat_status_t visit_folder(const char *from, const char *to, const char *inner, visit_t visit) {
  char path[PATH_MAX], name[PATH_MAX];
  LEAT_TRY(join(path, from, inner));
  struct dirent **entries;
  const int count = scandir(path, &entries, NULL, alphasort);
  if (count < 0) LEAT_FAIL(LEAT_IO, "%s: cannot be read: %s", path, strerror(errno));
  leat_status_t status = NULL;
  for (int i = 0; i < count; i++) {
    const bool hidden = entries[i]->d_name[0] == '.' || strcmp(entries[i]->d_name, "__pycache__") == 0;
    if (status == NULL && !hidden) {
      status = join(name, inner, entries[i]->d_name);
      if (status == NULL) status = visit_entry(from, to, name, visit);
    }
    free(entries[i]);
  }
  free(entries);
  return status;
}

static leat_status_t visit_entry(const char *from, const char *to, const char *name, visit_t visit) {
  char path[PATH_MAX];
  LEAT_TRY(join(path, from, name));
  const bool folder = is_folder(path);
  LEAT_TRY(visit(from, to, name, folder));
  return folder ? visit_folder(from, to, name, visit) : NULL;
}

static leat_status_t copy_entry(const char *from, const char *to, const char *name, bool folder) {
  char source[PATH_MAX], target[PATH_MAX];
  LEAT_TRY(join(source, from, name));
  LEAT_TRY(join(target, to, name));
  if (folder) {
    if (mkdir(target, 0777) != 0) LEAT_FAIL(LEAT_IO, "%s: cannot be made: %s", target, strerror(errno));
    return NULL;
  }
  leat_mapping_t bytes;
  LEAT_TRY(leat_file_map(source, &bytes));
  leat_status_t status = leat_file_write_report(target, bytes.data, bytes.data_bytes);
  leat_file_unmap(&bytes);
  return status;
}

// The programs at the top: a line each, the first of what a file says of itself.
static leat_status_t show_entry(const char *from, const char *to, const char *name, bool folder) {
  (void)to;
  char path[PATH_MAX], line[256];
  const size_t length = strlen(name);
  if (folder || strchr(name, '/') != NULL || length < 4 || strcmp(name + length - 3, ".py") != 0) return NULL;
  LEAT_TRY(join(path, from, name));
  FILE *file = fopen(path, "r");
  if (file == NULL) LEAT_FAIL(LEAT_IO, "%s: cannot be read: %s", path, strerror(errno));
  while (fgets(line, sizeof line, file) != NULL) {
    if (strncmp(line, "\"\"\"", 3) != 0) continue;
    printf("  %-16s %.*s\n", name, (int)strcspn(line + 3, "\"\n"), line + 3);
    break;
  }
  fclose(file);
  return NULL;
}

// The folder of the examples, from the place of this command.
static leat_status_t find_examples(char path[PATH_MAX]) {
  static const char *const places[] = {"../share/leat/examples", "../../examples"};
  char self[PATH_MAX];
  const ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
  if (length < 0) LEAT_FAIL(LEAT_IO, "the place of this command is unknown: %s", strerror(errno));
  self[length] = '\0';
  char *slash = strrchr(self, '/');
  *slash = '\0';
  for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
    char found[PATH_MAX];
    LEAT_TRY(join(path, self, places[i]));
    if (is_folder(path) && realpath(path, found) != NULL) return join(path, found, "");
  }
  LEAT_FAIL(LEAT_NOT_FOUND, "no examples beside %s: they are installed to share/leat/examples of its prefix", self);
}

static leat_status_t run(const void *opaque, const char *const *operands) {
  const examples_options_t *options = opaque;
  (void)operands;
  char from[PATH_MAX];
  LEAT_TRY(find_examples(from));
  if (options->copy == NULL) {
    printf("examples in %s\n\n", from);
    LEAT_TRY(visit_folder(from, "", "", show_entry));
    printf("\nleat examples --copy FOLDER copies them; each is run as `python FILE compile --help` says.\n");
    return NULL;
  }
  if (mkdir(options->copy, 0777) != 0) {
    if (errno == EEXIST)
      LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%s exists already: name a folder that does not", options->copy);
    LEAT_FAIL(LEAT_IO, "%s: cannot be made: %s", options->copy, strerror(errno));
  }
  LEAT_TRY(visit_folder(from, options->copy, "", copy_entry));
  printf("copied to %s; try: cd %s && python lenet.py compile --pef-name lenet\n", options->copy, options->copy);
  return NULL;
}

const leat_cmd_t leat_cmd_examples = {
    .name = "examples",
    .usage = "examples [--copy FOLDER]",
    .summary = "lists the example programs, or copies them",
    .examples =
        "examples:\n"
        "  leat examples\n"
        "  leat examples --copy examples\n",
    .options = option_table,
    .option_count = sizeof option_table / sizeof *option_table,
    .operand_count = 0,
    .options_bytes = sizeof(examples_options_t),
    .run = run,
};
