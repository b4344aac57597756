// SPDX-License-Identifier: Apache-2.0
// See pef_json.h. Parsing and printing are cJSON's; the order of the keys is ours.
#include "pef/pef_json.h"

#include <cjson/cJSON.h>
#include <stdlib.h>

static int compare_members(const void *left, const void *right) {
  const cJSON *const *a = left, *const *b = right;
  return strcmp((*a)->string, (*b)->string);
}

static bool sort_tree(cJSON *node);

// Detaches the members of `object`, sorts them, and puts them back.
static bool sort_object(cJSON *object) {
  const int count = cJSON_GetArraySize(object);
  if (count < 2) return true;
  cJSON **members = leat_alloc_zero((size_t)count, sizeof *members);
  if (members == NULL) return false;
  for (int i = 0; i < count; ++i) members[i] = cJSON_DetachItemViaPointer(object, object->child);
  qsort(members, (size_t)count, sizeof *members, compare_members);
  // Adding under an existing key string copies it: AddItemToArray keeps the member and its key as they are.
  for (int i = 0; i < count; ++i) cJSON_AddItemToArray(object, members[i]);
  leat_free(members);
  return true;
}

static bool sort_tree(cJSON *node) {
  if (cJSON_IsObject(node) && !sort_object(node)) return false;
  for (cJSON *child = node->child; child != NULL; child = child->next) {
    if (!sort_tree(child)) return false;  // depth is bounded by cJSON's nesting limit
  }
  return true;
}

static leat_status_t print_canonical(cJSON *root, char **out_text) {
  if (!cJSON_IsObject(root)) LEAT_FAIL(LEAT_INVALID_ARGUMENT, "not a JSON object");
  char *printed = sort_tree(root) ? cJSON_PrintUnformatted(root) : NULL;
  if (printed == NULL) return leat_out_of_memory();
  const size_t bytes = strlen(printed) + 1;
  *out_text = leat_alloc(bytes);
  if (*out_text != NULL) memcpy(*out_text, printed, bytes);
  cJSON_free(printed);
  if (*out_text == NULL) return leat_out_of_memory();
  return NULL;
}

leat_status_t leat_pef_json_canonical(const char *text, size_t text_bytes, char **out_text) {
  cJSON *root = cJSON_ParseWithLength(text, text_bytes);
  leat_status_t status = print_canonical(root, out_text);
  cJSON_Delete(root);
  return status;
}
