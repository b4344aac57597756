# SPDX-License-Identifier: Apache-2.0
"""Breaks one line of the C core after the other and sees whether the tests notice.

usage: mutate_lines.py [--count 200] [--seed 1] [--jobs 1] [--results FILE] [--show FILE]

A mutant is one operator, bound, constant or call of one line of src, changed in a copy of the tree below build/mutants;
a job has a copy of its own. It is built, and the tests that enter its function (tools/reach.py records which ones do,
once) run until one fails: then it is caught. C tests that take long come after those in Python, and last of all the C
tests once more with AddressSanitizer. What does not compile is no mutant and another is drawn; nor is what compiles to
the very same library (trivial compiler equivalence: Papadakis et al., ICSE 2015), or more room than is needed. Results
are a line of JSON each, written as they come: run again with the same seed and it goes on where it ended.
--show prints how many were caught and by what, and every line that was not, to be looked at by people.
"""

import argparse
import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import reach

ROOT = Path(__file__).resolve().parent.parent
TREES = ROOT / "build" / "mutants"  # a folder a job
PYTEST = [str(ROOT / ".venv/bin/python"), "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "reach"]
QUICK = 2  # seconds: C tests that take less come before those in Python
# Tests in Python, in the order in which they are asked; each row is a process.
SUITES = {
    "bytes": ["tests/python/test_same_bytes.py", "tests/python/test_golden.py"],
    "ops": ["tests/ops"],
}
SUITES["python"] = sorted(
    str(path.relative_to(ROOT))
    for path in ROOT.glob("tests/python/test_*.py")
    if str(path.relative_to(ROOT)) not in SUITES["bytes"]
)
SANITIZERS = {"ASAN_OPTIONS": "detect_leaks=1:abort_on_error=1", "UBSAN_OPTIONS": "halt_on_error=1"}
# What no test can see: text for people, and what holds in any case.
SKIPPED = re.compile(
    r"LEAT_FAIL|leat_text_put|snprintf|printf|assert|annotate|corrupt\(|^\s*(//|#|\*|case .*:$)|LEAT_MUST_USE"
)
# The arguments of what makes room, with up to two levels of parentheses in them.
ROOM = re.compile(r"(?:alloc\w*|_reserve)(\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\))")
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
        room = [call.span(1) for call in ROOM.finditer(code)]
        for match in NUMBER.finditer(code):
            if any(a < match.start() < b for a, b in room) and not code[: match.start()].endswith(("- ", "/ ", "% ")):
                continue  # one more of anything there is more room alone
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


def run(tree, command, seconds, **settings):
    """Whether a command ends well and in time; nothing of it is left running."""
    process = subprocess.Popen(command, cwd=tree, env={**os.environ, **settings}, stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               start_new_session=True)  # fmt: skip
    try:
        return process.wait(seconds) == 0
    except subprocess.TimeoutExpired:
        return False
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def run_pytest(tree, arguments, seconds=7200, command="build/release/leat", **settings):
    """Whether tests in Python pass, with reach.py as a plugin; `settings` say what it does."""
    path = f"{tree / 'python'}{os.pathsep}{ROOT / 'tools'}"
    return run(tree, [*PYTEST, *arguments], seconds, PYTHONPATH=path, LEAT_COMMAND=str(tree / command), **settings)


def patience(seconds):
    """For a test that takes `seconds` on its own: what hangs is caught, what waits for a busy machine is not."""
    return 60 + 20 * seconds


def caught_in_c(tree, tests, begin, build="release", **settings):
    """The first of some C tests that fails, built before; "" for none, None where one of them does not build. A program
    that is older than `begin` has nothing of what was broken in it."""
    folder = tree / "build" / build
    told = reach.c_tests(tree, folder)
    made = sorted({os.path.relpath(told[name][0][0], folder) for name in tests})
    if made and not run(tree, ["ninja", "-C", folder, *made], 1800):
        return None
    for name, seconds in sorted(tests.items(), key=lambda test: test[1]):
        command, own = told[name]
        if os.path.getmtime(command[0]) > begin and not run(tree, command, patience(seconds), **own, **settings):
            return f"{'c' if build == 'release' else build}: {name}"
    return ""


def caught_in_python(tree, tests):
    running, chosen_in = tree / "build/running", tree / "build/chosen"
    for name, arguments in SUITES.items():
        chosen = {test: seconds for test, seconds in tests.items() if test.startswith(tuple(arguments))}
        files = sorted({test.partition("::")[0] for test in chosen})
        files.sort(key=lambda file: sum(chosen[test] for test in chosen if test.startswith(file + "::")))
        if chosen:
            chosen_in.write_text("\n".join(chosen), encoding="utf-8")
            running.write_text("import", encoding="utf-8")
            settings = {"REACH_CHOSEN": str(chosen_in), "REACH_RUNNING": str(running)}
            if not run_pytest(tree, ["-x", *files], patience(sum(chosen.values())), **settings):
                return f"{name}: {running.read_text(encoding='utf-8')}"
    return ""


def develop(tree):
    return run(tree, ["tools/develop.sh", "build/release", "--quiet", "-Dbuildtype=release", "-Dwerror=false"], 1800)


def library(tree):
    """What the tree is compiled to."""
    return hashlib.sha256((tree / "build/release/libleat.so").read_bytes()).hexdigest()


def caught_by(tree, tests, unbroken):
    """What notices the mutant that the tree holds, of tests with their seconds; "" for none, None where it is no mutant
    beside the library `unbroken`."""
    begin = time.time()
    if not develop(tree) or library(tree) == unbroken:
        return None
    in_c = {test[2:]: seconds for test, seconds in tests.items() if test.startswith("c ")}
    quick = {test: seconds for test, seconds in in_c.items() if seconds < QUICK}
    found = caught_in_c(tree, quick, begin)
    if found == "":
        found = caught_in_python(tree, {t: s for t, s in tests.items() if "::" in t})
    if found == "":
        found = caught_in_c(tree, {test: in_c[test] for test in in_c if test not in quick}, begin)
    return found if found != "" else caught_in_c(tree, in_c, begin, "asan", **SANITIZERS) or ""


def fresh_tree(number):
    """A copy of what git knows, built; and what it is compiled to."""
    tree = TREES / str(number)
    if not tree.exists():
        subprocess.run(["git", "clone", "-q", ROOT, tree], check=True)
    asan = ["-Db_sanitize=address,undefined", "-Dpython=disabled", "-Dwerror=false"]
    if not (tree / "build/asan/build.ninja").exists():
        run(tree, ["meson", "setup", "build/asan", ".", *asan], 600)
    if not develop(tree) or not all(run(tree, ["ninja", "-C", f"build/{name}"], 1800) for name in ("release", "asan")):
        sys.exit("the tree does not build before anything is broken: make build says why")
    return tree, library(tree)


def recorded(tree):
    """What its tests enter, from a file that all jobs share."""
    record = TREES / "reach.json"
    if not record.exists():
        table = reach.record(tree, SUITES.values(), lambda *args, **settings: run_pytest(tree, *args, **settings))
        record.write_text(json.dumps(table), encoding="utf-8")
    return json.loads(record.read_text(encoding="utf-8"))


def judge(tree, unbroken, mutant, table):
    """Which test notices the mutant, "" for none; None where it is none."""
    file, number, _, old, new = mutant
    path = tree / file
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines(True)
    if lines[number - 1].rstrip("\n") != old:
        sys.exit(f"{file}:{number} is another line in {tree}: remove that folder after a change")
    lines[number - 1] = new + "\n"
    path.write_text("".join(lines), encoding="utf-8")
    try:
        function = f"{file} {reach.functions_of(text)[number - 1]}"
        tests = {*table["functions"].get(function, ()), *table["always"]}
        return caught_by(tree, {test: table["tests"][test] for test in tests}, unbroken)
    finally:
        path.write_text(text, encoding="utf-8")


class Results:
    """Which mutants were caught, by their number in the draw: a line of a file each."""

    def __init__(self, file, count):
        self.file, self.count, self.lock = file, count, threading.Lock()
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        self.rows = {row["number"]: row for row in map(json.loads, lines)}

    def mutants(self):
        """The first `count` that were mutants."""
        rows = [self.rows[number] for number in sorted(self.rows) if self.rows[number]["caught"] is not None]
        return rows[: self.count]

    def add(self, row):
        with self.lock:
            self.rows[row["number"]] = row
            with self.file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            caught = row["caught"] if row["caught"] is None else row["caught"] or "NOT CAUGHT"
            print(f"{self.count - len(self.mutants())} left: {row['file']}:{row['line']} {caught}", flush=True)

    def show(self):
        mutants = self.mutants()
        caught = [row for row in mutants if row["caught"]]
        by = {name: sum(row["caught"].startswith(name) for row in caught) for name in ("c:", *SUITES, "asan")}
        for row in mutants:
            if not row["caught"]:
                print(f"{row['file']}:{row['line']}: {row['old'].strip()}\n    {row['new'].strip()}")
        print(f"{len(mutants)} mutants, {len(caught)} caught ({', '.join(f'{n} by {s}' for s, n in by.items())})")


def work(number, draw, results, table):
    """A job: takes from `draw` until there are enough mutants."""
    tree, unbroken = fresh_tree(number)
    while len(results.mutants()) < results.count:
        with results.lock:
            index, mutant = next(draw)
        if index not in results.rows:
            row = dict(zip(("file", "line", "kind", "old", "new"), mutant, strict=True))
            results.add({"number": index} | row | {"caught": judge(tree, unbroken, mutant, table)})


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=200, help="mutants (200)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="mutants that are judged at the same time (1)")
    parser.add_argument("--results", type=Path, default=ROOT / "build" / "mutants.jsonl")
    parser.add_argument("--show", type=Path, metavar="FILE", help="results to be summed up; nothing is run")
    arguments = parser.parse_args()
    if arguments.show:
        Results(arguments.show, arguments.count).show()
        return
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    results = Results(arguments.results, arguments.count)
    table, draw = recorded(fresh_tree(0)[0]), enumerate(drawn(arguments.seed))
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for job in [pool.submit(work, number, draw, results, table) for number in range(arguments.jobs)]:
            job.result()
    results.show()


if __name__ == "__main__":
    os.environ["PATH"] = f"{ROOT / '.venv/bin'}{os.pathsep}{os.environ['PATH']}"
    main()
