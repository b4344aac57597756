# SPDX-License-Identifier: Apache-2.0
"""Where an op stands in the user's program: module path, source line, and the SambaFlow name of the call."""

from __future__ import annotations

import os
import sys
from collections import Counter
from types import FrameType
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

_TORCH_DIR = os.path.dirname(os.path.abspath(torch.__file__)) + os.sep
_TRACE_DIR = os.path.dirname(os.path.abspath(__file__)) + os.sep
_OWN_DIR = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


def root_name(model: nn.Module) -> str:
    """The name that everything in `model` starts with."""
    return type(model).__name__.lower()


def symbol_name(root: str, path: str) -> str:
    """The name of the parameter, buffer or module at `path` of a model: root and path, two underscores apart."""
    return "__".join([root, *path.split(".")]) if path else root


class Scope:
    """Follows the calls of the modules of one model. A context manager: its hooks live inside."""

    def __init__(self, model: nn.Module, app_dir: str | None) -> None:
        root = root_name(model)
        self._paths = {id(m): f"{root}.{path}" if path else root for path, m in model.named_modules()}
        self._stack: list[str] = [root]
        self._counts: Counter[str] = Counter()
        self._hooks: list[Any] = []
        self._app_dir = os.path.abspath(app_dir) + os.sep if app_dir else None
        self._files: dict[str, str] = {}

    @property
    def module(self) -> str:
        """The path of the innermost module, such as `lenet.conv1`."""
        return self._stack[-1]

    def call_name(self, function: str) -> str:
        """The name of one call of `function` here: `lenet__relu`, then `lenet__relu_1`, ..."""
        name = f"{self.module.replace('.', '__')}__{function}"
        self._counts[name] += 1
        return name if self._counts[name] == 1 else f"{name}_{self._counts[name] - 1}"

    def source(self) -> str:
        """`file:line` of the innermost frame of the user's program."""
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            file = self._file(frame.f_code.co_filename)
            if file:
                return f"{file}:{frame.f_lineno}"
            frame = frame.f_back
        return "<unknown>"

    def place_of(self, error: BaseException) -> tuple[str, str] | None:
        """Module path and `file:line` of the program's own frame that led to `error`; None where the program itself
        or the SDK raised it, or the program has no part in it."""
        module, source, is_own = self._stack[0], "", True
        trace = error.__traceback__
        while trace is not None:
            frame, file = trace.tb_frame, self._file(trace.tb_frame.f_code.co_filename)
            module = self._paths.get(id(frame.f_locals.get("self")), module)
            path = os.path.abspath(frame.f_code.co_filename)
            is_own = bool(file) or (path.startswith(_OWN_DIR) and not path.startswith(_TRACE_DIR))
            source = f"{file}:{trace.tb_lineno}" if file else source
            trace = trace.tb_next
        return None if is_own or not source else (module, source)

    def _file(self, path: str) -> str:
        """The name of a source file in messages and in the graph; "" for torch's and our own files."""
        if path not in self._files:
            self._files[path] = self._relative(os.path.abspath(path)) if not path.startswith("<") else ""
        return self._files[path]

    def _relative(self, path: str) -> str:
        if path.startswith((_TORCH_DIR, _OWN_DIR)):
            return ""
        if self._app_dir and path.startswith(self._app_dir):
            return path[len(self._app_dir) :].replace(os.sep, "/")
        roots = [os.path.abspath(p) + os.sep for p in sys.path if p and path.startswith(os.path.abspath(p) + os.sep)]
        return path[max(map(len, roots)) :].replace(os.sep, "/") if roots else os.path.basename(path)

    def __enter__(self) -> Scope:
        def enter(module: nn.Module, _: Any) -> None:
            self._stack.append(self._paths.get(id(module), self.module))

        def leave(module: nn.Module, _: Any, __: Any) -> None:
            self._stack.pop()

        self._hooks = [
            register_module_forward_pre_hook(enter),
            register_module_forward_hook(leave, always_call=True),
        ]
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()
