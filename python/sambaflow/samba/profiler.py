# SPDX-License-Identifier: Apache-2.0
"""Host-side timing of named events."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass
class Event:
    """One timed interval; `seconds` is set when it ends."""

    name: str
    start: float
    seconds: float = 0.0


class Profiler:
    """Collects the durations of events by name."""

    def __init__(self) -> None:
        self._times: dict[str, list[float]] = {}
        self._on = True

    def start_profile(self) -> None:
        """Forgets earlier events and starts collecting."""
        self._times, self._on = {}, True

    def stop_profile(self) -> None:
        self._on = False

    def start_event(self, name: str) -> Event:
        return Event(name, time.perf_counter())

    def end_event(self, event: Event) -> None:
        event.seconds = time.perf_counter() - event.start
        if self._on:
            self._times.setdefault(event.name, []).append(event.seconds)

    def _get_iter_times(self, name: str, skip: int = 0) -> list[float]:
        """Seconds of each event `name`, without the first `skip`."""
        return self._times.get(name, [])[skip:]

    def get_latencies(self, names: Iterable[str], skip: int = 0) -> dict[str, float]:
        """Mean seconds by name."""
        kept = {name: self._get_iter_times(name, skip) for name in names}
        return {name: sum(times) / len(times) if times else 0.0 for name, times in kept.items()}

    def get_throughputs(self, names: Iterable[str], batch_size: int, skip: int = 0) -> dict[str, float]:
        """Items a second by name."""
        latencies = self.get_latencies(names, skip)
        return {name: batch_size / seconds if seconds else 0.0 for name, seconds in latencies.items()}
