# SPDX-License-Identifier: Apache-2.0
"""What lives on the device and how it moves: names, sections, gradients, materialisation, re-created models."""

import io

import pytest
import torch
import torch.nn.functional as F
from sambaflow import samba
from sambaflow.samba import utils
from sambaflow.samba.nn.parameter import SambaParameter
from sambaflow.samba.session import SambaSession
from torch import nn

pytest.importorskip("sambaflow._leat")

OFF = {"lr": 0.0, "momentum": 0.0, "weight_decay": 0.0, "p": 0.0}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.norm, self.drop, self.b = nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Dropout(0.5), nn.Linear(5, 3)

    def forward(self, x, y):
        logits = self.b(self.drop(self.norm(self.a(x))))
        return F.cross_entropy(logits, y), logits


def sgd(model):
    return samba.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)


def app(tmp_path, model=None, optimizer=sgd, inputs=None, **options):
    """A compiled and traced program: model, inputs, optimizer, outputs, path of the PEF."""
    torch.manual_seed(6)
    model = Net() if model is None else model() if isinstance(model, type) else model
    samba.from_torch_model_(model)
    chosen = optimizer(model) if optimizer else None
    inputs = inputs or (samba.randn(4, 6, name="x", batch_dim=0), samba.randint(3, (4,), name="y", batch_dim=0))
    config = {"output_folder": str(tmp_path), "pef_name": "app"}
    samba.session.args = None
    kept = {k: options[k] for k in ("init_output_grads", "loss_indices") if k in options}
    inference = {"inference": True} if not optimizer else {}
    pef = samba.session.compile(model, inputs, chosen, config_dict=config, **kept, **inference)
    utils.set_seed(2)
    return model, inputs, chosen, utils.trace_graph(model, inputs, chosen, pef=pef, **options), pef


def plain(tensor):
    return samba.to_torch(tensor).detach().clone()


# ---- sections


def test_sections_by_number_are_a_whole_step(tmp_path):
    model, inputs, _, outputs, _ = app(tmp_path)
    whole = samba.session.run(inputs, outputs)
    expected = plain(model.a.weight.sn_data)
    model, inputs, _, outputs, _ = app(tmp_path, inputs=inputs)
    sections = samba.session._bound_device().report()["sections"]
    for index in range(len(sections)):
        last = samba.session.run(inputs, outputs, section_ids=[index])
    assert torch.equal(plain(model.a.weight.sn_data), expected)
    assert all(torch.equal(plain(a), plain(b)) for a, b in zip(last, whole, strict=True))
    assert torch.equal(plain(samba.session.run(inputs, outputs[1], section_ids=range(len(sections)))[0]),
                       plain(samba.session.get_tensors_by_name([outputs[1].sn_name])[0]))  # fmt: skip
    with pytest.raises(ValueError, match="no section 99"):
        samba.session.run(inputs, outputs, section_ids=[99])


def test_state_between_separate_runs_is_kept(tmp_path):
    model, inputs, _, outputs, _ = app(tmp_path)
    samba.session.run(inputs, outputs)
    expected = plain(model.a.weight.sn_data)
    model, inputs, _, outputs, _ = app(tmp_path, inputs=inputs)
    samba.session.run(inputs, outputs, section_types=["fwd"])
    samba.session.to_cpu(model)
    samba.session.get_tensors_by_name(["net__b__weight"])
    samba.session.run(inputs, outputs, section_types=["BCKWD"])
    gradient = plain(model.a.weight.sn_grad)
    loss, _ = samba.session.run(inputs, outputs, section_types=["opt"])
    assert torch.equal(plain(model.a.weight.sn_data), expected)
    assert torch.equal(plain(model.a.weight.sn_grad), gradient)
    assert loss.isfinite()


def test_an_output_may_be_asked_for_twice(tmp_path):
    _, inputs, _, outputs, _ = app(tmp_path)
    loss, logits, again = samba.session.run(inputs, (outputs[0], outputs[1], outputs[0]))
    assert loss.isfinite() and torch.equal(loss, again)


def test_backward_twice_from_one_forward_with_other_gradients(tmp_path):
    model, inputs, _, outputs, _ = app(tmp_path, init_output_grads=False)
    samba.session.run(inputs, outputs, section_types=["fwd"])
    found = []
    for scale in (2.0, 4.0):
        samba.session.run(inputs, outputs, section_types=["bckwd"], grad_of_outputs=[torch.tensor(scale)])
        found.append(plain(model.b.weight.sn_grad))
    torch.testing.assert_close(found[1], 2 * found[0])


def test_gradients_of_an_output_that_is_no_loss(tmp_path):
    class Linear(nn.Module):
        def __init__(self):
            super().__init__()
            self.l = nn.Linear(6, 3)

        def forward(self, x):
            return self.l(x)

    image = samba.randn(4, 6, name="x").requires_grad_()
    image.sn_name = "x"
    model, inputs, _, outputs, _ = app(tmp_path, Linear, inputs=(image,))
    gradient = torch.randn(4, 3)
    samba.session.run(inputs, outputs, section_types=["fwd"])
    samba.session.run(inputs, outputs, section_types=["bckwd", "opt"], grad_of_outputs=[gradient])
    torch.testing.assert_close(plain(model.l.bias.sn_grad), gradient.sum(0))
    torch.testing.assert_close(plain(image.sn_grad), gradient @ model.l.weight.detach())


def test_dropout_by_hyperparameter(tmp_path):
    _, inputs, _, outputs, _ = app(tmp_path)
    run = lambda **h: plain(samba.session.run(inputs, outputs, h or None, ["fwd"])[1])  # noqa: E731
    off = run(p=0.0)
    assert torch.equal(off, run())  # sticky
    assert not torch.equal(off, run(p=0.5))
    assert not torch.equal(run(), run())


# ---- optimizers


def test_prefixes_address_one_optimizer(tmp_path):
    def two(model):
        rest = [*model.b.parameters(), *model.norm.parameters()]
        return [samba.optim.AdamW(model.a.parameters(), lr=0.1, argin_region_name="enc_"), samba.optim.SGD(rest, 0.2)]

    model, inputs, _, outputs, _ = app(tmp_path, optimizer=two)
    before = plain(model.a.weight.sn_data), plain(model.b.weight.sn_data)
    samba.session.run(inputs, outputs, hyperparam_dict={"enc_lr": 0.0, "lr": 0.0})
    assert torch.equal(before[0], plain(model.a.weight.sn_data))
    samba.session.run(inputs, outputs, hyperparam_dict={"enc_lr": 0.1})
    assert not torch.equal(before[0], plain(model.a.weight.sn_data))
    assert torch.equal(before[1], plain(model.b.weight.sn_data))


@pytest.mark.parametrize("name", ["Adam", "SparseAdamW"])
def test_other_names_of_adamw(tmp_path, name):
    model, inputs, _, outputs, _ = app(tmp_path, optimizer=lambda m: getattr(samba.optim, name)(m.parameters(), lr=0.1))
    samba.session.run(inputs, outputs)
    expected = plain(model.a.weight.sn_data)
    model, inputs, _, outputs, _ = app(
        tmp_path, optimizer=lambda m: samba.optim.AdamW(m.parameters(), lr=0.1), inputs=inputs
    )
    samba.session.run(inputs, outputs)
    assert torch.equal(plain(model.a.weight.sn_data), expected)


def test_the_state_of_one_optimizer_is_loaded_alone(tmp_path):
    def two(model):
        return [sgd(model.a), sgd(nn.ModuleList([model.norm, model.b]))]

    _, inputs, optimizers, outputs, _ = app(tmp_path, optimizer=two)
    samba.session.run(inputs, outputs)
    optimizers[0].cpu()
    saved = optimizers[0].state_dict()
    samba.session.run(inputs, outputs)
    other = plain(samba.session.get_tensors_by_name(["net__b__weight__momentum"])[0])
    optimizers[0].load_state_dict(saved)
    assert torch.equal(plain(samba.session.get_tensors_by_name(["net__b__weight__momentum"])[0]), other)
    own = plain(samba.session.get_tensors_by_name(["net__a__weight__momentum"])[0])
    assert torch.equal(own, saved["state"][0]["momentum_buffer"])


# ---- tensors


def test_host_and_device_values_are_independent(tmp_path):
    model, inputs, _, outputs, _ = app(tmp_path)
    weight, host = model.a.weight, model.a.weight.data.clone()
    samba.session.run(inputs, outputs)
    assert torch.equal(weight.data, host) and torch.equal(weight.torch(), host)
    for copy in (weight.sn_data, weight.cpu()):
        assert not torch.equal(copy, host)
        copy.zero_()
    assert weight.sn_data.any() and torch.equal(weight.data, host)
    weight.cpu_()
    assert torch.equal(weight.data, weight.sn_data)
    weight.data = torch.ones(5, 6)
    assert not torch.equal(weight.data, weight.sn_data)
    weight.rdu()
    assert torch.equal(weight.sn_data, torch.ones(5, 6))


def test_buffers_are_device_state(tmp_path):
    model, inputs, _, outputs, _ = app(tmp_path)
    mean = samba.session.buffer_dict["net__norm__running_mean"]
    samba.session.run(inputs, outputs)
    assert mean.sn_data.any() and not model.norm.running_mean.any()
    samba.session.to_cpu(model)
    assert torch.equal(model.norm.running_mean, plain(mean.sn_data)) and model.norm.num_batches_tracked == 1


def test_a_part_of_a_model_brings_its_buffers_home(tmp_path):
    class Outer(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x, y):
            return self.inner(x, y)

    inner = Net()
    samba.from_torch_model_(inner)
    _, inputs, _, outputs, _ = app(tmp_path, Outer(inner))
    samba.session.run(inputs, outputs)
    samba.session.to_cpu(inner)
    assert inner.a.weight.sn_name == "net__a__weight" and inner.norm.num_batches_tracked == 1


def test_a_materializer_fills_the_device(tmp_path):
    class Lazy(nn.Module):
        def __init__(self):
            super().__init__()
            self.l = nn.Linear(6, 3)
            make = lambda p: torch.ones(p.shape, dtype=p.dtype)  # noqa: E731
            self.l.weight = SambaParameter(shape=iter([3, 6]), dtype=torch.float32, materializer=make)

        def forward(self, x, y):
            return F.cross_entropy(self.l(x), y)

    model, *_ = app(tmp_path, Lazy)
    assert bool((plain(model.l.weight.sn_data) == 1).all())


def test_nothing_moves_without_transfer_device_and_a_new_model_takes_over(tmp_path):
    with torch.device("meta"):
        model = Net()
    _, inputs, optimizer, outputs, pef = app(tmp_path, model, transfer_device=False)
    assert not any(t.has_data for t in samba.session._traced_tensors() if t.sn_name.startswith("net"))
    again = Net()
    again.norm.running_mean.fill_(0.25)
    samba.from_torch_model_(again)
    samba.session.to_device()
    for tensor in samba.session.optim_dict.values():
        tensor.rdu()
    assert torch.equal(plain(again.a.weight.sn_data), again.a.weight)
    assert (plain(samba.session.get_tensors_by_name(["net__norm__running_mean"])[0]) == 0.25).all()
    want = F.cross_entropy(again.b(again.norm(again.a(plain(inputs[0])))), plain(inputs[1]))
    (loss,) = samba.session.run(inputs, outputs[0], {"p": 0.0}, ["fwd"])
    torch.testing.assert_close(plain(loss), want.detach())


def test_a_meta_model_comes_home(tmp_path):
    with torch.device("meta"):
        model = Net()
    _, inputs, optimizer, outputs, pef = app(tmp_path, model, transfer_device=False)
    source = Net()
    samba.from_torch_model_(source)
    samba.session.to_rdu(source)
    samba.session.run(inputs, outputs)
    samba.session.to_cpu(model)
    assert all(t.device.type == "cpu" for t in model.state_dict().values())
    assert torch.equal(model.a.weight.detach(), plain(model.a.weight.sn_data))
    assert optimizer.param_groups[0]["params"][0] is model.a.weight
    assert optimizer.state[model.a.weight]["momentum_buffer"].any()
    model(*map(plain, inputs))[0].backward()


def test_recurrent_layers_use_the_new_weights_on_the_host(tmp_path):
    class Lstm(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm, self.head = nn.LSTM(6, 5, num_layers=2, batch_first=True), nn.Linear(5, 3)

        def forward(self, x, y):
            return F.cross_entropy(self.head(self.lstm(x)[0][:, -1]), y)

    inputs = (samba.randn(4, 7, 6, name="x"), samba.randint(3, (4,), name="y"))
    model, _, _, outputs, _ = app(tmp_path, Lstm, inputs=inputs)
    samba.session.run(inputs, outputs)
    before = plain(model(*map(plain, inputs)))
    samba.session.to_cpu(model)
    after = plain(model(*map(plain, inputs)))
    assert not torch.equal(before, after)
    torch.testing.assert_close(after, plain(samba.session.run(inputs, outputs, section_types=["fwd"])[0]))


def test_whole_models_and_states_survive_saving(tmp_path):
    model, inputs, optimizer, outputs, _ = app(tmp_path)
    samba.session.run(inputs, outputs)
    samba.session.to_cpu(model)
    stream = io.BytesIO()
    torch.save(model, stream)
    stream.seek(0)
    again = torch.load(stream, weights_only=False).eval()
    assert torch.equal(plain(again(*map(plain, inputs))[1]), plain(model.eval()(*map(plain, inputs))[1]))
    stream = io.BytesIO()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, stream)
    stream.seek(0)
    found = torch.load(stream, weights_only=True)
    model.load_state_dict(found["model"])
    optimizer.load_state_dict(found["optimizer"])


# ---- sessions


def test_a_second_session_is_independent(tmp_path):
    model, inputs, _, outputs, pef = app(tmp_path, optimizer=None)
    alone = SambaSession(pef)
    want = samba.session.run(inputs, outputs)
    assert not torch.equal(plain(alone.run(inputs)[1]), plain(want[1]))  # it has no weights yet
    alone.to_rdu(model)
    assert torch.equal(plain(alone.run(inputs)[1]), plain(want[1]))
    other = SambaSession()
    twin = Net()
    samba.from_torch_model_(twin)
    traced = other.load(twin, inputs, pef=pef)
    with torch.no_grad():
        twin.b.weight.zero_()
    twin.b.weight.rdu()
    assert not twin.b.weight.sn_data.any() and model.b.weight.sn_data.any()
    assert torch.equal(plain(samba.session.run(inputs, outputs)[1]), plain(want[1]))
    assert not torch.equal(plain(other.run(inputs, traced)[1]), plain(want[1]))


def test_outputs_that_are_asked_for(tmp_path):
    """Nested lists of outputs are taken apart; what is no output is named, with what there is."""
    model = torch.nn.Linear(3, 2)
    samba.from_torch_model_(model)
    inputs = (samba.randn(4, 3, name="x"),)
    pef = samba.session.compile(model, inputs, inference=True, config_dict={"output_folder": str(tmp_path)})
    outputs = samba.utils.trace_graph(model, inputs, pef=pef)
    nested = samba.session.run(input_tensors=inputs, output_tensors=[outputs])
    assert torch.equal(samba.to_torch(nested[0]), samba.to_torch(samba.session.run(inputs, outputs)[0]))
    for wrong in ("linear", torch.zeros(2), inputs[0]):
        with pytest.raises(Exception, match="no output of the program, which has linear__"):
            samba.session.run(input_tensors=inputs, output_tensors=[wrong])
