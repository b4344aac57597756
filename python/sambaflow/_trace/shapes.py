# SPDX-License-Identifier: Apache-2.0
"""What torch says of the results of ops, asked once for each kind of operands: layers that repeat ask for the same."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch
from torch._prims_common import suggest_memory_format
from torch.utils._pytree import tree_map

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


_NAMES_OF_PRODUCT = """
copysign div floor_divide heaviside logaddexp logaddexp2 logical_and logical_or logical_xor special_xlog1py xlogy
"""
_NAMES_OF_SUGGESTION = """
_native_batch_norm_legit batch_norm channel_shuffle group_norm max_pool1d max_unpool2d native_batch_norm
reflection_pad2d replication_pad2d
"""


def _of_product(result: torch.Tensor, x: Any, other: Any) -> torch.Tensor:
    return torch.empty_like(x * other, dtype=result.dtype)


def _of_suggestion(result: torch.Tensor, x: torch.Tensor, *others: Any) -> torch.Tensor:
    """Channels last where the first operand is, or another of as many dims, and row-major elsewhere."""
    formats = [suggest_memory_format(t) for t in (x, *others) if isinstance(t, torch.Tensor) and t.dim() == x.dim()]
    last = [wanted for wanted in formats if wanted != torch.contiguous_format and result.dim() == x.dim()]
    return torch.empty_like(result, memory_format=last[0] if last else torch.contiguous_format)


def _of_row_suggestion(result: torch.Tensor, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """1-D convolutions are those of pictures with one row, whose input is made row-major; the weight decides."""
    if x.dim() != weight.dim():
        return result
    return _of_suggestion(result.unsqueeze(2), weight.unsqueeze(2)).squeeze(2)


# Ops whose results torch 2.13.0 lays out otherwise in its functions for meta tensors than in its kernels: how many
# first operands matter, and what they say. Views of the results tell, and what is written through those.
_LAYOUTS: dict[str, tuple[int, Callable[..., torch.Tensor]]] = {
    **dict.fromkeys(_NAMES_OF_PRODUCT.split(), (2, _of_product)),
    **dict.fromkeys(_NAMES_OF_SUGGESTION.split(), (1, _of_suggestion)),
    **dict.fromkeys("conv2d conv3d conv_transpose2d conv_transpose3d convolution".split(), (2, _of_suggestion)),
    **dict.fromkeys("conv1d conv_transpose1d".split(), (2, _of_row_suggestion)),
    **dict.fromkeys("kthvalue masked_scatter rrelu".split(), (0, torch.Tensor.contiguous)),
}


def laid_out(result: Any, func: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """`result` of `func` on meta tensors, with the strides of what `func` makes on a CPU."""
    row = _LAYOUTS.get(getattr(func, "__name__", "").partition(".")[0])
    if row is None or len(args) < row[0]:
        return result
    count, layout = row
    return tree_map(lambda part: layout(part, *args[:count]), result)


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
            return laid_out(func(*args, **kwargs), func, args)
        if key not in self._known:
            result = laid_out(func(*args, **kwargs), func, args)
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
