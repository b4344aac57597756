# SPDX-License-Identifier: Apache-2.0
"""`torch.vmap` in a program: its tensors wrap those of the program, a dim each, and have no memory of their own.

Torch's batching rules turn an op on wrapped tensors into ops on what they wrap, and those are traced. The transforms of
`torch.func` that differentiate are refused: gradients are made by the compiler.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch._functorch import eager_transforms
from torch.utils._pytree import tree_leaves

from sambaflow._trace.errors import TraceError
from sambaflow._trace.patches import replaced
from sambaflow._trace.recorder import Recorder

is_batched: Callable[[torch.Tensor], bool] = torch._C._functorch.is_batchedtensor


def unwrapped(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor of the program inside all of the wrappers, or `tensor` itself."""
    while is_batched(tensor):
        tensor = torch._C._functorch.get_unwrapped(tensor)
    return tensor


def any_in(tree: Any) -> bool:
    """Whether a tree of arguments holds a tensor of `torch.vmap`."""
    return any(isinstance(leaf, torch.Tensor) and is_batched(leaf) for leaf in tree_leaves(tree))


@contextlib.contextmanager
def without_gradients(recorder: Recorder) -> Iterator[None]:
    """Inside, `torch.func.grad`, `vjp`, `jvp` and their kin are refused."""

    def refuse(*_: Any) -> Any:
        raise TraceError(
            f"{recorder.scope.source()}: in module {recorder.scope.module}: a transform that differentiates "
            "(torch.func.grad, vjp, jvp, jacrev, jacfwd, hessian, forward_ad) cannot be traced: gradients are made by "
            "the compiler; write the derivative as ops, or an autograd.Function"
        )

    with contextlib.ExitStack() as stack:
        for owner, name in _LEVELS:
            real = getattr(owner, name)
            stack.enter_context(
                replaced(owner, name, lambda *a, real=real: refuse() if recorder.is_current else real(*a))
            )
        yield


# Where such a transform begins.
_LEVELS = (
    (eager_transforms, "grad_increment_nesting"),
    (eager_transforms, "jvp_increment_nesting"),
    (torch.autograd.forward_ad, "enter_dual_level"),
)
