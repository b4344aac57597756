# SPDX-License-Identifier: Apache-2.0
"""Functions whose gradient in PyTorch is not that of the pieces that PyTorch takes them apart into.

The pieces meet 0/0 and infinity times 0 where the function itself has a slope: x log y at x = 0, sin x / x at 0. Each
is an `autograd.Function` with PyTorch's own formula, recorded as those of programs are.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from sambaflow._trace.ops.composed import Number, composes, expect, of_rank, operands


def _wide(x: torch.Tensor) -> torch.Tensor:
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


class _OfSaved(torch.autograd.Function):
    """`value` of tensors, and `slopes`: for each of them, its gradient for the cotangent `grad`.

    As in PyTorch, a value of a narrow dtype is computed in float32 and rounded once; slopes are rounded op by op.
    """

    @classmethod
    def forward(cls, ctx: Any, *tensors: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(*tensors)
        return cls.value(*[_wide(tensor) for tensor in tensors]).to(tensors[0].dtype)  # type: ignore[attr-defined]

    @classmethod
    def backward(cls, ctx: Any, grad: torch.Tensor) -> Any:
        return cls.slopes(grad, *ctx.saved_tensors)  # type: ignore[attr-defined]


def _times_log(x: torch.Tensor, y: torch.Tensor, log: torch.Tensor) -> torch.Tensor:
    """x log y, zero where x is, unless y is NaN."""
    return torch.where((x == 0) & (y == y), 0.0, x * log)


class _XLogY(_OfSaved):
    @staticmethod
    def value(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return _times_log(x, y, y.log())

    @staticmethod
    def slopes(grad: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return torch.where((x == 0) & (y <= 0), 0.0, _times_log(grad, y, y.log())), grad * x / y


class _XLog1PY(_OfSaved):
    @staticmethod
    def value(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return _times_log(x, y, y.log1p())

    @staticmethod
    def slopes(grad: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return torch.where((x == 0) & (y <= -1), 0.0, _times_log(grad, y, y.log1p())), grad * x / (y + 1)


class _LogAddExp(_OfSaved):
    @staticmethod
    def value(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        same_infinity = (x == y) & (x.abs() == math.inf)
        return torch.where(same_infinity, x, torch.maximum(x, y) + torch.exp(-(x - y).abs()).log1p())

    @staticmethod
    def slopes(grad: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return grad / (1 + torch.exp(y - x)), grad / (1 + torch.exp(x - y))


class _LogAddExp2(_OfSaved):
    @staticmethod
    def value(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        same_infinity = (x == y) & (x.abs() == math.inf)
        rest = torch.pow(2.0, -(x - y).abs()).log1p() / math.log(2)
        return torch.where(same_infinity, x, torch.maximum(x, y) + rest)

    @staticmethod
    def slopes(grad: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return grad / (1 + torch.pow(2.0, y - x)), grad / (1 + torch.pow(2.0, x - y))


class _Ldexp(_OfSaved):
    @classmethod
    def forward(cls, ctx: Any, x: torch.Tensor, exponent: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        ctx.save_for_backward(x, exponent)
        return x * torch.pow(2.0, exponent)  # two ops in PyTorch, too

    @staticmethod
    def slopes(grad: torch.Tensor, x: torch.Tensor, exponent: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        power = torch.pow(2.0, exponent)
        return grad * power, grad * (x * power) * math.log(2) if exponent.is_floating_point() else None


class _Logit(_OfSaved):
    @staticmethod
    def value(x: torch.Tensor) -> torch.Tensor:
        return (x / (1 - x)).log()

    @staticmethod
    def slopes(grad: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        place = x if x.dtype in (torch.float32, torch.float64) else x.abs()  # PyTorch's code for narrow types has no -0
        return torch.where((x < 0) | (x > 1), math.nan, grad / (place * (1 - place)))


class _Sinc(_OfSaved):
    @staticmethod
    def value(x: torch.Tensor) -> torch.Tensor:
        turned = x * math.pi
        return torch.where(x == 0, 1.0, turned.sin() / turned)

    @staticmethod
    def slopes(grad: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        turned, scale = (_wide(x) * math.pi).to(x.dtype), (_wide(x * x) * math.pi).to(x.dtype)
        return torch.where(scale == 0, 0.0, grad * ((turned * turned.cos() - turned.sin()) / scale))


class _Entropy(_OfSaved):
    @staticmethod
    def value(x: torch.Tensor) -> torch.Tensor:
        known = torch.where(x < 0, -math.inf, -_times_log(x, x, x.log()))
        return torch.where(x == 0, 0.0, known)

    @staticmethod
    def slopes(grad: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return grad * -(1 + x.log())


class Even(_OfSaved):
    """`value`, an element of x, with a gradient that all elements equal to it share (NaN equals NaN)."""

    @staticmethod
    def value(x: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        return value.clone()

    @staticmethod
    def slopes(grad: torch.Tensor, x: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        equal = ((x == value) | (x.isnan() & value.isnan())).to(x.dtype)
        return equal * (grad / equal.sum()), None


class _Masked(_OfSaved):
    """`value` where `keep` is false. The gradient is multiplied by `keep`, so that NaN stays NaN."""

    @staticmethod
    def value(x: torch.Tensor, keep: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        return torch.where(keep != 0, x, value)

    @staticmethod
    def slopes(grad: torch.Tensor, x: torch.Tensor, keep: torch.Tensor, value: Any) -> tuple[Any, ...]:
        return grad * keep, None, None


@composes("median")
def _median(x: torch.Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The lower median; the first NaN where there is one."""
    flat, along = (x.flatten(), 0) if dim is None else (x, dim)
    if x.dim() == 0:
        return x.clone() if dim is None else (x.clone(), torch.zeros((), dtype=torch.int64))
    _, indices = of_rank(flat, (flat.shape[along] - 1) // 2, along, True)
    if x.is_floating_point():
        nans = flat.isnan()
        indices = torch.where(nans.any(along, True), nans.to(torch.int32).argmax(along, True), indices)
    values = flat.gather(along, indices)
    if dim is None:
        return Even.apply(x, values.detach().squeeze(0)) if x.is_floating_point() else values.squeeze(0)
    return (values, indices) if keepdim else (values.squeeze(dim), indices.squeeze(dim))


@composes("nan_to_num")
def _nan_to_num(
    x: torch.Tensor, nan: float | None = None, posinf: float | None = None, neginf: float | None = None
) -> torch.Tensor:
    if not x.is_floating_point():
        return x.clone()
    limits = torch.finfo(x.dtype)
    instead = (
        0.0 if nan is None else nan,
        limits.max if posinf is None else posinf,
        limits.min if neginf is None else neginf,
    )
    number, high, low = (torch.tensor(item, dtype=x.dtype) for item in instead)
    known = torch.where(x.isnan(), number, torch.where(x > 0, high, low))
    return _Masked.apply(x, x.isfinite().to(x.dtype), known)


@composes("nansum")
def _nansum(x: torch.Tensor, dim: Any = None, keepdim: bool = False, *, dtype: torch.dtype | None = None) -> Any:
    known = x
    if x.is_floating_point():
        known = _Masked.apply(x, x.isnan().logical_not().to(x.dtype), torch.zeros((), dtype=x.dtype))
    return torch.sum(known, dim, keepdim, dtype=dtype)


@composes("xlogy")
def _xlogy(x: torch.Tensor | Number, other: torch.Tensor | Number) -> torch.Tensor:
    return _XLogY.apply(*operands(x, other))


@composes("special_xlog1py")
def _xlog1py(x: torch.Tensor | Number, other: torch.Tensor | Number) -> torch.Tensor:
    return _XLog1PY.apply(*operands(x, other))


@composes("logaddexp")
def _logaddexp(x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return _LogAddExp.apply(*operands(x, other))


@composes("logaddexp2")
def _logaddexp2(x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return _LogAddExp2.apply(*operands(x, other))


@composes("ldexp")
def _ldexp(x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    dtype = torch.result_type(x, other)
    x = x.to(dtype if dtype.is_floating_point else torch.get_default_dtype())
    return _Ldexp.apply(x, other.to(x.dtype) if other.is_floating_point() else other)


@composes("logit")
def _logit(x: torch.Tensor, eps: float | None = None) -> torch.Tensor:
    (x,) = operands(x)
    return _Logit.apply(x if eps is None or eps < 0 else x.clamp(eps, 1 - eps))


@composes("sinc")
def _sinc(x: torch.Tensor) -> torch.Tensor:
    return _Sinc.apply(*operands(x))


@composes("special_entr")
def _entropy(x: torch.Tensor) -> torch.Tensor:
    return _Entropy.apply(*operands(x))


@composes("softshrink")
def _softshrink(x: torch.Tensor, lambd: float = 0.5) -> torch.Tensor:
    expect(lambd >= 0, f"softshrink has a negative border, {lambd}")
    return torch.where(x.abs() <= lambd, 0.0, x - x.detach().sign() * lambd)
