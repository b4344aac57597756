# SPDX-License-Identifier: Apache-2.0
"""What torch calls while a model is traced: runs a model's forward on traced tensors and records what it computes.

Two levels, both active only while tracing:

- A `TorchFunctionMode` sees every torch function and method that the program calls. It replaces parameters, buffers
  and other known tensors by their symbols, names the call, refuses to give out values, and runs the function below
  autograd.
- A `TorchDispatchMode` therefore sees ATen ops as the program meant them: `aten::linear`, not its decomposition. An
  op with a handler in the op tables becomes a row of src/ir/traced.def; an in-place op becomes its functional form
  and a write; anything else is taken apart by torch's own decompositions until handlers are met. What remains is
  unsupported, and all of it is reported at once.

Ops on plain tensors alone run for real: their results are constants where a traced op meets them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from numbers import Complex, Real
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten

from sambaflow._tensors.binding import active_trace
from sambaflow._trace import batched, hooks, indexing, ops, surroundings, writes  # noqa: F401 - ops fill the tables
from sambaflow._trace.call import HANDLERS, RANDOM, Call, bind
from sambaflow._trace.errors import (
    COMPLEX_INSTEAD,
    BranchError,
    TraceError,
    UnsupportedOpsError,
)
from sambaflow._trace.graph import Graph, Value
from sambaflow._trace.ops.composed import COMPOSED, FUNCTIONS
from sambaflow._trace.recorder import public_name
from sambaflow._trace.scope import Scope
from sambaflow._trace.tensor import Step, TracedTensor, View, same_memory
from sambaflow._trace.tracer import Tracer

# Functions that turn a tensor into something Python decides on.
_VALUE_READS = {
    "__array__", "__bool__", "__complex__", "__contains__", "__float__", "__index__", "__int__", "equal", "allclose",
    "is_nonzero", "item", "numpy", "tolist",
}  # fmt: skip
_REFUSED = {
    "backward": "gradients are made by the compiler",
    "grad": "gradients are made by the compiler",
    "register_post_accumulate_grad_hook": "gradients are used by the compiled optimizer; see Tensor.register_hook",
    "retain_grad": "only gradients of parameters and inputs are kept; return what you need as an output",
}
# Attributes of tensors that are tensors themselves; every other attribute is answered from shape and dtype.
_TENSOR_ATTRIBUTES = {"T", "mT", "H", "mH", "data", "real", "imag"}
# ATen ops that give a view of a tensor in the shape of another.
_VIEWS_LIKE = {"aten::view_as", "aten::reshape_as", "aten::expand_as"}
# ATen ops whose elements are whatever memory held: a program is the same each time that it is traced, so they are 0.
_UNWRITTEN = {
    "aten::empty", "aten::empty_like", "aten::empty_permuted", "aten::empty_strided", "aten::new_empty",
    "aten::new_empty_strided",
}  # fmt: skip
# ATen ops whose result shape depends on values.
_VALUE_SHAPES: dict[str, Callable[..., Any]] = {  # and the largest result that the arguments allow
    "aten::nonzero": lambda x: _meta((x.numel(), x.dim()), torch.int64),
    "aten::masked_select": lambda x, mask: _meta((torch.broadcast_shapes(x.shape, mask.shape).numel(),), x.dtype),
    "aten::_unique2": lambda x, *_: _unique_results(x, x.numel()),
    "aten::unique_dim": lambda x, dim, *_: (_meta(x.shape, x.dtype), *_unique_results(x, x.shape[dim])[1:]),
    "aten::unique_consecutive": lambda x, *_: _unique_results(x, x.numel()),
}


def function_name(func: Callable[..., Any]) -> str:
    """The name of a torch function as the user knows it: `add` for `__radd__`, `T` for the getter of `T`."""
    name = getattr(func, "__name__", type(func).__name__)
    if name in ("__get__", "__set__", "__delete__"):
        return str(getattr(getattr(func, "__self__", None), "__name__", name))
    return str(name)


def _writes_first(name: str) -> bool:
    in_place_operator = name.startswith("__i") and f"__{name[3:]}" in dir(torch.Tensor)
    return name == "__setitem__" or in_place_operator or (name.endswith("_") and not name.endswith("__"))


class Dispatcher(Tracer):
    """A tracer that torch asks."""

    def __init__(self, graph: Graph, scope: Scope, *, inference: bool = False) -> None:
        super().__init__(graph, scope, inference=inference)
        self.hooks = hooks.Hooks(self)
        self._dispatch_mode = _DispatchMode(self)

    # ---- life

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Traces everything that torch is asked for inside."""
        token = active_trace.set(self)
        try:
            with (
                self.scope,
                self.graph.regions.following_marks(),
                torch.enable_grad(),
                surroundings.traced(self, self.hooks),
                self._dispatch_mode,
                _FunctionMode(self),
            ):
                yield
        finally:
            active_trace.reset(token)

    # ---- torch functions

    def function(self, func: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """One call of a torch function by the program."""
        name = function_name(func)
        if getattr(func, "__name__", "") == "__get__" and name not in _TENSOR_ATTRIBUTES:
            if name in hooks.ATTRIBUTES and isinstance(args[0], TracedTensor):
                return hooks.attribute(self, args[0], name)
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **kwargs)
        (args, kwargs), traced = self._substitute((tuple(args), kwargs))
        if not traced and not writes.sets_outside(self, func, args, kwargs):
            if name in _VALUE_READS and self.origins.among(args):
                raise BranchError(f"{name.strip('_')}()", self.scope.module, self.scope.source())
            with torch._C.DisableTorchFunctionSubclass(), self.calling(name):
                result = func(*args, **kwargs)
            self.plain.made((args, kwargs), result)
            return result
        if name in _VALUE_READS:
            raise BranchError(f"{name.strip('_')}()", self.scope.module, self.scope.source())
        if any(isinstance(leaf, Complex) and not isinstance(leaf, Real) for leaf in tree_leaves((args, kwargs))):
            self.refuse_complex(public_name(name))
        if name in ("requires_grad_", "requires_grad") and isinstance(args[0], TracedTensor):
            return hooks.set_requires_grad(self, *args, **kwargs)
        if name == "register_hook":
            return self.hooks.register(*args, **kwargs)
        if name in _REFUSED:
            raise TraceError(f"{self.scope.source()}: {name} cannot be traced: {_REFUSED[name]}")
        if kwargs.get("out") is not None:
            return writes.into(self, func, args, kwargs)
        if func in writes.SETTERS:
            return writes.SETTERS[func](self, *args)
        if _writes_first(name) and args and isinstance(args[0], torch.Tensor) and not batched.is_batched(args[0]):
            args = (self.plain.adopt_written(args[0]), *args[1:])
        func = FUNCTIONS.get(func, func)
        with self.calling(name), torch._C.DisableTorchFunctionSubclass(), torch._C._AutoDispatchBelowAutograd():
            if batched.any_in(args):
                return self.name_results(func(*args, **kwargs))
            if name == "__getitem__":
                return self.name_results(indexing.read(self, func, args[0], args[1]))
            if name == "__setitem__":
                return indexing.write(self, func, *args)
            return self.name_results(func(*args, **kwargs))

    def _substitute(self, tree: Any) -> tuple[Any, bool]:
        """`tree` with known tensors replaced, and whether it holds a traced tensor."""
        leaves, spec = tree_flatten(tree)
        leaves = [self.lookup(leaf) if isinstance(leaf, torch.Tensor) else leaf for leaf in leaves]
        return tree_unflatten(leaves, spec), any(self._is_traced(leaf) for leaf in leaves)

    def _is_traced(self, item: Any) -> bool:
        """Whether a substituted argument is a traced tensor, or one of torch.vmap that wraps one."""
        if not isinstance(item, torch.Tensor) or not batched.is_batched(item):
            return isinstance(item, TracedTensor)
        return isinstance(self.lookup(batched.unwrapped(item)), TracedTensor)

    # ---- ATen ops

    def dispatch(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """One ATen op."""
        (args, kwargs), traced = self._substitute((tuple(args), kwargs))
        name = func._schema.name
        if name == "aten::_local_scalar_dense" and (traced or self.origins.among(args)):
            raise BranchError("this", self.scope.module, self.scope.source())
        if not traced and name not in RANDOM and not writes.to_outside(self, func, args, kwargs):
            result = func(*args, **kwargs)
            if name in _UNWRITTEN:
                result.zero_()
            self.plain.made((args, kwargs), result)
            self.origins.follow(name, (args, kwargs), result)
            return result
        if name.startswith("aten::_foreach_"):
            return self.composed(writes.each, name, *args, **kwargs)
        self.op_depth += 1
        try:
            result = self._record_op(func, args, kwargs)
        finally:
            self.op_depth -= 1
        if self.op_depth == 0:
            self.saved.note(func, args, kwargs, result, name)
        return result

    def _record_op(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        name = func._schema.name
        if name in _VIEWS_LIKE and self.plain.is_made(args[0]):
            args = (self.plain.as_traced(args[0]), *args[1:])  # it may yet be written
        if name in indexing.INDICES:
            args, kwargs = indexing.widen(self, func._schema, args, kwargs)
        arguments = bind(func._schema, args, kwargs)
        if func._schema.is_mutable:
            return writes.in_place(self, func, args, kwargs)
        handler = HANDLERS.get(name)
        if handler is not None:
            call = Call(self, func, args, kwargs)
            result = handler(call, **arguments)
            if result is not NotImplemented:
                return self._results(call, result)
        return self._decompose(func, args, kwargs)

    def _results(self, call: Call, result: Any) -> Any:
        """Wraps the values that a handler gave as the tensors that torch would return."""
        if isinstance(result, Value):
            return self._wrap(call, call.out, result)
        if isinstance(result, (list, tuple)) and any(isinstance(item, Value) for item in result):
            wrapped = [
                self._wrap(call, o, v) if isinstance(v, Value) else v for o, v in zip(call.out, result, strict=True)
            ]
            return type(call.out)(wrapped) if type(call.out) in (list, tuple) else tuple(wrapped)
        self.plain.made((call.args, call.kwargs), result)
        return result

    def _wrap(self, call: Call, meta: torch.Tensor, value: Value) -> TracedTensor:
        tracked = torch.is_grad_enabled() and call.name != "detach"
        for tensor in call.traced:
            if same_memory(tensor.meta, meta):
                steps = _steps(value, tensor.value) if call.steps is None else call.steps
                view = self.tensor(meta, value, View(tensor.memory, steps, tracked))
                if meta is tensor.meta:
                    view.is_twin_of(tensor)
                return view
        return self.tensor(meta, value)

    def _decompose(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Takes an op without a handler apart; its parts come back to `dispatch`."""
        name = func._schema.name
        if name in _VALUE_SHAPES:
            self.unsupported(name, f"the shape of its result depends on values; {indexing.INSTEAD}")
            return self.undefined_like(_VALUE_SHAPES[name](*args))
        composed = COMPOSED.get(name)
        if composed is not None:
            return self._laid_out(Call(self, func, args, kwargs), self.composed(composed, *args, **kwargs))
        if func._can_decompose():
            return self.composed(func.decompose, *args, **kwargs)
        if _makes_complex(Call(self, func, args, kwargs)):
            return self.fail(func, args, kwargs, f"makes complex numbers; {COMPLEX_INSTEAD}")
        decomposition = _decompositions().get(func)
        if decomposition is None:
            return self.fail(func, args, kwargs)
        return self._laid_out(Call(self, func, args, kwargs), self.composed(decomposition, *args, **kwargs))

    def _laid_out(self, call: Call, result: Any) -> Any:
        """What a decomposition of `call` made, in memory of its own and with the strides of the op itself."""
        result = self._apart(call, result)
        leaves, spec = tree_flatten(result)
        if all(t.is_contiguous() for t in (*leaves, *call.traced) if isinstance(t, TracedTensor)):
            return result
        try:
            out = call.out
        except NotImplementedError:  # torch has no function for it on meta tensors
            return result
        bases = {id(t.memory.base) for t in call.traced}
        pairs = zip(leaves, tree_leaves(out), strict=True)
        return tree_unflatten([self._restrided(t, meta, bases) for t, meta in pairs], spec)

    def _apart(self, call: Call, result: Any) -> Any:
        """No kernel gives memory of its operands but where its schema says so; a decomposition may."""
        if any(item.alias_info is not None for item in call.func._schema.returns):
            return result
        bases = {id(t.memory.base) for t in call.traced}
        return tree_map(
            lambda t: self.tensor(t.meta, t.value) if isinstance(t, TracedTensor) and id(t.memory.base) in bases else t,
            result,
        )

    def _restrided(self, made: Any, meta: Any, bases: set[int]) -> Any:
        if not isinstance(made, TracedTensor) or id(made.memory.base) in bases or made.stride() == meta.stride():
            return made
        return self.tensor(meta, made.value)

    def composed(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Calls a function made of torch functions; what it does is recorded as part of the op at hand."""
        with self._dispatch_mode:
            return function(*args, **kwargs)

    def fail(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], reason: str = "") -> Any:
        """Notes an unsupported op and goes on with undefined results of the right shape."""
        self.unsupported(func._schema.name, reason)
        try:
            out = Call(self, func, args, kwargs).out
        except Exception as error:
            raise UnsupportedOpsError(self._unsupported) from error
        return self.undefined_like(out)


def _meta(shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
    with torch._C.DisableTorchFunction():
        return torch.empty(tuple(shape), dtype=dtype, device="meta")


def _unique_results(x: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return _meta((count,), x.dtype), _meta(x.shape, torch.int64), _meta((count,), torch.int64)


def _makes_complex(call: Call) -> bool:
    try:
        leaves = tree_leaves(call.out)
    except Exception:  # no shape function, or wrong arguments: the decomposition says so
        return False
    return any(isinstance(leaf, torch.Tensor) and leaf.is_complex() for leaf in leaves)


def _steps(value: Value, source: Value) -> tuple[Step, ...] | None:
    """The ops from `source` to `value`, where they form a chain."""
    steps: list[Step] = []
    while value is not source:
        op = value.op
        if len(op.operands) != 1 or op.operands[0] is None:
            return None
        steps.append(Step(op.name, op.attrs, op.operands[0].type, value.type))
        value = op.operands[0]
    return tuple(reversed(steps))


def _decompositions() -> Mapping[Any, Callable[..., Any]]:
    from torch._decomp import decomposition_table

    return decomposition_table


class _FunctionMode(TorchFunctionMode):
    def __init__(self, tracer: Dispatcher) -> None:
        super().__init__()
        self.tracer = tracer

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self.tracer.function(func, args, kwargs or {})


class _DispatchMode(TorchDispatchMode):
    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else torch wraps the method below so that its first call imports torch._dynamo: a second

    def __init__(self, tracer: Dispatcher) -> None:
        super().__init__()
        self.tracer = tracer

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        try:
            return self.tracer.dispatch(func, args, kwargs or {})
        except TraceError as error:
            self.tracer.refusal = error
            raise
