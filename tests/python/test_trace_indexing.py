# SPDX-License-Identifier: Apache-2.0
"""Lists of bools as an index are masks, in what is read and in what is written. Places apart take one sum each."""

import beside_eager as eager
import pytest
import torch
from sambaflow import samba
from sambaflow._runtime.device import Device

ROWS, PLACES = [True, False], [[True, False, True], [False, True, False]]


def _written(x, index, value):
    y = x.clone()
    y[index] = value
    return y


INDICES = {
    "rows": ROWS,
    "no row": [False, False],
    "columns": (slice(None), [True, False, True]),
    "rows of a column": (ROWS, 1),
    "the last dim": (..., [False, True, True]),
    "places": torch.tensor(PLACES),
}


@pytest.mark.parametrize("kind", INDICES)
def test_what_a_list_of_bools_reads(tmp_path, kind):
    index = INDICES[kind]
    model = eager.Function(lambda self, x: ((x * self.w)[index].sum(), (x * self.w)[index] + 1.0), 3)
    eager.check(tmp_path, model, torch.randn(2, 3))


@pytest.mark.parametrize("value", [0.0, 2.5])
@pytest.mark.parametrize("kind", INDICES)
def test_what_is_written_to_a_list_of_bools(tmp_path, kind, value):
    index = INDICES[kind]

    def function(self, x):
        y = _written(x * self.w, index, value)
        return y.square().sum(), y

    eager.check(tmp_path, eager.Function(function, 3), torch.randn(2, 3))


@pytest.mark.parametrize("kind", ["rows", "columns"])
def test_what_is_added_to_a_list_of_bools(tmp_path, kind):
    index = INDICES[kind]

    def function(self, x):
        y = (x * self.w).clone()
        y[index] += x[index] * 2.0
        return y.square().sum(), y

    eager.check(tmp_path, eager.Function(function, 3), torch.randn(2, 3))


def test_places_of_indices_apart_take_one_sum_each(tmp_path):
    class Model(torch.nn.Module):
        def forward(self, x, i, j):
            return x[i, :, j, :, i]

    model, inputs = Model(), (torch.randn(9, 16, 12, 12, 9), torch.arange(8).view(8, 1), torch.arange(12))
    samba.from_torch_model_(model)
    samba.session.args = None
    named = [samba.from_torch_tensor(x, name=f"input_{k}") for k, x in enumerate(inputs)]
    settings = {"output_folder": str(tmp_path), "pef_name": "op"}
    pef = samba.session.compile(model, named, inference=True, name="op", config_dict=settings)
    places = 8 * 12 * 16 * 12
    assert places <= Device(str(pef)).report()["run_flops"] < 1.1 * places
    samba.utils.trace_graph(model, named, pef=pef)
    (y,) = samba.session.run(named, model.output_tensors)
    x, i, j = inputs
    assert torch.equal(samba.to_torch(y), x[i, :, j, :, i])
