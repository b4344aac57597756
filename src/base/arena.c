// SPDX-License-Identifier: Apache-2.0
// Arena: small pieces cut from blocks that are freed together. A piece larger than a block gets a block of its own.
#include "base/base.h"

enum { BLOCK_BYTES = 32 * 1024, PIECE_ALIGNMENT = 16 };

// AddressSanitizer sees blocks, not pieces: what lies behind a piece is marked for it, at least GAP_BYTES.
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
enum { GAP_BYTES = 16 };
#define FORBID(from, bytes) ASAN_POISON_MEMORY_REGION(from, bytes)
#else
enum { GAP_BYTES = 0 };
#define FORBID(from, bytes) ((void)0)
#endif

// The header fills one cache line, so that the first piece of a block is as aligned as the block (64 bytes).
typedef struct leat_arena_block_s {
  struct leat_arena_block_s *next;
  size_t used, capacity;  // bytes after the header
  uint8_t padding[64 - sizeof(void *) - 2 * sizeof(size_t)];
} leat_arena_block_t;

void leat_arena_init(leat_arena_t *arena) { *arena = (leat_arena_t){0}; }

void leat_arena_deinit(leat_arena_t *arena) {
  while (arena->head != NULL) {
    leat_arena_block_t *next = arena->head->next;
    leat_free(arena->head);
    arena->head = next;
  }
  arena->used_bytes = 0;
}

static leat_arena_block_t *block_create(size_t capacity) {
  size_t bytes;
  if (!leat_size_add(capacity, sizeof(leat_arena_block_t), &bytes)) return NULL;
  leat_arena_block_t *block = leat_alloc(bytes);
  if (block == NULL) return NULL;
  *block = (leat_arena_block_t){.capacity = capacity};
  return block;
}

// The block that has room for `bytes`. A block made for one large piece goes behind the head, which stays in use.
static leat_arena_block_t *block_with_room(leat_arena_t *arena, size_t bytes) {
  leat_arena_block_t *head = arena->head;
  if (head != NULL && head->capacity - head->used >= bytes) return head;
  leat_arena_block_t *block = block_create(bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES);
  if (block == NULL) return NULL;
  if (head != NULL && bytes > BLOCK_BYTES) {
    block->next = head->next;
    head->next = block;
  } else {
    block->next = head;
    arena->head = block;
  }
  return block;
}

void *leat_arena_alloc(leat_arena_t *arena, size_t bytes) {
  size_t padded;
  if (!leat_size_add(bytes, GAP_BYTES + PIECE_ALIGNMENT - 1, &padded)) return NULL;
  padded &= ~(size_t)(PIECE_ALIGNMENT - 1);
  leat_arena_block_t *block = block_with_room(arena, padded);
  if (block == NULL) return NULL;
  uint8_t *piece = (uint8_t *)(block + 1) + block->used;
  block->used += padded;
  arena->used_bytes += padded;
  memset(piece, 0, padded);
  FORBID(piece + bytes, padded - bytes);
  return piece;
}

char *leat_arena_strdup(leat_arena_t *arena, const char *text, size_t length) {
  size_t bytes;
  if (!leat_size_add(length, 1, &bytes)) return NULL;
  char *copy = leat_arena_alloc(arena, bytes);
  if (copy != NULL && length != 0) memcpy(copy, text, length);
  return copy;
}
