# SPDX-License-Identifier: Apache-2.0

"""A linear layer with integer weights."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from sambaflow._tensors.tensor import SambaTensor, binding_of, materialize, plain_tensor
from sambaflow._trace import own
from sambaflow._trace.tracer import current
from sambaflow.samba import lazy_param


class QuantizedLinear(nn.Module):
    """y = x @ dequantize(weight).T + bias, with int8 weights and one scale an output feature. For inference.

    `weight` is a tensor that torch calls quantised (`weight.is_quantized`), and so it is in a state dict. The buffers
    `int_weight` and `scale` are what it is made of and what the device holds; an optimizer does not see them. Inside
    `lazy_param(quantized=True)` layers are made without the integers, which are computed when they are needed.
    """

    int_weight: torch.Tensor
    scale: torch.Tensor

    def __init__(self, in_features: int, out_features: int, bias: bool = True, **_: Any) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.register_buffer("int_weight", torch.zeros(out_features, in_features, dtype=torch.int8))
        self.register_buffer("scale", torch.ones(out_features))
        self.bias = nn.Parameter(torch.zeros(out_features)) if bias else None

    @classmethod
    def from_float(cls, linear: nn.Linear, **_: Any) -> QuantizedLinear:
        """Rounds the weights of `linear` to 255 steps a row; no weight moves by more than half a step."""
        self = cls(linear.in_features, linear.out_features, linear.bias is not None)
        weight = plain_tensor(linear.weight).detach()
        self.scale = _scale(weight)
        if lazy_param.is_quantized() and weight.device.type != "meta":  # meta ones are recorded like any other
            self.int_weight = _later(weight, self.scale)
        else:
            self.int_weight = _rounded(weight, self.scale)
        if linear.bias is not None:
            self.bias = nn.Parameter(plain_tensor(linear.bias).detach().clone(), linear.bias.requires_grad)
        return self

    @property
    def weight(self) -> torch.Tensor:
        """A quantised tensor of this value; writing to it does not change the layer, assigning does."""
        integers = self.int_weight
        if isinstance(integers, SambaTensor) and not integers.has_data:
            materialize(integers)
            if not integers.has_data:
                raise ValueError("the weights of a QuantizedLinear are not there yet: load a state dict first")
        zeros = torch.zeros(self.out_features, dtype=torch.int64)
        return torch._make_per_channel_quantized_tensor(plain_tensor(integers), plain_tensor(self.scale), zeros, 0)

    @weight.setter
    def weight(self, value: torch.Tensor) -> None:
        self.int_weight, self.scale = _parts(value, None)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        tracer = current()
        if tracer is None:
            weight = self.int_weight.to(self.scale.dtype) * self.scale[:, None]
        else:
            weight = own.dequantize(tracer, self.int_weight, self.scale)
        return F.linear(input, weight.to(input.dtype), self.bias)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        del destination[f"{prefix}int_weight"], destination[f"{prefix}scale"]
        destination[f"{prefix}weight"] = self.weight

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *more: Any) -> None:
        """Takes a quantised weight, int8 weights with their scale, or a floating weight, which is rounded."""
        weight = state_dict.pop(f"{prefix}weight", None)
        if weight is not None:
            parts = _parts(weight, state_dict.get(f"{prefix}scale"))
            state_dict[f"{prefix}int_weight"], state_dict[f"{prefix}scale"] = parts
        integers = self.int_weight
        if isinstance(integers, SambaTensor) and not integers.has_data:
            self.int_weight = torch.zeros(integers.shape, dtype=torch.int8)
        super()._load_from_state_dict(state_dict, prefix, *more)


def _scale(weight: torch.Tensor) -> torch.Tensor:
    return (weight.float().abs().amax(1) / 127).clamp(min=torch.finfo(torch.float32).tiny)


def _rounded(weight: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    return (weight.float() / scale[:, None]).round().clamp(-127, 127).to(torch.int8)


def _later(weight: torch.Tensor, scale: torch.Tensor) -> SambaTensor:
    """int8 weights without data, which are rounded when they are needed."""
    tensor = SambaTensor(shape=weight.shape, dtype=torch.int8)
    binding_of(tensor).materializer = functools.partial(_materialized, weight, scale)
    return tensor


def _materialized(weight: torch.Tensor, scale: torch.Tensor, _: SambaTensor) -> torch.Tensor:
    return _rounded(weight, scale)


def _parts(weight: torch.Tensor, scale: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Integers and scale of a weight, given in one of the forms that a state dict may hold."""
    weight = plain_tensor(weight).detach()
    if not weight.is_quantized:
        if weight.dtype == torch.int8 and scale is not None:
            return weight, scale
        own = _scale(weight)
        return _rounded(weight, own), own
    if weight.dtype != torch.qint8:
        raise ValueError(f"a weight of dtype {weight.dtype}: QuantizedLinear takes torch.qint8")
    if weight.qscheme() == torch.per_tensor_affine:
        zero, scale = torch.tensor(weight.q_zero_point()), torch.full((weight.shape[0],), weight.q_scale())
    else:
        zero, scale = weight.q_per_channel_zero_points(), weight.q_per_channel_scales().float()
    if bool((zero != 0).any()):
        raise ValueError("a weight whose zero point is not 0: QuantizedLinear takes symmetric ones")
    return weight.int_repr(), scale
