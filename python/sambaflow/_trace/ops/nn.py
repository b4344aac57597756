# SPDX-License-Identifier: Apache-2.0
"""Products, convolution, pooling, normalisation, attention, losses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from sambaflow._trace.call import REDUCTIONS, Call, handles
from sambaflow._trace.errors import TraceError
from sambaflow._trace.graph import Attr, Value
from sambaflow._trace.ops.pooling import adaptive_indices, picked, pooled_indices
from sambaflow._trace.tensor import as_meta

# ---- products


@handles("linear")
def _linear(c: Call, x: Any, weight: Any, bias: Any = None, **_: Any) -> Value:
    c = c.promoted("input", "weight", "bias")
    return c.emit("linear", [c.value(c.argument("x")), c.value(c.argument("weight")), c.optional(c.argument("bias"))])


@handles("matmul", "mm", "mv", "dot", "vdot", "bmm", "linalg_matmul")
def _matmul(c: Call, **_: Any) -> Value:
    names = [argument.name for argument in c.func._schema.arguments][:2]
    c = c.promoted(*names)
    a, b = (c.value(t) for t in c.args[:2])
    return c.emit("bmm" if c.name == "bmm" else "matmul", [a, b])


@handles("addmm", "baddbmm")
def _addmm(c: Call, beta: float = 1, alpha: float = 1, **_: Any) -> Value:
    names = [argument.name for argument in c.func._schema.arguments][:3]
    c = c.promoted(*names)
    attrs: dict[str, Attr] = {key: float(v) for key, v in (("alpha", alpha), ("beta", beta)) if v != 1}
    values, dtype = [c.value(t) for t in c.args[:3]], c.out.dtype
    if dtype not in (torch.bfloat16, torch.float16) or (c.name == "addmm" and not attrs):
        return c.emit(c.name, values, attrs)
    wide = [c.cast(value, torch.float32) for value in values]  # rounded once, as eager mode does: the sum may cancel
    return c.cast(c.emit(c.name, wide, attrs, (torch.float32, tuple(c.out.shape))), dtype)


@handles("outer", "ger")
def _outer(c: Call, x: Any, vec2: Any, **_: Any) -> Value:
    return c.emit("outer", [c.operand(x, c.out.dtype), c.operand(vec2, c.out.dtype)])


@handles("einsum")
def _einsum(c: Call, equation: str, tensors: Sequence[Any], **_: Any) -> Any:
    if len(tensors) > 2:
        return NotImplemented
    spec = explicit_spec(equation, [t.dim() for t in tensors])
    return c.emit("einsum", [c.operand(t, c.out.dtype) for t in tensors], {"spec": spec})


def explicit_spec(equation: str, ranks: Sequence[int]) -> str:
    """An einsum equation with the ellipsis spelt out and the output given: `ab,bc->ac`."""
    equation = equation.replace(" ", "")
    left, arrow, output = equation.partition("->")
    terms = left.split(",")
    letters = [c for c in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" if c not in equation]
    hidden = max([rank - len(term.replace("...", "")) for term, rank in zip(terms, ranks, strict=True)] + [0])
    dots = "".join(letters[:hidden])
    if not arrow:
        joined = "".join(terms).replace("...", "")
        output = ("..." if "..." in left else "") + "".join(sorted(c for c in set(joined) if joined.count(c) == 1))
    expanded = []
    for term, rank in zip(terms, ranks, strict=True):
        own = rank - len(term.replace("...", ""))
        expanded.append(term.replace("...", dots[len(dots) - own :] if own else ""))
    return ",".join(expanded) + "->" + output.replace("...", dots)


@handles("scaled_dot_product_attention")
def _attention(
    c: Call, query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0, is_causal: bool = False,
    scale: float | None = None, enable_gqa: bool = False, **_: Any,
) -> Value:  # fmt: skip
    attrs: dict[str, Attr] = {
        "causal": is_causal,
        "scale": 1.0 / math.sqrt(query.shape[-1]) if scale is None else float(scale),
    }
    if dropout_p:
        attrs |= {"p": float(dropout_p), "stream": c.tracer.next_stream()}
    mask = None
    if attn_mask is not None:
        mask = c.value(attn_mask) if attn_mask.dtype == torch.bool else c.operand(attn_mask, query.dtype)
    factors = [c.operand(factor, query.dtype) for factor in (query, key, value)]
    shape = (*query.shape[:-1], value.shape[-1])
    if not enable_gqa:
        lead = torch.broadcast_shapes(*[factor.shape[:-2] for factor in factors])
        shape = (*lead, query.shape[-2], value.shape[-1])
        factors = [_of_batch(c, factor, lead) for factor in factors]
    operands = [*factors, mask]
    return c.emit("scaled_dot_product_attention", operands, attrs, (query.dtype, shape))


def _of_batch(c: Call, value: Value, lead: Sequence[int]) -> Value:
    shape = (*lead, *value.shape[-2:])
    return value if value.shape == shape else c.emit("expand", [value], {"shape": shape}, (value.dtype, shape))


# ---- convolution


@handles("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "convolution",
         "_convolution")  # fmt: skip
def _conv(
    c: Call, x: Any, weight: Any, bias: Any = None, stride: Sequence[int] = (1,), padding: Any = (0,),
    dilation: Sequence[int] = (1,), groups: int = 1, output_padding: Sequence[int] = (0,), transposed: bool = False,
    **_: Any,
) -> Any:  # fmt: skip
    rank = weight.dim() - 2
    if x.dim() != rank + 2 or isinstance(padding, str):
        return NotImplemented  # without batch, or padding by name: torch rewrites it to the plain form
    _of_floats(c, x)
    if min(_per_dim(padding, rank), default=0) < 0 or min(*stride, *dilation) < 1:
        raise ValueError(
            f"{c.tracer.scope.source()}: {c.name}: padding must not be negative, stride and dilation must be 1 or more"
        )
    c = c.promoted("input", "weight", "bias")
    attrs: dict[str, Attr] = {
        "stride": _per_dim(stride, rank),
        "padding": _per_dim(padding, rank),
        "dilation": _per_dim(dilation, rank),
        "groups": groups,
    }
    if transposed or "transpose" in c.name:
        attrs |= {"transposed": 1, "output_padding": _per_dim(output_padding, rank)}
    operands = [c.value(c.argument("x")), c.value(c.argument("weight")), c.optional(c.argument("bias"))]
    return c.emit("conv", operands, attrs)


def _of_floats(c: Call, x: torch.Tensor) -> None:
    if not x.is_floating_point():
        raise TraceError(
            f"{c.tracer.scope.source()}: {c.name} of {x.dtype}: only floating-point numbers can be compiled; write "
            "x.float()"
        )


def _per_dim(value: int | Sequence[int], rank: int, default: Sequence[int] | None = None) -> list[int]:
    """`value` for each of `rank` dims; a single number holds for all, an empty list means `default`."""
    listed = [value] if isinstance(value, int) else list(value)
    if not listed and default is not None:
        listed = list(default)
    return listed * rank if len(listed) == 1 else listed


# ---- pooling


def _pooled(c: Call, row: str, x: Any, rank: int, attrs: dict[str, Attr], out: torch.Tensor) -> Value:
    """A pooling row; a missing batch dim is added and taken away."""
    _of_floats(c, x)
    value = c.value(x)
    if x.dim() == rank + 2:
        return c.emit(row, [value], attrs, out)
    shape = (1, *x.shape)
    value = c.emit("unsqueeze", [value], {"shape": shape}, (x.dtype, shape))
    value = c.emit(row, [value], attrs, (out.dtype, (1, *out.shape)))
    return c.emit("squeeze", [value], {"shape": tuple(out.shape)}, out)


@handles("max_pool1d", "max_pool2d", "max_pool3d", "max_pool1d_with_indices", "max_pool2d_with_indices",
         "max_pool3d_with_indices")  # fmt: skip
def _max_pool(
    c: Call, x: Any, kernel_size: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    **_: Any,
) -> Any:  # fmt: skip
    rank = int(c.name[8])
    window = _per_dim(kernel_size, rank)
    attrs: dict[str, Attr] = {
        "window": window,
        "stride": _per_dim(stride, rank, window),
        "padding": _per_dim(padding, rank),
        "dilation": _per_dim(dilation, rank),
        "ceil_mode": ceil_mode,
    }
    if c.name.endswith("_with_indices"):
        indices = c.tracer.composed(pooled_indices, x, tuple(c.out[0].shape[-rank:]), attrs)
        return [_pooled(c, "max_pool", x, rank, attrs, c.out[0]), c.value(indices)]
    return _pooled(c, "max_pool", x, rank, attrs, c.out)


@handles("avg_pool1d", "avg_pool2d", "avg_pool3d")
def _avg_pool(
    c: Call, x: Any, kernel_size: Any, stride: Any = (), padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None, **_: Any,
) -> Value:  # fmt: skip
    rank = int(c.name[8])
    window = _per_dim(kernel_size, rank)
    attrs: dict[str, Attr] = {
        "window": window,
        "stride": _per_dim(stride, rank, window),
        "padding": _per_dim(padding, rank),
        "ceil_mode": ceil_mode,
        "count_include_pad": count_include_pad,
        "divisor": divisor_override or 0,
    }
    return _pooled(c, "avg_pool", x, rank, attrs, c.out)


@handles("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "_adaptive_avg_pool2d",
         "_adaptive_avg_pool3d")  # fmt: skip
def _adaptive_avg_pool(c: Call, x: Any, output_size: Any, **_: Any) -> Value:
    rank = int(c.name.lstrip("_")[17])
    return _pooled(c, "adaptive_avg_pool", x, rank, {"shape": tuple(c.out.shape[-rank:])}, c.out)


@handles("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d")
def _adaptive_max_pool(c: Call, x: Any, output_size: Any, **_: Any) -> list[Value]:
    rank = int(c.name[17])
    out, _ = c.out
    value = _pooled(c, "adaptive_max_pool", x, rank, {"shape": tuple(out.shape[-rank:])}, out)
    found = c.tracer.composed(adaptive_indices, x, tuple(out.shape[-rank:]))
    if not c.tracer.inference and any(o and n % o for n, o in zip(x.shape[-rank:], out.shape[-rank:], strict=True)):
        value = c.value(c.tracer.composed(picked, x, found, rank))  # windows overlap: the first of equal ones counts
    return [value, c.value(found)]


_UPSAMPLE = {
    "nearest1d": "nearest", "nearest2d": "nearest", "nearest3d": "nearest", "linear1d": "linear",
    "bilinear2d": "bilinear", "trilinear3d": "trilinear", "bicubic2d": "bicubic",
}  # fmt: skip


@handles(*[f"upsample_{kind}" for kind in _UPSAMPLE], *[f"_upsample_nearest_exact{n}d" for n in (1, 2, 3)])
def _interpolate(c: Call, x: Any, scale_factors: Any = None, align_corners: bool = False, **rest: Any) -> Any:
    mode = "nearest-exact" if "exact" in c.name else _UPSAMPLE[c.name.removeprefix("upsample_")]
    spatial = tuple(c.out.shape[2:])
    scales = list(scale_factors or [rest.get(k) for k in ("scales", "scales_d", "scales_h", "scales_w") if rest.get(k)])
    ratios = [o / i for o, i in zip(spatial, x.shape[2:], strict=True)]
    inexact = [s for s, r in zip(scales, ratios, strict=False) if s != r]
    if inexact and len(set(scales)) > 1:
        c.tracer.unsupported(c.name, "different inexact scale factors per dim; pass size instead")
    attrs: dict[str, Attr] = {
        "shape": spatial,
        "mode": mode,
        "align_corners": align_corners,
        "scale": float(inexact[0]) if inexact else 0.0,
    }
    return c.emit("interpolate", [c.value(x)], attrs)


@handles("pixel_shuffle")
def _pixel_shuffle(c: Call, x: Any, upscale_factor: int, **_: Any) -> Any:
    return c.emit("pixel_shuffle", [c.value(x)], {"k": upscale_factor}) if x.dim() == 4 else NotImplemented


# ---- normalisation


@handles("layer_norm", "rms_norm")
def _layer_norm(
    c: Call,
    x: Any,
    normalized_shape: Sequence[int],
    weight: Any = None,
    bias: Any = None,
    eps: float | None = None,
    **_: Any,
) -> Value:
    dims = list(range(x.dim() - len(normalized_shape), x.dim()))
    if eps is None:
        eps = torch.finfo(torch.float64 if x.dtype == torch.float64 else torch.float32).eps  # of what torch computes in
    operands = [c.value(x), c.optional(weight, x.dtype), c.optional(bias, x.dtype)]
    if tuple(normalized_shape) != tuple(x.shape[dims[0] :]):
        c.out  # noqa: B018 - torch raises its own message
    return c.emit(c.name, operands, {"dims": dims, "eps": float(eps)}, x)


@handles("batch_norm")
def _batch_norm(
    c: Call, x: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, training: bool, momentum: float,
    eps: float, **_: Any,
) -> Value:  # fmt: skip
    if x.dim() < 2 and x.numel() > 0:  # torch's function for meta tensors lets it pass
        raise IndexError(f"{c.tracer.scope.source()}: batch_norm: expected 2 dims or more, got {x.dim()}")
    if x.dim() < 2:
        return c.emit("clone", [c.value(x)], {}, x)
    channels = x.shape[1]
    dtype = torch.float32 if x.dtype in (torch.bfloat16, torch.float16) else x.dtype
    statistics = (running_mean.dtype if running_mean is not None else dtype, (channels,))
    operands = [c.value(x), *[c.optional(t) for t in (weight, bias, running_mean, running_var)]]
    attrs: dict[str, Attr] = {"eps": float(eps), "momentum": float(momentum), "training": training}
    y, mean, var = c.tracer.emit("batch_norm", operands, attrs, [(x.dtype, tuple(x.shape)), statistics, statistics])
    if training and running_mean is not None:
        c.again(torch.ops.aten.copy_.default, running_mean, c.tracer.wrap(mean))
        c.again(torch.ops.aten.copy_.default, running_var, c.tracer.wrap(var))
    return y


@handles("group_norm")
def _group_norm(
    c: Call, x: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5, **_: Any
) -> Value:
    operands = [c.value(x), c.optional(weight, x.dtype), c.optional(bias, x.dtype)]
    return c.emit("group_norm", operands, {"num_groups": num_groups, "eps": float(eps)}, x)


@handles("instance_norm")
def _instance_norm(
    c: Call, x: Any, weight: Any = None, bias: Any = None, running_mean: Any = None, use_input_stats: bool = True,
    eps: float = 1e-5, **_: Any,
) -> Any:  # fmt: skip
    if running_mean is not None or not use_input_stats:
        return NotImplemented
    return c.emit(
        "instance_norm", [c.value(x), c.optional(weight, x.dtype), c.optional(bias, x.dtype)], {"eps": float(eps)}, x
    )


# ---- losses


def _loss(c: Call, row: str, operands: list[Value | None], reduction: int, **attrs: Attr) -> Value:
    return c.emit(row, operands, {"reduction": REDUCTIONS[reduction], **attrs})


@handles("cross_entropy_loss")
def _cross_entropy(
    c: Call, x: Any, target: Any, weight: Any = None, reduction: int = 1, ignore_index: int = -100,
    label_smoothing: float = 0.0, **_: Any,
) -> Value:  # fmt: skip
    shape = tuple(torch.nn.functional.cross_entropy(as_meta(x), _long(target), reduction=REDUCTIONS[reduction]).shape)
    goal = c.operand(target, x.dtype) if target.is_floating_point() else c.value(target)
    operands = [c.value(x), goal, c.optional(weight, x.dtype)]
    attrs: dict[str, Attr] = {"ignore_index": ignore_index, "label_smoothing": float(label_smoothing)}
    return c.emit("cross_entropy", operands, {"reduction": REDUCTIONS[reduction], **attrs}, (x.dtype, shape))


def _long(target: Any) -> torch.Tensor:
    """Class indices as torch's shape function wants them: any integer dtype will do here."""
    dtype = target.dtype if target.is_floating_point() else torch.int64
    return torch.empty(tuple(target.shape), dtype=dtype, device="meta")


@handles("nll_loss", "nll_loss_nd", "nll_loss2d")
def _nll_loss(
    c: Call, x: Any, target: Any, weight: Any = None, reduction: int = 1, ignore_index: int = -100, **_: Any
) -> Value:
    shape = tuple(torch.nn.functional.nll_loss(as_meta(x), _long(target), reduction=REDUCTIONS[reduction]).shape)
    operands = [c.value(x), c.value(target), c.optional(weight, x.dtype)]
    return c.emit(
        "nll_loss", operands, {"reduction": REDUCTIONS[reduction], "ignore_index": ignore_index}, (x.dtype, shape)
    )


@handles("mse_loss", "l1_loss")
def _difference_loss(c: Call, x: Any, target: Any, reduction: int = 1, **_: Any) -> Value:
    return _loss(c, c.name, _pair(c, x, target), reduction)


@handles("smooth_l1_loss", "huber_loss")
def _robust_loss(
    c: Call, x: Any, target: Any, reduction: int = 1, beta: float = 1.0, delta: float = 1.0, **_: Any
) -> Value:
    attrs = {"reduction": REDUCTIONS[reduction], "beta": float(delta if c.name == "huber_loss" else beta)}
    loss = c.emit(c.name, _pair(c, x, target), attrs, (_common(x, target), tuple(c.out.shape)))
    return c.cast(loss, c.out.dtype)


def _common(x: Any, target: Any) -> torch.dtype:
    return torch.result_type(as_meta(x), as_meta(target))


def _pair(c: Call, x: Any, target: Any) -> list[Value | None]:
    """Both operands in their common dtype, and in the shape of the result where torch broadcasts them."""
    dtype = _common(x, target)
    shape = torch.broadcast_shapes(tuple(x.shape), tuple(target.shape))
    pair: list[Value | None] = []
    for item in (x, target):
        value = c.operand(item, dtype)
        if value.shape != tuple(shape):
            value = c.emit("expand", [value], {"shape": tuple(shape)}, (dtype, tuple(shape)))
        pair.append(value)
    return pair


@handles("binary_cross_entropy")
def _bce(c: Call, x: Any, target: Any, weight: Any = None, reduction: int = 1, **_: Any) -> Value:
    return _loss(c, c.name, [c.value(x), c.operand(target, x.dtype), c.optional(weight, x.dtype)], reduction)


@handles("binary_cross_entropy_with_logits")
def _bce_logits(
    c: Call, x: Any, target: Any, weight: Any = None, pos_weight: Any = None, reduction: int = 1, **_: Any
) -> Value:
    dtype = c.out.dtype  # that of all together, as torch takes the op apart
    operands = [c.operand(x, dtype), c.operand(target, dtype), c.optional(weight, dtype), c.optional(pos_weight, dtype)]
    return _loss(c, c.name, operands, reduction)


@handles("kl_div")
def _kl_div(c: Call, x: Any, target: Any, reduction: int = 1, log_target: bool = False, **_: Any) -> Value:
    return _loss(c, c.name, _pair(c, x, target), reduction, mode="log_target" if log_target else "")
