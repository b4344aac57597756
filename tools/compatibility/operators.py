# SPDX-License-Identifier: Apache-2.0
"""One use of every operator of samba.functional; each is compiled and compared with PyTorch.

An entry is `operator: arguments`, Python text in which x is [3, 4] in (0.1, 0.9), y likewise, m is [4, 3], b is
[2, 3, 4], c is [2, 4, 6, 6] (an image), i are integers, k is bool and labels are classes.
"""

import torch
from sambaflow import samba

_UNARY = """abs acos asin atan ceil cos cosh erf erfc exp expm1 floor log log10 log1p log2 neg reciprocal round rsqrt
sigmoid sign sin sinh sqrt square tan tanh trunc celu elu gelu hardsigmoid hardswish hardtanh leaky_relu logsigmoid
mish relu relu6 selu silu softplus isfinite isinf isnan clone contiguous flatten t ones_like zeros_like all any"""
_BINARY = """add addcdiv:y,y addcmul:y,y atan2 div floor_divide fmod lerp:y,0.3 maximum minimum mul pow remainder sub
subtract true_divide eq ge gt le lt ne huber_loss kl_div l1_loss mse_loss smooth_l1_loss binary_cross_entropy
binary_cross_entropy_with_logits expand_as type_as view_as"""

ARGUMENTS = {
    **{name: "x" for name in _UNARY.split()},
    **{entry.split(":")[0]: f"x, {(entry.split(':') + ['y'])[1]}" for entry in _BINARY.split()},
    "all": "k", "any": "k", "clamp": "x, 0.2, 0.6", "dropout": "x, 0.5, False", "dropout2d": "c, 0.5, False",
    "prelu": "x, y[0, :1]",
    # products
    "addmm": "m[:, :3][:3], x[:3, :3], y[:3, :3]", "baddbmm": "b[:, :, :3], b, b.transpose(1, 2)",
    "bmm": "b, b.transpose(1, 2)", "cumprod": "x, 1", "cumsum": "x, 0", "dot": "x[0], y[0]",
    "einsum": "'ij,jk->ik', x, m", "matmul": "x, m", "mm": "x, m", "mv": "x, y[0]", "outer": "x[0], y[0]",
    "avg_pool2d": "c, 2", "batch_norm": "c, None, None, None, None, True",
    "bilinear": "x, y, b.repeat(1, 2, 1)[:, :4]",
    "conv1d": "b, b.transpose(1, 2)[:, :, :2].transpose(1, 2).reshape(2, 2, 4).repeat(1, 2, 1)[:, :3, :2]",
    "conv2d": "c, c[:, :, :3, :3]", "conv3d": "c[:, :, None], c[:, :, None, :3, :3]",
    "conv_transpose1d": "b, b[0].reshape(3, 2, 2)", "conv_transpose2d": "c, c[:, :, :2, :2].transpose(0, 1)",
    "conv_transpose3d": "c[:, :, None], c[:, :, None, :2, :2].transpose(0, 1)",
    "group_norm": "c, 2", "instance_norm": "c", "interpolate": "c, scale_factor=2", "layer_norm": "x, [4]",
    "linear": "x, y", "max_pool1d": "b, 2", "max_pool2d": "c, 2", "max_pool3d": "c, 2", "normalize": "x",
    "scaled_dot_product_attention": "b, b, b",
    # reductions
    "amax": "x, 1", "amin": "x, 1", "argmax": "x, 1", "argmin": "x, 1", "argsort": "x, 1", "log_softmax": "x, 1",
    "logsumexp": "x, 1", "max": "x, 1", "mean": "x, 1", "min": "x, 1", "norm": "x", "prod": "x, 1", "softmax": "x, 1",
    "sort": "x, 1", "std": "x, 1", "sum": "x, 1", "topk": "x, 2", "var": "x, 1",
    # logic
    "bitwise_and": "i, i + 1", "bitwise_not": "k", "bitwise_or": "i, i + 1", "bitwise_xor": "i, i + 1",
    "logical_and": "k, ~k", "logical_not": "k", "logical_or": "k, ~k", "logical_xor": "k, k", "where": "k, x, y",
    # shapes and places
    "broadcast_to": "x, (2, 3, 4)", "cat": "[x, y], 1", "chunk": "x, 2, 1", "concat": "[x, y]", "diagonal": "x",
    "expand": "x, 2, 3, 4", "flip": "x, [1]", "full_like": "x, 2.0", "gather": "x, 1, i",
    "index_add": "x, 0, labels, y",
    "index_select": "x, 0, labels", "masked_fill": "x, k, 0.0", "movedim": "b, 0, 2", "narrow": "x, 1, 1, 2",
    "permute": "b, (2, 0, 1)", "repeat": "x, 2, 1", "repeat_interleave": "x, 2, 1", "reshape": "x, (2, 6)",
    "roll": "x, 1, 1", "scatter": "x, 1, i, y", "scatter_add": "x, 1, i, y", "select": "x, 1, 2", "split": "x, 2, 1",
    "squeeze": "x[:, None], 1", "stack": "[x, y]", "swapaxes": "b, 0, 1", "tile": "x, (2, 2)", "transpose": "x, 0, 1",
    "tril": "x", "triu": "x", "unbind": "x", "unflatten": "x, 1, (2, 2)", "unsqueeze": "x, 1", "view": "x, 2, 6",
    "embedding": "i, m", "one_hot": "labels, 5", "pad": "x, (1, 1)", "pixel_shuffle": "c, 2", "pixel_unshuffle": "c, 2",
    "triu_fill": "x, -1.0",
    # losses
    "cross_entropy": "x, labels", "nll_loss": "x, labels",
}  # fmt: skip

# Compiled and compared by probes of their own.
ELSEWHERE = {"groupby", "sn_gather", "sn_imm", "sn_iteridx", "sn_multinomial", "sn_reduce", "sn_scatter", "sn_select",
             "sn_zipmapreduce"}  # fmt: skip


def names():
    """Every operator, in order."""
    return [name for name in dict.fromkeys(samba.functional.__all__) if name not in ELSEWHERE]


def inputs():
    generator = torch.Generator().manual_seed(3)
    draw = lambda *shape: torch.rand(shape, generator=generator) * 0.8 + 0.1  # noqa: E731
    return {
        "x": draw(3, 4), "y": draw(3, 4), "m": draw(4, 3), "b": draw(2, 3, 4), "c": draw(2, 4, 6, 6),
        "i": torch.tensor([[0, 2, 1, 3]] * 3), "k": draw(3, 4) > 0.5, "labels": torch.tensor([2, 0, 1]),
    }  # fmt: skip


def use(name):
    """A probe of one operator: compiled, and the same as on the host."""

    def probe(world):
        given = inputs()
        text = f"samba.{name}({ARGUMENTS[name]})"
        keys = [key for key in given if key in _words(ARGUMENTS[name])]

        def function(*tensors):
            return eval(text, {"samba": samba}, dict(zip(keys, tensors, strict=True)))  # noqa: S307 - text of this file

        world.same(function, [given[key] for key in keys], rtol=1e-4, atol=1e-5)

    return probe


def _words(text):
    return set("".join(c if c.isalnum() or c == "_" else " " for c in text).split())
