# SPDX-License-Identifier: Apache-2.0
"""The tables that map ATen ops to rows of src/ir/traced.def, by family. Importing them fills `call.HANDLERS`."""

from sambaflow._trace.ops import (
    composed,
    elementwise,
    gradients,
    grid,
    histogram,
    index,
    linalg,
    nn,
    norms,
    order,
    pooling,
    random,
    recurrent,
    reduce,
    resize,
    shape,
    signs,
    special,
)

__all__ = [
    "composed", "elementwise", "gradients", "grid", "histogram", "index", "linalg", "nn", "norms", "order", "pooling",
    "random", "recurrent", "reduce", "resize", "shape", "signs", "special",
]  # fmt: skip
