# SPDX-License-Identifier: Apache-2.0
"""Reductions, scans, sorting, norms, pooling, attention and losses on rows of ties, zeros, infinities and NaN.

Values and gradients are eager PyTorch's: NaN and infinity exactly, finite values within docs/tolerances.md. The sign of
a zero is free here: it depends on the order in which PyTorch's vector code meets the elements.
"""

from functools import partial

import pytest
import torch
import torch.nn.functional as F

from . import special

INF, NAN = special.INF, special.NAN
ROWS = [
    [1, 2, 3, 4, 5, 6], [NAN, 1, 2, 3, 2, 1], [1, NAN, 5, -1, 0, 2], [INF, 1, -INF, 2, 3, 4], [-INF] * 6, [INF] * 6,
    [0.0, -0.0] * 3, [-0.0, 0.0] * 3, [NAN] * 6, [6, 4, 1, 2, -9, 0], [1] * 6, [2, 2, 1, 1, 2, 0], [0, 2, 0, 3, 4, 5],
    [1, 0, 2, 3, 4, 5], [0] * 6, [-INF, 1, 2, -INF, 3, 4], [INF, 1, 2, 3, INF, 4], [NAN, INF, -INF, 0, 1, NAN],
    [-3, -3, -5, -5, -4, -4], [-0.0] * 6, [1e-3, 3, 2, INF, NAN, 0], [3, 3, 3, 3, 3, 2], [1, 2, 0, 3, 4, INF],
    [0.5, 0, NAN, 2, 0, 1],
]  # fmt: skip
COUNT, WIDTH = len(ROWS), 6
LABELS = torch.arange(COUNT) % WIDTH
GROUPS = (torch.arange(WIDTH) % 3).expand(COUNT, WIDTH)


def _next(x, by=1):
    return x.roll(by, 1)


def _chances(x, by=0):
    return _next(x, by).nan_to_num(0, 1, 0).clamp(0, 1)


def _signs(x):
    return torch.tensor([1.0, -1.0] * 3, dtype=x.dtype).expand(COUNT, WIDTH)


def _targets(x):
    return torch.eye(WIDTH, dtype=x.dtype)[LABELS]


def _weights(x):
    return torch.tensor([0, 1, 2, 0.5, 0, 1], dtype=x.dtype)


def _each(function, x):
    """`function` of every row as a tensor of its own."""
    return torch.stack([function(x[i]) for i in range(COUNT)])


def _attention(mask, x):
    q = x.nan_to_num(0, 1, 1) / 10
    return F.scaled_dot_product_attention(
        q[:6], q[:6], 10 * q[6:12], attn_mask=mask.to(x.dtype) if mask.is_floating_point() else mask
    )


HIDDEN = torch.tensor([[True] * 6] + [[False] * 6] + [[True] * 3 + [False] * 3] * 4)

_PLAIN = """sum mean prod amax amin logsumexp var std argmax argmin any all softmax log_softmax cumsum cumprod nansum
            nanmean count_nonzero"""
FUNCTIONS = {name: partial(lambda name, x: getattr(torch, name)(x, 1), name) for name in _PLAIN.split()}
FUNCTIONS |= {f"{name} down": partial(lambda name, x: getattr(torch, name)(x, 0), name) for name in _PLAIN.split()}
FUNCTIONS.pop("cumprod down")  # behind a second zero PyTorch multiplies infinity with a gradient that it masked
for _name in ("max", "min", "median"):
    for _place, _what in enumerate(("values", "indices")):
        for _dim in (0, 1):
            FUNCTIONS[f"{_name} {_what} {_dim}"] = partial(
                lambda name, dim, place, x: getattr(torch, name)(x, dim)[place], _name, _dim, _place
            )
for _name in ("max", "min", "prod", "median", "std", "norm", "sum", "argmax", "argmin", "logsumexp"):
    _of_all = (lambda x: x.logsumexp(0)) if _name == "logsumexp" else getattr(torch.Tensor, _name)
    FUNCTIONS[f"{_name} of everything"] = _of_all if _name != "logsumexp" else lambda x: x.logsumexp((0, 1))
    FUNCTIONS[f"{_name} of each row"] = partial(_each, _of_all)
for _p in (0, 1, 1.5, 2, 3, 0.5, -1, INF, -INF):
    FUNCTIONS[f"norm {_p}"] = partial(lambda p, x: torch.linalg.vector_norm(x, p, 1), _p)
for _descending in (False, True):
    for _place in (0, 1):
        FUNCTIONS[f"sort {_descending} {_place}"] = partial(
            lambda down, place, x: torch.sort(x, stable=True, dim=1, descending=down)[place], _descending, _place
        )
    # Which of equal elements is taken, and gets the gradient, is not said.
    FUNCTIONS[f"topk {_descending}"] = partial(lambda down, x: torch.topk(x.detach(), 3, 1, down)[0], _descending)
for _reduction in ("none", "mean", "sum"):
    FUNCTIONS[f"cross_entropy {_reduction}"] = partial(lambda r, x: F.cross_entropy(x, LABELS, reduction=r), _reduction)
    FUNCTIONS[f"nll_loss {_reduction}"] = partial(lambda r, x: F.nll_loss(x, LABELS, reduction=r), _reduction)
    FUNCTIONS[f"multi_margin {_reduction}"] = partial(
        lambda r, x: F.multi_margin_loss(x, LABELS, reduction=r), _reduction
    )
    FUNCTIONS[f"mse {_reduction}"] = partial(lambda r, x: F.mse_loss(x, _next(x), reduction=r), _reduction)
FUNCTIONS |= {
    "kthvalue": lambda x: torch.kthvalue(x.detach(), 3, 1)[0],
    "msort": torch.msort,
    "argsort": lambda x: torch.argsort(x, dim=1, stable=True),
    "var without correction": lambda x: torch.var(x, 1, correction=0),
    "std without correction": lambda x: torch.std(x, 1, correction=0),
    "var of too few": lambda x: torch.var(x, 1, correction=6),
    "std of too few": lambda x: torch.std(x, 1, correction=6),
    "std of one": lambda x: x[:, :1].std(1),
    "softmax of one": lambda x: x[:, :1].softmax(1),
    "logsumexp of one": lambda x: x[:, :1].logsumexp(1),
    "softmin": lambda x: F.softmin(x, 1),
    "masked softmax": lambda x: x.masked_fill(x < 2, -INF).softmax(1),
    "masked logsumexp": lambda x: x.masked_fill(x < 9, -INF).logsumexp(1),
    "normalize": lambda x: F.normalize(x, dim=1),
    "normalize 1": lambda x: F.normalize(x, p=1, dim=1),
    "divided by norm": lambda x: x / x.norm(dim=1, keepdim=True),
    "layer_norm": lambda x: F.layer_norm(x, (WIDTH,)),
    "rms_norm": lambda x: F.rms_norm(x, (WIDTH,)),
    "rms_norm of small numbers": lambda x: F.rms_norm(x / 1000, (WIDTH,)),
    "group_norm": lambda x: F.group_norm(x.unsqueeze(2), 2),
    "instance_norm": lambda x: F.instance_norm(x.unsqueeze(0)),
    "batch_norm": lambda x: F.batch_norm(x, None, None, training=True),
    "max_pool": lambda x: F.max_pool1d(x.unsqueeze(0), 2),
    "max_pool with overlap": lambda x: F.max_pool1d(x.unsqueeze(0), 3, 1, 1),
    "avg_pool": lambda x: F.avg_pool1d(x.unsqueeze(0), 2),
    "adaptive_max_pool": lambda x: F.adaptive_max_pool1d(x.unsqueeze(0), 2),
    "lp_pool": lambda x: F.lp_pool1d(x.unsqueeze(0), 2.0, 2),
    "adaptive_avg_pool, evenly": lambda x: F.adaptive_avg_pool1d(x.unsqueeze(0), 2),
    "adaptive_avg_pool": lambda x: F.adaptive_avg_pool1d(x.unsqueeze(0), 4),
    "nearest by a whole factor": lambda x: F.interpolate(x.unsqueeze(0), size=12),
    "nearest": lambda x: F.interpolate(x.unsqueeze(0), size=4),
    "nearest exact": lambda x: F.interpolate(x.unsqueeze(0), size=9, mode="nearest-exact"),
    "resized line": lambda x: F.interpolate(x.unsqueeze(0), size=9, mode="linear"),
    "resized line between corners": lambda x: F.interpolate(x.unsqueeze(0), size=4, mode="linear", align_corners=True),
    "bilinear": lambda x: F.interpolate(x[None, None], size=(COUNT + 1, 4), mode="bilinear"),
    "bicubic": lambda x: F.interpolate(x[None, None], size=(COUNT + 1, 9), mode="bicubic"),
    "smoothed labels": lambda x: F.cross_entropy(x, LABELS, reduction="none", label_smoothing=0.1),
    "weighted classes": lambda x: F.cross_entropy(x, LABELS, _weights(x), reduction="none"),
    "weighted nll": lambda x: F.nll_loss(x, LABELS, _weights(x), reduction="none"),
    "ignored labels": lambda x: F.cross_entropy(x, LABELS, reduction="none", ignore_index=2),
    "ignored labels of nll": lambda x: F.nll_loss(x, LABELS, reduction="none", ignore_index=2),
    "all labels ignored": lambda x: F.cross_entropy(x, LABELS * 0 + 2, ignore_index=2),
    "probabilities as labels": lambda x: F.cross_entropy(x, _targets(x), reduction="none"),
    "multilabel_soft_margin": lambda x: F.multilabel_soft_margin_loss(x, _targets(x), reduction="none"),
    "glu": lambda x: F.glu(x, 1),
    "prelu": lambda x: F.prelu(x, torch.tensor([0.25], dtype=x.dtype)),
    "prelu of channels": lambda x: F.prelu(x, torch.tensor([0, 0.25, -1, 1, 2, 0.5], dtype=x.dtype)),
    "slopes of prelu": lambda x: F.prelu(x.detach(), x[0]),
    "matmul": lambda x: x @ x.T,
    "linear": lambda x: F.linear(x, torch.tensor([[1.0, 0, 1, 0, 0, 2]], dtype=x.dtype)),
    "einsum": lambda x: torch.einsum("ij,ij->i", x, x),
    "distance to another": lambda x: F.pairwise_distance(x, x.roll(1, 0)),
    "distance to itself": lambda x: F.pairwise_distance(x, x),
    "dist of equals": lambda x: torch.dist(x[0], x[0]),
    "scatter amax": lambda x: torch.zeros(COUNT, 3, dtype=x.dtype).scatter_reduce(1, GROUPS, x, "amax"),
    "scatter sum": lambda x: torch.zeros(COUNT, 3, dtype=x.dtype).scatter_add(1, GROUPS, x),
    "scatter prod": lambda x: torch.ones(COUNT, 3, dtype=x.dtype).scatter_reduce(1, GROUPS, x, "prod"),
    "where beside NaN": lambda x: torch.where(x > 1, x.log(), x),
    "clamp to NaN": lambda x: x.clamp(min=NAN),
    "clamp to crossed borders": lambda x: x.clamp(2, 1),
    "clamp to tensors": lambda x: torch.clamp(x, _next(x), _next(x, 2)),
    "maximum of neighbours": lambda x: torch.maximum(x, _next(x)),
    "minimum of neighbours": lambda x: torch.minimum(x, _next(x)),
    "attention, hidden": partial(_attention, HIDDEN),
    "attention, minus infinity": partial(_attention, torch.zeros(6, 6).masked_fill(~HIDDEN, -INF)),
    "poisson_nll": lambda x: F.poisson_nll_loss(x, _next(x).abs(), reduction="none"),
    "bce of certainty": lambda x: F.binary_cross_entropy(_chances(x), _chances(x, 1)),
    "weighted bce": lambda x: F.binary_cross_entropy(_chances(x), _chances(x, 1), _next(x, 2), reduction="none"),
    "bce of logits": lambda x: F.binary_cross_entropy_with_logits(
        x, _next(x), _next(x, 2), reduction="none", pos_weight=_next(x, 3)
    ),
    "huber": lambda x: F.huber_loss(x, _next(x), delta=0.5),
    "smooth_l1, beta 0": lambda x: F.smooth_l1_loss(x, _next(x), beta=0.0, reduction="none"),
    "smooth_l1, beta 2": lambda x: F.smooth_l1_loss(x, _next(x), beta=2.0, reduction="none"),
    "l1": lambda x: F.l1_loss(x, _next(x), reduction="sum"),
    "kl_div, batch mean": lambda x: F.kl_div(x, _next(x).abs(), reduction="batchmean"),
    "kl_div of logarithms": lambda x: F.kl_div(x, _next(x), reduction="none", log_target=True),
    "kl_div of one-hot": lambda x: F.kl_div(x.log_softmax(1), _targets(x), reduction="none"),
    "triplet_margin": lambda x: F.triplet_margin_loss(x, x.roll(1, 0), x.roll(2, 0), reduction="none"),
    "hinge_embedding": lambda x: F.hinge_embedding_loss(x, _signs(x), reduction="none"),
    "margin_ranking": lambda x: F.margin_ranking_loss(x, _next(x), _signs(x), reduction="none"),
    "diff": torch.diff,
    "aminmax": lambda x: torch.aminmax(x, dim=1)[0],
    "quantile": lambda x: torch.quantile(x, 0.5, 1),
}


NOT_NARROW = ("multi_margin", "quantile")  # not in PyTorch


def _tolerances(case):
    return 2 * special.VALUE.get(case.output.dtype, 0.0), 2 * special.GRADIENT.get(case.output.dtype, 0.0), 0.0


@pytest.mark.parametrize("dtype", special.FLOATS, ids=lambda dtype: str(dtype).removeprefix("torch."))
def test_rows_of_special_values_are_eagers(dtype, tmp_folder):
    x, narrow = torch.tensor(ROWS, dtype=dtype), dtype in (torch.bfloat16, torch.float16)
    before, torch.backends.mkldnn.enabled = torch.backends.mkldnn.enabled, False
    try:
        cases = [special.Case(name, function, [x], each=False) for name, function in FUNCTIONS.items()]
        cases = [special.eager(case) for case in cases if not (case.name.startswith(NOT_NARROW) and narrow)]
    finally:
        torch.backends.mkldnn.enabled = before
    differences = []
    for first in range(0, len(cases), special.CASES_PER_PROGRAM):
        pack = cases[first : first + special.CASES_PER_PROGRAM]
        differences += special.check(pack, tmp_folder, _tolerances, "portable", signed_zero=False)
    text = "\n  ".join(str(difference) for difference in differences[:40])
    assert not differences, f"{len(differences)} values differ:\n  {text}"
