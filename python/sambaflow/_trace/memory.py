# SPDX-License-Identifier: Apache-2.0
"""What reading and writing the memory of traced tensors means, for elements and for gradients.

A graph has values only. A write to a view computes the new value of its parent, up to the base, and views are computed
anew from the base when it has been written since. Autograd follows writes only in grad mode and only through views that
it knows. Any other write changes elements and leaves the gradient as it was: the row `straight_through` says so, one
value's elements with another's gradient.
"""

from __future__ import annotations

import torch

from sambaflow._trace import views
from sambaflow._trace.errors import TraceError
from sambaflow._trace.graph import Value
from sambaflow._trace.recorder import Recorder
from sambaflow._trace.tensor import Memory, TracedTensor, View


def read(recorder: Recorder, memory: Memory) -> Value:
    """The current value; a view is computed anew when its base was written."""
    view = memory.view_of
    if view is not None and memory.version != memory.base.version:
        with torch.set_grad_enabled(view.tracked):
            value = views.replay(recorder, view, read(recorder, view.parent))
        memory.value = value if view.tracked else mixed(recorder, value, memory.value)
        memory.version = memory.base.version
    return memory.value


def write(recorder: Recorder, memory: Memory, value: Value) -> None:
    """`memory`, and everything that shares it, takes on `value`, in the grad mode at hand."""
    if torch.is_grad_enabled() and memory.is_leaf:
        raise TraceError(
            f"{recorder.scope.source()}: a parameter (or another leaf that requires a gradient) is written in place, "
            "which PyTorch refuses; write under torch.no_grad(), or to .data, where no gradient is meant"
        )
    if not torch.is_grad_enabled():
        value = mixed(recorder, value, read(recorder, memory))
    view = memory.view_of
    if view is None:
        memory.version += 1
        if memory.first_write is None:
            memory.first_write = len(recorder.graph.ops)
    else:
        with torch.set_grad_enabled(torch.is_grad_enabled() and view.tracked):
            is_all = view.steps == ()  # of the parent, as it lies there
            whole = value if is_all else views.scatter(recorder, view, read(recorder, view.parent), value)
            write(recorder, view.parent, whole)
        memory.version = memory.base.version
    memory.value = value


def rebind(recorder: Recorder, tensor: TracedTensor, source: TracedTensor) -> None:
    """`tensor.data = source`: from now on the elements are those of `source`, in shared memory; the gradient stays."""
    if tensor.shape != source.shape or tensor.dtype != source.dtype:
        raise TraceError(
            f"{recorder.scope.source()}: a tensor of shape {list(tensor.shape)}, {tensor.dtype} is given data of shape "
            f"{list(source.shape)}, {source.dtype}; shapes and dtypes are fixed when a program is compiled"
        )
    value = mixed(recorder, read(recorder, source.memory), read(recorder, tensor.memory))
    memory = Memory(value, View(source.memory, (), tracked=False), is_leaf=tensor.memory.is_leaf)
    tensor.meta = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")
    tensor.memory = memory


def mixed(recorder: Recorder, elements: Value, gradient: Value) -> Value:
    """The elements of one value with the gradient of another."""
    if elements is gradient or not (elements.needs_gradient or gradient.needs_gradient):
        return elements
    with torch.enable_grad():
        if gradient.needs_gradient:
            return recorder.emit("straight_through", [elements, gradient], {}, [elements.type])[0]
        return recorder.emit("detach", [elements], {}, [elements.type])[0]


def covering(recorder: Recorder, elements: Value, before: Value) -> Value:
    """The elements of one value, with zeros for the gradient of another that was there before."""
    if not torch.is_grad_enabled() or not before.needs_gradient:
        return elements
    never = recorder.graph.full(0, torch.bool, ())
    return recorder.emit("where", [never, before, elements], {}, [elements.type])[0]
