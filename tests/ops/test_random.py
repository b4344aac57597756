# SPDX-License-Identifier: Apache-2.0
"""Rows that draw random numbers: distribution, a new draw every run, the same draws from the same state."""

import os

import pytest
import torch
import torch.nn.functional as F

from . import engine

SHAPE = (64, 257)


class Draw(torch.nn.Module):
    """`function` of one input, as a traced program."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        results = self.function(x)
        return results if isinstance(results, tuple) else (results,)


def prepared(function, folder, count=1, differentiate=False):
    """(traced, program, given) of `function` with `count` results."""
    x = torch.ones(SHAPE)
    traced = engine.trace(Draw(function), [("x0", "input", x, differentiate)], [differentiate] * count)
    given = {"x0": x}
    if differentiate:
        given |= {f"y{index}__seed": torch.ones(SHAPE) for index in range(count)}
    return traced, engine.Program(traced, os.path.join(folder, "random.pef")), given


@pytest.mark.parametrize(
    "name, function, mean, variance",
    [("rand", torch.rand, 0.5, 1 / 12), ("randn", torch.randn, 0.0, 1.0)],
)
def test_distribution(name, function, mean, variance, tmp_folder):
    traced, program, given = prepared(lambda x: (x * function(SHAPE), function(SHAPE) + 0 * x), tmp_folder, count=2)
    assert f"= {name}(" in traced.text
    first, second = program.run(given), program.run(given)
    for values in (first["y0"], first["y1"], second["y0"]):
        count = values.numel()
        assert abs(float(values.mean()) - mean) < 5 * (variance / count) ** 0.5
        assert abs(float(values.var()) - variance) < 0.05 * variance
        assert len(values.unique()) > 0.95 * count
    if name == "rand":
        assert 0 <= float(first["y0"].min()) and float(first["y0"].max()) < 1
    else:
        assert 3.2 < float(first["y0"].abs().max()) < 6.5
        assert abs(float((first["y0"] ** 4).mean()) - 3) < 0.35
    assert not torch.equal(first["y0"], first["y1"]), "two draws of a program are different"
    assert not torch.equal(first["y0"], second["y0"]), "two runs draw different numbers"


@pytest.mark.parametrize("function", [torch.rand, torch.randn])
def test_same_state_same_draw(function, tmp_folder):
    traced, program, given = prepared(lambda x: x * function(SHAPE), tmp_folder)
    first = program.run(given)["y0"]
    again = engine.Program(traced, os.path.join(tmp_folder, "again.pef"), threads=2, isa="portable").run(given)["y0"]
    assert torch.equal(first, again)
    slow = engine.evaluate(traced, given)["y0"]
    assert float((slow - first).abs().max()) <= 2e-6


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_dropout(p, tmp_folder):
    traced, program, given = prepared(lambda x: F.dropout(x, p), tmp_folder, differentiate=True)
    assert "= dropout(" in traced.text
    first = program.run(given)
    values, kept = first["y0"], 1 - p
    on = values != 0
    assert abs(float(on.float().mean()) - kept) < 5 * (p * kept / values.numel()) ** 0.5
    assert torch.allclose(values[on], torch.tensor(1 / kept), rtol=1e-6)
    assert torch.equal(first["x0__grad"], values), "the gradient has the mask and the scale of the values"
    assert not torch.equal(values, program.run(given)["y0"])


def test_dropout_without_effect(tmp_folder):
    for function in (lambda x: F.dropout(x, 0.0) * 1, lambda x: F.dropout(x, 0.5, training=False) * 1):
        _, program, given = prepared(function, tmp_folder)
        assert torch.equal(program.run(given)["y0"], given["x0"])
