# SPDX-License-Identifier: Apache-2.0
"""Max pooling with indices, also of windows at random places, and back from them, composed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from sambaflow._trace.ops.composed import composes, expect


def _window_indices(x: torch.Tensor, out: Sequence[int], window: Sequence[int], stride: Sequence[int],
                    padding: Sequence[int], dilation: Sequence[int]) -> torch.Tensor:  # fmt: skip
    """For each window of x[.., spatial], the flat index of its largest element in the unpadded spatial dims."""
    rank, spatial = len(window), x.shape[-len(window) :]
    extents = [d * (k - 1) + 1 for d, k in zip(dilation, window, strict=True)]
    high = [(o - 1) * s + e - n - p for o, s, e, n, p in zip(out, stride, extents, spatial, padding, strict=True)]
    pads = [amount for low_high in reversed(list(zip(padding, high, strict=True))) for amount in low_high]
    pieces = torch.nn.functional.pad(x, pads, value=-torch.inf)
    for axis in range(rank):
        pieces = pieces.unfold(x.dim() - rank + axis, extents[axis], stride[axis])
    pieces = pieces[(..., *[slice(None, None, d) for d in dilation])]
    place = pieces.flatten(-rank).argmax(-1)
    index = torch.zeros((), dtype=torch.int64)
    for axis in range(rank):
        within = place.div(int(torch.Size(window[axis + 1 :]).numel()), rounding_mode="floor") % window[axis]
        start = (torch.arange(out[axis]) * stride[axis] - padding[axis]).view(-1, *[1] * (rank - 1 - axis))
        index = index * spatial[axis] + start + within * dilation[axis]
    return index


def pooled_indices(x: torch.Tensor, out: Sequence[int], attrs: dict[str, Any]) -> torch.Tensor:
    """The indices of a max pooling row with these attributes, whose result has the spatial dims `out`."""
    return _window_indices(x, out, attrs["window"], attrs["stride"], attrs["padding"], attrs["dilation"])


def adaptive_indices(x: torch.Tensor, out: Sequence[int]) -> torch.Tensor:
    """The indices of adaptive max pooling."""
    spatial = x.shape[-len(out) :]
    if 0 in out:
        return torch.zeros(*x.shape[: -len(out)], *out, dtype=torch.int64)
    if any(n % o for n, o in zip(spatial, out, strict=True)):
        return _uneven_indices(x, out)
    window = [n // o for n, o in zip(spatial, out, strict=True)]
    return _window_indices(x, out, window, window, [0] * len(out), [1] * len(out))


def _uneven_indices(x: torch.Tensor, out: Sequence[int]) -> torch.Tensor:
    """Windows of unequal sizes: each is as long as the longest, and what is too much of it is never the largest."""
    rank, lead, pieces, places = len(out), x.dim() - len(out), x, []
    for axis, (size, count) in enumerate(zip(x.shape[lead:], out, strict=True)):
        start = torch.arange(count) * size // count
        end = (torch.arange(1, count + 1) * size + count - 1) // count
        place = start.unsqueeze(1) + torch.arange(int((end - start).max()))
        dim, kept = lead + 2 * axis, place < end.unsqueeze(1)
        place = place.clamp(max=size - 1)
        pieces = pieces.index_select(dim, place.flatten()).unflatten(dim, place.shape)
        pieces = torch.where(kept.view(*place.shape, *[1] * (rank - 1 - axis)), pieces, -torch.inf)
        places.append(place)
    order = [*range(lead), *range(lead, lead + 2 * rank, 2), *range(lead + 1, lead + 2 * rank, 2)]
    found = pieces.permute(order).flatten(-rank).argmax(-1)
    index = torch.zeros((), dtype=torch.int64)
    for axis, place in enumerate(places):
        inner = math.prod(p.shape[1] for p in places[axis + 1 :])
        start = place[:, 0].view(-1, *[1] * (rank - 1 - axis))
        index = index * x.shape[lead + axis] + start + found.div(inner, rounding_mode="floor") % place.shape[1]
    return index


@composes("max_unpool2d", "max_unpool3d")
def _max_unpool(x: torch.Tensor, indices: torch.Tensor, output_size: Sequence[int], *_: Any) -> torch.Tensor:
    expect(indices.shape == x.shape, f"indices of shape {list(indices.shape)} for an input of {list(x.shape)}")
    lead = x.shape[: x.dim() - len(output_size)]
    flat = torch.zeros(*lead, torch.Size(output_size).numel(), dtype=x.dtype)
    flat = flat.scatter(-1, indices.flatten(len(lead)), x.flatten(len(lead)))
    return flat.unflatten(-1, list(output_size))


def picked(x: torch.Tensor, indices: torch.Tensor, rank: int) -> torch.Tensor:
    """The elements of the last `rank` dims at flat indices."""
    return x.flatten(-rank).gather(-1, indices.flatten(-rank)).view(indices.shape)


def _random_starts(sample: torch.Tensor, size: int, window: int, count: int) -> torch.Tensor:
    """Where `count` windows of fractional pooling start: by steps of a fraction, the last at the end."""
    step = (size - window) / max(1, count - 1)
    steps = torch.arange(count - 1)
    shift = sample.unsqueeze(-1)
    starts = ((steps + shift) * step).long() - (shift * step).long()
    return torch.cat([starts, torch.full((*sample.shape, 1), size - window)], -1)


@composes("fractional_max_pool2d", "fractional_max_pool3d")
def _fractional_max_pool(
    x: torch.Tensor, kernel_size: Sequence[int], output_size: Sequence[int], random_samples: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Samples [N, C, rank], those of two dims from the last one on."""
    rank = len(kernel_size)
    planes = x if x.dim() == rank + 2 else x.unsqueeze(0)
    place = torch.zeros((), dtype=torch.int64)
    for axis, (window, count) in enumerate(zip(kernel_size, output_size, strict=True)):
        sample = random_samples[..., axis if rank == 3 else 1 - axis].to(x.dtype)
        starts = _random_starts(sample, planes.shape[2 + axis], window, count)
        own = [1] * axis + [count] + [1] * (rank - 1 - axis)
        within = torch.arange(window).view([1] * rank + [1] * axis + [window] + [1] * (rank - 1 - axis))
        place = place * planes.shape[2 + axis] + starts.view(*starts.shape[:2], *own, *[1] * rank) + within
    flat = planes.flatten(2)
    pieces = flat.detach().gather(2, place.flatten(2)).view(place.shape).flatten(-rank)
    found = place.flatten(-rank).gather(-1, pieces.argmax(-1, keepdim=True)).squeeze(-1)
    values = flat.gather(2, found.flatten(2)).view(found.shape)
    return (values, found) if planes is x else (values.squeeze(0), found.squeeze(0))
