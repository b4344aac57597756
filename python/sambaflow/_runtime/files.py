# SPDX-License-Identifier: Apache-2.0
"""Files that are whole or not there: written aside, synced, renamed, and the folder synced.

The file aside is `.<name>.part` in the same folder. A process that was killed leaves it behind, and the next writer of
the same path takes it over; a lock on it keeps two live writers apart.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import os
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from sambaflow._runtime.library import FileAccessError

_BUFFER_BYTES = 1 << 20


def write_whole(path: str | os.PathLike[str], write: Callable[[BinaryIO], Any]) -> None:
    """Calls `write(stream)` and gives what it wrote the name `path`; on any error `path` is as it was.

    Raises FileAccessError (an OSError) that names the path where the system refuses: disk full, no permission, ...
    """
    path = os.fspath(path)
    folder, name = os.path.split(os.path.abspath(path))
    aside = os.path.join(folder, f".{name}.part")
    try:
        os.makedirs(folder, exist_ok=True)
        with _locked(aside) as handle:
            try:
                _fill(handle, write)
                os.fsync(handle)
                os.replace(aside, path)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(aside)
                raise
        _sync_folder(folder)
    except OSError as error:
        if isinstance(error, FileAccessError):
            raise
        raise FileAccessError(
            f"{path} was not written ({os.strerror(error.errno or errno.EIO)}); {_left(path)}"
        ) from error


def make_parent(path: str | os.PathLike[str]) -> list[str]:
    """Makes the folder of `path` with its parents; those that were made, the innermost first."""
    folder, missing = os.path.dirname(os.path.abspath(path)), []
    while not os.path.isdir(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    if missing:
        os.makedirs(missing[0], exist_ok=True)
    return missing


def _left(path: str) -> str:
    return "the file of that name is as it was before" if os.path.exists(path) else "there is no file of that name"


@contextlib.contextmanager
def _locked(aside: str) -> Iterator[int]:
    """The file aside, empty, open and locked by this process."""
    while True:
        handle = os.open(aside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise FileAccessError(f"{aside} is being written by another process") from None
            if not _is_named(handle, aside):
                continue  # its writer renamed it between open and lock: it is the finished file now
            os.ftruncate(handle, 0)
            yield handle
            return
        finally:
            os.close(handle)


def _is_named(handle: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False


def _fill(handle: int, write: Callable[[BinaryIO], Any]) -> None:
    raw = _Remembering(handle)
    with io.BufferedWriter(raw, _BUFFER_BYTES) as stream:
        write(stream)
    if raw.error is not None:
        raise raw.error


class _Remembering(io.RawIOBase):
    """Writes to a file descriptor. A failed write is kept in `error` and reported as done.

    torch.save writes from C++ destructors, where an exception would end the process or lose its reason.
    """

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self.error: OSError | None = None

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        try:
            while self.error is None and len(view):
                view = view[os.write(self._handle, view) :]
        except OSError as error:
            self.error = error
        return memoryview(data).nbytes


def _sync_folder(folder: str) -> None:
    """Makes a rename in `folder` durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
