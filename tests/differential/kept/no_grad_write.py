# SPDX-License-Identifier: Apache-2.0
# A write to a parameter under no_grad: its gradient was 0.
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
        with torch.no_grad():
            self.p0.clamp_(-0.5, 0.5)
        return (x0 * self.p0 * self.p0).sum(), self.p0 * 1
