# SPDX-License-Identifier: Apache-2.0
"""Casts, copies, views, and everything that only moves elements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from sambaflow._trace import views
from sambaflow._trace.call import Call, axis, handles, type_of
from sambaflow._trace.errors import TraceError
from sambaflow._trace.geometry import Layout, steps_to
from sambaflow._trace.graph import Attr, Value
from sambaflow._trace.tensor import TracedTensor

# ATen name -> row: the result's shape says it all.
_RESHAPES = {
    "reshape": "reshape", "_reshape_alias": "reshape", "view_as": "reshape", "unflatten": "reshape", "view": "view",
    "_unsafe_view": "view", "flatten": "flatten", "ravel": "flatten", "squeeze": "squeeze", "unsqueeze": "unsqueeze",
}  # fmt: skip


@handles(*_RESHAPES)
def _reshape(c: Call, x: Any, dtype: torch.dtype | None = None, **_: Any) -> Any:
    if c.name == "view" and c.overload == "dtype":
        return _reinterpreted(c)
    if not isinstance(x, TracedTensor):
        return _plain(c, lambda: x.reshape(c.out.shape))
    if c.out.numel() == x.numel() and tuple(c.out.shape) == tuple(x.shape) and c.out is x.meta:
        return x
    return c.emit(_RESHAPES[c.name], [c.value(x)], {"shape": tuple(c.out.shape)})


def _plain(c: Call, compute: Callable[[], torch.Tensor]) -> torch.Tensor:
    """The result for a plain tensor, where the traced argument gives its shape or dtype alone."""
    with c.tracer.untraced():
        result = compute()
    c.tracer.origins.follow(c.name, c.args, result)
    return result


def _reinterpreted(c: Call) -> Value:
    c.tracer.unsupported("view.dtype", "the bits of a tensor cannot be reinterpreted")
    return c.tracer.undefined([(c.out.dtype, tuple(c.out.shape))])[0]


@handles("to", "_to_copy", "type_as")
def _to(c: Call, x: Any, **_: Any) -> Any:
    if not isinstance(x, TracedTensor):
        return _plain(c, lambda: x.to(c.out.dtype))
    if c.out is x.meta:
        return x
    if c.out.dtype == x.dtype:
        return c.emit("clone", [c.value(x)])
    return c.emit("to", [c.value(x)], {"dtype": c.out.dtype})


@handles("clone", "contiguous", "detach", "alias", "lift_fresh")
def _identity(c: Call, x: Any, **_: Any) -> Any:
    if c.out is x.meta:
        return x
    row = c.name if c.name in ("clone", "contiguous", "detach") else "contiguous"
    return c.emit(row, [c.value(x)])


def _permuted(c: Call, x: Any, dims: Sequence[int], row: str) -> Value:
    return c.emit(row, [c.value(x)], {"dims": [axis(d, x.dim()) for d in dims]})


@handles("permute")
def _permute(c: Call, x: Any, dims: Sequence[int], **_: Any) -> Value:
    return _permuted(c, x, dims, "permute")


@handles("transpose", "t", "numpy_T", "mT", "adjoint", "swapaxes", "swapdims")
def _transpose(
    c: Call, x: Any, dim0: int = -2, dim1: int = -1, axis0: int | None = None, axis1: int | None = None, **_: Any
) -> Value:
    order = list(range(x.dim()))
    if c.name == "numpy_T":
        order.reverse()
    elif x.dim() >= 2:
        if axis0 is not None and axis1 is not None:
            dim0, dim1 = axis0, axis1
        a, b = axis(dim0, x.dim()), axis(dim1, x.dim())
        order[a], order[b] = order[b], order[a]
    return _permuted(c, x, order, "transpose")


@handles("expand", "expand_as", "broadcast_to")
def _expand(c: Call, x: Any, **_: Any) -> Any:
    if not isinstance(x, TracedTensor):
        return _plain(c, lambda: x.expand(c.out.shape))
    return c.emit("expand", [c.value(x)], {"shape": tuple(c.out.shape)})


@handles("as_strided")
def _as_strided(c: Call, x: Any, **_: Any) -> Any:
    if not (x.meta.is_contiguous() and x.meta.storage_offset() == 0):
        c.tracer.unsupported("as_strided", "of a view: clone it first")
        return c.tracer.undefined([type_of(c.out)])[0]
    c.steps = steps_to(Layout.of(c.out), x.shape, x.dtype)
    return views.follow(c.tracer, c.value(x), c.steps)


# ---- slices


def _slice(c: Call, x: Any, row: str, dim: int, start: int, stop: int, step: int = 1, like: Any = None) -> Value:
    """One piece of `x` along `dim`; the other dims are taken whole."""
    starts, stops, steps = [0] * x.dim(), list(x.shape), [1] * x.dim()
    starts[dim], stops[dim], steps[dim] = start, stop, step
    attrs: dict[str, Attr] = {"start": starts, "stop": stops, "step": steps}
    return c.emit(row, [c.value(x)], attrs, like)


@handles("slice")
def _slice_op(
    c: Call, x: Any, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1, **_: Any
) -> Value:
    dim = axis(dim, x.dim())
    first, last, _step = slice(start, end, step).indices(x.shape[dim])
    return _slice(c, x, "narrow", dim, first, max(first, last), step)


@handles("narrow")
def _narrow(c: Call, x: Any, dim: int, start: Any, length: int, **_: Any) -> Any:
    if isinstance(start, torch.Tensor):
        return NotImplemented
    dim = axis(dim, x.dim())
    first = int(start) % x.shape[dim] if start < 0 else int(start)
    return _slice(c, x, "narrow", dim, first, first + length)


@handles("select")
def _select(c: Call, x: Any, dim: int, index: int, **_: Any) -> Value:
    dim = axis(dim, x.dim())
    c.out  # noqa: B018 - torch checks the index
    return c.emit("select", [c.value(x)], {"dim": dim, "index": int(index) % x.shape[dim]})


@handles(
    "split", "split_with_sizes", "chunk", "unsafe_split", "unsafe_chunk", "tensor_split", "unsafe_split_with_sizes"
)
def _split(c: Call, x: Any, dim: int = 0, **rest: Any) -> Any:
    if any(isinstance(value, torch.Tensor) for value in rest.values()):
        return NotImplemented
    dim = axis(dim, x.dim())
    pieces, start = [], 0
    for piece in c.out:
        pieces.append(_slice(c, x, "split", dim, start, start + piece.shape[dim], like=piece))
        start += piece.shape[dim]
    return pieces


@handles("unbind")
def _unbind(c: Call, x: Any, dim: int = 0, **_: Any) -> list[Value]:
    dim = axis(dim, x.dim())
    return [c.emit("select", [c.value(x)], {"dim": dim, "index": i}, piece) for i, piece in enumerate(c.out)]


@handles("slice_scatter")
def _slice_scatter(
    c: Call, x: Any, src: Any, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1, **_: Any
) -> Value:
    dim = axis(dim, x.dim())
    first, last, _step = slice(start, end, step).indices(x.shape[dim])
    starts, stops, steps = [0] * x.dim(), list(x.shape), [1] * x.dim()
    starts[dim], stops[dim], steps[dim] = first, max(first, last), step
    return c.emit(
        "slice_scatter", [c.value(x), c.operand(src, x.dtype)], {"start": starts, "stop": stops, "step": steps}
    )


# ---- joining, repeating, padding


@handles("cat", "concat", "concatenate", "stack")
def _join(c: Call, tensors: Sequence[Any], dim: int = 0, **_: Any) -> Value:
    row = "stack" if c.name == "stack" else "cat"
    legacy_empty = row == "cat" and c.out.dim() > 1  # torch lets tensors of shape [0] take part in any cat
    parts = [t for t in tensors if not (legacy_empty and tuple(t.shape) == (0,))]
    return c.emit(row, [c.operand(t, c.out.dtype) for t in parts], {"dim": axis(dim, c.out.dim())})


@handles("repeat", "tile")
def _repeat(
    c: Call, x: Any, repeats: Sequence[int] | None = None, dims: Sequence[int] | None = None, **_: Any
) -> Value:
    counts = list(repeats if repeats is not None else dims or [])
    counts = [1] * (x.dim() - len(counts)) + counts
    return c.emit("repeat", [c.value(x)], {"shape": counts})


@handles("repeat_interleave")
def _repeat_interleave(c: Call, repeats: Any, x: Any = None, dim: int | None = None, **_: Any) -> Any:
    if not isinstance(repeats, int):
        return NotImplemented
    value = c.value(x)
    if dim is None:
        value = c.emit("flatten", [value], {"shape": [x.numel()]}, (x.dtype, (x.numel(),)))
        dim = 0
    return c.emit("repeat_interleave", [value], {"k": repeats, "dim": axis(dim, x.dim())})


@handles("flip")
def _flip(c: Call, x: Any, dims: Sequence[int], **_: Any) -> Value:
    return c.emit("flip", [c.value(x)], {"dims": sorted(axis(d, x.dim()) for d in dims)}) if x.dim() else c.value(x)


@handles("roll")
def _roll(c: Call, x: Any, shifts: Sequence[int], dims: Sequence[int] = (), **_: Any) -> Value:
    value = c.value(x)
    if dims:
        return c.emit("roll", [value], {"start": list(shifts), "dims": [axis(d, x.dim()) for d in dims]})
    flat = (x.dtype, (x.numel(),))
    value = c.emit("flatten", [value], {"shape": flat[1]}, flat)
    value = c.emit("roll", [value], {"start": list(shifts), "dims": [0]}, flat)
    return c.emit("reshape", [value], {"shape": tuple(c.out.shape)})


@handles("tril", "triu")
def _triangle(c: Call, x: Any, diagonal: int = 0, **_: Any) -> Value:
    return c.emit(c.name, [c.value(x)], {"diagonal": diagonal})


@handles("diagonal")
def _diagonal(c: Call, x: Any, offset: int = 0, dim1: int = 0, dim2: int = 1, **_: Any) -> Value:
    attrs: dict[str, Attr] = {"diagonal": offset, "dims": [axis(dim1, x.dim()), axis(dim2, x.dim())]}
    return c.emit("diagonal", [c.value(x)], attrs)


@handles("unfold")
def _unfold(c: Call, x: Any, dimension: int, size: int, step: int, **_: Any) -> Value:
    return c.emit("unfold", [c.value(x)], {"dim": axis(dimension, x.dim()), "k": size, "step": [step]})


@handles("pad", "constant_pad_nd")
def _pad(c: Call, x: Any, pad: Sequence[int], mode: str = "constant", value: float | None = None, **_: Any) -> Value:
    rank = x.dim()
    low, high = [0] * rank, [0] * rank
    for i in range(len(pad) // 2):  # torch lists pairs from the last dim backwards
        low[rank - 1 - i], high[rank - 1 - i] = pad[2 * i], pad[2 * i + 1]
    source = c.value(x)
    if min(low + high, default=0) < 0:  # negative padding cuts
        start = [max(0, -n) for n in low]
        stop = [n - max(0, -h) for n, h in zip(x.shape, high, strict=True)]
        for dim, size in enumerate(x.shape):
            left, pads = stop[dim] - start[dim], max(low[dim], high[dim]) > 0
            if left <= 0 < size and pads and mode == "replicate":  # all is cut: what is next is repeated
                start[dim] = size - 1 if low[dim] < 0 else 0
                stop[dim], low[dim], high[dim] = start[dim] + 1, 0, size + low[dim] + high[dim] - 1
            elif left < 0 or (left == 0 and mode != "constant" and pads):
                raise TraceError(
                    f"{c.tracer.scope.source()}: pad ({mode}) by {low[dim]} and {high[dim]} cuts all {size} "
                    f"elements of dim {dim} away and puts others in their place, which no element says; cut less"
                )
        shape = tuple(b - a for a, b in zip(start, stop, strict=True))
        source = c.emit("narrow", [source], {"start": start, "stop": stop, "step": [1] * rank}, (x.dtype, shape))
        low, high = [max(0, n) for n in low], [max(0, n) for n in high]
    if not any(low + high):
        return c.emit("clone", [source])
    return c.emit(
        "pad", [source], {"low": low, "high": high, "mode": mode, "value": 0.0 if value is None else float(value)}
    )


# ---- tensors that depend on a traced one in shape only: plain tensors


@handles("zeros_like", "new_zeros", "ones_like", "new_ones", "full_like", "new_full", "empty_like", "new_empty")
def _constant_like(c: Call, x: Any, fill_value: float = 0, **_: Any) -> torch.Tensor:
    number = 1 if c.name in ("ones_like", "new_ones") else fill_value
    if isinstance(number, torch.Tensor):
        return NotImplemented  # a traced fill value
    with c.tracer.untraced():
        return torch.empty_strided(tuple(c.out.shape), c.out.stride(), dtype=c.out.dtype).fill_(number)
