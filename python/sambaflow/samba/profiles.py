# SPDX-License-Identifier: Apache-2.0
"""What a run costs: the runtime profile (each section, timed by the engine) and the samba profile (each call, on the
host).

A runtime profile is a table: one line a section with its type, runs, microseconds a run and share of the time. A
samba profile is a trace that Chrome and Perfetto show: one bar a `session.run` and one an event of `session.profiler`.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sambaflow._base.files import make_parent

if TYPE_CHECKING:
    from sambaflow._runtime.device import Device
    from sambaflow.samba.session import SambaSession


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes `path` aside, then renames it: a reader never sees half of it."""
    aside = f"{os.fspath(path)}.{os.getpid()}.tmp"
    try:
        with open(aside, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(aside, path)
    except BaseException:
        if os.path.exists(aside):
            os.unlink(aside)
        raise


def write_json(path: str | os.PathLike[str], record: Any) -> None:
    """Writes `record` as indented JSON with sorted keys; the folder is made."""
    make_parent(path)
    write_text(path, json.dumps(record, indent=2, sort_keys=True) + "\n")


# ---- the runtime profile


def section_times(device: Device) -> list[dict[str, Any]]:
    """One record for each section that ran while the device was profiled, in the order of the file.

    Keys: `index` (number of the section in the PEF), `name`, `type`, `runs`, `seconds` (a run, on average), `flops`
    and `bytes` (of a run).
    """
    records = []
    for index, section in enumerate(device.report()["sections"]):
        runs = int(section.get("runs", 0))
        if runs:
            kept = {key: section[key] for key in ("name", "type", "flops", "bytes")}
            records.append({"index": index, **kept, "runs": runs, "seconds": section["seconds"] / runs})
    return records


def section_table(records: Sequence[Mapping[str, Any]]) -> str:
    """`records` as lines of text, with the share of each section in the whole."""
    total = sum(r["seconds"] * r["runs"] for r in records) or 1.0
    lines = [f"{'section':>7}  {'type':8} {'runs':>7} {'us/run':>11} {'share':>7}  name"]
    for r in records:
        share = 100 * r["seconds"] * r["runs"] / total
        lines.append(
            f"{r['index']:7d}  {r['type']:8} {r['runs']:7d} {r['seconds'] * 1e6:11.3f} {share:6.1f}%  {r['name']}"
        )
    return "\n".join(lines)


def write_runtime_profile(device: Device, path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Writes what the sections took since profiling began; JSON where `path` ends in .json, else a table."""
    records = section_times(device)
    if os.fspath(path).endswith(".json"):
        write_json(path, {"pef": device.path, "threads": device.threads, "sections": records})
    else:
        write_text(path, f"# {device.path}, {device.threads} thread(s)\n{section_table(records)}\n")
    return records


# ---- the samba profile


class HostProfile:
    """Times every `session.run` and every event of `session.profiler` between start and end.

    The timed `run` stands in front of the method of the session only while a profile is taken, so that runs without
    profile cost nothing.
    """

    def __init__(self, session: SambaSession) -> None:
        self._session = session
        self._begin = time.perf_counter()
        self._events: list[dict[str, Any]] = []
        run = session.run

        def timed(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                return run(*args, **kwargs)
            finally:
                self._add("session.run", start, time.perf_counter())

        session.run = timed  # type: ignore[method-assign]
        session.profiler.listeners.append(self._add)

    def _add(self, name: str, start: float, end: float) -> None:
        microseconds = {"ts": 1e6 * (start - self._begin), "dur": 1e6 * (end - start)}
        self._events.append({"name": name, "ph": "X", "pid": os.getpid(), "tid": 0, **microseconds})

    def end(self, path: str | os.PathLike[str]) -> None:
        """Gives the session its own `run` back and writes the trace."""
        del self._session.run
        self._session.profiler.listeners.remove(self._add)
        write_json(path, {"displayTimeUnit": "ms", "traceEvents": sorted(self._events, key=lambda e: e["ts"])})


def require_file(path: str | os.PathLike[str] | None, default: str) -> str:
    """The file of a profile; its folder is made."""
    chosen = os.fspath(path) if path else default
    make_parent(chosen)
    return chosen
