// SPDX-License-Identifier: Apache-2.0
// Writes the seeds of fuzz_pef into the folder given: the demo, plain and packed, every stage kind, and
// programs with loops.
#include <stdio.h>

#include "loop_maker.h"
#include "pef_demo.h"
#include "pef_zoo.h"

static int write_seed(leat_pef_writer_t *writer, const char *folder, const char *name) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  leat_status_t status = leat_pef_write(writer, path);
  if (status != NULL) fprintf(stderr, "%s\n", leat_status_message(status));
  const int failed = status != NULL;
  leat_status_free(status);
  leat_pef_writer_destroy(writer);
  return failed;
}

static leat_pef_writer_t *demo(int64_t n_block) {
  leat_pef_writer_t *writer = leat_pef_writer_create();
  pef_demo_build(writer, &(pef_demo_t){.rows = 8, .in = 4, .out = 6, .tile_rows_max = 2, .n_block = n_block});
  return writer;
}

static leat_pef_writer_t *zoo(uint32_t kind) {
  leat_pef_writer_t *writer = leat_pef_writer_create();
  const pef_zoo_t stage = pef_zoo_stage(kind);
  pef_zoo_build(writer, &stage, 1);
  return writer;
}

static leat_pef_writer_t *loops(uint32_t program) {
  leat_pef_writer_t *writer = leat_pef_writer_create();
  loop_programs[program].build(writer, 3);
  return writer;
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  int failed = write_seed(demo(0), argv[1], "demo") | write_seed(demo(4), argv[1], "demo_packed");
  for (uint32_t kind = 0; kind < PEF_STAGE_COUNT; ++kind) {
    char name[32];
    snprintf(name, sizeof name, "stage_%u", kind);
    failed |= write_seed(zoo(kind), argv[1], name);
  }
  for (uint32_t program = 0; program < loop_program_count; ++program) {
    char name[32];
    snprintf(name, sizeof name, "loop_%u", program);
    failed |= write_seed(loops(program), argv[1], name);
  }
  return failed;
}
