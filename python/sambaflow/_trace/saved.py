# SPDX-License-Identifier: Apache-2.0
"""Values that autograd saves for backward, and writes to their memory before backward has run.

A graph keeps the value that an op read. PyTorch keeps the tensor: if it is written later, backward raises, or, where
the write went past autograd (`.data`), takes the new elements. Such programs are refused. What an op saves, torch is
asked: the op is run on meta tensors, and only if its operands or results were written after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._pytree import tree_flatten, tree_map

from sambaflow._trace.errors import TraceError
from sambaflow._trace.graph import Op, Value
from sambaflow._trace.plain import memory_key
from sambaflow._trace.recorder import Recorder
from sambaflow._trace.tensor import Memory, TracedTensor, as_meta

# In-place ops that change the shape of a tensor and not its elements.
IN_PLACE_VIEWS = {"squeeze_", "unsqueeze_", "transpose_", "t_", "swapaxes_", "swapdims_"}
_SAVE_NOTHING = {f"aten::{name}" for name in IN_PLACE_VIEWS}


@dataclass(frozen=True, eq=False)
class _Held:
    """A tensor as a call saw it."""

    tensor: TracedTensor
    meta: torch.Tensor
    memory: Memory
    value: Value
    overwritten: int
    rebound: int

    @staticmethod
    def of(tensor: TracedTensor) -> _Held:
        return _Held(tensor, tensor.meta, tensor.memory, tensor.value, tensor.memory.base.overwritten, tensor.rebound)

    @property
    def was_written(self) -> bool:
        return self.memory.base.overwritten != self.overwritten

    @property
    def was_rebound(self) -> bool:
        return self.tensor.rebound != self.rebound


@dataclass(frozen=True, eq=False)
class _Call:
    func: Any  # None: all operands are saved
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    operands: list[_Held]
    results: list[_Held]
    name: str
    source: str


class SavedTensors:
    """The calls of a trace that may save tensors."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._calls: list[_Call] = []
        self._written: dict[Memory, str] = {}  # bases, and where they were written last
        self._rebound: dict[int, str] = {}

    def overwrite(self, base: Memory) -> None:
        """An op writes to `base`: the program's own, or a part of another."""
        if self._recorder.op_depth <= 1:
            base.overwritten += 1
            self._written[base] = self._recorder.scope.source()

    def rebind(self, tensor: TracedTensor) -> None:
        """The program gives `tensor` other data."""
        tensor.rebound += 1
        self._rebound[id(tensor)] = self._recorder.scope.source()

    def note(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any, name: str) -> None:
        """One call that the program made; with `func` None, of which all of `args` were saved."""
        if self._recorder.inference or not torch.is_grad_enabled() or name in _SAVE_NOTHING:
            return
        operands = [_Held.of(leaf) for leaf in _traced(args, kwargs)]
        if func is None or any(held.value.needs_gradient for held in operands):
            results = [_Held.of(leaf) for leaf in _traced(result)]
            self._calls.append(_Call(func, args, kwargs, operands, results, name, self._recorder.scope.source()))

    def check(self, losses: Iterable[Value]) -> None:
        """Raises where a tensor that the backward of `losses` needs was written too early."""
        if not self._written and not self._rebound:
            return
        reached: set[Op] | None = None
        for call in self._calls:
            suspects = [h for h in call.operands + call.results if h.was_written or h.was_rebound]
            if not suspects:
                continue
            reached = _reached(losses) if reached is None else reached
            if not any(held.value.op in reached for held in call.results):
                continue
            saved = _saved(self._recorder, call)
            for held in suspects:
                if id(held.tensor) in saved and (held.was_written or held in call.operands):
                    self._refuse(call, held)

    def _refuse(self, call: _Call, held: _Held) -> None:
        where = self._written.get(held.memory.base) if held.was_written else self._rebound[id(held.tensor)]
        raise TraceError(
            f"{where}: a tensor of shape {list(held.tensor.shape)} is written here, but the backward of {call.name} "
            f"({call.source}) needs the elements it had before; PyTorch raises there, or takes the new elements. Write "
            "to a clone, or before its first use"
        )

    def clear(self) -> None:
        self._calls.clear()


def _traced(*trees: Any) -> list[TracedTensor]:
    return [leaf for leaf in tree_flatten(trees)[0] if isinstance(leaf, TracedTensor)]


def _reached(losses: Iterable[Value]) -> set[Op]:
    """The ops that the gradient of `losses` passes through."""
    found: set[Op] = set()
    todo = [value for value in losses if value.needs_gradient]
    while todo:
        op = todo.pop().op
        if op not in found:
            found.add(op)
            operands = op.operands[1:] if op.name == "straight_through" else op.operands
            todo.extend(value for value in operands if value is not None and value.needs_gradient)
    return found


def _saved(recorder: Recorder, call: _Call) -> set[int]:
    """The ids of the tensors that autograd saves in a call."""
    everything = {id(held.tensor) for held in call.operands + call.results}
    if call.func is None:
        return {id(held.tensor) for held in call.operands}
    try:
        with recorder.untraced(), torch.enable_grad():
            return _saved_on_meta(call)
    except (RuntimeError, TypeError, ValueError, IndexError):
        return everything  # torch has no shape function for it: to be safe


def _saved_on_meta(call: _Call) -> set[int]:
    operands = {id(held.tensor): held for held in call.operands}
    stand_ins: dict[int, torch.Tensor] = {}

    def stand_in(item: Any) -> Any:
        if not isinstance(item, TracedTensor):
            return as_meta(item)
        if id(item) not in stand_ins:
            held = operands[id(item)]
            empty = torch.empty_strided(held.meta.shape, held.meta.stride(), dtype=held.meta.dtype, device="meta")
            stand_ins[id(item)] = empty.requires_grad_().clone() if held.value.needs_gradient else empty
        return stand_ins[id(item)]

    args, kwargs = tree_map(stand_in, (tuple(call.args), dict(call.kwargs)))
    if "device" in kwargs:
        kwargs["device"] = torch.device("meta")
    keys: set[int] = set()

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        keys.add(memory_key(tensor))
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        results = [t for t in tree_flatten(call.func(*args, **kwargs))[0] if isinstance(t, torch.Tensor)]
    found = {key for key, tensor in stand_ins.items() if memory_key(tensor) in keys}
    for held, tensor in zip(call.results, results, strict=False):
        if memory_key(tensor) in keys:
            found.add(id(held.tensor))
    return found
