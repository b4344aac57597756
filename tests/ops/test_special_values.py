# SPDX-License-Identifier: Apache-2.0
"""Every element-wise function that the SDK traces, at zeros, denormals, borders, infinities and NaN, and their pairs.

Values and gradients, by the engine and by the reference evaluation, are eager PyTorch's: NaN, infinity and the sign of
zero exactly, finite values within docs/tolerances.md. The functions are found by asking torch (pointwise.py).
"""

import functools
import math
import re

import pytest
import torch

from . import engine, special
from .cases import ROWS
from .pointwise import functions
from .test_ops import TRACED_OPS
from .tolerances import CLASSES

# Without vector code PyTorch does not fuse multiplications and additions (lerp, addcmul), which shows at infinities.
NO_VECTORS = torch.backends.cpu.get_cpu_capability() == "DEFAULT"
pytestmark = pytest.mark.skipif(NO_VECTORS, reason="PyTorch has no vector code")

# No functions of their operands' values, random, or (gcd, lcm) deadly in eager PyTorch.
NO_FUNCTIONS = ("binomial", "rrelu", "empty_like", "ones_like", "zeros_like", "full_like", "fill", "zero",
                "set.", "resize_as", "norm_except_dim", "argsort", "bernoulli", "lift", "nanquantile", "gcd",
                "lcm")  # fmt: skip
# 1 + erf and 1 + tanh lose the tail, and the larger operand may cancel what log2 adds to it: there the operand is the
# scale of what may be lost.
CANCELS = ("gelu", "logaddexp2")
LEAST_BY_MINUS_ONE = ("div", "divide", "floor_divide")  # ends the process in eager PyTorch


def _remainder_of_far_quotient(d):
    """torch's vector library gives NaN when the quotient has more bits than its mantissa; ours is exact."""
    return math.isnan(d.want) and all(math.isfinite(x) for x in _operands(d))


def _overflows_early(d):
    """torch is infinite where the result is not: cosh and sinh from 88.7 on; exp of a narrow loss before its log."""
    return math.isinf(d.want) and math.isfinite(d.got)


def _not_a_number_as_literal(d):
    """With the number NaN for y, torch has gradient 0 at x = 0; with a tensor it has NaN, and so have we."""
    return d.case.operands[0][d.place] == 0 and math.isnan(d.got)


def _cancels_to_zero(d):
    """torch fuses a multiplication with the addition that cancels: what is left may round to -0."""
    return d.part == "y" and d.want == 0 and d.got == 0


def _cancels_in_an_exponent(d):
    """Far below 0 torch's slope is exp(-y - x * x / 2). The true one lies between -x and -x - 1 / x."""
    (x,), seed = _operands(d), d.case.seed[d.place].item()
    if d.part == "y" or x > -10:
        return False
    return math.isnan(d.want) or -x * (1 - 1e-6) <= d.got / seed <= (-x - 1 / x) * (1 + 1e-6)


# Where we differ on purpose, by name; what the function says must hold of each difference.
EXCEPTIONS = {
    "fmod": _remainder_of_far_quotient,
    "remainder": _remainder_of_far_quotient,
    "cosh": _overflows_early,
    "sinh": _overflows_early,
    "xlogy": _not_a_number_as_literal,
    "xlog1py": _not_a_number_as_literal,
    "logaddexp2": _cancels_to_zero,
    "soft_margin_loss": _overflows_early,
    "log_ndtr": _cancels_in_an_exponent,
}


def _operands(d):
    numbers = [float(x) for x in re.findall(r"-?(?:inf|nan|[\d.]+(?:e-?\d+)?)", d.case.name.partition("(")[2])]
    return [operand[d.place].item() for operand in d.case.operands] + numbers


def _family(name):
    return re.split(r"[.\[(]", name)[0]


def _excepted(difference):
    holds = EXCEPTIONS.get(_family(difference.case.name).removeprefix("special_"))
    return holds is not None and holds(difference)


def _tolerances(case):
    dtype = case.output.dtype
    value, gradient = special.VALUE.get(dtype, 0.0), special.GRADIENT.get(dtype, 0.0)
    row = ROWS.get(_family(case.name))
    if row is not None and row.klass == "single" and dtype == torch.float64:
        value, gradient = CLASSES["single"].value64, CLASSES["single"].gradient64
    scale = case.operands[0].double().abs().clamp(max=10.0) if _family(case.name) in CANCELS else 0.0
    return value, gradient, scale


def _without_fatal_pairs(name, operands, numbers):
    """PyTorch's integer division of the least number by -1 ends the process: no such elements (we give what wraps)."""
    dtype = operands[0].dtype
    if dtype.is_floating_point or dtype is torch.bool or _family(name) not in LEAST_BY_MINUS_ONE:
        return operands
    least = torch.iinfo(dtype).min
    by = operands[1] if len(operands) > 1 else torch.full_like(operands[0], numbers[0] if numbers else 1)
    keep = ~((operands[0] == least) & (by == -1))
    return [operand[keep] for operand in operands]


def _cases_of(function, dtype):
    """All cases of `function` with operands of `dtype`, or with a truth value as one of them where it wants that."""
    count, found = function.tensors, []
    forms = [[dtype] * count]
    if dtype is not torch.bool and count > 1:
        forms += [[torch.bool] + [dtype] * (count - 1), [dtype, torch.bool] + [dtype] * (count - 2)]
    variants = [(number,) * function.numbers for number in special.numbers(dtype)] if function.numbers else [()]
    for form in forms:
        for numbers in variants:
            name = function.name + (str(numbers) if numbers else "")
            operands = _without_fatal_pairs(name, special.products(form), numbers)
            case = special.eager(special.Case(name, function.bind(numbers), operands))
            if case is not None and not (dtype is torch.bool and _family(name) == "pow"):  # only ** 0 and ** 1
                found.append(case)
        if found:
            break
    return found


@functools.cache
def _functions():
    wanted = [function for function in functions() if not function.name.startswith(NO_FUNCTIONS)]
    return [function for function in wanted if "polynomial" not in function.name]  # as many steps as the value says


@functools.cache
def _traced_cases(dtype):
    """Cases of `dtype` that the SDK traces, and the rows of traced.def that they become."""
    before, torch.backends.mkldnn.enabled = torch.backends.mkldnn.enabled, False  # oneDNN has approximations of its own
    try:
        cases, rows = [], set()
        for case in [case for function in _functions() for case in _cases_of(function, dtype)]:
            try:
                traced = special.trace([case])
            except engine.LeatError:
                raise
            except RuntimeError:  # TraceError among them
                continue  # refused, with a message
            cases.append(case)
            rows |= set(re.findall(r"= (\w+)\(", traced.text))
        return cases, rows
    finally:
        torch.backends.mkldnn.enabled = before


@pytest.mark.parametrize(
    "dtype", special.FLOATS + special.INTEGERS, ids=lambda dtype: str(dtype).removeprefix("torch.")
)
def test_functions_have_eagers_special_values(dtype, tmp_folder):
    cases, _ = _traced_cases(dtype)
    assert len({_family(case.name) for case in cases}) > (100 if dtype.is_floating_point else 60)
    isa = "portable" if dtype in (torch.float32, torch.float64) else None
    differences = []
    for first in range(0, len(cases), special.CASES_PER_PROGRAM):
        pack = cases[first : first + special.CASES_PER_PROGRAM]
        differences += [d for d in special.check(pack, tmp_folder, _tolerances, isa) if not _excepted(d)]
    shown = {}
    for difference in differences:
        shown.setdefault((difference.case.name, difference.part, difference.evaluator), difference)
    text = "\n  ".join(str(difference) for difference in list(shown.values())[:40])
    assert not differences, f"{len(differences)} values of {len(shown)} functions differ:\n  {text}"


def test_every_elementwise_row_is_among_them():
    """The rows of traced.def between `unary` and `reductions` are all reached, so that a new one is covered."""
    table = TRACED_OPS.read_text()
    section = table[table.index("// unary") : table.index("// reductions")]
    names = set(re.findall(r'^TRACED\(\w+, +"(\w+)"', section, re.MULTILINE))
    reached = set().union(*[_traced_cases(dtype)[1] for dtype in (torch.float32, torch.int32, torch.bool)])
    assert names - reached - {"prelu", "clamp"} == set()


def test_there_are_at_most_ten_exceptions():
    assert len(EXCEPTIONS) <= 10


@pytest.mark.parametrize("source", special.FLOATS, ids=lambda dtype: str(dtype).removeprefix("torch."))
def test_floats_become_the_integers_that_eager_has(source, tmp_folder):
    far = (3e9, -3e9, 1e10, 300.7, -300.7, 70000.0, 200.0, 2.0**31, -(2.0**31), 2.0**32 + 5, 2.0**63, 4e18)
    given = special.floats(source, (*special._UNARY, *far))
    cases = [special.eager(special.Case(f"to {to}", lambda x, to=to: x.to(to), [given])) for to in special.INTEGERS]
    differences = list(special.check(cases, tmp_folder, _tolerances, "portable"))
    assert not differences, "\n".join(map(str, differences[:20]))


@pytest.mark.parametrize("dtype", [dtype for dtype in special.INTEGERS if dtype is not torch.bool], ids=str)
def test_integers_divided_by_zero_are_refused_and_the_least_by_minus_one_wraps(dtype, tmp_folder):
    """Eager refuses the first, too, and dies of the second."""
    least = torch.iinfo(dtype).min
    x, by = torch.tensor([5, least, 0], dtype=dtype), torch.tensor([-1, -1, -1]).to(dtype)
    functions = {
        "trunc": lambda x, y: torch.div(x, y, rounding_mode="trunc"),
        "floor": lambda x, y: torch.div(x, y, rounding_mode="floor"),
        "remainder": torch.remainder,
        "fmod": torch.fmod,
    }
    signed = least < 0
    quotient = torch.tensor([-5 if signed else 0, least, 0], dtype=dtype)
    rest = torch.zeros_like(x) if signed else x
    cases = [
        special.Case(name, function, [x, by], output=quotient if name in ("trunc", "floor") else rest)
        for name, function in functions.items()
    ]
    for name, function in functions.items():
        case = special.Case(name, function, [x, torch.tensor([1, 1, 0], dtype=dtype)], output=x)
        with pytest.raises(engine.LeatError, match="is 0 in row 2, and .* divides integers by it"):
            list(special.check([case], tmp_folder, lambda case: (0.0, 0.0, 0.0)))
    differences = list(special.check(cases, tmp_folder, lambda case: (0.0, 0.0, 0.0), "portable"))
    assert not differences, "\n".join(map(str, differences))
