# SPDX-License-Identifier: Apache-2.0

"""Descriptions of graphs: what goes in and what comes out, each flattened to its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sambaflow._tensors.tensor import SambaTensor


class SambaGraph:
    """A graph with a name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"


class FwdGraph(SambaGraph):
    """The forward graph from `start` to `stop`: tensors, or tuples, lists and dicts that hold some.

    Numbers, strings, bools and None inside are arguments of the model and are left out of `start` and `stop`.
    """

    def __init__(self, start: Any, stop: Any, name: str) -> None:
        super().__init__(name)
        self.start = tuple(tensors_in(start))
        self.stop = tuple(tensors_in(stop))
        if not self.stop:
            raise ValueError(f"FwdGraph {name!r}: stop holds no SambaTensor")


def tensors_in(tree: Any) -> list[SambaTensor]:
    """The SambaTensors in `tree`, in order, each once."""
    found: dict[int, SambaTensor] = {}

    def visit(item: Any) -> None:
        if isinstance(item, SambaTensor):
            found.setdefault(id(item), item)
        elif isinstance(item, Mapping):
            for value in item.values():
                visit(value)
        elif isinstance(item, (list, tuple)):
            for value in item:
                visit(value)

    visit(tree)
    return list(found.values())
