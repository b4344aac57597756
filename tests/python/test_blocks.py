# SPDX-License-Identifier: Apache-2.0
"""Parameters that lie as their product reads them: the file says so, and whoever looks sees their values."""

import copy
import json
import os
import subprocess

import numpy as np
import pytest
import safetensors.torch
import torch
from sambaflow import samba
from sambaflow.samba import utils
from torch import nn

ROWS, LEFT = 8, 3


class Net(nn.Module):
    """`last` takes in a factor for many rows alone, `shared` is read by two ops, `row` by a product of few columns."""

    def __init__(self):
        super().__init__()
        self.first, self.last, self.row = nn.Linear(100, 150), nn.Linear(150, 70), nn.Linear(70, 40)
        self.shared = nn.Parameter(torch.randn(70, 90))

    def forward(self, x):
        hidden = torch.relu(self.last(torch.relu(self.first(x))) * 0.5)
        return self.row(hidden), hidden @ self.shared, self.shared.sum(0)


def leat(*arguments):
    done = subprocess.run([os.environ["LEAT_COMMAND"], *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def app(tmp_path):
    torch.manual_seed(1)
    model = Net().eval()
    eager = copy.deepcopy(model)
    samba.from_torch_model_(model)
    inputs = (samba.from_torch_tensor(torch.randn(ROWS, 100), name="x", batch_dim=0),)
    config = {"output_folder": str(tmp_path), "pef_name": "net", "inference": True}
    pef = samba.session.compile(model, inputs, None, inference=True, config_dict=config)
    outputs = utils.trace_graph(model, inputs, None, pef=pef)
    return model, eager, outputs, pef


def same(eager, outputs, rows):
    x = torch.randn(rows, 100)
    found = [samba.to_torch(t) for t in samba.session.run([samba.from_torch_tensor(x, name="x")], outputs)]
    with torch.no_grad():
        for got, expected in zip(found, eager(x), strict=True):
            torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


def test_parameters_that_one_product_reads_lie_as_it_does(app):
    _, _, _, pef = app
    info = json.loads(leat("info", pef, "--json"))
    blocks = {s["name"]: s["blocks"] for s in info["symbols"] if "blocks" in s}
    assert blocks == {
        "net__first__weight": {"dim": 0, "outer": 0, "of": 64},
        "net__row__weight": {"dim": 0, "outer": 0, "of": 40},
    }
    assert "(dim 0 in blocks of 64)" in leat("info", pef)
    leat("info", pef, "--check")


def test_values_are_seen_row_major_and_followed_by_programs_that_lie_otherwise(app):
    model, eager, outputs, _ = app
    for _ in range(2):
        same(eager, outputs, ROWS)
        same(eager, outputs, LEFT)
        same(eager, outputs, 1)
        device = samba.session._device
        with torch.no_grad():
            for (name, parameter), other in zip(eager.named_parameters(), Net().parameters(), strict=True):
                parameter.copy_(other)
                symbol = device.find("net__" + name.replace(".", "__"))
                device.write(symbol, parameter)
                assert torch.equal(device.read(symbol), parameter)
    samba.session.to_cpu(model)
    for found, expected in zip(model.parameters(), eager.parameters(), strict=True):
        assert torch.equal(samba.to_torch(found), expected)


def test_weights_of_another_dtype_are_converted_on_their_way(app, tmp_path):
    _, eager, _, pef = app
    x = torch.randn(ROWS, 100)
    np.save(tmp_path / "x.npy", x.numpy())
    for dtype in (torch.float32, torch.float64):
        weights = {name: value.to(dtype).contiguous() for name, value in eager.state_dict().items()}
        safetensors.torch.save_file(weights, tmp_path / "w.safetensors")
        for engine in ("native", "ref"):
            files = ["--weights", tmp_path / "w.safetensors", "--input", f"x={tmp_path / 'x.npy'}"]
            files += ["--output", f"0={tmp_path / 'y.npy'}", "--output", f"net__first__weight={tmp_path / 'a.npy'}"]
            leat("run", pef, *files, "--engine", engine)
            assert np.array_equal(np.load(tmp_path / "a.npy"), eager.first.weight.detach().numpy())
            np.testing.assert_allclose(np.load(tmp_path / "y.npy"), eager(x)[0].detach().numpy(), rtol=1e-4, atol=1e-4)
