# SPDX-License-Identifier: Apache-2.0
"""Hints to the compiler. They change how a program is laid out on a chip, never what it computes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn


class _Directive:
    """A context manager that may be stored and entered any number of times."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = dict(values)
        self._entered: list[Any] = []

    def __enter__(self) -> _Directive:
        from sambaflow import samba

        context = samba.session._add_directives(self.values)
        context.__enter__()
        self._entered.append(context)
        return self

    def __exit__(self, *error: Any) -> None:
        self._entered.pop().__exit__(*error)


def op_fusion(
    func_name: Any = None,
    heuristic: Any = None,
    heuristic_params: Mapping[str, Any] | None = None,
    plugins: Any = None,
    reuse_last_id: bool = False,
    user_annotated: bool = True,
    **kwargs: Any,
) -> _Directive:
    """Marks the ops recorded inside as one fused function. The older form `op_fusion(module, name)` marks a module."""
    if isinstance(func_name, nn.Module):
        return _Directive({"opfusion_id": heuristic})
    name = kwargs.pop("id", None) or func_name
    return _Directive({"opfusion_id": name, "heuristic": heuristic, "heuristic_params": heuristic_params,
                       "plugins": plugins, "user_annotated": user_annotated, **kwargs})  # fmt: skip


def sdpa_directives(values: Mapping[str, Any]) -> _Directive:
    """Precision and block size of attention on a chip."""
    return _Directive(values)
