# SPDX-License-Identifier: Apache-2.0
"""A loaded PEF: its symbols, read and written as torch tensors."""

from __future__ import annotations

import contextlib
import functools
import json
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from sambaflow._base.library import (
    InvalidArgumentError,
    NotFoundError,
    check,
    engine_name,
    enumeration,
    isa_level,
    library,
    pages_out,
    thread_count,
)
from sambaflow._base.turns import Turn
from sambaflow._trace.graph import DTYPE_NAMES

_SUM = "grad_sum"  # role of state that means nothing once an update has run


@dataclass(frozen=True)
class Symbol:
    """A named tensor in device memory.

    `owner`: of a gradient, a seed or a state, the name of the symbol it belongs to. `role`: what it is to that one
    ("grad", "seed", "exp_avg", ...); of a state of the whole program "random__state", or "step" of optimizer `number`.
    """

    index: int
    name: str
    kind: int
    dtype: torch.dtype
    shape: tuple[int, ...]
    data_bytes: int
    owner: str | None
    role: str
    number: int


@dataclass(frozen=True)
class Fault:
    """Where a NaN or an infinity came from: "module op source", and whether infinities had been read."""

    origin: str
    from_infinity: bool


class Device:
    """One loaded PEF. Owns the C program, which one thread at a time may use: see `turns`.

    `beside`: another device, whose parameters, buffers, state, hyperparameters and gradients it works on; the two take
    turns together. `latest`: this device, or the one beside it that ran forward last.
    """

    def __init__(self, path: str, *, profile: bool = False, beside: Device | None = None) -> None:
        self.path = path
        self.turn = Turn() if beside is None else beside.turn
        self._beside = beside  # lives as long as this one
        self._latest: weakref.ref[Device] | None = None
        self.unwritten: set[str] = set()  # symbols that must be written before a run: weights that are not there yet
        self._ffi, self._lib = library().ffi, library().lib
        options = self._ffi.new("leat_load_options_t *", self._lib.leat_load_options_default())
        options.thread_count = thread_count()
        options.profile = int(profile)
        folder = self._ffi.new("char[]", tempfile.gettempdir().encode()) if pages_out() else self._ffi.NULL
        options.page_folder = folder
        if beside is not None:
            options.beside = beside.handle
        level, engine = (
            self._ffi.NULL if name is None else self._ffi.new("char[]", name.encode())
            for name in (isa_level(), engine_name())
        )
        options.isa, options.engine = level, engine
        out = self._ffi.new("leat_program_t **")
        check(self._lib.leat_program_load(path.encode(), options, out))
        self.handle = self._ffi.gc(out[0], self._lib.leat_program_destroy)
        self.symbols: Mapping[str, Symbol] = self._read_symbols()
        self._belonging = {(s.owner, s.role, s.number): s for s in self.symbols.values() if s.role}
        self._states: dict[str, dict[str, Symbol]] = {}
        for symbol in self.kept_states():
            if symbol.owner is not None:
                self._states.setdefault(symbol.owner, {})[symbol.role] = symbol

    @property
    def latest(self) -> Device:
        found = None if self._latest is None else self._latest()
        return self if found is None else found

    @latest.setter
    def latest(self, device: Device) -> None:
        self._latest = None if device is self else weakref.ref(device)

    def _read_symbols(self) -> dict[str, Symbol]:
        infos = [self._info(index) for index in range(self._lib.leat_program_symbol_count(self.handle))]
        names = [self._ffi.string(info.name).decode() for info in infos]
        symbols: dict[str, Symbol] = {}
        for index, info in enumerate(infos):
            shape = tuple(info.dims[axis] for axis in range(info.rank))
            owner = None if info.owner == self._lib.LEAT_NO_SYMBOL else names[info.owner]
            role = self._ffi.string(info.role).decode()
            symbols[names[index]] = Symbol(
                index, names[index], info.kind, _dtypes()[info.dtype], shape, info.data_bytes, owner, role, info.number
            )
        return symbols

    def _info(self, index: int) -> Any:
        info = self._ffi.new("leat_symbol_info_t *")
        check(self._lib.leat_program_symbol_info(self.handle, index, info))
        return info

    def description(self) -> list[str]:
        """What was loaded, a line each: the file, and its symbols by kind."""
        kinds = ("INPUT", "OUTPUT", "PARAMETER", "BUFFER", "STATE")
        lines = [f"loaded {self.path}: {self.section_count} sections, {self.threads} threads"]
        for kind in kinds:
            found = self.of_kind(kind)
            if found:
                total = sum(symbol.data_bytes for symbol in found)
                names = ", ".join(f"{s.name} {list(s.shape)}" for s in found)
                lines.append(f"{len(found)} of kind {kind.lower()} ({total} bytes): {names}")
        return lines

    def of_kind(self, kind: str) -> list[Symbol]:
        """Symbols of a kind (`INPUT`, `OUTPUT`, ...) in the order of the file."""
        number = enumeration("LEAT_SYMBOL_")[kind.lower()]
        return [symbol for symbol in self.symbols.values() if symbol.kind == number]

    def kept_states(self) -> list[Symbol]:
        """State that a training keeps: all but that of an update which waits for more batches."""
        return [symbol for symbol in self.of_kind("STATE") if symbol.role != _SUM]

    def of(self, owner: str | None, role: str, number: int = 0) -> Symbol | None:
        """The symbol that is `role` to the symbol `owner`, or to the program; None where there is none."""
        return self._belonging.get((owner, role, number))

    def states_of(self, owner: str) -> dict[str, Symbol]:
        """What optimizers keep for a parameter, by role."""
        return dict(self._states.get(owner, {}))

    @property
    def metadata(self) -> dict[str, Any]:
        text = self._lib.leat_program_metadata(self.handle)
        return dict(json.loads(self._ffi.string(text).decode())) if text != self._ffi.NULL else {}

    @property
    def arch(self) -> str:
        """The machine that the file was compiled for, as --arch takes it."""
        return str(self._ffi.string(self._lib.leat_program_arch(self.handle)).decode())

    @property
    def fingerprint(self) -> tuple[int, tuple[int, int, int]]:
        """The version of the file's fingerprints, and the fingerprints."""
        out = self._ffi.new("uint64_t[3]")
        version = self._lib.leat_program_fingerprint(self.handle, out)
        return int(version), (out[0], out[1], out[2])

    @property
    def section_types(self) -> int:
        return int(self._lib.leat_program_section_types(self.handle))

    @property
    def drops_gradients(self) -> bool:
        """Whether it was compiled with --drop-grads: backward runs with the updates, as one section type."""
        opt, backward = self._lib.LEAT_SECTIONS_OPT, self._lib.LEAT_SECTIONS_BCKWD
        return bool(self.section_types & opt) and not self.section_types & backward

    @property
    def forward_types(self) -> int:
        """FWD and the section types that only run together with it."""
        return int(self._lib.leat_program_forward_types(self.handle))

    @property
    def threads(self) -> int:
        return int(self._lib.leat_program_thread_count(self.handle))

    def find(self, name: str) -> Symbol:
        """The symbol `name`; the error names the nearest ones."""
        if name not in self.symbols:
            out = self._ffi.new("uint32_t *")
            check(self._lib.leat_program_find_symbol(self.handle, name.encode(), out))
            raise NotFoundError(f"{self.path} has no symbol {name!r}")
        return self.symbols[name]

    def read(self, symbol: Symbol) -> torch.Tensor:
        """A copy of the symbol."""
        tensor = torch.empty(symbol.shape, dtype=symbol.dtype)
        self._copy(self._lib.leat_program_read, symbol, tensor)
        return tensor

    def read_into(self, symbol: Symbol, tensor: torch.Tensor) -> None:
        """Copies the symbol over `tensor`, a plain one of its shape; its autograd version does not change."""
        self._check_shape(symbol, tensor)
        self._check_host(symbol, tensor)
        if tensor.dtype == symbol.dtype and tensor.is_contiguous():
            self._copy(self._lib.leat_program_read, symbol, tensor)
        else:
            tensor.detach().copy_(self.read(symbol))

    def write(self, symbol: Symbol, tensor: torch.Tensor) -> None:
        """Copies `tensor` to the symbol, converted to its dtype."""
        self._check_shape(symbol, tensor)
        self._check_host(symbol, tensor)
        self._copy(self._lib.leat_program_write, symbol, tensor.detach().to(symbol.dtype).contiguous())
        self.unwritten.discard(symbol.name)

    def check_written(self) -> None:
        """Raises InvalidArgumentError with the names of weights that have no values."""
        missing = sorted(self.unwritten)
        if missing:
            shown = ", ".join(missing[:8]) + (f" and {len(missing) - 8} more" if len(missing) > 8 else "")
            raise InvalidArgumentError(
                f"{shown}: no values on the device. A tensor of device meta is enough to compile; to run, load a "
                "checkpoint (utils.checkpoint.load_sharded_checkpoint), or give the tensors data and call "
                "session.to_rdu(model) or tensor.rdu()"
            )

    def bind(self, symbol: Symbol, address: int) -> None:
        """Points an input or output at host memory of its size, which must stay alive; 0: the device's own."""
        pointer = self._ffi.cast("void *", address)
        with self.turn.lock:
            check(self._lib.leat_program_bind(self.handle, symbol.index, pointer, symbol.data_bytes))

    def _check_host(self, symbol: Symbol, tensor: torch.Tensor) -> None:
        if tensor.device.type != "cpu":
            raise InvalidArgumentError(f"{symbol.name}: the tensor has no data on the host (device {tensor.device})")

    def _check_shape(self, symbol: Symbol, tensor: torch.Tensor) -> None:
        if tuple(tensor.shape) != symbol.shape and tensor.numel() != _numel(symbol.shape):
            raise InvalidArgumentError(
                f"{symbol.name}: the tensor has shape {list(tensor.shape)}, the PEF has {list(symbol.shape)}"
            )

    def _copy(self, function: Any, symbol: Symbol, tensor: torch.Tensor) -> None:
        pointer = self._ffi.cast("void *", tensor.data_ptr())
        with self.turn.lock:
            check(function(self.handle, symbol.index, pointer, symbol.data_bytes))

    def set_hyperparameter(self, symbol: Symbol, value: float) -> None:
        with self.turn.lock:
            check(self._lib.leat_program_set_hyperparameter(self.handle, symbol.index, value))

    def set_profile(self, on: bool) -> None:
        """Starts timing every section from zero, or stops; the times are in `report`."""
        with self.turn.lock:
            check(self._lib.leat_program_set_profile(self.handle, int(on)))

    @property
    def batches(self) -> Any:
        """What the file's loop over batches says: a leat_batches_t."""
        out = self._ffi.new("leat_batches_t *")
        self._lib.leat_program_batches(self.handle, out)
        return out

    def restart_batches(self) -> None:
        """Forgets gradients that wait for an update."""
        with self.turn.lock:
            self._lib.leat_program_restart_batches(self.handle)

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Runs meanwhile are no batches: they take no part in a sum of gradients."""
        self._lib.leat_program_set_aside(self.handle, 1)
        try:
            yield
        finally:
            self._lib.leat_program_set_aside(self.handle, 0)

    @property
    def section_count(self) -> int:
        return int(self._lib.leat_program_section_count(self.handle))

    def run_sections(self, indices: Sequence[int]) -> None:
        with self.turn.lock:
            check(self._lib.leat_program_run_sections(self.handle, list(indices), len(indices)))

    def find_faults(self, types: int) -> tuple[Fault | None, Fault | None]:
        """Runs sections and tells what made the first NaN and the first infinity."""
        found = self._ffi.new("leat_fault_t[2]")
        with self.turn.lock:
            check(self._lib.leat_program_find_faults(self.handle, types, found))
        return self._fault(found[self._lib.LEAT_FAULT_NAN]), self._fault(found[self._lib.LEAT_FAULT_INFINITY])

    def _fault(self, found: Any) -> Fault | None:
        if found.origin == self._ffi.NULL:
            return None
        return Fault(self._ffi.string(found.origin).decode(errors="replace"), bool(found.from_infinity))

    def report(self) -> dict[str, Any]:
        """Sections, symbols and memory."""
        out = self._ffi.new("char **")
        with self.turn.lock:
            check(self._lib.leat_program_report(self.handle, out))
        try:
            return dict(json.loads(self._ffi.string(out[0]).decode()))
        finally:
            self._lib.leat_string_free(out[0])


@functools.cache
def _dtypes() -> Mapping[int, torch.dtype]:
    """The dtypes of torch by their numbers in the file."""
    numbers = enumeration("LEAT_DTYPE_")
    return {numbers[name]: dtype for dtype, name in DTYPE_NAMES.items()}


def _numel(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count
