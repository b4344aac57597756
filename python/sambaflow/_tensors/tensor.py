# SPDX-License-Identifier: Apache-2.0
"""SambaTensor: a torch tensor that has a name on the device.

A SambaTensor is a `torch.Tensor` subclass on ordinary storage, so every torch function takes it and shares its
memory. What the SDK knows about it (name, region, batch axis, ...) is kept in one small object, `Binding`, beside a
plain tensor of the same memory: the run path of the session touches only that plain tensor, since attribute access
on a subclass costs a microsecond or two.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import torch

from sambaflow._base.library import UnsupportedAttributeError
from sambaflow._tensors.binding import Binding, active_trace
from sambaflow._tensors.random import RNGProviderFactory

_plain_call = torch._C.DisableTorchFunctionSubclass
_make_subclass = torch.Tensor._make_subclass


class DimInfo:
    """A dynamic dimension: sizes from `min` to `max` in steps of `factor`."""

    def __init__(self, name: str = "", min: int = 1, max: int = 1, factor: int = 1) -> None:
        self.name, self.min, self.max, self.factor = name, min, max, factor

    def __repr__(self) -> str:
        return f"DimInfo({self.name!r}, min={self.min}, max={self.max}, factor={self.factor})"


def plain_tensor(tensor: torch.Tensor) -> torch.Tensor:
    """`tensor` as an ordinary torch.Tensor that shares memory, and autograd history if it has any."""
    if type(tensor) is torch.Tensor:
        return tensor
    with _plain_call():
        if tensor.is_leaf:
            return _make_subclass(torch.Tensor, tensor, tensor.requires_grad)
        return tensor.as_subclass(torch.Tensor)


def _empty(shape: Iterable[int], dtype: torch.dtype | None) -> torch.Tensor:
    """A tensor of `shape` that occupies one element: readable, but without data of its own."""
    return torch.zeros((), dtype=dtype or torch.get_default_dtype(), device="cpu").expand(tuple(int(s) for s in shape))


def source_tensor(tensor: Any, shape: Iterable[int] | None, dtype: torch.dtype | None) -> tuple[torch.Tensor, bool]:
    """The plain tensor that a constructor call describes, and whether it has data."""
    if tensor is None:
        return _empty(() if shape is None else shape, dtype), False
    if not isinstance(tensor, torch.Tensor):
        tensor = torch.as_tensor(tensor)
    if dtype is not None and tensor.dtype != dtype:
        tensor = tensor.to(dtype)
    if shape is not None and tensor.numel() == 0:
        return _empty(shape, tensor.dtype), False
    return plain_tensor(tensor), True


class SambaTensor(torch.Tensor):
    """A named tensor, shared with the host."""

    _binding: Binding | None = None

    @staticmethod
    def __new__(
        cls,
        torch_tensor: Any = None,
        shape: Iterable[int] | None = None,
        dtype: torch.dtype | None = None,
        name: str | None = None,
        batch_dim: int | None = None,
        named_dims: Iterable[str | None] | None = None,
        sized_dims: Iterable[str | None] | None = None,
        materializer: Callable[..., torch.Tensor] | None = None,
        is_complex: bool | None = None,
        region_name: str | None = None,
        **_: Any,
    ) -> SambaTensor:
        plain, has_data = source_tensor(torch_tensor, shape, dtype)
        if is_complex and not plain.is_complex():
            raise ValueError("is_complex=True needs a complex tensor")
        self = wrap(plain, name, batch_dim, cls=cls)
        binding = binding_of(self)
        binding.has_data = has_data
        binding.region = region_name
        binding.materializer = materializer
        binding.named_dims = None if named_dims is None else tuple(named_dims)
        binding.sized_dims = None if sized_dims is None else tuple(sized_dims)
        return self

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()

    # ---- what the SDK adds

    @property
    def sn_name(self) -> str | None:
        """The name that binds the tensor to a symbol of the compiled program."""
        return binding_of(self).name

    @sn_name.setter
    def sn_name(self, name: str | None) -> None:
        binding_of(self).name = name

    @property
    def sn_region_name(self) -> str | None:
        """The device memory region; the name unless set."""
        binding = binding_of(self)
        return binding.region or binding.name

    @sn_region_name.setter
    def sn_region_name(self, region: str | None) -> None:
        binding_of(self).region = region

    @property
    def batch_dim(self) -> int | None:
        return binding_of(self).batch_dim

    @batch_dim.setter
    def batch_dim(self, dim: int | None) -> None:
        binding_of(self).batch_dim = dim

    @property
    def named_dims(self) -> tuple[str | None, ...] | None:
        return binding_of(self).named_dims

    @property
    def sized_dims(self) -> tuple[str | None, ...] | None:
        return binding_of(self).sized_dims

    @property
    def host_memory(self) -> bool:
        return binding_of(self).host_memory

    @host_memory.setter
    def host_memory(self, value: bool) -> None:
        binding_of(self).host_memory = bool(value)

    @property
    def has_data(self) -> bool:
        """False for tensors that were made from a shape alone."""
        return binding_of(self).has_data and self.device.type != "meta"

    @property
    def sn_grad(self) -> torch.Tensor | None:
        """Of an output: the seed of its gradient. Of a parameter or input: its gradient on the device."""
        binding = binding_of(self)
        return binding.grad if binding.grad is not None else binding.holder.gradient_of(self)

    @sn_grad.setter
    def sn_grad(self, grad: torch.Tensor | None) -> None:
        binding = binding_of(self)
        if grad is not None:
            binding.check_gradient(plain_tensor(grad))
        binding.grad = None if grad is None else plain_tensor(grad)

    @property
    def sn_data(self) -> torch.Tensor:
        """A copy of the tensor's value on the device."""
        binding = binding_of(self)
        return wrap(binding.holder.read_tensor(self), binding.name, binding.batch_dim)

    @property
    def dsts(self) -> Any:
        """Not supported: a traced graph cannot be rewired (programs do that to join several graphs in one PEF)."""
        raise UnsupportedAttributeError(
            "SambaTensor.dsts: a traced graph cannot be rewired, since several graphs in one PEF are not supported "
            "yet; compile each graph into a PEF of its own"
        )

    def torch(self) -> torch.Tensor:
        """The plain torch tensor of the same memory."""
        return plain_tensor(self)

    torch_tensor = torch

    def rdu(self) -> SambaTensor:
        """Copies the tensor to the device; an empty one is materialised first."""
        materialize(self)
        binding_of(self).holder.write_tensor(self)
        return self

    def cpu(self, *_: Any, **__: Any) -> SambaTensor:
        """A host copy of the device's value where the tensor is on the device, else the tensor itself."""
        return self.sn_data if binding_of(self).holder.holds(self) else self

    def cpu_(self) -> SambaTensor:
        """Overwrites the host memory with the device's value."""
        if binding_of(self).holder.holds(self):
            with torch.no_grad():
                plain_tensor(self).detach().copy_(self.sn_data)
        return self

    def clear_data(self) -> None:
        """Drops the host memory; shape and name stay."""
        with _plain_call():
            self.data = _empty(self.shape, self.dtype)
        binding = binding_of(self)
        binding.plain, binding.has_data = plain_tensor(self.detach()), False

    # ---- torch protocol

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs torch's own function and marks its results; dtype conversions carry the name along."""
        with _plain_call():
            result = func(*args, **(kwargs or {}))
        if func is _ADDRESS:
            binding_of(args[0]).is_pinned = True
        if func in _NOT_WRAPPED:
            if func == _SET_DATA:
                _refresh(args[0])
            return plain_tensor(result) if func == _GET_DATA else result
        result = _mark(result)
        if func in _KEEPS_NAME and isinstance(result, SambaTensor) and result is not args[0]:
            binding = getattr(args[0], "_binding", None)
            if binding is not None and binding.name is not None:
                result._binding = binding.copy_names(plain_tensor(result.detach()))
        return result

    def __reduce_ex__(self, protocol: Any) -> Any:
        return plain_tensor(self).__reduce_ex__(protocol)

    def __deepcopy__(self, memo: dict[int, Any]) -> SambaTensor:
        tracer = active_trace.get()
        if tracer is not None:
            return tracer.lookup(self).detach().clone()
        if id(self) not in memo:
            new = wrap(plain_tensor(self).detach().clone(), cls=type(self), requires_grad=self.requires_grad)
            if self._binding is not None:
                new._binding = self._binding.copy_names(binding_of(new).plain)
                new._binding.has_data = self._binding.has_data
                new._binding.materializer = self._binding.materializer
            memo[id(self)] = new
        return memo[id(self)]


_KEEPS_NAME = {
    torch.Tensor.bfloat16,
    torch.Tensor.bool,
    torch.Tensor.detach,
    torch.Tensor.double,
    torch.Tensor.float,
    torch.Tensor.half,
    torch.Tensor.int,
    torch.Tensor.long,
    torch.Tensor.short,
    torch.Tensor.to,
    torch.Tensor.type,
}
_ADDRESS = torch.Tensor.data_ptr
_SET_DATA = torch.Tensor.data.__set__  # type: ignore[attr-defined]
_GET_DATA = torch.Tensor.data.__get__  # type: ignore[attr-defined]
_NOT_WRAPPED = torch.overrides.get_default_nowrap_functions() | {_SET_DATA, _GET_DATA}


def _mark(result: Any) -> Any:
    """Plain tensors in `result` as SambaTensors."""
    if type(result) is torch.Tensor:
        return result.as_subclass(SambaTensor)
    if isinstance(result, tuple) and any(isinstance(item, torch.Tensor) for item in result):
        marked = [_mark(item) for item in result]
        return type(result)(*marked) if hasattr(result, "_fields") else type(result)(marked)
    if isinstance(result, list):
        return [_mark(item) for item in result]
    return result


def _refresh(tensor: torch.Tensor) -> None:
    """After `tensor.data = ...`: the binding follows the new memory."""
    binding = getattr(tensor, "_binding", None)
    if binding is not None:
        binding.plain, binding.has_data = plain_tensor(tensor.detach()), True


def wrap(
    plain: torch.Tensor,
    name: str | None = None,
    batch_dim: int | None = None,
    *,
    cls: type[SambaTensor] = SambaTensor,
    requires_grad: bool | None = None,
) -> Any:
    """`plain` as a SambaTensor of the same memory."""
    wants = plain.requires_grad if requires_grad is None else requires_grad
    tensor = _make_subclass(cls, plain, wants)
    binding = Binding(plain.detach() if plain.requires_grad else plain, name)
    binding.batch_dim = batch_dim
    tensor._binding = binding
    return tensor


def binding_of(tensor: Any) -> Binding:
    """The binding of `tensor`, made at first use."""
    binding = tensor._binding
    if binding is None:
        binding = tensor._binding = Binding(plain_tensor(tensor.detach()))
    return binding


def from_torch_tensor(
    torch_tensor: Any,
    name: str | None = None,
    batch_dim: int | None = None,
    named_dims: Iterable[str | None] | None = None,
    sized_dims: Iterable[str | None] | None = None,
    **_: Any,
) -> SambaTensor:
    """Names a torch tensor (or a numpy array); the result shares its memory."""
    tracer = active_trace.get()
    if tracer is not None:
        return tracer.named(torch_tensor, name)
    if not isinstance(torch_tensor, torch.Tensor):
        torch_tensor = torch.as_tensor(torch_tensor)
    plain = torch_tensor if type(torch_tensor) is torch.Tensor else plain_tensor(torch_tensor)
    tensor = wrap(plain, name, batch_dim)
    if named_dims is not None:
        tensor._binding.named_dims = tuple(named_dims)
    if sized_dims is not None:
        tensor._binding.sized_dims = tuple(sized_dims)
    return tensor


def to_torch(tensor: Any) -> Any:
    """A SambaTensor as a plain torch tensor of the same memory; a torch tensor as it is."""
    if active_trace.get() is not None or not isinstance(tensor, SambaTensor):
        return tensor
    return plain_tensor(tensor)


def materialize(tensor: SambaTensor) -> None:
    """Gives an empty tensor the data that its materializer makes.

    The materializer gets the tensor, and a random generator only where it has two required positional parameters.
    """
    binding = binding_of(tensor)
    if tensor.has_data or binding.materializer is None:
        return
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(binding.materializer).parameters.values()
    required = [p for p in parameters if p.kind in positional and p.default is p.empty]
    if len(required) == 2:
        data = binding.materializer(tensor, RNGProviderFactory().build_provider()())
    else:
        data = binding.materializer(tensor)
    tensor.data = plain_tensor(data).detach().to(tensor.dtype)
