# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501
"""Rows of convolution, pooling and resampling."""

import torch.nn.functional as F

from ..cases import A, N, row

CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}

_conv = row("conv", "product", "bfloat16")
# (x, weight, with bias, options)
for _x, _w, _bias, _options in (
    ((1, 1, 1), (1, 1, 1), False, {}),
    ((2, 3, 9), (4, 3, 3), True, {}),
    ((2, 3, 9), (4, 3, 3), True, {"stride": 2, "padding": 1}),
    ((2, 1, 28, 28), (6, 1, 5, 5), True, {"padding": 2}),
    ((2, 6, 14, 14), (16, 6, 5, 5), True, {}),
    ((2, 3, 7, 9), (4, 3, 3, 2), False, {"stride": (2, 1), "padding": (1, 0)}),
    ((1, 4, 9, 9), (4, 2, 3, 3), True, {"groups": 2, "dilation": 2}),
    ((2, 4, 6, 6), (4, 1, 3, 3), True, {"groups": 4, "padding": 1}),
    ((2, 16, 8, 8), (32, 16, 1, 1), True, {}),
    ((1, 33, 5, 5), (17, 33, 3, 3), False, {"padding": "same"}),
    ((3, 7, 7), (2, 3, 3, 3), True, {}),
    ((1, 2, 4, 5, 3), (3, 2, 2, 3, 2), True, {"padding": 1}),
):
    _rank = len(_w) - 2
    _inputs = [N(*_x), N(*_w)] + ([N(_w[0])] if _bias else [])
    _conv.add(lambda x, w, b=None, f=CONVOLUTIONS[_rank], o=_options: f(x, w, b, **o), *_inputs)
for _x, _w, _bias, _options in (
    ((2, 3, 5), (3, 4, 3), True, {}),
    ((2, 3, 4, 5), (3, 4, 2, 2), True, {"stride": 2}),
    ((1, 4, 4, 4), (4, 2, 3, 3), False, {"stride": 2, "padding": 1, "output_padding": 1}),
    ((2, 4, 4, 4), (4, 2, 3, 3), True, {"groups": 2, "dilation": 2}),
    ((1, 2, 3, 2, 3), (2, 3, 2, 2, 2), True, {"stride": 2}),
    ((2, 20, 9), (20, 5, 7), True, {"stride": 3, "padding": 2, "output_padding": 1}),
    ((1, 18, 5, 17), (18, 3, 4, 4), True, {"stride": 2, "padding": 1}),
    ((3, 5, 1, 1), (5, 4, 4, 3), True, {}),
    ((3, 5, 1, 1), (5, 4, 4, 3), False, {"stride": 2, "padding": 1, "output_padding": (0, 1)}),
    ((5, 1), (5, 4, 3), True, {"stride": 2, "output_padding": 1}),
):
    _rank = len(_w) - 2
    _inputs = [N(*_x), N(*_w)] + ([N(_w[1] * _options.get("groups", 1))] if _bias else [])
    _conv.add(lambda x, w, b=None, f=TRANSPOSED[_rank], o=_options: f(x, w, b, **o), *_inputs)
_conv.add_layouts(F.conv2d, N(6, 3, 4, 10), N(2, 3, 3, 3))
_conv.add(lambda x, w: F.conv2d(x.permute(0, 3, 1, 2), w), N(2, 6, 7, 3), N(4, 3, 3, 3), label="channels-last")

_max = row("max_pool", "exact", "bfloat16")
for _x, _options in (
    ((1, 1, 2, 2), {"kernel_size": 2}),
    ((2, 3, 4, 6), {"kernel_size": 2}),
    ((2, 6, 28, 28), {"kernel_size": 2}),
    ((2, 3, 7, 9), {"kernel_size": 3, "stride": 2, "padding": 1}),
    ((2, 3, 7, 9), {"kernel_size": (3, 2), "stride": (1, 2), "ceil_mode": True}),
    ((1, 2, 9, 9), {"kernel_size": 2, "dilation": 2, "stride": 1}),
    ((3, 5, 5), {"kernel_size": 3, "stride": 1}),
):
    _max.add(lambda x, o=_options: F.max_pool2d(x, **o), A(*_x))
_max.add(lambda x: F.max_pool1d(x, 3, stride=2), A(2, 3, 11))
_max.add(lambda x: F.max_pool3d(x, 2), A(1, 2, 4, 4, 6))
_max.add_layouts(lambda x: F.max_pool2d(x, 2), A(6, 4, 4, 6))

_average = row("avg_pool", "reduction", "bfloat16")
for _x, _options in (
    ((1, 1, 2, 2), {"kernel_size": 2}),
    ((2, 3, 4, 6), {"kernel_size": 2}),
    ((2, 3, 7, 9), {"kernel_size": 3, "stride": 2, "padding": 1}),
    ((2, 3, 7, 9), {"kernel_size": 3, "stride": 2, "padding": 1, "count_include_pad": False}),
    ((2, 3, 7, 9), {"kernel_size": (3, 2), "stride": (1, 2), "ceil_mode": True}),
    ((2, 3, 6, 6), {"kernel_size": 3, "divisor_override": 5}),
    ((3, 5, 5), {"kernel_size": 3, "stride": 1}),
):
    _average.add(lambda x, o=_options: F.avg_pool2d(x, **o), N(*_x))
_average.add(lambda x: F.avg_pool1d(x, 3, stride=2), N(2, 3, 11))
_average.add(lambda x: F.avg_pool3d(x, 2), N(1, 2, 4, 4, 6))
_average.add_layouts(lambda x: F.avg_pool2d(x, 2), N(6, 4, 4, 6))

_adaptive = row("adaptive_avg_pool", "reduction", "bfloat16")
_adaptive_max = row("adaptive_max_pool", "exact")
for _x, _size in (
    ((2, 3, 4, 4), 1),
    ((2, 3, 6, 6), 2),
    ((1, 2, 7, 5), (3, 2)),
    ((1, 1, 1, 1), 1),
    ((2, 4, 9, 9), (4, 4)),
    ((3, 5, 5), 2),
    ((1, 2, 4, 6), (4, 6)),
):
    _adaptive.add(lambda x, s=_size: F.adaptive_avg_pool2d(x, s), N(*_x))
    _adaptive_max.add(lambda x, s=_size: F.adaptive_max_pool2d(x, s), A(*_x))
_adaptive.add(lambda x: F.adaptive_avg_pool1d(x, 3), N(2, 3, 7))
_adaptive.add(lambda x: F.adaptive_avg_pool2d(x, (3, 2)), N(2, 3, 25, 17))  # long windows
_adaptive.add_layouts(lambda x: F.adaptive_avg_pool2d(x, 2), N(6, 4, 4, 6))
_adaptive_max.add(lambda x: F.adaptive_max_pool1d(x, 3), A(2, 3, 7))
_adaptive_max.add_layouts(lambda x: F.adaptive_max_pool2d(x, 2), A(6, 4, 4, 6))

_resize = row("interpolate", "reduction", "bfloat16")
for _x, _options in (
    ((1, 1, 1, 1), {"size": (2, 3)}),
    ((2, 3, 4, 4), {"scale_factor": 2}),
    ((2, 3, 4, 5), {"size": (7, 3)}),
    ((2, 3, 4, 4), {"scale_factor": 2, "mode": "bilinear", "align_corners": False}),
    ((2, 3, 4, 4), {"size": (7, 5), "mode": "bilinear", "align_corners": True}),
    ((1, 2, 7, 5), {"size": (3, 9), "mode": "bilinear"}),
    ((2, 3, 5), {"scale_factor": 2, "mode": "linear"}),
    ((2, 3, 5), {"size": 9, "mode": "nearest"}),
    ((1, 2, 3, 3, 3), {"scale_factor": 2, "mode": "trilinear"}),
    ((1, 2, 5, 5), {"size": (8, 3), "mode": "nearest-exact"}),
    ((1, 2, 5, 5), {"scale_factor": 2, "mode": "bicubic", "align_corners": False}),
):
    _resize.add(lambda x, o=_options: F.interpolate(x, **o), N(*_x))
_resize.add_layouts(lambda x: F.interpolate(x, scale_factor=2), N(6, 4, 4, 6))

_shuffle = row("pixel_shuffle", "exact", "bfloat16")
for _x, _factor in (
    ((1, 4, 1, 1), 2),
    ((2, 4, 3, 3), 2),
    ((4, 2, 5), 2),
    ((1, 9, 2, 2), 3),
    ((2, 8, 3, 5), 2),
    ((2, 3, 4, 4), 1),
    ((2, 16, 3, 2), 4),
):
    _shuffle.add(lambda x, f=_factor: F.pixel_shuffle(x, f), N(*_x))
_shuffle.add_layouts(lambda x: F.pixel_shuffle(x, 2), N(6, 4, 4, 6))

# Sums of more than 4,096 products: blocks of channels.
_conv.add(lambda x, w: F.conv2d(x, w, padding=1), N(2, 460, 3, 5, grad=False), N(3, 460, 3, 3, grad=False))
_conv.add(
    lambda x, w: F.conv_transpose2d(x, w, stride=2, padding=1), N(1, 600, 3, 3, grad=False), N(600, 2, 3, 3, grad=False)
)
# The last window reaches beyond the padding: what lies there does not count.
_average.add(lambda x: F.avg_pool2d(x, 3, stride=2, padding=1, ceil_mode=True), N(2, 3, 6, 8))

# Pictures that are read backwards.
_max.add(lambda x: F.max_pool2d(x.flip(3), 3, 2, 1), A(2, 3, 6, 6))
_average.add(lambda x: F.avg_pool2d(x.flip(2), 3, 2, 1), N(2, 3, 6, 6))
_conv.add(lambda x, w: F.conv2d(x.flip(3), w, padding=1, stride=2), N(2, 4, 6, 6), N(4, 4, 3, 3))
