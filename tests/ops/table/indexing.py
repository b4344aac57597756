# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501
"""Rows that read or write through indices, and sorting."""

import torch
import torch.nn.functional as F

from ..cases import A, I, N, T, row

_embedding = row("embedding", "exact")
for _table, _ids in (
    ((5, 3), ()),
    ((5, 3), (4,)),
    ((1, 1), (1,)),
    ((9, 4), (2, 3)),
    ((9, 4), (2, 3, 2)),
    ((33, 17), (40,)),
    ((100, 64), (8, 16)),
):
    _embedding.add(lambda w, i: F.embedding(i, w), N(*_table), I(_table[0], *_ids))
_embedding.add(lambda w, i: F.embedding(i, w, padding_idx=2), N(5, 3), I(5, 9), smooth=False)
_embedding.add(lambda w, i: F.embedding(i, w), N(300, 16), I(300, 20, 9))  # the gradient goes by rows of the table
_embedding.add_layouts(lambda w, i: F.embedding(i, w), N(6, 10), I(6, 4, 4))

_select = row("index_select", "exact", "bfloat16", "int64")
for _shape, _dim, _count in (
    ((5,), 0, 3),
    ((3, 4), 0, 5),
    ((3, 4), 1, 2),
    ((3, 4), -1, 7),
    ((2, 3, 5), 1, 3),
    ((1, 7, 1), 1, 4),
    ((17, 33), 0, 20),
):
    _select.add(lambda x, i, d=_dim: torch.index_select(x, d, i), N(*_shape), I(_shape[_dim], _count))
_select.add_layouts(lambda x, i: x.index_select(1, i), N(6, 10), I(10, 4))

_gather = row("gather", "exact", "bfloat16", "int64")
for _shape, _dim, _index in (
    ((5,), 0, (3,)),
    ((3, 4), 0, (2, 4)),
    ((3, 4), 1, (3, 2)),
    ((3, 4), -1, (3, 9)),
    ((2, 3, 5), 1, (2, 4, 5)),
    ((1, 1), 1, (1, 1)),
    ((17, 33), 1, (17, 5)),
    ((3, 40), 0, (5, 40)),
    ((4, 5, 70), 1, (3, 6, 67)),
    ((3, 9), 1, (3, 75)),
):
    _gather.add(lambda x, i, d=_dim: torch.gather(x, d, i), N(*_shape), I(_shape[_dim], *_index))
_gather.add_layouts(lambda x, i: x.gather(1, i), N(6, 10), I(10, 6, 4))


def distinct(index, size, dim):
    """Makes the entries of `index` different along `dim`, so that set has one meaning."""
    steps = torch.arange(index.shape[dim])
    shape = [1] * index.dim()
    shape[dim] = -1
    return (index * 0 + steps.reshape(shape)) % size


_scatter = row("scatter", "rounded", "int64")
for _shape, _dim, _index in (
    ((5,), 0, (3,)),
    ((3, 4), 0, (2, 4)),
    ((3, 4), 1, (3, 2)),
    ((2, 3, 5), -2, (2, 2, 5)),
    ((1, 1), 1, (1, 1)),
    ((17, 33), 1, (17, 5)),
    ((4, 3, 80), 2, (3, 2, 75)),
    ((90, 40), 0, (75, 33)),
):
    _scatter.add(
        lambda x, i, s, d=_dim: x.scatter(d, distinct(i, x.shape[d], d % x.dim()), s),
        N(*_shape), I(_shape[_dim], *_index), N(*_index),
    )  # fmt: skip
    _scatter.add(lambda x, i, s, d=_dim: x.scatter_add(d, i, s), N(*_shape), I(_shape[_dim], *_index), N(*_index))
_scatter.add(lambda x, i: x.scatter(1, distinct(i, 4, 1), 2.5), N(3, 4), I(4, 3, 2))
_scatter.add(lambda x, i, s: x.scatter_reduce(1, i, s, "amax"), A(3, 4), I(4, 3, 6), N(3, 6), smooth=False)
_scatter.add(lambda x, i, s: x.scatter_reduce(1, i, s, "prod"), N(3, 4), I(4, 3, 3), N(3, 3), forward_only=True)
_scatter.add_layouts(lambda x, i, s: x.scatter_add(1, i, s), N(6, 10), I(10, 6, 4), N(6, 4))

_index_add = row("index_add", "rounded", "int64")
for _shape, _dim, _count in (
    ((5,), 0, 3),
    ((3, 4), 0, 5),
    ((3, 4), 1, 2),
    ((3, 4), -1, 7),
    ((2, 3, 5), 1, 3),
    ((1, 1), 0, 1),
    ((17, 33), 0, 20),
):
    _source = tuple(_count if axis == _dim % len(_shape) else size for axis, size in enumerate(_shape))
    _index_add.add(lambda x, i, s, d=_dim: x.index_add(d, i, s), N(*_shape), I(_shape[_dim], _count), N(*_source))
_index_add.add(lambda x, i, s: x.index_add(0, i, s, alpha=-0.5), N(3, 4), I(3, 2), N(2, 4))
_index_add.add_layouts(lambda x, i, s: x.index_add(1, i, s), N(6, 10), I(10, 4), N(6, 4))

_index = row("index", "exact", "bfloat16", "int64")
_index.add(lambda x, i: x[i], N(5), I(5, 3))
_index.add(lambda x, i: x[i], N(5, 3), I(5, 1, low=-5))
_index.add(lambda x, i: x[i], N(5, 3), I(5, 2, 4))
_index.add(lambda x, i: x[:, i], N(5, 3), I(3, 4))
_index.add(lambda x, i, j: x[i, j], N(5, 3), I(5, 4), I(3, 4))
_index.add(lambda x, i, j: x[i, j], N(5, 3), I(5, 4, 1), I(3, 6))
_index.add(lambda x, i, j: x[i, :, j], N(5, 3, 4), I(5, 6), I(4, 6))
_index.add(lambda x, i, j: x[i, :, j], N(5, 3, 16), I(5, 2, low=-5), I(16, 2))  # few places of many
_index.add(lambda x, i, j: x[:, i, :, j], N(2, 6, 3, 8, 5), I(6, 2), I(8, 2, low=-8))
_index.add(lambda x, i, j: x[i, :, j, :, i], N(9, 2, 6, 3, 9), I(9, 2, 1), I(6, 3))
_index.add(lambda x: x[torch.tensor([0, 2, 1])], N(5, 3))
_index.add(lambda x, i: x[..., i], N(2, 17, 33), I(33, 9))
_index.add_layouts(lambda x, i: x[i], N(6, 10), I(6, 4))


def put(accumulate):
    return lambda x, v, i: x.index_put((i,), v, accumulate=accumulate)


_put = row("index_put", "rounded", "int64")
for _shape, _count in (((5,), 3), ((5, 3), 4), ((1, 1), 1), ((17, 9), 20)):
    _put.add(put(True), N(*_shape), N(_count, *_shape[1:]), I(_shape[0], _count))
    _put.add(
        lambda x, v: x.index_put((torch.arange(v.shape[0]),), v), N(*_shape), N(min(_count, _shape[0]), *_shape[1:])
    )
_put.add(lambda x, v, i, j: x.index_put((i, j), v, accumulate=True), N(5, 3), N(4), I(5, 4), I(3, 4))
_put.add(lambda x, v, i: x.index_put((i,), v, accumulate=True), N(5, 3), N(), I(5, 4))
_put.add_layouts(put(True), N(6, 10), N(4, 10), I(6, 4))


def assigned(where):
    """x with x[where] = y, written in place on a copy."""

    def function(x, y):
        x = x.clone()
        x[where] = y
        return x

    return function


_assign = row("slice_scatter", "exact", "bfloat16", "int64")
_assign.add(lambda x, y: torch.slice_scatter(x, y, 0, 1, 3), N(5), N(2))
_assign.add(lambda x, y: torch.slice_scatter(x, y, 1, 0, 4, 2), N(3, 4), N(3, 2))
_assign.add(assigned((slice(1, 3),)), N(5, 2), N(2, 2))
_assign.add(assigned((slice(None), slice(0, 2))), N(3, 4), N(3, 2))
_assign.add(assigned((slice(None), slice(0, 2))), N(3, 4), N())
_assign.add(assigned((0,)), N(3, 4), N(4))
_assign.add(assigned((Ellipsis, slice(1, None, 3))), N(2, 3, 5), N(2, 3, 2))
_assign.add(assigned((slice(3, 9), slice(5, 20))), N(17, 33), N(6, 15))
_assign.add_layouts(lambda x, y: torch.slice_scatter(x, y, 1, 2, 6), N(6, 10), N(6, 4))

_one_hot = row("one_hot", "exact")
for _shape, _classes in (
    ((), 3),
    ((1,), 1),
    ((5,), 4),
    ((3, 4), 7),
    ((2, 3, 2), 5),
    ((17,), 33),
    ((40,), 10),
    ((1, 7), 9),
):
    _one_hot.add(lambda i, k=_classes: F.one_hot(i, k), I(_classes, *_shape))
_one_hot.add_layouts(lambda i: F.one_hot(i, 5), I(5, 6, 10))

_topk = row("topk", "exact")
for _shape, _k, _dim in (
    ((5,), 2, -1),
    ((3, 4), 1, 1),
    ((3, 4), 4, -1),
    ((3, 4), 2, 0),
    ((2, 3, 5), 2, -2),
    ((1, 1), 1, 1),
    ((3, 61), 7, 1),
):
    _topk.add(lambda x, k=_k, d=_dim: tuple(torch.topk(x, k, dim=d)), A(*_shape))
_topk.add(lambda x: tuple(torch.topk(x, 3, largest=False)), A(4, 9))
_topk.add_layouts(lambda x: tuple(x.topk(3, dim=1)), A(6, 10))

_sort = row("sort", "exact")
_argsort = row("argsort", "exact")
for _shape, _dim in (((1,), 0), ((5,), -1), ((3, 4), 1), ((3, 4), 0), ((2, 3, 5), -2), ((1, 7, 1), 1), ((3, 61), 1)):
    for _descending in (False, True) if len(_shape) == 2 else (False,):
        _sort.add(lambda x, d=_dim, r=_descending: tuple(torch.sort(x, dim=d, descending=r)), A(*_shape))
        _argsort.add(lambda x, d=_dim, r=_descending: torch.argsort(x, dim=d, descending=r), A(*_shape))
_sort.add_layouts(lambda x: tuple(x.sort(dim=1)), A(6, 10))
_argsort.add_layouts(lambda x: x.argsort(dim=1), A(6, 10))

_search = row("searchsorted", "exact", "float64", "bfloat16", "int64")
for _lines, _values in (
    ((5,), ()),
    ((5,), (3, 4)),
    ((1,), (7,)),
    ((2, 7), (2, 4)),
    ((2, 3, 17), (2, 3, 1)),
    ((100,), (33, 9)),
):
    for _right in (False, True):
        _search.add(
            lambda s, x, r=_right: torch.searchsorted(s.sort(-1)[0], x, right=r), T(*_lines), T(*_values), smooth=False,
        )  # fmt: skip
_search.add(
    lambda s, x: torch.searchsorted(s, x, side="right"), N(3, 8), N(3, 5), smooth=False
)  # lines that do not ascend
_search.add(lambda s, x: torch.searchsorted(s, x, sorter=s.argsort(-1)), A(3, 8), N(3, 5), smooth=False)
_search.add(lambda s, x: torch.searchsorted(s.sort(-1)[0], x, out_int32=True), A(8), N(3, 5), smooth=False)
_search.add(lambda s: torch.searchsorted(s.sort(-1)[0], 0.25), A(8), smooth=False)
_search.add(lambda x: torch.bucketize(x, torch.tensor([-1.0, 0.0, 0.5]), right=True), T(3, 9), smooth=False)
_search.add(lambda x: torch.bucketize(x, torch.tensor([-1, 0, 1])), T(3, 9), smooth=False)
_search.add(lambda i: torch.bucketize(i, torch.tensor([-1.5, 0.0, 3.0])), I(5, 3, 9), smooth=False)
_search.add(lambda x: torch.bucketize(x, torch.tensor([])), N(3), smooth=False)
_search.add(  # of NaN, and among them
    lambda s, x: torch.searchsorted(s.masked_fill(s < -0.5, torch.nan), x.masked_fill(x > 0.5, torch.nan)),
    N(4, 9), N(4, 7), smooth=False,
)  # fmt: skip
_search.add_layouts(lambda s, x: torch.searchsorted(s, x), A(6, 10), N(6, 10))

_topk.add(lambda x: tuple(x.topk(20)), A(2, 600))
_topk.add(lambda x: tuple(x.topk(17, dim=0, largest=False)), A(520, 3))
_topk.add(lambda x: x.topk(20)[0], T(2, 600), forward_only=True)
_topk.add(lambda x: x.topk(5)[0], T(3, 200), forward_only=True)
_topk.add(lambda x: tuple(x.topk(2)), A(4000))
_topk.add(lambda x: tuple(x.topk(5, dim=1)), A(3, 60, 40))
_topk.add(lambda x: tuple(x.topk(40, dim=0)), A(200, 35))
