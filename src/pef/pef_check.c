// SPDX-License-Identifier: Apache-2.0
// Tables of the file: strings, info, symbols, calls with their arguments, bodies with their stages.
#include "pef/pef_check.h"

#include <math.h>

#include "pef/pef_index.h"
#include "pef/walk.h"

#define EXTENT_LIMIT (UINT64_C(1) << 40)  // of rows; keeps every product with a record's size in range
#define BYTES_LIMIT (UINT64_C(1) << 62)
#define ALIAS_STEPS (INT64_C(1) << 27)  // that looking for shared memory takes in one file: a second
#define WORK_LIMIT 0x1p34               // steps of a run that no size accounts for: seconds
#define STEPS_OF_CALL 64                // that a call takes at least

typedef struct pef_checker_s {
  const leat_pef_t *pef;
  pef_slot_use_t *uses;  // of the body under check, by slot
  pef_buffer_use_t *buffer_uses;
  uint32_t *calls_by_body;  // call indices, grouped by body
  uint32_t *first_call;     // body_count + 1 offsets into calls_by_body
  double body_work, work;   // surplus of the body under check, and of all calls so far
  double body_steps;        // all steps of the body under check
  double work_again;        // steps of all trips but the first ones
  double touched;           // bytes, of all calls so far
  double *times;            // per call: how often a run makes it
  int64_t alias_steps;      // left
  uint32_t output_count;    // symbols of kind OUTPUT
  bool writes_argument;     // the body under check writes something that lies in an argument
} pef_checker_t;

static unsigned long long byte_of(const leat_pef_t *pef, enum pef_segment_kind segment, uint64_t index) {
  return leat_pef_byte_of(pef, segment, index);
}

// A string of the file as it may appear in a message: no control characters, at most 96 bytes.
typedef struct pef_shown_s {
  char text[97];
} pef_shown_t;

static pef_shown_t shown(const char *text) {
  pef_shown_t out = {{0}};
  size_t length = strnlen(text, sizeof out.text);
  if (length == sizeof out.text) {
    for (--length; length > 0 && (text[length] & 0xc0) == 0x80;) --length;  // not within a character
  }
  for (size_t i = 0; i < length; ++i) out.text[i] = (unsigned char)text[i] < ' ' || text[i] == 0x7f ? '?' : text[i];
  return out;
}

static pef_shown_t text_of(const leat_pef_t *pef, uint32_t string) {
  return shown(string < pef->string_bytes ? pef->strings + string : "?");
}

// --- strings and info ------------------------------------------------------------------------------------------

static leat_status_t check_strings(const leat_pef_t *pef) {
  if (pef->string_bytes == 0 || pef->strings[0] != '\0' || pef->strings[pef->string_bytes - 1] != '\0') {
    return leat_pef_corrupt("segment 'strings' must start and end with a NUL");
  }
  for (uint32_t i = 0; i < pef->string_bytes;) {
    const uint32_t length = leat_utf8_length(pef->strings + i);
    if (length == 0) return leat_pef_corrupt("string byte %u is not UTF-8", i);
    i += length;
  }
  return NULL;
}

static leat_status_t check_string(const leat_pef_t *pef, uint32_t string, const char *what) {
  if (string < pef->string_bytes) return NULL;
  return leat_pef_corrupt("%s is string %u of %u bytes", what, string, pef->string_bytes);
}

static leat_status_t check_info(const leat_pef_t *pef) {
  if (pef->info_count != 1) return leat_pef_corrupt("segment 'info' must hold exactly one record");
  const pef_info_t *info = pef->info;
  LEAT_TRY(check_string(pef, info->arch, "arch"));
  LEAT_TRY(check_string(pef, info->compiler, "compiler"));
  uint64_t total = info->arena_bytes;
  for (uint32_t i = 0; i < pef->symbol_count && total < BYTES_LIMIT; ++i) total += pef->symbols[i].bytes + PEF_ALIGN;
  if (total >= BYTES_LIMIT) return leat_pef_corrupt("sizes of arena and symbols do not fit an address space");
  if (info->fingerprint_version > UINT32_MAX) {
    return leat_pef_corrupt("fingerprints of version %llu", (unsigned long long)info->fingerprint_version);
  }
  if (info->inference > 1) return leat_pef_corrupt("the inference mark is %u", info->inference);
  if (!isfinite(info->run_flops) || !isfinite(info->run_bytes)) return leat_pef_corrupt("costs are not finite");
  return NULL;
}

// --- symbols ---------------------------------------------------------------------------------------------------

// Least and greatest value of each integer dtype that an f64 `init` may state exactly.
static bool init_fits(uint8_t dtype, double value) {
  static const struct {
    double low, high;
  } range[PEF_DTYPE_COUNT] = {
      [PEF_I8] = {-128, 127},
      [PEF_U8] = {0, 255},
      [PEF_I16] = {-32768, 32767},
      [PEF_I32] = {-2147483648.0, 2147483647.0},
      [PEF_I64] = {-9007199254740992.0, 9007199254740992.0},
      [PEF_BOOL] = {0, 1},
  };
  if (leat_pef_dtype_class(dtype) != PEF_CLASS_I64) return true;
  return value >= range[dtype].low && value <= range[dtype].high && value == rint(value);
}

static leat_status_t check_symbol(const leat_pef_t *pef, const pef_symbol_t *symbol) {
  LEAT_TRY(check_string(pef, symbol->name, "name"));
  if (pef->strings[symbol->name] == '\0') return leat_pef_corrupt("the name is empty");
  if (symbol->kind >= PEF_SYMBOL_KIND_COUNT) return leat_pef_corrupt("kind %u does not exist", symbol->kind);
  if (symbol->dtype >= PEF_DTYPE_COUNT) return leat_pef_corrupt("dtype %u does not exist", symbol->dtype);
  if (symbol->rank > PEF_MAX_RANK) return leat_pef_corrupt("rank %u is over %u", symbol->rank, PEF_MAX_RANK);
  if ((symbol->reserved0 | symbol->reserved1) != 0) return leat_pef_corrupt("reserved bytes are not zero");
  uint64_t bytes = leat_pef_dtype_bytes(symbol->dtype);
  for (uint32_t i = 0; i < PEF_MAX_RANK; ++i) {
    const int64_t dim = symbol->dims[i];
    if (dim < 0 || (i >= symbol->rank && dim != 0)) return leat_pef_corrupt("dim %u is %lld", i, (long long)dim);
    if (i < symbol->rank && (__builtin_mul_overflow(bytes, (uint64_t)dim, &bytes) || bytes >= BYTES_LIMIT)) {
      return leat_pef_corrupt("its dims do not fit an address space");
    }
  }
  if (symbol->bytes != bytes) {
    return leat_pef_corrupt("its dims need %llu bytes, it states %llu", (unsigned long long)bytes,
                            (unsigned long long)symbol->bytes);
  }
  const bool may_belong =
      symbol->kind == PEF_SYMBOL_GRADIENT || symbol->kind == PEF_SYMBOL_STATE || symbol->kind == PEF_SYMBOL_SEED;
  if (symbol->of != PEF_NONE && (!may_belong || symbol->of >= pef->symbol_count)) {
    return leat_pef_corrupt("it cannot belong to symbol %u", symbol->of);
  }
  double init = 0;
  memcpy(&init, &symbol->init, sizeof init);
  if (!init_fits(symbol->dtype, init)) {
    return leat_pef_corrupt("initial value %g does not fit %s", init, leat_pef_dtype_name(symbol->dtype));
  }
  return NULL;
}

typedef struct pef_name_query_s {
  const leat_pef_t *pef;
  const char *name;
} pef_name_query_t;

static bool name_equal(const void *context, uint64_t id) {
  const pef_name_query_t *query = context;
  return strcmp(query->pef->strings + query->pef->symbols[id].name, query->name) == 0;
}

static leat_status_t check_names_unique(const leat_pef_t *pef, pef_index_t *index) {
  for (uint32_t i = 0; i < pef->symbol_count; ++i) {
    const char *name = pef->strings + pef->symbols[i].name;
    const uint64_t hash = leat_pef_hash(name, strlen(name));
    uint64_t other = 0;
    if (leat_pef_index_find(index, hash, name_equal, &(pef_name_query_t){pef, name}, &other)) {
      return leat_pef_corrupt("symbols %u and %u are both called '%s'", (uint32_t)other, i, shown(name).text);
    }
    if (!leat_pef_index_add(index, hash, i)) return leat_out_of_memory();
  }
  return NULL;
}

static leat_status_t check_symbols(const leat_pef_t *pef) {
  for (uint32_t i = 0; i < pef->symbol_count; ++i) {
    const pef_symbol_t *symbol = &pef->symbols[i];
    LEAT_TRY(leat_status_annotate(check_symbol(pef, symbol), "symbol %u (%s, at byte %llu)", i,
                                  text_of(pef, symbol->name).text, byte_of(pef, PEF_SEGMENT_SYMBOLS, i)));
  }
  pef_index_t index = {0};
  leat_status_t status = check_names_unique(pef, &index);
  leat_pef_index_deinit(&index);
  return status;
}

// --- calls and arguments ---------------------------------------------------------------------------------------

static leat_status_t check_call(const leat_pef_t *pef, const pef_call_t *call) {
  LEAT_TRY(check_string(pef, call->name, "name"));
  LEAT_TRY(check_string(pef, call->why, "why"));
  if (call->type >= PEF_TYPE_COUNT) return leat_pef_corrupt("section type %u does not exist", call->type);
  if (call->barrier > 1 || call->when >= PEF_WHEN_COUNT || call->reserved1 != 0)
    return leat_pef_corrupt("barrier, batches or reserved bytes are wrong");
  if (call->body >= pef->body_count) return leat_pef_corrupt("body %u of %u", call->body, pef->body_count);
  if (!isfinite(call->flops) || !isfinite(call->bytes)) return leat_pef_corrupt("costs are not finite");
  const uint32_t wanted = pef->bodies[call->body].argument_count;
  if (call->argument_count != wanted) {
    return leat_pef_corrupt("%u arguments for body %u, which takes %u", call->argument_count, call->body, wanted);
  }
  for (uint32_t i = 0; i < call->argument_count; ++i) {
    const uint32_t index = call->argument_first + i;
    LEAT_TRY(leat_status_annotate(leat_pef_check_argument(pef, &pef->arguments[index]), "argument %u (at byte %llu)", i,
                                  byte_of(pef, PEF_SEGMENT_ARGUMENTS, index)));
  }
  return NULL;
}

static leat_status_t check_calls(const leat_pef_t *pef) {
  for (uint32_t i = 0; i < pef->call_count; ++i) {
    const pef_call_t *call = &pef->calls[i];
    LEAT_TRY(leat_status_annotate(check_call(pef, call), "call %u (%s, at byte %llu)", i, text_of(pef, call->name).text,
                                  byte_of(pef, PEF_SEGMENT_CALLS, i)));
  }
  return NULL;
}

// --- bodies and stages -----------------------------------------------------------------------------------------

// Only a kind of any number of operands has instructions.
static leat_status_t check_counts(const pef_stage_t *stage) {
  const pef_stage_row_t *row = leat_pef_stage_row(stage->kind);
  uint32_t wanted = 0;
  while (row->operands[wanted].name != NULL) ++wanted;
  const bool many = (row->operands[0].traits & PEF_MANY) != 0;
  if (many || (stage->operand_count == wanted && stage->instruction_count == 0)) return NULL;
  return leat_pef_corrupt("%u operands and %u instructions, %s has %u and none", stage->operand_count,
                          stage->instruction_count, row->name, wanted);
}

static leat_status_t check_stage_record(const pef_checker_t *checker, const pef_stage_t *stage) {
  LEAT_TRY(check_string(checker->pef, stage->origin, "origin"));
  if (stage->kind >= PEF_STAGE_COUNT) return leat_pef_corrupt("stage kind %u does not exist", stage->kind);
  if (stage->fn >= PEF_FN_COUNT) return leat_pef_corrupt("function %u does not exist", stage->fn);
  if (stage->reserved0 != 0) return leat_pef_corrupt("reserved bytes are not zero");
  if (stage->output != PEF_NO_OUTPUT && stage->output >= checker->output_count) {
    return leat_pef_corrupt("output %u, there are %u outputs", stage->output, checker->output_count);
  }
  if (stage->instruction_count > PEF_MAX_INSTRUCTIONS) {
    return leat_pef_corrupt("%u instructions", stage->instruction_count);
  }
  return check_counts(stage);
}

static pef_stage_site_t site_of(const leat_pef_t *pef, const pef_body_t *body, const pef_stage_t *stage) {
  return (pef_stage_site_t){.pef = pef,
                            .stage = stage,
                            .row = leat_pef_stage_row(stage->kind),
                            .operands = pef->operands + stage->operand_first,
                            .instructions = pef->instructions + stage->instruction_first,
                            .body = body,
                            .buffers = pef->buffers + body->buffer_first,
                            .version_minor = pef->version_major == 1 ? PEF_VERSION_MINOR : pef->version_minor,
                            .access = pef->access + stage->operand_first};
}

// All reads, then all writes.
static leat_status_t check_buffer_uses(pef_checker_t *checker, const pef_stage_site_t *site) {
  const uint32_t stage = (uint32_t)(site->stage - checker->pef->stages) - site->body->stage_first;
  for (uint32_t i = 0; i < 2u * site->stage->operand_count; ++i) {
    const bool written = i >= site->stage->operand_count;
    const uint32_t index = written ? i - site->stage->operand_count : i;
    LEAT_TRY(leat_status_annotate(leat_pef_check_buffer_use(site, index, written, stage, checker->buffer_uses),
                                  "%s (at byte %llu)", leat_pef_label(site, index).text,
                                  byte_of(checker->pef, PEF_SEGMENT_OPERANDS, site->stage->operand_first + index)));
  }
  return NULL;
}

static leat_status_t check_stage(pef_checker_t *checker, const pef_body_t *body, const pef_stage_t *stage) {
  const leat_pef_t *pef = checker->pef;
  LEAT_TRY(check_stage_record(checker, stage));
  pef_stage_site_t site = site_of(pef, body, stage);
  for (uint32_t i = 0; i < stage->operand_count; ++i) {
    LEAT_TRY(leat_status_annotate(leat_pef_check_operand(&site, i), "%s (at byte %llu)", leat_pef_label(&site, i).text,
                                  byte_of(pef, PEF_SEGMENT_OPERANDS, stage->operand_first + i)));
  }
  LEAT_TRY(leat_pef_check_stage(&site));
  LEAT_TRY(leat_pef_check_cuts(&site));
  site.idle = leat_pef_stage_is_idle(pef, stage);
  LEAT_TRY(leat_pef_check_elements(&site));
  checker->body_work += leat_pef_surplus_work(&site);
  checker->body_steps += leat_pef_work(&site);
  for (uint32_t i = 0; i < stage->operand_count; ++i) {
    LEAT_TRY(leat_status_annotate(leat_pef_check_reach(&site, i, checker->uses), "%s (at byte %llu)",
                                  leat_pef_label(&site, i).text,
                                  byte_of(pef, PEF_SEGMENT_OPERANDS, stage->operand_first + i)));
    const bool written = leat_pef_site_writes(&site, i) && !site.idle;
    checker->writes_argument |= written && site.operands[i].space == PEF_SPACE_ARGUMENT;
  }
  return check_buffer_uses(checker, &site);
}

static leat_status_t check_body_record(const pef_body_t *body) {
  if (body->argument_count > PEF_MAX_ARGUMENTS) return leat_pef_corrupt("%u arguments", body->argument_count);
  if (body->row_count == 0 || body->row_count > EXTENT_LIMIT || body->tile_rows_max == 0 ||
      body->tile_rows_max > EXTENT_LIMIT || body->tile_quantum == 0) {
    return leat_pef_corrupt("rows, tile rows and tile quantum (%llu, %llu, %u) must be at least 1",
                            (unsigned long long)body->row_count, (unsigned long long)body->tile_rows_max,
                            body->tile_quantum);
  }
  if (body->buffer_count > PEF_MAX_BUFFERS) return leat_pef_corrupt("%u tile buffers", body->buffer_count);
  return NULL;
}

static leat_status_t check_body(pef_checker_t *checker, const pef_body_t *body) {
  const leat_pef_t *pef = checker->pef;
  LEAT_TRY(check_body_record(body));
  LEAT_TRY(leat_pef_check_buffers(pef, body, checker->buffer_uses));
  checker->body_work = checker->body_steps = 0;
  checker->writes_argument = false;
  for (uint32_t i = body->stage_first; i < body->stage_first + body->stage_count; ++i) {
    const pef_stage_t *stage = &pef->stages[i];
    LEAT_TRY(leat_status_annotate(check_stage(checker, body, stage), "stage %u (%s: %s, at byte %llu)", i,
                                  leat_pef_stage_name(stage->kind), text_of(pef, stage->origin).text,
                                  byte_of(pef, PEF_SEGMENT_STAGES, i)));
  }
  LEAT_TRY(leat_pef_check_lives(pef, body, checker->buffer_uses));
  LEAT_TRY(leat_pef_check_layout(pef, body));
  if (body->row_count > 1 && !checker->writes_argument) {
    return leat_pef_corrupt("%llu rows write no argument", (unsigned long long)body->row_count);
  }
  return NULL;
}

// Ready for the next body, whatever number of arguments this one claims to have.
static void clear_uses(pef_checker_t *checker, const pef_body_t *body) {
  const leat_pef_t *pef = checker->pef;
  const pef_stage_t *first = &pef->stages[body->stage_first], *last = first + body->stage_count - 1;
  for (uint32_t i = first->operand_first; i < last->operand_first + last->operand_count; ++i) {
    if (pef->operands[i].slot < body->argument_count) checker->uses[pef->operands[i].slot] = (pef_slot_use_t){0};
  }
}

// The stages of a body in one call.
static leat_status_t check_aliases(pef_checker_t *checker, const pef_body_t *body, const pef_call_t *call) {
  const leat_pef_t *pef = checker->pef;
  for (uint32_t i = body->stage_first; i < body->stage_first + body->stage_count && checker->alias_steps > 0; ++i) {
    pef_stage_site_t site = site_of(pef, body, &pef->stages[i]);
    site.idle = leat_pef_stage_is_idle(pef, site.stage);
    LEAT_TRY(leat_status_annotate(leat_pef_check_alias(&site, pef, call, &checker->alias_steps), "stage %u (%s: %s)", i,
                                  site.row->name, text_of(pef, site.stage->origin).text));
  }
  return NULL;
}

static leat_status_t check_calls_of_body(pef_checker_t *checker, uint32_t body) {
  const leat_pef_t *pef = checker->pef;
  for (uint32_t i = checker->first_call[body]; i < checker->first_call[body + 1]; ++i) {
    const pef_call_t *call = &pef->calls[checker->calls_by_body[i]];
    for (uint32_t slot = 0; slot < call->argument_count; ++slot) {
      const uint32_t argument = call->argument_first + slot;
      LEAT_TRY(leat_status_annotate(leat_pef_check_use(pef, argument, &checker->uses[slot]),
                                    "call %u (%s): argument %u (at byte %llu)", checker->calls_by_body[i],
                                    text_of(pef, call->name).text, slot,
                                    byte_of(pef, PEF_SEGMENT_ARGUMENTS, argument)));
      checker->touched += leat_pef_touched(pef, argument, &checker->uses[slot]);
    }
    LEAT_TRY(leat_status_annotate(check_aliases(checker, &pef->bodies[body], call), "call %u (%s)",
                                  checker->calls_by_body[i], text_of(pef, call->name).text));
  }
  return NULL;
}

// What the calls of a body do beyond what sizes account for.
static leat_status_t check_work(pef_checker_t *checker, uint32_t body) {
  for (uint32_t i = checker->first_call[body]; i < checker->first_call[body + 1]; ++i) {
    const double times = checker->times[checker->calls_by_body[i]];
    checker->work += checker->body_work * times;
    checker->work_again += (times - 1) * (checker->body_steps + STEPS_OF_CALL);
  }
  if (checker->work <= WORK_LIMIT) return NULL;
  return leat_pef_corrupt("its calls take %.3g steps more than the elements that they visit account for",
                          checker->work);
}

// Trips after the first do again what the first one did: as much as a product of matrices of all that calls touch.
static leat_status_t check_trips(const pef_checker_t *checker) {
  const double surplus = checker->work_again - 4 * checker->touched * sqrt(checker->touched);
  if (surplus <= WORK_LIMIT) return NULL;
  return leat_pef_corrupt("its loops take %.3g steps more than the bytes that they touch account for", surplus);
}

static leat_status_t check_bodies(pef_checker_t *checker) {
  const leat_pef_t *pef = checker->pef;
  // A segment that any reader may leave out, but what is compiled for native has it: another kind in its place is
  // damage.
  const bool native = strncmp(pef->strings + pef->info->arch, "native", strlen("native")) == 0;
  if ((pef->layout_count != 0 || native) && pef->layout_count != pef->buffer_count) {
    return leat_pef_corrupt("native's layout has %u places for %u tile buffers", pef->layout_count, pef->buffer_count);
  }
  for (uint32_t i = 0; i < pef->symbol_count; ++i) checker->output_count += pef->symbols[i].kind == PEF_SYMBOL_OUTPUT;
  for (uint32_t i = 0; i < pef->body_count; ++i) {
    leat_status_t status = check_body(checker, &pef->bodies[i]);
    if (status == NULL) status = check_work(checker, i);
    LEAT_TRY(leat_status_annotate(status, "body %u (at byte %llu)", i, byte_of(pef, PEF_SEGMENT_BODIES, i)));
    LEAT_TRY(check_calls_of_body(checker, i));
    clear_uses(checker, &pef->bodies[i]);
  }
  return check_trips(checker);
}

// --- the whole -------------------------------------------------------------------------------------------------

// Counting sort of the calls by body.
static void group_calls(pef_checker_t *checker) {
  const leat_pef_t *pef = checker->pef;
  uint32_t *first = checker->first_call;
  for (uint32_t i = 0; i < pef->call_count; ++i) ++first[pef->calls[i].body + 1];
  for (uint32_t i = 0; i < pef->body_count; ++i) first[i + 1] += first[i];
  for (uint32_t i = pef->call_count; i-- > 0;) {
    const uint32_t body = pef->calls[i].body;
    checker->calls_by_body[--first[body + 1]] = i;
  }
  // Each first[b + 1] has come down to the start of body b: shift the row back into place.
  for (uint32_t i = 0; i < pef->body_count; ++i) first[i] = first[i + 1];
  first[pef->body_count] = pef->call_count;
}

static void count_times(pef_checker_t *checker) {
  const leat_pef_t *pef = checker->pef;
  for (leat_walk_t walk = leat_walk_start(pef, 1); leat_walk_next(&walk);)
    checker->times[walk.call] = leat_walk_times(&walk);
}

static leat_status_t check_with_memory(pef_checker_t *checker) {
  const leat_pef_t *pef = checker->pef;
  checker->calls_by_body = leat_alloc_zero((size_t)pef->call_count + 1, sizeof(uint32_t));
  checker->first_call = leat_alloc_zero((size_t)pef->body_count + 1, sizeof(uint32_t));
  uint32_t arguments = 0, buffers = 0;  // of a body
  for (uint32_t i = 0; i < pef->body_count; ++i) {
    const pef_body_t *body = &pef->bodies[i];
    if (body->argument_count <= PEF_MAX_ARGUMENTS && body->argument_count > arguments) arguments = body->argument_count;
    if (body->buffer_count <= PEF_MAX_BUFFERS && body->buffer_count > buffers) buffers = body->buffer_count;
  }
  checker->uses = leat_alloc_zero((size_t)arguments + 1, sizeof *checker->uses);
  checker->buffer_uses = leat_alloc_zero((size_t)buffers + 1, sizeof *checker->buffer_uses);
  checker->times = leat_alloc_zero((size_t)pef->call_count + 1, sizeof *checker->times);
  if (checker->calls_by_body == NULL || checker->first_call == NULL || checker->uses == NULL ||
      checker->buffer_uses == NULL || checker->times == NULL) {
    return leat_out_of_memory();
  }
  group_calls(checker);
  count_times(checker);
  return check_bodies(checker);
}

leat_status_t leat_pef_check(const leat_pef_t *pef) {
  LEAT_TRY(check_strings(pef));
  LEAT_TRY(check_symbols(pef));
  LEAT_TRY(leat_status_annotate(check_info(pef), "info (at byte %llu)", byte_of(pef, PEF_SEGMENT_INFO, 0)));
  LEAT_TRY(check_calls(pef));
  LEAT_TRY(leat_pef_check_loops(pef));
  LEAT_TRY(leat_pef_check_bounds(pef));
  LEAT_TRY(leat_pef_check_blocks(pef));
  LEAT_TRY(leat_pef_check_spaces(pef));
  pef_checker_t *checker = leat_alloc_zero(1, sizeof *checker);
  if (checker == NULL) return leat_out_of_memory();
  checker->pef = pef;
  checker->alias_steps = ALIAS_STEPS;
  leat_status_t status = check_with_memory(checker);
  leat_free(checker->calls_by_body);
  leat_free(checker->first_call);
  leat_free(checker->uses);
  leat_free(checker->buffer_uses);
  leat_free(checker->times);
  leat_free(checker);
  return status != NULL ? status : leat_pef_check_chips(pef);
}
