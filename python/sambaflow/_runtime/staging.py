# SPDX-License-Identifier: Apache-2.0
"""Inputs that do not fit as they are: converted to the dtype, layout and shape that the program was traced with."""

from __future__ import annotations

import torch

from sambaflow._runtime.library import InvalidArgumentError
from sambaflow._trace.graph import DTYPE_NAMES
from sambaflow._trace.program import Port


def convert(tensor: torch.Tensor, port: Port, dtype: torch.dtype) -> tuple[torch.Tensor, tuple[int, int] | None]:
    """A contiguous tensor of the port's dtype and shape, and (rows given, rows traced) of a smaller batch.

    Numbers convert to floating dtypes and integers among each other; fractions are never cut off silently. Equal
    element counts are reshaped. A smaller batch is filled up: labels with the value that their loss ignores, where it
    has one, everything else by repeating the rows.
    """
    if tensor.device.type != "cpu":
        raise InvalidArgumentError(f"input {port.name!r} has no data on the host (device {tensor.device})")
    if tensor.dtype not in DTYPE_NAMES:
        raise InvalidArgumentError(f"input {port.name!r} has dtype {tensor.dtype}, the program takes {dtype}")
    if tensor.is_floating_point() and not dtype.is_floating_point:
        raise InvalidArgumentError(f"input {port.name!r} has dtype {tensor.dtype}, the program takes {dtype}")
    rows = None
    if tuple(tensor.shape) != port.shape:
        tensor, rows = _reshaped(tensor, port)
    return tensor.to(dtype).contiguous(), rows


def _reshaped(tensor: torch.Tensor, port: Port) -> tuple[torch.Tensor, tuple[int, int] | None]:
    want = torch.Size(port.shape)
    if tensor.numel() == want.numel():
        return tensor.reshape(want), None
    batch = port.batch_dim if port.batch_dim is not None else 0
    if want and tensor.dim() >= 1 and 0 < tensor.shape[batch % tensor.dim()] < want[batch % len(want)]:
        given = tensor.shape[batch % tensor.dim()]
        row_shape = want[: batch % len(want)] + want[batch % len(want) + 1 :]
        if tensor.numel() == given * row_shape.numel():
            if tensor.dim() != len(want):
                tensor = tensor.reshape(*want[:batch], given, *want[batch + 1 :])
            return _filled(tensor, port, batch % len(want), given), (given, want[batch % len(want)])
    raise InvalidArgumentError(
        f"input {port.name!r} has shape {list(tensor.shape)}, the program takes {list(port.shape)}"
    )


def _filled(tensor: torch.Tensor, port: Port, batch: int, given: int) -> torch.Tensor:
    total = port.shape[batch]
    if port.ignored is not None:
        fill = torch.full(
            (*port.shape[:batch], total - given, *port.shape[batch + 1 :]), port.ignored, dtype=tensor.dtype
        )
        return torch.cat([tensor, fill], dim=batch)
    return tensor.index_select(batch, torch.arange(total) % given)
