# SPDX-License-Identifier: Apache-2.0
"""Gradients of what is constant in pieces, or of which nothing is read: zeros, which an infinite slope before it makes
NaN, as in eager PyTorch."""

import beside_eager as eager
import pytest
import torch
from beside_eager import Function

FLAT = {
    "ceil": torch.ceil,
    "floor": torch.floor,
    "round": torch.round,
    "round to a decimal": lambda v: torch.round(v, decimals=1),
    "sgn, which has no gradient": torch.sgn,
    "sign": torch.sign,
    "trunc": torch.trunc,
    "div, floor": lambda v: v.div(0.3, rounding_mode="floor"),
    "div, floor, of the divisor": lambda v: torch.div(torch.ones(3), v, rounding_mode="floor").nan_to_num(),
    "div, trunc": lambda v: v.div(0.3, rounding_mode="trunc"),
    "copysign, of the sign": lambda v: torch.copysign(torch.ones(3), v),
    "frac, which is not flat": torch.frac,
    "softshrink": lambda v: torch.nn.functional.softshrink(v, 0.1),
}


@pytest.mark.parametrize("name", FLAT)
def test_flat_functions_behind_an_infinite_slope(name, tmp_path):
    """The slope of sqrt(w - 0.5) is infinite at the first of the three elements of w."""
    model = Function(lambda self, x: (FLAT[name](torch.sqrt(self.w - 0.5)) * x).sum() + self.w.sum(), 3)
    eager.check(tmp_path, model, torch.ones(3))


NO_INDEX = torch.zeros(0, dtype=torch.long)
NOTHING = {
    "slice": lambda v: v[:0],
    "narrow": lambda v: v.narrow(0, 1, 0),
    "split": lambda v: v.split([0, 3])[0],
    "repeat": lambda v: v.repeat(0),
    "repeat_interleave": lambda v: v.repeat_interleave(0),
    "expand": lambda v: v.expand(0, 3),
    "index": lambda v: v[NO_INDEX],
    "gather": lambda v: v.gather(0, NO_INDEX),
    "embedding": lambda v: torch.nn.functional.embedding(NO_INDEX, v.view(3, 1)),
    "topk": lambda v: v.topk(0)[0],
    "pad": lambda v: torch.nn.functional.pad(v, (-2, -1)),
    "where": lambda v: torch.where(torch.zeros(0, 3).bool(), v, v),
    "mul": lambda v: v * torch.zeros(0, 3),
    "matmul": lambda v: torch.zeros(0, 3) @ v,
    "linear": lambda v: torch.nn.functional.linear(torch.zeros(0, 3), torch.ones(3, 3), v),
    "cat": lambda v: torch.cat([v[:0], torch.ones(3)]),
}


@pytest.mark.parametrize("name", NOTHING)
def test_nothing_of_what_has_an_infinite_slope(name, tmp_path):
    model = Function(lambda self, x: (NOTHING[name](torch.sqrt(self.w - 0.5)).sum() + (self.w * x).sum(),), 3)
    eager.check(tmp_path, model, torch.ones(3))


COVERED = {
    "fill_": lambda v: v.fill_(2.0),
    "zero_": lambda v: v.zero_(),
    "copy_": lambda v: v.copy_(torch.ones(3)),
    "copy_ of one": lambda v: v.copy_(torch.ones(1)),
    "bernoulli_": lambda v: v.bernoulli_(1.0),
    "normal_": lambda v: v.normal_(1.0, 0.0),
    "uniform_": lambda v: v.uniform_(2.0, 2.0),
    "all elements set": lambda v: v.__setitem__(slice(None), 1.0),
    "a view": lambda v: v.view(1, 3).fill_(1.0),
    "a part": lambda v: v[:2].zero_(),
    "a mask": lambda v: v.masked_fill_(torch.tensor([True, False, True]), 2.0),
    "bernoulli": lambda v: torch.bernoulli(v * 0.0),
    "normal": lambda v: torch.normal(v, 0.0).mul(0.0) + 1.0,
    "addmm without its addend": lambda v: torch.addmm(v, torch.ones(2, 2), torch.ones(2, 3), beta=0.0),
    "baddbmm without its addend": lambda v: torch.baddbmm(v, torch.ones(1, 2, 2), torch.ones(1, 2, 3), beta=0),
    "addmm without its product": lambda v: torch.addmm(torch.ones(2, 3), v.expand(2, 3), torch.ones(3, 3), alpha=0.0),
}


@pytest.mark.parametrize("name", COVERED)
def test_what_is_written_over_has_an_infinite_slope(name, tmp_path):
    """The slope of sqrt(0.25 - w * w) is infinite at the first element, whose root is 0."""

    def function(self, x):
        v = torch.sqrt(0.25 - self.w * self.w * x) * 1.0
        found = COVERED[name](v)
        return (v if found is None else found).sum() + self.w.sum(), v * 1.0

    eager.check(tmp_path, Function(function, 3), torch.tensor([1.0, 0.0, 0.0]))
