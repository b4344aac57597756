# SPDX-License-Identifier: Apache-2.0
"""From a model and its inputs to the program the compiler gets.

Order of the symbols: inputs as forward takes them, parameters and buffers as the model lists them, auxiliary
tensors as they were registered. Then the ops in order of execution, updates of buffers, outputs, optimizers.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from sambaflow._base.turns import tracing
from sambaflow._trace.containers import tensors_in
from sambaflow._trace.dispatch import Dispatcher
from sambaflow._trace.errors import StaleError, TraceError, is_ours, located
from sambaflow._trace.graph import Graph
from sambaflow._trace.optimizers import Statement
from sambaflow._trace.port import Port
from sambaflow._trace.scope import Scope, root_name
from sambaflow._trace.seeds import choose_seeds
from sambaflow._trace.slots import Held, Kept, Slot, look, submodule
from sambaflow._trace.state import hangs_on_input, left_behind
from sambaflow._trace.symbols import Symbols
from sambaflow._trace.tensor import TracedTensor


@dataclass
class Program:
    """A traced program: its text, its constants, and which host tensors its symbols are."""

    text: str
    blobs: list[bytes]
    inputs: list[Port]
    outputs: list[Port]
    parameters: dict[str, torch.Tensor] = field(default_factory=dict)
    buffers: dict[str, torch.Tensor] = field(default_factory=dict)
    input_tensors: dict[str, torch.Tensor] = field(default_factory=dict)
    attributes: dict[str, Slot] = field(default_factory=dict)  # buffers that are attributes of modules: their places
    unsaved: dict[str, Slot] = field(default_factory=dict)  # those that forward writes and no state dict holds
    dequantized: dict[str, tuple[str, str]] = field(default_factory=dict)  # results of the op of this name: its symbols
    part: Program | None = None  # the same program on one micro-batch, if it is computed in micro-batches


def trace(
    model: nn.Module,
    inputs: Any,
    statements: Sequence[Statement] = (),
    *,
    inference: bool = False,
    app_dir: str | None = None,
    loss_indices: Sequence[Any] | None = None,
    init_output_grads: bool = True,
    aux: Mapping[str, torch.Tensor] | None = None,
    recurrent_rows: bool = True,
) -> Program:
    """Traces `model(*inputs)` (or `model(**inputs)`), and leaves the model as it was.

    One trace at a time, since functions of torch are replaced. The model is traced again when attributes turn out to be
    state (state.py), and once more, as a second call would find it, when forward left other things behind: a program
    that differs from call to call is refused. `recurrent_rows` False: recurrent layers are taken apart.
    """
    job = _Job(
        model, inputs, statements, inference, app_dir, loss_indices, init_output_grads, aux or {}, recurrent_rows
    )
    with tracing():
        return _traced_as_often_as_needed(job)


def _traced_as_often_as_needed(job: _Job) -> Program:
    kept = Kept(job.model)
    known: dict[Slot, torch.Tensor] = {}
    try:
        while True:
            call = _Call(job, kept.held, known)
            if not call.left.state:
                break
            known = {**known, **call.left.state}
            kept.restore()
        if call.leaves_more():
            _check_second(job, kept, known, call)
        return call.program
    finally:
        kept.restore()


@dataclass(frozen=True)
class _Job:
    """What `trace` was asked for."""

    model: nn.Module
    inputs: Any
    statements: Sequence[Statement]
    inference: bool
    app_dir: str | None
    loss_indices: Sequence[Any] | None
    init_output_grads: bool
    aux: Mapping[str, torch.Tensor]
    recurrent_rows: bool


class _Call:
    """One call of forward, traced: the program, and what the call left in the model."""

    def __init__(self, job: _Job, before: Held, known: Mapping[Slot, torch.Tensor]) -> None:
        graph = Graph()
        tracer = Dispatcher(graph, Scope(job.model, job.app_dir), inference=job.inference)
        tracer.recurrent_rows = job.recurrent_rows
        symbols = Symbols(graph, tracer, job.inference)
        args, kwargs = symbols.add_inputs(job.inputs)
        symbols.add_model(job.model, job.statements)
        symbols.add_attributes(root_name(job.model), known)
        symbols.add_aux(job.aux)
        tracer.plain.watch(t for slot, t in before.tensors.items() if slot.kind == "attribute" and slot not in known)
        with _mode(job.model, job.inference), tracer.active():
            try:
                result = job.model(*args, **kwargs)
            except Exception as error:
                tracer.check(error)
                place = tracer.scope.place_of(error)
                if place is None or is_ours(error):
                    raise
                raise located(error, *place) from error
            outputs = _outputs(tracer, result)
            tracer.hooks.finish()
        tracer.check()
        self.left = left_behind(tracer, before, look(job.model), known)
        self.changing = symbols.update(tracer, before, self.left)
        ports = _add_outputs(
            graph, tracer, outputs, root_name(job.model), job.inference, job.loss_indices, job.init_output_grads
        )
        seeded = [
            tracer.hooks.final(tracer.read(output))
            for output, port in zip(outputs, ports, strict=True)
            if port.seed != "zero"
        ]
        tracer.saved.check(seeded)
        if not job.inference:
            symbols.check_optimized(job.statements)
            for statement in job.statements:
                graph.add("optimizer", [symbols.value_of(p) for p in statement.parameters], statement.attrs)
        self.program = Program(
            graph.text(),
            graph.blobs,
            symbols.inputs,
            ports,
            symbols.parameters,
            symbols.buffers,
            symbols.input_tensors,
            symbols.attributes,
            symbols.unsaved,
            tracer.dequantized,
        )
        self._model, self._graph = job.model, graph
        tracer.release()

    def leaves_more(self) -> bool:
        """Whether the next call may find something that this one did not."""
        return bool(self.left.numbers or self.left.added) or self._is_kept_outside()

    def _is_kept_outside(self) -> bool:
        """Whether tensors of the trace are held by something that is not the model."""
        for collect in (False, True):
            if collect:
                gc.collect()
            inside = {id(tensor) for tensor in look(self._model).tensors.values()}
            if all(id(tensor) in inside for tensor in self._graph.living()):
                return False
        return True

    def is_recomputed(self, tensor: torch.Tensor) -> bool:
        """Whether every call makes the same of `tensor` again, so that it need not be kept."""
        if not isinstance(tensor, TracedTensor):
            return False
        return not tensor.value.needs_gradient and not hangs_on_input(tensor.value, self.changing)


def _check_second(job: _Job, kept: Kept, known: Mapping[Slot, torch.Tensor], first: _Call) -> None:
    """Traces the model as the first call left it, but for its state, and compares."""
    grown = {(slot.module, slot.attribute) for slot, t in first.left.added.items() if not first.is_recomputed(t)}
    settled = [s for s in kept.held.tensors if s in known or s in first.left.replaced or s.kind != "attribute"]
    settled += [s for s, t in first.left.added.items() if first.is_recomputed(t)]
    for slot in settled:
        if (slot.module, slot.attribute) not in grown:
            kept.restore_attribute(submodule(job.model, slot.module), slot.holder)
    try:
        second = _Call(job, look(job.model), known)
    except StaleError as error:
        names = [str(slot) for slot, tensor in first.left.added.items() if tensor is error.tensor]
        raise TraceError(f"{names[0]}: {error}" if names else str(error)) from error
    if second.left.state or _unplaced(second.program.text) != _unplaced(first.program.text):
        changed = [*second.left.state] or [*first.left.numbers, *first.left.added]
        raise TraceError(
            f"forward computes something else when it is called again, and a compiled program cannot: "
            f"{', '.join(map(str, changed))} changes from call to call. Keep such state in a buffer (register_buffer) "
            "that is made before the first call"
        )


def _unplaced(text: str) -> list[str]:
    """Graph text without places in the program."""
    return [line.split(" @ ")[0] for line in text.splitlines()]


def has_mode(module: nn.Module) -> bool:
    """False for what torch.jit froze: it is in eval mode for ever."""
    return hasattr(module, "training")


@contextlib.contextmanager
def _mode(model: nn.Module, inference: bool) -> Iterator[None]:
    """For inference the model is traced in eval mode, and put back."""
    training = [m for m in model.modules() if has_mode(m) and m.training] if inference else []
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _outputs(tracer: Dispatcher, result: Any) -> list[TracedTensor]:
    """The tensors in what forward returned, in order; numbers, None and the like are left out."""
    outputs: list[TracedTensor] = []
    for tensor in tensors_in(result):
        known = tracer.lookup(tensor)
        outputs.append(known if isinstance(known, TracedTensor) else tracer.wrap(tracer.constant(tensor)))
    if not outputs:
        raise TraceError("forward returned no tensor: there is nothing to compile")
    for output in outputs:
        tracer.is_defined(tracer.read(output))
    return outputs


def _add_outputs(
    graph: Graph,
    tracer: Dispatcher,
    outputs: Sequence[TracedTensor],
    root: str,
    inference: bool,
    loss_indices: Sequence[Any] | None,
    init_output_grads: bool,
) -> list[Port]:
    values = [tracer.read(output) for output in outputs]
    seeds = choose_seeds(values, loss_indices, init_output_grads) if not inference else ["zero"] * len(values)
    ports: list[Port] = []
    taken: set[str] = set()
    for index, (value, seed) in enumerate(zip(values, seeds, strict=True)):
        name = tracer.call_name_of(value) or f"{root}__outputs__{index}"
        if name in taken:
            name = next(f"{name}_{i}" for i in range(1, len(values) + 1) if f"{name}_{i}" not in taken)
        taken.add(name)
        graph.add("output", [tracer.hooks.final(value)], {"name": name, "seed": seed})
        ports.append(Port(name, value.dtype, value.shape, seed=seed))
    return ports
