# SPDX-License-Identifier: Apache-2.0
"""Writes to tensors in forward: elements, gradients and updated weights over several steps, as eager has them."""

import pytest
import torch
import torch.nn.functional as F
from against_eager import Base, differences
from models_that_write import TRAINED, DropoutEvalAlias
from sambaflow import samba
from torch import nn

pytest.importorskip("sambaflow._leat")


def batches():
    generator = torch.Generator().manual_seed(3)
    return [[torch.randn(4, 3, generator=generator)] for _ in range(3)]


@pytest.mark.parametrize("model", TRAINED, ids=lambda model: model.__name__)
def test_a_write_keeps_the_gradient_that_autograd_keeps(model, tmp_path):
    assert differences(model, batches(), tmp_path, train=True) == []


@pytest.mark.parametrize("model", [*TRAINED, DropoutEvalAlias], ids=lambda model: model.__name__)
def test_a_write_in_inference(model, tmp_path):
    assert differences(model, batches(), tmp_path) == []


# New values of a buffer that are made of other elements of the old one than those in their place.
FROM_OTHER_ELEMENTS = {
    "sort": lambda b, x: b.sort(1)[0],
    "cumsum": lambda b, x: b.cumsum(0),
    "gather": lambda b, x: b.gather(1, x.argsort(1)),
    "rows": lambda b, x: b[x[:, 0].argsort()],
    "scatter": lambda b, x: b.scatter(1, x.argsort(1), b),
    "flip": lambda b, x: b.flip(1),
    "product": lambda b, x: b @ x,
    "product_with_itself": lambda b, x: b @ b,
    "convolution": lambda b, x: F.conv2d(b[None, None], x[None, None, :3, :3], padding=1)[0, 0],
    "pooling": lambda b, x: F.max_pool2d(b[None], 3, 1, 1)[0],
    "shift": lambda b, x: torch.cat([x[:1], b[:-1]]),
    "softmax": lambda b, x: b.softmax(0),
}


@pytest.mark.parametrize("train", [False, True], ids=["inference", "training"])
@pytest.mark.parametrize("update", FROM_OTHER_ELEMENTS.values(), ids=FROM_OTHER_ELEMENTS)
def test_a_buffer_is_made_anew_from_all_of_its_old_elements(update, train, tmp_path):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.randn(8))
            self.register_buffer("state", torch.randn(8, 8))

        def forward(self, x):
            with torch.no_grad():
                self.state.copy_(update(self.state, x))
            return (self.state * self.w + x).square().mean()

    found = differences(Model, [(torch.randn(8, 8),) for _ in range(3)], tmp_path, train=train)
    assert not found, found


@pytest.mark.parametrize("level", ["o0", "o1", "o3"])
@pytest.mark.parametrize("view", [lambda b: b, lambda b: b.flip(1)], ids=["as it is", "flipped"])
def test_backward_that_runs_apart_reads_the_buffer_as_forward_read_it(view, level, tmp_path):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.ones(8))
            self.register_buffer("state", torch.linspace(-1.0, 1.0, 64).reshape(8, 8))

        def forward(self, x):
            loss = (view(self.state) * self.w + x).square().mean()
            self.state = self.state * 0.5 + x
            return loss

    model, eager, x = Model(), Model(), torch.randn(8, 8)
    samba.from_torch_model_(model)
    named = [samba.from_torch_tensor(x.clone(), name="x")]
    optimizer = samba.optim.SGD(model.parameters(), lr=0.0)
    config = {"output_folder": str(tmp_path), "pef_name": "p", "log_level": "error", level: True}
    pef = samba.session.compile(model, named, optimizer, config_dict=config)
    traced = samba.utils.trace_graph(model, named, optimizer, pef=pef)
    for _ in range(2):
        samba.session.run(named, traced, section_types=["fwd"])
        samba.session.run(named, traced, section_types=["bckwd"])
        eager.w.grad = None
        eager(x).backward()
        assert torch.allclose(samba.to_torch(model.w.sn_grad), eager.w.grad, 1e-5, 1e-6)


def test_swapped_tensors_swap_what_they_mean(tmp_path):
    class Model(Base):
        def setup(self):
            self.v = nn.Parameter(torch.randn(3, 3))

        def forward(self, x):
            torch.utils.swap_tensors(self.w, self.v)
            return x @ self.w + 2 * self.v.sum()

    model = Model()
    samba.from_torch_model_(model)
    w, v = (tensor.detach().clone() for tensor in (model.w, model.v))
    x = samba.randn(4, 3, name="x")
    path = samba.session.compile(
        model, [x], config_dict={"output_folder": str(tmp_path), "pef_name": "p"}, inference=True
    )
    traced = samba.utils.trace_graph(model, [x], pef=path)
    for _ in range(2):
        w, v = v, w
        result = samba.to_torch(samba.session.run([x], traced, section_types=["fwd"])[0])
        assert torch.allclose(result, samba.to_torch(x) @ w + 2 * v.sum(), atol=1e-5)
