# SPDX-License-Identifier: Apache-2.0
"""Recurrent layers are loops in the file: as eager PyTorch, in every form and mode; one call a step, however many."""

import csv
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from against_eager import differences
from sambaflow import samba
from torch import nn

STEPS, BATCH, FEATURES, WIDTH = 11, 4, 5, 6
RATE = 0.01  # greater updates saturate layers, and what the next step makes of roundings is beyond any tolerance


class Model(nn.Module):
    def __init__(self, make, *, packed=None, states=False):
        super().__init__()
        self.layer, self.packed, self.states = make(), packed, states

    def forward(self, x, *states):
        if self.packed is not None:
            x = nn.utils.rnn.pack_padded_sequence(x, torch.tensor(self.packed), enforce_sorted=False)
        given = (states if len(states) > 1 else states[0]) if states else None
        output, last = self.layer(x, given)
        if self.packed is not None:
            output, _ = nn.utils.rnn.pad_packed_sequence(output)
        last = last if isinstance(last, tuple) else (last,)
        loss = (output * output).sum() + sum((state * state.sin()).sum() for state in last)
        return loss, output, *last


def batches(count=2, *, steps=STEPS, states=()):
    generator = torch.Generator().manual_seed(5)
    shapes = [(steps, BATCH, FEATURES), *states]
    return [[torch.randn(shape, generator=generator) for shape in shapes] for _ in range(count)]


LAYERS = {
    "lstm": lambda: nn.LSTM(FEATURES, WIDTH, 2),
    "both directions": lambda: nn.LSTM(FEATURES, WIDTH, 2, bidirectional=True),
    "projection": lambda: nn.LSTM(FEATURES, WIDTH, 2, proj_size=3, bidirectional=True),
    "no bias": lambda: nn.LSTM(FEATURES, WIDTH, bias=False),
    "gru": lambda: nn.GRU(FEATURES, WIDTH, 2, bidirectional=True),
    "tanh": lambda: nn.RNN(FEATURES, WIDTH, 2, bidirectional=True),
    "relu": lambda: nn.RNN(FEATURES, WIDTH, nonlinearity="relu"),
}


@pytest.mark.parametrize("train", [True, False], ids=["training", "inference"])
@pytest.mark.parametrize("layer", LAYERS)
def test_layers(layer, train, tmp_path):
    assert not differences(lambda: Model(LAYERS[layer]), batches(), tmp_path, train=train, lr=RATE)


@pytest.mark.parametrize("lengths", [[11, 11, 11, 11], [3, 11, 1, 7]])
@pytest.mark.parametrize("layer", ["both directions", "gru", "tanh"])
def test_packed_sequences(layer, lengths, tmp_path):
    assert not differences(lambda: Model(LAYERS[layer], packed=lengths), batches(), tmp_path, train=True, lr=RATE)


def test_states_that_are_given(tmp_path):
    two = [(4, BATCH, WIDTH)] * 2
    assert not differences(lambda: Model(LAYERS["both directions"]), batches(states=two), tmp_path, train=True)
    assert not differences(lambda: Model(LAYERS["gru"]), batches(states=two[:1]), tmp_path / "gru", train=True)


class Chain(nn.Module):
    """Layers whose inputs and gradients pass through one another, views between them, one used twice."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.GRU(FEATURES, WIDTH), nn.LSTM(WIDTH, FEATURES, batch_first=True)
        self.scale = nn.Parameter(torch.ones(WIDTH))

    def forward(self, x):
        y, _ = self.first(x)
        y = torch.tanh(y * self.scale).flip(0)
        z, (last, _) = self.second(y.transpose(0, 1))
        again, _ = self.first(z.transpose(0, 1)[::1])
        return (again * again).mean() + last.sum(), again, last


def test_layers_behind_each_other(tmp_path):
    assert not differences(Chain, batches(), tmp_path, train=True)


class Stream(nn.Module):
    """Goes on where the last call ended."""

    def __init__(self):
        super().__init__()
        self.layer = nn.LSTM(FEATURES, WIDTH)
        self.register_buffer("h", torch.zeros(1, BATCH, WIDTH))
        self.register_buffer("c", torch.zeros(1, BATCH, WIDTH))

    def forward(self, x):
        output, (h, c) = self.layer(x, (self.h, self.c))
        self.h, self.c = h.detach(), c.detach()
        return (output * output).sum(), output


@pytest.mark.parametrize("train", [True, False], ids=["training", "inference"])
def test_states_kept_from_call_to_call(train, tmp_path):
    assert not differences(Stream, batches(3), tmp_path, train=train)


MODES = {
    "o0": {"optim_level": "o0"},
    "o1": {"optim_level": "o1"},
    "blocks": {"compiler_mode": "nlp"},
    "spatial": {"mapping": "spatial"},
    "each pass proved": {"verify_each": True},
}


@pytest.mark.parametrize("mode", MODES)
def test_modes(mode, tmp_path):
    assert not differences(lambda: Model(LAYERS["gru"]), batches(), tmp_path, train=True, arguments=MODES[mode])


# ---- the file


class Register(nn.Module):
    """A layer that begins with what three buffers hand on from call to call, and a copy of a parameter."""

    def __init__(self):
        super().__init__()
        self.layer, self.scale = nn.GRU(FEATURES, WIDTH), nn.Parameter(torch.ones(WIDTH))
        for name in ("first", "second", "third"):
            self.register_buffer(name, torch.zeros(BATCH, WIDTH))
        self.register_buffer("count", torch.ones(WIDTH))
        self.register_buffer("copy", torch.zeros(WIDTH))

    def forward(self, x):
        output, last = self.layer(x, self.third[None])
        output = (output * self.scale * self.count).sin() + self.first + self.second.sum()
        self.third, self.second, self.first = self.second, self.first, last[0].detach()
        self.count = self.count + 1
        self.copy = self.scale.detach().clone()
        return (output * output).mean(), output, self.copy * 1


@pytest.mark.parametrize("level", ["o0", "o1", "o3"])
@pytest.mark.parametrize("train", [True, False], ids=["training", "inference"])
def test_what_forward_writes_is_read_as_it_was_before(level, train, tmp_path):
    arguments = {"optim_level": level, "verify_each": True}
    assert not differences(Register, batches(3), tmp_path, train=train, arguments=arguments)


def test_backward_that_runs_apart_reads_what_forward_read(tmp_path):
    torch.manual_seed(1)
    eager = Register()
    torch.manual_seed(1)
    model, given = Register(), batches(2)
    samba.from_torch_model_(model)
    optimizer = samba.optim.SGD(model.parameters(), lr=0.1)
    inputs = (samba.from_torch_tensor(given[0][0], name="x"),)
    options = {"output_folder": str(tmp_path), "pef_name": "apart"}
    pef = samba.session.compile(model, inputs, optimizer, name="apart", config_dict=options)
    samba.utils.trace_graph(model, inputs, optimizer, pef=pef)
    rule = torch.optim.SGD(eager.parameters(), lr=0.1)
    for (x,) in given:
        rule.zero_grad()
        eager(x)[0].backward()
        rule.step()
        named = (samba.from_torch_tensor(x, name="x"),)
        for types in (["FWD"], ["BCKWD"], ["OPT"]):
            samba.session.run(input_tensors=named, output_tensors=model.output_tensors, section_types=types)
    samba.session.to_cpu(model)
    for (name, want), found in zip(eager.named_parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(samba.to_torch(found), want.detach(), rtol=1e-4, atol=1e-6, msg=name)


def compiled(folder, steps, level="o3"):
    torch.manual_seed(0)
    model = Model(lambda: nn.LSTM(FEATURES, WIDTH, 2))
    samba.from_torch_model_(model)
    inputs = (samba.randn(steps, BATCH, FEATURES, name="x"),)
    optimizer = samba.optim.SGD(model.parameters(), lr=0.1)
    config = {"output_folder": str(folder), "pef_name": "p", "log_level": "error", "optim_level": level}
    return samba.session.compile(model, inputs, optimizer, name="p", config_dict=config)


def described(path):
    command = [os.environ.get("LEAT_COMMAND", "leat"), "info", "--json", str(path)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.parametrize("level", ["o0", "o1", "o3"])
def test_the_file_does_not_grow_with_the_steps(level, tmp_path):
    few, many = (Path(compiled(tmp_path / str(steps), steps, level)) for steps in (50, 1000))
    assert many.stat().st_size < 1.2 * few.stat().st_size
    assert len(described(few)["sections"]) <= len(described(many)["sections"]) < 50


def test_sections_say_why_they_begin(tmp_path):
    """A trip waits for the trip before, what reads the layer for its last; equal parts are told apart."""
    assert not differences(lambda: Model(lambda: nn.LSTM(WIDTH, WIDTH, 2)), stacked(), tmp_path, train=True)
    with open(tmp_path / "p" / "sections.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for kind in ("fwd", "bckwd"):
        whys = [row["why"] for row in rows if row["type"] == kind]
        assert whys[0] == "first of its type" and whys.count(whys[0]) == 1
        assert "begins when a loop's last trip is over" in whys
    for row in rows:
        assert (row["why"] == "a trip of a loop, which waits for the trip before") == (int(row["times"]) > 1), row
        assert row["type"] != "prepare" or row["why"] == "first of its type"


def stacked():
    generator = torch.Generator().manual_seed(5)
    return [[torch.randn(STEPS, BATCH, WIDTH, generator=generator)]]


def test_few_steps_are_written_out(tmp_path):
    assert not any("loop" in section["why"] for section in described(compiled(tmp_path, 3))["sections"])


# ---- precision


class Cells(nn.Module):
    """A layer step by step."""

    def __init__(self, cell, layer):
        super().__init__()
        self.cell = cell(FEATURES, WIDTH)
        for name, value in layer.named_parameters():
            getattr(self.cell, name.removesuffix("_l0")).data.copy_(value)

    def forward(self, x):
        state, outputs = None, []
        for step in x:
            state = self.cell(step, state)
            outputs.append(state[0] if isinstance(state, tuple) else state)
        return torch.stack(outputs)


def result(model, x, folder, preset):
    samba.from_torch_model_(model)
    config = {"output_folder": str(folder), "pef_name": "p", "log_level": "error", "graphamp_preset": preset}
    inputs = (samba.from_torch_tensor(x, name="x"),)
    pef = samba.session.compile(model, inputs, name="p", inference=True, config_dict=config)
    outputs = samba.utils.trace_graph(model, inputs, pef=pef)
    return samba.to_torch(samba.session.run(inputs, outputs, section_types=["fwd"])[0])


class Output(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x)[0]


@pytest.mark.parametrize("preset", ["mp0", "mp1", "mp4"])
@pytest.mark.parametrize("cell, layer", [(nn.LSTMCell, nn.LSTM), (nn.GRUCell, nn.GRU), (nn.RNNCell, nn.RNN)])
def test_a_layer_has_the_bits_of_its_cells(cell, layer, preset, tmp_path):
    torch.manual_seed(3)
    model, x = layer(FEATURES, WIDTH), torch.randn(STEPS, BATCH, FEATURES)
    cells = Cells(cell, model)
    expected = result(cells.eval(), x, tmp_path / "cells", preset)
    assert torch.equal(result(Output(model).eval(), x, tmp_path / "layer", preset), expected)


# ---- loops as such

TWO_PLACES = """leat.graph 1
body 0
  %0 = prim.symbol() {name="@carried0", kind="input"} : f32[2,3]
  %1 = prim.symbol() {name="@carried1", kind="input"} : f32[2,3]
  %2 = prim.symbol() {name="@carried2", kind="input"} : f32[]
  %3 = prim.symbol() {name="@scanned0", kind="input"} : f32[3]
  %4 = prim.constant() {value=1.0} : f32[]
  %5 = prim.map(%2, %4) {fn="add"} : f32[]
  %6 = prim.reshape(%3) {shape=[1,3]} : f32[1,3]
  %7 = prim.map(%0, %6) {fn="add"} : f32[2,3]
  %8 = prim.transpose(%1) {dims=[1,0]} : f32[3,2]
  prim.store(%1) {name="@next0", kind="output"}
  prim.store(%7) {name="@next1", kind="output"}
  prim.store(%5) {name="@next2", kind="output"}
  prim.store(%3) {name="@stacked0", kind="output"}
  prim.store(%2) {name="@stacked1", kind="output"}
  prim.store(%8) {name="@stacked2", kind="output"}
end
%0 = prim.symbol() {name="a", kind="input"} : f32[2,3]
%1 = prim.symbol() {name="b", kind="input"} : f32[2,3]
%2 = prim.constant() {value=5.0} : f32[]
%3 = prim.symbol() {name="x", kind="input"} : f32[3,9]
%4 = prim.transpose(%3) {dims=[1,0]} : f32[9,3]
%5, %6, %7, %8, %9, %10 = prim.loop(%0, %1, %2, %4) \
{reverse=REVERSE, body=0, trips=9, carried=3, scanned=1, stream=0} \
: f32[2,3], f32[2,3], f32[], f32[9,3], f32[9], f32[9,3,2]
prim.store(%5) {name="a_last", kind="output"}
prim.store(%6) {name="b_last", kind="output"}
prim.store(%7) {name="count", kind="output"}
prim.store(%8) {name="entries", kind="output"}
prim.store(%9) {name="counts", kind="output"}
prim.store(%10) {name="turned", kind="output"}
"""


@pytest.mark.parametrize("reverse", [0, 1])
def test_carried_values_change_places(reverse, tmp_path):
    rng, leat = np.random.default_rng(0), os.environ.get("LEAT_COMMAND", "leat")
    given = {
        name: rng.standard_normal(shape).astype("f4") for name, shape in (("a", (2, 3)), ("b", (2, 3)), ("x", (3, 9)))
    }
    (tmp_path / "g.graph").write_text(TWO_PLACES.replace("REVERSE", str(reverse)))
    a, b, count, expected = given["a"], given["b"], 5.0, {}
    entries, counts, turned = np.zeros((9, 3)), np.zeros(9), np.zeros((9, 3, 2))
    for trip in reversed(range(9)) if reverse else range(9):
        entries[trip], counts[trip], turned[trip] = given["x"].T[trip], count, b.T
        a, b, count = b, a + given["x"].T[trip], count + 1
    expected = {"a_last": a, "b_last": b, "count": count, "entries": entries, "counts": counts, "turned": turned}
    for name, value in given.items():
        np.save(tmp_path / f"{name}.npy", value)
    command = [leat, "compile", "g.graph", "-o", "g.pef", "--inference", "--verify-each"]
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path)
    arguments = [item for name in given for item in ("--input", f"{name}={name}.npy")]
    arguments += [item for name in expected for item in ("--output", f"{name}={name}.out.npy")]
    subprocess.run([leat, "run", "g.pef", *arguments], check=True, capture_output=True, cwd=tmp_path)
    for name, value in expected.items():
        np.testing.assert_array_equal(np.load(tmp_path / f"{name}.out.npy"), np.asarray(value, "f4"), err_msg=name)
