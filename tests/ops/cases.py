# SPDX-License-Identifier: Apache-2.0
"""What a case of the op suite is: a function of tensors, and inputs described by shape, kind and layout in memory.

A table file fills ROWS, one row for each traced op of src/ir/traced.def. A case names no tolerance: that belongs to the
class of its row (tolerances.py). Inputs are made from the name of the case, so every run meets the same numbers.
"""

import zlib
from dataclasses import dataclass, field, replace

import torch


@dataclass(frozen=True)
class In:
    """One input: shape, kind of values, layout.

    kind: normal; positive (0.5..2); unit (-0.9..0.9); away (0.5..2 with either sign); prob (0.05..0.95); apart (all
    different, none near 0, in random order); offgrid (away from integers and halves); ties (few different values); int
    and bool. `low`, `high` are the range of int. layout: how the module sees it: plain, transposed, strided, expanded.
    """

    shape: tuple
    kind: str = "normal"
    low: int = -5
    high: int = 6
    grad: bool = True
    dtype: torch.dtype | None = None
    layout: str = "plain"

    @property
    def is_float(self):
        return self.kind not in ("int", "bool")

    def stored_shape(self):
        """Shape of the tensor that is given to the module, before `seen` makes the view."""
        if self.layout == "transposed":
            return tuple(reversed(self.shape))
        if self.layout == "strided":
            return (*self.shape[:-1], 2 * self.shape[-1])
        if self.layout == "expanded":
            return (1, *self.shape[1:])
        return self.shape

    def seen(self, tensor):
        """The view of the stored tensor that the op gets."""
        if self.layout == "transposed":
            return tensor.permute(*range(tensor.dim() - 1, -1, -1))
        if self.layout == "strided":
            return tensor[..., ::2]
        if self.layout == "expanded":
            return tensor.expand(self.shape)
        return tensor


def N(*shape, **more):
    return In(shape, **more)


def P(*shape, **more):
    return In(shape, "positive", **more)


def U(*shape, **more):
    return In(shape, "unit", **more)


def W(*shape, **more):
    return In(shape, "away", **more)


def Q(*shape, **more):
    return In(shape, "prob", **more)


def A(*shape, **more):
    return In(shape, "apart", **more)


def O(*shape, **more):  # noqa: E743 - one letter a kind
    return In(shape, "offgrid", **more)


def T(*shape, **more):
    return In(shape, "ties", **more)


def I(high, *shape, low=0, **more):  # noqa: E743
    return In(shape, "int", low=low, high=high, grad=False, **more)


def B(*shape, **more):
    return In(shape, "bool", grad=False, **more)


def _numbers(spec, shape, generator):
    count = 1
    for size in shape:
        count *= size
    uniform = torch.rand(count, generator=generator, dtype=torch.float64)
    if spec.kind == "normal":
        values = torch.randn(count, generator=generator, dtype=torch.float64)
    elif spec.kind == "positive":
        values = 0.5 + 1.5 * uniform
    elif spec.kind == "unit":
        values = 1.8 * uniform - 0.9
    elif spec.kind == "away":
        values = (0.5 + 1.5 * uniform) * (torch.randint(2, (count,), generator=generator) * 2 - 1)
    elif spec.kind == "prob":
        values = 0.05 + 0.9 * uniform
    elif spec.kind == "apart":
        steps = torch.linspace(-2.0, 2.0, count + 2, dtype=torch.float64)[1:-1] + 0.31 / (count + 2)
        values = steps[torch.randperm(count, generator=generator)]
    elif spec.kind == "offgrid":
        values = torch.randint(-3, 4, (count,), generator=generator) + 0.1 + 0.3 * uniform
    elif spec.kind == "ties":
        values = torch.randint(-2, 3, (count,), generator=generator).double() / 2
    elif spec.kind == "int":
        values = torch.randint(spec.low, spec.high, (count,), generator=generator)
    elif spec.kind == "bool":
        values = torch.randint(2, (count,), generator=generator).bool()
    else:
        raise ValueError(f"unknown kind of input: {spec.kind}")
    return values.reshape(shape)


@dataclass(frozen=True)
class Case:
    """`function` applied to `inputs` (as the layouts show them). `smooth` False: no finite differences."""

    row: str
    label: str
    function: object
    inputs: tuple
    smooth: bool = True
    params: frozenset = field(default_factory=frozenset)  # positions of inputs that are parameters of the module
    forward_only: bool = False

    @property
    def id(self):
        return f"{self.row}-{self.label}"

    def make_inputs(self, dtype):
        """Stored tensors, floats in `dtype`: the same numbers for every dtype, rounded to float32 at most."""
        tensors = []
        for index, spec in enumerate(self.inputs):
            generator = torch.Generator().manual_seed(zlib.crc32(f"{self.id}/{index}".encode()))
            values = _numbers(spec, spec.stored_shape(), generator)
            if spec.is_float:
                values = values.float().to(spec.dtype or dtype)
            elif spec.dtype is not None:
                values = values.to(spec.dtype)
            tensors.append(values)
        return tensors


class Row:
    """All cases of one traced op. `also`: further dtypes in which a few cases run forward only."""

    def __init__(self, name, klass, also):
        self.name, self.klass, self.also, self.cases = name, klass, also, []

    def add(self, function, *inputs, smooth=True, label=None, forward_only=False):
        number = len(self.cases)
        label = label or f"{number}-" + "_".join("x".join(map(str, spec.shape)) or "scalar" for spec in inputs)
        # Every other case makes parameters of all differentiable inputs but the first.
        differentiable = frozenset(i for i, spec in enumerate(inputs) if i > 0 and spec.is_float and spec.grad)
        params = differentiable if number % 2 else frozenset()
        self.cases.append(Case(self.name, label, function, inputs, smooth, params, forward_only))
        return self

    def add_layouts(self, function, *inputs, smooth=True, forward_only=False):
        """The case with its first input transposed, strided, and with the last one (if there are two) expanded."""
        for layout, position in (("transposed", 0), ("strided", 0), ("expanded", len(inputs) - 1)):
            spec = inputs[position]
            if not spec.shape:
                continue
            changed = list(inputs)
            changed[position] = replace(spec, layout=layout)
            number = len(self.cases)
            self.add(function, *changed, smooth=smooth, label=f"{number}-{layout}", forward_only=forward_only)
        return self


ROWS: dict[str, Row] = {}


def row(name, klass, *also):
    """A new row. `klass` is its class in tolerances.py."""
    if name in ROWS:
        raise ValueError(f"two rows named {name}")
    ROWS[name] = Row(name, klass, also)
    return ROWS[name]


class OpModule(torch.nn.Module):
    """The module of one case: parameters, views of the inputs, the op. Always returns a tuple."""

    def __init__(self, case, tensors):
        super().__init__()
        self.case = case
        for position in sorted(case.params):
            self.register_parameter(f"p{position}", torch.nn.Parameter(tensors[position].clone()))

    def forward(self, *inputs):
        given = iter(inputs)
        seen = []
        for position, spec in enumerate(self.case.inputs):
            tensor = getattr(self, f"p{position}") if position in self.case.params else next(given)
            seen.append(spec.seen(tensor))
        results = self.case.function(*seen)
        return tuple(results) if isinstance(results, (tuple, list)) else (results,)
