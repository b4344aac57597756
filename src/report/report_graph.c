// SPDX-License-Identifier: Apache-2.0
// graph.dot for Graphviz, and graph.svg, which needs no other program to be looked at: boxes are links' ends, colours
// are section types, and a box under the pointer tells its stages and why it was cut.
#include <math.h>

#include "report/layout.h"
#include "report/report.h"
#include "report/units.h"

enum { MODULES_SHOWN = 3 };
static const char *const type_colours[PEF_TYPE_COUNT] = {
    [PEF_FWD] = "#cfe4fa",    [PEF_BCKWD] = "#fbdcc8",  [PEF_GRADNORM] = "#f6f1c0", [PEF_OPT] = "#d5efd0",
    [PEF_REDUCE] = "#e6d9f5", [PEF_GATHER] = "#e6d9f5", [PEF_PREPARE] = "#e4e4e4",
};

typedef void (*put_escaped_t)(leat_text_t *out, const char *text);

static void put_dot(leat_text_t *out, const char *text) {
  for (; *text; ++text) {
    if (*text == '"' || *text == '\\') leat_text_put(out, "\\");
    leat_text_put_bytes(out, text, 1);
  }
}

// --- what a box says -------------------------------------------------------------------------------------------

enum { BOX_LINES = 5 };

// A flow, and the machine whose roofline is drawn.
typedef struct drawn_s {
  const leat_flow_t *flow;
  const leat_arch_t *arch;
} drawn_t;

static void put_line(const drawn_t *drawn, uint32_t index, uint32_t line, leat_text_t *out) {
  const leat_flow_t *flow = drawn->flow;
  const leat_pef_t *pef = flow->pef;
  const pef_call_t *call = &pef->calls[index];
  const pef_body_t *body = &pef->bodies[call->body];
  const leat_flow_totals_t *totals = &flow->totals[index];
  bool memory_bound;
  switch (line) {
    case 0:
      leat_text_put(out, "%u %s %s", index, leat_section_type_text(call->type), pef->strings + call->name);
      return;
    case 1:
      leat_put_modules(out, pef, call, MODULES_SHOWN);
      return;
    case 2:
      leat_put_stage_kinds(out, pef, body);
      return;
    case 3:
      if (totals->times > 1) leat_text_put(out, "%.0f times ", totals->times);
      leat_text_put(out, "%llu %s, ", (unsigned long long)body->row_count, body->row_count == 1 ? "row" : "rows");
      leat_put_flops(out, totals->flops);
      leat_text_put(out, ", at least ");
      leat_put_seconds(out, leat_report_roofline_seconds(flow, drawn->arch, index, &memory_bound));
      return;
    default:
      leat_text_put(out, "in ");
      leat_put_bytes(out, (double)totals->bytes_in);
      leat_text_put(out, " (parameters ");
      leat_put_bytes(out, (double)totals->parameter_bytes);
      leat_text_put(out, "), out ");
      leat_put_bytes(out, (double)totals->bytes_out);
  }
}

// The line, escaped and cut to `limit` characters.
static void put_box_line(const drawn_t *drawn, uint32_t index, uint32_t line, size_t limit, put_escaped_t escape,
                         leat_text_t *out) {
  leat_text_t text = {0};
  put_line(drawn, index, line, &text);
  out->failed |= text.failed;
  if (text.data != NULL) {
    const bool is_long = text.length > limit;
    if (is_long) {
      text.data[limit - 3] = '\0';
      leat_utf8_trim(text.data);
    }
    escape(out, text.data);
    if (is_long) leat_text_put(out, "...");
  }
  leat_text_deinit(&text);
}

static void put_edge_label(const leat_flow_edge_t *edge, leat_text_t *out) {
  leat_put_operand_shape(out, edge->operand);
  leat_text_put(out, " ");
  leat_put_bytes(out, (double)edge->bytes);
}

// --- dot -------------------------------------------------------------------------------------------------------

static void put_dot_node(const drawn_t *drawn, uint32_t index, leat_text_t *out) {
  const leat_flow_t *flow = drawn->flow;
  leat_text_put(out, "  s%u [shape=box, style=filled, fillcolor=\"%s\", label=\"", index,
                type_colours[flow->pef->calls[index].type]);
  for (uint32_t line = 0; line < BOX_LINES; ++line) {
    put_box_line(drawn, index, line, 80, put_dot, out);
    leat_text_put(out, "\\l");
  }
  leat_text_put(out, "\", tooltip=\"");
  put_dot(out, flow->pef->strings + flow->pef->calls[index].why);
  leat_text_put(out, "\"];\n");
}

static bool is_port(const leat_flow_t *flow, uint32_t node) {
  if (!leat_flow_is_symbol(flow, node)) return false;
  const uint32_t kind = leat_flow_symbol(flow, node)->kind;
  return kind == PEF_SYMBOL_INPUT || kind == PEF_SYMBOL_OUTPUT;
}

// Sections of a loop stand within a frame.
static void put_dot_nodes(const drawn_t *drawn, leat_text_t *out) {
  const leat_pef_t *pef = drawn->flow->pef;
  for (leat_walk_t at = leat_walk_start(pef, 1); leat_walk_next(&at);) {
    for (uint32_t i = 0; i < at.depth; ++i) {
      const pef_loop_t *loop = &pef->loops[at.levels[i].loop];
      if (loop->call_first != at.call) continue;
      leat_text_put(out, "  subgraph cluster_%u {\n  label=\"", at.levels[i].loop);
      put_dot(out, pef->strings + loop->name);
      leat_text_put(out, ", %u trips\";\n", loop->trips);
    }
    put_dot_node(drawn, at.call, out);
    for (uint32_t i = at.depth; i-- > 0;) {
      const pef_loop_t *loop = &pef->loops[at.levels[i].loop];
      if (loop->call_first + loop->call_count == at.call + 1) leat_text_put(out, "  }\n");
    }
  }
}

leat_status_t leat_report_dot(const leat_flow_t *flow, const leat_arch_t *arch, leat_text_t *out) {
  const drawn_t drawn = {flow, arch};
  const leat_pef_t *pef = flow->pef;
  leat_text_put(
      out,
      "digraph pef {\n  node [fontname=\"monospace\", fontsize=10];\n  edge [fontname=\"monospace\", fontsize=8];\n"
      "  label=\"times at least: on a core of ");
  put_dot(out, arch->name);
  leat_text_put(out, "\";\n");
  for (uint32_t s = 0; s < pef->symbol_count; ++s) {
    if (!is_port(flow, pef->call_count + s)) continue;
    leat_text_put(out, "  s%u [shape=ellipse, label=\"", pef->call_count + s);
    put_dot(out, pef->strings + pef->symbols[s].name);
    leat_text_put(out, "\"];\n");
  }
  put_dot_nodes(&drawn, out);
  for (uint32_t e = 0; e < flow->edges.count; ++e) {
    const leat_flow_edge_t *edge = &flow->edges.data[e];
    if (leat_flow_is_symbol(flow, edge->from) && !is_port(flow, edge->from)) continue;
    leat_text_put(out, "  s%u -> s%u [label=\"", edge->from, edge->to);
    put_edge_label(edge, out);
    leat_text_put(out, edge->carried ? "\", style=dashed, constraint=false];\n" : "\"];\n");
  }
  leat_text_put(out, "}\n");
  return NULL;
}

// --- svg -------------------------------------------------------------------------------------------------------

enum {  // pixels; characters of the 11 px monospace font are 6.7 wide
  BOX_WIDTH = 340,
  BOX_HEIGHT = 86,
  PORT_HEIGHT = 26,
  GAP_X = 30,
  GAP_Y = 80,
  MARGIN = 24,
  HEADER = 56,
  LINE_CHARS = 48,
  LABEL_STEPS = 4,  // labels above a box stand on so many lines, in turn
  LABEL_HEIGHT = 11
};

// All values that pass between two nodes are one line of the picture.
typedef struct link_s {
  uint32_t from, to, values;
  uint64_t bytes;
  const leat_flow_edge_t *edge;  // the largest value
  uint32_t out_index, in_index;  // which of the lines at that end it is
} link_t;

typedef struct page_s {
  drawn_t drawn;
  leat_layout_t layout;
  LEAT_ARRAY(link_t) links;
  uint32_t *in_count, *out_count;  // lines that end and begin at a node
  double width, height;
} page_t;

static double node_x(const page_t *page, uint32_t node) {  // of the middle
  const leat_layout_node_t *n = &page->layout.nodes[node];
  const double count = page->layout.layer_widths[n->layer];
  return page->width / 2 + ((double)n->place - (count - 1) / 2) * (BOX_WIDTH + GAP_X);
}
static double node_y(const page_t *page, uint32_t node) {  // of the upper edge
  return HEADER + (double)page->layout.nodes[node].layer * (BOX_HEIGHT + GAP_Y);
}
static double node_height(const page_t *page, uint32_t node) {
  return leat_flow_is_symbol(page->drawn.flow, node) ? PORT_HEIGHT : BOX_HEIGHT;
}

// Edges are sorted by their end, so those between the same two nodes are few steps apart.
static leat_status_t add_to_links(page_t *page, const leat_flow_edge_t *edge) {
  link_t *link = NULL;
  for (uint32_t i = page->links.count; i-- > 0 && page->links.data[i].to == edge->to && link == NULL;) {
    if (page->links.data[i].from == edge->from) link = &page->links.data[i];
  }
  if (link == NULL) {
    link = leat_array_push(&page->links);
    if (link == NULL) return leat_out_of_memory();
    *link = (link_t){.from = edge->from,
                     .to = edge->to,
                     .edge = edge,
                     .out_index = page->out_count[edge->from]++,
                     .in_index = page->in_count[edge->to]++};
  }
  ++link->values;
  link->bytes += edge->bytes;
  if (edge->bytes > link->edge->bytes) link->edge = edge;
  return NULL;
}

static leat_status_t find_links(page_t *page) {
  const size_t count = (size_t)page->drawn.flow->pef->call_count + page->drawn.flow->pef->symbol_count + 1;
  page->in_count = leat_alloc_zero(count, sizeof *page->in_count);
  page->out_count = leat_alloc_zero(count, sizeof *page->out_count);
  if (page->in_count == NULL || page->out_count == NULL) return leat_out_of_memory();
  for (uint32_t e = 0; e < page->drawn.flow->edges.count; ++e) {
    const leat_flow_edge_t *edge = &page->drawn.flow->edges.data[e];
    if (leat_layout_draws(&page->layout, edge)) LEAT_TRY(add_to_links(page, edge));
  }
  return NULL;
}

static void put_link_label(const link_t *link, leat_text_t *out) {
  if (link->values == 1)
    leat_put_operand_shape(out, link->edge->operand);
  else
    leat_text_put(out, "%u values", link->values);
  leat_text_put(out, " ");
  leat_put_bytes(out, (double)link->bytes);
}

// Where line `index` of `count` meets its box.
static double port_x(const page_t *page, uint32_t node, uint32_t index, uint32_t count) {
  return node_x(page, node) + BOX_WIDTH * ((index + 0.5) / count - 0.5);
}

static void put_svg_link(const page_t *page, const link_t *link, leat_text_t *out) {
  const double x0 = port_x(page, link->from, link->out_index, page->out_count[link->from]);
  const double y0 = node_y(page, link->from) + node_height(page, link->from);
  const double x1 = port_x(page, link->to, link->in_index, page->in_count[link->to]);
  const double y1 = node_y(page, link->to), bend = GAP_Y / 2.0 + fabs(y1 - y0) / 6;
  leat_text_put(out, "<path d=\"M%.0f %.0fC%.0f %.0f %.0f %.0f %.0f %.0f\"%s><title>", x0, y0, x0, y0 + bend, x1,
                y1 - bend, x1, y1, link->edge->carried ? " stroke-dasharray=\"4 3\"" : "");
  put_link_label(link, out);
  leat_text_put(out, "</title></path>\n<text x=\"%.0f\" y=\"%.0f\">", x1,
                y1 - 4 - LABEL_HEIGHT * (double)(link->in_index % LABEL_STEPS));
  put_link_label(link, out);
  leat_text_put(out, "</text>\n");
}

static void put_svg_box(const page_t *page, uint32_t node, leat_text_t *out) {
  const leat_pef_t *pef = page->drawn.flow->pef;
  const double left = node_x(page, node) - BOX_WIDTH / 2.0, top = node_y(page, node);
  leat_text_put(out, "<g><title>");
  for (uint32_t line = 0; line < BOX_LINES; ++line) {
    put_box_line(&page->drawn, node, line, 400, leat_put_xml, out);
    leat_text_put(out, "\n");
  }
  leat_text_put(out, "cut here: ");
  leat_put_xml(out, pef->strings + pef->calls[node].why);
  leat_text_put(out, "</title><rect x=\"%.0f\" y=\"%.0f\" width=\"%d\" height=\"%d\" rx=\"5\" fill=\"%s\"%s/>", left,
                top, BOX_WIDTH, BOX_HEIGHT, type_colours[pef->calls[node].type],
                page->drawn.flow->totals[node].times > 1 ? " stroke-dasharray=\"6 3\"" : "");
  for (uint32_t line = 0; line < BOX_LINES; ++line) {
    leat_text_put(out, "<text x=\"%.0f\" y=\"%.0f\"%s>", left + 8, top + 16 + 15.5 * line,
                  line == 0 ? " font-weight=\"bold\"" : "");
    put_box_line(&page->drawn, node, line, LINE_CHARS, leat_put_xml, out);
    leat_text_put(out, "</text>");
  }
  leat_text_put(out, "</g>\n");
}

static void put_svg_port(const page_t *page, uint32_t node, leat_text_t *out) {
  const double x = node_x(page, node), top = node_y(page, node);
  leat_text_put(out, "<g><rect x=\"%.0f\" y=\"%.0f\" width=\"%d\" height=\"%d\" rx=\"13\" fill=\"#ffffff\"/>",
                x - BOX_WIDTH / 2.0, top, BOX_WIDTH, PORT_HEIGHT);
  leat_text_put(out, "<text x=\"%.0f\" y=\"%.0f\" text-anchor=\"middle\">", x, top + 17);
  leat_put_xml(out, page->drawn.flow->pef->strings + leat_flow_symbol(page->drawn.flow, node)->name);
  leat_text_put(out, "</text></g>\n");
}

static void put_svg_header(const page_t *page, leat_text_t *out) {
  const leat_pef_t *pef = page->drawn.flow->pef;
  leat_text_put(out,
                "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" viewBox=\"0 0 %.0f %.0f\" "
                "font-family=\"monospace\" font-size=\"11\">\n"
                "<rect width=\"100%%\" height=\"100%%\" fill=\"#fcfcfc\"/>\n<text x=\"%d\" y=\"24\" font-size=\"14\">",
                page->width, page->height, page->width, page->height, MARGIN);
  leat_text_put(out, "%s, o%u: %u sections of %u different bodies, ", pef->info->inference ? "inference" : "training",
                pef->info->optim_level, pef->call_count, pef->body_count);
  leat_put_flops(out, pef->info->run_flops);
  leat_text_put(out, ", memory ");
  leat_put_bytes(out, (double)pef->info->peak_bytes);
  leat_text_put(out, "; times at least: on a core of ");
  leat_put_xml(out, page->drawn.arch->name);
  leat_text_put(out, "</text>\n");
}

static void put_svg(const page_t *page, leat_text_t *out) {
  const leat_flow_t *flow = page->drawn.flow;
  put_svg_header(page, out);
  leat_text_put(out,
                "<g fill=\"none\" stroke=\"#8a8a8a\">\n<style>path:hover{stroke:#c00;stroke-width:2.5}"
                "g>path+text{fill:#555;stroke:#fcfcfc;stroke-width:3;paint-order:stroke;font-size:9px;text-anchor:"
                "middle}</style>\n");
  for (uint32_t i = 0; i < page->links.count; ++i) put_svg_link(page, &page->links.data[i], out);
  leat_text_put(out, "</g>\n<g stroke=\"#555\">\n<style>g>text{stroke:none}</style>\n");
  for (uint32_t node = 0; node < flow->pef->call_count + flow->pef->symbol_count; ++node) {
    if (page->layout.nodes[node].layer == LEAT_LAYOUT_UNUSED) continue;
    (leat_flow_is_symbol(flow, node) ? put_svg_port : put_svg_box)(page, node, out);
  }
  leat_text_put(out, "</g>\n</svg>\n");
}

static void deinit(page_t *page) {
  leat_layout_deinit(&page->layout);
  leat_array_free(&page->links);
  leat_free(page->in_count);
  leat_free(page->out_count);
}

leat_status_t leat_report_svg(const leat_flow_t *flow, const leat_arch_t *arch, leat_text_t *out) {
  page_t page = {.drawn = {flow, arch}};
  leat_status_t status = leat_layout_make(flow, &page.layout);
  if (status == NULL) status = find_links(&page);
  if (status == NULL) {
    const uint32_t columns = page.layout.widest > 1 ? page.layout.widest : 2;  // room for the heading
    page.width = 2 * MARGIN + (double)columns * (BOX_WIDTH + GAP_X) - GAP_X;
    page.height = HEADER + (double)page.layout.layer_count * (BOX_HEIGHT + GAP_Y) - GAP_Y + MARGIN;
    put_svg(&page, out);
  }
  deinit(&page);
  return status;
}
