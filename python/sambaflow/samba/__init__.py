# SPDX-License-Identifier: Apache-2.0
"""The SambaFlow API: `from sambaflow import samba`.

Its contents (`_contents.py`) need torch and are loaded when one of their names is first asked for: a program that only
shows its help (`sambaflow.samba.utils.argparser`) does not wait for torch.

`samba.session` is the session object; `from sambaflow.samba.session import SambaSession` finds the module.
"""

from __future__ import annotations

import importlib
import types
from typing import Any

from sambaflow._lazy import lazy_package
from sambaflow._tensors.binding import hold_by_default


def _owner() -> Any:
    return importlib.import_module(f"{__name__}._process")


class _Samba(types.ModuleType):
    """The package as a module whose `session` stays the object when the submodule of that name is imported."""

    @property
    def session(self) -> Any:
        return _owner().session

    @session.setter
    def session(self, value: Any) -> None:
        if not isinstance(value, types.ModuleType):
            _owner().session = value


lazy_package(__name__, _Samba)
hold_by_default(lambda: _owner().session)
