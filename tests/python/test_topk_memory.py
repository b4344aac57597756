# SPDX-License-Identifier: Apache-2.0
"""topk keeps what it sorts within a tile, along any dim and of a line alone: nothing of it lies in the arena."""

import pytest
import torch
from sambaflow import samba
from torch import nn

pytest.importorskip("sambaflow._leat")

from sambaflow._runtime.device import Device  # noqa: E402


class TopK(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.dim = dim

    def forward(self, x):
        return tuple(x.topk(3, dim=self.dim))


@pytest.mark.parametrize(("shape", "dim"), [((200_000,), 0), ((300, 64), 0), ((20, 100, 48), 1), ((64, 300), 1)])
def test_what_topk_sorts_is_not_stored(shape, dim, tmp_path):
    model, x = TopK(dim), torch.randn(shape)
    samba.from_torch_model_(model)
    named = [samba.from_torch_tensor(x.clone(), name="x")]
    config = {"output_folder": str(tmp_path), "pef_name": "p", "log_level": "error"}
    pef = samba.session.compile(model, named, inference=True, config_dict=config)
    assert Device(str(pef)).report()["memory"]["arena_bytes"] == 0
    samba.utils.trace_graph(model, named, pef=pef)
    values, indices = samba.session.run(named, model.output_tensors, section_types=["fwd"])
    expected = x.topk(3, dim=dim)
    assert torch.equal(samba.to_torch(values), expected.values)
    assert torch.equal(samba.to_torch(indices), expected.indices)


@pytest.mark.parametrize(("shape", "dim"), [((300, 64), 0), ((20, 100, 48), 1), ((64, 300), 1)])
def test_of_what_topk_sorts_backward_keeps_the_places_that_it_reads(shape, dim, tmp_path):
    model, x = TopK(dim), torch.randn(shape)
    samba.from_torch_model_(model)
    named = [samba.from_torch_tensor(x.clone(), name="x").requires_grad_()]
    config = {"output_folder": str(tmp_path), "pef_name": "p", "log_level": "error"}
    seeds = {"init_output_grads": False, "loss_indices": [0]}
    pef = samba.session.compile(model, named, config_dict=config, **seeds)
    assert Device(str(pef)).report()["memory"]["arena_bytes"] < 8 * x.numel()  # less than all indices
    samba.utils.trace_graph(model, named, pef=pef, **seeds)
    dy = torch.randn(x.topk(3, dim=dim).values.shape)
    samba.session.run(named, model.output_tensors, section_types=["fwd", "bckwd"], grad_of_outputs=[dy])
    leaf = x.clone().requires_grad_()
    leaf.topk(3, dim=dim).values.backward(dy)
    assert torch.equal(samba.to_torch(named[0].sn_grad), leaf.grad)
