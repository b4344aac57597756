# SPDX-License-Identifier: Apache-2.0
"""How a tensor lies in the memory of another, as view steps: from sizes, strides and offset alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from sambaflow._trace.graph import Type
from sambaflow._trace.tensor import Step


@dataclass(frozen=True)
class Layout:
    """Places of elements: `offset` + sum of index * stride."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int

    @staticmethod
    def of(tensor: torch.Tensor) -> Layout:
        return Layout(tuple(tensor.shape), tuple(tensor.stride()), int(tensor.storage_offset()))


def steps_to(layout: Layout, shape: Sequence[int], dtype: torch.dtype) -> tuple[Step, ...]:
    """The steps from a row-major tensor of `shape`, whose first element has place 0, to the tensor of `layout`."""
    source: Type = (dtype, tuple(shape))
    if layout.shape == source[1] and layout.strides == _row_major(shape) and layout.offset == 0:
        return ()
    return _slices(layout, source) or (_strided(layout, source),)


def _row_major(shape: Sequence[int]) -> tuple[int, ...]:
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return tuple(reversed(strides))


def _strided(layout: Layout, source: Type) -> Step:
    attrs = {"shape": layout.shape, "stride": layout.strides, "start": [layout.offset]}
    return Step("as_strided", attrs, source, (source[0], layout.shape))


def _slices(layout: Layout, source: Type) -> tuple[Step, ...] | None:
    """A slice, a reshape and a permutation, where these will do."""
    dtype, shape = source
    strides = _row_major(shape)
    start = [layout.offset // stride % size for stride, size in zip(strides, shape, strict=True)]
    if sum(s * stride for s, stride in zip(start, strides, strict=True)) != layout.offset:
        return None
    step, stop, dim_of = [1] * len(shape), [s + 1 for s in start], {}
    for j, (size, stride) in enumerate(zip(layout.shape, layout.strides, strict=True)):
        if size == 1:
            continue
        dim = next((d for d, s in enumerate(strides) if s <= stride and stride % s == 0 and shape[d] > 1), None)
        if dim is None or dim in dim_of.values():
            return None
        dim_of[j], step[dim] = dim, stride // strides[dim]
        stop[dim] = start[dim] + (size - 1) * step[dim] + 1
        if size == 0 or stop[dim] > shape[dim]:
            return None
    return _chain(layout, source, (start, stop, step), dim_of)


def _chain(
    layout: Layout, source: Type, bounds: tuple[list[int], list[int], list[int]], dim_of: dict[int, int]
) -> tuple[Step, ...]:
    dtype, shape = source
    start, stop, step = bounds
    steps: list[Step] = []
    cut = tuple(-(-(b - a) // s) for a, b, s in zip(start, stop, step, strict=True))
    if cut != shape:
        steps.append(Step("narrow", {"start": start, "stop": stop, "step": step}, source, (dtype, cut)))
    order = sorted(dim_of, key=dim_of.__getitem__)  # dims of the result, as they lie in the source
    ones = [j for j in range(len(layout.shape)) if j not in dim_of]
    flat = tuple(layout.shape[j] for j in order + ones)
    if flat != cut:
        steps.append(Step("reshape", {"shape": flat}, (dtype, cut), (dtype, flat)))
    dims = [(order + ones).index(j) for j in range(len(layout.shape))]
    if dims != list(range(len(dims))):
        steps.append(Step("permute", {"dims": dims}, (dtype, flat), (dtype, layout.shape)))
    return tuple(steps)
