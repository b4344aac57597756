# SPDX-License-Identifier: Apache-2.0
"""State that a model keeps in attributes and containers: it follows eager and goes back to the model."""

import dataclasses
import types
from collections import deque

import pytest
import torch
from against_eager import Base, X, differences
from sambaflow import samba
from sambaflow.samba.utils.checkpoint import load_checkpoint, save_checkpoint
from torch import nn

pytest.importorskip("sambaflow._leat")


class Box:
    def __init__(self):
        self.h = torch.zeros(3)


class AttrAssignedTrain(Base):
    def setup(self):
        self.h = torch.zeros(3)

    def forward(self, x):
        y = x @ self.w + self.b
        self.h = 0.9 * self.h + 0.1 * y.detach().mean(0)
        return (y - self.h).square().mean()


class DictState(Base):
    def setup(self):
        self.st = {"h": torch.zeros(3), "c": [torch.ones(3)]}

    def forward(self, x):
        y = x @ self.w + self.b
        self.st["h"] = 0.5 * self.st["h"] + y.detach().mean(0)
        self.st["c"][0].mul_(0.9)
        return (y * self.st["c"][0] - self.st["h"]).square().mean()


class TupleHidden(Base):
    def setup(self):
        self.hid = (torch.zeros(4, 3), torch.zeros(4, 3))

    def forward(self, x):
        h, c = self.hid
        c = 0.5 * c + x @ self.w
        h = torch.tanh(c) + 0.1 * h
        self.hid = (h, c)
        return h


class ObjectState(Base):
    def setup(self):
        self.box = Box()

    def forward(self, x):
        self.box.h = self.box.h * 0.5 + x.mean(0)
        return self.box.h * 2


class NamespaceState(Base):
    def setup(self):
        self.ns = types.SimpleNamespace(h=torch.zeros(3))

    def forward(self, x):
        self.ns.h.add_(x.mean(0))
        return self.ns.h * 2


class DequeLog(Base):
    def setup(self):
        self.k = deque(maxlen=3)

    def forward(self, x):
        y = x @ self.w
        self.k.append(y)
        return y


class CounterUnused(Base):
    def setup(self):
        self.n = 0

    def forward(self, x):
        self.n += 1
        return (x @ self.w + self.b).square().mean()


class CounterPlainTensor(Base):
    def setup(self):
        self.n = torch.zeros(1)

    def forward(self, x):
        self.n += 1
        return ((x @ self.w + self.b).square().mean() / self.n).sum()


class CounterPlainAssigned(Base):
    def setup(self):
        self.n = torch.zeros(1)

    def forward(self, x):
        self.n = self.n + 1
        return ((x @ self.w + self.b).square().mean() / self.n).sum()


class CounterBuffer(Base):
    def setup(self):
        self.register_buffer("n", torch.zeros((), dtype=torch.long))

    def forward(self, x):
        self.n = self.n + 1
        return ((x @ self.w + self.b).square().mean() / self.n).sum()


class RepeatInt(Base):
    def forward(self, x):
        return x.repeat_interleave(torch.tensor([1, 2, 0, 3]), dim=0, output_size=6)


class RepeatIntInput(Base):
    def forward(self, x, r):
        return x.repeat_interleave(r, dim=0, output_size=3)


class LdexpInplace(Base):
    def forward(self, x):
        return x.clone().ldexp_(torch.tensor(2))


class ViewAttrState(Base):
    def setup(self):
        self.big = torch.zeros(4, 3)
        self.a = self.big[1]

    def forward(self, x):
        self.a.add_(x.mean(0))
        return self.big * 1


class SlicesOfOne(Base):
    def setup(self):
        big = torch.zeros(4, 3)
        self.caches = [big[0], big[2]]

    def forward(self, x):
        for i, c in enumerate(self.caches):
            c.mul_(0.5).add_(x.mean(0) * i)
        return self.caches[0] + self.caches[1]


class SharedInplaceTwoSlots(Base):
    def setup(self):
        self.register_buffer("h", torch.zeros(3))
        self.alias = self.h

    def forward(self, x):
        self.h.add_(x.mean(0))
        return self.alias + self.h


class PlainListOfModules(Base):
    def setup(self):
        m = nn.Module()
        m.h = torch.zeros(3)
        self.mods = [m]

    def forward(self, x):
        self.mods[0].h = self.mods[0].h * 0.5 + x.mean(0)
        return self.mods[0].h * 1


class Nonpersistent(Base):
    def setup(self):
        self.register_buffer("h", torch.zeros(3), persistent=False)

    def forward(self, x):
        self.h = self.h * 0.5 + x.mean(0)
        return self.h * 1


@dataclasses.dataclass
class Record:
    h: torch.Tensor


class InputWritten(Base):
    def forward(self, x):
        x.add_(1)
        return (x @ self.w, x)


class Rereg(Base):
    def setup(self):
        self.register_buffer("h", torch.zeros(3))

    def forward(self, x):
        self.register_buffer("h", self.h * 0.5 + x.mean(0))
        return self.h * 1


class NestedSet(Base):
    def setup(self):
        self.cell = nn.Module()
        self.cell.h = torch.zeros(3)

    def forward(self, x):
        self.cell.h = self.cell.h * 0.5 + x.mean(0)
        return self.cell.h * 1


class DunderDict(Base):
    def setup(self):
        self.h = torch.zeros(3)

    def forward(self, x):
        self.__dict__["h"] = self.h * 0.5 + x.mean(0)
        object.__setattr__(self, "q", self.h * 2)
        return self.h * 1


class ListReplaced(Base):
    def setup(self):
        self.hs = [torch.zeros(3), torch.ones(3)]

    def forward(self, x):
        self.hs = [h * 0.5 + x.mean(0) for h in self.hs]
        return sum(self.hs)


class TupleOfTuples(Base):
    def setup(self):
        self.hs = ((torch.zeros(3), torch.ones(3)), (torch.ones(3), torch.zeros(3)))

    def forward(self, x):
        self.hs = tuple(((a * 0.5 + x.mean(0), b + a) for a, b in self.hs))
        return sum((a + b for a, b in self.hs))


class DataclassState(Base):
    def setup(self):
        self.st = Record(torch.zeros(3))

    def forward(self, x):
        self.st = dataclasses.replace(self.st, h=self.st.h * 0.5 + x.mean(0))
        return self.st.h * 1


class IntState(Base):
    def setup(self):
        self.h = torch.zeros(3, dtype=torch.int64)

    def forward(self, x):
        self.h += (x > 0).sum(0)
        return x + self.h


class Rolled(Base):
    def setup(self):
        self.buf, self.shifted = torch.zeros(5, 3), torch.zeros(5, 3)

    def forward(self, x):
        self.buf = torch.roll(self.buf, -1, 0)
        self.buf[-1] = x.mean(0)
        self.shifted = torch.cat([self.shifted[1:], x[:1]])
        return self.buf + self.shifted


class Ring(Base):
    def setup(self):
        self.buf, self.place = torch.zeros(5, 3), torch.zeros((), dtype=torch.long)

    def forward(self, x):
        self.buf[self.place] = x.mean(0)
        self.place = (self.place + 1) % 5
        return self.buf.sum(0)


CASES = {
    Rolled: dict(train=False, state=lambda m: [m.buf, m.shifted]),
    Ring: dict(train=False, state=lambda m: [m.buf, m.place]),
    InputWritten: dict(train=False),
    Rereg: dict(train=False),
    NestedSet: dict(train=False, state=lambda m: [m.cell.h]),
    DunderDict: dict(train=False, state=lambda m: [m.h]),
    ListReplaced: dict(train=False, state=lambda m: m.hs),
    TupleOfTuples: dict(train=False, state=lambda m: [t for p in m.hs for t in p]),
    DataclassState: dict(train=False, state=lambda m: [m.st.h]),
    IntState: dict(train=False, state=lambda m: [m.h]),
    AttrAssignedTrain: dict(train=True, state=lambda m: [m.h]),
    DictState: dict(train=True, state=lambda m: [m.st["h"], m.st["c"][0]]),
    TupleHidden: dict(train=False, state=lambda m: list(m.hid)),
    ObjectState: dict(train=False, state=lambda m: [m.box.h]),
    NamespaceState: dict(train=False, state=lambda m: [m.ns.h]),
    DequeLog: dict(train=False),
    CounterUnused: dict(train=True),
    CounterPlainTensor: dict(train=True, state=lambda m: [m.n]),
    CounterPlainAssigned: dict(train=True, state=lambda m: [m.n]),
    CounterBuffer: dict(train=True),
    RepeatInt: dict(train=False),
    RepeatIntInput: dict(train=False, batches=[[X(3, 2), torch.tensor([1, 2, 0])], [X(3, 2), torch.tensor([0, 1, 2])]]),
    LdexpInplace: dict(train=False),
    ViewAttrState: dict(train=False, state=lambda m: [m.a, m.big]),
    SlicesOfOne: dict(train=False, state=lambda m: m.caches),
    SharedInplaceTwoSlots: dict(train=False),
    PlainListOfModules: dict(train=False, state=lambda m: [m.mods[0].h]),
    Nonpersistent: dict(train=False),
}


@pytest.mark.parametrize("model", CASES, ids=lambda model: model.__name__)
def test_state_follows_eager(model, tmp_path):
    case = {"batches": [[X(4, 3) + i] for i in range(3)], **CASES[model]}
    assert differences(model, case.pop("batches"), tmp_path, **case) == []


class Averages(Base):
    def setup(self):
        self.kept, self.h = {"c": [torch.zeros(3)]}, torch.zeros(3)
        self.register_buffer("fleeting", torch.zeros(3), persistent=False)

    def forward(self, x):
        self.h = self.h * 0.5 + x.mean(0)
        self.kept["c"][0].add_(self.h)
        self.fleeting.add_(1)
        return self.h + self.kept["c"][0] + self.fleeting


def test_checkpoints_hold_state_that_is_in_no_state_dict(tmp_path):
    def app(load=None, before=True):
        model = Averages()
        samba.from_torch_model_(model)
        x = samba.from_torch_tensor(X(4, 3), name="x")
        config = {"output_folder": str(tmp_path), "pef_name": "p"}
        pef = samba.session.compile(model, [x], config_dict=config, inference=True)
        if load and before:
            load_checkpoint(load, model)
        traced = samba.utils.trace_graph(model, [x], pef=pef)
        if load and not before:
            load_checkpoint(load, model)
        return model, lambda: samba.to_torch(samba.session.run([x], traced, section_types=["fwd"])[0]).clone()

    torch.manual_seed(0)
    model, run = app()
    run()
    path = str(tmp_path / "state.pt")
    save_checkpoint(path, model)
    assert torch.equal(model.fleeting, torch.ones(3)) and bool(model.kept["c"][0].any())
    expected = [run(), run()]
    for before in (True, False):
        model, run = app(path, before)
        for want in expected:
            assert torch.equal(run(), want)


def test_what_vmap_computes_with_is_traced_as_before(tmp_path):
    class Mapped(Base):
        def forward(self, x):
            return torch.vmap(lambda row: row * self.b + 1)(x @ self.w).square().mean()

    assert differences(Mapped, [[X(4, 3)]], tmp_path, train=True) == []
