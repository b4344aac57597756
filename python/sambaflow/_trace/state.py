# SPDX-License-Identifier: Apache-2.0
"""State: what a call of forward leaves in the model for the next one.

Parameters and buffers are symbols from the start. A tensor in any other attribute is a constant of the program, until
a trace finds that forward writes to it or puts another in its place: then the model is traced again with a symbol for
it. What forward leaves in places that held no tensor before cannot be state, since the first call does without.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch

from sambaflow._trace.errors import TraceError
from sambaflow._trace.graph import Op, Value
from sambaflow._trace.plain import memory_key
from sambaflow._trace.slots import Held, Slot
from sambaflow._trace.tensor import TracedTensor
from sambaflow._trace.tracer import Tracer

_RANDOM = {"rand", "randn"}
# Rows whose backward needs nothing saved: torch lets a gradient pass through them again in the next call.
_SAVE_NOTHING = {
    "add", "sub", "neg", "reshape", "view", "flatten", "squeeze", "unsqueeze", "permute", "transpose", "getitem",
    "narrow", "split", "select", "expand", "cat", "stack", "sum", "straight_through", "clone", "contiguous",
}  # fmt: skip


@dataclass
class Left:
    """What one call of forward left behind."""

    replaced: dict[Slot, torch.Tensor] = field(default_factory=dict)  # places that held a tensor, and hold another
    state: dict[Slot, torch.Tensor] = field(default_factory=dict)  # attributes that are state, and what they held
    added: dict[Slot, torch.Tensor] = field(default_factory=dict)  # places that held none
    numbers: list[Slot] = field(default_factory=list)  # that have changed


def left_behind(tracer: Tracer, before: Held, after: Held, known: Mapping[Slot, torch.Tensor]) -> Left:
    """Compares what a model held before and after forward; `known` are the attributes that are symbols already."""
    left = Left()
    for slot, old in before.tensors.items():
        new = after.tensors.get(slot)
        if new is None:
            if slot.kind != "attribute" or slot in known:
                raise TraceError(f"{slot} held a tensor before forward and holds none after it: state stays a tensor")
        elif new is not old and not _stands_for(tracer, new, old):
            left.replaced[slot] = _meaning(tracer, new)
    left.added = {slot: t for slot, t in after.tensors.items() if slot not in before.tensors}
    left.numbers = [s for s, n in before.numbers.items() if s in after.numbers and after.numbers[s] != n]
    left.numbers += [s for s in after.numbers if s not in before.numbers and s not in before.tensors]
    _find_state(tracer, before, left, known)
    return left


def _stands_for(tracer: Tracer, new: torch.Tensor, old: torch.Tensor) -> bool:
    return isinstance(new, TracedTensor) and tracer.plain.lookup(old) is new


def _meaning(tracer: Tracer, tensor: torch.Tensor) -> torch.Tensor:
    """A plain tensor that was written with traced values is the traced tensor: its own memory was left alone."""
    return tensor if isinstance(tensor, TracedTensor) else tracer.plain.lookup(tensor)


def _find_state(tracer: Tracer, before: Held, left: Left, known: Mapping[Slot, torch.Tensor]) -> None:
    written = {write.key: write.source for write in tracer.plain.outside_writes}
    attributes = {s: t for s, t in before.tensors.items() if s.kind == "attribute" and s not in known}
    attributes = {s: t for s, t in attributes.items() if not isinstance(t, TracedTensor)}  # left by a first call
    for slot, old in attributes.items():
        in_place = old.layout == torch.strided and old.numel() > 0 and memory_key(old) in written
        if in_place or (slot in left.replaced and _is_state(tracer, old, left.replaced[slot])):
            left.state[slot] = old
    keys = {memory_key(tensor) for tensor in left.state.values()}
    for key, source in written.items():
        if key not in keys:
            raise TraceError(
                f"{source}: forward writes to a tensor that it did not make and that no module of the model holds (a "
                "global, or one of a closure): make it a buffer (register_buffer) or an attribute of the module, or "
                "clone it first"
            )


def _is_state(tracer: Tracer, old: torch.Tensor, new: torch.Tensor) -> bool:
    """Whether an attribute that forward replaces lasts: it was read before, or tells something of the inputs."""
    if isinstance(new, TracedTensor):
        return id(old) in tracer.plain.met or hangs_on_input(tracer.read(new))
    return id(old) in tracer.plain.met and not _equal(old, new)


def _equal(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and torch.equal(a, b)


def hangs_on_input(value: Value, changing: Iterable[Value] = ()) -> bool:
    """Whether `value` differs from call to call: by inputs, random numbers, or symbols of `changing`."""
    changed = set(map(id, changing))
    return any(
        (op.name == "symbol" and (op.attrs["kind"] == "input" or id(op.results[0]) in changed))
        or op.name in _RANDOM
        or (op.name == "dropout" and bool(op.attrs["training"]))
        for op in _behind(value)
    )


def _behind(value: Value) -> Iterable[Op]:
    seen: set[Op] = set()
    todo = [value.op]
    while todo:
        op = todo.pop()
        if op not in seen:
            seen.add(op)
            todo.extend(operand.op for operand in op.operands if operand is not None)
    return seen


def keeps_gradient(value: Value) -> bool:
    """Whether torch would send the gradient of the next call on, through `value`, to a symbol of this one.

    Mostly it raises there, for want of what backward has freed; it does not where nothing was saved.
    """
    todo, seen = [value], set()
    while todo:
        op = todo.pop().op
        if op in seen:
            continue
        seen.add(op)
        if op.name == "symbol":
            return True
        if op.name in _SAVE_NOTHING:
            operands = op.operands[1:] if op.name == "straight_through" else op.operands
            todo.extend(operand for operand in operands if operand is not None and operand.needs_gradient)
    return False


def final_value(tracer: Tracer, slot: Slot, old: torch.Tensor, new: torch.Tensor, symbol: Value) -> Value:
    """What the symbol of `slot` is updated with, once `new` has taken the place of `old`."""
    value = tracer.value(new)
    if value.type != symbol.type:
        raise TraceError(
            f"{slot} held a tensor of shape {list(old.shape)}, {old.dtype} and holds one of {list(value.shape)}, "
            f"{value.dtype} after forward: state keeps its shape and dtype, which are fixed when a program is compiled"
        )
    return value
