# SPDX-License-Identifier: Apache-2.0
# What dropout by 0 returns is its argument: one has a new shape, and so has the other.
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
        v0 = x0 * self.p0
        v1 = F.dropout(v0, 0.0)
        v1.t_()
        v0.mul_(2.0)
        return (x0 * self.p0).sum(), v0, v1
