# SPDX-License-Identifier: Apache-2.0
"""Inputs and outputs of a program, and the rows of its batch.

An input has its batch along the dim that the program says (`batch_dim`), along dim 0 where it says none. Which dim of
an output is the batch, only the compiler can tell: see `compiler.batch_dims`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch


def batch_axis(batch_dim: int | None, rank: int) -> int:
    """The dim along which an input of `rank` has its batch."""
    return (batch_dim or 0) % max(rank, 1)


@dataclass(frozen=True)
class Port:
    """An input or output of the program."""

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    batch_dim: int | None = None
    seed: str = ""  # of an output: one, zero or symbol

    @property
    def axis(self) -> int:
        """Of an input: the dim along which it has its batch."""
        return batch_axis(self.batch_dim, len(self.shape))

    @property
    def rows(self) -> int:
        """The extent of that dim; 1 for a number."""
        return self.shape[self.axis] if self.shape else 1

    def with_rows(self, rows: int) -> tuple[int, ...]:
        """The shape with another extent along the batch."""
        return (*self.shape[: self.axis], rows, *self.shape[self.axis + 1 :]) if self.shape else ()

    def rows_of(self, shape: Sequence[int]) -> int | None:
        """How many rows a tensor of `shape` holds; None where it holds no whole ones.

        The dims of a row may be merged or split, and dims of extent 1 may come and go; rows may lie in one dim.
        """
        of_row = math.prod(self.shape) // max(self.rows, 1)
        rows, rest = divmod(math.prod(shape), max(of_row, 1))
        want = self.with_rows(rows)
        if rest or math.prod(want) != math.prod(shape):
            return None
        given, wanted = _ends(shape), _ends(want)
        sides = {math.prod(want[: self.axis]), math.prod(want[: self.axis + 1])}
        return rows if given <= wanted or wanted <= given or sides <= given else None


def _ends(shape: Sequence[int]) -> set[int]:
    """Where the dims of a shape end, counted from the outermost on; merging and splitting keep some."""
    return {1, *accumulate(shape, lambda a, b: a * b)}
