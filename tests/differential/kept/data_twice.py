# SPDX-License-Identifier: Apache-2.0
# Writes to .data that was replaced before.
import torch
import torch.nn as nn

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
        self.p0.data = self.p0.data.sign()
        self.p0.data.clamp_(-0.5, 0.5)
        return (self.p0 * self.p0 * x0).sum(), self.p0 * 1
