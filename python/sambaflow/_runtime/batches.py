# SPDX-License-Identifier: Apache-2.0
"""Several batches: N steps in one run (--num-spatial-batches), or one update for N runs (--grad-accumulation-steps)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from sambaflow._base.library import InvalidArgumentError, check
from sambaflow._runtime.device import Device
from sambaflow._runtime.runner import BCKWD, FWD, Runner, Slot
from sambaflow._runtime.staging import batch_axis, convert, rows_of, with_rows
from sambaflow._tensors.tensor import SambaTensor, plain_tensor, wrap
from sambaflow._trace.program import Port


def make_runner(
    device: Device,
    inputs: Sequence[Port],
    outputs: Sequence[Port],
    traced: Sequence[SambaTensor],
    types: int,
) -> Runner:
    """The runner that the options which the PEF remembers ask for."""
    compiled = device.metadata.get("leat", {})
    if compiled.get("num_spatial_batches", 1) > 1:
        return BatchesRunner(device, inputs, outputs, traced, types, compiled["num_spatial_batches"])
    if compiled.get("grad_accumulation_steps", 1) > 1:
        return AccumulatingRunner(device, inputs, outputs, traced, types, compiled["grad_accumulation_steps"])
    return Runner(device, inputs, outputs, traced, types)


class BatchesRunner(Runner):
    """Takes up to `batches` batches in one run and makes as many steps of them, in one call of the library.

    Inputs then have several times the traced rows along their batch dim (`batch_dim`, else dim 0); inputs without
    batch are shared by all steps. The last batch may be smaller. Results are those of separate runs: along the batch
    dim one behind the other; of outputs without batch the mean (of integers the sum, of booleans whether any is true).
    """

    def __init__(
        self,
        device: Device,
        inputs: Sequence[Port],
        outputs: Sequence[Port],
        traced: Sequence[SambaTensor],
        types: int,
        batches: int,
    ) -> None:
        super().__init__(device, inputs, outputs, traced, types)
        self._most = batches
        shaped = [p for p in inputs if p.shape]
        first = next((p for p in shaped if p.batch_dim is not None), shaped[0] if shaped else None)
        self._axis = batch_axis(first) if first is not None else 0
        self._rows = first.shape[self._axis] if first is not None else 0
        self._batched = {p.name for p in shaped if p.shape[batch_axis(p)] == self._rows}
        self._taken: dict[str, int] = {}  # batches of each input of the present run that has several
        self._partial = False  # the last forward run was of several batches
        self._steps = self._ffi.new("size_t[]", max(1, self._count))

    def run_types(
        self,
        inputs: Any,
        outputs: Any,
        hyperparameters: Mapping[str, float] | None,
        types: int,
        grad_of_outputs: Sequence[torch.Tensor] | None = None,
    ) -> tuple[SambaTensor, ...]:
        """As `Runner.run_types`, with inputs of one or several batches."""
        batches = self._batches_of(inputs, types)
        if batches is None:
            return self._run_uneven(inputs, outputs, hyperparameters, types, grad_of_outputs)
        if batches > 1 or (self._partial and not types & FWD):
            self._check_whole(types)
        self._partial = batches > 1
        if batches == 1:
            return super().run_types(inputs, outputs, hyperparameters, types, grad_of_outputs)
        self._prepare(hyperparameters, grad_of_outputs)
        wanted = self._wanted(outputs)
        stacked = self._run_stacked(wanted, batches, types)
        return tuple(self._joined(t._binding.name, s) for t, s in zip(wanted, stacked, strict=True))

    def _run_stacked(self, wanted: Sequence[SambaTensor], batches: int, types: int) -> list[torch.Tensor]:
        """Runs the bound batches; [batches, *traced shape] of each wanted output."""
        self._ran_forward(self)
        stacked = self._bind_stacked(wanted, batches)
        status = self._lib.leat_program_repeat(
            self.device.handle, self._symbols, self._pointers, self._steps, self._count, types, batches
        )
        check(status)
        return [plain_tensor(tensor) for tensor in stacked]

    def _run_uneven(
        self,
        inputs: Any,
        outputs: Any,
        hyperparameters: Mapping[str, float] | None,
        types: int,
        grad_of_outputs: Sequence[torch.Tensor] | None,
    ) -> tuple[SambaTensor, ...]:
        """As `run_types`, where the last batch, or the only one, is smaller."""
        whole, rest = self._split(inputs)
        if whole is None:
            self._partial = False
            return self._run_smaller(rest, outputs, hyperparameters, types, grad_of_outputs)
        self._check_whole(types)
        wanted = self._wanted(outputs)
        self._runner_of(rest).check_inputs(rest, types)  # before anything is updated
        batches = self._batches_of(whole, types)
        assert batches is not None
        self._prepare(hyperparameters, grad_of_outputs)
        stacked = self._run_stacked(wanted, batches, types)
        last = self._run_smaller(rest, wanted, hyperparameters, types, grad_of_outputs)
        self._partial = True
        named = zip(wanted, stacked, last, strict=True)
        return tuple(self._joined(t._binding.name, s, plain_tensor(r)) for t, s, r in named)

    def run_sections(self, inputs: Any, *arguments: Any, **more: Any) -> tuple[SambaTensor, ...]:
        """Single sections run on one batch."""
        if self._batches_of(inputs, 0) != 1:
            raise InvalidArgumentError("section_ids runs sections on one batch: give inputs with the traced rows")
        return super().run_sections(inputs, *arguments, **more)

    def separate(self, inputs: Any) -> list[Any]:
        """The inputs of each batch."""
        batches = self._batches_of(inputs, FWD)
        if batches is None:
            whole, rest = self._split(inputs)
            return [rest] if whole is None else [*self.separate(whole), rest]
        if batches == 1:
            return [inputs]
        bound = {name: self._alive[slot.place] for name, slot in self._inputs.items()}
        return [
            [wrap(t[batch] if name in self._taken else t, name) for name, t in bound.items()]
            for batch in range(batches)
        ]

    def merge(self, results: Sequence[tuple[SambaTensor, ...]], outputs: Any) -> tuple[SambaTensor, ...]:
        """What one run of all batches returns, from the results of each."""
        if len(results) == 1:
            return results[0]
        merged = []
        for traced, each in zip(self._wanted(outputs), zip(*results, strict=True), strict=True):
            parts = [plain_tensor(tensor) for tensor in each]
            last = parts.pop() if parts[-1].shape != parts[0].shape else None
            merged.append(self._joined(traced._binding.name, torch.stack(parts), last))
        return tuple(merged)

    # ---- inputs

    def _batches_of(self, inputs: Any, types: int) -> int | None:
        """Binds the inputs; how many batches they hold, None where the last of them is smaller."""
        self._taken.clear()
        if not self._bind_inputs(inputs, types):
            return None
        if not self._taken:
            return 1
        counts = {name: self._taken.get(name, 1) for name in self._batched}
        if len(set(counts.values())) > 1:
            listed = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
            raise InvalidArgumentError(f"the inputs hold different numbers of batches: {listed}")
        return max(counts.values())

    def _fit(self, tensor: torch.Tensor, slot: Slot) -> torch.Tensor | None:
        """Several batches as [batches, *traced shape]."""
        port = slot.port
        rows = rows_of(tensor.shape, port) if port.name in self._batched else None
        if rows is None or rows <= self._rows:
            return super()._fit(tensor, slot)
        self._check_count(port, rows)
        if rows % self._rows:
            return None
        axis, batches = batch_axis(port), rows // self._rows
        tensor = convert(tensor, dataclasses.replace(port, shape=with_rows(port, rows)), slot.dtype)
        if axis == 0:
            stacked = tensor.reshape(batches, *port.shape)
        else:
            stacked = tensor.unflatten(axis, (batches, self._rows)).movedim(axis, 0).contiguous()
        self._taken[port.name] = batches
        return stacked

    def _check_count(self, port: Port, rows: int) -> None:
        if rows > self._rows * self._most:
            raise InvalidArgumentError(
                f"input {port.name!r} has {rows} rows; the program takes {self._rows} a batch, and with "
                f"--num-spatial-batches {self._most} up to {self._most} batches in a run"
            )

    def _split(self, inputs: Any) -> tuple[list[SambaTensor] | None, Any]:
        """The whole batches of inputs whose last one is smaller, and that one; (None, inputs) where it is the only."""
        given = [(slot.port, plain, rows_of(plain.shape, slot.port)) for slot, plain in self._pairs(inputs)]
        counts = {port.name: rows for port, _, rows in given if port.name in self._batched}
        if not any(rows is not None and rows > self._rows for rows in counts.values()):
            return None, inputs
        if len(set(counts.values())) > 1:
            listed = ", ".join(f"{name} {rows}" for name, rows in counts.items())
            raise InvalidArgumentError(f"the inputs have different numbers of rows: {listed}")
        whole, rest = [], []
        for port, plain, rows in given:
            first = last = plain
            if port.name in counts and rows is not None:
                axis, left = batch_axis(port), rows % self._rows
                both = plain.reshape(with_rows(port, rows))
                first, last = both.narrow(axis, 0, rows - left), both.narrow(axis, rows - left, left)
            whole.append(wrap(first, port.name))
            rest.append(wrap(last, port.name))
        return whole, rest

    def _check_whole(self, types: int) -> None:
        """Values between sections are those of the last batch, so backward cannot follow in a call of its own."""
        if not types & FWD:
            raise InvalidArgumentError(
                "a run of several batches (--num-spatial-batches) makes whole steps: name all its section types in one "
                "call, the forward pass with them"
            )

    # ---- outputs

    def _bind_stacked(self, wanted: Sequence[SambaTensor], batches: int) -> tuple[SambaTensor, ...]:
        """Fresh storage of all batches for each wanted output; how far each symbol moves from step to step."""
        slots = list(self._outputs.values())
        single = [slot.template for slot in slots]
        for slot in slots:
            slot.template = torch.empty((batches, *slot.shape), dtype=slot.dtype)
        try:
            results = self._bind_outputs(wanted)
        finally:
            for slot, template in zip(slots, single, strict=True):
                slot.template = template
        for slot in (*self._inputs.values(), *slots):
            moves = slot.port.name in self._taken or slot.port.name in self._outputs
            self._steps[slot.place] = slot.symbol.data_bytes if moves else 0
        return results

    def _joined(self, name: str, stacked: torch.Tensor, last: torch.Tensor | None = None) -> SambaTensor:
        """The results [batches, *traced shape] of an output, and that of a smaller last batch, as one."""
        axis = self._output_axis(stacked.shape[1:])
        if axis is not None:
            joined = stacked.movedim(0, axis).flatten(axis, axis + 1)
            return wrap(joined if last is None else torch.cat([joined, last], axis), name)
        if last is not None:
            stacked = torch.cat([stacked, last[None]])
        if stacked.is_floating_point():
            return wrap(stacked.mean(0), name)
        return wrap(stacked.any(0) if stacked.dtype == torch.bool else stacked.sum(0, dtype=stacked.dtype), name)

    def _output_axis(self, shape: torch.Size) -> int | None:
        """The batch dim of an output: where the inputs have theirs, else the first whose extent follows the rows."""
        if len(shape) > self._axis and shape[self._axis] == self._rows:
            return self._axis
        if shape and self._rows and shape[0] % self._rows == 0:
            return 0
        return next((axis for axis, size in enumerate(shape) if size == self._rows), None)


class AccumulatingRunner(Runner):
    """Adds up the gradients of `batches` runs; only the last of them updates parameters, with the mean.

    A run that has a backward pass counts as one batch. Section types of the update (gradnorm, opt) that are asked for
    before the last batch are left out.
    """

    def __init__(
        self,
        device: Device,
        inputs: Sequence[Port],
        outputs: Sequence[Port],
        traced: Sequence[SambaTensor],
        types: int,
        batches: int,
    ) -> None:
        super().__init__(device, inputs, outputs, traced, types)
        self._batches = batches
        self._summed = 0  # batches so far; all of them: the gradients are the mean and the update may run

    @property
    def pending_batches(self) -> tuple[int, int]:
        """(batches summed up since the last update, batches of an update)."""
        return self._summed % self._batches, self._batches

    def discard(self) -> None:
        """Forgets the gradients summed up so far."""
        self._summed = 0

    def run_types(
        self,
        inputs: Any,
        outputs: Any,
        hyperparameters: Mapping[str, float] | None,
        types: int,
        grad_of_outputs: Sequence[torch.Tensor] | None = None,
    ) -> tuple[SambaTensor, ...]:
        """As `Runner.run_types`; sections of the update run with the last batch alone."""
        update = types & ~(FWD | BCKWD)
        results = super().run_types(inputs, outputs, hyperparameters, types & ~update, grad_of_outputs)
        self._finish(types & BCKWD, update)
        return results

    def run_again(self, section_types: Iterable[str] | None = None) -> None:
        """As `Runner.run_again`; sections of the update run with the last batch alone."""
        types = self.types_of(section_types)
        if types & (FWD | BCKWD):
            check(self._lib.leat_program_run(self.latest.device.handle, types & (FWD | BCKWD)))
        self._finish(types & BCKWD, types & ~(FWD | BCKWD))

    def _finish(self, backward: int, update: int) -> None:
        if backward:
            self._summed = self._summed % self._batches
            check(self._lib.leat_program_accumulate(self.device.handle, self._summed, self._batches))
            self._summed += 1
        if update and self._summed == self._batches:
            check(self._lib.leat_program_run(self.device.handle, update))
            self._summed = 0
