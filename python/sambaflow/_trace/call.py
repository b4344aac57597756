# SPDX-License-Identifier: Apache-2.0
"""One ATen op on its way into the graph, and the table of handlers.

A handler takes a `Call` and the op's arguments by the names of its schema (`self` and `input` are called `x`), and
returns the value of its result, a list of values, or NotImplemented, which means: decompose.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.utils._pytree import tree_flatten, tree_map

from sambaflow._trace.graph import Attr, Type, Value
from sambaflow._trace.tensor import Step, TracedTensor, as_meta
from sambaflow._trace.tracer import Tracer

Handler = Callable[..., Any]
HANDLERS: dict[str, Handler] = {}
# Ops that draw random numbers: recorded even where no argument is traced.
RANDOM: set[str] = set()

# Losses whose result has the dtype of the input, whatever the target's; torch's shape functions promote.
_OF_THE_INPUT = {"huber_loss", "soft_margin_loss"}
_RENAMED = {"self": "x", "input": "x", "from": "low"}


def handles(*names: str) -> Callable[[Handler], Handler]:
    """Registers a handler for all overloads of the ATen ops `names`."""

    def register(handler: Handler) -> Handler:
        for name in names:
            HANDLERS[f"aten::{name}"] = handler
        return handler

    return register


def handles_random(*names: str) -> Callable[[Handler], Handler]:
    """As `handles`, for ops that draw random numbers."""
    RANDOM.update(f"aten::{name}" for name in names)
    return handles(*names)


def bind(schema: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call by name, with defaults."""
    bound: dict[str, Any] = {}
    for index, argument in enumerate(schema.arguments):
        if not argument.kwarg_only and index < len(args):
            value = args[index]
        elif argument.name in kwargs:
            value = kwargs[argument.name]
        else:
            value = argument.default_value
        bound[_RENAMED.get(argument.name, argument.name)] = value
    return bound


class Call:
    """One ATen op with its arguments."""

    def __init__(self, tracer: Tracer, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        self.tracer = tracer
        self.func = func
        self.args = tuple(args)
        self.kwargs = dict(kwargs)
        self.steps: tuple[Step, ...] | None = None  # of a view, where its value does not tell how it came about
        self._out: Any = None
        self._has_out = False

    @property
    def name(self) -> str:
        """The op's name without namespace and overload."""
        return str(self.func._schema.name.split("::")[1])

    @property
    def overload(self) -> str:
        return str(self.func._overloadname)

    @property
    def traced(self) -> list[TracedTensor]:
        """The traced tensors among the arguments."""
        return [leaf for leaf in tree_flatten((self.args, self.kwargs))[0] if isinstance(leaf, TracedTensor)]

    @property
    def out(self) -> Any:
        """What torch says the result is: meta tensors. Torch's own errors come from here."""
        if not self._has_out:
            args, kwargs = tree_map(as_meta, (self.args, self.kwargs))
            if "device" in kwargs:
                kwargs["device"] = torch.device("meta")
            try:
                self._out = self.tracer.shapes.of(self.func, args, kwargs)
            except (RuntimeError, ValueError, IndexError, TypeError) as error:
                text = _as_eager(error, [a for a in args if isinstance(a, torch.Tensor)])
                raise type(error)(f"{self.tracer.scope.source()}: {self.name}: {text}") from error
            if self.name in _OF_THE_INPUT:
                self._out = self._out.to(args[0].dtype)
            self._has_out = True
        return self._out

    # ---- operands

    def value(self, tensor: torch.Tensor) -> Value:
        return self.tracer.value(tensor)

    def operand(self, item: Any, dtype: torch.dtype) -> Value:
        """A tensor or number as a value of `dtype`."""
        if not isinstance(item, torch.Tensor):
            return self.tracer.graph.full(_number(item, dtype), dtype)
        item = self.tracer.lookup(item)
        if isinstance(item, TracedTensor):
            return self.cast(self.tracer.read(item), dtype)
        return self.tracer.constant(item, dtype)

    def optional(self, item: torch.Tensor | None, dtype: torch.dtype | None = None) -> Value | None:
        if item is None:
            return None
        return self.value(item) if dtype is None else self.operand(item, dtype)

    def cast(self, value: Value, dtype: torch.dtype) -> Value:
        return self.tracer.cast(value, dtype)

    # ---- results

    def emit(
        self,
        row: str,
        operands: Sequence[Value | None],
        attrs: Mapping[str, Attr] | None = None,
        like: torch.Tensor | Type | None = None,
    ) -> Value:
        """Records `row` with one result of the type of `like` (this call's result unless given)."""
        return self.tracer.emit(row, trim(operands), attrs or {}, [type_of(self.out if like is None else like)])[0]

    def emit_many(
        self,
        row: str,
        operands: Sequence[Value | None],
        attrs: Mapping[str, Attr],
        likes: Sequence[torch.Tensor | Type],
    ) -> list[Value]:
        return self.tracer.emit(row, trim(operands), attrs, [type_of(like) for like in likes])

    def again(self, func: Any, *args: Any, **kwargs: Any) -> Any:
        """Records another ATen op on behalf of this one."""
        return self.tracer.dispatch(func, args, kwargs)

    def promoted(self, *names: str) -> Call:
        """The same call with the floating arguments `names` cast to their common dtype.

        SambaFlow programs mix precisions (a bf16 activation and an fp32 weight) where torch insists on one.
        """
        arguments = bind(self.func._schema, self.args, self.kwargs)
        given = [arguments.get(_RENAMED.get(name, name)) for name in names]
        tensors = [item for item in given if isinstance(item, torch.Tensor)]
        dtypes = {t.dtype for t in tensors if t.is_floating_point()}
        if len(dtypes) < 2:
            return self
        common = functools.reduce(torch.promote_types, dtypes)
        chosen = {id(t) for t in tensors if t.is_floating_point() and t.dtype != common}
        swap = lambda t: self.again(torch.ops.aten.to.dtype, t, common) if id(t) in chosen else t  # noqa: E731
        call = Call(self.tracer, self.func, [swap(a) for a in self.args], {k: swap(v) for k, v in self.kwargs.items()})
        self._out, self._has_out = call.out, True  # torch has no result for the operands as they were
        return call

    def argument(self, name: str) -> Any:
        return bind(self.func._schema, self.args, self.kwargs)[name]


def _as_eager(error: Exception, tensors: Sequence[torch.Tensor]) -> str:
    """The message of torch's shape functions; where they word a failed broadcast differently, eager torch's."""
    if "broadcast" in str(error):
        for b in tensors[1:]:
            pairs = zip(reversed(tensors[0].shape), reversed(b.shape), strict=False)
            for offset, (m, n) in enumerate(pairs):
                if m != n and 1 not in (m, n):
                    sizes = f"The size of tensor a ({m}) must match the size of tensor b ({n})"
                    return f"{sizes} at non-singleton dimension {max(tensors[0].dim(), b.dim()) - 1 - offset}"
    return str(error)


def trim(operands: Sequence[Value | None]) -> list[Value | None]:
    """Without trailing absent operands."""
    result = list(operands)
    while result and result[-1] is None:
        result.pop()
    return result


def type_of(like: torch.Tensor | Type) -> Type:
    return (like.dtype, tuple(like.shape)) if isinstance(like, torch.Tensor) else like


def _number(number: float | int | bool, dtype: torch.dtype) -> float | int | bool:
    """A Python scalar as an element of `dtype` (an integer dtype truncates, as torch does)."""
    return number if dtype.is_floating_point or isinstance(number, int) else int(number)


def axis(dim: int, rank: int) -> int:
    """`dim` as 0..rank-1 (a 0-d tensor counts as rank 1)."""
    return int(dim) % max(rank, 1)


def axes(dims: int | Sequence[int] | None, rank: int) -> list[int]:
    """`dims` normalised and sorted; [] stands for all."""
    if dims is None or rank == 0:
        return []
    listed = [dims] if isinstance(dims, int) else list(dims)
    return sorted(axis(d, rank) for d in listed)


REDUCTIONS = ("none", "mean", "sum")  # torch's numbers
