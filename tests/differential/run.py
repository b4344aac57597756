# SPDX-License-Identifier: Apache-2.0
"""Random programs against eager PyTorch: no number may differ without a message, nothing may crash.

    python tests/differential/run.py --seconds 60              programs of seeds 1, 2, ...
    python tests/differential/run.py --seed 17 --show          one program: its text and what is wrong; --reduce
    python tests/differential/run.py --file PROGRAM.py         a program that was kept
    python tests/differential/run.py --kept --coverage         those of kept/ first; rows that no program had

Programs run in worker processes, so that a crash or a hang is a finding, too. Findings are printed and, with --keep
FOLDER, written there. The exit status is 1 where there are any.
"""

import argparse
import collections
import itertools
import os
import re
import select
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
PROGRAMS_A_WORKER, SECONDS_A_PROGRAM = 200, 60
FINDINGS = ("WRONG", "CRASH", "INTERNAL", "HANG")
KEPT = sorted((HERE / "kept").glob("*.py"))
TABLE = HERE.parent.parent / "src" / "ir" / "traced.def"
# Rows that no program in eager mode can have: SambaFlow's own.
OWN_ROWS = {"triu_fill"}


def text_of(name):
    """The program of a seed, or of a file."""
    import generate

    return generate.generate(int(name)) if name.isdigit() else Path(name).read_text(encoding="utf-8")


def work(names, stop):
    """A worker: a line for each program when it begins, when it is there, and when it ends."""
    import torch

    torch.set_num_threads(1)
    import compare

    out = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    for name in names:
        if time.time() > stop:
            break
        print(f"begin {name}", file=out, flush=True)
        text = text_of(name)
        print(f"grown {name}", file=out, flush=True)
        rows = set()
        with compare.noting(rows):
            verdict = compare.judge(text)
        text = " ".join(verdict.text.split())[:400]
        print(f"end {name} {verdict.kind} {','.join(sorted(rows))}; {text}", file=out, flush=True)


def programs(names, stop):
    """(name, kind, text, rows) of each program of an iterator, until `stop`."""
    names = iter(names)
    waiting = []
    while time.time() < stop:
        waiting += itertools.islice(names, PROGRAMS_A_WORKER - len(waiting))
        if not waiting:
            return
        command = [sys.executable, __file__, "--worker", str(stop), *waiting]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            begun, grown = None, False
            for line in lines_of(process):
                word, name, *rest = line.split(" ", 3)
                begun, grown = None if word == "end" else name, word == "grown"
                if word == "end":
                    rows, _, text = rest[1].partition(";")
                    waiting.remove(name)
                    yield name, rest[0], text.strip(), set(rows.split(","))
            hung = process.poll() is None and begun is not None and not ends(process)
            process.kill()
            status = process.wait()
        if begun is not None:
            waiting.remove(begun)
            text = f"more than {SECONDS_A_PROGRAM} s" if hung else f"status {status}"
            ended = "HANG" if hung else "CRASH"
            yield begun, ended if grown else "eager", text, set()  # eager mode alone makes a program grow
        elif status not in (0, -9):
            raise SystemExit(f"a worker ended with status {status} between programs")


def ends(process):
    """Whether a process closes its output, as one that died does."""
    return bool(select.select([process.stdout], [], [], 0)[0])


def lines_of(process):
    """Lines until the end, or until none comes for too long."""
    while select.select([process.stdout], [], [], SECONDS_A_PROGRAM)[0]:
        line = process.stdout.readline()
        if not line:
            return
        yield line.rstrip("\n")


def show(source, reduce=False):
    import compare

    source = compare.reduced(source) if reduce else source
    print(source)
    verdict = compare.judge(source)
    print(f"{verdict.kind}: {verdict.text}")
    return verdict.kind in FINDINGS


def keep(folder, name, kind, text):
    Path(folder).mkdir(parents=True, exist_ok=True)
    path = Path(folder) / f"{kind.lower()}_{Path(name).stem}.py"
    path.write_text(f"# {kind}: {text}\n{text_of(name)}", encoding="utf-8")


def missing(met):
    """The rows of the op table that are not in `met`, as text."""
    rows = set(re.findall(r'^TRACED\(\w+, +"(\w+)"', TABLE.read_text(encoding="utf-8"), re.MULTILINE)) - OWN_ROWS
    absent = sorted(rows - met)
    return f"{len(rows) - len(absent)} of {len(rows)} rows" + (f"; not met: {' '.join(absent)}" if absent else "")


def campaign(args):
    kinds, findings, rows = collections.Counter(), [], set()
    first = args.seed or 1
    names = [*(str(path) for path in KEPT if args.kept), *map(str, range(first, first + args.count))]
    for name, kind, text, met in programs(names, time.time() + args.seconds):
        kinds[kind] += 1
        rows |= met
        shown = name if not name.isdigit() else f"seed {name}"
        if kind == "refused" and args.refused:
            print(f"{shown}: refused: {text}", flush=True)
        if kind in FINDINGS:
            findings.append(name)
            print(f"{shown}: {kind}: {text}", flush=True)
            if args.keep:
                keep(args.keep, name, kind, text)
    print(f"{sum(kinds.values())} programs: " + ", ".join(f"{count} {kind}" for kind, count in kinds.most_common()))
    if args.coverage:
        print(f"coverage: {missing(rows)}")
    return bool(findings) or kinds["equal"] == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60, help="how long (default 60)")
    parser.add_argument("--count", type=int, default=10**6, help="how many programs at most")
    parser.add_argument("--seed", type=int, help="the first program (default 1)")
    parser.add_argument("--show", action="store_true", help="one program: its text and the verdict")
    parser.add_argument("--file", help="judge the program in this file")
    parser.add_argument("--reduce", action="store_true", help="leave out the lines that the verdict does not need")
    parser.add_argument("--keep", metavar="FOLDER", help="write findings there")
    parser.add_argument("--kept", action="store_true", help="begin with the programs in kept/: findings of before")
    parser.add_argument("--coverage", action="store_true", help="say which rows of src/ir/traced.def no program had")
    parser.add_argument("--refused", action="store_true", help="show the messages of refused programs, too")
    parser.add_argument("--worker", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        return work(args.worker[1:], float(args.worker[0]))
    if args.show or args.file:
        return show(text_of(args.file or str(args.seed or 1)), args.reduce)
    return campaign(args)


if __name__ == "__main__":
    sys.exit(main())
