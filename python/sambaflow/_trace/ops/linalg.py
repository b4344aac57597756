# SPDX-License-Identifier: Apache-2.0
"""Inverses, determinants, Cholesky factors and triangular systems of small matrices, written out step by step.

A matrix of n rows takes n steps, each a few ops on all matrices of a batch, in double precision: so a result of float32
is rounded once. Pivots are chosen by size. What is singular gives infinities or NaN, where eager mode stops.
"""

from __future__ import annotations

from typing import Any

import torch

from sambaflow._trace.errors import TraceError
from sambaflow._trace.ops.composed import composes

LARGEST = 64
_NEXT_TO_0 = 1e-20


def _rows(matrix: torch.Tensor, what: str) -> int:
    n = matrix.shape[-1]
    if n > LARGEST:
        raise TraceError(
            f"{what}: a matrix of {n} rows; at most {LARGEST} can be compiled, since each is a step of the program: "
            "compute it outside forward"
        )
    return n


def _with_row(matrix: torch.Tensor, at: int, row: torch.Tensor) -> torch.Tensor:
    return torch.cat([matrix[..., :at, :], row, matrix[..., at + 1 :, :]], -2)


def _eliminated(
    matrix: torch.Tensor, what: str, instead: float = 0.0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The inverse of `matrix`, its pivots and the sign of their order, by Gauss and Jordan. The inverse is that of a
    matrix which has `instead` for each pivot that is 0."""
    n = _rows(matrix, what)
    rows = torch.arange(n)
    both = torch.cat([matrix, torch.eye(n, dtype=matrix.dtype).expand(matrix.shape)], -1)
    pivots, sign = [], torch.ones(matrix.shape[:-2], dtype=matrix.dtype)
    for at in range(n):
        pivot = both[..., at:, at].abs().argmax(-1, keepdim=True) + at
        order = torch.where(rows == at, pivot, torch.where(rows == pivot, at, rows))
        sign = torch.where(pivot.squeeze(-1) == at, sign, -sign)
        both = both.gather(-2, order.unsqueeze(-1).expand(both.shape))
        pivots.append(both[..., at, at])
        pivot = both[..., at : at + 1, at : at + 1]
        row = both[..., at : at + 1, :] / torch.where(pivot == 0, instead, pivot)
        both = _with_row(both - both[..., :, at : at + 1] * row, at, row)
    found = torch.stack(pivots, -1) if pivots else torch.ones(matrix.shape[:-1], dtype=matrix.dtype)
    return both[..., n:], found, sign


def _substituted(matrix: torch.Tensor, right: torch.Tensor, upper: bool, unit: bool, what: str) -> torch.Tensor:
    """The x of matrix @ x = right for a triangular matrix: a row of x a step."""
    n = _rows(matrix, what)
    found: list[torch.Tensor] = []
    for at in reversed(range(n)) if upper else range(n):
        row = right[..., at : at + 1, :]
        if found:
            known = matrix[..., at : at + 1, at + 1 :] if upper else matrix[..., at : at + 1, :at]
            row = row - known @ torch.cat(found, -2)
        row = row if unit else row / matrix[..., at : at + 1, at : at + 1]
        found = [row, *found] if upper else [*found, row]
    return torch.cat(found, -2) if found else right


def _factor(matrix: torch.Tensor, what: str) -> torch.Tensor:
    """The lower Cholesky factor, of which only the lower half of `matrix` is looked at: a column a step."""
    columns, rest = [], matrix
    for at in range(_rows(matrix, what)):
        column = rest[..., :, :1] / torch.sqrt(rest[..., :1, :1])
        columns.append(torch.nn.functional.pad(column, (0, 0, at, 0)))
        rest = (rest - column * column.mT)[..., 1:, 1:]
    return torch.cat(columns, -1) if columns else matrix


class _Inverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        result = _eliminated(x.double(), "inverse")[0].to(x.dtype)
        ctx.save_for_backward(result)
        return result

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        (result,) = ctx.saved_tensors
        return -(result.mT @ grad @ result.mT)


class _LogDeterminant(torch.autograd.Function):
    """The sign of the determinant and the logarithm of its size, 0 and -inf where that is 0."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        inverse, pivots, sign = _eliminated(x.double(), "slogdet", _NEXT_TO_0)
        sign = (sign * pivots.sign().prod(-1)).to(x.dtype)
        ctx.save_for_backward(inverse.to(x.dtype))
        ctx.mark_non_differentiable(sign)
        return sign, pivots.abs().log().sum(-1).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, _: Any, grad: torch.Tensor) -> torch.Tensor:
        (inverse,) = ctx.saved_tensors
        return grad[..., None, None] * inverse.mT


class _Determinant(torch.autograd.Function):
    """With all cofactors as its gradient: of a singular matrix, those of one next to it."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        inverse, pivots, sign = _eliminated(x.double(), "det", _NEXT_TO_0)
        beside = sign * torch.where(pivots == 0, _NEXT_TO_0, pivots).prod(-1)
        ctx.save_for_backward((beside[..., None, None] * inverse.mT).to(x.dtype))
        return (sign * pivots.prod(-1)).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        (cofactors,) = ctx.saved_tensors
        return grad[..., None, None] * cofactors


class _Cholesky(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        result = _factor(x.double(), "cholesky").to(x.dtype)
        ctx.save_for_backward(result)
        return result

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        (factor,) = ctx.saved_tensors
        upper = factor.double().mT
        inner = (upper @ grad.double()).tril()
        inner = (inner + inner.tril(-1).mT) / 2  # a symmetric matrix
        left = _substituted(upper, inner, True, False, "cholesky")
        return _substituted(upper, left.mT, True, False, "cholesky").mT.to(factor.dtype)


class _Triangular(torch.autograd.Function):
    """The x of matrix @ x = right."""

    @staticmethod
    def forward(ctx: Any, matrix: torch.Tensor, right: torch.Tensor, upper: bool, unit: bool) -> torch.Tensor:
        result = _substituted(matrix.double(), right.double(), upper, unit, "solve_triangular").to(right.dtype)
        ctx.upper, ctx.unit = upper, unit
        ctx.save_for_backward(matrix, result)
        return result

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        matrix, result = ctx.saved_tensors
        of_right = _substituted(matrix.double().mT, grad.double(), not ctx.upper, ctx.unit, "solve_triangular")
        of_matrix = -(of_right @ result.double().mT)
        offset = int(ctx.unit)
        of_matrix = of_matrix.triu(offset) if ctx.upper else of_matrix.tril(-offset)
        return of_matrix.to(matrix.dtype), of_right.to(grad.dtype), None, None


_HALVINGS = 24  # of a matrix whose exponential is wanted, until its powers vanish
_POWERS = 16


def _exponential(matrix: torch.Tensor) -> torch.Tensor:
    """A sum of powers of the matrix halved until its norm is below 1/2, squared as often; NaN beyond."""
    norm = matrix.abs().sum(-2).amax(-1)[..., None, None]
    halvings = sum((norm >= 2.0 ** (k - 1)).to(matrix.dtype) for k in range(_HALVINGS))
    small = matrix * torch.exp2(-halvings)
    unit = torch.eye(matrix.shape[-1], dtype=matrix.dtype)
    result = unit
    for power in range(_POWERS, 0, -1):
        result = unit + small @ result / power
    for k in range(_HALVINGS):
        result = torch.where(halvings > k, result @ result, result)
    return torch.where(norm < 2.0 ** (_HALVINGS - 1), result, torch.nan)


class _Exponential(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        _rows(x, "matrix_exp")
        ctx.save_for_backward(x)
        return _exponential(x.double()).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        """The upper right quarter of the exponential of [x', grad; 0, x']."""
        (x,) = ctx.saved_tensors
        n, turned = x.shape[-1], x.double().mT
        upper = torch.cat([turned, grad.double()], -1)
        lower = torch.cat([torch.zeros_like(turned), turned], -1)
        return _exponential(torch.cat([upper, lower], -2))[..., :n, n:].to(x.dtype)


@composes("linalg_matrix_exp", "matrix_exp")
def _matrix_exp(x: torch.Tensor) -> torch.Tensor:
    return _Exponential.apply(x)  # type: ignore[no-any-return]


def _no_errors(x: torch.Tensor) -> torch.Tensor:
    """What eager mode says of each matrix: that nothing is wrong."""
    return torch.zeros(x.shape[:-2], dtype=torch.int32)


@composes("_linalg_check_errors")
def _check_errors(info: torch.Tensor, *_: Any, **__: Any) -> None:
    """What is wrong with a matrix shows in the result."""


@composes("linalg_inv_ex")
def _inv(x: torch.Tensor, *, check_errors: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    return _Inverse.apply(x), _no_errors(x)


@composes("linalg_det", "det")
def _det(x: torch.Tensor) -> torch.Tensor:
    return _Determinant.apply(x)  # type: ignore[no-any-return]


@composes("linalg_slogdet", "slogdet")
def _slogdet(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return _LogDeterminant.apply(x)  # type: ignore[no-any-return]


@composes("logdet")
def _logdet(x: torch.Tensor) -> torch.Tensor:
    sign, size = _LogDeterminant.apply(x)
    return torch.where(sign < 0, torch.nan, size)


@composes("linalg_cholesky_ex")
def _cholesky_ex(x: torch.Tensor, *, upper: bool = False, check_errors: bool = False) -> tuple[torch.Tensor, ...]:
    factor = _Cholesky.apply(x.mT if upper else x)
    return factor.mT if upper else factor, _no_errors(x)


@composes("cholesky")
def _cholesky(x: torch.Tensor, upper: bool = False) -> torch.Tensor:
    return _cholesky_ex(x, upper=upper)[0]


@composes("linalg_solve_ex")
def _solve_ex(
    a: torch.Tensor, b: torch.Tensor, *, left: bool = True, check_errors: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """By the inverse, which is in double precision."""
    vector = b.dim() == 1 or (a.dim() - 1 == b.dim() and b.shape == a.shape[:-1])
    inverse = _Inverse.apply(a.double())
    right = (b.unsqueeze(-1) if vector else b).double()
    found = inverse @ right if left else right @ inverse
    return (found.squeeze(-1) if vector else found).to(a.dtype), _no_errors(a)


@composes("linalg_solve_triangular")
def _solve_triangular(
    x: torch.Tensor, b: torch.Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> torch.Tensor:
    if not left:
        return _solve_triangular(x.mT, b.mT, upper=not upper, unitriangular=unitriangular).mT
    batch = torch.broadcast_shapes(x.shape[:-2], b.shape[:-2])
    matrix, right = x.expand(*batch, *x.shape[-2:]), b.expand(*batch, *b.shape[-2:])
    return _Triangular.apply(matrix, right, upper, unitriangular)  # type: ignore[no-any-return]


@composes("triangular_solve")
def _triangular_solve(
    b: torch.Tensor, a: torch.Tensor, upper: bool = True, transpose: bool = False, unitriangular: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    matrix = a.mT if transpose else a
    return _solve_triangular(matrix, b, upper=upper != transpose, unitriangular=unitriangular), a.clone()


@composes("cholesky_solve")
def _cholesky_solve(b: torch.Tensor, factor: torch.Tensor, upper: bool = False) -> torch.Tensor:
    lower = factor.mT if upper else factor
    return _solve_triangular(lower.mT, _solve_triangular(lower, b, upper=False), upper=True)


@composes("cholesky_inverse")
def _cholesky_inverse(factor: torch.Tensor, upper: bool = False) -> torch.Tensor:
    return _cholesky_solve(torch.eye(factor.shape[-1], dtype=factor.dtype), factor, upper)
