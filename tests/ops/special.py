# SPDX-License-Identifier: Apache-2.0
"""Special values of every dtype, cases made of them, and how results are compared there.

A case is an element-wise function on all special values, or on all their pairs or triples. Many cases are compiled as
one program: each has inputs of its own, so that gradients do not mix.
"""

import itertools
import math
import os
import warnings
from dataclasses import dataclass, field

import torch

from . import engine

INF, NAN = math.inf, math.nan
FLOATS = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
INTEGERS = (torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64, torch.bool)
# Finite values may differ by this much of themselves; gradients by this much of the seed, too (1 - y*y, 1 + erf).
VALUE = {torch.float32: 4e-6, torch.float64: 1e-13, torch.bfloat16: 1.6e-2, torch.float16: 2e-3}
GRADIENT = {torch.float32: 1e-5, torch.float64: 1e-12, torch.bfloat16: 3.2e-2, torch.float16: 4e-3}
# What counts as zero: smaller values may be lost on the way, on either side.
LOST = {torch.float32: 2e-36, torch.float64: 1e-305, torch.bfloat16: 2e-36, torch.float16: 2.4e-7}
SEEDS = (1.0, -1.5, 0.0)
CASES_PER_PROGRAM = 24
_UNARY = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 6.0, 10.0, 13.0, 20.0, 21.0, 45.0, 86.0, 105.0, 1000.0)
_PAIR = (0.5, 1.0, 1.5, 2.0, 3.0, 7.0)
_TRIPLE = (1.0, 2.5)


def floats(dtype, finite, denormals=True):
    """Both zeros, infinities, NaN, the largest, and with `denormals` the smallest of both kinds, around `finite`."""
    info = torch.finfo(dtype)
    tiny = [info.tiny, info.smallest_normal * info.eps] if denormals else []
    positive = [0.0, *tiny, *finite, info.max, INF]
    return torch.tensor([*positive, *[-x for x in positive], NAN], dtype=torch.float64).to(dtype)


def integers(dtype, few=False):
    if dtype is torch.bool:
        return torch.tensor([False, True])
    info = torch.iinfo(dtype)
    middle = (0, 1, 2, -1, -3) if few else (0, 1, 2, 3, 7, 8, 31, 32, 33, 63, 64, -1, -2, -3, -8)
    found = {x for x in (*middle, info.min, info.min + 1, info.max) if info.min <= x <= info.max}
    return torch.tensor(sorted(found), dtype=dtype)


def values(dtype, operands):
    """The special values of `dtype` for a function of so many operands."""
    if not dtype.is_floating_point:
        return integers(dtype, operands > 2)
    return floats(dtype, (_UNARY, _PAIR, _TRIPLE)[operands - 1], operands < 3)


def numbers(dtype):
    """Numbers that a program may write where an operand could be a tensor."""
    if dtype is torch.bool:
        return (True, False)
    if not dtype.is_floating_point:
        return (0, 1, -1, 2, 3, -3)
    return (0.0, -0.0, 1.0, -1.0, 2.0, 3.0, 0.5, -0.5, -2.0, 2.5, -3.0, INF, -INF, NAN)


def products(dtypes):
    """All combinations of special values, one column an operand."""
    columns = [values(dtype, len(dtypes)) for dtype in dtypes]
    places = torch.tensor(list(itertools.product(*[range(len(column)) for column in columns])))
    return [column[places[:, i]] for i, column in enumerate(columns)]


@dataclass
class Case:
    """`function` on `operands`, and what eager PyTorch makes of them.

    `each`: the function works element by element on operands of one length, so that elements can be left out.
    """

    name: str
    function: object
    operands: list
    each: bool = True
    output: torch.Tensor = None
    seed: torch.Tensor = None
    gradients: list = field(default_factory=list)

    def given(self, number):
        found = {f"x{number}_{i}": operand for i, operand in enumerate(self.operands)}
        return found | ({} if self.seed is None else {f"y{number}__seed": self.seed})

    def expected(self, number):
        """Outputs and gradients by the names of the program that holds the case as its `number`th."""
        found = {f"y{number}": self.output}
        if self.seed is not None:
            found |= {f"x{number}_{i}__grad": gradient for i, gradient in enumerate(self.gradients)}
        return {name: tensor for name, tensor in found.items() if tensor is not None}

    def describe(self, place):
        """The operands of element `place`, where there is such a thing."""
        return f"({', '.join(repr(operand[place].item()) for operand in self.operands)})" if self.each else f"[{place}]"


def eager(case):
    """`case` with what PyTorch computes; None where it refuses the dtypes. Elements that it refuses are left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if case.each and not _keep_accepted(case):
            return None
        try:
            _differentiate(case)
        except (RuntimeError, NotImplementedError):  # no derivative
            case.output, case.seed, case.gradients = case.function(*case.operands), None, []
    if case.output.is_complex() or (case.each and case.output.shape != case.operands[0].shape):
        return None
    return case


def _accepts(case, first, last):
    try:
        case.function(*[operand[first:last] for operand in case.operands])
    except (RuntimeError, TypeError, NotImplementedError):
        return False
    return True


def _keep_accepted(case):
    """Leaves out the elements that PyTorch refuses; false when it refuses all."""
    count = len(case.operands[0])
    if _accepts(case, 0, count):
        return True
    if not _accepts(case, 0, 0):
        return False
    keep = [place for place in range(count) if _accepts(case, place, place + 1)]
    case.operands = [operand[keep] for operand in case.operands]
    return bool(keep)


def _differentiate(case):
    leaves = [x.clone().requires_grad_(x.is_floating_point()) for x in case.operands]
    output = case.function(*leaves)
    case.output = output.detach()
    if not output.requires_grad:
        return
    pattern = torch.tensor(SEEDS, dtype=output.dtype)
    seed = pattern[torch.arange(output.numel()) % len(SEEDS)].reshape(output.shape)
    wanted = [leaf for leaf in leaves if leaf.requires_grad]
    found = iter(torch.autograd.grad(output, wanted, seed, allow_unused=True))
    found = (None if x is None or x._is_zerotensor() else x for x in found)  # zeros that no slope turns into NaN
    gradients = [next(found) if leaf.requires_grad else None for leaf in leaves]
    if any(gradient is not None for gradient in gradients):
        case.seed, case.gradients = seed, gradients


class _Packed(torch.nn.Module):
    def __init__(self, cases):
        super().__init__()
        self.cases = cases

    def forward(self, *operands):
        given = iter(operands)
        return tuple(case.function(*[next(given) for _ in case.operands]) for case in self.cases)


def trace(cases):
    """One program of all cases; raises what tracing raises."""
    symbols = []
    for number, case in enumerate(cases):
        for i, operand in enumerate(case.operands):
            differentiable = case.seed is not None and case.gradients[i] is not None
            symbols.append((f"x{number}_{i}", "input", operand.clone(), differentiable))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return engine.trace(_Packed(cases), symbols, [case.seed is not None for case in cases])


def wrong(expected, found, tolerance, scale=0.0, lost=None, signed_zero=True):
    """Places where `found` is not what PyTorch has: NaN, infinity and the sign of zero exactly."""
    if expected.dtype != found.dtype or expected.shape != found.shape:
        raise AssertionError(f"expected {expected.dtype} {expected.shape}, found {found.dtype} {found.shape}")
    if not expected.is_floating_point():
        return expected != found
    a, b, lost = expected.double(), found.double(), LOST[expected.dtype] if lost is None else lost
    same = (a == b) & ((a != 0) | (a.signbit() == b.signbit()) | (not signed_zero))
    near = a.isfinite() & b.isfinite() & ((a - b).abs() <= tolerance * (a.abs() + scale) + lost) & (a != b)
    return ~(same | near | (a.isnan() & b.isnan()))


@dataclass(frozen=True)
class Difference:
    """One element that is not PyTorch's. part: y, or dx0, dx1, ... for gradients; want, got: numbers."""

    case: Case
    evaluator: str
    part: str
    place: object
    want: object
    got: object

    def __str__(self):
        seed = "" if self.part == "y" or not self.case.each else f" for dy={self.case.seed[self.place].item()}"
        at = f"{self.case.name}{self.case.describe(self.place)}"
        return f"{self.evaluator}: {self.part} of {at}{seed}: PyTorch {self.want!r}, here {self.got!r}"


def compare(cases, evaluator, results, tolerances, signed_zero=True):
    """Differences between PyTorch and `results`. `tolerances(case)`: of value and gradient, and the value's scale."""
    for number, case in enumerate(cases):
        value, gradient, value_scale = tolerances(case)
        for name, want in case.expected(number).items():
            is_gradient = name.endswith("__grad")
            part = f"dx{name.split('_')[1]}" if is_gradient else "y"
            scale = case.seed.double().abs().max() if is_gradient else value_scale
            allowed = gradient if is_gradient else value
            places = wrong(want, results[name], allowed, scale, signed_zero=signed_zero).nonzero().tolist()
            for place in places:
                where = place[0] if case.each else tuple(place)
                yield Difference(case, evaluator, part, where, want[where].item(), results[name][where].item())


def check(cases, folder, tolerances, isa=None, signed_zero=True):
    """Differences of the cases, as one program, run by the engine and by the reference evaluation.

    With `isa`, the engine's results on that level must be the same, too.
    """
    traced, given, path = trace(cases), {}, os.path.join(folder, "special.pef")
    for number, case in enumerate(cases):
        given |= case.given(number)
    native = engine.Program(traced, path).run(given)
    if isa is not None:
        for name, found in engine.Program(traced, path, isa=isa).run(given).items():
            assert not wrong(native[name], found, 0.0, lost=0.0).any(), (
                f"{name} differs on {isa}: {[case.name for case in cases]}"
            )
    yield from compare(cases, "engine", native, tolerances, signed_zero)
    yield from compare(cases, "eval", engine.evaluate(traced, given), tolerances, signed_zero)
