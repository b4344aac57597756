# SPDX-License-Identifier: Apache-2.0
# Dropout of a constant: a constant of memory that nothing was written to made two programs of one.
import torch
import torch.nn as nn
import torch.nn.functional as F

TRAINING = False


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
        v0 = F.dropout(torch.ones_like(x0.sum()), 0.5).clamp(0.0, 0.0)
        return (x0 * self.p0).sum() + v0, v0
