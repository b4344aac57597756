# SPDX-License-Identifier: Apache-2.0
"""Sums are made where their terms are: values and gradients in bits what `ref` computes stage by stage."""

import pytest
import torch
import torch.nn.functional as F
from sambaflow import samba
from sambaflow.samba import utils
from support import same_bits
from torch import nn

# {name: (what is computed of x, weight and bias, shape of x, shape of weight and bias)}
CASES = {
    "layer norm": (lambda x, w, b: F.layer_norm(x, w.shape, w, b), (264, 1031), (1031,)),
    "layer norm, short lines": (lambda x, w, b: F.layer_norm(x, w.shape, w, b), (4096, 72), (72,)),
    "layer norm, long lines": (lambda x, w, b: F.layer_norm(x, w.shape, w, b), (8, 20000), (20000,)),
    "layer norm of two dims": (lambda x, w, b: F.layer_norm(x, w.shape, w, b), (16, 24, 50), (24, 50)),
    "rms norm": (lambda x, w, b: F.rms_norm(x, w.shape, w, 1e-5) + b, (64, 2100), (2100,)),
    "batch norm": (lambda x, w, b: F.batch_norm(x, None, None, w, b, True), (544, 512), (512,)),
    "batch norm of pictures": (lambda x, w, b: F.batch_norm(x, None, None, w, b, True), (8, 6, 20, 20), (6,)),
    "group norm": (lambda x, w, b: F.group_norm(x, 4, w, b), (6, 32, 12, 12), (32,)),
    "instance norm": (lambda x, w, b: F.instance_norm(x, weight=w, bias=b), (4, 8, 40, 40), (8,)),
    "L2 norm": (lambda x, w, b: torch.linalg.vector_norm(x * w + b, dim=1), (40, 1500), (1500,)),
}


class Norm(nn.Module):
    def __init__(self, function, shape):
        super().__init__()
        self.function, self.weight, self.bias = (
            function,
            nn.Parameter(torch.rand(shape)),
            nn.Parameter(torch.randn(shape)),
        )

    def forward(self, x):
        return self.function(x * 1.5, self.weight, self.bias)


@pytest.mark.parametrize("name", CASES)
def test_sums_have_the_bits_of_their_stages(name, tmp_path, monkeypatch):
    torch.manual_seed(7)
    function, shape, parameters = CASES[name]
    model, x = Norm(function, parameters), torch.randn(shape)
    expected = model(x.requires_grad_())
    seed = torch.randn(expected.shape)
    expected.backward(seed)
    wanted = [expected.detach(), x.grad, model.weight.grad, model.bias.grad]
    samba.from_torch_model_(model)
    named = samba.from_torch_tensor(x.detach(), name="x")
    named.requires_grad_()
    settings = {"init_output_grads": False, "loss_indices": [0]}
    config = {"output_folder": str(tmp_path), "pef_name": "m"}
    pef = samba.session.compile(model, (named,), inference=False, config_dict=config, **settings)
    found = {}
    for engine in ("ref", "native"):
        monkeypatch.setenv("LEAT_ENGINE", engine)
        utils.trace_graph(model, (named,), pef=pef, **settings)
        (y,) = samba.session.run([named], model.output_tensors, section_types=["fwd", "bckwd"], grad_of_outputs=[seed])
        gradients = [samba.to_torch(t.sn_grad).clone() for t in (named, model.weight, model.bias)]
        found[engine] = [samba.to_torch(y).clone(), *gradients]
    for ours, theirs, torchs in zip(found["native"], found["ref"], wanted, strict=True):
        assert same_bits(ours, theirs)
        torch.testing.assert_close(ours, torchs, rtol=2e-4, atol=2e-4 * float(torchs.abs().max()))
