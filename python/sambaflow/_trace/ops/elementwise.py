# SPDX-License-Identifier: Apache-2.0
"""Unary, binary and ternary maps. Operands are cast to torch's result type here; rows never promote."""

from __future__ import annotations

from typing import Any

import torch

from sambaflow._base.library import unary_ops
from sambaflow._trace.call import Call, handles
from sambaflow._trace.graph import Value
from sambaflow._trace.tensor import as_meta

# Rows of the same name that ask a question: the operand keeps its dtype, the result is bool.
_QUESTIONS = "logical_not isnan isinf isfinite".split()
# Rows of the same name whose operand has the dtype of the result (integers become floats where torch says so): those
# that libleat says are one scalar function, but for those that have a handler of their own, and some activations.
_UNARY = [row for row in unary_ops() if row not in ("round", *_QUESTIONS)]
_UNARY += "square relu silu hardsigmoid hardswish mish".split()
# ATen name -> row, both operands in the dtype of the result.
_BINARY = {
    name: name
    for name in "mul maximum minimum remainder fmod atan2 bitwise_and bitwise_or bitwise_xor bitwise_left_shift "
    "bitwise_right_shift".split()
} | {"__and__": "bitwise_and", "__or__": "bitwise_or", "__xor__": "bitwise_xor", "__lshift__": "bitwise_left_shift",
     "__rshift__": "bitwise_right_shift"}  # fmt: skip
_COMPARISONS = "eq ne lt le gt ge".split()
_LOGICAL = "logical_and logical_or logical_xor".split()
# Names torch keeps for compatibility, which decompose on some builds only.
_ALIASES = {"negative": "neg", "absolute": "abs", "fix": "trunc", "multiply": "mul",
            "arctan2": "atan2", "special_expit": "sigmoid"}  # fmt: skip
for _row in _UNARY:
    _ALIASES |= {name: _row for name in (f"special_{_row}", f"arc{_row[1:]}") if hasattr(torch.ops.aten, name)}


def _unary(c: Call, x: Any) -> Value:
    row = _ALIASES.get(c.name, c.name)
    return c.emit(row, [c.operand(x, c.out.dtype)])


def _question(c: Call, x: Any, **_: Any) -> Value:
    return c.emit(c.name, [c.value(x)])


def _binary(c: Call, x: Any, other: Any, **_: Any) -> Value:
    row = _BINARY[_ALIASES.get(c.name, c.name)]
    return c.emit(row, [c.operand(x, c.out.dtype), c.operand(other, c.out.dtype)])


def _comparison(c: Call, x: Any, other: Any, **_: Any) -> Value:
    dtype = _result_type(c, x, other)
    return c.emit(c.name, [c.operand(x, dtype), c.operand(other, dtype)])


def _logical(c: Call, x: Any, other: Any, **_: Any) -> Value:
    return c.emit(c.name, [c.operand(x, torch.bool), c.operand(other, torch.bool)])


def _result_type(c: Call, *items: Any) -> torch.dtype:
    """Torch's result type; tensors of rank 0 and numbers weigh less there."""
    return torch.result_type(*[as_meta(item) for item in items])


handles(*_UNARY, *[a for a, row in _ALIASES.items() if row in _UNARY])(_unary)
handles(*_QUESTIONS)(_question)
handles(*_BINARY, *[a for a, row in _ALIASES.items() if row in _BINARY])(_binary)
handles(*_COMPARISONS)(_comparison)
handles(*_LOGICAL)(_logical)


@handles("add", "sub", "rsub")
def _add(c: Call, x: Any, other: Any, alpha: float = 1, **_: Any) -> Value:
    second = c.operand(other, c.out.dtype)
    if c.out.dtype == torch.bool and not alpha:
        second = c.tracer.graph.full(False, torch.bool, second.shape)
    attrs = {} if alpha == 1 else {"alpha": float(alpha)}
    return c.emit(c.name, [c.operand(x, c.out.dtype), second], {} if c.out.dtype == torch.bool else attrs)


@handles("div", "floor_divide")
def _div(c: Call, x: Any, other: Any, rounding_mode: str | None = None, **_: Any) -> Value:
    if c.name == "floor_divide":
        rounding_mode = "floor"
    attrs = {"rounding": rounding_mode} if rounding_mode else {}
    return c.emit("div", [c.operand(x, c.out.dtype), c.operand(other, c.out.dtype)], attrs)


@handles("pow")
def _pow(c: Call, x: Any, exponent: Any, **_: Any) -> Value:
    return c.emit("pow", [c.operand(x, c.out.dtype), c.operand(exponent, c.out.dtype)])


@handles("round")
def _round(c: Call, x: Any, decimals: int = 0, **_: Any) -> Value:
    value = c.operand(x, c.out.dtype)
    if decimals == 0:
        return c.emit("round", [value])
    scale = c.operand(10.0**decimals, c.out.dtype)
    return c.emit("div", [c.emit("round", [c.emit("mul", [value, scale])]), scale])


@handles("where")
def _where(c: Call, condition: Any, x: Any = None, other: Any = None, **_: Any) -> Any:
    if x is None or other is None:
        return NotImplemented
    operands = [c.operand(condition, torch.bool), c.operand(x, c.out.dtype), c.operand(other, c.out.dtype)]
    return c.emit("where", operands)


@handles("clamp", "clip", "clamp_min", "clamp_max")
def _clamp(c: Call, x: Any, min: Any = None, max: Any = None, **_: Any) -> Value:
    dtype = c.out.dtype
    attrs = {key: float(v) for key, v in (("min", min), ("max", max)) if isinstance(v, (int, float))}
    operands = [c.operand(v, dtype) if isinstance(v, torch.Tensor) else None for v in (min, max)]
    return c.emit("clamp", [c.operand(x, dtype), *operands], attrs)


@handles("masked_fill")
def _masked_fill(c: Call, x: Any, mask: Any, value: Any, **_: Any) -> Value:
    return c.emit("masked_fill", [c.value(x), c.operand(mask, torch.bool), c.operand(value, x.dtype)])


@handles("lerp")
def _lerp(c: Call, x: Any, end: Any, weight: Any, **_: Any) -> Value:
    return c.emit("lerp", [c.operand(item, c.out.dtype) for item in (x, end, weight)])


@handles("addcmul", "addcdiv")
def _addc(c: Call, x: Any, tensor1: Any, tensor2: Any, value: float = 1, **_: Any) -> Value:
    attrs = {} if value == 1 else {"value": float(value)}
    return c.emit(c.name, [c.operand(item, c.out.dtype) for item in (x, tensor1, tensor2)], attrs)


# ---- activations with parameters


@handles("gelu")
def _gelu(c: Call, x: Any, approximate: str = "none", **_: Any) -> Value:
    return c.emit("gelu", [c.value(x)], {"approximate": approximate})


@handles("leaky_relu")
def _leaky_relu(c: Call, x: Any, negative_slope: float = 0.01, **_: Any) -> Value:
    return c.emit("leaky_relu", [c.value(x)], {"slope": float(negative_slope)})


@handles("prelu")
def _prelu(c: Call, x: Any, weight: Any, **_: Any) -> Value:
    slopes = c.operand(weight, x.dtype)
    if x.dim() == 0:
        slopes = c.emit("reshape", [slopes], {"shape": []}, (x.dtype, ()))
    return c.emit("prelu", [c.value(x), slopes])


@handles("elu", "celu", "selu")
def _elu(c: Call, x: Any, alpha: float = 1, scale: float = 1, input_scale: float = 1, **_: Any) -> Value:
    if c.name == "celu":
        input_scale = 1 / alpha
    elif c.name == "selu":
        alpha, scale = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946
    attrs = {"alpha": float(alpha), "scale": float(scale), "beta": float(input_scale)}
    return c.emit("elu", [c.value(x)], attrs)


@handles("softplus")
def _softplus(c: Call, x: Any, beta: float = 1, threshold: float = 20, **_: Any) -> Value:
    return c.emit("softplus", [c.value(x)], {"beta": float(beta), "threshold": float(threshold)})


@handles("hardtanh", "relu6")
def _hardtanh(c: Call, x: Any, min_val: float = -1, max_val: float = 1, **_: Any) -> Value:
    low, high = (0, 6) if c.name == "relu6" else (min_val, max_val)
    return c.emit("hardtanh", [c.value(x)], {"min": float(low), "max": float(high)})


@handles("log_sigmoid")
def _log_sigmoid(c: Call, x: Any, **_: Any) -> Value:
    return c.emit("logsigmoid", [c.value(x)])


@handles("threshold")
def _threshold(c: Call, x: Any, threshold: float, value: float, **_: Any) -> Value:
    under = c.emit("le", [c.value(x), c.operand(threshold, x.dtype)], like=(torch.bool, tuple(x.shape)))
    return c.emit("where", [under, c.operand(value, x.dtype), c.value(x)])


# ---- in-place ops without a functional form of the same name


@handles("copy_")
def _copy(c: Call, x: Any, src: Any, **_: Any) -> Value:
    return _spread(c, c.operand(src, x.dtype), tuple(x.shape))


@handles("fill_")
def _fill(c: Call, x: Any, value: Any, **_: Any) -> Value:
    if not isinstance(value, torch.Tensor):
        return c.tracer.graph.full(value, x.dtype, tuple(x.shape))
    return _spread(c, c.operand(value, x.dtype), tuple(x.shape))


@handles("zero_")
def _zero(c: Call, x: Any, **_: Any) -> Value:
    return c.tracer.graph.full(0, x.dtype, tuple(x.shape))


def _spread(c: Call, value: Value, shape: tuple[int, ...]) -> Value:
    if value.shape == shape:
        return value
    extra = len(value.shape) - len(shape)
    if extra > 0:  # torch drops leading axes of size 1
        value = c.emit("reshape", [value], {"shape": value.shape[extra:]}, (value.dtype, value.shape[extra:]))
    if value.shape == shape:
        return value
    return c.emit("expand", [value], {"shape": shape}, (value.dtype, shape))
