# SPDX-License-Identifier: Apache-2.0
"""One step of a loaded program: bind inputs and fresh outputs, run sections.

This is the path that every training step takes, so it touches nothing but plain tensors and small objects prepared
at load: no attribute of a tensor subclass but `_binding`, no lookup in the library, one C call. What does not fit as
it is (dtype, layout, shape) goes through `staging.convert`; a smaller batch goes to a runner of its own. Inputs may
hold as many batches as the file takes in a run, each a trip of its loop over batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

import torch

from sambaflow._base.library import InvalidArgumentError, check, hyperparameters, library
from sambaflow._runtime.batches import Batches, joined
from sambaflow._runtime.device import Device, Symbol
from sambaflow._runtime.output_gradients import OutputGradients
from sambaflow._runtime.section_types import FWD, SECTION_TYPES, bits_of
from sambaflow._runtime.staging import check_dtype, convert, smaller_batch
from sambaflow._tensors.spare import SPARE_BYTES_MIN, SpareMemory
from sambaflow._tensors.tensor import SambaTensor, plain_tensor, wrap
from sambaflow._trace.port import Port

_empty_like = torch.empty_like


class Slot:
    """An input or output, and its place in the arrays given to the library."""

    __slots__ = ("bit", "dtype", "place", "port", "shape", "spare", "symbol", "template")

    def __init__(self, place: int, symbol: Symbol, port: Port) -> None:
        self.place, self.symbol, self.port = place, symbol, port
        self.bit, self.dtype, self.shape = 1 << place, symbol.dtype, torch.Size(symbol.shape)
        self.template = torch.empty(self.shape, dtype=self.dtype)  # never written: costs address space only
        self.spare = SpareMemory() if self.template.nbytes >= SPARE_BYTES_MIN else None


def ports_of(device: Device) -> tuple[list[Port], list[Port]]:
    """Inputs and outputs of a PEF as the file itself describes them."""
    inputs = [Port(s.name, s.dtype, s.shape) for s in device.of_kind("INPUT")]
    seeds = {s.name: "one" if device.of(s.name, "seed") is None else "symbol" for s in device.of_kind("OUTPUT")}
    return inputs, [Port(s.name, s.dtype, s.shape, seed=seeds[s.name]) for s in device.of_kind("OUTPUT")]


@dataclass(frozen=True)
class Several:
    """Inputs of several batches, the whole ones of them bound: how many these are, which inputs hold them, and what is
    left over as a smaller batch (None: nothing)."""

    count: int
    cut: frozenset[str]
    rest: list[SambaTensor] | None = None


class OtherRows(Protocol):
    """What a runner asks of the model that its program was traced from (other_rows.py)."""

    def runner(self, whole: Runner, rows: Mapping[str, int]) -> Runner:
        """The runner beside `whole` where the inputs named in `rows` have so many."""

    def batch_dims(self, inputs: Iterable[str]) -> Mapping[str, int | None]:
        """The dim of each output that follows the rows of `inputs`; None: there is none."""


class Runner:
    """Runs a loaded program on host tensors."""

    def __init__(
        self, device: Device, inputs: Sequence[Port], outputs: Sequence[Port], traced: Sequence[SambaTensor], types: int
    ) -> None:
        self.device = device
        self.traced = tuple(traced)
        self._ffi, self._lib = library().ffi, library().lib
        self._default_types = types
        self._type_masks: dict[Any, int] = {None: types}
        self._inputs = self._make_slots(inputs, 0)
        self._outputs = self._make_slots(outputs, len(inputs))
        self._output_bits = self._bits_of_outputs()
        self._enabled = -1
        self._bound = 0
        self._all_inputs = (1 << len(inputs)) - 1
        self._alive: list[Any] = [None] * (len(inputs) + len(outputs))
        slots = [*self._inputs.values(), *self._outputs.values()]
        self._symbols = self._ffi.new("uint32_t[]", [slot.symbol.index for slot in slots] or [0])
        self._pointers = self._ffi.new("void *[]", max(1, len(slots)))
        self._addresses = self._ffi.cast("uintptr_t *", self._pointers)
        self._count = len(slots)
        self.hyperparameters: dict[str, float] = {}  # as runs have set them
        self._output_gradients = OutputGradients(device, self.traced)
        self.other_rows: OtherRows | None = None  # None: the model is not known
        self._latest: Runner | None = None  # that of the last forward pass, where it was of a smaller batch
        most = int(device.batches.of_run)
        self._batches = Batches(inputs, most) if most > 1 else None
        self._steps = self._ffi.new("size_t[]", max(1, self._count)) if most > 1 else None
        self._ran_several = False  # the last forward run was of several batches
        self._merged: Mapping[str, int | None] = {}  # batch dims of the outputs of batches that run one by one

    def _make_slots(self, ports: Sequence[Port], first: int) -> dict[str, Slot]:
        return {p.name: Slot(first + i, self.device.find(p.name), p) for i, p in enumerate(ports)}

    def _bits_of_outputs(self) -> dict[str, int]:
        return {symbol.name: 1 << i for i, symbol in enumerate(self.device.of_kind("OUTPUT"))}

    # ---- one step

    def run(
        self,
        inputs: Any,
        outputs: Any = None,
        hyperparameters: Mapping[str, float] | None = None,
        section_types: Iterable[str] | None = None,
        grad_of_outputs: Sequence[torch.Tensor] | None = None,
    ) -> tuple[SambaTensor, ...]:
        """Runs the sections of `section_types` (all of them unless given); the values of `outputs`, in order."""
        return self.run_types(inputs, outputs, hyperparameters, self.types_of(section_types), grad_of_outputs)

    def run_aside(
        self, inputs: Any, outputs: Any, hyperparameters: Mapping[str, float] | None, section_types: Iterable[str]
    ) -> tuple[SambaTensor, ...]:
        """As `run`, for a look at one batch: it takes no part in a sum of gradients."""
        with self.device.aside():
            return self.run_types(inputs, outputs, hyperparameters, self.types_of(section_types))

    def types_of(self, section_types: Iterable[str] | None) -> int:
        """Section types as bits; None: what a run without section types runs."""
        return self._default_types if section_types is None else self._mask(section_types)

    def run_types(
        self,
        inputs: Any,
        outputs: Any,
        hyperparameters: Mapping[str, float] | None,
        types: int,
        grad_of_outputs: Sequence[torch.Tensor] | None = None,
    ) -> tuple[SambaTensor, ...]:
        """As `run`, with section types as bits."""
        if self._batches is not None:
            several = self._several(inputs, types)
            if several is not None:
                return self._run_several(several, outputs, hyperparameters, types, grad_of_outputs)
            if self._ran_several and not types & FWD:
                raise _no_whole_step()
            self._ran_several = False
        if not self._bind_inputs(inputs, types):
            return self._run_smaller(inputs, outputs, hyperparameters, types, grad_of_outputs)
        if self._latest is not None and not types & FWD:
            return self._continue_smaller(inputs, outputs, hyperparameters, types, grad_of_outputs)
        self._prepare(hyperparameters, grad_of_outputs)
        if not types & FWD:
            return self._run_rest(outputs, types)
        if self._latest is not None:
            self._ran_forward(self)
        results = self._bind_outputs(self.traced if outputs is None else outputs)
        status = self._lib.leat_program_step(self.device.handle, self._symbols, self._pointers, self._count, types)
        if status:
            check(status)
        return results

    def forward_types(self, inputs: Any, types: int) -> int:
        """Those of `types` that a forward pass on these inputs, whole or smaller, has to run with it."""
        runner = self if self._bind_inputs(inputs, types) else self._runner_of(inputs)
        return runner.device.forward_types & types

    def check_inputs(self, inputs: Any, types: int) -> None:
        """Raises what a run of `types` on `inputs` would raise because of them, without running."""
        self._bind_inputs(inputs, types)
        for slot in self._inputs.values():
            self.device.bind(slot.symbol, int(self._addresses[slot.place]))
        check(self._lib.leat_program_check(self.device.handle, types))

    def _prepare(
        self, hyperparameters: Mapping[str, float] | None, grad_of_outputs: Sequence[torch.Tensor] | None
    ) -> None:
        if hyperparameters:
            self.set_hyperparameters(hyperparameters)
        if self._output_gradients.any or grad_of_outputs is not None:
            self._output_gradients.give(grad_of_outputs)

    def run_sections(
        self,
        inputs: Any,
        outputs: Any,
        hyperparameters: Mapping[str, float] | None,
        section_ids: Iterable[int],
        grad_of_outputs: Sequence[torch.Tensor] | None = None,
    ) -> tuple[SambaTensor, ...]:
        """Runs single sections by their number in the PEF, in the order given; those of a loop together, all of them.

        Outputs live on the device between such runs; what is returned are copies of what it has of them at the end.
        """
        chosen = [int(index) for index in section_ids]
        count = self.device.section_count
        wrong = [index for index in chosen if not 0 <= index < count]
        if wrong:
            raise InvalidArgumentError(f"there is no section {wrong[0]}: {self.device.path} has {count}")
        if self._batches is not None and self._several(inputs, 0) is not None:
            raise InvalidArgumentError("section_ids runs sections on one batch: give inputs with the traced rows")
        if not self._bind_inputs(inputs, 0):
            raise InvalidArgumentError("section_ids runs sections on one whole batch: give inputs with the traced rows")
        self._prepare(hyperparameters, grad_of_outputs)
        self._ran_forward(self)
        self._enable(sum(self._output_bits[name] for name in self._outputs))
        for slot in self._outputs.values():
            self._addresses[slot.place] = 0
            self._alive[slot.place] = None
        for slot in (*self._inputs.values(), *self._outputs.values()):
            self.device.bind(slot.symbol, int(self._addresses[slot.place]))
        self.device.run_sections(chosen)
        return tuple(wrap(self.device.read(self._outputs[t._binding.name].symbol)) for t in self._wanted(outputs))

    @property
    def section_names(self) -> list[str]:
        """The section types that a run without `section_types` runs."""
        return [name for name, bit in SECTION_TYPES.items() if self._default_types & bit]

    def run_again(self, section_types: Iterable[str] | None = None) -> None:
        """Repeats sections on the inputs and outputs that the last run bound: of several batches, the last."""
        if self._latest is not None:
            return self._latest.run_again(section_types)
        types = self.types_of(section_types)
        check(self._lib.leat_program_run(self.device.handle, types))

    # ---- a smaller batch

    @property
    def latest(self) -> Runner:
        """The runner of the last forward pass: this one, or that of a smaller batch."""
        return self if self._latest is None else self._latest

    def _ran_forward(self, runner: Runner) -> None:
        self._latest = None if runner is self else runner
        self.device.latest = runner.device

    def _refuse_smaller(self, rows: Mapping[str, int]) -> NoReturn:
        listed = ", ".join(f"{n} has {count} of {self._inputs[n].port.rows} rows" for n, count in rows.items())
        raise InvalidArgumentError(
            f"{listed}; {self.device.path} was loaded without its model, which another number of rows needs: give "
            "whole batches (DataLoader(drop_last=True)), or load it with samba.utils.trace_graph"
        )

    def _run_smaller(self, inputs: Any, outputs: Any, *arguments: Any) -> tuple[SambaTensor, ...]:
        """As `run_types`, on a batch with fewer rows than were traced."""
        runner = self._runner_of(inputs)
        if runner is not self._latest and not arguments[1] & FWD:
            raise InvalidArgumentError("the last forward pass had other rows: run forward with these inputs first")
        results = runner.run_types(inputs, self.traced if outputs is None else outputs, *arguments)
        self._ran_forward(runner)
        return results

    def _runner_of(self, inputs: Any) -> Runner:
        """The runner for the rows that `inputs` have."""
        shapes = {}
        for slot, plain in self._pairs(inputs):
            check_dtype(plain, slot.port, slot.dtype)
            shapes[slot.port] = plain.shape
        rows = smaller_batch(shapes)
        if self.other_rows is None:
            self._refuse_smaller(rows)
        return self.other_rows.runner(self, rows)

    def _continue_smaller(self, inputs: Any, outputs: Any, *arguments: Any) -> tuple[SambaTensor, ...]:
        """Sections after the forward pass of a smaller batch."""
        assert self._latest is not None
        if any(True for _ in self._pairs(inputs)):
            raise InvalidArgumentError("the last forward pass had other rows: run forward with these inputs first")
        return self._latest.run_types((), self.traced if outputs is None else outputs, *arguments)

    def _pairs(self, inputs: Any) -> Iterator[tuple[Slot, torch.Tensor]]:
        """The inputs with their slots."""
        listed = inputs if type(inputs) in (list, tuple) else _listed(inputs)
        for tensor in listed:
            if tensor is None:
                continue
            binding = getattr(tensor, "_binding", None)
            slot = self._inputs.get(binding.region or binding.name) if binding is not None else None
            if slot is not None:
                yield slot, binding.plain
            elif isinstance(tensor, (list, tuple, Mapping)):
                yield from self._pairs(_listed(inputs))
                return
            else:
                yield self._identify(tensor, inputs)

    # ---- batches

    @property
    def pending_batches(self) -> tuple[int, int]:
        """(batches whose gradients wait for an update, batches of an update)."""
        batches = self.device.batches
        return int(batches.waiting), int(batches.of_update)

    def discard(self) -> None:
        """Forgets gradients that wait for an update."""
        self.device.restart_batches()

    def separate(self, inputs: Any, outputs: Any) -> list[Any]:
        """The inputs of each batch that `inputs` hold, whose results `merge` will be given."""
        several = None if self._batches is None else self._several(inputs, FWD)
        if self._batches is None or several is None:
            return [inputs]
        self._merged = self._batch_dims(self._wanted(outputs), several.cut)
        bound, taken = {name: self._alive[slot.place] for name, slot in self._inputs.items()}, self._batches.taken
        batches: list[Any] = [
            [wrap(t[batch] if name in taken else t, name) for name, t in bound.items()]
            for batch in range(several.count)
        ]
        return batches if several.rest is None else [*batches, several.rest]

    def merge(self, results: Sequence[tuple[SambaTensor, ...]], outputs: Any) -> tuple[SambaTensor, ...]:
        """What one run of all batches returns, from the results of each."""
        if len(results) == 1:
            return results[0]
        merged = []
        for traced, each in zip(self._wanted(outputs), zip(*results, strict=True), strict=True):
            parts = [plain_tensor(tensor) for tensor in each]
            last = parts.pop() if parts[-1].shape != parts[0].shape else None
            name = traced._binding.name
            merged.append(joined(name, torch.stack(parts), self._merged[name], last))
        return tuple(merged)

    def _several(self, inputs: Any, types: int) -> Several | None:
        """Binds the inputs; None where they are one batch, or a smaller one."""
        assert self._batches is not None
        self._batches.taken.clear()
        if self._bind_inputs(inputs, types):
            count = self._batches.count()
            return Several(count, frozenset(self._batches.taken)) if count > 1 else None
        cut = self._batches.split((slot.port, plain) for slot, plain in self._pairs(inputs))
        if cut is None:
            return None
        whole, rest, names = cut
        self._batches.taken.clear()
        self._bind_inputs(whole, types)
        return Several(self._batches.count(), frozenset(names), rest)

    def _run_several(
        self, several: Several, outputs: Any, hyperparameters: Mapping[str, float] | None, types: int, grads: Any
    ) -> tuple[SambaTensor, ...]:
        """Runs the bound batches as trips of the file's loop, then the smaller one."""
        if not types & FWD:
            raise _no_whole_step()
        wanted = self._wanted(outputs)
        dims = self._batch_dims(wanted, several.cut)
        if several.rest is not None:
            self._runner_of(several.rest).check_inputs(several.rest, types)  # before anything is updated
        self._prepare(hyperparameters, grads)
        self._ran_forward(self)
        stacked = [plain_tensor(tensor) for tensor in self._bind_stacked(wanted, several.count)]
        status = self._lib.leat_program_run_batches(
            self.device.handle, self._symbols, self._pointers, self._steps, self._count, types, several.count
        )
        check(status)
        last: Sequence[torch.Tensor | None] = [None] * len(wanted)
        if several.rest is not None:
            last = [plain_tensor(t) for t in self._run_smaller(several.rest, wanted, hyperparameters, types, grads)]
        self._ran_several = True
        names = [traced._binding.name for traced in wanted]
        return tuple(joined(n, s, dims[n], r) for n, s, r in zip(names, stacked, last, strict=True))

    def _bind_stacked(self, wanted: Sequence[SambaTensor], batches: int) -> tuple[SambaTensor, ...]:
        """Fresh storage of all batches for each wanted output; how far each symbol moves from batch to batch."""
        assert self._batches is not None and self._steps is not None
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
            moves = slot.port.name in self._batches.taken or slot.port.name in self._outputs
            self._steps[slot.place] = slot.symbol.data_bytes if moves else 0
        return results

    def _batch_dims(self, wanted: Sequence[SambaTensor], inputs: Iterable[str]) -> Mapping[str, int | None]:
        """The batch dim of each wanted output where `inputs` hold several batches; None where it has none: the program
        says it (`batch_dim` of what `trace_graph` returned), or the compiler. InvalidArgumentError where neither does.
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

    # ---- binding

    def _bind_inputs(self, inputs: Any, types: int) -> bool:
        """Points the program at the inputs; False where they are a smaller batch, which this program cannot run."""
        slots, addresses, alive = self._inputs, self._addresses, self._alive
        whole = True
        bound = 0
        for tensor in inputs if type(inputs) in (list, tuple) else _listed(inputs):
            if tensor is None:
                continue
            binding = getattr(tensor, "_binding", None)
            slot = slots.get(binding.region or binding.name) if binding is not None else None
            if slot is None:
                if isinstance(tensor, (list, tuple, Mapping)):
                    return self._bind_inputs(_listed(inputs), types)
                slot, plain = self._identify(tensor, inputs)
            else:
                plain = binding.plain
            if plain.dtype is not slot.dtype or plain.shape != slot.shape or not plain.is_contiguous():
                plain = self._fit(plain, slot)
            bound |= slot.bit
            if plain is None:
                whole = False
                continue
            place = slot.place
            addresses[place] = plain.data_ptr()
            alive[place] = plain
        self._bound |= bound
        missing = self._all_inputs & ~(bound if types & FWD else self._bound)
        if missing:
            names = [slot.port.name for slot in slots.values() if slot.bit & missing]
            raise InvalidArgumentError(f"missing input(s): {', '.join(names)}; the program takes {', '.join(slots)}")
        return whole

    def _fit(self, tensor: torch.Tensor, slot: Slot) -> torch.Tensor | None:
        """`tensor` as the slot takes it, several batches as [batches, *traced shape]; None where one has fewer rows."""
        port = slot.port
        if tuple(tensor.shape) != port.shape:
            rows = port.rows_of(tensor.shape) or 0
            if 0 < rows < port.rows:
                return None
            if self._batches is not None and self._batches.holds(port, rows):
                return self._batches.stack(tensor, port, slot.dtype, rows)
        return convert(tensor, slot.port, slot.dtype)

    def _identify(self, tensor: Any, inputs: Any) -> tuple[Slot, torch.Tensor]:
        """The slot of an input that has no name that the program knows."""
        if not isinstance(tensor, torch.Tensor):
            raise InvalidArgumentError(f"an input is a {type(tensor).__name__}; inputs must be named SambaTensors")
        name = tensor.sn_region_name if isinstance(tensor, SambaTensor) else None
        if name is not None and name in self._inputs:
            return self._inputs[name], plain_tensor(tensor.detach())
        if name is None and not isinstance(inputs, Mapping):
            listed = [item for item in inputs if item is not None]
            if len(listed) == len(self._inputs) and not any(getattr(t, "sn_name", None) for t in listed):
                position = next(i for i, item in enumerate(listed) if item is tensor)
                return list(self._inputs.values())[position], plain_tensor(tensor.detach())
        known = ", ".join(self._inputs)
        if name is None:
            raise InvalidArgumentError(
                f"an input has no name; name it with samba.from_torch_tensor(t, name=...): {known}"
            )
        raise InvalidArgumentError(f"unknown input {name!r}; the program takes {known}")

    def _bind_outputs(self, outputs: Any) -> tuple[SambaTensor, ...]:
        """Fresh storage for each wanted output; the others are not stored."""
        if isinstance(outputs, torch.Tensor):
            outputs = (outputs,)
        slots, addresses, alive, bits = self._outputs, self._addresses, self._alive, self._output_bits
        enabled = 0
        results = []
        for traced in outputs:
            binding = getattr(traced, "_binding", None)
            slot = slots.get(binding.name) if binding is not None else None
            if slot is None:
                if isinstance(traced, (list, tuple)):
                    return self._bind_outputs(self._wanted(outputs))
                raise self._unknown_output(traced)
            name = binding.name
            place = slot.place
            if enabled & bits[name]:  # asked for twice
                results.append(alive[place])
                continue
            alive[place] = None  # so that the memory of the last run's result serves again, where nobody holds it
            result = _empty_like(slot.template) if slot.spare is None else slot.spare.empty_like(slot.template)
            addresses[place] = result.data_ptr()
            result.__class__ = SambaTensor  # half the cost of a subclass made from a plain tensor
            alive[place] = result
            enabled |= bits[name]
            results.append(result)
        if enabled != self._enabled:
            self._enable(enabled)
        return tuple(results)

    def _wanted(self, outputs: Any) -> list[SambaTensor]:
        """The outputs that are asked for, out of nested lists too; all where none is named."""
        if outputs is None:
            return list(self.traced)
        if isinstance(outputs, (list, tuple)):
            return [tensor for item in outputs for tensor in self._wanted(item)]
        if getattr(getattr(outputs, "_binding", None), "name", None) not in self._outputs:
            raise self._unknown_output(outputs)
        return [outputs]

    def _unknown_output(self, item: Any) -> InvalidArgumentError:
        name = getattr(getattr(item, "_binding", None), "name", None)
        shown = f"{name!r}" if name is not None else f"a {type(item).__name__} without a name"
        return InvalidArgumentError(
            f"output_tensors: {shown} is no output of the program, which has {', '.join(self._outputs)}; "
            "pass what trace_graph returned, or model.output_tensors"
        )

    def _enable(self, enabled: int) -> None:
        """Tells the library which outputs to store; the others go to its own memory."""
        self._enabled = enabled
        stored = []
        for name, slot in self._outputs.items():
            if enabled & self._output_bits[name]:
                stored.append(slot.symbol.index)
            else:
                self._addresses[slot.place] = 0
                self._alive[slot.place] = None
        check(self._lib.leat_program_enable_outputs(self.device.handle, stored, len(stored)))

    def _run_rest(self, outputs: Any, types: int) -> tuple[SambaTensor, ...]:
        """Sections without the forward pass, or none: outputs keep the storage of the last forward run."""
        if types:
            status = self._lib.leat_program_step(self.device.handle, self._symbols, self._pointers, self._count, types)
            check(status)
        results = []
        for traced in self._wanted(outputs):
            kept = self._alive[self._outputs[traced._binding.name].place]
            if kept is None:
                kept = self.device.read(self._outputs[traced._binding.name].symbol)
            results.append(wrap(plain_tensor(kept).clone()))
        return tuple(results)

    # ---- what changes rarely

    def _mask(self, section_types: Iterable[str]) -> int:
        key = section_types if isinstance(section_types, str) else tuple(section_types)
        if key not in self._type_masks:
            self._type_masks[key] = bits_of(self.device, (key,) if isinstance(key, str) else key)
        return self._type_masks[key]

    def set_hyperparameters(self, values: Mapping[str, float]) -> None:
        """Sets hyperparameters for this and later runs."""
        known = self.hyperparameters
        for name, value in values.items():
            if known.get(name) != value:
                self._set_hyperparameter(name, value)
                known[name] = value

    def _set_hyperparameter(self, name: str, value: float) -> None:
        symbols = {symbol.name: symbol for symbol in self.device.of_kind("HYPERPARAMETER")}
        if name in symbols:
            self.device.set_hyperparameter(symbols[name], float(value))
        elif name not in hyperparameters():
            known = ", ".join(sorted({*symbols, *hyperparameters()}))
            raise InvalidArgumentError(f"unknown hyperparameter {name!r}; there are {known}")


def _no_whole_step() -> InvalidArgumentError:
    """Values between sections are those of the last batch, so backward cannot follow in a call of its own."""
    return InvalidArgumentError(
        "a run of several batches (--num-spatial-batches) makes whole steps: name all its section types in one "
        "call, the forward pass with them"
    )


def _listed(inputs: Any) -> list[Any]:
    """Inputs given as a dict, as a single tensor, or nested."""
    if isinstance(inputs, torch.Tensor):
        return [inputs]
    if isinstance(inputs, Mapping):
        return [leaf for value in inputs.values() for leaf in _listed(value)]
    if isinstance(inputs, (list, tuple)):
        return [leaf for value in inputs for leaf in _listed(value)]
    return [] if inputs is None or isinstance(inputs, (bool, int, float, str)) else list(inputs)
