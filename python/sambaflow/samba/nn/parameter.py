# SPDX-License-Identifier: Apache-2.0
"""SambaParameter: a parameter that is a SambaTensor and an nn.Parameter at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from sambaflow._base.library import InvalidArgumentError
from sambaflow._tensors.binding import active_trace
from sambaflow._tensors.tensor import SambaTensor, binding_of, plain_tensor, source_tensor, wrap


class SambaParameter(SambaTensor, nn.Parameter):
    """A parameter with a name on the device. Hashed by identity, as all torch tensors are.

    Made from a tensor, or from `shape` and `dtype` alone with a `materializer` that makes the data when needed.
    """

    @staticmethod
    def __new__(
        cls,
        data: Any = None,
        requires_grad: bool = True,
        shape: Iterable[int] | None = None,
        dtype: torch.dtype | None = None,
        materializer: Callable[..., torch.Tensor] | None = None,
        name: str | None = None,
        region_name: str | None = None,
        **_: Any,
    ) -> SambaParameter:
        plain, has_data = source_tensor(data, None if shape is None else list(shape), dtype)
        self = wrap(plain.detach(), name, cls=cls, requires_grad=requires_grad)
        binding = binding_of(self)
        binding.has_data, binding.materializer, binding.region = has_data, materializer, region_name
        return self

    def register_hook(self, hook: Callable[..., Any]) -> Any:
        """As torch's, before the model is compiled: the hook becomes part of the program."""
        self._refuse_late("register_hook")
        return super().register_hook(hook)

    def register_post_accumulate_grad_hook(self, hook: Callable[..., Any]) -> Any:
        self._refuse_late("register_post_accumulate_grad_hook")
        return super().register_post_accumulate_grad_hook(hook)

    def _refuse_late(self, method: str) -> None:
        """Raises where a program is loaded that computes the gradient: hooks are part of what was compiled."""
        owner = binding_of(self).owner
        if active_trace.get() is None and owner is not None and owner.has_gradient(self):
            raise InvalidArgumentError(
                f"{method} of {self.sn_name}: the program that is loaded was compiled without the hook and would "
                "ignore it; register it before compile and trace_graph"
            )

    def __reduce_ex__(self, protocol: Any) -> Any:
        return nn.Parameter(plain_tensor(self).detach(), self.requires_grad).__reduce_ex__(protocol)

    def __repr__(self, **_: Any) -> str:
        return f"SambaParameter {self.sn_name or ''}\n{plain_tensor(self)!r}"


def convert_parameter(parameter: nn.Parameter, name: str) -> SambaParameter:
    """Turns `parameter` into a SambaParameter in place: optimizers and private weight lists that hold it keep it."""
    if not isinstance(parameter, SambaParameter):
        if isinstance(parameter, nn.parameter.UninitializedTensorMixin):
            raise ValueError(f"{name} is an uninitialised lazy parameter: run the model once on the host first")
        parameter.__class__ = SambaParameter
    if parameter.sn_name is None:
        parameter.sn_name = name
    return parameter
