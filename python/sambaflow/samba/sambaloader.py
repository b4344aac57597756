# SPDX-License-Identifier: Apache-2.0
"""SambaLoader: batches of a torch DataLoader as named SambaTensors, prepared by a thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sambaflow._tensor import from_torch_tensor


class DataLoaderException(RuntimeError):
    """The wrapped loader raised, or gave nothing in time."""


_END = object()


class SambaLoader:
    """Iterates over `dataloader`; element i of each batch is named `names[i]`."""

    def __init__(
        self,
        dataloader: Any,
        names: Sequence[str],
        maxsize: int = 10,
        function_hook: Callable[[Any], Any] = lambda batch: batch,
        return_original_batch: bool = False,
        ignore_dataloader_exception: bool = False,
        timeout: float = 900,
    ) -> None:
        self.dataloader = dataloader
        self.names = list(names)
        self._maxsize, self._hook, self._timeout = maxsize, function_hook, timeout
        self._with_original, self._ignore = return_original_batch, ignore_dataloader_exception

    def __len__(self) -> int:
        return len(self.dataloader)

    def __iter__(self) -> Iterator[Any]:
        batches: queue.Queue[Any] = queue.Queue(self._maxsize)
        stop = threading.Event()
        threading.Thread(target=self._produce, args=(batches, stop), daemon=True).start()
        try:
            while True:
                try:
                    item = batches.get(timeout=self._timeout)
                except queue.Empty:
                    raise DataLoaderException(f"no batch came within {self._timeout} seconds") from None
                if item is _END:
                    return
                if isinstance(item, BaseException):
                    raise DataLoaderException(f"the data loader failed: {item}") from item
                yield item
        finally:
            stop.set()

    def _produce(self, batches: queue.Queue[Any], stop: threading.Event) -> None:
        end: Any = _END
        try:
            for batch in self.dataloader:
                if not self._put(batches, stop, self._prepared(batch)):
                    return
        except Exception as error:
            end = _END if self._ignore else error
        self._put(batches, stop, end)

    def _put(self, batches: queue.Queue[Any], stop: threading.Event, item: Any) -> bool:
        """False once the consumer has gone."""
        while not stop.is_set():
            try:
                batches.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def _prepared(self, batch: Any) -> Any:
        tensors = self._hook(batch)
        listed = list(tensors) if isinstance(tensors, (list, tuple)) else [tensors]
        if len(listed) != len(self.names):
            raise ValueError(f"a batch has {len(listed)} tensors, but {len(self.names)} names were given")
        named = [from_torch_tensor(t, name=name, batch_dim=0) for t, name in zip(listed, self.names, strict=True)]
        return (named, batch) if self._with_original else named
