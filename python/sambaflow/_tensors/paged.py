# SPDX-License-Identifier: Apache-2.0
"""Values of host tensors that wait for nobody: moved from memory into a file, from which the system fetches them.

The device has weights of its own, and the host's keep their values until `to_cpu` and its like. A program that goes on
running mostly never looks at them. Paged out, they take no memory: the tensor lies in a private mapping of a file
without a name, so that whoever reads it, by whatever way, finds the same values, and whoever writes it writes memory
of the process, as before. Only `resize_` is gone: the system's mapping does not grow.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import torch

from sambaflow._base.library import pages_out
from sambaflow._tensors.tensor import SambaTensor, binding_of

WORTH_BYTES = 64 << 20  # what is less in all stays in memory
LARGE_BYTES = 256 << 20
_STORAGE_BYTES_MIN = 64 << 10
_HOLDERS = 3  # of a storage that nothing else sees: the tensor, the plain one of its binding, and who asks here
_ALIGNMENT = 64
_PIECE = 64 << 20
_IN_MEMORY = {"tmpfs", "ramfs"}


def runs_until(tensors: Iterable[torch.Tensor]) -> int:
    """The run that begins with paging these out: the third, since programs that only compare some runs never come so
    far; the first where they are large, since the most memory is taken then, by device and host together."""
    total = sum(tensor.untyped_storage().nbytes() for tensor in {id(t): t for t in tensors}.values())
    return 1 if total >= LARGE_BYTES else 3


def page_out(tensors: Iterable[torch.Tensor]) -> int:
    """Moves the values of SambaTensors into a file; the number of bytes that it takes out of memory.

    Left as they are: tensors that share memory with any other, whose address was asked for, without data, or small.
    All of them where the file for temporary data (TMPDIR) would lie in memory or has no room, or LEAT_PAGE_OUT is 0.
    """
    if not pages_out():
        return 0
    chosen = [tensor for tensor in {id(t): t for t in tensors}.values() if _is_alone(tensor)]
    versions = [tensor._version for tensor in chosen]  # another thread may be at work on them
    places, total = [], 0
    for tensor in chosen:
        places.append(total)
        total += -(-tensor.untyped_storage().nbytes() // _ALIGNMENT) * _ALIGNMENT
    if total == 0 or total < WORTH_BYTES:
        return 0
    try:
        with tempfile.TemporaryFile(buffering=0) as file:
            if not _has_room(file, total):
                return 0
            os.ftruncate(file.fileno(), total)
            for tensor, place in zip(chosen, places, strict=True):
                _write(file, tensor.untyped_storage(), place)
            mapping = mmap.mmap(file.fileno(), total, flags=mmap.MAP_PRIVATE)
    except OSError:
        return 0  # a disk without room: the values stay where they are
    for tensor, place, version in zip(chosen, places, versions, strict=True):
        if tensor._version == version:
            _move(tensor, mapping, place)
    _trim()
    return total


def _is_alone(tensor: torch.Tensor) -> bool:
    """Whether `tensor` has values in ordinary memory that no other tensor sees."""
    if not isinstance(tensor, SambaTensor) or tensor.device.type != "cpu" or not tensor.has_data:
        return False
    if binding_of(tensor).is_pinned:
        return False
    storage = tensor.untyped_storage()
    if storage.nbytes() < _STORAGE_BYTES_MIN or storage.is_shared() or not storage.resizable():
        return False
    return torch._C._storage_Use_Count(storage._cdata) == _HOLDERS


def _has_room(file: BinaryIO, total: int) -> bool:
    device, room = os.fstat(file.fileno()).st_dev, os.fstatvfs(file.fileno())
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    number = f"{os.major(device)}:{os.minor(device)}"
    kinds = {line.partition(" - ")[2].split()[0] for line in mounts if line.split()[2] == number}
    return not kinds & _IN_MEMORY and room.f_bavail * room.f_frsize >= 2 * total


def _write(file: BinaryIO, storage: torch.UntypedStorage, place: int) -> None:
    bytes_ = memoryview((ctypes.c_char * storage.nbytes()).from_address(storage.data_ptr()))
    done = 0
    while done < len(bytes_):
        done += os.pwrite(file.fileno(), bytes_[done : done + _PIECE], place + done)


def _move(tensor: torch.Tensor, mapping: mmap.mmap, place: int) -> None:
    count = tensor.untyped_storage().nbytes() // tensor.element_size()
    moved = torch.frombuffer(mapping, dtype=tensor.dtype, offset=place, count=count)
    tensor.data = moved.as_strided(tensor.size(), tensor.stride(), tensor.storage_offset())


def _trim() -> None:
    """Gives pages that the C library has freed, and keeps for itself, back to the system: glibc does when asked."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
