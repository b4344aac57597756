# SPDX-License-Identifier: Apache-2.0
# Values without elements: kernels looped for ever, or a view was not settled.
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
        v0 = x0[:0] * self.p0
        v1 = torch.cat([v0, x0]).sort(1)[0]
        return v0.sum() + (x0 * self.p0).sum(), v0.sum(0), v1, v0.repeat(0, 1).amax(1) if v0.shape[0] else v0
