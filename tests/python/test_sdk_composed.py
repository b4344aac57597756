# SPDX-License-Identifier: Apache-2.0
"""Ops that are recorded as several rows, traced indices, writes through views: against PyTorch, with gradients."""

import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F
from sambaflow import samba
from sambaflow._trace.errors import TraceError
from sambaflow.samba import utils

X = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
AT = torch.tensor([[0, 3, 1, 9, 9, 2]]).expand(4, 6).contiguous()
U = torch.tensor([[[0.2, 0.7, 0.9]]])
TWO, MINUS = torch.tensor(2), torch.tensor(-1)


class Product(nn.Module):
    """`function(x @ w, *inputs)`: gradients of everything recorded end in w."""

    def __init__(self, function):
        super().__init__()
        self.w = nn.Parameter(torch.linspace(-1, 1, 36).reshape(6, 6).sin())
        self.function = function

    def forward(self, x, *inputs):
        return self.function(x @ self.w, *inputs)


def written(function):
    """`function` as a write to a copy."""

    def apply(x, *inputs):
        x = x.clone()
        function(x, *inputs)
        return x

    return apply


def set_at(x, i):
    x[i] = 0.0
    x[:, i] = x[:, 0] * 2
    x[i, 1] += 1


def unpooled(x):
    pooled, places = F.max_pool2d(x.view(1, 4, 6), 2, return_indices=True)
    return F.max_unpool2d(pooled, places, 2), places


def squeezed(x):
    y = (x * 2).unsqueeze_(0).transpose_(1, 2)
    y.mul_(3)
    return y.squeeze_(0) + 1


def bags(mode, **options):
    ids, offsets = torch.tensor([1, 3, 3, 0, 2]), torch.tensor([0, 2, 4])
    return lambda x: F.embedding_bag(ids, x, offsets, mode=mode, **options)


def ctc(x, lengths, **options):
    scores = x.view(6, 2, 2).repeat(1, 1, 2)[..., :3].log_softmax(2)
    return F.ctc_loss(
        scores, torch.tensor([[1, 2], [2, 2]]), lengths, torch.tensor([2, 2]), reduction="none", **options
    )


def holes(x):
    """x with NaN here and there, a row of it all NaN."""
    gaps = (torch.arange(24).view(4, 6) % 5 == 0) | (torch.arange(4).view(4, 1) == 2)
    return torch.where(gaps, torch.nan, x)


def reduced_at(kind, **options):
    return lambda x, i: torch.linspace(0.5, 2, 30).view(5, 6).index_reduce(0, i[0, :4] % 5, x + 2, kind, **options)


def regular(x):
    """A matrix that is far from singular, and one that is positive definite."""
    square = x[:, :4] + 3 * torch.eye(4)
    return square, square @ square.mT


def statistics(x):
    aten, running = torch.ops.aten, (torch.zeros(6), torch.ones(6))
    with torch.no_grad():
        return (
            *aten._native_batch_norm_legit(x, None, None, True, 0.1, 1e-3),
            *aten._batch_norm_with_update(x, x[0], None, *running, 0.5, 1e-3)[:3],
            aten._native_batch_norm_legit_no_training(x, x[0], x[1], *running, 0.1, 1e-3)[0],
        )


def flatten(result):
    return result[0], *result[1]


def sampled(x, mode, padding, align_corners):
    grid = (x.view(1, 2, 2, 2, 3) * 1.7).roll(1, -1)
    return F.grid_sample(x.view(1, 2, 2, 3, 2), grid, mode, padding, align_corners)


def unit_lower(x):
    return x[:, :4].tril() + 3 * torch.eye(4)


CALLS = {
    "x[i]": (lambda x, i: x[i], TWO),
    "x[i] from the end": (lambda x, i: x[i], MINUS),
    "x[:, i]": (lambda x, i: x[:, i], TWO),
    "x[i, i + 1]": (lambda x, i: x[i, i + 1], TWO),
    "x[..., i, None]": (lambda x, i: x[..., i, None], TWO),
    "x[i, slice]": (lambda x, i: x[i, 1:3], TWO),
    "x[argmax]": (lambda x: x[x.sum(1).argmax()],),
    "x[i] = y": (written(set_at), TWO),
    "diagonal written": (written(lambda x: x.diagonal(1).mul_(2)),),
    "unfold written": (written(lambda x: x.unfold(1, 2, 2).mul_(2)),),
    "fill_diagonal_": (written(lambda x: x.fill_diagonal_(0.5)),),
    "views in place": (squeezed,),
    "kthvalue": (lambda x: x.kthvalue(2, 1),),
    "median": (torch.median,),
    "median of rows": (lambda x: x.median(1, keepdim=True),),
    "quantile": (lambda x: x.quantile(0.3, dim=1),),
    "mean of scattered": (lambda x, i: torch.ones(4, 10).scatter_reduce(1, i, x, "mean"), AT),
    "sum without self": (lambda x, i: torch.ones(4, 10).scatter_reduce(1, i, x, "sum", include_self=False), AT),
    "amin without self": (lambda x, i: torch.ones(4, 10).scatter_reduce(1, i, x, "amin", include_self=False), AT),
    "bag sum": (bags("sum"),),
    "bag mean": (bags("mean", padding_idx=3),),
    "bag max": (bags("max"),),
    "bag weights": (bags("sum", per_sample_weights=torch.arange(5.0)),),
    "bag of rows": (lambda x: F.embedding_bag(torch.tensor([[0, 1], [2, 2]]), x, mode="mean"),),
    "max_pool2d indices": (unpooled,),
    "overlapping indices": (lambda x: F.max_pool2d(x.view(1, 1, 4, 6), 3, 2, padding=1, return_indices=True),),
    "dilated indices": (lambda x: F.max_pool1d(x, 2, 1, dilation=2, return_indices=True),),
    "ceil_mode indices": (lambda x: F.max_pool1d(x, 4, 4, ceil_mode=True, return_indices=True),),
    "adaptive indices": (lambda x: F.adaptive_max_pool2d(x.view(1, 4, 6), (2, 3), return_indices=True),),
    "adaptive indices of unequal windows": (
        lambda x: F.adaptive_max_pool2d(x.view(1, 4, 6), (3, 4), return_indices=True),
    ),
    "replicate pad that cuts all": (
        lambda x: (F.pad(x[None], (-6, 8), mode="replicate"), F.pad(x[None], (8, -7), mode="replicate")),
    ),
    "adaptive pooling of equal elements": (
        lambda x: F.adaptive_max_pool3d((x.detach() > 0).float().view(1, 2, 3, 4) * (1 + x.sum()), (2, 2, 3)),
    ),
    "fractional_max_pool2d": (
        lambda x, u: F.fractional_max_pool2d(x.view(1, 2, 3, 4), 2, (2, 2), return_indices=True, _random_samples=u),
        torch.tensor([[[0.3, 0.8], [0.6, 0.1]]]),
    ),
    "fractional_max_pool3d": (
        lambda x: F.fractional_max_pool3d(x.view(1, 3, 4, 2), (1, 2, 1), (2, 2, 1), _random_samples=U),
    ),
    "antialias": (
        lambda x: [
            F.interpolate(x.view(1, 1, 4, 6), size, mode=mode, antialias=True, align_corners=corners)
            for size, mode, corners in (
                ((2, 3), "bilinear", False),
                ((3, 9), "bicubic", False),
                ((3, 2), "bilinear", True),
            )
        ],
    ),
    "antialias by a factor": (
        lambda x: F.interpolate(x.view(1, 1, 4, 6), scale_factor=(0.6, 1.4), mode="bicubic", antialias=True),
    ),
    "batch norm of nothing": (
        lambda x: (x, torch.batch_norm(x[0, :0], None, None, None, None, True, 0.1, 1e-5, False)),
    ),
    "cummax": (lambda x: x.round(decimals=1).cummax(1),),
    "cummin of NaN": (lambda x: [x, *holes(x).cummin(0)[1:]],),
    "logcumsumexp": (lambda x: x.logcumsumexp(1),),
    "nanmedian": (lambda x: holes(x).nanmedian(),),
    "nanmedian of equal ones": (lambda x: holes(x.round()).nanmedian(),),
    "nanmedian of rows": (lambda x: holes(x)[:2].nanmedian(1),),
    "mode": (lambda x: x.clamp(-0.5, 0.5).mode(1),),
    "fmax and fmin": (lambda x: torch.fmax(holes(x), x.flip(0)) * torch.fmin(x.flip(1), holes(x)).nan_to_num(),),
    "hypot": (lambda x: torch.hypot(x * 1e30, x.flip(0) * 1e30) / 1e30,),
    "copysign": (lambda x: torch.copysign(x, torch.tensor([0.0, -0.0, 1.0, -1.0, torch.inf, -torch.inf])),),
    "signbit": (lambda x: x * torch.signbit(torch.where(x > 0, 0.0, -0.0)),),
    "frexp": (lambda x: torch.frexp(x * 1000),),
    "normal has no gradient": (lambda x: x + 3 * torch.normal(x, torch.full_like(x.detach(), 1e-30)),),
    "angle": (lambda x: x + torch.angle(holes(x)).nan_to_num() * x,),
    "histogram": (lambda x: (x, *torch.histogram(x.detach(), 5)),),
    "histogram of weights": (
        lambda x: (
            x,
            *torch.histogram(x.detach(), 4, range=(-1.0, 1.0), weight=x.detach() + 3, density=True),
            *torch.histogram(x.detach(), torch.tensor([-1.0, -0.2, 0.3, 2.0])),
        ),
    ),
    **{
        f"segment_reduce {kind}": (
            lambda x, n, kind=kind: torch.segment_reduce(x, kind, lengths=n, unsafe=True, initial=0.25),
            torch.tensor([1, 0, 2, 1]),
        )
        for kind in ("sum", "mean", "max", "min", "prod")
    },
    "histogramdd": (lambda x: (x, *flatten(torch.histogramdd(x.detach().view(-1, 2), [3, 2], density=True))),),
    "grid_sample of a volume": (
        lambda x: sampled(x, "bilinear", "zeros", False) + sampled(x, "nearest", "border", True),
    ),
    "grid_sample reflected": (
        lambda x: sampled(x, "bilinear", "reflection", False) + sampled(x, "bilinear", "reflection", True),
    ),
    "grid_sample in the border": (lambda x: sampled(x, "bilinear", "border", False),),
    "linspace between tensors": (lambda x: (x, torch.linspace(x.detach().sum(), x.detach()[0, 0], 7)),),
    "diagonal_scatter": (lambda x: x.diagonal_scatter(x[:, 0] * 2, 1),),
    "as_strided_scatter": (lambda x: x.detach().as_strided_scatter(x[:2, :3] * 2, (2, 3), (7, 2), 1),),
    "cov": (lambda x: torch.cov(x),),
    "cov of weights": (
        lambda x: torch.cov(x, fweights=torch.arange(6), aweights=torch.linspace(0.5, 1, 6), correction=2),
    ),
    "native_batch_norm": (
        lambda x: torch.native_batch_norm(x, x[0] + 2, x[1], torch.zeros(6), torch.ones(6), True, 0.1, 1e-3)[0],
    ),
    "statistics of batch norms": (lambda x: (x, *statistics(x.detach())),),
    "masked_scatter": (lambda x: torch.zeros(4, 6).masked_scatter(x.detach() > 0, x * 3),),
    "put": (lambda x, i: x.put(i[0, :3] * 2, x[0, :3] * 5, accumulate=True), AT),
    "index_reduce prod": (reduced_at("prod"), AT),
    "index_reduce mean": (reduced_at("mean", include_self=False), AT),
    "index_reduce amax": (reduced_at("amax"), AT),
    "addbmm": (lambda x: torch.addbmm(x, x.view(2, 4, 3), x.view(2, 3, 4)[..., [0, 1, 2, 3, 0, 1]], beta=2, alpha=3),),
    "cdist": (lambda x: torch.cdist(x, x.flip(0) + 1, 1.5),),
    "pdist": (lambda x: F.pdist(x),),
    "lgamma": (lambda x: torch.lgamma(x * 5),),
    "mvlgamma": (lambda x: torch.mvlgamma(x + 4, 3),),
    "digamma": (lambda x: torch.digamma(x * 5),),
    "polygamma": (lambda x: torch.polygamma(2, x * 5 + 6.3),),
    "erfinv": (lambda x: torch.erfinv(x.tanh()),),
    "ndtri": (lambda x: torch.special.ndtri(x.sigmoid()),),
    "log_ndtr": (lambda x: torch.special.log_ndtr(x * 2),),
    "bessel": (lambda x: torch.i0(x) + torch.special.i0e(x * 9) + torch.special.i1(x) * torch.special.i1e(x * 9),),
    "chebyshev": (lambda x: x + torch.special.chebyshev_polynomial_t(x.detach(), torch.arange(6)),),
    "polynomials": (
        lambda x, n: (
            x,
            torch.special.hermite_polynomial_h(x.detach(), n),
            torch.special.hermite_polynomial_he(x.detach(), 5),
            torch.special.laguerre_polynomial_l(x.detach(), torch.arange(-1, 5)),
            torch.special.legendre_polynomial_p(x.detach().tanh(), n),
        ),
        torch.tensor([-1.0, 0, 1, 2.7, 9, 4]).expand(4, 6).contiguous(),
    ),
    "spherical_bessel_j0": (lambda x: (x, torch.special.spherical_bessel_j0(x.detach() * 2)),),
    "inverse": (lambda x: torch.linalg.inv(regular(x)[0]),),
    "det": (lambda x: torch.linalg.det(regular(x)[0]),),
    "matrix_exp": (lambda x: torch.matrix_exp(torch.stack([x[:, :4], 2 * (x[:, :4] - x[:, :4].mT)])),),
    "det of a singular matrix": (lambda x: torch.linalg.det(x[:3, :2] @ x[:2, :3]),),
    "slogdet": (lambda x: torch.linalg.slogdet(regular(x)[0])[1],),
    "solve": (lambda x: torch.linalg.solve(regular(x)[0], x),),
    "solve from the right": (lambda x: torch.linalg.solve(regular(x)[0], x.mT, left=False),),
    "cholesky": (lambda x: torch.linalg.cholesky(regular(x)[1]),),
    "solve_triangular": (lambda x: torch.linalg.solve_triangular(unit_lower(x), x, upper=False),),
    "solve_triangular of ones": (
        lambda x: torch.linalg.solve_triangular(unit_lower(x).mT, x.mT, upper=True, left=False, unitriangular=True),
    ),
    "cholesky_inverse": (lambda x: torch.cholesky_inverse(unit_lower(x)),),
    "draws of narrow dtypes": (
        lambda x: (
            x,
            *[torch.rand(50, dtype=torch.bfloat16) < 1.0, torch.rand_like(x.half()) >= 0],
            torch.normal(x.detach().bfloat16(), 1e-9) * 0 + torch.randn(4, 6, dtype=torch.float16).isfinite(),
            torch.zeros(9, dtype=torch.bfloat16).uniform_(2.0, 3.0) >= 2,
        ),
    ),
    "multinomial": (
        lambda x: (
            x,
            torch.multinomial((x.detach() > 0).float() + 1e-30, 30, True).shape[0] + x.detach() * 0,
            torch.multinomial(x.detach()[0].abs() + 1, 6).sort()[0],
            torch.multinomial(torch.tensor([0.0, 1.0, 0.0]) + 0 * x.detach()[:, :3], 5, True),
        ),
    ),
    "block_diag of several dtypes": (
        lambda x: (
            torch.block_diag(x, x[0], x.sum(), torch.tensor(2)),
            *[torch.block_diag(x.half(), x.detach().var()), torch.block_diag(x.detach().var(), x.half(), TWO)],
            *[torch.block_diag((x > 0).int(), x.detach().var()), torch.block_diag(TWO, MINUS)],
        ),
    ),
    "ctc_loss": (ctc, torch.tensor([6, 5])),
    "ctc_loss without a path": (lambda x, n: ctc(x, n, zero_infinity=True), torch.tensor([6, 2])),
}


@pytest.mark.parametrize("name", list(CALLS))
def test_values_and_gradients(name, tmp_path):
    function, *inputs = CALLS[name]
    expected_model, model = Product(function), Product(function)
    expected = leaves(expected_model(X, *inputs))
    samba.from_torch_model_(model)
    fed = [samba.from_torch_tensor(t, name=f"input{i}") for i, t in enumerate((X, *inputs))]
    optimizer = samba.optim.SGD(model.parameters(), lr=0.1)
    config = {"output_folder": str(tmp_path), "pef_name": "p"}
    path = samba.session.compile(model, fed, optimizer, config_dict=config, loss_indices=[0])
    traced = utils.trace_graph(model, fed, optimizer, pef=path, loss_indices=[0])
    for want, have in zip(expected, samba.session.run(fed, traced), strict=True):
        assert want.dtype == have.dtype and torch.allclose(want, samba.to_torch(have), rtol=1e-5, atol=1e-6)
    expected[0].sum().backward()
    assert torch.allclose(expected_model.w.grad, samba.to_torch(model.w.sn_grad), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["baddbmm", "addmm"])
def test_sums_with_narrow_products_are_rounded_once(name, tmp_path):
    """Though most of both operands of the sum cancels."""
    a, b = (torch.randn(2, 8, 8, generator=torch.Generator().manual_seed(seed)).bfloat16() for seed in (1, 2))
    c = (-4 * (a.float() @ b.float())).bfloat16()
    if name == "addmm":
        a, b, c = a[0], b[0], c[0]
    model = Product(lambda x, *given: (x, getattr(torch, name)(*given, beta=0.5, alpha=2)))
    samba.from_torch_model_(model)
    fed = [samba.from_torch_tensor(t, name=f"input{i}", batch_dim=None) for i, t in enumerate((X, c, a, b))]
    config = {"output_folder": str(tmp_path), "pef_name": "p", "inference": True}
    path = samba.session.compile(model, fed, None, config_dict=config, inference=True)
    traced = utils.trace_graph(model, fed, None, pef=path)
    have = samba.to_torch(samba.session.run(fed, traced, section_types=["fwd"])[1]).double()
    want = 0.5 * c.double() + 2 * (a.double() @ b.double())
    assert ((have - want).abs() <= 2**-8 * want.abs() + 1e-6).all()


def test_bilinear_of_bfloat16_adds_up_in_float32(tmp_path):
    a, b, w = (torch.randn(*shape, generator=torch.Generator().manual_seed(3)).bfloat16()
               for shape in ((40, 6), (40, 6), (3, 6, 6)))  # fmt: skip
    model = Product(lambda x, *given: (x, F.bilinear(*given)))
    samba.from_torch_model_(model)
    fed = [samba.from_torch_tensor(t, name=f"input{i}", batch_dim=None) for i, t in enumerate((X, a, b, w))]
    config = {"output_folder": str(tmp_path), "pef_name": "p", "inference": True}
    path = samba.session.compile(model, fed, None, config_dict=config, inference=True)
    traced = utils.trace_graph(model, fed, None, pef=path)
    have = samba.to_torch(samba.session.run(fed, traced, section_types=["fwd"])[1]).double()
    want = F.bilinear(a.double(), b.double(), w.double())
    assert ((have - want).abs() <= 2**-8 * want.abs() + 1e-5).all()


def leaves(result):
    return [result] if isinstance(result, torch.Tensor) else list(result)


@pytest.mark.parametrize(
    "function, message",
    [
        (lambda x: x[x > 0], "torch.where"),
        (lambda x: x.nonzero(), "torch.where"),
        (lambda x: torch.fft.rfft(x), "complex numbers"),
        (lambda x: x.t().clone().fill_diagonal_(1.0, wrap=True), "wrapping"),
        (lambda x: torch.linalg.inv(x.repeat(20, 20)[:65, :65]), "at most 64"),
    ],
)
def test_what_cannot_be_compiled_says_what_to_write_instead(function, message):
    model = Product(function)
    samba.from_torch_model_(model)
    with pytest.raises(TraceError, match=message):
        samba.session.compile(model, [samba.from_torch_tensor(X, name="x")], inference=True)
