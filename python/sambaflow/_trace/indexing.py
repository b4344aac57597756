# SPDX-License-Identifier: Apache-2.0
"""`x[...]` with integers, slices, None and Ellipsis: one `getitem` row. Other indices go to ATen.

A traced integer of rank 0 counts as an integer, as in torch: it reads or writes one piece whose place is known only
when the program runs.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch

from sambaflow._trace.call import type_of
from sambaflow._trace.tensor import Memory, Step, TracedTensor, View, same_memory
from sambaflow._trace.tracer import Tracer

# What to write in place of an index whose number of elements depends on values.
INSTEAD = "use torch.where or multiply by the mask, or take a fixed number of places with topk or sort"

# Ops that read a tensor by places or classes, and their arguments that hold them. SambaFlow takes any integers there,
# torch some dtypes only.
INDICES = {
    "aten::cross_entropy_loss": ("target",), "aten::embedding": ("indices",),
    "aten::embedding_bag": ("indices", "offsets"), "aten::gather": ("index",), "aten::index_add": ("index",),
    "aten::index_copy": ("index",), "aten::index_fill": ("index",), "aten::index_select": ("index",),
    "aten::multi_margin_loss": ("target",), "aten::nll_loss": ("target",), "aten::nll_loss2d": ("target",),
    "aten::nll_loss_nd": ("target",), "aten::one_hot": ("self",), "aten::put": ("index",), "aten::scatter": ("index",),
    "aten::scatter_add": ("index",), "aten::scatter_reduce": ("index",), "aten::take": ("index",),
    "aten::take_along_dim": ("indices",), "aten::index": ("indices",), "aten::index_put": ("indices",),
}  # fmt: skip
_LISTS = {"aten::index", "aten::index_put"}  # of tensors; uint8 is a mask there
_NARROW = {torch.int8, torch.int16, torch.uint8}
_ONLY_INT64 = {"aten::one_hot", "aten::take", "aten::take_along_dim", "aten::put"}


def widen(tracer: Tracer, schema: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
    """The arguments of an op of `INDICES` with narrow integers as int64."""
    dtypes = _NARROW - {torch.uint8} if schema.name in _LISTS else _NARROW
    if schema.name in _ONLY_INT64:
        dtypes = dtypes | {torch.int32}

    def wide(item: Any) -> Any:
        if isinstance(item, (list, tuple)):
            return type(item)(wide(part) for part in item)
        if not isinstance(item, torch.Tensor) or item.dtype not in dtypes:
            return item
        return tracer.dispatch(torch.ops.aten.to.dtype, (item, torch.int64), {})

    names, listed = INDICES[schema.name], list(args)
    for position, argument in enumerate(schema.arguments):
        if argument.name in names and position < len(listed):
            listed[position] = wide(listed[position])
    return tuple(listed), {name: wide(value) if name in names else value for name, value in kwargs.items()}


_MASKS = (torch.bool, torch.uint8)


def _is_mask(item: Any) -> bool:
    return isinstance(item, torch.Tensor) and item.dtype in _MASKS and item.dim() > 0


def with_masks(index: Any) -> tuple[Any, ...]:
    """The items of an index, with lists of bools as masks."""
    items = index if isinstance(index, tuple) else (index,)
    return tuple(torch.tensor(i) if isinstance(i, list) and i and isinstance(i[0], bool) else i for i in items)


def check_masks(tracer: Tracer, items: tuple[Any, ...], shape: Sequence[int]) -> None:
    """Refuses boolean masks that do not have the sizes of the dims that they index, as eager mode does."""
    for place, item in enumerate(items):
        if not _is_mask(item):
            continue
        dim = _dim_of(items, place, len(shape))
        sizes = tuple(shape[dim : dim + item.dim()])
        if tuple(item.shape) != sizes:
            raise IndexError(
                f"{tracer.scope.source()}: the mask has shape {list(item.shape)}, the dims that it indexes have "
                f"{list(sizes)}"
            )


def static_index(items: tuple[Any, ...]) -> tuple[Any, ...]:
    """The items with boolean constants as index tensors, whose size is known."""
    result: list[Any] = []
    for item in items:
        if _is_mask(item) and not isinstance(item, TracedTensor):
            result.extend(item.nonzero(as_tuple=True))
        else:
            result.append(item)
    return tuple(result)


def read(tracer: Tracer, func: Callable[..., Any], tensor: torch.Tensor, index: Any) -> Any:
    """`tensor[index]`; `func` is torch's own, for indices that are tensors."""
    items = with_masks(index)
    if isinstance(tensor, torch.Tensor):
        check_masks(tracer, items, tensor.shape)
    items = static_index(items)
    found = _traced_integer(items)
    while found is not None and isinstance(tensor, torch.Tensor):
        place, dim, number = found[0], _dim_of(items, found[0], tensor.dim()), found[1]
        tensor = tensor.index_select(dim, _as_place(number, tensor.shape[dim]))
        items = (*items[:place], 0, *items[place + 1 :])
        found = _traced_integer(items)
    if is_basic(items) and isinstance(tensor, TracedTensor):
        return getitem(tracer, tensor, items)
    return func(tensor, items)


def write(tracer: Tracer, func: Callable[..., Any], tensor: torch.Tensor, index: Any, value: Any) -> None:
    """`tensor[index] = value`."""
    items = index if isinstance(index, tuple) else (index,)
    found = _traced_integer(items)
    if found is None:
        func(tensor, index, value)
        return
    place, number = found
    dim = _dim_of(items, place, tensor.dim())
    where = _as_place(number, tensor.shape[dim])
    piece = tensor.index_select(dim, where)
    write(tracer, torch.Tensor.__setitem__, piece, (*items[:place], 0, *items[place + 1 :]), value)
    tensor.index_copy_(dim, where, piece)


def _traced_integer(items: tuple[Any, ...]) -> tuple[int, TracedTensor] | None:
    """The first traced integer of rank 0 in an index, with its place."""
    for place, item in enumerate(items):
        is_integer = isinstance(item, TracedTensor) and item.dim() == 0 and item.dtype in _INTEGERS
        if is_integer:
            return place, item
    return None


_INTEGERS = (torch.int8, torch.int16, torch.int32, torch.int64)


def _as_place(number: torch.Tensor, size: int) -> torch.Tensor:
    """An index of shape [1]; negative numbers count from the end."""
    return torch.where(number < 0, number + size, number).long().reshape(1)


def _dims_taken(item: Any) -> int:
    if item is None or item is Ellipsis or isinstance(item, bool):
        return 0
    return item.dim() if isinstance(item, torch.Tensor) and item.dtype in _MASKS else 1


def _dim_of(items: tuple[Any, ...], place: int, rank: int) -> int:
    """The dim of the tensor that the item at `place` of an index takes."""
    before = sum(_dims_taken(item) for item in items[:place])
    if any(item is Ellipsis for item in items[:place]):
        return rank - sum(_dims_taken(item) for item in items[place:])
    return before


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
    view = View(tensor.memory, (step,), torch.is_grad_enabled()) if same_memory(meta, tensor.meta) else None
    return TracedTensor(meta, Memory(value, view), tracer.graph)


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
