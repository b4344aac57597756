# SPDX-License-Identifier: Apache-2.0
"""Several batches: N steps in one run (--num-spatial-batches)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import torch

from sambaflow._base.library import InvalidArgumentError, check
from sambaflow._runtime.device import Device
from sambaflow._runtime.runner import FWD, Runner, Slot
from sambaflow._runtime.staging import convert
from sambaflow._tensors.tensor import SambaTensor, plain_tensor, wrap
from sambaflow._trace.port import Port


def make_runner(
    device: Device,
    inputs: Sequence[Port],
    outputs: Sequence[Port],
    traced: Sequence[SambaTensor],
    types: int,
) -> Runner:
    """The runner that the options which the PEF remembers ask for."""
    most = int(device.batches.of_run)
    if most > 1:
        return BatchesRunner(device, inputs, outputs, traced, types, most)
    return Runner(device, inputs, outputs, traced, types)


class BatchesRunner(Runner):
    """Takes up to `batches` batches in one run and makes as many steps of them, in one call of the library.

    Inputs then have several times the traced rows along their batch dim; inputs without batch are shared by all steps.
    Which have a batch, `batch_dim` says; where no input says it, all whose dim 0 is as long as that of the first. The
    last batch may be smaller. Results are those of separate runs: along the batch dim one behind the other; of outputs
    without batch the mean (of integers the sum, of booleans whether any is true). Which dim of an output is the batch,
    the program says (`batch_dim` of what `trace_graph` returned) or the compiler.
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
        shaped = [port for port in inputs if port.shape]
        named = [port for port in shaped if port.batch_dim is not None]
        alike = [port for port in shaped if port.rows == (named or shaped)[0].rows]
        self._batched = {port.name for port in named or alike}  # these have as many batches as each other
        self._may_be_batched = {port.name for port in (*named, *alike)}
        self._taken: dict[str, int] = {}  # batches of each input of the present run that has several
        self._partial = False  # the last forward run was of several batches
        self._merged: Mapping[str, int | None] = {}  # batch dims of the outputs of batches that run one by one
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
        wanted = self._wanted(outputs)
        dims = self._batch_dims(wanted, self._taken)
        self._prepare(hyperparameters, grad_of_outputs)
        stacked = self._run_stacked(wanted, batches, types)
        return tuple(_joined(t._binding.name, s, dims) for t, s in zip(wanted, stacked, strict=True))

    def _run_stacked(self, wanted: Sequence[SambaTensor], batches: int, types: int) -> list[torch.Tensor]:
        """Runs the bound batches; [batches, *traced shape] of each wanted output."""
        self._ran_forward(self)
        stacked = self._bind_stacked(wanted, batches)
        status = self._lib.leat_program_run_batches(
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
        whole, rest, cut = self._split(inputs)
        if whole is None:
            self._partial = False
            return self._run_smaller(rest, outputs, hyperparameters, types, grad_of_outputs)
        self._check_whole(types)
        wanted = self._wanted(outputs)
        dims = self._batch_dims(wanted, cut)
        self._runner_of(rest).check_inputs(rest, types)  # before anything is updated
        batches = self._batches_of(whole, types)
        assert batches is not None
        self._prepare(hyperparameters, grad_of_outputs)
        stacked = self._run_stacked(wanted, batches, types)
        last = self._run_smaller(rest, wanted, hyperparameters, types, grad_of_outputs)
        self._partial = True
        named = zip(wanted, stacked, last, strict=True)
        return tuple(_joined(t._binding.name, s, dims, plain_tensor(r)) for t, s, r in named)

    def run_sections(self, inputs: Any, *arguments: Any, **more: Any) -> tuple[SambaTensor, ...]:
        """Single sections run on one batch."""
        if self._batches_of(inputs, 0) != 1:
            raise InvalidArgumentError("section_ids runs sections on one batch: give inputs with the traced rows")
        return super().run_sections(inputs, *arguments, **more)

    def separate(self, inputs: Any, outputs: Any) -> list[Any]:
        """The inputs of each batch, whose results `merge` will be given."""
        batches = self._batches_of(inputs, FWD)
        if batches is None:
            whole, rest, cut = self._split(inputs)
            if whole is None:
                return [rest]
            separate = [*self.separate(whole, outputs), rest]
            self._merged = self._batch_dims(self._wanted(outputs), cut)
            return separate
        if batches == 1:
            return [inputs]
        self._merged = self._batch_dims(self._wanted(outputs), self._taken)
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
            merged.append(_joined(traced._binding.name, torch.stack(parts), self._merged, last))
        return tuple(merged)

    # ---- inputs

    def _batches_of(self, inputs: Any, types: int) -> int | None:
        """Binds the inputs; how many batches they hold, None where the last of them is smaller."""
        self._taken.clear()
        if not self._bind_inputs(inputs, types):
            return None
        if not self._taken:
            return 1
        counts = {name: self._taken.get(name, 1) for name in (*self._batched, *self._taken)}
        if len(set(counts.values())) > 1:
            raise _uneven("batches", counts)
        return max(counts.values())

    def _fit(self, tensor: torch.Tensor, slot: Slot) -> torch.Tensor | None:
        """Several batches as [batches, *traced shape]."""
        port = slot.port
        rows = port.rows_of(tensor.shape) if port.name in self._may_be_batched else None
        if rows is None or rows <= port.rows:
            return super()._fit(tensor, slot)
        self._check_count(port, rows)
        if rows % port.rows:
            return None
        axis, batches = port.axis, rows // port.rows
        tensor = convert(tensor, dataclasses.replace(port, shape=port.with_rows(rows)), slot.dtype)
        if axis == 0:
            stacked = tensor.reshape(batches, *port.shape)
        else:
            stacked = tensor.unflatten(axis, (batches, port.rows)).movedim(axis, 0).contiguous()
        self._taken[port.name] = batches
        return stacked

    def _check_count(self, port: Port, rows: int) -> None:
        if rows > port.rows * self._most:
            raise InvalidArgumentError(
                f"input {port.name!r} has {rows} rows; the program takes {port.rows} a batch, and with "
                f"--num-spatial-batches {self._most} up to {self._most} batches in a run"
            )

    def _split(self, inputs: Any) -> tuple[list[SambaTensor] | None, Any, set[str]]:
        """The whole batches of inputs whose last one is smaller, that one, and the names of the inputs that were cut;
        (None, inputs, nothing) where it is the only."""
        given = [(slot.port, plain, slot.port.rows_of(plain.shape)) for slot, plain in self._pairs(inputs)]
        rows = {p.name: n for p, _, n in given if n is not None and self._is_cut(p, n)}
        shares = {p.name: Fraction(n, p.rows) for p, _, n in given if n is not None and p.name in rows}
        if not any(share > 1 for share in shares.values()):
            return None, inputs, set()
        if len(set(shares.values())) > 1:
            raise _uneven("rows", rows)
        whole, rest = [], []
        for port, plain, count in given:
            first = last = plain
            if port.name in rows and count is not None:
                left = count % port.rows
                both = plain.reshape(port.with_rows(count))
                first, last = both.narrow(port.axis, 0, count - left), both.narrow(port.axis, count - left, left)
            whole.append(wrap(first, port.name))
            rest.append(wrap(last, port.name))
        return whole, rest, set(rows)

    def _is_cut(self, port: Port, rows: int) -> bool:
        return port.name in self._batched or (port.name in self._may_be_batched and rows != port.rows)

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

    def _batch_dims(self, wanted: Sequence[SambaTensor], inputs: Iterable[str]) -> Mapping[str, int | None]:
        """The batch dim of each wanted output where `inputs` hold several batches; None where it has none.

        InvalidArgumentError where neither the program nor the compiler says it.
        """
        dims: dict[str, int | None] = {}
        for traced in wanted:
            name, rank = str(traced._binding.name), len(self._outputs[traced._binding.name].shape)
            said = traced._binding.batch_dim
            if rank == 0 or said is not None:
                dims[name] = said % rank if rank and said is not None else None
        unsaid = sorted({str(t._binding.name) for t in wanted} - dims.keys())
        if not unsaid:
            return dims
        try:
            if self.other_rows is None:
                raise InvalidArgumentError(f"{self.device.path} was loaded without its model, which tells it")
            return {**self.other_rows.batch_dims(inputs), **dims}
        except InvalidArgumentError as error:
            raise InvalidArgumentError(
                f"several batches in a run: whether {', '.join(unsaid)} has a batch dim is not known: {error}; set "
                "batch_dim of the outputs that trace_graph returned, or run batch by batch"
            ) from error


def _uneven(what: str, counts: Mapping[str, int]) -> InvalidArgumentError:
    listed = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
    verb = "hold" if what == "batches" else "have"
    return InvalidArgumentError(f"the inputs {verb} different numbers of {what}: {listed}")


def _joined(
    name: str, stacked: torch.Tensor, dims: Mapping[str, int | None], last: torch.Tensor | None = None
) -> SambaTensor:
    """The results [batches, *traced shape] of an output, and that of a smaller last batch, as one."""
    dim = dims[name]
    if dim is not None:
        joined = stacked.movedim(0, dim).flatten(dim, dim + 1)
        return wrap(joined if last is None else torch.cat([joined, last], dim), name)
    if last is not None:
        stacked = torch.cat([stacked, last[None]])
    if stacked.is_floating_point():
        return wrap(stacked.mean(0), name)
    return wrap(stacked.any(0) if stacked.dtype == torch.bool else stacked.sum(0, dtype=stacked.dtype), name)
