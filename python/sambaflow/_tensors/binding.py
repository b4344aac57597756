# SPDX-License-Identifier: Apache-2.0
"""What the SDK knows about one SambaTensor, and what tensors ask of those who stand above them.

Plug-in points: a trace that is under way sets `active_trace`, and the package `sambaflow.samba` says with
`hold_by_default` which session has what was never traced. Imports no torch, as that package does not.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from sambaflow._base.library import InvalidArgumentError

if TYPE_CHECKING:
    import torch


class Trace(Protocol):
    """What tensors ask of the trace that is under way."""

    def lookup(self, tensor: torch.Tensor) -> torch.Tensor:
        """The traced tensor that `tensor` stands for, or `tensor` itself."""

    def named(self, tensor: Any, name: str | None) -> Any:
        """`from_torch_tensor` inside forward."""


class Holder(Protocol):
    """What tensors ask of the session that has their values on its device."""

    def holds(self, tensor: Any) -> bool:
        """Whether the tensor has a symbol."""

    def read_tensor(self, tensor: Any) -> torch.Tensor:
        """A copy of the device's value."""

    def write_tensor(self, tensor: Any) -> None:
        """Copies the host's value to the device."""

    def gradient_of(self, tensor: Any) -> torch.Tensor | None:
        """The gradient of a parameter or input as the device has it; None where there is none."""

    def has_gradient(self, tensor: Any) -> bool:
        """Whether the loaded program computes one."""


active_trace: contextvars.ContextVar[Trace | None] = contextvars.ContextVar("leat_trace", default=None)
_default_holder: Callable[[], Holder]


def hold_by_default(holder: Callable[[], Holder]) -> None:
    """`holder` gives the session of tensors that no session has traced."""
    global _default_holder
    _default_holder = holder


class Binding:
    """What the SDK knows about one SambaTensor."""

    __slots__ = (
        "batch_dim",
        "grad",
        "has_data",
        "host_memory",
        "is_pinned",
        "materializer",
        "model",
        "name",
        "named_dims",
        "plain",
        "region",
        "session",
        "sized_dims",
    )

    def __init__(self, plain: torch.Tensor, name: str | None = None) -> None:
        self.plain = plain
        self.name = name
        self.region: str | None = None
        self.batch_dim: int | None = None
        self.named_dims: tuple[str | None, ...] | None = None
        self.sized_dims: tuple[str | None, ...] | None = None
        self.materializer: Callable[..., torch.Tensor] | None = None
        self.grad: torch.Tensor | None = None
        self.session: Callable[[], Holder | None] | None = None  # weak references to the session that traced it last,
        self.model: Callable[[], Any] | None = None  # and to the model that it was traced with
        self.has_data = True
        self.host_memory = True
        self.is_pinned = False  # the program knows its address

    def copy_names(self, plain: torch.Tensor) -> Binding:
        """A binding of another tensor that goes by the same name."""
        new = Binding(plain, self.name)
        new.region, new.batch_dim = self.region, self.batch_dim
        new.named_dims, new.sized_dims = self.named_dims, self.sized_dims
        new.host_memory, new.session, new.model = self.host_memory, self.session, self.model
        return new

    @property
    def owner(self) -> Holder | None:
        """The session that traced the tensor last, if it lives."""
        return None if self.session is None else self.session()

    @property
    def holder(self) -> Holder:
        """The same; the session of the process where there is none."""
        return self.owner or _default_holder()

    def check_gradient(self, grad: torch.Tensor) -> None:
        """Raises InvalidArgumentError where `sn_grad` cannot be set to `grad`."""


class OutputBinding(Binding):
    """The binding of a traced output: it also knows how its gradient is seeded (one, zero or symbol)."""

    __slots__ = ("seed",)

    def __init__(self, plain: torch.Tensor, name: str, seed: str) -> None:
        super().__init__(plain, name)
        self.seed = seed

    def check_gradient(self, grad: torch.Tensor) -> None:
        """Raises InvalidArgumentError where the seed was fixed at compile time to another one."""
        if self.seed == "symbol" or (self.seed == "one" and bool((grad == 1).all())):
            return
        if self.seed == "one":
            raise InvalidArgumentError(
                f"the gradient of {self.name} was fixed to one when the PEF was compiled; compile and trace with "
                "init_output_grads=False to set it"
            )
        raise InvalidArgumentError(
            f"{self.name} is not a loss of this program, so no gradient flows from it; name it in loss_indices when "
            "compiling and tracing"
        )
