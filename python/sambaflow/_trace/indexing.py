# SPDX-License-Identifier: Apache-2.0
"""`x[...]` with integers, slices, None and Ellipsis: one `getitem` row. Other indices go to ATen."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import torch

from sambaflow._trace.call import type_of
from sambaflow._trace.tensor import Step, TracedTensor, View, same_memory

if TYPE_CHECKING:
    from sambaflow._trace.tracer import Tracer


def static_index(index: Any) -> Any:
    """`index` with boolean constants as index tensors, whose size is known."""
    items = index if isinstance(index, tuple) else (index,)
    result: list[Any] = []
    for item in items:
        is_mask = isinstance(item, torch.Tensor) and item.dtype == torch.bool and item.dim() > 0
        if is_mask and not isinstance(item, TracedTensor):
            result.extend(item.nonzero(as_tuple=True))
        else:
            result.append(item)
    return tuple(result)


def is_basic(index: tuple[Any, ...]) -> bool:
    return all(item is None or item is Ellipsis or isinstance(item, slice) or _is_int(item) for item in index)


def _is_int(item: Any) -> bool:
    if isinstance(item, (bool, torch.Tensor)) or not hasattr(item, "__index__"):
        return False
    return isinstance(operator.index(item), int)


def getitem(tracer: Tracer, tensor: TracedTensor, index: tuple[Any, ...]) -> TracedTensor:
    """Records basic indexing of `tensor`."""
    meta = tensor.meta[index]
    source = tracer.read(tensor)
    if not source.shape:
        attrs: dict[str, Any] = {"shape": meta.shape}
        value = tracer.emit("reshape", [source], attrs, [type_of(meta)])[0]
    else:
        attrs = {**_bounds(index, source.shape), "shape": tuple(meta.shape)}
        value = tracer.emit("getitem", [source], attrs, [type_of(meta)])[0]
    step = Step(value.op.name, value.op.attrs, source.type, value.type)
    return TracedTensor(meta, value, View(tensor, (step,)) if same_memory(meta, tensor.meta) else None)


def _bounds(index: tuple[Any, ...], shape: tuple[int, ...]) -> dict[str, list[int]]:
    """start, stop and step for every dim of `shape`."""
    taken = sum(1 for item in index if item is not None and item is not Ellipsis)
    start, stop, step = [0] * len(shape), list(shape), [1] * len(shape)
    dim = 0
    for item in index:
        if item is Ellipsis:
            dim += len(shape) - taken
        elif isinstance(item, slice):
            start[dim], stop[dim], step[dim] = item.indices(shape[dim])
            stop[dim] = max(start[dim], stop[dim])
            dim += 1
        elif item is not None:
            start[dim] = operator.index(item) % shape[dim]
            stop[dim] = start[dim] + 1
            dim += 1
    return {"start": start, "stop": stop, "step": step}
