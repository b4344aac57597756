# SPDX-License-Identifier: Apache-2.0
"""Breaks one line of the C core after the other and sees whether the tests notice.

usage: mutate_lines.py [--count 200] [--seed 1] [--results FILE] [--show FILE]

A mutant is one operator, bound, constant or call of one line of src, changed in a copy of the tree below build/mutants.
It is built, and the tests that enter its function (tools/reach.py records which ones do, once a copy) run until one
fails: then it is caught. C tests that take long come after those in Python, and last of all the C tests once more with
AddressSanitizer. What does not compile is no mutant and another is drawn; nor is what compiles to the very same library
(trivial compiler equivalence: Papadakis et al., ICSE 2015), or more room than is needed. Results are a line of JSON
each, written as they come: run again with the same seed and it goes on where it ended.
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
import time
from pathlib import Path

import reach

ROOT = Path(__file__).resolve().parent.parent
TREE = ROOT / "build" / "mutants"
PYTEST = [str(ROOT / ".venv/bin/python"), "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "reach"]
QUICK = 2  # seconds: C tests that take less come before those in Python
# Tests in Python, in the order in which they are asked; each row is a process.
SUITES = {
    "bytes": ["tests/python/test_same_bytes.py", "tests/python/test_golden.py"],
    "ops": ["tests/ops"],
    "python": ["test_sdk_models", "test_compile_modes", "test_bad_input", "test_microbatch", "test_batches",
               "test_loops", "test_products", "test_precision", "test_index_bounds", "test_batch_dims", "test_symbols",
               "test_rules", "test_rules_heuristics", "test_rules_lists", "test_decisions", "test_directives",
               "test_options", "test_options_reports", "test_command", "test_machine", "test_retry", "test_limits"],
}  # fmt: skip
SUITES["python"] = [f"tests/python/{name}.py" for name in SUITES["python"]]
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


def run(command, seconds, **settings):
    """Whether a command ends well and in time; nothing of it is left running."""
    process = subprocess.Popen(command, cwd=TREE, env={**os.environ, **settings}, stdin=subprocess.DEVNULL,
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


def run_pytest(arguments, seconds=7200, command="build/release/leat", **settings):
    """Whether tests in Python pass, with reach.py as a plugin; `settings` say what it does."""
    path = f"{TREE / 'python'}{os.pathsep}{ROOT / 'tools'}"
    return run([*PYTEST, *arguments], seconds, PYTHONPATH=path, LEAT_COMMAND=str(TREE / command), **settings)


def patience(seconds):
    """For a test that takes `seconds` on its own: what hangs is caught, what waits for a busy machine is not."""
    return 60 + 20 * seconds


def caught_in_c(tests, begin, build="release", **settings):
    """The first of some C tests that fails, built before; "" for none, None where one of them does not build. A program
    that is older than `begin` has nothing of what was broken in it."""
    folder = TREE / "build" / build
    told = reach.c_tests(TREE, folder)
    made = sorted({os.path.relpath(told[name][0][0], folder) for name in tests})
    if made and not run(["ninja", "-C", folder, *made], 1800):
        return None
    for name, seconds in sorted(tests.items(), key=lambda test: test[1]):
        command, own = told[name]
        if os.path.getmtime(command[0]) > begin and not run(command, patience(seconds), **own, **settings):
            return f"{'c' if build == 'release' else build}: {name}"
    return ""


def caught_in_python(tests):
    running, chosen_in = TREE / "build/running", TREE / "build/chosen"
    for name, arguments in SUITES.items():
        chosen = {test: seconds for test, seconds in tests.items() if test.startswith(tuple(arguments))}
        files = sorted({test.partition("::")[0] for test in chosen})
        files.sort(key=lambda file: sum(chosen[test] for test in chosen if test.startswith(file + "::")))
        if chosen:
            chosen_in.write_text("\n".join(chosen), encoding="utf-8")
            running.write_text("import", encoding="utf-8")
            settings = {"REACH_CHOSEN": str(chosen_in), "REACH_RUNNING": str(running)}
            if not run_pytest(["-x", *files], patience(sum(chosen.values())), **settings):
                return f"{name}: {running.read_text(encoding='utf-8')}"
    return ""


def develop():
    return run(["tools/develop.sh", "build/release", "--quiet", "-Dbuildtype=release", "-Dwerror=false"], 1800)


def library():
    """What the tree is compiled to."""
    return hashlib.sha256((TREE / "build/release/libleat.so").read_bytes()).hexdigest()


def caught_by(tests, unbroken):
    """What notices the mutant that the tree holds, of tests with their seconds; "" for none, None where it is no mutant
    beside the library `unbroken`."""
    begin = time.time()
    if not develop() or library() == unbroken:
        return None
    in_c = {test[2:]: seconds for test, seconds in tests.items() if test.startswith("c ")}
    quick = {test: seconds for test, seconds in in_c.items() if seconds < QUICK}
    found = caught_in_c(quick, begin)
    if found == "":
        found = caught_in_python({t: s for t, s in tests.items() if "::" in t})
    if found == "":
        found = caught_in_c({test: in_c[test] for test in in_c if test not in quick}, begin)
    return found if found != "" else caught_in_c(in_c, begin, "asan", **SANITIZERS) or ""


def fresh_tree():
    """A copy of what git knows, built, with the record of what its tests enter."""
    if not TREE.exists():
        subprocess.run(["git", "clone", "-q", ROOT, TREE], check=True)
    asan = ["-Db_sanitize=address,undefined", "-Dpython=disabled", "-Dwerror=false"]
    if not (TREE / "build/asan/build.ninja").exists():
        run(["meson", "setup", "build/asan", ".", *asan], 600)
    if not develop() or not all(run(["ninja", "-C", f"build/{name}"], 1800) for name in ("release", "asan")):
        sys.exit("the tree does not build before anything is broken: make build says why")
    record = TREE / "build/reach.json"
    if not record.exists():
        table = reach.record(TREE, SUITES.values(), run_pytest)
        record.write_text(json.dumps(table), encoding="utf-8")
    return json.loads(record.read_text(encoding="utf-8")) | {"library": library()}


def judge(mutant, table):
    """Which test notices the mutant, "" for none; None where it is none."""
    file, number, _, old, new = mutant
    path = TREE / file
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines(True)
    if lines[number - 1].rstrip("\n") != old:
        sys.exit(f"{file}:{number} is another line in {TREE}: remove that folder after a change")
    lines[number - 1] = new + "\n"
    path.write_text("".join(lines), encoding="utf-8")
    try:
        function = f"{file} {reach.functions_of(text)[number - 1]}"
        tests = {*table["functions"].get(function, ()), *table["always"]}
        return caught_by({test: table["tests"][test] for test in tests}, table["library"])
    finally:
        path.write_text(text, encoding="utf-8")


def show(results):
    rows = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
    mutants = [row for row in rows if row["caught"] is not None]
    caught = [row for row in mutants if row["caught"]]
    by = {name: sum(row["caught"].startswith(name) for row in caught) for name in ("c:", *SUITES, "asan")}
    for row in mutants:
        if not row["caught"]:
            print(f"{row['file']}:{row['line']}: {row['old'].strip()}\n    {row['new'].strip()}")
    print(f"{len(mutants)} mutants, {len(caught)} caught ({', '.join(f'{n} by {s}' for s, n in by.items())})")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=200, help="mutants (200)")
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
    table = fresh_tree()
    for index, mutant in enumerate(drawn(arguments.seed)):
        if left <= 0:
            break
        if index < len(done):
            continue
        found = judge(mutant, table)
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
