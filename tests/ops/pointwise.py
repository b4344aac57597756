# SPDX-License-Identifier: Apache-2.0
"""Every element-wise function that torch has, found by asking its registry and trying each function once.

A function is element-wise when it takes one to three tensors (and numbers), gives one tensor of their shape, and
commutes with a permutation of the elements. So a new one is found by itself, and losses without reduction are, too.
"""

import itertools
import warnings
from dataclasses import dataclass

import torch

PROBE = 16  # elements
# Optional arguments that make another function of it, and the values that do.
_VARIANTS = {"rounding_mode": ("trunc", "floor"), "approximate": ("none", "tanh"), "reduction": (0,)}
# Families that hold no element-wise function of ordinary tensors, or that warn or abort on operands not their own.
_OTHERS = ("fbgemm", "mkldnn", "quant", "fake_", "q_", "sparse", "to_", "fft", "linalg", "stft", "istft", "cholesky",
           "miopen", "cudnn", "lu_", "nuclear", "cross", "mT", "mH", "numpy_T", "matrix_H", "adjoint", "chalf",
           "cfloat", "cdouble")  # fmt: skip


@dataclass(frozen=True)
class Pointwise:
    """`overload` called with tensors where `pattern` says Tensor and with numbers elsewhere."""

    overload: object
    pattern: tuple
    keywords: tuple = ()

    @property
    def name(self):
        plain = str(self.overload).removeprefix("aten.").removesuffix(".default")
        return plain + "".join(f"[{value}]" for _, value in self.keywords)

    @property
    def tensors(self):
        return self.pattern.count("Tensor")

    @property
    def numbers(self):
        """How many numbers of any value it takes."""
        return self.pattern.count("number") + self.pattern.count("float")

    def bind(self, numbers):
        """A function of tensors; `numbers` are given for the arguments that may be any number."""
        given = iter(numbers)
        fixed = [next(given) if kind in ("number", "float") else 2 for kind in self.pattern if kind != "Tensor"]

        def call(*tensors):
            operands, rest = iter(tensors), iter(fixed)
            return self.overload(
                *[next(operands if kind == "Tensor" else rest) for kind in self.pattern], **dict(self.keywords)
            )

        return call


def _overloads():
    names = {name.split("::")[1].split(".")[0] for name in torch._C._dispatch_get_all_op_names() if "aten::" in name}
    for name in sorted(names):
        if name.startswith(("_", *_OTHERS)) or name.endswith(("_", "_backward", "_jvp", "_copy")):
            continue
        packet = getattr(torch.ops.aten, name, None)
        for overload in packet.overloads() if hasattr(packet, "overloads") else ():
            yield getattr(packet, overload)


def _candidates(overload):
    """The forms of `overload` that take tensors and numbers and give one tensor."""
    arguments = overload._schema.arguments
    pattern = tuple(str(argument.type) for argument in arguments if not argument.has_default_value())
    if any(argument.alias_info is not None and argument.alias_info.is_write for argument in arguments):
        return
    if [str(result.type) for result in overload._schema.returns] != ["Tensor"] or not 1 <= pattern.count("Tensor") <= 3:
        return
    if set(pattern) - {"Tensor", "number", "float", "int", "Optional[str]"}:
        return
    names = [argument.name for argument in arguments if argument.name in _VARIANTS]
    if "Optional[str]" in pattern and "rounding_mode" not in names:
        return
    pattern = tuple(kind for kind in pattern if kind != "Optional[str]")
    for values in itertools.product(*[_VARIANTS[name] for name in names]):
        yield Pointwise(overload, pattern, tuple(zip(names, values, strict=True)))


def _probes(count):
    """Ordinary operands, floats, integers and truth values; for functions that ask for truth, too."""
    floats = torch.linspace(0.05, 0.95, PROBE, dtype=torch.float64)
    whole = torch.arange(1, PROBE + 1)
    truth = whole % 3 == 0
    sets = [[floats.roll(shift) for shift in range(count)], [whole.roll(shift) for shift in range(count)]]
    if count > 1:
        sets.append([truth, *[floats.roll(shift) for shift in range(1, count)]])
        sets.append([floats, truth, *[floats.roll(shift) for shift in range(2, count)]])
    return sets


def _commutes(pointwise):
    call = pointwise.bind([0.75] * pointwise.numbers)
    order = torch.arange(PROBE - 1, -1, -1).roll(5)
    for operands in _probes(pointwise.tensors):
        try:
            plain, moved = call(*operands), call(*[operand[order] for operand in operands])
        except (RuntimeError, TypeError, ValueError, IndexError, NotImplementedError):
            continue
        if plain.is_complex() or plain.layout != torch.strided or plain.shape != (PROBE,) or moved.dtype != plain.dtype:
            continue
        if torch.equal(plain[order], moved):
            return True
    return False


def functions():
    """All element-wise functions of torch, by name."""
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for overload in _overloads():
            found += [candidate for candidate in _candidates(overload) if _commutes(candidate)]
    return found
