# SPDX-License-Identifier: Apache-2.0
# State that is assigned, not written: the first answer was given for ever.
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
        self.buffer = self.buffer * 0.5 + x0.detach().mean()
        self.attribute = self.attribute + 1.0
        return (x0 * self.p0 * self.buffer).sum(), self.buffer * 1, self.attribute * 1
