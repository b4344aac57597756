# SPDX-License-Identifier: Apache-2.0
"""SambaTensor and SambaParameter outside tracing: names, memory, torch's protocols, pickling, conversion."""

import copy
import io
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from sambaflow import samba
from sambaflow.samba.nn.parameter import SambaParameter
from sambaflow.samba.sambatensor import SambaTensor
from sambaflow.sambacollections import OrderedSet
from torch import nn


def named(*shape):
    return samba.randn(*shape, name="image", batch_dim=0)


@pytest.mark.parametrize(
    "statement",
    [
        "import sambaflow.samba as samba; samba.session.run",
        "from sambaflow import samba; samba.session.compile; samba.optim.SGD; samba.directives.op_fusion",
        "import sambaflow; from sambaflow.samba.utils.pef_utils import get_pefmeta; sambaflow.samba.session.run",
        "from sambaflow.samba.session import SambaSession; SambaSession()",
        "from sambaflow.samba.sambatensor import SambaTensor, from_torch_tensor, DimInfo",
        "from sambaflow.samba.nn.parameter import SambaParameter",
        "from sambaflow._trace.graph import Graph",
        "from sambaflow.samba.optim.adam import AdamW; from sambaflow.samba.optim.sgd import SGD",
        "from sambaflow.samba.utils.utils import trace_graph",
        "from sambaflow.samba.utils.common import common_app_driver",
        "from sambaflow.samba.functional.tensorarithmetic import addmm; from sambaflow.samba.functional.loss import *",
        "from sambaflow.samba.env import use_mock_samba_runtime; from sambaflow.logging import samba_logger",
        "from sambaflow.samba.sambaloader import SambaLoader; from sambaflow.samba.profiler import Profiler",
        "from sambaflow import __version__; assert isinstance(__version__, str)",
    ],
)
def test_import_paths(statement):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", statement], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("convert", ["bfloat16", "float", "half", "double"])
def test_dtype_conversions_keep_the_name(convert):
    tensor = getattr(named(2, 3), convert)()
    assert (tensor.sn_name, tensor.batch_dim, type(tensor)) == ("image", 0, SambaTensor)
    assert named(2, 3).bfloat16().float().sn_name == "image"
    assert named(2, 3).to(torch.bfloat16).sn_name == "image"


def test_operations_do_not_keep_the_name():
    assert (named(2, 3) + 1).sn_name is None


def test_memory_is_shared_with_torch_and_numpy():
    data = torch.zeros(3)
    tensor = samba.from_torch_tensor(data, name="x")
    data[0] = 5
    assert tensor[0] == 5 and samba.to_torch(tensor).data_ptr() == data.data_ptr() and tensor.numpy()[0] == 5
    array = np.zeros(2, dtype=np.float32)
    shared = samba.from_torch_tensor(array, name="y")
    array[1] = 2
    assert shared.tolist() == [0, 2]


def test_expanded_views_and_plain_operands():
    tensor = samba.from_torch_tensor(torch.ones(1, 3).expand(4, 3), name="x")
    assert tensor.shape == torch.Size([4, 3]) and type(torch.ones(3) + tensor) is SambaTensor
    assert torch.ones(2).expand(samba.ones(2).shape).shape == (2,)


def test_to_torch_of_everything():
    plain = torch.ones(2)
    assert samba.to_torch(plain) is plain
    assert type(samba.to_torch(samba.ones(2))) is torch.Tensor
    parameter = SambaParameter(torch.ones(2))
    back = samba.to_torch(parameter)
    assert type(back) is torch.Tensor and back.is_leaf and back.requires_grad
    loss = (parameter * 2).sum()
    samba.to_torch(loss).backward()
    assert parameter.grad.tolist() == [2, 2]


def test_named_results_of_multi_output_functions():
    values, indices = torch.max(named(2, 3), dim=1)
    assert type(values) is SambaTensor and type(indices) is SambaTensor
    assert torch.max(named(2, 3), dim=1).values.shape == (2,)


def test_creation():
    assert samba.randn(2, 3).shape == samba.randn((2, 3)).shape == samba.rand([2, 3], dtype=torch.float64).shape
    assert samba.randint(10, (4,), name="label").dtype == torch.int64
    assert int(samba.randint(5, 6, (1,))) == 5
    for tensor in (samba.zeros(2), samba.ones(2), samba.full((2,), 3.0), samba.arange(2), samba.tensor([1, 2])):
        assert type(tensor) is SambaTensor and tensor.shape == (2,)


def test_empty_tensors_and_materializers():
    empty = SambaTensor(shape=iter([2, 3]), dtype=torch.bfloat16, name="kv", region_name="cache")
    assert (empty.has_data, tuple(empty.shape), empty.dtype) == (False, (2, 3), torch.bfloat16)
    assert (empty.sn_name, empty.sn_region_name) == ("kv", "cache")
    seen = []

    def fill(parameter, default="untouched"):
        seen.append((tuple(parameter.shape), default))
        return torch.full(parameter.shape, 2.0)

    from sambaflow._tensors.tensor import materialize

    parameter = SambaParameter(shape=reversed(torch.ones(3, 2).shape), dtype=torch.float32, materializer=fill)
    materialize(parameter)
    materialize(parameter)
    assert seen == [((2, 3), "untouched")] and parameter.has_data and parameter.sum() == 12
    drawn = SambaParameter(shape=[2], dtype=torch.float32, materializer=lambda p, rng: rng.normal(0, 1, p.shape))
    materialize(drawn)
    assert drawn.has_data


def test_conversion_is_in_place_and_names_everything():
    model = nn.Sequential(nn.Linear(4, 3), nn.LSTM(3, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    before = [id(p) for p in model.parameters()]
    samba.from_torch_model_(model)
    assert before == [id(p) for p in model.parameters()]
    assert all(isinstance(p, SambaParameter) for p in optimizer.param_groups[0]["params"])
    assert model[1]._flat_weights[0] is model[1].weight_ih_l0
    assert model.name == "sequential" and model[0].name == "sequential__0"
    assert model[0].weight.sn_name == "sequential__0__weight"
    linear = nn.Linear(2, 2)
    samba.from_torch_(linear)
    assert (linear.name, linear.weight.sn_name) == ("linear", "linear__weight")
    samba.from_torch_model_(linear, "img_encoder")
    assert linear.weight.sn_name == "linear__weight"
    other = nn.Linear(2, 2)
    samba.from_torch_model_(other, parent_module_prefix="img_encoder")
    assert other.weight.sn_name == "img_encoder__linear__weight"


def test_a_converted_model_runs_and_learns_on_the_host():
    model = nn.Linear(3, 2)
    samba.from_torch_model_(model)
    out = model(torch.randn(4, 3))
    assert out.torch().shape == (4, 2)
    out.sum().backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    assert isinstance(model.weight, SambaParameter) and model.weight.grad is not None


def test_parameters_assign_hash_and_collect():
    model = nn.Linear(3, 2)
    model.weight = SambaParameter(torch.ones(2, 3))
    assert isinstance(model.weight, nn.Parameter) and len(list(model.parameters())) == 2
    chosen = OrderedSet([("w", model.weight)])
    assert ("w", model.weight) in chosen
    assert model.bias not in {model.weight} and model.weight in {model.weight}
    samba.optim.AdamW(OrderedSet(model.parameters()))


def test_state_dicts_are_plain_tensors_in_files():
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    samba.from_torch_model_(model)
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    loaded = torch.load(file, weights_only=True)
    assert all(type(value) is torch.Tensor for value in loaded.values())
    model.load_state_dict(loaded)
    assert isinstance(model[0].weight, SambaParameter)


def test_whole_models_and_tensors_pickle_and_copy():
    model = nn.Sequential(nn.Linear(3, 2))
    samba.from_torch_model_(model)
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    assert len(list(torch.load(file, weights_only=False).parameters())) == 2
    assert torch.equal(pickle.loads(pickle.dumps(samba.ones(2))), torch.ones(2))
    twin = copy.deepcopy(model)
    assert twin[0].weight.sn_name == "sequential__0__weight" and twin[0].weight is not model[0].weight


def test_module_conversions_keep_parameters():
    model = nn.Linear(3, 2)
    samba.from_torch_model_(model)
    model.bfloat16()
    assert isinstance(model.weight, SambaParameter) and model.weight.sn_name == "linear__weight"
    assert model.weight._binding.plain.data_ptr() == model.weight.data_ptr()


def test_optimizer_defaults():
    model = nn.Linear(3, 2)
    adam = samba.optim.AdamW(model.parameters()).defaults
    assert (adam["betas"], adam["weight_decay"], adam["lr"]) == ((0.9, 0.997), 0.0, 0.001)
    assert samba.optim.SGD(model.parameters(), lr=0.0).defaults["momentum"] == 0.0


def test_samba_ops_on_the_host():
    bias, a, b = torch.randn(5), torch.randn(2, 3, 4), torch.randn(5, 4)
    want = torch.nn.functional.linear(a, b, bias)
    assert torch.allclose(samba.addmm(bias, a, b, is_transposed=True), want, atol=1e-6)
    filled = samba.triu_fill(torch.ones(2, 3, 3), -7.0)
    assert filled[0].tolist() == [[1, -7, -7], [1, 1, -7], [1, 1, 1]]


def test_assert_close_names_the_worst_element():
    from sambaflow.samba.utils import assert_close

    assert_close(samba.ones(2), torch.ones(2), "same")
    with pytest.raises(AssertionError, match=r"logits: worst at \[1, 0\]"):
        assert_close(torch.tensor([[1.0, 1.0], [3.0, 1.0]]), torch.ones(2, 2), "logits", threshold=0.1)
