# SPDX-License-Identifier: Apache-2.0
"""Micro-batches: results are those of the whole batch, computed in a loop of the file; what cannot be such a loop is
written out, with a warning, and what cannot be put together from parts is refused."""

import copy
from pathlib import Path

import pytest
import torch
from language_models import Gpt2, Llama
from models import MODELS
from sambaflow import samba
from sambaflow._base.library import InvalidArgumentError
from sambaflow._runtime.device import Device
from sambaflow.samba import utils
from sambaflow.samba._finite import NotFiniteError
from torch import nn

pytest.importorskip("sambaflow._leat")

BATCH, STEPS = 8, 3


def tensors_of(inputs):
    return tuple(samba.from_torch_tensor(value, name=name, batch_dim=0) for name, value in inputs.items())


def compiled(model, inputs, folder, make_optimizer=None, **config):
    """The model as it is traced, its outputs, and the PEF."""
    model = copy.deepcopy(model)
    samba.from_torch_model_(model)
    make_optimizer = make_optimizer or (lambda p: samba.optim.SGD(p, lr=0.1, momentum=0.9))
    optimizer = make_optimizer(model.parameters())
    settings = {"output_folder": str(folder), "pef_name": "m", "optim_level": "o3", **config}
    pef = samba.session.compile(model, tensors_of(inputs), optimizer, config_dict=settings)
    return model, utils.trace_graph(model, tensors_of(inputs), optimizer, pef=pef), Path(pef)


def step(inputs, outputs, **options):
    results = samba.session.run(input_tensors=tensors_of(inputs), output_tensors=outputs, **options)
    return [samba.to_torch(result).clone() for result in results]


def weights_of(model):
    samba.session.to_cpu(model)
    return [samba.to_torch(p).clone() for p in model.parameters()]


def train(model, inputs, folder, make_optimizer=None, **config):
    """Three steps: outputs of every step, then the trained weights."""
    model, outputs, _ = compiled(model, inputs, folder, make_optimizer, **config)
    seen = [result for _ in range(STEPS) for result in step(inputs, outputs)]
    return seen + weights_of(model)


def loops_of(pef):
    return [loop["name"] for loop in Device(str(pef)).report()["loops"]]


WARNING = "micro-batches are written out one by one, not as a loop: "


def check_form(folder, why=None):
    """One loop over micro-batches; or none, and one warning that says why."""
    told = [line for line in next(folder.rglob("m.mac.log")).read_text().splitlines() if WARNING in line]
    assert loops_of(next(folder.rglob("m.pef"))).count("micro-batches") == (why is None)
    assert len(told) == (why is not None)
    assert why is None or why in told[0]


def check(model, inputs, folder, size, rtol=2e-4, atol=2e-5, why=None, **config):
    """`why`: the parts are written out, since."""
    whole = train(model, inputs, folder / "whole", **config)
    parts = train(model, inputs, folder / "parts", microbatch_size=size, **config)
    check_form(folder / "parts", why)
    for expected, found in zip(whole, parts, strict=True):
        torch.testing.assert_close(found, expected, rtol=rtol, atol=atol)


def tokens(**_):
    generator = torch.Generator().manual_seed(5)
    return {name: torch.randint(64, (BATCH, 16), generator=generator) for name in ("tokens", "targets")}


def images(name, batch=BATCH):
    generator = torch.Generator().manual_seed(5)
    shape = MODELS[name][1]
    return {
        "image": torch.randn(batch, *shape, generator=generator),
        "label": torch.randint(10, (batch,), generator=generator),
    }


@pytest.mark.shows("--microbatch-size")
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("size", [2, 4])
def test_models(name, size, tmp_path):
    torch.manual_seed(7)
    check(MODELS[name][0](), images(name), tmp_path, size)


@pytest.mark.parametrize("make", [Gpt2, Llama])
def test_transformers(make, tmp_path):
    torch.manual_seed(7)
    check(make(), tokens(), tmp_path, 2)


class Classifier(nn.Module):
    """A product, and a loss that ignores some labels and weighs the others: parts count unequal numbers of labels."""

    def __init__(self, weight=None):
        super().__init__()
        self.fc = nn.Linear(6, 4)
        self.criterion = nn.CrossEntropyLoss(weight=weight, ignore_index=3)

    def forward(self, x, t):
        y = self.fc(x)
        return self.criterion(y, t), y


@pytest.mark.parametrize("weight", [None, torch.tensor([0.5, 2.0, 1.0, 7.0])])
def test_mean_losses_count_labels(weight, tmp_path):
    x, t = torch.randn(BATCH, 6), torch.tensor([3, 3, 0, 1, 2, 3, 1, 0])
    check(Classifier(weight), {"x": x, "t": t}, tmp_path, 2)


def test_a_part_may_have_no_label_that_counts(tmp_path):
    x, t = torch.randn(BATCH, 6), torch.tensor([0, 1, 3, 3, 2, 3, 1, 0])
    check(Classifier(), {"x": x, "t": t}, tmp_path, 2)


@pytest.mark.parametrize(
    ("make_optimizer", "config"),
    [
        (lambda p: samba.optim.AdamW(p, lr=0.01, max_grad_norm=0.1), {}),
        (None, {"grad_accumulation_steps": 2}),
        (None, {"graphamp_preset": "mp1"}),
    ],
    ids=["adamw, clipped", "accumulated", "mp1"],
)
def test_updates(make_optimizer, config, tmp_path):
    torch.manual_seed(3)
    x, t = torch.randn(BATCH, 6), torch.tensor([3, 3, 0, 1, 2, 3, 1, 0])
    close = {"atol": 5e-3} if "graphamp_preset" in config else {}
    check(Classifier(), {"x": x, "t": t}, tmp_path, 2, make_optimizer=make_optimizer, **close, **config)


def test_memory_and_file_are_those_of_one_part(tmp_path):
    torch.manual_seed(7)
    inputs, pefs = images("lenet", 64), []
    for size in (None, 4):
        pefs.append(compiled(MODELS["lenet"][0](), inputs, tmp_path / str(size), microbatch_size=size)[2])
    arenas = [Device(str(pef)).report()["memory"]["arena_bytes"] for pef in pefs]
    assert arenas[1] <= 0.35 * arenas[0]
    assert pefs[1].stat().st_size <= 1.3 * pefs[0].stat().st_size


def test_bits_do_not_hang_on_threads_or_engine(tmp_path, monkeypatch):
    torch.manual_seed(7)
    model, inputs, results = MODELS["lenet"][0](), images("lenet"), []
    for engine, threads in (("native", 1), ("native", 2), ("native", 3), ("ref", 1)):
        monkeypatch.setenv("LEAT_ENGINE", engine)
        monkeypatch.setenv("LEAT_NUM_THREADS", str(threads))
        results.append(train(model, inputs, tmp_path / f"{engine}{threads}", microbatch_size=2))
    for found in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], found, strict=True))


def test_forward_runs_alone_and_backward_does_not(tmp_path):
    torch.manual_seed(7)
    model, inputs = MODELS["lenet"][0](), images("lenet")
    expected = train(model, inputs, tmp_path / "all", microbatch_size=2)
    model, outputs, _ = compiled(model, inputs, tmp_path / "apart", microbatch_size=2)
    other = {"image": inputs["image"] * 2, "label": inputs["label"]}
    seen = []
    for _ in range(STEPS):
        seen += step(inputs, outputs, section_types=["fwd", "bckwd"])
        step(other, outputs, section_types=["fwd"])  # gradients stay
        step(inputs, outputs, section_types=["opt"])
    for types in (["bckwd"], ["bckwd", "opt"]):
        with pytest.raises(InvalidArgumentError, match="run all of them at once, or fwd alone"):
            step(inputs, outputs, section_types=types)
    assert all(torch.equal(a, b) for a, b in zip(expected, seen + weights_of(model), strict=True))


def test_what_is_wrong_in_the_last_part_updates_nothing(tmp_path):
    inputs = {"x": torch.randn(BATCH, 6), "t": torch.tensor([3, 3, 0, 1, 2, 3, 1, 0])}
    model, outputs, _ = compiled(Classifier(), inputs, tmp_path, microbatch_size=2)
    before = weights_of(model)
    with pytest.raises(Exception, match=r"is 9 in row 7, out of range"):
        step({**inputs, "t": torch.tensor([3, 3, 0, 1, 2, 3, 1, 9])}, outputs)
    broken = inputs["x"].clone()
    broken[6] = torch.nan
    with pytest.raises(NotFiniteError, match="output_0 is nan|loss is nan|is nan"):
        step({**inputs, "x": broken}, outputs, stop_on_nan=True)
    assert all(torch.equal(a, b) for a, b in zip(before, weights_of(model), strict=True))
    step(inputs, outputs, stop_on_nan=True)
    assert not all(torch.equal(a, b) for a, b in zip(before, weights_of(model), strict=True))


class Sums(nn.Module):
    """Results over the batch of every kind, batch in the second dim, constants of the batch's length."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 5)

    def forward(self, x):
        y = self.fc(x).transpose(0, 1)  # [5, batch]
        scaled = y * torch.arange(x.shape[0], dtype=torch.float32) + torch.ones(5, x.shape[0])
        last = x[torch.arange(x.shape[0]), 2].tanh()
        centred = y - y.mean(dim=1, keepdim=True)
        gram = y @ self.fc(x)
        place = torch.searchsorted(centred.transpose(0, 1).sort(1)[0].detach(), x)
        y = y + place.sum(1) + torch.bucketize(x[:, 0], torch.tensor([-0.5, 0.5]))
        total = (
            scaled.mean() + centred.square().sum() * 0.1 + gram.abs().amax() * 0.01 + last.sum() * self.fc.bias.sum()
        )
        return total, scaled, y.amax(dim=1), centred.reshape(5, -1)


def test_results_over_the_batch(tmp_path):
    torch.manual_seed(3)
    check(Sums(), {"x": torch.randn(BATCH, 6)}, tmp_path, 2, why="joins the rows by something else than sums")


class Plain(nn.Module):
    """Rows in another dim, state of the model, losses in a sum with a term of the weights alone."""

    def __init__(self):
        super().__init__()
        self.fc, self.criterion = nn.utils.parametrizations.weight_norm(nn.Linear(6, 5)), nn.CrossEntropyLoss()
        self.register_buffer("mean", torch.zeros(5))

    def forward(self, x, t):
        y = self.fc(x)
        self.mean.mul_(0.9).add_(y.detach().mean(0))
        turned = y.transpose(0, 1) * torch.arange(x.shape[0], dtype=torch.float32)
        loss = self.criterion(y, t) + turned.square().mean() * self.fc.bias.sum() + 0.01 * self.fc.weight.square().sum()
        return loss, turned, self.mean.clone(), (y.argmax(1) == t).sum()


def test_rows_in_other_dims_state_and_terms_without_rows(tmp_path):
    torch.manual_seed(3)
    check(Plain(), {"x": torch.randn(BATCH, 6), "t": torch.arange(BATCH) % 5}, tmp_path, 2)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.criterion = nn.Embedding(7, 6), nn.CrossEntropyLoss()
        self.layer, self.fc = nn.GRU(6, 5, num_layers=2, bidirectional=True, batch_first=True), nn.Linear(10, 7)

    def forward(self, tokens):
        y = self.fc(self.layer(self.embedding(tokens))[0])
        return self.criterion(y[:, :-1].reshape(-1, 7), tokens[:, 1:].reshape(-1)), y


@pytest.mark.parametrize("length", [4, 20])  # the fewer steps are written out
def test_recurrent_layers_are_loops_in_the_loop(length, tmp_path):
    torch.manual_seed(3)
    check(Recurrent(), {"tokens": torch.randint(7, (BATCH, length))}, tmp_path, 2)
    loops = loops_of(next((tmp_path / "parts").rglob("m.pef")))
    assert loops == ["micro-batches", *["recurrent.layer"] * (0 if length == 4 else 8)]


class WrittenOut(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.kind, self.fc, self.table = kind, nn.Linear(6, 5), nn.Embedding(9, 5)
        if kind == "aliased":
            self.alias = torch.zeros(5)

    def forward(self, x):
        y = self.fc(x)
        if self.kind == "root":
            return y.square().mean().sqrt(), y
        if self.kind == "centred":
            y = y - y.mean()
        if self.kind == "indices":
            y = y + self.table((x[:, 0] * 0).long())
        if self.kind == "aliased":
            y = y + self.alias
            self.alias = self.fc.bias.detach()
        return y.square().mean(), y


@pytest.mark.parametrize(
    ("kind", "config", "why"),
    [
        ("root", {}, "hangs on what all micro-batches give, so none can be done before the others"),
        ("centred", {}, "hangs on what all micro-batches give, so none can be done before the others"),
        ("indices", {}, "has indices that are computed, and checked after forward"),
        ("aliased", {}, "state in the memory of a parameter is written by forward and by the optimizer"),
        ("", {"optim_level": "o0"}, "groups of ops are compiled apart"),
        ("", {"optim_level": "o1"}, "groups of ops are compiled apart"),
        ("", {"mapping": "spatial"}, "--mapping spatial is one section"),
    ],
)
def test_what_is_no_loop_is_written_out_and_told(kind, config, why, tmp_path):
    torch.manual_seed(3)
    check(WrittenOut(kind), {"x": torch.randn(BATCH, 6)}, tmp_path, 2, why=why, **config)


class Refused(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.kind, self.fc, self.norm = kind, nn.Linear(6, 5), nn.BatchNorm1d(5)

    def forward(self, x):
        y = self.fc(x)
        if self.kind == "batch_norm":
            y = self.norm(y)
        if self.kind == "softmax":
            y = torch.softmax(y, dim=0)
        if self.kind == "var":
            y = y - y.var(dim=0)
        if self.kind == "lines":
            y = y + torch.searchsorted(y[:, 0].contiguous().detach(), y.detach())
        if self.kind == "behind":
            return y.sum(), y.transpose(0, 1).reshape(-1)
        return y.sum(), y


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        ("batch_norm", "statistics of the whole batch"),
        ("softmax", "works along the batch dim"),
        ("var", "combines rows of the batch"),
        ("lines", "works along the batch dim"),
        ("behind", "batch behind another dim"),
    ],
)
def test_refusals_say_why_and_where(kind, part, tmp_path):
    with pytest.raises(Exception, match=part) as caught:
        train(Refused(kind), {"x": torch.randn(BATCH, 6)}, tmp_path, microbatch_size=2)
    assert "compile without -mb" in str(caught.value)
    assert not list(tmp_path.rglob("*.pef"))


def test_sizes_that_do_not_divide(tmp_path):
    with pytest.raises(Exception, match="3 does not divide the batch size 8"):
        train(
            Classifier(),
            {"x": torch.randn(BATCH, 6), "t": torch.zeros(BATCH, dtype=torch.long)},
            tmp_path,
            microbatch_size=3,
        )


def test_dropout_draws_other_masks_for_every_part(tmp_path):
    class Dropped(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.drop = nn.Linear(4, 4), nn.Dropout(0.5)

        def forward(self, x):
            y = self.drop(self.fc(x))
            return y.sum(), y

    inputs = {"x": torch.ones(4, 4).repeat(BATCH // 4, 1)}
    y = train(Dropped(), inputs, tmp_path / "loop", microbatch_size=2)[1]
    check_form(tmp_path / "loop")
    masks = [part == 0 for part in y.split(2)]
    assert any(not torch.equal(masks[0], mask) for mask in masks[1:])
    straight = train(Dropped(), inputs, tmp_path / "straight", microbatch_size=2, mapping="spatial")[1]
    check_form(tmp_path / "straight", "--mapping spatial is one section")
    assert torch.equal(straight == 0, y == 0)  # the same streams


class Tripled(torch.autograd.Function):
    """Doubles, with a gradient that is clamped and tripled."""

    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, grad):
        return grad.clamp(max=0.01) * 3


class Weighed(torch.autograd.Function):
    """A product whose weight gradient is clamped: that of the batch is not the sum of those of its parts."""

    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        return x @ weight

    @staticmethod
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        return grad @ weight.T, (x.T @ grad).clamp(max=0.01)


class OwnGradients(nn.Module):
    def __init__(self, weighed=False):
        super().__init__()
        self.a, self.b, self.w = nn.Linear(3, 8), nn.Linear(8, 2), nn.Parameter(torch.eye(8))
        self.b.register_full_backward_hook(lambda m, gi, go: (gi[0] * 0.5,))
        self.a.register_full_backward_pre_hook(lambda m, go: (go[0].clamp(-0.02, 0.02),))
        self.weighed = weighed

    def forward(self, x):
        hidden = Tripled.apply(self.a(x).tanh())
        hidden.register_hook(lambda grad: grad + 0.001)
        hidden = Weighed.apply(hidden, self.w) if self.weighed else hidden @ self.w
        return self.b(hidden).square().mean()


def test_gradients_of_the_program_s_own_are_those_of_the_whole_batch(tmp_path):
    torch.manual_seed(8)
    check(OwnGradients(), {"x": torch.randn(BATCH, 3)}, tmp_path, 2)


def test_a_gradient_of_the_program_s_own_that_sums_over_the_batch_is_refused(tmp_path):
    with pytest.raises(NotImplementedError, match="a gradient that sums over the batch"):
        check(OwnGradients(weighed=True), {"x": torch.randn(BATCH, 3)}, tmp_path, 2)


class PicksColumns(nn.Module):
    """Picks by an index beside the batch, which lies in the second dim there."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(5, 6)
        self.register_buffer("picked", torch.tensor([4, 0, 3]))

    def forward(self, x):
        return self.fc(x).t()[self.picked].square().mean()


def test_an_index_beside_the_batch_is_the_same_for_every_part(tmp_path):
    torch.manual_seed(7)
    check(PicksColumns(), {"x": torch.randn(BATCH, 5)}, tmp_path, 2)


@pytest.mark.parametrize("recurrent", [False, True])
def test_state_with_the_rows_of_the_whole_batch_is_named(recurrent, tmp_path):
    class Held(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.lstm = nn.Linear(6, 3), nn.LSTM(6, 3)
            self.register_buffer("h", torch.zeros(1, BATCH, 3))

        def forward(self, x):
            y = self.lstm(x.expand(9, BATCH, 6), (self.h, self.h))[0] if recurrent else self.linear(x) + self.h
            return y.square().mean()

    with pytest.raises(Exception, match=r"takes 8 rows, but not 2 of them.*: h \[1, 8, 3\] has the rows") as caught:
        train(Held(), {"x": torch.randn(BATCH, 6)}, tmp_path, microbatch_size=2)
    assert "compile without -mb" in str(caught.value)
