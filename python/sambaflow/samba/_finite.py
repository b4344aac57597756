# SPDX-License-Identifier: Apache-2.0
"""Stopping at the first NaN or infinity, with the op that made it.

A guarded run is three: forward, a look at the losses, backward, a look at the gradients, the rest; where forward and
backward only run together, both looks come behind them. So parameters are never updated from numbers that are not
finite. Only when a look fails is the origin searched: the traced program is
compiled once more, every op a section of its own, gets the state of the device as it was before the run, and is run
with an eye on every result.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from sambaflow._base.library import LeatError
from sambaflow._runtime.compiler import compile_program
from sambaflow._runtime.device import Device, Fault, Symbol
from sambaflow._runtime.runner import Runner
from sambaflow._runtime.section_types import BCKWD, FWD
from sambaflow._tensors.tensor import SambaTensor, plain_tensor
from sambaflow._trace.program import Program
from sambaflow.samba import _state as state


class NotFiniteError(LeatError, FloatingPointError):
    """A loss or a gradient is NaN or infinite; the message names the op that it came from."""


# The symbols that a run reads, beside state.
_READ = ("INPUT", "PARAMETER", "BUFFER", "SEED", "HYPERPARAMETER")


class FiniteGuard:
    """Runs a loaded program and stops where its losses or gradients are not finite."""

    def __init__(self, runner: Runner, programs: Mapping[Device, Program]) -> None:
        """`programs`: what devices were compiled from, where that is known."""
        self._main, self._runner, self._programs = runner.device, runner, programs
        self._losses = [t for t in runner.traced if getattr(t._binding, "seed", "zero") != "zero"]
        self._losses = self._losses or [t for t in runner.traced if t.dtype.is_floating_point]
        self._buffers = self._main.of_kind("BUFFER")
        self._runs = 0

    @property
    def _device(self) -> Device:
        """The device of the last forward pass."""
        return self._runner.latest.device

    def run(
        self,
        inputs: Any,
        outputs: Any,
        hyperparameters: Mapping[str, float] | None,
        section_types: Any,
        grad_of_outputs: Sequence[torch.Tensor] | None,
    ) -> tuple[SambaTensor, ...]:
        """As Runner.run; NotFiniteError before anything is updated. Several batches run one by one."""
        types = self._runner.types_of(section_types)
        batches = self._runner.separate(inputs, outputs)
        results = [self._run_batch(b, outputs, hyperparameters, types, grad_of_outputs) for b in batches]
        return self._runner.merge(results, outputs)

    def _run_batch(
        self,
        inputs: Any,
        outputs: Any,
        hyperparameters: Mapping[str, float] | None,
        types: int,
        grad_of_outputs: Sequence[torch.Tensor] | None,
    ) -> tuple[SambaTensor, ...]:
        self._runs += 1
        before = {s.name: self._main.read(s) for s in self._buffers}
        random = state.random_state(self._main)
        results = None
        forward = self._runner.forward_types(inputs, types) if types & FWD else 0
        for part in (forward, BCKWD & types & ~forward, types & ~(FWD | BCKWD) & ~forward):
            if not part:
                continue
            done = self._runner.run_types(inputs, self._wanted(outputs), hyperparameters, part, grad_of_outputs)
            results = done if results is None else results
            if part & FWD:
                self._check(self._bad_losses(done), FWD, before, random)
            if part & BCKWD:
                self._check(self._bad_gradients(), types & (FWD | BCKWD) | FWD, before, random)
        assert results is not None
        return results[: len(results) - len(self._losses)]

    def _wanted(self, outputs: Any) -> tuple[Any, ...]:
        """The outputs asked for, and after them the losses."""
        asked = (outputs,) if isinstance(outputs, torch.Tensor) else self._runner.traced if outputs is None else outputs
        return (*asked, *self._losses)

    # ---- looking

    def _bad_losses(self, results: Sequence[SambaTensor]) -> list[str]:
        found = results[len(results) - len(self._losses) :]
        named = zip(self._losses, found, strict=True)
        return [f"{t.sn_name} is {_kind(v)}" for t, v in named if not bool(torch.isfinite(plain_tensor(v)).all())]

    def _bad_gradients(self) -> list[str]:
        bad = []
        device = self._device
        for symbol in device.of_kind("GRADIENT"):
            value = device.read(symbol)
            if symbol.dtype.is_floating_point and not bool(torch.isfinite(value).all()):
                bad.append(f"the gradient {symbol.name} is {_kind(value)}")
        return bad

    def _check(
        self, bad: Sequence[str], types: int, buffers: Mapping[str, torch.Tensor], random: torch.Tensor | None
    ) -> None:
        if not bad:
            return
        more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
        for symbol in self._buffers:
            self._main.write(symbol, buffers[symbol.name])
        state.write_random_state(self._main, random)
        self._runner.discard()
        raise NotFiniteError(
            f"run {self._runs}: {bad[0]}{more}; {self._origin(types)}. Parameters, buffers and optimizer state are as "
            "before this run"
        )

    # ---- searching

    def _origin(self, types: int) -> str:
        given = self._not_finite_before()
        if given:
            return f"no op made it: {', '.join(given)} already"
        nan, infinity = self._faults(types)
        if nan is not None and not nan.from_infinity:
            return f"the first NaN was made by {nan.origin}"
        if infinity is not None:
            then = f", out of which {nan.origin} made a NaN" if nan is not None else ""
            return f"the first infinity was made by {infinity.origin}{then}"
        if nan is not None:
            return f"the first NaN was made by {nan.origin} out of infinities"
        return "no single op makes it when the ops are run one by one"

    def _not_finite_before(self) -> list[str]:
        """Symbols that a run starts from and that hold NaN or infinity, as `x is nan`."""
        found = []
        for kind, symbol in self._read_symbols():
            value = self._device.read(symbol)
            if symbol.dtype.is_floating_point and not bool(torch.isfinite(value).all()):
                found.append(f"{kind.lower()} {symbol.name} is {_kind(value)}")
        return found

    def _faults(self, types: int) -> tuple[Fault | None, Fault | None]:
        """The first op that makes a NaN out of none, and the first that makes an infinity out of finite numbers."""
        program = self._programs.get(self._device)
        if program is None:  # loaded from a PEF alone: sections as they are
            return self._device.find_faults(types)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "single-ops.pef")
            inference = not self._device.section_types & BCKWD
            compile_program(program, path, inference=inference, single_ops=True)
            single = Device(path)
            for _, symbol in self._read_symbols():
                if symbol.name in single.symbols:
                    single.write(single.symbols[symbol.name], self._device.read(symbol))
            return single.find_faults(types)

    def _read_symbols(self) -> list[tuple[str, Symbol]]:
        """What a run reads, and its kind."""
        symbols = [(kind, symbol) for kind in _READ for symbol in self._device.of_kind(kind)]
        return symbols + [("STATE", symbol) for symbol in self._device.kept_states()]


def _kind(value: torch.Tensor) -> str:
    plain = plain_tensor(value)
    return "nan" if bool(plain.isnan().any()) else "infinite"
