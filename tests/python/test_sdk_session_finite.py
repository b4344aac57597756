# SPDX-License-Identifier: Apache-2.0
"""--stop-on-nan: a loss or gradient that is not finite stops the run, names its op, and changes nothing."""

import types

import pytest
import torch
import torch.nn.functional as F
from sambaflow import samba
from sambaflow.samba import utils
from torch import nn

pytest.importorskip("sambaflow._leat")


class Net(nn.Module):
    """Three equal blocks: an op of the second is told from those of the others."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(6, 6) for _ in range(3))
        self.norm, self.drop, self.out = nn.BatchNorm1d(6), nn.Dropout(0.2), nn.Linear(6, 3)
        self.shift = nn.Parameter(torch.tensor(2.0))

    def forward(self, x, y):
        for block in self.blocks:
            x = torch.relu(block(x))
        x = self.drop(self.norm(x))
        masked = x.masked_fill(x > 1e3, float("-inf")).exp()
        logits = self.out(torch.log(x.abs() + self.shift) + masked)
        return F.cross_entropy(logits, y), logits


def app(tmp_path, model=None, inputs=None):
    torch.manual_seed(4)
    model = Net() if model is None else model()
    samba.from_torch_model_(model)
    inputs = inputs or (samba.randn(4, 6, name="x"), samba.randint(3, (4,), name="y"))
    optimizer = samba.optim.AdamW(model.parameters(), lr=0.01)
    samba.session.args = None
    pef = samba.session.compile(model, inputs, optimizer, config_dict={"output_folder": str(tmp_path), "pef_name": "n"})
    utils.set_seed(1)
    return model, inputs, utils.trace_graph(model, inputs, optimizer, pef=pef)


def everything():
    """All parameters, buffers and states of the device."""
    device = samba.session._bound_device()
    return {s.name: device.read(s) for kind in ("PARAMETER", "BUFFER", "STATE") for s in device.of_kind(kind)}


def place(text):
    """The file and line of this file that hold `text` first, as a pattern."""
    with open(__file__, encoding="utf-8") as stream:
        number = next(n for n, line in enumerate(stream, 1) if text in line)
    return rf"\S*test_sdk_session_finite\.py:{number}\D"


def fails(inputs, outputs, match, **options):
    before = everything()
    with pytest.raises(FloatingPointError, match=match):
        samba.session.run(inputs, outputs, **{"stop_on_nan": True, **options})
    assert all(torch.equal(value, before[name]) for name, value in everything().items())


def test_a_guarded_training_has_the_same_bits(tmp_path):
    found = []
    for guarded in (False, True):
        _, inputs, outputs = app(tmp_path)
        losses = [samba.session.run(inputs, outputs, stop_on_nan=guarded) for _ in range(5)]
        assert [len(r) for r in losses] == [2] * 5
        found.append((torch.stack([samba.to_torch(r[0]) for r in losses]), everything()))
    assert torch.equal(found[0][0], found[1][0])
    assert all(torch.equal(value, found[1][1][name]) for name, value in found[0][1].items())


def test_the_op_that_made_a_nan(tmp_path):
    model, inputs, outputs = app(tmp_path)
    with torch.no_grad():
        model.shift.fill_(-50.0)
    samba.session.to_rdu(model)
    fails(
        inputs, outputs, r"run 1: net__cross_entropy.* is nan; the first NaN was made by net log " + place("torch.log")
    )


def test_an_op_among_equal_blocks(tmp_path):
    model, inputs, outputs = app(tmp_path)
    with torch.no_grad():
        model.blocks[1].weight.fill_(3e38)
        model.blocks[0].bias.fill_(10.0)
    samba.session.to_rdu(model)
    fails(inputs, outputs, r"the first infinity was made by net\.blocks\.1 linear " + place("block(x)"))


def test_what_is_given_already(tmp_path):
    model, inputs, outputs = app(tmp_path)
    x = samba.from_torch_tensor(torch.full((4, 6), torch.nan), name="x")
    fails((x, inputs[1]), outputs, "no op made it: input x is nan already")
    with torch.no_grad():
        model.out.bias[1] = torch.inf
    samba.session.to_rdu(model)
    fails(inputs, outputs[1], "parameter net__out__bias is infinite already")


def test_gradients_stop_before_the_update(tmp_path):
    class Root(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(6, 3)

        def forward(self, x):
            return torch.sqrt(self.a(x) * 0).sum()

    _, inputs, outputs = app(tmp_path, Root, (samba.randn(4, 6, name="x"),))
    fails(
        inputs, outputs, r"gradient root__a__weight__grad is nan .and 1 more.; the first infinity was made by root sqrt"
    )


def test_the_option_and_single_sections(tmp_path):
    model, inputs, outputs = app(tmp_path)
    with torch.no_grad():
        model.shift.fill_(-50.0)
    samba.session.to_rdu(model)
    samba.session.args = types.SimpleNamespace(stop_on_nan=True)
    try:
        fails(inputs, outputs, "net log", stop_on_nan=None, section_types=["FWD"])
        samba.session.run(inputs, outputs, stop_on_nan=False, section_types=["fwd"])
    finally:
        samba.session.args = None


def test_inference_has_no_losses_so_outputs_are_looked_at(tmp_path):
    class Ratio(nn.Module):
        def forward(self, x, y):
            return x * 2, x / y

    inputs = (samba.randn(4, 6, name="x"), samba.from_torch_tensor(torch.zeros(4, 6), name="y"))
    config = {"output_folder": str(tmp_path), "pef_name": "r"}
    model = Ratio()
    samba.from_torch_model_(model)
    samba.session.args = None
    pef = samba.session.compile(model, inputs, inference=True, config_dict=config)
    outputs = utils.trace_graph(model, inputs, pef=pef)
    fails(inputs, outputs[0], "div.* is infinite; the first infinity was made by ratio div")
    alone = samba.session.__class__(pef)
    with pytest.raises(FloatingPointError, match="the first infinity was made by ratio"):
        alone.run(inputs, stop_on_nan=True)
