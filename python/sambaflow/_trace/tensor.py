# SPDX-License-Identifier: Apache-2.0
"""Traced tensors: what the tensors of a model are while it is traced.

A `TracedTensor` has no memory. It carries a meta tensor, with which torch computes shapes, dtypes, strides and
errors, and the `Value` that stands for it in the graph. Meta tensors alias exactly where real ones would, so they
also tell which results are views. A view remembers how it came from its parent; a write to a view computes the new
value of the parent, up to the base, and views are computed anew from the base when it has been written since.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from sambaflow._tensor import Binding, SambaTensor
from sambaflow._trace.graph import Attr, Type, Value


@dataclass(frozen=True, slots=True)
class Step:
    """One view op on the way from a parent to its view."""

    name: str
    attrs: Mapping[str, Attr]
    source: Type
    result: Type


@dataclass(frozen=True, slots=True)
class View:
    """Where a view comes from."""

    parent: TracedTensor
    steps: tuple[Step, ...]


class TracedTensor(SambaTensor):
    """A tensor of the model under trace."""

    meta: torch.Tensor
    value: Value
    view_of: View | None
    has_views: bool  # whether a view was ever made of it
    version: int  # of a base: number of writes; of a view: the base's version that `value` belongs to

    @staticmethod
    def __new__(cls, meta: torch.Tensor, value: Value, view_of: View | None = None) -> TracedTensor:
        self = torch.Tensor._make_wrapper_subclass(
            cls, meta.shape, strides=meta.stride(), storage_offset=meta.storage_offset(), dtype=meta.dtype, device="cpu"
        )
        self.meta = meta
        self.value = value
        self.view_of = view_of
        self.version = 0 if view_of is None else view_of.parent.base.version
        self.has_views = False
        if view_of is not None:
            view_of.parent.has_views = True
        self._binding = Binding(meta)
        return self

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()

    @property
    def base(self) -> TracedTensor:
        tensor = self
        while tensor.view_of is not None:
            tensor = tensor.view_of.parent
        return tensor

    def become(self, view: TracedTensor, resize: Callable[[], Any]) -> TracedTensor:
        """Turns this tensor, of which there are no other views, into `view`; `resize` is torch's in-place op."""
        before = TracedTensor(self.meta, self.value, self.view_of)
        before.version = self.version
        with torch._C._DisableTorchDispatch():
            resize()
        self.meta, self.value = view.meta, view.value
        self.view_of = View(before, view.view_of.steps if view.view_of is not None else ())
        self.version, self.has_views = before.base.version, False
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
