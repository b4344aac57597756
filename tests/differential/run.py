# SPDX-License-Identifier: Apache-2.0
"""Random programs against eager PyTorch: no number may differ without a message, nothing may crash.

    python tests/differential/run.py --seconds 60              programs of seeds 1, 2, ...
    python tests/differential/run.py --seed 17 --show          one program: its text and what is wrong; --reduce
    python tests/differential/run.py --file PROGRAM.py         a program that was kept

Programs run in worker processes, so that a crash or a hang is a finding, too. Findings are printed and, with --keep
FOLDER, written there. The exit status is 1 where there are any.
"""

import argparse
import collections
import os
import select
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
PROGRAMS_A_WORKER, SECONDS_A_PROGRAM = 200, 60
FINDINGS = ("WRONG", "CRASH", "INTERNAL", "HANG")


def work(first, count, stop):
    """A worker: a line for each seed when it begins and when it ends."""
    import torch

    torch.set_num_threads(1)
    import compare
    import generate

    out = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    for seed in range(first, first + count):
        if time.time() > stop:
            break
        print(f"begin {seed}", file=out, flush=True)
        verdict = compare.judge(generate.generate(seed))
        text = " ".join(verdict.text.split())[:400]
        print(f"end {seed} {verdict.kind} {text}", file=out, flush=True)


def programs(first, seconds, count):
    """(seed, kind, text) of programs from `first` on, for some seconds or `count` of them."""
    stop, seed, last = time.time() + seconds, first, first + count
    while time.time() < stop and seed < last:
        size = min(PROGRAMS_A_WORKER, last - seed)
        command = [sys.executable, __file__, "--worker", str(seed), str(size), str(stop)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            begun = None
            for line in lines_of(process):
                word, number, *rest = line.split(" ", 3)
                seed = int(number)
                begun = seed if word == "begin" else None
                if word == "end":
                    yield seed, rest[0], (rest[1] if len(rest) > 1 else "").strip()
                    seed += 1
            hung = process.poll() is None and begun is not None and not process.stdout.closed and is_silent(process)
            process.kill()
            status = process.wait()
        if begun is not None:
            yield begun, "HANG" if hung else "CRASH", f"more than {SECONDS_A_PROGRAM} s" if hung else f"status {status}"
            seed = begun + 1


def is_silent(process):
    """Whether a process still has its output open."""
    return not select.select([process.stdout], [], [], 0)[0]


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


def keep(folder, seed, kind, text):
    import generate

    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, f"{kind.lower()}_{seed}.py"), "w", encoding="utf-8") as stream:
        stream.write(f"# {kind}: {text}\n{generate.generate(seed)}")


def campaign(args):
    kinds, findings = collections.Counter(), []
    for seed, kind, text in programs(args.seed or 1, args.seconds, args.count):
        kinds[kind] += 1
        if kind == "refused" and args.refused:
            print(f"seed {seed}: refused: {text}", flush=True)
        if kind in FINDINGS:
            findings.append(seed)
            print(f"seed {seed}: {kind}: {text}", flush=True)
            if args.keep:
                keep(args.keep, seed, kind, text)
    total = sum(kinds.values())
    print(f"{total} programs: " + ", ".join(f"{count} {kind}" for kind, count in kinds.most_common()))
    return bool(findings) or kinds["equal"] == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60, help="how long (default 60)")
    parser.add_argument("--count", type=int, default=10**9, help="how many programs at most")
    parser.add_argument("--seed", type=int, help="the first program (default 1)")
    parser.add_argument("--show", action="store_true", help="one program: its text and the verdict")
    parser.add_argument("--file", help="judge the program in this file")
    parser.add_argument("--reduce", action="store_true", help="leave out the lines that the verdict does not need")
    parser.add_argument("--keep", metavar="FOLDER", help="write findings there")
    parser.add_argument("--refused", action="store_true", help="show the messages of refused programs, too")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        return work(int(args.worker[0]), int(args.worker[1]), float(args.worker[2]))
    if args.file:
        return show(open(args.file, encoding="utf-8").read(), args.reduce)
    if args.show:
        import generate

        return show(generate.generate(args.seed or 1), args.reduce)
    return campaign(args)


if __name__ == "__main__":
    sys.exit(main())
