// SPDX-License-Identifier: Apache-2.0
// Sections as a file of decisions lists them: the text is parsed and held to its form, keys become ops, every op gets
// its section, the order is checked, then ops are placed as the cutter places them.
#include <cjson/cJSON.h>
#include <inttypes.h>

#include "cut/decision.h"

typedef struct reader_s {
  leat_cutter_t *c;
  const cJSON *sections;
  leat_decision_keys_t keys;
  uint32_t *section_of;  // per op: section of the file; LEAT_NONE
} reader_t;

#define WRONG(...) LEAT_FAIL(LEAT_INVALID_ARGUMENT, __VA_ARGS__)

// --- the form -------------------------------------------------------------------------------------------------------

static leat_status_t parse(const char *text, cJSON **out_json) {
  const char *end = text;
  *out_json = cJSON_ParseWithOpts(text, &end, true);
  if (*out_json != NULL) return NULL;
  uint32_t line = 1, column = 1;
  for (const char *at = text; at < end && *at != '\0'; ++at) {
    line += *at == '\n';
    column = *at == '\n' ? 1 : column + 1;
  }
  WRONG("line %" PRIu32 ", column %" PRIu32 ": this is not JSON", line, column);
}

static leat_status_t check_members(const cJSON *object, const char *what, const char *const *known) {
  if (!cJSON_IsObject(object)) WRONG("%s is not an object", what);
  for (const cJSON *item = object->child; item != NULL; item = item->next) {
    uint32_t i = 0;
    while (known[i] != NULL && strcmp(known[i], item->string) != 0) ++i;
    if (known[i] == NULL) WRONG("%s has no member \"%s\"", what, item->string);
  }
  return NULL;
}

static leat_status_t read_text(const cJSON *object, const char *name, const char **out_text) {
  const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
  if (!cJSON_IsString(item)) WRONG("\"%s\" is missing, or not a string", name);
  *out_text = item->valuestring;
  return NULL;
}

// An integer from `low`; absent: `otherwise`.
static leat_status_t read_number(const cJSON *object, const char *name, int64_t low, int64_t otherwise,
                                 int64_t *out_number) {
  const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
  *out_number = otherwise;
  if (item == NULL) return NULL;
  const double number = cJSON_IsNumber(item) ? item->valuedouble : -1;
  if (number < (double)low || number > (double)UINT32_MAX || number != (double)(int64_t)number)
    WRONG("\"%s\" is not an integer from %" PRId64, name, low);
  *out_number = (int64_t)number;
  return NULL;
}

static leat_status_t read_type(const cJSON *section, uint8_t *out_type) {
  const char *name = NULL;
  LEAT_TRY(read_text(section, "type", &name));
  leat_section_type_t type = LEAT_TYPE_FWD;
  if (!leat_section_type_find(name, strlen(name), &type)) WRONG("there is no section type '%s'", name);
  *out_type = (uint8_t)type;
  return NULL;
}

// --- from keys to ops -----------------------------------------------------------------------------------------------

static leat_status_t read_op(const reader_t *r, const cJSON *item, leat_op_id_t *out_op) {
  static const char *const known[] = {"op", "traced", "module", "source", "number", NULL};
  const char *kind = NULL;
  leat_origin_t origin = {0};
  int64_t number = 0;
  LEAT_TRY(check_members(item, "an op", known));
  LEAT_TRY(read_text(item, "op", &kind));
  LEAT_TRY(read_text(item, "traced", &origin.traced));
  LEAT_TRY(read_text(item, "module", &origin.module));
  LEAT_TRY(read_text(item, "source", &origin.source));
  LEAT_TRY(read_number(item, "number", 0, 0, &number));
  *out_op = leat_decision_find(&r->keys, kind, &origin, (uint32_t)number);
  if (*out_op != LEAT_NONE) return NULL;
  WRONG("the program has no op '%s' number %" PRId64 " from '%s' (module %s, %s)", kind, number, origin.traced,
        origin.module, origin.source);
}

static leat_status_t take_op(reader_t *r, const cJSON *item, uint32_t section, uint8_t type) {
  leat_op_id_t id = LEAT_NONE;
  char text[256];
  LEAT_TRY(read_op(r, item, &id));
  const leat_op_t *op = leat_graph_op(r->c->g, id);
  leat_op_text(r->c->g, op, text, sizeof text);
  if (r->section_of[id] != LEAT_NONE) WRONG("%s is in section %" PRIu32 " already", text, r->section_of[id]);
  if (op->type != type) WRONG("%s is of type %s", text, leat_section_type_name((leat_section_type_t)op->type));
  r->section_of[id] = section;
  return NULL;
}

static leat_status_t take_section(reader_t *r, const cJSON *item, uint32_t section) {
  static const char *const known[] = {"type", "name", "why", "rows", "tile_rows", "ops", NULL};
  uint8_t type = 0;
  LEAT_TRY(check_members(item, "a section", known));
  LEAT_TRY(read_type(item, &type));
  const cJSON *ops = cJSON_GetObjectItemCaseSensitive(item, "ops"), *op;
  if (!cJSON_IsArray(ops) || ops->child == NULL) WRONG("\"ops\" is missing, or not a list of ops");
  cJSON_ArrayForEach(op, ops) LEAT_TRY(take_op(r, op, section, type));
  return NULL;
}

static leat_status_t take_all(reader_t *r) {
  uint32_t section = 0;
  const cJSON *item;
  cJSON_ArrayForEach(item, r->sections) {
    LEAT_TRY(leat_status_annotate(take_section(r, item, section), "section %" PRIu32, section));
    ++section;
  }
  return NULL;
}

// --- the order ------------------------------------------------------------------------------------------------------

static leat_status_t check_inputs(const reader_t *r, leat_op_id_t id) {
  const leat_graph_t *g = r->c->g;
  const leat_op_t *op = leat_graph_op(g, id);
  char text[256], other[256];
  if (r->section_of[id] == LEAT_NONE) WRONG("%s is in no section", leat_op_text(g, op, text, sizeof text));
  for (uint32_t i = 0; i < op->input_count; ++i) {
    leat_op_id_t producer;
    const leat_op_t *p = leat_cutter_base_op(g, leat_op_input(g, op, i), &producer);
    const bool ready = p->type == LEAT_TYPE_PREPARE && op->type != LEAT_TYPE_PREPARE;
    if (!leat_op_computes(p->kind) || ready) continue;
    if (r->section_of[producer] == LEAT_NONE || r->section_of[producer] <= r->section_of[id]) continue;
    WRONG("sections cannot run in this order: %s in section %" PRIu32 " reads what %s computes in section %" PRIu32,
          leat_op_text(g, op, text, sizeof text), r->section_of[id], leat_op_text(g, p, other, sizeof other),
          r->section_of[producer]);
  }
  return NULL;
}

static leat_status_t check_order(const reader_t *r) {
  for (leat_op_id_t id = 0; id < r->c->g->ops.count; ++id)
    if (leat_op_computes(leat_graph_op(r->c->g, id)->kind)) LEAT_TRY(check_inputs(r, id));
  return NULL;
}

// --- placing --------------------------------------------------------------------------------------------------------

static leat_status_t open_section(reader_t *r, const cJSON *item, leat_op_id_t first) {
  leat_plan_t *plan = r->c->plan;
  const leat_op_t *op = leat_graph_op(r->c->g, first);
  const uint32_t dim = leat_rows_first(r->c->g, op);
  const int64_t natural = dim == LEAT_NONE ? 1 : leat_graph_value(r->c->g, op->result_first)->dims[dim];
  const cJSON *given = cJSON_GetObjectItemCaseSensitive(item, "why");
  const char *why = cJSON_IsString(given) ? given->valuestring : "as the decisions say";
  int64_t rows = 0, tile_rows = 0;
  LEAT_TRY(read_number(item, "rows", 1, natural, &rows));
  LEAT_TRY(read_number(item, "tile_rows", 0, 0, &tile_rows));
  why = leat_arena_strdup(&plan->strings, why, strlen(why));
  if (why == NULL) return leat_out_of_memory();
  LEAT_TRY(leat_cut_new_section(r->c, op->type, rows, why));
  plan->sections.data[plan->sections.count - 1].tile_rows_max = (uint32_t)tile_rows;
  return NULL;
}

static leat_status_t place_section(reader_t *r, const cJSON *item, const leat_op_id_t *ops, uint32_t count) {
  LEAT_TRY(open_section(r, item, ops[0]));
  for (uint32_t i = 0; i < count; ++i) LEAT_TRY(leat_cut_put(r->c, ops[i], r->c->plan->sections.count - 1));
  return NULL;
}

// Ops in graph order, section by section, go to plan->order.
static leat_status_t place_all(reader_t *r) {
  leat_op_id_t *order = r->c->plan->order;
  const uint32_t count = (uint32_t)cJSON_GetArraySize(r->sections);
  uint32_t *end = leat_alloc_zero(count + 1u, sizeof *end), begin = 0;
  if (end == NULL) return leat_out_of_memory();
  for (leat_op_id_t id = 0; id < r->c->g->ops.count; ++id)
    if (r->section_of[id] != LEAT_NONE) ++end[r->section_of[id] + 1];
  for (uint32_t i = 1; i <= count; ++i) end[i] += end[i - 1];
  for (leat_op_id_t id = 0; id < r->c->g->ops.count; ++id)
    if (r->section_of[id] != LEAT_NONE) order[end[r->section_of[id]]++] = id;
  leat_status_t status = NULL;
  const cJSON *item = r->sections->child;
  for (uint32_t i = 0; i < count && status == NULL; begin = end[i++], item = item->next)
    status = leat_status_annotate(place_section(r, item, order + begin, end[i] - begin), "section %" PRIu32, i);
  leat_free(end);
  return status;
}

// --- all of it ------------------------------------------------------------------------------------------------------

static leat_status_t check_head(const cJSON *json, const cJSON **out_sections) {
  static const char *const known[] = {"version", "sections", NULL};
  LEAT_TRY(check_members(json, "the file", known));
  const cJSON *version = cJSON_GetObjectItemCaseSensitive(json, "version");
  if (!cJSON_IsNumber(version) || version->valuedouble != LEAT_DECISION_VERSION)
    WRONG("\"version\" must be %d: write the file anew with --generate-mapping-decisions", LEAT_DECISION_VERSION);
  *out_sections = cJSON_GetObjectItemCaseSensitive(json, "sections");
  if (!cJSON_IsArray(*out_sections)) WRONG("\"sections\" is missing, or not a list");
  return NULL;
}

static leat_status_t cut(reader_t *r, const cJSON *json) {
  const size_t count = r->c->g->ops.count + 1u;
  LEAT_TRY(check_head(json, &r->sections));
  r->section_of = leat_alloc(count * sizeof *r->section_of);
  if (r->section_of == NULL) return leat_out_of_memory();
  memset(r->section_of, 0xff, count * sizeof *r->section_of);
  LEAT_TRY(leat_decision_keys_init(&r->keys, r->c->g));
  leat_status_t status = take_all(r);
  if (status == NULL) status = check_order(r);
  if (status == NULL) status = place_all(r);
  leat_decision_keys_deinit(&r->keys);
  return status;
}

leat_status_t leat_cut_decided(leat_cutter_t *c) {
  reader_t r = {.c = c};
  cJSON *json = NULL;
  leat_status_t status = parse(c->options->decisions, &json);
  if (status == NULL) status = cut(&r, json);
  leat_free(r.section_of);
  cJSON_Delete(json);
  const char *name = c->options->decisions_name;
  return leat_status_annotate(status, "%s", name != NULL ? name : "mapping decisions");
}
