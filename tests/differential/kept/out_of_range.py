# SPDX-License-Identifier: Apache-2.0
# An index out of range in the last step: both end with a message.
import torch
import torch.nn as nn

TRAINING = True


def inputs(step):
    g = torch.Generator().manual_seed(step)
    return [torch.randn((3, 4), generator=g), torch.randint(3 + 5 * (step == 2), (3,), generator=g)]


class Program(nn.Module):
    def __init__(self):
        super().__init__()
        self.p0 = nn.Parameter(torch.linspace(-1.0, 1.5, 4))
        self.register_buffer("buffer", torch.ones(()))
        self.attribute = torch.zeros(())

    def forward(self, x0, x1):
        v0 = self.p0[x1]
        return v0.square().sum() + x0.sum() * 0.0, v0
