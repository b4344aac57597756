# SPDX-License-Identifier: Apache-2.0

"""Element-wise kernels written in Python: `sn_zipmapreduce` calls a function on its inputs, element by element.

The function is called once, on whole tensors that have the shape of the iteration space, so what it computes is traced
into the program like everything else, and on the host it is plain torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch

from sambaflow.samba._types import SNType

__all__ = ["sn_imm", "sn_iteridx", "sn_select", "sn_zipmapreduce"]


def _dtype(kind: SNType | torch.dtype) -> torch.dtype:
    return SNType.to_torch_reference_type(kind)


def sn_imm(input: float | int, dtype: SNType | torch.dtype) -> torch.Tensor:
    """The number `input` as a 0-d tensor of `dtype`."""
    return torch.full((), input, dtype=_dtype(dtype))


def sn_iteridx(attrs: Mapping[str, Any], dim: int, dtype: SNType | torch.dtype | None = None) -> torch.Tensor:
    """The index along axis `dim` of the iteration space, of `dtype` (int32), shaped to broadcast against it.

    `attrs` is the first argument of the function that `sn_zipmapreduce` calls.
    """
    shape = attrs["shape"]
    if not -len(shape) <= dim < len(shape):
        raise IndexError(f"sn_iteridx: dim {dim} of an iteration space with {len(shape)} dims")
    axis = dim % len(shape)
    view = [1] * len(shape)
    view[axis] = shape[axis]
    return torch.arange(shape[axis], dtype=_dtype(dtype or torch.int32)).reshape(view)


def sn_select(cond: Any, true_val: Any, false_val: Any) -> torch.Tensor:
    """`true_val` where `cond` holds, else `false_val`; both may be tensors or numbers."""
    return torch.where(cond if cond.dtype == torch.bool else cond != 0, true_val, false_val)


def _in_order(reduce: Callable[..., torch.Tensor]) -> Callable[[torch.Tensor, Sequence[int]], torch.Tensor]:
    """A reduction that takes one dim, over several."""

    def reduced(tensor: torch.Tensor, dims: Sequence[int]) -> torch.Tensor:
        for dim in dims:
            tensor = reduce(tensor, dim, keepdim=True)
        return tensor

    return reduced


# Of one element, the result has the dtype of the elements, so integers do not widen.
REDUCTIONS: Mapping[str, Callable[[torch.Tensor, Sequence[int]], torch.Tensor]] = {
    "ADD": lambda t, dims: torch.sum(t, dims, keepdim=True).to(t.dtype),
    "SUM": lambda t, dims: torch.sum(t, dims, keepdim=True).to(t.dtype),
    "MEAN": lambda t, dims: torch.mean(t, dims, keepdim=True),
    "MIN": lambda t, dims: torch.amin(t, dims, keepdim=True),
    "MAX": lambda t, dims: torch.amax(t, dims, keepdim=True),
    "MUL": _in_order(lambda t, dim, keepdim: torch.prod(t, dim, keepdim=keepdim).to(t.dtype)),
    "PROD": _in_order(lambda t, dim, keepdim: torch.prod(t, dim, keepdim=keepdim).to(t.dtype)),
    "AND": _in_order(torch.all),
    "OR": _in_order(torch.any),
}


def reduction(name: str) -> Callable[[torch.Tensor, Sequence[int]], torch.Tensor]:
    """The reduction called `name`; upper and lower case, with or without a leading k (`MIN`, `min`, `kMin`)."""
    plain = name[1:] if len(name) > 1 and name[0] == "k" and name[1].isupper() else name
    found = REDUCTIONS.get(plain.upper())
    if found is None:
        raise ValueError(f"unknown reduction {name!r}; there are {', '.join(REDUCTIONS)}")
    return found


def sn_zipmapreduce(
    func: Callable[..., Any],
    inputs: Sequence[Any],
    reduce_func: str | None = None,
    reduce_dim: int | Iterable[int] | None = None,
    stoc_accum: bool | None = False,
) -> torch.Tensor:
    """`func(attrs, *inputs)` for every element of the broadcast `inputs`, then a reduction if one is asked for.

    `reduce_func` is a name of `REDUCTIONS`; `reduce_dim` one dim or several (all unless given); reduced dims stay,
    with size 1. `stoc_accum` (stochastic rounding of sums) changes nothing: sums round to nearest.
    """
    if not inputs:
        raise ValueError("sn_zipmapreduce needs at least one input: its shape is the iteration space")
    shape = torch.broadcast_shapes(*[tuple(t.shape) for t in inputs])
    rank = len(shape)
    spread = [t if t.dim() == rank else t.reshape([1] * (rank - t.dim()) + list(t.shape)) for t in inputs]
    result = func({"shape": shape}, *spread)
    if not isinstance(result, torch.Tensor):
        raise TypeError(f"sn_zipmapreduce: func returned a {type(result).__name__}; it must return one tensor")
    if tuple(result.shape) != tuple(shape):
        result = result.expand(shape)
    if reduce_func is None:
        return result
    dims = (
        list(range(rank)) if reduce_dim is None else [reduce_dim] if isinstance(reduce_dim, int) else list(reduce_dim)
    )
    return reduction(reduce_func)(result, sorted({dim % rank for dim in dims}))
