# SPDX-License-Identifier: Apache-2.0
# torch.vmap inside forward: its tensors have no memory of their own.
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
        v0 = torch.vmap(torch.sin)(x0)
        v1 = torch.vmap(lambda row: row * self.p0.sum())(v0)
        return v1.sum(), v0, v1
