# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501
"""Rows that only move elements, and the constants made inside a graph."""

import torch
import torch.nn.functional as F
from sambaflow import samba

from ..cases import I, N, row

TYPES = ("bfloat16", "int64")


def moves(name, pairs, layouts, *, also=TYPES):
    """A row of pure data movement: (shape, function) pairs and one function for the layouts of a 6x10 input."""
    new = row(name, "exact", *also)
    for shape, function in pairs:
        new.add(function, N(*shape))
    new.add_layouts(layouts, N(6, 10))
    return new


moves("reshape", [
    ((), lambda x: x.reshape(1, 1)), ((1,), lambda x: x.reshape(())), ((6,), lambda x: x.reshape(2, 3)),
    ((2, 3, 4), lambda x: x.reshape(2, -1)), ((2, 3, 4), lambda x: torch.reshape(x, (4, 6))), ((5, 1), lambda x: x.reshape(-1)),
    ((3, 4), lambda x: x.t().reshape(2, 6)), ((17, 33), lambda x: x.reshape(33, 17)), ((4, 6), lambda x: x.unflatten(1, (2, 3)).permute(2, 0, 1).reshape(-1)),
], lambda x: x.reshape(5, 12))  # fmt: skip
moves("view", [
    ((), lambda x: x.view(1)), ((1,), lambda x: x.view(())), ((6,), lambda x: x.view(2, 3)), ((2, 3, 4), lambda x: x.view(2, -1)),
    ((2, 3, 4), lambda x: x.view(6, 4)), ((5, 1), lambda x: x.view(-1)), ((17, 33), lambda x: x.view(33, 17)), ((3, 4), lambda x: x.view_as(x)),
], lambda x: x.contiguous().view(4, 15))  # fmt: skip
moves("flatten", [
    ((), torch.flatten), ((1,), torch.flatten), ((2, 3, 4), torch.flatten), ((2, 3, 4), lambda x: torch.flatten(x, 1)),
    ((2, 3, 4), lambda x: x.flatten(0, 1)), ((2, 3, 4, 5), lambda x: x.flatten(1, -2)), ((17, 33), torch.flatten), ((2, 6, 5, 5), torch.nn.Flatten()),
], torch.flatten)  # fmt: skip
moves("permute", [
    ((), lambda x: x.permute(())), ((3,), lambda x: x.permute(0)), ((3, 4), lambda x: x.permute(1, 0)), ((2, 3, 4), lambda x: x.permute(2, 0, 1)),
    ((2, 3, 4), lambda x: x.permute(-1, 1, 0)), ((2, 3, 4, 5), lambda x: torch.permute(x, (0, 2, 3, 1))), ((1, 7, 1), lambda x: x.permute(1, 0, 2)),
    ((17, 3, 33), lambda x: x.permute(2, 1, 0)),
], lambda x: x.permute(1, 0))  # fmt: skip
moves("transpose", [
    ((3, 4), lambda x: x.transpose(0, 1)), ((3, 4), torch.t), ((2, 3, 4), lambda x: x.transpose(-1, -2)), ((2, 3, 4), lambda x: x.transpose(0, 2)),
    ((2, 3, 4), lambda x: x.mT), ((1, 5), lambda x: x.T), ((65, 33), lambda x: x.t()), ((2, 3, 4, 5), lambda x: x.transpose(1, 2)), ((5,), torch.t),
], lambda x: x.transpose(0, 1))  # fmt: skip
moves("expand", [
    ((), lambda x: x.expand(3)), ((1,), lambda x: x.expand(5)), ((3, 1), lambda x: x.expand(3, 4)), ((3, 1), lambda x: x.expand(-1, 7)),
    ((4,), lambda x: x.expand(2, 3, 4)), ((1, 5, 1), lambda x: x.expand(2, 5, 3)), ((1, 33), lambda x: x.expand(17, 33)),
    ((3, 4), lambda x: x.expand_as(x)), ((1, 1), lambda x: torch.broadcast_to(x, (2, 3, 4))),
], lambda x: x.expand(2, 6, 10))  # fmt: skip
moves("squeeze", [
    ((1,), torch.squeeze), ((3, 1), torch.squeeze), ((1, 3, 1), lambda x: x.squeeze(0)), ((1, 3, 1), lambda x: x.squeeze(-1)),
    ((3, 4), lambda x: x.squeeze(0)), ((1, 1, 5), lambda x: x.squeeze((0, 1))), ((1, 1), torch.squeeze), ((1, 17, 1, 33), torch.squeeze),
], torch.squeeze)  # fmt: skip
moves("unsqueeze", [
    ((), lambda x: x.unsqueeze(0)), ((5,), lambda x: x.unsqueeze(0)), ((5,), lambda x: x.unsqueeze(-1)), ((3, 4), lambda x: x.unsqueeze(1)),
    ((3, 4), lambda x: x.unsqueeze(-2)), ((1,), lambda x: x.unsqueeze(0)), ((2, 3, 5), lambda x: x.unsqueeze(3)), ((17, 33), lambda x: x[None]),
], lambda x: x.unsqueeze(1))  # fmt: skip
moves("getitem", [
    ((5,), lambda x: x[1:4]), ((5,), lambda x: x[::2]), ((3, 4), lambda x: x[1:, :-1]), ((3, 4), lambda x: x[..., 1:3]), ((2, 3, 5), lambda x: x[:, 1:2, ::2]),
    ((2, 3, 5), lambda x: x[0, :, 1:]), ((1, 7, 1), lambda x: x[:, 2:5]), ((17, 33), lambda x: x[3:11, 5:]), ((3, 4), lambda x: x[:, None, 1:2]),
], lambda x: x[1:5, 2:9:3])  # fmt: skip
moves("select", [
    ((5,), lambda x: x.select(0, 2)), ((3, 4), lambda x: x.select(1, -1)), ((3, 4), lambda x: x.select(0, 0)), ((2, 3, 5), lambda x: x.select(1, 1)),
    ((1,), lambda x: x.select(0, 0)), ((2, 3, 5), lambda x: x.select(-1, 4)), ((17, 33), lambda x: x.select(1, 32)), ((2, 3, 5), lambda x: torch.select(x, 0, 1)),
], lambda x: x.select(1, 3))  # fmt: skip
moves("narrow", [
    ((5,), lambda x: x.narrow(0, 1, 3)), ((3, 4), lambda x: x.narrow(1, 0, 1)), ((3, 4), lambda x: x.narrow(-1, 2, 2)), ((2, 3, 5), lambda x: x.narrow(1, 1, 2)),
    ((1,), lambda x: x.narrow(0, 0, 1)), ((17, 33), lambda x: x.narrow(0, 5, 11)), ((2, 3, 5), lambda x: torch.narrow(x, 2, 0, 5)), ((4, 1), lambda x: x.narrow(0, 3, 1)),
], lambda x: x.narrow(1, 2, 5))  # fmt: skip
moves("split", [
    ((5,), lambda x: x.split(2)), ((6, 4), lambda x: x.split(3, dim=0)), ((3, 4), lambda x: x.chunk(2, dim=1)), ((3, 7), lambda x: x.split([2, 4, 1], dim=-1)),
    ((3, 4), lambda x: x.unbind(0)), ((2, 3, 5), lambda x: x.unbind(-2)), ((1, 4), lambda x: torch.split(x, 4, dim=1)), ((17, 33), lambda x: torch.chunk(x, 4)),
], lambda x: x.split(4, dim=1))  # fmt: skip
moves("flip", [
    ((1,), lambda x: x.flip(0)), ((5,), lambda x: x.flip(0)), ((3, 4), lambda x: x.flip(1)), ((3, 4), lambda x: x.flip(0, 1)), ((2, 3, 5), lambda x: torch.flip(x, (-2,))),
    ((2, 3, 5), lambda x: x.flip(0, 2)), ((17, 33), lambda x: x.flip(1)), ((1, 7, 1), lambda x: x.flip(1)),
], lambda x: x.flip(1))  # fmt: skip
moves("repeat", [
    ((), lambda x: x.repeat(3)), ((1,), lambda x: x.repeat(4)), ((5,), lambda x: x.repeat(2)), ((3, 4), lambda x: x.repeat(2, 1)), ((3, 4), lambda x: x.repeat(1, 3)),
    ((3, 4), lambda x: x.repeat(2, 1, 2)), ((17, 9), lambda x: x.repeat(2, 2)), ((2, 3, 5), lambda x: torch.tile(x, (2,))),
], lambda x: x.repeat(2, 2))  # fmt: skip
moves("repeat_interleave", [
    ((1,), lambda x: x.repeat_interleave(4)), ((5,), lambda x: x.repeat_interleave(2)), ((3, 4), lambda x: x.repeat_interleave(2)),
    ((3, 4), lambda x: x.repeat_interleave(2, dim=0)), ((3, 4), lambda x: x.repeat_interleave(3, dim=-1)), ((2, 3, 5), lambda x: x.repeat_interleave(2, dim=1)),
    ((17, 9), lambda x: x.repeat_interleave(2, dim=1)), ((2, 3), lambda x: torch.repeat_interleave(x, 1, dim=0)),
], lambda x: x.repeat_interleave(2, dim=1))  # fmt: skip
moves("roll", [
    ((5,), lambda x: x.roll(2)), ((5,), lambda x: x.roll(-1)), ((3, 4), lambda x: x.roll(1, 0)), ((3, 4), lambda x: x.roll((1, -2), (0, 1))), ((3, 4), lambda x: x.roll(5)),
    ((2, 3, 5), lambda x: x.roll(2, -1)), ((17, 33), lambda x: x.roll(9, 1)), ((1, 7, 1), lambda x: x.roll(3, 1)),
], lambda x: x.roll(3, 1))  # fmt: skip
for _name, _function in (("tril", torch.tril), ("triu", torch.triu)):
    moves(_name, [
        ((1, 1), _function), ((3, 3), _function), ((3, 5), _function), ((5, 3), lambda x, f=_function: f(x, 1)), ((5, 5), lambda x, f=_function: f(x, -2)),
        ((2, 4, 4), _function), ((17, 33), lambda x, f=_function: f(x, 4)), ((2, 3, 5), lambda x, f=_function: f(x, diagonal=-1)),
    ], _function)  # fmt: skip
moves("diagonal", [
    ((3, 3), torch.diagonal), ((3, 5), torch.diagonal), ((5, 3), lambda x: x.diagonal(1)), ((5, 3), lambda x: x.diagonal(-2)),
    ((2, 4, 4), lambda x: x.diagonal(0, 1, 2)), ((2, 4, 3), lambda x: x.diagonal(dim1=-1, dim2=0)), ((1, 1), torch.diagonal), ((17, 33), torch.diagonal),
    ((3, 4, 3), lambda x: x.diagonal(0, 0, 2)), ((2, 5, 3, 2, 4, 2), lambda x: x.diagonal(-2, 1, 4)), ((4, 2, 3, 6), lambda x: x.diagonal(2, 3, 0)),
    ((3, 2, 5, 3), lambda x: x.diagonal(1, 2, 0)),
], torch.diagonal)  # fmt: skip
moves("unfold", [
    ((5,), lambda x: x.unfold(0, 2, 1)), ((7,), lambda x: x.unfold(0, 3, 2)), ((3, 8), lambda x: x.unfold(1, 4, 4)), ((3, 8), lambda x: x.unfold(-1, 2, 3)),
    ((6, 4), lambda x: x.unfold(0, 3, 1)), ((1, 1), lambda x: x.unfold(0, 1, 1)), ((2, 6, 5), lambda x: x.unfold(1, 2, 2)), ((3, 33), lambda x: x.unfold(1, 9, 5)),
    ((11, 2), lambda x: x.unfold(0, 2, 4)), ((3, 8), lambda x: x.unfold(1, 3, 2_000_000_000)),
], lambda x: x.unfold(1, 3, 2), also=("int64",))  # fmt: skip
moves("pad", [
    ((5,), lambda x: F.pad(x, (1, 2))), ((3, 4), lambda x: F.pad(x, (1, 0, 2, 1), value=1.5)), ((2, 3, 5), lambda x: F.pad(x, (0, 3))), ((3, 4), lambda x: F.pad(x, (-1, 2))),
    ((1, 2, 5), lambda x: F.pad(x, (2, 1), mode="reflect")), ((1, 2, 4, 5), lambda x: F.pad(x, (1, 2, 2, 1), mode="replicate")), ((1, 2, 5), lambda x: F.pad(x, (2, 3), mode="circular")),
    ((2, 17, 9), lambda x: F.pad(x, (4, 4, 1, 1))), ((1, 2, 4, 5), lambda x: F.pad(x, (2, 2, 1, 1), mode="reflect")),
], lambda x: F.pad(x, (1, 2, 3, 4)))  # fmt: skip


def fill_above(x):
    return samba.triu_fill(x, -1.5)


moves("triu_fill", [((1, 1), fill_above), ((3, 3), fill_above), ((3, 5), fill_above), ((5, 3), fill_above), ((2, 4, 4), fill_above), ((2, 2, 3, 5), fill_above), ((17, 33), fill_above)], fill_above, also=("bfloat16",))  # fmt: skip

for _name, _function in (("cat", torch.cat), ("stack", torch.stack)):
    _new = row(_name, "exact", *TYPES)
    for _shape, _dim in (((1,), 0), ((5,), 0), ((3, 4), 0), ((3, 4), 1), ((3, 4), -1), ((2, 3, 5), -2), ((17, 33), 1)):
        _new.add(lambda x, y, f=_function, d=_dim: f((x, y), dim=d), N(*_shape), N(*_shape))
    _new.add(lambda x, y, z, f=_function: f([x, y, x, z]), N(3, 4), N(3, 4), N(3, 4))
    _new.add_layouts(lambda x, y, f=_function: f((x, y), dim=1), N(6, 10), N(6, 10))
    if _name == "cat":
        _new.add(lambda x, y: torch.cat((x, y), dim=1), N(3, 2), N(3, 7))
        _new.add(lambda x, y: torch.cat((x, y.to(x.dtype))), N(3, 2), I(5, 1, 2))
    else:
        _new.add(lambda x, y: torch.stack((x, y)), N(), N())

_full = row("full", "rounded")
for _shape in ((), (1,), (5,), (3, 4), (2, 3, 5)):
    _full.add(lambda x, s=_shape: x * torch.full(s, 2.5, dtype=x.dtype), N(*_shape))
_full.add(lambda x: x + torch.ones_like(x), N(3, 4))
_full.add(lambda x: x + torch.zeros(4, dtype=x.dtype), N(3, 4))
_full.add(lambda x: x.new_full((3, 4), 0.5) * x, N(3, 4))
_full.add_layouts(lambda x: x - torch.full_like(x, 0.25), N(6, 10))

_arange = row("arange", "rounded")
for _shape in ((1,), (5,), (3, 4), (2, 3, 5), (1, 7), (17, 33)):
    _arange.add(lambda x: x * torch.arange(x.shape[-1]), N(*_shape))
_arange.add(lambda x: x + torch.arange(3, 11, 2, dtype=x.dtype), N(3, 4))
_arange.add(lambda x: x + torch.arange(0.0, 1.0, 0.25, dtype=x.dtype), N(3, 4))
_arange.add_layouts(lambda x: x * torch.arange(10), N(6, 10))

DIGITS_OF_PI = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3]
_constant = row("constant", "rounded")
for _shape in ((1,), (5,), (3, 4), (2, 3, 5), (5, 1, 2), (17, 33)):
    _values = torch.arange(1.0, 1.0 + torch.Size(_shape).numel()).sqrt().reshape(_shape)
    _constant.add(lambda x, v=_values: x * v.to(x.dtype), N(*_shape))
_constant.add(lambda x: x + torch.tensor([1.0, -2.0, 3.0, 0.5], dtype=x.dtype), N(3, 4))
_constant.add(lambda x: x * torch.tensor(0.75, dtype=x.dtype), N(3, 4))
_constant.add_layouts(lambda x: x * torch.tensor(DIGITS_OF_PI, dtype=x.dtype), N(6, 10))

# Integers that floats have, and those beyond: 2^24 + 1 is none.
for _far in (0, 1 << 23, 1 << 24, 1 << 40):
    for _dtype in (torch.int64, torch.int32) if _far < 1 << 31 else (torch.int64,):
        _arange.add(
            lambda x, n=_far, t=_dtype: x * (torch.arange(9, dtype=t) + n > torch.arange(8, -1, -1, dtype=t) + n + 1),
            N(3, 9),
        )
        _arange.add(lambda x, n=_far, t=_dtype: x * ((torch.arange(9, dtype=t) + n) - (n - 3)), N(3, 9))
        _arange.add(
            lambda x, n=_far, t=_dtype: x * torch.maximum(torch.arange(9, dtype=t) + n, torch.full((9,), n + 5).to(t)),
            N(3, 9),
            forward_only=True,
        )
