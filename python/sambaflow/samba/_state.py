# SPDX-License-Identifier: Apache-2.0
"""Weights and optimizer state between host and device. Names: docs/graph-text.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from sambaflow._runtime.device import Device
from sambaflow._tensor import SambaTensor, plain_tensor, wrap
from sambaflow._trace.optimizers import Statement

# Key of torch's optimizer state -> suffix of the symbol.
_STATE_KEYS = {
    "sgd": {"momentum_buffer": "momentum"},
    "adamw": {"exp_avg": "exp_avg", "exp_avg_sq": "exp_avg_sq", "max_exp_avg_sq": "max_exp_avg_sq"},
}
_RANDOM_STATE = "random__state"


def write_tensors(device: Device, tensors: Mapping[str, torch.Tensor]) -> None:
    """Host to device. Tensors without data (made from a shape alone) are left as they are on the device."""
    for name, tensor in tensors.items():
        if isinstance(tensor, SambaTensor) and not tensor.has_data:
            continue
        if tensor.device.type != "meta":
            device.write(device.find(name), plain_tensor(tensor))


def read_tensors(device: Device, tensors: Mapping[str, torch.Tensor]) -> None:
    """Device to host, in place. Autograd does not notice: a graph of the host model stays usable."""
    for name, tensor in tensors.items():
        if isinstance(tensor, SambaTensor) and not tensor.has_data:
            tensor.data = device.read(device.find(name))
        else:
            device.read_into(device.find(name), plain_tensor(tensor).detach())


def state_tensors(device: Device) -> dict[str, SambaTensor]:
    """A stand-in for every optimizer state on the device; `.rdu()` and `.cpu()` work on them."""
    return {
        s.name: wrap(torch.zeros(s.shape, dtype=s.dtype), s.name)
        for s in device.of_kind("STATE")
        if s.name != _RANDOM_STATE
    }


def _symbol_name(parameter: torch.Tensor, suffix: str) -> str:
    return f"{getattr(parameter, 'sn_name', None)}__{suffix}"


def write_optimizers(device: Device, statements: Sequence[Statement]) -> None:
    """The state that host optimizers have (from a checkpoint) to the device."""
    for number, statement in enumerate(statements):
        steps = []
        for parameter in statement.parameters:
            entry = statement.optimizer.state.get(parameter, {})
            for key, suffix in _STATE_KEYS[statement.kind].items():
                symbol = device.symbols.get(_symbol_name(parameter, suffix))
                if symbol is not None and isinstance(entry.get(key), torch.Tensor):
                    device.write(symbol, plain_tensor(entry[key]))
            if "step" in entry:
                steps.append(int(entry["step"]))
        counter = device.symbols.get(f"optimizer_{number}__step")
        if counter is not None and steps:
            device.write(counter, torch.full(counter.shape, max(steps), dtype=counter.dtype))


def read_optimizers(device: Device, statements: Sequence[Statement], only: torch.optim.Optimizer | None = None) -> None:
    """The state on the device to the host optimizers (or to one of them), in torch's own form."""
    for number, statement in enumerate(statements):
        if only is not None and statement.optimizer is not only:
            continue
        counter = device.symbols.get(f"optimizer_{number}__step")
        step = device.read(counter).reshape(()) if counter is not None else None
        for parameter in statement.parameters:
            entry = statement.optimizer.state[parameter]
            for key, suffix in _STATE_KEYS[statement.kind].items():
                symbol = device.symbols.get(_symbol_name(parameter, suffix))
                if symbol is not None:
                    entry[key] = device.read(symbol)
            if step is not None:
                entry["step"] = step.to(torch.float32).clone()


def seed_random(device: Device, seed: int | None) -> None:
    """Starts the device's random streams: seed and step counter."""
    symbol = device.symbols.get(_RANDOM_STATE)
    if symbol is not None:
        device.write(symbol, torch.tensor([seed if seed is not None else torch.initial_seed() % 2**63, 0]))
