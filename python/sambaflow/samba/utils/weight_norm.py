# SPDX-License-Identifier: Apache-2.0

"""Weight normalisation: a weight as magnitude and direction, which are trained apart."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import nn

from sambaflow._tensors.tensor import SambaTensor, plain_tensor
from sambaflow.samba.nn.parameter import convert_parameter


def weight_norm_(module: nn.Module, name: str = "weight", dim: int = 0) -> nn.Module:
    """Replaces the parameter `name` of `module` in place by `name`_magnitude and `name`_direction; returns `module`.

    The weight is magnitude * direction / |direction|, where norms are taken over all dims but `dim`, and is computed
    whenever it is read. The module computes the same as before until it is trained. Call it before the optimizer is
    made; the parts of a weight that was converted already go by its name (`<weight>_magnitude`). A module without such
    a parameter of its own is searched for those that have one.
    """
    weight = module._parameters.get(name)
    if weight is None:
        owners = [m for m in module.modules() if m is not module and _is_matrix(m._parameters.get(name))]
        if not owners:
            raise ValueError(f"weight_norm_: {type(module).__name__} has no parameter {name!r} with two or more dims")
        for owner in owners:
            weight_norm_(owner, name, dim)
        return module
    direction = plain_tensor(weight).detach()
    del module._parameters[name]
    for part, value in (("magnitude", _norm(direction, dim)), ("direction", direction)):
        parameter = nn.Parameter(value.clone(), weight.requires_grad)
        if isinstance(weight, SambaTensor) and weight.sn_name is not None:
            convert_parameter(parameter, f"{weight.sn_name}_{part}")
        module.register_parameter(f"{name}_{part}", parameter)
    module.__class__ = _normed(type(module), name, dim)
    return module


def _is_matrix(weight: torch.Tensor | None) -> bool:
    return weight is not None and weight.dim() >= 2


def _norm(tensor: torch.Tensor, dim: int) -> torch.Tensor:
    """The norm over all dims but `dim`, with dims kept."""
    others = [d for d in range(tensor.dim()) if d != dim % tensor.dim()]
    return tensor.square().sum(others, keepdim=True).sqrt()


@functools.cache
def _normed(base: type[nn.Module], name: str, dim: int) -> type[nn.Module]:
    """A class like `base` whose attribute `name` is computed. It pickles as its base and these arguments."""

    def weight(self: nn.Module) -> torch.Tensor:
        direction = getattr(self, f"{name}_direction")
        return getattr(self, f"{name}_magnitude") * (direction / _norm(direction, dim))

    def reduce(self: nn.Module) -> Any:
        return _rebuild, (base, name, dim, self.__dict__.copy())

    return type(base.__name__, (base,), {name: property(weight), "__reduce__": reduce, "__module__": base.__module__})


def _rebuild(base: type[nn.Module], name: str, dim: int, state: dict[str, Any]) -> nn.Module:
    module = _normed(base, name, dim).__new__(_normed(base, name, dim))
    nn.Module.__setstate__(module, state)
    return module
