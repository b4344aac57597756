# SPDX-License-Identifier: Apache-2.0
"""Shapes of results while a model is traced: what is known without torch, or kept, is what torch says."""

import pytest
import torch
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
