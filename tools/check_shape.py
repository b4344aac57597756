# SPDX-License-Identifier: Apache-2.0
"""Sizes of files and functions of the C core and the SDK against their budgets.

Median and 95th percentile are reported; only a hard maximum fails. A function is measured from its opening line to its
closing brace, both in column 0 as the formatter puts them.
"""

import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILE_BUDGET = (250, 600, 1200)  # median, 95th percentile, hard maximum, in lines
FUNCTION_BUDGET = (13, 60, 120)


def c_functions(lines):
    """(name line, length) of every function of a C file."""
    start = None
    for number, line in enumerate(lines):
        if line == "}" and start is not None:
            yield start, number - start + 1
            start = None
        elif line and not line[0].isspace() and line.rstrip().endswith("{") and "(" in line and "=" not in line:
            start = number


def report(what, sizes, budget):
    """Prints the three figures of `sizes` = [(size, place)]; the places over the hard maximum."""
    if not sizes:
        return []
    counts = sorted(size for size, _ in sizes)
    p95 = counts[min(len(counts) - 1, len(counts) * 95 // 100)]
    print(
        f"{what}: {len(counts)}, median {statistics.median(counts):.0f} (budget {budget[0]}), "
        f"95 % {p95} ({budget[1]}), largest {counts[-1]} (limit {budget[2]})"
    )
    for size, place in sorted(sizes, reverse=True)[:5]:
        if size > budget[1]:
            print(f"  {size:5} {place}")
    return [(size, place) for size, place in sizes if size > budget[2]]


def main():
    c_files = sorted((ROOT / "src").glob("*/*.[ch]"))
    python_files = sorted((ROOT / "python").rglob("*.py"))
    sizes, functions = [], []
    for path in c_files + python_files:
        lines = path.read_text(encoding="utf-8").splitlines()
        name = path.relative_to(ROOT)
        sizes.append((len(lines), str(name)))
        if path.suffix == ".c":
            functions += [(length, f"{name}:{start + 1}") for start, length in c_functions(lines)]
    over = report("files", sizes, FILE_BUDGET) + report("functions", functions, FUNCTION_BUDGET)
    for size, place in over:
        print(f"{place}: {size} lines is over the hard limit: split it by idea")
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
