# SPDX-License-Identifier: Apache-2.0
"""Line coverage of the PEF reader by the C tests that concern it, measured with gcov; fails below LEAST percent.

usage: check_coverage.py [BUILD_DIR]     (default: build/coverage, made when it is not there)
"""

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LEAST = 90.0
TESTS = ("chip_segment", "pef", "pef_buffer", "pef_check", "pef_family", "pef_loop", "pef_mutate", "schema", "space")
READER = re.compile(r"src/pef/pef_(read|check\w*|facts|family|index|json|rules|schema)\.[ch]$")


def run(*command, cwd=ROOT):
    return subprocess.run([str(part) for part in command], cwd=cwd, check=True, capture_output=True, text=True).stdout


def build_and_test(build):
    """Builds the tests with counters set to zero and runs them."""
    if not (build / "build.ninja").exists():
        run("meson", "setup", build, ROOT, "-Db_coverage=true", "-Dpython=disabled", "-Doptimization=0")
    run("ninja", "-C", build, *(f"tests/c/{name}_test" for name in TESTS))
    for counters in build.rglob("*.gcda"):
        counters.unlink()
    for name in TESTS:
        run(build / "tests" / "c" / f"{name}_test", cwd=build)


def lines_of(build):
    """{file: {line: times run}} of the reader."""
    lines = {}
    for counters in sorted(build.glob("src/pef/**/*.gcda")):
        report = json.loads(run("gcov", "--json-format", "--stdout", counters, cwd=build))
        for file in report["files"]:
            name = file["file"]
            if READER.search(name):
                counts = lines.setdefault(Path(name).name, {})
                for line in file["lines"]:
                    counts[line["line_number"]] = counts.get(line["line_number"], 0) + line["count"]
    return lines


def main():
    build = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT / "build" / "coverage"
    build_and_test(build)
    total = covered = 0
    for name, counts in sorted(lines_of(build).items()):
        missed = sorted(number for number, count in counts.items() if count == 0)
        total += len(counts)
        covered += len(counts) - len(missed)
        shown = f"  not run: {', '.join(map(str, missed))}" if missed else ""
        print(f"{name:24} {100 * (len(counts) - len(missed)) / len(counts):6.1f} % of {len(counts)} lines{shown}")
    percent = 100 * covered / max(total, 1)
    print(f"coverage: {percent:.1f} % of the {total} lines of the PEF reader; {LEAST:.0f} % are wanted")
    return 0 if percent >= LEAST else 1


if __name__ == "__main__":
    sys.exit(main())
