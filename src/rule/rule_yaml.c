// SPDX-License-Identifier: Apache-2.0
// libyaml's events, folded into a tree. Depth is bounded before anything recurses.
#include "rule/rule_yaml.h"

#include <yaml.h>

typedef struct reader_s {
  yaml_parser_t parser;
  leat_arena_t *arena;
  const char *text, *file;
  size_t text_bytes;
  uint32_t node_count, depth;
  struct {
    leat_yaml_t *node, *last;
    uint32_t count;
  } open[LEAT_YAML_DEPTH_MAX];  // lists and mappings that are not closed yet
  leat_yaml_t *root;
} reader_t;

static leat_status_t fail_at(const reader_t *r, size_t line, size_t column, const char *what) {
  LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%s:%zu:%zu: %s", r->file, line + 1, column + 1, what);
}

static leat_status_t fail_event(const reader_t *r, const yaml_event_t *event, const char *what) {
  return fail_at(r, event->start_mark.line, event->start_mark.column, what);
}

// Trouble with the bytes themselves comes with an offset alone.
static leat_status_t fail_offset(const reader_t *r) {
  size_t line = 0, start = 0, end = r->parser.problem_offset;
  if (end > r->text_bytes) end = r->text_bytes;
  for (size_t i = 0; i < end; ++i) {
    if (r->text[i] == '\n') ++line, start = i + 1;
  }
  return fail_at(r, line, end - start, "this is not UTF-8 text without control characters");
}

static leat_status_t fail_parser(const reader_t *r) {
  if (r->parser.error == YAML_MEMORY_ERROR) return leat_out_of_memory();
  if (r->parser.error == YAML_READER_ERROR) return fail_offset(r);
  const yaml_mark_t *mark = &r->parser.problem_mark;
  LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%s:%zu:%zu: not valid YAML: %s%s%s", r->file, mark->line + 1, mark->column + 1,
            r->parser.problem != NULL ? r->parser.problem : "it cannot be read", r->parser.context != NULL ? " " : "",
            r->parser.context != NULL ? r->parser.context : "");
}

const char *leat_yaml_kind_name(const leat_yaml_t *node) {
  static const char *const names[] = {"text", "a list", "a mapping"};
  return node->kind == LEAT_YAML_SCALAR && node->length == 0 ? "nothing" : names[node->kind];
}

// Adds a node to what is open.
static leat_status_t add_node(reader_t *r, const yaml_event_t *event, leat_yaml_kind_t kind, leat_yaml_t **out_node) {
  if (r->node_count++ >= LEAT_YAML_NODES_MAX) return fail_event(r, event, "more than 65536 values in one file");
  leat_yaml_t *node = leat_arena_alloc(r->arena, sizeof *node);
  if (node == NULL) return leat_out_of_memory();
  *node = (leat_yaml_t){.kind = kind,
                        .line = (uint32_t)event->start_mark.line + 1,
                        .column = (uint32_t)event->start_mark.column + 1,
                        .text = ""};
  *out_node = node;
  if (r->depth == 0) {
    r->root = node;
    return NULL;
  }
  leat_yaml_t *parent = r->open[r->depth - 1].node, *last = r->open[r->depth - 1].last;
  if (last == NULL)
    parent->first = node;
  else
    last->next = node;
  r->open[r->depth - 1].last = node;
  r->open[r->depth - 1].count++;
  return NULL;
}

// Is the next child of the innermost mapping a key?
static bool at_key(const reader_t *r) {
  return r->depth > 0 && r->open[r->depth - 1].node->kind == LEAT_YAML_MAPPING && r->open[r->depth - 1].count % 2 == 0;
}

static leat_status_t open_node(reader_t *r, const yaml_event_t *event, leat_yaml_kind_t kind, const yaml_char_t *anchor,
                               const yaml_char_t *tag) {
  leat_yaml_t *node = NULL;
  if (at_key(r)) return fail_event(r, event, "a key is text, not a list or a mapping");
  if (anchor != NULL) return fail_event(r, event, "anchors (&) are not part of rule files: write the value out");
  if (tag != NULL) return fail_event(r, event, "tags (!) are not part of rule files: leave it out");
  LEAT_TRY(add_node(r, event, kind, &node));
  if (r->depth == LEAT_YAML_DEPTH_MAX) return fail_event(r, event, "nested deeper than 16 levels");
  r->open[r->depth].node = node;
  r->open[r->depth].count = 0;
  r->open[r->depth++].last = NULL;
  return NULL;
}

static leat_status_t add_scalar(reader_t *r, const yaml_event_t *event) {
  leat_yaml_t *node = NULL;
  if (event->data.scalar.anchor != NULL)
    return fail_event(r, event, "anchors (&) are not part of rule files: write the value out");
  if (event->data.scalar.tag != NULL) return fail_event(r, event, "tags (!) are not part of rule files: leave it out");
  LEAT_TRY(add_node(r, event, LEAT_YAML_SCALAR, &node));
  node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
  node->length = event->data.scalar.length;
  node->text = leat_arena_strdup(r->arena, (const char *)event->data.scalar.value, node->length);
  if (node->text == NULL) return leat_out_of_memory();
  if (memchr(node->text, '\0', node->length) != NULL) return fail_event(r, event, "text must not hold NUL");
  return NULL;
}

static leat_status_t add_event(reader_t *r, const yaml_event_t *event) {
  switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
      return r->root == NULL ? NULL : fail_event(r, event, "a rule file holds one document: remove the '---'");
    case YAML_ALIAS_EVENT:
      return fail_event(r, event, "aliases (*) are not part of rule files: write the value out");
    case YAML_SCALAR_EVENT:
      return add_scalar(r, event);
    case YAML_SEQUENCE_START_EVENT:
      return open_node(r, event, LEAT_YAML_LIST, event->data.sequence_start.anchor, event->data.sequence_start.tag);
    case YAML_MAPPING_START_EVENT:
      return open_node(r, event, LEAT_YAML_MAPPING, event->data.mapping_start.anchor, event->data.mapping_start.tag);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
      r->depth--;
      return NULL;
    default:
      return NULL;
  }
}

static leat_status_t read_events(reader_t *r) {
  for (bool done = false; !done;) {
    yaml_event_t event;
    if (!yaml_parser_parse(&r->parser, &event)) return fail_parser(r);
    leat_status_t status = add_event(r, &event);
    done = event.type == YAML_STREAM_END_EVENT;
    yaml_event_delete(&event);
    if (status != NULL) return status;
  }
  return NULL;
}

leat_status_t leat_yaml_read(leat_arena_t *arena, const char *text, size_t text_bytes, const char *file,
                             leat_yaml_t **out_root) {
  reader_t r = {.arena = arena, .text = text, .file = file, .text_bytes = text_bytes};
  *out_root = NULL;
  if (text_bytes > LEAT_YAML_BYTES_MAX)
    LEAT_FAIL(LEAT_INVALID_ARGUMENT, "%s:1:1: %zu bytes: a rule file has at most 1 MiB", file, text_bytes);
  if (!yaml_parser_initialize(&r.parser)) return leat_out_of_memory();
  yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
  yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, text_bytes);
  leat_status_t status = read_events(&r);
  yaml_parser_delete(&r.parser);
  if (status == NULL) *out_root = r.root;
  return status;
}
