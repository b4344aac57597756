# SPDX-License-Identifier: Apache-2.0
"""Special functions, composed of maps: `lgamma`, `digamma`, `polygamma`, `erfinv`, the modified Bessel functions.

Each is a value and a slope, both in double precision and rounded once to the dtype of the op: series whose terms are
known beforehand, where a branch that is not taken may be anything, since gradients do not go through it. At poles and
infinities they are what PyTorch's formulas give there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from sambaflow._trace.ops.composed import COMPOSED, Number, composes, operands
from sambaflow._trace.tensor import TracedTensor

Function = Callable[[torch.Tensor], torch.Tensor]
# Bernoulli numbers B(2), B(4), .. of the asymptotic series of log gamma and its derivatives.
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)
_SHIFT = 10  # from here on those series have double precision
_SERIES_TO = 20.0  # up to here Bessel functions are sums of powers, from here on asymptotic


class _Special(torch.autograd.Function):
    """`value` of x in double precision; its gradient is `slope` of x in the dtype of the op."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, value: Function, slope: Function) -> torch.Tensor:
        ctx.slope = slope
        ctx.save_for_backward(x)
        return value(x.double()).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        (x,) = ctx.saved_tensors
        return grad * ctx.slope(x).to(x.dtype), None, None


def _special(x: torch.Tensor, value: Function, slope: Function) -> torch.Tensor:
    return _Special.apply(*operands(x), value, slope)  # type: ignore[no-any-return]


def _in_double(function: Function) -> Function:
    return lambda x: function(x.double())


def polynomial(x: torch.Tensor, coefficients: Sequence[float]) -> torch.Tensor:
    """Of ascending powers of x."""
    result = torch.full_like(x, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        result = result * x + coefficient
    return result


# ---- gamma and its derivatives


def _from_integer(x: torch.Tensor) -> torch.Tensor:
    """How far x is from the nearest integer: sines and tangents of pi x have double precision of it."""
    return x - torch.round(x.detach())


def _zeta_less_1(power: int, first: int = 20) -> float:
    """The sum of 1 / n ** power for n from 2 on, by Euler and Maclaurin."""
    total, term = sum(n**-power for n in range(2, first)), power * float(first) ** (-power - 1)
    total += first ** (1 - power) / (power - 1) + 0.5 * first**-power
    for k, b in enumerate(_BERNOULLI, 1):
        total += b * term / math.factorial(2 * k)
        term *= (power + 2 * k - 1) * (power + 2 * k) / first**2
    return total


# log gamma(2 + t) / t, by powers of t: its zeros at 1 and 2 are exact so.
_NEAR_2 = [1 - 0.57721566490153286061, *[(-1) ** k * _zeta_less_1(k) / k for k in range(2, 30)]]


def _log_gamma_from_0(x: torch.Tensor) -> torch.Tensor:
    one = x < 1.5
    t = torch.where(one, x - 1, x - 2)
    near = t * polynomial(t, _NEAR_2)
    near = torch.where(one, near - torch.log1p(t), near)
    return torch.where((x > 0.5) & (x < 2.5), near, _log_gamma_by_stirling(x))


def _log_gamma_by_stirling(x: torch.Tensor) -> torch.Tensor:
    small = x < _SHIFT
    far = torch.where(small, x + _SHIFT, x)
    terms = [b / (2 * k * (2 * k - 1)) for k, b in enumerate(_BERNOULLI, 1)]
    inverse = 1 / far
    value = (far - 0.5) * torch.log(far) - far + 0.5 * math.log(2 * math.pi)
    value = value + inverse * polynomial(inverse * inverse, terms)
    product = x
    for step in range(1, _SHIFT):
        product = product * (x + step)
    return torch.where(small, value - torch.log(product), value)


def _log_gamma(x: torch.Tensor) -> torch.Tensor:
    turn = _from_integer(x)
    mirrored = torch.log(math.pi / torch.sin(math.pi * turn).abs()) - _log_gamma_from_0(1 - x)
    value = torch.where(x > 0, _log_gamma_from_0(x), torch.where(x > -1e-20, -torch.log(-x), mirrored))
    return torch.where((x.abs() == math.inf) | ((turn == 0) & (x <= 0)), math.inf, value)


def _digamma(x: torch.Tensor) -> torch.Tensor:
    def from_0(x: torch.Tensor) -> torch.Tensor:
        small = x < _SHIFT
        far = torch.where(small, x + _SHIFT, x)
        square = 1 / (far * far)
        value = torch.log(far) - 0.5 / far
        value = value - square * polynomial(square, [b / (2 * k) for k, b in enumerate(_BERNOULLI, 1)])
        return torch.where(small, value - sum(1 / (x + step) for step in range(_SHIFT)), value)

    turn = _from_integer(x)
    mirrored = torch.where(turn == 0, math.nan, from_0(1 - x) - math.pi / torch.tan(math.pi * turn))
    return torch.where(x == 0, -1 / x, torch.where(x > 0, from_0(x), mirrored))


def _cotangent_derivative(order: int) -> list[float]:
    """Coefficients, by powers of cot(pi x), of the derivative of that `order` of pi cot(pi x)."""
    found = [0.0, math.pi]
    for _ in range(order):
        slope = [power * c for power, c in enumerate(found)][1:]
        found = [-math.pi * (a + b) for a, b in zip([*slope, 0.0, 0.0], [0.0, 0.0, *slope], strict=True)]
    return found


def _polygamma_from_0(order: int, x: torch.Tensor) -> torch.Tensor:
    """Without its sign: order! times the sum of 1 / (x + k) ** (order + 1), by Euler and Maclaurin."""
    near = sum((1 / (x + step)) ** (order + 1) for step in range(_SHIFT + order))
    far = 1 / (x + (_SHIFT + order))
    factorial = float(math.factorial(order))
    terms = [b * math.factorial(2 * k + order - 1) / math.factorial(2 * k) for k, b in enumerate(_BERNOULLI, 1)]
    tail = math.factorial(order - 1) + far * (0.5 * factorial + far * polynomial(far * far, terms))
    return factorial * near + far**order * tail


def _trigamma(x: torch.Tensor) -> torch.Tensor:
    """In steps and terms as many as PyTorch has, and so to nine digits only."""
    x = x if x.dtype == torch.float64 else x.float()
    mirrored = x < 0.5
    far = torch.where(mirrored, 1 - x, x)
    near = torch.zeros_like(x)
    for _ in range(6):
        near, far = near + 1 / (far * far), far + 1
    square = 1 / (far * far)
    tail = (1 + 1 / (2 * far) + square * (1 / 6 - square * (1 / 30 - square * (1 / 42)))) / far
    sine = torch.sin(math.pi * x)
    return torch.where(mirrored, math.pi**2 / (sine * sine) - near - tail, near + tail)


def _polygamma(order: int) -> Function:
    if order < 2:
        return _trigamma if order else _digamma
    sign = 1.0 if order % 2 else -1.0
    cotangents = _cotangent_derivative(order)

    def value(x: torch.Tensor) -> torch.Tensor:
        turn = _from_integer(x)
        mirrored = -polynomial(1 / torch.tan(math.pi * turn), cotangents) - _polygamma_from_0(order, 1 - x)
        mirrored = torch.where(x == torch.floor(x), sign * math.inf, mirrored)
        return torch.where(x == math.inf, math.nan, torch.where(x > 0, sign * _polygamma_from_0(order, x), mirrored))

    return value


@composes("lgamma")
def _lgamma_op(x: torch.Tensor) -> torch.Tensor:
    return _special(x, _log_gamma, _in_double(_digamma))


@composes("digamma")
def _digamma_op(x: torch.Tensor) -> torch.Tensor:
    return _special(x, _digamma, _trigamma)


@composes("polygamma")
def _polygamma_op(n: int, x: torch.Tensor) -> torch.Tensor:
    slope = _trigamma if n == 0 else _in_double(_polygamma(n + 1))
    return _special(x, _polygamma(n), slope)


@composes("mvlgamma")
def _mvlgamma_op(x: torch.Tensor, p: int) -> torch.Tensor:
    def added(function: Function) -> Function:
        return lambda x: sum((function(x - k / 2) for k in range(1, p)), function(x + 0.0))  # of -0, that of 0

    value, constant = added(_log_gamma), p * (p - 1) / 4 * math.log(math.pi)
    return _special(x, lambda x: value(x) + constant, _in_double(added(_digamma)))


# ---- error functions and the normal distribution


def _erfinv(y: torch.Tensor) -> torch.Tensor:
    """A quotient of polynomials, then Newton's steps, as in PyTorch."""
    square = y * y
    near = y * polynomial(square, (0.886226899, -1.645349621, 0.914624893, -0.140543331))
    near = near / polynomial(square, (1.0, -2.118377725, 1.442710462, -0.329097515, 0.012229801))
    tail = torch.sqrt(-torch.log((1 - y.abs()) / 2))
    outer = polynomial(tail, (-1.970840454, -1.624906493, 3.429567803, 1.641345311))
    outer = y.detach().sign() * outer / polynomial(tail, (1.0, 3.543889200, 1.637067800))
    x = torch.where(y.abs() <= 0.7, near, outer)
    for _ in range(2):
        x = x - (torch.erf(x) - y) / (2 / math.sqrt(math.pi) * torch.exp(-x * x))
    return torch.where(y.abs() == 1, y * math.inf, x)


_FAR = -30.0  # below, the normal distribution's logarithm is an asymptotic series


def _of_tail(x: torch.Tensor) -> torch.Tensor:
    """What the cumulative function is of the density divided by -x, less 1, far below 0."""
    square = 1 / (x * x)
    return square * polynomial(square, (-1.0, 3.0, -15.0, 105.0, -945.0))


def _log_normal(x: torch.Tensor) -> torch.Tensor:
    """The logarithm of the normal distribution's cumulative function."""
    far = -0.5 * x * x - torch.log(-x) - 0.5 * math.log(2 * math.pi) + torch.log1p(_of_tail(x))
    outside = 0.5 * torch.erfc(x.abs() / math.sqrt(2))
    return torch.where(x > 0, torch.log1p(-outside), torch.where(x < _FAR, far, torch.log(outside)))


def _log_normal_slope(x: torch.Tensor) -> torch.Tensor:
    near = torch.exp(-0.5 * x * x - _log_normal(x)) / math.sqrt(2 * math.pi)
    return torch.where(x < _FAR, -x / (1 + _of_tail(x)), near)


def _normal_quantile(p: torch.Tensor) -> torch.Tensor:
    """By symmetry of the lower half: a quotient of polynomials, then Newton's steps on the logarithm."""
    lower = torch.minimum(p, 1 - p)
    log = torch.log(lower)
    tail = torch.sqrt(-2 * log)
    x = polynomial(tail, (2.515517, 0.802853, 0.010328)) / polynomial(tail, (1.0, 1.432788, 0.189269, 0.001308)) - tail
    for _ in range(4):
        x = x - (_log_normal(x) - log) / _log_normal_slope(x)
    x = torch.where(p == 0.5, 0.0, torch.where(p > 0.5, -x, x))
    return torch.where(p == 0, -math.inf, torch.where(p == 1, math.inf, x))


def _scaled_erfc(x: torch.Tensor) -> torch.Tensor:
    square = 1 / (x * x)
    far = polynomial(square, (1.0, -0.5, 0.75, -1.875, 6.5625, -29.53125, 162.421875)) / x / math.sqrt(math.pi)
    return torch.where(x > 20, far, torch.exp(x * x) * torch.erfc(x))


@composes("erfinv")
def _erfinv_op(x: torch.Tensor) -> torch.Tensor:
    return _special(x, _erfinv, _in_double(lambda y: 0.5 * math.sqrt(math.pi) * torch.exp(_erfinv(y) ** 2)))


@composes("special_log_ndtr")
def _log_ndtr_op(x: torch.Tensor) -> torch.Tensor:
    return _special(x, _log_normal, _in_double(_log_normal_slope))


@composes("special_ndtri")
def _ndtri_op(x: torch.Tensor) -> torch.Tensor:
    slope = lambda p: math.sqrt(2 * math.pi) * torch.exp(0.5 * _normal_quantile(p) ** 2)  # noqa: E731
    return _special(x, _normal_quantile, _in_double(slope))


@composes("special_erfcx")
def _erfcx_op(x: torch.Tensor) -> torch.Tensor:
    return _special(x, _scaled_erfc, lambda x: 2 * x * _scaled_erfc(x.double()) - 2 / math.sqrt(math.pi))


# ---- modified Bessel functions of the first kind


def _bessel(order: int, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The function of |x|, as itself where the argument is small, and times exp(-|x|) where it is large."""
    quarter = x * x / 4
    series = torch.ones_like(x)
    for k in range(60, 0, -1):
        series = 1 + series * quarter / (k * (k + order))
    series = series * (x.abs() / 2) if order else series
    inverse = 1 / x.abs()
    terms = [1.0]
    for k in range(1, 20):
        terms.append(terms[-1] * ((2 * k - 1) ** 2 - 4 * order * order) / (8 * k))
    return series, polynomial(inverse, terms) * torch.sqrt(inverse / (2 * math.pi))


def _modified_bessel(order: int, scaled: bool) -> Function:
    def value(x: torch.Tensor) -> torch.Tensor:
        near, far = _bessel(order, x)
        scale = torch.exp(-x.abs()) if scaled else torch.exp(x.abs())
        size = torch.where(x.abs() < _SERIES_TO, near * scale if scaled else near, far if scaled else far * scale)
        return torch.where(x < 0, -size, size) if order else size

    return value


_i0, _i1, _i0e, _i1e = (_modified_bessel(order, scaled) for scaled in (False, True) for order in (0, 1))


_TINY = 2.0**-52  # up to here PyTorch takes the slope at 0, and at NaN


def _slope_i1(x: torch.Tensor) -> torch.Tensor:
    return torch.where(x.abs() > _TINY, _i0(x) - _i1(x) / x, 0.5)


def _slope_i1e(x: torch.Tensor) -> torch.Tensor:
    return torch.where(x.abs() > _TINY, _i0e(x) - _i1e(x) * (x.detach().sign() + 1 / x), 0.5)


def _slope_i0e(x: torch.Tensor) -> torch.Tensor:
    """The difference of two rounded values: where they are equal, its sign is plus."""
    wide = x.double()
    return _i1e(wide).to(x.dtype) - x.detach().sign() * _i0e(wide).to(x.dtype)


_BESSEL = {
    "i0": (_i0, _in_double(_i1)),
    "special_i1": (_i1, _in_double(_slope_i1)),
    "special_i0e": (_i0e, _slope_i0e),
    "special_i1e": (_i1e, _in_double(_slope_i1e)),
    "special_modified_bessel_i0": (_i0, _in_double(_i1)),
    "special_modified_bessel_i1": (_i1, _in_double(_slope_i1)),
}
for _name, (_value, _slope) in _BESSEL.items():
    COMPOSED[f"aten::{_name}"] = lambda x, value=_value, slope=_slope: _special(x, value, slope)


# ---- Chebyshev polynomials


def _chebyshev(x: torch.Tensor, n: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Polynomials of the first to the fourth kind: quotients of sines and cosines of an angle, outside [-1, 1] of
    hyperbolic ones."""
    at_end, inside = x.abs() == 1, x.abs() < 1
    flip = torch.where((x < 0) & (torch.remainder(n, 2) == 1), -1.0, 1.0)
    angle, far = torch.acos(x.clamp(-1, 1)), torch.acosh(x.abs().clamp(min=1))

    def kind(within: torch.Tensor, above: torch.Tensor, below: torch.Tensor, end: torch.Tensor) -> torch.Tensor:
        outside = torch.where(x > 0, above, flip * below)
        return torch.where(n < 0, 0.0, torch.where(at_end, end, torch.where(inside, within, outside)))

    half = n + 0.5
    cosines = torch.cosh(half * far) / torch.cosh(far / 2)
    sines = torch.sinh(half * far) / torch.sinh(far / 2)
    second = torch.sinh((n + 1) * far) / torch.sinh(far)
    return (
        kind(torch.cos(n * angle), torch.cosh(n * far), torch.cosh(n * far), flip),
        kind(torch.sin((n + 1) * angle) / torch.sin(angle), second, second, flip * (n + 1)),
        kind(torch.cos(half * angle) / torch.cos(angle / 2), cosines, sines, torch.where(x > 0, 1.0, flip * 2 * half)),
        kind(torch.sin(half * angle) / torch.sin(angle / 2), sines, cosines, torch.where(x > 0, 2 * half, flip)),
    )


def _chebyshev_op(kind: int, shifted: bool) -> Callable[..., torch.Tensor]:
    def call(x: torch.Tensor | Number, n: torch.Tensor | Number) -> torch.Tensor:
        x, n = operands(x, n)
        with torch.no_grad():
            place = x.double() * 2 - 1 if shifted else x.double()
            return _chebyshev(place, torch.trunc(n.double()))[kind].to(x.dtype)

    return call


for _kind, _letter in enumerate("tuvw"):
    COMPOSED[f"aten::special_chebyshev_polynomial_{_letter}"] = _chebyshev_op(_kind, False)
    COMPOSED[f"aten::special_shifted_chebyshev_polynomial_{_letter}"] = _chebyshev_op(_kind, True)


# ---- other orthogonal polynomials, by the recurrences that PyTorch has

_Step = Callable[[int, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
_DEGREES = {torch.float64: 512}  # up to which degree: at most so many steps, NaN beyond, as Hermite's are in PyTorch
_POLYNOMIALS: dict[str, tuple[Function, _Step]] = {  # of degree 1, and of degree k + 1 by those of k and k - 1
    "hermite_polynomial_h": (lambda x: x + x, lambda k, x, q, p: (x + x) * q - 2 * k * p),
    "hermite_polynomial_he": (lambda x: x, lambda k, x, q, p: x * q - k * p),
    "laguerre_polynomial_l": (lambda x: 1 - x, lambda k, x, q, p: ((2 * k + (1 - x)) * q - k * p) / (k + 1)),
    "legendre_polynomial_p": (lambda x: x, lambda k, x, q, p: ((2 * k + 1) * x * q - k * p) / (k + 1)),
}


def _most_steps(n: torch.Tensor, dtype: torch.dtype) -> int:
    """How many degrees are asked for: a degree that is traced may be any."""
    most = _DEGREES.get(dtype, 128)
    known = not isinstance(n, TracedTensor) and n.numel() and bool(n.isfinite().all())
    return min(most, max(1, int(n.max()))) if known else most


def _recurrent(name: str) -> Callable[..., torch.Tensor]:
    first, step = _POLYNOMIALS[name]

    def call(x: torch.Tensor | Number, n: torch.Tensor | Number) -> torch.Tensor:
        x, n = operands(x, n)
        with torch.no_grad():
            x, degree = x.detach(), torch.trunc(n.detach())
            before, value = torch.ones_like(x), first(x)
            result = torch.where(degree == 0, before, value)
            for k in range(1, _most_steps(n, x.dtype)):
                before, value = value, step(k, x, value, before)
                result = torch.where(degree == k + 1, value, result)
            if name.startswith("legendre"):
                result = torch.where(x == 1, 1.0, torch.where(x == -1, 1 - 2 * torch.remainder(degree, 2), result))
            if name.startswith("laguerre"):
                result = torch.where(x == 0, 1.0, result)
            result = torch.where(degree > _DEGREES.get(x.dtype, 128), math.nan, result)
            return torch.where((degree >= 0) & (degree < math.inf), result, 0.0)

    return call


for _name in _POLYNOMIALS:
    COMPOSED[f"aten::special_{_name}"] = _recurrent(_name)


@composes("special_spherical_bessel_j0")
def _spherical_bessel_j0(x: torch.Tensor) -> torch.Tensor:
    (x,) = operands(x.detach())
    near = polynomial(x * x, [(-1) ** k / math.factorial(2 * k + 1) for k in range(7)])
    return torch.where(x.abs() == math.inf, 0.0, torch.where(x.abs() < 0.5, near, torch.sin(x) / x))
