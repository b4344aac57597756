# SPDX-License-Identifier: Apache-2.0
"""Reductions, scans, softmax."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from sambaflow._trace.call import Call, axes, axis, handles
from sambaflow._trace.graph import Attr, Value


def _over(x: Any, dim: int | Sequence[int] | None, keepdim: bool = False) -> dict[str, Attr]:
    dims = axes(dim, x.dim())
    return {"dims": dims} | ({"keepdim": 1} if keepdim else {})


@handles("sum", "mean", "prod", "amax", "amin", "logsumexp")
def _reduction(c: Call, x: Any, dim: Any = None, keepdim: bool = False, **_: Any) -> Value:
    return c.emit(c.name, [c.operand(x, c.out.dtype)], _over(x, dim, keepdim))


@handles("any", "all")
def _truth(c: Call, x: Any, dim: Any = None, keepdim: bool = False, **_: Any) -> Value:
    found = c.emit(c.name, [c.operand(x, torch.bool)], _over(x, dim, keepdim), (torch.bool, tuple(c.out.shape)))
    return c.cast(found, c.out.dtype)


@handles("max", "min")
def _extreme(c: Call, x: Any, dim: int | None = None, keepdim: bool = False, other: Any = None, **_: Any) -> Any:
    if other is not None:
        row = {"max": "maximum", "min": "minimum"}[c.name]
        return c.emit(row, [c.operand(x, c.out.dtype), c.operand(other, c.out.dtype)])
    if dim is None:
        return c.emit("a" + c.name, [c.value(x)], _over(x, None) | {"mode": "even"})
    attrs: dict[str, Attr] = {"dim": axis(dim, x.dim())} | ({"keepdim": 1} if keepdim else {})
    return c.emit_many(c.name, [c.value(x)], attrs, list(c.out))


@handles("argmax", "argmin")
def _argument(c: Call, x: Any, dim: int | None = None, keepdim: bool = False, **_: Any) -> Value:
    return c.emit(c.name, [c.value(x)], _over(x, dim, keepdim))


@handles("var", "std")
def _spread(
    c: Call,
    x: Any,
    dim: Any = None,
    unbiased: bool | None = None,
    correction: Any = None,
    keepdim: bool = False,
    **_: Any,
) -> Value:
    if correction is None:
        correction = 0 if unbiased is False else 1
    return c.emit(c.name, [c.value(x)], _over(x, dim, keepdim) | {"correction": float(correction)})


@handles("var_mean", "std_mean")
def _spread_mean(
    c: Call,
    x: Any,
    dim: Any = None,
    unbiased: bool | None = None,
    correction: Any = None,
    keepdim: bool = False,
    **_: Any,
) -> list[Value]:
    if correction is None:
        correction = 0 if unbiased is False else 1
    attrs = _over(x, dim, keepdim)
    spread = c.emit(c.name[:3], [c.value(x)], attrs | {"correction": float(correction)}, c.out[0])
    return [spread, c.emit("mean", [c.value(x)], attrs, c.out[1])]


@handles("norm", "linalg_vector_norm")
def _norm(c: Call, x: Any, p: Any = 2, ord: Any = None, dim: Any = None, keepdim: bool = False, **_: Any) -> Any:
    exponent = ord if c.name == "linalg_vector_norm" else p
    exponent = 2.0 if exponent is None else float(exponent)
    return c.emit("norm", [c.operand(x, c.out.dtype)], _over(x, dim, keepdim) | {"p": exponent})


@handles("cumsum", "cumprod")
def _scan(c: Call, x: Any, dim: int, **_: Any) -> Value:
    value = c.operand(x, c.out.dtype)
    return c.emit(c.name, [value], {"dim": axis(dim, x.dim())}) if x.dim() else value


@handles("softmax", "log_softmax", "_softmax", "_log_softmax")
def _softmax(c: Call, x: Any, dim: int, **_: Any) -> Value:
    value = c.operand(x, c.out.dtype)
    if x.dim() == 0:  # one element: softmax is 1
        value = c.emit("reshape", [value], {"shape": [1]}, (value.dtype, (1,)))
        value = c.emit(c.name.lstrip("_"), [value], {"dim": 0}, (value.dtype, (1,)))
        return c.emit("reshape", [value], {"shape": []})
    return c.emit(c.name.lstrip("_"), [value], {"dim": axis(dim, x.dim())})


@handles("dist")
def _dist(c: Call, x: Any, other: Any, p: float = 2, **_: Any) -> Value:
    difference = c.again(torch.ops.aten.sub.Tensor, x, other)
    return c.emit("norm", [c.value(difference)], {"dims": [], "p": float(p)})
