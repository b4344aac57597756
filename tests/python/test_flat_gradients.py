# SPDX-License-Identifier: Apache-2.0
"""Gradients of what is constant in pieces: zeros, which an infinite slope before it makes NaN, as in eager PyTorch."""

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
