// SPDX-License-Identifier: Apache-2.0
// Weights from a file into parameters and buffers, by name: all of them or none.
//
// A symbol carries the name that the SDK gave it (lenet__conv1__weight), a file of torch.save the key of the module
// (conv1.weight). They match if they are equal, or if the key with "__" for "." is the symbol's name with or without
// its first component. A checkpoint holds more than weights: then they are what lies under one key of it (model), or
// under keys in keys (model.module), those under which most symbols find their tensor, and what lies beside does not
// count. As load_state_dict does, this takes the names that weight norm had before it was a parametrization (weight_g,
// weight_v), and batch norms without a count of batches, which older files lack. Weights that a module has under two
// names are one symbol, which has the first; the entry of the other may be there as long as it is the same memory.
#include "io/weights.h"

#include "run/blocks.h"
#include "run/program.h"

typedef struct weights_match_s {
  const leat_program_t *program;
  const leat_tensors_t *tensors;
  size_t container_length;  // of the part of all keys before the weights' own: 0, or 6 for "model."
  const char *container;    // starts with that part
  leat_text_t old_name;     // of the symbol that is looked for
  uint32_t *tensor_of;      // per symbol; UINT32_MAX: none
  bool *taken;              // per tensor
  leat_text_t missing, extra, wrong;
} weights_match_t;

static bool wants_weights(const pef_symbol_t *symbol) {
  return symbol->kind == PEF_SYMBOL_PARAMETER || symbol->kind == PEF_SYMBOL_BUFFER;
}

// Compares a key with a name in which every '.' of the key is "__".
static bool key_equals(const char *key, const char *name) {
  for (; *key != '\0'; key++) {
    if (*key == '.') {
      if (name[0] != '_' || name[1] != '_') return false;
      name += 2;
    } else if (*name++ != *key) {
      return false;
    }
  }
  return *name == '\0';
}

static bool names_match(const char *key, const char *name) {
  if (key_equals(key, name)) return true;
  const char *rest = strstr(name, "__");
  return rest != NULL && key_equals(key, rest + 2);
}

// The key of tensor `t` inside the container; NULL if it lies outside.
static const char *key_in_container(const weights_match_t *match, uint32_t t) {
  const char *name = match->tensors->items.data[t].name;
  return strncmp(name, match->container, match->container_length) == 0 ? name + match->container_length : NULL;
}

static uint32_t find_named(const weights_match_t *match, const char *name) {
  uint32_t found = UINT32_MAX;
  for (uint32_t t = 0; t < match->tensors->items.count; t++) {
    const char *key = key_in_container(match, t);
    if (key == NULL) continue;
    if (strcmp(key, name) == 0) return t;
    if (found == UINT32_MAX && names_match(key, name)) found = t;
  }
  return found;
}

// a__parametrizations__weight__original0 was a__weight_g, ...1 was a__weight_v; false for other names.
static bool put_old_name(const char *name, leat_text_t *out_old) {
  static const char marker[] = "parametrizations__", ending[] = "__original";
  const char *at = strstr(name, marker);
  const size_t length = strlen(name), end = sizeof ending - 1;
  if (at == NULL || length < end + 1) return false;
  const char *last = name + length - 1 - end, *rest = at + sizeof marker - 1;
  if (last <= rest || strncmp(last, ending, end) != 0 || (last[end] != '0' && last[end] != '1')) return false;
  leat_text_deinit(out_old);
  leat_text_put(out_old, "%.*s%.*s_%c", (int)(at - name), name, (int)(last - rest), rest, last[end] == '0' ? 'g' : 'v');
  return !out_old->failed;
}

static uint32_t find_tensor(weights_match_t *match, const char *name) {
  const uint32_t found = find_named(match, name);
  if (found != UINT32_MAX || !put_old_name(name, &match->old_name)) return found;
  return find_named(match, match->old_name.data);
}

static bool may_be_missing(const char *name) {
  static const char count[] = "__num_batches_tracked";
  const size_t length = strlen(name);
  return length >= sizeof count - 1 && strcmp(name + length - (sizeof count - 1), count) == 0;
}

static uint32_t count_found(weights_match_t *match, uint32_t *out_wanted) {
  const leat_pef_t *pef = match->program->pef;
  uint32_t found = 0;
  *out_wanted = 0;
  for (uint32_t s = 0; s < pef->symbol_count; s++) {
    if (!wants_weights(&pef->symbols[s])) continue;
    *out_wanted += 1;
    found += find_tensor(match, pef->strings + pef->symbols[s].name) != UINT32_MAX;
  }
  return found;
}

// Length of the first `parts` parts of a key with their dots; 0 where it has no more parts than these.
static size_t prefix_length(const char *key, uint32_t parts) {
  const char *dot = key - 1;
  for (uint32_t i = 0; i < parts; i++) {
    dot = strchr(dot + 1, '.');
    if (dot == NULL) return 0;
  }
  return (size_t)(dot - key) + 1;
}

enum { PARTS_MAX = 4, TRIALS_MAX = 256 };

// The whole file if all symbols find their tensor there, else the prefix of keys that serves most, the shortest first.
static void choose_container(weights_match_t *match) {
  uint32_t wanted, trials = 0, most = count_found(match, &wanted);
  const char *best = "";
  size_t best_length = 0;
  for (uint32_t parts = 1; parts <= PARTS_MAX; parts++) {
    match->container_length = 0;
    for (uint32_t t = 0; t < match->tensors->items.count && most < wanted && trials < TRIALS_MAX; t++) {
      const char *name = match->tensors->items.data[t].name;
      const size_t length = prefix_length(name, parts);
      if (length == 0 || (match->container_length > 0 && key_in_container(match, t) != NULL)) continue;
      match->container = name, match->container_length = length;
      trials++;
      const uint32_t found = count_found(match, &wanted);
      if (found > most) most = found, best = name, best_length = length;
    }
  }
  match->container = best, match->container_length = best_length;
}

static void put_name(leat_text_t *list, const char *name) {
  leat_text_put(list, "%s%s", list->length > 0 ? ", " : "", name);
}

static void put_shape(leat_text_t *text, uint32_t dtype, uint32_t rank, const int64_t *dims) {
  leat_text_put(text, "%s[", leat_pef_dtype_name(dtype));
  for (uint32_t d = 0; d < rank; d++) leat_text_put(text, "%s%lld", d > 0 ? "," : "", (long long)dims[d]);
  leat_text_put(text, "]");
}

static bool is_float(uint32_t dtype) { return leat_pef_dtype_class(dtype) != PEF_CLASS_I64; }

static void check_match(weights_match_t *match, const pef_symbol_t *symbol, const leat_io_tensor_t *tensor) {
  bool same = symbol->rank == tensor->rank && is_float(symbol->dtype) == is_float(tensor->dtype);
  for (uint32_t d = 0; same && d < symbol->rank; d++) same = symbol->dims[d] == tensor->dims[d];
  if (same) return;
  put_name(&match->wrong, match->program->pef->strings + symbol->name);
  leat_text_put(&match->wrong, " is ");
  put_shape(&match->wrong, symbol->dtype, symbol->rank, symbol->dims);
  leat_text_put(&match->wrong, " but ");
  put_shape(&match->wrong, tensor->dtype, tensor->rank, tensor->dims);
  leat_text_put(&match->wrong, " in the file");
}

// One tensor of a module under two names (tied weights) lies in the file once: the second entry is where a symbol's is.
static bool is_second_name(const weights_match_t *match, uint32_t t) {
  const leat_io_tensor_t *items = match->tensors->items.data;
  for (uint32_t s = 0; s < match->program->pef->symbol_count; s++) {
    const uint32_t of = match->tensor_of[s];
    if (of == UINT32_MAX || items[of].data != items[t].data || items[of].data_bytes != items[t].data_bytes) continue;
    if (items[of].dtype == items[t].dtype && items[t].data_bytes != 0) return true;
  }
  return false;
}

static void match_all(weights_match_t *match) {
  const leat_pef_t *pef = match->program->pef;
  for (uint32_t s = 0; s < pef->symbol_count; s++) {
    match->tensor_of[s] = UINT32_MAX;
    if (!wants_weights(&pef->symbols[s])) continue;
    const char *name = pef->strings + pef->symbols[s].name;
    uint32_t t = match->tensor_of[s] = find_tensor(match, name);
    if (t == UINT32_MAX) {
      if (!may_be_missing(name)) put_name(&match->missing, name);
    } else {
      match->taken[t] = true;
      check_match(match, &pef->symbols[s], &match->tensors->items.data[t]);
    }
  }
  for (uint32_t t = 0; t < match->tensors->items.count; t++) {
    if (!match->taken[t] && key_in_container(match, t) != NULL && !is_second_name(match, t)) {
      put_name(&match->extra, match->tensors->items.data[t].name);
    }
  }
}

static leat_status_t verdict(const weights_match_t *match, bool lets_extra_through) {
  const bool too_many = match->extra.length != 0 && !lets_extra_through;
  if (match->missing.length + match->wrong.length == 0 && !too_many) return NULL;
  const char *missing = match->missing.data, *wrong = match->wrong.data;
  const char *extra = too_many ? match->extra.data : NULL;
  LEAT_FAIL(LEAT_MISMATCH, "the file does not fit the program%s%s%s%s%s%s; nothing was loaded",
            missing != NULL ? "; missing: " : "", missing != NULL ? missing : "",
            extra != NULL ? "; not of the program: " : "", extra != NULL ? extra : "",
            wrong != NULL ? "; of another shape: " : "", wrong != NULL ? wrong : "");
}

// Converts when the dtypes differ, strip by strip: floats through f64, integers through i64.
static void copy_in(leat_program_t *program, uint32_t symbol, const leat_io_tensor_t *tensor) {
  enum { STRIP = 256 };
  const uint32_t twin = program->symbols[symbol].twin;
  if (twin != PEF_NONE) program = program->beside, symbol = twin;
  const pef_symbol_t *file = &program->pef->symbols[symbol];
  char *to = program->symbols[symbol].data;
  if (file->dtype == tensor->dtype) {
    const size_t elements = tensor->data_bytes / leat_pef_dtype_bytes(file->dtype);
    leat_run_blocks_put(program->pef, symbol, to, 0, elements, tensor->data);
    return;
  }
  const uint32_t class_ = is_float(file->dtype) ? PEF_CLASS_F64 : PEF_CLASS_I64;
  const size_t from_bytes = leat_pef_dtype_bytes(tensor->dtype);
  const size_t count = tensor->data_bytes / from_bytes;
  for (size_t i = 0; i < count; i += STRIP) {
    const int64_t n = count - i < STRIP ? (int64_t)(count - i) : STRIP;
    const char *from = (const char *)tensor->data + i * from_bytes;
    uint64_t values[STRIP], stored[STRIP];
    program->engine->load(program->engine_state, class_, tensor->dtype, values, from, 1, n);
    program->engine->store(program->engine_state, class_, file->dtype, stored, 1, values, n);
    leat_run_blocks_put(program->pef, symbol, to, i, (size_t)n, (const char *)stored);
  }
}

// `out_unused`: NULL where every tensor has to be used; else gets the names of those that are not, or NULL.
static leat_status_t load_matched(leat_program_t *program, const leat_tensors_t *tensors, char **out_unused) {
  weights_match_t match = {.program = program, .tensors = tensors, .container = ""};
  match.tensor_of = leat_alloc_zero(program->pef->symbol_count + 1u, sizeof *match.tensor_of);
  match.taken = leat_alloc_zero(tensors->items.count + 1u, sizeof *match.taken);
  leat_status_t status = NULL;
  if (match.tensor_of == NULL || match.taken == NULL) {
    status = leat_status_make(LEAT_OUT_OF_MEMORY, "no memory to match %u weights", tensors->items.count);
  } else {
    choose_container(&match);
    match_all(&match);
    status = verdict(&match, out_unused != NULL);
    for (uint32_t s = 0; status == NULL && s < program->pef->symbol_count; s++) {
      if (match.tensor_of[s] != UINT32_MAX) copy_in(program, s, &tensors->items.data[match.tensor_of[s]]);
    }
    if (status == NULL) ++*program->changes;
  }
  if (status == NULL && out_unused != NULL && match.extra.length != 0) {
    *out_unused = match.extra.data;
    match.extra = (leat_text_t){0};
  }
  leat_text_deinit(&match.old_name), leat_text_deinit(&match.missing), leat_text_deinit(&match.extra),
      leat_text_deinit(&match.wrong);
  leat_free(match.tensor_of), leat_free(match.taken);
  return status;
}

static leat_status_t load_weights(leat_program_t *program, const char *path, char **out_unused) {
  leat_tensors_t *tensors;
  LEAT_TRY(leat_weights_read(path, &tensors));
  leat_status_t status = load_matched(program, tensors, out_unused);
  leat_tensors_destroy(tensors);
  return leat_status_annotate(status, "weights %s", path);
}

LEAT_EXPORT leat_status_t leat_program_load_weights(leat_program_t *program, const char *path) {
  return load_weights(program, path, NULL);
}

LEAT_EXPORT leat_status_t leat_program_load_weights_of(leat_program_t *program, const char *path, char **out_unused) {
  *out_unused = NULL;
  return load_weights(program, path, out_unused);
}
