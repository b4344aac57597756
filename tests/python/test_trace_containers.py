# SPDX-License-Identifier: Apache-2.0
"""Outputs in containers of every kind, and inputs in those that are not known."""

import collections
import dataclasses
from typing import NamedTuple

import beside_eager as eager
import pytest
import torch
from beside_eager import Function
from sambaflow import samba
from sambaflow._trace.errors import TraceError
from sambaflow._trace.program import trace

X = torch.tensor([1.0, 2.0, 3.0])


@dataclasses.dataclass
class Pair:
    first: object
    second: object = None
    label: str = "pair"


class Named(NamedTuple):
    one: object
    two: object


class Results(collections.UserDict):
    pass


class Attributes:
    def __init__(self, tensor):
        self.tensor = [tensor]


class Slots:
    __slots__ = ("tensor",)

    def __init__(self, tensor):
        self.tensor = tensor


NESTED = {
    "dataclass in a tuple": lambda a, b, c: (Pair(a, b), c),
    "dataclass in a list in a dict": lambda a, b, c: {"x": [Pair(a, 3)], "y": (b, None, c)},
    "dataclass in a dataclass": lambda a, b, c: Pair(Pair(a, [b]), {"c": c}),
    "named tuple in a dict": lambda a, b, c: {"pair": Named(a, b), "c": c},
    "ordered dict in a named tuple": lambda a, b, c: Named(collections.OrderedDict(z=a, y=b), c),
    "another mapping": lambda a, b, c: (a, Results(z=b, y=c)),
    "default dict": lambda a, b, c: (a, collections.defaultdict(list, {"z": [b], "y": c})),
    "deque": lambda a, b, c: collections.deque([a, Pair(b, c)]),
}


def flat(item):
    if isinstance(item, torch.Tensor):
        return [item]
    if dataclasses.is_dataclass(item):
        item = list(vars(item).values())
    if isinstance(item, collections.abc.Mapping):
        item = list(item.values())
    return [t for part in item for t in flat(part)] if isinstance(item, (list, tuple, collections.deque)) else []


@pytest.mark.parametrize("kind", NESTED)
def test_outputs_nested_in_containers_come_in_order(tmp_path, kind):
    def function(self, x):
        return NESTED[kind](self.w * x, x + 1, (x * 2).sum())

    model = Function(function, 3)
    expected = flat(model(X))
    got = eager.compiled_outputs(tmp_path, model, X, inference=True)
    assert len(got) == len(expected) == 3
    for mine, theirs in zip(got, expected, strict=True):
        torch.testing.assert_close(mine, theirs.detach())


def test_model_outputs_of_transformers_nest(tmp_path):
    modeling = pytest.importorskip("transformers.modeling_outputs")

    def function(self, x):
        inner = modeling.BaseModelOutput(last_hidden_state=self.w * x, hidden_states=(x + 1, x + 2))
        return {"inner": inner, "x": [x * 3]}

    got = eager.compiled_outputs(tmp_path, Function(function, 3), X, inference=True)
    assert [float(t[0]) for t in got] == [0.5, 2.0, 3.0, 3.0]


@pytest.mark.parametrize("wrap", [Attributes, Slots, lambda t: {t}, lambda t: (t for _ in range(1))])
def test_objects_that_hold_tensors_are_no_outputs(wrap):
    with pytest.raises(TraceError, match="which holds tensors"):
        eager.traced(Function(lambda self, x: (x, wrap(self.w * x)), 3), X)


@pytest.mark.parametrize("wrap", [Attributes, Slots, Pair])
def test_objects_that_hold_tensors_are_no_inputs(wrap):
    model = Function(lambda self, x: self.w, 3)
    samba.from_torch_model_(model)
    with pytest.raises(TraceError, match="input 'input_0' is a .*, which holds tensors"):
        trace(model, [wrap(X)])
