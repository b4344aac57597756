# SPDX-License-Identifier: Apache-2.0
"""The proof that nothing which hangs on a parameter, a buffer or an input becomes a constant.

The tracer knows the tensors of a program by identity. Other tensors may share their memory: a view or `.data` taken
before forward, a copy of the object. Those of the same place and shape are the tensor itself, without its gradient;
everything else that is computed from such memory is followed from op to op, and refused where it would become a
constant or a number of Python. So is what was computed from parameters before forward, where its gradient is wanted.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch.utils._pytree import tree_leaves

from sambaflow._trace.tensor import TracedTensor


class Origins:
    """What the memory of plain tensors holds of a program's own."""

    def __init__(self) -> None:
        self._names: dict[int, tuple[torch.UntypedStorage, str]] = {}  # by storage; holds the key alive
        self._symbols: dict[tuple[Any, ...], torch.Tensor] = {}  # by place and shape
        self._leaves: dict[int, str] = {}

    def declare(self, tensor: torch.Tensor, name: str) -> None:
        """`tensor` is the symbol `name`."""
        self._mark(tensor, name)
        self._symbols.setdefault(_place(tensor), tensor)
        self._leaves[id(tensor)] = name

    def same_as(self, tensor: torch.Tensor) -> torch.Tensor | None:
        """The symbol whose memory, all of it, `tensor` is."""
        return self._symbols.get(_place(tensor)) if self.of(tensor) else None

    def of(self, tensor: torch.Tensor) -> str | None:
        """The symbol that `tensor` was computed from, or shares memory with."""
        found = self._names.get(_storage(tensor))
        return found[1] if found else None

    def follow(self, op: str, arguments: Any, result: Any) -> None:
        """After the ATen op `op` on plain tensors: its results hang on what its arguments hang on."""
        if op.endswith("_like") or op.startswith("aten::new_"):  # they read the shape alone
            return
        name = self.among(tree_leaves(arguments))
        if name is not None:
            for leaf in tree_leaves(result):
                if isinstance(leaf, torch.Tensor):
                    self._mark(leaf, name)

    def among(self, items: Iterable[Any]) -> str | None:
        """The symbol that the first of `items` which hangs on one does."""
        for item in items:
            if isinstance(item, torch.Tensor) and not isinstance(item, TracedTensor):
                name = self.of(item)
                if name is not None:
                    return name
        return None

    def differentiated(self, tensor: torch.Tensor) -> str | None:
        """The parameter that autograd would give a gradient through `tensor`."""
        waiting, seen = [tensor.grad_fn], set()
        while waiting:
            node = waiting.pop()
            if node is None or node in seen:
                continue
            seen.add(node)
            name = self._leaves.get(id(getattr(node, "variable", None)))
            if name is not None:
                return name
            waiting.extend(following for following, _ in node.next_functions)
        return None

    def _mark(self, tensor: torch.Tensor, name: str) -> None:
        storage = _untyped(tensor)
        if storage is not None:
            self._names.setdefault(storage._cdata, (storage, name))


def _untyped(tensor: torch.Tensor) -> torch.UntypedStorage | None:
    """None for tensors without memory of their own: sparse ones, those inside torch.vmap."""
    with torch._C.DisableTorchFunctionSubclass(), torch._C.DisableTorchFunction():
        try:
            return tensor.untyped_storage()
        except (NotImplementedError, RuntimeError):
            return None


def _storage(tensor: torch.Tensor) -> int:
    storage = _untyped(tensor)
    return 0 if storage is None else storage._cdata


def _place(tensor: torch.Tensor) -> tuple[Any, ...]:
    return _storage(tensor), tensor.storage_offset(), tuple(tensor.shape), tensor.stride(), tensor.dtype
