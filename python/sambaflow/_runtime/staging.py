# SPDX-License-Identifier: Apache-2.0
"""Inputs that do not fit as they are: converted to the dtype, layout and shape that the program was traced with.

Here is also what a smaller batch is. Each input has its batch along `batch_dim` (dim 0 unless it says); a batch is
smaller where inputs have the same share of their traced rows, and everything else as it was traced.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import accumulate

import torch

from sambaflow._base.library import InvalidArgumentError
from sambaflow._trace.graph import DTYPE_NAMES
from sambaflow._trace.program import Port


def convert(tensor: torch.Tensor, port: Port, dtype: torch.dtype) -> torch.Tensor:
    """A contiguous tensor of the port's dtype and shape.

    Numbers convert to floating dtypes and integers among each other; fractions are never cut off silently. A shape that
    holds the same rows is reshaped. Everything else raises InvalidArgumentError.
    """
    check_dtype(tensor, port, dtype)
    if tuple(tensor.shape) != port.shape:
        if rows_of(tensor.shape, port) != batch_rows(port):
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


# ---- rows


def batch_axis(port: Port) -> int:
    """The dim along which an input has its batch; 0 where it does not say."""
    return (port.batch_dim or 0) % max(len(port.shape), 1)


def batch_rows(port: Port) -> int:
    """The extent of that dim; 1 for a number."""
    return port.shape[batch_axis(port)] if port.shape else 1


def with_rows(port: Port, rows: int) -> tuple[int, ...]:
    """The port's shape with another extent along the batch."""
    axis = batch_axis(port)
    return (*port.shape[:axis], rows, *port.shape[axis + 1 :]) if port.shape else ()


def rows_of(shape: Sequence[int], port: Port) -> int | None:
    """How many rows of the port a tensor of `shape` holds; None where it holds no whole ones.

    The dims of a row may be merged or split, and dims of extent 1 may come and go; rows may lie in one dim.
    """
    of_row = math.prod(port.shape) // max(batch_rows(port), 1)
    rows, rest = divmod(math.prod(shape), max(of_row, 1))
    want = with_rows(port, rows)
    if rest or math.prod(want) != math.prod(shape):
        return None
    given, wanted = _ends(shape), _ends(want)
    axis = batch_axis(port)
    sides = {math.prod(want[:axis]), math.prod(want[: axis + 1])}
    return rows if given <= wanted or wanted <= given or sides <= given else None


def _ends(shape: Sequence[int]) -> set[int]:
    """Where the dims of a shape end, counted from the outermost on; merging and splitting keep some."""
    return {1, *accumulate(shape, lambda a, b: a * b)}


def smaller_batch(shapes: Mapping[Port, Sequence[int]]) -> dict[str, int]:
    """The rows of each input of a smaller batch, by name; inputs that are as traced are left out.

    Raises InvalidArgumentError with the names of inputs that do not go together.
    """
    rows = {port: rows_of(shape, port) for port, shape in shapes.items()}
    for port, count in rows.items():
        if count is None or not 0 < count <= max(batch_rows(port), 1):
            raise wrong_shape(shapes[port], port)
    short = {port: count for port, count in rows.items() if count != batch_rows(port)}
    shares = {Fraction(count, batch_rows(port)) for port, count in short.items()}  # type: ignore[arg-type]
    named = any(port.batch_dim is not None for port in shapes)
    extents = {batch_rows(port) for port in short}
    late = [p for p in shapes if p not in short and p.shape and batch_rows(p) in extents]
    if len(shares) > 1 or any(p.batch_dim is not None or not named for p in late):
        listed = ", ".join(f"{p.name} {rows[p]} of {batch_rows(p)}" for p in (*short, *late))
        hint = "" if named or not late else "; batch_dim of the traced inputs says which of them have a batch"
        raise InvalidArgumentError(f"the inputs have different numbers of rows: {listed}{hint}")
    return {port.name: int(count) for port, count in short.items()}  # type: ignore[arg-type]
