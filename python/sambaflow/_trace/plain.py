# SPDX-License-Identifier: Apache-2.0
"""The plain tensors of a program that stand for traced ones: by identity, or because they share memory with one.

Ops on plain tensors alone run for real. That holds only for memory that the trace made itself: a write to any other
would change the program's tensors while it is compiled, so it is traced, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._pytree import tree_flatten

from sambaflow._trace import memory, views
from sambaflow._trace.batched import is_batched
from sambaflow._trace.errors import TraceError
from sambaflow._trace.geometry import Layout, steps_to
from sambaflow._trace.graph import Value
from sambaflow._trace.recorder import Recorder
from sambaflow._trace.tensor import Memory, Step, TracedTensor, View


@dataclass(frozen=True)
class OutsideWrite:
    """A write to memory that is older than the trace: the key of the memory, and where it was written."""

    key: int
    source: str


def memory_key(tensor: torch.Tensor) -> int:
    """What tensors that share memory have in common; one without memory, as inside torch.vmap, is alone."""
    with torch._C.DisableTorchFunction():
        try:
            return int(tensor.untyped_storage()._cdata)
        except NotImplementedError:
            return -id(tensor)


def extent(tensor: torch.Tensor) -> tuple[int, int]:
    """The bytes of its memory that `tensor` lies between: the first, and the last."""
    with torch._C.DisableTorchFunction():
        steps = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
        first = tensor.storage_offset() * tensor.element_size()
        return first, first + (steps + 1) * tensor.element_size() - 1


class PlainTensors:
    """Plain tensors as traced ones."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._by_id: dict[int, tuple[torch.Tensor, TracedTensor]] = {}  # holds the key alive
        self._by_memory: dict[int, tuple[torch.Tensor, TracedTensor]] = {}
        self._made: set[int] = set()
        self._watched: dict[int, torch.Tensor] = {}
        self.met: set[int] = set()  # ids of the watched tensors that the program used
        self.outside_writes: list[OutsideWrite] = []

    def adopt(self, tensor: torch.Tensor, value: Value, *, is_leaf: bool = False) -> TracedTensor:
        """From now on `tensor` means `value`, and tensors that share its memory are views of it."""
        traced = TracedTensor(_meta_like(tensor), Memory(value, is_leaf=is_leaf), self._recorder.graph)
        self._by_id[id(tensor)] = (tensor, traced)
        if tensor.layout == torch.strided and tensor.numel() > 0:
            self._by_memory.setdefault(memory_key(tensor), (tensor, traced))
        return traced

    def knows(self, item: Any) -> bool:
        """Whether `item` was met as a tensor that is traced."""
        return id(item) in self._by_id

    def watch(self, tensors: Iterable[torch.Tensor]) -> None:
        """Notes in `met` which of `tensors` are used."""
        self._watched.update((id(tensor), tensor) for tensor in tensors)

    def lookup(self, tensor: torch.Tensor) -> torch.Tensor:
        """The traced tensor that `tensor` stands for, or `tensor` itself."""
        known = self._by_id.get(id(tensor))
        if known is not None:
            return known[1]
        if is_batched(tensor):
            return tensor
        if id(tensor) in self._watched:
            self.met.add(id(tensor))
        if tensor.layout != torch.strided or tensor.numel() == 0:
            return tensor
        shared = self._by_memory.get(memory_key(tensor))
        if shared is None:
            return tensor
        with torch._C.DisableTorchFunction():
            return self._view_of(tensor, *shared)

    def _view_of(self, tensor: torch.Tensor, base: torch.Tensor, traced: TracedTensor) -> TracedTensor:
        """`tensor` as a view of `traced`, which stands for all the memory of `base`.

        Autograd follows from a tensor to its own views, and to aliases that get its gradient, but not to detached ones.
        """
        root = tensor if tensor._base is None else tensor._base
        if root is not base and root is not tensor:
            return self._linked(tensor, base, self.lookup(root), tracked=True)  # type: ignore[arg-type]
        return self._linked(tensor, base, traced, tracked=root is base or root.requires_grad)

    def _linked(self, tensor: torch.Tensor, base: torch.Tensor, traced: TracedTensor, *, tracked: bool) -> TracedTensor:
        places, whole = Layout.of(tensor), Layout.of(base)
        if (places, tensor.dtype) == (whole, base.dtype):
            return self._link(tensor, traced, (), tracked)
        inside = Layout(places.shape, places.strides, places.offset - whole.offset)
        last = inside.offset + sum((n - 1) * s for n, s in zip(places.shape, places.strides, strict=True))
        if tensor.dtype != base.dtype or not base.is_contiguous() or inside.offset < 0 or last >= base.numel():
            name = self._recorder.origins.of(tensor)
            raise TraceError(
                f"{self._recorder.scope.source()}: a tensor of shape {list(tensor.shape)}, {tensor.dtype}"
                + (f", computed from {name!r}," if name else "")
                + f" shares memory with one of shape {list(base.shape)}, {base.dtype}, of which it is no view; clone it"
            )
        return self._link(tensor, traced, steps_to(inside, base.shape, base.dtype), tracked)

    def _link(self, tensor: torch.Tensor, traced: TracedTensor, steps: tuple[Step, ...], tracked: bool) -> TracedTensor:
        with torch.set_grad_enabled(tracked):
            value = views.follow(self._recorder, memory.read(self._recorder, traced.memory), steps)
            if value.needs_gradient and not tracked:
                value = self._recorder.emit("detach", [value], {}, [value.type])[0]
        linked = Memory(value, View(traced.memory, steps, tracked))
        found = TracedTensor(_meta_like(tensor), linked, self._recorder.graph)
        self._by_id[id(tensor)] = (tensor, found)
        return found

    def clear(self) -> None:
        """Forgets all tensors."""
        for held in (self._by_id, self._by_memory, self._watched):
            held.clear()

    # ---- memory that the trace made, and other

    def made(self, arguments: Any, result: Any) -> None:
        """Notes the memory of the plain results of an op, where it is not that of an argument."""
        results = [t for t in tree_flatten(result)[0] if _is_plain(t)]
        if results:
            old = {memory_key(t) for t in tree_flatten(arguments)[0] if _is_plain(t)}
            self._made.update(key for key in map(memory_key, results) if key not in old)

    def is_outside(self, tensor: torch.Tensor) -> bool:
        """Whether a plain tensor is older than the trace."""
        return _is_plain(tensor) and memory_key(tensor) not in self._made

    def is_made(self, tensor: torch.Tensor) -> bool:
        """Whether a plain tensor was made while tracing."""
        return _is_plain(tensor) and not self.is_outside(tensor)

    def adopt_written(self, tensor: torch.Tensor) -> TracedTensor:
        """A plain tensor that is about to be written becomes traced, with all that share its memory."""
        found = self.lookup(tensor)
        if isinstance(found, TracedTensor):
            return found
        if self.is_outside(tensor):
            self.outside_writes.append(OutsideWrite(memory_key(tensor), self._recorder.scope.source()))
        return self.as_traced(tensor)

    def as_traced(self, tensor: torch.Tensor) -> TracedTensor:
        """`tensor`, which from now on is traced, with all that share its memory."""
        found = self.lookup(tensor)
        if isinstance(found, TracedTensor):
            return found
        if tensor.layout != torch.strided or tensor.numel() == 0:
            return self.adopt(tensor, self._recorder.constant(tensor))
        whole = whole_memory(tensor)
        self.adopt(whole, self._recorder.constant(whole))
        return self.lookup(tensor)  # type: ignore[return-value]


def _is_plain(item: Any) -> bool:
    if not isinstance(item, torch.Tensor) or isinstance(item, TracedTensor) or is_batched(item):
        return False
    return item.layout == torch.strided


def whole_memory(tensor: torch.Tensor) -> torch.Tensor:
    """A plain tensor of all the memory that `tensor` is part of."""
    root = tensor if tensor._base is None else tensor._base
    if root.is_contiguous() and _covers_all(root):
        return root
    with torch.no_grad():
        size = tensor.untyped_storage().nbytes() // tensor.element_size()
        return tensor.detach().as_strided((size,), (1,), 0)


def _covers_all(tensor: torch.Tensor) -> bool:
    return tensor.storage_offset() == 0 and tensor.numel() * tensor.element_size() == tensor.untyped_storage().nbytes()


def _meta_like(tensor: torch.Tensor) -> torch.Tensor:
    with torch._C.DisableTorchFunction():
        return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")
