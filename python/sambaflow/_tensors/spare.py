# SPDX-License-Identifier: Apache-2.0
"""Memory of large results that serves again.

The C library gives large blocks back to the system when they are freed, and the system clears every page of the next
one: for the logits of a language model that takes a fifth of the product that makes them. So the memory of the last
results is kept, and is the next result's as soon as nobody sees it any more, by whatever way: as a tensor, a view, a
NumPy array, a DLPack capsule or a storage.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence

import torch

SPARE_BYTES_MIN = 32 << 20  # the largest threshold from which on glibc takes blocks from the system (M_MMAP_THRESHOLD)
_MOST = 2  # results in a loop `y = run(x)`: the last is still held while the next is made


def _references(storages: Sequence[torch.UntypedStorage]) -> list[int]:
    """To each of them, those of this question included."""
    return [sys.getrefcount(storage) for storage in storages]


_ALONE = _references([torch.UntypedStorage(0)])[0]  # what a list alone holds


class SpareMemory:
    """The memory of the last results of one output."""

    def __init__(self) -> None:
        self._storages: list[torch.UntypedStorage] = []
        self._lock = threading.Lock()

    def empty_like(self, template: torch.Tensor) -> torch.Tensor:
        """What torch.empty_like gives, in memory that was given out here before where there is some that is free."""
        with self._lock:
            for index, references in enumerate(_references(self._storages)):
                storage = self._storages[index]
                if references == _ALONE and storage.nbytes() == template.nbytes and _is_free(storage):
                    return torch.empty(0, dtype=template.dtype).set_(storage, 0, template.shape, template.stride())
            made = torch.empty_like(template)
            self._storages = [*self._storages[1 - _MOST :], made.untyped_storage()]
            return made


def _is_free(storage: torch.UntypedStorage) -> bool:
    return torch._C._storage_Use_Count(storage._cdata) == 1 and not storage.is_shared()
