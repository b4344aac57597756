# SPDX-License-Identifier: Apache-2.0
"""Which tests enter which functions of src, and how long each test takes: what tools/mutate_lines.py chooses tests by.

A build with -finstrument-functions notes what is entered (tools/reach.c). C tests are noted a test of meson, Python
tests one by one; tests of a file that keeps things from one test for the next (fixtures of a module, caches) count as
one, since any of them may be the one that enters.
"""

import ctypes
import json
import os
import re
import subprocess
import time
from collections import defaultdict
from pathlib import Path

SECONDS = 20  # of a C test: what takes longer counts as entering every function
KEEPS = re.compile(r"\bcache\b|lru_cache|scope=")


def c_tests(tree, build):
    """The tests of meson: name -> (command, environment)."""
    told = subprocess.run(["meson", "introspect", "--tests", build], cwd=tree, check=True, capture_output=True)
    return {test["name"]: (test["cmd"], test["env"]) for test in json.loads(told.stdout)}


def functions_of(text):
    """For each line of a source file the number of the function that it stands in or before."""
    number, numbers = 0, []
    for line in text.splitlines():
        numbers.append(number)
        number += line == "}"
    return numbers


def _note(rows, folder, test, begin, passed):
    row = {"folder": str(folder), "test": test, "seconds": time.monotonic() - begin, "passed": passed}
    with rows.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def _noted(rows):
    """What was noted so far: test -> row."""
    lines = rows.read_text(encoding="utf-8").splitlines() if rows.exists() else []
    return {row["test"]: row for row in map(json.loads, lines)}


class Recorder:
    """A plugin of pytest: what each test enters goes to a folder of its own below `folder`, its seconds to `rows`."""

    def __init__(self, folder, rows):
        self.folder, self.rows, self.libraries = folder, rows, None
        self.passed = True

    def _write(self, folder):
        if self.libraries is None:
            from sambaflow import _leat

            self.libraries = [ctypes.CDLL(_leat.__file__), ctypes.CDLL(Path(_leat.__file__).parent / "libleat.so")]
        for library in self.libraries:
            library.leat_reach_write(str(folder).encode())

    def pytest_runtest_protocol(self, item, nextitem):
        number = len(list(self.folder.iterdir()))
        self.at, self.begin = self.folder / str(number), time.monotonic()
        self.at.mkdir()
        self.passed = True
        os.environ["LEAT_REACH"] = str(self.at)

    def pytest_runtest_logreport(self, report):
        self.passed &= not report.failed

    def pytest_runtest_logfinish(self, nodeid, location):
        self._write(self.at)
        _note(self.rows, self.at, nodeid, self.begin, self.passed)


class Chooser:
    """A plugin of pytest: runs the tests that a file names and no others, and writes to another which one it runs."""

    def __init__(self, chosen, running):
        self.tests, self.running = set(chosen.read_text(encoding="utf-8").splitlines()), running

    def pytest_collection_modifyitems(self, items):
        items[:] = [item for item in items if item.nodeid in self.tests]

    def pytest_runtest_logstart(self, nodeid, location):
        self.running.write_text(nodeid, encoding="utf-8")


def pytest_configure(config):
    """pytest -p reach"""
    settings = [Path(os.environ.get(name, "")) for name in ("REACH_CHOSEN", "REACH_RUNNING", "REACH_IN", "REACH_ROWS")]
    if "REACH_CHOSEN" in os.environ:
        config.pluginmanager.register(Chooser(*settings[:2]))
    if "REACH_IN" in os.environ:
        config.pluginmanager.register(Recorder(*settings[2:]))


def _record_c(tree, build, folder, rows):
    for name, (command, settings) in c_tests(tree, build).items():
        at, begin = folder / name.replace(" ", "_"), time.monotonic()
        if f"c {name}" in _noted(rows):
            continue
        at.mkdir(parents=True, exist_ok=True)
        try:
            done = subprocess.run(command, cwd=tree, env={**os.environ, **settings, "LEAT_REACH": str(at)},
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=SECONDS)  # fmt: skip
            _note(rows, at, f"c {name}", begin, done.returncode == 0)
        except subprocess.TimeoutExpired:
            _note(rows, at, f"c {name}", begin, True)


def _places(tree, objects):
    """(object file, offset) -> (source file, number of the function) of all that lies in src/*/*.c."""
    found, numbers = {}, {}
    for module, offsets in objects.items():
        offsets = sorted(offsets)
        told = subprocess.run(["addr2line", "-e", module], input="\n".join(offsets), text=True, capture_output=True)
        for offset, line in zip(offsets, told.stdout.splitlines(), strict=True):
            path, _, number = line.partition(" ")[0].rpartition(":")
            inside = re.search(r"\b(src/\w+/\w+\.c)$", path)  # after any folder: a compiler cache keeps that of another
            if inside and number.isdigit():
                source = inside[1]
                if source not in numbers:
                    numbers[source] = functions_of((tree / source).read_text(encoding="utf-8"))
                found[module, offset] = (source, numbers[source][int(number) - 1])
    return found


def _table(tree, rows):
    rows = list(_noted(rows).values())
    for row in rows:
        if not row["passed"]:
            print(f"{row['test']} fails before anything is broken: left out", flush=True)
    rows = [row for row in rows if row["passed"]]
    entered = defaultdict(set)  # test -> (object, offset)
    for row in rows:
        for file in Path(row["folder"]).iterdir():
            for line in file.read_text(encoding="utf-8").splitlines():
                entered[row["test"]].add(tuple(line.rsplit(" ", 1)))
    objects = defaultdict(set)
    for module, offset in set().union(*entered.values()):
        objects[module].add(offset)
    place_of = _places(tree, objects)
    tests = {row["test"]: row["seconds"] for row in rows}
    together = defaultdict(list)
    for test in tests:
        path = test.partition("::")[0]
        is_kept = "::" in test and KEEPS.search((tree / path).read_text(encoding="utf-8"))
        together[path if is_kept else test].append(test)
    functions = defaultdict(list)
    for group in together.values():
        places = {place_of[at] for test in group for at in entered[test] if at in place_of}
        for file, number in sorted(places):
            functions[f"{file} {number}"] += group
    always = [test for test, seconds in tests.items() if test.startswith("c ") and seconds > SECONDS]
    return {"tests": tests, "functions": functions, "always": always}


def record(tree, suites, run_pytest):
    """What the tests of `tree` enter, from a build of it in build/reach: {"tests": {test: seconds}, "functions": {"FILE
    NUMBER": [test]}, "always": [test]}, the last for those whose functions are not known. `run_pytest(arguments,
    command, **environment)` runs pytest in the tree. What was recorded before is kept."""
    build, folder, rows = tree / "build/reach", tree / "build/reached", tree / "build/reached.jsonl"
    (folder / "python").mkdir(parents=True, exist_ok=True)
    hook = folder.parent / "reach.o"
    source = Path(__file__).with_name("reach.c")
    subprocess.run(["cc", "-O2", "-D_GNU_SOURCE", "-fPIC", "-c", source, "-o", hook], check=True)
    flags = "-g1 -finstrument-functions -finstrument-functions-exclude-file-list=.h"
    subprocess.run(["tools/develop.sh", "build/reach", "--quiet", "-Dbuildtype=release", "-Dwerror=false",
                    f"-Dc_args={flags}", f"-Dc_link_args=-Wl,-Bsymbolic {hook}"], cwd=tree, check=True)  # fmt: skip
    subprocess.run(["ninja", "-C", build, "--quiet"], check=True)
    _record_c(tree, build, folder / "c", rows)
    for arguments in suites:
        settings = {"REACH_IN": str(folder / "python"), "REACH_ROWS": str(rows)}
        run_pytest(arguments, command="build/reach/leat", **settings)
    return _table(tree, rows)
