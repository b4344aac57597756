# SPDX-License-Identifier: Apache-2.0
"""Every constructor argument of every module of torch.nn, with values other than its default.

BASES says how a module is made and what it takes. VARIATIONS gives values by the name of an argument, for a family of
modules or for all; `cases` yields one case for each value of each argument.
"""

import inspect

import torch
from torch import nn

_SKIPPED = {"device", "dtype"}  # where memory is, and of which type: conversions have tests of their own
_GENERATOR = torch.Generator().manual_seed(1)


def _float(*shape):
    return torch.randn(*shape, generator=_GENERATOR)


def _positive(*shape):
    return torch.rand(*shape, generator=_GENERATOR) * 0.8 + 0.1


def _signs(*shape):
    return torch.randint(2, shape, generator=_GENERATOR) * 2.0 - 1


def _labels(high, *shape):
    return torch.randint(high, shape, generator=_GENERATOR)


_X1, _X2, _X3 = _float(2, 4, 9), _float(2, 4, 7, 8), _float(2, 4, 5, 6, 5)
_ROW = _float(3, 4)

# name -> (arguments of the constructor, inputs)
BASES = {
    **{name: ({}, (_ROW,)) for name in (
        "CELU ELU GELU Hardsigmoid Hardswish Hardshrink Hardtanh LeakyReLU LogSigmoid Mish ReLU ReLU6 SELU SiLU "
        "Sigmoid Softplus Softshrink Softsign Tanh Tanhshrink Identity PReLU Softmin Softmax LogSoftmax").split()},
    "Softmax2d": ({}, (_X2,)),
    "GLU": ({}, (_float(4, 6),)),
    "RReLU": ({}, (_ROW,)),
    "Threshold": ({"threshold": 0.1, "value": 2.0}, (_ROW,)),
    **{f"{kind}{rank}d": ({"p": 0.5}, ((_X1, _X2, _X3)[rank - 1],)) for kind in ("Dropout",) for rank in (1, 2, 3)},
    **{name: ({}, (_ROW,)) for name in ("Dropout", "AlphaDropout", "FeatureAlphaDropout")},
    **{f"{kind}{rank}d": ({"in_channels": 4, "out_channels": 6, "kernel_size": 3}, ((_X1, _X2, _X3)[rank - 1],))
       for kind in ("Conv", "ConvTranspose") for rank in (1, 2, 3)},
    **{f"MaxPool{rank}d": ({"kernel_size": 2}, ((_X1, _X2, _X3)[rank - 1],)) for rank in (1, 2, 3)},
    **{f"AvgPool{rank}d": ({"kernel_size": 3}, ((_X1, _X2, _X3)[rank - 1],)) for rank in (1, 2, 3)},
    **{f"LPPool{rank}d": ({"norm_type": 2, "kernel_size": 2}, ((_X1, _X2, _X3)[rank - 1].abs(),))
       for rank in (1, 2, 3)},
    **{f"AdaptiveAvgPool{rank}d": ({"output_size": 2}, ((_X1, _X2, _X3)[rank - 1],)) for rank in (1, 2, 3)},
    **{f"AdaptiveMaxPool{rank}d": ({"output_size": 2}, ((_X1, _X2, _X3)[rank - 1],)) for rank in (1, 2, 3)},
    **{f"MaxUnpool{rank}d": ({"kernel_size": 2}, ()) for rank in (1, 2, 3)},
    **{f"BatchNorm{rank}d": ({"num_features": 4}, ((_X1, _X2, _X3)[rank - 1],)) for rank in (1, 2, 3)},
    **{f"InstanceNorm{rank}d": ({"num_features": 4}, ((_X1, _X2, _X3)[rank - 1],)) for rank in (1, 2, 3)},
    "LayerNorm": ({"normalized_shape": 4}, (_ROW,)),
    "RMSNorm": ({"normalized_shape": 4}, (_ROW,)),
    "GroupNorm": ({"num_groups": 2, "num_channels": 4}, (_X1,)),
    "LocalResponseNorm": ({"size": 3}, (_X2,)),
    "Linear": ({"in_features": 4, "out_features": 3}, (_ROW,)),
    "Bilinear": ({"in1_features": 4, "in2_features": 3, "out_features": 2}, (_ROW, _float(3, 3))),
    "Embedding": ({"num_embeddings": 6, "embedding_dim": 3}, (_labels(6, 2, 5),)),
    "EmbeddingBag": ({"num_embeddings": 6, "embedding_dim": 3}, (_labels(6, 2, 5),)),
    **{name: ({"input_size": 4, "hidden_size": 3}, (_float(5, 2, 4),)) for name in ("RNN", "LSTM", "GRU")},
    **{f"{name}Cell": ({"input_size": 4, "hidden_size": 3}, (_ROW,)) for name in ("RNN", "LSTM", "GRU")},
    "MultiheadAttention": ({"embed_dim": 8, "num_heads": 2}, (_float(5, 2, 8), _float(6, 2, 8), _float(6, 2, 8))),
    "TransformerEncoderLayer": ({"d_model": 8, "nhead": 2, "dim_feedforward": 12, "dropout": 0.0}, (_float(5, 2, 8),)),
    "TransformerDecoderLayer": (
        {"d_model": 8, "nhead": 2, "dim_feedforward": 12, "dropout": 0.0}, (_float(5, 2, 8), _float(6, 2, 8))
    ),
    "Transformer": (
        {"d_model": 8, "nhead": 2, "dim_feedforward": 12, "dropout": 0.0, "num_encoder_layers": 1,
         "num_decoder_layers": 1},
        (_float(5, 2, 8), _float(6, 2, 8)),
    ),
    "Flatten": ({}, (_X2,)),
    "Unflatten": ({"dim": 1, "unflattened_size": (2, 2)}, (_X2,)),
    "Fold": ({"output_size": (6, 6), "kernel_size": 3}, (_float(2, 18, 16),)),
    "Unfold": ({"kernel_size": 3}, (_X2,)),
    "PixelShuffle": ({"upscale_factor": 2}, (_X2,)),
    "PixelUnshuffle": ({"downscale_factor": 2}, (_float(2, 3, 6, 8),)),
    "ChannelShuffle": ({"groups": 2}, (_X2,)),
    "Upsample": ({"scale_factor": 2}, (_X2,)),
    "UpsamplingNearest2d": ({"scale_factor": 2}, (_X2,)),
    "UpsamplingBilinear2d": ({"scale_factor": 2}, (_X2,)),
    "CosineSimilarity": ({}, (_ROW, _float(3, 4))),
    "PairwiseDistance": ({}, (_ROW, _float(3, 4))),
    **{f"{kind}Pad{rank}d": ({"padding": 1, **({"value": 0.5} if kind == "Constant" else {})},
                             ((_X1, _X2, _X3)[rank - 1],))
       for kind in ("Constant", "Reflection", "Replication", "Zero", "Circular") for rank in (1, 2, 3)},
    "L1Loss": ({}, (_ROW, _float(3, 4))),
    "MSELoss": ({}, (_ROW, _float(3, 4))),
    "HuberLoss": ({}, (_ROW, _float(3, 4))),
    "SmoothL1Loss": ({}, (_ROW, _float(3, 4))),
    "SoftMarginLoss": ({}, (_ROW, _signs(3, 4))),
    "BCELoss": ({}, (_positive(3, 4), _positive(3, 4))),
    "BCEWithLogitsLoss": ({}, (_ROW, _positive(3, 4))),
    "KLDivLoss": ({}, (_ROW, _positive(3, 4))),
    "PoissonNLLLoss": ({}, (_ROW, _labels(5, 3, 4).float())),
    "GaussianNLLLoss": ({}, (_ROW, _float(3, 4), _positive(3, 4))),
    "NLLLoss": ({}, (_float(5, 4), torch.tensor([0, 1, 3, 2, 1]))),
    "CrossEntropyLoss": ({}, (_float(5, 4), torch.tensor([0, 1, 3, 2, 1]))),
    "MultiMarginLoss": ({}, (_float(5, 4), torch.tensor([0, 1, 3, 2, 1]))),
    "MultiLabelMarginLoss": ({}, (_ROW, torch.tensor([[0, 2, -1, 1], [3, -1, 0, 0], [1, 2, 3, 0]]))),
    "MultiLabelSoftMarginLoss": ({}, (_ROW, _labels(2, 3, 4).float())),
    "MarginRankingLoss": ({}, (_float(6), _float(6), _signs(6))),
    "HingeEmbeddingLoss": ({}, (_ROW, _signs(3, 4))),
    "CosineEmbeddingLoss": ({}, (_ROW, _float(3, 4), _signs(3))),
    "TripletMarginLoss": ({}, (_ROW, _float(3, 4), _float(3, 4))),
    "TripletMarginWithDistanceLoss": ({}, (_ROW, _float(3, 4), _float(3, 4))),
    "CTCLoss": ({}, (_float(6, 2, 4).log_softmax(2), torch.tensor([[1, 2, 0], [3, 3, 1]]), torch.tensor([6, 5]),
                     torch.tensor([2, 3]))),
    "AdaptiveLogSoftmaxWithLoss": ({"in_features": 4, "n_classes": 6, "cutoffs": [2]}, (_ROW, torch.tensor([0, 1, 0]))),
}  # fmt: skip

# Modules that hold others, have no forward of their own, or whose base needs data that is not an argument.
NO_LAYERS = {
    "Module", "Container", "Sequential", "ModuleList", "ModuleDict", "ParameterList", "ParameterDict", "DataParallel",
    "SyncBatchNorm", "TransformerEncoder", "TransformerDecoder", "RNNBase", "RNNCellBase", "NLLLoss2d",
    "CrossMapLRN2d", "FractionalMaxPool2d", "FractionalMaxPool3d", "LinearCrossEntropyLoss",
}  # fmt: skip

ALL = {
    "inplace": [True], "bias": [False], "reduction": ["sum", "none"], "size_average": [False], "reduce": [False],
    "eps": [0.1], "padding": [1], "stride": [1, 2], "dilation": [2], "groups": [2], "ceil_mode": [True],
    "return_indices": [True], "affine": [False, True], "momentum": [0.5, None], "elementwise_affine": [False],
    "weight": [torch.tensor([0.5, 2.0, 1.0, 0.0])], "ignore_index": [1], "p": [1.0, 3.0], "dim": [0],
    "track_running_stats": [False, True], "batch_first": [True], "bidirectional": [True], "num_layers": [2],
    "norm_first": [True], "margin": [0.3], "beta": [0.3], "alpha": [0.4], "log_target": [True], "full": [True],
}  # fmt: skip

# (module, argument) -> values; a value is one, or (value, further arguments, inputs).
OWN = {
    ("Hardtanh", "min_val"): [-0.3], ("Hardtanh", "max_val"): [0.4],
    ("Hardtanh", "min_value"): [None], ("Hardtanh", "max_value"): [None],
    ("Hardshrink", "lambd"): [0.8], ("Softshrink", "lambd"): [0.8], ("GELU", "approximate"): ["tanh"],
    ("LeakyReLU", "negative_slope"): [0.3], ("Softplus", "beta"): [3.0], ("Softplus", "threshold"): [0.5],
    ("PReLU", "num_parameters"): [4], ("PReLU", "init"): [0.7], ("RReLU", "lower"): [0.2], ("RReLU", "upper"): [0.9],
    ("Threshold", "threshold"): [-0.4], ("Threshold", "value"): [0.0],
    ("LocalResponseNorm", "k"): [2.0], ("LocalResponseNorm", "size"): [2],
    ("LayerNorm", "normalized_shape"): [(3, 4)],
    ("RMSNorm", "normalized_shape"): [(3, 4)],
    ("GroupNorm", "num_groups"): [1, 4],
    ("Embedding", "padding_idx"): [0, -1], ("Embedding", "max_norm"): [0.5],
    ("Embedding", "norm_type"): [(1.0, {"max_norm": 0.5})],
    ("Embedding", "scale_grad_by_freq"): [True], ("Embedding", "sparse"): [True],
    ("Embedding", "_weight"): [torch.arange(18.0).view(6, 3)],
    ("Embedding", "_freeze"): [(True, {"_weight": torch.arange(18.0).view(6, 3)})],
    ("EmbeddingBag", "padding_idx"): [0, -1], ("EmbeddingBag", "max_norm"): [0.5],
    ("EmbeddingBag", "norm_type"): [(1.0, {"max_norm": 0.5})], ("EmbeddingBag", "scale_grad_by_freq"): [True],
    ("EmbeddingBag", "sparse"): [True], ("EmbeddingBag", "mode"): ["sum", "max"],
    ("EmbeddingBag", "_weight"): [torch.arange(18.0).view(6, 3)],
    ("EmbeddingBag", "include_last_offset"): [(True, {}, (_labels(6, 7), torch.tensor([0, 2, 2, 7])))],
    ("RNN", "nonlinearity"): ["relu"], ("RNNCell", "nonlinearity"): ["relu"], ("LSTM", "proj_size"): [2],
    ("MultiheadAttention", "dropout"): [0.0], ("MultiheadAttention", "add_bias_kv"): [True],
    ("MultiheadAttention", "add_zero_attn"): [True],
    ("MultiheadAttention", "kdim"): [(6, {}, (_float(5, 2, 8), _float(6, 2, 6), _float(6, 2, 8)))],
    ("MultiheadAttention", "vdim"): [(6, {}, (_float(5, 2, 8), _float(6, 2, 8), _float(6, 2, 6)))],
    ("MultiheadAttention", "batch_first"): [(True, {}, (_float(2, 5, 8), _float(2, 6, 8), _float(2, 6, 8)))],
    ("Transformer", "batch_first"): [(True, {}, (_float(2, 5, 8), _float(2, 6, 8)))],
    ("TransformerDecoderLayer", "batch_first"): [(True, {}, (_float(2, 5, 8), _float(2, 6, 8)))],
    **{(name, "activation"): ["gelu", nn.functional.silu]
       for name in ("Transformer", "TransformerEncoderLayer", "TransformerDecoderLayer")},
    **{(name, "layer_norm_eps"): [0.1]
       for name in ("Transformer", "TransformerEncoderLayer", "TransformerDecoderLayer")},
    ("Transformer", "num_encoder_layers"): [2], ("Transformer", "num_decoder_layers"): [2],
    ("Flatten", "start_dim"): [2], ("Flatten", "end_dim"): [2],
    ("Fold", "dilation"): [(2, {"output_size": (8, 8)})], ("Fold", "padding"): [(1, {"output_size": (4, 4)})],
    ("Fold", "stride"): [(2, {"output_size": (9, 9)})], ("Unfold", "stride"): [2],
    ("Upsample", "size"): [((9, 5), {"scale_factor": None})], ("Upsample", "scale_factor"): [1.7, (2.0, 3.0)],
    ("Upsample", "mode"): ["bilinear", "bicubic", "nearest-exact"],
    ("Upsample", "align_corners"): [(True, {"mode": "bilinear"}), (True, {"mode": "bicubic"})],
    ("Upsample", "recompute_scale_factor"): [(True, {"scale_factor": 1.7, "mode": "bilinear"})],
    ("UpsamplingNearest2d", "size"): [((9, 5), {"scale_factor": None})],
    ("UpsamplingBilinear2d", "size"): [((9, 5), {"scale_factor": None})],
    ("PairwiseDistance", "keepdim"): [True],
    **{(f"MaxUnpool{rank}d", "stride"): [2] for rank in (1, 2, 3)},
    ("MaxUnpool1d", "padding"): [0], ("MaxUnpool2d", "padding"): [0], ("MaxUnpool3d", "padding"): [0],
    **{(f"AvgPool{rank}d", "count_include_pad"): [(False, {"padding": 1})] for rank in (1, 2, 3)},
    **{(f"AvgPool{rank}d", "divisor_override"): [5] for rank in (2, 3)},
    **{(f"{kind}{rank}d", "padding_mode"): [(mode, {"padding": 1}) for mode in ("reflect", "replicate", "circular")]
       for kind in ("Conv",) for rank in (1, 2, 3)},
    ("Conv3d", "padding_mode"): [("replicate", {"padding": 1}), ("circular", {"padding": 1})],
    **{(f"ConvTranspose{rank}d", "padding_mode"): ["zeros"] for rank in (1, 2, 3)},
    **{(f"Conv{rank}d", "padding"): [1, "same", "valid"] for rank in (1, 2, 3)},
    **{(f"ConvTranspose{rank}d", "output_padding"): [(1, {"stride": 2})] for rank in (1, 2, 3)},
    **{(f"{kind}Pad{rank}d", "padding"): [(1, 2) + (0,) * (2 * rank - 2)]
       for kind in ("Constant", "Reflection", "Replication", "Zero", "Circular") for rank in (1, 2, 3)},
    **{(f"ConstantPad{rank}d", "value"): [-1.5] for rank in (1, 2, 3)},
    ("HuberLoss", "delta"): [0.4], ("PoissonNLLLoss", "log_input"): [(False, {}, (_positive(3, 4), _positive(3, 4)))],
    ("CrossEntropyLoss", "label_smoothing"): [0.2], ("BCEWithLogitsLoss", "pos_weight"): [torch.tensor([0.5, 2, 1, 3])],
    ("KLDivLoss", "reduction"): ["sum", "none", "batchmean"], ("MultiMarginLoss", "p"): [2],
    ("TripletMarginLoss", "swap"): [True], ("TripletMarginWithDistanceLoss", "swap"): [True],
    ("TripletMarginWithDistanceLoss", "distance_function"): [nn.PairwiseDistance(p=1.0)],
    ("CTCLoss", "blank"): [(2, {}, (_float(6, 2, 4).log_softmax(2), torch.tensor([[1, 0, 0], [3, 3, 1]]),
                                    torch.tensor([6, 5]), torch.tensor([2, 3])))],
    ("CTCLoss", "zero_infinity"): [(True, {}, (_float(3, 2, 4).log_softmax(2), torch.tensor([[1, 2, 0], [3, 3, 1]]),
                                               torch.tensor([3, 3]), torch.tensor([2, 3])))],
    **{(f"LPPool{rank}d", "norm_type"): [1, 3] for rank in (1, 2, 3)},
    **{(name, "weight"): [torch.rand(3, 4, generator=_GENERATOR)] for name in ("BCELoss", "BCEWithLogitsLoss")},
    **{(name, "p"): [0.2] for name in ("Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout",
                                       "FeatureAlphaDropout")},
    **{(name, "dropout"): [0.0] for name in ("RNN", "LSTM", "GRU", "Transformer", "TransformerEncoderLayer",
                                             "TransformerDecoderLayer")},
    ("AdaptiveLogSoftmaxWithLoss", "div_value"): [2.0], ("AdaptiveLogSoftmaxWithLoss", "head_bias"): [True],
}  # fmt: skip

# Arguments that say how large a module is: the base gives them, and other values are other bases.
SIZES = {
    "in_channels", "out_channels", "kernel_size", "output_size", "num_features", "num_channels", "in_features",
    "out_features", "in1_features", "in2_features", "num_embeddings", "embedding_dim", "input_size", "hidden_size",
    "embed_dim", "num_heads", "d_model", "nhead", "dim_feedforward", "upscale_factor", "downscale_factor",
    "unflattened_size", "n_classes", "cutoffs", "custom_encoder", "custom_decoder", "num_chunks",
}  # fmt: skip


def arguments(name):
    """The constructor arguments of a module; those of RNNs are hidden behind *args."""
    found = dict(inspect.signature(getattr(nn, name).__init__).parameters)
    if name in ("RNN", "LSTM", "GRU"):
        found = dict(inspect.signature(nn.RNNBase.__init__).parameters)
        found.pop("mode")
        if name == "RNN":
            found["nonlinearity"] = None
            found.pop("proj_size")
        if name == "GRU":
            found.pop("proj_size")
    return [key for key in found if key not in ({"self", "args", "kwargs"} | _SKIPPED)]


def values_of(name, argument):
    """The values to try, or None where nobody thought of any."""
    own = OWN.get((name, argument))
    if own is not None:
        return own
    if argument in SIZES or argument in BASES[name][0]:
        return []
    return ALL.get(argument)


def layers():
    """All modules of torch.nn that compute something."""
    names = [
        name for name in dir(nn) if isinstance(getattr(nn, name), type) and issubclass(getattr(nn, name), nn.Module)
    ]
    return [name for name in names if name not in NO_LAYERS and not name.startswith(("Lazy", "_"))]


def cases():
    """(module, argument or "", constructor arguments, inputs)."""
    for name in layers():
        if name not in BASES:
            continue
        base, inputs = BASES[name]
        yield name, "", base, inputs
        for argument in arguments(name):
            for value in values_of(name, argument) or []:
                value, more, given = (*value, None)[:3] if _is_case(value) else (value, {}, None)
                yield name, argument, {**base, **more, argument: value}, given or inputs


def _is_case(value):
    return isinstance(value, tuple) and len(value) in (2, 3) and isinstance(value[1], dict)
