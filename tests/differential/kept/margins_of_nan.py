# SPDX-License-Identifier: Apache-2.0
# A gradient of NaN reaches elements that do not count in a loss of margins.
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
        self.p1 = nn.Parameter(torch.linspace(1.0, -1.5, 4))
        self.register_buffer("buffer", torch.ones(()))
        self.attribute = torch.zeros(())

    def forward(self, x0):
        v0 = F.multilabel_margin_loss(x0 * self.p0, torch.full((3, 4), -1))
        v1 = F.multi_margin_loss(x0 * self.p1, torch.tensor([0, 1, 3]))
        return v0 * float("nan") + v1 * float("nan") + (x0 * self.p0).sum(), v0, v1
