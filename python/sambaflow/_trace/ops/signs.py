# SPDX-License-Identifier: Apache-2.0
"""Functions of two numbers that choose one of them, and of the sign and exponent of one, composed of maps."""

from __future__ import annotations

import math
from typing import Any

import torch

from sambaflow._trace.ops.composed import composes, operands


def _promoted(x: torch.Tensor, other: torch.Tensor, *, floating: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    dtype = torch.result_type(x, other)
    if floating and not dtype.is_floating_point:
        dtype = torch.get_default_dtype()
    return x.to(dtype), other.to(dtype)


class _Chosen(torch.autograd.Function):
    """x where it is `taken`, else `other`; the gradient goes to x where it is `first`."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, other: torch.Tensor, taken: torch.Tensor, first: torch.Tensor) -> Any:
        ctx.save_for_backward(first)
        return torch.where(taken, x, other)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (first,) = ctx.saved_tensors
        return torch.where(first, grad, 0.0), torch.where(first, 0.0, grad), None, None


def _farther(x: torch.Tensor, other: torch.Tensor, exceeds: Any, reaches: Any) -> torch.Tensor:
    """What is farther; that which is a number where the other is none. The first of equal ones has the gradient and
    is taken, but in bfloat16, which shows at zeros."""
    x, other = _promoted(x, other)
    none = other != other
    first = reaches(x, other) | none
    taken = exceeds(x, other) | none if x.dtype == torch.bfloat16 else first
    return _Chosen.apply(x, other, taken, first)  # type: ignore[no-any-return]


@composes("fmax")
def _fmax(x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return _farther(x, other, torch.gt, torch.ge)


@composes("fmin")
def _fmin(x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return _farther(x, other, torch.lt, torch.le)


@composes("signbit")
def _signbit(x: torch.Tensor) -> torch.Tensor:
    """Whether the sign of x is minus, as that of -0 is; of NaN it is taken for plus."""
    if x.dtype == torch.bool:
        return torch.zeros_like(x)
    return (x < 0) | ((x == 0) & (1 / x < 0)) if x.is_floating_point() else x < 0


@composes("sgn")
def _sgn(x: torch.Tensor) -> torch.Tensor:
    """As torch.sign, but without a gradient, where that has zeros, which an infinite slope before it makes NaN."""
    return torch.sign(x.detach())


class _Angle(torch.autograd.Function):
    """That of a complex number with x as its real part: 0 or pi, without a slope."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return torch.where(x < 0, torch.full_like(x, math.pi), torch.where(x != x, x, 0.0))

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(ctx.saved_tensors[0])


@composes("angle")
def _angle(x: torch.Tensor) -> torch.Tensor:
    return _Angle.apply(*operands(x))  # type: ignore[no-any-return]


class _CopySign(torch.autograd.Function):
    """|x| with the sign of `sign`; as in PyTorch the slope is the quotient of both, and 0 at 0 and for the sign."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, sign: torch.Tensor) -> torch.Tensor:
        result = torch.where(_signbit(sign), -x.abs(), x.abs())
        ctx.save_for_backward(x, result)
        return result

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, result = ctx.saved_tensors
        return grad * torch.where(x == 0, 0.0, result / x), torch.zeros_like(grad)


@composes("copysign")
def _copysign(x: torch.Tensor, other: torch.Tensor | float) -> torch.Tensor:
    sign = other if isinstance(other, torch.Tensor) else torch.tensor(other)
    return _CopySign.apply(_promoted(x, sign, floating=True)[0], sign)  # type: ignore[no-any-return]


class _Hypot(torch.autograd.Function):
    """The root of the sum of the squares, which do not overflow."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        a, b = x.double().abs(), y.double().abs()
        large, small = torch.maximum(a, b), torch.minimum(a, b)
        ratio = torch.where(large == 0, 0.0, small / large)
        infinite = (a == torch.inf) | (b == torch.inf)
        result = torch.where(infinite, torch.inf, large * torch.sqrt(1 + ratio * ratio)).to(x.dtype)
        ctx.save_for_backward(x, y, result)
        return result

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x, y, result = ctx.saved_tensors
        return grad * x / result, grad * y / result


@composes("hypot")
def _hypot(x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return _Hypot.apply(*_promoted(x, other))  # type: ignore[no-any-return]


_NORMAL = 2.0**64  # brings what is denormal in double precision among the normal numbers


def _exponent(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """x, finite and in double precision, as m * 2 ** e with |m| in [0.5, 1), or 0."""
    tiny = x.abs() < 2.0**-960
    mantissa = torch.where(tiny, x * _NORMAL, x)
    exponent = torch.where(tiny, -64, 0)
    for bits in (512, 256, 128, 64, 32, 16, 8, 4, 2, 1, 1):
        large = mantissa.abs() >= 2.0 ** (bits - 1)
        small = (mantissa.abs() < 2.0**-bits) & (mantissa != 0)
        exponent = exponent + torch.where(large, bits, torch.where(small, -bits, 0))
        mantissa = torch.where(large, mantissa * 2.0**-bits, torch.where(small, mantissa * 2.0**bits, mantissa))
    return mantissa, exponent


@composes("frexp")
def _frexp(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mantissa and exponent, whose powers of 2 are taken in two steps: one of them may be infinite or denormal."""
    number = x.isfinite()
    with torch.no_grad():
        _, exponent = _exponent(torch.where(number, x, 0).double())
        half = exponent // 2
    mantissa = x.double() * torch.exp2(-half.double()) * torch.exp2((half - exponent).double())
    return torch.where(number, mantissa, x.double()).to(x.dtype), torch.where(number, exponent, 0).to(torch.int32)
