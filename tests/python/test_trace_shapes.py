# SPDX-License-Identifier: Apache-2.0
"""Shapes of results while a model is traced: what is known without torch, or kept, is what torch says."""

import beside_eager as eager
import pytest
import torch
import torch.nn.functional as F
from sambaflow._trace.shapes import Shapes

ATEN = torch.ops.aten


def meta(*shape, dtype=torch.float32):
    return torch.empty(shape, dtype=dtype, device="meta")


def norm(x, *per_channel, training=True):
    return ATEN.batch_norm.default, (x, *per_channel, training, 0.1, 1e-5, False)


CHANNELS_LAST = meta(2, 3, 4, 4).to(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    "call",
    [
        norm(meta(2, 3, 8), *[meta(3)] * 4),
        norm(meta(2, 3), None, None, meta(3), meta(3), training=False),
        norm(meta(2, 3, 8), None, None, None, None),
        norm(meta(2, 3, 4, 4, dtype=torch.bfloat16), *[meta(3)] * 4),
        norm(CHANNELS_LAST, *[meta(3)] * 4),
        (ATEN.group_norm.default, (meta(2, 4, 3), 2, meta(4), meta(4), 1e-5, True)),
        (ATEN.group_norm.default, (meta(2, 4, 3).transpose(0, 2), 2)),
        (ATEN.layer_norm.default, (meta(2, 4, 3), [4, 3], meta(4, 3), None)),
        (ATEN.layer_norm.default, (meta(2, 4, 3).transpose(0, 2), [4, 2])),
        (ATEN.layer_norm.default, (meta(0, 3), [3])),
        (ATEN.silu.default, (meta(2, 3),)),
        (ATEN.relu.default, (meta(2, 3),)),
        (ATEN.relu.default, (meta(2, 3).t(),)),
        (ATEN.relu.default, (meta(2, 3, dtype=torch.int64),)),
        (ATEN.add.Tensor, (meta(2, 1), meta(3, dtype=torch.float64))),
    ],
)
def test_shapes_are_those_of_torch(call):
    func, args = call
    shapes, expected = Shapes(), func(*args)
    for _ in range(20):  # asked, and kept
        found = shapes.of(func, args, {})
        assert (found.shape, found.stride(), found.dtype) == (expected.shape, expected.stride(), expected.dtype)


@pytest.mark.parametrize(
    "call",
    [
        norm(meta(2, 3, 8), *[meta(4)] * 4),
        (ATEN.group_norm.default, (meta(2, 3, 8), 2)),
        (ATEN.layer_norm.default, (meta(2, 3), [2])),
    ],
)
def test_errors_are_those_of_torch(call):
    func, args = call
    with pytest.raises(RuntimeError) as expected:
        func(*args)
    with pytest.raises(RuntimeError) as found:
        Shapes().of(func, args, {})
    assert str(found.value) == str(expected.value)


CROSSED = torch.arange(1.0, 10.0).view(3, 3), torch.linspace(-1.0, 2.0, 9).view(3, 3).t()
PICTURE = torch.linspace(-1.0, 1.0, 72).view(2, 3, 4, 3).permute(0, 3, 1, 2)
WEIGHT = torch.linspace(-1.0, 1.0, 24).view(2, 3, 2, 2)
LAST = torch.channels_last
LAID_OUT = {
    **{name: (getattr(torch, name), CROSSED) for name in "copysign floor_divide heaviside logaddexp xlogy".split()},
    "copysign the other way": (lambda x, y: torch.copysign(y, x), CROSSED),
    "logical_or of broadcast operands": (lambda x, y: torch.logical_or(x[:1], y), CROSSED),
    "batch_norm": (lambda x: F.batch_norm(x, None, None, training=True), (PICTURE.transpose(2, 3),)),
    "batch_norm, channels last": (lambda x: F.batch_norm(x, None, None, training=True), (PICTURE,)),
    "conv2d": (F.conv2d, (PICTURE, WEIGHT)),
    "conv2d, weights with channels last": (F.conv2d, (PICTURE.contiguous(), WEIGHT.to(memory_format=LAST))),
    "conv1d": (F.conv1d, (PICTURE.contiguous()[..., 0].contiguous(), WEIGHT[..., 0].mT.contiguous().mT)),
    "rrelu": (lambda x: F.rrelu(x, 0.1, 0.1), (PICTURE,)),
    "kthvalue": (lambda x: x.kthvalue(1, 0)[0], (PICTURE,)),
    "masked_scatter": (lambda x: x.masked_scatter(x > 0, x.contiguous()), (PICTURE,)),
    "select_scatter": (lambda x: x.select_scatter(x[0], 0, 1), (PICTURE,)),
    "zeros_like": (torch.zeros_like, (PICTURE,)),
    "full_like": (lambda x: torch.full_like(x, 2.0), (PICTURE,)),
    "addbmm": (torch.addbmm, (torch.ones(3, 3).t(), CROSSED[0].expand(2, 3, 3), CROSSED[1].expand(2, 3, 3))),
}  # fmt: skip


@pytest.mark.parametrize("name", LAID_OUT)
def test_results_lie_in_memory_as_in_eager_mode(name, tmp_path):
    """Their strides say so, and what becomes of a write through reshape, which is a view of some layouts alone."""
    op, operands = LAID_OUT[name]
    laid = [x.stride() for x in operands]
    strides = []

    def forward(self, *inputs):  # which lie row by row
        result = op(*(laid_out(x, stride) for x, stride in zip(inputs, laid, strict=True)))
        strides.append(result.stride())
        result.reshape(-1)[:1].fill_(3.0)
        return result * self.w

    eager.check(tmp_path, eager.Function(forward), *(x.contiguous() for x in operands), inference=True)
    assert len(set(strides)) == 1


def laid_out(x, stride):
    """The values of `x` with these strides, of a permutation of row-major dims."""
    order = sorted(range(x.dim()), key=lambda dim: -stride[dim])
    inverse = sorted(range(x.dim()), key=lambda dim: order[dim])
    return x.permute(order).clone(memory_format=torch.contiguous_format).permute(inverse)
