# SPDX-License-Identifier: Apache-2.0
"""Methods of the session that move weights and state between host and device, and what checkpoints ask of it."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from sambaflow._base.library import InvalidArgumentError
from sambaflow._runtime.device import Device, Symbol
from sambaflow._tensors.tensor import SambaTensor, plain_tensor, wrap
from sambaflow._trace.optimizers import Statement
from sambaflow._trace.program import Program
from sambaflow._trace.scope import root_name, symbol_name
from sambaflow._trace.slots import Slot
from sambaflow.samba import _state as state

if TYPE_CHECKING:
    from sambaflow._runtime.runner import Runner


class SessionWeights:
    """Mixed into SambaSession."""

    if TYPE_CHECKING:
        buffer_dict: dict[str, SambaTensor]
        _converted: weakref.WeakValueDictionary[str, torch.Tensor]
        _device: Device | None
        _runner: Runner | None
        _program: Program | None
        _model: weakref.ref[nn.Module] | None
        _pending: state.RunState
        _statements: list[Statement]

        def using(self, model: nn.Module) -> AbstractContextManager[None]: ...

        def _using_optimizer(self, optimizer: torch.optim.Optimizer) -> AbstractContextManager[None]: ...

    def to_cpu(self, model: nn.Module) -> None:
        """Copies parameters, buffers and optimizer state from the device over those of the host.

        Tensors on the device meta cannot get memory: new ones take their place in `model` and in its optimizers.
        """
        with self.using(model):
            tensors = self._named_tensors(model)
            if any(tensor.device.type == "meta" for tensor in tensors.values()):
                self._replace_meta(model)
                tensors = self._named_tensors(model)
            state.read_tensors(self._bound_device(), tensors)
            state.read_optimizers(self._bound_device(), self._statements)

    def _replace_meta(self, model: nn.Module) -> None:
        replaced = state.replace_meta(model, [s.optimizer for s in self._statements])
        for statement in self._statements:
            statement.parameters = [replaced.get(id(p), p) for p in statement.parameters]
        assert self._program is not None
        for tensors in (self._program.parameters, self._program.buffers):
            tensors.update({name: replaced.get(id(t), t) for name, t in tensors.items()})

    def to_rdu(self, model: nn.Module) -> None:
        """Copies parameters and buffers of `model` to the device."""
        with self.using(model):
            state.write_tensors(self._bound_device(), self._named_tensors(model))

    def to_device(self) -> None:
        """Copies all traced tensors to the device; parameters of a re-created model take the place of the old."""
        device = self._bound_device()
        assert self._program is not None
        tensors = {**self._program.parameters, **self._program.buffers}
        tensors.update({name: t for name, t in self._converted.items() if name in tensors})
        state.write_tensors(device, tensors)
        state.write_optimizers(device, self._statements)

    def get_tensors_by_name(self, names: Iterable[str]) -> list[SambaTensor]:
        """Copies of the device's values of the named symbols."""
        device = self._bound_device()
        wanted = [names] if isinstance(names, str) else list(names)
        return [wrap(self._named_value(device, name), name) for name in wanted]

    def _named_value(self, device: Device, name: str) -> torch.Tensor:
        """The value of a symbol, or of the weights that a QuantizedLinear multiplies with."""
        parts = () if self._program is None else self._program.dequantized.get(name, ())
        if name in device.symbols or not parts:
            return self._value(device.find(name))
        integers, scale = (self._value(device.find(part)) for part in parts)
        return integers.to(scale.dtype) * scale[:, None]

    get_tensors = get_tensors_by_name

    def _traced_tensors(self) -> list[SambaTensor]:
        """The host tensors of the traced program."""
        if self._program is None:
            return []
        program = self._program
        tensors = [*program.input_tensors.values(), *program.parameters.values(), *self.buffer_dict.values()]
        return [tensor for tensor in tensors if isinstance(tensor, SambaTensor)]

    def _named_tensors(self, model: nn.Module) -> dict[str, torch.Tensor]:
        self._bound_device()
        known = self._known_tensors(model)
        if not known and next(itertools.chain(model.parameters(), model.buffers()), None) is not None:
            raise AttributeError(f"{type(model).__name__} was never traced in this session: call trace_graph first")
        return known

    def _known_tensors(self, model: nn.Module) -> dict[str, torch.Tensor]:
        """Parameters and buffers of `model` that the device has, by symbol."""
        root, known = root_name(model), self._bound_device().symbols
        tensors = {p.sn_name: p for _, p in model.named_parameters() if isinstance(p, SambaTensor) and p.sn_name}
        if not tensors and next(model.parameters(), None) is not None:
            return {}  # never converted: equal names of buffers mean nothing
        traced = {id(b): name for name, b in self._program.buffers.items()} if self._program is not None else {}
        for path, buffer in model.named_buffers():
            own = buffer.sn_name if isinstance(buffer, SambaTensor) else None
            by_path = own if own in known else symbol_name(root, path)
            tensors[traced.get(id(buffer), by_path)] = buffer
        for name, place in (self._program.attributes if self._program is not None else {}).items():
            tensors[name] = self._attribute(model, name, place)
        return {name: tensor for name, tensor in tensors.items() if name in known}

    def _attribute(self, model: nn.Module, name: str, place: Slot) -> torch.Tensor:
        """A tensor that is state in an attribute of `model`; that of the traced model where memory is shared."""
        assert self._program is not None
        traced, found = self._program.buffers[name], place.find(model)
        return found if isinstance(found, torch.Tensor) and found.shape == traced.shape else traced

    def unsaved_state(self, model: nn.Module) -> list[dict[str, Any]]:
        """What forward writes and `model.state_dict()` does not hold: where it is, and the tensor."""
        with self.using(model):
            program = self._program
            if program is None or not self._known_tensors(model):
                return []
            return [
                {"module": place.module, "attribute": place.attribute, "keys": list(place.keys),
                 "value": self._attribute(model, name, place)}
                for name, place in program.unsaved.items()
            ]  # fmt: skip

    def _bound_device(self) -> Device:
        if self._device is None:
            raise AttributeError("nothing is loaded on the device: call samba.utils.trace_graph first")
        return self._device

    def _value(self, symbol: Symbol, device: Device | None = None) -> torch.Tensor:
        """A copy of a symbol; of what depends on the rows, that of the last run."""
        latest = (device or self._bound_device()).latest
        return latest.read(latest.symbols.get(symbol.name, symbol))

    def optimizer_loaded(self, optimizer: torch.optim.Optimizer) -> None:
        """After `optimizer.load_state_dict`: its state goes to the device, if it is in use there."""
        with self._using_optimizer(optimizer):
            if self._device is not None and any(s.optimizer is optimizer for s in self._statements):
                state.write_optimizers(self._device, self._statements, only=optimizer)

    def optimizer_to_cpu(self, optimizer: torch.optim.Optimizer) -> None:
        """Copies the state of one optimizer from the device."""
        with self._using_optimizer(optimizer):
            state.read_optimizers(self._bound_device(), self._statements, only=optimizer)

    # ---- checkpoints

    def has_traced(self, model: nn.Module) -> bool:
        """Whether tensors of `model` are on the device of this session."""
        with self.using(model):
            return self._device is not None and bool(self._known_tensors(model))

    def is_beside(self, model: nn.Module) -> bool:
        """Whether `model` was never traced, though one of equal names is loaded that still lives."""
        with self.using(model):
            current = None if self._model is None else self._model()
            own = {id(parameter) for parameter in model.parameters()}
            traced = () if self._program is None else self._program.parameters.values()
            return current is not None and current is not model and not any(id(p) in own for p in traced)

    def random_state(self) -> torch.Tensor | None:
        """i64[2], seed and step counter of the device's random streams; None where the program draws nothing."""
        return self._pending.random if self._device is None else state.random_state(self._device)

    def hyperparameters(self) -> dict[str, float]:
        """The values that runs have set so far."""
        return dict(self._pending.hyperparameters if self._runner is None else self._runner.hyperparameters)

    def check_updated(self) -> None:
        """Raises InvalidArgumentError while gradients of some batches wait for an update (a checkpoint lacks them)."""
        done, of = (0, 1) if self._runner is None else self._runner.pending_batches
        if done:
            raise InvalidArgumentError(
                f"the gradients of {done} of {of} batches wait for their update (--grad-accumulation-steps {of}), "
                f"which a checkpoint does not keep: save after {of - done} more run(s)"
            )

    def resume(self, random: torch.Tensor | None, hyperparameters: Mapping[str, float]) -> None:
        """Puts random state and hyperparameters back: at once, and when a program is traced next."""
        self._pending = state.RunState(random, dict(hyperparameters))
        self._apply(self._pending)

    def _apply(self, kept: state.RunState) -> None:
        if self._device is not None and self._runner is not None:
            state.write_random_state(self._device, kept.random)
            self._runner.set_hyperparameters(kept.hyperparameters)
            self._runner.discard()

    def writer_of(self, model: nn.Module) -> Callable[[str, torch.Tensor, torch.Tensor], None]:
        """write(key, target, value) for the entries of a state dict: to the device where `model` is traced."""
        if not self.has_traced(model):
            return _write_to_host
        device, root = self._bound_device(), root_name(model)

        def write(key: str, target: torch.Tensor, value: torch.Tensor) -> None:
            name = target.sn_name if isinstance(target, SambaTensor) else None
            name = name if name in device.symbols else symbol_name(root, key)
            state.write_value(device, device.find(str(name)), value)

        return write


def _write_to_host(key: str, target: torch.Tensor, value: torch.Tensor) -> None:
    plain = plain_tensor(target).detach()
    if plain.device.type == "meta" or (isinstance(target, SambaTensor) and not target.has_data):
        if not isinstance(target, SambaTensor):
            raise InvalidArgumentError(f"{key} has no memory on the host (device meta): trace the model first")
        target.data = value.to(plain.dtype).clone()
    else:
        plain.copy_(value)
