// SPDX-License-Identifier: Apache-2.0
#include "run/paged.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "arch/blocks.h"

// Whole pages of memory.
typedef struct range_s {
  char *at;
  size_t bytes;
} range_t;

typedef LEAT_ARRAY(range_t) ranges_t;

// Symbols that calls of other types touch.
static void mark_used(const leat_pef_t *pef, bool *used) {
  for (uint32_t c = 0; c < pef->call_count; c++) {
    const pef_call_t *call = &pef->calls[c];
    for (uint32_t a = 0; a < call->argument_count && call->type != PEF_PREPARE; a++) {
      uint32_t count;
      const pef_argument_t *places = leat_pef_places(pef, call->argument_first + a, &count);
      for (uint32_t p = 0; p < count; p++) {
        if (places[p].kind == PEF_PLACE_SYMBOL) used[places[p].symbol] = true;
      }
    }
  }
}

static leat_status_t add_range(char *at, size_t bytes, ranges_t *ranges) {
  range_t *last = ranges->count > 0 ? &ranges->data[ranges->count - 1] : NULL;
  if (last != NULL && last->at + last->bytes == at) {
    last->bytes += bytes;
    return NULL;
  }
  last = leat_array_push(ranges);
  if (last == NULL) return leat_out_of_memory();
  *last = (range_t){at, bytes};
  return NULL;
}

// The pages that hold nothing else; returns their bytes.
static size_t shrink_to_pages(ranges_t *ranges) {
  const size_t page = (size_t)sysconf(_SC_PAGESIZE);
  size_t total = 0;
  for (uint32_t i = 0; i < ranges->count; i++) {
    range_t *range = &ranges->data[i];
    const size_t before = (page - (uintptr_t)range->at % page) % page;
    range->at += before;
    range->bytes = range->bytes > before ? (range->bytes - before) / page * page : 0;
    total += range->bytes;
  }
  return total;
}

static leat_status_t find_ranges(const leat_program_t *program, ranges_t *ranges) {
  const leat_pef_t *pef = program->pef;
  bool *used = leat_alloc_zero(pef->symbol_count + 1u, sizeof *used);
  if (used == NULL) return leat_out_of_memory();
  mark_used(pef, used);
  leat_status_t status = NULL;
  for (uint32_t s = 0; s < pef->symbol_count && status == NULL; s++) {
    const bool waits = pef->symbols[s].kind == PEF_SYMBOL_PARAMETER && !used[s] && !program->symbols[s].shared;
    if (waits) status = add_range(program->symbols[s].own, ((size_t)pef->symbols[s].bytes + 63) / 64 * 64, ranges);
  }
  leat_free(used);
  return status;
}

static bool has_room(int file, size_t bytes) {
  struct statfs system;
  if (fstatfs(file, &system) != 0 || system.f_type == TMPFS_MAGIC || system.f_type == RAMFS_MAGIC) return false;
  return (double)system.f_bavail * (double)system.f_bsize >= 2.0 * (double)bytes;
}

static bool write_all(int file, const range_t *range, off_t place) {
  for (size_t done = 0; done < range->bytes;) {
    const ssize_t count = pwrite(file, range->at + done, range->bytes - done, place + (off_t)done);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    done += (size_t)count;
  }
  return true;
}

// Puts a part of the file in the place of a range; what fails leaves the range as it was: mapped over it at once, a
// mapping that fails could leave nothing there.
static bool map_over(int file, const range_t *range, off_t place) {
  void *pages = mmap(NULL, range->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, place);
  if (pages == MAP_FAILED) return false;
  if (mremap(pages, range->bytes, range->bytes, MREMAP_MAYMOVE | MREMAP_FIXED, range->at) != MAP_FAILED) return true;
  munmap(pages, range->bytes);
  return false;
}

// All of them are in the file before any is mapped.
static void move(int file, const ranges_t *ranges) {
  off_t place = 0;
  for (uint32_t i = 0; i < ranges->count; place += (off_t)ranges->data[i++].bytes) {
    if (!write_all(file, &ranges->data[i], place)) return;
  }
  place = 0;
  for (uint32_t i = 0; i < ranges->count; place += (off_t)ranges->data[i++].bytes) {
    const range_t *range = &ranges->data[i];
    if (range->bytes != 0 && !map_over(file, range, place)) return;
  }
}

void leat_run_page_out(leat_program_t *program) {
  if (program->page_folder == NULL || ++program->quiet_runs != PAGED_RUN) return;
  ranges_t ranges = {0};
  leat_status_t status = find_ranges(program, &ranges);
  const size_t total = status == NULL ? shrink_to_pages(&ranges) : 0;
  if (total >= PAGED_BYTES) {
    const int file = open(program->page_folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (file >= 0 && has_room(file, total)) move(file, &ranges);
    if (file >= 0) close(file);
  }
  leat_status_free(status);  // without memory for the list: they stay
  leat_array_free(&ranges);
}
