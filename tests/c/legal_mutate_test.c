// SPDX-License-Identifier: Apache-2.0
// Plans that are broken on purpose: legal plans (files of tests/data/pef and the zoo) are changed in one place or two,
// a simulation of every element (legal_oracle.h) says whether the file still does what it did, and the proofs have to
// find each one that does not. LEAT_MUTATIONS says how many of those.
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "draws.h"
#include "legal_oracle.h"
#include "loop_maker.h"
#include "pef/legal.h"
#include "pef/pef_write.h"
#include "pef_zoo.h"
#include "plan_mutate.h"

enum { COST_MAX = 1200000, FILES_MAX = 96 };

// A legal file, and what it does.
typedef struct original_s {
  char name[96];
  leat_pef_t *pef;
  oracle_t oracle;
} original_t;

static original_t originals[FILES_MAX];
static uint32_t original_count, straight_count;  // those without loops come first

// --- the originals ---------------------------------------------------------------------------------------------------

static void add_original(const char *name, leat_pef_t *pef) {
  if (original_count == FILES_MAX || oracle_cost(pef) > COST_MAX) {
    leat_pef_close(pef);
    return;
  }
  original_t *o = &originals[original_count++];
  snprintf(o->name, sizeof o->name, "%s", name);
  o->pef = pef;
  o->oracle = oracle_run(pef, (oracle_names_t){0});
  if (o->oracle.broken != NULL) fail_msg("%s: the simulation finds that it %s", name, o->oracle.broken);
  assert_ok(leat_legal_check(pef));
}

// A stage of one kind, each of its operands in a state.
static void build_one(leat_pef_writer_t *writer, const pef_zoo_t *zoo) {
  pef_argument_t arguments[PEF_ZOO_OPERANDS];
  for (uint32_t i = 0; i < PEF_ZOO_OPERANDS; ++i) {
    const char name[] = {(char)('a' + i), '\0'};
    const pef_symbol_t symbol = {.name = leat_pef_add_string(writer, name),
                                 .kind = PEF_SYMBOL_STATE,
                                 .of = PEF_NONE,
                                 .rank = 1,
                                 .dims = {PEF_ZOO_ARGUMENT_BYTES / 4},
                                 .bytes = PEF_ZOO_ARGUMENT_BYTES};
    arguments[i] = (pef_argument_t){PEF_PLACE_SYMBOL, leat_pef_add_symbol(writer, &symbol), 0, PEF_ZOO_ARGUMENT_BYTES};
  }
  const leat_pef_body_draft_t draft = pef_zoo_draft(zoo);
  const pef_call_t call = {.body = leat_pef_add_body(writer, &draft), .argument_count = PEF_ZOO_OPERANDS};
  leat_pef_add_call(writer, &call, arguments);
  leat_pef_set_info(writer, &(pef_info_t){0});
}

static void add_zoo(void) {
  for (uint32_t kind = 0; kind < PEF_STAGE_COUNT; ++kind) {
    const pef_zoo_t zoo = pef_zoo_stage(kind);
    leat_pef_writer_t *writer = leat_pef_writer_create();
    uint8_t *data = NULL;
    size_t bytes = 0;
    leat_pef_t *pef = NULL;
    build_one(writer, &zoo);
    assert_ok(leat_pef_write_memory(writer, &data, &bytes));
    assert_ok(leat_pef_open_memory(data, bytes, "zoo", &pef));
    leat_pef_writer_destroy(writer);
    leat_free(data);
    add_original(leat_pef_stage_name(kind), pef);
  }
}

static void add_release(const char *release) {
  char path[512];
  const char *data = getenv("LEAT_TEST_DATA");
  assert_non_null(data);
  snprintf(path, sizeof path, "%s/pef/%s", data, release);
  DIR *folder = opendir(path);
  assert_non_null(folder);
  for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
    if (entry->d_name[0] == '.') continue;
    leat_pef_t *pef = NULL;
    snprintf(path, sizeof path, "%s/pef/%s/%.64s/program.pef", data, release, entry->d_name);
    assert_ok(leat_pef_open(path, &pef));
    add_original(entry->d_name, pef);
  }
  closedir(folder);
}

static int setup(void **state) {
  (void)state;
  add_zoo();
  add_release("1.1");
  add_release("2.0");
  add_release("2.1");
  straight_count = original_count;
  assert_true(straight_count > PEF_STAGE_COUNT);
  for (uint32_t p = 0; p < loop_program_count; ++p)
    add_original(loop_programs[p].name, loop_program(&loop_programs[p], 4));
  assert_int_equal(original_count, straight_count + loop_program_count);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  for (uint32_t i = 0; i < original_count; ++i) {
    oracle_deinit(&originals[i].oracle);
    leat_pef_close(originals[i].pef);
  }
  return 0;
}

// --- the test --------------------------------------------------------------------------------------------------------

typedef struct tally_s {
  uint32_t broken, missed;  // what no plan may do, or, where the program is the same, something else is read
  uint32_t other, others;   // another program; of these with findings
  uint32_t same, alarms;    // nothing has changed; of these with findings
  uint32_t refused;         // by the validator
} tally_t;

static uint32_t found_by[LEAT_RULE_COUNT];  // of broken plans, by the rule of the first finding

static void judge(const original_t *o, const plan_t *p, const leat_pef_t *pef, tally_t *tally, uint32_t kind) {
  leat_findings_t found;
  oracle_t oracle = oracle_run(pef, (oracle_names_t){p->call_was, p->operand_was});
  assert_int_equal(oracle.read_count, o->oracle.read_count);
  const bool other = memcmp(oracle.reads, o->oracle.reads, oracle.read_count * sizeof *oracle.reads) != 0;
  assert_ok(leat_legal_find(pef, &found));
  if (oracle.broken != NULL || (other && plan_mutations[kind].plan && !p->alike)) {
    ++tally->broken;
    tally->missed += found.count == 0;
    if (found.count != 0) ++found_by[found.list.data[0].rule];
    if (found.count == 0)
      print_error("%s: %s: it %s\n", o->name, plan_mutations[kind].name,
                  oracle.broken != NULL ? oracle.broken : "reads others");
  } else if (other) {
    ++tally->other;
    tally->others += found.count != 0;
  } else {
    ++tally->same;
    tally->alarms += found.count != 0;
  }
  leat_findings_deinit(&found);
  oracle_deinit(&oracle);
}

static void mutate_once(const original_t *o, uint64_t seed, tally_t *tallies) {
  plan_t p = plan_copy(o->pef, seed * UINT64_C(0x9e3779b97f4a7c15) + 1);
  const uint32_t kind = (uint32_t)mutate_below(&p.file, PLAN_MUTATIONS);
  if (plan_mutations[kind].mutate(&p)) {
    leat_pef_t *pef = NULL;
    mend_pef(&p.file);
    leat_status_t status = leat_pef_open_memory(p.file.data, p.file.bytes, "mutated", &pef);
    if (status == NULL) judge(o, &p, pef, &tallies[kind], kind);
    tallies[kind].refused += status != NULL;
    leat_status_free(status);
    leat_pef_close(pef);
  }
  plan_free(&p);
}

static void find_all(uint32_t first, uint32_t count) {
  const uint32_t wanted = mutation_count(150);
  tally_t tallies[PLAN_MUTATIONS] = {0};
  uint32_t broken = 0, missed = 0;
  for (uint64_t seed = 0; broken < wanted; ++seed) {
    mutate_once(&originals[first + seed % count], seed, tallies);
    broken = 0;
    for (uint32_t k = 0; k < PLAN_MUTATIONS; ++k) broken += tallies[k].broken;
  }
  for (uint32_t k = 0; k < PLAN_MUTATIONS; ++k) {
    const tally_t *t = &tallies[k];
    missed += t->missed;
    print_message(
        "%-33s %4u broken, %u missed; another program %4u (%u with findings); the same %4u (%u); refused %u\n",
        plan_mutations[k].name, t->broken, t->missed, t->other, t->others, t->same, t->alarms, t->refused);
  }
  for (uint32_t r = 0; r < LEAT_RULE_COUNT; ++r) print_message("rule %u: %u\n", r, found_by[r]);
  assert_int_equal(missed, 0);
}

static void every_broken_plan_is_found(void **state) {
  (void)state;
  find_all(0, straight_count);
}

static void every_broken_plan_with_loops_is_found(void **state) {
  (void)state;
  find_all(straight_count, original_count - straight_count);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(every_broken_plan_is_found),
                                     cmocka_unit_test(every_broken_plan_with_loops_is_found)};
  return cmocka_run_group_tests_name("legal_mutate", tests, setup, teardown);
}
