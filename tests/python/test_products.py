# SPDX-License-Identifier: Apache-2.0
"""Products that the compiler writes otherwise than the program: with weights that took in what follows, in parts.

Values are eager PyTorch's, in inference and training, and the same bits for one to three threads.
"""

import beside_eager as eager
import pytest
import torch
import torch.nn.functional as F
from sambaflow import samba
from torch import nn


def norm_of(norm):
    """The norm with statistics and weights that are not those it begins with."""
    with torch.no_grad():
        for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            tensor.copy_(torch.rand(tensor.shape) + 0.5)
    return norm


NORMED = {
    "convolution": (lambda: nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), norm_of(nn.BatchNorm2d(8))), (2, 3, 9, 9)),
    "with a bias": (lambda: nn.Sequential(nn.Conv2d(3, 8, 3, 2), norm_of(nn.BatchNorm2d(8)), nn.ReLU()), (1, 3, 9, 9)),
    "in groups": (lambda: nn.Sequential(nn.Conv2d(4, 8, 3, groups=4), norm_of(nn.BatchNorm2d(8))), (2, 4, 7, 7)),
    "of one dim": (lambda: nn.Sequential(nn.Conv1d(3, 8, 5), norm_of(nn.BatchNorm1d(8))), (2, 3, 20)),
    "of three dims": (lambda: nn.Sequential(nn.Conv3d(2, 4, 2), norm_of(nn.BatchNorm3d(4))), (1, 2, 4, 4, 4)),
    "transposed": (
        lambda: nn.Sequential(nn.ConvTranspose2d(3, 8, 3, 2, groups=1), norm_of(nn.BatchNorm2d(8))),
        (2, 3, 5, 5),
    ),
    "transposed in groups": (
        lambda: nn.Sequential(nn.ConvTranspose2d(4, 8, 3, 2, groups=2), norm_of(nn.BatchNorm2d(8))),
        (2, 4, 5, 5),
    ),
    "linear": (lambda: nn.Sequential(nn.Linear(6, 8), norm_of(nn.BatchNorm1d(8)), nn.Tanh()), (5, 6)),
    "over a small picture, turned": (
        lambda: nn.Sequential(nn.Conv2d(16, 40, 3, padding=1), norm_of(nn.BatchNorm2d(40)), nn.ReLU()),
        (3, 16, 7, 7),
    ),
    "strided, turned": (lambda: nn.Sequential(nn.Conv2d(24, 20, 1, 2), norm_of(nn.BatchNorm2d(20))), (2, 24, 9, 9)),
    "norm first": (lambda: nn.Sequential(norm_of(nn.BatchNorm2d(3)), nn.Conv2d(3, 8, 3)), (2, 3, 6, 6)),
    "normed twice": (
        lambda: nn.Sequential(nn.Conv2d(3, 8, 3), norm_of(nn.BatchNorm2d(8)), norm_of(nn.BatchNorm2d(8))),
        (2, 3, 6, 6),
    ),
}


class Decoder(nn.Module):
    """A step of decoding: one row of queries over the keys and values before it and its own."""

    def __init__(self, heads=2, width=16, grouped=1):
        super().__init__()
        self.heads, self.width, self.grouped = heads, width, grouped
        self.qkv = nn.Linear(heads * width, heads * width * (1 + 2 // grouped))

    def forward(self, x, keys, values):
        q, k, v = self.qkv(x).split([self.heads * self.width] + 2 * [self.heads * self.width // self.grouped], dim=2)
        q, k, v = (part.view(x.shape[0], x.shape[1], -1, self.width).transpose(1, 2) for part in (q, k, v))
        k, v = torch.cat([keys, k], dim=2), torch.cat([values, v], dim=2)
        return F.scaled_dot_product_attention(q, k, v, enable_gqa=self.grouped > 1).sum(dim=1)


@pytest.mark.parametrize("name", NORMED)
@pytest.mark.parametrize("inference", [True, False], ids=["inference", "training"])
def test_a_norm_behind_a_product_is_eagers(tmp_path, name, inference):
    make, shape = NORMED[name]
    torch.manual_seed(0)
    model, x = make(), torch.randn(shape)
    if inference:
        eager.check(tmp_path, model, x, inference=True)
        return
    target = torch.randn(model(x).shape)

    class Training(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, x, target):
            return F.mse_loss(self.model(x), target)

    eager.check(tmp_path, Training(), x, target)


def test_weights_that_took_in_a_norm_follow_their_parameters(tmp_path):
    torch.manual_seed(0)
    model, other = (nn.Sequential(nn.Conv2d(3, 8, 3), norm_of(nn.BatchNorm2d(8))).eval() for _ in range(2))
    x = torch.randn(2, 3, 6, 6)
    eager.compiled_outputs(tmp_path, model, x, inference=True)
    with torch.no_grad():
        model.load_state_dict(other.state_dict())
        samba.session.to_rdu(model)
        (got,) = samba.session.run(
            input_tensors=[samba.from_torch_tensor(x, name="x0")],
            output_tensors=model.output_tensors,
            section_types=["fwd"],
        )
        torch.testing.assert_close(samba.to_torch(got), other(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("rows", [1, 2, 5, 40])
@pytest.mark.parametrize("grouped", [1, 2])
def test_a_step_of_decoding_is_eagers(tmp_path, batch, rows, grouped):
    torch.manual_seed(0)
    model = Decoder(grouped=grouped)
    caches = [torch.randn(batch, 2 // grouped, 700, 16) for _ in range(2)]
    eager.check(tmp_path, model, torch.randn(batch, rows, 32), *caches, inference=True)


def test_a_step_of_decoding_has_the_same_bits_on_any_number_of_threads(tmp_path, monkeypatch):
    outputs = []
    for threads in (1, 2, 3):
        torch.manual_seed(0)
        monkeypatch.setenv("LEAT_NUM_THREADS", str(threads))
        model, caches = Decoder(), [torch.randn(1, 2, 700, 16) for _ in range(2)]
        outputs += eager.compiled_outputs(
            tmp_path / str(threads), model, torch.randn(1, 1, 32), *caches, inference=True
        )
    assert all(torch.equal(output, outputs[0]) for output in outputs)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("dilation", [1, 2])
def test_holes_of_a_transposed_convolution_have_no_part_in_its_gradient(tmp_path, groups, dilation):
    """Results that no element of the operand reaches are 0, and their cotangents NaN here."""

    def forward(model, x):
        y = F.conv_transpose2d(x, model.w, stride=3, output_padding=1, groups=groups, dilation=dilation)
        return torch.where(y == 0, y / y, y.square()).nansum()

    torch.manual_seed(0)
    eager.check(tmp_path, eager.Function(forward, 4, 2, 2, 2), torch.randn(2, 4, 3, 4))
