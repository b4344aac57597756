# SPDX-License-Identifier: Apache-2.0
"""Views: computed anew from their base, and written back into it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch

from sambaflow._trace.errors import TraceError
from sambaflow._trace.graph import Attr, Value
from sambaflow._trace.tensor import Step, View

if TYPE_CHECKING:
    from sambaflow._trace.tracer import Tracer


def replay(tracer: Tracer, view: View) -> Value:
    """The view's value from the current value of its parent."""
    return _forward(tracer, view)[-1]


def scatter(tracer: Tracer, view: View, value: Value) -> Value:
    """The parent's value once the view holds `value`."""
    before = _forward(tracer, view, skip_last=True)
    for step, source in zip(reversed(_steps(tracer, view)), reversed(before), strict=True):
        inverse = _INVERSES.get(step.name)
        if inverse is None:
            raise TraceError(f"{tracer.scope.source()}: an in-place write through `{step.name}` cannot be traced")
        value = inverse(tracer, step, source, value)
    return value


def _steps(tracer: Tracer, view: View) -> tuple[Step, ...]:
    if view.steps is None:
        raise TraceError(
            f"{tracer.scope.source()}: a write through this view, or its use after its base was written in place, "
            "cannot be traced; clone it first"
        )
    return view.steps


def _forward(tracer: Tracer, view: View, skip_last: bool = False) -> list[Value]:
    """The parent's value and the values after each step (without the last: what each step starts from)."""
    values = [tracer.read(view.parent)]
    steps = _steps(tracer, view)
    for step in steps[:-1] if skip_last else steps:
        values.append(_viewed(tracer, step, values[-1]))
    return values


def _viewed(tracer: Tracer, step: Step, source: Value) -> Value:
    """One view op. A piece does not depend on writes to other pieces, and is what was last written to it."""
    region = _region(step)
    while region is not None and source.op.name == "slice_scatter":
        written = _bounds(source.op.attrs)
        if written == region and source.op.operands[1].shape == step.result[1]:  # type: ignore[union-attr]
            return source.op.operands[1]  # type: ignore[return-value]
        if not _disjoint(written, region):
            break
        source = source.op.operands[0]  # type: ignore[assignment]
    return tracer.emit(step.name, [source], step.attrs, [step.result])[0]


Bounds = list[tuple[int, int, int]]


def _bounds(attrs: Mapping[str, Attr]) -> Bounds:
    """(start, stop, step) of each dim."""
    return list(zip(attrs["start"], attrs["stop"], attrs["step"], strict=True))  # type: ignore[arg-type]


def _region(step: Step) -> Bounds | None:
    """What a step reads of its source, where it reads a piece."""
    if step.name in ("split", "narrow", "getitem"):
        return _bounds(step.attrs)
    if step.name == "select":
        bounds = [(0, size, 1) for size in step.source[1]]
        index = int(step.attrs["index"])  # type: ignore[arg-type]
        bounds[int(step.attrs["dim"])] = (index, index + 1, 1)  # type: ignore[arg-type]
        return bounds
    return None


def _disjoint(a: Bounds, b: Bounds) -> bool:
    return any(x[1] <= y[0] or y[1] <= x[0] for x, y in zip(a, b, strict=True))


def _reshape_back(tracer: Tracer, step: Step, source: Value, value: Value) -> Value:
    shape = step.source[1]
    return tracer.emit("reshape", [value], {"shape": shape}, [(value.dtype, shape)])[0]


def _permute_back(tracer: Tracer, step: Step, source: Value, value: Value) -> Value:
    dims = list(step.attrs["dims"])  # type: ignore[arg-type]
    inverse = [dims.index(i) for i in range(len(dims))]
    return tracer.emit("permute", [value], {"dims": inverse}, [step.source])[0]


def _slice_back(tracer: Tracer, step: Step, source: Value, value: Value) -> Value:
    bounds = {key: list(step.attrs[key]) for key in ("start", "stop", "step")}  # type: ignore[arg-type]
    return _slice_scatter(tracer, source, value, **bounds)


def _select_back(tracer: Tracer, step: Step, source: Value, value: Value) -> Value:
    dim, index = int(step.attrs["dim"]), int(step.attrs["index"])  # type: ignore[arg-type]
    start, stop = [0] * len(source.shape), list(source.shape)
    start[dim], stop[dim] = index, index + 1
    return _slice_scatter(tracer, source, value, start, stop, [1] * len(source.shape))


def _slice_scatter(
    tracer: Tracer, source: Value, value: Value, start: list[int], stop: list[int], step: list[int]
) -> Value:
    shape = tuple(-(-(b - a) // s) for a, b, s in zip(start, stop, step, strict=True))
    if value.shape != shape:
        value = tracer.emit("reshape", [value], {"shape": shape}, [(value.dtype, shape)])[0]
    if shape == source.shape:
        return value
    return tracer.emit("slice_scatter", [source, value], {"start": start, "stop": stop, "step": step}, [source.type])[0]


def _same(tracer: Tracer, step: Step, source: Value, value: Value) -> Value:
    return value


def _places_back(tracer: Tracer, step: Step, source: Value, value: Value) -> Value:
    """A view whose elements lie anywhere in its source: written one by one, at places known from the shapes."""
    shape, count = step.source[1], torch.Size(step.source[1]).numel()
    with tracer.untraced():
        places = tracer.graph.constant(_VIEWED[step.name](torch.arange(count).view(shape), step.attrs).reshape(-1))
    flat = tracer.emit("reshape", [source], {"shape": [count]}, [(source.dtype, (count,))])[0]
    size = torch.Size(value.shape).numel()
    values = tracer.emit("reshape", [value], {"shape": [size]}, [(value.dtype, (size,))])[0]
    written = tracer.emit("scatter", [flat, places, values], {"dim": 0, "fn": "set"}, [flat.type])[0]
    return tracer.emit("reshape", [written], {"shape": shape}, [step.source])[0]


# The rows that take such views, on a tensor of places.
_VIEWED: dict[str, Callable[[torch.Tensor, Mapping[str, Any]], torch.Tensor]] = {
    "diagonal": lambda places, attrs: places.diagonal(attrs["diagonal"], *attrs["dims"]),
    "unfold": lambda places, attrs: places.unfold(attrs["dim"], attrs["k"], attrs["step"][0]),
}

_INVERSES: dict[str, Callable[[Tracer, Step, Value, Value], Value]] = {
    "reshape": _reshape_back,
    "view": _reshape_back,
    "flatten": _reshape_back,
    "squeeze": _reshape_back,
    "unsqueeze": _reshape_back,
    "permute": _permute_back,
    "transpose": _permute_back,
    "getitem": _slice_back,
    "narrow": _slice_back,
    "split": _slice_back,
    "select": _select_back,
    "detach": _same,
    "contiguous": _same,
    "diagonal": _places_back,
    "unfold": _places_back,
}
