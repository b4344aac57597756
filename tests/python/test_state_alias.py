# SPDX-License-Identifier: Apache-2.0
"""State that shares the memory of a parameter follows it, as in eager; what cannot be told apart is refused."""

import pytest
import torch
from against_eager import Base, X, differences
from sambaflow import samba
from sambaflow._trace.errors import TraceError

pytest.importorskip("sambaflow._leat")


class BufferIsParameter(Base):
    def setup(self):
        self.register_buffer("q", torch.zeros(3, 3))

    def forward(self, x):
        y = ((x @ self.w).tanh() + x @ self.q + self.b).square().mean()
        self.q = self.w.detach()
        return y


class BufferIsSlice(Base):
    def setup(self):
        self.register_buffer("q", torch.zeros(2, 3))

    def forward(self, x):
        y = ((x @ self.w)[:, :2] * (x @ self.q.t())).square().mean() + self.b.sum()
        self.q = self.w.detach()[1:]
        return y


class AttributeIsTransposed(Base):
    def setup(self):
        self.q = torch.zeros(3, 3)

    def forward(self, x):
        y = ((x @ self.w) * (x @ self.q) + self.b).square().mean()
        self.q = self.w.data.t()
        return y


class TwoOfOne(Base):
    def setup(self):
        self.q, self.r = torch.zeros(3, 3), torch.zeros(3)

    def forward(self, x):
        y = ((x @ self.w).tanh() + x @ self.q + self.r + self.b).square().mean()
        self.q, self.r = self.w.detach(), self.w.detach()[0]
        return y


class OfAWrittenParameter(Base):
    def setup(self):
        self.q = torch.zeros(3, 3)

    def forward(self, x):
        y = ((x @ self.w).tanh() + x @ self.q + self.b).square().mean()
        with torch.no_grad():
            self.w.mul_(0.9)
        self.q = self.w.detach()
        return y


class Cloned(Base):
    def setup(self):
        self.q = torch.zeros(3, 3)

    def forward(self, x):
        y = ((x @ self.w).tanh() + x @ self.q + self.b).square().mean()
        self.q = self.w.detach().clone()
        return y


class Copied(Base):
    """A target network: the buffer has memory of its own, which is overwritten."""

    def setup(self):
        self.register_buffer("q", torch.zeros(3, 3))

    def forward(self, x):
        y = ((x @ self.w).tanh() + x @ self.q + self.b).square().mean()
        self.q.copy_(self.w.detach())
        return y


class ReadBeforeItsTwinIsWritten(Base):
    def setup(self):
        self.register_buffer("a", torch.zeros(3))
        self.register_buffer("q", torch.zeros(3))

    def forward(self, x):
        y = (x @ self.w + self.q + self.b).square().mean()
        self.a.add_(x.detach().mean(0))
        self.q = self.a
        return y


FOLLOW = [BufferIsParameter, BufferIsSlice, AttributeIsTransposed, TwoOfOne, OfAWrittenParameter, Cloned, Copied]


@pytest.mark.parametrize("level", ["o0", "o1", "o3"])
@pytest.mark.parametrize("make", [*FOLLOW, ReadBeforeItsTwinIsWritten])
def test_state_follows(make, level, tmp_path):
    batches = [(X(4, 3) + step,) for step in range(4)]
    shown = (lambda model: [model.q]) if make is not ReadBeforeItsTwinIsWritten else None
    assert not differences(make, batches, tmp_path, train=True, state=shown, arguments={"optim_level": level})
    assert not differences(make, batches, tmp_path)


class ReadBehindTheWriteOfItsTwin(Base):
    def setup(self):
        self.register_buffer("a", torch.zeros(3))
        self.register_buffer("q", torch.zeros(3))

    def forward(self, x):
        self.a.add_(x.detach().mean(0))
        y = (x @ self.w + self.q + self.b).square().mean()
        self.q = self.a
        return y


class TwoOfAThird(Base):
    def setup(self):
        self.q, self.r = torch.zeros(3), torch.zeros(3)

    def forward(self, x):
        self.q.add_(1.0)
        y = (x @ self.w + self.q + self.r + self.b).square().mean()
        self.q = self.r = x.detach().mean(0)
        return y


@pytest.mark.parametrize("make", [ReadBehindTheWriteOfItsTwin, TwoOfAThird])
def test_state_that_would_become_one_memory_and_is_written_is_refused(make, tmp_path):
    model = make()
    samba.from_torch_model_(model)
    with pytest.raises(TraceError, match="are one memory after forward, and forward writes to"):
        samba.session.compile(
            model,
            (samba.randn(4, 3, name="x"),),
            samba.optim.SGD(model.parameters(), lr=0.1),
            config_dict={"output_folder": str(tmp_path), "pef_name": "p"},
        )
