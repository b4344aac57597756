# SPDX-License-Identifier: Apache-2.0
# Values and gradients at 0, -0, infinity and NaN.
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
        v0 = torch.tensor([0.0, -0.0, float("inf"), float("nan")])
        v1 = torch.atan2(v0, v0.flip(0)), torch.xlogy(v0, v0.flip(0)), torch.erfc(v0 * 9), (v0 / 2).relu(), 1.0 // v0
        return (x0 * self.p0).sum(), *v1, torch.logit(torch.tensor([0.0, 1.0, 0.5])), v0.median()
