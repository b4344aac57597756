# SPDX-License-Identifier: Apache-2.0
"""Where a model holds tensors and numbers, and how to put it back to what it was.

A model holds parameters and buffers, and whatever else is in attributes of its modules: tensors, also in lists, tuples,
dicts and plain objects.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

# What nn.Module keeps for itself, and does not hold state in.
_OWN = frozenset(vars(nn.Module())) - {"_parameters", "_buffers"}
_REGISTERED = {"_parameters": "parameter", "_buffers": "buffer"}
# A list of what the parameters of a recurrent layer are, which forward makes anew where they change: no state.
_WEIGHTS_AGAIN = "_flat_weights"
_DEEPEST, _LONGEST = 6, 10_000  # containers beyond are not looked into
_NUMBERS = (bool, int, float, str)
_OPAQUE = ("builtins", "torch", "numpy")  # objects of these packages are no containers


def submodule(model: nn.Module, path: str) -> nn.Module:
    """The module at `path` ("": `model`); scripted modules do not know `get_submodule`."""
    for name in filter(None, path.split(".")):
        model = getattr(model, name)
    return model


@dataclass(frozen=True)
class Slot:
    """A place in a model: the path of a module, an attribute, and the way inside its value."""

    module: str
    attribute: str
    keys: tuple[Any, ...] = ()
    kind: str = "attribute"  # or parameter, buffer

    def __str__(self) -> str:
        path = f"{self.module}.{self.attribute}" if self.module else self.attribute
        return path + "".join(f"[{key!r}]" for key in self.keys)

    @property
    def symbol(self) -> str:
        """Its part of the name of a symbol."""
        return "__".join([*self.module.split("."), self.attribute, *map(str, self.keys)]).strip("_")

    @property
    def holder(self) -> str:
        """The attribute of the module that holds it, as `vars(module)` has it."""
        return {"parameter": "_parameters", "buffer": "_buffers"}.get(self.kind, self.attribute)

    def find(self, model: nn.Module) -> Any:
        """What `model` holds here; None where it has no such place."""
        try:
            value: Any = getattr(submodule(model, self.module), self.attribute)
            for key in self.keys:
                value = _inside(value)[key]
        except (AttributeError, KeyError, IndexError):
            return None
        return value


@dataclass
class Held:
    """What a model holds, by place."""

    tensors: dict[Slot, torch.Tensor]
    numbers: dict[Slot, Any]


def look(model: nn.Module) -> Held:
    """All tensors and numbers that `model` holds."""
    held = Held({}, {})
    for slot, value in _walk(model, _Seen(model)):
        if isinstance(value, torch.Tensor):
            held.tensors[slot] = value
        else:
            held.numbers[slot] = value
    return held


class Kept:
    """A model as it is now: `held`, and the means to put it back."""

    def __init__(self, model: nn.Module) -> None:
        self._copies: list[tuple[Any, Any]] = []
        self.held = Held({}, {})
        for slot, value in _walk(model, _Seen(model, self._copies)):
            (self.held.tensors if isinstance(value, torch.Tensor) else self.held.numbers)[slot] = value

    def restore(self) -> None:
        """Puts every module, list, dict and object back to what it held; tensors are the same objects again."""
        for container, copy in self._copies:
            _put_back(container, copy)

    def restore_attribute(self, module: nn.Module, attribute: str) -> None:
        """Puts back one attribute of a module, with what is inside it."""
        copies = {id(container): copy for container, copy in self._copies}
        before = copies.get(id(vars(module)), {})
        if attribute in before:
            vars(module)[attribute] = before[attribute]
        for container in list(_containers(vars(module).get(attribute))):
            if id(container) in copies:
                _put_back(container, copies[id(container)])


def _put_back(container: Any, copy: Any) -> None:
    if not _same(container, copy):
        container.clear()
        (container.extend if isinstance(container, (list, deque)) else container.update)(copy)


def _same(container: Any, copy: Any) -> bool:
    if len(container) != len(copy):
        return False
    if isinstance(container, dict):
        return all(key in container and container[key] is value for key, value in copy.items())
    if isinstance(container, (list, deque)):
        return all(a is b for a, b in zip(container, copy, strict=True))
    return bool(container == copy)


class _Seen:
    """The containers that a walk has met, and copies of them where these are asked for."""

    def __init__(self, model: nn.Module, copies: list[tuple[Any, Any]] | None = None) -> None:
        self._ids = {id(module) for module in model.modules()}
        self._copies = copies

    def enters(self, container: Any) -> bool:
        if id(container) in self._ids:
            return False
        self._ids.add(id(container))
        self.copy(container)
        return True

    def copy(self, container: Any) -> None:
        if self._copies is not None and isinstance(container, (list, deque, dict, set)):
            self._copies.append((container, container.copy()))


def _walk(model: nn.Module, seen: _Seen) -> Iterator[tuple[Slot, Any]]:
    for path, module in model.named_modules():
        seen.copy(vars(module))
        for name in list(vars(module)):
            if name in _REGISTERED:
                held = vars(module)[name]
                seen.copy(held)
                for key, tensor in list(held.items()):
                    if tensor is not None:
                        yield Slot(path, key, (), _REGISTERED[name]), tensor
            elif name in _OWN:
                if isinstance(vars(module)[name], dict):
                    seen.copy(vars(module)[name])
            else:
                leaves = _leaves(vars(module)[name], seen, ())
                if name == _WEIGHTS_AGAIN and isinstance(module, nn.RNNBase):
                    deque(leaves, maxlen=0)  # seen, so that they are put back
                    continue
                for keys, value in leaves:
                    yield Slot(path, name, keys), value


def _leaves(value: Any, seen: _Seen, keys: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if isinstance(value, (torch.Tensor, *_NUMBERS)):
        yield keys, value
        return
    inside = _inside(value)
    if len(keys) < _DEEPEST and inside is not None and len(inside) <= _LONGEST and seen.enters(_container(value)):
        for key, item in list(inside.items() if isinstance(inside, Mapping) else enumerate(inside)):
            if isinstance(key, (str, int)):
                yield from _leaves(item, seen, (*keys, key))


def _inside(value: Any) -> Any:
    """The items of a container, or the attributes of a plain object; None for anything else."""
    if isinstance(value, (list, tuple, deque, dict)):
        return value
    if isinstance(value, nn.Module):
        return vars(value)
    if callable(value) or type(value).__module__.split(".")[0] in _OPAQUE or not hasattr(value, "__dict__"):
        return None
    return vars(value)


def _container(value: Any) -> Any:
    return value if isinstance(value, (list, tuple, deque, dict)) else vars(value)


def _containers(value: Any, depth: int = 0) -> Iterator[Any]:
    inside = _inside(value)
    if inside is None or depth > _DEEPEST or len(inside) > _LONGEST:
        return
    yield _container(value)
    for item in list(inside.values() if isinstance(inside, Mapping) else inside):
        yield from _containers(item, depth + 1)
