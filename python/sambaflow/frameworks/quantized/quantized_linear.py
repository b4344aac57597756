# SPDX-License-Identifier: Apache-2.0

"""A linear layer with integer weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F


class QuantizedLinear(nn.Module):
    """y = x @ (weight * scale).T + bias, with int8 weights and one scale an output feature. For inference.

    Weight and scale are buffers: an optimizer does not see them, a state dict holds them.
    """

    weight: torch.Tensor
    scale: torch.Tensor

    def __init__(self, in_features: int, out_features: int, bias: bool = True, **_: Any) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.register_buffer("weight", torch.zeros(out_features, in_features, dtype=torch.int8))
        self.register_buffer("scale", torch.ones(out_features))
        self.bias = nn.Parameter(torch.zeros(out_features)) if bias else None

    @classmethod
    def from_float(cls, linear: nn.Linear) -> QuantizedLinear:
        """Rounds the weights of `linear` to 255 steps a row; no weight moves by more than half a step."""
        self = cls(linear.in_features, linear.out_features, linear.bias is not None)
        with torch.no_grad():
            weight = linear.weight.detach().float()
            scale = (weight.abs().amax(1) / 127).clamp(min=torch.finfo(torch.float32).tiny)
            self.scale.copy_(scale)
            self.weight.copy_((weight / scale[:, None]).round().clamp(-127, 127).to(torch.int8))
            if self.bias is not None:
                self.bias.copy_(linear.bias)
        return self

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        weight = self.weight.to(self.scale.dtype) * self.scale[:, None]
        return F.linear(input, weight.to(input.dtype), self.bias)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
