# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501
"""Operators that must be in the table, and the rows they become."""

# The 60 most frequent ATen ops in the forward passes of public modules, in order of frequency.
FREQUENT = {
    "add": ["add"], "convolution": ["conv"], "t": ["transpose"], "mul": ["mul"], "native_batch_norm": ["batch_norm"],
    "_reshape_alias": ["reshape"], "_unsafe_view": ["matmul", "view"], "view": ["view"], "mm": ["matmul"], "relu": ["relu"],
    "relu_": ["relu"], "cat": ["cat"], "div": ["div"], "clone": ["clone"], "addmm": ["addmm"], "mean": ["mean"],
    "expand": ["expand"], "slice": ["getitem", "narrow"], "transpose": ["transpose"], "_softmax": ["softmax"], "sub": ["sub"],
    "bmm": ["bmm"], "unsqueeze": ["unsqueeze"], "permute": ["permute"], "add_": ["add"], "sum": ["sum"], "sigmoid": ["sigmoid"],
    "native_layer_norm": ["layer_norm"], "pow": ["pow"], "tanh": ["tanh"], "select": ["select"],
    "max_pool2d_with_indices": ["max_pool"], "squeeze": ["squeeze"], "rsub": ["rsub"], "sqrt": ["sqrt"],
    "avg_pool2d": ["avg_pool"], "neg": ["neg"], "leaky_relu_": ["leaky_relu"], "zeros": ["full"], "split": ["split"],
    "constant_pad_nd": ["pad"], "clamp": ["clamp"], "leaky_relu": ["leaky_relu"], "gelu": ["gelu"], "stack": ["stack"],
    "exp": ["exp"], "abs": ["abs"], "upsample_bilinear2d": ["interpolate"], "unbind": ["split"], "repeat": ["repeat"],
    "_local_scalar_dense": ["full"], "arange": ["arange"], "mul_": ["mul"], "log": ["log"], "norm": ["norm"],
    "copy_": ["slice_scatter", "to"], "index": ["index"], "hardtanh_": ["hardtanh"], "eq": ["eq"], "sigmoid_": ["sigmoid"],
}  # fmt: skip

# The operators of the SDK's support table, and those of first-party public models.
DOCUMENTED = {
    name: rows or [name]
    for name, rows in {
        "abs": 0, "add": 0, "addmm": 0, "argmax": 0, "bitwise_and": 0, "bitwise_not": 0, "bmm": 0, "cat": 0, "contiguous": 0,
        "cos": 0, "cross_entropy": 0, "cumsum": 0, "div": 0, "dropout": 0, "einsum": 0, "embedding": 0, "eq": 0, "exp": 0, "expand": 0,
        "flatten": 0, "ge": 0, "gelu": 0, "gt": 0, "index_select": 0, "layer_norm": 0, "le": 0, "linear": 0, "log": 0,
        "logical_or": 0, "lt": 0, "masked_fill": 0, "matmul": 0, "max": 0, "mean": 0, "minimum": 0, "mse_loss": 0, "mul": 0, "permute": 0,
        "pow": 0, "reciprocal": 0, "relu": 0, "repeat": 0, "repeat_interleave": 0, "reshape": 0, "rsqrt": 0,
        "scaled_dot_product_attention": 0, "sigmoid": 0, "silu": 0, "sin": 0, "softmax": 0, "split": 0, "sqrt": 0, "squeeze": 0,
        "sub": 0, "sum": 0, "topk": 0, "transpose": 0, "unsqueeze": 0, "view": 0, "conv2d": ["conv"], "max_pool2d": ["max_pool"],
        "slicing": ["getitem"], "ones": ["full"], "zeros": ["full"], "full": 0, "arange": 0, "tensor": ["constant"],
        "conv_transpose2d": ["conv"], "dtype casts": ["to"],
    }.items()
}  # fmt: skip
