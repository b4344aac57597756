# SPDX-License-Identifier: Apache-2.0
"""Views: computed anew from their base, and written back into it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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


def follow(tracer: Tracer, value: Value, steps: Sequence[Step]) -> Value:
    """What `steps` make of `value`."""
    for step in steps:
        value = _viewed(tracer, step, value)
    return value


def scatter(tracer: Tracer, view: View, value: Value) -> Value:
    """The parent's value once the view holds `value`."""
    if view.steps == ():  # all of the parent, as it lies there
        return value
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
    if step.name == "as_strided":
        return _gathered(tracer, step, source)
    return tracer.emit(step.name, [source], step.attrs, [step.result])[0]


def _gathered(tracer: Tracer, step: Step, source: Value) -> Value:
    """A view whose elements lie anywhere in its source, taken one by one."""
    dtype, shape = step.result
    places, size = _places(tracer, step), (torch.Size(shape).numel(),)
    flat = _reshaped(tracer, source, (torch.Size(source.shape).numel(),))
    taken = tracer.emit("index_select", [flat, places], {"dim": 0}, [(dtype, size)])[0]
    return _reshaped(tracer, taken, shape)


def _places(tracer: Tracer, step: Step, *, written: bool = False) -> Value:
    """Where in its source, row by row, the elements of a view lie; those that are written have a place of their own."""
    with tracer.untraced():
        every = torch.arange(torch.Size(step.source[1]).numel()).view(step.source[1])
        places = _VIEWED[step.name](every, step.attrs).reshape(-1)
        if written and places.unique().numel() != places.numel():
            raise _overlap(tracer, step)
        return tracer.graph.constant(places)


def _overlap(tracer: Tracer, step: Step) -> TraceError:
    return TraceError(
        f"{tracer.scope.source()}: more than one element of the written-to tensor refers to a single memory location "
        f"({step.name}); clone it first"
    )


def _reshaped(tracer: Tracer, value: Value, shape: Sequence[int]) -> Value:
    return tracer.emit("reshape", [value], {"shape": tuple(shape)}, [(value.dtype, tuple(shape))])[0]


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
    return _reshaped(tracer, value, step.source[1])


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
    flat = _reshaped(tracer, source, (torch.Size(source.shape).numel(),))
    values = _reshaped(tracer, value, (torch.Size(value.shape).numel(),))
    attrs: dict[str, Attr] = {"dim": 0, "fn": "set"}
    written = tracer.emit("scatter", [flat, _places(tracer, step, written=True), values], attrs, [flat.type])[0]
    return _reshaped(tracer, written, source.shape)


def _expand_back(tracer: Tracer, step: Step, source: Value, value: Value) -> Value:
    """Only where each element has one place, as torch has it."""
    if torch.Size(step.source[1]).numel() != torch.Size(step.result[1]).numel():
        raise _overlap(tracer, step)
    return _reshape_back(tracer, step, source, value)


# The rows that take such views, on a tensor of places.
_VIEWED: dict[str, Callable[[torch.Tensor, Mapping[str, Any]], torch.Tensor]] = {
    "diagonal": lambda places, attrs: places.diagonal(attrs["diagonal"], *attrs["dims"]),
    "unfold": lambda places, attrs: places.unfold(attrs["dim"], attrs["k"], attrs["step"][0]),
    "as_strided": lambda places, attrs: places.as_strided(attrs["shape"], attrs["stride"], attrs["start"][0]),
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
    "dropout": _same,  # in inference it returns its argument
    "diagonal": _places_back,
    "unfold": _places_back,
    "as_strided": _places_back,
    "expand": _expand_back,
}
