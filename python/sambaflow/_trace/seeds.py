# SPDX-License-Identifier: Apache-2.0
"""Which outputs are losses, and what seeds their gradients.

Losses are those of `loss_indices`; else the outputs of a loss op; else the floating 0-d outputs; else the first. Where
a 0-d output is computed from the results of loss ops, it is the loss and they are its parts, which programs return for
their reports; of 0-d outputs that are computed from one another the first is the loss.

A scalar loss is seeded with one at compile time. A loss of several elements gets a seed symbol, so that a program may
scale each element (`output.sn_grad`); it holds ones until it is set. With `init_output_grads=False` every loss gets a
symbol that the program sets itself. Other outputs pass no gradient back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sambaflow._base.library import is_loss
from sambaflow._trace.errors import TraceError
from sambaflow._trace.graph import Value


def choose_seeds(values: Sequence[Value], loss_indices: Sequence[Any] | None, init_output_grads: bool) -> list[str]:
    """`one`, `zero` or `symbol` for each output."""
    losses = _losses(values, loss_indices)
    return [_seed(value, init_output_grads) if index in losses else "zero" for index, value in enumerate(values)]


def _seed(value: Value, init_output_grads: bool) -> str:
    return "one" if init_output_grads and value.shape == () else "symbol"


def _losses(values: Sequence[Value], loss_indices: Sequence[Any] | None) -> set[int]:
    floating = [index for index, value in enumerate(values) if value.dtype.is_floating_point]
    if loss_indices is not None:
        return _checked(loss_indices, values)
    scalars = [i for i in floating if values[i].shape == ()]
    sources = {i: _sources(values[i]) for i in floating}
    for chosen in (
        _independent([i for i in scalars if any(is_loss(value.op.name) for value in sources[i])], values, sources),
        {i for i in floating if is_loss(values[i].op.name)},
        set(scalars),
        set(floating[:1]),
    ):
        if chosen:
            return chosen
    return set()


def _sources(value: Value) -> set[Value]:
    """`value` and everything that its gradient reaches."""
    found, waiting = {value}, [value]
    while waiting:
        op = waiting.pop().op
        for operand in () if op.detached or op.name == "detach" else op.operands:
            if operand is not None and operand not in found:
                found.add(operand)
                waiting.append(operand)
    return found


def _independent(scalars: Sequence[int], values: Sequence[Value], sources: Mapping[int, set[Value]]) -> set[int]:
    """The first of `scalars`, and each further one that neither is computed from those taken nor they from it."""
    taken: list[int] = []
    for i in scalars:
        if not any(values[i] in sources[j] or values[j] in sources[i] for j in taken):
            taken.append(i)
    return set(taken)


def _checked(loss_indices: Sequence[Any], values: Sequence[Value]) -> set[int]:
    chosen: set[int] = set()
    for item in loss_indices:
        chosen.update(item if isinstance(item, (tuple, list)) else (item,))
    for index in chosen:
        if not -len(values) <= index < len(values):
            raise TraceError(f"loss_indices names output {index}, but the model has {len(values)} outputs")
        if not values[index].dtype.is_floating_point:
            raise TraceError(f"loss_indices names output {index}, whose dtype {values[index].dtype} has no gradient")
    return {index % len(values) for index in chosen}
