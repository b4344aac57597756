# SPDX-License-Identifier: Apache-2.0
"""Writes to tensors in forward: elements, gradients and updated weights over several steps, as eager has them."""

import pytest
import torch
import torch.nn.functional as F
from against_eager import Base, Square, differences
from sambaflow import samba
from torch import nn

pytest.importorskip("sambaflow._leat")


class ClampNoGradParam(Base):
    def forward(self, x):
        with torch.no_grad():
            self.w.clamp_(-0.5, 0.5)
        return (x @ self.w + self.b).square().mean()


class DataClampParam(Base):
    def forward(self, x):
        self.w.data.clamp_(-0.5, 0.5)
        return (x @ self.w + self.b).square().mean()


class DataRebindParam(Base):
    def forward(self, x):
        self.w.data = self.w.data.sign() * 0.3
        return (x @ self.w + self.b).square().mean()


class DataRebindThenWrite(Base):
    def forward(self, x):
        self.w.data = self.w.data.sign()
        self.w.data.clamp_(-0.5, 0.5)
        self.w.data[0] = 0.1
        return (x @ self.w + self.b).square().mean()


class DataCopy(Base):
    def forward(self, x):
        self.w.data.copy_(F.normalize(self.w.data, dim=1))
        return (x @ self.w + self.b).square().mean()


class DetachAliasMul(Base):
    def forward(self, x):
        y = x @ self.w
        d = y.detach()
        d.mul_(2)
        return (y + self.b).square().mean() * 1, d


class AliasSeesLater(Base):
    def forward(self, x):
        y = x @ self.w
        d = y.detach()
        with torch.no_grad():
            y.clamp_(min=0)
        return (y + d).mean()


class ViewUnderNoGrad(Base):
    def forward(self, x):
        y = x @ self.w
        with torch.no_grad():
            v = y[:, 1:]
            v.mul_(3)
        return (y * self.b).mean()


class GradViewWrittenNoGrad(Base):
    def forward(self, x):
        y = x @ self.w
        v = y[:, :2]
        with torch.no_grad():
            v.add_(1)
        return (y * self.b).mean() + (v * 2).sum()


class ViewReadInNoGradThenGrad(Base):
    def forward(self, x):
        y = x @ self.w
        v = y[:, :2]
        y = y.mul_(2)
        with torch.no_grad():
            z = v.sum()
        return (v).mean() * 1 + z


class DetachWriteWithHistory(Base):
    def forward(self, x):
        y = x @ self.w
        d = y.detach()
        d.mul_(self.b)
        return y.mean() + d.sin().mean()


class NoGradZeroPart(Base):
    def forward(self, x):
        y = x @ self.w
        with torch.no_grad():
            y[:, 0] = 0
        return (y * self.b).mean()


class DataSetitem(Base):
    def forward(self, x):
        y = (x @ self.w) * 1
        y.data[:, 0] = 7.0
        return (y * self.b).mean()


class DataMaskFill(Base):
    def forward(self, x):
        y = (x @ self.w) + 0
        y.data.masked_fill_(y.data < 0, 0.0)
        return (y * self.b).mean()


class SwapData(Base):
    def setup(self):
        self.v = nn.Parameter(torch.randn(3, 3))

    def forward(self, x):
        self.w.data, self.v.data = self.v.data, self.w.data
        return (x @ self.w + 2 * (x @ self.v)).square().mean()


class DecayAfterUse(Base):
    def forward(self, x):
        loss = (x @ self.w + self.b).square().mean()
        self.w.data.mul_(0.9)
        return loss


class EmaTeacher(Base):
    def setup(self):
        self.t = nn.Parameter(torch.randn(3, 3), requires_grad=False)

    def forward(self, x):
        with torch.no_grad():
            self.t.mul_(0.9).add_(self.w, alpha=0.1)
        return ((x @ self.w) - (x @ self.t)).square().mean() + self.b.mean()


class EmaTeacherData(Base):
    def setup(self):
        self.t = nn.Parameter(torch.randn(3, 3), requires_grad=False)

    def forward(self, x):
        self.t.data = self.t.data * 0.9 + self.w.data * 0.1
        return ((x @ self.w) - (x @ self.t)).square().mean() + self.b.mean()


class CosineEmbedding(Base):
    def forward(self, x):
        return F.cosine_embedding_loss(x @ self.w, x, torch.tensor([1.0, -1, 1, -1])) + self.b.sum()


class SetForm(Base):
    def forward(self, x):
        with torch.no_grad():
            self.w.set_(self.w * 0.5)
        return (x @ self.w + self.b).square().mean()


class CopyFromOtherNoGrad(Base):
    def forward(self, x):
        y = x @ self.w
        with torch.no_grad():
            y.copy_(self.b)
        return y.square().mean() * 1 + y.mean()


class OutNoGrad(Base):
    def forward(self, x):
        y = x @ self.w
        z = torch.zeros(4, 3)
        with torch.no_grad():
            torch.add(y, 1, out=z)
        return (y * z).mean() + self.b.mean()


class DetachedParamOnly(Base):
    def forward(self, x):
        return (x @ self.w).mean() + self.b.detach().mean()


class ReluInplaceAfter(Base):
    def forward(self, x):
        y = x @ self.w
        z = y.sigmoid()
        y.add_(1)
        return z.mean() + y.mean()


class MadeZerosView(Base):
    def forward(self, x):
        y = torch.zeros(4, 5)
        y[:, :3].copy_(x @ self.w)
        v = y[:, 3:]
        v += self.b[:2]
        return (y * y).mean()


class MadeDropoutExpand(Base):
    def forward(self, x):
        y = torch.zeros(4, 3)
        e = y.unsqueeze(0).expand(2, 4, 3)
        y.add_(x @ self.w)
        return (e * self.b).sum()


class ViewAs(Base):
    def forward(self, x):
        y = torch.zeros(12)
        y.view_as(x).add_(x @ self.w)
        return (y * y).sum() + self.b.sum()


class AsStrided(Base):
    def forward(self, x):
        y = torch.zeros(4, 6)
        y.as_strided((4, 3), (6, 2)).copy_(x @ self.w)
        return (y * y).sum() + self.b.sum()


class AsStridedTraced(Base):
    def forward(self, x):
        y = (x @ self.w).clone()
        d = y.as_strided((3,), (4,))
        d.mul_(self.b)
        return (y * y).sum()


class DropoutEvalAlias(Base):
    def forward(self, x):
        y = x @ self.w
        z = F.dropout(y, 0.5, False)
        z.add_(1)
        return y


class DiagonalWrite(Base):
    def forward(self, x):
        y = torch.zeros(3, 3)
        y.diagonal().copy_(self.b)
        return (x @ (y + self.w)).square().mean()


class NumpyLikeAlias(Base):
    def forward(self, x):
        y = torch.zeros(4, 3)
        d = y.detach()
        y += x @ self.w
        return (d * y).mean() + self.b.sum()


class PlainDataAlias(Base):
    def forward(self, x):
        y = torch.zeros(4, 3)
        y.data[:, 1] = 1.0
        y[:, 0] += (x @ self.w)[:, 0]
        return (y * self.b).mean()


class IndexAddNoGrad(Base):
    def forward(self, x):
        y = x @ self.w
        with torch.no_grad():
            y.index_add_(0, torch.tensor([0, 2]), torch.ones(2, 3))
        return (y * self.b).mean()


class ParamViewOutside(Base):
    def setup(self):
        self.part = self.w[:2]

    def forward(self, x):
        return (x[:, :2] @ self.part + self.b).square().mean()


class ParamDataAliasOutside(Base):
    def setup(self):
        self.alias = self.w.data

    def forward(self, x):
        return (x @ self.w * (x @ self.alias)).mean()


class ConstrainedBias(Base):
    def forward(self, x):
        with torch.no_grad():
            n = self.w.norm(dim=1, keepdim=True).clamp_(min=1e-3)
            self.w.div_(n)
        return (x @ self.w + self.b).square().mean()


class UnfoldWrite(Base):
    def forward(self, x):
        y = (x @ self.w).clone()
        y.unfold(1, 2, 2).mul_(2)
        return (y * self.b).sum()


class UninitGradModeMix(Base):
    def forward(self, x):
        y = x @ self.w
        with torch.no_grad():
            z = y * 2
            with torch.enable_grad():
                y = y * self.b
            y.add_(z)
        return y.square().mean()


class MaskPutNoGrad(Base):
    def forward(self, x):
        y = x @ self.w
        with torch.no_grad():
            y[x > 0] = 0.0
        return (y * self.b).mean()


class WhereInplaceMask(Base):
    def forward(self, x):
        y = x @ self.w
        y = y * 1
        y[y > 0] = 0.3
        return (y * self.b).mean()


class DataNonleafRebind(Base):
    def forward(self, x):
        y = x @ self.w
        y.data = y.data * 2
        return (y * self.b).mean()


class DataTMul(Base):
    def forward(self, x):
        y = x @ self.w
        y.data.t().mul_(2)
        y.detach()[:, 0].zero_()
        return (y * self.b).mean()


class Decorated(Base):
    @torch.no_grad()
    def norm(self):
        self.w.copy_(self.w / self.w.norm())

    def forward(self, x):
        self.norm()
        return (x @ self.w + self.b).square().mean()


class Foreach(Base):
    def forward(self, x):
        with torch.no_grad():
            torch._foreach_mul_([self.w, self.b], 0.9)
        return (x @ self.w + self.b).square().mean()


class LerpOut(Base):
    def setup(self):
        self.register_buffer("m", torch.zeros(3, 3))

    def forward(self, x):
        with torch.no_grad():
            torch.lerp(self.m, self.w, 0.1, out=self.m)
        return (x @ self.w - x @ self.m).square().mean() + self.b.sum()


class SetGrad(Base):
    def forward(self, x):
        with torch.set_grad_enabled(False):
            self.b.add_(0.1)
        return (x @ self.w + self.b).square().mean()


class CustomFine(Base):
    def forward(self, x):
        y = x @ self.w
        y.data.mul_(3)
        z = Square.apply(y)
        return z.mean() + self.b.sum()


class WeightAfterUseFirstLayer(Base):
    def forward(self, x):
        y = (x @ self.w + self.b).square().mean()
        self.w.data.clamp_(-0.2, 0.2)
        self.b.data.zero_()
        return y


class StraightQuantInplace(Base):
    def forward(self, x):
        q = self.w * 1
        q.data.round_()
        return (x @ q + self.b).square().mean()


class ActScaleEma(Base):
    def setup(self):
        self.register_buffer("scale", torch.ones(()))

    def forward(self, x):
        y = x @ self.w + self.b
        if self.training:
            self.scale.data = 0.9 * self.scale + 0.1 * y.detach().abs().max()
        return (y / self.scale).square().mean()


class ResidualInplace(Base):
    def forward(self, x):
        y = x @ self.w
        y += x
        y *= self.b
        return y.sigmoid_().mean()


class UnbindNoGrad(Base):
    def forward(self, x):
        y = x @ self.w
        with torch.no_grad():
            for r in y.unbind(0):
                r.sub_(r.mean())
        return (y * self.b).square().mean()


class DropoutTurned(Base):
    """Dropout by 0 returns its argument: a new shape of what it returned is one of the argument, too."""

    def forward(self, x):
        y = x @ self.w
        z = F.dropout(y, 0.0)
        z.t_()
        y.mul_(2)
        z[0] = 0.5
        part = F.dropout(y[1:], 0.0)
        part.unsqueeze_(0)
        return (y.square() + 1).mean() + (y @ z.t()).mean(), y, z, part


TRAINED = [
    MaskPutNoGrad,
    WhereInplaceMask,
    DataNonleafRebind,
    DataTMul,
    Decorated,
    Foreach,
    LerpOut,
    SetGrad,
    CustomFine,
    WeightAfterUseFirstLayer,
    StraightQuantInplace,
    ActScaleEma,
    ResidualInplace,
    UnbindNoGrad,
    ClampNoGradParam,
    DataClampParam,
    DataRebindParam,
    DataRebindThenWrite,
    DataCopy,
    DetachAliasMul,
    AliasSeesLater,
    ViewUnderNoGrad,
    GradViewWrittenNoGrad,
    ViewReadInNoGradThenGrad,
    DetachWriteWithHistory,
    NoGradZeroPart,
    DataSetitem,
    DataMaskFill,
    SwapData,
    DecayAfterUse,
    EmaTeacher,
    EmaTeacherData,
    CosineEmbedding,
    SetForm,
    CopyFromOtherNoGrad,
    OutNoGrad,
    DetachedParamOnly,
    ReluInplaceAfter,
    MadeZerosView,
    MadeDropoutExpand,
    ViewAs,
    AsStrided,
    AsStridedTraced,
    DiagonalWrite,
    NumpyLikeAlias,
    PlainDataAlias,
    IndexAddNoGrad,
    ParamViewOutside,
    ParamDataAliasOutside,
    ConstrainedBias,
    UnfoldWrite,
    UninitGradModeMix,
    DropoutTurned,
]


def batches():
    generator = torch.Generator().manual_seed(3)
    return [[torch.randn(4, 3, generator=generator)] for _ in range(3)]


@pytest.mark.parametrize("model", TRAINED, ids=lambda model: model.__name__)
def test_a_write_keeps_the_gradient_that_autograd_keeps(model, tmp_path):
    assert differences(model, batches(), tmp_path, train=True) == []


@pytest.mark.parametrize("model", [*TRAINED, DropoutEvalAlias], ids=lambda model: model.__name__)
def test_a_write_in_inference(model, tmp_path):
    assert differences(model, batches(), tmp_path) == []


# New values of a buffer that are made of other elements of the old one than those in their place.
FROM_OTHER_ELEMENTS = {
    "sort": lambda b, x: b.sort(1)[0],
    "cumsum": lambda b, x: b.cumsum(0),
    "gather": lambda b, x: b.gather(1, x.argsort(1)),
    "rows": lambda b, x: b[x[:, 0].argsort()],
    "scatter": lambda b, x: b.scatter(1, x.argsort(1), b),
    "flip": lambda b, x: b.flip(1),
    "product": lambda b, x: b @ x,
    "product_with_itself": lambda b, x: b @ b,
    "convolution": lambda b, x: F.conv2d(b[None, None], x[None, None, :3, :3], padding=1)[0, 0],
    "pooling": lambda b, x: F.max_pool2d(b[None], 3, 1, 1)[0],
    "shift": lambda b, x: torch.cat([x[:1], b[:-1]]),
    "softmax": lambda b, x: b.softmax(0),
}


@pytest.mark.parametrize("train", [False, True], ids=["inference", "training"])
@pytest.mark.parametrize("update", FROM_OTHER_ELEMENTS.values(), ids=FROM_OTHER_ELEMENTS)
def test_a_buffer_is_made_anew_from_all_of_its_old_elements(update, train, tmp_path):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.randn(8))
            self.register_buffer("state", torch.randn(8, 8))

        def forward(self, x):
            with torch.no_grad():
                self.state.copy_(update(self.state, x))
            return (self.state * self.w + x).square().mean()

    found = differences(Model, [(torch.randn(8, 8),) for _ in range(3)], tmp_path, train=train)
    assert not found, found


@pytest.mark.parametrize("level", ["o0", "o1", "o3"])
@pytest.mark.parametrize("view", [lambda b: b, lambda b: b.flip(1)], ids=["as it is", "flipped"])
def test_backward_that_runs_apart_reads_the_buffer_as_forward_read_it(view, level, tmp_path):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.ones(8))
            self.register_buffer("state", torch.linspace(-1.0, 1.0, 64).reshape(8, 8))

        def forward(self, x):
            loss = (view(self.state) * self.w + x).square().mean()
            self.state = self.state * 0.5 + x
            return loss

    model, eager, x = Model(), Model(), torch.randn(8, 8)
    samba.from_torch_model_(model)
    named = [samba.from_torch_tensor(x.clone(), name="x")]
    optimizer = samba.optim.SGD(model.parameters(), lr=0.0)
    config = {"output_folder": str(tmp_path), "pef_name": "p", "log_level": "error", level: True}
    pef = samba.session.compile(model, named, optimizer, config_dict=config)
    traced = samba.utils.trace_graph(model, named, optimizer, pef=pef)
    for _ in range(2):
        samba.session.run(named, traced, section_types=["fwd"])
        samba.session.run(named, traced, section_types=["bckwd"])
        eager.w.grad = None
        eager(x).backward()
        assert torch.allclose(samba.to_torch(model.w.sn_grad), eager.w.grad, 1e-5, 1e-6)


def test_swapped_tensors_swap_what_they_mean(tmp_path):
    class Model(Base):
        def setup(self):
            self.v = nn.Parameter(torch.randn(3, 3))

        def forward(self, x):
            torch.utils.swap_tensors(self.w, self.v)
            return x @ self.w + 2 * self.v.sum()

    model = Model()
    samba.from_torch_model_(model)
    w, v = (tensor.detach().clone() for tensor in (model.w, model.v))
    x = samba.randn(4, 3, name="x")
    path = samba.session.compile(
        model, [x], config_dict={"output_folder": str(tmp_path), "pef_name": "p"}, inference=True
    )
    traced = samba.utils.trace_graph(model, [x], pef=path)
    for _ in range(2):
        w, v = v, w
        result = samba.to_torch(samba.session.run([x], traced, section_types=["fwd"])[0])
        assert torch.allclose(result, samba.to_torch(x) @ w + 2 * v.sum(), atol=1e-5)
