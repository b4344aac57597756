# SPDX-License-Identifier: Apache-2.0
"""A data loader whose position can be saved and taken up again.

What is kept: the epoch, the batches taken of it, and the random state as it was when the epoch began. To resume, the
order of the epoch is drawn again from that state and the batches already taken are skipped, without loading them
where the loader is a torch DataLoader over a map-style dataset. Random transforms of the data go on exactly where they
were if the process that trains applies them (`num_workers=0`, no SambaLoader thread that runs ahead).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset

from sambaflow._runtime.random_state import host_random_state, set_host_random_state


class ResumableLoader:
    """Iterates over `loader` (a torch DataLoader, a SambaLoader over one, or any iterable) and counts the batches.

    `epoch` counts the epochs that have been finished or left early, `position` the batches taken of the present one.
    After `load_state_dict` the next iteration yields the rest of the epoch that was under way.
    """

    def __init__(self, loader: Any) -> None:
        self.loader = loader
        self.epoch = 0
        self.position = 0
        self._start: dict[str, Any] | None = None  # random state at the start of the epoch under way
        self._resumes = False
        self._inner = loader.dataloader if isinstance(getattr(loader, "dataloader", None), DataLoader) else loader
        self._rest: _Rest | None = None
        if _draws_indices(self._inner):
            self._rest = _Rest(self._inner.batch_sampler)
            self._inner = _with_batch_sampler(self._inner, self._rest)

    def __len__(self) -> int:
        return len(self.loader)

    @property
    def dataset(self) -> Any:
        return getattr(self._inner, "dataset", None)

    def __iter__(self) -> Iterator[Any]:
        for batch in self._begin():
            self.position += 1  # before the program gets it: a checkpoint after its step counts it
            yield batch
        self.epoch, self.position, self._start = self.epoch + 1, 0, None

    def _begin(self) -> Iterator[Any]:
        """An iterator over what is left of the epoch that is resumed, or over a new one."""
        if not self._resumes:
            if self._start is not None:  # the last epoch was left early
                self.epoch += 1
            self.position, self._start = 0, self._random_state()
            return self._started(0)
        self._resumes = False
        now = host_random_state()
        assert self._start is not None
        set_host_random_state(self._start["host"])
        self._set_own(self._start["own"])
        batches = self._started(self.position)
        set_host_random_state(now)
        return batches

    def _started(self, skip: int) -> Iterator[Any]:
        """The batches after `skip` ones; the order of the epoch has been drawn when this returns."""
        if self._rest is None:
            return _skipped(iter(self.loader), skip)
        self._rest.skip = skip
        batches = iter(self._inner)
        self._rest.start()
        if self.loader is self._inner or not hasattr(self.loader, "dataloader"):
            return batches
        view = copy.copy(self.loader)
        view.dataloader = _Started(batches)
        return iter(view)

    # ---- state

    def _generators(self) -> dict[str, torch.Generator]:
        """The generators of its own that the loader draws from."""
        found = {"loader": getattr(self._inner, "generator", None)}
        sampler = self._rest.sampler if self._rest is not None else None
        found["batch_sampler"] = getattr(sampler, "generator", None)
        found["sampler"] = getattr(getattr(sampler, "sampler", None), "generator", None)
        return {name: generator for name, generator in found.items() if isinstance(generator, torch.Generator)}

    def _random_state(self) -> dict[str, Any]:
        own = {name: generator.get_state() for name, generator in self._generators().items()}
        return {"host": host_random_state(), "own": own}

    def _set_own(self, states: dict[str, torch.Tensor]) -> None:
        for name, generator in self._generators().items():
            if name in states:
                generator.set_state(states[name])

    def state_dict(self) -> dict[str, Any]:
        """Epoch, batches taken, random state at the start of the epoch: numbers, strings and tensors."""
        own = self._random_state()["own"]
        return {"epoch": self.epoch, "position": self.position, "start": self._start, "own": own}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The next iteration goes on from `state`. ValueError where the loader has fewer batches than were taken."""
        position, length = int(state["position"]), self._length()
        if length is not None and position > length:
            raise ValueError(f"{position} batches of the epoch were taken, but this loader has {length}: other data?")
        self.epoch, self.position, self._start = int(state["epoch"]), position, state["start"]
        self._resumes = self._start is not None
        if not self._resumes:
            self._set_own(state["own"])

    def _length(self) -> int | None:
        try:
            return len(self.loader)
        except TypeError:  # an iterable without length
            return None


class _Rest:
    """A batch sampler that leaves out the first `skip` batches of the next epoch."""

    def __init__(self, sampler: Iterable[Any]) -> None:
        self.sampler = sampler
        self.skip = 0
        self._batches: Iterator[Any] | None = None

    def __len__(self) -> int:
        return len(self.sampler)  # type: ignore[arg-type]

    def __iter__(self) -> _Rest:
        self._batches = None
        return self

    def __next__(self) -> Any:
        self.start()
        assert self._batches is not None
        return next(self._batches)

    def start(self) -> None:
        """Draws the order of the epoch and skips; once an epoch."""
        if self._batches is None:
            self._batches = _peeked(_skipped(iter(self.sampler), self.skip))


class _Started:
    """A loader that is being iterated already."""

    def __init__(self, batches: Iterator[Any]) -> None:
        self._batches = batches

    def __iter__(self) -> Iterator[Any]:
        return self._batches


def _skipped(batches: Iterator[Any], skip: int) -> Iterator[Any]:
    for _ in range(skip):
        next(batches, None)
    return batches


def _peeked(batches: Iterator[Any]) -> Iterator[Any]:
    """`batches` with its first element drawn now."""
    first = [item for item in [next(batches, _END)] if item is not _END]

    def chained() -> Iterator[Any]:
        yield from first
        yield from batches

    return chained()


_END = object()


def _draws_indices(loader: Any) -> bool:
    """Whether `loader` takes its batches from a sampler of indices, which can skip without loading."""
    known = isinstance(loader, DataLoader) and loader.batch_sampler is not None
    return known and not isinstance(loader.dataset, IterableDataset)


def _with_batch_sampler(loader: DataLoader[Any], sampler: _Rest) -> DataLoader[Any]:
    """A loader like `loader` that takes its batches of indices from `sampler`."""
    options: dict[str, Any] = {
        name: getattr(loader, name)
        for name in (
            "num_workers", "collate_fn", "pin_memory", "timeout", "worker_init_fn", "multiprocessing_context",
            "generator", "persistent_workers", "prefetch_factor",
        )
    }  # fmt: skip
    return DataLoader(loader.dataset, batch_sampler=sampler, **options)  # type: ignore[arg-type]
