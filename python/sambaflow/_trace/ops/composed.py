# SPDX-License-Identifier: Apache-2.0
"""ATen ops written in other torch ops, where torch has no decomposition of its own.

Each function takes the arguments of the op's schema and computes with torch functions, which are recorded as they
run. Shapes are static; everything else may depend on values.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from sambaflow._trace import custom
from sambaflow._trace.errors import TraceError
from sambaflow._trace.tensor import TracedTensor
from sambaflow._trace.tracer import current

Number = int | float
COMPOSED: dict[str, Callable[..., Any]] = {}
# Functions of torch that look at values, by the function itself: called in place of it.
FUNCTIONS: dict[Callable[..., Any], Callable[..., Any]] = {}
_MINUS_INFINITY = -1e30  # of log probabilities: finite, so that gradients at impossible places are 0 and not NaN


def apply_own(function: type[torch.autograd.Function], *args: Any) -> Any:
    """`function.apply(*args)` inside an op."""
    tracer = current()
    assert tracer is not None
    return custom.apply(tracer, function, args)


def composes(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Registers a decomposition for all overloads of the ops `names`, which are ATen's unless they say otherwise."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        for name in names:
            COMPOSED[name if "::" in name else f"aten::{name}"] = function
        return function

    return register


def operands(*items: torch.Tensor | Number) -> list[torch.Tensor]:
    """All as tensors of the floating dtype of the result."""
    dtype = torch.result_type(items[0], items[1]) if len(items) > 1 else items[0].dtype  # type: ignore[union-attr]
    dtype = dtype if dtype.is_floating_point else torch.get_default_dtype()
    return [item.to(dtype) if isinstance(item, torch.Tensor) else torch.tensor(item, dtype=dtype) for item in items]


def expect(holds: bool, text: str) -> None:
    """Refuses, as eager mode does, what a composition would take."""
    if not holds:
        tracer = current()
        raise RuntimeError(text if tracer is None else f"{tracer.scope.source()}: {text}")


# ---- order statistics


def of_rank(x: torch.Tensor, rank: int, dim: int, keepdim: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """The element number `rank` along `dim` in ascending order, and its index."""
    size = x.shape[dim] if x.dim() > 0 else 1
    expect(0 <= rank < size, f"element {rank + 1} in ascending order of {size}")
    if x.dim() == 0:
        return x, torch.zeros((), dtype=torch.int64)
    values, indices = torch.sort(x, dim)
    pair = (values.select(dim, rank), indices.select(dim, rank))
    return (pair[0].unsqueeze(dim), pair[1].unsqueeze(dim)) if keepdim else pair


@composes("kthvalue")
def _kthvalue(x: torch.Tensor, k: int, dim: int = -1, keepdim: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    return of_rank(x, k - 1, dim, keepdim)


# ---- scatter


@composes("scatter_reduce")
def _scatter_reduce(
    x: torch.Tensor, dim: int, index: torch.Tensor, src: torch.Tensor, reduce: str, *, include_self: bool = True
) -> torch.Tensor:
    """The forms that no row has: a mean, results without the elements of `x` that are written, and products whose
    gradient is wanted."""
    if not include_self:
        x = x.scatter(dim, index, _neutral(reduce, x.dtype))
    if reduce == "prod" and x.is_floating_point():
        return apply_own(_ScatteredProduct, x, dim, index, src)
    if reduce != "mean":
        return x.scatter_reduce(dim, index, src, reduce)
    start = torch.ones_like(x) if include_self else torch.ones_like(x).scatter(dim, index, 0)
    count = start.scatter_add(dim, index, torch.ones_like(src)).clamp(min=1)
    total = x.scatter_add(dim, index, src)
    return total / count if x.is_floating_point() else total.div(count, rounding_mode="floor")


class _ScatteredProduct(torch.autograd.Function):
    """A product with the gradient of torch, which is finite where factors are 0."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, dim: int, index: torch.Tensor, src: torch.Tensor) -> torch.Tensor:
        result = x.scatter_reduce(dim, index, src, "prod")
        ctx.dim = dim
        ctx.save_for_backward(x, index, src, result)
        return result

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        x, index, src, result = ctx.saved_tensors
        dim = ctx.dim
        src = src[tuple(slice(0, size) for size in index.shape)]  # torch reads the leading part
        others = torch.where(x == 0, 1.0, x)
        grad_x = grad * others.scatter_reduce(dim, index, src, "prod") / others
        is_zero = src == 0
        zeros = torch.zeros_like(x).scatter_add(dim, index, is_zero.to(x.dtype)).gather(dim, index)
        alone = is_zero & (zeros == 1)
        product = x.scatter_reduce(dim, index, torch.where(alone, 1.0, src), "prod")
        grad_src = (grad * result).gather(dim, index) / torch.where(is_zero, 1.0, src)
        return grad_x, None, None, torch.where(alone, (grad * product).gather(dim, index), grad_src)


def _neutral(reduce: str, dtype: torch.dtype) -> float:
    if reduce in ("sum", "mean", "prod"):
        return float(reduce == "prod")
    if dtype == torch.bool:
        return float(reduce == "amin")
    if dtype.is_floating_point:
        return -torch.inf if reduce == "amax" else torch.inf
    limits = torch.iinfo(dtype)
    return limits.min if reduce == "amax" else limits.max


@composes("index_reduce")
def _index_reduce(
    x: torch.Tensor, dim: int, index: torch.Tensor, source: torch.Tensor, reduce: str, *, include_self: bool = True
) -> torch.Tensor:
    """A scatter whose index is the same all along the other dims."""
    if x.dim() == 0:
        x, index, source = x.unsqueeze(0), index.reshape(1), source.reshape(1)
        return torch.index_reduce(x, 0, index, source, reduce, include_self=include_self).squeeze(0)
    shape = [-1 if axis == dim % x.dim() else 1 for axis in range(x.dim())]
    places = index.long().reshape(shape).expand(source.shape)
    return x.scatter_reduce(dim, places, source, reduce, include_self=include_self)


@composes("put")
def _put(x: torch.Tensor, index: torch.Tensor, source: torch.Tensor, accumulate: bool = False) -> torch.Tensor:
    flat = x.flatten().index_put((index.flatten(),), source.flatten(), accumulate)
    return flat.view(x.shape)


@composes("copy")
def _copy(x: torch.Tensor, source: torch.Tensor, non_blocking: bool = False) -> torch.Tensor:
    return source.to(x.dtype).expand(x.shape).clone()


def _scattered(view: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """A copy of x whose part that `view` gives is `source`."""

    def scatter(x: torch.Tensor, source: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        result = x.clone()
        view(result, *args, **kwargs).copy_(source)
        return result

    return scatter


composes("diagonal_scatter")(_scattered(torch.diagonal))
composes("as_strided_scatter")(_scattered(torch.as_strided))


@composes("masked_scatter")
def _masked_scatter(x: torch.Tensor, mask: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    """The elements of `source` one after the other where the mask is true. A run refuses too few of them."""
    x, mask = torch.broadcast_tensors(x, mask)
    if source.numel() == 0:  # the index is out of range where anything is masked
        return torch.where(mask, torch.zeros(1, dtype=x.dtype)[mask.long()], x)
    place = mask.flatten().long().cumsum(0) - 1
    place = torch.where(mask.flatten(), place, 0).view(x.shape)
    return torch.where(mask, source.flatten()[place], x)


def _common_dtype(tensors: Sequence[torch.Tensor]) -> torch.dtype:
    """That of torch's rules for all together: tensors without dims count for their category alone."""
    whole = [t.dtype for t in tensors if t.dim() > 0]
    single = [t.dtype for t in tensors if t.dim() == 0]
    if not whole or not single:
        return functools.reduce(torch.promote_types, whole or single)
    kinds = [functools.reduce(torch.promote_types, dtypes) for dtypes in (whole, single)]
    return torch.result_type(
        torch.empty(1, dtype=kinds[0], device="meta"), torch.empty((), dtype=kinds[1], device="meta")
    )


@composes("block_diag")
def _block_diag(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """The blocks one below the other, each behind the columns of those before it; what has no rows is one row."""
    dtype = _common_dtype(tensors)
    blocks = [t.to(dtype).reshape(1, -1) if t.dim() < 2 else t.to(dtype) for t in tensors]
    left, width, rows = 0, sum(block.shape[1] for block in blocks), []
    for block in blocks:
        rows.append(torch.nn.functional.pad(block, (left, width - left - block.shape[1])))
        left += block.shape[1]
    return torch.cat(rows)


@composes("repeat_interleave")
def _repeat_interleave(
    x: torch.Tensor, repeats: torch.Tensor | None = None, dim: int | None = None, *, output_size: int | None = None
) -> torch.Tensor:
    """Each piece along `dim` as often as `repeats` says; how many there are in all must be known."""
    if repeats is None:  # repeat_interleave(repeats): the places themselves
        x, repeats = torch.arange(x.shape[0]), x
    if isinstance(repeats, TracedTensor):
        if output_size is None:
            raise TraceError("repeat_interleave: the shape of its result depends on values; pass output_size")
        count = output_size
    else:
        count = int(repeats.sum()) * (1 if repeats.numel() > 1 else x.numel() if dim is None else x.shape[dim])
    flat, along = (x.flatten(), 0) if dim is None else (x, dim)
    ends = repeats.reshape(-1).expand(flat.shape[along]).cumsum(0)
    return flat.index_select(along, (torch.arange(count).unsqueeze(1) >= ends).sum(1))


@composes("index_fill")
def _index_fill(x: torch.Tensor, dim: int, index: torch.Tensor, value: Any) -> torch.Tensor:
    hit = torch.zeros(x.shape[dim] if x.dim() else 1, dtype=torch.bool).index_put((index,), torch.tensor(True))
    shape = [-1 if axis == dim % max(x.dim(), 1) else 1 for axis in range(x.dim())]
    return torch.where(hit.view(shape), torch.as_tensor(value, dtype=x.dtype), x)


@composes("fill_diagonal_")
def _fill_diagonal_(x: torch.Tensor, fill_value: float, wrap: bool = False) -> None:
    if x.dim() != 2 or (wrap and x.shape[0] > x.shape[1]):
        raise TraceError("fill_diagonal_: only matrices, without wrapping; write through torch.diagonal instead")
    x.diagonal().fill_(fill_value)


# ---- embeddings


class _ByFrequency(torch.autograd.Function):
    """Rows of an embedding whose gradient is divided by how often their index occurs."""

    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor, indices: torch.Tensor, count: int) -> torch.Tensor:
        ctx.count = count
        ctx.save_for_backward(indices)
        return rows.view_as(rows)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        (indices,) = ctx.saved_tensors
        flat = indices.reshape(-1)
        often = torch.zeros(ctx.count, dtype=grad.dtype).index_add(0, flat, torch.ones(flat.shape, dtype=grad.dtype))
        return grad / often[flat].view(*indices.shape, 1), None, None


def scaled_by_frequency(rows: torch.Tensor, indices: torch.Tensor, count: int) -> torch.Tensor:
    """`rows` [.., E] of an embedding of `count` rows at `indices` [..], with scale_grad_by_freq."""
    return apply_own(_ByFrequency, rows, indices, count)


@composes("embedding_renorm_")
def _embedding_renorm_(weight: torch.Tensor, indices: torch.Tensor, max_norm: float, norm_type: float) -> None:
    """The rows of `weight` that are asked for, scaled down to `max_norm` where they are longer."""
    norms = weight.norm(norm_type, dim=1, keepdim=True)
    flat = indices.reshape(-1)
    asked = torch.zeros(weight.shape[0], dtype=torch.int64).index_add(0, flat, torch.ones_like(flat)) > 0
    long = asked.unsqueeze(1) & (norms > max_norm)
    weight.copy_(torch.where(long, weight * (max_norm / (norms + 1e-7)), weight))


@composes("embedding_bag")
def _embedding_bag_from_end(weight: torch.Tensor, *arguments: Any, padding_idx: int | None = None, **rest: Any) -> Any:
    """A negative `padding_idx` counts from the end here; in the ops that torch makes of this one it means none."""
    if len(arguments) == 8:
        *arguments, padding_idx = arguments  # type: ignore[assignment]
    place = -1 if padding_idx is None else padding_idx % weight.shape[0]
    return _embedding_bag(weight, *arguments, padding_idx=place, **rest)


@composes("_embedding_bag", "_embedding_bag_forward_only")
def _embedding_bag(
    weight: torch.Tensor, indices: torch.Tensor, offsets: torch.Tensor, scale_grad_by_freq: bool = False, mode: int = 0,
    sparse: bool = False, per_sample_weights: torch.Tensor | None = None, include_last_offset: bool = False,
    padding_idx: int = -1,
) -> tuple[torch.Tensor, ...]:  # fmt: skip
    """Sum (0), mean (1) or max (2) of the rows of each bag; bag i starts at offsets[i]."""
    if scale_grad_by_freq:  # torch on a CPU divides by the frequency of another index
        raise TraceError("embedding_bag: scale_grad_by_freq=True cannot be compiled; use nn.Embedding and a sum")
    if include_last_offset:
        offsets = offsets[:-1]
    rows = torch.nn.functional.embedding(indices, weight)
    counted = torch.ones(indices.shape, dtype=weight.dtype)
    if padding_idx >= 0:
        counted = (indices != padding_idx).to(weight.dtype)
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.unsqueeze(1)
    bag = (torch.arange(indices.shape[0]).unsqueeze(1) >= offsets).sum(1) - 1
    count = torch.zeros(offsets.shape[0], dtype=weight.dtype).index_add(0, bag, counted).unsqueeze(1)
    result = torch.zeros(offsets.shape[0], weight.shape[1], dtype=weight.dtype)
    if mode == 2:
        rows = torch.where(counted.unsqueeze(1) > 0, rows, -torch.inf)
        result = torch.full_like(result, -torch.inf).scatter_reduce(0, bag.unsqueeze(1).expand_as(rows), rows, "amax")
        result = torch.where(count > 0, result, 0.0)
    else:
        result = result.index_add(0, bag, rows * counted.unsqueeze(1))
        result = result / count.clamp(min=1) if mode == 1 else result
    return result, bag, count.squeeze(1).to(torch.int64), torch.zeros(0, dtype=torch.int64)


@composes("soft_margin_loss")
def _soft_margin_loss(x: torch.Tensor, target: torch.Tensor, reduction: int = 1) -> torch.Tensor:
    """In the dtype of x, whatever the target's, as eager mode has it."""
    from torch._decomp.decompositions import soft_margin_loss

    return soft_margin_loss(x, target, reduction).to(x.dtype)


# ---- connectionist temporal classification


@composes("ctc_loss")
def _ctc_loss(
    log_probs: torch.Tensor, targets: torch.Tensor, input_lengths: Any, target_lengths: Any, blank: int = 0,
    reduction: int = 1, zero_infinity: bool = False,
) -> torch.Tensor:  # fmt: skip
    """The forward recursion over time; log_probs [T, N, C], or [T, C] without batch. In double precision: sums over
    time are large, and gradients are their exponentials."""
    batched, dtype = log_probs.dim() == 3, log_probs.dtype
    log_probs = (log_probs if batched else log_probs.unsqueeze(1)).double()
    steps, batch = log_probs.shape[:2]
    lengths = (n if isinstance(n, torch.Tensor) else torch.tensor(n) for n in (input_lengths, target_lengths))
    input_lengths, target_lengths = (n.reshape(-1) for n in lengths)
    targets = _padded_targets(targets, target_lengths, batch)
    blanks = torch.full((batch, targets.shape[1]), blank, dtype=targets.dtype)
    labels = torch.cat([torch.stack([blanks, targets], 2).flatten(1), blanks[:, :1]], 1)  # blanks around each target
    scores = log_probs.gather(2, labels.expand(steps, -1, -1))
    skips = (labels[:, 2:] != blank) & (labels[:, 2:] != labels[:, :-2])
    never = torch.full((batch, labels.shape[1]), _MINUS_INFINITY, dtype=log_probs.dtype)
    alpha = torch.cat([scores[0, :, :2], never[:, 2:]], 1)
    for step in range(1, steps):
        one = torch.cat([never[:, :1], alpha[:, :-1]], 1)
        two = torch.cat([never[:, :2], torch.where(skips, alpha[:, :-2], _MINUS_INFINITY)], 1)
        moved = torch.logsumexp(torch.stack([alpha, one, two]), 0) + scores[step]
        alpha = torch.where((input_lengths > step).unsqueeze(1), moved, alpha)
    last = 2 * target_lengths.long().unsqueeze(1)
    ends = torch.cat([alpha.gather(1, last), alpha.gather(1, (last - 1).clamp(min=0))], 1)
    ends = torch.where(torch.cat([last >= 0, last > 0], 1), ends, _MINUS_INFINITY)
    loss = -torch.logsumexp(ends, 1) + _mass_gradient(log_probs, input_lengths)
    loss = torch.where(loss > -_MINUS_INFINITY / 2, 0.0 if zero_infinity else torch.inf, loss)
    loss = loss.to(dtype)
    if reduction == 1:
        return (loss / target_lengths.clamp(min=1)).mean()
    return loss.sum() if reduction == 2 else loss if batched else loss.squeeze(0)


def _mass_gradient(log_probs: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Zeros [N] with the gradient exp(log_probs): torch's gradient is that of probabilities which sum to one."""
    within = (torch.arange(log_probs.shape[0]).unsqueeze(1) < lengths).unsqueeze(2)
    mass = torch.where(within, log_probs.exp(), 0.0).sum((0, 2))
    return mass - mass.detach()


def _padded_targets(targets: torch.Tensor, lengths: torch.Tensor, batch: int) -> torch.Tensor:
    """Targets as [N, S]; joined ones are taken apart by their lengths, which then must be known."""
    if targets.dim() == 2:
        return targets
    if isinstance(lengths, TracedTensor):
        raise TraceError("ctc_loss: joined targets need lengths that are constants; pass targets as [N, S] instead")
    width = int(lengths.max()) if len(lengths) else 0
    starts = lengths.cumsum(0) - lengths
    places = (starts.unsqueeze(1) + torch.arange(width)).clamp(max=max(0, targets.shape[0] - 1))
    return targets[places.reshape(-1)].view(batch, width)


# ---- where torch's own decomposition differs from what it decomposes


@composes("_safe_softmax")
def _safe_softmax(x: torch.Tensor, dim: int, dtype: torch.dtype | None = None) -> torch.Tensor:
    """Rows that are -inf throughout give 0, and get a gradient of 0."""
    x = x if dtype is None else x.to(dtype)
    hidden = (x == -torch.inf).all(dim, keepdim=True)
    return torch.where(hidden, 0.0, torch.softmax(torch.where(hidden, 0.0, x), dim))


class _Counted(torch.autograd.Function):
    """Those of `x` that count, 0 for the others. Torch multiplies with their slope, 0: a gradient of NaN stays one."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(counts)
        return torch.where(counts, x, 0.0)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        (counts,) = ctx.saved_tensors
        return grad * counts.to(grad.dtype), None


@composes("multi_margin_loss")
def _multi_margin_loss(
    x: torch.Tensor, target: torch.Tensor, p: float = 1, margin: float = 1, weight: torch.Tensor | None = None,
    reduction: int = 1,
) -> torch.Tensor:  # fmt: skip
    """Margins that are not positive, NaN among them, count for nothing and have no gradient."""
    rows, labels = torch.atleast_2d(x), target.reshape(-1, 1)
    margins = margin - rows.gather(1, labels) + rows
    counts = (margins > 0) & (torch.arange(rows.shape[1]) != labels)
    powers = margins if p == 1 else margins * margins
    powers = powers if weight is None else powers * weight[labels]
    loss = apply_own(_Counted, powers, counts).sum(1) / rows.shape[1]
    return loss.mean() if reduction == 1 else loss.sum() if reduction == 2 else loss.reshape(x.shape[:-1])


@composes("multilabel_margin_loss")
def _multilabel_margin_loss(x: torch.Tensor, target: torch.Tensor, reduction: int = 1) -> Any:
    """Targets end at the first -1 of a row."""
    rows, labels = torch.atleast_2d(x), torch.atleast_2d(target)
    counted = (labels < 0).cumsum(1) == 0
    places = torch.where(labels == -1, 0, labels)  # all of them must be legal, as in torch
    is_target = torch.zeros_like(rows).scatter_add(1, places, counted.to(rows.dtype)) > 0
    chosen = rows.gather(1, places)
    margins = 1 - chosen.unsqueeze(2) + rows.unsqueeze(1)
    counts = (margins > 0) & counted.unsqueeze(2) & ~is_target.unsqueeze(1)
    loss = apply_own(_Counted, margins, counts).sum((1, 2)) / rows.shape[1]
    return loss.mean() if reduction == 1 else loss.sum() if reduction == 2 else loss.reshape(x.shape[:-1])


# ---- losses


def _gaussian_nll_loss(
    input: torch.Tensor, target: torch.Tensor, var: Any, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> torch.Tensor:
    """As torch's; where a variance is negative, at which torch stops, it is NaN."""
    expect(reduction in ("none", "mean", "sum"), f"{reduction} is not valid: a reduction is none, mean or sum")
    if not isinstance(var, torch.Tensor):
        var = torch.full_like(input, var)
    elif var.dim() == input.dim() - 1 and var.shape == input.shape[:-1]:
        var = var.unsqueeze(-1)
    fixed = var.detach()
    held = var + (fixed.clamp(min=eps) - fixed)  # the gradient goes past the clamp
    loss = 0.5 * (torch.log(held) + (input - target) ** 2 / held)
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    loss = torch.where((fixed < 0).any(), torch.nan, loss)
    return loss.mean() if reduction == "mean" else loss.sum() if reduction == "sum" else loss


FUNCTIONS[torch.nn.functional.gaussian_nll_loss] = _gaussian_nll_loss


# ---- random


@composes("rrelu")
def _rrelu(x: torch.Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, *_: Any) -> Any:
    expect(lower <= upper, f"rrelu has slopes from {lower} to {upper}")
    if not training:
        return torch.nn.functional.leaky_relu(x, (lower + upper) / 2)
    return torch.where(x <= 0, x * (torch.rand_like(x) * (upper - lower) + lower), x)


# ---- counts


@composes("histc")
def _histc(x: torch.Tensor, bins: int = 100, min: float = 0, max: float = 0) -> torch.Tensor:
    """How many elements lie in each of `bins` equal parts of [min, max]; both 0 (or equal): those of the elements."""
    low, high = (
        (x.min(), x.max()) if min == max else (torch.tensor(min, dtype=x.dtype), torch.tensor(max, dtype=x.dtype))
    )
    if min == max:
        alike = low == high
        low, high = torch.where(alike, low - 1, low), torch.where(alike, high + 1, high)
    within = ((x >= low) & (x <= high)).flatten()
    place = torch.where(within, ((x - low) * bins / (high - low)).flatten(), 0).long().clamp(max=bins - 1)
    return torch.zeros(bins, dtype=x.dtype).index_add(0, place, within.to(x.dtype))


@composes("cov")
def _cov(
    x: torch.Tensor, *, correction: int = 1, fweights: torch.Tensor | None = None, aweights: torch.Tensor | None = None
) -> torch.Tensor:
    """As eager mode has it, which looks whether weights are legal."""
    expect(x.dim() <= 2, f"cov takes two dims or fewer, not {x.dim()}")
    x = x.view(1, -1) if x.dim() < 2 else x
    weights = [w for w in (fweights, aweights) if w is not None]
    for w in weights:
        expect(w.dim() <= 1 and w.numel() == x.shape[1], f"cov: {x.shape[1]} observations, weights {list(w.shape)}")
    if not weights:
        shifted = x - (x.sum(1) / x.shape[1]).unsqueeze(1)
        return (shifted @ shifted.T).div(max(0, x.shape[1] - correction)).squeeze()
    weight = weights[0] if len(weights) == 1 else weights[0] * weights[1]
    total = weight.sum()
    lost = correction * (weight * aweights).sum() / total if aweights is not None and correction else correction
    shifted = x - ((x * weight).sum(1) / total).unsqueeze(1)
    return (shifted @ (shifted * weight).T).div((total - lost).clamp(min=0)).squeeze()


# ---- products of several


@composes("addbmm")
def _addbmm(
    x: torch.Tensor, batch1: torch.Tensor, batch2: torch.Tensor, *, beta: Any = 1, alpha: Any = 1
) -> torch.Tensor:
    """The products of a batch, added up: one product of what stands side by side. Factors of integers are integers."""
    beta, alpha = (n if x.is_floating_point() else int(n) for n in (beta, alpha))
    rows, columns = batch1.shape[1], batch2.shape[2]
    product = batch1.transpose(0, 1).reshape(rows, -1) @ batch2.reshape(-1, columns)
    product = product if alpha == 1 else product * alpha
    if beta == 0:  # x is not looked at, NaN or not
        return product
    return (x if beta == 1 else x * beta) + product


@composes("_cdist_forward", "_euclidean_dist")
def _cdist(x1: torch.Tensor, x2: torch.Tensor, p: float = 2, compute_mode: int | None = None) -> torch.Tensor:
    return torch.linalg.vector_norm(x1.unsqueeze(-2) - x2.unsqueeze(-3), p, -1)


@composes("_pdist_forward", "pdist")
def _pdist(x: torch.Tensor, p: float = 2) -> torch.Tensor:
    rows, columns = torch.triu_indices(x.shape[0], x.shape[0], 1)
    return torch.linalg.vector_norm(x[rows] - x[columns], p, -1)


@composes("_grouped_mm", "transformers::grouped_mm_fallback")
def _grouped_mm(
    x: torch.Tensor, weights: torch.Tensor, offs: torch.Tensor | None = None, bias: torch.Tensor | None = None,
    out_dtype: torch.dtype | None = None,
) -> torch.Tensor:  # fmt: skip
    """x [S, K] times weights [G, K, N]: the rows up to offs[0] by the first, up to offs[1] by the second, ..."""
    if x.dim() == weights.dim() == 3 and offs is None:
        result = torch.bmm(x, weights)
    elif x.dim() != 2 or weights.dim() != 3 or offs is None:
        raise TraceError("grouped_mm: only a matrix by a stack of matrices, with offsets")
    else:
        group = (torch.arange(x.shape[0]).unsqueeze(1) >= offs).sum(1, keepdim=True)
        result = torch.zeros(x.shape[0], weights.shape[2], dtype=x.dtype)
        for index in range(weights.shape[0]):
            result = torch.where(group == index, x @ weights[index], result)
    result = result if bias is None else result + bias
    return result if out_dtype is None else result.to(out_dtype)


@composes("_trilinear")
def _trilinear(
    i1: torch.Tensor,
    i2: torch.Tensor,
    i3: torch.Tensor,
    expand1: Sequence[int],
    expand2: Sequence[int],
    expand3: Sequence[int],
    sumdim: Sequence[int],
    unroll_dim: int = 1,
) -> torch.Tensor:
    """What F.bilinear is made of: a product over shared axes, each factor spread along axes of its own, then a sum.
    Narrow factors are multiplied, and added up, in float32."""
    factors = []
    for factor, axes in ((i1, expand1), (i2, expand2), (i3, expand3)):
        for axis in axes:
            factor = torch.unsqueeze(factor, axis)
        factors.append(factor.float() if factor.dtype in (torch.bfloat16, torch.float16) else factor)
    return torch.sum(factors[0] * factors[1] * factors[2], list(sumdim)).to(i1.dtype)
