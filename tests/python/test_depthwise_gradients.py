# SPDX-License-Identifier: Apache-2.0
"""The gradient of depthwise weights has rows along channels where there is one image: threads share it."""

import copy

import pytest
import torch
from sambaflow import samba
from sambaflow._runtime.device import Device
from sambaflow.samba import utils
from support import same_bits
from torch import nn


class Filtered(nn.Module):
    def __init__(self):
        super().__init__()
        self.filter, self.norm = nn.Conv2d(48, 48, 3, padding=1, groups=48, bias=False), nn.BatchNorm2d(48)

    def forward(self, x):
        return torch.relu(self.norm(self.filter(x))).square().sum()


def gradient(model, pef, inputs, optimizer, engine, monkeypatch):
    monkeypatch.setenv("LEAT_ENGINE", engine)
    outputs = utils.trace_graph(model, inputs, optimizer, pef=pef)
    samba.session.run(inputs, outputs, hyperparam_dict={"lr": 0.0})
    samba.session.to_cpu(model)
    return model.filter.weight.sn_grad.clone()


@pytest.mark.parametrize("images", [1, 3])
def test_weights_of_depthwise_convolutions(images, tmp_path, monkeypatch):
    torch.manual_seed(2)
    model, x = Filtered(), torch.randn(images, 48, 20, 20)
    eager = copy.deepcopy(model)
    eager(x).backward()
    samba.from_torch_model_(model)
    inputs, optimizer = (samba.from_torch_tensor(x, name="x"),), samba.optim.SGD(model.parameters(), lr=0.0)
    config = {"output_folder": str(tmp_path), "pef_name": "m"}
    pef = samba.session.compile(model, inputs, optimizer, config_dict=config)
    found = [gradient(model, pef, inputs, optimizer, engine, monkeypatch) for engine in ("ref", "native")]
    assert same_bits(*found)
    torch.testing.assert_close(found[0], eager.filter.weight.grad, rtol=1e-3, atol=1e-3)
    of_one = [section["rows"] for section in Device(pef).report()["sections"] if section["type"] == "bckwd"]
    assert images > 1 or set(of_one) == {48}
