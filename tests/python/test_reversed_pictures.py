# SPDX-License-Identifier: Apache-2.0
"""Pictures that a program reads backwards, which are views with negative strides: windows find the same elements."""

import copy

import pytest
import torch
import torch.nn.functional as F
from sambaflow import samba
from sambaflow.samba import utils
from torch import nn

WINDOWS = {
    "max_pool1d": (lambda x: F.max_pool1d(x.flip(2), 3, 2, 1), (2, 3, 9)),
    "max_pool2d": (lambda x: F.max_pool2d(x.flip(3), 3, 2, 1), (2, 3, 6, 6)),
    "max_pool3d": (lambda x: F.max_pool3d(x.flip(2, 4), 3, 2, 1), (1, 2, 4, 5, 6)),
    "max_pool2d of overlapping windows": (lambda x: F.max_pool2d(x.flip(2, 3), 3, 1, 1), (2, 3, 6, 7)),
    "avg_pool2d": (lambda x: F.avg_pool2d(x.flip(2), 3, 2, 1), (2, 3, 6, 6)),
    "conv1d": (lambda x: F.conv1d(x.flip(2), torch.ones(4, 3, 3, dtype=x.dtype), padding=1), (2, 3, 9)),
    "conv2d": (lambda x: F.conv2d(x.flip(3), torch.ones(4, 3, 3, 3, dtype=x.dtype), None, 2, 1), (2, 3, 6, 6)),
    "conv2d of flipped channels": (lambda x: F.conv2d(x.flip(1), torch.ones(4, 3, 3, 3, dtype=x.dtype)), (2, 3, 6, 6)),
    "conv_transpose2d": (
        lambda x: F.conv_transpose2d(x.flip(2, 3), torch.ones(3, 2, 2, 2, dtype=x.dtype), stride=2),
        (2, 3, 4, 5),
    ),
}


class Windows(nn.Module):
    def __init__(self, windows, shape, dtype):
        super().__init__()
        self.windows, self.weight = windows, nn.Parameter(torch.randn(shape, dtype=dtype))

    def forward(self, x):
        found = self.windows(x * self.weight)
        return found.square().sum(), found


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", WINDOWS)
def test_windows_over_pictures_that_are_read_backwards(name, dtype, tmp_path):
    torch.manual_seed(3)
    windows, shape = WINDOWS[name]
    model = Windows(windows, shape, dtype)
    eager, x = copy.deepcopy(model), torch.randn(shape, dtype=dtype)
    samba.from_torch_model_(model)
    inputs, optimizer = (samba.from_torch_tensor(x, name="x"),), samba.optim.SGD(model.parameters(), lr=0.0)
    pef = samba.session.compile(model, inputs, optimizer, config_dict={"output_folder": str(tmp_path), "pef_name": "m"})
    _, found = samba.session.run(inputs, utils.trace_graph(model, inputs, optimizer, pef=pef))
    loss, expected = eager(x)
    loss.backward()
    torch.testing.assert_close(samba.to_torch(found), expected.detach(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(samba.to_torch(model.weight.sn_grad), eager.weight.grad, rtol=1e-4, atol=1e-4)
