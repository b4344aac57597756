# SPDX-License-Identifier: Apache-2.0
"""Several batches in one run (--num-spatial-batches): how inputs that hold them are cut, and how results are joined."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

import torch

from sambaflow._base.library import InvalidArgumentError
from sambaflow._runtime.staging import convert
from sambaflow._tensors.tensor import SambaTensor, wrap
from sambaflow._trace.port import Port


class Batches:
    """What inputs hold of up to `most` batches.

    They then have several times the traced rows along their batch dim; inputs without batch are shared by all batches.
    Which have a batch, `batch_dim` says; where no input says it, all whose dim 0 is as long as that of the first. The
    last batch may be smaller.
    """

    def __init__(self, inputs: Sequence[Port], most: int) -> None:
        self._most = most
        shaped = [port for port in inputs if port.shape]
        named = [port for port in shaped if port.batch_dim is not None]
        alike = [port for port in shaped if port.rows == (named or shaped)[0].rows]
        self._batched = {port.name for port in named or alike}  # these have as many batches as each other
        self._may_be_batched = {port.name for port in (*named, *alike)}
        self.taken: dict[str, int] = {}  # batches of each input that was stacked and holds several

    def holds(self, port: Port, rows: int) -> bool:
        """Whether an input with so many rows is one of several batches; more than there may be are refused."""
        if port.name not in self._may_be_batched or rows <= port.rows:
            return False
        if rows > port.rows * self._most:
            raise InvalidArgumentError(
                f"input {port.name!r} has {rows} rows; the program takes {port.rows} a batch, and with "
                f"--num-spatial-batches {self._most} up to {self._most} batches in a run"
            )
        return True

    def stack(self, tensor: torch.Tensor, port: Port, dtype: torch.dtype, rows: int) -> torch.Tensor | None:
        """As [batches, *traced shape]; None where the last batch is smaller."""
        if rows % port.rows:
            return None
        axis, batches = port.axis, rows // port.rows
        tensor = convert(tensor, dataclasses.replace(port, shape=port.with_rows(rows)), dtype)
        if axis == 0:
            stacked = tensor.reshape(batches, *port.shape)
        else:
            stacked = tensor.unflatten(axis, (batches, port.rows)).movedim(axis, 0).contiguous()
        self.taken[port.name] = batches
        return stacked

    def count(self) -> int:
        """How many batches the inputs hold that were stacked."""
        if not self.taken:
            return 1
        counts = {name: self.taken.get(name, 1) for name in (*self._batched, *self.taken)}
        if len(set(counts.values())) > 1:
            raise _uneven("batches", counts)
        return max(counts.values())

    def split(
        self, inputs: Iterable[tuple[Port, torch.Tensor]]
    ) -> tuple[list[SambaTensor], list[SambaTensor], set[str]] | None:
        """The whole batches of inputs whose last one is smaller, that one, and the names of the inputs that were cut;
        None where it is the only."""
        given = [(port, plain, port.rows_of(plain.shape)) for port, plain in inputs]
        rows = {p.name: n for p, _, n in given if n is not None and self._is_cut(p, n)}
        shares = {p.name: Fraction(n, p.rows) for p, _, n in given if n is not None and p.name in rows}
        if not any(share > 1 for share in shares.values()):
            return None
        if len(set(shares.values())) > 1:
            raise _uneven("rows", rows)
        whole, rest = [], []
        for port, plain, count in given:
            first = last = plain
            if port.name in rows and count is not None:
                left = count % port.rows
                both = plain.reshape(port.with_rows(count))
                first, last = both.narrow(port.axis, 0, count - left), both.narrow(port.axis, count - left, left)
            whole.append(wrap(first, port.name))
            rest.append(wrap(last, port.name))
        return whole, rest, set(rows)

    def _is_cut(self, port: Port, rows: int) -> bool:
        return port.name in self._batched or (port.name in self._may_be_batched and rows != port.rows)


def _uneven(what: str, counts: Mapping[str, int]) -> InvalidArgumentError:
    listed = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
    verb = "hold" if what == "batches" else "have"
    return InvalidArgumentError(f"the inputs {verb} different numbers of {what}: {listed}")


def joined(name: str, stacked: torch.Tensor, dim: int | None, last: torch.Tensor | None = None) -> SambaTensor:
    """The results [batches, *traced shape] of an output, and that of a smaller last batch, as one.

    Along the batch dim one behind the other; without one the mean (of integers the sum, of booleans whether any is).
    """
    if dim is not None:
        joined = stacked.movedim(0, dim).flatten(dim, dim + 1)
        return wrap(joined if last is None else torch.cat([joined, last], dim), name)
    if last is not None:
        stacked = torch.cat([stacked, last[None]])
    if stacked.is_floating_point():
        return wrap(stacked.mean(0), name)
    return wrap(stacked.any(0) if stacked.dtype == torch.bool else stacked.sum(0, dtype=stacked.dtype), name)
