# SPDX-License-Identifier: Apache-2.0
"""What torch does differently while a program is traced: process-wide switches, set on entry and put back.

- Composite ops decompose instead of calling oneDNN's fused ones.
- `apply` of `autograd.Function` records forward with the backward that the function brings (custom.py).
- Scripted and traced functions and modules (`torch.jit`) run op by op, below autograd, as plain functions do; those of
  `torch.compile` run as they were written.
- A program that asks whether it is being traced hears yes; torch's own modules go on as in eager mode.
- Module hooks on gradients, and what else happens in backward alone, lead to hooks.py; attention that torch has fast
  paths for to fast_paths.py; transforms of torch.func to batched.py; averages that torch reads as numbers to norms.py;
  tensors that are swapped to writes.py.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch

from sambaflow._tensors.tensor import SambaTensor
from sambaflow._trace import batched, custom, fast_paths, hooks, norms, writes
from sambaflow._trace.errors import BranchError
from sambaflow._trace.imports import without_dynamo
from sambaflow._trace.patches import replaced
from sambaflow._trace.tensor import TracedTensor
from sambaflow._trace.tracer import Tracer

# Modules of torch that are told the truth: they would otherwise ask for values.
_TOLD = {"torch.nn.modules.transformer"}


@contextlib.contextmanager
def traced(tracer: Tracer, gradient_hooks: hooks.Hooks) -> Iterator[None]:
    """All of it."""
    with contextlib.ExitStack() as stack:
        for entered in (
            without_dynamo(),
            _without_onednn(),
            _own_gradients(tracer),
            _scripted_op_by_op(tracer),
            _compiled_as_written(),
            _in_one_thread(tracer),
            _choices(tracer),
            _answering(),
            batched.without_gradients(tracer),
            hooks.following(tracer, gradient_hooks),
            fast_paths.padded_with_zeros(tracer),
            fast_paths.laid_out_by_batch(tracer),
            norms.cumulative_averages(),
            writes.swapping(tracer),
        ):
            stack.enter_context(entered)
        yield


@contextlib.contextmanager
def _without_onednn() -> Iterator[None]:
    enabled = torch._C._get_mkldnn_enabled()
    torch._C._set_mkldnn_enabled(False)
    try:
        yield
    finally:
        torch._C._set_mkldnn_enabled(enabled)


@contextlib.contextmanager
def _own_gradients(tracer: Tracer) -> Iterator[None]:
    """`apply` asks the base class, and there this steps in: references that a program took before lead here too."""
    base = torch.autograd.function._SingleLevelFunction

    def apply(cls: type[torch.autograd.Function], *args: Any) -> Any:
        if not tracer.is_current:  # another thread
            return super(base, cls).apply(*args)  # type: ignore[misc]
        return custom.apply(tracer, cls, args)

    with replaced(base, "apply", classmethod(apply)):
        yield


@contextlib.contextmanager
def _scripted_op_by_op(tracer: Tracer) -> Iterator[None]:
    """Without the optimizer of torch.jit, which detaches what it differentiates and writes another graph at the second
    call than at the first; what it wrote in calls before the trace is forgotten."""

    def traced_call(call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def run(script: Any, *args: Any, **kwargs: Any) -> Any:
            if not tracer.is_current:
                return call(script, *args, **kwargs)
            script._debug_flush_compilation_cache()
            named = functools.partial(call, script)
            named.__name__ = script.name  # type: ignore[attr-defined]
            tracer.refusal = None
            try:
                return tracer.function(named, args, kwargs)
            except RuntimeError:  # torch.jit loses what was raised inside
                if tracer.refusal is None:
                    raise
                raise tracer.refusal from None

        return run

    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.jit.optimized_execution(False))
        for kind in (torch._C.ScriptFunction, torch._C.ScriptMethod):
            stack.enter_context(replaced(kind, "__call__", traced_call(kind.__call__)))
        yield


@contextlib.contextmanager
def _compiled_as_written() -> Iterator[None]:
    """torch._dynamo is slow to import: where nothing did yet, what forward gives to `torch.compile` stays as it is."""

    def as_written(model: Any = None, **_: Any) -> Any:
        return (lambda function: function) if model is None else model

    is_there = "torch._dynamo" in sys.modules
    with (
        torch.compiler.set_stance("force_eager") if is_there else contextlib.nullcontext(),
        replaced(torch, "compile", as_written),
    ):
        yield


@contextlib.contextmanager
def _in_one_thread(tracer: Tracer) -> Iterator[None]:
    """What another thread computes of a parameter is not traced: it is refused."""
    run = SambaTensor.__torch_function__.__func__  # type: ignore[attr-defined]

    def watched(cls: type, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not tracer.is_current and any(tracer.knows(item) for item in args):
            name = str(getattr(func, "__name__", func))
            tracer.unsupported(name, "called in another thread, where nothing is traced")
        return run(cls, func, types, args, kwargs)

    with replaced(SambaTensor, "__torch_function__", classmethod(watched)):
        yield


@contextlib.contextmanager
def _choices(tracer: Tracer) -> Iterator[None]:
    """Functions of torch that choose what to compute by a value."""

    def refuse(name: str) -> None:
        raise BranchError(f"torch.{name}()", tracer.scope.module, tracer.scope.source())

    def cond(pred: Any, true_fn: Any, false_fn: Any, operands: Any = ()) -> Any:
        if isinstance(pred, torch.Tensor) and isinstance(tracer.lookup(pred), TracedTensor):
            refuse("cond")
        return (true_fn if pred else false_fn)(*operands)

    with replaced(torch, "cond", cond), replaced(torch, "while_loop", lambda *_, **__: refuse("while_loop")):
        yield


def _is_told() -> bool:
    """Whether who asks is to know that it is traced."""
    name = str(sys._getframe(2).f_globals.get("__name__", ""))
    return name in _TOLD or not (name == "torch" or name.startswith("torch."))


@contextlib.contextmanager
def _answering() -> Iterator[None]:
    """References to the functions of torch that a program took before read what the first and the last line set."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(replaced(torch._C, "_is_tracing", lambda: True))
        for owner in (torch.jit, torch.jit._trace):
            stack.enter_context(replaced(owner, "is_tracing", lambda: _is_told()))
        stack.enter_context(replaced(torch.compiler, "is_compiling", lambda: _is_told()))
        stack.enter_context(replaced(torch.compiler, "_is_compiling_flag", True))
        for name in _OF_SIZES:
            stack.enter_context(replaced(torch, name, _of_number(getattr(torch, name))))
        yield


# Under torch.jit.trace sizes are tensors: who hears that it is traced may pass them to these.
_OF_SIZES = ("ceil", "floor", "round", "sqrt")


def _of_number(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def called(item: Any, *args: Any, **kwargs: Any) -> Any:
        is_number = isinstance(item, (int, float)) and not isinstance(item, bool)
        return function(torch.tensor(float(item)) if is_number else item, *args, **kwargs)

    return called
