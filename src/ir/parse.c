// SPDX-License-Identifier: Apache-2.0
// The parser of the graph text: recursive descent, one statement at a time, straight into a graph.
//
// A parsed graph is well formed (known ops, arities, attribute kinds, values defined before use). What depends on
// shapes or on the whole graph is for leat_graph_verify, which everything that takes a graph from outside calls.
#include <inttypes.h>

#include "ir/graph.h"
#include "ir/lex.h"
#include "ir/suggest.h"

enum { TEXT_VERSION = 1, BODIES_IN_BODIES_MAX = 8 };

// Numbers of the text -> values of the graph: open addressing, at most half full.
typedef struct number_slot_s {
  int64_t number;
  leat_value_id_t value;  // LEAT_NONE: free
} number_slot_t;

typedef struct parser_s {
  leat_lexer_t lexer;
  leat_graph_t *graph;
  leat_arena_t arena;  // strings and lists of attributes, until the graph has copied them
  number_slot_t *slots;
  uint32_t slot_count, slots_used;
  // the statement at hand
  uint32_t kind;
  LEAT_ARRAY(int64_t) numbers;  // of the results
  LEAT_ARRAY(leat_value_id_t) inputs;
  LEAT_ARRAY(leat_attr_t) attrs;
  LEAT_ARRAY(leat_value_t) results;
  LEAT_ARRAY(int64_t) list;
  leat_op_desc_t desc;  // type, detached, group, origin
} parser_t;

#define FAIL_HERE(p, ...) return leat_lexer_fail(&(p)->lexer, LEAT_INVALID_ARGUMENT, __VA_ARGS__)
#define TOKEN_TEXT(p) (int)((p)->lexer.token.length > 60 ? 60 : (p)->lexer.token.length), (p)->lexer.token.start

// --- tokens -------------------------------------------------------------------------------------------------------

static bool at_mark(const parser_t *p, char mark) { return leat_lexer_is_mark(&p->lexer, mark); }
static bool at_kind(const parser_t *p, leat_token_kind_t kind) { return p->lexer.token.kind == kind; }

static bool at_name(const parser_t *p, const char *name) {
  return at_kind(p, LEAT_TOKEN_NAME) && p->lexer.token.length == strlen(name) &&
         memcmp(p->lexer.token.start, name, p->lexer.token.length) == 0;
}

static leat_status_t advance(parser_t *p) { return leat_lexer_next(&p->lexer); }

static leat_status_t expect_mark(parser_t *p, char mark, const char *where) {
  if (!at_mark(p, mark)) FAIL_HERE(p, "expected '%c' %s", mark, where);
  return advance(p);
}

static leat_status_t expect_kind(parser_t *p, leat_token_kind_t kind, const char *what) {
  if (!at_kind(p, kind)) FAIL_HERE(p, "expected %s", what);
  return NULL;
}

// --- numbers of values --------------------------------------------------------------------------------------------

// The slot that holds `number`, or the free one where it belongs.
static number_slot_t *find_slot(const parser_t *p, int64_t number) {
  uint64_t hash = (uint64_t)number * UINT64_C(0x9e3779b97f4a7c15);
  for (uint32_t i = (uint32_t)(hash >> 32);; i++) {
    number_slot_t *slot = &p->slots[i & (p->slot_count - 1)];
    if (slot->value == LEAT_NONE || slot->number == number) return slot;
  }
}

static bool grow_slots(parser_t *p) {
  uint32_t old_count = p->slot_count;
  number_slot_t *old = p->slots;
  p->slot_count = old_count == 0 ? 256 : old_count * 2;
  p->slots = leat_alloc_zero(p->slot_count, sizeof *p->slots);
  if (p->slots == NULL) {
    p->slots = old;
    p->slot_count = old_count;
    return false;
  }
  for (uint32_t i = 0; i < p->slot_count; i++) p->slots[i].value = LEAT_NONE;
  for (uint32_t i = 0; i < old_count; i++) {
    if (old[i].value != LEAT_NONE) *find_slot(p, old[i].number) = old[i];
  }
  leat_free(old);
  return true;
}

static leat_status_t bind_number(parser_t *p, int64_t number, leat_value_id_t value) {
  if (p->slots_used * 2 >= p->slot_count && !grow_slots(p)) return leat_out_of_memory();
  *find_slot(p, number) = (number_slot_t){number, value};
  p->slots_used++;
  return NULL;
}

static leat_value_id_t value_of(const parser_t *p, int64_t number) {
  return p->slot_count == 0 ? LEAT_NONE : find_slot(p, number)->value;
}

// --- results and operands -----------------------------------------------------------------------------------------

static leat_status_t parse_results(parser_t *p) {
  p->numbers.count = 0;
  if (!at_kind(p, LEAT_TOKEN_VALUE)) return NULL;
  for (;;) {
    LEAT_TRY(expect_kind(p, LEAT_TOKEN_VALUE, "a value (%<number>)"));
    int64_t number = p->lexer.token.integer;
    bool taken = value_of(p, number) != LEAT_NONE;
    for (uint32_t i = 0; i < p->numbers.count; i++) taken = taken || p->numbers.data[i] == number;
    if (taken) FAIL_HERE(p, "%%%" PRId64 " is defined already", number);
    int64_t *slot = leat_array_push(&p->numbers);
    if (slot == NULL) return leat_out_of_memory();
    *slot = number;
    LEAT_TRY(advance(p));
    if (!at_mark(p, ',')) break;
    LEAT_TRY(advance(p));
  }
  return expect_mark(p, '=', "after the results");
}

static leat_status_t parse_op_name(parser_t *p) {
  LEAT_TRY(expect_kind(p, LEAT_TOKEN_NAME, "the name of an op"));
  const leat_token_t *token = &p->lexer.token;
  if (!leat_op_find(token->start, token->length, &p->kind)) {
    char hint[128];
    FAIL_HERE(p, "there is no op '%.*s'%s", TOKEN_TEXT(p),
              leat_suggest_op(token->start, token->length, hint, sizeof hint));
  }
  uint32_t expected = leat_op_info(p->kind)->result_count;
  if (p->numbers.count != expected && expected != LEAT_RESULTS_OF_BODY)
    FAIL_HERE(p, "'%.*s' has %" PRIu32 " results, but %" PRIu32 " are named", TOKEN_TEXT(p), expected,
              p->numbers.count);
  return advance(p);
}

static leat_status_t parse_operand(parser_t *p) {
  leat_value_id_t value = LEAT_NONE;
  if (at_kind(p, LEAT_TOKEN_VALUE)) {
    value = value_of(p, p->lexer.token.integer);
    if (value == LEAT_NONE) FAIL_HERE(p, "%%%" PRId64 " is not defined above this line", p->lexer.token.integer);
  } else if (!at_name(p, "none")) {
    FAIL_HERE(p, "expected an operand: %%<number> or none");
  }
  leat_value_id_t *slot = leat_array_push(&p->inputs);
  if (slot == NULL) return leat_out_of_memory();
  *slot = value;
  return advance(p);
}

static leat_status_t parse_operands(parser_t *p) {
  const leat_op_info_t *info = leat_op_info(p->kind);
  p->inputs.count = 0;
  LEAT_TRY(expect_mark(p, '(', "after the op"));
  while (!at_mark(p, ')')) {
    if (p->inputs.count != 0) LEAT_TRY(expect_mark(p, ',', "or ')' after an operand"));
    LEAT_TRY(parse_operand(p));
  }
  if (p->inputs.count < info->min_inputs || p->inputs.count > info->max_inputs)
    FAIL_HERE(p, "'%s' takes %u to %u operands, got %" PRIu32, info->name, info->min_inputs, info->max_inputs,
              p->inputs.count);
  return advance(p);
}

// --- attributes ---------------------------------------------------------------------------------------------------

// "[1, 2]" into p->list.
static leat_status_t parse_integers(parser_t *p) {
  p->list.count = 0;
  LEAT_TRY(expect_mark(p, '[', "before a list"));
  while (!at_mark(p, ']')) {
    if (p->list.count != 0) LEAT_TRY(expect_mark(p, ',', "or ']' in a list"));
    LEAT_TRY(expect_kind(p, LEAT_TOKEN_INTEGER, "an integer"));
    int64_t *slot = leat_array_push(&p->list);
    if (slot == NULL) return leat_out_of_memory();
    *slot = p->lexer.token.integer;
    LEAT_TRY(advance(p));
  }
  return advance(p);
}

static leat_status_t parse_list(parser_t *p, leat_attr_t *attr) {
  LEAT_TRY(parse_integers(p));
  int64_t *copy = leat_arena_alloc(&p->arena, p->list.count * sizeof *copy + 1);
  if (copy == NULL) return leat_out_of_memory();
  if (p->list.count != 0) memcpy(copy, p->list.data, p->list.count * sizeof *copy);
  attr->count = p->list.count;
  attr->v.l = copy;
  return NULL;
}

static leat_status_t parse_integer(parser_t *p, leat_attr_t *attr) {
  LEAT_TRY(expect_kind(p, LEAT_TOKEN_INTEGER, "an integer"));
  attr->v.i = p->lexer.token.integer;
  return advance(p);
}

// An integer will do for a float.
static leat_status_t parse_float(parser_t *p, leat_attr_t *attr) {
  if (at_name(p, "inf") || at_name(p, "nan")) {
    const char *end;
    attr->v.f = leat_text_read_double(p->lexer.token.start, &end);
    return advance(p);
  }
  if (!at_kind(p, LEAT_TOKEN_INTEGER)) LEAT_TRY(expect_kind(p, LEAT_TOKEN_FLOAT, "a number"));
  attr->v.f = p->lexer.token.number;
  return advance(p);
}

static leat_status_t parse_string(parser_t *p, const char **out_string) {
  LEAT_TRY(expect_kind(p, LEAT_TOKEN_STRING, "a string"));
  LEAT_TRY(leat_lexer_string(&p->lexer, &p->arena, out_string));
  return advance(p);
}

static leat_status_t parse_dtype(parser_t *p, leat_dtype_t *out_dtype) {
  bool known = at_kind(p, LEAT_TOKEN_NAME) && leat_dtype_find(p->lexer.token.start, p->lexer.token.length, out_dtype);
  if (!known) FAIL_HERE(p, "expected a dtype: f32, f64, bf16, f16, i8, u8, i16, i32, i64 or bool");
  return advance(p);
}

// A word of a closed set.
static leat_status_t parse_word(parser_t *p, leat_attr_t *attr) {
  const leat_lexer_t place = p->lexer;
  const char *text, *words = leat_op_words(p->kind, (leat_attr_key_t)attr->key);
  LEAT_TRY(parse_string(p, &text));
  if (leat_word_find(words, text, &attr->v.i)) return NULL;
  char choices[384];
  if (leat_op_is_primitive(p->kind) && leat_op_role(p->kind) == LEAT_ROLE_ELEMENTWISE)  // too many to list
    return leat_lexer_fail(&place, LEAT_INVALID_ARGUMENT, "there is no scalar function '%s'", text);
  return leat_lexer_fail(&place, LEAT_INVALID_ARGUMENT, "%s '%s' is none of %s",
                         leat_attr_name((leat_attr_key_t)attr->key), text,
                         leat_word_choices(words, choices, sizeof choices));
}

static leat_status_t parse_symbol(parser_t *p, leat_attr_t *attr) {
  const char *name;
  leat_symbol_id_t symbol;
  LEAT_TRY(parse_string(p, &name));
  LEAT_TRY(leat_graph_name_symbol(p->graph, name, &symbol));
  attr->v.i = symbol;
  return NULL;
}

// "lr,momentum": keys of the same op, none twice.
static leat_status_t parse_keys(parser_t *p, leat_attr_t *attr) {
  const leat_lexer_t place = p->lexer;
  const char *at;
  LEAT_TRY(parse_string(p, &at));
  int64_t *keys = leat_arena_alloc(&p->arena, (strlen(at) + 1) * sizeof *keys);
  if (keys == NULL) return leat_out_of_memory();
  attr->v.l = keys;
  while (*at != '\0') {
    const size_t length = strcspn(at, ",");
    leat_attr_key_t key = LEAT_ATTR_COUNT;
    if (!leat_attr_find(at, length, &key) || !leat_op_takes_attr(p->kind, key))
      return leat_lexer_fail(&place, LEAT_INVALID_ARGUMENT, "'%s' has no attribute '%.*s'", leat_op_info(p->kind)->name,
                             length > 60 ? 60 : (int)length, at);
    for (uint32_t i = 0; i < attr->count; i++) {
      if (keys[i] == (int64_t)key)
        return leat_lexer_fail(&place, LEAT_INVALID_ARGUMENT, "'%s' is listed twice", leat_attr_name(key));
    }
    keys[attr->count++] = key;
    at += length;
    if (at[0] == ',' && at[1] != '\0') at++;
  }
  return NULL;
}

static leat_status_t parse_spec(parser_t *p, leat_attr_t *attr) {
  const leat_lexer_t place = p->lexer;
  const char *text;
  LEAT_TRY(parse_string(p, &text));
  leat_spec_t *spec = leat_arena_alloc(&p->arena, sizeof *spec);
  if (spec == NULL) return leat_out_of_memory();
  attr->v.spec = spec;
  leat_status_t status = leat_spec_parse(text, spec);
  if (status == NULL) return NULL;
  leat_status_t placed = leat_lexer_fail(&place, leat_status_code(status), "%s", leat_status_message(status));
  leat_status_free(status);
  return placed;
}

static leat_status_t parse_attr_value(parser_t *p, leat_attr_t *attr) {
  switch (leat_attr_kind((leat_attr_key_t)attr->key)) {
    case 'I':
    case 'B':
      return parse_integer(p, attr);
    case 'F':
      return parse_float(p, attr);
    case 'S':
      return parse_string(p, &attr->v.s);
    case 'E':
      return parse_word(p, attr);
    case 'C':
      return parse_spec(p, attr);
    case 'K':
      return parse_keys(p, attr);
    case 'Y':
      return parse_symbol(p, attr);
    case 'L':
      return parse_list(p, attr);
    default:
      break;
  }
  leat_dtype_t dtype = LEAT_F32;
  LEAT_TRY(parse_dtype(p, &dtype));
  attr->v.i = dtype;
  return NULL;
}

static leat_status_t parse_attr(parser_t *p) {
  LEAT_TRY(expect_kind(p, LEAT_TOKEN_NAME, "the key of an attribute"));
  const leat_token_t *token = &p->lexer.token;
  leat_attr_key_t key = LEAT_ATTR_COUNT;
  if (!leat_attr_find(token->start, token->length, &key) || !leat_op_takes_attr(p->kind, key)) {
    char hint[256];
    FAIL_HERE(p, "'%s' has no attribute '%.*s'%s", leat_op_info(p->kind)->name, TOKEN_TEXT(p),
              leat_suggest_attr(p->kind, token->start, token->length, hint, sizeof hint));
  }
  for (uint32_t i = 0; i < p->attrs.count; i++) {
    if (p->attrs.data[i].key == key) FAIL_HERE(p, "attribute '%s' is given twice", leat_attr_name(key));
  }
  leat_attr_t attr = {.key = (uint16_t)key};
  LEAT_TRY(advance(p));
  LEAT_TRY(expect_mark(p, '=', "after the key"));
  LEAT_TRY(parse_attr_value(p, &attr));
  leat_attr_t *slot = leat_array_push(&p->attrs);
  if (slot == NULL) return leat_out_of_memory();
  *slot = attr;
  return NULL;
}

static leat_status_t parse_attrs(parser_t *p) {
  p->attrs.count = 0;
  if (!at_mark(p, '{')) return NULL;
  LEAT_TRY(advance(p));
  while (!at_mark(p, '}')) {
    if (p->attrs.count != 0) LEAT_TRY(expect_mark(p, ',', "or '}' after an attribute"));
    LEAT_TRY(parse_attr(p));
  }
  return advance(p);
}

// --- types, flags, origin -----------------------------------------------------------------------------------------

static leat_status_t parse_type(parser_t *p, leat_value_t *out_type) {
  leat_dtype_t dtype = LEAT_F32;
  LEAT_TRY(parse_dtype(p, &dtype));
  leat_lexer_t place = p->lexer;
  LEAT_TRY(parse_integers(p));
  *out_type = (leat_value_t){.dtype = (uint8_t)dtype, .rank = (uint8_t)p->list.count};
  if (p->list.count > LEAT_RANK_MAX)
    return leat_lexer_fail(&place, LEAT_UNSUPPORTED, "rank %" PRIu32 " is more than 8", p->list.count);
  for (uint32_t d = 0; d < p->list.count; d++) out_type->dims[d] = p->list.data[d];
  if (leat_value_fits(out_type)) return NULL;
  return leat_lexer_fail(&place, LEAT_INVALID_ARGUMENT, "a negative extent or too many elements");
}

static leat_status_t parse_types(parser_t *p) {
  p->results.count = 0;
  if (p->numbers.count == 0) return NULL;
  LEAT_TRY(expect_mark(p, ':', "and the types of the results"));
  for (uint32_t i = 0; i < p->numbers.count; i++) {
    if (i != 0) LEAT_TRY(expect_mark(p, ',', "and one type a result"));
    leat_value_t type;
    LEAT_TRY(parse_type(p, &type));
    leat_value_t *slot = leat_array_push(&p->results);
    if (slot == NULL) return leat_out_of_memory();
    *slot = type;
  }
  return NULL;
}

static leat_status_t parse_group(parser_t *p) {
  LEAT_TRY(expect_mark(p, '=', "after group"));
  LEAT_TRY(expect_kind(p, LEAT_TOKEN_INTEGER, "the number of a group"));
  int64_t group = p->lexer.token.integer;
  if (group < 0 || group >= UINT32_MAX) FAIL_HERE(p, "a group is a number below 2^32 - 1");
  p->desc.group = (uint32_t)group;
  return advance(p);
}

static leat_status_t parse_section_type(parser_t *p) {
  LEAT_TRY(expect_mark(p, '=', "after type"));
  leat_section_type_t type = LEAT_TYPE_FWD;
  if (!at_kind(p, LEAT_TOKEN_NAME) || !leat_section_type_find(p->lexer.token.start, p->lexer.token.length, &type))
    FAIL_HERE(p, "expected a section type: fwd, bckwd, gradnorm, opt, reduce, gather or prepare");
  p->desc.type = (uint8_t)type;
  return advance(p);
}

static leat_status_t parse_flags(parser_t *p) {
  while (at_mark(p, '!')) {
    LEAT_TRY(advance(p));
    bool detached = at_name(p, "detached"), exact = at_name(p, "exact");
    bool group = at_name(p, "group"), type = at_name(p, "type");
    if (!detached && !exact && !group && !type) FAIL_HERE(p, "expected a flag: detached, exact, group or type");
    LEAT_TRY(advance(p));
    if (detached) p->desc.detached = 1;
    if (exact) p->desc.exact = 1;
    if (group) LEAT_TRY(parse_group(p));
    if (type) LEAT_TRY(parse_section_type(p));
  }
  return NULL;
}

static leat_status_t parse_origin(parser_t *p) {
  leat_origin_t origin = {"", "", leat_op_is_primitive(p->kind) ? "" : leat_op_info(p->kind)->name};
  if (at_mark(p, '@')) {
    LEAT_TRY(advance(p));
    LEAT_TRY(parse_string(p, &origin.module));
    LEAT_TRY(parse_string(p, &origin.source));
    if (at_kind(p, LEAT_TOKEN_STRING)) LEAT_TRY(parse_string(p, &origin.traced));
  }
  return leat_graph_add_origin(p->graph, &origin, &p->desc.origin);
}

// --- statements ---------------------------------------------------------------------------------------------------

static leat_status_t append_statement(parser_t *p) {
  p->desc.kind = p->kind;
  p->desc.inputs = p->inputs.data;
  p->desc.input_count = p->inputs.count;
  p->desc.attrs = p->attrs.data;
  p->desc.attr_count = p->attrs.count;
  p->desc.results = p->results.data;
  p->desc.result_count = p->results.count;
  leat_op_id_t op;
  LEAT_TRY(leat_graph_append(p->graph, &p->desc, &op));
  uint32_t first = leat_graph_op(p->graph, op)->result_first;
  for (uint32_t i = 0; i < p->numbers.count; i++) LEAT_TRY(bind_number(p, p->numbers.data[i], first + i));
  return NULL;
}

static leat_status_t parse_statement(parser_t *p) {
  p->desc = (leat_op_desc_t){0};
  LEAT_TRY(parse_results(p));
  LEAT_TRY(parse_op_name(p));
  LEAT_TRY(parse_operands(p));
  LEAT_TRY(parse_attrs(p));
  LEAT_TRY(parse_types(p));
  LEAT_TRY(parse_flags(p));
  LEAT_TRY(parse_origin(p));
  if (!at_kind(p, LEAT_TOKEN_NEWLINE) && !at_kind(p, LEAT_TOKEN_END)) FAIL_HERE(p, "expected the end of the line");
  return append_statement(p);
}

// group 3 "ffn" "GEMM" "{}": what is known of the ops that carry !group=3. Ids ascend.
static leat_status_t parse_group_line(parser_t *p) {
  leat_group_t group = {0};
  LEAT_TRY(advance(p));
  LEAT_TRY(expect_kind(p, LEAT_TOKEN_INTEGER, "the number of a group"));
  int64_t id = p->lexer.token.integer;
  uint32_t last = p->graph->groups.count == 0 ? 0 : p->graph->groups.data[p->graph->groups.count - 1].id;
  if (id <= last || id >= UINT32_MAX) FAIL_HERE(p, "groups are numbered upwards from 1, below 2^32 - 1");
  group.id = (uint32_t)id;
  LEAT_TRY(advance(p));
  LEAT_TRY(parse_string(p, &group.name));
  if (at_kind(p, LEAT_TOKEN_STRING)) LEAT_TRY(parse_string(p, &group.heuristic));
  if (at_kind(p, LEAT_TOKEN_STRING)) LEAT_TRY(parse_string(p, &group.parameters));
  if (!at_kind(p, LEAT_TOKEN_NEWLINE) && !at_kind(p, LEAT_TOKEN_END)) FAIL_HERE(p, "expected the end of the line");
  return leat_graph_add_group(p->graph, &group);
}

static leat_status_t skip_newlines(parser_t *p) {
  while (at_kind(p, LEAT_TOKEN_NEWLINE)) LEAT_TRY(advance(p));
  return NULL;
}

static leat_status_t parse_header(parser_t *p) {
  LEAT_TRY(skip_newlines(p));
  if (!at_name(p, "leat.graph")) FAIL_HERE(p, "a graph starts with the line 'leat.graph %d'", TEXT_VERSION);
  LEAT_TRY(advance(p));
  LEAT_TRY(expect_kind(p, LEAT_TOKEN_INTEGER, "the version of the text"));
  if (p->lexer.token.integer != TEXT_VERSION)
    return leat_lexer_fail(&p->lexer, LEAT_UNSUPPORTED,
                           "version %" PRId64
                           " of the graph text is not one that this build "
                           "reads (it reads %d): trace the program again",
                           p->lexer.token.integer, TEXT_VERSION);
  return advance(p);
}

static leat_status_t parse_body(parser_t *p, uint32_t depth);

// The lines of a graph, or of a body up to its `end`.
static leat_status_t parse_lines(parser_t *p, uint32_t depth) {
  while (!at_kind(p, LEAT_TOKEN_END)) {
    if (!at_kind(p, LEAT_TOKEN_NEWLINE)) FAIL_HERE(p, "expected the end of the line");
    LEAT_TRY(skip_newlines(p));
    if (at_kind(p, LEAT_TOKEN_END) || (depth != 0 && at_name(p, "end"))) break;
    if (at_name(p, "body"))
      LEAT_TRY(parse_body(p, depth + 1));
    else
      LEAT_TRY(depth == 0 && at_name(p, "group") ? parse_group_line(p) : parse_statement(p));
  }
  leat_graph_read_roles(p->graph);
  return NULL;
}

// What a body is: lines with numbers of their own, into p->graph, which is new.
static leat_status_t parse_own_lines(parser_t *p, uint32_t depth) {
  LEAT_TRY(parse_lines(p, depth));
  if (!at_name(p, "end")) FAIL_HERE(p, "expected 'end' after the lines of a body");
  return advance(p);
}

// body 0 .. end: the body that loops of this graph name by that number.
static leat_status_t parse_body(parser_t *p, uint32_t depth) {
  if (depth > BODIES_IN_BODIES_MAX) FAIL_HERE(p, "bodies lie within at most %d others", BODIES_IN_BODIES_MAX - 1);
  const parser_t outer = *p;
  leat_graph_t *body;
  uint32_t index;
  LEAT_TRY(advance(p));
  LEAT_TRY(expect_kind(p, LEAT_TOKEN_INTEGER, "the number of a body"));
  if (p->lexer.token.integer != p->graph->bodies.count) FAIL_HERE(p, "bodies are numbered upwards from 0");
  LEAT_TRY(advance(p));
  LEAT_TRY(leat_graph_create(&body));
  p->graph = body;
  p->slots = NULL;
  p->slot_count = p->slots_used = 0;
  leat_status_t status = parse_own_lines(p, depth);
  leat_free(p->slots);
  p->graph = outer.graph;
  p->slots = outer.slots;
  p->slot_count = outer.slot_count;
  p->slots_used = outer.slots_used;
  if (status == NULL) status = leat_graph_add_body(p->graph, body, &index);
  if (status != NULL) leat_graph_destroy(body);
  return status;
}

static leat_status_t parse_graph(parser_t *p, const char *text, size_t length) {
  LEAT_TRY(leat_lexer_start(&p->lexer, text, length));
  LEAT_TRY(parse_header(p));
  return parse_lines(p, 0);
}

static void parser_deinit(parser_t *p) {
  leat_free(p->slots);
  leat_array_free(&p->numbers);
  leat_array_free(&p->inputs);
  leat_array_free(&p->attrs);
  leat_array_free(&p->results);
  leat_array_free(&p->list);
  leat_arena_deinit(&p->arena);
}

LEAT_EXPORT leat_status_t leat_graph_parse(const char *text, size_t text_bytes, leat_graph_t **out_graph) {
  *out_graph = NULL;
  parser_t parser = {0};
  leat_arena_init(&parser.arena);
  char *copy = leat_arena_strdup(&parser.arena, text, text_bytes);  // with a NUL, so that look-ahead needs no checks
  leat_status_t status = copy == NULL ? leat_out_of_memory() : leat_graph_create(&parser.graph);
  if (status == NULL) status = parse_graph(&parser, copy, text_bytes);
  if (status != NULL)
    leat_graph_destroy(parser.graph);
  else
    *out_graph = parser.graph;
  parser_deinit(&parser);
  return leat_status_annotate(status, "graph text");
}
