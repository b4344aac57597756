# SPDX-License-Identifier: Apache-2.0
"""Hooks that a program hangs on gradients: called while the program is traced, on stand-ins for the gradients.

What a hook makes of a gradient becomes part of backward (`custom_gradient`, see custom.py). Hooks of tensors and of
modules may be registered at any time, and are called when forward is over, in the order of backward: a hook counts
for all uses of its tensor, and those that were removed meanwhile do not count. Nothing runs backward in inference,
so there they are left out. What a program may hang elsewhere on backward is refused by name.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.hooks import BackwardHook, RemovableHandle

from sambaflow._trace import custom
from sambaflow._trace.errors import TraceError
from sambaflow._trace.graph import Op, Value
from sambaflow._trace.patches import replaced
from sambaflow._trace.tensor import TracedTensor
from sambaflow._trace.tracer import Tracer

Hook = Callable[..., Any]


@dataclass(eq=False)
class _Hooked:
    """Values whose gradients pass the same hook, which takes and gives a tuple of them; and where that was said."""

    values: tuple[Value, ...]
    hook: Hook
    source: str
    module: str


class Hooks:
    """The hooks of one program."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._hooked: list[_Hooked] = []
        self._of_value: dict[int, OrderedDict[int, Hook]] = {}
        self._replaced: dict[int, Value] = {}

    # ---- what a program registers

    def register(self, tensor: TracedTensor, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """`tensor.register_hook(hook)`."""
        value = self._tracer.read(tensor)
        if not self._tracer.inference and not value.needs_gradient:
            raise TraceError(f"{self._tracer.scope.source()}: register_hook: the tensor does not require a gradient")
        if value.op.name == "symbol" and value.op.attrs["kind"] != "input":
            raise TraceError(
                f"{self._tracer.scope.source()}: register_hook of parameter {value.op.attrs['name']} in forward adds a "
                "hook at every step: register it once, before the model is compiled"
            )
        return self._add(value, hook)

    def take_over(self, tensor: torch.Tensor, value: Value, name: str) -> None:
        """The hooks that were registered on a parameter or input before it became a symbol."""
        if self._tracer.inference or not tensor.requires_grad:
            return
        if tensor._post_accumulate_grad_hooks:  # type: ignore[attr-defined]
            raise TraceError(
                f"{name}: register_post_accumulate_grad_hook cannot be compiled: gradients are used by the compiled "
                "optimizer. Change gradients with register_hook, or remove the hook"
            )
        for hook in (tensor._backward_hooks or {}).values():
            self._add(value, hook)

    def _add(self, value: Value, hook: Hook) -> RemovableHandle:
        hooks = self._of_value.get(id(value))
        if hooks is None:
            hooks = self._of_value[id(value)] = OrderedDict()
            if not self._tracer.inference:
                self.on((value,), _one_after_the_other(hooks))
        handle = RemovableHandle(hooks)
        hooks[handle.id] = hook
        return handle

    def on(self, values: Sequence[Value], hook: Hook) -> None:
        """`hook` takes the gradients of `values`, and returns what to go on with, or None for no change."""
        scope = self._tracer.scope
        self._hooked.append(_Hooked(tuple(values), hook, scope.source(), scope.module))

    # ---- when forward is over

    def finish(self) -> None:
        """Calls the hooks and puts what they make of gradients into the graph."""
        for hooked in reversed(self._hooked):
            self._insert(hooked)
        if self._hooked:
            self._tracer.graph.ops = _in_order(self._tracer.graph.ops)

    def final(self, value: Value) -> Value:
        """`value`, or what stands for it after its hooks."""
        return self._replaced.get(id(value), value)

    def _insert(self, hooked: _Hooked) -> None:
        tracer, ops = self._tracer, self._tracer.graph.ops
        count = len(ops)
        tensors = [tracer.wrap(value) for value in hooked.values]
        with torch.no_grad():
            joined = custom.flat(tensors)
            stand_in = tracer.stand_in(joined)
            pieces = custom.apart(stand_in, tensors, range(len(tensors)))
            made = self._call(hooked, pieces)
            if made is None:
                ops[count:] = [op for op in ops[count:] if op.name in ("full", "arange", "constant")]
                return
            own = tracer.read(stand_in)
            gradients = [None if item is None else self._checked(item, own, hooked) for item in made]
            operands = [tracer.value(joined), own, *hooked.values, *gradients]
        output = tracer.wrap(tracer.emit("custom_gradient", operands, {}, [operands[0].type])[0])
        after = [tracer.read(piece) for piece in custom.apart(output, tensors, range(len(tensors)))]
        found = {id(value): new for value, new in zip(hooked.values, after, strict=True)}
        self._replaced.update(found)
        for op in ops[:count]:
            op.operands = tuple(found.get(id(operand), operand) for operand in op.operands)

    def _call(self, hooked: _Hooked, pieces: Sequence[torch.Tensor]) -> Sequence[Any] | None:
        try:
            made = hooked.hook(tuple(pieces))
        except TraceError:
            raise
        except Exception as error:
            raise TraceError(f"{hooked.source}: the gradient hook in module {hooked.module}: {error}") from error
        if made is None or all(new is old for new, old in zip(made, pieces, strict=True)):
            return None
        for new, old in zip(made, pieces, strict=True):
            if new is not None and tuple(new.shape) != tuple(old.shape):
                raise TraceError(
                    f"{hooked.source}: the gradient hook in module {hooked.module} returns shape {tuple(new.shape)} "
                    f"for a gradient of shape {tuple(old.shape)}"
                )
        return made

    def _checked(self, gradient: torch.Tensor, own: Value, hooked: _Hooked) -> Value:
        """The value of a gradient that hangs on no other stand-in than `own`."""
        value = self._tracer.value(gradient)
        seen: set[int] = set()
        waiting = [value]
        while waiting:
            item = waiting.pop()
            if id(item) in seen or item is own:
                continue
            seen.add(id(item))
            if item.op.name == "cotangent":
                raise TraceError(
                    f"{hooked.source}: a backward hook in module {hooked.module} makes a gradient of its inputs from "
                    "that of its outputs (grad_output), which cannot be compiled; write an autograd.Function instead"
                )
            if item.op.name != "custom_gradient":  # its stand-in is spoken for
                waiting.extend(operand for operand in item.op.operands if operand is not None)
        return value


def _one_after_the_other(hooks: OrderedDict[int, Hook]) -> Hook:
    def call(gradients: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        (gradient,) = gradients
        for hook in hooks.values():
            made = hook(gradient)
            gradient = gradient if made is None else made
        return (gradient,)

    return call


def _in_order(ops: Sequence[Op]) -> list[Op]:
    """`ops`, each after those that it reads of; otherwise as they were."""
    ordered: list[Op] = []
    placed: set[int] = set()
    open_ops: set[int] = set()
    for first in ops:
        waiting = [first]
        while waiting:
            op = waiting[-1]
            missing = [v.op for v in op.operands if v is not None and id(v.op) not in placed]
            if id(op) in placed or not missing:
                waiting.pop()
                open_ops.discard(id(op))
                if id(op) not in placed:
                    placed.add(id(op))
                    ordered.append(op)
                continue
            open_ops.add(id(op))
            if any(id(other) in open_ops for other in missing):
                where = op.origin[1] if op.origin else "<unknown>"
                raise TraceError(f"{where}: a gradient hook uses a value that is computed from the hooked tensor after "
                                 "it, which cannot be compiled")  # fmt: skip
            waiting.append(missing[0])
    return ordered


# ---- hooks of modules


class _Node:
    """What torch's `BackwardHook` registers on: the node of a graph of autograd in eager mode."""

    def __init__(self) -> None:
        self.hooks: list[Hook] = []

    def register_hook(self, hook: Hook) -> None:
        self.hooks.append(hook)

    def __call__(self, gradients: tuple[Any, ...]) -> Any:
        """Hooks of input gradients take (grad_input, grad_output), those of output gradients read the second."""
        for hook in self.hooks:
            made = hook(gradients, gradients)
            gradients = gradients if made is None else made
        return gradients


class _ModuleHook(BackwardHook):
    """Torch's own, with the gradients of a module's inputs or outputs taken here."""

    tracer: Tracer
    hooks: Hooks

    def _apply_on_tensors(self, fn: Callable[[_Node], None], args: Any) -> tuple[Any, list[int] | None]:
        places = [index for index, item in enumerate(args) if isinstance(item, torch.Tensor)]
        wanting = [index for index in places if args[index].requires_grad]
        if not wanting or not torch.is_grad_enabled():
            return args, None
        items = list(args)
        for index in wanting:
            items[index] = args[index].clone()
        node = _Node()
        fn(node)

        def call(gradients: tuple[Any, ...]) -> tuple[Any, ...]:
            given = dict(zip(wanting, gradients, strict=True))
            made = dict(zip(places, node(tuple(given.get(index) for index in places)), strict=True))
            return tuple(made[index] for index in wanting)

        self.hooks.on([self.tracer.value(items[index]) for index in wanting], call)
        return (tuple(items) if type(args) is tuple else type(args)(*items)), places


# ---- what else happens in backward alone


class _Backward:
    """Stands for the `grad_fn` of a traced tensor: it is there, and has nothing to give."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def __getattr__(self, name: str) -> Any:
        source = self._tracer.scope.source()
        raise TraceError(
            f"{source}: grad_fn.{name}: a traced program has no graph of autograd; use Tensor.register_hook"
        )


def attribute(tracer: Tracer, tensor: TracedTensor, name: str) -> Any:
    """`requires_grad`, `is_leaf` or `grad_fn` of a traced tensor, as eager training has it."""
    value = tracer.read(tensor)
    if name == "requires_grad":
        return value.needs_gradient
    has_function = value.needs_gradient and value.op.name != "symbol"
    return not has_function if name == "is_leaf" else _Backward(tracer) if has_function else None


def set_requires_grad(tracer: Tracer, tensor: TracedTensor, requires_grad: bool = True) -> TracedTensor:
    """`tensor.requires_grad_(..)`: which parameters get a gradient is settled before a program is traced."""
    value = tracer.read(tensor)
    is_parameter = value.op.name == "symbol" and value.op.attrs["kind"] == "param"
    if is_parameter and not tracer.inference and bool(requires_grad) != value.needs_gradient:
        raise TraceError(
            f"{tracer.scope.source()}: requires_grad of parameter {value.op.attrs['name']} is changed in forward: set "
            "it before the model is compiled"
        )
    return tensor


ATTRIBUTES = {"requires_grad", "is_leaf", "grad_fn"}


@contextlib.contextmanager
def following(tracer: Tracer, hooks: Hooks) -> Iterator[None]:
    """Inside, module hooks are taken, and hooks on what autograd saves are refused."""
    saved_hooks = torch.autograd.graph.saved_tensors_hooks
    enter = saved_hooks.__enter__

    def refuse(self: Any) -> Any:
        if type(self) is saved_hooks and not tracer.inference:
            raise TraceError(
                f"{tracer.scope.source()}: saved_tensors_hooks: the compiler decides what is kept for backward; leave "
                "them out (those of torch, such as save_on_cpu, may stay)"
            )
        return enter(self)

    own = type("ModuleHook", (_ModuleHook,), {"tracer": tracer, "hooks": hooks})
    with contextlib.ExitStack() as stack:
        stack.enter_context(replaced(torch.nn.modules.module, "BackwardHook", own))
        stack.enter_context(replaced(saved_hooks, "__enter__", refuse))
        yield
