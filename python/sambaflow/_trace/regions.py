# SPDX-License-Identifier: Apache-2.0
"""Regions of a program that directives mark: fused groups, and ops whose dtypes stay as they are.

A directive is entered through `samba.session._add_directives`; while a program is traced, `Regions` turns what is
entered into the group of each op (`!group=`), one record a group, and the flag `!exact` (docs/graph-text.md).
"""

from __future__ import annotations

import contextlib
import json
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from sambaflow.logging import samba_logger

# Modules marked by the older form of op_fusion, with the directives of their forward.
_marked: weakref.WeakKeyDictionary[nn.Module, dict[str, Any]] = weakref.WeakKeyDictionary()


@dataclass(frozen=True)
class Group:
    """A fused group: its number and what is known of it."""

    number: int
    name: str
    heuristic: str = ""
    parameters: str = ""  # JSON object, "" for none


def mark(module: nn.Module, directives: Mapping[str, Any]) -> None:
    """From now on the forward of `module` is traced under `directives`."""
    _marked[module] = dict(directives)


class Regions:
    """The regions of one trace."""

    def __init__(self) -> None:
        self.groups: list[Group] = []
        self.exact = False
        self._current: Group | None = None
        self._by_id: dict[str, Group] = {}

    @property
    def group(self) -> int:
        """The group of what is recorded now; 0: none."""
        return self._current.number if self._current else 0

    @contextlib.contextmanager
    def entered(self, directives: Mapping[str, Any]) -> Iterator[None]:
        """Inside, ops are recorded under `directives`."""
        before, exact_before = self._current, self.exact
        if "opfusion_id" in directives or "func_name" in directives:
            self._current = self._open(directives)
        if directives.get("graphamp") is False or directives.get("sdp_mixed_p") is False:
            self.exact = True
        try:
            yield
        finally:
            self._current, self.exact = before, exact_before

    @contextlib.contextmanager
    def following_marks(self) -> Iterator[None]:
        """Inside, the forward of a marked module is traced under its directives."""
        open_calls: list[contextlib.ExitStack] = []

        def enter(module: nn.Module, _: Any) -> None:
            call = contextlib.ExitStack()
            if module in _marked:
                call.enter_context(self.entered(_marked[module]))
            open_calls.append(call)

        def leave(*_: Any) -> None:
            open_calls.pop().close()

        with contextlib.ExitStack() as hooks:
            if _marked:
                hooks.callback(register_module_forward_pre_hook(enter).remove)
                hooks.callback(register_module_forward_hook(leave, always_call=True).remove)
            yield

    def _open(self, directives: Mapping[str, Any]) -> Group:
        """The group that a region belongs to: that of its id, the last one if it asks for it, or a new one."""
        key = directives.get("id")
        if directives.get("reuse_last_id") and self.groups:
            return self.groups[-1]
        if key is not None and str(key) in self._by_id:
            return self._by_id[str(key)]
        name = directives.get("func_name") or directives.get("opfusion_id") or key
        heuristic, parameters = _strategy(str(name or ""), directives)
        group = Group(len(self.groups) + 1, str(name or f"group_{len(self.groups) + 1}"), heuristic, parameters)
        self.groups.append(group)
        if key is not None:
            self._by_id[str(key)] = group
        return group


def _strategy(name: str, directives: Mapping[str, Any]) -> tuple[str, str]:
    """Heuristic and parameters of a region. One that lives in a plug-in is not ours to run: the group is mapped by
    default, and the program is told so."""
    heuristic = directives.get("heuristic")
    plugins = directives.get("plugins")
    parameters = directives.get("heuristic_params")
    text = json.dumps(parameters, sort_keys=True, default=str) if parameters else ""
    if not directives.get("user_annotated", True):
        return "", text
    if isinstance(heuristic, Mapping) or (heuristic is not None and plugins):
        shown = ", ".join([plugins] if isinstance(plugins, str) else map(str, plugins or ["a chip's compiler"]))
        samba_logger.warning(
            f"op_fusion: heuristic {heuristic!r} of group {name!r} comes from {shown}, which is not loaded here; the "
            "group gets the default mapping",
            log_limit=1,
        )
        return "", text
    return str(heuristic or ""), text
