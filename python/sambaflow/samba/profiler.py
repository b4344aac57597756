# SPDX-License-Identifier: Apache-2.0
"""Host-side timing of named events."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass
class Event:
    """One timed interval; `seconds` is set when it ends."""

    name: str
    start: float
    seconds: float = 0.0


class Profiler:
    """Collects the durations of events by name: its own, and once `start_profile` was called those of every profiler.

    So a program may time events with `session.profiler` and read them from a Profiler of its own.
    """

    _started: weakref.WeakSet[Profiler] = weakref.WeakSet()

    def __init__(self) -> None:
        self._times: dict[str, list[float]] = {}
        self._on = True
        # Called with (name, start, end) of every event, in seconds of time.perf_counter.
        self.listeners: list[Callable[[str, float, float], None]] = []

    def start_profile(self) -> None:
        """Forgets earlier events and starts collecting."""
        self._times, self._on = {}, True
        Profiler._started.add(self)

    def stop_profile(self) -> None:
        """Events that end from now on are not collected; those collected can still be asked for."""
        self._on = False
        Profiler._started.discard(self)

    def start_event(self, name: str) -> Event:
        """Begins an event; hand the result to `end_event`. Events may overlap."""
        return Event(name, time.perf_counter())

    def end_event(self, event: Event) -> None:
        """Ends an event, which gets its `seconds`."""
        end = time.perf_counter()
        event.seconds = end - event.start
        for profiler in {self, *Profiler._started}:
            if profiler._on:
                profiler._times.setdefault(event.name, []).append(event.seconds)
        for listener in self.listeners:
            listener(event.name, event.start, end)

    def _get_iter_times(self, name: str, skip: int = 0) -> list[float]:
        """Seconds of each event `name`, without the first `skip`."""
        return self._times.get(name, [])[skip:]

    def get_latencies(self, names: Iterable[str], skip: int = 0) -> dict[str, float]:
        """Mean seconds by name, without the first `skip` events of each; 0 where there was none."""
        kept = {name: self._get_iter_times(name, skip) for name in names}
        return {name: sum(times) / len(times) if times else 0.0 for name, times in kept.items()}

    def get_throughputs(self, names: Iterable[str], batch_size: int, skip: int = 0) -> dict[str, float]:
        """Items a second by name, where each event handles `batch_size` items."""
        latencies = self.get_latencies(names, skip)
        return {name: batch_size / seconds if seconds else 0.0 for name, seconds in latencies.items()}
