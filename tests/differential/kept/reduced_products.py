# SPDX-License-Identifier: Apache-2.0
# scatter_reduce prod with zeros, index_fill with repeats, multilabel_margin_loss with -1.
import torch
import torch.nn as nn
import torch.nn.functional as F

TRAINING = True


def inputs(step):
    g = torch.Generator().manual_seed(step)
    return [torch.randn((3, 4), generator=g)]


class Program(nn.Module):
    def __init__(self):
        super().__init__()
        self.p0 = nn.Parameter(torch.linspace(-1.0, 1.5, 4))
        self.register_buffer("buffer", torch.ones(()))
        self.attribute = torch.zeros(())

    def forward(self, x0):
        v0 = torch.ones_like(x0).scatter_reduce(1, x0.argsort(1) // 2, (x0 * self.p0).relu(), "prod")
        v1 = (x0 * self.p0).index_fill(1, torch.tensor([0, 0]), 0.5)
        v2 = F.multilabel_margin_loss(x0 * self.p0, torch.tensor([[1, -1, 0, 2]] * 3))
        return v0.sum() + v1.sum() + v2, v0, v1
