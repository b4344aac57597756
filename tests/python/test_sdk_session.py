# SPDX-License-Identifier: Apache-2.0
"""The session: compile, trace, run, weights and optimizer state, and what each mistake says."""

import copy
import io
import os
import shutil

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sambaflow import samba
from sambaflow.samba import utils
from sambaflow.samba.utils.pef_utils import PefInfoStruct, get_pef_info, get_pefmeta_dict
from torch import nn

pytest.importorskip("sambaflow._leat")


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(6, 5)
        self.out = nn.Linear(5, 3)

    def forward(self, image, label):
        logits = self.out(torch.tanh(self.hidden(image)))
        return F.cross_entropy(logits, label), logits


class App:
    """A compiled and loaded program, with a plain copy of its model."""

    def __init__(self, tmp_path, model=None, inputs=None, optimizer=None, **options):
        torch.manual_seed(7)
        self.model = Net() if model is None else model
        self.reference = copy.deepcopy(self.model)
        samba.from_torch_model_(self.model)
        self.inputs = inputs or (
            samba.randn(4, 6, name="image", batch_dim=0),
            samba.randint(3, (4,), name="label", batch_dim=0),
        )
        self.optimizer = optimizer(self.model.parameters()) if optimizer else None
        config = {"output_folder": str(tmp_path), "pef_name": "app"}
        self.pef = samba.session.compile(self.model, self.inputs, self.optimizer, config_dict=config, **options)
        options.pop("inference", None)
        self.outputs = utils.trace_graph(self.model, self.inputs, self.optimizer, pef=self.pef, **options)

    def plain(self):
        return [samba.to_torch(t).clone() for t in self.inputs]

    def run(self, *args, **kwargs):
        return samba.session.run(*(args or (self.inputs, self.outputs)), **kwargs)


@pytest.fixture(autouse=True)
def no_arguments():
    samba.session.args = None
    yield
    samba.session.args = None


def sgd(params):
    return samba.optim.SGD(params, lr=0.1, momentum=0.9, weight_decay=0.01)


def close(a, b, rtol=1e-5, atol=1e-6):
    torch.testing.assert_close(samba.to_torch(a).detach(), samba.to_torch(b).detach(), rtol=rtol, atol=atol)


# ---- training


OPTIMIZERS = {
    "sgd": (
        lambda p: samba.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
    ),
    "nesterov": (
        lambda p: samba.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    ),
    "adamw": (
        lambda p: samba.optim.AdamW(p, lr=0.01, weight_decay=0.1),
        lambda p: torch.optim.AdamW(p, lr=0.01, betas=(0.9, 0.997), weight_decay=0.1),
    ),
    "amsgrad": (
        lambda p: samba.optim.AdamW(p, lr=0.01, amsgrad=True),
        lambda p: torch.optim.AdamW(p, lr=0.01, betas=(0.9, 0.997), weight_decay=0, amsgrad=True),
    ),
}


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_training_follows_torch(tmp_path, kind):
    ours, theirs = OPTIMIZERS[kind]
    app = App(tmp_path, optimizer=ours)
    reference = theirs(app.reference.parameters())
    for _ in range(6):
        image, label = torch.randn(4, 6), torch.randint(3, (4,))
        named = (samba.from_torch_tensor(image, name="image"), samba.from_torch_tensor(label, name="label"))
        loss, logits = app.run(named, app.outputs)
        want, want_logits = app.reference(image, label)
        close(loss, want)
        close(logits, want_logits)
        reference.zero_grad()
        want.backward()
        for (_, p), q in zip(app.reference.named_parameters(), app.model.parameters(), strict=True):
            close(q.sn_grad, p.grad)
        reference.step()
    samba.session.to_cpu(app.model)
    for p, q in zip(app.reference.parameters(), app.model.parameters(), strict=True):
        close(q, p)
        for key, value in reference.state[p].items():
            if torch.is_tensor(value) and value.dim():
                close(app.optimizer.state[q][key], value)


def test_host_weights_change_only_with_to_cpu(tmp_path):
    app = App(tmp_path, optimizer=sgd)
    loss, _ = app.model(*app.plain())
    before = app.model.hidden.weight.detach().clone()
    app.run()
    assert torch.equal(before, app.model.hidden.weight)
    loss.backward()  # the host graph is still whole
    samba.session.to_cpu(app.model)
    assert not torch.equal(before, app.model.hidden.weight)


def test_forward_sections_change_nothing(tmp_path):
    app = App(tmp_path, optimizer=sgd)
    first = [samba.to_torch(t).clone() for t in app.run(section_types=["FWD"])]
    second = app.run(section_types=["fwd"])
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a, samba.to_torch(b))


def test_sections_one_by_one_are_one_step(tmp_path):
    whole, parts = App(tmp_path / "..", optimizer=sgd), None
    whole.run()
    expected = whole.model.hidden.weight.sn_data
    parts = App(tmp_path, optimizer=sgd, inputs=whole.inputs)
    for types in (["fwd"], ["bckwd"], ["opt"]):
        loss, _ = parts.run(section_types=types)
    assert torch.equal(samba.to_torch(parts.model.hidden.weight.sn_data), samba.to_torch(expected))
    close(loss, whole.reference(*whole.plain())[0])


def test_outputs_of_one_step_survive_the_next(tmp_path):
    app = App(tmp_path, optimizer=sgd)
    first = app.run()[1]
    kept = samba.to_torch(first).clone()
    app.run()
    assert torch.equal(kept, samba.to_torch(first))


def test_one_output_may_be_asked_for_alone(tmp_path):
    app = App(tmp_path, optimizer=sgd)
    every = app.run(section_types=["fwd"])
    (logits,) = app.run(app.inputs, app.outputs[1], section_types=["fwd"])
    assert torch.equal(logits, every[1])
    assert len(samba.session.run(app.inputs, section_types=["fwd"])) == 2


def test_hyperparameters_are_sticky_and_change_the_step(tmp_path):
    app = App(tmp_path, optimizer=lambda p: samba.optim.SGD(p, lr=0.0))
    before = samba.to_torch(app.model.hidden.weight.sn_data)
    app.run()
    assert torch.equal(before, samba.to_torch(app.model.hidden.weight.sn_data))
    app.run(hyperparam_dict={"lr": 0.5, "momentum": 0.0, "p": 0.0})
    after = samba.to_torch(app.model.hidden.weight.sn_data)
    assert not torch.equal(before, after)
    app.run()
    assert not torch.equal(after, samba.to_torch(app.model.hidden.weight.sn_data))


def test_gradient_seeds_of_an_unreduced_loss(tmp_path):
    class PerSample(Net):
        def forward(self, image, label):
            logits = self.out(torch.tanh(self.hidden(image)))
            return F.cross_entropy(logits, label, reduction="none"), logits

    app = App(tmp_path, model=PerSample(), optimizer=sgd)
    scale = torch.tensor([0.0, 2.0, -1.0, 0.5])
    for grad in (torch.ones(4), scale):
        app.outputs[0].sn_grad = grad
        app.run(section_types=["fwd", "bckwd"])
        app.reference.zero_grad()
        app.reference(*app.plain())[0].backward(grad)
        close(app.model.hidden.weight.sn_grad, app.reference.hidden.weight.grad)
    with pytest.raises(ValueError, match="loss_indices"):
        app.outputs[1].sn_grad = torch.ones(4, 3)


def test_scalar_seed_is_fixed_unless_asked_for(tmp_path):
    app = App(tmp_path, optimizer=sgd)
    with pytest.raises(ValueError, match="init_output_grads=False"):
        app.outputs[0].sn_grad = torch.tensor(2.0)
    app = App(tmp_path, optimizer=sgd, init_output_grads=False)
    app.outputs[0].sn_grad = torch.tensor(2.0)
    app.run(section_types=["fwd", "bckwd"])
    (2 * app.reference(*app.plain())[0]).backward()
    close(app.model.out.bias.sn_grad, app.reference.out.bias.grad)


def test_gradient_of_an_input(tmp_path):
    image = samba.randn(4, 6, name="image", batch_dim=0).requires_grad_()
    image.sn_name = "image"
    app = App(tmp_path, inputs=(image, samba.randint(3, (4,), name="label")), optimizer=sgd)
    app.run()
    plain = samba.to_torch(image).detach().clone().requires_grad_()
    app.reference(plain, samba.to_torch(app.inputs[1]))[0].backward()
    close(image.sn_grad, plain.grad)


def test_batch_norm_statistics_and_lstm_train_like_torch(tmp_path):
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm1d(5)
            self.lstm = nn.LSTM(5, 4, batch_first=True)
            self.head = nn.Linear(4, 2)

        def forward(self, x, y):
            x = self.norm(x.transpose(1, 2)).transpose(1, 2)
            return F.mse_loss(self.head(self.lstm(x)[0][:, -1]), y)

    x, y = samba.randn(3, 6, 5, name="x"), samba.randn(3, 2, name="y")
    app = App(tmp_path, model=Mixed(), inputs=(x, y), optimizer=sgd)
    reference = torch.optim.SGD(app.reference.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
    for _ in range(3):
        (loss,) = app.run()
        want = app.reference(*app.plain())
        close(loss, want)
        reference.zero_grad()
        want.backward()
        reference.step()
    samba.session.to_cpu(app.model)
    for name, value in app.reference.state_dict().items():
        close(app.model.state_dict()[name], value)


# ---- inputs


def test_inputs_bind_by_name_in_any_order_and_as_a_dict(tmp_path):
    app = App(tmp_path, inference=True)
    want = app.run()[1]
    image, label = app.inputs
    assert torch.equal(app.run((label, None, image), app.outputs)[1], want)
    assert torch.equal(app.run({"a": image, "b": (label,)}, app.outputs)[1], want)


@pytest.mark.parametrize("dtype", [torch.int16, torch.int32, torch.uint8])
def test_labels_of_any_integer_dtype(tmp_path, dtype):
    app = App(tmp_path, inference=True)
    want = app.run()[0]
    label = samba.from_torch_tensor(samba.to_torch(app.inputs[1]).to(dtype), name="label")
    assert torch.equal(app.run((app.inputs[0], label), app.outputs)[0], want)


def test_float64_non_contiguous_and_reshaped_inputs(tmp_path):
    app = App(tmp_path, inference=True)
    want = app.run()[1]
    plain = samba.to_torch(app.inputs[0])
    for image in (plain.double(), plain.t().contiguous().t(), plain.reshape(4, 2, 3), plain.numpy()):
        named = samba.from_torch_tensor(image, name="image")
        assert torch.equal(app.run((named, app.inputs[1]), app.outputs)[1], want)


def test_inputs_share_memory(tmp_path):
    app = App(tmp_path, inference=True)
    data = torch.randn(4, 6)
    image = samba.from_torch_tensor(data, name="image")
    first = app.run((image, app.inputs[1]), app.outputs)[1]
    data.zero_()
    assert not torch.equal(app.run((image, app.inputs[1]), app.outputs)[1], first)


def test_a_smaller_batch_is_exact(tmp_path):
    app = App(tmp_path, optimizer=sgd)
    image, label = torch.randn(3, 6), torch.randint(3, (3,))
    named = [samba.from_torch_tensor(image, name="image"), samba.from_torch_tensor(label, name="label")]
    loss, logits = app.run(named, app.outputs)
    want, want_logits = app.reference(image, label)
    want.backward()
    close(loss, want)
    close(logits, want_logits)
    close(app.model.hidden.weight.sn_grad, app.reference.hidden.weight.grad)


@pytest.mark.parametrize(
    "inputs, message",
    [
        (lambda i, y: (i,), "missing input.*label"),
        (
            lambda i, y: (i, samba.from_torch_tensor(samba.to_torch(y), name="labels")),
            "unknown input 'labels'.*image, label",
        ),
        (lambda i, y: (i, samba.randn(4, name="label")), "label.*float32.*int64"),
        (lambda i, y: (samba.randn(4, 7, name="image"), y), r"image.*\[4, 7\].*\[4, 6\]"),
        (lambda i, y: (i, 3), "int; inputs must be named"),
        (lambda i, y: (i, samba.to_torch(y)), "no name"),
    ],
)
def test_wrong_inputs(tmp_path, inputs, message):
    app = App(tmp_path, inference=True)
    with pytest.raises(ValueError, match=message):
        app.run(inputs(*app.inputs), app.outputs)


def test_unknown_hyperparameter_and_section(tmp_path):
    app = App(tmp_path, optimizer=sgd)
    with pytest.raises(ValueError, match="learning_rate.*lr"):
        app.run(hyperparam_dict={"learning_rate": 1.0})
    with pytest.raises(ValueError, match="backward.*bckwd"):
        app.run(section_types=["backward"])


# ---- PEF and program


def test_training_from_an_inference_pef_is_refused(tmp_path):
    app = App(tmp_path, inference=True)
    with pytest.raises(ValueError, match="inference"):
        app.run(section_types=["bckwd"])
    with pytest.raises(ValueError, match="inference"):
        utils.trace_graph(app.model, app.inputs, sgd(app.model.parameters()), pef=app.pef)


def test_inference_from_a_training_pef(tmp_path):
    app = App(tmp_path, optimizer=sgd)
    outputs = utils.trace_graph(app.model, app.inputs, pef=app.pef)
    before = samba.to_torch(app.model.hidden.weight.sn_data)
    loss, _ = samba.session.run(app.inputs, outputs)
    close(loss, app.reference(*app.plain())[0])
    assert torch.equal(before, samba.to_torch(app.model.hidden.weight.sn_data))


def test_pef_of_another_program(tmp_path):
    app = App(tmp_path, optimizer=sgd)
    other = nn.Sequential(nn.Linear(6, 3))
    samba.from_torch_model_(other)
    with pytest.raises(ValueError, match="another program: its forward pass"):
        utils.trace_graph(other, app.inputs[:1], sgd(other.parameters()), pef=app.pef)
    with pytest.raises(ValueError, match="optimizers"):
        utils.trace_graph(app.model, app.inputs, samba.optim.AdamW(app.model.parameters()), pef=app.pef)


@pytest.mark.parametrize("damage", ["missing", "foreign", "truncated"])
def test_bad_pef(tmp_path, damage):
    app = App(tmp_path, inference=True)
    path = tmp_path / "bad.pef"
    data = open(app.pef, "rb").read()
    if damage == "foreign":
        path.write_bytes(b"not a PEF" * 100)
    elif damage == "truncated":
        path.write_bytes(data[: len(data) // 2])
    with pytest.raises(FileNotFoundError if damage == "missing" else ValueError, match=r"bad\.pef"):
        utils.trace_graph(app.model, app.inputs, pef=str(path))


def test_options_that_differ_from_the_pef(tmp_path):
    app = App(tmp_path, inference=True)
    config = {"output_folder": str(tmp_path), "pef_name": "b", "batch_size": 4, "mapping": "section"}
    pef = samba.session.compile(app.model, app.inputs, config_dict=config, inference=True)
    samba.session.setup(type("Args", (), {"model_dump": lambda self: {"batch_size": 8}})())
    with pytest.raises(ValueError, match="--batch-size 8 .* compiled with 4"):
        utils.trace_graph(app.model, app.inputs, pef=pef)
    samba.session.args = None
    with pytest.raises(ValueError, match="--mapping spatial"):
        utils.trace_graph(app.model, app.inputs, pef=pef, mapping="spatial")


def test_a_compile_that_fails_leaves_nothing(tmp_path):
    model = Net()
    samba.from_torch_model_(model)
    inputs = (samba.randn(4, 6, name="image"), samba.randint(3, (4,), name="label"))
    wrong, config = (inputs[0], samba.randn(3, 3, name="label")), {"output_folder": f"{tmp_path}/a/b", "pef_name": "x"}
    with pytest.raises((RuntimeError, ValueError)):
        samba.session.compile(model, wrong, config_dict=config)
    assert sorted(p.name for p in (tmp_path / "a/b/x").iterdir()) == ["x.mac.log", "x.samba.log"]  # they say why
    shutil.rmtree(tmp_path / "a")
    with pytest.raises(NotImplementedError):
        samba.session.compile(
            model, inputs, config_dict={"output_folder": str(tmp_path), "pef_name": "x", "n_chips": 2}
        )
    with pytest.raises(Exception, match="arch"):
        samba.session.compile(
            model, inputs, config_dict={"output_folder": str(tmp_path), "pef_name": "x", "arch": "sn99"}
        )
    assert os.listdir(tmp_path) == []


def test_equal_programs_give_equal_files(tmp_path):
    paths = []
    for folder, name in (("a", "one"), ("b", "two")):
        (tmp_path / folder).mkdir()
        torch.manual_seed(0)
        model = Net()
        samba.from_torch_model_(model)
        inputs = (samba.randn(4, 6, name="image"), samba.randint(3, (4,), name="label"))
        config = {"output_folder": str(tmp_path / folder), "pef_name": name + ".pef"}
        paths.append(samba.session.compile(model, inputs, sgd(model.parameters()), config_dict=config))
    assert paths[0].endswith("a/one/one.pef")
    assert open(paths[0], "rb").read() == open(paths[1], "rb").read()


def test_metadata_comes_back_with_its_types(tmp_path):
    values = {"pydantic_app_args": {"a": [1, 2.5, None, True]}, "tags": {"x"}}
    app = App(tmp_path, inference=True, pef_metadata=get_pefmeta_dict(values, Net()))
    found = get_pef_info(app.pef, {"pydantic_app_args": PefInfoStruct({}), "tags": PefInfoStruct(None)})
    assert found == {"pydantic_app_args": values["pydantic_app_args"], "tags": "{'x'}"}
    with pytest.raises(ValueError, match="absent"):
        get_pef_info(app.pef, {"absent": PefInfoStruct()})


# ---- weights


def test_checkpoint_resumes_exactly(tmp_path):
    app = App(tmp_path, optimizer=lambda p: samba.optim.AdamW(p, lr=0.01))
    batches = [(torch.randn(4, 6), torch.randint(3, (4,))) for _ in range(6)]

    def steps(selected, outputs):
        for image, label in selected:
            named = (samba.from_torch_tensor(image, name="image"), samba.from_torch_tensor(label, name="label"))
            (loss,) = samba.session.run(named, outputs[:1])
        return samba.to_torch(loss)

    steps(batches[:3], app.outputs)
    samba.session.to_cpu(app.model)
    file = io.BytesIO()
    torch.save({"model": app.model.state_dict(), "optimizer": app.optimizer.state_dict()}, file)
    expected = steps(batches[3:], app.outputs)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    assert all(type(value) is torch.Tensor for value in saved["model"].values())
    model = Net()
    samba.from_torch_model_(model)
    optimizer = samba.optim.AdamW(model.parameters(), lr=0.01)
    model.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    outputs = utils.trace_graph(model, app.inputs, optimizer, pef=app.pef)
    assert torch.equal(steps(batches[3:], outputs), expected)


def test_to_rdu_after_loading_weights(tmp_path):
    app = App(tmp_path, inference=True)
    with torch.no_grad():
        for parameter in app.model.parameters():
            parameter.zero_()
    assert bool(app.run()[1].abs().sum() > 0)
    samba.session.to_rdu(app.model)
    assert bool(app.run()[1].abs().sum() == 0)


def test_transfer_device_false_and_a_re_created_model(tmp_path):
    app = App(tmp_path, inference=True)
    outputs = utils.trace_graph(app.model, app.inputs, pef=app.pef, transfer_device=False)
    again = Net()
    again.load_state_dict(app.reference.state_dict())
    samba.from_torch_model_(again)
    samba.session.to_device()
    close(samba.session.run(app.inputs, outputs)[0], app.reference(*app.plain())[0])


def test_to_cpu_of_a_model_that_was_not_traced(tmp_path):
    App(tmp_path, inference=True)
    stranger = nn.Sequential(nn.Linear(2, 2))
    samba.from_torch_model_(stranger)
    with pytest.raises(AttributeError, match="never traced"):
        samba.session.to_cpu(stranger)


def test_single_tensors_between_host_and_device(tmp_path):
    app = App(tmp_path, optimizer=sgd)
    weight = app.model.hidden.weight
    with torch.no_grad():
        weight.fill_(0.25)
    assert not torch.equal(weight.sn_data, weight)
    weight.rdu()
    assert torch.equal(weight.sn_data, weight)
    app.run()
    assert not torch.equal(weight.cpu(), weight)
    weight.cpu_()
    assert torch.equal(weight.sn_data, weight)
    (found,) = samba.session.get_tensors_by_name(["net__hidden__weight"])
    assert torch.equal(found.data, weight.data)
    with pytest.raises(FileNotFoundError, match="net__hidden__weigth"):
        samba.session.get_tensors_by_name(["net__hidden__weigth"])


def test_numpy_and_comparison_of_results(tmp_path):
    app = App(tmp_path, inference=True)
    loss, logits = app.run()
    assert type(loss) is samba.SambaTensor and float(loss) == loss.item()
    assert np.asarray(logits.detach()).shape == (4, 3)
    assert (torch.max(logits, 1)[1] == app.inputs[1]).sum().item() >= 0


# ---- optimizers and random numbers


def test_gradient_clipping_follows_torch(tmp_path):
    app = App(tmp_path, optimizer=lambda p: samba.optim.AdamW(p, lr=0.01, max_grad_norm=0.05))
    reference = torch.optim.AdamW(app.reference.parameters(), lr=0.01, betas=(0.9, 0.997), weight_decay=0)
    for _ in range(3):
        app.run(section_types=["fwd", "bckwd", "gradnorm", "opt"])
        reference.zero_grad()
        app.reference(*app.plain())[0].backward()
        torch.nn.utils.clip_grad_norm_(app.reference.parameters(), 0.05)
        reference.step()
    samba.session.to_cpu(app.model)
    for p, q in zip(app.reference.parameters(), app.model.parameters(), strict=True):
        close(q, p, rtol=1e-4)


def test_several_optimizers_with_names_of_their_own(tmp_path):
    torch.manual_seed(1)
    model = Net()
    reference = copy.deepcopy(model)
    samba.from_torch_model_(model)
    inputs = (samba.randn(4, 6, name="image"), samba.randint(3, (4,), name="label"))
    optimizers = [
        samba.optim.SGD(model.hidden.parameters(), lr=0.0, argin_region_name="body_"),
        samba.optim.AdamW(model.out.parameters(), lr=0.0),
    ]
    pef = samba.session.compile(
        model, inputs, optimizers, config_dict={"output_folder": str(tmp_path), "pef_name": "two"}
    )
    outputs = utils.trace_graph(model, inputs, optimizers, pef=pef)
    samba.session.run(inputs, outputs, hyperparam_dict={"body_lr": 0.5, "lr": 0.0})
    samba.session.to_cpu(model)
    close(model.out.weight, reference.out.weight)
    assert not torch.equal(samba.to_torch(model.hidden.weight), reference.hidden.weight)


def test_dropout_follows_its_hyperparameter_and_the_seed(tmp_path):
    class Dropped(nn.Module):
        def forward(self, x):
            return F.dropout(x, 0.5)

    utils.set_seed(5)
    x = samba.ones(1000, name="x")
    app = App(tmp_path, model=Dropped(), inputs=(x,))

    def draw(p):
        return samba.to_torch(app.run(hyperparam_dict={"p": p}, section_types=["fwd"])[0]).clone()

    first, second = draw(0.5), draw(0.5)
    assert 350 < int((first == 0).sum()) < 650 and bool(((first == 0) | (first == 2)).all())
    assert not torch.equal(first, second)
    assert torch.equal(draw(0.0), torch.ones(1000))
    app.outputs = utils.trace_graph(app.model, app.inputs, pef=app.pef)
    samba.session.seed = 5
    app.outputs = utils.trace_graph(app.model, app.inputs, pef=app.pef)
    assert torch.equal(draw(0.5), first)


def test_inference_drops_nothing(tmp_path):
    app = App(tmp_path, model=nn.Sequential(nn.Dropout(0.5)), inputs=(samba.ones(100, name="x"),), inference=True)
    assert torch.equal(samba.to_torch(app.run()[0]), torch.ones(100))


def test_aux_tensors_are_named_constants(tmp_path):
    table = torch.randn(6)
    samba.session.add_aux_tensor(table, "aux_table")
    samba.session.add_aux_tensor(table, "aux_table")
    assert samba.session.is_valid_aux_tensor_name("aux_table")

    class Model(nn.Module):
        def forward(self, x):
            return x * table

    app = App(tmp_path, model=Model(), inputs=(samba.ones(6, name="x"),), inference=True)
    samba.session._aux.clear()
    assert torch.equal(samba.to_torch(app.run()[0]), table)
    assert torch.equal(samba.session.get_tensors_by_name(["aux_table"])[0], table)
