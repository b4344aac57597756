# SPDX-License-Identifier: Apache-2.0
"""Sampling of volumes at the points of a grid, composed. Points are in [-1, 1] along each dim."""

from __future__ import annotations

import itertools

import torch

from sambaflow._trace.ops.composed import composes

_NEAREST = 1  # modes, and kinds of padding, as PyTorch numbers them
_BORDER, _REFLECTION = 1, 2


def _clipped(place: torch.Tensor, size: int) -> torch.Tensor:
    """Within [0, size - 1]; what is not inside has no slope."""
    inside = (place > 0) & (place < size - 1)
    return torch.where(inside, place, place.detach().clamp(0, size - 1))


def _reflected(place: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """Mirrored at both ends as often as it takes."""
    if low == high:
        return place * 0
    far, span = (place - low).abs(), high - low
    turns = torch.floor(far.detach() / span)
    rest = far - turns * span
    return torch.where(torch.remainder(turns, 2) == 0, rest, span - rest) + low


def _places(points: torch.Tensor, size: int, padding: int, align_corners: bool) -> torch.Tensor:
    """Where points lie, counted in elements."""
    place = (points + 1) / 2 * (size - 1) if align_corners else ((points + 1) * size - 1) / 2
    if padding == _REFLECTION:
        place = _reflected(place, 0, size - 1) if align_corners else _reflected(place, -0.5, size - 0.5)
    return _clipped(place, size) if padding in (_BORDER, _REFLECTION) else place


def _at(flat: torch.Tensor, places: list[torch.Tensor], sizes: list[int]) -> torch.Tensor:
    """The elements of [N, C, ..] at whole places [N, ..], 0 outside."""
    index, inside = torch.zeros((), dtype=torch.int64), torch.ones((), dtype=torch.bool)
    for place, size in zip(places, sizes, strict=True):
        inside = inside & (place >= 0) & (place < size)
        index = index * size + torch.where(place.isfinite(), place, 0).clamp(0, size - 1).long()
    found = flat.gather(2, index.flatten(1).unsqueeze(1).expand(-1, flat.shape[1], -1))
    return torch.where(inside.flatten(1).unsqueeze(1), found, 0.0)


@composes("grid_sampler_3d")
def _grid_sampler_3d(
    x: torch.Tensor, grid: torch.Tensor, interpolation_mode: int, padding_mode: int, align_corners: bool
) -> torch.Tensor:
    if x.dtype in (torch.bfloat16, torch.float16):  # rounded once
        found = _grid_sampler_3d(x.float(), grid.float(), interpolation_mode, padding_mode, align_corners)
        return found.to(x.dtype)
    sizes, flat = list(x.shape[2:]), x.flatten(2)
    places = [_places(grid[..., 2 - i], size, padding_mode, align_corners) for i, size in enumerate(sizes)]
    shape = (*x.shape[:2], *grid.shape[1:4])
    if interpolation_mode == _NEAREST:
        return _at(flat, [place.detach().round() for place in places], sizes).view(shape)
    low = [place.detach().floor() for place in places]
    shares = [place - floor for place, floor in zip(places, low, strict=True)]
    total = torch.zeros((), dtype=x.dtype)
    for corner in itertools.product((0, 1), repeat=3):
        weight = torch.ones((), dtype=x.dtype)
        for share, high in zip(shares, corner, strict=True):
            weight = weight * (share if high else 1 - share)
        found = _at(flat, [floor + high for floor, high in zip(low, corner, strict=True)], sizes)
        total = total + found * weight.flatten(1).unsqueeze(1)
    return total.view(shape)
