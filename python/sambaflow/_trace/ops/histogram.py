# SPDX-License-Identifier: Apache-2.0
"""Histograms, and reductions of segments, composed: what lies between edges, or between offsets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from sambaflow._trace.ops.composed import composes


def _edges(column: torch.Tensor, bins: int, ends: Sequence[float] | None) -> torch.Tensor:
    """Of `bins` equal parts between the ends, or between the least and the largest of the column."""
    if ends is not None:
        low, high = (torch.tensor(end, dtype=column.dtype) for end in ends)
    elif column.numel() == 0:
        low, high = torch.zeros((), dtype=column.dtype), torch.ones((), dtype=column.dtype)
    else:
        low, high = column.min(), column.max()
    alike = low == high
    low, high = torch.where(alike, low - 0.5, low), torch.where(alike, high + 0.5, high)
    return torch.linspace(low, high, bins + 1, dtype=column.dtype)  # type: ignore[call-overload, no-any-return]


def _counted(
    columns: Sequence[torch.Tensor], edges: Sequence[torch.Tensor], weight: torch.Tensor | None, density: bool
) -> torch.Tensor:
    """What lies in each cell. The last edge of a dim belongs to its last part; what lies outside is not counted."""
    dtype, shape = columns[0].dtype, [len(edge) - 1 for edge in edges]
    amount = torch.ones_like(columns[0]) if weight is None else weight.flatten().to(dtype)
    place = torch.zeros(columns[0].shape, dtype=torch.int64)
    for column, edge, bins in zip(columns, edges, shape, strict=True):
        amount = torch.where((column >= edge[0]) & (column <= edge[-1]), amount, 0.0)
        part = torch.searchsorted(edge.contiguous(), column.contiguous(), right=True) - 1
        place = place * bins + part.clamp(0, bins - 1)
    total = torch.zeros(torch.Size(shape).numel(), dtype=dtype).index_add(0, place, amount).view(shape)
    if density:
        total = total / total.sum()
        for axis, edge in enumerate(edges):
            total = total / edge.diff().view([-1] + [1] * (len(shape) - 1 - axis))
    return total


@composes("histogram")
def _histogram(
    x: torch.Tensor, bins: Any = 100, *, range: Sequence[float] | None = None, weight: torch.Tensor | None = None,
    density: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    column = x.detach().flatten()
    edges = bins if isinstance(bins, torch.Tensor) else _edges(column, bins, range)
    return _counted([column], [edges], weight, density), edges


@composes("histogramdd")
def _histogramdd(
    x: torch.Tensor, bins: Any, range: Sequence[float] | None = None, weight: torch.Tensor | None = None,
    density: bool = False,
) -> tuple[torch.Tensor, list[torch.Tensor]]:  # fmt: skip
    """Points along the last dim."""
    columns = list(x.detach().flatten(0, -2).unbind(-1))
    bins = [bins] * len(columns) if isinstance(bins, int) else bins
    ends = [None] * len(columns) if range is None else [range[2 * i : 2 * i + 2] for i, _ in enumerate(columns)]
    edges = [
        of_dim if isinstance(of_dim, torch.Tensor) else _edges(column, of_dim, end)
        for column, of_dim, end in zip(columns, bins, ends, strict=True)
    ]
    return _counted(columns, edges, weight, density), edges


_REDUCED = {"max": ("amax", -torch.inf), "min": ("amin", torch.inf), "prod": ("prod", 1.0)}  # others: sums


@composes("segment_reduce")
def _segment_reduce(
    x: torch.Tensor, reduce: str, *, lengths: torch.Tensor | None = None, indices: torch.Tensor | None = None,
    offsets: torch.Tensor | None = None, axis: int = 0, unsafe: bool = False, initial: float | None = None,
) -> torch.Tensor:  # fmt: skip
    """Of the pieces along `axis` that have these lengths, or lie between these offsets. Those of no elements are the
    initial value, and a mean without one is NaN."""
    if offsets is None:
        assert lengths is not None
        ends = lengths.cumsum(-1)
    else:
        ends, lengths = offsets[..., 1:], offsets.diff(dim=-1)
    kind, start = _REDUCED.get(reduce, ("sum", 0.0))
    count, size, rest = ends.shape[-1], x.shape[axis], [1] * (x.dim() - 1 - axis)
    place = (torch.arange(size).view(-1, 1) >= ends.unsqueeze(-2)).sum(-1)  # behind all: in a segment that is cut off
    found = torch.full(
        (*x.shape[:axis], count + 1, *x.shape[axis + 1 :]), start if initial is None else initial, dtype=x.dtype
    )
    found = found.scatter_reduce(axis, place.view(*place.shape, *rest).expand(x.shape), x, kind).narrow(axis, 0, count)
    if reduce != "mean":
        return found
    divisor = lengths.view(*lengths.shape, *rest).to(x.dtype)
    mean = found / divisor.clamp(min=1)
    return mean if initial is not None else torch.where(divisor == 0, torch.nan, mean)
