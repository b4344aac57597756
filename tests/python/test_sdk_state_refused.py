# SPDX-License-Identifier: Apache-2.0
"""State that cannot be compiled is refused by its name, and the model is as it was."""

import pytest
import torch
from against_eager import Base, X
from sambaflow import samba
from sambaflow._trace.errors import TraceError
from sambaflow._trace.optimizers import statements
from sambaflow._trace.program import trace
from torch import nn

pytest.importorskip("sambaflow._leat")


GLOBAL = torch.zeros(3)


ASSIGNED = torch.zeros(3)


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


class CounterPython(Base):
    def setup(self):
        self.n = 0

    def forward(self, x):
        self.n += 1
        return (x @ self.w + self.b).square().mean() / self.n


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


class RepeatIntInputNosize(Base):
    def forward(self, x, r):
        return x.repeat_interleave(r, dim=0)


class SharedObjectTwoSlots(Base):
    def setup(self):
        self.register_buffer("h", torch.zeros(3))
        self.alias = self.h

    def forward(self, x):
        self.h = self.h + x.mean(0)
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


class EmaParamReplace(Base):
    def forward(self, x):
        y = (x @ self.w + self.b).square().mean()
        self.w = nn.Parameter(self.w.detach() * 0.9)
        return y


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
