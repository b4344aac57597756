# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501
"""Rows of matrix products and attention."""

import torch
import torch.nn.functional as F
from sambaflow import samba

from ..cases import B, N, row

_matmul = row("matmul", "product", "bfloat16")
for _x, _y in (
    ((4,), (4,)), ((3, 4), (4,)), ((4,), (4, 5)), ((3, 4), (4, 5)), ((1, 1), (1, 1)), ((2, 3, 4), (4, 5)), ((2, 3, 4), (2, 4, 5)),
    ((2, 1, 3, 4), (3, 4, 5)), ((3, 4), (2, 4, 5)), ((33, 65), (65, 17)), ((64, 128), (128, 96)), ((1, 257), (257, 130)),
):  # fmt: skip
    _matmul.add(torch.matmul, N(*_x), N(*_y))
_matmul.add_layouts(torch.matmul, N(6, 10), N(10, 6))
_matmul.add(lambda x, y: x @ y.t(), N(6, 10), N(7, 10))

_bmm = row("bmm", "product", "bfloat16")
for _b, _m, _k, _n in (
    (1, 1, 1, 1),
    (2, 3, 4, 5),
    (3, 1, 7, 2),
    (4, 8, 16, 8),
    (2, 33, 17, 9),
    (5, 2, 1, 3),
    (2, 64, 65, 32),
):
    _bmm.add(torch.bmm, N(_b, _m, _k), N(_b, _k, _n))
_bmm.add_layouts(torch.bmm, N(4, 6, 10), N(4, 10, 3))

_linear = row("linear", "product", "bfloat16")
for _shape, _out in (
    ((4,), 3),
    ((1, 1), 1),
    ((3, 4), 5),
    ((2, 3, 4), 5),
    ((32, 784), 10),
    ((17, 33), 65),
    ((64, 128), 96),
    ((2, 3, 4, 9), 2),
):
    _linear.add(F.linear, N(*_shape), N(_out, _shape[-1]), N(_out))
    _linear.add(F.linear, N(*_shape), N(_out, _shape[-1]))
_linear.add_layouts(F.linear, N(6, 10), N(3, 10))

_addmm = row("addmm", "product", "bfloat16")
for _bias, _m, _k, _n in (
    ((5,), 3, 4, 5),
    ((3, 5), 3, 4, 5),
    ((1, 1), 1, 1, 1),
    ((3, 1), 3, 7, 2),
    ((17,), 33, 65, 17),
    ((), 2, 3, 4),
):
    _addmm.add(torch.addmm, N(*_bias), N(_m, _k), N(_k, _n))
_addmm.add(lambda c, x, y: torch.addmm(c, x, y, beta=0.5, alpha=-2.0), N(5), N(3, 4), N(4, 5))
_addmm.add(lambda c, x, y: samba.addmm(c, x, y, is_transposed=True), N(5), N(2, 3, 4), N(5, 4))
_addmm.add_layouts(torch.addmm, N(6, 10), N(6, 4), N(4, 10))

_baddbmm = row("baddbmm", "product")
for _bias, _b, _m, _k, _n in (
    ((2, 3, 5), 2, 3, 4, 5),
    ((5,), 2, 3, 4, 5),
    ((1, 1, 1), 1, 1, 1, 1),
    ((3, 1), 2, 3, 7, 2),
    ((4, 1, 9), 4, 8, 16, 9),
    ((2, 33, 9), 2, 33, 17, 9),
):
    _baddbmm.add(torch.baddbmm, N(*_bias), N(_b, _m, _k), N(_b, _k, _n))
_baddbmm.add(lambda c, x, y: torch.baddbmm(c, x, y, beta=0.5, alpha=-2.0), N(2, 3, 5), N(2, 3, 4), N(2, 4, 5))
_baddbmm.add_layouts(torch.baddbmm, N(4, 6, 3), N(4, 6, 10), N(4, 10, 3))

_einsum = row("einsum", "product")
for _spec, _x, _y in (
    ("ij,jk->ik", (3, 4), (4, 5)), ("bij,bjk->bik", (2, 3, 4), (2, 4, 5)), ("bhqd,bhkd->bhqk", (2, 2, 3, 4), (2, 2, 5, 4)),
    ("i,j->ij", (3,), (4,)), ("ij,ij->", (3, 4), (3, 4)), ("ij,ij->i", (3, 4), (3, 4)), ("ij,kj->ki", (3, 4), (5, 4)),
    ("bsd,de->bse", (2, 3, 4), (4, 5)), ("i,i->", (7,), (7,)), ("...ij,...jk->...ik", (2, 3, 4), (2, 4, 5)), ("ab,cd->acbd", (2, 3), (4, 1)),
):  # fmt: skip
    _einsum.add(lambda x, y, s=_spec: torch.einsum(s, x, y), N(*_x), N(*_y))
for _spec, _x in (("ij->ji", (3, 4)), ("ij->", (3, 4)), ("ijk->ik", (2, 3, 4)), ("ii->i", (4, 4)), ("ii->", (4, 4))):
    _einsum.add(lambda x, s=_spec: torch.einsum(s, x), N(*_x))
for _spec, _x in (("iji->ji", (4, 3, 4)), ("iii->i", (4, 4, 4)), ("jiji->", (3, 4, 3, 4))):
    _einsum.add(lambda x, s=_spec: torch.einsum(s, x), N(*_x))
_einsum.add(lambda x, y: torch.einsum("iij,kjk->ki", x, y), N(3, 3, 4), N(5, 4, 5))
_einsum.add_layouts(lambda x, y: torch.einsum("ij,kj->ik", x, y), N(6, 10), N(3, 10))

_outer = row("outer", "rounded", "bfloat16")
for _m, _n in ((1, 1), (1, 5), (5, 1), (3, 4), (17, 33), (64, 64), (2, 517)):
    _outer.add(torch.outer, N(_m), N(_n))
_outer.add_layouts(torch.outer, N(10), N(6))

_sdpa = row("scaled_dot_product_attention", "product", "bfloat16")
_attend = F.scaled_dot_product_attention
for _b, _h, _q, _k, _d in ((1, 1, 1, 1, 1), (2, 2, 3, 3, 4), (2, 2, 3, 5, 4), (1, 4, 17, 17, 8), (2, 1, 33, 33, 16)):
    _sdpa.add(_attend, N(_b, _h, _q, _d), N(_b, _h, _k, _d), N(_b, _h, _k, _d))
_sdpa.add(lambda q, k, v: _attend(q, k, v, is_causal=True), N(2, 2, 9, 4), N(2, 2, 9, 4), N(2, 2, 9, 4))
_sdpa.add(lambda q, k, v: _attend(q, k, v, scale=0.3), N(2, 5, 4), N(2, 5, 4), N(2, 5, 4))
_sdpa.add(lambda q, k, v, m: _attend(q, k, v, attn_mask=m), N(2, 2, 5, 4), N(2, 2, 6, 4), N(2, 2, 6, 3), N(5, 6))
_sdpa.add(
    lambda q, k, v, m: _attend(q, k, v, attn_mask=m | (m.logical_not().all(-1, keepdim=True))),
    N(2, 2, 5, 4),
    N(2, 2, 6, 4),
    N(2, 2, 6, 4),
    B(5, 6),
)
_sdpa.add(lambda q, k, v: _attend(q, k, v, enable_gqa=True), N(2, 4, 5, 4), N(2, 2, 5, 4), N(2, 2, 5, 4))
_sdpa.add(lambda q, k, v: _attend(q, k, v, enable_gqa=True), N(2, 6, 5, 4), N(1, 2, 7, 4), N(1, 2, 7, 3))
_sdpa.add(lambda q, k, v: _attend(q, k, v, enable_gqa=True, is_causal=True), N(6, 5, 4), N(2, 5, 4), N(2, 5, 4))
_sdpa.add(  # as models have them: heads lie within tokens
    lambda q, k, v: _attend(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), enable_gqa=True),
    N(2, 5, 4, 3),
    N(2, 5, 2, 3),
    N(2, 5, 2, 3),
)
_sdpa.add_layouts(_attend, N(2, 4, 6), N(2, 4, 6), N(2, 4, 6))

# In blocks: as many queries and keys as it takes, of which the last block is not whole.
_wide, _tall, _pair = N(1, 2, 130, 3), N(1, 2, 140, 3), N(1, 2, 130, 2)
_sdpa.add(_attend, _wide, _tall, _tall)
_sdpa.add(_attend, N(2, 3, 36, 32), N(2, 3, 36, 32), N(2, 3, 36, 32))
_sdpa.add(lambda q, k, v: _attend(q, k, v, enable_gqa=True), N(1, 8, 40, 6), N(1, 2, 36, 6), N(1, 2, 36, 6))
_sdpa.add(lambda q, k, v: _attend(q, k, v, is_causal=True), _wide, _tall, N(1, 2, 140, 5))
_sdpa.add(lambda q, k, v, m: _attend(q, k, v, attn_mask=m, enable_gqa=True), N(1, 4, 130, 2), _pair, _pair, B(130, 130))
