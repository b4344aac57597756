# SPDX-License-Identifier: Apache-2.0

"""Gather, scatter, reduce and draw, by positions that are tensors.

Positions are start positions: `start_indices[..., j]` is where a slice begins along dim `gather_dims[j]`. Dims are
counted without the leading `batched_dims` axes, which the tensor and the positions have in common.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

__all__ = ["sn_gather", "sn_multinomial", "sn_reduce", "sn_scatter"]


@dataclass
class _Layout:
    """Where the axes of a gather or scatter are, once batched and indexed axes stand first."""

    batched: int
    dims: list[int]  # indexed dims, counted without the batched ones
    rest: list[int]  # the others

    def forward(self) -> list[int]:
        """Permutation of the tensor: batched axes, indexed dims, the rest."""
        return [*range(self.batched), *[self.batched + d for d in (*self.dims, *self.rest)]]

    def slices(self, outer: int) -> list[int]:
        """Permutation of a result with `outer` leading axes from slices in the order above to dims in order."""
        order = [*self.dims, *self.rest]
        return [*range(outer), *[outer + order.index(d) for d in range(len(order))]]


def _layout(name: str, tensor: torch.Tensor, starts: torch.Tensor, dims: Sequence[int], batched: int) -> _Layout:
    rank = tensor.dim() - batched
    chosen = [d % rank if -rank <= d < rank else d for d in dims]
    if any(not 0 <= d < rank for d in chosen) or len(set(chosen)) != len(chosen):
        raise ValueError(f"{name}: dims {list(dims)} of a tensor with {rank} dims beside {batched} batched ones")
    if starts.dim() < batched + 1 or starts.shape[-1] != len(chosen):
        raise ValueError(f"{name}: start_indices {list(starts.shape)} must end in an axis of {len(chosen)}: one a dim")
    if tuple(tensor.shape[:batched]) != tuple(starts.shape[:batched]):
        raise ValueError(
            f"{name}: the first {batched} axes of {list(tensor.shape)} and of start_indices {list(starts.shape)} differ"
        )
    return _Layout(batched, chosen, [d for d in range(rank) if d not in chosen])


def _batch_positions(tensor: torch.Tensor, batched: int, rank: int) -> list[torch.Tensor]:
    """The position along each batched axis, shaped to broadcast over `rank` axes."""
    return [
        torch.arange(tensor.shape[axis]).reshape([-1 if a == axis else 1 for a in range(rank)])
        for axis in range(batched)
    ]


def _positions(starts: torch.Tensor, lengths: Sequence[int]) -> list[torch.Tensor]:
    """For each indexed dim the positions of its slices: start plus 0, 1, ..., in an axis of its own behind the rest."""
    outer = starts.dim() - 1
    result = []
    for j, length in enumerate(lengths):
        start = starts[..., j].to(torch.int64).reshape([*starts.shape[:-1], *[1] * len(lengths)])
        if length > 1:
            start = start + torch.arange(length).reshape(
                [-1 if a == outer + j else 1 for a in range(outer + len(lengths))]
            )
        result.append(start)
    return result


def sn_gather(
    input_tensor: torch.Tensor,
    start_indices: torch.Tensor,
    gather_dims: Sequence[int],
    gather_lengths: Sequence[int],
    batched_dims: int = 0,
) -> torch.Tensor:
    """Slices of `input_tensor`, `gather_lengths[j]` long along dim `gather_dims[j]`, whole along the others.

    `start_indices` is an integer tensor [*batched, *positions, len(gather_dims)]. The result has the shape
    [*batched, *positions, *slice], where the slice keeps all dims, also those of length 1. A slice that would reach
    over an end is moved inside.
    """
    layout = _layout("sn_gather", input_tensor, start_indices, gather_dims, batched_dims)
    sizes = [input_tensor.shape[batched_dims + d] for d in layout.dims]
    if len(gather_lengths) != len(sizes) or any(not 0 < n <= s for n, s in zip(gather_lengths, sizes, strict=False)):
        raise ValueError(f"sn_gather: gather_lengths {list(gather_lengths)} for dims of sizes {sizes}")
    bounds = [size - length for size, length in zip(sizes, gather_lengths, strict=True)]
    starts = [start_indices[..., j : j + 1].clamp(0, bound) for j, bound in enumerate(bounds)]
    inside = starts[0] if len(starts) == 1 else torch.cat(starts, -1)
    outer = start_indices.dim() - 1
    index = [
        *_batch_positions(input_tensor, batched_dims, outer + len(sizes)),
        *_positions(inside, gather_lengths),
    ]
    found = input_tensor.permute(layout.forward())[tuple(index)]
    return found.permute(layout.slices(outer))


def sn_scatter(
    operand: torch.Tensor,
    update: torch.Tensor,
    start_indices: torch.Tensor,
    scatter_dims: Sequence[int],
    rmw_op: str = "kUpdate",
    unique_indices: bool = False,
    batched_dims: int = 0,
) -> torch.Tensor:
    """A copy of `operand` in which slices are replaced ("kUpdate") or added to ("kAdd", duplicates add up).

    `start_indices` is an integer tensor [*batched, *positions, len(scatter_dims)], `update` has the shape
    [*batched, *positions, *slice], where the slice is whole along dims that are not in `scatter_dims`. Elements whose
    position lies outside of `operand` are left out. `unique_indices` promises that no two slices overlap.
    """
    if rmw_op not in ("kUpdate", "kAdd"):
        raise ValueError(f"sn_scatter: unknown rmw_op {rmw_op!r}; there are kUpdate and kAdd")
    layout = _layout("sn_scatter", operand, start_indices, scatter_dims, batched_dims)
    outer = start_indices.dim() - 1
    slices = list(update.shape[outer:])
    whole = list(operand.shape[batched_dims:])
    if update.dim() != outer + len(whole) or any(slices[d] != whole[d] for d in layout.rest):
        raise ValueError(f"sn_scatter: update {list(update.shape)} must be {list(start_indices.shape[:-1])} + a slice "
                         f"of {whole}, whole but for dims {layout.dims}")  # fmt: skip
    lengths = [slices[d] for d in layout.dims]
    positions, outside = [], None
    for position, d in zip(_positions(start_indices, lengths), layout.dims, strict=True):
        wrong = (position < 0) | (position >= whole[d])
        outside = wrong if outside is None else outside | wrong
        positions.append(position.clamp(0, whole[d] - 1))
    # One more place along the first indexed dim takes what lies outside, and is cut off again.
    positions[0] = torch.where(outside, torch.full((), whole[layout.dims[0]], dtype=torch.int64), positions[0])
    index = [*_batch_positions(operand, batched_dims, outer + len(lengths)), *positions]
    order = layout.forward()
    source = operand.permute(order)
    spare = source.narrow(batched_dims, 0, 1)
    grown = torch.cat([source, spare], batched_dims)
    inverse = layout.slices(outer)
    moved = update.to(operand.dtype).permute([inverse.index(a) for a in range(update.dim())])
    changed = grown.index_put(tuple(index), moved, accumulate=rmw_op == "kAdd")
    kept = changed.narrow(batched_dims, 0, whole[layout.dims[0]])
    return kept.permute([order.index(a) for a in range(len(order))])


def sn_multinomial(probs: torch.Tensor, pre_generated_randoms: torch.Tensor) -> torch.Tensor:
    """One draw from each row of `probs` [N, K], by uniform numbers [N, 1] in [0, 1): int64 [N, 1].

    The draw is the first index whose cumulated probability is greater than the number.
    """
    cumulated = torch.cumsum(probs, -1)
    drawn = (cumulated <= pre_generated_randoms).to(torch.int64).sum(-1, keepdim=True)
    return drawn.clamp(max=probs.shape[-1] - 1)


def sn_reduce(input: torch.Tensor, dim: int | Iterable[int], fn: str) -> torch.Tensor:
    """`input` reduced over the dims `dim`, which go away; `fn` is a name of `functional.stir.REDUCTIONS`."""
    from sambaflow.samba.functional.stir import reduction

    rank = max(input.dim(), 1)
    dims = sorted({d % rank for d in ([dim] if isinstance(dim, int) else dim)})
    kept = reduction(fn)(input, dims)
    return kept.reshape([size for axis, size in enumerate(input.shape) if axis not in dims])
