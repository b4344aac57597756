# SPDX-License-Identifier: Apache-2.0
"""Operators under their torch names, and those that SambaFlow has and torch has not.

An operator of torch is torch's own function: it takes SambaTensors, and is recorded while a model is traced.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F

from sambaflow._trace import current
from sambaflow._trace.tensor import TracedTensor

# Names that are torch's own functions.
TORCH_NAMES = tuple(
    "abs add argmax argmin amax amin bitwise_and bitwise_not bitwise_or bmm cat chunk clamp cos cumsum div einsum eq "
    "erf exp flatten floor gather ge gt index_select le log logical_and logical_not logical_or logical_xor lt "
    "masked_fill matmul max maximum mean min minimum mul ne neg permute pow reciprocal repeat_interleave reshape round "
    "rsqrt scatter sigmoid sign sin softmax split sqrt square squeeze stack sub sum tanh topk transpose tril triu "
    "unsqueeze where".split()
)
FUNCTIONAL_NAMES = tuple(
    "binary_cross_entropy binary_cross_entropy_with_logits conv1d conv2d conv3d cross_entropy dropout embedding gelu "
    "interpolate l1_loss layer_norm leaky_relu linear log_softmax max_pool2d mse_loss nll_loss one_hot pad relu "
    "scaled_dot_product_attention silu".split()
)

for _name in TORCH_NAMES:
    globals()[_name] = getattr(torch, _name)
for _name in FUNCTIONAL_NAMES:
    globals()[_name] = getattr(F, _name)


def addmm(
    input: Any, mat1: Any, mat2: Any, *, beta: float = 1, alpha: float = 1, out: Any = None, is_transposed: bool = False
) -> Any:
    """beta * input + alpha * (mat1 @ mat2), where `mat1` may have batch dims; with `is_transposed` mat1 @ mat2.T."""
    if out is not None:
        raise ValueError("addmm: out= is not supported; assign the result instead")
    if is_transposed:
        tracer = current()
        if tracer is not None:
            return tracer.record_addmm(input, mat1, mat2, float(beta), float(alpha))
        mat2 = mat2.transpose(-2, -1)
    product = torch.matmul(mat1, mat2)
    return (input if beta == 1 else input * beta) + (product if alpha == 1 else product * alpha)


def triu_fill(input: Any, value: float) -> Any:
    """`input` with everything strictly above the main diagonal of the last two dims set to `value`."""
    tracer = current()
    if tracer is not None and isinstance(tracer.lookup(input), TracedTensor):
        return tracer.record_triu_fill(input, float(value))
    above = torch.ones(input.shape[-2:], dtype=torch.bool).triu(1)
    return input.masked_fill(above, value)


__all__ = [*TORCH_NAMES, *FUNCTIONAL_NAMES, "addmm", "triu_fill"]
