// SPDX-License-Identifier: Apache-2.0
// A stage against its block of stage.def: function, parameters, dims, rows, dtypes.
#include <stdio.h>

#include "pef/pef_check.h"

static const pef_operand_row_t *row_of(const pef_stage_site_t *site, uint32_t index) {
  return leat_pef_operand_row(site->stage->kind, index);
}

static bool is_absent(const pef_stage_site_t *site, uint32_t index) {
  return site->operands[index].space == PEF_SPACE_NONE;
}

// --- function and parameters -----------------------------------------------------------------------------------

static leat_status_t check_fn(const pef_stage_site_t *site) {
  const uint32_t fn = site->stage->fn, allowed = site->row->fns != 0 ? site->row->fns : 1;
  if ((allowed >> fn & 1) != 0) return NULL;
  return leat_pef_corrupt("function %u does not fit %s", fn, site->row->name);
}

static leat_status_t check_word(const pef_param_row_t *param, uint32_t index, int64_t value, int64_t low,
                                int64_t high) {
  if (value >= low && value <= high) return NULL;
  char at[8] = "";
  if (param->words > 1) (void)snprintf(at, sizeof at, "[%u]", index);
  if (low == high) {
    return leat_pef_corrupt("parameter '%s%s' is %lld, should be %lld", param->name, at, (long long)value,
                            (long long)low);
  }
  return leat_pef_corrupt("parameter '%s%s' is %lld, should be %lld to %lld", param->name, at, (long long)value,
                          (long long)low, (long long)high);
}

// The first operand with a dim of this letter.
static const pef_operand_t *operand_with(const pef_stage_site_t *site, char letter) {
  uint32_t i = 0;
  while (strchr(site->row->operands[i].dims, letter) == NULL) ++i;
  return &site->operands[i];
}

static void limits_of(const pef_stage_site_t *site, const pef_param_row_t *param, int64_t *out_low, int64_t *out_high) {
  const bool holds = (param->fns >> site->stage->fn & 1) != 0 && (param->dtypes >> site->operands[0].dtype & 1) != 0;
  *out_low = param->low;
  *out_high = param->high;
  if (param->range == PEF_RANGE_NUMBER && !holds) *out_low = *out_high = 0;
  if (param->range == PEF_RANGE_MASK) *out_high = (INT64_C(1) << site->operands[0].rank) - 1;
  if (param->range == PEF_RANGE_AT) *out_high = (int64_t)operand_with(site, param->letters[0])->rank - 1;
}

static uint32_t used_words(const pef_stage_site_t *site, const pef_param_row_t *param) {
  if (param->range == PEF_RANGE_UNUSED) return 0;
  if (param->times == PEF_SPATIAL) return (uint32_t)site->stage->params.window.spatial;
  return param->times == PEF_DIMS ? site->operands[0].rank : 1;
}

static leat_status_t check_param(const pef_stage_site_t *site, const pef_param_row_t *param, const int64_t *words) {
  int64_t low = 0, high = 0;
  limits_of(site, param, &low, &high);
  const uint32_t used = used_words(site, param);
  for (uint32_t i = 0; i < param->words; ++i) {
    if (param->range == PEF_RANGE_UNUSED && words[i] != 0) {
      return leat_pef_corrupt("word %td of the parameters is %lld, %s has none there",
                              words + i - site->stage->params.words, (long long)words[i], site->row->name);
    }
    if (words[i] != 0 && param->since > site->version_minor) {
      return leat_pef_corrupt("parameter '%s' is %lld, format 2.%u does not have it", param->name, (long long)words[i],
                              site->version_minor);
    }
    LEAT_TRY(check_word(param, i, words[i], i < used ? low : 0, i < used ? high : 0));
  }
  return NULL;
}

static leat_status_t check_params(const pef_stage_site_t *site) {
  const int64_t *words = site->stage->params.words;
  for (const pef_param_row_t *param = site->row->params; param->name != NULL; ++param) {
    LEAT_TRY(check_param(site, param, words));
    words += param->words;
  }
  return NULL;
}

// --- dims ------------------------------------------------------------------------------------------------------

enum { LETTERS = 128, UNKNOWN = -1 };

typedef struct pef_letters_s {
  int32_t count[LETTERS];     // how many dims the letter stands for
  uint32_t operand[LETTERS];  // that is compared with, + 1; 0: none yet
  uint8_t dim[LETTERS];       // of the first of them there
} pef_letters_t;

// The next letter of `dims`, and whether it stands for one dim; '\0' at the end.
static char next_letter(const char **dims, bool *out_single) {
  while (**dims == ' ') ++*dims;
  *out_single = **dims != '*';
  if (!*out_single) ++*dims;
  return **dims == '\0' ? '\0' : *(*dims)++;
}

// Dims of all letters of `dims` up to `stop` that are known; *out_open: one that is not, if any.
static int32_t known_dims(const pef_letters_t *letters, const char *dims, char stop, char *out_open) {
  int32_t known = 0;
  bool single;
  *out_open = '\0';
  for (char c = next_letter(&dims, &single); c != '\0' && c != stop; c = next_letter(&dims, &single)) {
    if (letters->count[(int)c] == UNKNOWN) {
      *out_open = c;
    } else {
      known += letters->count[(int)c];
    }
  }
  return known;
}

// `dims` up to `stop` have `total` dims together: what the open letter stands for.
static bool settle(pef_letters_t *letters, const char *dims, char stop, int64_t total) {
  char open;
  const int32_t known = known_dims(letters, dims, stop, &open);
  if (open == '\0') return known == total;
  letters->count[(int)open] = (int32_t)total - known;
  return known <= total;
}

static void read_letters(const pef_stage_site_t *site, pef_letters_t *letters) {
  memset(letters, 0, sizeof *letters);
  for (uint32_t i = 0; site->row->operands[i].name != NULL; ++i) {
    const char *dims = site->row->operands[i].dims;
    bool single;
    for (char c = next_letter(&dims, &single); c != '\0'; c = next_letter(&dims, &single)) {
      letters->count[(int)c] = single ? 1 : UNKNOWN;
    }
  }
  const int64_t *words = site->stage->params.words;
  for (const pef_param_row_t *param = site->row->params; param->name != NULL; words += param++->words) {
    for (const char *c = param->letters; c != NULL && *c != '\0' && param->range == PEF_RANGE_COUNT; ++c) {
      letters->count[(int)*c] = (int32_t)*words;
    }
  }
}

// Parameters that say the place of a dim.
static leat_status_t place_letters(const pef_stage_site_t *site, pef_letters_t *letters) {
  const int64_t *words = site->stage->params.words;
  for (const pef_param_row_t *param = site->row->params; param->name != NULL; words += param++->words) {
    if (param->range != PEF_RANGE_AT) continue;
    const pef_operand_t *operand = operand_with(site, param->letters[0]);
    const char *dims = row_of(site, (uint32_t)(operand - site->operands))->dims;
    char open;
    const int32_t known = known_dims(letters, dims, param->letters[0], &open);
    if (settle(letters, dims, param->letters[0], *words)) continue;
    return leat_pef_corrupt("parameter '%s' is %lld, should be at least %d (%s)", param->name, (long long)*words, known,
                            dims);
  }
  return NULL;
}

static leat_status_t check_letter(const pef_stage_site_t *site, pef_letters_t *letters, uint32_t index, uint32_t first,
                                  char c) {
  if (c >= '0' && c <= '9') {
    if (site->operands[index].dims[first] == c - '0') return NULL;
    return leat_pef_corrupt("dim %u of %s is %lld, should be %c", first, leat_pef_label(site, index).text,
                            (long long)site->operands[index].dims[first], c);
  }
  if (letters->operand[(int)c] == 0) {
    letters->operand[(int)c] = index + 1;
    letters->dim[(int)c] = (uint8_t)first;
    return NULL;
  }
  const uint32_t other = letters->operand[(int)c] - 1u;
  for (uint32_t d = 0; d < (uint32_t)letters->count[(int)c]; ++d) {
    LEAT_TRY(leat_pef_check_extent(site, index, first + d, other, letters->dim[(int)c] + d));
  }
  return NULL;
}

// Rows may only run along the dims of some letters. One-row bodies are one tile: anything goes.
static leat_status_t check_row_dim(const pef_stage_site_t *site, uint32_t index, uint32_t dim, char c) {
  if (site->operands[index].row_dim != dim || site->body->row_count == 1) return NULL;
  if (strchr(site->row->rows, c) != NULL && !leat_pef_stage_sums(site->stage, dim)) return NULL;
  return leat_pef_corrupt("rows of %s run along dim %u, which %s cannot cut", leat_pef_label(site, index).text, dim,
                          site->row->name);
}

// Nor may axes.
static leat_status_t check_cut_dim(const pef_stage_site_t *site, uint32_t index, uint32_t dim, char c) {
  if (site->pef->cut_count == 0 || leat_pef_cut_of_dim(site->pef, &site->operands[index], dim) == NULL) return NULL;
  const bool may = site->row->space != NULL && strchr(site->row->space, c) != NULL;
  if (may && !leat_pef_stage_sums(site->stage, dim)) return NULL;
  return leat_pef_corrupt("an axis runs along dim %u of %s, which %s cannot cut", dim, leat_pef_label(site, index).text,
                          site->row->name);
}

static leat_status_t check_rank(const pef_stage_site_t *site, pef_letters_t *letters, uint32_t index) {
  const char *dims = row_of(site, index)->dims;
  const int32_t rank = site->operands[index].rank;
  char open;
  const int32_t known = known_dims(letters, dims, '\0', &open);
  if (settle(letters, dims, '\0', rank)) return NULL;
  return leat_pef_corrupt("%s has rank %d, should have %s%d (%s)", leat_pef_label(site, index).text, rank,
                          open == '\0' ? "" : "at least ", known, dims);
}

static leat_status_t check_operand_dims(const pef_stage_site_t *site, pef_letters_t *letters, uint32_t index) {
  const char *dims = row_of(site, index)->dims;
  uint32_t first = 0;
  bool single;
  for (char c = next_letter(&dims, &single); c != '\0'; c = next_letter(&dims, &single)) {
    LEAT_TRY(check_letter(site, letters, index, first, c));
    const uint32_t end = first + (uint32_t)letters->count[(int)c];
    for (; first < end; ++first) {
      LEAT_TRY(check_row_dim(site, index, first, c));
      LEAT_TRY(check_cut_dim(site, index, first, c));
    }
  }
  return NULL;
}

// Outputs first: the others are compared with them, since these may lack the row dim where they are broadcast.
static leat_status_t check_dims(const pef_stage_site_t *site) {
  pef_letters_t letters;
  read_letters(site, &letters);
  LEAT_TRY(place_letters(site, &letters));
  for (uint32_t i = 0; i < site->stage->operand_count; ++i) {
    if (!is_absent(site, i)) LEAT_TRY(check_rank(site, &letters, i));
  }
  for (uint32_t pass = 0; pass < 2; ++pass) {
    for (uint32_t i = 0; i < site->stage->operand_count; ++i) {
      const bool written = leat_pef_site_writes(site, i);
      if (written == (pass == 0) && !is_absent(site, i)) LEAT_TRY(check_operand_dims(site, &letters, i));
    }
  }
  return NULL;
}

// --- dtypes ----------------------------------------------------------------------------------------------------

typedef struct pef_dtype_names_s {
  char text[64];
} pef_dtype_names_t;

static pef_dtype_names_t dtype_names(uint32_t dtypes) {
  pef_dtype_names_t names = {{0}};
  for (uint32_t i = 0; i < PEF_DTYPE_COUNT; ++i) {
    if ((dtypes >> i & 1) == 0) continue;
    const size_t length = strlen(names.text);
    (void)snprintf(names.text + length, sizeof names.text - length, "%s%s", length == 0 ? "" : " or ",
                   leat_pef_dtype_name(i));
  }
  return names;
}

static leat_status_t check_relation(const pef_stage_site_t *site, uint32_t index, const pef_operand_row_t *row) {
  const uint32_t dtype = site->operands[index].dtype, other = site->operands[row->other].dtype;
  if (row->relation == PEF_SAME_DTYPE && dtype != other) {
    return leat_pef_corrupt("%s is %s, should be %s as '%s'", leat_pef_label(site, index).text,
                            leat_pef_dtype_name(dtype), leat_pef_dtype_name(other), row_of(site, row->other)->name);
  }
  if (row->relation == PEF_SAME_CLASS) return leat_pef_check_class(site, index, row->other);
  return NULL;
}

static leat_status_t check_dtypes(const pef_stage_site_t *site) {
  const pef_stage_row_t *kind = site->row;
  for (uint32_t i = 0; i < site->stage->operand_count; ++i) {
    const pef_operand_row_t *row = row_of(site, i);
    const uint32_t dtype = site->operands[i].dtype;
    if (is_absent(site, i)) continue;
    if ((row->dtypes >> dtype & 1) == 0) {
      return leat_pef_corrupt("%s is %s, should be %s", leat_pef_label(site, i).text, leat_pef_dtype_name(dtype),
                              dtype_names(row->dtypes).text);
    }
    LEAT_TRY(check_relation(site, i, row));
    if ((kind->without_fns >> site->stage->fn & 1) != 0 && (kind->without_dtypes >> dtype & 1) != 0) {
      return leat_pef_corrupt("%s is %s, for which %s has no function %u", leat_pef_label(site, i).text,
                              leat_pef_dtype_name(dtype), kind->name, site->stage->fn);
    }
  }
  return NULL;
}

// A stage that writes nothing has no place.
static leat_status_t check_outputs(const pef_stage_site_t *site) {
  for (uint32_t i = 0; i < site->stage->operand_count; ++i) {
    if (leat_pef_site_writes(site, i) && !is_absent(site, i)) return NULL;
  }
  return leat_pef_corrupt("it writes none of its operands");
}

leat_status_t leat_pef_check_stage(const pef_stage_site_t *site) {
  if (site->row->since > site->version_minor) {
    return leat_pef_corrupt("format 2.%u does not have %s", site->version_minor, site->row->name);
  }
  LEAT_TRY(check_outputs(site));
  LEAT_TRY(check_fn(site));
  LEAT_TRY(check_params(site));
  LEAT_TRY(check_dims(site));
  LEAT_TRY(check_dtypes(site));
  return site->row->rule != NULL ? site->row->rule(site) : NULL;
}

// --- extents of 0 ------------------------------------------------------------------------------------------------

// What an element of the result is made of has elements, where the kind has no value for none.
leat_status_t leat_pef_check_elements(const pef_stage_site_t *site) {
  if (site->idle || (site->row->elements >> site->stage->fn & 1) == 0) return NULL;
  for (uint32_t i = 0; i < site->stage->operand_count; ++i) {
    for (uint32_t d = 0; d < site->operands[i].rank; ++d) {
      if (site->operands[i].dims[d] > 0) continue;
      return leat_pef_corrupt("dim %u of %s is empty: %s has no result for that", d, leat_pef_label(site, i).text,
                              site->row->name);
    }
  }
  return NULL;
}
