# SPDX-License-Identifier: Apache-2.0
"""What torch says of the results of ops, asked once for each kind of operands: layers that repeat ask for the same."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch

from sambaflow._trace.tensor import same_memory

_ATOMS = (bool, int, float, complex, str, type(None), torch.dtype, torch.device, torch.layout, torch.memory_format)


def _is_plain(x: Any) -> bool:
    return type(x) is torch.Tensor and x.is_floating_point() and x.is_contiguous() and not x.requires_grad


def _are_of(x: torch.Tensor, shape: Sequence[int], *tensors: Any) -> bool:
    """Whether all that there is of `tensors` is plain, of this shape and of x's dtype."""
    return all(t is None or (_is_plain(t) and t.dtype == x.dtype and t.shape == torch.Size(shape)) for t in tensors)


def _is_plain_alone(x: Any, *rest: Any) -> bool:
    return not rest and _is_plain(x)


def _is_plain_batch(x: Any, weight: Any, bias: Any, mean: Any, var: Any, *_: Any) -> bool:
    return _is_plain(x) and x.dim() > 1 and x.shape[1] > 0 and _are_of(x, x.shape[1:2], weight, bias, mean, var)


def _is_plain_group(x: Any, groups: int, weight: Any = None, bias: Any = None, *_: Any) -> bool:
    whole = _is_plain(x) and x.dim() > 1 and x.numel() > 0 and groups > 0 and x.shape[1] % groups == 0
    return whole and _are_of(x, x.shape[1:2], weight, bias)


def _is_plain_layer(x: Any, shape: Sequence[int], weight: Any = None, bias: Any = None, *_: Any) -> bool:
    whole = _is_plain(x) and 0 < len(shape) <= x.dim() and x.shape[-len(shape) :] == torch.Size(shape)
    return whole and _are_of(x, shape, weight, bias)


# Where torch takes milliseconds of Python to find that a result is as its first operand: whether it is so.
_ORDINARY: dict[Callable[..., Any], Callable[..., bool]] = {
    torch.ops.aten.batch_norm.default: _is_plain_batch,
    torch.ops.aten.group_norm.default: _is_plain_group,
    torch.ops.aten.layer_norm.default: _is_plain_layer,
    torch.ops.aten.relu.default: _is_plain_alone,
    torch.ops.aten.sigmoid.default: _is_plain_alone,
    torch.ops.aten.silu.default: _is_plain_alone,
    torch.ops.aten.tanh.default: _is_plain_alone,
}


class Shapes:
    """Results of ops on meta tensors."""

    def __init__(self) -> None:
        self._known: dict[Hashable, tuple[type | None, list[_Like]]] = {}

    def of(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """`func(*args, **kwargs)` on meta tensors; results that are views of operands are always made anew."""
        known = _ORDINARY.get(func)
        if known is not None and not kwargs and known(*args):
            return torch.empty_like(args[0])
        tensors: list[torch.Tensor] = []
        try:
            key = (func, torch.get_default_dtype(), _key(args, tensors), _key(kwargs, tensors))
        except TypeError:  # an operand that this module does not know
            return func(*args, **kwargs)
        if key not in self._known:
            result = func(*args, **kwargs)
            likes = _likes(result, tensors)
            if likes is not None:
                self._known[key] = likes
            return result
        kind, found = self._known[key]
        made = [torch.empty_strided(size, stride, dtype=dtype, device="meta") for size, stride, dtype in found]
        return made[0] if kind is None else kind(made)


_Like = tuple[torch.Size, tuple[int, ...], torch.dtype]


def _key(item: Any, tensors: list[torch.Tensor]) -> Hashable:
    """Equal for operands on which an op does the same. TypeError: nobody knows. Adds the tensors to `tensors`."""
    kind = type(item)
    if kind is torch.Tensor:
        shared = next((i for i, other in enumerate(tensors) if same_memory(item, other)), -1)
        tensors.append(item)
        return (kind, item.shape, item.stride(), item.storage_offset(), item.dtype, item.requires_grad, shared)
    if kind in (tuple, list):
        return (kind, tuple(_key(part, tensors) for part in item))
    if kind is dict:
        return (kind, tuple((name, _key(part, tensors)) for name, part in item.items()))
    if kind in _ATOMS:
        return (kind, item)
    raise TypeError(kind)


def _likes(result: Any, tensors: list[torch.Tensor]) -> tuple[type | None, list[_Like]] | None:
    """What makes the result again; None where it is not made of tensors of their own memory alone."""
    kind = None if type(result) is torch.Tensor else type(result)
    parts = [result] if kind is None else list(result) if kind in (tuple, list) else []
    if not parts or any(type(part) is not torch.Tensor or part.requires_grad for part in parts):
        return None
    for index, part in enumerate(parts):
        if part.device.type != "meta" or part.storage_offset() != 0 or part.is_conj() or part.is_neg():
            return None
        if any(same_memory(part, other) for other in (*tensors, *parts[:index])):
            return None
    return kind, [(part.shape, part.stride(), part.dtype) for part in parts]
