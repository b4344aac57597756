# SPDX-License-Identifier: Apache-2.0
"""PyTorch's databases of operators and modules through Leat, beside eager mode: how many samples are equal?

    python tests/conformance/run.py                            all of it
    python tests/conformance/run.py --report docs/conformance.md            the page of all that is kept
    python tests/conformance/run.py --ops 'nn_functional_.*' --dtype float32 --samples 2 --show
    python tests/conformance/run.py --every 20 --samples 2 --limit 170      a part of it: every 20th entry

An entry (an op in a dtype, a module in a dtype and mode) is judged in a process of its own, so that a crash or a hang
is a result, too. Results are kept, one file an entry, in build/conformance: what this build was asked before is not run
again (--again does). The exit status is 1 where a result is wrong or a process crashed or hung.
"""

import argparse
import collections
import hashlib
import json
import multiprocessing
import multiprocessing.connection
import os
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(HERE), str(ROOT / "python")]
KEPT = ROOT / "build" / "conformance"
# Of a process's own time, so that a busy machine makes no hang of what is slow; of the clock, for one that only waits.
SECONDS_A_SAMPLE, SECONDS_WAITED, SECONDS_AN_ENTRY = 60, 900, 600
FINDINGS = ("wrong", "crash", "hang")


def stamp():
    """A hash of what results depend on: the library, the SDK, and how samples are judged."""
    found = hashlib.sha256()
    for path in sorted([*(ROOT / "python").rglob("*.py"), *(ROOT / "python").rglob("*.so"), *HERE.glob("*.py")]):
        if path.name not in ("run.py", "report.py", "scope.py"):
            found.update(path.read_bytes())
    return found.hexdigest()[:16]


# ---- an entry, in a process of its own


def work(entry, first, most, send):
    """Judges the samples of an entry from number `first` on: a line before each and one after it."""
    import judge
    import scope

    number = 0
    for part in ("forward", "gradient") if entry.gradient else ("forward",):
        unwritten = scope.is_unwritten(entry.name, part == "gradient")
        samples = iter(entry.samples(part == "gradient"))
        for count in range(most):
            if number >= first:
                send(("begin", number, part))
            try:
                sample = next(samples, None)
            except Exception as error:
                send(("end", number, part, "eager", f"samples: {error}"))
                break
            if sample is None:
                break
            if number >= first:
                verdict = judge.judge(sample, entry.tolerance, part == "gradient", unwritten)
                send(("end", number, part, verdict.kind, f"sample {count}: {' '.join(verdict.text.split())[:600]}"))
            number += 1
    send(("done",))


def used_by(pid):
    """The seconds that a process has computed, 0 where the system does not say."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Task:
    """An entry under way."""

    def __init__(self, entry, most):
        self.entry, self.most, self.begun = entry, most, None
        self.verdicts, self.next, self.started, self.over = [], 0, time.monotonic(), False
        self._start()

    def _start(self):
        self.pipe, other = multiprocessing.Pipe(duplex=False)
        self.process = multiprocessing.get_context("fork").Process(
            target=work_quietly, args=(self.entry, self.next, self.most, other), daemon=True
        )
        self.process.start()
        other.close()
        self.heard, self.used = time.monotonic(), 0.0

    def hear(self):
        """Takes what the process says, and starts it again where it ended before its work did."""
        try:
            while self.pipe.poll():
                self._take(self.pipe.recv())
        except EOFError:
            self.process.join()
            if not self.over:
                self._lost("crash", f"the process ended with status {self.process.exitcode}")
            return
        used = used_by(self.process.pid)
        late = used - self.used > SECONDS_A_SAMPLE or time.monotonic() - self.heard > SECONDS_WAITED
        if not self.over and (late or used > SECONDS_AN_ENTRY):
            self.process.kill()
            self.process.join()
            if late:
                self._lost("hang", f"more than {SECONDS_A_SAMPLE} s")
            else:  # what was judged by then counts
                part = "forward" if self.begun is None else self.begun[1]
                self.verdicts.append((part, "cut", f"more than {SECONDS_AN_ENTRY} s in all"))
                self.over = True

    def _take(self, message):
        self.heard, self.used = time.monotonic(), used_by(self.process.pid)
        if message[0] == "begin":
            self.begun = message[1:]
        elif message[0] == "end":
            self.next, self.begun = message[1] + 1, None
            self.verdicts.append(message[2:])
        else:
            self.over = True

    def _lost(self, kind, text):
        number, part = self.begun if self.begun is not None else (self.next, "forward")
        self.verdicts.append((part, kind, f"number {number}: {text}"))
        self.next, self.begun = number + 1, None
        lost = sum(1 for _, kind, _ in self.verdicts if kind in ("crash", "hang"))
        if lost < 5:
            self._start()
        else:
            self.over = True

    def result(self):
        parts = {}
        for part, kind, text in self.verdicts:
            of_part = parts.setdefault(part, {"counts": {}, "texts": {}})
            of_part["counts"][kind] = of_part["counts"].get(kind, 0) + 1
            if kind != "equal":
                of_part["texts"].setdefault(kind, []).append(text)
        for of_part in parts.values():
            of_part["texts"] = {kind: texts[:5] for kind, texts in of_part["texts"].items()}
        return parts


def work_quietly(entry, first, most, pipe):
    import torch

    torch.set_num_threads(1)
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    work(entry, first, most, pipe.send)


# ---- the campaign


def kept(entry, mark, most):
    """What is kept of an entry, if it holds for this build and as many samples."""
    path = KEPT / f"{entry.key}.json"
    if not path.exists():
        return None
    found = json.loads(path.read_text(encoding="utf-8"))
    return found if found["stamp"] == mark and found["samples"] >= most else None


def keep(task, mark, commit):
    entry = task.entry
    found = {
        "database": entry.database,
        "name": entry.name,
        "dtype": entry.dtype,
        "mode": entry.mode,
        "gradient": entry.gradient,
        "samples": task.most,
        "stamp": mark,
        "commit": commit,
        "seconds": round(time.monotonic() - task.started, 1),
        "parts": task.result(),
    }
    KEPT.mkdir(parents=True, exist_ok=True)
    path = KEPT / f"{entry.key}.json"
    part = path.with_suffix(".part")
    part.write_text(json.dumps(found, indent=1), encoding="utf-8")
    part.replace(path)
    return found


def campaign(entries, most, jobs, mark, commit, again, stop):
    """Results of entries as they come."""
    waiting = list(reversed(entries))
    running = []
    while waiting or running:
        while waiting and len(running) < jobs and time.monotonic() < stop:
            entry = waiting.pop()
            found = None if again else kept(entry, mark, most)
            if found is None:
                running.append(Task(entry, most))
            else:
                yield found
        if not running:
            return
        multiprocessing.connection.wait([task.pipe for task in running], timeout=1)
        for task in list(running):
            task.hear()
            if task.over:
                running.remove(task)
                task.process.join()
                yield keep(task, mark, commit)


def worst(counts):
    import judge

    return max((kind for kind in counts if kind in judge.KINDS), key=judge.KINDS.index, default=None)


def describe(found, every):
    """Lines on what is not equal in a result."""
    name = ".".join(filter(None, (found["name"], found["dtype"], found["mode"])))
    for part, of_part in found["parts"].items():
        kind = worst(of_part["counts"])
        if kind is not None and kind != "equal" and (every or kind in FINDINGS):
            yield f"{name} {part}: {kind} {of_part['counts']}: {of_part['texts'][kind][0][:300]}"


def commit_of_tree():
    import subprocess

    ask = lambda *words: subprocess.run(["git", "-C", ROOT, *words], capture_output=True, text=True).stdout.strip()  # noqa: E731
    changed = ask("status", "--porcelain", "--untracked-files=no", "--", "src", "python", "include")
    return ask("rev-parse", "--short=10", "HEAD") + (" and changes" if changed else "")


def chosen(args):
    import database
    import scope

    found = database.entries(args.ops, args.dtype, args.database or ("op", "module"))
    return [entry for entry in found if entry.database == "module" or scope.reason(entry.name) is None][:: args.every]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ops", metavar="PATTERN", help="names of ops and modules, as a regular expression")
    parser.add_argument("--dtype", action="append", help="float32, bfloat16, int64, bool; may be repeated")
    parser.add_argument("--database", action="append", choices=("op", "module"), help="one of the two")
    parser.add_argument("--samples", type=int, default=10**6, help="the first samples of each entry (all)")
    parser.add_argument("--every", type=int, default=1, help="every n-th entry")
    parser.add_argument("--limit", type=float, default=float("inf"), help="begin no entry after so many seconds")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time (2)")
    parser.add_argument("--again", action="store_true", help="judge what was judged by this build, too")
    parser.add_argument("--show", action="store_true", help="show refusals, too")
    parser.add_argument("--report", metavar="FILE", help="write the table of all that is kept there, and run nothing")
    args = parser.parse_args()
    if args.report:
        return write_report(args.report)
    return run(args)


def write_report(path):
    import report

    Path(path).write_text(report.text(KEPT), encoding="utf-8")
    return 0


def run(args):
    import judge  # noqa: F401 - here, once for all processes
    import torch

    torch.set_num_threads(1)
    os.environ.setdefault("LEAT_NUM_THREADS", "1")
    entries = chosen(args)
    mark, commit = stamp(), commit_of_tree()
    kinds, begun = collections.Counter(), time.monotonic()
    results = campaign(entries, args.samples, args.jobs, mark, commit, args.again, begun + args.limit)
    for count, found in enumerate(results, 1):
        for part, of_part in found["parts"].items():
            kinds[f"{part} {worst(of_part['counts'])}"] += 1
        for line in describe(found, args.show):
            print(line, flush=True)
        if sys.stderr.isatty():
            print(f"\r{count} of {len(entries)}, {time.monotonic() - begun:.0f} s", end="", file=sys.stderr, flush=True)
    print(f"{len(entries)} entries: " + ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items())))
    return 1 if any(kind.split()[-1] in FINDINGS for kind in kinds) else 0


if __name__ == "__main__":
    sys.exit(main())
