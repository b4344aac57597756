# SPDX-License-Identifier: Apache-2.0
"""State that a model keeps from call to call: it follows eager, goes back to the model, or is refused by its name."""

import dataclasses
import types
from collections import deque

import pytest
import torch
import torch.nn.functional as F
from against_eager import differences
from sambaflow import samba
from sambaflow._trace.errors import TraceError
from sambaflow._trace.optimizers import statements
from sambaflow._trace.program import trace
from sambaflow.samba.utils.checkpoint import load_checkpoint, save_checkpoint
from torch import nn

pytest.importorskip("sambaflow._leat")


def X(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


class Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.w, self.b = nn.Parameter(torch.randn(3, 3)), nn.Parameter(torch.randn(3))
        self.setup()

    def setup(self):
        pass


class Box:
    def __init__(self):
        self.h = torch.zeros(3)


class Symmetric(nn.Module):
    def forward(self, w):
        return w.triu() + w.triu(1).transpose(-1, -2)


GLOBAL = torch.zeros(3)
ASSIGNED = torch.zeros(3)


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


class LstmStream(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.LSTM(3, 4)
        self.hid = (torch.zeros(1, 2, 4), torch.zeros(1, 2, 4))

    def forward(self, x):
        o, self.hid = self.l(x, self.hid)
        return o


class LstmStreamTrain(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.LSTM(3, 4)
        self.hid = (torch.zeros(1, 2, 4), torch.zeros(1, 2, 4))

    def forward(self, x):
        o, h = self.l(x, self.hid)
        self.hid = tuple(t.detach() for t in h)
        return o.square().mean()


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


class NoneThenTensor(Base):
    def setup(self):
        self.h = None

    def forward(self, x):
        if self.h is None:
            self.h = torch.zeros(3)
        self.h = self.h * 0.5 + x.mean(0)
        return self.h * 1


class GrowList(Base):
    def setup(self):
        self.k = []

    def forward(self, x):
        self.k.append(x.mean(0))
        return torch.stack(self.k).sum(0)


class CatCache(Base):
    def setup(self):
        self.register_buffer("k", torch.zeros(0, 3))

    def forward(self, x):
        self.k = torch.cat([self.k, x])
        return self.k.sum(0)


class DequeLog(Base):
    def setup(self):
        self.k = deque(maxlen=3)

    def forward(self, x):
        y = x @ self.w
        self.k.append(y)
        return y


class LastAttn(Base):
    def setup(self):
        self.last = None

    def forward(self, x):
        y = x @ self.w
        self.last = y
        self.loss = (y + self.b).square().mean()
        return self.loss


class CounterPython(Base):
    def setup(self):
        self.n = 0

    def forward(self, x):
        self.n += 1
        return (x @ self.w + self.b).square().mean() / self.n


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


class GlobalInPlace(Base):
    def forward(self, x):
        GLOBAL.add_(x.mean(0))
        return GLOBAL * 1


class GlobalAssigned(Base):
    def forward(self, x):
        global ASSIGNED
        ASSIGNED = ASSIGNED * 0.5 + x.mean(0)
        return ASSIGNED * 1


class AssignedWithGradientAdd(Base):
    def setup(self):
        self.register_buffer("h", torch.zeros(3))

    def forward(self, x):
        self.h = self.h + self.b
        return (x @ self.w + self.h).square().mean()


class SpectralOld(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.utils.spectral_norm(nn.Linear(3, 5))

    def forward(self, x):
        return self.l(x).square().mean()


class SpectralOldEval(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.utils.spectral_norm(nn.Linear(3, 5))

    def forward(self, x):
        return self.l(x)


class SpectralNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.utils.parametrizations.spectral_norm(nn.Linear(3, 5), n_power_iterations=2)

    def forward(self, x):
        return self.l(x).square().mean()


class SpectralConv(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.utils.parametrizations.spectral_norm(nn.Conv2d(3, 4, 3))
        self.m = nn.utils.spectral_norm(nn.ConvTranspose2d(4, 2, 3))

    def forward(self, x):
        return self.m(self.l(x)).square().mean()


class WeightNormOld(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.utils.weight_norm(nn.Linear(3, 5))

    def forward(self, x):
        return self.l(x).square().mean()


class WeightNormNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.utils.parametrizations.weight_norm(nn.Linear(3, 5))

    def forward(self, x):
        return self.l(x).square().mean()


class ParametrizeOwn(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.Linear(3, 3)
        nn.utils.parametrize.register_parametrization(self.l, "weight", Symmetric())

    def forward(self, x):
        with nn.utils.parametrize.cached():
            return self.l(self.l(x)).square().mean()


class BnCumulative(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.Linear(3, 3)
        self.n = nn.BatchNorm1d(3, momentum=None)

    def forward(self, x):
        return self.n(self.l(x)).sigmoid().square().mean()


class BnCumulativeEval(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.Linear(3, 3)
        self.n = nn.BatchNorm1d(3, momentum=None)

    def forward(self, x):
        return self.n(self.l(x))


class BnTwice(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.Linear(3, 3)
        self.n = nn.BatchNorm1d(3)

    def forward(self, x):
        return self.n(self.n(self.l(x)) + x).sigmoid().mean()


class RepeatInt(Base):
    def forward(self, x):
        return x.repeat_interleave(torch.tensor([1, 2, 0, 3]), dim=0, output_size=6)


class RepeatIntInput(Base):
    def forward(self, x, r):
        return x.repeat_interleave(r, dim=0, output_size=3)


class RepeatIntInputNosize(Base):
    def forward(self, x, r):
        return x.repeat_interleave(r, dim=0)


class LdexpInplace(Base):
    def forward(self, x):
        return x.clone().ldexp_(torch.tensor(2))


class KvWriteAt(Base):
    def setup(self):
        self.kv = torch.zeros(8, 3)
        self.pos = torch.zeros((), dtype=torch.long)

    def forward(self, x):
        self.kv.index_copy_(0, self.pos.reshape(1), x[:1])
        self.pos += 1
        return self.kv.sum(0)


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


class EmaSubmodule(Base):
    def setup(self):
        self.target = nn.Module()
        self.target.w = torch.zeros(3, 3)

    def forward(self, x):
        with torch.no_grad():
            self.target.w.lerp_(self.w, 0.1)
        return (x @ self.w + self.b - x @ self.target.w).square().mean()


class SharedObjectTwoSlots(Base):
    def setup(self):
        self.register_buffer("h", torch.zeros(3))
        self.alias = self.h

    def forward(self, x):
        self.h = self.h + x.mean(0)
        return self.alias + self.h


class SharedInplaceTwoSlots(Base):
    def setup(self):
        self.register_buffer("h", torch.zeros(3))
        self.alias = self.h

    def forward(self, x):
        self.h.add_(x.mean(0))
        return self.alias + self.h


class InitOnceFlag(Base):
    def setup(self):
        self.register_buffer("m", torch.zeros(3))
        self.ready = False

    def forward(self, x):
        if not self.ready:
            self.m.copy_(x.mean(0))
            self.ready = True
        return x - self.m


class CachedWeightDetached(Base):
    def setup(self):
        self.c = {}

    def forward(self, x):
        if "w" not in self.c:
            self.c["w"] = self.w.detach().exp()
        return (x @ self.w * self.c["w"].sum() + self.b).mean()


class RotaryCache(Base):
    def setup(self):
        self.len = 0
        self.cos = None

    def forward(self, x):
        if x.shape[0] > self.len:
            self.len = x.shape[0]
            self.cos = torch.arange(self.len).float().cos()[:, None]
        return x * self.cos[: x.shape[0]]


class NoiseOnce(Base):
    def setup(self):
        self.noise = None

    def forward(self, x):
        if self.noise is None:
            self.noise = torch.randn(3)
        return x * 0 + self.noise


class DtypeChanges(Base):
    def setup(self):
        self.register_buffer("h", torch.zeros(3))

    def forward(self, x):
        self.h = self.h.double() + x.mean(0)
        return self.h * 1


class RegisterInForward(Base):
    def forward(self, x):
        if not hasattr(self, "h"):
            self.register_buffer("h", torch.zeros(3))
        self.h += x.mean(0)
        return self.h * 1


class ClosureObject(Base):
    def setup(self):
        st = {"h": torch.zeros(3)}

        def f(x):
            st["h"] = st["h"] * 0.5 + x.mean(0)
            return st["h"] * 1

        self.f = f

    def forward(self, x):
        return self.f(x)


class PlainListOfModules(Base):
    def setup(self):
        m = nn.Module()
        m.h = torch.zeros(3)
        self.mods = [m]

    def forward(self, x):
        self.mods[0].h = self.mods[0].h * 0.5 + x.mean(0)
        return self.mods[0].h * 1


class EmaParamReplace(Base):
    def forward(self, x):
        y = (x @ self.w + self.b).square().mean()
        self.w = nn.Parameter(self.w.detach() * 0.9)
        return y


class VqEma(Base):
    def setup(self):
        self.cluster = torch.ones(5)
        self.embed = torch.randn(5, 3)

    def forward(self, x):
        z = x @ self.w + self.b
        d = (z[:, None] - self.embed[None]).square().sum(-1)
        i = d.argmin(1)
        oh = F.one_hot(i, 5).float()
        q = oh @ self.embed
        if self.training:
            with torch.no_grad():
                self.cluster.mul_(0.9).add_(oh.sum(0), alpha=0.1)
                self.embed = self.embed * 0.9 + 0.1 * (oh.t() @ z) / (self.cluster[:, None] + 0.001)
        return (z - q.detach()).square().mean()


class QueueMoco(Base):
    def setup(self):
        self.register_buffer("queue", F.normalize(torch.randn(3, 8), dim=0))
        self.register_buffer("ptr", torch.zeros(1, dtype=torch.long))

    def forward(self, x):
        q = F.normalize(x @ self.w + self.b, dim=1)
        loss = (q @ self.queue.clone().detach()).logsumexp(1).mean()
        with torch.no_grad():
            idx = (self.ptr + torch.arange(4)) % 8
            self.queue.index_copy_(1, idx, q.t())
            self.ptr[0] = (self.ptr[0] + 4) % 8
        return loss


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


class GruTrain(nn.Module):
    def __init__(self):
        super().__init__()
        self.g = nn.GRUCell(3, 4)
        self.h = torch.zeros(2, 4)

    def forward(self, x):
        self.h = self.g(x, self.h.detach())
        return self.h.square().mean()


class Reset(nn.Module):
    def __init__(self):
        super().__init__()
        self.h = torch.zeros(2, 3)

    def forward(self, x, r):
        self.h = torch.where(r, torch.zeros_like(self.h), self.h) * 0.5 + x
        return self.h * 2


class TwoLosses(Base):
    def setup(self):
        self.register_buffer("c", torch.zeros(3))

    def forward(self, x):
        y = x @ self.w + self.b
        self.c = self.c * 0.9 + 0.1 * y.mean(0).detach()
        return ((y - self.c).square().mean(), y)


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
    GruTrain: dict(train=True, state=lambda m: [m.h], batches=[[X(2, 3)] for _ in range(4)]),
    Reset: dict(
        train=False, state=lambda m: [m.h], batches=[[X(2, 3), torch.tensor([[True], [False]])] for _ in range(3)]
    ),
    TwoLosses: dict(train=True),
    AttrAssignedTrain: dict(train=True, state=lambda m: [m.h]),
    DictState: dict(train=True, state=lambda m: [m.st["h"], m.st["c"][0]]),
    TupleHidden: dict(train=False, state=lambda m: list(m.hid)),
    LstmStream: dict(train=False, state=lambda m: list(m.hid), batches=[[X(5, 2, 3)] for _ in range(3)]),
    LstmStreamTrain: dict(train=True, state=lambda m: list(m.hid), batches=[[X(5, 2, 3)] for _ in range(3)]),
    ObjectState: dict(train=False, state=lambda m: [m.box.h]),
    NamespaceState: dict(train=False, state=lambda m: [m.ns.h]),
    DequeLog: dict(train=False),
    LastAttn: dict(train=True),
    CounterUnused: dict(train=True),
    CounterPlainTensor: dict(train=True, state=lambda m: [m.n]),
    CounterPlainAssigned: dict(train=True, state=lambda m: [m.n]),
    CounterBuffer: dict(train=True),
    SpectralOld: dict(train=True),
    SpectralOldEval: dict(train=False),
    SpectralNew: dict(train=True),
    SpectralConv: dict(train=True, batches=[[X(2, 3, 6, 6)] for _ in range(3)]),
    WeightNormOld: dict(train=True),
    WeightNormNew: dict(train=True),
    ParametrizeOwn: dict(train=True),
    BnCumulative: dict(train=True),
    BnCumulativeEval: dict(train=False),
    BnTwice: dict(train=True),
    RepeatInt: dict(train=False),
    RepeatIntInput: dict(train=False, batches=[[X(3, 2), torch.tensor([1, 2, 0])], [X(3, 2), torch.tensor([0, 1, 2])]]),
    LdexpInplace: dict(train=False),
    KvWriteAt: dict(train=False, state=lambda m: [m.kv]),
    ViewAttrState: dict(train=False, state=lambda m: [m.a, m.big]),
    SlicesOfOne: dict(train=False, state=lambda m: m.caches),
    EmaSubmodule: dict(train=True, state=lambda m: [m.target.w]),
    SharedInplaceTwoSlots: dict(train=False),
    RotaryCache: dict(train=False),
    PlainListOfModules: dict(train=False, state=lambda m: [m.mods[0].h]),
    VqEma: dict(train=True, state=lambda m: [m.cluster, m.embed]),
    QueueMoco: dict(train=True),
    Nonpersistent: dict(train=False),
}


@pytest.mark.parametrize("model", CASES, ids=lambda model: model.__name__)
def test_state_follows_eager(model, tmp_path):
    case = {"batches": [[X(4, 3) + i] for i in range(3)], **CASES[model]}
    assert differences(model, case.pop("batches"), tmp_path, **case) == []


REFUSED = {
    NoneThenTensor: ("^h: .*an earlier call", False, [X(4, 3)]),
    GrowList: ("^k\\[0\\]: .*an earlier call", False, [X(4, 3)]),
    CatCache: ("^k held", False, [X(4, 3)]),
    CounterPython: (": n changes", True, [X(4, 3)]),
    GlobalInPlace: ("no module of the model holds", False, [X(4, 3)]),
    GlobalAssigned: ("an earlier call", False, [X(4, 3)]),
    AssignedWithGradientAdd: ("^h: state keeps a gradient", True, [X(4, 3)]),
    RepeatIntInputNosize: ("output_size", False, [[X(3, 2), torch.tensor([1, 2, 0])]][0]),
    SharedObjectTwoSlots: ("^h gets a new tensor .* while alias", False, [X(4, 3)]),
    InitOnceFlag: (": ready", False, [X(4, 3)]),
    CachedWeightDetached: ("^c\\['w'\\]", True, [X(4, 3)]),
    NoiseOnce: ("^noise", False, [X(4, 3)]),
    DtypeChanges: ("^h held", False, [X(4, 3)]),
    RegisterInForward: ("^h", False, [X(4, 3)]),
    ClosureObject: ("an earlier call", False, [X(4, 3)]),
    EmaParamReplace: ("^w: a parameter", True, [X(4, 3)]),
}


@pytest.mark.parametrize("model", REFUSED, ids=lambda model: model.__name__)
def test_state_that_cannot_be_compiled_is_refused_by_its_name(model):
    message, train, batch = REFUSED[model]
    made = model()
    samba.from_torch_model_(made)
    inputs = [samba.from_torch_tensor(x, name=f"x{i}") for i, x in enumerate(batch)]
    with pytest.raises(TraceError, match=message):
        trace(made, inputs, inference=not train)
    assert not any("Traced" in type(t).__name__ for t in made.state_dict().values())


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


class SharedMemory(Base):
    def setup(self):
        self.v = nn.Parameter(self.w.data)

    def forward(self, x):
        return (x @ self.w + x @ self.v.t()).square().mean() + self.b.sum()


def test_parameters_that_share_memory_cannot_be_trained_apart():
    model = SharedMemory()
    samba.from_torch_model_(model)
    x = samba.from_torch_tensor(X(4, 3), name="x")
    optimizer = samba.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(TraceError, match="sharedmemory__w changes, and shares memory with sharedmemory__v"):
        trace(model, [x], statements(optimizer))
    assert "update" not in trace(model, [x], inference=True).text


def test_a_smaller_batch_goes_on_with_the_state(tmp_path):
    batches = [[X(4, 3)], [X(4, 3) + 1], [X(2, 3)], [X(4, 3) + 2]]
    assert differences(VqEma, batches, tmp_path, train=True, state=lambda m: [m.cluster, m.embed]) == []


class Fails(Base):
    def setup(self):
        self.h, self.log, self.calls = torch.zeros(3), {"all": []}, 0
        self.register_buffer("mean", torch.zeros(3))

    def forward(self, x):
        self.calls += 1
        self.h.add_(1)
        self.mean = self.mean + x.mean(0)
        self.log["all"].append(self.mean)
        self.new = x
        return x if x.sum() > 0 else -x


def test_a_model_is_as_it_was_after_a_trace_that_fails():
    model = Fails()
    samba.from_torch_model_(model)
    h, mean, before = model.h, model.mean, dict(vars(model))
    with pytest.raises(TraceError, match="bool"):
        trace(model, [samba.from_torch_tensor(X(4, 3), name="x")])
    assert vars(model) == before and model.h is h and model.mean is mean and model.log == {"all": []}
    assert not model.h.any() and not model.mean.any()
    model(X(4, 3))
    assert model.calls == 1 and model.h[0] == 1


def test_what_vmap_computes_with_is_traced_as_before(tmp_path):
    class Mapped(Base):
        def forward(self, x):
            return torch.vmap(lambda row: row * self.b + 1)(x @ self.w).square().mean()

    assert differences(Mapped, [[X(4, 3)]], tmp_path, train=True) == []
