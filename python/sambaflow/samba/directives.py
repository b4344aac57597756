# SPDX-License-Identifier: Apache-2.0
"""Hints to the compiler: which ops are one fused function, and how attention is laid out.

They change how a program is cut into sections, never what it computes. Groups hold with -o1, where they go before
the fusion rules, and with -o3 under --enable-hypersection.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from sambaflow._trace import regions
from sambaflow.samba import _process


class _Directive:
    """A context manager that may be stored and entered any number of times."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = dict(values)
        self._entered: list[Any] = []

    def __enter__(self) -> _Directive:
        context = _process.session._add_directives(self.values)
        context.__enter__()
        self._entered.append(context)
        return self

    def __exit__(self, *error: Any) -> None:
        self._entered.pop().__exit__(*error)


def op_fusion(
    func_name: str | nn.Module | None = None,
    heuristic: str | Mapping[str, Any] | None = None,
    heuristic_params: Mapping[str, Any] | None = None,
    plugins: str | Sequence[str] | None = None,
    reuse_last_id: bool = False,
    user_annotated: bool = True,
    **more: Any,
) -> _Directive:
    """Marks the ops recorded inside as one fused group; each entry makes a group of its own.

    Args:
        func_name: names the function; groups of equal name are equal pieces of the program and may be compiled once.
        heuristic: how to lay the group out: a name that fusion rules know, or what a plug-in of a chip's compiler
            knows (a mapping, or any name with `plugins`): the group then gets the default mapping, with a warning.
        heuristic_params: parameters of the heuristic; those of fusion rules count, others are kept beside the group.
        plugins: files that hold the heuristic; they are never loaded.
        reuse_last_id: goes on in the group that was made last.
        user_annotated: False leaves the heuristic to the compiler.

    The older form `op_fusion(module, name)` marks the forward of a module.
    """
    if isinstance(func_name, nn.Module):
        marked = _Directive({"opfusion_id": heuristic, "func_name": heuristic})
        regions.mark(func_name, marked.values)
        return marked
    name = more.pop("id", None)
    # No key "opfusion_id": programs set that inside, after they saw that nobody did (session._context_directives).
    values = {"func_name": func_name, "heuristic": heuristic, "heuristic_params": heuristic_params,
              "plugins": plugins, "reuse_last_id": reuse_last_id, "user_annotated": user_annotated, **more}  # fmt: skip
    return _Directive(values if name is None else {**values, "id": name})


def sdpa_directives(values: Mapping[str, Any]) -> _Directive:
    """Precision and block size of `scaled_dot_product_attention` inside.

    `sdp_mixed_p=False` keeps the dtypes that the program gave, whatever preset it is compiled with; `sdp_block_size`
    is for chips and changes nothing here.
    """
    return _Directive(values)
