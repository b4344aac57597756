# SPDX-License-Identifier: Apache-2.0
"""State of modules as they are found: recurrent ones, norms, parametrizations, moving averages, queues, caches."""

import pytest
import torch
import torch.nn.functional as F
from against_eager import Base, X, differences
from torch import nn

pytest.importorskip("sambaflow._leat")


class Symmetric(nn.Module):
    def forward(self, w):
        return w.triu() + w.triu(1).transpose(-1, -2)


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


class LastAttn(Base):
    def setup(self):
        self.last = None

    def forward(self, x):
        y = x @ self.w
        self.last = y
        self.loss = (y + self.b).square().mean()
        return self.loss


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


class KvWriteAt(Base):
    def setup(self):
        self.kv = torch.zeros(8, 3)
        self.pos = torch.zeros((), dtype=torch.long)

    def forward(self, x):
        self.kv.index_copy_(0, self.pos.reshape(1), x[:1])
        self.pos += 1
        return self.kv.sum(0)


class EmaSubmodule(Base):
    def setup(self):
        self.target = nn.Module()
        self.target.w = torch.zeros(3, 3)

    def forward(self, x):
        with torch.no_grad():
            self.target.w.lerp_(self.w, 0.1)
        return (x @ self.w + self.b - x @ self.target.w).square().mean()


class RotaryCache(Base):
    def setup(self):
        self.len = 0
        self.cos = None

    def forward(self, x):
        if x.shape[0] > self.len:
            self.len = x.shape[0]
            self.cos = torch.arange(self.len).float().cos()[:, None]
        return x * self.cos[: x.shape[0]]


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


CASES = {
    GruTrain: dict(train=True, state=lambda m: [m.h], batches=[[X(2, 3)] for _ in range(4)]),
    Reset: dict(
        train=False, state=lambda m: [m.h], batches=[[X(2, 3), torch.tensor([[True], [False]])] for _ in range(3)]
    ),
    TwoLosses: dict(train=True),
    LstmStream: dict(train=False, state=lambda m: list(m.hid), batches=[[X(5, 2, 3)] for _ in range(3)]),
    LstmStreamTrain: dict(train=True, state=lambda m: list(m.hid), batches=[[X(5, 2, 3)] for _ in range(3)]),
    LastAttn: dict(train=True),
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
    KvWriteAt: dict(train=False, state=lambda m: [m.kv]),
    EmaSubmodule: dict(train=True, state=lambda m: [m.target.w]),
    RotaryCache: dict(train=False),
    VqEma: dict(train=True, state=lambda m: [m.cluster, m.embed]),
    QueueMoco: dict(train=True),
}


@pytest.mark.parametrize("model", CASES, ids=lambda model: model.__name__)
def test_state_follows_eager(model, tmp_path):
    case = {"batches": [[X(4, 3) + i] for i in range(3)], **CASES[model]}
    assert differences(model, case.pop("batches"), tmp_path, **case) == []


def test_a_smaller_batch_goes_on_with_the_state(tmp_path):
    batches = [[X(4, 3)], [X(4, 3) + 1], [X(2, 3)], [X(4, 3) + 2]]
    assert differences(VqEma, batches, tmp_path, train=True, state=lambda m: [m.cluster, m.embed]) == []
