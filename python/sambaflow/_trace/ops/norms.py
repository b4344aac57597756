# SPDX-License-Identifier: Apache-2.0
"""Batch norms that give the statistics of the batch, too, and losses of a linear layer, as one op each in PyTorch."""

from __future__ import annotations

from typing import Any

import torch

from sambaflow._trace.ops.composed import composes

Optional = torch.Tensor | None


def _statistics(x: torch.Tensor, eps: float, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and inverse deviation of each channel."""
    wide = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
    variance, mean = torch.var_mean(wide.detach(), [axis for axis in range(x.dim()) if axis != 1], correction=0)
    return mean.to(dtype), torch.rsqrt(variance + eps).to(dtype)


@composes("native_batch_norm")
def _native(
    x: torch.Tensor, weight: Optional, bias: Optional, mean: Optional, var: Optional, training: bool, momentum: float,
    eps: float,
) -> tuple[torch.Tensor, ...]:  # fmt: skip
    """The statistics are empty where those of the batch are not used."""
    dtype = next((t.dtype for t in (weight, mean) if t is not None), x.dtype)
    y = torch.batch_norm(x, weight, bias, mean, var, training, momentum, eps, False)
    none = torch.zeros(0, dtype=dtype)
    return y, *(_statistics(x, eps, dtype) if training else (none, none))


@composes("_native_batch_norm_legit")
def _legit(x: torch.Tensor, weight: Optional, bias: Optional, *rest: Any) -> tuple[torch.Tensor, ...]:
    """With running statistics or without."""
    return _native(x, weight, bias, *(rest if len(rest) == 5 else (None, None, *rest)))


@composes("_native_batch_norm_legit_no_training")
def _without_training(x: torch.Tensor, *arguments: Any) -> tuple[torch.Tensor, ...]:
    return _native(x, *arguments[:4], False, *arguments[4:])


@composes("_batch_norm_with_update")
def _with_update(x: torch.Tensor, *arguments: Any) -> tuple[torch.Tensor, ...]:
    """The last result is what PyTorch keeps for libraries of other devices."""
    return *_native(x, *arguments[:4], True, *arguments[4:]), torch.zeros(0, dtype=torch.uint8)


@composes("_batch_norm_no_update")
def _without_update(x: torch.Tensor, *arguments: Any) -> tuple[torch.Tensor, ...]:
    return *_native(x, *arguments[:4], False, *arguments[4:]), torch.zeros(0, dtype=torch.uint8)


def _linear_loss(
    x: torch.Tensor, matrix: torch.Tensor, target: torch.Tensor, bias: Optional, weight: Optional, **options: Any
) -> torch.Tensor:
    """Narrow logits are not rounded."""
    wide = torch.float32 if x.dtype in (torch.bfloat16, torch.float16) else x.dtype
    logits = torch.nn.functional.linear(x.to(wide), matrix.to(wide), None if bias is None else bias.to(wide))
    loss = torch.nn.functional.cross_entropy(logits, target, None if weight is None else weight.to(wide), **options)
    return loss.to(x.dtype)


@composes("torch_nn::_linear_cross_entropy_batch_chunked")
def _linear_cross_entropy(
    x: torch.Tensor, matrix: torch.Tensor, target: torch.Tensor, bias: Optional, weight: Optional, reduction: str,
    ignore_index: int, label_smoothing: float, *_: Any,
) -> tuple[torch.Tensor, ...]:  # fmt: skip
    """How large chunks are is for the compiler to decide. Nobody but PyTorch's own backward looks at the gradients."""
    loss = _linear_loss(
        x, matrix, target, bias, weight, reduction=reduction, ignore_index=ignore_index, label_smoothing=label_smoothing
    )
    none = torch.zeros(0, 0, dtype=x.dtype)
    return loss, none, none, none[0:0].flatten()


@composes("torch_nn::_linear_cross_entropy_batch_chunked_no_reduction")
def _linear_cross_entropies(
    x: torch.Tensor, matrix: torch.Tensor, target: torch.Tensor, bias: Optional, weight: Optional, ignore_index: int,
    *_: Any,
) -> torch.Tensor:  # fmt: skip
    return _linear_loss(x, matrix, target, bias, weight, reduction="none", ignore_index=ignore_index)
