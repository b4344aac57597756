// SPDX-License-Identifier: Apache-2.0
// leat machine: measures this machine, says what it found, writes the record.
#include <stdio.h>
#include <unistd.h>

#include "driver/cmd.h"
#include "driver/measure.h"
#include "report/units.h"

typedef struct machine_options_s {
  const char *output, *name;
  uint32_t threads;
} machine_options_t;

static const leat_cmd_option_t option_table[] = {
    {"-o", "FILE", "write the record there, for --arch FILE and leat info --machine FILE", LEAT_CMD_TEXT,
     offsetof(machine_options_t, output)},
    {"--name", "TEXT", "what reports call this machine (default: the CPU's model and the number of cores)",
     LEAT_CMD_TEXT, offsetof(machine_options_t, name)},
    {"--threads", "N", "cores that work together (default: what affinity mask and cgroup quota allow)",
     LEAT_CMD_THREADS, offsetof(machine_options_t, threads)},
};

enum { BAR_WIDTH = 30 };

static void draw_bar(void *user, uint32_t done, uint32_t total, const char *what) {
  (void)user;
  const int filled = (int)(done * BAR_WIDTH / total);
  fprintf(stderr, "\r[%.*s%*s] %-24s", filled, "##############################", BAR_WIDTH - filled, "", what);
  if (done == total) fprintf(stderr, "\r%*s\r", BAR_WIDTH + 28, "");
  fflush(stderr);
}

// --- what was found -----------------------------------------------------------------------------------------------

static void put_products(const leat_arch_t *arch, leat_text_t *out) {
  const double giga = 1e9;
  leat_text_put(out, "products of one core, GFLOP/s\n              f32      f64\n");
  for (leat_arch_level_t level = 0; level <= arch->level; ++level)
    leat_text_put(out, "  %-8s %7.1f  %7.1f\n", leat_arch_level_name(level),
                  leat_arch_peak(arch, LEAT_ARCH_F32, level) / giga, leat_arch_peak(arch, LEAT_ARCH_F64, level) / giga);
}

static void put_memory(const leat_arch_t *arch, leat_text_t *out) {
  const double giga = 1e9;
  leat_text_put(out, "memory, GB/s\n          one core      all\n");
  leat_text_put(out, "  read     %7.1f  %7.1f\n", arch->read_bytes / giga, arch->read_bytes_all / giga);
  leat_text_put(out, "  triad    %7.1f  %7.1f\n", arch->triad_bytes / giga, arch->triad_bytes_all / giga);
  leat_text_put(out, "caches: L1 ");
  leat_put_bytes(out, (double)arch->l1_bytes);
  leat_text_put(out, ", L2 ");
  leat_put_bytes(out, (double)arch->l2_bytes);
  leat_text_put(out, ", L3 ");
  leat_put_bytes(out, (double)arch->l3_bytes);
  leat_text_put(out, "\n");
}

static void put_found(const leat_arch_t *arch, leat_text_t *out) {
  leat_text_put(out, "%s\n", arch->name);
  put_products(arch, out);
  put_memory(arch, out);
  if (arch->cores == 1) return;
  leat_text_put(out, "cores meet in ");
  leat_put_seconds(out, arch->barrier_seconds);
  leat_text_put(out, ", sleeping ones wake in ");
  leat_put_seconds(out, arch->wake_seconds);
  leat_text_put(out, "\n");
}

static leat_status_t write_record(const leat_arch_t *arch, const char *path) {
  leat_text_t text = {0};
  leat_text_put(&text,
                "# A machine as leat machine %s measured it; docs/machines.md says what each line means and who reads "
                "it.\n",
                LEAT_VERSION);
  leat_arch_put(arch, true, &text);
  leat_status_t status = text.failed ? leat_out_of_memory() : leat_file_write_atomic(path, text.data, text.length);
  leat_text_deinit(&text);
  return status;
}

static leat_status_t run(const void *opaque, const char *const *operands) {
  const machine_options_t *options = opaque;
  (void)operands;
  leat_arch_t arch;
  if (options->name != NULL) LEAT_TRY(leat_status_annotate(leat_arch_set_name(&arch, options->name), "--name"));
  LEAT_TRY(leat_measure_machine(
      &(leat_measure_t){.threads = options->threads, .progress = isatty(STDERR_FILENO) ? draw_bar : NULL}, &arch));
  if (options->name != NULL) LEAT_TRY(leat_arch_set_name(&arch, options->name));
  leat_text_t text = {0};
  put_found(&arch, &text);
  leat_status_t status = text.failed ? leat_out_of_memory() : NULL;
  if (status == NULL && options->output != NULL) status = write_record(&arch, options->output);
  if (status == NULL) fputs(text.data, stdout);
  leat_text_deinit(&text);
  if (status != NULL) return status;
  if (options->output != NULL)
    printf("\nwritten to %s: leat compile --arch %s, leat info FILE.pef --machine %s\n", options->output,
           options->output, options->output);
  else
    printf("\nleat machine -o FILE writes this as a record that --arch FILE and leat info --machine FILE take.\n");
  return NULL;
}

const leat_cmd_t leat_cmd_machine = {
    .name = "machine",
    .usage = "machine [-o FILE] [--name TEXT] [--threads N]",
    .summary = "measures this machine: what compiles and reports may count with",
    .examples =
        "Takes some seconds and up to 768 MiB of memory: products in f32 and f64 at each level of instructions, "
        "memory\n"
        "bandwidth of one core and of all, what it takes that cores meet. Let nothing else run meanwhile.\n"
        "A compile with --arch FILE plans for that machine and keeps the record in the PEF, so that the same file "
        "gives\n"
        "the same bytes everywhere; without it, plans and reports count with built-in rates and the caches found "
        "here.\n"
        "The record is text, a fact a line, and may be changed: docs/machines.md.\n\n"
        "examples:\n"
        "  leat machine\n"
        "  leat machine -o here.machine\n"
        "  leat compile lenet.graph -o lenet.pef --arch here.machine\n"
        "  leat info lenet.pef --machine here.machine\n",
    .options = option_table,
    .option_count = sizeof option_table / sizeof *option_table,
    .operand_count = 0,
    .options_bytes = sizeof(machine_options_t),
    .run = run,
};
