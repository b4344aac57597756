# SPDX-License-Identifier: Apache-2.0
"""The symbols of a program: which host tensors they are, and what forward makes of those that last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from sambaflow._tensors.tensor import SambaTensor
from sambaflow._trace.containers import holds_tensors
from sambaflow._trace.dispatch import Dispatcher
from sambaflow._trace.errors import TraceError
from sambaflow._trace.graph import DTYPE_NAMES, Attr, Graph, Value
from sambaflow._trace.optimizers import Statement
from sambaflow._trace.plain import extent, memory_key, whole_memory
from sambaflow._trace.port import Port
from sambaflow._trace.scope import root_name, symbol_name
from sambaflow._trace.slots import Held, Slot, submodule
from sambaflow._trace.state import Left, final_value, keeps_gradient
from sambaflow._trace.tensor import TracedTensor


class Symbols:
    """Declares the symbols of a program and maps host tensors to them by identity."""

    def __init__(self, graph: Graph, tracer: Dispatcher, inference: bool) -> None:
        self.inputs: list[Port] = []
        self.parameters: dict[str, torch.Tensor] = {}
        self.buffers: dict[str, torch.Tensor] = {}
        self.input_tensors: dict[str, torch.Tensor] = {}
        self.attributes: dict[str, Slot] = {}
        self.unsaved: dict[str, Slot] = {}
        self._extents: dict[int, dict[str, tuple[int, int]]] = {}  # by memory and name
        self._unsaved_buffers: dict[str, Slot] = {}
        self._states: list[tuple[torch.Tensor, TracedTensor, Value]] = []
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
            own_name = buffer.sn_name if isinstance(buffer, SambaTensor) else None
            taken = own_name is None or own_name in self.parameters or own_name in self.buffers
            name = symbol_name(root, path) if taken else str(own_name)
            self._buffer(name, buffer)
            module, _, own = path.rpartition(".")
            if own in getattr(submodule(model, module), "_non_persistent_buffers_set", ()):
                self._unsaved_buffers[name] = Slot(module, own, (), "buffer")

    def add_attributes(self, root: str, found: Mapping[Slot, torch.Tensor]) -> None:
        """Tensors in attributes that are state; those that share memory are one symbol, of all of it."""
        shared = Counter(memory_key(tensor) for tensor in {id(t): t for t in found.values()}.values())
        for slot, tensor in found.items():
            if id(tensor) in self._values:
                continue
            whole = whole_memory(tensor) if shared[memory_key(tensor)] > 1 else tensor
            if id(whole) not in self._values and not self._is_symbol(whole):
                name = f"{root}__{slot.symbol}"
                if name in self.buffers or name in self.parameters:
                    raise TraceError(
                        f"attribute {slot} and another tensor of the model are both named {name!r}; rename it"
                    )
                self.attributes[name] = self.unsaved[name] = slot
                self._buffer(name, whole)

    def _is_symbol(self, tensor: torch.Tensor) -> bool:
        return isinstance(self._tracer.plain.lookup(tensor), TracedTensor)

    def _buffer(self, name: str, buffer: torch.Tensor) -> None:
        self.buffers[name] = buffer
        traced = self._declare(buffer, "buffer", name)
        self._states.append((buffer, traced, self._values[id(buffer)]))

    def _parameter(self, name: str, parameter: torch.Tensor) -> None:
        if name in self.parameters:
            raise TraceError(f"two parameters are both named {name!r}; give each model its own prefix")
        self.parameters[name] = parameter
        traced = self._declare(parameter, "param", name)
        self._states.append((parameter, traced, self._values[id(parameter)]))

    def add_aux(self, aux: Mapping[str, torch.Tensor]) -> None:
        for name, tensor in aux.items():
            if id(tensor) not in self._values and name not in self.buffers:
                self.buffers[name] = tensor
                self._declare(tensor, "buffer", name)

    def update(self, tracer: Dispatcher, before: Held, left: Left) -> list[Value]:
        """Records what becomes of parameters, buffers and other state; the symbols that differ from call to call."""
        replaced: dict[int, tuple[Slot, torch.Tensor]] = {}
        for slot, new in left.replaced.items():
            old = before.tensors[slot]
            if id(old) in self._values:
                self._check_replaced(slot, before, left)
                replaced[id(old)] = (slot, new)
        changed = []
        self._check_apart(replaced)
        optimized = {id(traced.memory.base) for _, traced, symbol in self._states if symbol.needs_gradient}
        for tensor, traced, symbol in self._states:
            slot, new = replaced.get(id(tensor), (None, None))
            value = tracer.read(traced) if slot is None else final_value(tracer, slot, tensor, new, symbol)
            if value is not symbol or symbol.needs_gradient:
                changed.append(symbol)
            if value is symbol:
                continue
            name = str(symbol.op.attrs["name"])
            self._check_alone(tensor, name)
            if value.needs_gradient and not traced.memory.is_leaf and keeps_gradient(value):
                raise TraceError(
                    f"{slot or name}: state keeps a gradient from call to call, which a compiled "
                    "program does not: detach() what is kept"
                )
            follows = isinstance(new, TracedTensor) and id(new.memory.base) in optimized
            self._graph.add("update", [symbol, value], {"shared": True} if follows else {})
            if name in self._unsaved_buffers:
                self.unsaved[name] = self._unsaved_buffers[name]
        return changed

    def _check_apart(self, replaced: Mapping[int, tuple[Slot, torch.Tensor]]) -> None:
        """Raises where state that is one memory after forward would not do as separate symbols in the next call."""
        groups: dict[int, list[tuple[str, TracedTensor, Value]]] = {}
        for tensor, traced, symbol in self._states:
            left = replaced.get(id(tensor), (None, traced))[1]
            if isinstance(left, TracedTensor):
                groups.setdefault(id(left.memory.base), []).append((str(symbol.op.attrs["name"]), traced, symbol))
        for members in groups.values():
            for name, traced, symbol in members:
                first = traced.memory.base.first_write
                later = self._graph.ops[first:] if first is not None else []
                for other, _, value in members:
                    if value is not symbol and any(operand is value for op in later for operand in op.operands):
                        raise TraceError(
                            f"{name} and {other} are one memory after forward, and forward writes to {name} before it "
                            f"reads {other}: the second call would see there what the first does not; clone() one of "
                            "them"
                        )

    def check_optimized(self, statements: Sequence[Statement]) -> None:
        """Raises where an optimizer updates memory that another tensor of the program shares."""
        for statement in statements:
            for parameter in statement.parameters:
                self._check_alone(parameter, str(self.value_of(parameter).op.attrs["name"]))

    def _check_alone(self, tensor: torch.Tensor, name: str) -> None:
        """On the device each symbol has memory of its own."""
        own = extent(tensor)
        for other, (first, last) in self._extents.get(memory_key(tensor), {}).items():
            if other != name and first <= own[1] and own[0] <= last:
                raise TraceError(
                    f"{name} changes, and shares memory with {other}, which is another tensor of the model: use one "
                    "and the same tensor in both places (b.weight = a.weight), or give each memory of its own (clone)"
                )

    def _check_replaced(self, slot: Slot, before: Held, left: Left) -> None:
        old, new = before.tensors[slot], left.replaced[slot]
        if old.requires_grad and slot.kind == "parameter" and self._training:
            raise TraceError(
                f"{slot}: a parameter that wants a gradient is replaced in forward, where no optimizer follows; write "
                "to its .data instead"
            )
        for other, tensor in before.tensors.items():
            if tensor is old and left.replaced.get(other) is not new:
                raise TraceError(
                    f"{slot} gets a new tensor in forward while {other} keeps the old one, though both were one; "
                    "write to it in place (copy_)"
                )

    def _declare(self, tensor: torch.Tensor, kind: str, name: str) -> TracedTensor:
        if tensor.dtype not in DTYPE_NAMES:
            raise TraceError(f"{kind} {name!r} has dtype {tensor.dtype}, which cannot be compiled")
        wants = tensor.requires_grad and self._training
        attrs: dict[str, Attr] = {"kind": kind, "name": name, "requires_grad": wants}
        value = self._graph.add("symbol", (), attrs, [(tensor.dtype, tuple(tensor.shape))])[0]
        self._values[id(tensor)] = value
        if tensor.layout == torch.strided and tensor.numel() > 0:
            self._extents.setdefault(memory_key(tensor), {})[name] = extent(tensor)
        self._tracer.origins.declare(tensor, name)
        self._tracer.hooks.take_over(tensor, value, name)
        return self._tracer.plain.adopt(tensor, value, is_leaf=wants)
