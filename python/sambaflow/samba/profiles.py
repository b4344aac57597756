# SPDX-License-Identifier: Apache-2.0
"""What a run costs: the runtime profile (each section, timed by the engine) and the samba profile (each call, on the
host).

A runtime profile is a table: one line a section with its type, runs, microseconds a run, share of the time, and the
least that the machine which the PEF was compiled for would take. A samba profile is a trace that Chrome and Perfetto
show: one bar a `session.run` and one an event of `session.profiler`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sambaflow._base.files import make_parent, write_json, write_text
from sambaflow._runtime.device import Device

# ---- the runtime profile

# What a record takes of a section of the report.
_KEPT = ("name", "type", "flops", "bytes", "moved_bytes", "dtype", "roofline_seconds", "bound")


def section_times(device: Device) -> list[dict[str, Any]]:
    """One record for each section that ran while the device was profiled, in the order of the file.

    Keys: `index` (number of the section in the PEF), `name`, `type`, `runs`, `seconds` (a run, on average), `flops`
    and `bytes` (of a run), `moved_bytes` (those that pass between it and memory), `dtype` of its products, and
    `roofline_seconds`: what it takes at least on the machine that the PEF was compiled for, `bound` by compute or by
    memory.
    """
    records = []
    for index, section in enumerate(device.report()["sections"]):
        runs = int(section.get("runs", 0))
        if runs:
            kept = {key: section[key] for key in _KEPT}
            records.append({"index": index, **kept, "runs": runs, "seconds": section["seconds"] / runs})
    return records


def section_table(records: Sequence[Mapping[str, Any]]) -> str:
    """`records` as lines of text, with the share of each section in the whole."""
    total = sum(r["seconds"] * r["runs"] for r in records) or 1.0
    lines = [f"{'section':>7}  {'type':8} {'runs':>7} {'us/run':>11} {'share':>7} {'least us':>10}  name"]
    for r in records:
        share = 100 * r["seconds"] * r["runs"] / total
        lines.append(
            f"{r['index']:7d}  {r['type']:8} {r['runs']:7d} {r['seconds'] * 1e6:11.3f} {share:6.1f}% "
            f"{r['roofline_seconds'] * 1e6:10.3f}  {r['name']}"
        )
    return "\n".join(lines)


def write_runtime_profile(device: Device, path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Writes what the sections took since profiling began; JSON where `path` ends in .json, else a table."""
    records = section_times(device)
    machine = device.report()["machine"]
    if os.fspath(path).endswith(".json"):
        write_json(path, {"pef": device.path, "threads": device.threads, "machine": machine, "sections": records})
    else:
        head = f"# {device.path}, {device.threads} thread(s); least: on {machine['name']}"
        write_text(path, f"{head}\n{section_table(records)}\n")
    return records


# ---- the samba profile


class HostProfile:
    """The time of every call of `timed` functions and of every event that is added."""

    def __init__(self) -> None:
        self._begin = time.perf_counter()
        self._events: list[dict[str, Any]] = []

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, whose calls are events called `name`."""

        def call(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.add(name, start, time.perf_counter())

        return call

    def add(self, name: str, start: float, end: float) -> None:
        """One event, in seconds of `time.perf_counter`."""
        microseconds = {"ts": 1e6 * (start - self._begin), "dur": 1e6 * (end - start)}
        self._events.append({"name": name, "ph": "X", "pid": os.getpid(), "tid": 0, **microseconds})

    def write(self, path: str | os.PathLike[str]) -> None:
        """Writes the trace."""
        write_json(path, {"displayTimeUnit": "ms", "traceEvents": sorted(self._events, key=lambda e: e["ts"])})


def require_file(path: str | os.PathLike[str] | None, default: str) -> str:
    """The file of a profile; its folder is made."""
    chosen = os.fspath(path) if path else default
    make_parent(chosen)
    return chosen
