# SPDX-License-Identifier: Apache-2.0
"""Random programs: source of a module `Program`, grown line by line, each line tried in eager mode before it is kept.

The same seed gives the same program. A program is text, so that one that fails can be read, cut down and kept.
"""

import random
import re

import catalog
import compare
import effects
import torch

HEADER = """import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.utils.checkpoint
from parts import Named, Output, Tripled, finite, once_more, scripted, shaped

SEED = {seed}
TRAINING = {training}

def values(shape, seed):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))

def inputs(step):
    g = torch.Generator().manual_seed(1000 * SEED + step)
    found = [{inputs}]
    return [x[1:] for x in found] if {smaller} and step == 1 else found  # a batch with a row less

class Program(nn.Module):
    def __init__(self):
        super().__init__()
{init}
"""
INPUTS = [
    "torch.randn({shape}, generator=g)",
    "torch.rand({shape}, generator=g)",
    "torch.randint(-3, 8, {shape}, generator=g)",
    "torch.randn({shape}, generator=g).round()",
    "torch.randn({shape}, generator=g).double()",
    "torch.randn({shape}, generator=g) > 0",
    "torch.randint(2 + 5 * (step == 2), {shape}, generator=g)",  # the last step may have indices out of range
    "torch.randn({shape}, generator=g) * torch.tensor([0.0, 1.0, -1.0, 2.0])[torch.randint(4, {shape}, generator=g)]",
]
ELEMENTS_MAX, RANK_MAX, LINES = 2048, 5, (3, 14)
HOLE = re.compile(r"\{(f|o|i|b|t|p|d|n|c|k|name)(\d*)\}")
NUMBERS = ["0.5", "-1.5", "0.0", "2", "1.0", "-0.0", "3.0", "0.1"]


class Program:
    """A program that is growing."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.seed, self.count = seed, 0
        self.training = self.random.random() < 0.6
        shapes = self._shapes()
        makers = [INPUTS[0]] + [self.random.choice(INPUTS) for _ in range(self.random.randint(0, 2))]
        smaller = self.random.random() < 0.15
        batch = self.random.randint(2, 4)
        of_inputs = [(batch,), (batch, 2), (batch, 3), (batch, batch)] if smaller else shapes
        given = [maker.format(shape=self.random.choice(of_inputs)) for maker in makers]
        init = [f"        self.p{i} = nn.Parameter(values({self.random.choice(shapes)}, SEED + {i}))" for i in range(2)]
        init.append("        self.register_buffer('buffer', torch.ones(()))")
        modules = self.random.sample(effects.MODULES, self.random.choice([0, 0, 1, 2]))
        init += [f"        self.m{i} = {made}" for i, (made, _, _) in enumerate(modules)]
        self.calls = [call.replace("M", f"self.m{i}", 1) for i, (_, call, _) in enumerate(modules)]
        self.state = [f"self.m{i}.{name} * 1" for i, (_, _, names) in enumerate(modules) for name in names]
        init.append("        self.attribute, self.counter, self.kept = torch.zeros(()), 0, [torch.zeros(())]")
        self.header = HEADER.format(
            seed=seed, training=self.training, smaller=smaller, inputs=", ".join(given), init="\n".join(init)
        )
        self.lines = []
        self.results = []
        self.space = compare.load(self.header)
        self.module = self.space["Program"]().train(self.training)
        self.names = [f"x{i}" for i in range(len(given))]
        self.local = {"self": self.module, **dict(zip(self.names, self.space["inputs"](0), strict=True))}

    def _shapes(self):
        a, b = (self.random.randint(1, 4) for _ in range(2))
        shapes = [(a, b), (b, a), (b,), (2, a, b), (1, b), (a, a), (2, 4, 4, 4), ()]
        return [shape for shape in shapes if shape] + [self.random.choice(shapes)]

    # ---- growing

    def grow(self):
        wanted = self.random.randint(*LINES)
        families, weights = zip(*((lines, weight) for weight, lines in catalog.FAMILIES.values()), strict=True)
        for _ in range(6 * wanted):
            if len(self.lines) >= wanted:
                break
            draw = self.random.random()
            if draw < 0.08:
                self._try(self._filled(self.random.choice(effects.WRITES)))
            elif draw < 0.11:
                self._try_silent(self.random.choice(effects.SILENT))
            elif draw < 0.13:
                self._try(self._filled(self.random.choice(effects.STATE)))
            elif draw < 0.2 and self.calls:
                self._try_value(self._filled(self.random.choice(self.calls)))
            else:
                lines = self.random.choices(families, weights)[0]
                self._try_value(self._filled(self.random.choice(lines)))
        return self

    def _try_value(self, expression):
        name = f"v{self.count}"
        if expression is None or not self._try(f"{name} = {expression}", name):
            return
        self.count += 1
        self.results.append(name)

    def _try_silent(self, template):
        line = self._filled(template)
        if line is None:
            return
        name = f"v{self.count}" if "{name}" in template else None
        if self._try(f"with torch.no_grad(): {line}", name) and name:
            self.count += 1
            self.results.append(name)

    def _try(self, line, name=None):
        """Keeps the line if eager mode takes it and what it makes is of use."""
        if line is None:
            return False
        try:
            exec(line, self.space, self.local)
        except Exception:
            return False
        if name is not None and not self._useful(self.local.get(name)):
            self.local.pop(name, None)
            return False
        self.lines.append(line)
        if name is not None:
            self.names.append(name)
        return True

    def _useful(self, value):
        if not isinstance(value, torch.Tensor) or value.numel() > ELEMENTS_MAX or value.dim() > RANK_MAX:
            return False
        if value.is_complex():
            return False
        if value.is_floating_point() and value.numel():
            plain = value.detach().float()
            if float(plain.isfinite().float().mean()) < 0.5 or float(plain.nan_to_num(0, 0, 0).abs().max()) > 1e6:
                return self.random.random() < 0.1
        return True

    # ---- holes

    def _filled(self, template):
        chosen = {}

        def fill(match):
            kind, key = match.group(1), match.group(0)
            if key not in chosen:
                chosen[key] = self._choose(kind, chosen)
            return chosen[key]

        try:
            return HOLE.sub(fill, template)
        except LookupError:
            return None

    def _choose(self, kind, chosen):
        if kind == "n":
            return str(self.random.randint(1, 4))
        if kind == "c":
            return self.random.choice(NUMBERS)
        if kind == "p":
            return f"self.p{self.random.randint(0, 1)}"
        if kind == "name":
            return f"v{self.count}"
        if kind in "dk":
            first = next((self.local[name] for key, name in chosen.items() if key[1] in "foibt"), None)
            rank = max(1, first.dim() if first is not None else 1)
            dim = self.random.randint(0, rank - 1)
            if kind == "d":
                return str(dim if self.random.random() < 0.5 else dim - rank)
            return str(self.random.randint(1, 3))
        fitting = [name for name in self.names if self._is(self.local[name], kind)]
        recent = fitting[-4:] if self.random.random() < 0.7 else fitting
        return recent[self.random.randrange(len(recent))] if recent else fitting[0]

    @staticmethod
    def _is(value, kind):
        if kind in "fo":
            return value.is_floating_point() and (kind == "f" or not value._is_view())
        if kind == "b":
            return value.dtype == torch.bool
        if kind == "i":
            return not value.is_floating_point() and value.dtype != torch.bool
        return True

    # ---- text

    def source(self):
        names = ", ".join(f"x{i}" for i in range(len(self.space["inputs"](0))))
        lines = [f"    def forward(self, {names}):", *(f"        {line}" for line in self.lines)]
        kept = self._kept()
        floats = [name for name in kept if self.local[name].is_floating_point() and self.local[name].requires_grad]
        terms = [f"{name}.float().sum() * 0.1" for name in floats] + ["(self.p0 * self.p0).sum()"]
        lines.append(f"        loss = {' + '.join(terms)}")
        lines.append(f"        return {self._returned(kept)}")
        return self.header + "\n".join(lines) + "\n"

    def _kept(self):
        last = self.results[-3:]
        others = [name for name in self.results[:-3] if self.random.random() < 0.3]
        return others + last

    def _returned(self, kept):
        rest = ", ".join(kept) + ("," if kept else "")
        state = ", ".join(["self.buffer * 1", "self.attribute * 1", *self.state])
        return {
            "tuple": f"(loss, {rest} {state})",
            "list": f"[loss, {rest} {state}]",
            "dict": f"{{'loss': loss, 'rest': ({rest} {state})}}",
            "nested": f"(loss, [{{'a': ({rest})}}, ({state})])",
            "dataclass": f"(loss, Output({state.split(',')[0]}, ({rest} {state})))",
            "named": f"Named(loss, ({rest} {state}))",
        }[self.random.choice(effects.RETURNS)]


def generate(seed):
    """Source of the program of `seed`."""
    torch.manual_seed(seed)
    return Program(seed).grow().source()
