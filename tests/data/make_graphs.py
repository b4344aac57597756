# SPDX-License-Identifier: Apache-2.0
"""Makes tests/data/graphs: traced programs of every kind as text, which the C tests and the fuzz targets compile.

They are committed, so that the tests need no PyTorch; run this again only to add one:
    PYTHONPATH=python python tests/data/make_graphs.py
"""

import sys
import tempfile
from pathlib import Path

import torch
from sambaflow import samba
from torch import nn
from torch.nn import functional as F

FOLDER = Path(__file__).parent / "graphs"


class Convolutions(nn.Module):
    """Convolution, batch norm, pooling, linear, cross-entropy."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.second = nn.Conv2d(4, 6, 3, stride=2, groups=2, bias=False)
        self.head = nn.Linear(6, 3)

    def forward(self, image, label):
        x = F.max_pool2d(torch.relu(self.norm(self.first(image))), 2)
        x = F.avg_pool2d(self.second(x), 2).flatten(1)
        logits = self.head(x)
        return F.cross_entropy(logits, label), logits


class Attention(nn.Module):
    """Embedding, attention written out, layer norm, GELU."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(11, 8)
        self.norm = nn.LayerNorm(8)
        self.qkv = nn.Linear(8, 24)
        self.out = nn.Linear(8, 11)

    def forward(self, token, target):
        x = self.embedding(token)
        q, k, v = (t.reshape(2, 5, 2, 4).transpose(1, 2) for t in self.qkv(self.norm(x)).chunk(3, dim=-1))
        scores = q @ k.transpose(-1, -2) / 2.0
        mask = torch.ones(5, 5, dtype=torch.bool).triu(1)
        mixed = torch.softmax(scores.masked_fill(mask, float("-inf")), -1) @ v
        logits = self.out(F.gelu(x + mixed.transpose(1, 2).reshape(2, 5, 8)))
        return F.cross_entropy(logits.reshape(10, 11), target.reshape(10))


class Dropout(nn.Module):
    """Random masks and noise."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 6)

    def forward(self, x):
        y = F.dropout(torch.tanh(self.linear(x)), 0.5, self.training)
        return ((y + torch.randn(4, 6) + torch.rand(4, 6)) ** 2).mean()


class Indices(nn.Module):
    """Gather, scatter, sort, scans, and constants with bytes of their own."""

    def forward(self, x, index):
        table = torch.tensor([3.0, -1.5, 2.25, 7.0, 0.125, 9.0]) * x
        taken = torch.gather(table, 1, index)
        values, order = torch.sort(table, dim=1, descending=True)
        spread = torch.zeros(4, 6).scatter_add(1, index, taken)
        best, where = torch.topk(torch.cumsum(values, 1), 2, dim=1)
        return spread.index_select(1, torch.tensor([5, 0, 3])), order.to(torch.int32), best, where, x.argmax(1)


class Numbers(nn.Module):
    """f64, bf16 and integers; reductions and views."""

    def forward(self, x, n):
        d = torch.logsumexp(x.to(torch.float64) * 1.5, 0).sqrt()
        h = (x.to(torch.bfloat16) @ x.to(torch.bfloat16).t()).float().flip(0)
        i = (n * 3 + 1) % 7
        s = x.std(1) + torch.where(n[:, 0] > 2, x.amax(1), x.prod(1))
        return d, h[:, 1::2], torch.cat([i, n], 1), s, F.pad(x, (1, 2), value=0.5)


class Volumes(nn.Module):
    """3-D and transposed convolution, upsampling."""

    def __init__(self):
        super().__init__()
        self.volume = nn.Conv3d(1, 2, 2, bias=False)
        self.up = nn.ConvTranspose2d(2, 2, 3, stride=2, padding=1)

    def forward(self, x):
        y = F.leaky_relu(self.volume(x)).amax(2)
        return F.interpolate(self.up(y), size=(8, 8), mode="bilinear"), F.adaptive_avg_pool2d(y, 1)


class Losses(nn.Module):
    """A chain of small layers with several losses, trained with momentum."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(5, 7), nn.SiLU(), nn.Linear(7, 7), nn.Sigmoid(), nn.Linear(7, 5))

    def forward(self, x, y):
        z = self.layers(x)
        return F.mse_loss(z, y), F.smooth_l1_loss(z, y), z


class Blocks(nn.Module):
    """Equal blocks, each marked as one function, and one of another width; the head is tied to the first block."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(6, 6) for _ in range(3))
        self.wide = nn.Linear(6, 8)

    def forward(self, x, label):
        for block in self.blocks:
            with samba.directives.op_fusion(func_name="block"):
                x = x + F.dropout(torch.tanh(block(x)), 0.25, self.training)
        with samba.directives.op_fusion(func_name="block"):
            y = torch.tanh(self.wide(x))
        logits = x @ self.blocks[0].weight.t() + y.sum(1, keepdim=True)
        return F.cross_entropy(logits, label), logits


class Recurrent(nn.Module):
    """Loops one behind the other, forward and backward."""

    def __init__(self):
        super().__init__()
        self.lstm, self.gru = nn.LSTM(2, 3, bidirectional=True), nn.GRU(6, 2)

    def forward(self, x):
        y, last = self.gru(self.lstm(x)[0])
        return (y * y).mean() + last.sum(), y


def token(name, high, *shape):
    return samba.randint(high, shape, name=name)


def number(name, *shape):
    return samba.randn(*shape, name=name)


def programs():
    """Name, model, inputs, optimizer."""
    model = Convolutions()
    yield "convolutions", model, (number("image", 4, 1, 10, 10), token("label", 3, 4)), samba.optim.AdamW, {}
    yield (
        "attention",
        Attention(),
        (token("token", 11, 2, 5), token("target", 11, 2, 5)),
        samba.optim.AdamW,
        {"max_grad_norm": 1.0},
    )
    yield "dropout", Dropout(), (number("x", 4, 6),), samba.optim.SGD, {}
    yield "losses", Losses(), (number("x", 3, 5), number("y", 3, 5)), samba.optim.SGD, {"momentum": 0.9}
    yield "indices", Indices(), (number("x", 4, 6), token("index", 6, 4, 3)), None, {}
    yield "numbers", Numbers(), (number("x", 4, 6), token("n", 9, 4, 3)), None, {}
    yield "volumes", Volumes().eval(), (number("x", 2, 1, 3, 5, 5),), None, {}
    yield "blocks", Blocks(), (number("x", 4, 6), token("label", 6, 4)), samba.optim.AdamW, {"max_grad_norm": 1.0}
    yield "recurrent", Recurrent(), (number("x", 8, 2, 2),), samba.optim.SGD, {}
    yield "inference", Convolutions().eval(), (number("image", 4, 1, 10, 10), token("label", 3, 4)), None, {}


def save(name, model, inputs, optimizer, options):
    def keep(program, *_, **__):
        (FOLDER / f"{name}.graph").write_text(program.text)

    samba.from_torch_model_(model)
    made = optimizer(model.parameters(), lr=0.01, **options) if optimizer else None
    sys.modules["sambaflow.samba._artifacts"].compile_program = keep
    with tempfile.TemporaryDirectory() as folder:
        config = {"output_folder": folder, "pef_name": name}
        samba.session.compile(model, inputs, made, name=name, config_dict=config, inference=made is None)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    torch.manual_seed(0)
    for entry in programs():
        save(*entry)
