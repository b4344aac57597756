# SPDX-License-Identifier: Apache-2.0
# A scripted module that trained in eager mode before: its parameters got gradient 0.
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
        self.m0 = torch.jit.script(nn.Sequential(nn.Linear(4, 3), nn.Tanh()))

    def forward(self, x0):
        v0 = self.m0(x0)
        return v0.square().sum(), v0
