# SPDX-License-Identifier: Apache-2.0
"""Runs every test and check and closes with one line, `N passed, N failed`.

usage: run_checks.py --build BUILD_DIR [SUITE...]

A suite is a row of SUITES: what to run, and how to count what passed and failed from it. Output goes to
build/logs/<suite>.log and is shown where something failed. The exit status is 0 only if something ran and nothing
failed.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / "build" / "logs"
LOG_TAIL_LINES = 60
SKIPPED = 77  # an exit status
SECONDS_MAX = 2100  # of one command: a hanging test must not hang the run


@dataclass
class Count:
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped


class Suite:
    """One suite's log and the commands that write to it."""

    def __init__(self, name, build):
        self.name, self.build = name, build
        LOGS.mkdir(parents=True, exist_ok=True)
        self.log_path = LOGS / f"{name}.log"
        self.log_path.write_text("")

    def run(self, *command, env=None, cwd=ROOT):
        """Runs `command` with its output in the log; the exit status."""
        with self.log_path.open("a") as log:
            log.write(f"$ {' '.join(map(str, command))}\n")
            log.flush()
            try:
                result = subprocess.run(
                    [str(part) for part in command],
                    cwd=cwd,
                    env={**os.environ, **(env or {})},
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    stdin=subprocess.DEVNULL,
                    timeout=SECONDS_MAX,
                )
            except subprocess.TimeoutExpired:
                log.write(f"ended after {SECONDS_MAX} seconds\n")
                return 124
        return result.returncode

    def check(self, *command, **options):
        """One check: passed if `command` exits with 0."""
        return Count(passed=1) if self.run(*command, **options) == 0 else Count(failed=1)


def count_cmocka(folder):
    """Counts the tests inside the test programs that meson ran in `folder`."""
    total = Count()
    log = folder / "meson-logs" / "testlog.json"
    if not log.exists():
        return Count(failed=1)
    for line in log.read_text().splitlines():
        record = json.loads(line)
        if record["result"] == "SKIP":  # an ISA level that this machine lacks
            total.add(Count(skipped=1))
            continue
        text = record.get("stdout", "") + record.get("stderr", "")
        passed = len(re.findall(r"^\[       OK \]", text, re.MULTILINE))
        failed = len(set(re.findall(r"^\[  FAILED  \] (?!\d+ test)(?:\S+: )?(\S+)$", text, re.MULTILINE)))
        skipped = len(re.findall(r"^\[  SKIPPED \] \S+$", text, re.MULTILINE)) // 2
        if record["result"] != "OK" and failed == 0:
            failed = 1  # crashed, timed out, or a sanitizer complained at exit
        total.add(Count(passed, failed, skipped))
    return total


def c_tests(suite, folder, *, setup=(), targets=("all", "meson-test-prereq"), compiler="gcc", under=(), env=None):
    """Builds `targets` in `folder` with `setup` options and runs the C tests there, by the command `under` if given.
    One more check: the build."""
    folder = ROOT / "build" / folder
    if not (folder / "build.ninja").exists():
        shutil.rmtree(folder, ignore_errors=True)
        if suite.run("meson", "setup", folder, ROOT, *setup, env={"CC": compiler}) != 0:
            return Count(failed=1)
    built = suite.check("ninja", "-C", folder, *targets)
    if built.failed:
        return built
    log = folder / "meson-logs" / "testlog.json"
    log.unlink(missing_ok=True)
    suite.run(
        *under,
        "meson",
        "test",
        "-C",
        folder,
        "--no-rebuild",
        "--print-errorlogs",
        "-t",
        "10",
        "--num-processes",
        "2",
        env=env,
    )
    built.add(count_cmocka(folder))
    return built


def unit(suite):
    return c_tests(suite, "unit", setup=["-Dpython=disabled"])


def asan(suite):
    return c_tests(
        suite,
        "asan",
        setup=["-Db_sanitize=address,undefined", "-Dpython=disabled"],
        targets=["meson-test-prereq"],
        env={"ASAN_OPTIONS": "detect_leaks=1:abort_on_error=1", "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"},
    )


def tsan(suite):
    """What has threads: the tables of tests/c/meson.build say which tests that is."""
    # Address randomisation off: gcc's ThreadSanitizer does not know the layouts of newer kernels.
    return c_tests(
        suite,
        "tsan",
        setup=["-Db_sanitize=thread", "-Dpython=disabled"],
        targets=["meson-test-prereq"],
        under=["setarch", "-R"],
        env={"TSAN_OPTIONS": "halt_on_error=1"},
    )


def clang(suite):
    """The other compiler, and the build without generated kernels."""
    return c_tests(suite, "clang", compiler="clang", setup=["-Dpython=disabled", "-Dxsmm=disabled"])


def fuzz(suite):
    """How much of the PEF reader the tests run; every fuzz target over its corpus, then for two seconds."""
    total = suite.check(sys.executable, "tools/check_coverage.py")
    for target in sorted(ROOT.glob("tests/fuzz/fuzz_*.c")):
        name = target.stem.removeprefix("fuzz_")
        total.add(suite.check("tests/fuzz/run.sh", "2", ROOT / "build" / "fuzz", name))
    return total


EXAMPLES = "test_examples_*.py"  # of tests/python: they train, which takes as long as all the others


def python(suite):
    return pytest(suite, ROOT / "tests/python", f"--ignore-glob=*/{EXAMPLES}")


def examples(suite):
    return pytest(suite, *sorted(ROOT.glob(f"tests/python/{EXAMPLES}")))


def pytest(suite, *arguments, env=None):
    """Runs tests/<name of the suite>, or what the arguments name."""
    report = LOGS / f"{suite.name}.xml"
    report.unlink(missing_ok=True)
    status = suite.run(
        sys.executable,
        "-m",
        "pytest",
        f"--junitxml={report}",
        *(arguments or [ROOT / "tests" / suite.name]),
        env={"LEAT_COMMAND": str(suite.build / "leat"), **(env or {})},
    )
    if not report.exists():
        return Count(failed=1)
    total = Count()
    for one in ElementTree.parse(report).getroot().iter("testsuite"):
        failed = int(one.get("failures")) + int(one.get("errors"))
        skipped = int(one.get("skipped"))
        total.add(Count(max(0, int(one.get("tests")) - failed - skipped), failed, skipped))
    if status not in (0, 1) and total.failed == 0:
        total.failed = 1
    return total


def at_level(suite):
    """The op suite and the programs in the wild at the ISA level that the suite is called by, in a process of its own:
    generated kernels are of one level a process. At the best of the machine they are the suites ops and programs."""
    asks = f"import support, sys; sys.exit(0 if support.is_below_best(sys.argv[1]) else {SKIPPED})"
    folders = os.pathsep.join(map(str, (ROOT / "tests", ROOT / "python")))
    if suite.run(sys.executable, "-c", asks, suite.name, env={"PYTHONPATH": folders}) == SKIPPED:
        return Count(skipped=1)
    return pytest(suite, ROOT / "tests/ops", ROOT / "tests/programs", env={"LEAT_ISA": suite.name})


def differential(suite):
    """Random programs that were kept, and a minute of others, the same each time, beside eager PyTorch: one check."""
    program = ROOT / "tests/differential/run.py"
    options = ["--kept", "--coverage", "--seconds", "60", "--seed", "1001", "--count", "400"]
    return suite.check(sys.executable, program, *options, env={"PYTHONPATH": str(ROOT / "python")})


def package(suite):
    """`pip install .` gives a library, an extension and a command that load and agree on the version; not optimized,
    since nothing is timed that needs minutes of compiling."""
    target = ROOT / "build" / "package"
    shutil.rmtree(target, ignore_errors=True)
    options = ["-q", "--no-deps", "--no-build-isolation", "--config-settings=setup-args=-Doptimization=0"]
    total = suite.check(sys.executable, "-m", "pip", "install", *options, "--target", target, ROOT)
    if total.failed:
        return total
    total.add(suite.check(target / "bin" / "leat", "--version"))
    program = f"from sambaflow import _leat; assert _leat.__file__.startswith({str(target)!r}), _leat.__file__"
    total.add(suite.check(sys.executable, "-c", program, env={"PYTHONPATH": str(target)}, cwd=target))
    return total


def lint(suite):
    checks = [
        (sys.executable, "tools/check_includes.py"),
        (sys.executable, "tools/check_imports.py"),
        (sys.executable, "tools/count_seams.py"),
        (sys.executable, "tools/check_shape.py"),
        (sys.executable, "tools/check_text.py"),
        (sys.executable, "tools/gen_stages.py", "--check"),
        (sys.executable, "tools/gen_machines.py", "--check"),
        (sys.executable, "tools/gen_chips.py", "--check"),
        (sys.executable, "tools/check_exports.py", suite.build / "libleat.so"),
        ("tools/check_globals.sh", suite.build),
        ("tools/check_format.sh",),
        ("ruff", "check", "--no-cache", "python", "tools", "tests", "examples", "bench"),
    ]
    total = Count()
    for command in checks:
        total.add(suite.check(*command))
    return total


SUITES = {
    "python": python,  # the longest first: suites run two at a time
    "examples": examples,
    "lint": lint,
    "unit": unit,
    "ops": pytest,
    "programs": pytest,
    "portable": at_level,
    "avx2": at_level,
    "clang": clang,
    "asan": asan,
    "tsan": tsan,
    "fuzz": fuzz,
    "differential": differential,
    "package": package,
}


def run_suite(name, build):
    """Runs a suite and tells how it ended."""
    suite = Suite(name, build)
    start = time.monotonic()
    count = SUITES[name](suite)
    lines = [
        f"{name:10} {count.passed:6} ok {count.failed:4} failed {count.skipped:4} skipped"
        f" {time.monotonic() - start:6.0f} s"
    ]
    if count.failed:
        tail = suite.log_path.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
        lines += ["  | " + line for line in tail]
    print("\n".join(lines), flush=True)
    return count


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True, type=Path)
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="suites at a time (default 2)")
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"of: {' '.join(SUITES)}; all if none is named")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.suites if name not in SUITES]
    if unknown:
        parser.error(f"no suite named {', '.join(unknown)}; there are: {' '.join(SUITES)}")
    total = Count()
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for count in pool.map(lambda name: run_suite(name, arguments.build.resolve()), arguments.suites or SUITES):
            total.add(count)
    print(f"{total.passed} passed, {total.failed} failed", flush=True)
    return 0 if total.failed == 0 and total.passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
