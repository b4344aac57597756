# SPDX-License-Identifier: Apache-2.0
"""The tracer: runs a model's forward on traced tensors and records what it computes.

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
import contextvars
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from numbers import Complex, Real
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten

from sambaflow._trace import batched, hooks, indexing, memory, surroundings, writes
from sambaflow._trace.call import HANDLERS, RANDOM, Call, bind
from sambaflow._trace.errors import (
    COMPLEX_INSTEAD,
    BranchError,
    ComplexError,
    StaleError,
    TraceError,
    Unsupported,
    UnsupportedOpsError,
)
from sambaflow._trace.graph import DTYPE_NAMES, RANK_MAX, Attr, Graph, Op, Type, Value
from sambaflow._trace.ops.composed import COMPOSED, FUNCTIONS
from sambaflow._trace.origins import Origins
from sambaflow._trace.plain import PlainTensors
from sambaflow._trace.saved import SavedTensors
from sambaflow._trace.scope import Scope
from sambaflow._trace.tensor import Memory, Step, TracedTensor, View, same_memory

_active: contextvars.ContextVar[Tracer | None] = contextvars.ContextVar("leat_tracer", default=None)

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
_UNWRITTEN = {"aten::empty", "aten::empty_like", "aten::empty_strided", "aten::new_empty", "aten::new_empty_strided"}
# ATen ops whose result shape depends on values.
_VALUE_SHAPES: dict[str, Callable[..., Any]] = {  # and the largest result that the arguments allow
    "aten::nonzero": lambda x: _meta((x.numel(), x.dim()), torch.int64),
    "aten::masked_select": lambda x, mask: _meta((torch.broadcast_shapes(x.shape, mask.shape).numel(),), x.dtype),
    "aten::_unique2": lambda x, *_: _unique_results(x, x.numel()),
    "aten::unique_dim": lambda x, dim, *_: (_meta(x.shape, x.dtype), *_unique_results(x, x.shape[dim])[1:]),
    "aten::unique_consecutive": lambda x, *_: _unique_results(x, x.numel()),
}


def current() -> Tracer | None:
    """The tracer at work in this thread."""
    return _active.get()


def function_name(func: Callable[..., Any]) -> str:
    """The name of a torch function as the user knows it: `add` for `__radd__`, `T` for the getter of `T`."""
    name = getattr(func, "__name__", type(func).__name__)
    if name in ("__get__", "__set__", "__delete__"):
        return str(getattr(getattr(func, "__self__", None), "__name__", name))
    return str(name)


def public_name(name: str) -> str:
    """`add` for `__iadd__`, `relu` for `relu_`: how a call is named in the SambaFlow scheme."""
    stripped = name.strip("_")
    if name.startswith("__") and stripped[:1] in ("r", "i") and f"__{stripped[1:]}__" in dir(torch.Tensor):
        return stripped[1:]
    return stripped


def _writes_first(name: str) -> bool:
    in_place_operator = name.startswith("__i") and f"__{name[3:]}" in dir(torch.Tensor)
    return name == "__setitem__" or in_place_operator or (name.endswith("_") and not name.endswith("__"))


class Tracer:
    """Records one program into a graph."""

    def __init__(self, graph: Graph, scope: Scope, *, inference: bool = False) -> None:
        self.graph = graph
        self.scope = scope
        self.inference = inference
        self.plain = PlainTensors(self)
        self.saved = SavedTensors(self)
        self.op_depth = 0  # 1: an op that the program called; more: parts of one
        self._unsupported: Counter[Unsupported] = Counter()
        self._streams = 0
        self._stand_ins = 0
        self._call_name: str | None = None
        self._call: str = ""
        self._depth = 0
        self._dispatch_mode = _DispatchMode(self)
        self._value_names: dict[int, tuple[str, Value]] = {}
        self.hooks = hooks.Hooks(self)
        self.origins = Origins()
        self.refusal: TraceError | None = None  # the last that an op raised

    # ---- life

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Traces everything that torch is asked for inside."""
        import sambaflow._trace.ops  # noqa: F401 - fills the tables

        token = _active.set(self)
        try:
            with (
                self.scope,
                self.graph.regions.following_marks(),
                torch.enable_grad(),
                surroundings.traced(self),
                self._dispatch_mode,
                _FunctionMode(self),
            ):
                yield
        finally:
            _active.reset(token)

    @property
    def is_current(self) -> bool:
        """False in other threads than that which traces."""
        return current() is self

    def check(self, error: Exception | None = None) -> None:
        """Raises the list of everything unsupported that was met.

        `error` is what ended the program meanwhile: with results that cannot be had it may be of no account.
        """
        if self._unsupported and not isinstance(error, UnsupportedOpsError):
            raise UnsupportedOpsError(self._unsupported, error) from error

    def release(self) -> None:
        """Forgets the tensors of the trace."""
        self.plain.clear()
        self.saved.clear()

    # ---- tensors and values

    def knows(self, item: Any) -> bool:
        """Whether `item` is a tensor of the program that is traced."""
        return isinstance(item, TracedTensor) or self.plain.knows(item)

    def lookup(self, tensor: torch.Tensor) -> torch.Tensor:
        """The traced tensor that `tensor` stands for, or `tensor` itself."""
        if not isinstance(tensor, TracedTensor):
            return self.plain.lookup(tensor)
        if tensor.owner is not self.graph:
            raise StaleError(tensor, self.scope.module, self.scope.source())
        return tensor

    def named(self, tensor: Any, name: str | None) -> Any:
        """`from_torch_tensor` inside forward: traced tensors stay themselves, others are constants."""
        tensor = tensor if isinstance(tensor, torch.Tensor) else torch.as_tensor(tensor)
        return self.lookup(tensor)

    def read(self, tensor: TracedTensor | Memory) -> Value:
        """The current value."""
        return memory.read(self, tensor.memory if isinstance(tensor, TracedTensor) else tensor)

    def write(self, tensor: TracedTensor, value: Value) -> None:
        """`tensor` and everything that shares its memory take on `value`."""
        memory.write(self, tensor.memory, value)

    def constant(self, tensor: torch.Tensor, dtype: torch.dtype | None = None) -> Value:
        """The elements of a plain tensor as a constant of `dtype`, that of the tensor unless given."""
        if tensor.device.type == "meta":
            raise TraceError(
                f"{self.scope.source()}: a constant of shape {tuple(tensor.shape)} has no data (device meta)"
            )
        if tensor.is_complex():
            self.refuse_complex("a constant")
        if tensor.dtype not in DTYPE_NAMES or tensor.layout != torch.strided:
            raise TraceError(
                f"{self.scope.source()}: a constant of type {tensor.dtype}, {tensor.layout} cannot be compiled"
            )
        name = self.origins.of(tensor) or (None if self.inference else self.origins.differentiated(tensor))
        if name is not None:
            raise TraceError(
                f"{self.scope.source()}: a tensor of shape {tuple(tensor.shape)} was computed from {name!r} where it "
                "was not traced (before forward, through a view made there, or in another thread), and would become a "
                "constant: compute it in forward, from the tensor itself"
            )
        with self.untraced():
            return self.graph.constant(tensor.detach().cpu().to(dtype or tensor.dtype))

    def value(self, tensor: torch.Tensor) -> Value:
        tensor = self.lookup(tensor)
        return self.read(tensor) if isinstance(tensor, TracedTensor) else self.constant(tensor)

    @contextlib.contextmanager
    def untraced(self) -> Iterator[None]:
        """Runs torch for real, on real tensors."""
        with (
            torch._C._DisableTorchDispatch(),
            torch._C.DisableTorchFunction(),
            torch.utils._python_dispatch._disable_current_modes(),
        ):
            yield

    # ---- recording

    def emit(
        self, row: str, operands: Sequence[Value | None], attrs: Mapping[str, Attr], types: Sequence[Type]
    ) -> list[Value]:
        """Records one traced op, with its place in the program."""
        if any(dtype.is_complex for dtype, _ in types):
            self.refuse_complex(self._call or row)
        deepest = max((len(shape) for _, shape in types), default=0)
        if deepest > RANK_MAX:
            self.unsupported(self._call or row, f"makes {deepest} dims; at most {RANK_MAX} dims can be compiled")
            return self.undefined(types)
        if self._call_name is None and self._call:
            self._call_name = self.scope.call_name(self._call)
        self._check_defined(operands)
        detached = not torch.is_grad_enabled()
        origin = (self.scope.module, self.scope.source(), self._call if self._depth else "")
        regions = self.graph.regions
        return self.graph.add(
            row, operands, attrs, types, detached=detached, origin=origin, group=regions.group, exact=regions.exact
        )

    def record_addmm(self, bias: Any, mat1: Any, mat2: Any, beta: float, alpha: float) -> TracedTensor:
        """`samba.addmm` with a transposed second matrix, which torch has no op for."""
        shape = (*mat1.shape[:-1], mat2.shape[-2])
        operands = [self.value(t) for t in (bias, mat1, mat2)]
        attrs: dict[str, Attr] = {"alpha": alpha, "beta": beta, "transposed": 1}
        return self._record("addmm", operands, attrs, (operands[1].dtype, shape))

    def record_triu_fill(self, tensor: Any, value: float) -> TracedTensor:
        """`samba.triu_fill`."""
        source = self.value(tensor)
        return self._record("triu_fill", [source], {"value": value}, source.type)

    def record_dequantize(self, weight: Any, scale: Any) -> TracedTensor:
        """Integers [n, k] times their scale [n], under the name `dequantize`."""
        with self._calling("dequantize"), torch._C.DisableTorchFunctionSubclass():
            factor = self.value(scale)
            integers = self.cast(self.value(weight), factor.dtype)
            column = self.emit("reshape", [factor], {"shape": (*factor.shape, 1)}, [(factor.dtype, (*factor.shape, 1))])
            return self._name_results(self.wrap(self.emit("mul", [integers, column[0]], {}, [integers.type])[0]))

    def _record(self, row: str, operands: Sequence[Value], attrs: Mapping[str, Attr], result: Type) -> TracedTensor:
        with self._calling(row), torch._C.DisableTorchFunctionSubclass():
            return self._name_results(self.wrap(self.emit(row, operands, attrs, [result])[0]))

    def stand_in(self, like: torch.Tensor) -> TracedTensor:
        """A tensor that stands for the gradient of `like` in a backward that is traced."""
        self._stand_ins += 1
        kind = (like.dtype, tuple(like.shape))
        return self.wrap(self.emit("cotangent", [], {"index": self._stand_ins - 1}, [kind])[0])

    def next_stream(self) -> int:
        """A number for one random draw of the program."""
        self._streams += 1
        return self._streams - 1

    def refuse_complex(self, what: str) -> None:
        raise ComplexError(what, self.scope.module, self.scope.source())

    def unsupported(self, op: str, reason: str = "") -> None:
        self._unsupported[Unsupported(op, reason, self.scope.module, self.scope.source())] += 1

    def undefined(self, types: Sequence[Type], op: str = "", reason: str = "") -> list[Value]:
        """Stand-ins for results that cannot be had, so that tracing goes on and finds the others.

        With `op`, the use of such a result is what is unsupported, and is reported where it happens.
        """
        attrs: dict[str, Attr] = {"op": op, "reason": reason} if op else {}
        return Op("unsupported", (), attrs, results=[]).add_results(types)

    def _check_defined(self, operands: Sequence[Value | None]) -> None:
        for value in operands:
            if value is not None and value.op.name == "unsupported" and value.op.attrs:
                self.unsupported(str(value.op.attrs["op"]), str(value.op.attrs["reason"]))

    def is_defined(self, value: Value) -> bool:
        """False for stand-ins; notes the use of one."""
        self._check_defined([value])
        return value.op.name != "unsupported"

    def call_name_of(self, value: Value) -> str | None:
        """The name of the call that returned `value`: `lenet__conv1__conv2d__outputs__0`."""
        found = self._value_names.get(id(value))
        return found[0] if found else None

    def wrap(self, value: Value) -> TracedTensor:
        """A new tensor of the program that holds `value`."""
        return self._tensor(torch.empty(value.shape, dtype=value.dtype, device="meta"), value)

    def _tensor(self, meta: torch.Tensor, value: Value, view_of: View | None = None) -> TracedTensor:
        return TracedTensor(meta, Memory(value, view_of), self.graph)

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
            with torch._C.DisableTorchFunctionSubclass(), self._calling(name):
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
        with self._calling(name), torch._C.DisableTorchFunctionSubclass(), torch._C._AutoDispatchBelowAutograd():
            if batched.any_in(args):
                return self._name_results(func(*args, **kwargs))
            if name == "__getitem__":
                return self._name_results(indexing.read(self, func, args[0], args[1]))
            if name == "__setitem__":
                return indexing.write(self, func, *args)
            return self._name_results(func(*args, **kwargs))

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

    @contextlib.contextmanager
    def _calling(self, name: str) -> Iterator[None]:
        """Inside, ops belong to the call of the torch function `name`; inner calls belong to the outermost."""
        self._depth += 1
        if self._depth == 1:
            self._call, self._call_name = public_name(name), None
        try:
            yield
        finally:
            self._depth -= 1

    def _name_results(self, result: Any) -> Any:
        """Remembers that the results of the outermost call go by its name."""
        if self._depth == 1 and self._call_name is not None:
            index = 0
            for leaf in tree_flatten(result)[0]:
                if isinstance(leaf, TracedTensor):
                    name = f"{self._call_name}__outputs__{index}"
                    self._value_names.setdefault(id(leaf.value), (name, leaf.value))
                    index += 1
        return result

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
                return self._tensor(meta, value, View(tensor.memory, steps, tracked))
        return self._tensor(meta, value)

    def cast(self, value: Value, dtype: torch.dtype) -> Value:
        if value.dtype == dtype:
            return value
        return self.emit("to", [value], {"dtype": dtype}, [(dtype, value.shape)])[0]

    def _decompose(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Takes an op without a handler apart; its parts come back to `dispatch`."""
        name = func._schema.name
        if name in _VALUE_SHAPES:
            self.unsupported(name, f"the shape of its result depends on values; {indexing.INSTEAD}")
            return self._undefined_like(_VALUE_SHAPES[name](*args))
        composed = COMPOSED.get(name)
        if composed is not None:
            return self.composed(composed, *args, **kwargs)
        if func._can_decompose():
            return self.composed(func.decompose, *args, **kwargs)
        if _makes_complex(Call(self, func, args, kwargs)):
            return self.fail(func, args, kwargs, f"makes complex numbers; {COMPLEX_INSTEAD}")
        decomposition = _decompositions().get(func)
        if decomposition is None:
            return self.fail(func, args, kwargs)
        return self.composed(decomposition, *args, **kwargs)

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
        return self._undefined_like(out)

    def _undefined_like(self, out: Any) -> Any:
        """Traced tensors without a value, of the shapes of the meta tensors in `out`."""
        return tree_map(
            lambda t: (
                self._tensor(t, self.undefined([(t.dtype, tuple(t.shape))])[0]) if isinstance(t, torch.Tensor) else t
            ),
            out,
        )


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
    def __init__(self, tracer: Tracer) -> None:
        super().__init__()
        self.tracer = tracer

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self.tracer.function(func, args, kwargs or {})


class _DispatchMode(TorchDispatchMode):
    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else torch wraps the method below so that its first call imports torch._dynamo: a second

    def __init__(self, tracer: Tracer) -> None:
        super().__init__()
        self.tracer = tracer

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        try:
            return self.tracer.dispatch(func, args, kwargs or {})
        except TraceError as error:
            self.tracer.refusal = error
            raise
