# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501
"""Rows that reduce or scan along dims, and normalisations."""

from dataclasses import replace

import torch
import torch.nn.functional as F

from ..cases import ROWS, A, B, N, P, T, W, row

# (shape, dim or None, keepdim)
DIMS = [
    ((), None, False), ((1,), 0, False), ((5,), None, False), ((3, 4), -1, True), ((3, 4), 0, False), ((2, 3, 5), (0, 2), False),
    ((2, 3, 5), -2, True), ((17, 33), 1, False), ((33, 17), 0, True), ((3, 1031), -1, False),
]  # fmt: skip


def over_dims(name, klass, function, make, *also, several=True, smooth=True, forward_only=False):
    """A row with `function(x, dim, keepdim)` over DIMS and layouts. `several` False: one dim only."""
    new = row(name, klass, *also)
    for shape, dim, keepdim in DIMS:
        if isinstance(dim, tuple) and not several:
            dim = dim[0]
        new.add(_bind(function, dim, keepdim), make(*shape), smooth=smooth, forward_only=forward_only)
    new.add_layouts(_bind(function, 1, False), make(6, 10), smooth=smooth, forward_only=forward_only)
    return new


def _bind(function, dim, keepdim):
    return lambda x: function(x, dim, keepdim)


def plain(function):
    """`function` with dim and keepdim where a dim is given, without where all dims are meant."""
    return lambda x, dim, keepdim: function(x) if dim is None else function(x, dim=dim, keepdim=keepdim)


def some(function):
    """As `plain`, for functions that take one dim or have no form without: all dims means the last."""
    return lambda x, dim, keepdim: function(x, dim=-1 if dim is None else dim, keepdim=keepdim)


over_dims("sum", "reduction", plain(torch.sum), N, "bfloat16", "int32")
over_dims("mean", "reduction", plain(torch.mean), N, "bfloat16")
over_dims("prod", "reduction", plain(torch.prod), lambda *s: W(*(min(n, 61) for n in s)), several=False)
for _function in (torch.amax, torch.amin):
    _new = over_dims(_function.__name__, "exact", some(_function), A, "bfloat16", "int32")
    _new.add(lambda x, f=_function: f(x, dim=1), T(4, 9), smooth=False)
for _function in (torch.max, torch.min):
    over_dims(
        _function.__name__,
        "exact",
        lambda x, d, k, f=_function: tuple(f(x, dim=-1 if d is None else d, keepdim=k)),
        A,
        several=False,
    )
for _name in ("argmax", "argmin"):
    over_dims(_name, "exact", plain(getattr(torch, _name)), A, several=False)
for _name in ("any", "all"):
    over_dims(_name, "exact", plain(getattr(torch, _name)), B, several=False)


def spread(function, correction):
    return lambda x, dim, keepdim: function(x, dim=dim, keepdim=keepdim, correction=correction)


for _name in ("var", "std"):
    _function = getattr(torch, _name)
    _new = row(_name, "composite", "bfloat16")
    for _shape, _dim, _keepdim in DIMS[2:]:
        _new.add(_bind(spread(_function, 1), _dim, _keepdim), A(*_shape))
    _new.add(_bind(spread(_function, 0), 1, False), A(4, 7))
    _new.add(_bind(spread(_function, 1), 1, True), A(2, 7, 1))
    _new.add_layouts(_bind(spread(_function, 1), 1, False), A(6, 10))

_norm = row("norm", "composite", "bfloat16")
for _shape, _dim, _keepdim in DIMS:
    _norm.add(lambda x, d=_dim, k=_keepdim: torch.linalg.vector_norm(x, dim=d, keepdim=k), W(*_shape))
for _p in (1, 3, 2.5, float("inf"), float("-inf")):
    _norm.add(lambda x, p=_p: torch.linalg.vector_norm(x, ord=p, dim=1), A(4, 7))
_norm.add(lambda x: torch.linalg.vector_norm(x, ord=0, dim=1), A(4, 7), forward_only=True)
_norm.add(lambda x: torch.norm(x), W(4, 7))
_norm.add_layouts(lambda x: torch.norm(x, dim=1), W(6, 10))

over_dims("logsumexp", "function", some(torch.logsumexp), N, "bfloat16")

for _name, _make, _klass in (("cumsum", N, "reduction"), ("cumprod", P, "reduction")):
    _function = getattr(torch, _name)
    _new = row(_name, _klass, *(("bfloat16", "int64") if _name == "cumsum" else ()))
    for _shape, _dim in (
        ((1,), 0),
        ((5,), -1),
        ((3, 4), 0),
        ((3, 4), 1),
        ((2, 3, 5), 1),
        ((1, 7, 1), -2),
        ((17, 9), 0),
        ((3, 61), -1),
    ):
        _new.add(lambda x, f=_function, d=_dim: f(x, dim=d), _make(*_shape))
    _new.add(lambda x, f=_function: f(x, dim=0), _make())
    _new.add_layouts(lambda x, f=_function: f(x, dim=1), _make(6, 10))

for _name, _function in (("softmax", torch.softmax), ("log_softmax", torch.log_softmax)):
    _new = row(_name, "function", "bfloat16")
    for _shape, _dim in (
        ((), 0),
        ((1,), 0),
        ((5,), -1),
        ((3, 4), 0),
        ((3, 4), 1),
        ((2, 3, 5), -2),
        ((1, 7, 1), 1),
        ((17, 33), -1),
        ((3, 1031), 1),
    ):
        _new.add(lambda x, f=_function, d=_dim: f(x, dim=d), N(*_shape))
    _new.add_layouts(lambda x, f=_function: f(x, dim=1), N(6, 10))

_layer = row("layer_norm", "composite", "bfloat16")
for _shape, _normal in (
    ((5,), 1),
    ((3, 4), 1),
    ((3, 4), 2),
    ((2, 3, 5), 1),
    ((2, 3, 5), 2),
    ((17, 33), 1),
    ((4, 512), 1),
    ((2, 1031), 1),
):
    _layer.add(lambda x, w, b: F.layer_norm(x, w.shape, w, b), N(*_shape), P(*_shape[-_normal:]), N(*_shape[-_normal:]))
_layer.add(lambda x: F.layer_norm(x, (7,)), N(4, 7))
_layer.add(lambda x, w, b: F.layer_norm(x, (9,), w, b), N(1, 9), P(9), N(9))
_layer.add(lambda x, w: F.layer_norm(x, (7,), w, None, eps=0.1), N(4, 7), P(7))
_layer.add_layouts(lambda x, w, b: F.layer_norm(x, (10,), w, b), N(6, 10), P(10), N(10))

_rms = row("rms_norm", "composite", "bfloat16")
for _shape, _normal in (
    ((5,), 1),
    ((3, 4), 1),
    ((3, 4), 2),
    ((2, 3, 5), 1),
    ((2, 3, 5), 2),
    ((17, 33), 1),
    ((4, 512), 1),
):
    _rms.add(lambda x, w: F.rms_norm(x, w.shape, w, eps=1e-5), N(*_shape), P(*_shape[-_normal:]))
_rms.add(lambda x: F.rms_norm(x, (7,)), N(4, 7))
_rms.add(lambda x, w: F.rms_norm(x, (9,), w), N(1, 9), P(9))
_rms.add_layouts(lambda x, w: F.rms_norm(x, (10,), w), N(6, 10), P(10))

_batch = row("batch_norm", "composite")
for _shape in ((4, 3), (2, 3, 5), (2, 3, 4, 5), (3, 1, 2, 2), (2, 2, 3, 4, 2), (8, 17)):
    _c = _shape[1]
    _batch.add(lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True), N(*_shape), P(_c), N(_c))
    _batch.add(
        lambda x, w, b, m, v: F.batch_norm(x, m, v, w, b, training=False),
        N(*_shape), P(_c), N(_c), N(_c, grad=False), P(_c, grad=False),
    )  # fmt: skip
_batch.add(lambda x: F.batch_norm(x, None, None, training=True, eps=0.1), N(4, 3, 5))
_batch.add_layouts(lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True), N(6, 10), P(10), N(10))

_group = row("group_norm", "composite", "bfloat16")
for _shape, _groups in (
    ((2, 8), 2),
    ((2, 6, 5), 3),
    ((1, 4, 3, 3), 1),
    ((2, 4, 3, 3), 4),
    ((3, 6, 7), 2),
    ((2, 16, 5, 5), 8),
):
    _group.add(lambda x, w, b, g=_groups: F.group_norm(x, g, w, b), N(*_shape), P(_shape[1]), N(_shape[1]))
_group.add(lambda x: F.group_norm(x, 2), N(2, 4, 5))
_group.add_layouts(lambda x, w, b: F.group_norm(x, 2, w, b), N(3, 4, 6), P(4), N(4))

_instance = row("instance_norm", "composite", "bfloat16")
for _shape in ((2, 3, 5), (1, 1, 7), (2, 3, 4, 5), (3, 2, 9, 9), (1, 4, 2, 3), (2, 2, 3, 2, 3)):
    _instance.add(lambda x, w, b: F.instance_norm(x, weight=w, bias=b), N(*_shape), P(_shape[1]), N(_shape[1]))
_instance.add(lambda x: F.instance_norm(x, eps=0.1), N(2, 4, 5))
_instance.add_layouts(lambda x: F.instance_norm(x), N(3, 4, 6))

# Long sums into few elements: sums of partial sums, which threads share.
for _name, _function, _x in (
    ("sum", lambda x: x.sum(), (48, 700)),
    ("sum", lambda x: x.sum((0, 2, 3)), (2, 3, 64, 96)),
    ("mean", lambda x: x.mean(), (4, 32, 264)),
    ("amax", lambda x: x.amax(), (3, 11000)),
):
    ROWS[_name].add(_function, N(*_x, grad=False))


# Sums of columns that elementwise ops make: partial sums of a few rows each. Not plain, since bench/ops.py takes the
# largest plain case of a row.
def _apart(spec):
    return replace(spec, layout="strided")


ROWS["layer_norm"].add(lambda x, w, b: F.layer_norm(x, (504,), w, b), N(528, 504), P(504), _apart(N(504)))
ROWS["batch_norm"].add(lambda x, w, b: F.batch_norm(x, None, None, w, b, True), N(528, 500), P(500), _apart(N(500)))
ROWS["softmax"].add(lambda x: F.softmax(x, 0), _apart(N(528, 500)))

# Products of rows side by side, and places of winners among equals in lines of several vectors.
ROWS["prod"].add(lambda x: x.prod(1), W(33, 17, grad=False))
ROWS["argmax"].add(lambda x: x.round().argmax(1), N(6, 300, grad=False))
ROWS["argmin"].add(lambda x: x.round().argmin(1), N(6, 300, grad=False))
