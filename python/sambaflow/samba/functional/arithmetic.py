# SPDX-License-Identifier: Apache-2.0

"""Arithmetic element by element, and activations."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F

from sambaflow.samba.functional._names import export, joined


def add(input: Any, other: Any, alpha: float = 1, out: Any = None) -> Any:
    """`input + alpha * other`. `out` works on host tensors only."""
    return torch.add(input, other, alpha=alpha, out=out) if out is not None else torch.add(input, other, alpha=alpha)


_TORCH = export(
    globals(),
    torch,
    "abs acos addcdiv addcmul asin atan atan2 ceil clamp cos cosh div erf erfc exp expm1 floor floor_divide fmod lerp "
    "log log10 log1p log2 maximum minimum mul neg pow reciprocal remainder round rsqrt sigmoid sign sin sinh sqrt "
    "square sub subtract tan tanh true_divide trunc",
)
_FUNCTIONAL = export(
    globals(),
    F,
    "celu dropout dropout2d elu gelu hardsigmoid hardswish hardtanh leaky_relu logsigmoid mish prelu relu relu6 selu "
    "silu softplus",
)
__all__ = joined(_TORCH, _FUNCTIONAL, ["add"])
