// SPDX-License-Identifier: Apache-2.0
// The table of options: names are unique, defaults legal, values set what they say, mistakes are named.
#include "driver/option.h"

#include "check.h"

static void names_are_unique_under_a_command(void **state) {
  (void)state;
  const leat_option_table_t table = leat_option_rows();
  for (uint32_t i = 0; i < table.count; ++i) {
    const char *cursor = table.rows[i].names;
    size_t length = 0;
    for (const char *name; (name = leat_option_next_name(&cursor, &length)) != NULL;) {
      for (uint32_t command = 1; command <= table.rows[i].commands; command <<= 1) {
        if ((table.rows[i].commands & command) != 0)
          assert_ptr_equal(leat_option_find(name, length, command), &table.rows[i]);
      }
    }
  }
}

static void defaults_are_legal_and_available(void **state) {
  (void)state;
  const leat_option_table_t table = leat_option_rows();
  leat_compile_options_t options = leat_compile_options_default();
  assert_ok(leat_compile_options_check(&options));
  for (uint32_t i = 0; i < table.count; ++i) {
    const leat_option_t *option = &table.rows[i];
    if (option->type == LEAT_OPTION_FLAG || option->initial[0] == '\0') continue;
    assert_ok(leat_option_check_value(option, option->initial));
    assert_ok(leat_compile_options_set(&options, option->names, option->initial));
  }
  const leat_compile_options_t initial = leat_compile_options_default();
  assert_int_equal(options.optim_level, initial.optim_level);
  assert_int_equal(options.spatial, initial.spatial);
  assert_int_equal(options.use_default_rules, initial.use_default_rules);
  assert_ok(leat_compile_options_check(&options));
}

static void values_reach_their_fields(void **state) {
  (void)state;
  leat_compile_options_t options = leat_compile_options_default();
  assert_ok(leat_compile_options_set(&options, "-o0", NULL));
  assert_int_equal(options.optim_level, 0);
  assert_ok(leat_compile_options_set(&options, "--optim-level", "o1"));
  assert_int_equal(options.optim_level, 1);
  assert_ok(leat_compile_options_set(&options, "--use-o1-default-rules", "false"));
  assert_int_equal(options.use_default_rules, 0);
  assert_ok(leat_compile_options_set(&options, "--use-o1-default-rules", NULL));
  assert_int_equal(options.use_default_rules, 1);
  assert_ok(leat_compile_options_set(&options, "--graphamp-preset", "mp1"));
  assert_string_equal(options.precision, "mp1");
  assert_ok(leat_compile_options_set(&options, "--verify-each", NULL));
  assert_int_equal(options.verify_each, 1);
}

static void mistakes_are_named(void **state) {
  (void)state;
  leat_compile_options_t options = leat_compile_options_default();
  assert_fails(leat_compile_options_set(&options, "--bach-size", "4"), LEAT_NOT_FOUND, "'--batch-size'");
  assert_fails(leat_compile_options_set(&options, "-b", "1.5"), LEAT_INVALID_ARGUMENT, "whole number");
  assert_fails(leat_compile_options_set(&options, "-b", "0"), LEAT_INVALID_ARGUMENT, "1 to 1048576");
  assert_fails(leat_compile_options_set(&options, "-b", NULL), LEAT_INVALID_ARGUMENT, "needs a value");
  assert_fails(leat_compile_options_set(&options, "-o0", "yes"), LEAT_INVALID_ARGUMENT, "no value");
  assert_fails(leat_compile_options_set(&options, "--n-chips", "2"), LEAT_UNSUPPORTED, "not yet available");
  const char *names[] = {"--num-tiles", "-ws"};
  assert_fails(leat_option_check_together(names, 2), LEAT_INVALID_ARGUMENT, "--world-size needs --data-parallel");
  options.scaling[2] = 0;
  assert_fails(leat_compile_options_check(&options), LEAT_INVALID_ARGUMENT, "scaling factor");
}

static void table_as_json_survives_lack_of_memory(void **state) {
  (void)state;
  char *json = NULL;
  for (uint64_t i = 1; i < 64; ++i) {
    leat_alloc_fail_after(i);
    leat_status_t status = leat_option_table(&json);
    leat_alloc_fail_after(0);
    if (status == NULL) break;
    assert_fails(status, LEAT_OUT_OF_MEMORY, "memory");
  }
  assert_non_null(json);
  assert_non_null(strstr(json, "\"--batch-size\""));
  leat_string_free(json);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(names_are_unique_under_a_command),
      cmocka_unit_test(defaults_are_legal_and_available),
      cmocka_unit_test(values_reach_their_fields),
      cmocka_unit_test(mistakes_are_named),
      cmocka_unit_test(table_as_json_survives_lack_of_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
