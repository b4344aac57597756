// SPDX-License-Identifier: Apache-2.0
// See code.h. A function has pages of its own: those that may run are never made writable again.
#include "native/code.h"

#include <sys/mman.h>
#include <unistd.h>

enum { BLOCKS_MAX = 4096 };  // more are not searched, and the system maps no number of pages

typedef struct code_block_s {
  void *pages;
  size_t count, mapped;  // bytes
} code_block_t;

struct leat_native_code_s {
  enum leat_isa isa;
  leat_native_code_counts_t counts;
  LEAT_ARRAY(code_block_t) blocks;
};

leat_status_t leat_native_code_create(enum leat_isa isa, leat_native_code_t **out_code) {
  *out_code = NULL;
#if defined(__x86_64__)
  if (isa == LEAT_ISA_PORTABLE) return NULL;
  leat_native_code_t *code = leat_alloc_zero(1, sizeof *code);
  if (code == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for code");
  code->isa = isa;
  *out_code = code;
#else
  (void)isa;
#endif
  return NULL;
}

void leat_native_code_destroy(leat_native_code_t *code) {
  if (code == NULL) return;
  for (uint32_t i = 0; i < code->blocks.count; i++)
    (void)munmap(code->blocks.data[i].pages, code->blocks.data[i].mapped);
  leat_array_free(&code->blocks);
  leat_free(code);
}

enum leat_isa leat_native_code_isa(const leat_native_code_t *code) { return code->isa; }
leat_native_code_counts_t leat_native_code_counts(const leat_native_code_t *code) { return code->counts; }

static void *map_pages(const uint8_t *bytes, size_t count, size_t mapped) {
  void *pages = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) return NULL;
  memcpy(pages, bytes, count);
  if (mprotect(pages, mapped, PROT_READ | PROT_EXEC) == 0) return pages;
  (void)munmap(pages, mapped);
  return NULL;
}

const void *leat_native_code_keep(leat_native_code_t *code, const uint8_t *bytes, size_t count) {
  for (uint32_t i = 0; i < code->blocks.count; i++) {
    const code_block_t *block = &code->blocks.data[i];
    if (block->count == count && memcmp(block->pages, bytes, count) == 0) return block->pages;
  }
  const size_t page = (size_t)sysconf(_SC_PAGESIZE), mapped = (count + page - 1) / page * page;
  const bool may = code->counts.refused == 0 && code->blocks.count < BLOCKS_MAX;  // what refuses does so again
  void *pages = may ? map_pages(bytes, count, mapped) : NULL;
  code_block_t *block = pages != NULL ? leat_array_push(&code->blocks) : NULL;
  if (block == NULL) {
    if (pages != NULL) (void)munmap(pages, mapped);
    code->counts.refused++;
    return NULL;
  }
  *block = (code_block_t){pages, count, mapped};
  code->counts.kept++;
  return pages;
}
