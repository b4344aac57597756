# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501
"""Rows of one operand: element-wise functions and activations."""

import torch
import torch.nn.functional as F

from ..cases import A, B, I, N, O, P, Q, U, W, row

SHAPES = [(), (1,), (5,), (3, 4), (2, 3, 5), (1, 7, 1), (17, 33), (3, 1031)]
FLOAT_TYPES = ("bfloat16",)


def elementwise(name, klass, function, make, smooth=True, also=FLOAT_TYPES, forward_only=False):
    """A row with `function` over all SHAPES and layouts."""
    new = row(name, klass, *also)
    for shape in SHAPES:
        new.add(function, make(*shape), smooth=smooth, forward_only=forward_only)
    new.add_layouts(function, make(6, 10), smooth=smooth, forward_only=forward_only)
    return new


elementwise("neg", "exact", torch.neg, N, also=("bfloat16", "int32"))
elementwise("abs", "exact", torch.abs, W, also=("bfloat16", "int32"))
elementwise("sign", "exact", torch.sign, W)
elementwise("floor", "exact", torch.floor, O)
elementwise("ceil", "exact", torch.ceil, O)
elementwise("trunc", "exact", torch.trunc, O)
elementwise("round", "exact", torch.round, O)
elementwise("exp", "function", torch.exp, N)
elementwise("expm1", "function", torch.expm1, U)
elementwise("log", "function", torch.log, P)
elementwise("log1p", "function", torch.log1p, U)
elementwise("log2", "function", torch.log2, P)
elementwise("log10", "function", torch.log10, P)
elementwise("sqrt", "rounded", torch.sqrt, P)
elementwise("rsqrt", "function", torch.rsqrt, P)
elementwise("reciprocal", "rounded", torch.reciprocal, W)
elementwise("square", "rounded", torch.square, N)
elementwise("sin", "function", torch.sin, N)
elementwise("cos", "function", torch.cos, N)
elementwise("tan", "function", torch.tan, U)
elementwise("asin", "function", torch.asin, U)
elementwise("acos", "function", torch.acos, U)
elementwise("atan", "function", torch.atan, N)
elementwise("sinh", "function", torch.sinh, N)
elementwise("cosh", "function", torch.cosh, N)
elementwise("tanh", "function", torch.tanh, N)
elementwise("sigmoid", "function", torch.sigmoid, N)
elementwise("erf", "function", torch.erf, N)
elementwise("erfc", "function", torch.erfc, U)
elementwise("logical_not", "exact", torch.logical_not, B, also=())
elementwise("isnan", "exact", torch.isnan, N)
elementwise("isinf", "exact", torch.isinf, N)
elementwise("isfinite", "exact", torch.isfinite, N)

_nots = row("bitwise_not", "exact")
for _shape in SHAPES[:5]:
    _nots.add(torch.bitwise_not, B(*_shape))
    _nots.add(torch.bitwise_not, I(100, *_shape, low=-100, dtype=torch.int32))
_nots.add_layouts(torch.bitwise_not, B(6, 10))

elementwise("relu", "exact", torch.relu, W)
elementwise("silu", "function", F.silu, N)
elementwise("hardsigmoid", "single", F.hardsigmoid, W)
elementwise("hardswish", "rounded", F.hardswish, W)
elementwise("mish", "composite", F.mish, N)
elementwise("logsigmoid", "function", F.logsigmoid, N)

_gelu = elementwise("gelu", "function", F.gelu, N)
for _shape in ((), (7,), (4, 129)):
    _gelu.add(lambda x: F.gelu(x, approximate="tanh"), N(*_shape))

_leaky = elementwise("leaky_relu", "rounded", F.leaky_relu, W)
_leaky.add(lambda x: F.leaky_relu(x, 0.3), W(3, 9))

_elu = elementwise("elu", "function", F.elu, W)
for _function in (lambda x: F.elu(x, alpha=0.4), F.selu, lambda x: F.celu(x, alpha=2.0)):
    _elu.add(_function, W(3, 9))

_softplus = elementwise("softplus", "function", F.softplus, N)
_softplus.add(lambda x: F.softplus(x, beta=2.5, threshold=1.0), A(3, 9))

_hardtanh = elementwise("hardtanh", "exact", F.hardtanh, lambda *s: N(*s) if not s else A(*s))
for _function in (F.relu6, lambda x: F.hardtanh(x, -0.33, 1.77)):
    _hardtanh.add(_function, A(3, 9))

_to = row("to", "exact", "int32")
for _shape in SHAPES[:4]:
    _to.add(lambda x: x.to(torch.bfloat16), N(*_shape), smooth=False)
    _to.add(lambda x: x.to(torch.int32), O(*_shape), forward_only=True)
for _function, _input in (
    (lambda x: x.float(), I(50, 4, 5, low=-50)),
    (lambda x: x.double(), B(4, 5)),
    (lambda x: x.bool(), I(2, 4, 5)),
    (lambda x: x.to(torch.uint8), I(200, 4, 5)),
    (lambda x: x.half().float(), N(4, 5)),
    (lambda x: x.to(torch.int64), O(3, 7)),
):
    _to.add(_function, _input, smooth=False, forward_only=True)

_to.add_layouts(lambda x: x.to(torch.bfloat16).float(), N(6, 10), smooth=False)

_clone = row("clone", "exact", "bfloat16", "int64")
for _shape in SHAPES:
    _clone.add(lambda x: x.clone() * 2, N(*_shape))
_clone.add_layouts(torch.clone, N(6, 10))

_contiguous = row("contiguous", "exact", "bfloat16", "int64")
for _shape in ((1, 5), (3, 4), (2, 3, 5), (2, 7, 1), (17, 33), (3, 1031)):
    _contiguous.add(lambda x: x.transpose(0, 1).contiguous(), N(*_shape))
_contiguous.add(torch.Tensor.contiguous, N())
_contiguous.add_layouts(torch.Tensor.contiguous, N(6, 10))

_detach = row("detach", "exact")
for _shape in SHAPES:
    _detach.add(lambda x: x * x.detach(), N(*_shape), smooth=False)
_detach.add_layouts(lambda x: x * x.detach(), N(6, 10), smooth=False)

_prelu = row("prelu", "rounded", "bfloat16")
for _shape, _channels in (
    ((5,), 1),
    ((3, 4), 1),
    ((3, 4), 4),
    ((2, 3, 5), 3),
    ((2, 3, 4, 5), 3),
    ((1, 1), 1),
    ((4, 17, 9), 17),
):
    _prelu.add(F.prelu, W(*_shape), P(_channels))
_prelu.add_layouts(F.prelu, W(6, 10), P(10))

_logit_like = row("clamp", "exact", "bfloat16", "int32")
for _shape in SHAPES:
    _logit_like.add(lambda x: torch.clamp(x, -0.51, 0.77), A(*_shape) if _shape else Q())
_logit_like.add(lambda x: torch.clamp(x, min=0.13), A(4, 5))
_logit_like.add(lambda x: torch.clamp(x, max=0.13), A(4, 5))
_logit_like.add(lambda x, low, high: torch.clamp(x, low, high), A(4, 5), U(5), P(4, 1))
_logit_like.add_layouts(lambda x: torch.clamp(x, -0.51, 0.77), A(6, 10))

# At the end: the lines of lambdas above are in the files that runs of this suite are compared by.
elementwise("exp2", "function", torch.exp2, N)
elementwise("asinh", "function", torch.asinh, N)
elementwise("acosh", "function", lambda x: torch.acosh(x + 1), P)
elementwise("atanh", "function", torch.atanh, U)
