# SPDX-License-Identifier: Apache-2.0
"""torch.vmap in a program, and the transforms of torch.func that differentiate."""

import beside_eager as eager
import pytest
import torch
import torch.nn.functional as F
from beside_eager import Function
from torch import func, nn, vmap
from torch.autograd import forward_ad

X = torch.tensor([[1.0, -2.0, 3.0], [0.5, 4.0, -1.0], [2.0, 0.1, 0.7], [-3.0, 1.5, 0.2]])
LINEAR = nn.Linear(3, 1, bias=False)  # called with other weights


def _written(row, w):
    row = row.clone()
    row[0] = 1.0
    row.mul_(2.0)
    return row * w


def _twice(x, w):
    return vmap(lambda row: vmap(lambda one: row * one * w.sum())(row))(x)


BATCHED = {
    "op of an input": lambda w, x: vmap(torch.sin)(x * w),
    "op of a parameter alone": lambda w, x: vmap(torch.exp)(w) * x,
    "op of a constant alone": lambda w, x: vmap(torch.exp)(torch.arange(3.0)) * w * x,
    "in_dims": lambda w, x: vmap(lambda a, b: (a * b).sum(), in_dims=(0, None))(x, w).square(),
    "out_dims": lambda w, x: vmap(lambda row: row * w, out_dims=1)(x).T * x,
    "index": lambda w, x: vmap(lambda row: row[1:] * w[0])(x),
    "index that is traced": lambda w, x: vmap(lambda row: (row * w).gather(0, row.argmax(0, keepdim=True)))(x),
    "softmax": lambda w, x: vmap(lambda row: torch.softmax(row * w, 0))(x) * x,
    "linear": lambda w, x: vmap(lambda row: F.linear(row, w.expand(2, 3)))(x).square(),
    "layer_norm": lambda w, x: vmap(lambda row: F.layer_norm(row, (3,), w))(x) * x,
    "write in place": lambda w, x: vmap(lambda row: _written(row, w))(x),
    "nested": lambda w, x: _twice(x, w),
    "several results": lambda w, x: torch.cat(vmap(lambda row: (row * w, row + w))(x)).square(),
    "chunks": lambda w, x: vmap(lambda row: row * w, chunk_size=2)(x).square(),
    "module": lambda w, x: func.functional_call(LINEAR, {"weight": w[None]}, (x,)).square(),
    "modules side by side": lambda w, x: vmap(lambda one: func.functional_call(
        LINEAR, {"weight": one[None]}, (x,)))(torch.stack([w, w * 2])).square(),
}  # fmt: skip


@pytest.mark.parametrize("name", BATCHED)
@pytest.mark.parametrize("inference", [False, True], ids=["training", "inference"])
def test_vmap_is_traced(tmp_path, name, inference):
    def forward(self, x):
        result = BATCHED[name](self.w, x)
        return result.sum(), result

    eager.check(tmp_path, Function(forward, 3), X, inference=inference)


def _tangent(x):
    with forward_ad.dual_level():
        return forward_ad.unpack_dual(forward_ad.make_dual(x, x)).tangent


DERIVATIVES = {
    "grad": lambda f, x: func.grad(f)(x),
    "vjp": lambda f, x: func.vjp(f, x)[0],
    "jvp": lambda f, x: func.jvp(f, (x,), (x,))[1],
    "jacrev": lambda f, x: func.jacrev(f)(x),
    "jacfwd": lambda f, x: func.jacfwd(f)(x),
    "hessian": lambda f, x: func.hessian(f)(x),
    "forward_ad": lambda f, x: _tangent(x),
}


@pytest.mark.parametrize("name", DERIVATIVES)
def test_derivatives_inside_forward_are_refused_with_their_line(name):
    def forward(self, x):
        return DERIVATIVES[name](lambda y: (y * self.w).square().sum(), x).sum()

    with pytest.raises(RuntimeError, match=r"test_trace_vmap.py:\d+: .*that differentiates .*made by the compiler"):
        eager.traced(Function(forward, 3), X)
    assert func.grad(lambda y: y.square().sum())(torch.ones(2)).tolist() == [2.0, 2.0]
