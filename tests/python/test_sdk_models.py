# SPDX-License-Identifier: Apache-2.0
"""Models in the ways people write them: traced without special cases, outputs and gradients equal PyTorch's."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from sambaflow import samba
from sambaflow.samba import utils
from torch import nn

pytest.importorskip("sambaflow._leat")


class Gpt(nn.Module):
    """Attention written out, mask in a buffer, tied embedding."""

    def __init__(self, vocabulary=11, width=8, heads=2, length=6):
        super().__init__()
        self.heads = heads
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(length, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.tokens.weight
        self.register_buffer("mask", torch.tril(torch.ones(length, length)).view(1, 1, length, length))

    def attend(self, x):
        b, t, c = x.size()
        q, k, v = self.qkv(x).split(c, dim=2)
        q, k, v = (z.view(b, t, self.heads, c // self.heads).transpose(1, 2) for z in (q, k, v))
        scores = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
        scores = scores.masked_fill(self.mask[:, :, :t, :t] == 0, float("-inf"))
        y = F.softmax(scores, dim=-1) @ v
        return self.proj(y.transpose(1, 2).contiguous().view(b, t, c))

    def forward(self, ids, targets):
        positions = torch.arange(0, ids.size(1), dtype=torch.long, device=ids.device)
        x = self.tokens(ids) + self.positions(positions)
        x = x + self.attend(self.norm1(x))
        x = x + self.down(F.gelu(self.up(self.norm2(x))))
        logits = self.head(x)
        loss = F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1), ignore_index=-1)
        return loss, logits


class UNet(nn.Module):
    """Batch norm, up-sampling, skip connections, transposed convolution."""

    def __init__(self):
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.pool = nn.MaxPool2d(2, stride=2)
        self.middle = nn.Sequential(nn.Conv2d(4, 8, 3, padding=1), nn.BatchNorm2d(8), nn.LeakyReLU(0.2, inplace=True))
        self.up = nn.ConvTranspose2d(8, 4, 2, stride=2)
        self.upsample = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        self.out = nn.Conv2d(16, 1, 1)

    def forward(self, noisy, clean):
        skip = self.down(noisy)
        middle = self.middle(self.pool(skip))
        x = torch.cat([skip, self.up(middle), self.upsample(middle)], 1)
        x = torch.sigmoid(self.out(x))
        return x, nn.MSELoss()(x, clean)


class Residual(nn.Module):
    """In-place adds, global pooling, flatten by size."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1, bias=False, groups=4)
        self.bn2 = nn.BatchNorm2d(8)
        self.shortcut = nn.Sequential(nn.Conv2d(3, 8, 1, stride=2, bias=False), nn.BatchNorm2d(8))
        self.fc = nn.Linear(8, 5)

    def forward(self, image, label):
        out = F.relu(self.bn1(self.conv1(image)))
        out = self.bn2(self.conv2(out))
        out += self.shortcut(image)
        out = F.relu(out)
        out = F.avg_pool2d(out, out.size()[2:]).view(out.size(0), -1)
        out = self.fc(out)
        return F.nll_loss(F.log_softmax(out, dim=1), label), out


class Forecaster(nn.Module):
    """A loop over time steps with an LSTM cell, results stacked."""

    def __init__(self):
        super().__init__()
        self.cell = nn.LSTMCell(3, 5)
        self.head = nn.Linear(5, 1)

    def forward(self, series, target):
        h = torch.zeros(series.shape[0], 5)
        c = torch.zeros_like(h)
        steps = []
        for t in range(series.shape[1]):
            h, c = self.cell(series[:, t], (h, c))
            steps.append(self.head(h))
        out = torch.stack(steps, dim=1).squeeze(-1)
        return F.l1_loss(out, target), out


class Mixture(nn.Module):
    """Parameters of one's own, top-k, gather, einsum, where, clamp, powers, reductions with keepdim."""

    def __init__(self):
        super().__init__()
        self.centres = nn.Parameter(torch.randn(4, 3))
        self.log_scale = nn.Parameter(torch.zeros(4))
        self.weights = nn.ParameterDict({"mix": nn.Parameter(torch.randn(4, 2))})

    def forward(self, x):
        distance = ((x.unsqueeze(1) - self.centres.unsqueeze(0)) ** 2).sum(-1)
        score = torch.exp(-distance * self.log_scale.exp())
        score = score / score.sum(dim=1, keepdim=True).clamp(min=1e-6)
        best, index = torch.topk(score, 2, dim=1)
        mixed = torch.einsum("bk,bkc->bc", best, self.weights["mix"][index])
        mixed = torch.where(mixed > 0, mixed, mixed * 0.1)
        return mixed.pow(2).mean() + 0.1 * self.centres.norm(), mixed


class Scatterer(nn.Module):
    """Writes into slices, masks, rows of a new tensor."""

    def __init__(self):
        super().__init__()
        self.proj = nn.Linear(4, 4)

    def forward(self, x):
        y = self.proj(x)
        out = torch.zeros(x.shape[0], 6)
        out[:, 1:5] = y
        out[:, 0] += y.sum(1)
        out[0] *= 2
        out.t()[5].copy_(y[:, 0])
        mask = out > 0.5
        out[mask] = 0.5
        return out.tanh().sum()


class Attention(nn.Module):
    """torch's own attention and encoder modules."""

    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True, activation="gelu")
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x):
        x = self.encoder(x)
        y, _ = self.attention(x, x, x, need_weights=False)
        z = F.scaled_dot_product_attention(x[:, None], y[:, None], y[:, None], is_causal=True)
        return (z.squeeze(1) - x).square().mean(), z


class Volume(nn.Module):
    """Three-dimensional convolution, group and instance norm, adaptive pooling."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv3d(1, 4, 3, padding=1)
        self.norm = nn.GroupNorm(2, 4)
        self.instance = nn.InstanceNorm3d(4, affine=True)
        self.pool = nn.AdaptiveAvgPool3d(1)
        self.fc = nn.Linear(4, 2)

    def forward(self, x, y):
        x = self.instance(F.elu(self.norm(self.conv(x))))
        x = self.fc(torch.flatten(self.pool(F.max_pool3d(x, 2) ** 2), 1))
        return F.binary_cross_entropy_with_logits(x, y), x


class Recurrent(nn.Module):
    """torch's recurrent modules."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(3, 4, num_layers=2, batch_first=True, bidirectional=True)
        self.gru = nn.GRU(8, 4, batch_first=True)
        self.rnn = nn.RNN(4, 3, batch_first=True)

    def forward(self, x):
        x, (h, _) = self.lstm(x)
        x, _ = self.rnn(self.gru(x)[0])
        return F.smooth_l1_loss(x, x.detach() * 0.5) + h.mean()


MODELS = {
    "gpt": (Gpt, lambda: {"ids": torch.randint(11, (2, 6)), "targets": torch.randint(-1, 11, (2, 6))}),
    "unet": (UNet, lambda: {"noisy": torch.randn(2, 1, 8, 8), "clean": torch.rand(2, 1, 8, 8)}),
    "residual": (Residual, lambda: {"image": torch.randn(2, 3, 8, 8), "label": torch.randint(5, (2,))}),
    "forecaster": (Forecaster, lambda: {"series": torch.randn(3, 4, 3), "target": torch.randn(3, 4)}),
    "mixture": (Mixture, lambda: {"x": torch.randn(5, 3)}),
    "scatterer": (Scatterer, lambda: {"x": torch.randn(3, 4)}),
    "attention": (Attention, lambda: {"x": torch.randn(2, 3, 8)}),
    "volume": (Volume, lambda: {"x": torch.randn(2, 1, 4, 4, 4), "y": torch.rand(2, 2)}),
    "recurrent": (Recurrent, lambda: {"x": torch.randn(2, 3, 3)}),
}


@pytest.mark.parametrize("name", MODELS)
def test_model_equals_torch(tmp_path, name):
    make, data = MODELS[name]
    torch.manual_seed(3)
    model, batch = make(), data()
    reference = copy.deepcopy(model)
    samba.from_torch_model_(model)
    inputs = samba.from_named_dict(batch)
    optimizer = samba.optim.SGD(model.parameters(), lr=0.0)
    config = {"output_folder": str(tmp_path), "pef_name": name}
    pef = samba.session.compile(model, inputs, optimizer, config_dict=config)
    outputs = utils.trace_graph(model, inputs, optimizer, pef=pef)
    found = samba.session.run(inputs, outputs)
    expected = reference(**batch)
    expected = expected if isinstance(expected, tuple) else (expected,)
    loss = next(e for e in expected if e.dim() == 0)
    loss.backward()
    assert len(found) == len(expected)
    for have, want in zip(found, expected, strict=True):
        torch.testing.assert_close(samba.to_torch(have), want.detach(), rtol=1e-4, atol=1e-5)
    for (path, want), have in zip(reference.named_parameters(), model.parameters(), strict=True):
        scale = float(want.grad.abs().max()) if want.grad is not None else 0.0
        if scale:
            difference = float((samba.to_torch(have.sn_grad) - want.grad).abs().max())
            assert difference <= 1e-4 * scale + 1e-6, f"gradient of {path}: {difference:.2e} of {scale:.2e}"
    samba.session.to_cpu(model)
    for path, want in reference.named_buffers():
        torch.testing.assert_close(dict(model.named_buffers())[path], want, rtol=1e-4, atol=1e-5)
