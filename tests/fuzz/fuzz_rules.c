// SPDX-License-Identifier: Apache-2.0
// Fuzz target: rule files, and the matching of what they say on a small transformer block.
#include "rule/match.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

// Norm, three products, attention, projection with residual, a network with a gate.
static const char block[] =
    "leat.graph 1\n"
    "%0 = symbol() {kind=\"input\", name=\"x\"} : f32[2,4,8]\n"
    "%1 = symbol() {kind=\"param\", name=\"w\"} : f32[8,8]\n"
    "%2 = layer_norm(%0) : f32[2,4,8]\n"
    "%3 = linear(%2, %1) : f32[2,4,8]\n"
    "%4 = linear(%2, %1) : f32[2,4,8]\n"
    "%5 = linear(%2, %1) : f32[2,4,8]\n"
    "%6 = view(%3) : f32[2,4,2,4]\n"
    "%7 = transpose(%6) : f32[2,2,4,4]\n"
    "%8 = split(%4) : f32[2,4,4]\n"
    "%9 = split(%4) : f32[2,4,4]\n"
    "%10 = neg(%9) : f32[2,4,4]\n"
    "%11 = cat(%10, %8) : f32[2,4,8]\n"
    "%12 = matmul(%11, %5) : f32[2,4,4]\n"
    "%13 = softmax(%12) : f32[2,4,4]\n"
    "%14 = contiguous(%13) : f32[2,4,4]\n"
    "%15 = matmul(%14, %5) : f32[2,4,8]\n"
    "%16 = linear(%15, %1) : f32[2,4,8]\n"
    "%17 = add(%16, %0) : f32[2,4,8]\n"
    "%18 = linear(%17, %1) : f32[2,4,8]\n"
    "%19 = gelu(%18) : f32[2,4,8]\n"
    "%20 = mul(%19, %17) : f32[2,4,8] !group=3\n"
    "%21 = linear(%20, %1) : f32[2,4,8]\n"
    "%22 = add(%21, %17) : f32[2,4,8]\n";

static void match(const leat_rules_t *rules) {
  leat_graph_t *graph = NULL;
  leat_fusion_t *fusion = NULL;
  leat_text_t text = {0};
  leat_status_t status = leat_graph_parse(block, sizeof block - 1, &graph);
  assert(status == NULL);
  status = leat_fusion_create(graph, rules, &fusion);
  if (status == NULL) {
    leat_fusion_put_text(fusion, &text);
    leat_fusion_put_json(fusion, &text);
  }
  leat_status_free(status);
  leat_text_deinit(&text);
  leat_fusion_destroy(fusion);
  leat_graph_destroy(graph);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
  leat_rules_t *rules = NULL;
  leat_status_t status = leat_rules_create(&rules);
  if (status == NULL) status = leat_rules_add(rules, (const char *)data, bytes, "fuzz.yaml");
  if (status == NULL) match(rules);
  leat_rules_destroy(rules);
  leat_status_free(status);
  return 0;
}
