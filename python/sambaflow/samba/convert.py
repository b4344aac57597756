# SPDX-License-Identifier: Apache-2.0
"""From torch to Samba: models in place, tensors by name; and named tensors made from scratch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from sambaflow._tensors.tensor import SambaTensor, from_torch_tensor, to_torch
from sambaflow._trace.scope import root_name, symbol_name
from sambaflow.samba import _process
from sambaflow.samba.nn.parameter import convert_parameter

__all__ = [
    "arange", "empty", "eye", "full", "from_named_dict", "from_numpy", "from_torch", "from_torch_", "from_torch_model",
    "from_torch_model_", "linspace", "ones", "rand", "rand_like", "randint", "randn", "randn_like", "randperm",
    "tensor", "to_torch_tensor", "zeros",
]  # fmt: skip


def from_torch_model_(model: nn.Module, parent_module_prefix: str | None = None) -> None:
    """Converts `model` in place: each parameter becomes a SambaParameter with a name that binds it to the device.

    Names are the lower-cased class name of the root and the path in the model, joined by two underscores. A model or
    submodule that was converted before keeps its names.
    """
    root = f"{parent_module_prefix}__{root_name(model)}" if parent_module_prefix else root_name(model)
    converted: dict[str, torch.Tensor] = {}
    for path, parameter in model.named_parameters():
        sample = convert_parameter(parameter, symbol_name(root, path))
        converted[str(sample.sn_name)] = sample
    converted.update({symbol_name(root, path): buffer for path, buffer in model.named_buffers()})
    for path, module in model.named_modules():
        if not hasattr(module, "name") or "_samba_named" in module.__dict__:
            module.__dict__.setdefault("name", symbol_name(root, path))
            module.__dict__["_samba_named"] = True
    _process.session.remember_converted(converted)


def from_torch_model(model: nn.Module) -> nn.Module:
    """Converts `model` in place and returns it."""
    from_torch_model_(model)
    return model


from_torch_ = from_torch_model_  # the name of older releases


def from_torch(torch_tensor: Any, name: str | None = None, batch_dim: int | None = None, **kwargs: Any) -> Any:
    """Names a tensor; converts a model."""
    if isinstance(torch_tensor, nn.Module):
        return from_torch_model(torch_tensor)
    return from_torch_tensor(torch_tensor, name, batch_dim, **kwargs)


def to_torch_tensor(tensor: Any) -> Any:
    return to_torch(tensor)


def from_named_dict(tensors: Mapping[str, Any]) -> dict[str, SambaTensor]:
    """Each value under its key as name; `session.run` takes the result."""
    return {name: from_torch_tensor(value, name=name) for name, value in tensors.items()}


def _named(make: Callable[..., torch.Tensor], args: Sequence[Any], kwargs: dict[str, Any]) -> SambaTensor:
    names = {key: kwargs.pop(key, None) for key in ("name", "batch_dim", "named_dims", "sized_dims")}
    return from_torch_tensor(make(*args, **kwargs), **names)


def randn(*size: Any, **kwargs: Any) -> SambaTensor:
    """As torch.randn, with `name=` and `batch_dim=`; so are the functions below."""
    return _named(torch.randn, size, kwargs)


def rand(*size: Any, **kwargs: Any) -> SambaTensor:
    return _named(torch.rand, size, kwargs)


def randint(*args: Any, **kwargs: Any) -> SambaTensor:
    """randint(high, size) or randint(low, high, size)."""
    return _named(torch.randint, args, kwargs)


def randn_like(tensor: torch.Tensor, **kwargs: Any) -> SambaTensor:
    return _named(torch.randn_like, (to_torch(tensor),), kwargs)


def rand_like(tensor: torch.Tensor, **kwargs: Any) -> SambaTensor:
    return _named(torch.rand_like, (to_torch(tensor),), kwargs)


def randperm(*args: Any, **kwargs: Any) -> SambaTensor:
    return _named(torch.randperm, args, kwargs)


def empty(*size: Any, **kwargs: Any) -> SambaTensor:
    return _named(torch.empty, size, kwargs)


def eye(*args: Any, **kwargs: Any) -> SambaTensor:
    return _named(torch.eye, args, kwargs)


def linspace(*args: Any, **kwargs: Any) -> SambaTensor:
    return _named(torch.linspace, args, kwargs)


def from_numpy(array: Any, **kwargs: Any) -> SambaTensor:
    return _named(torch.from_numpy, (array,), kwargs)


def zeros(*size: Any, **kwargs: Any) -> SambaTensor:
    return _named(torch.zeros, size, kwargs)


def ones(*size: Any, **kwargs: Any) -> SambaTensor:
    return _named(torch.ones, size, kwargs)


def full(size: Iterable[int], fill_value: float, **kwargs: Any) -> SambaTensor:
    return _named(torch.full, (tuple(size), fill_value), kwargs)


def arange(*args: Any, **kwargs: Any) -> SambaTensor:
    return _named(torch.arange, args, kwargs)


def tensor(data: Any, **kwargs: Any) -> SambaTensor:
    return _named(torch.tensor, (data,), kwargs)
