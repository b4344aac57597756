# SPDX-License-Identifier: Apache-2.0
"""Writes that eager refuses, or after which it computes from overwritten elements, are refused."""

import pytest
import torch
from against_eager import Base, Square
from sambaflow import samba
from sambaflow._trace.errors import TraceError
from sambaflow._trace.program import trace
from torch.utils.checkpoint import checkpoint

pytest.importorskip("sambaflow._leat")


def tanh_overwritten(model, x):
    y = torch.tanh(x @ model.w)
    z = y * model.b
    y.data.mul_(2)
    return z.mean()


def exp_overwritten(model, x):
    y = (x @ model.w).exp()
    with torch.no_grad():
        y.add_(1)
    return y.mean()


def weight_rebound(model, x):
    y = (x @ model.w) @ model.w
    model.w.data = model.w.data * 2
    return y.mean()


def square_overwritten(model, x):
    y = x @ model.w
    z = Square.apply(y)
    y.data.mul_(3)
    return z.mean()


def checkpoint_overwritten(model, x):
    y = x @ model.w
    z = checkpoint(torch.tanh, y, use_reentrant=True)
    y.data.mul_(3)
    return z.mean()


def leaf_written(model, x):
    model.w.mul_(0.9)
    return (x @ model.w + model.b).mean()


def frozen(model, x):
    model.b.requires_grad_(False)
    return (x @ model.w + model.b).mean()


def result_with_gradient(model, x):
    return torch.matmul(x, model.w, out=torch.zeros(4, 3)).mean()


def data_of_another_shape(model, x):
    model.w.data = model.w.data[:, :2]
    return (x @ model.w).mean()


def through_expand(model, x):
    y = torch.zeros(1, 3).expand(4, 3)
    return y.add_(x @ model.w).mean()


@pytest.mark.parametrize(
    "forward, message",
    [
        (tanh_overwritten, "backward of aten::tanh .* needs the elements"),
        (exp_overwritten, "backward of aten::exp .* needs the elements"),
        (weight_rebound, "backward of aten::m"),
        (square_overwritten, "backward of Square .* needs the elements"),
        (checkpoint_overwritten, "backward of checkpoint .* needs the elements"),
        (leaf_written, "written in place"),
        (frozen, "requires_grad of parameter"),
        (result_with_gradient, "out= has no gradient"),
        (data_of_another_shape, "shapes and dtypes are fixed"),
        (through_expand, "single memory location"),
    ],
)
def test_what_eager_refuses_or_computes_from_overwritten_elements_is_refused(forward, message):
    class Model(Base):
        def forward(self, x):
            return forward(self, x)

    model = Model()
    samba.from_torch_model_(model)
    with pytest.raises(TraceError, match=message):
        trace(model, [samba.randn(4, 3, name="x")])


def test_what_was_overwritten_may_be_saved_where_no_loss_depends_on_it():
    class Model(Base):
        def forward(self, x):
            place = (x @ self.w).tanh().argmax(1)
            y = (x @ self.w).tanh()
            z = y.detach() * 2
            y.data.mul_(2)
            return (x @ self.w + self.b).mean(), place, z

    model = Model()
    samba.from_torch_model_(model)
    assert "tanh" in trace(model, [samba.randn(4, 3, name="x")]).text
