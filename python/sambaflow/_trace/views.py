# SPDX-License-Identifier: Apache-2.0
"""Views: computed anew from their base, and written back into it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from sambaflow._trace.errors import TraceError
from sambaflow._trace.graph import Attr, Value
from sambaflow._trace.recorder import Recorder
from sambaflow._trace.tensor import Step, View


def replay(recorder: Recorder, view: View, parent: Value) -> Value:
    """The view's value from that of its parent."""
    return _forward(recorder, view, parent)[-1]


def follow(recorder: Recorder, value: Value, steps: Sequence[Step]) -> Value:
    """What `steps` make of `value`."""
    for step in steps:
        value = _viewed(recorder, step, value)
    return value


def scatter(recorder: Recorder, view: View, parent: Value, value: Value) -> Value:
    """The parent's value, which is `parent`, once the view holds `value`."""
    before = _forward(recorder, view, parent, skip_last=True)
    for step, source in zip(reversed(_steps(recorder, view)), reversed(before), strict=True):
        inverse = _INVERSES.get(step.name)
        if inverse is None:
            raise TraceError(f"{recorder.scope.source()}: an in-place write through `{step.name}` cannot be traced")
        value = inverse(recorder, step, source, value)
    return value


def _steps(recorder: Recorder, view: View) -> tuple[Step, ...]:
    if view.steps is None:
        raise TraceError(
            f"{recorder.scope.source()}: a write through this view, or its use after its base was written in place, "
            "cannot be traced; clone it first"
        )
    return view.steps


def _forward(recorder: Recorder, view: View, parent: Value, skip_last: bool = False) -> list[Value]:
    """The parent's value and the values after each step (without the last: what each step starts from)."""
    values = [parent]
    steps = _steps(recorder, view)
    for step in steps[:-1] if skip_last else steps:
        values.append(_viewed(recorder, step, values[-1]))
    return values


def _viewed(recorder: Recorder, step: Step, source: Value) -> Value:
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
        return _gathered(recorder, step, source)
    return recorder.emit(step.name, [source], step.attrs, [step.result])[0]


def _gathered(recorder: Recorder, step: Step, source: Value) -> Value:
    """A view whose elements lie anywhere in its source, taken one by one."""
    dtype, shape = step.result
    places, size = _places(recorder, step), (torch.Size(shape).numel(),)
    flat = _reshaped(recorder, source, (torch.Size(source.shape).numel(),))
    taken = recorder.emit("index_select", [flat, places], {"dim": 0}, [(dtype, size)])[0]
    return _reshaped(recorder, taken, shape)


def _places(recorder: Recorder, step: Step, *, written: bool = False) -> Value:
    """Where in its source, row by row, the elements of a view lie; those that are written have a place of their own."""
    with recorder.untraced():
        every = torch.arange(torch.Size(step.source[1]).numel()).view(step.source[1])
        places = _VIEWED[step.name](every, step.attrs).reshape(-1)
        if written and places.unique().numel() != places.numel():
            raise _overlap(recorder, step)
        return recorder.graph.constant(places)


def _overlap(recorder: Recorder, step: Step) -> TraceError:
    return TraceError(
        f"{recorder.scope.source()}: more than one element of the written-to tensor refers to a single memory location "
        f"({step.name}); clone it first"
    )


def _reshaped(recorder: Recorder, value: Value, shape: Sequence[int]) -> Value:
    return recorder.emit("reshape", [value], {"shape": tuple(shape)}, [(value.dtype, tuple(shape))])[0]


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


def _reshape_back(recorder: Recorder, step: Step, source: Value, value: Value) -> Value:
    return _reshaped(recorder, value, step.source[1])


def _permute_back(recorder: Recorder, step: Step, source: Value, value: Value) -> Value:
    dims = list(step.attrs["dims"])  # type: ignore[arg-type]
    inverse = [dims.index(i) for i in range(len(dims))]
    return recorder.emit("permute", [value], {"dims": inverse}, [step.source])[0]


def _slice_back(recorder: Recorder, step: Step, source: Value, value: Value) -> Value:
    bounds = {key: list(step.attrs[key]) for key in ("start", "stop", "step")}  # type: ignore[arg-type]
    return _slice_scatter(recorder, source, value, **bounds)


def _select_back(recorder: Recorder, step: Step, source: Value, value: Value) -> Value:
    dim, index = int(step.attrs["dim"]), int(step.attrs["index"])  # type: ignore[arg-type]
    start, stop = [0] * len(source.shape), list(source.shape)
    start[dim], stop[dim] = index, index + 1
    return _slice_scatter(recorder, source, value, start, stop, [1] * len(source.shape))


def _slice_scatter(
    recorder: Recorder, source: Value, value: Value, start: list[int], stop: list[int], step: list[int]
) -> Value:
    shape = tuple(-(-(b - a) // s) for a, b, s in zip(start, stop, step, strict=True))
    if value.shape != shape:
        value = recorder.emit("reshape", [value], {"shape": shape}, [(value.dtype, shape)])[0]
    if shape == source.shape:
        return value
    return recorder.emit("slice_scatter", [source, value], {"start": start, "stop": stop, "step": step}, [source.type])[
        0
    ]


def _same(recorder: Recorder, step: Step, source: Value, value: Value) -> Value:
    return value


def _places_back(recorder: Recorder, step: Step, source: Value, value: Value) -> Value:
    """A view whose elements lie anywhere in its source: written one by one, at places known from the shapes."""
    flat = _reshaped(recorder, source, (torch.Size(source.shape).numel(),))
    values = _reshaped(recorder, value, (torch.Size(value.shape).numel(),))
    attrs: dict[str, Attr] = {"dim": 0, "fn": "set"}
    written = recorder.emit("scatter", [flat, _places(recorder, step, written=True), values], attrs, [flat.type])[0]
    return _reshaped(recorder, written, source.shape)


def _expand_back(recorder: Recorder, step: Step, source: Value, value: Value) -> Value:
    """Only where each element has one place, as torch has it."""
    if torch.Size(step.source[1]).numel() != torch.Size(step.result[1]).numel():
        raise _overlap(recorder, step)
    return _reshape_back(recorder, step, source, value)


# The rows that take such views, on a tensor of places.
_VIEWED: dict[str, Callable[[torch.Tensor, Mapping[str, Any]], torch.Tensor]] = {
    "diagonal": lambda places, attrs: places.diagonal(attrs["diagonal"], *attrs["dims"]),
    "unfold": lambda places, attrs: places.unfold(attrs["dim"], attrs["k"], attrs["step"][0]),
    "as_strided": lambda places, attrs: places.as_strided(attrs["shape"], attrs["stride"], attrs["start"][0]),
}

_INVERSES: dict[str, Callable[[Recorder, Step, Value, Value], Value]] = {
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
