# SPDX-License-Identifier: Apache-2.0
"""Files that are whole or not there: written aside, synced, renamed, and the folder synced.

The file aside is `.<name>.part` in the same folder. A process that was killed leaves it behind, and the next writer of
the same path takes it over; a lock on it keeps two live writers apart. What else has that name, such as a link to
another file, is removed, never followed. A link at the path itself stays: the file that it names is replaced.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import json
import os
import stat
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from sambaflow._base.library import FileAccessError

_BUFFER_BYTES = 1 << 20


def write_whole(path: str | os.PathLike[str], write: Callable[[BinaryIO], Any]) -> None:
    """Calls `write(stream)` and gives what it wrote the name `path`; on any error `path` is as it was.

    Raises FileAccessError (an OSError) that names the path where the system refuses: disk full, no permission, ...
    """
    path = os.fspath(path)
    target = os.path.realpath(path)
    folder, name = os.path.split(target)
    aside = os.path.join(folder, f".{name}.part")
    try:
        os.makedirs(folder, exist_ok=True)
        with _locked(aside) as handle:
            try:
                _fill(handle, write)
                os.fsync(handle)
                os.replace(aside, target)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(aside)
                raise
        _sync_folder(folder)
    except OSError as error:
        if isinstance(error, FileAccessError):
            raise
        missing = getattr(error, "missing_bytes", 0)
        lack = f": {missing} bytes are missing" if missing else ""
        raise FileAccessError(
            f"{path} was not written ({os.strerror(error.errno or errno.EIO)}{lack}); {_left(path)}"
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
        handle = _open_own(aside)
        if handle is None:
            continue
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


def _open_own(aside: str) -> int | None:
    """A new file, or the one that a writer left behind; anything else of that name is removed, then None."""
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        return os.open(aside, flags | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        pass
    try:
        handle = os.open(aside, flags)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        os.unlink(aside)
        return None
    facts = os.fstat(handle)
    if stat.S_ISREG(facts.st_mode) and facts.st_nlink == 1:
        return handle
    os.close(handle)
    if facts.st_nlink != 0:  # 0: its writer is done with it
        os.unlink(aside)
    return None


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
        raw.error.missing_bytes = raw.missing  # type: ignore[attr-defined]
        raise raw.error


class _Remembering(io.RawIOBase):
    """Writes to a file descriptor. A failed write is kept in `error` and reported as done; `missing` counts its bytes.

    torch.save writes from C++ destructors, where an exception would end the process or lose its reason.
    """

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self.error: OSError | None = None
        self.missing = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        try:
            while self.error is None and len(view):
                view = view[os.write(self._handle, view) :]
        except OSError as error:
            self.error = error
        self.missing += len(view)
        return memoryview(data).nbytes


def _sync_folder(folder: str) -> None:
    """Makes a rename in `folder` durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# ---- reports


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
