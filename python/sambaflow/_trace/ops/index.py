# SPDX-License-Identifier: Apache-2.0
"""Reading and writing by index, sorting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from sambaflow._trace.call import Call, axis, handles
from sambaflow._trace.graph import Attr, Value
from sambaflow._trace.indexing import INSTEAD, check_masks, static_index
from sambaflow._trace.ops.composed import scaled_by_frequency
from sambaflow._trace.tensor import TracedTensor, as_meta

_SCATTER_FN = {"sum": "add", "add": "add", "multiply": "mul", "prod": "mul", "amax": "max", "amin": "min"}


@handles("embedding")
def _embedding(
    c: Call, weight: Any, indices: Any, padding_idx: int = -1, scale_grad_by_freq: bool = False, **_: Any
) -> Value:
    index = padding_idx % weight.shape[0] if padding_idx != -1 else -1
    value = c.emit("embedding", [c.value(weight), c.value(indices)], {"index": index})
    if not scale_grad_by_freq:
        return value
    return c.value(c.tracer.composed(scaled_by_frequency, c.tracer.wrap(value), indices, weight.shape[0]))


@handles("index_select")
def _index_select(c: Call, x: Any, dim: int, index: Any, **_: Any) -> Value:
    return c.emit("index_select", [c.value(x), c.value(index)], {"dim": axis(dim, x.dim())})


@handles("gather")
def _gather(c: Call, x: Any, dim: int, index: Any, **_: Any) -> Value:
    return c.emit("gather", [c.value(x), c.value(index)], {"dim": axis(dim, x.dim())})


@handles("scatter", "scatter_add", "scatter_reduce")
def _scatter(
    c: Call, x: Any, dim: int, index: Any, src: Any = None, value: Any = None, reduce: str | None = None,
    include_self: bool = True, **_: Any,
) -> Any:  # fmt: skip
    fn = "add" if c.name == "scatter_add" else "set" if reduce is None else _SCATTER_FN.get(reduce)
    wants_gradient = torch.is_grad_enabled() and any(t.value.needs_gradient for t in c.traced)
    if fn is None or not include_self or (fn == "mul" and c.name == "scatter_reduce" and wants_gradient):
        return NotImplemented
    shape = tuple(index.shape)
    if src is None:
        source = c.operand(value, x.dtype)
        source = c.emit("expand", [source], {"shape": shape}, (x.dtype, shape)) if shape else source
    else:
        source = c.operand(src, x.dtype)
        if source.shape != shape:  # torch reads the leading part of src
            attrs: dict[str, Attr] = {"start": [0] * len(shape), "stop": shape, "step": [1] * len(shape)}
            source = c.emit("narrow", [source], attrs, (x.dtype, shape))
    return c.emit("scatter", [c.value(x), c.value(index), source], {"dim": axis(dim, x.dim()), "fn": fn})


@handles("index_add")
def _index_add(c: Call, x: Any, dim: int, index: Any, source: Any, alpha: float = 1, **_: Any) -> Value:
    along = axis(dim, x.dim())
    shape = (*x.shape[:along], index.numel(), *x.shape[along + 1 :])
    if x.dim() > 0 and source.shape != shape:
        raise RuntimeError(
            f"{c.tracer.scope.source()}: index_add: source has shape {list(source.shape)} and not {list(shape)}, that "
            f"of self with one part for each index in dim {along}"
        )
    attrs: dict[str, Attr] = {"dim": along} | ({} if alpha == 1 else {"alpha": float(alpha)})
    return c.emit("index_add", [c.value(x), c.value(index), c.operand(source, x.dtype)], attrs)


@handles("index_copy")
def _index_copy(c: Call, x: Any, dim: int, index: Any, source: Any, **_: Any) -> Value:
    keep: list[Value | None] = [None] * axis(dim, x.dim())
    moved = c.operand(source, x.dtype)
    if x.dim() == 0:  # one element, and one index
        return c.emit("reshape", [moved], {"shape": []}, (x.dtype, ()))
    return c.emit("index_put", [c.value(x), moved, *keep, c.value(index)], {"fn": "set", "wraps": False})


def _has_traced_mask(indices: Sequence[Any]) -> bool:
    return any(isinstance(i, TracedTensor) and i.dtype in (torch.bool, torch.uint8) for i in indices)


def _constant_masks(c: Call, indices: Sequence[Any]) -> list[Any]:
    with c.tracer.untraced():
        return list(static_index(tuple(indices)))


@handles("index")
def _index(c: Call, x: Any, indices: Sequence[Any], **_: Any) -> Any:
    if _has_traced_mask(indices):
        c.tracer.unsupported("index", f"the shape of x[mask] depends on values; {INSTEAD}")
        c.tracer.check()
    fixed = _constant_masks(c, indices)
    if len(fixed) != len(indices):
        return c.tracer.value(c.again(torch.ops.aten.index.Tensor, x, fixed))
    return c.emit("index", [c.value(x), *[c.optional(i) for i in fixed]])


@handles("index_put", "_unsafe_index_put")
def _index_put(c: Call, x: Any, indices: Sequence[Any], values: Any, accumulate: bool = False, **_: Any) -> Any:
    check_masks(c.tracer, tuple(slice(None) if i is None else i for i in indices), x.shape)
    if _has_traced_mask(indices):
        return _masked_put(c, x, indices, values, accumulate)
    fixed = _constant_masks(c, indices)
    operands = [c.value(x), c.operand(values, x.dtype), *[c.optional(i) for i in fixed]]
    return c.emit("index_put", operands, {"fn": "add" if accumulate else "set"}, x)


def _masked_put(c: Call, x: Any, indices: Sequence[Any], values: Any, accumulate: bool) -> Any:
    """x[mask] = number: a masked fill."""
    if len(indices) != 1 or values.numel() != 1 or accumulate:
        c.tracer.unsupported("index_put", "x[mask] = values with values of a shape that depends on the mask")
        return c.tracer.undefined([(x.dtype, tuple(x.shape))])[0]
    mask = c.operand(indices[0], torch.bool)
    shape = mask.shape + (1,) * (x.dim() - len(mask.shape))
    if shape != mask.shape:
        mask = c.emit("reshape", [mask], {"shape": shape}, (torch.bool, shape))
    number = c.operand(values, x.dtype)
    if number.shape:
        number = c.emit("reshape", [number], {"shape": []}, (x.dtype, ()))
    return c.emit("masked_fill", [c.value(x), mask, number], {}, x)


@handles("one_hot")
def _one_hot(c: Call, x: Any, num_classes: int = -1, **_: Any) -> Value:
    shape = (*x.shape, num_classes)
    if num_classes < 0:
        c.tracer.unsupported("one_hot", "the shape depends on values; pass num_classes")
        c.tracer.check()
    return c.emit("one_hot", [c.value(x)], {"k": num_classes}, (torch.int64, shape))


@handles("topk")
def _topk(c: Call, x: Any, k: int, dim: int = -1, largest: bool = True, **_: Any) -> list[Value]:
    attrs: dict[str, Attr] = {"k": k, "dim": axis(dim, x.dim()), "descending": largest}
    return c.emit_many("topk", [c.value(x)], attrs, list(c.out))


@handles("sort", "msort")
def _sort(c: Call, x: Any, dim: int = -1, descending: bool = False, **_: Any) -> Any:
    if c.name == "msort":
        return NotImplemented
    attrs: dict[str, Attr] = {"dim": axis(dim, x.dim()), "descending": descending}
    return c.emit_many("sort", [c.value(x)], attrs, list(c.out))


@handles("argsort")
def _argsort(c: Call, x: Any, dim: int = -1, descending: bool = False, **_: Any) -> Value:
    return c.emit("argsort", [c.value(x)], {"dim": axis(dim, x.dim()), "descending": descending})


@handles("searchsorted", "bucketize")
def _searchsorted(
    c: Call, x: Any, sorted_sequence: Any = None, boundaries: Any = None, out_int32: bool = False, right: bool = False,
    side: str | None = None, sorter: Any = None, **_: Any,
) -> Value:  # fmt: skip
    lines = sorted_sequence if boundaries is None else boundaries
    dtype, shape = torch.result_type(as_meta(lines), as_meta(x)), tuple(c.out.shape)
    refused = {
        "torch has none for bool and complex numbers": dtype == torch.bool or dtype.is_complex,
        "side is left or right": side not in (None, "left", "right"),
        "boundaries have one dim": boundaries is not None and boundaries.dim() != 1,
    }
    for reason in (reason for reason, holds in refused.items() if holds):  # what torch's shape functions let pass
        c.tracer.unsupported(c.name, reason)
        c.tracer.check()
    if sorter is not None:
        lines = c.again(torch.ops.aten.gather.default, lines, -1, sorter)
    attrs: dict[str, Attr] = {"fn": "gt" if right or side == "right" else "ge"}
    place = c.emit("searchsorted", [c.operand(lines, dtype), c.operand(x, dtype)], attrs, (torch.int64, shape))
    return c.cast(place, torch.int32) if out_int32 else place
