# SPDX-License-Identifier: Apache-2.0
"""Programs with many outputs, operands and steps run as PyTorch runs them."""

import copy

import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F
from sambaflow import samba


class Call(nn.Module):
    """`function(x * w)`."""

    def __init__(self, function):
        super().__init__()
        self.w = nn.Parameter(torch.ones(3))
        self.function = function

    def forward(self, x):
        return self.function(x * self.w)


class Recurrent(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.layer = kind(4, 4, batch_first=True)

    def forward(self, x):
        return self.layer(x)[0]


def check(model, x, folder, train):
    """Outputs, and the gradients of the first one's sum."""
    eager = copy.deepcopy(model)
    expected = eager(x.clone())
    expected = list(expected) if isinstance(expected, tuple) else [expected]
    samba.from_torch_model_(model)
    inputs = (samba.from_torch_tensor(x, name="x"),)
    optimizer = samba.optim.SGD(model.parameters(), lr=0.0) if train else None
    settings = {"output_folder": str(folder), "pef_name": "limits", "inference": not train}
    pef = samba.session.compile(model, inputs, optimizer, name="limits", inference=not train, config_dict=settings)
    samba.utils.trace_graph(model, inputs, optimizer, pef=pef)
    options = {"section_types": ["fwd"]}
    if train:
        ones = torch.ones_like(expected[0])
        expected[0].backward(ones)
        options = {"hyperparam_dict": {"lr": 0.0}}
        if len(expected) == 1:
            options["grad_of_outputs"] = [samba.from_torch_tensor(ones)]
    found = samba.session.run(inputs, model.output_tensors, **options)
    assert len(found) == len(expected)
    for got, want in zip(found, expected, strict=True):
        torch.testing.assert_close(samba.to_torch(got), want.detach(), rtol=1e-4, atol=1e-5)
    for ours, theirs in zip(model.parameters(), eager.parameters(), strict=train):
        if train:
            torch.testing.assert_close(samba.to_torch(ours.sn_grad), theirs.grad, rtol=1e-3, atol=1e-4)
    return inputs, found


@pytest.mark.parametrize("train", [False, True], ids=["inference", "training"])
def test_a_model_with_more_than_64_outputs(train, tmp_path):
    model = Call(lambda x: (x.sum(), *(x * k for k in range(1, 130))))
    inputs, found = check(model, torch.randn(3), tmp_path, train)
    if not train:  # some of them, early and late ones
        some = [model.output_tensors[i] for i in (1, 64, 129)]
        for tensor, index in zip(samba.session.run(inputs, some, section_types=["fwd"]), (1, 64, 129), strict=True):
            assert torch.equal(samba.to_torch(tensor), samba.to_torch(found[index]))


@pytest.mark.parametrize(
    "join", [torch.stack, torch.cat, lambda x: torch.cat(x, 1)], ids=["stack", "cat", "cat along 1"]
)
def test_joining_more_than_255_tensors(join, tmp_path):
    check(Call(lambda x: join([x * k for k in range(300)])), torch.randn(2, 3), tmp_path, True)


def test_more_than_255_windows_of_unequal_size(tmp_path):
    check(Call(lambda x: F.adaptive_max_pool1d(x.transpose(1, 2), 300)), torch.randn(1, 701, 3), tmp_path, True)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_layers_of_300_steps(kind, tmp_path):
    torch.manual_seed(0)
    check(Recurrent(kind), torch.randn(2, 300, 4), tmp_path, True)


def test_a_recurrent_layer_of_1000_steps(tmp_path):
    torch.manual_seed(0)
    check(Recurrent(nn.LSTM), torch.randn(2, 1000, 4), tmp_path, True)


def test_any_output_of_many_is_left_out_of_a_run(tmp_path):
    """Values that backward reads, too: each is copied into its output where it is asked for."""

    def losses(y):
        sums = [(y + k).prod() for k in range(150)]
        return (sum(s.square() for s in sums), *sums)

    model, x = Call(losses), torch.rand(3)
    inputs, _ = check(model, x, tmp_path, True)
    asked = (4, 130, 65, 130)
    outputs, device = model.output_tensors, samba.session._device
    symbols = [device.find(tensor._binding.name) for tensor in outputs]
    for symbol in symbols:
        device.bind(symbol, 0)
        device.write(symbol, torch.zeros(symbol.shape))
    options = {"section_types": ["fwd"], "hyperparam_dict": {"lr": 0.0}}
    found = samba.session.run(inputs, [outputs[i] for i in asked], **options)
    for i, value in zip(asked, found, strict=True):
        torch.testing.assert_close(samba.to_torch(value), (x + i - 1).prod())
    assert [i for i, symbol in enumerate(symbols) if i > 0 and device.read(symbol).any()] == sorted(set(asked))
