# SPDX-License-Identifier: Apache-2.0

"""Records how tensors of device meta are made, so that they can be made later, with data.

Every ATen op that makes or changes a meta tensor is kept. A tensor stands for its storage and its place in it, so
views and writes through views need no care: to make one tensor, the ops on its storage, and on all storages that these
ops touch, run again in order on the CPU. Each random op has a seed of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._device import DeviceContext
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map


@dataclass
class _Step:
    """One recorded op; `seed` is None unless it draws random numbers."""

    func: Callable[..., Any]
    args: Any
    kwargs: Any
    results: list[torch.Tensor]
    storages: set[int]
    seed: int | None


def _storage(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _tensors(tree: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_flatten(tree)[0] if isinstance(leaf, torch.Tensor) and leaf.device.type == "meta"]


_IS_META = torch.Tensor.is_meta.__get__  # type: ignore[attr-defined]


class OnMeta(DeviceContext):
    """As `torch.device("meta")`, with two differences.

    Tensors made from values that Python has stay on the CPU, since meta tensors would lose the values. And tensors say
    that they are not meta, because initialisers such as orthogonal_ do nothing for tensors that are.
    """

    def __init__(self) -> None:
        super().__init__(torch.device("meta"))

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func == _IS_META:
            return False
        if func in (torch.tensor, torch.as_tensor, torch.asarray):
            return func(*args, **(kwargs or {}))
        return super().__torch_function__(func, types, args, kwargs)


class Recorder(TorchDispatchMode):
    """Records inside `with`; `replay` makes a recorded tensor."""

    def __init__(self) -> None:
        super().__init__()
        self._steps: list[_Step] = []
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        results = _tensors(result)
        touched = {_storage(t) for t in [*_tensors((args, kwargs)), *results]}
        if touched:
            random = torch.Tag.nondeterministic_seeded in func.tags
            seed = int(torch.empty((), dtype=torch.int64, device="cpu").random_()) if random else None
            # Detached aliases: what is done to the tensors later does not change what was recorded.
            self._steps.append(_Step(func, *_aliases((args, kwargs)), _aliases(results), touched, seed))
            self._known |= touched
        return result

    def made(self, tensor: torch.Tensor) -> bool:
        """Whether `tensor` is of device meta and was made here."""
        return tensor.device.type == "meta" and _storage(tensor) in self._known

    def replay(self, tensor: torch.Tensor) -> torch.Tensor:
        """`tensor` with data; the same bits each time."""
        wanted = {_storage(tensor)}
        steps: list[_Step] = []
        for step in reversed(self._steps):
            if step.storages & wanted:
                wanted |= step.storages
                steps.append(step)
        bases: dict[int, torch.Tensor] = {}
        with torch.no_grad(), torch.device("cpu"):
            for step in reversed(steps):
                self._run(step, bases)
            return _placed(tensor, bases).clone()

    def _run(self, step: _Step, bases: dict[int, torch.Tensor]) -> None:
        args, kwargs = tree_map(lambda item: _real(item, bases), (step.args, step.kwargs))
        if step.seed is None:
            found = step.func(*args, **kwargs)
        else:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(step.seed)
                found = step.func(*args, **kwargs)
        real = [leaf for leaf in tree_flatten(found)[0] if isinstance(leaf, torch.Tensor)]
        for meta, tensor in zip(step.results, real, strict=True):
            if _storage(meta) not in bases:
                bases[_storage(meta)] = _laid_out_as(meta, tensor)


def _laid_out_as(meta: torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
    """`tensor` with the strides of `meta`: some ops lay out their results otherwise on the CPU."""
    if tensor.stride() == meta.stride():
        return tensor
    return torch.empty_strided(meta.size(), meta.stride(), dtype=tensor.dtype).copy_(tensor)


def _aliases(tree: Any) -> Any:
    with torch.utils._python_dispatch._disable_current_modes():
        return tree_map(lambda t: t.detach() if isinstance(t, torch.Tensor) else t, tree)


def _real(item: Any, bases: dict[int, torch.Tensor]) -> Any:
    """What stands for an argument on the CPU."""
    if isinstance(item, torch.Tensor) and item.device.type == "meta":
        return _placed(item, bases)
    if isinstance(item, torch.device) and item.type == "meta":
        return torch.device("cpu")
    return item


def _placed(tensor: torch.Tensor, bases: dict[int, torch.Tensor]) -> torch.Tensor:
    """The part of the storage's base that `tensor` is."""
    base = bases[_storage(tensor)]
    return base.as_strided(tensor.size(), tensor.stride(), tensor.storage_offset())
