# SPDX-License-Identifier: Apache-2.0
"""Every kernel at work in the rows of `make bench-models`, as a fraction of its roofline, on one thread.

The kernels are the stages of the rows' own PEFs, with their shapes. A body is timed alone, its section run again and
again by the engine, which times each stage; the best of some passes counts. The roofline of a stage is the larger of
its operations at the peak of multiply-adds and its bytes at the bandwidth of where they lie: the cache that a tile
fits, or all arguments of the section, as measured at the level of instructions; else memory.

`share` is how much of the row the kernels of that shape take. Kernels below half of their roofline are marked where
they take a hundredth of the row or more. `us` is the time of one call.

usage: kernel_times.py [--rows NAME...] [--isa avx512 avx2 portable] [--kinds KIND...] [--top N] [--record] [--list]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import levels
from model_rows import ROWS, chosen

ROOT = Path(__file__).resolve().parent.parent
PASSES = 3
PASS_SECONDS = 0.02  # of a section, in a pass
LEAST_RUNS = 3
WANTED = 0.5
TOLD_SHARE = 0.01  # of the row, from which a kernel is told


@dataclass
class Kernel:
    """The stages of a row that are of one kind and shape: their time and their least, of all calls of a run."""

    kind: str
    shapes: str
    origin: str
    bound: str
    seconds: float = 0
    least: float = 0
    calls: float = 0
    sections: list = field(default_factory=list)

    @property
    def fraction(self):
        return self.least / self.seconds if self.seconds else 1.0


# --- the process of a row at a level --------------------------------------------------------------------------------


def _units(report):
    """[(first section, sections)] that run together: a loop, or one section; prepare sections are not of a run."""
    loops, index, units = {}, 0, []
    for loop in report["loops"]:
        loops.setdefault(loop["first"], loop["sections"])  # the outer of two that begin at one section comes first
    while index < len(report["sections"]):
        count = loops.get(index, 1)
        if report["sections"][index]["type"] != "prepare":
            units.append((index, count))
        index += count
    return units


def _distinct(report):
    """Of units with the same bodies the first alone."""
    seen, found = set(), []
    for first, count in _units(report):
        bodies = tuple(section["body"] for section in report["sections"][first : first + count])
        if bodies not in seen:
            seen.add(bodies)
            found.append((first, count))
    return found


def time_stages(device):
    """{body: (seconds of each stage in one call, bytes of the arguments of its section)}"""
    import time

    report, best = device.report(), {}
    units, runs = _distinct(report), {}
    for first, count in units:
        sections = range(first, first + count)
        device.run_sections(sections)
        start = time.perf_counter()
        device.run_sections(sections)
        runs[first] = max(LEAST_RUNS, int(PASS_SECONDS / (time.perf_counter() - start)))
    for _ in range(PASSES):
        device.set_profile(True)
        for first, count in units:
            for _ in range(runs[first]):
                device.run_sections(range(first, first + count))
        for section in device.report()["sections"]:
            if not section["runs"]:
                continue
            calls = section["runs"] * section["times"]
            taken = [stage["thread_seconds"] / calls for stage in section["stage_times"]]
            before = best.get(section["body"], ([float("inf")] * len(taken), 0))
            moved = section["moved_bytes"] / section["times"]
            best[section["body"]] = [min(pair) for pair in zip(before[0], taken, strict=True)], moved
    device.set_profile(False)
    return best


def worker(name, folder):
    """Prints {"sections": [[body, times]], "bodies": {body: [seconds of stages, bytes]}}"""
    import model_peers
    import torch
    from sambaflow import samba

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    row = ROWS[name]
    if not any(Path(folder).rglob("*.pef")):
        model_peers.compile_pef(row, folder)
    model_peers.leat(row, folder)["session.run"].run()  # what sections read has been made once
    device = samba.session._device
    sections = [[s["body"], s["times"], s["type"]] for s in device.report()["sections"]]
    print(json.dumps({"sections": sections, "bodies": time_stages(device)}), file=answers, flush=True)


# --- kernels --------------------------------------------------------------------------------------------------------


def ask(row, folder, level):
    path = os.pathsep.join(filter(None, [str(ROOT / "python"), os.environ.get("PYTHONPATH")]))
    variables = {**os.environ, **levels.variables(level), "PYTHONPATH": path, "MODELS_THREADS": "1"}
    variables |= {"LEAT_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--worker", row.name, folder]
    done = subprocess.run(command, env=variables, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def kernels_of(found, stages, least):
    """The kernels of a row, that which loses most first; `least` says the least of a stage and what bounds it."""
    kernels, calls = {}, defaultdict(float)
    for body, times, kind in found["sections"]:
        if kind != "prepare":
            calls[body] += times
    for body, (seconds, section_bytes) in found["bodies"].items():
        body = int(body)
        for stage, taken in zip(stages[body], seconds, strict=True):
            at_least, bound = least(stage, section_bytes)
            key = (stage.kind, stage.shapes)
            kernel = kernels.setdefault(key, Kernel(stage.kind, stage.shapes, stage.origin, bound))
            kernel.seconds += taken * calls[body]
            kernel.least += at_least * calls[body]
            kernel.calls += calls[body]
    return sorted(kernels.values(), key=lambda kernel: kernel.least - kernel.seconds)


def kinds_of(kernels):
    """{kind: [seconds, least]}"""
    kinds = defaultdict(lambda: [0.0, 0.0])
    for kernel in kernels:
        kinds[kernel.kind][0] += kernel.seconds
        kinds[kernel.kind][1] += kernel.least
    return dict(sorted(kinds.items(), key=lambda one: -one[1][0]))


def below(kernels):
    """Those below half of their roofline that are a hundredth of the row or more."""
    total = sum(kernel.seconds for kernel in kernels)
    return [kernel for kernel in kernels if kernel.fraction < WANTED and kernel.seconds >= TOLD_SHARE * total]


def record_of(kernels):
    return {
        "seconds": sum(kernel.seconds for kernel in kernels),
        "least": sum(kernel.least for kernel in kernels),
        "kinds": kinds_of(kernels),
        "count": len(kernels),
        "below": [
            [kernel.kind, kernel.shapes, kernel.calls, kernel.seconds, kernel.least, kernel.bound]
            for kernel in below(kernels)
        ],
    }


def show(row, level, kernels, args):
    total = sum(kernel.seconds for kernel in kernels) or 1.0
    told = [kernel for kernel in kernels if not args.kinds or kernel.kind in args.kinds]
    told = [kernel for kernel in told if kernel.seconds >= TOLD_SHARE * total][: args.top]
    kinds = ", ".join(
        f"{kind} {least / taken if taken else 1:.2f}" for kind, (taken, least) in kinds_of(kernels).items()
    )
    print(f"{row.name}, {level}: {len(kernels)} kernels, {len(below(kernels))} below {WANTED}; {kinds}")
    for kernel in told:
        mark = " BELOW" if kernel.fraction < WANTED else "      "
        print(
            f"  {kernel.fraction:5.2f}{mark} {kernel.bound:7} {100 * kernel.seconds / total:5.1f} % "
            f"{1e6 * kernel.seconds / kernel.calls:10.1f} us  {kernel.kind:10} {kernel.shapes[:110]}  "
            f"{kernel.origin[:60]}"
        )
    sys.stdout.flush()


def run_row(row, args):
    import model_peers
    import records
    import roofline

    with tempfile.TemporaryDirectory() as folder:
        for level in args.isa:
            found = ask(row, folder, level)
            stages = roofline.stages_of(model_peers.pef_in(folder))
            kernels = kernels_of(found, stages, lambda stage, held: roofline.stage_least(stage, held, level))  # noqa: B023
            show(row, level, kernels, args)
            if args.record:
                records.store("kernels", row.name, level, 1, record_of(kernels))


def main():
    import machine

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", nargs="+", metavar="NAME", help="rows of these names, or whose names contain one")
    parser.add_argument("--isa", nargs="+", choices=levels.LEVELS, help="levels (all of the machine but portable)")
    parser.add_argument("--kinds", nargs="+", metavar="KIND", help="kinds of stages to show")
    parser.add_argument("--top", type=int, default=12, help="kernels to show that lose most (12)")
    parser.add_argument("--record", action="store_true", help="keep the rows in bench/records")
    parser.add_argument("--list", action="store_true", help="show the names of the rows")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        worker(*args.worker)
        return
    if args.list:
        print("\n".join(ROWS))
        return
    rows = chosen(args.rows)
    if not rows:
        parser.error(f"no row contains {' or '.join(args.rows)}; see --list")
    best = machine.best()
    args.isa = args.isa or [level for level in ("avx512", "avx2") if not levels.is_below(best, level)]
    for row in rows:
        run_row(row, args)


if __name__ == "__main__":
    main()
