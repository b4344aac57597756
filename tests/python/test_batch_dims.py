# SPDX-License-Identifier: Apache-2.0
"""Which dim of an output is the batch: told by the compiler, whatever the extents suggest.

With 4 rows, an output of 8 elements may be one number a class, or two a row.
"""

import pytest
import torch
from sambaflow import samba
from sambaflow._base.library import InvalidArgumentError
from sambaflow.samba import SambaTensor, utils
from sambaflow.samba.session import SambaSession
from torch import nn

ROWS, CLASSES = 4, 8


class PerClass(nn.Module):
    """Outputs of 8 elements at 4 rows: a mean a class, two numbers a row; and a table [class, row]."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, CLASSES)

    def forward(self, x, weight):
        logits = self.fc(x) * weight
        return logits.square().mean(), logits.mean(0), logits.reshape(-1, 4).sum(1), logits.t()


DIMS = (None, None, 0, 1)  # of its outputs


class WrittenRows(PerClass):
    """The number of rows is part of the model."""

    def forward(self, x, weight):
        return super().forward(x.view(ROWS, 6), weight)


@pytest.fixture(autouse=True)
def own_arguments():
    yield
    samba.session.args = None


def named(x, weight):
    return samba.from_torch_tensor(x, name="x", batch_dim=0), samba.from_torch_tensor(weight, name="weight")


def tensors(rows, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, 6, generator=generator), torch.linspace(0.5, 1.5, CLASSES)


def loaded(folder, model_of=PerClass, rows=ROWS, train=False, **config):
    """(the model on the host, traced outputs, path of the PEF)."""
    torch.manual_seed(0)
    host, model = model_of(), model_of()
    model.load_state_dict(host.state_dict())
    samba.from_torch_model_(model)
    optimizer = samba.optim.SGD(model.parameters(), lr=0.0) if train else None
    config = {"output_folder": str(folder), "pef_name": "net", **config}
    inputs = named(*tensors(rows))
    pef = samba.session.compile(model, inputs, optimizer, inference=not train, config_dict=config)
    return host, utils.trace_graph(model, inputs, optimizer, pef=pef), pef


def run(inputs, outputs, **more):
    return [samba.to_torch(t).clone() for t in samba.session.run(named(*inputs), outputs, **more)]


def check(found, expected):
    assert [tuple(t.shape) for t in found] == [tuple(t.shape) for t in expected]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def of_batches(host, x, weight):
    """What eager runs of the batches give, put together."""
    with torch.no_grad():
        runs = [host(piece, weight) for piece in x.split(ROWS)]
    parts = zip(DIMS, zip(*runs, strict=True), strict=True)
    return [torch.stack(each).mean(0) if dim is None else torch.cat(each, dim) for dim, each in parts]


@pytest.mark.parametrize("guarded", [False, True])
@pytest.mark.parametrize("rows", [2 * ROWS, 3 * ROWS, 2 * ROWS + 2, ROWS + 1])
def test_several_batches_in_a_run(tmp_path, rows, guarded):
    host, outputs, _ = loaded(tmp_path, train=guarded, num_spatial_batches=3)
    inputs = tensors(rows)
    check(run(inputs, outputs, stop_on_nan=guarded), of_batches(host, *inputs))


@pytest.mark.parametrize("rows", [ROWS, ROWS - 1, 1])
def test_a_smaller_batch(tmp_path, rows):
    host, outputs, _ = loaded(tmp_path)
    inputs = tensors(rows)
    check(run(inputs, outputs), host(*inputs))


@pytest.mark.parametrize("train", [False, True])
def test_micro_batches_of_4_rows(tmp_path, train):
    host, outputs, _ = loaded(tmp_path, rows=4 * ROWS, train=train, batch_size=4 * ROWS, microbatch_size=ROWS)
    inputs = tensors(4 * ROWS)
    check(run(inputs, outputs), host(*inputs))


def test_one_update_for_several_batches(tmp_path):
    host, outputs, _ = loaded(tmp_path, train=True, grad_accumulation_steps=2)
    for seed, rows in enumerate((ROWS, ROWS, ROWS, ROWS - 2)):
        inputs = tensors(rows, seed)
        check(run(inputs, outputs), host(*inputs))


def test_the_program_may_say_it_where_the_model_has_its_rows_written_in(tmp_path):
    host, outputs, _ = loaded(tmp_path, WrittenRows, num_spatial_batches=2)
    inputs = tensors(2 * ROWS)
    expected = of_batches(host, *inputs)
    wanted = [outputs[0], *outputs[2:]]
    with pytest.raises(InvalidArgumentError, match="batch dim is not known: the model cannot be traced on 8 rows"):
        run(inputs, wanted)
    check(run(inputs, outputs[:1]), expected[:1])  # a number needs none
    outputs[2].batch_dim, outputs[3].batch_dim = 0, -1
    check(run(inputs, wanted), [expected[0], *expected[2:]])


def test_a_pef_without_its_model_does_not_guess(tmp_path):
    host, _, pef = loaded(tmp_path, num_spatial_batches=2)
    session = SambaSession(pef)
    for name, value in host.state_dict().items():
        symbol = f"perclass__{name.replace('.', '__')}"
        session._device.write(session._device.find(symbol), value)
    outputs = session.traced_outputs()
    inputs = [samba.from_torch_tensor(t, name=n) for t, n in zip(tensors(2 * ROWS), ("x", "weight"), strict=True)]
    with pytest.raises(InvalidArgumentError, match="loaded without its model"):
        session.run(inputs, outputs)
    for output, dim in zip(outputs, DIMS, strict=True):
        output.batch_dim = dim
    wanted = [t for t, dim in zip(outputs, DIMS, strict=True) if dim is not None]
    assert all(isinstance(t, SambaTensor) for t in wanted)
    expected = [t for t, dim in zip(of_batches(host, *tensors(2 * ROWS)), DIMS, strict=True) if dim is not None]
    check([samba.to_torch(t) for t in session.run(inputs, wanted)], expected)


def test_an_input_of_as_many_elements_as_rows_may_be_shared(tmp_path):
    class Scaled(nn.Module):
        def forward(self, x, scale):
            return x @ torch.ones(6, ROWS) * scale

    model = Scaled()
    samba.from_torch_model_(model)
    x, scale = tensors(2 * ROWS)[0], torch.arange(1.0, ROWS + 1)

    def inputs(x):
        return samba.from_torch_tensor(x, name="x", batch_dim=0), samba.from_torch_tensor(scale, name="scale")

    config = {"output_folder": str(tmp_path), "pef_name": "net", "num_spatial_batches": 2}
    pef = samba.session.compile(model, inputs(x[:ROWS]), inference=True, config_dict=config)
    outputs = utils.trace_graph(model, inputs(x[:ROWS]), pef=pef)
    found = samba.to_torch(samba.session.run(inputs(x), outputs)[0])
    torch.testing.assert_close(found, model(x, scale))
