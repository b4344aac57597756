# SPDX-License-Identifier: Apache-2.0
"""Writes docs/machines.md, the page on records of machines, from src/arch/arch.def.

usage: gen_machines.py [--check]

`--check` writes nothing and exits with 1 where the page is not current.
"""

import re
import sys
from pathlib import Path

import made_page

ROOT = Path(__file__).resolve().parent.parent
ROWS = ROOT / "src" / "arch" / "arch.def"
PAGE = ROOT / "docs" / "machines.md"

HEAD = """# Machines

What the compiler plans with, the engine decides with and reports compare with is one record of a machine: what it
computes, moves and holds, and what is worth it there. This page is generated from `src/arch/arch.def` by
`tools/gen_machines.py`.

    leat machine -o here.machine                        # measures this machine, some seconds
    leat compile lenet.graph --arch here.machine        # plans for it (python lenet.py compile --arch here.machine)
    leat info lenet.pef --machine here.machine          # times at least, of this machine

Without a record, `--arch native` takes the cache sizes of the machine that compiles, and the initial values below for
all else; `--arch native:L1,L2,L3` says the cache sizes, and the scratch of a tile has to fit that L3. A PEF holds the
text of the record that it was compiled for, so the same options give the same bytes on every machine, and a run of
the file decides by that record which calls are worth other threads. `leat info`, `sections.csv`, `graph.svg`,
`graph.dot` and the report of a run name the machine whose times they tell. None of it shows in the bits of results.

Time at least, the roofline, is the larger of operations at the rate of products and bytes at that of reading. What work
is expected to take, where something is decided, is operations at `efficiency` times that rate and bytes at
`triad_bytes`, added up; `barrier_seconds` is the unit of what is worth it.

## A record

Text, a fact a line, `key: value`; what follows a `#` at the start of a line or after a blank is a comment. The first
fact is the target; of the others any may be missing, and are then initial; none is there twice. A fact that is unknown,
not a number, or out of its range is refused with its line. At most 64 KiB.

```
target: native                # whose mapper compiles for it
name: desk, 8 cores           # what reports call it: up to 95 bytes of UTF-8, no #
level: avx2                   # portable, avx2 or avx512: the rate that plans and reports take (initial: avx2)
f32_avx2: 1.2e11
l2_bytes: 2097152
```

`leat machine` measures the rates of products and of memory and what it takes that cores meet; caches come from the
system. Levels that a CPU lacks get the rates of its best one.
"""
TABLE = "| fact | initial | range | unit | meaning |\n|---|---|---|---|---|\n"


def amount(text):
    """A number of arch.def as people write it."""
    return text.strip().replace("LEAT_ARCH_BYTES_MAX", "2^40")


def rows():
    """(heading, [(name, kind, lowest, highest, initial, unit, meaning)]) in the order of the file."""
    sections = []
    text = ROWS.read_text(encoding="utf-8")
    text = text[text.index("#endif") : text.index("#undef HEADING")]
    for match in re.finditer(r"^(HEADING|REAL|COUNT)\((.*)\)$", text, re.M):
        kind, inside = match.groups()
        if kind == "HEADING":
            sections.append((inside.strip('"'), []))
            continue
        name, lowest, highest, initial, rest = inside.split(",", 4)
        unit, meaning = re.fullmatch(r'\s*"(.*?)", "(.*)"', rest).groups()
        sections[-1][1].append((name, kind, amount(lowest), amount(highest), amount(initial), unit, meaning))
    return sections


def page():
    parts = [HEAD]
    for heading, facts in rows():
        parts.append(f"\n## {heading[0].upper()}{heading[1:]}\n\n{TABLE}")
        for name, kind, lowest, highest, initial, unit, meaning in facts:
            whole = "whole, " if kind == "COUNT" else ""
            parts.append(f"| `{name}` | {initial} | {whole}{lowest} to {highest} | {unit} | {meaning} |\n")
    return "".join(parts)


def main(arguments):
    return made_page.keep(PAGE, page(), "gen_machines.py", arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
