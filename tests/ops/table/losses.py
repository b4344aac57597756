# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501
"""Rows of losses."""

import torch
import torch.nn.functional as F

from ..cases import A, I, N, P, Q, U, row

REDUCTIONS = ("mean", "sum", "none")

_ce = row("cross_entropy", "composite", "bfloat16")
_nll = row("nll_loss", "composite")
for _shape, _labels in (
    ((3, 4), (3,)),
    ((1, 5), (1,)),
    ((4,), ()),
    ((2, 5, 3), (2, 3)),
    ((17, 33), (17,)),
    ((32, 10), (32,)),
    ((3, 1031), (3,)),
):
    _classes = _shape[1] if len(_shape) > 1 else _shape[0]
    for _reduction in REDUCTIONS if len(_shape) == 2 and _shape[0] == 3 else ("mean",):
        _ce.add(lambda x, t, r=_reduction: F.cross_entropy(x, t, reduction=r), N(*_shape), I(_classes, *_labels))
        _nll.add(lambda x, t, r=_reduction: F.nll_loss(x, t, reduction=r), P(*_shape), I(_classes, *_labels))
_ce.add(lambda x, t: F.cross_entropy(x, t, label_smoothing=0.1), N(4, 7), I(7, 4))
_ce.add(lambda x, t: F.cross_entropy(x, t, ignore_index=2), N(9, 4), I(4, 9))
_ce.add(lambda x, t: F.cross_entropy(x, t, ignore_index=-1, reduction="none"), N(9, 4), I(4, 9, low=-1))
_ce.add(lambda x, t, w: F.cross_entropy(x, t, w), N(9, 4), I(4, 9), P(4, grad=False))
_ce.add(lambda x, t, w: F.cross_entropy(x, t, w, label_smoothing=0.2), N(9, 4), I(4, 9), P(4, grad=False))
_ce.add(lambda x, t: F.cross_entropy(x, t.softmax(1)), N(5, 4), N(5, 4))
_ce.add_layouts(F.cross_entropy, N(6, 10), I(10, 6))
_nll.add(lambda x, t, w: F.nll_loss(x, t, w, ignore_index=1), P(9, 4), I(4, 9), P(4, grad=False))
_nll.add_layouts(F.nll_loss, P(6, 10), I(10, 6))

PAIRED = {
    "mse_loss": (F.mse_loss, N, N, "reduction", {}),
    "l1_loss": (F.l1_loss, A, P, "reduction", {}),
    "smooth_l1_loss": (F.smooth_l1_loss, A, N, "composite", {"beta": 0.4}),
    "huber_loss": (F.huber_loss, A, N, "composite", {"delta": 0.4}),
    "binary_cross_entropy": (F.binary_cross_entropy, Q, Q, "composite", None),
    "binary_cross_entropy_with_logits": (F.binary_cross_entropy_with_logits, N, Q, "composite", None),
    "kl_div": (F.kl_div, U, Q, "composite", {"log_target": True}),
}
for _name, (_function, _x, _y, _klass, _options) in PAIRED.items():
    _new = row(_name, _klass, "bfloat16")
    for _shape in ((), (1,), (5,), (3, 4), (2, 3, 5), (17, 33)):
        _new.add(_function, _x(*_shape), _y(*_shape))
    for _reduction in ("sum", "none"):
        _new.add(lambda x, y, f=_function, r=_reduction: f(x, y, reduction=r), _x(3, 4), _y(3, 4))
    if _options:
        _new.add(lambda x, y, f=_function, o=_options: f(x, y, **o), _x(3, 4), _y(3, 4))
    _new.add_layouts(_function, _x(6, 10), _y(6, 10))
    if _name.startswith("binary"):
        _new.add(lambda x, y, w, f=_function: f(x, y, weight=w), _x(3, 4), _y(3, 4), P(4, grad=False))
    if _name.endswith("logits"):
        _new.add(lambda x, y, w, f=_function: f(x, y, pos_weight=w), _x(3, 4), _y(3, 4), P(4, grad=False))
    if _name == "kl_div":
        _new.add(lambda x, y: F.kl_div(torch.log_softmax(x, 1), y.softmax(1), reduction="batchmean"), N(3, 4), N(3, 4))
