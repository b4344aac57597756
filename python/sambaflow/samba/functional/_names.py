# SPDX-License-Identifier: Apache-2.0

"""How the area modules get their functions: torch's own, under the same names.

Torch's functions take SambaTensors and are recorded while a model is traced, so nothing stands between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, MutableMapping
from typing import Any


def export(namespace: MutableMapping[str, Any], source: Any, names: str) -> list[str]:
    """Puts the functions `names` of `source` into `namespace`; the list of the names."""
    listed = names.split()
    for name in listed:
        namespace[name] = getattr(source, name)
    return listed


def export_methods(namespace: MutableMapping[str, Any], names: str) -> list[str]:
    """Puts tensor methods that torch has no function for into `namespace`, as functions of the tensor."""
    listed = names.split()
    namespace.update({name: _function_of(name) for name in listed})
    return listed


def _function_of(name: str) -> Callable[..., Any]:
    def function(input: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(input, name)(*args, **kwargs)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"`input.{name}(...)` as a function."
    return function


def joined(*lists: Iterable[str]) -> list[str]:
    """The names of several lists, each once, sorted."""
    return sorted({name for names in lists for name in names})
