# SPDX-License-Identifier: Apache-2.0
"""From a model and its inputs to the program the compiler gets.

Order of the symbols: inputs as forward takes them, parameters and buffers as the model lists them, auxiliary
tensors as they were registered. Then the ops in order of execution, updates of buffers, outputs, optimizers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from sambaflow._runtime.turns import tracing
from sambaflow._tensor import SambaTensor
from sambaflow._trace.containers import holds_tensors, tensors_in
from sambaflow._trace.errors import TraceError
from sambaflow._trace.graph import DTYPE_NAMES, Attr, Graph, Value
from sambaflow._trace.optimizers import Statement
from sambaflow._trace.scope import Scope, root_name
from sambaflow._trace.seeds import choose_seeds
from sambaflow._trace.tensor import TracedTensor
from sambaflow._trace.tracer import Tracer


@dataclass(frozen=True)
class Port:
    """An input or output of the program."""

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    batch_dim: int | None = None
    seed: str = ""  # of an output: one, zero or symbol


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
) -> Program:
    """Traces `model(*inputs)` (or `model(**inputs)`); one at a time, since functions of torch are replaced."""
    with tracing():
        return _trace(model, inputs, statements, inference, app_dir, loss_indices, init_output_grads, aux or {})


def _trace(
    model: nn.Module,
    inputs: Any,
    statements: Sequence[Statement],
    inference: bool,
    app_dir: str | None,
    loss_indices: Sequence[Any] | None,
    init_output_grads: bool,
    aux: Mapping[str, torch.Tensor],
) -> Program:
    graph = Graph()
    tracer = Tracer(graph, Scope(model, app_dir), inference=inference)
    symbols = _Symbols(graph, tracer, inference)
    args, kwargs = symbols.add_inputs(inputs)
    symbols.add_model(model, statements)
    symbols.add_aux(aux)
    with _mode(model, inference), tracer.active():
        try:
            result = model(*args, **kwargs)
        except Exception as error:
            tracer.check(error)
            raise
        outputs = _outputs(tracer, result)
        tracer.hooks.finish()
    tracer.check()
    for traced, symbol in symbols.states:
        if tracer.read(traced) is not symbol:
            graph.add("update", [symbol, tracer.read(traced)])
    ports = _add_outputs(graph, tracer, outputs, root_name(model), inference, loss_indices, init_output_grads)
    if not inference:
        for statement in statements:
            graph.add("optimizer", [symbols.value_of(p) for p in statement.parameters], statement.attrs)
    return Program(
        graph.text(), graph.blobs, symbols.inputs, ports, symbols.parameters, symbols.buffers, symbols.input_tensors
    )


@contextlib.contextmanager
def _mode(model: nn.Module, inference: bool) -> Iterator[None]:
    """For inference the model is traced in eval mode, and put back."""
    training = [m for m in model.modules() if getattr(m, "training", False)] if inference else []  # frozen: no mode
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


class _Symbols:
    """Declares the symbols of a program and maps host tensors to them by identity."""

    def __init__(self, graph: Graph, tracer: Tracer, inference: bool) -> None:
        self.inputs: list[Port] = []
        self.parameters: dict[str, torch.Tensor] = {}
        self.buffers: dict[str, torch.Tensor] = {}
        self.input_tensors: dict[str, torch.Tensor] = {}
        self.states: list[tuple[TracedTensor, Value]] = []
        self._graph, self._tracer, self._training = graph, tracer, not inference
        self._values: dict[int, Value] = {}

    def value_of(self, parameter: torch.Tensor) -> Value:
        return self._values[id(parameter)]

    def add_inputs(self, inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments of forward with traced tensors in place of the given ones."""
        if isinstance(inputs, torch.Tensor):
            inputs = (inputs,)
        if isinstance(inputs, Mapping):
            return (), {key: self._traced(value, key) for key, value in inputs.items()}
        return tuple(self._traced(value, f"input_{i}") for i, value in enumerate(inputs)), {}

    def _traced(self, item: Any, default: str) -> Any:
        if isinstance(item, torch.Tensor):
            return self._input(item, default)
        if isinstance(item, Mapping):
            return {key: self._traced(value, f"{default}_{key}") for key, value in item.items()}
        if isinstance(item, (list, tuple)):
            items = [self._traced(value, f"{default}_{i}") for i, value in enumerate(item)]
            return type(item)(*items) if hasattr(item, "_fields") else type(item)(items)
        if holds_tensors(item):
            raise TraceError(
                f"input {default!r} is a {type(item).__name__}, which holds tensors: pass tensors, or lists, tuples "
                "and dicts of them"
            )
        return item

    def _input(self, tensor: torch.Tensor, default: str) -> torch.Tensor:
        if id(tensor) in self._values:
            return self._tracer.lookup(tensor)
        name = (tensor.sn_region_name if isinstance(tensor, SambaTensor) else None) or default
        batch_dim = tensor.batch_dim if isinstance(tensor, SambaTensor) else None
        if name in self.input_tensors:
            raise TraceError(f"two inputs of the model are both named {name!r}; give each its own name")
        if tensor.numel() == 0:
            raise TraceError(f"input {name!r} has no elements (shape {tuple(tensor.shape)}): is the batch size 0?")
        self.input_tensors[name] = tensor
        self.inputs.append(Port(name, tensor.dtype, tuple(tensor.shape), batch_dim))
        return self._declare(tensor, "input", name)

    def add_model(self, model: nn.Module, statements: Sequence[Statement]) -> None:
        root = root_name(model)
        for path, parameter in model.named_parameters():
            name = parameter.sn_name if isinstance(parameter, SambaTensor) else None
            if name is None:
                raise TraceError(f"parameter {path} is not a SambaParameter: call samba.from_torch_model_(model) first")
            self._parameter(name, parameter)
        for statement in statements:
            for index, parameter in enumerate(statement.parameters):
                if id(parameter) not in self._values:  # optimized, though no module of the model holds it
                    own = parameter.sn_name if isinstance(parameter, SambaTensor) else None
                    self._parameter(own or f"{root}__parameter_{index}", parameter)
        for path, buffer in model.named_buffers():
            name = f"{root}__{path.replace('.', '__')}"
            self.buffers[name] = buffer
            self.states.append((self._declare(buffer, "buffer", name), self._values[id(buffer)]))

    def _parameter(self, name: str, parameter: torch.Tensor) -> None:
        if name in self.parameters:
            raise TraceError(f"two parameters are both named {name!r}; give each model its own prefix")
        self.parameters[name] = parameter
        self.states.append((self._declare(parameter, "param", name), self._values[id(parameter)]))

    def add_aux(self, aux: Mapping[str, torch.Tensor]) -> None:
        for name, tensor in aux.items():
            if id(tensor) not in self._values and name not in self.buffers:
                self.buffers[name] = tensor
                self._declare(tensor, "buffer", name)

    def _declare(self, tensor: torch.Tensor, kind: str, name: str) -> TracedTensor:
        if tensor.dtype not in DTYPE_NAMES:
            raise TraceError(f"{kind} {name!r} has dtype {tensor.dtype}, which cannot be compiled")
        wants = tensor.requires_grad and self._training
        attrs: dict[str, Attr] = {"kind": kind, "name": name, "requires_grad": wants}
        value = self._graph.add("symbol", (), attrs, [(tensor.dtype, tuple(tensor.shape))])[0]
        self._values[id(tensor)] = value
        self._tracer.origins.declare(tensor, name)
        self._tracer.hooks.take_over(tensor, value, name)
        return self._tracer.adopt(tensor, value)


def _outputs(tracer: Tracer, result: Any) -> list[TracedTensor]:
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
    tracer: Tracer,
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
