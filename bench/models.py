# SPDX-License-Identifier: Apache-2.0
"""Known architectures with random weights: Leat against eager PyTorch, torch.compile, ONNX Runtime and OpenVINO.

Every peer runs in a process of its own, which is stopped while others run; the peers take turns, one piece of work at a
time, and medians count. Their values are compared with those of eager before anything is timed: outputs, or the losses
of three steps of a training. Time is the CPU time of the process, so that others on the machine disturb little; with
several threads it is wall time. `ratio` is the best peer's time over Leat's; what cannot be capped at a level of
instructions (levels.py) does not count below the best of the machine. Peers that are not installed are left out.

`bound` is what the sections of Leat's PEF take at least, each the larger of its operations at the peak and its bytes at
the bandwidth of this machine as `leat machine` measures it (roofline.py), over the time of the row. Below a row stand
the sections that lose most.

With --dtype bf16 models run under autocast, OpenVINO in its own bf16; values may differ as bf16 rounds.

With --against DIR the Leat of another checkout, built by its `make build`, takes part as the peer `base`; the last
columns are its time and its time to compile over ours. With --record each row is kept (records.py), of which
performance.py makes docs/performance.md.

With several threads and --apart as many processes of one thread do the row of Leat at once: how many times what one of
them does alone they do together is what threads can reach here, and is told beside what they reach. CPU time counts.

usage: models.py [--rows NAME...] [--peers NAME...] [--threads N...] [--isa avx2 avx512] [--dtype f32|bf16] [--rounds N]
                 [--lost N] [--record] [--apart] [--against DIR] [--list]
"""

import argparse
import gc
import importlib
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import levels
from model_peers import OURS, PEERS, STEPS, missing
from model_rows import DTYPES, ROWS, chosen
from process import PeerError, Process

ROOT = Path(__file__).resolve().parent.parent
TURN_SECONDS = 0.1  # of a peer, at least: what the others left in the caches does not count
SLOW_SECONDS = 0.5  # of a piece of work, from which LEAST_ROUNDS turns do
LEAST_ROUNDS = 5
STEPS_COMPARED = 3
# Of the largest element: what fp32 leaves after a hundred layers; and of losses behind an update, which scales small
# gradients up (AdamW) or goes through norms of a few samples.
DIFFERENCE, UPDATED = {"f32": 1e-3, "bf16": 1e-1}, {"f32": 2e-2, "bf16": 1e-1}


# --- the process of a peer ------------------------------------------------------------------------------------------


def _clock():
    return time.perf_counter if int(os.environ["MODELS_THREADS"]) > 1 else time.process_time


def _arrays(work, result):
    import numpy as np

    return [np.asarray(value.detach().float() if hasattr(value, "detach") else value) for value in work.values(result)]


class Worker:
    """Answers commands; the names of its methods are theirs."""

    def __init__(self, row, peer, folder):
        self.row, self.peer, self.folder = ROWS[row], peer, folder

    def prepare(self, step):
        self._begin()
        return STEPS[step](self.row, self.folder)

    def _begin(self):
        """The same numbers in every process; what the architecture imports is no memory of the model."""
        import torch

        torch.set_num_threads(1 if self.peer in OURS else int(os.environ["MODELS_THREADS"]))
        with torch.device("meta"):
            self.row.make()
        torch.manual_seed(0)

    def load(self, values):
        """Makes the work, compares its variants' times, leaves the values of the fastest in the file `values`."""
        import numpy as np
        from memory import Watch, forget_peak

        for name in PEERS[self.peer].imports:
            importlib.import_module(name)
        if "torch" in PEERS[self.peer].imports:
            self._begin()
        self.watch = Watch()
        works = PEERS[self.peer].works(self.row, self.folder)
        taken, found = {}, {}
        for variant, work in works.items():
            taken[variant], found[variant] = self._first(work)
        variant = min(taken, key=lambda name: min(taken[name]))
        self.work, best = works[variant], min(taken[variant])
        works.clear()  # memory is that of the fastest
        np.savez(values, *found.pop(variant))
        found.clear()
        gc.collect()
        forget_peak()
        self.repeats = max(1, int(TURN_SECONDS / best))
        return {
            "variant": variant, "load": self.work.load_seconds, "first": taken[variant][0], "probe": best,
            "kernels": sorted(self.work.kernels),
        }  # fmt: skip

    def _first(self, work):
        """(seconds of the first pieces of work, their values: of inference the outputs, of training the losses)"""
        taken, values, clock = [], [], _clock()
        for index in range(STEPS_COMPARED):
            start = clock()
            result = work.run()
            taken.append(clock() - start)
            if index == 0 or self.row.kind == "training":
                values += _arrays(work, result)
        return taken, values

    def round(self):
        start = (clock := _clock())()
        for _ in range(self.repeats):
            self.work.run()
        return {"seconds": (clock() - start) / self.repeats}

    def finish(self, profile):
        self.watch.note("steady")
        self.watch.note("peak", "VmHWM")
        answer = {"memory": self.watch.found}
        if profile and self.work.profile:
            from sambaflow import samba

            answer["sections"] = self.work.profile()
            answer["held"] = samba.session._device.report()["memory"]["block_bytes"]
        return answer


def work(row, peer, folder):
    """The loop of a peer's process."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a peer prints must not come between the answers
    worker = Worker(row, peer, folder)
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = getattr(worker, command.pop("do"))(**command)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"[:400]}
        print(json.dumps(answer), file=answers, flush=True)


# --- a row ----------------------------------------------------------------------------------------------------------


class Bench:
    """A row in a folder of its own, in which peers leave what they prepare."""

    def __init__(self, row, args, folder):
        self.row, self.args, self.folder = row, args, Path(folder)
        self.prepared = {}  # by folder and step: facts, or an error

    def _process(self, peer, folder, level, threads):
        root = self.args.against if peer == "base" else ROOT
        path = os.pathsep.join(filter(None, [str(root / "python"), os.environ.get("PYTHONPATH")]))
        variables = {**os.environ, **levels.variables(level), "PYTHONPATH": path, "MODELS_THREADS": str(threads)}
        variables["MODELS_DTYPE"] = self.args.dtype
        variables |= {"LEAT_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
        variables["TORCHINDUCTOR_CACHE_DIR"] = str(ROOT / ".cache" / "inductor")
        command = [sys.executable, __file__, "--worker", self.row.name, peer, str(folder)]
        return Process(peer, command, variables, ROOT / ".cache" / f"models-{peer}.log")

    def _prepare(self, peer):
        """(folder, facts) of what the peer prepares, which is the same at all levels and thread counts."""
        step = PEERS[peer].prepares
        folder = self.folder / ("base" if peer == "base" else step or "none")
        if step and folder not in self.prepared:
            folder.mkdir()
            process = self._process(peer, folder, self.args.best, 1)
            try:
                self.prepared[folder] = process.ask(do="prepare", step=step)
            except PeerError as error:
                self.prepared[folder] = {"error": str(error)}
            finally:
                process.close()
        facts = self.prepared.get(folder, {})
        if "error" in facts:
            raise PeerError(facts["error"])
        return folder, facts

    def _load(self, peer, level, threads, processes):
        """What the peer says when it is ready; its values are compared."""
        if PEERS[peer].infers_only and self.row.kind == "training":
            raise PeerError("no training")
        if PEERS[peer].f32_only and self.args.dtype != "f32":
            raise PeerError(f"no {self.args.dtype}")
        folder, facts = self._prepare(peer)
        process = self._process(peer, folder, level, threads)
        try:
            values = self.folder / f"{peer}.npz"
            loaded = process.ask(do="load", values=str(values))
            uncapped = levels.uncapped(peer, loaded.pop("kernels"), level, self.args.best)
            difference = self._difference(values)
        except PeerError:
            process.close()
            raise
        processes[peer] = process
        return {**facts, **loaded, "counts": not uncapped, "uncapped": uncapped, "difference": difference}

    def _difference(self, path):
        """From the values of the first peer of this kind, the largest difference over the largest element. PeerError
        where that is too large."""
        import numpy as np

        with np.load(path) as found:
            ours = [found[f"arr_{i}"].astype(np.float64) for i in range(len(found.files))]
        if self.expected is None:
            self.expected = ours
        if [a.shape for a in ours] != [b.shape for b in self.expected]:
            raise PeerError(f"shapes {[a.shape for a in ours]}, expected {[b.shape for b in self.expected]}")
        worst = 0.0
        for index, (a, b) in enumerate(zip(ours, self.expected, strict=True)):
            difference = float(np.abs(a - b).max() / max(1e-30, np.abs(b).max())) if a.size else 0.0
            allowed = (UPDATED if self.row.kind == "training" and index > 0 else DIFFERENCE)[self.args.dtype]
            if not difference <= allowed:
                raise PeerError(f"value {index} differs by {difference:.1e} of the largest, allowed {allowed:.0e}")
            worst = max(worst, difference)
        return worst

    def measure(self, level, threads):
        """{peer: what it said, "seconds", "best", "memory", "sections", or "error"}"""
        found, processes, self.expected = {}, {}, None
        try:
            for peer in sorted(self.args.peers, key=lambda name: name != "eager"):
                try:
                    found[peer] = self._load(peer, level, threads, processes)
                except PeerError as error:
                    found[peer] = {"error": str(error).removeprefix(f"{peer}: ")}
            slow = max((entry.get("probe", 0) for entry in found.values()), default=0) > SLOW_SECONDS
            samples = {peer: [] for peer in processes}
            for _ in range(min(self.args.rounds, LEAST_ROUNDS) if slow else self.args.rounds):
                for peer, process in processes.items():
                    samples[peer].append(process.ask(do="round")["seconds"])
            for peer, process in processes.items():
                found[peer] |= {"seconds": statistics.median(samples[peer]), "best": min(samples[peer])}
                found[peer] |= process.ask(do="finish", profile=peer == "leat")
        finally:
            for process in processes.values():
                process.close()
        return {peer: found[peer] for peer in self.args.peers}

    def apart(self, level, count):
        """How many times what one process of Leat on one thread does so many do at once; and the seconds of one."""
        folder, _ = self._prepare("leat")
        processes, alone, together = [], [], []
        try:
            for index in range(count):
                processes.append(self._process("leat", folder, level, 1))
                processes[index].ask(do="load", values=str(self.folder / f"apart-{index}.npz"))
            for _ in range(min(self.args.rounds, LEAST_ROUNDS)):
                alone.append(processes[0].ask(do="round")["seconds"])
                for process in processes:
                    process.begin(do="round")
                together += [process.answer()["seconds"] for process in processes]
        finally:
            for process in processes:
                process.close()
        return count * statistics.median(alone) / statistics.median(together), statistics.median(alone)

    def sections(self, found, threads, level):
        """The sections of Leat's PEF: their records with `least` and `bound`."""
        import roofline
        from model_peers import pef_in

        if not found.get("leat", {}).get("sections"):
            return []
        ran = [section for section in found["leat"].pop("sections") if section["type"] != "prepare"]  # once, no more
        sections = roofline.with_stage_flops(ran, pef_in(self.folder / "pef"))
        for section in sections:
            least = roofline.section_least(section, threads, level, found["leat"]["held"])
            section["least"], section["bound"] = least
        return sections


# --- what is told ---------------------------------------------------------------------------------------------------


def ratio_of(found):
    """The best time of a peer that counts over Leat's; None where there is none."""
    others = [
        entry["seconds"]
        for peer, entry in found.items()
        if peer not in OURS and "seconds" in entry and entry.get("counts", True)
    ]
    return min(others) / found["leat"]["seconds"] if others and "seconds" in found.get("leat", {}) else None


def record_of(row, found, sections, threads):
    """The numbers of a row as they are kept."""
    kept = ("variant", "seconds", "best", "load", "first", "compile", "pef", "memory", "counts", "error", "apart")
    lost = sorted(sections, key=lambda section: section["least"] - section["seconds"])[:5]
    return {
        "kind": row.kind,
        "clock": "wall" if threads > 1 else "cpu",
        "expected": row.expected,
        "flops": sum(section["flops"] for section in sections),
        "least": sum(section["least"] for section in sections),
        "peers": {
            peer: {key: entry[key] for key in kept if entry.get(key) is not None}
            for peer, entry in found.items()
            if peer != "base"
        },
        "lost": [
            {key: section[key] for key in ("index", "type", "name", "seconds", "least", "bound")} for section in lost
        ],
    }


def lost_lines(sections, count):
    """The sections that lose most, a line each: what they take, and at least, and the kinds of that."""
    lines = sorted(sections, key=lambda section: section["least"] - section["seconds"])
    return [
        f"    lost {(section['seconds'] - section['least']) * 1e3:8.3f} of {section['seconds'] * 1e3:8.3f} ms, least "
        f"{section['least'] * 1e3:8.3f} ({section['bound']}): section {section['index']}, {section['type']}, "
        f"{section['name']}"
        for section in lines[:count]
    ]


def name_of(row, args):
    """Of a record."""
    return row.name if args.dtype == "f32" else f"{row.name}-{args.dtype}"


def line_of(row, level, threads, found, sections):
    cells = [f"{row.name:20} {level:8} {threads}"]
    for entry in found.values():
        mark = " " if entry.get("counts", True) else "*"
        cells.append(f"{entry['seconds'] * 1e3:10.2f}{mark}" if "seconds" in entry else f"{'-':>10} ")
    ratio = ratio_of(found)
    if ratio is not None:
        cells.append(f"{ratio:6.2f} {row.expected:5.1f} {'ok   ' if ratio >= row.expected else 'BELOW'}")
    if sections:
        cells.append(f"{sum(section['least'] for section in sections) / found['leat']['seconds']:6.2f}")
    if all("seconds" in found.get(peer, {}) for peer in OURS):
        cells += [f"{found['base'][fact] / found['leat'][fact]:7.3f}" for fact in ("seconds", "best", "compile")]
    return " ".join(cells)


def details(found):
    for peer, entry in found.items():
        if "error" in entry:
            yield f"    {peer}: {entry['error']}"
            continue
        facts = [f"{name} {entry[name]:.2f} s" for name in ("compile", "load", "first") if entry.get(name) is not None]
        facts.append(f"steady {entry['memory']['steady']:.0f}, peak {entry['memory']['peak']:.0f} MiB")
        mark = "" if entry["counts"] else f", does not count: not capped are {', '.join(entry['uncapped'])}"
        yield f"    {peer}: {entry['variant']}, {', '.join(facts)}, differs by {entry['difference']:.0e}{mark}"


def head(args):
    heads = "  ratio expected  bound" if set(args.peers) - set(OURS) else "  bound"
    heads += "  base/leat: median, best, compile" if args.against else ""
    return f"{'ms':20} {'level':8} T" + "".join(f" {peer:>10} " for peer in args.peers) + heads


def told_apart(bench, level, threads, seconds):
    """{"apart": how many times the work of one process of one thread as many processes as threads do}; says it."""
    apart, one = bench.apart(level, threads)
    print(f"    {threads} threads do {one / seconds:.2f} times the work of one, {threads} processes {apart:.2f} times")
    return {"apart": apart}


def run_row(row, args):
    import records

    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(row, args, folder)
        for level in args.isa:
            for threads in args.threads:
                found = bench.measure(level, threads)
                sections = bench.sections(found, threads, level)
                print(line_of(row, level, threads, found, sections), flush=True)
                if args.apart and threads > 1 and "seconds" in found.get("leat", {}):
                    found["leat"] |= told_apart(bench, level, threads, found["leat"]["seconds"])
                print("\n".join([*details(found), *lost_lines(sections, args.lost)]), flush=True)
                if args.record and "seconds" in found.get("leat", {}):
                    records.store(
                        "models", name_of(row, args), level, threads, record_of(row, found, sections, threads)
                    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", nargs="+", metavar="NAME", help="rows of these names, or whose names contain one")
    parser.add_argument("--peers", nargs="+", choices=[peer for peer in PEERS if peer != "base"])
    parser.add_argument("--threads", nargs="+", type=int, default=[1], help="each of these counts in turn")
    parser.add_argument("--isa", nargs="+", choices=levels.LEVELS, help="each of these levels in turn (the best)")
    parser.add_argument("--dtype", choices=DTYPES, default="f32", help="what is multiplied (f32)")
    parser.add_argument("--rounds", type=int, default=9, help="turns of every peer; 5 where a turn takes long")
    parser.add_argument("--lost", type=int, default=3, help="sections to show that lose most (3)")
    parser.add_argument("--record", action="store_true", help="keep the rows in bench/records")
    parser.add_argument("--apart", action="store_true", help="with several threads: as many processes of one, too")
    parser.add_argument("--against", type=Path, metavar="DIR", help="another checkout, built, as the peer `base`")
    parser.add_argument("--list", action="store_true", help="show the names of the rows")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        work(*args.worker)
        return
    if args.list:
        print("\n".join(ROWS))
        return
    rows = chosen(args.rows)
    if not rows:
        parser.error(f"no row contains {' or '.join(args.rows)}; see --list")
    prepare(args, parser)
    print(head(args), flush=True)
    for row in rows:
        run_row(row, args)


def prepare(args, parser):
    """Levels that this machine has, and peers that are installed."""
    import machine

    (ROOT / ".cache").mkdir(exist_ok=True)
    args.best = machine.best()
    args.isa = args.isa or [machine.level()]
    if any(levels.is_below(args.best, level) for level in args.isa):
        parser.error(f"this machine has {args.best} at best")
    absent = {peer: missing(peer) for peer in PEERS if peer != "base" and missing(peer)}
    for peer in args.peers or absent:
        if peer in absent:
            print(f"{peer} is left out: {absent[peer]} is not installed")
    args.peers = [peer for peer in args.peers or PEERS if peer != "base" and peer not in absent]
    if args.against:
        args.peers.append("base")


if __name__ == "__main__":
    main()
