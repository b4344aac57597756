# SPDX-License-Identifier: Apache-2.0
"""--drop-grads: the same weights to the bit, in less memory; what needs gradients says so."""

import json

import pytest
import torch
import torch.nn.functional as F
from sambaflow import samba
from sambaflow._base.library import InvalidArgumentError, LeatError
from sambaflow.samba import utils
from torch import nn

pytest.importorskip("sambaflow._leat")


class Words(nn.Module):
    """A table that is the head, too, layer norm, products both ways."""

    def __init__(self):
        super().__init__()
        self.table, self.norm = nn.Embedding(40, 32), nn.LayerNorm(32)
        self.up, self.down, self.head = nn.Linear(32, 128), nn.Linear(128, 32), nn.Linear(32, 40, bias=False)
        self.head.weight = self.table.weight
        self.turned = nn.Parameter(torch.randn(32, 32))

    def forward(self, x, y):
        h = self.table(x)
        h = h + self.down(F.gelu(self.up(self.norm(h)))) @ self.turned.t()
        logits = self.head(h)
        return F.cross_entropy(logits.view(-1, 40), y.view(-1)), logits

    inputs = (torch.arange(48).reshape(4, 12) % 40, torch.arange(48).reshape(4, 12) % 7)


class Picture(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.norm, self.b = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3, groups=2)
        self.scale, self.out = nn.Parameter(torch.ones(8, 1, 1)), nn.Linear(8 * 8 * 8, 5)

    def forward(self, x, y):
        h = self.b(F.relu(self.norm(self.a(x)))) * self.scale + self.scale
        logits = self.out(h.flatten(1))
        return F.cross_entropy(logits, y), logits

    inputs = (torch.linspace(-1, 1, 4 * 3 * 12 * 12).reshape(4, 3, 12, 12), torch.arange(4))


class Steps(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.out = nn.LSTM(6, 8, batch_first=True), nn.Linear(8, 3)

    def forward(self, x, y):
        logits = self.out(self.lstm(x)[0][:, -1])
        return F.cross_entropy(logits, y), logits

    inputs = (torch.linspace(-1, 1, 4 * 12 * 6).reshape(4, 12, 6), torch.arange(4) % 3)


def sgd(model):
    return samba.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)


def adamw(model):
    return samba.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.1)


class Work:
    def __init__(self, folder, make, optimizer, **config):
        torch.manual_seed(4)
        self.model = make()
        samba.from_torch_model_(self.model)
        self.inputs = self.named(make.inputs)
        self.optimizer = optimizer(self.model)
        samba.session.args = None
        self.pef = samba.session.compile(
            self.model, self.inputs, self.optimizer,
            config_dict={"output_folder": str(folder), "pef_name": "work", "verify_each": True, **config},
        )  # fmt: skip
        self.outputs = utils.trace_graph(self.model, self.inputs, self.optimizer, pef=self.pef)

    def named(self, inputs):
        return [
            samba.from_torch_tensor(x.clone(), name=n, batch_dim=0) for x, n in zip(inputs, ("x", "y"), strict=True)
        ]

    def run(self, inputs=None, **options):
        return [samba.to_torch(t).clone() for t in samba.session.run(inputs or self.inputs, self.outputs, **options)]

    def state(self):
        samba.session.to_cpu(self.model)
        found = {name: samba.to_torch(value).clone() for name, value in self.model.state_dict().items()}
        for name, p in self.model.named_parameters():
            found.update({f"{name} {key}": value for key, value in self.optimizer.state[p].items()})
        return found


@pytest.mark.shows("--drop-grads")
@pytest.mark.parametrize("optimizer", [sgd, adamw], ids=lambda o: o.__name__)
@pytest.mark.parametrize("make", [Words, Picture, Steps], ids=lambda m: m.__name__)
def test_weights_are_those_of_a_training_that_keeps_gradients(tmp_path, make, optimizer):
    found = []
    for drop in (False, True):
        work = Work(tmp_path / str(drop), make, optimizer, drop_grads=drop)
        few = work.named([x[:3] for x in make.inputs])
        results = [work.run() for _ in range(3)] + [work.run(few), work.run()]
        found.append((results, work.state(), json.loads((tmp_path / str(drop) / "work" / "memory.json").read_text())))
    (kept, kept_state, kept_memory), (dropped, state, memory) = found
    for want, have in zip(kept, dropped, strict=True):
        for a, b in zip(want, have, strict=True):
            assert torch.equal(a, b)
    assert state.keys() == kept_state.keys()
    for name, value in kept_state.items():
        assert torch.equal(value, state[name]), name
    assert kept_memory["by_kind"]["gradient"] > 0
    assert memory["by_kind"]["gradient"] == 0


def test_gradients_of_inputs_stay(tmp_path):
    found = []
    for drop in (False, True):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 1))
        samba.from_torch_model_(model)
        x = samba.from_torch_tensor(torch.linspace(0, 1, 24).reshape(4, 6), name="x").requires_grad_()
        optimizer = sgd(model)
        samba.session.args = None
        config = {"output_folder": str(tmp_path), "pef_name": str(drop), "drop_grads": drop}
        pef = samba.session.compile(model, [x], optimizer, config_dict=config, loss_indices=[0])
        samba.session.run([x], utils.trace_graph(model, [x], optimizer, pef=pef, loss_indices=[0]))
        found.append(samba.to_torch(x.sn_grad).clone())
    assert found[0].any()
    assert torch.equal(*found)


def test_section_types(tmp_path):
    whole, parts = (Work(tmp_path / name, Words, adamw, drop_grads=True) for name in "ab")
    for _ in range(2):
        want = whole.run()
        have = parts.run(section_types=["fwd"])
        samba.session.run((), parts.outputs, section_types=["bckwd", "opt"])
        assert torch.equal(want[0], have[0])
    expected, found = whole.state(), parts.state()
    assert all(torch.equal(value, found[name]) for name, value in expected.items())
    with pytest.raises(InvalidArgumentError, match="--drop-grads: backward runs together with the updates"):
        parts.run(section_types=["fwd", "bckwd"])
    assert all(torch.equal(value, parts.state()[name]) for name, value in found.items())


def test_what_needs_gradients_says_so(tmp_path):
    work = Work(tmp_path, Words, adamw, drop_grads=True)
    work.run()
    with pytest.raises(InvalidArgumentError, match="compiled with --drop-grads"):
        _ = work.model.turned.sn_grad
    with pytest.raises(InvalidArgumentError, match="compiled without the hook"):
        work.model.turned.register_hook(lambda g: g)
    with pytest.raises(InvalidArgumentError, match="--drop-grads keeps none"):
        work.run(stop_on_nan=True)


@pytest.mark.parametrize(
    "config",
    [{"o0": True}, {"o1": True}, {"microbatch_size": 2}, {"grad_accumulation_steps": 2}],
    ids=lambda config: next(iter(config)),
)
def test_what_keeps_gradients_is_refused(tmp_path, config):
    with pytest.raises((LeatError, ValueError), match="--drop-grads"):
        Work(tmp_path, Words, adamw, drop_grads=True, **config)


def test_clipping_is_refused(tmp_path):
    with pytest.raises(LeatError, match="clips gradients by the norm of them all"):
        Work(tmp_path, Words, lambda m: samba.optim.AdamW(m.parameters(), lr=0.1, max_grad_norm=1.0), drop_grads=True)
