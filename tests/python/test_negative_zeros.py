# SPDX-License-Identifier: Apache-2.0
"""Zeros keep their sign on the way from a program into a graph: seen by what their reciprocals are."""

import beside_eager as eager
import pytest
import torch
import torch.nn.functional as F

X = torch.tensor([1.0, -2.0, 3.0])
CONSTANTS = [
    [-0.0] * 3, [-0.0] * 2, [-0.0], [0.0, -0.0, 0.0], [-1.0, -0.0, 1.0], [2.0, 1.0, -0.0], [1.0, 0.0, -1.0], [0.0] * 3,
]  # fmt: skip
NUMBERS = {
    "factors": lambda x: (x * 0.0, x * -0.0),
    "terms": lambda x: (x.abs() * -0.0 + -0.0, x.abs() * -0.0 - 0.0, x.abs() * -0.0 + 0.0),
    "where": lambda x: (torch.where(x > 0, 0.0, -0.0), torch.where(x > 0, -0.0, 0.0)),
    "full": lambda x: (x.new_full((3,), -0.0), x.clone().fill_(-0.0), -torch.zeros(3) * x.abs()),
    "masked_fill": lambda x: (x.masked_fill(x > 0, -0.0), x.masked_fill(x > 0, 0.0)),
    "pad": lambda x: (F.pad(x, (1, 1), value=-0.0), F.pad(x, (-1, 1), value=-0.0), F.pad(x, (1, 1), value=0.0)),
    "clamp": lambda x: (x.clamp(max=-0.0), x.clamp(min=-0.0), x.clamp(-0.0, 0.0), F.threshold(x, 5.0, -0.0)),
    "nan_to_num": lambda x: (
        (x * torch.nan).nan_to_num(nan=-0.0),
        (x * torch.inf).nan_to_num(posinf=-0.0, neginf=0.0),
        (x * torch.nan).nan_to_num(nan=0.0),
    ),
    "index_fill": lambda x: (x.index_fill(0, torch.tensor([1]), -0.0), x.scatter(0, torch.tensor([1]), -0.0)),
    "other dtypes": lambda x: (
        torch.full((3,), -0.0, dtype=torch.float64) * x.abs(),
        torch.full((3,), -0.0, dtype=torch.bfloat16) * x.abs(),
        torch.full((3,), -0.0).half() * x.abs(),
    ),
}


@pytest.mark.parametrize("values", CONSTANTS)
def test_constants(tmp_path, values):
    constant = torch.tensor(values)
    model = eager.Function(lambda self, x: (torch.reciprocal(x.exp() * constant), torch.atan2(constant, x)), 3)
    eager.check(tmp_path, model, torch.ones(len(values)), inference=True)


@pytest.mark.parametrize("kind", NUMBERS)
def test_numbers(tmp_path, kind):
    model = eager.Function(lambda self, x: tuple(torch.reciprocal(y) for y in NUMBERS[kind](x)), 3)
    eager.check(tmp_path, model, X, inference=True)
