# SPDX-License-Identifier: Apache-2.0
"""How far results may be from PyTorch's: the largest difference over the largest element of the tensor.

One line a class of rows. fp32: the engine against PyTorch; fp64: evaluation and engine against PyTorch. 0 means
equal values. docs/tolerances.md shows this table (`python tests/ops/tolerances.py` prints it).
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerance:
    value32: float
    gradient32: float
    value64: float
    gradient64: float
    why: str


CLASSES = {
    "exact": Tolerance(0.0, 2e-6, 0.0, 1e-14, "moves or compares elements; gradients may add up in another order"),
    "rounded": Tolerance(
        2e-7, 2e-6, 1e-15, 1e-14, "one IEEE operation an element; gradients may add up in another order"
    ),
    "single": Tolerance(2e-7, 1e-6, 1e-7, 1e-7, "PyTorch keeps a constant of it in single precision"),
    "function": Tolerance(1e-6, 4e-6, 1e-14, 1e-13, "our polynomials against PyTorch's vector library"),
    "reduction": Tolerance(1e-6, 4e-6, 1e-14, 1e-13, "sums in another order"),
    "composite": Tolerance(4e-6, 1e-5, 1e-13, 1e-12, "several functions and reductions in a row"),
    "product": Tolerance(4e-6, 1e-5, 1e-13, 1e-12, "dot products of up to a thousand terms, in another order"),
}
# Forward only, relative to the largest element: one rounding of the result to the narrow type and one of an operand.
NARROW = {"bfloat16": 1.6e-2, "float16": 2e-3}
# Directional derivative in fp64: (f(x + hv) - f(x - hv)) / 2h against the gradient, over the larger of both and 1.
FINITE_DIFFERENCE_STEP = 1e-6
FINITE_DIFFERENCE = 2e-6
# The engine against the reference evaluation in fp32.
ENGINE_TO_EVAL32 = {name: max(4e-7, tolerance.value32) for name, tolerance in CLASSES.items()}


def markdown():
    """The table as Markdown."""
    lines = [
        "| class | value f32 | gradient f32 | value f64 | gradient f64 | why |",
        "|---|---|---|---|---|---|",
    ]
    for name, t in CLASSES.items():
        lines.append(f"| {name} | {t.value32:g} | {t.gradient32:g} | {t.value64:g} | {t.gradient64:g} | {t.why} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(markdown())
