# SPDX-License-Identifier: Apache-2.0
"""The inputs of one micro-batch, cut from those of the whole batch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from sambaflow._base.library import InvalidArgumentError
from sambaflow._tensors.tensor import SambaTensor, binding_of, plain_tensor, wrap
from sambaflow._trace.errors import TraceError
from sambaflow._trace.port import batch_axis
from sambaflow._trace.slots import look


def _batch_dim(tensor: torch.Tensor) -> int:
    return batch_axis(tensor.batch_dim if isinstance(tensor, SambaTensor) else None, tensor.dim())


def _tensors(inputs: Any) -> list[torch.Tensor]:
    if isinstance(inputs, torch.Tensor):
        return [inputs]
    items = inputs.values() if isinstance(inputs, Mapping) else inputs if isinstance(inputs, (list, tuple)) else ()
    return [tensor for item in items for tensor in _tensors(item)]


def batch_of(inputs: Any) -> int:
    """The extent of the batch: that of the first input that says which dim it is, else the first dim of the first."""
    tensors = [tensor for tensor in _tensors(inputs) if tensor.dim() > 0]
    if not tensors:
        raise InvalidArgumentError("--microbatch-size: the model has no input with a batch dim")
    named = [t for t in tensors if isinstance(t, SambaTensor) and t.batch_dim is not None]
    first = (named or tensors)[0]
    return first.shape[_batch_dim(first)]


def micro_batch(inputs: Any, size: int | None) -> Any:
    """The inputs of one micro-batch of `size` rows; None where that is the batch, or no size is given."""
    return first_rows(inputs, size) if size and size != batch_of(inputs) else None


@contextlib.contextmanager
def tracing_part(model: nn.Module, inputs: Any, part: Any) -> Iterator[None]:
    """Says of a model that cannot be traced on `part` of `inputs`, though on all of them, why that is asked."""
    try:
        yield
    except TraceError as error:
        batch = batch_of(inputs)
        held = [f"{slot} {list(t.shape)}" for slot, t in look(model).tensors.items() if batch in t.shape]
        rows = f"{', '.join(held)} has the rows of the whole batch" if held else "it may need all rows at once"
        raise TraceError(
            f"-mb/--microbatch-size: forward takes {batch} rows, but not {batch_of(part)} of them, as a micro-batch "
            f"has: {rows}; compile without -mb, or let forward work with as many rows as come ({error})"
        ) from error


def first_rows(inputs: Any, size: int) -> Any:
    """`inputs` with the first `size` rows of each batch; inputs without a batch stay whole."""
    batch = batch_of(inputs)
    if batch % size != 0:
        raise InvalidArgumentError(f"--microbatch-size {size} does not divide the batch size {batch}")
    return _cut(inputs, batch, size)


def _cut(item: Any, batch: int, size: int) -> Any:
    if isinstance(item, torch.Tensor):
        dim = _batch_dim(item)
        if item.dim() == 0 or item.shape[dim] != batch:
            return item
        plain = plain_tensor(item).narrow(dim, 0, size)
        if not isinstance(item, SambaTensor):
            return plain
        cut = wrap(plain)
        cut._binding = binding_of(item).copy_names(plain)
        return cut
    if isinstance(item, Mapping):
        return {key: _cut(value, batch, size) for key, value in item.items()}
    if isinstance(item, (list, tuple)):
        items = [_cut(value, batch, size) for value in item]
        return type(item)(*items) if hasattr(item, "_fields") else type(item)(items)
    return item
