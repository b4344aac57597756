# SPDX-License-Identifier: Apache-2.0
"""Recurrent layers are loops in the file: as eager PyTorch, in every form and mode; one call a step, however many."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import torch
from against_eager import differences
from sambaflow import samba
from torch import nn

STEPS, BATCH, FEATURES, WIDTH = 11, 4, 5, 6


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
    assert not differences(lambda: Model(LAYERS[layer]), batches(), tmp_path, train=train)


@pytest.mark.parametrize("lengths", [[11, 11, 11, 11], [3, 11, 1, 7]])
@pytest.mark.parametrize("layer", ["both directions", "gru", "tanh"])
def test_packed_sequences(layer, lengths, tmp_path):
    assert not differences(lambda: Model(LAYERS[layer], packed=lengths), batches(), tmp_path, train=True)


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


def compiled(folder, steps, *, hidden=WIDTH):
    torch.manual_seed(0)
    model = Model(lambda: nn.LSTM(FEATURES, hidden, 2))
    samba.from_torch_model_(model)
    inputs = (samba.randn(steps, BATCH, FEATURES, name="x"),)
    optimizer = samba.optim.SGD(model.parameters(), lr=0.1)
    config = {"output_folder": str(folder), "pef_name": "p", "log_level": "error"}
    return samba.session.compile(model, inputs, optimizer, name="p", config_dict=config)


def described(path):
    command = [os.environ.get("LEAT_COMMAND", "leat"), "info", "--json", str(path)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_the_file_does_not_grow_with_the_steps(tmp_path):
    few, many = (Path(compiled(tmp_path / str(steps), steps)) for steps in (50, 1000))
    assert many.stat().st_size < 1.2 * few.stat().st_size
    assert len(described(few)["sections"]) <= len(described(many)["sections"]) < 50


def test_few_steps_are_written_out(tmp_path):
    assert not any("loop" in section["why"] for section in described(compiled(tmp_path, 3))["sections"])
