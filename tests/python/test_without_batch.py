# SPDX-License-Identifier: Apache-2.0
"""Programs of one row or one image: work is cut along columns and channels. Values are PyTorch's, and the bits are the
same for any number of threads and every ISA level."""

import json
import subprocess

import pytest
import torch
from sambaflow import samba
from sambaflow._runtime.device import Device
from support import Native, leat_command, same_bits
from torch import nn

pytest.importorskip("sambaflow._leat")

# (threads, isa): the first is what the others are compared with.
SETTINGS = [(1, None), (2, None), (3, None), (2, "avx2"), (2, "portable")]


def infer(model, x, folder):
    """(path of the PEF, result of a run through the SDK)"""
    samba.from_torch_model_(model)
    inputs = (samba.from_torch_tensor(x, name="x"),)
    settings = {"output_folder": str(folder), "pef_name": "once", "inference": True}
    pef = samba.session.compile(model, inputs, config_dict=settings, inference=True)
    outputs = samba.utils.trace_graph(model, inputs, pef=pef)
    (result,) = samba.session.run(input_tensors=inputs, output_tensors=outputs, section_types=["fwd"])
    return pef, samba.to_torch(result)


def same_with_any_threads(pef, model, x, result):
    for threads, isa in SETTINGS:
        program = Native(pef, threads=threads, isa=isa)
        for name, value in model.state_dict().items():
            symbol = f"{type(model).__name__}__{name.replace('.', '__')}".lower()
            if symbol in program.symbols:
                program.write(symbol, samba.to_torch(value))
        program.write("x", x)
        program.run()
        (name,) = program.names(program.lib.LEAT_SYMBOL_OUTPUT)
        assert same_bits(program.read(name).reshape(result.shape), result), (threads, isa)


class Flat(nn.Module):
    """A product whose weight lies [inputs, outputs]."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, outputs))

    def forward(self, x):
        return x @ self.weight


@pytest.mark.parametrize("make", [lambda: nn.Linear(96, 1000), lambda: Flat(1500, 200), lambda: nn.Linear(70, 65)])
def test_products_of_one_row_read_their_weights_in_panels(make, tmp_path):
    torch.manual_seed(1)
    model = make()
    x = torch.randn(1, next(iter(model.parameters())).shape[0 if isinstance(model, Flat) else 1])
    expected = model(x).detach()
    pef, result = infer(model, x, tmp_path)
    torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-4)
    info = json.loads(subprocess.run([leat_command(), "info", "--json", pef], capture_output=True, check=True).stdout)
    assert any("blocks" in symbol for symbol in info["symbols"])
    same_with_any_threads(pef, model, x, result)


class Picture(nn.Module):
    """Convolutions with norm, activation and pooling, a product of pictures and one in groups."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 24, 7, 2, padding=3, bias=False), nn.BatchNorm2d(24), nn.ReLU())
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.body = nn.Sequential(nn.Conv2d(24, 40, 1), nn.ReLU(), nn.Conv2d(40, 24, 3, padding=1), nn.BatchNorm2d(24))
        self.groups = nn.Conv2d(24, 48, 3, padding=1, groups=4)
        self.up = nn.ConvTranspose2d(48, 5, 2, stride=2)

    def forward(self, x):
        x = self.pool(self.stem(x))
        x = torch.relu(x + self.body(x))
        return self.up(self.groups(x))


def test_convolutions_of_one_image_go_along_output_channels(tmp_path):
    torch.manual_seed(2)
    model, x = Picture().eval(), torch.randn(1, 3, 50, 62)
    expected = model(x).detach()
    pef, result = infer(model, x, tmp_path)
    torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-4)
    rows = {section["name"]: section["rows"] for section in Device(pef).report()["sections"]}
    assert rows["picture.stem.0 .. picture.stem.2"] == 24  # with norm, activation and pooling
    assert "picture.pool" not in rows
    assert rows["picture.groups"] == 48 and rows["picture.up"] == 5
    same_with_any_threads(pef, model, x, result)


class Lines(nn.Module):
    """Convolutions whose weights are smaller than their picture, with strides, dilation, norm and a sum; the last has
    larger ones."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(16, 48, 3, padding=1), nn.BatchNorm2d(48), nn.ReLU())
        self.wide = nn.Conv2d(48, 48, 3, padding=2, dilation=2)
        self.flat = nn.Conv2d(48, 48, 1)
        self.less = nn.Conv2d(48, 32, 5, stride=2, padding=1)
        self.heavy = nn.Conv2d(32, 256, 3)

    def forward(self, x):
        x = self.first(x)
        x = torch.relu(x + self.flat(self.wide(x)))
        return self.heavy(self.less(x))


def test_threads_share_the_lines_of_a_picture_that_is_larger_than_the_weights(tmp_path):
    torch.manual_seed(3)
    model, x = Lines().eval(), torch.randn(1, 16, 37, 41)
    expected = model(x).detach()
    pef, result = infer(model, x, tmp_path)
    torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-4)
    told = subprocess.run([leat_command(), "info", "--json", pef], capture_output=True, check=True)
    report = json.loads(told.stdout)
    axes = {section["name"]: section["axes"] for section in report["sections"] if section["type"] == "fwd"}
    assert [lines for name, lines in axes.items() if "heavy" not in name] == [[37], [37], [37], [18]]
    assert axes["lines.heavy"] == []
    same_with_any_threads(pef, model, x, result)
