# SPDX-License-Identifier: Apache-2.0
"""What a concatenation joins is made in its memory, where that can be; values are eager's, however parts are read."""

import subprocess

import beside_eager
import pytest
import torch
import torch.nn.functional as F
from support import leat_command
from torch import nn


class Joined(nn.Module):
    """Two convolutions side by side, of which `join` makes the result with what it likes of their input."""

    def __init__(self, join, outputs=(16, 32)):
        super().__init__()
        self.left, self.right = (nn.Conv2d(8, count, 3, padding=1) for count in outputs)
        self.join = join

    def forward(self, x):
        return self.join(F.relu(self.left(x)), self.right(x), x)


# Of `a`, `b` and what both are made of.
CASES = {
    "both": lambda a, b, x: torch.cat([a, b], 1).sum(1, keepdim=True),
    "with the input": lambda a, b, x: F.max_pool2d(torch.cat([x, a, b], 1), 2),
    "twice": lambda a, b, x: torch.cat([a, b, a], 1).sigmoid(),
    "in two": lambda a, b, x: torch.cat([a, b], 1).sin() + torch.cat([b, a], 1),
    "one in another": lambda a, b, x: torch.cat([torch.cat([a, b], 1).relu(), b], 1).cumsum(1),
    "read before, in part": lambda a, b, x: torch.cat([a, b * a[:, :1].mean()], 1).flip(1).contiguous() + a[:, 3:4],
    "read turned": lambda a, b, x: (torch.cat([a, b], 1).exp(), a.flip(0, 1, 3) + 1, b.transpose(0, 1).sum(2)),
    "read flat": lambda a, b, x: (torch.cat([a, b], 1).sum((2, 3)), a.reshape(-1, 6) @ a.reshape(-1, 6).t()[:, :5]),
    "given out": lambda a, b, x: (torch.cat([a, b], 1) * 2, a, b.sum()),
    "made of another": lambda a, b, x: torch.cat([a, F.conv2d(a, torch.ones(3, 16, 1, 1)) + 1], 1).tanh(),
    "along images": lambda a, b, x: torch.cat([a[:, :8], x, a[:, 8:]], 0).softmax(1),
}


def images(count, size=24):
    return torch.randn(count, 8, size, size, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("count", (1, 3))
@pytest.mark.parametrize("name", CASES)
def test_values(name, count, tmp_path):
    torch.manual_seed(1)
    beside_eager.check(tmp_path, Joined(CASES[name]), images(count), inference=True, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("count", (1, 3))
def test_gradients(count, tmp_path):
    torch.manual_seed(2)
    join = lambda a, b, x: (F.max_pool2d(torch.cat([a, b, x], 1).tanh(), 2) * a.mean()).square().mean()  # noqa: E731
    beside_eager.check(tmp_path, Joined(join), images(count), rtol=1e-3, atol=1e-5)


class Skipped(Joined):
    """A convolution of both, so that who joins and who reads are different sections."""

    def __init__(self):
        super().__init__(lambda a, b, x: torch.cat([a, b], 1))
        self.after = nn.Conv2d(48, 8, 3, padding=1)

    def forward(self, x):
        return self.after(super().forward(x))


@pytest.mark.parametrize("count", (1, 3))
def test_parts_in_one_piece_are_not_copied(count, tmp_path):
    """Of several images a part lies in several pieces, and is copied."""
    torch.manual_seed(1)
    model, x = Skipped(), images(count, 96)
    beside_eager.check(tmp_path, model, x, inference=True, rtol=1e-4, atol=1e-4)
    (pef,) = tmp_path.rglob("*.pef")
    command = [leat_command(), "info", str(pef), "--stages"]
    stages = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    copies = [line for line in stages if " cat " in line]
    assert (len(copies) > 0) == (count > 1), copies


# Results of products have merged dims, which go over the borders of pieces; as do those that a sum reads.
class Products(nn.Module):
    def __init__(self, join):
        super().__init__()
        self.left, self.right = (nn.Parameter(torch.randn(64, 64) / 8) for _ in range(2))
        self.join = join

    def forward(self, x, kept):
        return self.join(x, kept, self.left, self.right)


def read_apart(left, right, weight):
    return torch.cat([left, right], 1).softmax(1).sum(2) + (left @ weight).sum(1)[:, :1]


PRODUCTS = {
    "linear": lambda x, kept, a, b: torch.cat([F.linear(x, a), F.linear(x, b)], 1).softmax(1),
    "matmul": lambda x, kept, a, b: torch.cat([x @ a, x @ b], 1).softmax(1),
    "einsum": lambda x, kept, a, b: torch.cat([torch.einsum("btd,de->bte", x, w) for w in (a, b)], 1).sum(0),
    "kept": lambda x, kept, a, b: torch.cat([kept, x @ a], 1).sum(0),
    "last": lambda x, kept, a, b: torch.cat([x @ a, x @ b], 2).softmax(0),
    "first": lambda x, kept, a, b: torch.cat([x @ a, x @ b], 0).softmax(0),
    "one batch": lambda x, kept, a, b: torch.cat([x[:1] @ a, kept[:1], x[1:2] @ b], 1).softmax(1),
    "read apart": lambda x, kept, a, b: read_apart(x @ a, x @ b, b),
}


@pytest.mark.parametrize("inference", (True, False))
@pytest.mark.parametrize("name", PRODUCTS)
def test_products(name, inference, tmp_path):
    torch.manual_seed(4)
    join = PRODUCTS[name] if inference else lambda *inputs: PRODUCTS[name](*inputs).square().mean()
    x, kept = torch.randn(4, 512, 64), torch.randn(4, 96, 64)
    beside_eager.check(tmp_path, Products(join), x, kept, inference=inference, rtol=1e-3, atol=1e-5)
