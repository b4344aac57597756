# SPDX-License-Identifier: Apache-2.0
"""Inputs that do not fit as they are: converted to the dtype, layout and shape that the program was traced with.

Here is also what a smaller batch is: one where inputs have the same share of their traced rows, and everything else
as it was traced.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

import torch

from sambaflow._base.library import InvalidArgumentError
from sambaflow._trace.graph import DTYPE_NAMES
from sambaflow._trace.port import Port


def convert(tensor: torch.Tensor, port: Port, dtype: torch.dtype) -> torch.Tensor:
    """A contiguous tensor of the port's dtype and shape.

    Numbers convert to floating dtypes and integers among each other; fractions are never cut off silently. A shape that
    holds the same rows is reshaped. Everything else raises InvalidArgumentError.
    """
    check_dtype(tensor, port, dtype)
    if tuple(tensor.shape) != port.shape:
        if port.rows_of(tensor.shape) != port.rows:
            raise wrong_shape(tensor.shape, port)
        tensor = tensor.reshape(port.shape)
    return tensor.to(dtype).contiguous()


def check_dtype(tensor: torch.Tensor, port: Port, dtype: torch.dtype) -> None:
    """Raises InvalidArgumentError where `tensor` cannot become a `dtype` without loss, or has no data on the host."""
    if tensor.device.type != "cpu":
        raise InvalidArgumentError(f"input {port.name!r} has no data on the host (device {tensor.device})")
    fraction = tensor.is_floating_point() and not dtype.is_floating_point
    if tensor.dtype not in DTYPE_NAMES or fraction:
        raise InvalidArgumentError(f"input {port.name!r} has dtype {tensor.dtype}, the program takes {dtype}")


def wrong_shape(shape: Sequence[int], port: Port) -> InvalidArgumentError:
    return InvalidArgumentError(f"input {port.name!r} has shape {list(shape)}, the program takes {list(port.shape)}")


def smaller_batch(shapes: Mapping[Port, Sequence[int]]) -> dict[str, int]:
    """The rows of each input of a smaller batch, by name; inputs that are as traced are left out.

    Raises InvalidArgumentError with the names of inputs that do not go together.
    """
    rows = {port: port.rows_of(shape) for port, shape in shapes.items()}
    for port, count in rows.items():
        if count is None or not 0 < count <= max(port.rows, 1):
            raise wrong_shape(shapes[port], port)
    short = {port: count for port, count in rows.items() if count != port.rows}
    shares = {Fraction(count, port.rows) for port, count in short.items()}  # type: ignore[arg-type]
    named = any(port.batch_dim is not None for port in shapes)
    extents = {port.rows for port in short}
    late = [p for p in shapes if p not in short and p.shape and p.rows in extents]
    if len(shares) > 1 or any(p.batch_dim is not None or not named for p in late):
        listed = ", ".join(f"{p.name} {rows[p]} of {p.rows}" for p in (*short, *late))
        hint = "" if named or not late else "; batch_dim of the traced inputs says which of them have a batch"
        raise InvalidArgumentError(f"the inputs have different numbers of rows: {listed}{hint}")
    return {port.name: int(count) for port, count in short.items()}  # type: ignore[arg-type]
