# SPDX-License-Identifier: Apache-2.0
"""Traced tensors: what the tensors of a model are while it is traced.

A `TracedTensor` carries a meta tensor, with which torch computes shapes, dtypes, strides and errors, and its `Memory`,
which holds the `Value` that stands for it in the graph. Meta tensors alias exactly where real ones would, so they also
tell which results are views. Memory that is a view remembers how it came from its parent (see memory.py).
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from sambaflow._tensors.tensor import Binding, SambaTensor
from sambaflow._trace.graph import Attr, Graph, Type, Value


@dataclass(frozen=True, slots=True)
class Step:
    """One view op on the way from a parent to its view."""

    name: str
    attrs: Mapping[str, Attr]
    source: Type
    result: Type


@dataclass(frozen=True, slots=True)
class View:
    """How memory comes from other memory. Where autograd does not follow (`detach`, `.data`, views that were made under
    `no_grad`) it is not `tracked`: elements are shared, gradients are not."""

    parent: Memory
    steps: tuple[Step, ...] | None  # None: the way is not known
    tracked: bool = True


class Memory:
    """The elements of a tensor, and the gradient that belongs to them: `value`, as of `version`.

    Of memory of its own, `version` counts the writes; of a view it is the version of the base that `value` belongs to.
    """

    __slots__ = ("first_write", "is_leaf", "overwritten", "value", "version", "view_of")

    def __init__(self, value: Value, view_of: View | None = None, *, is_leaf: bool = False) -> None:
        self.value = value
        self.view_of = view_of
        self.version = 0 if view_of is None else view_of.parent.base.version
        self.is_leaf = is_leaf  # a tensor that gets a gradient of its own: torch lets no one write to it in grad mode
        self.overwritten = 0  # of a base: the writes that the program asked for
        self.first_write: int | None = None  # of a base: how many ops the graph had by then

    @property
    def base(self) -> Memory:
        memory = self
        while memory.view_of is not None:
            memory = memory.view_of.parent
        return memory


class TracedTensor(SambaTensor):
    """A tensor of the model under trace. `owner` is the graph that its value belongs to."""

    meta: torch.Tensor
    memory: Memory
    owner: Graph
    rebound: int = 0  # how often the program gave it other data
    _twins: list[weakref.ref[TracedTensor]]

    @staticmethod
    def __new__(cls, meta: torch.Tensor, memory: Memory, owner: Graph) -> TracedTensor:
        self = torch.Tensor._make_wrapper_subclass(
            cls, meta.shape, strides=meta.stride(), storage_offset=meta.storage_offset(), dtype=meta.dtype, device="cpu"
        )
        self.meta, self.memory, self.owner = meta, memory, owner
        self._twins = [weakref.ref(self)]
        self._binding = Binding(meta)
        owner.tensors.append(weakref.ref(self))
        return self

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()

    @property
    def value(self) -> Value:
        """The value as it was last read or written; `Tracer.read` brings it up to date."""
        return self.memory.value

    def is_twin_of(self, other: TracedTensor) -> None:
        """In torch this and `other` are one tensor: an op returned its argument."""
        self._twins = other._twins
        self._twins.append(weakref.ref(self))

    @property
    def twins(self) -> list[TracedTensor]:
        """All that are one tensor in torch, this among them."""
        return [twin for twin in (reference() for reference in self._twins) if twin is not None]

    def become(self, view: TracedTensor, resize: Callable[[], Any]) -> TracedTensor:
        """Turns this tensor into `view`, one of itself; `resize` is torch's in-place op."""
        with torch._C._DisableTorchDispatch():
            resize()
        self.meta, self.memory = view.meta, view.memory
        return self

    def torch(self) -> TracedTensor:  # type: ignore[override]
        return self

    torch_tensor = torch

    def cpu(self, *_: Any, **__: Any) -> TracedTensor:
        return self

    cpu_ = rdu = cpu

    def __repr__(self, **_: Any) -> str:
        return f"SambaTensor(traced, shape={tuple(self.shape)}, dtype={self.dtype})"

    def __format__(self, _: str) -> str:
        return repr(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> SambaTensor:
        return self.clone()

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise RuntimeError(
            f"{func}: a tensor of a traced model was used after tracing had ended; a traced value exists only while "
            "forward is traced, so store nothing that depends on the inputs"
        )


def same_memory(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether two tensors share storage."""
    return a.untyped_storage()._cdata == b.untyped_storage()._cdata


def as_meta(item: Any) -> Any:
    """A tensor, or the device that a tensor goes to, as torch's shape functions see it."""
    if isinstance(item, TracedTensor):
        return item.meta
    if isinstance(item, torch.device):
        return torch.device("meta")
    if isinstance(item, torch.Tensor) and item.device.type != "meta":
        return torch.empty_strided(item.shape, item.stride(), dtype=item.dtype, device="meta")
    return item
