# SPDX-License-Identifier: Apache-2.0
"""Keeps torch._dynamo out of a trace: importing it, and what it imports, takes longer than tracing a model.

Many of torch's Python kernels, which tell the shape of a result, are wrapped: the first call of each imports
torch._dynamo in order to ask it not to compile the kernel. Nothing is compiled while a program is traced.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import torch

_DISABLED = "__dynamo_disable"  # where torch's wrapper keeps what it calls


@contextlib.contextmanager
def without_dynamo() -> Iterator[None]:
    """Lets torch's wrapped kernels be called without an import of torch._dynamo, unless that is there already."""
    if "torch._dynamo" in sys.modules:
        yield
        return
    kernels = [kernel for kernel in _wrapped_kernels() if not hasattr(kernel, _DISABLED)]
    for kernel in kernels:
        setattr(kernel, _DISABLED, kernel)
    try:
        yield
    finally:
        for kernel in kernels:
            if getattr(kernel, _DISABLED, None) is kernel:
                delattr(kernel, _DISABLED)


@functools.cache
def _wrapped_kernels() -> tuple[Callable[..., Any], ...]:
    from torch._decomp import global_decomposition_table

    wrapper = torch._disable_dynamo(lambda: None).__code__
    seen: dict[int, Any] = {}
    kernels = []
    functions = [function for table in global_decomposition_table.values() for function in table.values()]
    while functions:
        function = functions.pop()
        if not isinstance(function, types.FunctionType) or id(function) in seen:
            continue
        seen[id(function)] = function
        inner = [cell.cell_contents for cell in function.__closure__ or ()]
        if function.__code__ is wrapper:
            kernels += [one for one in inner if callable(one)]
        functions += inner  # wrappers hold what they wrap
    return tuple(kernels)
