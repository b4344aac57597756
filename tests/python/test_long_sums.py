# SPDX-License-Identifier: Apache-2.0
"""Sums of many numbers: errors against f64 beside those of eager PyTorch.

The largest error over all seeds is at most twice eager's, or 4 ulp of the largest number of the result. In a usual run
sums have about a quarter of a million terms and a few seeds; LEAT_LONG_SUMS=1 takes ten million and 20 seeds.
"""

import copy
import os
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy
import pytest
import torch
import torch.nn.functional as F
from sambaflow import samba
from support import Native, same_bits
from torch import nn

LONG = os.environ.get("LEAT_LONG_SUMS") == "1"
N = 10_000_000 if LONG else 250_000
SEEDS = 20 if LONG else 2


@dataclass
class Case:
    """`make(n)` gives a module, `inputs(n, generator)` its inputs. `terms`: of the sum, as a part of N."""

    make: Callable
    inputs: Callable
    terms: float = 1.0
    train: bool = False
    seeds: int = field(default=SEEDS)


class Apply(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *x):
        return self.function(*x)


class Loss(nn.Module):
    """A module with a loss behind it."""

    def __init__(self, module, function):
        super().__init__()
        self.module, self.function = module, function

    def forward(self, x, *target):
        return self.function(self.module(x), *target)


def near_100(*shape):
    return lambda n, g: (torch.rand(*(n if s is None else s for s in shape), generator=g) + 100,)


def normal(*shape):
    return lambda n, g: (torch.randn(*(n if s is None else s for s in shape), generator=g),)


def two(*shape):
    return lambda n, g: (*normal(*shape)(n, g), *normal(*shape)(n, g))


def constant(*shape):
    """One number, over and over: its roundings do not average out."""
    return lambda n, g: (torch.full([n if s is None else s for s in shape], torch.rand((), generator=g).item()),)


def labels(classes):
    return lambda n, g: (torch.randn(n, classes, generator=g), torch.randint(classes, (n,), generator=g))


def chances(n, g):
    return torch.rand(n, generator=g) * 0.98 + 0.01, torch.rand(n, generator=g)


def of(function, inputs, **more):
    return Case(lambda n: Apply(function), inputs, **more)


def rows_of_linear(n, g):
    return torch.rand(n, 12, generator=g) + 1, torch.randn(n, 5, generator=g)


def pictures(*shape):
    return lambda n, g: (torch.rand(n, *shape, generator=g) + 1,)


def square(y):
    return y.square().mean()


CASES = {
    "sum of all": of(torch.sum, near_100(None)),
    "sum of all, signs": of(torch.sum, normal(None)),
    "sum of all, constant": of(torch.sum, constant(None)),
    "sum of rows": of(lambda x: x.sum(1), near_100(3, None), terms=1 / 4),
    "sum of columns": of(lambda x: x.sum(0), near_100(None, 5), terms=1 / 4),
    "sum of columns, constant": of(lambda x: x.sum(0), constant(None, 5), terms=1 / 4),
    "sum of many columns": of(lambda x: x.sum(0), near_100(None, 200), terms=1 / 50),
    "sum of short runs": of(lambda x: x.sum((0, 2)), near_100(None, 3, 7), terms=1 / 20),
    "sum of a transposed tensor": of(lambda x: x.transpose(1, 2).sum((0, 1)), near_100(7, 3, None), terms=1 / 20),
    "sum over strides": of(lambda x: x[:, ::3, ::2].sum((1, 2)), near_100(3, None, 8), terms=1 / 8),
    "mean": of(torch.mean, near_100(None)),
    "variance": of(torch.var, near_100(None)),
    "variance per channel": of(lambda x: x.var((0, 2)), near_100(64, 3, None), terms=1 / 100),
    "deviation of columns": of(lambda x: x.std(0), near_100(None, 3), terms=1 / 4),
    "norm": of(torch.norm, normal(None)),
    "norm of columns": of(lambda x: x.norm(dim=0), normal(None, 3), terms=1 / 4),
    "norm 1": of(lambda x: x.norm(p=1), normal(None)),
    "norm 3": of(lambda x: x.norm(p=3), normal(None), terms=1 / 2),
    "mse": of(F.mse_loss, two(None)),
    "l1": of(F.l1_loss, two(None)),
    "smooth l1": of(F.smooth_l1_loss, two(None), terms=1 / 2),
    "cross entropy": of(F.cross_entropy, labels(10), terms=1 / 5),
    "cross entropy of many classes": of(F.cross_entropy, lambda n, g: labels(n // 8)(8, g)),
    "bce": of(F.binary_cross_entropy, chances, terms=1 / 2),
    "bce with logits": of(F.binary_cross_entropy_with_logits, lambda n, g: (*normal(n)(n, g), chances(n, g)[0])),
    "logsumexp": of(lambda x: x.logsumexp(0), normal(None), terms=1 / 2),
    "softmax": of(lambda x: x.softmax(1), normal(2, None), terms=1 / 8),
    "cumsum": of(lambda x: x.cumsum(0), near_100(None), terms=1 / 2),
    "cumsum of columns": of(lambda x: x.cumsum(0), near_100(None, 3), terms=1 / 8),
    "dot product": of(torch.dot, two(None), terms=1 / 2),
    "product": of(lambda x, y: x.t() @ y, two(None, 5), terms=1 / 10),
    "product of rows": of(lambda x, y: x @ y.t(), two(5, None), terms=1 / 10),
    "product of one sign": of(lambda x: x.t() @ x, near_100(None, 4), terms=1 / 10),
    "batched product": of(lambda x, y: x.transpose(1, 2) @ y, two(2, None, 4), terms=1 / 20),
    "linear": Case(lambda n: nn.Linear(n, 3), normal(2, None), terms=1 / 8),
    "batch norm": of(lambda x: F.batch_norm(x, None, None, training=True), near_100(2, 3, 50, None), terms=1 / 1000),
    "layer norm": of(lambda x: F.layer_norm(x, x.shape[1:]), near_100(2, None), terms=1 / 4),
    "group norm": of(lambda x: F.group_norm(x, 2), near_100(2, 4, None), terms=1 / 8),
    "average of a plane": of(lambda x: F.adaptive_avg_pool2d(x, 1), near_100(1, 2, 100, None), terms=1 / 1000),
    "weight and bias gradient of linear": Case(
        lambda n: Loss(nn.Linear(12, 5), F.mse_loss), rows_of_linear, terms=1 / 10 if LONG else 1, train=True
    ),
    "gradients of conv2d": Case(
        lambda n: Loss(nn.Conv2d(3, 4, 3, padding=1), square), pictures(3, 64, 64), terms=1 / 10_000, train=True
    ),
    "gradients of conv1d, few channels": Case(
        lambda n: Loss(nn.Conv1d(2, 3, 5, stride=2), square), pictures(2, 5001), terms=1 / 50_000, train=True
    ),
    "gradients of conv_transpose3d": Case(
        lambda n: Loss(nn.ConvTranspose3d(2, 3, 3, stride=2), square),
        pictures(2, 20, 20, 20),
        terms=1 / 500_000,
        train=True,
    ),
    "gradients of batch norm": Case(
        lambda n: Loss(nn.BatchNorm1d(4), lambda y: (y**3).mean()), near_100(None, 4), terms=1 / 10, train=True
    ),
    "gradient of an embedding": Case(
        lambda n: Loss(nn.Embedding(4, 3), square),
        lambda n, g: (torch.randint(4, (n,), generator=g),),
        terms=1 / 10,
        train=True,
    ),
}


def tensors(out):
    return [out] if isinstance(out, torch.Tensor) else list(out)


def eager(module, inputs, train):
    """Outputs, and gradients of the parameters."""
    module.zero_grad()
    outputs = tensors(module(*inputs))
    if train:
        outputs[0].backward()
    return [t.detach() for t in outputs] + [p.grad.clone() for p in module.parameters() if train]


def compiled(module, inputs, train, folder):
    """The same from Leat, as a function of inputs."""
    samba.from_torch_model_(module)
    optimizer = samba.optim.SGD(module.parameters(), lr=0.0) if train else None

    def named(values):
        return [samba.from_torch_tensor(x, name=f"x{i}") for i, x in enumerate(values)]

    config = {"output_folder": str(folder), "pef_name": "sums", "inference": not train, "log_level": "error"}
    pef = samba.session.compile(module, named(inputs), optimizer, name="sums", inference=not train, config_dict=config)
    samba.utils.trace_graph(module, named(inputs), optimizer, pef=pef)
    sections = {"section_types": ["fwd", "bckwd"] if train else ["fwd"]}

    def run(values):
        out = samba.session.run(input_tensors=named(values), output_tensors=module.output_tensors, **sections)
        outputs = [samba.to_torch(t).clone() for t in tensors(out)]
        return outputs + [samba.to_torch(p.sn_grad).clone() for p in module.parameters() if train]

    return run


def wide(values):
    return [x.double() if x.is_floating_point() else x for x in values]


@pytest.mark.parametrize("name", CASES)
def test_errors_are_those_of_eager(name, tmp_path):
    case = CASES[name]
    n = max(int(N * case.terms), 2)
    torch.manual_seed(0)
    module = case.make(n)
    exact, plain = copy.deepcopy(module).double(), copy.deepcopy(module)
    run = compiled(module, case.inputs(n, torch.Generator().manual_seed(0)), case.train, tmp_path)
    worst, allowed = {}, {}
    for seed in range(case.seeds):
        inputs = case.inputs(n, torch.Generator().manual_seed(seed))
        results = [eager(exact, wide(inputs), case.train), eager(plain, inputs, case.train), run(inputs)]
        for i, (right, theirs, ours) in enumerate(zip(*results, strict=True)):
            ulp = float(numpy.spacing(numpy.float32(right.abs().max().item())))
            worst[i] = max(worst.get(i, 0.0), (ours.double() - right).abs().max().item())
            allowed[i] = max(allowed.get(i, 0.0), 2 * (theirs.double() - right).abs().max().item(), 4 * ulp)
    assert all(worst[i] <= allowed[i] for i in worst), (name, worst, allowed)


def sum_of(function, x, folder):
    return compiled(Apply(function), (x,), False, folder)((x,))[0]


def test_twenty_million_ones(tmp_path):
    """2^24 + 1 is no f32: one accumulator stops there."""
    ones = torch.ones(20_000_000, 1)
    assert sum_of(lambda x: x.sum(0), ones, tmp_path).item() == 20_000_000
    assert sum_of(torch.sum, ones, tmp_path).item() == 20_000_000


def test_a_million_tenths(tmp_path):
    tenths = torch.full((1_000_000,), 0.1)
    exact = tenths.double().sum().item()
    assert abs(sum_of(torch.sum, tenths, tmp_path).item() - exact) <= 4 * float(numpy.spacing(numpy.float32(exact)))


@pytest.mark.skipif(not LONG, reason="half a gigabyte; LEAT_LONG_SUMS=1 runs it")
def test_loss_over_a_large_product(tmp_path):
    g = torch.Generator().manual_seed(0)
    x, y, target = (torch.randn(*s, generator=g) for s in ((8205, 7), (7, 5921), (8205, 5921)))
    module = Apply(lambda x, y, target: F.mse_loss(x @ y, target))
    ours = compiled(module, (x, y, target), False, tmp_path)((x, y, target))[0].item()
    assert ours == pytest.approx(F.mse_loss(x.double() @ y.double(), target.double()).item(), rel=1e-6)


class Long(nn.Module):
    """Long sums of every kind in one training step."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.linear = nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Linear(3, 5)

    def forward(self, x):
        y = self.norm(self.conv(x)).permute(0, 2, 3, 1).reshape(-1, 3)
        return F.softplus(self.linear(y)).cumsum(0).mean()


def test_bits_depend_on_neither_threads_nor_level(tmp_path):
    torch.manual_seed(0)
    module = Long()
    x = torch.randn(4, 2, 60, 70)
    compiled(module, (x,), True, tmp_path)
    state = {parameter.sn_name: samba.to_torch(parameter) for parameter in module.parameters()}
    first = None
    for threads, isa in ((1, None), (2, None), (3, None), (2, "avx2"), (2, "portable")):
        program = Native(next(tmp_path.rglob("*.pef")), threads, isa)
        for name, value in {"x0": x, **state}.items():
            program.write(name, value)
        program.run()
        kinds = (program.lib.LEAT_SYMBOL_OUTPUT, program.lib.LEAT_SYMBOL_GRADIENT, program.lib.LEAT_SYMBOL_BUFFER)
        found = {name: program.read(name) for kind in kinds for name in program.names(kind)}
        assert len(found) >= 8
        first = first or found
        different = [name for name in first if not same_bits(first[name], found[name])]
        assert not different, f"{threads} threads, {isa}: {different}"
