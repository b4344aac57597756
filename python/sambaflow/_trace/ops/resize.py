# SPDX-License-Identifier: Apache-2.0
"""Resizing with antialiasing: a product with constant weights along each dim."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from sambaflow._trace.ops.composed import composes


def _triangle(x: torch.Tensor) -> torch.Tensor:
    return (1 - x.abs()).clamp(min=0)


def _cubic(x: torch.Tensor, a: float = -0.5) -> torch.Tensor:
    x = x.abs()
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return torch.where(x < 1, near, torch.where(x < 2, far, 0.0))


def _weights(
    size: int, count: int, align_corners: bool, factor: float | None, reach: int, shape: Callable[..., torch.Tensor]
) -> torch.Tensor:
    """[count, size]: how much of each element there is in each of the result. Where the result is smaller, `shape` is
    as wide as what it stands for."""
    if align_corners:
        scale = (size - 1) / (count - 1) if count > 1 else 0.0
    else:
        scale = 1 / factor if factor else size / count
    center = (scale * (torch.arange(count, dtype=torch.float64) + 0.5)).unsqueeze(1)
    width = max(1.0, scale)
    first = (center - reach * width + 0.5).trunc().clamp(min=0)
    end = (center + reach * width + 0.5).trunc().clamp(max=size)
    place = torch.arange(size, dtype=torch.float64)
    weights = torch.where((place >= first) & (place < end), shape((place - center + 0.5) / width), 0.0)
    return weights / weights.sum(1, keepdim=True)


def _antialiased(reach: int, shape: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    def resize(
        x: torch.Tensor, output_size: Sequence[int] | None, align_corners: bool, *scales: Any,
        scale_factors: Sequence[float] | None = None, scales_h: float | None = None, scales_w: float | None = None,
    ) -> torch.Tensor:  # fmt: skip
        factors = scale_factors or (scales if len(scales) == 2 else scales[0] if scales else None)
        factors = factors or (scales_h, scales_w)
        if output_size is None:
            output_size = [int(size * factor) for size, factor in zip(x.shape[2:], factors, strict=True)]
        rows, columns = (
            _weights(x.shape[2 + i], output_size[i], align_corners, factors[i], reach, shape) for i in (0, 1)
        )
        dtype = torch.promote_types(x.dtype, torch.float32)
        return (rows.to(dtype) @ (x.to(dtype) @ columns.to(dtype).T)).to(x.dtype)

    return resize


composes("_upsample_bilinear2d_aa")(_antialiased(1, _triangle))
composes("_upsample_bicubic2d_aa")(_antialiased(2, _cubic))
