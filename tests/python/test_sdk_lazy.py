# SPDX-License-Identifier: Apache-2.0
"""Parameters without data: lazy_param, materialize, and compiling and running such models."""

import copy

import pytest
import torch
from sambaflow import samba
from sambaflow.frameworks.quantized.quantized_linear import QuantizedLinear
from sambaflow.samba import utils
from sambaflow.samba.lazy_param import RNGProvider, RNGProviderFactory, lazy_param
from sambaflow.samba.materialize import materialize
from sambaflow.samba.nn.parameter import SambaParameter
from torch import nn


class Net(nn.Module):
    """What initialisers do: views, in-place writes, products, ties, buffers."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(10, 4, padding_idx=2)
        self.lstm = nn.LSTM(4, 5, batch_first=True)
        self.linear = nn.Linear(5, 4)
        self.norm = nn.LayerNorm(4)
        self.scale = nn.Parameter(torch.randn(4) * 0.1 + 1)
        self.register_buffer("shift", torch.full((4,), 0.5))
        self.register_buffer("count", torch.tensor([3, 1]))
        self.tied = self.linear.weight
        nn.init.orthogonal_(self.linear.weight)

    def forward(self, tokens):
        hidden, _ = self.lstm(self.embedding(tokens))
        return self.norm(self.linear(hidden)) * self.scale + self.shift * self.count[0]


def lazy_net(seed=1):
    torch.manual_seed(seed)
    with lazy_param():
        return Net()


def test_modules_made_inside_have_no_data():
    model = lazy_net()
    assert all(isinstance(p, SambaParameter) and not p.has_data for p in model.parameters())
    assert model.tied is model.linear.weight
    assert torch.equal(model.shift, torch.full((4,), 0.5)) and model.count.tolist() == [3, 1]


def test_materialize_does_what_the_initialisers_said():
    model = lazy_net()
    materialize(model)
    assert all(p.has_data for p in model.parameters())
    weight = samba.to_torch(model.linear.weight).detach()
    torch.testing.assert_close(weight @ weight.T, torch.eye(4), atol=1e-5, rtol=0)
    assert not samba.to_torch(model.embedding.weight)[2].any()
    assert torch.equal(samba.to_torch(model.norm.weight), torch.ones(4))
    assert 0.5 < float(model.scale.detach().mean()) < 1.5
    assert model(torch.zeros(2, 3, dtype=torch.int64)).shape == (2, 3, 4)  # nn.LSTM found its new weights


def test_the_numbers_depend_on_the_seed_alone():
    first, second, other = lazy_net(), lazy_net(), lazy_net(seed=2)
    materialize(first)
    for parameter in reversed(list(second.parameters())):  # another order
        utils.set_seed(99)
        with materialize(nn.ParameterList([parameter])):
            name = next(n for n, p in second.named_parameters() if p is parameter)
            assert torch.equal(samba.to_torch(parameter), samba.to_torch(dict(first.named_parameters())[name]))
    materialize(other)
    assert not torch.equal(samba.to_torch(first.linear.weight), samba.to_torch(other.linear.weight))


def test_as_a_context_manager_it_empties_again():
    model = lazy_net()
    with materialize(model) as inside:
        assert inside is model and model.scale.has_data
    assert not any(p.has_data for p in model.parameters())


def test_materialize_names_what_cannot_be_filled():
    model = nn.Linear(2, 2)
    model.weight = SambaParameter(shape=(2, 2), dtype=torch.float32)
    with pytest.raises(ValueError, match="weight of Linear have neither data nor a materializer"):
        materialize(model)


def test_a_lazy_model_compiles_and_gets_its_data_on_the_device(tmp_path):
    model = lazy_net()
    reference = copy.deepcopy(model)
    samba.from_torch_model_(model)
    tokens = samba.from_torch_tensor(torch.randint(10, (2, 3)), name="tokens")
    config = {"output_folder": str(tmp_path), "pef_name": "lazy"}
    pef = samba.session.compile(model, (tokens,), config_dict=config, inference=True)
    assert not any(p.has_data for p in model.parameters())
    outputs = utils.trace_graph(model, (tokens,), pef=pef, transfer_device=False)
    samba.session.to_device()
    found = samba.session.run((tokens,), outputs)[0]
    materialize(reference)
    torch.testing.assert_close(
        samba.to_torch(found), reference(samba.to_torch(tokens)).torch().detach(), atol=1e-5, rtol=1e-5
    )


def test_quantized_layers_know_shape_dtype_and_scale_until_they_are_run(tmp_path):
    torch.manual_seed(0)
    linear, x = nn.Linear(6, 4), torch.randn(3, 6)
    with lazy_param(quantized=True):
        model = nn.Sequential(QuantizedLinear.from_float(linear), nn.Linear(4, 2))
    assert not model[0].int_weight.has_data and not model[1].weight.has_data
    assert model[0].int_weight.shape == (4, 6) and model[0].int_weight.dtype == torch.int8
    torch.testing.assert_close(model[0].scale, linear.weight.detach().abs().amax(1) / 127)
    samba.from_torch_model_(model)
    inputs = (samba.from_torch_tensor(x, name="x"),)
    config = {"output_folder": str(tmp_path), "pef_name": "net"}
    pef = samba.session.compile(model, inputs, None, inference=True, config_dict=config)
    assert not model[0].int_weight.has_data
    found = samba.session.run(inputs, utils.trace_graph(model, inputs, pef=pef))[0]
    torch.testing.assert_close(samba.to_torch(found), model(x).torch().detach(), atol=1e-5, rtol=1e-5)
    expected = QuantizedLinear.from_float(linear).weight.dequantize()
    (weight,) = samba.session.get_tensors_by_name(["sequential__0__dequantize__outputs__0"])
    assert torch.equal(samba.to_torch(weight), expected)
    with pytest.raises(FileNotFoundError, match="dequantize"):
        samba.session.get_tensors_by_name(["sequential__1__dequantize__outputs__0"])


def test_disabled_lazy_parameters_have_data(monkeypatch):
    from sambaflow.samba import lazy_param as module

    monkeypatch.setattr(module, "_disabled", False)
    samba.session.disable_lazy_param()
    with lazy_param():
        linear = nn.Linear(2, 3)
    assert type(linear.weight) is nn.Parameter and linear.weight.device.type == "cpu"


def test_random_providers_are_reproducible_and_differ():
    def draw():
        torch.manual_seed(5)
        RNGProviderFactory._built = 0
        factory = RNGProviderFactory()
        return [factory.build_provider()().normal(1.0, 2.0, torch.Size([3, 4]), dtype=torch.bfloat16) for _ in range(2)]

    (a, b), (c, d) = draw(), draw()
    assert torch.equal(a, c) and torch.equal(b, d) and not torch.equal(a, b)
    assert a.dtype == torch.bfloat16
    a[0].zero_()  # writable
    numbers = RNGProvider(3)().uniform(-1, 1, (1000,))
    assert -1 <= float(numbers.min()) < -0.9 < 0.9 < float(numbers.max()) < 1
