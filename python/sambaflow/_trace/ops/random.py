# SPDX-License-Identifier: Apache-2.0
"""Random draws. Each is a stream of its own, seeded by the session and counted by the step."""

from __future__ import annotations

from typing import Any

import torch

from sambaflow._trace.call import Call, handles, handles_random, type_of
from sambaflow._trace.graph import Type, Value
from sambaflow._trace.memory import covering
from sambaflow._trace.ops.composed import composes

_DIGITS = {torch.bfloat16: 8, torch.float16: 11}  # of a number that is drawn from [0, 1)


def _draw(c: Call, row: str, like: torch.Tensor | Type) -> Value:
    """In float32 where `like` is of a narrow dtype: what is made of it has to be cast."""
    dtype, shape = type_of(like)
    kind = (dtype if dtype == torch.float64 else torch.float32, shape)
    draw = c.emit(row, [], {"stream": c.tracer.next_stream()}, kind)
    if row != "rand" or dtype not in _DIGITS:
        return draw
    steps = 2.0 ** _DIGITS[dtype]
    return _affine(c, c.emit("floor", [_affine(c, draw, steps, 0)], {}, kind), 1 / steps, 0)


def _affine(c: Call, value: Value, scale: Any, offset: Any) -> Value:
    if isinstance(scale, torch.Tensor) or scale != 1:
        value = c.emit("mul", [value, c.operand(scale, value.dtype)], {}, value.type)
    if isinstance(offset, torch.Tensor) or offset != 0:
        value = c.emit("add", [value, c.operand(offset, value.dtype)], {}, value.type)
    return value


@handles_random("rand", "randn", "rand_like", "randn_like")
def _rand(c: Call, **_: Any) -> Value:
    return c.cast(_draw(c, c.name.removesuffix("_like"), c.out), c.out.dtype)


@handles_random("uniform_")
def _uniform(c: Call, x: Any, low: float = 0.0, to: float = 1.0, **_: Any) -> Value:
    return _affine(c, _draw(c, "rand", x), to - low, low)


@handles_random("normal_")
def _normal_in_place(c: Call, x: Any, mean: float = 0.0, std: float = 1.0, **_: Any) -> Value:
    return _affine(c, _draw(c, "randn", x), std, mean)


@handles_random("normal")
def _normal(c: Call, mean: Any = 0.0, std: Any = 1.0, **_: Any) -> Value:
    """Mean and standard deviation have zeros as gradients, as in PyTorch."""
    given = [t for t in (mean, std) if isinstance(t, torch.Tensor)]
    std, mean = (c.again(torch.ops.aten.detach.default, t) if isinstance(t, torch.Tensor) else t for t in (std, mean))
    value = c.cast(_affine(c, _draw(c, "randn", c.out), std, mean), c.out.dtype)
    for tensor in given:
        value = covering(c.tracer, value, c.value(tensor))
    return value


@handles_random("randint", "randint_like")
def _randint(c: Call, high: int, low: int = 0, **_: Any) -> Value:
    value = _affine(c, _draw(c, "rand", (torch.float32, tuple(c.out.shape))), high - low, low)
    return c.cast(c.emit("floor", [value], {}, value.type), c.out.dtype)


@handles_random("bernoulli", "bernoulli_")
def _bernoulli(c: Call, x: Any, p: Any = None, **_: Any) -> Value:
    chance = x if p is None else p
    draw = _draw(c, "rand", (torch.float32, tuple(x.shape)))
    hit = c.emit("lt", [draw, c.operand(chance, torch.float32)], {}, (torch.bool, tuple(x.shape)))
    value = c.cast(hit, x.dtype)
    return covering(c.tracer, value, c.value(x)) if c.name == "bernoulli" else value


@handles_random("exponential_")
def _exponential(c: Call, x: Any, lambd: float = 1.0, **_: Any) -> Value:
    draw = _draw(c, "rand", x)
    negative = c.emit("neg", [draw], {}, draw.type)
    return _affine(c, c.emit("log1p", [negative], {}, draw.type), -1.0 / lambd, 0)


@handles("dropout", "native_dropout")
def _dropout(c: Call, x: Any, p: float = 0.5, train: bool | None = True, **_: Any) -> Any:
    if c.name == "native_dropout":
        return NotImplemented
    attrs = {"p": float(p), "training": bool(train), "stream": c.tracer.next_stream()}
    return c.emit("dropout", [c.value(x)], attrs, x)


@composes("multinomial")
def _multinomial(x: torch.Tensor, num_samples: int, replacement: bool = False, **_: Any) -> torch.Tensor:
    """Places in proportion to x: where a draw lies among the sums so far; or, without replacement, the largest of x
    divided by exponential draws."""
    weights = x.detach().float() if x.dtype != torch.float64 else x.detach()
    if replacement:
        sums = weights.cumsum(-1)
        draws = torch.rand((*x.shape[:-1], num_samples), dtype=weights.dtype) * sums[..., -1:]
        return torch.searchsorted(sums, draws, right=True).clamp(max=x.shape[-1] - 1)
    draws = -torch.log1p(-torch.rand_like(weights)).clamp(max=-1e-30)
    return (weights / draws).topk(num_samples)[1]
