# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501
"""Rows of the gradients that a program writes itself: the backward of autograd functions."""

import torch
from torch.autograd import Function

from ..cases import N, P, row


class Straight(Function):
    """Rounds, and passes gradients through unchanged."""

    @staticmethod
    def forward(ctx, x):
        return x.floor()

    @staticmethod
    def backward(ctx, grad):
        return grad


class Reversed(Function):
    """The identity, whose gradient is turned round and scaled."""

    @staticmethod
    def forward(ctx, x, scale):
        ctx.scale = scale
        return x.view_as(x)

    @staticmethod
    def backward(ctx, grad):
        return grad.neg() * ctx.scale, None


class Swish(Function):
    """Saves its operand; the gradient is that of x * sigmoid(x), tripled so that a derived one would show."""

    @staticmethod
    def forward(x):
        return x * torch.sigmoid(x)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(inputs[0], output)

    @staticmethod
    def backward(ctx, grad):
        x, y = ctx.saved_tensors
        s = torch.sigmoid(x)
        return 3 * grad * (y + s * (1 - y))


class Product(Function):
    """Two operands, of which the second gets no gradient."""

    @staticmethod
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        return a * b

    @staticmethod
    def backward(ctx, grad):
        return grad * ctx.saved_tensors[1] * 2, None


class Both(Function):
    """Two results of unlike shapes, and gradients that depend on both of theirs."""

    @staticmethod
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        return a * b, (a + b).sum(0)

    @staticmethod
    def backward(ctx, first, second):
        a, b = ctx.saved_tensors
        return first * b + second, first * a - 2 * second


def both(a, b):
    first, second = Both.apply(a, b)
    return first * second


# None of these is the derivative of its forward, so that a derived gradient would show.
_custom = row("custom_gradient", "composite")
for _shape in ((), (1,), (5,), (3, 4), (17, 33), (2, 3, 5)):
    _custom.add(Straight.apply, P(*_shape), smooth=False)
_custom.add(lambda x: Reversed.apply(x * x, 0.3), N(3, 4), smooth=False)
_custom.add(lambda x: Reversed.apply(Reversed.apply(x, 0.5), 0.5), N(3, 4), smooth=False)
_custom.add(Swish.apply, N(4, 9), smooth=False)
_custom.add(lambda x: Swish.apply(Swish.apply(x) + x), N(2, 1, 5), smooth=False)
_custom.add(Product.apply, N(3, 4), N(3, 4, grad=False), smooth=False)
_custom.add(both, N(3, 4), N(3, 4), smooth=False)
_custom.add_layouts(Swish.apply, N(6, 10), smooth=False)

# The stand-in of a cotangent: where a backward returns it, folds it, or leaves it alone.
_stand_in = row("cotangent", "composite")
for _shape in ((), (1,), (4,), (3, 4), (2, 3, 4), (17, 33)):
    _stand_in.add(lambda x: Reversed.apply(x, 2.0), N(*_shape), smooth=False)
_stand_in.add(lambda x: Straight.apply(x) * x, P(3, 4), smooth=False)
_stand_in.add_layouts(Straight.apply, P(6, 10), smooth=False)


# ---- writes that autograd does not see


def under_no_grad(x):
    y = x * x
    with torch.no_grad():
        y.clamp_(min=0.5)
    return y * y.detach()


def through_data(x):
    y = x.exp()
    z = y * 1
    z.data[..., :1] = 2.0
    return z.sin()


def through_detach(x, w):
    y = x * 2
    y.detach().mul_(w)
    return y


_written = row("straight_through", "composite")
for _shape in ((), (1,), (5,), (3, 4), (2, 3, 5)):
    _written.add(under_no_grad, N(*_shape), smooth=False)
for _shape in ((5,), (3, 4), (2, 3, 5)):
    _written.add(through_data, N(*_shape), smooth=False)
_written.add(through_detach, N(3, 4), N(3, 4, grad=False), smooth=False)
_written.add_layouts(under_no_grad, N(6, 10), smooth=False)
