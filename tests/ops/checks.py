# SPDX-License-Identifier: Apache-2.0
"""What is checked of one case, against PyTorch and against finite differences.

fp32: the engine (everything fused) against PyTorch and against the reference evaluation. fp64: reference evaluation and
engine (one op a section) against PyTorch, and the gradients against finite differences of the reference evaluation.
Then, for rows that name further dtypes, values only. A check gives messages; none means that it passed.
"""

import math
import os
import warnings
import zlib
from dataclasses import replace

import torch

from . import engine
from .cases import OpModule
from .tolerances import CLASSES, ENGINE_TO_EVAL32, FINITE_DIFFERENCE, FINITE_DIFFERENCE_STEP, NARROW

DIRECTIONS = 2


class Reference:
    """A case run by PyTorch: inputs, outputs, seeds, gradients."""

    def __init__(self, case, dtype, differentiate=True):
        self.case, self.dtype = case, dtype
        self.tensors = case.make_inputs(dtype)
        self.module = OpModule(case, self.tensors)
        self.leaves = [
            getattr(self.module, f"p{i}") if i in case.params else tensor for i, tensor in enumerate(self.tensors)
        ]
        self.has_gradient = [differentiate and spec.is_float and spec.grad for spec in case.inputs]
        for leaf, wanted in zip(self.leaves, self.has_gradient, strict=True):
            leaf.requires_grad_(bool(wanted))
        inputs = [leaf for i, leaf in enumerate(self.leaves) if i not in case.params]
        self.outputs = self.module(*inputs)
        self.seeded = [bool(output.requires_grad) for output in self.outputs]
        if not any(self.seeded):
            self.has_gradient = [False] * len(self.leaves)
        self.seeds = {}
        for index, output in enumerate(self.outputs):
            if self.seeded[index]:
                generator = torch.Generator().manual_seed(zlib.crc32(f"{case.id}/seed{index}".encode()))
                seed = torch.randn(output.shape, generator=generator, dtype=torch.float64).float()
                self.seeds[f"y{index}__seed"] = seed.to(output.dtype)

    def given(self):
        """Everything that Leat is given: symbols and seeds by name."""
        return {**{f"x{i}": leaf.detach() for i, leaf in enumerate(self.leaves)}, **self.seeds}

    def expected(self):
        """Outputs and gradients by the names of engine.py."""
        found = {f"y{index}": output.detach() for index, output in enumerate(self.outputs)}
        wanted = [(i, leaf) for i, leaf in enumerate(self.leaves) if self.has_gradient[i]]
        if wanted:
            seeded = [output for output, has_seed in zip(self.outputs, self.seeded, strict=True) if has_seed]
            gradients = torch.autograd.grad(
                seeded, [leaf for _, leaf in wanted], list(self.seeds.values()), allow_unused=True
            )
            for (index, leaf), gradient in zip(wanted, gradients, strict=True):
                found[f"x{index}__grad"] = torch.zeros_like(leaf) if gradient is None else gradient
        return found

    def trace(self):
        symbols = []
        for index, leaf in enumerate(self.leaves):
            kind = "param" if index in self.case.params else "input"
            symbols.append((f"x{index}", kind, leaf, self.has_gradient[index]))
        return engine.trace(self.module, symbols, self.seeded)


def difference(expected, found):
    """Largest difference over the largest finite element, and a text about the worst element."""
    if expected.shape != found.shape or expected.dtype != found.dtype:
        return math.inf, f"expected {expected.dtype} {tuple(expected.shape)}, found {found.dtype} {tuple(found.shape)}"
    if not expected.numel():
        return 0.0, ""
    a, b = expected.double(), found.double()
    both_nan = a.isnan() & b.isnan()
    delta = torch.where((a == b) | both_nan, 0.0, (a - b).abs()).nan_to_num(nan=math.inf, posinf=math.inf)
    finite = a[a.isfinite()]
    scale = float(finite.abs().max()) if finite.numel() else 1.0
    worst = int(delta.argmax())
    place = tuple(int(i) for i in torch.unravel_index(torch.tensor(worst), delta.shape)) if delta.dim() else ()
    text = f"at {list(place)} expected {float(a[place]):.9g}, found {float(b[place]):.9g}"
    top = float(delta.max())
    return (top / scale if scale else top), text


def compare(what, expected, found, value_tolerance, gradient_tolerance):
    """Messages about every tensor of `expected` that `found` does not match."""
    messages = []
    for name, want in expected.items():
        tolerance = gradient_tolerance if name.endswith("__grad") else value_tolerance
        error, text = difference(want, found[name])
        if not error <= tolerance:
            messages.append(f"{what}: {name} differs by {error:.2e} (allowed {tolerance:.0e}) {text}")
    return messages


def _has_row(traced, row):
    results = [line.split("=", 1)[1] for line in traced.text.splitlines() if line.startswith("%")]
    return any(result.split("(", 1)[0].strip() == row for result in results)


def check_single(case, klass, folder):
    """fp32: engine against PyTorch and against the reference evaluation."""
    tolerance = CLASSES[klass]
    reference = Reference(case, torch.float32, not case.forward_only)
    traced, given = reference.trace(), reference.given()
    native = engine.Program(traced, os.path.join(folder, "single.pef"), optim_level=3).run(given)
    expected = reference.expected()
    messages = compare("engine f32", expected, native, tolerance.value32, tolerance.gradient32)
    slow = engine.evaluate(traced, given)
    return messages + compare("engine against eval f32", slow, native, ENGINE_TO_EVAL32[klass], tolerance.gradient32)


def check_double(case, klass, folder):
    """fp64: reference evaluation and engine against PyTorch; gradients against finite differences."""
    tolerance = CLASSES[klass]
    reference = Reference(case, torch.float64, not case.forward_only)
    traced, given = reference.trace(), reference.given()
    expected = reference.expected()
    slow = engine.evaluate(traced, given)
    messages = compare("eval f64", expected, slow, tolerance.value64, tolerance.gradient64)
    native = engine.Program(traced, os.path.join(folder, "double.pef"), optim_level=0).run(given)
    messages += compare("engine f64", expected, native, tolerance.value64, tolerance.gradient64)
    if case.smooth and any(reference.has_gradient):
        messages += _finite_differences(reference, traced, given, slow)
    return messages


def _finite_differences(reference, traced, given, slow):
    """Directional derivatives of sum(seed * output)."""
    symbols = [f"x{i}" for i, wanted in enumerate(reference.has_gradient) if wanted]
    messages = []

    def loss(step, direction):
        moved = {name: given[name] + step * direction[name] for name in symbols}
        outputs = engine.evaluate(traced, {**given, **moved}, gradients=False)
        pairs = [(outputs[name[: -len("__seed")]].double(), seed.double()) for name, seed in reference.seeds.items()]
        return sum(float((output * seed).sum()) for output, seed in pairs)

    for number in range(DIRECTIONS):
        generator = torch.Generator().manual_seed(zlib.crc32(f"{reference.case.id}/direction{number}".encode()))
        direction = {name: torch.randn(given[name].shape, generator=generator, dtype=torch.float64) for name in symbols}
        norm = math.sqrt(sum(float((vector**2).sum()) for vector in direction.values())) or 1.0
        direction = {name: vector / norm for name, vector in direction.items()}
        h = FINITE_DIFFERENCE_STEP
        measured = (loss(h, direction) - loss(-h, direction)) / (2 * h)
        claimed = sum(float((slow[f"{name}__grad"].double() * direction[name]).sum()) for name in symbols)
        error = abs(measured - claimed) / max(abs(measured), abs(claimed), 1.0)
        if not error <= FINITE_DIFFERENCE:
            messages.append(f"finite differences: {measured:.9g} measured, {claimed:.9g} claimed ({error:.1e})")
    return messages


def _retyped(case, dtype):
    """`case` with inputs of `dtype`: integers from -5 to 5 where that is an integer type. Values only."""
    inputs = case.inputs
    if not dtype.is_floating_point:
        integers = {"kind": "int", "low": -5, "high": 6, "grad": False, "dtype": dtype}
        inputs = tuple(replace(spec, **integers) if spec.is_float else spec for spec in inputs)
    name = str(dtype).removeprefix("torch.")
    return replace(case, label=f"{case.label}-{name}", inputs=inputs, params=frozenset(), forward_only=True)


def typed_cases(row, count=3):
    """The first `count` cases of `row` in each of its further dtypes."""
    return [(_retyped(case, getattr(torch, name)), name) for name in row.also for case in row.cases[:count]]


def check_typed(case, klass, name, folder):
    """Values in another dtype, engine and reference evaluation against PyTorch."""
    dtype = getattr(torch, name)
    reference = Reference(case, dtype, differentiate=False)
    traced, given, expected = reference.trace(), reference.given(), reference.expected()
    tolerance = 0.0 if klass == "exact" else NARROW.get(name, CLASSES[klass].value32)
    native = engine.Program(traced, os.path.join(folder, "typed.pef")).run(given)
    messages = compare(f"engine {name}", expected, native, tolerance, tolerance)
    return messages + compare(f"eval {name}", expected, engine.evaluate(traced, given), tolerance, tolerance)


def _row_is_traced(row):
    """At least half of the cases must give the row that they are meant for; the others are its degenerate forms."""
    found = sum(_has_row(Reference(case, torch.float32).trace(), row.name) for case in row.cases)
    return [] if 2 * found >= len(row.cases) else [f"{row.name}: only {found} of {len(row.cases)} traces have this row"]


def check_row(row, folder):
    """Runs all cases of `row`; returns (number of cases, messages)."""
    messages, count = [], 0

    def attempt(check, case, *arguments):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = check(case, *arguments, folder)
        except Exception as error:  # one broken case must not hide the others
            found = [f"{type(error).__name__}: {error}"]
        messages.extend(f"{case.id}: {message}" for message in found)

    for case in row.cases:
        attempt(check_single, case, row.klass)
        attempt(check_double, case, row.klass)
        count += 1
    for case, name in typed_cases(row):
        attempt(check_typed, case, row.klass, name)
        count += 1
    if not messages:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            messages += _row_is_traced(row)
    return count, messages
