# SPDX-License-Identifier: Apache-2.0
"""The forms in which a program writes to a tensor: in-place ops, `out=`, `.data = ...`."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch.utils._pytree import tree_flatten

from sambaflow._trace import memory
from sambaflow._trace.call import HANDLERS, Call, bind
from sambaflow._trace.errors import TraceError
from sambaflow._trace.graph import Value
from sambaflow._trace.ops.composed import COMPOSED
from sambaflow._trace.saved import IN_PLACE_VIEWS
from sambaflow._trace.tensor import TracedTensor
from sambaflow._trace.tracer import Tracer

# Functional forms that go by another name.
_FUNCTIONAL = {"aten::transpose_": torch.ops.aten.transpose.int}
# What leaves nothing of the elements that were there: autograd gives these zeros.
_COVERING = {
    "fill_", "zero_", "copy_", "bernoulli_", "cauchy_", "exponential_", "geometric_", "log_normal_", "normal_",
    "random_", "uniform_",
}  # fmt: skip


def to_outside(tracer: Tracer, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
    """Whether an ATen op on plain tensors writes to memory that is older than the trace."""
    if not func._schema.is_mutable or func._schema.name == "aten::detach_":  # part of torch.tensor; elements stay
        return False
    given = bind(func._schema, args, kwargs)
    written = [
        value
        for argument, value in zip(func._schema.arguments, given.values(), strict=True)
        if argument.alias_info is not None and argument.alias_info.is_write
    ]
    return any(tracer.plain.is_outside(tensor) for tensor in tree_flatten(written)[0])


def sets_outside(tracer: Tracer, func: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
    """The same of a torch function that writes by other ways than an in-place op."""
    written = [kwargs.get("out"), args[0] if func in SETTERS else None]
    return any(tracer.plain.is_outside(tensor) for tensor in tree_flatten(written)[0])


def in_place(tracer: Tracer, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """An in-place op: its functional form, then a write to the first argument; or what an op is composed of writes."""
    target, name = args[0] if args else None, func._schema.name
    if name in COMPOSED and not name.endswith("_"):
        return tracer.composed(COMPOSED[name], *args, **kwargs)
    if not isinstance(target, torch.Tensor) or not name.endswith("_"):
        return tracer.fail(func, args, kwargs, "writes to its arguments")
    target = tracer.plain.adopt_written(target)
    args = (target, *args[1:])
    special = _SPECIAL.get(func._schema.name)
    if special is not None:
        return special(tracer, *args, **kwargs)
    name, overload = func._schema.name.split("::")[1], functional_form(func)
    if name in IN_PLACE_VIEWS and overload is not None:
        return _view_in_place(tracer, func, overload, target, args[1:], kwargs)
    tracer.saved.overwrite(target.memory.base)
    if func._schema.name in COMPOSED:
        tracer.composed(COMPOSED[func._schema.name], *args, **kwargs)
        return target
    handler = HANDLERS.get(func._schema.name)
    if handler is not None:
        result = handler(Call(tracer, func, args, kwargs), **bind(func._schema, args, kwargs))
        value = result if isinstance(result, Value) else None
    elif overload is not None:
        value = tracer.value(tracer.dispatch(overload, args, kwargs))
    elif func._can_decompose():
        return tracer.composed(func.decompose, *args, **kwargs)
    else:
        return tracer.fail(func, args, kwargs, "in-place form")
    if value is None or value.shape != tuple(target.shape):
        return tracer.fail(func, args, kwargs, "in-place change of shape")
    value = tracer.cast(value, target.dtype)
    tracer.write(target, memory.covering(tracer, value, tracer.value(target)) if name in _COVERING else value)
    return target


def _view_in_place(
    tracer: Tracer, func: Any, overload: Any, target: TracedTensor, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> TracedTensor:
    """`t_` and the like: the tensor, by whatever names the program has it, becomes a view of itself."""
    for twin in target.twins:
        twin.become(tracer.dispatch(overload, (twin, *args), kwargs), functools.partial(func, twin, *args, **kwargs))
    return target


def functional_form(func: Any) -> Any:
    """The op that computes what the in-place op `func` writes, with the same arguments; None where there is none."""
    if func._schema.name in _FUNCTIONAL:
        return _FUNCTIONAL[func._schema.name]
    namespace, name = func._schema.name.split("::")
    name = f"__{name[3:]}" if name.startswith("__i") else name.removesuffix("_")
    packet = getattr(getattr(torch.ops, namespace), name, None)
    if packet is None:
        return None
    for overload in sorted(packet.overloads(), key=lambda other: other != func._overloadname):
        form = getattr(packet, overload)
        if _arguments(form) == _arguments(func) and not form._schema.is_mutable:
            return form
    return None


def _arguments(func: Any) -> list[str]:
    return ["self" if argument.name == "input" else argument.name for argument in func._schema.arguments]


def each(name: str, tensors: Sequence[torch.Tensor], *args: Any, **kwargs: Any) -> list[torch.Tensor] | None:
    """An op on lists of tensors (`torch._foreach_mul_`): one op for each."""
    method = getattr(torch.Tensor, name.removeprefix("aten::_foreach_"))
    results = [
        method(tensor, *(item[i] if isinstance(item, (list, tuple)) else item for item in args), **kwargs)
        for i, tensor in enumerate(tensors)
    ]
    return None if name.endswith("_") else results


def _detach(tracer: Tracer, target: TracedTensor) -> TracedTensor:
    """`detach_`: the elements stay."""
    value = tracer.read(target)
    if value.needs_gradient:
        target.memory.value = tracer.emit("detach", [value], {}, [value.type])[0]
        target.memory.is_leaf = False
    return target


def _set(tracer: Tracer, target: TracedTensor, source: Any = None, *others: Any, **named: Any) -> TracedTensor:
    if not isinstance(source, torch.Tensor) or others or named:
        raise TraceError(f"{tracer.scope.source()}: set_ is compiled with a tensor as its one argument")
    if torch.is_grad_enabled() and target.memory.is_leaf:
        raise TraceError(f"{tracer.scope.source()}: set_ on a leaf that requires a gradient; PyTorch refuses that, too")
    set_data(tracer, target, source)
    return target


_SPECIAL: dict[str, Callable[..., TracedTensor]] = {"aten::detach_": _detach, "aten::set_": _set}


def into(tracer: Tracer, func: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """`func(..., out=tensors)`: the results, written to tensors of their shapes."""
    out = kwargs["out"]
    result = tracer.function(func, args, {key: value for key, value in kwargs.items() if key != "out"})
    targets = [out] if isinstance(out, torch.Tensor) else list(out)
    results = [result] if isinstance(result, torch.Tensor) else list(result)
    for target, made in zip(targets, results, strict=True):
        if tuple(target.shape) != tuple(made.shape):
            raise TraceError(
                f"{tracer.scope.source()}: out= has shape {list(target.shape)}, the result {list(made.shape)}; give it "
                "a tensor of the result's shape"
            )
        written = tracer.plain.adopt_written(target)
        if torch.is_grad_enabled() and (tracer.value(made).needs_gradient or tracer.read(written).needs_gradient):
            raise TraceError(
                f"{tracer.scope.source()}: out= has no gradient, which PyTorch refuses where one is needed; assign the "
                "result instead"
            )
        tracer.dispatch(torch.ops.aten.copy_.default, (written, made), {})
    return out


def set_data(tracer: Tracer, tensor: Any, source: Any) -> None:
    """`tensor.data = source`."""
    target = tracer.plain.adopt_written(tensor)
    tracer.saved.rebind(target)
    memory.rebind(tracer, target, tracer.plain.as_traced(source))


def swap(tracer: Tracer, first: torch.Tensor, second: torch.Tensor) -> None:
    """`torch.utils.swap_tensors`."""
    a, b = tracer.plain.adopt_written(first), tracer.plain.adopt_written(second)
    if a.shape != b.shape or a.dtype != b.dtype:
        raise TraceError(
            f"{tracer.scope.source()}: swap_tensors of {list(a.shape)}, {a.dtype} and {list(b.shape)}, {b.dtype}; "
            "shapes and dtypes are fixed when a program is compiled"
        )
    tracer.saved.rebind(a)
    tracer.saved.rebind(b)
    a.memory, b.memory = b.memory, a.memory
    a.meta, b.meta = b.meta, a.meta


@contextlib.contextmanager
def swapping(tracer: Tracer) -> Iterator[None]:
    """While a model is traced `swap_tensors` swaps what tensors mean: the tensors of the program stay as they are."""
    real = torch.utils.swap_tensors
    torch.utils.swap_tensors = lambda first, second: swap(tracer, first, second)  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.utils.swap_tensors = real


SETTERS: dict[Any, Callable[..., Any]] = {
    torch.Tensor.data.__set__: set_data,  # type: ignore[attr-defined]
}
