# SPDX-License-Identifier: Apache-2.0
"""Dims of extent 0, anywhere in a program: values, shapes and gradients as PyTorch has them."""

import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F
from sambaflow import samba

NONE = torch.zeros(0, 4)
NO_ROWS = torch.zeros(0, dtype=torch.long)
NO_COLUMNS = torch.zeros(3, 0, dtype=torch.long)
IMAGES = torch.zeros(0, 2, 8, 8)


class Call(nn.Module):
    """`function(w, *inputs)` with a parameter of its own."""

    def __init__(self, function, *shape):
        super().__init__()
        self.w = nn.Parameter(torch.linspace(-1, 1, 12).sin().reshape(shape or (3, 4)))
        self.function = function

    def forward(self, *inputs):
        return self.function(self.w, *inputs)


def call(function, *inputs):
    return lambda: Call(function), inputs


def written(w):
    y = w * 1
    y[0:0] = 5.0
    y[:, 4:] = 1.0
    return y


MODELS = {
    "a layer of no features": (lambda: nn.Sequential(nn.Linear(4, 0), nn.Linear(0, 4)), (torch.ones(2, 4),)),
    "no samples": (lambda: nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3), nn.GELU(), nn.Linear(3, 2)), (NONE,)),
    "no images": (lambda: nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(3, 2, 2)), (IMAGES,)),
    "no images, mean": (lambda: nn.Sequential(nn.Conv2d(2, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()), (IMAGES,)),
    "no images, transposed": (lambda: nn.ConvTranspose2d(2, 3, 3, stride=2), (IMAGES,)),
    "no sequences": (
        lambda: nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True),
        (torch.ones(0, 3, 4),),
    ),
    "no steps": (lambda: nn.Embedding(5, 4), (torch.zeros(2, 0, dtype=torch.long),)),
    "group norm": (lambda: nn.GroupNorm(2, 4), (torch.zeros(0, 4, 3),)),
    "recurrent": (lambda: nn.GRU(4, 3, batch_first=True), (torch.zeros(0, 2, 4),)),
    "attention to nothing": call(
        lambda w, q, k: F.scaled_dot_product_attention(q * w, k, k), torch.ones(2, 3, 4), torch.ones(2, 0, 4)
    ),
    "attention of nothing": call(lambda w, q: F.scaled_dot_product_attention(q * w[0], q, q), torch.ones(2, 0, 4)),
    "product over nothing": call(lambda w, x: x @ w[0:0], torch.ones(2, 0)),
    "product of no rows": call(lambda w, x: x @ w, torch.ones(0, 3)),
    "product of no columns": call(lambda w, x: w @ x, torch.ones(4, 0)),
    "batched product over nothing": call(lambda w, x: torch.bmm(x, w[None, 0:0].expand(2, 0, 4)), torch.ones(2, 3, 0)),
    "addmm over nothing": call(torch.addmm, torch.ones(3, 0), torch.ones(0, 4)),
    "einsum": call(lambda w, x: torch.einsum("bk,kn->", x, w), torch.ones(0, 3)),
    "sum": call(lambda w, x: (x * w[0]).sum(), NONE),
    "sum of no rows": call(lambda w, x: (x * w[0]).sum(0), NONE),
    "sums of no rows": call(lambda w, x: (x * w[0]).sum(1), NONE),
    "mean": call(lambda w, x: (x * w[0]).mean(), NONE),
    "mean of no rows": call(lambda w, x: (x * w[0]).mean(0), NONE),
    "product of no elements": call(lambda w, x: (x * w[0]).prod(0), NONE),
    "var": call(lambda w, x: (x * w[0]).var(0), NONE),
    "norm": call(lambda w, x: (x * w[0]).norm(dim=0), NONE),
    "largest of each of no rows": call(lambda w, x: (x * w[0]).amax(1), NONE),
    "softmax over nothing": call(lambda w: w[:, 0:0].softmax(1)),
    "logsumexp over nothing": call(lambda w: w[:, 0:0].logsumexp(1)),
    "cumsum": call(lambda w, x: (x * w[0]).cumsum(0), NONE),
    "sort": call(lambda w, x: (x * w[0]).sort(1), NONE),
    "top 0": call(lambda w, x: (x * w).topk(0, 1), torch.ones(3, 4)),
    "top of nothing": call(lambda w, x: (x * w[0]).topk(2, 1), NONE),
    "gather": call(lambda w, i: w.gather(1, i), NO_COLUMNS),
    "rows by no index": call(lambda w, i: w[i], NO_ROWS),
    "elements by no index": call(lambda w, i: w[i, i], NO_ROWS),
    "scatter": call(lambda w, i: w.scatter(1, i, i.float()), NO_COLUMNS),
    "index_add": call(lambda w, i, x: w.index_add(0, i, x), NO_ROWS, NONE),
    "index_put": call(lambda w, i: w.index_put((i,), torch.zeros(0, 4)), NO_ROWS),
    "written": call(written),
    "cat": call(lambda w, x: torch.cat([w, x, w]), NONE),
    "cat of nothing": call(lambda w, x: torch.cat([x * w[0], x]), NONE),
    "cat with the old empty tensor": call(lambda w, x: torch.cat([w, x]), torch.zeros(0)),
    "narrow": call(lambda w: (w.narrow(1, 0, 0), w * 2)),
    "repeat": call(lambda w: (w.repeat(0, 2), w * 2)),
    "tile": call(lambda w: (w.tile(0), w * 2)),
    "expand": call(lambda w: (w[:1].expand(0, 4), w * 2)),
    "split": call(lambda w: torch.split(w, [0, 3], 0)),
    "pad": call(lambda w, x: F.pad(x * w[0], (1, 1, 2, 0), value=3.0), NONE),
    "roll and flip": call(lambda w, x: (x * w[0]).roll(1, 0).flip(0).tril(), NONE),
    "reshape": call(lambda w, x: (x * w[0]).reshape(2, 0, 7), NONE),
    "mse": call(lambda w, x: F.mse_loss(x * w[0], x), NONE),
    "cross entropy": call(lambda w, x, t: F.cross_entropy(x @ w.t(), t), NONE, NO_ROWS),
    "cross entropy, summed": call(lambda w, x, t: F.cross_entropy(x @ w.t(), t, reduction="sum"), NONE, NO_ROWS),
    "cross entropy, each": call(lambda w, x, t: F.cross_entropy(x @ w.t(), t, reduction="none"), NONE, NO_ROWS),
    "kl_div": call(lambda w, x: F.kl_div((x * w[0]).log_softmax(1), x.softmax(1), reduction="batchmean"), NONE),
    "cosine": call(lambda w, x: F.cosine_similarity(x * w[0], x), NONE),
    "upsampling": call(lambda w, x: F.interpolate(x * w[0, 0], scale_factor=2, mode="bilinear"), IMAGES),
    "a sum and nothing": call(lambda w, x: ((x * w[0]).sum() + w.sum(), x * w[0]), NONE),
    "a weight without elements": (lambda: Call(lambda w, x: x.sum() + w[:, 0:0].sum()), (torch.ones(2, 2),)),
    "block_diag": call(lambda w: torch.block_diag(w, torch.zeros(0, 2), w)),
    "truths": (lambda: Call(lambda w, x: ((x * w[0]).sum(), (x > 0).any(), (x > 0).all(), (x > 0).any(0))), (NONE,)),
    "integers": (lambda: Call(lambda w, i: (w.sum(), i + 1, i.sum(), i.prod())), (NO_ROWS,)),
}


def tensors_of(result):
    return [result] if isinstance(result, torch.Tensor) else list(result)


def leat_and_eager(make, inputs, folder, train, **config):
    torch.manual_seed(0)
    eager = make().train(train)
    expected = tensors_of(eager(*(x.clone() for x in inputs)))
    if train:
        expected[0].backward(torch.ones_like(expected[0]))
    torch.manual_seed(0)
    model = make().train(train)
    samba.from_torch_model_(model)
    named = tuple(samba.from_torch_tensor(x.clone(), name=f"x{i}") for i, x in enumerate(inputs))
    optimizer = samba.optim.SGD(model.parameters(), lr=0.0) if train else None
    settings = {"output_folder": str(folder), "pef_name": "empty", "inference": not train, **config}
    pef = samba.session.compile(model, named, optimizer, name="empty", inference=not train, config_dict=settings)
    samba.utils.trace_graph(model, named, optimizer, pef=pef)
    options = {"hyperparam_dict": {"lr": 0.0}} if train else {"section_types": ["fwd"]}
    if train and expected[0].dim() != 0:
        options["grad_of_outputs"] = [samba.from_torch_tensor(torch.ones_like(expected[0]))]
    found = samba.session.run(input_tensors=named, output_tensors=model.output_tensors, **options)
    return [samba.to_torch(y) for y in tensors_of(found)], expected, model, eager


def check(make, inputs, folder, train, **config):
    found, expected, model, eager = leat_and_eager(make, inputs, folder, train, **config)
    assert len(found) == len(expected)
    for got, want in zip(found, expected, strict=True):
        assert got.shape == want.shape
        torch.testing.assert_close(got, want.detach(), rtol=1e-4, atol=1e-6, equal_nan=True)
    for ours, theirs in zip(model.parameters(), eager.parameters(), strict=True):
        assert (ours.sn_grad is None) == (theirs.grad is None)
        if theirs.grad is not None:
            torch.testing.assert_close(samba.to_torch(ours.sn_grad), theirs.grad, rtol=1e-4, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("train", [False, True], ids=["inference", "training"])
def test_empty_values_are_as_pytorch_has_them(name, train, tmp_path):
    make, inputs = MODELS[name]
    check(make, inputs, tmp_path, train)


@pytest.mark.parametrize("level", ["o0", "o1"])
@pytest.mark.parametrize("train", [False, True], ids=["inference", "training"])
@pytest.mark.parametrize(
    "name", ["a layer of no features", "no samples", "no images", "cat", "a sum and nothing", "cross entropy"]
)
def test_empty_values_at_every_level(name, level, train, tmp_path):
    make, inputs = MODELS[name]
    check(make, inputs, tmp_path, train, optim_level=level)


class Scaled(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.w = nn.Parameter(torch.ones(size))

    def forward(self, x):
        return (x * self.w).sum()


def loaded(model, x, folder, optimizer):
    samba.from_torch_model_(model)
    named = [samba.from_torch_tensor(x, name="x")]
    config = {"output_folder": str(folder), "pef_name": "p", "log_level": "error"}
    pef = samba.session.compile(model, named, optimizer, inference=False, config_dict=config)
    samba.utils.trace_graph(model, named, optimizer, pef=pef)
    return named


@pytest.mark.parametrize("types", [["fwd", "bckwd"], ["fwd", "bckwd", "opt"], ["bckwd"]], ids=" ".join)
def test_backward_and_updates_of_nothing_are_no_mistake(types, tmp_path):
    model = Scaled(0)
    named = loaded(model, torch.zeros(2, 0), tmp_path, samba.optim.SGD(model.parameters(), lr=0.1))
    (loss,) = samba.session.run(named, model.output_tensors, section_types=types)
    assert samba.to_torch(loss) == 0
    assert samba.to_torch(model.w.sn_grad).shape == (0,)


def test_a_section_type_that_is_missing_says_why(tmp_path):
    model = Scaled(3)
    named = loaded(model, torch.ones(2, 3), tmp_path, None)
    with pytest.raises(Exception, match="no section of type opt: it was compiled without an optimizer"):
        samba.session.run(named, model.output_tensors, section_types=["fwd", "opt"])
    model = Call(lambda w, x: x.sum())
    named = loaded(model, torch.ones(2, 3), tmp_path, None)
    with pytest.raises(Exception, match="no section of type bckwd: none of its losses depends on a parameter"):
        samba.session.run(named, model.output_tensors, section_types=["bckwd"])


def test_extremes_of_nothing_are_refused_as_pytorch_refuses_them(tmp_path):
    for function in (lambda w: w[:, 0:0].amax(1), lambda w: w[:, 0:0].max(1).values, lambda w: w[:, 0:0].argmax(1)):
        with pytest.raises(Exception, match="non-zero size|reduction dim|specify"):
            function(torch.ones(3, 4))
        model = Call(function)
        samba.from_torch_model_(model)
        with pytest.raises(Exception, match="non-zero size|reduction dim|specify|empty"):
            samba.session.compile(model, (), inference=True, config_dict={"output_folder": str(tmp_path)})
