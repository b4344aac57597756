# SPDX-License-Identifier: Apache-2.0
"""Who may use a loaded program, and who may trace: one thread at a time.

libleat releases the GIL while it works and leaves locking to its caller, so each loaded program has a `Turn`. A
second thread waits for it. What holds it may read and write the program, but a run inside a run is refused: it would
take the memory that the first one is about to use. A fork waits until no other thread holds a turn, so that the child
finds every program between two runs.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Iterator
from types import TracebackType

from sambaflow._base.library import InvalidArgumentError


class Turn:
    """The lock of one program."""

    _made = 0

    def __init__(self) -> None:
        self.lock = threading.RLock()  # for reading and writing; also taken by whoever runs
        self._running = False
        with _turns_lock:
            Turn._made += 1
            self.number = Turn._made
            _turns.add(self)

    def __enter__(self) -> None:
        """Begins a run."""
        self.lock.acquire()
        if self._running:  # the lock is this thread's, so the run is, too
            self.lock.release()
            raise InvalidArgumentError(
                "session.run was called while a run of the same program is under way in this thread (by an input that "
                "is made on demand, or by a signal handler): call it when that run is done"
            )
        self._running = True

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._running = False
        self.lock.release()


_turns_lock = threading.RLock()
_turns: weakref.WeakSet[Turn] = weakref.WeakSet()
_held_for_fork: list[Turn] = []

# Tracing replaces functions of torch for a while, so a process traces one program at a time.
_tracing = threading.RLock()
_depth = 0


@contextlib.contextmanager
def tracing() -> Iterator[None]:
    """Inside, this thread traces; others wait for it. A trace inside a trace is refused."""
    global _depth
    with _tracing:
        if _depth:
            raise InvalidArgumentError(
                "session.compile or trace_graph was called from within a forward that is being traced: compile the "
                "inner model by itself, before or after"
            )
        _depth += 1
        try:
            yield
        finally:
            _depth -= 1


def _before_fork() -> None:
    with _turns_lock:
        turns = sorted(_turns, key=lambda turn: turn.number)
    for turn in turns:  # who holds two took the older one first
        turn.lock.acquire()
        _held_for_fork.append(turn)
    _tracing.acquire()  # a run may trace, a trace does not run
    _turns_lock.acquire()  # last: who holds a turn may be making another


def _after_fork() -> None:
    _turns_lock.release()
    _tracing.release()
    while _held_for_fork:
        _held_for_fork.pop().lock.release()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
