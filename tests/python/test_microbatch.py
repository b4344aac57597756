# SPDX-License-Identifier: Apache-2.0
"""Micro-batches: results are those of the whole batch, and what cannot be put together from parts is refused."""

import copy

import pytest
import torch
from language_models import Gpt2, Llama
from models import MODELS
from sambaflow import samba
from sambaflow.samba import utils
from torch import nn

pytest.importorskip("sambaflow._leat")

BATCH, STEPS = 8, 3


def tensors_of(inputs):
    return tuple(samba.from_torch_tensor(value, name=name, batch_dim=0) for name, value in inputs.items())


def train(model, inputs, folder, **config):
    """Three steps of SGD: outputs of every step, then the trained weights."""
    model = copy.deepcopy(model)
    samba.from_torch_model_(model)
    optimizer = samba.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    settings = {"output_folder": str(folder), "pef_name": "m", "optim_level": "o3", **config}
    pef = samba.session.compile(model, tensors_of(inputs), optimizer, config_dict=settings)
    outputs = utils.trace_graph(model, tensors_of(inputs), optimizer, pef=pef)
    seen = []
    for _ in range(STEPS):
        results = samba.session.run(input_tensors=tensors_of(inputs), output_tensors=outputs)
        seen += [samba.to_torch(result).clone() for result in results]
    samba.session.to_cpu(model)
    return seen + [samba.to_torch(p).clone() for p in model.parameters()]


def check(model, inputs, folder, size, rtol=2e-4):
    whole = train(model, inputs, folder)
    parts = train(model, inputs, folder, microbatch_size=size)
    for expected, found in zip(whole, parts, strict=True):
        torch.testing.assert_close(found, expected, rtol=rtol, atol=2e-5)


def tokens(**_):
    generator = torch.Generator().manual_seed(5)
    return {name: torch.randint(64, (BATCH, 16), generator=generator) for name in ("tokens", "targets")}


def images(name):
    generator = torch.Generator().manual_seed(5)
    shape = MODELS[name][1]
    return {
        "image": torch.randn(BATCH, *shape, generator=generator),
        "label": torch.randint(10, (BATCH,), generator=generator),
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
    check(Sums(), {"x": torch.randn(BATCH, 6)}, tmp_path, 2)


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

    y = train(Dropped(), {"x": torch.ones(4, 4).repeat(BATCH // 4, 1)}, tmp_path, microbatch_size=2)[1]
    masks = [part == 0 for part in y.split(2)]
    assert any(not torch.equal(masks[0], mask) for mask in masks[1:])


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
