# SPDX-License-Identifier: Apache-2.0
"""Counts what makes a new stage, primitive, option or engine touch many places, against the limits of LIMITS.

usage: count_seams.py [--root TREE] [--list MEASURE]

TREE is a checkout, this one unless given: two trees compare before with after. --list shows the places of one measure.
Globals that can change are counted by check_globals.sh and imports of Python by check_imports.py, since the first
needs a build; everything else is read from the source. The exit status is 1 if a limit is passed.
"""

import argparse
import ast
import re
import sys
from pathlib import Path

LIMITS = {
    "parameters by number": 0,
    "text compared for closed sets": 0,
    "comparisons with kinds of ops": 40,
    "mergings of dims": 1,
    "walks of the data flow": 1,
    "circles of files": 0,
    "machine constants outside arch": 0,
    "memory planners": 1,
    "runners beside the file": 0,
}

# Comparisons of text that is open: file -> how many, and what is compared.
OPEN_TEXT = {
    "arch/arch.c": (2, "what a user wrote after --arch"),
    "arch/chip.c": (6, "what a user wrote after --arch, values of a record"),
    "arch/record.c": (2, "values of a record, the short form in a PEF"),
    "cut/blocks.c": (1, "names of modules"),
    "cut/decision.c": (1, "names of modules"),
    "cut/decision_read.c": (2, "keys of a file"),
    "cut/fusion.c": (1, "what a user wrote after --why"),
    "cut/outputs.c": (2, "names of values, sorted"),
    "grad/optimizer.c": (1, "prefixes that programs give"),
    "ir/equal.c": (4, "attributes of open text, names of symbols, parameters of heuristics"),
    "ir/graph.c": (1, "names of modules"),
    "ir/print.c": (1, "what the program called an op"),
    "ir/symbol.c": (2, "names of symbols, where a graph is read"),
    "ir/tables.c": (1, "words of graph text, where it is read"),
    "ir/word.c": (2, "words of graph text, where it is read"),
    "map/name.c": (1, "names of modules"),
    "native/cpu.c": (1, "what a user wrote after --isa"),
    "opt/batch_dims.c": (1, "what the program called an op"),
    "opt/precision.c": (1, "what a user wrote after --precision"),
    "pef/pef_check.c": (2, "names of symbols, which are unique, and what a file was compiled for"),
    "pef/pef_check_map.c": (1, "a column of scalar.def, expanded to text"),
    "pef/pef_json.c": (1, "keys of JSON, sorted"),
    "pef/pef_role.c": (2, "names of symbols, where a file is read"),
    "pef/pef_write.c": (2, "names of symbols, strings kept once"),
    "report/report.c": (1, "endings of names of files"),
    "rule/heuristic.c": (4, "words of rules and directives, where they are read"),
    "rule/match_nodes.c": (2, "what the program called an op"),
    "rule/rule_builtin.c": (3, "names of files"),
    "rule/rule_keys.c": (2, "keys of YAML"),
    "rule/rule_op.c": (2, "names in rules, where they are read"),
    "rule/rule_pattern.c": (2, "names in rules, where they are read"),
    "rule/rule_read.c": (6, "keys and values of YAML"),
    "run/cpu_count.c": (2, "words of the kernel's files"),
    "run/program.c": (1, "what a user wrote after --engine"),
    "run/symbols.c": (1, "names that callers ask for"),
    "run/weights.c": (7, "keys of weight files"),
}
# Numbers that look like facts of a machine and are none: file -> how many, and what they are.
NO_MACHINE = {
    "cut/blocks.c": (1, "ops of the smallest block that is looked for"),
    "cut/outputs.c": (1, "room for a name"),
    "driver/batches.c": (1, "room for a name"),
    "driver/cmd_machine.c": (2, "GFLOP/s and GB/s in print"),
    "driver/cmd_profile.c": (2, "microseconds in a table"),
    "driver/cmd_run.c": (3, "nanoseconds of a clock, microseconds in print"),
    "driver/limit.c": (2, "milliseconds in print"),
    "driver/measure.c": (6, "how it is measured: seconds, a clock, memory, blocks that every L1 holds"),
    "map/native.c": (1, "GFLOP/s and GB/s in print"),
    "native/code.c": (1, "functions that a program keeps, a limit of load"),
    "native/contract_plan.h": (1, "columns that kernels are looked for, a limit of load"),
    "native/map_code.c": (1, "room for a function"),
    "native/map_plan.c": (1, "bytes of the widest class"),
    "native/vector_code.h": (6, "fields of instructions, and how many vectors have a mask of their own"),
    "opt/columns.c": (2, "columns of a chunk: an order of sums, which no machine may change"),
    "opt/constant.c": (1, "bytes that a file may hold of folded constants"),
    "report/layout.c": (1, "far away, in a picture"),
    "report/report_graph.c": (2, "lines of text in a picture"),
    "report/report_table.c": (1, "microseconds in a table"),
    "report/units.c": (1, "nanoseconds in print"),
    "run/accumulate.c": (1, "elements converted at once, on the stack"),
    "run/exec.c": (1, "nanoseconds of a clock"),
    "run/memory.c": (1, "a page of the operating system"),
    "run/symbols.c": (2, "room for a name, bytes copied at once, on the stack"),
    "run/weights.c": (1, "elements converted at once, on the stack"),
    "unit/unit_graph.c": (1, "room for a name"),
}
# Folders that plan, run and report. kern's bodies are written for the registers of their level, ref reads the format.
PLANNERS = {"cut", "driver", "link", "map", "native", "opt", "report", "run", "space", "unit"}
# Folders that read what people and files say, and what compares bytes.
READERS = {"base", "io", "driver"}

KIND = r"LEAT_(?:PRIM|TRACED)_(?!COUNT|FIRST|BEFORE)[A-Z_0-9]+"
COMPARED = re.compile(rf"(?:[=!]=|[<>]=?)\s*{KIND}|{KIND}\s*(?:[=!]=|[<>]=?)|\bcase\s+{KIND}")
PREDICATE = re.compile(
    rf"^(?:static )?(?:inline )?bool (\w+)\([^)]*\) \{{\s*return [^;&|]*(?:{COMPARED.pattern})[^;&|]*;\s*\}}", re.M
)
PARAMETER = re.compile(r"(?:->|\.)params\s*\[[^\]]*\b\d+\b[^\]]*\]|(?:->|\.)params\s*\[\s*[a-z]\w*\s*\]")
TEXT = re.compile(r"\b(?:str(?:n|case|ncase)?cmp|strstr)\s*\(")
MERGING = re.compile(
    r"(?:strides?|\bstride)[\]\w\[ +\-\.>]*\s*[!=]=\s*[^;&|]*strides?[^;&|]*\*\s*[^;&|]*(?:dims|extents?|rows)"
    r"|strides?[\w\[\]\. >-]*[!=]=\s*\w+->strides?[^;]*\*"
)
DEFINITION = re.compile(r"^(?!static|typedef|#|return|else)[a-z][\w *]*?\b([a-z]\w+)\([^;{}]*\)\s*\{", re.M)
# Names of what a machine has or finds worth it. Where one is defined as a number, or a rate or a time is written.
FACT = (
    r"\w*(?:BYTES|FLOATS|FLOPS|SECONDS|ELEMENTS|ROWS|COLUMNS|POSITIONS|CHANNELS|LANES|VECTOR|LINE|PAGE|PANEL|BLOCK|TILE"
)
FACT += r"|STRIP|CHUNK|QUANTUM|CACHE|STRIDE|SPIN|WORTH|SHARE|GROWTH|RUNS|(?<=_)L[123](?=_|\b)|_MIN\b)\w*"
NUMBER = r"\(*(?:\(\w+\))?(?!0x|[01]\s*[,};)])\d[^,};]*"
MACHINE = re.compile(
    rf"\b{FACT}\s*=\s*{NUMBER}|#\s*define\s+{FACT}\s+{NUMBER}"
    rf"|\bconst\s+\w+\s+\w*(?:bytes|flops|seconds|elements|rows|worth)\w*\s*=\s*{NUMBER}"
    r"|\b\d+(?:\.\d*)?e[+-]?\d+f?\b|\b_SC_LEVEL\w+|\b__get_cpuid\w*"
)
PLANNING = re.compile(r"\boffset\s*=\s*[^;=]*\boffset\s*\+\s*[^;]*bytes|arena_bytes\s*\+=")
COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"", re.DOTALL)


def sources(root):
    """Every C file of src: its path below src, and its text without comments and strings."""
    found = {}
    for path in sorted((root / "src").glob("*/*.[ch]")):
        text = path.read_text(encoding="utf-8")
        blank = COMMENT.sub(lambda m: re.sub(r"[^\n]", " ", m[0]) if m[0][0] == "/" else '""', text)
        found[str(path.relative_to(root / "src"))] = blank
    return found


def places(pattern, files):
    for name, text in files.items():
        for match in pattern.finditer(text):
            yield f"{name}:{text.count(chr(10), 0, match.start()) + 1}: {' '.join(match[0].split())[:100]}"


def parameters(files):
    """Parameters of a stage that are not asked for by name; their schema may walk over all."""
    return [place for place in places(PARAMETER, files) if not re.match(r"pef/pef_(schema|format)", place)]


def closed_text(files):
    found = []
    for name, text in files.items():
        if name.split("/")[0] in READERS:
            continue
        here = list(places(TEXT, {name: text}))
        found += here[OPEN_TEXT.get(name, (0, ""))[0] :]
    return found


def kinds(files):
    """Comparisons with a kind of op, and calls of functions that do nothing else. Tables are no comparisons."""
    found = list(places(COMPARED, files))
    predicates = {name for text in files.values() for name in PREDICATE.findall(text)}
    if predicates:
        calls = re.compile(rf"(?<!bool )\b(?:{'|'.join(sorted(predicates))})\(")
        found += places(calls, files)
    return found


def mergings(files):
    """Functions that see whether one dim continues another. Those of legal and ref are apart on purpose: a second
    opinion shares no code."""
    return [place for place in places(MERGING, files) if not place.startswith(("pef/legal", "ref/"))]


def walks(files):
    """Files that go from calls to operands to find out who reads what of whom. Readers and writers of the file, engines
    and the second opinion have reasons of their own."""
    own = ("pef/pef_", "pef/legal", "run/", "native/", "ref/")
    both = [n for n, t in files.items() if "argument_first" in t and "operand_first" in t and not n.startswith(own)]
    return sorted({name.rsplit(".", 1)[0] for name in both})


def circles(files):
    """Sets of files that call each other in a circle. A source and its header are one."""
    unit_of = {name: name.rsplit(".", 1)[0] for name in files}
    owner = {}
    for name, text in files.items():
        if name.endswith(".c"):
            for function in DEFINITION.findall(text):
                owner.setdefault(function, set()).add(unit_of[name])
    owner = {function: next(iter(units)) for function, units in owner.items() if len(units) == 1}
    graph = {unit: set() for unit in unit_of.values()}
    for name, text in files.items():
        if name.endswith(".c"):
            called = {owner[word] for word in re.findall(r"\b(\w+)\b", text) if word in owner}
            graph[unit_of[name]] |= called - {unit_of[name]}
    return [" ".join(sorted(one)) for one in components(graph) if len(one) > 1]


def machine_constants(files):
    """Numbers that say what a machine has, or from where on something is worth it: they are rows of arch/arch.def, or,
    where plans of the engine are built for them, in arch/blocks.h."""
    found = []
    for name, text in files.items():
        if name.split("/")[0] in PLANNERS:
            here = list(places(MACHINE, {name: text}))
            found += here[NO_MACHINE.get(name, (0, ""))[0] :]
    return found


def planners(files):
    """Files that place something behind something else. Where segments of a file lie is no plan of memory."""
    return sorted({place.split(":")[0] for place in places(PLANNING, files)})


def runners(root):
    """Classes of the SDK that run a program in another way than `Runner`: what is repeated, the file's loops say."""
    found = []
    for path in sorted((root / "python" / "sambaflow").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and any(ast.unparse(base).endswith("Runner") for base in node.bases):
                found.append(f"{path.relative_to(root)}:{node.lineno}: class {node.name}")
    return found


def components(graph):
    """Strongly connected components (Tarjan, without recursion)."""
    order, low, stack, on, found = {}, {}, [], set(), []
    for root in graph:
        if root in order:
            continue
        work = [(root, iter(sorted(graph[root])))]
        order[root] = low[root] = len(order)
        stack.append(root)
        on.add(root)
        while work:
            node, edges = work[-1]
            nxt = next((n for n in edges if n not in order or n in on), None)
            if nxt is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == order[node]:
                    at = stack.index(node)
                    found.append(stack[at:])
                    on -= set(stack[at:])
                    del stack[at:]
            elif nxt not in order:
                order[nxt] = low[nxt] = len(order)
                stack.append(nxt)
                on.add(nxt)
                work.append((nxt, iter(sorted(graph[nxt]))))
            else:
                low[node] = min(low[node], order[nxt])
    return found


MEASURES = dict(
    zip(
        LIMITS,
        (parameters, closed_text, kinds, mergings, walks, circles, machine_constants, planners, runners),
        strict=True,
    )
)
OF_SDK = {"runners beside the file"}  # counted in the Python package, all others in src


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parent.parent)
    parser.add_argument("--list", choices=LIMITS, metavar="MEASURE", help=f"one of: {', '.join(LIMITS)}")
    arguments = parser.parse_args()
    files, over = sources(arguments.root), False
    for name, limit in LIMITS.items():
        found = MEASURES[name](arguments.root if name in OF_SDK else files)
        over |= len(found) > limit
        print(f"{name}: {len(found)} (limit {limit}){'  OVER' if len(found) > limit else ''}")
        if arguments.list == name:
            print("\n".join(f"  {place}" for place in found))
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
