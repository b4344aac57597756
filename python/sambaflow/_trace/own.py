# SPDX-License-Identifier: Apache-2.0
"""Ops that are SambaFlow's own: torch has none for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from sambaflow._trace.graph import Attr, Type, Value
from sambaflow._trace.tensor import TracedTensor
from sambaflow._trace.tracer import Tracer


def addmm_transposed(tracer: Tracer, bias: Any, mat1: Any, mat2: Any, beta: float, alpha: float) -> TracedTensor:
    """`samba.addmm` with a transposed second matrix, which torch has no op for."""
    shape = (*mat1.shape[:-1], mat2.shape[-2])
    operands = [tracer.value(t) for t in (bias, mat1, mat2)]
    attrs: dict[str, Attr] = {"alpha": alpha, "beta": beta, "transposed": 1}
    return _record(tracer, "addmm", operands, attrs, (operands[1].dtype, shape))


def triu_fill(tracer: Tracer, tensor: Any, value: float) -> TracedTensor:
    """`samba.triu_fill`."""
    source = tracer.value(tensor)
    return _record(tracer, "triu_fill", [source], {"value": value}, source.type)


def dequantize(tracer: Tracer, weight: Any, scale: Any) -> TracedTensor:
    """Integers [n, k] times their scale [n], under the name `dequantize`."""
    with tracer.calling("dequantize"), torch._C.DisableTorchFunctionSubclass():
        integers, factor = tracer.value(weight), tracer.value(scale)
        shape = (*factor.shape, 1)
        wide = tracer.cast(integers, factor.dtype)
        column = tracer.emit("reshape", [factor], {"shape": shape}, [(factor.dtype, shape)])[0]
        result = tracer.name_results(tracer.wrap(tracer.emit("mul", [wide, column], {}, [wide.type])[0]))
    name = tracer.call_name_of(result.value)
    if name is not None and integers.op.name == factor.op.name == "symbol":
        tracer.dequantized[name] = (str(integers.op.attrs["name"]), str(factor.op.attrs["name"]))
    return result


def _record(
    tracer: Tracer, row: str, operands: Sequence[Value], attrs: Mapping[str, Attr], result: Type
) -> TracedTensor:
    with tracer.calling(row), torch._C.DisableTorchFunctionSubclass():
        return tracer.name_results(tracer.wrap(tracer.emit(row, operands, attrs, [result])[0]))
