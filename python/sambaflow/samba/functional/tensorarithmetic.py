# SPDX-License-Identifier: Apache-2.0

"""Products of matrices, convolutions, running sums, attention, normalisation."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F

from sambaflow._trace import own
from sambaflow._trace.tracer import current
from sambaflow.samba.functional._names import export, joined

_TORCH = export(globals(), torch, "baddbmm bmm cumprod cumsum dot einsum matmul mm mv outer")
_FUNCTIONAL = export(
    globals(),
    F,
    "avg_pool2d batch_norm bilinear conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d "
    "group_norm instance_norm interpolate layer_norm linear max_pool1d max_pool2d max_pool3d normalize "
    "scaled_dot_product_attention",
)


def addmm(
    input: Any, mat1: Any, mat2: Any, *, beta: float = 1, alpha: float = 1, out: Any = None, is_transposed: bool = False
) -> Any:
    """beta * input + alpha * (mat1 @ mat2), where `mat1` may have batch dims; with `is_transposed` mat1 @ mat2.T."""
    if out is not None:
        raise ValueError("addmm: out= is not supported; assign the result instead")
    if is_transposed:
        tracer = current()
        if tracer is not None:
            return own.addmm_transposed(tracer, input, mat1, mat2, float(beta), float(alpha))
        mat2 = mat2.transpose(-2, -1)
    product = torch.matmul(mat1, mat2)
    return (input if beta == 1 else input * beta) + (product if alpha == 1 else product * alpha)


__all__ = joined(_TORCH, _FUNCTIONAL, ["addmm"])
