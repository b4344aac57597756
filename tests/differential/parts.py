# SPDX-License-Identifier: Apache-2.0
"""What random programs use besides torch."""

import collections
import dataclasses

import torch

Named = collections.namedtuple("Named", "first rest")


@dataclasses.dataclass
class Output:
    first: torch.Tensor
    rest: tuple


@torch.jit.script
def scripted(a, b):
    return torch.exp(a * 0.1) * b


def once_more(x):
    return torch.compile(torch.sin, backend="eager")(x)


class Tripled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, gradient):
        return 3 * gradient * ctx.saved_tensors[0]


def shaped(x, *shape):
    """The values of `x`, repeated or cut to `shape`."""
    flat, count = x.reshape(-1), torch.Size(shape).numel()
    return flat.repeat(-(-count // flat.numel()))[:count].reshape(shape)


def finite(x, *shape):
    """As `shaped`, without NaN and infinities: eager's kernels of attention and padding do not agree on them."""
    return shaped(x.nan_to_num(0.0, 1.0, -1.0), *shape)
