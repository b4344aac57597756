// SPDX-License-Identifier: Apache-2.0
// What passes need and give: the checks of properties, and passes by name in an order that does not fit.
#include "driver/pipeline.h"

#include "check.h"
#include "driver/property.h"

static leat_graph_t *parsed(const char *text) {
  leat_graph_t *graph = NULL;
  assert_ok(leat_graph_parse(text, strlen(text), &graph));
  return graph;
}

typedef struct sample_s {
  leat_property_t property;
  const char *fits, *does_not, *told;
} sample_t;

#define HEAD "leat.graph 1\n"
#define TRACED_PRODUCT                                                       \
  "%0 = symbol() {kind=\"input\", name=\"x\", requires_grad=0} : f32[4,6]\n" \
  "%1 = symbol() {kind=\"param\", name=\"w\", requires_grad=1} : f32[3,6]\n" \
  "%2 = linear(%0, %1, none) : f32[4,3]\n"                                   \
  "%3 = sum(%2) {dims=[0,1], keepdim=0} : f32[]\n"
#define PRIMITIVE_INPUT "%0 = prim.symbol() {kind=\"input\", name=\"x\"} : f32[4,6]\n"

static const sample_t samples[] = {
    {LEAT_PROPERTY_FORWARD, HEAD TRACED_PRODUCT,
     HEAD PRIMITIVE_INPUT "%1 = prim.map(%0) {fn=\"neg\"} : f32[4,6] !type=bckwd\n", "'prim.map'"},
    {LEAT_PROPERTY_GROUPED, HEAD "group 1 \"a\"\n" PRIMITIVE_INPUT "%1 = prim.map(%0) {fn=\"neg\"} : f32[4,6]\n",
     HEAD "group 1 \"a\"\n" PRIMITIVE_INPUT "%1 = prim.map(%0) {fn=\"neg\"} : f32[4,6] !group=2\n", "'prim.map'"},
    {LEAT_PROPERTY_LOWERED, HEAD PRIMITIVE_INPUT "output(%0) {name=\"y\", seed=\"one\"}\n", HEAD TRACED_PRODUCT,
     "'symbol'"},
    {LEAT_PROPERTY_DIFFERENTIATED, HEAD TRACED_PRODUCT,
     HEAD TRACED_PRODUCT "optimizer(%1) {kind=\"sgd\", lr=0.5, momentum=0.0, weight_decay=0.0, hyper=\"lr\"}\n",
     "'optimizer'"},
    {LEAT_PROPERTY_PRIMITIVE, HEAD PRIMITIVE_INPUT, HEAD PRIMITIVE_INPUT "output(%0) {name=\"y\", seed=\"one\"}\n",
     "'output'"},
    {LEAT_PROPERTY_NO_EMPTY,
     HEAD "%0 = prim.symbol() {kind=\"input\", name=\"x\"} : f32[0]\nprim.store(%0) {kind=\"output\", name=\"y\"}\n",
     HEAD "%0 = prim.symbol() {kind=\"input\", name=\"x\"} : f32[0,3]\n"
          "%1 = prim.reduce(%0) {fn=\"sum\", dims=[0]} : f32[1,3]\n",
     "'prim.reduce'"},
    {LEAT_PROPERTY_STRAIGHT, HEAD PRIMITIVE_INPUT,
     HEAD "body 0\n%0 = prim.symbol() {kind=\"input\", name=\"@carried0\"} : f32[4,6]\n"
          "prim.store(%0) {kind=\"output\", name=\"@next0\"}\nend\n" PRIMITIVE_INPUT
          "%1 = prim.loop(%0) {body=0, trips=2, carried=1, scanned=0, reverse=0, stream=0} : f32[4,6]\n",
     "'prim.loop'"},
    // A view that no strides express, and one that nobody reads.
    {LEAT_PROPERTY_SETTLED,
     HEAD PRIMITIVE_INPUT "%1 = prim.transpose(%0) {dims=[1,0]} : f32[6,4]\n"
                          "%2 = prim.reshape(%1) {shape=[24]} : f32[24]\n",
     HEAD PRIMITIVE_INPUT "%1 = prim.transpose(%0) {dims=[1,0]} : f32[6,4]\n"
                          "%2 = prim.reshape(%1) {shape=[24]} : f32[24]\n"
                          "%3 = prim.map(%2) {fn=\"neg\"} : f32[24]\n",
     "'prim.map'"},
    // A sum of ones has no storage to read.
    {LEAT_PROPERTY_SETTLED, HEAD "%0 = prim.constant() {value=1.0} : f32[4]\n%1 = prim.map(%0) {fn=\"neg\"} : f32[4]\n",
     HEAD "%0 = prim.constant() {value=1.0} : f32[4]\n%1 = prim.reduce(%0) {fn=\"sum\", dims=[0]} : f32[1]\n",
     "'prim.reduce'"},
    // An output that is an input has to be copied.
    {LEAT_PROPERTY_SETTLED,
     HEAD PRIMITIVE_INPUT "%1 = prim.map(%0) {fn=\"copy\"} : f32[4,6]\nprim.store(%1) {kind=\"output\", name=\"y\"}\n",
     HEAD PRIMITIVE_INPUT "prim.store(%0) {kind=\"output\", name=\"y\"}\n", "'prim.store'"},
};

static void checks_of_properties_name_the_op_that_does_not_fit(void **state) {
  (void)state;
  bool seen[LEAT_PROPERTY_COUNT] = {[LEAT_PROPERTY_TRACED] = true};  // no graph shows it
  for (size_t i = 0; i < sizeof samples / sizeof samples[0]; ++i) {
    leat_graph_t *fits = parsed(samples[i].fits), *does_not = parsed(samples[i].does_not);
    assert_ok(leat_graph_verify(fits));
    assert_ok(leat_graph_verify(does_not));
    assert_ok(leat_property_check(samples[i].property, fits));
    assert_fails(leat_property_check(samples[i].property, does_not), LEAT_INTERNAL, samples[i].told);
    leat_graph_destroy(fits);
    leat_graph_destroy(does_not);
    seen[samples[i].property] = true;
  }
  for (uint32_t p = 0; p < LEAT_PROPERTY_COUNT; ++p) assert_true(seen[p]);
}

static const char program[] = HEAD TRACED_PRODUCT
    "output(%3) {name=\"loss\", seed=\"one\"}\n"
    "optimizer(%1) {kind=\"sgd\", lr=0.5, momentum=0.0, weight_decay=0.0, hyper=\"lr\"}\n";

static void passes_in_an_order_that_does_not_fit_are_refused_by_name(void **state) {
  (void)state;
  static const struct {
    const char *passes, *told;  // NULL: they fit
  } orders[] = {
      {"lower,grad,lower-rest,empty,fold,cse,dce,absorb,parts,recompute,merge,settle", NULL},
      {"lower-rest,dce,dce", NULL},
      {"fold", "pass 'fold' needs a graph of primitives, which op 'symbol' is not: run 'lower-rest' before it"},
      {"grad", "pass 'grad' needs a graph lowered up to rows with a gradient of their own"},
      {"grad", "run 'lower' before it"},
      {"lower,settle", "run 'lower-rest' before it"},
      {"lower,grad,grad", "pass 'grad' needs a graph without backward: run it before 'grad'"},
      {"lower-rest,precision", "pass 'precision' needs a program that is not lowered: run it before 'lower-rest'"},
      {"lower,grad,lower-rest,pool-first", "run it before 'lower-rest'"},
  };
  leat_graph_t *graph = parsed(program);
  leat_compile_options_t options = leat_compile_options_default();
  leat_arch_t arch;
  leat_arch_init(&arch, "native", "test");
  for (size_t i = 0; i < sizeof orders / sizeof orders[0]; ++i) {
    leat_graph_t *made = NULL;
    leat_status_t status = leat_pipeline_run_named(graph, orders[i].passes, &options, &arch, NULL, NULL, &made);
    if (orders[i].told != NULL) {
      assert_fails(status, LEAT_INVALID_ARGUMENT, orders[i].told);
    } else {
      assert_ok(status);
      leat_graph_destroy(made);
    }
  }
  leat_graph_destroy(graph);
}

// They stand between two steps of a compile of micro-batches; text may say them, and nothing else computes them.
static void marks_of_parts_are_no_program(void **state) {
  (void)state;
  static const char *const marked[] = {
      HEAD
      "%0 = symbol() {name=\"x\", kind=\"input\"} : f32[8,4]\n"
      "%1 = prim.part(%0) {dim=0, trips=2} : f32[4,4]\n"
      "output(%1) {name=\"y\", seed=\"zero\"}\n",
      HEAD
      "%0 = symbol() {name=\"x\", kind=\"input\"} : f32[8,4]\n"
      "%1 = prim.join(%0) {dim=-1, trips=2} : f32[8,4]\n"
      "output(%1) {name=\"y\", seed=\"zero\"}\n",
  };
  const leat_compile_options_t options = leat_compile_options_default();
  for (size_t i = 0; i < sizeof marked / sizeof *marked; ++i) {
    leat_graph_t *graph = parsed(marked[i]);
    assert_fails(leat_compile(graph, &options, "pipeline_test.refused"), LEAT_INVALID_ARGUMENT,
                 "marks a part of the batch");
    leat_graph_destroy(graph);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(checks_of_properties_name_the_op_that_does_not_fit),
      cmocka_unit_test(passes_in_an_order_that_does_not_fit_are_refused_by_name),
      cmocka_unit_test(marks_of_parts_are_no_program),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
