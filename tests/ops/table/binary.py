# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501
"""Rows of two and three operands, with broadcasting."""

import torch

from ..cases import B, I, N, O, P, T, U, W, row

PAIRS = [
    ((), ()),
    ((1,), (5,)),
    ((5,), ()),
    ((3, 4), (4,)),
    ((3, 1), (1, 4)),
    ((2, 3, 5), (3, 1)),
    ((17, 33), (17, 33)),
    ((2, 517), (2, 517)),
]
TRIPLES = [
    ((), (), ()), ((5,), (5,), (5,)), ((3, 4), (4,), ()), ((3, 1), (1, 4), (3, 4)), ((2, 3, 5), (3, 1), (5,)),
    ((1,), (7,), (1,)), ((17, 33), (17, 33), (17, 33)), ((2, 517), (1, 517), (2, 1)),
]  # fmt: skip


def pairwise(name, klass, function, make_x, make_y=None, *also, smooth=True, forward_only=False):
    """A row with `function` over all PAIRS and layouts."""
    make_y = make_y or make_x
    new = row(name, klass, *also)
    for x, y in PAIRS:
        new.add(function, make_x(*x), make_y(*y), smooth=smooth, forward_only=forward_only)
    new.add_layouts(function, make_x(6, 10), make_y(6, 10), smooth=smooth, forward_only=forward_only)
    return new


def ints(*shape):
    return I(9, *shape, low=-8)


def counts(*shape):
    return I(9, *shape, low=1)


def shifts(*shape):
    return I(6, *shape)


_add = pairwise("add", "rounded", torch.add, N, None, "bfloat16", "int32", "int64")
_add.add(lambda x, y: torch.add(x, y, alpha=0.5), N(3, 4), N(4))
_add.add(lambda x: x + 2.5, N(3, 4))
_add.add(lambda x: 3 + x, I(9, 3, 4))
_add.add(lambda x: (x * 2).add_(1.5), N(3, 4))
_sub = pairwise("sub", "rounded", torch.sub, N, None, "bfloat16", "int32")
_sub.add(lambda x, y: torch.sub(x, y, alpha=2), N(3, 4), N(4))
_rsub = pairwise("rsub", "rounded", torch.rsub, N, None, "bfloat16")
_rsub.add(lambda x: 1 - x, N(3, 4))
_mul = pairwise("mul", "rounded", torch.mul, N, None, "bfloat16", "int32")
_mul.add(lambda x: x * 0.125, N(3, 4))
_mul.add(lambda x, m: x * m, N(3, 4), B(3, 4))
_div = pairwise("div", "rounded", torch.div, N, W, "bfloat16")
_div.add(lambda x: x / 3, N(3, 4))
_div.add(lambda x, y: x / y, I(9, 3, 4), I(9, 4, low=1), forward_only=True)
for _mode in ("trunc", "floor"):
    _div.add(lambda x, y, m=_mode: torch.div(x, y, rounding_mode=m), O(3, 4), P(4), smooth=False)
    _div.add(lambda x, y, m=_mode: torch.div(x, y, rounding_mode=m), ints(3, 4), counts(4))

_pow = pairwise("pow", "function", torch.pow, P, N, "bfloat16")
for _exponent in (2, 3, 0.5, -1, -0.5, 2.5, 1, 0):
    _pow.add(lambda x, e=_exponent: x**e, P(3, 5))
_pow.add(lambda x: x**3, N(3, 5))
_pow.add(lambda x: 2**x, N(3, 5))

pairwise("maximum", "exact", torch.maximum, N, N, "bfloat16", "int32").add(
    torch.maximum, T(4, 9), T(4, 9), smooth=False
)
pairwise("minimum", "exact", torch.minimum, N, N, "bfloat16", "int32").add(
    torch.minimum, T(4, 9), T(4, 9), smooth=False
)
pairwise("remainder", "rounded", torch.remainder, O, lambda *s: W(*s), smooth=False).add(
    torch.remainder, ints(4, 5), counts(5)
)
pairwise("fmod", "rounded", torch.fmod, O, lambda *s: W(*s), smooth=False).add(torch.fmod, ints(4, 5), counts(5))
pairwise("atan2", "function", torch.atan2, W)

for _function in (torch.eq, torch.ne, torch.lt, torch.le, torch.gt, torch.ge):
    _compare = pairwise(_function.__name__, "exact", _function, T, None, "bfloat16", "int64")
    _compare.add(lambda x, f=_function: f(x, 0.5), T(3, 4))
    _compare.add(lambda x, f=_function: f(x, 2), I(5, 3, 4))
for _name in ("logical_and", "logical_or", "logical_xor"):
    pairwise(_name, "exact", getattr(torch, _name), B).add(getattr(torch, _name), T(4, 5), I(2, 4, 5))
for _name in ("bitwise_and", "bitwise_or", "bitwise_xor"):
    pairwise(_name, "exact", getattr(torch, _name), ints).add(getattr(torch, _name), B(4, 5), B(5))
pairwise("bitwise_left_shift", "exact", torch.bitwise_left_shift, ints, shifts)
pairwise("bitwise_right_shift", "exact", torch.bitwise_right_shift, ints, shifts)

_where = row("where", "exact", "bfloat16", "int64")
_fill = row("masked_fill", "exact", "bfloat16")
_lerp = row("lerp", "rounded", "bfloat16")
_addcmul = row("addcmul", "function", "bfloat16")  # gradients: sums of 517 in another order
_addcdiv = row("addcdiv", "rounded", "bfloat16")
for _x, _y, _z in TRIPLES:
    _where.add(torch.where, B(*_x), N(*_y), N(*_z))
    _lerp.add(torch.lerp, N(*_x), N(*_y), U(*_z))
    _addcmul.add(torch.addcmul, N(*_x), N(*_y), N(*_z))
    _addcdiv.add(torch.addcdiv, N(*_x), N(*_y), W(*_z))
_where.add(lambda m, x: torch.where(m, x, 0.0), B(4, 5), N(4, 5))
_where.add_layouts(torch.where, B(6, 10), N(6, 10), N(6, 10))
_lerp.add(lambda x, y: torch.lerp(x, y, 0.3), N(3, 4), N(3, 4))
_lerp.add_layouts(torch.lerp, N(6, 10), N(6, 10), U(6, 10))
_addcmul.add(lambda x, y, z: torch.addcmul(x, y, z, value=-0.7), N(3, 4), N(3, 4), N(4))
_addcmul.add_layouts(torch.addcmul, N(6, 10), N(6, 10), N(6, 10))
_addcdiv.add(lambda x, y, z: torch.addcdiv(x, y, z, value=-0.7), N(3, 4), N(3, 4), W(4))
_addcdiv.add_layouts(torch.addcdiv, N(6, 10), N(6, 10), W(6, 10))

for _x, _m in (
    ((), ()),
    ((5,), (5,)),
    ((3, 4), (4,)),
    ((2, 3, 5), (3, 1)),
    ((1, 7), (1, 1)),
    ((17, 33), (17, 33)),
    ((2, 517), (2, 517)),
):
    _fill.add(lambda x, m: x.masked_fill(m, -1.5), N(*_x), B(*_m))
_fill.add(lambda x, m, v: x.masked_fill(m, v), N(3, 4), B(3, 4), N())
_fill.add_layouts(lambda x, m: x.masked_fill(m, 2.0), N(6, 10), B(6, 10))
