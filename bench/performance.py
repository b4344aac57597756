# SPDX-License-Identifier: Apache-2.0
"""Writes docs/performance.md from the records of bench/records: of each row, level and thread count the last one."""

import statistics
from pathlib import Path

import levels
import records
from model_rows import ROWS

PAGE = records.ROOT / "docs" / "performance.md"
PEERS = {"eager": "eager", "compile": "compile", "onnx": "ONNX RT", "openvino": "OpenVINO"}
OURS = ("leat", "leat C", "base")
MEAN_FLOPS, SHARED_FLOPS = 0.5e9, 5e9  # of rows that means are over, and of those that are held to two threads
OF_BOUND = 0.8
KERNEL_WANTED, OP_WANTED = 0.5, 0.9

HEAD = """# Performance

What `make bench-models`, `make bench-kernels` and `make bench` measured, of each row, level of instructions and number
of threads the last record in `bench/records`; each line says the commit that it is of (with a +: and changes that no
commit has). `make performance` writes this page.

Peers: eager PyTorch with the fused optimizer and the better memory format, `torch.compile` (frozen weights in
inference), ONNX Runtime, and OpenVINO in f32. Each is a process of its own, stopped while others run; they take turns
and medians count; their values are compared before anything is timed. One thread: CPU time of the process; more: wall
time. `ratio` is the best peer's time over Leat's. On a level below the machine's best, peers are capped by their own
variables. ONNX Runtime has none, and OpenVINO's do not reach some of its kernels (MLAS): such times, marked *, do not
count there. `of bound`: the sum over sections of the
larger of operations at the peak and bytes at the bandwidth of where they lie, as measured, over the time. MiB: what
a run holds in memory above its imports, Leat / eager. Compile: seconds of CPU time, tracing included.
"""


def table(head, rows):
    """Lines of a table; numbers, which begin with a digit or are '-', to the right."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows), ""]


def milliseconds(seconds):
    return f"{seconds * 1e3:.3g}" if seconds < 0.1 else f"{seconds * 1e3:.0f}"


def ratio_of(record):
    """The best time of a peer that counts over Leat's; None where there is none."""
    peers = record["peers"]
    others = [e["seconds"] for p, e in peers.items() if p not in OURS and "seconds" in e and e.get("counts", True)]
    return min(others) / peers["leat"]["seconds"] if others and "seconds" in peers.get("leat", {}) else None


def bound_of(record):
    """The share of the row's time that it takes at least; None where that is not known."""
    return record["least"] / record["peers"]["leat"]["seconds"] if record.get("least") else None


def mean(ratios):
    return f"{statistics.geometric_mean(ratios):.2f} of {len(ratios)}" if ratios else "-"


def number(value):
    return "-" if value is None else f"{value:.2f}"


# --- models ---------------------------------------------------------------------------------------------------------


def model_cells(record):
    peers = record["peers"]
    cells = [record["row"], milliseconds(peers["leat"]["seconds"])]
    for peer in PEERS:
        entry = peers.get(peer, {})
        mark = "" if entry.get("counts", True) else "*"
        cells.append(milliseconds(entry["seconds"]) + mark if "seconds" in entry else "-")
    held = [peers.get(peer, {}).get("memory", {}).get("steady") for peer in ("leat", "eager")]
    cells += [number(ratio_of(record)), number(bound_of(record))]
    cells.append(" / ".join("-" if value is None else f"{value:.0f}" for value in held))
    cells.append(number(peers["leat"].get("compile")))
    return [*cells, record["commit"]]


def order_of(record):
    """Rows as model_rows.py lists them, those that it has no longer behind them."""
    names = list(ROWS)
    return (names.index(record["row"]) if record["row"] in names else len(names), record["row"])


def models_section(found):
    lines = []
    for level in levels.LEVELS:
        for threads in sorted({key[3] for key in found}):
            chosen = sorted((r for k, r in found.items() if k[2:] == (level, threads)), key=order_of)
            if chosen:
                head = ["ms", "Leat", *PEERS.values(), "ratio", "of bound", "MiB", "compile", "commit"]
                lines += [f"### Models, {level}, {count(threads)}", "", *table(head, map(model_cells, chosen))]
    return lines


def count(threads):
    return f"{threads} thread{'s' if threads > 1 else ''}"


def means_section(found):
    """Geometric means of ratios over rows of some work, training and inference apart."""
    rows = []
    for level in levels.LEVELS:
        for threads in sorted({key[3] for key in found}):
            chosen = [r for k, r in found.items() if k[2:] == (level, threads) and ratio_of(r) is not None]
            large = [record for record in chosen if record["flops"] > MEAN_FLOPS]
            means = [mean([ratio_of(r) for r in large if r["kind"] == kind]) for kind in ("training", "inference")]
            under = sorted((r for r in chosen if ratio_of(r) < 1), key=ratio_of)
            told = ", ".join(f"{r['row']} {ratio_of(r):.2f}" for r in under) or "none"
            commits = " ".join(sorted({record["commit"] for record in chosen}))
            if chosen:
                rows.append([level, str(threads), *means, told, commits])
    head = ["level", "threads", "training", "inference", "rows below 1", "commits"]
    title = "### Geometric means over rows above 0.5 GFLOP"
    return [title, "", *table(head, rows)] if rows else []


def threads_section(found):
    """How much faster two threads are, where a row has some work."""
    rows = []
    for (name, row, level, threads), record in found.items():
        pair = found.get((name, row, level, 2))
        if threads == 1 and pair and record["flops"] > SHARED_FLOPS:
            times = [r["peers"]["leat"]["seconds"] for r in (record, pair)]
            apart = number(pair["peers"]["leat"].get("apart"))
            rows.append([row, level, f"{times[0] / times[1]:.2f}", apart, f"{record['commit']} {pair['commit']}"])
    title = "### Two threads, and two processes of one thread, over one, rows above 5 GFLOP"
    return [title, "", *table(["row", "level", "threads", "processes", "commits"], sorted(rows))] if rows else []


def lost_section(found):
    """Of rows that are far from their bound, the sections that lose most."""
    rows = []
    for record in sorted(found.values(), key=lambda r: (r["level"], r["threads"], order_of(r))):
        if (bound_of(record) or 1) >= OF_BOUND:
            continue
        for section in record.get("lost", [])[:3]:
            cells = [record["row"], record["level"], str(record["threads"]), milliseconds(section["seconds"])]
            cells += [milliseconds(section["least"]), section["bound"]]
            rows.append([*cells, f"{section['index']} {section['type']} {section['name']}"])
    title = "### Sections that lose most, of rows below 0.8 of their bound"
    head = ["row", "level", "threads", "ms", "least", "by", "section"]
    return [title, "", *table(head, rows)] if rows else []


# --- the other tables -----------------------------------------------------------------------------------------------


def kernels_section(found):
    lines = []
    for level in levels.LEVELS:
        chosen = sorted((r for k, r in found.items() if k[2] == level), key=order_of)
        kinds = sorted({kind for record in chosen for kind in record["kinds"]})
        rows = []
        for kind in kinds:
            taken, least = (sum(r["kinds"].get(kind, [0, 0])[i] for r in chosen) for i in (0, 1))
            parts = {r["row"]: r["kinds"][kind] for r in chosen if r["kinds"].get(kind, [0])[0] > 0.01 * r["seconds"]}
            worst = min(parts, key=lambda row: parts[row][1] / parts[row][0], default=None)
            shown = f"{worst} {parts[worst][1] / parts[worst][0]:.2f}" if worst else "-"
            rows.append([kind, milliseconds(taken), f"{least / taken if taken else 1:.2f}", shown])
        if rows:
            commits = " ".join(sorted({record["commit"] for record in chosen}))
            lines += [f"### Kernels, {level}, 1 thread", "", f"Of {len(chosen)} rows, at {commits}.", ""]
            lines += table(["stage", "ms of all rows", "of roofline", "the row where it is least"], rows)
            lines += below_lines(chosen)
    return lines


def below_lines(chosen):
    """Kernels below half of their roofline that are a hundredth of their row or more."""
    rows = [
        [
            record["row"],
            kind,
            f"`{shapes[:80]}`",
            f"{100 * taken / record['seconds']:.1f} %",
            f"{least / taken:.2f}",
            by,
        ]
        for record in chosen
        for kind, shapes, _calls, taken, least, by in record["below"]
    ]
    title = f"Below {KERNEL_WANTED} of their roofline, and a hundredth of the row or more:"
    return [title, "", *table(["row", "stage", "shapes", "of the row", "of roofline", "by"], rows)] if rows else []


def program_cells(record):
    """Of a step or a product, whose third peer is OpenBLAS."""
    peers, product = record["peers"], "share" in record
    told = [peers.get(peer, {}).get("seconds") for peer in ("leat", "eager", "openblas" if product else "compile")]
    cells = [record["row"], record["level"], str(record["threads"])]
    cells += ["-" if seconds is None else f"{seconds * 1e6:.1f}" for seconds in told]
    share = f"{100 * record['share']:.0f} % of peak" if product else ""
    return [*cells, number(record.get("ratio")), share, record["commit"]]


def programs_section(found):
    rows = [program_cells(found[key]) for key in sorted(found, key=lambda key: (key[2], key[3], key[1]))]
    head = ["us", "level", "threads", "Leat", "eager", "compile, OpenBLAS", "ratio", "", "commit"]
    return ["### Small programs and products", "", *table(head, rows)] if rows else []


def ops_section(found):
    rows = []
    for _, record in sorted(found.items()):
        ratios = record["ratios"]
        under = sorted((name for name in ratios if ratios[name] < OP_WANTED), key=ratios.get)
        told = ", ".join(f"{name} {ratios[name]:.2f}" for name in under) or "none"
        rows.append([record["row"], record["level"], mean(list(ratios.values())), told, record["commit"]])
    head = ["", "level", "geometric mean", f"below {OP_WANTED}", "commit"]
    title = "### Single ops at a million elements against eager, 1 thread"
    return [title, "", *table(head, rows)] if rows else []


SECTIONS = (
    ("models", means_section),
    ("models", models_section),
    ("models", threads_section),
    ("models", lost_section),
    ("kernels", kernels_section),
    ("programs", programs_section),
    ("ops", ops_section),
)


def machine_line(facts, level):
    rates = ", ".join(f"{name} {facts[f'f32_{name}'] / 1e9:.0f}" for name in levels.LEVELS)
    memory = f"{facts['read_bytes'] / 1e9:.1f} GB/s read, {facts['triad_bytes'] / 1e9:.1f} triad"
    together = f"{facts['read_bytes_all'] / 1e9:.1f} and {facts['triad_bytes_all'] / 1e9:.1f}"
    return (
        f"{facts['cores']:.0f} cores, {level} the best level of the records. A core, as measured with the last one: "
        f"GFLOP/s of f32 {rates}; {memory}; all cores {together}."
    )


def page(machines):
    """The text of the page, of what records.machines() gives."""
    lines = [HEAD]
    for name, found in machines.items():
        last = list(found.values())[-1]
        best = min((key[2] for key in found), key=levels.LEVELS.index)
        lines += [f"## {name}", "", machine_line(last["machine"], best), ""]
        for title, section in SECTIONS:
            lines += section({key: record for key, record in found.items() if key[0] == title})
    if not machines:
        lines += ["No records yet.", ""]
    return "\n".join(lines).rstrip() + "\n"


def main():
    PAGE.write_text(page(records.machines()), encoding="utf-8")
    print(f"wrote {Path(PAGE).relative_to(records.ROOT)}")


if __name__ == "__main__":
    main()
