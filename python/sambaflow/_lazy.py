# SPDX-License-Identifier: Apache-2.0
"""Packages whose contents are loaded when one of their names is first asked for."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from typing import Any


class LazyPackage(types.ModuleType):
    """A package whose names are its modules, imported when asked for, and the names of its module `_contents`."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__all__":  # what the import system asks for is not inside
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        if importlib.util.find_spec(f"{self.__name__}.{name}") is not None:
            return importlib.import_module(f"{self.__name__}.{name}")
        try:
            value = getattr(importlib.import_module(f"{self.__name__}._contents"), name)
        except AttributeError:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}") from None
        self.__dict__[name] = value
        return value

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *dir(importlib.import_module(f"{self.__name__}._contents"))})


def lazy_package(name: str, kind: type[types.ModuleType] = types.ModuleType) -> None:
    """Makes the package `name`, which is being imported, a lazy one that is a `kind`, too."""
    package = sys.modules[name]
    package.__class__ = LazyPackage if kind is types.ModuleType else type(kind.__name__, (kind, LazyPackage), {})
