# SPDX-License-Identifier: Apache-2.0
"""What follows a convolution is done where its sums are stored: in bits what `ref` computes stage by stage."""

import pytest
import torch
import torch.nn.functional as F
from sambaflow import samba
from sambaflow.samba import utils
from support import same_bits
from torch import nn

# {name: (convolution, what follows, shape of x)}
CASES = {
    "bias, relu": (nn.Conv2d(6, 20, 3, padding=1), F.relu, (1, 6, 9, 13)),
    "bounds on both sides": (nn.Conv2d(17, 33, 1), F.relu6, (2, 17, 7, 7)),
    "a bound above": (nn.Conv2d(5, 9, 3, bias=False), lambda y: y.clamp(max=0.5), (1, 5, 8, 8)),
    "residual, relu": (nn.Conv2d(16, 16, 3, padding=1), lambda y, x: F.relu(y + x), (1, 16, 16, 32)),
    "residual first": (nn.Conv2d(16, 16, 1), lambda y, x: F.hardtanh(x + y, -0.25, 0.5), (3, 16, 5, 5)),
    "depthwise": (nn.Conv2d(24, 24, 3, padding=1, groups=24), F.relu6, (1, 24, 14, 14)),
    "depthwise, strides": (nn.Conv2d(12, 24, 5, 2, 2, groups=12), F.relu, (1, 12, 15, 15)),
    "depthwise, residual": (nn.Conv2d(8, 8, 3, padding=1, groups=8), lambda y, x: y + x, (1, 8, 9, 9)),
    "groups": (nn.Conv2d(12, 18, 3, groups=3), F.relu, (2, 12, 7, 9)),
    "long sums": (nn.Conv2d(600, 18, 3, padding=1), F.relu6, (1, 600, 4, 5)),
    "long sums, residual": (nn.Conv2d(520, 520, 3, padding=1), lambda y, x: F.relu(y + x), (1, 520, 4, 4)),
    "sound": (nn.Conv1d(9, 14, 5, 2), F.relu, (2, 9, 33)),
    "sound, residual": (nn.Conv1d(9, 9, 3, padding=1), lambda y, x: F.relu(y + x), (1, 9, 40)),
    "volumes": (nn.Conv3d(4, 10, 3, padding=1), F.relu, (1, 4, 5, 6, 7)),
    "volumes, residual": (nn.Conv3d(4, 4, 3, padding=1), lambda y, x: F.relu(y + x), (1, 4, 5, 6, 7)),
    "transposed": (nn.ConvTranspose2d(8, 12, 2, 2), F.relu, (1, 8, 6, 6)),
    "another function": (nn.Conv2d(6, 20, 3, padding=1), F.silu, (1, 6, 9, 13)),
    "itself, in part": (nn.Conv2d(6, 20, 3, bias=False), lambda y: y + y[:, :, :1, :1], (1, 6, 9, 13)),
    "itself, one channel": (nn.Conv2d(6, 20, 3, bias=False), lambda y: (y + y[:, 3:4]).clamp(-1, 1), (2, 6, 9, 13)),
    "itself, turned": (nn.Conv2d(6, 20, 3, bias=False), lambda y: y + y.flip(1), (2, 6, 9, 13)),
    "itself, one plane": (nn.Conv3d(4, 10, 3, bias=False), lambda y: y + y[:, :, :1], (1, 4, 5, 6, 7)),
    "two readers": (nn.Conv2d(6, 20, 3), lambda y: torch.cat([F.relu(y), y.sum(1, keepdim=True)], 1), (1, 6, 9, 13)),
}


class Permuted(nn.Module):
    """A convolution of a small picture, and its norm, of an input whose images lie inside rows."""

    def __init__(self, dims):
        super().__init__()
        self.dims, self.convolution, self.norm = dims, nn.Conv2d(16, 16, 1), nn.BatchNorm2d(16)

    def forward(self, x):
        return self.norm(self.convolution((x * 2).permute(*self.dims)))


class Finished(nn.Module):
    def __init__(self, convolution, follow, is_residual):
        super().__init__()
        self.convolution, self.follow, self.is_residual = convolution, follow, is_residual

    def forward(self, x):
        x = x * 1.5  # so that the section holds more than the convolution
        y = self.convolution(x)
        return self.follow(y, x) if self.is_residual else self.follow(y)


def check(model, x, tmp_path, monkeypatch):
    """`ref` and `native` give the same bits, and nearly those of eager."""
    expected, found = model(x), {}
    samba.from_torch_model_(model)
    inputs = (samba.from_torch_tensor(x, name="x"),)
    config = {"output_folder": str(tmp_path), "pef_name": "m"}
    pef = samba.session.compile(model, inputs, inference=True, config_dict=config)
    for engine in ("ref", "native"):
        monkeypatch.setenv("LEAT_ENGINE", engine)
        outputs = utils.trace_graph(model, inputs, pef=pef)
        (y,) = samba.session.run(inputs, outputs, section_types=["fwd"])
        found[engine] = samba.to_torch(y).clone()
    assert same_bits(*(y.nan_to_num(7.0) for y in found.values()))
    torch.testing.assert_close(found["native"], expected, rtol=1e-4, atol=1e-5, equal_nan=True)


@pytest.mark.parametrize("name", CASES)
def test_what_follows_a_convolution_has_the_bits_of_its_stages(name, tmp_path, monkeypatch):
    torch.manual_seed(5)
    convolution, follow, shape = CASES[name]
    model = Finished(convolution, follow, follow.__code__.co_argcount == 2 and "residual" in name).eval()
    x = torch.randn(shape)
    x.view(-1)[3], x.view(-1)[5] = float("nan"), -0.0
    check(model, x, tmp_path, monkeypatch)


@pytest.mark.parametrize(
    "dims, shape", [((3, 0, 1, 2), (16, 2, 1, 2)), ((2, 0, 1, 3), (16, 2, 2, 2)), ((2, 0, 1, 3), (16, 3, 2, 2))]
)
def test_small_pictures_whose_images_lie_inside_rows(dims, shape, tmp_path, monkeypatch):
    torch.manual_seed(5)
    check(Permuted(dims).eval(), torch.randn(shape), tmp_path, monkeypatch)


class Normed(nn.Module):
    """A convolution whose weights take in a norm, and so lie as its kernel wants them; a residual, a bound."""

    def __init__(self, stride, outputs):
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(6, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        self.side = nn.Conv2d(6, outputs, 1, stride)
        self.norm.running_mean.uniform_(-1, 1)

    def forward(self, x):
        x = x * 1.5
        return F.relu(self.norm(self.convolution(x)) + self.side(x))


@pytest.mark.parametrize("stride, shape", [(1, (2, 6, 19, 18)), (2, (1, 6, 47, 41)), (1, (1, 6, 9, 9))])
def test_outputs_as_lanes(stride, shape, tmp_path, monkeypatch):
    """Pictures whose rows are no whole registers, and two panels of outputs, of which one is not full."""
    torch.manual_seed(6)
    x = torch.randn(shape)
    x.view(-1)[3], x.view(-1)[5] = float("nan"), -0.0
    check(Normed(stride, 70).eval(), x, tmp_path, monkeypatch)
