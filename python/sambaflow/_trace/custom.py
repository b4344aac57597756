# SPDX-License-Identifier: Apache-2.0
"""`autograd.Function`s of a program: forward is recorded, and backward too, as the gradient of what forward returned.

Backward is traced on stand-ins for the gradients of the outputs (`cotangent`). The row `custom_gradient` says which
gradients it made of them, and the compiler puts the real ones in their place.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from sambaflow._trace.errors import TraceError
from sambaflow._trace.graph import Value
from sambaflow._trace.tensor import TracedTensor
from sambaflow._trace.tracer import Tracer

Function = type[torch.autograd.Function]
_CHECKPOINT = ("torch.utils.checkpoint", "CheckpointFunction")


class _Context(torch.autograd.function.FunctionCtx):
    """What forward and backward are given as `ctx`."""

    to_save: Sequence[Any] = ()
    non_differentiable: Sequence[Any] = ()
    dirty_tensors: Sequence[Any] = ()
    materialize_grads: bool = True

    def __init__(self, needs: Sequence[bool]) -> None:
        self.needs_input_grad = tuple(needs)

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        return tuple(self.to_save)

    saved_variables = saved_tensors  # the name of older releases


def apply(tracer: Tracer, function: Function, args: Sequence[Any]) -> Any:
    """`function.apply(*args)` while a model is traced."""
    args = [tracer.lookup(item) if isinstance(item, torch.Tensor) else item for item in args]
    if (function.__module__, function.__name__) == _CHECKPOINT:
        return _checkpointed(tracer, args[0], args[2:])
    ctx = _Context([_needs_gradient(tracer, item) for item in args])
    given = [tracer.read(item) for item, needed in zip(args, ctx.needs_input_grad, strict=True) if needed]
    with torch.no_grad():
        result = _forward(function, ctx, args)
    if ctx.dirty_tensors:
        raise TraceError(f"{tracer.scope.source()}: {function.__name__} writes to its arguments (mark_dirty), which "
                         "cannot be compiled; return new tensors instead")  # fmt: skip
    results = list(result) if isinstance(result, tuple) else [result]
    places = [index for index, item in enumerate(results) if _is_differentiable(item, ctx)]
    if tracer.inference or not given or not places or not torch.is_grad_enabled():
        return result
    with torch.no_grad():
        joined = flat([results[index] for index in places])
        stand_in = tracer.stand_in(joined)
        pieces = apart(stand_in, results, places)
        gradients = _backward(tracer, function, ctx, results, dict(zip(places, pieces, strict=True)))
        operands = [tracer.value(joined), tracer.read(stand_in), *given, *gradients]
    held = [item for item in ctx.to_save if isinstance(item, torch.Tensor)]
    output = tracer.wrap(tracer.emit("custom_gradient", operands, {}, [operands[0].type])[0])
    for index, piece in zip(places, apart(output, results, places), strict=True):
        results[index] = piece
    tracer.saved.note(None, held, {}, results, function.__name__)
    return tuple(results) if isinstance(result, tuple) else results[0]


def _needs_gradient(tracer: Tracer, item: Any) -> bool:
    return isinstance(item, TracedTensor) and tracer.read(item).needs_gradient


def _checkpointed(tracer: Tracer, function: Any, args: Sequence[Any]) -> Any:
    """Reentrant torch.utils.checkpoint: what is kept for backward is for the compiler to decide, but eager mode keeps
    the arguments. Without one that requires a gradient nothing inside gets one, as in eager mode."""
    wants = any(_needs_gradient(tracer, item) for item in args)
    with torch.set_grad_enabled(torch.is_grad_enabled() and wants):
        result = function(*args)
    tracer.saved.note(None, [item for item in args if isinstance(item, torch.Tensor)], {}, result, "checkpoint")
    return result


def _is_differentiable(item: Any, ctx: _Context) -> bool:
    if not isinstance(item, torch.Tensor) or not item.is_floating_point():
        return False
    return not any(item is other for other in ctx.non_differentiable)


def flat(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """One tensor that holds all: itself, or the elements of several in a row."""
    return tensors[0] if len(tensors) == 1 else torch.cat([tensor.flatten() for tensor in tensors])


def apart(joined: torch.Tensor, results: Sequence[Any], places: Sequence[int]) -> list[torch.Tensor]:
    """The pieces of what `flat` joined."""
    if len(places) == 1:
        return [joined]
    wanted = [results[index] for index in places]
    pieces = joined.split([tensor.numel() for tensor in wanted])
    return [piece.view(tensor.shape).to(tensor.dtype) for piece, tensor in zip(pieces, wanted, strict=True)]


def _backward(
    tracer: Tracer, function: Function, ctx: _Context, results: Sequence[Any], cotangents: Mapping[int, torch.Tensor]
) -> list[Value | None]:
    """What the program's backward makes of `cotangents`, for each argument that needs a gradient."""
    missing = torch.zeros_like if ctx.materialize_grads else lambda _: None
    wanted = [cotangents.get(i, missing(r) if isinstance(r, torch.Tensor) else None) for i, r in enumerate(results)]
    made = function.backward(ctx, *wanted)
    made = made if isinstance(made, tuple) else (made,)
    gradients: list[Value | None] = []
    for item, needed in itertools.zip_longest(made, ctx.needs_input_grad):
        if needed:
            gradients.append(None if item is None else tracer.value(item))
    return gradients


def _forward(function: Function, ctx: _Context, args: Sequence[Any]) -> Any:
    if function.setup_context is torch.autograd.Function.setup_context:
        return function.forward(ctx, *args)
    result = function.forward(*args)
    function.setup_context(ctx, tuple(args), result)
    return result
