# SPDX-License-Identifier: Apache-2.0
"""The tensors that a program returns in lists, tuples, dicts, named tuples and dataclasses, however they are nested."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch.utils._pytree import SUPPORTED_NODES, tree_leaves

from sambaflow._trace.errors import TraceError

_PLAIN = (str, bytes, int, float, complex, bool, type(None), type, types.ModuleType, types.FunctionType)


def tensors_in(item: Any) -> Iterator[torch.Tensor]:
    """The tensors in `item`, in order; numbers, None and the like are left out.

    Raises TraceError for an object of another kind that holds tensors: which of them it gives is not known.
    """
    if isinstance(item, torch.Tensor):
        yield item
        return
    parts = parts_of(item)
    if parts is None:
        if holds_tensors(item):
            raise TraceError(
                f"forward returned a {type(item).__name__}, which holds tensors: return them in a tuple, list, dict, "
                "named tuple or dataclass, whose order is known"
            )
        return
    for part in parts:
        yield from tensors_in(part)


def parts_of(item: Any) -> Iterable[Any] | None:
    """What a container holds, in order; None for anything else."""
    if isinstance(item, Mapping):
        return item.values()
    if isinstance(item, (list, tuple)):
        return item
    if dataclasses.is_dataclass(item) and not isinstance(item, type):
        return [getattr(item, field.name) for field in dataclasses.fields(item)]
    if type(item) in SUPPORTED_NODES:
        return tree_leaves(item)
    if hasattr(item, "__iter__") and hasattr(item, "__len__") and not isinstance(item, (*_PLAIN, set, frozenset)):
        return list(item)  # as the cache of transformers: keys and values of each layer
    return None


def holds_tensors(item: Any, depth: int = 3) -> bool:
    """Whether an object that is no such container has tensors within reach."""
    if isinstance(item, torch.Tensor):
        return True
    if depth == 0 or isinstance(item, (*_PLAIN, torch.nn.Module)):
        return False
    if isinstance(item, (set, frozenset)):
        parts: Iterable[Any] | None = item
    else:
        parts = parts_of(item)
    if parts is None:
        parts = [*getattr(item, "__dict__", {}).values(), *_slots(item)]
    return isinstance(item, types.GeneratorType) or any(holds_tensors(part, depth - 1) for part in parts)


def _slots(item: Any) -> list[Any]:
    names = [name for kind in type(item).__mro__ for name in getattr(kind, "__slots__", ())]
    return [getattr(item, name) for name in names if isinstance(name, str) and hasattr(item, name)]
