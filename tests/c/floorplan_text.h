// SPDX-License-Identifier: Apache-2.0
// The picture of a file that was laid out for a chip, as text.
#ifndef LEAT_TESTS_FLOORPLAN_TEXT_H_
#define LEAT_TESTS_FLOORPLAN_TEXT_H_

#include "check.h"
#include "pef/flow.h"
#include "report/report.h"

static inline void put_floorplan(const leat_pef_t *pef, leat_text_t *out) {
  leat_flow_t flow;
  leat_arch_t machine;
  leat_arch_init(&machine, "native", "test");
  assert_ok(leat_flow_find(pef, &flow));
  assert_ok(leat_report_floorplan(&flow, &machine, out));
  leat_flow_deinit(&flow);
}

#endif
