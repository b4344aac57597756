// SPDX-License-Identifier: Apache-2.0
// Symbols: one planned block, binding, reading and writing, hyperparameters, lookup by name.
#include "base/names.h"
#include "run/blocks.h"
#include "run/program.h"

// --- placing ---------------------------------------------------------------------------------------------------

// Whether programs side by side have one memory for this symbol, and whether one cannot be without the other's.
static bool is_shareable(const leat_pef_t *pef, const pef_symbol_t *symbol, bool *out_needed) {
  *out_needed =
      symbol->kind == PEF_SYMBOL_PARAMETER || symbol->kind == PEF_SYMBOL_BUFFER || symbol->kind == PEF_SYMBOL_STATE;
  const bool of_parameter = symbol->of != PEF_NONE && pef->symbols[symbol->of].kind == PEF_SYMBOL_PARAMETER;
  return *out_needed || symbol->kind == PEF_SYMBOL_HYPERPARAMETER ||
         (symbol->kind == PEF_SYMBOL_GRADIENT && of_parameter);
}

static bool lie_alike(const leat_pef_t *a, uint32_t i, const leat_pef_t *b, uint32_t j) {
  const pef_block_t *p = leat_pef_block_of(a, i), *q = leat_pef_block_of(b, j);
  if (p == NULL || q == NULL) return p == q;
  return p->dim == q->dim && p->outer == q->outer && p->block == q->block;
}

static bool are_alike(const pef_symbol_t *a, const pef_symbol_t *b) {
  return a->kind == b->kind && a->dtype == b->dtype && a->rank == b->rank &&
         memcmp(a->dims, b->dims, sizeof a->dims) == 0;
}

// Names of symbols to their numbers.
static leat_status_t index_names(const leat_pef_t *pef, leat_names_t *out_names) {
  for (uint32_t s = 0; s < pef->symbol_count; s++) {
    if (!leat_names_add(out_names, pef->strings + pef->symbols[s].name, s))
      LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for the names of %u symbols", pef->symbol_count);
  }
  return NULL;
}

static leat_status_t share(leat_program_t *program, const leat_program_t *beside, const leat_names_t *names) {
  const leat_pef_t *pef = program->pef;
  for (uint32_t s = 0; s < pef->symbol_count; s++) {
    const char *name = pef->strings + pef->symbols[s].name;
    bool needed;
    if (!is_shareable(pef, &pef->symbols[s], &needed)) continue;
    const uint32_t other = leat_names_find(names, name, strlen(name));
    const bool found = other != LEAT_NAME_ABSENT && are_alike(&pef->symbols[s], &beside->pef->symbols[other]);
    const bool same = found && lie_alike(pef, s, beside->pef, other);
    if (!found && needed) {
      LEAT_FAIL(LEAT_MISMATCH, "the program beside has no \"%s\" of the same kind, dtype and shape", name);
    }
    program->symbols[s].shared = same;
    if (same) program->symbols[s].own = beside->symbols[other].data;
    if (same) program->symbols[s].sum = beside->symbols[other].sum;
    if (found && !same) program->symbols[s].twin = other;
  }
  return NULL;
}

static leat_status_t share_symbols(leat_program_t *program, leat_program_t *beside) {
  program->beside = beside;
  for (uint32_t s = 0; s < program->pef->symbol_count; s++) program->symbols[s].twin = PEF_NONE;
  program->changes = beside != NULL ? beside->changes : &program->own_changes;
  if (beside == NULL) return NULL;
  leat_names_t names = {0};
  leat_status_t status = index_names(beside->pef, &names);
  if (status == NULL) status = share(program, beside, &names);
  leat_names_deinit(&names);
  return status;
}

static leat_status_t plan_block(leat_program_t *program) {
  const leat_pef_t *pef = program->pef;
  size_t total = (size_t)pef->info->arena_bytes;
  bool ok = leat_size_add(total, 63, &total);
  total = total / 64 * 64;
  for (uint32_t s = 0; ok && s < pef->symbol_count; s++) {
    if (program->symbols[s].shared) continue;
    program->symbols[s].own = (char *)(uintptr_t)total;  // offset until the block exists
    ok = leat_size_add(total, ((size_t)pef->symbols[s].bytes + 63) / 64 * 64, &total);
  }
  ok = ok && leat_size_add(total, 64, &program->block_bytes);
  program->block = ok ? leat_run_pages_map(program->block_bytes) : NULL;
  if (program->block == NULL) {
    program->block_bytes = 0;
    LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for symbols and temporaries (%zu bytes)", total);
  }
  for (uint32_t s = 0; s < pef->symbol_count; s++) {
    if (!program->symbols[s].shared) program->symbols[s].own = program->block + (uintptr_t)program->symbols[s].own;
    program->symbols[s].data = program->symbols[s].own;
  }
  return NULL;
}

// Places: ARGUMENTS, then PLACES.
static uint32_t place_count(const leat_pef_t *pef) { return pef->argument_count + pef->place_count; }

static const pef_argument_t *place_at(const leat_pef_t *pef, uint32_t place) {
  return place < pef->argument_count ? &pef->arguments[place] : &pef->places[place - pef->argument_count];
}

// Lists, for every symbol, the places that are in it.
static void index_places(leat_program_t *program) {
  const leat_pef_t *pef = program->pef;
  for (uint32_t p = 0; p < place_count(pef); p++) {
    const pef_argument_t *place = place_at(pef, p);
    if (place->kind == PEF_PLACE_SYMBOL) program->symbols[place->symbol].place_count++;
  }
  uint32_t next = 0;
  for (uint32_t s = 0; s < pef->symbol_count; s++) {
    program->symbols[s].place_first = next;
    next += program->symbols[s].place_count;
    program->symbols[s].place_count = 0;
  }
  for (uint32_t p = 0; p < place_count(pef); p++) {
    const pef_argument_t *place = place_at(pef, p);
    if (place->kind != PEF_PLACE_SYMBOL) continue;
    leat_run_symbol_t *symbol = &program->symbols[place->symbol];
    program->symbol_places[symbol->place_first + symbol->place_count++] = p;
  }
}

// With what the moves of an argument add in every trip.
static void find_offsets(leat_program_t *program) {
  const leat_pef_t *pef = program->pef;
  for (uint32_t p = 0; p < place_count(pef); p++) program->place_offsets[p] = place_at(pef, p)->offset;
  for (uint32_t m = 0; m < pef->move_count; m++) {
    const uint32_t argument = pef->moves[m].argument;
    uint32_t count;
    const pef_argument_t *places = leat_pef_places(pef, argument, &count);
    program->place_offsets[argument] += (uint64_t)pef->moves[m].first;
    if (places == &pef->arguments[argument]) continue;
    uint64_t *offsets = program->place_offsets + pef->argument_count + (places - pef->places);
    for (uint32_t t = 0; t < count; t++) offsets[t] += (uint64_t)pef->moves[m].first;
  }
}

static void place_all(leat_program_t *program) {
  const leat_pef_t *pef = program->pef;
  for (uint32_t p = 0; p < place_count(pef); p++) {
    const pef_argument_t *place = place_at(pef, p);
    // Constants are only read: the cast drops const so that all places have one type.
    char *base = place->kind == PEF_PLACE_ARENA      ? program->block
                 : place->kind == PEF_PLACE_CONSTANT ? (char *)(uintptr_t)pef->constants
                                                     : program->symbols[place->symbol].data;
    program->places[p] = base + program->place_offsets[p];
  }
}

static leat_status_t number_outputs(leat_program_t *program) {
  const leat_pef_t *pef = program->pef;
  uint32_t count = 0;
  for (uint32_t s = 0; s < pef->symbol_count; s++)
    program->symbols[s].output = pef->symbols[s].kind == PEF_SYMBOL_OUTPUT ? count++ : PEF_NONE;
  program->enabled = leat_arena_alloc(&program->arena, count + 1u);
  if (program->enabled == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for %u outputs", count);
  memset(program->enabled, true, count);
  return NULL;
}

leat_status_t leat_run_symbols_place(leat_program_t *program, leat_program_t *beside) {
  const leat_pef_t *pef = program->pef;
  const size_t places = (size_t)pef->argument_count + pef->place_count + 1;
  if (places > UINT32_MAX) LEAT_FAIL(LEAT_UNSUPPORTED, "%zu places are too many", places);
  program->symbols = leat_arena_alloc(&program->arena, (pef->symbol_count + 1u) * sizeof *program->symbols);
  program->places = leat_arena_alloc(&program->arena, places * sizeof *program->places);
  program->place_offsets = leat_arena_alloc(&program->arena, places * sizeof *program->place_offsets);
  program->symbol_places = leat_arena_alloc(&program->arena, places * sizeof(uint32_t));
  if (program->symbols == NULL || program->places == NULL || program->place_offsets == NULL ||
      program->symbol_places == NULL) {
    LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for the tables of %u symbols", pef->symbol_count);
  }
  LEAT_TRY(number_outputs(program));
  LEAT_TRY(share_symbols(program, beside));
  LEAT_TRY(plan_block(program));
  index_places(program);
  find_offsets(program);
  place_all(program);
  return NULL;
}

// --- values ----------------------------------------------------------------------------------------------------

static void fill(const leat_program_t *program, uint32_t symbol, double value) {
  const pef_symbol_t *file = &program->pef->symbols[symbol];
  size_t bytes = leat_pef_dtype_bytes(file->dtype), count = (size_t)file->bytes / bytes;
  char *to = program->symbols[symbol].data, element[sizeof(double)];
  program->engine->store(program->engine_state, PEF_CLASS_F64, file->dtype, element, 1, &value, 1);
  for (size_t i = 0; i < count; i++) memcpy(to + i * bytes, element, bytes);
}

void leat_run_symbols_follow(leat_program_t *program) {
  enum { STRIP = 4096 };
  const leat_pef_t *pef = program->pef;
  char values[STRIP];
  if (program->beside != NULL) leat_run_symbols_follow(program->beside);
  for (uint32_t s = 0; s < pef->symbol_count; s++) {
    const uint32_t twin = program->symbols[s].twin;
    if (twin == PEF_NONE) continue;
    const size_t bytes = leat_pef_dtype_bytes(pef->symbols[s].dtype), all = (size_t)pef->symbols[s].bytes / bytes;
    for (size_t first = 0, count; first < all; first += count) {
      count = all - first < STRIP / bytes ? all - first : STRIP / bytes;
      leat_run_blocks_get(program->beside->pef, twin, program->beside->symbols[twin].data, first, count, values);
      leat_run_blocks_put(pef, s, program->symbols[s].data, first, count, values);
    }
  }
}

void leat_run_symbols_init(leat_program_t *program) {
  for (uint32_t s = 0; s < program->pef->symbol_count; s++) {
    union {
      uint64_t u;
      double d;
    } init = {.u = program->pef->symbols[s].init};
    if (init.u != 0 && !program->symbols[s].shared) fill(program, s, init.d);  // the block is zeroed
  }
}

LEAT_EXPORT leat_status_t leat_program_enable_outputs(leat_program_t *program, const uint32_t *symbols,
                                                      uint32_t count) {
  const leat_pef_t *pef = program->pef;
  for (uint32_t i = 0; i < count; i++) {
    if (symbols[i] >= pef->symbol_count || program->symbols[symbols[i]].output == PEF_NONE)
      LEAT_FAIL(LEAT_INVALID_ARGUMENT, "symbol %u is no output of the program", symbols[i]);
  }
  for (uint32_t s = 0; s < pef->symbol_count; s++) {
    if (program->symbols[s].output != PEF_NONE) program->enabled[program->symbols[s].output] = false;
  }
  for (uint32_t i = 0; i < count; i++) program->enabled[program->symbols[symbols[i]].output] = true;
  return NULL;
}

void leat_run_symbol_set(leat_program_t *program, uint32_t index, char *data) {
  leat_run_symbol_t *symbol = &program->symbols[index];
  if (data == NULL) data = symbol->own;
  if (data == symbol->data) return;
  symbol->data = data;
  for (uint32_t p = 0; p < symbol->place_count; p++) {
    uint32_t place = program->symbol_places[symbol->place_first + p];
    program->places[place] = data + program->place_offsets[place];
  }
}

static bool feeds_prepare(const leat_program_t *program, uint32_t symbol) {
  uint8_t kind = program->pef->symbols[symbol].kind;
  return kind == PEF_SYMBOL_PARAMETER || kind == PEF_SYMBOL_BUFFER;
}

static leat_status_t check_symbol(const leat_program_t *program, uint32_t symbol) {
  if (symbol < program->pef->symbol_count) return NULL;
  LEAT_FAIL(LEAT_INVALID_ARGUMENT, "there is no symbol %u; the program has %u", symbol, program->pef->symbol_count);
}

static leat_status_t check_bytes(const leat_program_t *program, uint32_t symbol, size_t data_bytes) {
  LEAT_TRY(check_symbol(program, symbol));
  const pef_symbol_t *file = &program->pef->symbols[symbol];
  if (file->bytes == data_bytes) return NULL;
  LEAT_FAIL(LEAT_INVALID_ARGUMENT,
            "symbol \"%s\" (%s) has %llu bytes, the data %zu; pass a contiguous tensor of its "
            "dtype and shape",
            program->pef->strings + file->name, leat_pef_dtype_name(file->dtype), (unsigned long long)file->bytes,
            data_bytes);
}

LEAT_EXPORT leat_status_t leat_program_bind(leat_program_t *program, uint32_t symbol, void *data, size_t data_bytes) {
  LEAT_TRY(data != NULL ? check_bytes(program, symbol, data_bytes) : check_symbol(program, symbol));
  uint8_t kind = program->pef->symbols[symbol].kind;
  if (kind != PEF_SYMBOL_INPUT && kind != PEF_SYMBOL_OUTPUT && kind != PEF_SYMBOL_SEED) {
    LEAT_FAIL(LEAT_INVALID_ARGUMENT,
              "symbol \"%s\" is neither input, output nor seed; copy its value with "
              "leat_program_write",
              program->pef->strings + program->pef->symbols[symbol].name);
  }
  leat_run_symbol_set(program, symbol, data);
  return NULL;
}

LEAT_EXPORT leat_status_t leat_program_write(leat_program_t *program, uint32_t symbol, const void *data,
                                             size_t data_bytes) {
  LEAT_TRY(check_bytes(program, symbol, data_bytes));
  const uint32_t twin = program->symbols[symbol].twin;
  if (twin != PEF_NONE) return leat_program_write(program->beside, twin, data, data_bytes);
  const size_t count = data_bytes / leat_pef_dtype_bytes(program->pef->symbols[symbol].dtype);
  leat_run_blocks_put(program->pef, symbol, program->symbols[symbol].data, 0, count, data);
  if (feeds_prepare(program, symbol)) ++*program->changes;
  return NULL;
}

LEAT_EXPORT leat_status_t leat_program_read(const leat_program_t *program, uint32_t symbol, void *data,
                                            size_t data_bytes) {
  LEAT_TRY(check_bytes(program, symbol, data_bytes));
  const uint32_t twin = program->symbols[symbol].twin;
  if (twin != PEF_NONE) return leat_program_read(program->beside, twin, data, data_bytes);
  const size_t count = data_bytes / leat_pef_dtype_bytes(program->pef->symbols[symbol].dtype);
  leat_run_blocks_get(program->pef, symbol, program->symbols[symbol].data, 0, count, data);
  return NULL;
}

LEAT_EXPORT void *leat_program_data(leat_program_t *program, uint32_t symbol) {
  if (symbol >= program->pef->symbol_count || leat_pef_block_of(program->pef, symbol) != NULL) return NULL;
  return program->symbols[symbol].data;
}

LEAT_EXPORT leat_status_t leat_program_set_hyperparameter(leat_program_t *program, uint32_t symbol, double value) {
  LEAT_TRY(check_symbol(program, symbol));
  const pef_symbol_t *file = &program->pef->symbols[symbol];
  if (file->kind != PEF_SYMBOL_HYPERPARAMETER) {
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "symbol \"%s\" is not a hyperparameter", program->pef->strings + file->name);
  }
  fill(program, symbol, value);
  return NULL;
}

// --- names -----------------------------------------------------------------------------------------------------

LEAT_EXPORT uint32_t leat_program_symbol_count(const leat_program_t *program) { return program->pef->symbol_count; }

LEAT_EXPORT leat_status_t leat_program_symbol_info(const leat_program_t *program, uint32_t symbol,
                                                   leat_symbol_info_t *out_info) {
  LEAT_TRY(check_symbol(program, symbol));
  const pef_symbol_t *file = &program->pef->symbols[symbol];
  *out_info = (leat_symbol_info_t){.name = program->pef->strings + file->name,
                                   .kind = file->kind,
                                   .dtype = file->dtype,
                                   .rank = file->rank,
                                   .data_bytes = (size_t)file->bytes,
                                   .owner = file->of};
  out_info->role = leat_pef_symbol_role(program->pef, symbol, &out_info->number);
  memcpy(out_info->dims, file->dims, sizeof out_info->dims);
  return NULL;
}

enum { NAME_MAX_BYTES = 256, NEAREST_COUNT = 3 };

// Levenshtein distance of names cut to NAME_MAX_BYTES.
static uint32_t distance(const char *a, const char *b) {
  uint32_t row[NAME_MAX_BYTES + 1];
  size_t la = strnlen(a, NAME_MAX_BYTES), lb = strnlen(b, NAME_MAX_BYTES);
  for (size_t j = 0; j <= lb; j++) row[j] = (uint32_t)j;
  for (size_t i = 1; i <= la; i++) {
    uint32_t diagonal = row[0];
    row[0] = (uint32_t)i;
    for (size_t j = 1; j <= lb; j++) {
      uint32_t replaced = diagonal + (a[i - 1] != b[j - 1]), removed = row[j] + 1, added = row[j - 1] + 1;
      diagonal = row[j];
      uint32_t least = removed < added ? removed : added;
      row[j] = replaced < least ? replaced : least;
    }
  }
  return row[lb];
}

static leat_status_t not_found(const leat_program_t *program, const char *name) {
  const leat_pef_t *pef = program->pef;
  uint32_t best[NEAREST_COUNT], best_distance[NEAREST_COUNT], count = 0;
  for (uint32_t s = 0; s < pef->symbol_count; s++) {
    uint32_t d = distance(name, pef->strings + pef->symbols[s].name), at = count;
    while (at > 0 && best_distance[at - 1] > d) at--;
    if (at >= NEAREST_COUNT) continue;
    if (count < NEAREST_COUNT) count++;
    for (uint32_t i = count - 1; i > at; i--) best[i] = best[i - 1], best_distance[i] = best_distance[i - 1];
    best[at] = s;
    best_distance[at] = d;
  }
  leat_text_t text = {0};
  for (uint32_t i = 0; i < count; i++) {
    leat_text_put(&text, "%s\"%s\"", i > 0 ? ", " : "", pef->strings + pef->symbols[best[i]].name);
  }
  leat_status_t status = leat_status_make(LEAT_NOT_FOUND, "there is no symbol \"%s\"; the nearest are %s", name,
                                          text.data != NULL ? text.data : "none: the program has no symbols");
  leat_text_deinit(&text);
  return status;
}

LEAT_EXPORT leat_status_t leat_program_find_symbol(const leat_program_t *program, const char *name,
                                                   uint32_t *out_symbol) {
  for (uint32_t s = 0; s < program->pef->symbol_count; s++) {
    if (strcmp(program->pef->strings + program->pef->symbols[s].name, name) == 0) {
      *out_symbol = s;
      return NULL;
    }
  }
  return not_found(program, name);
}
