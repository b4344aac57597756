# SPDX-License-Identifier: Apache-2.0
"""Weights and optimizer state between host and device. Names: docs/graph-text.md."""

from __future__ import annotations

import mmap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from sambaflow._runtime.device import Device, Symbol
from sambaflow._tensors.tensor import SambaTensor, binding_of, materialize, plain_tensor, wrap
from sambaflow._trace.optimizers import Statement

# Roles of states: those of the program, and of a parameter
_RANDOM, _STEP = "random__state", "step"
_MASTER = "master"  # fp32 copy of a half-precision parameter, where the optimizer keeps one
# Keys of torch's optimizer state that go by another name than the role of the symbol.
_TORCH_KEYS = {"momentum": "momentum_buffer"}


@dataclass
class RunState:
    """What runs carry on beside parameters, buffers and optimizer state."""

    random: torch.Tensor | None = None
    hyperparameters: dict[str, float] = field(default_factory=dict)


def write_tensors(device: Device, tensors: Mapping[str, torch.Tensor]) -> None:
    """Host to device. Tensors without data are materialised; where nothing makes them the device keeps its values."""
    for name, tensor in tensors.items():
        if isinstance(tensor, SambaTensor):
            materialize(tensor)
            if not tensor.has_data:
                continue
        if tensor.device.type != "meta":
            write_value(device, device.find(name), plain_tensor(tensor))


def write_value(device: Device, symbol: Symbol, tensor: torch.Tensor) -> None:
    """Writes `symbol`; the master copy of a parameter follows its new value."""
    device.write(symbol, tensor)
    master = device.of(symbol.name, _MASTER)
    if master is not None:
        device.write(master, tensor)


def read_tensors(device: Device, tensors: Mapping[str, torch.Tensor]) -> None:
    """Device to host, in place. Autograd does not notice: a graph of the host model stays usable."""
    for name, tensor in tensors.items():
        if isinstance(tensor, SambaTensor) and not tensor.has_data:
            tensor.data = device.read(device.find(name))
        else:
            device.read_into(device.find(name), plain_tensor(tensor).detach())


def replace_meta(model: nn.Module, optimizers: Sequence[torch.optim.Optimizer]) -> dict[int, torch.Tensor]:
    """Puts tensors with memory in place of those on the device meta; new ones by the id of the old.

    Shared ones stay shared, and the optimizers follow.
    """
    replaced: dict[int, torch.Tensor] = {}
    keep = []  # the old ones, so that no id is given twice
    for module in model.modules():
        for held in (module._parameters, module._buffers):
            for name, tensor in held.items():
                if tensor is None or tensor.device.type != "meta":
                    continue
                keep.append(tensor)
                if id(tensor) not in replaced:
                    replaced[id(tensor)] = _with_memory(tensor)
                held[name] = replaced[id(tensor)]  # type: ignore[assignment]
        if isinstance(module, nn.RNNBase):
            module._init_flat_weights()
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["params"] = [replaced.get(id(p), p) for p in group["params"]]
        for old in keep:
            if old in optimizer.state:
                optimizer.state[replaced[id(old)]] = optimizer.state.pop(old)
    return replaced


def _with_memory(tensor: torch.Tensor) -> torch.Tensor:
    plain = torch.zeros(tensor.shape, dtype=tensor.dtype)
    if not isinstance(tensor, SambaTensor):
        return plain
    new = wrap(plain, cls=type(tensor), requires_grad=tensor.requires_grad)
    new._binding = binding_of(tensor).copy_names(binding_of(new).plain)
    return new


def state_tensors(device: Device) -> dict[str, SambaTensor]:
    """A stand-in for every optimizer state on the device; `.rdu()` and `.cpu()` work on them."""
    return {s.name: wrap(_untouched_zeros(s), s.name) for s in device.kept_states() if s.role != _RANDOM}


def _untouched_zeros(symbol: Symbol) -> torch.Tensor:
    """Zeros that take memory only where they are written: most programs never look at them."""
    if symbol.data_bytes < mmap.PAGESIZE:
        return torch.zeros(symbol.shape, dtype=symbol.dtype)
    pages = mmap.mmap(-1, symbol.data_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return torch.frombuffer(pages, dtype=symbol.dtype).view(symbol.shape)


def _states_of(device: Device, parameter: torch.Tensor) -> dict[str, Symbol]:
    """What the device keeps for a parameter, by role."""
    return device.states_of(str(getattr(parameter, "sn_name", None)))


def write_optimizers(
    device: Device, statements: Sequence[Statement], only: torch.optim.Optimizer | None = None
) -> None:
    """The state that host optimizers have (from a checkpoint) to the device.

    With `only`, the state of that optimizer takes the place of the device's as a whole: what it lacks starts anew.
    """
    for number, statement in enumerate(statements):
        if only is not None and statement.optimizer is not only:
            continue
        states = [statement.optimizer.state.get(p, {}) for p in statement.parameters]
        for parameter, entry in zip(statement.parameters, states, strict=True):
            _write_entry(device, parameter, entry, reset=only is not None)
        counter = device.of(None, _STEP, number)
        steps = max((_steps(entry) for entry in states), default=0)
        if counter is not None and (steps or only is not None):
            device.write(counter, torch.full(counter.shape, steps, dtype=counter.dtype))


def _write_entry(device: Device, parameter: torch.Tensor, entry: Mapping[str, Any], *, reset: bool) -> None:
    for role, symbol in _states_of(device, parameter).items():
        value = entry.get(_TORCH_KEYS.get(role, role))
        if isinstance(value, torch.Tensor):
            device.write(symbol, plain_tensor(value))
        elif reset and role != _MASTER:
            device.write(symbol, torch.zeros(symbol.shape, dtype=symbol.dtype))


def _steps(entry: Mapping[str, Any]) -> int:
    """Steps done so far. torch's SGD counts none: a momentum buffer means at least one."""
    return int(entry["step"]) if "step" in entry else int(isinstance(entry.get("momentum_buffer"), torch.Tensor))


def read_optimizers(device: Device, statements: Sequence[Statement], only: torch.optim.Optimizer | None = None) -> None:
    """The state on the device to the host optimizers (or to one of them), in torch's own form."""
    for number, statement in enumerate(statements):
        if only is not None and statement.optimizer is not only:
            continue
        counter = device.of(None, _STEP, number)
        step = device.read(counter).reshape(()) if counter is not None else None
        for parameter in statement.parameters:
            entry = statement.optimizer.state[parameter]
            for role, symbol in _states_of(device, parameter).items():
                entry[_TORCH_KEYS.get(role, role)] = device.read(symbol)
            if step is not None:
                entry["step"] = step.to(torch.float32).clone()


def seed_random(device: Device, seed: int | None) -> None:
    """Starts the device's random streams: seed and step counter."""
    symbol = device.of(None, _RANDOM)
    if symbol is not None:
        device.write(symbol, torch.tensor([seed if seed is not None else torch.initial_seed() % 2**63, 0]))


def random_state(device: Device) -> torch.Tensor | None:
    """Seed and step counter of the device's random streams; None where the program draws nothing."""
    symbol = device.of(None, _RANDOM)
    return None if symbol is None else device.read(symbol)


def write_random_state(device: Device, value: torch.Tensor | None) -> None:
    symbol = device.of(None, _RANDOM)
    if symbol is not None and value is not None:
        device.write(symbol, value)
