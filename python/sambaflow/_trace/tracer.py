# SPDX-License-Identifier: Apache-2.0
"""A trace under way, as its parts see it: what is recorded, and which tensors of the program stand for which values."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch

from sambaflow._tensors.binding import active_trace
from sambaflow._trace import memory
from sambaflow._trace.errors import StaleError, TraceError
from sambaflow._trace.graph import Graph, Value
from sambaflow._trace.plain import PlainTensors
from sambaflow._trace.recorder import Recorder
from sambaflow._trace.saved import SavedTensors
from sambaflow._trace.scope import Scope
from sambaflow._trace.shapes import Shapes
from sambaflow._trace.tensor import Memory, TracedTensor


class Tracer(Recorder):
    """Records one program into a graph. What torch calls becomes of it is said by `Dispatcher` (dispatch.py)."""

    def __init__(self, graph: Graph, scope: Scope, *, inference: bool = False) -> None:
        super().__init__(graph, scope, inference=inference)
        self.plain = PlainTensors(self)
        self.saved = SavedTensors(self)
        self.shapes = Shapes()
        self.refusal: TraceError | None = None  # the last that an op raised

    def release(self) -> None:
        """Forgets the tensors of the trace."""
        self.plain.clear()
        self.saved.clear()

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

    def value(self, tensor: torch.Tensor) -> Value:
        tensor = self.lookup(tensor)
        return self.read(tensor) if isinstance(tensor, TracedTensor) else self.constant(tensor)

    # ---- what torch is asked for

    @abstractmethod
    def function(self, func: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """One call of a torch function by the program."""

    @abstractmethod
    def dispatch(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """One ATen op."""

    @abstractmethod
    def composed(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Calls a function made of torch functions; what it does is recorded as part of the op at hand."""

    @abstractmethod
    def fail(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], reason: str = "") -> Any:
        """Notes an unsupported op and goes on with undefined results of the right shape."""


def current() -> Tracer | None:
    """The tracer at work in this thread."""
    return cast("Tracer | None", active_trace.get())
