# SPDX-License-Identifier: Apache-2.0
"""The C library: loading it, and turning its statuses into exceptions."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
from collections.abc import Iterator, Mapping
from typing import Any


class LeatError(RuntimeError):
    """libleat could not do what was asked."""


class MismatchError(LeatError, ValueError):
    """PEF and program do not belong together."""


class CorruptFileError(LeatError, ValueError):
    """A file is truncated, altered, or not what it says it is."""


class InvalidArgumentError(LeatError, ValueError):
    """A name, dtype, shape or option is wrong."""


class OutOfRangeError(InvalidArgumentError, IndexError):
    """An index, a class label or an integer divisor is not legal for the op that takes it; nothing was updated."""


class NotFoundError(LeatError, FileNotFoundError):
    """A file, symbol or hyperparameter does not exist."""

    def __str__(self) -> str:  # FileNotFoundError would print (errno, text) pairs
        return str(self.args[0]) if self.args else ""


class UnsupportedError(LeatError, NotImplementedError):
    """Legal, but this build does not do it."""


class UnsupportedAttributeError(UnsupportedError, AttributeError):
    """An attribute that SambaFlow has and this implementation has not; `hasattr` says False."""


class FileAccessError(LeatError, OSError):
    """The operating system refused."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


@contextlib.contextmanager
def from_command_line() -> Iterator[None]:
    """Errors raised inside come of what the user gave to the program: a file, a folder, an option.

    A program that calls `parse_app_args` ends on them with their message alone, without a traceback.
    """
    try:
        yield
    except (LeatError, OSError, ValueError) as error:
        error.from_command_line = True  # type: ignore[union-attr]
        raise


@functools.cache
def library() -> Any:
    """The extension module `sambaflow._leat` (its `ffi` and `lib`)."""
    try:
        from sambaflow import _leat
    except ImportError as error:
        raise ImportError(
            f"the compiled part of sambaflow cannot be loaded ({error}); install the package with `pip install .`"
        ) from error
    return _leat


@functools.cache
def _exceptions() -> dict[int, type[Exception]]:
    lib = library().lib
    return {
        lib.LEAT_INVALID_ARGUMENT: InvalidArgumentError,
        lib.LEAT_NOT_FOUND: NotFoundError,
        lib.LEAT_CORRUPT: CorruptFileError,
        lib.LEAT_UNSUPPORTED: UnsupportedError,
        lib.LEAT_OUT_OF_MEMORY: MemoryError,
        lib.LEAT_IO: FileAccessError,
        lib.LEAT_MISMATCH: MismatchError,
        lib.LEAT_OUT_OF_RANGE: OutOfRangeError,
    }


def check(status: Any) -> None:
    """Raises the exception that stands for `status`, with its whole message; success returns."""
    ffi, lib = library().ffi, library().lib
    if status == ffi.NULL:
        return
    try:
        message = ffi.string(lib.leat_status_message(status)).decode(errors="replace")
        kind = _exceptions().get(lib.leat_status_code(status), LeatError)
    finally:
        lib.leat_status_free(status)
    raise kind(message)


@functools.cache
def enumeration(prefix: str) -> Mapping[str, int]:
    """The constants of the C headers that begin with `prefix`, by what follows in lower case, in ascending order."""
    lib = library().lib
    found = {name.removeprefix(prefix).lower(): getattr(lib, name) for name in dir(lib) if name.startswith(prefix)}
    return dict(sorted(found.items(), key=lambda item: item[1]))


@functools.cache
def is_loss(row: str) -> bool:
    """Whether a row of src/ir/traced.def is a loss."""
    return bool(library().lib.leat_op_is_loss(row.encode()))


@functools.cache
def hyperparameters() -> tuple[str, ...]:
    """The hyperparameters that a run may set."""
    ffi, lib = library().ffi, library().lib
    names = map(lib.leat_hyperparameter_name, itertools.count())
    return tuple(ffi.string(name).decode() for name in itertools.takewhile(lambda name: name != ffi.NULL, names))


@functools.cache
def unary_ops() -> tuple[str, ...]:
    """The traced ops of one operand that are one function of its elements, by PyTorch's names."""
    leat = library()
    return tuple(leat.ffi.string(leat.lib.leat_graph_unary_ops()).decode().split())


def isa_level() -> str | None:
    """LEAT_ISA caps the kernels: portable, avx2 or avx512; None without it."""
    return os.environ.get("LEAT_ISA", "").strip() or None


def engine_name() -> str | None:
    """LEAT_ENGINE chooses what runs programs: native, ref or compare; None without it."""
    return os.environ.get("LEAT_ENGINE", "").strip() or None


def pages_out() -> bool:
    """LEAT_PAGE_OUT says whether host weights that wait may be moved into a file: 1 (default) or 0."""
    text = os.environ.get("LEAT_PAGE_OUT", "").strip()
    if text not in ("", "0", "1"):
        raise ValueError(f"LEAT_PAGE_OUT={text!r}: expected 0 or 1")
    return text != "0"


def thread_count() -> int:
    """Threads from LEAT_NUM_THREADS, else OMP_NUM_THREADS, else 0: what the machine allows."""
    for variable in ("LEAT_NUM_THREADS", "OMP_NUM_THREADS"):
        text = os.environ.get(variable, "").split(",")[0].strip()
        if text:
            if not text.isdigit() or int(text) < 1:
                raise ValueError(f"{variable}={text!r}: expected a positive number of threads")
            return int(text)
    return 0
