# SPDX-License-Identifier: Apache-2.0
"""Models whose forward writes to tensors: what test_sdk_writes.py runs beside eager PyTorch."""

import torch
import torch.nn.functional as F
from against_eager import Base, Square
from torch import nn


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
