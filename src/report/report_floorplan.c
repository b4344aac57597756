// SPDX-License-Identifier: Apache-2.0
// floorplan.svg: a panel a body, with the tiles of its first part, units coloured by stage (PMUs paler, in the colour
// of the stage that reads them), and links by how much of what they carry is asked of them. Panels are drawn at one
// scale, side by side in as many rows as make the page about square; whatever lies under the pointer says what it is.
#include <math.h>

#include "pef/pef_chip.h"
#include "pef/pef_schema.h"
#include "report/report.h"
#include "report/units.h"

enum {
  CELL = 8,     // pixels of a cell
  MARGIN = 16,  // around a panel's tiles
  HEAD = 64,    // lines above them
  PITCH = 14,   // from one line of text to the next
  LEGEND = 24,  // stages that are listed beside a panel
  LEGEND_WIDTH = 220,
  WAYS = 5,   // out of a node, and to or from an AGCU
  BANDS = 4,  // of loads
  CALLS_SHOWN = 3,
  HUE_STEP = 137  // degrees between stages: no two neighbours look alike
};

static const struct {
  uint32_t from;  // load in 1024ths
  const char *colour, *says;
  double width;
} bands[BANDS] = {{256, "#9aa5b1", "25 to 50 %", 1},
                  {512, "#e0a100", "50 to 75 %", 1.6},
                  {768, "#d9480f", "75 to 100 %", 2.2},
                  {1025, "#c2001a", "more than they carry", 3.2}};

typedef struct panel_s {
  const leat_pef_t *pef;
  const pef_chip_t *chip;
  const pef_chip_body_t *body;
  uint32_t tiles;   // of a part
  uint64_t *loads;  // of nodes and ways
  double x, y;      // of the first switch
  leat_text_t *out;
} panel_t;

// --- places ---------------------------------------------------------------------------------------------------------

static uint32_t tile_columns(const pef_chip_t *chip, uint32_t tiles) { return (tiles + chip->stack - 1) / chip->stack; }

static uint32_t part_tiles(const pef_chip_t *chip, const pef_chip_body_t *body) {
  return chip->tiles_used / body->parts;
}

static double panel_width(const pef_chip_t *chip) {
  return (tile_columns(chip, chip->tiles_used) * (chip->columns + 1.0)) * CELL + 2 * MARGIN + LEGEND_WIDTH;
}

static double panel_height(const pef_chip_t *chip) {
  const uint32_t stack = chip->tiles_used < chip->stack ? chip->tiles_used : chip->stack;
  const double tiles = stack * (chip->rows + 1.0) * CELL, legend = LEGEND * PITCH;
  return (tiles > legend ? tiles : legend) + 2 * MARGIN + HEAD;
}

static double node_x(const panel_t *panel, uint32_t node) {
  return panel->x + leat_pef_chip_place(panel->chip, node).x * CELL;
}

static double node_y(const panel_t *panel, uint32_t node) {
  return panel->y + leat_pef_chip_place(panel->chip, node).y * CELL;
}

// An AGCU is drawn beside its switch, outside of the cells.
static double agcu_x(const panel_t *panel, uint32_t node) {
  const uint32_t k = (node - leat_pef_chip_switches(panel->chip)) % panel->chip->agcus;
  return node_x(panel, node) + (k % 2 == 0 ? -0.4 : 0.4) * CELL;
}

// --- loads ----------------------------------------------------------------------------------------------------------

static size_t place_of(const pef_chip_t *chip, const pef_chip_hop_t *hop) {
  const uint32_t switches = leat_pef_chip_switches(chip);
  if (hop->to >= switches) return (size_t)hop->to * WAYS + WAYS - 1;
  if (hop->from >= switches) return (size_t)hop->from * WAYS;
  const leat_pef_chip_place_t a = leat_pef_chip_place(chip, hop->from), b = leat_pef_chip_place(chip, hop->to);
  return (size_t)hop->from * WAYS + (b.x > a.x ? 0u : b.y > a.y ? 1u : b.x < a.x ? 2u : 3u);
}

static void find_loads(const panel_t *panel) {
  const leat_pef_t *pef = panel->pef;
  memset(panel->loads, 0, (size_t)leat_pef_chip_nodes(panel->chip) * WAYS * sizeof *panel->loads);
  for (uint32_t n = panel->body->net_first; n < panel->body->net_first + panel->body->net_count; ++n) {
    const pef_chip_net_t *net = &pef->chip_nets[n];
    for (uint32_t h = net->hop_first; h < net->hop_first + net->hop_count; ++h) {
      panel->loads[place_of(panel->chip, &pef->chip_hops[h])] += net->bandwidth;
    }
  }
}

static uint64_t load_of(const panel_t *panel, const pef_chip_hop_t *hop) {
  const uint64_t carries = (uint64_t)leat_pef_chip_links(panel->chip, hop->from, hop->to) * PEF_CHIP_ONE_VECTOR;
  return (panel->loads[place_of(panel->chip, hop)] * 1024 + carries - 1) / carries;
}

static uint32_t band_of(uint64_t load) {
  uint32_t band = BANDS;
  while (band > 0 && load < bands[band - 1].from) --band;
  return band;  // 0: not drawn; else band - 1
}

// The lines of one band, each once: a load that is drawn is taken.
static void put_band(const panel_t *panel, uint32_t band) {
  const leat_pef_t *pef = panel->pef;
  const pef_chip_body_t *body = panel->body;
  bool begun = false;
  for (uint32_t n = body->net_first; n < body->net_first + body->net_count; ++n) {
    const pef_chip_net_t *net = &pef->chip_nets[n];
    for (uint32_t h = net->hop_first; h < net->hop_first + net->hop_count; ++h) {
      const pef_chip_hop_t *hop = &pef->chip_hops[h];
      if (band_of(load_of(panel, hop)) != band + 1) continue;
      if (!begun) {
        leat_text_put(panel->out, "<path fill=\"none\" stroke=\"%s\" stroke-width=\"%.1f\" d=\"", bands[band].colour,
                      bands[band].width);
      }
      begun = true;
      const double x = node_x(panel, hop->from), y = node_y(panel, hop->from);
      leat_text_put(panel->out, "M%g %gL%g %g", x, y, node_x(panel, hop->to), node_y(panel, hop->to));
      panel->loads[place_of(panel->chip, hop)] = 0;
    }
  }
  if (begun) leat_text_put(panel->out, "\"><title>links: %s</title></path>\n", bands[band].says);
}

// --- units ----------------------------------------------------------------------------------------------------------

static void put_cell(const panel_t *panel, const pef_chip_unit_t *unit) {
  uint32_t nodes[PEF_CHIP_CORNERS];
  (void)leat_pef_chip_touches(panel->chip, unit->type, unit->cell, nodes);
  if (unit->type == PEF_CHIP_AG) {
    leat_text_put(panel->out, "M%g %gh3v3h-3z", agcu_x(panel, nodes[0]) - 1.5, node_y(panel, nodes[0]) - 1.5);
  } else {
    leat_text_put(panel->out, "M%g %gh%dv%dh-%dz", node_x(panel, nodes[0]) + 1, node_y(panel, nodes[0]) + 1, CELL - 2,
                  CELL - 2, CELL - 2);
  }
}

static const char *origin_of(const panel_t *panel, uint32_t stage) {
  return panel->pef->strings +
         panel->pef->stages[panel->pef->chip_stages[panel->body->stage_first + stage].stage].origin;
}

static const char *kind_of(const panel_t *panel, uint32_t stage) {
  const pef_chip_stage_t *of = &panel->pef->chip_stages[panel->body->stage_first + stage];
  return leat_pef_stage_row(panel->pef->stages[of->stage].kind)->name;
}

static uint32_t hue(uint32_t stage) { return stage % 360 * HUE_STEP % 360; }

static void put_stage_text(const panel_t *panel, uint32_t s) {
  const pef_chip_stage_t *stage = &panel->pef->chip_stages[panel->body->stage_first + s];
  leat_text_put(panel->out, "%u %s: %u PCUs, %u x %u, %.0f cycles: ", s, kind_of(panel, s), stage->pcus, stage->along_m,
                stage->along_n, stage->cycles);
  leat_put_xml(panel->out, origin_of(panel, s));
}

static void put_end(const panel_t *panel, uint32_t stage) {
  if (stage == PEF_NONE) {
    leat_text_put(panel->out, "DDR");
  } else {
    leat_text_put(panel->out, "stage %u", stage);
  }
}

static void put_edge_text(const panel_t *panel, uint32_t e) {
  const pef_chip_edge_t *edge = &panel->pef->chip_edges[panel->body->edge_first + e];
  put_end(panel, edge->from);
  leat_text_put(panel->out, " to ");
  put_end(panel, edge->to);
  leat_text_put(panel->out, ": ");
  leat_put_bytes(panel->out, (double)edge->bytes);
  leat_text_put(panel->out, " a tile, %u copies in %u PMUs", edge->copies, edge->pmus);
}

// The stage in whose colour an edge is: that which reads it, else that which makes it.
static uint32_t stage_of_edge(const panel_t *panel, uint32_t e) {
  const pef_chip_edge_t *edge = &panel->pef->chip_edges[panel->body->edge_first + e];
  return edge->to != PEF_NONE ? edge->to : edge->from != PEF_NONE ? edge->from : 0;
}

static bool is_same_group(const pef_chip_unit_t *a, const pef_chip_unit_t *b) {
  return a->type == b->type && a->of == b->of;
}

// Units of one stage or edge that lie one behind the other: one shape.
static void put_units(const panel_t *panel) {
  const pef_chip_unit_t *units = panel->pef->chip_units + panel->body->unit_first;
  for (uint32_t u = 0; u < panel->body->unit_count;) {
    const pef_chip_unit_t *first = &units[u];
    const bool is_pcu = first->type == PEF_CHIP_PCU;
    const uint32_t stage = is_pcu ? first->of : stage_of_edge(panel, first->of);
    leat_text_put(panel->out, "<path fill=\"hsl(%u,%s)\" d=\"", hue(stage),
                  is_pcu                        ? "65%,52%"
                  : first->type == PEF_CHIP_PMU ? "55%,80%"
                                                : "65%,35%");
    for (; u < panel->body->unit_count && is_same_group(first, &units[u]); ++u) put_cell(panel, &units[u]);
    leat_text_put(panel->out, "\"><title>");
    if (is_pcu) {
      put_stage_text(panel, first->of);
    } else {
      put_edge_text(panel, first->of);
    }
    leat_text_put(panel->out, "</title></path>\n");
  }
}

// --- one panel ------------------------------------------------------------------------------------------------------

static void put_tiles(const panel_t *panel) {
  for (uint32_t tile = 0; tile < panel->tiles; ++tile) {
    const uint32_t first = leat_pef_chip_switch(panel->chip, tile, 0, 0);
    leat_text_put(panel->out,
                  "<rect x=\"%g\" y=\"%g\" width=\"%d\" height=\"%d\" fill=\"#fafbfc\" stroke=\"#c5ccd3\"/>\n",
                  node_x(panel, first), node_y(panel, first), panel->chip->columns * CELL, panel->chip->rows * CELL);
  }
}

// "body 3: fwd_2, fwd_5, ..."
static void put_calls(const panel_t *panel) {
  const leat_pef_t *pef = panel->pef;
  uint32_t shown = 0;
  for (uint32_t c = 0; c < pef->call_count; ++c) {
    if (pef->calls[c].body != panel->body->body) continue;
    if (shown++ == CALLS_SHOWN) leat_text_put(panel->out, ", ...");
    if (shown > CALLS_SHOWN) continue;
    leat_text_put(panel->out, shown == 1 ? ": " : ", ");
    leat_put_xml(panel->out, pef->strings + pef->calls[c].name);
  }
}

static void put_head(const panel_t *panel) {
  const pef_chip_body_t *body = panel->body;
  const double x = panel->x, y = panel->y - HEAD;
  leat_text_put(panel->out, "<text x=\"%g\" y=\"%g\" class=\"title\">body %u", x, y + 18, body->body);
  put_calls(panel);
  leat_text_put(panel->out, "</text>\n<text x=\"%g\" y=\"%g\">%lld tiles of %lld rows, one in %.0f cycles", x, y + 34,
                (long long)body->tile_count, (long long)body->tile_rows, body->routed_interval);
  leat_text_put(panel->out, " (%.0f on an ideal network)", body->interval);
  if (body->parts > 1) leat_text_put(panel->out, ", %u parts at a time", body->parts);
  leat_text_put(panel->out, "</text>\n<text x=\"%g\" y=\"%g\">busiest link: %.1f %% of what it carries</text>\n", x,
                y + 50, body->load / 10.24);
}

static void put_legend(const panel_t *panel) {
  const uint32_t count = panel->body->stage_count;
  const double x = panel->x + tile_columns(panel->chip, panel->chip->tiles_used) * (panel->chip->columns + 1.0) * CELL;
  for (uint32_t s = 0; s < count && s < LEGEND; ++s) {
    const double y = panel->y + s * PITCH;
    if (s + 1 == LEGEND && count > LEGEND) {
      leat_text_put(panel->out, "<text x=\"%g\" y=\"%g\">and %u more</text>\n", x, y + 9, count - s);
      return;
    }
    leat_text_put(panel->out, "<rect x=\"%g\" y=\"%g\" width=\"10\" height=\"10\" fill=\"hsl(%u,65%%,52%%)\"/>", x, y,
                  hue(s));
    leat_text_put(panel->out, "<text x=\"%g\" y=\"%g\">%u %s, %u PCUs<title>", x + 14, y + 9, s, kind_of(panel, s),
                  panel->pef->chip_stages[panel->body->stage_first + s].pcus);
    put_stage_text(panel, s);
    leat_text_put(panel->out, "</title></text>\n");
  }
}

static void put_panel(panel_t *panel) {
  panel->tiles = part_tiles(panel->chip, panel->body);
  find_loads(panel);
  leat_text_put(panel->out, "<g>\n");
  put_head(panel);
  put_tiles(panel);
  put_units(panel);
  for (uint32_t band = 0; band < BANDS; ++band) put_band(panel, band);
  put_legend(panel);
  leat_text_put(panel->out, "</g>\n");
}

// --- the page -------------------------------------------------------------------------------------------------------

static void put_page(panel_t *panel, uint32_t columns) {
  const leat_pef_t *pef = panel->pef;
  const double width = panel_width(panel->chip), height = panel_height(panel->chip);
  const uint32_t rows = (pef->chip_body_count + columns - 1) / columns;
  leat_text_put(panel->out,
                "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %g %g\" font-family=\"sans-serif\" "
                "font-size=\"11\">\n<style>.title { font-size: 16px; font-weight: bold }</style>\n"
                "<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n<text x=\"%d\" y=\"20\" class=\"title\">",
                columns * width, rows * height + 2 * PITCH, MARGIN);
  leat_put_xml(panel->out, panel->chip->name);
  leat_text_put(panel->out, ", %u of %u tiles</text>\n", panel->chip->tiles_used, panel->chip->tiles);
  for (uint32_t i = 0; i < pef->chip_body_count; ++i) {
    panel->body = &pef->chip_bodies[i];
    panel->x = i % columns * width + MARGIN;
    panel->y = i / columns * height + 2 * PITCH + MARGIN + HEAD;
    put_panel(panel);
  }
  leat_text_put(panel->out, "</svg>\n");
}

leat_status_t leat_report_floorplan(const leat_flow_t *flow, const leat_arch_t *arch, leat_text_t *out) {
  (void)arch;
  const leat_pef_t *pef = flow->pef;
  if (pef->chip_count == 0 || pef->chip_body_count == 0) return NULL;
  panel_t panel = {.pef = pef, .chip = pef->chips, .out = out};
  panel.loads = leat_alloc_zero((size_t)leat_pef_chip_nodes(panel.chip) * WAYS, sizeof *panel.loads);
  if (panel.loads == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "out of memory for the picture");
  const double shape = panel_height(panel.chip) / panel_width(panel.chip);
  const uint32_t columns = (uint32_t)ceil(sqrt(pef->chip_body_count * shape));
  put_page(&panel, columns == 0 ? 1 : columns);
  leat_free(panel.loads);
  return NULL;
}
