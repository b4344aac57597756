# SPDX-License-Identifier: Apache-2.0
"""SambaLoader: batches of a torch DataLoader as named SambaTensors, prepared by a thread.

The thread is a daemon, so that one that hangs in the program's own code does not keep the process alive; but torch
aborts where the interpreter ends under it. So all that are still at work are told to stop, and waited for, at exit.
"""

from __future__ import annotations

import atexit
import queue
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from sambaflow._tensors.tensor import from_torch_tensor
from sambaflow.samba._keywords import one_of

_EXIT_SECONDS = 20.0


class DataLoaderException(RuntimeError):
    """The wrapped loader raised, or gave nothing in time."""


_END = object()


class _Producer(threading.Thread):
    """Fills a queue with prepared batches until it is told to stop."""

    def __init__(self, loader: Iterable[Any], prepare: Callable[[Any], Any], maxsize: int, ignore: bool) -> None:
        super().__init__(name="SambaLoader", daemon=True)
        self.batches: queue.Queue[Any] = queue.Queue(maxsize)
        self.stop = threading.Event()
        self._loader, self._prepare, self._ignore = loader, prepare, ignore
        _producers.add(self)

    def run(self) -> None:
        end: Any = _END
        try:
            for batch in self._loader:
                if self.stop.is_set() or not self._put(self._prepare(batch)):
                    return
        except BaseException as error:  # whatever ends the thread, the consumer must not wait for it
            end = _END if self._ignore and isinstance(error, Exception) else error
        self._put(end)

    def _put(self, item: Any) -> bool:
        """False once the consumer has gone."""
        while not self.stop.is_set():
            try:
                self.batches.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False


_producers: weakref.WeakSet[_Producer] = weakref.WeakSet()


@atexit.register
def _stop_all() -> None:
    running = [producer for producer in _producers if producer.is_alive()]
    for producer in running:
        producer.stop.set()
    end = time.monotonic() + _EXIT_SECONDS
    for producer in running:
        producer.join(max(0.0, end - time.monotonic()))


class SambaLoader:
    """Iterates over `dataloader`; element i of each batch is named `names[i]`, and so is the entry of a dict.

    Args:
        dataloader: gives batches: a tensor, a list or tuple of tensors, or a dict; also called `torch_loader`.
        names: one for each tensor of a batch.
        maxsize: batches that are prepared ahead.
        function_hook: is applied to each batch before it is named.
        return_original_batch: yield `(named tensors, batch)`.
        ignore_dataloader_exception: an error of the loader ends the loop; else it raises DataLoaderException.
        timeout: seconds to wait for a batch.
    """

    def __init__(
        self,
        dataloader: Any = None,
        names: Sequence[str] | None = None,
        maxsize: int = 10,
        function_hook: Callable[[Any], Any] = lambda batch: batch,
        return_original_batch: bool = False,
        ignore_dataloader_exception: bool = False,
        timeout: float = 900,
        *,
        torch_loader: Any = None,
    ) -> None:
        self.dataloader = one_of("SambaLoader", {"dataloader": dataloader, "torch_loader": torch_loader})
        if names is None:
            raise TypeError("SambaLoader() needs names: one for each tensor of a batch")
        self.names = [names] if isinstance(names, str) else list(names)
        self._maxsize, self._hook, self._timeout = maxsize, function_hook, timeout
        self._with_original, self._ignore = return_original_batch, ignore_dataloader_exception

    def __len__(self) -> int:
        return len(self.dataloader)

    def __iter__(self) -> Iterator[Any]:
        producer = _Producer(self.dataloader, self._prepared, self._maxsize, self._ignore)
        producer.start()
        try:
            while True:
                try:
                    item = producer.batches.get(timeout=self._timeout)
                except queue.Empty:
                    raise DataLoaderException(f"no batch came within {self._timeout} seconds") from None
                if item is _END:
                    return
                if isinstance(item, BaseException):
                    raise DataLoaderException(f"the data loader failed: {str(item) or type(item).__name__}") from item
                yield item
        finally:
            producer.stop.set()

    def _prepared(self, batch: Any) -> Any:
        tensors = self._hook(batch)
        if isinstance(tensors, Mapping):
            missing = [name for name in self.names if name not in tensors]
            if missing:
                raise ValueError(f"a batch has no entry {', '.join(missing)}; it has {', '.join(map(str, tensors))}")
            tensors = [tensors[name] for name in self.names]
        listed = list(tensors) if isinstance(tensors, (list, tuple)) else [tensors]
        if len(listed) != len(self.names):
            raise ValueError(f"a batch has {len(listed)} tensors, but {len(self.names)} names were given")
        named = [from_torch_tensor(t, name=name, batch_dim=0) for t, name in zip(listed, self.names, strict=True)]
        return (named, batch) if self._with_original else named
