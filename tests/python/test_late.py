# SPDX-License-Identifier: Apache-2.0
"""Values of backward wait for who reads them, bits are equal: parts of the gradients of shared weights, in less memory
than a part takes; the places of classes in their rows, which are never stored."""

import pytest
import torch
import torch.nn.functional as F
from sambaflow import samba
from sambaflow._runtime.device import Device
from sambaflow.samba import utils
from torch import nn

pytest.importorskip("sambaflow._leat")

WORDS, WIDTH, ROWS = 8192, 256, 64
TABLE_BYTES = WORDS * WIDTH * 4
CLASSES = 1024
PLACES = 512 * CLASSES  # bytes, of bools


class Tied(nn.Module):
    """A table that is the head, too: its gradient has a part of either."""

    def __init__(self):
        super().__init__()
        self.table, self.inner = nn.Embedding(WORDS, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.head = nn.Linear(WIDTH, WORDS, bias=False)
        self.head.weight = self.table.weight

    def forward(self, x, y):
        return F.cross_entropy(self.head(torch.tanh(self.inner(self.table(x)))), y)


class Classes(nn.Module):
    """The loss is known of all rows before any of them has a gradient."""

    def __init__(self):
        super().__init__()
        self.logs = nn.Parameter(torch.randn(PLACES // CLASSES, CLASSES))

    def forward(self, y):
        return F.nll_loss(self.logs, y, ignore_index=3)


def tied():
    return Tied(), (samba.randint(WORDS, (ROWS,), name="x"), samba.randint(WORDS, (ROWS,), name="y"))


def classes():
    return Classes(), (samba.randint(CLASSES, (PLACES // CLASSES,), name="y"),)


class Work:
    def __init__(self, folder, made, **config):
        torch.manual_seed(2)
        model, inputs = made()
        samba.from_torch_model_(model)
        optimizer = samba.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.1)
        samba.session.args = None
        pef = samba.session.compile(
            model, inputs, optimizer, config_dict={"output_folder": str(folder), "pef_name": "work", **config}
        )
        self.arena = Device(str(pef)).report()["memory"]["arena_bytes"]
        outputs = utils.trace_graph(model, inputs, optimizer, pef=pef)
        self.losses = [float(samba.to_torch(samba.session.run(inputs, outputs)[0])) for _ in range(3)]
        samba.session.to_cpu(model)
        self.weights = {name: samba.to_torch(value).clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("drop", [False, True])
def test_parts_of_a_gradient(tmp_path, drop):
    plain = Work(tmp_path / "plain", tied, drop_grads=drop, disable_passes="late")
    late = Work(tmp_path / "late", tied, drop_grads=drop, verify_each=True)
    assert late.losses == plain.losses
    for name, value in plain.weights.items():
        assert torch.equal(late.weights[name], value), name
    assert late.arena < TABLE_BYTES
    assert plain.arena > 2 * TABLE_BYTES if drop else plain.arena < TABLE_BYTES


def test_places_of_classes(tmp_path):
    plain, late = Work(tmp_path / "plain", classes, disable_passes="late"), Work(tmp_path / "late", classes)
    assert late.losses == plain.losses
    assert torch.equal(late.weights["logs"], plain.weights["logs"])
    assert late.arena < PLACES < plain.arena
