# SPDX-License-Identifier: Apache-2.0
"""Scans and order statistics, composed: what comes first, last, most often, or is largest so far.

A running result over n elements is made in log2(n) steps: after the step by d, an element stands for the 2d elements
that end with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

from sambaflow._trace.ops.composed import composes
from sambaflow._trace.ops.gradients import Even


def _earlier(x: torch.Tensor, dim: int) -> Iterator[tuple[int, Callable[[torch.Tensor], torch.Tensor]]]:
    """Steps d, and what gives a tensor like x moved d places on along `dim`; the first d elements stay."""
    size, step = x.shape[dim], 1
    while step < size:
        yield step, lambda t, d=step: torch.cat([t.narrow(dim, 0, d), t.narrow(dim, 0, size - d)], dim)
        step *= 2


def _running(x: torch.Tensor, dim: int, exceeds: Callable[..., torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Values, and places, of the last element so far that no earlier one exceeds; NaN exceeds all."""
    if x.dim() == 0:
        return x.clone(), torch.zeros((), dtype=torch.int64)
    shape = [-1 if axis == dim % x.dim() else 1 for axis in range(x.dim())]
    with torch.no_grad():
        value, place = x, torch.arange(x.shape[dim]).view(shape).expand(x.shape)
        for _, moved in _earlier(x, dim):
            before, at = moved(value), moved(place)
            wins = exceeds(before, value)
            if x.is_floating_point():
                wins = (wins | before.isnan()) & ~value.isnan()
            value, place = torch.where(wins, before, value), torch.where(wins, at, place)
    return x.gather(dim, place), place


@composes("cummax")
def _cummax(x: torch.Tensor, dim: int) -> tuple[torch.Tensor, torch.Tensor]:
    return _running(x, dim, torch.gt)


@composes("cummin")
def _cummin(x: torch.Tensor, dim: int) -> tuple[torch.Tensor, torch.Tensor]:
    return _running(x, dim, torch.lt)


@composes("logcumsumexp")
def _logcumsumexp(x: torch.Tensor, dim: int) -> torch.Tensor:
    if x.dim() == 0:
        return x.clone()
    value = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
    for step, moved in _earlier(x, dim):
        head, tail = value.narrow(dim, 0, step), value.narrow(dim, step, x.shape[dim] - step)
        joined = torch.logaddexp(tail, moved(value).narrow(dim, step, x.shape[dim] - step))
        value = torch.cat([head, joined], dim)
    return value.to(x.dtype)


@composes("nanmedian")
def _nanmedian(x: torch.Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The lower median of what is no NaN; NaN where nothing else is."""
    if not x.is_floating_point():
        return torch.median(x) if dim is None else torch.median(x, dim, keepdim)
    if x.dim() == 0:
        return x.clone() if dim is None else (x.clone(), torch.zeros((), dtype=torch.int64))
    flat, along = (x.flatten(), 0) if dim is None else (x, dim)
    known = (~flat.isnan()).sum(along, keepdim=True)
    place = ((known - 1) // 2).clamp(min=0)
    indices = torch.argsort(flat, dim=along, stable=True).gather(along, place)  # NaN comes last
    values = flat.gather(along, indices)
    if dim is None:
        return Even.apply(x, values.detach().squeeze(0))
    return (values, indices) if keepdim else (values.squeeze(dim), indices.squeeze(dim))


@composes("mode")
def _mode(x: torch.Tensor, dim: int = -1, keepdim: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """The smallest of the values that are there most often, and the last place where it is."""
    if x.dim() == 0:
        return x.clone(), torch.zeros((), dtype=torch.int64)
    with torch.no_grad():
        keys = (x.long() if x.dtype == torch.bool else x).movedim(dim, -1)
        ascending = torch.sort(keys, -1)[0]
        counts = torch.searchsorted(ascending, ascending, right=True) - torch.searchsorted(ascending, ascending)
        value = ascending.gather(-1, counts.argmax(-1, keepdim=True))
        places = torch.arange(x.shape[dim])  # 0 where all are NaN, of which none is equal to another
        indices = torch.where(keys == value, places, 0).amax(-1, keepdim=True).movedim(-1, dim)
    values = x.gather(dim, indices)
    return (values, indices) if keepdim else (values.squeeze(dim), indices.squeeze(dim))


@composes("nonzero_static")
def _nonzero_static(x: torch.Tensor, *, size: int, fill_value: int = -1) -> torch.Tensor:
    """The places of the first `size` elements that are not 0; rows that are left over hold `fill_value`."""
    flat = (x != 0).flatten()
    rank = flat.long().cumsum(0) - 1
    row = torch.where(flat & (rank < size), rank, size)  # all others share the row behind the last
    found = torch.full((size + 1,), -1, dtype=torch.int64).scatter(0, row, torch.arange(x.numel()))[:size]
    columns, place = [], found
    for extent in reversed(x.shape):
        columns.append(torch.where(found < 0, fill_value, place % extent))
        place = place // extent
    return torch.stack(columns[::-1], 1) if columns else torch.zeros(size, 0, dtype=torch.int64)


@composes("gcd")
def _gcd(x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Euclid's steps, as many as the dtype can need: numbers of Fibonacci take the most."""
    dtype = torch.result_type(x, other)
    a, b = x.to(dtype).abs(), other.to(dtype).abs()
    for _ in range(int(1.45 * torch.iinfo(dtype).bits) + 1):
        a, b = torch.where(b == 0, a, b), torch.where(b == 0, 0, a % torch.where(b == 0, 1, b))
    return a


@composes("lcm")
def _lcm(x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    common = _gcd(x, other)
    return (x // torch.where(common == 0, 1, common) * other).abs()
