# SPDX-License-Identifier: Apache-2.0
"""Breaks one line of the C core after the other and sees whether the tests notice.

usage: mutate_lines.py [--count 200] [--seed 1] [--results FILE] [--show FILE]

A mutant is one operator, bound, constant or call of one line of src, changed in a copy of the tree below build/mutants.
It is built and the suites of SUITES run until one fails: then it is caught. What does not compile is no mutant and
another is drawn. Results are a line of JSON each, written as they come: run again with the same seed and it goes on
where it ended. --show prints how many were caught and by what, and every line that was not, to be looked at by people.
"""

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TREE = ROOT / "build" / "mutants"
SECONDS = 1200  # of a suite: what hangs is caught
PYTEST = [str(ROOT / ".venv/bin/python"), "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
SUITES = {
    "bytes": [*PYTEST, "tests/python/test_same_bytes.py", "tests/python/test_golden.py"],
    "ops": [*PYTEST, "tests/ops"],
    "c": ["meson", "test", "-C", "build/release", "--no-rebuild", "--maxfail", "1", "-t", "8"],
    "python": [*PYTEST, "tests/python/test_sdk_models.py", "tests/python/test_compile_modes.py",
               "tests/python/test_bad_input.py", "tests/python/test_microbatch.py", "tests/python/test_batches.py",
               "tests/python/test_loops.py", "tests/python/test_products.py", "tests/python/test_precision.py",
               "tests/python/test_index_bounds.py", "tests/python/test_batch_dims.py", "tests/python/test_symbols.py"],
    "user": [*PYTEST, "tests/python/test_rules.py", "tests/python/test_rules_heuristics.py",
             "tests/python/test_rules_lists.py", "tests/python/test_decisions.py", "tests/python/test_directives.py",
             "tests/python/test_options.py", "tests/python/test_options_reports.py", "tests/python/test_command.py",
             "tests/python/test_machine.py", "tests/python/test_retry.py", "tests/python/test_limits.py"],
}  # fmt: skip
# What no test can see: text for people, and what holds in any case.
SKIPPED = re.compile(
    r"LEAT_FAIL|leat_text_put|snprintf|printf|assert|annotate|corrupt\(|^\s*(//|#|\*|case .*:$)|LEAT_MUST_USE"
)
SWAPS = {
    "<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "+": "-", "-": "+", "*": "+", "/": "*",
    "&&": "||", "||": "&&", "<<": ">>", "|=": "&=", "+=": "-=", "++": "--",
}  # fmt: skip
OPERATOR = re.compile(r"(?<= )(<=|>=|==|!=|&&|\|\||<<|\|=|\+=|<|>|\+|-|\*|/)(?= )|\+\+")
NUMBER = re.compile(r"(?<![\w.\"'%])(\d+)(?![\w.\"'])")
CALL = re.compile(r"^\s+(?:LEAT_TRY\()?leat_\w+\(.*\);$")


def mutants_of(path):
    """(line number, kind, old line, new line) of everything that may be broken in a file."""
    inside = False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        inside = line.endswith("{") and not line.startswith((" ", "#")) or inside and line != "}"
        code = line.split("//")[0].rstrip()
        if not inside or SKIPPED.search(line) or '"' in code:
            continue
        if CALL.match(code):
            yield number, "call", line, re.match(r"\s*", line)[0] + ";"
        for match in OPERATOR.finditer(code):
            yield number, "operator", line, line[: match.start()] + SWAPS[match[0]] + line[match.end() :]
        for match in NUMBER.finditer(code):
            yield number, "constant", line, line[: match.start()] + str(int(match[0]) + 1) + line[match.end() :]


def drawn(seed):
    """Mutants without end, in an order that hangs on the seed alone; each line of code is as likely as any other."""
    lines = {}
    for path in sorted((ROOT / "src").glob("*/*.c")):
        if not path.name.startswith(("cmd_", "main")):
            for number, *mutant in mutants_of(path):
                lines.setdefault((str(path.relative_to(ROOT)), number), []).append(mutant)
    chance = random.Random(seed)
    for place in chance.sample(sorted(lines), len(lines)):
        yield (*place, *chance.choice(lines[place]))


def run(command, seconds):
    """Whether a command ends well and in time; nothing of it is left running."""
    environment = {**os.environ, "PYTHONPATH": str(TREE / "python"), "LEAT_COMMAND": str(TREE / "build/release/leat")}
    process = subprocess.Popen(command, cwd=TREE, env=environment, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, start_new_session=True)  # fmt: skip
    try:
        return process.wait(seconds) == 0
    except subprocess.TimeoutExpired:
        return False
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def build():
    ready = (TREE / "build/release/build.ninja").exists()
    if not ready:
        (TREE / "build").mkdir(parents=True, exist_ok=True)
        setup = ["tools/develop.sh", "build/release", "--quiet", "-Dbuildtype=release", "-Dwerror=false"]
        return run(setup, 1800) and run(["ninja", "-C", "build/release"], 1800)
    return run(["ninja", "-C", "build/release"], 1800) and run(["tools/develop.sh", "build/release"], 600)


def caught_by():
    for name, command in SUITES.items():
        if not run(command, SECONDS):
            return name
    return ""


def fresh_tree():
    """A copy of what git knows, built and with all suites passing."""
    if not TREE.exists():
        subprocess.run(["git", "clone", "-q", ROOT, TREE], check=True)
    if not build():
        sys.exit("the tree does not build before anything is broken: make build says why")
    failing = caught_by()
    if failing:
        sys.exit(f"suite {failing} fails before anything is broken")


def judge(mutant):
    """Which suite notices the mutant, "" for none; None where it does not compile."""
    file, number, _, old, new = mutant
    path = TREE / file
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines(True)
    if lines[number - 1].rstrip("\n") != old:
        sys.exit(f"{file}:{number} is another line in {TREE}: remove that folder after a change")
    lines[number - 1] = new + "\n"
    path.write_text("".join(lines), encoding="utf-8")
    try:
        return caught_by() if build() else None
    finally:
        path.write_text(text, encoding="utf-8")


def show(results):
    rows = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
    mutants = [row for row in rows if row["caught"] is not None]
    caught = [row for row in mutants if row["caught"]]
    by = {name: sum(row["caught"] == name for row in caught) for name in SUITES}
    for row in mutants:
        if not row["caught"]:
            print(f"{row['file']}:{row['line']}: {row['old'].strip()}\n    {row['new'].strip()}")
    print(f"{len(mutants)} mutants, {len(caught)} caught ({', '.join(f'{n} by {s}' for s, n in by.items())})")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=200, help="mutants that compile (200)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--results", type=Path, default=ROOT / "build" / "mutants.jsonl")
    parser.add_argument("--show", type=Path, metavar="FILE", help="results to be summed up; nothing is run")
    arguments = parser.parse_args()
    if arguments.show:
        show(arguments.show)
        return
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    done = arguments.results.read_text(encoding="utf-8").splitlines() if arguments.results.exists() else []
    left = arguments.count - sum(json.loads(line)["caught"] is not None for line in done)
    fresh_tree()
    for index, mutant in enumerate(drawn(arguments.seed)):
        if left <= 0:
            break
        if index < len(done):
            continue
        found = judge(mutant)
        left -= found is not None
        row = dict(zip(("file", "line", "kind", "old", "new"), mutant, strict=True)) | {"caught": found}
        with arguments.results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(
            f"{left} left: {row['file']}:{row['line']} {found if found is None else found or 'NOT CAUGHT'}", flush=True
        )
    show(arguments.results)


if __name__ == "__main__":
    os.environ["PATH"] = f"{ROOT / '.venv/bin'}{os.pathsep}{os.environ['PATH']}"
    main()
